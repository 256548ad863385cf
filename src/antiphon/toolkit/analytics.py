"""What happened in a session, in numbers: counts, timing, latency, interruptions, tools, tokens, errors.

`Analytics.observe` takes one event after another, each with its direction and, where there is a clock, its instant. It
looks at each event once and keeps a bounded amount whatever the length of the recording; `Analytics.merge` adds
another session, so that ten thousand of them need no more memory than one.

How each duration is measured (all in ms):

* *time to first token*: from ``response.created`` to the first delta of text, transcript or arguments;
* *time to first audio*: from ``response.created`` to the first delta of audio;
* *turn latency*: from the end of the user's turn (``speech_stopped``; else the commit or the `response.create` that was
  sent) to the first delta of any kind of the response that answers it: what the user waits for;
* *response duration*: from ``response.created`` to ``response.done``: generation, not playback;
* *tool duration*: from the end of a call's arguments to the output that is sent for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K, AudioFormat
from antiphon.engine.timers import MS, Instant
from antiphon.engine.usage import Usage
from antiphon.toolkit.distribution import Distribution, Summary
from antiphon.toolkit.errors import RealtimeError
from antiphon.toolkit.event_types import canonical

__all__ = ["Analysis", "Analytics", "Direction"]

Direction: TypeAlias = Literal["client", "server"]
"""Who said it."""

_OPEN: Final = 256
"""Responses, and calls without output, that are followed at the same time; the oldest is forgotten beyond."""

_NAMES: Final = 1024
"""Different types, codes and tools that are counted by name; beyond, under ``(other)``."""


class Analysis(Struct, frozen=True, kw_only=True):
    """The numbers. Durations are ms; a `Summary` of nothing has count 0. ``responses`` are counted by final status,
    ``cancelled_by`` by the reason that the server gave, ``errors`` by class and code."""

    sessions: int
    events: int
    duration_ms: float | None
    by_type: dict[str, int]
    between: dict[str, Summary]
    turns: int
    responses: dict[str, int]
    cancelled_by: dict[str, int]
    time_to_first_token: Summary
    time_to_first_audio: Summary
    turn_latency: Summary
    response_duration: Summary
    interruptions: int
    truncations: Summary
    tools: dict[str, int]
    tool_duration: Summary
    audio_sent_ms: int
    audio_received_ms: int
    usage: Usage
    errors: dict[str, int]


class _Answer:
    """A response in progress."""

    __slots__ = ("created", "spoke", "spoke_audio", "turn_ended")

    def __init__(self, created: Instant | None, turn_ended: Instant | None) -> None:
        self.created = created
        self.turn_ended = turn_ended
        self.spoke = self.spoke_audio = False


class Analytics:
    """The numbers of one session as it runs, or of many once merged.

    ``input_format`` and ``output_format`` say how long audio is until the session itself names its formats.
    """

    def __init__(
        self, *, input_format: AudioFormat = PCM16_24K, output_format: AudioFormat = PCM16_24K, sessions: int = 1
    ) -> None:
        self._formats = {"client": input_format, "server": output_format}
        self._sessions = sessions
        self._events = 0
        self._started: Instant | None = None
        self._ended: Instant | None = None
        self._earlier_ms = 0.0
        self._timed = False
        self._last: dict[Direction, Instant] = {}
        self._by_type: Counter[str] = Counter()
        self._between: dict[str, Distribution] = {}
        self._turns = 0
        self._responses: Counter[str] = Counter()
        self._cancelled_by: Counter[str] = Counter()
        self._first_token = Distribution()
        self._first_audio = Distribution()
        self._latency = Distribution()
        self._duration = Distribution()
        self._interruptions = 0
        self._truncations = Distribution()
        self._tools: Counter[str] = Counter()
        self._tool_duration = Distribution()
        self._audio_ms = {"client": 0.0, "server": 0.0}
        self._usage = Usage()
        self._errors: Counter[str] = Counter()
        self._open: dict[str, _Answer] = {}
        self._calls: dict[str, Instant | None] = {}
        self._turn_ended: Instant | None = None
        self._speaking = False

    # -- in ------------------------------------------------------------------------------------------------------------

    def observe(self, direction: Direction, event: Any, at: Instant | None = None) -> None:
        """One event (of `antiphon.messages`), who said it, and when: ns of a clock that does not go back, None without
        one. An event of an unknown type, or one that could not be read, is counted."""
        self._events += 1
        name = canonical(event.type)
        _count(self._by_type, name)
        if at is not None:
            self._clock(direction, name, at)
        observer = _OBSERVERS.get((direction, name))
        if observer is not None and type(event) is not m.Malformed:
            observer(self, event, at)

    def merge(self, other: Analytics) -> None:
        """Add the numbers of another session, which has ended: what it has open is not followed further."""
        self._sessions += other._sessions
        self._events += other._events
        self._earlier_ms += other._span_ms()
        self._timed = self._timed or other._timed
        for mine, theirs in (
            (self._by_type, other._by_type),
            (self._responses, other._responses),
            (self._cancelled_by, other._cancelled_by),
            (self._tools, other._tools),
            (self._errors, other._errors),
        ):
            for name, number in theirs.items():
                _count(mine, name, number)
        for name, distribution in other._between.items():
            self._gap(name).merge(distribution)
        for one, two in (
            (self._first_token, other._first_token),
            (self._first_audio, other._first_audio),
            (self._latency, other._latency),
            (self._duration, other._duration),
            (self._truncations, other._truncations),
            (self._tool_duration, other._tool_duration),
        ):
            one.merge(two)
        self._usage += other._usage
        self._turns += other._turns
        self._interruptions += other._interruptions
        for side in self._audio_ms:
            self._audio_ms[side] += other._audio_ms[side]

    # -- out -----------------------------------------------------------------------------------------------------------

    def analysis(self) -> Analysis:
        """The numbers so far."""
        return Analysis(
            sessions=self._sessions,
            events=self._events,
            duration_ms=self._span_ms() if self._timed else None,
            by_type=dict(self._by_type.most_common()),
            between={name: self._between[name].summary() for name in sorted(self._between)},
            turns=self._turns,
            responses=dict(self._responses.most_common()),
            cancelled_by=dict(self._cancelled_by.most_common()),
            time_to_first_token=self._first_token.summary(),
            time_to_first_audio=self._first_audio.summary(),
            turn_latency=self._latency.summary(),
            response_duration=self._duration.summary(),
            interruptions=self._interruptions,
            truncations=self._truncations.summary(),
            tools=dict(self._tools.most_common()),
            tool_duration=self._tool_duration.summary(),
            audio_sent_ms=int(self._audio_ms["client"]),
            audio_received_ms=int(self._audio_ms["server"]),
            usage=self._usage,
            errors=dict(self._errors.most_common()),
        )

    def to_json(self) -> bytes:
        """`analysis` as a JSON document."""
        return msgspec.json.format(msgspec.json.encode(self.analysis()), indent=2)

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """`analysis` as a table for CSV and the like: (measure, of what, number), without what is not known."""
        for measure, value in msgspec.structs.asdict(self.analysis()).items():
            yield from _rows(measure, "", value)

    # -- the clock -----------------------------------------------------------------------------------------------------

    def _clock(self, direction: Direction, name: str, at: Instant) -> None:
        self._timed = True
        if self._started is None:
            self._started = at
        self._ended = at
        before = self._last.get(direction)
        if before is not None:
            self._gap(name).add((at - before) / MS)
        self._last[direction] = at

    def _gap(self, name: str) -> Distribution:
        gap = self._between.get(name)
        if gap is None:
            if len(self._between) >= _NAMES:
                name = "(other)"
            gap = self._between.setdefault(name, Distribution())
        return gap

    def _span_ms(self) -> float:
        if self._started is None or self._ended is None:
            return self._earlier_ms
        return self._earlier_ms + (self._ended - self._started) / MS

    # -- what each event says ------------------------------------------------------------------------------------------

    def _session(self, event: m.SessionCreated | m.SessionUpdated, _at: Instant | None) -> None:
        audio = event.session.audio
        if not audio:
            return
        for side, part in (("client", audio.input), ("server", getattr(audio, "output", UNSET))):
            named = part.format if part else None
            known = (
                AudioFormat.from_session({"type": named.type or None, "rate": named.rate or None}) if named else None
            )
            if known is not None:
                self._formats[side] = known

    def _appended(self, event: m.InputAudioBufferAppend, _at: Instant | None) -> None:
        self._sounded("client", event.audio)

    def _sounded(self, side: str, audio: str) -> None:
        format = self._formats[side]
        nbytes = len(audio) * 3 // 4 - audio[-2:].count("=")
        self._audio_ms[side] += nbytes * 1000 / (format.bytes_per_sample * format.rate)

    def _speech_started(self, _event: object, _at: Instant | None) -> None:
        self._speaking = True
        if self._open:
            self._interruptions += 1

    def _speech_stopped(self, _event: object, at: Instant | None) -> None:
        self._turn_ended = at

    def _committed(self, _event: object, at: Instant | None) -> None:
        self._turns += 1
        if not self._speaking:
            self._turn_ended = at
        self._speaking = False

    def _item_created(self, event: m.ConversationItemCreate, at: Instant | None) -> None:
        item = event.item
        if isinstance(item, m.MessageItem) and item.role == "user":
            self._turns += 1
        elif isinstance(item, m.FunctionCallOutputItem):
            finished = self._calls.pop(item.call_id, None)
            if finished is not None and at is not None:
                self._tool_duration.add((at - finished) / MS)

    def _asked(self, _event: object, at: Instant | None) -> None:
        if self._turn_ended is None:
            self._turn_ended = at

    def _created(self, event: m.ResponseCreated, at: Instant | None) -> None:
        self._open[event.response.id] = _Answer(at, self._turn_ended)
        self._turn_ended = None
        if len(self._open) > _OPEN:
            del self._open[next(iter(self._open))]

    def _said(self, event: Any, at: Instant | None) -> None:
        answer = self._open.get(event.response_id)
        if answer is None or at is None:
            return
        is_audio = isinstance(event, m.ResponseOutputAudioDelta)
        if not (answer.spoke or answer.spoke_audio) and answer.turn_ended is not None:
            self._latency.add((at - answer.turn_ended) / MS)
        if answer.created is not None:
            if is_audio and not answer.spoke_audio:
                self._first_audio.add((at - answer.created) / MS)
            elif not is_audio and not answer.spoke:
                self._first_token.add((at - answer.created) / MS)
        if is_audio:
            answer.spoke_audio = True
        else:
            answer.spoke = True

    def _heard(self, event: m.ResponseOutputAudioDelta, at: Instant | None) -> None:
        self._sounded("server", event.delta)
        self._said(event, at)

    def _called(self, event: m.ResponseFunctionCallArgumentsDone, at: Instant | None) -> None:
        _count(self._tools, event.name or "(unnamed)")
        self._calls[event.call_id] = at
        if len(self._calls) > _OPEN:
            del self._calls[next(iter(self._calls))]

    def _done(self, event: m.ResponseDone, at: Instant | None) -> None:
        response = event.response
        _count(self._responses, response.status or "(none)")
        details = response.status_details
        if response.status == "cancelled":
            _count(self._cancelled_by, (details.reason if details else None) or "(none)")
        answer = self._open.pop(response.id, None)
        if answer is not None and answer.created is not None and at is not None:
            self._duration.add((at - answer.created) / MS)
        told = Usage.of(response.usage)
        self._usage += Usage.of(event.usage) if told.unknown else told  # one vendor tells it beside the response
        error = RealtimeError.from_response(response)
        if error is not None:
            _count(self._errors, _label(error))

    def _truncated(self, event: m.ConversationItemTruncated, _at: Instant | None) -> None:
        self._truncations.add(event.audio_end_ms)

    def _failed(self, event: m.Error, _at: Instant | None) -> None:
        _count(self._errors, _label(RealtimeError.from_event(event)))

    def _transcribed(self, event: m.ConversationItemInputAudioTranscriptionCompleted, _at: Instant | None) -> None:
        self._usage = self._usage.transcribed(event.usage)

    def _not_transcribed(self, event: m.ConversationItemInputAudioTranscriptionFailed, _at: Instant | None) -> None:
        _count(self._errors, f"transcription: {event.error.code or '(no code)'}")


def _label(error: RealtimeError) -> str:
    return f"{error.type}: {error.code or '(no code)'}"


def _count(counter: Counter[str], name: str, number: int = 1) -> None:
    if name not in counter and len(counter) >= _NAMES:
        name = "(other)"
    counter[name] += number


def _rows(measure: str, name: str, value: object) -> Iterator[tuple[str, str, float]]:
    if isinstance(value, Struct):
        for field, entry in msgspec.structs.asdict(value).items():
            yield from _rows(f"{measure}.{field}", name, entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _rows(measure, key, entry)
    elif isinstance(value, int | float):
        yield measure, name, value


_OBSERVERS: Final[dict[tuple[str, str], Any]] = {
    ("server", "session.created"): Analytics._session,
    ("server", "session.updated"): Analytics._session,
    ("client", "input_audio_buffer.append"): Analytics._appended,
    ("server", "input_audio_buffer.speech_started"): Analytics._speech_started,
    ("server", "input_audio_buffer.speech_stopped"): Analytics._speech_stopped,
    ("server", "input_audio_buffer.committed"): Analytics._committed,
    ("client", "conversation.item.create"): Analytics._item_created,
    ("client", "response.create"): Analytics._asked,
    ("server", "response.created"): Analytics._created,
    ("server", "response.output_text.delta"): Analytics._said,
    ("server", "response.output_audio_transcript.delta"): Analytics._said,
    ("server", "response.function_call_arguments.delta"): Analytics._said,
    ("server", "response.output_audio.delta"): Analytics._heard,
    ("server", "response.function_call_arguments.done"): Analytics._called,
    ("server", "response.done"): Analytics._done,
    ("server", "conversation.item.truncated"): Analytics._truncated,
    ("server", "error"): Analytics._failed,
    ("server", "conversation.item.input_audio_transcription.completed"): Analytics._transcribed,
    ("server", "conversation.item.input_audio_transcription.failed"): Analytics._not_transcribed,
}
