"""``antiphon replay --serve``: the server of a recording, for real clients. Each connection gets the next recorded
socket; after the last, the first again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Sequence
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from antiphon.toolkit import RecordedServer, Row, sockets_of
from antiphon_cli.console import Console, ExitCode, UserError, clean
from antiphon_cli.journal import JournalError, read_journal

__all__ = ["serve"]

_NS: Final = 1_000_000_000
_MOST_BYTES: Final = 32 << 20


def serve(path: str, host: str, port: int, speed: float | None, console: Console) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code."""
    try:
        sockets = sockets_of(read_journal(path))
    except JournalError as error:
        raise UserError(str(error)) from None
    if not any(row.dir == "server" for rows in sockets for row in rows):
        raise UserError(f"{path}: holds no event of a server: is it a journal?")
    asyncio.run(_serve(sockets, host, port, speed, console))
    return ExitCode.WELL


async def _serve(sockets: Sequence[list[Row]], host: str, port: int, speed: float | None, console: Console) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    numbers = itertools.count()

    async def handle(connection: ServerConnection) -> None:
        number = next(numbers)
        play = _Play(connection, RecordedServer(sockets[number % len(sockets)], time.monotonic_ns(), speed=speed))
        # A recorded socket that another followed was lost, so it is lost again.
        await play.run(is_last=number % len(sockets) == len(sockets) - 1)
        for line in play.told():
            console.err(f"antiphon replay: {clean(line)}")

    try:
        server = await listen(
            handle, host, port, subprotocols=[Subprotocol("realtime")], select_subprotocol=_select, max_size=_MOST_BYTES
        )
    except OSError as error:
        # What the resolver of names says has a negative number of its own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise UserError(f"{host}:{port}: cannot listen there: {reason.lower()}", ExitCode.UNREACHABLE) from None
    async with server:
        address = next(iter(server.sockets)).getsockname()
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        console.out(f"listening on ws://{name}:{address[1]}/v1/realtime")
        await stopped.wait()


def _select(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("realtime") if "realtime" in offered else None


class _Play:
    """One client."""

    def __init__(self, connection: ServerConnection, part: RecordedServer) -> None:
        self._connection = connection
        self._part = part
        self._heard = asyncio.Event()

    async def run(self, *, is_last: bool) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            while not listening.done():
                for text in self._part.tick(time.monotonic_ns()):
                    await self._connection.send(text.decode(), text=True)
                if self._part.ended and not is_last:
                    await self._connection.close(1001)
                await self._wait(listening)
        except ConnectionClosed:
            pass
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _wait(self, listening: asyncio.Task[None]) -> None:
        """Until something is due, or the client speaks or leaves."""
        deadline = self._part.deadline
        timeout = None if deadline is None else max(0, deadline - time.monotonic_ns()) / _NS
        heard = asyncio.create_task(self._heard.wait())
        await asyncio.wait({heard, listening}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()
        self._heard.clear()

    async def _listen(self) -> None:
        async for message in self._connection:
            self._part.receive(message, time.monotonic_ns())
            self._heard.set()

    def told(self) -> list[str]:
        """What went otherwise than it was recorded."""
        told = []
        if self._part.waits_for is not None:
            told.append(f"the client left while the recording waits for its {self._part.waits_for}")
        told += [f"the client never sent {kind} (recorded {count}×)" for kind, count in self._part.missed.items()]
        told += [f"{count}× {kind} is not in the recording" for kind, count in self._part.unasked.items()]
        return told
