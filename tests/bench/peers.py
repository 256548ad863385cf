"""What the engine is compared with: the parts that nobody can do without, and the clients of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pybase64
from msgspec import Struct
from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State


class BareText(Struct, tag_field="type", tag="response.output_text.delta"):
    """A delta as a program with `msgspec` alone would declare it."""

    event_id: str
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class BareAudio(BareText, tag_field="type", tag="response.output_audio.delta"):
    """The same for audio."""


decode: Callable[[bytes | bytearray | memoryview], BareText | BareAudio] = msgspec.json.Decoder(
    BareText | BareAudio
).decode


def pcm_of(text: bytes | bytearray | memoryview) -> bytes:
    """The floor of an audio delta: check of the encoding, typed decode, base64."""
    str(text, "utf-8")
    return pybase64.b64decode(decode(text).delta, validate=True)


def open_websocket() -> Protocol:
    """The `websockets` package's sans-IO client behind its handshake, without extensions."""
    return Protocol(Side.CLIENT, state=State.OPEN, max_size=None)


def framed_pcm(protocol: Protocol) -> Callable[[bytes], bytes]:
    """The floor from bytes to PCM: one frame read by `websockets`, then `pcm_of`."""

    def receive(data: bytes) -> bytes:
        protocol.receive_data(data)
        (event,) = protocol.events_received()
        assert isinstance(event, Frame)
        return pcm_of(event.data)

    return receive


def framed_append(protocol: Protocol) -> Callable[[bytes], bytes]:
    """The floor from PCM to masked bytes: a template, base64, one frame written by `websockets`."""

    def send(pcm: bytes) -> bytes:
        protocol.send_text(b'{"type":"input_audio_buffer.append","audio":"' + pybase64.b64encode(pcm) + b'"}')
        return b"".join(protocol.data_to_send())

    return send


def openai_parse() -> Callable[[bytes], Any]:
    """openai-python's parsing of one message, and nothing else of it. Raises ImportError where it is not installed."""
    from openai.resources.realtime.realtime import AsyncRealtimeConnection

    connection = AsyncRealtimeConnection.__new__(AsyncRealtimeConnection)  # parsing needs no socket
    return connection.parse_event
