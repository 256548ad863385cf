"""One ``response.create`` of a client, from `send` to its outcome: the object that the request table moves."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, structs

from antiphon.engine.codec import client_decoder, encode_text
from antiphon.engine.timers import Instant
from antiphon.messages import Response, ResponseCreate, ResponseCreateParams

TAG: Final = "antiphon_request"
"""The metadata key under which a request's event id travels, so that its response can be told from another's."""

MOST_METADATA: Final = 16
"""Pairs of metadata that the protocol takes."""


class Request:
    """One ``response.create`` of ours."""

    __slots__ = (
        "by_order",
        "cancel_id",
        "deadline",
        "event",
        "event_id",
        "follows_output",
        "forced",
        "is_plain",
        "losses",
        "response_id",
        "sequence",
        "state",
        "winner_id",
    )

    def __init__(
        self, event_id: str, event: ResponseCreate, *, follows_output: bool, forced: bool, state: str = "new"
    ) -> None:
        self.state = state
        self.event_id = event_id
        self.event = event
        self.follows_output = follows_output
        self.forced = forced
        self.sequence = 0
        """Its place among all that was sent, of the last time; 0 before the first."""
        self.is_plain = event.response is UNSET or event.response is None
        """Whether it asks for nothing of its own, so that two of them are one wish."""
        self.deadline: Instant | None = None
        self.response_id: str | None = None
        self.by_order = False
        """Whether its response was found by order alone, which may be wrong."""
        self.losses = 0
        """How often it lost its place and was taken back."""
        self.winner_id: str | None = None
        """The response that began in the default conversation since it went out, and is not its own."""
        self.cancel_id: str | None = None
        """The event id of the `response.cancel` that followed it."""

    @property
    def in_conversation(self) -> bool:
        """Whether it asks for the one place, that of the default conversation."""
        params = self.event.response
        return not (isinstance(params, ResponseCreateParams) and params.conversation == "none")

    @property
    def is_a_reply(self) -> bool:
        """Whether it follows a function's output and asks for nothing else."""
        return self.follows_output and self.is_plain

    @property
    def metadata(self) -> dict[str, str] | None:
        """What its response will echo; None for nothing."""
        params = self.event.response
        return params.metadata or None if isinstance(params, ResponseCreateParams) and params.metadata else None

    def asks_for(self, key: str) -> bool:
        """Whether its ``response`` has this key."""
        params = self.event.response
        return isinstance(params, ResponseCreateParams) and getattr(params, key, UNSET) is not UNSET

    def tag(self) -> None:
        """Add its event id to its metadata, if there is room and the application has not done so."""
        params = (
            self.event.response if isinstance(self.event.response, ResponseCreateParams) else ResponseCreateParams()
        )
        metadata = params.metadata or {}
        if TAG in metadata or len(metadata) >= MOST_METADATA:
            return
        params = structs.replace(params, metadata={**metadata, TAG: self.event_id})
        self.event = structs.replace(self.event, response=params)

    def is_echoed_by(self, response: Response) -> bool:
        """Whether this response may be the answer: metadata is equal, or the server does not echo any (R-Q2)."""
        if response.metadata is UNSET:
            return True
        return (response.metadata or None) == self.metadata

    def is_named_by(self, response: Response) -> bool:
        """Whether this response is certainly the answer: it carries the tag."""
        return is_tagged(response) and response.metadata == self.metadata

    def dump(self, now: Instant) -> RequestState:
        return RequestState(
            self.state,
            encode_text(self.event),
            self.follows_output,
            self.forced,
            None if self.deadline is None else self.deadline - now,
            self.response_id,
            self.sequence,
            self.is_plain,
            self.by_order,
            self.losses,
            self.winner_id,
            self.cancel_id,
        )

    @classmethod
    def load(cls, state: RequestState, now: Instant) -> Request:
        event = client_decoder(_ANY_DEPTH)(state.event)
        assert isinstance(event, ResponseCreate)  # it was one when it was dumped
        assert isinstance(event.event_id, str)
        request = cls(
            event.event_id, event, follows_output=state.follows_output, forced=state.forced, state=state.state
        )
        request.deadline = None if state.remaining is None else now + state.remaining
        request.response_id = state.response_id
        request.sequence = state.sequence
        request.is_plain = state.is_plain
        request.by_order = state.by_order
        request.losses = state.losses
        request.winner_id = state.winner_id
        request.cancel_id = state.cancel_id
        return request


class RequestState(Struct, frozen=True):
    """A `Request` in a snapshot; ``event`` is its JSON text, ``remaining`` the ns left of its deadline."""

    state: str
    event: str
    follows_output: bool
    forced: bool
    remaining: int | None
    response_id: str | None
    sequence: int
    is_plain: bool
    by_order: bool
    losses: int
    winner_id: str | None
    cancel_id: str | None


def is_tagged(response: Response) -> bool:
    """Whether a response says which request it answers."""
    metadata = response.metadata
    return metadata is not UNSET and metadata is not None and TAG in metadata


_ANY_DEPTH = 1024  # our own text, which was bounded when it was sent
