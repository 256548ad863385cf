"""A distribution in bounded memory: exact count, sum and ends, percentiles from an even sample.

Up to `KEPT` values are all kept. Beyond, one of every two, then of every four … neighbours is. Which one is computed
from its place: that needs no entropy, so two runs over the same recording print the same, and unlike "every fourth" it
is not misled by values that come in a rhythm, such as the four turns of each of ten thousand recordings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

__all__ = ["KEPT", "Distribution", "Summary"]

KEPT: Final = 4096
"""Values kept at most. An error of a percentile is then below half a percentage point of rank."""


class Summary(Struct, frozen=True):
    """A distribution in numbers, in the unit of its values; all None where ``count`` is 0."""

    count: int
    mean: float | None
    min: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class Distribution:
    """Values of one kind, added one after another."""

    __slots__ = ("_next", "_sample", "_step", "count", "max", "min", "total")

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.count = 0
        self.total = 0.0
        self.min: float | None = None
        self.max: float | None = None
        self._sample: list[float] = []
        self._step = 1
        self._next = 0
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """One more value."""
        self.count += 1
        if self.count > self._next:
            self._sample.append(value)
            if len(self._sample) > KEPT:
                self._halve()
            self._next = self._following(self.count)
        self.total += value
        if self.min is None or value < self.min:
            self.min = value
        if self.max is None or value > self.max:
            self.max = value

    @property
    def mean(self) -> float | None:
        """The average, None of nothing."""
        return self.total / self.count if self.count else None

    def percentile(self, percent: float) -> float | None:
        """The value below which ``percent`` (0 to 100) of all are, between neighbours in proportion; None of nothing.

        Raises ValueError for a ``percent`` out of range.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is between 0 and 100, not {percent}")
        if not self._sample:
            return None
        if percent == 100:
            return self.max
        ordered = sorted(self._sample)
        place = percent / 100 * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    def summary(self) -> Summary:
        """All of it in numbers."""
        return Summary(
            self.count,
            self.mean,
            self.min,
            self.percentile(50),
            self.percentile(90),
            self.percentile(99),
            self.max,
        )

    def merge(self, other: Distribution) -> None:
        """Add what ``other`` holds, as if its values had come after these: counts, sums and ends exactly, and what it
        kept of its values at the weight that it has here."""
        if not other.count:
            return
        while self._step < other._step:
            self._halve()
        chosen = self._following(self.count)
        for place, value in enumerate(other._sample):
            if self.count + (place + 1) * other._step > chosen:
                self._sample.append(value)
                chosen = self._following(chosen + 1)
        while len(self._sample) > KEPT:
            self._halve()
        self.min = other.min if self.min is None or (other.min is not None and other.min < self.min) else self.min
        self.max = other.max if self.max is None or (other.max is not None and other.max > self.max) else self.max
        self.count += other.count
        self.total += other.total
        self._next = self._following(self.count)

    def _halve(self) -> None:
        """Keep one of every two neighbours."""
        self._sample = [
            self._sample[min(at + _lot(at, 2), len(self._sample) - 1)] for at in range(0, len(self._sample), 2)
        ]
        self._step *= 2

    def _following(self, place: int) -> int:
        """The first place from ``place`` on whose value is kept: there is one in every ``step``."""
        step = self._step
        if step == 1:
            return place
        start = place - place % step
        chosen = start + _lot(start, step)
        return chosen if chosen >= place else start + step + _lot(start + step, step)

    def __repr__(self) -> str:
        return f"<Distribution of {self.count}: {self.min} to {self.max}, mean {self.mean}>"


def _lot(place: int, among: int) -> int:
    """A number from 0 to ``among`` - 1, the same for the same place and without a pattern over places: the mixing of
    the SplitMix64 generator."""
    mixed = (place + 1) * 0x9E3779B97F4A7C15 & _MASK
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
    return (mixed >> 32) % among


_MASK: Final = (1 << 64) - 1
