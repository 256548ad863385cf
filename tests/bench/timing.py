"""How a row is measured."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from types import FrameType
from typing import Literal

from msgspec import Struct

LEAST_BATCH_NS = 2_000_000
"""A batch lasts at least this long, so that the clock's own cost is far below a percent."""

BALLAST_STEP = 61
"""Bytes between the sizes of the objects that are laid down before each round, one more each time."""


class Row(Struct, frozen=True):
    """One budget and what was measured. ``ours`` and ``peer`` are in ``unit``; ``ratio`` is what the budget bounds.

    ``sense``: "<=" where less is better, ">=" where more is. ``note`` says what the numbers alone do not.
    """

    name: str
    peer_name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    budget: float
    sense: Literal["<=", ">="] = "<="
    note: str = ""

    def within(self, slack: float = 1.0) -> bool:
        """Whether the ratio keeps the budget, widened by the factor ``slack``."""
        return self.ratio <= self.budget * slack if self.sense == "<=" else self.ratio >= self.budget / slack


class Rounds(Struct, frozen=True):
    """Cost of one call, in ns, of each variant in each round."""

    costs: Mapping[str, list[float]]

    def cost(self, name: str) -> float:
        """Median cost of one variant, ns."""
        return median(self.costs[name])

    def ratio(self, name: str, to: str) -> float:
        """Median of the rounds' ratios: a slow second of the machine falls on both."""
        return median(one / other for one, other in zip(self.costs[name], self.costs[to], strict=True))


def measure(variants: Mapping[str, Callable[[], object]], rounds: int = 31) -> Rounds:
    """Time the ``variants`` in turn, ``rounds`` times. What exists already is kept from the garbage collector.

    Where the heap happens to end decides whether an allocator gives memory back to the system and takes it again in
    every single call, which doubles the price of whichever variant it hits. So each round begins with another heap.
    """
    batches = {name: _batch(call) for name, call in variants.items()}
    costs: dict[str, list[float]] = {name: [] for name in variants}
    ballast: list[list[bytes]] = []
    gc.collect()
    gc.freeze()
    try:
        for number in range(rounds):
            ballast.append([bytes(size) for size in range(1, 8192, BALLAST_STEP + number)])
            for name, call in variants.items():
                costs[name].append(_time(call, batches[name]))
    finally:
        gc.unfreeze()
    return Rounds(costs)


def _time(call: Callable[[], object], times: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - begin) / times


def _batch(call: Callable[[], object]) -> int:
    """How many calls last long enough; warms up, too."""
    times = 8
    while _time(call, times) * times < LEAST_BATCH_NS:
        times *= 2
    return times


def python_calls(run: Callable[[], object]) -> int:
    """How many functions, of Python and of C, ``run`` calls; what the garbage collector calls is not among them."""
    count = 0

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    previous = sys.getprofile()
    gc.collect()
    gc.disable()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(previous)
        gc.enable()
    return count
