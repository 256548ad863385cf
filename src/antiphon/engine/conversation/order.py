"""The order of the items: a linked list, a flat view of it, and stretches that wait for a predecessor.

Putting an item behind another costs the same at any length. Items that are gone leave their place behind as a
tombstone, so that an item that names one as its predecessor still finds where it belongs. An item whose predecessor
is unknown stands at the end, and moves with all that was put behind it when the predecessor comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from .links import DETACHED, Block, Link, Tombstone, block_of
from .nodes import Node


class Order:
    """The places of the items of one conversation. Ids mean nothing here, except those that are waited for.

    ``first`` and ``last`` are the ends of the visible list, ``count`` its length. At most ``max_waiting`` items wait;
    beyond, the one that waited longest stays where it is.
    """

    __slots__ = ("_blocks", "_flat", "_root", "_waiting", "count", "first", "last", "max_waiting")

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self.count = 0
        self.first: Node | None = None
        self.last: Node | None = None
        root = Link()
        root.prev = root.next = root
        self._root = root
        self._flat: deque[Node] | None = None  # None: to be rebuilt when somebody looks
        self._blocks: dict[Block, None] = {}  # in the order in which they began to wait
        self._waiting: dict[str, dict[Block, None]] = {}

    # --- placing ------------------------------------------------------------------------------------------------------

    def append(self, node: Node) -> None:
        """Put ``node`` at the very end."""
        self._link(node, self._root.prev)
        self._came_last(node)

    def prepend(self, node: Node) -> None:
        """Put ``node`` at the very front."""
        self._link(node, self._root)
        self._came_first(node)

    def insert_after(self, node: Node, anchor: Link) -> None:
        """Put ``node`` directly behind ``anchor``, an item or a tombstone; it waits with it if that waits."""
        block = block_of(anchor)
        if block is not None:
            node.block = block
            if block.tail is anchor:
                block.tail = node
        self._link(node, anchor)
        if anchor is self.last:
            self._came_last(node)
        elif isinstance(anchor, Node):
            self.count += 1
            self._flat = None
        elif self._visible_after(node) is None:
            self._came_last(node)
        elif self._visible_before(node) is None:
            self._came_first(node)
        else:
            self.count += 1
            self._flat = None

    def wait(self, node: Node, predecessor: str) -> None:
        """``node``, just appended, is to be moved when an item with the id ``predecessor`` comes."""
        node.block = block = Block(node, predecessor)
        self._enqueue(block)
        if len(self._blocks) > self.max_waiting:
            self._give_up(next(iter(self._blocks)))

    def waits_for(self, predecessor: str) -> bool:
        """Whether anything waits for ``predecessor``."""
        return predecessor in self._waiting

    def wait_instead(self, predecessor: str, instead: str) -> None:
        """What waits for ``predecessor`` waits for ``instead``."""
        for block in self._waiting.pop(predecessor, ()):
            block.waits_for = instead
            self._waiting.setdefault(instead, {})[block] = None

    @property
    def front(self) -> Link:
        """The anchor of what goes to the very front."""
        return self._root

    def release(self, predecessor: str, anchor: Link) -> bool:
        """Move what waits for ``predecessor`` directly behind ``anchor``, one after the other as they came.

        Answers False if a stretch holds ``anchor`` itself: its items name each other in a circle, and stay.
        """
        straight = True
        for block in self._waiting.pop(predecessor, ()):
            del self._blocks[block]
            target = block_of(anchor)
            if target is block:
                straight = False
                block.settle()
                continue
            first, tail = block.first, block.tail
            self._splice(first, tail, anchor)
            if target is None:
                block.settle()
                continue
            block.join(target)
            if target.tail is anchor:
                target.tail = tail
        return straight

    def give_up(self, predecessor: str) -> None:
        """``predecessor`` will not come: what waits for it stays where it is."""
        for block in self._waiting.pop(predecessor, ()):
            del self._blocks[block]
            block.settle()

    # --- removing -----------------------------------------------------------------------------------------------------

    def bury(self, node: Node, tombstone: Tombstone) -> None:
        """Put ``tombstone`` in the place of ``node``."""
        block = block_of(node)
        if block is not None:
            tombstone.block = block
            if block.first is node:
                block.first = tombstone
            if block.tail is node:
                block.tail = tombstone
        self._link(tombstone, node)
        self._went(node)
        self._unlink(node)

    def append_tombstone(self, tombstone: Tombstone) -> None:
        """Put ``tombstone`` at the very end: nothing is known about where its item was."""
        self._link(tombstone, self._root.prev)

    def remove(self, link: Link) -> None:
        """Take an item or a tombstone out, and leave nothing in its place."""
        block = block_of(link)
        if block is not None:
            if block.first is block.tail:
                self._give_up(block)
            elif block.first is link:
                block.first = link.next
            elif block.tail is link:
                block.tail = link.prev
        if isinstance(link, Node):
            self._went(link)
        self._unlink(link)

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def flat(self) -> deque[Node]:
        """All items in order, for reading. Kept while items come and go at the ends, else rebuilt here."""
        if self._flat is None:
            self._flat = deque(link for link in self.links() if isinstance(link, Node))
        return self._flat

    def links(self) -> Iterator[Link]:
        """Items and tombstones in order."""
        link = self._root.next
        while link is not self._root:
            yield link
            link = link.next

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The stretches that wait, longest first."""
        return tuple(self._blocks)

    # --- restoring ----------------------------------------------------------------------------------------------------

    def restore(self, links: Iterable[tuple[Link, int | None]], waits_for: Sequence[str]) -> None:
        """Fill an empty order with ``links`` in order, each with the number of the block that it waits in.

        ``waits_for`` has what each block waits for, longest first. Raises `ValueError` if a number has no block, or a
        block no members.
        """
        blocks: list[Block | None] = [None] * len(waits_for)
        for link, number in links:
            self._link(link, self._root.prev)
            if isinstance(link, Node):
                self._came_last(link)
            if number is None:
                continue
            if not 0 <= number < len(blocks):
                raise ValueError(f"a place waits in block {number} of {len(blocks)}")
            block = blocks[number]
            if block is None:
                block = blocks[number] = Block(link, waits_for[number])
            link.block = block
            block.tail = link
        for number, block in enumerate(blocks):
            if block is None:
                raise ValueError(f"block {number} has no members")
            self._enqueue(block)

    # --- inside -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _link(link: Link, anchor: Link) -> None:
        after = anchor.next
        link.prev = anchor
        link.next = after
        anchor.next = link
        after.prev = link

    @staticmethod
    def _unlink(link: Link) -> None:
        link.prev.next = link.next
        link.next.prev = link.prev
        link.prev = link.next = DETACHED
        link.block = None

    def _splice(self, first: Link, tail: Link, anchor: Link) -> None:
        first.prev.next = tail.next
        tail.next.prev = first.prev
        after = anchor.next
        anchor.next = first
        first.prev = anchor
        tail.next = after
        after.prev = tail
        self.first = self._visible_after(self._root)
        self.last = self._visible_before(self._root)
        self._flat = None

    def _came_last(self, node: Node) -> None:
        self.count += 1
        self.last = node
        if self.first is None:
            self.first = node
        if self._flat is not None:
            self._flat.append(node)

    def _came_first(self, node: Node) -> None:
        self.count += 1
        self.first = node
        if self.last is None:
            self.last = node
        if self._flat is not None:
            self._flat.appendleft(node)

    def _went(self, node: Node) -> None:
        """``node``, still linked, is no longer visible."""
        self.count -= 1
        is_first, is_last = node is self.first, node is self.last
        if is_first:
            self.first = self._visible_after(node)
            if self._flat is not None:
                self._flat.popleft()
        if is_last:
            self.last = self._visible_before(node)
            if self._flat is not None and not is_first:
                self._flat.pop()
        if not (is_first or is_last):
            self._flat = None

    def _visible_after(self, link: Link) -> Node | None:
        # Passes tombstones, whose number is bounded; items never lie between.
        link = link.next
        while link is not self._root:
            if isinstance(link, Node):
                return link
            link = link.next
        return None

    def _visible_before(self, link: Link) -> Node | None:
        link = link.prev
        while link is not self._root:
            if isinstance(link, Node):
                return link
            link = link.prev
        return None

    def _enqueue(self, block: Block) -> None:
        self._blocks[block] = None
        self._waiting.setdefault(block.waits_for, {})[block] = None

    def _give_up(self, block: Block) -> None:
        del self._blocks[block]
        peers = self._waiting[block.waits_for]
        del peers[block]
        if not peers:
            del self._waiting[block.waits_for]
        block.settle()


class ItemsView(Sequence[Node]):
    """The items in order, read-only and live. Iterating over it while items come or go raises `RuntimeError`."""

    __slots__ = ("_order",)

    def __init__(self, order: Order) -> None:
        self._order = order

    def __len__(self) -> int:
        return self._order.count

    def __iter__(self) -> Iterator[Node]:
        return iter(self._order.flat)

    def __reversed__(self) -> Iterator[Node]:
        return reversed(self._order.flat)

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Node]: ...
    def __getitem__(self, index: int | slice) -> Node | Sequence[Node]:
        flat = self._order.flat
        if isinstance(index, slice):
            return [flat[position] for position in range(*index.indices(len(flat)))]
        return flat[index]

    def __repr__(self) -> str:
        return f"<{len(self)} items>"
