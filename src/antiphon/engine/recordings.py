"""Audio that a server keeps of its conversation, for who asks with `conversation.item.retrieve` (R-C14).

Only where the config asks for it. Bounded in bytes: the oldest recording goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from antiphon.engine.audio import AudioBytes, AudioFormat, encode_base64
from antiphon.messages import AudioFormat as WireFormat


class RecordingState(Struct, frozen=True):
    """One recording as data."""

    item_id: str
    content_index: int
    format: AudioFormat
    audio: bytes

    def __repr__(self) -> str:
        place = f"item_id={self.item_id!r}, content_index={self.content_index}"
        return f"RecordingState({place}, format={self.format!r}, audio=<{len(self.audio)} bytes>)"


class Recording:
    """The audio of one content part."""

    __slots__ = ("audio", "format")

    def __init__(self, format: AudioFormat, audio: AudioBytes = b"") -> None:
        self.format = format
        self.audio = bytearray(audio)

    @property
    def base64(self) -> str:
        """As an event shows it."""
        return encode_base64(self.audio)

    @property
    def wire_format(self) -> WireFormat:
        """Its format as an event names it."""
        if self.format.type == "audio/pcm":
            return WireFormat(type=self.format.type, rate=self.format.rate)
        return WireFormat(type=self.format.type)

    def __repr__(self) -> str:
        return f"Recording(format={self.format!r}, audio=<{len(self.audio)} bytes>)"


class Recordings:
    """Recordings by item id and content index, at most ``max_bytes`` of them; ``bytes`` is what they take."""

    __slots__ = ("_kept", "bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._kept: dict[str, dict[int, Recording]] = {}

    def of(self, item_id: str) -> Mapping[int, Recording]:
        """Those of an item, by content index."""
        return self._kept.get(item_id) or {}

    def add(self, item_id: str, content_index: int, format: AudioFormat, audio: AudioBytes) -> None:
        """More audio of a part, which is begun with it."""
        parts = self._kept.setdefault(item_id, {})
        recording = parts.get(content_index)
        if recording is None:
            recording = parts[content_index] = Recording(format)
        before = len(recording.audio)
        recording.audio += audio
        self.bytes += len(recording.audio) - before

    def cut(self, item_id: str, content_index: int, samples: int) -> None:
        """Drop what is behind ``samples``."""
        recording = self.of(item_id).get(content_index)
        if recording is not None:
            before = len(recording.audio)
            del recording.audio[samples * recording.format.bytes_per_sample :]
            self.bytes -= before - len(recording.audio)

    def forget(self, item_id: str) -> None:
        """The item is gone."""
        parts = self._kept.pop(item_id, None)
        if parts is not None:
            self.bytes -= sum(len(recording.audio) for recording in parts.values())

    def trim(self) -> bool:
        """Forget the oldest items until the rest fits; whether any had to go."""
        any_went = self.bytes > self.max_bytes
        while self.bytes > self.max_bytes:
            self.forget(next(iter(self._kept)))
        return any_went

    def dump(self) -> list[RecordingState]:
        """All of it as data, oldest first."""
        return [
            RecordingState(item_id, index, recording.format, bytes(recording.audio))
            for item_id, parts in self._kept.items()
            for index, recording in parts.items()
        ]

    def load(self, states: Iterable[RecordingState]) -> None:
        """Become what was dumped."""
        for state in states:
            self.add(state.item_id, state.content_index, state.format, state.audio)
        self.trim()
