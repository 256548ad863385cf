"""For applications: what every realtime program writes by hand, finished. No I/O; with the engine or without it."""

from __future__ import annotations

from antiphon.toolkit.analytics import Analysis, Analytics
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
from antiphon.toolkit.flow_tally import FlowCount, FlowTally
from antiphon.toolkit.retry import Attempt, Backoff, Retrier, RetryPolicy
from antiphon.toolkit.router import HandlerFailure, Registration, Router
from antiphon.toolkit.sequence import FLOWS, Difference, Flow, FlowMatch
from antiphon.toolkit.streams import Stream, StreamKey, StreamKind, Streams, StreamUpdate
from antiphon.toolkit.transcript import Line, Span, Timeline, Transcript
from antiphon.toolkit.turns import Turn

__all__ = [
    "CATEGORIES",
    "FLOWS",
    "Analysis",
    "Analytics",
    "Attempt",
    "Backoff",
    "Category",
    "ClientEventType",
    "Difference",
    "Distribution",
    "ErrorType",
    "Flow",
    "FlowCount",
    "FlowMatch",
    "FlowTally",
    "HandlerFailure",
    "Line",
    "RealtimeError",
    "Registration",
    "Retrier",
    "RetryPolicy",
    "Router",
    "ServerEventType",
    "Span",
    "Stream",
    "StreamKey",
    "StreamKind",
    "StreamUpdate",
    "Streams",
    "Summary",
    "Timeline",
    "Transcript",
    "Turn",
    "aliases_of",
    "canonical",
    "categories_of",
]
