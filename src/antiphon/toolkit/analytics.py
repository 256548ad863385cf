"""What happened in a session, in numbers: counts, timing, latency, interruptions, tools, tokens, errors.

`Analytics.observe` takes one event after another, each with its direction and, where there is a clock, its instant. It
looks at each event once and keeps a bounded amount whatever the length of the recording; `Analytics.merge` adds
another session, so that ten thousand of them need no more memory than one. Each answer on its own is a `Turn`, handed
to ``on_turn`` once nothing more can change in it.

How each duration is measured (all in ms):

* *time to first token*: from ``response.created`` to the first delta of text, transcript or arguments;
* *time to first audio*: from ``response.created`` to the first delta of audio;
* *turn latency*: from the end of the user's newest turn (``speech_stopped``; else the commit or the `response.create`
  that was sent) to the first delta of any kind of the response that answers it: what the user waits for. Speech that
  was cleared is no turn, and a `response.create` that was refused ends none;
* *voice latency*: the same to the first delta of audio: what the user waits for in silence;
* *response duration*: from ``response.created`` to ``response.done``: generation, not playback;
* *tool duration*: from the end of a call's arguments to the output that is sent for it.

An *interruption* is speech into a response that goes on, or a cut of one that was still being played. Of what was cut,
the heard part is what the player told (`Analytics.audio_played`), else where the server confirmed the cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K, AudioFormat
from antiphon.engine.prices import Cost, PriceTable
from antiphon.engine.request import OCCUPIED
from antiphon.engine.timers import MS, Instant
from antiphon.engine.usage import Usage
from antiphon.toolkit.bystander import AnyEvent
from antiphon.toolkit.distribution import Distribution, Summary
from antiphon.toolkit.errors import RealtimeError
from antiphon.toolkit.event_types import canonical
from antiphon.toolkit.export import portable_id
from antiphon.toolkit.turns import Turn

__all__ = ["Analysis", "Analytics", "Direction"]

Direction: TypeAlias = Literal["client", "server"]
"""Who said it."""

_OPEN: Final = 256
"""Responses, their sounding parts, and calls without output that are followed at the same time; beyond, the oldest is
not followed further."""

_ITEMS: Final = 4096
"""Items of the user that are known again when they are sent to another session."""

_NAMES: Final = 1024
"""Different types, codes and tools that are counted by name; beyond, under ``(other)``."""


class Analysis(Struct, frozen=True, kw_only=True):
    """The numbers. Durations are ms; a `Summary` of nothing has count 0. ``responses`` are counted by final status
    (``lost`` with their socket: see `Analytics.socket_ended`),
    ``cancelled_by`` by the reason that the server gave, ``errors`` by class and code. ``cuts`` are the answers of which
    is known how much was heard before they were cut: ``cut_heard_ms`` of ``cut_received_ms``."""

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
    voice_latency: Summary
    response_duration: Summary
    interruptions: int
    truncations: Summary
    cuts: int
    cut_heard_ms: int
    cut_received_ms: int
    tools: dict[str, int]
    tool_duration: Summary
    audio_sent_ms: int
    audio_received_ms: int
    usage: Usage
    errors: dict[str, int]


class _Sound:
    """A part of an answer that sounds: how much of it came, and how much was heard, in ms."""

    __slots__ = ("heard_ms", "received_ms", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.received_ms = 0.0
        self.heard_ms = 0.0


class Analytics:
    """The numbers of one session as it runs, or of many once merged.

    ``input_format`` and ``output_format`` say how long audio is until the session itself names its formats. ``on_turn``
    gets each answer, in the order in which they began: when 256 newer ones are followed, or at `finish`.

    ``audio_cut``, which may be set at any time: the audio of the recording was shortened, so how long it lasted is not
    known and not counted.
    """

    def __init__(
        self,
        *,
        input_format: AudioFormat = PCM16_24K,
        output_format: AudioFormat = PCM16_24K,
        sessions: int = 1,
        audio_cut: bool = False,
        on_turn: Callable[[Turn], None] | None = None,
    ) -> None:
        self.audio_cut = audio_cut
        self._on_turn = on_turn
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
        self._voice_latency = Distribution()
        self._duration = Distribution()
        self._interruptions = 0
        self._truncations = Distribution()
        self._cuts = 0
        self._cut_ms = {"heard": 0.0, "received": 0.0}
        self._tools: Counter[str] = Counter()
        self._tool_duration = Distribution()
        self._audio_ms = {"client": 0.0, "server": 0.0}
        self._models: tuple[str | None, str | None] = (None, None)
        self._usage: dict[tuple[str | None, str | None], Usage] = {}
        self._errors: Counter[str] = Counter()
        self._answers: dict[str, Turn] = {}
        self._sounding: dict[tuple[str, int], _Sound] = {}
        self._calls: dict[str, Instant | None] = {}
        self._said_items: dict[str, None] = {}
        self._turn_ended: Instant | None = None
        # Whether the next `response.create` says when the turn ended, and the id of the one that last did
        self._is_asked_for = True
        self._request: str | UnsetType | None = None
        self._speaking = False

    # -- in ------------------------------------------------------------------------------------------------------------

    def observe(self, direction: Direction, event: AnyEvent, at: Instant | None = None) -> None:
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

    def audio_played(self, item_id: str, content_index: int, samples: int) -> None:
        """The player's word: this much of the part was played in all, in samples of the session's output format. The
        same that a session is told (`ClientSession.audio_played`), and just as optional."""
        sound = self._sounding.get((item_id, content_index))
        if sound is not None:
            self._hear(sound, samples * 1000 / self._formats["server"].rate)

    def socket_ended(self) -> None:
        """The socket is gone, and with it the answers that went on: their status is ``lost``."""
        for turn in self._answers.values():
            if turn.status is None:
                turn.status = "lost"
                _count(self._responses, "lost")
        self._speaking = False
        self._turn_ends(None)

    def finish(self) -> None:
        """The session is over: hand out the answers that are still followed, those that never ended too."""
        while self._answers:
            self._let_go(next(iter(self._answers)))

    def merge(self, other: Analytics) -> None:
        """Add the numbers of another session, which has ended: it is finished first."""
        other.finish()
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
            (self._voice_latency, other._voice_latency),
            (self._duration, other._duration),
            (self._truncations, other._truncations),
            (self._tool_duration, other._tool_duration),
        ):
            one.merge(two)
        for models, usage in other._usage.items():
            self._use(models, usage)
        self._cuts += other._cuts
        for part in self._cut_ms:
            self._cut_ms[part] += other._cut_ms[part]
        self._turns += other._turns
        self._interruptions += other._interruptions
        for side in self._audio_ms:
            self._audio_ms[side] += other._audio_ms[side]

    # -- out -----------------------------------------------------------------------------------------------------------

    def analysis(self) -> Analysis:
        """The numbers so far."""
        known = [turn for turn in self._answers.values() if _cut_is_known(turn)]
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
            voice_latency=self._voice_latency.summary(),
            response_duration=self._duration.summary(),
            interruptions=self._interruptions,
            truncations=self._truncations.summary(),
            cuts=self._cuts + len(known),
            cut_heard_ms=int(self._cut_ms["heard"] + sum(turn.heard_ms or 0.0 for turn in known)),
            cut_received_ms=int(self._cut_ms["received"] + sum(turn.received_ms for turn in known)),
            tools=dict(self._tools.most_common()),
            tool_duration=self._tool_duration.summary(),
            audio_sent_ms=int(self._audio_ms["client"]),
            audio_received_ms=int(self._audio_ms["server"]),
            usage=self.usage,
            errors=dict(self._errors.most_common()),
        )

    @property
    def usage(self) -> Usage:
        """What all of it used."""
        return sum(self._usage.values(), Usage())

    def cost(self, prices: PriceTable) -> Cost:
        """What all of it cost, each part at the prices of the model that the session named when it was used."""
        amount = Decimal(0)
        unpriced: dict[str, float] = {}
        for (model, transcription_model), usage in self._usage.items():
            cost = prices.cost(usage, model=model, transcription_model=transcription_model)
            amount += cost.amount
            for kind, number in cost.unpriced.items():
                unpriced[kind] = unpriced.get(kind, 0) + number
        return Cost(amount, prices.currency, unpriced)

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
        session = event.session
        model, audio = getattr(session, "model", UNSET), session.audio
        self._models = (model or self._models[0], _transcription_model(audio, self._models[1]))
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

    def _sounded(self, side: str, audio: str) -> float:
        if self.audio_cut:
            return 0.0
        format = self._formats[side]
        nbytes = len(audio) * 3 // 4 - audio[-2:].count("=")
        ms = nbytes * 1000 / (format.bytes_per_sample * format.rate)
        self._audio_ms[side] += ms
        return ms

    def _speech_started(self, _event: object, _at: Instant | None) -> None:
        self._speaking = True
        speaking = next((turn for turn in reversed(self._answers.values()) if turn.status is None), None)
        if speaking is not None:
            self._interrupted(speaking)

    def _interrupted(self, turn: Turn) -> None:
        self._interruptions += not turn.interrupted
        turn.interrupted = True

    def _speech_stopped(self, _event: object, at: Instant | None) -> None:
        self._turn_ends(at)

    def _turn_ends(self, at: Instant | None) -> None:
        """The turn ended here, whenever an answer is asked for; None: there is none that waits for an answer."""
        self._turn_ended = at
        self._is_asked_for = at is None

    def _committed(self, event: m.InputAudioBufferCommitted, at: Instant | None) -> None:
        self._turns += 1
        self._is_new(event.item_id)
        if not self._speaking:
            self._turn_ends(at)
        self._speaking = False

    def _discarded(self, _event: object, _at: Instant | None) -> None:
        if self._speaking:
            self._speaking = False
            self._turn_ends(None)

    def _item_created(self, event: m.ConversationItemCreate, at: Instant | None) -> None:
        item = event.item
        if isinstance(item, m.MessageItem) and item.role == "user":
            if self._is_new(item.id):
                self._turns += 1
                self._is_asked_for = True  # whatever ended before it, this turn is newer
        elif isinstance(item, m.FunctionCallOutputItem):
            finished = self._calls.pop(item.call_id, None)
            if finished is not None and at is not None:
                self._tool_duration.add((at - finished) / MS)

    def _item_added(self, event: m.ConversationItemAdded, _at: Instant | None) -> None:
        if isinstance(event.item, m.MessageItem) and event.item.role == "user":
            self._is_new(event.item.id)

    def _is_new(self, item_id: str | UnsetType | None) -> bool:
        """Whether no item of this id was seen: a history that is told again after a reconnect is no new turn."""
        if not isinstance(item_id, str):
            return True
        key = portable_id(item_id)
        if key in self._said_items:
            return False
        self._said_items[key] = None
        if len(self._said_items) > _ITEMS:
            del self._said_items[next(iter(self._said_items))]
        return True

    def _asked(self, event: m.ResponseCreate, at: Instant | None) -> None:
        if self._is_asked_for:
            self._turn_ended = at
            self._request = event.event_id

    def _created(self, event: m.ResponseCreated, at: Instant | None) -> None:
        response_id = event.response.id
        if response_id in self._answers:
            self._let_go(response_id)  # two of one name: the newer one is meant from here on
        model, transcription_model = self._models
        self._answers[response_id] = Turn(
            response_id=response_id,
            created=at,
            turn_ended=self._turn_ended,
            model=model,
            transcription_model=transcription_model,
        )
        self._turn_ends(None)
        if len(self._answers) > _OPEN:
            self._let_go(next(iter(self._answers)))

    def _let_go(self, response_id: str) -> None:
        turn = self._answers.pop(response_id)
        if _cut_is_known(turn):
            self._cuts += 1
            self._cut_ms["heard"] += turn.heard_ms or 0.0
            self._cut_ms["received"] += turn.received_ms
        if self._on_turn is not None:
            self._on_turn(turn)

    def _said(self, event: Any, at: Instant | None) -> None:
        turn = self._answers.get(event.response_id)
        if turn is None or at is None or turn.status is not None:
            return
        is_audio = isinstance(event, m.ResponseOutputAudioDelta)
        if turn.turn_ended is not None:
            if turn.latency_ms is None:
                turn.latency_ms = self._measured(self._latency, turn.turn_ended, at)
            if is_audio and turn.voice_latency_ms is None:
                turn.voice_latency_ms = self._measured(self._voice_latency, turn.turn_ended, at)
        if turn.created is not None:
            if is_audio and turn.first_audio_ms is None:
                turn.first_audio_ms = self._measured(self._first_audio, turn.created, at)
            elif not is_audio and turn.first_token_ms is None:
                turn.first_token_ms = self._measured(self._first_token, turn.created, at)

    @staticmethod
    def _measured(distribution: Distribution, since: Instant, at: Instant) -> float:
        ms = (at - since) / MS
        distribution.add(ms)
        return ms

    def _sounds(self, event: m.ResponseOutputAudioDelta, at: Instant | None) -> None:
        ms = self._sounded("server", event.delta)
        turn = self._answers.get(event.response_id)
        if turn is None:
            return
        turn.received_ms += ms
        part = (event.item_id, event.content_index)
        sound = self._sounding.get(part)
        if sound is None:
            sound = self._sounding[part] = _Sound(turn)
            if len(self._sounding) > _OPEN:
                del self._sounding[next(iter(self._sounding))]
        sound.received_ms += ms
        self._said(event, at)

    def _hear(self, sound: _Sound, ms: float) -> None:
        ms = max(0.0, ms if self.audio_cut else min(ms, sound.received_ms))
        sound.turn.heard_ms = (sound.turn.heard_ms or 0.0) + ms - sound.heard_ms
        sound.heard_ms = ms

    def _called(self, event: m.ResponseFunctionCallArgumentsDone, at: Instant | None) -> None:
        _count(self._tools, event.name or "(unnamed)")
        turn = self._answers.get(event.response_id)
        if turn is not None:
            turn.calls += 1
        self._calls[event.call_id] = at
        if len(self._calls) > _OPEN:
            del self._calls[next(iter(self._calls))]

    def _done(self, event: m.ResponseDone, at: Instant | None) -> None:
        response = event.response
        status = response.status or "(none)"
        _count(self._responses, status)
        details = response.status_details
        reason = (details.reason if details else None) or None
        if status == "cancelled":
            _count(self._cancelled_by, reason or "(none)")
        told = Usage.of(response.usage)
        used = Usage.of(event.usage) if told.unknown else told  # one vendor tells it beside the response
        error = RealtimeError.from_response(response)
        if error is not None:
            _count(self._errors, _label(error))
        turn = self._answers.get(response.id)
        if turn is None or turn.status is not None:
            self._use(self._models, used)
            return
        self._use((turn.model, turn.transcription_model), used)
        turn.status, turn.reason, turn.usage, turn.ended = status, reason, used, at
        turn.error = None if error is None else _label(error)
        if turn.created is not None and at is not None:
            turn.duration_ms = self._measured(self._duration, turn.created, at)

    def _use(self, models: tuple[str | None, str | None], usage: Usage) -> None:
        if models not in self._usage and len(self._usage) >= _NAMES:
            models = (None, None)
        self._usage[models] = self._usage.get(models, Usage()) + usage

    def _truncated(self, event: m.ConversationItemTruncated, _at: Instant | None) -> None:
        self._truncations.add(event.audio_end_ms)
        sound = self._sounding.get((event.item_id, event.content_index))
        if sound is not None:
            sound.turn.cut = True
            self._interrupted(sound.turn)
            self._hear(sound, event.audio_end_ms)

    def _cleared(self, event: m.OutputAudioBufferCleared, _at: Instant | None) -> None:
        turn = self._answers.get(event.response_id)
        if turn is not None:
            turn.cut = True
            self._interrupted(turn)

    def _failed(self, event: m.Error, _at: Instant | None) -> None:
        error = RealtimeError.from_event(event)
        _count(self._errors, _label(error))
        refused = error.event_id == self._request if error.event_id else error.code == OCCUPIED
        if refused and self._is_asked_for:
            self._turn_ended = None

    def _transcribed(self, event: m.ConversationItemInputAudioTranscriptionCompleted, _at: Instant | None) -> None:
        self._use(self._models, Usage().transcribed(event.usage))

    def _not_transcribed(self, event: m.ConversationItemInputAudioTranscriptionFailed, _at: Instant | None) -> None:
        _count(self._errors, f"transcription: {event.error.code or '(no code)'}")


def _transcription_model(audio: object, before: str | None) -> str | None:
    """The model that writes down what the user says, as the session names it: None once it is switched off."""
    given = getattr(getattr(audio, "input", UNSET), "transcription", UNSET)
    if given is UNSET:
        return before
    return getattr(given, "model", None) or None


def _cut_is_known(turn: Turn) -> bool:
    return turn.cut and turn.heard_ms is not None and turn.received_ms > 0


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
    ("server", "input_audio_buffer.cleared"): Analytics._discarded,
    ("client", "conversation.item.create"): Analytics._item_created,
    ("server", "conversation.item.added"): Analytics._item_added,
    ("server", "conversation.item.created"): Analytics._item_added,
    ("client", "response.create"): Analytics._asked,
    ("server", "response.created"): Analytics._created,
    ("server", "response.output_text.delta"): Analytics._said,
    ("server", "response.output_audio_transcript.delta"): Analytics._said,
    ("server", "response.function_call_arguments.delta"): Analytics._said,
    ("server", "response.output_audio.delta"): Analytics._sounds,
    ("server", "response.function_call_arguments.done"): Analytics._called,
    ("server", "response.done"): Analytics._done,
    ("server", "conversation.item.truncated"): Analytics._truncated,
    ("server", "output_audio_buffer.cleared"): Analytics._cleared,
    ("server", "error"): Analytics._failed,
    ("server", "conversation.item.input_audio_transcription.completed"): Analytics._transcribed,
    ("server", "conversation.item.input_audio_transcription.failed"): Analytics._not_transcribed,
}
