"""The bytes level: handshake, keep-alive and closing of both roles, by the bytes that a peer sends.

The peer in these tests is a `Wire`, or bytes by hand where it is a broken one. What the session does with messages is
tested with the session.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from msgspec import structs

from antiphon import (
    Action,
    Actions,
    ArbiterPolicy,
    ClientSession,
    Closed,
    CloseTransport,
    Connected,
    Connection,
    ConnectionConfig,
    Deliver,
    Disconnected,
    Dropped,
    Durations,
    Endpoint,
    Fault,
    HandshakeReceived,
    InputAudio,
    InputCommitted,
    ItemFinished,
    Limits,
    LocalProtocolError,
    OpenTransport,
    RenewalPolicy,
    Report,
    RequestSettled,
    ResponseRequested,
    Role,
    Session,
    SessionConfig,
    Snapshot,
    SnapshotError,
    Timer,
    TranscriptDelta,
    Transmit,
    inputs,
)
from antiphon import messages as m
from antiphon.engine.wire import (
    CloseReceived,
    HandshakeRejected,
    HandshakeRequest,
    PingReceived,
    PongReceived,
    Wire,
)

SECRET = "sk-0123456789"
ENDPOINT = Endpoint.custom("ws://example.org/v1/realtime?model=m", api_key=SECRET)
TIMES = Durations(connect=1_000, handshake=500, ping=100, pong=80, close=50)
CREATED = json.dumps({"type": "session.created", "event_id": "e", "session": {"type": "realtime"}}).encode()
ABORT = CloseTransport(1006, "", abort=True)


class Drawn:
    """Entropy that repeats itself in every run and counts what was drawn."""

    def __init__(self) -> None:
        self._random = Random(1)
        self.bytes = 0

    def __call__(self, count: int) -> bytes:
        self.bytes += count
        return self._random.randbytes(count)


def a_wire(role: str, *, max_message: int = 1 << 20) -> Wire:
    return Wire(role, entropy=Drawn(), max_message=max_message, max_fragments=16, max_head=1 << 16)


def config(**changes: Any) -> ConnectionConfig:
    return ConnectionConfig(endpoint=ENDPOINT, session=SessionConfig(timers=TIMES, **changes))


def a_client(entropy: Drawn | None = None, **changes: Any) -> Connection:
    return Connection(Role.CLIENT, config(**changes), now=0, entropy=entropy or Drawn())


def a_server(entropy: Drawn | None = None, **changes: Any) -> Connection:
    return Connection(Role.SERVER, config(**changes), now=0, entropy=entropy or Drawn())


def written(actions: Actions) -> bytes:
    """What goes out, in order."""
    return b"".join(action.data for action in actions if isinstance(action, Transmit))


def others(actions: Actions) -> list[Action]:
    """Everything that is not written."""
    return [action for action in actions if not isinstance(action, Transmit)]


def knocking() -> tuple[Connection, Wire]:
    """A client that has sent its request, and the server's wire that has read it."""
    client, peer = a_client(), a_wire("server")
    client.start(0)
    (request,) = peer.receive(written(client.opened(0)))
    assert isinstance(request, HandshakeRequest)
    return client, peer


def talking(**changes: Any) -> tuple[Connection, Wire]:
    """A client with an open socket, and the server's wire."""
    client, peer = a_client(**changes), a_wire("server")
    peer.receive(written(client.opened(0)))
    client.receive_data(peer.accept()[0], 0)
    return client, peer


def asked(**changes: Any) -> tuple[Connection, Wire]:
    """A server that was asked to open, and the client's wire."""
    server, peer = a_server(**changes), a_wire("client")
    server.opened(0)
    server.receive_data(peer.request(ENDPOINT), 0)
    return server, peer


def serving(**changes: Any) -> tuple[Connection, Wire]:
    """A server with an open socket, and the client's wire."""
    server, peer = asked(**changes)
    peer.receive(written(server.accept(0)))
    return server, peer


def end_of(actions: Actions) -> Closed:
    """The engine's end, which is the last action."""
    assert isinstance(actions[-1], Closed)
    return actions[-1]


def fault_of(actions: Actions) -> Fault:
    """Why the engine ended; its `Disconnected` says the same."""
    (gone,) = [action for action in actions if isinstance(action, Disconnected)]
    fault = end_of(actions).fault
    assert fault is not None
    assert fault == gone.fault
    return fault


class TestOpeningAsClient:
    def test_the_request_is_written_when_tcp_is_there(self) -> None:
        client = a_client()
        assert client.start(0) == (OpenTransport(1, 1),)
        (request,) = client.opened(0)
        assert isinstance(request, Transmit)
        assert request.data.startswith(b"GET /v1/realtime?model=m HTTP/1.1\r\n")
        assert f"Authorization: Bearer {SECRET}".encode() in request.data

    def test_headers_of_one_dial_replace_those_of_the_endpoint(self) -> None:
        client = a_client()
        request = written(client.opened(0, headers=(("Authorization", "Bearer fresh"),)))
        assert b"Bearer fresh" in request
        assert SECRET.encode() not in request

    def test_a_header_that_cannot_be_sent_is_refused_and_draws_nothing(self) -> None:
        entropy = Drawn()
        client = a_client(entropy)
        before = client.snapshot(0)
        with pytest.raises(LocalProtocolError) as caught:
            client.opened(0, headers=(("X-Key", f"{SECRET}\r\nX: y"),))
        assert caught.value.rule == "R-L5"
        assert SECRET not in str(caught.value)
        assert (client.snapshot(0), entropy.bytes) == (before, 0)

    def test_after_such_a_refusal_the_socket_can_be_opened_in_order(self) -> None:
        client = a_client()
        with pytest.raises(LocalProtocolError):
            client.opened(0, headers=(("Host", "elsewhere"),))
        assert written(client.opened(0)).startswith(b"GET ")

    def test_messages_flow_once_the_handshake_is_complete(self) -> None:
        client, peer = knocking()
        assert client.receive_data(peer.accept()[0], 1) == (Connected(1),)

    def test_a_message_right_behind_the_answer_is_read_after_it(self) -> None:
        client, peer = knocking()
        connected, delivered = client.receive_data(peer.accept()[0] + peer.text(CREATED), 1)
        assert connected == Connected(1)
        assert isinstance(delivered, Deliver)
        assert delivered.event.type == "session.created"

    def test_what_was_asked_before_the_socket_was_there_goes_out_with_it(self) -> None:
        client, peer = a_client(), a_wire("server")
        assert client.send(m.InputAudioBufferClear(event_id="early"), 0) == ()
        assert client.append_audio(b"\0\0", 0) == ()
        peer.receive(written(client.opened(0)))
        actions = client.receive_data(peer.accept()[0], 0)
        events = [json.loads(text) for text in peer.receive(written(actions)) if isinstance(text, bytes)]
        assert [event["type"] for event in events] == ["input_audio_buffer.clear", "input_audio_buffer.append"]

    def test_a_second_socket_is_refused_and_draws_nothing(self) -> None:
        entropy = Drawn()
        client = a_client(entropy)
        client.opened(0)
        before, drawn = client.snapshot(0), entropy.bytes
        with pytest.raises(LocalProtocolError) as caught:
            client.opened(0)
        assert caught.value.rule == "R-L2"
        assert (client.snapshot(0), entropy.bytes) == (before, drawn)

    def test_an_engine_is_started_once(self) -> None:
        client = a_client()
        client.start(0)
        with pytest.raises(LocalProtocolError, match="R-L1"):
            client.start(0)

    def test_a_failed_dial_ends_as_it_does_without_a_wire(self) -> None:
        client = a_client()
        client.start(0)
        fault = Fault("dial", "connection refused")
        assert client.transport_failed(fault, 1) == (Disconnected(1, None, "", fault, None), Closed(1006, "", fault))


class TestRefusedHandshake:
    def refused(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> Actions:
        client, peer = knocking()
        return client.receive_data(peer.reject(status, headers, body), 1)

    def test_a_refusal_ends_the_engine_with_status_and_code(self) -> None:
        body = json.dumps({"error": {"code": "invalid_api_key", "message": f"Incorrect key {SECRET}"}}).encode()
        actions = self.refused(401, body)
        assert actions[0] == CloseTransport(1000, "")
        fault = fault_of(actions)
        assert (fault.kind, fault.rule, fault.status, fault.code) == ("handshake", "R-L5", 401, "invalid_api_key")
        assert "401 (invalid_api_key)" in fault.message

    def test_a_key_that_the_body_echoes_is_not_told(self) -> None:
        body = json.dumps({"error": {"code": "invalid_api_key", "message": f"Incorrect key {SECRET}"}}).encode()
        assert SECRET not in repr(self.refused(401, body))

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>",
            b"\xff",
            b"[1]",
            b"",
            b'{"error":"no"}',
            b'{"error":{"code":7}}',
            b'{"error":{}}',
            f'{{"error":{{"code":"{SECRET}"}}}}'.encode(),
            b"[" * 100_000,
        ],
        ids=["html", "no text", "list", "empty", "text", "number", "none", "a code that is none", "deep"],
    )
    def test_a_body_without_a_code_leaves_the_status(self, body: bytes) -> None:
        fault = fault_of(self.refused(503, body))
        assert (fault.status, fault.code) == (503, None)
        assert fault.message == "the server refused the handshake with HTTP status 503"

    def test_what_is_no_http_is_a_fault_of_the_handshake(self) -> None:
        client, _ = knocking()
        actions = client.receive_data(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 1)
        assert actions[0] == CloseTransport(1000, "")
        fault = fault_of(actions)
        assert (fault.kind, fault.rule, fault.status) == ("handshake", "R-W3", None)

    def test_an_answer_that_switches_to_something_else_is_one_too(self) -> None:
        client, _ = knocking()
        actions = client.receive_data(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tls\r\n\r\n", 1)
        fault = fault_of(actions)
        assert (fault.kind, fault.status) == ("handshake", 101)

    def test_a_refusal_whose_body_is_cut_by_the_end_is_still_told(self) -> None:
        client, _ = knocking()
        assert client.receive_data(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 99\r\n\r\n{", 1) == ()
        fault = fault_of(client.receive_eof(2))
        assert (fault.kind, fault.status) == ("handshake", 429)

    def test_a_peer_that_goes_before_it_answered_is_a_fault_of_the_handshake(self) -> None:
        client, _ = knocking()
        fault = fault_of(client.receive_eof(1))
        assert (fault.kind, fault.rule, fault.status) == ("handshake", "R-L5", None)

    def test_a_handshake_has_a_deadline(self) -> None:
        client, _ = knocking()
        assert client.next_timer == (Timer.HANDSHAKE, TIMES.handshake)
        actions = client.tick(TIMES.handshake)
        assert actions[0] == ABORT
        assert (fault_of(actions).kind, fault_of(actions).rule) == ("timeout", "timer.handshake")

    def test_bytes_that_are_no_answer_yet_do_not_move_the_deadline(self) -> None:
        client, _ = knocking()
        client.receive_data(b"HTTP/1.1 ", 400)
        assert client.deadline == TIMES.handshake

    def test_closing_gives_a_handshake_up(self) -> None:
        client, _ = knocking()
        assert client.close(1) == (ABORT, Disconnected(1, 1000, "", None, None), Closed(1000, "", None))


class TestOpeningAsServer:
    def test_a_socket_is_silent_until_the_client_has_asked(self) -> None:
        server = a_server()
        assert server.opened(0) == ()
        assert server.next_timer == (Timer.HANDSHAKE, TIMES.handshake)

    def test_the_request_is_shown_to_whoever_decides(self) -> None:
        server, peer = a_server(), a_wire("client")
        server.opened(0)
        (received,) = server.receive_data(peer.request(ENDPOINT), 0)
        assert isinstance(received, HandshakeReceived)
        assert (received.path, received.query) == ("/v1/realtime", "model=m")
        assert ("Authorization", f"Bearer {SECRET}") in received.headers
        assert SECRET not in repr(received)

    def test_accepting_opens_the_socket_and_announces_the_session(self) -> None:
        server, peer = asked()
        response, connected, announced = server.accept(1)
        assert isinstance(response, Transmit)
        assert response.data.startswith(b"HTTP/1.1 101 ")
        assert connected == Connected(1)
        assert isinstance(announced, Transmit)
        (_, text) = peer.receive(response.data + announced.data)
        assert isinstance(text, bytes)
        assert json.loads(text)["type"] == "session.created"

    def test_accepting_may_choose_a_subprotocol_and_add_headers(self) -> None:
        server = a_server()
        server.opened(0)
        offered = structs.replace(ENDPOINT, subprotocols=("realtime",))
        server.receive_data(a_wire("client").request(offered), 0)
        response = written(server.accept(0, subprotocol="realtime", headers=(("X-Request-Id", "7"),)))
        assert b"Sec-WebSocket-Protocol: realtime\r\n" in response
        assert b"X-Request-Id: 7\r\n" in response

    def test_a_subprotocol_that_was_not_offered_is_refused_and_the_request_still_waits(self) -> None:
        server, _ = asked()
        before = server.snapshot(0)
        with pytest.raises(LocalProtocolError) as caught:
            server.accept(0, subprotocol="chess")
        assert caught.value.rule == "R-L5"
        assert server.snapshot(0) == before
        assert Connected(1) in server.accept(0)

    def test_what_the_client_sent_meanwhile_is_read_after_the_answer(self) -> None:
        server, peer = asked()
        head = a_wire("server")
        head.receive(a_wire("client").request(ENDPOINT))
        # The client does not wait: its nonce is known, so its wire can be opened before the answer is there.
        peer.receive(head.accept()[0])
        assert server.receive_data(peer.text(b'{"type":"input_audio_buffer.clear","event_id":"e"}'), 0) == ()
        delivered = [action for action in server.accept(1) if isinstance(action, Deliver)]
        assert [action.event.type for action in delivered] == ["input_audio_buffer.clear"]

    def test_rejecting_answers_with_the_status_and_ends_the_engine(self) -> None:
        server, peer = asked()
        actions = server.reject(1, 401, (("X-Why", "key"),), b'{"error":{"code":"invalid_api_key"}}')
        (rejected,) = peer.receive(written(actions))
        assert isinstance(rejected, HandshakeRejected)
        assert (rejected.status, rejected.body) == (401, b'{"error":{"code":"invalid_api_key"}}')
        assert ("X-Why", "key") in rejected.headers
        assert others(actions)[0] == CloseTransport(1000, "")
        assert fault_of(actions) == Fault("handshake", "the handshake was refused with 401", "R-L5", status=401)

    @pytest.mark.parametrize(
        ("status", "kind", "code"),
        [
            (401, "invalid_request_error", "invalid_api_key"),
            (404, "invalid_request_error", "not_found"),
            (403, "invalid_request_error", None),
            (500, "server_error", None),
        ],
    )
    def test_refusing_says_why_as_the_api_does(self, status: int, kind: str, code: str | None) -> None:
        server, peer = asked()
        (rejected,) = peer.receive(written(server.refuse(1, status, "Not you.")))
        assert isinstance(rejected, HandshakeRejected)
        error = {"type": kind, "code": code, "message": "Not you.", "param": None}
        assert (rejected.status, json.loads(rejected.body)) == (status, {"error": error})

    @pytest.mark.parametrize("status", [200, 299, 600])
    def test_a_handshake_is_not_rejected_with_a_status_that_is_no_refusal(self, status: int) -> None:
        server, _ = asked()
        before = server.snapshot(0)
        with pytest.raises(LocalProtocolError) as caught:
            server.reject(0, status)
        assert caught.value.rule == "R-L5"
        assert server.snapshot(0) == before

    @pytest.mark.parametrize("answer", [inputs.Accept(), inputs.Reject(404)], ids=["accept", "reject"])
    def test_nothing_is_answered_that_was_not_asked(self, answer: inputs.Input) -> None:
        idle, silent, (open_, _), (client, _) = a_server(), a_server(), serving(), knocking()
        silent.opened(0)
        for connection in (idle, silent, open_, client):
            before = connection.snapshot(0)
            with pytest.raises(LocalProtocolError) as caught:
                connection.handle(answer, 0)
            assert caught.value.rule == "R-L5"
            assert connection.snapshot(0) == before

    @pytest.mark.parametrize("answer", [inputs.Accept(), inputs.Reject(404)], ids=["accept", "reject"])
    def test_after_the_end_nothing_is_answered(self, answer: inputs.Input) -> None:
        server, _ = asked()
        server.receive_eof(0)
        with pytest.raises(LocalProtocolError) as caught:
            server.handle(answer, 0)
        assert caught.value.rule == "R-N4"

    def test_a_request_that_is_none_is_answered_by_the_engine(self) -> None:
        server = a_server()
        server.opened(0)
        actions = server.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0)
        assert written(actions).startswith(b"HTTP/1.1 426 ")
        assert others(actions)[0] == CloseTransport(1000, "")
        assert (fault_of(actions).kind, fault_of(actions).status) == ("handshake", 426)

    def test_a_client_that_goes_before_it_was_answered_ends_the_engine(self) -> None:
        server, _ = asked()
        assert fault_of(server.receive_eof(1)).kind == "handshake"

    def test_an_answer_has_a_deadline(self) -> None:
        server, _ = asked()
        actions = server.tick(TIMES.handshake)
        assert actions[0] == ABORT
        assert fault_of(actions).rule == "timer.handshake"


class TestMessages:
    def test_a_message_is_delivered_with_its_text(self) -> None:
        client, peer = talking()
        (delivered,) = client.receive_data(peer.text(CREATED), 1)
        assert isinstance(delivered, Deliver)
        assert delivered.raw == CREATED

    def test_bytes_may_be_cut_anywhere(self) -> None:
        client, peer = talking()
        data = peer.text(CREATED)
        actions = [action for index in range(len(data)) for action in client.receive_data(data[index : index + 1], 1)]
        assert [type(action) for action in actions] == [Deliver]

    def test_a_command_is_one_masked_frame(self) -> None:
        client, peer = talking()
        (sent,) = client.send(m.InputAudioBufferClear(event_id="mine"), 1)
        assert isinstance(sent, Transmit)
        assert sent.data[1] & 0x80
        (text,) = peer.receive(sent.data)
        assert isinstance(text, bytes)
        assert json.loads(text) == {"type": "input_audio_buffer.clear", "event_id": "mine"}

    def test_audio_is_sent_as_base64_in_a_message(self) -> None:
        client, peer = talking()
        (text,) = peer.receive(written(client.append_audio(b"\x00\x01", 1)))
        assert isinstance(text, bytes)
        assert json.loads(text) == {"type": "input_audio_buffer.append", "audio": "AAE="}

    def test_empty_data_is_nothing_and_not_the_end(self) -> None:
        client, _ = talking()
        assert client.receive_data(b"", 1) == ()
        assert client.closed is None

    def test_before_a_socket_there_are_no_bytes(self) -> None:
        assert a_client().receive_data(b"hello", 0) == ()

    def test_the_end_of_a_socket_that_never_opened_ends_the_engine(self) -> None:
        client = a_client()
        client.start(0)
        assert fault_of(client.receive_eof(1)).kind == "eof"

    def test_a_binary_message_is_reported_and_dropped(self) -> None:
        client, _ = talking()
        assert client.receive_data(b"\x82\x03abc", 1) == (Report("R-W4", "", None, "", "a binary message of 3 bytes"),)
        assert client.closed is None

    def test_under_strict_a_binary_message_ends_the_socket(self) -> None:
        client, peer = talking(strict=True)
        actions = client.receive_data(b"\x82\x03abc", 1)
        (close,) = peer.receive(written(actions))
        assert close == CloseReceived(1002, "R-W4")

    def test_a_typed_event_can_be_injected_without_a_wire(self) -> None:
        client, _ = talking()
        (delivered,) = client.receive_event(m.SessionCreated(session=m.RealtimeSession()), 1)
        assert isinstance(delivered, Deliver)

    @pytest.mark.parametrize("role", list(Role))
    def test_identify_is_for_who_sends_commands(self, role: Role) -> None:
        connection = a_client() if role is Role.CLIENT else a_server()
        if role is Role.CLIENT:
            assert connection.identify(m.ResponseCreate()).event_id
        else:
            with pytest.raises(LocalProtocolError, match="not for a server"):
                connection.identify(m.ResponseCreate())


class TestKeepAlive:
    def test_silence_is_answered_with_a_ping(self) -> None:
        client, peer = talking()
        assert client.next_timer == (Timer.PING, 100)
        assert peer.receive(written(client.tick(100))) == [PingReceived(b"")]
        assert client.next_timer == (Timer.PONG, 180)

    def test_received_bytes_put_the_ping_off(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 70)
        assert client.tick(100) == ()
        assert client.next_timer == (Timer.PING, 170)

    def test_half_a_message_is_a_sign_of_life_too(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED)[:5], 70)
        assert client.tick(100) == ()
        assert client.deadline == 170

    def test_what_we_send_is_no_sign_of_life(self) -> None:
        client, peer = talking()
        client.send(m.InputAudioBufferClear(), 90)
        assert peer.receive(written(client.tick(100))) == [PingReceived(b"")]

    @pytest.mark.parametrize("answer", ["pong", "text"])
    def test_any_bytes_answer_a_ping(self, answer: str) -> None:
        client, peer = talking()
        client.tick(100)
        client.receive_data(peer.pong(b"") if answer == "pong" else peer.text(CREATED), 110)
        assert client.tick(180) == ()
        assert client.next_timer == (Timer.PING, 210)

    def test_bytes_at_the_instant_of_the_ping_answer_it(self) -> None:
        client, peer = talking()
        client.tick(100)
        client.receive_data(peer.pong(b""), 100)
        assert client.tick(180) == ()

    def test_a_peer_that_stays_silent_is_aborted_at_once(self) -> None:
        client, _ = talking()
        client.tick(100)
        actions = client.tick(180)
        assert actions[0] == ABORT
        assert written(actions) == b""
        assert (fault_of(actions).kind, fault_of(actions).rule) == ("timeout", "timer.pong")

    def test_a_late_tick_does_not_take_an_answered_ping_for_silence(self) -> None:
        client, peer = talking()
        client.tick(100)
        client.receive_data(peer.pong(b""), 101)
        assert client.tick(10_000) == ()
        assert client.closed is None
        assert client.next_timer == (Timer.PING, 10_001)

    def test_one_late_tick_sends_one_ping_and_gives_the_peer_its_time(self) -> None:
        client, peer = talking()
        assert peer.receive(written(client.tick(10_000))) == [PingReceived(b"")]
        assert client.next_timer == (Timer.PONG, 10_080)

    def test_a_ping_of_the_peer_is_answered_with_its_bytes(self) -> None:
        client, peer = talking()
        assert peer.receive(written(client.receive_data(peer.ping(b"mark"), 1))) == [PongReceived(b"mark")]

    def test_pings_and_messages_are_answered_in_their_order(self) -> None:
        server, peer = serving()
        bad = b'{"type":"no.such.event","event_id":"e"}'
        data = peer.ping(b"1") + peer.text(bad) + peer.ping(b"2")
        events = peer.receive(written(server.receive_data(data, 1)))
        assert [event if isinstance(event, PongReceived) else type(event) for event in events] == [
            PongReceived(b"1"),
            bytes,
            PongReceived(b"2"),
        ]

    def test_after_our_close_no_ping_is_answered(self) -> None:
        client, peer = talking()
        client.close(1)
        assert client.receive_data(peer.ping(b"late"), 2) == ()

    def test_a_server_probes_as_a_client_does(self) -> None:
        server, peer = serving()
        assert peer.receive(written(server.tick(100))) == [PingReceived(b"")]

    def test_requests_have_their_timer_beside(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 0)
        client.send(m.ResponseCreate(event_id="ask"), 0)
        client.tick(100)
        client.receive_data(peer.pong(b""), 100)
        settled = [
            action for action in client.tick(ArbiterPolicy().request_timeout_ns) if isinstance(action, RequestSettled)
        ]
        assert [action.event_id for action in settled] == ["ask"]


class TestClosing:
    def test_we_say_close_and_wait_for_the_socket_to_go(self) -> None:
        client, peer = talking()
        actions = client.close(1, 4000, "enough")
        assert others(actions) == []
        assert peer.receive(written(actions)) == [CloseReceived(4000, "enough")]
        assert client.next_timer == (Timer.CLOSE, 51)

    def test_the_peers_answer_is_read_and_its_end_is_ours(self) -> None:
        client, peer = talking()
        client.close(1)
        assert client.receive_data(peer.close(1000), 2) == ()
        assert client.receive_eof(3) == (Disconnected(1, 1000, "", None, None), Closed(1000, "", None))

    def test_closing_is_bounded(self) -> None:
        client, _ = talking()
        client.close(1)
        assert client.tick(51) == (ABORT, Disconnected(1, 1000, "", None, None), Closed(1000, "", None))

    def test_a_long_reason_is_cut_to_what_a_frame_holds(self) -> None:
        client, peer = talking()
        (close,) = peer.receive(written(client.close(1, 4000, "é" * 100)))
        assert close == CloseReceived(4000, "é" * 61)

    def test_a_client_echoes_the_peers_code_and_leaves_the_end_of_tcp_to_it(self) -> None:
        client, peer = talking()
        actions = client.receive_data(peer.close(1001, "restart"), 1)
        assert others(actions) == []
        assert peer.receive(written(actions)) == [CloseReceived(1001, "")]
        end = end_of(client.receive_eof(2))
        assert (end.code, end.reason) == (1001, "restart")
        assert end.fault is not None
        assert end.fault.message == "the peer closed with 1001: restart"

    def test_a_server_echoes_it_too_and_ends_tcp(self) -> None:
        server, peer = serving()
        actions = server.receive_data(peer.close(1000), 1)
        assert peer.receive(written(actions)) == [CloseReceived(1000, "")]
        assert others(actions) == [CloseTransport(1000, "")]
        assert server.receive_eof(2) == (Disconnected(1, 1000, "", None, None), Closed(1000, "", None))

    def test_a_server_that_closed_ends_tcp_when_the_answer_is_there(self) -> None:
        server, peer = serving()
        actions = server.close(1)
        assert others(actions) == []
        assert server.receive_data(peer.close(1000), 2) == (CloseTransport(1000, ""),)

    def test_a_close_without_a_code_is_answered_without_one(self) -> None:
        client, peer = talking()
        actions = client.receive_data(b"\x88\x00", 1)
        assert peer.receive(written(actions)) == [CloseReceived(1005, "")]
        assert end_of(client.receive_eof(2)) == Closed(1005, "", None)

    def test_what_follows_a_close_is_not_read(self) -> None:
        client, peer = talking()
        text = peer.text(CREATED)
        actions = client.receive_data(peer.close(1000) + text, 1)
        assert not [action for action in actions if isinstance(action, Deliver)]

    def test_messages_before_a_close_are_delivered(self) -> None:
        client, peer = talking()
        actions = client.receive_data(peer.text(CREATED) + peer.close(1000), 1)
        assert isinstance(actions[0], Deliver)

    def test_nothing_can_be_asked_while_closing(self) -> None:
        client, _ = talking()
        client.close(1)
        before = client.snapshot(1)
        with pytest.raises(LocalProtocolError) as caught:
            client.send(m.InputAudioBufferClear(), 1)
        assert caught.value.rule == "R-N4"
        assert client.snapshot(1) == before

    def test_a_second_close_does_nothing_more(self) -> None:
        client, _ = talking()
        client.close(1)
        assert client.close(2) == ()

    def test_a_socket_that_ends_without_a_close_is_a_fault(self) -> None:
        client, _ = talking()
        assert fault_of(client.receive_eof(1)).kind == "eof"

    def test_a_write_that_failed_ends_the_engine(self) -> None:
        client, _ = talking()
        fault = Fault("write", "broken pipe")
        assert fault_of(client.transport_failed(fault, 1)) == fault

    def test_a_request_that_was_under_way_is_settled_before_the_end(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 0)
        client.send(m.ResponseCreate(event_id="ask"), 0)
        settled, gone, closed = client.receive_eof(1)
        assert settled == RequestSettled("ask", Dropped("disconnected"))
        assert (type(gone), type(closed)) == (Disconnected, Closed)

    @pytest.mark.parametrize(
        "input",
        [
            inputs.Opened(),
            inputs.DataReceived(b"\x81\x00"),
            inputs.EofReceived(),
            inputs.TransportFailed(Fault("write", "x")),
            inputs.Tick(),
            inputs.Close(),
        ],
        ids=lambda input: type(input).__name__,
    )
    def test_after_the_end_inputs_of_the_transport_do_nothing(self, input: inputs.Input) -> None:
        client, _ = talking()
        client.receive_eof(1)
        before = client.snapshot(1)
        assert client.handle(input, 10_000) == ()
        assert (client.snapshot(1), client.deadline) == (before, None)


class TestBrokenPeer:
    def test_a_broken_frame_is_answered_with_1002(self) -> None:
        client, peer = talking()
        actions = client.receive_data(b"\xf1\x00", 1)
        (close,) = peer.receive(written(actions))
        assert isinstance(close, CloseReceived)
        assert close.code == 1002
        assert others(actions) == []
        end = end_of(client.receive_eof(2))
        assert end.fault is not None
        assert (end.code, end.fault.kind, end.fault.rule) == (1002, "protocol", "R-W1")

    def test_a_server_ends_the_socket_of_a_broken_client_itself(self) -> None:
        server, peer = serving()
        actions = server.receive_data(b"\x81\x00", 1)  # not masked
        (close,) = peer.receive(written(actions))
        assert isinstance(close, CloseReceived)
        assert close.code == 1002
        assert others(actions) == [CloseTransport(1002, "")]

    def test_a_message_beyond_the_bound_is_answered_with_1009(self) -> None:
        client, peer = talking(limits=Limits(message_bytes=1000))
        (close,) = peer.receive(written(client.receive_data(peer.text(bytes(1001)), 1)))
        assert isinstance(close, CloseReceived)
        assert close.code == 1009

    def test_text_that_is_no_utf8_is_answered_with_1007(self) -> None:
        client, peer = talking()
        actions = client.receive_data(peer.text(b'{"type":"\xff"}'), 1)
        assert peer.receive(written(actions)) == [CloseReceived(1007, "not UTF-8")]
        end = end_of(client.receive_eof(2))
        assert end.fault is not None
        assert end.fault.rule == "R-E2"

    def test_the_good_messages_before_a_broken_frame_are_delivered(self) -> None:
        client, peer = talking()
        actions = client.receive_data(peer.text(CREATED) + b"\xf1\x00", 1)
        assert isinstance(actions[0], Deliver)

    def test_a_broken_peer_is_waited_for_a_bounded_time(self) -> None:
        client, _ = talking()
        client.receive_data(b"\xf1\x00", 1)
        assert client.next_timer == (Timer.CLOSE, 51)
        assert client.tick(51)[0] == ABORT

    def test_a_frame_that_breaks_after_our_close_changes_nothing(self) -> None:
        client, _ = talking()
        client.close(1)
        assert client.receive_data(b"\xf1\x00", 2) == ()
        assert end_of(client.receive_eof(3)) == Closed(1000, "", None)

    def test_the_same_at_a_server_ends_tcp(self) -> None:
        server, _ = serving()
        server.close(1)
        assert server.receive_data(b"\x81\x00", 2) == (CloseTransport(1002, ""),)


class TestTime:
    @pytest.mark.parametrize(
        "input",
        [
            inputs.DataReceived(b"\x89\x00"),
            inputs.EofReceived(),
            inputs.TransportFailed(Fault("write", "x")),
            inputs.Close(),
            inputs.Tick(),
            inputs.Opened(),
            inputs.Accept(),
            inputs.Send(m.InputAudioBufferClear()),
        ],
        ids=lambda input: type(input).__name__,
    )
    def test_it_does_not_go_back(self, input: inputs.Input) -> None:
        client, _ = talking()
        client.tick(9)
        before = client.snapshot(9)
        with pytest.raises(LocalProtocolError) as caught:
            client.handle(input, 8)
        assert caught.value.rule == "R-N3"
        assert client.snapshot(9) == before

    def test_an_end_with_an_earlier_time_does_not_deafen_the_engine(self) -> None:
        client, peer = talking()
        client.tick(9)
        with pytest.raises(LocalProtocolError):
            client.receive_eof(8)
        assert [type(action) for action in client.receive_data(peer.text(CREATED), 9)] == [Deliver]

    def test_half_a_message_moves_it(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED)[:5], 9)
        with pytest.raises(LocalProtocolError, match="R-N3"):
            client.tick(8)

    def test_a_tick_before_the_deadline_does_nothing(self) -> None:
        client, _ = talking()
        assert client.tick(99) == ()


class TestViews:
    def test_what_a_session_shows_is_shown(self) -> None:
        client, _ = talking()
        assert client.role is Role.CLIENT
        assert client.conversation is client.session.conversation
        assert client.responses is client.session.responses
        assert client.generation == 1
        assert client.closed is None
        client.receive_eof(1, 1000)
        assert client.closed is client.session.closed
        assert client.closed == Closed(1000, "", None)

    def test_there_is_one_deadline_for_wire_and_session(self) -> None:
        client, _ = talking()
        assert client.deadline == 100
        client.close(0)
        assert client.deadline == 50
        client.tick(50)
        assert client.deadline is None


class TestAsData:
    def test_each_input_is_its_method(self) -> None:
        by_method, by_data = a_client(), a_client()
        peer = a_wire("server")
        assert by_method.start(0) == by_data.handle(inputs.Start(), 0)
        headers = (("X-Mine", "1"),)
        request = by_method.opened(0, unix_ns=1, headers=headers)
        assert request == by_data.handle(inputs.Opened(1, headers), 0)
        peer.receive(written(request))
        data = peer.accept()[0] + peer.text(CREATED)
        assert by_method.receive_data(data, 1) == by_data.handle(inputs.DataReceived(data), 1)
        cleared = m.InputAudioBufferCleared(event_id="e")
        assert by_method.receive_event(cleared, 1) == by_data.handle(inputs.EventReceived(cleared), 1)
        clear = m.InputAudioBufferClear()
        assert by_method.send(clear, 1) == by_data.handle(inputs.Send(clear), 1)
        assert by_method.append_audio(b"\0\0", 1) == by_data.handle(inputs.AppendAudio(b"\0\0"), 1)
        assert by_method.audio_played("i", 0, 1, 1) == by_data.handle(inputs.AudioPlayed("i", 0, 1), 1)
        assert by_method.audio_stopped("i", 0, 1, 1) == by_data.handle(inputs.AudioStopped("i", 0, 1), 1)
        assert by_method.interrupt(1) == by_data.handle(inputs.Interrupt(), 1)
        assert by_method.tick(200) == by_data.handle(inputs.Tick(), 200)
        assert by_method.close(200, 4000, "x") == by_data.handle(inputs.Close(4000, "x"), 200)
        assert by_method.receive_eof(201) == by_data.handle(inputs.EofReceived(), 201)
        assert by_method.snapshot(201) == by_data.snapshot(201)

    def test_so_are_those_of_a_server(self) -> None:
        by_method, by_data = asked()[0], asked()[0]
        headers = (("X-Mine", "1"),)
        assert by_method.accept(0, headers=headers) == by_data.handle(inputs.Accept(None, headers), 0)
        assert by_method.speech_started(10, 1) == by_data.handle(inputs.SpeechStarted(10), 1)
        actions = by_method.speech_stopped(20, 1)
        assert actions == by_data.handle(inputs.SpeechStopped(20), 1)
        (item,) = by_method.conversation
        said = TranscriptDelta("hel")
        assert by_method.transcribed(item.id, 0, said, 1) == by_data.handle(inputs.Transcribed(item.id, 0, said), 1)
        (request,) = [action for action in actions if isinstance(action, ResponseRequested)]
        done = ItemFinished(response_id=request.response_id, output_index=7)
        with pytest.raises(LocalProtocolError) as by_name:
            by_method.generate(done, 1)
        with pytest.raises(LocalProtocolError) as by_value:
            by_data.handle(inputs.Generate(done), 1)
        assert str(by_name.value) == str(by_value.value)
        fault = Fault("write", "broken pipe")
        assert by_method.transport_failed(fault, 2) == by_data.handle(inputs.TransportFailed(fault), 2)

    def test_a_rejection_is_the_same_both_ways(self) -> None:
        by_method, by_data = asked()[0], asked()[0]
        headers = (("X-Mine", "1"),)
        assert by_method.reject(0, 429, headers, b"!") == by_data.handle(inputs.Reject(429, headers, b"!"), 0)


class TestRestoring:
    def restored(self, connection: Connection, now: int = 50) -> Connection:
        return Connection.restore(connection.snapshot(now), connection.config, now=now, entropy=Drawn())

    def test_it_comes_back_without_a_socket_and_dials_when_it_is_started(self) -> None:
        client, _ = talking()
        again = self.restored(client)
        assert again.deadline is None
        assert again.start(50) == (OpenTransport(2, 1),)

    def test_a_socket_that_somebody_else_dialled_begins_the_next_generation_too(self) -> None:
        client, _ = talking()
        again, peer = self.restored(client), a_wire("server")
        peer.receive(written(again.opened(50)))
        assert again.receive_data(peer.accept()[0], 50) == (Connected(2),)

    def test_so_it_is_with_a_server(self) -> None:
        server, _ = serving()
        again, peer = self.restored(server), a_wire("client")
        again.opened(50)
        again.receive_data(peer.request(ENDPOINT), 50)
        assert Connected(2) in again.accept(50)

    def test_the_session_of_the_new_socket_is_awaited(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 1)
        again = self.restored(client)
        assert isinstance(again.session, ClientSession)
        assert again.session.state == "awaiting"
        again_peer = a_wire("server")
        again_peer.receive(written(again.opened(50)))
        actions = again.receive_data(again_peer.accept()[0] + again_peer.text(CREATED), 50)
        assert [type(action) for action in actions] == [Connected, Deliver]

    def test_the_conversation_is_kept(self) -> None:
        client, peer = talking()
        item = {"id": "item", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        added = {"type": "conversation.item.added", "event_id": "e", "previous_item_id": None, "item": item}
        client.receive_data(peer.text(CREATED) + peer.text(json.dumps(added).encode()), 1)
        assert [node.text for node in self.restored(client).conversation] == ["hi"]

    def test_what_was_under_way_is_told_with_the_first_call(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 0)
        client.send(m.ResponseCreate(event_id="ask"), 0)
        assert self.restored(client).start(50) == (
            RequestSettled("ask", Dropped("disconnected")),
            OpenTransport(2, 1),
        )

    def test_it_stands_in_nobodys_way_afterwards(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 0)
        client.send(m.ResponseCreate(event_id="sent"), 0)
        again, peer = self.restored(client), a_wire("server")
        peer.receive(written(again.opened(50)))
        again.receive_data(peer.accept()[0] + peer.text(CREATED), 50)
        (message,) = peer.receive(written(again.send(m.ResponseCreate(event_id="new"), 50)))
        assert isinstance(message, bytes)
        assert json.loads(message)["event_id"] == "new"
        assert again.next_timer == (Timer.PING, 150)

    def test_a_request_that_was_held_back_is_asked_of_the_next_session(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 0)
        for name in ("sent", "waiting"):
            client.send(m.ResponseCreate(event_id=name), 0)
        again, peer = self.restored(client), a_wire("server")
        peer.receive(written(again.opened(50)))
        (message,) = peer.receive(written(again.receive_data(peer.accept()[0] + peer.text(CREATED), 50)))
        assert isinstance(message, bytes)
        assert json.loads(message)["event_id"] == "waiting"

    def test_what_waited_for_a_socket_waits_for_the_next(self) -> None:
        client = a_client()
        client.send(m.ResponseCreate(event_id="ask"), 0)
        client.append_audio(bytes(4), 0)
        again, peer = self.restored(client), a_wire("server")
        assert again.start(50) == (OpenTransport(1, 1),)
        peer.receive(written(again.opened(50)))
        messages = peer.receive(written(again.receive_data(peer.accept()[0], 50)))
        types = [json.loads(message)["type"] for message in messages if isinstance(message, bytes)]
        assert types == ["response.create", "input_audio_buffer.append"]

    def test_the_buffer_of_the_next_socket_is_empty(self) -> None:
        client, peer = talking()
        client.receive_data(peer.text(CREATED), 0)
        client.append_audio(bytes(48 * 200), 0)
        again = self.restored(client)
        assert isinstance(again.session, ClientSession)
        assert again.session.input_audio_buffer.total == 0
        with pytest.raises(LocalProtocolError, match="R-I3"):
            again.send(m.InputAudioBufferCommit(), 50)

    def test_the_voice_of_the_next_session_was_not_heard_yet(self) -> None:
        client, peer = talking()
        part = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
        opened = {"type": "response.content_part.added", "part": {"type": "audio"}, **part}
        client.receive_data(peer.text(CREATED) + peer.text(json.dumps(opened).encode()), 0)
        assert isinstance(client.session, ClientSession)
        assert client.session.has_spoken
        again = self.restored(client)
        assert isinstance(again.session, ClientSession)
        assert not again.session.has_spoken

    def test_a_server_shows_a_new_session_on_the_next_socket(self) -> None:
        server, _ = serving()
        again, peer = self.restored(server), a_wire("client")
        again.opened(50)
        again.receive_data(peer.request(ENDPOINT), 50)
        (message,) = [each for each in peer.receive(written(again.accept(50))) if isinstance(each, bytes)]
        assert json.loads(message)["type"] == "session.created"

    @pytest.mark.parametrize("retain", [False, True])
    def test_a_server_hears_the_next_socket_from_its_first_sample(self, retain: bool) -> None:
        server, peer = serving(retain_input_audio=retain)
        append = json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * 100}).encode()
        server.receive_data(peer.text(append), 0)
        server.speech_started(0, 0)
        again, peer = self.restored(server), a_wire("client")
        again.opened(50)
        again.receive_data(peer.request(ENDPOINT), 50)
        peer.receive(written(again.accept(50)))
        assert [each for each in again.receive_data(peer.text(append), 50) if isinstance(each, InputAudio)] == [
            InputAudio(bytes(300), 0)
        ]
        again.speech_started(0, 50)
        (committed,) = [each for each in again.speech_stopped(10, 50) if isinstance(each, InputCommitted)]
        assert committed.audio == (bytes(300) if retain else None)

    def test_a_closed_connection_is_restored_closed(self) -> None:
        client, _ = talking()
        client.receive_eof(1, 1000)
        again = self.restored(client)
        assert again.closed == Closed(1000, "", None)
        with pytest.raises(LocalProtocolError, match="R-N4"):
            again.start(50)

    def test_a_session_of_the_message_level_can_go_on_at_the_level_of_bytes(self) -> None:
        session = Session(Role.CLIENT, SessionConfig(), now=0)
        session.opened(0)
        again = Connection.restore(session.snapshot(0), config(), now=0, entropy=Drawn())
        again.start(0)
        assert written(again.opened(0)).startswith(b"GET ")

    @pytest.mark.parametrize("change", [{"version": 99}, {"tables": "0"}, {"role": "conductor"}], ids=repr)
    def test_a_snapshot_that_does_not_fit_is_refused(self, change: dict[str, Any]) -> None:
        client, _ = talking()
        snapshot: Snapshot = structs.replace(client.snapshot(0), **change)
        with pytest.raises(SnapshotError):
            Connection.restore(snapshot, config(), now=0, entropy=Drawn())


def test_the_same_inputs_and_entropy_give_the_same_bytes() -> None:
    def run() -> list[Action]:
        client, peer = talking()
        actions = [*client.receive_data(peer.text(CREATED), 1), *client.send(m.ResponseCreate(), 2)]
        return [*actions, *client.append_audio(b"\0\0", 2), *client.tick(200), *client.close(201)]

    assert run() == run()


def test_no_repr_of_what_a_client_does_to_connect_shows_the_key() -> None:
    client, _ = knocking()
    shown = [repr(client.config), repr(a_client().opened(0)), repr(client.snapshot(0)), repr(client.close(1))]
    assert not [text for text in shown if SECRET in text]


# -- another socket ----------------------------------------------------------------------------------------------------

ITEM = {"id": "item", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
ADDED = json.dumps({"type": "conversation.item.added", "event_id": "e", "item": ITEM}).encode()


def dialled(**changes: Any) -> tuple[Connection, Wire]:
    """A client that dialled by itself, in a session that has shown itself and has one item."""
    client, peer = a_client(renewal=RenewalPolicy(jitter=0), **changes), a_wire("server")
    client.start(0)
    peer.receive(written(client.opened(0, unix_ns=0)))
    client.receive_data(peer.accept()[0] + peer.text(CREATED) + peer.text(ADDED), 0)
    return client, peer


def told(client: Connection, now: int) -> list[dict[str, Any]]:
    """What the client says over its next socket, which opens now."""
    peer = a_wire("server")
    peer.receive(written(client.opened(now, unix_ns=now)))
    messages = peer.receive(written(client.receive_data(peer.accept()[0], now)))
    return [json.loads(message) for message in messages if isinstance(message, bytes)]


class TestRenewing:
    def test_a_peer_that_goes_away_is_answered_and_then_dialled_again(self) -> None:
        client, peer = dialled()
        actions = client.receive_data(peer.close(1001, "restart"), 1)
        assert [type(action) for action in actions] == [Transmit]
        (gone,) = client.receive_eof(2)
        assert isinstance(gone, Disconnected)
        assert (gone.code, gone.reason) == (1001, "restart")
        assert gone.retry_at is not None
        assert client.tick(gone.retry_at) == (OpenTransport(2, 2),)

    def test_the_next_socket_carries_a_handshake_and_then_the_history(self) -> None:
        client, _ = dialled()
        client.receive_eof(1)
        assert client.deadline is not None
        client.tick(client.deadline)
        (event,) = told(client, 10**9)
        assert (event["type"], event["item"]["id"]) == ("conversation.item.create", "item")

    def test_each_dial_may_bring_credentials_of_its_own(self) -> None:
        client, _ = dialled()
        client.receive_eof(1)
        assert client.deadline is not None
        client.tick(client.deadline)
        request = written(client.opened(10**9, headers=(("Authorization", "Bearer fresh"),)))
        assert b"Authorization: Bearer fresh\r\n" in request
        assert SECRET.encode() not in request

    def test_a_peer_that_answers_no_ping_is_left_for_another_socket(self) -> None:
        client, _ = dialled()
        client.tick(100)
        aborted, gone = client.tick(180)
        assert aborted == ABORT
        assert isinstance(gone, Disconnected)
        assert gone.retry_at is not None

    def test_a_handshake_that_is_refused_for_now_is_tried_again(self) -> None:
        client, _ = dialled()
        client.receive_eof(1)
        for status, ends in ((503, False), (401, True)):
            assert client.deadline is not None
            now = client.deadline
            client.tick(now)
            peer = a_wire("server")
            peer.receive(written(client.opened(now)))
            actions = client.receive_data(peer.reject(status, (), b""), now)
            assert (client.closed is not None) is ends
            assert any(isinstance(action, Disconnected) for action in actions)

    def test_a_handshake_that_hangs_is_dropped_before_the_next(self) -> None:
        client, _ = dialled()
        client.receive_eof(1)
        assert client.deadline is not None
        now = client.deadline
        client.tick(now)
        client.opened(now)
        assert client.tick(now + 500)[0] == ABORT
        assert client.closed is None

    def test_a_link_between_two_sockets_comes_back_waiting_to_dial(self) -> None:
        client, _ = dialled()
        client.receive_eof(1)
        again = Connection.restore(client.snapshot(2), config(), now=50, entropy=Drawn())
        assert again.deadline is None
        assert again.start(50) == (OpenTransport(2, 1),)
        (event,) = told(again, 60)
        assert event["item"]["id"] == "item"


def test_a_connection_s_session_is_that_of_its_role() -> None:
    config = ConnectionConfig(endpoint=ENDPOINT)
    client, server = (Connection(role, config, now=0, entropy=bytes) for role in (Role.CLIENT, Role.SERVER))
    assert (client.client, server.server) == (client.session, server.session)
    with pytest.raises(TypeError, match="`client`"):
        _ = client.server
    with pytest.raises(TypeError, match="`server`"):
        _ = server.client
