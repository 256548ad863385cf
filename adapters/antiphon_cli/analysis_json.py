"""What `antiphon analyze --json` prints: one document, written piece by piece, so that no number of files is too many.

The keys are a contract: `docs/howto/analyze-recordings.md` tells them. New ones may come; none goes without a new
``format``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from antiphon import Cost, PriceTable
from antiphon.toolkit import FlowTally, Turn
from antiphon_cli.console import clean_json
from antiphon_cli.recording import Recording, Sink, Totals, Watcher

__all__ = ["FORMAT", "Document", "TurnList"]

FORMAT: Final = 1

MOST_TURNS: Final = 1000
"""Turns of one file that stand in the document; the tables of `--csv` and `--parquet` have all."""


class TurnList(Watcher):
    """The turns of a recording, up to `MOST_TURNS`; ``omitted`` counts the rest."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.omitted = 0

    def turn(self, turn: Turn) -> None:
        """One more."""
        if len(self.turns) < MOST_TURNS:
            self.turns.append(turn)
        else:
            self.omitted += 1


class _Output(Protocol):
    def piece(self, text: str) -> None: ...


class Document(Sink):
    """The document as it grows."""

    def __init__(self, output: _Output, prices: PriceTable | None = None) -> None:
        self._output = output
        self._prices = prices
        self._first = True
        self._turns = TurnList()
        output.piece(f'{{\n"format": {FORMAT},\n"files": [')

    def begin(self, name: str) -> Watcher:
        """The turns of the next file."""
        self._turns = TurnList()
        return self._turns

    def add(self, recording: Recording) -> None:
        """One more file."""
        self._output.piece(("" if self._first else ",") + "\n" + _text(self._file(recording)))
        self._first = False

    def finish(self, totals: Totals, exit_code: int) -> None:
        """What all of them come to."""
        analytics = totals.analytics
        together = {
            "files": totals.files,
            "unreadable": totals.unreadable,
            "events": dict(totals.events),
            "analysis": analytics.analysis(),
            "flows": _flows(totals.flows),
            "rules": [{"rule": rule, "title": title, "count": count} for rule, title, count in totals.broken_rules()],
            "cost": None if self._prices is None else _cost(analytics.cost(self._prices)),
        }
        self._output.piece(f'\n],\n"all": {_text(together)},\n"exit_code": {exit_code}\n}}\n')

    def _file(self, recording: Recording) -> Mapping[str, object]:
        return {
            "file": recording.name,
            "rows": recording.lines,
            "events": recording.events,
            "transport": recording.transport,
            "audio_cut": recording.audio_cut,
            "error": recording.unreadable,
            "notes": recording.notes,
            "analysis": recording.analytics.analysis(),
            "flows": _flows(recording.flows),
            "rules": list(recording.rules.values()),
            "violations": recording.violations,
            "open_at_end": recording.open_at_end,
            "cost": None if self._prices is None else _cost(recording.analytics.cost(self._prices)),
            "turns": self._turns.turns,
            "turns_omitted": self._turns.omitted,
            "transcript": list(recording.lines_said()),
        }


def _flows(flows: FlowTally) -> Mapping[str, object]:
    return {"compared": flows.flows, "not_compared": dict(flows.not_compared)}


def _cost(cost: Cost) -> Mapping[str, object]:
    return {"amount": str(cost.amount), "currency": cost.currency, "unpriced": cost.unpriced}


def _text(value: object) -> str:
    return clean_json(msgspec.json.encode(value).decode("utf-8"))
