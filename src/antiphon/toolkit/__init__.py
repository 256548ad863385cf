"""For applications: what every realtime program writes by hand, finished. No I/O; with the engine or without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.toolkit.analytics import Analysis, Analytics
from antiphon.toolkit.builder import ClientEventBuilder, ItemKeys, ResponseKeys, SessionKeys
from antiphon.toolkit.bystander import Said
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
from antiphon.toolkit.export import commands_of, export_history, import_history, portable_id
from antiphon.toolkit.flow_tally import FlowCount, FlowTally
from antiphon.toolkit.history import Change, ChangeKind, History
from antiphon.toolkit.journal import (
    MOST_LINE_BYTES,
    CutLine,
    Direction,
    Entry,
    Foreign,
    Note,
    Row,
    format_note,
    format_row,
    read_lines,
)
from antiphon.toolkit.lanes import LANES, Lane, Lanes, LaneSheet, LaneSpan
from antiphon.toolkit.manager import EventManager, Seen, Statistics
from antiphon.toolkit.recorded_server import RecordedServer, sockets_of
from antiphon.toolkit.recorder import Journal, Recorder
from antiphon.toolkit.replay import Birth, Digest, Divergence, NotReplayable, Pace, Replay, Step, Steps
from antiphon.toolkit.retry import Attempt, Backoff, Retrier, RetryPolicy
from antiphon.toolkit.router import HandlerFailure, Registration, Router, Typed
from antiphon.toolkit.segments import Segment, Segments
from antiphon.toolkit.sequence import FLOWS, Difference, Flow, FlowMatch
from antiphon.toolkit.streams import Stream, StreamKey, StreamKind, Streams, StreamUpdate
from antiphon.toolkit.transcript import Line, Match, Span, Timeline, Transcript
from antiphon.toolkit.turns import Turn

if TYPE_CHECKING:
    from antiphon.toolkit.recorded import RecordedConnection

__all__ = [
    "CATEGORIES",
    "FLOWS",
    "LANES",
    "MOST_LINE_BYTES",
    "Analysis",
    "Analytics",
    "Attempt",
    "Backoff",
    "Birth",
    "Category",
    "Change",
    "ChangeKind",
    "ClientEventBuilder",
    "ClientEventType",
    "CutLine",
    "Difference",
    "Digest",
    "Direction",
    "Distribution",
    "Divergence",
    "Entry",
    "ErrorType",
    "EventManager",
    "Flow",
    "FlowCount",
    "FlowMatch",
    "FlowTally",
    "Foreign",
    "HandlerFailure",
    "History",
    "ItemKeys",
    "Journal",
    "Lane",
    "LaneSheet",
    "LaneSpan",
    "Lanes",
    "Line",
    "Match",
    "NotReplayable",
    "Note",
    "Pace",
    "RealtimeError",
    "RecordedConnection",
    "RecordedServer",
    "Recorder",
    "Registration",
    "Replay",
    "ResponseKeys",
    "Retrier",
    "RetryPolicy",
    "Router",
    "Row",
    "Said",
    "Seen",
    "Segment",
    "Segments",
    "ServerEventType",
    "SessionKeys",
    "Span",
    "Statistics",
    "Step",
    "Steps",
    "Stream",
    "StreamKey",
    "StreamKind",
    "StreamUpdate",
    "Streams",
    "Summary",
    "Timeline",
    "Transcript",
    "Turn",
    "Typed",
    "aliases_of",
    "canonical",
    "categories_of",
    "commands_of",
    "export_history",
    "format_note",
    "format_row",
    "import_history",
    "portable_id",
    "read_lines",
    "sockets_of",
]


def __getattr__(name: str) -> object:
    if name == "RecordedConnection":
        # What speaks bytes needs the websockets package, which few parts of the toolkit do.
        from antiphon.toolkit.recorded import RecordedConnection

        return RecordedConnection
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
