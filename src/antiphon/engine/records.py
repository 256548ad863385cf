"""The objects that tables step, beside the nodes of the conversation and the entries of the playback ledger.

Each has a ``state`` that only a stepper writes, and the few facts that guards and effects of its table need. Both
roles use them: a client to follow what the server says, a server to know what it has said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from antiphon.engine.audio import AudioFormat
from antiphon.engine.usage import Usage

if TYPE_CHECKING:
    from antiphon.engine.playback import Entry

STREAM_OF_ARGUMENTS = -1
"""Content index under which the arguments of a call are kept: the protocol gives them none."""

Claim: TypeAlias = Literal["announced", "inferred", "lapsed"]
"""Why a response in progress holds the one place: the server announced it; something of it came unannounced, so that
its end may not come either; and that was waited for in vain, so that it holds the place no more (R-Q5)."""


class Place:
    """An object with nothing but a state: the session, the input audio buffer's detection, MCP work, delivery."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class ResponseRecord:
    """One response. ``in_conversation`` is False out of band; ``event_id`` names the request of ours behind it;
    ``format`` is what it speaks in, where it says that. ``claim`` is a client's: why a response in progress holds the
    one place of the default conversation.
    """

    __slots__ = (
        "claim",
        "event_id",
        "format",
        "id",
        "in_conversation",
        "item_ids",
        "state",
        "status",
        "streams",
        "usage",
    )

    def __init__(self, id: str, *, in_conversation: bool = True) -> None:
        self.id = id
        self.state = "absent"
        self.in_conversation = in_conversation
        self.claim: Claim = "announced"
        self.event_id: str | None = None
        self.format: AudioFormat | None = None
        self.status: str | None = None
        self.streams: dict[tuple[str, int], StreamRecord] = {}
        self.item_ids: dict[str, None] = {}
        self.usage: Usage | None = None
        """What it used, once a client was told of its end."""

    @property
    def is_open(self) -> bool:
        """Whether it is in progress, cancelled or not."""
        return self.state in ("in_progress", "cancelling")

    def dump(self) -> ResponseState:
        return ResponseState(
            self.id,
            self.state,
            self.in_conversation,
            self.claim,
            self.event_id,
            self.format,
            self.status,
            list(self.item_ids),
            [stream.dump() for stream in self.streams.values()],
            self.usage,
        )

    @classmethod
    def load(cls, state: ResponseState) -> ResponseRecord:
        record = cls(state.id, in_conversation=state.in_conversation)
        record.state = state.state
        record.claim = state.claim
        record.event_id = state.event_id
        record.format = state.format
        record.status = state.status
        record.item_ids = dict.fromkeys(state.item_ids)
        record.usage = state.usage
        for each in state.streams:
            record.streams[each.item_id, each.content_index] = StreamRecord.load(each, record)
        return record


class StreamRecord:
    """One stream of content of a response: a content part, or the arguments of a call."""

    __slots__ = ("content_index", "entry", "item_id", "output_index", "response", "state")

    def __init__(self, response: ResponseRecord, item_id: str, content_index: int, output_index: int) -> None:
        self.state = "absent"
        self.response = response
        self.item_id = item_id
        self.content_index = content_index
        self.output_index = output_index
        self.entry: Entry | None = None
        """What the playback ledger holds of it, where a client has found that already."""

    def dump(self) -> StreamState:
        return StreamState(self.item_id, self.content_index, self.output_index, self.state)

    @classmethod
    def load(cls, state: StreamState, response: ResponseRecord) -> StreamRecord:
        record = cls(response, state.item_id, state.content_index, state.output_index)
        record.state = state.state
        return record


class OutputRecord:
    """An item that is no member of the conversation (yet, any more, or ever): its state until it has a node."""

    __slots__ = ("id", "response", "state")

    def __init__(self, id: str, state: str = "absent", response: ResponseRecord | None = None) -> None:
        self.id = id
        self.state = state
        self.response = response


class StreamState(Struct, frozen=True):
    """A `StreamRecord` in a snapshot."""

    item_id: str
    content_index: int
    output_index: int
    state: str


class ResponseState(Struct, frozen=True):
    """A `ResponseRecord` in a snapshot."""

    id: str
    state: str
    in_conversation: bool
    claim: Claim
    event_id: str | None
    format: AudioFormat | None
    status: str | None
    item_ids: list[str]
    streams: list[StreamState]
    usage: Usage | None


class OutputState(Struct, frozen=True):
    """An `OutputRecord` in a snapshot."""

    id: str
    state: str
    response_id: str | None
