"""The named methods of the engine, as data: ``handle(input, now)`` is the same thing (law L11).

A trace is lines of ``(now, input, actions)``; a program that stores or forwards inputs stores these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from antiphon.engine.actions import Headers
from antiphon.engine.content import Content, TranscriptionResult
from antiphon.engine.errors import Fault

if TYPE_CHECKING:
    from antiphon.messages import ClientEvent, ServerEvent, UnknownEvent

    AnySent: TypeAlias = ClientEvent | ServerEvent | UnknownEvent
else:
    AnySent = object


class Start(Struct, frozen=True, tag_field="in", tag="start"):
    """``start``"""


class Opened(Struct, frozen=True, tag_field="in", tag="opened"):
    """``opened``"""

    unix_ns: int | None = None
    headers: Headers = ()

    def __repr__(self) -> str:
        return f"Opened(unix_ns={self.unix_ns}, headers=<{len(self.headers)}>)"


class EofReceived(Struct, frozen=True, tag_field="in", tag="eof_received"):
    """``receive_eof``"""

    code: int | None = None
    reason: str = ""


class TransportFailed(Struct, frozen=True, tag_field="in", tag="transport_failed"):
    """``transport_failed``"""

    fault: Fault


class Close(Struct, frozen=True, tag_field="in", tag="close"):
    """``close``"""

    code: int = 1000
    reason: str = ""


class Tick(Struct, frozen=True, tag_field="in", tag="tick"):
    """``tick``"""


class MessageReceived(Struct, frozen=True, tag_field="in", tag="message_received"):
    """``receive_message``"""

    text: bytes | str

    def __repr__(self) -> str:
        return f"MessageReceived(text=<{len(self.text)}>)"


class EventReceived(Struct, frozen=True, tag_field="in", tag="event_received"):
    """``receive_event``"""

    event: AnySent


class DataReceived(Struct, frozen=True, tag_field="in", tag="data_received"):
    """``receive_data`` (bytes level)"""

    data: bytes

    def __repr__(self) -> str:
        return f"DataReceived(data=<{len(self.data)} bytes>)"


class Accept(Struct, frozen=True, tag_field="in", tag="accept"):
    """``accept`` (bytes level, server)"""

    subprotocol: str | None = None
    headers: Headers = ()

    def __repr__(self) -> str:  # the subprotocol may echo a client's key; cookies are credentials too
        chosen = self.subprotocol.partition(".")[0] if self.subprotocol is not None else None
        return f"Accept(subprotocol={chosen!r}, headers=<{len(self.headers)}>)"


class Reject(Struct, frozen=True, tag_field="in", tag="reject"):
    """``reject`` (bytes level, server)"""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Reject(status={self.status}, headers=<{len(self.headers)}>, body=<{len(self.body)} bytes>)"


class Send(Struct, frozen=True, tag_field="in", tag="send"):
    """``send``"""

    event: AnySent
    override: tuple[str, ...] = ()


class AppendAudio(Struct, frozen=True, tag_field="in", tag="append_audio"):
    """``append_audio``"""

    pcm: bytes

    def __repr__(self) -> str:
        return f"AppendAudio(pcm=<{len(self.pcm)} bytes>)"


class AudioPlayed(Struct, frozen=True, tag_field="in", tag="audio_played"):
    """``audio_played``"""

    item_id: str
    content_index: int
    samples: int


class AudioStopped(Struct, frozen=True, tag_field="in", tag="audio_stopped"):
    """``audio_stopped``"""

    item_id: str
    content_index: int
    samples: int


class Interrupt(Struct, frozen=True, tag_field="in", tag="interrupt"):
    """``interrupt``"""


class Generate(Struct, frozen=True, tag_field="in", tag="generate"):
    """``generate`` (server)"""

    content: Content


class SpeechStarted(Struct, frozen=True, tag_field="in", tag="speech_started"):
    """``speech_started`` (server)"""

    audio_start_ms: int


class SpeechStopped(Struct, frozen=True, tag_field="in", tag="speech_stopped"):
    """``speech_stopped`` (server)"""

    audio_end_ms: int


class Transcribed(Struct, frozen=True, tag_field="in", tag="transcribed"):
    """``transcribed`` (server)"""

    item_id: str
    content_index: int
    result: TranscriptionResult


Input: TypeAlias = (
    Start
    | Opened
    | EofReceived
    | TransportFailed
    | Close
    | Tick
    | MessageReceived
    | EventReceived
    | DataReceived
    | Accept
    | Reject
    | Send
    | AppendAudio
    | AudioPlayed
    | AudioStopped
    | Interrupt
    | Generate
    | SpeechStarted
    | SpeechStopped
    | Transcribed
)
