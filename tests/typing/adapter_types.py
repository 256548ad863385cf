"""What a type checker knows of the adapters and the toolkit, as `engine_types`."""

from typing import assert_type

import antiphon_asyncio
from antiphon import ClientSession, Outcome, ServerSession, TranscriptSegment
from antiphon import messages as m
from antiphon.toolkit import EventManager, Router, Streams, StreamUpdate


async def a_client_iterates_over_events_and_awaits_outcomes() -> None:
    async with antiphon_asyncio.connect("ws://localhost/v1/realtime", api_key="k") as connection:
        assert_type(connection.engine.client, ClientSession)
        request = await connection.response.create()
        assert_type(await request.outcome(), Outcome)
        await connection.send({"type": "response.cancel"})
        await connection.send(m.RateLimitsUpdated(rate_limits=[]))  # type: ignore[arg-type]  # a server's
        async for event in connection:
            if isinstance(event, m.ResponseOutputAudioDelta):
                assert_type(event.delta, str)


async def a_server_says_what_its_brain_heard(connection: antiphon_asyncio.ServerConnection) -> None:
    assert_type(connection.session, ServerSession)
    connection.transcribed("item", 0, TranscriptSegment(id="s", text="hello", speaker="A", start=0.0, end=0.2))
    connection.send(m.UnknownEvent.of({"type": "vendor.event"}))


def a_router_knows_what_it_routes(router: Router[StreamUpdate], streams: Streams) -> None:
    def show(update: StreamUpdate) -> None:
        assert_type(update.delta, str)

    router.on("text.delta", show)
    streams.on_delta("text", show)


def a_manager_answers_what_send_answers(manager: EventManager[int]) -> None:
    assert_type(manager.send(m.ResponseCancel()), int)
