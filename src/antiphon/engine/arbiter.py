"""The arbiter: brings every ``response.create`` through the server's one place, to one outcome.

The server runs one response at a time in the default conversation and answers a second request with nothing but an
``error``. Every client that we know of keeps a flag for this and loses replies; here each request is an object of the
request table (``spec/machines/request.toml``), and the table says what may befall it (R-Q1 … R-Q10). Requests out of
band (``conversation: "none"``) never wait. What is left open is `ArbiterPolicy`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from antiphon.engine.actions import Outcome, RequestSettled
from antiphon.engine.blame import Blame, blame
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.request import OCCUPIED, REQUEST, Request, RequestState, is_tagged
from antiphon.engine.timers import Instant, Timer
from antiphon.messages import Error, Response, ResponseCancel, ResponseCreate, ResponseDone

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession


class Arbiter:
    """The requests of one client session: those without an outcome, and those whose response may come late."""

    __slots__ = (
        "_answered",
        "_answering",
        "_output_sequence",
        "_session",
        "active",
        "echoes",
        "hears",
        "late",
        "owed",
        "queue",
        "sent",
        "unseen",
    )

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.queue: deque[Request] = deque()
        self.sent: list[Request] = []
        self.active: dict[str, Request] = {}
        self.late: list[Request] = []
        self.owed: dict[str, None] = {}
        self.unseen = False
        """Whether the server spoke of a response in progress that it has not announced."""
        self.echoes = False
        """Whether the server was ever seen to echo a tag."""
        self.hears = False
        """Whether, since the last response began, the server heard something that it may answer by itself."""
        self._answered: dict[str, None] = {}
        self._answering = False
        self._output_sequence = 0

    # -- asking --------------------------------------------------------------------------------------------------------

    def check(self, event: ResponseCreate, *, override: bool) -> None:
        """Refuse a request that policy or bound forbids. Raises `LocalProtocolError`; changes nothing."""
        session = self._session
        policy = session.config.arbiter
        waiting = session.gap.requests()
        if isinstance(event.event_id, str) and event.event_id:
            ours = {request.event_id for request in (*self.queue, *self.sent, *self.active.values())}
            if event.event_id in ours or any(other.event_id == event.event_id for other in waiting):
                raise LocalProtocolError(
                    f"a request named {event.event_id[:64]!r} has no outcome yet; each needs an event_id of its own",
                    rule="R-Q6",
                )
        request = Request("", event, follows_output=self._answering, forced=override)
        if policy.on_active == "refuse" and not override and request.in_conversation and self.is_busy:
            raise LocalProtocolError(
                "the default conversation has a response in progress; wait for its response.done",
                rule="R-Q1",
                code=OCCUPIED,
                overridable=True,
            )
        held_back = len(self.queue) if self.must_wait(request) and self.mergeable(request) is None else 0
        if held_back + len(waiting) >= policy.queue_limit:
            raise LocalProtocolError(
                f"{policy.queue_limit} response.create are held back already; wait for outcomes", rule="R-N2"
            )
        if len(self.sent) + len(self.active) >= session.config.limits.open_responses:
            raise LocalProtocolError("too many responses are asked for at once; wait for outcomes", rule="R-N2")

    def submit(self, event: ResponseCreate, *, forced: bool) -> None:
        """Take a request on; from here it has exactly one outcome (R-Q6)."""
        event_id = event.event_id
        assert isinstance(event_id, str)  # `ClientSession` names every command
        request = Request(event_id, event, follows_output=self._answering, forced=forced, state=REQUEST.initial)
        self._session.step(REQUEST, request, "internal.submit", None)
        self._arm()

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
        return next(
            (each for each in on_their_way if each.sequence > self._output_sequence and self._replies(each)), None
        )

    def _replies(self, request: Request) -> bool:
        """Whether it is a plain reply to a function's output that nobody has cancelled."""
        record = self._session.responses.get(request.response_id or "")
        cancelled = request.state in ("cancelling", "doomed") or (record is not None and record.state == "cancelling")
        return request.is_a_reply and not cancelled

    def must_wait(self, request: Request) -> bool:
        """Whether the server would refuse it now, or it would speak before every output is in."""
        if request.forced or not request.in_conversation or self._session.config.arbiter.on_active == "send":
            return False
        return self.is_busy or bool(self.queue) or self._is_held(request)

    def _is_held(self, request: Request) -> bool:
        return self._session.config.arbiter.merge_tool_outputs and request.follows_output and bool(self.owed)

    @property
    def is_busy(self) -> bool:
        """Whether the one place is taken: by a response in progress, announced or not, or by a request on its way."""
        return (
            self._session.default_response is not None
            or self.unseen
            or any(request.in_conversation for request in self.sent)
        )

    @property
    def _is_surely_busy(self) -> bool:
        """Whether what takes the one place is sure to end: it was announced, or has a deadline of its own."""
        return any(record.claim == "announced" for record in self._session.open_in_conversation) or any(
            request.in_conversation for request in self.sent
        )

    @property
    def awaits_place(self) -> bool:
        """Whether a request is on its way whose response a `response.cancel` without an id would stop, and none did."""
        return any(request.in_conversation and request.state == "sent" for request in self.sent)

    def transmit(self, request: Request) -> None:
        """Put it on the wire."""
        session = self._session
        policy = session.config.arbiter
        if policy.tag_requests:
            request.tag()
        request.winner_id = request.cancel_id = None
        self.sent.append(request)
        request.deadline = session.now + policy.request_timeout_ns
        request.sequence = session.acknowledgements.next_sequence()
        session.transmit(session.written(request.event))

    def release(self) -> None:
        """The place may be free: send what was held back, in order."""
        session = self._session
        while self.queue and session.link.state == "open" and not self.is_busy and not self._is_held(self.queue[0]):
            session.step(REQUEST, self.queue.popleft(), "internal.slot_free", None)
        self._arm()

    # -- tools ---------------------------------------------------------------------------------------------------------

    def content_sent(self, *, output_of: str | None) -> None:
        """Something to reply to went out; ``output_of`` is the call id when it was a function's output."""
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
        request = self._asked_by(response, in_conversation=in_conversation)
        self.echoes = self.echoes or is_tagged(response)
        if in_conversation:
            self.hears = False
            self.owed.clear()  # the talk went on without those outputs: what waited for them waits no longer (R-Q1)
            self.unseen = False
            for other in self.sent:
                if other is not request:
                    other.winner_id = response.id
        if request is not None:
            self._take(request)
            request.deadline = None
            request.response_id = response.id
            request.by_order = not request.is_named_by(response)
            self._session.step(REQUEST, request, "response.created", response)
            if request.state == "active":
                self.active[response.id] = request
        self._arm()
        return request

    def _asked_by(self, response: Response, *, in_conversation: bool) -> Request | None:
        for request in self.sent:
            if request.in_conversation == in_conversation and request.is_echoed_by(response):
                return request
        for request in (*self.queue, *self.late):
            if request.sequence and request.is_named_by(response):
                return request
        if response.metadata or not self._is_ours(in_conversation=in_conversation):
            return None
        return next((request for request in self.sent if request.in_conversation == in_conversation), None)

    def _is_ours(self, *, in_conversation: bool) -> bool:
        """Whether a response whose metadata is null can be nobody's but ours: the server echoes none, we are its only
        client, and it heard nothing to answer by itself (R-Q2)."""
        alone = self._session.config.transport == "websocket"
        return alone and not self.echoes and not (in_conversation and self.hears)

    def _take(self, request: Request) -> None:
        """Out of the collection that it stands in, before a step decides where it goes."""
        for requests in (self.sent, self.queue, self.late):
            if request in requests:
                requests.remove(request)
        if request.response_id is not None:
            self.active.pop(request.response_id, None)

    def done(self, response_id: str, event: ResponseDone | str, *, in_conversation: bool) -> None:
        """The response of ``response_id`` ended; ``event`` is the id alone when it could not be read."""
        if in_conversation:
            self.unseen = False
        if response_id not in self.active and isinstance(event, ResponseDone) and is_tagged(event.response):
            self.created(event.response, in_conversation=in_conversation)  # that was never said, and is known now
        request = self.active.pop(response_id, None)
        if request is not None:
            self._session.responses[response_id].event_id = request.event_id
            self._session.step(REQUEST, request, "response.done", event)

    def rejected(self, event: Error, cause: Blame) -> bool:
        """An ``error`` came: settle the request it names, or the oldest that it fits (R-Q4). False: it is none's."""
        if cause.command == "response.cancel":
            self._cancel_refused(cause.event_id)
            return False
        request = self._blamed(cause)
        if request is None:
            return False
        self._take(request)
        self._session.step(REQUEST, request, "internal.rejected", event)
        self._arm()
        return True

    def _blamed(self, cause: Blame) -> Request | None:
        doubtful = [request for request in self.active.values() if request.by_order]
        if cause.event_id is not None:
            return next((each for each in (*self.sent, *self.late, *doubtful) if each.event_id == cause.event_id), None)
        if cause.code == OCCUPIED:  # out of band there is no place to be taken
            return next((request for request in (*self.sent, *doubtful) if request.in_conversation), None)
        if cause.command != "response.create":
            return None
        fitting = [request for request in self.sent if cause.key is not None and request.asks_for(cause.key)]
        return fitting[0] if fitting else self.sent[0] if len(self.sent) == 1 else None

    def lost_its_place(self, request: Request, event: Error) -> bool:
        """Whether it was rejected for a response in progress that we could not know of. Who sends it regardless of that
        is told what the server says."""
        return (
            blame(event.error).code == OCCUPIED
            and request.in_conversation
            and not request.forced
            and self._session.config.arbiter.on_active != "send"
        )

    def winner_of(self, request: Request) -> str | None:
        """The response that took its place, as far as it was announced."""
        active = self._session.default_response
        return active.id if active is not None else request.winner_id

    def lost_to_one_of_ours(self, request: Request) -> bool:
        """Whether the response in its place answers another request: one that came late, or was sent regardless."""
        winner = self._session.responses.get(self.winner_of(request) or "")
        return winner is not None and winner.event_id not in (None, request.event_id)

    def take_back(self, request: Request) -> None:
        """It lost its place: to the head of the queue, until the winner is done (R-Q8)."""
        request.losses += 1
        request.deadline = None
        if request.response_id is not None:  # by order it seemed to be its own
            self._session.responses[request.response_id].event_id = None
            request.winner_id, request.response_id = request.response_id, None
        self.queue.appendleft(request)
        self.unseen = self.winner_of(request) is None

    # -- cancelling ----------------------------------------------------------------------------------------------------

    def cancelled(self, event: ResponseCancel) -> None:
        """A `response.cancel` without an id went out while no response was in progress: it means those on their way."""
        for request in self.sent:
            if request.in_conversation:
                self._session.step(REQUEST, request, "response.cancel", event)

    def _cancel_refused(self, event_id: str | None) -> None:
        for request in self.sent:
            if request.state == "cancelling" and event_id in (None, request.cancel_id):
                self._session.step(REQUEST, request, "internal.cancel_refused", None)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def time_out(self) -> None:
        """Settle what passed its deadline; let go what waited long enough for what may never come."""
        session = self._session
        for request in [request for request in self.sent if request.deadline is not None]:
            if request.deadline is not None and request.deadline <= session.now:
                self.sent.remove(request)
                session.step(REQUEST, request, "timer.request", None)
        head = self.queue[0] if self.queue else None
        if head is not None and head.deadline is not None and head.deadline <= session.now:
            self.queue.popleft()
            self.unseen = False
            session.registry.let_lapse()
            session.step(REQUEST, head, "timer.request", None)
        self.release()

    def remember_late(self, request: Request) -> None:
        """Its response may still come (R-Q10)."""
        request.deadline = None
        self.late.append(request)
        if len(self.late) > self._session.config.limits.response_history:
            del self.late[0]

    def withdraw(self) -> None:
        """Settle what is held back as cancelled."""
        held = list(self.queue)
        self.queue.clear()
        for request in held:
            self._session.step(REQUEST, request, "internal.withdrawn", None)
        self._arm()

    def forget(self, response_id: str) -> None:
        """A response in progress is not followed any more (R-N2)."""
        request = self.active.pop(response_id, None)
        if request is not None:
            self._session.step(REQUEST, request, "internal.dropped", None)

    def drop(self, *, held: bool) -> None:
        """The socket is gone: nothing of this will be answered. What is held back goes with it only if ``held``: else
        another session answers that (R-N6)."""
        pending = [*self.active.values(), *self.sent, *self.late]
        self.active.clear()
        self.sent.clear()
        self.late.clear()
        self.unseen = self.hears = False
        if held:
            pending += self.queue
            self.queue.clear()
            self.owed.clear()
            self._answered.clear()
        for request in self.queue:
            request.deadline = None
        for request in pending:
            self._session.step(REQUEST, request, "internal.dropped", None)

    def settle(self, request: Request, outcome: Outcome) -> None:
        """Tell the application, once."""
        self._session.act(RequestSettled(request.event_id, outcome))

    def _arm(self) -> None:
        """The next deadline: of what was sent, and of the head of the queue while it waits for what may never come.

        A response in progress is no such thing: it ends, or its socket does, or the user interrupts."""
        session = self._session
        if session.link.state != "open":
            return  # its end has stopped the clock
        if self.queue:
            head = self.queue[0]
            if not self.unseen and self._is_surely_busy:
                head.deadline = None
            elif head.deadline is None:
                head.deadline = session.now + session.config.arbiter.request_timeout_ns
        deadlines = [each.deadline for each in (*self.sent, *self.queue) if each.deadline is not None]
        if deadlines:
            session.timers.arm(Timer.REQUEST, min(deadlines))
        else:
            session.timers.stop(Timer.REQUEST)

    # -- snapshot ------------------------------------------------------------------------------------------------------

    def dump(self, now: Instant) -> ArbiterState:
        return ArbiterState(
            [request.dump(now) for request in self.queue],
            [request.dump(now) for request in self.sent],
            [request.dump(now) for request in self.active.values()],
            [request.dump(now) for request in self.late],
            list(self.owed),
            self.unseen,
            self.echoes,
            self.hears,
            list(self._answered),
            self._answering,
            self._output_sequence,
        )

    def load(self, state: ArbiterState, now: Instant) -> None:
        self.queue = deque(Request.load(each, now) for each in state.queue)
        self.sent = [Request.load(each, now) for each in state.sent]
        self.active = {str(each.response_id): Request.load(each, now) for each in state.active}
        self.late = [Request.load(each, now) for each in state.late]
        self.owed = dict.fromkeys(state.owed)
        self.unseen = state.unseen
        self.echoes = state.echoes
        self.hears = state.hears
        self._answered = dict.fromkeys(state.answered)
        self._answering = state.answering
        self._output_sequence = state.output_sequence


class ArbiterState(Struct, frozen=True):
    """The arbiter in a snapshot."""

    queue: list[RequestState]
    sent: list[RequestState]
    active: list[RequestState]
    late: list[RequestState]
    owed: list[str]
    unseen: bool
    echoes: bool
    hears: bool
    answered: list[str]
    answering: bool
    output_sequence: int
