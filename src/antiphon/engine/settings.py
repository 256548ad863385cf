"""The session that a server runs: what it begins with, and what an update changes (R-S3).

Kept as plain JSON, because an update is about keys: those that are present change, null clears, absent ones keep their
value at every level, and one that is wrong refuses them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from antiphon import messages as m
from antiphon.engine.refusals import Refusal, listed
from antiphon.messages.values import CONVERSATION_MODES

Json: TypeAlias = dict[str, Any]


DEFAULTS: Final[Json] = {
    "type": "realtime",
    "object": "realtime.session",
    "output_modalities": ["audio"],
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 500,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
    },
    "include": None,
}
"""What a session is before anybody changes it, as recorded from the service (§1.6 of its documentation)."""

_BETA_KEYS = frozenset(
    {
        "modalities",
        "input_audio_format",
        "input_audio_transcription",
        "input_audio_noise_reduction",
        "turn_detection",
        "output_audio_format",
        "voice",
        "speed",
        "temperature",
        "max_response_output_tokens",
    }
)
_SERVERS_KEYS = frozenset({"object", "id", "expires_at", "client_secret"})
"""What a session shows and no update names."""
_WHOLE = frozenset({"prompt", "tool_choice", "tracing", "truncation"})
"""Objects that are one value: one of several shapes, or with keys of the client's own, which would pile up."""
_MODALITIES = (["text"], ["audio"])
_VAD_TYPES = ("server_vad", "semantic_vad")
_FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma")


def merged(base: Mapping[str, Any], update: Mapping[str, Any]) -> Json:
    """``base`` with the keys of ``update``, at every level of objects; neither is changed.

    A format of another type is another format: the rate of PCM says nothing of G.711, which names none.
    """
    result = dict(base)
    for key, value in update.items():
        before = result.get(key)
        if not isinstance(before, dict) or not isinstance(value, dict) or key in _WHOLE:
            result[key] = value
        elif key == "format" and value.get("type", before.get("type")) != before.get("type"):
            result[key] = dict(value)
        else:
            result[key] = merged(before, value)
    return result


class _Keys(Struct):
    session: dict[str, msgspec.Raw]


_keys = msgspec.json.Decoder(_Keys).decode


def unknown_parameter(text: bytes | str, session: m.AnySession) -> Refusal | None:
    """Why the `session.update` in ``text`` is refused for a key that ``session``, as it was read, does not have."""
    try:
        present = _keys(text).session
    except msgspec.DecodeError:
        return None  # `session` stands there twice, once as no object: what was read is what there is
    known = {"type", *session.__struct_fields__} - _BETA_KEYS - _SERVERS_KEYS
    unknown = next((key for key in present if key not in known), None)
    return None if unknown is None else Refusal("unknown_parameter", {"param": f"session.{unknown[:64]}"})


def problem_with_update(settings: Json, update: Json, *, has_spoken: bool) -> Refusal | None:
    """Why ``update`` (the ``session`` of a `session.update`, as JSON) is refused, None when it is not."""
    if update["type"] != settings["type"]:
        return Refusal("invalid_parameter", {"given": update["type"], "actual": settings["type"]})
    refused = _problem_with_modalities(update.get("output_modalities"), "session.output_modalities")
    if refused is not None:
        return refused
    audio = update.get("audio") or {}
    refused = _problem_with_audio(audio)
    if refused is not None:
        return refused
    voice = (audio.get("output") or {}).get("voice")
    spoken = ((settings.get("audio") or {}).get("output") or {}).get("voice")
    if voice is not None and has_spoken and voice != spoken:
        return Refusal("cannot_update_voice")
    return None


def problem_with_params(params: m.ResponseCreateParams) -> Refusal | None:
    """Why the ``response`` of a `response.create` is refused, None when it is not."""
    for key in params.__struct_fields__:
        if key in _BETA_KEYS and getattr(params, key) is not UNSET:
            return Refusal("unknown_parameter", {"param": f"response.{key}"})
    if params.conversation and params.conversation not in CONVERSATION_MODES:
        return Refusal(
            "invalid_value",
            {
                "value": params.conversation[:64],
                "supported": listed(CONVERSATION_MODES),
                "param": "response.conversation",
            },
        )
    return _problem_with_modalities(params.output_modalities, "response.output_modalities")


def _problem_with_modalities(wanted: object, param: str) -> Refusal | None:
    if wanted is None or wanted is UNSET or wanted in _MODALITIES:
        return None
    return Refusal("invalid_modalities", {"value": wanted, "supported": "['text'] and ['audio']", "param": param})


def _problem_with_audio(audio: Json) -> Refusal | None:
    for side in ("input", "output"):
        named = (audio.get(side) or {}).get("format")
        if named is not None and named.get("type", "audio/pcm") not in _FORMATS:
            return Refusal(
                "invalid_value",
                {
                    "value": named.get("type"),
                    "supported": listed(_FORMATS),
                    "param": f"session.audio.{side}.format.type",
                },
            )
        rate = None if named is None else named.get("rate")
        if rate is not None and rate < 1:
            param = f"session.audio.{side}.format.rate"
            return Refusal("invalid_value", {"value": rate, "supported": "integers of 1 and more", "param": param})
    detection = (audio.get("input") or {}).get("turn_detection")
    if detection is not None and detection.get("type", "server_vad") not in _VAD_TYPES:
        return Refusal(
            "invalid_value",
            {
                "value": detection.get("type"),
                "supported": listed(_VAD_TYPES),
                "param": "session.audio.input.turn_detection.type",
            },
        )
    return None


def modalities_of(settings: Json, params: m.ResponseCreateParams | None) -> str:
    """Whether a response is to be ``text`` or ``audio``."""
    wanted = params.output_modalities if params is not None else UNSET
    return "audio" if "audio" in (wanted or settings.get("output_modalities") or ["audio"]) else "text"
