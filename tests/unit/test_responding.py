"""`antiphon.engine.responding`: what one response has of its own, and what it is asked to look at."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import AudioDelta
from antiphon import messages as m
from unit.server_helpers import Host, refusal, requested, sent, sent_types

PCMU = {"output": {"format": {"type": "audio/pcmu"}}}


def _item_of(host: Host, response_id: str) -> str:
    return str(sent(host.begins(response_id, "audio"))[0]["item"]["id"])


def _cut(host: Host, item_id: str, ms: int) -> dict[str, Any]:
    (answer,) = sent(host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=ms))
    return answer


# -- the format of a response (R-R7) -----------------------------------------------------------------------------------


def test_audio_is_counted_in_the_format_of_its_response() -> None:
    """R-R7"""
    host = Host()
    response_id = host.asks(audio=PCMU)
    item_id = _item_of(host, response_id)
    host.think(AudioDelta(response_id=response_id, output_index=0, audio=b"\xff" * 801))
    host.finishes(response_id)
    assert _cut(host, item_id, 101)["error"]["message"] == "Audio content of 100ms is already shorter than 101ms"
    assert _cut(host, item_id, 100)["type"] == "conversation.item.truncated"


def test_the_next_response_has_the_sessions_format_again() -> None:
    host = Host()
    host.finishes(host.asks(audio=PCMU))
    item_id = host.speaks(100)
    assert _cut(host, item_id, 100)["type"] == "conversation.item.truncated"


def test_an_odd_byte_is_no_sample_of_what_the_response_speaks() -> None:
    host = Host()
    host.update(audio=PCMU)
    response_id = host.asks(audio={"output": {"format": {"type": "audio/pcm", "rate": 24000}}})
    host.begins(response_id, "audio")
    odd = AudioDelta(response_id=response_id, output_index=0, audio=b"\xff" * 3)
    assert host.refused(lambda: host.think(odd)).rule == "R-P7"


def test_an_update_does_not_change_what_a_response_speaks() -> None:
    host = Host()
    response_id = host.asks()
    item_id = _item_of(host, response_id)
    host.sounds(response_id, 50)
    host.update(audio=PCMU)
    host.sounds(response_id, 50)
    assert _cut(host, item_id, 101)["error"]["message"].startswith("Audio content of 100ms")


def test_the_format_of_a_response_survives_a_restore() -> None:
    host = Host()
    response_id = host.asks(audio=PCMU)
    item_id = _item_of(host, response_id)
    again = host.restored()
    again.think(AudioDelta(response_id=response_id, output_index=0, audio=b"\xff" * 800))
    assert _cut(again, item_id, 101)["error"]["message"].startswith("Audio content of 100ms")


def test_a_response_says_what_it_has_of_its_own() -> None:
    host = Host()
    tools = [{"type": "function", "name": "look_up"}]
    params = {"audio": PCMU, "tools": tools, "tool_choice": "none", "max_output_tokens": 7, "instructions": "hum"}
    actions = host.hear("response.create", response=params)
    shown = sent(actions)[0]["response"]
    assert shown["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    assert shown["audio"]["output"]["voice"] == "alloy"
    assert shown["max_output_tokens"] == 7
    asked = requested(actions).params
    assert (asked.instructions, asked.tool_choice, asked.max_output_tokens) == ("hum", "none", 7)
    assert asked.tools == [m.FunctionTool(name="look_up")]


# -- what it looks at (R-C10, R-C12) -----------------------------------------------------------------------------------

CALL = {"type": "function_call", "name": "f", "call_id": "c1", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "12"}
WORDS = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}


def test_a_request_may_look_at_nothing() -> None:
    host = Host()
    host.adds()
    assert requested(host.hear("response.create", response={"input": []})).params.input == []


def test_a_request_may_look_at_items_of_the_conversation_and_of_its_own() -> None:
    host = Host()
    item_id = host.adds("mine")
    wanted = [{"type": "item_reference", "id": item_id}, WORDS, CALL, OUTPUT]
    asked = requested(host.hear("response.create", response={"conversation": "none", "input": wanted})).params.input
    assert isinstance(asked, list)
    assert [each.type for each in asked] == ["item_reference", "message", "function_call", "function_call_output"]
    assert host.ids == ["mine"]


def test_a_call_of_the_input_is_not_one_of_the_conversation() -> None:
    host = Host()
    host.asks(conversation="none", input=[CALL, OUTPUT])
    error = refusal(host.hear("conversation.item.create", item=OUTPUT))
    assert (error["code"], error["param"]) == ("invalid_tool_call_id", "item.call_id")


def test_a_deleted_item_cannot_be_referred_to() -> None:
    host = Host()
    item_id = host.adds()
    host.hear("conversation.item.delete", item_id=item_id)
    wanted = [WORDS, {"type": "item_reference", "id": item_id}]
    error = refusal(host.hear("response.create", response={"input": wanted}))
    assert error["param"] == "response.input[1].id"
    assert host.server.default_response is None


@pytest.mark.parametrize(("previous", "place"), [("", 1), (None, 1), ("root", 0)])
def test_no_predecessor_is_the_end_and_root_the_front(previous: str | None, place: int) -> None:
    host = Host()
    host.adds("a")
    host.adds("b", previous=previous)
    assert host.ids.index("b") == place


def test_responses_out_of_band_go_on_beside_each_other_and_the_conversations() -> None:
    host = Host()
    beside = [host.asks(conversation="none", metadata={"n": str(number)}) for number in range(3)]
    main = host.asks()
    for response_id in beside:
        host.begins(response_id)
        (done,) = [each for each in sent(host.finishes(response_id)) if each["type"] == "response.done"]
        assert done["response"]["conversation_id"] is None
        assert done["response"]["metadata"] == {"n": str(beside.index(response_id))}
    assert host.server.default_response is not None
    assert host.server.default_response.id == main
    assert sent_types(host.finishes(main)) == ["response.done"]
