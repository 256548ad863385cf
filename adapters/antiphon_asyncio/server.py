"""The server's side: sockets are accepted, handshakes answered, and each session is given to a handler."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from msgspec import structs

from antiphon import (
    Action,
    Closed,
    Connected,
    ConnectionConfig,
    Content,
    Deliver,
    HandshakeReceived,
    InputAudio,
    InputCommitted,
    Role,
    ServerSession,
    SessionConfig,
    TranscriptionResult,
)
from antiphon import messages as m
from antiphon.toolkit import Journal, Recorder

from .driver import Driver, Socket
from .queue import BoundedQueue, ConnectionClosed, QueuePolicy

if TYPE_CHECKING:
    from antiphon import Connection as Engine

__all__ = ["Authorize", "Handler", "Server", "ServerConnection", "serve"]

Handler: TypeAlias = "Callable[[ServerConnection], Coroutine[object, object, None]]"
"""Runs as one task a connection, from its `Connected` on. When it returns, the connection is closed (1000); when it
raises, that goes to the loop's exception handler and the connection is closed (1011)."""

Authorize: TypeAlias = Callable[[HandshakeReceived], tuple[int, str] | None]
"""Says None to a client that may come in, else the HTTP status (401, 403, …) and the message of the error."""

_NS = 1_000_000_000


class ServerConnection:
    """One client. Every method belongs to the thread of the event loop, none waits but those that say so.

    What the client does arrives as actions, by `listen` (a callback, called at once) or `actions` (an iterator with a
    bounded queue): `Deliver`, `InputAudio`, `InputCommitted`, `ResponseRequested`, `ResponseCancelled`, `Report`,
    `Disconnected`, `Closed`. The protocol's replies, errors and order are the engine's.

    The commands raise `LocalProtocolError` for what the protocol forbids here, and after the end do nothing: a brain
    may still be speaking when its client hangs up.
    """

    def __init__(self, config: SessionConfig, server: Server, queue: QueuePolicy) -> None:
        self._server = server
        self._queue: BoundedQueue[Action] = BoundedQueue(queue, _size)
        self._listener: Callable[[Action], object] | None = None
        self._recorder = Recorder() if server.records else None
        self.handshake: HandshakeReceived | None = None
        """What the client asked for: path, query, headers, subprotocols."""
        self._driver = Driver(
            self._engine(ConnectionConfig(session=config)),
            deliver=self._deliver,
            take=self._take,
            settle=self._settle,
            left=self._left,
        )

    def _engine(self, config: ConnectionConfig) -> Engine:
        now = time.monotonic_ns()
        if self._recorder is None:
            from antiphon import Connection as Engine

            return Engine(Role.SERVER, config, now=now, entropy=os.urandom)
        from antiphon.toolkit import RecordedConnection

        return RecordedConnection(Role.SERVER, config, now=now, entropy=os.urandom, recorder=self._recorder)

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine, for its read-only views."""
        return self._driver.engine

    @property
    def session(self) -> ServerSession:
        """The engine's session: its configuration, conversation and input audio, to read."""
        return self._driver.engine.server

    @property
    def closed(self) -> Closed | None:
        """How the connection ended; None before it did."""
        return self._driver.engine.closed

    async def actions(self) -> AsyncIterator[Action]:
        """The actions in order, `Closed` the last. Raises `SlowConsumer` when too much had to wait."""
        while True:
            try:
                action = await self._queue.get()
            except ConnectionClosed:
                return
            yield action

    async def listen(self, take: Callable[[Action], object]) -> None:
        """Call ``take`` with each action, at once and in order, until the connection has ended.

        ``take`` may use every command. What it raises goes to the loop's exception handler and closes the connection.
        """
        if self._listener is not None:
            raise RuntimeError("a connection has one listener")
        while (action := self._queue.pop()) is not None:
            self._call(take, action)
        self._listener = take
        await self._driver.gone.wait()

    # -- commands ------------------------------------------------------------------------------------------------------

    def generate(self, content: Content) -> None:
        """Content of a response. Once the client has cancelled it, nothing happens."""
        driver = self._driver
        if driver.engine.closed is None:
            driver.do(driver.engine.generate(content, driver.now()))

    def speech_started(self, audio_start_ms: int) -> None:
        """Voice detection heard speech begin; ms since the first sample, prefix padding included."""
        driver = self._driver
        if driver.engine.closed is None:
            driver.do(driver.engine.speech_started(audio_start_ms, driver.now()))

    def speech_stopped(self, audio_end_ms: int) -> None:
        """Voice detection heard speech end; ms since the first sample, silence included. Commits the turn."""
        driver = self._driver
        if driver.engine.closed is None:
            driver.do(driver.engine.speech_stopped(audio_end_ms, driver.now()))

    def transcribed(self, item_id: str, content_index: int, result: TranscriptionResult) -> None:
        """News of the transcription of a user's audio."""
        driver = self._driver
        if driver.engine.closed is None:
            driver.do(driver.engine.transcribed(item_id, content_index, result, driver.now()))

    def send(self, event: m.ServerEvent | m.UnknownEvent) -> None:
        """One of the few events that are the application's to say (`rate_limits.updated`, `error`, one that no class
        describes, …)."""
        driver = self._driver
        if driver.engine.closed is None:
            driver.do(driver.engine.send(event, driver.now()))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the end; `wait_closed` waits for it."""
        driver = self._driver
        driver.do(driver.engine.close(driver.now(), code, reason))

    async def drain(self) -> None:
        """Wait while the socket holds more unwritten bytes than it likes to: for brains that speak fast."""
        await self._driver.writable.wait()

    async def wait_closed(self) -> None:
        """Wait until the socket is gone."""
        await self._driver.gone.wait()

    # -- what the driver calls -----------------------------------------------------------------------------------------

    def accepted(self) -> Socket:
        """For the server: the protocol object of the socket."""
        self._driver.socket = _Accepted(self._driver, self._server, self)
        return self._driver.socket

    def _left(self) -> None:
        self._server.ended(self)

    def _deliver(self, deliver: Deliver) -> None:
        self._hand_on(deliver)

    def _take(self, action: Action) -> None:
        if isinstance(action, HandshakeReceived):
            self._answer(action)
            return
        if isinstance(action, Connected):
            self._server.begin(self)
        self._hand_on(action)
        if isinstance(action, Closed):
            self._queue.finish(ConnectionClosed(action.code, action.reason))

    def _hand_on(self, action: Action) -> None:
        if self._listener is None:
            self._queue.put(action)
        else:
            self._call(self._listener, action)

    def _call(self, take: Callable[[Action], object], action: Action) -> None:
        try:
            take(action)
        except Exception as error:
            self._fail("the listener of an antiphon server raised", error)

    def _settle(self) -> None:
        if self._listener is None and self._queue.settle():
            self.close(1011, "overloaded")

    def _begin_journal(self, journal: Journal | None) -> None:
        if self._recorder is None:
            return
        if journal is None:
            self._recorder.end()
        else:
            failed = journal.failed if journal.failed is not None else self._cannot_record
            self._recorder.attach(structs.replace(journal, failed=failed))

    def _cannot_record(self, error: Exception) -> None:
        self._fail("the journal of an antiphon server raised", error, close=False)

    def _fail(self, message: str, error: Exception, *, close: bool = True) -> None:
        self._driver.loop.call_exception_handler({"message": message, "exception": error})
        if close:
            self.close(1011, "internal error")

    def _answer(self, handshake: HandshakeReceived) -> None:
        """Let the client in, or say why not."""
        driver = self._driver
        self.handshake = handshake
        server = self._server
        refusal: tuple[int, str] | None
        try:
            refusal = server.refusal(handshake, driver.engine.server.paths)
            if refusal is None:
                self._begin_journal(server.journal(self))
        except Exception as error:
            self._fail("a handshake could not be judged by an antiphon server", error, close=False)
            refusal = 500, "The server had an error while it processed the handshake."
        if refusal is not None:
            driver.do(driver.engine.refuse(driver.now(), *refusal))
            return
        chosen = next((name for name in server.subprotocols if name in handshake.subprotocols), None)
        driver.do(driver.engine.accept(driver.now(), subprotocol=chosen))


class _Accepted(Socket):
    """A socket that counts as a connection once TLS is through; of those that fail there asyncio says nothing."""

    def __init__(self, driver: Driver, server: Server, connection: ServerConnection) -> None:
        super().__init__(driver)
        self._server = server
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.made(self._connection)
        super().connection_made(transport)


def _size(action: Action) -> int:
    if isinstance(action, Deliver):
        return len(action.raw)
    if isinstance(action, InputAudio | InputCommitted):
        return len(action.audio or b"")
    return 0


class Server:
    """A listening server. Leave it with `close` and `wait_closed`, or use it as ``async with await serve(...)``."""

    def __init__(
        self,
        handler: Handler,
        *,
        host: str,
        config: SessionConfig,
        secure: bool,
        authorize: Authorize | None,
        subprotocols: Sequence[str],
        queue: QueuePolicy,
        record: Callable[[ServerConnection], Journal | None] | None,
    ) -> None:
        self._handler = handler
        self._host = host
        self._config = config
        self._secure = secure
        self._authorize = authorize
        self._queue = queue
        self._record = record
        self.subprotocols = tuple(subprotocols)
        self._listening: asyncio.Server | None = None
        self._port = 0
        self._connections: dict[ServerConnection, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        assert self._listening is not None  # `serve` returns it listening
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect to."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'wss' if self._secure else 'ws'}://{host}:{self.port}/v1/realtime"

    @property
    def connections(self) -> tuple[ServerConnection, ...]:
        """The clients there are now, those in their handshake included."""
        return tuple(self._connections)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def listen(self, port: int, ssl: tls.SSLContext | None) -> None:
        """For `serve`: begin to listen. Raises OSError when the address cannot be had."""
        shutdown_timeout = self._config.timers.close / _NS if ssl is not None else None
        self._listening = await self._loop.create_server(
            self._accept, self._host, port, ssl=ssl, ssl_shutdown_timeout=shutdown_timeout
        )
        self._port = int(self._listening.sockets[0].getsockname()[1])

    def close(self, code: int = 1001, reason: str = "") -> None:
        """Stop listening and close every connection with ``code`` (1001 is "going away")."""
        assert self._listening is not None  # `serve` returns it listening
        self._listening.close()
        for connection in self.connections:
            connection.close(code, reason)

    async def wait_closed(self) -> None:
        """After `close`: wait until the sockets are gone (at most ``timers.close``) and the handlers have returned."""
        for connection in self.connections:
            await connection.wait_closed()
        while self._tasks:
            await asyncio.wait(self._tasks)
        assert self._listening is not None  # `serve` returns it listening
        await self._listening.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    # -- what connections call -----------------------------------------------------------------------------------------

    def _accept(self) -> Socket:
        return ServerConnection(self._config, self, self._queue).accepted()

    def made(self, connection: ServerConnection) -> None:
        """A socket is connected, TLS included."""
        self._connections[connection] = None

    def refusal(self, handshake: HandshakeReceived, paths: tuple[str, ...]) -> tuple[int, str] | None:
        """Why this client may not come in, or what it asks for is not at one of ``paths``: HTTP status and message."""
        if not handshake.path.endswith(paths):
            return 404, "There is nothing here. The Realtime API is at /v1/realtime."
        return self._authorize(handshake) if self._authorize is not None else None

    @property
    def records(self) -> bool:
        """Whether anybody may want a journal of a connection."""
        return self._record is not None

    def journal(self, connection: ServerConnection) -> Journal | None:
        """The journal of a connection that was let in."""
        return self._record(connection) if self._record is not None else None

    def begin(self, connection: ServerConnection) -> None:
        """The WebSocket is open: start its handler."""
        task = self._loop.create_task(self._run(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self, connection: ServerConnection) -> None:
        """The connection has ended and its socket is gone."""
        self._connections.pop(connection, None)

    async def _run(self, connection: ServerConnection) -> None:
        code = 1011
        try:
            await self._handler(connection)
            code = 1000
        except Exception as error:
            self._loop.call_exception_handler({"message": "a handler of an antiphon server raised", "exception": error})
        finally:
            connection.close(code)
        await connection.wait_closed()


async def serve(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    config: SessionConfig = SessionConfig(),  # noqa: B008 - frozen
    ssl: tls.SSLContext | None = None,
    authorize: Authorize | None = None,
    subprotocols: Sequence[str] = ("realtime",),
    queue: QueuePolicy = QueuePolicy(),  # noqa: B008 - frozen
    record: Callable[[ServerConnection], Journal | None] | None = None,
) -> Server:
    """Listen for Realtime clients on any path that ends in ``/realtime``; ``port`` 0 takes a free one.

    ``handler`` runs for each client whose handshake was accepted. ``authorize`` sees the handshake first. Of the
    ``subprotocols`` the first that the client offers is chosen, none if it offers none. ``record`` is asked once for
    each client for what sees its messages. Raises OSError when the address cannot be had.
    """
    server = Server(
        handler,
        host=host,
        config=config,
        secure=ssl is not None,
        authorize=authorize,
        subprotocols=subprotocols,
        queue=queue,
        record=record,
    )
    await server.listen(port, ssl)
    return server
