"""``antiphon serve``: a Realtime server until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import itertools
import os
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import antiphon_asyncio
import antiphon_server
from antiphon.toolkit import Journal
from antiphon_cli.arguments import port
from antiphon_cli.console import Console, ExitCode, UserError, clean
from antiphon_cli.journal import JournalError, JournalFile

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES: Final = """\
examples:
  antiphon serve                                says what it heard, on a free port
  antiphon serve --brain script:answers.toml --port 8080 --api-key secret
  antiphon serve --tls cert.pem key.pem --record sessions/

The first line on stdout is 'listening on ws://HOST:PORT/v1/realtime'. SIGINT and SIGTERM end the server.

exit codes: 0 ended by a signal, 2 wrong usage or an unreadable file, 3 the address cannot be had
"""

_LATER: Final = {
    "voice": "the voice brain comes with the [voice] extra of a later edition",
    "chat": "the chat brain comes with a later edition",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, default=0, help="the TCP port; 0, the default, takes a free one")
    parser.add_argument(
        "--brain",
        default="parrot",
        metavar="parrot|script:FILE",
        help="what answers: parrot says what it heard, a script what its file says (default: %(default)s)",
    )
    parser.add_argument("--api-key", metavar="KEY", help="let only clients in that send this bearer token")
    parser.add_argument(
        "--dialect",
        choices=("auto", "ga", "beta"),
        default="auto",
        help="auto speaks what each client's handshake asks for (default: %(default)s)",
    )
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="PEM files; the server is wss:// then")
    parser.add_argument("--record", metavar="DIR", help="write a journal for each session into this directory")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Serve until a signal comes, and return the exit code. Raises `UserError`."""
    if arguments.api_key == "":
        raise UserError("--api-key is empty")
    brain = _brain(arguments.brain)
    context = _tls(*arguments.tls) if arguments.tls is not None else None
    recorder = _Recorder(arguments.record, console) if arguments.record is not None else None
    # Where the loop takes no signal handlers, Ctrl-C ends it this way.
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments, brain, context, recorder, console))
    return ExitCode.WELL


def _brain(name: str) -> antiphon_server.BrainChoice:
    kind, _, file = name.partition(":")
    if name == "parrot":
        return "parrot"
    if kind == "script" and file:
        try:
            return antiphon_server.load_script(file)
        except antiphon_server.ScriptError as error:
            raise UserError(str(error)) from None
    if kind in _LATER:
        raise UserError(f"--brain {kind}: {_LATER[kind]}; this one has parrot and script:FILE")
    if kind == "script":
        raise UserError("--brain script needs a file: script:FILE")
    raise UserError(f"--brain {name!r}: there are parrot and script:FILE")


def _tls(certificate: str, key: str) -> ssl.SSLContext:
    for file in (certificate, key):
        try:
            with open(file, "rb"):
                pass
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # an encrypted key must not ask the terminal
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or "no certificate in PEM, or no key that fits it"
        raise UserError(f"--tls {certificate} {key}: {reason}") from None
    return context


class _Recorder:
    """A journal for each session, numbered in the order in which they began. Existing files are not touched."""

    def __init__(self, folder: str, console: Console) -> None:
        self._folder = Path(folder)
        self._console = console
        self._numbers = itertools.count(1)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: cannot be written to: {getattr(error, 'strerror', None) or error}") from None

    def __call__(self, connection: antiphon_asyncio.ServerConnection) -> Journal | None:
        """The journal of one session. A file that cannot be made or written is told once, and the session goes on."""
        path = next(path for path in (self._path(number) for number in self._numbers) if not path.exists())
        try:
            file = JournalFile(path)
        except JournalError as error:
            self._tell(error)
            return None
        return Journal(file.write, close=file.close, failed=self._tell)

    def _tell(self, error: Exception) -> None:
        self._console.err(f"antiphon serve: {clean(str(error))}")

    def _path(self, number: int) -> Path:
        return self._folder / f"session-{number:04}.jsonl"


async def _serve(
    arguments: argparse.Namespace,
    brain: antiphon_server.BrainChoice,
    context: ssl.SSLContext | None,
    recorder: _Recorder | None,
    console: Console,
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.set_exception_handler(lambda _loop, told: console.err(f"antiphon serve: {_unforeseen(told)}"))
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    try:
        server = await antiphon_server.serve(
            brain,
            arguments.host,
            arguments.port,
            api_key=arguments.api_key,
            dialect=arguments.dialect,
            ssl=context,
            record=recorder,
        )
    except antiphon_server.ScriptError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{arguments.host}:{arguments.port}: {_why(error)}", ExitCode.UNREACHABLE) from None
    async with server:
        console.out(f"listening on {server.url}")
        await stopped.wait()


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use by another program"
    if error.errno is not None and error.errno > 0:
        return f"cannot listen there: {os.strerror(error.errno).lower()}"
    return f"cannot listen there: {error.strerror or error}"


def _unforeseen(told: Mapping[str, object]) -> str:
    error = told.get("exception")
    return clean(f"{told.get('message')}: {error!r}" if error is not None else str(told.get("message")))
