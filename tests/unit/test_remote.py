"""`antiphon.engine.remote`: what a server tells of MCP servers, in which order, and what outlives a response."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import (
    Actions,
    ArgumentsDelta,
    Closed,
    Limits,
    McpCallFinished,
    McpListingFinished,
    McpListingStarted,
    ResponseCancelled,
    ResponseFinished,
)
from antiphon import messages as m
from unit.server_helpers import Host, of, sent, sent_types

ADDED, DONE = "conversation.item.added", "conversation.item.done"
TOOL = m.McpToolDescription(name="search", input_schema={"type": "object"})
REMOTE: dict[str, Any] = {"name": "search", "server_label": "docs"}


def begins(host: Host, response_id: str, index: int = 0, **more: Any) -> Actions:
    return host.begins(response_id, "mcp_call", index, **{**REMOTE, **more})  # type: ignore[arg-type]


def asked(host: Host, **params: Any) -> str:
    """A call that its MCP server was asked for; the id of its response, which goes on."""
    response_id = host.asks(**params)
    begins(host, response_id)
    host.calls(response_id, '{"q": ')
    host.calls(response_id, "1}")
    host.ends(response_id, 0)
    return response_id


def answered(host: Host, response_id: str, **how: Any) -> Actions:
    return host.think(McpCallFinished(response_id=response_id, output_index=0, **(how or {"output": "42"})))


# -- listings ----------------------------------------------------------------------------------------------------------


def test_a_listing_is_an_item_that_is_done_when_it_was_fetched() -> None:
    host = Host()
    added, begun = sent(host.think(McpListingStarted("docs")))
    assert (added["type"], begun["type"]) == (ADDED, "mcp_list_tools.in_progress")
    assert added["item"] == {"id": begun["item_id"], "type": "mcp_list_tools", "server_label": "docs", "tools": []}
    completed, done = sent(host.think(McpListingFinished("docs", (TOOL,))))
    assert (completed["type"], done["type"]) == ("mcp_list_tools.completed", DONE)
    assert done["item"]["tools"] == [{"name": "search", "input_schema": {"type": "object"}}]
    assert completed["item_id"] == done["item"]["id"] == begun["item_id"]


def test_a_listing_that_failed_is_never_done() -> None:
    host = Host()
    host.think(McpListingStarted("docs"))
    assert sent_types(host.think(McpListingFinished("docs"))) == ["mcp_list_tools.failed"]


def test_a_listing_that_the_client_deleted_ends_all_the_same() -> None:
    host = Host()
    host.think(McpListingStarted("docs"))
    host.hear("conversation.item.delete", item_id=host.ids[0])
    assert sent_types(host.think(McpListingFinished("docs", (TOOL,)))) == ["mcp_list_tools.completed"]


def test_each_server_is_listed_by_itself_and_again_when_it_ended() -> None:
    host = Host()
    for label in ("docs", "mail"):
        host.think(McpListingStarted(label))
    assert host.refused(lambda: host.think(McpListingStarted("docs"))).rule == "R-M1"
    host.think(McpListingFinished("docs"))
    assert host.refused(lambda: host.think(McpListingFinished("docs"))).rule == "R-M1"
    assert sent_types(host.think(McpListingStarted("docs"))) == [ADDED, "mcp_list_tools.in_progress"]


@pytest.mark.parametrize(("content", "rule"), [(McpListingStarted(""), "R-M1"), (McpListingStarted("\ud800"), "R-E2")])
def test_a_label_is_a_text(content: McpListingStarted, rule: str) -> None:
    host = Host()
    assert host.refused(lambda: host.think(content)).rule == rule


def test_a_list_that_no_message_could_hold_is_refused() -> None:
    host = Host(limits=Limits(message_bytes=300))
    host.think(McpListingStarted("docs"))
    tools = (m.McpToolDescription(name="search", description="x" * 300),)
    assert host.refused(lambda: host.think(McpListingFinished("docs", tools))).rule == "R-N2"


# -- calls -------------------------------------------------------------------------------------------------------------


def test_a_call_is_written_then_asked_then_answered() -> None:
    """R-M4, whole."""
    host = Host()
    response_id = host.asks()
    assert sent_types(begins(host, response_id)) == ["response.output_item.added", ADDED]
    assert sent_types(host.calls(response_id, "{}")) == ["response.mcp_call_arguments.delta"]
    arguments, begun = sent(host.ends(response_id, 0))
    assert (arguments["type"], arguments["arguments"]) == ("response.mcp_call_arguments.done", "{}")
    assert begun == {
        "type": "response.mcp_call.in_progress",
        "event_id": begun["event_id"],
        "item_id": arguments["item_id"],
        "output_index": 0,
    }
    completed, member, output = sent(answered(host, response_id))
    assert [each["type"] for each in (completed, member, output)] == [
        "response.mcp_call.completed",
        DONE,
        "response.output_item.done",
    ]
    assert member["item"] == output["item"]
    assert output["item"] == {
        "id": arguments["item_id"],
        "type": "mcp_call",
        "server_label": "docs",
        "name": "search",
        "arguments": "{}",
        "output": "42",
    }


def test_a_call_that_went_wrong_says_why() -> None:
    host = Host()
    response_id = asked(host)
    error = m.McpError(type="http_error", code=500, message="no")
    failed, member, _ = sent(answered(host, response_id, error=error))
    assert failed["type"] == "response.mcp_call.failed"
    assert member["item"]["error"] == {"type": "http_error", "code": 500, "message": "no"}


def test_the_response_shows_what_is_known_of_its_calls() -> None:
    host = Host()
    first = asked(host)
    answered(host, first)
    (done, *_) = sent(host.finishes(first))
    assert done["response"]["output"][0]["output"] == "42"
    second = asked(host)
    (done, *_) = sent(host.finishes(second))
    assert "output" not in done["response"]["output"][0]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_a_call_outlives_its_response_however_that_ends(end: Any) -> None:
    host = Host()
    response_id = asked(host)
    if end == "cancelled":
        host.hear("response.cancel")
    else:
        host.finishes(response_id, status=end)
    assert sent_types(answered(host, response_id)) == ["response.mcp_call.completed", DONE, "response.output_item.done"]


def test_a_call_whose_arguments_are_not_finished_is_asked_when_the_response_completes() -> None:
    host = Host()
    response_id = host.asks()
    begins(host, response_id)
    told = sent_types(host.finishes(response_id))
    assert told == ["response.mcp_call_arguments.done", "response.mcp_call.in_progress", "response.done"]


def test_and_is_not_asked_when_it_is_cut_short() -> None:
    host = Host()
    response_id = host.asks()
    begins(host, response_id)
    told = sent_types(host.hear("response.cancel"))
    assert told == ["response.mcp_call_arguments.done", DONE, "response.output_item.done", "response.done"]
    assert host.refused(lambda: answered(host, response_id)).rule == "R-M1"


def test_a_call_out_of_band_is_no_member() -> None:
    host = Host()
    response_id = asked(host, conversation="none")
    assert sent_types(answered(host, response_id)) == ["response.mcp_call.completed", "response.output_item.done"]


def test_a_call_that_the_client_deleted_ends_as_output() -> None:
    host = Host()
    response_id = asked(host)
    host.hear("conversation.item.delete", item_id=host.ids[0])
    assert sent_types(answered(host, response_id)) == ["response.mcp_call.completed", "response.output_item.done"]


def test_a_call_that_is_under_way_is_retrieved_with_what_it_asks() -> None:
    host = Host()
    asked(host)
    (answer,) = sent(host.hear("conversation.item.retrieve", item_id=host.ids[0]))
    assert answer["item"]["arguments"] == '{"q": 1}'


def test_a_call_without_arguments_is_retrieved_without_them() -> None:
    host = Host()
    response_id = host.asks()
    begins(host, response_id)
    host.ends(response_id, 0)
    answered(host, response_id)
    (answer,) = sent(host.hear("conversation.item.retrieve", item_id=host.ids[0]))
    assert (answer["item"]["arguments"], answer["item"]["output"]) == ("", "42")


@pytest.mark.parametrize("how", [{"output": "1", "error": m.McpError(message="no")}, {"output": None}])
def test_an_answer_is_an_output_or_an_error(how: dict[str, Any]) -> None:
    host = Host()
    response_id = asked(host)
    assert host.refused(lambda: answered(host, response_id, **how)).rule == "R-M1"


def test_an_answer_is_text() -> None:
    host = Host()
    response_id = asked(host)
    assert host.refused(lambda: answered(host, response_id, output="\ud800")).rule == "R-E2"


@pytest.mark.parametrize("missing", ["name", "server_label"])
def test_a_call_names_its_tool_and_its_server(missing: str) -> None:
    host = Host()
    response_id = host.asks()
    assert host.refused(lambda: begins(host, response_id, **{missing: ""})).rule == "R-C1"


def test_so_many_calls_are_under_way_and_no_more() -> None:
    host = Host(limits=Limits(mcp_items=2))
    asked(host)
    response_id = next(iter(host.server.responses))
    begins(host, response_id, 1)
    assert host.refused(lambda: begins(host, response_id, 2)).rule == "R-N2"
    answered(host, response_id)
    assert sent_types(begins(host, response_id, 2)) == ["response.output_item.added", ADDED]


# -- approvals ---------------------------------------------------------------------------------------------------------


def test_leave_is_asked_for_in_an_item_and_named_by_the_call() -> None:
    host = Host()
    response_id = host.asks()
    added = sent(host.begins(response_id, "mcp_approval_request", **REMOTE))  # type: ignore[arg-type]
    assert [each["type"] for each in added] == ["response.output_item.added", ADDED]
    assert sent(host.calls(response_id, "{}")) == []
    member, output = sent(host.ends(response_id, 0))
    assert (member["type"], output["type"]) == (DONE, "response.output_item.done")
    request = member["item"]
    assert (request["type"], request["arguments"]) == ("mcp_approval_request", "{}")
    host.hear(
        "conversation.item.create",
        item={"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True},
    )
    begun = sent(begins(host, response_id, 1, approval_request_id=request["id"]))
    assert begun[0]["item"]["approval_request_id"] == request["id"]


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_what_is_under_way_goes_on_from_a_snapshot() -> None:
    host = Host()
    host.think(McpListingStarted("docs"))
    response_id = asked(host)
    host = host.restored()
    assert sent_types(answered(host, response_id)) == ["response.mcp_call.completed", DONE, "response.output_item.done"]
    host = host.restored()
    (done, *_) = sent(host.finishes(response_id))
    assert done["response"]["output"][0]["output"] == "42"
    assert sent_types(host.think(McpListingFinished("docs", (TOOL,)))) == ["mcp_list_tools.completed", DONE]


def test_nobody_is_told_what_comes_after_the_socket() -> None:
    host = Host()
    host.think(McpListingStarted("docs"))
    response_id = asked(host)
    host.finishes(response_id)
    host.server.receive_eof(host.now)
    assert [node.status for node in host.server.conversation] == ["incomplete", "incomplete"]
    assert not host.server.remote.calls
    assert not host.server.remote.listings


def test_nobody_is_told_what_comes_while_the_socket_is_being_closed() -> None:
    host = Host()
    host.server.close(0)
    assert host.think(McpListingStarted("docs")) == ()
    assert [*host.server.conversation] == []


def test_work_whose_item_the_client_deleted_ends_with_the_socket_too() -> None:
    host = Host()
    listing = sent(host.think(McpListingStarted("docs")))[0]["item"]["id"]
    response_id = asked(host)
    call = host.ids[-1]
    for item_id in (listing, call):
        host.hear("conversation.item.delete", item_id=item_id)
    actions = host.server.receive_eof(0)
    assert [action.response_id for action in of(actions, ResponseCancelled)] == [response_id]
    assert isinstance(actions[-1], Closed)
    assert host.snapshot().server is not None


def test_a_session_that_only_transcribes_has_no_tools() -> None:
    host = Host(session={"type": "transcription"})
    assert host.refused(lambda: host.think(McpListingStarted("docs"))).rule == "R-S9"


def test_only_arguments_belong_to_a_call() -> None:
    host = Host()
    response_id = host.asks()
    begins(host, response_id)
    assert host.refused(lambda: host.says(response_id, "la")).rule == "R-P2"
    assert of(host.think(ArgumentsDelta(response_id=response_id, output_index=0, delta="")), m.Error) == []
    assert sent_types(host.think(ResponseFinished(response_id=response_id)))[-1] == "response.done"


def test_progress_without_an_item_is_not_the_applications_to_tell() -> None:
    host = Host()
    event: Any = m.McpListToolsInProgress(item_id="x")
    assert host.refused(lambda: host.server.send(event, host.now)).rule == "R-E6"
