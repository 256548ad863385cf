"""Errors: whose mistake it was, which rule, and what can be done about it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import msgspec
import pytest

from antiphon import Fault, LocalProtocolError, ProtocolError, RemoteProtocolError, SnapshotError


def test_a_local_mistake_names_the_rule_that_it_broke() -> None:
    error = LocalProtocolError("one socket at a time", rule="R-L2")
    assert (error.rule, error.message) == ("R-L2", "one socket at a time [R-L2]")
    assert str(error) == error.message


def test_a_local_mistake_names_what_the_server_would_have_said() -> None:
    error = LocalProtocolError("no such item", rule="R-C10", code="item_not_found", param="item_id")
    assert (error.code, error.param) == ("item_not_found", "item_id")
    assert str(error) == "no such item [R-C10, item_not_found]"


def test_an_overridable_refusal_says_how_to_send_it_all_the_same() -> None:
    error = LocalProtocolError("a race", rule="R-Q1", overridable=True)
    assert error.overridable
    assert "override={'R-Q1'}" in str(error)


def test_a_refusal_is_not_overridable_unless_it_says_so() -> None:
    error = LocalProtocolError("never", rule="R-N4")
    assert not error.overridable
    assert "override" not in str(error)
    assert (error.code, error.param) == (None, None)


def test_a_remote_failure_carries_its_fault() -> None:
    fault = Fault("handshake", "refused", "R-L5", status=401, code="invalid_api_key")
    error = RemoteProtocolError(fault)
    assert error.fault is fault
    assert (str(error), error.rule) == ("refused", "R-L5")


@pytest.mark.parametrize(
    "error", [LocalProtocolError("x", rule="R-L1"), RemoteProtocolError(Fault("eof", "x"))], ids=["local", "remote"]
)
def test_both_kinds_are_protocol_errors(error: ProtocolError) -> None:
    assert isinstance(error, ProtocolError)
    assert not isinstance(error, ValueError)


def test_a_local_mistake_is_no_remote_one() -> None:
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert not issubclass(RemoteProtocolError, LocalProtocolError)


def test_a_snapshot_that_does_not_fit_is_a_wrong_value_and_not_a_protocol_error() -> None:
    assert issubclass(SnapshotError, ValueError)
    assert not issubclass(SnapshotError, ProtocolError)


def test_a_fault_is_a_value_that_survives_json() -> None:
    fault = Fault("session", "expired", "R-S4", code="session_expired")
    assert msgspec.json.decode(msgspec.json.encode(fault), type=Fault) == fault
    assert fault == Fault("session", "expired", "R-S4", None, "session_expired")
    assert hash(fault) == hash(Fault("session", "expired", "R-S4", code="session_expired"))


def test_a_fault_cannot_be_changed() -> None:
    fault = Fault("eof", "gone")
    with pytest.raises(AttributeError):
        fault.message = "else"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    "passed_on", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize(
    "error",
    [
        LocalProtocolError("no such item", rule="R-C10", code="item_not_found", param="item_id", overridable=True),
        RemoteProtocolError(Fault("handshake", "refused", "R-L5", status=401)),
    ],
)
def test_an_error_may_be_passed_on_to_another_process(
    error: ProtocolError, passed_on: Callable[[ProtocolError], ProtocolError]
) -> None:
    again = passed_on(error)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
