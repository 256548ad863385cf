"""Errors: their class, whether the session is over, whether the same may succeed later."""

from __future__ import annotations

import pytest

from antiphon import Dropped, Fault, Finished, LostToVad, Merged, Rejected, TimedOut
from antiphon import messages as m
from antiphon.toolkit import ErrorType, RealtimeError

CREATE = m.ResponseCreate(event_id="mine")


def detail(**fields: str | None) -> m.ErrorDetail:
    return m.ErrorDetail(**{"type": "invalid_request_error", "message": "no", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("type", "code", "expected"),
    [
        ("invalid_request_error", None, ErrorType.INVALID_REQUEST),
        ("server_error", None, ErrorType.SERVER),
        ("tokens", "rate_limit_exceeded", ErrorType.RATE_LIMIT),
        ("invalid_request_error", "inference_rate_limit_exceeded", ErrorType.RATE_LIMIT),
        ("invalid_request_error", "invalid_api_key", ErrorType.AUTHENTICATION),
        ("something_new", None, ErrorType.UNKNOWN),
    ],
)
def test_the_class_is_told_by_the_code_and_else_by_the_type(type: str, code: str | None, expected: ErrorType) -> None:
    assert RealtimeError.from_detail(detail(type=type, code=code)).type is expected


def test_an_error_event_keeps_what_the_server_said() -> None:
    error = RealtimeError.from_event(m.Error(error=detail(code="invalid_value", param="x", event_id="mine")))
    assert (error.message, error.code, error.param, error.event_id) == ("no", "invalid_value", "x", "mine")
    assert not error.retryable


def test_an_error_without_an_event_id_is_that_of_its_command() -> None:
    assert RealtimeError.from_detail(detail(event_id=None), CREATE).event_id == "mine"


@pytest.mark.parametrize("code", ["session_expired", "insufficient_quota", "invalid_api_key"])
def test_a_fatal_code_is_never_retryable(code: str) -> None:
    error = RealtimeError.from_detail(detail(type="server_error", code=code))
    assert error.fatal
    assert not error.retryable


def test_a_failed_response_says_why() -> None:
    details = m.StatusDetails(type="failed", error=m.FailureDetail(type="tokens", code="rate_limit_exceeded"))
    error = RealtimeError.from_response(m.Response(id="r", status="failed", status_details=details))
    assert error is not None
    assert error.type is ErrorType.RATE_LIMIT
    assert error.retryable


def test_a_failed_response_without_a_reason_is_the_fault_of_the_server() -> None:
    error = RealtimeError.from_response(m.Response(id="r", status="failed"))
    assert error is not None
    assert error.type is ErrorType.SERVER


@pytest.mark.parametrize("status", ["completed", "cancelled", "incomplete"])
def test_a_response_that_did_not_fail_is_no_error(status: str) -> None:
    assert RealtimeError.from_response(m.Response(id="r", status=status)) is None


@pytest.mark.parametrize(
    ("fault", "type", "fatal"),
    [
        (Fault("dial", "refused"), ErrorType.CONNECTION, False),
        (Fault("timeout", "silent"), ErrorType.TIMEOUT, False),
        (Fault("handshake", "no", status=401), ErrorType.AUTHENTICATION, True),
        (Fault("handshake", "no", status=400), ErrorType.INVALID_REQUEST, True),
        (Fault("handshake", "no", status=404), ErrorType.INVALID_REQUEST, True),
        (Fault("handshake", "no", status=408), ErrorType.CONNECTION, False),
        (Fault("handshake", "no", status=429), ErrorType.RATE_LIMIT, False),
        (Fault("handshake", "no", status=503), ErrorType.CONNECTION, False),
        (Fault("session", "over", code="session_expired"), ErrorType.SERVER, True),
    ],
)
def test_time_outs_and_broken_connections_come_from_the_transport(fault: Fault, type: ErrorType, fatal: bool) -> None:
    error = RealtimeError.from_fault(fault)
    assert (error.type, error.fatal, error.retryable) == (type, fatal, not fatal)


def test_the_outcome_of_a_request_that_failed_is_an_error() -> None:
    outcomes = [Rejected(detail(type="server_error")), TimedOut(), Dropped("disconnected")]
    errors = [RealtimeError.from_outcome(outcome, CREATE) for outcome in outcomes]
    assert [(each.type, each.event_id) for each in errors if each] == [
        (ErrorType.SERVER, "mine"),
        (ErrorType.TIMEOUT, "mine"),
        (ErrorType.CONNECTION, "mine"),
    ]


@pytest.mark.parametrize("outcome", [Finished("r", "completed"), Merged("x"), LostToVad("r"), Dropped("cancelled")])
def test_other_outcomes_are_none(outcome: Finished | Merged | LostToVad | Dropped) -> None:
    assert RealtimeError.from_outcome(outcome, CREATE) is None
