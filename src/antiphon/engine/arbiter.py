"""The arbiter: brings every ``response.create`` through the server's one place, to one outcome.

The server runs one response at a time in the default conversation and answers a second request with nothing but an
``error``. Every client that we know of keeps a flag for this and loses replies; here each request is an object of the
request table (``spec/machines/request.toml``), and the table says what may befall it (R-Q1 … R-Q6). Requests out of
band (``conversation: "none"``) never wait.

What the policy leaves open is `ArbiterPolicy`. Retrying after a loss to voice detection, and late replies, are the
rows that the table names as planned.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, structs

from antiphon.engine.actions import Dropped, Finished, Merged, Outcome, Rejected, RequestSettled, TimedOut
from antiphon.engine.codec import client_decoder, encode, encode_text
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.timers import Instant, Timer
from antiphon.machines import build
from antiphon.messages import Response, ResponseCreate, ResponseCreateParams, ResponseDone

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

TAG = "antiphon_request"
"""The metadata key under which a request's event id travels, so that its response can be told from another's."""

_MOST_METADATA = 16


class Request:
    """One ``response.create`` of ours."""

    __slots__ = (
        "deadline",
        "event",
        "event_id",
        "follows_output",
        "forced",
        "is_plain",
        "response_id",
        "sequence",
        "state",
    )

    def __init__(self, event_id: str, event: ResponseCreate, *, follows_output: bool, forced: bool) -> None:
        self.state = REQUEST.initial
        self.event_id = event_id
        self.event = event
        self.follows_output = follows_output
        self.forced = forced
        self.sequence = 0
        self.is_plain = event.response is UNSET or event.response is None
        """Whether it asks for nothing of its own, so that two of them are one wish."""
        self.deadline: Instant | None = None
        self.response_id: str | None = None

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
        params = self.event.response
        return params.metadata or None if isinstance(params, ResponseCreateParams) and params.metadata else None


class RequestRules:
    """Guards and effects of the request table."""

    @staticmethod
    def merges(request: Request, session: ClientSession, _event: object) -> bool:
        other = session.arbiter.mergeable(request)
        return other is not None and session.arbiter.must_wait(request)

    @staticmethod
    def must_wait(request: Request, session: ClientSession, _event: object) -> bool:
        return session.arbiter.must_wait(request)

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
    def settle_rejected(request: Request, session: ClientSession, event: object) -> None:
        session.arbiter.settle(request, Rejected(event.error))  # type: ignore[attr-defined]  # only `error` steps here

    @staticmethod
    def settle_timed_out(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.settle(request, TimedOut())

    @staticmethod
    def settle_withdrawn(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.settle(request, Dropped("cancelled"))

    @staticmethod
    def settle_dropped(request: Request, session: ClientSession, _event: object) -> None:
        session.arbiter.settle(request, Dropped("closed" if session.closing_was_ours else "disconnected"))


REQUEST = build("request", RequestRules, role="client")


class Arbiter:
    """The requests of one client session that have no outcome yet."""

    __slots__ = ("_answered", "_answering", "_output_sequence", "_session", "active", "owed", "queue", "sent")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.queue: deque[Request] = deque()
        self.sent: list[Request] = []
        self.active: dict[str, Request] = {}
        self.owed: dict[str, None] = {}
        self._answered: dict[str, None] = {}
        self._answering = False
        self._output_sequence = 0

    # -- asking --------------------------------------------------------------------------------------------------------

    def check(self, event: ResponseCreate, *, override: bool) -> None:
        """Refuse a request that policy or bound forbids. Raises `LocalProtocolError`; changes nothing."""
        session = self._session
        if len(self.queue) >= session.config.limits.queued_requests:
            raise LocalProtocolError(
                f"{len(self.queue)} response.create are held back already; wait for outcomes", rule="R-N2"
            )
        if len(self.sent) + len(self.active) >= session.config.limits.open_responses:
            raise LocalProtocolError("too many responses are asked for at once; wait for outcomes", rule="R-N2")
        if session.config.arbiter.on_active != "refuse" or override:
            return
        if Request("", event, follows_output=False, forced=False).in_conversation and self.is_busy:
            raise LocalProtocolError(
                "the default conversation has a response in progress; wait for its response.done",
                rule="R-Q1",
                code="conversation_already_has_active_response",
                overridable=True,
            )

    def submit(self, event: ResponseCreate, *, forced: bool) -> None:
        """Take a request on; from here it has exactly one outcome (R-Q6)."""
        event_id = event.event_id
        assert isinstance(event_id, str)  # `ClientSession` names every command
        request = Request(event_id, event, follows_output=self._answering, forced=forced)
        self._session.step(REQUEST, request, "internal.submit", None)

    def mergeable(self, request: Request) -> Request | None:
        """The request that says the same, if policy merges: the last in the queue; or, for one that follows an output
        of a function, a request that went out after that output and so asks for the reply to it already."""
        if not self._session.config.arbiter.merge_tool_outputs or not request.is_plain:
            return None
        if self.queue:
            return self.queue[-1] if self.queue[-1].is_plain else None
        if not request.follows_output:
            return None
        on_their_way = (*self.active.values(), *self.sent)
        return next((each for each in on_their_way if each.is_a_reply and each.sequence > self._output_sequence), None)

    def must_wait(self, request: Request) -> bool:
        """Whether the server would refuse it now, or it would speak before every output is in."""
        if request.forced or not request.in_conversation or self._session.config.arbiter.on_active == "send":
            return False
        return self.is_busy or bool(self.queue) or self._is_held(request)

    def _is_held(self, request: Request) -> bool:
        return self._session.config.arbiter.merge_tool_outputs and request.follows_output and bool(self.owed)

    @property
    def is_busy(self) -> bool:
        """Whether the one place is taken: by a response in progress, or by a request on its way."""
        return self._session.default_response is not None or any(request.in_conversation for request in self.sent)

    def transmit(self, request: Request) -> None:
        """Put it on the wire."""
        session = self._session
        request.event = event = self._tagged(request)
        self.sent.append(request)
        request.deadline = session.now + session.config.timers.request
        self._arm()
        request.sequence = session.acknowledgements.next_sequence()
        session.transmit(encode(event))

    def _tagged(self, request: Request) -> ResponseCreate:
        event = request.event
        if not self._session.config.arbiter.tag_requests:
            return event
        params = event.response if isinstance(event.response, ResponseCreateParams) else ResponseCreateParams()
        metadata = params.metadata or {}
        if TAG in metadata or len(metadata) >= _MOST_METADATA:
            return event
        params = structs.replace(params, metadata={**metadata, TAG: request.event_id})
        return structs.replace(event, response=params)

    def release(self) -> None:
        """The place may be free: send what was held back, in order."""
        session = self._session
        while self.queue and session.link.state == "open":
            head = self.queue[0]
            if self.is_busy or self._is_held(head):
                return
            self.queue.popleft()
            session.step(REQUEST, head, "internal.slot_free", None)

    # -- tools ---------------------------------------------------------------------------------------------------------

    def command_sent(self, *, output_of: str | None) -> None:
        """A command other than a request went out; ``output_of`` is the call id when it was a function's output."""
        self._answering = output_of is not None
        if output_of is not None:
            self._output_sequence = self._session.acknowledgements.sequence
            self.owed.pop(output_of, None)
            self._remember(self._answered, output_of)
            self.release()

    def called(self, call_id: str) -> None:
        """A function call completed: its output is owed before the next reply (R-Q1)."""
        if call_id not in self._answered:  # an output may be sent before the response is done
            self._remember(self.owed, call_id)

    def uncalled(self, call_id: str) -> None:
        """A function call was deleted: its output is not waited for any more."""
        self.owed.pop(call_id, None)
        self.release()

    def _remember(self, calls: dict[str, None], call_id: str) -> None:
        calls[call_id] = None
        if len(calls) > self._session.config.limits.response_parts:
            del calls[next(iter(calls))]

    # -- answers -------------------------------------------------------------------------------------------------------

    def created(self, response: Response, *, in_conversation: bool) -> Request | None:
        """The request behind a new response, by its echoed metadata, else by order (R-Q2); None: not ours."""
        if in_conversation:
            self.owed.clear()  # the talk went on without those outputs: what waited for them waits no longer (R-Q1)
        for request in self.sent:
            if request.in_conversation == in_conversation and _echoes(request, response):
                self.sent.remove(request)
                request.response_id = response.id
                self.active[response.id] = request
                self._session.step(REQUEST, request, "response.created", response)
                self._arm()
                return request
        return None

    def done(self, response_id: str, event: ResponseDone | str) -> None:
        """The response of ``response_id`` ended; ``event`` is the id alone when it could not be read."""
        request = self.active.pop(response_id, None)
        if request is not None:
            self._session.step(REQUEST, request, "response.done", event)

    def rejected(self, event_id: str | None, code: str | None, event: object) -> bool:
        """An ``error`` came: settle the request it names, or the oldest its code fits (R-Q4). False: it is none's."""
        for request in self.sent:
            if event_id == request.event_id or (event_id is None and code in _CODES_OF_CREATE):
                self.sent.remove(request)
                self._session.step(REQUEST, request, "internal.rejected", event)
                self._arm()
                return True
        return False

    # -- ends ----------------------------------------------------------------------------------------------------------

    def time_out(self) -> None:
        """Settle what passed its deadline."""
        session = self._session
        late = [request for request in self.sent if request.deadline is not None and request.deadline <= session.now]
        for request in late:
            self.sent.remove(request)
            session.step(REQUEST, request, "timer.request", None)
        self._arm()
        self.release()

    def withdraw(self) -> None:
        """Settle what is held back as cancelled."""
        held = list(self.queue)
        self.queue.clear()
        for request in held:
            self._session.step(REQUEST, request, "internal.withdrawn", None)

    def drop(self) -> None:
        """The socket is gone: nothing of this will be answered."""
        pending = [*self.active.values(), *self.sent, *self.queue]
        self.active.clear()
        self.sent.clear()
        self.queue.clear()
        self.owed.clear()
        self._answered.clear()
        for request in pending:
            self._session.step(REQUEST, request, "internal.dropped", None)

    def settle(self, request: Request, outcome: Outcome) -> None:
        """Tell the application, once."""
        self._session.act(RequestSettled(request.event_id, outcome))

    def _arm(self) -> None:
        deadlines = [request.deadline for request in self.sent if request.deadline is not None]
        if deadlines:
            self._session.timers.arm(Timer.REQUEST, min(deadlines))
        else:
            self._session.timers.stop(Timer.REQUEST)

    # -- snapshot ------------------------------------------------------------------------------------------------------

    def dump(self, now: Instant) -> ArbiterState:
        return ArbiterState(
            [_dump(request, now) for request in self.queue],
            [_dump(request, now) for request in self.sent],
            [_dump(request, now) for request in self.active.values()],
            list(self.owed),
            list(self._answered),
            self._answering,
            self._output_sequence,
        )

    def load(self, state: ArbiterState, now: Instant) -> None:
        self.queue = deque(_load(each, now) for each in state.queue)
        self.sent = [_load(each, now) for each in state.sent]
        self.active = {str(each.response_id): _load(each, now) for each in state.active}
        self.owed = dict.fromkeys(state.owed)
        self._answered = dict.fromkeys(state.answered)
        self._answering = state.answering
        self._output_sequence = state.output_sequence


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


class ArbiterState(Struct, frozen=True):
    """The arbiter in a snapshot."""

    queue: list[RequestState]
    sent: list[RequestState]
    active: list[RequestState]
    owed: list[str]
    answered: list[str]
    answering: bool
    output_sequence: int


def _dump(request: Request, now: Instant) -> RequestState:
    remaining = None if request.deadline is None else request.deadline - now
    return RequestState(
        request.state,
        encode_text(request.event),
        request.follows_output,
        request.forced,
        remaining,
        request.response_id,
        request.sequence,
        request.is_plain,
    )


def _load(state: RequestState, now: Instant) -> Request:
    event = client_decoder(_ANY_DEPTH)(state.event)
    assert isinstance(event, ResponseCreate)  # it was one when it was dumped
    assert isinstance(event.event_id, str)
    request = Request(event.event_id, event, follows_output=state.follows_output, forced=state.forced)
    request.state = state.state
    request.deadline = None if state.remaining is None else now + state.remaining
    request.response_id = state.response_id
    request.sequence = state.sequence
    request.is_plain = state.is_plain
    return request


_ANY_DEPTH = 1024  # our own text, which was bounded when it was sent
_CODES_OF_CREATE = frozenset({"conversation_already_has_active_response"})


def _echoes(request: Request, response: Response) -> bool:
    """Whether this response may be the answer: metadata is equal, or the server does not echo any (R-Q2)."""
    if response.metadata is UNSET:
        return True
    return (response.metadata or None) == request.metadata
