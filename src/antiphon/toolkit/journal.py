"""Journals: recorded sessions as JSON lines, as text. What is read and written is lines; files are an adapter's.

A line is ``{"dir": "client" | "server", "event": {…}, "at": ns}``; ``at`` may be absent. Lines with another ``dir``
are notes. Reading is a function over lines, so a file, a pipe and a list in a test are all one; it holds one line at a
time, and passes on what is no journal line as `Foreign`: what was written before and after it is not lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "MOST_AT",
    "MOST_LINE_BYTES",
    "CutLine",
    "Direction",
    "Entry",
    "Foreign",
    "Note",
    "Row",
    "format_note",
    "format_row",
    "read_lines",
]

Direction: TypeAlias = Literal["client", "server"]

MOST_LINE_BYTES: Final = 64 << 20
"""Bytes of one line: twice the largest message of the wire, so that a file without line breaks is refused early."""


class Row(Struct, frozen=True):
    """One event: the JSON text as it stands in line ``number`` (from 1); ``at`` in ns, None where it is not told."""

    number: int
    dir: Direction
    event: bytes
    at: int | None = None

    def __repr__(self) -> str:
        return f"Row(number={self.number}, dir={self.dir!r}, event=<{len(self.event)} bytes>, at={self.at})"


class Note(Struct, frozen=True):
    """A line with another ``dir``: ``data`` is all of it."""

    number: int
    dir: str
    data: Mapping[str, object]

    @property
    def says_audio_was_cut(self) -> bool:
        """Whether it is the note that the recorder shortened the audio, so that samples cannot be counted."""
        return self.dir == "note" and self.data.get("audio") == "cut"

    @property
    def opens_socket(self) -> bool:
        """Whether the engine was told of a socket: what follows belongs to a session of its own."""
        input = self.data.get("input") if self.dir == "input" else None
        return isinstance(input, dict) and input.get("in") == "opened"


class CutLine(Struct, frozen=True):
    """The last line, which its writer did not finish. It says nothing about the rest."""

    number: int


class Foreign(Struct, frozen=True):
    """A line that is none of a journal; ``reason`` says why, and quotes nothing of it: it may hold audio or a key."""

    number: int
    reason: str


Entry: TypeAlias = Row | Note | CutLine | Foreign


class _Line(Struct):
    dir: str
    event: msgspec.Raw | UnsetType = UNSET
    at: int | float | None = None


MOST_AT: Final = 1 << 62
"""The latest time, ns: 146 years of a monotonic clock."""

_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_note: Final = msgspec.json.Decoder(dict[str, object]).decode
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_lines(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of ``lines``, which keep their line ends; empty ones are passed over.

    A line that is no JSON object with a string ``dir``, and a ``client`` or ``server`` line without an event, is
    `Foreign`; the last line is a `CutLine` then if it has no line end.
    """
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            try:
                yield _entry(number, line)
            except ValueError as error:
                cut = not line.endswith(b"\n") and number > 1
                yield CutLine(number) if cut else Foreign(number, str(error))


def _entry(number: int, line: bytes) -> Row | Note:
    """One line. Raises ValueError with the reason; nothing of the line is quoted, it may hold audio or a key."""
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"is longer than {MOST_LINE_BYTES >> 20} MiB")
    try:
        line.decode("utf-8")  # the decoder does not look into what it passes over
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None
    try:
        read = _decode_line(line)
    except msgspec.ValidationError:
        raise ValueError('is no journal line: {"dir": …, "event": {…}, "at": ns} is one') from None
    except msgspec.DecodeError as error:
        raise ValueError(f"is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if read.dir not in ("client", "server"):
        try:
            return Note(number, read.dir, _decode_note(line))
        except (msgspec.DecodeError, RecursionError):
            return Note(number, read.dir, {})  # a number that is none of ours, deep nesting: it is only a note
    if read.at is not None and not -MOST_AT <= read.at <= MOST_AT:
        raise ValueError('"at" is no time in ns')
    event = b"" if isinstance(read.event, UnsetType) else bytes(read.event)
    if not event.startswith(b"{"):
        raise ValueError(f'a {read.dir} line has an object under "event"')
    return Row(number, "client" if read.dir == "client" else "server", event, None if read.at is None else int(read.at))


# Writing ------------------------------------------------------------------------------------------------------------


def format_row(dir: Direction, event: bytes | str, at: int | None = None) -> bytes:
    """One line for ``event``, a JSON object in UTF-8; ``at`` in ns."""
    text = event.encode("utf-8") if isinstance(event, str) else event
    # A raw line break can only stand between the tokens of JSON, where a space means the same.
    text = text.replace(b"\r", b" ").replace(b"\n", b" ")
    time = b"" if at is None else b',"at":%d' % at
    return b'{"dir":"%s","event":%s%s}\n' % (dir.encode(), text, time)


def format_note(dir: str, data: Mapping[str, object], at: int | None = None) -> bytes:
    """One line that is no event; ``data`` are its other keys. Raises ValueError for a ``dir`` that events have."""
    if dir in ("client", "server"):
        raise ValueError(f"{dir!r} is no note")
    time = {} if at is None else {"at": at}
    return msgspec.json.encode({"dir": dir, **data, **time}) + b"\n"
