"""The client: ``async with connect(...) as connection``, in the shape that users of openai-python know."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias
from urllib.parse import parse_qsl, urlencode

from msgspec import structs

from antiphon import (
    Action,
    Closed,
    Connected,
    ConnectionConfig,
    Deliver,
    Endpoint,
    Outcome,
    PlayAudio,
    RemoteProtocolError,
    RequestSettled,
    Resources,
    Role,
    SessionConfig,
    StopAudio,
    Transmit,
    command_of,
)
from antiphon import messages as m
from antiphon.toolkit import Journal

from .coalesce import coalesce
from .dial import dial
from .driver import Driver, Socket
from .queue import BoundedQueue, ConnectionClosed, QueuePolicy

if TYPE_CHECKING:
    from antiphon import Connection as Engine
    from antiphon import Conversation
    from antiphon.toolkit import Router
else:
    Conversation = object

__all__ = ["AsyncConnection", "Connector", "Observer", "Player", "Request", "connect"]

Pcm: TypeAlias = bytes | bytearray | memoryview
ApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]
AnyEvent: TypeAlias = m.ServerEvent | m.ClientEvent | m.UnknownEvent | m.Malformed
Observer: TypeAlias = Callable[[Action], None]

_NS = 1_000_000_000


class Player(Protocol):
    """What plays the answer. Called on the event loop, so neither method may block."""

    def play(self, audio: PlayAudio, /) -> None:
        """Queue this audio; report progress with `AsyncConnection.audio_played` (on the event loop's thread)."""
        ...

    def stop(self, item_id: str, content_index: int, /) -> int:
        """Flush this part now. Returns how many samples of it were heard, from its beginning."""
        ...


class Request:
    """A `response.create` that was sent, or waits for its turn. It has exactly one outcome."""

    __slots__ = ("_outcome", "_settled", "event_id")

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self._outcome: Outcome | None = None
        self._settled = asyncio.Event()

    @property
    def settled(self) -> Outcome | None:
        """The outcome, None while there is none."""
        return self._outcome

    async def outcome(self) -> Outcome:
        """Wait for the outcome. Every request has one, at the latest when the connection ends; may be awaited twice."""
        await self._settled.wait()
        assert self._outcome is not None  # set before the event
        return self._outcome

    def settle(self, outcome: Outcome) -> None:
        """For the connection: this is how it went."""
        self._outcome = outcome
        self._settled.set()

    def __repr__(self) -> str:
        return f"Request(event_id={self.event_id!r}, settled={self._outcome!r})"


class AsyncConnection:
    """One realtime conversation. Made by `connect`; every method belongs to the thread of the event loop.

    Commands by name are ``session``, ``conversation``, ``input_audio_buffer``, ``output_audio_buffer`` and
    ``response``, as in openai-python; ``await response.create()`` returns a `Request`. What is refused raises
    `LocalProtocolError` and changes nothing. ``engine.client`` is for reading: the conversation
    (also ``history``), responses, playback, usage.

    Events come by ``async for``, `recv` or `recv_bytes`. Iteration ends after an orderly close; `RemoteProtocolError`
    tells that the server or the path to it failed, `SlowConsumer` that too much had to wait (`QueuePolicy`).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        config: SessionConfig,
        *,
        fresh_key: Callable[[], str | Awaitable[str]] | None,
        observer: Observer | None,
        player: Player | None,
        ssl: tls.SSLContext | None,
        queue: QueuePolicy,
        record: Journal | None,
    ) -> None:
        self._endpoint = endpoint
        self._fresh_key = fresh_key
        self._ssl = ssl
        self._observers: tuple[Observer, ...] = () if observer is None else (observer,)
        self._watchers: tuple[Observer, ...] = ()
        self._player = player
        self._requests: dict[str, Request] = {}
        self._queue: BoundedQueue[Deliver] = BoundedQueue(queue, _size, coalesce)
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shutdown_timeout = config.timers.close / _NS
        self._config = ConnectionConfig(endpoint=endpoint, session=config)
        self._driver = Driver(
            self._engine(record),
            deliver=self._queue.put,
            take=self._take,
            settle=self._settle,
            dial=self._dial,
        )
        resources = Resources(self.send, self._create, append_audio=self.append_audio)
        self.session = resources.session
        self.conversation = resources.conversation
        self.input_audio_buffer = resources.input_audio_buffer
        self.output_audio_buffer = resources.output_audio_buffer
        self.response = resources.response

    def _engine(self, record: Journal | None) -> Engine:
        now = time.monotonic_ns()
        if record is None:
            from antiphon import Connection as Engine

            return Engine(Role.CLIENT, self._config, now=now, entropy=os.urandom)
        from antiphon.toolkit import RecordedConnection, Recorder

        if record.failed is None:
            record = structs.replace(record, failed=self._cannot_record)
        recorder = Recorder(record)
        return RecordedConnection(Role.CLIENT, self._config, now=now, entropy=os.urandom, recorder=recorder)

    def _cannot_record(self, error: Exception) -> None:
        self._complain("the journal of an antiphon connection raised", error)

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine, for its read-only views."""
        return self._driver.engine

    @property
    def history(self) -> Conversation:
        """The conversation in order, as the server knows it; ``conversation`` is the resource, as in openai-python."""
        return self._driver.engine.conversation

    @property
    def closed(self) -> Closed | None:
        """How the connection ended; None before it did."""
        return self._driver.engine.closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        deliver = self._queue.pop()
        if deliver is None:
            try:
                deliver = await self._queue.get()
            except ConnectionClosed:
                raise StopAsyncIteration from None
        return deliver.event

    async def recv(self) -> AnyEvent:
        """The next event. Raises `ConnectionClosed` after an orderly end, else as iteration does."""
        return (await self._queue.get()).event

    async def recv_bytes(self) -> bytes:
        """The next event as the JSON text that it came in (UTF-8). Raises as `recv`."""
        raw = (await self._queue.get()).raw
        return raw if isinstance(raw, bytes) else raw.encode()

    def observe(self, observer: Observer, *, transmit: bool = False) -> Callable[[], None]:
        """Call ``observer`` too with each action that is no event, from now on; with ``transmit`` also with each
        `Transmit`, which is what goes out, frame by frame. Returns the function that ends it."""
        self._observers += (observer,)
        if transmit:
            self._watchers += (observer,)
            self._driver.transmitted = self._transmitted

        def forget() -> None:
            self._observers = tuple(each for each in self._observers if each is not observer)
            self._watchers = tuple(each for each in self._watchers if each is not observer)
            if not self._watchers:
                self._driver.transmitted = None

        return forget

    async def route(self, router: Router[AnyEvent]) -> None:
        """Hand every event to the handlers of ``router``, and await them, until the connection ends. Raises as
        iteration does, and as `Router.route_async`."""
        async for event in self:
            await router.route_async(event)

    # -- commands ------------------------------------------------------------------------------------------------------

    async def send(
        self, event: m.ClientEvent | m.UnknownEvent | Mapping[str, object], *, override: Sequence[str] = ()
    ) -> None:
        """Send any client event, typed or as a dict, and as it is one that no class describes; ``override`` names the
        rules to pass over. Waits while the socket is congested. Raises `LocalProtocolError` for what is refused."""
        driver = self._driver
        if isinstance(event, Mapping):
            event = command_of(event)
        driver.do(driver.engine.send(event, driver.now(), override=override))
        await driver.writable.wait()

    async def append_audio(self, pcm: Pcm) -> None:
        """Send microphone audio: whole samples in the session's input format. Waits while the socket is congested."""
        driver = self._driver
        driver.do(driver.engine.append_audio(pcm, driver.now()))
        await driver.writable.wait()

    async def _create(self, event: m.ResponseCreate) -> Request:
        driver = self._driver
        identified = driver.engine.identify(event)
        assert isinstance(identified.event_id, str)  # that is what `identify` gives
        request = Request(identified.event_id)
        if request.event_id in self._requests:
            raise ValueError(f"a request with the event id {request.event_id!r} has no outcome yet")
        actions = driver.engine.send(identified, driver.now())
        self._requests[request.event_id] = request  # before its outcome, which may be among these actions
        driver.do(actions)
        await driver.writable.wait()
        return request

    async def interrupt(self) -> None:
        """The user's button: cancel the response, stop the audio, tell the server what was not heard."""
        driver = self._driver
        driver.do(driver.engine.interrupt(driver.now()))
        await driver.writable.wait()

    def audio_played(self, item_id: str, content_index: int, samples: int) -> None:
        """The player has played ``samples`` of this part so far, counted from its beginning."""
        driver = self._driver
        if driver.engine.closed is None:  # a device is stopped a little later than a socket
            driver.do(driver.engine.audio_played(item_id, content_index, samples, driver.now()))

    def audio_stopped(self, item_id: str, content_index: int, samples: int) -> None:
        """The answer to `StopAudio` of an application that plays without a `Player`."""
        driver = self._driver
        if driver.engine.closed is None:
            driver.do(driver.engine.audio_stopped(item_id, content_index, samples, driver.now()))

    # -- life ----------------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the conversation and wait until the socket is gone, at most ``timers.close``. Twice is once.

        When the wait is cancelled the socket is dropped at once.
        """
        driver = self._driver
        driver.do(driver.engine.close(driver.now(), code, reason))
        await self._wait_gone()

    async def _wait_gone(self) -> None:
        try:
            await self._driver.gone.wait()
        except asyncio.CancelledError:
            self._driver.give_up("the wait for the closing handshake was cancelled")
            raise

    async def open(self) -> None:
        """For `connect`: dial, and wait until messages can flow. Raises `RemoteProtocolError` when they never will."""
        driver = self._driver
        try:
            driver.do(driver.engine.start(driver.now()))
            await self._connected
        except BaseException:
            driver.do(driver.engine.close(driver.now()))
            await self._wait_gone()
            raise

    async def _dial(self, socket: Socket) -> None:
        if self._fresh_key is not None:
            key = self._fresh_key()
            socket.headers = (("Authorization", f"Bearer {key if isinstance(key, str) else await key}"),)
            self._endpoint.with_headers(socket.headers)  # raises for a key that cannot be sent
        await dial(self._endpoint, lambda: socket, ssl=self._ssl, shutdown_timeout=self._shutdown_timeout)

    # -- what the driver calls -----------------------------------------------------------------------------------------

    def _take(self, action: Action) -> None:
        """Every action but events and bytes."""
        if isinstance(action, Connected):
            if not self._connected.done():
                self._connected.set_result(None)
        elif isinstance(action, RequestSettled):
            request = self._requests.pop(action.event_id, None)
            if request is not None:
                request.settle(action.outcome)
        elif isinstance(action, Closed):
            self._finish(action)
        elif self._player is not None and isinstance(action, PlayAudio | StopAudio):
            self._play(self._player, action)
        self._show(self._observers, action)

    def _transmitted(self, action: Transmit) -> None:
        self._show(self._watchers, action)

    def _show(self, observers: tuple[Observer, ...], action: Action) -> None:
        for observer in observers:
            try:
                observer(action)
            except Exception as error:
                self._complain("the observer of an antiphon connection raised", error)

    def _finish(self, closed: Closed) -> None:
        end: Exception = ConnectionClosed(closed.code, closed.reason)
        if closed.fault is not None:
            end = RemoteProtocolError(closed.fault)
        self._queue.finish(end)
        if not self._connected.done():
            self._connected.set_exception(end)

    def _play(self, player: Player, action: PlayAudio | StopAudio) -> None:
        try:
            if isinstance(action, PlayAudio):
                player.play(action)
            else:
                heard = player.stop(action.item_id, action.content_index)
                self.audio_stopped(action.item_id, action.content_index, heard)
        except Exception as error:  # the engine does without an answer after `timers.flush`
            self._complain("the player of an antiphon connection raised", error)

    def _settle(self) -> None:
        driver = self._driver
        if self._queue.settle() and driver.engine.closed is None:
            driver.do(driver.engine.close(driver.now(), 1000, "slow consumer"))

    def _complain(self, message: str, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})


def _size(deliver: Deliver) -> int:
    return len(deliver.raw)


class Connector:
    """What `connect` returns: enter it with ``async with`` for an `AsyncConnection`."""

    def __init__(self, make: Callable[[], AsyncConnection]) -> None:
        self._make = make
        self._connection: AsyncConnection | None = None

    async def __aenter__(self) -> AsyncConnection:
        if self._connection is not None:
            raise RuntimeError("a connector is entered once; call connect() again")
        self._connection = self._make()
        await self._connection.open()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._connection is not None  # it was entered
        await self._connection.close()


def connect(
    url: str | Endpoint,
    *,
    api_key: ApiKey | None = None,
    model: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    config: SessionConfig = SessionConfig(),  # noqa: B008 - frozen
    observer: Observer | None = None,
    player: Player | None = None,
    ssl: tls.SSLContext | None = None,
    queue: QueuePolicy = QueuePolicy(),  # noqa: B008 - frozen
    record: Journal | None = None,
) -> Connector:
    """A realtime conversation over a WebSocket: ``async with connect(url, api_key=...) as connection``.

    ``url`` is the whole address ("wss://…/v1/realtime", or "ws://…") or an `Endpoint`, which may know its vendor
    (``Endpoint.openai``, ``Endpoint.azure``); ``api_key``, sent as a bearer token, and ``model``, as a query parameter,
    go with a URL only. A function as ``api_key`` gives the key, or awaits it, anew for each dial: some are short-lived.
    ``headers`` are added, or replace those of the same name. ``ssl`` replaces the default context.

    ``observer`` is called with each action that is no event (`PlayAudio`, `StopAudio`, `Report`, `RequestSettled`,
    `Connected`, `Closed`, …), ``player`` with the audio; what they raise goes to the loop's exception handler.
    ``record`` is given a journal of the session, which `antiphon.toolkit.Replay` can play.

    Entering waits until the WebSocket is open (bounded by ``config.timers``) and raises `RemoteProtocolError` when it
    cannot be: unreachable, not trusted, refused (``error.fault.status`` is the HTTP status), no WebSocket. Leaving
    closes it. A socket that is lost later is dialled again, and a session that expires is followed by another that
    knows the history of this one, while the same iterator goes on; ``config.renewal`` says whether and how long. Raises
    `ValueError` for a URL that cannot be dialled, and for headers or a key that cannot be sent.
    """
    fresh_key = None if api_key is None or isinstance(api_key, str) else api_key
    endpoint = _endpoint(url, api_key, model, headers)
    return Connector(
        lambda: AsyncConnection(
            endpoint,
            config,
            fresh_key=fresh_key,
            observer=observer,
            player=player,
            ssl=ssl,
            queue=queue,
            record=record,
        )
    )


def _endpoint(
    url: str | Endpoint, api_key: ApiKey | None, model: str | None, headers: Sequence[tuple[str, str]]
) -> Endpoint:
    if isinstance(url, Endpoint):
        if api_key is not None or model is not None:
            raise ValueError("an Endpoint carries its key and model itself")
        return url.with_headers(headers) if headers else url
    endpoint = Endpoint.custom(url, api_key=api_key if isinstance(api_key, str) else None, headers=headers)
    if model is not None:
        query = [pair for pair in parse_qsl(endpoint.query, keep_blank_values=True) if pair[0] != "model"]
        endpoint = structs.replace(endpoint, query=urlencode([*query, ("model", model)]))
    return endpoint
