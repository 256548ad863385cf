"""What a session used, as far as the server told: the tokens of its responses, and beside them its transcriptions.

Everything is a sum of frozen values. Numbers come from the peer, so each is brought into 0 … 2**53-1 before it is
added, and a sum stops there. What a server leaves out counts as nothing, and a response of which it told nothing at all
is counted in ``unknown``: a sum with an ``unknown`` above 0 is a lower bound.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from antiphon.messages import (
    DurationUsage,
    InputTokenDetails,
    ResponseUsage,
    TokensUsage,
    TranscriptionUsage,
)

_MOST: Final = 2**53 - 1
"""The largest count that JSON, and every reader of it, holds exactly."""


class TokenCounts(Struct, frozen=True):
    """Tokens by modality. ``other`` are those whose modality the server did not tell."""

    text: int = 0
    audio: int = 0
    image: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Of all modalities."""
        return _sum(self.text, self.audio, self.image, self.other)

    def __add__(self, more: TokenCounts) -> TokenCounts:
        return TokenCounts(
            _sum(self.text, more.text),
            _sum(self.audio, more.audio),
            _sum(self.image, more.image),
            _sum(self.other, more.other),
        )

    def __bool__(self) -> bool:
        return bool(self.text or self.audio or self.image or self.other)


class TranscribedUsage(Struct, frozen=True):
    """Sums over all transcriptions of the users' audio; a server bills them by tokens or by seconds of audio.

    ``unknown`` counts those that came without usage.
    """

    transcriptions: int = 0
    unknown: int = 0
    seconds: float = 0.0
    input: TokenCounts = TokenCounts()
    output_tokens: int = 0

    def plus(self, usage: TranscriptionUsage | UnsetType | None) -> TranscribedUsage:
        """With one transcription more; ``usage`` None, or unset, where the server told nothing."""
        known = isinstance(usage, DurationUsage) and _seconds(usage.seconds) is not None
        if isinstance(usage, TokensUsage):
            known = any(_told(count) for count in (usage.total_tokens, usage.input_tokens, usage.output_tokens))
        return TranscribedUsage(
            _sum(self.transcriptions, 1),
            _sum(self.unknown, 0 if known else 1),
            min(self.seconds + ((_seconds(usage.seconds) or 0.0) if isinstance(usage, DurationUsage) else 0.0), _MOST),
            self.input + (_heard(usage) if isinstance(usage, TokensUsage) else TokenCounts()),
            _sum(self.output_tokens, _count(usage.output_tokens) if isinstance(usage, TokensUsage) else 0),
        )


class Usage(Struct, frozen=True):
    """Sums over the responses of a session, or what one response used. ``unknown`` counts responses without usage.

    ``input``, ``output`` and ``cached`` are by modality; cached tokens are counted in ``input`` too, and reasoning
    tokens in ``output``. ``transcription`` is apart from all of it: another model does that, at another price.
    """

    responses: int = 0
    unknown: int = 0
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    input: TokenCounts = TokenCounts()
    cached: TokenCounts = TokenCounts()
    output: TokenCounts = TokenCounts()
    transcription: TranscribedUsage = TranscribedUsage()

    @classmethod
    def of(cls, usage: ResponseUsage | UnsetType | None) -> Usage:
        """Of one response; ``usage`` None, unset or empty where the server told nothing."""
        if not usage or not any(map(_told, (usage.total_tokens, usage.input_tokens, usage.output_tokens))):
            return cls(responses=1, unknown=1)
        told, said = usage.input_token_details or None, usage.output_token_details or None
        heard, kept = _input(told, _count(usage.input_tokens)), _cached(told)
        output = _count(usage.output_tokens)
        text, audio = (_count(said.text_tokens), _count(said.audio_tokens)) if said else (0, 0)
        spoken = TokenCounts(text=text, audio=audio, other=max(0, output - text - audio))
        return cls(
            responses=1,
            total_tokens=_count(usage.total_tokens) if _told(usage.total_tokens) else _sum(heard.total, spoken.total),
            input_tokens=heard.total,
            output_tokens=spoken.total,
            cached_tokens=kept.total,
            reasoning_tokens=_count(said.reasoning_tokens) if said else 0,
            input=heard,
            cached=kept,
            output=spoken,
        )

    def plus(self, usage: ResponseUsage | UnsetType | None) -> Usage:
        """With one response more."""
        return self + Usage.of(usage)

    def transcribed(self, usage: TranscriptionUsage | UnsetType | None) -> Usage:
        """With one transcription more."""
        return self + Usage(transcription=TranscribedUsage().plus(usage))

    def __add__(self, more: Usage) -> Usage:
        mine, other = self.transcription, more.transcription
        return Usage(
            _sum(self.responses, more.responses),
            _sum(self.unknown, more.unknown),
            _sum(self.total_tokens, more.total_tokens),
            _sum(self.input_tokens, more.input_tokens),
            _sum(self.output_tokens, more.output_tokens),
            _sum(self.cached_tokens, more.cached_tokens),
            _sum(self.reasoning_tokens, more.reasoning_tokens),
            self.input + more.input,
            self.cached + more.cached,
            self.output + more.output,
            TranscribedUsage(
                _sum(mine.transcriptions, other.transcriptions),
                _sum(mine.unknown, other.unknown),
                min(mine.seconds + other.seconds, _MOST),
                mine.input + other.input,
                _sum(mine.output_tokens, other.output_tokens),
            ),
        )


def _told(value: int | UnsetType | None) -> bool:
    return value is not None and value is not UNSET


def _count(value: int | UnsetType | None) -> int:
    """A count of the peer's, within bounds."""
    return 0 if value is None or value is UNSET else max(0, min(value, _MOST))


def _seconds(value: float | UnsetType | None) -> float | None:
    if value is None or value is UNSET or not value >= 0:
        return None
    return min(float(value), float(_MOST))


def _sum(*counts: int) -> int:
    return min(sum(counts), _MOST)


def _input(details: InputTokenDetails | None, total: int) -> TokenCounts:
    if details is None:
        return TokenCounts(other=total)
    text, audio, image = _count(details.text_tokens), _count(details.audio_tokens), _count(details.image_tokens)
    return TokenCounts(text, audio, image, max(0, total - text - audio - image))


def _cached(details: InputTokenDetails | None) -> TokenCounts:
    if details is None:
        return TokenCounts()
    kinds = details.cached_tokens_details or None
    text, audio, image = (
        (_count(kinds.text_tokens), _count(kinds.audio_tokens), _count(kinds.image_tokens)) if kinds else (0, 0, 0)
    )
    return TokenCounts(text, audio, image, max(0, _count(details.cached_tokens) - text - audio - image))


def _heard(usage: TokensUsage) -> TokenCounts:
    details = usage.input_token_details or None
    text, audio = (_count(details.text_tokens), _count(details.audio_tokens)) if details else (0, 0)
    return TokenCounts(text=text, audio=audio, other=max(0, _count(usage.input_tokens) - text - audio))
