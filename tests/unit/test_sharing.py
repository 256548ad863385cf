"""`antiphon.engine.sharing`: a session with other clients, and a sideband that comes to a call under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from antiphon import messages as m
from unit.engine_helpers import Talk, at, rules, said

Event = dict[str, Any]


def joined(**config: Any) -> Talk:
    """A client on a sideband, whose call has begun before."""
    talk = Talk(begun=False, transport="sideband", **config)
    talk.client.opened(0)
    return talk


def heard(talk: Talk, events: Iterator[Event] | list[Event]) -> list[str]:
    """The rules that ``events`` broke."""
    return [rule for event in events for rule in rules(talk.hear(**event))]


def user(item_id: str) -> Event:
    content = [{"type": "input_audio", "transcript": None}]
    return {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}


def assistant(item_id: str, status: str = "completed") -> Event:
    content = [{"type": "output_audio", "transcript": "hello"}] if status == "completed" else []
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def turn(number: int) -> Iterator[Event]:
    """All that a sideband is told of one turn: speech, its transcription, a spoken answer, and a call."""
    spoken, answer, call, response = (f"{kind}{number}" for kind in ("user", "answer", "call", "response"))
    before = f"call{number - 1}" if number else None
    buffer, item = "input_audio_buffer", "conversation.item"
    yield {"type": f"{buffer}.speech_started", "item_id": spoken, "audio_start_ms": 0}
    yield {"type": f"{buffer}.speech_stopped", "item_id": spoken, "audio_end_ms": 900}
    yield {"type": f"{buffer}.committed", "item_id": spoken, "previous_item_id": before}
    yield {"type": f"{item}.added", "previous_item_id": before, "item": user(spoken)}
    yield {"type": f"{item}.done", "previous_item_id": before, "item": user(spoken)}
    yield {"type": "response.created", "response": {"id": response, "status": "in_progress", "output": []}}
    text = f"{item}.input_audio_transcription"
    yield {"type": f"{text}.delta", "item_id": spoken, "content_index": 0, "delta": "hi"}
    yield {"type": f"{text}.completed", "item_id": spoken, "content_index": 0, "transcript": "hi", "usage": None}
    place = at(response, answer)
    begun = assistant(answer, "in_progress")
    yield {"type": "response.output_item.added", "response_id": response, "output_index": 0, "item": begun}
    yield {"type": f"{item}.added", "previous_item_id": spoken, "item": begun}
    yield {"type": "response.content_part.added", "part": {"type": "audio"}, **place}
    yield {"type": "response.output_audio_transcript.delta", "delta": "hel", **place}
    yield {"type": "output_audio_buffer.started", "response_id": response}
    yield {"type": "response.output_audio_transcript.delta", "delta": "lo", **place}
    yield {"type": "response.output_audio.done", **place}
    yield {"type": "response.output_audio_transcript.done", "transcript": "hello", **place}
    yield {"type": "response.content_part.done", "part": {"type": "audio", "transcript": "hello"}, **place}
    yield {"type": f"{item}.done", "previous_item_id": spoken, "item": assistant(answer)}
    ended = assistant(answer)
    yield {"type": "response.output_item.done", "response_id": response, "output_index": 0, "item": ended}
    place = {"response_id": response, "output_index": 1}
    called = {"id": call, "type": "function_call", "name": "f", "call_id": f"c{number}", "status": "in_progress"}
    yield {"type": "response.output_item.added", "item": {**called, "arguments": ""}, **place}
    yield {"type": f"{item}.added", "previous_item_id": answer, "item": {**called, "arguments": ""}}
    arguments = {**place, "item_id": call, "call_id": f"c{number}"}
    yield {"type": "response.function_call_arguments.delta", "delta": "{}", **arguments}
    yield {"type": "response.function_call_arguments.done", "arguments": "{}", "name": "f", **arguments}
    called = {**called, "arguments": "{}", "status": "completed"}
    yield {"type": f"{item}.done", "previous_item_id": answer, "item": called}
    yield {"type": "response.output_item.done", "item": called, **place}
    done = {"id": response, "status": "completed", "conversation_id": "conv", "output": [assistant(answer), called]}
    yield {"type": "response.done", "response": done}
    yield {"type": "output_audio_buffer.stopped", "response_id": response}


TURNS = [event for number in range(3) for event in turn(number)]
ONE = len(TURNS) // 3


@pytest.mark.parametrize("missed", range(ONE + 1), ids=lambda missed: f"before {TURNS[missed]['type']}")
def test_wherever_a_sideband_joins_what_goes_on_is_no_deviation(missed: int) -> None:
    """R-A4"""
    talk = joined(strict=True)
    assert heard(talk, TURNS[missed:]) == []
    assert talk.client.link.state == "open"
    ids = [node.id for node in talk.client.conversation]
    assert ids[-6:] == [f"{kind}{number}" for number in (1, 2) for kind in ("user", "answer", "call")]
    assert [node.text for node in talk.client.conversation][-6:] == ["hi", "hello", "{}"] * 2
    assert talk.client.default_response is None


@pytest.mark.parametrize("event", TURNS[ONE:-ONE], ids=lambda event: event["type"])
def test_after_a_turn_that_it_saw_whole_a_sideband_is_told_every_beginning(event: Event) -> None:
    """R-A4"""
    alone = Talk(transport="webrtc")
    sideband = joined()
    for talk in (alone, sideband):
        assert heard(talk, TURNS[:ONE]) == []
    reported = set(heard(alone, [event]))
    assert set(heard(sideband, [event])) == reported - {"R-C4"}  # what an item follows may well be older


def test_of_a_response_that_it_saw_begin_a_sideband_is_told_the_whole_delivery() -> None:
    """R-A4"""
    created: Event = {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}
    assert heard(joined(), [created, {"type": "output_audio_buffer.stopped", "response_id": "r"}]) == ["R-O1"]


@pytest.mark.parametrize(
    "left_out", ["conversation.item.added", "response.content_part.added", "conversation.item.done"]
)
def test_of_the_first_response_that_it_saw_begin_a_sideband_is_told_everything(left_out: str) -> None:
    """R-A4"""
    answer = next(index for index, event in enumerate(TURNS) if event["type"] == "response.created")
    events = list(TURNS[3:ONE])  # it comes when speech has been committed
    events.remove(next(event for event in TURNS[answer:ONE] if event["type"] == left_out))
    assert heard(joined(), events) != []


def test_what_a_sideband_missed_survives_a_restore() -> None:
    """R-A4"""
    talk = joined()
    middle = [event["type"] for event in TURNS].index("response.output_audio_transcript.delta")
    assert heard(talk, TURNS[middle : middle + 2]) == []
    talk = talk.restored()
    assert heard(talk, TURNS[middle + 2 :]) == []


def test_what_a_sideband_missed_is_bounded() -> None:
    """R-A4"""
    talk = joined()
    most = talk.client.config.limits.response_history
    for number in range(most):
        talk.hear("response.output_text.delta", delta="a", **at(f"r{number}", f"i{number}"))
    assert len(talk.client.sharing.missed) == most


def test_an_answer_that_was_missed_is_older_than_the_speech_that_cut_it_short() -> None:
    """R-A4"""
    talk = joined()
    place = at("response0", "answer0")
    heard(talk, [{"type": "response.output_audio_transcript.delta", "delta": "hel", **place}, *turn(1)])
    ended: Event = {"type": "conversation.item.done", "previous_item_id": "user0", "item": assistant("answer0")}
    assert heard(talk, [ended]) == []
    assert [node.id for node in talk.client.conversation] == ["answer0", "user1", "answer1", "call1"]


def test_an_item_behind_an_older_one_is_older_than_all_that_was_seen() -> None:
    """R-A4"""
    talk = joined()
    inserted: Event = {"type": "conversation.item.added", "previous_item_id": "call0", "item": said("x")}
    assert heard(talk, [*TURNS[ONE:-ONE], inserted, {**inserted, "type": "conversation.item.done"}]) == []
    assert [node.id for node in talk.client.conversation] == ["x", "user1", "answer1", "call1"]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation.item.truncated", "item_id": "old", "content_index": 0, "audio_end_ms": 10},
        {"type": "conversation.item.deleted", "item_id": "old"},
        {"type": "conversation.item.retrieved", "item": said("old")},
    ],
    ids=lambda event: event["type"],
)
def test_news_of_an_item_that_is_older_than_a_sideband_are_no_deviation(event: Event) -> None:
    """R-A4"""
    talk = joined()
    assert heard(talk, [*TURNS[:ONE], event]) == []
    assert heard(Talk(transport="webrtc"), [*TURNS[:ONE], event]) != []


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (m.ConversationItemDelete(item_id="older"), {"type": "conversation.item.deleted", "item_id": "older"}),
        (m.ConversationItemRetrieve(item_id="older"), {"type": "conversation.item.retrieved", "item": said("older")}),
    ],
)
def test_what_a_sideband_asks_of_an_older_item_is_answered(command: m.ClientEvent, event: Event) -> None:
    talk = Talk(transport="sideband")
    talk.say(command)
    assert [pending.key for pending in talk.client.unanswered] == ["older"]
    assert rules(talk.hear(**event)) == []
    assert talk.client.unanswered == ()


def test_an_item_behind_one_that_a_sideband_saw_deleted_takes_its_place() -> None:
    """R-A4"""
    talk = joined()
    deleted: Event = {"type": "conversation.item.deleted", "item_id": "answer1"}
    inserted: Event = {"type": "conversation.item.added", "previous_item_id": "answer1", "item": said("x")}
    assert heard(talk, [*TURNS[ONE:-ONE], deleted, inserted]) == []
    assert [node.id for node in talk.client.conversation] == ["user1", "x", "call1"]


OTHERS: list[Event] = [
    {"type": "session.updated", "session": {"type": "realtime"}},
    {"type": "input_audio_buffer.cleared"},
    {"type": "input_audio_buffer.committed", "item_id": "u", "previous_item_id": None},
    {"type": "conversation.item.added", "previous_item_id": None, "item": said("x")},
    {"type": "conversation.item.retrieved", "item": said("x")},
    {"type": "conversation.item.deleted", "item_id": "x"},
]


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_what_others_asked_for_is_no_deviation_where_there_are_others(transport: str) -> None:
    """R-A3"""
    talk = Talk(begun=transport == "webrtc", transport=transport)
    if transport == "sideband":
        talk.client.opened(0)
    done: Event = {"type": "conversation.item.done", "previous_item_id": None, "item": said("x")}
    assert heard(talk, [*OTHERS[:4], done, *OTHERS[4:]]) == []


@pytest.mark.parametrize("event", OTHERS[:4], ids=lambda event: event["type"])
def test_alone_in_a_session_nobody_else_asks(event: Event) -> None:
    """R-A3"""
    assert len(heard(Talk(), [event])) == 1


def test_a_deviation_that_nobody_can_have_asked_for_is_reported_to_everybody() -> None:
    """R-A3"""
    for talk in (joined(), Talk(transport="webrtc")):
        talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="text")))
        assert heard(talk, [{"type": "session.update", "session": {"type": "realtime"}}]) == ["R-E6"]
