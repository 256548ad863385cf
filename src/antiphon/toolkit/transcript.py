"""What was said, for people: as text, Markdown, JSON, SRT and WebVTT, and to search in.

A `Transcript` reads the live conversation of a session, so it shows what the engine knows: order by the server's word,
cut answers down to what was heard, transcriptions as they come. When each line was said is not in the conversation; a
`Timeline` notes it from the actions of the session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from antiphon.engine.actions import Action, Deliver, PlayAudio, TransmitMessage
from antiphon.engine.conversation import Conversation, Node
from antiphon.engine.timers import MS, Instant
from antiphon.messages import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemTruncated,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    MessageItem,
    ResponseOutputItemDone,
)
from antiphon.toolkit.event_types import aliases_of
from antiphon.toolkit.export import portable_id

__all__ = ["Line", "LineKind", "Match", "Span", "Timeline", "Transcript"]

LineKind: TypeAlias = Literal["message", "call", "output"]
"""A message of a role; a call of a function; what a function answered."""

_SHORTEST_MS: Final = 500
"""A caption whose end is not known, or that would be over at once, stands this long."""


class Span(Struct, frozen=True):
    """When it was said: ms since the first thing that the timeline noted; ``end_ms`` None while it goes on."""

    start_ms: int
    end_ms: int | None


class Line(Struct, frozen=True, kw_only=True):
    """One item. ``who`` is the role of a message, the name of a function; ``text`` what a reader should see. ``cut``:
    only what was heard of it. ``status`` is the item's. ``span``: when, where a timeline knows."""

    item_id: str
    kind: LineKind
    who: str
    text: str
    status: str
    cut: bool = False
    span: Span | None = None


class Match(Struct, frozen=True):
    """Words that were looked for: ``line.text[start:end]``."""

    line: Line
    start: int
    end: int

    @property
    def item_id(self) -> str:
        """The item in which they stand."""
        return self.line.item_id


_TIMED: Final = frozenset(
    alias
    for event in (
        InputAudioBufferSpeechStarted,
        InputAudioBufferSpeechStopped,
        InputAudioBufferCommitted,
        ConversationItemAdded,
        ConversationItemCreated,
        ResponseOutputItemDone,
        ConversationItemTruncated,
    )
    for alias in aliases_of(event.type)
)
"""The events that say when something was said, by all of their names."""


class Timeline:
    """When each item was said, from the actions of a session. Bounded: the oldest of ``max_items`` is forgotten.

    A user's turn runs from ``speech_started`` to ``speech_stopped`` as they arrived (a turn that was committed by hand
    is a point in time); an answer that is played from its first `PlayAudio` for as long as its audio lasts, or to its
    cut; one of text from its announcement to its end. An item that another session is told under another id (see
    `portable_id`) is the same item, by either id.
    """

    def __init__(self, *, max_items: int = 20_000) -> None:
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, not {max_items}")
        self._max_items = max_items
        self._zero: Instant | None = None
        # Both by the portable id, which an item keeps over all sessions.
        self._spans: dict[str, Span] = {}
        self._played_ms: dict[str, dict[int, int]] = {}

    def observe(self, action: Action, now: Instant) -> None:
        """Note what the session did at ``now``."""
        if type(action) is TransmitMessage:
            return
        if self._zero is None:
            self._zero = now
        at = (now - self._zero) // MS
        if type(action) is PlayAudio:
            self._play(action, at)
        elif type(action) is Deliver and action.event.type in _TIMED:  # of a hundred deltas, none is asked about
            self._hear(action.event, at)

    def span(self, item_id: str) -> Span | None:
        """When the item was said; None where nothing was noted."""
        return self._spans.get(portable_id(item_id))

    def _play(self, action: PlayAudio, at: int) -> None:
        key = portable_id(action.item_id)
        known = self._spans.get(key)
        if key not in self._played_ms:
            self._played_ms[key] = {}
            known = None  # what counts is when it sounds, not when it was announced
        start = at if known is None else known.start_ms
        parts = self._played_ms[key]
        ms = action.format.ms(action.format.samples(len(action.audio)))
        parts[action.content_index] = parts.get(action.content_index, 0) + ms
        self._note(key, Span(start, start + sum(parts.values())))

    def _hear(self, event: object, at: int) -> None:
        match event:
            case InputAudioBufferSpeechStarted():
                self._note(portable_id(event.item_id), Span(at, None))
            case InputAudioBufferSpeechStopped():
                self._end(portable_id(event.item_id), at)
            case InputAudioBufferCommitted():
                key = portable_id(event.item_id)
                if key not in self._spans:
                    self._note(key, Span(at, at))
                self._end(key, at)
            case ConversationItemAdded():
                if isinstance(event.item.id, str) and (key := portable_id(event.item.id)) not in self._spans:
                    ends = None if getattr(event.item, "status", None) == "in_progress" else at
                    self._note(key, Span(at, ends))
            case ResponseOutputItemDone():
                if isinstance(event.item.id, str) and (key := portable_id(event.item.id)) not in self._played_ms:
                    self._end(key, at)
            case ConversationItemTruncated():
                self._cut(event)
            case _:
                pass

    def _cut(self, event: ConversationItemTruncated) -> None:
        key = portable_id(event.item_id)
        known = self._spans.get(key)
        if known is None:
            return
        # The cut is told from the beginning of its part, and the parts before it were heard whole.
        earlier = sum(ms for index, ms in self._played_ms.get(key, {}).items() if index < event.content_index)
        self._note(key, Span(known.start_ms, known.start_ms + earlier + event.audio_end_ms))

    def _end(self, key: str, at: int) -> None:
        known = self._spans.get(key)
        if known is not None and known.end_ms is None:
            self._spans[key] = Span(known.start_ms, at)

    def _note(self, key: str, span: Span) -> None:
        self._spans[key] = span
        if len(self._spans) > self._max_items:
            oldest = next(iter(self._spans))
            del self._spans[oldest]
            self._played_ms.pop(oldest, None)


class Transcript:
    """A view of ``conversation``; with a ``timeline``, of the same session, its lines know when they were said."""

    def __init__(self, conversation: Conversation, timeline: Timeline | None = None) -> None:
        self._conversation = conversation
        self._timeline = timeline

    def __iter__(self) -> Iterator[Line]:
        """The lines in the order of the conversation. Items that are neither messages nor calls have none."""
        functions: dict[object, str] = {}
        for node in self._conversation:
            if isinstance(node.item, FunctionCallItem):
                functions.setdefault(node.item.call_id, node.item.name)
        for node in self._conversation:
            line = self._line(node, functions)
            if line is not None:
                yield line

    def messages(self) -> tuple[Line, ...]:
        """The messages alone."""
        return tuple(line for line in self if line.kind == "message")

    def search(self, words: str, *, regex: bool = False) -> tuple[Match, ...]:
        """Where ``words`` stand in the lines, whatever their case; with ``regex`` a regular expression. What is empty
        is found nowhere. Raises `re.error` for an expression that is none.
        """
        pattern = re.compile(words if regex else re.escape(words), re.IGNORECASE)
        return tuple(
            Match(line, *found.span()) for line in self for found in pattern.finditer(line.text) if found.group()
        )

    def _line(self, node: Node, functions: Mapping[object, str]) -> Line | None:
        item = node.item
        kind: LineKind
        match item:
            case MessageItem():
                kind, who = "message", item.role
            case FunctionCallItem():
                kind, who = "call", item.name
            case FunctionCallOutputItem():
                kind, who = "output", functions.get(item.call_id, item.call_id)
            case _:
                return None
        return Line(
            item_id=node.id,
            kind=kind,
            who=who,
            text=node.text,
            status=node.status,
            cut=bool(node.cuts),
            span=None if self._timeline is None else self._timeline.span(node.id),
        )

    # -- forms ---------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """``who: what`` a line; calls as ``name(arguments)`` and ``name -> output``. Empty messages are left out."""
        return "".join(f"{_plain(line)}\n" for line in self if line.text)

    def markdown(self) -> str:
        """Paragraphs with the speaker in bold; calls and outputs as code on one line; what was cut ends with a dash."""
        return "\n\n".join(_paragraph(line) for line in self if line.text) + "\n"

    def json(self) -> bytes:
        """An array of the lines, with everything that they know."""
        return msgspec.json.format(msgspec.json.encode(list(self)), indent=2)

    def srt(self) -> str:
        """SubRip captions of the messages whose time is known, in the order of their time."""
        return "".join(
            f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{_caption(line)}\n\n"
            for number, (start, end, line) in enumerate(self._captions(), 1)
        )

    def vtt(self) -> str:
        """WebVTT captions, each with its speaker as a voice tag."""
        cues = (
            f"{_clock(start, '.')} --> {_clock(end, '.')}\n<v {_escaped(_flat(line.who))}>{_escaped(_words(line))}\n\n"
            for start, end, line in self._captions()
        )
        return "WEBVTT\n\n" + "".join(cues)

    def _captions(self) -> Iterable[tuple[int, int, Line]]:
        timed = [(line.span, line) for line in self.messages() if line.span is not None and line.text]
        timed.sort(key=lambda pair: pair[0].start_ms)
        for span, line in timed:
            end = span.end_ms if span.end_ms is not None else span.start_ms
            yield span.start_ms, max(end, span.start_ms + _SHORTEST_MS), line


# Who speaks and what a tool answered is a peer's word, too: a line break in it would begin another caption, another
# paragraph, another speaker's line.


def _plain(line: Line) -> str:
    who = _flat(line.who)
    match line.kind:
        case "message":
            return f"{who}: {_words(line)}"
        case "call":
            return f"{who}({_flat(line.text)})"
        case _:
            return f"{who} -> {_flat(line.text)}"


def _paragraph(line: Line) -> str:
    who = _flat(line.who)
    if line.kind == "message":
        return f"**{who}:** {line.text}{_CUT if line.cut else ''}"
    code = _flat(line.text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", code)), default=0))
    pad = " " if code.startswith("`") or code.endswith("`") else ""
    return f"*{who} {'called with' if line.kind == 'call' else 'answered'}* {fence}{pad}{code}{pad}{fence}"


def _caption(line: Line) -> str:
    return f"{_flat(line.who)}: {_words(line)}"


def _words(line: Line) -> str:
    return f"{_flat(line.text)}{_CUT if line.cut else ''}"


_CUT: Final = " —"

# Spaces that say something, like those that do not break, stay as they are.
_BREAKS: Final = re.compile("[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")


def _flat(text: str) -> str:
    return _BREAKS.sub(" ", text).strip(" ")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
