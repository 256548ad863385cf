"""The installed `openai` package declares the protocol as its maker sees it: nothing of that may be missing here.

Each event class of the package is walked, with all that it nests, beside the class that this library reads it into. A
missing event type, a missing field, a kind of value that the field does not take, a null or an absence that it does not
bear, and a missing value of an enumeration are findings. What may differ is listed, with the reason.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
from msgspec import UNSET, Struct, UnsetType
from msgspec import inspect as introspection

from antiphon import messages as m
from antiphon.machines import EVENTS
from antiphon.messages import CLIENT_EVENTS, SERVER_EVENTS, values
from antiphon.messages.beta import CLIENT_VIEWS, SERVER_VIEWS

pytest.importorskip("openai.types.realtime", reason="the openai package is not installed")

ENUMERATIONS: Mapping[str, tuple[object, ...]] = {
    "ApprovalFilter.require_approval": values.APPROVAL_MODES,
    "AudioFormat.rate": (24000,),
    "AudioFormat.type": values.AUDIO_FORMAT_TYPES,
    "AudioOutput.voice": values.VOICES,
    "AudioTranscription.delay": values.TRANSCRIPTION_DELAYS,
    "Conversation.object": ("realtime.conversation",),
    "InputImage.detail": values.IMAGE_DETAILS,
    "ItemBase.object": ("realtime.item",),
    "ItemBase.status": values.ITEM_STATUSES,
    "McpError.type": values.MCP_ERROR_TYPES,
    "McpTool.allowed_callers": values.ALLOWED_CALLERS,
    "McpTool.connector_id": values.CONNECTORS,
    "McpTool.require_approval": values.APPROVAL_MODES,
    "MessageItem.role": values.MESSAGE_ROLES,
    "NoiseReduction.type": values.NOISE_REDUCTION_TYPES,
    "RateLimit.name": values.RATE_LIMIT_NAMES,
    "RealtimeSession.max_output_tokens": ("inf",),
    "RealtimeSession.output_modalities": values.MODALITIES,
    "RealtimeSession.tool_choice": values.TOOL_CHOICE_MODES,
    "RealtimeSession.tracing": values.TRACING_MODES,
    "RealtimeSession.truncation": values.TRUNCATION_MODES,
    "Reasoning.effort": values.REASONING_EFFORTS,
    "Response.max_output_tokens": ("inf",),
    "Response.object": ("realtime.response",),
    "Response.output_modalities": values.MODALITIES,
    "Response.status": values.RESPONSE_STATUSES,
    "ResponseCreateParams.conversation": values.CONVERSATION_MODES,
    "ResponseCreateParams.max_output_tokens": ("inf",),
    "ResponseCreateParams.output_modalities": values.MODALITIES,
    "ResponseCreateParams.tool_choice": values.TOOL_CHOICE_MODES,
    "RetentionRatioTruncation.type": ("retention_ratio",),
    "SessionBase.include": values.INCLUDES,
    "SessionBase.object": values.SESSION_OBJECTS,
    "SessionOutputAudioDelta.format": values.TRANSLATED_AUDIO_FORMATS,
    "StatusDetails.reason": values.STATUS_REASONS,
    "StatusDetails.type": values.RESPONSE_STATUSES,
    "ToolChoice.type": values.TOOL_CHOICE_TYPES,
    "TurnDetection.eagerness": values.EAGERNESS,
    "TurnDetection.type": values.TURN_DETECTION_TYPES,
}
"""Where an open enumeration is read, and what it is known to say. A field is named with the class that declares it."""

EXCEPTIONS: Mapping[str, str] = {
    "model": "names of products: an open set that changes without the protocol",
    "content[].text": "without its text a content of text says nothing; a null one is repaired to the empty one",
    "response.id": "a response without an id is repaired from `response_id`, or ends by R-R4",
    "content[].id": "the beta's reference inside a content is kept whole, as an `UnknownContent`",
    "content[].type": "the same",
    "client_secret.expires_at": "the same, of the beta's; a session shows when its key ends",
    "client_secret.expires_after": "asked of the HTTP endpoint that makes keys; a socket's session gives none",
}
"""Findings that are no gaps, each with its reason. A key is the end of a finding's path."""


BETA_NAMES = {spec.beta: name for name, spec in EVENTS.items() if spec.beta}
"""Names of the beta dialect that differ, and what they are called here."""


class Official(NamedTuple):
    """An annotation of the package, taken apart. ``nothing``: null is allowed, or the key may be absent."""

    kinds: frozenset[type]
    literals: frozenset[object]
    models: tuple[Any, ...]
    elements: tuple[object, ...]
    nothing: bool


def taken_apart(annotation: object) -> Official:
    kinds: set[type] = set()
    literals: set[object] = set()
    models: list[Any] = []
    elements: list[object] = []
    nothing = False
    rest = [annotation]
    while rest:
        part = rest.pop()
        origin = get_origin(part)
        if origin is Annotated:
            rest.append(get_args(part)[0])
        elif origin in (Union, UnionType):
            rest.extend(get_args(part))
        elif origin is Literal:
            literals.update(get_args(part))
            kinds.update(type(value) for value in get_args(part))
        elif origin in (list, dict):
            kinds.add(origin)
            elements.append(get_args(part)[-1])
        elif part is NoneType:
            nothing = True
        elif part is object or part is Any:
            kinds.add(dict)
        elif hasattr(part, "model_fields"):
            models.append(part)
        else:
            assert part in (str, int, float, bool), f"a kind of annotation that this test does not know: {part!r}"
            kinds.add(part)
    return Official(frozenset(kinds), frozenset(literals), tuple(models), tuple(elements), nothing)


def tags_of(model: Any) -> frozenset[object]:
    """The values of a model's ``type``, where that is an enumeration."""
    field = model.model_fields.get("type")
    return taken_apart(field.annotation).literals if field is not None else frozenset()


def members(annotation: introspection.Type) -> tuple[introspection.Type, ...]:
    return annotation.types if isinstance(annotation, introspection.UnionType) else (annotation,)


_KINDS: Mapping[type[introspection.Type], tuple[type, ...]] = {
    introspection.StrType: (str,),
    introspection.IntType: (int,),
    introspection.FloatType: (int, float),
    introspection.BoolType: (bool,),
    introspection.ListType: (list,),
    introspection.DictType: (dict,),
    introspection.AnyType: (str, int, float, bool, list, dict),
}


def kinds_of(types: Iterable[introspection.Type]) -> set[type]:
    kinds: set[type] = set()
    for each in types:
        if isinstance(each, introspection.LiteralType):
            kinds.update(type(value) for value in each.values)
        else:
            kinds.update(_KINDS.get(type(each), ()))
    return kinds


def is_mark(annotation: introspection.Type) -> bool:
    return isinstance(annotation, introspection.CustomType) and annotation.cls is UnsetType


def declared_in(cls: type[Struct], name: str) -> str:
    """The class of ours that declares a field, with its name."""
    owner = next(base for base in reversed(cls.__mro__) if name in inspect.get_annotations(base))
    return f"{owner.__name__}.{name}"


class Walk:
    """Compares models with classes, each pair once; ``findings`` are the gaps."""

    def __init__(self) -> None:
        self.findings: dict[str, None] = {}
        self._seen: set[tuple[object, ...]] = set()

    def find(self, path: str, what: str) -> None:
        self.findings[f"{path}: {what}"] = None

    def model(self, model: Any, classes: tuple[type[Struct], ...], path: str) -> None:
        """``classes``: any of them may be what the model is read into (the beta has one class for all items)."""
        if (model, *classes) in self._seen:
            return
        self._seen.add((model, *classes))
        described = [(cls, {field.encode_name: field for field in self._fields(cls)}) for cls in classes]
        for attribute, info in model.model_fields.items():
            name = info.alias or attribute
            where = f"{path}.{name}"
            official = taken_apart(info.annotation)
            holding = [(cls, fields[name]) for cls, fields in described if name in fields]
            if name == "type" and not holding:
                known = {cls.__struct_config__.tag for cls in classes}
                known |= {beta for beta, renamed in BETA_NAMES.items() if renamed in known}
                for value in sorted(map(str, official.literals - known)):
                    self.find(where, f"no class for {value!r}")
                continue
            if not holding:
                self.find(where, "missing")
                continue
            types = [each for _, field in holding for each in members(field.type)]
            if all(is_mark(each) for each in types):
                continue  # the beta's notation: what it becomes is tested with the dialects
            if len(classes) == 1:  # a class for several kinds makes optional what one of them must have
                if not info.is_required() and holding[0][1].required:
                    self.find(where, "required here alone")
                if official.nothing and not any(
                    isinstance(each, introspection.NoneType | introspection.AnyType) for each in types
                ):
                    self.find(where, "not nullable here")
            self.annotation(official, types, {declared_in(cls, name) for cls, _ in holding}, where)

    def annotation(self, official: Official, types: list[introspection.Type], declared: set[str], path: str) -> None:
        for kind in official.kinds - kinds_of(types):
            self.find(path, f"takes no {kind.__name__}")
        if official.literals:
            known = {value for name in declared for value in ENUMERATIONS.get(name, ())}
            for value in sorted(map(str, official.literals - known)):
                self.find(path, f"{value!r} is not listed for {', '.join(sorted(declared))}")
        inner = [
            each
            for part in types
            if isinstance(part, introspection.ListType | introspection.DictType)
            for each in members(part.item_type if isinstance(part, introspection.ListType) else part.value_type)
        ]
        for element in official.elements:
            if inner:
                self.annotation(taken_apart(element), inner, declared, f"{path}[]")
        structs = [each for each in types if isinstance(each, introspection.StructType)]
        for model in official.models:
            if not structs:
                if not kinds_of(types) >= {dict}:
                    self.find(path, f"takes no object ({model.__name__})")
                continue
            tags = tags_of(model)
            chosen = [each.cls for each in structs if each.tag in tags] or [
                each.cls for each in structs if each.tag is None or not tags
            ]
            if not chosen:
                self.find(path, f"no class for {', '.join(sorted(map(str, tags)))}")
            else:
                self.model(model, tuple(chosen), path)

    @staticmethod
    def _fields(cls: type[Struct]) -> tuple[introspection.Field, ...]:
        description = introspection.type_info(cls)
        assert isinstance(description, introspection.StructType)
        return description.fields


def union(module: str, name: str) -> Iterator[tuple[str, Any]]:
    """The event classes of one union of the package, by their type."""
    try:
        found = importlib.import_module(f"openai.types.{module}")
    except ImportError:
        pytest.skip(f"the installed openai package has no openai.types.{module}")
    alias = getattr(found, name, None)
    if alias is None:
        pytest.skip(f"the installed openai package has no {name}")
    for model in taken_apart(alias).models:
        (tag,) = tags_of(model)
        yield str(tag), model


UNIONS = (
    ("realtime", "RealtimeClientEvent", CLIENT_EVENTS),
    ("realtime", "RealtimeServerEvent", SERVER_EVENTS),
    ("realtime.realtime_translation_client_event", "RealtimeTranslationClientEvent", CLIENT_EVENTS),
    ("realtime.realtime_translation_server_event", "RealtimeTranslationServerEvent", SERVER_EVENTS),
    ("beta.realtime", "RealtimeClientEvent", CLIENT_VIEWS["beta"]),
    ("beta.realtime", "RealtimeServerEvent", SERVER_VIEWS["beta"]),
)


def excused(finding: str) -> bool:
    path = finding.partition(": ")[0]
    return any(path == key or path.endswith(f".{key}") for key in EXCEPTIONS)


def findings_of(module: str, name: str, classes: Mapping[str, type[Struct]]) -> list[str]:
    walk = Walk()
    for tag, model in union(module, name):
        cls = classes.get(tag)
        if cls is None:
            walk.find(tag, "no such event")
        else:
            walk.model(model, (cls,), tag)
    return list(walk.findings)


@pytest.mark.parametrize(("module", "name", "classes"), UNIONS, ids=lambda value: value if type(value) is str else "")
def test_every_event_field_and_value_of_the_package_is_here(
    module: str, name: str, classes: Mapping[str, type[Struct]]
) -> None:
    assert [finding for finding in findings_of(module, name, classes) if not excused(finding)] == []


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("realtime_session_create_response.RealtimeSessionCreateResponse", m.RealtimeSession),
        (
            "realtime_transcription_session_create_response.RealtimeTranscriptionSessionCreateResponse",
            m.TranscriptionSession,
        ),
        ("realtime_translation_session.RealtimeTranslationSession", m.TranslationSession),
    ],
)
def test_every_field_of_a_session_that_the_package_declares_is_here(name: str, cls: type[Struct]) -> None:
    module, _, class_name = name.partition(".")
    try:
        model = getattr(importlib.import_module(f"openai.types.realtime.{module}"), class_name)
    except (ImportError, AttributeError):
        pytest.skip(f"the installed openai package has no {class_name}")
    walk = Walk()
    walk.model(model, (cls,), class_name)
    assert [finding for finding in walk.findings if not excused(finding)] == []


def test_the_walk_sees_every_kind_of_gap() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Ours(m.Message, frozen=True, kw_only=True):
        whole: str
        sure: str
        status: m.Maybe[str] = UNSET
        number: m.Maybe[int] = UNSET
        inner: m.Maybe[str] = UNSET

    theirs = pydantic.create_model(
        "Theirs",
        whole=(str, ...),
        sure=(str | None, None),
        status=(Literal["sleeping"], "sleeping"),
        number=(float, 0.0),
        inner=(pydantic.create_model("Inner"), None),
        more=(str, ...),
    )
    walk = Walk()
    walk.model(theirs, (Ours,), "event")
    assert list(walk.findings) == [
        "event.sure: required here alone",
        "event.sure: not nullable here",
        "event.status: 'sleeping' is not listed for Ours.status",
        "event.number: takes no float",
        "event.inner: takes no object (Inner)",
        "event.more: missing",
    ]
