"""Which rows of the tables an engine takes when it is driven from outside: all of them, but those that are named here.

`tests/tables` walks the tables by themselves; here events, commands and the clock do it, through the public methods of
a session. One table is explored at a time: in each situation that was found, every act of an alphabet is tried, until
nothing new is found. So whatever a peer may say is tried in every state, and nothing of it may raise or fall through
the tables; and each situation has to come back from a snapshot as it was.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from antiphon import (
    ArbiterPolicy,
    ArgumentsDelta,
    AudioDelta,
    ClientSession,
    Connection,
    ConnectionConfig,
    Content,
    Endpoint,
    Fault,
    ItemFinished,
    ItemStarted,
    LocalProtocolError,
    McpCallFinished,
    McpListingFinished,
    McpListingStarted,
    RenewalPolicy,
    ResponseFinished,
    Role,
    Session,
    SessionConfig,
    Snapshot,
    SourceText,
    TextDelta,
    Timer,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TranscriptionResult,
    TranscriptSegment,
    TranslatedAudio,
    TranslatedText,
    TranslationFinished,
    Transmit,
    error_event,
)
from antiphon import messages as m
from antiphon.engine import serving
from antiphon.engine.incoming import item as items
from antiphon.engine.incoming import part as parts
from antiphon.engine.incoming import response as responses
from antiphon.engine.incoming import session as sessions
from antiphon.engine.incoming.members import find_item
from antiphon.engine.link import LINK
from antiphon.engine.listener import PLAYBACK
from antiphon.engine.renewal import RENEWAL
from antiphon.engine.request import REQUEST
from antiphon.engine.wire import Wire
from antiphon.machines import STEPPERS, Row, Stateful, Stepper, Table
from unit.engine_helpers import MS, Talk, at, said, spoken
from unit.server_helpers import Host, Numbers


class Cell(NamedTuple):
    """A row, in one of the states that it leads out of."""

    state: str
    on: str
    guard: str | None = None


WITHOUT_ROWS = {
    "input_audio_buffer": {"timer.idle"},
    "link": {"internal.close", "internal.eof", "internal.failed", "internal.fault"},
    "playback": {"internal.heard", "internal.stop", "internal.stopped"},
    "session": {"internal.fatal_error", "internal.opened", "internal.renewed", "timer.expiry"},
}
"""What an engine steps a table with in whatever state that is in: where no row is, nothing is to be done. Nothing of it
is an event of the peer's; the timers are fired here whether they run or not. For everything else there is a row in
every state, even if it says that nothing follows."""

WorldT = TypeVar("WorldT")
Acts: TypeAlias = Mapping[str, Callable[[WorldT], object]]


# -- exploring ---------------------------------------------------------------------------------------------------------


@contextmanager
def watched(table: Table) -> Iterator[set[Cell]]:
    """The cells of ``table`` that sessions take that are made inside of this. No step of any table finds no row."""
    taken: set[Cell] = set()
    gaps: set[tuple[str, str, str]] = set()
    steppers = cast(dict[str, Stepper], STEPPERS)
    real = steppers["compiled"]

    def step(which: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
        before = obj.state
        row = real(which, obj, on, engine, event)
        if row is None:
            gaps.add((which.name, before, on))
        elif which is table:
            taken.add(Cell(row.source, row.on, row.guard_name))
        return row

    steppers["compiled"] = step
    try:
        yield taken
    finally:
        steppers["compiled"] = real
    assert {each for each in gaps if each[2] not in WITHOUT_ROWS.get(each[0], ())} == set()


def untaken(
    table: Table, *explorations: tuple[Callable[[], WorldT], Acts[WorldT], Callable[[WorldT], Hashable]]
) -> set[Cell]:
    """The cells of ``table`` that no exploration took."""
    with watched(table) as taken:
        for make, acts, situation in explorations:
            explore(make, acts, situation)
    return {each for each in cells(table) if each not in taken}


def cells(table: Table) -> Iterator[Cell]:
    """Every row of ``table``, in every state that it leads out of."""
    for state, by_event in table.cells.items():
        for on, rows in by_event.items():
            for row in rows:
                yield Cell(state, on, row.guard_name)


def explore(make: Callable[[], WorldT], acts: Acts[WorldT], situation: Callable[[WorldT], Hashable]) -> None:
    """Try every act in every situation that can be told apart. A local refusal is an answer like others."""
    seen = {situation(make())}
    paths: deque[tuple[str, ...]] = deque([()])
    while paths:
        path = paths.popleft()
        for name in acts:
            world = make()
            for each in (*path, name):
                with suppress(LocalProtocolError):
                    acts[each](world)
            found = situation(world)
            if found not in seen:
                seen.add(found)
                paths.append((*path, name))
                if isinstance(world, (Talk, Host)):
                    world.restored()  # which asserts that nothing is lost


def restore(world: Talk | Host) -> None:
    """What a session knows goes to another process, to another socket; this one stays as it is."""
    session: Session = world.client if isinstance(world, Talk) else world.server
    config = ConnectionConfig(endpoint=Endpoint.custom("ws://example.org/"), session=world.config)
    Connection.restore(session.snapshot(world.now), config, now=world.now, entropy=Numbers(1000))


# -- a client: its item x, of response r (or o, out of band) -----------------------------------------------------------


def hears(type: str, **fields: Any) -> Callable[[Talk], object]:
    return lambda talk: talk.hear(type, **fields)


def item(status: str, **fields: Any) -> dict[str, Any]:
    return {**spoken("x"), "status": status, **fields}


TOOLS = {"id": "x", "type": "mcp_list_tools", "server_label": "s", "tools": []}


def output(end: str, response_id: str, status: str) -> Callable[[Talk], object]:
    return hears(f"response.output_item.{end}", response_id=response_id, output_index=0, item=item(status))


def member(end: str, content: dict[str, Any]) -> Callable[[Talk], object]:
    return hears(f"conversation.item.{end}", previous_item_id=None, item=content)


def lose_socket(talk: Talk) -> object:
    return talk.lose_socket()


ITEM: Acts[Talk] = {
    "r": lambda talk: talk.created("r"),
    "o": lambda talk: talk.created("o", conversation_id=None),
    "announced": output("added", "r", "in_progress"),
    "announced out of band": output("added", "o", "in_progress"),
    "output done": output("done", "r", "completed"),
    "output done out of band": output("done", "o", "completed"),
    "added": member("added", item("completed")),
    "added in progress": member("added", item("in_progress")),
    "tools added": member("added", TOOLS),
    "created": member("created", item("completed")),
    "created in progress": member("created", item("in_progress")),
    "done": member("done", item("completed")),
    "retrieved": member("retrieved", item("completed")),
    "truncated": hears("conversation.item.truncated", item_id="x", content_index=0, audio_end_ms=0),
    "deleted": hears("conversation.item.deleted", item_id="x"),
    "another event": hears("rate_limits.updated", rate_limits=[]),
    "another event of some order": hears("input_audio_buffer.cleared"),
    "speech": hears("input_audio_buffer.speech_started", item_id="x", audio_start_ms=0),
    "committed": hears("input_audio_buffer.committed", item_id="x"),
    "r is done": lambda talk: talk.done("r"),
    "r is done with it": lambda talk: talk.done("r", output=[item("completed")]),
    "o is done": lambda talk: talk.done("o", conversation_id=None),
    "the end": lose_socket,
}


CALL = {"id": "x", "type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}"}


def calls(end: str, response_id: str) -> Callable[[Talk], object]:
    return hears(f"response.output_item.{end}", response_id=response_id, output_index=0, item=CALL)


REMOTE: Acts[Talk] = {
    **{name: ITEM[name] for name in ("r", "o", "truncated", "deleted", "r is done", "o is done", "the end")},
    "announced": calls("added", "r"),
    "announced out of band": calls("added", "o"),
    "output done": calls("done", "r"),
    "output done out of band": calls("done", "o"),
    "added": member("added", CALL),
    "created": member("created", CALL),
    "done": member("done", CALL),
    "retrieved": member("retrieved", CALL),
}
"""The same for a call at an MCP server, which may outlive its response."""


def response_of(talk: Talk, response_id: str) -> Hashable:
    record = talk.client.responses.get(response_id)
    return None if record is None else (record.state, "x" in record.item_ids)


def item_of(talk: Talk) -> Hashable:
    client, found = talk.client, find_item(talk.client, "x")
    where = found.state, type(found).__name__, "x" in client.outputs, client.overdue_item_id, client.announced_item_id
    return *where, response_of(talk, "r"), response_of(talk, "o"), client.link.state


def test_a_client_takes_every_row_of_an_item() -> None:
    assert untaken(items.CONVERSATION_ITEM, (Talk, ITEM, item_of), (Talk, REMOTE, item_of)) == set()


def streaming(content_index: int) -> dict[str, Callable[[Talk], object]]:
    place = at("r", "x", content_index)
    events: dict[str, dict[str, Any]] = {
        "response.content_part.added": {"part": {"type": "text", "text": ""}},
        "response.output_text.delta": {"delta": "a"},
        "response.output_text.done": {"text": "a"},
        "response.output_audio.delta": {"delta": "AAAA"},
        "response.output_audio.done": {},
        "response.output_audio_transcript.delta": {"delta": "a"},
        "response.output_audio_transcript.done": {"transcript": "a"},
        "response.content_part.done": {"part": {"type": "text", "text": "a"}},
    }
    acts = {f"{type} {content_index}": hears(type, **fields, **place) for type, fields in events.items()}
    acts[f"audio part {content_index}"] = hears("response.content_part.added", part={"type": "audio"}, **place)
    return acts


def arguments(kind: str) -> dict[str, Callable[[Talk], object]]:
    place = {"response_id": "r", "item_id": "x", "output_index": 0, "call_id": "c"}
    delta, done = f"response.{kind}_call_arguments.delta", f"response.{kind}_call_arguments.done"
    return {delta: hears(delta, delta="a", **place), done: hears(done, arguments="a", name="f", **place)}


PART: Acts[Talk] = {
    **{name: ITEM[name] for name in ("announced", "added in progress", "done", "output done", "r is done", "the end")},
    **streaming(0),
    **streaming(-1),  # where arguments are kept: only a peer that counts strangely comes there
    **arguments("function"),
    **arguments("mcp"),
}


def responding(**config: Any) -> Talk:
    talk = Talk(**config)
    talk.created("r")
    return talk


def parts_of(talk: Talk) -> Hashable:
    streams = tuple((place, stream.state) for place, stream in sorted(talk.client.registry.streams.items()))
    return streams, find_item(talk.client, "x").state, response_of(talk, "r"), talk.client.link.state


def test_a_client_takes_every_row_of_a_part_that_was_opened() -> None:
    def calling() -> Talk:
        talk = responding()
        REMOTE["announced"](talk)
        return talk

    remote: Acts[Talk] = {**arguments("mcp"), "r is done": PART["r is done"]}
    never = untaken(parts.CONTENT_PART, (responding, PART, parts_of), (calling, remote, parts_of))
    assert {each.state for each in never} == {"absent"}  # a part is known from its first event on, which opens it
    assert {each.on for each in never} == {"internal.item_done", "internal.response_done", "internal.lost"}


def ends(status: str) -> Callable[[Talk], object]:
    return lambda talk: talk.done("r", status)


RESPONSE: Acts[Talk] = {
    "created": lambda talk: talk.created("r"),
    "another created": lambda talk: talk.created("s"),
    "activity": output("added", "r", "in_progress"),
    "cancel": lambda talk: talk.say(m.ResponseCancel(response_id="r"), override={"R-Q7"}),
    "malformed": hears("response.done", response=5),
    "the end": lose_socket,
    **{status: ends(status) for status in ("completed", "cancelled", "incomplete", "failed", "astonished")},
}


def test_a_client_takes_every_row_of_a_response() -> None:
    def situation(talk: Talk) -> Hashable:
        return response_of(talk, "r"), response_of(talk, "s"), talk.client.link.state

    assert untaken(responses.RESPONSE, (Talk, RESPONSE, situation)) == set()


def test_a_client_takes_every_row_of_the_input_audio_buffer() -> None:
    buffer = partial(lambda name, **fields: hears(f"input_audio_buffer.{name}", **fields))
    acts: Acts[Talk] = {
        "started": buffer("speech_started", audio_start_ms=0, item_id="u"),
        "stopped": buffer("speech_stopped", audio_end_ms=0, item_id="u"),
        "stopped under another id": buffer("speech_stopped", audio_end_ms=0, item_id="v"),
        "committed": buffer("committed", item_id="u", previous_item_id=None),
        "committed under another id": buffer("committed", item_id="v", previous_item_id=None),
        "cleared": buffer("cleared"),
        "timeout": buffer("timeout_triggered", item_id="u", audio_start_ms=0, audio_end_ms=1),
        "commit": lambda talk: talk.say(m.InputAudioBufferCommit(), override={"R-I3"}),
        "clear": lambda talk: talk.say(m.InputAudioBufferClear()),
        "restored": restore,
    }

    def situation(talk: Talk) -> Hashable:
        client = talk.client
        pending = frozenset(each.type for each in client.unanswered)
        return client.input_audio_buffer_state, client.announced_item_id, client.timeout_item_id, pending

    assert untaken(sessions.INPUT_AUDIO_BUFFER, (Talk, acts, situation)) == set()


def test_a_client_takes_every_row_of_the_output_audio_buffer() -> None:
    acts = {end: hears(f"output_audio_buffer.{end}", response_id="r") for end in ("started", "stopped", "cleared")}

    def situation(talk: Talk) -> Hashable:
        return tuple(place.state for place in talk.client.deliveries.values())

    over_webrtc = partial(Talk, transport="webrtc")
    assert untaken(sessions.OUTPUT_AUDIO_BUFFER, (Talk, acts, situation), (over_webrtc, acts, situation)) == set()


def test_a_client_takes_every_row_of_remote_work() -> None:
    acts = {
        f"{work}.{step}": hears(f"{work}.{step}", item_id="x", output_index=0)
        for work in ("mcp_list_tools", "response.mcp_call")
        for step in ("in_progress", "completed", "failed")
    }

    def situation(talk: Talk) -> Hashable:
        return tuple(place.state for place in talk.client.mcp_work.values())

    assert untaken(sessions.MCP, (Talk, acts, situation)) == set()


def test_a_client_takes_every_row_of_a_transcription() -> None:
    place = {"item_id": "u", "content_index": 0}
    ends: dict[str, dict[str, Any]] = {
        "delta": {"delta": "a"},
        "segment": {"id": "s", "text": "a", "speaker": "b", "start": 0, "end": 1},
        "updated": {"transcript": "a"},
        "completed": {"transcript": "a"},
        "failed": {"error": {"message": "no"}},
    }
    acts = {
        end: hears(f"conversation.item.input_audio_transcription.{end}", **place, **fields)
        for end, fields in ends.items()
    }

    def situation(talk: Talk) -> Hashable:
        return talk.client.conversation.transcription("u", 0).state

    assert untaken(parts.TRANSCRIPTION, (Talk, acts, situation)) == set()


def drained(talk: Talk) -> None:
    """The wait for the end of a translation is over, if there is one."""
    if talk.client.timers.at(Timer.DRAIN) is not None:
        talk.client.fire(Timer.DRAIN)


def test_a_client_takes_every_row_of_the_session() -> None:
    acts: Acts[Talk] = {
        "opened": lambda talk: talk.client.opened(talk.now),
        "created": hears("session.created", session={"type": "realtime"}),
        "updated": hears("session.updated", session={"type": "realtime"}),
        "another event": hears("response.created", response={"id": "r"}),
        "fatal": lambda talk: talk.error("session_expired"),
        "update": lambda talk: talk.say(m.SessionUpdate(session=m.RealtimeSession())),
        "restored": restore,
    }

    def situation(talk: Talk) -> Hashable:
        return talk.client.state, talk.client.link.state, bool(talk.client.unanswered)

    translation: Acts[Talk] = {
        **{name: acts[name] for name in ("opened", "updated", "fatal", "restored")},
        "created": hears("session.created", session={"type": "translation"}),
        "update": lambda talk: talk.say(m.SessionUpdate(session=m.TranslationSession())),
        "heard": hears("session.input_transcript.delta", delta="a"),
        "said": hears("session.output_transcript.delta", delta="a"),
        "spoken": hears("session.output_audio.delta", delta="AAAA"),
        "close": lambda talk: talk.say(m.SessionClose()),
        "closed": hears("session.closed"),
        "drained": drained,
    }
    fresh, sideband = partial(Talk, begun=False), partial(Talk, begun=False, transport="sideband")
    translating = partial(Talk, begun=False, session_type="translation")
    worlds = ((fresh, acts, situation), (sideband, acts, situation), (translating, translation, situation))
    assert untaken(sessions.SESSION, *worlds) == set()


def tick(talk: Talk) -> object:
    return talk.tick() if talk.client.deadline is not None else ()


def test_a_client_takes_every_row_of_playback() -> None:
    place = at("r", "x")
    acts: Acts[Talk] = {
        "audio": lambda talk: talk.audio("r", "x", 100),
        "half a sample": hears("response.output_audio.delta", delta="AA==", **place),
        "done": hears("response.output_audio.done", **place),
        "some was played": lambda talk: talk.listen("x", 50),
        "all was played": lambda talk: talk.listen("x", 100_000),
        "interrupt": lambda talk: talk.client.interrupt(talk.now),
        "stopped": lambda talk: talk.stopped("x", 60),
        "truncated": ITEM["truncated"],
        "tick": tick,
        "the end": lose_socket,
    }

    def speaking(**config: Any) -> Talk:
        talk = responding(**config)
        talk.generates("r", spoken("x"))
        talk.part("r", "x")
        return talk

    def situation(talk: Talk) -> Hashable:
        entry, state = talk.client.playback.get("x", 0), talk.client.link.state
        if entry is None:
            return state, talk.client.playback.dump().superseded
        return entry.state, entry.done, entry.heard_all, entry.played > 0, entry.received > 0, state

    def passes(talk: Talk) -> object:
        talk.now += 60 * MS
        return talk.client.tick(talk.now)

    clocked: Acts[Talk] = {**acts, "time passes": passes}
    by_the_clock = partial(speaking, playback="clock")
    assert untaken(PLAYBACK, (speaking, acts, situation), (by_the_clock, clocked, situation)) == set()


def test_a_client_takes_every_row_of_a_request() -> None:
    one: Acts[Talk] = {
        "ask": lambda talk: talk.ask("plain"),
        "created": lambda talk: talk.created("r", request="plain"),
        "created by voice detection": lambda talk: talk.created("r"),
        "done": lambda talk: talk.done("r"),
        "lost": lambda talk: talk.error("conversation_already_has_active_response", "plain"),
        "refused": lambda talk: talk.error("server_error", "plain"),
        "tick": tick,
        "interrupt": lambda talk: talk.client.interrupt(talk.now),
        "cancel": lambda talk: talk.say(m.ResponseCancel()),
        "nothing to cancel": lambda talk: talk.error("response_cancel_not_active"),
        "the end": lose_socket,
    }
    several: Acts[Talk] = {
        "ask": lambda talk: talk.ask("plain"),
        "ask again": lambda talk: talk.ask("again"),
        "ask for more": lambda talk: talk.ask("special", instructions="x"),
        "created": lambda talk: talk.created("r", request="plain"),
        "done": lambda talk: talk.done("r"),
        "the end": lose_socket,
        "close": lambda talk: talk.client.close(talk.now),
    }

    def situation(talk: Talk) -> Hashable:
        requests = talk.client.arbiter
        running = [
            (each.state, each.losses, each.by_order, each.is_plain)
            for each in (*requests.queue, *requests.sent, *requests.active.values())
        ]
        late = {each.state for each in requests.late}
        return tuple(running), frozenset(late), requests.unseen, response_of(talk, "r"), talk.client.link.state

    def with_policy(**policy: Any) -> Callable[[], Talk]:
        return lambda: Talk(arbiter=ArbiterPolicy(retries=1, **policy))

    tried = [(with_policy(late=late, tag_requests=late == "adopt"), one, situation) for late in ("adopt", "cancel")]
    late = (with_policy(late="cancel"), {name: one[name] for name in ("ask", "tick", "created")}, situation)
    assert untaken(REQUEST, *tried, late, (Talk, several, situation)) == set()


# -- a server: the item of its first response, and an item u of the client's -------------------------------------------


def response_id(host: Host) -> str:
    return next(iter(host.server.responses), "none")


def item_id(host: Host) -> str:
    record = host.server.responses.get(response_id(host))
    return next(iter(record.item_ids), "none") if record is not None else "none"


def thinks(content: Callable[[str], Content]) -> Callable[[Host], object]:
    return lambda host: host.think(content(response_id(host)))


def begins(kind: str) -> Callable[[Host], object]:
    return thinks(lambda id: ItemStarted(response_id=id, output_index=0, kind=cast(Any, kind), name="f"))


def finishes(status: str) -> Callable[[Host], object]:
    return thinks(lambda id: ResponseFinished(response_id=id, status=cast(Any, status)))


def about_the_item(type: str, **fields: Any) -> Callable[[Host], object]:
    return lambda host: host.hear(type, item_id=item_id(host), **fields)


def once(id: str, act: Callable[[Host], object]) -> Callable[[Host], object]:
    """Ids may be used twice, but that leads nowhere new."""
    return lambda host: act(host) if host.server.conversation.get(id) is None else ()


def sounded(id: str) -> dict[str, Any]:
    """A message of the user's in audio."""
    return {"id": id, "type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]}


def asks(most: int, **params: Any) -> Callable[[Host], object]:
    return lambda host: host.hear("response.create", **params) if len(host.server.responses) < most else ()


TURN: Acts[Host] = {
    "ask": asks(2),
    "ask out of band": asks(1, response={"conversation": "none"}),
    **{kind: begins(kind) for kind in ("text", "audio", "function_call")},
    "more text": thinks(lambda id: TextDelta(response_id=id, output_index=0, delta="a")),
    "more audio": thinks(lambda id: AudioDelta(response_id=id, output_index=0, audio=bytes(2))),
    "more arguments": thinks(lambda id: ArgumentsDelta(response_id=id, output_index=0, delta="a")),
    "item finished": thinks(lambda id: ItemFinished(response_id=id, output_index=0)),
    **{status: finishes(status) for status in ("completed", "incomplete", "failed")},
    "cancel": lambda host: host.hear("response.cancel", response_id=response_id(host)),
    "delete": about_the_item("conversation.item.delete"),
    "retrieve": about_the_item("conversation.item.retrieve"),
    "truncate": about_the_item("conversation.item.truncate", content_index=0, audio_end_ms=0),
    "an item of the client's": once("u", lambda host: host.hear("conversation.item.create", item=said("u"))),
    "a list of tools": once("x", lambda host: host.hear("conversation.item.create", item=TOOLS)),
    "the end": lambda host: host.server.receive_eof(host.now),
}


def turn_of(host: Host) -> Hashable:
    server, node = host.server, host.server.conversation.get(item_id(host))
    record = server.responses.get(response_id(host))
    response: Hashable = None
    if record is not None:
        response = record.state, record.in_conversation, tuple(stream.state for stream in record.streams.values())
    said = server.conversation.text_bytes > 0, item_id(host) in server.spoken
    others = len(server.responses), [each in host.ids for each in ("u", "x")].count(True)
    return response, item_id(host) in host.ids, node and node.state, said, others, server.link.state


def test_a_server_leaves_an_item_in_the_three_states_where_it_can_wait() -> None:
    never = untaken(serving.CONVERSATION_ITEM, (Host, TURN, turn_of))
    from_outside = {
        "conversation.item.deleted",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "internal.lost",
    }
    waiting = {"generating", "completed", "deleted"}
    # A server says in one call what a client may hear with other events between, and ends items before their response.
    assert never == {
        each
        for each in cells(serving.CONVERSATION_ITEM)
        if (each.on in from_outside and each.state not in waiting)
        or each.on == "internal.response_done"
        or each == Cell("deleted", "internal.lost")
    }


BRAIN_WITH_TOOLS: Acts[Host] = {
    "ask": asks(1),
    "a call": thinks(
        lambda id: ItemStarted(response_id=id, output_index=0, kind="mcp_call", name="f", server_label="s")
    ),
    "more arguments": thinks(lambda id: ArgumentsDelta(response_id=id, output_index=0, delta="a")),
    "item finished": thinks(lambda id: ItemFinished(response_id=id, output_index=0)),
    "an answer": thinks(lambda id: McpCallFinished(response_id=id, output_index=0, output="42")),
    "an error": thinks(lambda id: McpCallFinished(response_id=id, output_index=0, error=m.McpError(message="no"))),
    "a listing": lambda host: host.think(McpListingStarted("s")) if len(host.ids) < 2 else (),
    "the tools": lambda host: host.think(McpListingFinished("s", ())),
    "no tools": lambda host: host.think(McpListingFinished("s")),
    "the end": lambda host: host.server.receive_eof(host.now),
}
"""A server whose brain has MCP servers."""


def remote_of(host: Host) -> Hashable:
    return turn_of(host), tuple(host.server.remote.calls), tuple(host.server.remote.listings)


def test_a_server_takes_every_row_of_remote_work() -> None:
    assert untaken(serving.MCP, (Host, BRAIN_WITH_TOOLS, remote_of)) == set()


def test_a_server_closes_a_part_in_one_breath() -> None:
    never = untaken(serving.CONTENT_PART, (Host, TURN, turn_of), (Host, BRAIN_WITH_TOOLS, remote_of))
    passed = {"text_done", "audio_done", "transcript_first", "transcript_done", "arguments_done"}
    assert never == {
        each
        for each in cells(serving.CONTENT_PART)
        if each.on == "internal.response_done"
        or (each.on == "internal.lost" and each.state in passed)
        or each == Cell("absent", "internal.item_done")
        or each == Cell("audio_done", "response.output_audio_transcript.delta")
    }


def test_a_server_ends_a_response_where_it_is_or_where_it_is_cancelled() -> None:
    assert untaken(serving.RESPONSE, (Host, TURN, turn_of)) == {
        Cell("in_progress", "internal.activity"),  # for who listens
        Cell("cancelling", "internal.activity"),
        Cell("in_progress", "response.done", "is_cancelled"),
        Cell("cancelling", "response.done", "is_completed"),
        Cell("cancelling", "response.done", "is_incomplete"),
        Cell("cancelling", "response.done", "is_failed"),
        Cell("cancelling", "internal.lost"),  # a cancel ends in one call
    }


def test_a_server_takes_every_row_of_the_input_audio_buffer_where_it_can_wait() -> None:
    acts: Acts[Host] = {
        "append": lambda host: host.append(100),
        "append nonsense": lambda host: host.hear("input_audio_buffer.append", audio="?"),
        "commit": lambda host: host.hear("input_audio_buffer.commit"),
        "clear": lambda host: host.hear("input_audio_buffer.clear"),
        "started": lambda host: host.speech_started(0),
        "stopped": lambda host: host.speech_stopped(host.server.input_audio_buffer.total_ms),
        "idle": lambda host: host.server.fire(Timer.IDLE),
        "restored": restore,
    }

    def situation(host: Host) -> Hashable:
        server = host.server
        uncommitted = min(200, server.input_audio_buffer.uncommitted_ms)
        return server.input_audio_buffer_state, server.speech_item_id is None, server.speech_cleared, uncommitted

    never = untaken(serving.INPUT_AUDIO_BUFFER, (Host, acts, situation))
    # What ended is committed in the same call.
    assert never == {
        each for each in cells(serving.INPUT_AUDIO_BUFFER) if each.state == "stopped" and "committed" not in each.on
    }


def test_a_server_takes_every_row_of_the_session_that_is_not_for_who_listens() -> None:
    acts: Acts[Host] = {
        "opened": lambda host: host.server.opened(host.now),
        "update": lambda host: host.update(),
        "another kind": lambda host: host.hear("session.update", session={"type": "transcription"}),
        "opened for the beta": lambda host: (host.server.meant("beta"), host.server.opened(host.now)),
        "a fatal error": lambda host: host.server.send(error_event("invalid_api_key"), host.now),
        "the end of its time": lambda host: host.server.fire(Timer.EXPIRY),
        "restored": restore,
    }

    def situation(host: Host) -> Hashable:
        return host.server.state, host.server.link.state

    translation: Acts[Host] = {
        **acts,
        "update": lambda host: host.hear("session.update", session={"audio": {}}),
        "audio": lambda host: host.hear("session.input_audio_buffer.append", audio="AAAAAAAA"),
        "no audio": lambda host: host.hear("session.input_audio_buffer.append", audio="%"),
        "close": lambda host: host.hear("session.close"),
        "heard": lambda host: host.think(SourceText("a")),
        "said": lambda host: host.think(TranslatedText("a")),
        "spoken": lambda host: host.think(TranslatedAudio(b"ab")),
        "finished": lambda host: host.think(TranslationFinished()),
    }
    conversing = partial(Host, begun=False, dialect="ga")
    translating = partial(Host, begun=False, session={"type": "translation"})
    assert untaken(serving.SESSION, (conversing, acts, situation), (translating, translation, situation)) == {
        Cell("awaiting", "internal.early_event"),
    }


def test_a_server_takes_every_row_of_a_transcription() -> None:
    def transcribed(result: TranscriptionResult) -> Callable[[Host], object]:
        return lambda host: host.server.transcribed("u", 0, result, host.now)

    acts: Acts[Host] = {
        "an item": once("u", lambda host: host.hear("conversation.item.create", item=sounded("u"))),
        "segment": transcribed(TranscriptSegment("s", "a", "A", 0.0, 1.0)),
        "delta": transcribed(TranscriptDelta("a")),
        "completed": transcribed(TranscriptCompleted("a")),
        "failed": transcribed(TranscriptFailed("no")),
    }

    def situation(host: Host) -> Hashable:
        return host.server.conversation.transcription("u", 0).state if host.ids else None

    assert untaken(serving.TRANSCRIPTION, (Host, acts, situation)) == set()


# -- the link, of both levels ------------------------------------------------------------------------------------------


class Socket:
    """An engine, its clock, and what may befall its socket. At the level of bytes a server, which needs no endpoint."""

    def __init__(self, *, speaks_bytes: bool) -> None:
        self.now = 0
        self.config = SessionConfig(dials=2)
        self.engine: Connection | Session
        if speaks_bytes:
            self.engine = Connection(Role.SERVER, ConnectionConfig(session=self.config), now=0, entropy=Numbers())
        else:
            self.engine = Session(Role.SERVER, self.config, now=0, entropy=Numbers())

    @property
    def session(self) -> Session:
        return self.engine.session if isinstance(self.engine, Connection) else self.engine

    def receive(self, data: bytes) -> None:
        if isinstance(self.engine, Connection):
            self.engine.receive_data(data, self.now)

    def upgrade(self) -> None:
        self.receive(
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        if isinstance(self.engine, Connection):
            self.engine.accept(self.now)

    def tick(self) -> None:
        if self.engine.deadline is not None:
            self.now = self.engine.deadline
            self.engine.tick(self.now)

    def restore(self) -> None:
        snapshot: Snapshot = self.engine.snapshot(self.now)
        Connection.restore(snapshot, ConnectionConfig(session=self.config), now=self.now, entropy=Numbers())


class Dialler(Socket):
    """A client's engine, and a server's wire at the other end, which may say that the session expired."""

    def __init__(self, *, speaks_bytes: bool, dials: int = 2) -> None:
        self.now = 0
        self.config = SessionConfig(dials=2, renewal=RenewalPolicy(dials=dials))
        self.connection = ConnectionConfig(session=self.config, endpoint=Endpoint.custom("ws://h/"))
        if speaks_bytes:
            self.engine = Connection(Role.CLIENT, self.connection, now=0, entropy=Numbers())
        else:
            self.engine = Session(Role.CLIENT, self.config, now=0)
        self.peer = self._wire()

    def _wire(self) -> Wire:
        limits = self.config.limits
        return Wire(
            Role.SERVER,
            entropy=Numbers(),
            max_message=limits.message_bytes,
            max_fragments=limits.fragments,
            max_head=limits.http_head_bytes,
        )

    def open(self) -> None:
        actions = self.engine.opened(self.now, unix_ns=self.now)
        self.peer = self._wire()
        self.peer.receive(b"".join(action.data for action in actions if isinstance(action, Transmit)))

    def upgrade(self) -> None:
        if self.session.link.state == "handshaking":
            self.receive(self.peer.accept()[0])

    def hear(self, type: str, **fields: Any) -> None:
        text = json.dumps({"type": type, **fields}).encode()
        if isinstance(self.engine, Session):
            self.engine.receive_message(text, self.now)
        elif self.peer.open:
            self.receive(self.peer.text(text))

    def created(self, seconds: int = 3600) -> None:
        self.hear("session.created", session={"type": "realtime", "expires_at": seconds + self.now // 1_000_000_000})

    def oversleep(self) -> None:
        self.now += 60_000_000_000
        self.engine.tick(self.now)

    def restore(self) -> None:
        Connection.restore(self.engine.snapshot(self.now), self.connection, now=self.now, entropy=Numbers())


def peer_closes(code: int) -> Callable[[Dialler], object]:
    def close(socket: Dialler) -> None:
        if isinstance(socket.engine, Session):
            socket.engine.receive_eof(socket.now, code)
        elif socket.peer.open:
            socket.receive(socket.peer.close(code, ""))

    return close


DIAL: Acts[Dialler] = {
    "start": lambda dialler: dialler.engine.start(dialler.now),
    "opened": Dialler.open,
    "upgraded": Dialler.upgrade,
    "created": Dialler.created,
    "expired": lambda dialler: dialler.hear("error", error={"type": "x", "code": "session_expired", "message": "m"}),
    "failed": lambda dialler: dialler.engine.transport_failed(Fault("dial", "no"), dialler.now),
    "the end": lambda dialler: dialler.engine.receive_eof(dialler.now),
    "close": lambda dialler: dialler.engine.close(dialler.now),
    "the peer closes": peer_closes(1000),
    "the peer goes away": peer_closes(1001),
    "nonsense": lambda dialler: dialler.receive(b"\xff\xff\r\n\r\n"),
    "tick": Dialler.tick,
    "restored": Dialler.restore,
}


def dialler_of(dialler: Dialler) -> Hashable:
    timer = dialler.engine.next_timer
    end = dialler.session.link.end
    session = cast(ClientSession, dialler.session)
    return (
        session.link.state, session.link.attempt, timer and timer[0], end and end.code, session.renewal.state,
        session.state, session.generation > 1,
    )  # fmt: skip


def test_an_engine_takes_every_row_of_the_link() -> None:
    acts: Acts[Socket] = {
        "start": lambda socket: socket.engine.start(socket.now),
        "opened": lambda socket: socket.engine.opened(socket.now),
        "upgraded": Socket.upgrade,
        "failed": lambda socket: socket.engine.transport_failed(Fault("dial", "no"), socket.now),
        "the end": lambda socket: socket.engine.receive_eof(socket.now),
        "close": lambda socket: socket.engine.close(socket.now),
        "the peer closes": lambda socket: socket.receive(b"\x88\x80\0\0\0\0"),
        "nonsense": lambda socket: socket.receive(b"\xff\xff\r\n\r\n"),
        "tick": Socket.tick,
        "restored": Socket.restore,
    }

    def situation(socket: Socket) -> Hashable:
        timer = socket.engine.next_timer
        return socket.session.link.state, socket.session.link.attempt, timer and timer[0]

    levels = [(partial(Socket, speaks_bytes=each), acts, situation) for each in (False, True)]
    clients = [(partial(Dialler, speaks_bytes=each), DIAL, dialler_of) for each in (False, True)]
    with watched(LINK) as taken:
        for level in levels:
            explore(*level)
        for client in clients:
            explore(*client)
    # The end of the stream during a handshake is a failure of the handshake, and is stepped as that.
    assert set(cells(LINK)) - set(taken) == {Cell("handshaking", "internal.eof")}


def test_a_client_takes_every_row_of_the_renewal() -> None:
    def added(dialler: Dialler) -> None:
        session = cast(ClientSession, dialler.session)
        if not session.conversation.items or session.renewal.state == "renewing":
            dialler.hear("conversation.item.added", item=said("u"))

    acts: Acts[Dialler] = {
        **{name: DIAL[name] for name in ("start", "opened", "created", "expired", "the end", "tick")},
        "created for longer": lambda dialler: dialler.created(7200),
        "a minute later": Dialler.oversleep,
        "added": added,
        "asked": lambda dialler: dialler.engine.send(m.InputAudioBufferClear(), dialler.now),
        "answered": lambda dialler: dialler.hear("input_audio_buffer.cleared"),
    }

    def situation(dialler: Dialler) -> Hashable:
        session = cast(ClientSession, dialler.session)
        timer = session.next_timer
        return (
            session.link.state, session.renewal.state, timer and timer[0], session.renewal.expires_at is None,
            bool(session.conversation.items), bool(session.unanswered), session.generation > 1, session.link.dials,
        )  # fmt: skip

    assert untaken(RENEWAL, (partial(Dialler, speaks_bytes=False, dials=4), acts, situation)) == set()
