"""WebSocket frames, as far as a journal needs them: the texts of what was written, the whole frames of what came in.

The engine's `Wire` judges frames; here a frame is only found, so that a journal can hold its JSON text in place of its
bytes, and made again when the journal is played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

__all__ = ["PONG", "Frame", "FrameReader", "frame_of", "frames_in", "text_of"]

_WHOLE_TEXT: Final = 0x81  # FIN and opcode 1 (RFC 6455 §5.2)
_LAST: Final = 0x80
_MASKED: Final = 0x80
_EXTENDED: Final = {126: 2, 127: 8}


class Frame(Struct, frozen=True):
    """One frame: the first byte (FIN, reserved bits, opcode) and the payload without its mask; ``masked``: it came with
    one."""

    head: int
    payload: bytes
    masked: bool = False

    @property
    def is_whole_text(self) -> bool:
        """Whether it is a text message by itself."""
        return self.head == _WHOLE_TEXT

    @property
    def is_last(self) -> bool:
        """Whether its message ends with it."""
        return bool(self.head & _LAST)

    def __repr__(self) -> str:
        return f"Frame(head={self.head:#04x}, payload=<{len(self.payload)} bytes>)"


PONG: Final = Frame(0x8A, b"")
"""The smallest thing that a peer may say at any time and that asks for nothing: a bare sign of life."""


class FrameReader:
    """Cuts a stream of bytes into frames. ``rest`` is what has not become a whole one yet."""

    __slots__ = ("_owed", "rest")

    def __init__(self) -> None:
        self.rest = bytearray()
        self._owed = 0  # bytes that the first frame in it lacks at least

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with ``data``, in order."""
        self.rest += data
        self._owed -= len(data)
        if self._owed > 0:
            return []
        frames = []
        position = 0
        while (found := _Found(self.rest, position)).is_whole:
            frames.append(found.frame)
            position = found.end
        self._owed = found.end - len(self.rest)
        del self.rest[:position]
        return frames

    def partial(self, shown: Callable[[bytes], bytes]) -> bytes:
        """The frame that is not whole, as far as it came, with the mask that changes nothing; ``shown`` takes its text
        and returns what may be told of it."""
        return _Found(self.rest, 0).partial(shown)


class _Found:
    """Where the frame that begins at ``start`` ends, at least; of one whose header is not whole, the header."""

    __slots__ = ("_data", "_payload", "_start", "end", "is_whole", "mask")

    def __init__(self, data: bytes | bytearray, start: int) -> None:
        self._data = data
        self._start = start
        self.mask = b""
        self.is_whole = False
        self.end = start + 2
        self._payload = len(data)
        if len(data) < self.end:
            return
        second = data[start + 1]
        length = second & 0x7F
        extended = _EXTENDED.get(length, 0)
        self.end += extended + (4 if second & _MASKED else 0)
        if len(data) < self.end:
            return
        if extended:
            length = int.from_bytes(data[start + 2 : start + 2 + extended], "big")
        if second & _MASKED:
            self.mask = bytes(data[self.end - 4 : self.end])
        self._payload = self.end
        self.end += length
        self.is_whole = len(data) >= self.end

    @property
    def frame(self) -> Frame:
        """The frame, which is whole."""
        payload = bytes(self._data[self._payload : self.end])
        return Frame(self._data[self._start], _masked(payload, self.mask) if self.mask else payload, bool(self.mask))

    def partial(self, shown: Callable[[bytes], bytes]) -> bytes:
        """What there is of a frame that is not whole, with the mask that changes nothing."""
        payload = bytes(self._data[self._payload :])
        head = bytes(self._data[self._start : self._payload])
        if self.mask:
            head, payload = head[:-4] + bytes(4), _masked(payload, self.mask)
        return head + shown(payload)


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
    position = 0
    while (found := _Found(data, position)).is_whole:
        yield found.frame, found.mask
        position = found.end


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
