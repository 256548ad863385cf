"""Everything of this package on one session: an `EventManager` is fed with what the session does, and each part has
its share.

* ``router`` calls who wants to hear of events, ``history.changes`` of changed items, ``errors`` of errors by class;
* ``streams`` follows what grows, ``history`` the conversation, ``analytics`` the numbers;
* ``retrier`` decides what is sent again, and `EventManager.tick` sends it.

With a session it follows that: feed it with the session's actions. Without one it listens by itself, to the events of
a server or their JSON text; then nobody says what became of a `response.create`, so none is sent again.

It reads no clock and awaits nothing of its own: instants are given, `deadline` says when `tick` has something to do,
and what handlers return is awaited by who calls `feed_async`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from antiphon import messages as m
from antiphon.engine.actions import Action, Closed, Deliver, Disconnected, Rejected, RequestSettled
from antiphon.engine.codec import to_builtins
from antiphon.engine.conversation import Conversation
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.resources import Resources
from antiphon.engine.timers import Instant
from antiphon.messages.beta import View
from antiphon.toolkit.analytics import Analysis, Analytics, Direction
from antiphon.toolkit.builder import ClientEventBuilder
from antiphon.toolkit.bystander import AnyEvent, Said, as_action, bystander, hear
from antiphon.toolkit.errors import ErrorType, RealtimeError
from antiphon.toolkit.export import commands_of
from antiphon.toolkit.history import History
from antiphon.toolkit.retry import Retrier, RetryPolicy
from antiphon.toolkit.router import HandlerFailure, Router
from antiphon.toolkit.sequence import FLOWS, Flow, FlowMatch
from antiphon.toolkit.streams import Streams
from antiphon.toolkit.tables import MEASURES, csv_lines, measure_rows

__all__ = ["EventManager", "Seen", "Statistics"]

R = TypeVar("R")

_FLOW_IN_EXPORT: Final = 50


class Engine(Protocol):
    """What a manager needs of the session, or the connection, that it follows."""

    @property
    def conversation(self) -> Conversation:
        """The conversation."""
        ...

    def identify(self, event: m.ClientEvent) -> m.ClientEvent:
        """``event`` with an event id."""
        ...


class Seen(NamedTuple):
    """One event that passed. ``event_id`` is "" where it has none; ``at``: ns, None where no time was given."""

    direction: Direction
    type: str
    event_id: str
    at: Instant | None


class Statistics(Struct, frozen=True, kw_only=True):
    """Counts. ``errors`` by class; ``retries`` are commands that were sent again, ``waiting`` those that will be."""

    events: int
    by_type: dict[str, int]
    items: int
    errors: dict[str, int]
    retryable: int
    retries: int
    waiting: int


Routed: TypeAlias = list[tuple[Router[Any], object]]


class EventManager(Generic[R]):
    """The parts of this package, wired.

    ``session``: the one whose actions it is fed with, or its connection. ``send`` takes a command that has its event
    id, and may return anything; with asyncio, the caller of `send` or `tick` awaits what it returns. ``policy`` and
    ``entropy`` are the `Retrier`'s. ``keep``: how many events and errors are remembered, and commands that may be sent
    again. ``view``: whose names its own session shows.
    """

    def __init__(
        self,
        session: Engine | None = None,
        *,
        send: Callable[[m.ClientEvent], R] | None = None,
        policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        entropy: Callable[[int], bytes] | None = None,
        keep: int = 1000,
        view: View = "ga",
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self._own = bystander(view) if session is None else None
        engine = session if self._own is None else self._own
        assert engine is not None  # one of the two
        self._engine: Engine = engine
        self._send = send
        self._now: Instant = 0
        self._recent: deque[Seen] = deque(maxlen=keep)
        self._errors: deque[RealtimeError] = deque(maxlen=keep)
        self._error_counts: Counter[ErrorType] = Counter()
        self._retryable = 0
        self._retries = 0
        self._fault: Fault | None = None
        self.router: Router[AnyEvent] = Router()
        self.errors: Router[RealtimeError] = Router()
        self.history = History(self._engine.conversation)
        self.streams = Streams(conversation=self._engine.conversation)
        self.analytics = Analytics()
        self.retrier = Retrier(policy, entropy=entropy, history=keep)
        self.builder = ClientEventBuilder()
        self.commands: Resources[R, R] = Resources(self.send, self.send)
        """Commands by name, in the shape of a connection: each is built, and sent by `send`."""

    # -- in ------------------------------------------------------------------------------------------------------------

    def feed(self, thing: Said, now: Instant | None = None) -> tuple[AnyEvent, ...]:
        """Take what the session did, or, listening by itself, what a server said. ``now``: ns of a clock that does not
        go back; without it nothing is timed. Answers the events that came of it.

        Calls the handlers: of the event, then of the items that it changed, then of the error that it is. What they and
        the callbacks of ``streams`` raise is raised together, as an `ExceptionGroup`, when all were called; with a hook
        (`on_error`), only what the callbacks of ``streams`` raise.
        """
        events: list[AnyEvent] = []
        failures: list[Exception] = []
        for action in self._actions(thing, now):
            for router, event in self._note(action, now, events, failures):
                try:
                    router.route(event)
                except ExceptionGroup as group:
                    failures.extend(group.exceptions)
        return _told(events, failures)

    async def feed_async(self, thing: Said, now: Instant | None = None) -> tuple[AnyEvent, ...]:
        """As `feed`, and awaits what handlers return, each before the next is called."""
        events: list[AnyEvent] = []
        failures: list[Exception] = []
        for action in self._actions(thing, now):
            for router, event in self._note(action, now, events, failures):
                try:
                    await router.route_async(event)
                except ExceptionGroup as group:
                    failures.extend(group.exceptions)
        return _told(events, failures)

    def on_error(self, hook: Callable[[HandlerFailure], object]) -> Callable[[HandlerFailure], object]:
        """What is to hear of handlers that raise, of events, changes and errors; usable as a decorator."""
        for router in (self.router, self.history.changes, self.errors):
            router.on_error(hook)
        return hook

    # -- out -----------------------------------------------------------------------------------------------------------

    def send(self, event: m.ClientEvent, now: Instant | None = None) -> R:
        """Send a command, and remember it: if it fails, it is sent again as the policy says.

        Raises what ``send`` raises; then nothing is remembered. RuntimeError if the manager was given none.
        """
        if self._send is None:
            raise RuntimeError("this manager was not given a function to send with")
        self._pass(now)
        event = self._engine.identify(event)
        answer = self._send(event)
        self.retrier.sent(event)
        self._count("client", event, now)
        return answer

    @property
    def deadline(self) -> Instant | None:
        """When `tick` has something to send, None when nothing waits."""
        return None if self._send is None else self.retrier.deadline

    def tick(self, now: Instant) -> tuple[tuple[m.ClientEvent, R], ...]:
        """Send what is due to be sent again; answers each command with what ``send`` answered. One that the session
        refuses by now is an error like others, and is not tried again (`refused`)."""
        self._pass(now)
        sent: list[tuple[m.ClientEvent, R]] = []
        if self._send is None:
            return ()
        for event in self.retrier.due(now):
            try:
                answer = self._send(event)
            except LocalProtocolError as refusal:
                self.refused(event, refusal, now)
            else:
                sent.append((event, answer))
                self._retries += 1
                self._count("client", event, now)
        return tuple(sent)

    def refused(self, event: m.ClientEvent, refusal: LocalProtocolError, now: Instant) -> None:
        """A command of `tick` was refused here, and so never sent. `tick` knows by itself, unless ``send`` is awaited
        later."""
        error = RealtimeError(
            type=ErrorType.INVALID_REQUEST,
            message=refusal.message,
            code=refusal.code,
            param=refusal.param,
            event_id=event.event_id or None,
            command=event,
        )
        self.retrier.failed(error, now, refused=True)
        self._remember(error)

    # -- looking -------------------------------------------------------------------------------------------------------

    def statistics(self) -> Statistics:
        """The counts so far."""
        analysis = self.analytics.analysis()
        return Statistics(
            events=analysis.events,
            by_type=analysis.by_type,
            items=len(self.history),
            errors={str(name): number for name, number in self._error_counts.most_common()},
            retryable=self._retryable,
            retries=self._retries,
            waiting=self.retrier.waiting,
        )

    def analysis(self) -> Analysis:
        """All numbers: see `Analytics`."""
        return self.analytics.analysis()

    def recent(self, count: int = 10) -> tuple[Seen, ...]:
        """The newest events of both sides, oldest first."""
        return tuple(self._recent)[-count:] if count > 0 else ()

    def recent_errors(self, count: int = 10) -> tuple[RealtimeError, ...]:
        """The newest errors, oldest first."""
        return tuple(self._errors)[-count:] if count > 0 else ()

    def event_flow(self, count: int = 20) -> tuple[str, ...]:
        """The types of the newest events of the server, oldest first."""
        return tuple(seen.type for seen in self._recent if seen.direction == "server")[-count:] if count > 0 else ()

    def check_sequence(self, flow: str | Flow) -> FlowMatch:
        """Compare the newest events to a flow (or one of `FLOWS`, by name): those from the last on with which it can
        begin. Raises KeyError for a name that there is not."""
        expected = FLOWS[flow] if isinstance(flow, str) else flow
        return expected.match(expected.newest(self.event_flow(len(self._recent))))

    def export_json(self) -> bytes:
        """The session for somebody else's analysis, as a JSON document: numbers, flow, transcript, items, errors."""
        errors = [
            {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
            for error in self._errors
        ]
        document = {
            "statistics": self.statistics(),
            "analysis": self.analysis(),
            "event_flow": self.event_flow(_FLOW_IN_EXPORT),
            "transcript": list(self.history.transcript),
            "items": [to_builtins(command) for command in commands_of(self.history.conversation)],
            "errors": errors,
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2)

    def export_csv(self, name: str = "session") -> str:
        """The numbers as CSV, in the columns of `MEASURES`, with a head; ``name`` is what stands in ``file``."""
        head = tuple(column.name for column in MEASURES)
        return "".join(csv_lines((head, *measure_rows(name, self.analytics))))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _actions(self, thing: Said, now: Instant | None) -> tuple[Action, ...]:
        self._pass(now)
        return (as_action(thing),) if self._own is None else hear(self._own, thing, now)

    def _pass(self, now: Instant | None) -> None:
        if now is not None:
            self._now = max(self._now, now)

    def _note(self, action: Action, now: Instant | None, events: list[AnyEvent], failures: list[Exception]) -> Routed:
        """Every part's share of ``action``; answers who is to be called with what."""
        routed: Routed = []
        error: RealtimeError | None = None
        changes = self.history.note(action, now)
        if type(action) is Deliver:
            event: Any = action.event
            events.append(event)
            self._count("server", event, now)
            try:
                self.streams.feed(event)
            except Exception as failure:
                failures.append(failure)
            routed.append((self.router, event))
            if isinstance(event, m.Error):  # the retrier is told of what may tell of errors; most comes by the hundred
                self.retrier.observe(action, self._now)
                error = RealtimeError.from_event(event)
            elif isinstance(event, m.ResponseDone):
                self.retrier.observe(action, self._now)
                error = RealtimeError.from_response(event.response)
        elif isinstance(action, RequestSettled):
            self.retrier.observe(action, self._now)
            if not isinstance(action.outcome, Rejected):  # that was told as an event
                error = RealtimeError.from_outcome(action.outcome)
        elif isinstance(action, Disconnected | Closed):
            error = self._fault_of(action)
        if changes:
            routed += [(self.history.changes, change) for change in changes]
        if error is not None:
            self._remember(error)
            routed.append((self.errors, error))
        return routed

    def _fault_of(self, action: Disconnected | Closed) -> RealtimeError | None:
        told, self._fault = self._fault, action.fault
        if action.fault is None or (isinstance(action, Closed) and action.fault == told):
            return None  # the engine ends of what its last socket ended of
        return RealtimeError.from_fault(action.fault)

    def _remember(self, error: RealtimeError) -> None:
        self._errors.append(error)
        self._error_counts[error.type] += 1
        self._retryable += error.retryable

    def _count(self, direction: Direction, event: AnyEvent, now: Instant | None) -> None:
        self.analytics.observe(direction, event, now)
        event_id = event.event_id if isinstance(event.event_id, str) else ""
        self._recent.append(Seen(direction, event.type, event_id, now))


def _told(events: list[AnyEvent], failures: list[Exception]) -> tuple[AnyEvent, ...]:
    if failures:
        raise ExceptionGroup("handlers failed", failures)
    return tuple(events)
