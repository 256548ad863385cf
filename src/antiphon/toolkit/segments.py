"""Cuts a long journal into segments, and forgets the oldest when there are too many: what a recording may take is
bounded. Where a segment goes (a file, a bucket) is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from antiphon.toolkit.journal import format_note

__all__ = ["Segment", "Segments"]


class Segment(Protocol):
    """Where one segment is written; an unbuffered binary file is one."""

    def write(self, lines: bytes, /) -> object:
        """Add whole lines. A number in answer is how many bytes were taken, as of a file: if not all, the rest is
        given again. What it raises ends the recording."""
        ...

    def close(self) -> object:
        """Nothing more comes."""
        ...


class Segments:
    """Writes a journal as segments of at most ``most_bytes`` bytes, numbered from 0; each but the first begins with a
    note, ``{"dir": "note", "continues": number of the one before}``. Use ``write`` and ``close`` in a `Journal`.

    ``open`` makes a segment. With ``keep``, only the newest so many are kept: ``remove`` is called with the number of
    the oldest before another is begun. A journal is played from its first segment on, so one that was removed leaves
    the others to be read and analysed, not to be played. What one input led to is never cut: a segment is longer when
    that alone is.

    Raises ValueError for a bound below 1, and for ``keep`` without ``remove``.
    """

    def __init__(
        self,
        open: Callable[[int], Segment],
        *,
        most_bytes: int,
        keep: int | None = None,
        remove: Callable[[int], object] | None = None,
    ) -> None:
        if most_bytes < 1 or (keep is not None and keep < 1):
            raise ValueError("a segment has at least 1 byte, and at least 1 is kept")
        if keep is not None and remove is None:
            raise ValueError("segments that are not kept need somebody to remove them")
        self._open = open
        self._most_bytes = most_bytes
        self._keep = keep
        self._remove = remove
        self._segment: Segment | None = None
        self._number = -1
        self._oldest = 0
        self._bytes = 0

    def write(self, lines: bytes) -> None:
        """Add whole lines, in a new segment if they do not fit into this one."""
        if self._segment is None or (self._bytes and self._bytes + len(lines) > self._most_bytes):
            self._begin()
        assert self._segment is not None  # it has begun
        _write_all(self._segment, lines)
        self._bytes += len(lines)

    def close(self) -> None:
        """Close the segment; what is written later begins another."""
        if self._segment is not None:
            segment, self._segment = self._segment, None
            segment.close()

    def _begin(self) -> None:
        self.close()
        number = self._number + 1
        while self._keep is not None and self._remove is not None and number - self._oldest >= self._keep:
            self._remove(self._oldest)
            self._oldest += 1
        self._segment = self._open(number)
        self._number = number
        self._bytes = 0
        if number:
            _write_all(self._segment, format_note("note", {"continues": number - 1}))


def _write_all(segment: Segment, lines: bytes) -> None:
    rest = lines
    while rest:
        taken = segment.write(rest)
        if not isinstance(taken, int):
            return
        if taken < 1:
            raise OSError("the segment takes no more")
        rest = rest[taken:]
