"""Three drivers behind one blocking face, so that one test body drives them all; and servers to talk to.

Every wait has a limit and ends with what has been seen until then; nothing sleeps for a result.
"""

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import trio

import antiphon
import antiphon_asyncio
import antiphon_server
from adapters.bare_thread import ThreadDriver
from adapters.bare_trio import TrioDriver
from antiphon import Endpoint, SessionConfig, inputs
from antiphon import messages as m

LIMIT = 20.0  # seconds until a test that waits has failed

Seen = object  # an event of `antiphon.messages` or an action


class Log:
    """What came out of a driver, for a test on another thread to wait on."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self.seen: list[Seen] = []
        self._unclaimed: list[Seen] = []

    def put(self, thing: Seen) -> None:
        """From the driver: an action; a `Deliver` is noted as its event."""
        self._queue.put(thing.event if isinstance(thing, antiphon.Deliver) else thing)

    def wait(self, what: str, match: Callable[[Any], bool]) -> Any:
        """The first thing not yet claimed that matches; claims it."""
        for index, thing in enumerate(self._unclaimed):
            if match(thing):
                return self._unclaimed.pop(index)
        limit = time.monotonic() + LIMIT
        while True:
            try:
                thing = self._queue.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                names = [getattr(each, "type", type(each).__name__) for each in self.seen]
                raise AssertionError(f"no {what} within {LIMIT} s; seen: {names}") from None
            self.seen.append(thing)
            if match(thing):
                return thing
            self._unclaimed.append(thing)

    def event(self, type: str) -> Any:
        """The next event of this type."""
        return self.wait(type, lambda thing: getattr(thing, "type", None) == type)

    def action(self, kind: type) -> Any:
        """The next action of this class."""
        return self.wait(kind.__name__, lambda thing: isinstance(thing, kind))


class Client(Protocol):
    """One conversation, seen from the test's thread."""

    log: Log

    def __init__(self, endpoint: Endpoint, config: SessionConfig) -> None: ...

    def do(self, input: inputs.Input) -> None:
        """Give the engine a command."""

    def join(self) -> None:
        """Wait until nothing of the client is left."""


class TrioClient:
    """The bare trio driver, in a trio of its own."""

    def __init__(self, endpoint: Endpoint, config: SessionConfig) -> None:
        self.log = Log()
        self._endpoint = endpoint
        self._config = config
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=[self._run])
        self._thread.start()
        assert self._ready.wait(LIMIT)

    async def _run(self) -> None:
        self._commands, commands = trio.open_memory_channel[inputs.Input](64)
        self._token = trio.lowlevel.current_trio_token()
        self._ready.set()
        with trio.fail_after(LIMIT):
            await TrioDriver(self._endpoint, self._config, self.log.put).run(commands)

    def do(self, input: inputs.Input) -> None:
        trio.from_thread.run_sync(self._commands.send_nowait, input, trio_token=self._token)

    def join(self) -> None:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()


class ThreadClient:
    """The bare blocking driver, in its thread."""

    def __init__(self, endpoint: Endpoint, config: SessionConfig) -> None:
        self.log = Log()
        self._driver = ThreadDriver(endpoint, config, self.log.put)
        self._thread = threading.Thread(target=self._driver.run)
        self._thread.start()

    def do(self, input: inputs.Input) -> None:
        self._driver.command(input)

    def join(self) -> None:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()


class AsyncioClient:
    """`antiphon_asyncio.connect` through its public face, in an event loop of its own."""

    def __init__(self, endpoint: Endpoint, config: SessionConfig) -> None:
        self.log = Log()
        self._endpoint = endpoint
        self._config = config
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._run()])
        self._thread.start()
        assert self._ready.wait(LIMIT)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with antiphon_asyncio.connect(
                self._endpoint, config=self._config, observer=self.log.put
            ) as self._connection:
                self._ready.set()
                async for event in self._connection:
                    self.log.put(event)
        except antiphon.RemoteProtocolError:
            pass  # `Closed` in the log tells it
        finally:
            self._ready.set()

    def do(self, input: inputs.Input) -> None:
        asyncio.run_coroutine_threadsafe(self._command(input), self._loop).result(LIMIT)

    async def _command(self, input: inputs.Input) -> None:
        connection = self._connection
        match input:
            case inputs.Send(event=event):
                await connection.send(event)  # type: ignore[arg-type]  # a client's tests send a client's events
            case inputs.AppendAudio(pcm=pcm):
                await connection.append_audio(pcm)
            case inputs.AudioPlayed():
                connection.audio_played(input.item_id, input.content_index, input.samples)
            case inputs.AudioStopped():
                connection.audio_stopped(input.item_id, input.content_index, input.samples)
            case inputs.Close(code=code, reason=reason):
                asyncio.get_running_loop().create_task(connection.close(code, reason))
            case _:
                raise AssertionError(f"no test gives {input!r}")

    def join(self) -> None:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()


CLIENTS: dict[str, type[Client]] = {"asyncio": AsyncioClient, "trio": TrioClient, "thread": ThreadClient}


@contextmanager
def serving(
    start: Callable[[], Coroutine[object, object, antiphon_asyncio.Server]],
) -> Iterator[antiphon_asyncio.Server]:
    """What ``start`` returns, on an event loop in another thread; closed at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Coroutine[object, object, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(LIMIT)

    async def stop(server: antiphon_asyncio.Server) -> None:
        server.close()
        await server.wait_closed()

    try:
        server = call(start())
        try:
            yield server
        finally:
            call(stop(server))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
        loop.close()


def brain_server(
    brain: antiphon_server.BrainChoice, *, api_key: str | None = None
) -> AbstractContextManager[antiphon_asyncio.Server]:
    """`serving` of a brain."""
    return serving(lambda: antiphon_server.serve(brain, api_key=api_key))


@contextmanager
def dead_server() -> Iterator[str]:
    """The URL of a server that completes the handshake and never says a word again."""

    def accept() -> None:
        with listener:
            peer, _ = listener.accept()
        config = antiphon.ConnectionConfig()
        engine = antiphon.Connection(antiphon.Role.SERVER, config, now=0, entropy=lambda size: bytes(size))
        engine.opened(0)
        with peer:
            while not engine.receive_data(peer.recv(65536), 0):
                pass  # until the request is whole
            for action in engine.accept(0):
                if isinstance(action, antiphon.Transmit):
                    peer.sendall(action.data)
            over.wait(LIMIT)

    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime"
    finally:
        over.set()
        thread.join(LIMIT)


def user_says(text: str) -> inputs.Send:
    """The command that adds a user's message."""
    item = m.MessageItem(role="user", content=[m.InputText(text=text)])
    return inputs.Send(m.ConversationItemCreate(item=item))


def writes_only() -> inputs.Send:
    """The command that switches the session to text."""
    return inputs.Send(m.SessionUpdate(session=m.RealtimeSession(output_modalities=["text"])))
