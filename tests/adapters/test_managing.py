"""Routers and managers on a connection of antiphon_asyncio."""

import asyncio
from typing import Any

import pytest

from adapters.test_asyncio import ONE_SOCKET, answering, both, run, stay
from antiphon import ResponseFinished, ResponseRequested
from antiphon import messages as m
from antiphon.toolkit import Backoff, ErrorType, EventManager, HandlerFailure, RetryPolicy, Router, StreamUpdate
from antiphon_asyncio import AsyncConnection, ServerConnection, manage

SOON = RetryPolicy(by_type=dict.fromkeys(ErrorType, Backoff(attempts=1, first_ns=1_000_000)))


def managing(connection: AsyncConnection) -> EventManager[Any]:
    return EventManager(connection.engine, send=connection.send, policy=SOON)


async def failing_once(connection: ServerConnection) -> None:
    """A handler whose first answer fails, and whose second does not."""
    status: Any = "failed"
    async for action in connection.actions():
        if isinstance(action, ResponseRequested):
            connection.generate(ResponseFinished(response_id=action.response_id, status=status))
            status = "completed"


def test_events_are_routed_and_asynchronous_handlers_awaited_until_the_end() -> None:
    async def body() -> None:
        heard: list[str] = []
        router: Router[Any] = Router()
        async with both(answering("Hello")) as (connection, _):

            async def finish(event: m.ResponseDone) -> None:
                heard.append(event.type)
                await connection.close()

            router.on_category("session", lambda event: heard.append(event.type))
            router.on("response.done", finish)
            await connection.response.create()
            await connection.route(router)
        assert heard == ["session.created", "response.done"]

    run(body)


def test_what_a_handler_raises_ends_the_routing() -> None:
    async def body() -> None:
        router: Router[Any] = Router()
        router.on_all(lambda event: 1 / 0)
        async with both() as (connection, _):
            with pytest.raises(ExceptionGroup):
                await connection.route(router)

    run(body)


def test_an_observer_can_be_added_and_taken_away() -> None:
    async def body() -> None:
        seen: list[str] = []
        async with both(answering("Hello"), observer=lambda action: seen.append("first")) as (connection, _):
            forget = connection.observe(lambda action: seen.append("second"))
            await (await connection.response.create()).outcome()
            assert seen[-2:] == ["first", "second"]
            forget()
            del seen[:]
            await (await connection.response.create()).outcome()
        assert set(seen) == {"first"}

    run(body)


def test_a_manager_has_all_that_happens_until_the_end() -> None:
    async def body() -> None:
        async with both(answering("Hello")) as (connection, _):
            manager = managing(connection)

            @manager.router.on("response.done")
            async def finish(event: m.ResponseDone) -> None:
                await connection.close()

            await manager.send(m.ResponseCreate())
            await manage(connection, manager)
        assert manager.history.transcript.text() == "assistant: Hello\n"
        assert manager.statistics().by_type["response.create"] == 1
        assert manager.statistics().errors == {}

    run(body)


def test_what_is_sent_by_the_connection_is_counted_and_what_the_manager_sends_once() -> None:
    async def body() -> None:
        async with both(answering("Hello")) as (connection, _):
            manager = managing(connection)

            @manager.router.on("session.created")
            async def ask(event: m.SessionCreated) -> None:
                await manager.commands.session.update(session={"instructions": "x"})
                typed = m.MessageItem(role="user", content=[m.InputText(text="Hello!")])
                await connection.conversation.item.create(item=typed)
                await connection.response.create()

            manager.router.on("response.done", lambda event: connection.close())
            await manage(connection, manager)
        counted = manager.statistics().by_type
        assert [counted[name] for name in ("session.update", "conversation.item.create", "response.create")] == [
            1,
            1,
            1,
        ]
        assert (manager.analysis().turns, manager.analysis().turn_latency.count) == (1, 1)

    run(body)


def test_who_observes_what_is_transmitted_can_be_taken_away() -> None:
    async def body() -> None:
        seen: list[str] = []
        async with both(answering("Hello")) as (connection, _):
            forget = [
                connection.observe(lambda action: seen.append(type(action).__name__), transmit=True) for _ in "ab"
            ]
            await connection.input_audio_buffer.clear()
            forget[0]()
            await connection.input_audio_buffer.clear()
            forget[1]()
            await connection.input_audio_buffer.clear()
        assert seen.count("Transmit") == 3

    run(body)


def test_what_failed_is_sent_again_in_time() -> None:
    async def body() -> None:
        async with both(failing_once) as (connection, _):
            manager = managing(connection)

            @manager.router.on("response.done")
            async def finish(event: m.ResponseDone) -> None:
                if event.response.status == "completed":
                    await connection.close()

            await manager.send(m.ResponseCreate())
            await manage(connection, manager)
        assert manager.statistics().retries == 1
        assert [attempt.why for attempt in manager.retrier.record] == ["again"]

    run(body)


def test_a_retry_that_is_refused_by_then_is_an_error_and_no_exception() -> None:
    async def body() -> None:
        async with both() as (connection, _):
            manager = managing(connection)
            delete = m.ConversationItemDelete(event_id="mine", item_id="a")
            manager.retrier.sent(delete)  # as if it had been sent when there was such an item
            limit = m.ErrorDetail(type="rate_limit_error", message="slow down", event_id="mine")
            manager.feed(m.Error(error=limit), 0)

            async def close_when_refused() -> None:
                while not manager.retrier.record[1:]:
                    await asyncio.sleep(0)
                await connection.close()

            await asyncio.gather(manage(connection, manager), close_when_refused())
        assert [error.code for error in manager.recent_errors()] == [None, "item_delete_invalid_item_id"]

    run(body)


def test_the_handlers_of_errors_hear_that_the_socket_was_lost() -> None:
    async def body() -> None:
        heard: list[str] = []

        async def hear(error: Any) -> None:
            await asyncio.sleep(0)
            heard.append(error.type)

        async with both(stay, config=ONE_SOCKET) as (connection, server):
            manager = managing(connection)
            manager.errors.on_all(hear)
            manager.router.on("session.created", lambda event: server.close())
            with pytest.raises(Exception, match="1001"):
                await manage(connection, manager)
        assert heard == [ErrorType.CONNECTION]

    run(body)


def test_what_fails_is_reported_to_an_asynchronous_hook_and_ends_nothing() -> None:
    async def body() -> None:
        failed: list[str] = []
        async with both(answering("Hello")) as (connection, _):
            manager = managing(connection)

            @manager.on_error
            async def report(failure: HandlerFailure) -> None:
                await asyncio.sleep(0)
                failed.append(failure.pattern)

            async def fail(update: StreamUpdate) -> None:
                await asyncio.sleep(0)
                raise ZeroDivisionError

            manager.streams.on_done("text", fail)
            manager.router.on("session.created", lambda event: 1 / 0)
            manager.router.on("response.done", lambda event: connection.close())
            await manager.send(m.ResponseCreate())
            await manage(connection, manager)
        assert failed == ["session.created", "text.done"]

    run(body)


def test_what_a_managed_handler_raises_ends_the_managing_and_not_the_connection() -> None:
    async def body() -> None:
        async with both(answering("Hello")) as (connection, _):
            manager = managing(connection)
            manager.router.on("session.created", lambda event: 1 / 0)
            with pytest.raises(ExceptionGroup):
                await manage(connection, manager)
            request = await connection.response.create()
            assert (await request.outcome()).status == "completed"  # type: ignore[union-attr]

    run(body)
