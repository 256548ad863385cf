"""The message-level engine: what both roles share, and the shape that users see.

A `Session` is one conversation over any number of sockets, one at a time. It owns no clock, task, thread or socket:
every input carries ``now`` and every call returns its actions in causal order. What is *said* is in
`antiphon.messages`, what *may* be said is in the tables of ``spec/machines``; this module holds what is left: the
entry points, monotonic-time checks, the timers, and the order of actions. `ClientSession` and `ServerSession`
(``client.py``, ``server.py``) hold what only one end does.

Two rules for this file: it does not know a message type, and nothing in it depends on its role. The methods that only
one role has are declared here all the same, so that `handle` finds them, and raise `LocalProtocolError` unless the
role's class defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, overload

from antiphon.engine import inputs
from antiphon.engine.actions import Action, Actions, Closed, Report
from antiphon.engine.config import Role, SessionConfig
from antiphon.engine.dialects import Dialect
from antiphon.engine.errors import Fault, LocalProtocolError, SnapshotError
from antiphon.engine.link import LINK, End, Link
from antiphon.engine.timers import Instant, Timer, Timers
from antiphon.machines import STEPPERS, Row, Stateful, Table

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession
    from antiphon.engine.content import Content, TranscriptionResult
    from antiphon.engine.conversation import Conversation
    from antiphon.engine.records import ResponseRecord
    from antiphon.engine.refusals import Refusal
    from antiphon.engine.server import ServerSession
    from antiphon.engine.snapshot import Snapshot
    from antiphon.messages import ClientEvent, ServerEvent, UnknownEvent

Entropy: TypeAlias = Callable[[int], bytes]
"""Gives that many random bytes. The engine has no source of its own."""

Buffer: TypeAlias = bytes | bytearray | memoryview


class _Common:
    """What every session holds. It stands apart because a type checker reads `Session.__new__`, which knows the role's
    class, only when no ``__init__`` stands beside it.
    """

    __slots__ = (
        "_reported_paths",
        "_reports",
        "closed",
        "config",
        "entropy",
        "ids_made",
        "link",
        "now",
        "out",
        "stepper",
        "timers",
    )

    def __init__(
        self,
        role: Role,
        config: SessionConfig,
        *,
        now: Instant,
        entropy: Entropy | None = None,
        speaks_bytes: bool = False,
    ) -> None:
        self.config = config
        self.entropy = entropy
        self.now = now
        self.link = Link(speaks_bytes=speaks_bytes)
        self.timers = Timers()
        self.closed: Closed | None = None
        self.out: list[Action] = []
        self.stepper = STEPPERS[config.stepper]
        self.ids_made = 0
        self._reports: dict[tuple[str, str], int] = {}
        self._reported_paths: dict[tuple[str, str, str], None] = {}


class Session(_Common):
    """One end of a realtime conversation, at the level of messages.

    `Session(Role.CLIENT, …)` makes a `ClientSession`, `Session(Role.SERVER, …)` a `ServerSession`. ``now`` is always
    nanoseconds of one monotonic clock. Methods raise `LocalProtocolError` for what you may not do, and then nothing has
    changed; nothing that is received ever raises.
    """

    __slots__ = ()

    role: ClassVar[Role]
    _roles: ClassVar[dict[Role, type[Session]]] = {}
    conversation: Conversation
    responses: dict[str, ResponseRecord]

    def __init_subclass__(cls, role: Role | None = None) -> None:
        if role is not None:
            cls.role = role
            Session._roles[role] = cls

    @overload
    def __new__(
        cls,
        role: Literal[Role.CLIENT],
        config: SessionConfig,
        *,
        now: Instant,
        entropy: Entropy | None = None,
        speaks_bytes: bool = False,
    ) -> ClientSession: ...
    @overload
    def __new__(
        cls,
        role: Literal[Role.SERVER],
        config: SessionConfig,
        *,
        now: Instant,
        entropy: Entropy | None = None,
        speaks_bytes: bool = False,
    ) -> ServerSession: ...
    @overload
    def __new__(
        cls,
        role: Role,
        config: SessionConfig,
        *,
        now: Instant,
        entropy: Entropy | None = None,
        speaks_bytes: bool = False,
    ) -> Session: ...
    def __new__(
        cls,
        role: Role,
        config: SessionConfig,
        *,
        now: Instant,
        entropy: Entropy | None = None,
        speaks_bytes: bool = False,
    ) -> Session:
        return object.__new__(cls._kind(Role(role)))

    @classmethod
    def _kind(cls, role: Role) -> type[Session]:
        """The class to make for ``role``: that of the role, or the subclass of it that was asked for."""
        kind = Session._roles[role]
        if issubclass(kind, cls):
            return kind
        if not issubclass(cls, kind):
            raise TypeError(f"{cls.__name__} is not for a {role.value}")
        return cls

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, now: Instant) -> Actions:
        """Ask for a socket: `OpenTransport` (R-L1). Raises `LocalProtocolError` when the engine was started before."""
        self.command_at(now)
        if "internal.start" not in LINK.cells[self.link.state]:
            raise LocalProtocolError(f"start in state {self.link.state!r}: an engine is started once", rule="R-L1")
        self.enter(now)
        self.step(LINK, self.link, "internal.start", None)
        return self.leave()

    def opened(self, now: Instant, *, unix_ns: int | None = None) -> Actions:
        """A socket is there (R-L2). ``unix_ns`` is wall time in nanoseconds, given once a socket, for ``expires_at``.

        Raises `LocalProtocolError` while another socket is open.
        """
        if self.closed is not None:
            return ()
        self._check_time(now)
        if "internal.opened" not in LINK.cells[self.link.state]:
            raise LocalProtocolError(f"opened in state {self.link.state!r}: one socket at a time", rule="R-L2")
        self.enter(now)
        self._wall(unix_ns)
        self.step(LINK, self.link, "internal.opened", None)
        return self.leave()

    def receive_eof(self, now: Instant, code: int | None = None, reason: str = "") -> Actions:
        """The socket ended; ``code`` and ``reason`` as the WebSocket library below gives them, None without a code."""
        if self.closed is not None:
            return ()
        self.enter(now)
        self.step(LINK, self.link, "internal.eof", self.end_of_socket(code, reason))
        return self.leave()

    def transport_failed(self, fault: Fault, now: Instant) -> Actions:
        """The driver could not dial, or could not write."""
        if self.closed is not None:
            return ()
        self.enter(now)
        self.step(LINK, self.link, "internal.failed", End(None, "", fault))
        return self.leave()

    def close(self, now: Instant, code: int = 1000, reason: str = "") -> Actions:
        """End the conversation. Bounded by ``timers.close`` (R-L7). Closing twice does nothing more."""
        if self.closed is not None:
            return ()
        self.enter(now)
        self.step(LINK, self.link, "internal.close", End(code, reason, None))
        return self.leave()

    def tick(self, now: Instant) -> Actions:
        """Fire the timers that are due. A tick before the deadline returns ``()``."""
        if self.closed is not None:
            return ()
        self.enter(now)
        while self.closed is None and (timer := self.timers.due(now)) is not None:
            self.fire(timer)
        return self.leave()

    @property
    def deadline(self) -> Instant | None:
        """When `tick` must be called at the latest, ns; None when nothing is pending."""
        return self.timers.deadline

    @property
    def next_timer(self) -> tuple[Timer, Instant] | None:
        """The same with the reason."""
        return self.timers.earliest

    @property
    def generation(self) -> int:
        """How many sockets this engine has had or asked for; 0 before the first."""
        return self.link.generation

    @property
    def may_reconnect(self) -> bool:
        """Whether a lost socket is followed by another, as far as policy goes (R-L11)."""
        return False

    @property
    def reports(self) -> Mapping[tuple[str, str], int]:
        """How often the peer broke each rule: (rule, event type) → count. The first of a kind is a `Report` too, and so
        is the first with each other path."""
        return self._reports

    # -- messages (each role says which) -------------------------------------------------------------------------------

    def receive_message(self, text: Buffer | str, now: Instant) -> Actions:  # type: ignore[empty-body]  # as below
        """One whole text message of the peer, as bytes (UTF-8) or text. Never raises for what it says."""

    def receive_event(self, event: ServerEvent | ClientEvent, now: Instant) -> Actions:  # type: ignore[empty-body]
        """The same for an event that is typed already; nothing of its text is checked again. Raises `ValueError` for
        one that JSON cannot express, which no peer can have sent; nothing has changed then."""

    def send(  # type: ignore[empty-body]  # each role has its own of these, and there is no session of neither
        self, event: ClientEvent | ServerEvent | UnknownEvent, now: Instant, *, override: Collection[str] = ()
    ) -> Actions:
        """Say it to the peer. `LocalProtocolError`: refused, nothing changed; ``override`` names rules to pass over.

        An `UnknownEvent` goes out as it is, unjudged, while the socket is open (R-E4).
        """

    def identify(self, event: ClientEvent) -> ClientEvent:
        """Client: ``event`` with an event id, for those who wait for its `RequestSettled`; `send` does the same."""
        raise self._not_mine("identify")

    def append_audio(self, pcm: Buffer, now: Instant) -> Actions:
        """Client: send microphone audio, whole samples in the session's input format (R-I6). Server, over WebRTC: what
        came in beside the events."""
        raise self._not_mine("append_audio")

    def audio_played(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        """Client: the device has played ``samples`` of this part so far (cumulative; clamped to what was received).

        With ``playback="clock"`` nobody has to say it; a report that is ahead of the clock counts all the same.
        Server, over WebRTC: so much of it has left (R-O1).
        """
        raise self._not_mine("audio_played")

    def audio_stopped(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        """Client: the answer to `StopAudio`: playing stopped after ``samples`` of this part."""
        raise self._not_mine("audio_stopped")

    def interrupt(self, now: Instant) -> Actions:
        """Client: the button: cancel the response, stop the audio, truncate what was not heard."""
        raise self._not_mine("interrupt")

    def generate(self, content: Content, now: Instant) -> Actions:
        """Server: content of a response, from the brain."""
        raise self._not_mine("generate")

    def speech_started(self, audio_start_ms: int, now: Instant) -> Actions:
        """Server: voice detection heard speech begin; ms since the first sample, prefix padding included."""
        raise self._not_mine("speech_started")

    def speech_stopped(self, audio_end_ms: int, now: Instant) -> Actions:
        """Server: voice detection heard speech end; ms since the first sample, silence included."""
        raise self._not_mine("speech_stopped")

    def transcribed(self, item_id: str, content_index: int, result: TranscriptionResult, now: Instant) -> Actions:
        """Server: news of the transcription of a user's audio."""
        raise self._not_mine("transcribed")

    # -- as data -------------------------------------------------------------------------------------------------------

    def handle(self, input: inputs.Input, now: Instant) -> Actions:
        """The named methods as data (L11). Raises what they raise; TypeError for an input of the bytes level."""
        method = _METHODS.get(type(input))
        if method is None:
            raise TypeError(f"a Session takes no {type(input).__name__}; a Connection does")
        return method(self, input, now)

    def snapshot(self, now: Instant) -> Snapshot:  # type: ignore[empty-body]  # each role has its own
        """Everything but the socket, as a value: text yes, keys no, audio only where it was asked to be
        kept, and at most one sample of remainder a part. A session that is restored from it and given the same inputs,
        times and entropy continues with the same actions (law L6)."""

    @classmethod
    def restore(
        cls, snapshot: Snapshot, config: SessionConfig, *, now: Instant, entropy: Entropy | None = None
    ) -> Self:
        """A session that goes on where ``snapshot`` was taken. Raises `SnapshotError` for one that does not fit."""
        from antiphon.engine.snapshot import checked

        role = checked(snapshot, getattr(cls, "role", None))
        session = cls._kind(role)(role, config, now=now, entropy=entropy)
        assert isinstance(session, cls)  # the role was checked
        try:
            session._load(snapshot, now)
        except SnapshotError:
            raise
        except Exception as error:  # what was stored may contradict itself anywhere, and comes from outside
            raise SnapshotError(f"the snapshot contradicts itself ({type(error).__name__})") from error
        return session

    # -- for the rules (guards, effects) and the level above -----------------------------------------------------------

    def enter(self, now: Instant) -> None:
        """Begin a call at ``now``."""
        if now < self.now:
            self._check_time(now)
        self.now = now

    def leave(self) -> Actions:
        """End a call: what it leads to."""
        out = self.out
        if not out:
            return ()
        actions = tuple(out)
        out.clear()
        return actions

    def act(self, action: Action) -> None:
        """Put one action behind the others of this call."""
        self.out.append(action)

    def step(self, table: Table, obj: Stateful, on: str, event: object) -> Row | None:
        """Move ``obj`` by the row for ``on``; None when its state has no row. The only way anything changes state."""
        step = self.stepper  # in a local: called as a method, a function in a slot is sought in the class first
        row = step(table, obj, on, self, event)
        if row is not None and row.report:
            self.deviated(row, event)
        return row

    def deviated(self, row: Row, event: object) -> None:
        """A row was taken that the peer should not have made us take."""
        self.report(row.rule, event, f"{row.on} in state {row.source!r} of {row.machine}")

    def report(self, rule: str, event: object, detail: str, path: str = "") -> None:
        """The peer broke ``rule``: report it once a kind, and once more for each other ``path``; count it always. Under
        ``config.strict`` the socket ends, but not for a bound of ours, nor for what cannot be replayed."""
        event_type = getattr(event, "type", "")
        kind = (rule, event_type)
        count = self._reports.get(kind)
        if count is None and len(self._reports) >= self.config.limits.report_kinds:
            kind = ("R-N2", "")
            count = self._reports.get(kind)
        self._reports[kind] = (count or 0) + 1
        event_id = getattr(event, "event_id", None)
        news = self._is_news(*kind, path)  # asked of the first too: it is to be remembered
        if count is None or news:
            self.act(Report(kind[0], kind[1], event_id if isinstance(event_id, str) else None, path, detail))
        if self.config.strict and rule not in _OWN_RULES:
            fault = Fault("protocol", f"{rule}: {detail}", rule)
            self.step(LINK, self.link, "internal.fault", End(1002, rule, fault))

    def _is_news(self, rule: str, event_type: str, path: str) -> bool:
        """Whether a kind that was reported before has not been for this path; at most `limits.report_kinds` of them."""
        place = (rule, event_type, path)
        if not path or place in self._reported_paths or len(self._reported_paths) >= self.config.limits.report_kinds:
            return False
        self._reported_paths[place] = None
        return True

    def next_id(self, prefix: str) -> str:
        """An id of ours: at most 32 characters of ``[A-Za-z0-9_-]`` (R-C11); numbered where no entropy was given."""
        if self.entropy is not None:
            return f"{prefix}_{self.entropy(10).hex()}"
        self.ids_made += 1
        return f"{prefix}_{self.ids_made}"

    @property
    def reported_paths(self) -> tuple[tuple[str, str, str], ...]:
        """(rule, event type, path) of what was reported with a path."""
        return tuple(self._reported_paths)

    def adopt_counters(
        self, ids_made: int, reports: dict[tuple[str, str], int], paths: Iterable[tuple[str, str, str]]
    ) -> None:
        """The counters of a snapshot."""
        self.ids_made = ids_made
        self._reports = reports
        self._reported_paths = dict.fromkeys(paths)

    def end_of_socket(self, code: int | None, reason: str) -> End:
        """What a close code means: 1000, and a close without a code, are an orderly end; everything else is a fault."""
        if code in (1000, 1005):
            return End(code, reason, None)
        if code is None or code == 1006:
            return End(code, reason, Fault("eof", "the socket ended without a closing handshake", "R-L4"))
        detail = f"the peer closed with {code}" + (f": {reason}" if reason else "")
        return End(code, reason, Fault("eof", detail, "R-L4"))

    def problem_with_query(self, query: str) -> Refusal | None:
        """Server: why a handshake with this ``query`` is not accepted, None when it is."""
        return None

    def accept_query(self, query: str) -> None:
        """Server: it is accepted; what it asks for holds."""

    def begin_generation(self) -> None:
        """A socket has opened: what the role does first on it."""

    def let_go(self) -> None:
        """The socket is gone: settle what cannot outlive it."""

    def end_generation(self) -> None:
        """Another socket will follow: what belonged to the session of the old one is forgotten."""

    def meant(self, dialect: Dialect) -> None:
        """The handshake asks for this dialect; called before the socket is open."""

    # -- inside --------------------------------------------------------------------------------------------------------

    def _check_time(self, now: Instant) -> None:
        if now < self.now:
            raise LocalProtocolError(f"now went back by {self.now - now} ns", rule="R-N3")

    def command_at(self, now: Instant) -> None:
        """What every command of the application begins with: it may still come, and time has not gone back."""
        if self.closed is not None:
            raise LocalProtocolError("the engine is closed; nothing can be asked of it any more", rule="R-N4")
        self._check_time(now)

    def _not_mine(self, method: str) -> LocalProtocolError:
        return LocalProtocolError(f"{method} is not for a {self.role.value}", rule="R-E6")

    def fire(self, timer: Timer) -> None:
        """Do what ``timer`` is for."""
        self.step(LINK, self.link, f"timer.{timer.value}", timed_out(timer))

    def _wall(self, unix_ns: int | None) -> None:
        """Wall time of this socket's opening."""

    def _load(self, snapshot: Snapshot, now: Instant) -> None:
        """Take over the state of ``snapshot``; called once, on a session that has seen nothing."""


def session_of(
    role: Role, config: SessionConfig, *, now: Instant, entropy: Entropy | None = None, speaks_bytes: bool = False
) -> Session:
    """`Session` for a role that is known at run time only."""
    return Session._roles[role](role, config, now=now, entropy=entropy, speaks_bytes=speaks_bytes)


def timed_out(timer: Timer) -> End:
    """The end that a timer of the link makes."""
    return End(None, "", Fault("timeout", _TIMEOUTS.get(timer, f"timer {timer.value} fired"), f"timer.{timer.value}"))


_OWN_RULES = frozenset({"R-N2", "R-N5", "R-N6"})
"""What is reported under these is no fault of the peer's."""

_TIMEOUTS = {
    Timer.CONNECT: "no connection within timers.connect",
    Timer.HANDSHAKE: "no answer to the handshake within timers.handshake",
    Timer.PONG: "no sign of life within timers.pong after a PING",
    Timer.CLOSE: "no end of the socket within timers.close",
}

_METHODS: dict[type[object], Callable[[Session, Any, Instant], Actions]] = {
    inputs.Start: lambda session, input, now: session.start(now),
    inputs.Opened: lambda session, input, now: session.opened(now, unix_ns=input.unix_ns),
    inputs.EofReceived: lambda session, input, now: session.receive_eof(now, input.code, input.reason),
    inputs.TransportFailed: lambda session, input, now: session.transport_failed(input.fault, now),
    inputs.Close: lambda session, input, now: session.close(now, input.code, input.reason),
    inputs.Tick: lambda session, input, now: session.tick(now),
    inputs.MessageReceived: lambda session, input, now: session.receive_message(input.text, now),
    inputs.EventReceived: lambda session, input, now: session.receive_event(input.event, now),
    inputs.Send: lambda session, input, now: session.send(input.event, now, override=input.override),
    inputs.AppendAudio: lambda session, input, now: session.append_audio(input.pcm, now),
    inputs.AudioPlayed: lambda session, input, now: session.audio_played(
        input.item_id, input.content_index, input.samples, now
    ),
    inputs.AudioStopped: lambda session, input, now: session.audio_stopped(
        input.item_id, input.content_index, input.samples, now
    ),
    inputs.Interrupt: lambda session, input, now: session.interrupt(now),
    inputs.Generate: lambda session, input, now: session.generate(input.content, now),
    inputs.SpeechStarted: lambda session, input, now: session.speech_started(input.audio_start_ms, now),
    inputs.SpeechStopped: lambda session, input, now: session.speech_stopped(input.audio_end_ms, now),
    inputs.Transcribed: lambda session, input, now: session.transcribed(
        input.item_id, input.content_index, input.result, now
    ),
}
