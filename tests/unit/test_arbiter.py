"""`antiphon.engine.arbiter`: every `response.create` comes to exactly one outcome."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import (
    ArbiterPolicy,
    Dropped,
    Finished,
    Limits,
    LostToVad,
    Merged,
    PlayAudio,
    Rejected,
    RequestSettled,
    TimedOut,
)
from antiphon import messages as m
from antiphon.engine.known import knows_call
from unit.engine_helpers import MS, Talk, call, message, of, outcomes, rules, said, sent, sent_types, spoken

TAG = "antiphon_request"
TIMEOUT = ArbiterPolicy().request_timeout_ns


def talk_with(**policy: Any) -> Talk:
    return Talk(arbiter=ArbiterPolicy(**policy))


def busy(talk: Talk) -> Talk:
    """A response in progress that voice detection began."""
    talk.created("r0")
    return talk


def voice(talk: Talk, response_id: str) -> Any:
    """The user speaks, and voice detection begins a response; what comes of that."""
    talk.hear("input_audio_buffer.speech_started", item_id=f"u_{response_id}", audio_start_ms=0)
    return talk.created(response_id, metadata=None)


def metadata(actions: Any) -> dict[str, str] | None:
    (event,) = sent(actions)
    found: dict[str, str] | None = event.get("response", {}).get("metadata")
    return found


# -- a free place ------------------------------------------------------------------------------------------------------


def test_a_request_goes_out_at_once_while_nothing_is_in_progress() -> None:
    actions = Talk().ask("a")
    assert sent_types(actions) == ["response.create"]
    assert outcomes(actions) == {}


def test_a_request_finishes_with_the_status_of_its_response() -> None:
    talk = Talk()
    talk.ask("a")
    assert outcomes(talk.created("r1", request="a")) == {}
    details = {"type": "incomplete", "reason": "max_output_tokens"}
    actions = talk.done("r1", "incomplete", status_details=details)
    assert outcomes(actions) == {"a": Finished("r1", "incomplete", "max_output_tokens")}


def test_a_response_that_names_no_reason_and_no_status_is_finished_as_completed() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    actions = talk.hear("response.done", response={"id": "r1", "status_details": {"type": "x"}})
    assert outcomes(actions) == {"a": Finished("r1", "completed", None)}


def test_a_request_ends_although_the_body_of_its_done_could_not_be_read() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    actions = talk.hear("response.done", response={"id": "r1", "status": 7, "output": 8})
    assert list(outcomes(actions)) == ["a"]
    actions = talk.hear("response.done", response=[])
    assert outcomes(actions) == {}


def test_a_response_id_that_cannot_be_read_ends_the_response_in_progress_as_failed() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    assert outcomes(talk.hear("response.done", response=[])) == {"a": Finished("r1", "failed", None)}


def test_a_request_goes_out_in_the_dialect_of_the_server() -> None:
    talk = Talk(dialect="beta")
    (event,) = sent(talk.ask("a", output_modalities=["audio"], max_output_tokens=9))
    assert event["response"]["modalities"] == ["audio", "text"]
    assert event["response"]["max_response_output_tokens"] == 9


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_a_request_waits_while_a_response_is_in_progress_and_goes_when_that_is_done() -> None:
    talk = busy(Talk())
    assert talk.ask("a") == ()
    assert sent_types(talk.done("r0")) == ["response.create"]


def test_a_request_waits_for_another_that_is_on_its_way() -> None:
    talk = talk_with(merge_tool_outputs=False)
    talk.ask("a")
    assert talk.ask("b") == ()
    talk.created("r1", request="a")
    assert [event["event_id"] for event in sent(talk.done("r1"))] == ["b"]


def test_requests_go_out_in_the_order_in_which_they_were_made_one_a_response() -> None:
    talk = busy(talk_with(merge_tool_outputs=False))
    for name in ("a", "b", "c"):
        talk.ask(name)
    order = []
    actions = talk.done("r0")
    for number in range(3):
        (event,) = sent(actions)
        order.append(event["event_id"])
        talk.created(f"r{number + 1}", request=event["event_id"])
        actions = talk.done(f"r{number + 1}")
    assert order == ["a", "b", "c"]


def test_a_request_out_of_band_never_waits_and_holds_nobody_up() -> None:
    talk = busy(Talk())
    assert sent_types(talk.ask("a", conversation="none")) == ["response.create"]
    assert sent_types(talk.done("r0")) == []
    assert sent_types(talk.ask("b")) == ["response.create"]


def test_a_request_that_would_overtake_the_queue_stands_behind_it() -> None:
    talk = busy(Talk())
    talk.ask("a", instructions="first")
    assert talk.ask("b", instructions="second") == ()
    assert [event["event_id"] for event in sent(talk.done("r0"))] == ["a"]


def test_the_queue_is_bounded_and_refuses_the_next() -> None:
    talk = busy(talk_with(queue_limit=1))
    talk.ask("a", instructions="first")
    error = talk.refused(m.ResponseCreate(response=m.ResponseCreateParams(instructions="second")))
    assert (error.rule, error.code, error.overridable) == ("R-N2", None, False)


def test_requests_that_are_on_their_way_and_running_are_bounded_too() -> None:
    talk = Talk(limits=Limits(open_responses=2))
    talk.ask("a", conversation="none")
    talk.created("r1", request="a", conversation_id=None)
    talk.ask("b", conversation="none")
    assert talk.refused(m.ResponseCreate(response=m.ResponseCreateParams(conversation="none"))).rule == "R-N2"


# -- the other policies ------------------------------------------------------------------------------------------------


def test_refuse_raises_what_the_server_would_answer() -> None:
    talk = busy(talk_with(on_active="refuse"))
    error = talk.refused(m.ResponseCreate())
    assert (error.rule, error.code) == ("R-Q1", "conversation_already_has_active_response")
    assert error.overridable


def test_refuse_refuses_behind_a_request_that_has_no_answer_yet() -> None:
    talk = talk_with(on_active="refuse")
    talk.ask("a")
    assert talk.refused(m.ResponseCreate()).rule == "R-Q1"


def test_refuse_lets_out_of_band_requests_pass() -> None:
    talk = busy(talk_with(on_active="refuse"))
    assert sent_types(talk.ask("a", conversation="none")) == ["response.create"]


def test_refuse_lets_a_request_pass_while_nothing_is_in_progress() -> None:
    assert sent_types(talk_with(on_active="refuse").ask("a")) == ["response.create"]


@pytest.mark.parametrize("policy", ["refuse", "queue"])
def test_an_override_sends_at_once_under_every_policy(policy: str) -> None:
    talk = busy(talk_with(on_active=policy))
    assert sent_types(talk.ask("a", override={"R-Q1"})) == ["response.create"]


def test_send_leaves_the_decision_to_the_server() -> None:
    talk = busy(talk_with(on_active="send"))
    assert sent_types(talk.ask("a")) == ["response.create"]
    actions = talk.error("conversation_already_has_active_response", "a")
    assert isinstance(outcomes(actions)["a"], Rejected)


# -- merging -----------------------------------------------------------------------------------------------------------


def test_a_plain_request_behind_a_plain_one_in_the_queue_is_the_same_wish() -> None:
    talk = busy(Talk())
    talk.ask("a")
    assert outcomes(talk.ask("b")) == {"b": Merged("a")}


def test_a_request_with_wishes_of_its_own_is_not_merged() -> None:
    talk = busy(Talk())
    talk.ask("a")
    assert talk.ask("b", instructions="Answer in French.") == ()
    assert talk.ask("c") == ()


def test_a_null_response_is_as_plain_as_an_absent_one() -> None:
    talk = busy(Talk())
    talk.ask("a")
    actions = talk.say(m.ResponseCreate(event_id="b", response=None))
    assert outcomes(actions) == {"b": Merged("a")}


def test_nothing_is_merged_against_the_policy() -> None:
    talk = busy(talk_with(merge_tool_outputs=False))
    talk.ask("a")
    assert talk.ask("b") == ()


def test_an_override_is_not_merged() -> None:
    talk = busy(Talk())
    talk.ask("a")
    assert sent_types(talk.ask("b", override={"R-Q1"})) == ["response.create"]


# -- outputs of functions ----------------------------------------------------------------------------------------------


def test_a_request_after_one_of_two_outputs_waits_for_the_other() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    assert talk.ask("a") == ()
    assert sent_types(talk.outputs("c2")) == ["conversation.item.create", "response.create"]


def test_one_request_an_output_becomes_one_request() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2", "c3")
    talk.outputs("c1")
    assert talk.ask("a") == ()
    talk.outputs("c2")
    assert outcomes(talk.ask("b")) == {"b": Merged("a")}
    assert [event["type"] for event in sent(talk.outputs("c3"))] == ["conversation.item.create", "response.create"]
    assert outcomes(talk.ask("c")) == {"c": Merged("a")}


def test_a_request_after_the_last_output_stands_for_one_that_runs_already() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a")
    talk.created("r2", request="a")
    assert outcomes(talk.ask("b")) == {"b": Merged("a")}


def test_a_request_after_a_new_output_is_not_the_wish_that_went_out_before_it() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a")
    talk.created("r2", request="a")
    talk.calls("r2", "c2")
    talk.outputs("c2")
    assert sent_types(talk.ask("b")) == ["response.create"]


def test_a_reply_that_runs_is_not_the_reply_to_a_call_of_its_own() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a")
    talk.created("r2", request="a")
    talk.generates("r2", {**call("c2"), "arguments": ""})
    talk.finishes("r2", call("c2"))
    talk.outputs("c2")
    assert talk.ask("b") == ()
    assert [event["event_id"] for event in sent(talk.done("r2"))] == ["b"]


def test_a_request_with_wishes_of_its_own_does_not_stand_for_a_plain_reply() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a", instructions="aloud")
    assert talk.ask("b") == ()
    talk.created("r2", request="a")
    assert [event["event_id"] for event in sent(talk.done("r2"))] == ["b"]


def test_a_plain_request_that_follows_no_output_is_not_taken_for_the_one_that_runs() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a")
    talk.created("r2", request="a")
    talk.say(message("m1"))
    assert talk.ask("b") == ()
    assert [event["event_id"] for event in sent(talk.done("r2"))] == ["b"]


def test_a_request_that_runs_but_followed_no_output_stands_for_nobody() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    talk.generates("r1", {**call("c1"), "arguments": ""})
    talk.finishes("r1", call("c1"))
    talk.outputs("c1")
    assert talk.ask("b") == ()


def test_an_output_that_is_sent_before_the_response_is_done_is_not_owed_after_it() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", {**call("c1"), "arguments": ""})
    talk.finishes("r1", call("c1"))
    talk.outputs("c1")
    talk.ask("a")
    assert sent_types(talk.done("r1", output=[{**call("c1"), "status": "completed"}])) == ["response.create"]


def test_a_request_that_follows_a_message_does_not_wait_for_outputs() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.say(message("m1"))
    assert sent_types(talk.ask("a")) == ["response.create"]


def test_outputs_are_not_waited_for_against_the_policy() -> None:
    talk = talk_with(merge_tool_outputs=False)
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    assert sent_types(talk.ask("a")) == ["response.create"]


def test_a_response_out_of_band_does_not_end_the_wait_for_outputs() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    assert talk.ask("held") == ()
    talk.created("aside", conversation_id=None)
    assert sent_types(talk.done("aside", conversation_id=None)) == []
    assert sent_types(talk.outputs("c2")) == ["conversation.item.create", "response.create"]


def test_a_call_that_was_not_completed_owes_nothing() -> None:
    """R-Q11"""
    talk = Talk()
    talk.created("r1")
    output = [{**call("c1"), "status": "completed"}, {**call("c2"), "status": "incomplete"}]
    talk.done("r1", "cancelled", output=output)
    talk.say(m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c1", output="1")), override={"R-C12"})
    assert sent_types(talk.ask("a")) == ["response.create"]


def test_a_call_that_the_end_of_its_response_leaves_out_is_owed_all_the_same() -> None:
    """R-Q11"""
    talk = Talk()
    talk.created("r1")
    for call_id in ("c1", "c2"):
        talk.generates("r1", {**call(call_id), "arguments": ""})
        talk.finishes("r1", call(call_id))
    talk.done("r1", output=[])
    talk.outputs("c1")
    assert sent_types(talk.ask("a")) == []
    assert sent_types(talk.outputs("c2")) == ["conversation.item.create", "response.create"]


def test_a_call_that_was_deleted_before_its_response_ended_is_none() -> None:
    """R-C7"""
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", call("c1"))
    talk.say(m.ConversationItemDelete(item_id="item_c1"))
    talk.hear("conversation.item.deleted", item_id="item_c1")
    talk.done("r1", output=[{**call("c1"), "status": "completed"}])
    assert not knows_call(talk.client, "c1")
    assert list(talk.client.arbiter.owed) == []


def test_the_output_of_a_call_that_was_deleted_is_not_waited_for() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    talk.ask("a")
    talk.say(m.ConversationItemDelete(item_id="item_c2"))
    assert sent_types(talk.hear("conversation.item.deleted", item_id="item_c2")) == ["response.create"]


def test_of_the_owed_outputs_only_the_newest_are_remembered() -> None:
    talk = Talk(limits=Limits(response_parts=2))
    talk.calls("r1", "c1", "c2", "c3")
    assert list(talk.client.arbiter.owed) == ["c2", "c3"]


# -- whose response is it ----------------------------------------------------------------------------------------------


def test_the_event_id_travels_in_the_metadata() -> None:
    assert metadata(Talk().ask("a")) == {TAG: "a"}


def test_the_metadata_of_the_application_travels_beside_it() -> None:
    assert metadata(Talk().ask("a", metadata={"topic": "weather"})) == {"topic": "weather", TAG: "a"}


def test_no_seventeenth_pair_of_metadata_is_made() -> None:
    full = {f"key{number}": "v" for number in range(16)}
    assert metadata(Talk().ask("a", metadata=full)) == full
    almost = dict(list(full.items())[:15])
    assert metadata(Talk().ask("a", metadata=almost)) == {**almost, TAG: "a"}


def test_a_tag_of_the_application_is_left_alone() -> None:
    assert metadata(Talk().ask("a", metadata={TAG: "mine"})) == {TAG: "mine"}


def test_nothing_is_added_against_the_policy() -> None:
    (event,) = sent(talk_with(tag_requests=False).ask("a"))
    assert event == {"type": "response.create", "event_id": "a"}


def test_a_response_without_our_tag_is_not_ours() -> None:
    talk = Talk()
    talk.ask("a")
    voice(talk, "r0")
    assert talk.client.responses["r0"].event_id is None
    assert outcomes(talk.done("r0", metadata=None)) == {}


def test_a_response_with_the_tag_of_another_request_is_that_request_s() -> None:
    talk = talk_with(on_active="send")
    talk.ask("a")
    talk.ask("b")
    talk.created("r1", request="b")
    assert talk.client.responses["r1"].event_id == "b"


def test_without_an_echo_the_oldest_request_of_the_kind_is_answered() -> None:
    talk = Talk()
    talk.ask("a", conversation="none")
    talk.ask("b")
    talk.created("r1")
    talk.created("r2", conversation_id=None)
    assert [talk.client.responses[id].event_id for id in ("r1", "r2")] == ["b", "a"]


def test_requests_with_one_tag_of_the_application_are_answered_in_order() -> None:
    talk = talk_with(on_active="send")
    talk.ask("a", metadata={TAG: "mine"})
    talk.ask("b", metadata={TAG: "mine"})
    talk.created("r1", metadata={TAG: "mine"})
    talk.created("r2", metadata={TAG: "mine"})
    assert [talk.client.responses[id].event_id for id in ("r1", "r2")] == ["a", "b"]


@pytest.mark.parametrize("aside", [False, True])
def test_a_server_that_answers_with_null_metadata_is_understood_while_nobody_else_can_have_asked(aside: bool) -> None:
    talk = Talk()
    conversation_id = None if aside else "conv"
    talk.ask("a", **({"conversation": "none"} if aside else {}))
    talk.created("r1", metadata=None, conversation_id=conversation_id)
    settled = outcomes(talk.done("r1", metadata=None, conversation_id=conversation_id))
    assert settled == {"a": Finished("r1", "completed", None)}
    talk.ask("b")
    talk.created("r2", metadata=None)
    assert talk.restored().client.responses["r2"].event_id == "b"


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("speech_started", {"audio_start_ms": 0}),
        ("speech_stopped", {"audio_end_ms": 900}),
        ("committed", {"previous_item_id": None}),
        ("timeout_triggered", {"audio_start_ms": 0, "audio_end_ms": 6000}),
    ],
)
def test_a_response_to_what_the_server_heard_is_nobody_s(type: str, fields: Any) -> None:
    talk = Talk()
    talk.ask("a")
    talk.hear(f"input_audio_buffer.{type}", item_id="u1", **fields)
    talk = talk.restored()
    talk.created("r1", metadata=None)
    assert talk.client.responses["r1"].event_id is None
    talk.done("r1", metadata=None)
    talk.created("r2", metadata=None)
    assert talk.client.responses["r2"].event_id == "a"


def test_a_commit_of_ours_is_answered_by_no_response_but_ours() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    talk.say(m.InputAudioBufferCommit())
    talk.ask("a")
    talk.hear("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
    talk.created("r1", metadata=None)
    assert talk.client.responses["r1"].event_id == "a"


def test_a_server_that_echoes_does_not_answer_with_null() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    talk.done("r1")
    talk.ask("b")
    talk = talk.restored()
    talk.created("r2", metadata=None)
    assert talk.client.responses["r2"].event_id is None


def test_where_a_session_has_other_clients_a_null_is_nobody_s() -> None:
    talk = Talk(transport="sideband")
    talk.ask("a")
    talk.created("r1", metadata=None)
    assert talk.client.responses["r1"].event_id is None


def test_without_an_echo_an_error_without_an_id_gives_the_response_back_too() -> None:
    talk = Talk()
    talk.ask("a")
    talk.hear("response.created", response={"id": "r1", "conversation_id": "conv"})
    talk.error("conversation_already_has_active_response")
    assert talk.client.responses["r1"].event_id is None
    actions = talk.hear("response.done", response={"id": "r1", "status": "completed", "conversation_id": "conv"})
    assert [event["event_id"] for event in sent(actions)] == ["a"]


def test_empty_metadata_is_an_echo_of_none() -> None:
    talk = talk_with(tag_requests=False)
    talk.ask("a")
    talk.created("r1", metadata={})
    assert talk.client.responses["r1"].event_id == "a"


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_settles_the_request_that_it_names() -> None:
    talk = talk_with(on_active="send")
    talk.ask("a")
    talk.ask("b")
    actions = talk.error("server_error", "b")
    assert list(outcomes(actions)) == ["b"]
    outcome = outcomes(actions)["b"]
    assert isinstance(outcome, Rejected)
    assert outcome.error.code == "server_error"


def test_an_error_without_an_id_settles_the_oldest_request_that_its_code_fits() -> None:
    talk = talk_with(on_active="send")
    talk.ask("a")
    talk.ask("b")
    assert list(outcomes(talk.error("conversation_already_has_active_response"))) == ["a"]
    assert list(outcomes(talk.error("conversation_already_has_active_response"))) == ["b"]


def test_an_error_without_an_id_about_something_else_settles_no_request() -> None:
    talk = Talk()
    talk.ask("a")
    assert outcomes(talk.error("rate_limit_exceeded")) == {}


def test_an_error_that_names_another_command_settles_no_request() -> None:
    talk = Talk()
    talk.ask("a")
    assert outcomes(talk.error("conversation_already_has_active_response", "other")) == {}


def test_an_error_frees_the_place_for_the_next() -> None:
    talk = talk_with(merge_tool_outputs=False)
    talk.ask("a")
    talk.ask("b")
    assert [event["event_id"] for event in sent(talk.error("server_error", "a"))] == ["b"]


def test_a_rejected_request_no_longer_times_out() -> None:
    talk = Talk()
    talk.ask("a")
    talk.error("server_error", "a")
    assert talk.client.deadline is None


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_a_request_without_an_answer_times_out() -> None:
    talk = Talk()
    talk.ask("a")
    assert outcomes(talk.tick()) == {"a": TimedOut()}
    assert talk.now == TIMEOUT
    assert talk.client.deadline is None


def test_a_request_that_times_out_frees_the_place() -> None:
    talk = talk_with(merge_tool_outputs=False)
    talk.ask("a")
    talk.now = 5 * MS
    talk.ask("b")
    actions = talk.tick()
    assert [event["event_id"] for event in sent(actions)] == ["b"]
    assert talk.client.deadline == 2 * TIMEOUT


def test_each_request_has_a_deadline_of_its_own() -> None:
    talk = Talk()
    talk.ask("a", conversation="none")
    talk.now = 5 * MS
    talk.ask("b", conversation="none")
    assert list(outcomes(talk.tick())) == ["a"]
    assert talk.client.deadline == 5 * MS + TIMEOUT


def test_a_request_that_was_answered_in_time_has_no_deadline_any_more() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    assert talk.client.deadline is None


def test_a_request_that_waits_has_no_deadline_yet() -> None:
    talk = busy(Talk())
    talk.ask("a")
    assert talk.client.deadline is None


# -- withdrawal and loss -----------------------------------------------------------------------------------------------


def test_interrupt_withdraws_what_waits() -> None:
    talk = busy(talk_with(merge_tool_outputs=False))
    talk.ask("a")
    talk.ask("b")
    assert outcomes(talk.client.interrupt(0)) == {"a": Dropped("cancelled"), "b": Dropped("cancelled")}
    assert sent_types(talk.done("r0", "cancelled")) == []


def test_what_was_withdrawn_stands_for_nobody() -> None:
    talk = busy(Talk())
    talk.ask("a")
    talk.client.interrupt(0)
    assert talk.ask("b") == ()
    assert [event["event_id"] for event in sent(talk.done("r0", "cancelled"))] == ["b"]


def test_interrupt_leaves_what_is_on_its_way() -> None:
    talk = Talk()
    talk.ask("a")
    assert outcomes(talk.client.interrupt(0)) == {}


def full(talk: Talk) -> Talk:
    """One request running, one sent, one waiting."""
    talk.ask("running")
    talk.created("r1", request="running")
    talk.ask("sent", conversation="none")
    talk.ask("waiting", instructions="later")
    return talk


@pytest.mark.parametrize("ours", [False, True])
def test_every_request_is_dropped_with_the_socket_in_the_order_of_their_progress(ours: bool) -> None:
    talk = full(Talk())
    if ours:
        talk.client.close(0)
    settled = of(talk.lose_socket(), RequestSettled)
    reason: Any = "closed" if ours else "disconnected"
    assert settled == [RequestSettled(name, Dropped(reason)) for name in ("running", "sent", "waiting")]


def test_a_second_end_settles_nothing_again() -> None:
    talk = full(Talk())
    talk.lose_socket()
    assert talk.lose_socket() == ()


# -- order of answers --------------------------------------------------------------------------------------------------


def test_a_tagged_response_shows_that_an_item_before_it_was_never_answered() -> None:
    talk = Talk()
    talk.say(message("m1"))
    talk.ask("a")
    assert rules(talk.created("r1", request="a")) == ["R-A1"]


def test_a_response_matched_by_order_alone_shows_nothing() -> None:
    talk = Talk()
    talk.say(message("m1"))
    talk.ask("a")
    assert rules(talk.created("r1")) == []


# -- by way of a snapshot ----------------------------------------------------------------------------------------------


def test_requests_in_every_state_come_back_from_a_snapshot() -> None:
    talk = full(Talk()).restored()
    assert outcomes(talk.done("r1")) == {"running": Finished("r1", "completed", None)}
    assert talk.client.deadline == TIMEOUT
    assert list(outcomes(talk.tick())) == ["sent", "waiting"]


def test_what_is_left_of_a_deadline_comes_back_from_a_snapshot() -> None:
    talk = Talk()
    talk.ask("a")
    talk.now = TIMEOUT - 1
    talk.ask("aside", conversation="none")
    talk = talk.restored()
    talk.now += 1
    assert outcomes(talk.client.tick(talk.now)) == {"a": TimedOut()}


def test_owed_outputs_come_back_from_a_snapshot() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    talk = talk.restored()
    assert talk.ask("a") == ()
    assert sent_types(talk.outputs("c2")) == ["conversation.item.create", "response.create"]


def test_a_plain_request_is_still_plain_after_a_snapshot_although_its_text_carries_a_tag() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a")
    talk = talk.restored()
    assert outcomes(talk.ask("b")) == {"b": Merged("a")}


def test_what_waits_for_an_output_waits_no_longer_than_to_the_end_of_the_next_response() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    assert sent_types(talk.ask("held")) == []
    talk.created("r2")  # the user spoke, and voice detection began a response without the output of c2
    assert sent_types(talk.done("r2")) == ["response.create"]


# -- a place that voice detection took ---------------------------------------------------------------------------------

OCCUPIED = "conversation_already_has_active_response"


def lost(talk: Talk, name: str = "a") -> Talk:
    """A request that was rejected for a response of voice detection, which is announced and in progress."""
    talk.ask(name)
    voice(talk, "vad")
    assert outcomes(talk.error(OCCUPIED, name)) == {}
    return talk


def asked(actions: Any) -> list[str]:
    """The event ids of the requests that went out."""
    return [event["event_id"] for event in sent(actions) if event["type"] == "response.create"]


def test_a_request_lost_to_voice_detection_is_sent_again_when_that_response_is_done() -> None:
    talk = lost(Talk())
    assert asked(talk.done("vad", metadata=None)) == ["a"]
    talk.created("r1", request="a")
    assert outcomes(talk.done("r1")) == {"a": Finished("r1", "completed", None)}


def test_an_error_without_an_id_takes_a_request_back_as_well() -> None:
    talk = Talk()
    talk.ask("a")
    voice(talk, "vad")
    assert talk.error(OCCUPIED)[1:] == ()
    assert asked(talk.done("vad", metadata=None)) == ["a"]


def test_an_error_whose_code_stands_in_its_type_takes_a_request_back_as_well() -> None:
    talk = Talk()
    talk.ask("a")
    voice(talk, "vad")
    talk.hear("error", error={"type": OCCUPIED, "message": "no"})
    assert asked(talk.done("vad", metadata=None)) == ["a"]


def test_a_request_that_was_taken_back_is_the_next_to_go_out() -> None:
    talk = talk_with(merge_tool_outputs=False)
    talk.ask("a")
    talk.ask("b")
    voice(talk, "vad")
    talk.error(OCCUPIED, "a")
    assert asked(talk.done("vad", metadata=None)) == ["a"]
    talk.created("r1", request="a")
    assert asked(talk.done("r1")) == ["b"]


def test_a_winner_that_is_announced_after_the_error_is_waited_for() -> None:
    talk = Talk()
    talk.ask("a")
    assert asked(talk.error(OCCUPIED, "a")) == []
    assert asked(voice(talk, "vad")) == []
    assert asked(talk.done("vad", metadata=None)) == ["a"]


def test_a_winner_of_which_only_the_done_comes_frees_the_place() -> None:
    talk = Talk()
    talk.ask("a")
    talk.error(OCCUPIED, "a")
    assert asked(talk.done("vad", metadata=None)) == ["a"]


def test_a_response_out_of_band_is_no_winner() -> None:
    talk = Talk()
    talk.ask("a")
    talk.error(OCCUPIED, "a")
    talk.created("aside", conversation_id=None, metadata=None)
    assert asked(talk.done("aside", conversation_id=None, metadata=None)) == []


def test_a_winner_that_is_over_before_the_error_comes_is_not_waited_for() -> None:
    talk = Talk()
    talk.ask("a")
    voice(talk, "vad")
    talk.done("vad", metadata=None)
    assert asked(talk.error(OCCUPIED, "a")) == ["a"]


def test_a_winner_that_is_never_announced_is_waited_for_until_the_deadline() -> None:
    talk = Talk()
    talk.ask("a")
    talk.now = 5 * MS
    talk.error(OCCUPIED, "a")
    assert talk.client.deadline == 5 * MS + TIMEOUT
    assert asked(talk.tick()) == ["a"]
    assert talk.client.deadline == talk.now + TIMEOUT


def test_a_request_that_waits_for_a_winner_in_progress_has_no_deadline() -> None:
    talk = Talk()
    talk.ask("a")
    talk.error(OCCUPIED, "a")
    voice(talk, "vad")
    assert talk.client.deadline is None


def test_a_request_is_sent_again_as_often_as_policy_says_and_then_lost() -> None:
    talk = lost(talk_with(retries=2))
    for name in ("vad2", "vad3"):
        assert asked(talk.done(name[:3] if name == "vad2" else "vad2", metadata=None)) == ["a"]
        voice(talk, name)
        settled = outcomes(talk.error(OCCUPIED, "a"))
    assert settled == {"a": LostToVad("vad3")}


@pytest.mark.parametrize("policy", [{"retry_lost_to_vad": False}, {"retries": 0}])
def test_a_request_is_lost_at_once_against_the_policy(policy: Any) -> None:
    talk = talk_with(**policy)
    talk.ask("a")
    voice(talk, "vad")
    assert outcomes(talk.error(OCCUPIED, "a")) == {"a": LostToVad("vad")}


def test_the_winner_of_a_lost_request_may_have_no_name_yet() -> None:
    talk = talk_with(retry_lost_to_vad=False)
    talk.ask("a")
    assert outcomes(talk.error(OCCUPIED, "a")) == {"a": LostToVad(None)}


def test_a_request_that_was_sent_regardless_is_rejected_and_not_tried_again() -> None:
    talk = busy(Talk())
    talk.ask("a", override={"R-Q1"})
    assert isinstance(outcomes(talk.error(OCCUPIED, "a"))["a"], Rejected)
    assert asked(talk.done("r0")) == []


def test_a_place_that_another_request_of_ours_holds_is_not_lost_to_voice_detection() -> None:
    talk = talk_with(retry_lost_to_vad=False)
    talk.ask("a")
    talk.ask("b", override={"R-Q1"})
    talk.created("r1", request="b")
    assert isinstance(outcomes(talk.error(OCCUPIED, "a"))["a"], Rejected)


def test_interrupt_withdraws_what_was_taken_back() -> None:
    talk = lost(Talk())
    assert outcomes(talk.client.interrupt(0)) == {"a": Dropped("cancelled")}
    assert asked(talk.done("vad", metadata=None)) == []


def test_a_plain_request_merges_into_one_that_was_taken_back() -> None:
    assert outcomes(lost(Talk()).ask("b")) == {"b": Merged("a")}


def test_under_refuse_a_lost_request_is_sent_again_too() -> None:
    talk = lost(talk_with(on_active="refuse"))
    assert asked(talk.done("vad", metadata=None)) == ["a"]


def test_a_lost_request_comes_back_into_a_queue_that_is_full() -> None:
    talk = talk_with(queue_limit=1, merge_tool_outputs=False)
    talk.ask("a")
    talk.ask("b")
    voice(talk, "vad")
    assert outcomes(talk.error(OCCUPIED, "a")) == {}
    assert [request.event_id for request in talk.client.arbiter.queue] == ["a", "b"]


def test_a_lost_request_comes_back_from_a_snapshot() -> None:
    talk = talk_with(retries=1)
    talk.ask("a")
    talk.error(OCCUPIED, "a")
    talk = talk.restored()
    assert talk.client.arbiter.unseen
    voice(talk, "vad")
    talk = talk.restored()
    assert asked(talk.done("vad", metadata=None)) == ["a"]
    voice(talk, "vad2")
    assert outcomes(talk.restored().error(OCCUPIED, "a")) == {"a": LostToVad("vad2")}


def test_without_tags_a_response_that_seemed_to_be_the_answer_is_given_back_when_the_request_is_rejected() -> None:
    talk = talk_with(tag_requests=False)
    talk.ask("a")
    voice(talk, "vad")
    assert talk.client.responses["vad"].event_id == "a"
    assert outcomes(talk.error(OCCUPIED, "a")) == {}
    assert talk.client.responses["vad"].event_id is None
    assert asked(talk.done("vad", metadata=None)) == ["a"]


# -- whose error is it -------------------------------------------------------------------------------------------------


def test_an_error_about_the_one_place_is_never_that_of_a_request_out_of_band() -> None:
    talk = talk_with(on_active="send")
    talk.ask("aside", conversation="none")
    talk.ask("a")
    assert list(outcomes(talk.error(OCCUPIED))) == ["a"]


def param_error(talk: Talk, code: str, param: str) -> Any:
    error = {"type": "invalid_request_error", "code": code, "message": "no", "param": param, "event_id": None}
    return talk.hear("error", error=error)


def test_an_error_without_an_id_about_a_key_is_that_of_the_request_with_the_key() -> None:
    talk = Talk()
    talk.ask("a", conversation="none", instructions="x")
    talk.ask("b", conversation="none", output_modalities=["text"])
    settled = outcomes(param_error(talk, "invalid_value", "response.output_modalities"))
    assert list(settled) == ["b"]


def test_an_error_without_an_id_about_a_key_that_nobody_sent_is_nobody_s_where_several_are_on_their_way() -> None:
    talk = Talk()
    talk.ask("a", conversation="none")
    talk.ask("b", conversation="none")
    assert outcomes(param_error(talk, "unknown_parameter", "response.modalities")) == {}


def test_an_error_without_an_id_about_a_response_is_that_of_the_only_request_on_its_way() -> None:
    talk = Talk()
    talk.ask("a")
    assert list(outcomes(param_error(talk, "unknown_parameter", "response.modalities"))) == ["a"]


def test_an_error_about_a_response_settles_no_other_command() -> None:
    talk = Talk()
    talk.say(m.SessionUpdate(session=m.RealtimeSession()))
    talk.ask("a")
    param_error(talk, "invalid_value", "response.instructions")
    assert [pending.type for pending in talk.client.unanswered] == ["session.update"]


def test_a_request_of_which_an_error_was_wrongly_taken_is_answered_all_the_same() -> None:
    talk = Talk()
    talk.ask("a")
    talk.error(OCCUPIED)
    talk.created("r1", request="a")
    assert outcomes(talk.done("r1")) == {"a": Finished("r1", "completed", None)}
    assert asked(talk.created("r2", metadata=None)) == []


def test_an_error_that_names_a_request_whose_response_runs_changes_nothing() -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    assert outcomes(talk.error("server_error", "a")) == {}
    assert outcomes(talk.done("r1", "failed")) == {"a": Finished("r1", "failed", None)}


# -- a cancel before the id is known -----------------------------------------------------------------------------------


def hears_nothing(talk: Talk, response_id: str = "r1") -> bool:
    """Whether 100 ms of a response are not played."""
    talk.generates(response_id, spoken("i1"))
    talk.part(response_id, "i1")
    return of(talk.audio(response_id, "i1", 100), PlayAudio) == []


def test_a_cancel_of_a_request_on_its_way_goes_out_at_once_and_nothing_of_the_response_is_played() -> None:
    talk = Talk()
    talk.ask("a")
    assert sent(talk.say(m.ResponseCancel(event_id="c"))) == [{"type": "response.cancel", "event_id": "c"}]
    assert sent(talk.created("r1", request="a")) == []
    assert hears_nothing(talk)
    assert talk.client.responses["r1"].state == "cancelling"
    details = {"type": "cancelled", "reason": "client_cancelled"}
    settled = outcomes(talk.done("r1", "cancelled", status_details=details))
    assert settled == {"a": Finished("r1", "cancelled", "client_cancelled")}


@pytest.mark.parametrize("event_id", ["c", None])
def test_a_cancel_that_found_nothing_goes_out_again_when_the_id_is_known(event_id: str | None) -> None:
    talk = Talk()
    talk.ask("a")
    talk.say(m.ResponseCancel(event_id="c"))
    talk.error("response_cancel_not_active", event_id)
    (cancel,) = sent(talk.created("r1", request="a"))
    assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "r1")
    assert hears_nothing(talk)


def test_the_refusal_of_another_cancel_is_not_that_of_this_one() -> None:
    talk = Talk()
    talk.ask("a")
    talk.say(m.ResponseCancel(event_id="c"))
    talk.error("response_cancel_not_active", "other")
    assert sent(talk.created("r1", request="a")) == []


def test_interrupt_cancels_a_request_on_its_way() -> None:
    talk = Talk()
    talk.ask("a")
    assert sent_types(talk.client.interrupt(0)) == ["response.cancel"]
    assert sent_types(talk.client.interrupt(0)) == []
    talk.created("r1", request="a")
    assert hears_nothing(talk)
    assert sent_types(talk.client.interrupt(0)) == []


def test_interrupt_plays_nothing_more_of_the_response_in_progress_in_parts_that_are_still_to_come() -> None:
    talk = Talk()
    talk.created("r1")
    assert sent(talk.client.interrupt(0))[0]["response_id"] == "r1"
    assert hears_nothing(talk)


def test_interrupt_leaves_a_request_out_of_band_alone() -> None:
    talk = Talk()
    talk.ask("aside", conversation="none")
    assert sent_types(talk.client.interrupt(0)) == []


def test_a_request_that_was_cancelled_is_not_sent_again() -> None:
    talk = Talk()
    talk.ask("a")
    talk.say(m.ResponseCancel())
    voice(talk, "vad")
    assert isinstance(outcomes(talk.error(OCCUPIED, "a"))["a"], Rejected)


def test_a_request_that_was_cancelled_stands_for_nobody() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.outputs("c1")
    talk.ask("a")
    talk.say(m.ResponseCancel())
    assert talk.ask("b") == ()
    talk.created("r2", request="a")
    assert asked(talk.done("r2", "cancelled")) == ["b"]


def test_a_cancel_before_the_id_comes_back_from_a_snapshot() -> None:
    talk = Talk()
    talk.ask("a")
    talk.say(m.ResponseCancel(event_id="c"))
    talk = talk.restored()
    talk.error("response_cancel_not_active", "c")
    assert sent_types(talk.restored().created("r1", request="a")) == ["response.cancel"]


# -- responses that come late ------------------------------------------------------------------------------------------


def too_late(talk: Talk, name: str = "a") -> Talk:
    """A request that timed out."""
    talk.ask(name)
    assert outcomes(talk.tick()) == {name: TimedOut()}
    return talk


def test_a_late_response_is_adopted_it_is_heard_and_no_second_outcome() -> None:
    talk = too_late(Talk())
    assert sent(talk.created("r1", request="a")) == []
    assert talk.client.responses["r1"].event_id == "a"
    assert not hears_nothing(talk)
    assert outcomes(talk.done("r1")) == {}


def test_a_late_response_holds_the_place() -> None:
    talk = too_late(Talk())
    talk.created("r1", request="a")
    assert talk.ask("b") == ()
    assert asked(talk.done("r1")) == ["b"]


def test_a_late_response_is_cancelled_at_once_and_not_heard_if_policy_says_so() -> None:
    talk = too_late(talk_with(late="cancel"))
    (cancel,) = sent(talk.created("r1", request="a"))
    assert (cancel["type"], cancel["response_id"]) == ("response.cancel", "r1")
    assert hears_nothing(talk)
    assert outcomes(talk.done("r1", "cancelled")) == {}


def test_a_response_of_somebody_else_is_not_taken_for_a_late_one() -> None:
    talk = too_late(talk_with(late="cancel"))
    assert sent(voice(talk, "vad")) == []
    assert sent_types(talk.created("r1", request="a", conversation_id=None)) == ["response.cancel"]


def test_without_tags_no_response_is_taken_for_a_late_one() -> None:
    talk = too_late(talk_with(late="cancel", tag_requests=False))
    assert sent(talk.created("r1")) == []


def test_a_late_response_of_a_request_that_was_cancelled_is_never_adopted() -> None:
    talk = Talk()
    talk.ask("a")
    talk.say(m.ResponseCancel())
    assert outcomes(talk.tick()) == {"a": TimedOut()}
    assert sent_types(talk.created("r1", request="a")) == ["response.cancel"]


def test_a_late_response_that_is_over_already_is_not_cancelled() -> None:
    talk = too_late(talk_with(late="cancel"))
    actions = talk.done("r1", metadata={TAG: "a"})
    assert (sent(actions), outcomes(actions)) == ([], {})


def test_a_late_error_settles_nobody() -> None:
    talk = too_late(Talk())
    talk.ask("b")
    assert outcomes(talk.error("server_error", "a")) == {}
    assert talk.client.arbiter.late == []


@pytest.mark.parametrize("wished", [False, True], ids=["late", "unwanted"])
def test_a_late_request_is_over_with_its_error_or_with_its_socket(wished: bool) -> None:
    for ends in (lambda talk: talk.error("server_error", "a"), Talk.lose_socket):
        talk = Talk()
        talk.ask("a")
        if wished:
            talk.say(m.ResponseCancel())
        talk.tick()
        (request,) = talk.client.arbiter.late
        assert request.state == ("unwanted" if wished else "late")
        ends(talk)
        assert (request.state, talk.client.arbiter.late) == ("settled", [])


def test_of_the_late_requests_only_the_newest_are_remembered() -> None:
    talk = Talk(limits=Limits(response_history=1))
    too_late(talk, "a")
    too_late(talk, "b")
    assert [request.event_id for request in talk.client.arbiter.late] == ["b"]


def test_late_requests_come_back_from_a_snapshot() -> None:
    talk = too_late(talk_with(late="cancel")).restored()
    assert sent_types(talk.created("r1", request="a")) == ["response.cancel"]


# -- ends that were never announced, or come twice ---------------------------------------------------------------------


def test_a_done_without_a_created_ends_the_request_that_it_echoes() -> None:
    talk = Talk()
    talk.ask("a")
    actions = talk.done("r1", metadata={TAG: "a"})
    assert outcomes(actions) == {"a": Finished("r1", "completed", None)}
    assert rules(actions) == ["R-R1"]
    assert talk.client.responses["r1"].event_id == "a"
    assert talk.client.deadline is None


def _haunted() -> Talk:
    """Something came of a response that nobody announced."""
    talk = Talk()
    talk.hear("response.output_item.added", response_id="ghost", output_index=0, item=spoken("i"))
    return talk


def test_a_response_that_was_never_announced_is_waited_for_until_the_deadline() -> None:
    """R-Q5"""
    talk = _haunted()
    assert sent_types(talk.ask("a")) == []
    assert sent_types(talk.tick()) == ["response.create"]
    assert talk.now == Talk().client.config.arbiter.request_timeout_ns


def test_what_was_waited_for_in_vain_holds_the_place_no_more() -> None:
    """R-Q5"""
    talk = _haunted()
    talk.ask("a")
    talk.tick()
    again = talk.restored()
    for each in (talk, again):
        assert rules(each.created("r1", request="a")) == []
        each.done("r1")
        assert sent_types(each.ask("b")) == ["response.create"]


def test_a_response_that_was_announced_is_waited_for_although_another_was_not() -> None:
    talk = _haunted()
    talk.created("r1")
    assert sent_types(talk.ask("a")) == []
    assert talk.client.deadline is None


def test_a_response_that_was_never_announced_ends_the_request_that_its_done_echoes() -> None:
    talk = Talk()
    talk.ask("a")
    talk.generates("r1", said("i1", role="assistant"))
    assert outcomes(talk.done("r1", metadata={TAG: "a"})) == {"a": Finished("r1", "completed", None)}
    assert talk.client.responses["r1"].event_id == "a"


def test_a_done_without_a_created_that_echoes_nobody_ends_no_request() -> None:
    talk = Talk()
    talk.ask("a")
    talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    assert outcomes(talk.done("r1", metadata=None)) == {}


def test_a_second_done_ends_nothing_again() -> None:
    talk = talk_with(merge_tool_outputs=False)
    talk.ask("a")
    talk.created("r1", request="a")
    talk.done("r1", metadata={TAG: "a"})
    talk.ask("b")
    talk.created("r2", request="b")
    actions = talk.done("r1", metadata={TAG: "a"})
    assert outcomes(actions) == {}
    assert talk.client.default_response is talk.client.responses["r2"]


def test_a_second_created_answers_nobody_again() -> None:
    talk = talk_with(tag_requests=False, on_active="send")
    talk.ask("a")
    talk.ask("b")
    talk.created("r1")
    assert rules(talk.created("r1")) == ["R-R1"]
    assert [request.event_id for request in talk.client.arbiter.sent] == ["b"]


def test_a_request_whose_response_was_one_too_many_is_dropped() -> None:
    talk = Talk(limits=Limits(open_responses=2))
    talk.ask("a")
    talk.created("r1", request="a")
    talk.created("r2", conversation_id=None, metadata=None)
    assert outcomes(talk.created("r3", conversation_id=None, metadata=None)) == {"a": Dropped("forgotten")}


def test_responses_out_of_band_end_in_any_order() -> None:
    talk = Talk()
    names = [f"aside{number}" for number in range(5)]
    for name in names:
        talk.ask(name, conversation="none")
    talk.ask("a")
    for name in (*reversed(names), "a"):
        talk.created(f"r_{name}", request=name, conversation_id="conv" if name == "a" else None)
    for name in ("a", *names):
        settled = outcomes(talk.done(f"r_{name}", conversation_id="conv" if name == "a" else None))
        assert settled == {name: Finished(f"r_{name}", "completed", None)}


# -- names, bounds, gaps -----------------------------------------------------------------------------------------------


def test_two_requests_without_an_outcome_do_not_share_a_name() -> None:
    talk = busy(Talk())
    talk.ask("a", instructions="x")
    error = talk.refused(m.ResponseCreate(event_id="a"))
    assert (error.rule, error.overridable) == ("R-Q6", False)
    talk.client.interrupt(0)
    assert talk.ask("a") == ()


def test_two_requests_that_wait_for_a_socket_do_not_share_a_name() -> None:
    talk = Talk(begun=False)
    talk.ask("a")
    assert talk.refused(m.ResponseCreate(event_id="a")).rule == "R-Q6"


def test_requests_that_wait_for_a_socket_are_bounded_as_the_queue_is() -> None:
    talk = Talk(begun=False, arbiter=ArbiterPolicy(queue_limit=2))
    talk.ask("a")
    talk.ask("b")
    assert talk.refused(m.ResponseCreate(event_id="c")).rule == "R-N2"


def test_what_waits_for_a_socket_counts_with_what_is_held_back() -> None:
    talk = busy(talk_with(queue_limit=3))
    for name in ("a", "b", "c"):
        talk.ask(name, instructions=name)
    assert (
        talk.refused(m.ResponseCreate(event_id="d", response=m.ResponseCreateParams(instructions="d"))).rule == "R-N2"
    )


def test_a_full_queue_refuses_neither_what_merges_nor_what_goes_out_of_band() -> None:
    talk = busy(talk_with(queue_limit=1))
    talk.ask("a")
    assert outcomes(talk.ask("b")) == {"b": Merged("a")}
    assert asked(talk.ask("c", conversation="none")) == ["c"]


def test_what_waits_for_outputs_goes_out_without_them_at_its_deadline() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    talk.now = 5 * MS
    assert talk.ask("a") == ()
    assert talk.client.deadline == 5 * MS + TIMEOUT
    assert asked(talk.restored().tick()) == ["a"]


def test_the_deadline_of_what_waits_for_outputs_ends_with_the_wait() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    talk.ask("a")
    voice(talk, "vad")
    assert talk.client.deadline is None


def test_a_command_that_says_nothing_does_not_come_between_an_output_and_its_request() -> None:
    talk = Talk()
    talk.calls("r1", "c1", "c2")
    talk.outputs("c1")
    talk.say(m.SessionUpdate(session=m.RealtimeSession()))
    assert talk.ask("a") == ()


# -- calls of responses that were cut short ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_after_a_response_that_was_cut_short_no_reply_waits_for_the_outputs_of_its_calls(status: str) -> None:
    talk = Talk()
    talk.created("r1")
    for name in ("c1", "c2"):
        talk.generates("r1", {**call(name), "arguments": ""})
        talk.finishes("r1", call(name))
    talk.done("r1", status, output=[{**call(name), "status": "completed"} for name in ("c1", "c2")])
    talk.outputs("c1")  # it is in the conversation, and may be answered
    assert asked(talk.ask("a")) == ["a"]


def test_after_a_response_of_an_unheard_of_status_outputs_are_waited_for() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1", "exhausted", output=[{**call(name), "status": "completed"} for name in ("c1", "c2")])
    talk.outputs("c1")
    assert talk.ask("a") == ()
