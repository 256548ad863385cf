"""The inputs of an engine as JSON, for journals: `dump` and `load` are inverse, but for what a journal hides.

A value that stands in an event row beside the input is not written twice: in its place stands `FROM_ROW`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from msgspec import structs

from antiphon import messages as m
from antiphon.engine import codec, inputs
from antiphon.engine.audio import decode_base64, encode_base64
from antiphon.engine.config import Role
from antiphon.engine.content import AudioDelta, Content, TranslatedAudio
from antiphon.toolkit.redaction import redact_body, redact_event, redact_headers, redact_subprotocol

__all__ = ["FROM_ROW", "InputRowError", "dump", "event_of", "load"]

FROM_ROW: Final = "row"
"""Stands where the event row that follows says it already."""

_MOST_DEPTH: Final = 128
_KINDS: Final[Mapping[str, type[inputs.Input]]] = {
    str(cls.__struct_config__.tag): cls for cls in get_args(inputs.Input)
}


class InputRowError(ValueError):
    """A row is no input that this version knows. The text says why, and quotes nothing of it."""


def event_of(text: bytes, role: Role) -> m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed:
    """The event that an engine of ``role`` sends, from its JSON. Raises `InputRowError` for text that is none."""
    decode = codec.client_decoder(_MOST_DEPTH) if role is Role.CLIENT else codec.server_decoder(_MOST_DEPTH)
    decoded = decode(text)
    if isinstance(decoded, codec.Unreadable):
        raise InputRowError(f"an event in it is {decoded.detail}")
    return decoded.event if isinstance(decoded, codec.Repaired) else decoded


def _peer(role: Role) -> Role:
    return Role.SERVER if role is Role.CLIENT else Role.CLIENT


def dump(input: inputs.Input, role: Role, own: Sequence[bytes]) -> tuple[dict[str, object], bool]:
    """The input as JSON values, and whether it can be read back as it is; ``own`` are the texts that it made us say.

    Bytes of the peer are not for here: a recorder knows more about them.
    """
    name = str(type(input).__struct_config__.tag)
    exact = True
    if isinstance(input, inputs.Send | inputs.EventReceived):
        speaker = role if isinstance(input, inputs.Send) else _peer(role)
        text = codec.encode(input.event)
        exact = event_of(text, speaker) == input.event
        said = len(own) == 1 and speaker is role and own[0] == text
        event: object = FROM_ROW if said else msgspec.Raw(redact_event(text))
        data: dict[str, object] = {"in": name, "event": event}
        if isinstance(input, inputs.Send) and input.override:
            data["override"] = sorted(input.override)
        return data, exact
    if isinstance(input, inputs.MessageReceived):
        return {"in": name, **_text_as_data(input.text)}, True
    if isinstance(input, inputs.Opened | inputs.Accept | inputs.Reject):
        input = structs.replace(input, headers=redact_headers(input.headers))
        if isinstance(input, inputs.Accept) and input.subprotocol is not None:
            input = structs.replace(input, subprotocol=redact_subprotocol(input.subprotocol))
        elif isinstance(input, inputs.Reject):
            input = structs.replace(input, body=redact_body(input.body))
    data = msgspec.to_builtins(input)
    if len(own) == 1 and isinstance(input, inputs.AppendAudio) and _says(own[0], input.pcm):
        data["pcm"] = FROM_ROW
    elif len(own) == 1 and isinstance(input, inputs.Generate) and _says_content(own[0], input.content):
        data["content"] = {**msgspec.to_builtins(input.content), "audio": FROM_ROW}
    return data, exact


def _text_as_data(text: bytes | str) -> dict[str, object]:
    """A text that may be none: bytes that are no UTF-8, half a surrogate pair."""
    shown = redact_event(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text))
    try:
        return {"text": shown.decode()}
    except UnicodeDecodeError:
        return {"surrogates" if isinstance(text, str) else "bytes": shown}


def _text_of(data: Mapping[str, object]) -> bytes | str:
    if "bytes" in data:
        return msgspec.convert(data["bytes"], bytes)
    if "surrogates" in data:
        return msgspec.convert(data["surrogates"], bytes).decode("utf-8", "surrogatepass")
    return msgspec.convert(data["text"], str)


def _says_content(text: bytes, content: Content) -> bool:
    return isinstance(content, AudioDelta | TranslatedAudio) and _says(text, content.audio)


def _says(text: bytes, audio: bytes) -> bool:
    return b'"%s"' % encode_base64(audio).encode() in text


def load(data: Mapping[str, object], role: Role, own: Sequence[bytes]) -> inputs.Input:
    """The input that `dump` wrote; ``own`` are the event rows beside it. Raises `InputRowError`."""
    name = data.get("in")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputRowError(f"an input {name!r}, which this version does not know")
    try:
        return _load(kind, data, role, own)
    except InputRowError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise InputRowError(f"an input {name!r} that does not fit its class ({type(error).__name__})") from None


def _load(kind: type[inputs.Input], data: Mapping[str, object], role: Role, own: Sequence[bytes]) -> inputs.Input:
    make: Callable[..., Any] = kind
    if kind is inputs.Send or kind is inputs.EventReceived:
        given = data["event"]
        text = own[0] if given == FROM_ROW else msgspec.json.encode(given)
        event = event_of(text, role if kind is inputs.Send else _peer(role))
        if kind is inputs.EventReceived:
            return inputs.EventReceived(event)  # type: ignore[arg-type]  # what a recorder wrote is what was given
        override = msgspec.convert(data.get("override", ()), tuple[str, ...])
        return inputs.Send(event, override)  # type: ignore[arg-type]  # likewise
    if kind is inputs.MessageReceived:
        return inputs.MessageReceived(_text_of(data))
    if kind is inputs.AppendAudio and data["pcm"] == FROM_ROW:
        return inputs.AppendAudio(_audio_in(own[0], "audio"))
    content = data.get("content")
    if kind is inputs.Generate and isinstance(content, dict) and content.get("audio") == FROM_ROW:
        data = {**data, "content": {**content, "audio": encode_base64(_audio_in(own[0], "delta"))}}
    loaded: inputs.Input = msgspec.convert(data, make)
    return loaded


def _audio_in(text: bytes, field: str) -> bytes:
    audio = decode_base64(msgspec.json.decode(text)[field])
    if audio is None:
        raise InputRowError("an event row whose audio is no base64")
    return audio
