"""Engine configuration. Everything is frozen, checked at construction, and has a documented default."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from antiphon.engine.endpoint import Endpoint
from antiphon.engine.timers import MS
from antiphon.machines._tables import LIMITS, TIMERS
from antiphon.messages import RateLimit
from antiphon.messages.beta import View

OnActive: TypeAlias = Literal["queue", "refuse", "send"]
Transport: TypeAlias = Literal["websocket", "webrtc", "sideband"]
OnSpeech: TypeAlias = Literal["session", "cut", "ignore"]
Playback: TypeAlias = Literal["device", "clock"]
Unheard: TypeAlias = Literal["truncate", "delete"]
Late: TypeAlias = Literal["adopt", "cancel"]
DialectChoice: TypeAlias = Literal["auto", "ga", "beta"]
SessionType: TypeAlias = Literal["realtime", "transcription", "translation"]
Stepper: TypeAlias = Literal["compiled", "transitions"]


def _check_choice(name: str, value: str, choices: object) -> None:
    """Raises ValueError when ``value`` is none of a `Literal`: a word that nobody knows would silently mean another."""
    known = get_args(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


class Role(StrEnum):
    """Which end of the conversation an engine is."""

    CLIENT = "client"
    SERVER = "server"


class Limits(Struct, frozen=True, kw_only=True):
    """Every bound, in the unit and for the reason that ``spec/limits.toml`` gives; that of ``queued_requests`` is
    `ArbiterPolicy.queue_limit`."""

    message_bytes: int = LIMITS["message_bytes"].value
    fragments: int = LIMITS["fragments"].value
    http_head_bytes: int = LIMITS["http_head_bytes"].value
    json_depth: int = LIMITS["json_depth"].value
    append_audio_bytes: int = LIMITS["append_audio_bytes"].value
    queued_commands: int = LIMITS["queued_commands"].value
    gap_audio_ms: int = LIMITS["gap_audio_ms"].value
    pending_commands: int = LIMITS["pending_commands"].value
    open_responses: int = LIMITS["open_responses"].value
    response_history: int = LIMITS["response_history"].value
    response_parts: int = LIMITS["response_parts"].value
    conversation_items: int = LIMITS["conversation_items"].value
    conversation_text_bytes: int = LIMITS["conversation_text_bytes"].value
    waiting_items: int = LIMITS["waiting_items"].value
    early_transcripts: int = LIMITS["early_transcripts"].value
    tombstones: int = LIMITS["tombstones"].value
    retained_audio_bytes: int = LIMITS["retained_audio_bytes"].value
    item_audio_bytes: int = LIMITS["item_audio_bytes"].value
    playback_entries: int = LIMITS["playback_entries"].value
    mcp_items: int = LIMITS["mcp_items"].value
    rate_limit_names: int = LIMITS["rate_limit_names"].value
    report_kinds: int = LIMITS["report_kinds"].value

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"limits.{name} must be at least 1, not {getattr(self, name)}")


class Durations(Struct, frozen=True, kw_only=True):
    """The length of each timer in nanoseconds; ``spec/timers.toml`` says what arms and stops them. All are > 0 (L4).

    That of ``request`` is `ArbiterPolicy.request_timeout_ns`.
    """

    connect: int = TIMERS["connect"].default_ms * MS
    backoff: int = TIMERS["backoff"].default_ms * MS
    handshake: int = TIMERS["handshake"].default_ms * MS
    ping: int = TIMERS["ping"].default_ms * MS
    pong: int = TIMERS["pong"].default_ms * MS
    close: int = TIMERS["close"].default_ms * MS
    flush: int = TIMERS["flush"].default_ms * MS
    drain: int = TIMERS["drain"].default_ms * MS
    renewal: int = TIMERS["renewal"].default_ms * MS
    quiet: int = TIMERS["quiet"].default_ms * MS

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"timers.{name} must be at least 1 ns, not {getattr(self, name)}")


class ArbiterPolicy(Struct, frozen=True, kw_only=True):
    """How ``response.create`` is brought through the server's one place (R-Q1 … R-Q10).

    ``on_active``: what happens to a request while a response is in progress: ``queue`` holds it back (the default),
    ``refuse`` raises, ``send`` transmits it and lets the server decide.
    ``merge_tool_outputs``: a request that follows the output of a call waits until every call of that response has its
    output, and equal requests become one. True by default.
    ``retry_lost_to_vad``: a request that was held back, or sent into a free place, and yet was rejected because voice
    detection's response took the place, is sent again when that response is done, at most ``retries`` times; after
    that, and where this is False, it ends as `LostToVad`. True and 3 by default.
    ``request_timeout_ns``: how long the server may take to announce the response or reject the request; then it ends as
    `TimedOut`. Also how long a request is held back for outputs of calls, before it goes out without them. 30 s.
    ``late``: what is done with a response whose request has timed out: ``adopt`` lets it run and be heard (the
    default), ``cancel`` cancels it at once and plays nothing of it.
    ``queue_limit``: how many requests are held back at most; the next one is refused (R-N2). 32.
    ``tag_requests``: the engine adds the request's event id to ``response.metadata`` under ``antiphon_request``, which
    the server echoes; without it a response is matched to its request by order, and one that comes late is not known.
    True by default.
    """

    on_active: OnActive = "queue"
    merge_tool_outputs: bool = True
    retry_lost_to_vad: bool = True
    retries: int = 3
    request_timeout_ns: int = TIMERS["request"].default_ms * MS
    late: Late = "adopt"
    queue_limit: int = LIMITS["queued_requests"].value
    tag_requests: bool = True

    def __post_init__(self) -> None:
        _check_choice("arbiter.on_active", self.on_active, OnActive)
        _check_choice("arbiter.late", self.late, Late)
        if self.retries < 0:
            raise ValueError(f"arbiter.retries must be at least 0, not {self.retries}")
        if self.request_timeout_ns < 1:
            raise ValueError(f"arbiter.request_timeout_ns must be at least 1 ns, not {self.request_timeout_ns}")
        if self.queue_limit < 1:
            raise ValueError(f"arbiter.queue_limit must be at least 1, not {self.queue_limit}")


class RenewalPolicy(Struct, frozen=True, kw_only=True):
    """How a conversation outlives its sockets and sessions (R-L11, R-N1, R-N5, R-N6); for a client over a WebSocket
    that dials by itself. `docs/design.md` argues the defaults.

    ``reconnect``: a lost socket is followed by another; False: it ends the engine, and nothing is renewed.
    ``renew``: the session is renewed before it expires (`Durations.renewal` is the margin); False: when it did.
    ``dials``: how often it is dialled, 1 or more, before the engine ends; counted anew after a session that showed
    itself and lasted for ``backoff_cap``, which is the longest pause between two dials, ns.
    ``jitter``: up to so many percent of a pause are left out, at random; without entropy none are.
    ``replay``: the history is given to the new session; False: that session, and ``conversation``, begin empty.
    """

    reconnect: bool = True
    renew: bool = True
    dials: int = 5
    backoff_cap: int = 8000 * MS
    jitter: int = 50
    replay: bool = True

    def __post_init__(self) -> None:
        if self.dials < 1:
            raise ValueError(f"renewal.dials must be at least 1, not {self.dials}")
        if self.backoff_cap < 1:
            raise ValueError(f"renewal.backoff_cap must be at least 1 ns, not {self.backoff_cap}")
        if not 0 <= self.jitter <= 100:
            raise ValueError(f"renewal.jitter must be from 0 to 100 percent, not {self.jitter}")


class SessionConfig(Struct, frozen=True, kw_only=True):
    """What a `Session` is told.

    ``view``: whose names ``event.type`` shows, whichever of them came: ``ga``, or ``beta`` for programs that were
    written for those.
    ``dialect``: what the peer is spoken to in. ``auto`` is, for a client, what ``session.created`` shows (GA before
    it), and for a server, what its client asked for in the handshake, else GA; a server of ``ga`` tells who asks
    for the beta that it is retired. What is *heard* may be any, always.
    ``transport``: over ``webrtc`` and ``sideband`` the server delivers the audio, so a client plays and truncates
    nothing, and knows ``output_audio_buffer.*``; over ``sideband`` no ``session.created`` is expected.
    ``strict``: a deviation of the peer ends the socket in place of a `Report`.
    ``decode_audio``: False gives `Deliver` alone, without `PlayAudio`.
    ``on_speech``: what ``speech_started`` does to unheard audio: ``session`` cuts it where the session's
    ``interrupt_response`` is true, ``cut`` always, ``ignore`` never.
    ``playback``: who says what was heard: the ``device``, by `audio_played` and `audio_stopped`; or the ``clock``,
    which takes audio to sound in real time from its `PlayAudio` on, for players that report nothing (R-B7).
    ``unheard``: an item of which nothing was heard is truncated to 0 ms, or deleted.
    ``dials``: how often the first socket is dialled at most, 1 or more.
    ``renewal`` (client): what follows a socket that ends, or a session that expires.
    ``session_type`` (client): what the endpoint serves, for as long as ``session.created`` has not said it.
    ``session`` (server): the session that a new connection gets, as JSON; merged over the documented defaults.
    ``models`` (server): the models that a handshake may name; without any, whatever it names becomes the session's.
    ``retain_input_audio`` (server): keep the client's audio, for `InputCommitted` and for who retrieves its item.
    ``retain_output_audio`` (server): keep generated audio for who retrieves its item.
    ``unix_expiry_s`` (server): a session's length, announced in ``expires_at`` and kept (R-S7) when wall time is given.
    ``rate_limits`` (server): what `rate_limits.updated` tells after each response until the application knows better;
    without any, nothing is told (R-S8).
    ``idle_nudge`` (server): the system message before a silence that was committed by the idle timeout; empty for none.
    ``stepper``: ``compiled`` steps the compiled tables, ``transitions`` the machines that they were compiled from.
    """

    view: View = "ga"
    dialect: DialectChoice = "auto"
    transport: Transport = "websocket"
    strict: bool = False
    decode_audio: bool = True
    on_speech: OnSpeech = "session"
    playback: Playback = "device"
    unheard: Unheard = "truncate"
    arbiter: ArbiterPolicy = ArbiterPolicy()
    limits: Limits = Limits()
    timers: Durations = Durations()
    dials: int = 1
    session_type: SessionType = "realtime"
    renewal: RenewalPolicy = RenewalPolicy()
    session: Mapping[str, object] | None = None
    retain_input_audio: bool = False
    retain_output_audio: bool = False
    unix_expiry_s: int = TIMERS["expiry"].default_ms // 1000
    models: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    idle_nudge: str = (
        "The user has said nothing for a while. Invite them, in one short sentence, to go on, or ask if they are there."
    )
    stepper: Stepper = "compiled"

    def __post_init__(self) -> None:
        if self.dials < 1:
            raise ValueError(f"dials must be at least 1, not {self.dials}")
        if self.unix_expiry_s < 1:
            raise ValueError(f"unix_expiry_s must be at least 1, not {self.unix_expiry_s}")
        _check_choice("view", self.view, View)
        _check_choice("dialect", self.dialect, DialectChoice)
        _check_choice("transport", self.transport, Transport)
        _check_choice("on_speech", self.on_speech, OnSpeech)
        _check_choice("playback", self.playback, Playback)
        _check_choice("unheard", self.unheard, Unheard)
        _check_choice("session_type", self.session_type, SessionType)
        _check_choice("stepper", self.stepper, Stepper)


class ConnectionConfig(Struct, frozen=True, kw_only=True):
    """What a `Connection` is told: where to (a client needs ``endpoint``), and its session."""

    endpoint: Endpoint | None = None
    session: SessionConfig = SessionConfig()
