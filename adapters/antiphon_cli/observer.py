"""Steps a recorded session through a client's engine, and says which rules were broken in which line.

The observer is neither end of the conversation. What the client said goes through `send` under a policy that changes
and holds back nothing: a refusal tells that the *client* broke a rule, then the event is sent all the same. What the
server said is received. No timer fires: a recording shows what came, not what should have come by now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

import antiphon
from antiphon import codec
from antiphon import messages as m
from antiphon.machines import RULES
from antiphon.messages import ClientEventBase
from antiphon.toolkit import Direction, Entry, Note, Row

if TYPE_CHECKING:
    AnyEvent: TypeAlias = m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed
else:
    AnyEvent = object

__all__ = ["AnyEvent", "Observer", "Open", "Transport", "Violation", "tells_of_webrtc"]

Transport = Literal["websocket", "webrtc", "sideband"]

_BOUND_OF_OURS: Final = "R-N2"
_SAMPLE_RULES: Final = frozenset({"R-I3", "R-I6"})
_HELD_BACK: Final = 1024
_REMEMBERED: Final = 4096


class Violation(Struct, frozen=True):
    """One broken rule: where, by whom, which, and what was wrong; ``detail`` is None where it is the same as the last
    time for this rule and event type."""

    line: int
    dir: Direction
    event_type: str
    rule: str
    title: str
    detail: str | None = None


class Open(Struct, frozen=True):
    """Something that the recording ends in the middle of; ``line`` is where it began, None when that is not known."""

    line: int | None
    what: str


class Observer:
    """One recorded session. Feed it its entries in order with `feed`, then call `finish` once.

    ``audio_cut``: the audio was shortened by the recorder, so nothing that counts samples is checked; a note in the
    recording says the same from its line on, best in its first. A recording whose first server event is a
    ``session.updated`` that the client asked for is that of a sideband, which announces nothing. ``transport`` is what
    the recording was taken from, where that is known. Where the recording tells that another socket was opened, another
    session begins, and what was under way in the last one is no fault of anybody.

    ``on_event`` gets each event that could be read, with its row and its instant (that of the row, never before an
    earlier one; None where the row tells none); ``on_action`` what the session does, with the session's clock.
    """

    def __init__(
        self,
        *,
        audio_cut: bool = False,
        transport: Transport | None = None,
        on_event: Callable[[Row, AnyEvent, int | None], None] | None = None,
        on_action: Callable[[antiphon.Action, int], None] | None = None,
    ) -> None:
        self.audio_cut = audio_cut
        self._on_event = on_event
        self._on_action = on_action
        self.events: dict[Direction, int] = {"client": 0, "server": 0}
        self.forgotten = 0
        """How often the engine's own bounds were met, so that the oldest was forgotten: no fault of anybody."""
        self._session: antiphon.ClientSession | None = None
        self._told = transport
        self._held: deque[Row] | None = deque()
        self._decode_client = codec.client_decoder(antiphon.Limits().json_depth, None)
        self._counts: dict[tuple[str, str], int] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self._now: int | None = None  # where the clock begins, which may be before 0, shows with the first time

    @property
    def transport(self) -> Transport | None:
        """What the recording was taken from, None as long as that is open."""
        return None if self._session is None else self._session.config.transport

    @property
    def session(self) -> antiphon.ClientSession | None:
        """The session that was stepped through, None before its first event: its views tell what it came to."""
        return self._session

    def feed(self, entry: Entry) -> list[Violation]:
        """Take the next entry; what it broke, or what lines that were held back until now did."""
        if isinstance(entry, Note):
            self.audio_cut = self.audio_cut or entry.says_audio_was_cut
            return self._renew() if entry.opens_socket else []
        if not isinstance(entry, Row):
            return []
        self.events[entry.dir] += 1
        if self._held is None:
            return self._step(entry)
        # What the recording is of shows with the first event of the server; until then the client's wait.
        self._held.append(entry)
        if entry.dir == "client" and len(self._held) < _HELD_BACK:
            return []
        return self._release()

    def finish(self) -> tuple[list[Violation], list[Open]]:
        """The recording is over: what held back lines broke, and what is still open, in the order of lines."""
        violations = [] if self._held is None else self._release()
        return violations, sorted(self._open(), key=lambda each: each.line or 0)

    # -- stepping ------------------------------------------------------------------------------------------------------

    def _release(self) -> list[Violation]:
        held, self._held = self._held or deque(), None
        violations: list[Violation] = []
        if held:
            self._begin(held)
        for row in held:
            violations += self._step(row)
        return violations

    def _renew(self) -> list[Violation]:
        """A socket was opened: what comes now belongs to a session of its own, which is told what it has to know."""
        violations = [] if self._held is None else self._release()
        self._held = deque()
        self._counts.clear()
        self._lines.clear()
        return violations

    def _begin(self, rows: deque[Row]) -> None:
        asked = any(row.dir == "client" and _type_of(row) == "session.update" for row in rows)
        sideband = asked and rows[-1].dir == "server" and _type_of(rows[-1]) == "session.updated"
        now = self._advance(next((row.at for row in rows if row.at is not None), None))
        config = antiphon.SessionConfig(
            transport=self._told or ("sideband" if sideband else "websocket"),
            decode_audio=not self.audio_cut,
            on_speech="ignore",
            arbiter=antiphon.ArbiterPolicy(on_active="send", merge_tool_outputs=False, tag_requests=False),
        )
        self._session = antiphon.ClientSession(antiphon.Role.CLIENT, config, now=now)
        self._session.opened(now)

    def _step(self, row: Row) -> list[Violation]:
        session = self._session
        assert session is not None  # the first row made it
        now = self._advance(row.at)
        if row.dir == "client":
            return list(self._sent(session, row, now))
        return self._received(session, row, now)

    def _advance(self, at: int | None) -> int:
        """The session's clock, which never goes back, once a row has told its time, or none."""
        if self._now is None:
            self._now = at or 0
        elif at is not None and at > self._now:
            self._now = at
        return self._now

    def _received(self, session: antiphon.ClientSession, row: Row, now: int) -> list[Violation]:
        details: dict[tuple[str, str], str] = {}
        event: object = None
        for action in session.receive_message(row.event, now):
            if self._on_action is not None:
                self._on_action(action, now)
            if isinstance(action, antiphon.Deliver):
                event = action.event
                self._tell(row, event)
            elif isinstance(action, antiphon.Report):
                details[action.rule, action.event_type] = _told(action)
        self._remember(event, row.number)
        violations = []
        for kind, count in session.reports.items():
            more = count - self._counts.get(kind, 0)
            if not more:
                continue
            self._counts[kind] = count
            rule, event_type = kind
            if rule == _BOUND_OF_OURS:
                self.forgotten += more
                continue
            for _ in range(more):
                detail = details.pop(kind, None)
                violations.append(
                    Violation(row.number, "server", event_type or _type_of(row), rule, RULES.get(rule, ""), detail)
                )
        return violations

    def _sent(self, session: antiphon.ClientSession, row: Row, now: int) -> Iterator[Violation]:
        read = self._decode_client(row.event)
        if isinstance(read, codec.Unreadable):
            yield self._broken(row, "R-E3" if read.kind == "depth" else "R-E1", read.detail)
            return
        event: AnyEvent = read.event if isinstance(read, codec.Repaired) else read
        if isinstance(read, codec.Repaired):
            for problem in read.problems:
                yield self._broken(row, "R-E5", _at(problem.path, problem.message))
        self._tell(row, event)
        if isinstance(event, (m.UnknownEvent, m.Malformed)):
            if event.type in m.SERVER_EVENTS:
                yield self._broken(row, "R-E6", f"{event.type} is what a server sends")
            return
        command = session.identify(event)  # type: ignore[arg-type]  # what a client decoder reads is a client's event
        self._remember(command, row.number)
        override: set[str] = set()
        while True:
            try:
                session.send(command, now, override=override)
                return
            except antiphon.LocalProtocolError as error:
                if not (self.audio_cut and error.rule in _SAMPLE_RULES):
                    yield self._broken(row, error.rule, _reason(error))
                if not error.overridable or error.rule in override:
                    return
                override.add(error.rule)

    def _tell(self, row: Row, event: AnyEvent) -> None:
        if self._on_event is not None:
            self._on_event(row, event, None if row.at is None else self._now)

    @staticmethod
    def _broken(row: Row, rule: str, detail: str) -> Violation:
        return Violation(row.number, row.dir, _type_of(row), rule, RULES.get(rule, ""), detail)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _remember(self, event: object, line: int) -> None:
        """Where something began that may be open at the end."""
        match event:
            case m.ResponseCreated():
                key = ("response", event.response.id)
            case m.ResponseOutputItemAdded() | m.ConversationItemAdded():
                key = ("item", event.item.id if isinstance(event.item.id, str) else "")
            case m.InputAudioBufferSpeechStarted():
                key = ("speech", "")
            case m.InputAudioBufferAppend():
                return
            case ClientEventBase():
                key = ("command", event.event_id if isinstance(event.event_id, str) else "")
            case _:
                return
        if key[0] != "item" or key not in self._lines:  # an item begins once, and is announced twice
            self._lines[key] = line
        if len(self._lines) > _REMEMBERED:
            del self._lines[next(iter(self._lines))]

    def _open(self) -> Iterator[Open]:
        session = self._session
        if session is None:
            return
        if session.state == "awaiting":
            yield Open(None, "session.created never came")
        for response in session.responses.values():
            if response.is_open:
                yield Open(self._lines.get(("response", response.id)), f"response {response.id} has no response.done")
        for pending in session.unanswered:
            yield Open(self._lines.get(("command", pending.event_id)), f"{pending.type} was not answered")
        for request in session.arbiter.sent:
            yield Open(self._lines.get(("command", request.event_id)), "response.create was not answered")
        yield from self._open_items(session)
        if session.input_audio_buffer_state != "idle":
            stopped = session.input_audio_buffer_state == "stopped"
            missing = "input_audio_buffer.committed" if stopped else "input_audio_buffer.speech_stopped"
            yield Open(self._lines.get(("speech", "")), f"the user's speech has no {missing}")
        for item_id, work in session.mcp_work.items():
            if work.state == "in_progress":
                yield Open(None, f"the MCP work of item {item_id} has no end")
        for response_id, delivery in session.deliveries.items():
            if delivery.state not in ("silent", "stopped", "cleared"):
                yield Open(None, f"the audio of response {response_id} has no output_audio_buffer.stopped")

    def _open_items(self, session: antiphon.ClientSession) -> Iterator[Open]:
        for item in (*session.conversation, *session.outputs.values()):
            missing = _ITEM_OWES.get(item.state)
            if missing is not None:
                yield Open(self._lines.get(("item", item.id)), f"item {item.id} has no {missing}")
        for item in session.conversation:
            if any(each.state == "streaming" for each in item.transcriptions.values()):
                yield Open(self._lines.get(("item", item.id)), f"the transcription of item {item.id} has no end")


def tells_of_webrtc(entry: Entry) -> bool:
    """Whether an entry is of what only a session over WebRTC or SIP has: the server delivers the audio itself."""
    if not isinstance(entry, Row) or b"output_audio_buffer" not in entry.event:
        return False
    return _type_of(entry).startswith("output_audio_buffer.")


_ITEM_OWES: Final = {
    "announced": "conversation.item.added",
    "generating": "conversation.item.done",
    "created": "response.output_item.done",
    "hearing": "input_audio_buffer.committed",
    "unannounced": "conversation.item.done",
    "added": "conversation.item.done",
    "listing": "conversation.item.done",
    "done": "response.output_item.done",
    "detached": "response.output_item.done",
}
"""What an item in this state of ``spec/machines/conversation_item.toml`` still waits for."""


class _Typed(Struct):
    type: str = ""


_decode_type: Final = msgspec.json.Decoder(_Typed).decode


def _type_of(row: Row) -> str:
    """The event's type, empty when it has none."""
    try:
        return _decode_type(row.event).type
    except (msgspec.DecodeError, RecursionError):
        return ""


def _at(path: str, detail: str) -> str:
    return f"{path}: {detail}" if path not in ("", "$") else detail


def _told(report: antiphon.Report) -> str:
    return _at(report.path, report.detail)


def _reason(error: antiphon.LocalProtocolError) -> str:
    return error.message.partition(f" [{error.rule}")[0]  # without the hint how to send it all the same
