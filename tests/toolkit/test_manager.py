"""The manager: every part has its share, what is raised stops nothing, and what may be sent again is."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

import antiphon
from antiphon import Closed, Disconnected, Dropped, Fault, LocalProtocolError, RequestSettled, TimedOut
from antiphon import messages as m
from antiphon.engine.actions import Action
from antiphon.toolkit import (
    FLOWS,
    Backoff,
    ErrorType,
    EventManager,
    Flow,
    HandlerFailure,
    RealtimeError,
    RetryPolicy,
    Seen,
    StreamKind,
)
from unit.engine_helpers import MS, Talk, at, said, sent_types

SECOND = 1000 * MS
STEADY = RetryPolicy(by_type=dict.fromkeys(ErrorType, Backoff(attempts=2, first_ns=SECOND, jitter=0.0)))


def event(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, **fields})


def masked(text: bytes) -> bytes:
    """A whole message as a client's frame; its mask changes nothing."""
    return bytes((0x81, 0x80 | len(text))) + bytes(4) + text


def failure(type: str = "server_error", event_id: str | None = None) -> str:
    return event("error", error={"type": type, "code": None, "message": "no", "event_id": event_id})


ANSWER = (
    event("response.created", event_id="e1", response={"id": "r", "status": "in_progress", "conversation_id": "c"}),
    event("response.output_item.added", response_id="r", output_index=0, item=said("a", "", "assistant")),
    event("conversation.item.added", item={**said("a", "", "assistant"), "status": "in_progress"}),
    event("response.content_part.added", part={"type": "text", "text": ""}, **at("r", "a")),
    event("response.output_text.delta", delta="Hello ", **at("r", "a")),
    event("response.output_text.delta", delta="World", **at("r", "a")),
    event("response.output_text.done", text="Hello World", **at("r", "a")),
    event("response.content_part.done", part={"type": "text", "text": "Hello World"}, **at("r", "a")),
    event("conversation.item.done", item={**said("a", "Hello World", "assistant"), "status": "completed"}),
    event("response.output_item.done", response_id="r", output_index=0, item=said("a", "Hello World", "assistant")),
    event("response.done", response={"id": "r", "status": "completed", "output": []}),
)


def listening(*texts: str) -> EventManager[None]:
    """A manager without a session that heard these, a millisecond after another."""
    manager: EventManager[None] = EventManager()
    for number, text in enumerate(texts):
        manager.feed(text, number * MS)
    return manager


class Managed:
    """A session with a manager on it, which sends through the session."""

    def __init__(self, policy: RetryPolicy = STEADY, **config: Any) -> None:
        self.talk = Talk(**config)
        self.manager: EventManager[list[str]] = EventManager(self.talk.client, send=self.say, policy=policy)

    def say(self, event: m.ClientEvent) -> list[str]:
        actions = self.talk.say(event)
        self.take(actions)
        return sent_types(actions)

    def take(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            self.manager.feed(action, self.talk.now)

    def tick(self) -> list[list[str]]:
        """Go to the manager's deadline and let it act; what went out."""
        assert self.manager.deadline is not None
        self.talk.now = self.manager.deadline
        return [answer for _, answer in self.manager.tick(self.talk.now)]


# -- in ----------------------------------------------------------------------------------------------------------------


def test_every_part_has_its_share_of_an_answer() -> None:
    manager = listening(*ANSWER)
    assert manager.history.transcript.text() == "assistant: Hello World\n"
    (stream,) = manager.streams.of_item("a", StreamKind.TEXT)
    assert (stream.text, stream.done) == ("Hello World", True)
    statistics = manager.statistics()
    assert (statistics.events, statistics.items, statistics.errors) == (len(ANSWER), 1, {})
    assert statistics.by_type["response.output_text.delta"] == 2
    assert manager.analysis().time_to_first_token.max == 4.0


def test_feeding_answers_with_the_event() -> None:
    (heard,) = listening().feed(ANSWER[0])
    assert isinstance(heard, m.ResponseCreated)


def test_without_time_nothing_is_timed() -> None:
    manager: EventManager[None] = EventManager()
    for text in ANSWER:
        manager.feed(text)
    assert manager.analysis().duration_ms is None
    assert manager.recent(1) == (Seen("server", "response.done", "", None),)


def test_handlers_hear_of_the_event_then_of_the_item_then_of_the_error() -> None:
    manager = listening()
    heard: list[str] = []
    manager.errors.on_all(lambda error: heard.append(f"error {error.type}"))
    manager.history.on("added", lambda change: heard.append(f"item {change.item_id}"))
    manager.router.on_all(lambda event: heard.append(event.type))
    manager.feed(event("conversation.item.added", item=said("a"), previous_item_id=None))
    manager.feed(failure("rate_limit_error"))
    assert heard == ["conversation.item.added", "item a", "error", "error rate_limit_error"]


def test_errors_are_heard_by_class() -> None:
    manager = listening()
    limits: list[RealtimeError] = []
    manager.errors.on(ErrorType.RATE_LIMIT, limits.append)
    for type in ("rate_limit_error", "server_error", "rate_limit_error"):
        manager.feed(failure(type))
    assert [error.type for error in limits] == [ErrorType.RATE_LIMIT] * 2
    assert manager.statistics().errors == {"rate_limit_error": 2, "server_error": 1}
    assert manager.statistics().retryable == 3
    assert [error.type for error in manager.recent_errors(2)] == [ErrorType.SERVER, ErrorType.RATE_LIMIT]
    assert manager.recent_errors(0) == ()


@pytest.mark.parametrize(
    ("action", "type"),
    [
        (RequestSettled("e", TimedOut()), ErrorType.TIMEOUT),
        (RequestSettled("e", Dropped("disconnected")), ErrorType.CONNECTION),
        (Disconnected(1, None, "", Fault("eof", "gone"), None), ErrorType.CONNECTION),
        (Closed(None, "", Fault("handshake", "no", status=401)), ErrorType.AUTHENTICATION),
    ],
)
def test_what_the_socket_or_silence_did_is_an_error_too(action: Action, type: ErrorType) -> None:
    manager: EventManager[None] = EventManager(Talk().client)
    heard: list[RealtimeError] = []
    manager.errors.on_all(heard.append)
    manager.feed(action)
    assert [error.type for error in heard] == [type]


def test_a_response_that_failed_is_an_error() -> None:
    manager = listening(event("response.done", response={"id": "r", "status": "failed"}))
    assert manager.statistics().errors == {"server_error": 1}


def test_an_error_comes_with_the_command_that_it_is_about() -> None:
    managed = Managed()
    managed.manager.send(m.InputAudioBufferClear(event_id="clear"), 0)
    managed.take(managed.talk.error("some_code", "clear"))
    managed.take(managed.talk.error("some_code", "of somebody else"))
    known, unknown = managed.manager.recent_errors()
    assert (known.event_id, known.command) == ("clear", m.InputAudioBufferClear(event_id="clear"))
    assert (unknown.event_id, unknown.command) == ("of somebody else", None)


def test_a_response_that_failed_names_the_request_behind_it() -> None:
    managed = Managed()
    managed.manager.send(m.ResponseCreate(event_id="ask"))
    managed.take(managed.talk.created("r", request="ask") + managed.talk.done("r", "failed"))
    managed.take(managed.talk.created("other") + managed.talk.done("other", "failed"))
    mine, other = managed.manager.recent_errors()
    assert (mine.event_id, mine.command) == ("ask", m.ResponseCreate(event_id="ask"))
    assert (other.event_id, other.command) == (None, None)


def test_a_request_without_an_answer_is_named_by_its_error() -> None:
    managed = Managed()
    managed.manager.send(m.ResponseCreate(event_id="ask"))
    managed.manager.feed(RequestSettled("ask", TimedOut()))
    managed.manager.feed(RequestSettled("of somebody else", TimedOut()))
    assert [(error.event_id, error.command is None) for error in managed.manager.recent_errors()] == [
        ("ask", False),
        ("of somebody else", True),
    ]


def test_commands_are_remembered_up_to_a_bound_and_audio_not_at_all() -> None:
    manager: EventManager[None] = EventManager(send=lambda event: None, keep=2)
    for number in range(5):
        manager.send(m.SessionUpdate(event_id=f"e{number}", session=m.RealtimeSession()))
        manager.send(m.InputAudioBufferAppend(event_id=f"a{number}", audio="AAAA"))
    assert list(manager._commands) == ["e3", "e4"]


def test_what_went_well_is_no_error_and_what_was_told_is_not_told_twice() -> None:
    managed = Managed()
    managed.manager.send(m.ResponseCreate(event_id="ask"))
    managed.take(managed.talk.error("some_code", "ask"))  # the event and, by it, the outcome of the request
    managed.take(managed.talk.client.receive_eof(managed.talk.now, 1000))
    managed.manager.feed(Disconnected(1, None, "", Fault("eof", "gone"), None))
    managed.manager.feed(Closed(None, "", Fault("eof", "gone")))
    managed.manager.feed(Closed(1000, "", None))
    assert [error.message for error in managed.manager.recent_errors()] == ["no", "gone"]


def test_what_handlers_raise_stops_nothing_and_is_raised_together() -> None:
    manager = listening(*ANSWER[:4])
    manager.streams.on_delta(StreamKind.TEXT, lambda update: 1 / 0)
    manager.router.on_all(lambda event: [][0])
    heard: list[str] = []
    manager.history.on("updated", lambda change: heard.append(change.item_id))
    with pytest.raises(ExceptionGroup) as caught:
        manager.feed(ANSWER[4])
    assert [type(each) for each in caught.value.exceptions] == [ZeroDivisionError, IndexError]
    assert heard == ["a"]
    assert manager.statistics().events == 5


def test_one_hook_hears_of_all_handlers_that_raise() -> None:
    manager = listening()
    failed: list[HandlerFailure] = []
    manager.on_error(failed.append)
    manager.router.on_all(lambda event: 1 / 0)
    manager.errors.on_all(lambda error: 1 / 0)
    manager.history.on("added", lambda change: 1 / 0)
    manager.streams.on_delta(StreamKind.TEXT, lambda update: 1 / 0)
    manager.feed(failure())
    manager.feed(event("conversation.item.added", item=said("a"), previous_item_id=None))
    manager.feed(event("response.output_text.delta", delta="x", **at("r", "a")))
    assert len(failed) == 6


def test_asynchronous_handlers_are_awaited_in_order() -> None:
    manager = listening()
    heard: list[str] = []

    async def hear(event: Any) -> None:
        await asyncio.sleep(0)
        heard.append(event.type)

    manager.router.on("error", hear)
    manager.errors.on_all(hear)
    manager.streams.on_delta(StreamKind.TEXT, hear)
    asyncio.run(manager.feed_async(failure()))
    asyncio.run(manager.feed_async(event("response.output_text.delta", delta="x", **at("r", "a"))))
    assert heard == ["error", "server_error", "text.delta"]


def test_what_asynchronous_handlers_raise_is_raised_together() -> None:
    manager = listening()

    async def fail(event: Any) -> None:
        raise ZeroDivisionError

    manager.router.on("error", fail)
    manager.errors.on_all(fail)
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(manager.feed_async(failure()))
    assert len(caught.value.exceptions) == 2


# -- sending, and sending again ----------------------------------------------------------------------------------------


def test_a_command_is_sent_with_an_id_and_counted() -> None:
    managed = Managed()
    assert managed.manager.send(m.ResponseCreate(), 0) == ["response.create"]
    assert managed.manager.recent() == (Seen("client", "response.create", "event_1", 0),)


def test_what_the_session_says_otherwise_is_counted_when_it_goes_out() -> None:
    managed = Managed()
    managed.take(
        managed.talk.say(m.ConversationItemCreate(event_id="turn", item=m.MessageItem(role="user", content=[])))
    )
    managed.take(managed.talk.say(m.ResponseCreate(event_id="ask")))
    managed.take(managed.talk.client.append_audio(bytes(4800), managed.talk.now))
    managed.take(managed.talk.error("some_code", "turn"))
    assert [(seen.direction, seen.event_id) for seen in managed.manager.recent(4)] == [
        ("client", "turn"),
        ("client", "ask"),
        ("client", ""),
        ("server", ""),
    ]
    analysis = managed.manager.analysis()
    assert (analysis.turns, analysis.audio_sent_ms) == (1, 100)
    assert isinstance(managed.manager.recent_errors()[0].command, m.ConversationItemCreate)


def test_a_command_is_counted_once_though_it_is_seen_to_go_out_later() -> None:
    talk = Talk()
    manager: EventManager[tuple[Action, ...]] = EventManager(talk.client, send=talk.say)
    actions = [*manager.send(m.ResponseCreate(event_id="ask")), *talk.say(m.InputAudioBufferClear(event_id="other"))]
    for action in actions:
        manager.feed(action)
    assert [seen.event_id for seen in manager.recent()] == ["ask", "other"]


def test_a_command_that_was_refused_is_counted_when_it_goes_out_after_all() -> None:
    managed = Managed()
    with pytest.raises(LocalProtocolError):
        managed.manager.send(m.ResponseCancel(event_id="x"))
    managed.take(managed.talk.say(m.InputAudioBufferClear(event_id="x")))
    assert [seen.type for seen in managed.manager.recent()] == ["input_audio_buffer.clear"]


def test_of_frames_the_messages_are_counted_and_neither_handshakes_nor_what_nobody_can_read() -> None:
    config = antiphon.ConnectionConfig(endpoint=antiphon.Endpoint.custom("ws://host/v1/realtime"))
    connection = antiphon.Connection(antiphon.Role.CLIENT, config, now=0, entropy=bytes)
    manager: EventManager[None] = EventManager(connection)
    handshake = connection.start(0) + connection.opened(0)
    frames = (
        masked(b'{"type":"response.create","event_id":"ask"}')
        + masked(b'{"type":"new","event_id":"n"}')
        + masked(b"[]")
    )
    for action in (*handshake, antiphon.Transmit(frames)):
        manager.feed(action, 0)
    assert [seen.type for seen in manager.recent()] == ["response.create", "new"]
    assert list(manager._commands) == ["ask"]


def test_commands_that_are_not_seen_to_go_out_are_remembered_up_to_a_bound() -> None:
    manager: EventManager[None] = EventManager(send=lambda event: None)
    for _ in range(5000):
        manager.send(m.InputAudioBufferClear())
    assert len(manager._unseen) == 4096


def test_commands_by_name_are_sent_through_the_manager() -> None:
    managed = Managed()
    assert managed.manager.commands.conversation.item.create(item=said("a")) == ["conversation.item.create"]
    assert managed.manager.send(managed.manager.builder.response_create()) == ["response.create"]
    assert [seen.event_id for seen in managed.manager.recent()] == ["event_1", "evt_1"]


def test_a_command_that_is_refused_here_is_not_remembered() -> None:
    managed = Managed()
    with pytest.raises(LocalProtocolError):
        managed.manager.send(m.ResponseCancel(event_id="x"))
    assert managed.manager.recent() == ()
    error = {"type": "server_error", "code": None, "message": "no", "event_id": "x"}
    managed.take(managed.talk.hear("error", error=error))
    assert [attempt.why for attempt in managed.manager.retrier.record] == ["unknown command"]


def test_a_manager_without_a_way_to_send_says_so() -> None:
    manager = listening()
    with pytest.raises(RuntimeError, match="function to send with"):
        manager.send(m.ResponseCreate())
    assert manager.deadline is None
    assert manager.tick(0) == ()


def test_a_command_that_failed_is_sent_again_when_its_pause_is_over() -> None:
    managed = Managed()
    managed.manager.send(m.SessionUpdate(event_id="u", session=m.RealtimeSession(instructions="x")))
    error = {"type": "server_error", "code": None, "message": "no", "event_id": "u"}
    managed.take(managed.talk.hear("error", error=error))
    assert managed.manager.deadline == SECOND
    assert managed.manager.statistics().waiting == 1
    assert managed.manager.tick(SECOND - 1) == ()
    assert managed.tick() == [["session.update"]]
    assert managed.manager.statistics().retries == 1
    assert managed.manager.deadline is None
    assert managed.manager.recent(1)[0].event_id == "u-2"


def test_a_response_that_failed_is_asked_for_again() -> None:
    managed = Managed()
    managed.manager.send(m.ResponseCreate(event_id="ask"))
    managed.take(managed.talk.created("r", request="ask") + managed.talk.done("r", "failed"))
    assert managed.tick() == [["response.create"]]


def test_a_retry_that_the_session_refuses_is_an_error_and_not_tried_again() -> None:
    managed = Managed()
    managed.talk.adds(said("a"))
    managed.manager.send(m.ConversationItemDelete(event_id="d", item_id="a"))
    error = {"type": "server_error", "code": None, "message": "no", "event_id": "d"}
    managed.take(managed.talk.hear("error", error=error))
    managed.take(managed.talk.hear("conversation.item.deleted", item_id="a"))
    assert managed.tick() == []
    assert managed.manager.deadline is None
    assert managed.manager.recent_errors(1)[0].code == "item_delete_invalid_item_id"
    assert managed.manager.retrier.record[-1].why == "not retryable"
    assert managed.manager.statistics().retries == 0


# -- looking -----------------------------------------------------------------------------------------------------------


def test_only_the_newest_events_are_remembered() -> None:
    manager: EventManager[None] = EventManager(keep=3)
    for text in ANSWER:
        manager.feed(text)
    assert [seen.type for seen in manager.recent(100)] == [json.loads(text)["type"] for text in ANSWER[-3:]]
    assert manager.recent(0) == manager.event_flow(0) == ()
    assert manager.statistics().events == len(ANSWER)


def test_there_must_be_room_for_one() -> None:
    with pytest.raises(ValueError, match="keep"):
        EventManager(keep=0)


def test_the_flow_is_what_the_server_said() -> None:
    managed = Managed()
    managed.manager.send(m.ResponseCreate(event_id="ask"))
    managed.take(managed.talk.created("r"))
    assert managed.manager.event_flow() == ("response.created",)


def test_the_newest_turn_is_compared_to_a_flow() -> None:
    manager = listening(*ANSWER, *ANSWER)
    assert manager.check_sequence("text response").matches
    match = manager.check_sequence("audio response")
    assert not match.matches
    assert 0 < match.rate < 1
    with pytest.raises(KeyError):
        manager.check_sequence("unheard of")


def test_a_long_answer_is_compared_from_its_beginning() -> None:
    manager = listening(*ANSWER[:4], *(ANSWER[4:6] * 1000), *ANSWER[6:])
    assert manager.check_sequence("text response").matches
    assert not manager.check_sequence(Flow("one delta", "response.created", "response.output_text.delta")).matches


def test_what_follows_a_row_of_deltas_is_a_row_of_its_own() -> None:
    manager = listening(*ANSWER[:4], *(ANSWER[4:6] * 3), ANSWER[6], *(ANSWER[4:6] * 3))
    flow = Flow("", "response.created", "response.output_text.delta+", "response.output_text.done")
    lines = manager.check_sequence(flow).lines
    assert [(line.kind, line.count) for line in lines[-2:]] == [("same", 1), ("unexpected", 2)]


def test_a_peer_that_invents_deltas_does_not_fill_the_memory() -> None:
    manager = listening(*(event(f"new{number}.delta") for number in range(100)))
    assert len(manager._deltas) == 64


def test_a_flow_that_never_began_is_missing() -> None:
    assert listening(failure()).check_sequence(FLOWS["text response"]).rate == 0.0
    assert listening(failure()).check_sequence(Flow("nothing")).matches


@pytest.mark.parametrize("view", ["ga", "beta"])
def test_events_have_the_names_of_the_view(view: Any) -> None:
    manager: EventManager[None] = EventManager(view=view)
    (heard,) = manager.feed(event("response.text.delta", delta="x", **at("r", "a")))
    assert heard.type == {"ga": "response.output_text.delta", "beta": "response.text.delta"}[view]


def test_the_session_is_exported_as_json() -> None:
    manager = listening(*ANSWER, failure("rate_limit_error"))
    document = json.loads(manager.export_json())
    assert document["statistics"]["errors"] == {"rate_limit_error": 1}
    assert document["analysis"]["events"] == len(ANSWER) + 1
    assert document["event_flow"][-2:] == ["response.done", "error"]
    assert document["transcript"][0]["text"] == "Hello World"
    assert document["items"][0]["item"]["content"] == [{"type": "output_text", "text": "Hello World"}]
    assert document["errors"] == [{"type": "rate_limit_error", "code": None, "message": "no", "param": None}]


def test_the_numbers_are_exported_as_csv() -> None:
    rows = list(csv.reader(io.StringIO(listening(*ANSWER).export_csv("mine"))))
    assert rows[0] == ["file", "measure", "of", "value"]
    assert ["mine", "by_type", "response.output_text.delta", "2.0"] in rows


def act_of(name: str) -> Callable[[EventManager[None]], object]:
    return lambda manager: getattr(manager, name)()


@pytest.mark.parametrize("name", ["statistics", "analysis", "recent", "event_flow", "export_json", "export_csv"])
def test_looking_at_a_manager_that_heard_nothing_is_no_error(name: str) -> None:
    assert act_of(name)(EventManager()) is not None


def test_a_recording_goes_on_after_the_error_that_ended_its_session() -> None:
    expired = event("error", error={"type": "invalid_request_error", "code": "session_expired", "message": "an hour"})
    manager = listening(expired, *ANSWER)
    assert manager.history.transcript.text() == "assistant: Hello World\n"
    assert [error.fatal for error in manager.recent_errors()] == [True]
