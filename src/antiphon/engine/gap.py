"""What waits for a socket: the commands, and the newest audio, in the order in which they came.

Commands are bounded by number (`limits.queued_commands`, which is asked before one is kept), audio by time
(`limits.gap_audio_ms`): of a microphone that goes on the last words are worth more than the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from antiphon.engine.codec import command_from_text, encode_text
from antiphon.engine.credentials import command_without_credentials
from antiphon.messages import ClientEvent, ResponseCreate


class Waiting(NamedTuple):
    """A command; ``forced`` if it may not be held back by the arbiter (R-Q1)."""

    event: ClientEvent
    forced: bool


Entry: TypeAlias = Waiting | bytes


class GapEntry(Struct, frozen=True):
    """A command that waits for a socket, in a snapshot: its JSON text; or audio that does."""

    event: str | None
    forced: bool
    audio: bytes | None

    def __repr__(self) -> str:
        event = None if self.event is None else f"<{len(self.event)} characters>"
        audio = None if self.audio is None else f"<{len(self.audio)} bytes>"
        return f"GapEntry(event={event}, forced={self.forced}, audio={audio})"


class Gap:
    """The gap between two sockets of one client, or before the first."""

    __slots__ = ("_audio_bytes", "_entries")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._audio_bytes = 0

    def commands(self) -> Iterator[ClientEvent]:
        """The commands, oldest first."""
        return (entry.event for entry in self._entries if isinstance(entry, Waiting))

    def requests(self) -> tuple[ResponseCreate, ...]:
        """Those among them that ask for a response."""
        return tuple(event for event in self.commands() if isinstance(event, ResponseCreate))

    def keep(self, event: ClientEvent, *, forced: bool) -> None:
        """A command waits."""
        self._entries.append(Waiting(event, forced))

    def keep_audio(self, pcm: bytes, most: int) -> None:
        """Audio waits; of all that does at most the newest ``most`` bytes, by whole chunks."""
        self._entries.append(pcm)
        self._audio_bytes += len(pcm)
        while self._audio_bytes > most:
            oldest = next(entry for entry in self._entries if isinstance(entry, bytes))
            self._entries.remove(oldest)
            self._audio_bytes -= len(oldest)

    def take(self) -> deque[Entry]:
        """Everything, oldest first; nothing waits any more."""
        entries, self._entries, self._audio_bytes = self._entries, deque(), 0
        return entries

    def dump(self) -> list[GapEntry]:
        return [
            GapEntry(None, False, entry)
            if isinstance(entry, bytes)
            else GapEntry(command_without_credentials(encode_text(entry.event)), entry.forced, None)
            for entry in self._entries
        ]

    def load(self, state: list[GapEntry]) -> None:
        """Raises ValueError for an entry that is no command, and for one that is nothing."""
        for each in state:
            if each.event is not None:
                self.keep(command_from_text(each.event), forced=each.forced)
            elif each.audio is not None:
                self._entries.append(each.audio)
                self._audio_bytes += len(each.audio)
            else:
                raise ValueError("this is neither a command nor audio")
