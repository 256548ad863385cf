"""`antiphon.engine.prices`: what usage costs by the application's prices, and what has none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from antiphon import Prices, PriceTable, TokenCounts, TranscribedUsage, Usage
from unit.engine_helpers import Talk

MILLION = 1_000_000
TALKER = Prices(
    text_input=Decimal(4),
    audio_input=Decimal(32),
    image_input=Decimal(5),
    cached_text_input=Decimal("0.4"),
    cached_audio_input=Decimal("0.4"),
    text_output=Decimal(16),
    audio_output=Decimal(64),
)
WRITER = Prices(audio_minute=Decimal("0.006"), text_input=Decimal(2), audio_input=Decimal(6), text_output=Decimal(10))
TABLE = PriceTable(models={"talker": TALKER, "writer": WRITER})


def cost(usage: Usage, model: str | None = "talker", transcription_model: str | None = "writer") -> Any:
    return TABLE.cost(usage, model=model, transcription_model=transcription_model)


def test_each_modality_has_its_price() -> None:
    usage = Usage(
        input=TokenCounts(text=MILLION, audio=MILLION, image=MILLION), output=TokenCounts(text=MILLION, audio=MILLION)
    )
    told = cost(usage)
    assert (told.amount, told.currency, told.complete) == (Decimal(4 + 32 + 5 + 16 + 64), "USD", True)


def test_cached_input_is_charged_at_its_own_price_and_not_twice() -> None:
    usage = Usage(input=TokenCounts(text=MILLION, audio=MILLION), cached=TokenCounts(text=MILLION, audio=MILLION // 2))
    assert cost(usage).amount == Decimal("0.4") + Decimal("0.2") + Decimal(16)


def test_cached_input_without_a_price_of_its_own_costs_what_input_costs() -> None:
    assert cost(Usage(input=TokenCounts(image=MILLION), cached=TokenCounts(image=MILLION))).amount == Decimal(5)


def test_cached_tokens_of_an_untold_modality_get_no_discount() -> None:
    assert cost(Usage(input=TokenCounts(text=MILLION), cached=TokenCounts(other=MILLION))).amount == Decimal(4)


def test_no_more_is_taken_for_cached_than_was_input() -> None:
    assert cost(Usage(input=TokenCounts(text=MILLION), cached=TokenCounts(text=9 * MILLION))).amount == Decimal("0.4")


def test_tokens_of_an_untold_modality_have_no_price_where_prices_differ() -> None:
    told = cost(Usage(input=TokenCounts(other=7), output=TokenCounts(other=5)))
    assert (told.amount, told.unpriced) == (Decimal(0), {"input": 7, "output": 5})
    assert not told.complete


def test_tokens_of_an_untold_modality_have_the_price_that_all_modalities_share() -> None:
    flat = PriceTable(models={"flat": Prices(text_output=Decimal(3), audio_output=Decimal(3))}, currency="EUR")
    told = flat.cost(Usage(output=TokenCounts(other=MILLION)), model="flat")
    assert (told.amount, told.currency, told.unpriced) == (Decimal(3), "EUR", {})


@pytest.mark.parametrize("model", [None, "somebody"])
def test_a_model_that_is_not_in_the_table_is_not_free(model: str | None) -> None:
    """R-U4"""
    told = cost(Usage(responses=1, input=TokenCounts(text=3), output=TokenCounts(audio=2)), model)
    assert (told.amount, told.unpriced) == (Decimal(0), {"text_input": 3, "audio_output": 2})


def test_a_response_without_usage_makes_a_cost_incomplete() -> None:
    assert cost(Usage(responses=2, unknown=1)).unpriced == {"responses": 1}


def test_transcription_is_charged_by_its_own_model() -> None:
    usage = Usage(
        transcription=TranscribedUsage(
            transcriptions=3, seconds=90.0, input=TokenCounts(text=MILLION, audio=MILLION), output_tokens=MILLION
        )
    )
    assert cost(usage).amount == Decimal("0.009") + Decimal(2 + 6 + 10)
    assert cost(usage, "talker", None).unpriced == {
        "transcription_text_input": MILLION,
        "transcription_audio_input": MILLION,
        "transcription_output": MILLION,
        "transcription_seconds": 90.0,
    }


def test_transcriptions_without_usage_make_a_cost_incomplete() -> None:
    assert cost(Usage(transcription=TranscribedUsage(transcriptions=1, unknown=1))).unpriced == {"transcriptions": 1}


def test_nothing_used_costs_nothing_whatever_is_known() -> None:
    told = PriceTable(models={}).cost(Usage(), model=None)
    assert (told.amount, told.complete) == (Decimal(0), True)


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="text_output"):
        Prices(text_output=Decimal(price))


def test_a_session_knows_its_cost_by_the_models_that_it_names() -> None:
    talk = Talk(session={"model": "talker", "audio": {"input": {"transcription": {"model": "writer"}}}})
    talk.created("r1")
    talk.done("r1", usage={"total_tokens": 10, "output_tokens": 10, "output_token_details": {"audio_tokens": 10}})
    talk.hear(
        "conversation.item.input_audio_transcription.completed",
        item_id="i1",
        content_index=0,
        transcript="hm",
        usage={"type": "duration", "seconds": 60},
    )
    told = talk.client.cost(TABLE)
    assert told.amount == Decimal("0.006") + Decimal(64) * 10 / MILLION
    assert told.complete


def test_a_session_that_was_not_announced_has_no_model_to_price() -> None:
    talk = Talk(begun=False)
    assert talk.client.cost(TABLE).amount == Decimal(0)
