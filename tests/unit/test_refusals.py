"""`antiphon.engine.refusals`: the entries of the table of errors, filled in."""

from __future__ import annotations

import pytest

from antiphon import error_event
from antiphon import messages as m
from antiphon.engine.refusals import Refusal, refusal_of
from antiphon.messages import Problem


def test_a_refusal_fills_in_the_blanks_of_its_entry() -> None:
    detail = Refusal("invalid_value", {"value": "{x}", "supported": "'a'", "param": "p"}).detail("mine")
    assert detail == m.ErrorDetail(
        type="invalid_request_error",
        code="invalid_value",
        message="Invalid value: '{x}'. Supported values are: 'a'.",
        param="p",
        event_id="mine",
    )


def test_an_entry_without_blanks_needs_none() -> None:
    detail = Refusal("response_cancel_not_active").detail(None)
    assert (detail.code, detail.param, detail.event_id) == ("response_cancel_not_active", None, None)


@pytest.mark.parametrize(
    ("problem", "refusal"),
    [
        (
            Problem("$.item.call_id", "required, but missing", "missing"),
            Refusal("missing_required_parameter", {"param": "item.call_id"}),
        ),
        (
            Problem("$.audio_end_ms", "expected an integer, found null"),
            Refusal("invalid_type", {"param": "audio_end_ms", "expected": "an integer", "actual": "null"}),
        ),
        (
            Problem("$.session.type", "not a known type of session", "value"),
            Refusal(
                "invalid_value",
                {"param": "session.type", "value": "x" * 64, "supported": "'realtime', 'transcription', 'translation'"},
            ),
        ),
    ],
)
def test_the_first_problem_of_a_repair_is_the_reason(problem: Problem, refusal: Refusal) -> None:
    assert refusal_of(problem, {"type": "session.update", "session": {"type": "x" * 99}}) == refusal


def test_an_application_makes_an_error_of_the_table() -> None:
    error = error_event("model_not_found", event_id="mine", model="m1").error
    assert (error.type, error.code, error.param, error.event_id) == (
        "invalid_request_error",
        "model_not_found",
        "model",
        "mine",
    )
    assert error.message.startswith("The model 'm1' ")


@pytest.mark.parametrize(("name", "fields"), [("no_such_error", {}), ("model_not_found", {})])
def test_an_error_that_cannot_be_filled_in_is_not_made(name: str, fields: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        error_event(name, **fields)
