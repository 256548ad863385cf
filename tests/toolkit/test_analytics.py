"""The numbers of a session: each measured as the module says, in bounded memory, the same when merged."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pybase64
import pytest

from antiphon import Prices, PriceTable
from antiphon import messages as m
from antiphon.toolkit import Analysis, Analytics, Turn, portable_id
from antiphon.toolkit.analytics import Direction

MS = 1_000_000
PLACE: dict[str, Any] = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
SOUND = pybase64.b64encode(bytes(4800)).decode()  # 100 ms

CREATED = m.ResponseCreated(response=m.Response(id="r", status="in_progress", output=[]))
TEXT = m.ResponseOutputTextDelta(delta="a", **PLACE)
SPOKEN = m.ResponseOutputAudioTranscriptDelta(delta="a", **PLACE)
AUDIO = m.ResponseOutputAudioDelta(delta=SOUND, **PLACE)
STARTED = m.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)
STOPPED = m.InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=900)
COMMITTED = m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)

Line = tuple[float, Direction, Any]


def done(status: str = "completed", **fields: Any) -> m.ResponseDone:
    return m.ResponseDone(response=m.Response(id="r", status=status, output=[], **fields))


def analysed(*lines: Line) -> Analysis:
    analytics = Analytics()
    for at, direction, event in lines:
        analytics.observe(direction, event, int(at * MS))
    return analytics.analysis()


def test_a_spoken_turn_is_timed_as_the_user_waits() -> None:
    analysis = analysed(
        (0, "server", STARTED),
        (900, "server", STOPPED),
        (905, "server", COMMITTED),
        (950, "server", CREATED),
        (1100, "server", SPOKEN),
        (1150, "server", AUDIO),
        (1200, "server", AUDIO),
        (1250, "server", done()),
    )
    assert (analysis.turns, analysis.responses, analysis.interruptions) == (1, {"completed": 1}, 0)
    assert analysis.time_to_first_token.max == 150
    assert analysis.time_to_first_audio.max == 200
    assert analysis.turn_latency.max == 200  # from the end of speech, not from the commit
    assert analysis.response_duration.max == 300
    assert analysis.audio_received_ms == 200
    assert analysis.duration_ms == 1250


def test_a_turn_that_was_committed_by_hand_ends_with_the_commit() -> None:
    analysis = analysed((0, "server", COMMITTED), (100, "server", CREATED), (300, "server", TEXT))
    assert analysis.turn_latency.max == 300


def test_a_typed_turn_ends_when_the_answer_is_asked_for() -> None:
    item = m.MessageItem(role="user", content=[m.InputText(text="hello")])
    analysis = analysed(
        (0, "client", m.ConversationItemCreate(item=item)),
        (10, "client", m.ResponseCreate()),
        (100, "server", CREATED),
        (110, "server", TEXT),
    )
    assert (analysis.turns, analysis.turn_latency.max) == (1, 100)


TYPED = m.ConversationItemCreate(item=m.MessageItem(role="user", content=[m.InputText(text="hello")]))
OCCUPIED = m.ErrorDetail(type="invalid_request_error", code="conversation_already_has_active_response", message="no")
ANSWERED: tuple[Line, ...] = ((60_100, "server", CREATED), (60_300, "server", TEXT))
ASKED: tuple[Line, ...] = ((60_000, "client", TYPED), (60_000, "client", m.ResponseCreate()), *ANSWERED)


def test_the_turn_that_is_timed_is_not_that_of_a_request_long_refused() -> None:
    refused: Line = (1050, "server", m.Error(error=OCCUPIED))
    assert analysed((1000, "client", m.ResponseCreate()), refused, *ASKED).turn_latency.max == 300
    asked_again: Line = (60_000, "client", m.ResponseCreate())
    assert analysed((1000, "client", m.ResponseCreate()), refused, asked_again, *ANSWERED).turn_latency.max == 300


@pytest.mark.parametrize(
    "error",
    [OCCUPIED, m.ErrorDetail(type="server_error", message="no", event_id="ask")],
)
def test_a_response_that_nobody_asked_for_is_not_timed_from_a_request_that_was_refused(error: m.ErrorDetail) -> None:
    asked: Line = (1000, "client", m.ResponseCreate(event_id="ask"))
    assert analysed(asked, (1050, "server", m.Error(error=error)), *ANSWERED).turn_latency.count == 0


@pytest.mark.parametrize(
    "error",
    [
        m.ErrorDetail(type="server_error", message="no", event_id="other"),
        m.ErrorDetail(type="server_error", message="no"),
    ],
)
def test_an_error_of_something_else_does_not_end_the_wait(error: m.ErrorDetail) -> None:
    asked: Line = (60_000, "client", m.ResponseCreate(event_id="ask"))
    assert analysed(asked, (60_050, "server", m.Error(error=error)), *ANSWERED).turn_latency.max == 300


def test_a_request_that_is_refused_because_speech_is_answered_already_does_not_end_the_wait() -> None:
    asked: tuple[Line, ...] = ((60_010, "client", m.ResponseCreate()), (60_050, "server", m.Error(error=OCCUPIED)))
    assert analysed((60_000, "server", STOPPED), *asked, *ANSWERED).turn_latency.max == 300


def test_speech_that_was_cleared_is_no_turn_that_is_timed() -> None:
    cleared = m.InputAudioBufferCleared()
    spoken: tuple[Line, ...] = ((0, "server", STARTED), (1000, "server", STOPPED), (1150, "server", cleared))
    assert analysed(*spoken, *ASKED).turn_latency.max == 300
    assert analysed(*spoken, *ANSWERED).turn_latency.count == 0
    assert analysed(*spoken, (60_000, "server", COMMITTED), *ANSWERED).turn_latency.max == 300


def test_a_buffer_that_is_cleared_without_speech_in_it_ends_no_wait() -> None:
    cleared: Line = (60_050, "server", m.InputAudioBufferCleared())
    assert analysed((60_000, "client", m.ResponseCreate()), cleared, *ANSWERED).turn_latency.max == 300


def test_a_typed_turn_is_timed_and_not_the_spoken_one_before_it_that_nobody_answered() -> None:
    assert analysed((1000, "server", STOPPED), (1010, "server", COMMITTED), *ASKED).turn_latency.max == 300


def test_speech_during_a_response_is_an_interruption() -> None:
    details = m.StatusDetails(type="cancelled", reason="turn_detected")
    analysis = analysed(
        (0, "server", CREATED),
        (10, "server", STARTED),
        (20, "server", done("cancelled", status_details=details)),
        (30, "server", m.ConversationItemTruncated(item_id="i", content_index=0, audio_end_ms=480)),
        (40, "server", STARTED),
    )
    assert analysis.interruptions == 1
    assert analysis.cancelled_by == {"turn_detected": 1}
    assert (analysis.truncations.count, analysis.truncations.max) == (1, 480)


def test_the_time_of_a_tool_is_from_its_call_to_its_output() -> None:
    where = {"response_id": "r", "item_id": "i", "output_index": 0, "call_id": "c"}
    output = m.FunctionCallOutputItem(call_id="c", output="{}")
    analysis = analysed(
        (0, "server", m.ResponseFunctionCallArgumentsDone(name="weather", arguments="{}", **where)),
        (700, "client", m.ConversationItemCreate(item=output)),
    )
    assert analysis.tools == {"weather": 1}
    assert analysis.tool_duration.max == 700


def test_an_output_whose_call_nobody_saw_has_no_time() -> None:
    output = m.FunctionCallOutputItem(call_id="c", output="{}")
    assert analysed((700, "client", m.ConversationItemCreate(item=output))).tool_duration.count == 0


def test_of_calls_without_an_output_the_newest_are_followed() -> None:
    where = {"response_id": "r", "item_id": "i", "output_index": 0}
    calls: list[Line] = [
        (0, "server", m.ResponseFunctionCallArgumentsDone(name="f", arguments="{}", call_id=f"c{number}", **where))
        for number in range(1000)
    ]
    outputs: list[Line] = [
        (700, "client", m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id=call_id, output="{}")))
        for call_id in ("c0", "c999")
    ]
    analysis = analysed(*calls, *outputs)
    assert analysis.tools == {"f": 1000}
    assert analysis.tool_duration.count == 1


def test_what_the_system_writes_is_no_turn() -> None:
    item = m.MessageItem(role="system", content=[m.InputText(text="Be brief.")])
    assert analysed((0, "client", m.ConversationItemCreate(item=item))).turns == 0


def test_a_turn_ends_with_the_speech_though_the_answer_is_asked_for_later() -> None:
    analysis = analysed(
        (0, "server", STARTED),
        (900, "server", STOPPED),
        (950, "client", m.ResponseCreate()),
        (1000, "server", CREATED),
        (1100, "server", AUDIO),
    )
    assert analysis.turn_latency.max == 200


def test_an_answer_of_which_nobody_knows_when_it_began_is_timed_from_the_turn_alone() -> None:
    analytics = Analytics()
    analytics.observe("server", STOPPED, 0)
    analytics.observe("server", CREATED)
    analytics.observe("server", AUDIO, 100 * MS)
    analysis = analytics.analysis()
    assert (analysis.turn_latency.max, analysis.time_to_first_audio.count) == (100, 0)


def test_tokens_are_added_up() -> None:
    usage = m.ResponseUsage(
        input_tokens=10,
        output_tokens=5,
        input_token_details=m.InputTokenDetails(text_tokens=4, audio_tokens=6, cached_tokens=3),
        output_token_details=m.OutputTokenDetails(text_tokens=1, audio_tokens=4),
    )
    used = analysed((0, "server", done(usage=usage)), (1, "server", done(usage=usage))).usage
    assert (used.input_tokens, used.output_tokens, used.cached_tokens, used.output.audio) == (20, 10, 6, 8)


def test_errors_are_counted_by_class_and_code() -> None:
    details = m.StatusDetails(type="failed", error=m.FailureDetail(type="tokens", code="rate_limit_exceeded"))
    failed = m.ConversationItemInputAudioTranscriptionFailed(
        item_id="u", content_index=0, error=m.FailureDetail(code="audio_unintelligible")
    )
    analysis = analysed(
        (0, "server", m.Error(error=m.ErrorDetail(type="invalid_request_error", code="invalid_value", message="no"))),
        (1, "server", done("failed", status_details=details)),
        (2, "server", failed),
    )
    assert analysis.errors == {
        "invalid_request_error: invalid_value": 1,
        "rate_limit_error: rate_limit_exceeded": 1,
        "transcription: audio_unintelligible": 1,
    }


def test_time_between_events_is_kept_by_type_and_side() -> None:
    analysis = analysed((0, "server", TEXT), (5, "client", m.InputAudioBufferAppend(audio="")), (30, "server", TEXT))
    assert analysis.between["response.output_text.delta"].max == 30
    assert "input_audio_buffer.append" not in analysis.between


def test_without_a_clock_there_are_counts_and_no_times() -> None:
    analytics = Analytics()
    for event in (CREATED, TEXT, done()):
        analytics.observe("server", event)
    analysis = analytics.analysis()
    assert (analysis.events, analysis.responses, analysis.duration_ms) == (3, {"completed": 1}, None)
    assert analysis.time_to_first_token.count == analysis.response_duration.count == 0


def test_audio_is_measured_in_the_formats_that_the_session_names() -> None:
    audio = m.AudioConfig(
        input=m.AudioInput(format=m.AudioFormat(type="audio/pcmu")),
        output=m.AudioOutput(format=m.AudioFormat(type="audio/pcm", rate=48000)),
    )
    analysis = analysed(
        (0, "server", m.SessionCreated(session=m.RealtimeSession(audio=audio))),
        (1, "client", m.InputAudioBufferAppend(audio=pybase64.b64encode(bytes(8000)).decode())),
        (2, "server", AUDIO),
    )
    assert (analysis.audio_sent_ms, analysis.audio_received_ms) == (1000, 50)


def test_what_could_not_be_read_is_counted_and_no_more() -> None:
    analytics = Analytics()
    analytics.observe("server", m.Malformed.of({"type": "response.done"}, ()))
    analytics.observe("server", m.UnknownEvent.of({"type": "vendor.news"}))
    assert analytics.analysis().by_type == {"response.done": 1, "vendor.news": 1}


def spoken(offset: int) -> list[Line]:
    return [
        (offset, "server", CREATED),
        (offset + 10, "server", TEXT),
        (offset + 20, "server", AUDIO),
        (offset + 30, "server", done()),
    ]


def test_merging_two_sessions_is_adding_them() -> None:
    one, two = Analytics(), Analytics()
    for at, direction, event in spoken(0):
        one.observe(direction, event, int(at) * MS)
    for at, direction, event in spoken(1000):
        two.observe(direction, event, int(at) * MS)
    one.merge(two)
    analysis = one.analysis()
    assert (analysis.sessions, analysis.events, analysis.duration_ms) == (2, 8, 60)
    assert analysis.responses == {"completed": 2}
    assert analysis.time_to_first_token.count == 2
    assert analysis.audio_received_ms == 200


def test_memory_does_not_grow_with_the_recording() -> None:
    analytics = Analytics()
    for number in range(3000):
        analytics.observe("server", m.UnknownEvent.of({"type": f"vendor.{number}"}), number)
        analytics.observe("server", m.ResponseCreated(response=m.Response(id=f"r{number}")), number)
    assert len(analytics._by_type) <= 1025
    assert len(analytics._between) <= 1025
    assert len(analytics._answers) <= 256
    assert analytics.analysis().by_type["(other)"] > 0


def test_it_is_written_as_json_and_as_rows() -> None:
    analytics = Analytics()
    for at, direction, event in spoken(0):
        analytics.observe(direction, event, int(at) * MS)
    document = json.loads(analytics.to_json())
    assert document["responses"] == {"completed": 1}
    rows = {(measure, name): number for measure, name, number in analytics.rows()}
    assert rows["responses", "completed"] == 1
    assert rows["time_to_first_audio.p50", ""] == pytest.approx(20)
    assert rows["usage.unknown", ""] == 1
    assert ("turn_latency.p50", "") not in rows


# Turns ---------------------------------------------------------------------------------------------------------------


def turns_of(*lines: Line, played: tuple[int, int] | None = None) -> tuple[list[Turn], Analysis]:
    """The turns, and the analysis; ``played``: after that line, so many samples of the part were played."""
    turns: list[Turn] = []
    analytics = Analytics(on_turn=turns.append)
    for number, (at, direction, event) in enumerate(lines):
        analytics.observe(direction, event, int(at * MS))
        if played is not None and played[0] == number:
            analytics.audio_played("i", 0, played[1])
    before = analytics.analysis()
    analytics.finish()
    assert analytics.analysis() == before
    return turns, before


CUT = m.ConversationItemTruncated(item_id="i", content_index=0, audio_end_ms=150)


def test_an_answer_is_told_with_its_latencies_and_what_it_used() -> None:
    usage = m.ResponseUsage(input_tokens=10, output_tokens=5)
    (turn,), analysis = turns_of(
        (900, "server", STOPPED),
        (950, "server", CREATED),
        (1100, "server", SPOKEN),
        (1150, "server", AUDIO),
        (1250, "server", done(usage=usage)),
    )
    assert (turn.response_id, turn.status, turn.interrupted, turn.cut) == ("r", "completed", False, False)
    assert (turn.latency_ms, turn.voice_latency_ms, turn.duration_ms) == (200, 250, 300)
    assert (turn.first_token_ms, turn.first_audio_ms, turn.received_ms, turn.heard_ms) == (150, 200, 100, None)
    assert (turn.usage.input_tokens, turn.created, turn.ended) == (10, 950 * MS, 1250 * MS)
    assert analysis.voice_latency.max == 250


def test_of_a_cut_answer_is_told_how_much_was_heard() -> None:
    (turn,), analysis = turns_of(
        (0, "server", CREATED), (1, "server", AUDIO), (2, "server", AUDIO), (3, "server", done()), (90, "server", CUT)
    )
    assert (turn.cut, turn.interrupted, turn.heard_ms, turn.received_ms) == (True, True, 150, 200)
    assert (analysis.cuts, analysis.cut_heard_ms, analysis.cut_received_ms) == (1, 150, 200)
    assert analysis.interruptions == 1


def test_of_audio_that_the_recorder_shortened_no_length_is_told() -> None:
    turns: list[Turn] = []
    analytics = Analytics(audio_cut=True, on_turn=turns.append)
    for event in (CREATED, AUDIO, CUT):
        analytics.observe("server", event)
    analytics.finish()
    analysis = analytics.analysis()
    assert (turns[0].heard_ms, turns[0].received_ms) == (150, 0)
    assert (analysis.audio_received_ms, analysis.cuts, analysis.truncations.max) == (0, 0, 150)


def test_an_answer_is_interrupted_once() -> None:
    (turn,), analysis = turns_of(
        (0, "server", CREATED), (1, "server", AUDIO), (2, "server", STARTED), (3, "server", CUT)
    )
    assert (turn.interrupted, turn.heard_ms, analysis.interruptions) == (True, 100, 1)  # never more than came


def test_what_the_player_says_is_what_was_heard() -> None:
    (turn,), analysis = turns_of((0, "server", CREATED), (1, "server", AUDIO), (2, "server", done()), played=(2, 1200))
    assert (turn.heard_ms, turn.cut, analysis.cuts) == (50, False, 0)
    (turn,), _ = turns_of((0, "server", CREATED), (1, "server", AUDIO), (2, "server", CUT), played=(1, 1200))
    assert turn.heard_ms == 100  # the cut is confirmed last


def test_what_was_played_of_an_unknown_part_is_passed_over() -> None:
    analytics = Analytics()
    analytics.audio_played("nobody", 0, 1)
    analytics.observe("server", CUT)
    analytics.observe("server", AUDIO)
    assert analytics.analysis().cuts == 0


def test_a_cut_by_the_server_is_one_of_which_nobody_told_how_much_was_heard() -> None:
    (turn,), analysis = turns_of(
        (0, "server", m.OutputAudioBufferCleared(response_id="nobody")),
        (0, "server", CREATED),
        (1, "server", m.OutputAudioBufferCleared(response_id="r")),
    )
    assert (turn.cut, turn.heard_ms, turn.interrupted, analysis.cuts) == (True, None, True, 0)


def test_a_failed_answer_tells_its_error_and_a_cancelled_one_its_reason() -> None:
    failed = m.StatusDetails(type="failed", error=m.FailureDetail(type="server_error", code="oops"))
    (turn,), _ = turns_of((0, "server", CREATED), (1, "server", done("failed", status_details=failed)))
    assert (turn.status, turn.error) == ("failed", "server_error: oops")
    cancelled = m.StatusDetails(type="cancelled", reason="client_cancelled")
    (turn,), _ = turns_of((0, "server", CREATED), (1, "server", done("cancelled", status_details=cancelled)))
    assert (turn.status, turn.reason, turn.error) == ("cancelled", "client_cancelled", None)


def test_answers_are_told_in_the_order_in_which_they_began_and_the_unfinished_too() -> None:
    second = m.ResponseCreated(response=m.Response(id="r2"))
    turns, _ = turns_of((0, "server", CREATED), (1, "server", second), (2, "server", done()), (3, "server", CREATED))
    assert [(turn.response_id, turn.status) for turn in turns] == [("r", "completed"), ("r2", None), ("r", None)]


def test_a_second_end_of_a_response_is_only_counted() -> None:
    (turn,), analysis = turns_of((0, "server", CREATED), (1, "server", done()), (5, "server", done("failed")))
    assert (turn.status, turn.duration_ms, analysis.usage.responses) == ("completed", 1, 2)


def test_calls_are_counted_in_their_answer() -> None:
    call = m.ResponseFunctionCallArgumentsDone(
        response_id="r", item_id="i", output_index=0, call_id="c", name="f", arguments="{}"
    )
    stray = m.ResponseFunctionCallArgumentsDone(
        response_id="x", item_id="i", output_index=0, call_id="d", name="f", arguments="{}"
    )
    (turn,), analysis = turns_of((0, "server", CREATED), (1, "server", call), (2, "server", stray))
    assert (turn.calls, analysis.tools) == (1, {"f": 2})


def test_the_sounding_parts_that_are_followed_are_bounded() -> None:
    analytics = Analytics()
    analytics.observe("server", CREATED)
    for number in range(300):
        analytics.observe("server", m.ResponseOutputAudioDelta(delta="", **{**PLACE, "item_id": f"i{number}"}))
    assert len(analytics._sounding) == 256


# Cost ----------------------------------------------------------------------------------------------------------------

PRICES = PriceTable(models={"big": Prices(text_input=Decimal(4)), "ear": Prices(audio_minute=Decimal(6))})


def priced(model: str, transcription: m.AudioTranscription | None) -> m.SessionUpdated:
    audio = m.AudioConfig(input=m.AudioInput(transcription=transcription))
    return m.SessionUpdated(session=m.RealtimeSession(model=model, audio=audio))


def test_what_was_used_costs_what_its_model_costs() -> None:
    usage = m.ResponseUsage(
        input_tokens=1_000_000, output_tokens=0, input_token_details=m.InputTokenDetails(text_tokens=1_000_000)
    )
    written = m.ConversationItemInputAudioTranscriptionCompleted(
        item_id="u", content_index=0, transcript="", usage=m.DurationUsage(seconds=60)
    )
    analytics = Analytics()
    for event in (
        priced("big", m.AudioTranscription(model="ear")),
        CREATED,
        done(usage=usage),
        written,
        priced("other", None),
        CREATED,
        done(usage=usage),
        written,
        m.SessionUpdated(session=m.RealtimeSession()),
        CREATED,
        done(usage=usage),
    ):
        analytics.observe("server", event)
    cost = analytics.cost(PRICES)
    assert (cost.amount, cost.currency) == (10, "USD")
    assert cost.unpriced == {"text_input": 2_000_000, "transcription_seconds": 60}
    assert analytics.usage.responses == 3
    more = Analytics()
    more.merge(analytics)
    assert more.cost(PRICES) == cost


def test_models_are_told_apart_up_to_a_bound() -> None:
    analytics = Analytics()
    for number in range(1100):
        analytics.observe("server", priced(f"model-{number}", None))
        analytics.observe("server", done())
    assert len(analytics._usage) <= 1025
    assert analytics.usage.responses == 1100


def test_what_begins_before_the_clock_has_no_duration() -> None:
    analytics = Analytics()
    analytics.observe("server", CREATED)
    analytics.observe("server", TEXT, 5 * MS)
    analytics.observe("server", done(), 9 * MS)
    analysis = analytics.analysis()
    assert (analysis.time_to_first_token.count, analysis.response_duration.count) == (0, 0)


def test_items_and_requests_that_belong_to_no_turn_are_no_turns() -> None:
    seed = m.MessageItem(role="assistant", content=[])
    stray = m.FunctionCallOutputItem(call_id="unknown", output="")
    analysis = analysed(
        (0, "client", m.ConversationItemCreate(item=seed)),
        (1, "client", m.ConversationItemCreate(item=stray)),
        (2, "server", STOPPED),
        (3, "client", m.ResponseCreate()),  # the turn ended with the speech
        (10, "server", CREATED),
        (12, "server", TEXT),
    )
    assert (analysis.turns, analysis.tool_duration.count, analysis.turn_latency.max) == (0, 0, 10)


def test_calls_that_wait_for_their_output_are_bounded() -> None:
    analytics = Analytics()
    for number in range(300):
        call = m.ResponseFunctionCallArgumentsDone(
            response_id="r", item_id="i", output_index=0, call_id=f"c{number}", name="f", arguments="{}"
        )
        analytics.observe("server", call, number)
    assert len(analytics._calls) == 256


def test_speech_after_an_answer_is_no_interruption() -> None:
    assert analysed((0, "server", CREATED), (1, "server", done()), (2, "server", STARTED)).interruptions == 0


# Sockets -------------------------------------------------------------------------------------------------------------


def test_an_answer_whose_socket_is_gone_is_lost_and_nobody_interrupts_it() -> None:
    turns: list[Turn] = []
    analytics = Analytics(on_turn=turns.append)
    analytics.observe("server", done())
    analytics.observe("server", CREATED)
    analytics.socket_ended()
    analytics.socket_ended()
    analytics.observe("server", STARTED)
    analytics.finish()
    assert [(turn.status, turn.interrupted) for turn in turns] == [("lost", False)]
    assert analytics.analysis().responses == {"completed": 1, "lost": 1}


def test_a_history_that_is_told_again_is_no_new_turn() -> None:
    def typed(item_id: str) -> m.ConversationItemCreate:
        return m.ConversationItemCreate(item=m.MessageItem(id=item_id, role="user", content=[]))

    given = m.ConversationItemAdded(item=m.MessageItem(id="b", role="user", content=[]))
    seed = m.ConversationItemAdded(item=m.MessageItem(id="c", role="system", content=[]))
    nameless = m.ConversationItemCreate(item=m.MessageItem(role="user", content=[]))
    first: list[Line] = [(0, "client", typed("a")), (1, "client", nameless), (2, "server", given), (3, "server", seed)]
    again: list[Line] = [(9, "client", typed("a")), (9, "client", typed("b")), (9, "client", typed("u"))]
    assert analysed(*first, (5, "server", COMMITTED), *again).turns == 3


def test_a_history_that_is_told_again_under_other_ids_is_no_new_turn() -> None:
    long = "item_" + "x" * 40
    told_again = m.ConversationItemCreate(item=m.MessageItem(id=portable_id(long), role="user", content=[]))
    committed = m.InputAudioBufferCommitted(item_id=long, previous_item_id=None)
    assert analysed((0, "server", committed), (9, "client", told_again)).turns == 1


def test_the_items_that_are_known_again_are_bounded() -> None:
    analytics = Analytics()
    for number in range(5000):
        analytics.observe("server", m.InputAudioBufferCommitted(item_id=f"u{number}", previous_item_id=None))
    assert len(analytics._said_items) == 4096
