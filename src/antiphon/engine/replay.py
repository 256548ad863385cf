"""The history, for a session that knows nothing of it (R-N5): what is sent, and which answers are its echoes.

What a model said is given as text, because audio cannot be seeded, and only what was heard of it. Items keep their ids;
one that another server chose, and that is longer than a client may choose, becomes its digest: the same one at every
renewal, so that nothing has to be remembered about it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from msgspec import UNSET, Struct, UnsetType, structs

from antiphon import messages as m
from antiphon.engine.checks import is_portable
from antiphon.engine.conversation import ROOT, Conversation, Node
from antiphon.engine.records import STREAM_OF_ARGUMENTS

EVENT_ID = "antiphon_replay"
"""What the event ids of a replay begin with."""

_DIGEST_BYTES = 13


def portable(name: str, prefix: str) -> str:
    """``name`` itself where a client may choose it (R-C11), else its digest."""
    if is_portable(name):
        return name
    from hashlib import blake2b  # few servers need it, and its library is slow to load

    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{prefix}_{digest}"


def make_portable(node: Node) -> None:
    """Give ``node``, and the call that it is or answers, names that the next session takes."""
    item = node.item
    id = portable(node.id, "item")
    if isinstance(item, m.FunctionCallItem | m.FunctionCallOutputItem) and isinstance(item.call_id, str):
        call_id = portable(item.call_id, "call")
        if call_id != item.call_id:
            item = structs.replace(item, call_id=call_id)
    if id != node.id and not isinstance(item, m.UnknownItem):
        item = structs.replace(item, id=id)
    if item is not node.item:
        node.rename(id, item)


def call_of(node: Node) -> str | None:
    """The id of the call that ``node`` is, if it is one that ran to its end: half an argument is none."""
    item = node.item
    if not isinstance(item, m.FunctionCallItem) or not isinstance(item.call_id, str) or not item.call_id:
        return None
    streamed = node.parts.get(STREAM_OF_ARGUMENTS)
    is_whole = node.finished or not node.generated or (streamed is not None and streamed.final)
    return item.call_id if is_whole and item.status != "incomplete" else None


def item_of(node: Node, calls: Collection[str]) -> m.Item | None:
    """What another session is given in the place of ``node``; None when there is nothing that it can be given.

    ``calls`` are the calls that it is given: an output without its call is refused (R-C12).
    """
    item = node.item
    if isinstance(item, m.MessageItem):
        content = list(_content(node, item))
        return m.MessageItem(id=node.id, role=item.role, content=content) if content else None
    if isinstance(item, m.FunctionCallItem):
        call_id = call_of(node)
        if call_id is None:
            return None
        arguments = node.text_at(STREAM_OF_ARGUMENTS)
        return m.FunctionCallItem(id=node.id, name=item.name, call_id=call_id, arguments=arguments)
    if isinstance(item, m.FunctionCallOutputItem) and item.call_id in calls:
        return m.FunctionCallOutputItem(id=node.id, call_id=item.call_id, output=item.output)
    return None


def is_missed(node: Node) -> bool:
    """Whether an item of which nothing can be given is a loss. What never said a word is none; the tools of remote
    servers are listed anew, and their calls are those servers' business."""
    item = node.item
    if isinstance(item, m.MessageItem):
        return item.role == "user" and not node.cuts and bool(item.content)
    return isinstance(item, m.FunctionCallItem | m.FunctionCallOutputItem | m.UnknownItem)


def missed_parts(node: Node) -> list[int]:
    """The parts of a user's message that cannot be given, although others can: audio without a transcript, and content
    of an unknown type."""
    item = node.item
    if not isinstance(item, m.MessageItem) or item.role != "user":
        return []
    return [
        index
        for index, part in enumerate(item.content)
        if isinstance(part, m.InputAudio | m.UnknownContent) and not node.text_at(index)
    ]


def _content(node: Node, item: m.MessageItem) -> Iterator[m.Content]:
    """The parts of a message as a client may write them (R-C13)."""
    indexes = {*range(len(item.content)), *node.parts, *node.transcriptions, *node.cuts}
    for index in sorted(indexes):
        part = item.content[index] if 0 <= index < len(item.content) else None
        if isinstance(part, m.InputImage):
            yield part
        elif text := node.text_at(index):
            yield m.OutputText(text=text) if item.role == "assistant" else m.InputText(text=text)


class Echo(Struct, frozen=True):
    """An item that was sent to be replayed, and has not come back."""

    event_id: str
    item_id: str


class ReplayState(Struct, frozen=True):
    """A `Replay` in a snapshot."""

    expected: list[Echo]
    ending: list[str]
    untouched: bool


class Replay:
    """The echoes that are awaited. ``ending``: items that came once, and may come again, as `done` or by the other name
    of `added` (R-C9). ``untouched``: no item of the new session has come."""

    __slots__ = ("_ids", "ending", "expected", "untouched")

    def __init__(self) -> None:
        self.expected: deque[Echo] = deque()
        self._ids: dict[str, int] = {}  # how often each id is expected
        self.ending: dict[str, None] = {}
        self.untouched = False

    def forget(self) -> None:
        """Nothing is awaited any more."""
        self.untouched = False
        self.expected.clear()
        self._ids.clear()
        self.ending.clear()

    def give_up(self) -> int:
        """No echo is awaited any more; one that comes all the same is no news either. Answers how many were missing."""
        missing = len(self.expected)
        self.ending.update((echo.item_id, None) for echo in self.expected)
        self.expected.clear()
        self._ids.clear()
        return missing

    def commands(
        self, conversation: Conversation, calls: Collection[str], prefix: str
    ) -> Iterator[m.ConversationItemCreate]:
        """The history as commands, each of which is awaited from here on: in order, an output after its call."""
        late: list[tuple[m.FunctionCallOutputItem, str]] = []
        called: set[str] = set()
        previous: str = ROOT
        self.untouched = True
        for node in conversation:
            if node.held_as == "nothing":
                continue
            item = item_of(node, calls)
            if item is None:
                node.held_as = "nothing"
                continue
            if isinstance(item, m.FunctionCallOutputItem) and item.call_id not in called:
                late.append((item, previous))
            else:
                if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
                    called.add(item.call_id)
                yield self._command(item, node.id, UNSET, prefix)
            previous = node.id
        for item, place in late:
            assert isinstance(item.id, str)  # `item_of` gives it
            yield self._command(item, item.id, place, prefix)

    def _command(self, item: m.Item, id: str, previous: str | UnsetType, prefix: str) -> m.ConversationItemCreate:
        event_id = f"{prefix}_{len(self.expected)}"
        self.expected.append(Echo(event_id, id))
        self._ids[id] = self._ids.get(id, 0) + 1
        return m.ConversationItemCreate(event_id=event_id, item=item, previous_item_id=previous)

    def take(self, item_id: str) -> list[Echo] | None:
        """An item came: None when it is no echo, else the echoes before it, which will not come (R-A1)."""
        if item_id not in self._ids:
            return None
        self.untouched = False
        lost: list[Echo] = []
        while (echo := self._pop()).item_id != item_id:
            lost.append(echo)
        return lost

    def comes_first(self) -> bool:
        """An item came that is no echo: whether it is the new session's first, and the history comes after it."""
        first, self.untouched = self.untouched and bool(self.expected or self.ending), False
        return first

    def refused(self, event_id: str | None, *, by_order: bool) -> Echo | None:
        """An error came: the item that it names; with ``by_order`` the one that is answered next."""
        for echo in self.expected:
            if echo.event_id == event_id or (event_id is None and by_order):
                self.expected.remove(echo)
                self._count_down(echo.item_id)
                return echo
        return None

    def _pop(self) -> Echo:
        echo = self.expected.popleft()
        self._count_down(echo.item_id)
        return echo

    def _count_down(self, item_id: str) -> None:
        self._ids[item_id] -= 1
        if not self._ids[item_id]:
            del self._ids[item_id]

    def dump(self) -> ReplayState:
        return ReplayState(list(self.expected), list(self.ending), self.untouched)

    def load(self, state: ReplayState) -> None:
        self.forget()
        for echo in state.expected:
            self.expected.append(echo)
            self._ids[echo.item_id] = self._ids.get(echo.item_id, 0) + 1
        self.ending = dict.fromkeys(state.ending)
        self.untouched = state.untouched
