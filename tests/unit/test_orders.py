"""One conversation in every order that its server may tell it in, and in orders that no server should.

A `Score` is a conversation as a partial order of lines: what the server says and what the application asks. Its edges
are those that hold on the wire; everything else is free. Whatever order is played, the client must end with the list
that the server has, say the same of each item, and report nothing. Where edges are broken, or events are left out, it
must not raise, and tell as much of the same conversation as it was told.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon import Actions, LocalProtocolError
from antiphon import messages as m
from unit.engine_helpers import Talk, at, call

Perform = Callable[[Talk], Actions]

WORDS = "one two three four five six seven eight nine ten eleven twelve"


def server(type: str, **fields: Any) -> Perform:
    return lambda talk: talk.hear(type, **fields)


def both(*performs: Perform) -> Perform:
    """Neighbours: nothing comes between them."""
    return lambda talk: tuple(action for perform in performs for action in perform(talk))


def command(event: m.ClientEvent) -> Perform:
    return lambda talk: talk.say(event)


class Line:
    """One line of the score. ``after`` are the lines that come before it; ``kind`` is what it is, ``item_id`` whose
    beginning or end it tells."""

    def __init__(self, perform: Perform, after: set[int], kind: str, item_id: str) -> None:
        self.perform = perform
        self.after = after
        self.kind = kind
        self.item_id = item_id


class Expected:
    """What the server knows of one item."""

    def __init__(self, text: str, status: str = "completed", added: int = 0) -> None:
        self.text = text
        self.status = status
        self.added = added
        self.cut = False


class Score:
    """A conversation that is being written down; ``order`` is the server's list, ``items`` what is in it."""

    def __init__(self, turns: Sequence[tuple[str, int]]) -> None:
        self.turns = turns
        self.lines: list[Line] = []
        self.order: list[str] = []
        self.items: dict[str, Expected] = {}
        self._last: dict[str, int] = {}
        self._behind: dict[str | None, int] = {}  # the newest line that put something behind this item
        self._names = Counter[str]()
        self._asked: dict[str, list[int]] = {}
        self._answered: dict[str, list[int]] = {}
        for turn, number in turns:
            getattr(self, turn)(number)

    def __repr__(self) -> str:
        return f"Score({self.turns})"

    # -- writing -------------------------------------------------------------------------------------------------------

    def named(self, item_id: str, ask: int, answer: int) -> None:
        """A command names the item, which is not deleted before it is asked for, nor before it is answered."""
        self._asked.setdefault(item_id, []).append(ask)
        self._answered.setdefault(item_id, []).append(answer)

    def line(
        self, perform: Perform, *after: int | None, kind: str = "other", chain: str = "", item_id: str = ""
    ) -> int:
        """Write a line. Those of one ``chain`` keep their order."""
        number = len(self.lines)
        before = {each for each in after if each is not None}
        if chain:
            if chain in self._last:
                before.add(self._last[chain])
            self._last[chain] = number
        self.lines.append(Line(perform, before, kind, item_id))
        return number

    def name(self, prefix: str) -> str:
        self._names[prefix] += 1
        return f"{prefix}{self._names[prefix]}"

    def place(self, item_id: str, expected: Expected, number: int, previous: str | None) -> None:
        """The line ``number`` puts an item behind ``previous``; it comes after that, and after what came there."""
        line = self.lines[number]
        if previous is not None:
            line.after.add(self.items[previous].added)
        if previous in self._behind:
            line.after.add(self._behind[previous])
        self._behind[previous] = number
        self.order.insert(0 if previous is None else self.order.index(previous) + 1, item_id)
        expected.added = number
        self.items[item_id] = expected

    @property
    def end(self) -> str | None:
        return self.order[-1] if self.order else None

    def complete(
        self, item: dict[str, Any], text: str, previous: str | None, *after: int | None, before: Sequence[Perform] = ()
    ) -> int:
        """An item that is added and done in neighbouring events."""
        fields = {"previous_item_id": previous, "item": item}
        events = [server("conversation.item.added", **fields), server("conversation.item.done", **fields)]
        number = self.line(both(*before, *events), *after, kind="item")
        self.place(item["id"], Expected(text), number, previous)
        return number

    # -- the turns -----------------------------------------------------------------------------------------------------

    def client_item(self, number: int) -> None:
        """The application adds a message: at the end, at the front, or behind another item."""
        item_id = self.name("mine")
        wanted = ("end", "root", "middle")[number % 3]
        members = [each for each in self.order if self.items[each].status != "in_progress"]
        asked: Any = "root" if wanted == "root" else None
        previous = None if wanted == "root" else self.end
        known = None
        if wanted == "middle" and members:
            asked = previous = members[number % len(members)]
            known = self.items[previous].added
        message = m.MessageItem(id=item_id, role="user", content=[m.InputText(text=item_id)])
        ask = self.line(
            command(m.ConversationItemCreate(item=message, previous_item_id=asked)),
            known,
            kind="command",
            chain="create",
        )
        shown = {
            "id": item_id,
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": item_id}],
        }
        added = self.complete(shown, item_id, previous, ask)
        self.lines[added].after |= {self._last["created"]} if "created" in self._last else set()
        self._last["created"] = added
        if known is not None and previous is not None:
            self.named(previous, ask, added)

    def user_audio(self, number: int) -> None:
        """The user speaks: found by voice detection, committed by hand, or silent until a timeout."""
        item_id = self.name("voice")
        kind = ("detected", "committed", "timeout")[number % 3]
        after = None
        if kind == "detected":
            for type, field in (("speech_started", "audio_start_ms"), ("speech_stopped", "audio_end_ms")):
                self.line(
                    server(f"input_audio_buffer.{type}", item_id=item_id, **{field: 10}), kind="buffer", chain="buffer"
                )
        elif kind == "committed":
            self.line(lambda talk: talk.client.append_audio(bytes(9600), talk.now), kind="command", chain="buffer")
            self.line(command(m.InputAudioBufferCommit()), kind="command", chain="buffer")
        else:
            self.line(
                server("input_audio_buffer.timeout_triggered", item_id=item_id, audio_start_ms=0, audio_end_ms=10),
                kind="buffer",
                chain="buffer",
            )
            nudge = self.name("nudge")
            item = {"id": nudge, "type": "message", "role": "system", "status": "completed"}
            content = [{"type": "input_text", "text": "Say something."}]
            after = self.complete({**item, "content": content}, "Say something.", self.end, self._last["buffer"])
        previous = self.end
        committed = self.line(
            server("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous),
            after,
            kind="buffer",
            chain="buffer",
        )
        heard = {"type": "input_audio", "transcript": None}
        item = {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": [heard]}
        self.complete(item, "" if kind == "timeout" else self.transcript(item_id, number), previous, committed)

    def transcript(self, item_id: str, number: int) -> str:
        """The transcription of an item, beside all else. What it comes to."""
        said = f"{item_id} said {WORDS[: number % 40]}"
        place = {"item_id": item_id, "content_index": 0}
        event, chain = "conversation.item.input_audio_transcription", f"transcript {item_id}"
        for half in (said[:5], said[5:]) if number % 2 else ():
            self.line(server(f"{event}.delta", delta=half, **place), kind="transcript", chain=chain)
        if number % 5 == 1:
            error = {"type": "transcription_error", "message": "no"}
            self.line(server(f"{event}.failed", error=error, **place), kind="transcript", chain=chain)
            return said if number % 2 else ""
        done = {**place, "usage": {"type": "duration", "seconds": 1}}
        self.line(server(f"{event}.completed", transcript=said, **done), kind="transcript", chain=chain)
        return said

    def response(self, number: int) -> None:
        """The model answers: in several items and parts, beside one another; to its end, or cancelled."""
        response_id = self.name("resp")
        in_conversation = number % 7 != 3
        cancelled = number % 5 == 2
        shown = {"id": response_id, "conversation_id": "conv" if in_conversation else None, "output": []}
        created = self.line(
            server("response.created", response={**shown, "status": "in_progress"}),
            self._last.get("default") if in_conversation else None,
            kind="response",
        )
        ends, output = [], []
        calls = []
        for index in range(number % 4):
            kind = ("audio", "text", "call", "two parts")[(number // 4 + index) % 4]
            item_id = self.name("said")
            final = self.generated(
                response_id,
                index,
                item_id,
                kind,
                created,
                ends,
                in_conversation=in_conversation,
                status="incomplete" if cancelled and index == number % 4 - 1 else "completed",
            )
            output.append(final)
            if kind == "call" and final["status"] == "completed":
                calls.append(final["call_id"])
        status = "cancelled" if cancelled else "completed"
        done = self.line(
            server("response.done", response={**shown, "status": status, "output": output}),
            created,
            *ends,
            kind="response done",
        )
        if in_conversation:
            self._last["default"] = done
            for call_id in calls:
                self.output(call_id, done)

    def generated(
        self,
        response_id: str,
        index: int,
        item_id: str,
        kind: str,
        created: int,
        ends: list[int],
        *,
        in_conversation: bool,
        status: str,
    ) -> dict[str, Any]:
        """One item of a response; its end goes to ``ends``."""
        chain = f"item {item_id}"
        place = {**at(response_id, item_id), "output_index": index}
        message = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        called = {**call(item_id), "id": item_id, "status": "in_progress", "arguments": ""}
        begun = called if kind == "call" else message
        named = {"response_id": response_id, "output_index": index}
        self.line(
            server("response.output_item.added", item=begun, **named),
            created,
            self._last.get(f"outputs {response_id}"),
            kind="output added",
            chain=chain,
        )
        self._last[f"outputs {response_id}"] = self._last[chain]
        parts: list[int] = []
        text = {"audio": WORDS, "text": "la la", "call": '{"a": 1}', "two parts": "la la\n" + WORDS}[kind]
        previous = self.end
        if in_conversation:
            added = self.line(
                server("conversation.item.added", previous_item_id=previous, item=begun),
                kind="added",
                chain=chain,
                item_id=item_id,
            )
            self.place(item_id, Expected(text, status), added, previous)
        opened = self._last[chain]
        final: dict[str, Any]
        if kind == "call":
            final = {**called, "status": status, "arguments": text}
            for half in (text[:3], text[3:]):
                self.line(
                    server("response.function_call_arguments.delta", delta=half, call_id=item_id, **place),
                    kind="delta",
                    chain=chain,
                )
            finished = {"name": "f", "arguments": text, "call_id": item_id, **place}
            self.line(server("response.function_call_arguments.done", **finished), kind="text done", chain=chain)
            parts.append(self._last[chain])
        else:
            kinds = ["text", "audio"] if kind == "two parts" else [kind]
            content: list[dict[str, Any]] = []
            for content_index, each in enumerate(kinds):
                words = WORDS if each == "audio" else "la la"
                key = "transcript" if each == "audio" else "text"
                content.append({"type": f"output_{each}", key: words})
                parts.append(self.part({**place, "content_index": content_index}, each, words, opened))
            final = {**message, "status": status, "content": content}
        if in_conversation:
            parts.append(
                self.line(
                    server("conversation.item.done", previous_item_id=None, item=final),
                    opened,
                    *parts,
                    kind="done",
                    item_id=item_id,
                )
            )
        ends.append(
            self.line(
                server("response.output_item.done", item=final, **named), *parts, kind="output done", item_id=item_id
            )
        )
        return final

    def part(self, place: dict[str, Any], kind: str, words: str, opened: int) -> int:
        """One content part; its audio and its transcript run beside one another. The line that closes it."""
        part = {"type": kind, "text" if kind == "text" else "transcript": ""}
        begun = self.line(server("response.content_part.added", part=part, **place), opened, kind="part added")
        name = "output_audio_transcript" if kind == "audio" else "output_text"
        said = begun
        for start in range(0, len(words), 20):
            delta = words[start : start + 20]
            said = self.line(server(f"response.{name}.delta", delta=delta, **place), said, kind="delta")
        sounded = None
        if kind == "audio":
            sounded = begun
            for count in range(3):
                audio = {"delta": "AAAA" * 800}  # 50 ms
                sounded = self.line(server("response.output_audio.delta", **audio, **place), sounded, kind="delta")
                if not count:
                    self._last[f"audio {place['item_id']} {place['content_index']}"] = sounded
            sounded = self.line(server("response.output_audio.done", **place), sounded, kind="audio done")
        key = "text" if kind == "text" else "transcript"
        done = self.line(server(f"response.{name}.done", **{key: words}, **place), said, sounded, kind="text done")
        final = {"type": kind, key: words}
        return self.line(server("response.content_part.done", part=final, **place), done, kind="part done")

    def output(self, call_id: str, done: int) -> None:
        """The application gives a function's output; the server acknowledges it after the response."""
        item_id = self.name("output")
        item = m.FunctionCallOutputItem(id=item_id, call_id=call_id, output="12")
        ask = self.line(command(m.ConversationItemCreate(item=item)), done, kind="command", chain="create")
        shown = {"id": item_id, "type": "function_call_output", "call_id": call_id, "output": "12"}
        added = self.complete(
            shown, "12", self.end, ask, self._last.get("created")
        )  # and what is asked later overtakes it
        self.named(call_id, ask, added)

    def deletion(self, number: int) -> None:
        """The application deletes an item. What still comes for it is ignored."""
        if not self.order:
            return
        item_id = self.order[number % len(self.order)]
        ask = self.line(
            command(m.ConversationItemDelete(item_id=item_id)),
            self.items[item_id].added,
            *self._asked.get(item_id, ()),
            kind="command",
            chain="delete",
        )
        self.line(
            server("conversation.item.deleted", item_id=item_id),
            ask,
            *self._answered.get(item_id, ()),
            kind="deleted",
            chain="deleted",
        )
        self.order.remove(item_id)

    def truncation(self, number: int) -> None:
        """The application cuts audio in the middle of its first delta."""
        spoken = [each for each in self.order for index in (0, 1) if f"audio {each} {index}" in self._last]
        if not spoken:
            return
        item_id = spoken[number % len(spoken)]
        index = next(index for index in (0, 1) if f"audio {item_id} {index}" in self._last)
        if self.items[item_id].cut:
            return
        self.items[item_id].cut = True
        place = {"item_id": item_id, "content_index": index, "audio_end_ms": (0, 10, 37, 50)[number % 4]}
        ask = self.line(
            command(m.ConversationItemTruncate(**place)),
            self.items[item_id].added,
            self._last[f"audio {item_id} {index}"],
            kind="command",
            chain="truncate",
        )
        cut = self.line(server("conversation.item.truncated", **place), ask, kind="truncated", chain="truncated")
        self.named(item_id, ask, cut)

    def retrieval(self, number: int) -> None:
        """The application asks what the server has: text, and audio that is not kept."""
        known = [each for each in self.order if each.startswith("voice")]
        if not known:
            return
        item_id = known[number % len(known)]
        ask = self.line(
            command(m.ConversationItemRetrieve(item_id=item_id)),
            self.items[item_id].added,
            kind="command",
            chain="retrieve",
        )
        content = [{"type": "input_audio", "audio": "AAAA", "transcript": None, "format": "pcm16"}]
        item = {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}
        shown = self.line(server("conversation.item.retrieved", item=item), ask, kind="retrieved", chain="retrieved")
        self.named(item_id, ask, shown)

    def limits(self, number: int) -> None:
        """News that belongs nowhere."""
        self.line(server("rate_limits.updated", rate_limits=[{"name": "tokens", "remaining": number}]))

    # -- playing -------------------------------------------------------------------------------------------------------

    def orders(self, source: random.Random) -> list[int]:
        """One order of the lines that breaks no edge."""
        waiting = {number: set(line.after) for number, line in enumerate(self.lines)}
        order = []
        while waiting:
            ready = [number for number, after in waiting.items() if not after]
            number = source.choice(ready if source.random() < 0.7 else ready[:1])
            del waiting[number]
            for after in waiting.values():
                after.discard(number)
            order.append(number)
        return order

    def play(self, order: Sequence[int], talk: Talk) -> Talk:
        for number in order:
            self.lines[number].perform(talk)
        return talk


TURNS = ["client_item", "user_audio", "response", "deletion", "truncation", "retrieval", "limits"]


@st.composite
def scores(draw: st.DrawFn) -> Score:
    turns = draw(st.lists(st.tuples(st.sampled_from(TURNS), st.integers(0, 60)), min_size=1, max_size=9))
    return Score(turns)


def client() -> Talk:
    """Nobody cuts but the score."""
    return Talk(on_speech="ignore")


def told(talk: Talk) -> list[tuple[object, ...]]:
    """What a client tells of its conversation."""
    return [
        (node.id, node.text, node.status, node.item, node.previous_item_id, dict(node.cuts), node.state)
        for node in talk.client.conversation
    ]


@settings(max_examples=200)
@given(scores(), st.integers(0, 2**32))
def test_a_conversation_is_the_same_in_every_order_that_it_may_be_told_in(score: Score, seed: int) -> None:
    canonical = score.play(range(len(score.lines)), client())
    source = random.Random(seed)
    for _ in range(3):
        talk = score.play(score.orders(source), client())
        assert dict(talk.client.reports) == {}
        assert [node.id for node in talk.client.conversation] == score.order
        assert told(talk) == told(canonical)
        assert talk.client.conversation.text_bytes == canonical.client.conversation.text_bytes
    for node in canonical.client.conversation:
        expected = score.items[node.id]
        assert node.status == expected.status
        assert expected.text.startswith(node.text) if expected.cut else node.text == expected.text


# -- orders and gaps that no server should make ------------------------------------------------------------------------

APPENDS = [("client_item", 3), ("user_audio", 1), ("response", 1)]
"""Turns that only append (an item at the front or in the middle has a place only by the order of events), and the step
of their numbers."""


@st.composite
def appending_scores(draw: st.DrawFn) -> Score:
    turns = draw(st.lists(st.tuples(st.sampled_from(APPENDS), st.integers(0, 60)), min_size=1, max_size=9))
    return Score([(turn, number * step) for (turn, step), number in turns])


def says(talk: Talk) -> list[tuple[str, str, str]]:
    return [(node.id, node.text, node.status) for node in talk.client.conversation]


def is_told_by_its_ends(score: Score) -> bool:
    """Not out of band, which only `response.created` says; nor by deltas alone, as a transcription that failed."""
    return not any((turn, number % 7) == ("response", 3) for turn, number in score.turns) and not any(
        (turn, number % 10) == ("user_audio", 1) for turn, number in score.turns
    )


@settings(max_examples=200)
@given(appending_scores().filter(is_told_by_its_ends), st.integers(0, 2**32))
def test_events_in_any_order_at_all_make_the_same_conversation(score: Score, seed: int) -> None:
    """Each item names its predecessor, and its end says all of it; nothing more is needed."""
    expected = says(score.play(range(len(score.lines)), client()))
    heard = [number for number, line in enumerate(score.lines) if line.kind != "command"]
    random.Random(seed).shuffle(heard)
    talk = score.play(heard, client())
    assert says(talk) == expected


GAPS = {"output added", "added", "part added", "audio done", "text done", "part done", "done", "output done"}
"""What some servers leave out."""


@settings(max_examples=200)
@given(appending_scores().filter(is_told_by_its_ends), st.integers(0, 2**32), st.floats(0, 1))
def test_what_a_server_leaves_out_is_made_good_by_what_it_says(score: Score, seed: int, rate: float) -> None:
    """Its announcement or either of its ends makes an item a member; its response's end says what became of it."""
    source = random.Random(seed)
    expected = says(score.play(range(len(score.lines)), client()))
    kept = {item_id: source.choice(["added", "done", "output done"]) for item_id in score.order}
    told = [
        number
        for number, line in enumerate(score.lines)
        if line.kind not in GAPS or kept.get(line.item_id) == line.kind or source.random() > rate
    ]
    assert says(score.play(told, client())) == expected


class Clone(Talk):
    """A server that never names a predecessor."""

    def hear(self, type: str, **fields: Any) -> Actions:
        if "previous_item_id" in fields:
            fields["previous_item_id"] = None
        return super().hear(type, **fields)


@settings(max_examples=100)
@given(appending_scores(), st.integers(0, 2**32))
def test_a_server_that_names_no_predecessors_is_followed_in_the_order_of_its_events(score: Score, seed: int) -> None:
    talk = score.play(score.orders(random.Random(seed)), Clone(on_speech="ignore"))
    assert [node.id for node in talk.client.conversation] == score.order
    assert dict(talk.client.reports) == {}


@settings(max_examples=200)
@given(scores(), st.integers(0, 2**32), st.sampled_from([Talk, Clone]))
def test_nothing_that_comes_twice_not_at_all_or_in_another_order_raises(
    score: Score, seed: int, kind: type[Talk]
) -> None:
    """And what was made of it survives a snapshot."""
    source = random.Random(seed)
    talk = kind()
    for number in source.choices(range(len(score.lines)), k=len(score.lines)):
        with suppress(LocalProtocolError):  # a command about something that is not there
            score.lines[number].perform(talk)
    talk.restored()
    for node in talk.client.conversation:
        assert node.text is not None
        assert talk.client.conversation.get(node.id) is not None
