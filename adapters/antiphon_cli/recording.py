"""Everything that is learned of one recorded session in one reading: figures, flows, broken rules, what was said.

A `Recording` is fed the entries of one journal, and keeps a bounded amount of them whatever its length; a `Totals` adds
up recordings, and keeps the same whatever their number.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

from msgspec import Struct

import antiphon
from antiphon import Conversation
from antiphon.machines import RULES
from antiphon.toolkit import (
    Analytics,
    CutLine,
    Direction,
    Entry,
    FlowTally,
    Foreign,
    Line,
    Note,
    Row,
    Timeline,
    Transcript,
    Turn,
    portable_id,
)
from antiphon_cli.journal import JournalError, PassedOver, read_journal
from antiphon_cli.observer import AnyEvent, Observer, Open, Transport, Violation, tells_of_webrtc

__all__ = ["BrokenRule", "Recording", "Sink", "Totals", "Watcher", "read_recording", "transport_of"]

_KEPT_VIOLATIONS: Final = 200
"""Violations that are kept in full; all are counted by rule."""

_KEPT_LINES: Final = 20_000
"""Lines that are kept of what was said over earlier sockets."""


class BrokenRule(Struct):
    """One rule, how often it was broken, and in which line first."""

    rule: str
    title: str
    count: int
    first_line: int


class Watcher:
    """Something else that wants to see a recording while it is read: override what it wants to see."""

    def audio_cut(self) -> None:
        """The recorder shortened the audio: from here on nothing that counts it is told."""

    def row(self, row: Row) -> None:
        """A row, as it stands in the journal."""

    def event(self, row: Row, event: AnyEvent, at: int | None) -> None:
        """The event of a row, which could be read; ``at`` in ns never goes back."""

    def played(self, item_id: str, content_index: int, samples: int, line: int, at: int | None) -> None:
        """What the player said that it has played of a part, in all."""

    def socket_ended(self, line: int, at: int | None) -> None:
        """The recorder was told that the socket is gone."""

    def turn(self, turn: Turn) -> None:
        """An answer, when nothing more can change in it."""

    def broken(self, violation: Violation) -> None:
        """A broken rule."""

    def remark(self, line: int, text: str, at: int | None) -> None:
        """A line that is no event and means something to a reader."""


class Sink:
    """Where what is learned of recordings goes, one after another. A context manager, for what it may have open."""

    def begin(self, name: str) -> Watcher | None:
        """The next file, and what has to see it while it is read."""
        return None

    def add(self, recording: Recording) -> None:
        """It was read."""

    def finish(self, totals: Totals, exit_code: int) -> None:
        """All were read."""

    def close(self) -> None:
        """Let go of what is open, finished or not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Recording:
    """One recorded session. Feed it its entries in order, then call `finish` once.

    ``unreadable`` is the reason when nothing, or not all, could be read; what came before is there all the same.
    """

    def __init__(
        self,
        name: str,
        *,
        audio_cut: bool = False,
        transport: Transport | None = None,
        watchers: Iterable[Watcher] = (),
    ) -> None:
        self.name = name.encode("utf-8", "backslashreplace").decode()  # a name of a file need be no text
        self.lines = 0
        self.analytics = Analytics(on_turn=self._turn)
        self.flows = FlowTally()
        self.rules: dict[str, BrokenRule] = {}
        self.violations: list[Violation] = []
        self.open_at_end: list[Open] = []
        self.notes: list[str] = []
        self.unreadable: str | None = None
        self._observer = Observer(
            audio_cut=audio_cut, transport=transport, on_event=self._event, on_action=self._action
        )
        self._timeline = Timeline()
        self._said_before: dict[str, Line] = {}
        self._watchers = tuple(watchers)
        if audio_cut:
            self._cut()
        self._now: int | None = None
        self._passed_over = PassedOver()
        self._backwards = self._timed = 0
        self._first_backwards = 0

    @property
    def events(self) -> dict[Direction, int]:
        """Rows by who said it, those that could not be read as an event too."""
        return self._observer.events

    @property
    def transport(self) -> Transport | None:
        """What the recording was taken from, None where no event told."""
        return self._observer.transport

    @property
    def audio_cut(self) -> bool:
        """Whether the recorder shortened the audio, so that lengths of audio are not those of the session."""
        return self._observer.audio_cut

    @property
    def timed(self) -> bool:
        """Whether any row tells when it was."""
        return bool(self._timed)

    @property
    def broken(self) -> int:
        """How often a rule was broken."""
        return sum(each.count for each in self.rules.values())

    def transcript(self) -> Transcript | None:
        """What was said, None where there is no session. Its lines know when only if the rows do."""
        session = self._observer.session
        if session is None:
            return None
        return _Whole(session.conversation, self._timeline if self._timed else None, self._said_before)

    def lines_said(self) -> Iterator[Line]:
        """The lines of the transcript that say something."""
        transcript = self.transcript()
        return iter(()) if transcript is None else (line for line in transcript if line.text)

    # -- in ------------------------------------------------------------------------------------------------------------

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        self.lines = entry.number
        match entry:
            case Row():
                self._clock(entry)
                for watcher in self._watchers:
                    watcher.row(entry)
            case Note():
                self._note(entry)
            case CutLine() | Foreign():
                if isinstance(entry, Foreign):
                    self.unreadable = self.unreadable or f"{self.name}:{entry.number}: {entry.reason}"
                self._tell(entry.number, self._passed_over.add(entry), self._now)
        self._broke(self._observer.feed(entry))
        if isinstance(entry, Note) and entry.opens_socket:
            # Another session begins. What was said in this one stays, also where nobody tells it to the next.
            for line in self.transcript() or ():
                if len(self._said_before) < _KEPT_LINES:
                    self._said_before.setdefault(portable_id(line.item_id), line)
        if self._observer.audio_cut and not self.analytics.audio_cut:
            self._cut()

    def _cut(self) -> None:
        self.analytics.audio_cut = True
        for watcher in self._watchers:
            watcher.audio_cut()

    def finish(self) -> None:
        """The journal is over."""
        violations, self.open_at_end = self._observer.finish()
        self._broke(violations)
        self.analytics.finish()
        self.notes += self._passed_over.notes()
        if self._backwards:
            self.notes.append(
                f"in {_rows(self._backwards)} the time goes back, first in line {self._first_backwards}: "
                "the latest time before it was taken"
            )
        if self._observer.forgotten:
            self.notes.append("the session is beyond the bounds of the engine: its oldest content was forgotten")
        if self.audio_cut:
            self.notes.append("the audio was cut by the recorder: how long it lasted is not known")
        told = self.events["client"] + self.events["server"]
        if told and not self._timed:
            self.notes.append("no row has a time: there are counts, and no durations")
        if self.unreadable is None and not told:
            self.unreadable = f"{self.name}: holds no event: is it a journal?"

    def _clock(self, row: Row) -> None:
        if row.at is None:
            return
        self._timed += 1
        if self._now is None or row.at >= self._now:
            self._now = row.at
        else:
            self._backwards += 1
            self._first_backwards = self._first_backwards or row.number

    def _note(self, note: Note) -> None:
        given, at = note.data.get("input"), note.data.get("at")
        at = at if type(at) is int else self._now
        if note.dir != "input" or not isinstance(given, dict):
            text = note.data.get("text")
            if note.dir in _TELLING:
                self._tell(note.number, f"{note.dir}: {text}" if isinstance(text, str) else note.dir, at)
            return
        kind, item_id = given.get("in"), given.get("item_id")
        index, samples = given.get("content_index", 0), given.get("samples")
        if kind in ("audio_played", "audio_stopped"):
            if isinstance(item_id, str) and type(index) is int and type(samples) is int:
                self.analytics.audio_played(item_id, index, samples)
                for watcher in self._watchers:
                    watcher.played(item_id, index, samples, note.number, at)
        elif isinstance(kind, str) and kind in _TELLING_INPUTS:
            self._tell(note.number, _TELLING_INPUTS[kind], at)
            if kind in ("eof_received", "transport_failed"):
                self.analytics.socket_ended()
                for watcher in self._watchers:
                    watcher.socket_ended(note.number, at)

    def _tell(self, line: int, text: str, at: int | None) -> None:
        for watcher in self._watchers:
            watcher.remark(line, text, at)

    # -- what the observer says ----------------------------------------------------------------------------------------

    def _event(self, row: Row, event: AnyEvent, at: int | None) -> None:
        self.analytics.observe(row.dir, event, at)
        if row.dir == "server":
            self.flows.observe(event)
        for watcher in self._watchers:
            watcher.event(row, event, at)

    def _action(self, action: antiphon.Action, now: int) -> None:
        self._timeline.observe(action, now)

    def _turn(self, turn: Turn) -> None:
        for watcher in self._watchers:
            watcher.turn(turn)

    def _broke(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            known = self.rules.get(violation.rule)
            if known is None:
                self.rules[violation.rule] = BrokenRule(violation.rule, violation.title, 1, violation.line)
            else:
                known.count += 1
            if len(self.violations) < _KEPT_VIOLATIONS:
                self.violations.append(violation)
            for watcher in self._watchers:
                watcher.broken(violation)


class _Whole(Transcript):
    """What was said over all sockets of a recording: the lines of earlier ones come first, and once."""

    def __init__(self, conversation: Conversation, timeline: Timeline | None, before: Mapping[str, Line]) -> None:
        super().__init__(conversation, timeline)
        self._before = before

    def __iter__(self) -> Iterator[Line]:
        yield from self._before.values()
        for line in super().__iter__():
            if portable_id(line.item_id) not in self._before:
                yield line


class Totals:
    """Recordings added up."""

    def __init__(self) -> None:
        self.files = 0
        self.unreadable = 0
        self.analytics = Analytics(sessions=0)
        self.flows = FlowTally()
        self.rules: Counter[str] = Counter()
        self.events: Counter[Direction] = Counter()

    def add(self, recording: Recording) -> None:
        """One more, which is finished."""
        self.files += 1
        self.unreadable += recording.unreadable is not None
        self.analytics.merge(recording.analytics)
        self.flows.merge(recording.flows)
        self.events.update(recording.events)
        for rule in recording.rules.values():
            self.rules[rule.rule] += rule.count

    def broken_rules(self) -> list[tuple[str, str, int]]:
        """Rule, title and count, the most broken first."""
        return [(rule, RULES.get(rule, ""), count) for rule, count in self.rules.most_common()]


def read_recording(
    path: str,
    *,
    audio_cut: bool = False,
    watchers: Iterable[Watcher] = (),
) -> Recording:
    """All of one journal. Never raises for what is in it, or because it cannot be read."""
    recording = Recording(path, audio_cut=audio_cut, transport=transport_of(path), watchers=watchers)
    try:
        for entry in read_journal(path):
            recording.feed(entry)
    except JournalError as error:
        recording.unreadable = str(error)
    recording.finish()
    return recording


def transport_of(path: str) -> Transport | None:
    """``webrtc`` where a file is of a session over WebRTC, which shows only once the server plays; else None."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not _mentions(path, b"output_audio_buffer"):
            return None  # a pipe can be read only once
        return "webrtc" if any(map(tells_of_webrtc, read_journal(path))) else None
    except (OSError, ValueError, JournalError):
        return None  # who reads it next tells what is wrong with it


def _mentions(path: str, word: bytes) -> bool:
    """Whether the word stands anywhere in the file: most do not have it, and need not be parsed to see that."""
    rest = b""
    with open(path, "rb") as file:
        while piece := file.read(1 << 16):
            if word in rest + piece:
                return True
            rest = piece[-len(word) :]
    return False


def _rows(number: int) -> str:
    return f"{number} row" if number == 1 else f"{number} rows"


_TELLING: Final = ("handshake", "transport")
_TELLING_INPUTS: Final = {
    "opened": "the socket opened",
    "eof_received": "the socket ended",
    "transport_failed": "the socket failed",
    "interrupt": "the user pressed the button",
    "close": "the application closed the session",
}
