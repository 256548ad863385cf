"""`antiphon.engine.serving`: what each accepted event of a client does. Refusals are in ``test_server_errors.py``."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import InputAudio, InputCommitted, Limits, ResponseCancelled, ResponseRequested
from antiphon.engine.records import ResponseRecord, StreamRecord
from antiphon.engine.responding import Output
from unit.server_helpers import Host, of, refusal, requested, sent, sent_types

# -- session.update ----------------------------------------------------------------------------------------------------


def test_an_update_is_answered_with_the_whole_configuration() -> None:
    host = Host()
    (updated,) = sent(host.update(instructions="be brief"))
    assert updated["type"] == "session.updated"
    assert updated["session"]["instructions"] == "be brief"
    assert updated["session"]["audio"]["output"]["voice"] == "alloy"
    assert updated["session"]["id"] == host.server.session_id


def test_keys_that_an_update_does_not_name_keep_their_value_at_every_level() -> None:
    host = Host()
    host.update(instructions="be brief", audio={"input": {"turn_detection": {"threshold": 0.9}}})
    session = sent(host.update(audio={"input": {"turn_detection": {"silence_duration_ms": 300}}}))[0]["session"]
    detection = session["audio"]["input"]["turn_detection"]
    assert (detection["threshold"], detection["silence_duration_ms"], detection["prefix_padding_ms"]) == (0.9, 300, 300)
    assert session["instructions"] == "be brief"


def test_null_and_empty_values_clear() -> None:
    host = Host()
    host.update(instructions="be brief", tools=[{"type": "function", "name": "f"}])
    updated = host.update(instructions="", tools=[], audio={"input": {"turn_detection": None}})
    session = sent(updated)[0]["session"]
    assert (session["instructions"], session["tools"]) == ("", [])
    assert session["audio"]["input"]["turn_detection"] is None
    assert host.server.turn_detection is None


def test_one_wrong_key_refuses_the_whole_update() -> None:
    host = Host()
    host.update(instructions="be brief", audio={"output": {"voice": "cedar"}, "input": {"format": {"type": "gsm"}}})
    assert host.server.configuration == Host().server.configuration


def test_the_voice_may_change_until_it_was_heard() -> None:
    host = Host()
    assert sent_types(host.update(audio={"output": {"voice": "cedar"}})) == ["session.updated"]
    host.speaks(100)
    assert sent_types(host.update(audio={"output": {"voice": "cedar", "speed": 1.2}})) == ["session.updated"]
    assert refusal(host.update(audio={"output": {"voice": "alloy"}}))["code"] == "cannot_update_voice"


def test_a_voice_that_only_an_out_of_band_response_used_may_change() -> None:
    host = Host()
    aside = host.asks(conversation="none")
    host.sounds_in(aside, 100)
    assert sent_types(host.update(audio={"output": {"voice": "cedar"}})) == ["session.updated"]


@pytest.mark.parametrize("audio", [None, {"output": None}, {"output": {"voice": None}}])
def test_a_voice_is_refused_after_the_heard_one_was_cleared(audio: Any) -> None:
    host = Host()
    host.speaks(100)
    assert sent_types(host.update(audio=audio)) == ["session.updated"]
    assert refusal(host.update(audio={"output": {"voice": "marin"}}))["code"] == "cannot_update_voice"


def test_a_g711_session_counts_a_byte_as_a_sample_of_8_kHz() -> None:
    host = Host()
    session = sent(host.update(audio={"input": {"format": {"type": "audio/pcmu"}}}))[0]["session"]
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    host.hear("input_audio_buffer.append", audio="////" * 200)  # 600 bytes
    assert host.server.input_audio_buffer.uncommitted_ms == 75


# -- input_audio_buffer.* ----------------------------------------------------------------------------------------------


def test_appended_audio_goes_to_the_brain_unanswered() -> None:
    host = Host()
    assert of(host.append(10), InputAudio) == [InputAudio(bytes(480), 0)]
    second = host.append(5)
    assert of(second, InputAudio) == [InputAudio(bytes(240), 240)]
    assert sent(second) == []


def test_an_empty_append_is_whole_samples_too() -> None:
    assert of(Host().hear("input_audio_buffer.append", audio=""), InputAudio) == [InputAudio(b"", 0)]


def test_the_longest_append_is_taken_whole() -> None:
    host = Host(limits=Limits(append_audio_bytes=12))
    assert of(host.hear("input_audio_buffer.append", audio="AAAA" * 4), InputAudio) == [InputAudio(bytes(12), 0)]


def test_a_refused_append_does_not_reach_the_brain() -> None:
    host = Host()
    assert of(host.hear("input_audio_buffer.append", audio="AAAA"), InputAudio) == []
    assert of(host.append(1), InputAudio) == [InputAudio(bytes(48), 0)]


def test_a_commit_makes_an_item_and_no_response() -> None:
    host = Host()
    first = host.adds()
    host.append(100)
    actions = host.hear("input_audio_buffer.commit")
    committed, added, done = sent(actions)
    item_id = committed["item_id"]
    assert (committed["type"], committed["previous_item_id"]) == ("input_audio_buffer.committed", first)
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert added["previous_item_id"] == done["previous_item_id"] == first
    assert added["item"] == done["item"]
    assert added["item"] == {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    assert actions[-1] == InputCommitted(item_id, None)
    assert host.server.input_audio_buffer.uncommitted == 0


def test_the_first_item_has_no_predecessor() -> None:
    host = Host()
    host.append(100)
    assert sent(host.hear("input_audio_buffer.commit"))[0]["previous_item_id"] is None


def test_committed_audio_is_handed_over_when_it_is_retained() -> None:
    host = Host(retain_input_audio=True)
    host.append(120)
    (committed,) = of(host.hear("input_audio_buffer.commit"), InputCommitted)
    assert committed.audio == bytes(120 * 48)


def test_a_clear_is_answered_and_drops_what_is_not_committed() -> None:
    host = Host()
    host.append(500)
    assert sent_types(host.hear("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert host.server.input_audio_buffer.uncommitted == 0
    assert sent_types(host.hear("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]  # an empty one too


def test_positions_of_audio_go_on_after_a_commit_and_a_clear() -> None:
    host = Host()
    host.append(100)
    host.hear("input_audio_buffer.commit")
    host.append(100)
    host.hear("input_audio_buffer.clear")
    assert of(host.append(1), InputAudio)[0].start == 4800


# -- conversation.item.create ------------------------------------------------------------------------------------------


def test_an_item_is_added_and_done_in_neighbouring_events() -> None:
    host = Host()
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    added, done = sent(host.hear("conversation.item.create", item={**item, "id": "mine"}))
    whole = {**item, "id": "mine", "status": "completed"}
    assert (added["type"], added["previous_item_id"], added["item"]) == ("conversation.item.added", None, whole)
    assert (done["type"], done["previous_item_id"], done["item"]) == ("conversation.item.done", None, whole)


def test_an_item_without_an_id_gets_one() -> None:
    host = Host()
    assert host.adds().startswith("item_")
    assert host.adds("").startswith("item_")
    assert host.adds(None, id=None).startswith("item_")


@pytest.mark.parametrize(
    ("previous", "order"), [("root", "cab"), ("a", "acb"), ("", "abc"), (None, "abc"), ("b", "abc")]
)
def test_an_item_goes_where_the_client_wants_it(previous: str | None, order: str) -> None:
    host = Host()
    host.adds("a")
    host.adds("b")
    host.adds("c", previous=previous)
    assert "".join(host.ids) == order


def test_an_item_at_the_front_is_announced_without_a_predecessor() -> None:
    host = Host()
    host.adds("a")
    added, done = sent(
        host.hear(
            "conversation.item.create", previous_item_id="root", item={"type": "message", "role": "user", "content": []}
        )
    )
    assert added["previous_item_id"] is done["previous_item_id"] is None


def test_an_id_that_exists_is_accepted_for_a_second_item() -> None:
    host = Host()
    host.adds("a")
    host.adds("a")
    assert len(host.server.conversation) == 2


def test_a_client_cannot_choose_the_status_of_an_item() -> None:
    item = {"type": "message", "status": "in_progress", "object": "realtime.item", "role": "system", "content": []}
    added = sent(Host().hear("conversation.item.create", item=item))[0]["item"]
    assert added["status"] == "completed"
    assert "object" not in added


def test_audio_of_an_item_is_not_sent_back() -> None:
    parts = [{"type": "input_audio", "audio": "AAAA"}, {"type": "input_audio", "audio": "AAAA", "transcript": "hm"}]
    item = {"type": "message", "role": "user", "content": parts}
    added = sent(Host().hear("conversation.item.create", item=item))[0]["item"]
    assert added["content"] == [
        {"type": "input_audio", "transcript": None},
        {"type": "input_audio", "transcript": "hm"},
    ]


def test_a_seeded_call_may_be_answered() -> None:
    host = Host()
    item = {"type": "function_call", "name": "f", "arguments": "{}"}
    call = sent(host.hear("conversation.item.create", item={**item, "call_id": "call_mine"}))[0]["item"]
    assert (call["call_id"], call["status"]) == ("call_mine", "completed")
    output = {"type": "function_call_output", "call_id": "call_mine", "output": "12"}
    added = sent(host.hear("conversation.item.create", item=output))[0]["item"]
    assert added == {**output, "id": added["id"]}  # no status: an output has none


def test_a_seeded_call_without_an_id_gets_one() -> None:
    item = {"type": "function_call", "name": "f", "arguments": "{}"}
    call = sent(Host().hear("conversation.item.create", item=item))[0]["item"]
    assert call["call_id"].startswith("call_")


def test_the_output_of_a_generated_call_is_accepted() -> None:
    host = Host()
    output = {"type": "function_call_output", "call_id": host.called(), "output": "12"}
    assert sent_types(host.hear("conversation.item.create", item=output)) == [
        "conversation.item.added",
        "conversation.item.done",
    ]


def test_an_approval_is_an_item_like_others() -> None:
    host = Host()
    host.adds("a", type="mcp_approval_request", server_label="s", name="f", arguments="{}", role=None, content=None)
    item = {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True}
    assert "status" not in sent(host.hear("conversation.item.create", item=item))[0]["item"]


def test_an_approval_names_no_other_item() -> None:
    host = Host()
    host.adds("u")
    item = {"type": "mcp_approval_response", "approval_request_id": "u", "approve": True}
    error = refusal(host.hear("conversation.item.create", item=item))
    assert (error["code"], error["param"]) == ("invalid_value", "item.approval_request_id")


def test_a_seeded_list_of_tools_is_complete() -> None:
    host = Host()
    item = {"type": "mcp_list_tools", "server_label": "s", "tools": []}
    assert sent_types(host.hear("conversation.item.create", item=item)) == [
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert [node.state for node in host.server.conversation] == ["completed"]


# -- conversation.item.delete, retrieve, truncate ----------------------------------------------------------------------


def test_a_deleted_item_is_no_member_any_more() -> None:
    host = Host()
    host.adds("a")
    (deleted,) = sent(host.hear("conversation.item.delete", item_id="a"))
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", "a")
    assert host.ids == []
    assert refusal(host.hear("conversation.item.delete", item_id="a"))["code"] == "item_delete_invalid_item_id"


def test_an_output_is_retrieved_as_it_was_created() -> None:
    host = Host()
    item_id = host.adds("o1", type="function_call_output", call_id=host.called(), output="12", role=None, content=None)
    (retrieved,) = sent(host.hear("conversation.item.retrieve", item_id=item_id))
    assert (retrieved["item"]["type"], retrieved["item"]["output"]) == ("function_call_output", "12")


def test_a_retrieved_item_is_shown_as_it_is() -> None:
    host = Host()
    item_id = host.speaks(100, "hello")
    (retrieved,) = sent(host.hear("conversation.item.retrieve", item_id=item_id))
    assert retrieved["type"] == "conversation.item.retrieved"
    assert retrieved["item"]["content"] == [{"type": "output_audio", "transcript": "hello"}]


def test_a_cut_is_echoed_and_the_text_shortened() -> None:
    host = Host()
    item_id = host.speaks(1000, "one two three four")
    (cut,) = sent(host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=500))
    assert (cut["type"], cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == (
        "conversation.item.truncated",
        item_id,
        0,
        500,
    )
    node = host.server.conversation.get(item_id)
    assert node is not None
    assert node.text == "one two"


def test_a_second_cut_may_only_be_shorter() -> None:
    host = Host()
    item_id = host.speaks(1000)
    place = {"item_id": item_id, "content_index": 0}
    assert sent_types(host.hear("conversation.item.truncate", **place, audio_end_ms=500)) == [
        "conversation.item.truncated"
    ]
    error = refusal(host.hear("conversation.item.truncate", **place, audio_end_ms=501))
    assert error["message"] == "Audio content of 500ms is already shorter than 501ms"
    assert sent_types(host.hear("conversation.item.truncate", **place, audio_end_ms=0)) == [
        "conversation.item.truncated"
    ]


def test_the_very_end_of_the_audio_is_within_it() -> None:
    host = Host()
    place = {"item_id": host.speaks(1000), "content_index": 0}
    assert sent_types(host.hear("conversation.item.truncate", **place, audio_end_ms=1000)) == [
        "conversation.item.truncated"
    ]


def test_a_cut_while_the_item_is_generated_is_within_what_was_said_so_far() -> None:
    host = Host()
    response_id = host.asks()
    place = {"item_id": host.sounds_in(response_id, 300), "content_index": 0}
    assert refusal(host.hear("conversation.item.truncate", **place, audio_end_ms=301))["param"] == "audio_end_ms"
    assert sent_types(host.hear("conversation.item.truncate", **place, audio_end_ms=200)) == [
        "conversation.item.truncated"
    ]
    assert host.server.default_response is not None


def test_what_an_item_says_after_it_was_cut_does_not_undo_the_cut() -> None:
    """R-C15"""
    host = Host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 1000, "one two ")
    place = {"item_id": item_id, "content_index": 0}
    host.hear("conversation.item.truncate", **place, audio_end_ms=500)
    host.says(response_id, "three four five six seven eight")
    host.sounds(response_id, 3000)
    assert refusal(host.hear("conversation.item.truncate", **place, audio_end_ms=501))["code"] == "invalid_value"
    host.finishes(response_id)
    node = host.server.conversation.get(item_id)
    assert node is not None
    assert node.text == "one"  # an eighth of what was made was heard


def test_an_integer_with_a_decimal_point_is_an_integer() -> None:
    host = Host()
    place = {"item_id": host.speaks(100), "content_index": 0}
    (cut,) = sent(host.hear("conversation.item.truncate", **place, audio_end_ms=50.0))
    assert cut["audio_end_ms"] == 50


def test_a_deleted_item_has_no_audio_to_cut() -> None:
    host = Host()
    item_id = host.speaks(100)
    host.hear("conversation.item.delete", item_id=item_id)
    assert host.server.spoken == {}
    error = refusal(host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0))
    assert error["code"] == "item_truncate_invalid_item_id"


def test_output_of_out_of_band_responses_cannot_be_cut() -> None:
    host = Host()
    item_id = host.sounds_in(host.asks(conversation="none"), 100)
    error = refusal(host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0))
    assert error["code"] == "item_truncate_invalid_item_id"


# -- response.create, response.cancel ----------------------------------------------------------------------------------


def test_a_request_begins_a_response_and_asks_the_brain() -> None:
    host = Host()
    actions = host.hear("response.create")
    (created,) = sent(actions)
    request = requested(actions)
    assert actions[-1] is request
    assert request.cause == "client"
    assert created["response"] == {
        "object": "realtime.response",
        "id": request.response_id,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": host.server.conversation_id,
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0}},
        "usage": None,
        "metadata": None,
    }


@pytest.mark.parametrize("response", [{}, {"response": None}, {"response": {}}])
def test_a_plain_request_has_the_sessions_values(response: Any) -> None:
    """R-R7"""
    host = Host()
    host.update(instructions="be brief", output_modalities=["text"], max_output_tokens=77, tool_choice="none")
    params = requested(host.hear("response.create", **response)).params
    assert (params.instructions, params.output_modalities, params.max_output_tokens) == ("be brief", ["text"], 77)
    assert params.tool_choice == "none"


def test_a_request_overrides_the_session_for_one_response() -> None:
    host = Host()
    actions = host.hear("response.create", response={"instructions": "shout", "output_modalities": ["text"]})
    assert requested(actions).params.instructions == "shout"
    assert sent(actions)[0]["response"]["output_modalities"] == ["text"]
    assert host.server.configuration == Host().server.configuration


def test_a_voice_of_its_own_leaves_the_sessions_format() -> None:
    host = Host()
    host.update(audio={"output": {"format": {"type": "audio/pcma"}}})
    actions = host.hear("response.create", response={"audio": {"output": {"voice": "cedar"}}})
    assert sent(actions)[0]["response"]["audio"]["output"] == {
        "format": {"type": "audio/pcma"},
        "voice": "cedar",
        "speed": 1.0,
    }


def test_a_request_of_a_session_without_audio_has_none() -> None:
    host = Host()
    host.update(audio=None)
    assert not requested(host.hear("response.create")).params.audio
    own = requested(
        host.hear("response.create", response={"conversation": "none", "audio": {"output": {"voice": "v"}}})
    )
    assert own.params.audio


def test_metadata_is_echoed_at_both_ends() -> None:
    host = Host()
    actions = host.hear("response.create", response={"metadata": {"topic": "birds"}})
    assert sent(actions)[0]["response"]["metadata"] == {"topic": "birds"}
    done = sent(host.finishes(requested(actions).response_id))[-1]
    assert done["response"]["metadata"] == {"topic": "birds"}


def test_any_number_of_responses_may_run_out_of_band() -> None:
    host = Host()
    host.asks()
    for _ in range(3):
        actions = host.hear("response.create", response={"conversation": "none", "input": []})
        assert sent(actions)[0]["response"]["conversation_id"] is None
    assert len(host.server.responses) == 4


def test_a_refused_request_uses_no_place() -> None:
    host = Host()
    first = host.asks()
    assert of(host.hear("response.create"), ResponseRequested) == []
    host.finishes(first)
    assert host.asks() != first


def test_a_cancel_ends_the_default_response_and_stops_the_brain() -> None:
    host = Host()
    aside = host.asks(conversation="none")
    response_id = host.asks()
    actions = host.hear("response.cancel")
    done = sent(actions)[-1]
    assert (done["type"], done["response"]["id"], done["response"]["status"]) == (
        "response.done",
        response_id,
        "cancelled",
    )
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert actions[-1] == ResponseCancelled(response_id, "client_cancelled")
    assert host.server.responses[aside].is_open


def test_a_cancel_by_id_ends_a_response_out_of_band() -> None:
    host = Host()
    response_id = host.asks()
    aside = host.asks(conversation="none")
    assert host.hear("response.cancel", response_id=aside)[-1] == ResponseCancelled(aside, "client_cancelled")
    assert host.server.responses[response_id].is_open
    assert refusal(host.hear("response.cancel", response_id=aside))["code"] == "response_cancel_not_active"


# -- what the brain fills ----------------------------------------------------------------------------------------------


def test_an_output_joins_what_was_written_and_counts_its_bytes() -> None:
    record = ResponseRecord("r")
    output = Output("item", 0, "text", record, StreamRecord(record, "item", 0, 0))
    assert output.text == ""
    for delta in ("he", "", "llö"):
        output.write(delta)
    assert (output.text, output.text_bytes) == ("hellö", 6)
    assert output.text == "hellö"


# -- calls -------------------------------------------------------------------------------------------------------------


def test_an_output_answers_a_call_that_the_conversation_holds() -> None:
    """R-C12"""
    host = Host(limits=Limits(conversation_items=2))
    output = {"type": "function_call_output", "output": "12"}
    for number, gone in enumerate(("out of band", "deleted", "deleted before its end", "forgotten")):
        call_id = f"call_{number}"
        response_id = host.asks(conversation="none") if gone == "out of band" else host.asks()
        host.begins(response_id, "function_call", call_id=call_id)
        (item_id,) = host.server.responses[response_id].item_ids
        if gone == "deleted before its end":
            host.hear("conversation.item.delete", item_id=item_id)
        host.calls(response_id, "{}")
        host.finishes(response_id)
        if gone == "deleted":
            host.hear("conversation.item.delete", item_id=item_id)
        if gone == "forgotten":
            host.adds("one")
            host.adds("two")
        error = refusal(host.hear("conversation.item.create", item={**output, "call_id": call_id}))
        assert error["code"] == "invalid_tool_call_id", gone
