"""What the peer's bytes on one socket become in a journal: heads, texts, frames, without what must not be in it.

The bytes are cut where a journal can hold them, not where the network cut them. A message in several frames is written
as one text, because a credential may lie across them. Only what ended the reading is kept as it came: its length, its
header and what broke it, not its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.engine.config import Limits, Role
from antiphon.engine.handshake import HEAD_END
from antiphon.toolkit.frames import Frame, FrameReader, frame_of, text_of
from antiphon.toolkit.input_rows import FROM_ROW
from antiphon.toolkit.journal import Direction, Row, format_row, read_lines
from antiphon.toolkit.redaction import blank_event, redact_event, redact_head, redact_refusal, refuses

__all__ = ["Pieces", "SocketReader", "is_row"]

_CONTINUATION: Final = 0
_TEXT: Final = 1
_FIRST_CONTROL: Final = 8
_LINE_BREAKS: Final = (b"\r", b"\n")


def is_row(peer: Direction, text: bytes) -> bool:
    """Whether ``text`` can stand in an event row and be read back: an object, alike but for line breaks."""
    if any(mark in text for mark in _LINE_BREAKS):
        try:
            msgspec.json.decode(text)  # a line break between tokens is a space; in a string it would be made one
        except (ValueError, RecursionError):
            return False
        text = text.replace(b"\r", b" ").replace(b"\n", b" ")
    entry = next(iter(read_lines([format_row(peer, text)])), None)
    return isinstance(entry, Row) and entry.event == text


class Pieces:
    """What a chunk brought: the head of a handshake, frames, and bytes that are neither."""

    __slots__ = ("frames", "head", "other")

    def __init__(self, head: bytes = b"", frames: Sequence[Frame] = (), other: bytes = b"") -> None:
        self.head = head
        self.frames = frames
        self.other = other

    def dump(self, peer: Direction, most: int) -> tuple[dict[str, object], list[bytes]]:
        """As JSON values, and the texts that stand in rows: none of more than ``most`` bytes."""
        brought: list[bytes] = []
        frames: list[object] = []
        for frame in self.frames:
            if frame.is_whole_text and len(frame.payload) <= most and is_row(peer, frame.payload):
                brought.append(frame.payload)
                frames.append(FROM_ROW)
            else:
                frames.append(frame_of(_hidden(frame, most), masked=False))
        data: dict[str, object] = {"in": "data_received"}
        if self.head:
            data["head"] = self.head.decode("latin-1")
        data["frames"] = frames
        if self.other:
            data["other"] = self.other
        return data, brought


def _hidden(frame: Frame, most: int) -> Frame:
    """A frame without its secrets; of the same length where that may be what is wrong with it."""
    opcode = frame.head & 0x0F
    if opcode >= _FIRST_CONTROL:
        return frame
    if frame.is_whole_text and len(frame.payload) <= most:
        return Frame(frame.head, redact_event(frame.payload))
    if opcode == _TEXT:
        return Frame(frame.head, blank_event(frame.payload))
    return Frame(frame.head, bytes(len(frame.payload)))  # binary: nobody reads it


class SocketReader:
    """Reads along with an engine of ``role``; ``limits`` are its own."""

    __slots__ = ("_client", "_fragments", "_frames", "_head", "_limits", "_over")

    def __init__(self, role: Role, limits: Limits) -> None:
        self._client = role is Role.CLIENT
        self._limits = limits
        self._head: bytearray | None = bytearray()  # of the handshake, while it is not whole; None afterwards
        self._frames = FrameReader()
        self._fragments: list[Frame] = []  # of a text that is not whole
        self._over = False

    def feed(self, data: bytes, *, reads: bool) -> Pieces | None:
        """What ``data`` completes; None for a part of a handshake. ``reads``: the engine goes on reading; else this is
        what it ended with, nothing of it may wait for more, and no more is fed."""
        self._over = not reads
        if self._head is None:
            return self._read(b"", data)
        self._head += data
        whole = bytes(self._head)
        if self._client and refuses(whole):
            return self._given(redact_refusal(whole)) if self._over else None
        first, end, rest = whole.partition(HEAD_END)
        if len(first) + len(end) > self._limits.http_head_bytes or not end:
            return self._given(_as_long(redact_head(whole), len(whole))) if self._over else None
        self._head = None
        return self._read(redact_head(first + end), rest)

    def flush(self) -> Pieces | None:
        """The stream has ended: what was read of a handshake, None when it was complete."""
        head, self._head = self._head, None
        self._over = True
        if not head:
            return None
        whole = bytes(head)
        return Pieces(redact_refusal(whole) if refuses(whole) else redact_head(whole))

    def finish(self) -> Pieces | None:
        """The engine has ended the reading, with what came before; None when nothing waits."""
        self._over = True
        pieces = self._read(b"", b"")
        return pieces if pieces.frames or pieces.other else None

    def _given(self, head: bytes) -> Pieces:
        self._head = None
        return Pieces(head)

    def _read(self, head: bytes, data: bytes) -> Pieces:
        frames: list[Frame] = []
        for frame in self._frames.feed(data):
            if frame.masked is self._client:  # the engine ends with it
                return Pieces(head, frames, frame_of(_hidden(frame, 0), masked=frame.masked))
            frames += self._joined(frame)
        if not self._over:
            return Pieces(head, frames)
        return Pieces(head, [*frames, *self._as_they_came()], self._frames.partial(blank_event))

    def _joined(self, frame: Frame) -> list[Frame]:
        """The frames that can be told now that this one has come."""
        opcode = frame.head & 0x0F
        begins = frame.head == _TEXT and not self._fragments
        if not begins and not (self._fragments and frame.head & 0x7F == _CONTINUATION):
            return [frame] if opcode >= _FIRST_CONTROL else [*self._as_they_came(), frame]
        self._fragments.append(frame)
        if not frame.is_last:
            return []
        text = b"".join(each.payload for each in self._fragments)
        if len(self._fragments) > self._limits.fragments or len(text) > self._limits.message_bytes:
            return self._as_they_came()
        self._fragments = []
        return [text_of(text)]

    def _as_they_came(self) -> list[Frame]:
        """The fragments of a text that will never be whole."""
        fragments, self._fragments = self._fragments, []
        text = blank_event(b"".join(each.payload for each in fragments))
        told = []
        for each in fragments:
            told.append(Frame(each.head, text[: len(each.payload)]))
            text = text[len(each.payload) :]
        return told


def _as_long(head: bytes, length: int) -> bytes:
    """A head that was refused for its length, as long as it was."""
    first, end, rest = head.partition(HEAD_END)
    return first.ljust(length - len(end) - len(rest), b"x") + end + rest
