"""The session that a server runs: what it begins with, and what an update changes (R-S3).

Kept as plain JSON, because an update is about keys: those that are present change, null clears, absent ones keep their
value at every level, and one that is wrong refuses them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from msgspec import UNSET, Struct

from antiphon import messages as m
from antiphon.machines import ERRORS

Json: TypeAlias = dict[str, Any]


class Refusal(Struct, frozen=True):
    """Why a client's event is refused: an entry of ``spec/errors.toml`` with its blanks filled in."""

    name: str
    fields: dict[str, object] = {}

    def detail(self, event_id: str | None) -> m.ErrorDetail:
        """As the ``error`` of an `error` event."""
        spec = ERRORS[self.name]
        return m.ErrorDetail(
            type=spec.type,
            code=spec.code,
            message=spec.message.format(**self.fields),
            param=None if spec.param is None else spec.param.format(**self.fields),
            event_id=event_id,
        )


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

_BETA_KEYS = (
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
)
_MODALITIES = (["text"], ["audio"])
_VAD_TYPES = ("server_vad", "semantic_vad")
_FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma")


def merged(base: Mapping[str, Any], update: Mapping[str, Any]) -> Json:
    """``base`` with the keys of ``update``, at every level of objects; neither is changed."""
    result = dict(base)
    for key, value in update.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def problem_with_update(settings: Json, update: Json, *, has_spoken: bool) -> Refusal | None:
    """Why ``update`` (the ``session`` of a `session.update`, as JSON) is refused, None when it is not."""
    for key in _BETA_KEYS:
        if key in update:
            return Refusal("unknown_parameter", {"param": f"session.{key}"})
    unknown = _unknown_key(m.RealtimeSession if update.get("type") == "realtime" else m.TranscriptionSession, update)
    if unknown is not None:
        return Refusal("unknown_parameter", {"param": f"session.{unknown}"})
    if update["type"] != settings["type"]:
        return Refusal("invalid_parameter", {"given": update["type"], "actual": settings["type"]})
    modalities = update.get("output_modalities")
    if modalities is not None and modalities not in _MODALITIES:
        return Refusal(
            "invalid_modalities",
            {"value": modalities, "supported": "['text'] and ['audio']", "param": "session.output_modalities"},
        )
    audio = update.get("audio") or {}
    refused = _problem_with_audio(audio)
    if refused is not None:
        return refused
    voice = (audio.get("output") or {}).get("voice")
    if voice is not None and has_spoken and voice != settings["audio"]["output"]["voice"]:
        return Refusal("cannot_update_voice")
    return None


def _problem_with_audio(audio: Json) -> Refusal | None:
    for side in ("input", "output"):
        named = (audio.get(side) or {}).get("format")
        if named is not None and named.get("type") not in _FORMATS:
            return Refusal(
                "invalid_value",
                {
                    "value": named.get("type"),
                    "supported": _listed(_FORMATS),
                    "param": f"session.audio.{side}.format.type",
                },
            )
    detection = (audio.get("input") or {}).get("turn_detection")
    if detection is not None and detection.get("type", "server_vad") not in _VAD_TYPES:
        return Refusal(
            "invalid_value",
            {
                "value": detection.get("type"),
                "supported": _listed(_VAD_TYPES),
                "param": "session.audio.input.turn_detection.type",
            },
        )
    return None


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _unknown_key(cls: type[Struct], data: Json) -> str | None:
    known = {*cls.__struct_fields__, "type"}
    return next((key for key in data if key not in known), None)


def modalities_of(settings: Json, params: m.ResponseCreateParams | None) -> str:
    """Whether a response is to be ``text`` or ``audio``."""
    wanted = params.output_modalities if params is not None else UNSET
    return "audio" if "audio" in (wanted or settings.get("output_modalities") or ["audio"]) else "text"
