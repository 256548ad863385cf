"""The doors: each takes any bytes, and raises only what is a fault of ours.

What may come of an input is listed here and nowhere else. Engines answer what they receive with actions and raise
nothing; `LocalProtocolError` is for what the door itself asks of an engine. Readers refuse with an error of their own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import suppress

from antiphon import (
    Actions,
    ClientSession,
    Connection,
    ConnectionConfig,
    Endpoint,
    HandshakeReceived,
    ItemFinished,
    ItemStarted,
    LocalProtocolError,
    ResponseFinished,
    ResponseRequested,
    Role,
    ServerSession,
    Session,
    SessionConfig,
    Snapshot,
    SnapshotError,
    StopAudio,
    TextDelta,
    Transmit,
)
from antiphon import messages as m
from antiphon.engine.session import session_of
from antiphon.toolkit.journal import read_lines
from antiphon.toolkit.recorded import RecordedConnection
from antiphon.toolkit.recorder import Journal, Recorder
from antiphon.toolkit.replay import NotReplayable, Replay, Steps
from antiphon_server.script import ScriptError, parse_script

MS = 1_000_000
MOST_TICKS = 50
"""So many deadlines may follow one input before time has to stand still."""

ENDPOINT = Endpoint.custom("ws://example.org/v1/realtime")


class Stuck(AssertionError):
    """An engine that is never idle."""


class Numbers:
    """Entropy that counts."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")


def settle(engine: Session | Connection, now: int) -> int:
    """Let the deadlines of the next 100 ms pass."""
    until = now + 100 * MS
    for _ in range(MOST_TICKS):
        deadline = engine.deadline
        if deadline is None or deadline > until:
            return until
        now = max(now, deadline)
        engine.tick(now)
    raise Stuck(f"{MOST_TICKS} deadlines within 100 ms")


def remembers(session: Session, now: int) -> None:
    """A session is what its snapshot says."""
    snapshot = session.snapshot(now)
    text = snapshot.encode()
    restored = Session.restore(Snapshot.decode(text), session.config, now=now, entropy=Numbers())
    assert restored.snapshot(now).encode() == text


# -- messages ----------------------------------------------------------------------------------------------------------


def client_messages(data: bytes) -> None:
    """A client hears a message a line, plays what it is told to stop, and asks for responses in between."""
    client = session_of(Role.CLIENT, SessionConfig(), now=0, entropy=Numbers())
    assert isinstance(client, ClientSession)
    client.opened(0)
    now = 0
    for number, line in enumerate(data.split(b"\n")):
        actions = client.receive_message(line, now)
        with suppress(LocalProtocolError):
            if number % 5 == 4:
                client.send(m.ResponseCreate(), now)
            for action in actions:
                if isinstance(action, StopAudio):
                    client.audio_stopped(action.item_id, action.content_index, len(line), now)
        now = settle(client, now)
    remembers(client, now)
    client.receive_eof(now)


def server_messages(data: bytes) -> None:
    """A server hears a message a line, and its brain says two words to each request."""
    server = session_of(Role.SERVER, SessionConfig(), now=0, entropy=Numbers())
    assert isinstance(server, ServerSession)
    server.opened(0)
    now = 0
    for line in data.split(b"\n"):
        for action in server.receive_message(line, now):
            if isinstance(action, ResponseRequested):
                answer(server, action.response_id, now)
        now = settle(server, now)
    remembers(server, now)
    server.receive_eof(now)


def answer(server: ServerSession, response_id: str, now: int) -> None:
    with suppress(LocalProtocolError):
        server.generate(ItemStarted(response_id=response_id, output_index=0, kind="text"), now)
        server.generate(TextDelta(response_id=response_id, output_index=0, delta="so be it"), now)
        server.generate(ItemFinished(response_id=response_id, output_index=0), now)
        server.generate(ResponseFinished(response_id=response_id), now)


# -- bytes -------------------------------------------------------------------------------------------------------------


def connection(role: Role) -> Connection:
    endpoint = ENDPOINT if role is Role.CLIENT else None
    made = Connection(role, ConnectionConfig(endpoint=endpoint), now=0, entropy=Numbers())
    made.opened(0)
    return made


def written(actions: Actions) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, Transmit))


def upgraded() -> tuple[Connection, Connection]:
    """A client and a server whose handshake is complete, and what the server said first is on its way to nobody."""
    client = Connection(Role.CLIENT, ConnectionConfig(endpoint=ENDPOINT), now=0, entropy=Numbers())
    request, server = written(client.opened(0)), connection(Role.SERVER)
    server.receive_data(request, 0)
    client.receive_data(written(server.accept(0)), 0)
    return client, server


def receives(engine: Connection, data: bytes) -> None:
    """The bytes come in pieces whose lengths they tell themselves."""
    now = place = 0
    while place < len(data):
        length = 1 + data[place] % 97
        for action in engine.receive_data(data[place : place + length], now):
            if isinstance(action, HandshakeReceived):
                with suppress(LocalProtocolError):
                    engine.accept(now)
        place += length
        now = settle(engine, now)
    remembers(engine.session, now)
    engine.receive_eof(now)
    engine.close(now)
    settle(engine, now)


def client_handshake(data: bytes) -> None:
    receives(connection(Role.CLIENT), data)


def server_handshake(data: bytes) -> None:
    receives(connection(Role.SERVER), data)


def client_data(data: bytes) -> None:
    receives(upgraded()[0], data)


def server_data(data: bytes) -> None:
    receives(upgraded()[1], data)


# -- what was stored or written by hand --------------------------------------------------------------------------------


def snapshot(data: bytes) -> None:
    """What claims to be a snapshot is restored, or refused as none. No more is asked: what an engine does that was made
    of a forged one is the forger's to say."""
    with suppress(SnapshotError):
        stored = Snapshot.decode(data)
        Session.restore(stored, SessionConfig(), now=10, entropy=Numbers())


def journal(data: bytes) -> None:
    list(read_lines(io.BytesIO(data)))


def replay(data: bytes) -> None:
    """A journal that anybody may have changed is lived through, or told to be none."""
    with suppress(NotReplayable):
        lived(data)


def lived(data: bytes) -> Replay:
    steps = Steps(read_lines(io.BytesIO(data)))
    replay = Replay(steps.birth)
    for step in steps:
        replay.play(step)
    return replay


def client_recording(data: bytes) -> None:
    """Whatever a client reads, its journal plays to the same end."""
    recorded(Role.CLIENT, data)


def server_recording(data: bytes) -> None:
    """The same with a server."""
    recorded(Role.SERVER, data)


def recorded(role: Role, data: bytes) -> None:
    lines = bytearray()
    recorder = Recorder(Journal(lines.extend))
    config = ConnectionConfig(endpoint=ENDPOINT if role is Role.CLIENT else None)
    engine = RecordedConnection(role, config, now=0, entropy=Numbers(), recorder=recorder)
    request = written(engine.opened(0))
    if role is Role.CLIENT:
        server = connection(Role.SERVER)
        server.receive_data(request, 0)
        head = written(server.accept(0))
        engine.receive_data(head[: head.index(b"\r\n\r\n") + 4], 0)
    else:
        client = Connection(Role.CLIENT, ConnectionConfig(endpoint=ENDPOINT), now=0, entropy=Numbers())
        engine.receive_data(written(client.opened(0)), 0)
        engine.accept(0)
    now = 0
    for start in range(0, len(data), 97):
        engine.receive_data(data[start : start + 97], now)
        now = settle(engine, now)
    engine.receive_eof(now)
    recorder.end()
    divergence = lived(bytes(lines)).divergence
    assert divergence is None, divergence


def script(data: bytes) -> None:
    with suppress(ScriptError):
        parse_script(data.decode("utf-8", "replace"))


def url(data: bytes) -> None:
    """An address is one that can be dialled, or is refused with words that do not repeat its credentials."""
    text = data.decode("utf-8", "surrogateescape")
    for make in (Endpoint.custom, lambda text: Endpoint.openai(api_key="key", base_url=text, model=text)):
        try:
            endpoint = make(text)
        except ValueError:
            continue
        Endpoint.custom(endpoint.url)  # which says the same again
        client = Connection(Role.CLIENT, ConnectionConfig(endpoint=endpoint), now=0, entropy=Numbers())
        written(client.opened(0)).decode("ascii")


DOORS: Mapping[str, Callable[[bytes], None]] = {
    door.__name__: door
    for door in (
        client_messages,
        server_messages,
        client_handshake,
        server_handshake,
        client_data,
        server_data,
        snapshot,
        journal,
        replay,
        client_recording,
        server_recording,
        script,
        url,
    )
}
