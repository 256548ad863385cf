"""The events that only a translation session has: audio in, audio and text out, and an end that is asked for.

`session.update`, `session.created` and `session.updated` are those of every session, about a `TranslationSession`.
Another family of the service uses some of these names for events of its own; a session that does not translate takes
them for unknown.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from msgspec import UNSET

from ._base import ClientEventBase, Maybe, ServerEventBase


class SessionInputAudioBufferAppend(
    ClientEventBase, frozen=True, kw_only=True, gc=False, tag="session.input_audio_buffer.append"
):
    """Add base64 `audio`: PCM16, 24 kHz, mono, silence too. The server works in frames of 200 ms, and answers with
    deltas."""

    type: ClassVar[Literal["session.input_audio_buffer.append"]] = "session.input_audio_buffer.append"
    _concealed: ClassVar[frozenset[str]] = frozenset({"audio"})
    audio: str


class SessionClose(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="session.close"):
    """No more audio follows: translate what is pending, then end the session."""

    type: ClassVar[Literal["session.close"]] = "session.close"


class SessionInputTranscriptDelta(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="session.input_transcript.delta"
):
    """More of what was heard, in its own language; only where the session's input is transcribed.

    `elapsed_ms` (of all three deltas) aligns the streams, in milliseconds of input; several deltas may share one.
    """

    type: ClassVar[Literal["session.input_transcript.delta"]] = "session.input_transcript.delta"
    delta: str
    elapsed_ms: Maybe[int] = UNSET


class SessionOutputTranscriptDelta(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="session.output_transcript.delta"
):
    """More of the translation, as text. To be appended as it is, without spaces between."""

    type: ClassVar[Literal["session.output_transcript.delta"]] = "session.output_transcript.delta"
    delta: str
    elapsed_ms: Maybe[int] = UNSET


class SessionOutputAudioDelta(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="session.output_audio.delta"):
    """More of the translation, as base64 audio: `format` "pcm16", `sample_rate` in Hz, interleaved `channels`."""

    type: ClassVar[Literal["session.output_audio.delta"]] = "session.output_audio.delta"
    _concealed: ClassVar[frozenset[str]] = frozenset({"delta"})
    delta: str
    sample_rate: Maybe[int] = UNSET
    channels: Maybe[int] = UNSET
    format: Maybe[str] = UNSET
    elapsed_ms: Maybe[int] = UNSET


class SessionClosed(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="session.closed"):
    """All pending audio is translated and the session is over; the socket's end follows."""

    type: ClassVar[Literal["session.closed"]] = "session.closed"


TRANSLATION_EVENTS: Final = frozenset(
    {
        SessionInputAudioBufferAppend.type,
        SessionClose.type,
        SessionInputTranscriptDelta.type,
        SessionOutputTranscriptDelta.type,
        SessionOutputAudioDelta.type,
        SessionClosed.type,
    }
)
"""The types of the events that only a translation session has."""
