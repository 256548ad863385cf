"""What the responses of a session cost, in tokens, as far as the server told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from antiphon.messages import ResponseUsage


class Usage(Struct, frozen=True):
    """Sums over all responses of the session. ``unknown`` counts the responses that came without usage."""

    responses: int = 0
    unknown: int = 0
    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def plus(self, usage: ResponseUsage | None) -> Usage:
        """With one response more; ``usage`` None where the server told nothing."""
        if usage is None:
            return Usage(
                self.responses + 1,
                self.unknown + 1,
                self.total_tokens,
                self.input_tokens,
                self.output_tokens,
                self.cached_tokens,
            )
        details = usage.input_token_details or None
        return Usage(
            self.responses + 1,
            self.unknown,
            self.total_tokens + (usage.total_tokens or 0),
            self.input_tokens + (usage.input_tokens or 0),
            self.output_tokens + (usage.output_tokens or 0),
            self.cached_tokens + ((details.cached_tokens or 0) if details else 0),
        )
