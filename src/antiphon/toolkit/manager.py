"""Everything of this package on one session: an `EventManager` is fed with what the session does, and each part has
its share.

* ``router`` calls who wants to hear of events, ``history.changes`` of changed items, ``errors`` of errors by class;
* ``streams`` follows what grows, ``history`` the conversation, ``analytics`` the numbers;
* ``retrier`` decides what is sent again, and `EventManager.tick` sends it.

An error comes with its cause: the id of the command behind it, and the command itself, if the manager still knows it.

With a session it follows that: feed it with all of the session's actions. Without one it listens by itself, to the
events of a server or their JSON text; then nobody says what became of a `response.create`, so none is sent again.

What the client says is counted when `EventManager.send` sends it; what it says otherwise (by the session's or the
connection's own methods, and by the engine itself) when it goes out, in a `TransmitMessage` or a `Transmit` among those
actions. Nothing is counted twice.

It reads no clock and awaits nothing of its own: instants are given, `deadline` says when `tick` has something to do,
and what handlers return is awaited by who calls `feed_async`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Struct, structs

from antiphon import messages as m
from antiphon.engine.actions import (
    Action,
    Closed,
    Deliver,
    Disconnected,
    Rejected,
    RequestSettled,
    Transmit,
    TransmitMessage,
)
from antiphon.engine.codec import Repaired, Unreadable, client_decoder, to_builtins
from antiphon.engine.config import Limits
from antiphon.engine.conversation import Conversation
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.records import ResponseRecord
from antiphon.engine.resources import Resources
from antiphon.engine.timers import Instant
from antiphon.messages.beta import View
from antiphon.toolkit.analytics import Analysis, Analytics, Direction
from antiphon.toolkit.builder import ClientEventBuilder
from antiphon.toolkit.bystander import AnyEvent, Said, as_action, bystander, hear
from antiphon.toolkit.errors import ErrorType, RealtimeError
from antiphon.toolkit.export import commands_of
from antiphon.toolkit.fingerprint import said_by
from antiphon.toolkit.history import History
from antiphon.toolkit.retry import Retrier, RetryPolicy
from antiphon.toolkit.router import HandlerFailure, Router, route_all, route_all_async
from antiphon.toolkit.sequence import FLOWS, Flow, FlowMatch
from antiphon.toolkit.streams import Streams
from antiphon.toolkit.tables import MEASURES, csv_lines, measure_rows

__all__ = ["EventManager", "Seen", "Statistics"]

R = TypeVar("R")

_FLOW_IN_EXPORT: Final = 50

_DELTAS: Final = 2
"""So many deltas of a type in a row are compared with a flow: enough to tell once from often."""

_NOT_REMEMBERED: Final = (m.InputAudioBufferAppend, m.SessionInputAudioBufferAppend, m.UnknownEvent, m.Malformed)
"""What is no command that an error could name, or comes by the thousand and is large."""

_OUTGOING: Final = frozenset({Transmit, TransmitMessage})

_UNSEEN: Final = 4096
"""Commands that `EventManager.send` counted and that are known again when they go out."""

_KINDS: Final = 64
"""Types of deltas that are told apart in a row."""


class Engine(Protocol):
    """What a manager needs of the session, or the connection, that it follows."""

    @property
    def conversation(self) -> Conversation:
        """The conversation."""
        ...

    @property
    def responses(self) -> Mapping[str, ResponseRecord]:
        """The responses by id."""
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
        self._flow: deque[str] = deque(maxlen=keep)
        self._keep = keep
        self._commands: dict[str, m.ClientEvent] = {}  # by event id, for what may go wrong with them
        self._unseen: dict[str, None] = {}  # ids of commands that are counted, and did not go out yet
        self._deltas: dict[str, int] = {}  # of the row of deltas that goes on, by type
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
        go back; without it nothing is timed. Answers the events of the server that came of it.

        Calls the handlers: of what grew (``streams``), of the event, then of the items that it changed, then of the
        error that it is. What they raise is raised together, as an `ExceptionGroup`, when all were called; with a hook
        (`on_error`), it is reported instead. An asynchronous one has failed (`TypeError`): it wants `feed_async`.
        """
        events: list[AnyEvent] = []
        route_all(told for action in self._actions(thing, now) for told in self._note(action, now, events))
        return tuple(events)

    async def feed_async(self, thing: Said, now: Instant | None = None) -> tuple[AnyEvent, ...]:
        """As `feed`, and awaits what handlers return, each before the next is called."""
        events: list[AnyEvent] = []
        await route_all_async(told for action in self._actions(thing, now) for told in self._note(action, now, events))
        return tuple(events)

    def on_error(self, hook: Callable[[HandlerFailure], object]) -> Callable[[HandlerFailure], object]:
        """What is to hear of handlers that raise, of events, streams, changes and errors; usable as a decorator. It may
        be asynchronous where handlers may."""
        for router in (self.router, self.streams.updates, self.history.changes, self.errors):
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
        answer = self._sent(event, self._send, now)
        self.retrier.sent(event)
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
                answer = self._sent(event, self._send, now)
            except LocalProtocolError as refusal:
                self.refused(event, refusal, now)
            else:
                sent.append((event, answer))
                self._retries += 1
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
        """Compare the newest events of the server to a flow (or one of `FLOWS`, by name): those from the last on with
        which it can begin, but of deltas of one type in a row only two, so that a long answer is compared as a short
        one is. Raises KeyError for a name that there is not."""
        expected = FLOWS[flow] if isinstance(flow, str) else flow
        return expected.match(expected.newest(tuple(self._flow)))

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

    def _note(self, action: Action, now: Instant | None, events: list[AnyEvent]) -> Routed:
        """Every part's share of ``action``; answers who is to be called with what."""
        if action.__class__ in _OUTGOING:
            self._went_out(action, now)
            return []
        routed: Routed = []
        error: RealtimeError | None = None
        changes = self.history.note(action, now)
        if type(action) is Deliver:
            event: Any = action.event
            events.append(event)
            self._count("server", event, now)
            self._walk(event.type)
            for update in self.streams.note(event):
                routed.append((self.streams.updates, update))
            routed.append((self.router, event))
            if isinstance(event, m.Error):  # the retrier is told of what may tell of errors; most comes by the hundred
                self.retrier.observe(action, self._now)
                named = event.error.event_id
                error = RealtimeError.from_event(event, self._commands.get(named) if isinstance(named, str) else None)
            elif isinstance(event, m.ResponseDone):
                self.retrier.observe(action, self._now)
                error = RealtimeError.from_response(event.response)
                asked = self._engine.responses.get(event.response.id)
                error = self._caused(error, None if asked is None else asked.event_id)
        elif isinstance(action, RequestSettled):
            self.retrier.observe(action, self._now)
            if not isinstance(action.outcome, Rejected):  # that was told as an event
                error = self._caused(RealtimeError.from_outcome(action.outcome), action.event_id)
        elif isinstance(action, Disconnected | Closed):
            error = self._fault_of(action)
        if changes:
            routed += [(self.history.changes, change) for change in changes]
        if error is not None:
            self._remember(error)
            routed.append((self.errors, error))
        return routed

    def _caused(self, error: RealtimeError | None, event_id: str | None) -> RealtimeError | None:
        if error is None or event_id is None:
            return error
        return structs.replace(error, event_id=event_id, command=self._commands.get(event_id))

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

    def _sent(self, event: m.ClientEvent, send: Callable[[m.ClientEvent], R], now: Instant | None) -> R:
        """Send a command and count it, once: ``send`` may feed what goes out, at once or later."""
        event_id = str(event.event_id)
        self._unseen[event_id] = None
        if len(self._unseen) > _UNSEEN:
            del self._unseen[next(iter(self._unseen))]
        try:
            answer = send(event)
        except BaseException:
            self._unseen.pop(event_id, None)
            raise
        self._count_ours(event, now)
        return answer

    def _went_out(self, action: Action, now: Instant | None) -> None:
        decode = client_decoder(Limits().json_depth, None)
        for text in said_by((action,)):
            read = decode(text)
            if isinstance(read, Unreadable):
                continue  # nested deeper than an engine takes it
            event = read.event if isinstance(read, Repaired) else read
            if isinstance(event.event_id, str) and event.event_id in self._unseen:
                del self._unseen[event.event_id]
            else:
                self._count_ours(event, now)

    def _count_ours(self, event: AnyEvent, now: Instant | None) -> None:
        self._count("client", event, now)
        if isinstance(event.event_id, str) and not isinstance(event, _NOT_REMEMBERED):
            self._commands[event.event_id] = cast(m.ClientEvent, event)
            if len(self._commands) > self._keep:
                del self._commands[next(iter(self._commands))]

    def _walk(self, name: str) -> None:
        if not name.endswith(".delta"):
            self._deltas.clear()
        else:
            number = self._deltas.get(name, 0) + 1
            if number > _DELTAS:
                return
            if number > 1 or len(self._deltas) < _KINDS:
                self._deltas[name] = number
        self._flow.append(name)
