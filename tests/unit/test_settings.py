"""`antiphon.engine.settings`: what an update of a session changes, and what refuses it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine.codec import session_from_builtins, to_builtins
from antiphon.engine.settings import (
    DEFAULTS,
    Json,
    Refusal,
    merged,
    modalities_of,
    problem_with_params,
    problem_with_update,
    refusal_of,
    unknown_parameter,
)
from antiphon.messages import Problem

REALTIME = m.RealtimeSession()


def _problem(*, has_spoken: bool = False, settings: Json = DEFAULTS, **update: Any) -> Refusal | None:
    return problem_with_update(settings, {"type": "realtime", **update}, has_spoken=has_spoken)


# -- merging -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "update", "result"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1, 2]}, {"a": []}, {"a": []}),
        ({"a": {"b": 1}}, {"a": "auto"}, {"a": "auto"}),
    ],
)
def test_keys_that_are_present_change_at_every_level(base: Json, update: Json, result: Json) -> None:
    before = copy.deepcopy((base, update))
    assert merged(base, update) == result
    assert (base, update) == before


@pytest.mark.parametrize(
    ("update", "result"),
    [
        ({"type": "audio/pcmu"}, {"type": "audio/pcmu"}),
        ({"type": "audio/pcm"}, {"type": "audio/pcm", "rate": 24000}),
        ({"rate": 16000}, {"type": "audio/pcm", "rate": 16000}),
        ({"type": "audio/pcma", "rate": 8000}, {"type": "audio/pcma", "rate": 8000}),
    ],
)
def test_a_format_of_another_type_does_not_keep_the_rate(update: Json, result: Json) -> None:
    assert merged({"format": {"type": "audio/pcm", "rate": 24000}}, {"format": update}) == {"format": result}


def test_what_sessions_begin_with_is_a_session_without_unknown_keys() -> None:
    assert to_builtins(session_from_builtins(DEFAULTS)) == DEFAULTS


# -- refusals ----------------------------------------------------------------------------------------------------------


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


# -- session.update ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"instructions": None, "tools": [], "output_modalities": ["text"]},
        {"output_modalities": None},
        {"audio": None},
        {"audio": {"input": None, "output": None}},
        {"audio": {"input": {"format": None, "turn_detection": None}}},
        {"audio": {"input": {"turn_detection": {"threshold": 0.1}}}},
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}},
        {
            "audio": {
                "input": {"format": {"type": "audio/pcma"}},
                "output": {"format": {"type": "audio/pcm", "rate": 8000}},
            }
        },
        {"audio": {"output": {"voice": "cedar"}}},
    ],
)
def test_an_update_within_the_rules_is_accepted(update: Json) -> None:
    assert _problem(**update) is None


def test_a_session_does_not_become_one_of_another_kind() -> None:
    refused = problem_with_update(DEFAULTS, {"type": "transcription"}, has_spoken=False)
    assert refused is not None
    detail = refused.detail("mine")
    assert (detail.type, detail.code, detail.param, detail.event_id) == (
        "invalid_request_error",
        "invalid_parameter",
        "session.type",
        "mine",
    )


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize(
    ("format", "key", "value"),
    [
        ({"type": "pcm16"}, "type", "pcm16"),
        ({"type": None}, "type", None),
        ({"type": "audio/pcm", "rate": -1}, "rate", -1),
    ],
)
def test_a_format_that_nobody_can_count_in_is_refused(side: str, format: Json, key: str, value: object) -> None:
    refused = _problem(audio={side: {"format": format}})
    assert refused is not None
    assert (refused.name, refused.fields["value"]) == ("invalid_value", value)
    assert refused.fields["param"] == f"session.audio.{side}.format.{key}"


def test_a_format_may_be_named_by_its_rate_alone() -> None:
    assert _problem(audio={"output": {"format": {"rate": 8000}}}) is None


def test_another_voice_is_refused_once_one_was_heard() -> None:
    marin = {"output": {"voice": "marin"}}
    assert _problem(audio=marin) is None
    assert _problem(audio=marin, has_spoken=True) == Refusal("cannot_update_voice")
    assert _problem(audio={"output": {"voice": "alloy"}}, has_spoken=True) is None
    assert _problem(audio={"output": {"speed": 1.5}}, has_spoken=True) is None


@pytest.mark.parametrize("settings", [{"type": "realtime"}, merged(DEFAULTS, {"audio": None})])
def test_a_session_may_have_no_voice_to_compare_with(settings: Json) -> None:
    marin = {"output": {"voice": "marin"}}
    assert _problem(settings=settings, audio=marin, has_spoken=True) == Refusal("cannot_update_voice")


@pytest.mark.parametrize(
    "key", ["voice", "modalities", "turn_detection", "id", "expires_at", "client_secret", "nonsense"]
)
def test_a_key_that_no_update_has_is_named(key: str) -> None:
    text = f'{{"type": "session.update", "session": {{"type": "realtime", "instructions": "", "{key}": null}}}}'
    assert unknown_parameter(text, REALTIME) == Refusal("unknown_parameter", {"param": f"session.{key}"})


def test_the_keys_of_a_session_are_those_of_its_kind() -> None:
    text = b'{"session": {"type": "transcription", "instructions": ""}}'
    assert unknown_parameter(text, REALTIME) is None
    refused = Refusal("unknown_parameter", {"param": "session.instructions"})
    assert unknown_parameter(text, m.TranscriptionSession()) == refused


def test_an_endless_key_is_cut() -> None:
    text = f'{{"session": {{"{"x" * 999}": 1}}}}'
    assert unknown_parameter(text, REALTIME) == Refusal("unknown_parameter", {"param": "session." + "x" * 64})


def test_without_an_object_there_is_no_key() -> None:
    assert unknown_parameter('{"session": []}', REALTIME) is None


# -- response.create ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        m.ResponseCreateParams(),
        m.ResponseCreateParams(conversation=None, output_modalities=None),
        m.ResponseCreateParams(conversation="auto", output_modalities=["text"]),
        m.ResponseCreateParams(conversation="none", output_modalities=["audio"], instructions="be brief"),
    ],
)
def test_parameters_within_the_rules_are_accepted(params: m.ResponseCreateParams) -> None:
    assert problem_with_params(params) is None


@pytest.mark.parametrize(
    ("params", "name", "param"),
    [
        (m.ResponseCreateParams(voice="alloy"), "unknown_parameter", "response.voice"),
        (m.ResponseCreateParams(temperature=None), "unknown_parameter", "response.temperature"),
        (m.ResponseCreateParams(conversation="mine"), "invalid_value", "response.conversation"),
        (m.ResponseCreateParams(output_modalities=["video"]), "invalid_modalities", "response.output_modalities"),
    ],
)
def test_parameters_of_another_dialect_are_refused(params: m.ResponseCreateParams, name: str, param: str) -> None:
    refused = problem_with_params(params)
    assert refused is not None
    assert (refused.name, refused.fields["param"]) == (name, param)


@pytest.mark.parametrize(
    ("wanted", "session", "modality"),
    [
        (UNSET, ["text"], "text"),
        (UNSET, ["audio"], "audio"),
        (None, ["text"], "text"),
        (["audio"], ["text"], "audio"),
        (["text"], ["audio"], "text"),
        (UNSET, None, "audio"),
    ],
)
def test_a_request_says_how_it_is_to_be_answered_before_its_session(wanted: Any, session: Any, modality: str) -> None:
    params = m.ResponseCreateParams(output_modalities=wanted)
    assert modalities_of({"output_modalities": session}, params) == modality


def test_a_session_that_says_nothing_speaks() -> None:
    assert modalities_of({}, None) == "audio"
