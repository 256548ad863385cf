"""One answer and how it went: the row of a table of turns."""

from __future__ import annotations

from msgspec import Struct

from antiphon.engine.timers import Instant
from antiphon.engine.usage import Usage

__all__ = ["Turn"]


class Turn(Struct, kw_only=True):
    """One response, from the end of the turn that it answers. `antiphon.toolkit.Analytics` fills it in as the events
    come, and hands it out when nothing more can change.

    Instants are ns of the recording's clock, durations ms; all are None where there was no clock, or where it did not
    come to that. ``status`` is None as long as the response goes on, ``reason`` the server's why for one that was cut
    short, ``error`` the class and code of what failed.

    ``interrupted``: the user spoke into it, or it was cut. ``cut``: the listener did not get all of it. ``received_ms``
    is the audio that came, ``heard_ms`` what was played of it: the player's own word where the recording has it, else
    where the cut stands; None where nobody told.
    """

    response_id: str
    turn_ended: Instant | None = None
    created: Instant | None = None
    ended: Instant | None = None
    status: str | None = None
    reason: str | None = None
    error: str | None = None
    first_token_ms: float | None = None
    first_audio_ms: float | None = None
    latency_ms: float | None = None
    voice_latency_ms: float | None = None
    duration_ms: float | None = None
    interrupted: bool = False
    cut: bool = False
    received_ms: float = 0.0
    heard_ms: float | None = None
    calls: int = 0
    usage: Usage = Usage()
    model: str | None = None
    transcription_model: str | None = None
