"""Recorded engines on a virtual clock, and what becomes of their journals."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec

from antiphon import Actions, ConnectionConfig, Endpoint, LocalProtocolError, Role, SessionConfig, Transmit, inputs
from antiphon.toolkit.journal import Note, read_lines
from antiphon.toolkit.recorded import RecordedConnection
from antiphon.toolkit.recorder import Audio, Journal, Recorder
from antiphon.toolkit.replay import Replay, Steps

KEY = "sk-journal-0123456789"
MS = 1_000_000


def endpoint(**changes: Any) -> Endpoint:
    """A server's address, with the key in its headers."""
    given = {"headers": [("X-Extra", KEY)], **changes}
    return Endpoint.custom("ws://example.org/v1/realtime?model=m", api_key=KEY, **given)


class Tape:
    """One recorded engine at the level of bytes, and its clock. ``session`` goes to `SessionConfig`."""

    def __init__(
        self,
        role: str,
        *,
        audio: Audio = "keep",
        attached: bool = True,
        address: Endpoint | None = None,
        **session: Any,
    ) -> None:
        self.role = Role(role)
        self.lines = bytearray()
        self.closed = 0
        self.faults: list[Exception] = []
        self.recorder = Recorder(self.journal(audio) if attached else None)
        self.now = 5 * MS
        self.heard: list[Any] = []
        place = (address or endpoint()) if role == "client" else None
        self.engine = RecordedConnection(
            self.role,
            ConnectionConfig(endpoint=place, session=SessionConfig(**session)),
            now=self.now,
            entropy=Random(role).randbytes,
            recorder=self.recorder,
        )

    def journal(self, audio: Audio = "keep") -> Journal:
        """A journal in memory."""
        return Journal(self.lines.extend, close=self._close, failed=self.faults.append, audio=audio)

    def _close(self) -> None:
        self.closed += 1

    def do(self, input: inputs.Input) -> Actions:
        """One input, a millisecond after the last; () where it is refused."""
        self.now += MS
        try:
            actions = self.engine.handle(input, self.now)
        except LocalProtocolError:
            return ()
        self.heard += actions
        return actions

    def hear(self, data: bytes, size: int | None = None) -> bytes:
        """The peer's bytes, ``size`` at a time; what this end writes."""
        size = size or len(data) or 1
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        return b"".join(written(self.do(inputs.DataReceived(piece))) for piece in pieces)

    def notes(self, dir: str) -> list[dict[str, Any]]:
        """The notes of one kind."""
        return [dict(entry.data) for entry in entries(self.lines) if isinstance(entry, Note) and entry.dir == dir]

    def given(self) -> list[dict[str, Any]]:
        """The inputs, as they stand in the journal; messages that had no consequence do not."""
        return [note["input"] for note in self.notes("input")]

    def replayed(self) -> Replay:
        """The end of the recording, and what a replay of it comes to."""
        self.recorder.end()
        assert not self.faults
        return replayed(self.lines)


def entries(lines: bytes | bytearray) -> list[Any]:
    """The entries of a journal."""
    return list(read_lines(bytes(lines).splitlines(keepends=True)))


def steps(lines: bytes | bytearray) -> list[Any]:
    """What a journal says that happened."""
    return list(Steps(entries(lines)))


def replayed(lines: bytes | bytearray) -> Replay:
    """The replay of a journal, played to its end."""
    read = Steps(entries(lines))
    replay = Replay(read.birth)
    for step in read:
        replay.play(step)
    return replay


def same(*tapes: Tape) -> None:
    """Each replays to what was recorded, and no journal holds the key."""
    for tape in tapes:
        replay = tape.replayed()
        assert replay.divergence is None, replay.divergence
        assert replay.checked >= 1
        assert KEY.encode() not in tape.lines


def written(actions: Iterable[Any]) -> bytes:
    """The bytes that the actions write."""
    return b"".join(action.data for action in actions if isinstance(action, Transmit))


def pair(*, size: int | None = None, **server: Any) -> tuple[Tape, Tape]:
    """A client and a server with an open session between them; all bytes came in pieces of ``size``."""
    client, host = Tape("client"), Tape("server", **server)
    request = written(client.do(inputs.Opened()))
    host.do(inputs.Opened())
    host.hear(request, size)
    pass_on(written(host.do(inputs.Accept())), client, host, size)
    return client, host


def pass_on(data: bytes, to: Tape, back: Tape, size: int | None = None) -> None:
    """Bytes to ``to``, what it answers to ``back``, and so on until nobody says anything."""
    while data:
        data, to, back = to.hear(data, size), back, to


def text_frame(event: dict[str, Any] | bytes, *, masked: bool, head: int = 0x81) -> bytes:
    """One frame; with a mask that changes everything."""
    payload = event if isinstance(event, bytes) else msgspec.json.encode(event)
    length = len(payload)
    mask_bit = 0x80 if masked else 0
    if length < 126:
        start = bytes((head, mask_bit | length))
    elif length < 65536:
        start = bytes((head, mask_bit | 126)) + length.to_bytes(2, "big")
    else:
        start = bytes((head, mask_bit | 127)) + length.to_bytes(8, "big")
    if not masked:
        return start + payload
    mask = b"\x17\x2a\x99\xf0"
    return start + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
