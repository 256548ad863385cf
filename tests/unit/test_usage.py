"""`antiphon.engine.usage`: what a session cost, as far as the server told."""

from __future__ import annotations

from antiphon import messages as m
from antiphon.engine.usage import Usage
from unit.engine_helpers import Talk


def test_the_tokens_of_each_response_are_added() -> None:
    first = m.ResponseUsage(total_tokens=30, input_tokens=20, output_tokens=10)
    second = m.ResponseUsage(
        total_tokens=5, input_tokens=4, output_tokens=1, input_token_details=m.InputTokenDetails(cached_tokens=3)
    )
    assert Usage().plus(first).plus(second) == Usage(
        responses=2, total_tokens=35, input_tokens=24, output_tokens=11, cached_tokens=3
    )


def test_a_response_without_usage_is_counted_as_unknown_and_costs_nothing() -> None:
    known = Usage(responses=1, total_tokens=3, input_tokens=2, output_tokens=1, cached_tokens=1)
    assert known.plus(None) == Usage(
        responses=2, unknown=1, total_tokens=3, input_tokens=2, output_tokens=1, cached_tokens=1
    )


def test_numbers_that_the_server_left_out_or_null_count_as_nothing() -> None:
    usage = m.ResponseUsage(total_tokens=None, output_tokens=7, input_token_details=m.InputTokenDetails(text_tokens=1))
    assert Usage().plus(usage) == Usage(responses=1, output_tokens=7)


def test_adding_leaves_the_sum_before_as_it_was() -> None:
    before = Usage()
    before.plus(m.ResponseUsage(total_tokens=1))
    assert before == Usage()


def test_a_session_sums_over_its_responses_with_and_without_usage() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1", usage={"total_tokens": 12, "input_tokens": 8, "output_tokens": 4})
    talk.created("r2")
    talk.done("r2", usage=None)
    assert talk.client.usage == Usage(responses=2, unknown=1, total_tokens=12, input_tokens=8, output_tokens=4)


def test_a_response_that_is_told_done_twice_is_counted_once() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1", usage={"total_tokens": 12})
    talk.done("r1", usage={"total_tokens": 12})
    assert talk.client.usage == Usage(responses=1, total_tokens=12)
