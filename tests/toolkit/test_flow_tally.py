"""Which flows the turns of a session went: sorted by response, chosen by what was said, counted."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import messages as m
from antiphon.toolkit import FLOWS, FlowTally

PLACE: dict[str, Any] = {"response_id": "r", "item_id": "a", "output_index": 0, "content_index": 0}
USER = m.MessageItem(id="u", role="user", content=[])
ANSWER = m.MessageItem(id="a", role="assistant", content=[])
CALL = m.FunctionCallItem(id="a", call_id="c", name="f", arguments="")
PART = m.OutputText(text="")

CREATED = m.ResponseCreated(response=m.Response(id="r", status="in_progress"))
DONE = m.ResponseDone(response=m.Response(id="r", status="completed"))
SPEECH = (
    m.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0),
    m.InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=900),
    m.InputAudioBufferCommitted(item_id="u", previous_item_id=None),
)
HEARD = (
    m.ConversationItemAdded(item=USER, previous_item_id=None),
    m.ConversationItemDone(item=USER, previous_item_id=None),
)


def announced(item: m.Item) -> tuple[Any, ...]:
    return (
        m.ResponseOutputItemAdded(response_id="r", output_index=0, item=item),
        m.ConversationItemAdded(item=item, previous_item_id="u"),
    )


def finished(item: m.Item) -> tuple[Any, ...]:
    return (
        m.ConversationItemDone(item=item, previous_item_id="u"),
        m.ResponseOutputItemDone(response_id="r", output_index=0, item=item),
        DONE,
    )


TEXT = (
    CREATED,
    *announced(ANSWER),
    m.ResponseContentPartAdded(part=PART, **PLACE),
    m.ResponseOutputTextDelta(delta="a", **PLACE),
    m.ResponseOutputTextDelta(delta="b", **PLACE),
    m.ResponseOutputTextDone(text="ab", **PLACE),
    m.ResponseContentPartDone(part=PART, **PLACE),
    *finished(ANSWER),
)
SOUND = (
    m.ResponseContentPartAdded(part=PART, **PLACE),
    *((m.ResponseOutputAudioTranscriptDelta(delta="a", **PLACE), m.ResponseOutputAudioDelta(delta="", **PLACE)) * 3),
    m.ResponseOutputAudioDone(**PLACE),
    m.ResponseOutputAudioTranscriptDone(transcript="aaa", **PLACE),
    m.ResponseContentPartDone(part=PART, **PLACE),
)
ARGUMENTS = m.ResponseFunctionCallArgumentsDone(
    response_id="r", item_id="a", output_index=0, call_id="c", name="f", arguments="{}"
)


def tally(*events: Any) -> FlowTally:
    flows = FlowTally()
    for event in events:
        flows.observe(event)
    return flows


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("text response", TEXT),
        ("text response", (*HEARD, *TEXT)),
        ("text response", (*SPEECH, *HEARD, *TEXT)),
        ("audio response", (CREATED, *announced(ANSWER), *SOUND, *finished(ANSWER))),
        ("audio response", (*SPEECH[2:], *HEARD, CREATED, *announced(ANSWER), *SOUND, *finished(ANSWER))),
        ("spoken turn", (*SPEECH, *HEARD, CREATED, *announced(ANSWER), *SOUND, *finished(ANSWER))),
        ("function call", (CREATED, *announced(CALL), ARGUMENTS, *finished(CALL))),
        ("function call", (*SPEECH, *HEARD, CREATED, *announced(CALL), ARGUMENTS, *finished(CALL))),
    ],
)
def test_a_turn_is_held_against_the_flow_of_its_kind(name: str, events: tuple[Any, ...]) -> None:
    flows = tally(*events)
    assert (list(flows.flows), flows.flows[name].matched, flows.flows[name].differed) == ([name], 1, 0)
    assert not flows.not_compared


def test_a_difference_is_counted_and_told() -> None:
    flows = FlowTally()
    told = [flows.observe(event) for event in TEXT if event is not TEXT[8]]
    assert next(match for match in told if match is not None).flow == "text response"
    assert flows.flows["text response"].differences == {"- conversation.item.done": 1}
    assert flows.flows["text response"].differed == 1


def test_what_was_cut_short_is_not_compared() -> None:
    cancelled = m.ResponseDone(response=m.Response(id="r", status="cancelled"))
    nameless = m.ResponseDone(response=m.Response(id="r"))
    flows = tally(*TEXT[:-1], cancelled, CREATED, nameless)
    assert flows.flows == {}
    assert flows.not_compared == {"cancelled": 1, "(no status)": 1}


def test_what_no_flow_describes_is_not_compared() -> None:
    two = m.ResponseOutputItemAdded(response_id="r", output_index=1, item=ANSWER)
    flows = tally(CREATED, DONE, DONE, *TEXT[:-1], two, DONE)
    assert flows.not_compared == {"no flow describes it": 3}


def test_a_response_of_more_events_than_are_kept_is_not_compared() -> None:
    flood = [each for _ in range(600) for each in (TEXT[3], TEXT[7])]
    flows = tally(CREATED, *announced(ANSWER), *flood, TEXT[6], *finished(ANSWER))
    assert flows.not_compared == {"no flow describes it": 1}


def test_events_that_could_not_be_read_or_belong_to_no_response_are_passed_over() -> None:
    broken = m.Malformed.of({"type": "response.done"}, ())
    flows = tally(broken, *HEARD, TEXT[4], announced(ANSWER)[1], m.UnknownEvent.of({"type": "vendor.news"}), *TEXT)
    assert flows.flows["text response"].matched == 1


def test_only_so_many_responses_are_followed_at_a_time() -> None:
    flows = tally(*(m.ResponseCreated(response=m.Response(id=f"r{number}")) for number in range(100)))
    assert flows.not_compared == {"followed too long": 36}


def test_merging_is_adding() -> None:
    one, two = tally(*TEXT), tally(*TEXT, *TEXT[:8], *TEXT[9:], CREATED, DONE)
    one.merge(two)
    assert (one.flows["text response"].matched, one.flows["text response"].differed) == (2, 1)
    assert one.flows["text response"].differences == {"- conversation.item.done": 1}
    assert one.not_compared == {"no flow describes it": 1}


def test_differences_are_counted_by_name_up_to_a_bound() -> None:
    flows = FlowTally()
    for number in range(300):
        other = FlowTally()
        other.merge(tally(*TEXT[:8], *TEXT[9:]))
        other.flows["text response"].differences = {f"+ vendor.{number}": 1}
        flows.merge(other)
    differences = flows.flows["text response"].differences
    assert (len(differences), differences["(other)"]) == (257, 44)


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_fits_says_what_match_says(name: str) -> None:
    for events in (TEXT, (*SPEECH, *HEARD, CREATED, *announced(ANSWER), *SOUND, *finished(ANSWER)), ()):
        types = [event.type for event in events]
        assert FLOWS[name].fits(types) is FLOWS[name].match(types).matches
        assert FLOWS[name].fits(types[:-1]) is FLOWS[name].match(types[:-1]).matches
