"""``antiphon replay``: lives through a recorded session again, or plays its server to a real client."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

import antiphon
from antiphon.machines import RULES
from antiphon.toolkit import (
    CutLine,
    Digest,
    Divergence,
    Entry,
    Foreign,
    NotReplayable,
    Pace,
    Replay,
    Row,
    Step,
    Steps,
)
from antiphon_cli.arguments import port
from antiphon_cli.console import Console, ExitCode, UserError, clean, clean_json
from antiphon_cli.journal import JournalError, PassedOver, Rereadable
from antiphon_cli.observer import Observer, Violation, tells_of_webrtc
from antiphon_cli.teller import Teller

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES: Final = """\
A journal that antiphon wrote (--record) is played through an engine of its own, which is compared with the recorded
one: every message, every action, the state at the end. Any other journal is played through the rules of the protocol.

examples:
  antiphon replay talk.jsonl                    at the pace it was recorded at
  antiphon replay talk.jsonl --speed max        at once: is it the same?
  antiphon replay talk.jsonl --from 12 --step   from 12 s on, a key for each event
  antiphon replay talk.jsonl --serve            a server that says it all again, to your client

exit codes: 0 the same again, 1 something differs or breaks a rule, 2 the file could not be read, or not to its end
"""

_NS: Final = 1_000_000_000
_LONGEST: Final = 24 * 3600 * _NS
"""ns that are waited for one event: a pause of more than a day is none of a conversation."""
_SLOWEST: Final = 0.001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="a journal: JSON lines of client and server events")
    parser.add_argument(
        "--speed",
        metavar="X",
        type=_speed,
        default=1.0,
        help="so many times as fast as it was recorded, 0.001 or more, or 'max' for no pauses (default: 1)",
    )
    parser.add_argument("--from", dest="begin", metavar="SECONDS", type=_seconds, default=0.0, help="skip to this time")
    parser.add_argument("--until", metavar="SECONDS", type=_seconds, help="stop at this time")
    parser.add_argument("--step", action="store_true", help="wait for Enter before each event")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the events")
    parser.add_argument("--serve", action="store_true", help="be the server of the recording, for a real client")
    parser.add_argument("--host", help="with --serve: where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=port, help="with --serve: 0 picks a free one (default: 8765)")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    speed = float(text)
    if not _SLOWEST <= speed < float("inf"):
        raise ValueError(text)
    return speed


_speed.__name__ = "speed"  # argparse names it in its complaint


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


_seconds.__name__ = "number of seconds"


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Play the file, and return the exit code."""
    _refuse_what_would_be_ignored(arguments)
    if arguments.serve:
        from antiphon_cli.replay_serve import serve  # it alone needs sockets

        host = "127.0.0.1" if arguments.host is None else arguments.host
        return serve(arguments.file, host, 8765 if arguments.port is None else arguments.port, arguments.speed, console)
    quiet = Console(console.stderr) if arguments.json else console
    with Rereadable(arguments.file) as entries:
        try:
            verdict = _Player(arguments, entries, quiet).play()
        except JournalError as error:
            raise UserError(str(error)) from None
    if arguments.json:
        console.out(clean_json(json.dumps(verdict.document(), indent=2, ensure_ascii=False)))
    else:
        for line in verdict.lines():
            console.out(line)
    return verdict.code


def _refuse_what_would_be_ignored(arguments: argparse.Namespace) -> None:
    begin, until = arguments.begin, arguments.until
    if arguments.serve:
        given = {"--from": begin > 0, "--until": until is not None, "--step": arguments.step, "--json": arguments.json}
        said = "does not go with --serve, which plays all of it to a client"
    else:
        given = {"--host": arguments.host is not None, "--port": arguments.port is not None}
        said = "goes with --serve"
    for flag, is_given in given.items():
        if is_given:
            raise UserError(f"{flag} {said}")
    if until is not None and until < begin:
        raise UserError(f"--until {until:g} is before --from {begin:g}")


class _Verdict(Struct):
    """What the replay came to."""

    file: str
    exact: str | None
    """Why the journal could not be compared; None: it was."""
    inputs: int = 0
    actions: int = 0
    digests: int = 0
    divergence: Divergence | None = None
    tables: bool = True
    violations: list[Violation] = []
    notes: list[str] = []
    broken: str | None = None
    """Why the journal could not be played to its end."""

    @property
    def code(self) -> int:
        """The exit code that it asks for."""
        if self.divergence is not None or self.violations:
            return ExitCode.BROKEN
        return ExitCode.WELL if self.broken is None else ExitCode.USAGE

    def lines(self) -> Iterator[str]:
        """For people."""
        for note in self.notes:
            yield f"note: {note}"
        if self.exact is not None:
            yield f"replayed {self.inputs} events; not compared with the recorded engine: {self.exact}"
            for each in self.violations:
                yield clean(f"line {each.line}  {each.dir} {each.event_type}  {each.rule} {RULES.get(each.rule, '')}")
            yield f"rules broken: {len(self.violations)}"
            return
        counts = f"replayed {self.inputs} inputs, {self.actions} actions"
        if self.divergence is not None:
            yield f"{counts}: differs at line {self.divergence.line}"
            yield f"  recorded  {clean(self.divergence.recorded)}"
            yield f"  replayed  {clean(self.divergence.replayed)}"
            if not self.tables:
                yield "  it was recorded with other tables (spec/) than these, so the difference may be meant"
        elif self.broken is not None:
            yield f"{counts}: the same messages as recorded, until {clean(self.broken)}"
        elif self.digests:
            yield f"{counts}: the same as recorded"
        else:
            yield f"{counts}: the same messages as recorded; it has no digest of the rest before this place"

    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "file": self.file,
            "compared": self.exact is None,
            "why_not_compared": self.exact,
            "inputs": self.inputs,
            "actions": self.actions,
            "digests_met": self.digests,
            "same": None if self.exact is not None else self.divergence is None,
            "divergence": None if self.divergence is None else msgspec.to_builtins(self.divergence),
            "recorded_with_these_tables": self.tables,
            "violations": msgspec.to_builtins(self.violations),
            "notes": self.notes,
            "broken": self.broken,
            "exit_code": self.code,
        }


class _Player:
    """One run of the command over one file."""

    def __init__(self, arguments: argparse.Namespace, entries: Rereadable, console: Console) -> None:
        self._file: str = arguments.file
        self._entries = entries
        self._passed_over = PassedOver()
        self._notes: list[str] = []
        self._begin: float = arguments.begin
        self._until: float | None = arguments.until
        self._steps: bool = arguments.step
        self._console = console
        self._pace = Pace(time.monotonic_ns(), speed=arguments.speed)
        self._speed: float | None = arguments.speed
        self._first: int | None = None
        self._latest: float | None = None
        self._skipping = arguments.begin > 0
        self._teller = Teller(console, shown=not arguments.json)

    def play(self) -> _Verdict:
        verdict = self._play()
        if self._skipping and verdict.divergence is None and verdict.broken is None:
            ends = "no row has a time" if self._latest is None else f"the recording ends at {self._latest:.3f} s"
            self._notes.append(f"nothing was shown from {self._begin:g} s on: {ends}")
        verdict.notes = [*self._passed_over.notes(), *self._notes]
        return verdict

    def _play(self) -> _Verdict:
        try:
            steps = Steps(self._read())
            replay = Replay(steps.birth)
        except NotReplayable as error:
            return self._observe(str(error))
        return self._live(steps, replay)

    def _read(self) -> Iterator[Entry]:
        self._passed_over = PassedOver()
        for entry in self._entries:
            if isinstance(entry, CutLine | Foreign):
                self._passed_over.add(entry)
            yield entry

    def _live(self, steps: Steps, replay: Replay) -> _Verdict:
        """Through an engine like the recorded one."""
        verdict = _Verdict(self._file, None, tables=steps.birth.has_these_tables)
        try:
            for step in steps:
                if not self._wait(step.at, isinstance(step, Step) and _is_told(step)):
                    break
                actions = replay.play(step)
                if isinstance(step, Digest):
                    continue
                verdict.inputs += 1
                self._teller.lived(self._seconds(step.at), step, actions)
                if replay.divergence is not None:
                    break
        except NotReplayable as error:
            verdict.broken = str(error)
        self._teller.flush()
        verdict.actions = replay.actions
        verdict.digests = replay.checked
        verdict.divergence = replay.divergence
        return verdict

    def _observe(self, why: str) -> _Verdict:
        """Through the rules of the protocol."""
        webrtc = any(map(tells_of_webrtc, self._entries))
        observer = Observer(transport="webrtc" if webrtc else None)
        verdict = _Verdict(self._file, why)
        is_journal = False
        for entry in self._read():
            if isinstance(entry, Row):
                is_journal = True
                if not self._wait(entry.at, True):
                    break
                verdict.inputs += 1
                self._teller.row(self._seconds(entry.at), entry.dir, entry.event)
            verdict.violations += observer.feed(entry)
        self._teller.flush()
        verdict.violations += observer.finish()[0]
        if not is_journal:
            raise JournalError(self._file, None, "holds no event: is it a journal?")
        return verdict

    # -- time ----------------------------------------------------------------------------------------------------------

    def _seconds(self, at: int | None) -> float | None:
        if at is None:
            return None
        if self._first is None:
            self._first = at
        return (at - self._first) / _NS

    def _wait(self, at: int | None, told: bool) -> bool:
        """Wait until it is time for what was recorded at ``at``; False when the playing ends before it."""
        seconds = self._seconds(at)
        if seconds is not None:
            self._latest = seconds if self._latest is None else max(self._latest, seconds)
        if seconds is not None and self._until is not None and seconds > self._until:
            return False
        if self._skipping:
            if seconds is None or seconds < self._begin:
                self._teller.muted = True
                return True
            self._skipping = self._teller.muted = False
            assert at is not None  # it has its seconds
            self._pace.resume(time.monotonic_ns(), at, speed=self._speed)
        if self._steps:
            return not told or self._key()
        pause = self._pace.due(at) - time.monotonic_ns()
        if pause > 0:
            self._teller.flush()
            time.sleep(min(pause, _LONGEST) / _NS)
        return True

    def _key(self) -> bool:
        self._teller.flush()
        self._console.piece("")
        if sys.stdin is not None and sys.stdin.readline():
            return True
        self._notes.append("stdin ended, from which --step reads a line for each event")
        return False


def _is_told(step: Step) -> bool:
    """Whether it is an event, or brings some."""
    return bool(step.said) or isinstance(step.input, antiphon.inputs.DataReceived | antiphon.inputs.MessageReceived)
