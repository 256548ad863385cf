"""`antiphon.engine.listener`: what goes to the player, what was heard of it, and what a barge-in cuts."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from antiphon import Deliver, Durations, Limits, PlayAudio, StopAudio
from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K, PCMA, PCMU, AudioFormat
from antiphon.engine.listener import output_format
from unit.engine_helpers import MS, Talk, at, delivered, heard, of, rules, sent, sent_types, spoken, stops

STARTED = "input_audio_buffer.speech_started"


def barge_in(talk: Talk) -> Any:
    """The user begins to speak."""
    return talk.hear(STARTED, item_id="u1", audio_start_ms=0)


def truncations(actions: Any) -> list[tuple[str, int, int]]:
    """The cuts that the server is told: item, part, ms."""
    return [
        (event["item_id"], event["content_index"], event["audio_end_ms"])
        for event in sent(actions)
        if event["type"] == "conversation.item.truncate"
    ]


def speaking(ms: int = 1000, **config: Any) -> Talk:
    """Item i1 of response r1 has said ``ms``, and more may come."""
    talk = Talk(**config)
    talk.speaks("r1", "i1", ms)
    return talk


def spoken_out(ms: int = 1000, **config: Any) -> Talk:
    """The same, and the response is over."""
    talk = speaking(ms, **config)
    talk.stops_speaking("r1", "i1")
    talk.done("r1")
    return talk


def state_of(talk: Talk, item_id: str = "i1", content_index: int = 0) -> str:
    entry = talk.client.playback.get(item_id, content_index)
    assert entry is not None
    return entry.state


# -- audio comes in ----------------------------------------------------------------------------------------------------


def test_audio_goes_to_the_player_after_the_delivery_of_its_delta() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    deliver, play = talk.audio("r1", "i1", 20)
    assert isinstance(deliver, Deliver)
    assert isinstance(play, PlayAudio)
    assert (play.item_id, play.content_index, play.start, len(play.audio)) == ("i1", 0, 2400, 960)


def test_each_part_of_an_item_has_positions_of_its_own() -> None:
    talk = speaking(100)
    talk.part("r1", "i1", 1)
    (play,) = of(talk.audio("r1", "i1", 20, content_index=1), PlayAudio)
    assert (play.content_index, play.start) == (1, 0)


def test_half_a_sample_waits_for_its_other_half() -> None:
    talk = speaking(100)
    place = at("r1", "i1")
    assert of(talk.hear("response.output_audio.delta", delta=b64encode(b"a").decode(), **place), PlayAudio) == []
    (play,) = of(talk.hear("response.output_audio.delta", delta=b64encode(b"bcd").decode(), **place), PlayAudio)
    assert (play.start, play.audio) == (2400, b"abcd")


def test_what_is_no_base64_is_reported_and_not_played() -> None:
    actions = speaking().hear("response.output_audio.delta", delta="§§", **at("r1", "i1"))
    assert of(actions, PlayAudio) == []
    assert rules(actions) == ["R-P7"]


@pytest.mark.parametrize("config", [{"decode_audio": False}, {"transport": "webrtc"}, {"transport": "sideband"}])
def test_nothing_is_played_where_audio_is_not_decoded_or_passes_elsewhere(config: dict[str, Any]) -> None:
    talk = Talk(**config)
    actions = talk.speaks("r1", "i1", 100)
    assert of(actions, PlayAudio) == []
    assert delivered(actions)[-1] == "response.output_audio.delta"


def test_audio_out_of_band_is_played_too() -> None:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.part("r1", "i1")
    assert heard(talk.audio("r1", "i1", 40)) == 40


def test_audio_may_be_done_before_any_came() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    assert rules(talk.hear("response.output_audio.done", **at("r1", "i1"))) == []
    assert talk.client.playback.get("i1", 0) is None


def test_late_audio_of_a_response_that_is_over_is_not_played() -> None:
    talk = spoken_out()
    assert of(talk.audio("r1", "i1", 20), PlayAudio) == []


# -- the format --------------------------------------------------------------------------------------------------------


def test_audio_is_in_the_format_that_the_session_speaks() -> None:
    talk = Talk(session={"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    (play,) = of(talk.speaks("r1", "i1", 100), PlayAudio)
    assert play.format == PCMU
    barge_in(talk)
    assert truncations(talk.client.audio_stopped("i1", 0, 800, 0)) == [("i1", 0, 100)]


def test_a_part_keeps_the_format_that_it_began_in() -> None:
    talk = speaking(100)
    talk.hear("session.updated", session={"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    entry = talk.client.playback.get("i1", 0)
    assert entry is not None
    assert entry.format.rate == 24_000


def test_a_response_may_speak_in_a_format_of_its_own() -> None:
    """R-B8"""
    talk = Talk()
    talk.created("r1", audio={"output": {"format": {"type": "audio/pcmu"}}})
    (play,) = of(talk.speaks("r1", "i1", 100), PlayAudio)  # 4,800 bytes
    assert play.format == PCMU
    barge_in(talk)
    assert truncations(talk.client.audio_stopped("i1", 0, 99_999, 0)) == [("i1", 0, 600)]


def test_the_next_response_is_in_the_session_s_format_again() -> None:
    talk = Talk()
    talk.created("r1", audio={"output": {"format": {"type": "audio/pcmu"}}})
    talk.done("r1")
    (play,) = of(talk.speaks("r2", "i2", 100), PlayAudio)
    assert play.format == PCM16_24K


def test_a_format_that_changes_under_way_is_not_that_of_the_part_that_sounds() -> None:
    talk = speaking(100)
    talk.hear("session.updated", session={"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    (play,) = of(talk.audio("r1", "i1", 20), PlayAudio)
    assert (play.format, play.start) == (PCM16_24K, 2400)


@pytest.mark.parametrize("announced", [True, False])
def test_a_format_that_changes_under_way_is_that_of_no_part_of_the_response(announced: bool) -> None:
    """R-B8"""
    talk = Talk()
    if announced:
        talk.created("r1")
    else:
        talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.hear("session.updated", session={"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    talk.speaks("r1", "i1", 100)
    talk.part("r1", "i1", 1)
    (play,) = of(talk.audio("r1", "i1", 100, 1), PlayAudio)
    assert play.format == PCM16_24K


def test_a_response_keeps_its_format_over_a_snapshot() -> None:
    talk = Talk()
    talk.created("r1", audio={"output": {"format": {"type": "audio/pcmu"}}})
    (play,) = of(talk.restored().speaks("r1", "i1", 100), PlayAudio)
    assert play.format == PCMU


def test_g711_is_counted_at_8_khz_whatever_rate_is_stated_beside_it() -> None:
    talk = Talk(session={"audio": {"output": {"format": {"type": "audio/pcma", "rate": 24_000}}}})
    (play,) = of(talk.speaks("r1", "i1", 100), PlayAudio)
    assert play.format == PCMA


def speaks_in(format: m.AudioFormat | None) -> m.RealtimeSession:
    return m.RealtimeSession(audio=m.AudioConfig(output=m.AudioOutput(format=format)))


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (m.RealtimeSession(), None),
        (m.TranscriptionSession(), None),
        (m.RealtimeSession(audio=None), None),
        (m.RealtimeSession(audio=m.AudioConfig()), None),
        (speaks_in(None), None),
        (speaks_in(m.AudioFormat(type="audio/pcm", rate=16_000)), AudioFormat("audio/pcm", 16_000)),
        (speaks_in(m.AudioFormat(type="audio/pcmu")), PCMU),
        (speaks_in(m.AudioFormat(type="audio/opus")), None),
    ],
)
def test_a_session_may_name_no_format_or_one_without_samples(session: m.AnySession, expected: object) -> None:
    assert output_format(session) == expected


# -- what was heard ----------------------------------------------------------------------------------------------------


def test_the_device_alone_moves_a_part_from_queued_to_playing_to_heard() -> None:
    talk = spoken_out()
    assert state_of(talk) == "queued"
    talk.listen("i1", 400)
    assert state_of(talk) == "playing"
    talk.listen("i1", 1000)
    assert state_of(talk) == "heard"


def test_a_part_whose_audio_is_all_played_is_not_heard_out_while_more_may_come() -> None:
    talk = speaking()
    talk.listen("i1", 1000)
    assert state_of(talk) == "playing"
    talk.hear("response.output_audio.done", **at("r1", "i1"))
    assert state_of(talk) == "heard"


def test_the_end_of_the_response_ends_its_parts_too() -> None:
    talk = speaking()
    talk.listen("i1", 1000)
    talk.done("r1", "incomplete")
    assert state_of(talk) == "heard"


def test_a_report_beyond_what_was_received_is_clamped() -> None:
    talk = speaking()
    talk.listen("i1", 5000)
    assert talk.client.playback.heard("i1")[0].played_ms == 1000


@pytest.mark.parametrize("report", ["listen", "stopped"])
def test_a_report_about_a_part_that_never_spoke_changes_nothing(report: str) -> None:
    talk = speaking()
    before = talk.client.snapshot(0)
    assert getattr(talk, report)("i2", 100) == ()
    assert talk.client.snapshot(0) == before


@pytest.mark.parametrize("report", ["listen", "stopped"])
def test_a_report_about_a_part_that_is_over_changes_nothing(report: str) -> None:
    talk = spoken_out()
    talk.listen("i1", 1000)
    before = talk.client.snapshot(0)
    assert getattr(talk, report)("i1", 500) == ()
    assert talk.client.snapshot(0) == before


@pytest.mark.parametrize("samples", [-1, 1.5, "1"])
def test_samples_are_a_count(samples: Any) -> None:
    talk = speaking()
    for method in (talk.client.audio_played, talk.client.audio_stopped):
        assert talk.refused(lambda method=method: method("i1", 0, samples, 0)).rule == "R-B1"  # type: ignore[misc]  # mypy cannot type a default of a lambda


# -- barge-in ----------------------------------------------------------------------------------------------------------


def test_the_sound_stops_before_the_application_hears_of_the_speech() -> None:
    stop, deliver = barge_in(speaking())
    assert stop == StopAudio("i1", 0)
    assert isinstance(deliver, Deliver)


def test_the_server_is_told_how_much_was_heard_when_the_player_says_it() -> None:
    talk = speaking()
    assert sent(barge_in(talk)) == []
    assert truncations(talk.stopped("i1", 420)) == [("i1", 0, 420)]
    assert state_of(talk) == "cut"


def test_a_part_that_is_stopped_plays_no_later_audio() -> None:
    talk = speaking()
    barge_in(talk)
    assert heard(talk.audio("r1", "i1", 20)) == 0
    talk.stopped("i1", 420)
    assert heard(talk.audio("r1", "i1", 20)) == 0


def test_a_response_that_is_over_is_cut_all_the_same() -> None:
    talk = spoken_out()
    assert stops(barge_in(talk)) == ["i1"]
    assert truncations(talk.stopped("i1", 420)) == [("i1", 0, 420)]


def test_every_item_that_was_not_heard_out_is_cut() -> None:
    talk = spoken_out()
    talk.speaks("r2", "i2", 500, previous="i1")
    talk.listen("i1", 800)
    assert stops(barge_in(talk)) == ["i1", "i2"]
    assert truncations(talk.stopped("i1", 850)) == [("i1", 0, 850)]
    assert truncations(talk.stopped("i2", 0)) == [("i2", 0, 0)]


def test_what_was_heard_to_its_end_is_left_alone() -> None:
    talk = spoken_out()
    talk.listen("i1", 1000)
    assert stops(barge_in(talk)) == []


def test_nothing_is_stopped_twice() -> None:
    talk = speaking()
    barge_in(talk)
    assert stops(barge_in(talk)) == []
    talk.stopped("i1", 420)
    assert stops(barge_in(talk)) == []
    assert talk.stopped("i1", 500) == ()


def test_the_device_may_still_report_while_it_stops() -> None:
    talk = speaking()
    barge_in(talk)
    talk.listen("i1", 300)
    assert truncations(talk.tick()) == [("i1", 0, 300)]


def test_a_player_that_says_nothing_is_taken_at_its_last_word() -> None:
    talk = speaking()
    talk.listen("i1", 250)
    barge_in(talk)
    assert talk.client.deadline == Durations().flush
    assert truncations(talk.tick()) == [("i1", 0, 250)]
    assert talk.client.deadline is None


def test_one_player_that_answers_does_not_excuse_another() -> None:
    talk = speaking()
    talk.speaks("r2", "i2", 500)
    barge_in(talk)
    talk.stopped("i1", 100)
    assert talk.client.deadline == Durations().flush
    talk.stopped("i2", 0)
    assert talk.client.deadline is None


def test_a_part_that_was_heard_out_while_it_stopped_is_not_truncated() -> None:
    talk = spoken_out()
    barge_in(talk)
    assert talk.stopped("i1", 1000) == ()
    assert state_of(talk) == "cut"


def test_a_part_whose_response_is_not_over_is_truncated_even_where_all_of_it_was_heard() -> None:
    talk = speaking()
    barge_in(talk)
    assert truncations(talk.stopped("i1", 1000)) == [("i1", 0, 1000)]


def test_the_history_keeps_what_was_heard_when_the_server_confirms_the_cut() -> None:
    talk = speaking(transport="websocket")
    talk.hear("response.output_audio_transcript.delta", delta="one two three four", **at("r1", "i1"))
    barge_in(talk)
    talk.stopped("i1", 500)
    actions = talk.hear("conversation.item.truncated", item_id="i1", content_index=0, audio_end_ms=500)
    assert rules(actions) == []
    node = talk.client.conversation.get("i1")
    assert node is not None
    assert "four" not in node.text


# -- the policies ------------------------------------------------------------------------------------------------------

DETECTION = {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}}
NO_DETECTION = {"audio": {"input": {"turn_detection": None}}}


@pytest.mark.parametrize(
    ("policy", "session", "cut"),
    [
        ("session", {}, True),
        ("session", NO_DETECTION, True),
        ("session", DETECTION, False),
        ("cut", DETECTION, True),
        ("ignore", {}, False),
    ],
)
def test_whether_speech_cuts_is_the_session_s_word_or_the_application_s(
    policy: str, session: dict[str, Any], cut: bool
) -> None:
    talk = speaking(on_speech=policy, session=session)
    assert stops(barge_in(talk)) == (["i1"] if cut else [])


def test_an_update_of_the_session_changes_what_speech_does() -> None:
    talk = speaking()
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="Do not stop.")))
    talk.hear("session.updated", session={"type": "realtime", **DETECTION})
    assert stops(barge_in(talk)) == []


def test_an_item_of_which_nothing_was_heard_is_truncated_to_nothing() -> None:
    talk = speaking()
    barge_in(talk)
    assert truncations(talk.stopped("i1", 0)) == [("i1", 0, 0)]


def test_an_item_of_which_nothing_was_heard_is_deleted_by_policy() -> None:
    talk = speaking(unheard="delete")
    barge_in(talk)
    (event,) = sent(talk.stopped("i1", 0))
    assert (event["type"], event["item_id"]) == ("conversation.item.delete", "i1")


def test_an_item_of_which_something_was_heard_is_truncated_under_that_policy_too() -> None:
    talk = speaking(unheard="delete")
    barge_in(talk)
    assert truncations(talk.stopped("i1", 7)) == [("i1", 0, 7)]


def test_an_item_with_two_unheard_parts_is_deleted_once() -> None:
    talk = speaking(unheard="delete")
    talk.part("r1", "i1", 1)
    talk.audio("r1", "i1", 100, content_index=1)
    barge_in(talk)
    actions = (*talk.stopped("i1", 0), *talk.stopped("i1", 0, content_index=1))
    assert [event["type"] for event in sent(actions)] == ["conversation.item.delete"]


def test_an_item_of_which_another_part_was_heard_is_not_deleted() -> None:
    talk = speaking(unheard="delete")
    talk.part("r1", "i1", 1)
    talk.audio("r1", "i1", 100, content_index=1)
    barge_in(talk)
    actions = (*talk.stopped("i1", 0, content_index=1), *talk.stopped("i1", 400))
    assert truncations(actions) == [("i1", 0, 400), ("i1", 1, 0)]
    assert len(sent(actions)) == 2


def test_an_item_goes_by_its_own_parts_and_not_by_another_s() -> None:
    talk = spoken_out(unheard="delete")
    talk.speaks("r2", "i2", 500, previous="i1")
    barge_in(talk)
    assert truncations(talk.stopped("i1", 850)) == [("i1", 0, 850)]
    (event,) = sent(talk.stopped("i2", 0))
    assert (event["type"], event["item_id"]) == ("conversation.item.delete", "i2")


# -- what comes after an interruption ----------------------------------------------------------------------------------


def starts(talk: Talk, item_id: str, *, audio: int) -> Any:
    """Response r1 begins one more item, and says so much of it."""
    return (*talk.generates("r1", spoken(item_id)), *talk.part("r1", item_id), *talk.audio("r1", item_id, audio))


def test_before_the_first_audio_there_is_nothing_to_truncate() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    actions = barge_in(talk)
    assert (stops(actions), sent(actions)) == ([], [])
    talk.stops_speaking("r1", "i1")
    assert sent(talk.done("r1", "cancelled")) == []


def test_audio_that_comes_first_after_the_barge_in_is_not_played_and_cut_at_nothing() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    barge_in(talk)
    actions = talk.audio("r1", "i1", 100)
    assert (heard(actions), stops(actions), truncations(actions)) == (0, [], [("i1", 0, 0)])
    assert sent(talk.audio("r1", "i1", 100)) == []


def test_a_later_item_of_an_interrupted_response_is_not_played() -> None:
    talk = speaking()
    barge_in(talk)
    talk.stopped("i1", 500)
    actions = starts(talk, "i2", audio=100)
    assert (heard(actions), stops(actions), truncations(actions)) == (0, [], [("i2", 0, 0)])


def test_the_next_response_is_played_again() -> None:
    talk = speaking()
    barge_in(talk)
    talk.done("r1", "cancelled")
    assert heard(talk.speaks("r2", "i2", 100)) == 100


def test_a_response_that_speech_does_not_interrupt_plays_on() -> None:
    talk = speaking(session=DETECTION)
    barge_in(talk)
    assert heard(starts(talk, "i2", audio=100)) == 100


def test_after_interrupt_nothing_more_of_the_response_is_played() -> None:
    talk = speaking()
    talk.client.interrupt(0)
    assert heard(starts(talk, "i2", audio=100)) == 0


def test_an_item_that_would_only_begin_after_the_barge_in_is_deleted_by_policy() -> None:
    talk = speaking(unheard="delete")
    barge_in(talk)
    (event,) = sent(starts(talk, "i2", audio=100))
    assert (event["type"], event["item_id"]) == ("conversation.item.delete", "i2")


def test_what_an_interrupted_response_goes_on_to_say_is_unheard_over_a_snapshot_too() -> None:
    talk = speaking()
    barge_in(talk)
    assert heard(starts(talk.restored(), "i2", audio=100)) == 0


# -- by the clock ------------------------------------------------------------------------------------------------------


def clocked(ms: int = 1000, **config: Any) -> Talk:
    return speaking(ms, playback="clock", **config)


def test_by_the_clock_a_barge_in_cuts_at_once_and_where_time_says() -> None:
    talk = clocked()
    talk.now = 420 * MS + 999
    stop, deliver, *rest = barge_in(talk)
    assert stop == StopAudio("i1", 0)
    assert isinstance(deliver, Deliver)
    assert truncations(rest) == [("i1", 0, 420)]
    assert talk.client.deadline is None


def test_by_the_clock_a_second_item_sounds_after_the_first() -> None:
    talk = clocked()
    talk.speaks("r2", "i2", 500, previous="i1")
    talk.now = 1200 * MS
    assert truncations(barge_in(talk)) == [("i1", 0, 1000), ("i2", 0, 200)]


def test_by_the_clock_what_has_sounded_to_its_end_is_left_alone() -> None:
    talk = spoken_out(playback="clock")
    talk.now = 1000 * MS
    assert stops(barge_in(talk)) == []
    assert state_of(talk) == "heard"


def test_by_the_clock_interrupt_cuts_too() -> None:
    talk = clocked()
    talk.now = 300 * MS
    assert truncations(talk.client.interrupt(talk.now)) == [("i1", 0, 300)]


def test_the_view_is_up_to_time_after_a_tick() -> None:
    talk = clocked()
    talk.client.tick(250 * MS)
    assert talk.client.playback.heard("i1")[0].played_ms == 250
    assert not talk.client.playback.quiet
    talk.client.tick(1000 * MS)
    assert talk.client.playback.quiet


def test_a_device_that_is_ahead_of_the_clock_is_believed() -> None:
    talk = clocked()
    talk.listen("i1", 600)
    talk.now = 100 * MS
    talk.listen("i1", 90)
    assert truncations(barge_in(talk)) == [("i1", 0, 600)]


def test_a_player_that_answers_all_the_same_changes_nothing() -> None:
    talk = clocked()
    talk.now = 100 * MS
    barge_in(talk)
    assert talk.stopped("i1", 500) == ()


def test_after_a_barge_in_the_clock_plays_what_comes_next_at_once() -> None:
    talk = clocked()
    talk.now = 100 * MS
    barge_in(talk)
    talk.done("r1", "cancelled")
    talk.speaks("r2", "i2", 1000)
    talk.now = 300 * MS
    assert truncations(barge_in(talk)) == [("i2", 0, 200)]


def test_the_clock_goes_on_over_a_snapshot() -> None:
    talk = clocked()
    talk.speaks("r2", "i2", 500, previous="i1")
    talk.now = 400 * MS
    talk = talk.restored()
    talk.now = 1100 * MS
    assert truncations(barge_in(talk)) == [("i1", 0, 1000), ("i2", 0, 100)]


def test_half_samples_are_counted_when_they_are_whole() -> None:
    talk = clocked()
    talk.now = 2000 * MS
    for half in (b"a", b"bcd"):
        talk.hear("response.output_audio.delta", delta=b64encode(half).decode(), **at("r1", "i1"))
    talk.client.tick(3000 * MS)
    entry = talk.client.playback.get("i1", 0)
    assert entry is not None
    assert entry.played == entry.received == 24_002


# -- interrupt ---------------------------------------------------------------------------------------------------------


def test_interrupt_cancels_stops_and_truncates() -> None:
    talk = speaking()
    actions = talk.client.interrupt(0)
    assert [event["type"] for event in sent(actions)] == ["response.cancel"]
    assert stops(actions) == ["i1"]
    assert truncations(talk.stopped("i1", 300)) == [("i1", 0, 300)]


def test_interrupt_stops_what_the_speech_policy_spares() -> None:
    assert stops(speaking(on_speech="ignore").client.interrupt(0)) == ["i1"]


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_where_the_server_plays_nothing_is_stopped_here(transport: str) -> None:
    talk = Talk(transport=transport)
    talk.speaks("r1", "i1", 100)
    assert stops(talk.client.interrupt(0)) == []
    actions = barge_in(talk)
    assert (stops(actions), sent(actions)) == ([], [])


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_where_the_server_plays_an_interruption_is_a_cancel_and_a_clear(transport: str) -> None:
    """R-O3"""
    talk = Talk(transport=transport)
    talk.speaks("r1", "i1", 100)
    assert sent_types(talk.client.interrupt(0)) == ["response.cancel", "output_audio_buffer.clear"]
    talk.done("r1", "cancelled")
    assert sent_types(talk.client.interrupt(0)) == ["output_audio_buffer.clear"]


def test_before_a_socket_an_interruption_says_nothing() -> None:
    assert Talk(begun=False, transport="webrtc").client.interrupt(0) == ()


# -- items that cannot be truncated ------------------------------------------------------------------------------------


def test_an_item_that_was_deleted_meanwhile_is_not_truncated() -> None:
    talk = spoken_out()
    barge_in(talk)
    talk.say(m.ConversationItemDelete(item_id="i1"))
    assert talk.stopped("i1", 300) == ()
    assert state_of(talk) == "cut"


def test_an_item_that_is_gone_is_not_truncated() -> None:
    talk = spoken_out()
    barge_in(talk)
    talk.say(m.ConversationItemDelete(item_id="i1"))
    talk.hear("conversation.item.deleted", item_id="i1")
    assert talk.stopped("i1", 300) == ()


def test_an_item_out_of_band_is_stopped_but_not_truncated() -> None:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.part("r1", "i1")
    talk.audio("r1", "i1", 100)
    assert stops(barge_in(talk)) == ["i1"]
    assert talk.stopped("i1", 30) == ()


def test_of_a_response_out_of_band_that_was_stopped_nothing_more_is_heard() -> None:
    """R-B6"""
    talk = Talk()
    for response_id, item_id in (("r1", "i1"), ("r2", "k1")):
        talk.created(response_id, conversation_id=None)
        talk.hear("response.output_item.added", response_id=response_id, output_index=0, item=spoken(item_id))
        talk.part(response_id, item_id)
    talk.audio("r1", "i1", 100)
    assert stops(barge_in(talk)) == ["i1"]
    talk.hear("response.output_item.added", response_id="r1", output_index=1, item=spoken("i2"))
    talk.part("r1", "i2")
    assert heard(talk.audio("r1", "i2", 100)) == 0
    assert heard(talk.audio("r2", "k1", 100)) == 100  # it had not spoken yet


def test_an_item_that_a_server_never_made_a_member_is_truncated_all_the_same() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.part("r1", "i1")
    talk.audio("r1", "i1", 100)
    barge_in(talk)
    assert truncations(talk.stopped("i1", 30)) == [("i1", 0, 30)]


# -- cuts by the server ------------------------------------------------------------------------------------------------

TRUNCATED = "conversation.item.truncated"


def test_a_cut_by_the_server_ends_the_part_and_is_not_repeated() -> None:
    talk = speaking()
    talk.listen("i1", 200)
    actions = talk.hear(TRUNCATED, item_id="i1", content_index=0, audio_end_ms=200)
    assert rules(actions) == ["R-A1"]
    assert state_of(talk) == "cut"
    assert stops(barge_in(talk)) == []


def test_what_sounds_beyond_a_cut_by_the_server_is_stopped() -> None:
    assert stops(speaking().hear(TRUNCATED, item_id="i1", content_index=0, audio_end_ms=200)) == ["i1"]
    assert stops(speaking().hear(TRUNCATED, item_id="i1", content_index=0, audio_end_ms=1000)) == []


def test_a_cut_by_the_server_while_the_player_stops_takes_our_cut_s_place() -> None:
    talk = speaking()
    barge_in(talk)
    talk.hear(TRUNCATED, item_id="i1", content_index=0, audio_end_ms=200)
    assert talk.stopped("i1", 300) == ()


def test_a_cut_by_the_server_of_a_part_that_never_spoke_here_is_taken() -> None:
    talk = Talk(transport="webrtc")
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    actions = talk.hear(TRUNCATED, item_id="i1", content_index=0, audio_end_ms=200)
    assert rules(actions) == []
    assert talk.client.playback.get("i1", 0) is None


def test_a_cut_by_the_server_of_what_was_heard_out_leaves_it_heard() -> None:
    talk = spoken_out()
    talk.listen("i1", 1000)
    talk.hear(TRUNCATED, item_id="i1", content_index=0, audio_end_ms=900)
    assert state_of(talk) == "heard"


# -- the socket's end --------------------------------------------------------------------------------------------------


def test_a_part_that_was_stopping_when_the_socket_ended_stays_cut_and_nobody_is_told() -> None:
    talk = speaking()
    talk.listen("i1", 100)
    barge_in(talk)
    assert truncations(talk.lose_socket()) == []
    assert state_of(talk) == "cut"
    assert talk.client.playback.heard("i1")[0].played_ms == 100


def test_what_was_played_out_when_the_socket_ended_is_heard() -> None:
    talk = speaking()
    talk.listen("i1", 1000)
    talk.lose_socket()
    assert state_of(talk) == "heard"


def test_an_answer_of_the_player_after_our_close_truncates_nothing() -> None:
    talk = speaking()
    barge_in(talk)
    talk.client.close(0)
    assert talk.stopped("i1", 100) == ()
    assert state_of(talk) == "cut"


# -- bounds, snapshot --------------------------------------------------------------------------------------------------


def test_a_player_that_never_reports_is_given_up_on_part_by_part() -> None:
    talk = Talk(limits=Limits(playback_entries=1))
    talk.speaks("r1", "i1", 100)
    talk.speaks("r2", "i2", 100)
    assert stops(barge_in(talk)) == ["i2"]


def test_a_cut_that_is_under_way_comes_back_from_a_snapshot() -> None:
    talk = speaking()
    talk.listen("i1", 250)
    barge_in(talk)
    talk = talk.restored()
    assert truncations(talk.tick()) == [("i1", 0, 250)]


def test_a_stream_plays_on_after_a_snapshot() -> None:
    talk = speaking(100).restored()
    (play,) = of(talk.audio("r1", "i1", 20), PlayAudio)
    assert play.start == 2400


def test_what_is_cut_with_its_socket_without_ever_having_been_a_member_is_told_nobody() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.part("r1", "i1")
    talk.audio("r1", "i1", 500)
    assert stops(barge_in(talk)) == ["i1"]
    actions = talk.lose_socket()
    assert sent(actions) == []
    assert state_of(talk) == "cut"
