"""What the seed documents do with their classes, done with ours: the same use, the same result or a better one.

``docs/seeds.md`` names these tests beside the classes and methods that they stand for.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import pytest

import antiphon
import antiphon_asyncio
import antiphon_server
from antiphon import messages as m
from antiphon.engine.codec import to_builtins
from antiphon.toolkit import (
    Category,
    Change,
    ClientEventBuilder,
    ClientEventType,
    ErrorType,
    EventManager,
    HandlerFailure,
    History,
    RealtimeError,
    Router,
    Row,
    ServerEventType,
    StreamKind,
    Streams,
    StreamUpdate,
    categories_of,
    read_lines,
)
from unit.engine_helpers import MS, at, said

LIMIT = 20.0


def event(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, **fields})


def delta(word: str, item_id: str = "a", kind: str = "text") -> str:
    return event(f"response.{kind}.delta", delta=word, **at("r", item_id))


# -- building ----------------------------------------------------------------------------------------------------------


def test_a_session_update_is_built_and_shown_as_json() -> None:
    update = ClientEventBuilder().session_update(
        modalities=["text", "audio"], voice="coral", instructions="You are a helpful assistant.", temperature=0.8
    )
    shown = to_builtins(update)
    assert (shown["type"], shown["event_id"]) == ("session.update", "evt_1")
    assert json.loads(json.dumps(shown, indent=2)) == shown


def test_audio_that_is_base64_already_is_appended() -> None:
    append = ClientEventBuilder().input_audio_buffer_append("SGVsbG8gV29ybGQ=")
    assert append.type == "input_audio_buffer.append"
    assert base64.b64decode(append.audio) == b"Hello World"


def test_a_message_is_built_of_its_type_role_and_content() -> None:
    message = ClientEventBuilder().conversation_item_create(
        item_type="message", role="user", content=[{"type": "input_text", "text": "Hello!"}]
    )
    assert to_builtins(message)["item"] == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hello!"}],
    }


@pytest.mark.parametrize(
    ("build", "item"),
    [
        (
            lambda b: b.conversation_item_create("function_call", call_id="c", name="f", arguments="{}"),
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        ),
        (
            lambda b: b.conversation_item_create("function_call_output", call_id="c", output="1"),
            {"type": "function_call_output", "call_id": "c", "output": "1"},
        ),
    ],
)
def test_calls_and_their_outputs_are_built(build: Callable[[ClientEventBuilder], Any], item: dict[str, str]) -> None:
    assert to_builtins(build(ClientEventBuilder()))["item"] == item


def test_the_other_commands_are_built() -> None:
    builder = ClientEventBuilder()
    events = (
        builder.input_audio_buffer_commit(),
        builder.input_audio_buffer_clear(),
        builder.conversation_item_truncate("a", 0, 1500),
        builder.conversation_item_delete("a"),
        builder.response_create(modalities=["text"], instructions="x", voice="coral", max_output_tokens=100),
        builder.response_cancel(),
    )
    assert [each.type for each in events] == [
        ClientEventType.INPUT_AUDIO_BUFFER_COMMIT,
        ClientEventType.INPUT_AUDIO_BUFFER_CLEAR,
        ClientEventType.CONVERSATION_ITEM_TRUNCATE,
        ClientEventType.CONVERSATION_ITEM_DELETE,
        ClientEventType.RESPONSE_CREATE,
        ClientEventType.RESPONSE_CANCEL,
    ]
    assert len({each.event_id for each in events}) == 6


# -- reading and routing -----------------------------------------------------------------------------------------------


def test_an_event_is_read_from_its_text_with_every_field_at_hand() -> None:
    (heard,) = EventManager[None]().feed(
        event("session.created", event_id="e1", session={"type": "realtime", "id": "s"})
    )
    assert isinstance(heard, m.SessionCreated)
    assert (heard.type, heard.event_id, heard.session.id) == ("session.created", "e1", "s")


@pytest.mark.parametrize(
    ("category", "types"),
    [
        (Category.SESSION, ["session.created", "session.updated"]),
        (
            Category.AUDIO_BUFFER,
            [f"input_audio_buffer.{name}" for name in ("committed", "cleared", "speech_started", "speech_stopped")],
        ),
        (
            Category.RESPONSE,
            [f"response.{name}" for name in ("created", "done", "output_item.added", "output_item.done")],
        ),
        (Category.STREAMING, [f"response.{name}.delta" for name in ("text", "audio", "audio_transcript")]),
        (Category.RATE_LIMITS, ["rate_limits.updated"]),
        (Category.ERROR, ["error"]),
    ],
)
def test_types_are_grouped_in_categories(category: Category, types: list[str]) -> None:
    assert all(category in categories_of(ServerEventType(name)) for name in types)


def test_a_router_calls_the_handlers_of_everything_then_of_a_category_then_of_a_type() -> None:
    manager: EventManager[None] = EventManager()
    called: list[str] = []
    manager.router.on("session.created", lambda event: called.append(f"session {event.event_id}"))
    manager.router.on_category("session", lambda event: called.append(f"category {event.type}"))
    manager.router.on_all(lambda event: called.append(f"all {event.type}"))
    manager.feed(event("session.created", event_id="e1", session={"type": "realtime"}))
    assert called == ["all session.created", "category session.created", "session e1"]


def test_handlers_may_be_asynchronous_and_one_that_fails_stops_no_other() -> None:
    router: Router[Any] = Router()
    called: list[str] = []
    failed: list[HandlerFailure] = []

    async def hear(event: m.InputAudioBufferCleared) -> None:
        await asyncio.sleep(0)
        called.append(event.type)

    router.on_all(lambda event: 1 / 0)
    router.on("input_audio_buffer.cleared", hear)
    router.on_error(failed.append)
    asyncio.run(router.route_async(m.InputAudioBufferCleared()))
    assert called == ["input_audio_buffer.cleared"]
    assert [type(each.exception) for each in failed] == [ZeroDivisionError]


# -- streaming ---------------------------------------------------------------------------------------------------------


def test_each_delta_is_told_with_all_that_came_so_far() -> None:
    manager: EventManager[None] = EventManager(view="beta")
    told: list[tuple[str, str]] = []

    def hear(update: StreamUpdate) -> None:
        told.append((update.delta, update.stream.text))

    manager.streams.on_delta(StreamKind.TEXT, hear)
    manager.streams.on_delta(StreamKind.TRANSCRIPT, hear)
    for text in (delta("Hello"), delta(" World"), delta("Bonjour", "b", "audio_transcript")):
        manager.feed(text)
    assert told == [("Hello", "Hello"), (" World", "Hello World"), ("Bonjour", "Bonjour")]


def test_audio_is_told_chunk_by_chunk_and_held_if_wished() -> None:
    streams = Streams(keep_audio=True)
    chunks: list[int] = []
    streams.on_delta(StreamKind.AUDIO, lambda update: chunks.append(len(update.pcm)))
    for chunk in (b"\0" * 6, b"\1" * 6):
        streams.feed(m.ResponseOutputAudioDelta(delta=base64.b64encode(chunk).decode(), **at("r", "a")))
    (stream,) = streams.of_item("a")
    assert (chunks, stream.deltas, stream.audio) == ([6, 6], 2, b"\0" * 6 + b"\1" * 6)


def test_the_end_of_a_stream_is_told() -> None:
    streams = Streams()
    ended: list[str] = []
    streams.on_done(StreamKind.TEXT, lambda update: ended.append(update.stream.text))
    streams.feed(m.ResponseOutputTextDelta(delta="Hel", **at("r", "a")))
    streams.feed(m.ResponseOutputTextDone(text="Hello", **at("r", "a")))
    assert ended == ["Hello"]


def test_a_new_response_leaves_the_streams_of_others_alone() -> None:
    manager: EventManager[None] = EventManager()
    manager.feed(delta("Hello"))
    manager.feed(event("response.created", response={"id": "other", "status": "in_progress"}))
    manager.feed(delta(" World"))
    assert [stream.text for stream in manager.streams.of_item("a")] == ["Hello World"]


# -- the conversation --------------------------------------------------------------------------------------------------


def test_items_are_told_as_they_come_change_and_go() -> None:
    history = History()
    told: list[str] = []

    def hear(change: Change) -> None:
        told.append(f"{change.type} {change.item_id} ({change.node.item.type})")

    for kind in ("added", "updated", "truncated", "deleted"):
        history.on(kind, hear)
    audio = {"id": "a", "type": "message", "role": "user", "status": "completed", "content": [{"type": "input_audio"}]}
    history.feed(event("conversation.item.created", item=audio, previous_item_id=None))
    name = "conversation.item.input_audio_transcription.completed"
    history.feed(event(name, item_id="a", content_index=0, transcript="Hi there."))
    assert history.transcript.text() == "user: Hi there.\n"
    history.feed(event("conversation.item.deleted", item_id="a"))
    assert told == ["added a (message)", "updated a (message)", "deleted a (message)"]
    assert len(history) == 0


def test_a_cut_leaves_what_was_heard_and_is_told() -> None:
    manager: EventManager[None] = EventManager()
    cut: list[str] = []
    manager.history.on("truncated", lambda change: cut.append(change.node.text))
    spoken = {"id": "a", "type": "message", "role": "assistant", "status": "completed", "content": []}
    spoken["content"] = [{"type": "output_audio", "transcript": "one two three four"}]
    manager.feed(event("conversation.item.added", item=spoken, previous_item_id=None))
    manager.feed(event("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=0))
    assert cut == [""]


def test_messages_and_the_transcript_are_there_to_read() -> None:
    history = History()
    history.feed(event("conversation.item.added", item=said("a", "Hello!"), previous_item_id=None))
    history.feed(event("conversation.item.added", item=said("b", "Hi.", "assistant"), previous_item_id="a"))
    call = {"id": "c", "type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}
    history.feed(event("conversation.item.added", item=call, previous_item_id="b"))
    assert [line.text for line in history.messages()] == ["Hello!", "Hi."]
    assert history.transcript.text() == "user: Hello!\nassistant: Hi.\nf({})\n"


# -- errors ------------------------------------------------------------------------------------------------------------


def refused(type: str, message: str = "no") -> str:
    return event("error", error={"type": type, "code": None, "message": message})


def test_errors_are_heard_by_class_and_all_together_and_summed_up() -> None:
    manager: EventManager[None] = EventManager()
    heard: list[str] = []
    manager.errors.on(ErrorType.RATE_LIMIT, lambda error: heard.append(f"limit: {error.message}"))
    manager.errors.on_all(lambda error: heard.append(f"{error.type}: {error.message}"))
    manager.feed(refused("rate_limit_error", "slow down"))
    manager.feed(refused("invalid_request_error"))
    manager.feed(refused("something_new"))
    assert heard == [
        "rate_limit_error: slow down",
        "limit: slow down",
        "invalid_request_error: no",
        "unknown_error: no",
    ]
    statistics = manager.statistics()
    assert statistics.errors == {"rate_limit_error": 1, "invalid_request_error": 1, "unknown_error": 1}
    assert statistics.retryable == 1


@pytest.mark.parametrize("type", ["rate_limit_error", "server_error", "timeout_error", "connection_error"])
def test_what_may_pass_is_retryable(type: str) -> None:
    assert RealtimeError.from_detail(m.ErrorDetail(type=type, message="no")).retryable


def test_a_retry_is_not_only_announced_but_done() -> None:
    sent: list[m.ClientEvent] = []
    manager: EventManager[None] = EventManager(send=sent.append)
    manager.send(ClientEventBuilder(lambda: "mine").session_update(instructions="Be brief."), 0)
    manager.feed(event("error", error={"type": "server_error", "message": "no", "event_id": "mine"}), 0)
    assert manager.deadline is not None
    manager.tick(manager.deadline)
    assert [(each.type, each.event_id) for each in sent] == [("session.update", "mine"), ("session.update", "mine-2")]


# -- everything together -----------------------------------------------------------------------------------------------

TURN = (
    event("session.created", event_id="e1", session={"type": "realtime", "id": "sess_123"}),
    event("response.created", event_id="e2", response={"id": "r", "status": "in_progress", "conversation_id": "c"}),
    event(
        "response.output_item.added", event_id="e3", response_id="r", output_index=0, item=said("a", "", "assistant")
    ),
    event("response.audio.delta", event_id="e4", delta="AAAA", **at("r", "a")),
    event("response.audio_transcript.delta", event_id="e5", delta="Hello", **at("r", "a")),
    event("response.done", event_id="e6", response={"id": "r", "status": "completed", "output": []}),
)


def managed() -> EventManager[None]:
    manager: EventManager[None] = EventManager(view="beta")
    for number, text in enumerate(TURN):
        manager.feed(text, number * 10 * MS)
    return manager


def test_a_manager_logs_counts_and_routes() -> None:
    sessions: list[str] = []
    manager: EventManager[None] = EventManager(view="beta")
    manager.router.on("session.created", lambda event: sessions.append(event.session.id))
    for text in (TURN[0], delta("Hello"), delta(" World")):
        manager.feed(text)
    statistics = manager.statistics()
    assert sessions == ["sess_123"]
    assert statistics.events == 3
    assert next(iter(statistics.by_type.items())) == ("response.output_text.delta", 2)
    assert [seen.event_id for seen in manager.recent(3)] == ["e1", "", ""]


def test_analytics_count_and_time_every_event() -> None:
    analysis = managed().analysis()
    assert analysis.events == len(TURN)
    assert analysis.by_type["response.done"] == 1
    assert analysis.between["response.done"].mean == 10.0
    assert (analysis.response_duration.count, analysis.response_duration.max) == (1, 40.0)


def test_events_with_missing_fields_are_counted_and_end_nothing() -> None:
    manager: EventManager[None] = EventManager()
    for text in (event("response.output_item.added", event_id="e3"), event("response.audio.delta"), event("nonsense")):
        manager.feed(text)
    assert manager.statistics().events == 3


def test_the_order_of_events_is_compared_to_a_flow_by_name() -> None:
    match = managed().check_sequence("audio response")
    assert 0 < match.rate < 1
    assert "- response.content_part.added" in str(match)
    assert managed().event_flow(2) == ("response.audio_transcript.delta", "response.done")


def test_the_session_is_exported_for_analysis() -> None:
    document = json.loads(managed().export_json())
    assert document["statistics"]["events"] == len(TURN)
    assert document["event_flow"][0] == "session.created"
    assert managed().export_csv().startswith("file,measure,of,value\nsession,")


def test_stored_events_are_played_again() -> None:
    stored = [f'{{"dir": "server", "at": {number * 10 * MS}, "event": {text}}}' for number, text in enumerate(TURN)]
    manager: EventManager[None] = EventManager(view="beta")
    for row in read_lines(line.encode() for line in stored):
        assert isinstance(row, Row)
        manager.feed(row.event, row.at)
    assert manager.export_json() == managed().export_json()


# -- a connection ------------------------------------------------------------------------------------------------------

SCRIPT = """
[[reply]]
when = "weather"
call = [{ name = "get_weather", arguments = { city = "Paris" } }]
[[reply]]
after = "get_weather"
say = "It is {output}."
[[reply]]
say = "Hello to you, too."
"""


Dialect: TypeAlias = Literal["ga", "beta"]
either_server = pytest.mark.parametrize("dialect", ["ga", "beta"])


@asynccontextmanager
async def connected(dialect: Dialect) -> AsyncIterator[antiphon_asyncio.AsyncConnection]:
    """What the documents call ``client.beta.realtime.connect(...)``, whichever dialect the server speaks by now."""
    server = await antiphon_server.serve(antiphon_server.parse_script(SCRIPT), dialect=dialect)
    config = antiphon.SessionConfig(view="beta")
    async with (
        server,
        antiphon_asyncio.connect(server.url, model="gpt-4o-realtime-preview", config=config) as connection,
    ):
        yield connection


def run(body: Callable[[], Coroutine[object, object, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT):
            await body()

    asyncio.run(main())


async def ask(connection: Any, text: str) -> None:
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )
    await connection.response.create()


@either_server
def test_the_loop_over_text_events_runs_as_it_is_written(dialect: Dialect) -> None:
    async def body() -> None:
        printed = ""
        async with connected(dialect) as connection:
            await connection.session.update(session={"modalities": ["text"]})
            await ask(connection, "Hello!")
            async for event in connection:
                if event.type == "response.text.delta":
                    printed += event.delta
                elif event.type == "response.text.done":
                    printed += "\n"
                elif event.type == "response.done":
                    assert event.response.usage is not None
                    break
                elif event.type == "error":
                    raise AssertionError(event.error.message)
        assert printed == "Hello to you, too.\n"

    run(body)


@either_server
def test_the_answer_to_a_function_call_runs_as_it_is_written(dialect: Dialect) -> None:
    async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
        assert (name, arguments) == ("get_weather", {"city": "Paris"})
        return {"celsius": 12}

    async def body() -> None:
        answer = ""
        async with connected(dialect) as connection:
            await connection.session.update(session={"modalities": ["text"]})
            await ask(connection, "How is the weather?")
            async for event in connection:
                if event.type == "response.function_call_arguments.done":
                    args = json.loads(event.arguments)
                    result = await call_tool(event.name, args)
                    await connection.conversation.item.create(
                        item={"type": "function_call_output", "call_id": event.call_id, "output": json.dumps(result)}
                    )
                    await connection.response.create()
                elif event.type == "response.text.done":
                    answer = event.text
                    break
        assert answer == 'It is {"celsius": 12}.'

    run(body)


@either_server
def test_matching_on_the_type_of_each_event_runs_as_it_is_written(dialect: Dialect) -> None:
    async def body() -> None:
        heard: list[str] = []
        pcm = b""
        async with connected(dialect) as connection:
            await connection.session.update(session={"instructions": "Be brief."})
            await ask(connection, "Hello!")
            async for event in connection:
                match event.type:
                    case "session.updated":
                        heard.append(event.session.instructions)
                    case "response.audio.delta":
                        pcm += base64.b64decode(event.delta)
                    case "response.done":
                        heard.append(event.response.status)
                        break
                    case "error":
                        raise AssertionError(event.error)
        assert heard == ["Be brief.", "completed"]
        assert len(pcm) > 4800

    run(body)


@either_server
def test_one_event_is_received_typed_or_as_bytes(dialect: Dialect) -> None:
    async def body() -> None:
        async with connected(dialect) as connection:
            assert isinstance(await connection.recv(), m.SessionCreated)
            await connection.input_audio_buffer.clear()
            assert json.loads(await connection.recv_bytes())["type"] == "input_audio_buffer.cleared"

    run(body)
