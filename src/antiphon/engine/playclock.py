"""An estimate of what was heard, for those who cannot ask their device: a player that plays in real time.

A phone bridge, a game or a browser often hands audio on and hears nothing back. For them the policy
``playback="clock"`` takes the time of `PlayAudio` for the time at which the player got the audio, and supposes one
loudspeaker: it plays what it gets without delay, in order, at the speed of the samples, and pauses only when it has
run dry. All of it is arithmetic on the ``now`` of the inputs: no timer, and no dependence on when somebody looks.

A device that buffers is behind this estimate by the length of its buffer; who knows better reports (`audio_played`).
"""

from __future__ import annotations

from antiphon.engine.playback import Entry
from antiphon.engine.timers import Instant

_SECOND = 1_000_000_000


class PlayClock:
    """The loudspeaker. ``busy_until``: when all that was queued will have sounded; None before the first sound."""

    __slots__ = ("busy_until",)

    def __init__(self) -> None:
        self.busy_until: Instant | None = None

    def queue(self, entry: Entry, samples: int, now: Instant) -> None:
        """``samples`` more of ``entry`` are handed on; they are not yet counted in its ``received``.

        They follow the part's earlier samples without a gap if those still sound, and else all that was queued before.
        """
        if entry.since is None or self._end(entry) <= now:
            entry.since = now if self.busy_until is None else max(now, self.busy_until)
            entry.base = entry.received
        end = self._end(entry, samples)
        if self.busy_until is None or end > self.busy_until:
            self.busy_until = end

    def position(self, entry: Entry, now: Instant) -> int:
        """How many samples of ``entry`` have sounded, from its beginning; never more than it received."""
        if entry.since is None:
            return 0
        if now <= entry.since:
            return entry.base
        return min(entry.received, entry.base + (now - entry.since) * entry.format.rate // _SECOND)

    def flush(self) -> None:
        """The player was told to drop all that it has: what comes next sounds at once."""
        self.busy_until = None

    @staticmethod
    def _end(entry: Entry, more: int = 0) -> Instant:
        assert entry.since is not None
        return entry.since - -(entry.received + more - entry.base) * _SECOND // entry.format.rate
