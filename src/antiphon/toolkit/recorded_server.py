"""The server's part of a recording, for a client that speaks now.

What the server said is said again, at the recorded pace. It waits where the recorded client had to speak first: until
the living one has sent a command of the same type, so that nothing is answered before it was asked. What the living
client calls by its own names (event ids, items, requests in metadata) is called so in the answers.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from antiphon.engine.timers import Instant
from antiphon.toolkit.journal import Entry, Note, Row

__all__ = ["RecordedServer", "sockets_of"]

JsonObject: TypeAlias = dict[str, Any]

_NS: Final = 1_000_000_000
_APPEND: Final = "input_audio_buffer.append"
_ASKED_FOR: Final = frozenset(
    (
        "session.update",
        "transcription_session.update",
        "conversation.item.create",
        "input_audio_buffer.commit",
        "response.create",
        "session.close",
        _APPEND,
    )
)
"""What a server answers. Everything else may never come from a client that lives through it otherwise: one that heard
all of an answer truncates nothing."""

_ADDED: Final = frozenset(("conversation.item.added", "conversation.item.created"))
_NAMES: Final = frozenset(("event_id", "id", "item_id"))


class _Cue(Struct, frozen=True):
    """The recorded client spoke: ``type``, in ``event``."""

    at: Instant | None
    type: str
    event: JsonObject


class _Speech(Struct, frozen=True):
    """The recorded server spoke."""

    at: Instant | None
    text: bytes


def sockets_of(entries: Iterable[Entry]) -> list[list[Row]]:
    """The event rows of a journal, socket by socket: a session that was dialled again is several."""
    sockets: list[list[Row]] = [[]]
    for entry in entries:
        if isinstance(entry, Row):
            sockets[-1].append(entry)
        elif isinstance(entry, Note) and entry.opens_socket:
            sockets.append([])
    return [rows for rows in sockets if rows]


class RecordedServer:
    """Plays the server's part of ``rows`` to one client that connected at ``now``.

    Feed it the client's messages with `receive`; call `tick` at ``deadline`` for what is to be sent then. ``speed``
    divides the recorded pauses; None leaves them out. For a command that the living client may not send (a truncate, a
    cancel) it waits ``patience`` ns beyond the recorded time. ``missed`` counts those that never came, ``unasked`` the
    commands that were not in the recording, by type.
    """

    def __init__(
        self, rows: Iterable[Row], now: Instant, *, speed: float | None = 1.0, patience: int = 2 * _NS
    ) -> None:
        if speed is not None and not speed > 0:
            raise ValueError(f"a speed is above 0, not {speed}")
        self._part = deque(_part(rows))
        self._speed = speed
        self._patience = patience
        self._recorded: Instant | None = None  # the recorded time that has been reached
        self._reached = now  # and when that was
        self._heard: dict[str, deque[JsonObject]] = {}
        self._has_audio = False
        self._names: dict[str, str] = {}
        self._unnamed: deque[tuple[JsonObject, str]] = deque()
        self._requests: deque[tuple[object, object]] = deque()  # the metadata of each, recorded and living
        self._metadata: dict[str, object] = {}
        self.missed: Counter[str] = Counter()

    @property
    def ended(self) -> bool:
        """Whether everything was said."""
        return not self._part

    @property
    def unasked(self) -> Counter[str]:
        """The commands that the recording knows no answer to, by type."""
        return Counter({kind: len(heard) for kind, heard in self._heard.items() if heard})

    @property
    def waits_for(self) -> str | None:
        """The type of the command without which it does not go on; None when none is needed."""
        part = self._part[0] if self._part else None
        return part.type if isinstance(part, _Cue) and part.type in _ASKED_FOR and not self._is_heard(part) else None

    @property
    def deadline(self) -> Instant | None:
        """When `tick` has something to say or to give up, ns; None while it waits for the client, or has said all."""
        if not self._part:
            return None
        part = self._part[0]
        due = self._due(part.at)
        if isinstance(part, _Cue) and not self._is_heard(part):
            return None if part.type in _ASKED_FOR else due + self._patience
        return due

    def receive(self, text: bytes | str, now: Instant) -> None:
        """A message of the client. What is no event is passed over."""
        try:
            event = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str):
            return
        if kind == _APPEND:
            self._has_audio = True
        else:
            self._heard.setdefault(kind, deque()).append(event)
        # A cue that was waited for: the recorded pause to what follows begins now.
        part = self._part[0] if self._part else None
        if isinstance(part, _Cue) and part.type == kind and now > self._due(part.at):
            self._take(self._part.popleft(), now)

    def tick(self, now: Instant) -> list[bytes]:
        """What is due, in order, as JSON texts."""
        said: list[bytes] = []
        while (deadline := self.deadline) is not None and deadline <= now:
            part = self._part.popleft()
            said += self._take(part, deadline)
        return said

    # -- inside --------------------------------------------------------------------------------------------------------

    def _due(self, at: Instant | None) -> Instant:
        if at is None or self._recorded is None or self._speed is None:
            return self._reached
        return self._reached + max(0, round((at - self._recorded) / self._speed))

    def _take(self, part: _Cue | _Speech, now: Instant) -> list[bytes]:
        self._reached = now
        if part.at is not None:
            self._recorded = part.at if self._recorded is None else max(part.at, self._recorded)
        if isinstance(part, _Speech):
            return [self._renamed(part.text)]
        heard = self._heard.get(part.type)
        if heard:
            self._pair(part.event, heard.popleft())
        elif part.type != _APPEND:
            self.missed[part.type] += 1
        return []

    def _is_heard(self, cue: _Cue) -> bool:
        return self._has_audio if cue.type == _APPEND else bool(self._heard.get(cue.type))

    def _pair(self, recorded: JsonObject, living: JsonObject) -> None:
        """The living client's names for what the recorded one named."""
        self._match(recorded, living)
        item = living.get("item")
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            was = recorded.get("item")
            if isinstance(was, dict) and not isinstance(was.get("id"), str):
                self._unnamed.append((was, item["id"]))
        if recorded.get("type") == "response.create":
            self._requests.append((_metadata_of(recorded), _metadata_of(living)))

    def _match(self, recorded: object, living: object) -> None:
        if isinstance(recorded, dict) and isinstance(living, dict):
            for name, was in recorded.items():
                now = living.get(name)
                if name in _NAMES and isinstance(was, str) and isinstance(now, str) and was != now:
                    self._names[was] = now
                else:
                    self._match(was, now)

    def _renamed(self, text: bytes) -> bytes:
        if not (self._names or self._unnamed or self._requests or self._metadata):
            return text
        event = _object_in(text)
        kind = event.get("type")
        if kind in _ADDED and self._unnamed:
            self._name_item(event.get("item"))
        renamed = _with_names(event, self._names)
        response = renamed.get("response")
        if isinstance(response, dict):
            self._echo_metadata(kind, _metadata_of(event), response)
        return text if renamed == event else msgspec.json.encode(renamed)

    def _name_item(self, item: object) -> None:
        asked, name = self._unnamed[0]
        if isinstance(item, dict) and (item.get("type"), item.get("role")) == (asked.get("type"), asked.get("role")):
            self._unnamed.popleft()
            if isinstance(item.get("id"), str):
                self._names[item["id"]] = name

    def _echo_metadata(self, kind: object, recorded: object, response: JsonObject) -> None:
        id = response.get("id")
        if not isinstance(id, str):
            return
        if kind == "response.created":
            # A request that was refused has no response, and one that the server began by itself no request.
            asked = next((each for each in self._requests if each[0] == recorded), None)
            if asked is not None:
                self._requests.remove(asked)
                self._metadata[id] = asked[1]
        if id in self._metadata:
            response["metadata"] = self._metadata[id]


class _Typed(Struct):
    type: str = ""


def _part(rows: Iterable[Row]) -> Iterable[_Cue | _Speech]:
    speaks = False  # the client's audio has begun
    for row in rows:
        if row.dir == "server":
            yield _Speech(row.at, row.event)
            continue
        kind = _type_of(row.event)
        if kind == _APPEND:
            if not speaks:
                speaks = True
                yield _Cue(row.at, kind, {})
        elif kind:
            yield _Cue(row.at, kind, _object_in(row.event))


def _object_in(text: bytes) -> JsonObject:
    """The object in a row; an empty one for what cannot be read, such as a number that is none of ours."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}


def _metadata_of(event: JsonObject) -> object:
    response = event.get("response")
    return response.get("metadata") if isinstance(response, dict) else None


def _type_of(text: bytes) -> str:
    try:
        return msgspec.json.decode(text, type=_Typed).type
    except (ValueError, RecursionError):
        return ""


def _with_names(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {name: _with_names(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_names(each, names) for each in value]
    return value
