"""Plays a journal: through an engine that is compared with the recorded one, at the recorded pace or another.

`Steps` reads the entries of a journal as what happened, in order. `Replay` feeds them to an engine of the same
configuration with the same entropy, and compares each thing that it says, and every digest, with the journal. `Pace`
says when the next step is due. None of them waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from msgspec import Struct

from antiphon.engine import inputs
from antiphon.engine.actions import Actions
from antiphon.engine.config import ConnectionConfig, Role, SessionConfig
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.session import Session, session_of
from antiphon.engine.timers import Instant
from antiphon.machines import DIGEST
from antiphon.toolkit.fingerprint import Fingerprint, fingerprint_of, said_by
from antiphon.toolkit.frames import PONG, FrameReader, frame_of, text_of
from antiphon.toolkit.input_rows import FROM_ROW, InputRowError, load
from antiphon.toolkit.journal import MOST_AT, Entry, Note, Row
from antiphon.toolkit.recorder import FORMAT

if TYPE_CHECKING:
    from antiphon.engine.connection import Connection

    Engine: TypeAlias = Session | Connection

__all__ = ["Birth", "Digest", "Divergence", "NotReplayable", "Pace", "Replay", "Step", "Steps"]

_NS: Final = 1_000_000_000


class NotReplayable(ValueError):
    """The journal holds no engine's inputs, or not all of them. The text says what is missing, and where."""


class Birth(Struct, frozen=True):
    """The first row: how the engine was made. ``entropy`` is what it drew then; None: it had none, ids are counted."""

    role: Role
    config: SessionConfig | ConnectionConfig
    at: Instant
    entropy: bytes | None
    tables: str

    @property
    def has_these_tables(self) -> bool:
        """Whether it was recorded under the same ``spec/``; if not, a difference may be meant."""
        return self.tables == DIGEST


class Step(Struct, frozen=True):
    """One input of the recorded engine, in line ``number``; ``said`` are the texts that it made the engine say, and
    ``refused`` the rule by which it was refused, if it was."""

    number: int
    at: Instant
    input: inputs.Input
    entropy: bytes
    said: tuple[bytes, ...]
    refused: str | None = None


class Digest(Struct, frozen=True):
    """What the actions (and, at the end, the state) had come to by line ``number``."""

    number: int
    at: Instant
    actions: int
    blake2b: str
    state: str | None


class Steps:
    """What a journal says that happened: iterate for each `Step` and `Digest`. ``birth`` is known at once.

    Raises `NotReplayable` at once for a journal without its configuration, or one that was not recorded to be played;
    from the iterator for an input that this version does not know. A group of rows that the journal breaks off in is
    left out: its writer did not finish it.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = iter(entries)
        self.birth = self._read_birth()
        self._at = self.birth.at
        self._peer = "server" if self.birth.role is Role.CLIENT else "client"

    def _read_birth(self) -> Birth:
        entry = next((entry for entry in self._entries if not isinstance(entry, Note) or entry.dir != "note"), None)
        if not isinstance(entry, Note) or entry.dir != "config":
            raise NotReplayable("the journal does not begin with the configuration of the engine that it was made of")
        data = entry.data
        form = data.get("journal")
        if not isinstance(form, int) or form > FORMAT:
            raise NotReplayable(f"the journal is of form {form!r}; this version plays forms up to {FORMAT}")
        if data.get("exact") is not True:
            raise NotReplayable("its audio was cut when it was recorded, so that it can be read but not played exactly")
        try:
            return Birth(
                Role(str(data["role"])),
                _config(data),
                msgspec.convert(data["at"], int),
                _entropy(data.get("entropy", "")),
                str(data.get("tables", "")),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise NotReplayable(f"the configuration in line {entry.number} does not fit: {error}") from None

    def __iter__(self) -> Iterator[Step | Digest]:
        entries = self._entries
        for entry in entries:
            if isinstance(entry, Row) and entry.dir == self._peer:
                yield self._message(entry)
            elif isinstance(entry, Note) and entry.dir == "input":
                rows = self._rows(entry, entries)
                if rows is None:
                    return
                yield self._input(entry, rows)
            elif isinstance(entry, Note) and entry.dir == "digest":
                yield self._digest(entry)
            elif isinstance(entry, Note) and entry.dir == "config":
                raise NotReplayable(f"another recording begins in line {entry.number}: a journal holds one")

    def _message(self, row: Row) -> Step:
        if row.at is not None:
            self._at = max(self._at, row.at)
        frame = frame_of(text_of(row.event), masked=self.birth.role is Role.SERVER)
        is_bytes = isinstance(self.birth.config, ConnectionConfig)
        input = inputs.DataReceived(frame) if is_bytes else inputs.MessageReceived(row.event)
        return Step(row.number, self._at, input, b"", ())

    def _rows(self, note: Note, entries: Iterator[Entry]) -> list[Row] | None:
        """The event rows that belong to an input; None when the journal ends among them."""
        wanted = note.data.get("rows", 0)
        rows: list[Row] = []
        while isinstance(wanted, int) and len(rows) < wanted:
            entry = next(entries, None)
            if not isinstance(entry, Row):
                if entry is None or next(entries, None) is None:
                    return None
                raise NotReplayable(f"line {entry.number} stands where an event of line {note.number} should")
            rows.append(entry)
        return rows

    def _input(self, note: Note, rows: list[Row]) -> Step:
        data = note.data
        given = data.get("input")
        if data.get("exact") is False or not isinstance(given, dict):
            raise NotReplayable(f"line {note.number} is an input that could not be written down whole")
        self._advance(data.get("at"))
        brought = [row.event for row in rows if row.dir == self._peer]
        own = tuple(row.event for row in rows if row.dir != self._peer)
        role = self.birth.role
        try:
            if given.get("in") == "data_received":
                input: inputs.Input = inputs.DataReceived(_bytes_of(given, brought, masked=role is Role.SERVER))
            elif given.get("in") == "message_received" and given.get("text") == FROM_ROW and brought:
                input = inputs.MessageReceived(brought[0])
            else:
                input = load(given, role, own)
            entropy = bytes.fromhex(str(data.get("entropy", "")))
        except (InputRowError, ValueError, IndexError) as error:
            raise NotReplayable(f"line {note.number} holds {error}") from None
        refused = data.get("refused")
        return Step(note.number, self._at, input, entropy, own, refused if isinstance(refused, str) else None)

    def _digest(self, note: Note) -> Digest:
        self._advance(note.data.get("at"))
        try:
            return msgspec.convert({"state": None, **note.data, "number": note.number, "at": self._at}, Digest)
        except msgspec.ValidationError:
            raise NotReplayable(f"line {note.number} is a digest that cannot be read") from None

    def _advance(self, at: object) -> None:
        if isinstance(at, int) and at <= MOST_AT:
            self._at = max(self._at, at)


def _config(data: Mapping[str, object]) -> SessionConfig | ConnectionConfig:
    if data.get("level") == "bytes":
        return msgspec.convert(data.get("config"), ConnectionConfig)
    return msgspec.convert(data.get("config"), SessionConfig)


def _entropy(given: object) -> bytes | None:
    return None if given is None else bytes.fromhex(str(given))


def _bytes_of(given: Mapping[str, object], brought: list[bytes], *, masked: bool) -> bytes:
    """The bytes that brought these pieces, as some peer might have written them."""
    head = str(given.get("head", "")).encode("latin-1")
    rows = iter(brought)
    data = bytearray(head)
    for frame in msgspec.convert(given.get("frames", ()), tuple[str, ...]):
        if frame == FROM_ROW:
            if (text := next(rows, None)) is None:
                raise ValueError("fewer events than its frames")
            data += frame_of(text_of(text), masked=masked)
        else:
            (found,) = FrameReader().feed(msgspec.convert(frame, bytes))
            data += frame_of(found, masked=masked)
    data += msgspec.convert(given.get("other", ""), bytes)
    return bytes(data) or frame_of(PONG, masked=masked)


class Divergence(Struct, frozen=True):
    """Where the replay first did something else: the journal's line, and what each of both did."""

    line: int
    recorded: str
    replayed: str


class Replay:
    """Plays the steps through an engine of its own, which is ``engine``.

    `play` takes one step and returns its actions. ``divergence`` is the first thing that was not as recorded; nothing
    is compared after it. ``actions`` counts what the engine did, ``checked`` the digests that were met. Raises
    `NotReplayable` for a configuration that no engine can be made with.
    """

    def __init__(self, birth: Birth) -> None:
        self.birth = birth
        self.divergence: Divergence | None = None
        self.checked = 0
        self._told = Fingerprint()
        self._entropy = _Given(birth.entropy or b"")
        try:
            self.engine: Engine = self._engine(birth)
        except ValueError as error:
            raise NotReplayable(f"no engine can be made with its configuration: {error}") from None
        self._compare_entropy(1)

    def _engine(self, birth: Birth) -> Engine:
        draw = self._entropy.draw if birth.entropy is not None else None
        if isinstance(birth.config, SessionConfig):
            return session_of(birth.role, birth.config, now=birth.at, entropy=draw)
        if draw is None:
            raise ValueError("it had no entropy, and a connection needs it")
        from antiphon.engine.connection import Connection  # its library is loaded by those who need it

        return Connection(birth.role, birth.config, now=birth.at, entropy=draw)

    @property
    def actions(self) -> int:
        """How many actions the engine has taken."""
        return self._told.actions

    def play(self, step: Step | Digest) -> Actions:
        """Take one step; the actions that it leads to now."""
        if isinstance(step, Digest):
            self._compare_digest(step)
            return ()
        self._entropy.give(step.entropy)
        refused: str | None = None
        actions: Actions = ()
        try:
            actions = self.engine.handle(step.input, step.at)
        except LocalProtocolError as error:
            refused = error.rule
        except (TypeError, ValueError) as error:  # no recorder writes what an engine cannot take
            self._diverge(step.number, _verdict(step.refused), f"failed with {type(error).__name__}")
        self._told.add(actions)
        said = tuple(said_by(actions))
        if refused != step.refused:
            self._diverge(step.number, _verdict(step.refused), _verdict(refused))
        elif said != step.said:
            self._diverge(step.number, _telling(step.said), _telling(said))
        self._compare_entropy(step.number)
        return actions

    def _compare_entropy(self, line: int) -> None:
        if self._entropy.short:
            self._diverge(line, "so much entropy", f"{self._entropy.short} bytes of entropy more")
        elif self._entropy.left:
            self._diverge(line, "so much entropy", f"{self._entropy.left} bytes of entropy less")

    def _compare_digest(self, digest: Digest) -> None:
        if self.divergence is not None:
            return
        if digest.actions != self._told.actions:
            self._diverge(digest.number, f"{digest.actions} actions", f"{self._told.actions} actions")
        elif digest.blake2b != self._told.digest():
            self._diverge(digest.number, f"actions of digest {digest.blake2b}", f"of {self._told.digest()}")
        elif digest.state is not None:
            state = fingerprint_of(self.engine.snapshot(digest.at))
            if state != digest.state:
                self._diverge(digest.number, f"a state of digest {digest.state}", f"one of {state}")
        self.checked += 1

    def _diverge(self, line: int, recorded: str, replayed: str) -> None:
        if self.divergence is None:
            self.divergence = Divergence(line, recorded, replayed)


class _Given:
    """The entropy of one step; what is drawn beyond it is zeros, and counted in ``short``."""

    def __init__(self, drawn: bytes) -> None:
        self._rest = drawn
        self.short = 0

    @property
    def left(self) -> int:
        return len(self._rest)

    def give(self, drawn: bytes) -> None:
        self._rest = drawn
        self.short = 0

    def draw(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        missing = count - len(taken)
        self.short += missing
        return taken + bytes(missing)


class _Named(Struct):
    type: str = "?"


def _telling(texts: tuple[bytes, ...]) -> str:
    """What was said, by type: the texts hold audio and words."""
    if not texts:
        return "nothing said"
    return ", ".join(f"{_type_of(text)} ({len(text)} bytes)" for text in texts)


def _type_of(text: bytes) -> str:
    try:
        return msgspec.json.decode(text, type=_Named).type
    except (ValueError, RecursionError):
        return "?"


def _verdict(rule: str | None) -> str:
    return "taken" if rule is None else f"refused by {rule}"


# Pace ---------------------------------------------------------------------------------------------------------------


class Pace:
    """When what happened at a recorded time is due again: ``speed`` times as fast as it was, 2.0 is twice.

    ``now`` is when the playing began. Recorded times that go back are due at once. Raises ValueError for a ``speed``
    that is not above 0; None is as fast as possible.
    """

    def __init__(self, now: Instant, *, speed: float | None = 1.0, begin: Instant | None = None) -> None:
        self._began = now
        self._first = begin
        self._due = now
        self._speed = speed
        if speed is not None and not speed > 0:
            raise ValueError(f"a speed is above 0, not {speed}")

    def due(self, at: Instant | None) -> Instant:
        """The instant at which something recorded at ``at`` is due; None has no time, and comes with its forerunner."""
        if at is None or self._speed is None:
            return self._due
        if self._first is None:
            self._first = at
        self._due = max(self._due, self._began + round((at - self._first) / self._speed))
        return self._due

    def resume(self, now: Instant, at: Instant, *, speed: float | None) -> None:
        """Go on from the recorded time ``at`` at ``now``: after a pause, a jump, or with another speed."""
        if speed is not None and not speed > 0:
            raise ValueError(f"a speed is above 0, not {speed}")
        self._began = self._due = now
        self._first = at
        self._speed = speed
