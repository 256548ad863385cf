"""One engine on one event loop: bytes, commands and deadlines in, actions performed. No policy, no protocol word.

A `Driver` serves either role. Each socket is a `Socket` (an `asyncio.Protocol`; streams would put a buffer and a
task between), and only the current one is heard. Reading never pauses: a paused reader answers no PING.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from antiphon import (
    Action,
    Actions,
    Closed,
    CloseTransport,
    Deliver,
    Disconnected,
    Fault,
    OpenTransport,
    Pump,
    Transmit,
)

if TYPE_CHECKING:
    from antiphon import Connection

__all__ = ["Driver", "Socket"]

_NS = 1_000_000_000


class Driver:
    """Carries ``engine`` on the running event loop.

    ``deliver`` takes each `Deliver`, ``take`` every other action that is the application's; both are called in causal
    order, may call `do` again, and must not raise. ``settle`` is called after each batch of actions, ``left`` when
    nothing is left behind. ``dial(socket)`` connects a socket for `OpenTransport` and raises OSError or ValueError when
    it cannot; a server needs none.
    """

    def __init__(
        self,
        engine: Connection,
        *,
        deliver: Callable[[Deliver], None],
        take: Callable[[Action], None],
        settle: Callable[[], None],
        left: Callable[[], None] = lambda: None,
        dial: Callable[[Socket], Coroutine[object, object, None]] | None = None,
    ) -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.gone = asyncio.Event()
        """Set when the engine is closed, its socket is gone and no dial is under way."""
        self.socket: Socket | None = None
        """The current one."""
        self.writable = asyncio.Event()
        """Clear while the transport holds more unwritten bytes than it likes to."""
        self.writable.set()
        self.transmitted: Callable[[Transmit], None] | None = None
        """Hears of what goes out, where somebody wants to know; must not raise."""
        self._deliver = deliver
        self._take = take
        self._settle = settle
        self._left = left
        self._dial = dial
        self._pump = Pump(engine)
        self._performing = False
        self._writes: list[bytes] = []
        self._now = time.monotonic_ns()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0
        self._dialling: asyncio.Task[None] | None = None
        self._transports = 0  # that are not lost yet

    def now(self) -> int:
        """The engine's time, ns: the monotonic clock, and never before a deadline that has fired."""
        self._now = max(self._now, time.monotonic_ns())
        return self._now

    def do(self, actions: Actions) -> None:
        """Perform what a method of the engine returned, and whatever that leads to, in order."""
        pump = self._pump
        pump.put(actions)
        if self._performing:
            return
        self._performing = True
        deliver = self._deliver
        try:
            while (action := pump.next()) is not None:
                if action.__class__ is Deliver:
                    deliver(action)
                else:
                    self._perform(action)
            self._flush()
        finally:
            self._performing = False
        self._rearm()
        self._settle()

    def give_up(self, why: str) -> None:
        """End everything at once, without a closing handshake."""
        self.do(self.engine.transport_failed(Fault("eof", why), self.now()))

    def _perform(self, action: Action) -> None:
        if isinstance(action, Transmit):
            self._writes.append(action.data)
            if self.transmitted is not None:
                self.transmitted(action)
        elif isinstance(action, CloseTransport):
            self._flush()
            self._close_socket(abort=action.abort)
        elif isinstance(action, OpenTransport):
            self._open_socket()
        else:
            if isinstance(action, Disconnected):
                self._drop_socket()
            self._take(action)
            if isinstance(action, Closed):
                self._check_gone()

    @property
    def _transport(self) -> asyncio.Transport | None:
        return self.socket.transport if self.socket is not None else None

    def _flush(self) -> None:
        if self._writes:
            transport = self._transport
            if transport is not None and not transport.is_closing():
                transport.write(b"".join(self._writes))
            self._writes.clear()

    def _close_socket(self, *, abort: bool) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        transport = self._transport
        if transport is not None:
            transport.abort() if abort else transport.close()

    def _drop_socket(self) -> None:
        """The engine is done with this socket. One that was told to close may still write what it holds."""
        self._flush()
        transport = self._transport
        if transport is None or not transport.is_closing():
            self._close_socket(abort=True)
        self.socket = None
        self.writable.set()

    def _open_socket(self) -> None:
        assert self._dial is not None  # only a client's engine asks for sockets, and a client dials
        self.socket = Socket(self)
        self._dialling = self.loop.create_task(self._connect(self.socket, self._dial))
        self._dialling.add_done_callback(self._dialled)

    async def _connect(self, socket: Socket, dial: Callable[[Socket], Coroutine[object, object, None]]) -> None:
        try:
            await dial(socket)
        except (OSError, ValueError) as error:
            if self.socket is socket:
                self.do(self.engine.transport_failed(Fault("dial", str(error), "R-L3"), self.now()))

    def _dialled(self, task: asyncio.Task[None]) -> None:
        if self._dialling is task:
            self._dialling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": "a dial failed in an unforeseen way", "exception": error})
            self.give_up("the dial failed")
        self._check_gone()

    def _check_gone(self) -> None:
        if self.engine.closed is not None and not self._transports and self._dialling is None:
            self.gone.set()
            self._left()

    def _rearm(self) -> None:
        """A timer that is too early costs one tick that does nothing; moving it at each input would cost more."""
        deadline = self.engine.deadline
        if deadline is None:
            if self._timer is not None and self.engine.closed is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or deadline < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._armed = deadline
            self._timer = self.loop.call_later(max(0, deadline - time.monotonic_ns()) / _NS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._now = max(self._armed, self.now())  # a loop may be one resolution of its clock early
        self.do(self.engine.tick(self._now))

    def opened(self, socket: Socket, transport: asyncio.Transport) -> None:
        """A socket is connected, TLS included."""
        self._transports += 1
        if socket is self.socket:
            self.do(self.engine.opened(self.now(), unix_ns=time.time_ns(), headers=socket.headers))
        else:
            transport.abort()  # it came too late

    def lost(self) -> None:
        """One transport less."""
        self._transports -= 1
        self._check_gone()


class Socket(asyncio.Protocol):
    """What asyncio calls for one socket; the driver hears the current one."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.transport: asyncio.Transport | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        """What the handshake says beyond the endpoint's own; whoever dials may set it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # a stream's is always one
        self.transport = transport
        self._driver.opened(self, transport)

    def data_received(self, data: bytes) -> None:
        driver = self._driver
        if driver.socket is self:
            driver.do(driver.engine.receive_data(data, driver.now()))

    def eof_received(self) -> None:
        driver = self._driver
        if driver.socket is self:
            driver.do(driver.engine.receive_eof(driver.now()))

    def connection_lost(self, exc: Exception | None) -> None:
        driver = self._driver
        if exc is None:
            self.eof_received()
        elif driver.socket is self:
            driver.give_up(f"the socket was lost: {exc}")
        driver.lost()

    def pause_writing(self) -> None:
        if self._driver.socket is self:
            self._driver.writable.clear()

    def resume_writing(self) -> None:
        self._driver.writable.set()
