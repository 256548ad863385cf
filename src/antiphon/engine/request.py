"""One ``response.create`` of a client, from `send` to its outcome: the object that the request table moves.

Here is what its rows do. Which request an answer belongs to, and when one may go, is the arbiter's affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Struct, structs

from antiphon.engine.actions import Dropped, Finished, LostToVad, Merged, Rejected, TimedOut
from antiphon.engine.codec import command_from_text, encode_text
from antiphon.engine.credentials import command_without_credentials
from antiphon.engine.timers import Instant
from antiphon.machines import build
from antiphon.messages import Error, Response, ResponseCancel, ResponseCreate, ResponseCreateParams, ResponseDone

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

TAG: Final = "antiphon_request"
"""The metadata key under which a request's event id travels, so that its response can be told from another's."""

MOST_METADATA: Final = 16
"""Pairs of metadata that the protocol takes."""

OCCUPIED: Final = "conversation_already_has_active_response"
"""The code of an error that says that the one place is taken."""


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
            command_without_credentials(encode_text(self.event)),
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
        event = command_from_text(state.event)
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


class RequestRules:
    """Guards and effects of the request table."""

    @staticmethod
    def merges(request: Request, session: ClientSession, _event: object) -> bool:
        return session.arbiter.must_wait(request) and session.arbiter.mergeable(request) is not None

    @staticmethod
    def must_wait(request: Request, session: ClientSession, _event: object) -> bool:
        return session.arbiter.must_wait(request)

    @staticmethod
    def is_tried_again(request: Request, session: ClientSession, event: Error) -> bool:
        policy = session.config.arbiter
        return (
            policy.retry_lost_to_vad
            and request.losses < policy.retries
            and session.arbiter.lost_its_place(request, event)
        )

    @staticmethod
    def is_lost_to_vad(request: Request, session: ClientSession, event: Error) -> bool:
        return session.arbiter.lost_its_place(request, event) and not session.arbiter.lost_to_one_of_ours(request)

    @staticmethod
    def adopts_late(_request: Request, session: ClientSession, _response: Response) -> bool:
        return session.config.arbiter.late == "adopt"

    @staticmethod
    def settle_merged(request: Request, session: ClientSession, _event: object) -> None:
        other = session.arbiter.mergeable(request)
        assert other is not None  # the guard of this row
        session.arbiter.settle(request, Merged(other.event_id))

    @staticmethod
    def enqueue(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.queue.append(request)

    @staticmethod
    def transmit(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.transmit(request)

    @staticmethod
    def take_back(request: Request, session: ClientSession, _event: Error) -> None:
        session.arbiter.take_back(request)

    @staticmethod
    def remember_cancel(request: Request, _session: ClientSession, event: ResponseCancel) -> None:
        request.cancel_id = event.event_id if isinstance(event.event_id, str) else None

    @staticmethod
    def silence(_request: Request, session: ClientSession, response: Response) -> None:
        session.registry.silence(response.id)

    @staticmethod
    def cancel(_request: Request, session: ClientSession, response: Response) -> None:
        session.registry.cancel(response.id)

    @staticmethod
    def settle_finished(request: Request, session: ClientSession, event: ResponseDone | str) -> None:
        if isinstance(event, str):  # the id of a response whose `response.done` could not be read
            session.arbiter.settle(request, Finished(event, "failed", None))
            return
        details = event.response.status_details
        reason = details.reason if details else None
        status = event.response.status
        session.arbiter.settle(
            request, Finished(event.response.id, status or "completed", reason if isinstance(reason, str) else None)
        )

    @staticmethod
    def settle_rejected(request: Request, session: ClientSession, event: Error) -> None:
        session.arbiter.settle(request, Rejected(event.error))

    @staticmethod
    def settle_lost(request: Request, session: ClientSession, _event: Error) -> None:
        session.arbiter.settle(request, LostToVad(session.arbiter.winner_of(request)))

    @staticmethod
    def settle_timed_out(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.remember_late(request)
        session.arbiter.settle(request, TimedOut())

    @staticmethod
    def settle_withdrawn(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.settle(request, Dropped("cancelled"))

    @staticmethod
    def settle_dropped(request: Request, session: ClientSession, _event: object) -> None:
        if session.link.state == "open":
            session.arbiter.settle(request, Dropped("forgotten"))
        else:
            session.arbiter.settle(request, Dropped("closed" if session.closing_was_ours else "disconnected"))


REQUEST = build("request", RequestRules, role="client")


class RequestState(Struct, frozen=True):
    """A `Request` in a snapshot; ``event`` is its JSON text without credentials, ``remaining`` the ns left of its
    deadline."""

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

    def __repr__(self) -> str:  # its input may be audio
        return f"RequestState(state={self.state!r}, event=<{len(self.event)} characters>, sequence={self.sequence})"


def is_tagged(response: Response) -> bool:
    """Whether a response says which request it answers."""
    metadata = response.metadata
    return metadata is not UNSET and metadata is not None and TAG in metadata
