"""A translation session, at both ends: no items, no responses, no turns, and only the session machine moves.

The client's side of it is a player of one endless part; the server's side says what a brain translates. All the rest of
a session (the door, the link, the configuration) is that of every other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine.actions import PlayAudio
from antiphon.engine.audio import PCM16_24K, AudioFormat, byte_length, decode_base64, encode_base64
from antiphon.engine.codec import encode_json, to_builtins
from antiphon.engine.content import SourceText, TranslatedAudio, TranslatedText, TranslationContent
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.refusals import Refusal
from antiphon.engine.timers import Timer

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

TRANSLATION: Final = "translation"
"""Where a translation is played: its audio belongs to no item, and `PlayAudio` names one. Content index 0, and the
next one when the format of the audio changes."""

COMMANDS: Final = tuple(
    name for name in m.CLIENT_EVENTS if name == m.SessionUpdate.type or name in m.TRANSLATION_EVENTS
)
"""What a client says to a translation session."""

CONVERSATION_COMMANDS: Final = tuple(name for name in m.CLIENT_EVENTS if name not in m.TRANSLATION_EVENTS)
"""What a client says to a session that converses."""

OF_RESPONSES: Final = ("response.", "output_")
"""How the names of events about responses begin."""

TRANSCRIPTION_COMMANDS: Final = tuple(name for name in CONVERSATION_COMMANDS if not name.startswith(OF_RESPONSES))
"""What a client says to one that only transcribes: nothing of responses (R-S9)."""

# -- the client --------------------------------------------------------------------------------------------------------


def update_message(event: m.SessionUpdate) -> bytes:
    """An update of a translation session as it is written: it says nothing of its kind."""
    data = to_builtins(event)
    del data["session"]["type"]
    return encode_json(data)


def drain(session: ClientSession) -> None:
    """The end was asked for, or came nearer; it is waited for so much longer."""
    session.timers.arm(Timer.DRAIN, session.now + session.config.timers.drain)


def drained(session: ClientSession) -> None:
    """Something was translated."""
    if session.timers.at(Timer.DRAIN) is not None:
        drain(session)


def play(session: ClientSession, event: m.SessionOutputAudioDelta) -> None:
    """Hand translated audio to the player."""
    if not session.listener.plays:
        return
    format = _format_of(event)
    audio = decode_base64(event.delta) if format is not None else None
    if format is None or audio is None:
        detail = "delta is not base64" if format is not None else "audio of a coding that no player is told of"
        session.report("R-P7", event, detail, "$.delta" if format is not None else "$.format")
        return
    playing = session.playback.get(TRANSLATION, session.translated_parts)
    if playing is not None and playing.format != format:
        session.listener.finish(TRANSLATION, session.translated_parts)
        session.translated_parts += 1
    placed = session.playback.received(TRANSLATION, session.translated_parts, None, audio, format)
    if placed is None:
        return
    start, whole = placed
    if whole:
        session.act(PlayAudio(TRANSLATION, session.translated_parts, start, whole, format))


def _format_of(event: m.SessionOutputAudioDelta) -> AudioFormat | None:
    """The format of a delta; None when no player could be told of it."""
    rate = event.sample_rate
    if event.format not in (UNSET, None, "pcm16") or event.channels not in (UNSET, None, 1):
        return None
    if rate is UNSET or rate is None or rate == PCM16_24K.rate:
        return PCM16_24K
    return AudioFormat.from_session({"type": "audio/pcm", "rate": rate})


# -- the server --------------------------------------------------------------------------------------------------------


def with_its_type(update: m.JsonObject) -> m.JsonObject | None:
    """A `session.update` that says nothing of its session's kind, as it is meant here; None when it says it."""
    session = update.get("session")
    if not isinstance(session, dict) or "type" in session:
        return None
    return {**update, "session": {"type": "translation", **session}}


_CHANGEABLE: Final = {"input": ("transcription", "noise_reduction"), "output": ("language",)}


def problem_with_update(update: m.AnySession) -> Refusal | None:
    """Why an update of a translation session is refused; what may change are three keys of its audio (R-S3, R-S6)."""
    if update.type != "translation":
        return Refusal("invalid_parameter", {"given": update.type, "actual": "translation"})
    for name in _present(update):
        if name != "audio":
            return Refusal("unknown_parameter", {"param": f"session.{name}"})
    for side, changeable in _CHANGEABLE.items():
        told = getattr(update.audio, side) if update.audio else UNSET
        for name in _present(told) if told else ():
            if name not in changeable:
                return Refusal("unknown_parameter", {"param": f"session.audio.{side}.{name}"})
    return None


def _present(message: m.Message) -> list[str]:
    return [name for name in message.__struct_fields__ if getattr(message, name) is not UNSET]


def problem_with(content: TranslationContent) -> LocalProtocolError | None:
    """Why a piece of a translation cannot be said."""
    if isinstance(content, TranslatedAudio):
        if not content.audio or byte_length(content.audio) % PCM16_24K.bytes_per_sample:
            return LocalProtocolError(f"{len(content.audio)} bytes are no whole samples of 2 bytes", rule="R-P7")
    elif isinstance(content, (SourceText, TranslatedText)):
        try:
            content.delta.encode()
        except UnicodeEncodeError:
            return LocalProtocolError("the delta holds a surrogate without its partner", rule="R-E2")
    elapsed = getattr(content, "elapsed_ms", None)
    if elapsed is not None and elapsed < 0:
        return LocalProtocolError(f"elapsed_ms must be at least 0, not {elapsed}", rule="R-X2")
    return None


def event_of(content: TranslationContent) -> m.ServerEvent:
    """The event that says it."""
    if isinstance(content, TranslatedAudio):
        return m.SessionOutputAudioDelta(
            delta=encode_base64(content.audio),
            sample_rate=PCM16_24K.rate,
            channels=1,
            format="pcm16",
            elapsed_ms=_given(content.elapsed_ms),
        )
    if isinstance(content, TranslatedText):
        return m.SessionOutputTranscriptDelta(delta=content.delta, elapsed_ms=_given(content.elapsed_ms))
    if isinstance(content, SourceText):
        return m.SessionInputTranscriptDelta(delta=content.delta, elapsed_ms=_given(content.elapsed_ms))
    return m.SessionClosed()


def _given(value: int | None) -> m.Maybe[int]:
    return UNSET if value is None else value
