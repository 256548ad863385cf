"""Bad input, field by field: what a peer may spoil costs that field, and it is told which.

Every field of every event, at every depth, comes null, missing, of a wrong type, empty and huge to a session that is in
the middle of things. A client survives, goes on as the intact event would have made it, and reports what was lost. A
server survives, and answers with an error that names the field, or takes the event as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from antiphon import Actions, Deliver, Report, ServerSession
from antiphon import messages as m
from antiphon.engine import client as engine_client
from antiphon.engine.dialects.vendors import LACKS
from antiphon.messages.beta import SERVER_VIEWS
from unit import server_helpers
from unit.engine_helpers import Talk, at, call, delivered, message, of, outcomes, said, spoken
from unit.field_helpers import Json, Spoiled, concerns, examples, fits, spoiled
from unit.server_helpers import Host

# -- what a client hears -----------------------------------------------------------------------------------------------


def at_work(**config: Any) -> Talk:
    """A client in the middle of things: commands unanswered, and a response with four items in progress."""
    talk = Talk(**config)
    talk.say(message("u1"))
    talk.adds(said("u1"))
    talk.ask("a")
    talk.created("r1", request="a")
    talk.generates("r1", {**said("i1", role="assistant"), "content": []}, previous="u1")
    talk.part("r1", "i1", type="text")
    talk.hear("response.output_text.delta", delta="text", **at("r1", "i1"))
    talk.generates("r1", spoken("i2"), previous="i1")
    talk.part("r1", "i2")
    talk.audio("r1", "i2", 40)
    talk.generates("r1", {**call("c1"), "id": "i3", "arguments": ""}, previous="i2")
    remote = {"id": "i4", "type": "mcp_call", "server_label": "s", "name": "f", "arguments": ""}
    talk.generates("r1", remote, previous="i3")
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="text")))
    talk.client.append_audio(bytes(9600), talk.now)
    talk.say(m.InputAudioBufferClear())
    talk.say(m.ConversationItemTruncate(item_id="i2", content_index=0, audio_end_ms=3))
    return talk


def over_webrtc() -> Talk:
    return at_work(transport="webrtc")


def delivering() -> Talk:
    talk = over_webrtc()
    talk.hear("output_audio_buffer.started", response_id="r1")
    return talk


def awaiting() -> Talk:
    talk = Talk(begun=False)
    talk.client.opened(talk.now)
    return talk


def asked() -> Talk:
    talk = Talk()
    talk.ask("b")
    return talk


def hearing() -> Talk:
    talk = at_work()
    talk.hear("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=0)
    return talk


def heard() -> Talk:
    talk = hearing()
    talk.hear("input_audio_buffer.speech_stopped", item_id="u2", audio_end_ms=3)
    return talk


def calling() -> Talk:
    talk = at_work()
    talk.hear("response.mcp_call.in_progress", output_index=0, item_id="i4")
    talk.hear("mcp_list_tools.in_progress", item_id="l1")
    return talk


def translating() -> Talk:
    return Talk(session={"type": "translation"})


STATES: dict[str, Callable[[], Talk]] = {
    **dict.fromkeys(m.TRANSLATION_EVENTS, translating),
    "session.created": awaiting,
    "response.created": asked,
    "input_audio_buffer.speech_stopped": hearing,
    "input_audio_buffer.committed": heard,
    "output_audio_buffer.started": over_webrtc,
    "output_audio_buffer.stopped": delivering,
    "output_audio_buffer.cleared": delivering,
    "response.mcp_call.completed": calling,
    "response.mcp_call.failed": calling,
    "mcp_list_tools.completed": calling,
    "mcp_list_tools.failed": calling,
}
"""Where an event moves something; everywhere else that is `at_work`."""

ITEMS = {
    "conversation.item.added": "n1",
    "conversation.item.created": "n1",
    "response.output_item.added": "n1",
    "conversation.item.retrieved": "u1",
    "conversation.item.deleted": "u1",
    "conversation.item.truncated": "i2",
    "input_audio_buffer.speech_started": "u2",
    "input_audio_buffer.speech_stopped": "u2",
    "input_audio_buffer.committed": "u2",
    "response.output_audio.delta": "i2",
    "response.output_audio.done": "i2",
    "response.output_audio_transcript.delta": "i2",
    "response.output_audio_transcript.done": "i2",
    "response.function_call_arguments.delta": "i3",
    "response.function_call_arguments.done": "i3",
    "response.mcp_call_arguments.delta": "i4",
    "response.mcp_call_arguments.done": "i4",
    "response.mcp_call.in_progress": "i4",
    "response.mcp_call.completed": "i4",
    "response.mcp_call.failed": "i4",
    "mcp_list_tools.in_progress": "l1",
    "mcp_list_tools.completed": "l1",
    "mcp_list_tools.failed": "l1",
}
"""Which item an event is about; otherwise ``i1``."""

MOVE_NOTHING = {
    "error",
    "rate_limits.updated",
    "conversation.created",
    "conversation.item.retrieved",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.timeout_triggered",
    "response.output_text.delta",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "session.input_transcript.delta",
    "session.output_transcript.delta",
    "session.output_audio.delta",
}
"""Events after which every machine may stand where it stood."""

DECISIVE = (
    # what the event is about: a made-up value would move somebody else
    "$.item_id",
    "$.response_id",
    "$.item.id",
    "$.response.id",
    "$.content_index",
    # which of several moves is made
    "$.item.type",
    "$.item.status",
    "$.part.type",
    "$.response.status",
    "$.response.conversation_id",
    "$.response.metadata",
    "$.previous_item_id",
)
"""Fields whose value decides which move is made. All others are the body, and the move does not hang on them."""

DECISIVE_OF = {
    "response.done": tuple(f"$.response.output[{index}].id" for index in range(8)),  # its items join the others
    "conversation.item.input_audio_transcription.segment": (
        "$.id",
        "$.start",
        "$.end",
    ),  # a segment is no more than these
}


NAMES_OF_RESPONSES = ("$.response_id", "$.response.id")
"""Fields that are a string when they are empty, and then name nothing."""

DIALECTS = {
    ("$.session", "empty"): "the beta's session has no type, and need not have anything",
    ("$.session.type", "missing"): "the same",
    ("$.response.status_details", "wrong"): "xAI says it in a word",
    ("$.response", "empty"): "xAI's id of the response stands beside it",
    ("$.response.id", "missing"): "the same",
    ("$.response.id", "null"): "the same",
    ("$.response.id", "wrong"): "the same",
    ("$.item.content", "missing"): "xAI's messages begin and end without content",
    ("$.item.content", "null"): "the same",
}
"""What spoils an event of GA and is a known dialect's way to say it."""


def is_of_a_dialect(cls: type[m.ServerEvent], each: Spoiled) -> bool:
    """Whether some known server would have sent the spoiled event as it is (R-E8)."""
    if each.how in ("missing", "null") and any(
        cls.type in lack.types and each.path.removeprefix("$.") in lack.fields for lack in LACKS
    ):
        return True
    if each.path == "$.response.status_details" and not isinstance(_value(each), str):
        return False
    if each.path.startswith("$.response.id") and "response_id" not in each.event:
        return False
    if each.path == "$.response" and "response_id" not in each.event:
        return False
    if each.path == "$.item.content" and cls not in (m.ResponseOutputItemAdded, m.ResponseOutputItemDone):
        return False
    return (each.path, each.how) in DIALECTS


def heard_events(cls: type[m.ServerEvent]) -> list[dict[str, Json]]:
    """Events with every field, about the things of `at_work`."""
    item_id = ITEMS.get(cls.type, "i1")
    known: dict[str, Json] = {"event_id": "event_1", "item_id": item_id, "response_id": "r1", "content_index": 0}
    known |= {"previous_item_id": "u1", "delta": "AAAA"}
    fields = cls.__struct_fields__
    events = examples(cls, **{name: value for name, value in known.items() if name in fields})
    for event in events:
        if "item" in event:
            event["item"].update(id=item_id, status="in_progress")
        if "response" in event:
            metadata = {"antiphon_request": "b", "key": "text"}
            event["response"].update(id="r1", status="completed", metadata=metadata)
            for item in event["response"]["output"]:
                item["id"] = "i1"
        if "part" in event and cls is m.ResponseContentPartAdded:
            event["content_index"] = 1
    return events


def machines(talk: Talk) -> tuple[object, ...]:
    """Where everything stands that has a machine."""
    client = talk.client
    return (
        client.link.state,
        client.state,
        client.input_audio_buffer_state,
        {response.id: response.state for response in client.responses.values()},
        [(node.id, node.state) for node in client.conversation],
        [(key, each.state) for node in client.conversation for key, each in sorted(node.transcriptions.items())],
        {record.id: record.state for record in client.outputs.values()},
        {key: stream.state for key, stream in client.registry.streams.items()},
        {entry.key: entry.state for entry in client.playback},
        {key: place.state for key, place in client.mcp_work.items()},
        {key: place.state for key, place in client.deliveries.items()},
        [pending.event_id for pending in client.unanswered],
    )


def hear(talk: Talk, event: Json) -> Actions:
    """One text message to the client, at the bytes that it would have."""
    return talk.client.receive_message(msgspec.json.encode(event), talk.now)


def misheard(cls: type[m.ServerEvent], each: Spoiled, intact: object, settled: object) -> str | None:
    """What a client did wrong with a spoiled event; None when it did right."""
    talk = STATES.get(cls.type, at_work)()
    actions = hear(talk, each.event)
    reports = of(actions, Report)
    if talk.client.link.state != "open" and cls.type != "session.closed":  # whose meaning that is
        return "the socket ended"
    if each.how in ("huge", "negative"):
        talk.restored()  # what was kept of it can be stored and read again
    if each.path == "$.type":
        if isinstance(each.event.get("type"), str):
            return None if reports == [] and delivered(actions) == [each.event["type"]] else "no unknown event"
        return None if [report.rule for report in reports] == ["R-E1"] and delivered(actions) == [] else "no R-E1"
    if delivered(actions) not in ([SERVER_VIEWS["ga"][cls.type].type], [cls.type]):
        return f"delivered as {delivered(actions)}"
    lost = [report for report in reports if report.rule == "R-E5"]
    if fits(cls, each.event) or is_of_a_dialect(cls, each):
        if lost and not (each.how == "empty" and each.path in NAMES_OF_RESPONSES):
            return f"nothing was wrong, but {lost[0].path} was reported: {lost[0].detail}"
    elif not (each.path.endswith(".type") and isinstance(_value(each), str)):  # what is merely unknown is no deviation
        if not lost:
            return "what was lost is not reported"
        for report in lost:
            if report.event_type != delivered(actions)[0] or not concerns(report.path, each.path):
                return f"{report.path} of {report.event_type} was reported"
            if each.path != "$.event_id" and report.event_id != "event_1":
                return "the report does not name the event"
    if any(concerns(path, each.path) for path in (*DECISIVE, *DECISIVE_OF.get(cls.type, ()))):
        return None
    if (machines(talk), list(outcomes(actions))) != (intact, settled):
        return "the lifecycle went another way"
    return None


def _value(each: Spoiled) -> Json:
    value: Json = each.event
    for key in each.path.removeprefix("$.").replace("[", ".").replace("]", "").split("."):
        if isinstance(value, dict) and key not in value:
            return None
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


@pytest.mark.parametrize("cls", m.SERVER_EVENTS.values(), ids=lambda cls: cls.type)
def test_a_field_that_a_server_spoils_is_lost_alone_and_reported(cls: type[m.ServerEvent]) -> None:
    wrong: list[str] = []
    for event in heard_events(cls):
        assert fits(cls, event)
        talk = STATES.get(cls.type, at_work)()
        before = machines(talk)
        actions = hear(talk, event)
        assert [report for report in of(actions, Report) if report.rule == "R-E5"] == []
        assert machines(talk) != before or cls.type in MOVE_NOTHING
        intact, settled = machines(talk), list(outcomes(actions))
        for each in spoiled(event):
            problem = misheard(cls, each, intact, settled)
            if problem is not None:
                wrong.append(f"{each.path} {each.how}: {problem}")
    assert wrong == []


OTHER_NAMES = {
    cls.wire_type: cast(type[m.ServerEvent], cls)
    for cls in SERVER_VIEWS["ga"].values()
    if cls.wire_type not in m.SERVER_EVENTS
}
"""What the beta and vendors call events of GA, and events of their own."""


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_field_that_is_spoiled_under_another_name_is_survived_and_moves_the_same(name: str) -> None:
    cls = m.SERVER_EVENTS.get(OTHER_NAMES[name].type, OTHER_NAMES[name])
    moved = STATES.get(cls.type, at_work)
    wrong: list[str] = []
    for event in heard_events(cls):
        named = {**event, "type": name}
        talk = moved()
        assert len(delivered(hear(talk, named))) == 1
        intact = machines(talk)
        for each in spoiled(named):
            talk = moved()
            actions = hear(talk, each.event)
            if each.path == "$.type":
                continue  # survived
            if len(delivered(actions)) != 1 or talk.client.link.state != "open":
                wrong.append(f"{each.path} {each.how}: delivered as {delivered(actions)}")
            elif not any(concerns(path, each.path) for path in (*DECISIVE, *DECISIVE_OF.get(cls.type, ()))) and (
                machines(talk) != intact
            ):
                wrong.append(f"{each.path} {each.how}: the lifecycle went another way")
    assert wrong == []


def test_a_client_that_drops_what_it_cannot_read_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = m.ResponseDone
    event = heard_events(cls)[0]
    talk = at_work()
    hear(talk, event)
    intact = machines(talk)
    monkeypatch.setattr(engine_client, "receive_unusual", lambda *_: None)
    assert any(misheard(cls, each, intact, ["a"]) for each in spoiled(event))


# -- what a server hears -----------------------------------------------------------------------------------------------


def serving() -> Host:
    """A server in the middle of things: items, audio in the buffer, and a response in progress."""
    host = Host()
    host.adds("u1")
    host.append(200)
    host.sounds_in(host.asks(), 200)
    return host


FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
AUDIO = {"format": {"type": "audio/pcm", "rate": 24000}}
HEARD = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500, "create_response": True}
TEXT = {"type": "input_text", "text": "text"}

ACCEPTED: dict[str, dict[str, Json]] = {
    "session.update": {
        "session": {
            "type": "realtime",
            "instructions": "text",
            "output_modalities": ["audio"],
            "tools": [FUNCTION],
            "tool_choice": "auto",
            "max_output_tokens": 100,
            "audio": {"input": {**AUDIO, "turn_detection": HEARD}, "output": {**AUDIO, "speed": 1.0}},
        }
    },
    "input_audio_buffer.append": {"audio": "AAAAAAAA"},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "conversation.item.create": {
        "previous_item_id": "root",
        "item": {"id": "n1", "type": "message", "role": "user", "content": [TEXT]},
    },
    "conversation.item.retrieve": {"item_id": "u1"},
    "conversation.item.truncate": {"item_id": serving().ids[-1], "content_index": 0, "audio_end_ms": 100},
    "conversation.item.delete": {"item_id": "u1"},
    "response.create": {
        "response": {
            "conversation": "none",
            "instructions": "text",
            "output_modalities": ["text"],
            "input": [{"type": "message", "role": "user", "content": [TEXT]}],
            "tools": [FUNCTION],
            "metadata": {"key": "value"},
        }
    },
    "response.cancel": {},
}
"""Commands that a server takes as they stand; over a WebSocket, ``output_audio_buffer.clear`` is none."""


def said_events(cls: type[m.ClientEvent]) -> list[dict[str, Json]]:
    """A command that is taken, and commands with every field, which may well be refused for other reasons."""
    known: dict[str, Json] = {"event_id": "event_1", "item_id": "u1", "previous_item_id": "u1", "audio": "AAAA"}
    whole = examples(cls, **{name: value for name, value in known.items() if name in cls.__struct_fields__})
    if cls.type not in ACCEPTED:
        return whole
    return [{"type": cls.type, "event_id": "event_1", **ACCEPTED[cls.type]}, *whole]


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_command_that_is_spoiled_was_taken(name: str) -> None:
    host, event = serving(), said_events(m.CLIENT_EVENTS[name])[0]
    before = host.snapshot()
    actions = host.server.receive_message(msgspec.json.encode(event), host.now)
    assert "error" not in server_helpers.sent_types(actions)
    assert host.snapshot() != before or name == "conversation.item.retrieve"


def misanswered(cls: type[m.ClientEvent], each: Spoiled) -> str | None:
    """What a server did wrong with a spoiled event; None when it did right."""
    host = Host(session={"type": "translation"}) if cls.type in m.TRANSLATION_EVENTS else serving()
    before = host.snapshot()
    actions = host.server.receive_message(msgspec.json.encode(each.event), host.now)
    if host.server.link.state != "open":
        return "the socket ended"
    if each.how in ("huge", "negative"):
        host.restored()
    errors = [event["error"] for event in server_helpers.sent(actions) if event["type"] == "error"]
    if errors and host.snapshot() != before:
        return "refused, and something changed"
    if each.path == "$.type":
        known = isinstance(each.event.get("type"), str)
        code = "invalid_value" if known else "invalid_event"
        return None if [error["code"] for error in errors] == [code] else f"no {code}"
    if fits(cls, each.event) or (each.path.endswith(".type") and isinstance(_value(each), str)):
        return None if len(errors) <= 1 else "more than one error"
    if len(errors) != 1:
        return "no error"
    if not concerns(f"$.{errors[0]['param']}", each.path):
        return f"the error names {errors[0]['param']}"
    if each.path != "$.event_id" and errors[0]["event_id"] != "event_1":
        return "the error does not name the event"
    return None


@pytest.mark.parametrize("cls", m.CLIENT_EVENTS.values(), ids=lambda cls: cls.type)
def test_a_field_that_a_client_spoils_is_refused_by_name_and_changes_nothing(cls: type[m.ClientEvent]) -> None:
    wrong: list[str] = []
    for event in said_events(cls):
        assert fits(cls, event)
        for each in spoiled(event):
            problem = misanswered(cls, each)
            if problem is not None:
                wrong.append(f"{each.path} {each.how}: {problem}")
    assert wrong == []


def test_a_server_that_takes_what_was_repaired_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    event = said_events(m.ConversationItemTruncate)[0]
    lenient = lambda self, repaired, raw: self.act(Deliver(repaired.event, raw))  # noqa: E731
    monkeypatch.setattr(ServerSession, "_repaired", lenient)
    assert any(misanswered(m.ConversationItemTruncate, each) for each in spoiled(event))
