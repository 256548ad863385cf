"""A whole driver on a blocking socket in one thread, to show that the engine needs no event loop."""

import contextlib
import os
import queue
import selectors
import socket
import time
from collections.abc import Callable

import antiphon
from antiphon import CloseTransport, Endpoint, Fault, OpenTransport, SessionConfig, Transmit, inputs


class ThreadDriver:
    """One client engine; `run` is the thread, `command` is for all others. ``take`` is called on the thread."""

    def __init__(self, endpoint: Endpoint, config: SessionConfig, take: Callable[[antiphon.Action], None]) -> None:
        self._address, self._patience = (endpoint.host, endpoint.port), config.timers.connect / 1e9
        wanted = antiphon.ConnectionConfig(endpoint=endpoint, session=config)
        self.engine = antiphon.Connection(antiphon.Role.CLIENT, wanted, now=time.monotonic_ns(), entropy=os.urandom)
        self._take = take
        self._pump = antiphon.Pump(self.engine)
        self._commands: queue.SimpleQueue[inputs.Input] = queue.SimpleQueue()
        self._bell, self._clapper = socket.socketpair()
        self._socket: socket.socket | None = None

    def command(self, input: inputs.Input) -> None:
        """From any thread: give the engine an input."""
        self._commands.put(input)
        self._clapper.send(b"!")

    def run(self) -> None:
        """Converse until the engine is closed."""
        with self._bell, self._clapper, contextlib.ExitStack() as self._open:
            self._selector = self._open.enter_context(selectors.DefaultSelector())
            self._selector.register(self._bell, selectors.EVENT_READ)
            self._feed(inputs.Start())
            while self.engine.closed is None:
                self._wait()

    def _wait(self) -> None:
        deadline = self.engine.deadline
        timeout = None if deadline is None else max(0, deadline - time.monotonic_ns()) / 1e9
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._bell:
                for _ in self._bell.recv(1024):
                    self._feed(self._commands.get())
            elif self._socket is not None and self.engine.closed is None:
                try:
                    data = self._socket.recv(1 << 16)
                    self._feed(inputs.DataReceived(data) if data else inputs.EofReceived())
                except OSError as error:
                    self._feed(inputs.TransportFailed(Fault("eof", str(error))))
        self._feed(inputs.Tick())

    def _feed(self, input: inputs.Input) -> None:
        self._pump.feed(input, time.monotonic_ns())
        while (action := self._pump.next()) is not None:
            if isinstance(action, OpenTransport):
                self._dial()
            elif isinstance(action, Transmit) and self._socket is not None:
                with contextlib.suppress(OSError):  # the next read learns of it too
                    self._socket.sendall(action.data)
            elif isinstance(action, CloseTransport) and self._socket is not None:
                self._selector.unregister(self._socket)
                self._socket.close()
            else:
                self._take(action)

    def _dial(self) -> None:
        try:
            self._socket = self._open.enter_context(socket.create_connection(self._address, self._patience))
        except OSError as error:
            self._feed(inputs.TransportFailed(Fault("dial", str(error))))
        else:
            self._socket.settimeout(None)
            self._selector.register(self._socket, selectors.EVENT_READ)
            self._feed(inputs.Opened(unix_ns=time.time_ns()))
