"""The items of the conversation, and those that are output of a response alone: how they come, change and go.

What the rules of items and of their parts have in common: where an item is found, how it becomes a member, and what a
peer says of its text and its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from antiphon import messages as m
from antiphon.engine import known
from antiphon.engine.conversation import Misplaced, Node
from antiphon.engine.dialects.vendors import NO_PREDECESSOR
from antiphon.engine.records import OutputRecord, ResponseRecord, StreamRecord

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession


def find_item(session: ClientSession, item_id: str) -> Node | OutputRecord:
    """The object of an item: its node, or its record as mere output; a fresh one when there is neither."""
    node = session.conversation.get(item_id)
    if node is not None:
        return node
    record = session.outputs.get(item_id)
    if record is not None:
        return record
    return OutputRecord(item_id, "deleted" if session.conversation.is_deleted(item_id) else "absent")


def keep_output(session: ClientSession, record: OutputRecord) -> None:
    """An item was announced as output and is no member (yet)."""
    session.outputs[record.id] = record
    if len(session.outputs) > session.config.limits.response_parts:
        del session.outputs[next(iter(session.outputs))]
        session.report("R-N2", None, "too many output items are open; the oldest is forgotten")


def insert(
    session: ClientSession,
    item: m.Item,
    previous_item_id: str | UnsetType | None,
    *,
    state: str,
    response: ResponseRecord | None,
    event: m.Event,
    front: bool = False,
    unplaced: bool = False,
) -> None:
    """An item becomes a member of the conversation (R-C4).

    Without a predecessor it goes to the end unless we asked for the ``front``: the service itself names a
    predecessor for everything but the first item, and some servers never do. Where a history is given to another
    session, that session's first item may be none of it.
    """
    front = session.renewal.replay.comes_first() or front
    previous = UNSET if previous_item_id in NO_PREDECESSOR else previous_item_id
    if session.sharing.hides_place(item.id or None, previous, unplaced=unplaced):
        previous = session.sharing.last_missed()
        front, unplaced = previous is None, False
    placement = session.conversation.add(
        item,
        previous,
        clone=not front,
        unplaced=unplaced,
        generated=response is not None,
        response_id=None if response is None else response.id,
    )
    node = placement.node
    node.state = state
    node.idle_timeout = session.committed_item_ids.pop(node.id, False)  # a commit announces one item
    if placement.problem is Misplaced.DUPLICATE_ID:
        session.report("R-C6", event, f"a second item has the id {placement.node.id!r}")
    elif placement.problem is not None:
        session.report("R-C4", event, f"previous_item_id {previous_item_id!r}: {placement.problem.value}")
    if isinstance(item, m.FunctionCallItem):
        known.learn_call(session, item)
    trim(session, event)


def place(session: ClientSession, item_id: str, previous_item_id: str | UnsetType | None, event: m.Event) -> None:
    """The announcement of an item that became a member before it: where it belongs."""
    previous = UNSET if previous_item_id in NO_PREDECESSOR else previous_item_id
    problem = session.conversation.place(item_id, previous)
    if problem is not None:
        session.report("R-C4", event, f"previous_item_id {previous_item_id!r}: {problem.value}")


def trim(session: ClientSession, event: m.Event) -> None:
    """Keep the conversation within its limits, after whatever made it grow (R-N2)."""
    for evicted in session.conversation.trim():
        session.approval_requests.pop(evicted.id, None)
        session.report("R-N2", event, "the conversation is beyond its limits; the oldest item is forgotten")


def is_committed(session: ClientSession, item: m.Item) -> bool:
    """Whether a commit announced this item."""
    return isinstance(item.id, str) and item.id in session.committed_item_ids


def check_origin(session: ClientSession, item: m.Item, event: m.Event) -> None:
    """Nobody here asked for this item, and no commit announced it (R-I1, R-A1). The server has messages of its own
    to say, as the system."""
    if isinstance(item, m.MessageItem) and any(isinstance(part, m.InputAudio) for part in item.content):
        session.report("R-I1", event, f"audio item {item.id!r} was not committed")
    elif isinstance(item, (m.FunctionCallItem, m.FunctionCallOutputItem)) or (
        isinstance(item, m.MessageItem) and item.role != "system"
    ):
        session.report("R-A1", event, "no conversation.item.create of ours is unanswered")


def finish_text(session: ClientSession, stream: StreamRecord, text: str, event: m.Event) -> None:
    """The whole text of a stream: it replaces the deltas, which said the same (R-P6)."""
    if not stream.response.in_conversation:
        return
    node = session.conversation.get(stream.item_id)
    record = node if node is not None else session.conversation.early(stream.item_id)
    part = None if record is None else record.parts.get(stream.content_index)
    if part is not None and part.text_bytes and part.text != text:
        session.report("R-P6", event, "the whole text is not what its deltas said")
    session.conversation.text_done(stream.item_id, stream.content_index, text)
    trim(session, event)


def truncated(session: ClientSession, event: m.ConversationItemTruncated) -> None:
    """The server cut an item: what was heard of it stays in our history."""
    key = event.item_id
    if not session.acknowledgements.answered("conversation.item.truncate", event, key=key):
        session.report("R-A1", event, "no conversation.item.truncate of ours is unanswered")
        session.listener.cut_by_server(key, event.content_index, event.audio_end_ms)
    entry = session.playback.get(key, event.content_index)
    audio_ms = entry.format.ms(entry.sent) if entry is not None and entry.sent else None
    session.conversation.truncate(key, event.content_index, event.audio_end_ms, audio_ms)
