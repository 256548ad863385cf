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

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from antiphon.engine import inputs
from antiphon.engine.actions import Actions, Closed
from antiphon.engine.config import ConnectionConfig, Role, SessionConfig
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.session import Entropy, Session
from antiphon.engine.timers import Instant
from antiphon.machines import DIGEST
from antiphon.toolkit.fingerprint import Fingerprint, fingerprint_of, said_by
from antiphon.toolkit.input_rows import FROM_ROW, dump
from antiphon.toolkit.journal import Direction, format_note, format_row
from antiphon.toolkit.redaction import cut_audio, redact_endpoint, redact_event
from antiphon.toolkit.socket_rows import Pieces, SocketReader, is_row

if TYPE_CHECKING:
    from antiphon.engine.connection import Connection

    Engine: TypeAlias = Session | Connection

__all__ = ["FORMAT", "Audio", "Journal", "Recorder"]

FORMAT: Final = 1
"""The number of this form of journals. One of a higher number may say things that this version cannot play."""

Audio: TypeAlias = Literal["keep", "cut"]

_DIGEST_EVERY: Final = 256
_BULK: Final = frozenset(("pcm", "frames", "other", "text", "bytes", "surrogates"))
"""What may hold audio of an input, when it stands in no event row."""

_ONE_FRAME: Final = {"in": "data_received", "frames": [FROM_ROW]}
_ONE_TEXT: Final = {"in": "message_received", "text": FROM_ROW}

R = TypeVar("R")


class Journal(Struct, frozen=True):
    """Where a recording goes, and what of it.

    ``write`` is called with whole lines, all that one input led to at a time. What it raises ends the recording and
    goes to ``failed``, which raises nothing; the session goes on. ``close`` is called once, after the last line.
    ``audio="cut"`` leaves the audio out: such a journal can be read, but not played exactly. Credentials are never
    written.
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
        self._reader: SocketReader | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is recorded: the engine is closed, the journal could not be written, or `end`."""
        return self._ended

    # -- the engine's birth --------------------------------------------------------------------------------------------

    def drawing(self, entropy: Entropy) -> Entropy:
        """``entropy``, noted down as it is drawn."""

        def draw(count: int) -> bytes:
            drawn = entropy(count)
            if not self._ended:
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
        """Write to ``journal`` what has waited, and all that follows; nothing follows if the engine has ended."""
        self._journal = journal
        has_ended = self._ended
        lines = format_note("config", {**self._born, "exact": journal.audio == "keep"})
        if journal.audio == "cut":
            lines += format_note("note", {"audio": "cut"})
        waiting, self._waiting = self._waiting, bytearray()
        self._write(journal, lines + bytes(waiting))
        if has_ended:
            self._close(journal)

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
        read = _reads(engine)
        is_late = now < self._now  # refused for that alone, and whoever plays a journal knows no going back
        self._now = max(now, self._now)
        self._busy = True
        self._drawn.clear()
        try:
            actions = call()
        except LocalProtocolError as error:
            if not is_late:
                self._record(engine, input, now, (), error, read=read)
            raise
        except BaseException:
            self._put(_lost(input, now))  # nobody knows what has changed
            raise
        finally:
            self._busy = False
        if not idle:
            self._record(engine, input, now, actions, None, read=read)
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
            if self._journal is not None:
                self._close(self._journal)

    def _close(self, journal: Journal) -> None:
        try:
            if journal.close is not None:
                journal.close()
        except Exception as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if self._journal is not None and self._journal.failed is not None:
            self._journal.failed(error)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _record(
        self,
        engine: Engine,
        input: inputs.Input,
        now: Instant,
        actions: Actions,
        refused: LocalProtocolError | None,
        *,
        read: bool,
    ) -> None:
        self._inputs += 1
        try:
            self._told.add(actions)
            lines = self._group(engine, input, now, actions, refused, read=read)
        except ValueError:  # half a surrogate pair of the application's, which no JSON can hold
            if refused is not None:
                return  # and nothing has changed
            lines = _lost(input, now)
        except Exception as error:  # whatever it is, a conversation goes on
            self._give_up(error)
            return
        self._put(lines)
        if any(isinstance(action, Closed) for action in actions):
            self.end()
        elif self._inputs % _DIGEST_EVERY == 0:
            self._put(self._digest(final=False))

    def _group(
        self,
        engine: Engine,
        input: inputs.Input,
        now: Instant,
        actions: Actions,
        refused: LocalProtocolError | None,
        *,
        read: bool,
    ) -> bytes:
        """The rows of one input, and before them those of what had waited for it."""
        peer = _other(engine.role)
        own = said_by(actions)
        brought: list[bytes] = []
        exact = True
        before = b""
        if isinstance(input, inputs.DataReceived):
            pieces = self._reader.feed(input.data, reads=_reads(engine)) if read and self._reader is not None else None
            if pieces is None:
                return b""
            data, brought = pieces.dump(peer, _most(engine))
        elif isinstance(input, inputs.MessageReceived) and is_row(peer, _bytes(input.text)):
            data, brought = {"in": "message_received", "text": FROM_ROW}, [_bytes(input.text)]
        else:
            before = self._socket_changed(engine, input, now, refused)
            data, exact = dump(input, engine.role, own)
            if refused is not None and not exact:
                return b""  # nothing has changed
        head: dict[str, object] = {"input": data}
        if brought or own:
            head["rows"] = len(brought) + len(own)
        if self._drawn:
            head["entropy"] = self._drawn.hex()
        if refused is not None:
            head["refused"] = refused.rule
        if not exact:
            head["exact"] = False
        rows = b"".join(format_row(peer, redact_event(text), now) for text in brought)
        rows += b"".join(format_row(_own(engine.role), redact_event(text), now) for text in own)
        if len(brought) == 1 and not own and set(head) == {"input", "rows"} and _is_one_message(data):
            return rows
        return before + format_note("input", head, now) + rows

    def _socket_changed(
        self, engine: Engine, input: inputs.Input, now: Instant, refused: LocalProtocolError | None
    ) -> bytes:
        """What the socket held back is told before the input that it comes of, or that makes it pointless."""
        if isinstance(engine, Session) or refused is not None:
            return b""
        pieces: Pieces | None = None
        if isinstance(input, inputs.Opened):
            self._reader = SocketReader(engine.role, engine.config.session.limits)
        elif isinstance(input, inputs.EofReceived) and self._reader is not None:
            pieces, self._reader = self._reader.flush(), None
        elif isinstance(input, inputs.Accept) and self._reader is not None and not engine.reads:
            pieces = self._reader.finish()
        if pieces is None:
            return b""
        peer = _other(engine.role)
        data, texts = pieces.dump(peer, _most(engine))
        rows = b"".join(format_row(peer, redact_event(text), now) for text in texts)
        return format_note("input", {"input": data, "rows": len(texts)}, now) + rows

    def _digest(self, *, final: bool) -> bytes:
        data: dict[str, object] = {
            "inputs": self._inputs,
            "actions": self._told.actions,
            "blake2b": self._told.digest(),
        }
        if final and self._engine is not None:
            with contextlib.suppress(ValueError):  # half a surrogate pair, as in an input that was not written whole
                data["state"] = fingerprint_of(self._engine.snapshot(self._now))
        return format_note("digest", data, self._now)

    def _put(self, lines: bytes) -> None:
        if self._journal is None:
            self._waiting += lines
        elif lines and not self._ended:
            self._write(self._journal, lines)

    def _write(self, journal: Journal, lines: bytes) -> None:
        try:
            if journal.audio == "cut":
                lines = b"".join(map(_without_audio, lines.splitlines(keepends=True)))
            journal.write(lines)
        except Exception as error:  # a full disk must not end a conversation
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._tell(error)
        self._finish()


def _lost(input: inputs.Input, now: Instant) -> bytes:
    return format_note("input", {"input": {"in": input.__struct_config__.tag}, "exact": False}, now)


def _reads(engine: Engine) -> bool:
    return not isinstance(engine, Session) and engine.reads


def _most(engine: Engine) -> int:
    config = engine.config
    return (config if isinstance(config, SessionConfig) else config.session).limits.message_bytes


def _other(role: Role) -> Direction:
    return "server" if role is Role.CLIENT else "client"


def _own(role: Role) -> Direction:
    return "client" if role is Role.CLIENT else "server"


def _is_one_message(data: dict[str, object]) -> bool:
    return data in (_ONE_FRAME, _ONE_TEXT)


def _bytes(text: bytes | bytearray | memoryview | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)


def _without_audio(line: bytes) -> bytes:
    text = line.removesuffix(b"\n")
    if text.startswith(b'{"dir":"note"'):
        return line
    if text.startswith(b'{"dir":"input"'):
        row = msgspec.json.decode(text)
        row["input"] = {name: FROM_ROW if name in _BULK else value for name, value in row["input"].items()}
        text = msgspec.json.encode(row)
    return cut_audio(text) + b"\n"


def _config(config: SessionConfig | ConnectionConfig) -> msgspec.Raw:
    if isinstance(config, SessionConfig):
        return msgspec.Raw(redact_event(msgspec.json.encode(config)))
    endpoint = None if config.endpoint is None else redact_endpoint(config.endpoint)
    session = msgspec.Raw(redact_event(msgspec.json.encode(config.session)))
    return msgspec.Raw(msgspec.json.encode({"endpoint": endpoint, "session": session}))
