"""For applications: what every realtime program writes by hand, finished. No I/O; with the engine or without it."""

from __future__ import annotations

from antiphon.toolkit.event_types import (
    CATEGORIES,
    Category,
    ClientEventType,
    ServerEventType,
    canonical,
    categories_of,
)
from antiphon.toolkit.router import HandlerFailure, Registration, Router

__all__ = [
    "CATEGORIES",
    "Category",
    "ClientEventType",
    "HandlerFailure",
    "Registration",
    "Router",
    "ServerEventType",
    "canonical",
    "categories_of",
]
