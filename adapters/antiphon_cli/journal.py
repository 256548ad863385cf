"""Journals in files. What their lines say is `antiphon.toolkit`'s; here they are read from disk and written to it."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Self

from antiphon.toolkit import MOST_LINE_BYTES, CutLine, Entry, Foreign, read_lines

__all__ = ["JournalError", "JournalFile", "PassedOver", "Rereadable", "read_journal"]

_KEPT_REMARKS: Final = 5
"""Lines that are told of by number because they could not be read; the others are counted."""


class JournalError(Exception):
    """A journal cannot be read or written. ``str()`` is one line: file, line number (where there is one), reason.

    ``path``, ``line`` (from 1, or None) and ``reason`` hold the parts.
    """

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


def read_journal(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """The entries of a file, read as they are asked for.

    Raises:
        JournalError: the file cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            yield from read_lines(_bounded_lines(file))
    except (OSError, ValueError) as error:
        raise JournalError(name, None, f"cannot be read: {_reason(error)}") from None


class Rereadable:
    """The entries of a file, from its beginning each time that they are asked for, also where the file is a pipe: what
    came through it is kept in a temporary file. A context manager, for that file.

    Asking for entries raises:
        JournalError: the file cannot be read.
    """

    __slots__ = ("_came", "_comes_once", "_path", "_pipe")

    def __init__(self, path: str) -> None:
        self._path = path
        self._comes_once = _comes_once(path)
        self._pipe: BinaryIO | None = None
        self._came: IO[bytes] | None = None

    def __iter__(self) -> Iterator[Entry]:
        if not self._comes_once:
            yield from read_journal(self._path)
            return
        try:
            if self._came is None:
                self._came = tempfile.TemporaryFile()  # noqa: SIM115 - `__exit__` closes both
            if self._pipe is None:
                self._pipe = open(self._path, "rb")  # noqa: SIM115
            yield from read_lines(_kept_lines(self._pipe, self._came))
        except (OSError, ValueError) as error:
            raise JournalError(self._path, None, f"cannot be read: {_reason(error)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for file in (self._pipe, self._came):
            if file is not None:
                file.close()


def _comes_once(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False  # who opens it tells what is wrong with it
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _kept_lines(pipe: BinaryIO, came: IO[bytes]) -> Iterator[bytes]:
    """The lines that came, and then those that come."""
    position = 0
    while True:
        came.seek(position)
        line = came.readline(MOST_LINE_BYTES + 1)
        if not line:
            line = pipe.readline(MOST_LINE_BYTES + 1)
            came.write(line)
        if not line:
            return
        position += len(line)
        yield line


class PassedOver:
    """The lines of a journal that could not be read: the first few are told of by number, the others counted."""

    __slots__ = ("_count", "_told")

    def __init__(self) -> None:
        self._told: list[str] = []
        self._count = 0

    def add(self, entry: CutLine | Foreign) -> str:
        """Count a line, and answer what there is to tell of it."""
        why = "is cut short and" if isinstance(entry, CutLine) else f"{entry.reason}; it"
        told = f"line {entry.number} {why} was passed over"
        self._count += 1
        if self._count <= _KEPT_REMARKS:
            self._told.append(told)
        return told

    def notes(self) -> list[str]:
        """What is told of them all."""
        more = self._count - len(self._told)
        return [*self._told, f"{more} {'row' if more == 1 else 'rows'} more could not be read"] if more else self._told


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MOST_LINE_BYTES + 1):
        yield line


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class JournalFile:
    """A file that takes journal lines: each is with the operating system when the call returns, so what was recorded
    stays whatever becomes of the process. An existing file is replaced.

    Raises:
        JournalError: the file cannot be created or written. After a failed write nothing more is written.
    """

    __slots__ = ("_file", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._file: BinaryIO | None = None
        try:
            self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115 - `close` ends it, the class is the manager
        except (OSError, ValueError) as error:
            raise self._failed(error) from None

    def write(self, lines: bytes) -> None:
        """Add whole lines."""
        if self._file is None:
            return
        try:
            rest = memoryview(lines)
            while rest:  # an unbuffered file may take less than it was given
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self.close()
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _failed(self, error: OSError | ValueError) -> JournalError:
        return JournalError(self.path, None, f"cannot be written: {_reason(error)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
