"""Every error that a server answers with by itself, each provoked by a client's event.

An entry of ``spec/errors.toml`` says what may be answered; a `Case` below says what provokes it. The last test looks
that no entry is without a case.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from antiphon import Limits, TranscriptFailed, error_event
from antiphon.machines import ERRORS
from unit.server_helpers import Host, delivered, refusal, sent

Event = dict[str, Any]

_CALL = {"type": "function_call", "name": "f", "call_id": "c1", "arguments": "{}"}


class Case(NamedTuple):
    """``entry`` of the table is answered to ``event``, or to the event that ``event`` makes on a prepared host."""

    entry: str
    code: str
    param: str | None
    message: str
    event: Event | Callable[[Host], Event]
    limits: Limits = Limits()


def _update(**session: Any) -> Event:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def _create(previous: str | None = None, **item: Any) -> Event:
    return {"type": "conversation.item.create", "previous_item_id": previous, "item": item}


def _text(role: str, kind: str, **part: Any) -> Event:
    return _create(type="message", role=role, content=[{"type": kind, **part}])


def _append(audio: str) -> Event:
    return {"type": "input_audio_buffer.append", "audio": audio}


def _ask(**params: Any) -> Event:
    return {"type": "response.create", "response": params}


def _cut(item_id: str, ms: Any, content_index: Any = 0) -> Event:
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": content_index,
        "audio_end_ms": ms,
    }


def _another_voice(host: Host) -> Event:
    host.speaks(100)
    return _update(audio={"output": {"voice": "marin"}}, instructions="be loud")


def _response_in_another_voice(host: Host) -> Event:
    host.speaks(100)
    return _ask(audio={"output": {"voice": "marin"}})


def _another_model(host: Host) -> Event:
    host.update(model="m1")
    return _update(model="m2")


def _no_tracing(host: Host) -> Event:
    host.update(tracing="auto")
    return _update(tracing=None)


def _while_active(host: Host) -> Event:
    host.asks()
    return {"type": "response.create"}


def _deleted(host: Host) -> str:
    item_id = host.adds()
    host.hear("conversation.item.delete", item_id=item_id)
    return item_id


def _short_buffer(host: Host) -> Event:
    host.append(99)
    return {"type": "input_audio_buffer.commit"}


def _committed_by_detection(host: Host) -> Event:
    host.append(500)
    host.speech_started(0)
    host.speech_stopped(500)
    return {"type": "input_audio_buffer.commit"}


CASES = [
    # -- envelope and shape
    Case("invalid_event", "invalid_event", None, "The 'type' field is missing.", {"session": {}}),
    Case("invalid_event", "invalid_event", None, "The 'type' field is missing.", {"type": 7}),
    Case(
        "invalid_event_direction",
        "invalid_event",
        "type",
        "'response.done' is an event that only a server sends.",
        {"type": "response.done", "response": {"id": "r"}},
    ),
    Case(
        "unknown_event_type",
        "invalid_value",
        "type",
        "Invalid value: 'transcription_session.update'. Supported values are: 'session.update', 'input_audio_buffer.",
        {"type": "transcription_session.update"},
    ),
    Case("unknown_event_type", "invalid_value", "type", f"Invalid value: '{'x' * 64}'. ", {"type": "x" * 100}),
    Case(
        "invalid_value",
        "invalid_value",
        "session.type",
        "Invalid value: 'dictation'. Supported values are: 'realtime', 'transcription', 'translation'.",
        _update(type="dictation"),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "session.audio.input.format.type",
        "Invalid value: 'audio/opus'. Supported values are: 'audio/pcm', 'audio/pcmu', 'audio/pcma'.",
        _update(audio={"input": {"format": {"type": "audio/opus"}}}),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "session.audio.output.format.rate",
        "Invalid value: '0'. Supported values are: integers of 1 and more.",
        _update(audio={"output": {"format": {"type": "audio/pcm", "rate": 0}}}),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "session.audio.input.turn_detection.type",
        "Invalid value: 'sonar'. Supported values are: 'server_vad', 'semantic_vad'.",
        _update(audio={"input": {"turn_detection": {"type": "sonar"}}}),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "item.type",
        "Invalid value: 'web_search'. Supported values are: 'message', 'function_call', 'function_call_output'.",
        _create(type="web_search", id="w"),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "item.type",
        "Invalid value: 'item_reference'. ",
        _create(type="item_reference", id="i"),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "item.role",
        "Invalid value: 'tool'. Supported values are: 'system', 'user', 'assistant'.",
        _text("tool", "input_text", text="hello"),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "item.content[0].type",
        "Invalid value: 'output_audio'. Supported values are: 'output_text'.",
        _text("assistant", "output_audio", transcript="hello"),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "item.content[0].type",
        "Invalid value: 'hologram'. Supported values are: 'input_text', 'input_audio', 'input_image'.",
        _text("user", "hologram"),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "type",
        "Invalid value: 'output_audio_buffer.clear'. Supported values are: only over WebRTC and SIP.",
        {"type": "output_audio_buffer.clear"},
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "response.conversation",
        "Invalid value: 'conv_1'. Supported values are: 'auto', 'none'.",
        _ask(conversation="conv_1"),
    ),
    Case(
        "invalid_type",
        "invalid_type",
        "audio_end_ms",
        "Invalid type for 'audio_end_ms': expected an integer, but got a number instead.",
        lambda host: _cut(host.speaks(100), 20.5),
    ),
    Case(
        "invalid_type",
        "invalid_type",
        "session.instructions",
        "Invalid type for 'session.instructions': expected a string, but got an array instead.",
        _update(instructions=["be brief"]),
    ),
    Case(
        "invalid_type",
        "invalid_type",
        "session.tools[0]",
        "Invalid type for 'session.tools[0]': expected an object, but got a string instead.",
        _update(tools=["weather"], instructions="be brief"),
    ),
    Case(
        "integer_above_max_value",
        "integer_above_max_value",
        "session.max_output_tokens",
        "Invalid 'session.max_output_tokens': integer above maximum value. Expected a value <= 4096, but got 5000",
        _update(max_output_tokens=5000),
    ),
    Case(
        "decimal_below_min_value",
        "decimal_below_min_value",
        "session.audio.output.speed",
        "Invalid 'session.audio.output.speed': decimal below minimum value. Expected a value >= 0.25, but got 0.1",
        _update(audio={"output": {"speed": 0.1}}),
    ),
    Case(
        "decimal_above_max_value",
        "decimal_above_max_value",
        "session.audio.input.turn_detection.threshold",
        "Invalid 'session.audio.input.turn_detection.threshold': decimal above maximum value. Expected a value <= 1",
        _update(audio={"input": {"turn_detection": {"threshold": 2}}}),
    ),
    Case(
        "cannot_update_model",
        "cannot_update_model",
        "session.model",
        "Cannot update the model of a session.",
        _another_model,
    ),
    Case(
        "cannot_update_tracing",
        "cannot_update_tracing",
        "session.tracing",
        "Cannot update the tracing configuration of a session once it is set.",
        _no_tracing,
    ),
    Case(
        "unknown_parameter",
        "unknown_parameter",
        "session.tools[0].strict",
        "Unknown parameter: 'session.tools[0].strict'.",
        _update(tools=[{"type": "function", "name": "f", "strict": True}]),
    ),
    Case(
        "unknown_parameter",
        "unknown_parameter",
        "response.modalities",
        "Unknown parameter: 'response.modalities'.",
        _ask(modalities=["text"]),
    ),
    Case(
        "invalid_parameter",
        "invalid_parameter",
        "session.type",
        "Passing a transcription session update event to a realtime session is not allowed.",
        _update(type="transcription"),
    ),
    Case(
        "missing_required_parameter",
        "missing_required_parameter",
        "session.type",
        "Missing required parameter: 'session.type'.",
        {"type": "session.update", "session": {"instructions": "be brief"}},
    ),
    Case(
        "missing_required_parameter",
        "missing_required_parameter",
        "item.content[0].text",
        "Missing required parameter: 'item.content[0].text'.",
        _text("assistant", "output_text"),
    ),
    Case(
        "missing_required_parameter",
        "missing_required_parameter",
        "item_id",
        "Missing required parameter: 'item_id'.",
        {"type": "conversation.item.delete"},
    ),
    Case(
        "unknown_parameter",
        "unknown_parameter",
        "session.voice",
        "Unknown parameter: 'session.voice'.",
        _update(voice="alloy", instructions="be brief"),
    ),
    Case(
        "unknown_parameter",
        "unknown_parameter",
        "session.instructoins",
        "Unknown parameter: 'session.instructoins'.",
        _update(instructoins="be brief", output_modalities=["text"]),
    ),
    Case(
        "unknown_parameter",
        "unknown_parameter",
        "session.id",
        "Unknown parameter: 'session.id'.",
        _update(id="sess_mine"),
    ),
    Case(
        "unknown_parameter",
        "unknown_parameter",
        "response.modalities",
        "Unknown parameter: 'response.modalities'.",
        _ask(modalities=["text"]),
    ),
    Case(
        "integer_below_min_value",
        "integer_below_min_value",
        "audio_end_ms",
        "Invalid 'audio_end_ms': integer below minimum value. Expected a value >= 0, but got -11 instead.",
        lambda host: _cut(host.speaks(100), -11),
    ),
    Case(
        "integer_below_min_value",
        "integer_below_min_value",
        "content_index",
        "Invalid 'content_index': integer below minimum value. Expected a value >= 0, but got -1 instead.",
        lambda host: _cut(host.speaks(100), 10, -1),
    ),
    Case(
        "string_above_max_length",
        "string_above_max_length",
        "item.id",
        "Invalid 'item.id': string too long. Expected a string with maximum length 32, "
        "but got a string with length 36 instead.",
        _create(type="message", id="123e4567-e89b-12d3-a456-426614174000", role="user", content=[]),
    ),
    Case(
        "string_above_max_length",
        "string_above_max_length",
        "item.call_id",
        "Invalid 'item.call_id': string too long. Expected a string with maximum length 32, "
        "but got a string with length 33 instead.",
        _create(type="function_call_output", call_id="c" * 33, output=""),
    ),
    Case(
        "invalid_id_characters",
        "invalid_value",
        "item.call_id",
        "Invalid 'item.call_id': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        _create(type="function_call", name="f", call_id="a/b", arguments="{}"),
    ),
    Case(
        "invalid_id_characters",
        "invalid_value",
        "item.id",
        "",
        _create(type="message", id="a\n", role="user", content=[]),
    ),
    # -- session
    Case(
        "cannot_update_voice",
        "cannot_update_voice",
        "session.audio.output.voice",
        "Cannot update a conversation's voice if assistant audio is present.",
        _another_voice,
    ),
    Case(
        "response_in_another_voice",
        "cannot_update_voice",
        "response.audio.output.voice",
        "Cannot update a conversation's voice if assistant audio is present.",
        _response_in_another_voice,
    ),
    # -- input audio buffer
    Case(
        "input_audio_buffer_commit_empty",
        "input_audio_buffer_commit_empty",
        None,
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        "but buffer only has 99.00ms of audio.",
        _short_buffer,
    ),
    Case(
        "input_audio_buffer_commit_empty",
        "input_audio_buffer_commit_empty",
        None,
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        "but buffer only has 0.00ms of audio.",
        _committed_by_detection,
    ),
    Case("invalid_audio", "invalid_value", "audio", "Invalid 'audio': expected base64.", _append("not base64!")),
    Case(
        "invalid_audio",
        "invalid_value",
        "audio",
        "Invalid 'audio': expected a whole number of samples.",
        _append("AAAA"),
    ),
    Case(
        "audio_too_long",
        "string_above_max_length",
        "audio",
        "Invalid 'audio': too long. Expected at most 8 bytes of audio, but got 12 instead.",
        _append("AAAA" * 4),
        Limits(append_audio_bytes=8),
    ),
    # -- conversation items
    Case(
        "item_create_invalid_previous_item_id",
        "item_create_invalid_previous_item_id",
        "previous_item_id",
        "Error adding item: the previous item with id 'nobody' does not exist.",
        _create("nobody", type="message", role="user", content=[]),
    ),
    Case(
        "item_delete_invalid_item_id",
        "item_delete_invalid_item_id",
        None,
        "Error deleting item: the item with id 'nobody' does not exist.",
        {"type": "conversation.item.delete", "item_id": "nobody"},
    ),
    Case(
        "item_retrieve_invalid_item_id",
        "item_retrieve_invalid_item_id",
        None,
        "Error retrieving item: the item with id ",
        lambda host: {"type": "conversation.item.retrieve", "item_id": _deleted(host)},
    ),
    Case(
        "item_truncate_invalid_item_id",
        "item_truncate_invalid_item_id",
        None,
        "Error truncating item: the item with id 'nobody' does not exist.",
        _cut("nobody", 0),
    ),
    Case(
        "truncate_too_long",
        "invalid_value",
        "audio_end_ms",
        "Audio content of 3700ms is already shorter than 3760ms",
        lambda host: _cut(host.speaks(3700), 3760),
    ),
    Case(
        "unsupported_content_type",
        "unsupported_content_type",
        None,
        "Only model output audio messages can be truncated",
        lambda host: _cut(host.adds(), 0),
    ),
    Case(
        "unsupported_content_type",
        "unsupported_content_type",
        None,
        "Only model output audio messages can be truncated",
        lambda host: _cut(host.speaks(100), 0, 1),
    ),
    Case(
        "invalid_tool_call_id",
        "invalid_tool_call_id",
        "item.call_id",
        "Tool call ID 'call_nobody' not found in conversation.",
        _create(type="function_call_output", call_id="call_nobody", output="12"),
    ),
    Case(
        "invalid_tool_call_id",
        "invalid_tool_call_id",
        "response.input[1].call_id",
        "Tool call ID 'c2' not found in conversation.",
        _ask(input=[_CALL, {"type": "function_call_output", "call_id": "c2", "output": "12"}]),
    ),
    Case(
        "approval_request_unknown",
        "invalid_value",
        "item.approval_request_id",
        "Approval request with id 'nobody' not found in conversation.",
        _create(type="mcp_approval_response", approval_request_id="nobody", approve=True),
    ),
    Case(
        "item_reference_unknown",
        "invalid_value",
        "response.input[0].id",
        "Item with id 'nobody' not found in conversation.",
        _ask(conversation="none", input=[{"type": "item_reference", "id": "nobody"}]),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "response.input[0].type",
        "Invalid value: 'web_result'. ",
        _ask(input=[{"type": "web_result", "id": "w"}]),
    ),
    Case(
        "invalid_value",
        "invalid_value",
        "response.input[0].content[0].type",
        "Invalid value: 'output_text'. ",
        _ask(input=[{"type": "message", "role": "user", "content": [{"type": "output_text", "text": "x"}]}]),
    ),
    Case(
        "missing_required_parameter",
        "missing_required_parameter",
        "response.input[0].id",
        "Missing required parameter: 'response.input[0].id'.",
        _ask(input=[{"type": "item_reference"}]),
    ),
    Case(
        "invalid_audio",
        "invalid_value",
        "item.content[0].audio",
        "Invalid 'item.content[0].audio': expected base64.",
        _text("user", "input_audio", audio="?"),
    ),
    # -- responses
    Case(
        "object_above_max_properties",
        "object_above_max_properties",
        "response.metadata",
        "Invalid 'response.metadata': too many properties. Expected an object with at most 16 properties",
        _ask(metadata={str(number): "" for number in range(17)}),
    ),
    Case(
        "conversation_already_has_active_response",
        "conversation_already_has_active_response",
        None,
        "Conversation already has an active response in progress: resp_",
        _while_active,
    ),
    Case(
        "response_cancel_not_active",
        "response_cancel_not_active",
        None,
        "Cancellation failed: no active response found",
        {"type": "response.cancel"},
    ),
    Case(
        "response_cancel_not_active",
        "response_cancel_not_active",
        None,
        "Cancellation failed: no active response found",
        {"type": "response.cancel", "response_id": "resp_nobody"},
    ),
    Case(
        "invalid_modalities",
        "invalid_value",
        "session.output_modalities",
        "Invalid modalities: ['text', 'audio']. Supported combinations are: ['text'] and ['audio'].",
        _update(output_modalities=["text", "audio"]),
    ),
    Case(
        "invalid_modalities",
        "invalid_value",
        "response.output_modalities",
        "Invalid modalities: []. Supported combinations are: ['text'] and ['audio'].",
        _ask(output_modalities=[]),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.entry}:{case.param}")
def test_a_refused_event_is_answered_with_its_error_and_changes_nothing(case: Case) -> None:
    host = Host(limits=case.limits)
    event = case.event(host) if callable(case.event) else case.event
    before = host.snapshot()
    error = refusal(host.server.receive_message(json.dumps({**event, "event_id": "mine"}), host.now))
    message = error.pop("message")
    assert error == {"type": "invalid_request_error", "code": case.code, "param": case.param, "event_id": "mine"}
    assert message.startswith(case.message)
    assert (ERRORS[case.entry].type, ERRORS[case.entry].code) == ("invalid_request_error", case.code)
    assert host.snapshot() == before


@pytest.mark.parametrize("case", CASES[:1] + CASES[-3:], ids=lambda case: f"{case.entry}:{case.param}")
def test_an_error_about_an_event_without_an_id_names_none(case: Case) -> None:
    event = case.event
    assert isinstance(event, dict)
    assert refusal(Host().server.receive_message(json.dumps(event), 0))["event_id"] is None


def test_an_event_id_of_512_characters_is_the_longest() -> None:
    host = Host()
    assert sent(host.hear("input_audio_buffer.clear", event_id="e" * 512))[0]["type"] == "input_audio_buffer.cleared"
    before = host.snapshot()
    error = refusal(host.hear("input_audio_buffer.clear", event_id="e" * 513))
    assert error == {
        "type": "invalid_request_error",
        "code": "string_above_max_length",
        "message": "Invalid 'event_id': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
        "param": "event_id",
        "event_id": "e" * 513,
    }
    assert host.snapshot() == before


@pytest.mark.parametrize("text", ["", "7", "[]", '{"type": "response.create"', b"{}}"])
def test_what_is_no_json_object_is_an_invalid_event(text: str | bytes) -> None:
    host = Host()
    before = host.snapshot()
    error = refusal(host.server.receive_message(text, 0))
    assert error == {
        "type": "invalid_request_error",
        "code": "invalid_event",
        "message": "The event is no JSON object.",
        "param": None,
        "event_id": None,
    }
    assert host.snapshot() == before


def test_an_event_nested_too_deeply_is_refused_unread() -> None:
    host = Host(limits=Limits(json_depth=5))
    before = host.snapshot()
    deep = '{"type": "response.create", "event_id": "mine", "x": ' + "[" * 5 + "]" * 5 + "}"
    error = refusal(host.server.receive_message(deep, 0))
    assert error == {
        "type": "invalid_request_error",
        "code": "invalid_event",
        "message": "The event is nested more than 5 levels deep.",
        "param": None,
        "event_id": None,
    }
    assert host.snapshot() == before


def test_a_refused_event_is_delivered_before_its_answer() -> None:
    actions = Host().hear("conversation.item.delete", item_id="nobody")
    assert delivered(actions).type == "conversation.item.delete"
    assert [type(action).__name__ for action in actions] == ["Deliver", "TransmitMessage"]


def test_an_error_has_an_event_id_of_its_own() -> None:
    (answer,) = sent(Host().hear("response.cancel", event_id="mine"))
    assert answer["event_id"].startswith("event_")


def test_every_error_of_the_engine_is_provoked_here() -> None:
    answered = {name for name, spec in ERRORS.items() if spec.by == "engine"}
    # These have tests of their own:
    elsewhere = {"invalid_event_depth", "session_expired", "beta_api_shape_disabled", "translation_is_closing"}
    assert answered - {case.entry for case in CASES} == elsewhere


@pytest.mark.parametrize("name", [name for name, spec in ERRORS.items() if spec.by == "application"])
def test_an_application_sends_what_no_engine_can_know(name: str) -> None:
    host = Host()
    spec = ERRORS[name]
    holes = {"model": "m1", "item_id": "i1"}
    (said,) = sent(host.server.send(error_event(name, event_id="theirs", **holes), host.now))
    error = said["error"]
    assert error.pop("message").startswith(spec.message.split("{")[0])
    assert error == {"type": spec.type, "code": spec.code, "param": spec.param, "event_id": "theirs"}


@pytest.mark.parametrize("name", [name for name, spec in ERRORS.items() if spec.by == "brain"])
def test_a_brain_puts_an_error_where_it_belongs(name: str) -> None:
    host, spec = Host(), ERRORS[name]
    if spec.rule == "R-T2":
        host.append(200)
        item_id = sent(host.hear("input_audio_buffer.commit"))[0]["item_id"]
        (failed,) = sent(host.server.transcribed(item_id, 0, TranscriptFailed("mumbling", spec.code), host.now))
        error = failed["error"]
    else:
        (done,) = sent(host.finishes(host.asks(), status="failed", error_type=spec.type, error_code=spec.code))
        error = done["response"]["status_details"]["error"]
        assert error["type"] == spec.type
    assert error["code"] == spec.code
