"""Writes down what an engine is told, so that it can be lived through again: the same actions, byte for byte.

The first row is the configuration. Then, for each input: a message of the peer that had no consequence but its own
delivery is its event row alone; every other input is a row ``{"dir": "input", "input": {…}, "rows": n, "entropy": hex,
"at": ns}`` with the ``n`` event rows after it that belong to it, first what it brought from the peer, then what it made
us say. The rows of one input are written at once, after the engine has taken it. ``digest`` rows say what the actions
have come to, so that who plays the journal knows whether it was the same.

At the level of bytes a journal holds frames, not chunks: law L1 says that cuts change nothing. A chunk that completes
nothing is a sign of life, and is played as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from antiphon.engine import inputs
from antiphon.engine.actions import Actions, Closed, Transmit, TransmitMessage
from antiphon.engine.config import ConnectionConfig, Role, SessionConfig
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.session import Entropy, Session
from antiphon.engine.timers import Instant
from antiphon.machines import DIGEST
from antiphon.toolkit.fingerprint import Fingerprint, fingerprint_of, texts_in
from antiphon.toolkit.frames import Frame, FrameReader, frame_of
from antiphon.toolkit.input_rows import FROM_ROW, dump
from antiphon.toolkit.journal import Direction, Row, format_note, format_row, read_lines
from antiphon.toolkit.redaction import cut_audio, redact_endpoint, redact_event, redact_head, redact_refusal

if TYPE_CHECKING:
    from antiphon.engine.connection import Connection

    Engine: TypeAlias = Session | Connection

__all__ = ["FORMAT", "Audio", "Journal", "Recorder"]

FORMAT: Final = 1
"""The number of this form of journals. One of a higher number may say things that this version cannot play."""

Audio: TypeAlias = Literal["keep", "cut"]

_DIGEST_EVERY: Final = 256
_HEAD_END: Final = b"\r\n\r\n"

_ONE_FRAME: Final = {"in": "data_received", "frames": [FROM_ROW]}
_ONE_TEXT: Final = {"in": "message_received", "text": FROM_ROW}

R = TypeVar("R")


class Journal(Struct, frozen=True):
    """Where a recording goes, and what of it.

    ``write`` is called with whole lines, all that one input led to at a time. What it raises ends the recording and
    goes to ``failed``; the session goes on. ``close`` is called once, after the last line. ``audio="cut"`` leaves the
    audio out: such a journal can be read, but not played exactly. Credentials are never written.
    """

    write: Callable[[bytes], object]
    close: Callable[[], object] | None = None
    failed: Callable[[Exception], object] | None = None
    audio: Audio = "keep"


class Recorder:
    """Records one engine. Give the engine `drawing`'s entropy, call `begin` once it is made, and let every input of it
    go through `take` (or `handle`).

    Without a ``journal`` everything waits until `attach` names one: a server knows whom it records when it has read
    the handshake.
    """

    __slots__ = (
        "_born",
        "_busy",
        "_drawn",
        "_ended",
        "_engine",
        "_inputs",
        "_journal",
        "_now",
        "_reader",
        "_told",
        "_waiting",
    )

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._waiting = bytearray()
        self._ended = False
        self._engine: Engine | None = None
        self._born: dict[str, object] = {}
        self._busy = False
        self._drawn = bytearray()
        self._inputs = 0
        self._now: Instant = 0
        self._told = Fingerprint()
        self._reader = _Incoming()

    @property
    def ended(self) -> bool:
        """Whether nothing more is recorded: the engine is closed, the journal could not be written, or `end`."""
        return self._ended

    # -- the engine's birth --------------------------------------------------------------------------------------------

    def drawing(self, entropy: Entropy) -> Entropy:
        """``entropy``, noted down as it is drawn."""

        def draw(count: int) -> bytes:
            drawn = entropy(count)
            self._drawn += drawn
            return drawn

        return draw

    def begin(self, engine: Engine, now: Instant) -> None:
        """Write the first row. ``now`` is the time that the engine was made at."""
        self._engine = engine
        self._now = now
        config = engine.config
        self._born = {
            "journal": FORMAT,
            "role": engine.role.value,
            "level": "message" if isinstance(config, SessionConfig) else "bytes",
            "tables": DIGEST,
            "config": _config(config),
            "at": now,
        }
        session = engine if isinstance(engine, Session) else engine.session
        if session.entropy is None:
            self._born["entropy"] = None
        elif self._drawn:
            self._born["entropy"] = self._drawn.hex()
        self._drawn.clear()
        if self._journal is not None:
            self.attach(self._journal)

    def attach(self, journal: Journal) -> None:
        """Write to ``journal`` what has waited, and all that follows."""
        self._journal = journal
        lines = format_note("config", {**self._born, "exact": journal.audio == "keep"})
        if journal.audio == "cut":
            lines += format_note("note", {"audio": "cut"})
        waiting, self._waiting = self._waiting, bytearray()
        self._put(lines + waiting)

    # -- its life ------------------------------------------------------------------------------------------------------

    def handle(self, input: inputs.Input, now: Instant) -> Actions:
        """``engine.handle``, recorded."""
        engine = self._engine
        assert engine is not None  # it has begun
        return self.take(input, now, lambda: engine.handle(input, now))

    def take(self, input: inputs.Input, now: Instant, call: Callable[[], Actions]) -> Actions:
        """Let the engine take ``input`` by ``call``, and write down that it did, and what came of it."""
        if self._busy or self._ended:
            return call()  # the engine calls itself; or nobody wants to know any more
        engine = self._engine
        assert engine is not None  # it has begun
        due = engine.deadline
        idle = isinstance(input, inputs.Tick) and (due is None or now < due)
        self._busy = True
        self._drawn.clear()
        actions: Actions = ()
        refused: LocalProtocolError | None = None
        try:
            actions = call()
        except LocalProtocolError as error:
            refused = error
            raise
        finally:
            self._busy = False
            if not idle:
                self._now = max(now, self._now)
                self._record(engine, input, now, actions, refused)
        return actions

    def aside(self, call: Callable[[], R]) -> R:
        """Let ``call`` draw entropy whose effect is recorded in another way."""
        try:
            return call()
        finally:
            self._drawn.clear()

    def end(self) -> None:
        """Write the last digest and close the journal. A second call does nothing."""
        if not self._ended:
            self._put(self._digest(final=True))
            self._finish()

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            self._waiting.clear()
            if self._journal is not None and self._journal.close is not None:
                self._journal.close()

    # -- writing -------------------------------------------------------------------------------------------------------

    def _record(
        self,
        engine: Engine,
        input: inputs.Input,
        now: Instant,
        actions: Actions,
        refused: LocalProtocolError | None,
    ) -> None:
        self._inputs += 1
        self._told.add(actions)
        own = [text for action in actions for text in _said(action)]
        try:
            lines = self._group(engine.role, input, now, own, refused, has_effects=bool(actions))
        except ValueError:  # half a surrogate pair of the application's, which no JSON can hold
            if refused is not None:
                return  # and nothing has changed
            lines = format_note("input", {"input": {"in": input.__struct_config__.tag}, "exact": False}, now)
        if any(isinstance(action, Closed) for action in actions):
            self._put(lines)
            self.end()
            return
        if self._inputs % _DIGEST_EVERY == 0:
            lines += self._digest(final=False)
        self._put(lines)

    def _group(
        self,
        role: Role,
        input: inputs.Input,
        now: Instant,
        own: Sequence[bytes],
        refused: LocalProtocolError | None,
        *,
        has_effects: bool,
    ) -> bytes:
        peer: Direction = "server" if role is Role.CLIENT else "client"
        brought: list[bytes] = []
        exact = True
        prelude = b""
        if isinstance(input, inputs.Opened) and refused is None:
            self._reader = _Incoming()
        if isinstance(input, inputs.DataReceived):
            pieces = self._reader.feed(input.data, role, at_once=has_effects)
            if pieces is None:
                return b""
            data, brought = pieces.dump(peer)
        elif isinstance(input, inputs.MessageReceived) and (row := _row(peer, _bytes(input.text), now)) is not None:
            data, brought = {"in": "message_received", "text": FROM_ROW}, [row.event]
        else:
            if isinstance(input, inputs.EofReceived) and (pieces := self._reader.flush()) is not None:
                lost, texts = pieces.dump(peer)
                prelude = format_note("input", {"input": lost, "rows": len(texts)}, now)
                prelude += b"".join(format_row(peer, self._shown(text), now) for text in texts)
            data, exact = dump(input, role, own)
        head: dict[str, object] = {"input": data}
        if brought or own:
            head["rows"] = len(brought) + len(own)
        if self._drawn:
            head["entropy"] = self._drawn.hex()
        if refused is not None:
            head["refused"] = refused.rule
        if not exact:
            head["exact"] = False
        rows = b"".join(format_row(peer, self._shown(text), now) for text in brought)
        rows += b"".join(format_row(_own(role), self._shown(text), now) for text in own)
        if len(brought) == 1 and not own and set(head) == {"input", "rows"} and _is_one_message(data):
            return prelude + rows
        if self._cuts_audio:
            head["input"] = msgspec.Raw(cut_audio(msgspec.json.encode(_without_pcm(data))))
        return prelude + format_note("input", head, now) + rows

    @property
    def _cuts_audio(self) -> bool:
        return self._journal is not None and self._journal.audio == "cut"

    def _shown(self, text: bytes) -> bytes:
        text = redact_event(text)
        return cut_audio(text) if self._cuts_audio else text

    def _digest(self, *, final: bool) -> bytes:
        data: dict[str, object] = {
            "inputs": self._inputs,
            "actions": self._told.actions,
            "blake2b": self._told.digest(),
        }
        if final and self._engine is not None:
            data["state"] = fingerprint_of(self._engine.snapshot(self._now))
        return format_note("digest", data, self._now)

    def _put(self, lines: bytes | bytearray) -> None:
        if self._journal is None:
            self._waiting += lines
        elif lines and not self._ended:
            try:
                self._journal.write(bytes(lines))
            except Exception as error:  # a full disk must not end a conversation
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._finish()
        if self._journal is not None and self._journal.failed is not None:
            self._journal.failed(error)


def _own(role: Role) -> Direction:
    return "client" if role is Role.CLIENT else "server"


def _said(action: object) -> list[bytes]:
    if isinstance(action, TransmitMessage):
        return [action.text]
    return texts_in(action.data) if isinstance(action, Transmit) else []


def _is_one_message(data: dict[str, object]) -> bool:
    return data in (_ONE_FRAME, _ONE_TEXT)


def _row(peer: Direction, text: bytes, now: Instant) -> Row | None:
    """``text`` as an event row that reads back as the same; None for what is no such event."""
    entry = next(iter(read_lines([format_row(peer, text, now)])), None)
    return entry if isinstance(entry, Row) and entry.event == text else None


def _bytes(text: bytes | bytearray | memoryview | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)


def _without_pcm(data: dict[str, object]) -> dict[str, object]:
    return {name: "" if name == "pcm" else value for name, value in data.items()}


def _config(config: SessionConfig | ConnectionConfig) -> msgspec.Raw:
    if isinstance(config, SessionConfig):
        return msgspec.Raw(redact_event(msgspec.json.encode(config)))
    endpoint = None if config.endpoint is None else redact_endpoint(config.endpoint)
    session = msgspec.Raw(redact_event(msgspec.json.encode(config.session)))
    return msgspec.Raw(msgspec.json.encode({"endpoint": endpoint, "session": session}))


# What comes in at the level of bytes --------------------------------------------------------------------------------


class _Pieces:
    """What a chunk brought: the head of a handshake, frames, and bytes that are neither."""

    __slots__ = ("frames", "head", "other")

    def __init__(self, head: bytes = b"", frames: Sequence[Frame] = (), other: bytes = b"") -> None:
        self.head = head
        self.frames = frames
        self.other = other

    def dump(self, peer: Direction) -> tuple[dict[str, object], list[bytes]]:
        """As JSON values, and the texts that stand in rows."""
        brought: list[bytes] = []
        frames: list[object] = []
        for frame in self.frames:
            if frame.is_whole_text and _row(peer, frame.payload, 0) is not None:
                brought.append(frame.payload)
                frames.append(FROM_ROW)
            else:
                frames.append(frame_of(frame, masked=False))
        data: dict[str, object] = {"in": "data_received"}
        if self.head:
            data["head"] = self.head.decode("latin-1")
        data["frames"] = frames
        if self.other:
            data["other"] = self.other
        return data, brought


class _Incoming:
    """The peer's bytes on one socket, cut where a journal can hold them."""

    __slots__ = ("_frames", "_head")

    def __init__(self) -> None:
        self._head: bytes | None = b""  # of the handshake, while it is not whole; None afterwards
        self._frames = FrameReader()

    def feed(self, data: bytes, role: Role, *, at_once: bool) -> _Pieces | None:
        """What ``data`` completes; None for a part of a handshake. ``at_once``: the engine has acted on it, so that
        nothing of it may wait for more."""
        head = b""
        if self._head is not None:
            self._head += data
            if role is Role.CLIENT and _refuses(self._head):
                return self._refusal() if at_once else None
            first, end, data = self._head.partition(_HEAD_END)
            if not end:
                return self._give(redact_head(self._head)) if at_once else None
            head = redact_head(first + end)
            self._head = None
        frames = self._frames.feed(data)
        other = b""
        if at_once and not frames and not head:
            other, self._frames.rest = self._frames.rest, b""
        return _Pieces(head, frames, other)

    def flush(self) -> _Pieces | None:
        """The stream has ended: what was waiting for more, None when nothing was."""
        if self._head:
            return self._refusal() if _refuses(self._head) else self._give(redact_head(self._head))
        rest, self._frames.rest = self._frames.rest, b""
        return _Pieces(other=rest) if rest else None

    def _refusal(self) -> _Pieces:
        return self._give(redact_refusal(self._head or b""))

    def _give(self, head: bytes) -> _Pieces:
        self._head = None
        return _Pieces(head)


def _refuses(head: bytes) -> bool:
    first, end, _ = head.partition(_HEAD_END)
    return bool(end) and first.startswith(b"HTTP/") and b" 101" not in first.split(b"\r\n")[0]
