"""The session that a server runs: what it begins with, and what an update changes (R-S3).

Kept as plain JSON, because an update is about keys: those that are present change, null clears, absent ones keep their
value at every level, and one that is wrong refuses them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from msgspec import UNSET, Struct, structs

from antiphon import messages as m
from antiphon.engine.checks import parsed, problem_with_values, unknown_key
from antiphon.engine.codec import to_builtins
from antiphon.engine.dialects import Dialect
from antiphon.engine.refusals import Refusal, listed
from antiphon.messages.values import CONVERSATION_MODES

Json: TypeAlias = dict[str, Any]


METADATA_PAIRS, METADATA_KEY, METADATA_VALUE = 16, 64, 512
"""How many pairs a request may carry, and how many characters a key and a value may have."""

_DETECTION: Final[Mapping[str, Json]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}
_TRANSCRIPTION: Final[Json] = {"language": None, "prompt": None}
_INPUT: Final[Json] = {
    "format": {"type": "audio/pcm", "rate": 24000},
    "transcription": None,
    "noise_reduction": None,
    "turn_detection": _DETECTION["server_vad"],
}

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
        "input": _INPUT,
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
    },
    "include": None,
}
"""What a session is before anybody changes it, as recorded from the service."""

BETA_TEMPERATURE: Final = 0.8
"""What a conversation has beside that in the beta dialect, which GA has not. Source: doc."""

TRANSCRIPTION_DEFAULTS: Final[Json] = {
    "type": "transcription",
    "object": "realtime.transcription_session",
    "audio": {"input": _INPUT},
    "include": None,
}
"""The same for a session that only transcribes."""

TRANSLATION_DEFAULTS: Final[Json] = {
    "type": "translation",
    "audio": {"input": {"transcription": None, "noise_reduction": None}, "output": {}},
}
"""The same for a session that translates."""

_BY_TYPE: Final[Mapping[str, Json]] = {"transcription": TRANSCRIPTION_DEFAULTS, "translation": TRANSLATION_DEFAULTS}


def initial(config: Mapping[str, Any] | None) -> Json:
    """What a session begins with, where the server's ``config`` names some of it."""
    config = config or {}
    return merged(_BY_TYPE.get(config.get("type", ""), DEFAULTS), config)


_SERVERS_KEYS = frozenset({"object", "id", "expires_at", "client_secret"})
"""What a session shows and no update names."""
_ONLY_BETA = frozenset({"temperature"})
"""What the classes have for the other dialect alone."""
_WHOLE = frozenset({"prompt", "tool_choice", "tracing", "truncation"})
"""Objects that are one value: one of several shapes, or with keys of the client's own, which would pile up."""
_MOST_FIELDS, _MOST_MODEL = 64, 256
_MODALITIES = (["text"], ["audio"])
_VAD_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "server_vad": frozenset({"threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"}),
    "semantic_vad": frozenset({"eagerness"}),
}
"""What belongs to one way of detecting turns, and to no other."""


def merged(base: Mapping[str, Any], update: Mapping[str, Any]) -> Json:
    """``base`` with the keys of ``update``, at every level of objects; neither is changed.

    What is of another type is another thing: the rate of PCM says nothing of G.711, nor a threshold of a model that
    listens to the meaning. What was off begins with the values of its type.
    """
    result = dict(base)
    for key, value in update.items():
        before = result.get(key)
        if not isinstance(value, dict) or key in _WHOLE:
            result[key] = value
        elif key == "turn_detection":
            result[key] = _detection(before, value)
        elif not isinstance(before, dict):
            result[key] = merged(_TRANSCRIPTION, value) if key == "transcription" else value
        elif key == "format" and value.get("type", before.get("type")) != before.get("type"):
            result[key] = dict(value)
        else:
            result[key] = merged(before, value)
    return result


class Wanted(Struct, frozen=True):
    """What the query of a handshake asks for."""

    model: str | None = None
    intent: str | None = None


def asked_in(query: str) -> Wanted:
    """``model`` (or Azure's ``deployment``) and ``intent`` of a handshake's query; of several the first counts."""
    try:
        pairs = parse_qsl(query, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return Wanted()
    found = dict(reversed(pairs))
    return Wanted(found.get("model", found.get("deployment")), found.get("intent"))


def serves(models: Collection[str], model: str) -> bool:
    """Whether a server of ``models`` (none: any) takes a client that asks for ``model``."""
    return model in models if models else len(model) <= _MOST_MODEL


def settled(config: Mapping[str, Any] | None, wanted: Wanted) -> Json:
    """What a session begins with whose client asked for something: its kind, and the model of a conversation."""
    settings = initial(config)
    if wanted.intent == "transcription" and settings["type"] != "transcription":
        # Of a server's own values those hold that a session of this kind has.
        heard = (settings.get("audio") or {}).get("input")
        settings = initial({"type": "transcription", "audio": {"input": heard}, "include": settings.get("include")})
    if wanted.model is not None and settings["type"] == "realtime":
        settings = merged(settings, {"model": wanted.model})
    return settings


def _detection(before: object, update: Json) -> Json:
    """Turn detection after ``update``: another type begins anew, but for what it does about a turn."""
    known = before if isinstance(before, dict) else {}
    type_ = str(update.get("type", known.get("type", "server_vad")))
    if type_ != known.get("type"):
        kept = {key: value for key, value in known.items() if key in ("create_response", "interrupt_response")}
        known = {**_DETECTION.get(type_, {}), **kept}
    return {**known, **update}


def unknown_parameter(text: bytes | str, event: m.SessionUpdate | m.ResponseCreate) -> Refusal | None:
    """Why ``event``, which was read from ``text``, is refused for a key that it has not, None if it has them all."""
    if isinstance(event, m.SessionUpdate):
        session = parsed(text, "session")
        assert session is not None  # an update was read from it
        refused = unknown_key(type(event.session), session, "session", without=_ONLY_BETA | _SERVERS_KEYS)
        audio = session.get("audio")
        output = audio.get("output") if isinstance(audio, dict) else None
        if refused is None and output is not None:
            if isinstance(event.session, m.TranscriptionSession):
                return Refusal("unknown_parameter", {"param": "session.audio.output"})
            if "language" in output and not isinstance(event.session, m.TranslationSession):
                return Refusal("unknown_parameter", {"param": "session.audio.output.language"})
        return refused
    response = parsed(text, "response")
    if response is None:
        return None
    # Items are read as those of `conversation.item.create` are: their class knows what it wants to know.
    response = {key: value for key, value in response.items() if key != "input"}
    refused = unknown_key(m.ResponseCreateParams, response, "response", without=_ONLY_BETA)
    if refused is None and isinstance(audio := response.get("audio"), dict) and "input" in audio:
        return Refusal("unknown_parameter", {"param": "response.audio.input"})
    return refused


def problem_with_update(settings: Json, update: Json, *, has_spoken: bool) -> Refusal | None:
    """Why ``update`` (the ``session`` of a `session.update`, as JSON) is refused, None when it is not."""
    if update["type"] != settings["type"]:
        return Refusal("invalid_parameter", {"given": update["type"], "actual": settings["type"]})
    refused = problem_with_modalities(update.get("output_modalities"), "session.output_modalities")
    refused = refused or problem_with_values(update, "session") or _problem_with_detection(settings, update)
    if refused is not None:
        return refused
    model = settings.get("model")
    if model is not None and update.get("model", model) != model:
        return Refusal("cannot_update_model")
    tracing = settings.get("tracing")
    if tracing is not None and update.get("tracing", tracing) != tracing:
        return Refusal("cannot_update_tracing")
    return Refusal("cannot_update_voice") if has_spoken and _is_other_voice(settings, update) else None


def _is_other_voice(settings: Json, wanted: Json) -> bool:
    voice = ((wanted.get("audio") or {}).get("output") or {}).get("voice")
    return voice is not None and voice != ((settings.get("audio") or {}).get("output") or {}).get("voice")


def _problem_with_detection(settings: Json, update: Json) -> Refusal | None:
    """A key of another way of detecting turns than the one that will be."""
    wanted = ((update.get("audio") or {}).get("input") or {}).get("turn_detection") or {}
    current = ((settings.get("audio") or {}).get("input") or {}).get("turn_detection") or {}
    type_ = wanted.get("type", current.get("type", "server_vad"))
    key = foreign_detection_key(wanted, type_)
    return None if key is None else Refusal("unknown_parameter", {"param": f"session.audio.input.turn_detection.{key}"})


def foreign_detection_key(wanted: Mapping[str, object], type_: str) -> str | None:
    """The first key of ``wanted`` that belongs to another way of detecting turns than ``type_``."""
    foreign = frozenset().union(*(keys for name, keys in _VAD_KEYS.items() if name != type_))
    return next((key for key in wanted if key in foreign), None)


def foreign_keys(holder: m.AnySession | m.ResponseCreateParams, dialect: Dialect) -> Iterator[str]:
    """The fields of ``holder`` that no client of this dialect sets: those of the other one, and the server's own."""
    foreign = _SERVERS_KEYS | _ONLY_BETA if dialect == "ga" else _SERVERS_KEYS
    return (name for name in holder.__struct_fields__ if name in foreign and getattr(holder, name) is not UNSET)


def problem_with_params(settings: Json, params: m.ResponseCreateParams, *, has_spoken: bool) -> Refusal | None:
    """Why the ``response`` of a `response.create` is refused, None when it is not. Out of band it may have a voice of
    its own (R-S5)."""
    if params.conversation and params.conversation not in CONVERSATION_MODES:
        return Refusal(
            "invalid_value",
            {
                "value": params.conversation[:64],
                "supported": listed(CONVERSATION_MODES),
                "param": "response.conversation",
            },
        )
    refused = problem_with_modalities(params.output_modalities, "response.output_modalities")
    wanted = to_builtins(structs.replace(params, input=UNSET))
    refused = refused or problem_with_values(wanted, "response") or problem_with_metadata(params.metadata)
    if refused is None and has_spoken and params.conversation != "none" and _is_other_voice(settings, wanted):
        return Refusal("response_in_another_voice")
    return refused


def problem_with_modalities(wanted: object, param: str) -> Refusal | None:
    """Why ``wanted`` is no list of output modalities, None when it is one, or nothing was wanted."""
    if wanted is None or wanted is UNSET or wanted in _MODALITIES:
        return None
    return Refusal("invalid_modalities", {"value": wanted, "supported": "['text'] and ['audio']", "param": param})


def problem_with_metadata(metadata: m.Maybe[dict[str, str]]) -> Refusal | None:
    """Why metadata is refused: too many pairs, a key or a value that is no text or too long. None when it is not."""
    if not metadata:
        return None
    if len(metadata) > METADATA_PAIRS:
        fields = {"param": "response.metadata", "maximum": METADATA_PAIRS, "length": len(metadata)}
        return Refusal("object_above_max_properties", fields)
    for key, value in metadata.items():
        for text, most, param in (
            (key, METADATA_KEY, "response.metadata"),
            (value, METADATA_VALUE, f"response.metadata.{key}"),
        ):
            if not isinstance(text, str):
                fields = {"param": param, "expected": "a string", "actual": type(text).__name__}
                return Refusal("invalid_type", fields)
            if len(text) > most:
                return Refusal("string_above_max_length", {"param": param, "maximum": most, "length": len(text)})
    return None


def modalities_of(settings: Json, params: m.ResponseCreateParams | None) -> str:
    """Whether a response is to be ``text`` or ``audio``."""
    wanted = params.output_modalities if params is not None else UNSET
    return "audio" if "audio" in (wanted or settings.get("output_modalities") or ["audio"]) else "text"
