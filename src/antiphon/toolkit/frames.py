"""WebSocket frames, as far as a journal needs them: the texts of what was written, the whole frames of what came in.

The engine's `Wire` judges frames; here a frame is only found, so that a journal can hold its JSON text in place of its
bytes, and made again when the journal is played.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

__all__ = ["PONG", "Frame", "FrameReader", "frame_of", "text_of"]

_WHOLE_TEXT: Final = 0x81  # FIN and opcode 1 (RFC 6455 §5.2)
_MASKED: Final = 0x80
_EXTENDED: Final = {126: 2, 127: 8}


class Frame(Struct, frozen=True):
    """One frame: the first byte (FIN, reserved bits, opcode) and the payload without its mask."""

    head: int
    payload: bytes

    @property
    def is_whole_text(self) -> bool:
        """Whether it is a text message by itself."""
        return self.head == _WHOLE_TEXT

    def __repr__(self) -> str:
        return f"Frame(head={self.head:#04x}, payload=<{len(self.payload)} bytes>)"


PONG: Final = Frame(0x8A, b"")
"""The smallest thing that a peer may say at any time and that asks for nothing: a bare sign of life."""


class FrameReader:
    """Cuts a stream of bytes into frames. ``rest`` is what has not become a whole one yet."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with ``data``, in order."""
        self.rest += data
        frames = []
        while (found := _first(self.rest)) is not None:
            frame, self.rest = found
            frames.append(frame)
        return frames


def _first(data: bytes) -> tuple[Frame, bytes] | None:
    """The first frame and what follows it; None while it is not whole."""
    if len(data) < 2:
        return None
    length = data[1] & 0x7F
    start = 2 + _EXTENDED.get(length, 0)
    if start > 2:
        if len(data) < start:
            return None
        length = int.from_bytes(data[2:start], "big")
    mask = b""
    if data[1] & _MASKED:
        mask = data[start : start + 4]
        start += 4
    end = start + length
    if len(data) < end:
        return None
    payload = data[start:end]
    return Frame(data[0], _masked(payload, mask) if mask else payload), data[end:]


def frame_of(frame: Frame, *, masked: bool) -> bytes:
    """The bytes of a frame; as a client writes it when ``masked``, with the mask that changes nothing."""
    length = len(frame.payload)
    if length < 126:
        head = bytes((frame.head, length))
    elif length < 65536:
        head = bytes((frame.head, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((frame.head, 127)) + length.to_bytes(8, "big")
    if masked:
        head = head[:1] + bytes((head[1] | _MASKED,)) + head[2:] + bytes(4)
    return head + frame.payload


def text_of(payload: bytes) -> Frame:
    """A text message in one frame."""
    return Frame(_WHOLE_TEXT, payload)


def frames_in(data: bytes) -> Iterator[tuple[Frame, bytes]]:
    """The whole frames at the beginning of ``data``, each with the mask it was written with (b"" without one)."""
    while (found := _first(data)) is not None:
        start = 2 + _EXTENDED.get(data[1] & 0x7F, 0)
        frame, rest = found
        yield frame, data[start : start + 4] if data[1] & _MASKED else b""
        data = rest


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
