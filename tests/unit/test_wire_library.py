"""What the wire uses of the ``websockets`` package beyond its documentation, pinned; run on 15.0, 16 and the newest.

A release that breaks one of these breaks here first, by name, and not in somebody's connection.
"""

from __future__ import annotations

import importlib.util
import os
import random
import secrets
import struct
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHeader, InvalidUpgrade, PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.headers import parse_subprotocol
from websockets.http11 import Request
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import apply_mask as apply_mask_in_python

from antiphon.engine import wire as module
from antiphon.engine.endpoint import Endpoint
from antiphon.engine.wire import (
    BinaryReceived,
    CloseReceived,
    HandshakeAccepted,
    HandshakeRequest,
    PingReceived,
    PongReceived,
    Wire,
    WireEvent,
    WireFault,
)

ENDPOINT = Endpoint.custom("ws://example.org/v1", subprotocols=["realtime"])
MAX = 1000
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def zeros(count: int) -> bytes:
    return bytes(count)


def make(role: str) -> Wire:
    return Wire(role, entropy=zeros, max_message=MAX, max_fragments=10_000, max_head=4096)


def opened(role: str) -> Wire:
    client, server = make("client"), make("server")
    server.receive(client.request(ENDPOINT))
    client.receive(server.accept()[0])
    return client if role == "client" else server


def alone(role: str) -> Protocol:
    """The library's own protocol, open, as anybody would make it."""
    if role == "server":
        return ServerProtocol(state=State.OPEN, max_size=MAX)
    return ClientProtocol(parse_uri("ws://example.org/"), state=State.OPEN, max_size=MAX)


def events_of_the_library(role: str, stream: bytes) -> list[WireEvent]:
    """``stream`` read by the library alone, its frames joined in the plainest way."""
    protocol = alone(role)
    protocol.receive_data(stream)
    events: list[WireEvent] = []
    pieces: list[bytes] = []
    kind = Opcode.TEXT
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        data = bytes(frame.data)
        if frame.opcode is Opcode.PING:
            events.append(PingReceived(data))
        elif frame.opcode is Opcode.PONG:
            events.append(PongReceived(data))
        elif frame.opcode is Opcode.CLOSE:
            assert protocol.close_rcvd is not None
            events.append(CloseReceived(int(protocol.close_rcvd.code), protocol.close_rcvd.reason))
        else:
            if frame.opcode is not Opcode.CONT:
                pieces, kind = [], frame.opcode
            pieces.append(data)
            if frame.fin:
                whole = b"".join(pieces)
                events.append(whole if kind is Opcode.TEXT else BinaryReceived(len(whole)))
    if isinstance(protocol.parser_exc, UnicodeDecodeError):
        events.append(WireFault(1007, "", ""))
    elif isinstance(protocol.parser_exc, PayloadTooBig):
        events.append(WireFault(1009, "", ""))
    elif isinstance(protocol.parser_exc, ProtocolError):
        # The one difference that is meant: a CLOSE amid a message is read as what it says.
        close = protocol.close_rcvd
        events.append(CloseReceived(int(close.code), close.reason) if close else WireFault(1002, "", ""))
    return events


@st.composite
def streams(draw: st.DrawFn, masked: bool) -> bytes:
    parts = []
    for _ in range(draw(st.integers(0, 7))):
        opcode = draw(st.sampled_from([Opcode.TEXT] * 4 + list(Opcode)))
        size = draw(st.sampled_from([0, 1, 2, 7, 125, 126, 300, 900, 1000, 1001]))
        fin = draw(st.sampled_from([True, True, True, False]))
        first = (0x80 if fin else 0) | opcode | draw(st.sampled_from([0] * 12 + [0x10, 0x40, 0x03]))
        bit = 0x80 if masked ^ draw(st.sampled_from([False] * 12 + [True])) else 0
        head = struct.pack("!BB", first, bit | size) if size < 126 else struct.pack("!BBH", first, bit | 126, size)
        key = draw(st.binary(min_size=4, max_size=4))
        payload = (draw(st.binary(max_size=9)) + bytes(range(32, 127)) * 11)[:size]
        if opcode is Opcode.CLOSE and size > 1:
            payload = draw(st.sampled_from([b"\x03\xe8", b"\x0f\xa0", b"\x03\xed"])) + payload[2:]
        parts.append(head + (key + apply_mask_in_python(payload, key) if bit else payload))
    return b"".join(parts) + draw(st.binary(max_size=3))


@pytest.mark.parametrize("role", ["client", "server"])
@given(data=st.data())
def test_the_short_way_and_the_library_read_the_same(role: str, data: st.DataObject) -> None:
    stream = data.draw(streams(role == "server"))
    ours = opened(role).receive(stream)
    # Faults are compared by their code: rule and detail are our own words.
    ours = [WireFault(event.code, "", "") if isinstance(event, WireFault) else event for event in ours]
    assert ours == events_of_the_library(role, stream)


def refuse(*arguments: object, **options: object) -> object:
    raise AssertionError("entropy, clock or environment was touched")


def test_no_clock_and_no_entropy_but_the_given_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, names in (
        (os, ("urandom", "getenv", "getpid")),
        (secrets, ("token_bytes", "token_hex", "randbits", "choice")),
        (random, ("random", "getrandbits", "randbytes", "randint")),
        (uuid, ("uuid1", "uuid4")),
        (time, ("time", "time_ns", "monotonic", "perf_counter", "gmtime", "localtime")),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, refuse)
    client, server = make("client"), make("server")
    (asked,) = server.receive(client.request(ENDPOINT))
    answer, _ = server.accept(subprotocol="realtime")
    (accepted,) = client.receive(answer)
    written = [client.receive(server.ping(b"p")), server.receive(client.ping(b"p")), server.receive(client.text(b"t"))]
    broken = opened("client").receive(b"\xff\xff\xff\xff")
    closed = [client.receive(server.close(1000, "bye")), server.receive(client.close())]
    refused = make("server")
    faults = refused.receive(b"GET / HTTP/1.1\r\n" + b"".join(b"A: b\r\n" for _ in range(200)) + b"\r\n")
    refused.reject(431)
    ended = [client.receive_eof(), server.receive_eof(), make("server").receive_eof()]
    monkeypatch.undo()
    assert isinstance(asked, HandshakeRequest)
    assert isinstance(accepted, HandshakeAccepted)
    assert written == [[PingReceived(b"p")], [PingReceived(b"p")], [b"t"]]
    assert [type(event) for event in (*broken, *faults)] == [WireFault, WireFault]
    assert closed == [[CloseReceived(1000, "bye")], [CloseReceived(1000, "")]]
    assert ended == [[], [], []]


def test_the_library_itself_is_left_as_it_was() -> None:
    assert alone("client").id != alone("client").id
    assert sys.modules[Protocol.__module__].__dict__["uuid"] is uuid
    protocol = ClientProtocol(parse_uri("ws://example.org/"))
    protocol.send_request(protocol.connect())
    assert protocol.key != ClientProtocol(parse_uri("ws://example.org/")).key


def test_our_protocols_have_every_attribute_of_the_librarys() -> None:
    ours = module._ClientSide(ENDPOINT, "key", MAX), module._ServerSide(max_size=MAX)
    theirs = ClientProtocol(parse_uri("ws://example.org/")), ServerProtocol()
    for mine, original in zip(ours, theirs, strict=True):
        assert vars(mine).keys() == vars(original).keys()
        assert mine.state is original.state is State.CONNECTING


@pytest.mark.parametrize("role", ["client", "server"])
def test_all_frames_that_the_library_writes_go_through_send_frame(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Opcode] = []
    protocol = alone(role)
    monkeypatch.setattr(protocol, "send_frame", lambda frame: seen.append(frame.opcode))
    mask = role == "server"
    protocol.receive_data(Frame(Opcode.PING, b"").serialize(mask=mask) + Frame(Opcode.CLOSE, b"").serialize(mask=mask))
    assert seen == [Opcode.PONG, Opcode.CLOSE]
    assert b"".join(protocol.data_to_send()) == b""


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b"\xc1\x00", ProtocolError),
        (b"\x82\x7f" + b"\x00" * 4 + b"\xff" * 4, PayloadTooBig),
        (b"\x88\x03\x03\xe8\xff", UnicodeDecodeError),
    ],
)
def test_parser_exc_says_why_reading_failed_and_the_good_events_stay(stream: bytes, problem: type[Exception]) -> None:
    protocol = alone("client")
    protocol.receive_data(b"\x81\x01x" + stream)
    assert isinstance(protocol.parser_exc, problem)
    assert len(protocol.events_received()) == 1


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_failure_inside_the_library_is_a_value_too(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = opened(role)

    def fail(frame: Frame) -> None:
        raise RuntimeError("sk-secret")

    monkeypatch.setattr(wire._protocol, "recv_frame", fail)
    mask = role == "server"
    (fault,) = wire.receive(Frame(Opcode.PING, b"").serialize(mask=mask))
    assert fault == WireFault(1011, "R-W1", "reading failed with RuntimeError")


def test_close_rcvd_is_set_even_amid_a_fragmented_message() -> None:
    protocol = alone("client")
    protocol.receive_data(b"\x01\x01x" + b"\x88\x04\x03\xf3no")
    assert protocol.close_rcvd is not None
    assert (protocol.close_rcvd.code, protocol.close_rcvd.reason) == (1011, "no")
    assert isinstance(protocol.parser_exc, ProtocolError)


def test_the_bound_of_a_message_covers_all_its_fragments() -> None:
    protocol = alone("client")
    protocol.receive_data(Frame(Opcode.TEXT, bytes(MAX - 1), fin=False).serialize(mask=False) + b"\x00\x02")
    assert isinstance(protocol.parser_exc, PayloadTooBig)


def test_key_is_what_the_answer_is_checked_against() -> None:
    protocol = module._ClientSide(ENDPOINT, "dGhlIHNhbXBsZSBub25jZQ==", MAX)
    protocol.receive_data(
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
        b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"  # the example of RFC 6455 §1.3
    )
    assert protocol.state is State.OPEN


def parsed(head: bytes) -> tuple[ServerProtocol, Request]:
    protocol = ServerProtocol()
    protocol.receive_data(head)
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    return protocol, request


def test_process_request_answers_with_the_accept_value_first() -> None:
    protocol, request = parsed(REQUEST)
    assert protocol.process_request(request) == ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None, None)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"Upgrade: websocket", b"Upgrade: h2c", InvalidUpgrade),
        (b"Sec-WebSocket-Key", b"Sec-WebSocket-Nokey", InvalidHeader),
        (b"Version: 13", b"Version: 8", InvalidHeader),
    ],
)
def test_process_request_raises_what_names_the_header(old: bytes, new: bytes, problem: type[InvalidHeader]) -> None:
    protocol, request = parsed(REQUEST.replace(old, new))
    with pytest.raises(problem) as caught:
        protocol.process_request(request)
    assert caught.value.name in REQUEST.decode() + "Sec-WebSocket-Key"


def test_parse_subprotocol_splits_the_list() -> None:
    assert parse_subprotocol("realtime, openai-insecure-api-key.ek_1") == ["realtime", "openai-insecure-api-key.ek_1"]


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_both_masks_are_the_same(payload: bytes, key: bytes) -> None:
    apply_mask_in_c = pytest.importorskip("websockets.speedups", reason="no C extension here").apply_mask
    masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    assert apply_mask_in_c(payload, key) == apply_mask_in_python(payload, key) == masked


def after_their_close(wire: Wire) -> None:
    masked = wire._protocol is not None and wire._protocol.side == 0
    wire.receive(b"\x88" + (b"\x80" + bytes(4) if masked else b"\x00"))


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([], State.OPEN),
        ([lambda wire: wire.close()], State.CLOSING),
        ([after_their_close], State.CLOSING),
        ([after_their_close, lambda wire: wire.close(), lambda wire: wire.receive_eof()], State.CLOSED),
        ([lambda wire: wire.close(), after_their_close, lambda wire: wire.receive_eof()], State.CLOSED),
        ([lambda wire: wire.receive(b"\x83\xff"), lambda wire: wire.close(1002)], State.CLOSING),
        ([lambda wire: wire.receive_eof()], State.CLOSED),
    ],
)
def test_the_library_knows_how_far_closing_has_come(
    role: str, steps: list[Callable[[Wire], object]], state: State
) -> None:
    wire = opened(role)
    for step in steps:
        step(wire)
    assert wire._protocol is not None
    assert wire._protocol.state is state


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_peer_that_is_the_library_itself_understands_us(role: str) -> None:
    """The whole life of a socket against the plain protocol of the package, writes and all."""
    wire = make(role)
    peer: ClientProtocol | ServerProtocol
    if role == "client":
        peer = ServerProtocol(subprotocols=None)
        peer.receive_data(wire.request(ENDPOINT))
        (request,) = peer.events_received()
        assert isinstance(request, Request)
        peer.send_response(peer.accept(request))
        (event,) = wire.receive(b"".join(peer.data_to_send()))
        assert isinstance(event, HandshakeAccepted)
    else:
        peer = ClientProtocol(parse_uri("ws://example.org/"))
        peer.send_request(peer.connect())
        wire.receive(b"".join(peer.data_to_send()))
        peer.receive_data(wire.accept()[0])
        peer.events_received()
    assert peer.state is State.OPEN
    peer.send_text(b"first", fin=False)
    peer.send_continuation(b" second", fin=True)
    assert wire.receive(b"".join(peer.data_to_send())) == [b"first second"]
    peer.receive_data(wire.text("grüße".encode() * 30_000) + wire.ping(b"p"))
    message, ping = peer.events_received()
    assert isinstance(message, Frame)
    assert isinstance(ping, Frame)
    assert (bytes(message.data), ping.opcode) == ("grüße".encode() * 30_000, Opcode.PING)
    assert wire.receive(b"".join(peer.data_to_send())) == [PongReceived(b"p")]
    peer.receive_data(wire.close(1001, "bye"))
    assert wire.receive(b"".join(peer.data_to_send())) == [CloseReceived(1001, "bye")]
    peer.receive_eof()
    assert (peer.state, peer.close_code, peer.close_reason) == (State.CLOSED, 1001, "bye")


def test_the_nonce_reaches_the_request() -> None:
    assert b64encode(bytes(16)) in make("client").request(ENDPOINT)


def test_where_the_library_has_no_extension_masks_are_applied_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)  # as if there were no wheel for this platform
    spec = importlib.util.find_spec("antiphon.engine.wire")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "antiphon.engine.wire", module)  # for the types that it looks up while it loads
    spec.loader.exec_module(module)
    assert module.apply_mask(b"masked", b"\1\2\3\4") == bytes(
        a ^ b for a, b in zip(b"masked", b"\1\2\3\4\1\2", strict=True)
    )
