"""What an event leaves out and the session knows, and what a session overlooks because a vendor is known for it.

`filled` puts in what the entries of `LACKS` say a vendor leaves out. `is_habit` tells a broken rule that an entry of
`HABITS` names from one that is news.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from antiphon.messages import Event, FunctionCallItem, JsonObject

from .vendors import HABITS, LACKS

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

_LACKING: Final[dict[str, frozenset[str]]] = {}
for _lack in LACKS:
    for _type in _lack.types:
        _LACKING[_type] = _LACKING.get(_type, frozenset()) | _lack.fields


def filled(event: JsonObject, session: ClientSession) -> JsonObject | None:
    """``event`` with what a known vendor leaves out of it; None where nothing is missing, or nothing is known."""
    name = event.get("type")
    fields = _LACKING.get(name) if isinstance(name, str) else None
    if fields is None:
        return None
    whole = dict(event)
    for field in _ORDER:
        if field in fields and whole.get(field) is None:
            value = _KNOWN[field](whole, session)
            if value is not None:
                whole[field] = value
    return whole if whole != event else None


def _response_id(_event: JsonObject, session: ClientSession) -> str | None:
    record = session.default_response
    return None if record is None else record.id


def _item_id(event: JsonObject, session: ClientSession) -> str | None:
    if str(event["type"]).startswith("input_audio_buffer."):
        return session.announced_item_id or ""  # `committed` will tell
    record = session.responses.get(_text(event, "response_id"))
    return None if record is None else next(reversed(record.item_ids), None)


def _output_index(event: JsonObject, session: ClientSession) -> int:
    record = session.responses.get(_text(event, "response_id"))
    ids = [] if record is None else list(record.item_ids)
    item_id = _text(event, "item_id")
    return ids.index(item_id) if item_id in ids else 0


def _content_index(_event: JsonObject, _session: ClientSession) -> int:
    return 0


def _call(event: JsonObject, session: ClientSession) -> FunctionCallItem | None:
    node = session.conversation.get(_text(event, "item_id"))
    return node.item if node is not None and isinstance(node.item, FunctionCallItem) else None


def _call_id(event: JsonObject, session: ClientSession) -> str | None:
    call = _call(event, session)
    return "" if call is None else call.call_id or ""


def _name(event: JsonObject, session: ClientSession) -> str:
    call = _call(event, session)
    return "" if call is None else call.name  # the output of an out-of-band response tells it at its end


def _text(event: JsonObject, field: str) -> str:
    value = event.get(field)
    return value if isinstance(value, str) else ""


_KNOWN: Final[Mapping[str, Callable[[JsonObject, ClientSession], object]]] = {
    "response_id": _response_id,
    "item_id": _item_id,
    "output_index": _output_index,
    "content_index": _content_index,
    "call_id": _call_id,
    "name": _name,
}
_ORDER: Final = tuple(_KNOWN)
"""What is filled in first may be needed for what follows."""


def is_habit(rule: str, event: object, raw: bytes | str) -> bool:
    """Whether a vendor that is known to break ``rule`` in this way sent ``event``; ``raw`` is its text."""
    if not isinstance(event, Event):
        return False
    for habit in HABITS:
        if habit.rule == rule and (not habit.types or event.step_type in habit.types):
            marked = habit.mark in (raw if isinstance(raw, str) else str(raw, "utf-8", "replace"))
            if marked and habit.mark not in event.__struct_fields__ and habit.mark in _keys(raw):
                return True
    return False


def _keys(raw: bytes | str) -> JsonObject:
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
