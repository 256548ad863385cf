"""What of the model's audio was heard: a ledger in samples, one entry for each content part that speaks.

Three clocks run in a voice session: generation (the response), delivery and playback. Generation is faster than real
time, so a whole answer may have arrived before its first second was heard. The device knows what was heard, the number
of bytes handed to a player does not. So the device reports samples (or a `PlayClock` estimates them, where there is no
device that could), and the ledger turns them into the one number that the protocol wants on a barge-in,
``audio_end_ms``: an integer, never negative, never beyond the audio that arrived, for each part that was not heard to
its end, and once for each part.

The ledger decides nothing and stores no audio, at most one odd byte a part. It answers questions; the engine acts.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from operator import index
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from antiphon.engine.audio import AudioFormat, Remainder
from antiphon.engine.timers import Instant

Key: TypeAlias = tuple[str, int]
"""(item id, content index). Several items of one response may speak, so "the current item" is no key."""


class Problem(StrEnum):
    """Why a report of the player was not taken as it was."""

    UNKNOWN = "unknown"
    """No such part, or one that is long forgotten; nothing changed."""
    BEHIND = "behind"
    """The play head does not go back (and is not negative); nothing changed."""
    BEYOND = "beyond"
    """More than was received; clamped."""
    CUT = "cut"
    """The part was already cut: a report that crossed with the flush; nothing changed."""


class Played(NamedTuple):
    """The answer to a report of the player: by how many samples the play head moved, and what was wrong, if anything.

    ``accepted`` is 0 for every problem but `Problem.BEYOND`.
    """

    accepted: int
    problem: Problem | None


class Cut(Struct, frozen=True):
    """Where one part was cut. ``played`` and ``received`` are samples.

    ``audio_end_ms`` is ``played`` in ms, rounded down, and ``received_ms`` is ``received``, so that
    0 <= ``audio_end_ms`` <= ``received_ms``. ``heard_all``: generation had ended and nothing remained, so that there is
    nothing to tell the server. ``truncatable``: the server sent audio of this part; before the first audio it refuses a
    truncation.
    """

    item_id: str
    content_index: int
    audio_end_ms: int
    played: int
    received: int
    received_ms: int
    heard_all: bool
    truncatable: bool

    @property
    def owed(self) -> bool:
        """Whether the server should be sent a ``conversation.item.truncate`` (or the item deleted)."""
        return self.truncatable and not self.heard_all


class Entry:
    """One content part that speaks. Read it freely; only ``state`` is written from outside, by the table's stepper."""

    __slots__ = (
        "accepting",
        "base",
        "content_index",
        "cut",
        "cutting",
        "done",
        "format",
        "gone",
        "item_id",
        "live",
        "played",
        "received",
        "remainder",
        "response_id",
        "since",
        "state",
        "suppressed_bytes",
        "told",
    )

    def __init__(self, item_id: str, content_index: int, response_id: str | None, format: AudioFormat) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.response_id = response_id
        self.format = format
        self.remainder = Remainder(format.bytes_per_sample)
        self.received = 0
        """Whole samples handed on for playing."""
        self.played = 0
        """Samples heard, as the device reports them; never more than ``received``."""
        self.suppressed_bytes = 0
        """Bytes that came after the cut or for a superseded response, and were not handed on."""
        self.accepting = True
        """Whether audio that arrives is handed on."""
        self.done = False
        """Whether the server said that no more audio comes."""
        self.cutting = False
        """Whether a cut has begun and the player's answer is awaited."""
        self.cut: Cut | None = None
        self.told = False
        """Whether the server was sent this cut."""
        self.gone = False
        """Whether its item was deleted: the server has no audio any more that could be truncated."""
        self.since: Instant | None = None
        self.base = 0
        """By the clock: sample ``base`` and all that follows it without a gap began to sound at ``since``."""
        self.live = False
        """Whether it is one of the ledger's live entries; False in the history and after it."""
        self.state = "queued"

    def take(self, audio: bytes) -> bytes:
        """Count ``audio`` of an accepting entry; the whole samples to hand on, ``audio`` itself in the usual case."""
        audio = self.remainder.feed(audio)
        self.received += len(audio) // self.remainder.bytes_per_sample
        return audio

    @property
    def key(self) -> Key:
        return self.item_id, self.content_index

    @property
    def remaining(self) -> int:
        """Samples received and not heard."""
        return self.received - self.played

    @property
    def sent(self) -> int:
        """Samples that the server sent of this part, those that were not handed on included."""
        return self.received + self.suppressed_bytes // self.remainder.bytes_per_sample

    @property
    def heard_all(self) -> bool:
        """Whether the listener heard everything the server sent, and no more comes."""
        return self.done and self.played == self.received and not self.suppressed_bytes

    @property
    def settled(self) -> bool:
        """Whether nothing is left to happen: heard to its end, or cut, with generation over in both cases."""
        return self.done and not self.cutting and (self.cut is not None or self.heard_all)

    def __repr__(self) -> str:
        return (
            f"Entry(item_id={self.item_id!r}, content_index={self.content_index}, response_id={self.response_id!r}, "
            f"state={self.state!r}, played={self.played}, received={self.received}, done={self.done}, "
            f"cut={'begun' if self.cutting else self.cut!r})"
        )


class EntryState(Struct, frozen=True):
    """An `Entry` as data; ``since`` in ns from the moment of the dump."""

    item_id: str
    content_index: int
    response_id: str | None
    format: AudioFormat
    received: int
    played: int
    suppressed_bytes: int
    accepting: bool
    done: bool
    cutting: bool
    cut: Cut | None
    told: bool
    gone: bool
    since: int | None
    base: int
    state: str
    kept: bytes

    def __repr__(self) -> str:
        return (
            f"EntryState(item_id={self.item_id!r}, content_index={self.content_index}, state={self.state!r}, "
            f"played={self.played}, received={self.received}, kept=<{len(self.kept)} bytes>)"
        )


class PlaybackState(Struct, frozen=True):
    """`PlaybackLedger` as data: JSON-serialisable by msgspec, no audio beyond an odd byte a part."""

    live: tuple[EntryState, ...]
    history: tuple[EntryState, ...]
    superseded: tuple[str, ...]
    forgotten_received_ms: int
    forgotten_played_ms: int
    abandoned: int


class Heard(NamedTuple):
    """How much of one content part was heard; ``cut`` when playback of it was cut."""

    content_index: int
    played_ms: int
    received_ms: int
    cut: bool


class Totals(NamedTuple):
    """ms over all parts since the beginning, each part rounded down; ``unheard_ms`` is what still waits to be heard."""

    received_ms: int
    played_ms: int
    unheard_ms: int


class PlaybackLedger:
    """One `Entry` for each content part that speaks, in order of arrival.

    Entries are *live* until they settle (heard to the end or cut, and generation over), then they are kept in a history
    so that late news about them still finds them. At most ``live_limit`` entries are live; one more, and the oldest is
    given up and counted in ``abandoned`` (a player that never reports, or a peer that opens parts without end). The
    history holds the newest ``history_limit``. How long the unheard audio is does not matter: none of it is held here.

    Raises ValueError for a limit below 1.
    """

    __slots__ = (
        "_forgotten_played_ms",
        "_forgotten_received_ms",
        "_history",
        "_history_limit",
        "_live",
        "_live_limit",
        "_superseded",
        "abandoned",
    )

    def __init__(self, *, live_limit: int, history_limit: int) -> None:
        if live_limit < 1 or history_limit < 1:
            raise ValueError("limits must be at least 1")
        self._live_limit = live_limit
        self._history_limit = history_limit
        self._live: dict[Key, Entry] = {}
        self._history: dict[Key, Entry] = {}
        self._superseded: dict[str, None] = {}
        self._forgotten_received_ms = 0
        self._forgotten_played_ms = 0
        self.abandoned = 0
        """Entries given up because too many were live."""

    # -- audio comes in ------------------------------------------------------------------------------------------------

    def received(
        self, item_id: str, content_index: int, response_id: str | None, audio: bytes, format: AudioFormat
    ) -> tuple[int, bytes] | None:
        """Count ``audio``: (position of its first sample in the part, whole samples), or None: nobody is to hear it.

        None once the part is being cut or its response superseded: stragglers between a cancel and ``response.done``
        are normal. The bytes are ``b""`` when a chunk completes no sample, and ``audio`` itself in the usual case. The
        format of the first chunk holds for the part; ``response_id`` is None where a peer does not say it. Audio after
        `done` is taken all the same.
        """
        entry = self.admit(item_id, content_index, response_id, len(audio), format)
        if entry is None:
            return None
        start = entry.received
        return start, entry.take(audio)

    def admit(
        self, item_id: str, content_index: int, response_id: str | None, nbytes: int, format: AudioFormat
    ) -> Entry | None:
        """The entry that takes ``nbytes`` of audio; None when nobody is to hear them, which the entry counts.

        Half of `received`, for those who keep the entry: while it is live and accepting, it may `take` more.
        """
        key = (item_id, content_index)
        entry = self._live.get(key)
        if entry is None:
            entry = self._history.get(key)
            if entry is None:
                entry = Entry(item_id, content_index, response_id, format)
                entry.accepting = response_id not in self._superseded
                self._add(entry)
            elif entry.cut is None:
                # It was taken for settled and speaks again: someone has to hear that, or to learn that nobody did.
                del self._history[key]
                self._add(entry)
        if entry.accepting:
            return entry
        entry.suppressed_bytes += nbytes
        return None

    def done(self, item_id: str, content_index: int) -> Entry | None:
        """The server said that this part's audio is complete (``response.output_audio.done``); None: no such part."""
        entry = self.get(item_id, content_index)
        if entry is not None:
            self._finish(entry)
        return entry

    def response_done(self, response_id: str) -> tuple[Entry, ...]:
        """The response ended, and the audio of its parts too. The entries for which that is news, as they arrived."""
        self._superseded.pop(response_id, None)
        return self._finish_all(entry for entry in self._live.values() if entry.response_id == response_id)

    def transport_lost(self) -> tuple[Entry, ...]:
        """The socket is gone, and every response with it. The entries for which that is news, as they arrived."""
        self._superseded.clear()
        return self._finish_all(iter(self._live.values()))

    def supersede(self, response_id: str) -> None:
        """From now on audio of this response is not handed on, be it for parts that exist or for new ones.

        What was received before stays as it is: cutting it is another decision. `response_done` ends the memory of it;
        at most ``live_limit`` responses are remembered, the newest.
        """
        self._superseded[response_id] = None
        if len(self._superseded) > self._live_limit:
            del self._superseded[next(iter(self._superseded))]
        for entry in self._live.values():
            if entry.response_id == response_id:
                entry.accepting = False

    # -- the player reports --------------------------------------------------------------------------------------------

    def played(self, item_id: str, content_index: int, samples: int) -> Played:
        """The device has played ``samples`` samples of this part so far, counted from its beginning.

        The play head never goes back and never beyond what was received. It still moves while a cut waits for the
        player's answer. Raises TypeError when ``samples`` is no integer.
        """
        samples = index(samples)
        entry = self.get(item_id, content_index)
        if entry is None:
            return Played(0, Problem.UNKNOWN)
        if entry.cut is not None:
            return Played(0, Problem.CUT)
        before = entry.played
        if samples < before:
            return Played(0, Problem.BEHIND)
        entry.played = min(samples, entry.received)
        self._settle(entry)
        return Played(entry.played - before, Problem.BEYOND if samples > entry.received else None)

    # -- cutting -------------------------------------------------------------------------------------------------------

    def unheard(self) -> list[Entry]:
        """What a barge-in has to cut, in order of arrival.

        Every live part that is not cut or being cut and was not heard to its end. One whose generation still runs
        counts even if all that arrived was heard: more may come. So does one whose audio was all suppressed: the server
        believes that it was said.
        """
        return [
            entry for entry in self._live.values() if entry.cut is None and not entry.cutting and not entry.heard_all
        ]

    def begin_cut(self, entry: Entry) -> bool:
        """Stop handing on audio of this part and wait for the player's answer. False when a cut had already begun."""
        if entry.cutting or entry.cut is not None:
            return False
        entry.cutting = True
        entry.accepting = False
        return True

    def finish_cut(self, entry: Entry, samples: int | None) -> Cut | None:
        """Cut where the player stopped, after ``samples`` samples; where it was last seen if it did not answer (None).

        The play head does not go back here either, so ``samples`` below what was reported already is taken as that.
        None when no cut of this part is under way: it never began, or this is a second answer. Raises TypeError when
        ``samples`` is neither an integer nor None; then nothing changed.
        """
        stopped = entry.played if samples is None else min(max(index(samples), entry.played), entry.received)
        if not entry.cutting:
            return None
        entry.played = stopped
        entry.cutting = False
        entry.cut = cut = Cut(
            item_id=entry.item_id,
            content_index=entry.content_index,
            audio_end_ms=entry.format.ms(stopped),
            played=stopped,
            received=entry.received,
            received_ms=entry.format.ms(entry.received),
            heard_all=entry.heard_all,
            truncatable=bool(entry.received or entry.suppressed_bytes),
        )
        self._settle(entry)
        return cut

    # -- looking -------------------------------------------------------------------------------------------------------

    def get(self, item_id: str, content_index: int) -> Entry | None:
        """The entry of this part, live or in the history; None when it never spoke or is forgotten."""
        key = (item_id, content_index)
        return self._live.get(key) or self._history.get(key)

    @property
    def live(self) -> tuple[Entry, ...]:
        """The entries that are not settled, in order of arrival."""
        return tuple(self._live.values())

    def parts(self, item_id: str) -> list[Entry]:
        """The entries of an item, by content index. Looks at all entries."""
        return sorted((entry for entry in self if entry.item_id == item_id), key=lambda entry: entry.content_index)

    def deleted(self, item_id: str) -> None:
        """The server deleted an item. What a device still plays of it is counted, and never truncated (R-B3)."""
        for entry in self.parts(item_id):
            entry.gone = True

    def heard(self, item_id: str) -> tuple[Heard, ...]:
        """What was heard of each part of an item that spoke, by content index; ``()`` for an unknown item.

        Looks at all entries.
        """
        return tuple(
            Heard(part.content_index, part.format.ms(part.played), part.format.ms(part.received), part.cut is not None)
            for part in self.parts(item_id)
        )

    def totals(self) -> Totals:
        """How much audio arrived and was heard since the beginning, forgotten parts too. Looks at all entries."""
        received = self._forgotten_received_ms
        played = self._forgotten_played_ms
        for entry in self:
            received += entry.format.ms(entry.received)
            played += entry.format.ms(entry.played)
        unheard = sum(entry.format.ms(entry.remaining) for entry in self._live.values() if entry.cut is None)
        return Totals(received, played, unheard)

    @property
    def quiet(self) -> bool:
        """Whether the listener has nothing left to hear: no received sample waits in a part that is not cut."""
        return all(entry.cut is not None or entry.played == entry.received for entry in self._live.values())

    def __iter__(self) -> Iterator[Entry]:
        """The history, then what is live; each in its order."""
        return chain(self._history.values(), self._live.values())

    def __len__(self) -> int:
        """Entries held, live and history; never above the sum of both limits."""
        return len(self._live) + len(self._history)

    # -- as data -------------------------------------------------------------------------------------------------------

    def dump(self, now: Instant = 0) -> PlaybackState:
        """The ledger as data, at ``now``."""
        return PlaybackState(
            live=tuple(_entry_state(entry, now) for entry in self._live.values()),
            history=tuple(_entry_state(entry, now) for entry in self._history.values()),
            superseded=tuple(self._superseded),
            forgotten_received_ms=self._forgotten_received_ms,
            forgotten_played_ms=self._forgotten_played_ms,
            abandoned=self.abandoned,
        )

    @classmethod
    def load(cls, state: PlaybackState, *, live_limit: int, history_limit: int, now: Instant = 0) -> PlaybackLedger:
        """The ledger that `dump` described, at ``now`` and under these limits; what exceeds them goes as it would have
        gone."""
        ledger = cls(live_limit=live_limit, history_limit=history_limit)
        ledger._forgotten_received_ms = state.forgotten_received_ms
        ledger._forgotten_played_ms = state.forgotten_played_ms
        ledger.abandoned = state.abandoned
        for past in state.history:
            ledger._remember(_entry(past, now))
        for present in state.live:
            ledger._add(_entry(present, now))
        ledger._superseded.update(dict.fromkeys(state.superseded[-live_limit:]))
        return ledger

    def __repr__(self) -> str:
        return f"PlaybackLedger(live={len(self._live)}, history={len(self._history)}, abandoned={self.abandoned})"

    # -- inside --------------------------------------------------------------------------------------------------------

    def _add(self, entry: Entry) -> None:
        self._live[entry.key] = entry
        entry.live = True
        if len(self._live) > self._live_limit:
            oldest = next(iter(self._live.values()))
            del self._live[oldest.key]
            self._remember(oldest)
            self.abandoned += 1

    def _remember(self, entry: Entry) -> None:
        self._history[entry.key] = entry
        entry.live = False
        if len(self._history) > self._history_limit:
            oldest = next(iter(self._history.values()))
            del self._history[oldest.key]
            self._forgotten_received_ms += oldest.format.ms(oldest.received)
            self._forgotten_played_ms += oldest.format.ms(oldest.played)

    def _finish(self, entry: Entry) -> None:
        entry.done = True
        self._settle(entry)

    def _finish_all(self, entries: Iterator[Entry]) -> tuple[Entry, ...]:
        news = tuple(entry for entry in entries if not entry.done)
        for entry in news:
            self._finish(entry)
        return news

    def _settle(self, entry: Entry) -> None:
        if entry.settled and self._live.pop(entry.key, None) is not None:
            self._remember(entry)


def _entry_state(entry: Entry, now: Instant) -> EntryState:
    return EntryState(
        item_id=entry.item_id,
        content_index=entry.content_index,
        response_id=entry.response_id,
        format=entry.format,
        received=entry.received,
        played=entry.played,
        suppressed_bytes=entry.suppressed_bytes,
        accepting=entry.accepting,
        done=entry.done,
        cutting=entry.cutting,
        cut=entry.cut,
        told=entry.told,
        gone=entry.gone,
        since=None if entry.since is None else entry.since - now,
        base=entry.base,
        state=entry.state,
        kept=entry.remainder.kept,
    )


def _entry(state: EntryState, now: Instant) -> Entry:
    entry = Entry(state.item_id, state.content_index, state.response_id, state.format)
    entry.received = state.received
    entry.played = state.played
    entry.suppressed_bytes = state.suppressed_bytes
    entry.accepting = state.accepting
    entry.done = state.done
    entry.cutting = state.cutting
    entry.cut = state.cut
    entry.told = state.told
    entry.gone = state.gone
    entry.since = None if state.since is None else state.since + now
    entry.base = state.base
    entry.state = state.state
    entry.remainder.kept = state.kept
    return entry
