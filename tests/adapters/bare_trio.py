"""A whole driver on trio's streams, to show that the engine needs no adapter: connect, read, write, keep deadlines."""

import contextlib
import math
import os
import time
from collections.abc import Callable

import trio

import antiphon
from antiphon import CloseTransport, Endpoint, Fault, OpenTransport, SessionConfig, Transmit, inputs


class TrioDriver:
    """One client engine in one nursery. ``take`` gets every action that is not about the socket."""

    def __init__(self, endpoint: Endpoint, config: SessionConfig, take: Callable[[antiphon.Action], None]) -> None:
        self._endpoint = endpoint
        both = antiphon.ConnectionConfig(endpoint=endpoint, session=config)
        self.engine = antiphon.Connection(antiphon.Role.CLIENT, both, now=time.monotonic_ns(), entropy=os.urandom)
        self._take = take
        self._pump = antiphon.Pump(self.engine)
        self._performing = False
        self._moved = trio.Event()
        self._stream: trio.SocketStream | None = None

    async def run(self, commands: "trio.MemoryReceiveChannel[inputs.Input]") -> None:
        """Converse until the engine is closed."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._obey, commands)
            await self._feed(inputs.Start())
            await self._keep_time()

    async def _feed(self, input: inputs.Input) -> None:
        """One input, and all that it leads to. While a write waits, others may feed: their actions queue behind it."""
        self._pump.feed(input, time.monotonic_ns())
        if self._performing:
            return
        self._performing = True
        while (action := self._pump.next()) is not None:
            await self._perform(action)
        self._performing = False
        self._moved.set()

    async def _perform(self, action: antiphon.Action) -> None:
        if isinstance(action, OpenTransport):
            self._nursery.start_soon(self._dial)
        elif isinstance(action, Transmit) and self._stream is not None:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the reader learns of it too
                await self._stream.send_all(action.data)
        elif isinstance(action, CloseTransport) and self._stream is not None:
            await trio.aclose_forcefully(self._stream)
        else:
            self._take(action)
            if isinstance(action, antiphon.Closed):
                self._nursery.cancel_scope.cancel()

    async def _dial(self) -> None:
        try:
            async with await trio.open_tcp_stream(self._endpoint.host, self._endpoint.port) as self._stream:
                await self._feed(inputs.Opened(unix_ns=time.time_ns()))
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    async for data in self._stream:
                        await self._feed(inputs.DataReceived(bytes(data)))
                await self._feed(inputs.EofReceived())
        except OSError as error:
            await self._feed(inputs.TransportFailed(Fault("dial", str(error))))

    async def _obey(self, commands: "trio.MemoryReceiveChannel[inputs.Input]") -> None:
        async for command in commands:
            await self._feed(command)

    async def _keep_time(self) -> None:
        while True:
            deadline, self._moved = self.engine.deadline, trio.Event()
            with trio.move_on_after(math.inf if deadline is None else max(0, deadline - time.monotonic_ns()) / 1e9):
                await self._moved.wait()
            await self._feed(inputs.Tick())  # too early is no harm
