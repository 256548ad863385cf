"""A virtual link between a client and a server engine, with somebody at each end.

A `World` holds two engines, a clock, and the link: two pipes that delay, cut (bytes level) and end, and never reorder.
At the client's end are an application and a player, at the server's end a brain and a voice detector. What each of them
does is a script of `Act`s, so that a failing example shrinks to the acts that matter; a whole conversation is a value
and plays the same way every time.

Every input of either engine goes through `Session.handle` or `Connection.handle` and is written down as a `Line`: the
traces that most laws replay. No rule of the protocol is known here beyond what a user of the engine has to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct, structs

import antiphon
from antiphon import (
    ArbiterPolicy,
    ArgumentsDelta,
    AudioDelta,
    ClientSession,
    Closed,
    CloseTransport,
    Connection,
    ConnectionConfig,
    Content,
    Deliver,
    Disconnected,
    Durations,
    Endpoint,
    Fault,
    HandshakeReceived,
    InputCommitted,
    ItemFinished,
    ItemStarted,
    Limits,
    LocalProtocolError,
    OpenTransport,
    PlayAudio,
    RequestSettled,
    ResponseCancelled,
    ResponseFinished,
    ResponseRequested,
    Role,
    ServerSession,
    Session,
    SessionConfig,
    StopAudio,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    Transmit,
    TransmitMessage,
    inputs,
)
from antiphon import messages as m

Side: TypeAlias = Literal["client", "server"]
Engine: TypeAlias = Session | Connection
Stepper: TypeAlias = Literal["compiled", "transitions"]

SIDES: Final[tuple[Side, Side]] = ("client", "server")
MS: Final = 1_000_000
SECOND: Final = 1000 * MS
EPOCH: Final = 5 * SECOND
"""Where the virtual clock begins: anywhere but at zero."""

MOST_STEPS: Final = 20_000
"""More inputs than any script of the laws leads to: an engine that needs more does not go idle."""

SECRET: Final = "sk-law-0123456789"


class NeverIdle(AssertionError):
    """The two engines went on for ever, or for longer than `MOST_STEPS`."""


class Entropy:
    """Seeded bytes. Counts what was drawn, and can be forked for a second run from the same place."""

    def __init__(self, seed: int | str) -> None:
        self._random = Random(seed)
        self.drawn = 0

    def __call__(self, count: int) -> bytes:
        self.drawn += count
        return self._random.randbytes(count)

    def fork(self) -> Entropy:
        """Another source that gives the same bytes from here on."""
        other = Entropy(0)
        other._random.setstate(self._random.getstate())
        other.drawn = self.drawn
        return other


class Act(NamedTuple):
    """One thing that somebody does: `World.do_VERB` says what ``a`` and ``b`` choose."""

    verb: str
    a: int = 0
    b: int = 0
    payload: Any = None


class Refused(NamedTuple):
    """A `LocalProtocolError`, as a value."""

    rule: str
    code: str | None
    text: str


Outcome: TypeAlias = "antiphon.Actions | Refused"


class Line(NamedTuple):
    """One line of a trace: at ``now`` (ns) the engine was given ``input``, and this came of it."""

    now: int
    input: inputs.Input
    outcome: Outcome

    @property
    def actions(self) -> antiphon.Actions:
        """What the engine did; nothing when it refused."""
        return () if isinstance(self.outcome, Refused) else self.outcome


class Setup(Struct, frozen=True, kw_only=True):
    """Everything about a world but its script. Times are ns, ``session`` is what the server's sessions begin with."""

    level: Literal["message", "bytes"] = "message"
    stepper: Stepper = "compiled"
    seed: int = 0
    named: bool = True
    """Whether a message-level client is given entropy; without it numbers its ids."""
    dialled: bool = True
    """Whether the client dials by itself (`start`); else somebody else opens the socket."""
    failed_dials: int = 0
    dials: int = 1
    early: int = 0
    """So many acts come before anybody dials."""
    on_active: Literal["queue", "refuse", "send"] = "queue"
    merge: bool = True
    tag: bool = True
    on_speech: Literal["session", "cut", "ignore"] = "session"
    unheard: Literal["truncate", "delete"] = "truncate"
    decode_audio: bool = True
    strict: bool = False
    retain: bool = False
    limits: Limits = Limits()
    timers: Durations = Durations()
    session: dict[str, Any] = {}

    def config(self, side: Side) -> SessionConfig:
        """What the engine of one side is told."""
        if side == "server":
            return SessionConfig(
                stepper=self.stepper,
                limits=self.limits,
                timers=self.timers,
                strict=self.strict,
                retain_input_audio=self.retain,
                session=self.session,
            )
        return SessionConfig(
            stepper=self.stepper,
            limits=self.limits,
            timers=self.timers,
            strict=self.strict,
            decode_audio=self.decode_audio,
            on_speech=self.on_speech,
            unheard=self.unheard,
            dials=self.dials,
            arbiter=ArbiterPolicy(
                on_active=self.on_active, merge_tool_outputs=self.merge, tag_requests=self.tag
            ),
        )

    def entropy(self, side: Side) -> Entropy:
        """The source of one side; the same for every run of this setup."""
        return Entropy(f"{self.seed}/{side}")

    def engine(self, side: Side, entropy: Entropy, now: int = EPOCH) -> Engine:
        """A fresh engine."""
        config = self.config(side)
        if self.level == "bytes":
            endpoint = Endpoint.custom("ws://example.org/v1/realtime?model=law", api_key=SECRET)
            return Connection(
                Role(side), ConnectionConfig(endpoint=endpoint, session=config), now=now, entropy=entropy
            )
        source = entropy if self.named or side == "server" else None
        return Session(Role(side), config, now=now, entropy=source)


def session_of(engine: Engine) -> Session:
    """The session inside an engine of either level."""
    return engine.session if isinstance(engine, Connection) else engine


def attempt(engine: Engine, input: inputs.Input, now: int) -> Outcome:
    """One input, and what came of it; any error but a refusal is the engine's failure and passes."""
    try:
        return engine.handle(input, now)
    except LocalProtocolError as error:
        return Refused(error.rule, error.code, str(error))


def replay(engine: Engine, lines: Iterable[Line]) -> list[Line]:
    """The inputs of a trace, given to another engine."""
    return [line._replace(outcome=attempt(engine, line.input, line.now)) for line in lines]


class _Pipe:
    """What is on its way to one side: in order, each with the instant of its arrival."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, str, Any]] = deque()

    def put(self, due: int, kind: str, what: Any = None) -> None:
        if self.waiting:
            due = max(due, self.waiting[-1][0])  # whatever its delay, nothing overtakes
        self.waiting.append((due, kind, what))


class _Part:
    """One audio part as the device sees it; samples."""

    def __init__(self) -> None:
        self.received = 0
        self.played = 0


class _Job:
    """A response that the brain owes content for."""

    def __init__(self, response_id: str, speaks: bool) -> None:
        self.response_id = response_id
        self.speaks = speaks
        self.kinds: list[Literal["text", "audio", "function_call"]] = []
        self.open: list[int] = []
        self.cancelled = False


Watch: TypeAlias = Callable[[Side, Engine, inputs.Input, int], Outcome]
"""Takes the place of `attempt`, for a law that looks before and after each input."""


def _unwatched(_side: Side, engine: Engine, input: inputs.Input, now: int) -> Outcome:
    return attempt(engine, input, now)


class World:
    """Two engines and everything between and around them."""

    def __init__(self, setup: Setup, watch: Watch = _unwatched) -> None:
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
        # the application and the player
        self.asked: list[str] = []
        self.settled: list[RequestSettled] = []
        self._calls: list[str] = []
        self._parts: dict[tuple[str, int], _Part] = {}
        self._stops: list[StopAudio] = []
        self._made = 0
        # the brain and the voice detector
        self._jobs: list[_Job] = []
        self._heard: list[str] = []

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

    # -- playing -------------------------------------------------------------------------------------------------------

    def play(self, script: Sequence[Act]) -> World:
        """Perform a whole script; the dial comes after the first `Setup.early` acts."""
        for number, act in enumerate(script):
            if number == self.setup.early:
                self.begin()
            self.perform(act)
        if len(script) <= self.setup.early:
            self.begin()
        return self

    def begin(self) -> None:
        """Dial, or be told of a socket that somebody else opened."""
        if self.setup.dialled:
            self.feed("client", inputs.Start())
        else:
            self._open()
        self.advance(0)

    def perform(self, act: Act) -> None:
        """One act, and what it leads to at once."""
        getattr(self, f"do_{act.verb}")(act)
        self.advance(0)

    def drive_bounded(self, seconds: int = 600) -> None:
        """Let the world run by itself until both engines have ended. Fails when they do not, or not in bounded steps."""
        until = self.now + seconds * SECOND
        while not self.over:
            if not self._next(until):
                raise NeverIdle(f"after {seconds} s: {self.engines['client'].closed!r}, {self.engines['server'].closed!r}")

    def finish(self) -> None:
        """Let everything arrive, end the conversation as a good application does, and drive both ends to theirs."""
        self.do_settle()
        for side in SIDES:
            self.feed(side, inputs.Close())
            self.advance(2000)  # so the server's close finds its engine over, unless no socket ever joined the two
        self.drive_bounded()

    def do_settle(self, _act: Act | None = None) -> None:
        """The brain says the rest of what it owes, and everything on its way arrives."""
        for job in list(self._jobs):
            self._say(ResponseFinished(response_id=job.response_id))
        while any(pipe.waiting for pipe in self._pipes.values()) or self._dialled_at is not None:
            self._next(self.now + 3600 * SECOND)
            for job in list(self._jobs):
                self._say(ResponseFinished(response_id=job.response_id))

    def feed(self, side: Side, input: inputs.Input) -> Outcome:
        """One input for one engine; its actions are performed, and what that leads to is fed in its turn."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NeverIdle(f"more than {MOST_STEPS} inputs")
        outcome = self._watch(side, self.engines[side], input, self.now)
        line = Line(self.now, input, outcome)
        self.trace[side].append(line)
        for action in line.actions:
            self._performed(side, action)
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
        if self._failed_dials > 0 or self.engines["server"].closed is not None:
            self._failed_dials -= 1
            self.feed("client", inputs.TransportFailed(Fault("dial", "connection refused")))
        elif self.engines["client"].closed is None:
            self._open()

    def _open(self) -> None:
        self._alive = {"client": True, "server": True}
        self.feed("server", inputs.Opened(unix_ns=1_790_000_000 * SECOND))
        self.feed("client", inputs.Opened(unix_ns=1_790_000_000 * SECOND))

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
        cuts = sorted({self._chance.randrange(1, len(data)) for _ in range(self._chance.choice((0, 0, 1, 3)))}) if (
            len(data) > 1
        ) else []
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _hang_up(self, side: Side) -> None:
        if self._alive[side]:
            self._alive[side] = False
            self._send(side, "end")

    # -- performing actions --------------------------------------------------------------------------------------------

    def _performed(self, side: Side, action: antiphon.Action) -> None:
        if isinstance(action, TransmitMessage):
            assert self._alive[side], "a message for a socket that is gone"
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
        elif side == "client":
            self._client_performs(action)
        else:
            self._server_performs(action)

    def _close_socket(self, side: Side, action: CloseTransport) -> None:
        if action.abort or self.setup.level == "bytes":
            self._dialled_at = None if side == "client" else self._dialled_at
            self._hang_up(side)
            self._todo.append((side, inputs.EofReceived()))
        elif self._alive[side] and not self._said_close[side]:
            self._said_close[side] = True
            self._send(side, "close", (action.code, action.reason))

    def _client_performs(self, action: antiphon.Action) -> None:
        if isinstance(action, PlayAudio):
            part = self._parts.setdefault((action.item_id, action.content_index), _Part())
            part.received = action.start + len(action.audio) // action.format.bytes_per_sample
        elif isinstance(action, StopAudio):
            self._stops.append(action)
        elif isinstance(action, RequestSettled):
            self.settled.append(action)
        elif isinstance(action, Deliver) and isinstance(action.event, m.ResponseOutputItemDone):
            item = action.event.item
            if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
                self._calls.append(item.call_id)

    def _server_performs(self, action: antiphon.Action) -> None:
        if isinstance(action, ResponseRequested):
            modalities = action.params.output_modalities or ["audio"]
            self._jobs.append(_Job(action.response_id, "audio" in modalities))
        elif isinstance(action, ResponseCancelled):
            for job in self._jobs:
                job.cancelled = job.cancelled or job.response_id == action.response_id
        elif isinstance(action, InputCommitted):
            self._heard.append(action.item_id)

    # -- the link's acts -----------------------------------------------------------------------------------------------

    def do_wait(self, act: Act) -> None:
        """Time passes: nothing, a moment, or longer than any timer."""
        self.advance((0, 1, 20, 100, 600, 3000, 12_000, 31_000)[act.a % 8])

    def do_lag(self, act: Act) -> None:
        """From now on the link is this slow."""
        self._latency = (0, 5 * MS, 80 * MS, 700 * MS)[act.a % 4]

    def do_drop(self, act: Act) -> None:
        """The connection breaks. What was on its way is lost, or only the end of it."""
        for side in SIDES:
            pipe = self._pipes[side]
            while len(pipe.waiting) > act.b % 4:
                pipe.waiting.pop()
            if self._alive[side]:
                pipe.put(self.now, "end")

    def do_tick(self, act: Act) -> None:
        """A tick that nobody needs."""
        self.feed(SIDES[act.a % 2], inputs.Tick())

    # -- the application's acts ----------------------------------------------------------------------------------------

    def command(self, event: m.ClientEvent) -> Outcome:
        """The application sends ``event``."""
        return self.feed("client", inputs.Send(event))

    def _items(self) -> list[str]:
        return [node.id for node in self.client.conversation]

    def _name(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made}"

    def do_say(self, act: Act) -> None:
        """An item of text: of any role, with or without an id, at the end, the front, or behind another."""
        roles: tuple[tuple[str, m.Content], ...] = (
            ("user", m.InputText(text="hello é")),
            ("system", m.InputText(text="be kind")),
            ("assistant", m.OutputText(text="I was")),
            ("user", m.InputAudio(audio="AAAA", transcript="la")),
        )
        role, content = roles[act.a % 4]
        items = self._items()
        previous = (UNSET, UNSET, None, "", "root", items[act.b % len(items)] if items else "root")[act.b % 6]
        name = self._name("mine") if act.a % 3 else UNSET
        self.command(
            m.ConversationItemCreate(
                item=m.MessageItem(id=name, role=role, content=[content]), previous_item_id=previous
            )
        )

    def do_call(self, act: Act) -> None:
        """A call of a function that was made elsewhere becomes part of the history."""
        call_id = self._name("call")
        item = m.FunctionCallItem(id=self._name("mine"), name="look_up", call_id=call_id, arguments="{}")
        if not isinstance(self.command(m.ConversationItemCreate(item=item)), Refused):
            self._calls.append(call_id)

    def do_output(self, act: Act) -> None:
        """The output of a call."""
        if self._calls:
            item = m.FunctionCallOutputItem(call_id=self._calls[act.a % len(self._calls)], output="42")
            self.command(m.ConversationItemCreate(item=item))

    def do_ask(self, act: Act) -> None:
        """`response.create`: plain, with parameters, out of band."""
        params = (
            UNSET,
            UNSET,
            m.ResponseCreateParams(),
            m.ResponseCreateParams(conversation="none", output_modalities=["text"]),
            m.ResponseCreateParams(instructions="shortly", metadata={"mine": str(act.b)}),
            m.ResponseCreateParams(conversation="none", metadata={"mine": "x"}, input=[]),
        )[act.a % 6]
        event_id = self._name("ask")
        if not isinstance(self.command(m.ResponseCreate(event_id=event_id, response=params)), Refused):
            self.asked.append(event_id)

    def do_cancel(self, act: Act) -> None:
        """`response.cancel`: of whatever runs, or of one by name."""
        running = [record.id for record in self.client.responses.values() if record.is_open]
        name = running[act.b % len(running)] if running and act.a % 2 else UNSET
        self.command(m.ResponseCancel(response_id=name))

    def do_speak(self, act: Act) -> None:
        """Microphone audio."""
        format = self.client.input_audio_buffer.format
        ms = (20, 40, 110, 250)[act.a % 4]
        self.feed("client", inputs.AppendAudio(b"\x01" * (format.rate * ms // 1000 * format.bytes_per_sample)))

    def do_commit(self, _act: Act) -> None:
        """`input_audio_buffer.commit`"""
        self.command(m.InputAudioBufferCommit())

    def do_clear(self, _act: Act) -> None:
        """`input_audio_buffer.clear`"""
        self.command(m.InputAudioBufferClear())

    def do_configure(self, act: Act) -> None:
        """`session.update` of one thing."""
        self.command(m.SessionUpdate(session=_UPDATES[act.a % len(_UPDATES)]))

    def do_delete(self, act: Act) -> None:
        """`conversation.item.delete`"""
        for item_id in _chosen(self._items(), act.a):
            self.command(m.ConversationItemDelete(item_id=item_id))

    def do_retrieve(self, act: Act) -> None:
        """`conversation.item.retrieve`"""
        for item_id in _chosen(self._items(), act.a):
            self.command(m.ConversationItemRetrieve(item_id=item_id))

    def do_truncate(self, act: Act) -> None:
        """`conversation.item.truncate`, by an application that cuts by itself; one that takes no audio has nothing to cut."""
        if not self.setup.decode_audio:
            return
        for item_id in _chosen(self._items(), act.a):
            self.command(m.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=act.b * 7))

    def do_listen(self, act: Act) -> None:
        """The device reports how far it has played a part: a little further each time, or to its end."""
        if self._parts:
            key = list(self._parts)[act.a % len(self._parts)]
            part = self._parts[key]
            part.played = min(part.received, part.played + (240, 1000, 10**9)[act.b % 3])
            self.feed("client", inputs.AudioPlayed(*key, part.played))

    def do_stopped(self, act: Act) -> None:
        """The device answers a `StopAudio`, late perhaps."""
        if self._stops:
            stop = self._stops.pop(act.a % len(self._stops))
            part = self._parts.get((stop.item_id, stop.content_index), _Part())
            self.feed("client", inputs.AudioStopped(stop.item_id, stop.content_index, part.played + act.b % 300))

    def do_interrupt(self, _act: Act) -> None:
        """The button."""
        self.feed("client", inputs.Interrupt())

    def do_close(self, act: Act) -> None:
        """One end closes."""
        self.feed(SIDES[act.a % 2], inputs.Close(*((1000, "") if act.b % 2 else (4001, "enough"))))

    # -- the brain's acts ----------------------------------------------------------------------------------------------

    def _say(self, content: Content) -> Outcome:
        outcome = self.feed("server", inputs.Generate(content))
        if isinstance(content, ResponseFinished):
            self._jobs = [job for job in self._jobs if job.response_id != content.response_id]
        return outcome

    def do_think(self, act: Act) -> None:
        """The brain goes on with one of its responses: another item, more of an open one, its end, the end of all."""
        if not self._jobs:
            return
        job = self._jobs[act.a % len(self._jobs)]
        ended = job.cancelled or self.server.closed is not None
        choice = 9 if ended and act.b % 3 == 0 else act.b % 10
        if choice == 9:
            self._say(_endings(job.response_id)[act.a % 3])
        elif choice < 2 or not job.open:
            kinds: Sequence[Literal["text", "audio", "function_call"]] = (
                ("audio", "audio", "function_call", "text") if job.speaks else ("text", "text", "function_call")
            )
            kind = kinds[act.b % len(kinds)]
            index = len(job.kinds)
            job.kinds.append(kind)
            job.open.append(index)
            name = "look_up" if kind == "function_call" else ""
            self._say(ItemStarted(response_id=job.response_id, output_index=index, kind=kind, name=name))
        elif choice == 8:
            index = job.open.pop(act.a % len(job.open))
            self._say(ItemFinished(response_id=job.response_id, output_index=index))
        else:
            self._say(self._delta(job, job.open[act.a % len(job.open)], act.b))

    def _delta(self, job: _Job, index: int, b: int) -> Content:
        kind = job.kinds[index]
        text = ("la ", "é", "wörld ", "")[b % 4]
        if kind == "function_call":
            return ArgumentsDelta(response_id=job.response_id, output_index=index, delta='{"x": 1}')
        if kind == "audio" and b % 2:
            width = self.server.output_format.bytes_per_sample
            return AudioDelta(response_id=job.response_id, output_index=index, audio=b"\x02" * (width * (480 + b * 37)))
        return TextDelta(response_id=job.response_id, output_index=index, delta=text)

    def do_answer(self, act: Act) -> None:
        """The brain gives a whole answer at once, or ends with nothing said."""
        for _ in range(1 + act.b % 3):
            self.do_think(Act("think", act.a, 0))
            self.do_think(Act("think", act.a, 3))
            self.do_think(Act("think", act.a, 5))
            self.do_think(Act("think", act.a, 8))
        self.do_think(Act("think", act.a, 9))

    def do_turn(self, act: Act) -> None:
        """A request that is answered, as far as it gets: several acts that make sense in this order."""
        for verb, a, b in (
            ("ask", act.a, act.b), ("wait", 2, 0), ("think", 0, act.b), ("think", 0, 3), ("think", 0, 5), ("wait", 3, 0),
            ("listen", act.a, act.b), ("think", 0, 7), ("think", 0, act.a),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    def do_talk(self, act: Act) -> None:
        """Somebody speaks and is heard: audio, its beginning and end, and the answer's first words."""
        for verb, a, b in (
            ("speak", 3, 0), ("wait", 2, 0), ("hear", 1, 0), ("speak", act.a, 0), ("stopped", 0, act.b), ("wait", 2, 0),
            ("hear", act.b, 0), ("transcribe", 0, act.a), ("think", 0, act.b), ("think", 0, 3), ("wait", act.a % 4, 0),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    def do_hear(self, act: Act) -> None:
        """The voice detector hears speech begin, or end."""
        ms = self.server.input_audio_buffer.total_ms
        if act.a % 2:
            self.feed("server", inputs.SpeechStarted(max(0, ms - 30)))
        else:
            self.feed("server", inputs.SpeechStopped(ms))

    def do_transcribe(self, act: Act) -> None:
        """News of the transcription of something that was heard."""
        results: tuple[TranscriptDelta | TranscriptCompleted | TranscriptFailed, ...] = (
            TranscriptDelta("la "),
            TranscriptDelta("é"),
            TranscriptCompleted("la é", 1.5),
            TranscriptFailed("mumbling", "audio_unintelligible"),
        )
        for item_id in _chosen(self._heard, act.a):
            self.feed("server", inputs.Transcribed(item_id, 0, results[act.b % 4]))

    def do_inform(self, act: Act) -> None:
        """The server's application says something of its own."""
        self.feed("server", inputs.Send(m.RateLimitsUpdated(rate_limits=[m.RateLimit(name="tokens", limit=act.b)])))

    # -- acts of nobody who keeps the rules
    # ------------------------------------------------------------------------------

    def do_inject(self, act: Act) -> None:
        """Something arrives that no engine sent: at the client or the server, as text, typed event, or bytes.

        ``@item``, ``@response`` and ``@call`` in a text stand for ids that exist.
        """
        side = SIDES[act.a % 2]
        payload = act.payload
        if isinstance(payload, (bytes, str)):
            payload = self._with_names(payload, act.b)
            if self.setup.level == "bytes":
                data = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
                if data:
                    self.feed(side, inputs.DataReceived(data))
            else:
                self.feed(side, inputs.MessageReceived(payload))
        else:
            self.feed(side, inputs.EventReceived(payload))

    def _with_names(self, text: bytes | str, b: int) -> bytes | str:
        names = {
            "@item": _chosen([node.id for node in self.client.conversation] or ["item_0"], b)[0],
            "@response": _chosen(list(self.client.responses) or ["resp_0"], b)[0],
            "@call": _chosen(self._calls or ["call_0"], b)[0],
        }
        for mark, name in names.items():
            if isinstance(text, str):
                text = text.replace(mark, name)
            else:
                text = text.replace(mark.encode(), name.encode())
        return text

    def do_push(self, act: Act) -> None:
        """A command that nobody has thought about, for one of the two engines; marks stand for ids here too."""
        if isinstance(act.payload, inputs.Send):
            event = act.payload.event
            text = self._with_names(msgspec.json.encode(event, enc_hook=lambda value: value.data), act.b)
            named = msgspec.json.decode(text, type=type(event)) if isinstance(event, Struct) else event
            self.feed(SIDES[act.a % 2], structs.replace(act.payload, event=named))
        else:
            if isinstance(act.payload, inputs.Opened):
                self._alive[SIDES[act.a % 2]] = True  # as far as this engine's driver says
            self.feed(SIDES[act.a % 2], act.payload)

    def do_oversleep(self, act: Act) -> None:
        """The drivers come back late: several timers are due at once, and what arrived meanwhile waits."""
        self.now += (1, 600, 40_000)[act.a % 3] * MS
        for side in SIDES:
            self.feed(side, inputs.Tick())


def _chosen(names: Sequence[str], number: int) -> list[str]:
    return [names[number % len(names)]] if names else []


def _endings(response_id: str) -> tuple[Content, Content, Content]:
    return (
        ResponseFinished(response_id=response_id, input_tokens=3, output_tokens=5),
        ResponseFinished(response_id=response_id, status="incomplete", reason="content_filter"),
        ResponseFinished(response_id=response_id, status="failed", error_code="rate_limit_exceeded"),
    )


def _hearing(detection: m.TurnDetection | None) -> m.RealtimeSession:
    return m.RealtimeSession(audio=m.AudioConfig(input=m.AudioInput(turn_detection=detection)))


def _speaking(output: m.AudioOutput) -> m.RealtimeSession:
    return m.RealtimeSession(audio=m.AudioConfig(output=output))


_UPDATES: Final[tuple[m.RealtimeSession, ...]] = (
    _hearing(None),
    _hearing(m.TurnDetection(type="server_vad", create_response=True, interrupt_response=True)),
    _hearing(m.TurnDetection(type="server_vad", create_response=False, interrupt_response=False)),
    _hearing(m.TurnDetection(type="semantic_vad")),
    m.RealtimeSession(output_modalities=["text"]),
    m.RealtimeSession(output_modalities=["audio"]),
    _speaking(m.AudioOutput(voice="verse")),
    _speaking(m.AudioOutput(voice="alloy")),
    m.RealtimeSession(instructions="Answer in rhymes."),
    m.RealtimeSession(tools=[m.FunctionTool(name="look_up", parameters={"type": "object"})]),
    m.RealtimeSession(max_output_tokens=7, tool_choice="none"),
    m.RealtimeSession(),
)


def script_of(seed: int, length: int, verbs: Sequence[str]) -> list[Act]:
    """A script drawn without Hypothesis: for tests that need many, or the same one again."""
    chance = Random(seed)
    return [Act(chance.choice(verbs), chance.randrange(12), chance.randrange(12)) for _ in range(length)]


def with_stepper(setup: Setup, stepper: Stepper) -> Setup:
    """The same setup, stepped the other way."""
    return structs.replace(setup, stepper=stepper)
