"""`antiphon.engine.usage`: what a session used, as far as the server told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET, convert

from antiphon import Report, Snapshot, TokenCounts, TranscribedUsage, Usage
from antiphon import messages as m
from unit.engine_helpers import Talk

MOST = 2**53 - 1

WHOLE: dict[str, Any] = {
    "total_tokens": 300,
    "input_tokens": 200,
    "output_tokens": 100,
    "input_token_details": {
        "text_tokens": 120,
        "audio_tokens": 70,
        "image_tokens": 10,
        "cached_tokens": 90,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 20, "image_tokens": 6},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 70, "reasoning_tokens": 12},
}


def used(**fields: Any) -> m.ResponseUsage:
    return convert(fields, m.ResponseUsage)


def completed(talk: Talk, item_id: str, **fields: Any) -> None:
    talk.hear(
        "conversation.item.input_audio_transcription.completed",
        **{"item_id": item_id, "content_index": 0, "transcript": "hello", **fields},
    )


# -- one response ------------------------------------------------------------------------------------------------------


def test_tokens_are_told_apart_by_modality() -> None:
    assert Usage.of(used(**WHOLE)) == Usage(
        responses=1,
        total_tokens=300,
        input_tokens=200,
        output_tokens=100,
        cached_tokens=90,
        reasoning_tokens=12,
        input=TokenCounts(text=120, audio=70, image=10),
        cached=TokenCounts(text=64, audio=20, image=6),
        output=TokenCounts(text=30, audio=70),
    )


def test_tokens_of_an_untold_modality_are_kept_as_such() -> None:
    usage = Usage.of(used(input_tokens=20, output_tokens=9, input_token_details={"text_tokens": 5, "cached_tokens": 4}))
    assert usage.input == TokenCounts(text=5, other=15)
    assert usage.cached == TokenCounts(other=4)
    assert usage.output == TokenCounts(other=9)


@pytest.mark.parametrize("usage", [None, UNSET, used(), used(total_tokens=None), used(input_token_details={})])
def test_a_response_without_usage_is_unknown_and_not_free(usage: m.ResponseUsage | None) -> None:
    assert Usage.of(usage) == Usage(responses=1, unknown=1)


def test_a_total_that_was_left_out_is_the_sum_of_its_parts() -> None:
    usage = Usage.of(used(total_tokens=None, output_tokens=7, input_token_details={"text_tokens": 1}))
    assert (usage.total_tokens, usage.input_tokens, usage.output_tokens) == (8, 1, 7)


def test_details_that_exceed_their_sum_are_believed() -> None:
    usage = Usage.of(used(input_tokens=3, input_token_details={"audio_tokens": 5}))
    assert (usage.input, usage.input_tokens) == (TokenCounts(audio=5), 5)


@pytest.mark.parametrize(("told", "counted"), [(-5, 0), (10**40, MOST), (0, 0)])
def test_a_count_out_of_bounds_is_brought_within_them(told: int, counted: int) -> None:
    assert Usage.of(used(total_tokens=told)).total_tokens == counted


# -- sums --------------------------------------------------------------------------------------------------------------


def test_the_tokens_of_each_response_are_added() -> None:
    twice = Usage().plus(used(**WHOLE)).plus(used(**WHOLE))
    assert (twice.responses, twice.total_tokens, twice.cached_tokens, twice.reasoning_tokens) == (2, 600, 180, 24)
    assert twice.input == TokenCounts(text=240, audio=140, image=20)
    assert twice.cached == TokenCounts(text=128, audio=40, image=12)
    assert twice.output == TokenCounts(text=60, audio=140)


def test_a_response_without_usage_adds_nothing_but_itself() -> None:
    known = Usage().plus(used(**WHOLE))
    assert known.plus(None) == known + Usage(responses=1, unknown=1)
    assert known.plus(None).total_tokens == 300


def test_adding_leaves_the_sum_before_as_it_was() -> None:
    before = Usage()
    before.plus(used(total_tokens=1))
    assert before == Usage()


def test_a_sum_stops_where_json_stops_being_exact() -> None:
    huge = used(total_tokens=10**40, input_tokens=10**40)
    assert Usage().plus(huge).plus(huge).total_tokens == MOST
    assert Usage().plus(huge).plus(huge).input == TokenCounts(other=MOST)


def test_counts_are_false_only_when_all_are_nothing() -> None:
    assert not TokenCounts()
    assert TokenCounts(other=1)
    assert TokenCounts(1, 2, 3, 4).total == 10


# -- transcriptions ----------------------------------------------------------------------------------------------------


def test_transcriptions_are_counted_by_tokens_or_by_seconds() -> None:
    usage = (
        TranscribedUsage()
        .plus(m.DurationUsage(seconds=2.5))
        .plus(convert({"total_tokens": 13, "input_tokens": 10, "output_tokens": 3}, m.TokensUsage))
        .plus(
            convert(
                {"type": "tokens", "input_tokens": 8, "input_token_details": {"audio_tokens": 6, "text_tokens": 2}},
                m.TokensUsage,
            )
        )
    )
    assert usage == TranscribedUsage(
        transcriptions=3, seconds=2.5, input=TokenCounts(text=2, audio=6, other=10), output_tokens=3
    )


@pytest.mark.parametrize("usage", [None, UNSET, m.TokensUsage(), m.DurationUsage(), m.DurationUsage(seconds=-1.0)])
def test_a_transcription_without_usage_is_unknown(usage: m.TranscriptionUsage | None) -> None:
    assert TranscribedUsage().plus(usage) == TranscribedUsage(transcriptions=1, unknown=1)


def test_seconds_never_grow_beyond_what_json_can_say() -> None:
    usage = Usage().transcribed(m.DurationUsage(seconds=1e308)).transcribed(m.DurationUsage(seconds=1e308))
    assert usage.transcription.seconds == MOST


# -- a session ---------------------------------------------------------------------------------------------------------


def test_a_session_sums_over_its_responses_and_each_response_has_its_own() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1", usage=WHOLE)
    talk.created("r2")
    talk.done("r2", usage=None)
    assert talk.client.usage == Usage.of(used(**WHOLE)) + Usage(responses=1, unknown=1)
    assert talk.client.responses["r1"].usage == Usage.of(used(**WHOLE))
    assert talk.client.responses["r2"].usage == Usage(responses=1, unknown=1)


def test_a_response_in_progress_has_no_usage() -> None:
    talk = Talk()
    talk.created("r1")
    assert talk.client.responses["r1"].usage is None


def test_a_response_that_is_told_done_twice_is_counted_once() -> None:
    """R-U1"""
    talk = Talk()
    talk.created("r1")
    talk.done("r1", usage={"total_tokens": 12})
    talk.done("r1", usage={"total_tokens": 12})
    assert (talk.client.usage.responses, talk.client.usage.total_tokens) == (1, 12)


def test_usage_beside_an_empty_one_of_the_response_counts() -> None:
    talk = Talk()
    talk.created("r1")
    body = {"id": "r1", "status": "completed", "output": [], "conversation_id": "conv", "usage": {}}
    talk.hear("response.done", response=body, usage={"total_tokens": 5, "input_tokens": 4, "output_tokens": 1})
    assert (talk.client.usage.unknown, talk.client.usage.total_tokens) == (0, 5)


@pytest.mark.parametrize("usage", ["unimplemented", 7, [], {"total_tokens": "many"}, {"input_tokens": {}}])
def test_usage_of_a_strange_shape_is_unknown_and_ends_its_response(usage: object) -> None:
    talk = Talk()
    talk.created("r1")
    actions = talk.done("r1", usage=usage)
    assert talk.client.default_response is None
    assert talk.client.usage == Usage(responses=1, unknown=1)
    assert any(isinstance(action, Report) and "usage" in action.path for action in actions)


def test_a_response_whose_end_is_malformed_is_unknown() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.done", response=7)
    assert talk.client.usage == Usage(responses=1, unknown=1)


def test_a_response_out_of_band_is_counted() -> None:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    talk.done("r1", conversation_id=None, usage={"total_tokens": 3})
    assert talk.client.usage.total_tokens == 3


def test_a_session_counts_each_transcription_once() -> None:
    """R-U2"""
    talk = Talk()
    completed(talk, "i1", usage={"type": "duration", "seconds": 4})
    completed(talk, "i1", usage={"type": "duration", "seconds": 4})
    completed(talk, "i2")
    assert talk.client.usage.transcription == TranscribedUsage(transcriptions=2, unknown=1, seconds=4.0)
    assert talk.client.usage.responses == 0


def test_a_transcription_that_is_completed_in_steps_is_counted_with_its_last() -> None:
    talk = Talk()
    completed(talk, "i1", status="in_progress", usage={"type": "duration", "seconds": 1})
    assert talk.client.usage.transcription == TranscribedUsage()
    completed(talk, "i1", status="completed", usage={"type": "duration", "seconds": 4})
    assert talk.client.usage.transcription == TranscribedUsage(transcriptions=1, seconds=4.0)


def test_the_transcription_of_a_deleted_item_was_used_all_the_same() -> None:
    talk = Talk()
    talk.adds({"id": "i1", "type": "message", "role": "user", "content": [{"type": "input_audio"}]})
    talk.hear("conversation.item.deleted", item_id="i1")
    completed(talk, "i1", usage={"type": "tokens", "total_tokens": 3, "input_tokens": 2, "output_tokens": 1})
    assert talk.client.usage.transcription.output_tokens == 1
    assert talk.client.conversation.get("i1") is None


def test_usage_survives_a_restore() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1", usage=WHOLE)
    completed(talk, "i1", usage={"type": "duration", "seconds": 4.5})
    snapshot = Snapshot.decode(talk.client.snapshot(talk.now).encode())
    again = type(talk.client).restore(snapshot, talk.config, now=0)
    assert again.usage == talk.client.usage
    assert again.responses["r1"].usage == talk.client.responses["r1"].usage
