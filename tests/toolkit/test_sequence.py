"""Expected flows: what matches, and how a difference reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.toolkit import FLOWS, Flow

TRACES = Path(__file__).resolve().parents[1] / "traces"
CREATED, DELTA, DONE = "response.created", "response.output_text.delta", "response.done"
SMALL = Flow("small", CREATED, f"{DELTA}+", DONE)


def test_events_as_expected_match() -> None:
    match = SMALL.match([CREATED, DELTA, DELTA, DONE])
    assert match.matches
    assert match.rate == 1.0
    assert str(match).splitlines() == [
        "small: as expected",
        "  response.created",
        "  response.output_text.delta  x2",
        "  response.done",
    ]


def test_a_missing_step_and_an_unexpected_event_read_like_a_diff() -> None:
    match = SMALL.match([CREATED, CREATED, DONE])
    assert not match.matches
    assert str(match).splitlines() == [
        "small: differs",
        "  response.created",
        "+ response.created",
        "- response.output_text.delta+",
        "  response.done",
    ]


def test_an_event_out_of_order_is_missing_in_one_place_and_unexpected_in_another() -> None:
    kinds = [(line.kind, line.what) for line in SMALL.match([DELTA, CREATED, DONE]).lines]
    assert sorted(kind for kind, _ in kinds) == ["missing", "same", "same", "unexpected"]


def test_events_that_the_flow_does_not_name_may_come_anywhere() -> None:
    assert SMALL.match(["rate_limits.updated", CREATED, "ping", DELTA, DONE, "rate_limits.updated"]).matches


def test_the_names_of_the_beta_are_understood_on_both_sides() -> None:
    assert SMALL.match([CREATED, "response.text.delta", DONE]).matches
    assert Flow("beta", CREATED, "response.text.delta+", DONE).match([CREATED, DELTA, DONE]).matches


@pytest.mark.parametrize(
    ("step", "counts"), [("a", {1}), ("a?", {0, 1}), ("a*", {0, 1, 2, 3}), ("a+", {1, 2, 3}), ("a|b*", {0, 1, 2, 3})]
)
def test_a_sign_says_how_often(step: str, counts: set[int]) -> None:
    flow = Flow("flow", "x", step, "y")
    assert {count for count in range(4) if flow.match(["x", *["a"] * count, "y"]).matches} == counts


def test_one_of_several_types_will_do_in_any_mixture() -> None:
    assert Flow("flow", "a|b+").match("abbab").matches
    assert not Flow("flow", "a|b").match("ab").matches


@pytest.mark.parametrize("step", ["", "?", "a||b", "a b", "a?b", "|"])
def test_a_step_that_makes_no_sense_is_refused(step: str) -> None:
    with pytest.raises(ValueError, match="is no step"):
        Flow("flow", step)


def _types(trace: str, response_only: bool) -> list[str]:
    rows = [json.loads(line) for line in (TRACES / trace).read_text().splitlines()]
    events = [row["event"]["type"] for row in rows if row.get("dir") == "server"]
    return [name for name in events if not response_only or name.startswith(("response.", "conversation.item."))]


def test_a_recorded_text_turn_flows_as_expected() -> None:
    types = _types("text_turn.jsonl", response_only=True)
    start = types.index("response.created")
    assert FLOWS["text response"].match(types[start : types.index("response.done") + 1]).matches
    assert not FLOWS["audio response"].match(types[start : types.index("response.done") + 1]).matches


@given(st.lists(st.sampled_from("abcx"), max_size=30), st.permutations(["a", "b+", "c?", "a|c*"]))
def test_the_lines_tell_every_event_once_and_in_order(events: list[str], steps: list[str]) -> None:
    flow = Flow("flow", *steps)
    lines = flow.match(events).lines
    told = [line.what for line in lines if line.kind != "missing" for _ in range(line.count)]
    assert told == [name for name in events if name in "abc"]


def test_a_long_answer_is_compared_quickly() -> None:
    assert SMALL.match([CREATED, *[DELTA] * 100_000, DONE]).matches


def test_a_flow_is_printed_as_it_was_written() -> None:
    assert repr(Flow("turn", "response.created", "response.text.delta*")) == (
        "Flow('turn', 'response.created', 'response.text.delta*')"
    )
