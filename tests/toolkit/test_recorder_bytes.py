"""Recorded at the level of bytes: whatever the network and the peer do, the journal plays to the same end."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from antiphon import Disconnected, Fault, inputs
from antiphon import messages as m
from toolkit.journal_helpers import KEY, MS, Tape, endpoint, pair, pass_on, same, text_frame, written

CREATED = {"type": "session.created", "event_id": "e", "session": {"type": "realtime", "id": "sess_1"}}
REFUSED = b'{"error":{"message":"Incorrect API key provided: %b","code":"invalid_api_key"}}' % KEY.encode()
LIMIT = {"message_bytes": 400, "fragments": 4, "http_head_bytes": 2000}


USER = m.MessageItem(role="user", content=[m.InputText(text="hello")])


def limits() -> Any:
    from antiphon import Limits

    return Limits(**LIMIT)


def opened(role: str) -> Tape:
    """One end whose handshake is complete; ``role`` is its own."""
    client, server = pair()
    return client if role == "client" else server


def bounded(role: str) -> Tape:
    """The same with small bounds, and no session yet."""
    tape = Tape(role, limits=limits())
    request = written(tape.do(inputs.Opened()))
    other = Tape("server" if role == "client" else "client")
    if role == "client":
        other.do(inputs.Opened())
        other.hear(request)
        answer = written(other.do(inputs.Accept()))
        tape.hear(answer[: answer.index(b"\r\n\r\n") + 4])
    else:
        tape.hear(written(other.do(inputs.Opened())))
        tape.do(inputs.Accept())
    assert tape.engine.reads
    return tape


def event_for(role: str, **fields: Any) -> dict[str, Any]:
    """Something that the peer of ``role`` may say, with a credential in it."""
    tool = {"type": "mcp", "server_label": "x", "server_url": "https://x.example/", "authorization": KEY}
    session = {"type": "realtime", "tools": [tool], **fields}
    return {"type": "session.updated" if role == "client" else "session.update", "session": session}


def said(tape: Tape) -> list[Any]:
    return [action.event for action in tape.heard if type(action).__name__ == "Deliver"]


ROLES = pytest.mark.parametrize("role", ["client", "server"])


class TestHandshakes:
    @pytest.mark.parametrize("size", [None, 1, 7, 64])
    def test_a_session_replays_however_its_bytes_came(self, size: int | None) -> None:
        client, server = pair(size=size)
        create = m.ConversationItemCreate(item=USER)
        pass_on(written(client.do(inputs.Send(create))), server, client, size)
        pass_on(written(client.do(inputs.Close())), server, client, size)
        same(client, server)

    @pytest.mark.parametrize("size", [None, 1, 50])
    @pytest.mark.parametrize("framing", ["length", "chunks", "end", "cut"])
    def test_a_refused_handshake_replays_without_its_body(self, size: int | None, framing: str) -> None:
        client = Tape("client")
        client.do(inputs.Opened())
        head = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nSet-Cookie: " + KEY.encode() + b"\r\n"
        if framing == "length":
            response = head + b"Content-Length: %d\r\n\r\n" % len(REFUSED) + REFUSED
        elif framing == "chunks":
            chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(REFUSED), REFUSED)
            response = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        elif framing == "end":
            response = head + b"\r\n" + REFUSED
        else:
            response = head + b"Content-Length: 5000\r\n\r\n" + REFUSED
        client.hear(response, size)
        client.do(inputs.EofReceived())
        assert client.engine.closed is not None
        assert client.engine.closed.fault is not None
        assert client.engine.closed.fault.status == 401
        assert client.engine.closed.fault.code == "invalid_api_key"
        same(client)

    @pytest.mark.parametrize("status", [b"200 OK", b"200 OK 101", b"302 Found", b"100 Continue", b"204 No Content"])
    def test_any_answer_that_opens_nothing_replays_without_its_body(self, status: bytes) -> None:
        client = Tape("client")
        client.do(inputs.Opened())
        client.hear(b"HTTP/1.1 " + status + b"\r\nLocation: /?key=" + KEY.encode() + b"\r\n\r\n" + REFUSED)
        client.do(inputs.EofReceived())
        same(client)

    @ROLES
    @pytest.mark.parametrize(
        "garbage",
        [
            b"SSH-2.0-OpenSSH_9\r\n",
            b"\x16\x03\x01\x02\x00" + bytes(range(256)),
            b"\r\n\r\n",
            b"GET /v1/realtime?api_key=" + KEY.encode() + b" HTTP/1.1\nAuthorization: Bearer " + KEY.encode() + b"\n\n",
            b"get /?api_key=" + KEY.encode() + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nAuthorization : " + KEY.encode() + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n " + KEY.encode() + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n" + KEY.encode() + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + KEY.encode() + b": a\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST /?" + KEY.encode() + b" HTTP/1.1\r\n\r\n",
            b"GET /?" + KEY.encode() + b" HTTP/3.0\r\n\r\n",
            b"GET //me:" + KEY.encode() + b"@x/#" + KEY.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"HTTP/1.1 101 " + KEY.encode() + b"\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\nrest",
            b"HTTP/1.1\r\nX: " + KEY.encode() + b"\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize("size", [None, 1])
    def test_bytes_that_are_no_handshake_replay(self, role: str, garbage: bytes, size: int | None) -> None:
        tape = Tape(role)
        tape.do(inputs.Opened())
        tape.hear(garbage, size)
        tape.do(inputs.EofReceived())
        assert tape.engine.closed is not None
        same(tape)

    @ROLES
    @pytest.mark.parametrize("size", [None, 1, 1000])
    @pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
    def test_a_head_that_is_too_long_replays_as_too_long(self, role: str, size: int | None, end: bytes) -> None:
        tape = Tape(role, limits=limits())
        tape.do(inputs.Opened())
        first = b"HTTP/1.1 101 Switching Protocols\r\n" if role == "client" else b"GET /v1/realtime HTTP/1.1\r\n"
        headers = b"".join(b"X-%d: %b\r\n" % (n, KEY.encode() * 10) for n in range(12))
        tape.hear(first + headers[:-2] + end, size)
        assert tape.engine.closed is not None
        assert tape.engine.closed.fault is not None
        assert tape.engine.closed.fault.rule == "R-W3"
        same(tape)

    @pytest.mark.parametrize("line", ["X: " + KEY * 500, "GET /?" + KEY * 500])
    def test_a_line_that_is_too_long_replays_as_too_long(self, line: str) -> None:
        server = Tape("server")
        server.do(inputs.Opened())
        request = f"GET / HTTP/1.1\r\n{line}\r\n\r\n" if line.startswith("X") else f"{line} HTTP/1.1\r\n\r\n"
        server.hear(request.encode())
        assert server.engine.closed is not None
        assert server.engine.closed.fault is not None
        assert server.engine.closed.fault.status in (414, 431)
        same(server)

    @ROLES
    def test_an_end_in_the_middle_of_a_head_replays(self, role: str) -> None:
        first = (
            b"HTTP/1.1 101 Switching Protocols\r\n" if role == "client" else b"GET /?key=%b HTTP/1.1\r\n" % KEY.encode()
        )
        head = first + b"Authorization: Bearer " + KEY.encode() + b"\r\nX"
        for cut in range(len(head)):
            tape = Tape(role)
            tape.do(inputs.Opened())
            tape.hear(head[:cut])
            tape.do(inputs.EofReceived())
            same(tape)

    @pytest.mark.parametrize("size", [None, 1])
    def test_keys_in_header_query_and_subprotocol_are_not_written(self, size: int | None) -> None:
        address = endpoint(headers=[("api-key", KEY), ("Cookie", KEY)])
        client = Tape("client", address=address)
        server = Tape("server")
        request = written(client.do(inputs.Opened(headers=(("X-Fresh", KEY),))))
        assert KEY.encode() in request
        request = request.replace(b"?model=m", b"?model=m&api_key=%b&%b" % (KEY.encode(), KEY.encode()))
        offer = b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.%b\r\n\r\n" % KEY.encode()
        server.do(inputs.Opened())
        server.hear(request[:-2] + offer, size)
        answer = written(
            server.do(inputs.Accept(subprotocol=f"openai-insecure-api-key.{KEY}", headers=(("Set-Cookie", KEY),)))
        )
        assert b" 101 " in answer
        same(client, server)

    def test_a_server_that_refuses_replays_without_the_words_of_its_refusal(self) -> None:
        client, server = Tape("client"), Tape("server")
        request = written(client.do(inputs.Opened()))
        server.do(inputs.Opened())
        server.hear(request)
        client.hear(written(server.do(inputs.Reject(401, (("WWW-Authenticate", KEY),), REFUSED))))
        assert base64.b64encode(REFUSED)[:20] not in server.lines
        same(client, server)

    @pytest.mark.parametrize("what", ["frame", "part", "broken", "fragments"])
    def test_what_a_client_says_before_it_is_let_in_replays(self, what: str) -> None:
        client, server = Tape("client"), Tape("server")
        early = {
            "frame": text_frame(event_for("server"), masked=True),
            "part": text_frame(event_for("server"), masked=True)[:40],
            "broken": text_frame(event_for("server"), masked=True, head=0x83)[:90],
            "fragments": text_frame(b'{"type":', masked=True, head=0x01),
        }[what]
        server.do(inputs.Opened())
        server.hear(written(client.do(inputs.Opened())) + early)
        server.do(inputs.Accept())
        assert (what == "broken") is (not server.engine.reads)
        server.do(inputs.EofReceived())
        same(server)

    def test_too_much_before_it_is_let_in_replays(self) -> None:
        client, server = Tape("client"), Tape("server", limits=limits())
        server.do(inputs.Opened())
        server.hear(written(client.do(inputs.Opened())))
        for _ in range(3):
            server.hear(text_frame(b"{" * 200, masked=True))
        assert not server.engine.reads
        same(server)


class TestFrames:
    @ROLES
    @pytest.mark.parametrize("size", [None, 1])
    @pytest.mark.parametrize(
        ("head", "payload"),
        [
            (0xC1, b'{"type":"x"}'),
            (0xF1, b'{"type":"x","authorization":"' + KEY.encode() + b'"}'),
            (0x83, b"reserved opcode"),
            (0x8B, b"reserved control"),
            (0x80, b"a continuation of nothing"),
            (0x09, b"a PING in parts"),
            (0x89, bytes(126)),
            (0x81, b'{"authorization":"\xff' + KEY.encode() + b'"}'),
            (0x81, b'{"authorization":"' + KEY.encode()),
            (0x81, b"[1,2]"),
            (0x81, b""),
            (0x82, b"binary " + KEY.encode()),
            (0x88, b"\x03\xe8bye"),
            (0x88, b"\x03"),
            (0x88, b"\x03\xe8\xff\xfe"),
            (0x88, b""),
            (0x89, b"ping"),
            (0x8A, b"pong"),
        ],
    )
    def test_a_frame_of_any_kind_replays(self, role: str, head: int, payload: bytes, size: int | None) -> None:
        tape = opened(role)
        tape.hear(text_frame(payload, masked=role == "server", head=head), size)
        tape.hear(text_frame(event_for(role), masked=role == "server"), size)
        tape.do(inputs.EofReceived())
        same(tape)

    @ROLES
    def test_a_frame_with_the_wrong_mask_replays_as_wrong(self, role: str) -> None:
        tape = opened(role)
        tape.hear(text_frame(event_for(role), masked=role == "client"))
        assert not tape.engine.reads
        same(tape)

    @ROLES
    def test_the_beginning_of_a_frame_with_the_wrong_mask_replays_as_wrong(self, role: str) -> None:
        tape = opened(role)
        tape.hear(text_frame(event_for(role), masked=role == "client")[:100])
        assert not tape.engine.reads
        same(tape)

    @ROLES
    @pytest.mark.parametrize("size", [None, 1, 100])
    @pytest.mark.parametrize("secret", [False, True])
    def test_a_message_that_is_too_large_replays_as_too_large(self, role: str, size: int | None, secret: bool) -> None:
        tape = bounded(role)
        text = b'{"authorization":"%b"}' % (KEY.encode() * 50) if secret else b'{"type":"%b"}' % (b"x" * 900)
        tape.hear(text_frame(text, masked=role == "server"), size)
        assert not tape.engine.reads
        same(tape)

    @ROLES
    @pytest.mark.parametrize("size", [None, 1])
    def test_a_message_in_frames_replays_with_a_ping_between(self, role: str, size: int | None) -> None:
        tape = opened(role)
        text = repr_of(event_for(role))
        masked = role == "server"
        for start in range(0, len(text), 9):
            last = start + 9 >= len(text)
            head = (0x01 if start == 0 else 0x00) | (0x80 if last else 0)
            tape.hear(text_frame(text[start : start + 9], masked=masked, head=head), size)
            if start % 4 == 0:
                tape.hear(text_frame(b"alive?", masked=masked, head=0x89), size)
        assert said(tape)[-1].session.tools[0].authorization == KEY
        same(tape)

    @ROLES
    @pytest.mark.parametrize("ending", ["too many", "too large", "another text", "close", "reserved", "end"])
    @pytest.mark.parametrize("at_once", [False, True])
    def test_a_message_in_frames_that_never_ends_replays(self, role: str, ending: str, at_once: bool) -> None:
        tape = bounded(role)
        masked = role == "server"
        data = text_frame(b'{"authorization":"%b' % KEY[:8].encode(), masked=masked, head=0x01)
        rest = text_frame(KEY[8:].encode(), masked=masked, head=0x00)
        data += {
            "too many": rest
            + text_frame(b"1", masked=masked, head=0x00) * 2
            + text_frame(b'"}', masked=masked, head=0x80),
            "too large": rest + text_frame(b"1" * 399, masked=masked, head=0x80),
            "another text": rest + text_frame(b"{}", masked=masked),
            "close": rest + text_frame(b"\x03\xe8", masked=masked, head=0x88),
            "reserved": text_frame(KEY[8:].encode(), masked=masked, head=0x40),
            "end": rest,
        }[ending]
        tape.hear(data, None if at_once else 1)
        assert tape.engine.reads is (ending == "end")
        tape.do(inputs.EofReceived())
        assert KEY[8:].encode() not in tape.lines
        assert not any(KEY[8:].encode() in base64.b64decode(text) for text in raw(tape))
        same(tape)

    @ROLES
    def test_a_fault_right_behind_a_good_message_replays(self, role: str) -> None:
        tape = opened(role)
        masked = role == "server"
        good = text_frame({"type": "x.y"}, masked=masked)
        tape.hear(good + text_frame(event_for(role), masked=masked, head=0x83)[:60])
        assert not tape.engine.reads
        same(tape)

    @ROLES
    def test_an_end_in_the_middle_of_a_frame_replays(self, role: str) -> None:
        data = text_frame(event_for(role), masked=role == "server")
        for cut in range(len(data)):
            tape = opened(role)
            tape.hear(data[:cut])
            tape.do(inputs.EofReceived())
            same(tape)

    @ROLES
    def test_nothing_is_written_of_what_nobody_reads(self, role: str) -> None:
        tape = opened(role)
        masked = role == "server"
        tape.hear(text_frame(b"\x03\xe8", masked=masked, head=0x88))
        before = bytes(tape.lines)
        tape.hear(bytes(100_000))
        assert tape.lines == before
        same(tape)

    def test_a_message_that_is_no_event_shows_no_key(self) -> None:
        client = opened("client")
        for text in (
            b'{"authorization":"%b", "n":1e999}',
            b'{"authorization":"%b"} and more',
            b'{"authorization":\n"%b"}',
        ):
            client.hear(text_frame(text % KEY.encode(), masked=False))
        assert not any(KEY.encode() in base64.b64decode(text) for text in raw(client))
        same(client)

    def test_a_message_in_several_lines_stands_in_one_row(self) -> None:
        client = opened("client")
        client.hear(text_frame(b'{\r\n "type": "x.y"\r\n}', masked=False))
        assert b'"event":{   "type": "x.y"  },' in client.lines
        same(client)

    def test_a_line_break_in_a_string_is_as_wrong_when_it_is_replayed(self) -> None:
        client = opened("client")
        client.hear(text_frame(b'{"type":"x\ny"}', masked=False))
        same(client)


class TestOtherThings:
    def test_a_failed_dial_replays(self) -> None:
        client = Tape("client")
        client.do(inputs.Start())
        client.do(inputs.TransportFailed(Fault("dial", "connection refused", "R-L3")))
        client.now += 60_000 * MS
        client.do(inputs.Tick())
        same(client)

    def test_a_second_socket_replays(self) -> None:
        client = Tape("client")
        client.do(inputs.Start())
        servers = []
        for _ in range(2):
            server = Tape("server")
            server.do(inputs.Opened())
            server.hear(written(client.do(inputs.Opened())))
            pass_on(written(server.do(inputs.Accept())), client, server)
            client.hear(text_frame(event_for("client"), masked=False)[:40])  # and no more of it
            client.do(inputs.EofReceived())
            assert isinstance(client.heard[-1], Disconnected)
            client.now += 60_000 * MS
            client.do(inputs.Tick())
            servers.append(server)
        assert client.engine.generation == 3
        same(client, *servers)

    def test_a_command_at_a_time_that_has_passed_is_not_recorded(self) -> None:
        client = opened("client")
        client.do(inputs.Tick())
        before = bytes(client.lines)
        client.now -= 2 * MS
        client.do(inputs.Interrupt())
        assert client.lines == before
        same(client)

    def test_a_tick_that_is_not_due_is_not_recorded(self) -> None:
        client = opened("client")
        before = bytes(client.lines)
        client.do(inputs.Tick())
        assert client.lines == before

    def test_bytes_without_a_socket_are_not_recorded(self) -> None:
        client = Tape("client")
        before = bytes(client.lines)
        client.do(inputs.DataReceived(KEY.encode()))
        assert client.lines == before


def raw(tape: Tape) -> list[str]:
    """The bytes that stand in the journal as base64."""
    texts = []
    for given in tape.given():
        texts += [frame for frame in given.get("frames", ()) if frame != "row"]
        texts += [given["other"]] if "other" in given else []
    return texts


def repr_of(event: dict[str, Any]) -> bytes:
    import msgspec

    return msgspec.json.encode(event)
