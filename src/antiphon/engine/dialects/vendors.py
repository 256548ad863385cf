"""What vendors do differently, as data: who, what, and where it is known from. Nobody is asked who he is: an entry
holds for every event that looks like it, so a peer may mix the habits of several.

* `FORMAT_NAMES`: names of audio formats.
* `PATCHES`: an event that is put right before it is read. A patch answers a new event, or None where it does not apply.
* `LACKS`: fields that an event may be without, because the session knows them (`antiphon.engine.dialects.context`).
* `HABITS`: rules of the protocol that an event may break unreported, when it carries the vendor's mark.

Sources are as in ``spec/rules.md``: rec(orded), doc(umented by the vendor), rep(orted by implementers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

Json: TypeAlias = dict[str, Any]

FORMAT_NAMES: Final[Mapping[tuple[str, str], Json]] = {
    # doc: OpenAI beta; "" is both directions
    ("", "pcm16"): {"type": "audio/pcm", "rate": 24_000},
    ("", "g711_ulaw"): {"type": "audio/pcmu"},
    ("", "g711_alaw"): {"type": "audio/pcma"},
    # doc: Azure Voice Live
    ("", "pcm16_8000hz"): {"type": "audio/pcm", "rate": 8_000},
    ("", "pcm16_16000hz"): {"type": "audio/pcm", "rate": 16_000},
    # doc: Qwen
    ("input", "pcm"): {"type": "audio/pcm", "rate": 16_000},
    ("output", "pcm"): {"type": "audio/pcm", "rate": 24_000},
    ("output", "pcm24"): {"type": "audio/pcm", "rate": 24_000},
}
"""(direction, name): the format. GLM's "wav" and "mp3" are files, and no format of a stream."""

NO_FORMAT: Final = frozenset({"not specified"})
"""What xAI writes for a format that nobody set. Source: rec."""

NO_PREDECESSOR: Final = frozenset({"0"})
"""What xAI once wrote as the `previous_item_id` of nothing. Source: rec."""


class Patch(Struct, frozen=True):
    """``apply`` puts right what ``vendor`` sends under one of the ``types``."""

    vendor: str
    source: str
    types: tuple[str, ...]
    apply: Callable[[Json], Json | None]


class Lack(Struct, frozen=True):
    """An event of one of the ``types`` may be without any of ``fields``."""

    vendor: str
    source: str
    types: tuple[str, ...]
    fields: frozenset[str]


class Habit(Struct, frozen=True):
    """``vendor`` breaks ``rule`` with events of ``types`` (empty: of any) as a matter of course. ``mark`` is a key that
    its events have although their class has no such field."""

    vendor: str
    source: str
    rule: str
    types: tuple[str, ...]
    mark: str


# --- patches ----------------------------------------------------------------------------------------------------------


def _usage_beside_the_response(event: Json) -> Json | None:
    response, usage = event.get("response"), event.get("usage")
    if not isinstance(response, dict) or not isinstance(usage, dict) or response.get("usage"):
        return None
    return {**event, "response": {**response, "usage": usage}}


def _id_beside_the_response(event: Json) -> Json | None:
    response, beside = event.get("response"), event.get("response_id")
    if not isinstance(response, dict) or not isinstance(beside, str) or isinstance(response.get("id"), str):
        return None
    return {**event, "response": {**response, "id": beside}}


def _status_details_in_a_word(event: Json) -> Json | None:
    response = event.get("response")
    if not isinstance(response, dict) or not isinstance(response.get("status_details"), str):
        return None
    return {**event, "response": {key: value for key, value in response.items() if key != "status_details"}}


def _arguments_without_output_index(event: Json) -> Json | None:
    return None if "output_index" in event else {**event, "output_index": 0}


def _running_response_called_incomplete(event: Json) -> Json | None:
    response = event.get("response")
    if not isinstance(response, dict) or response.get("status") != "incomplete":
        return None
    return {**event, "response": {**response, "status": "in_progress"}}


def _end_by_another_name(event: Json) -> Json | None:
    response = event.get("response")
    body = dict(response) if isinstance(response, dict) else {}
    if not isinstance(body.get("id"), str) and isinstance(event.get("response_id"), str):
        body["id"] = event["response_id"]
    body["status"] = "cancelled"
    return {**event, "response": body}


def _message_without_content(event: Json) -> Json | None:
    item = event.get("item")
    if not isinstance(item, dict) or item.get("type") != "message" or item.get("content") is not None:
        return None
    return {**event, "item": {**item, "content": []}}


_RESPONSES: Final = ("response.created", "response.done", "response.cancelled")

PATCHES: Final[tuple[Patch, ...]] = (
    Patch("xAI", "rec", _RESPONSES, _status_details_in_a_word),
    Patch("xAI", "rec", ("response.done",), _usage_beside_the_response),
    Patch("xAI", "rec", _RESPONSES, _id_beside_the_response),
    Patch("xAI", "rec", ("response.function_call_arguments.delta",), _arguments_without_output_index),
    Patch("xAI", "rec", ("response.output_item.added", "response.output_item.done"), _message_without_content),
    Patch("speaches", "rep", ("response.created",), _running_response_called_incomplete),
    Patch("StepFun, GLM, early Azure", "doc", ("response.cancelled",), _end_by_another_name),
)

# --- fields that the session knows ------------------------------------------------------------------------------------

_DELTAS: Final = (
    "response.text.delta",
    "response.output_text.delta",
    "response.audio.delta",
    "response.output_audio.delta",
    "response.audio_transcript.delta",
    "response.output_audio_transcript.delta",
    "response.function_call_arguments.delta",
)
_ENDS: Final = tuple(name.removesuffix("delta") + "done" for name in _DELTAS)

LACKS: Final[tuple[Lack, ...]] = (
    Lack("OpenAI beta", "doc", ("response.function_call_arguments.done",), frozenset({"name"})),
    Lack("StepFun", "doc", (*_DELTAS, *_ENDS), frozenset({"response_id", "output_index", "content_index", "call_id"})),
    Lack("GLM", "doc", (*_DELTAS, *_ENDS), frozenset({"item_id"})),
    Lack(
        "GLM", "doc", ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"), frozenset({"item_id"})
    ),
)

# --- habits -----------------------------------------------------------------------------------------------------------

_XAI: Final = "previous_item_id"
"""xAI puts this key into every event, also where it means nothing."""

HABITS: Final[tuple[Habit, ...]] = (
    # No `conversation.item.done` follows an item, whether it was created, committed or generated.
    Habit("xAI", "rec", "R-C3", (), _XAI),
    Habit("xAI", "rec", "R-C2", ("response.output_item.done",), _XAI),
    # A part ends in the order transcript, part, audio.
    Habit("xAI", "rec", "R-P3", ("response.output_audio_transcript.done",), _XAI),
    Habit("xAI", "rec", "R-P4", ("response.content_part.done",), _XAI),
    Habit("xAI", "rec", "R-P2", ("response.output_audio.done",), _XAI),
)
