"""Remote MCP servers as a client sees them: whose tools are listed, which calls run, and what waits for an approval.

Progress of MCP work names nothing but an item, and may come after the response that began the work (R-M1). What that
item is, its own events say, before or after. So a piece of work is kept by its item id and learns the rest there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from antiphon import messages as m

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

McpKind: TypeAlias = Literal["list_tools", "call"]


class McpProgress(Struct, frozen=True):
    """One piece of work: ``state`` as in ``spec/machines/mcp.toml``, ``none`` while nothing but its item is known.

    ``server_label`` is None until the item was seen; ``name`` is the tool of a call.
    """

    item_id: str
    kind: McpKind
    state: str
    server_label: str | None = None
    name: str | None = None


class McpWork:
    """The same as it changes; the table steps ``state``."""

    __slots__ = ("kind", "name", "server_label", "state")

    def __init__(self, kind: McpKind, state: str = "none") -> None:
        self.kind: McpKind = kind
        self.state = state
        self.server_label: str | None = None
        self.name: str | None = None

    def view(self, item_id: str) -> McpProgress:
        """As a value, which a snapshot holds too."""
        return McpProgress(item_id, self.kind, self.state, self.server_label, self.name)

    @classmethod
    def load(cls, progress: McpProgress) -> McpWork:
        """The work that ``progress`` is a view of."""
        work = cls(progress.kind, progress.state)
        work.server_label = progress.server_label
        work.name = progress.name
        return work


def work_of(session: ClientSession, item_id: str, kind: McpKind) -> McpWork:
    """The work of an item, new at first. Of too many the oldest call goes, and a listing only when there is no call."""
    work = session.mcp_work.get(item_id)
    if work is None:
        work = session.mcp_work[item_id] = McpWork(kind)
        if len(session.mcp_work) > session.config.limits.mcp_items:
            calls = (key for key, each in session.mcp_work.items() if each.kind == "call" and key != item_id)
            del session.mcp_work[next(calls, next(iter(session.mcp_work)))]
    return work


McpItem: TypeAlias = m.McpListToolsItem | m.McpCallItem | m.McpApprovalRequestItem | m.McpApprovalResponseItem
ITEMS: Final = (m.McpListToolsItem, m.McpCallItem, m.McpApprovalRequestItem, m.McpApprovalResponseItem)


def learn(session: ClientSession, item_id: str, item: McpItem) -> None:
    """What an item says of MCP: whose work it is, that an approval is asked for, or that it is given or denied."""
    most = session.config.limits.mcp_items
    if isinstance(item, m.McpListToolsItem):
        work_of(session, item_id, "list_tools").server_label = item.server_label
    elif isinstance(item, m.McpCallItem):
        work = work_of(session, item_id, "call")
        work.server_label, work.name = item.server_label, item.name
    elif isinstance(item, m.McpApprovalResponseItem):
        session.approval_requests.pop(item.approval_request_id, None)
        session.approvals_given[item.approval_request_id] = None
        if len(session.approvals_given) > most:
            del session.approvals_given[next(iter(session.approvals_given))]
    elif item_id not in session.approvals_given:  # the request's own end may come after its answer
        session.approval_requests[item_id] = item
        if len(session.approval_requests) > most:
            del session.approval_requests[next(iter(session.approval_requests))]


OUTLIVING: Final = ("calling", "called")
"""States of ``spec/machines/conversation_item.toml`` in which a call is beyond the end of its response."""


def is_call(session: ClientSession, item_id: str) -> bool:
    """Whether an item is a call at an MCP server, which may run for longer than its response."""
    work = session.mcp_work.get(item_id)
    return work is not None and work.kind == "call"


def servers(session: ClientSession) -> Mapping[str, str]:
    """How far the newest listing of each server is, by label; ``none`` where a configured one has not begun."""
    configuration = session.configuration
    tools = configuration.tools if isinstance(configuration, m.RealtimeSession) else UNSET
    states = {tool.server_label: "none" for tool in tools or () if isinstance(tool, m.McpTool)}
    for work in session.mcp_work.values():
        if work.kind == "list_tools" and work.server_label is not None:
            states[work.server_label] = work.state
    return states
