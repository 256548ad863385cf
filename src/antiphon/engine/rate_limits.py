"""The limits of the account, as the server last told them.

`rate_limits.updated` comes anywhere or never, and often names one limit of several: the newest of each name stands.
A limit says in how many seconds it is full again, and only the `now` of its event makes an instant of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET, Struct

from antiphon.engine.timers import MS, Instant
from antiphon.messages import RateLimit

_MOST_SECONDS: Final = 366 * 24 * 3600.0
"""A limit that says it is full again in more than a year says nothing."""
_MOST_NAME: Final = 64


class KnownRateLimit(Struct, frozen=True):
    """One limit: ``remaining`` of ``limit`` ``name``s (`requests`, `tokens`) are left until ``resets_at``, when it is
    full again. None where the server told nothing usable."""

    name: str
    limit: int | None = None
    remaining: int | None = None
    resets_at: Instant | None = None

    def remaining_at(self, now: Instant) -> int | None:
        """What is left at ``now``, if nobody uses any: all of it once the limit is full again."""
        return self.limit if self.resets_at is not None and now >= self.resets_at else self.remaining


class RateLimits:
    """The newest of each name, in the order in which the names came; of too many the oldest goes."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, KnownRateLimit] = {}

    def update(self, limits: Iterable[RateLimit], now: Instant) -> bool:
        """Take over what an event tells at ``now``; whether all of it had room."""
        roomy = True
        for limit in limits:
            if not isinstance(limit.name, str):
                continue
            name = limit.name[:_MOST_NAME]
            known = KnownRateLimit(
                name, _number(limit.limit), _number(limit.remaining), _instant(limit.reset_seconds, now)
            )
            self._known[name] = known
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
                roomy = False
        return roomy

    def view(self) -> tuple[KnownRateLimit, ...]:
        """All of them."""
        return tuple(self._known.values())

    def dump(self, now: Instant) -> list[RateLimitState]:
        return [
            RateLimitState(
                each.name, each.limit, each.remaining, None if each.resets_at is None else each.resets_at - now
            )
            for each in self._known.values()
        ]

    def load(self, state: Iterable[RateLimitState], now: Instant) -> None:
        for each in state:
            resets_at = None if each.resets_in is None else now + each.resets_in
            self._known[each.name] = KnownRateLimit(each.name, each.limit, each.remaining, resets_at)


class RateLimitState(Struct, frozen=True):
    """A `KnownRateLimit` in a snapshot; ``resets_in`` is in nanoseconds, below 0 when that has passed."""

    name: str
    limit: int | None
    remaining: int | None
    resets_in: int | None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _instant(seconds: object, now: Instant) -> Instant | None:
    if seconds is UNSET or not isinstance(seconds, int | float) or not 0 <= seconds <= _MOST_SECONDS:
        return None
    return now + round(seconds * 1000) * MS
