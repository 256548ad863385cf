"""For applications: what every realtime program writes by hand, finished. No I/O; with the engine or without it."""

from __future__ import annotations

from antiphon.toolkit.event_types import (
    CATEGORIES,
    Category,
    ClientEventType,
    ServerEventType,
    aliases_of,
    canonical,
    categories_of,
)
from antiphon.toolkit.router import HandlerFailure, Registration, Router
from antiphon.toolkit.streams import Stream, StreamKey, StreamKind, Streams, StreamUpdate

__all__ = [
    "CATEGORIES",
    "Category",
    "ClientEventType",
    "HandlerFailure",
    "Registration",
    "Router",
    "ServerEventType",
    "Stream",
    "StreamKey",
    "StreamKind",
    "StreamUpdate",
    "Streams",
    "aliases_of",
    "canonical",
    "categories_of",
]
