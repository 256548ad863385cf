"""Places in the order of a conversation: a link, the tombstone of an item, and a stretch that moves as one."""

from __future__ import annotations

from typing import Final


class Link:
    """A place in a doubly linked list. One that is in no list has ``DETACHED`` on both sides.

    A reference to itself there would leave its memory to the cycle collector.
    """

    __slots__ = ("block", "next", "prev")

    prev: Link
    next: Link
    block: Block | None

    def __init__(self) -> None:
        self.prev = DETACHED
        self.next = DETACHED
        self.block = None

    @property
    def linked(self) -> bool:
        """Whether it has a place."""
        return self.next is not DETACHED


DETACHED: Final[Link] = Link.__new__(Link)


class Tombstone(Link):
    """Holds the place of an item that is gone, for as long as its id is remembered."""

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id = id


class Block:
    """A stretch of the list that moves together: an item whose predecessor has not come, and all that was put after it.

    Only what belongs to the stretch is ever inserted inside it, so ``first`` and ``tail`` say where it is. Blocks are
    the trees of a union-find forest: when a predecessor turns out to be in a waiting block itself, the block joins
    that one by its ``parent``; when the block has found its place for good, ``settled`` frees all members at once,
    without a visit.
    """

    __slots__ = ("first", "parent", "settled", "tail", "waits_for")

    def __init__(self, link: Link, waits_for: str) -> None:
        self.first = link
        self.tail = link
        self.waits_for = waits_for
        self.parent: Block | None = None
        self.settled = False

    def settle(self) -> None:
        """The members stay where they are."""
        self.settled = True
        self.first = self.tail = DETACHED

    def join(self, parent: Block) -> None:
        """The members wait for what ``parent`` waits for."""
        self.parent = parent
        self.first = self.tail = DETACHED


def block_of(link: Link) -> Block | None:
    """The block that ``link`` waits in, or None. Amortised close to constant, without recursion."""
    block = link.block
    if block is None:
        return None
    top = block
    while top.parent is not None:
        top = top.parent
    while block.parent is not None:
        block.parent, block = top, block.parent
    link.block = None if top.settled else top
    return link.block
