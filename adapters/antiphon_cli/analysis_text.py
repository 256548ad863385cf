"""What `antiphon analyze` prints for people: sections of plain lines, for a terminal of any width or none."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from antiphon import Cost, PriceTable, TokenCounts, Usage
from antiphon.toolkit import Analysis, FlowTally, Line, Summary
from antiphon_cli.console import Console, clean
from antiphon_cli.figures import amount, counted, seconds
from antiphon_cli.recording import Recording, Sink, Totals

__all__ = ["Report"]

_LABEL: Final = 18
_NARROW: Final = 72
_NARROWER: Final = 50
"""Columns below which a table shows fewer figures, and fewer still."""

_PIPE_WIDTH: Final = 100
_MOST_LINES: Final = 60
"""Lines of a transcript, and rows of a table, in a report; `--transcript` and `--json` have all."""


class Report(Sink):
    """Prints to ``console``: all about one file; of ``several`` a line a file, and all about them together; with
    ``each`` all about each as well. A heading is bold where somebody watches and has not asked for plain text."""

    def __init__(
        self, console: Console, prices: PriceTable | None = None, *, several: bool = False, each: bool = False
    ) -> None:
        self._console = console
        self._several = several
        self._each = each
        self._prices = prices
        terminal = console.is_terminal
        self._width = max(24, shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns) if terminal else _PIPE_WIDTH
        self._bold = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def add(self, recording: Recording) -> None:
        """Print what is told of one file."""
        if self._several and not self._each:
            self._row(recording)
            return
        self._one(recording)
        if self._several:
            self._console.out()

    def finish(self, totals: Totals, exit_code: int) -> None:
        """Print what is told of all files together."""
        if self._several:
            self._all(totals)

    def _one(self, recording: Recording) -> None:
        """Everything about one recording."""
        analysis = recording.analytics.analysis()
        self._head(clean(recording.name))
        self._fact("", _facts_of(recording, analysis))
        for note in recording.notes:
            self._fact("note", note)
        if not analysis.events:
            return
        cost = None if self._prices is None else recording.analytics.cost(self._prices)
        self._body(analysis, recording.flows, cost)
        self._rules([(each.rule, each.title, each.count, each.first_line) for each in recording.rules.values()])
        if recording.open_at_end:
            self._head("Open at the end")
            for each in recording.open_at_end[:_MOST_LINES]:
                self._fact("" if each.line is None else f"line {each.line}", each.what)
        self._said(list(recording.lines_said()))

    def _row(self, recording: Recording) -> None:
        """One recording of many, in a line."""
        analysis = recording.analytics.analysis()
        told = [_facts_of(recording, analysis), counted(analysis.turns, "turn")]
        if analysis.turn_latency.count:
            told.append(f"turn latency p50 {_ms(analysis.turn_latency.p50)}")
        if recording.broken:
            told.append(f"broken rules: {recording.broken}")
        failed = sum(analysis.errors.values())
        if failed:
            told.append(counted(failed, "error"))
        if recording.unreadable is not None:
            told.append("not all of it readable" if analysis.events else "unreadable")
        self._console.out(clean(f"{recording.name}: {', '.join(told)}"))

    def _all(self, totals: Totals) -> None:
        """Everything about all of them together."""
        analysis = totals.analytics.analysis()
        if not self._each:
            self._console.out()
        self._head(f"All {counted(totals.files, 'file')}")
        told = [counted(totals.events["server"], "server event"), counted(totals.events["client"], "client event")]
        if analysis.duration_ms is not None:
            told.append(seconds(analysis.duration_ms))
        if totals.unreadable:
            told.append(f"{counted(totals.unreadable, 'file')} not (all) readable")
        self._fact("", ", ".join(told))
        if not analysis.events:
            return
        cost = None if self._prices is None else totals.analytics.cost(self._prices)
        self._body(analysis, totals.flows, cost)
        self._rules([(rule, title, count, None) for rule, title, count in totals.broken_rules()])

    # -- sections ------------------------------------------------------------------------------------------------------

    def _body(self, analysis: Analysis, flows: FlowTally, cost: Cost | None) -> None:
        self._head("Turns")
        self._fact("user turns", f"{analysis.turns:,}")
        self._fact("responses", _counted(analysis.responses) or "none")
        if analysis.cancelled_by:
            self._fact("cancelled by", _counted(analysis.cancelled_by))
        self._fact("interruptions", _interruptions(analysis))
        if analysis.tools:
            self._fact("tools", _counted(analysis.tools))
        if analysis.audio_sent_ms or analysis.audio_received_ms:
            sent, received = seconds(analysis.audio_sent_ms), seconds(analysis.audio_received_ms)
            self._fact("audio", f"{sent} sent, {received} received")
        self._waiting(analysis)
        self._usage(analysis.usage, cost)
        self._flows(flows)
        if analysis.errors:
            self._head("Errors")
            for what, number in analysis.errors.items():
                self._fact(f"{number:,} ×", what)
        self._events(analysis)

    def _waiting(self, analysis: Analysis) -> None:
        rows = [
            (name, summary)
            for name, summary in (
                ("turn latency", analysis.turn_latency),
                ("voice latency", analysis.voice_latency),
                ("first token", analysis.time_to_first_token),
                ("first audio", analysis.time_to_first_audio),
                ("response", analysis.response_duration),
                ("tool", analysis.tool_duration),
            )
            if summary.count
        ]
        if rows:
            self._head("Waiting, in ms")
            self._table(_LABEL, [(name, None, summary) for name, summary in rows])

    def _usage(self, usage: Usage, cost: Cost | None) -> None:
        if not (usage.responses or usage.transcription.transcriptions):
            return
        self._head("Usage")
        if usage.total_tokens:
            self._fact("input", f"{_tokens(usage.input)}")
            if usage.cached_tokens:
                self._fact("of it cached", f"{_tokens(usage.cached)}")
            reasoning = f"; of it reasoning {usage.reasoning_tokens:,}" if usage.reasoning_tokens else ""
            self._fact("output", f"{_tokens(usage.output)}{reasoning}")
        if usage.unknown:
            self._fact("not told", f"what {counted(usage.unknown, 'response')} used: the sums are lower bounds")
        used = usage.transcription
        if used.transcriptions:
            told = [counted(used.transcriptions, "transcription")]
            if used.seconds:
                told.append(f"{used.seconds:,.1f} s of audio")
            if used.input or used.output_tokens:
                told.append(f"{used.input.total:,} tokens in, {used.output_tokens:,} out")
            if used.unknown:
                told.append(f"of {used.unknown:,} nothing was told")
            self._fact("transcription", ", ".join(told))
        if cost is not None:
            unpriced = ", ".join(f"{number:,g} {kind.replace('_', ' ')}" for kind, number in cost.unpriced.items())
            rest = f"; without a price: {unpriced}" if unpriced else ""
            self._fact("cost", f"{amount(cost)}{rest}")

    def _flows(self, flows: FlowTally) -> None:
        if not flows.flows and not flows.not_compared:
            return
        self._head("Sequence of events")
        for name, count in sorted(flows.flows.items()):
            told = f"{count.matched:,} of {count.matched + count.differed:,} as expected"
            differences = sorted(count.differences.items(), key=lambda each: -each[1])[:5]
            if differences:
                told += "; " + ", ".join(f"{what} ({number:,} ×)" for what, number in differences)
            self._fact(name, told)
        if flows.not_compared:
            self._fact("not compared", _counted(flows.not_compared))

    def _rules(self, rules: list[tuple[str, str, int, int | None]]) -> None:
        if not rules:
            return
        self._head("Rules broken")
        for rule, title, count, line in rules[:_MOST_LINES]:
            first = "" if line is None else f", first in line {line}"
            self._fact(rule, f"{title}: {count:,} ×{first}")
        self._fact("", "'antiphon check FILE' tells each with its line")

    def _events(self, analysis: Analysis) -> None:
        if not analysis.by_type:
            return
        gaps = any(summary.count for summary in analysis.between.values())
        self._head("Events, and the ms since the one before of the same side" if gaps else "Events")
        rows = list(analysis.by_type.items())
        width = min(max(len(name) for name, _ in rows[:_MOST_LINES]) + 2, max(20, self._width - 40))
        self._table(width, [(name, number, analysis.between.get(name)) for name, number in rows[:_MOST_LINES]])
        if len(rows) > _MOST_LINES:
            self._fact("", f"… and {len(rows) - _MOST_LINES} more types: --json has all")

    def _said(self, lines: list[Line]) -> None:
        if not lines:
            return
        self._head("Transcript")
        for line in lines[:_MOST_LINES]:
            text = {"message": line.text, "call": f"called with {line.text}", "output": f"answered {line.text}"}[
                line.kind
            ]
            self._fact(line.who, f"{text}{' — (cut)' if line.cut else ''}")
        if len(lines) > _MOST_LINES:
            self._fact("", f"… and {len(lines) - _MOST_LINES} more lines: --transcript text has all")

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _head(self, text: str) -> None:
        for piece in textwrap.wrap(text, self._width) or [""]:
            self._console.out(f"\x1b[1m{piece}\x1b[0m" if self._bold else piece)

    def _fact(self, label: str, text: str) -> None:
        label = clean(label)
        beside = self._width >= _NARROWER and len(label) < _LABEL
        indent = " " * (2 + _LABEL) if beside and label else "    " if label else "  "
        first = f"  {label:<{_LABEL}}" if beside and label else indent
        if label and not beside:
            self._console.out(f"  {label}")
        for number, piece in enumerate(textwrap.wrap(clean(text), max(10, self._width - len(indent))) or [""]):
            self._console.out(((first if number == 0 else indent) + piece).rstrip())

    def _table(self, width: int, rows: list[tuple[str, int | None, Summary | None]]) -> None:
        """A line a row: its count, and its distribution where there is one."""
        figures: tuple[str, ...] = ("mean", "p50", "p90", "p99", "max")
        if self._width < _NARROW:
            figures = ("p50", "p90", "max") if self._width >= _NARROWER else ("p50", "max")
        column = 7 if self._width < _NARROW else 9
        width = min(width, max(8, self._width - 10 - column * len(figures)))
        if any(summary is not None and summary.count for _, _, summary in rows):
            heads = "".join(f"{figure:>{column}}" for figure in figures)
            self._console.out(f"  {'':<{width}}{'count':>8}{heads}")
        for name, number, summary in rows:
            told = number if number is not None else summary.count if summary is not None else 0
            line = f"  {_short(clean(name), width - 1):<{width}}{told:>8,}"
            if summary is not None and summary.count:
                line += "".join(f"{_figure(getattr(summary, figure)):>{column}}" for figure in figures)
            self._console.out(line)


def _facts_of(recording: Recording, analysis: Analysis) -> str:
    told = [
        counted(recording.events["server"], "server event"),
        counted(recording.events["client"], "client event"),
    ]
    if analysis.duration_ms is not None:
        told.append(seconds(analysis.duration_ms))
    if recording.transport not in (None, "websocket"):
        told.append(str(recording.transport))
    return ", ".join(told)


def _interruptions(analysis: Analysis) -> str:
    told = f"{analysis.interruptions:,}"
    if analysis.cut_received_ms:
        share = 100 * analysis.cut_heard_ms / analysis.cut_received_ms
        told += (
            f"; of {counted(analysis.cuts, 'answer')} cut, {analysis.cut_heard_ms:,} of "
            f"{analysis.cut_received_ms:,} ms were heard ({share:.0f} %)"
        )
    return told


def _tokens(counts: TokenCounts) -> str:
    parts = {"text": counts.text, "audio": counts.audio, "image": counts.image, "not told": counts.other}
    told = ", ".join(f"{name} {number:,}" for name, number in parts.items() if number)
    return f"{counts.total:,} tokens" + (f": {told}" if told else "")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in _most(counts))


def _most(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    rows = sorted(counts.items(), key=lambda each: -each[1])
    yield from rows[:12]
    if len(rows) > 12:
        yield "others", sum(number for _, number in rows[12:])


def _ms(value: float | None) -> str:
    return f"{_figure(value)} ms"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{value:.1f}"


def _short(text: str, width: int) -> str:
    """The end of a type tells more than its beginning."""
    return text if len(text) <= width else f"…{text[-(width - 1) :]}"
