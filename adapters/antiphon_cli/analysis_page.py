"""The page that `antiphon analyze --html` writes: one file with everything in it, which asks nobody for anything.

What stands in it comes from recordings, so from peers. It goes in as JSON in which no ``<``, ``>`` or ``&`` is left,
the script sets it as text alone, and the page's policy lets nothing be loaded.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

from antiphon import PriceTable
from antiphon.toolkit import Lanes, LaneSpan, Row, Turn
from antiphon_cli.console import UserError
from antiphon_cli.figures import Figure, figures_of
from antiphon_cli.observer import AnyEvent, Violation
from antiphon_cli.recording import Recording, Sink, Totals, Watcher
from antiphon_cli.replacement import Replacement

__all__ = ["Page", "PageSession"]

MOST_SPANS: Final = 40_000
"""Spans of all sessions of one page: what comes later has figures, and no timeline."""

MOST_SESSIONS: Final = 500


class PageSession(Struct, frozen=True):
    """One session of the page's data, or, where ``whole``, all of them together."""

    name: str
    timed: bool
    length: float
    events: int
    transport: str | None
    figures: list[Figure]
    notes: list[str]
    spans: list[LaneSpan]
    omitted: dict[str, int]
    whole: bool = False


class _Drawn(Watcher):
    """Sees a recording and draws its lanes."""

    def __init__(self) -> None:
        self.lanes = Lanes()

    def audio_cut(self) -> None:
        self.lanes.audio_cut = True

    def event(self, row: Row, event: AnyEvent, at: int | None) -> None:
        self.lanes.observe(row.dir, event, at, row.number)

    def played(self, item_id: str, content_index: int, samples: int, line: int, at: int | None) -> None:
        self.lanes.audio_played(item_id, content_index, samples, at, line)

    def socket_ended(self, line: int, at: int | None) -> None:
        self.lanes.socket_ended(at, line)

    def turn(self, turn: Turn) -> None:
        self.lanes.turn(turn)

    def broken(self, violation: Violation) -> None:
        text = f"{violation.title}: {violation.detail}" if violation.detail else violation.title
        self.lanes.note("broken", violation.rule, text, violation.line, None)

    def remark(self, line: int, text: str, at: int | None) -> None:
        self.lanes.note("remark", text, "", line, at)


class Page(Sink):
    """Collects the sessions and writes the page when all are there.

    Raises:
        UserError: the file cannot be written, or is one of ``inputs``.
    """

    def __init__(self, path: str, inputs: Sequence[str], prices: PriceTable | None = None) -> None:
        self._path = path
        self._prices = prices
        self._sessions: list[PageSession] = []
        self._spans = self._left_out = 0
        self._drawn = _Drawn()
        if any(_same(path, each) for each in inputs):
            raise UserError(f"--html {path}: would overwrite what is to be read")
        try:
            self._file = Replacement(path)
        except (OSError, ValueError) as error:
            raise self._failed(error) from None

    def begin(self, name: str) -> Watcher:
        """Draw the next file."""
        self._drawn = _Drawn()
        return self._drawn

    def add(self, recording: Recording) -> None:
        """Keep its drawing, as far as there is room."""
        transcript = recording.transcript()
        for line in () if transcript is None else transcript:
            if line.cut:
                self._drawn.lanes.heard_text(line.item_id, line.text)
        sheet = self._drawn.lanes.sheet()
        if self._sessions and (self._spans + len(sheet.spans) > MOST_SPANS or len(self._sessions) >= MOST_SESSIONS):
            self._left_out += 1
            return
        self._spans += len(sheet.spans)
        notes = [*recording.notes]
        if recording.unreadable is not None:
            notes.insert(0, recording.unreadable)
        cost = None if self._prices is None else recording.analytics.cost(self._prices)
        self._sessions.append(
            PageSession(
                recording.name,
                sheet.timed,
                sheet.length,
                recording.events["client"] + recording.events["server"],
                recording.transport,
                figures_of(recording.analytics.analysis(), recording.broken, cost),
                notes,
                sheet.spans,
                sheet.omitted,
            )
        )

    def finish(self, totals: Totals, exit_code: int) -> None:
        """Write the page, unless there is nothing to show: a page of yesterday is worth more."""
        sessions = self._sessions
        if not totals.events.total():
            return
        if len(sessions) + self._left_out > 1:
            cost = None if self._prices is None else totals.analytics.cost(self._prices)
            figures = figures_of(totals.analytics.analysis(), sum(totals.rules.values()), cost)
            notes = [f"{self._left_out:,} more sessions are in the figures alone"] if self._left_out else []
            events = sum(totals.events.values())
            every = PageSession(f"All {totals.files:,} sessions", True, 1.0, events, None, figures, notes, [], {}, True)
            sessions = [every, *sessions]
        try:
            with open(self._file.path, "wb") as file:
                file.write(page(sessions).encode("utf-8", "replace"))
            self._file.commit()
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Without a new page, the old one stays."""
        self._file.discard()

    def _failed(self, error: OSError | ValueError) -> UserError:
        return UserError(f"--html {self._path}: cannot be written: {getattr(error, 'strerror', None) or error}")


def page(sessions: Sequence[PageSession]) -> str:
    """The page, whole."""
    folder = files("antiphon_cli") / "page"
    text = (folder / "page.html").read_text(encoding="utf-8")
    pieces = {
        "title": html.escape(sessions[0].name),
        "style": (folder / "page.css").read_text(encoding="utf-8"),
        "script": (folder / "page.js").read_text(encoding="utf-8"),
        "data": script_json({"format": 1, "sessions": sessions}),
    }
    made, rest = [], text
    while "{{" in rest:  # in one pass: what stands in the data is not looked at again
        before, _, rest = rest.partition("{{")
        name, _, rest = rest.partition("}}")
        made += [before, pieces[name]]
    return "".join([*made, rest])


def script_json(value: object) -> str:
    """``value`` as JSON that may stand in a script element: nothing in it begins a tag, a comment or an entity."""
    text = msgspec.json.encode(value).decode("utf-8")
    return text.translate({ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
