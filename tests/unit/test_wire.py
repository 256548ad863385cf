"""The wire: handshake and frames, both roles, legal and hostile peers, any cut of the bytes."""

from __future__ import annotations

import hashlib
import itertools
import struct
from base64 import b64encode
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.endpoint import Endpoint
from antiphon.engine.wire import (
    REJECTION_BODY,
    BinaryReceived,
    CloseReceived,
    HandshakeAccepted,
    HandshakeRejected,
    HandshakeRequest,
    PingReceived,
    PongReceived,
    Wire,
    WireEvent,
    WireFault,
)

ENDPOINT = Endpoint.custom(
    "ws://example.org/v1/realtime?model=m", api_key="sk-secret", subprotocols=["realtime", "other"]
)
MAX_MESSAGE = 70_000
MAX_FRAGMENTS = 4
MAX_HEAD = 4096
MASK = b"\x01\x02\x03\x04"
NUL_KEY = b64encode(bytes(16)).decode()  # the nonce of `zeros`


def zeros(count: int) -> bytes:
    return bytes(count)


def counting() -> Callable[[int], bytes]:
    """Entropy that never repeats, so that reuse or a skipped draw shows."""
    numbers = itertools.count(1)
    return lambda count: next(numbers).to_bytes(count, "big")


def make(role: str, entropy: Callable[[int], bytes] = zeros) -> Wire:
    return Wire(role, entropy=entropy, max_message=MAX_MESSAGE, max_fragments=MAX_FRAGMENTS, max_head=MAX_HEAD)


def opened(role: str, entropy: Callable[[int], bytes] = zeros) -> Wire:
    client, server = make("client", entropy if role == "client" else zeros), make("server")
    server.receive(client.request(ENDPOINT))
    client.receive(server.accept()[0])
    return client if role == "client" else server


def mask(payload: bytes, key: bytes = MASK) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def frame(opcode: int, payload: bytes = b"", *, masked: bool, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame by the book, apart from the code under test."""
    length = len(payload)
    bit = 0x80 if masked else 0
    first = (0x80 if fin else 0) | rsv | opcode
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 65536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    return head + (MASK + mask(payload) if masked else payload)


def accept_value(key: str) -> str:
    return b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def response(**changes: str | None) -> bytes:
    """A 101 response to a request with `NUL_KEY`; headers are replaced or (None) left out, ``_`` stands for "-"."""
    fields: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_value(NUL_KEY),
    }
    fields.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(("HTTP/1.1 101 Switching Protocols", *lines, "", "")).encode()


def request(*lines: str, start: str = "GET /v1/realtime?model=m HTTP/1.1", key: str = NUL_KEY) -> bytes:
    own = ("Host: h", "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13")
    return "\r\n".join((start, *own, f"Sec-WebSocket-Key: {key}", *lines, "", "")).encode("latin-1")


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """``data`` in non-empty pieces, by ``sizes`` in turn."""
    pieces: list[bytes] = []
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(data):
            return pieces
        pieces.append(data[position : position + size])
        position += size
    return pieces


def receive_all(wire: Wire, pieces: Sequence[bytes]) -> list[WireEvent]:
    return [event for piece in pieces for event in wire.receive(piece)]


BOTH = pytest.mark.parametrize("role", ["client", "server"])


class TestRequest:
    def test_it_is_written_by_the_book(self) -> None:
        assert make("client").request(ENDPOINT).decode().split("\r\n") == [
            "GET /v1/realtime?model=m HTTP/1.1",
            "Host: example.org",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {NUL_KEY}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: realtime, other",
            "Authorization: Bearer sk-secret",
            "",
            "",
        ]

    def test_the_nonce_is_sixteen_bytes_of_the_given_entropy(self) -> None:
        drawn: list[int] = []

        def entropy(count: int) -> bytes:
            drawn.append(count)
            return b"\xff" * count

        assert b64encode(b"\xff" * 16) in make("client", entropy).request(ENDPOINT)
        assert drawn == [16]

    def test_fresh_headers_replace_those_of_the_endpoint(self) -> None:
        written = make("client").request(ENDPOINT, [("authorization", "Bearer fresh")])
        assert b"authorization: Bearer fresh\r\n" in written
        assert b"sk-secret" not in written

    def test_bad_headers_are_refused_before_anything_is_drawn(self) -> None:
        entropy = counting()
        wire = make("client", entropy)
        with pytest.raises(ValueError, match="cannot stand"):
            wire.request(ENDPOINT, [("X", "a\r\nb")])
        assert entropy(1) == b"\x01"
        assert wire.request(ENDPOINT)

    def test_without_subprotocols_none_are_offered(self) -> None:
        assert b"Sec-WebSocket-Protocol" not in make("client").request(Endpoint.custom("ws://h"))

    def test_there_is_one(self) -> None:
        wire = make("client")
        wire.request(ENDPOINT)
        with pytest.raises(ValueError, match="one request"):
            wire.request(ENDPOINT)

    def test_a_server_makes_none(self) -> None:
        with pytest.raises(ValueError, match="one request"):
            make("server").request(ENDPOINT)

    def test_nothing_is_read_before_it(self) -> None:
        wire = make("client")
        assert wire.receive(b"early") == []
        wire.request(ENDPOINT)
        assert isinstance(wire.receive(response())[0], HandshakeAccepted)

    def test_a_stream_may_end_before_it(self) -> None:
        wire = make("client")
        assert (wire.receive_eof(), wire.receive(b"x"), wire.open) == ([], [], False)


class TestResponse:
    def asked(self) -> Wire:
        wire = make("client")
        wire.request(ENDPOINT)
        return wire

    def test_101_opens(self) -> None:
        wire = self.asked()
        assert not wire.open
        (event,) = wire.receive(response(Sec_WebSocket_Protocol=None, X_Request_Id="r1"))
        assert isinstance(event, HandshakeAccepted)
        assert (event.subprotocol, ("X-Request-Id", "r1") in event.headers) == (None, True)
        assert wire.open

    def test_the_subprotocol_is_told(self) -> None:
        (event,) = self.asked().receive(response(**{"Sec-WebSocket-Protocol": "other"}))
        assert isinstance(event, HandshakeAccepted)
        assert event.subprotocol == "other"

    def test_frames_behind_the_head_are_read(self) -> None:
        events = self.asked().receive(response() + frame(1, b"{}", masked=False))
        assert events[1:] == [b"{}"]

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"Sec-WebSocket-Accept": accept_value("another")}, "Sec-WebSocket-Accept"),
            ({"Sec-WebSocket-Accept": None}, "Sec-WebSocket-Accept"),
            ({"Upgrade": "h2c"}, "Upgrade"),
            ({"Connection": "close"}, "Connection"),
            ({"Sec-WebSocket-Protocol": "unoffered"}, "not offered"),
            ({"Sec-WebSocket-Extensions": "permessage-deflate"}, "not offered"),
        ],
    )
    def test_a_101_that_does_not_answer_the_request_is_a_fault(self, changes: dict[str, str | None], word: str) -> None:
        wire = self.asked()
        (fault,) = wire.receive(response(**changes) + frame(1, b"{}", masked=False))
        assert isinstance(fault, WireFault)
        assert (fault.code, fault.rule, fault.status) == (0, "R-L5", 101)
        assert word in fault.detail
        assert (wire.open, wire.receive(b"more")) == (False, [])

    def test_a_fault_repeats_no_subprotocol(self) -> None:
        (fault,) = self.asked().receive(response(**{"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.sk"}))
        assert isinstance(fault, WireFault)
        assert "sk" not in fault.detail

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/2 101 x\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02\x46\r\n\r\n",
            b"\r\n\r\n",
            b"HTTP/1.1 401 No\r\nno colon\r\n\r\n",
            b"HTTP/1.1 401 No\r\nA: b\r\n folded\r\n\r\n",
            b"HTTP/1.1 401 No\r\nA: b\nB: c\r\n\r\n",
        ],
    )
    def test_what_is_no_http_is_a_fault(self, head: bytes) -> None:
        (fault,) = self.asked().receive(head)
        assert isinstance(fault, WireFault)
        assert (fault.code, fault.rule, fault.status) == (0, "R-W3", 0)

    def test_a_head_without_end_is_a_fault(self) -> None:
        wire = self.asked()
        assert wire.receive(b"x" * (MAX_HEAD - 1)) == []
        (fault,) = wire.receive(b"x")
        assert isinstance(fault, WireFault)
        assert (fault.code, fault.rule) == (0, "R-W3")


class TestRejected:
    def asked(self) -> Wire:
        wire = make("client")
        wire.request(ENDPOINT)
        return wire

    def test_status_headers_and_body_are_told(self) -> None:
        events = self.asked().receive(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhelloignored")
        assert events == [HandshakeRejected(401, (("Content-Length", "5"), ("X-A", "b")), b"hello")]

    def test_a_body_in_chunks_is_joined(self) -> None:
        head = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
        (event,) = self.asked().receive(head + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n")
        assert isinstance(event, HandshakeRejected)
        assert event.body == b"abc0123456789"

    def test_a_body_may_end_with_the_stream(self) -> None:
        wire = self.asked()
        assert wire.receive(b"HTTP/1.0 502 Bad Gateway\r\n\r\noops") == []
        assert wire.receive_eof() == [HandshakeRejected(502, (), b"oops")]
        assert wire.receive_eof() == []

    def test_a_body_that_is_cut_short_is_told_as_far_as_it_came(self) -> None:
        wire = self.asked()
        wire.receive(b"HTTP/1.1 500 No\r\nContent-Length: 50\r\n\r\npart")
        (event,) = wire.receive_eof()
        assert isinstance(event, HandshakeRejected)
        assert event.body == b"part"

    @pytest.mark.parametrize(
        "head", [b"HTTP/1.1 204 No Content", b"HTTP/1.1 304", b"HTTP/1.1 500 No\r\nContent-Length: 0"]
    )
    def test_no_body_is_waited_for_where_there_is_none(self, head: bytes) -> None:
        (event,) = self.asked().receive(head + b"\r\n\r\n")
        assert isinstance(event, HandshakeRejected)
        assert event.body == b""

    @pytest.mark.parametrize(
        ("head", "body"),
        [
            (b"HTTP/1.1 500 No", b"x" * (REJECTION_BODY + 9)),
            (b"HTTP/1.1 500 No\r\nContent-Length: 99999999", b"x" * (REJECTION_BODY + 9)),
            (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked", b"fffff\r\n" + b"x" * (REJECTION_BODY + 9)),
        ],
    )
    def test_a_long_body_is_cut(self, head: bytes, body: bytes) -> None:
        (event,) = self.asked().receive(head + b"\r\n\r\n" + body)
        assert isinstance(event, HandshakeRejected)
        assert event.body == b"x" * REJECTION_BODY

    @pytest.mark.parametrize("chunks", [b"zz\r\nabc", b"3\r\nabc" + b"y" * 300, b"fffffffff\r\nabc", b"-1\r\n"])
    def test_broken_chunks_end_the_body(self, chunks: bytes) -> None:
        (event,) = self.asked().receive(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert isinstance(event, HandshakeRejected)
        assert event.body in (b"", b"abc")

    def test_nothing_is_read_after_it(self) -> None:
        wire = self.asked()
        wire.receive(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        assert (wire.receive(response()), wire.receive_eof(), wire.open) == ([], [], False)


class TestServerHandshake:
    def test_the_request_is_told(self) -> None:
        lines = ("Sec-WebSocket-Protocol: realtime, a", "Sec-WebSocket-Protocol: b", "X-Name: J\xfcrgen")
        (event,) = make("server").receive(request(*lines))
        assert isinstance(event, HandshakeRequest)
        assert (event.path, event.query) == ("/v1/realtime", "model=m")
        assert event.subprotocols == ("realtime", "a", "b")
        assert event.headers[-1] == ("X-Name", "Jürgen")

    def test_the_answer_has_no_date_and_what_was_asked_for(self) -> None:
        wire = make("server")
        wire.receive(request("Sec-WebSocket-Protocol: realtime, a"))
        written, events = wire.accept(subprotocol="a", headers=[("X-Request-Id", "r1")])
        assert events == []
        assert written.decode().split("\r\n") == [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_value(NUL_KEY)}",
            "Sec-WebSocket-Protocol: a",
            "X-Request-Id: r1",
            "",
            "",
        ]
        assert wire.open

    def test_bytes_behind_the_head_wait_for_the_answer(self) -> None:
        wire = make("server")
        (_,) = wire.receive(request() + frame(1, b"one", masked=True)[:4])
        assert wire.receive(frame(1, b"one", masked=True)[4:] + frame(9, b"p", masked=True)) == []
        assert wire.accept()[1] == [b"one", PingReceived(b"p")]

    def test_a_client_that_has_closed_its_half_is_still_answered(self) -> None:
        wire = make("server")
        wire.receive(request() + frame(1, b"one", masked=True))
        assert wire.receive_eof() == []
        assert wire.accept()[1] == [b"one"]
        assert wire.receive(frame(1, b"two", masked=True)) == []

    def test_more_than_a_message_does_not_wait(self) -> None:
        wire = make("server")
        assert len(wire.receive(request() + bytes(MAX_MESSAGE))) == 1
        (fault,) = wire.receive(b"x")
        assert isinstance(fault, WireFault)
        assert (fault.code, fault.rule, fault.status) == (0, "R-W2", 400)
        with pytest.raises(ValueError, match="no handshake"):
            wire.accept()

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            ({"subprotocol": "c"}, "not offer"),
            ({"headers": [("Upgrade", "x")]}, "handshake"),
            ({"headers": [("A", "\n")]}, "stand"),
        ],
    )
    def test_a_mistaken_answer_changes_nothing(self, arguments: dict[str, object], word: str) -> None:
        wire = make("server")
        wire.receive(request("Sec-WebSocket-Protocol: a"))
        with pytest.raises(ValueError, match=word):
            wire.accept(**arguments)  # type: ignore[arg-type]  # a table of mistakes
        assert not wire.open
        assert wire.accept(subprotocol="a")[0].startswith(b"HTTP/1.1 101")

    def test_a_rejection_is_one_response(self) -> None:
        wire = make("server")
        wire.receive(request())
        written = wire.reject(401, [("Content-Type", "application/json")], b"{}")
        assert written.decode().split("\r\n") == [
            "HTTP/1.1 401 Unauthorized",
            "Connection: close",
            "Content-Length: 2",
            "Content-Type: application/json",
            "",
            "{}",
        ]
        assert wire.receive(frame(1, b"x", masked=True)) == []
        with pytest.raises(ValueError, match="no handshake"):
            wire.reject(401)

    def test_an_unregistered_status_has_no_phrase(self) -> None:
        wire = make("server")
        wire.receive(request())
        assert wire.reject(499).startswith(b"HTTP/1.1 499 \r\n")

    @pytest.mark.parametrize("status", [101, 200, 600])
    def test_a_rejection_is_a_refusal(self, status: int) -> None:
        wire = make("server")
        wire.receive(request())
        with pytest.raises(ValueError, match="300 to 599"):
            wire.reject(status)

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"hello\r\n\r\n", 400),
            (request(start="GET /\xff HTTP/1.1"), 400),
            (request(start="POST / HTTP/1.1"), 405),
            (request(start="GET / HTTP/1.0"), 505),
            (request(start=f"GET /{'a' * 9000} HTTP/1.1"), 414),
            (request(f"X: {'a' * 9000}"), 431),
            (request(*(f"X: {i}" for i in range(200))), 431),
            (request("no colon"), 400),
            (request("Content-Length: 5"), 400),
            (request("Transfer-Encoding: chunked"), 400),
            (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426),
            (request("Upgrade: h2c"), 426),
            (request(key="short"), 400),
            (request(key="\xff"), 400),
            (request("Sec-WebSocket-Version: 13"), 400),
            (request("Sec-WebSocket-Protocol: a b"), 400),
        ],
    )
    def test_a_bad_request_is_a_fault_with_its_status(self, head: bytes, status: int) -> None:
        wire = Wire("server", entropy=zeros, max_message=9, max_fragments=1, max_head=65536)
        (fault,) = wire.receive(head)
        assert isinstance(fault, WireFault)
        assert (fault.code, fault.status) == (0, status)
        assert wire.reject(fault.status).startswith(f"HTTP/1.1 {status} ".encode())

    def test_a_head_without_end_is_a_fault(self) -> None:
        wire = make("server")
        assert wire.receive(request()[:-2] + b"X: " + b"x" * (MAX_HEAD - len(request()) - 2)) == []
        (fault,) = wire.receive(b"x")
        assert isinstance(fault, WireFault)
        assert (fault.code, fault.rule, fault.status) == (0, "R-W3", 431)

    def test_a_client_has_nothing_to_answer(self) -> None:
        wire = opened("client")
        for answer in (wire.accept, lambda: wire.reject(400)):
            with pytest.raises(ValueError, match="no handshake"):
                answer()


class TestReading:
    @BOTH
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, MAX_MESSAGE])
    def test_a_text_message_is_its_bytes(self, role: str, size: int) -> None:
        payload = (b"0123456789" * (size // 10 + 1))[:size]
        events = opened(role).receive(frame(1, payload, masked=role == "server"))
        assert events == [payload]
        assert type(events[0]) is bytes

    @BOTH
    def test_fragments_are_joined_around_control_frames(self, role: str) -> None:
        masked = role == "server"
        stream = (
            frame(1, b"a", masked=masked, fin=False)
            + frame(9, b"!", masked=masked)
            + frame(0, b"b", masked=masked, fin=False)
            + frame(0, b"c", masked=masked)
            + frame(1, b"next", masked=masked)
        )
        assert opened(role).receive(stream) == [PingReceived(b"!"), b"abc", b"next"]

    @BOTH
    def test_a_binary_message_is_only_counted(self, role: str) -> None:
        masked = role == "server"
        stream = (
            frame(2, b"abc", masked=masked) + frame(2, b"d", masked=masked, fin=False) + frame(0, b"ef", masked=masked)
        )
        assert opened(role).receive(stream) == [BinaryReceived(3), BinaryReceived(3)]

    @BOTH
    def test_pings_and_pongs_are_events(self, role: str) -> None:
        masked = role == "server"
        stream = frame(9, b"a", masked=masked) + frame(10, b"", masked=masked)
        assert opened(role).receive(stream) == [PingReceived(b"a"), PongReceived(b"")]

    @pytest.mark.parametrize(
        ("payload", "event"),
        [
            (b"", CloseReceived(1005, "")),
            (b"\x03\xe8", CloseReceived(1000, "")),
            (b"\x0f\xa0" + "ü".encode(), CloseReceived(4000, "ü")),
        ],
    )
    def test_a_close_is_the_last_event(self, payload: bytes, event: CloseReceived) -> None:
        wire = opened("client")
        close = frame(8, payload, masked=False)
        assert wire.receive(close + frame(1, b"late", masked=False)) == [event]
        assert wire.receive(close) == []

    def test_a_close_amid_a_message_still_says_why(self) -> None:
        stream = frame(1, b"a", masked=False, fin=False) + frame(8, b"\x03\xf3oops", masked=False)
        assert opened("client").receive(stream) == [CloseReceived(1011, "oops")]

    @BOTH
    @pytest.mark.parametrize(
        ("build", "code"),
        [
            (lambda masked: frame(1, b"x", masked=not masked), 1002),
            (lambda masked: frame(3, b"x", masked=masked), 1002),
            (lambda masked: frame(11, b"", masked=masked), 1002),
            (lambda masked: frame(1, b"x", masked=masked, rsv=0x40), 1002),
            (lambda masked: frame(0, b"x", masked=masked), 1002),
            (lambda masked: frame(9, b"x", masked=masked, fin=False), 1002),
            (lambda masked: frame(9, bytes(126), masked=masked), 1002),
            (lambda masked: frame(1, b"x", masked=masked, fin=False) + frame(1, b"y", masked=masked), 1002),
            (lambda masked: frame(8, b"x", masked=masked), 1002),
            (lambda masked: frame(8, b"\x03\xed", masked=masked), 1002),
            (lambda masked: frame(8, b"\x03\xe8\xff", masked=masked), 1007),
            (lambda masked: frame(1, bytes(MAX_MESSAGE + 1), masked=masked), 1009),
            (
                lambda masked: frame(1, b"x", masked=masked, fin=False) + frame(0, bytes(MAX_MESSAGE), masked=masked),
                1009,
            ),
        ],
    )
    def test_a_broken_frame_is_a_fault_after_the_good_events(
        self, role: str, build: Callable[[bool], bytes], code: int
    ) -> None:
        masked = role == "server"
        wire = opened(role)
        bad = build(masked)
        events = wire.receive(frame(1, b"good", masked=masked) + bad + frame(1, b"late", masked=masked))
        assert events[0] == b"good"
        assert len(events) == 2
        fault = events[1]
        assert isinstance(fault, WireFault)
        assert fault.code == code
        assert wire.receive(frame(1, b"later", masked=masked)) == []

    @pytest.mark.parametrize("opcode", [1, 2])
    def test_a_message_in_too_many_frames_is_a_fault(self, opcode: int) -> None:
        def message(count: int) -> bytes:
            frames = [frame(0, b"x", masked=False, fin=False) for _ in range(count)]
            frames[0] = frame(opcode, b"x", masked=False, fin=False)
            return b"".join(frames[:-1]) + frame(0, b"x", masked=False)

        wire = opened("client")
        assert len(wire.receive(message(MAX_FRAGMENTS))) == 1
        (fault,) = wire.receive(message(MAX_FRAGMENTS + 1))
        assert fault == WireFault(1009, "R-W2", f"a message in more than {MAX_FRAGMENTS} frames")

    @pytest.mark.parametrize(
        "header",
        [
            struct.pack("!BBQ", 0x81, 127, MAX_MESSAGE + 1),
            struct.pack("!BBQ", 0x81, 127, 2**63),
            struct.pack("!BB", 0x83, 126),
            struct.pack("!BB", 0x81, 0x80 | 126),
        ],
    )
    def test_a_hopeless_frame_is_refused_by_its_header(self, header: bytes) -> None:
        (fault,) = opened("client").receive(header)
        assert isinstance(fault, WireFault)

    @pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
    def test_any_buffer_can_be_read(self, buffer: type[bytes | bytearray | memoryview]) -> None:
        wire = make("client")
        wire.request(ENDPOINT)
        assert isinstance(wire.receive(buffer(response()))[0], HandshakeAccepted)
        assert wire.receive(buffer(frame(1, b"x", masked=False))) == [b"x"]

    def test_nothing_is_read_after_the_end(self) -> None:
        wire = opened("client")
        assert wire.receive(frame(1, b"x", masked=False) + b"\x81") == [b"x"]
        assert wire.receive_eof() == []
        assert wire.receive(frame(1, b"x", masked=False)) == []

    def test_what_was_received_can_outlive_the_buffer_it_came_in(self) -> None:
        data = bytearray(frame(1, b"abc", masked=False))
        (event,) = opened("client").receive(data)
        data[:] = bytes(len(data))
        assert event == b"abc"


class TestWriting:
    @pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
    def test_a_client_masks_with_the_given_entropy(self, size: int) -> None:
        wire = opened("client", lambda count: (MASK * 4)[:count])
        assert wire.text(b"x" * size) == frame(1, b"x" * size, masked=True)
        assert wire.ping(b"p") == frame(9, b"p", masked=True)
        assert wire.pong(b"q") == frame(10, b"q", masked=True)
        assert wire.close(1000, "bye") == frame(8, b"\x03\xe8bye", masked=True)

    @pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
    def test_a_server_masks_nothing_and_draws_nothing(self, size: int) -> None:
        wire = opened("server")
        assert wire.text(b"x" * size) == frame(1, b"x" * size, masked=False)
        assert wire.close() == frame(8, b"\x03\xe8", masked=False)

    def test_each_frame_has_its_own_mask(self) -> None:
        wire = opened("client", counting())
        assert [wire.text(b"")[2:], wire.ping()[2:]] == [b"\x00\x00\x00\x02", b"\x00\x00\x00\x03"]

    @pytest.mark.parametrize("code", [1005, 1006, 1015, 1004, 999, 5000, 0, -1, 70000])
    def test_a_code_that_may_not_be_sent_closes_without_one(self, code: int) -> None:
        assert opened("server").close(code, "reason") == frame(8, b"", masked=False)

    @pytest.mark.parametrize(
        ("reason", "sent"), [("x" * 200, b"x" * 123), ("ü" * 100, "ü".encode() * 61), ("\ud800", b"?")]
    )
    def test_a_reason_is_cut_at_a_character(self, reason: str, sent: bytes) -> None:
        assert opened("server").close(1001, reason) == frame(8, b"\x03\xe9" + sent, masked=False)

    def test_there_is_one_close(self) -> None:
        entropy = counting()
        wire = opened("client", entropy)
        assert wire.close() != b""
        assert (wire.close(), wire.open, wire.close_sent) == (b"", False, True)
        assert entropy(1) == b"\x03"

    def test_no_message_follows_a_close(self) -> None:
        wire = opened("client")
        wire.close()
        with pytest.raises(ValueError, match="not open"):
            wire.text(b"x")

    def test_the_peer_is_read_until_it_closes_too(self) -> None:
        wire = opened("client")
        wire.close()
        stream = frame(1, b"x", masked=False) + frame(9, b"p", masked=False) + frame(8, b"\x03\xe8", masked=False)
        assert wire.receive(stream) == [b"x", PingReceived(b"p"), CloseReceived(1000, "")]
        assert wire.pong(b"p") != b""

    def test_a_close_is_echoed_once(self) -> None:
        wire = opened("client")
        wire.receive(frame(8, b"\x03\xe8", masked=False))
        assert (wire.close(1000), wire.close(1000)) == (
            frame(8, b"\x03\xe8", masked=True)[:2] + bytes(4) + b"\x03\xe8",
            b"",
        )

    def test_a_fault_can_be_told_to_the_peer(self) -> None:
        wire = opened("server")
        (fault,) = wire.receive(frame(1, b"x", masked=False))
        assert isinstance(fault, WireFault)
        assert wire.close(fault.code, fault.detail)[:4] == b"\x88" + bytes((2 + len(fault.detail),)) + b"\x03\xea"

    @BOTH
    def test_nothing_is_written_before_the_wire_is_open(self, role: str) -> None:
        wire = make(role)
        assert wire.close() == b""
        for write in (wire.text, wire.ping, wire.pong):
            with pytest.raises(ValueError, match="not open"):
                write(b"x")

    def test_a_control_frame_is_short(self) -> None:
        wire = opened("client")
        assert wire.ping(bytes(125))
        for write in (wire.ping, wire.pong):
            with pytest.raises(ValueError, match="125"):
                write(bytes(126))


class TestConstruction:
    @pytest.mark.parametrize(
        "changes", [{"role": "proxy"}, {"max_message": 0}, {"max_fragments": 0}, {"max_head": -1}], ids=str
    )
    def test_senseless_arguments_are_refused(self, changes: dict[str, object]) -> None:
        arguments: dict[str, object] = {"role": "client", "max_message": 1, "max_fragments": 1, "max_head": 1}
        with pytest.raises(ValueError, match="a wire"):
            Wire(**{**arguments, **changes}, entropy=zeros)  # type: ignore[arg-type]  # a table of mistakes


def test_no_repr_shows_what_the_peer_or_the_user_hides() -> None:
    secret = "openai-insecure-api-key.sk-secret"
    events = [
        HandshakeRequest("/v1", "api-key=sk-secret", (("Authorization", "Bearer sk-secret"),), ("realtime", secret)),
        HandshakeAccepted(secret, (("Set-Cookie", "sk-secret"),)),
        HandshakeRejected(401, (("X", "sk-secret"),), b"Incorrect API key provided: sk-secret"),
    ]
    assert "sk-secret" not in repr(events)


# -- laws ------------------------------------------------------------------------------------------------------------


def stream_of(masked: bool) -> st.SearchStrategy[bytes]:
    """Streams of frames: mostly legal, sometimes not."""
    payloads = st.one_of(st.binary(max_size=12), st.sampled_from([b"y" * 126, b"z" * 300]))
    legal = st.builds(frame, st.sampled_from([1, 1, 1, 2, 9, 10]), payloads, masked=st.just(masked)).filter(
        lambda data: data[0] & 0x0F < 8 or data[1] & 0x7F < 126
    )
    pieces = st.builds(frame, st.sampled_from([0, 0, 1, 2]), payloads, masked=st.just(masked), fin=st.booleans())
    broken = st.builds(
        frame, st.integers(0, 15), payloads, masked=st.booleans(), fin=st.booleans(), rsv=st.sampled_from([0, 0, 0x40])
    )
    part = st.one_of(legal, legal, pieces, broken, st.binary(max_size=9))
    return st.lists(part, max_size=8).map(b"".join)


cuts = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@pytest.mark.parametrize("role", ["client", "server"])
@given(data=st.data())
def test_l1_frames_do_not_depend_on_the_cuts(role: str, data: st.DataObject) -> None:
    stream = data.draw(stream_of(role == "server"))
    assert receive_all(opened(role), cut(stream, data.draw(cuts))) == opened(role).receive(stream)


HEADS = st.sampled_from(
    [
        response(),
        response(**{"Sec-WebSocket-Accept": "x"}),
        b"HTTP/1.1 401 No\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\n",
        b"HTTP/1.1 401 No\r\n\r\n",
        b"HTTP/1.1 " + b"4" * MAX_HEAD,
        b"SSH-2.0-x\r\n\r\n",
    ]
)


@given(head=HEADS, tail=st.one_of(stream_of(False), st.binary(max_size=60)), sizes=cuts)
def test_l1_a_clients_handshake_does_not_depend_on_the_cuts(head: bytes, tail: bytes, sizes: list[int]) -> None:
    def run(pieces: Sequence[bytes]) -> list[WireEvent]:
        wire = make("client")
        wire.request(ENDPOINT)
        return receive_all(wire, pieces) + wire.receive_eof()

    assert run(cut(head + tail, sizes)) == run([head + tail])


@given(
    head=st.sampled_from([request(), request("Sec-WebSocket-Protocol: a"), request("bad"), b"x" * (MAX_HEAD + 3)]),
    tail=stream_of(True),
    sizes=cuts,
)
def test_l1_a_servers_handshake_does_not_depend_on_the_cuts(head: bytes, tail: bytes, sizes: list[int]) -> None:
    def run(pieces: Sequence[bytes]) -> list[WireEvent | bytes]:
        wire = make("server")
        events: list[WireEvent] = []
        for piece in pieces:
            for event in wire.receive(piece):
                events.append(event)
                if isinstance(event, HandshakeRequest):
                    events += wire.accept()[1]
        return events

    assert run(cut(head + tail, sizes)) == run([head + tail])


@given(
    role=st.sampled_from(["client", "server"]),
    handshake=st.booleans(),
    pieces=st.lists(st.one_of(st.binary(max_size=60), HEADS, st.just(request()), stream_of(True)), max_size=6),
)
def test_l2_no_bytes_raise_and_a_fault_is_the_last_event(role: str, handshake: bool, pieces: list[bytes]) -> None:
    wire = opened(role) if handshake else make(role)
    if role == "client" and not handshake:
        wire.request(ENDPOINT)
    events = receive_all(wire, pieces) + wire.receive_eof()
    assert not any(isinstance(event, WireFault | CloseReceived) for event in events[:-1])


@given(messages=st.lists(st.binary(max_size=400), max_size=5), sizes=cuts)
def test_two_wires_understand_each_other(messages: list[bytes], sizes: list[int]) -> None:
    client, server = make("client", counting()), make("server")
    (asked,) = receive_all(server, cut(client.request(ENDPOINT), sizes))
    assert isinstance(asked, HandshakeRequest)
    answer, _ = server.accept(subprotocol="realtime")
    (accepted,) = receive_all(client, cut(answer, sizes))
    assert isinstance(accepted, HandshakeAccepted)
    assert accepted.subprotocol == "realtime"
    for writer, reader in ((client, server), (server, client)):
        written = b"".join(map(writer.text, messages)) + writer.ping(b"p") + writer.close(1001, "bye")
        assert receive_all(reader, cut(written, sizes)) == [*messages, PingReceived(b"p"), CloseReceived(1001, "bye")]
