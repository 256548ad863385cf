"""The bytes-level engine: a `Wire` and a `Session`, and what only both together can do.

A `Connection` speaks bytes where its session speaks messages; everything else is the session's, under the same names.
Its own are the handshake, PING and PONG, and the closing handshake; their states are rows of
``spec/machines/link.toml`` and their deadlines timers of the session, so that there is one `deadline`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec

from antiphon.engine import inputs
from antiphon.engine.actions import (
    Action,
    Actions,
    Closed,
    CloseTransport,
    Disconnected,
    HandshakeReceived,
    Headers,
    Transmit,
    TransmitMessage,
)
from antiphon.engine.config import ConnectionConfig, Role
from antiphon.engine.conversation import Conversation
from antiphon.engine.dialects import asked_for
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.link import LINK, End
from antiphon.engine.session import Buffer, Entropy, Session, session_of, timed_out
from antiphon.engine.timers import Instant, Timer
from antiphon.engine.wire import Wire
from antiphon.engine.wire_events import (
    BinaryReceived,
    CloseReceived,
    HandshakeAccepted,
    HandshakeRejected,
    HandshakeRequest,
    PingReceived,
    PongReceived,
    WireEvent,
    WireFault,
)
from antiphon.messages import ErrorDetail

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession
    from antiphon.engine.content import Content, TranscriptionResult
    from antiphon.engine.records import ResponseRecord
    from antiphon.engine.server import ServerSession
    from antiphon.engine.snapshot import Snapshot
    from antiphon.messages import ClientEvent, ServerEvent, UnknownEvent

_CODE = re.compile(r"[a-z_.]{1,64}\Z")
_CODE_OF_STATUS: Final = {401: "invalid_api_key", 404: "not_found"}


class Connection:
    """One end of a realtime conversation, at the level of bytes.

    ``entropy`` is always needed: a client masks its frames with it, a server makes ids. ``now`` is nanoseconds of one
    monotonic clock. The methods are those of `Session`, with bytes in place of messages.
    """

    __slots__ = ("_entropy", "_last_received", "_pinged", "_query", "_wire", "config", "session")

    def __init__(self, role: Role, config: ConnectionConfig, *, now: Instant, entropy: Entropy) -> None:
        if role == Role.CLIENT and config.endpoint is None:
            raise ValueError("a client needs config.endpoint: where to, and as whom")
        self.config = config
        self.session: Session = session_of(Role(role), config.session, now=now, entropy=entropy, speaks_bytes=True)
        self._entropy = entropy
        self._wire: Wire | None = None
        self._last_received = now
        self._pinged = now
        self._query = ""

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def role(self) -> Role:
        """Which end this is."""
        return self.session.role

    @property
    def deadline(self) -> Instant | None:
        """When `tick` must be called at the latest, ns; None when nothing is pending."""
        return self.session.timers.deadline

    @property
    def next_timer(self) -> tuple[Timer, Instant] | None:
        """The same with the reason."""
        return self.session.next_timer

    @property
    def closed(self) -> Closed | None:
        """The engine's end, None before it."""
        return self.session.closed

    @property
    def reads(self) -> bool:
        """Whether what the peer sends is read: there is a socket, and neither a CLOSE, a refusal nor a fault came."""
        return self._wire is not None and self._wire.reads

    @property
    def generation(self) -> int:
        """How many sockets this engine has had or asked for."""
        return self.session.generation

    @property
    def client(self) -> ClientSession:
        """The session, as the client's that it is: for its usage, rate limits, playback, calls. Raises `TypeError` on a
        server's connection."""
        if self.role is not Role.CLIENT:
            raise TypeError("this is a server's connection: its session is `server`")
        return cast("ClientSession", self.session)

    @property
    def server(self) -> ServerSession:
        """The same for a server's. Raises `TypeError` on a client's connection."""
        if self.role is not Role.SERVER:
            raise TypeError("this is a client's connection: its session is `client`")
        return cast("ServerSession", self.session)

    @property
    def conversation(self) -> Conversation:
        """The session's conversation."""
        return self.session.conversation

    @property
    def responses(self) -> Mapping[str, ResponseRecord]:
        """The session's responses by id: those in progress, and the newest that ended."""
        return self.session.responses

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, now: Instant) -> Actions:
        """As `Session.start`."""
        return self._told(self.session.start(now))

    def opened(self, now: Instant, *, unix_ns: int | None = None, headers: Headers = ()) -> Actions:
        """TCP (and TLS) are there: a client sends its handshake. ``headers`` replace those of the endpoint, for this
        dial: credentials may be fresh. Raises `LocalProtocolError` while another socket is open, or for bad headers."""
        session = self.session
        if session.closed is not None:
            return ()
        limits = self.config.session.limits
        wire = Wire(
            session.role,
            entropy=self._entropy,
            max_message=limits.message_bytes,
            max_fragments=limits.fragments,
            max_head=limits.http_head_bytes,
        )
        if "internal.opened" not in LINK.cells[session.link.state] or now < session.now:
            return session.opened(now)  # it refuses, and nothing has changed
        request = b""
        if session.role is Role.CLIENT and self.config.endpoint is not None:
            try:
                request = wire.request(self.config.endpoint, headers)
            except ValueError as error:
                raise LocalProtocolError(str(error), rule="R-L5") from None
            session.meant(self.config.endpoint.with_headers(headers).dialect)
        out = list(self._told(session.opened(now, unix_ns=unix_ns)))
        self._wire = wire
        self._last_received = now
        if request:
            out.append(Transmit(request))
        return tuple(out)

    def accept(self, now: Instant, *, subprotocol: str | None = None, headers: Headers = ()) -> Actions:
        """Server: answer `HandshakeReceived`. Raises `LocalProtocolError` if none waits, or it cannot be said.

        The session is of the kind and the model that the query asks for; one for a model that is none of
        ``config.session.models`` is refused with 404 (R-S11).
        """
        wire = self._waiting(now)
        refused = self.session.problem_with_query(self._query)
        if refused is not None:
            return self._reject_for(now, 404, refused.detail(None))
        try:
            response, events = wire.accept(subprotocol=subprotocol, headers=headers)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-L5") from None
        session = self.session
        session.accept_query(self._query)
        session.enter(now)
        session.act(Transmit(response))
        session.step(LINK, session.link, "internal.upgraded", None)
        out = list(self._told(session.leave()))
        self._take(events, now, out)
        return tuple(out)

    def reject(self, now: Instant, status: int, headers: Headers = (), body: bytes = b"") -> Actions:
        """Server: refuse the handshake with an HTTP status from 300 to 599. Raises as `accept`."""
        wire = self._waiting(now)
        try:
            response = wire.reject(status, headers, body)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-L5") from None
        fault = Fault("handshake", f"the handshake was refused with {status}", "R-L5", status=status)
        return self._end_handshake(now, response, fault)

    def refuse(self, now: Instant, status: int, message: str) -> Actions:
        """Server: `reject` with ``message`` in the body that clients of the API look into."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return self._reject_for(
            now, status, ErrorDetail(type=kind, code=_CODE_OF_STATUS.get(status), message=message, param=None)
        )

    def _reject_for(self, now: Instant, status: int, error: ErrorDetail) -> Actions:
        body = msgspec.json.encode({"error": error})
        return self.reject(now, status, (("Content-Type", "application/json"),), body)

    def _waiting(self, now: Instant) -> Wire:
        self.session.command_at(now)
        if self._wire is None or self.session.link.state != "handshaking":
            raise LocalProtocolError("no handshake waits for an answer", rule="R-L5")
        return self._wire

    def _end_handshake(self, now: Instant, response: bytes, fault: Fault) -> Actions:
        session = self.session
        session.enter(now)
        if response:
            session.act(Transmit(response))
        session.act(CloseTransport(1000, ""))
        session.step(LINK, session.link, "internal.fault", End(None, "", fault))
        return self._told(session.leave())

    def receive_data(self, data: Buffer, now: Instant) -> Actions:
        """Bytes of the peer, cut anywhere. Empty data is nothing, not the end: that is `receive_eof`."""
        session, wire = self.session, self._wire
        if session.closed is not None or wire is None or not data:
            return ()
        if now < session.now:
            session.enter(now)  # raises
        session.now = self._last_received = now
        out: list[Action] = []
        self._take(wire.receive(data), now, out)
        return tuple(out)

    def receive_eof(self, now: Instant, code: int | None = None, reason: str = "") -> Actions:
        """The socket's stream ended, after a closing handshake or without one; ``code`` is for a driver that knows."""
        session, wire = self.session, self._wire
        if session.closed is not None:
            return ()
        session.enter(now)
        out: list[Action] = []
        if wire is not None:
            self._take(wire.receive_eof(), now, out)
        if session.link.state == "handshaking":
            fault = Fault("handshake", "the peer ended the socket before the handshake was complete", "R-L5")
            out += self._told(session.transport_failed(fault, now))
        else:
            out += self._told(session.receive_eof(now, code, reason))
        return tuple(out)

    def transport_failed(self, fault: Fault, now: Instant) -> Actions:
        """As `Session.transport_failed`."""
        return self._told(self.session.transport_failed(fault, now))

    def close(self, now: Instant, code: int = 1000, reason: str = "") -> Actions:
        """As `Session.close`; a handshake that is under way is given up."""
        session = self.session
        prelude: Actions = ()
        if session.link.state == "handshaking":
            prelude = (CloseTransport(1006, "", abort=True),)
        return prelude + self._told(session.close(now, code, reason))

    def tick(self, now: Instant) -> Actions:
        """Fire the timers that are due; as `Session.tick`."""
        session = self.session
        if session.closed is not None:
            return ()
        session.enter(now)
        while session.closed is None and (timer := session.timers.due(now)) is not None:
            if timer is Timer.PING or timer is Timer.PONG:
                self._probe(timer, now)
            else:
                session.fire(timer)
        return self._told(session.leave())

    def _probe(self, timer: Timer, now: Instant) -> None:
        """Keep-alive (R-L9). Bytes do not move a timer, they are remembered: here it shows whether any came."""
        session, wire = self.session, self._wire
        durations = self.config.session.timers
        quiet_for = now - self._last_received
        # A tick may be late, so after a PING the question is whether anything came since, not how long ago.
        alive = quiet_for < durations.ping if timer is Timer.PING else self._last_received >= self._pinged
        if alive:
            session.timers.arm(Timer.PING, self._last_received + max(durations.ping, quiet_for + 1))
        elif timer is Timer.PING:
            self._pinged = now
            session.step(LINK, session.link, "timer.ping", None)
            assert wire is not None  # the link is open
            session.act(Transmit(wire.ping()))
        else:
            session.step(LINK, session.link, "timer.pong", timed_out(timer))

    # -- messages ------------------------------------------------------------------------------------------------------

    def receive_event(self, event: ServerEvent | ClientEvent, now: Instant) -> Actions:
        """As `Session.receive_event`: for tests and tools that inject an event."""
        return self._told(self.session.receive_event(event, now))

    def identify(self, event: ClientEvent) -> ClientEvent:
        """As `Session.identify`."""
        return self.session.identify(event)

    def send(
        self, event: ClientEvent | ServerEvent | UnknownEvent, now: Instant, *, override: Collection[str] = ()
    ) -> Actions:
        """As `Session.send`."""
        return self._told(self.session.send(event, now, override=override))

    def append_audio(self, pcm: Buffer, now: Instant) -> Actions:
        """As `Session.append_audio`."""
        return self._told(self.session.append_audio(pcm, now))

    def audio_played(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        """As `Session.audio_played`."""
        return self._told(self.session.audio_played(item_id, content_index, samples, now))

    def audio_stopped(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        """As `Session.audio_stopped`."""
        return self._told(self.session.audio_stopped(item_id, content_index, samples, now))

    def interrupt(self, now: Instant) -> Actions:
        """As `Session.interrupt`."""
        return self._told(self.session.interrupt(now))

    def generate(self, content: Content, now: Instant) -> Actions:
        """As `Session.generate`."""
        return self._told(self.session.generate(content, now))

    def speech_started(self, audio_start_ms: int, now: Instant) -> Actions:
        """As `Session.speech_started`."""
        return self._told(self.session.speech_started(audio_start_ms, now))

    def speech_stopped(self, audio_end_ms: int, now: Instant) -> Actions:
        """As `Session.speech_stopped`."""
        return self._told(self.session.speech_stopped(audio_end_ms, now))

    def transcribed(self, item_id: str, content_index: int, result: TranscriptionResult, now: Instant) -> Actions:
        """As `Session.transcribed`."""
        return self._told(self.session.transcribed(item_id, content_index, result, now))

    # -- as data -------------------------------------------------------------------------------------------------------

    def handle(self, input: inputs.Input, now: Instant) -> Actions:
        """The named methods as data (L11). Raises what they raise; TypeError for an input of the message level."""
        method = _METHODS.get(type(input))
        if method is None:
            raise TypeError(f"a Connection takes no {type(input).__name__}; a Session does")
        return method(self, input, now)

    def snapshot(self, now: Instant) -> Snapshot:
        """The session's snapshot; a socket cannot be kept."""
        return self.session.snapshot(now)

    @classmethod
    def restore(cls, snapshot: Snapshot, config: ConnectionConfig, *, now: Instant, entropy: Entropy) -> Self:
        """A connection with the session of ``snapshot`` and no socket: `start` dials. What was under way ended with the
        old socket; its outcomes come with the actions of the first call. Raises `SnapshotError` for one that does not
        fit.
        """
        session = Session.restore(snapshot, config.session, now=now, entropy=entropy)
        connection = cls(session.role, config, now=now, entropy=entropy)
        session.link.speaks_bytes = True
        session.step(LINK, session.link, "internal.restored", None)
        connection.session = session
        return connection

    # -- inside --------------------------------------------------------------------------------------------------------

    def _take(self, events: list[WireEvent], now: Instant, out: list[Action]) -> None:
        """What the wire read, in order."""
        session = self.session
        for event in events:
            if event.__class__ is bytes:
                for action in session.receive_message(event, now):
                    if action.__class__ in _OF_THE_MESSAGE_LEVEL:
                        out += self._told((action,))
                    else:
                        out.append(action)
            else:
                out += self._told(self._control(event, now))

    def _control(self, event: WireEvent, now: Instant) -> Actions:
        """Everything but a text message."""
        session, wire = self.session, self._wire
        assert wire is not None  # it gave the event
        session.enter(now)
        if isinstance(event, PingReceived):
            if not wire.close_sent:
                session.act(Transmit(wire.pong(event.data)))
        elif isinstance(event, PongReceived):
            pass  # the bytes were the sign of life
        elif isinstance(event, CloseReceived):
            if session.link.state == "open":
                session.step(LINK, session.link, "internal.peer_close", session.end_of_socket(event.code, event.reason))
            if session.role is Role.SERVER:
                session.act(CloseTransport(event.code, ""))  # the server ends the TCP connection first (R-L8)
        elif isinstance(event, BinaryReceived):
            session.report("R-W4", None, f"a binary message of {event.size} bytes")
        elif isinstance(event, HandshakeAccepted):
            session.step(LINK, session.link, "internal.upgraded", None)
        elif isinstance(event, HandshakeRequest):
            session.meant(asked_for(event.headers, event.subprotocols))
            self._query = event.query
            session.act(HandshakeReceived(event.path, event.query, event.headers, event.subprotocols))
        elif isinstance(event, HandshakeRejected):
            return self._end_handshake(now, b"", _refusal(event))
        else:
            assert isinstance(event, WireFault)  # text does not come here, and there is nothing else
            fault = Fault("protocol", event.detail, event.rule, status=event.status or None)
            if session.link.state == "handshaking":
                fault = Fault("handshake", event.detail, event.rule, status=event.status or None)
                response = b""
                if session.role is Role.SERVER and event.status:
                    response = wire.reject(event.status)
                return self._end_handshake(now, response, fault)
            session.step(LINK, session.link, "internal.fault", End(event.code, event.rule, fault))
            if session.role is Role.SERVER:
                session.act(CloseTransport(event.code, ""))
        return session.leave()

    def _told(self, actions: Actions) -> Actions:
        """The session's actions, in bytes."""
        wire = self._wire
        for action in actions:
            if action.__class__ in _OF_THE_MESSAGE_LEVEL:
                break
        else:
            return actions
        out: list[Action] = []
        for action in actions:
            if isinstance(action, TransmitMessage):
                assert wire is not None  # the link is open
                out.append(Transmit(wire.text(action.text)))
            elif isinstance(action, CloseTransport) and not action.abort and wire is not None and wire.open:
                out.append(Transmit(wire.close(action.code, action.reason)))
            else:
                out.append(action)
            if isinstance(action, Disconnected):
                self._wire = wire = None
        return tuple(out)


def _refusal(event: HandshakeRejected) -> Fault:
    """A refused handshake. The body may echo a credential, so only its error code is told."""
    code: str | None = None
    try:
        body = msgspec.json.decode(event.body)
        error = body.get("error") if isinstance(body, dict) else None
        named = error.get("code") if isinstance(error, dict) else None
        code = named if isinstance(named, str) and _CODE.match(named) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # many gateways answer in HTML
    message = f"the server refused the handshake with HTTP status {event.status}" + (f" ({code})" if code else "")
    return Fault("handshake", message, "R-L5", status=event.status, code=code)


_OF_THE_MESSAGE_LEVEL = frozenset({TransmitMessage, CloseTransport, Disconnected})

_METHODS: dict[type[object], Callable[[Connection, Any, Instant], Actions]] = {
    inputs.Start: lambda connection, input, now: connection.start(now),
    inputs.Opened: lambda connection, input, now: connection.opened(now, unix_ns=input.unix_ns, headers=input.headers),
    inputs.EofReceived: lambda connection, input, now: connection.receive_eof(now, input.code, input.reason),
    inputs.TransportFailed: lambda connection, input, now: connection.transport_failed(input.fault, now),
    inputs.Close: lambda connection, input, now: connection.close(now, input.code, input.reason),
    inputs.Tick: lambda connection, input, now: connection.tick(now),
    inputs.DataReceived: lambda connection, input, now: connection.receive_data(input.data, now),
    inputs.Accept: lambda connection, input, now: connection.accept(
        now, subprotocol=input.subprotocol, headers=input.headers
    ),
    inputs.Reject: lambda connection, input, now: connection.reject(now, input.status, input.headers, input.body),
    inputs.EventReceived: lambda connection, input, now: connection.receive_event(input.event, now),
    inputs.Send: lambda connection, input, now: connection.send(input.event, now, override=input.override),
    inputs.AppendAudio: lambda connection, input, now: connection.append_audio(input.pcm, now),
    inputs.AudioPlayed: lambda connection, input, now: connection.audio_played(
        input.item_id, input.content_index, input.samples, now
    ),
    inputs.AudioStopped: lambda connection, input, now: connection.audio_stopped(
        input.item_id, input.content_index, input.samples, now
    ),
    inputs.Interrupt: lambda connection, input, now: connection.interrupt(now),
    inputs.Generate: lambda connection, input, now: connection.generate(input.content, now),
    inputs.SpeechStarted: lambda connection, input, now: connection.speech_started(input.audio_start_ms, now),
    inputs.SpeechStopped: lambda connection, input, now: connection.speech_stopped(input.audio_end_ms, now),
    inputs.Transcribed: lambda connection, input, now: connection.transcribed(
        input.item_id, input.content_index, input.result, now
    ),
}
