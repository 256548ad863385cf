"""`antiphon.engine.delivery`: a server that delivers its audio itself, as over WebRTC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon import (
    Actions,
    ClientSession,
    InputAudio,
    InputCommitted,
    Limits,
    LocalProtocolError,
    Report,
    ResponseFinished,
    Role,
    SessionConfig,
    StopAudio,
    Timer,
    TransmitMessage,
)
from antiphon import messages as m
from unit.server_helpers import MS, Host, of, sent, sent_types

SAMPLES = 24  # in a millisecond of PCM16 at 24 kHz

CANCELLED = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def _host(**config: Any) -> Host:
    return Host(transport="webrtc", **config)


def _delivers(host: Host, item_id: str, ms: int) -> list[str]:
    """So much of an item has left; what is said of it."""
    return sent_types(host.server.audio_played(item_id, 0, ms * SAMPLES, host.now))


def _interrupts(host: Host) -> list[dict[str, Any]]:
    host.append(50)
    return sent(host.speech_started(0))


# -- delivering --------------------------------------------------------------------------------------------------------


def test_audio_goes_another_way_than_the_events() -> None:
    host = _host()
    response_id = host.asks()
    host.begins(response_id, "audio")
    assert host.sounds(response_id, 100) == ()
    assert sent_types(host.ends(response_id, 0))[:2] == CANCELLED[:2]
    aside = host.asks(conversation="none")
    host.begins(aside, "audio")
    assert host.sounds(aside, 100) == ()


def test_delivery_starts_once_and_stops_after_the_response_when_all_has_left() -> None:
    host = _host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    (started,) = sent(host.server.audio_played(item_id, 0, 20 * SAMPLES, 0))
    assert (started["type"], started["response_id"]) == ("output_audio_buffer.started", response_id)
    assert _delivers(host, item_id, 100) == []
    host.sounds(response_id, 50)
    host.finishes(response_id)
    assert _delivers(host, item_id, 149) == []
    (stopped,) = sent(host.server.audio_played(item_id, 0, 150 * SAMPLES, 0))
    assert (stopped["type"], stopped["response_id"]) == ("output_audio_buffer.stopped", response_id)
    assert _delivers(host, item_id, 150) == []


def test_delivery_that_kept_up_stops_right_after_the_response() -> None:
    host = _host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    _delivers(host, item_id, 100)
    assert sent_types(host.finishes(response_id))[-2:] == ["response.done", "output_audio_buffer.stopped"]


def test_a_response_in_text_delivers_nothing() -> None:
    host = _host()
    response_id = host.asks()
    host.begins(response_id)
    host.says(response_id, "x")
    assert sent_types(host.finishes(response_id))[-1] == "response.done"


# -- cutting, in the recorded orders (R-O4) ----------------------------------------------------------------------------


def test_speech_in_the_middle_of_a_part_cuts_delivery_then_the_response_then_the_item() -> None:
    """R-O4"""
    host = _host()
    item_id = host.sounds_in(host.asks(), 1000)
    _delivers(host, item_id, 250)
    host.append(50)
    actions = host.speech_started(0)
    assert of(actions[:1], StopAudio) == [StopAudio(item_id, 0)]
    said = sent(actions)
    assert [event["type"] for event in said] == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        *CANCELLED,
        "conversation.item.truncated",
    ]
    assert said[-2]["response"]["status_details"]["reason"] == "turn_detected"
    truncated = said[-1]
    assert (truncated["item_id"], truncated["content_index"], truncated["audio_end_ms"]) == (item_id, 0, 250)
    assert _delivers(host, item_id, 300) == []


def test_speech_before_the_end_of_the_response_leaves_its_item_complete() -> None:
    host = _host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    host.ends(response_id, 0)
    _delivers(host, item_id, 40)
    said = _interrupts(host)
    assert [event["type"] for event in said] == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "response.done",
        "conversation.item.truncated",
    ]
    assert said[2]["response"]["output"][0]["status"] == "completed"


def test_speech_after_the_end_of_the_response_cuts_what_is_left() -> None:
    host = _host()
    item_id = host.speaks(100)
    _delivers(host, item_id, 40)
    said = _interrupts(host)
    assert [event["type"] for event in said] == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    assert said[-1]["audio_end_ms"] == 40


def test_speech_before_any_item_ends_the_response_alone() -> None:
    host = _host()
    host.asks()
    assert [event["type"] for event in _interrupts(host)] == ["input_audio_buffer.speech_started", "response.done"]


def test_of_what_had_not_begun_to_leave_nothing_was_heard() -> None:
    host = _host()
    host.sounds_in(host.asks(), 100)
    said = _interrupts(host)
    assert "output_audio_buffer.cleared" not in [event["type"] for event in said]
    assert (said[-1]["type"], said[-1]["audio_end_ms"]) == ("conversation.item.truncated", 0)


def test_what_was_delivered_whole_stays_whole() -> None:
    host = _host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    _delivers(host, item_id, 100)
    host.append(50)
    actions = host.speech_started(0)
    assert of(actions, StopAudio) == []
    assert sent_types(actions)[-1] == "response.done"


def test_a_session_that_is_not_to_be_interrupted_is_delivered_to_its_end() -> None:
    host = _host()
    host.update(audio={"input": {"turn_detection": {"interrupt_response": False}}})
    item_id = host.speaks(100)
    _delivers(host, item_id, 40)
    assert [event["type"] for event in _interrupts(host)] == ["input_audio_buffer.speech_started"]
    assert _delivers(host, item_id, 100) == ["output_audio_buffer.stopped"]


def test_a_client_may_clear_what_is_playing() -> None:
    host = _host()
    item_id = host.speaks(100)
    _delivers(host, item_id, 40)
    actions = host.hear("output_audio_buffer.clear")
    assert of(actions, StopAudio) == [StopAudio(item_id, 0)]
    assert sent_types(actions) == ["output_audio_buffer.cleared", "conversation.item.truncated"]
    assert sent_types(host.hear("output_audio_buffer.clear")) == []


def test_a_clear_does_not_cancel_and_what_follows_is_not_delivered() -> None:
    host = _host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    _delivers(host, item_id, 40)
    host.hear("output_audio_buffer.clear")
    host.sounds(response_id, 100)
    assert _delivers(host, item_id, 200) == []
    assert sent_types(host.finishes(response_id))[-1] == "response.done"
    assert host.server.deliveries.dump() == []
    assert host.server.spoken[item_id].ms == 40


def test_what_a_clear_had_cut_is_not_cut_again_by_speech() -> None:
    host = _host()
    item_id = host.sounds_in(host.asks(), 100)
    _delivers(host, item_id, 40)
    host.hear("output_audio_buffer.clear")
    assert [event["type"] for event in _interrupts(host)] == ["input_audio_buffer.speech_started", *CANCELLED]
    assert host.server.deliveries.dump() == []


def test_an_item_that_a_cut_left_no_room_for_is_not_cut_itself() -> None:
    host = _host(limits=Limits(conversation_text_bytes=2200))
    response_id = host.asks()
    for index in (0, 1):
        host.begins(response_id, "audio", index)
        host.says(response_id, "one two", index)
    for index in (1, 0):
        host.sounds(response_id, 100, index)
    host.finishes(response_id)
    first, second = host.ids
    user = host.adds(content=[{"type": "input_text", "text": "x" * 1200}])
    assert host.ids == [first, second, user]
    assert [event["item_id"] for event in _interrupts(host)[1:]] == [second]  # whose cut has to be kept, too
    assert host.ids == [second, user]


def test_a_deleted_item_that_had_left_whole_is_not_stopped() -> None:
    host = _host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    host.ends(response_id, 0)
    _delivers(host, item_id, 100)
    actions = host.hear("conversation.item.delete", item_id=item_id)
    assert of(actions, StopAudio) == []
    assert sent_types(actions) == ["conversation.item.deleted"]


def test_a_clear_leaves_what_is_still_to_begin() -> None:
    host = _host()
    item_id = host.sounds_in(host.asks(), 100)
    assert sent_types(host.hear("output_audio_buffer.clear")) == []
    assert _delivers(host, item_id, 10) == ["output_audio_buffer.started"]


def test_after_a_cancel_a_clear_drops_what_had_not_begun() -> None:
    host = _host()
    item_id = host.sounds_in(host.asks(), 100)
    host.hear("response.cancel")
    assert sent_types(host.hear("output_audio_buffer.clear")) == ["conversation.item.truncated"]
    assert host.server.spoken[item_id].samples == 0


def test_a_cut_keeps_the_kept_audio_in_step() -> None:
    host = _host(retain_output_audio=True)
    item_id = host.speaks(100)
    _delivers(host, item_id, 40)
    _interrupts(host)
    assert len(host.server.recordings.of(item_id)[0].audio) == 40 * SAMPLES * 2


def test_a_deleted_item_is_stopped_and_its_response_has_left() -> None:
    host = _host()
    item_id = host.speaks(100)
    _delivers(host, item_id, 40)
    actions = host.hear("conversation.item.delete", item_id=item_id)
    assert sent_types(actions) == ["conversation.item.deleted", "output_audio_buffer.stopped"]
    assert of(actions, StopAudio) == [StopAudio(item_id, 0)]
    assert _delivers(host, item_id, 50) == []


def test_a_cut_by_the_client_is_the_end_of_what_there_is() -> None:
    host = _host()
    item_id = host.speaks(100)
    _delivers(host, item_id, 60)
    host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=30)
    assert _delivers(host, item_id, 60) == ["output_audio_buffer.stopped"]


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_silence_is_counted_from_the_end_of_delivery() -> None:
    host = _host()
    host.update(audio={"input": {"turn_detection": {"idle_timeout_ms": 5000}}})
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 300)
    _delivers(host, item_id, 100)
    host.finishes(response_id)
    assert host.server.next_timer == (Timer.IDLE, (200 + 5000) * MS)


def test_audio_that_came_in_beside_the_events_is_heard() -> None:
    host = _host(retain_input_audio=True)
    actions = host.server.append_audio(bytes(480 * 20), 0)
    assert of(actions, InputAudio) == [InputAudio(bytes(480 * 20), 0)]
    (committed,) = of(host.hear("input_audio_buffer.commit"), InputCommitted)
    assert committed.audio == bytes(480 * 20)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda host: host.server.append_audio(b"123", 0), "R-I6"),
        (lambda host: host.server.append_audio(b"", 0), "R-I6"),
        (lambda host: host.server.audio_played("nobody", 0, 1, 0), "R-B1"),
        (lambda host: host.server.audio_played(host.speaks(1), 1, 1, 0), "R-B1"),
        (lambda host: host.server.audio_played(host.speaks(1), 0, -1, 0), "R-B1"),
    ],
)
def test_what_no_application_can_have_delivered_or_heard_is_refused(call: Callable[[Host], object], rule: str) -> None:
    with pytest.raises(LocalProtocolError, match=rule):
        call(_host())


@pytest.mark.parametrize(
    "call", [lambda host: host.server.append_audio(b"12", 0), lambda host: host.server.audio_played("a", 0, 1, 0)]
)
def test_over_a_websocket_the_client_plays_and_appends(call: Callable[[Host], object]) -> None:
    host = Host()
    assert host.refused(lambda: call(host)).rule == "R-E6"


def test_delivery_goes_on_after_a_restore() -> None:
    host = _host()
    item_id = host.speaks(100)
    _delivers(host, item_id, 40)
    again = host.restored()
    assert _delivers(again, item_id, 100) == ["output_audio_buffer.stopped"]


def test_audio_that_is_never_delivered_is_forgotten_one_day() -> None:
    host = _host(limits=Limits(open_responses=2))
    host.speaks(10)
    host.speaks(10)
    response_id = host.asks()
    host.begins(response_id, "audio")
    assert [report.rule for report in of(host.sounds(response_id, 10), Report)] == ["R-N2"]
    host.think(ResponseFinished(response_id=response_id))
    assert len(host.server.deliveries.dump()) == 2


def test_what_was_under_way_is_lost_with_the_socket() -> None:
    host = _host()
    host.speaks(100)
    host.server.receive_eof(0)
    assert host.server.deliveries.dump() == []


# -- with a client at the other end ------------------------------------------------------------------------------------


class Call:
    """A client and a server that is its telephone, without delay between them."""

    def __init__(self) -> None:
        self.host = _host(begun=False)
        self.client = ClientSession(Role.CLIENT, SessionConfig(transport="webrtc"), now=0)
        self.client.opened(0)
        self.reports: list[Report] = []
        self.hears(self.host.server.opened(0))
        self.indexes: dict[str, int] = {}

    def hears(self, actions: Actions) -> None:
        """The client is told what the server says."""
        for message in of(actions, TransmitMessage):
            self.reports += of(self.client.receive_message(message.text, 0), Report)

    def says(self, event: m.ClientEvent) -> None:
        """The client says something, if it may."""
        try:
            actions = self.client.send(event, 0)
        except LocalProtocolError:
            return
        for message in of(actions, TransmitMessage):
            self.hears(self.host.server.receive_message(message.text, 0))

    def act(self, act: str) -> None:
        """One of the things that happen on a telephone."""
        host, record = self.host, self.host.server.default_response
        newest = list(host.server.spoken)[-1] if host.server.spoken else None
        if act == "ask":
            self.says(m.ResponseCreate())
        elif act == "begin" and record is not None:
            index = self.indexes[record.id] = self.indexes.get(record.id, -1) + 1
            self.hears(host.begins(record.id, "audio", index))
        elif act == "sound" and record is not None and record.id in self.indexes:
            self.hears(host.sounds(record.id, 100, self.indexes[record.id]))
        elif act == "finish" and record is not None:
            self.hears(host.finishes(record.id))
        elif act in ("deliver", "deliver all") and newest is not None:
            samples = 10**9 if act == "deliver all" else 30 * SAMPLES
            self.hears(host.server.audio_played(newest, 0, samples, 0))
        elif act == "speak":
            self.hears(host.server.append_audio(bytes(4800), 0))
            spoken = host.server.input_audio_buffer_state == "speech"
            self.hears(host.speech_stopped(100) if spoken else host.speech_started(0))
        elif act == "clear":
            self.says(m.OutputAudioBufferClear())
        elif act == "cancel":
            self.says(m.ResponseCancel())
        elif act == "delete" and newest is not None:
            self.says(m.ConversationItemDelete(item_id=newest))


ACTS = ("ask", "begin", "sound", "finish", "deliver", "deliver all", "speak", "clear", "cancel", "delete")


@settings(max_examples=200)
@given(st.lists(st.sampled_from(ACTS), max_size=40))
def test_a_client_has_nothing_to_report_of_a_server_that_delivers(acts: list[str]) -> None:
    call = Call()
    for act in acts:
        call.act(act)
    assert call.reports == []
    assert call.client.reports == {}
    assert [node.id for node in call.client.conversation] == call.host.ids
