"""A distribution in bounded memory: exact count, sum and ends, percentiles from an even sample.

Up to `KEPT` values are all kept. Beyond, every second, then every fourth … value is, which needs no entropy and makes
two runs over the same recording print the same.
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
        if self.count == self._next:
            self._sample.append(value)
            self._next += self._step
            if len(self._sample) > KEPT:
                del self._sample[1::2]
                self._step *= 2
                self._next = len(self._sample) * self._step
        self.count += 1
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
        """Add what ``other`` holds, as if its values had come after these: counts, sums and ends exactly.

        The sample goes on at the same even step, so that ten thousand small distributions weigh what they hold: were
        the first value of each kept, the percentiles would in the end be those of first values.
        """
        if not other.count:
            return
        step = max(self._step, other._step)
        merged = self._sample[:: step // self._step]
        following = self._next if step == self._step else len(merged) * step
        for place, value in enumerate(other._sample):
            if self.count + place * other._step >= following:
                merged.append(value)
                following += step
        while len(merged) > KEPT:
            del merged[1::2]
            step *= 2
            following = len(merged) * step
        self.min = other.min if self.min is None or (other.min is not None and other.min < self.min) else self.min
        self.max = other.max if self.max is None or (other.max is not None and other.max > self.max) else self.max
        self.count += other.count
        self.total += other.total
        self._sample, self._step = merged, step
        self._next = max(self.count, following)

    def __repr__(self) -> str:
        return f"<Distribution of {self.count}: {self.min} to {self.max}, mean {self.mean}>"
