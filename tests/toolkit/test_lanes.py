"""A session as spans in lanes: what is drawn where, from when to when, and that it stays bounded."""

from __future__ import annotations

from typing import Any

import pybase64
import pytest

from antiphon import messages as m
from antiphon.toolkit import Turn
from antiphon.toolkit import lanes as module
from antiphon.toolkit.analytics import Direction
from antiphon.toolkit.lanes import Lanes, LaneSpan

MS = 1_000_000
PLACE: dict[str, Any] = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
SOUND = pybase64.b64encode(bytes(4800)).decode()  # 100 ms

CREATED = m.ResponseCreated(response=m.Response(id="r", status="in_progress"))
ITEM = m.ResponseOutputItemAdded(
    response_id="r", output_index=0, item=m.MessageItem(id="i", role="assistant", content=[])
)
TEXT = m.ResponseOutputTextDelta(delta="la ", **PLACE)
SPOKEN = m.ResponseOutputAudioTranscriptDelta(delta="la ", **PLACE)
AUDIO = m.ResponseOutputAudioDelta(delta=SOUND, **PLACE)
DONE = m.ResponseDone(response=m.Response(id="r", status="completed"))
STARTED = m.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)
STOPPED = m.InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=900)
COMMITTED = m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)
TRUNCATE = m.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=120)
TRUNCATED = m.ConversationItemTruncated(item_id="i", content_index=0, audio_end_ms=120)

Line = tuple[float | None, Direction, Any]


def server(at: float | None, event: Any) -> Line:
    return at, "server", event


def client(at: float | None, event: Any) -> Line:
    return at, "client", event


def drawn(*lines: Line, lanes: Lanes | None = None) -> list[LaneSpan]:
    """The spans, without the notes that every session has."""
    lanes = lanes or Lanes()
    for number, (at, direction, event) in enumerate(lines, 1):
        lanes.observe(direction, event, None if at is None else int(at * MS), number)
    return lanes.sheet().spans


def one(*lines: Line) -> LaneSpan:
    (span,) = drawn(*lines)
    return span


def when(span: LaneSpan) -> tuple[str, float, float | None]:
    return span.kind, span.start, span.end


# The user ------------------------------------------------------------------------------------------------------------


def test_speech_is_a_span_with_its_transcript() -> None:
    written = m.ConversationItemInputAudioTranscriptionCompleted(item_id="u", content_index=0, transcript="hello")
    span = one(server(100, STARTED), server(900, STOPPED), server(901, COMMITTED), server(1500, written))
    assert (span.lane, *when(span), span.text, span.id, span.line) == ("user", "speech", 0, 800, "hello", "u", 1)


def test_speech_that_has_no_end_goes_on() -> None:
    assert one(server(100, STARTED)).end is None
    assert drawn(server(100, STOPPED)) == []


def test_a_turn_that_was_sent_by_hand_begins_with_its_first_audio() -> None:
    append = m.InputAudioBufferAppend(audio="")
    span, alone = drawn(
        client(0, append),
        client(20, append),
        server(300, COMMITTED),
        server(400, m.InputAudioBufferCommitted(item_id="v", previous_item_id="u")),
    )
    assert (*when(span), span.line) == ("committed", 0, 300, 1)
    assert (*when(alone), alone.line) == ("committed", 400, 400, 4)


def test_what_was_typed_is_a_point_and_is_drawn_once() -> None:
    typed = m.MessageItem(role="user", content=[m.InputText(text="hi"), m.InputText(text="there")])
    known = m.MessageItem(id="a", role="user", content=typed.content)
    spans = drawn(
        client(0, m.ConversationItemCreate(item=typed)),
        client(1, m.ConversationItemCreate(item=known)),
        server(5, m.ConversationItemAdded(item=known, previous_item_id=None)),
        server(6, m.ConversationItemAdded(item=m.MessageItem(id="b", role="user", content=typed.content))),
        server(7, m.ConversationItemAdded(item=m.MessageItem(id="c", role="user", content=[]))),
        server(8, m.ConversationItemAdded(item=m.MessageItem(role="user", content=[]))),
        server(9, m.ConversationItemAdded(item=m.MessageItem(id="d", role="system", content=[]))),
    )
    assert [(span.kind, span.start, span.id, span.text) for span in spans] == [
        ("typed", 0, "b", "hi\nthere"),
        ("typed", 1, "a", "hi\nthere"),
        ("typed", 7, "c", ""),
    ]
    assert drawn(client(0, m.ConversationItemCreate(item=m.MessageItem(role="system", content=[])))) == []


def test_a_transcript_goes_to_the_user_alone_and_once() -> None:
    written = m.ConversationItemInputAudioTranscriptionCompleted(item_id="i", content_index=0, transcript="hello")
    answer = one(server(0, CREATED), server(1, ITEM), server(2, written), server(3, written))
    assert answer.text == ""


def test_a_transcription_that_failed_is_a_note() -> None:
    failed = m.ConversationItemInputAudioTranscriptionFailed(
        item_id="u", content_index=0, error=m.FailureDetail(code="deaf", message="too quiet")
    )
    span = one(server(0, failed))
    assert (span.lane, span.kind, span.label, span.text) == ("note", "error", "transcription: deaf", "too quiet")


# Answers -------------------------------------------------------------------------------------------------------------


def test_an_answer_is_one_span_with_its_words_and_its_first_one() -> None:
    span = one(server(0, CREATED), server(10, ITEM), server(100, TEXT), server(120, TEXT), server(300, DONE))
    assert (*when(span), span.text, span.facts) == ("completed", 0, 300, "la la ", {"first": 100})


def test_words_that_come_only_whole_are_taken_and_those_that_came_in_pieces_not_again() -> None:
    text = m.ResponseOutputTextDone(text="all", **PLACE)
    spoken = m.ResponseOutputAudioTranscriptDone(transcript="heard", **{**PLACE, "content_index": 1})
    assert one(server(0, CREATED), server(1, text), server(2, spoken)).text == "all\nheard"
    assert one(server(0, CREATED), server(1, TEXT), server(2, text)).text == "la "
    assert drawn(server(0, text), server(1, TEXT), server(2, SPOKEN)) == []  # of no response


def test_an_answer_tells_why_it_ended_and_a_failed_one_is_a_note_too() -> None:
    cancelled = m.StatusDetails(type="cancelled", reason="turn_detected")
    end = m.ResponseDone(response=m.Response(id="r", status="cancelled", status_details=cancelled))
    span = one(server(0, CREATED), server(5, end))
    assert (span.kind, span.label) == ("cancelled", "turn_detected")
    failed = m.StatusDetails(type="failed", error=m.FailureDetail(type="server_error", code="oops", message="sorry"))
    end = m.ResponseDone(response=m.Response(id="r", status="failed", status_details=failed))
    spans = drawn(server(0, CREATED), server(5, end), server(6, end))
    assert [(span.lane, span.kind, span.label) for span in spans] == [
        ("response", "failed", ""),
        ("note", "error", "server_error: oops"),
        ("note", "error", "server_error: oops"),
    ]
    assert one(server(0, CREATED), server(1, m.ResponseDone(response=m.Response(id="r")))).kind == "done"


def test_what_is_known_of_a_turn_in_the_end_is_told_with_its_answer() -> None:
    lanes = Lanes()
    drawn(server(0, CREATED), server(9, DONE), lanes=lanes)
    lanes.turn(Turn(response_id="r", latency_ms=12.4, voice_latency_ms=30.6, received_ms=100.0, cut=True))
    lanes.turn(Turn(response_id="unknown"))
    (span,) = lanes.sheet().spans
    assert span.facts == {"latency_ms": 12, "voice_latency_ms": 31, "received_ms": 100, "cut": True}


def test_of_a_cut_answer_the_heard_words_are_told() -> None:
    lanes = Lanes()
    drawn(server(0, CREATED), server(1, ITEM), server(2, TEXT), server(3, STARTED), lanes=lanes)
    for item_id in ("i", "u", "unknown"):
        lanes.heard_text(item_id, "l")
    assert [span.heard_text for span in lanes.sheet().spans] == [None, "l"]


# What is played ------------------------------------------------------------------------------------------------------


def played(spans: list[LaneSpan]) -> list[tuple[str, float, float | None]]:
    return [when(span) for span in spans if span.lane == "playback"]


def test_audio_is_played_for_as_long_as_it_lasts_one_after_the_other() -> None:
    second = m.ResponseOutputAudioDelta(delta=SOUND, **{**PLACE, "item_id": "j"})
    spans = drawn(server(0, CREATED), server(50, AUDIO), server(52, AUDIO), server(54, second))
    assert played(spans) == [("heard", 50, 250), ("heard", 250, 350)]
    answer = spans[0]
    assert answer.facts == {"first": 50, "first_audio": 50}
    assert played(drawn(server(0, AUDIO))) == [("heard", 0, 100)]  # of no response


def test_a_cut_ends_it_when_the_user_began_to_speak() -> None:
    spans = drawn(
        server(0, AUDIO),
        server(1, AUDIO),
        server(1, AUDIO),
        server(90, STARTED),
        client(110, TRUNCATE),
        server(130, TRUNCATED),
        server(140, AUDIO),
    )
    assert played(spans) == [("heard", 0, 90), ("cut", 90, 370)]
    assert [span.facts.get("heard_ms") for span in spans if span.lane == "playback"] == [120, 120]


def test_a_cut_by_the_button_ends_it_when_it_is_asked_for() -> None:
    spans = drawn(server(5, AUDIO), server(6, AUDIO), client(55, TRUNCATE), server(60, TRUNCATED))
    assert played(spans) == [("heard", 0, 50), ("cut", 50, 130)]
    assert played(drawn(server(0, TRUNCATED))) == []


def test_the_player_knows_better() -> None:
    lanes = Lanes()
    drawn(server(0, AUDIO), server(0, AUDIO), lanes=lanes)
    for at, samples in ((70, 480), (120, 1680), (150, 2400), (200, 2400)):  # 20, 70, 100 ms
        lanes.audio_played("i", 0, samples, at * MS, 3)
    lanes.audio_played("unknown", 0, 1, 210 * MS, 3)
    spans = drawn(server(210, AUDIO), client(212, TRUNCATE), lanes=lanes)
    assert played(spans) == [("heard", 50, 150), ("cut", 150, 330)]
    heard = spans[0]
    assert (heard.facts["told"], heard.facts["heard_ms"], heard.facts["received_ms"]) == (True, 120, 300)


def test_a_server_that_plays_itself_tells_when() -> None:
    spans = drawn(
        server(0, m.OutputAudioBufferStarted(response_id="r")),
        server(900, m.OutputAudioBufferStopped(response_id="r")),
        server(1000, m.OutputAudioBufferStarted(response_id="s")),
        server(1200, m.OutputAudioBufferCleared(response_id="s")),
        server(1300, m.OutputAudioBufferStopped(response_id="unknown")),
    )
    assert played(spans) == [("heard", 0, 900), ("heard", 1000, 1200), ("cut", 1200, 1200)]


def test_of_shortened_audio_the_span_is_as_long_as_it_came() -> None:
    lanes = Lanes(audio_cut=True)
    spans = drawn(server(0, AUDIO), server(300, AUDIO), client(400, TRUNCATE), server(500, AUDIO), lanes=lanes)
    assert played(spans) == [("heard", 0, 120), ("cut", 120, 120)]


def test_audio_is_measured_in_the_format_that_the_session_names() -> None:
    g711 = m.AudioConfig(output=m.AudioOutput(format=m.AudioFormat(type="audio/pcmu")))
    session = m.SessionCreated(session=m.RealtimeSession(audio=g711, model="big"))
    spans = drawn(server(0, session), server(0, AUDIO), server(1, m.SessionUpdated(session=m.RealtimeSession())))
    assert played(spans) == [("heard", 0, 600)]
    assert [(span.label, span.text) for span in spans if span.lane == "note"] == [
        ("session.created", "big"),
        ("session.updated", ""),
    ]


# Tools and notes -----------------------------------------------------------------------------------------------------

CALL = m.ResponseFunctionCallArgumentsDone(
    response_id="r", item_id="f", output_index=0, call_id="c", name="weather", arguments='{"in": "Paris"}'
)
OUTPUT = m.FunctionCallOutputItem(call_id="c", output="sunny")


def test_a_call_lasts_until_its_output() -> None:
    answer, call = drawn(
        server(0, CREATED), server(10, CALL), server(11, CALL), client(300, m.ConversationItemCreate(item=OUTPUT))
    )[:2]
    assert answer.facts == {"first": 10, "calls": "weather, weather"}
    assert (call.lane, call.kind, call.label) == ("tool", "call", "weather")
    spans = drawn(
        server(0, CALL),
        server(40, m.ConversationItemAdded(item=OUTPUT)),
        server(50, m.ConversationItemAdded(item=OUTPUT)),
    )
    assert [(*when(span), span.text) for span in spans] == [("call", 0, 40, '{"in": "Paris"} → sunny')]


def test_a_call_without_a_name_has_one() -> None:
    nameless = m.ResponseFunctionCallArgumentsDone(
        response_id="r", item_id="f", output_index=0, call_id="c", name="", arguments="{}"
    )
    assert one(server(0, nameless)).label == "(unnamed)"


def test_work_of_an_mcp_server_is_a_tool() -> None:
    item = m.McpCallItem(id="x", server_label="maps", name="route", arguments="")
    place: dict[str, Any] = {"item_id": "x", "output_index": 0}
    begun = server(0, m.ResponseOutputItemAdded(response_id="r", output_index=0, item=item))
    arguments = server(5, m.ResponseMcpCallArgumentsDone(response_id="r", arguments="{}", **place))
    span = one(
        begun,
        arguments,
        server(90, m.ResponseMcpCallCompleted(**place)),
        server(91, m.ResponseMcpCallCompleted(**place)),
    )
    assert (*when(span), span.label, span.text) == ("mcp", 0, 90, "maps: route", "{}")
    assert one(begun, server(90, m.ResponseMcpCallFailed(**place))).facts == {"failed": True}
    assert drawn(arguments) == []


def test_a_call_that_only_begins_is_drawn_when_its_arguments_are_whole() -> None:
    item = m.FunctionCallItem(id="f", call_id="c", name="weather", arguments="")
    assert drawn(server(0, m.ResponseOutputItemAdded(response_id="r", output_index=0, item=item))) == []


def test_an_error_is_a_note() -> None:
    error = m.Error(error=m.ErrorDetail(type="invalid_request_error", code="invalid_value", message="no"))
    span = one(server(0, error))
    assert (span.kind, span.label, span.text) == ("error", "invalid_request_error: invalid_value", "no")


def test_a_rule_that_is_broken_again_is_counted_in_its_first_note() -> None:
    lanes = Lanes()
    lanes.note("remark", "the socket opened", "", 1, None)
    for line in range(2, 5):
        lanes.note("broken", "R-S1", "twice", line, line * MS)
    spans = lanes.sheet().spans
    assert [(span.kind, span.label, span.line, span.facts) for span in spans] == [
        ("remark", "the socket opened", 1, {}),
        ("broken", "R-S1", 2, {"count": 3}),
    ]
    assert lanes.sheet().timed


# Time and bounds -----------------------------------------------------------------------------------------------------


def test_without_times_the_axis_counts_lines() -> None:
    lanes = Lanes()
    spans = drawn(
        server(None, CREATED),
        server(None, AUDIO),
        server(None, AUDIO),
        server(None, TRUNCATED),
        server(None, AUDIO),
        server(None, DONE),
        lanes=lanes,
    )
    lanes.audio_played("i", 0, 480, None, 7)
    sheet = lanes.sheet()
    assert (sheet.timed, sheet.length) == (False, 6)
    assert [when(span) for span in spans] == [("completed", 0, 5), ("heard", 1, 2), ("cut", 2, 2)]


def test_a_row_without_a_time_among_others_is_at_the_time_before_it() -> None:
    spans = drawn(server(0, STARTED), server(50, CREATED), server(None, STOPPED))
    assert [when(span) for span in spans] == [("speech", 0, 50), ("open", 50, None)]


def test_an_event_that_could_not_be_read_draws_nothing() -> None:
    assert (
        drawn(server(0, m.Malformed.of({"type": "response.created"}, ())), server(1, m.UnknownEvent.of({"type": "x"})))
        == []
    )


def test_a_lane_holds_so_many_spans_and_counts_the_rest() -> None:
    lanes = Lanes()
    for number in range(4100):
        event = m.InputAudioBufferSpeechStarted(item_id=f"u{number}", audio_start_ms=0)
        lanes.observe("server", event, number * MS, number)
    sheet = lanes.sheet()
    assert (len(sheet.spans), sheet.omitted) == (4000, {"user": 100})
    assert len(lanes._by_item) == 4000


def test_text_is_bounded_for_each_span_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = m.ResponseOutputTextDelta(delta="x" * 1500, **PLACE)
    span = one(server(0, CREATED), server(1, flood), server(2, flood), server(3, flood))
    assert span.text == "x" * 2000 + " …"
    monkeypatch.setattr(module, "_TEXT_BUDGET", 100)
    spans = drawn(server(0, CREATED), server(1, flood), server(2, CREATED), server(3, flood))
    assert [len(span.text) for span in spans] == [1500, 122]


def test_the_parts_of_an_answer_that_are_told_apart_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SPANS", 1)
    other = m.ResponseOutputTextDelta(delta="li", **{**PLACE, "content_index": 1})
    assert one(server(0, CREATED), server(1, TEXT), server(2, other)).text == "la li"


def test_what_goes_on_when_the_socket_ends_ends_with_it() -> None:
    lanes = Lanes()
    delivered = m.OutputAudioBufferStarted(response_id="r")
    drawn(server(0, CREATED), server(0, delivered), server(5, STARTED), lanes=lanes)
    lanes.socket_ended(90 * MS, 4)
    lanes.socket_ended(95 * MS, 5)
    drawn(server(200, DONE), lanes=lanes)
    spans = lanes.sheet().spans
    assert [when(span) for span in spans] == [("speech", 5, 90), ("lost", 0, 90), ("heard", 0, 90)]


def test_a_history_that_is_told_again_is_not_drawn_again() -> None:
    typed = m.ConversationItemCreate(item=m.MessageItem(id="a", role="user", content=[]))
    assert len(drawn(client(0, typed), client(9, typed))) == 1
