"""Voice activity: where in a stream of input audio somebody begins and stops speaking.

Two parts. A `SpeechDetector` scores frames of some milliseconds; `VoiceActivity` turns scores into turns by the
protocol's three settings (threshold, prefix padding, silence duration) and counts in the protocol's milliseconds.
The detector of the base install measures energy above an adaptive noise floor and needs no package. It hears
loudness, not speech: a slammed door of a tenth of a second counts. A model can take its place through the same small
interface.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import deque
from dataclasses import dataclass
from operator import mul
from typing import Final, Protocol

__all__ = ["EnergyDetector", "SpeechDetector", "SpeechStarted", "SpeechStopped", "VoiceActivity"]

_FULL_SCALE: Final = 32768.0
_HYSTERESIS: Final = 0.15  # how much lower the score may be while somebody speaks: word ends are soft
_WINDOW_FRAMES: Final = 5
_VOICED_FRAMES: Final = 3  # of the window; clicks are shorter


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks. ``audio_start_ms`` counts from the first sample of the session and includes the prefix
    padding."""

    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The turn is over. ``audio_end_ms`` counts from the first sample of the session and includes the silence."""

    audio_end_ms: int


class SpeechDetector(Protocol):
    """What scores frames of PCM16 mono (little-endian), one after the other."""

    @property
    def frame_samples(self) -> int:
        """How many samples `score` wants at a time."""
        ...

    def score(self, frame: bytes) -> float:
        """How much the frame is like speech: 0 not at all, above the session's threshold (0 to 1) it is."""
        ...


class EnergyDetector:
    """Scores 20 ms frames by how far they rise above the noise floor: 12 dB is 0.5, 24 dB is 1, more is more.

    The floor is the quietest the input has been, smoothed, in the last three seconds, but never below -62 dBFS (so
    digital silence and the hiss of a good microphone are alike) and, for the first three seconds, never above -40
    dBFS (so a stream that begins with speech is heard). A louder steady noise is heard as speech for three seconds,
    then it is floor. A constant offset of the samples does not count. ``rate`` is in samples a second, 8,000 or more
    (ValueError otherwise).
    """

    __slots__ = ("_bucket", "_bucket_frames", "_minima", "_smooth", "frame_samples")

    _FRAMES_A_SECOND: Final = 50
    _BUCKET_FRAMES: Final = 15
    _BUCKETS: Final = 10
    _SMOOTHING_FRAMES: Final = 3
    _QUIETEST_FLOOR: Final = -62.0
    _FIRST_FLOOR: Final = -40.0
    _DECIBELS_A_POINT: Final = 24.0

    frame_samples: int

    def __init__(self, rate: int) -> None:
        if rate < 8_000:
            raise ValueError("voice activity needs 8000 samples a second or more")
        self.frame_samples = rate // self._FRAMES_A_SECOND
        self._minima = deque([self._FIRST_FLOOR] * self._BUCKETS, maxlen=self._BUCKETS)
        self._smooth: deque[float] = deque(maxlen=self._SMOOTHING_FRAMES)
        self._bucket = math.inf
        self._bucket_frames = 0

    def score(self, frame: bytes) -> float:
        """Scores the next frame and learns the floor from it."""
        level = _level(frame)
        self._smooth.append(level)
        self._bucket = min(self._bucket, sum(self._smooth) / len(self._smooth))
        self._bucket_frames += 1
        floor = max(self._QUIETEST_FLOOR, min(self._bucket, *self._minima))
        if self._bucket_frames == self._BUCKET_FRAMES:
            self._minima.append(self._bucket)
            self._bucket, self._bucket_frames = math.inf, 0
        return max(0.0, (level - floor) / self._DECIBELS_A_POINT)


class VoiceActivity:
    """Finds the turns in one session's input audio: PCM16, little-endian, mono.

    ``rate`` is in samples a second, 8,000 or more. ``threshold``, 0 to 1, is what a frame must score to be speech;
    ``prefix_padding_ms`` how much audio before the speech belongs to the turn: a start may therefore lie before the end
    of the turn before, and never lies before the first sample; ``silence_duration_ms`` how long it must be quiet until
    the turn is over. ``detector`` scores the frames; without one it is an `EnergyDetector`. Raises ValueError for a
    setting that is out of bounds.
    """

    __slots__ = (
        "_detector", "_frame_bytes", "_last_voice", "_position", "_prefix", "_rate", "_rest",
        "_silence", "_speaking", "_threshold", "_window",
    )  # fmt: skip

    def __init__(
        self,
        rate: int,
        *,
        threshold: float = 0.5,
        prefix_padding_ms: int = 300,
        silence_duration_ms: int = 500,
        detector: SpeechDetector | None = None,
    ) -> None:
        self._detector = detector if detector is not None else EnergyDetector(rate)
        self._rate = rate
        self._frame_bytes = 2 * self._detector.frame_samples
        self._rest = b""
        self._position = 0  # samples judged so far
        self._window: deque[bool] = deque(maxlen=_WINDOW_FRAMES)
        self._speaking = False
        self._last_voice = 0  # the sample behind the last voiced frame
        self.configure(
            threshold=threshold, prefix_padding_ms=prefix_padding_ms, silence_duration_ms=silence_duration_ms
        )

    @property
    def speaking(self) -> bool:
        """Whether a turn has started and not stopped."""
        return self._speaking

    def configure(self, *, threshold: float, prefix_padding_ms: int, silence_duration_ms: int) -> None:
        """Takes new settings in the middle of a session; position, noise floor and an open turn stay.

        Raises ValueError if the threshold is not within 0 to 1 or a duration is negative; then nothing changes.
        """
        if not 0.0 <= threshold <= 1.0:
            raise ValueError("the threshold of voice activity is between 0 and 1")
        if prefix_padding_ms < 0 or silence_duration_ms < 0:
            raise ValueError("the durations of voice activity are not negative")
        self._threshold = threshold
        self._prefix = prefix_padding_ms
        self._silence = silence_duration_ms

    def forget_turn(self) -> None:
        """Drops an open turn without a `SpeechStopped`: the buffer was committed or cleared by hand. Time goes on."""
        self._speaking = False
        self._window.clear()

    def feed(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Takes the next audio, cut anywhere, and returns what became certain with it, in order.

        A start is known after about 60 ms of speech, a stop after the silence duration.
        """
        data = self._rest + pcm if self._rest else pcm
        events: list[SpeechStarted | SpeechStopped] = []
        offset = 0
        while offset + self._frame_bytes <= len(data):
            event = self._judge(data[offset : offset + self._frame_bytes])
            if event is not None:
                events.append(event)
            offset += self._frame_bytes
        self._rest = bytes(data[offset:])
        return events

    def _judge(self, frame: bytes) -> SpeechStarted | SpeechStopped | None:
        needed = max(0.0, self._threshold - _HYSTERESIS) if self._speaking else self._threshold
        loud = self._detector.score(frame) > needed
        self._window.append(loud)
        self._position += self._detector.frame_samples
        if loud and sum(self._window) >= _VOICED_FRAMES:
            self._last_voice = self._position
            if not self._speaking:
                self._speaking = True
                frames_back = len(self._window) - self._window.index(True)
                onset = self._position - frames_back * self._detector.frame_samples
                return SpeechStarted(max(0, self._ms(onset) - self._prefix))
        # A loud frame may be the voice coming back: then the next frames decide, not the clock.
        elif self._speaking and not loud and self._ms(self._position - self._last_voice) >= self._silence:
            self._speaking = False
            return SpeechStopped(self._ms(self._last_voice) + self._silence)
        return None

    def _ms(self, samples: int) -> int:
        return samples * 1000 // self._rate


def _level(frame: bytes) -> float:
    """The power of a frame without its constant part, in dB of full scale; -120 for digital silence."""
    samples = array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    mean = sum(samples) / len(samples)
    power = sum(map(mul, samples, samples)) / len(samples) - mean * mean
    return 10 * math.log10(max(power / (_FULL_SCALE * _FULL_SCALE), 1e-12))
