"""The conversation: an ordered list of items with what each of them says.

A client mirrors here what its server announces, a server keeps here what it announces. Nothing in it acts by itself:
the engine calls a method for each event, and what was odd about the event is the method's answer, never an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from operator import itemgetter
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType

from antiphon.machines._tables import LIMITS
from antiphon.messages import Item

from .early import EarlyRecords
from .index import Index
from .items import item_id
from .links import Link, Tombstone, block_of
from .nodes import Node, Record, Taken
from .order import ItemsView, Order
from .state import ConversationState, PlaceState, TombstoneState, node_from, record_from, record_state
from .text import Transcription

ROOT: Final = "root"
"""The ``previous_item_id`` with which a client asks for the front."""

_UNPLACED = "\0"  # before the id of an item that waits to be placed itself, and not for another; no id begins so

_EARLY_SHARE = 4  # a quarter of the text may be held for items that have not come


class Misplaced(StrEnum):
    """What was odd about where an item was announced to stand."""

    SELF = "self"
    """It names itself as its predecessor; it was appended."""
    CYCLE = "cycle"
    """It closes a circle of items that each name the next as predecessor; they stay where they are."""
    UNKNOWN_PREDECESSOR = "unknown_predecessor"
    """Its predecessor has not come; it was appended and will be moved."""
    DUPLICATE_ID = "duplicate_id"
    """There is an item of this id already; both are kept (R-C6)."""


class Placement(NamedTuple):
    """The answer to a new item: its node, and what was odd about it, if anything."""

    node: Node
    problem: Misplaced | None


class Conversation:
    """The items of one conversation in their order.

    An event that belongs to no item yet is kept for it; one that belongs to an item that is gone is ignored. Every
    method costs the same whether there are ten items or ten thousand, except reading ``items`` after an item came or
    went in the middle.

    ``text_bytes`` is what is held, counted as in `Record`; `trim` brings it below ``max_text_bytes`` and the number
    of items below ``max_items``. At most ``max_waiting`` items wait for their predecessor, ``max_tombstones`` deleted
    ids are remembered, and ``max_early`` ids have texts whose item has not come, with a quarter of ``max_text_bytes``
    at most. The defaults are those of ``spec/limits.toml``.
    """

    __slots__ = (
        "_early",
        "_index",
        "_order",
        "_text_bytes",
        "_tombstones",
        "max_items",
        "max_text_bytes",
        "max_tombstones",
    )

    def __init__(
        self,
        *,
        max_items: int = LIMITS["conversation_items"].value,
        max_text_bytes: int = LIMITS["conversation_text_bytes"].value,
        max_waiting: int = LIMITS["waiting_items"].value,
        max_tombstones: int = LIMITS["tombstones"].value,
        max_early: int = LIMITS["early_transcripts"].value,
    ) -> None:
        self.max_items = max_items
        self.max_text_bytes = max_text_bytes
        self.max_tombstones = max_tombstones
        self._text_bytes = 0
        self._order = Order(max_waiting)
        self._index = Index()
        self._early = EarlyRecords(max_early, max_text_bytes // _EARLY_SHARE)
        self._tombstones: dict[str, Tombstone] = {}  # oldest first

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def items(self) -> ItemsView:
        """The items in order: a read-only view that follows the conversation."""
        return ItemsView(self._order)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._order.flat)

    def __len__(self) -> int:
        return self._order.count

    def __bool__(self) -> bool:
        return True  # an empty conversation is a conversation: `conversation or …` must not replace it

    @property
    def first(self) -> Node | None:
        """The item at the front."""
        return self._order.first

    @property
    def last(self) -> Node | None:
        """The item at the end."""
        return self._order.last

    @property
    def text_bytes(self) -> int:
        """What is held, counted as in `Record`: that of all items, and of what came before its item."""
        return self._text_bytes + self._early.text_bytes

    def get(self, item_id: str) -> Node | None:
        """The item of this id, the newest if there are several; None if there is none (yet, or any more)."""
        return self._index.get(item_id)

    def early(self, item_id: str) -> Record | None:
        """The texts that came for an item which is no member (yet)."""
        return self._early.get(item_id)

    def is_deleted(self, item_id: str) -> bool:
        """Whether the item was deleted or evicted, as far as is remembered, and no other has its id."""
        return item_id in self._tombstones

    # --- items --------------------------------------------------------------------------------------------------------

    def add(
        self,
        item: Item,
        previous_item_id: str | UnsetType | None = UNSET,
        *,
        clone: bool = False,
        unplaced: bool = False,
        generated: bool = False,
        response_id: str | None = None,
    ) -> Placement:
        """A server announces ``item`` as a member; its place is directly behind ``previous_item_id`` (R-C4).

        Without a predecessor (null, absent or empty) that is the front; with ``clone``, for servers that never name
        one, the end. A predecessor that is gone still marks its place. One that has not come is waited for at the
        end. ``unplaced``: the server has not said yet where it belongs, and may still (`place`); it waits at the end
        too. An id that was deleted names a new item.
        """
        previous = previous_item_id if isinstance(previous_item_id, str) and previous_item_id else None
        problem = None
        node = self._join(item)
        if node.id in self._index:
            problem = Misplaced.DUPLICATE_ID
        node.previous_item_id = previous
        node.generated = generated
        node.response_id = response_id

        order = self._order
        if unplaced:
            order.append(node)
            order.wait(node, _UNPLACED + node.id)
        elif previous is None:
            if clone:
                order.append(node)
            else:
                order.prepend(node)
        elif previous == node.id:
            problem = problem or Misplaced.SELF
            order.append(node)
        elif (anchor := self._place_of(previous)) is not None:
            order.insert_after(node, anchor)
        elif previous == ROOT:
            order.prepend(node)
        else:
            problem = problem or Misplaced.UNKNOWN_PREDECESSOR
            order.append(node)
            order.wait(node, previous)

        self._register(node)
        if not order.release(node.id, node):
            problem = problem or Misplaced.CYCLE
        return Placement(node, problem)

    def awaits_place(self, item_id: str) -> bool:
        """Whether nothing has said where the item belongs; it stands at the end until then."""
        return self._order.waits_for(_UNPLACED + item_id)

    def place(self, item_id: str, previous_item_id: str | UnsetType | None) -> Misplaced | None:
        """Where a member belongs that `awaits_place`. What was put behind it moves with it. Without a predecessor it
        stays: servers that announce late name none."""
        waiting, order = _UNPLACED + item_id, self._order
        node = self._index.get(item_id)
        assert node is not None  # only a member waits so
        previous = previous_item_id if isinstance(previous_item_id, str) and previous_item_id else None
        node.previous_item_id = previous
        if previous is None:
            order.give_up(waiting)
        elif previous == ROOT and self._place_of(previous) is None:
            order.release(waiting, order.front)
        elif previous == item_id:
            order.give_up(waiting)
            return Misplaced.SELF
        elif (anchor := self._place_of(previous)) is None:
            order.wait_instead(waiting, previous)
            return Misplaced.UNKNOWN_PREDECESSOR
        elif not order.release(waiting, anchor):
            return Misplaced.CYCLE
        return None

    def insert(
        self,
        item: Item,
        previous_item_id: str | UnsetType | None = UNSET,
        *,
        generated: bool = False,
        response_id: str | None = None,
    ) -> Placement | None:
        """The server's side of `add`: without a predecessor (null, absent or empty) the end, with "root" the front.

        ``previous_item_id`` of the new node is the id of the item before it, as the announcement must say. None, and
        nothing changed, if the predecessor is no member: the client is owed an error.
        """
        previous = previous_item_id if isinstance(previous_item_id, str) and previous_item_id else None
        anchor = self._index.get(previous) if previous is not None else None
        if anchor is None and previous is not None and previous != ROOT:
            return None
        node = self._join(item)
        problem = Misplaced.DUPLICATE_ID if node.id in self._index else None
        node.generated = generated
        node.response_id = response_id
        if anchor is not None:
            node.previous_item_id = previous
            self._order.insert_after(node, anchor)
        elif previous is None:
            node.previous_item_id = None if self.last is None else self.last.id
            self._order.append(node)
        else:
            self._order.prepend(node)
        self._register(node)
        return Placement(node, problem)

    def done(self, item: Item) -> Taken:
        """``conversation.item.done``: the last word about ``item``. Its texts replace what streamed and was not cut.

        It never moves: the predecessor that this event names is unreliable (R-C4).
        """
        return self._update(item, done=True)

    def retrieved(self, item: Item) -> Taken:
        """``conversation.item.retrieved``: as much of ``item`` as the server knows. Its audio is not kept."""
        return self._update(item, done=False)

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int, audio_ms: int | None = None) -> Taken:
        """A part was cut at ``audio_end_ms``, of ``audio_ms`` of audio that was made (None: unknown).

        Its text becomes the words that were heard, measured by all of its text and audio, whenever that comes. Cut
        again at a smaller value, it gets shorter, at a larger one it stays.
        """
        return self._write(item_id, lambda record: record.truncate(content_index, audio_end_ms, audio_ms))

    def measure(self, item_id: str, content_index: int, audio_ms: int) -> None:
        """All of a part's audio is there. Matters if the part was cut before."""
        node = self._index.get(item_id)
        if node is not None and (place := node.cut_places.get(content_index)) is not None:
            node.truncate(content_index, place.audio_end_ms, audio_ms)

    def delete(self, item_id: str) -> Node | None:
        """The item is gone; late events for it are recognised. Answers its node, or None if there was none.

        Of several items with one id the newest goes. The id of an item that never came is remembered too.
        """
        node = self._index.get(item_id)
        if node is not None:
            self._bury(node)
            return node
        self._early.pop(item_id)
        if item_id and item_id not in self._tombstones:
            tombstone = Tombstone(item_id)
            self._order.append_tombstone(tombstone)
            self._order.give_up(item_id)
            self._remember(tombstone)
        return None

    def trim(self) -> list[Node]:
        """Evict items from the front until the limits hold, and answer them, oldest first; they count as deleted."""
        evicted: list[Node] = []
        order = self._order
        while order.first is not None and (order.count > self.max_items or self.text_bytes > self.max_text_bytes):
            evicted.append(order.first)
            self._bury(order.first)
        return evicted

    # --- sessions -----------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything: another session begins, and it begins empty."""
        self._order = Order(self._order.max_waiting)
        self._index = Index()
        self._early = EarlyRecords(self._early.max_records, self._early.max_bytes)
        self._tombstones = {}
        self._text_bytes = 0

    def renew(self, prepare: Callable[[Node], None]) -> None:
        """Another session follows: the items stay in the order in which they stand, and nothing more is expected of the
        old one's announcements. ``prepare`` is called with each item, in order, and may `Node.rename` it."""
        nodes, shared = list(self._order.flat), self._index.shared
        self.clear()
        for node in nodes:
            prepare(node)
            node.block = None
            self._order.append(node)
            self._text_bytes += node.text_bytes
        aged = {node: None for each in shared for node in each}
        self._index = Index([*(node for node in nodes if node not in aged), *aged])

    # --- texts --------------------------------------------------------------------------------------------------------

    def text_delta(self, item_id: str, content_index: int, delta: str) -> Taken:
        """More of a generated text or transcript; of a call's arguments with `STREAM_OF_ARGUMENTS` as the index."""
        get = self._index.get  # in a local: a slot that is called as a method is sought in the class first
        node = get(item_id)
        if node is None:
            return self._early_text_delta(item_id, content_index, delta)
        before = node.text_bytes
        taken = node.text_delta(content_index, delta)
        self._text_bytes += node.text_bytes - before
        return taken

    def _early_text_delta(self, item_id: str, content_index: int, delta: str) -> Taken:
        # Apart from `text_delta`, which would pay for the closure with every delta.
        return self._write_early(item_id, lambda record: record.text_delta(content_index, delta))

    def text_done(self, item_id: str, content_index: int, text: str) -> Taken:
        """A whole generated text, transcript or arguments, in place of the deltas."""
        return self._write(item_id, lambda record: record.text_done(content_index, text))

    def transcription(self, item_id: str, content_index: int) -> Transcription:
        """The transcription of a part of the user's audio, made if there is none, also before its item.

        For an id that is gone, one that is kept nowhere.
        """
        record: Record | None = self._index.get(item_id)
        if record is not None:
            before = record.text_bytes
            transcription = record.transcription(content_index)
            self._text_bytes += record.text_bytes - before
            return transcription
        if item_id and item_id not in self._tombstones:
            made: list[Transcription] = []

            def make(record: Record) -> Taken:
                made.append(record.transcription(content_index))
                return Taken.APPLIED

            self._early.write(item_id, make)
            return made[0]
        return Transcription()

    def transcription_delta(self, item_id: str, content_index: int, delta: str) -> Taken:
        """More of a transcript of the user's audio."""
        return self._write(item_id, lambda record: record.transcription_delta(content_index, delta))

    def transcription_updated(self, item_id: str, content_index: int, transcript: str) -> Taken:
        """All of a transcript so far, where a vendor sends it whole each time."""
        return self._write(item_id, lambda record: record.transcription_updated(content_index, transcript))

    def transcription_completed(
        self, item_id: str, content_index: int, transcript: str, *, final: bool = True
    ) -> Taken:
        """A whole transcript, in place of the deltas; ``final`` False where the vendor says that another follows."""
        return self._write(
            item_id, lambda record: record.transcription_completed(content_index, transcript, final=final)
        )

    def transcription_failed(self, item_id: str, content_index: int, error: str) -> Taken:
        """There will be no transcript; ``error`` is the message, perhaps empty."""
        return self._write(item_id, lambda record: record.transcription_failed(content_index, error))

    # --- as data ------------------------------------------------------------------------------------------------------

    def dump(self) -> ConversationState:
        """All of it as data; the limits are not part of it."""
        numbers = {block: number for number, block in enumerate(self._order.blocks)}
        ages = {tombstone: age for age, tombstone in enumerate(self._tombstones.values())}
        places: list[PlaceState] = []
        positions: dict[Node, int] = {}
        for link in self._order.links():
            block = block_of(link)
            number = numbers[block] if block is not None else None
            if isinstance(link, Node):
                positions[link] = len(places)
                places.append(record_state(link, number))
            else:
                assert isinstance(link, Tombstone)  # nothing else is between the ends
                places.append(TombstoneState(id=link.id, age=ages[link], block=number))
        return ConversationState(
            places=places,
            waits_for=[block.waits_for for block in self._order.blocks],
            duplicates=[[positions[node] for node in nodes] for nodes in self._index.shared],
            early=[record_state(record) for record in self._early],
        )

    def load(self, state: ConversationState) -> None:
        """Become what ``state`` was dumped from, whatever was here before. The limits stay; `trim` enforces them.

        Raises `ValueError`, and leaves everything as it was, for a state that no conversation can be in.
        """
        links: list[Link] = []
        tombstones: list[tuple[int, Tombstone]] = []
        for place in state.places:
            if isinstance(place, TombstoneState):
                tombstone = Tombstone(place.id)
                tombstones.append((place.age, tombstone))
                links.append(tombstone)
            else:
                links.append(node_from(place))
        order = Order(self._order.max_waiting)
        order.restore(zip(links, [place.block for place in state.places], strict=True), state.waits_for)
        # Items that share an id stand in the order of their age in `duplicates`, and anywhere in `places`.
        aged = [position for positions in state.duplicates for position in positions]
        if len(set(aged)) != len(aged) or not set(aged) <= set(range(len(links))):
            raise ValueError("duplicates are listed twice, or are no places")
        alone = set(range(len(links))).difference(aged)
        nodes = [link for position in (*sorted(alone), *aged) if isinstance(link := links[position], Node)]
        early = EarlyRecords(self._early.max_records, self._early.max_bytes, map(record_from, state.early))

        self._order = order
        self._index = Index(nodes)
        self._early = early
        self._tombstones = {tombstone.id: tombstone for _, tombstone in sorted(tombstones, key=itemgetter(0))}
        self._text_bytes = sum(node.text_bytes for node in nodes)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _join(self, item: Item) -> Node:
        """A node for ``item``, with the texts that came before it; a tombstone of its id gives way."""
        node = Node(item)
        early = self._early.pop(node.id)
        if early is not None:
            node.adopt(early)
        tombstone = self._tombstones.pop(node.id, None)
        if tombstone is not None:
            self._order.remove(tombstone)
        return node

    def _register(self, node: Node) -> None:
        self._index.add(node)
        self._text_bytes += node.text_bytes

    def _place_of(self, item_id: str) -> Link | None:
        node = self._index.get(item_id)
        return node if node is not None else self._tombstones.get(item_id)

    def _bury(self, node: Node) -> None:
        self._text_bytes -= node.text_bytes
        if self._index.remove(node):
            tombstone = Tombstone(node.id)
            self._order.bury(node, tombstone)
            self._remember(tombstone)
        else:  # its id is that of another item too, which must not count as deleted
            self._order.remove(node)

    def _remember(self, tombstone: Tombstone) -> None:
        self._tombstones[tombstone.id] = tombstone
        if len(self._tombstones) > self.max_tombstones:
            self._order.remove(self._tombstones.pop(next(iter(self._tombstones))))

    def _update(self, item: Item, *, done: bool) -> Taken:
        id = item_id(item)
        node = self._index.get(id)
        if node is None:
            return Taken.DELETED if id in self._tombstones else Taken.UNKNOWN
        before = node.text_bytes
        node.update(item, done=done)
        self._text_bytes += node.text_bytes - before
        return Taken.APPLIED

    def _write(self, item_id: str, write: Callable[[Record], Taken]) -> Taken:
        node = self._index.get(item_id)
        if node is None:
            return self._write_early(item_id, write)
        before = node.text_bytes
        taken = write(node)
        self._text_bytes += node.text_bytes - before
        return taken

    def _write_early(self, item_id: str, write: Callable[[Record], Taken]) -> Taken:
        if item_id in self._tombstones:
            return Taken.DELETED
        return self._early.write(item_id, write) if item_id else Taken.UNKNOWN
