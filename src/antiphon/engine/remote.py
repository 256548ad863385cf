"""Work at remote MCP servers as a server session tells it: listings, and calls that may outlive their response.

The brain has the connections to those servers; it says what they are asked and what they answer (R-M1, R-M4). What is
under way is kept here, by the label of a listing and by the place of a call in its response, because the response
itself may be over and forgotten when the answer comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import UNSET, Struct, structs

from antiphon import messages as m
from antiphon.engine.codec import encode
from antiphon.engine.content import McpCallFinished, McpListingFinished, McpListingStarted
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.records import Place
from antiphon.engine.serving import CONVERSATION_ITEM, MCP

if TYPE_CHECKING:
    from antiphon.engine.server import ServerSession

ListingContent: TypeAlias = McpListingStarted | McpListingFinished
RUNNING: Final = "in_progress"
"""The state of `mcp` in which all work is that is kept here."""


class RunningCall(Struct, frozen=True):
    """A call that its remote server has not answered, in a snapshot too."""

    response_id: str
    output_index: int
    in_conversation: bool
    item: m.McpCallItem


class RemoteState(Struct, frozen=True):
    """A `Remote` in a snapshot: the items of the listings by label, and the calls."""

    listings: dict[str, str]
    calls: list[RunningCall]


class Remote:
    """What one server session has under way at MCP servers."""

    __slots__ = ("_session", "calls", "listings")

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self.listings: dict[str, str] = {}
        self.calls: dict[tuple[str, int], RunningCall] = {}

    # -- listings ------------------------------------------------------------------------------------------------------

    def problem_with_listing(self, content: ListingContent) -> LocalProtocolError | None:
        """Why a piece of a listing does not fit where it came."""
        label, running = content.server_label, content.server_label in self.listings
        if isinstance(content, McpListingFinished):
            if not running:
                return LocalProtocolError(f"no listing of {label!r} was started", rule="R-M1")
            return None if content.tools is None else self._problem_with_size(_listed("", label, content.tools))
        if not label:
            return LocalProtocolError("an MCP server is known by its label", rule="R-M1")
        if running:
            return LocalProtocolError(f"the tools of {label!r} are being listed already", rule="R-M1")
        return self._too_many(len(self.listings)) or self._problem_with_size(_listed("", label, ()))

    def take_listing(self, content: ListingContent) -> None:
        """A listing begins, or has come to its end (R-C8)."""
        session = self._session
        label = content.server_label
        if isinstance(content, McpListingStarted):
            item_id = self.listings[label] = session.next_id("item")
            item = _listed(item_id, label, ())
            placement = session.conversation.insert(item)
            assert placement is not None  # without a predecessor an item always has a place
            node = placement.node
            added = m.ConversationItemAdded(item=item, previous_item_id=node.previous_item_id)
            session.step(CONVERSATION_ITEM, node, added.type, added)
            session.trim()
            begun = m.McpListToolsInProgress(item_id=item_id)
            session.step(MCP, Place(MCP.initial), begun.type, begun)
            return
        item_id = self.listings.pop(label)
        event = (
            m.McpListToolsFailed(item_id=item_id) if content.tools is None else m.McpListToolsCompleted(item_id=item_id)
        )
        session.step(MCP, Place(RUNNING), event.type, event)
        member = session.conversation.get(item_id)
        if member is not None and content.tools is not None:  # else it was deleted meanwhile, or is never done
            item = _listed(item_id, label, content.tools)
            done = m.ConversationItemDone(item=item, previous_item_id=member.previous_item_id)
            session.step(CONVERSATION_ITEM, member, done.type, done)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def problem_with_call(self, written: int) -> LocalProtocolError | None:
        """Why no call can be begun, while so many are ``written`` already."""
        return self._too_many(len(self.calls) + written)

    def _too_many(self, count: int) -> LocalProtocolError | None:
        most = self._session.config.limits.mcp_items
        return LocalProtocolError(f"{count} pieces of MCP work are under way", rule="R-N2") if count >= most else None

    def _problem_with_size(self, item: m.Item) -> LocalProtocolError | None:
        """Why no message can tell ``item``."""
        try:
            size = len(encode(m.ConversationItemDone(item=item)))
        except ValueError as error:
            return LocalProtocolError(str(error), rule="R-E2")
        if size > self._session.config.limits.message_bytes:
            return LocalProtocolError(f"{size} bytes are more than a message holds", rule="R-N2")
        return None

    def call(self, call: RunningCall) -> None:
        """The arguments of a call are complete: its remote server is asked."""
        self.calls[call.response_id, call.output_index] = call
        event = m.ResponseMcpCallInProgress(item_id=str(call.item.id), output_index=call.output_index)
        self._session.step(MCP, Place(MCP.initial), event.type, event)

    def problem_with_answer(self, content: McpCallFinished) -> LocalProtocolError | None:
        """Why the answer to a call does not fit where it came."""
        if (content.response_id, content.output_index) not in self.calls:
            return LocalProtocolError(
                f"item {content.output_index} of {content.response_id!r} is no call that is under way", rule="R-M1"
            )
        if (content.output is None) == (content.error is None):
            return LocalProtocolError("a call has an output or an error", rule="R-M1")
        call = self.calls[content.response_id, content.output_index]
        return self._problem_with_size(_answered(call, content))

    def answer(self, content: McpCallFinished) -> tuple[RunningCall, m.McpCallItem]:
        """The remote server has answered: the call ends, and its item is to follow (R-M4), which is as it says."""
        session = self._session
        call = self.calls.pop((content.response_id, content.output_index))
        item = _answered(call, content)
        event_class = m.ResponseMcpCallFailed if content.output is None else m.ResponseMcpCallCompleted
        event = event_class(item_id=str(item.id), output_index=call.output_index)
        session.step(MCP, Place(RUNNING), event.type, event)
        return call, item

    def lose(self) -> None:
        """The socket is gone: what comes of it is told to nobody."""
        session = self._session
        names = [*self.listings.values(), *(str(call.item.id) for call in self.calls.values())]
        for node in (session.conversation.get(name) for name in names):
            if node is not None:
                session.step(CONVERSATION_ITEM, node, "internal.lost", None)
        self.listings.clear()
        self.calls.clear()

    # -- as data -------------------------------------------------------------------------------------------------------

    def dump(self) -> RemoteState:
        """All of it as data."""
        return RemoteState(dict(self.listings), list(self.calls.values()))

    def load(self, state: RemoteState) -> None:
        """Become what was dumped."""
        self.listings = dict(state.listings)
        self.calls = {(call.response_id, call.output_index): call for call in state.calls}


def _listed(item_id: str, label: str, tools: Iterable[m.McpToolDescription]) -> m.McpListToolsItem:
    return m.McpListToolsItem(id=item_id, server_label=label, tools=list(tools))


def _answered(call: RunningCall, content: McpCallFinished) -> m.McpCallItem:
    return structs.replace(
        call.item,
        output=UNSET if content.output is None else content.output,
        error=UNSET if content.error is None else content.error,
    )
