"""What the engine asks its driver to do, in causal order.

Every call returns a tuple of these; nothing else leaves the engine. A driver performs them in order and feeds back what
they lead to as new inputs (`antiphon.Pump` keeps the order when performing one leads to another).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Struct

from antiphon.engine.errors import Fault

if TYPE_CHECKING:
    from antiphon.engine.audio import AudioFormat
    from antiphon.messages import ClientEvent, ErrorDetail, Malformed, ResponseCreateParams, ServerEvent, UnknownEvent

    AnyEvent: TypeAlias = ServerEvent | ClientEvent | UnknownEvent | Malformed
else:
    AudioFormat = ErrorDetail = ResponseCreateParams = AnyEvent = object

Headers: TypeAlias = tuple[tuple[str, str], ...]


def _length(data: bytes | str) -> str:
    return f"<{len(data)} {'bytes' if isinstance(data, bytes) else 'characters'}>"


class OpenTransport(Struct, frozen=True, tag_field="do", tag="open_transport"):
    """Dial now, with fresh credentials if there are any. ``generation`` counts the sockets of this engine from 1,
    ``attempt`` the dials since a session last proved itself."""

    generation: int
    attempt: int


class Transmit(Struct, frozen=True, tag_field="do", tag="transmit"):
    """Write exactly these bytes (bytes level)."""

    data: bytes

    def __repr__(self) -> str:
        return f"Transmit(data={_length(self.data)})"


class TransmitMessage(Struct, frozen=True, tag_field="do", tag="transmit_message"):
    """Send exactly this as one text message (message level); UTF-8 JSON."""

    text: bytes

    def __repr__(self) -> str:
        return f"TransmitMessage(text={_length(self.text)})"


class CloseTransport(Struct, frozen=True, tag_field="do", tag="close_transport"):
    """End this socket: with ``code`` and ``reason`` at message level; drop it at once when ``abort``."""

    code: int = 1000
    reason: str = ""
    abort: bool = False


class Connected(Struct, frozen=True, tag_field="do", tag="connected"):
    """Messages can flow over socket number ``generation``."""

    generation: int


class Disconnected(Struct, frozen=True, tag_field="do", tag="disconnected"):
    """Socket number ``generation`` is gone; ``retry_at`` is when the next dial is due, None when there is none."""

    generation: int
    code: int | None
    reason: str
    fault: Fault | None
    retry_at: int | None


class Deliver(Struct, frozen=True, gc=False, tag_field="do", tag="deliver"):
    """An event from the peer, and the JSON text it came in (unknown fields live there)."""

    event: AnyEvent
    raw: bytes | str

    def __repr__(self) -> str:
        return f"Deliver(event={self.event!r}, raw={_length(self.raw)})"


class PlayAudio(Struct, frozen=True, gc=False, tag_field="do", tag="play_audio"):
    """Queue this audio for the listener; ``start`` is its first sample's position within the part."""

    item_id: str
    content_index: int
    start: int
    audio: bytes
    format: AudioFormat

    def __repr__(self) -> str:
        return (
            f"PlayAudio(item_id={self.item_id!r}, content_index={self.content_index}, start={self.start}, "
            f"audio={_length(self.audio)}, format={self.format!r})"
        )


class StopAudio(Struct, frozen=True, tag_field="do", tag="stop_audio"):
    """Flush this part from the player now, then call ``audio_stopped`` with the samples that were heard."""

    item_id: str
    content_index: int


class Finished(Struct, frozen=True, tag_field="outcome", tag="finished"):
    """The response ran to ``response.done``: ``status`` and ``reason`` are the server's."""

    response_id: str
    status: str
    reason: str | None = None


class Rejected(Struct, frozen=True, tag_field="outcome", tag="rejected"):
    """The server answered with this error; no response was made."""

    error: ErrorDetail


class Merged(Struct, frozen=True, tag_field="outcome", tag="merged"):
    """The request waited behind another that asks for the same, ``into`` (its event id), which stands for both."""

    into: str


class TimedOut(Struct, frozen=True, tag_field="outcome", tag="timed_out"):
    """Neither ``response.created`` nor an ``error`` came within ``ArbiterPolicy.request_timeout_ns``."""


class LostToVad(Struct, frozen=True, tag_field="outcome", tag="lost_to_vad"):
    """A response that the server's voice detection began, ``response_id``, took its place, and no retry was left.

    ``response_id`` is None where that response was not announced yet."""

    response_id: str | None


class Dropped(Struct, frozen=True, tag_field="outcome", tag="dropped"):
    """It never reached a verdict: ``closed``, ``disconnected``, ``cancelled`` before it was sent, or ``forgotten``
    because more responses were in progress than ``limits.open_responses``."""

    reason: Literal["closed", "disconnected", "cancelled", "forgotten"]


Outcome: TypeAlias = Finished | Rejected | Merged | TimedOut | LostToVad | Dropped


class RequestSettled(Struct, frozen=True, tag_field="do", tag="request_settled"):
    """The one outcome of the ``response.create`` that was sent with ``event_id``."""

    event_id: str
    outcome: Outcome


class ResponseRequested(Struct, frozen=True, tag_field="do", tag="response_requested"):
    """Server: the brain owes content for this response. ``params`` are effective: session and overrides."""

    response_id: str
    cause: Literal["client", "vad", "idle"]
    params: ResponseCreateParams


class ResponseCancelled(Struct, frozen=True, tag_field="do", tag="response_cancelled"):
    """Server: the brain must stop; the response is already closed towards the client."""

    response_id: str
    reason: Literal["client_cancelled", "turn_detected", "disconnected"]


class InputAudio(Struct, frozen=True, tag_field="do", tag="input_audio"):
    """Server: audio of the client, in the session's input format; ``start`` in samples since the session began."""

    audio: bytes
    start: int

    def __repr__(self) -> str:
        return f"InputAudio(audio={_length(self.audio)}, start={self.start})"


class InputCommitted(Struct, frozen=True, tag_field="do", tag="input_committed"):
    """Server: the uncommitted audio became the user item ``item_id``; ``audio`` only when it is retained."""

    item_id: str
    audio: bytes | None

    def __repr__(self) -> str:
        return (
            f"InputCommitted(item_id={self.item_id!r}, audio={_length(self.audio) if self.audio is not None else None})"
        )


class HandshakeReceived(Struct, frozen=True, tag_field="do", tag="handshake_received"):
    """Server, bytes level: answer with ``accept`` or ``reject``. Headers are hidden in the repr: keys live there."""

    path: str
    query: str
    headers: Headers
    subprotocols: tuple[str, ...]

    def __repr__(self) -> str:
        hidden = f"query=<{len(self.query)} characters>, headers=<{len(self.headers)}>"
        return f"HandshakeReceived(path={self.path!r}, {hidden})"


class Report(Struct, frozen=True, tag_field="do", tag="report"):
    """The peer broke ``rule`` in a way that we tolerate. Once per kind (rule and type); after that only counted."""

    rule: str
    event_type: str
    event_id: str | None
    path: str
    detail: str


class Closed(Struct, frozen=True, tag_field="do", tag="closed"):
    """The engine's end: last, exactly once."""

    code: int
    reason: str
    fault: Fault | None


Action: TypeAlias = (
    OpenTransport
    | Transmit
    | TransmitMessage
    | CloseTransport
    | Connected
    | Disconnected
    | Deliver
    | PlayAudio
    | StopAudio
    | RequestSettled
    | ResponseRequested
    | ResponseCancelled
    | InputAudio
    | InputCommitted
    | HandshakeReceived
    | Report
    | Closed
)
Actions: TypeAlias = tuple[Action, ...]


def actions_to_builtins(actions: Actions) -> list[Mapping[str, object]]:
    """Plain dictionaries, for traces: bytes become base64 text, events what the wire would show."""
    return [msgspec.to_builtins(action, enc_hook=_data_of) for action in actions]


def _data_of(value: object) -> object:
    # Items and events of unknown type are no Structs: they are written as the JSON object they came as.
    return getattr(value, "data")  # noqa: B009 - typed as object on purpose
