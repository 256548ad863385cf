"""Sessions, responses, items and tools between the beta dialect and GA, as plain JSON.

Every function answers a new object where something changes and never writes into the one that it was given. `to_ga`
functions take whatever came from a peer: what they do not understand they leave as it is, for the repair to name. What
both dialects say alike is not touched, so a document that mixes them comes out whole: where it says one thing in both
notations, the GA one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .vendors import FORMAT_NAMES, NO_FORMAT

Json: TypeAlias = dict[str, Any]

# --- audio formats ----------------------------------------------------------------------------------------------------

_BETA_FORMATS: Final[Mapping[tuple[str, str, int], str]] = {
    (side, kind, rate): name
    for kind, rate, name in (
        ("audio/pcm", 24_000, "pcm16"),
        ("audio/pcmu", 8_000, "g711_ulaw"),
        ("audio/pcma", 8_000, "g711_alaw"),
    )
    for side in ("input", "output")
} | {
    ("output", "audio/pcm", 16_000): "pcm16_16000hz",
    ("output", "audio/pcm", 8_000): "pcm16_8000hz",
}
"""The names of formats in each direction: OpenAI's, and Voice Live's for what it speaks."""

_INPUT_RATE: Final = "input_audio_sampling_rate"
"""Where Voice Live has the rate of an input that it calls ``pcm16`` all the same."""

_INPUT_RATES: Final = frozenset({("audio/pcm", 16_000)})
"""The formats that are written so."""

_USUAL_RATES: Final = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}


def format_to_ga(value: object, direction: str = "input", rate: object = None) -> object:
    """A format by its beta name as an object; anything else as it is.

    ``direction`` is "input" or "output": one vendor's name means another rate for each. ``rate`` is what a vendor says
    beside it.
    """
    if not isinstance(value, str):
        return value
    known = FORMAT_NAMES.get((direction, value)) or FORMAT_NAMES.get(("", value))
    if known is None:
        return value
    if type(rate) is int and rate > 0 and known["type"] == "audio/pcm":
        return {**known, "rate": rate}
    return dict(known)


def format_to_beta(value: object, direction: str = "input") -> object:
    """The beta name of a format; one that has none in this direction stays an object."""
    known = _kind_and_rate(value)
    return value if known is None else _BETA_FORMATS.get((direction, *known), value)


def _kind_and_rate(value: object) -> tuple[str, int] | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type") or "audio/pcm"
    rate = value.get("rate") or (_USUAL_RATES.get(kind) if isinstance(kind, str) else None)
    return (kind, rate) if isinstance(kind, str) and isinstance(rate, int) else None


# --- values -----------------------------------------------------------------------------------------------------------


def modalities_to_ga(value: object) -> object:
    """Audio carries its transcript anyway, so GA names it alone: ``["text", "audio"]`` is ``["audio"]``."""
    return ["audio"] if isinstance(value, list) and "audio" in value and set(map(str, value)) <= _BOTH else value


def modalities_to_beta(value: object) -> object:
    """``["audio"]`` is ``["audio", "text"]``: beta has no audio without text."""
    return ["audio", "text"] if value == ["audio"] else value


_BOTH: Final = {"audio", "text"}


def _detection_to_ga(value: object) -> object:
    """Turn detection of type null is none (xAI); that of type "none" too."""
    return None if isinstance(value, dict) and value.get("type", "") in (None, "none") else value


def _tokens(value: object) -> object:
    """A number of tokens that is spelled as a string (StepFun)."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value


def tools_to_ga(value: object) -> object:
    """Tools whose name and parameters stand in ``function`` (StepFun, xAI), as those beside ``type``."""
    if not isinstance(value, list):
        return value
    return [_tool_to_ga(tool) for tool in value]


def _tool_to_ga(tool: object) -> object:
    if not isinstance(tool, dict):
        return tool
    inner = tool.get("function")
    if not isinstance(inner, dict) or "name" in tool or tool.get("type", "function") != "function":
        return tool
    return {**{key: value for key, value in tool.items() if key != "function"}, "type": "function", **inner}


def _tool_choice_to_ga(value: object) -> object:
    """A forced function, named as chat completions do: ``{"type": "function", "function": {"name": …}}``."""
    if isinstance(value, dict) and isinstance(inner := value.get("function"), dict) and "name" not in value:
        return {"type": "function", **inner}
    return value


# --- flat keys and their places ---------------------------------------------------------------------------------------

_SESSION_PLACES: Final[tuple[tuple[str, str, str], ...]] = (
    ("input_audio_format", "input", "format"),
    ("input_audio_transcription", "input", "transcription"),
    ("input_audio_noise_reduction", "input", "noise_reduction"),
    ("turn_detection", "input", "turn_detection"),
    ("output_audio_format", "output", "format"),
    ("voice", "output", "voice"),
    ("speed", "output", "speed"),
)
"""A flat key of the beta's session, and where GA has it under ``audio``."""

_RESPONSE_PLACES: Final = tuple(place for place in _SESSION_PLACES if place[0] in ("output_audio_format", "voice"))

_NEW_NAMES: Final = (("modalities", "output_modalities"), ("max_response_output_tokens", "max_output_tokens"))
"""A key of the beta's session or response, and its name in GA."""

_GA_KEYS: Final[Mapping[str, str]] = {**{place[0]: "audio" for place in _SESSION_PLACES}, **dict(_NEW_NAMES)}

FLAT_KEYS: Final = frozenset(_GA_KEYS)
"""What only a beta session or response has."""


def ga_key(key: str) -> str:
    """Under which key of a GA session or response that is which a peer names in its own dialect."""
    return _GA_KEYS.get(key, key)


_LATER_KEYS: Final = frozenset({"include", "prompt", "truncation", "parallel_tool_calls", "reasoning"})
"""Keys of GA sessions for things that the beta dialect has not."""


def _nest(data: Mapping[str, Any], places: tuple[tuple[str, str, str], ...]) -> Json:
    """``data`` with its flat keys under ``audio``; what stands there already counts."""
    result = dict(data)
    moved: dict[str, Json] = {}
    for key, side, name in places:
        if key not in result:
            continue
        value = result.pop(key)
        if name == "format":
            value = format_to_ga(value, side, result.pop(_INPUT_RATE, None) if side == "input" else None)
            if isinstance(value, str) and value in NO_FORMAT:
                continue
        elif name == "turn_detection":
            value = _detection_to_ga(value)
        moved.setdefault(side, {})[name] = value
    if not moved:
        return result
    given = result.get("audio")
    if given is not None and not isinstance(given, dict):
        return result
    audio = dict(given or {})
    for side, values in moved.items():
        nested = audio.get(side)
        if nested is None or isinstance(nested, dict):
            audio[side] = {**values, **(nested or {})}
    result["audio"] = audio
    return result


def _flatten(data: Mapping[str, Any], places: tuple[tuple[str, str, str], ...]) -> Json:
    """The inverse; what has no flat key stays under ``audio``, and so does a format without a flat name: xAI reads it
    there, and nobody reads an object where a name belongs."""
    result = dict(data)
    audio = result.get("audio")
    if audio is None:
        result.pop("audio", None)
        return result
    rest = {side: dict(value) if isinstance(value, dict) else value for side, value in audio.items()}
    for key, side, name in places:
        values = rest.get(side)
        if not isinstance(values, dict) or name not in values:
            continue
        value = values[name]
        if name == "format":
            known = _kind_and_rate(value)
            if known in _INPUT_RATES and side == "input":
                value, result[_INPUT_RATE] = "pcm16", known[1]
            value = format_to_beta(value, side)
            if isinstance(value, dict):
                continue
        del values[name]
        result[key] = value
    left = {side: value for side, value in rest.items() if value}
    if left:
        result["audio"] = left
    else:
        del result["audio"]
    return result


def _rename(data: Json, key: str, new: str, change: Callable[[object], object]) -> None:
    """``data[key]`` under its name in the other dialect; a value that stands there already counts."""
    if key in data:
        value = data.pop(key)
        data.setdefault(new, change(value))


def said_twice(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first flat key of a session or a response that gives way to what stands in GA's notation, and its name there;
    None if each thing is said once."""
    for key, side, name in _SESSION_PLACES:
        if key not in data or "audio" not in data:
            continue
        audio = data["audio"]
        half = audio.get(side, {}) if isinstance(audio, dict) else audio
        if not isinstance(half, dict) or name in half:  # what is no dict is not merged with either
            return key, f"audio.{side}.{name}"
    return next(((key, new) for key, new in _NEW_NAMES if key in data and new in data), None)


# --- sessions ---------------------------------------------------------------------------------------------------------


def is_flat(session: object) -> bool:
    """Whether a session is in the beta's notation: without a ``type``, or with a key that only the beta has."""
    return isinstance(session, dict) and ("type" not in session or not FLAT_KEYS.isdisjoint(session))


def session_to_ga(session: object, kind: str | None = None) -> object:
    """A session in GA's notation. ``kind`` is its type where the event tells."""
    if not isinstance(session, dict):
        return session
    result = _nest(session, _SESSION_PLACES)
    if "type" not in result:
        transcribes = result.get("object") == "realtime.transcription_session"
        result["type"] = kind or ("transcription" if transcribes else "realtime")
    _rename(result, "modalities", "output_modalities", modalities_to_ga)
    _rename(result, "max_response_output_tokens", "max_output_tokens", _tokens)
    _common_to_ga(result)
    _audio_to_ga(result)
    return result


def _audio_to_ga(data: Json) -> None:
    """Values of the beta in the places of GA."""
    audio = data.get("audio")
    if not isinstance(audio, dict):
        return
    audio = data["audio"] = dict(audio)
    for side, values in audio.items():
        if isinstance(values, dict):
            values = audio[side] = dict(values)
            if "format" in values:
                values["format"] = format_to_ga(values["format"], side)
            if "turn_detection" in values:
                values["turn_detection"] = _detection_to_ga(values["turn_detection"])


def _common_to_ga(data: Json) -> None:
    if "tools" in data:
        data["tools"] = tools_to_ga(data["tools"])
    if "tool_choice" in data:
        data["tool_choice"] = _tool_choice_to_ga(data["tool_choice"])
    if "max_output_tokens" in data:
        data["max_output_tokens"] = _tokens(data["max_output_tokens"])


def session_to_beta(session: Json, *, shown: bool = False) -> Json:
    """A session in the beta's notation. ``shown``: a server shows it, without the keys that its client cannot know."""
    result = _flatten(session, _SESSION_PLACES)
    if result.pop("type", None) == "transcription" and shown:  # a client names it in its event, not in the session
        result.setdefault("object", "realtime.transcription_session")
    _rename(result, "output_modalities", "modalities", modalities_to_beta)
    _rename(result, "max_output_tokens", "max_response_output_tokens", lambda value: value)
    if shown:
        for key in _LATER_KEYS:
            result.pop(key, None)
    return result


# --- items ------------------------------------------------------------------------------------------------------------


def item_to_ga(item: object) -> object:
    """An item whose content has the types that GA gives it."""
    if not isinstance(item, dict) or (item.get("type", "message") != "message"):
        return item
    content = item.get("content")
    if not isinstance(content, list):
        return item
    role = item.get("role")
    return {**item, "content": [_content_to_ga(part, role) for part in content]}


def _content_to_ga(part: object, role: object) -> object:
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if kind == "text":
        kind = "output_text" if role == "assistant" else "input_text"
    elif kind == "audio":
        kind = "output_audio" if role == "assistant" else "input_audio"
    else:
        return part
    return {**part, "type": kind}


def item_to_beta(item: object) -> object:
    """An item whose content has the types that the beta gives it."""
    if not isinstance(item, dict) or not isinstance(content := item.get("content"), list):
        return item
    return {**item, "content": [_content_to_beta(part) for part in content]}


def _content_to_beta(part: object) -> object:
    if not isinstance(part, dict) or not isinstance(kind := part.get("type"), str):
        return part
    written = {**part, "type": _BETA_CONTENT.get(kind, kind)}
    if "format" in written:  # of retrieved audio
        written["format"] = format_to_beta(written["format"], "output" if kind == "output_audio" else "input")
    return written


_BETA_CONTENT: Final[Mapping[str, str]] = {"output_text": "text", "output_audio": "audio"}


# --- responses --------------------------------------------------------------------------------------------------------


def response_to_ga(response: object) -> object:
    """A response in GA's notation."""
    if not isinstance(response, dict):
        return response
    result = _nest(response, _RESPONSE_PLACES)
    _rename(result, "modalities", "output_modalities", modalities_to_ga)
    _rename(result, "max_response_output_tokens", "max_output_tokens", _tokens)
    _common_to_ga(result)
    if isinstance(result.get("output"), list):
        result["output"] = [item_to_ga(item) for item in result["output"]]
    return result


def response_to_beta(response: Json) -> Json:
    """A response in the beta's notation."""
    result = _flatten(response, _RESPONSE_PLACES)
    _rename(result, "output_modalities", "modalities", modalities_to_beta)
    if isinstance(result.get("output"), list):
        result["output"] = [item_to_beta(item) for item in result["output"]]
    return result


def params_to_ga(params: object) -> object:
    """The parameters of a `response.create` in GA's notation."""
    result = response_to_ga(params)
    if isinstance(result, dict) and isinstance(result.get("input"), list):
        result["input"] = [item_to_ga(item) for item in result["input"]]
    return result


def params_to_beta(params: Json) -> Json:
    """The parameters of a `response.create` in the beta's notation."""
    result = response_to_beta(params)
    _rename(result, "max_output_tokens", "max_response_output_tokens", lambda value: value)
    if isinstance(result.get("input"), list):
        result["input"] = [item_to_beta(item) for item in result["input"]]
    return result
