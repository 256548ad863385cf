"""Journals: recorded sessions as JSON lines, read and written.

A line is ``{"dir": "client" | "server", "event": {…}, "at": ns}``; ``at`` may be absent. Lines with another ``dir``
are notes. Reading is a function over lines, so a file, a pipe and a list in a test are all one; it holds one line at a
time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "CutLine",
    "Direction",
    "JournalError",
    "JournalWriter",
    "Note",
    "Row",
    "format_note",
    "format_row",
    "read_journal",
    "read_lines",
]

Direction: TypeAlias = Literal["client", "server"]

MOST_LINE_BYTES: Final = 64 << 20
"""Bytes of one line: twice the largest message of the wire, so that a file without line breaks is refused early."""


class JournalError(Exception):
    """A journal cannot be read or written. ``str()`` is one line: file, line number (where there is one), reason.

    ``path``, ``line`` (from 1, or None) and ``reason`` hold the parts.
    """

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


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


class CutLine(Struct, frozen=True):
    """The last line, which its writer did not finish. It says nothing about the rest."""

    number: int


Entry: TypeAlias = Row | Note | CutLine


class _Line(Struct):
    dir: str
    event: msgspec.Raw | UnsetType = UNSET
    at: int | float | None = None


_decode_line: Final = msgspec.json.Decoder(_Line).decode
_decode_note: Final = msgspec.json.Decoder(dict[str, object]).decode
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Entry]:
    """The entries of ``lines``, which keep their line ends; empty ones are passed over. ``name`` stands in errors.

    Raises:
        JournalError: a line is no JSON object with a string ``dir``, or a ``client`` or ``server`` line has no event.
            A last line without a line end is a `CutLine` then.
    """
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            try:
                yield _entry(number, line)
            except ValueError as error:
                if not line.endswith(b"\n") and number > 1:
                    yield CutLine(number)
                    return
                raise JournalError(name, number, str(error)) from None


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
    event = b"" if isinstance(read.event, UnsetType) else bytes(read.event)
    if not event.startswith(b"{"):
        raise ValueError(f'a {read.dir} line has an object under "event"')
    return Row(number, "client" if read.dir == "client" else "server", event, None if read.at is None else int(read.at))


def read_journal(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """The entries of a file, read as they are asked for.

    Raises:
        JournalError: as `read_lines`, and when the file cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            yield from read_lines(_bounded_lines(file), name)
    except (OSError, ValueError) as error:
        raise JournalError(name, None, f"cannot be read: {_reason(error)}") from None


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MOST_LINE_BYTES + 1):
        yield line


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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


class JournalWriter:
    """Writes a journal line by line: each is with the operating system when the call returns, so what was recorded
    stays whatever becomes of the process. An existing file is replaced. ``rows`` counts the events.

    Raises:
        JournalError: the file cannot be created or written. After a failed write nothing more is written.
    """

    __slots__ = ("_file", "path", "rows")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.rows = 0
        self._file: BinaryIO | None = None
        try:
            self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115 - `close` ends it, the class is the manager
        except (OSError, ValueError) as error:
            raise self._failed(error) from None

    def event(self, dir: Direction, event: bytes | str, at: int | None = None) -> None:
        """Add one event, as JSON."""
        self._write(format_row(dir, event, at))
        self.rows += 1

    def note(self, dir: str, data: Mapping[str, object], at: int | None = None) -> None:
        """Add a line that is no event."""
        self._write(format_note(dir, data, at))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        try:
            rest = memoryview(line)
            while rest:  # an unbuffered file may take less than it was given
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self.close()
            raise self._failed(error) from None

    def _failed(self, error: OSError | ValueError) -> JournalError:
        return JournalError(self.path, None, f"cannot be written: {_reason(error)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
