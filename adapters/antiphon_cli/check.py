"""``antiphon check``: recorded sessions through the machines; a row a file, every broken rule with its line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from antiphon.toolkit import CutLine, Entry, Foreign
from antiphon_cli.console import Console, ExitCode, clean, clean_json
from antiphon_cli.journal import JournalError, PassedOver, Rereadable
from antiphon_cli.observer import Observer, Open, Transport, Violation, tells_of_webrtc

__all__ = ["EXAMPLES", "Verdict", "add_arguments", "check_entries", "run"]

EXAMPLES: Final = """\
examples:
  antiphon check talk.jsonl
  antiphon check --strict --json recordings/*.jsonl
  antiphon check --audio-cut cassette.jsonl     the recorder shortened the audio

exit codes: 0 every rule kept, 1 a rule broken, 2 a file could not be read, or not all of it
"""


class Verdict(Struct, frozen=True):
    """What was found in one file. ``unreadable`` holds the reason when nothing, or not all of it, could be read."""

    file: str
    lines: int = 0
    client_events: int = 0
    server_events: int = 0
    transport: str | None = None
    violations: tuple[Violation, ...] = ()
    open_at_end: tuple[Open, ...] = ()
    notes: tuple[str, ...] = ()
    unreadable: str | None = None

    def code(self, *, strict: bool) -> int:
        """The exit code that this file asks for."""
        if self.unreadable is not None:
            return ExitCode.USAGE
        return ExitCode.BROKEN if self.violations or (strict and self.open_at_end) else ExitCode.WELL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="a journal: JSON lines of client and server events")
    parser.add_argument("--strict", action="store_true", help="what is still open at the end breaks a rule too")
    parser.add_argument("--json", action="store_true", help="one JSON document for all files")
    parser.add_argument("--audio-cut", action="store_true", help="the audio was shortened: do not check sample counts")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check the files, print what was found, and return the exit code."""
    strict: bool = arguments.strict
    verdicts = []
    for file in arguments.files:
        verdict = check_file(file, audio_cut=arguments.audio_cut)
        verdicts.append(verdict)
        if verdict.unreadable is not None:
            console.err(f"antiphon check: {clean(verdict.unreadable)}")
        if not arguments.json:
            _print(console, verdict, strict=strict)
    if arguments.json:
        console.out(clean_json(json.dumps(_document(verdicts, strict=strict), indent=2, ensure_ascii=False)))
    return max(verdict.code(strict=strict) for verdict in verdicts)


def check_file(path: str, *, audio_cut: bool = False) -> Verdict:
    """The verdict on one journal. Never raises for what is in it."""
    with Rereadable(path) as entries:
        try:
            webrtc = any(map(tells_of_webrtc, entries))
        except JournalError:
            webrtc = False  # the second reading tells what is wrong with it
        return check_entries(entries, path, audio_cut=audio_cut, transport="webrtc" if webrtc else None)


def check_entries(
    entries: Iterable[Entry], name: str, *, audio_cut: bool = False, transport: Transport | None = None
) -> Verdict:
    """The verdict on the entries of one journal, which is called ``name``; ``transport`` is None where the journal
    itself has to tell."""
    observer = Observer(audio_cut=audio_cut, transport=transport)
    violations: list[Violation] = []
    passed_over = PassedOver()
    unreadable: str | None = None
    lines = 0
    try:
        for entry in entries:
            lines = entry.number
            if isinstance(entry, Foreign):
                unreadable = unreadable or f"{name}:{entry.number}: {entry.reason}"
            if isinstance(entry, CutLine | Foreign):
                passed_over.add(entry)
            violations += observer.feed(entry)
    except JournalError as error:
        unreadable = str(error)
    more, open_at_end = observer.finish()
    violations += more
    notes = passed_over.notes()
    if observer.forgotten:
        notes.append("the session is beyond the bounds of this checker: its oldest content was forgotten")
    if observer.audio_cut:
        notes.append("the audio was cut: samples were not counted")
    if unreadable is None and not sum(observer.events.values()):
        unreadable = f"{name}: holds no event: is it a journal?"
    return Verdict(
        name,
        lines,
        observer.events["client"],
        observer.events["server"],
        observer.transport,
        tuple(violations),
        tuple(open_at_end),
        tuple(notes),
        unreadable,
    )


# Printing -----------------------------------------------------------------------------------------------------------


def _print(console: Console, verdict: Verdict, *, strict: bool) -> None:
    events = verdict.client_events + verdict.server_events
    counts = f"{_count(verdict.lines, 'row')}, {_count(events, 'event')}"
    console.out(f"{clean(verdict.file)}: {counts}: {_word(verdict, strict)}")
    for violation in verdict.violations:
        detail = "the same again" if violation.detail is None else violation.detail
        console.out(
            clean(
                f"  line {violation.line}  {violation.dir} {violation.event_type or '(no type)'}  "
                f"{violation.rule} {violation.title}: {detail}"
            )
        )
    for each in verdict.open_at_end:
        where = "" if each.line is None else f"line {each.line}  "
        console.out(clean(f"  open at end  {where}{each.what}"))
    for note in verdict.notes:
        console.out(f"  note: {note}")


def _word(verdict: Verdict, strict: bool) -> str:
    broken = len(verdict.violations) + (len(verdict.open_at_end) if strict else 0)
    told = [f"broken rules: {broken}"] if broken else []
    if verdict.unreadable is not None:
        told.insert(0, "not all of it readable" if verdict.client_events + verdict.server_events else "unreadable")
    return ", ".join(told) or "clean"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _document(verdicts: list[Verdict], *, strict: bool) -> dict[str, object]:
    return {
        "strict": strict,
        "exit_code": max(verdict.code(strict=strict) for verdict in verdicts),
        "files": [
            {
                "file": verdict.file,
                "rows": verdict.lines,
                "events": {"client": verdict.client_events, "server": verdict.server_events},
                "transport": verdict.transport,
                "verdict": _WORDS[verdict.code(strict=strict)],
                "violations": [
                    {
                        "line": each.line,
                        "dir": each.dir,
                        "event_type": each.event_type,
                        "rule": each.rule,
                        "title": each.title,
                        "detail": each.detail,
                    }
                    for each in verdict.violations
                ],
                "open_at_end": [{"line": each.line, "what": each.what} for each in verdict.open_at_end],
                "notes": list(verdict.notes),
                "error": verdict.unreadable,
            }
            for verdict in verdicts
        ],
    }


_WORDS: Final = {ExitCode.WELL: "clean", ExitCode.BROKEN: "broken", ExitCode.USAGE: "unreadable"}
