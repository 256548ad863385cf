"""Traps of what the user says: the input audio buffer. Each test names a wrong implementation that it sees."""

from __future__ import annotations

from antiphon import Actions, ClientSession
from antiphon import messages as m
from antiphon.engine.audio import PCMU
from antiphon.engine.incoming import members
from antiphon.engine.incoming.session import INPUT_AUDIO_BUFFER, InputAudioBufferRules
from antiphon.engine.records import Place
from traps.wrong import effect, nothing, replaced, trap
from unit.engine_helpers import Talk, delivered, rules, said, sent_types, stops


def spoken_turn(talk: Talk, item_id: str, start_ms: int, end_ms: int, previous: str | None = None) -> Actions:
    """A turn that voice detection saw, with its item."""
    content = [{"type": "input_audio", "transcript": None}]
    return (
        *talk.hear("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start_ms),
        *talk.hear("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=end_ms),
        *talk.hear("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous),
        *talk.adds({"id": item_id, "type": "message", "role": "user", "content": content}, previous=previous),
    )


def test_trap_34_speech_may_start_before_the_last_one_ended() -> None:
    def check() -> None:
        talk = Talk()
        talk.client.append_audio(bytes(2000 * 48), talk.now)
        actions = spoken_turn(talk, "u1", 0, 1500)
        talk.speaks("r1", "i1", 1000, previous="u1")
        again = talk.hear("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=1200)
        assert stops(again) == ["i1"]
        actions += again + talk.hear("input_audio_buffer.speech_stopped", item_id="u2", audio_end_ms=1900)
        actions += talk.hear("input_audio_buffer.committed", item_id="u2", previous_item_id="i1")
        assert rules(actions) == []
        assert talk.client.input_audio_buffer.uncommitted_ms == 100

    started = InputAudioBufferRules.speech_started

    def in_order_alone(place: Place, session: ClientSession, event: m.InputAudioBufferSpeechStarted) -> None:
        if event.audio_start_ms == 0 or not session.conversation:
            started(place, session, event)

    def reports_an_overlap(place: Place, session: ClientSession, event: m.InputAudioBufferSpeechStarted) -> None:
        started(place, session, event)
        if event.audio_start_ms:
            session.report("R-I1", event, "speech starts before the last one ended")

    trap(
        check,
        effect(INPUT_AUDIO_BUFFER, "speech_started", in_order_alone),
        effect(INPUT_AUDIO_BUFFER, "speech_started", reports_an_overlap),
    )


def test_trap_35_a_manual_commit_uses_the_announced_id_up() -> None:
    def check() -> None:
        talk = Talk()
        talk.client.append_audio(bytes(9600), talk.now)
        actions = talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
        talk.say(m.InputAudioBufferCommit(), override={"R-I3"})
        actions += talk.hear("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        actions += talk.hear("input_audio_buffer.speech_stopped", item_id="u2", audio_end_ms=200)
        actions += talk.hear("input_audio_buffer.committed", item_id="u2", previous_item_id="u1")
        assert rules(actions) == []
        assert talk.refused(m.InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"

    committed = InputAudioBufferRules.commit_answered

    def keeps_the_id(place: Place, session: ClientSession, event: m.InputAudioBufferCommitted) -> None:
        announced = session.announced_item_id
        committed(place, session, event)
        session.announced_item_id = announced

    trap(check, effect(INPUT_AUDIO_BUFFER, "commit_answered", keeps_the_id))


def test_trap_38_audio_counts_in_the_format_that_the_server_has_confirmed() -> None:
    def check() -> None:
        talk = Talk()
        wanted = m.AudioConfig(input=m.AudioInput(format=m.AudioFormat(type="audio/pcmu")))
        talk.say(m.SessionUpdate(session=m.RealtimeSession(audio=wanted)))
        talk.client.append_audio(bytes(4800), talk.now)  # still decoded as PCM16 at 24 kHz: 100 ms
        assert talk.client.input_audio_buffer.uncommitted_ms == 100
        talk.hear(
            "session.updated", session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        )
        assert talk.client.input_audio_buffer.format == PCMU
        talk.client.append_audio(bytes(800), talk.now)
        assert talk.client.input_audio_buffer.uncommitted_ms == 200

    command = ClientSession.command

    def believes_its_own_update(session: ClientSession, event: m.ClientEvent) -> None:
        command(session, event)
        if isinstance(event, m.SessionUpdate):
            session.input_audio.set_format(PCMU)

    trap(check, replaced(ClientSession, "command", believes_its_own_update))


def test_trap_44_an_idle_timeout_is_a_turn_of_the_user_and_brings_an_item_of_the_system() -> None:
    def check() -> None:
        talk = Talk()
        actions = talk.hear(
            "input_audio_buffer.timeout_triggered", item_id="u1", audio_start_ms=5000, audio_end_ms=11_000
        )
        actions += talk.adds(said("s1", "The user is silent.", role="system"))
        actions += talk.hear("input_audio_buffer.committed", item_id="u1", previous_item_id="s1")
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": "u1", "type": "message", "role": "user", "content": content}
        actions += talk.adds(item, previous="s1")
        actions += talk.created("r1", metadata=None)
        assert rules(actions) == [] and sent_types(actions) == []
        assert [node.id for node in talk.client.conversation] == ["s1", "u1"]

    def strict_about_origin(session: ClientSession, item: m.Item, event: m.Event) -> None:
        session.report("R-A1", event, "nobody asked for this item")

    trap(
        check,
        effect(INPUT_AUDIO_BUFFER, "timeout_triggered", nothing),
        replaced(members, "check_origin", strict_about_origin),
    )


def test_trap_45_an_event_without_an_event_id_is_an_event() -> None:
    def check() -> None:
        talk = Talk(transport="sideband")
        actions = talk.hear("input_audio_buffer.dtmf_event_received", event="9", received_at=1763200000)
        assert delivered(actions) == ["input_audio_buffer.dtmf_event_received"] and rules(actions) == []
        (event,) = [action.event for action in actions]  # type: ignore[union-attr]
        assert isinstance(event, m.InputAudioBufferDtmfEventReceived) and event.event == "9"

    receive = ClientSession.receive_message

    def with_an_id_alone(session: ClientSession, text: str, now: int) -> Actions:
        return receive(session, text, now) if '"event_id"' in text else ()

    trap(check, replaced(ClientSession, "receive_message", with_an_id_alone))
