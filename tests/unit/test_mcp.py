"""`antiphon.engine.mcp`: whose tools are listed, which calls run, and what waits for an approval."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import Actions, Limits
from antiphon import messages as m
from antiphon.engine.mcp import McpProgress
from unit.engine_helpers import Talk, rules, sent, sent_types

DOCS = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}
MAIL = {"type": "mcp", "server_label": "mail", "server_url": "https://mail.example"}


def listing(item_id: str = "l1", label: str = "docs", *names: str) -> dict[str, Any]:
    return {"id": item_id, "type": "mcp_list_tools", "server_label": label, "tools": [{"name": name} for name in names]}


def calling(item_id: str = "c1", **fields: Any) -> dict[str, Any]:
    return {"id": item_id, "type": "mcp_call", "server_label": "docs", "name": "search", "arguments": "{}", **fields}


def asking(item_id: str = "q1") -> dict[str, Any]:
    return {"id": item_id, "type": "mcp_approval_request", "server_label": "docs", "name": "search", "arguments": "{}"}


def approval(request: str = "q1", approve: bool = True) -> m.ConversationItemCreate:
    item = m.McpApprovalResponseItem(id="a1", approval_request_id=request, approve=approve)
    return m.ConversationItemCreate(item=item)


def member(talk: Talk, kind: str, item: dict[str, Any]) -> Actions:
    return talk.hear(f"conversation.item.{kind}", previous_item_id=None, item=item)


def progress(talk: Talk, what: str, item_id: str) -> Actions:
    fields = {"output_index": 0} if what.startswith("response.") else {}
    return talk.hear(what, item_id=item_id, **fields)


def listed(talk: Talk, item_id: str = "l1", label: str = "docs") -> list[str]:
    """A listing from its beginning to its end; the rules that were broken."""
    return rules(
        (
            *member(talk, "added", listing(item_id, label)),
            *progress(talk, "mcp_list_tools.in_progress", item_id),
            *progress(talk, "mcp_list_tools.completed", item_id),
            *member(talk, "done", listing(item_id, label, "search")),
        )
    )


# -- listing -----------------------------------------------------------------------------------------------------------


def test_a_listing_is_known_by_its_item_and_its_server() -> None:
    talk = Talk(session={"tools": [DOCS]})
    assert listed(talk) == []
    assert talk.client.mcp == {"l1": McpProgress("l1", "list_tools", "completed", "docs")}


@pytest.mark.parametrize("progress_first", [True, False])
def test_the_item_and_the_progress_of_a_listing_come_in_either_order(progress_first: bool) -> None:
    talk = Talk(session={"tools": [DOCS]})
    steps = [
        lambda: member(talk, "added", listing()),
        lambda: progress(talk, "mcp_list_tools.in_progress", "l1"),
    ]
    for step in reversed(steps) if progress_first else steps:
        assert rules(step()) == []
    assert talk.client.mcp_servers == {"docs": "in_progress"}


def test_tools_are_ready_when_every_server_of_the_session_has_listed_them() -> None:
    """R-M2"""
    talk = Talk(session={"tools": [DOCS, {"type": "function", "name": "f"}, MAIL]})
    assert (talk.client.mcp_servers, talk.client.tools_ready) == ({"docs": "none", "mail": "none"}, False)
    listed(talk)
    assert (talk.client.mcp_servers, talk.client.tools_ready) == ({"docs": "completed", "mail": "none"}, False)
    listed(talk, "l2", "mail")
    assert talk.client.tools_ready


def test_a_server_that_cannot_list_its_tools_is_not_waited_for() -> None:
    talk = Talk(session={"tools": [DOCS]})
    member(talk, "added", listing())
    progress(talk, "mcp_list_tools.in_progress", "l1")
    progress(talk, "mcp_list_tools.failed", "l1")
    assert (talk.client.mcp_servers, talk.client.tools_ready) == ({"docs": "failed"}, True)


def test_a_listing_that_begins_anew_counts() -> None:
    talk = Talk(session={"tools": [DOCS]})
    listed(talk)
    member(talk, "added", listing("l2"))
    progress(talk, "mcp_list_tools.in_progress", "l2")
    assert (talk.client.mcp_servers, talk.client.tools_ready) == ({"docs": "in_progress"}, False)


def test_a_session_without_mcp_servers_is_always_ready() -> None:
    assert Talk().client.tools_ready
    assert Talk(begun=False).client.tools_ready


def test_a_response_is_not_kept_waiting_for_tools() -> None:
    talk = Talk(session={"tools": [DOCS]})
    assert sent_types(talk.client.send(m.ResponseCreate(), 0)) == ["response.create"]


def test_a_listing_that_is_named_by_a_server_which_is_not_configured_counts_too() -> None:
    talk = Talk()
    talk.hear("mcp_list_tools.in_progress", item_id="l1")
    assert talk.client.tools_ready
    member(talk, "added", listing(label="extra"))
    assert (talk.client.mcp_servers, talk.client.tools_ready) == ({"extra": "in_progress"}, False)


# -- calls -------------------------------------------------------------------------------------------------------------


def called(talk: Talk) -> list[str]:
    """A response that calls; the rules that were broken."""
    place = {"response_id": "r1", "item_id": "c1", "output_index": 0}
    return rules(
        (
            *talk.created("r1"),
            *talk.hear("response.output_item.added", response_id="r1", output_index=0, item=calling(arguments="")),
            *member(talk, "added", calling(arguments="")),
            *talk.hear("response.mcp_call_arguments.delta", delta="{}", **place),
            *talk.hear("response.mcp_call_arguments.done", arguments="{}", **place),
            *progress(talk, "response.mcp_call.in_progress", "c1"),
        )
    )


def test_a_call_ends_after_its_response_and_is_known_by_its_item() -> None:
    talk = Talk()
    assert called(talk) == []
    assert rules(talk.done("r1", output=[calling()])) == []
    assert talk.client.mcp["c1"] == McpProgress("c1", "call", "in_progress", "docs", "search")
    done = calling(output="found")
    end = (
        *progress(talk, "response.mcp_call.completed", "c1"),
        *member(talk, "done", done),
        *talk.hear("response.output_item.done", response_id="r1", output_index=0, item=done),
    )
    assert (rules(end), talk.client.mcp["c1"].state) == ([], "completed")
    node = talk.client.conversation.get("c1")
    assert node is not None
    assert isinstance(node.item, m.McpCallItem)
    assert node.item.output == "found"


def test_a_call_ends_before_its_response_just_as_well() -> None:
    talk = Talk()
    called(talk)
    done = calling(output="found")
    end = (
        *progress(talk, "response.mcp_call.completed", "c1"),
        *member(talk, "done", done),
        *talk.hear("response.output_item.done", response_id="r1", output_index=0, item=done),
        *talk.done("r1", output=[done]),
    )
    assert (rules(end), talk.client.mcp["c1"].state) == ([], "completed")


def test_a_call_that_failed_says_so_and_its_item_why() -> None:
    talk = Talk()
    called(talk)
    talk.done("r1", output=[calling()])
    progress(talk, "response.mcp_call.failed", "c1")
    member(talk, "done", calling(error={"type": "http_error", "code": 503, "message": "busy"}))
    assert talk.client.mcp["c1"].state == "failed"
    node = talk.client.conversation.get("c1")
    assert node is not None
    assert isinstance(node.item, m.McpCallItem)
    assert node.item.error == m.McpError(type="http_error", code=503, message="busy")


def test_no_response_follows_a_call_by_itself() -> None:
    talk = Talk()
    called(talk)
    talk.done("r1", output=[calling()])
    assert sent(progress(talk, "response.mcp_call.completed", "c1")) == []
    assert sent_types(talk.client.send(m.ResponseCreate(), 0)) == ["response.create"]


def test_of_too_many_calls_the_oldest_is_forgotten_and_the_listing_stays() -> None:
    talk = Talk(limits=Limits(mcp_items=3))
    listed(talk)
    for name in ("c1", "c2", "c3", "c4"):
        progress(talk, "response.mcp_call.in_progress", name)
    assert list(talk.client.mcp) == ["l1", "c3", "c4"]


# -- approvals ---------------------------------------------------------------------------------------------------------


def test_a_call_waits_for_its_approval_until_that_is_given() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", asking())
    talk.finishes("r1", asking())
    talk.done("r1", output=[asking()])
    (request,) = talk.client.approvals
    assert (request.id, request.server_label, request.name) == ("q1", "docs", "search")
    (answer,) = sent(talk.say(approval()))
    assert answer["item"] == {
        "id": "a1",
        "type": "mcp_approval_response",
        "approval_request_id": "q1",
        "approve": True,
    }
    assert len(talk.client.approvals) == 1
    assert rules(talk.adds({**answer["item"]}, previous="q1")) == []
    assert talk.client.approvals == ()


def test_a_request_that_is_done_after_its_answer_does_not_wait_again() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", asking())
    talk.say(approval(approve=False))
    answer = {"id": "a1", "type": "mcp_approval_response", "approval_request_id": "q1", "approve": False}
    talk.adds(answer, previous="q1")
    talk.finishes("r1", asking())
    assert talk.client.approvals == ()


def test_a_deleted_request_waits_for_nothing() -> None:
    talk = Talk()
    talk.adds(asking())
    talk.say(m.ConversationItemDelete(item_id="q1"))
    talk.hear("conversation.item.deleted", item_id="q1")
    assert talk.client.approvals == ()
    member(talk, "done", asking())
    assert talk.client.approvals == ()


def test_a_request_out_of_band_waits_for_nothing() -> None:
    """Its item is no member of the conversation, so no answer could name it."""
    talk = Talk()
    talk.created("r1", conversation_id=None)
    for end in ("added", "done"):
        talk.hear(f"response.output_item.{end}", response_id="r1", output_index=0, item=asking())
    assert talk.client.approvals == ()
    assert talk.refused(approval()).rule == "R-M3"


def test_an_approval_of_nothing_is_refused() -> None:
    talk = Talk()
    refused = talk.refused(approval("nobody"))
    assert (refused.rule, refused.param) == ("R-M3", "item.approval_request_id")
    assert sent_types(talk.client.send(approval("nobody"), 0, override={"R-M3"})) == ["conversation.item.create"]


def test_approvals_are_bounded() -> None:
    talk = Talk(limits=Limits(mcp_items=2))
    for name in ("q1", "q2", "q3"):
        talk.adds(asking(name))
        answer = {"type": "mcp_approval_response", "approval_request_id": f"x{name}", "approve": True, "id": f"a{name}"}
        talk.adds(answer)
    assert [request.id for request in talk.client.approvals] == ["q2", "q3"]
    assert list(talk.client.approvals_given) == ["xq2", "xq3"]


# -- what survives -----------------------------------------------------------------------------------------------------


def test_work_and_approvals_survive_a_restore() -> None:
    talk = Talk(session={"tools": [DOCS]})
    called(talk)
    listed(talk)
    talk.adds(asking())
    again = talk.restored()
    assert again.client.mcp == talk.client.mcp
    assert again.client.approvals == talk.client.approvals
    progress(again, "response.mcp_call.completed", "c1")
    assert again.client.mcp["c1"].state == "completed"
    assert again.client.tools_ready


def test_a_call_that_was_deleted_while_it_ran_ends_after_its_response() -> None:
    talk = Talk()
    talk.created("r1")
    place = {"response_id": "r1", "output_index": 0, "item": calling()}
    talk.hear("response.output_item.added", **place)
    member(talk, "added", calling())
    progress(talk, "response.mcp_call.in_progress", "c1")
    talk.done("r1")
    talk.say(m.ConversationItemDelete(item_id="c1"))
    talk.hear("conversation.item.deleted", item_id="c1")
    actions = (*progress(talk, "response.mcp_call.completed", "c1"), *talk.hear("response.output_item.done", **place))
    assert rules(actions) == []
