"""For applications: what every realtime program writes by hand, finished. No I/O; with the engine or without it."""

from __future__ import annotations

from antiphon.toolkit.analytics import Analysis, Analytics
from antiphon.toolkit.builder import ClientEventBuilder, ItemKeys, ResponseKeys, SessionKeys
from antiphon.toolkit.distribution import Distribution, Summary
from antiphon.toolkit.errors import ErrorType, RealtimeError
from antiphon.toolkit.event_types import (
    CATEGORIES,
    Category,
    ClientEventType,
    ServerEventType,
    aliases_of,
    canonical,
    categories_of,
)
from antiphon.toolkit.export import commands_of, export_history, import_history
from antiphon.toolkit.history import Change, ChangeKind, History
from antiphon.toolkit.manager import EventManager, Seen, Statistics
from antiphon.toolkit.retry import Attempt, Backoff, Retrier, RetryPolicy
from antiphon.toolkit.router import HandlerFailure, Registration, Router
from antiphon.toolkit.sequence import FLOWS, Difference, Flow, FlowMatch
from antiphon.toolkit.streams import Stream, StreamKey, StreamKind, Streams, StreamUpdate
from antiphon.toolkit.transcript import Line, Match, Span, Timeline, Transcript

__all__ = [
    "CATEGORIES",
    "FLOWS",
    "Analysis",
    "Analytics",
    "Attempt",
    "Backoff",
    "Category",
    "Change",
    "ChangeKind",
    "ClientEventBuilder",
    "ClientEventType",
    "Difference",
    "Distribution",
    "ErrorType",
    "EventManager",
    "Flow",
    "FlowMatch",
    "HandlerFailure",
    "History",
    "ItemKeys",
    "Line",
    "Match",
    "RealtimeError",
    "Registration",
    "ResponseKeys",
    "Retrier",
    "RetryPolicy",
    "Router",
    "Seen",
    "ServerEventType",
    "SessionKeys",
    "Span",
    "Statistics",
    "Stream",
    "StreamKey",
    "StreamKind",
    "StreamUpdate",
    "Streams",
    "Summary",
    "Timeline",
    "Transcript",
    "aliases_of",
    "canonical",
    "categories_of",
    "commands_of",
    "export_history",
    "import_history",
]
