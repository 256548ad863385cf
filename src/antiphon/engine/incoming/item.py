"""The rules of the conversation item's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine import known, mcp
from antiphon.engine.acknowledgements import shape_of
from antiphon.engine.conversation import Node, item_status
from antiphon.engine.incoming import members
from antiphon.engine.incoming.part import CONTENT_PART
from antiphon.engine.records import OutputRecord
from antiphon.machines import build

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

ItemEvent: TypeAlias = m.ConversationItemAdded | m.ConversationItemDone | m.ConversationItemCreated
OutputItemEvent: TypeAlias = m.ResponseOutputItemAdded | m.ResponseOutputItemDone


class ConversationItemRules:
    """Guards and effects of the conversation item's table, client side."""

    @staticmethod
    def is_out_of_band(item: OutputRecord, _session: ClientSession, _event: OutputItemEvent) -> bool:
        return item.response is not None and not item.response.in_conversation

    @staticmethod
    def is_tool_list(_item: OutputRecord, _session: ClientSession, event: ItemEvent) -> bool:
        return isinstance(event.item, m.McpListToolsItem)

    @staticmethod
    def is_remote_call(item: Node | OutputRecord, session: ClientSession, _event: object) -> bool:
        return mcp.is_call(session, item.id)

    @staticmethod
    def is_in_progress(_item: OutputRecord, _session: ClientSession, event: ItemEvent) -> bool:
        return item_status(event.item) == "in_progress"

    @staticmethod
    def is_being_spoken(item: OutputRecord, session: ClientSession, event: ItemEvent) -> bool:
        return item.id == session.announced_item_id and ConversationItemRules.is_in_progress(item, session, event)

    @staticmethod
    def attach(item: OutputRecord | Node, session: ClientSession, _event: OutputItemEvent) -> None:
        # One of a response that is over, or has too many, is not kept: nothing would ever end it.
        if isinstance(item, OutputRecord) and item.response is not None and item.id in item.response.item_ids:
            members.keep_output(session, item)

    @staticmethod
    def insert(item: OutputRecord, session: ClientSession, event: ItemEvent) -> None:
        session.outputs.pop(item.id, None)
        front = False
        if item.state in ("added", "entered"):  # complete as it comes: a client's own, or committed audio
            session.overdue_item_id = item.id if item.state == "added" else None
            pending = None
            if not members.is_committed(session, event.item):  # committed audio must not be taken for a message of ours
                pending = session.acknowledgements.answered(
                    "conversation.item.create", event, key=item.id, shape=shape_of(event.item)
                )
                if pending is None:
                    members.check_origin(session, event.item, event)
            front = pending is not None and pending.front
        members.insert(
            session,
            event.item,
            event.previous_item_id,
            state=item.state,
            response=item.response,
            event=event,
            front=front,
        )
        if item.state == "entered":
            session.conversation.done(event.item)  # nothing more need come

    @staticmethod
    def insert_again(item: OutputRecord | Node, session: ClientSession, event: ItemEvent) -> None:
        session.acknowledgements.answered("conversation.item.create", event, key=item.id, shape=shape_of(event.item))
        members.insert(session, event.item, event.previous_item_id, state="completed", response=None, event=event)

    @staticmethod
    def insert_final(
        item: OutputRecord, session: ClientSession, event: m.ConversationItemDone | m.ResponseOutputItemDone
    ) -> None:
        _insert_final(item, event.item, session, event)

    @staticmethod
    def awaits_place(item: Node | OutputRecord, session: ClientSession, _event: ItemEvent) -> bool:
        return session.conversation.awaits_place(item.id)

    @staticmethod
    def place(item: Node, session: ClientSession, event: ItemEvent) -> None:
        members.place(session, item.id, event.previous_item_id, event)

    @staticmethod
    def finalize(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemDone) -> None:
        if session.overdue_item_id == item.id:
            session.overdue_item_id = None
        _finish_streams(item.id, session, event)
        session.conversation.done(event.item)

    @staticmethod
    def close_output(item: Node | OutputRecord, session: ClientSession, event: m.ResponseOutputItemDone) -> None:
        _finish_streams(item.id, session, event)
        if isinstance(item, OutputRecord):
            session.outputs.pop(item.id, None)
        elif not item.finished:  # it did not end as a member before, and will not
            session.conversation.done(event.item)

    @staticmethod
    def heard(item: Node, _session: ClientSession, _event: m.InputAudioBufferCommitted) -> None:
        item.status = "completed"

    @staticmethod
    def close_member(item: Node, session: ClientSession, event: m.ResponseOutputItemDone) -> None:
        """The end as output stands for the end as a member, which did not come."""
        _finish_streams(item.id, session, event)
        session.conversation.done(event.item)

    @staticmethod
    def abandon(item: Node | OutputRecord, session: ClientSession, event: m.Event) -> None:
        """Its response is over. What that says of the item, if anything, is the last that will come."""
        output = (event.response.output or ()) if isinstance(event, m.ResponseDone) else ()
        final = next((each for each in output if each.id == item.id), None)
        if isinstance(item, Node):
            item.status = "incomplete"
            if final is not None:
                session.conversation.done(final)
        elif final is not None and item.response is not None and item.response.in_conversation:
            _insert_final(item, final, session, event)
        session.outputs.pop(item.id, None)

    @staticmethod
    def lose(item: Node | OutputRecord, session: ClientSession, _event: object) -> None:
        session.outputs.pop(item.id, None)
        if isinstance(item, Node):
            item.status = "incomplete"

    @staticmethod
    def truncated(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemTruncated) -> None:
        members.truncated(session, event)

    @staticmethod
    def truncated_early(_item: OutputRecord, session: ClientSession, event: m.ConversationItemTruncated) -> None:
        """Of an item that is no member, but may become one."""
        session.acknowledgements.answered("conversation.item.truncate", event, key=event.item_id)
        session.conversation.truncate(event.item_id, event.content_index, event.audio_end_ms)

    @staticmethod
    def remove(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemDeleted) -> None:
        session.outputs.pop(item.id, None)
        if not session.acknowledgements.answered("conversation.item.delete", event, key=item.id):
            session.report("R-A1", event, "no conversation.item.delete of ours is unanswered")
        session.conversation.delete(item.id)
        session.playback.deleted(item.id)
        session.approval_requests.pop(item.id, None)
        if isinstance(item, Node) and isinstance(item.item, m.FunctionCallItem):
            known.uncalled(session, item.item)

    @staticmethod
    def removed_unseen(item: OutputRecord, session: ClientSession, event: m.ConversationItemDeleted) -> None:
        """A sideband may have asked for it: the item is older than its socket."""
        session.acknowledgements.answered("conversation.item.delete", event, key=item.id)

    @staticmethod
    def retrieved_unseen(item: OutputRecord, session: ClientSession, event: m.ConversationItemRetrieved) -> None:
        session.acknowledgements.answered("conversation.item.retrieve", event, key=item.id)

    @staticmethod
    def retrieved(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemRetrieved) -> None:
        if not session.acknowledgements.answered("conversation.item.retrieve", event, key=item.id):
            session.report("R-A1", event, "no conversation.item.retrieve of ours is unanswered")
        session.conversation.retrieved(event.item)


CONVERSATION_ITEM = build("conversation_item", ConversationItemRules, role="client")


def _insert_final(
    item: OutputRecord,
    final: m.Item,
    session: ClientSession,
    event: m.Event,
) -> None:
    """An item becomes a member by its end; where it belongs may still come."""
    session.outputs.pop(item.id, None)
    members.insert(session, final, UNSET, state=item.state, response=item.response, event=event, unplaced=True)
    _finish_streams(item.id, session, event)
    session.conversation.done(final)


def _finish_streams(item_id: str, session: ClientSession, event: object) -> None:
    for content_index in session.registry.stream_indexes(item_id):
        session.step(CONTENT_PART, session.registry.streams[item_id, content_index], "internal.item_done", event)
