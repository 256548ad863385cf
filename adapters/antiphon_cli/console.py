"""Where the command writes: whole lines, nothing that steers a terminal, no complaint when the reader has gone."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

__all__ = ["Console", "ExitCode", "UserError", "clean"]


class ExitCode:
    """What the command's exit codes mean."""

    WELL: Final = 0
    BROKEN: Final = 1
    """A rule was broken, or a turn failed."""
    USAGE: Final = 2
    """Wrong usage, or unreadable input."""
    UNREACHABLE: Final = 3
    """Unreachable, or refused."""
    INTERRUPTED: Final = 130


class UserError(Exception):
    """Something that whoever called the command has to mend: one line for stderr, and the exit code."""

    def __init__(self, message: str, code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


def clean(text: str, *, keep: str = "") -> str:
    """``text`` on one line, with nothing in it that a terminal would obey: what a peer said is printed with this.
    ``keep`` names characters that stay as they are."""
    return "".join(
        each if each.isprintable() or each in keep else " " if each in "\t\r\n" else _HIDDEN for each in text
    )


_HIDDEN: Final = "\N{REPLACEMENT CHARACTER}"


class Console:
    """The standard output and error of one run. Neither raises: when the reader of a pipe has gone, what is written to
    it is dropped, and the command goes on to its exit code and its files."""

    __slots__ = ("_closed", "stderr", "stdout")

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.stdout = stdout if stdout is not None else sys.stdout
        self.stderr = stderr if stderr is not None else sys.stderr
        self._closed: set[int] = set()

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches the output as it grows."""
        return self.stdout.isatty()

    def out(self, line: str = "") -> None:
        """One line to stdout, at once."""
        self._write(self.stdout, line + "\n")

    def piece(self, text: str) -> None:
        """A piece of a line to stdout, at once."""
        self._write(self.stdout, text)

    def err(self, line: str) -> None:
        """One line to stderr."""
        self._write(self.stderr, line + "\n")

    def _write(self, stream: TextIO, text: str) -> None:
        if id(stream) in self._closed:
            return
        try:
            stream.write(text)
            stream.flush()
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            self._write(stream, text.encode(encoding, "replace").decode(encoding))
        except (BrokenPipeError, ValueError):  # ValueError: the stream was closed before us
            self._closed.add(id(stream))
            _silence(stream)


def _silence(stream: TextIO) -> None:
    """What is left in the buffer of ``stream`` goes nowhere, also at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # no file below, so nothing will be flushed into one
