"""Printing: Python expressions, without audio and without credentials."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import messages
from antiphon.messages import (
    AudioPart,
    ClientSecret,
    ErrorDetail,
    FunctionCallItem,
    InputAudio,
    InputAudioBufferAppend,
    InputImage,
    InputText,
    Malformed,
    McpTool,
    MessageItem,
    OutputAudio,
    RealtimeSession,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    UnknownContent,
    UnknownEvent,
    UnknownItem,
)

SECRET = "c2VjcmV0" * 8


def test_a_repr_is_an_expression_of_the_fields_that_are_set() -> None:
    item = MessageItem(id="item_1", role="user", content=[InputText(text="it's")], status=None)
    text = repr(item)
    assert text == """MessageItem(id='item_1', status=None, role='user', content=[InputText(text="it's")])"""
    assert eval(text, vars(messages)) == item


def test_nested_objects_print_as_expressions() -> None:
    error = messages.Error(event_id="e", error=ErrorDetail(message="no", code=None))
    assert eval(repr(error), vars(messages)) == error


def test_audio_prints_as_its_length() -> None:
    delta = ResponseOutputAudioDelta(
        event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta="A" * 6400
    )
    assert repr(delta) == (
        "ResponseOutputAudioDelta(event_id='e', response_id='r', item_id='i', output_index=0, content_index=0, "
        "delta=<6400 chars>)"
    )


def test_a_text_delta_prints_its_text() -> None:
    delta = ResponseOutputTextDelta(response_id="r", item_id="i", output_index=0, content_index=0, delta="Hello")
    assert "delta='Hello'" in repr(delta)


def test_null_audio_prints_as_none() -> None:
    assert repr(InputAudio(audio=None)) == "InputAudio(audio=None)"


@pytest.mark.parametrize(
    "message",
    [
        InputAudioBufferAppend(audio=SECRET),
        InputAudio(audio=SECRET),
        OutputAudio(audio=SECRET),
        AudioPart(audio=SECRET),
        InputImage(image_url=SECRET),
        ClientSecret(value=SECRET),
        McpTool(server_label="s", authorization=SECRET),
        McpTool(server_label="s", headers={"Authorization": SECRET}),
        RealtimeSession(client_secret=ClientSecret(value=SECRET)),
        UnknownEvent(type="response.audio.delta", data={"delta": SECRET}),
        UnknownItem(type="x", data={"audio": SECRET}),
        UnknownContent(type="x", data={"audio": SECRET}),
        Malformed(type="response.done", data={"key": SECRET}),
    ],
    ids=lambda message: type(message).__name__,
)
def test_audio_and_credentials_do_not_appear(message: messages.Message | messages.Opaque) -> None:
    assert SECRET not in repr(message)
    assert SECRET not in "".join(f"{name}={value!r}" for name, value in message.__rich_repr__())


def test_the_type_of_an_unknown_event_is_cut_when_it_is_long() -> None:
    assert len(repr(UnknownEvent(type="x" * 10_000, data={}))) < 200


@pytest.mark.parametrize("audio", [SECRET.encode(), 7])
def test_what_is_to_be_concealed_is_so_though_it_is_not_what_it_should_be(audio: Any) -> None:
    assert repr(InputAudioBufferAppend(audio=audio)) == "InputAudioBufferAppend(audio=<concealed>)"


def test_rich_gets_the_same_fields_as_repr() -> None:
    call = FunctionCallItem(name="f", arguments="{}", call_id="call_1")
    assert call.__rich_repr__() == [("name", "f"), ("call_id", "call_1"), ("arguments", "{}")]
