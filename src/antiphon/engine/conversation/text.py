"""Text that grows: the streams of a content part, and what remains of one that was cut.

A stream takes its deltas as they come and joins them when somebody reads. What is stored is counted in UTF-8 bytes,
so that the conversation can be held to a size without looking at anything twice.
"""

from __future__ import annotations

from msgspec import Struct

STREAM_CHARGE = 256
"""Bytes that a stream or a cut is charged beyond its text. Without it, a peer that names a new content index with every
one-letter delta would fill the memory long before it reached a limit that counts letters."""

_FOLD = 256
"""So many loose deltas become one string: keeps the list of a long stream short without copying the text each time."""

_LONGEST_WORD = 64
"""How far a cut is moved back in search of the end of a word. What has no such place within reach is no prose."""


def utf8_size(text: str) -> int:
    """The bytes of ``text`` in UTF-8; a lone surrogate counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class TextStream:
    """One text that arrives in deltas and may be replaced by its final value.

    ``final``: the whole value is known, later deltas are repetitions. ``text_bytes`` is what is held, in UTF-8 bytes.
    """

    __slots__ = ("_chunks", "_loose", "final", "text_bytes")

    def __init__(self) -> None:
        self.final = False
        self.text_bytes = 0
        self._chunks: list[str] = []
        self._loose = 0

    def append(self, delta: str) -> int:
        """Add a delta; an empty one leaves no trace. Answers its size in UTF-8 bytes."""
        if not delta:
            return 0
        size = len(delta) if delta.isascii() else utf8_size(delta)
        self._chunks.append(delta)
        self.text_bytes += size
        self._loose += 1
        if self._loose == _FOLD:
            self._chunks[-_FOLD:] = ["".join(self._chunks[-_FOLD:])]
            self._loose = 0
        return size

    def replace(self, text: str) -> None:
        """Forget the deltas: the text is this."""
        self._chunks = [text] if text else []
        self._loose = 0
        self.text_bytes = utf8_size(text)

    @property
    def text(self) -> str:
        """All of it so far. Joined on demand, and kept joined."""
        chunks = self._chunks
        if not chunks:
            return ""
        if len(chunks) > 1:
            self._chunks = chunks = ["".join(chunks)]
            self._loose = 0
        return chunks[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(final={self.final}, text_bytes={self.text_bytes})"


class PartText(TextStream):
    """What the model says in one content part, or the arguments of its call.

    Empty once the item itself has the text, which is when its ``conversation.item.done`` came.
    """

    __slots__ = ()


class Transcription(TextStream):
    """What the user said in one content part, by the transcription model.

    ``state`` is a slot for the stepper of the table ``transcription``. ``final`` means that the last ``completed``
    came; some vendors send several, each replacing the text. ``error`` is the message (perhaps empty) of a failure,
    None where there was none; after a failure ``text`` is what had come before.
    """

    __slots__ = ("error", "state")

    def __init__(self) -> None:
        super().__init__()
        self.state = "none"
        self.error: str | None = None


class CutPlace(Struct, frozen=True):
    """Where a part was cut: ``audio_end_ms`` from its start, of ``audio_ms`` in all (None: unknown)."""

    audio_end_ms: int
    audio_ms: int | None = None


class Cut(Struct, frozen=True):
    """Where a part was cut: ``audio_end_ms`` from its start, and ``heard``, the words that were spoken until then."""

    audio_end_ms: int
    heard: str


def heard_prefix(text: str, audio_end_ms: int, audio_ms: int | None) -> str:
    """The whole words of ``text`` that fit into the first ``audio_end_ms`` of the ``audio_ms`` of audio it belongs to.

    Speech is taken to be even, which is right to about a word. Where the length of the audio is unknown (None: a server
    that delivers the audio itself), the text is kept whole unless nothing was heard at all.
    """
    if audio_end_ms <= 0:
        return ""
    if audio_ms is None or audio_end_ms >= audio_ms:
        return text
    end = len(text) * audio_end_ms // audio_ms
    for position in range(end, max(-1, end - _LONGEST_WORD), -1):
        if _between_words(text, position):
            return text[:position].rstrip()
    return text[:end]


def _between_words(text: str, position: int) -> bool:
    if position in (0, len(text)):
        return True
    before, after = text[position - 1], text[position]
    # Before a letter of a script without spaces; its marks and its punctuation stay with what they follow.
    return before.isspace() or after.isspace() or (_is_unspaced(after) and after.isalnum())


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return (
        0x0E00 <= code <= 0x0EFF  # Thai, Lao
        or 0x1000 <= code <= 0x109F  # Myanmar
        or 0x1780 <= code <= 0x17FF  # Khmer
        or 0x3040 <= code <= 0x30FF  # kana
        or 0x3400 <= code <= 0x9FFF  # Han
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
    )
