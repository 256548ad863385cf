"""`antiphon.engine.conversation`: the order of the items, what each of them says, and what of it was heard."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from antiphon.engine.codec import item_from_builtins
from antiphon.engine.conversation import (
    ROOT,
    STREAM_CHARGE,
    Conversation,
    ConversationState,
    Cut,
    Misplaced,
    Node,
    Taken,
    heard_prefix,
)
from antiphon.engine.conversation.items import OBJECT_CHARGE
from antiphon.engine.records import STREAM_OF_ARGUMENTS
from antiphon.messages import (
    AudioPart,
    Content,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputText,
    Item,
    McpCallItem,
    MessageItem,
    OutputAudio,
    OutputText,
    UnknownContent,
    UnknownItem,
)
from bench.timing import python_calls
from shared_data import ABSENT, SHARED

TRAFFIC = SHARED / "traffic"


def user(id: str, text: str = "") -> MessageItem:
    return MessageItem(id=id, role="user", status="completed", content=[InputText(text=text)])


def spoken(id: str, transcript: str | None = None) -> MessageItem:
    """A committed utterance of the user."""
    content: list[Content] = [InputAudio(transcript=transcript)]
    return MessageItem(id=id, role="user", status="completed", content=content)


def assistant(id: str, *content: Content, status: str = "in_progress") -> MessageItem:
    return MessageItem(id=id, role="assistant", status=status, content=list(content))


def make(*ids: str, max_waiting: int = 256, max_tombstones: int = 1024, max_early: int = 256) -> Conversation:
    """A conversation in which ``ids`` follow each other."""
    conversation = Conversation(max_waiting=max_waiting, max_tombstones=max_tombstones, max_early=max_early)
    for id in ids:
        last = conversation.last
        conversation.add(user(id), None if last is None else last.id)
    return conversation


def order(conversation: Conversation) -> str:
    """The ids in order, as one word where they are letters."""
    return "".join(node.id for node in conversation.items)


def node(conversation: Conversation, id: str) -> Node:
    found = conversation.get(id)
    assert found is not None
    return found


# --- position ---------------------------------------------------------------------------------------------------------


def test_an_item_stands_directly_behind_its_predecessor() -> None:
    conversation = make("a", "b", "c")
    conversation.add(user("x"), "a")
    assert order(conversation) == "axbc"


@pytest.mark.parametrize("absent", [None, UNSET, ""])
def test_without_a_predecessor_an_item_stands_at_the_front(absent: str | None) -> None:
    conversation = make("a", "b")
    conversation.add(user("x"), absent)
    assert order(conversation) == "xab"


def test_a_clone_that_never_names_a_predecessor_appends() -> None:
    conversation = Conversation()
    for id in "abc":
        assert conversation.add(user(id), None, clone=True).problem is None
    assert order(conversation) == "abc"


def test_done_never_moves_an_item() -> None:
    conversation = make("a", "b")
    conversation.done(user("b", "changed"))
    assert order(conversation) == "ab"


def test_an_item_of_an_unknown_predecessor_is_shown_at_the_end_at_once() -> None:
    conversation = make("a")
    placement = conversation.add(user("x"), "z")
    assert placement.problem is Misplaced.UNKNOWN_PREDECESSOR
    assert order(conversation) == "ax"


def test_an_item_moves_when_its_predecessor_comes() -> None:
    conversation = make("a")
    conversation.add(user("c"), "b")
    conversation.add(user("d"), "a")
    assert order(conversation) == "adc"
    conversation.add(user("b"), "a")
    assert order(conversation) == "abcd"


def test_what_stands_behind_a_waiting_item_moves_with_it() -> None:
    conversation = make("a")
    conversation.add(user("w"), "p")
    conversation.add(user("x"), "w")
    conversation.add(user("y"), "a")
    conversation.add(user("p"), "a")
    assert order(conversation) == "apwxy"


def test_what_was_merely_appended_later_does_not_move_with_a_waiting_item() -> None:
    conversation = make("a")
    conversation.add(user("w"), "p")
    conversation.add(user("z"), None, clone=True)
    conversation.add(user("p"), "z")
    assert order(conversation) == "azpw"


def test_items_that_wait_for_the_same_predecessor_end_as_if_it_had_come_first() -> None:
    late, early = make("a"), make("a", "p")
    for conversation in (late, early):
        conversation.add(user("x"), "p")
        conversation.add(user("y"), "p")
    late.add(user("p"), "a")
    assert order(late) == order(early) == "apyx"


def test_a_chain_of_thousands_that_arrives_backwards_is_put_in_order() -> None:
    conversation = Conversation()
    count = 5_000  # beyond any recursion limit
    for number in reversed(range(1, count)):
        conversation.add(user(str(number)), str(number - 1))
    conversation.add(user("0"), None)
    assert [node.id for node in conversation.items] == [str(number) for number in range(count)]


def test_waiting_is_bounded_and_the_longest_waiting_stays_where_it_is() -> None:
    conversation = make("a", max_waiting=1)
    conversation.add(user("x"), "p")
    conversation.add(user("y"), "q")
    conversation.add(user("b"), "a")
    conversation.add(user("p"), "a")
    conversation.add(user("q"), "a")
    assert order(conversation) == "aqypbx"


def test_the_ends_are_right_after_a_move() -> None:
    conversation = make()
    conversation.add(user("w"), "p")
    conversation.add(user("p"), None, clone=True)
    assert order(conversation) == "pw"
    assert (conversation.first, conversation.last) == (conversation.get("p"), conversation.get("w"))


def test_an_item_that_names_itself_is_appended() -> None:
    conversation = make("a", "b")
    assert conversation.add(user("x"), "x").problem is Misplaced.SELF
    assert order(conversation) == "abx"


def test_items_in_a_circle_stay_where_they_were_appended() -> None:
    conversation = make("a")
    conversation.add(user("x"), "z")
    conversation.add(user("y"), "x")
    assert conversation.add(user("z"), "y").problem is Misplaced.CYCLE
    assert order(conversation) == "axyz"


def test_after_a_circle_the_order_goes_on() -> None:
    conversation = make("a")
    conversation.add(user("x"), "y")
    conversation.add(user("y"), "x")
    conversation.add(user("b"), "y")
    conversation.add(user("c"), "a")
    assert order(conversation) == "acxyb"


def test_items_with_the_same_id_are_both_kept() -> None:
    conversation = make("a", "b")
    first = node(conversation, "a")
    placement = conversation.add(user("a", "again"), "b")
    assert placement.problem is Misplaced.DUPLICATE_ID
    assert list(conversation.items)[::2] == [first, placement.node]
    assert conversation.get("a") is placement.node


def test_a_second_item_of_an_id_that_names_itself_is_appended() -> None:
    conversation = make("a", "b")
    assert conversation.add(user("a"), "a").problem is Misplaced.DUPLICATE_ID
    assert order(conversation) == "aba"


def test_deleting_a_shared_id_takes_the_newest_and_the_older_answers_again() -> None:
    conversation = make("a", "b")
    older = node(conversation, "a")
    newer = conversation.add(user("a"), "b").node
    assert conversation.delete("a") is newer
    assert conversation.get("a") is older
    assert not conversation.is_deleted("a")


def test_an_item_without_an_id_has_a_place_but_no_name() -> None:
    conversation = make("a")
    conversation.add(UnknownItem(type="force_message", data={"type": "force_message"}), "a")
    assert [node.id for node in conversation.items] == ["a", ""]
    assert conversation.get("") is None


# --- the server's side ------------------------------------------------------------------------------------------------


def test_a_server_appends_without_a_predecessor() -> None:
    conversation = make("a", "b")
    placement = conversation.insert(user("c"))
    assert placement is not None
    assert (order(conversation), placement.node.previous_item_id) == ("abc", "b")


def test_a_server_inserts_at_the_front_behind_root() -> None:
    conversation = make("a", "b")
    placement = conversation.insert(user("c"), ROOT)
    assert placement is not None
    assert (order(conversation), placement.node.previous_item_id) == ("cab", None)


def test_a_server_inserts_behind_a_member() -> None:
    conversation = make("a", "b")
    placement = conversation.insert(user("c"), "a")
    assert placement is not None
    assert (order(conversation), placement.node.previous_item_id) == ("acb", "a")


@pytest.mark.parametrize("predecessor", ["never", "gone"])
def test_a_server_refuses_a_predecessor_that_is_no_member(predecessor: str) -> None:
    conversation = make("a", "gone")
    conversation.delete("gone")
    before = conversation.dump()
    assert conversation.insert(user("c"), predecessor) is None
    assert conversation.dump() == before


def test_a_server_accepts_an_id_that_exists() -> None:
    conversation = make("a", "b")
    placement = conversation.insert(user("a"), "a")
    assert placement is not None
    assert placement.problem is Misplaced.DUPLICATE_ID
    assert order(conversation) == "aab"


# --- deletion and limits ----------------------------------------------------------------------------------------------


def test_a_deleted_item_is_gone_and_remembered() -> None:
    conversation = make("a", "b", "c")
    gone = node(conversation, "b")
    assert conversation.delete("b") is gone
    assert order(conversation) == "ac"
    assert conversation.get("b") is None
    assert conversation.is_deleted("b")
    assert not gone.linked


EVENTS: dict[str, Callable[[Conversation, str], object]] = {
    "text delta": lambda conversation, id: conversation.text_delta(id, 0, "x"),
    "text done": lambda conversation, id: conversation.text_done(id, 0, "x"),
    "transcription delta": lambda conversation, id: conversation.transcription_delta(id, 0, "x"),
    "transcription updated": lambda conversation, id: conversation.transcription_updated(id, 0, "x"),
    "transcription completed": lambda conversation, id: conversation.transcription_completed(id, 0, "x"),
    "transcription failed": lambda conversation, id: conversation.transcription_failed(id, 0, "x"),
    "done": lambda conversation, id: conversation.done(user(id, "x")),
    "retrieved": lambda conversation, id: conversation.retrieved(user(id, "x")),
}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_for_a_deleted_item_is_recognised_and_changes_nothing(event: str) -> None:
    conversation = make("a", "b")
    conversation.delete("b")
    before = conversation.dump()
    assert EVENTS[event](conversation, "b") is Taken.DELETED
    assert conversation.dump() == before


def test_a_transcription_of_a_deleted_item_is_kept_nowhere() -> None:
    conversation = make("a")
    conversation.delete("a")
    before = conversation.dump()
    conversation.transcription("a", 0).append("late")
    assert conversation.dump() == before


def test_an_item_behind_a_deleted_one_goes_where_that_was() -> None:
    conversation = make("a", "b", "c")
    conversation.delete("b")
    conversation.add(user("x"), "b")
    assert order(conversation) == "axc"


@pytest.mark.parametrize(("gone", "expected"), [("a", "xbc"), ("c", "abx"), ("abc", "x")])
def test_a_deleted_item_marks_its_place_at_the_ends_too(gone: str, expected: str) -> None:
    conversation = make("a", "b", "c")
    for id in gone:
        conversation.delete(id)
    conversation.add(user("x"), gone[-1])
    assert order(conversation) == expected
    assert (conversation.first, conversation.last) == (conversation.items[0], conversation.items[-1])


def test_a_deleted_item_that_waited_still_moves_what_stood_behind_it() -> None:
    conversation = make("a")
    conversation.add(user("w"), "p")
    conversation.add(user("x"), "w")
    conversation.delete("w")
    conversation.add(user("b"), "a")
    conversation.add(user("p"), "a")
    assert order(conversation) == "apxb"


def test_a_waiting_stretch_whose_end_was_deleted_moves_whole() -> None:
    conversation = make("a")
    conversation.add(user("w"), "p")
    conversation.add(user("x"), "w")
    conversation.delete("x")
    conversation.add(user("b"), "a")
    conversation.add(user("y"), "x")
    conversation.add(user("p"), "a")
    assert order(conversation) == "apwyb"


@pytest.mark.parametrize(("gone", "expected"), [("w", "apxyb"), ("y", "apwxb")])
def test_a_waiting_stretch_of_which_an_end_was_forgotten_moves_whole(gone: str, expected: str) -> None:
    conversation = make("a", "z", max_tombstones=1)
    for id, predecessor in ("wp", "xw", "yx"):
        conversation.add(user(id), predecessor)
    conversation.delete(gone)
    conversation.delete("z")  # the tombstone of the other goes
    conversation.add(user("b"), "a")
    conversation.add(user("p"), "a")
    assert order(conversation) == expected


def test_a_waiting_item_that_is_forgotten_waits_no_longer() -> None:
    conversation = make("a", "z", max_tombstones=1)
    conversation.add(user("w"), "p")
    conversation.delete("w")
    conversation.delete("z")
    assert conversation.dump().waits_for == []


def test_nothing_waits_for_an_item_that_was_deleted_before_it_came() -> None:
    conversation = make("a")
    conversation.add(user("w"), "p")
    conversation.add(user("b"), "a")
    conversation.delete("p")
    conversation.add(user("p"), "a")
    assert order(conversation) == "apbw"


def test_the_view_is_right_after_a_deletion_in_the_middle() -> None:
    conversation = make("a", "b", "c")
    assert order(conversation) == "abc"
    conversation.delete("b")
    assert order(conversation) == "ac"


def test_the_view_is_right_after_the_only_item_was_deleted() -> None:
    conversation = make("a")
    assert order(conversation) == "a"
    conversation.delete("a")
    assert order(conversation) == ""


def test_an_older_item_of_a_shared_id_that_was_evicted_does_not_answer_again() -> None:
    conversation = Conversation(max_items=2)
    for id in "aba":
        conversation.add(user(id), None, clone=True)
    conversation.trim()
    assert not conversation.is_deleted("a")
    conversation.delete("a")
    assert conversation.get("a") is None


def test_tombstones_are_bounded_and_the_oldest_is_forgotten() -> None:
    conversation = make("a", "b", "c", max_tombstones=1)
    conversation.delete("a")
    conversation.delete("b")
    assert [conversation.is_deleted(id) for id in "abc"] == [False, True, False]


def test_an_id_that_was_deleted_can_be_created_again() -> None:
    conversation = make("a", "b", "c")
    conversation.delete("b")
    assert conversation.add(user("b", "edited"), "a").problem is None
    assert order(conversation) == "abc"
    assert not conversation.is_deleted("b")


def test_the_deletion_of_an_item_that_never_came_is_remembered() -> None:
    conversation = make("a")
    conversation.transcription_delta("z", 0, "early")
    assert conversation.delete("z") is None
    assert conversation.is_deleted("z")
    assert conversation.early("z") is None


def test_a_deletion_without_an_id_is_ignored() -> None:
    conversation = make("a")
    assert conversation.delete("") is None
    assert not conversation.is_deleted("")


def test_trim_evicts_the_oldest_items() -> None:
    conversation = Conversation(max_items=2)
    for id in "abcd":
        conversation.add(user(id), None, clone=True)
    assert [node.id for node in conversation.trim()] == ["a", "b"]
    assert order(conversation) == "cd"
    assert conversation.is_deleted("a")


def test_trim_evicts_until_the_text_fits() -> None:
    conversation = Conversation(max_text_bytes=3_000)
    for id in "abcd":
        conversation.add(user(id, "x" * 1_000), None, clone=True)
    assert [node.id for node in conversation.trim()] == ["a", "b"]
    assert conversation.text_bytes <= 3_000


def test_trim_within_the_limits_does_nothing() -> None:
    conversation = make("a", "b")
    assert conversation.trim() == []
    assert order(conversation) == "ab"


def test_text_counts_in_utf_8_bytes() -> None:
    conversation = make("a")
    before = conversation.text_bytes
    conversation.text_delta("a", 0, "é€")
    assert conversation.text_bytes - before == STREAM_CHARGE + 5


def test_all_strings_of_an_item_count() -> None:
    conversation = make()
    conversation.add(UnknownItem.of({"type": "x", "id": "a", "more": [{"key": "value"}]}))
    assert conversation.text_bytes == len("typexidamorekeyvalue") + OBJECT_CHARGE


def test_what_an_item_is_full_of_counts_although_it_says_nothing() -> None:
    conversation = make()
    conversation.add(MessageItem(id="a", role="user", content=[InputAudio()] * 100))
    assert conversation.text_bytes >= 100 * OBJECT_CHARGE


def test_the_text_of_a_deleted_item_counts_no_longer() -> None:
    conversation = make("a")
    conversation.text_delta("a", 0, "text")
    conversation.truncate("a", 0, 10, 20)
    conversation.transcription_failed("a", 1, "too quiet")
    conversation.delete("a")
    assert conversation.text_bytes == 0


def test_an_item_that_left_is_freed_without_the_cycle_collector() -> None:
    class State(str):
        """A string that can be watched; a `Node` cannot."""

    conversation = make("a", "b")
    state = State("added")
    gone = weakref.ref(state)
    node(conversation, "a").state = state
    del state
    gc.disable()
    try:
        conversation.delete("a")
        assert gone() is None
    finally:
        gc.enable()


# --- text -------------------------------------------------------------------------------------------------------------


def test_deltas_add_up_to_the_text() -> None:
    conversation = Conversation()
    conversation.add(assistant("a"), None, generated=True, response_id="r")
    for number in range(1_000):
        assert conversation.text_delta("a", 0, f"{number} ") is Taken.APPLIED
    assert node(conversation, "a").text == "".join(f"{number} " for number in range(1_000))


def test_reading_between_deltas_changes_nothing() -> None:
    conversation = make("a")
    read = ""
    for number in range(600):
        conversation.text_delta("a", 1, str(number))
        read = node(conversation, "a").text_at(1)
    assert read == "".join(map(str, range(600)))


def test_the_done_of_a_text_replaces_its_deltas() -> None:
    conversation = make("a")
    conversation.text_delta("a", 1, "Helo")
    conversation.text_done("a", 1, "Hello")
    assert node(conversation, "a").text == "Hello"


def test_a_delta_after_the_done_of_its_text_is_not_added() -> None:
    conversation = make("a")
    conversation.text_done("a", 1, "Hello")
    assert conversation.text_delta("a", 1, "Hello") is Taken.CLOSED
    assert node(conversation, "a").text == "Hello"


def test_the_done_of_an_item_replaces_what_streamed() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, "Helo")
    conversation.done(assistant("a", OutputAudio(transcript="Hello"), status="completed"))
    assert node(conversation, "a").text == "Hello"
    assert conversation.text_delta("a", 0, " again") is Taken.CLOSED
    assert conversation.text_done("a", 0, "again") is Taken.CLOSED


def test_the_done_of_an_item_that_says_nothing_keeps_what_streamed() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, "Hello")
    conversation.done(assistant("a", OutputAudio(transcript=None), status="completed"))
    assert node(conversation, "a").text == "Hello"


def test_what_an_earlier_announcement_said_is_not_lost() -> None:
    conversation = make()
    conversation.add(spoken("a", "Hello"))
    conversation.retrieved(spoken("a", None))
    assert node(conversation, "a").text == "Hello"


def test_an_item_that_is_retrieved_while_it_streams_does_not_disturb_the_stream() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, "Hel")
    conversation.retrieved(assistant("a", OutputText(text="H")))
    conversation.text_delta("a", 0, "lo")
    assert node(conversation, "a").text == "Hello"


def test_a_retrieved_item_corrects_a_text_that_is_final() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_done("a", 0, "Helo")
    conversation.retrieved(assistant("a", OutputText(text="Hello")))
    assert node(conversation, "a").text == "Hello"


def test_parts_that_interleave_keep_to_themselves() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.add(assistant("b"), "a")
    for id, index, delta in (("a", 0, "1"), ("b", 0, "x"), ("a", 1, "3"), ("a", 0, "2"), ("b", 0, "y")):
        conversation.text_delta(id, index, delta)
    assert [node.text for node in conversation.items] == ["12\n3", "xy"]


def test_the_text_of_a_call_is_its_arguments() -> None:
    conversation = make()
    conversation.add(FunctionCallItem(id="f", name="weather", call_id="c", arguments=""))
    conversation.text_delta("f", STREAM_OF_ARGUMENTS, '{"city":')
    assert node(conversation, "f").text == '{"city":'
    conversation.done(FunctionCallItem(id="f", name="weather", call_id="c", arguments='{"city": "Paris"}'))
    assert node(conversation, "f").text == '{"city": "Paris"}'


def test_the_text_of_an_output_is_the_output() -> None:
    conversation = make()
    conversation.add(FunctionCallOutputItem(id="o", call_id="c", output="sunny"))
    assert node(conversation, "o").text == "sunny"


def test_the_text_of_an_mcp_call_is_its_arguments_and_its_output() -> None:
    conversation = make()
    conversation.add(McpCallItem(id="m", server_label="s", name="n", arguments="{}", output="found"))
    assert node(conversation, "m").text == "{}\nfound"


def test_items_and_parts_of_unknown_type_say_what_they_hold() -> None:
    conversation = make()
    data = {"type": "force_message", "id": "u", "content": [{"type": "output_text", "text": "Welcome"}, 7]}
    conversation.add(UnknownItem.of(data))
    conversation.add(assistant("v", UnknownContent.of({"type": "sign", "transcript": "wave"})), "u")
    assert [node.text for node in conversation.items] == ["Welcome", "wave"]


# --- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "added", "done"),
    [
        (FunctionCallOutputItem(id="a", call_id="c", output=""), "in_progress", "completed"),
        (assistant("a", status="in_progress"), "in_progress", "completed"),
        (assistant("a", status="incomplete"), "incomplete", "incomplete"),
        (assistant("a", status="cancelled"), "in_progress", "completed"),
        (UnknownItem.of({"type": "x", "id": "a", "status": "incomplete"}), "incomplete", "incomplete"),
        (UnknownItem.of({"type": "x", "id": "a", "status": ["?"]}), "in_progress", "completed"),
    ],
)
def test_an_item_without_a_known_status_is_in_progress_until_it_is_done(item: Item, added: str, done: str) -> None:
    conversation = make()
    assert conversation.add(item).node.status == added
    conversation.done(item)
    assert node(conversation, "a").status == done


# --- transcriptions ---------------------------------------------------------------------------------------------------


def test_the_text_of_the_users_audio_is_its_transcription() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.transcription_delta("u", 0, "Hel")
    conversation.transcription_delta("u", 0, "lo")
    assert node(conversation, "u").text == "Hello"


def test_the_completed_transcript_replaces_the_deltas() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.transcription_delta("u", 0, "Helo")
    conversation.transcription_completed("u", 0, "Hello.")
    assert node(conversation, "u").text == "Hello."
    assert conversation.transcription_delta("u", 0, "!") is Taken.CLOSED
    assert conversation.transcription_updated("u", 0, "!") is Taken.CLOSED


def test_cumulative_updates_and_repeated_transcripts_replace_each_other() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.transcription_updated("u", 0, "Hel")
    conversation.transcription_updated("u", 0, "Hello")
    conversation.transcription_completed("u", 0, "Hello", final=False)
    conversation.transcription_updated("u", 0, "Hello there")
    conversation.transcription_completed("u", 0, "Hello there.")
    assert node(conversation, "u").text == "Hello there."


def test_transcripts_find_their_item_in_any_order() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.add(spoken("v"), "u")
    conversation.transcription_completed("v", 0, "second")
    conversation.transcription_completed("u", 0, "first")
    assert [node.text for node in conversation.items] == ["first", "second"]


def test_a_failed_transcription_keeps_its_reason_and_what_had_come() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.transcription_delta("u", 0, "Hm")
    conversation.transcription_failed("u", 0, "too quiet")
    assert node(conversation, "u").text == "Hm"
    assert node(conversation, "u").transcriptions[0].error == "too quiet"
    assert conversation.transcription_delta("u", 0, "?") is Taken.CLOSED


def test_a_failure_does_not_undo_a_completed_transcript() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.transcription_completed("u", 0, "Hello")
    assert conversation.transcription_failed("u", 0, "late") is Taken.CLOSED
    assert node(conversation, "u").transcriptions[0].error is None


def test_a_transcript_that_comes_after_a_failure_counts() -> None:
    conversation = make()
    conversation.add(spoken("u"))
    conversation.transcription_failed("u", 0, "too quiet")
    conversation.transcription_completed("u", 0, "Hello")
    assert node(conversation, "u").text == "Hello"
    assert node(conversation, "u").transcriptions[0].error is None


def test_the_state_of_a_transcription_is_found_again() -> None:
    conversation = make()
    conversation.transcription("u", 0).state = "streaming"
    conversation.add(spoken("u"))
    assert conversation.transcription("u", 0).state == "streaming"


# --- before the item --------------------------------------------------------------------------------------------------


def test_a_transcript_before_its_item_joins_it() -> None:
    conversation = make()
    assert conversation.transcription_delta("u", 0, "Hel") is Taken.EARLY
    assert len(conversation) == 0
    conversation.add(spoken("u"))
    conversation.transcription_delta("u", 0, "lo")
    assert node(conversation, "u").text == "Hello"
    assert conversation.early("u") is None


def test_text_before_its_item_joins_it() -> None:
    conversation = make()
    assert conversation.text_delta("a", 0, "Hel") is Taken.EARLY
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, "lo")
    assert node(conversation, "a").text == "Hello"


def test_a_completed_transcript_before_its_item_is_final() -> None:
    conversation = make()
    conversation.transcription_completed("u", 0, "Hello")
    assert conversation.transcription_delta("u", 0, "!") is Taken.CLOSED


def test_early_texts_are_bounded_in_number_and_the_oldest_is_given_up() -> None:
    conversation = make(max_early=2)
    taken = [conversation.transcription_delta(id, 0, "x") for id in "uvw"]
    assert taken == [Taken.EARLY, Taken.EARLY, Taken.OVERFLOW]
    assert [conversation.early(id) is None for id in "uvw"] == [True, False, False]


def test_early_texts_are_bounded_in_size() -> None:
    conversation = Conversation(max_text_bytes=8_000)
    conversation.text_delta("u", 0, "x" * 1_000)
    assert conversation.text_delta("v", 0, "x" * 1_000) is Taken.OVERFLOW
    assert conversation.early("u") is None
    assert conversation.text_bytes == STREAM_CHARGE + 1_000


def test_text_without_an_item_id_belongs_to_nothing() -> None:
    conversation = make()
    assert conversation.text_delta("", 0, "x") is Taken.UNKNOWN
    assert conversation.text_bytes == 0


def test_the_done_of_an_item_that_was_never_added_is_told() -> None:
    conversation = make()
    assert conversation.done(user("a")) is Taken.UNKNOWN
    assert len(conversation) == 0


# --- what was heard ---------------------------------------------------------------------------------------------------

SENTENCE = "The quick brown fox jumps"


@pytest.mark.parametrize(
    ("audio_end_ms", "audio_ms", "heard"),
    [
        (0, 1_000, ""),
        (0, None, ""),
        (10, 1_000, ""),  # within the first word
        (400, 1_000, "The quick"),
        (500, 1_000, "The quick"),  # "The quick br" was sent
        (1_000, 1_000, SENTENCE),
        (2_000, 1_000, SENTENCE),
        (500, None, SENTENCE),
        (500, 0, SENTENCE),
    ],
)
def test_the_heard_prefix_is_in_proportion_and_ends_with_a_word(
    audio_end_ms: int, audio_ms: int | None, heard: str
) -> None:
    assert heard_prefix(SENTENCE, audio_end_ms, audio_ms) == heard


def test_scripts_without_spaces_are_cut_between_characters() -> None:
    assert heard_prefix("今日は、いい天気です", 500, 1_000) == "今日は、い"
    assert heard_prefix("今日は、いい", 3, 6) == "今日は、"[:2]  # the comma stays with its word


def test_what_is_no_prose_is_cut_where_it_was_heard() -> None:
    assert heard_prefix("x" * 1_000, 500, 1_000) == "x" * 500


def test_a_cut_item_says_what_was_heard() -> None:
    """R-C15"""
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, SENTENCE)
    assert conversation.truncate("a", 0, 500, 1_000) is Taken.APPLIED
    assert node(conversation, "a").cuts == {0: Cut(500, "The quick")}
    assert node(conversation, "a").text == "The quick"


def test_done_does_not_bring_back_what_was_not_heard() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, SENTENCE)
    conversation.truncate("a", 0, 500, 1_000)
    assert conversation.text_done("a", 0, SENTENCE) is Taken.APPLIED
    assert node(conversation, "a").text == "The quick"
    conversation.done(assistant("a", OutputAudio(transcript=SENTENCE), status="incomplete"))
    assert node(conversation, "a").text == "The quick"


def test_what_was_heard_is_measured_by_all_of_the_text_and_audio() -> None:
    """R-C15"""
    conversation = make()
    conversation.add(assistant("a"))
    conversation.text_delta("a", 0, SENTENCE[:12])
    conversation.truncate("a", 0, 500, 600)
    assert node(conversation, "a").text == "The quick"
    conversation.text_delta("a", 0, SENTENCE[12:])
    assert node(conversation, "a").text == "The quick brown fox"
    conversation.measure("a", 0, 1_000)
    assert node(conversation, "a").text == "The quick"


def test_a_length_that_is_known_of_a_part_that_was_not_cut_changes_nothing() -> None:
    conversation = make()
    conversation.add(assistant("a", OutputAudio(transcript=SENTENCE)))
    conversation.measure("a", 0, 1_000)
    conversation.measure("b", 0, 1_000)
    assert node(conversation, "a").text == SENTENCE


def test_a_cut_may_come_before_its_item() -> None:
    conversation = make()
    assert conversation.truncate("a", 0, 500, 1_000) is Taken.EARLY
    conversation.add(assistant("a", OutputAudio(transcript=SENTENCE)))
    assert node(conversation, "a").text == "The quick"


def test_an_item_is_cut_after_it_was_done_too() -> None:
    conversation = make()
    conversation.add(assistant("a"))
    conversation.done(assistant("a", OutputAudio(transcript=SENTENCE), status="completed"))
    conversation.truncate("a", 0, 500, 1_000)
    assert node(conversation, "a").text == "The quick"


def test_cutting_again_earlier_shortens() -> None:
    conversation = make()
    conversation.add(assistant("a", AudioPart(transcript=SENTENCE)))
    conversation.truncate("a", 0, 600, 1_000)
    conversation.truncate("a", 0, 200)
    assert node(conversation, "a").cuts == {0: Cut(200, "The")}


def test_cutting_again_later_does_not_lengthen() -> None:
    conversation = make()
    conversation.add(assistant("a", AudioPart(transcript=SENTENCE)))
    conversation.truncate("a", 0, 500, 1_000)
    conversation.truncate("a", 0, 900, 1_000)
    assert node(conversation, "a").cuts == {0: Cut(500, "The quick")}


def test_a_cut_leaves_the_other_parts_alone() -> None:
    conversation = make()
    conversation.add(assistant("a", OutputAudio(transcript=SENTENCE), OutputAudio(transcript=SENTENCE)))
    conversation.truncate("a", 1, 0)
    assert node(conversation, "a").text == SENTENCE


@pytest.mark.parametrize("transcript", [None, "", "The", "The quick br", SENTENCE])
def test_what_was_heard_is_the_same_when_the_server_tells_less_of_what_was_said(transcript: str | None) -> None:
    conversation = make()
    conversation.add(assistant("a", OutputAudio(transcript=SENTENCE)))
    conversation.truncate("a", 0, 500, 1_000)
    conversation.retrieved(assistant("a", OutputAudio(transcript=transcript)))
    assert node(conversation, "a").text == "The quick"


def test_what_streamed_counts_where_the_end_says_nothing_and_the_announcement_said_less() -> None:
    conversation = make()
    conversation.add(assistant("a", OutputText(text="The")))
    conversation.text_delta("a", 0, "The quick")
    conversation.done(assistant("a"))
    assert node(conversation, "a").text == "The quick"


def test_an_item_that_was_deleted_is_not_cut() -> None:
    conversation = make("a")
    conversation.delete("a")
    assert conversation.truncate("a", 0, 100, 200) is Taken.DELETED


# --- audio ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        MessageItem(id="a", role="user", content=[InputAudio(audio="c2VjcmV0", transcript="Hello")]),
        MessageItem(
            id="a", role="user", content=[UnknownContent.of({"type": "voice", "audio": "c2VjcmV0", "text": "Hello"})]
        ),
        UnknownItem.of({"type": "x", "id": "a", "content": [{"audio": "c2VjcmV0", "text": "Hello"}]}),
    ],
)
def test_audio_is_not_kept(item: Item) -> None:
    conversation = make()
    conversation.add(item)
    conversation.retrieved(item)
    assert node(conversation, "a").text == "Hello"
    assert b"c2VjcmV0" not in msgspec.json.encode(conversation.dump())


def test_the_event_that_brought_audio_is_left_as_it_was() -> None:
    item = MessageItem(id="a", role="user", content=[InputAudio(audio="c2VjcmV0")])
    make().add(item)
    assert item.content == [InputAudio(audio="c2VjcmV0")]


def test_a_repr_says_no_text() -> None:
    conversation = make()
    shown = conversation.add(user("a", "my password is fish")).node
    conversation.text_delta("a", 1, "fish")
    assert "fish" not in repr(shown) + repr(conversation.items)
    assert repr(dict(shown.parts)) == "{1: PartText(final=False, text_bytes=4)}"


# --- the view ---------------------------------------------------------------------------------------------------------


def test_the_view_follows_the_conversation() -> None:
    conversation = make("a")
    items = conversation.items
    assert len(items) == 1
    conversation.add(user("b"), "a")
    conversation.add(user("c"), "a")
    assert [items[0].id, items[1].id, items[-1].id] == ["a", "c", "b"]
    assert [node.id for node in reversed(items)] == ["b", "c", "a"]
    assert [node.id for node in items[1:]] == ["c", "b"]


def test_the_view_is_read_only() -> None:
    assert isinstance(make().items, Sequence)
    assert not hasattr(make().items, "append")


def test_an_empty_conversation_is_true_and_has_no_ends() -> None:
    conversation = Conversation()
    assert conversation
    assert (conversation.first, conversation.last, list(conversation)) == (None, None, [])


# --- cost -------------------------------------------------------------------------------------------------------------


def newest_turn(conversation: Conversation) -> None:
    """All that can happen to the newest item, in order; the list is read after each event."""
    last = conversation.last
    assert last is not None
    conversation.transcription_delta("early", 0, "Hel")
    conversation.add(spoken("early"), last.id)
    conversation.add(assistant("new"), "early", generated=True, response_id="r")
    for _ in range(3):
        conversation.text_delta("new", 0, "some words ")
        assert conversation.items[-1].text
    conversation.text_done("new", 0, "some words")
    conversation.truncate("new", 0, 500, 1_000)
    conversation.done(assistant("new", OutputAudio(transcript="some words"), status="completed"))
    conversation.trim()
    conversation.delete("new")
    assert conversation.items[-1] is conversation.last


def test_events_on_the_newest_item_cost_as_many_calls_at_10_items_as_at_10_000() -> None:
    short, long = (make(*(f"item{number}" for number in range(count))) for count in (10, 10_000))
    for conversation in (short, long):
        assert len(conversation.items[:2]) == 2  # the view exists from here on and is kept
    assert python_calls(lambda: newest_turn(short)) == python_calls(lambda: newest_turn(long))


def test_an_insert_in_the_middle_costs_as_many_calls_at_10_items_as_at_10_000() -> None:
    short, long = (make(*(f"item{number}" for number in range(count))) for count in (10, 10_000))
    calls = [python_calls(lambda: c.add(user("x"), "item5")) for c in (short, long)]  # noqa: B023 - called at once
    assert calls[0] == calls[1]


def test_evicting_costs_as_many_calls_at_10_items_as_at_10_000() -> None:
    calls = []
    for count in (10, 10_000):
        conversation = Conversation(max_items=count, max_tombstones=5)
        for number in range(count + 10):
            conversation.add(user(f"item{number}"), None, clone=True)
            conversation.trim()
        assert conversation.items[0].id == "item10"

        def step(conversation: Conversation = conversation) -> None:
            conversation.add(user("new"), None, clone=True)
            assert len(conversation.trim()) == 1
            assert conversation.items[0].id == "item11"

        calls.append(python_calls(step))
    assert calls[0] == calls[1]


# --- as data ----------------------------------------------------------------------------------------------------------


def reloaded(conversation: Conversation) -> Conversation:
    """``conversation`` after a journey through JSON."""
    state = msgspec.json.decode(msgspec.json.encode(conversation.dump()), type=ConversationState)
    copy = Conversation(
        max_items=conversation.max_items,
        max_text_bytes=conversation.max_text_bytes,
        max_waiting=3,
        max_tombstones=conversation.max_tombstones,
        max_early=3,
    )
    copy.load(state)
    return copy


def test_a_state_is_plain_json() -> None:
    conversation = make("a", "b")
    conversation.delete("a")
    builtins = msgspec.to_builtins(conversation.dump())
    assert json.loads(json.dumps(builtins)) == builtins


def test_tombstones_are_forgotten_in_the_same_order_after_a_reload() -> None:
    conversation = make("a", "b", "c", max_tombstones=2)
    conversation.delete("b")
    conversation.delete("a")
    copy = reloaded(conversation)
    copy.delete("c")
    assert [copy.is_deleted(id) for id in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    "state",
    [
        {"places": [{"is": "item", "id": "a"}]},
        {"places": [{"is": "tombstone", "id": "a", "age": 0, "block": 0}]},
        {"places": [], "waits_for": ["a"]},
        {"duplicates": [[0, 1]]},
    ],
)
def test_a_state_that_no_conversation_can_be_in_is_refused_and_changes_nothing(state: object) -> None:
    conversation = make("a")
    before = conversation.dump()
    with pytest.raises(ValueError, match=r".+"):
        conversation.load(msgspec.convert(state, ConversationState))
    assert conversation.dump() == before


# --- properties -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=30), st.sets(st.integers(0, 29)))
def test_adds_behind_known_items_agree_with_a_plain_list(steps: list[tuple[bool, int]], reads: set[int]) -> None:
    """Whether the view is read in between (``reads``) or not."""
    conversation, plain = Conversation(), list[str]()
    for number, (front, choice) in enumerate(steps):
        id = str(number)
        predecessor = None if front or not plain else plain[choice % len(plain)]
        plain.insert(0 if predecessor is None else plain.index(predecessor) + 1, id)
        assert conversation.add(user(id), predecessor).problem is None
        if number in reads:
            assert [node.id for node in conversation.items] == plain
    assert [node.id for node in conversation] == plain
    assert len(conversation) == len(plain)
    if plain:
        assert (conversation.first, conversation.last) == (conversation.items[0], conversation.items[-1])


@st.composite
def shuffled_histories(draw: st.DrawFn) -> tuple[list[tuple[str, str | None]], list[tuple[str, str | None]]]:
    """Announcements as a server made them, and the same in another order.

    What stands between two items that name the same predecessor is which of them came first: that order is kept, it is
    the only one that the announcements do not tell.
    """
    history: list[tuple[str, str | None]] = []
    for number in range(draw(st.integers(1, 25))):
        parent = draw(st.integers(-1, number - 1))
        history.append((str(number), None if parent < 0 else str(parent)))
    shuffled = draw(st.permutations(history))
    siblings: dict[str | None, Iterator[tuple[str, str | None]]] = {
        parent: iter([each for each in history if each[1] == parent]) for _, parent in history
    }
    return history, [next(siblings[parent]) for _, parent in shuffled]


@given(shuffled_histories())
def test_predecessors_that_come_late_lead_to_the_same_order(
    histories: tuple[list[tuple[str, str | None]], list[tuple[str, str | None]]],
) -> None:
    orders = []
    for history in histories:
        conversation = Conversation()
        for id, predecessor in history:
            conversation.add(user(id), predecessor)
        orders.append([node.id for node in conversation.items])
    assert orders[0] == orders[1]


IDS = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"])
WORDS = st.sampled_from(["", "one ", "two three ", "vier fünf ", "六七"])
INDEXES = st.sampled_from([STREAM_OF_ARGUMENTS, 0, 1])
PREDECESSORS = st.one_of(IDS, st.none(), st.just(ROOT))
ITEMS = st.builds(
    lambda id, words, kind: (
        [
            user(id, words),
            spoken(id, words or None),
            assistant(id),
            assistant(id, OutputAudio(transcript=words)),
            FunctionCallItem(id=id, name="f", arguments=words),
            UnknownItem.of({"type": "x", "id": id, "content": [{"text": words}]}),
        ]
    )[kind],
    IDS,
    WORDS,
    st.integers(0, 5),
)
Operation = Callable[[Conversation], object]


def operation(method: Callable[..., object], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Operation]:
    return st.tuples(*arguments).map(lambda values: lambda conversation: method(conversation, *values))


def set_state(conversation: Conversation, id: str, state: str) -> object:
    found = conversation.get(id)
    if found is not None:
        found.state = state
    return None


OPERATIONS = st.one_of(
    operation(Conversation.add, ITEMS, PREDECESSORS),
    operation(Conversation.add, ITEMS, PREDECESSORS),
    operation(lambda c, item, previous: c.add(item, previous, clone=True, response_id="r"), ITEMS, PREDECESSORS),
    operation(Conversation.insert, ITEMS, PREDECESSORS),
    operation(Conversation.done, ITEMS),
    operation(Conversation.retrieved, ITEMS),
    operation(Conversation.delete, IDS),
    operation(Conversation.truncate, IDS, INDEXES, st.integers(0, 500), st.one_of(st.none(), st.integers(0, 500))),
    operation(Conversation.text_delta, IDS, INDEXES, WORDS),
    operation(Conversation.text_done, IDS, INDEXES, WORDS),
    operation(Conversation.transcription_delta, IDS, INDEXES, WORDS),
    operation(Conversation.transcription_updated, IDS, INDEXES, WORDS),
    operation(Conversation.transcription_completed, IDS, INDEXES, WORDS),
    operation(Conversation.transcription_failed, IDS, INDEXES, WORDS),
    operation(set_state, IDS, st.sampled_from(["added", "completed"])),
    operation(lambda c: len(c.items[:]) == len(c)),
    operation(Conversation.trim),
)


def small() -> Conversation:
    """A conversation in which every limit is near."""
    conversation = Conversation(max_items=6, max_text_bytes=8_000, max_waiting=3, max_tombstones=4, max_early=3)
    for id in "abcd":
        conversation.add(user(id), None, clone=True)
    conversation.add(user("e"), "f")
    return conversation


def answer(value: object) -> object:
    """What a method answered, in a form that can be compared between two conversations."""
    if isinstance(value, Node):
        return seen(value)
    if isinstance(value, (list, tuple)):
        return [answer(each) for each in value]
    return value


def seen(node: Node) -> object:
    return (
        (node.id, node.text, node.state, node.status, node.previous_item_id, node.generated, node.response_id),
        (node.item, node.finished, node.text_bytes, dict(node.cuts)),
        {index: (part.text, part.final) for index, part in node.parts.items()},
        {index: (t.text, t.final, t.state, t.error) for index, t in node.transcriptions.items()},
    )


def observed(conversation: Conversation) -> object:
    return (
        [seen(node) for node in conversation.items],
        [(id, conversation.is_deleted(id), conversation.early(id) is None) for id in "abcdefgh"],
        [answer(conversation.get(id)) for id in "abcdefgh"],
        (conversation.text_bytes, len(conversation), answer(conversation.first), answer(conversation.last)),
        conversation.dump(),
    )


@given(st.lists(OPERATIONS, min_size=5, max_size=25), st.lists(OPERATIONS, max_size=15))
def test_a_conversation_that_was_dumped_and_loaded_goes_on_as_if_nothing_had_happened(
    before: list[Operation], after: list[Operation]
) -> None:
    conversation = small()
    for step in before:
        step(conversation)
    copy = reloaded(conversation)
    assert observed(copy) == observed(conversation)
    for step in after:
        assert answer(step(copy)) == answer(step(conversation))
    assert observed(copy) == observed(conversation)


@given(st.lists(OPERATIONS, min_size=10, max_size=40))
def test_whatever_happens_the_view_agrees_with_the_list_and_the_limits_hold(steps: list[Operation]) -> None:
    conversation = small()
    for step in steps:
        step(conversation)
        conversation.trim()
        nodes = list(conversation.items)
        fresh = reloaded(conversation)  # its view and its sums are made anew
        assert [node.id for node in fresh.items] == [node.id for node in nodes]
        assert fresh.text_bytes == conversation.text_bytes <= conversation.max_text_bytes
        assert len(nodes) == len(conversation) <= conversation.max_items
        assert (conversation.first, conversation.last) == ((nodes[0], nodes[-1]) if nodes else (None, None))
        state = conversation.dump()
        assert len(state.waits_for) <= 3
        assert len(state.places) - len(nodes) <= conversation.max_tombstones
        assert len(state.early) <= 3


# --- recorded sessions ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason=ABSENT)
@pytest.mark.parametrize(
    "name", ["pydantic-ai--openai_ws--tool_call_round", "pydantic-ai--azure_ws--message_history_seeding"]
)
def test_a_recorded_session_has_its_items_in_the_order_of_their_announcement(name: str) -> None:
    conversation, announced = Conversation(), list[str]()
    for line in (TRAFFIC / f"{name}.jsonl").read_text().splitlines():
        event = json.loads(line).get("event", {})
        if event.get("type") == "conversation.item.added":
            announced.append(event["item"]["id"])
            assert conversation.add(item_from_builtins(event["item"]), event.get("previous_item_id")).problem is None
        elif event.get("type") == "conversation.item.done":
            assert conversation.done(item_from_builtins(event["item"])) is Taken.APPLIED
    assert [node.id for node in conversation.items] == announced
    assert len(announced) > 2
