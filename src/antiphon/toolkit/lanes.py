"""A session as spans of time in lanes, to be drawn: who spoke when, what was answered, what of it was heard.

`Lanes.observe` takes the events of both sides in their order, with their instants and the lines they stand in; what
else a recording tells comes through `audio_played`, `turn`, `heard_text` and `note`. `Lanes.sheet` is the drawing's
data. Deltas are drawn together into the span of their answer, and each lane holds a bounded number of spans with a
bounded amount of text, so a session of any length can be drawn; what did not fit is counted.

Without instants a session has order and no time: the axis then counts lines.

Where the recording has no word of the player, what was played is estimated: from the first audio of an answer, after
what was still to be played, for as long as its audio lasts, or to its cut.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct, field

from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K, AudioFormat
from antiphon.engine.timers import MS, Instant
from antiphon.toolkit.bystander import AnyEvent
from antiphon.toolkit.errors import RealtimeError
from antiphon.toolkit.event_types import canonical
from antiphon.toolkit.turns import Turn

__all__ = ["LANES", "Lane", "LaneSheet", "LaneSpan", "Lanes"]

Lane: TypeAlias = Literal["user", "response", "playback", "tool", "note"]

LANES: Final[tuple[Lane, ...]] = ("user", "response", "playback", "tool", "note")
"""From top to bottom."""

_MOST_SPANS: Final = 4000
"""Spans of one lane; those that begin later are counted and left out."""

_MOST_TEXT: Final = 2000
"""Characters of one span."""

_TEXT_BUDGET: Final = 2_000_000
"""Characters of all spans; beyond, each has `_LEAST_TEXT`."""

_LEAST_TEXT: Final = 120

Fact: TypeAlias = str | int | float | bool


class LaneSpan(Struct, omit_defaults=True):
    """One thing that took time, or a point in time (``end`` is ``start``); ``end`` None where the recording ends first.

    ``start`` and ``end`` are ms since the first event, or lines. ``kind`` is what of the lane it is: ``speech``,
    ``committed`` and ``typed`` of the user; a response's status; ``heard`` and ``cut`` of what was played; ``call``
    and ``mcp`` of tools; ``error``, ``broken``, ``session`` and ``remark`` of notes. ``id`` is that of the item or the
    response, ``line`` where it began. ``heard_text`` is what was heard of an answer that was cut.
    """

    lane: Lane
    kind: str
    start: float
    end: float | None
    line: int
    label: str = ""
    text: str = ""
    heard_text: str | None = None
    id: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)


class LaneSheet(Struct, frozen=True):
    """The drawing's data: ``length`` in ms, or in lines where not ``timed``; ``omitted`` spans by lane."""

    timed: bool
    length: float
    spans: list[LaneSpan]
    omitted: dict[str, int]


class _Answer:
    """A response that goes on, and the parts of it whose text came."""

    __slots__ = ("parts", "span")

    def __init__(self, span: LaneSpan) -> None:
        self.span = span
        self.parts: set[tuple[str, int]] = set()


class _Sound:
    """A part that sounds: what of it came, and what the player did with it. ``told``: by the player itself."""

    __slots__ = ("came", "cut", "heard", "heard_ms", "received_ms", "told")

    def __init__(self, heard: LaneSpan, came: float) -> None:
        self.heard = heard
        self.came = came
        self.cut: LaneSpan | None = None
        self.received_ms = 0.0
        self.heard_ms: float | None = None
        self.told = False


class Lanes:
    """The lanes of one session. ``audio_cut``, which may be set at any time: how long its audio lasted is not known."""

    def __init__(self, *, audio_cut: bool = False) -> None:
        self.audio_cut = audio_cut
        self._timed: bool | None = None
        self._zero: Instant = 0
        self._now = 0.0
        self._format: AudioFormat = PCM16_24K
        self._spans: dict[Lane, list[LaneSpan]] = {lane: [] for lane in LANES}
        self._omitted: dict[str, int] = {}
        self._text = 0
        self._by_item: dict[str, LaneSpan] = {}
        self._answers: dict[str, _Answer] = {}
        self._responses: dict[str, LaneSpan] = {}
        self._sounds: dict[tuple[str, int], _Sound] = {}
        self._delivered: dict[str, LaneSpan] = {}
        self._calls: dict[str, LaneSpan] = {}
        self._typed: list[LaneSpan] = []
        self._broken: dict[str, LaneSpan] = {}
        self._speech: LaneSpan | None = None
        self._appending: tuple[float, int] | None = None
        self._spoke_at = 0.0
        self._player_free = 0.0

    # -- in ------------------------------------------------------------------------------------------------------------

    def observe(self, direction: Literal["client", "server"], event: AnyEvent, at: Instant | None, line: int) -> None:
        """The next event of either side, when it was, and its line (from 1)."""
        self._clock(at, line, event=True)
        observer = _OBSERVERS.get((direction, canonical(event.type)))
        if observer is not None and type(event) is not m.Malformed:
            observer(self, event, line)

    def audio_played(self, item_id: str, content_index: int, samples: int, at: Instant | None, line: int) -> None:
        """The player's word: so much of the part was played in all by now."""
        self._clock(at, line)
        sound = self._sounds.get((item_id, content_index))
        if sound is None or not self._timed:
            return
        ms = samples * 1000 / self._format.rate
        if not sound.told:
            sound.told = sound.heard.facts["told"] = True
            sound.heard.start = max(sound.came, self._now - ms)
            sound.heard.end = self._now
        elif ms > (sound.heard_ms or 0.0):
            sound.heard.end = self._now
        sound.heard_ms = max(ms, sound.heard_ms or 0.0)
        sound.heard.facts["heard_ms"] = round(sound.heard_ms)
        self._player_free = self._now

    def socket_ended(self, at: Instant | None, line: int) -> None:
        """The socket is gone: what went on there ends, and an answer is ``lost``."""
        self._clock(at, line)
        for answer in self._answers.values():
            answer.span.kind = "lost"
            answer.span.end = self._now
        for span in (*self._delivered.values(), *((self._speech,) if self._speech is not None else ())):
            span.end = self._now
        self._answers.clear()
        self._delivered.clear()
        self._speech = None

    def turn(self, turn: Turn) -> None:
        """What is known of an answer in the end."""
        span = self._responses.get(turn.response_id)
        if span is None:
            return
        numbers = {
            "latency_ms": turn.latency_ms,
            "voice_latency_ms": turn.voice_latency_ms,
            "first_token_ms": turn.first_token_ms,
            "first_audio_ms": turn.first_audio_ms,
            "heard_ms": turn.heard_ms,
            "received_ms": turn.received_ms or None,
            "input_tokens": turn.usage.input_tokens or None,
            "output_tokens": turn.usage.output_tokens or None,
        }
        span.facts.update({name: round(value) for name, value in numbers.items() if value is not None})
        span.facts.update({name: True for name in ("interrupted", "cut") if getattr(turn, name)})

    def heard_text(self, item_id: str, text: str) -> None:
        """What was heard of the item's text, which was cut."""
        span = self._by_item.get(item_id)
        if span is not None and span.lane == "response":
            span.heard_text = text[:_MOST_TEXT]

    def note(self, kind: Literal["broken", "remark"], label: str, text: str, line: int, at: Instant | None) -> None:
        """Something that is no event. The same label again, of what is ``broken``, is counted in the first."""
        self._clock(at, line)
        known = self._broken.get(label) if kind == "broken" else None
        if known is not None:
            known.facts["count"] = int(known.facts.get("count", 1)) + 1
            return
        span = self._point("note", kind, line, label=label, text=text)
        if kind == "broken":
            self._broken[label] = span

    # -- out -----------------------------------------------------------------------------------------------------------

    def sheet(self) -> LaneSheet:
        """All of it so far, each lane in the order of its beginnings."""
        spans = [span for lane in LANES for span in sorted(self._spans[lane], key=lambda span: span.start)]
        length = max([self._now, *(span.end or span.start for span in spans)])
        return LaneSheet(bool(self._timed), length, spans, dict(self._omitted))

    # -- spans ---------------------------------------------------------------------------------------------------------

    def _clock(self, at: Instant | None, line: int, *, event: bool = False) -> None:
        if self._timed is None:
            if at is None and not event:
                return  # only an event without a time says that there are none
            self._timed = at is not None
            self._zero = at if at is not None else line
        if not self._timed:
            self._now = max(self._now, float(line - self._zero))
        elif at is not None:
            self._now = max(self._now, (at - self._zero) / MS)

    def _begin(self, lane: Lane, kind: str, line: int, *, label: str = "", text: str = "", id: str = "") -> LaneSpan:
        span = LaneSpan(lane, kind, self._now, None, line, label[:_LEAST_TEXT], "", None, id[:_LEAST_TEXT])
        self._write(span, text)
        if len(self._spans[lane]) < _MOST_SPANS:
            self._spans[lane].append(span)
        else:
            self._omitted[lane] = self._omitted.get(lane, 0) + 1
        return span

    def _point(self, lane: Lane, kind: str, line: int, *, label: str = "", text: str = "", id: str = "") -> LaneSpan:
        span = self._begin(lane, kind, line, label=label, text=text, id=id)
        span.end = span.start
        return span

    def _write(self, span: LaneSpan, text: str) -> None:
        most = _MOST_TEXT if self._text < _TEXT_BUDGET else _LEAST_TEXT
        if not text or len(span.text) >= most:
            return
        added = text[: most - len(span.text)]
        self._text += len(added)
        span.text += added
        if len(added) < len(text):
            span.text += " …"

    def _remember(self, known: dict[Any, Any], key: object, value: object) -> None:
        known[key] = value
        if len(known) > _MOST_SPANS:
            del known[next(iter(known))]

    # -- the user ------------------------------------------------------------------------------------------------------

    def _speech_started(self, event: m.InputAudioBufferSpeechStarted, line: int) -> None:
        self._spoke_at = self._now
        self._speech = self._begin("user", "speech", line, id=event.item_id)
        self._remember(self._by_item, event.item_id, self._speech)

    def _speech_stopped(self, event: m.InputAudioBufferSpeechStopped, _line: int) -> None:
        if self._speech is not None:
            self._speech.end = self._now
            self._speech = None

    def _appended(self, _event: object, line: int) -> None:
        if self._appending is None:
            self._appending = (self._now, line)

    def _committed(self, event: m.InputAudioBufferCommitted, line: int) -> None:
        appending, self._appending = self._appending, None
        if event.item_id in self._by_item:
            return  # voice detection told when it was spoken
        span = self._begin("user", "committed", line, id=event.item_id)
        span.end = self._now
        if appending is not None:
            span.start, span.line = appending
        self._remember(self._by_item, event.item_id, span)

    def _transcribed(self, event: m.ConversationItemInputAudioTranscriptionCompleted, _line: int) -> None:
        span = self._by_item.get(event.item_id)
        if span is not None and span.lane == "user" and not span.text:
            self._write(span, event.transcript)

    def _not_transcribed(self, event: m.ConversationItemInputAudioTranscriptionFailed, line: int) -> None:
        text = event.error.message or ""
        self._point(
            "note", "error", line, label=f"transcription: {event.error.code or ''}", text=text, id=event.item_id
        )

    def _item_sent(self, event: m.ConversationItemCreate, line: int) -> None:
        item = event.item
        if isinstance(item, m.MessageItem) and item.role == "user":
            if isinstance(item.id, str) and item.id in self._by_item:
                return  # a history that is told again to another session
            span = self._point("user", "typed", line, text=_text_of(item))
            if isinstance(item.id, str):
                span.id = item.id
                self._remember(self._by_item, item.id, span)
            else:
                self._typed = [*self._typed[-63:], span]
        elif isinstance(item, m.FunctionCallOutputItem):
            self._answered(item)

    def _item_added(self, event: m.ConversationItemAdded, line: int) -> None:
        item = event.item
        if isinstance(item, m.FunctionCallOutputItem):
            self._answered(item)
        if not isinstance(item, m.MessageItem) or item.role != "user" or not isinstance(item.id, str):
            return
        span = self._by_item.get(item.id)
        if span is None:
            waiting = self._typed.pop(0) if self._typed else None
            span = waiting or self._point("user", "typed", line)
            span.id = item.id
            self._remember(self._by_item, item.id, span)
        if not span.text:
            self._write(span, _text_of(item))

    # -- answers -------------------------------------------------------------------------------------------------------

    def _created(self, event: m.ResponseCreated, line: int) -> None:
        span = self._begin("response", "open", line, id=event.response.id)
        self._remember(self._answers, event.response.id, _Answer(span))
        self._remember(self._responses, event.response.id, span)

    def _output_item(self, event: m.ResponseOutputItemAdded, line: int) -> None:
        item = event.item
        answer = self._answers.get(event.response_id)
        if answer is not None and isinstance(item.id, str) and isinstance(item, m.MessageItem):
            self._remember(self._by_item, item.id, answer.span)
        elif isinstance(item, m.McpCallItem) and isinstance(item.id, str):
            label = f"{item.server_label}: {item.name}"
            self._remember(self._calls, item.id, self._begin("tool", "mcp", line, label=label, id=item.id))

    def _said(self, event: m.ResponseOutputTextDelta | m.ResponseOutputAudioTranscriptDelta, _line: int) -> None:
        self._speaks(event.response_id, event.item_id, event.content_index, event.delta)

    def _speaks(self, response_id: str, item_id: str, content_index: int, text: str) -> None:
        answer = self._answers.get(response_id)
        if answer is None:
            return
        answer.span.facts.setdefault("first", self._now)
        if len(answer.parts) < _MOST_SPANS:
            if answer.span.text and (item_id, content_index) not in answer.parts:
                text = f"\n{text}"
            answer.parts.add((item_id, content_index))
        self._write(answer.span, text)

    def _text_done(self, event: m.ResponseOutputTextDone, _line: int) -> None:
        self._whole(event.response_id, event.item_id, event.content_index, event.text)

    def _transcript_done(self, event: m.ResponseOutputAudioTranscriptDone, _line: int) -> None:
        self._whole(event.response_id, event.item_id, event.content_index, event.transcript)

    def _whole(self, response_id: str, item_id: str, content_index: int, text: str) -> None:
        answer = self._answers.get(response_id)
        if answer is not None and (item_id, content_index) not in answer.parts:
            self._speaks(response_id, item_id, content_index, text)

    def _done(self, event: m.ResponseDone, line: int) -> None:
        response = event.response
        answer = self._answers.pop(response.id, None)
        details = response.status_details or None
        reason = (details.reason if details is not None else None) or ""
        if answer is not None:
            answer.span.kind = response.status or "done"
            answer.span.label = str(reason)[:_LEAST_TEXT]
            answer.span.end = self._now
        error = RealtimeError.from_response(response)
        if error is not None:
            self._point("note", "error", line, label=_label(error), text=error.message, id=response.id)

    # -- what is played ------------------------------------------------------------------------------------------------

    def _audio(self, event: m.ResponseOutputAudioDelta, line: int) -> None:
        answer = self._answers.get(event.response_id)
        if answer is not None:
            answer.span.facts.setdefault("first", self._now)
            answer.span.facts.setdefault("first_audio", self._now)
        part = (event.item_id, event.content_index)
        sound = self._sounds.get(part)
        if sound is None:
            span = self._begin("playback", "heard", line, id=event.item_id)
            span.start = max(self._now, self._player_free)
            span.end = span.start
            span.facts["of"] = event.response_id[:_LEAST_TEXT]
            sound = _Sound(span, self._now)
            self._remember(self._sounds, part, sound)
        ms = 0.0 if self.audio_cut else self._ms(event.delta)
        sound.received_ms += ms
        if sound.received_ms:
            sound.heard.facts["received_ms"] = round(sound.received_ms)
        if sound.cut is not None:
            sound.cut.end = (sound.cut.end or 0.0) + (ms if self._timed else 0.0)
        elif not sound.told:
            lasts = sound.received_ms if self._timed and sound.received_ms else 0.0
            sound.heard.end = max(sound.heard.start + lasts, self._now if not lasts else 0.0)
            self._player_free = max(self._player_free, sound.heard.end)

    def _ms(self, audio: str) -> float:
        nbytes = len(audio) * 3 // 4 - audio[-2:].count("=")
        return nbytes * 1000 / (self._format.bytes_per_sample * self._format.rate)

    def _truncating(self, event: m.ConversationItemTruncate | m.ConversationItemTruncated, line: int) -> None:
        sound = self._sounds.get((event.item_id, event.content_index))
        if sound is None:
            return
        heard_ms = float(event.audio_end_ms)
        sound.heard.facts["heard_ms"] = round(heard_ms)
        if sound.cut is not None:
            return  # the client said it, and the server confirms
        span = sound.heard
        if self._timed and not sound.told:
            # The listener spoke, then it was cut: that is when it fell silent.
            silent = self._spoke_at if span.start < self._spoke_at else self._now
            span.end = max(span.start, min(span.start + heard_ms, silent))
        sound.cut = self._point("playback", "cut", line, id=event.item_id)
        sound.cut.start = sound.cut.end = span.end if span.end is not None else self._now
        if self._timed:
            sound.cut.end = sound.cut.start + max(0.0, sound.received_ms - heard_ms)
        sound.cut.facts["of"] = span.facts["of"]
        sound.cut.facts["heard_ms"] = round(heard_ms)
        if sound.received_ms:
            sound.cut.facts["received_ms"] = round(sound.received_ms)
        self._player_free = self._now

    def _delivery_started(self, event: m.OutputAudioBufferStarted, line: int) -> None:
        self._remember(self._delivered, event.response_id, self._begin("playback", "heard", line, id=event.response_id))

    def _delivery_ended(self, event: m.OutputAudioBufferStopped | m.OutputAudioBufferCleared, line: int) -> None:
        span = self._delivered.pop(event.response_id, None)
        if span is not None:
            span.end = self._now
        if isinstance(event, m.OutputAudioBufferCleared):
            self._point("playback", "cut", line, id=event.response_id)

    # -- tools ---------------------------------------------------------------------------------------------------------

    def _called(self, event: m.ResponseFunctionCallArgumentsDone, line: int) -> None:
        label = event.name or "(unnamed)"
        span = self._begin("tool", "call", line, label=label, text=event.arguments, id=event.call_id)
        self._remember(self._calls, event.call_id, span)
        answer = self._answers.get(event.response_id)
        if answer is not None:
            answer.span.facts.setdefault("first", self._now)
            before = answer.span.facts.get("calls")
            answer.span.facts["calls"] = (f"{before}, {label}" if before else label)[:_LEAST_TEXT]

    def _answered(self, item: m.FunctionCallOutputItem) -> None:
        span = self._calls.pop(item.call_id, None)
        if span is not None:
            span.end = self._now
            self._write(span, f" → {item.output}")

    def _mcp_arguments(self, event: m.ResponseMcpCallArgumentsDone, _line: int) -> None:
        span = self._calls.get(event.item_id)
        if span is not None:
            self._write(span, event.arguments)

    def _mcp_ended(self, event: m.ResponseMcpCallCompleted | m.ResponseMcpCallFailed, _line: int) -> None:
        span = self._calls.pop(event.item_id, None)
        if span is not None:
            span.end = self._now
            if isinstance(event, m.ResponseMcpCallFailed):
                span.facts["failed"] = True

    # -- notes ---------------------------------------------------------------------------------------------------------

    def _failed(self, event: m.Error, line: int) -> None:
        error = RealtimeError.from_event(event)
        self._point("note", "error", line, label=_label(error), text=error.message)

    def _session(self, event: m.SessionCreated | m.SessionUpdated, line: int) -> None:
        output = getattr(event.session.audio or UNSET, "output", UNSET)
        named = output.format if output else None
        known = AudioFormat.from_session({"type": named.type or None, "rate": named.rate or None}) if named else None
        self._format = known or self._format
        model = getattr(event.session, "model", UNSET)
        text = model if isinstance(model, str) else ""
        self._point("note", "session", line, label=canonical(event.type), text=text)


def _text_of(item: m.MessageItem) -> str:
    """What the parts say, where they are text or have a transcript."""
    said = (getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content)
    return "\n".join(each for each in said if each)


def _label(error: RealtimeError) -> str:
    return f"{error.type}: {error.code or '(no code)'}"


_OBSERVERS: Final[dict[tuple[str, str], Any]] = {
    ("server", "session.created"): Lanes._session,
    ("server", "session.updated"): Lanes._session,
    ("client", "input_audio_buffer.append"): Lanes._appended,
    ("server", "input_audio_buffer.speech_started"): Lanes._speech_started,
    ("server", "input_audio_buffer.speech_stopped"): Lanes._speech_stopped,
    ("server", "input_audio_buffer.committed"): Lanes._committed,
    ("client", "conversation.item.create"): Lanes._item_sent,
    ("server", "conversation.item.added"): Lanes._item_added,
    ("server", "conversation.item.created"): Lanes._item_added,
    ("server", "conversation.item.input_audio_transcription.completed"): Lanes._transcribed,
    ("server", "conversation.item.input_audio_transcription.failed"): Lanes._not_transcribed,
    ("server", "response.created"): Lanes._created,
    ("server", "response.output_item.added"): Lanes._output_item,
    ("server", "response.output_text.delta"): Lanes._said,
    ("server", "response.output_audio_transcript.delta"): Lanes._said,
    ("server", "response.output_text.done"): Lanes._text_done,
    ("server", "response.output_audio_transcript.done"): Lanes._transcript_done,
    ("server", "response.output_audio.delta"): Lanes._audio,
    ("client", "conversation.item.truncate"): Lanes._truncating,
    ("server", "conversation.item.truncated"): Lanes._truncating,
    ("server", "output_audio_buffer.started"): Lanes._delivery_started,
    ("server", "output_audio_buffer.stopped"): Lanes._delivery_ended,
    ("server", "output_audio_buffer.cleared"): Lanes._delivery_ended,
    ("server", "response.function_call_arguments.done"): Lanes._called,
    ("server", "response.mcp_call_arguments.done"): Lanes._mcp_arguments,
    ("server", "response.mcp_call.completed"): Lanes._mcp_ended,
    ("server", "response.mcp_call.failed"): Lanes._mcp_ended,
    ("server", "response.done"): Lanes._done,
    ("server", "error"): Lanes._failed,
}
