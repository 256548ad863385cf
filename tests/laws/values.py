"""The nouns of the laws: an act of a script, a line of a trace, a setup, a source of entropy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct, structs

import antiphon
from antiphon import (
    ArbiterPolicy,
    Connection,
    ConnectionConfig,
    Durations,
    Endpoint,
    Limits,
    LocalProtocolError,
    RenewalPolicy,
    Role,
    Session,
    SessionConfig,
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

SECRET: Final = "sk-law-0123456789"


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

    kind: Literal["realtime", "transcription", "translation"] = "realtime"
    transport: Literal["websocket", "webrtc", "sideband"] = "websocket"
    """Which way the client has; over the other two the server delivers the audio and hears the microphone by itself. A
    sideband is told nothing of its session: that was told to the call."""
    level: Literal["message", "bytes"] = "message"
    stepper: Stepper = "compiled"
    seed: int = 0
    named: bool = True
    """Whether a message-level client is given entropy; without it numbers its ids."""
    dialled: bool = True
    """Whether the client dials by itself (`start`); else somebody else opens the socket."""
    failed_dials: int = 0
    servers: int = 1
    """So many servers there are, one after the other: each socket of the client meets a fresh one. With one, a lost
    socket ends the client."""
    expiry: int = 3600
    """s after which a server's session expires."""
    wall: bool = True
    """Whether the drivers tell the time of day; without it no session expires."""
    renew: bool = True
    replay: bool = True
    jitter: int = 50
    nudge: str | None = None
    """Another `idle_nudge` than the default one."""
    dials: int = 1
    early: int = 0
    """So many acts come before anybody dials."""
    on_active: Literal["queue", "refuse", "send"] = "queue"
    merge: bool = True
    tag: bool = True
    retries: int = 3
    """0 switches the retry off altogether."""
    late: Literal["adopt", "cancel"] = "adopt"
    queue_limit: int = 32
    request_timeout: int = 30 * SECOND
    on_speech: Literal["session", "cut", "ignore"] = "session"
    playback: Literal["device", "clock"] = "device"
    unheard: Literal["truncate", "delete"] = "truncate"
    decode_audio: bool = True
    dialect: Literal["auto", "beta"] = "auto"
    """What both ends speak: GA, or the beta."""
    view: Literal["ga", "beta"] = "ga"
    strict: bool = False
    retain: bool = False
    limits: Limits = Limits()
    timers: Durations = Durations()
    session: dict[str, Any] = {}

    def config(self, side: Side) -> SessionConfig:
        """What the engine of one side is told."""
        if side == "server":
            return SessionConfig(
                dialect=self.dialect,
                stepper=self.stepper,
                limits=self.limits,
                timers=self.timers,
                strict=self.strict,
                retain_input_audio=self.retain,
                retain_output_audio=self.retain,
                rate_limits=(m.RateLimit(name="tokens", limit=7),) if self.retain else (),
                unix_expiry_s=self.expiry,
                session={"type": self.kind, **self.session},
                transport="websocket" if self.transport == "websocket" else "webrtc",
                **({} if self.nudge is None else {"idle_nudge": self.nudge}),
            )
        return SessionConfig(
            dialect=self.dialect,
            view=self.view,
            stepper=self.stepper,
            limits=self.limits,
            timers=self.timers,
            strict=self.strict,
            decode_audio=self.decode_audio,
            on_speech=self.on_speech,
            playback=self.playback,
            unheard=self.unheard,
            dials=self.dials,
            transport=self.transport,
            session_type=self.kind,
            renewal=RenewalPolicy(
                reconnect=self.servers > 1,
                renew=self.renew,
                replay=self.replay,
                jitter=self.jitter,
                backoff_cap=600 * MS,
            ),
            arbiter=ArbiterPolicy(
                on_active=self.on_active,
                merge_tool_outputs=self.merge,
                retry_lost_to_vad=self.retries > 0,
                retries=self.retries,
                request_timeout_ns=self.request_timeout,
                late=self.late,
                queue_limit=self.queue_limit,
                tag_requests=self.tag,
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
            return Connection(Role(side), ConnectionConfig(endpoint=endpoint, session=config), now=now, entropy=entropy)
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


def script_of(seed: int, length: int, verbs: Sequence[str]) -> list[Act]:
    """A script drawn without Hypothesis: for tests that need many, or the same one again."""
    chance = Random(seed)
    return [Act(chance.choice(verbs), chance.randrange(12), chance.randrange(12)) for _ in range(length)]


def with_stepper(setup: Setup, stepper: Stepper) -> Setup:
    """The same setup, stepped the other way."""
    return structs.replace(setup, stepper=stepper)
