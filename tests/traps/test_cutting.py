"""Traps of what was heard: cuts, players and audio. Each test names a wrong implementation that it sees."""

from __future__ import annotations

from typing import Any

from antiphon import Actions, ClientSession, PlayAudio
from antiphon import messages as m
from antiphon.engine.audio import AudioFormat, Remainder
from antiphon.engine.incoming import handlers
from antiphon.engine.playback import Entry, PlaybackLedger
from traps.wrong import client_handles, replaced, trap
from unit.engine_helpers import MS, Talk, at, delivered, heard, of, rules, sent, sent_types, spoken, stops
from unit.server_helpers import Host, refusal


def barges_in(talk: Talk, item_id: str = "user") -> Actions:
    """The user's voice is heard."""
    return talk.hear("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=0)


def truncates_all_that_is_generated(session: ClientSession, event: m.InputAudioBufferSpeechStarted) -> None:
    """A barge-in as seen by a client that keeps no account of audio: cut what is being generated, at 0."""
    handlers.on_input_audio_buffer(session, event)
    for record in session.responses.values():
        if record.is_open:
            for item_id in record.item_ids:
                session.command(m.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=0))


def test_trap_01_a_cut_is_a_whole_number_of_heard_milliseconds_within_what_came() -> None:
    def cut(samples: int) -> dict[str, Any]:
        talk = Talk()
        talk.speaks("r1", "i1", 1000)
        talk.now = 57_340 * MS  # the clock on the wall says nothing about what was heard
        assert stops(barges_in(talk)) == ["i1"]
        (truncate,) = sent(talk.client.audio_stopped("i1", 0, samples, talk.now))
        assert truncate["type"] == "conversation.item.truncate"
        return truncate

    def check() -> None:
        assert cut(8001) | {"event_id": ""} == {
            "type": "conversation.item.truncate",
            "event_id": "",
            "item_id": "i1",
            "content_index": 0,
            "audio_end_ms": 333,
        }
        assert cut(0)["audio_end_ms"] == 0
        assert cut(240_000)["audio_end_ms"] == 1000

        host = Host()
        item_id = host.speaks(300)
        for ms, code in ((301, "invalid_value"), (-1, "integer_below_min_value"), (33.5, "invalid_type")):
            wanted = {"item_id": item_id, "content_index": 0, "audio_end_ms": ms}
            assert refusal(host.hear("conversation.item.truncate", **wanted))["code"] == code

    finish = PlaybackLedger.finish_cut

    def by_the_clock(ledger: PlaybackLedger, entry: Entry, samples: int | None) -> object:
        return finish(ledger, entry, entry.format.samples_for_ms(57_340))

    def unbounded(ledger: PlaybackLedger, entry: Entry, samples: int | None) -> object:
        entry.received = max(entry.received, samples or 0)
        return finish(ledger, entry, samples)

    def in_fractions(format: AudioFormat, samples: int) -> float:
        return samples * 1000 / format.rate

    trap(
        check,
        replaced(PlaybackLedger, "finish_cut", by_the_clock),
        replaced(PlaybackLedger, "finish_cut", unbounded),
        replaced(AudioFormat, "ms", in_fractions),
    )


def test_trap_02_an_item_without_audio_is_not_truncated() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        talk.generates("r1", spoken("i1"))
        talk.part("r1", "i1")
        actions = barges_in(talk)
        assert sent_types(actions) == [] and stops(actions) == []
        assert sent_types(talk.client.interrupt(talk.now)) == ["response.cancel"]
        refusal = talk.refused(m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=0))
        assert refusal.code == "unsupported_content_type"

    trap(check, client_handles(m.InputAudioBufferSpeechStarted, truncates_all_that_is_generated))


def test_trap_03_every_spoken_item_of_a_response_is_cut_where_it_was_heard() -> None:
    def check() -> None:
        talk = Talk()
        talk.speaks("r1", "i1", 1000)
        talk.stops_speaking("r1", "i1")
        talk.speaks("r1", "i2", 1000, previous="i1")
        talk.listen("i1", 400)
        assert stops(barges_in(talk)) == ["i1", "i2"]
        cuts = [*sent(talk.stopped("i1", 500)), *sent(talk.stopped("i2", 0))]
        assert [(cut["item_id"], cut["audio_end_ms"]) for cut in cuts] == [("i1", 500), ("i2", 0)]

    unheard = PlaybackLedger.unheard

    def the_last(ledger: PlaybackLedger) -> list[Entry]:
        return unheard(ledger)[-1:]

    trap(check, replaced(PlaybackLedger, "unheard", the_last))


def test_trap_12_the_end_of_a_response_is_not_the_end_of_speaking() -> None:
    def check() -> None:
        talk = Talk()
        talk.speaks("r1", "i1", 3000)
        talk.stops_speaking("r1", "i1")
        talk.done("r1")
        assert not talk.client.playback.quiet
        talk.listen("i1", 700)
        assert stops(barges_in(talk)) == ["i1"]
        (cut,) = sent(talk.stopped("i1", 800))
        assert cut["audio_end_ms"] == 800

        talk = Talk()
        talk.speaks("r1", "i1", 3000)
        talk.stops_speaking("r1", "i1")
        talk.done("r1")
        talk.listen("i1", 3000)
        assert talk.client.playback.quiet

    def finished_with_its_response(ledger: PlaybackLedger, response_id: str) -> tuple[Entry, ...]:
        for entry in ledger:
            entry.played, entry.done = entry.received, True
        return ()

    trap(check, replaced(PlaybackLedger, "response_done", finished_with_its_response))


def test_trap_29_over_webrtc_the_button_ends_generation_and_delivery() -> None:
    def check() -> None:
        talk = Talk(transport="webrtc")
        talk.created("r1")
        talk.generates("r1", spoken("i1"))
        talk.part("r1", "i1")
        talk.hear("output_audio_buffer.started", response_id="r1")
        actions = talk.client.interrupt(talk.now)
        assert sent_types(actions) == ["response.cancel", "output_audio_buffer.clear"] and stops(actions) == []
        talk.done("r1", "cancelled")

        talk = Talk(transport="webrtc")
        talk.created("r1")
        talk.hear("output_audio_buffer.started", response_id="r1")
        talk.done("r1")  # all is generated, and most of it is still to be heard
        assert sent_types(talk.client.interrupt(talk.now)) == ["output_audio_buffer.clear"]

    def cancels_alone(session: ClientSession, now: int) -> Actions:
        return session.send(m.ResponseCancel(), now, override={"R-Q7"})

    def clears_alone(session: ClientSession, now: int) -> Actions:
        return session.send(m.OutputAudioBufferClear(), now)

    def truncates_alone(session: ClientSession, now: int) -> Actions:
        cut = m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=0)
        return session.send(cut, now, override={"R-C5"})

    trap(
        check,
        replaced(ClientSession, "interrupt", cancels_alone),
        replaced(ClientSession, "interrupt", clears_alone),
        replaced(ClientSession, "interrupt", truncates_alone),
    )


def test_trap_30_a_cut_by_the_server_is_taken_and_not_answered_with_another() -> None:
    def check() -> None:
        talk = Talk(transport="webrtc")
        talk.created("r1")
        talk.generates("r1", spoken("i1"))
        talk.part("r1", "i1")
        talk.hear("output_audio_buffer.started", response_id="r1")
        assert sent_types(barges_in(talk)) == []
        talk.hear("output_audio_buffer.cleared", response_id="r1")
        actions = talk.hear("conversation.item.truncated", item_id="i1", content_index=0, audio_end_ms=900)
        assert rules(actions) == [] and sent_types(actions) == []
        node = talk.client.conversation.get("i1")
        assert node is not None and node.cuts[0].audio_end_ms == 900

    trap(check, client_handles(m.InputAudioBufferSpeechStarted, truncates_all_that_is_generated))


def test_trap_31_where_no_audio_passes_a_cut_is_not_measured_by_it() -> None:
    def check() -> None:
        for transport in ("webrtc", "sideband"):
            talk = Talk(transport=transport)
            talk.created("r1")
            talk.generates("r1", spoken("i1"))
            talk.part("r1", "i1")
            (cut,) = sent(talk.say(m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=1500)))
            assert cut["audio_end_ms"] == 1500

    command = ClientSession.command

    def clamped(session: ClientSession, event: m.ClientEvent) -> None:
        if isinstance(event, m.ConversationItemTruncate):
            entry = session.playback.get(event.item_id, event.content_index)
            received_ms = 0 if entry is None else entry.format.ms(entry.received)
            event = m.ConversationItemTruncate(item_id=event.item_id, content_index=0, audio_end_ms=received_ms)
        command(session, event)

    trap(check, replaced(ClientSession, "command", clamped))


def test_trap_47_a_sample_may_be_split_between_two_deltas() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        talk.generates("r1", spoken("i1"))
        talk.part("r1", "i1")
        played: list[PlayAudio] = []
        for delta in ("AQID", "BAUG", "BwgJCg=="):  # 3, 3 and 4 bytes
            actions = talk.hear("response.output_audio.delta", delta=delta, **at("r1", "i1"))
            assert delivered(actions) == ["response.output_audio.delta"] and rules(actions) == []
            played += of(actions, PlayAudio)
        assert [len(action.audio) % 2 for action in played] == [0] * len(played)
        assert b"".join(action.audio for action in played) == bytes(range(1, 11))
        assert [action.start for action in played] == [0, 1, 3]
        assert heard(talk.audio("r1", "i1", 10)) == 10

    def uncounted(entry: Entry, audio: bytes) -> bytes:
        entry.received += len(audio) // 2
        return audio

    def dropped(remainder: Remainder, audio: bytes) -> bytes:
        return audio[: len(audio) - len(audio) % remainder.bytes_per_sample]

    trap(check, replaced(Entry, "take", uncounted), replaced(Remainder, "feed", dropped))
