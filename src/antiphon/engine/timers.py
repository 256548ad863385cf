"""Named deadlines: a closed set, one slot each, and the earliest of them.

`spec/timers.toml` says what arms, stops and fires each. Only `tick` of an engine fires any. An instant is an `int`,
nanoseconds of the caller's monotonic clock: exact in JSON, exact after a restore, never NaN.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

Instant: TypeAlias = int
"""Nanoseconds of the caller's monotonic clock; any epoch; never goes back."""

MS = 1_000_000
"""Nanoseconds in a millisecond."""


class Timer(StrEnum):
    """What a deadline is for."""

    CONNECT = "connect"
    BACKOFF = "backoff"
    HANDSHAKE = "handshake"
    PING = "ping"
    PONG = "pong"
    CLOSE = "close"
    REQUEST = "request"
    FLUSH = "flush"
    DRAIN = "drain"
    RENEWAL = "renewal"
    QUIET = "quiet"
    EXPIRY = "expiry"
    IDLE = "idle"


class Timers:
    """The armed deadlines of one engine. Arming an armed timer moves it; stopping an idle one does nothing."""

    __slots__ = ("_earliest", "_slots")

    def __init__(self) -> None:
        self._slots: dict[Timer, Instant] = {}
        self._earliest: tuple[Timer, Instant] | None = None

    def arm(self, timer: Timer, at: Instant) -> None:
        """Set the deadline of ``timer`` to ``at`` (ns)."""
        self._slots[timer] = at
        self._refresh()

    def stop(self, timer: Timer) -> None:
        """Forget the deadline of ``timer``."""
        if self._slots.pop(timer, None) is not None:
            self._refresh()

    def clear(self) -> None:
        """Forget every deadline."""
        self._slots.clear()
        self._earliest = None

    def _refresh(self) -> None:
        # At equal instants the order of the enumeration decides, so that two runs fire alike.
        self._earliest = min(((t, at) for t, at in self._slots.items()), key=_by_instant, default=None)

    @property
    def earliest(self) -> tuple[Timer, Instant] | None:
        """The timer that is due first, with its instant (ns)."""
        return self._earliest

    @property
    def deadline(self) -> Instant | None:
        """The instant (ns) of the earliest timer, None when none is armed."""
        return self._earliest[1] if self._earliest is not None else None

    def due(self, now: Instant) -> Timer | None:
        """The earliest timer if its instant has come, else None; it is stopped by this."""
        if self._earliest is None or self._earliest[1] > now:
            return None
        timer = self._earliest[0]
        self.stop(timer)
        return timer

    def at(self, timer: Timer) -> Instant | None:
        """The deadline of ``timer`` (ns), None while it is not armed."""
        return self._slots.get(timer)

    def dump(self, now: Instant) -> dict[str, int]:
        """Nanoseconds left of each armed timer: clocks of two processes differ, remainders do not."""
        return {timer.value: at - now for timer, at in sorted(self._slots.items(), key=_by_instant)}

    def load(self, remaining: dict[str, int], now: Instant) -> None:
        """Arm each timer of ``remaining`` (ns left) anew."""
        self._slots = {Timer(name): now + left for name, left in remaining.items()}
        self._refresh()


_RANK = {timer: rank for rank, timer in enumerate(Timer)}


def _by_instant(entry: tuple[Timer, Instant]) -> tuple[Instant, int]:
    return entry[1], _RANK[entry[0]]
