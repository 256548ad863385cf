"""`antiphon.engine.blame`: which command an error is about when it names none."""

from __future__ import annotations

import pytest

from antiphon.engine.blame import Blame, blame
from antiphon.messages import ErrorDetail


def test_an_error_may_say_everything() -> None:
    error = ErrorDetail(code="invalid_value", message="", param="response.audio.output.voice", event_id="ask")
    assert blame(error) == Blame("ask", "invalid_value", "response.create", "audio")


def test_an_error_may_say_nothing() -> None:
    assert blame(ErrorDetail(message="")) == Blame(None, None, None, None)
    assert blame(ErrorDetail(code=None, message="", param=None, event_id=None)) == Blame(None, None, None, None)


def test_a_code_that_belongs_to_one_command_is_believed_before_the_parameter() -> None:
    error = ErrorDetail(code="invalid_tool_call_id", message="", param="response.input[0].call_id")
    assert blame(error).command == "conversation.item.create"


@pytest.mark.parametrize(
    ("param", "command"), [(None, "conversation.item.truncate"), ("response.max_output_tokens", "response.create")]
)
def test_a_code_of_several_commands_stands_for_one_where_no_parameter_does(param: str | None, command: str) -> None:
    assert blame(ErrorDetail(code="integer_below_min_value", message="", param=param)).command == command


def test_a_known_code_may_stand_in_the_type() -> None:
    assert blame(ErrorDetail(type="response_cancel_not_active", message="")).code == "response_cancel_not_active"
    assert blame(ErrorDetail(type="invalid_request_error", message="")).code is None


@pytest.mark.parametrize("param", ["", "[", "...", "é", "tools", "item_id"])
def test_a_parameter_that_belongs_to_nobody_blames_nobody(param: str) -> None:
    assert blame(ErrorDetail(code="invalid_value", message="", param=param)).command is None


@pytest.mark.parametrize(
    ("param", "key"),
    [
        ("response.modalities", "output_modalities"),
        ("response.voice", "audio"),
        ("response.max_response_output_tokens", "max_output_tokens"),
    ],
)
def test_a_parameter_of_the_beta_is_known_by_its_name_in_ga(param: str, key: str) -> None:
    assert blame(ErrorDetail(code="invalid_value", message="", param=param)).key == key


def test_an_empty_id_is_none() -> None:
    assert blame(ErrorDetail(message="", event_id="")).event_id is None
