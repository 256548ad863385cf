"""A peer that does not keep the order of its own protocol: a client reports the rule, and makes the best of it.

What is said out of place in a part is tried in every state of a part. So is news of an item that was deleted, and work
that ends without a beginning.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from antiphon import Actions, RenewalPolicy
from antiphon import messages as m
from antiphon.engine.conversation import Node
from antiphon.engine.records import STREAM_OF_ARGUMENTS
from unit.engine_helpers import Talk, at, call, delivered, message, rules, said, spoken

PART_ADDED = "response.content_part.added"
PART_DONE = "response.content_part.done"
TEXT_DELTA = "response.output_text.delta"
TEXT_DONE = "response.output_text.done"
AUDIO_DELTA = "response.output_audio.delta"
AUDIO_DONE = "response.output_audio.done"
TRANSCRIPT_DELTA = "response.output_audio_transcript.delta"
TRANSCRIPT_DONE = "response.output_audio_transcript.done"
ARGUMENTS = [f"response.{kind}_call_arguments.{end}" for kind in ("function", "mcp") for end in ("delta", "done")]

FIELDS: dict[str, dict[str, Any]] = {
    PART_ADDED: {"part": {"type": "audio"}},
    PART_DONE: {"part": {"type": "audio", "transcript": ""}},
    TEXT_DELTA: {"delta": "x"},
    TEXT_DONE: {"text": "x"},
    AUDIO_DELTA: {"delta": "AAAAAAAA"},  # three samples
    AUDIO_DONE: {},
    TRANSCRIPT_DELTA: {"delta": "x"},
    TRANSCRIPT_DONE: {"transcript": "x"},
    **{type: {"delta": "x"} if type.endswith("delta") else {"arguments": "x", "name": "f"} for type in ARGUMENTS},
}

STATES: dict[str, list[str]] = {
    "text_open": [TEXT_DELTA],
    "text_done": [TEXT_DONE],
    "audio_open": [AUDIO_DELTA],
    "audio_done": [AUDIO_DONE],
    "transcript_first": [TRANSCRIPT_DONE],
    "transcript_done": [AUDIO_DONE, TRANSCRIPT_DONE],
    "arguments_open": [ARGUMENTS[0]],
    "arguments_done": [ARGUMENTS[1]],
    "closed": [TEXT_DONE, PART_DONE],
}
"""How a part comes into each of its states, by the shortest way."""

IN_PLACE: dict[str, list[str]] = {
    "text_open": [TEXT_DELTA, TEXT_DONE, PART_DONE],
    "text_done": [PART_DONE],
    "audio_open": [AUDIO_DELTA, AUDIO_DONE, TRANSCRIPT_DELTA, TRANSCRIPT_DONE, PART_DONE],
    "audio_done": [TRANSCRIPT_DELTA, TRANSCRIPT_DONE, PART_DONE],
    "transcript_first": [AUDIO_DELTA, AUDIO_DONE, PART_DONE],
    "transcript_done": [PART_DONE],
    "arguments_open": ARGUMENTS,
    "arguments_done": [],
    "closed": [],
}
"""What is taken in each state, in its order or a little out of it; everything else has no place there."""

RULES = {PART_ADDED: "R-P1", PART_DONE: "R-P4", **dict.fromkeys(ARGUMENTS, "R-P5")}
"""Which rule is broken by what has no place; R-P2 for deltas and ends of a modality."""


class Part:
    """A part of an item that response r generates, brought into the state ``begun``; None: nobody has opened it.

    ``strange`` is a peer that numbers the part as arguments are kept, so that events of both kinds meet.
    """

    def __init__(self, begun: str | None = None, *, strange: bool = False) -> None:
        self.talk = Talk()
        self.talk.created("r")
        self.talk.generates("r", spoken("i"))
        self.index = STREAM_OF_ARGUMENTS if strange or (begun or "").startswith("arguments") else 0
        if begun is not None:
            for type in STATES[begun]:
                self.hear(type)
            assert self.state == begun

    def hear(self, type: str) -> Actions:
        return self.talk.hear(type, call_id="c", **FIELDS[type], **at("r", "i", self.index))

    def broken(self, type: str) -> list[str]:
        """The rules that ``type`` breaks, also where the same was reported before."""
        before = Counter(self.talk.client.reports)
        self.hear(type)
        return [rule for rule, _ in (Counter(self.talk.client.reports) - before).elements()]

    @property
    def state(self) -> str:
        return self.talk.client.registry.streams["i", self.index].state

    @property
    def said(self) -> object:
        """Everything that was said in it: text and arguments as the mirror has them, and the samples of its audio."""
        return self.talk.client.conversation.dump(), [entry.received for entry in self.talk.client.playback]


OUT_OF_PLACE = [(state, type) for state, fitting in IN_PLACE.items() for type in FIELDS if type not in fitting]


@pytest.mark.parametrize(("state", "type"), OUT_OF_PLACE)
def test_what_has_no_place_in_a_part_is_reported_and_changes_nothing(state: str, type: str) -> None:
    part = Part(state, strange=type in ARGUMENTS)
    before = part.said
    assert part.broken(type) == [RULES.get(type, "R-P2")]
    assert (part.state, part.said) == (state, before)


@pytest.mark.parametrize(
    ("type", "rule", "state"),
    [
        (TEXT_DELTA, "R-P1", "text_open"),
        (TEXT_DONE, "R-P1", "text_done"),
        (AUDIO_DELTA, "R-P1", "audio_open"),
        (AUDIO_DONE, "R-P1", "audio_done"),
        (TRANSCRIPT_DELTA, "R-P1", "audio_open"),
        (TRANSCRIPT_DONE, "R-P1", "transcript_first"),
        (PART_DONE, "R-P4", "closed"),
    ],
)
def test_a_part_that_nobody_opened_begins_with_what_comes_first(type: str, rule: str, state: str) -> None:
    part = Part()
    empty = part.said
    assert part.broken(type) == [rule]
    assert part.state == state
    assert (part.said != empty) == (type not in (AUDIO_DONE, PART_DONE))


@pytest.mark.parametrize("type", ARGUMENTS)
def test_arguments_are_opened_by_what_comes_first(type: str) -> None:
    part = Part(strange=True)
    assert part.broken(type) == []
    assert part.state == ("arguments_open" if type.endswith("delta") else "arguments_done")
    assert "x" in repr(msgspec.to_builtins(part.said))


@pytest.mark.parametrize("state", ["text_open", "audio_open", "audio_done", "transcript_first"])
def test_a_part_that_closes_before_its_modalities_is_reported_and_closed(state: str) -> None:
    part = Part(state)
    assert part.broken(PART_DONE) == ["R-P4"]
    assert part.state == "closed"


def test_audio_after_its_transcript_is_reported_and_played() -> None:
    part = Part("audio_open")
    assert part.broken(TRANSCRIPT_DONE) == ["R-P3"]
    assert part.broken(AUDIO_DELTA) == ["R-P3"]
    assert [entry.received for entry in part.talk.client.playback] == [6]
    assert part.broken(AUDIO_DONE) == []
    assert part.broken(PART_DONE) == []
    assert part.state == "closed"


@pytest.mark.parametrize("state", [state for state in STATES if state not in ("closed", "arguments_done")])
def test_a_part_ends_with_the_socket(state: str) -> None:
    part = Part(state)
    stream = part.talk.client.registry.streams["i", part.index]
    part.talk.lose_socket()
    assert stream.state == "closed"


# -- work at a remote server -------------------------------------------------------------------------------------------


WORK = ["mcp_list_tools", "response.mcp_call"]


def works(talk: Talk, type: str) -> list[str]:
    return rules(talk.hear(type, item_id="w", output_index=0))


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_work_that_ends_without_a_beginning_is_reported_and_over(work: str, end: str) -> None:
    talk = Talk()
    assert works(talk, f"{work}.{end}") == ["R-M1"]
    assert talk.client.mcp_work["w"].state == end


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("state", ["in_progress", "completed", "failed"])
def test_work_that_begins_twice_is_reported_and_stays_as_it_is(work: str, state: str) -> None:
    talk = Talk()
    works(talk, f"{work}.in_progress")
    if state != "in_progress":
        works(talk, f"{work}.{state}")
    assert works(talk, f"{work}.in_progress") == ["R-M1"]
    assert talk.client.mcp_work["w"].state == state


# -- transcriptions ----------------------------------------------------------------------------------------------------


def segment(talk: Talk) -> list[str]:
    place = {"item_id": "u", "content_index": 0}
    fields = {"id": "s", "text": "a", "speaker": "b", "start": 0, "end": 1}
    return rules(talk.hear("conversation.item.input_audio_transcription.segment", **place, **fields))


def test_a_segment_begins_a_transcription() -> None:
    talk = Talk()
    assert segment(talk) == []
    assert talk.client.conversation.transcription("u", 0).state == "streaming"


def test_a_segment_of_a_transcription_that_failed_is_reported() -> None:
    talk = Talk()
    talk.hear(
        "conversation.item.input_audio_transcription.failed", item_id="u", content_index=0, error={"message": "no"}
    )
    assert segment(talk) == ["R-T1"]
    assert talk.client.conversation.transcription("u", 0).state == "failed"


@pytest.mark.parametrize(
    ("end", "fields", "text"),
    [("completed", {"transcript": "hello"}, "hello"), ("failed", {"error": {"message": "no"}}, "")],
)
def test_an_update_of_a_transcription_that_is_over_is_reported_and_changes_nothing(
    end: str, fields: dict[str, Any], text: str
) -> None:
    talk = Talk()
    place = {"item_id": "u", "content_index": 0}
    talk.hear(f"conversation.item.input_audio_transcription.{end}", **fields, **place)
    late = talk.hear("conversation.item.input_audio_transcription.updated", transcript="hallo", **place)
    assert rules(late) == ["R-T1"]
    transcription = talk.client.conversation.transcription("u", 0)
    assert (transcription.state, transcription.text) == (end, text)


# -- items -------------------------------------------------------------------------------------------------------------


def test_the_end_of_an_item_that_comes_late_is_taken() -> None:
    talk = Talk()
    talk.say(message("m"))
    talk.hear("conversation.item.added", previous_item_id=None, item=said("m", "before"))
    assert rules(talk.hear("input_audio_buffer.cleared")) == ["R-C3", "R-I4"]
    assert rules(talk.hear("conversation.item.done", previous_item_id=None, item=said("m", "after"))) == []
    node = talk.client.conversation.get("m")
    assert node is not None
    assert (node.state, node.text) == ("completed", "after")


@pytest.mark.parametrize("state", ["added", "completed"])
def test_an_item_that_nobody_generated_does_not_end_as_output(state: str) -> None:
    talk = Talk()
    talk.say(message("m"))
    talk.hear("conversation.item.added", previous_item_id=None, item=said("m"))
    if state == "completed":
        talk.hear("conversation.item.done", previous_item_id=None, item=said("m"))
    talk.created("r")
    before = talk.client.conversation.dump()
    actions = talk.hear("response.output_item.done", response_id="r", output_index=0, item=said("m"))
    assert "R-C2" in rules(actions)
    assert talk.client.conversation.dump() == before


def test_a_member_that_is_not_ended_as_output_ends_with_its_response_and_is_reported() -> None:
    talk = Talk()
    talk.created("r")
    talk.generates("r", call("c"))
    talk.hear("conversation.item.done", previous_item_id=None, item=call("c"))
    assert rules(talk.done("r")) == ["R-C2"]
    node = talk.client.conversation.get("item_c")
    assert node is not None
    assert node.state == "completed"


def test_the_end_as_output_of_a_deleted_item_closes_its_parts() -> None:
    part = Part("audio_open")
    part.talk.say(m.ConversationItemDelete(item_id="i"))
    part.talk.hear("conversation.item.deleted", item_id="i")
    part.talk.hear("response.output_item.done", response_id="r", output_index=0, item=spoken("i"))
    assert part.state == "closed"


def test_an_output_out_of_band_that_only_ends_is_reported_and_no_member() -> None:
    talk = Talk()
    talk.created("r", conversation_id=None)
    done = {**said("i", role="assistant"), "status": "completed"}
    assert rules(talk.hear("response.output_item.done", response_id="r", output_index=0, item=done)) == ["R-C1"]
    assert list(talk.client.conversation) == []


def test_an_output_that_only_lacks_its_end_as_output_is_final_when_the_socket_is_lost() -> None:
    talk = Talk()
    talk.created("r")
    talk.generates("r", call("c"))
    talk.hear("conversation.item.done", previous_item_id=None, item={**call("c"), "status": "completed"})
    (node,) = talk.client.conversation
    assert node.state == "done"
    talk.lose_socket()
    assert (node.state, node.status) == ("completed", "completed")


@pytest.mark.parametrize("state", ["added", "lingering"])
def test_a_complete_member_that_only_lacks_its_end_is_final_in_the_next_session(state: str) -> None:
    talk = Talk(begun=False, renewal=RenewalPolicy(jitter=0))
    talk.client.start(0)
    talk.client.opened(0)
    talk.hear("session.created", session={"type": "realtime"})
    talk.say(message("m"))
    talk.hear("conversation.item.added", previous_item_id=None, item={**said("m"), "status": "completed"})
    if state == "lingering":
        talk.hear("input_audio_buffer.cleared")
    (node,) = talk.client.conversation
    assert node.state == state
    talk.lose_socket()
    talk.tick()
    talk.client.opened(talk.now)
    (node,) = talk.client.conversation
    assert (node.state, node.status) == ("completed", "completed")


def remote_call(**fields: Any) -> dict[str, Any]:
    """A call at a remote server, which may go on after its response (R-M1)."""
    return {"id": "w", "type": "mcp_call", "server_label": "docs", "name": "f", "arguments": "{}", **fields}


def outlives(talk: Talk) -> Node:
    """The member for such a call, when its response is over."""
    talk.created("r")
    talk.generates("r", remote_call())
    assert rules(talk.done("r", output=[remote_call()])) == []
    (node,) = talk.client.conversation
    assert node.state == "calling"
    return node


def test_a_remote_call_that_ends_as_output_first_has_its_output_and_still_ends_as_a_member() -> None:
    talk = Talk()
    node = outlives(talk)
    done = remote_call(output="found")
    assert rules(talk.hear("response.output_item.done", response_id="r", output_index=0, item=done)) == []
    assert isinstance(node.item, m.McpCallItem)
    assert (node.state, node.item.output) == ("calling", "found")
    assert rules(talk.hear("conversation.item.done", previous_item_id=None, item=done)) == []
    assert node.state == "called"


def test_a_remote_call_that_ended_in_both_places_is_final() -> None:
    talk = Talk()
    node = outlives(talk)
    done = remote_call(output="found")
    talk.hear("conversation.item.done", previous_item_id=None, item=done)
    assert node.state == "called"
    assert rules(talk.hear("response.output_item.done", response_id="r", output_index=0, item=done)) == []
    assert node.state == "completed"


# -- what is no deviation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["response.reasoning.delta", "vendor.hello", ""])
def test_an_event_of_unknown_type_is_delivered_and_not_judged(type: str) -> None:
    """R-E4"""
    talk = Talk()
    talk.speaks("r", "i", 100)
    before = talk.client.snapshot(0)
    assert delivered(talk.hear(type, response_id="r", surprise=[1])) == [type]
    assert (talk.client.reports, talk.client.snapshot(0)) == ({}, before)


@pytest.mark.parametrize(
    ("type", "fields"),
    [("updated", {"transcript": "hello"}), ("completed", {"transcript": "hello", "status": "in_progress"})],
)
def test_all_of_a_transcript_so_far_replaces_what_was_told_of_it(type: str, fields: dict[str, Any]) -> None:
    """R-T3"""
    talk = Talk()
    place = {"item_id": "u", "content_index": 0}
    talk.hear("conversation.item.input_audio_transcription.delta", delta="hallo wo", **place)
    talk.hear(f"conversation.item.input_audio_transcription.{type}", **fields, **place)
    transcription = talk.client.conversation.transcription("u", 0)
    assert (transcription.state, talk.client.reports) == ("streaming", {})
    talk.hear("conversation.item.input_audio_transcription.delta", delta=" world", **place)
    talk.adds({"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]})
    node = talk.client.conversation.get("u")
    assert node is not None
    assert node.text == "hello world"
