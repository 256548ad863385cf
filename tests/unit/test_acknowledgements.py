"""`antiphon.engine.acknowledgements`: which command an answer, or an error, belongs to."""

from __future__ import annotations

import pytest

from antiphon import Limits
from antiphon import messages as m
from antiphon.engine.acknowledgements import shape_of
from unit.engine_helpers import Talk, call, message, rules, said, spoken


def unanswered(talk: Talk) -> list[str]:
    """The event ids of the commands that have no answer."""
    return [pending.event_id for pending in talk.client.acknowledgements.unanswered()]


def update(event_id: str) -> m.SessionUpdate:
    return m.SessionUpdate(event_id=event_id, session=m.RealtimeSession(instructions="Be brief."))


def create(event_id: str, item_id: str | None = None, *, role: str = "user") -> m.ConversationItemCreate:
    return m.ConversationItemCreate(event_id=event_id, item=message(item_id, role=role).item)


def delete(event_id: str, item_id: str) -> m.ConversationItemDelete:
    return m.ConversationItemDelete(event_id=event_id, item_id=item_id)


def with_items(*item_ids: str) -> Talk:
    """A talk that has these items of the user, all answered."""
    talk = Talk()
    previous = None
    for item_id in item_ids:
        talk.say(message(item_id))
        talk.adds(said(item_id), previous=previous)
        previous = item_id
    assert unanswered(talk) == []
    return talk


# -- an answer for each command ----------------------------------------------------------------------------------------


def test_an_update_is_answered_by_updated() -> None:
    talk = Talk()
    talk.say(update("u"))
    assert unanswered(talk) == ["u"]
    assert rules(talk.hear("session.updated", session={"type": "realtime"})) == []
    assert unanswered(talk) == []


def test_an_unanswered_command_does_not_show_what_it_says() -> None:
    talk = Talk()
    talk.say(create("c", "a"))
    (pending,) = talk.client.unanswered
    assert "hello" in pending.text
    assert repr(pending) == f"Pending(sequence={pending.sequence}, event_id='c', type='{create('c').type}', key='a')"


def test_a_commit_is_answered_by_committed() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    talk.say(m.InputAudioBufferCommit(event_id="c"))
    assert unanswered(talk) == ["c"]
    assert rules(talk.hear("input_audio_buffer.committed", item_id="a", previous_item_id=None)) == []
    assert unanswered(talk) == []


def test_a_clear_is_answered_by_cleared() -> None:
    talk = Talk()
    talk.say(m.InputAudioBufferClear(event_id="c"))
    assert unanswered(talk) == ["c"]
    assert rules(talk.hear("input_audio_buffer.cleared")) == []
    assert unanswered(talk) == []


def test_an_item_is_answered_by_added() -> None:
    talk = Talk()
    talk.say(create("c", "m1"))
    assert unanswered(talk) == ["c"]
    assert rules(talk.adds(said("m1"))) == []
    assert unanswered(talk) == []


def test_deletes_truncates_and_retrieves_are_answered_by_the_item_that_they_name() -> None:
    talk = with_items("m1", "m2")
    talk.say(m.ConversationItemRetrieve(event_id="r1", item_id="m1"))
    talk.say(m.ConversationItemRetrieve(event_id="r2", item_id="m2"))
    talk.say(delete("d1", "m1"))
    talk.say(delete("d2", "m2"))
    assert rules(talk.hear("conversation.item.retrieved", item=said("m1"))) == []
    assert unanswered(talk) == ["r2", "d1", "d2"]
    assert rules(talk.hear("conversation.item.retrieved", item=said("m2"))) == []
    assert rules(talk.hear("conversation.item.deleted", item_id="m1")) == []
    assert unanswered(talk) == ["d2"]


def test_an_append_and_a_cancel_expect_no_answer() -> None:
    talk = Talk()
    talk.created("r1")
    talk.say(m.InputAudioBufferAppend(audio="AAAAAAAA"))
    talk.say(m.ResponseCancel())
    assert unanswered(talk) == []


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ("session.updated", {"session": {"type": "realtime"}}),
        ("input_audio_buffer.committed", {"item_id": "a"}),
        ("input_audio_buffer.cleared", {}),
        ("conversation.item.deleted", {"item_id": "m1"}),
        ("conversation.item.retrieved", {"item": said("m1")}),
    ],
)
def test_an_answer_to_nothing_is_reported(answer: str, fields: dict[str, object]) -> None:
    talk = with_items("m1")
    assert len(rules(talk.hear(answer, **fields))) == 1


# -- items without an id of ours ---------------------------------------------------------------------------------------


def test_an_item_whose_id_the_server_chose_is_known_by_its_shape() -> None:
    talk = Talk()
    talk.say(create("u"))
    talk.say(create("s", role="system"))
    talk.adds(said("x", role="system"))
    assert unanswered(talk) == []
    assert talk.client.reports == {("R-A1", "conversation.item.added"): 1}


def test_an_item_of_another_shape_does_not_answer() -> None:
    talk = Talk()
    talk.say(create("u"))
    talk.adds(said("x", role="system"))
    assert unanswered(talk) == ["u"]


def test_an_item_with_another_id_than_ours_does_not_answer() -> None:
    talk = Talk()
    talk.say(create("u", "m1"))
    assert rules(talk.adds(said("x"), previous=None)) == ["R-A1"]
    assert unanswered(talk) == ["u"]


def test_a_command_that_named_the_id_is_answered_before_one_that_left_it_to_the_server() -> None:
    talk = Talk()
    talk.say(create("unnamed"))
    talk.say(create("named", "m1"))
    assert rules(talk.adds(said("m1"))) == ["R-A1"]
    assert unanswered(talk) == []


def test_an_item_that_the_model_generates_answers_no_command() -> None:
    talk = Talk()
    talk.say(create("a", role="assistant"))
    talk.speaks("r1", "i1", 100)
    assert unanswered(talk) == ["a"]


@pytest.mark.parametrize(
    ("item", "shape"),
    [
        (m.MessageItem(role="user", content=[]), "message/user"),
        (m.FunctionCallItem(name="f", arguments=""), "function_call"),
        (m.FunctionCallOutputItem(call_id="c", output=""), "function_call_output"),
    ],
)
def test_the_shape_of_an_item_is_its_type_and_the_role_of_a_message(item: m.Item, shape: str) -> None:
    assert shape_of(item) == shape


# -- what an answer says about earlier commands ------------------------------------------------------------------------


def test_an_answer_to_a_later_command_of_the_kind_means_that_the_earlier_stays_unanswered() -> None:
    talk = with_items("m1", "m2")
    talk.say(delete("d1", "m1"))
    talk.say(delete("d2", "m2"))
    assert rules(talk.hear("conversation.item.deleted", item_id="m2")) == ["R-A1"]
    assert unanswered(talk) == []


def test_an_update_is_answered_before_anything_that_was_sent_after_it() -> None:
    talk = Talk()
    talk.say(update("u"))
    talk.say(create("c", "m1"))
    assert rules(talk.adds(said("m1"))) == ["R-A1"]
    assert unanswered(talk) == []


def test_an_item_is_answered_before_the_response_that_was_asked_for_after_it() -> None:
    talk = Talk()
    talk.say(create("c", "m1"))
    talk.ask("a")
    assert rules(talk.created("r1", request="a")) == ["R-A1"]
    assert unanswered(talk) == []


def test_commands_of_other_kinds_may_be_answered_in_any_order() -> None:
    talk = with_items("m1")
    talk.say(create("c", "m2"))
    talk.say(delete("d", "m1"))
    assert rules(talk.hear("conversation.item.deleted", item_id="m1")) == []
    assert unanswered(talk) == ["c"]


def test_an_answer_says_nothing_about_later_commands() -> None:
    talk = with_items("m1", "m2")
    talk.say(delete("d1", "m1"))
    talk.say(delete("d2", "m2"))
    assert rules(talk.hear("conversation.item.deleted", item_id="m1")) == []
    assert unanswered(talk) == ["d2"]


def test_a_function_s_output_may_be_answered_later_than_what_followed_it() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    output = m.FunctionCallOutputItem(id="o1", call_id="c1", output="12")
    talk.say(m.ConversationItemCreate(event_id="o", item=output))
    talk.say(create("c", "m1"))
    assert rules(talk.adds(said("m1"), previous="item_c1")) == []
    assert unanswered(talk) == ["o"]


# -- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_ends_the_wait_for_the_command_that_it_names() -> None:
    talk = Talk()
    talk.say(create("c1", "m1"))
    talk.say(create("c2", "m2"))
    talk.error("invalid_value", "c2")
    assert unanswered(talk) == ["c1"]


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("item_delete_invalid_item_id", ["u", "r", "c"]),
        ("item_retrieve_invalid_item_id", ["u", "d", "c"]),
        ("cannot_update_voice", ["d", "r", "c"]),
        ("invalid_tool_call_id", ["u", "d", "r"]),
        ("unheard_of", ["u", "d", "r", "c"]),
        (None, ["u", "d", "r", "c"]),
    ],
)
def test_an_error_without_an_id_ends_the_wait_for_the_oldest_command_that_its_code_fits(
    code: str | None, left: list[str]
) -> None:
    talk = with_items("m1")
    talk.say(update("u"))
    talk.say(m.ConversationItemRetrieve(event_id="r", item_id="m1"))
    talk.say(delete("d", "m1"))
    talk.say(create("c", "m2"))
    talk.error(code)
    assert sorted(unanswered(talk)) == sorted(left)


@pytest.mark.parametrize("code", ["item_truncate_invalid_item_id", "integer_below_min_value"])
def test_the_errors_of_a_truncation_without_an_id_belong_to_the_oldest_of_them(code: str) -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 200)
    for event_id in ("t1", "t2"):
        talk.say(m.ConversationItemTruncate(event_id=event_id, item_id="i1", content_index=0, audio_end_ms=50))
    talk.error(code)
    assert unanswered(talk) == ["t2"]


def test_the_error_of_an_empty_commit_belongs_to_the_oldest_commit() -> None:
    talk = Talk()
    for event_id in ("c1", "c2"):
        talk.say(m.InputAudioBufferCommit(event_id=event_id), override={"R-I3"})
    talk.error("input_audio_buffer_commit_empty")
    assert unanswered(talk) == ["c2"]


def test_an_error_that_names_no_command_of_ours_changes_nothing() -> None:
    talk = Talk()
    talk.say(create("c1", "m1"))
    before = talk.client.snapshot(0)
    talk.error("invalid_tool_call_id", "somebody")
    assert talk.client.snapshot(0) == before


# -- bounds, ends ------------------------------------------------------------------------------------------------------


def test_beyond_the_bound_the_oldest_command_is_forgotten() -> None:
    talk = Talk(limits=Limits(pending_commands=2))
    for name in ("a", "b", "c"):
        talk.say(create(name, name))
    assert unanswered(talk) == ["b", "c"]


def test_nothing_is_unanswered_after_the_socket_is_gone() -> None:
    talk = Talk()
    talk.say(create("a", "m1"))
    talk.lose_socket()
    assert unanswered(talk) == []


def test_unanswered_commands_and_their_order_come_back_from_a_snapshot() -> None:
    talk = Talk()
    talk.say(create("a", "m1"))
    talk.say(create("b"))
    talk = talk.restored()
    assert unanswered(talk) == ["a", "b"]
    talk.say(create("c", "m3"))
    assert rules(talk.adds(said("m3"))) == ["R-A1"]
    assert unanswered(talk) == []


# -- where an item that asked for the front is put ---------------------------------------------------------------------


def test_an_item_without_a_predecessor_goes_to_the_front_only_if_it_asked_for_that() -> None:
    talk = with_items("m1")
    talk.say(m.ConversationItemCreate(item=message("m2").item, previous_item_id="root"))
    talk.adds(said("m2"), previous=None)
    talk.say(create("c", "m3"))
    talk.adds(said("m3"), previous=None)
    assert [node.id for node in talk.client.conversation] == ["m2", "m1", "m3"]


def test_audio_that_was_committed_is_not_taken_for_a_message_of_ours() -> None:
    talk = Talk()
    talk.say(create("c"))
    talk.hear("input_audio_buffer.speech_started", item_id="a", audio_start_ms=0)
    talk.hear("input_audio_buffer.speech_stopped", item_id="a", audio_end_ms=900)
    talk.hear("input_audio_buffer.committed", item_id="a", previous_item_id=None)
    audio = {"id": "a", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
    assert rules(talk.adds(audio)) == []
    assert unanswered(talk) == ["c"]


def test_a_call_of_ours_is_answered_as_any_item() -> None:
    talk = Talk()
    item = m.FunctionCallItem(id="item_c1", name="f", call_id="c1", arguments="{}")
    talk.say(m.ConversationItemCreate(event_id="c", item=item))
    assert rules(talk.adds(call("c1"))) == []
    assert unanswered(talk) == []


def test_a_second_item_under_an_id_answers_the_command_that_made_it() -> None:
    talk = with_items("m1")
    talk.say(create("c", "m1"))
    assert rules(talk.adds(said("m1"), previous="m1")) != []
    assert unanswered(talk) == []


def test_a_spoken_item_that_nobody_generates_or_asked_for_is_reported() -> None:
    assert rules(Talk().adds(spoken("i1", "hello"))) == ["R-A1"]


# -- errors that name nobody -------------------------------------------------------------------------------------------


def test_an_error_that_names_nobody_and_fits_nobody_may_be_the_answer_of_what_is_overtaken() -> None:
    talk = Talk()
    for name in ("m1", "m2", "m3"):
        talk.say(create(f"c_{name}", name))
    talk.error(None)
    talk = talk.restored()
    assert rules(talk.adds(said("m2"))) == []  # m1 was refused
    assert unanswered(talk) == ["c_m3"]


def test_one_such_error_is_the_answer_of_one_command() -> None:
    talk = Talk()
    for name in ("m1", "m2", "m3"):
        talk.say(create(f"c_{name}", name))
    talk.error("server_error")
    assert rules(talk.adds(said("m3"))) == ["R-A1"]


def test_such_an_error_is_forgotten_with_the_last_command_that_it_may_have_answered() -> None:
    talk = Talk()
    talk.say(create("c_m1", "m1"))
    talk.error(None)
    talk.error(None)
    assert rules(talk.adds(said("m1"))) == []
    talk.say(create("c_m2", "m2"))
    talk.say(create("c_m3", "m3"))
    assert rules(talk.adds(said("m3"), previous="m1")) == ["R-A1"]


@pytest.mark.parametrize("code", ["response_cancel_not_active", "conversation_already_has_active_response"])
def test_an_error_that_tells_its_kind_is_no_excuse_for_another(code: str) -> None:
    talk = Talk()
    talk.say(create("c_m1", "m1"))
    talk.say(create("c_m2", "m2"))
    talk.error(code)
    assert rules(talk.adds(said("m2"))) == ["R-A1"]


@pytest.mark.parametrize(
    ("code", "param", "left"),
    [
        ("invalid_value", "session.audio.output.voice", ["t", "c"]),
        ("invalid_type", "audio_end_ms", ["u", "c"]),
        ("unsupported_content_type", None, ["u", "c"]),
        ("item_already_truncated", None, ["u", "c"]),
        ("string_above_max_length", "item.id", ["u", "t"]),
        ("invalid_value", "item.content[0].type", ["u", "t"]),
        ("item_create_invalid_previous_item_id", "previous_item_id", ["u", "t"]),
        ("missing_required_parameter", "item_id", ["u", "t", "c"]),
    ],
)
def test_an_error_without_an_id_is_told_by_its_parameter(code: str, param: str | None, left: list[str]) -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 200)
    talk.say(update("u"))
    talk.say(m.ConversationItemTruncate(event_id="t", item_id="i1", content_index=0, audio_end_ms=50))
    talk.say(create("c", "m2"))
    error = {"type": "invalid_request_error", "code": code, "message": "no", "param": param, "event_id": None}
    talk.hear("error", error=error)
    assert sorted(unanswered(talk)) == sorted(left)
