"""Traps of tools: functions and MCP. Each test names a wrong implementation that it sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from antiphon import Actions, ClientSession, LocalProtocolError, Resources
from antiphon import messages as m
from antiphon.engine import known, resources, server
from antiphon.engine.arbiter import Arbiter
from antiphon.engine.incoming import handlers
from antiphon.engine.incoming.response import RESPONSE, ResponseRules
from antiphon.engine.records import ResponseRecord
from traps.wrong import client_handles, effect, replaced, trap
from unit.engine_helpers import Talk, at, call, delivered, rules, sent_types
from unit.server_helpers import Host, refusal


def requests(actions: Actions) -> int:
    """How many `response.create` went on the wire."""
    return sent_types(actions).count("response.create")


def arguments_of(talk: Talk, call_id: str, arguments: str) -> Actions:
    """A call of a response in progress, up to the end of its arguments."""
    place = at("r1", f"item_{call_id}")
    del place["content_index"]
    return (
        *talk.generates("r1", {**call(call_id), "arguments": ""}),
        *talk.hear("response.function_call_arguments.delta", delta=arguments, call_id=call_id, **place),
    )


def test_trap_13_a_call_that_several_events_complete_owes_one_output() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        arguments_of(talk, "c1", "{}")
        place = at("r1", "item_c1")
        del place["content_index"]
        talk.hear("response.function_call_arguments.done", name="f", arguments="{}", call_id="c1", **place)
        talk.outputs("c1")  # the application is quick: it acts on the first of three events that complete the call
        talk.finishes("r1", call("c1"))
        talk.done("r1", output=[{**call("c1"), "status": "completed"}])
        assert requests(talk.ask("reply")) == 1  # nothing else is owed

    def owes_again(arbiter: Arbiter, call_id: str) -> None:
        arbiter.owed[call_id] = None

    trap(check, replaced(Arbiter, "called", owes_again))


def test_trap_14_a_call_that_was_cut_short_is_not_executed() -> None:
    def check() -> None:
        for status in ("cancelled", "incomplete", "failed"):
            talk = Talk()
            talk.created("r1")
            arguments_of(talk, "c1", "{}")
            arguments_of(talk, "c2", '{"city": "Par')
            cut = {**call("c2"), "arguments": '{"city": "Par', "status": "incomplete"}
            talk.finishes("r1", call("c1"))
            talk.finishes("r1", cut)
            talk.done("r1", status, output=[{**call("c1"), "status": "completed"}, cut])
            node = talk.client.conversation.get("item_c2")
            assert node is not None and node.status == "incomplete"
            talk.outputs("c1")
            assert requests(talk.ask("reply")) == 1  # the output of the other is not waited for

    finish = ResponseRules.finish

    def owes_every_call(record: ResponseRecord, session: ClientSession, event: m.ResponseDone) -> None:
        for item in event.response.output or ():
            if isinstance(item, m.FunctionCallItem):
                known.called(session, item, owed=True)
        finish(record, session, event)

    trap(check, effect(RESPONSE, "finish", owes_every_call))


def test_trap_40_tools_are_there_when_their_list_is_complete_and_a_call_of_them_starts_no_response() -> None:
    def check() -> None:
        talk = Talk()
        tools = {"id": "l1", "type": "mcp_list_tools", "server_label": "s", "tools": []}
        talk.hear("conversation.item.added", previous_item_id=None, item=tools)
        talk.hear("mcp_list_tools.in_progress", item_id="l1")
        assert talk.client.mcp["l1"].state == "in_progress" and not talk.client.tools_ready
        talk.hear("mcp_list_tools.completed", item_id="l1")
        talk.hear("conversation.item.done", previous_item_id=None, item=tools)
        assert talk.client.mcp["l1"].state == "completed" and talk.client.tools_ready

        talk.created("r1")
        talk.hear("response.mcp_call.in_progress", output_index=0, item_id="m1")
        talk.done("r1")
        actions = talk.hear("response.mcp_call.completed", output_index=0, item_id="m1")
        assert delivered(actions) == ["response.mcp_call.completed"] and len(actions) == 1
        assert requests(talk.ask("reply")) == 1  # it is the application that asks

    def ready_at_once(session: ClientSession, event: m.McpListToolsInProgress) -> None:
        handlers.on_mcp(session, event)
        session.mcp_work[event.item_id].state = "completed"

    def expects_a_response(session: ClientSession, event: m.ResponseMcpCallCompleted) -> None:
        handlers.on_mcp(session, event)
        session.registry.open(ResponseRecord("expected"))

    trap(
        check,
        client_handles(m.McpListToolsInProgress, ready_at_once),
        client_handles(m.ResponseMcpCallCompleted, expects_a_response),
    )


def test_trap_41_the_end_of_a_remote_call_is_known_by_its_item_after_its_response_too() -> None:
    def check() -> None:
        for end in ("completed", "failed"):
            talk = Talk()
            talk.created("r1")
            item = {"id": "m1", "type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}"}
            talk.generates("r1", item)
            talk.hear("response.mcp_call.in_progress", output_index=0, item_id="m1")
            talk.finishes("r1", item)
            talk.done("r1")
            actions = talk.hear(f"response.mcp_call.{end}", output_index=0, item_id="m1")
            assert rules(actions) == []
            assert talk.client.mcp["m1"].state == end

    def of_an_open_response(session: ClientSession, event: m.ResponseMcpCallCompleted) -> None:
        if any(event.item_id in record.item_ids and record.is_open for record in session.responses.values()):
            handlers.on_mcp(session, event)

    trap(
        check,
        client_handles(m.ResponseMcpCallCompleted, of_an_open_response),
        client_handles(m.ResponseMcpCallFailed, of_an_open_response),
    )


def test_trap_46_a_key_that_a_tool_does_not_have_is_refused_with_its_place() -> None:
    def check() -> None:
        talk = Talk()
        commands = Resources(talk.say, talk.say)
        tool = {"type": "function", "name": "f", "description": "f", "parameters": {"type": "object"}}
        assert sent_types(commands.session.update(session={"tools": [tool]})) == ["session.update"]
        with pytest.raises(LocalProtocolError, match=r"tools\[0\]\.strict"):
            commands.session.update(session={"tools": [{**tool, "strict": True}]})

        host = Host()
        error = refusal(host.update(instructions="Be kind.", tools=[{**tool, "strict": True}]))
        assert (error["code"], error["param"]) == ("unknown_parameter", "session.tools[0].strict")
        assert host.server.settings["instructions"] == ""

    def unseen(*_arguments: object) -> Iterator[str]:
        return iter(())

    def known(*_arguments: object) -> None:
        return None

    trap(check, replaced(resources, "_lost", unseen), replaced(server, "unknown_parameter", known))
