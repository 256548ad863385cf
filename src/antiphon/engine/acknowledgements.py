"""Commands of ours whose answer has not come, in the order in which they were sent.

Server events carry no id of the command behind them, except `error.event_id`, and that is often null. What there is, is
order: commands are answered one after another (R-A1). So an answer that overtakes another says that the other will not
come, and an error without an id belongs to the oldest command that its code fits (R-Q4).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from antiphon.engine.codec import encode_text
from antiphon.engine.conversation import ROOT
from antiphon.messages import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemTruncate,
    FunctionCallOutputItem,
    Item,
    MessageItem,
    UnknownEvent,
)

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession


class Pending(Struct, frozen=True):
    """One unanswered command. ``key`` is the item id that its answer will name, None when the server chooses it;
    ``shape`` tells items without an id apart; ``front`` is an item that asked for the front; ``held`` commands may be
    answered later than what was sent after them. ``cut_ms`` is where an item was asked to be cut. ``text`` is the
    command itself, where another session may be asked for it (R-N6)."""

    sequence: int
    event_id: str
    type: str
    key: str | None = None
    shape: str = ""
    held: bool = False
    front: bool = False
    cut_ms: int | None = None
    text: str = ""

    def __repr__(self) -> str:
        return f"Pending(sequence={self.sequence}, event_id={self.event_id!r}, type={self.type!r}, key={self.key!r})"


ANSWERS = {
    "session.update": "session.updated",
    "input_audio_buffer.commit": "input_audio_buffer.committed",
    "input_audio_buffer.clear": "input_audio_buffer.cleared",
    "conversation.item.create": "conversation.item.added",
    "conversation.item.delete": "conversation.item.deleted",
    "conversation.item.truncate": "conversation.item.truncated",
    "conversation.item.retrieve": "conversation.item.retrieved",
}
"""Which event answers which command. `response.create` is the arbiter's, `append` and `response.cancel` have none."""

REPEATED = frozenset(
    {
        "session.update",
        "conversation.item.create",
        "conversation.item.delete",
        "conversation.item.truncate",
        "conversation.item.retrieve",
    }
)
"""Commands that another session may be asked for when this one has not answered: what they act on is in the history. A
commit or a clear acts on audio that is gone."""


class Acknowledgements:
    """The unanswered commands of one client session."""

    __slots__ = ("_pending", "_session", "_unclaimed", "sequence")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._pending: deque[Pending] = deque()
        self._unclaimed = 0
        """Errors that named nobody and fitted nobody: each may be the answer of a command that gets no other."""
        self.sequence = 0

    def next_sequence(self) -> int:
        """The place of the next command among all that were sent."""
        self.sequence += 1
        return self.sequence

    def sent(self, event: ClientEvent | UnknownEvent, event_id: str) -> None:
        """A command went out."""
        sequence = self.next_sequence()
        if event.type not in ANSWERS:
            return
        key, shape, held, front = getattr(event, "item_id", None), "", False, False
        if isinstance(event, ConversationItemCreate):
            key = event.item.id or None
            shape = shape_of(event.item)
            held = isinstance(event.item, FunctionCallOutputItem)
            front = event.previous_item_id == ROOT
        cut_ms = event.audio_end_ms if isinstance(event, ConversationItemTruncate) else None
        cut_ms = cut_ms if type(cut_ms) is int else None  # anything may be sent regardless of the rules
        text = encode_text(event) if event.type in REPEATED and self._session.config.renewal.replay else ""
        key = key if isinstance(key, str) else None
        self._pending.append(Pending(sequence, event_id, event.type, key, shape, held, front, cut_ms, text))
        if len(self._pending) > self._session.config.limits.pending_commands:
            self._pending.popleft()

    def awaits(self, command: str) -> bool:
        """Whether a ``command`` that names no item is unanswered."""
        return any(pending.type == command for pending in self._pending)

    def answered(self, command: str, event: object, *, key: str | None = None, shape: str = "") -> Pending | None:
        """The answer to a ``command`` came: which of them, one that names this ``key`` before one that leaves it to the
        server. None when none is pending that it fits."""
        fitting = [
            pending
            for pending in self._pending
            if pending.type == command
            and (pending.key == key if pending.key is not None else pending.shape in ("", shape))
        ]
        if not fitting:
            return None
        pending = next((each for each in fitting if each.key is not None), fitting[0])
        self._forget(pending)
        self.overtake(pending.sequence, event, command=command)
        return pending

    def overtake(self, sequence: int, event: object, *, command: str) -> None:
        """What was sent before ``sequence`` and had to be answered by now will not be: forget it, and report it unless
        an error came that may have been its answer (R-A1)."""
        lost = [
            pending
            for pending in self._pending
            if pending.sequence < sequence and not pending.held and _precedes(pending.type, command)
        ]
        for pending in lost:
            excused = self._unclaimed > 0
            self._unclaimed -= excused
            self._forget(pending)
            if not excused:
                self._session.report(
                    "R-A1", event, f"{pending.type} was not answered before the answer to a later {command}"
                )

    def rejected(self, event_id: str | None, command: str | None) -> Pending | None:
        """An ``error`` came: the command it names, or the oldest of the kind that it fits; None when there is none."""
        for pending in self._pending:
            if pending.event_id == event_id or (event_id is None and pending.type == command):
                self._forget(pending)
                return pending
        if event_id is None and command is None:
            self._unclaimed = min(self._unclaimed + 1, len(self._pending))
        return None

    def _forget(self, pending: Pending) -> None:
        self._pending.remove(pending)
        self._unclaimed = min(self._unclaimed, len(self._pending))

    def clear(self) -> None:
        """The socket is gone: no answer comes any more."""
        self._pending.clear()
        self._unclaimed = 0

    def asked_cut(self, item_id: str) -> int | None:
        """Where the next item of this id that is said to be cut was asked to be, in ms."""
        return next((each.cut_ms for each in self._pending if each.key == item_id and each.cut_ms is not None), None)

    def unanswered(self) -> tuple[Pending, ...]:
        """The commands whose answer is still out, oldest first."""
        return tuple(self._pending)

    def dump(self) -> AcknowledgementsState:
        return AcknowledgementsState(self.sequence, list(self._pending), self._unclaimed)

    def load(self, state: AcknowledgementsState) -> None:
        self.sequence = state.sequence
        self._pending = deque(state.pending)
        self._unclaimed = state.unclaimed


class AcknowledgementsState(Struct, frozen=True):
    """The unanswered commands in a snapshot."""

    sequence: int
    pending: list[Pending]
    unclaimed: int


def shape_of(item: Item) -> str:
    """What an item looks like to somebody who does not know its id."""
    return f"{item.type}/{item.role}" if isinstance(item, MessageItem) else item.type


def _precedes(earlier: str, later: str) -> bool:
    """Whether an answer to ``later`` shows that an unanswered ``earlier`` command stays so.

    Of one kind always. Across kinds only where recordings show the order: an update is answered before anything that
    was sent after it, an item before the response that was asked for after it."""
    if earlier == later or earlier == "session.update":
        return True
    return earlier == "conversation.item.create" and later == "response.create"
