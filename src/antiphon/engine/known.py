"""What a command of a client may name: the items and the calls of the conversation, as they will be when it arrives.

Commands under way count as done, and so do those that wait for a socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from antiphon import messages as m

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

_CREATE, _DELETE = m.ConversationItemCreate.type, m.ConversationItemDelete.type


def knows_item(session: ClientSession, item_id: str, *, announced: bool = False) -> bool:
    """Whether a command may name this item: a member, or about to be one, and no delete of ours is under way.

    ``announced``: a response in the conversation has it among its output, whether or not it was said to be a
    member, which some servers leave out.
    """
    output = session.outputs.get(item_id)
    node = session.conversation.get(item_id)
    known = (node is not None and node.held_as != "nothing") or (output is not None and output.state != "detached")
    known = known or (node is None and announced and not session.conversation.is_deleted(item_id))
    for pending in session.acknowledgements.unanswered():
        if pending.key == item_id and pending.type in (_CREATE, _DELETE):
            known = pending.type == _CREATE
    for event in waiting(session):
        if isinstance(event, m.ConversationItemCreate) and event.item.id == item_id:
            known = True
        elif isinstance(event, m.ConversationItemDelete) and event.item_id == item_id:
            known = False
    return known


def is_going(session: ClientSession, item_id: str) -> bool:
    """Whether an item was deleted, or a delete of ours is under way, or waits for a socket."""
    if session.conversation.is_deleted(item_id):
        return True
    unanswered = {pending.key for pending in session.acknowledgements.unanswered() if pending.type == _DELETE}
    waits = {event.item_id for event in waiting(session) if isinstance(event, m.ConversationItemDelete)}
    return item_id in unanswered or item_id in waits


def knows_call(session: ClientSession, call_id: str) -> bool:
    """Whether an output may name this call: its item is a member, or about to be one, and not about to be
    deleted by us."""
    item_id = session.calls.get(call_id)
    known = item_id is not None
    for pending in session.acknowledgements.unanswered():
        if pending.key == item_id and pending.type in (_CREATE, _DELETE):
            known = item_id is not None and pending.type == _CREATE
    for event in waiting(session):
        if isinstance(event, m.ConversationItemDelete) and event.item_id == item_id:
            known = False
        elif (
            isinstance(event, m.ConversationItemCreate)
            and isinstance(event.item, m.FunctionCallItem)
            and event.item.call_id == call_id
        ):
            known, item_id = True, event.item.id or ""
    return known


def waiting(session: ClientSession) -> Iterator[m.ClientEvent]:
    """The commands that wait for a socket, oldest first."""
    yield from session.renewal.repeated
    yield from session.gap.commands()


def learn_call(session: ClientSession, item: m.FunctionCallItem) -> None:
    """A call is a member of the conversation, or is about to be: an output may name it."""
    if isinstance(item.call_id, str):
        session.calls[item.call_id] = item.id or ""
        if len(session.calls) > session.config.limits.conversation_items:
            del session.calls[next(iter(session.calls))]


def called(session: ClientSession, item: m.FunctionCallItem, *, owed: bool) -> None:
    """A function call is complete; ``owed`` says whether the next reply waits for its output (R-Q11)."""
    if isinstance(item.call_id, str):
        learn_call(session, item)
        if owed:
            session.arbiter.called(item.call_id)


def uncalled(session: ClientSession, item: m.FunctionCallItem) -> None:
    """A function call was deleted: no output can be given to it any more (R-C12)."""
    if isinstance(item.call_id, str):
        session.calls.pop(item.call_id, None)
        session.arbiter.uncalled(item.call_id)
