"""Where the command writes: whole lines, nothing that steers a terminal, no complaint when the reader has gone."""

from __future__ import annotations

import os
import sys
from errno import EBADF
from typing import Final, TextIO

__all__ = ["Console", "ExitCode", "UserError", "clean", "clean_json"]


class ExitCode:
    """What the command's exit codes mean."""

    WELL: Final = 0
    BROKEN: Final = 1
    """A rule was broken, or a turn failed."""
    USAGE: Final = 2
    """Wrong usage, unreadable input, or output that cannot be written."""
    UNREACHABLE: Final = 3
    """Unreachable, or refused."""
    INTERRUPTED: Final = 130


class UserError(Exception):
    """Something that whoever called the command has to mend: one line for stderr, and the exit code."""

    def __init__(self, message: str, code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


def clean(text: str, *, lines: bool = False) -> str:
    """``text`` on one line, with nothing in it that a terminal would obey: what a peer said is printed with this.
    With ``lines`` it stays on as many lines as it has."""
    return text.translate(_SHOWN_LINES if lines else _SHOWN)


def clean_json(text: str) -> str:
    """The same for a JSON document, which still says the same: what a terminal would obey is written as an escape."""
    return text.translate(_ESCAPED)


_BREAKS: Final = frozenset(map(ord, "\t\r\n\u2028\u2029"))
_CONTROLS: Final = frozenset((*range(0x20), *range(0x7F, 0xA0)))
_REORDERING: Final = frozenset((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Controls of bidirectional text that show a line in another order than it has. All other characters are words of some
language, or join the parts of one."""
_SURROGATES: Final = frozenset(range(0xD800, 0xE000))
"""No characters, so no encoding takes them."""

_HIDDEN: Final = "\N{REPLACEMENT CHARACTER}"
_SHOWN: Final = {
    **dict.fromkeys(_CONTROLS | _REORDERING | _SURROGATES, _HIDDEN),
    **dict.fromkeys(_BREAKS, " "),
}
_SHOWN_LINES: Final = {**_SHOWN, ord("\n"): "\n"}
# The breaks of a document stand between its words: those within are escapes already.
_ESCAPED: Final = {code: f"\\u{code:04x}" for code in _SHOWN if chr(code) not in "\t\r\n"}


class Console:
    """The standard output and error of one run. Neither raises: when the reader of a pipe has gone, what is written to
    it is dropped, and the command goes on to its exit code and its files. So it does when stdout cannot be written, and
    then that is told on stderr, once, and ``output_lost`` is true.
    """

    __slots__ = ("_closed", "output_lost", "stderr", "stdout")

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        # Python has None in the place of a stream that was closed when it began.
        self.stdout: TextIO | None = stdout if stdout is not None else sys.stdout
        self.stderr: TextIO | None = stderr if stderr is not None else sys.stderr
        self.output_lost = False
        self._closed: set[int] = set()

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches the output as it grows."""
        return self.stdout is not None and self.stdout.isatty()

    def out(self, line: str = "") -> None:
        """One line to stdout, at once."""
        self._write(self.stdout, line + "\n")

    def piece(self, text: str) -> None:
        """A piece of a line to stdout, at once."""
        self._write(self.stdout, text)

    def err(self, line: str) -> None:
        """One line to stderr."""
        self._write(self.stderr, line + "\n")

    def _write(self, stream: TextIO | None, text: str) -> None:
        if id(stream) in self._closed:
            return
        try:
            if stream is None:
                raise OSError(EBADF, "it is closed")
            stream.write(text)
            stream.flush()
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            self._write(stream, text.encode(encoding, "replace").decode(encoding))
        except (BrokenPipeError, ValueError):  # ValueError: the stream was closed before us
            self._close(stream)
        except OSError as error:
            self._close(stream)
            if stream is self.stdout:
                self.output_lost = True
                self.err(f"antiphon: the output cannot be written: {error.strerror or error}")

    def _close(self, stream: TextIO | None) -> None:
        self._closed.add(id(stream))
        if stream is not None:
            _silence(stream)


def _silence(stream: TextIO) -> None:
    """What is left in the buffer of ``stream`` goes nowhere, also at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # no file below, so nothing will be flushed into one
