"""WebSocket for one socket: bytes in, events out; messages in, bytes out. Pure.

A `Wire` knows the opening handshake and frames (RFC 6455), and nothing else: no clock, no keep-alive, no session, no
policy. It never answers by itself. Each PING and each CLOSE is one event, and whoever drives the wire writes `pong`
or `close` at the place of that event, so the order of what goes out does not depend on how the bytes were cut on
their way in.

How the bytes are read
----------------------
HTTP heads are found and bounded here (`antiphon.engine.handshake` reads them). Then the stream is cut into frames. A
plain text message in one frame, which is nearly everything a Realtime session says, is sliced out as it stands. Every
other frame goes, whole, through the sans-IO protocol of the ``websockets`` package, which knows the rules: fragments,
control frames, closing, and all that is broken. Both ways agree (``tests/unit/test_wire_library.py`` reads the same
streams with the library alone); the short one costs a fifth.

What is used of ``websockets``
------------------------------
Documented: ``ClientProtocol``, ``ServerProtocol`` and their ``receive_data``, ``receive_eof``, ``events_received``,
``data_to_send``, ``send_response``, ``send_close``, ``state``, ``handshake_exc``; ``Request``, ``Response``,
``Headers``, ``Frame``, ``Opcode``; the exceptions.

Beyond its documentation, and pinned on 15.0, 16 and the newest by ``tests/unit/test_wire_library.py``:

* ``Protocol.send_frame(frame)`` is overridden: its own writes (PONG, the echo of CLOSE, the CLOSE of a failure) draw
  masks from ``secrets``; ours are written by the caller, at the place of the event.
* The constructors are bound to other globals (`_rebound`): they draw a uuid for logs and a key that nobody uses; ours
  see constants. If a release draws elsewhere, this does nothing, harmlessly.
* ``protocol.parser_exc``: why reading failed; its good events come first. ``protocol.close_rcvd``: code and reason of
  the CLOSE that was read. ``protocol.key``: the nonce, from the given entropy.
* ``ServerProtocol.process_request(request)`` checks a request and computes ``Sec-WebSocket-Accept``. ``accept`` does
  the same, but reads the clock for a Date header.
* ``headers.parse_subprotocol(value)``: the list grammar of ``Sec-WebSocket-Protocol``.
* ``speedups.apply_mask``, else ``utils.apply_mask``: masks in C where there is a wheel.
* ``Protocol.fail`` before the socket is open leaves the protocol unusable: nothing is fed to it that could lead there.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Sequence
from enum import Enum, auto
from http import HTTPStatus
from types import FunctionType, SimpleNamespace
from typing import Final, cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers as HeaderMap
from websockets.exceptions import InvalidHandshake, InvalidHeader, InvalidUpgrade, PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.headers import parse_subprotocol
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.typing import LoggerLike, Subprotocol
from websockets.uri import WebSocketURI

from antiphon.engine.endpoint import Endpoint, check_headers
from antiphon.engine.handshake import (
    HEAD_END,
    REJECTION_BODY,
    Rejection,
    parse_headers,
    parse_status,
    request_problem,
    write_request,
)
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

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel with the C extension for this platform
    from websockets.utils import apply_mask

__all__ = [
    "REJECTION_BODY",
    "BinaryReceived",
    "CloseReceived",
    "HandshakeAccepted",
    "HandshakeRejected",
    "HandshakeRequest",
    "PingReceived",
    "PongReceived",
    "Wire",
    "WireEvent",
    "WireFault",
]

# -- the library, held still -----------------------------------------------------------------------------------------


class _NullLogger:
    """A logger that is off. The package would otherwise look one up, and the engine logs nothing."""

    def isEnabledFor(self, level: int) -> bool:
        return False

    def debug(self, message: str, *values: object, **options: object) -> None:
        """Never called while `isEnabledFor` says no."""

    info = warning = error = debug


_LOGGER: Final = cast(LoggerLike, _NullLogger())  # duck-typed there; the type names the classes of the standard library


def _rebound(initialiser: Callable[..., None], **names: object) -> Callable[..., None]:
    """A copy of a constructor of the library whose module has other ``names``; the module itself is not touched.

    The constructors draw entropy (a uuid for logs, a nonce that is replaced), and offer no argument against it.
    """
    original = cast(FunctionType, initialiser)
    namespace = {**original.__globals__, **names}
    copy = FunctionType(original.__code__, namespace, original.__name__, original.__defaults__, original.__closure__)
    copy.__kwdefaults__ = original.__kwdefaults__
    return copy


_init_protocol: Final = _rebound(Protocol.__init__, uuid=SimpleNamespace(uuid4=lambda: None))
_init_client: Final = _rebound(ClientProtocol.__init__, generate_key=lambda: "")


class _Silent(Protocol):
    """Stands between the library's two protocols and their base: draws no entropy and writes no frames."""

    def __init__(self, *args: object, **options: object) -> None:
        _init_protocol(self, *args, **options)

    def send_frame(self, frame: Frame) -> None:
        """Drop it: frames are serialised by `Wire`."""


class _ClientSide(ClientProtocol, _Silent):
    def __init__(self, endpoint: Endpoint, key: str, max_message: int) -> None:
        uri = WebSocketURI(endpoint.secure, endpoint.host, endpoint.port, endpoint.path, endpoint.query)
        offered = [Subprotocol(name) for name in endpoint.subprotocols] or None
        _init_client(self, uri, subprotocols=offered, max_size=max_message, logger=_LOGGER)
        self.key = key


class _ServerSide(ServerProtocol, _Silent):
    pass


# -- frames ----------------------------------------------------------------------------------------------------------

_FIN_TEXT: Final = 0x80 | Opcode.TEXT
_FIN_CLOSE: Final = 0x80 | Opcode.CLOSE
_FIN_PING: Final = 0x80 | Opcode.PING
_FIN_PONG: Final = 0x80 | Opcode.PONG
_MASKED: Final = 0x80
_OPCODES: Final = frozenset(int(opcode) for opcode in Opcode)
_pack_head = struct.Struct("!BB").pack
_pack_head_16 = struct.Struct("!BBH").pack
_pack_head_64 = struct.Struct("!BBQ").pack
_pack_code = struct.Struct("!H").pack
_CONTROL: Final = 125  # bytes in a control frame, RFC 6455 §5.5

# Codes that may stand in a frame (RFC 6455 §7.4, IANA); 1005, 1006 and 1015 are for reporting only.
_SENDABLE: Final = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))


class _Phase(Enum):
    IDLE = auto()  # client: the request was not made
    HEAD = auto()  # an HTTP head is awaited
    WAITING = auto()  # server: the request was handed out and is not answered
    REFUSED = auto()  # server: a bad request, which may be answered with `reject`
    BODY = auto()  # client: the body of a refusal is awaited
    OPEN = auto()  # frames
    OVER = auto()  # nothing more is read


_OPEN: Final = _Phase.OPEN  # a global, looked up faster than an attribute of the class


class Wire:
    """One socket's life at the WebSocket level, for either role.

    ``role``: "client" or "server" (a `Role` is one of these strings) · ``entropy(n)``: n unpredictable bytes, for the
    nonce of the handshake (16) and the mask of each frame of a client (4); a server draws none · ``max_message``:
    bytes of one message, checked before it is buffered · ``max_fragments``: frames of one message · ``max_head``:
    bytes of an HTTP head.

    Raises `ValueError` for another role or a bound below 1.
    """

    __slots__ = (
        "_accept_key",
        "_begun",
        "_buffer",
        "_client",
        "_close_sent",
        "_ended",
        "_entropy",
        "_fragments",
        "_joined",
        "_mask_bit",
        "_max_fragments",
        "_max_head",
        "_max_message",
        "_offered",
        "_owed",
        "_phase",
        "_protocol",
        "_rejection",
        "_size",
    )

    def __init__(
        self, role: str, *, entropy: Callable[[int], bytes], max_message: int, max_fragments: int, max_head: int
    ) -> None:
        if role not in ("client", "server"):
            raise ValueError("a wire is a client's or a server's")
        if min(max_message, max_fragments, max_head) < 1:
            raise ValueError("every bound of a wire is at least 1")
        self._client = role == "client"
        self._entropy = entropy
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._max_head = max_head
        self._mask_bit = 0 if self._client else _MASKED  # of the frames that are read
        self._protocol: _ClientSide | _ServerSide | None = None
        self._phase = _Phase.IDLE
        if not self._client:
            self._protocol = _ServerSide(max_size=max_message, logger=_LOGGER)
            self._phase = _Phase.HEAD
        self._begun = False  # the handshake was completed
        self._close_sent = False
        self._ended = False  # EOF was seen
        self._accept_key = ""
        self._offered: tuple[str, ...] = ()
        self._rejection: Rejection | None = None
        self._buffer = bytearray()  # a partial HTTP head; what waits for `accept`; a partial frame
        self._owed = 0  # bytes that the partial frame lacks at least
        self._fragments = 0  # frames of the fragmented message that is being read
        self._joined: bytearray | None = None  # its text; None when it is binary
        self._size = 0  # its bytes so far

    @property
    def open(self) -> bool:
        """Whether messages can be sent: the handshake is complete and no CLOSE was sent."""
        return self._begun and not self._close_sent

    @property
    def reads(self) -> bool:
        """Whether `receive` reads what it is given."""
        return self._phase not in (_Phase.IDLE, _Phase.REFUSED, _Phase.OVER)

    @property
    def close_sent(self) -> bool:
        """Whether a CLOSE frame was written."""
        return self._close_sent

    # -- the opening handshake -------------------------------------------------------------------------------------

    def request(self, endpoint: Endpoint, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """Client: the handshake's request. ``headers`` replace those of the endpoint with the same name.

        Raises `ValueError` when it was made before, on a server, and for headers that cannot be sent; no entropy is
        drawn then.
        """
        if self._phase is not _Phase.IDLE:
            raise ValueError("a client makes one request")
        if headers:
            endpoint = endpoint.with_headers(headers)
        key = b64encode(self._entropy(16)).decode("ascii")
        self._protocol = _ClientSide(endpoint, key, self._max_message)
        self._phase = _Phase.HEAD
        return write_request(endpoint, key)

    def accept(
        self, *, subprotocol: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[bytes, list[WireEvent]]:
        """Server: open the WebSocket. Returns the response, and the events of the bytes that came in meanwhile.

        Raises `ValueError` when no request waits, for a ``subprotocol`` that the client did not offer, and for
        headers that cannot be sent; the request then still waits.
        """
        protocol = self._protocol
        if self._phase is not _Phase.WAITING or not isinstance(protocol, _ServerSide):
            raise ValueError("no handshake waits for an answer")
        if subprotocol is not None and subprotocol not in self._offered:
            raise ValueError("the client did not offer this subprotocol")
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", self._accept_key)]
        if subprotocol is not None:
            fields.append(("Sec-WebSocket-Protocol", subprotocol))
        fields += check_headers(headers)
        protocol.send_response(Response(101, "Switching Protocols", HeaderMap(fields)))
        self._phase = _OPEN
        self._begun = True
        waiting = bytes(self._buffer)
        self._buffer.clear()
        events = self._read_frames(waiting)
        if self._ended:
            self._finish()
        return b"".join(protocol.data_to_send()), events

    def reject(self, status: int, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> bytes:
        """Server: refuse, with an HTTP ``status`` from 300 to 599; ``Connection`` and ``Content-Length`` are added.

        Also the answer to a `WireFault` of the handshake. Raises `ValueError` when there is nothing to answer, for
        another status, and for headers that cannot be sent; the request then still waits.
        """
        if self._phase is not _Phase.WAITING and self._phase is not _Phase.REFUSED:
            raise ValueError("no handshake waits for an answer")
        if not 300 <= status <= 599:
            raise ValueError("a handshake is refused with a status from 300 to 599")
        fields = [("Connection", "close"), ("Content-Length", str(len(body)))]
        fields += check_headers(headers)
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:  # a number that nobody registered is legal all the same
            phrase = ""
        self._stop()
        return Response(status, phrase, HeaderMap(fields), body).serialize()

    # -- what comes in ---------------------------------------------------------------------------------------------

    def receive(self, data: bytes | bytearray | memoryview) -> list[WireEvent]:
        """The events of these bytes, in order. Never raises: what the peer does wrong is the last event, a `WireFault`.

        Nothing is read before a client's `request`, and nothing after a `CloseReceived`, a fault, a refusal or the end.
        """
        if type(data) is not bytes:
            data = bytes(data)
        if self._phase is _OPEN:
            return self._read_frames(data)
        if self._ended:
            return []
        if self._phase is _Phase.HEAD:
            return self._read_head(data)
        if self._phase is _Phase.WAITING:
            return self._hold(data)
        if self._phase is _Phase.BODY:
            return self._read_body(data)
        return []

    def receive_eof(self) -> list[WireEvent]:
        """The peer will send no more. Returns the refusal whose body the stream's end completes or cuts, else nothing.

        A stream that ends early is no event of its own: the caller knows that it ended, and whether a `CloseReceived`
        came. A caller whose patience with a slow refusal has ended may call this too, to have what came of it. May be
        called again.
        """
        if self._ended:
            return []
        self._ended = True
        if self._phase is _Phase.WAITING:
            return []  # the peer has only closed its half: it may still be answered, and what it sent is read then
        return self._finish()

    def _finish(self) -> list[WireEvent]:
        events: list[WireEvent] = []
        if self._rejection is not None:
            events.append(self._rejected(self._rejection))
        if self._protocol is not None:
            self._protocol.receive_eof()
        self._stop()
        return events

    def _stop(self) -> None:
        """Read no more, and hold nothing."""
        self._phase = _Phase.OVER
        self._buffer = bytearray()
        self._joined = None
        self._rejection = None

    def _read_head(self, data: bytes) -> list[WireEvent]:
        buffer = self._buffer
        start = max(0, len(buffer) - len(HEAD_END) + 1)
        buffer += data
        end = buffer.find(HEAD_END, start, self._max_head)
        if end < 0:
            if len(buffer) < self._max_head:
                return []
            status = 0 if self._client else 431
            return [self._refuse("R-W3", f"an HTTP head of more than {self._max_head} bytes", status)]
        end += len(HEAD_END)
        head, rest = bytes(buffer[:end]), bytes(buffer[end:])
        buffer.clear()
        return self._read_response(head, rest) if self._client else self._read_request(head, rest)

    def _refuse(self, rule: str, detail: str, status: int) -> WireFault:
        """The handshake has failed; a server may still say so."""
        self._stop()
        if not self._client:
            self._phase = _Phase.REFUSED
        return WireFault(0, rule, detail, status)

    def _read_request(self, head: bytes, rest: bytes) -> list[WireEvent]:
        problem = request_problem(head)
        if problem is not None:
            return [self._refuse("R-W3", problem[1], problem[0])]
        protocol = self._protocol
        assert isinstance(protocol, _ServerSide)
        protocol.receive_data(head)
        request = next(iter(protocol.events_received()), None)
        if not isinstance(request, Request):
            return [self._refuse("R-W3", "a request with a body, or beyond a bound of its parser", 400)]
        try:
            self._accept_key = protocol.process_request(request)[0]
            offers = [parse_subprotocol(value) for value in request.headers.get_all("Sec-WebSocket-Protocol")]
        except InvalidUpgrade:
            return [self._refuse("R-L5", "the request does not ask for a WebSocket", 426)]
        except (InvalidHandshake, ValueError) as problem_found:
            return [self._refuse("R-L5", _handshake_detail(problem_found), 400)]
        self._offered = tuple(name for offer in offers for name in offer)
        path, _, query = request.path.partition("?")
        headers = parse_headers(head) or ()
        self._phase = _Phase.WAITING
        return [HandshakeRequest(path, query, headers, self._offered), *self._hold(rest)]

    def _hold(self, data: bytes) -> list[WireEvent]:
        """Keep what a client sends before it is answered (it should not); no more than one message of it."""
        self._buffer += data
        if len(self._buffer) <= self._max_message:
            return []
        return [self._refuse("R-W2", f"more than {self._max_message} bytes before the handshake's answer", 400)]

    def _read_response(self, head: bytes, rest: bytes) -> list[WireEvent]:
        status = parse_status(head)
        headers = parse_headers(head)
        if status is None or headers is None:
            return [self._refuse("R-W3", "the answer is no HTTP response", 0)]
        if status != 101:
            self._phase = _Phase.BODY
            self._rejection = Rejection(status, headers)
            return self._read_body(rest)
        protocol = self._protocol
        assert protocol is not None
        protocol.receive_data(head)
        protocol.events_received()
        if protocol.state is not State.OPEN:
            return [self._refuse("R-L5", _handshake_detail(protocol.handshake_exc), status)]
        self._phase = _OPEN
        self._begun = True
        return [HandshakeAccepted(protocol.subprotocol, headers), *self._read_frames(rest)]

    def _read_body(self, data: bytes) -> list[WireEvent]:
        rejection = self._rejection
        assert rejection is not None
        rejection.feed(data)
        return [self._rejected(rejection)] if rejection.whole else []

    def _rejected(self, rejection: Rejection) -> HandshakeRejected:
        self._stop()
        return HandshakeRejected(rejection.status, rejection.headers, bytes(rejection.body))

    def _read_frames(self, data: bytes) -> list[WireEvent]:
        """Cut ``data`` into frames. HOT: whole text messages are sliced out, every other frame is the library's."""
        events: list[WireEvent] = []
        buffer = self._buffer
        if buffer:
            if len(data) < self._owed:
                buffer += data
                self._owed -= len(data)
                return events
            data = b"".join((buffer, data))
            buffer.clear()
        size = len(data)
        mask_bit = self._mask_bit
        position = end = 0
        while size - position > 1:
            first = data[position]
            second = data[position + 1]
            length = second & 0x7F
            start = position + 2
            if length == 126:
                start += 2
                length = data[start - 2] << 8 | data[start - 1] if start <= size else 0
            elif length == 127:
                start += 8
                length = int.from_bytes(data[start - 8 : start], "big") if start <= size else 0
            if second & _MASKED:
                start += 4
            end = start + length
            in_order = second & _MASKED == mask_bit and length <= self._max_message - self._size
            if in_order and end <= size and first == _FIN_TEXT and not self._fragments:
                payload = data[start:end]
                events.append(apply_mask(payload, data[start - 4 : start]) if mask_bit else payload)
            elif in_order and end > size and first & 0x0F in _OPCODES:
                break
            else:  # whole, or so wrong that its header is enough for the library to say so
                self._feed(data[position:end], events)
                if self._phase is not _OPEN:
                    return events
            position = end
        if position < size:
            buffer += data[position:]
            self._owed = max(1, end - size)
        return events

    def _feed(self, data: bytes, events: list[WireEvent]) -> None:
        """Give the library a whole frame, or one that it refuses by its header, and take what comes of it."""
        protocol = self._protocol
        assert protocol is not None
        protocol.receive_data(data)
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            self._take_frame(frame, events)
        problem = protocol.parser_exc
        if problem is None:
            return
        if protocol.close_rcvd is not None:
            # A CLOSE amid a fragmented message. The library calls that an error; the standard does not forbid it, and
            # the peer's own code and reason say more.
            events.append(CloseReceived(int(protocol.close_rcvd.code), protocol.close_rcvd.reason))
        elif isinstance(problem, PayloadTooBig):
            events.append(WireFault(1009, "R-W2", f"a message of more than {self._max_message} bytes"))
        elif isinstance(problem, ProtocolError):
            events.append(WireFault(1002, "R-W1", str(problem)))
        elif isinstance(problem, UnicodeDecodeError):
            events.append(WireFault(1007, "R-E2", "the reason of a CLOSE is not UTF-8"))
        else:
            events.append(WireFault(1011, "R-W1", f"reading failed with {type(problem).__name__}"))
        self._stop()

    def _take_frame(self, frame: Frame, events: list[WireEvent]) -> None:
        opcode = frame.opcode
        if opcode is Opcode.PING:
            events.append(PingReceived(bytes(frame.data)))
        elif opcode is Opcode.PONG:
            events.append(PongReceived(bytes(frame.data)))
        elif opcode is Opcode.CLOSE:
            close = self._protocol.close_rcvd if self._protocol is not None else None
            assert close is not None
            events.append(CloseReceived(int(close.code), close.reason))
            self._stop()
        else:
            self._take_data(frame, events)

    def _take_data(self, frame: Frame, events: list[WireEvent]) -> None:
        if frame.opcode is not Opcode.CONT:
            self._joined = bytearray() if frame.opcode is Opcode.TEXT else None
        self._fragments += 1
        if self._fragments > self._max_fragments:
            events.append(WireFault(1009, "R-W2", f"a message in more than {self._max_fragments} frames"))
            self._stop()
            return
        self._size += len(frame.data)
        if self._joined is not None:
            self._joined += frame.data
        if frame.fin:
            events.append(BinaryReceived(self._size) if self._joined is None else bytes(self._joined))
            self._fragments = self._size = 0
            self._joined = None

    # -- what goes out ---------------------------------------------------------------------------------------------

    def text(self, payload: bytes) -> bytes:
        """``payload`` (UTF-8) as one text message. Raises `ValueError` before the wire is open and after `close`."""
        if not self._begun or self._close_sent:
            raise ValueError("the wire is not open")
        return self._frame(_FIN_TEXT, payload)

    def ping(self, data: bytes = b"") -> bytes:
        """A PING with up to 125 bytes. Raises `ValueError` for more, and before the wire is open."""
        return self._control(_FIN_PING, data)

    def pong(self, data: bytes) -> bytes:
        """A PONG with the bytes of its PING. Raises `ValueError` for more than 125, and before the wire is open."""
        return self._control(_FIN_PONG, data)

    def close(self, code: int = 1000, reason: str = "") -> bytes:
        """A CLOSE; b"" when none can be written: before the wire is open, or when one was written before.

        ``reason`` is cut to the 123 bytes that fit, at the boundary of a character. A ``code`` that may not stand in
        a frame (1005 and 1006, and whatever is none) makes a CLOSE without code and reason.
        """
        if not self._begun or self._close_sent:
            return b""
        payload = b""
        if code in _SENDABLE:
            whole = reason.encode("utf-8", "replace")
            payload = _pack_code(code) + whole[: _CONTROL - 2].decode("utf-8", "ignore").encode()
        data = self._frame(_FIN_CLOSE, payload)
        self._close_sent = True
        if self._protocol is not None and self._protocol.state is State.OPEN:
            self._protocol.send_close()  # writes nothing: it only learns that the closing handshake has begun
        return data

    def _control(self, head: int, data: bytes) -> bytes:
        if not self._begun:
            raise ValueError("the wire is not open")
        if len(data) > _CONTROL:
            raise ValueError(f"a control frame carries at most {_CONTROL} bytes")
        return self._frame(head, data)

    def _frame(self, head: int, payload: bytes) -> bytes:
        length = len(payload)
        mask_bit = self._mask_bit ^ _MASKED  # the peer reads what we do not, and the other way round
        if length < 126:
            start = _pack_head(head, mask_bit | length)
        elif length < 65536:
            start = _pack_head_16(head, mask_bit | 126, length)
        else:
            start = _pack_head_64(head, mask_bit | 127, length)
        if not mask_bit:
            return start + payload
        mask = self._entropy(4)
        return b"".join((start, mask, apply_mask(payload, mask)))


def _handshake_detail(problem: BaseException | None) -> str:
    """What was wrong, in words that repeat nothing of what the peer sent (it may echo a key)."""
    if isinstance(problem, InvalidHeader):
        return f"a missing or wrong header {problem.name}"
    return "an extension or subprotocol that was not offered, or a malformed head"
