"""The classes of the document that applications copy from, run as they stand beside the toolkit.

``python tests/bench/seeds.py`` prints the two tables of ``docs/seeds.md``: what each costs, and what each says of the
same events. The document is not part of the repository; its code is taken out of it when this runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec import Struct

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).parents[1]))

from antiphon import Deliver, Role, SessionConfig
from antiphon import messages as m
from antiphon.engine.client import ClientSession
from antiphon.engine.codec import encode
from antiphon.toolkit import ClientEventBuilder, EventManager, History, Router, Streams
from bench.timing import Rounds, Row, measure
from shared_data import SHARED

SEEDS = SHARED / "seeds"
DOCUMENT = "000_4633c263a7c45f6b.txt"
ROUNDS = 15
US = 1000


def code_blocks(text: str) -> list[str]:
    """The Python of a document, block by block."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def load() -> dict[str, Any] | None:
    """The names that the document's code defines; None where the document is not."""
    path = SEEDS / DOCUMENT
    if not path.exists():
        return None
    module = ModuleType("code_of_the_document")
    sys.modules[module.__name__] = module  # where dataclasses look for themselves
    names: dict[str, Any] = vars(module)
    with contextlib.redirect_stdout(io.StringIO()):  # each block ends with a demonstration
        for block in code_blocks(path.read_text(encoding="utf-8")):
            exec(compile(block, path.name, "exec"), names)
    return names


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing, without the price of an event loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


def told(type: str, **fields: Any) -> str:
    """An event as a server writes it."""
    return json.dumps({"type": type, "event_id": "event_1", **fields})


def item(item_id: str, text: str = "", role: str = "user", **fields: Any) -> dict[str, Any]:
    """A message."""
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text}] if text else []
    return {"id": item_id, "type": "message", "role": role, "status": "completed", "content": content, **fields}


def place(item_id: str, response_id: str = "resp_1") -> dict[str, Any]:
    """The fields that say where a delta belongs."""
    return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}


def beginning(item_id: str, response_id: str = "resp_1", kind: str = "text") -> tuple[str, ...]:
    """A response that begins an item of one part."""
    empty = {**item(item_id, role="assistant"), "status": "in_progress"}
    part = {"type": "text", "text": ""} if kind == "text" else {"type": "audio", "transcript": ""}
    return (
        told("response.created", response={"id": response_id, "status": "in_progress", "conversation_id": "conv_1"}),
        told("response.output_item.added", response_id=response_id, output_index=0, item=empty),
        told("conversation.item.created", item=empty, previous_item_id=None),
        told("response.content_part.added", part=part, **place(item_id, response_id)),
    )


# -- what it costs -----------------------------------------------------------------------------------------------------


def speed(seeds: dict[str, Any], rounds: int = ROUNDS) -> list[Row]:
    """One row for each thing that both do. Ours is with the whole engine, wherever text comes in."""
    return [
        *_routing(seeds, rounds),
        *_streaming(seeds, rounds),
        *_managing(seeds, rounds),
        *_deleting(seeds, rounds),
        *_building(seeds, rounds),
    ]


def _row(name: str, theirs: str, taken: Rounds, least: float) -> Row:
    """The best round of each: other work on the machine only ever makes one slower."""
    ours, peer = (min(taken.costs[who]) / US for who in ("ours", "theirs"))
    return Row(name, theirs, ours, peer, "us", peer / ours, least, ">=")


DELTA = told("response.text.delta", delta=" hello", **place("item_1"))


def _session() -> ClientSession:
    session = ClientSession(Role.CLIENT, SessionConfig(view="beta"), now=0)
    session.opened(0)
    for text in beginning("item_1"):
        session.receive_message(text, 0)
    return session


def _routing(seeds: dict[str, Any], rounds: int) -> list[Row]:
    theirs = seeds["EventRouter"]()
    ours: Router[Any] = Router()
    for router in (theirs, ours):
        router.on("response.text.delta", lambda event: None)
        router.on_category("response", lambda event: None)
    parse, session = seeds["ServerEvent"].from_json, _session()

    def route() -> None:
        for action in session.receive_message(DELTA, 0):
            if type(action) is Deliver:
                ours.route(action.event)

    event = parse(DELTA)
    (deliver,) = (each for each in session.receive_message(DELTA, 0) if isinstance(each, Deliver))
    alone = measure({"theirs": lambda: finish(theirs.route(event)), "ours": lambda: ours.route(deliver.event)}, rounds)
    whole = measure({"theirs": lambda: finish(theirs.route(parse(DELTA))), "ours": route}, rounds)
    return [
        _row("an event to two handlers", "EventRouter.route", alone, 1),
        _row("the same from its text, ours through the engine", "from_json + route", whole, 1),
    ]


def _streaming(seeds: dict[str, Any], rounds: int) -> list[Row]:
    theirs, ours = seeds["StreamingEventHandler"](), Streams()
    event = seeds["ServerEvent"].from_json(DELTA)
    typed = m.ResponseOutputTextDelta(delta=" hello", **place("item_1"))
    theirs.on_text_delta(lambda delta, text: None)
    ours.on_delta("text", lambda update: None)

    def handle() -> None:
        finish(theirs.handle_event(event))
        if len(theirs.current_text) > 10_000:
            theirs.reset()

    taken = measure({"theirs": handle, "ours": lambda: ours.feed(typed)}, rounds)
    return [_row("a delta to its stream and a callback", "StreamingEventHandler", taken, 1)]


def _managing(seeds: dict[str, Any], rounds: int) -> list[Row]:
    small, large = seeds["RealtimeEventManager"](), seeds["ComprehensiveEventSystem"]()
    ours: EventManager[None] = EventManager(view="beta")
    for text in beginning("item_1"):
        finish(small.process_event(text))
        finish(large.process_raw(text))
        ours.feed(text, 0)
    for _ in range(5000):  # until each is as full as it gets
        finish(small.process_event(DELTA))
        finish(large.process_raw(DELTA))
        ours.feed(DELTA, 0)
    now = iter(range(1, 1 << 60)).__next__

    def trim() -> None:
        small.streaming.reset()
        large.streaming.reset()
        large.event_sequence.clear()  # which is never trimmed
        large.event_timing.clear()

    def simple() -> None:
        finish(small.process_event(DELTA))

    def comprehensive() -> None:
        finish(large.process_raw(DELTA))
        if len(large.event_sequence) > 20_000:
            trim()

    taken = measure({"theirs": simple, "ours": lambda: ours.feed(DELTA, now())}, rounds)
    full = measure({"theirs": comprehensive, "ours": lambda: ours.feed(DELTA, now())}, rounds)
    return [
        _row("an event into everything, when the log is full", "RealtimeEventManager", taken, 0.5),
        _row("the same with its analytics and raw log", "ComprehensiveEventSystem", full, 1),
    ]


def _deleting(seeds: dict[str, Any], rounds: int) -> list[Row]:
    count = 10_000
    theirs, ours = seeds["ConversationManager"](), History()
    parse = seeds["ServerEvent"].from_json
    previous = None
    for number in range(count):
        text = told("conversation.item.created", item=item(f"item_{number}", "x"), previous_item_id=previous)
        previous = f"item_{number}"
        finish(theirs.handle_event(parse(text)))
        ours.feed(text)
    newest = told("conversation.item.created", item=item("newest", "x"), previous_item_id=previous)
    gone = told("conversation.item.deleted", item_id="newest")

    def come_and_go_theirs() -> None:
        finish(theirs.handle_event(parse(newest)))
        finish(theirs.handle_event(parse(gone)))

    def come_and_go() -> None:
        ours.feed(newest)
        ours.feed(gone)

    taken = measure({"theirs": come_and_go_theirs, "ours": come_and_go}, rounds)
    return [_row("an item comes and goes behind 10,000 others", "ConversationManager", taken, 1)]


def _building(seeds: dict[str, Any], rounds: int) -> list[Row]:
    theirs, ours = seeds["ClientEventBuilder"](), ClientEventBuilder()
    keys: dict[str, Any] = {"item_type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    taken = measure(
        {
            "theirs": lambda: json.dumps(theirs.conversation_item_create(**keys)),
            "ours": lambda: encode(ours.conversation_item_create(**keys)),
        },
        rounds,
    )
    return [_row("a message built (ours: checked) and encoded", "ClientEventBuilder", taken, 0.05)]


# -- what it says ------------------------------------------------------------------------------------------------------


class Compared(Struct, frozen=True):
    """What both say of the same events. ``right`` is what happened."""

    what: str
    theirs: object
    ours: object
    right: object


def results(seeds: dict[str, Any]) -> list[Compared]:
    """Where the two differ."""
    with contextlib.redirect_stdout(io.StringIO()):  # theirs prints
        return [compare(seeds) for compare in _COMPARISONS]


def _managers(seeds: dict[str, Any], texts: Iterable[str]) -> tuple[Any, EventManager[None]]:
    theirs = seeds["RealtimeEventManager"]()
    ours: EventManager[None] = EventManager(view="beta")
    for number, text in enumerate(texts):
        finish(theirs.process_event(text))
        ours.feed(text, number)
    return theirs, ours


def _two_items_at_once(seeds: dict[str, Any]) -> Compared:
    deltas = (
        told("response.text.delta", delta=word, **place(item_id))
        for item_id, word in (("item_1", "one "), ("item_2", "uno "), ("item_1", "two"), ("item_2", "dos"))
    )
    theirs, ours = _managers(seeds, deltas)
    said = tuple(stream.text for stream in ours.streams.streams.values())
    return Compared("two items that stream at once", theirs.streaming.current_text, said, ("one two", "uno dos"))


def _a_response_beside(seeds: dict[str, Any]) -> Compared:
    texts = (
        *beginning("item_1"),
        told("response.text.delta", delta="Good ", **place("item_1")),
        told("response.created", response={"id": "resp_2", "status": "in_progress", "conversation_id": None}),
        told("response.text.delta", delta="morning", **place("item_1")),
    )
    theirs, ours = _managers(seeds, texts)
    (stream,) = ours.streams.of_item("item_1")
    return Compared("an answer beside which another begins", theirs.streaming.current_text, stream.text, "Good morning")


def _names_of_today(seeds: dict[str, Any]) -> Compared:
    theirs, ours = _managers(seeds, [told("response.output_text.delta", delta="Hi", **place("item_1"))])
    (stream,) = ours.streams.of_item("item_1")
    return Compared("a delta by the name that it has had since GA", theirs.streaming.current_text, stream.text, "Hi")


def _spoken_answer(seeds: dict[str, Any]) -> Compared:
    spoken = {**item("item_1", role="assistant"), "content": [{"type": "audio", "transcript": "It is noon."}]}
    theirs, ours = _managers(seeds, [told("conversation.item.created", item=spoken, previous_item_id=None)])
    said = ours.history.transcript.text().strip()
    return Compared(
        "the transcript of a spoken answer", theirs.conversation.get_transcript(), said, "assistant: It is noon."
    )


def _written_answer(seeds: dict[str, Any]) -> Compared:
    texts = (
        *beginning("item_1"),
        told("response.text.done", text="Noon.", **place("item_1")),
        told(
            "response.done",
            response={"id": "resp_1", "status": "completed", "output": [item("item_1", "Noon.", "assistant")]},
        ),
    )
    theirs, ours = _managers(seeds, texts)
    said = ours.history.transcript.text().strip()
    return Compared(
        "the transcript of a written answer", theirs.conversation.get_transcript(), said, "assistant: Noon."
    )


def _cut(seeds: dict[str, Any]) -> Compared:
    texts = (
        *beginning("item_1", kind="audio"),
        told("response.audio.delta", delta="AAAA" * 6400, **place("item_1")),  # 400 ms
        told("response.audio_transcript.delta", delta="one two three four", **place("item_1")),
        told("conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=200),
    )
    theirs, ours = _managers(seeds, texts)
    (stream,) = (each for each in ours.streams.of_item("item_1") if each.kind == "transcript")
    return Compared(
        "words of an answer cut at its half", theirs.streaming.current_audio_transcript, stream.text, "one two"
    )


def _status_of_the_cut(seeds: dict[str, Any]) -> Compared:
    texts = (
        *beginning("item_1"),
        told("conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=0),
    )
    theirs, ours = _managers(seeds, texts)
    node = ours.history.get("item_1")
    assert node is not None
    return Compared("its status", theirs.conversation.items["item_1"].status, node.status, "in_progress")


def _order(seeds: dict[str, Any]) -> Compared:
    texts = (
        told("conversation.item.created", item=item("b", "second"), previous_item_id=None),
        told("conversation.item.created", item=item("c", "third"), previous_item_id="b"),
        told("conversation.item.created", item=item("x", "between"), previous_item_id="b"),
    )
    theirs, ours = _managers(seeds, texts)
    order = [node.id for node in ours.history.items]
    return Compared("the order of an item put between others", theirs.conversation.item_order, order, ["b", "x", "c"])


def _early_transcription(seeds: dict[str, Any]) -> Compared:
    name = "conversation.item.input_audio_transcription.completed"
    heard = item("item_1")
    texts = (
        told(name, item_id="item_1", content_index=0, transcript="What time is it?"),
        told("conversation.item.created", item={**heard, "content": [{"type": "input_audio"}]}, previous_item_id=None),
    )
    theirs, ours = _managers(seeds, texts)
    said = ours.history.transcript.text().strip()
    right = "user: What time is it?"
    return Compared("a transcription that comes before its item", theirs.conversation.get_transcript(), said, right)


def _total(seeds: dict[str, Any]) -> Compared:
    theirs, ours = _managers(seeds, [told("rate_limits.updated", rate_limits=[])] * 1500)
    counted = theirs.get_statistics()["total_events"]
    return Compared("events counted of 1,500", counted, ours.statistics().events, 1500)


def _sequence(seeds: dict[str, Any]) -> Compared:
    texts = (
        *beginning("item_1", kind="audio"),
        *(told("response.audio_transcript.delta", delta="word ", **place("item_1")) for _ in range(3)),
        *(told("response.audio.delta", delta="AAAA", **place("item_1")) for _ in range(3)),
        told("response.audio.done", **place("item_1")),
        told("response.audio_transcript.done", transcript="word word word", **place("item_1")),
        told("response.content_part.done", part={"type": "audio", "transcript": "word word word"}, **place("item_1")),
        told("conversation.item.done", item=item("item_1", role="assistant")),
        told("response.output_item.done", response_id="resp_1", output_index=0, item=item("item_1", role="assistant")),
        told("response.done", response={"id": "resp_1", "status": "completed", "output": []}),
    )
    theirs = seeds["ComprehensiveEventSystem"]()
    ours: EventManager[None] = EventManager()
    for text in texts:
        finish(theirs.process_raw(text))
        ours.feed(text)
    rate = round(theirs.check_sequence("response_flow")["match_rate"], 2)
    return Compared(
        "how much of an orderly spoken answer matches", rate, ours.check_sequence("audio response").rate, 1.0
    )


REFUSED = told(
    "error", error={"type": "rate_limit_error", "code": None, "message": "slow down", "event_id": "event_of_mine"}
)


def _whose_error(seeds: dict[str, Any]) -> Compared:
    theirs, ours = _managers(seeds, [REFUSED])
    (mine,) = ours.recent_errors()
    return Compared(
        "the command that an error is about", theirs.error_handler.errors[0].event_id, mine.event_id, "event_of_mine"
    )


def _retried(seeds: dict[str, Any]) -> Compared:
    theirs = seeds["ErrorHandler"]()
    sent: list[m.ClientEvent] = []
    ours: EventManager[None] = EventManager(send=sent.append)
    ours.send(m.SessionUpdate(event_id="event_of_mine", session=m.RealtimeSession(instructions="x")), 0)
    note = finish(theirs.handle_error(seeds["ServerEvent"].from_json(REFUSED)))
    ours.feed(REFUSED, 0)
    assert ours.deadline is not None
    again = [event.type for event, _ in ours.tick(ours.deadline)]
    return Compared("what comes of a rate limit", note, again, ["session.update"])


def _no_json(seeds: dict[str, Any]) -> Compared:
    ours: EventManager[None] = EventManager()
    try:
        finish(seeds["RealtimeEventManager"]().process_event("no JSON"))
        theirs = "goes on"
    except ValueError as error:
        theirs = f"raises {type(error).__name__}"
    ours.feed("no JSON", 0)
    return Compared("text that is no JSON", theirs, "goes on", "goes on")


def _failing_handler(seeds: dict[str, Any]) -> Compared:
    theirs, ours = seeds["EventRouter"](), Router[Any]()
    for router in (theirs, ours):
        router.on_all(lambda event: 1 / 0)
    reached: list[str] = []
    ours.on_error(lambda failed: reached.append(type(failed.exception).__name__))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        finish(theirs.route(seeds["ServerEvent"].from_json(REFUSED)))
    ours.route(m.InputAudioBufferCleared())
    lost = f"printed: {printed.getvalue().strip()}"
    return Compared("what a handler raises", lost, f"told: {reached[0]}", "told: ZeroDivisionError")


def _cleared(seeds: dict[str, Any]) -> Compared:
    theirs = seeds["ClientEventBuilder"]().session_update(turn_detection=None, tools=[])["session"]
    update = json.loads(encode(ClientEventBuilder().session_update(turn_detection=None, tools=[])))["session"]
    right = {"type": "realtime", "tools": [], "audio": {"input": {"turn_detection": None}}}
    return Compared("an update that ends turn detection and takes the tools away", theirs, update, right)


def _role_missing(seeds: dict[str, Any]) -> Compared:
    theirs = seeds["ClientEventBuilder"]().conversation_item_create("message")["item"]
    try:
        ClientEventBuilder().conversation_item_create("message")
        ours = "built"
    except Exception as error:
        ours = f"refused: {getattr(error, 'code', None)}, {getattr(error, 'param', None)}"
    return Compared(
        "a message without role and content", theirs, ours, "refused: missing_required_parameter, item.role"
    )


_COMPARISONS: tuple[Callable[[dict[str, Any]], Compared], ...] = (
    _two_items_at_once,
    _a_response_beside,
    _names_of_today,
    _spoken_answer,
    _written_answer,
    _cut,
    _status_of_the_cut,
    _order,
    _early_transcription,
    _total,
    _sequence,
    _whose_error,
    _retried,
    _no_json,
    _failing_handler,
    _cleared,
    _role_missing,
)


def main() -> int:
    """Print both tables."""
    seeds = load()
    if seeds is None:
        print(f"{DOCUMENT} is not here, and it is no part of the repository", file=sys.stderr)
        return 1
    print("| what | theirs | us | ours, us | times faster |\n|---|---|---|---|---|")
    with contextlib.redirect_stderr(io.StringIO()):
        rows = speed(seeds)
    for row in rows:
        print(f"| {row.name} | `{row.peer_name}` | {row.peer:.1f} | {row.ours:.1f} | {row.ratio:.1f} |")
    print("\n| what | theirs | ours |\n|---|---|---|")
    for compared in results(seeds):
        print(f"| {compared.what} | `{compared.theirs!r}` | `{compared.ours!r}` |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
