"""``antiphon replay``: lives through a recorded session again, or plays its server to a real client."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
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
from antiphon_cli.console import Console, ExitCode, UserError, clean
from antiphon_cli.journal import JournalError, read_journal
from antiphon_cli.observer import Observer, Violation, tells_of_webrtc

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES: Final = """\
A journal that antiphon wrote (--record) is played through an engine of its own, which is compared with the recorded
one: every message, every action, the state at the end. Any other journal is played through the rules of the protocol.

examples:
  antiphon replay talk.jsonl                    at the pace it was recorded at
  antiphon replay talk.jsonl --speed max        at once: is it the same?
  antiphon replay talk.jsonl --from 12 --step   from 12 s on, a key for each event
  antiphon replay talk.jsonl --serve            a server that says it all again, to your client

exit codes: 0 the same again, 1 something differs or breaks a rule, 2 the file could not be read
"""

_NS: Final = 1_000_000_000
_QUIET: Final = frozenset(
    ("input_audio_buffer.append", "response.output_audio.delta", "response.audio.delta", "session.output_audio.delta")
)
_MOST_WORDS: Final = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="a journal: JSON lines of client and server events")
    parser.add_argument(
        "--speed",
        metavar="X",
        type=_speed,
        default=1.0,
        help="so many times as fast as it was recorded, or 'max' for no pauses (default: 1)",
    )
    parser.add_argument("--from", dest="begin", metavar="SECONDS", type=_seconds, default=0.0, help="skip to this time")
    parser.add_argument("--until", metavar="SECONDS", type=_seconds, help="stop at this time")
    parser.add_argument("--step", action="store_true", help="wait for Enter before each event")
    parser.add_argument("--json", action="store_true", help="one JSON document in place of the events")
    parser.add_argument("--serve", action="store_true", help="be the server of the recording, for a real client")
    parser.add_argument("--host", default="127.0.0.1", help="with --serve: where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8765, help="with --serve: 0 picks a free one (default: 8765)")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    speed = float(text)
    if not 0 < speed < float("inf"):
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
    if arguments.serve:
        from antiphon_cli.replay_serve import serve  # it alone needs sockets

        return serve(arguments.file, arguments.host, arguments.port, arguments.speed, console)
    quiet = Console(console.stderr) if arguments.json else console
    player = _Player(arguments, quiet)
    try:
        verdict = player.play()
    except JournalError as error:
        raise UserError(str(error)) from None
    if arguments.json:
        console.out(json.dumps(verdict.document(), indent=2, ensure_ascii=False))
    else:
        for line in verdict.lines():
            console.out(line)
    return verdict.code


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
    stopped: bool = False

    @property
    def code(self) -> int:
        """The exit code that it asks for."""
        return ExitCode.BROKEN if self.divergence is not None or self.violations else ExitCode.WELL

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
            "exit_code": self.code,
        }


class _Player:
    """One run of the command over one file."""

    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self._file: str = arguments.file
        self._begin: float = arguments.begin
        self._until: float | None = arguments.until
        self._steps: bool = arguments.step
        self._console = console
        self._pace = Pace(time.monotonic_ns(), speed=arguments.speed)
        self._speed: float | None = arguments.speed
        self._first: int | None = None
        self._skipping = arguments.begin > 0
        self._teller = _Teller(console, shown=not arguments.json)

    def play(self) -> _Verdict:
        try:
            steps = Steps(self._entries([]))
        except NotReplayable as error:
            return self._observe(str(error))
        notes: list[str] = []
        steps = Steps(self._entries(notes))
        return self._live(steps, notes)

    def _entries(self, notes: list[str]) -> Iterator[Entry]:
        for entry in read_journal(self._file):
            if isinstance(entry, CutLine):
                notes.append(f"line {entry.number} is cut short and was passed over")
            elif isinstance(entry, Foreign):
                notes.append(f"line {entry.number} {entry.reason}; it was passed over")
            yield entry

    def _live(self, steps: Steps, notes: list[str]) -> _Verdict:
        """Through an engine like the recorded one."""
        replay = Replay(steps.birth)
        verdict = _Verdict(self._file, None, notes=notes, tables=steps.birth.has_these_tables)
        try:
            for step in steps:
                if not self._wait(step.at, isinstance(step, Step) and self._is_told(replay, step)):
                    break
                actions = replay.play(step)
                if isinstance(step, Digest):
                    continue
                verdict.inputs += 1
                self._teller.lived(self._seconds(step.at), step, actions)
                if replay.divergence is not None:
                    break
        except NotReplayable as error:
            notes.append(f"it ends before its end: {error}")
        self._teller.flush()
        verdict.actions = replay.actions
        verdict.digests = replay.checked
        verdict.divergence = replay.divergence
        return verdict

    @staticmethod
    def _is_told(replay: Replay, step: Step) -> bool:
        return bool(step.said) or isinstance(step.input, antiphon.inputs.DataReceived | antiphon.inputs.MessageReceived)

    def _observe(self, why: str) -> _Verdict:
        """Through the rules of the protocol."""
        webrtc = any(map(tells_of_webrtc, read_journal(self._file)))
        observer = Observer(transport="webrtc" if webrtc else None)
        notes: list[str] = []
        verdict = _Verdict(self._file, why, notes=notes)
        for entry in self._entries(notes):
            if isinstance(entry, Row):
                if not self._wait(entry.at, True):
                    break
                verdict.inputs += 1
                self._teller.row(self._seconds(entry.at), entry.dir, entry.event)
            verdict.violations += observer.feed(entry)
        self._teller.flush()
        verdict.violations += observer.finish()[0]
        if not verdict.inputs and not self._begin:
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
            time.sleep(pause / _NS)
        return True

    def _key(self) -> bool:
        self._teller.flush()
        self._console.piece("")
        return bool(sys.stdin.readline())


class _Teller:
    """Prints what happens, a line an event; runs of audio are one line."""

    def __init__(self, console: Console, *, shown: bool) -> None:
        self._console = console
        self._shown = shown
        self.muted = False
        self._runs: dict[str, tuple[int, str]] = {}

    def lived(self, at: float | None, step: Step, actions: antiphon.Actions) -> None:
        """A step of an engine."""
        if step.refused is not None:
            self._line(at, "x", f"{type(step.input).__name__} was refused: {step.refused}")
        for action in actions:
            if isinstance(action, antiphon.Deliver):
                raw = action.raw
                self.row(at, "peer", raw.encode("utf-8", "replace") if isinstance(raw, str) else raw)
            elif isinstance(action, _TOLD):
                self._line(at, "*", _of(action))
        for text in step.said:
            self.row(at, "own", text)

    def row(self, at: float | None, dir: str, text: bytes) -> None:
        """An event."""
        kind, words = _read(text)
        arrow = "->" if dir in ("client", "own") else "<-"
        if kind in _QUIET:
            count, line = self._runs.get(arrow + kind, (0, _line(at, arrow, kind)))
            self._runs[arrow + kind] = count + 1, line
            return
        self._line(at, arrow, f"{kind}  {words}" if words else kind)

    def _line(self, at: float | None, mark: str, text: str) -> None:
        self.flush()
        self._out(_line(at, mark, text))

    def flush(self) -> None:
        """The runs of audio, of either side, are over."""
        for count, line in self._runs.values():
            self._out(f"{line}  ×{count}" if count > 1 else line)
        self._runs.clear()

    def _out(self, line: str) -> None:
        if self._shown and not self.muted:
            self._console.out(clean(line))


def _line(at: float | None, mark: str, text: str) -> str:
    return f"{'' if at is None else f'{at:.3f}':>9}  {mark:<2} {text}"


_TOLD: Final = (
    antiphon.OpenTransport,
    antiphon.Connected,
    antiphon.Disconnected,
    antiphon.StopAudio,
    antiphon.RequestSettled,
    antiphon.ResponseRequested,
    antiphon.ResponseCancelled,
    antiphon.Report,
    antiphon.Closed,
)


def _of(action: antiphon.Action) -> str:
    telling: dict[type[object], Callable[..., str]] = {
        antiphon.OpenTransport: lambda a: f"dial: socket {a.generation}, attempt {a.attempt}",
        antiphon.Connected: lambda a: f"connected: socket {a.generation}",
        antiphon.Disconnected: lambda a: f"disconnected: socket {a.generation}, code {a.code}",
        antiphon.StopAudio: lambda a: f"stop the audio of {a.item_id}",
        antiphon.RequestSettled: lambda a: f"request {a.event_id}: {type(a.outcome).__name__}",
        antiphon.ResponseRequested: lambda a: f"asked for response {a.response_id} ({a.cause})",
        antiphon.ResponseCancelled: lambda a: f"response {a.response_id} cancelled ({a.reason})",
        antiphon.Report: lambda a: f"report {a.rule} {RULES.get(a.rule, '')}: {a.detail}",
        antiphon.Closed: lambda a: f"closed: {a.code} {a.reason}".rstrip(),
    }
    return telling[type(action)](action)


class _Told(Struct):
    type: str = "(no type)"
    delta: object = ""
    text: object = ""
    transcript: object = ""
    error: object = None


def _read(text: bytes) -> tuple[str, str]:
    """The type of an event, and its words."""
    try:
        told = msgspec.json.decode(text, type=_Told)
    except (ValueError, RecursionError):
        return "(no event)", ""
    words: object = told.transcript or told.text or ("" if told.type in _QUIET else told.delta)
    if isinstance(told.error, dict):
        words = f"{told.error.get('code')}: {told.error.get('message')}"
    said = words if isinstance(words, str) else ""
    return told.type, said if len(said) <= _MOST_WORDS else said[: _MOST_WORDS - 1] + "…"
