"""`antiphon.engine.settings`: what an update of a session changes, and what refuses it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine.codec import Repaired, client_decoder, session_from_builtins, to_builtins
from antiphon.engine.refusals import Refusal
from antiphon.engine.settings import (
    DEFAULTS,
    Json,
    initial,
    merged,
    modalities_of,
    problem_with_params,
    problem_with_update,
    unknown_parameter,
)

REALTIME = m.RealtimeSession()
FUNCTION = {"type": "function", "name": "f"}
MCP = {"type": "mcp", "server_label": "s"}


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


def _unknown(session: Json, *, type: str = "realtime") -> Refusal | None:
    text = json.dumps({"type": "session.update", "session": {"type": type, **session}})
    event = client_decoder(64)(text)
    if isinstance(event, Repaired):
        event = event.event  # a tool of an unknown type
    assert isinstance(event, m.SessionUpdate)
    return unknown_parameter(text, event)


@pytest.mark.parametrize(
    "key", ["voice", "modalities", "turn_detection", "id", "expires_at", "client_secret", "nonsense"]
)
def test_a_key_that_no_update_has_is_named(key: str) -> None:
    assert _unknown({"instructions": "", key: None}) == Refusal("unknown_parameter", {"param": f"session.{key}"})


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": {"inputs": {}}}, "audio.inputs"),
        ({"audio": {"input": {"voice": "marin"}}}, "audio.input.voice"),
        ({"audio": {"input": {"turn_detection": {"treshold": 0.5}}}}, "audio.input.turn_detection.treshold"),
        ({"audio": {"output": {"format": {"type": "audio/pcm", "channels": 1}}}}, "audio.output.format.channels"),
        ({"audio": {"output": {"voice": {"id": "v", "gender": "f"}}}}, "audio.output.voice.gender"),
        ({"tools": [FUNCTION, {**FUNCTION, "meta": {}}]}, "tools[1].meta"),
        ({"tools": [{**MCP, "allowed_tools": {"names": []}}]}, "tools[0].allowed_tools.names"),
        ({"tools": [{**MCP, "parameters": {}}]}, "tools[0].parameters"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice.function"),
        ({"truncation": {"type": "retention_ratio", "ratio": 1}}, "truncation.ratio"),
        ({"truncation": {"type": "retention_ratio", "token_limits": {"pre": 1}}}, "truncation.token_limits.pre"),
        ({"tracing": {"workflow": "w"}}, "tracing.workflow"),
        ({"audio": {"input": {"x" * 999: 1}}}, "audio.input." + "x" * 64),
    ],
)
def test_an_unknown_key_is_named_with_its_whole_path(session: Json, param: str) -> None:
    assert _unknown(session) == Refusal("unknown_parameter", {"param": f"session.{param}"})


@pytest.mark.parametrize(
    "session",
    [
        {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "anything": {"goes": 1}}}]},
        {"tools": [{"type": "mcp", "server_label": "s", "headers": {"X-Any": "y"}, "allowed_tools": ["a"]}]},
        {"tools": [{"type": "web_search", "depth": 3}]},
        {"prompt": {"id": "p", "variables": {"city": "Paris"}}},
        {"tracing": {"workflow_name": "w", "metadata": {"any": {"thing": 1}}}},
        {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 9}}},
        {"audio": None, "tools": None, "truncation": "auto"},
    ],
)
def test_what_the_client_may_fill_in_freely_is_not_looked_into(session: Json) -> None:
    assert _unknown(session) is None


def test_the_keys_of_a_session_are_those_of_its_kind() -> None:
    for key, path in (("instructions", "instructions"), ("audio", "audio.output")):
        refused = Refusal("unknown_parameter", {"param": f"session.{path}"})
        value: object = {"output": {}} if key == "audio" else ""
        assert _unknown({key: value}, type="transcription") == refused
        assert _unknown({key: value}) is None


def test_only_a_translation_speaks_a_language() -> None:
    refused = Refusal("unknown_parameter", {"param": "session.audio.output.language"})
    assert _unknown({"audio": {"output": {"language": "es"}}}) == refused


def test_without_an_object_there_is_no_key() -> None:
    assert unknown_parameter("{}", m.ResponseCreate()) is None
    assert unknown_parameter('{"response": null}', m.ResponseCreate(response=None)) is None


def test_an_unknown_key_is_seen_beside_a_number_that_is_too_large() -> None:
    refused = unknown_parameter('{"session": {"x": 1e400}}', m.SessionUpdate(session=REALTIME))
    assert refused == Refusal("unknown_parameter", {"param": "session.x"})


@pytest.mark.parametrize(
    ("update", "name", "fields"),
    [
        ({"max_output_tokens": 0}, "integer_below_min_value", {"minimum": 1, "value": 0}),
        ({"max_output_tokens": 4097}, "integer_above_max_value", {"maximum": 4096, "value": 4097}),
        ({"audio": {"input": {"turn_detection": {"threshold": -0.1}}}}, "decimal_below_min_value", {"minimum": 0}),
        ({"audio": {"input": {"turn_detection": {"threshold": 1.1}}}}, "decimal_above_max_value", {"maximum": 1}),
        ({"audio": {"input": {"turn_detection": {"silence_duration_ms": -1}}}}, "integer_below_min_value", {}),
        ({"audio": {"input": {"turn_detection": {"prefix_padding_ms": -1}}}}, "integer_below_min_value", {}),
        ({"audio": {"input": {"turn_detection": {"idle_timeout_ms": 4999}}}}, "integer_below_min_value", {}),
        ({"audio": {"input": {"turn_detection": {"idle_timeout_ms": 30001}}}}, "integer_above_max_value", {}),
        ({"audio": {"output": {"speed": 0.2}}}, "decimal_below_min_value", {"minimum": 0.25}),
        ({"audio": {"output": {"speed": 1.6}}}, "decimal_above_max_value", {"maximum": 1.5}),
        ({"truncation": {"type": "retention_ratio", "retention_ratio": 1.5}}, "decimal_above_max_value", {}),
        ({"truncation": {"token_limits": {"post_instructions": -1}}}, "integer_below_min_value", {}),
        ({"truncation": "sometimes"}, "invalid_value", {"value": "sometimes"}),
        ({"truncation": {"type": "ratio"}}, "invalid_value", {"value": "ratio"}),
        ({"tool_choice": "maybe"}, "invalid_value", {"supported": "'none', 'auto', 'required'"}),
        ({"tool_choice": {"type": "tool"}}, "invalid_value", {"value": "tool"}),
        ({"tracing": "always"}, "invalid_value", {"supported": "'auto'"}),
        ({"include": ["everything"]}, "invalid_value", {"param": "session.include[0]"}),
        ({"audio": {"input": {"noise_reduction": {"type": "loud"}}}}, "invalid_value", {"value": "loud"}),
        ({"audio": {"input": {"turn_detection": {"type": None}}}}, "invalid_value", {"value": None}),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "x" * 99}}}},
            "invalid_value",
            {"value": "x" * 64},
        ),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", {"param": "session.tools[0].name"}),
    ],
)
def test_a_value_outside_of_its_range_is_refused(update: Json, name: str, fields: Json) -> None:
    """R-E7"""
    refused = _problem(**update)
    assert refused is not None
    assert refused.name == name
    assert {key: refused.fields[key] for key in fields} == fields
    assert refused.detail(None).message


@pytest.mark.parametrize(
    "update",
    [
        {"max_output_tokens": 1},
        {"max_output_tokens": 4096},
        {"max_output_tokens": "inf"},
        {"audio": {"input": {"turn_detection": {"threshold": 0, "idle_timeout_ms": 5000}}}},
        {"audio": {"input": {"turn_detection": {"threshold": 1.0, "idle_timeout_ms": 30000}}}},
        {"audio": {"output": {"speed": 0.25}}},
        {"truncation": "disabled"},
        {"truncation": {"type": "retention_ratio", "retention_ratio": 0.0, "token_limits": {"post_instructions": 0}}},
        {"include": ["item.input_audio_transcription.logprobs"]},
        {"include": None, "tools": None, "tracing": None, "tool_choice": None, "truncation": None},
    ],
)
def test_the_ends_of_a_range_are_within_it(update: Json) -> None:
    assert _problem(**update) is None


@pytest.mark.parametrize(
    ("current", "update", "key"),
    [
        ({"type": "server_vad"}, {"eagerness": "low"}, "eagerness"),
        ({"type": "server_vad"}, {"type": "semantic_vad", "threshold": 0.3}, "threshold"),
        ({"type": "semantic_vad"}, {"idle_timeout_ms": 6000}, "idle_timeout_ms"),
        (None, {"eagerness": "low"}, "eagerness"),
    ],
)
def test_detection_of_one_type_has_no_keys_of_another(current: Json | None, update: Json, key: str) -> None:
    settings = merged(DEFAULTS, {"audio": {"input": {"turn_detection": current}}})
    refused = _problem(settings=settings, audio={"input": {"turn_detection": update}})
    assert refused == Refusal("unknown_parameter", {"param": f"session.audio.input.turn_detection.{key}"})


def test_another_type_of_detection_begins_anew_but_for_what_it_does_about_a_turn() -> None:
    def detection(session: Json) -> Any:
        return session["audio"]["input"]["turn_detection"]

    def after(session: Json, **update: Any) -> Json:
        return merged(session, {"audio": {"input": {"turn_detection": update}}})

    loud = after(DEFAULTS, threshold=0.9, create_response=False)
    semantic = after(loud, type="semantic_vad", eagerness="low")
    assert detection(semantic) == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": False,
        "interrupt_response": True,
    }
    back = after(semantic, type="server_vad")
    assert (detection(back)["threshold"], detection(back)["create_response"]) == (0.5, False)
    assert "eagerness" not in detection(back)


def test_what_was_off_begins_with_the_values_of_its_type() -> None:
    off = merged(DEFAULTS, {"audio": {"input": {"turn_detection": None, "transcription": None}}})
    on = merged(off, {"audio": {"input": {"turn_detection": {"threshold": 0.2}, "transcription": {"model": "w"}}}})
    heard = on["audio"]["input"]
    assert heard["turn_detection"] == {**DEFAULTS["audio"]["input"]["turn_detection"], "threshold": 0.2}
    assert heard["transcription"] == {"model": "w", "language": None, "prompt": None}


def test_a_session_keeps_its_model() -> None:
    """R-S10"""
    settings = merged(DEFAULTS, {"model": "m1"})
    assert _problem(settings=settings, model="m2") == Refusal("cannot_update_model")
    assert _problem(settings=settings, model="m1") is None
    assert _problem(model="m2") is None  # a server that does not know what it runs cannot say that it is another


@pytest.mark.parametrize("wanted", [None, {"workflow_name": "w"}])
def test_tracing_stays_as_it_was_set(wanted: object) -> None:
    """R-S10"""
    settings = merged(DEFAULTS, {"tracing": "auto"})
    assert _problem(settings=settings, tracing=wanted) == Refusal("cannot_update_tracing")
    assert _problem(settings=settings, tracing="auto") is None
    assert _problem(tracing=wanted) is None


def test_a_session_that_transcribes_begins_with_its_own_values() -> None:
    session = initial({"type": "transcription", "audio": {"input": {"turn_detection": None}}})
    assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
    assert list(session["audio"]) == ["input"]
    assert session["audio"]["input"]["turn_detection"] is None
    assert initial(None) == DEFAULTS


# -- response.create ---------------------------------------------------------------------------------------------------


def _problem_with(params: m.ResponseCreateParams) -> Refusal | None:
    return problem_with_params({"audio": {"output": {"voice": "alloy"}}}, params, has_spoken=False)


def test_after_the_first_audio_a_response_in_the_conversation_keeps_the_voice() -> None:
    settings = {"audio": {"output": {"voice": "alloy"}}}
    for voice, conversation, name in (
        ("marin", UNSET, "response_in_another_voice"),
        ("marin", "auto", "response_in_another_voice"),
        ("marin", "none", None),
        ("alloy", UNSET, None),
    ):
        params = m.ResponseCreateParams(
            conversation=conversation, audio=m.AudioConfig(output=m.AudioOutput(voice=voice))
        )
        assert _problem_with(params) is None
        refused = problem_with_params(settings, params, has_spoken=True)
        assert (refused and refused.name) == name


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
    assert _problem_with(params) is None


@pytest.mark.parametrize(
    ("params", "name", "param"),
    [
        (m.ResponseCreateParams(conversation="mine"), "invalid_value", "response.conversation"),
        (m.ResponseCreateParams(max_output_tokens=5000), "integer_above_max_value", "response.max_output_tokens"),
        (m.ResponseCreateParams(tool_choice="maybe"), "invalid_value", "response.tool_choice"),
        (m.ResponseCreateParams(reasoning=m.Reasoning(effort="much")), "invalid_value", "response.reasoning.effort"),
        (
            m.ResponseCreateParams(audio=m.AudioConfig(output=m.AudioOutput(format=m.AudioFormat(type="audio/mp3")))),
            "invalid_value",
            "response.audio.output.format.type",
        ),
        (
            m.ResponseCreateParams(metadata={str(number): "" for number in range(17)}),
            "object_above_max_properties",
            "response.metadata",
        ),
        (m.ResponseCreateParams(metadata={"k" * 65: "v"}), "string_above_max_length", "response.metadata"),
        (m.ResponseCreateParams(metadata={"k": "v" * 513}), "string_above_max_length", "response.metadata.k"),
        (m.ResponseCreateParams(output_modalities=["video"]), "invalid_modalities", "response.output_modalities"),
    ],
)
def test_parameters_outside_of_the_rules_are_refused(params: m.ResponseCreateParams, name: str, param: str) -> None:
    refused = _problem_with(params)
    assert refused is not None
    assert (refused.name, refused.fields["param"]) == (name, param)


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ({"voice": "alloy"}, "voice"),
        ({"temperature": None}, "temperature"),
        ({"modalities": ["text"]}, "modalities"),
        ({"audio": {"input": {}}}, "audio.input"),
        ({"audio": {"output": {"pitch": 1}}}, "audio.output.pitch"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_parameter_that_no_response_has_is_named(response: Json, param: str) -> None:
    text = json.dumps({"type": "response.create", "response": response})
    event = client_decoder(64)(text)
    if isinstance(event, Repaired):
        event = event.event  # the other dialect's keys do not pass the typed decoder
    assert isinstance(event, m.ResponseCreate)
    assert unknown_parameter(text, event) == Refusal("unknown_parameter", {"param": f"response.{param}"})


def test_metadata_may_fill_its_limits() -> None:
    metadata = {f"{number:064}": "v" * 512 for number in range(16)}
    assert _problem_with(m.ResponseCreateParams(metadata=metadata)) is None


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
