"""A conversation to take along: as the commands that make it again in another session.

The form is that in which the engine gives its history to a session that follows another (R-N5): what was cut as far as
it was heard, audio as its words, an output after its call, ids that no client may choose as their digests.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine.codec import to_builtins
from antiphon.engine.conversation import Conversation
from antiphon.engine.replay import Replay, call_of, make_portable, portable
from antiphon.engine.resources import Resources

__all__ = ["commands_of", "export_history", "import_history", "portable_id"]


def commands_of(conversation: Conversation) -> tuple[m.ConversationItemCreate, ...]:
    """The commands, in the order in which they are to be sent, without event ids; ``conversation`` stays as it is.

    Items of which nothing can be given are left out: audio without its words, calls that never ended, tools of remote
    servers.
    """
    copy = Conversation(
        max_items=conversation.max_items,
        max_text_bytes=conversation.max_text_bytes,
        max_tombstones=conversation.max_tombstones,
    )
    copy.load(conversation.dump())
    copy.renew(make_portable)
    calls = {call_id for node in copy if (call_id := call_of(node)) is not None}
    return tuple(structs.replace(command, event_id=UNSET) for command in Replay().commands(copy, calls, ""))


def export_history(conversation: Conversation) -> bytes:
    """`commands_of` as a JSON array, each as it goes on the wire."""
    return msgspec.json.format(msgspec.json.encode([to_builtins(each) for each in commands_of(conversation)]), indent=2)


def import_history(document: bytes | str) -> tuple[m.ConversationItemCreate, ...]:
    """The commands of a document of `export_history`, checked; send them in order, before anything else.

    Raises ValueError for what is no such document, `LocalProtocolError` for an item that does not fit.
    """
    found: list[m.ConversationItemCreate] = []

    def keep(event: m.ClientEvent) -> None:
        assert isinstance(event, m.ConversationItemCreate)
        found.append(event)

    create = Resources(keep, keep).conversation.item.create
    for entry in msgspec.json.decode(document, type=list[_Entry]):
        create(item=entry.item, previous_item_id=entry.previous_item_id)
    return tuple(found)


def portable_id(item_id: str) -> str:
    """The id under which another session is told this item: ``item_id`` itself where a client may choose it (R-C11),
    else its digest, which is the same every time. An item is the same one wherever its portable id is."""
    return portable(item_id, "item")


class _Entry(msgspec.Struct, tag_field="type", tag=m.ConversationItemCreate.type):
    """A command, before its item is checked."""

    item: dict[str, object]
    previous_item_id: m.Maybe[str] = UNSET
