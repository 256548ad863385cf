"""The history: what it tells of, what it finds, by itself and beside a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from antiphon import Limits
from antiphon import messages as m
from antiphon.toolkit import Change, ChangeKind, HandlerFailure, History, Span
from bench.timing import python_calls
from unit.engine_helpers import MS, Talk, at, call, said, spoken


def event(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, **fields})


def added(item: dict[str, Any], previous: str | None = None) -> str:
    return event("conversation.item.added", item={"status": "completed", **item}, previous_item_id=previous)


def told(history: History) -> list[tuple[str, str]]:
    """What a history tells from here on, as (kind, item id)."""
    heard: list[tuple[str, str]] = []
    for kind in ChangeKind:
        history.on(kind, lambda change: heard.append((change.type, change.item_id)))
    return heard


def fed(*texts: str) -> History:
    history = History()
    for text in texts:
        history.feed(text)
    return history


class Followed:
    """A session and the history beside it."""

    def __init__(self, **config: Any) -> None:
        self.talk = Talk(**config)
        self.history = History(self.talk.client.conversation)
        self.told = told(self.history)

    def do(self, act: Callable[[Talk], Any]) -> list[tuple[str, str]]:
        """What is told of what ``act`` leads to."""
        del self.told[:]
        for action in act(self.talk):
            self.history.feed(action, self.talk.now)
        return list(self.told)


# -- what it tells -----------------------------------------------------------------------------------------------------


def test_an_item_that_comes_is_told_once() -> None:
    history = History()
    heard = told(history)
    history.feed(added(said("a")))
    history.feed(event("conversation.item.done", item={"status": "completed", **said("a")}))
    assert heard == [("added", "a"), ("updated", "a")]
    assert [node.id for node in history.items] == ["a"]
    assert len(history) == 1


@pytest.mark.parametrize("name", ["conversation.item.created", "conversation.item.added"])
def test_an_item_is_told_by_either_of_its_names(name: str) -> None:
    (change,) = History().feed(event(name, item=said("a"), previous_item_id=None))
    assert (change.type, change.item_id) == (ChangeKind.ADDED, "a")


def test_typed_events_are_fed_as_well_as_text() -> None:
    history = History()
    item = m.MessageItem(id="a", role="user", content=[m.InputText(text="hi")])
    (change,) = history.feed(m.ConversationItemAdded(item=item, previous_item_id=None))
    assert change.node is history.get("a")
    assert change.event.type == "conversation.item.added"


def test_a_delta_is_told_when_it_changes_something() -> None:
    followed = Followed()
    followed.do(lambda talk: talk.created("r") + talk.generates("r", spoken("a")) + talk.part("r", "a"))
    more = event("response.output_audio_transcript.delta", delta="Hel", **at("r", "a"))
    assert followed.do(lambda talk: talk.client.receive_message(more, talk.now)) == [("updated", "a")]
    followed.do(lambda talk: talk.stops_speaking("r", "a", "Hello."))
    assert followed.do(lambda talk: talk.client.receive_message(more, talk.now)) == []


def test_a_transcription_is_told() -> None:
    history = fed(added(said("a")))
    place = {"item_id": "a", "content_index": 0}
    name = "conversation.item.input_audio_transcription"
    (change,) = history.feed(event(f"{name}.completed", transcript="What was that?", **place))
    assert (change.type, change.node.text) == ("updated", "What was that?")


def test_a_cut_is_told_with_what_was_heard() -> None:
    history = fed(
        event("response.created", response={"id": "r", "status": "in_progress", "conversation_id": "c"}),
        event("response.output_item.added", response_id="r", output_index=0, item=spoken("a")),
        added({**spoken("a"), "status": "in_progress"}),
        event("response.content_part.added", part={"type": "audio"}, **at("r", "a")),
        event("response.output_audio.delta", delta="AAAA" * 6400, **at("r", "a")),  # 400 ms
        event("response.output_audio_transcript.done", transcript="one two three four", **at("r", "a")),
    )
    (change,) = history.feed(event("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=200))
    assert (change.type, change.node.text) == ("truncated", "one two")


def test_an_item_that_goes_is_told_with_what_it_was() -> None:
    history = fed(added(said("a", "hello")), added(said("b"), "a"))
    (change,) = history.feed(event("conversation.item.deleted", item_id="a"))
    assert (change.type, change.node.text) == ("deleted", "hello")
    assert history.feed(event("conversation.item.deleted", item_id="a")) == ()
    assert history.get("a") is None


def test_what_a_limit_pushes_out_is_told() -> None:
    followed = Followed(limits=Limits(conversation_items=2))
    followed.do(lambda talk: talk.adds(said("a")) + talk.adds(said("b"), previous="a"))
    assert followed.do(lambda talk: talk.adds(said("c"), previous="b")) == [
        ("added", "c"),
        ("deleted", "a"),
        ("updated", "c"),
    ]


def test_what_a_limit_pushes_out_though_it_came_late_is_told() -> None:
    followed = Followed(limits=Limits(conversation_items=2))
    followed.do(lambda talk: talk.adds(said("b")) + talk.adds(said("a"), previous="root"))  # which is put before it
    assert ("deleted", "a") in followed.do(lambda talk: talk.adds(said("c"), previous="b"))


def test_a_conversation_that_began_anew_has_lost_all_its_items() -> None:
    history = fed(added(said("a")), added(said("b"), "a"))
    history.conversation.clear()
    changes = history.feed(added(said("c")))
    assert [(change.type, change.item_id) for change in changes] == [
        ("added", "c"),
        ("deleted", "a"),
        ("deleted", "b"),
    ]


def test_an_id_that_comes_again_after_its_deletion_is_another_item() -> None:
    talk = Talk()
    history = History(talk.client.conversation)
    actions = talk.adds(said("a", "old"))
    history.feed(actions[0])
    talk.hear("conversation.item.deleted", item_id="a")  # the history is told of it later
    (again, *_) = talk.adds(said("a", "new"))
    assert [(change.type, change.node.text) for change in history.feed(again)] == [("deleted", "old"), ("added", "new")]


def test_an_item_that_only_its_response_names_is_told() -> None:
    followed = Followed()
    item = {**said("a", "Well", "assistant"), "status": "completed"}
    assert followed.do(lambda talk: talk.created("r") + talk.done("r", output=[item])) == [("added", "a")]


def test_events_about_no_item_tell_nothing() -> None:
    history = History()
    assert history.feed(event("rate_limits.updated", rate_limits=[])) == ()
    assert history.feed(event("response.text.delta")) == ()
    assert history.feed("no JSON") == ()
    assert (
        history.feed(event("conversation.item.retrieved", item={"type": "message", "role": "user", "content": []}))
        == ()
    )


# -- callbacks ---------------------------------------------------------------------------------------------------------


def test_there_may_be_several_callbacks_and_each_can_be_removed() -> None:
    history = History()
    heard: list[str] = []
    first = history.on("added", lambda change: heard.append("first"))
    history.on("added", lambda change: heard.append("second"))
    history.feed(added(said("a")))
    first.remove()
    history.feed(added(said("b"), "a"))
    assert heard == ["first", "second", "second"]


def test_a_callback_that_fails_stops_no_other_and_reaches_the_hook() -> None:
    history = History()
    failed: list[HandlerFailure] = []
    history.changes.on_error(failed.append)
    history.on("added", lambda change: 1 / 0)
    heard = told(history)
    history.feed(added(said("a")))
    assert heard == [("added", "a")]
    assert isinstance(failed[0].exception, ZeroDivisionError)


def test_a_callback_that_fails_keeps_no_other_change_of_the_event_from_being_told() -> None:
    history = fed(added(said("a")), added(said("b"), "a"))
    history.conversation.clear()
    heard = told(history)
    history.on("added", lambda change: 1 / 0)
    with pytest.raises(ExceptionGroup):
        history.feed(added(said("c")))
    assert heard == [("added", "c"), ("deleted", "a"), ("deleted", "b")]


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="renamed"):
        History().on("renamed", print)


def test_callbacks_may_be_asynchronous() -> None:
    history = History()
    heard: list[str] = []

    async def hear(change: Change) -> None:
        heard.append(change.item_id)

    history.on("added", hear)
    (change,) = asyncio.run(history.feed_async(added(said("a"))))
    assert heard == [change.item_id] == ["a"]


# -- looking -----------------------------------------------------------------------------------------------------------


def test_words_are_found_with_their_item_and_place() -> None:
    history = fed(added(said("a", "Tea or coffee?")), added(said("b", "Coffee, coffee!", "assistant"), "a"))
    found = [(match.item_id, match.start, match.end) for match in history.search("COFFEE")]
    assert found == [("a", 7, 13), ("b", 0, 6), ("b", 8, 14)]
    assert [match.line.text[match.start : match.end] for match in history.search(r"\bor\b|!$", regex=True)] == [
        "or",
        "!",
    ]
    assert history.search("") == ()


def test_messages_are_lines_without_calls() -> None:
    history = fed(added(said("a", "hi")), added(call("c"), "a"))
    assert [(line.who, line.text) for line in history.messages()] == [("user", "hi")]


def test_the_transcript_knows_when_a_thing_was_said() -> None:
    followed = Followed()
    followed.do(lambda talk: talk.created("r"))
    followed.talk.now = 1_000 * MS
    followed.do(lambda talk: talk.speaks("r", "a", 500) + talk.stops_speaking("r", "a", "Hello."))
    assert followed.history.timeline.span("a") == Span(1000, 1500)
    assert "00:00:01,000 --> 00:00:01,500\nassistant: Hello." in followed.history.transcript.srt()


def test_a_history_that_follows_a_session_takes_no_text() -> None:
    with pytest.raises(TypeError, match="listens by itself"):
        History(Talk().client.conversation).feed("{}")


def test_a_history_that_listens_by_itself_hears_what_another_session_delivered() -> None:
    history = History()
    talk = Talk()
    for action in (*talk.adds(said("a")), *talk.say(m.InputAudioBufferClear())):
        history.feed(action)
    assert [node.id for node in history.items] == ["a"]


def test_one_more_item_costs_the_same_however_many_there_are() -> None:
    history = History()
    history.feed(added(said("n0")))
    calls = {}
    for number in range(1, 2001):
        text = added(said(f"n{number}"), f"n{number - 1}")
        if number in (10, 2000):
            calls[number] = python_calls(partial(history.feed, text))
        else:
            history.feed(text)
    assert calls[2000] == calls[10]


def test_of_two_items_with_one_id_the_newest_is_told_first_when_they_go() -> None:
    history = fed(added(said("a", "old")), added(said("a", "new"), "a"))
    deleted = event("conversation.item.deleted", item_id="a")
    told = [(change.type, change.node.text) for _ in range(2) for change in history.feed(deleted)]
    assert told == [("deleted", "new"), ("deleted", "old")]


def test_an_old_item_that_a_limit_pushes_out_does_not_take_its_namesake_along() -> None:
    followed = Followed(limits=Limits(conversation_items=2))
    followed.do(lambda talk: talk.adds(said("a", "old")))
    followed.do(lambda talk: talk.adds(said("a", "new"), previous="a"))
    assert ("deleted", "a") in followed.do(lambda talk: talk.adds(said("b"), previous="a"))
    deleted = followed.do(lambda talk: talk.hear("conversation.item.deleted", item_id="a"))
    assert deleted == [("deleted", "a")]


def test_what_stood_there_before_is_not_told_as_new() -> None:
    talk = Talk()
    talk.adds(said("a"))
    history = History(talk.client.conversation)
    heard = told(history)
    history.feed(m.ConversationItemDone(item=m.MessageItem(id="a", role="user", content=[])))
    (deleted,) = talk.hear("conversation.item.deleted", item_id="a")[:1]
    history.feed(deleted)
    assert heard == [("updated", "a"), ("deleted", "a")]


def test_an_item_that_another_session_knows_by_another_id_is_the_same_item() -> None:
    talk = Talk()
    long = "item_" + "x" * 40
    talk.adds(said(long))
    history = History(talk.client.conversation)
    (node,) = talk.client.conversation
    assert isinstance(node.item, m.MessageItem)
    talk.client.conversation.renew(
        lambda each: each.rename("short", m.MessageItem(id="short", role="user", content=[]))
    )
    done = m.ConversationItemDone(item=m.MessageItem(id="short", role="user", content=[]))
    assert [change.type for change in history.feed(done)] == ["updated"]
    talk.client.conversation.delete("short")
    assert [change.type for change in history.feed(m.ConversationItemDeleted(item_id="short"))] == ["deleted"]
    assert history.feed(m.ConversationItemDeleted(item_id="short")) == ()


def test_a_namesake_that_was_not_told_of_is_not_told_as_gone() -> None:
    talk = Talk()
    history = History(talk.client.conversation)
    talk.adds(said("a", "old"))
    talk.adds(said("a", "new"), previous="a")
    for _ in range(2):
        (deleted, *_) = talk.hear("conversation.item.deleted", item_id="a")
        assert history.feed(deleted) == ()
