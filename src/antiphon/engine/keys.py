"""Which keys a client of the beta dialect may name, and an error in the words of that dialect (R-S3, R-E8).

What a client writes in its own dialect is read in GA's shape, so a key of the other dialect would pass unseen, and an
error would name a place that the client never wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, structs

from antiphon import messages as m
from antiphon.engine.checks import parsed, unknown_key
from antiphon.engine.dialects import params_to_ga, session_to_ga
from antiphon.engine.refusals import Refusal, listed, refusal_of
from antiphon.machines import ERRORS

_BETA_HEARD: Final = frozenset(
    {"input_audio_format", "input_audio_transcription", "input_audio_noise_reduction", "turn_detection"}
)
_BETA_COMMON: Final = frozenset(
    {"modalities", "instructions", "voice", "output_audio_format", "tools", "tool_choice", "temperature"}
)
_BETA_KEYS: Final[Mapping[type[Struct], frozenset[str]]] = {
    m.RealtimeSession: _BETA_HEARD
    | _BETA_COMMON
    | {"model", "speed", "tracing", "client_secret", "max_response_output_tokens", "include"},
    m.TranscriptionSession: _BETA_HEARD | {"modalities", "include", "client_secret"},
    m.ResponseCreateParams: _BETA_COMMON | {"conversation", "input", "metadata", "max_response_output_tokens"},
}


def unknown_in_beta(text: bytes | str, event: m.SessionUpdate | m.ResponseCreate) -> Refusal | None:
    """Why ``event``, which was read from ``text``, is refused for a key that the beta dialect does not have."""
    holder: m.AnySession | m.ResponseCreateParams
    if isinstance(event, m.SessionUpdate):
        name, holder = "session", event.session
    elif event.response:
        name, holder = "response", event.response
    else:
        return None
    given = parsed(text, name)
    assert given is not None  # that is what the event was read from
    known = _BETA_KEYS.get(type(holder), frozenset())
    unknown = next((key for key in given if key not in known), None)
    if unknown is not None:
        return Refusal("unknown_parameter", {"param": f"{name}.{unknown[:64]}"})
    if given.get("modalities") == ["audio"]:  # the beta's audio comes with text, and is asked for so
        return Refusal("invalid_modalities", {"value": ["audio"], "supported": "", "param": f"{name}.modalities"})
    shaped = session_to_ga(given, holder.type) if isinstance(holder, m.SessionBase) else params_to_ga(given)
    assert isinstance(shaped, dict)  # an object stays one
    return unknown_key(type(holder), {key: value for key, value in shaped.items() if key != "input"}, name)


_PLACES: Final[tuple[tuple[str, str], ...]] = (
    ("session.audio.input.format", "session.input_audio_format"),
    ("session.audio.input.transcription", "session.input_audio_transcription"),
    ("session.audio.input.noise_reduction", "session.input_audio_noise_reduction"),
    ("session.audio.input.turn_detection", "session.turn_detection"),
    ("session.audio.output.format", "session.output_audio_format"),
    ("session.audio.output.voice", "session.voice"),
    ("session.audio.output.speed", "session.speed"),
    ("session.max_output_tokens", "session.max_response_output_tokens"),
    ("response.audio.output.format", "response.output_audio_format"),
    ("response.audio.output.voice", "response.voice"),
    ("response.max_output_tokens", "response.max_response_output_tokens"),
    ("session.output_modalities", "session.modalities"),
    ("response.output_modalities", "response.modalities"),
)


_FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "$.session.audio.input.format": ("session", "input_audio_format"),
    "$.session.audio.output.format": ("session", "output_audio_format"),
    "$.response.audio.output.format": ("response", "output_audio_format"),
}
_FORMAT_NAMES: Final = ("pcm16", "g711_ulaw", "g711_alaw")


def refusal_in_beta(problem: m.Problem, event: dict[str, Any]) -> Refusal:
    """`refusal_of` for a client of the beta dialect, whose formats are names, of which there are three."""
    place = _FORMATS.get(problem.path)
    value = None if place is None else event[place[0]].get(place[1])
    if not isinstance(value, str):
        return refusal_of(problem, event)
    return Refusal(
        "invalid_value",
        {"value": value[:64], "supported": listed(_FORMAT_NAMES), "param": problem.path.removeprefix("$.")},
    )


def in_beta(refusal: Refusal) -> Refusal:
    """The same refusal, in the words of the beta dialect."""
    fields = dict(refusal.fields)
    param = fields.get("param", ERRORS[refusal.name].param)
    if isinstance(param, str) and not (refusal.name == "unknown_parameter" and param.count(".") == 1):
        for place, flat in _PLACES:
            if param == place or param.startswith(f"{place}."):
                # A format is one word in the beta: it has no parts to name.
                fields["param"] = flat if place.endswith("format") else flat + param[len(place) :]
    if refusal.name == "invalid_modalities":
        fields["supported"] = "['text'] and ['audio', 'text']"
    return structs.replace(refusal, fields=fields)
