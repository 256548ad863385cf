"""Whole events between a peer's dialect and GA, as plain JSON.

`read_server` and `read_client` answer the key under which `antiphon.messages.beta` has the class that reads the event,
and the event in GA's shape; its ``type`` stays as it came, for it says the class. `write_server` and `write_client`
answer the event as a peer of the beta dialect expects it, and None for one that it must not be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from antiphon.machines import EVENTS
from antiphon.messages.beta import UPDATED_BY_COMPLETED

from .shapes import (
    Json,
    item_to_beta,
    item_to_ga,
    params_to_beta,
    params_to_ga,
    response_to_beta,
    response_to_ga,
    session_to_beta,
    session_to_ga,
)
from .vendors import PATCHES, Patch

Change = Callable[[object], object]


def _transcribing(session: object) -> object:
    return session_to_ga(session, "transcription")


_FIELDS_IN: Final[Mapping[str, tuple[str, Change]]] = {
    "session.created": ("session", session_to_ga),
    "session.updated": ("session", session_to_ga),
    "transcription_session.created": ("session", _transcribing),
    "transcription_session.updated": ("session", _transcribing),
    "conversation.item.created": ("item", item_to_ga),
    "conversation.item.added": ("item", item_to_ga),
    "conversation.item.done": ("item", item_to_ga),
    "conversation.item.retrieved": ("item", item_to_ga),
    "response.created": ("response", response_to_ga),
    "response.done": ("response", response_to_ga),
    "response.cancelled": ("response", response_to_ga),
    "response.output_item.added": ("item", item_to_ga),
    "response.output_item.done": ("item", item_to_ga),
    # what clients say
    "session.update": ("session", session_to_ga),
    "transcription_session.update": ("session", _transcribing),
    "conversation.item.create": ("item", item_to_ga),
    "response.create": ("response", params_to_ga),
}
"""The one field of an event that the dialects shape differently."""

_PATCHES: Final[dict[str, list[Patch]]] = {}
for _patch in PATCHES:
    for _type in _patch.types:
        _PATCHES.setdefault(_type, []).append(_patch)


def read_client(event: Json) -> tuple[str, Json]:
    """A client's event, which has a type, in GA's shape."""
    name: str = event["type"]
    shaped = _FIELDS_IN.get(name)
    if shaped is not None and shaped[0] in event:
        event = {**event, shaped[0]: shaped[1](event[shaped[0]])}
    return name, event


def read_server(event: Json) -> tuple[str, Json]:
    """A server's event, which has a type, in GA's shape."""
    name: str = event["type"]
    for patch in _PATCHES.get(name, ()):
        event = patch.apply(event) or event
    if name == _COMPLETED and event.get("status") == "in_progress":
        return UPDATED_BY_COMPLETED, event
    return read_client(event)


_COMPLETED: Final = "conversation.item.input_audio_transcription.completed"


# --- to the beta dialect ----------------------------------------------------------------------------------------------


def write_client(event: Json) -> Json:
    """A client's event as a server of the beta dialect expects it."""
    name = event["type"]
    if name in ("session.update", "transcription_session.update"):
        session = event["session"]
        named = "transcription_session.update" if session.get("type") == "transcription" else "session.update"
        return {**event, "type": named, "session": session_to_beta(session)}
    if name == "conversation.item.create":
        return {**event, "item": item_to_beta(event["item"])}
    if name == "response.create" and isinstance(event.get("response"), dict):
        return {**event, "response": params_to_beta(event["response"])}
    return event


def write_server(event: Json) -> Json | None:
    """A server's event as a client of the beta dialect expects it; None for what that dialect does not say."""
    name = event["type"]
    if name == "conversation.item.done":
        return None
    if name == "conversation.item.added":
        return {**event, "type": "conversation.item.created", "item": _item_shown(event["item"])}
    known = EVENTS.get(name)
    if known is not None and known.beta is not None and known.beta != name:
        return {**event, "type": known.beta}
    if name in ("session.created", "session.updated"):
        session = event["session"]
        named = name.replace("session", "transcription_session") if session.get("type") == "transcription" else name
        return {**event, "type": named, "session": session_to_beta(session, shown=True)}
    if name in ("response.created", "response.done"):
        return {**event, "response": _response_shown(event["response"])}
    if name in ("response.output_item.added", "response.output_item.done", "conversation.item.retrieved"):
        return {**event, "item": _item_shown(event["item"])}
    if name == "response.function_call_arguments.done":
        return {key: value for key, value in event.items() if key != "name"}
    return event


def _response_shown(response: Json) -> Json:
    shown = response_to_beta(response)
    shown.pop("audio", None)  # what is left there has no name in the beta
    shown["output"] = [_item_shown(item) for item in shown["output"]]
    return shown


def _item_shown(item: object) -> object:
    shown = item_to_beta(item)
    return {"object": "realtime.item", **shown} if isinstance(shown, dict) else shown
