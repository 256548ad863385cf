"""antiphon: a sans-IO protocol engine for realtime voice sessions, client and server.

Bytes and events in, actions out: `Session` speaks messages, `Connection` bytes; adapters carry them to sockets and
sound. Start with ``docs/howto/drive-the-engine.md``. Events are in `antiphon.messages`.

What needs the ``websockets`` package (`Connection`, `Wire`) is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon import messages
from antiphon.engine import codec, inputs
from antiphon.engine.actions import (
    Action,
    Actions,
    Closed,
    CloseTransport,
    Connected,
    Deliver,
    Disconnected,
    Dropped,
    Finished,
    HandshakeReceived,
    InputAudio,
    InputCommitted,
    LostToVad,
    Merged,
    OpenTransport,
    Outcome,
    PlayAudio,
    Rejected,
    Report,
    RequestSettled,
    ResponseCancelled,
    ResponseRequested,
    StopAudio,
    TimedOut,
    Transmit,
    TransmitMessage,
)
from antiphon.engine.audio import PCM16_24K, PCMA, PCMU, AudioFormat
from antiphon.engine.client import ClientSession
from antiphon.engine.config import (
    ArbiterPolicy,
    ConnectionConfig,
    Durations,
    Limits,
    RenewalPolicy,
    Role,
    SessionConfig,
)
from antiphon.engine.content import (
    ArgumentsDelta,
    AudioDelta,
    Content,
    ItemFinished,
    ItemStarted,
    McpCallFinished,
    McpListingFinished,
    McpListingStarted,
    ResponseFinished,
    SourceText,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TranscriptionResult,
    TranscriptSegment,
    TranslatedAudio,
    TranslatedText,
    TranslationFinished,
)
from antiphon.engine.conversation import Conversation, Node
from antiphon.engine.endpoint import Endpoint
from antiphon.engine.errors import Fault, LocalProtocolError, ProtocolError, RemoteProtocolError, SnapshotError
from antiphon.engine.inputs import Input
from antiphon.engine.prices import Cost, Prices, PriceTable
from antiphon.engine.pump import Pump
from antiphon.engine.rate_limits import KnownRateLimit
from antiphon.engine.refusals import error_event
from antiphon.engine.resources import Resources, command_of
from antiphon.engine.server import ServerSession
from antiphon.engine.session import Session
from antiphon.engine.snapshot import Snapshot
from antiphon.engine.timers import Instant, Timer
from antiphon.engine.usage import TokenCounts, TranscribedUsage, Usage

if TYPE_CHECKING:
    from antiphon.engine.connection import Connection

__version__ = "0.1.0"

__all__ = [
    "PCM16_24K",
    "PCMA",
    "PCMU",
    "Action",
    "Actions",
    "ArbiterPolicy",
    "ArgumentsDelta",
    "AudioDelta",
    "AudioFormat",
    "ClientSession",
    "CloseTransport",
    "Closed",
    "Connected",
    "Connection",
    "ConnectionConfig",
    "Content",
    "Conversation",
    "Cost",
    "Deliver",
    "Disconnected",
    "Dropped",
    "Durations",
    "Endpoint",
    "Fault",
    "Finished",
    "HandshakeReceived",
    "Input",
    "InputAudio",
    "InputCommitted",
    "Instant",
    "ItemFinished",
    "ItemStarted",
    "KnownRateLimit",
    "Limits",
    "LocalProtocolError",
    "LostToVad",
    "McpCallFinished",
    "McpListingFinished",
    "McpListingStarted",
    "Merged",
    "Node",
    "OpenTransport",
    "Outcome",
    "PlayAudio",
    "PriceTable",
    "Prices",
    "ProtocolError",
    "Pump",
    "Rejected",
    "RemoteProtocolError",
    "RenewalPolicy",
    "Report",
    "RequestSettled",
    "Resources",
    "ResponseCancelled",
    "ResponseFinished",
    "ResponseRequested",
    "Role",
    "ServerSession",
    "Session",
    "SessionConfig",
    "Snapshot",
    "SnapshotError",
    "SourceText",
    "StopAudio",
    "TextDelta",
    "TimedOut",
    "Timer",
    "TokenCounts",
    "TranscribedUsage",
    "TranscriptCompleted",
    "TranscriptDelta",
    "TranscriptFailed",
    "TranscriptSegment",
    "TranscriptionResult",
    "TranslatedAudio",
    "TranslatedText",
    "TranslationFinished",
    "Transmit",
    "TransmitMessage",
    "Usage",
    "codec",
    "command_of",
    "error_event",
    "inputs",
    "messages",
]


def __getattr__(name: str) -> object:
    if name == "Connection":
        from antiphon.engine.connection import Connection

        return Connection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
