"""A microphone and a loudspeaker that are not there: they keep real time, and a recording keeps what went through them.

None of them has a clock; every call is told the time in ns. All audio is PCM16, little-endian, mono, 24 kHz.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from antiphon import PCM16_24K, PlayAudio
from antiphon_audio import Side, StereoTimeline, WavWriter

__all__ = ["CHUNK_MS", "RATE", "Microphone", "PartKey", "Recording", "Speaker", "level"]

RATE: Final = 24_000
CHUNK_MS: Final = 40
CHUNK_BYTES: Final = 2 * RATE * CHUNK_MS // 1000

_NS: Final = 1_000_000_000
_REMEMBERED_PARTS: Final = 64


def level(pcm: bytes) -> float:
    """How loud it is: 0 for silence (-60 dB and less), 1 for full scale."""
    samples = array("h", pcm[: len(pcm) - len(pcm) % 2])
    if not samples:
        return 0.0
    energy = math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32768
    return 0.0 if energy <= 0.001 else min(1.0, 1 + math.log10(energy) / 3)


class Microphone:
    """Silence, and in it what it is given to say."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting = bytearray()

    @property
    def is_speaking(self) -> bool:
        """Whether something is left to say."""
        return bool(self._waiting)

    def say(self, pcm: bytes) -> None:
        """Say this after what is being said."""
        self._waiting += pcm

    def read(self) -> bytes:
        """The next `CHUNK_MS` ms."""
        chunk = bytes(self._waiting[:CHUNK_BYTES])
        del self._waiting[:CHUNK_BYTES]
        return chunk + bytes(CHUNK_BYTES - len(chunk))


class PartKey(NamedTuple):
    """A content part of an item, as the playback ledger names it."""

    item_id: str
    content_index: int


class _Part:
    __slots__ = ("audio", "played")

    def __init__(self) -> None:
        self.audio: deque[bytes] = deque()
        self.played = 0  # samples


class Sound(NamedTuple):
    """What came out of the loudspeaker: audio of a part, and where it stands now, in samples from its beginning."""

    key: PartKey
    audio: bytes
    played: int


class Speaker:
    """Plays parts one after the other at real speed, and knows to the sample what was heard of each.

    A `Player` for `antiphon_asyncio`: `play` and `stop` are its; `advance` says what came out since the last call. A
    format that is not PCM16 at 24 kHz is not played, only counted in ``unplayable``.
    """

    __slots__ = ("_heard", "_parts", "_since", "_spare", "now", "unplayable")

    def __init__(self, now: int) -> None:
        self.now = now
        """The time that `advance` was told last, ns."""
        self.unplayable = 0
        self._parts: OrderedDict[PartKey, _Part] = OrderedDict()
        self._heard: OrderedDict[PartKey, int] = OrderedDict()
        self._since = now
        self._spare = 0  # sample-nanoseconds that no whole sample took

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing left to play."""
        return not any(part.audio for part in self._parts.values())

    @property
    def pending_samples(self) -> int:
        """What is left to play, all parts together."""
        return sum(len(piece) // 2 for part in self._parts.values() for piece in part.audio)

    def heard(self, key: PartKey) -> int:
        """How many samples of a part were heard, from its beginning."""
        part = self._parts.get(key)
        return part.played if part is not None else self._heard.get(key, 0)

    def play(self, audio: PlayAudio, /) -> None:
        """Queue audio behind what there is."""
        if audio.format != PCM16_24K:
            self.unplayable += 1
            return
        key = PartKey(audio.item_id, audio.content_index)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part()
            part.played = self._heard.pop(key, 0)
        if self.is_idle:
            self._since, self._spare = self.now, 0  # the device was silent; its time begins with the sound
        part.audio.append(audio.audio)

    def stop(self, item_id: str, content_index: int, /) -> int:
        """Flush a part; how many samples of it were heard."""
        key = PartKey(item_id, content_index)
        heard = self.heard(key)
        if self._parts.pop(key, None) is not None:
            self._remember(key, heard)
        return heard

    def advance(self, now: int) -> list[Sound]:
        """Let the time pass; what was heard meanwhile, in order."""
        budget = (now - self._since) * RATE + self._spare
        self.now = self._since = max(now, self._since)
        samples, self._spare = divmod(budget, _NS)
        sounds: list[Sound] = []
        while samples > 0 and not self.is_idle:
            key, part = next(iter(self._parts.items()))
            if not part.audio:
                del self._parts[key]  # over, and another waits behind it
                self._remember(key, part.played)
                continue
            piece = part.audio.popleft()
            taken = piece[: 2 * samples]
            if len(taken) < len(piece):
                part.audio.appendleft(piece[len(taken) :])
            part.played += len(taken) // 2
            samples -= len(taken) // 2
            sounds.append(Sound(key, taken, part.played))
        return sounds

    def _remember(self, key: PartKey, heard: int) -> None:
        self._heard[key] = heard
        if len(self._heard) > _REMEMBERED_PARTS:
            self._heard.popitem(last=False)


class Recording:
    """Both sides in one WAV file: the user on the left, the assistant on the right, as they were heard.

    ``start`` is the time in ns at which it begins. Raises `WavError` when the file cannot be created or written.
    """

    __slots__ = ("_ends", "_start", "_timeline", "_writer")

    _SLACK: Final = RATE // 5
    _BEHIND: Final = RATE

    def __init__(self, path: str, start: int) -> None:
        self._writer = WavWriter(path, RATE, 2)
        self._timeline = StereoTimeline(self._writer.write)
        self._start = start
        self._ends: dict[Side, int] = {"user": 0, "assistant": 0}

    @property
    def seconds(self) -> float:
        """How long the file is."""
        return self._writer.seconds

    def add(self, side: Side, audio: bytes, until: int) -> None:
        """Audio of one side that was over at ``until``, ns. What follows closely follows without a gap."""
        end = (until - self._start) * RATE // _NS
        begin = max(0, end - len(audio) // 2)
        if abs(begin - self._ends[side]) <= self._SLACK:
            begin = self._ends[side]
        self._ends[side] = self._timeline.place(side, begin, audio)
        self._timeline.advance(end - self._BEHIND)

    def close(self) -> None:
        """Write the rest, and close the file."""
        try:
            self._timeline.finish()
        finally:
            self._writer.close()
