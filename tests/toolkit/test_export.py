"""A conversation that is taken along: what another session is told, and how it is written down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon import LocalProtocolError
from antiphon import messages as m
from antiphon.engine.codec import to_builtins
from antiphon.toolkit import History, commands_of, export_history, import_history, portable_id
from unit.engine_helpers import Talk, call, said, sent

LONG = "item_" + "x" * 40


def talked() -> Talk:
    """A question, a spoken answer that was cut, a call and its output, all in one session."""
    talk = Talk()
    talk.adds(said("q", "What is the time?"))
    talk.speaks("r1", LONG, 400, previous="q")
    talk.stops_speaking("r1", LONG, "one two three four")
    talk.done("r1")
    talk.hear("conversation.item.truncated", item_id=LONG, content_index=0, audio_end_ms=200)
    talk.calls("r2", "call_1")
    talk.adds(
        {"id": "o", "type": "function_call_output", "call_id": "call_1", "output": "12:00"}, previous="item_call_1"
    )
    return talk


def items(commands: tuple[m.ConversationItemCreate, ...]) -> list[dict[str, Any]]:
    return [to_builtins(command)["item"] for command in commands]


def test_items_become_the_commands_that_make_them() -> None:
    question, answer, made, output = items(commands_of(talked().client.conversation))
    assert question["content"] == [{"type": "input_text", "text": "What is the time?"}]
    assert answer["content"] == [{"type": "output_text", "text": "one two"}]
    assert (made["type"], made["call_id"], made["name"]) == ("function_call", "call_1", "f")
    assert (output["call_id"], output["output"]) == ("call_1", "12:00")


def test_an_id_that_no_client_may_choose_becomes_its_digest() -> None:
    _, answer, *_ = items(commands_of(talked().client.conversation))
    assert answer["id"].startswith("item_")
    assert len(answer["id"]) <= 32


def test_the_portable_id_is_the_one_under_which_an_item_is_told() -> None:
    conversation = talked().client.conversation
    told = [item["id"] for item in items(commands_of(conversation))]
    assert told == [portable_id(node.id) for node in conversation]
    assert told == [portable_id(each) for each in told]


def test_an_output_comes_after_its_call_wherever_it_stood() -> None:
    talk = Talk()
    talk.calls("r", "c")
    talk.adds({"id": "o", "type": "function_call_output", "call_id": "c", "output": "1"}, previous="root")
    assert [node.id for node in talk.client.conversation] == ["o", "item_c"]
    made, output = commands_of(talk.client.conversation)
    assert (made.item.type, output.item.type) == ("function_call", "function_call_output")
    assert output.previous_item_id == "root"


def test_what_nothing_is_known_of_is_left_out() -> None:
    talk = Talk()
    talk.adds({"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio"}]})
    talk.created("r")
    talk.generates("r", {**call("half"), "arguments": '{"a'})
    talk.adds(said("q"), previous="u")
    assert [item["id"] for item in items(commands_of(talk.client.conversation))] == ["q"]


def test_the_conversation_stays_as_it_is() -> None:
    talk = talked()
    before = talk.client.snapshot(talk.now)
    export_history(talk.client.conversation)
    assert talk.client.snapshot(talk.now) == before


def test_a_document_is_what_goes_on_the_wire() -> None:
    document = json.loads(export_history(talked().client.conversation))
    assert [entry["type"] for entry in document] == ["conversation.item.create"] * 4
    assert "event_id" not in document[0]


def test_a_document_is_read_back_as_the_same_commands() -> None:
    conversation = talked().client.conversation
    assert import_history(export_history(conversation)) == commands_of(conversation)


def test_another_session_takes_what_was_exported() -> None:
    other = Talk()
    for command in import_history(History(talked().client.conversation).export()):
        assert sent(other.say(command))
    assert len(other.client.unanswered) == 4


def test_a_session_that_was_told_says_the_same_again() -> None:
    exported = export_history(talked().client.conversation)
    history = History()
    previous = None
    for command in import_history(exported):
        history.feed(m.ConversationItemAdded(item=command.item, previous_item_id=previous))
        history.feed(m.ConversationItemDone(item=command.item, previous_item_id=previous))
        previous = command.item.id
    assert history.export() == exported


@pytest.mark.parametrize("document", ["{}", "[1]", '[{"type": "response.create"}]', "no JSON"])
def test_what_is_no_such_document_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match=r"Expected|Invalid|JSON"):
        import_history(document)


def test_an_item_that_does_not_fit_is_refused_by_its_path() -> None:
    document = '[{"type": "conversation.item.create", "item": {"type": "message", "role": "user"}}]'
    with pytest.raises(LocalProtocolError) as caught:
        import_history(document)
    assert caught.value.param == "item.content"


def test_an_answer_of_which_nothing_was_heard_is_left_out() -> None:
    talk = Talk()
    talk.speaks("r", "a", 400)
    talk.hear(
        "response.output_audio_transcript.done",
        transcript="Hello there",
        response_id="r",
        item_id="a",
        output_index=0,
        content_index=0,
    )
    talk.hear("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=0)
    assert commands_of(talk.client.conversation) == ()
