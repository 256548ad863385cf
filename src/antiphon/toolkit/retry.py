"""Trying again: which command, when, how often; and it is done, not only said.

A `Retrier` stands beside a session. It is told of what is sent (`Retrier.sent`) and of what the session does
(`Retrier.observe`); from `Retrier.deadline` on, `Retrier.due` gives the commands to send again. Time and entropy are
given, as to the engine.

What may be repeated is a question of what the server has done already. A command that the server refused was not
carried out, so every command may follow a refusal. After silence (a time-out, a lost socket) only those may be
repeated that say the same twice: see `REPEATABLE`. Audio is never repeated: its moment is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import UNSET, Struct, field, structs

from antiphon.engine.actions import Action, Deliver, Finished, RequestSettled
from antiphon.engine.timers import MS, Instant
from antiphon.messages import ClientEvent, ConversationItemCreate, Error, ResponseCreate, ResponseDone
from antiphon.toolkit.errors import ErrorType, RealtimeError

__all__ = ["REPEATABLE", "Attempt", "Backoff", "Retrier", "RetryPolicy"]

SECOND: Final = 1000 * MS

REPEATABLE: Final = frozenset({"session.update", "conversation.item.delete", "conversation.item.retrieve"})
"""Commands that may be said again when nobody knows whether they were carried out. An item may, too, if the client
chose its id: a second one with the same id can be told from the first. A `response.create` may once its socket is
gone, for what it asked for is gone with it; after a time-out the reply may still come."""

NEVER: Final = frozenset({"input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"})
"""Commands about the audio of a moment that is over."""


class Backoff(Struct, frozen=True, kw_only=True):
    """How long to wait before each further attempt: ``first_ns``, then ``factor`` times as long, at most ``cap_ns``.

    ``attempts``: how often a command is sent again at most; 0 for never. ``jitter``: the part of each pause, 0 to 1,
    that entropy decides, so that a thousand clients do not come back at the same instant.
    """

    attempts: int = 3
    first_ns: int = SECOND
    factor: float = 2.0
    cap_ns: int = 30 * SECOND
    jitter: float = 0.5

    def __post_init__(self) -> None:
        pauses = self.first_ns >= 1 and self.factor >= 1 and self.cap_ns >= 1  # NaN is not
        if self.attempts < 0 or not pauses or not 0 <= self.jitter <= 1:
            raise ValueError("a back-off needs attempts >= 0, pauses >= 1 ns, factor >= 1 and jitter in 0..1")

    def pause(self, attempt: int, chance: float) -> int:
        """The pause before attempt ``attempt`` (1 is the first repetition), ns; ``chance`` in 0..1 is the entropy."""
        try:
            whole = min(self.cap_ns, int(self.first_ns * self.factor ** (attempt - 1)))
        except OverflowError:  # more than a float can hold is beyond any cap
            whole = self.cap_ns
        return max(1, whole - int(whole * self.jitter * chance))


_BY_TYPE: Final[Mapping[ErrorType, Backoff]] = MappingProxyType(
    {
        ErrorType.RATE_LIMIT: Backoff(attempts=5, first_ns=2 * SECOND, cap_ns=60 * SECOND),
        ErrorType.SERVER: Backoff(),
        ErrorType.TIMEOUT: Backoff(attempts=2),
        ErrorType.CONNECTION: Backoff(),
    }
)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """What is tried again, by the class of its error; a class that is not named here is not."""

    by_type: Mapping[ErrorType, Backoff] = field(default_factory=lambda: _BY_TYPE)


class Attempt(Struct, frozen=True, kw_only=True):
    """One line of the record: at ``at`` this failed, and this was decided.

    ``number``: how often the command had been sent by then. ``due``: when it is sent again, None when it is not;
    ``why`` says what decided.
    """

    at: Instant
    error: RealtimeError
    number: int
    due: Instant | None
    why: Literal["again", "fatal", "not retryable", "unknown command", "not safe", "exhausted"]


class _Command(Struct):
    event: ClientEvent
    root: str
    number: int = 1


class Retrier:
    """Sends failed commands again. ``history``: how many lines of `record` are kept, and commands remembered."""

    def __init__(
        self,
        policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        *,
        entropy: Callable[[int], bytes] | None = None,
        history: int = 256,
    ) -> None:
        if history < 1:
            raise ValueError(f"history must be at least 1, not {history}")
        self.policy = policy
        self._entropy = entropy
        self._history = history
        self._commands: dict[str, _Command] = {}
        self._due: list[tuple[Instant, int, _Command]] = []
        self._failed: dict[str, RealtimeError] = {}
        self._settled: dict[str, str] = {}
        self._count = 0
        self._record: deque[Attempt] = deque(maxlen=history)

    @property
    def record(self) -> tuple[Attempt, ...]:
        """What failed and what was decided, oldest first."""
        return tuple(self._record)

    @property
    def deadline(self) -> Instant | None:
        """When `due` has something to give, None when nothing waits."""
        return min(self._due)[0] if self._due else None

    @property
    def waiting(self) -> int:
        """How many commands wait to be sent again."""
        return len(self._due)

    # -- in ------------------------------------------------------------------------------------------------------------

    def sent(self, event: ClientEvent) -> None:
        """A command went out. It needs its ``event_id``: let the session give it one (`Session.identify`)."""
        event_id = event.event_id
        if not isinstance(event_id, str) or event.type in NEVER or event_id in self._commands:
            return
        self._commands[event_id] = _Command(event, event_id)
        self._bound()

    def observe(self, action: Action, now: Instant) -> Attempt | None:
        """Take note of what the session did; answers what was decided, None when nothing failed."""
        if type(action) is Deliver:
            event = action.event
            if isinstance(event, Error):
                return self._on_error(event, now)
            if isinstance(event, ResponseDone):
                return self._on_done(event, now)
        elif type(action) is RequestSettled:
            return self._on_settled(action, now)
        return None

    def failed(self, error: RealtimeError, now: Instant, *, refused: bool) -> Attempt:
        """A command failed of ``error``; ``refused``: the server said so, and so has not carried it out."""
        command = self._commands.get(error.event_id or "")
        number = 1 if command is None else command.number
        backoff = self.policy.by_type.get(error.type)
        if error.fatal:
            return self._decide(Attempt(at=now, error=error, number=number, due=None, why="fatal"))
        if not error.retryable or backoff is None:
            return self._decide(Attempt(at=now, error=error, number=number, due=None, why="not retryable"))
        if command is None:
            return self._decide(Attempt(at=now, error=error, number=number, due=None, why="unknown command"))
        if not refused and not _is_repeatable(command.event, error.type):
            return self._decide(Attempt(at=now, error=error, number=number, due=None, why="not safe"))
        if number > backoff.attempts:
            return self._decide(Attempt(at=now, error=error, number=number, due=None, why="exhausted"))
        due = now + backoff.pause(number, self._chance())
        self._count += 1
        self._due.append((due, self._count, command))
        if len(self._due) > self._history:
            self._due.remove(min(self._due))
        return self._decide(Attempt(at=now, error=error, number=number, due=due, why="again"))

    # -- out -----------------------------------------------------------------------------------------------------------

    def due(self, now: Instant) -> tuple[ClientEvent, ...]:
        """The commands to send again now, in the order in which they became due, each with an id of its own."""
        ready = sorted(entry for entry in self._due if entry[0] <= now)
        events = []
        for entry in ready:
            self._due.remove(entry)
            command = entry[2]
            number = command.number + 1
            event_id = f"{command.root[:500]}-{number}"
            event = structs.replace(command.event, event_id=event_id)
            self._commands[event_id] = _Command(event, command.root, number)
            events.append(event)
        self._bound()
        return tuple(events)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _on_error(self, event: Error, now: Instant) -> Attempt | None:
        named = event.error.event_id
        command = self._commands.get(named) if isinstance(named, str) else None
        if command is not None and isinstance(command.event, ResponseCreate):
            return None  # its outcome tells
        return self.failed(
            RealtimeError.from_event(event, None if command is None else command.event), now, refused=True
        )

    def _on_done(self, event: ResponseDone, now: Instant) -> Attempt | None:
        error = RealtimeError.from_response(event.response)
        if error is None:
            return None
        event_id = self._settled.pop(event.response.id, None)
        if event_id is not None:
            return self._on_failed(event_id, error, now)
        self._failed[event.response.id] = error
        if len(self._failed) > self._history:
            del self._failed[next(iter(self._failed))]
        return None

    def _on_failed(self, event_id: str, error: RealtimeError, now: Instant) -> Attempt | None:
        """A response of ours failed, and why is known."""
        command = self._commands.get(event_id)
        if command is None:
            return None
        return self.failed(structs.replace(error, event_id=event_id, command=command.event), now, refused=True)

    def _on_settled(self, action: RequestSettled, now: Instant) -> Attempt | None:
        outcome = action.outcome
        if isinstance(outcome, Finished):
            error = self._failed.pop(outcome.response_id, None)
            if error is not None:
                return self._on_failed(action.event_id, error, now)
            if outcome.status == "failed":  # an application may be handed events later than all else
                self._settled[outcome.response_id] = action.event_id
                if len(self._settled) > self._history:
                    del self._settled[next(iter(self._settled))]
            return None
        command = self._commands.get(action.event_id)
        event = None if command is None else command.event
        outcome_error = RealtimeError.from_outcome(outcome, event)
        if outcome_error is None:
            return None
        refused = outcome_error.type not in (ErrorType.TIMEOUT, ErrorType.CONNECTION)
        return self.failed(structs.replace(outcome_error, event_id=action.event_id), now, refused=refused)

    def _decide(self, attempt: Attempt) -> Attempt:
        if attempt.error.event_id is not None:
            self._commands.pop(attempt.error.event_id, None)  # it has failed; what is sent again has a new id
        self._record.append(attempt)
        return attempt

    def _chance(self) -> float:
        return 0.0 if self._entropy is None else int.from_bytes(self._entropy(4)) / 0xFFFFFFFF

    def _bound(self) -> None:
        while len(self._commands) > self._history:
            del self._commands[next(iter(self._commands))]


def _is_repeatable(event: ClientEvent, after: ErrorType) -> bool:
    if isinstance(event, ResponseCreate):
        return after is ErrorType.CONNECTION
    if isinstance(event, ConversationItemCreate):
        return getattr(event.item, "id", UNSET) is not UNSET
    return event.type in REPEATABLE
