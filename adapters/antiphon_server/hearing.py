"""The ear of a server: voice activity with the settings of a session, in the session's milliseconds."""

from __future__ import annotations

from typing import TypedDict

from antiphon import AudioFormat, InputAudio, ServerSession
from antiphon import messages as m

from .formats import to_pcm16
from .vad import SpeechStarted, SpeechStopped, VoiceActivity

__all__ = ["Hearing"]

_SLOWEST = 8_000  # Hz; the detector's lower bound
_THRESHOLD, _PADDING_MS, _SILENCE_MS = 0.5, 300, 500
_SILENCE_BY_EAGERNESS = {"low": 1_000, "medium": 500, "auto": 500, "high": 250}  # ms; semantic_vad has no silence


class _Settings(TypedDict):
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int


class Hearing:
    """Follows the input audio of ``session`` while its turn detection is on.

    ``semantic_vad`` has no model here: it is voice activity with a silence that depends on its eagerness.

    Settings are taken over by `refresh`, when the client's `session.update` is performed: the engine has read a whole
    batch by then, and audio that came before the update is still heard with the settings of its time.
    """

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._voice: VoiceActivity | None = None
        self._base_ms = 0  # where the detector's own count began
        self._settings: _Settings | None = None
        self._format = AudioFormat()
        self.refresh()

    def refresh(self) -> None:
        """Hear from now on as the session says."""
        detection = self._session.turn_detection
        format = self._session.input_audio_buffer.format
        is_on = detection is not None and detection.type is not None and format.rate >= _SLOWEST
        self._settings = _checked(detection) if detection is not None and is_on else None
        if self._settings is None or format != self._format:
            self._voice = None
        elif self._voice is not None:
            self._voice.configure(**self._settings)
        self._format = format

    def feed(self, heard: InputAudio) -> list[SpeechStarted | SpeechStopped]:
        """The turns that begin or end in ``heard``, counted from the first sample of the session."""
        if self._settings is None:
            return []
        if self._voice is None:
            self._voice = VoiceActivity(self._format.rate, **self._settings)
            self._base_ms = self._format.ms(heard.start)
        return [self._placed(event) for event in self._voice.feed(to_pcm16(heard.audio, self._format))]

    def forget_turn(self) -> None:
        """The client cleared the buffer: an open turn ends unheard."""
        if self._voice is not None:
            self._voice.forget_turn()

    def _placed(self, event: SpeechStarted | SpeechStopped) -> SpeechStarted | SpeechStopped:
        if isinstance(event, SpeechStarted):
            return SpeechStarted(event.audio_start_ms + self._base_ms)
        return SpeechStopped(event.audio_end_ms + self._base_ms)


def _checked(settings: m.TurnDetection) -> _Settings:
    """What the client set, within the detector's bounds; the service's defaults for the rest."""
    silence = _SILENCE_MS
    if settings.type == "semantic_vad":
        silence = _SILENCE_BY_EAGERNESS.get(settings.eagerness or "auto", _SILENCE_MS)
    threshold, padding, asked = settings.threshold, settings.prefix_padding_ms, settings.silence_duration_ms
    return {
        "threshold": min(1.0, max(0.0, threshold)) if isinstance(threshold, int | float) else _THRESHOLD,
        "prefix_padding_ms": max(0, padding) if isinstance(padding, int) else _PADDING_MS,
        "silence_duration_ms": max(0, asked) if isinstance(asked, int) else silence,
    }
