"""Trying again: what, when, how often, and that it is done."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import antiphon
from antiphon import Deliver, Dropped, Finished, Merged, Rejected, RequestSettled, Role, SessionConfig, TimedOut
from antiphon import messages as m
from antiphon.toolkit import Attempt, Backoff, ErrorType, RealtimeError, Retrier, RetryPolicy

SECOND = 1_000_000_000
STEADY = RetryPolicy(by_type=dict.fromkeys(ErrorType, Backoff(attempts=2, first_ns=SECOND, jitter=0.0)))


def said_no(event_id: str | None, type: str = "server_error", code: str | None = None) -> Deliver:
    return Deliver(m.Error(error=m.ErrorDetail(type=type, code=code, message="no", event_id=event_id)), b"")


def rejected(event_id: str) -> RequestSettled:
    return RequestSettled(event_id, Rejected(m.ErrorDetail(type="server_error", message="no")))


def with_sent(*events: m.ClientEvent, policy: RetryPolicy = STEADY) -> Retrier:
    retrier = Retrier(policy)
    for event in events:
        retrier.sent(event)
    return retrier


def whys(attempts: Iterable[Attempt]) -> list[str]:
    return [each.why for each in attempts]


UPDATE = m.SessionUpdate(event_id="up", session=m.RealtimeSession())
CREATE = m.ResponseCreate(event_id="ask")


def test_a_refused_command_is_given_back_when_its_pause_is_over() -> None:
    retrier = with_sent(UPDATE)
    attempt = retrier.observe(said_no("up"), 0)
    assert attempt is not None
    assert (attempt.why, attempt.due, retrier.deadline) == ("again", SECOND, SECOND)
    assert retrier.due(SECOND - 1) == ()
    (again,) = retrier.due(SECOND)
    assert isinstance(again, m.SessionUpdate)
    assert (again.session, again.event_id) == (UPDATE.session, "up-2")
    assert retrier.deadline is None


def test_it_is_given_back_so_often_and_no_more() -> None:
    retrier = with_sent(UPDATE)
    retrier.observe(said_no("up"), 0)
    retrier.due(SECOND)
    retrier.observe(said_no("up-2"), SECOND)
    assert retrier.deadline == 3 * SECOND  # twice the pause
    retrier.due(3 * SECOND)
    retrier.observe(said_no("up-3"), 3 * SECOND)
    assert retrier.deadline is None
    assert whys(retrier.record) == ["again", "again", "exhausted"]
    assert [each.number for each in retrier.record] == [1, 2, 3]


def test_what_the_same_cannot_mend_is_not_tried_again() -> None:
    retrier = with_sent(UPDATE, policy=RetryPolicy())
    retrier.observe(said_no("up", "invalid_request_error", "invalid_value"), 0)
    assert whys(retrier.record) == ["not retryable"]


def test_nothing_is_tried_again_when_the_session_is_over() -> None:
    retrier = with_sent(UPDATE)
    retrier.observe(said_no("up", code="session_expired"), 0)
    assert whys(retrier.record) == ["fatal"]


def test_an_error_that_names_no_command_is_recorded() -> None:
    retrier = with_sent(UPDATE)
    retrier.observe(said_no(None), 0)
    assert whys(retrier.record) == ["unknown command"]


def test_a_rejected_request_is_told_by_its_outcome_alone() -> None:
    retrier = with_sent(CREATE)
    assert retrier.observe(said_no("ask"), 0) is None
    attempt = retrier.observe(rejected("ask"), 0)
    assert attempt is not None
    assert attempt.error.command == CREATE
    assert [each.type for each in retrier.due(SECOND)] == ["response.create"]


def test_a_response_that_failed_is_asked_for_again() -> None:
    retrier = with_sent(CREATE)
    details = m.StatusDetails(type="failed", error=m.FailureDetail(code="rate_limit_exceeded"))
    response = m.Response(id="r", status="failed", status_details=details)
    assert retrier.observe(Deliver(m.ResponseDone(response=response), b""), 0) is None
    attempt = retrier.observe(RequestSettled("ask", Finished("r", "failed")), 0)
    assert attempt is not None
    assert (attempt.error.type, attempt.why) == (ErrorType.RATE_LIMIT, "again")


def test_a_response_that_went_well_is_not() -> None:
    retrier = with_sent(CREATE)
    assert retrier.observe(RequestSettled("ask", Finished("r", "completed")), 0) is None
    assert retrier.record == ()


def test_a_request_without_an_answer_is_not_repeated_for_the_answer_may_still_come() -> None:
    retrier = with_sent(CREATE)
    retrier.observe(RequestSettled("ask", TimedOut()), 0)
    assert whys(retrier.record) == ["not safe"]


def test_a_request_whose_socket_is_gone_is_repeated() -> None:
    retrier = with_sent(CREATE)
    retrier.observe(RequestSettled("ask", Dropped("disconnected")), 0)
    assert whys(retrier.record) == ["again"]


@pytest.mark.parametrize(
    ("item_id", "why"), [("chosen", "again"), (None, "not safe")], ids=["with an id", "without an id"]
)
def test_an_item_is_repeated_after_silence_only_under_an_id_of_its_own(item_id: str | None, why: str) -> None:
    content: list[m.ContentPart] = [m.InputText(text="hello")]
    item = m.MessageItem(role="user", content=content)
    if item_id is not None:
        item = m.MessageItem(id=item_id, role="user", content=content)
    retrier = with_sent(m.ConversationItemCreate(event_id="item", item=item))
    error = antiphon.toolkit.RealtimeError(type=ErrorType.TIMEOUT, message="", event_id="item")
    assert retrier.failed(error, 0, refused=False).why == why


def test_audio_is_never_sent_again() -> None:
    retrier = with_sent(m.InputAudioBufferCommit(event_id="commit"))
    retrier.observe(said_no("commit"), 0)
    assert whys(retrier.record) == ["unknown command"]


def test_commands_that_are_due_together_keep_their_order() -> None:
    second = m.ConversationItemDelete(event_id="delete", item_id="x")
    retrier = with_sent(UPDATE, second)
    retrier.observe(said_no("up"), 0)
    retrier.observe(said_no("delete"), 0)
    assert [each.type for each in retrier.due(5 * SECOND)] == ["session.update", "conversation.item.delete"]


def test_what_is_remembered_is_bounded() -> None:
    retrier = Retrier(STEADY, history=3)
    for number in range(10):
        event_id = f"e{number}"
        retrier.sent(m.ConversationItemDelete(event_id=event_id, item_id="x"))
        retrier.observe(said_no(event_id), number)
    assert len(retrier.record) == 3
    assert len(retrier.due(60 * SECOND)) == 3


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_a_pause_is_positive_and_never_beyond_its_cap(attempt: int, jitter: float, chance: float) -> None:
    backoff = Backoff(jitter=jitter)
    assert 1 <= backoff.pause(attempt, chance) <= backoff.cap_ns


@pytest.mark.parametrize("factor", [1e6, math.inf])
def test_a_pause_that_no_float_can_hold_is_the_cap(factor: float) -> None:
    backoff = Backoff(attempts=100, factor=factor)
    assert backoff.pause(1, 0) == backoff.first_ns
    assert backoff.pause(60, 0) == backoff.cap_ns


def test_entropy_shortens_the_pause_by_its_part() -> None:
    policy = RetryPolicy(by_type={ErrorType.SERVER: Backoff(first_ns=SECOND, jitter=0.5)})
    retrier = Retrier(policy, entropy=lambda size: b"\xff" * size)
    retrier.sent(UPDATE)
    retrier.observe(said_no("up"), 0)
    assert retrier.deadline == SECOND // 2


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": -1}, {"first_ns": 0}, {"factor": 0.5}, {"factor": math.nan}, {"jitter": 2.0}],
)
def test_a_back_off_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="back-off"):
        Backoff(**wrong)  # type: ignore[arg-type]


def test_with_a_session_the_command_really_goes_out_again() -> None:
    session = antiphon.Session(Role.CLIENT, SessionConfig(), now=0)
    retrier = Retrier(STEADY)
    session.opened(0)
    session.receive_message(b'{"type":"session.created","event_id":"e","session":{"type":"realtime"}}', 0)
    event = session.identify(m.ResponseCreate())
    retrier.sent(event)
    session.send(event, 0)
    refusal = (
        b'{"type":"error","event_id":"e2","error":{"type":"server_error","message":"busy","event_id":"%s"}}'
        % str(event.event_id).encode()
    )
    for action in session.receive_message(refusal, 0):
        retrier.observe(action, 0)
    at = retrier.deadline
    assert at is not None
    (again,) = retrier.due(at)
    actions = session.send(again, at)
    assert any(isinstance(each, antiphon.TransmitMessage) for each in actions)


def test_why_a_response_failed_may_come_after_its_outcome() -> None:
    retrier = with_sent(m.ResponseCreate(event_id="ask"))
    assert retrier.observe(RequestSettled("ask", Finished("r", "failed")), 0) is None
    attempt = retrier.observe(Deliver(m.ResponseDone(response=m.Response(id="r", status="failed")), b""), 0)
    assert attempt is not None
    assert attempt.error.event_id == "ask"
    assert attempt.why == "again"


def test_responses_that_failed_are_remembered_up_to_a_limit() -> None:
    retrier = Retrier(STEADY, history=1)
    retrier.sent(m.ResponseCreate(event_id="ask"))
    for response_id in ("r", "other"):
        retrier.observe(RequestSettled("ask", Finished(response_id, "failed")), 0)
    done = Deliver(m.ResponseDone(response=m.Response(id="r", status="failed")), b"")
    assert retrier.observe(done, 0) is None
    assert retrier.observe(RequestSettled("unknown", Finished("r", "failed")), 0) is None


def test_why_responses_failed_is_remembered_up_to_a_limit() -> None:
    retrier = Retrier(STEADY, history=1)
    retrier.sent(m.ResponseCreate(event_id="ask"))
    for response_id in ("r", "other"):
        retrier.observe(Deliver(m.ResponseDone(response=m.Response(id=response_id, status="failed")), b""), 0)
    retrier.observe(RequestSettled("ask", Finished("r", "failed")), 0)
    assert retrier.record == ()
    retrier.observe(RequestSettled("ask", Finished("other", "failed")), 0)
    assert whys(retrier.record) == ["again"]


def test_commands_are_remembered_up_to_a_limit() -> None:
    retrier = Retrier(STEADY, history=2)
    for event_id in ("forgotten", "second", "third"):
        retrier.sent(m.ConversationItemDelete(event_id=event_id, item_id="x"))
    for event_id in ("forgotten", "third"):
        retrier.observe(said_no(event_id), 0)
    assert whys(retrier.record) == ["unknown command", "again"]


def test_a_request_that_became_part_of_another_did_not_fail() -> None:
    retrier = with_sent(CREATE)
    assert retrier.observe(RequestSettled("ask", Merged("other")), 0) is None
    assert retrier.record == ()


def test_after_silence_what_says_the_same_twice_is_repeated() -> None:
    commit = m.ConversationItemTruncate(event_id="cut", item_id="i", content_index=0, audio_end_ms=0)
    retrier = with_sent(UPDATE, commit)
    for event_id in ("up", "cut"):
        error = RealtimeError(type=ErrorType.TIMEOUT, message="no answer came", event_id=event_id)
        retrier.failed(error, 0, refused=False)
    assert whys(retrier.record) == ["again", "not safe"]


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="history must be at least 1, not 0"):
        Retrier(history=0)


def test_what_tells_of_no_failure_decides_nothing() -> None:
    retrier = with_sent(m.ResponseCreate(event_id="ask"))
    assert retrier.observe(Deliver(m.InputAudioBufferCleared(), b""), 0) is None
    assert retrier.observe(antiphon.Connected(1), 0) is None
    assert retrier.observe(RequestSettled("ask", antiphon.Merged("other")), 0) is None
    assert retrier.record == ()


def test_a_response_of_somebody_else_that_failed_is_not_asked_for_again() -> None:
    retrier = with_sent()
    retrier.observe(Deliver(m.ResponseDone(response=m.Response(id="r", status="failed")), b""), 0)
    assert retrier.observe(RequestSettled("unknown", Finished("r", "failed")), 0) is None
    assert retrier.record == ()
