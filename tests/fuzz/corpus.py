"""Where the search begins: for each door a few inputs that it knows, most made of the sessions in ``tests/traces``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from antiphon import Connection, ConnectionConfig, Role, Session, SessionConfig
from antiphon.engine.session import session_of
from fuzz.doors import ENDPOINT, Numbers, connection, written

ROOT = Path(__file__).resolve().parents[2]
TRACES = sorted((ROOT / "tests" / "traces").glob("*.jsonl"))
RECORDED = ROOT / "tests" / "traces" / "recorded" / "barge_in_and_reconnect.jsonl"
SCRIPT = b"""[[reply]]
when = "weather (?:in )?(.*)"
call = [{ name = "get_weather", arguments = { city = "Paris", days = 2 } }]
[[reply]]
after = "get_weather"
say = ["It is {output}.", "Anything else?"]
chunk = "word"
delay_ms = 3.5
times = 2
[[reply]]
say = "You said: {user}"
status = "incomplete"
[[reply]]
status = "failed"
error = { code = "server_error", message = "no" }
close = 1011
"""
URLS = (
    b"wss://api.openai.com/v1/realtime?model=gpt-realtime",
    b"ws://[::1]:8080/",
    b"https://contoso.openai.azure.com/openai?api-version=1&deployment=d",
    b"ws://h\xc3\xa9.example:0/%zz#f",
    b"http://user:secret@127.0.0.1/a b",
)


@cache
def messages(side: str) -> tuple[tuple[bytes, ...], ...]:
    """What one side says in each recorded session."""
    found = []
    for trace in TRACES:
        lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
        found.append(tuple(json.dumps(line["event"]).encode() for line in lines if line["dir"] == side))
    return tuple(found)


def frame(payload: bytes, opcode: int = 1, *, masked: bool) -> bytes:
    """A whole frame, under a mask of zeros."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    bit = 0x80 if masked else 0
    head += bytes([bit | size]) if size < 126 else bytes([bit | 126]) + size.to_bytes(2, "big")
    return head + (bytes(4) if masked else b"") + payload


def framed(side: str) -> list[bytes]:
    masked = side == "client"
    control = frame(b"?", 9, masked=masked) + frame(b"\x03\xe8bye", 8, masked=masked)
    told = [b"".join(frame(each, masked=masked) for each in session) for session in messages(side)]
    return [*told, control, frame(b"\0\1", 2, masked=masked), b"\x01\x00\x80\x00", b"\x81\xff" + bytes(12)]


def snapshots() -> list[bytes]:
    """Both roles, in the middle and at the end of what they heard."""
    found = []
    for role, side in ((Role.CLIENT, "server"), (Role.SERVER, "client")):
        for heard in messages(side):
            session: Session = session_of(role, SessionConfig(), now=0, entropy=Numbers())
            session.opened(0)
            for number, message in enumerate(heard):
                session.receive_message(message, 0)
                if number % 7 == 6:
                    found.append(session.snapshot(0).encode())
            found.append(session.snapshot(0).encode())
    return found


def handshakes() -> tuple[bytes, bytes]:
    """The request of a client, and the answer of a server."""
    client = Connection(Role.CLIENT, ConnectionConfig(endpoint=ENDPOINT), now=0, entropy=Numbers())
    request, server = written(client.opened(0)), connection(Role.SERVER)
    server.receive_data(request, 0)
    return request, written(server.accept(0))


def seeds(door: str) -> list[bytes]:
    """The inputs that the search of this door begins with."""
    request, response = handshakes()
    match door:
        case "client_messages":
            return [b"\n".join(each) for each in messages("server")]
        case "server_messages":
            return [b"\n".join(each) for each in messages("client")]
        case "client_handshake":
            refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 26\r\n\r\n" + b'{"error": {"code": "no"}} '
            return [response, refusal, response + framed("server")[0]]
        case "server_handshake":
            return [request, request + framed("client")[0], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"]
        case "client_data" | "client_recording":
            return framed("server")
        case "server_data" | "server_recording":
            return framed("client")
        case "snapshot":
            return snapshots()
        case "journal":
            return [trace.read_bytes()[:4000] for trace in TRACES]
        case "replay":
            lines = RECORDED.read_bytes().splitlines(keepends=True)
            return [b"".join(line for line in lines[:12] if len(line) < 4000), b"".join(lines[:2]), b"".join(lines[:4])]
        case "script":
            return [SCRIPT]
        case _:
            return list(URLS)
