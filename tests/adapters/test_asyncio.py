"""antiphon_asyncio: what an application sees of it. Client and server share one event loop and talk over loopback."""

import asyncio
import gc
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import antiphon
import antiphon_asyncio
from adapters.harness import LIMIT, dead_server
from antiphon import (
    AudioDelta,
    Closed,
    Dropped,
    Durations,
    Endpoint,
    Finished,
    ItemFinished,
    ItemStarted,
    LocalProtocolError,
    Merged,
    RemoteProtocolError,
    RenewalPolicy,
    ResponseFinished,
    ResponseRequested,
    SessionConfig,
    TextDelta,
)
from antiphon import messages as m
from antiphon.toolkit import Entry, Journal, Replay, Row, Steps, read_lines
from antiphon_asyncio import ConnectionClosed, QueuePolicy, ServerConnection, SlowConsumer

MS = 1_000_000
TEXT_ONLY = SessionConfig(session={"output_modalities": ["text"]})
ONE_SOCKET = SessionConfig(renewal=RenewalPolicy(reconnect=False))


def run(body: Callable[[], Coroutine[object, object, None]], *, complaints: int = 0) -> None:
    """Run an async test, and see that it leaves no task, no timer and no complaint (but ``complaints``) behind."""
    told: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        async with asyncio.timeout(LIMIT):
            await body()
        timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]  # no API
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert len(timers) <= 1, "only the time limit of the test itself may be left"

    asyncio.run(main())
    gc.collect()  # an unclosed transport would warn here, and a warning is an error
    assert len(told) == complaints, told


async def stay(connection: ServerConnection) -> None:
    """A handler that says nothing and stays until the client goes."""
    await connection.listen(lambda action: None)


def answering(*deltas: str) -> antiphon_asyncio.Handler:
    """A handler that answers each request with these deltas."""

    async def handle(connection: ServerConnection) -> None:
        async for action in connection.actions():
            if isinstance(action, ResponseRequested):
                say(connection, action.response_id, *deltas)

    return handle


def say(connection: ServerConnection, response_id: str, *deltas: str) -> None:
    """A whole response of one text."""
    connection.generate(ItemStarted(response_id=response_id, output_index=0, kind="text"))
    for delta in deltas:
        connection.generate(TextDelta(response_id=response_id, output_index=0, delta=delta))
    connection.generate(ItemFinished(response_id=response_id, output_index=0))
    connection.generate(ResponseFinished(response_id=response_id))


@asynccontextmanager
async def both(
    handler: antiphon_asyncio.Handler = stay, *, server: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[antiphon_asyncio.AsyncConnection, antiphon_asyncio.Server]]:
    """A client in conversation with ``handler``."""
    serving = await antiphon_asyncio.serve(handler, **{"config": TEXT_ONLY, **(server or {})})
    async with serving, antiphon_asyncio.connect(serving.url, **options) as connection:
        yield connection, serving


class TestEvents:
    def test_iteration_ends_after_an_orderly_close(self) -> None:
        async def hang_up(connection: ServerConnection) -> None:
            connection.close(1000)
            await connection.wait_closed()

        async def body() -> None:
            async with both(hang_up) as (connection, _):
                assert [event.type async for event in connection] == ["session.created"]
                assert connection.closed == Closed(1000, "", None)

        run(body)

    def test_iteration_raises_when_the_server_goes_away(self) -> None:
        async def body() -> None:
            async with both(config=ONE_SOCKET) as (connection, server):
                assert (await anext(connection)).type == "session.created"
                server.close()
                with pytest.raises(RemoteProtocolError) as raised:
                    await anext(connection)
                assert "1001" in str(raised.value)

        run(body)

    def test_recv_raises_once_everything_was_received(self) -> None:
        async def body() -> None:
            async with both() as (connection, _):
                await connection.close()
                assert (await connection.recv()).type == "session.created"
                for _again in range(2):
                    with pytest.raises(ConnectionClosed):
                        await connection.recv()

        run(body)

    def test_recv_bytes_gives_the_json_text_as_it_came(self) -> None:
        async def body() -> None:
            async with both() as (connection, _):
                text = await connection.recv_bytes()
                assert isinstance(text, bytes)
                assert json.loads(text)["type"] == "session.created"

        run(body)

    def test_two_readers_share_the_events(self) -> None:
        async def body() -> None:
            async with both(answering("a")) as (connection, _):
                readers = [asyncio.create_task(connection.recv()) for _ in range(2)]
                await connection.response.create()
                types = {(await reader).type for reader in readers}
                assert types == {"session.created", "response.created"}

        run(body)

    def test_ten_thousand_events_arrive_whole_and_in_order(self) -> None:
        words = [f"{number} " for number in range(10_000)]

        async def body() -> None:
            async with both(answering(*words), queue=QueuePolicy(events=20_000)) as (connection, _):
                request = await connection.response.create()
                deltas = []
                async for event in connection:
                    if isinstance(event, m.ResponseOutputTextDelta):
                        deltas.append(event.delta)
                    elif isinstance(event, m.ResponseDone):
                        break
                assert deltas == words
                assert isinstance(await request.outcome(), Finished)

        run(body)

    def test_three_sessions_at_once_keep_apart(self) -> None:
        async def one(url: str) -> str:
            async with antiphon_asyncio.connect(url) as connection:
                await connection.response.create()
                async for event in connection:
                    if isinstance(event, m.ResponseOutputTextDone):
                        return event.text
            raise AssertionError("no answer")

        async def body() -> None:
            names = iter("abc")

            async def handler(connection: ServerConnection) -> None:
                await answering(next(names))(connection)

            async with await antiphon_asyncio.serve(handler, config=TEXT_ONLY) as server:
                assert sorted(await asyncio.gather(*(one(server.url) for _ in range(3)))) == ["a", "b", "c"]

        run(body)


class TestRequests:
    def test_outcome_may_be_awaited_without_reading_events(self) -> None:
        async def body() -> None:
            async with both(answering("x"), queue=QueuePolicy(events=3)) as (connection, _):
                for _turn in range(5):
                    request = await connection.response.create()
                    assert isinstance(await request.outcome(), Finished)
                with pytest.raises(SlowConsumer):  # a reader who comes late is told that it is too late
                    await connection.recv()

        run(body)

    def test_second_request_waits_its_turn_and_equal_ones_are_merged(self) -> None:
        async def body() -> None:
            async with both(answering("x")) as (connection, _):
                requests = [await connection.response.create() for _ in range(3)]
                outcomes = [await request.outcome() for request in requests]
                assert [type(outcome) for outcome in outcomes] == [Finished, Finished, Merged]

        run(body)

    def test_what_is_under_way_at_the_end_is_dropped(self) -> None:
        async def body() -> None:
            async with both() as (connection, _):
                request = await connection.response.create()
                assert request.settled is None
            assert await request.outcome() == Dropped("closed")

        run(body)

    def test_refused_command_raises_and_the_connection_lives(self) -> None:
        async def body() -> None:
            async with both(answering("x")) as (connection, _):
                with pytest.raises(LocalProtocolError):
                    await connection.conversation.item.delete(item_id="nobody")
                assert isinstance(await (await connection.response.create()).outcome(), Finished)

        run(body)

    def test_an_event_id_in_use_is_refused(self) -> None:
        async def body() -> None:
            async with both() as (connection, _):
                await connection.response.create(event_id="mine")
                with pytest.raises(ValueError, match="mine"):
                    await connection.response.create(event_id="mine")

        run(body)


async def collect(connection: antiphon_asyncio.AsyncConnection, types: list[str]) -> None:
    """Read to the end, whatever that is."""
    async for event in connection:
        types.append(event.type)


class TestSlowConsumer:
    DELTAS = tuple(f"{number} " for number in range(500))

    async def fill(self, connection: antiphon_asyncio.AsyncConnection) -> None:
        """Become a reader, ask for the deltas, and do not read until they have all come."""
        await connection.recv()
        request = await connection.response.create()
        await request.outcome()

    def test_close_ends_the_iterator_after_what_is_queued(self) -> None:
        async def body() -> None:
            async with both(answering(*self.DELTAS), queue=QueuePolicy(events=100)) as (connection, _):
                await self.fill(connection)
                types: list[str] = []
                with pytest.raises(SlowConsumer):
                    await collect(connection, types)
                assert types[0] == "response.created"
                assert len(types) > 100

        run(body)

    def test_coalesce_loses_no_text_and_no_lifecycle_event(self) -> None:
        async def body() -> None:
            policy = QueuePolicy(when_full="coalesce", events=100)
            async with both(answering(*self.DELTAS), queue=policy) as (connection, _):
                await self.fill(connection)
                types, text = [], ""
                async for event in connection:
                    types.append(event.type)
                    if isinstance(event, m.ResponseOutputTextDelta):
                        text += event.delta
                    elif isinstance(event, m.ResponseDone):
                        break
                assert text == "".join(self.DELTAS)
                assert types.count("response.output_text.delta") <= 100
                assert {"response.created", "response.output_text.done", "response.output_item.done"} <= set(types)

        run(body)

    def test_bytes_count_too(self) -> None:
        async def body() -> None:
            queue = QueuePolicy(bytes=10_000)
            async with both(answering(*["x" * 1_000] * 20), queue=queue) as (connection, _):
                await self.fill(connection)
                with pytest.raises(SlowConsumer):
                    async for _event in connection:
                        pass

        run(body)


class TestLife:
    def test_an_error_in_the_body_closes_and_goes_on(self) -> None:
        async def body() -> None:
            with pytest.raises(ZeroDivisionError):
                async with both() as (connection, _):
                    raise ZeroDivisionError
            assert connection.closed == Closed(1000, "", None)

        run(body)

    def test_cancellation_in_the_body_closes_in_order(self) -> None:
        async def body() -> None:
            inside: asyncio.Queue[antiphon_asyncio.AsyncConnection] = asyncio.Queue()
            async with await antiphon_asyncio.serve(stay, config=TEXT_ONLY) as server:

                async def application() -> None:
                    async with antiphon_asyncio.connect(server.url) as connection:
                        inside.put_nowait(connection)
                        async for _event in connection:
                            pass

                task = asyncio.create_task(application())
                connection = await inside.get()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert connection.closed == Closed(1000, "", None)

        run(body)

    @pytest.mark.parametrize("scheme", ["ws", "wss"], ids=["handshake", "dial"])
    def test_giving_up_while_connecting_leaves_nothing(self, scheme: str) -> None:
        """The peer accepts TCP and is silent: with TLS that is still the dial, without it the handshake."""

        async def body() -> None:
            with silent_listener() as port, pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), antiphon_asyncio.connect(f"{scheme}://127.0.0.1:{port}/realtime"):
                    pass

        run(body)

    def test_a_dial_is_bounded_by_the_engines_timer(self) -> None:
        async def body() -> None:
            config = SessionConfig(timers=Durations(connect=30 * MS))
            with silent_listener() as port:
                with pytest.raises(RemoteProtocolError) as raised:
                    async with antiphon_asyncio.connect(f"wss://127.0.0.1:{port}/realtime", config=config):
                        pass
                assert raised.value.rule == "timer.connect"

        run(body)

    def test_a_dial_that_failed_is_tried_again_as_configured(self) -> None:
        async def body() -> None:
            dials: list[antiphon.Action] = []
            config = SessionConfig(dials=3, timers=Durations(backoff=1 * MS))
            with silent_listener() as port:
                pass
            connector = antiphon_asyncio.connect(
                f"ws://127.0.0.1:{port}/realtime", config=config, observer=dials.append
            )
            with pytest.raises(RemoteProtocolError):
                await connector.__aenter__()
            assert [type(action).__name__ for action in dials] == ["Disconnected"] * 3 + ["Closed"]

        run(body)

    def test_close_does_not_wait_longer_than_its_timer(self) -> None:
        async def body() -> None:
            config = SessionConfig(timers=Durations(close=30 * MS))
            with dead_server() as url:
                async with antiphon_asyncio.connect(url, config=config) as connection:
                    await connection.close()
                    assert connection.closed == Closed(1000, "", None)

        run(body)

    def test_giving_up_the_close_drops_the_socket(self) -> None:
        async def body() -> None:
            with dead_server() as url:
                with pytest.raises(TimeoutError):
                    async with antiphon_asyncio.connect(url) as connection, asyncio.timeout(0.05):
                        await connection.close()
                assert connection.closed is not None

        run(body)

    def test_a_connector_is_entered_once(self) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay) as server:
                connector = antiphon_asyncio.connect(server.url)
                async with connector:
                    pass
                with pytest.raises(RuntimeError):
                    await connector.__aenter__()

        run(body)

    def test_no_websocket_behind_the_port_is_a_fault_of_the_handshake(self) -> None:
        async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            await writer.drain()
            writer.close()

        async def body() -> None:
            server = await asyncio.start_server(web, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                with pytest.raises(RemoteProtocolError) as raised:
                    async with antiphon_asyncio.connect(f"ws://127.0.0.1:{port}/"):
                        pass
            assert (raised.value.fault.kind, raised.value.fault.status) == ("handshake", 200)

        run(body)


class TestRenewal:
    def test_a_server_that_goes_away_is_dialled_again_and_the_iterator_goes_on(self) -> None:
        sessions: list[ServerConnection] = []

        async def handle(connection: ServerConnection) -> None:
            sessions.append(connection)
            async for action in connection.actions():
                if isinstance(action, ResponseRequested):
                    say(connection, action.response_id, f"answer {len(sessions)}")
                    if len(sessions) == 1:
                        connection.close(1001, "restart")

        async def body() -> None:
            keys = iter(["first", "second"])
            asked: list[str] = []

            async def fresh() -> str:
                asked.append(next(keys))
                return asked[-1]

            config = SessionConfig(timers=Durations(backoff=MS))
            async with both(handle, config=config, api_key=fresh) as (connection, _):
                said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
                await connection.conversation.item.create(item=said)
                await connection.response.create()
                texts, told = [], []
                async for event in connection:
                    told.append(event.type)
                    if event.type == "response.output_text.done":
                        texts.append(event.text)  # type: ignore[union-attr]  # narrowed by its type
                    if event.type == "session.created" and texts:
                        request = await connection.response.create()
                    if len(texts) == 2:
                        break
                assert texts == ["answer 1", "answer 2"]
                assert told.count("session.created") == 2
                assert told.count("conversation.item.added") == 3, "the replay is no news"
                assert isinstance(await request.outcome(), Finished)
                assert asked == ["first", "second"]
                history = [(node.id, node.text) for node in connection.history]
                assert [text for _, text in history] == ["hello", "answer 1", "answer 2"]
                assert [(node.id, node.text) for node in sessions[1].session.conversation] == history

        run(body)

    def test_a_server_that_is_gone_for_good_ends_the_iterator_with_a_word(self) -> None:
        async def hang_up(connection: ServerConnection) -> None:
            connection.close(1012)
            await connection.wait_closed()

        async def body() -> None:
            policy = RenewalPolicy(dials=2, jitter=0)
            config = SessionConfig(timers=Durations(backoff=MS), renewal=policy)
            server = await antiphon_asyncio.serve(hang_up, config=TEXT_ONLY)
            async with server, antiphon_asyncio.connect(server.url, config=config) as connection:
                with pytest.raises(RemoteProtocolError, match="1012"):
                    async for _ in connection:
                        pass

        run(body)

    def test_a_key_that_cannot_be_sent_is_refused_before_a_socket_is_opened(self) -> None:
        async def body() -> None:
            with pytest.raises(RemoteProtocolError):
                async with antiphon_asyncio.connect("ws://127.0.0.1:9/", api_key=lambda: "two\r\nlines"):
                    pass

        run(body)


@contextmanager
def silent_listener() -> Iterator[int]:
    """The port of a listener that lets the kernel complete TCP, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class TestPlayerAndObserver:
    @staticmethod
    async def speak(connection: ServerConnection) -> None:
        """Begin to speak 1 s of audio, and stay."""
        async for action in connection.actions():
            if isinstance(action, ResponseRequested):
                id = action.response_id
                connection.generate(ItemStarted(response_id=id, output_index=0, kind="audio"))
                connection.generate(AudioDelta(response_id=id, output_index=0, audio=bytes(48_000)))

    def test_player_is_stopped_and_its_word_is_what_the_server_hears(self) -> None:
        class Player:
            played = asyncio.Event()

            def play(self, audio: antiphon.PlayAudio) -> None:
                self.played.set()

            def stop(self, item_id: str, content_index: int) -> int:
                return 12_000

        async def body() -> None:
            player = Player()
            async with both(self.speak, server={"config": SessionConfig()}, player=player) as (connection, _):
                await connection.response.create()
                await player.played.wait()
                await connection.interrupt()
                async for event in connection:
                    if isinstance(event, m.ConversationItemTruncated):
                        assert event.audio_end_ms == 500
                        break

        run(body)

    @pytest.mark.parametrize("broken", ["play", "stop"])
    def test_player_that_raises_is_told_to_the_loop_only(self, broken: str) -> None:
        class Player:
            played = asyncio.Event()

            def play(self, audio: antiphon.PlayAudio) -> None:
                self.played.set()
                if broken == "play":
                    raise OSError("no device")

            def stop(self, item_id: str, content_index: int) -> int:
                if broken == "stop":
                    raise OSError("no device")
                return 0

        async def body() -> None:
            player = Player()
            config = SessionConfig(timers=Durations(flush=20 * MS))
            server = {"config": SessionConfig()}
            async with both(self.speak, server=server, player=player, config=config) as (connection, _):
                await connection.response.create()
                await player.played.wait()
                await connection.interrupt()
                async for event in connection:
                    if isinstance(event, m.ConversationItemTruncated):
                        break

        run(body, complaints=1)

    def test_observer_sees_everything_but_events(self) -> None:
        async def body() -> None:
            seen: list[antiphon.Action] = []
            async with both(answering("x"), observer=seen.append) as (connection, _):
                await (await connection.response.create()).outcome()
            names = [type(action).__name__ for action in seen]
            assert names == ["Connected", "RequestSettled", "Disconnected", "Closed"]

        run(body)

    def test_observer_that_raises_does_not_kill_the_connection(self) -> None:
        def observer(action: antiphon.Action) -> None:
            raise ValueError("an application's mistake")

        async def body() -> None:
            async with both(answering("x"), observer=observer) as (connection, _):
                assert isinstance(await (await connection.response.create()).outcome(), Finished)

        run(body, complaints=4)

    def test_observer_may_send_from_inside(self) -> None:
        async def body() -> None:
            follow_up: list[asyncio.Task[antiphon_asyncio.Request]] = []

            def observer(action: antiphon.Action) -> None:
                if isinstance(action, antiphon.RequestSettled) and not follow_up:
                    follow_up.append(asyncio.create_task(connection.response.create()))

            async with both(answering("x"), observer=observer) as (connection, _):
                await (await connection.response.create()).outcome()
                assert isinstance(await (await follow_up[0]).outcome(), Finished)

        run(body)


class Pages:
    """A journal in memory."""

    def __init__(self) -> None:
        self.lines = bytearray()
        self.closed = 0

    def journal(self) -> Journal:
        return Journal(self.lines.extend, close=self.close)

    def close(self) -> None:
        self.closed += 1

    def entries(self) -> list[Entry]:
        return list(read_lines(bytes(self.lines).splitlines(keepends=True)))

    def events(self) -> list[tuple[str, str]]:
        return [(row.dir, json.loads(row.event)["type"]) for row in self.entries() if isinstance(row, Row)]

    def replay(self) -> Replay:
        steps = Steps(self.entries())
        replay = Replay(steps.birth)
        for step in steps:
            replay.play(step)
        return replay


class TestRecord:
    def test_both_sides_are_recorded_in_order(self) -> None:
        async def body() -> None:
            pages = Pages()
            async with both(answering("x"), record=pages.journal()) as (connection, _):
                await connection.recv()
                await connection.append_audio(bytes(9600))
                await (await connection.response.create()).outcome()
            events = pages.events()
            assert events[:4] == [
                ("server", "session.created"),
                ("client", "input_audio_buffer.append"),
                ("client", "response.create"),
                ("server", "response.created"),
            ]
            assert events[-1] == ("server", "response.done")
            assert pages.closed == 1

        run(body)

    def test_a_server_records_the_same_session(self) -> None:
        async def body() -> None:
            client, server = Pages(), Pages()
            options = {"record": lambda connection: server.journal()}
            async with both(answering("x"), server=options, record=client.journal()) as (connection, _):
                await (await connection.response.create()).outcome()
            assert sorted(client.events()) == sorted(server.events())

        run(body)

    def test_what_either_side_recorded_replays_to_the_same_end(self) -> None:
        async def body() -> None:
            client, server = Pages(), Pages()
            options = {"record": lambda connection: server.journal()}
            async with both(answering("x"), server=options, record=client.journal()) as (connection, _):
                await connection.append_audio(bytes(9600))
                await (await connection.response.create()).outcome()
                await connection.interrupt()
            for pages in (client, server):
                replay = pages.replay()
                assert replay.divergence is None
                assert replay.checked == 1
                assert replay.engine.closed is not None

        run(body)

    def test_a_server_that_wants_no_journal_of_somebody_keeps_none(self) -> None:
        async def body() -> None:
            async with both(server={"record": lambda connection: None}) as (connection, _):
                assert (await connection.recv()).type == "session.created"

        run(body)

    @pytest.mark.parametrize("side", ["client", "server"])
    def test_a_journal_that_raises_is_told_to_the_loop_only(self, side: str) -> None:
        def write(lines: bytes) -> None:
            raise OSError("disk full")

        async def body() -> None:
            options: dict[str, object] = {"record": Journal(write)}
            if side == "server":
                options = {"server": {"record": lambda connection: Journal(write)}}
            async with both(**options) as (connection, _):  # type: ignore[arg-type]  # by name
                assert (await connection.recv()).type == "session.created"

        run(body, complaints=1)


class TestAddresses:
    def test_key_and_model_travel_in_header_and_query(self) -> None:
        async def body() -> None:
            seen: list[antiphon.HandshakeReceived] = []

            def authorize(handshake: antiphon.HandshakeReceived) -> None:
                seen.append(handshake)

            async with await antiphon_asyncio.serve(stay, authorize=authorize) as server:
                url = f"{server.url}?model=old&x=1"
                async with antiphon_asyncio.connect(url, api_key="k", model="new", headers=[("X-A", "1")]):
                    pass
            (handshake,) = seen
            assert handshake.query == "x=1&model=new"
            assert {("Authorization", "Bearer k"), ("X-A", "1")} <= set(handshake.headers)

        run(body)

    def test_an_endpoint_is_taken_as_it_is(self) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay) as server:
                endpoint = Endpoint.openai("m", api_key="k", base_url=server.url, browser=True)
                async with antiphon_asyncio.connect(endpoint):
                    (peer,) = server.connections
                    assert peer.handshake is not None
                    assert peer.handshake.subprotocols[0] == "realtime"

        run(body)

    def test_an_endpoint_takes_no_key_beside_it(self) -> None:
        with pytest.raises(ValueError, match="key"):
            antiphon_asyncio.connect(Endpoint.custom("ws://localhost/"), api_key="k")

    def test_a_command_may_be_a_dict(self) -> None:
        async def body() -> None:
            update = {"type": "session.update", "session": {"type": "realtime", "instructions": "Hi."}}
            async with (
                await antiphon_asyncio.serve(stay) as server,
                antiphon_asyncio.connect(server.url, api_key="k") as client,
            ):
                await client.send(update)
                async for event in client:
                    if event.type == "session.updated":
                        assert event.session.instructions == "Hi."
                        break

        run(body)

    def test_a_translation_has_a_path_of_its_own(self) -> None:
        async def body() -> None:
            ours, theirs = SessionConfig(session_type="translation"), SessionConfig(session={"type": "translation"})
            async with await antiphon_asyncio.serve(stay, config=theirs) as server:
                endpoint = Endpoint.openai(api_key="k", base_url=server.url, translates=True)
                async with antiphon_asyncio.connect(endpoint, config=ours) as client:
                    assert (await client.recv()).type == "session.created"
                    assert client.engine.client.translates

        run(body)

    def test_only_a_server_that_translates_has_it(self) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay) as server:
                endpoint = Endpoint.openai(api_key="k", base_url=server.url, translates=True)
                with pytest.raises(RemoteProtocolError, match="404"):
                    async with antiphon_asyncio.connect(endpoint):
                        pass

        run(body)

    def test_another_path_is_not_found(self) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay) as server:
                with pytest.raises(RemoteProtocolError) as raised:
                    async with antiphon_asyncio.connect(f"ws://127.0.0.1:{server.port}/v1/chat"):
                        pass
            assert (raised.value.fault.status, raised.value.fault.code) == (404, "not_found")

        run(body)

    def test_no_error_text_holds_the_key(self) -> None:
        async def body() -> None:
            with silent_listener() as port:
                pass
            with pytest.raises(RemoteProtocolError) as raised:
                async with antiphon_asyncio.connect(f"ws://127.0.0.1:{port}/realtime?key=secret", api_key="secret"):
                    pass
            assert "secret" not in str(raised.value)
            assert "secret" not in repr(raised.value.fault)

        run(body)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 in one file, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    try:
        subprocess.run([*command.split(), *files], check=True, capture_output=True, timeout=LIMIT)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no certificate can be made here: {error}")
    both_parts = folder / "both.pem"
    both_parts.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both_parts


class TestTls:
    @staticmethod
    def server_side(certificate: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return context

    def test_a_trusted_server_is_talked_to(self, certificate: Path) -> None:
        async def body() -> None:
            trust = ssl.create_default_context(cafile=certificate)
            options = {"ssl": self.server_side(certificate)}
            async with both(answering("x"), server=options, ssl=trust) as (connection, server):
                assert server.url.startswith("wss://")
                assert isinstance(await (await connection.response.create()).outcome(), Finished)

        run(body)

    def test_an_untrusted_server_is_a_fault_of_the_dial(self, certificate: Path) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay, ssl=self.server_side(certificate)) as server:
                with pytest.raises(RemoteProtocolError, match="not trusted") as raised:
                    async with antiphon_asyncio.connect(server.url):
                        pass
                assert not server.connections
                await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})  # asyncio's own for the handshake
            assert raised.value.fault.kind == "dial"

        run(body)

    def test_plain_text_where_tls_is_spoken_is_a_fault(self, certificate: Path) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay, ssl=self.server_side(certificate)) as server:
                with pytest.raises(RemoteProtocolError):
                    async with antiphon_asyncio.connect(server.url.replace("wss:", "ws:")):
                        pass

        run(body)


class TestServer:
    def test_a_handler_that_raises_closes_with_1011(self) -> None:
        async def broken(connection: ServerConnection) -> None:
            raise ZeroDivisionError

        async def body() -> None:
            async with both(broken, config=ONE_SOCKET) as (connection, _):
                with pytest.raises(RemoteProtocolError, match="1011"):
                    async for _event in connection:
                        pass

        run(body, complaints=1)

    def test_a_listener_that_raises_closes_with_1011(self) -> None:
        async def handler(connection: ServerConnection) -> None:
            await connection.listen(lambda action: 1 // 0)

        async def body() -> None:
            async with both(handler, config=ONE_SOCKET) as (connection, _):
                with pytest.raises(RemoteProtocolError, match="1011"):
                    async for _event in connection:
                        pass

        run(body, complaints=3)

    def test_a_handler_that_returns_closes_in_order(self) -> None:
        async def short(connection: ServerConnection) -> None:
            pass

        async def body() -> None:
            async with both(short) as (connection, _):
                assert [event.type async for event in connection] == ["session.created"]

        run(body)

    def test_listen_is_told_what_came_before_it(self) -> None:
        async def body() -> None:
            heard: list[str] = []
            created = asyncio.Event()

            async def late(connection: ServerConnection) -> None:
                await created.wait()
                await connection.listen(lambda action: heard.append(type(action).__name__))

            async with both(late) as (connection, _):
                await connection.append_audio(bytes(9600))
                await connection.input_audio_buffer.clear()
                async for event in connection:
                    if event.type == "input_audio_buffer.cleared":
                        break
                created.set()
            assert heard == ["Connected", "Deliver", "InputAudio", "Deliver", "Disconnected", "Closed"]

        run(body)

    def test_commands_after_the_end_do_nothing(self) -> None:
        async def body() -> None:
            peers: list[ServerConnection] = []

            async def handler(connection: ServerConnection) -> None:
                peers.append(connection)
                await stay(connection)

            async with both(handler):
                pass
            (peer,) = peers
            assert peer.closed is not None
            peer.generate(TextDelta(response_id="resp", output_index=0, delta="late"))
            peer.send(m.Error(error=m.ErrorDetail(type="server_error", message="late")))
            peer.speech_started(0)
            peer.close()

        run(body)

    @pytest.mark.parametrize("hook", ["authorize", "record"])
    def test_a_hook_that_raises_refuses_with_500(self, hook: str) -> None:
        def broken(argument: object) -> None:
            raise OSError("disk full")

        async def body() -> None:
            async with await antiphon_asyncio.serve(stay, **{hook: broken}) as server:  # type: ignore[arg-type]  # by name
                with pytest.raises(RemoteProtocolError) as raised:
                    await antiphon_asyncio.connect(server.url).__aenter__()
            assert raised.value.fault.status == 500

        run(body, complaints=1)

    def test_a_busy_port_is_an_oserror(self) -> None:
        async def body() -> None:
            async with await antiphon_asyncio.serve(stay) as server:
                with pytest.raises(OSError, match="in use"):
                    await antiphon_asyncio.serve(stay, port=server.port)

        run(body)

    def test_a_slow_handler_is_closed_in_place_of_filling_memory(self) -> None:
        async def body() -> None:
            async def slow(connection: ServerConnection) -> None:
                actions = connection.actions()
                await anext(actions)
                await connection.wait_closed()
                with pytest.raises(SlowConsumer):
                    async for _action in actions:
                        pass

            async with both(slow, config=ONE_SOCKET, server={"queue": QueuePolicy(events=10)}) as (connection, _):
                for _turn in range(20):
                    await connection.input_audio_buffer.clear()
                with pytest.raises(RemoteProtocolError, match="1011"):
                    await collect(connection, [])

        run(body)
