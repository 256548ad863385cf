"""Inputs: the named methods as data, for whoever stores or forwards them."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from antiphon import AudioDelta, Connection, ConnectionConfig, Role, Session, SessionConfig, inputs
from antiphon import messages as m

SOUND = b"\x01\x02" * 40
SECRET = "sk-0123456789"

OF_BYTES = {inputs.DataReceived, inputs.Accept, inputs.Reject}


def test_every_class_of_the_module_is_an_input() -> None:
    made_here = {
        each for each in vars(inputs).values() if isinstance(each, type) and each.__module__ == inputs.__name__
    }
    assert made_here == set(get_args(inputs.Input))


@pytest.mark.parametrize("kind", get_args(inputs.Input), ids=lambda kind: kind.__name__)
def test_an_input_is_tagged_with_the_name_that_its_documentation_gives(kind: type) -> None:
    assert kind.__struct_config__.tag_field == "in"  # type: ignore[attr-defined]  # every member is a Struct
    tag = kind.__struct_config__.tag  # type: ignore[attr-defined]  # every member is a Struct
    assert tag.replace("_", "") == kind.__name__.lower()


@pytest.mark.parametrize("kind", get_args(inputs.Input), ids=lambda kind: kind.__name__)
def test_each_input_is_the_method_that_its_documentation_names(kind: type) -> None:
    assert kind.__doc__ is not None
    method = kind.__doc__.split("``")[1]
    level: type = Connection if kind in OF_BYTES else Session
    assert callable(getattr(level, method))


@pytest.mark.parametrize("kind", get_args(inputs.Input), ids=lambda kind: kind.__name__)
def test_no_input_can_be_changed(kind: type) -> None:
    assert kind.__struct_config__.frozen  # type: ignore[attr-defined]  # every member of the union is a Struct


@pytest.mark.parametrize(
    ("input", "text"),
    [
        (inputs.Opened(7, (("Authorization", SECRET),)), "Opened(unix_ns=7, headers=<1>)"),
        (inputs.MessageReceived(SOUND), "MessageReceived(text=<80>)"),
        (inputs.DataReceived(SOUND), "DataReceived(data=<80 bytes>)"),
        (inputs.AppendAudio(SOUND), "AppendAudio(pcm=<80 bytes>)"),
        (inputs.Accept(None, (("Set-Cookie", SECRET),)), "Accept(subprotocol=None, headers=<1>)"),
        (inputs.Accept("realtime"), "Accept(subprotocol='realtime', headers=<0>)"),
        (inputs.Reject(401, (("X", SECRET),), SECRET.encode()), "Reject(status=401, headers=<1>, body=<13 bytes>)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_repr_holds_neither_audio_nor_keys(input: inputs.Input, text: str) -> None:
    assert repr(input) == text


def test_a_key_that_a_browser_offered_as_a_subprotocol_is_not_shown_when_it_is_echoed() -> None:
    assert SECRET not in repr(inputs.Accept(f"openai-insecure-api-key.{SECRET}"))


@pytest.mark.parametrize(
    "input",
    [
        inputs.Send(m.InputAudioBufferAppend(audio="AAECAwQF")),
        inputs.EventReceived(m.InputAudioBufferAppend(audio="AAECAwQF")),
        inputs.Generate(AudioDelta(response_id="r", output_index=0, audio=b"AAECAwQF")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_audio_inside_of_events_and_content_is_not_shown(input: inputs.Input) -> None:
    assert "AAECAwQF" not in repr(input)


def test_a_session_refuses_the_inputs_of_the_bytes_level() -> None:
    session = Session(Role.CLIENT, SessionConfig(), now=0)
    for input in (inputs.DataReceived(b""), inputs.Accept(), inputs.Reject(404)):
        with pytest.raises(TypeError, match=f"{type(input).__name__}; a Connection does"):
            session.handle(input, 0)


def test_a_connection_refuses_the_input_of_the_message_level() -> None:
    connection = Connection(Role.SERVER, ConnectionConfig(), now=0, entropy=bytes)
    with pytest.raises(TypeError, match="MessageReceived; a Session does"):
        connection.handle(inputs.MessageReceived("{}"), 0)


def test_what_is_no_input_is_refused() -> None:
    session = Session(Role.CLIENT, SessionConfig(), now=0)
    with pytest.raises(TypeError, match="str"):
        session.handle("tick", 0)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize(
    "input",
    [
        inputs.Start(),
        inputs.Opened(unix_ns=5, headers=(("A", "b"),)),
        inputs.EofReceived(1001, "away"),
        inputs.Close(4000, "enough"),
        inputs.Tick(),
        inputs.DataReceived(b"\x00\xff"),
        inputs.Reject(503, (("Retry-After", "1"),), b"busy"),
        inputs.AudioPlayed("item", 0, 480),
        inputs.SpeechStopped(900),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_input_survives_json(input: inputs.Input) -> None:
    assert msgspec.json.decode(msgspec.json.encode(input), type=type(input)) == input
