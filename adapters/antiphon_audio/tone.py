"""An audible voice without a speech synthesiser: a text becomes a hummed melody at about the pace of speech.

Each letter is a short grain of one continuous tone, vowels loud and open, consonants soft; every word has its own
pitch, commas and full stops are pauses. Not intelligible, but pleasant, and it does what a conversation needs of
speech: its length follows the text, and it starts, pauses and stops where the words do. No clock and no chance:
equal texts give equal bytes, however the text is cut.
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["ToneVoice", "speak"]


@dataclass(frozen=True, slots=True)
class _Grain:
    """How one character sounds: length in ms, loudness of full scale, shares of the second and third harmonic."""

    ms: int
    level: float
    second: float = 0.0
    third: float = 0.0


# About fourteen letters a second is how fast people read aloud. Digits and full-width characters are whole syllables.
_VOWELS: Final = {
    "a": _Grain(80, 0.24, 0.50, 0.28),
    "e": _Grain(80, 0.24, 0.34, 0.30),
    "i": _Grain(70, 0.22, 0.12, 0.26),
    "o": _Grain(80, 0.25, 0.44, 0.08),
    "u": _Grain(70, 0.24, 0.20, 0.04),
    "y": _Grain(70, 0.22, 0.16, 0.20),
}
_VOICED: Final = _Grain(62, 0.12, 0.18, 0.04)
_UNVOICED: Final = _Grain(58, 0.04, 0.10, 0.0)
_SYLLABLE: Final = _Grain(180, 0.22, 0.36, 0.16)
_WORD_GAP: Final = _Grain(42, 0.0)
_COMMA: Final = _Grain(150, 0.0)
_FULL_STOP: Final = _Grain(260, 0.0)
_RELEASE: Final = _Grain(60, 0.0)

_VOICED_LETTERS: Final = frozenset("bdgjlmnrvwz")
_ENDS_CLAUSE: Final = frozenset(",;:\u2013\u2014\u3001\uff0c")
_ENDS_SENTENCE: Final = frozenset(".!?\u2026\u3002\uff01\uff1f")

_BASE_HZ: Final = 165.0
_MELODY: Final = (5, 2, 4, 0, 2, -1, 4, 0)  # semitones above the base, word after word
_DECLINATION: Final = 0.25  # semitones that the voice sinks each word until the sentence ends
_LOWEST: Final = -4.0
_GLIDE_SECONDS: Final = 0.012  # time constant of every change in loudness, colour and pitch: no clicks, a soft attack
_TURN: Final = 2 * math.pi


class ToneVoice:
    """One voice that hums what it is given, chunk by chunk.

    `rate` is in samples a second (8,000 to 192,000). The output is PCM16, little-endian, mono. The bytes of all
    chunks together do not depend on how the text was cut. Raises ValueError for a rate outside these bounds.
    """

    __slots__ = (
        "_frequency", "_in_word", "_level", "_phase", "_pitch",
        "_second", "_sentence_words", "_third", "_words", "rate",
    )  # fmt: skip

    def __init__(self, rate: int = 24_000) -> None:
        if not 8_000 <= rate <= 192_000:
            raise ValueError("the rate of a tone voice is between 8000 and 192000 Hz")
        self.rate = rate
        self._phase = 0.0
        self._frequency = _BASE_HZ
        self._pitch = _BASE_HZ
        self._level = 0.0
        self._second = 0.0
        self._third = 0.0
        self._in_word = False
        self._words = 0
        self._sentence_words = 0

    def say(self, text: str) -> bytes:
        """Returns the audio of the next piece of text; perhaps empty (a combining mark, a second space)."""
        out = array("h")
        for character in text:
            grain = self._grain(character)
            if grain is not None:
                self._render(grain, out)
        return _little_endian(out)

    def finish(self) -> bytes:
        """Returns the short fade that ends the utterance without a click, and is ready for the next one."""
        out = array("h")
        self._render(_RELEASE, out)
        self._in_word, self._level, self._sentence_words = False, 0.0, 0
        return _little_endian(out)

    def _grain(self, character: str) -> _Grain | None:
        if character in _ENDS_SENTENCE:
            self._sentence_words = 0
            return self._pause(_FULL_STOP)
        if character in _ENDS_CLAUSE:
            return self._pause(_COMMA)
        if character.isspace():
            return self._pause(_WORD_GAP)
        if not character.isalnum():
            return None
        if not self._in_word:
            self._begin_word(character)
        if character.isdecimal() or unicodedata.east_asian_width(character) in "WF":
            return _SYLLABLE
        letter = unicodedata.normalize("NFD", character)[0].lower()
        return _VOWELS.get(letter) or (_VOICED if letter in _VOICED_LETTERS else _UNVOICED)

    def _pause(self, grain: _Grain) -> _Grain | None:
        """One pause a gap: the space after a comma and the second dot of three add nothing."""
        if not self._in_word:
            return None
        self._in_word = False
        return grain

    def _begin_word(self, first: str) -> None:
        sunk = max(_LOWEST, -_DECLINATION * self._sentence_words)
        semitones = _MELODY[self._words % len(_MELODY)] + ord(first) % 3 + sunk
        self._pitch = _BASE_HZ * 2 ** (semitones / 12)
        self._words += 1
        self._sentence_words += 1
        self._in_word = True

    def _render(self, grain: _Grain, out: array[int]) -> None:
        # Every parameter moves towards its target by the same fraction a sample, so grains join without a step.
        step = 1.0 - math.exp(-1.0 / (_GLIDE_SECONDS * self.rate))
        radians = _TURN / self.rate
        phase, frequency, level = self._phase, self._frequency, self._level
        second, third = self._second, self._third
        pitch = self._pitch
        for _ in range(self.rate * grain.ms // 1000):
            frequency += (pitch - frequency) * step
            level += (grain.level - level) * step
            second += (grain.second - second) * step
            third += (grain.third - third) * step
            phase += frequency * radians
            sine = math.sin(phase)
            double = sine * sine
            # sin 2p = 2 sin p cos p; sin 3p = 3 sin p - 4 sin^3 p: one cosine instead of two more sines
            wave = sine + second * 2 * sine * math.cos(phase) + third * sine * (3 - 4 * double)
            out.append(int(32767 * level * wave))
        self._phase = phase % _TURN
        self._frequency, self._level, self._second, self._third = frequency, level, second, third


def speak(text: str, *, rate: int = 24_000) -> Iterator[tuple[str, bytes]]:
    """Yields `(text, pcm)` word by word, the space after a word with it, so that text and audio can be sent together.

    The texts join to `text`; `pcm` is PCM16, little-endian, mono at `rate` samples a second. The last pair carries
    the fade; an empty text yields nothing. Raises ValueError for a rate that `ToneVoice` refuses.
    """
    voice = ToneVoice(rate)
    words = re.findall(r"\s*\S+\s*|\s+", text)
    for position, word in enumerate(words, start=1):
        pcm = voice.say(word)
        yield word, (pcm + voice.finish() if position == len(words) else pcm)


def _little_endian(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
