"""What usage costs, by the application's own prices.

No price stands in this library: they change without notice, and a made-up one is worse than none. The application gives
a `PriceTable`; what it has no price for is named in the answer and not counted as free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from msgspec import Struct

from antiphon.engine.usage import TokenCounts, Usage

_MILLION: Final = Decimal(1_000_000)
_MINUTE: Final = Decimal(60)


class Prices(Struct, frozen=True, kw_only=True):
    """The prices of one model: of a million tokens each, and of a minute of audio. None: not known.

    Cached input without a price of its own costs what input costs, where that is known. Reasoning is output.
    """

    text_input: Decimal | None = None
    audio_input: Decimal | None = None
    image_input: Decimal | None = None
    cached_text_input: Decimal | None = None
    cached_audio_input: Decimal | None = None
    cached_image_input: Decimal | None = None
    text_output: Decimal | None = None
    audio_output: Decimal | None = None
    audio_minute: Decimal | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            price = getattr(self, name)
            if price is not None and not (price.is_finite() and price >= 0):
                raise ValueError(f"{name} must be a finite price of at least 0, not {price}")


class Cost(Struct, frozen=True):
    """What was used, in ``currency``. ``unpriced`` names what is not in ``amount``: tokens, or seconds, by kind."""

    amount: Decimal
    currency: str
    unpriced: Mapping[str, float]

    @property
    def complete(self) -> bool:
        """Whether everything that was used had a price, and the server told what was used."""
        return not self.unpriced


class PriceTable(Struct, frozen=True, kw_only=True):
    """Prices by the name of the model, as the session names it; ``currency`` is the application's word for the unit."""

    models: Mapping[str, Prices]
    currency: str = "USD"

    def cost(self, usage: Usage, *, model: str | None, transcription_model: str | None = None) -> Cost:
        """What ``usage`` costs with ``model`` as the one that responds and ``transcription_model`` as the other one.

        Tokens whose modality the server did not tell have no price, unless all prices that they could have are equal.
        Where it did not tell the modality of cached tokens, they are taken for input that was not cached.
        """
        speaking = self.models.get(model, _NONE) if model is not None else _NONE
        writing = self.models.get(transcription_model, _NONE) if transcription_model is not None else _NONE
        amount = Decimal(0)
        unpriced: dict[str, float] = {}
        for kind, count, price in (*_responses(usage, speaking), *_transcriptions(usage, writing)):
            if not count:
                continue
            if price is None:
                unpriced[kind] = unpriced.get(kind, 0) + count
            else:
                amount += price * Decimal(count)
        return Cost(amount, self.currency, unpriced)


_NONE: Final = Prices()

Line = tuple[str, float, Decimal | None]
"""What is charged: its kind, how much of it, and the price of one."""


def _responses(usage: Usage, prices: Prices) -> Iterator[Line]:
    heard, kept, said = usage.input, usage.cached, usage.output
    for name in ("text", "audio", "image"):
        price: Decimal | None = getattr(prices, f"{name}_input")
        cached: Decimal | None = getattr(prices, f"cached_{name}_input")
        of_cache = min(getattr(kept, name), getattr(heard, name))
        yield f"{name}_input", getattr(heard, name) - of_cache, _each(price)
        yield f"cached_{name}_input", of_cache, _each(price if cached is None else cached)
    yield "input", heard.other, _each(_same(prices.text_input, prices.audio_input, prices.image_input))
    yield from _output(said, prices)
    yield "responses", usage.unknown, None


def _output(said: TokenCounts, prices: Prices) -> Iterator[Line]:
    yield "text_output", said.text, _each(prices.text_output)
    yield "audio_output", said.audio, _each(prices.audio_output)
    yield "output", said.other, _each(_same(prices.text_output, prices.audio_output))


def _transcriptions(usage: Usage, prices: Prices) -> Iterator[Line]:
    used = usage.transcription
    yield "transcription_text_input", used.input.text, _each(prices.text_input)
    yield "transcription_audio_input", used.input.audio, _each(prices.audio_input)
    yield "transcription_input", used.input.other, _each(_same(prices.text_input, prices.audio_input))
    yield "transcription_output", used.output_tokens, _each(prices.text_output)
    minute = prices.audio_minute
    yield "transcription_seconds", used.seconds, None if minute is None else minute / _MINUTE
    yield "transcriptions", used.unknown, None


def _each(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else per_million / _MILLION


def _same(*prices: Decimal | None) -> Decimal | None:
    """The one price that all have, None when they differ or are unknown."""
    first = prices[0]
    return first if all(price == first for price in prices) else None
