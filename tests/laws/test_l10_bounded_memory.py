"""L10 bounded memory: everything but the conversation is bounded absolutely; the conversation by items, text bytes and
retained audio; beyond it the oldest content goes, with a `Report`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from antiphon import (
    ArgumentsDelta,
    AudioDelta,
    Connection,
    Deliver,
    ItemFinished,
    ItemStarted,
    McpListingStarted,
    Report,
    ResponseFinished,
    ResponseRequested,
    TextDelta,
    TranscriptDelta,
    TransmitMessage,
    inputs,
)
from antiphon import messages as m
from antiphon.machines import Table

from .strategies import TINY, examples, frame, hostile_scripts, setups
from .test_l01_chunking import shaken
from .values import EPOCH, MS, SIDES, Engine, Entropy, Refused, Setup, Side, Stepper, attempt, session_of
from .world import World

MANY = 300
"""Events of one flood: far beyond every limit of `TINY`."""

MOST_ENTRIES = 40
"""Entries of one container outside of the conversation. The largest are the streams of all responses that are in
progress or remembered: (3 + 3) responses of 3 parts, and those are indexed twice."""

MOST_IN_ALL = 400
"""Entries of all containers together, outside of the conversation."""

MOST_BYTES = 80_000
"""Bytes of all texts and buffers outside of the conversation: a message may have 4096, and a few are kept whole."""


class Footprint(NamedTuple):
    """What an object holds, all that it leads to included."""

    containers: dict[str, int]
    """Entries by the path of the container."""
    size: int
    """Bytes of text and bytes."""


_FOREIGN = (type, ModuleType, FunctionType, MethodType, Enum, Table, Entropy, MappingProxyType, int, float, bool)


def footprint(root: object, skip: tuple[str, ...] = ()) -> Footprint:
    """Walk from ``root`` through every attribute and entry; attributes named in ``skip`` are left out."""
    containers: dict[str, int] = {}
    size = 0
    seen: set[int] = set()
    stack: list[tuple[str, object]] = [("", root)]
    while stack:
        path, value = stack.pop()
        if value is None or isinstance(value, _FOREIGN) or id(value) in seen:
            continue
        if isinstance(value, bytes | bytearray | str):
            size += len(value)
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            containers[path] = len(value)
            for key, each in value.items():
                stack += [(f"{path}[]", key), (f"{path}[]", each)]
        elif isinstance(value, list | tuple | set | frozenset | deque):
            containers[path] = max(containers.get(path, 0), len(value))
            stack += [(f"{path}[]", each) for each in value]
        else:
            stack += [(f"{path}.{name}", each) for name, each in _attributes(value) if name not in skip]
    return Footprint(containers, size)


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        names = list(value.__struct_fields__)
    else:
        names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
        names += list(getattr(value, "__dict__", ()))
    for name in names:
        yield name, getattr(value, name, None)


NOT_MEMORY = ("config", "conversation", "_decode", "_protocol")
"""What an engine was told, the conversation, and what the library below holds for itself (it is given whole frames)."""


def check_l10(engine: Engine) -> None:
    """An engine under `TINY` limits holds no more than they allow."""
    session = session_of(engine)
    conversation = session.conversation
    assert len(conversation) <= TINY.conversation_items
    assert conversation.text_bytes <= TINY.conversation_text_bytes
    mirror = footprint(conversation)
    assert sum(mirror.containers.values()) <= MOST_IN_ALL, _largest(mirror)
    assert mirror.size <= MOST_BYTES, mirror.size
    rest = footprint(engine, NOT_MEMORY)
    assert max(rest.containers.values(), default=0) <= MOST_ENTRIES, _largest(rest)
    assert sum(rest.containers.values()) <= MOST_IN_ALL, _largest(rest)
    assert rest.size <= MOST_BYTES, rest.size


def _largest(found: Footprint) -> list[tuple[int, str]]:
    return sorted(((size, path) for path, size in found.containers.items()), reverse=True)[:3]


# -- random floods -----------------------------------------------------------------------------------------------------


@examples(60)
@given(st.data())
def test_no_script_makes_an_engine_grow(stepper: Stepper, data: st.DataObject) -> None:
    setup = structs.replace(data.draw(setups(stepper)), limits=TINY)
    world = World(setup).play(data.draw(hostile_scripts(80)))
    for side in SIDES:
        check_l10(world.engines[side])


# -- floods of one kind ------------------------------------------------------------------------------------------------

Flood = Callable[[Engine, int], None]


def _hear(engine: Engine, now: int = EPOCH, **event: Any) -> list[object]:
    outcome = attempt(engine, inputs.MessageReceived(json.dumps(event)), now)
    assert not isinstance(outcome, Refused)
    return list(outcome)


def _created(engine: Engine, number: int, *, conversation_id: str | None = "conv") -> None:
    _hear(engine, type="response.created", response={"id": f"r{number}", "conversation_id": conversation_id})


def _part(number: int, item: str = "i", **more: Any) -> dict[str, Any]:
    return {"response_id": f"r{number}", "item_id": f"{item}{number}", "output_index": 0, "content_index": 0, **more}


def _item(id: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "id": id, "role": "assistant", "content": [], **more}


def responses_that_never_end(engine: Engine, number: int) -> None:
    _created(engine, number)


def responses_out_of_band(engine: Engine, number: int) -> None:
    _created(engine, number, conversation_id=None)
    _hear(engine, type="response.output_item.added", response_id=f"r{number}", output_index=0, item=_item(f"i{number}"))
    _hear(engine, type="response.output_text.delta", **_part(number, delta="la " * 50))


def responses_that_end(engine: Engine, number: int) -> None:
    _created(engine, number)
    _hear(engine, type="response.done", response={"id": f"r{number}", "status": "completed", "conversation_id": "conv"})


def items_of_one_response(engine: Engine, number: int) -> None:
    _hear(engine, type="response.output_item.added", response_id="r0", output_index=number, item=_item(f"i{number}"))


def parts_of_one_item(engine: Engine, number: int) -> None:
    part = {**_part(0), "content_index": number}
    _hear(engine, type="response.content_part.added", **part, part={"type": "text", "text": ""})
    _hear(engine, type="response.output_text.delta", **part, delta="la")


def text_of_one_item(engine: Engine, number: int) -> None:
    if not number:
        _hear(engine, type="conversation.item.added", previous_item_id=None, item=_item("i0", status="in_progress"))
    _hear(engine, type="response.output_text.delta", **_part(0), delta="la " * 50)


def text_for_items_that_never_come(engine: Engine, number: int) -> None:
    _hear(engine, type="response.output_text.delta", **{**_part(0), "item_id": f"i{number}"}, delta="la")


def audio_that_nobody_hears(engine: Engine, number: int) -> None:
    _hear(engine, type="response.output_audio.delta", **{**_part(0), "item_id": f"i{number}"}, delta="AAAA")


def audio_of_responses_that_end(engine: Engine, number: int) -> None:
    responses_out_of_band(engine, number)
    _hear(engine, type="response.output_audio.delta", **_part(number, content_index=1), delta="AAA=")
    _hear(engine, type="input_audio_buffer.speech_started", item_id=f"u{number}", audio_start_ms=0)
    _hear(engine, type="response.done", response={"id": f"r{number}", "status": "completed"})


def members(engine: Engine, number: int) -> None:
    content = [{"type": "input_text", "text": "la " * 20}]
    _hear(engine, type="conversation.item.added", previous_item_id=None, item=_item(f"i{number}", content=content))


def members_with_unknown_predecessors(engine: Engine, number: int) -> None:
    _hear(engine, type="conversation.item.added", previous_item_id=f"p{number}", item=_item(f"i{number}"))


def members_of_one_id(engine: Engine, number: int) -> None:
    _hear(engine, type="conversation.item.added", previous_item_id=None, item=_item("i"))


def deletions(engine: Engine, number: int) -> None:
    members(engine, number)
    _hear(engine, type="conversation.item.deleted", item_id=f"i{number}")
    _hear(engine, type="conversation.item.deleted", item_id=f"never{number}")


def transcripts(engine: Engine, number: int) -> None:
    transcript: dict[str, Any] = {"item_id": f"u{number}", "content_index": number}
    _hear(engine, type="conversation.item.input_audio_transcription.delta", **transcript, delta="la " * 30)
    transcript["item_id"] = "u"
    _hear(engine, type="conversation.item.input_audio_transcription.delta", **transcript, delta="x")


def truncations(engine: Engine, number: int) -> None:
    if not number:
        members(engine, 0)
    _hear(engine, type="conversation.item.truncated", item_id="i0", content_index=number, audio_end_ms=7)


def commits(engine: Engine, number: int) -> None:
    _hear(engine, type="input_audio_buffer.committed", item_id=f"u{number}", previous_item_id=None)


def tool_servers(engine: Engine, number: int) -> None:
    _hear(engine, type="mcp_list_tools.in_progress", item_id=f"m{number}")
    _hear(engine, type="response.mcp_call.in_progress", item_id=f"w{number}", output_index=0)
    asked = {"id": f"q{number}", "type": "mcp_approval_request", "server_label": "s", "name": "f", "arguments": "{}"}
    given = {"id": f"a{number}", "type": "mcp_approval_response", "approval_request_id": f"x{number}", "approve": True}
    for item in (asked, given):
        _hear(engine, type="conversation.item.added", item=item)
    _hear(engine, type="output_audio_buffer.started", response_id=f"r{number}")


def calls(engine: Engine, number: int) -> None:
    _created(engine, number)
    item = {"type": "function_call", "id": f"i{number}", "call_id": f"c{number}", "name": "f", "arguments": "{}"}
    done = {"id": f"r{number}", "status": "completed", "conversation_id": "conv", "output": [item]}
    _hear(engine, type="response.done", response=done)


def deviations_of_every_kind(engine: Engine, number: int) -> None:
    """Every event, out of place, and types that nobody knows."""
    names = list(m.SERVER_EVENTS) + list(m.CLIENT_EVENTS)
    _hear(engine, type=names[number % len(names)], item_id="i", response_id="r", item={"type": f"t{number}", "id": "i"})
    _hear(engine, type=f"unknown.{number}", event_id=f"e{number}")


def errors(engine: Engine, number: int) -> None:
    error = {"type": "x", "code": f"c{number}", "message": "m" * 100, "event_id": f"e{number}"}
    _hear(engine, type="error", error=error)


def rate_limits(engine: Engine, number: int) -> None:
    _hear(engine, type="rate_limits.updated", rate_limits=[{"name": f"n{number}", "limit": number}])


def commands_that_nobody_answers(engine: Engine, number: int) -> None:
    item = m.MessageItem(id=f"mine{number}", role="user", content=[m.InputText(text="la " * 20)])
    attempt(engine, inputs.Send(m.ConversationItemCreate(item=item)), EPOCH)
    attempt(engine, inputs.Send(m.SessionUpdate(session=m.RealtimeSession())), EPOCH)
    call = m.FunctionCallItem(name="f", call_id=f"call{number}", arguments="{}")
    attempt(engine, inputs.Send(m.ConversationItemCreate(item=call)), EPOCH)


def requests_that_nobody_answers(engine: Engine, number: int) -> None:
    aside = m.ResponseCreateParams(conversation="none", metadata={"n": str(number)})
    attempt(engine, inputs.Send(m.ResponseCreate(response=aside)), EPOCH)
    attempt(engine, inputs.Send(m.ResponseCreate(response=m.ResponseCreateParams(instructions="x" * 50))), EPOCH)
    attempt(engine, inputs.Send(m.ResponseCreate(), ("R-Q1",)), EPOCH)


def microphone(engine: Engine, number: int) -> None:
    attempt(engine, inputs.AppendAudio(b"\x00" * 480), EPOCH)


def commands(engine: Engine, number: int) -> None:
    commands_that_nobody_answers(engine, number)
    requests_that_nobody_answers(engine, number)
    microphone(engine, number)


HOSTILE_SERVER: list[Flood] = [
    responses_that_never_end, responses_out_of_band, responses_that_end, items_of_one_response, parts_of_one_item,
    text_of_one_item, text_for_items_that_never_come, audio_that_nobody_hears, audio_of_responses_that_end, members,
    members_with_unknown_predecessors, members_of_one_id, deletions, transcripts, truncations, commits, tool_servers,
    calls, deviations_of_every_kind, errors, rate_limits, commands_that_nobody_answers, requests_that_nobody_answers,
    microphone,
]  # fmt: skip


def _named(flood: Flood) -> str:
    return flood.__name__


@pytest.mark.parametrize("flood", HOSTILE_SERVER, ids=_named)
def test_a_client_does_not_grow_under_a_flood_of(flood: Flood, stepper: Stepper) -> None:
    setup = Setup(stepper=stepper, limits=TINY)
    client = setup.engine("client", setup.entropy("client"))
    client.opened(EPOCH)
    _hear(client, type="session.created", session={"type": "realtime"})
    _created(client, 0)
    for number in range(MANY):
        flood(client, number)
        check_l10(client)


@pytest.mark.parametrize("level", ["message", "bytes"])
def test_a_client_without_a_socket_keeps_few_commands_and_the_newest_audio(level: Any, stepper: Stepper) -> None:
    setup = Setup(stepper=stepper, limits=TINY, level=level)
    client = setup.engine("client", setup.entropy("client"))
    client.start(EPOCH)
    for number in range(MANY):
        commands(client, number)
        check_l10(client)


# -- a server under a client, and under its brain ----------------------------------------------------------------------


def client_items(engine: Engine, number: int) -> None:
    content = [{"type": "input_text", "text": "la " * 20}]
    _hear(engine, type="conversation.item.create", item=_item(f"i{number}", role="user", content=content))


def client_calls(engine: Engine, number: int) -> None:
    call = {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}"}
    _hear(engine, type="conversation.item.create", item=call)


def client_audio(engine: Engine, number: int) -> None:
    _hear(engine, type="input_audio_buffer.append", audio="AAAA" * 200)


def client_commits(engine: Engine, number: int) -> None:
    for _ in range(9):
        client_audio(engine, number)
    _hear(engine, type="input_audio_buffer.commit")


def client_requests(engine: Engine, number: int) -> None:
    _hear(engine, type="response.create", response={"conversation": "none", "instructions": "x" * 100})
    _hear(engine, type="response.create")


def client_nonsense(engine: Engine, number: int) -> None:
    _hear(engine, type=f"unknown.{number}", event_id=f"e{number}")
    _hear(engine, type="conversation.item.delete", item_id=f"i{number}")
    _hear(engine, type="conversation.item.truncate", item_id=f"i{number}", content_index=0, audio_end_ms=1)
    _hear(engine, type="session.update", session={"type": "realtime", f"key{number}": 1})


def client_prompts(engine: Engine, number: int) -> None:
    prompt = {"id": "p", "variables": {f"v{number}": "x"}}
    _hear(engine, type="session.update", session={"type": "realtime", "prompt": prompt})


def _ask(engine: Engine, aside: bool) -> str:
    params = {"conversation": "none"} if aside else {}
    actions = _hear(engine, type="response.create", response=params)
    return next(action.response_id for action in actions if isinstance(action, ResponseRequested))


def spoken_items_that_are_deleted(engine: Engine, number: int) -> None:
    """The client deletes what is being said: the rest of it is nobody's."""
    response_id = _ask(engine, aside=False)
    started = ItemStarted(response_id=response_id, output_index=0, kind="audio")
    actions = engine.generate(started, EPOCH)
    added = next(json.loads(action.text) for action in actions if isinstance(action, TransmitMessage))
    _hear(engine, type="conversation.item.delete", item_id=added["item"]["id"])
    engine.generate(AudioDelta(response_id=response_id, output_index=0, audio=b"\x00" * 480), EPOCH)
    engine.generate(TextDelta(response_id=response_id, output_index=0, delta="la"), EPOCH)
    engine.generate(ItemFinished(response_id=response_id, output_index=0), EPOCH)
    _hear(engine, type="response.cancel", response_id=response_id)


def spoken_items(engine: Engine, number: int) -> None:
    response_id = _ask(engine, aside=False)
    for index, kind in enumerate(("audio", "text", "function_call")):
        name = "f" if kind == "function_call" else ""
        started = ItemStarted(response_id=response_id, output_index=index, kind=kind, name=name)  # type: ignore[arg-type]  # one of the three
        engine.generate(started, EPOCH)
    engine.generate(AudioDelta(response_id=response_id, output_index=0, audio=b"\x00" * 480), EPOCH)
    engine.generate(ArgumentsDelta(response_id=response_id, output_index=2, delta="{}"), EPOCH)
    _hear(engine, type="response.cancel", response_id=response_id)


def items_of_one_brain(engine: Engine, number: int) -> None:
    open_response = next((each.id for each in _responses(engine) if each.is_open), None) or _ask(engine, aside=True)
    attempt(engine, inputs.Generate(ItemStarted(response_id=open_response, output_index=number, kind="text")), EPOCH)


def calls_that_no_mcp_server_answers(engine: Engine, number: int) -> None:
    """Of which some outlive their response, and each has something to say."""
    running = next((each.id for each in _responses(engine) if each.is_open and each.in_conversation), None)
    response_id = running or _ask(engine, aside=False)
    for content in (
        ItemStarted(response_id=response_id, output_index=0, kind="mcp_call", name="f", server_label="s"),
        ArgumentsDelta(response_id=response_id, output_index=0, delta="x" * 300),
        ItemFinished(response_id=response_id, output_index=0),
        ResponseFinished(response_id=response_id),
    ):
        attempt(engine, inputs.Generate(content), EPOCH)


def listings_without_end(engine: Engine, number: int) -> None:
    attempt(engine, inputs.Generate(McpListingStarted(f"s{number}")), EPOCH)


def text_of_one_brain(engine: Engine, number: int) -> None:
    """Words without end, in the conversation and out of band."""
    for aside in (False, True):
        running = next((each for each in _responses(engine) if each.is_open and each.in_conversation != aside), None)
        response_id = _ask(engine, aside=aside) if running is None else running.id
        for index, kind in enumerate(("text", "function_call")):
            started = ItemStarted(response_id=response_id, output_index=index, kind=kind, name="f")  # type: ignore[arg-type]  # one of the three
            attempt(engine, inputs.Generate(started), EPOCH)
        text = "la " * 300
        attempt(engine, inputs.Generate(TextDelta(response_id=response_id, output_index=0, delta=text)), EPOCH)
        attempt(engine, inputs.Generate(ArgumentsDelta(response_id=response_id, output_index=1, delta=text)), EPOCH)


def _responses(engine: Engine) -> list[Any]:
    return list(getattr(session_of(engine), "responses", {}).values())


def transcriptions(engine: Engine, number: int) -> None:
    if not len(session_of(engine).conversation):  # at first, and when the item has grown beyond the limits and went
        client_commits(engine, 0)
    item_id = next(iter(session_of(engine).conversation)).id
    engine.transcribed(item_id, 0, TranscriptDelta("la"), EPOCH)


def speech(engine: Engine, number: int) -> None:
    client_audio(engine, number)
    engine.speech_started(0, EPOCH)
    _hear(engine, type="input_audio_buffer.clear")
    attempt(engine, inputs.SpeechStopped(5), EPOCH)


HOSTILE_CLIENT: list[Flood] = [
    client_items, client_calls, client_audio, client_commits, client_requests, client_nonsense, client_prompts,
    spoken_items_that_are_deleted, spoken_items, items_of_one_brain, text_of_one_brain, transcriptions, speech,
    calls_that_no_mcp_server_answers, listings_without_end,
]  # fmt: skip


@pytest.mark.parametrize("retain", [False, True], ids=["", "retaining"])
@pytest.mark.parametrize("flood", HOSTILE_CLIENT, ids=_named)
def test_a_server_does_not_grow_under_a_flood_of(flood: Flood, retain: bool, stepper: Stepper) -> None:
    setup = Setup(stepper=stepper, limits=TINY, retain=retain)
    server = setup.engine("server", setup.entropy("server"))
    server.opened(EPOCH)
    for number in range(MANY):
        flood(server, number)
        check_l10(server)


# -- bytes -------------------------------------------------------------------------------------------------------------

_FLOODS_OF_BYTES = {
    "a head without end": b"GET / HTTP/1.1\r\nx: y\r\n" + b"x" * 20_000,
    "a frame that is announced and never comes": b"\x81\xfe\x0f\xff" + b"\x00" * 3000,
    "a message in ever more frames": frame(0x01, b"x" * 100, bytes(4)) + frame(0x00, b"x" * 100, bytes(4)) * MANY,
    "pings": frame(0x89, b"x" * 100, bytes(4)) * MANY,
    "a message that is too long": b"\x81\xff" + (10**9).to_bytes(8, "big") + b"\x00" * 20_000,
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("shaken_first", [False, True], ids=["before the handshake", "behind it"])
@pytest.mark.parametrize("flood", _FLOODS_OF_BYTES.values(), ids=_FLOODS_OF_BYTES.keys())
def test_a_connection_does_not_grow_under(flood: bytes, shaken_first: bool, side: Side, stepper: Stepper) -> None:
    setup = Setup(level="bytes", stepper=stepper, limits=TINY)
    engine = setup.engine(side, setup.entropy(side))
    assert isinstance(engine, Connection)
    for now, input in shaken(setup, side, b""):
        if shaken_first or not isinstance(input, inputs.DataReceived):
            engine.handle(input, now)
    for start in range(0, len(flood), 500):
        engine.receive_data(flood[start : start + 500], EPOCH)
        check_l10(engine)


def test_a_server_that_is_not_answered_by_its_program_holds_one_message_of_its_client(stepper: Stepper) -> None:
    setup = Setup(level="bytes", stepper=stepper, limits=TINY)
    (_, opened), (_, request) = shaken(setup, "server", b"")
    server = setup.engine("server", setup.entropy("server"))
    server.handle(opened, EPOCH)
    server.handle(request, EPOCH)
    for _ in range(MANY):
        server.handle(inputs.DataReceived(frame(0x81, b"{}" * 50, bytes(4))), EPOCH)
        check_l10(server)


# -- what goes, and that it is told
# -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flood", [members, members_with_unknown_predecessors, text_of_one_item], ids=_named)
def test_what_the_conversation_gives_up_is_reported(flood: Flood, stepper: Stepper) -> None:
    setup = Setup(stepper=stepper, limits=TINY)
    client = setup.engine("client", setup.entropy("client"))
    client.opened(EPOCH)
    _hear(client, type="session.created", session={"type": "realtime"})
    _created(client, 0)
    before = dict(session_of(client).reports)
    for number in range(MANY):
        flood(client, number)
    new = {rule for rule, _ in session_of(client).reports.keys() - before.keys()}
    assert "R-N2" in new


def test_the_newest_items_stay(stepper: Stepper) -> None:
    setup = Setup(stepper=stepper, limits=TINY)
    server = setup.engine("server", setup.entropy("server"))
    server.opened(EPOCH)
    for number in range(MANY):
        client_items(server, number)
    names = [node.id for node in session_of(server).conversation]
    assert names == [f"i{MANY - TINY.conversation_items + number}" for number in range(TINY.conversation_items)]


def test_every_event_of_a_flood_was_heard(stepper: Stepper) -> None:
    """The floods would prove nothing about an engine that had hung up."""
    setup = Setup(stepper=stepper, limits=TINY)
    client = setup.engine("client", setup.entropy("client"))
    client.opened(EPOCH)
    for number in range(MANY):
        heard = _hear(client, EPOCH + number * MS, type="rate_limits.updated", rate_limits=[])
        assert [type(action) for action in heard if not isinstance(action, Report)] == [Deliver]
