"""Journals in files. What their lines say is `antiphon.toolkit`'s; here they are read from disk and written to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from antiphon.toolkit import MOST_LINE_BYTES, Entry, read_lines

__all__ = ["JournalError", "JournalFile", "read_journal"]


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
