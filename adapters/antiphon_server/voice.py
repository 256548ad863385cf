"""How brains sound without a synthesiser: the tone voice of `antiphon_audio`, in the format of a session."""

from __future__ import annotations

import re
from collections.abc import Iterator

from antiphon import AudioFormat
from antiphon_audio import ToneVoice

from .formats import from_pcm16

__all__ = ["Hummer", "hum", "words"]

_WORDS = re.compile(r"\s*\S+\s*|\s+")
_RATES = range(8_000, 192_001)  # of the tone voice


class Hummer:
    """One utterance in ``format``; silent at a rate that the tone voice does not have."""

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._voice = ToneVoice(format.rate) if format.rate in _RATES else None

    def say(self, text: str) -> bytes:
        """The audio of the next piece of text; perhaps empty."""
        return b"" if self._voice is None else from_pcm16(self._voice.say(text), self._format)

    def finish(self) -> bytes:
        """The fade at the end."""
        return b"" if self._voice is None else from_pcm16(self._voice.finish(), self._format)


def words(text: str) -> list[str]:
    """``text`` cut before each word but the first; the pieces join to it again."""
    return _WORDS.findall(text)


def hum(text: str, format: AudioFormat) -> Iterator[tuple[str, bytes]]:
    """Word by word, with the audio of each; the last has the fade."""
    hummer = Hummer(format)
    pieces = words(text)
    for position, word in enumerate(pieces, start=1):
        audio = hummer.say(word)
        yield word, audio + hummer.finish() if position == len(pieces) else audio
