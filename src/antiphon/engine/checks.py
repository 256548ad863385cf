"""What a client may write into a session, a response or a message: which keys there are, which values they take (R-E5,
R-E7), and which content a role has (R-C13). A client asks before it sends, a server when it has received.

Keys are those of the message classes. Values are data, one line a key, as the documentation has them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec import inspect as introspection

from antiphon import messages as m
from antiphon.engine.audio import decode_base64
from antiphon.engine.codec import plain_object
from antiphon.engine.dialects import Dialect
from antiphon.engine.refusals import Refusal, listed
from antiphon.messages.values import (
    AUDIO_FORMAT_TYPES,
    EAGERNESS,
    INCLUDES,
    NOISE_REDUCTION_TYPES,
    REASONING_EFFORTS,
    TOOL_CHOICE_MODES,
    TOOL_CHOICE_TYPES,
    TRACING_MODES,
    TRUNCATION_MODES,
    TURN_DETECTION_TYPES,
)

_ID: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_MOST_ID: Final = 32
_MOST_KEY = 64
"""Characters of a client's own key that are echoed."""

# -- content -----------------------------------------------------------------------------------------------------------

CONTENT_OF_ROLE: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
}
_IN_BETA: Final = {"output_text": "text"}


def problem_with_content(part: m.Part, role: str, path: str, dialect: Dialect) -> Refusal | None:
    """Why a message of ``role``, one of `CONTENT_OF_ROLE`, may not have ``part``, which is at ``path``; None if it
    may."""
    allowed = CONTENT_OF_ROLE[role]
    if part.type not in allowed or (dialect == "ga" and isinstance(part, m.BETA_CONTENT)):
        names = tuple(_IN_BETA.get(each, each) for each in allowed) if dialect == "beta" else allowed
        return Refusal(
            "invalid_value",
            {"value": m.content_wire_type(part), "supported": listed(names), "param": f"{path}.type"},
        )
    if isinstance(part, m.InputAudio) and part.audio and decode_base64(part.audio) is None:
        return Refusal("invalid_audio", {"param": f"{path}.audio", "detail": "expected base64"})
    return None


# -- keys --------------------------------------------------------------------------------------------------------------


def parsed(text: bytes | str, key: str) -> Mapping[str, object] | None:
    """The object under ``key`` in the ``text`` of an event; None where there is none."""
    found = plain_object(text).get(key)
    return found if isinstance(found, dict) else None


def unknown_key(
    cls: type[Struct], data: Mapping[str, object], path: str, *, without: Collection[str] = ()
) -> Refusal | None:
    """Why ``data``, an object of ``cls``, is refused for a key that ``cls`` does not have at any level, None if it has
    them all. ``without`` are fields of ``cls`` that do not count as its own. What a key holds is not looked into where
    its class keeps it as it came."""
    fields, tag = _fields(cls)
    for key, value in data.items():
        where = f"{path}.{key[:_MOST_KEY]}"
        if key in without or (key not in fields and key != tag):
            return Refusal("unknown_parameter", {"param": where})
        if key in fields:
            refused = _unknown_in(fields[key], value, where)
            if refused is not None:
                return refused
    return None


def _unknown_in(type_: introspection.Type, value: object, path: str) -> Refusal | None:
    if isinstance(value, dict):
        cls = _class_for(type_, value)
        return None if cls is None else unknown_key(cls, value, path)
    if isinstance(value, list):
        for each in _members(type_):
            if isinstance(each, introspection.ListType):
                for index, entry in enumerate(value):
                    refused = _unknown_in(each.item_type, entry, f"{path}[{index}]")
                    if refused is not None:
                        return refused
    return None


def _class_for(type_: introspection.Type, value: Mapping[str, object]) -> type[Struct] | None:
    """The class that ``value`` is of; None where any object will do, or its tag is unknown."""
    for each in _members(type_):
        if isinstance(each, introspection.StructType) and (
            each.tag is None or value.get(each.tag_field or "type") == each.tag
        ):
            return each.cls
    return None


def _members(type_: introspection.Type) -> tuple[introspection.Type, ...]:
    return type_.types if isinstance(type_, introspection.UnionType) else (type_,)


@cache
def _fields(cls: type[Struct]) -> tuple[dict[str, introspection.Type], str | None]:
    info = introspection.type_info(cls)
    assert isinstance(info, introspection.StructType)  # it is a Struct
    marks = [field for field in info.fields if isinstance(field.type, introspection.CustomType)]  # of another dialect
    return {field.encode_name: field.type for field in info.fields if field not in marks}, info.tag_field


# -- values ------------------------------------------------------------------------------------------------------------


class _Choice(NamedTuple):
    """A string out of a set. An object in its place is another matter."""

    path: str
    values: tuple[str, ...]


class _Range(NamedTuple):
    """A number from ``least`` to ``most`` (None: open). What is no number there has a meaning of its own."""

    path: str
    least: float
    most: float | None
    kind: str = "integer"


_CHOICES: Final = (
    _Choice("audio.input.format.type", AUDIO_FORMAT_TYPES),
    _Choice("audio.output.format.type", AUDIO_FORMAT_TYPES),
    _Choice("audio.input.turn_detection.type", TURN_DETECTION_TYPES),
    _Choice("audio.input.turn_detection.eagerness", EAGERNESS),
    _Choice("audio.input.noise_reduction.type", NOISE_REDUCTION_TYPES),
    _Choice("tool_choice", TOOL_CHOICE_MODES),
    _Choice("tool_choice.type", TOOL_CHOICE_TYPES),
    _Choice("reasoning.effort", REASONING_EFFORTS),
    _Choice("tracing", TRACING_MODES),
    _Choice("truncation", TRUNCATION_MODES),
    _Choice("truncation.type", ("retention_ratio",)),
)
_NAMELESS: Final = frozenset({"audio.input.format.type", "audio.output.format.type", "audio.input.turn_detection.type"})
"""Where null is no value: what is of no type is not there at all."""
_RANGES: Final = (
    _Range("max_output_tokens", 1, 4096),
    _Range("audio.input.turn_detection.threshold", 0, 1, "decimal"),
    _Range("audio.input.turn_detection.prefix_padding_ms", 0, None),
    _Range("audio.input.turn_detection.silence_duration_ms", 0, None),
    _Range("audio.input.turn_detection.idle_timeout_ms", 5000, 30_000),
    _Range("audio.output.speed", 0.25, 1.5, "decimal"),
    _Range("temperature", 0.6, 1.2, "decimal"),
    _Range("truncation.retention_ratio", 0, 1, "decimal"),
    _Range("truncation.token_limits.post_instructions", 0, None),
)
_RATES: Final = ("audio.input.format.rate", "audio.output.format.rate")

_ABSENT: Final = object()


def _at(data: Mapping[str, Any], path: str) -> object:
    """What stands at a dotted path; `_ABSENT` where nothing does."""
    value: object = data
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def problem_with_values(data: Mapping[str, Any], root: str) -> Refusal | None:
    """Why ``data`` (the ``session`` or the ``response`` of a client's event, as JSON) is refused, None if it is not."""
    for path, values in _CHOICES:
        value = _at(data, path)
        if value is _ABSENT or isinstance(value, dict) or value in values or (value is None and path not in _NAMELESS):
            continue
        return _invalid(value, listed(values), f"{root}.{path}")
    refused = next(problems_with_numbers(data, root), None)
    if refused is not None:
        return refused
    for index, value in enumerate(data.get("include") or ()):
        if value not in INCLUDES:
            return _invalid(value, listed(INCLUDES), f"{root}.include[{index}]")
    return _problem_with_tools(data.get("tools"), f"{root}.tools")


def problems_with_numbers(data: Mapping[str, Any], root: str) -> Iterator[Refusal]:
    """Each reason for which a number in ``data`` is refused."""
    for path in _RATES:
        rate = _at(data, path)
        if isinstance(rate, int) and rate < 1:
            yield _invalid(rate, "integers of 1 and more", f"{root}.{path}")
    for path, least, most, kind in _RANGES:
        number = _at(data, path)
        if isinstance(number, int | float):
            refused = out_of_range(number, f"{root}.{path}", least, most, kind)
            if refused is not None:
                yield refused


def is_portable(name: str) -> bool:
    """Whether a client may choose this id for an item or a call (R-C11)."""
    return len(name) <= _MOST_ID and _ID.match(name) is not None


def problem_with_id(value: str, param: str) -> Refusal | None:
    """Why ``value`` is no id for an item or a call (R-C11), None when it is one."""
    if len(value) > _MOST_ID:
        return Refusal("string_above_max_length", {"param": param, "maximum": _MOST_ID, "length": len(value)})
    if not _ID.match(value):
        return Refusal("invalid_id_characters", {"param": param})
    return None


def out_of_range(number: float, param: str, least: float, most: float | None, kind: str = "integer") -> Refusal | None:
    """Why ``number`` is refused as the value of ``param``, None when it lies from ``least`` to ``most``."""
    if number < least:
        return Refusal(f"{kind}_below_min_value", {"param": param, "minimum": least, "value": number})
    if most is not None and number > most:
        return Refusal(f"{kind}_above_max_value", {"param": param, "maximum": most, "value": number})
    return None


def _problem_with_tools(tools: object, param: str) -> Refusal | None:
    """A function that nobody could call. A tool of another type is the server's own matter: relatives have some."""
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if tool["type"] == "function" and not tool.get("name"):
            return Refusal("missing_required_parameter", {"param": f"{param}[{index}].name"})
    return None


def _invalid(value: object, supported: str, param: str) -> Refusal:
    shown = value[:_MOST_KEY] if isinstance(value, str) else value
    return Refusal("invalid_value", {"value": shown, "supported": supported, "param": param})
