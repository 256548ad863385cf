"""The bounded queue between the driver, which never waits, and an application, which may be slow.

It is filled by the reading side in batches (one read of a socket may hold a thousand events) and wakes its reader once
a batch. A reader that finds something there takes it without giving up its turn, so the price of an event is a
`deque`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from antiphon.machines import LIMITS

__all__ = ["BoundedQueue", "ConnectionClosed", "QueuePolicy", "SlowConsumer"]

T = TypeVar("T")


class SlowConsumer(Exception):
    """More came than the application took and the queue may hold. Everything queued before was delivered."""


class ConnectionClosed(Exception):
    """The connection has ended in order, and nothing more will come. ``code`` and ``reason`` are the close's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the connection is closed ({code}{f', {reason}' if reason else ''})")
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type[ConnectionClosed], tuple[int, str]]:  # its text is not what it is made of
        return type(self), (self.code, self.reason)


class QueuePolicy(Struct, frozen=True, kw_only=True):
    """How much may wait for a slow application, and what happens beyond it.

    ``events``: how many, ``bytes``: of how much JSON text; both are checked after each read, so one read (at most 256
    KiB) may stand above them. ``when_full``: ``close`` ends the connection, and the iterator raises `SlowConsumer`
    after what is queued; ``coalesce`` first merges the deltas of one part that no other event stands between, and
    closes only when that does not help.

    An application that reads no events at all (it awaits outcomes, or looks at ``engine``) is not slow: until the first
    event is asked for, a full queue is emptied, the connection goes on, and a reader who comes later meets
    `SlowConsumer` at once. Raises `ValueError` for a bound below 1.
    """

    when_full: Literal["close", "coalesce"] = "close"
    events: int = LIMITS["delivery_events"].value
    bytes: int = LIMITS["delivery_bytes"].value

    def __post_init__(self) -> None:
        if self.events < 1 or self.bytes < 1:
            raise ValueError("the bounds of a queue are at least 1")


class BoundedQueue(Generic[T]):
    """Items of a measured size, for readers on one event loop.

    ``size(item)`` is in bytes and stays the same while the item waits. ``merge`` makes fewer items of many, for
    ``when_full="coalesce"``.
    """

    __slots__ = ("_abandoned", "_bytes", "_end", "_items", "_merge", "_policy", "_ready", "_size", "_was_read")

    def __init__(
        self,
        policy: QueuePolicy,
        size: Callable[[T], int],
        merge: Callable[[Iterable[T]], list[T]] | None = None,
    ) -> None:
        self._policy = policy
        self._size = size
        self._merge = merge if policy.when_full == "coalesce" else None
        self._items: deque[T] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._end: Exception | None = None
        self._was_read = False
        self._abandoned = False

    def __len__(self) -> int:
        return len(self._items)

    # -- the driver's side ---------------------------------------------------------------------------------------------

    def put(self, item: T) -> None:
        """Add an item; dropped once the queue has ended. Readers learn of it at `settle`."""
        if self._end is None:
            self._items.append(item)
            self._bytes += self._size(item)

    def settle(self) -> bool:
        """End a batch: wake the reader. True when the queue is over its bounds, and has ended with `SlowConsumer`."""
        if not self._items:
            return False
        overflow = self._is_full() and not self._make_room()
        if not self._ready.is_set():
            self._ready.set()
        return overflow

    def finish(self, end: Exception) -> None:
        """Nothing more comes: readers get what is queued, then ``end``. The first end stays."""
        if self._end is None:
            self._end = end
        self._ready.set()

    def _is_full(self) -> bool:
        return self._end is None and (len(self._items) > self._policy.events or self._bytes > self._policy.bytes)

    def _make_room(self) -> bool:
        """Whether the connection may go on."""
        if self._merge is not None:
            self._items = deque(self._merge(self._items))
            self._bytes = sum(map(self._size, self._items))
            if not self._is_full():
                return True
        if self._was_read:
            self._end = SlowConsumer(
                f"{len(self._items)} events ({self._bytes} bytes) waited for the application; the connection was closed"
            )
            return False
        self._items.clear()
        self._bytes = 0
        self._abandoned = True
        return True

    # -- the reader's side ---------------------------------------------------------------------------------------------

    def pop(self) -> T | None:
        """The next item if one is there, without waiting."""
        self._was_read = True
        if self._abandoned or not self._items:
            return None
        item = self._items.popleft()
        self._bytes -= self._size(item)
        return item

    async def get(self) -> T:
        """The next item; raises the queue's end after the last, `SlowConsumer` when the first were dropped unread."""
        while True:
            item = self.pop()
            if item is not None:
                return item
            if self._abandoned:
                raise SlowConsumer("events were dropped because nobody read them")
            if self._end is not None:
                # Every later reader is told the same; without this its traceback would grow with each.
                raise self._end.with_traceback(None)
            self._ready.clear()
            await self._ready.wait()
