"""A virtual link between a client and a server engine.

Two pipes that delay, cut (bytes level) and end, and never reorder; a clock that jumps to whatever is due next; and the
driver's half of every action about a socket. Every input of either engine goes through `Session.handle` or
`Connection.handle` and is written down as a `Line`: the traces that most laws replay.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import antiphon
from antiphon import (
    ClientSession,
    Closed,
    CloseTransport,
    Disconnected,
    Fault,
    HandshakeReceived,
    OpenTransport,
    ServerSession,
    Transmit,
    TransmitMessage,
    inputs,
)

from .values import EPOCH, MS, SECOND, SIDES, Engine, Entropy, Line, Outcome, Setup, Side, attempt, session_of

MOST_STEPS: Final = 200_000
"""More inputs than any script of the laws leads to: an engine that needs more does not go idle. Two peers that probe
each other a nanosecond after every byte, over a link of 5 ms, need 600 a second, and a script may wait for minutes."""

_SHOWS_ITSELF: Final = re.compile(rb'\{"type":"(transcription_)?session.created"')
"""What a server says to the call whose session it is, and to no sideband."""


class NeverIdle(AssertionError):
    """The two engines went on for ever, or for longer than `MOST_STEPS`."""


class _Pipe:
    """What is on its way to one side: in order, each with the instant of its arrival."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, str, Any]] = deque()

    def put(self, due: int, kind: str, what: Any = None) -> None:
        if self.waiting:
            due = max(due, self.waiting[-1][0])  # whatever its delay, nothing overtakes
        self.waiting.append((due, kind, what))


Watch: TypeAlias = Callable[[Side, Engine, inputs.Input, int], Outcome]
"""Takes the place of `attempt`, for a law that looks before and after each input."""


def unwatched(_side: Side, engine: Engine, input: inputs.Input, now: int) -> Outcome:
    """Nobody looks."""
    return attempt(engine, input, now)


class Link:
    """Two engines and everything between them; who uses them is a subclass's."""

    def __init__(self, setup: Setup, watch: Watch = unwatched) -> None:
        self.setup = setup
        self._watch = watch
        self.now = EPOCH
        self.steps = 0
        self.entropy = {side: setup.entropy(side) for side in SIDES}
        self.engines: dict[Side, Engine] = {side: setup.engine(side, self.entropy[side]) for side in SIDES}
        self.trace: dict[Side, list[Line]] = {"client": [], "server": []}
        self._chance = Random(setup.seed)  # where bytes are cut; nothing that an engine sees depends on more
        self._pipes: dict[Side, _Pipe] = {"client": _Pipe(), "server": _Pipe()}
        self._alive = {"client": False, "server": False}
        self._said_close = {"client": False, "server": False}
        self._todo: deque[tuple[Side, inputs.Input]] = deque()
        self._dialled_at: int | None = None
        self._failed_dials = setup.failed_dials
        self._latency = 5 * MS
        self._busy = False
        self.past: list[list[Line]] = []
        """The traces of the servers that were left."""

    # -- the two ends --------------------------------------------------------------------------------------------------

    @property
    def client(self) -> ClientSession:
        """The client's session."""
        session = session_of(self.engines["client"])
        assert isinstance(session, ClientSession)
        return session

    @property
    def server(self) -> ServerSession:
        """The server's session."""
        session = session_of(self.engines["server"])
        assert isinstance(session, ServerSession)
        return session

    @property
    def over(self) -> bool:
        """Whether both engines have ended."""
        return all(engine.closed is not None for engine in self.engines.values())

    def actions(self, side: Side) -> list[antiphon.Action]:
        """Everything that one engine did, in order."""
        return [action for line in self.trace[side] for action in line.actions]

    # -- driving -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Dial, or be told of a socket that somebody else opened."""
        if self.setup.dialled:
            self.feed("client", inputs.Start())
        else:
            self._open()
        self.advance(0)

    def drive_bounded(self, seconds: int = 600) -> None:
        """Let everything run by itself until both engines have ended; fails when they do not in bounded steps."""
        until = self.now + seconds * SECOND
        while not self.over:
            if not self._next(until):
                ends = [self.engines[side].closed for side in SIDES]
                raise NeverIdle(f"after {seconds} s the engines have ended like this: {ends}")

    def feed(self, side: Side, input: inputs.Input) -> Outcome:
        """One input for one engine; its actions are performed, and what that leads to is fed in its turn."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NeverIdle(f"more than {MOST_STEPS} inputs")
        outcome = self._watch(side, self.engines[side], input, self.now)
        line = Line(self.now, input, outcome)
        self.trace[side].append(line)
        for action in line.actions:
            self._perform(side, action)
        if not self._busy:  # an action may lead to an input; it waits until this call's actions are done
            self._busy = True
            try:
                while self._todo:
                    self.feed(*self._todo.popleft())
            finally:
                self._busy = False
        return outcome

    # -- time ----------------------------------------------------------------------------------------------------------

    def advance(self, ms: int) -> None:
        """Let ``ms`` pass, with all that is due within."""
        until = self.now + ms * MS
        while self._next(until):
            pass
        self.now = until

    def _next(self, until: int) -> bool:
        """What is due first, if it is due by ``until``. Arrivals come before timers of the same instant."""
        due: list[tuple[int, int, str]] = []
        if self._dialled_at is not None:
            due.append((self._dialled_at, 0, "dial"))
        for rank, side in enumerate(SIDES):
            if self._pipes[side].waiting:
                due.append((self._pipes[side].waiting[0][0], 1 + rank, side))
            deadline = self.engines[side].deadline
            if deadline is not None:
                due.append((deadline, 3 + rank, side))
        if not due or min(due)[0] > until:
            return False
        at, what, name = min(due)
        self.now = max(self.now, at)
        if what == 0:
            self._dial()
        elif what < 3:
            self._arrive("client" if name == "client" else "server")
        else:
            self.feed("client" if name == "client" else "server", inputs.Tick())
        return True

    # -- the link ------------------------------------------------------------------------------------------------------

    def _dial(self) -> None:
        self._dialled_at = None
        if self._failed_dials > 0 or (self._was_met and len(self.past) + 1 >= self.setup.servers):
            self._failed_dials -= 1
            self.feed("client", inputs.TransportFailed(Fault("dial", "connection refused")))
        elif self.engines["client"].closed is None:
            self._open()

    def _open(self) -> None:
        if self._was_met and len(self.past) + 1 < self.setup.servers:
            self._replace_server()
        self._alive = {"client": True, "server": True}
        self._said_close = {"client": False, "server": False}
        unix_ns = 1_790_000_000 * SECOND if self.setup.wall else None
        self.feed("server", inputs.Opened(unix_ns=unix_ns))
        self.feed("client", inputs.Opened(unix_ns=unix_ns))

    @property
    def _was_met(self) -> bool:
        """Whether the server of now has had its socket, or its end."""
        return session_of(self.engines["server"]).link.state != "idle"

    def _replace_server(self) -> None:
        """Another server takes the next socket; what was on its way over the last one is lost."""
        if self.engines["server"].closed is None:
            self._alive["server"] = False
            self.feed("server", inputs.EofReceived())
        self.past.append(self.trace["server"])
        self.trace["server"] = []
        self.entropy["server"] = Entropy(f"{self.setup.seed}/server/{len(self.past)}")
        self.engines["server"] = self.setup.engine("server", self.entropy["server"], self.now)
        for pipe in self._pipes.values():
            pipe.waiting.clear()
        self.left()

    def left(self) -> None:
        """A server was left: for whoever sat at that end."""

    def _send(self, side: Side, kind: str, what: Any = None) -> None:
        other: Side = "server" if side == "client" else "client"
        self._pipes[other].put(self.now + self._latency, kind, what)

    def _arrive(self, side: Side) -> None:
        _, kind, what = self._pipes[side].waiting.popleft()
        if not self._alive[side]:
            return  # its driver has let the socket go
        if kind == "text":
            self.feed(side, inputs.MessageReceived(what))
        elif kind == "data":
            for piece in self._cut(what):
                self.feed(side, inputs.DataReceived(piece))
        elif kind == "close":
            self._alive[side] = False
            if not self._said_close[side]:
                self._send(side, "close", what)  # the library below a message-level driver echoes it
            self.feed(side, inputs.EofReceived(*what))
        else:
            self._hang_up(side)
            self.feed(side, inputs.EofReceived())

    def _cut(self, data: bytes) -> list[bytes]:
        wanted = self._chance.choice((0, 0, 1, 3)) if len(data) > 1 else 0
        cuts = sorted({self._chance.randrange(1, len(data)) for _ in range(wanted)})
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _hang_up(self, side: Side) -> None:
        if self._alive[side]:
            self._alive[side] = False
            self._send(side, "end")

    # -- performing actions --------------------------------------------------------------------------------------------

    def _perform(self, side: Side, action: antiphon.Action) -> None:
        if isinstance(action, TransmitMessage):
            assert self._alive[side], "a message for a socket that is gone"
            if self.setup.transport != "sideband" or not _SHOWS_ITSELF.match(action.text):
                self._send(side, "text", action.text)
        elif isinstance(action, Transmit):
            if self._alive[side]:
                self._send(side, "data", action.data)
        elif isinstance(action, OpenTransport):
            self._dialled_at = self.now + self._latency
        elif isinstance(action, Disconnected) and side == "client":
            self._dialled_at = None  # a dial that took too long is given up
        elif isinstance(action, CloseTransport):
            self._close_socket(side, action)
        elif isinstance(action, Closed):
            if not self._said_close[side]:
                self._hang_up(side)
        elif isinstance(action, HandshakeReceived):
            self._todo.append((side, inputs.Accept()))
        else:
            self.told(side, action)

    def _close_socket(self, side: Side, action: CloseTransport) -> None:
        if action.abort or self.setup.level == "bytes":
            self._dialled_at = None if side == "client" else self._dialled_at
            self._hang_up(side)
            self._todo.append((side, inputs.EofReceived()))
        elif self._alive[side] and not self._said_close[side]:
            self._said_close[side] = True
            self._send(side, "close", (action.code, action.reason))

    def told(self, side: Side, action: antiphon.Action) -> None:
        """An action that is not about the socket: for whoever sits at that end."""
