"""Expected flows: did the events come as a turn of this kind should go, and if not, where not?

Whether a recording keeps the protocol is the machines' to say (``antiphon check``, or `ClientSession.reports` of a
session that was fed with it). A `Flow` asks another question: was this *the kind of turn that you expected*? It is a
line of steps; each is a type, several with ``|`` between them, and a sign for how often:

``response.created`` once · ``…?`` at most once · ``…*`` any number · ``…+`` at least once

Only the types that a flow names are looked at: transcriptions, rate limits and the like come where they please. What
differs is found as the smallest number of missing steps and unexpected events, and reads like a diff.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from antiphon.toolkit.event_types import canonical

__all__ = ["FLOWS", "Difference", "Flow", "FlowMatch"]


_FIRST_LETTER: Final = 0x4E00
"""Each type of a flow is one letter to `re`: any that mean nothing in an expression will do, and there are enough."""


class Step(Struct, frozen=True):
    """One place of a flow. ``text`` is how it was written, ``sign`` its end that says how often."""

    types: frozenset[str]
    required: bool
    repeats: bool
    text: str
    sign: str


class Difference(Struct, frozen=True):
    """One line of a comparison: ``kind`` ``same``, ``missing`` (a step without its event) or ``unexpected`` (an event
    without a step); ``count`` events of a row."""

    kind: Literal["same", "missing", "unexpected"]
    what: str
    count: int = 1


class FlowMatch(Struct, frozen=True):
    """How events compare to a flow. ``str`` of it is the diff: two spaces, ``-`` for missing, ``+`` for unexpected."""

    flow: str
    lines: tuple[Difference, ...]

    @property
    def matches(self) -> bool:
        """Whether nothing is missing and nothing unexpected."""
        return all(line.kind == "same" for line in self.lines)

    @property
    def rate(self) -> float:
        """The part of all lines that are as expected, 0 to 1; 1 of nothing."""
        return sum(line.kind == "same" for line in self.lines) / len(self.lines) if self.lines else 1.0

    def __str__(self) -> str:
        sign = {"same": " ", "missing": "-", "unexpected": "+"}
        rows = (
            f"{sign[line.kind]} {line.what}" + (f"  x{line.count}" if line.count > 1 else "") for line in self.lines
        )
        return "\n".join((f"{self.flow}: {'as expected' if self.matches else 'differs'}", *rows))


class Flow:
    """A named line of steps. Raises ValueError for a step that cannot be read."""

    def __init__(self, name: str, *steps: str) -> None:
        self.name = name
        self.steps = tuple(_step(text) for text in steps)
        self._types = frozenset[str]().union(*(step.types for step in self.steps))
        self._letters = {name: chr(_FIRST_LETTER + number) for number, name in enumerate(sorted(self._types))}
        self._pattern = re.compile(
            "".join(
                f"[{''.join(self._letters[name] for name in sorted(step.types))}]{step.sign}" for step in self.steps
            )
        )

    def fits(self, types: Iterable[str]) -> bool:
        """Whether they go the flow: ``match(types).matches``, at a small part of its price."""
        letters = self._letters
        return (
            self._pattern.fullmatch("".join(letters[name] for name in map(canonical, types) if name in letters))
            is not None
        )

    def match(self, types: Iterable[str]) -> FlowMatch:
        """Compare the ``type`` of each event, in order; either dialect's names will do."""
        mine = [name for name in map(canonical, types) if name in self._types]
        runs: list[tuple[str, int]] = []
        repeating = frozenset[str]().union(*(step.types for step in self.steps if step.repeats))
        for name, group in groupby(mine):
            count = sum(1 for _ in group)
            runs += [(name, count)] if name in repeating else [(name, 1)] * count
        return FlowMatch(self.name, _merged(_aligned(runs, self.steps)))

    def newest(self, types: Sequence[str]) -> Sequence[str]:
        """``types`` from the last on with which this flow can begin; all of them where it never began."""
        begins = self.steps[0].types if self.steps else frozenset()
        starts = (index for index in reversed(range(len(types))) if canonical(types[index]) in begins)
        return types[next(starts, 0) :]

    def __repr__(self) -> str:
        return f"Flow({', '.join(map(repr, (self.name, *(step.text for step in self.steps))))})"


def _step(text: str) -> Step:
    sign = text[-1:] if text[-1:] in ("?", "*", "+") else ""
    names = text.removesuffix(sign).split("|")
    if not all(names) or any(sign in name for name in names for sign in "?*+ "):
        raise ValueError(f"{text!r} is no step: types with | between them, then perhaps one of ? * +")
    return Step(frozenset(map(canonical, names)), sign not in ("?", "*"), sign in ("*", "+"), text, sign)


def _aligned(runs: Sequence[tuple[str, int]], steps: Sequence[Step]) -> list[Difference]:
    """The cheapest way through both lines: an event without a step and a required step without an event cost one each.

    Row ``i``, column ``j`` of the table: the first ``i`` runs were told off against the first ``j`` steps.
    """
    cost = [[0] * (len(steps) + 1) for _ in range(len(runs) + 1)]
    for i in range(len(runs) + 1):
        for j in range(len(steps) + 1):
            if i or j:
                cost[i][j] = min(price + cost[a][b] for price, a, b, _ in _moves(runs, steps, i, j))
    lines: list[Difference] = []
    i, j = len(runs), len(steps)
    while i or j:
        _, a, b, line = next(
            move for move in _moves(runs, steps, i, j) if move[0] + cost[move[1]][move[2]] == cost[i][j]
        )
        if line is not None:
            lines.append(line)
        i, j = a, b
    return lines[::-1]


def _moves(
    runs: Sequence[tuple[str, int]], steps: Sequence[Step], i: int, j: int
) -> list[tuple[int, int, int, Difference | None]]:
    """How one may have come to ``(i, j)``: price, from where, and what it says."""
    # Of moves that cost the same the first is taken, and the way is walked from its end: so an event is told off
    # against the earliest step that it fits.
    moves: list[tuple[int, int, int, Difference | None]] = []
    if j:
        step = steps[j - 1]
        moves.append((int(step.required), i, j - 1, Difference("missing", step.text) if step.required else None))
    if i:
        name, count = runs[i - 1]
        moves.append((1, i - 1, j, Difference("unexpected", name, count)))
    if i and j and name in step.types:
        if step.repeats:
            moves.append((0, i - 1, j - 1, Difference("same", name, count)))
            moves.append((0, i - 1, j, Difference("same", name, count)))
        elif count == 1:
            moves.append((0, i - 1, j - 1, Difference("same", name)))
    return moves


def _merged(lines: Iterable[Difference]) -> tuple[Difference, ...]:
    merged: list[Difference] = []
    for line in lines:
        if merged and line.kind != "missing" and (line.kind, line.what) == (merged[-1].kind, merged[-1].what):
            merged[-1] = Difference(line.kind, line.what, merged[-1].count + line.count)
        else:
            merged.append(line)
    return tuple(merged)


_SPEAKING: Final = (
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta|response.output_audio.delta*",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
)

FLOWS: Final[Mapping[str, Flow]] = MappingProxyType(
    {
        flow.name: flow
        for flow in (
            Flow(
                "text response",
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.content_part.added",
                "response.output_text.delta*",
                "response.output_text.done",
                "response.content_part.done",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ),
            Flow("audio response", "response.created", *_SPEAKING, "response.done"),
            Flow(
                "function call",
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.function_call_arguments.delta*",
                "response.function_call_arguments.done",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ),
            Flow(
                "spoken turn",
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
                "response.created",
                *_SPEAKING,
                "response.done",
            ),
        )
    }
)
"""The flows of a turn as the service sends them, by name. Make your own with `Flow`."""
