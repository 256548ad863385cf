"""Reading an event that does not fit its class: field by field, keeping whatever is usable.

The codec comes here only after its typed decoder has refused a document. What happens to a value that does not fit:

* an optional field is left unset;
* a required field gets a value that does no harm (an index 0, a text "", a list []), where there is one;
* without one the object around it is unusable: an optional object is left unset, an item becomes an `UnknownItem`,
  and an event becomes `Malformed`.

Each of these leaves a `Problem` behind. Types that are merely unknown leave none: that is how protocols grow.
The rules are compiled once for a class from its annotations, when that class is first needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

from msgspec import UNSET, Struct, UnsetType
from msgspec import inspect as introspection

from antiphon.messages import (
    DurationUsage,
    Error,
    FunctionCallItem,
    FunctionCallOutputItem,
    FunctionTool,
    InputText,
    Item,
    JsonObject,
    MessageItem,
    Problem,
    RealtimeSession,
    SessionBase,
    TokensUsage,
    TranscriptionSession,
    TranslationSession,
    UnknownContent,
    UnknownItem,
    UnknownTool,
)

MAX_PROBLEMS: Final = 32
"""No more problems than these are kept of one message: the rest would tell nothing new and cost memory."""

# Fields that say what an event is about. A made-up value would credit somebody else's item or response.
_IDENTITY: Final = frozenset({"item_id", "response_id", "item", "response", "id"})
_INDEXES: Final = frozenset({"output_index", "content_index"})

# Some vendors write numbers as strings. The length is bounded because parsing a number is not linear in its digits.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)

StructT = TypeVar("StructT", bound=Struct)
UnknownAny: TypeAlias = UnknownItem | UnknownContent | UnknownTool


class Unusable(Exception):
    """A value cannot stand for its field. `expected` is the JSON type that would fit."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class ProblemLog:
    """Collects the problems of one message, at most `MAX_PROBLEMS`."""

    __slots__ = ("_problems",)

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, path: str, message: str, kind: Literal["missing", "type", "value"] = "type") -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(path, message, kind))

    def misfit(self, path: str, expected: str, value: object) -> None:
        self.add(path, f"expected {expected}, found {json_kind(value)}")

    def close(self) -> tuple[Problem, ...]:
        return tuple(self._problems)


Converter: TypeAlias = Callable[[object, str, ProblemLog], object]
StandIn: TypeAlias = Callable[[str, ProblemLog], object]


class _FieldRule(NamedTuple):
    name: str
    required: bool
    convert: Converter
    stand_in: StandIn | None  # None where nothing can take the place of a usable value


def repair(cls: type[StructT], data: Mapping[str, object], path: str, log: ProblemLog) -> StructT:
    """Build `cls` from what is usable in `data`; raise `Unusable` if a field without stand-in is not."""
    prepare = _PREPARATIONS.get(cls)
    if prepare is not None:
        data = prepare(data, path, log)
    fields: dict[str, object] = {}
    for rule in _rules(cls):
        name = rule.name
        where = f"{path}.{name}"
        value = data.get(name, UNSET)
        if value is not UNSET:
            try:
                fields[name] = rule.convert(value, where, log)
                continue
            except Unusable as misfit:
                log.misfit(where, misfit.expected, value)
        elif rule.required:
            log.add(where, "required, but missing", "missing")
        else:
            continue
        if rule.required:
            if rule.stand_in is None:
                raise Unusable(f"an object with a usable {name}")
            fields[name] = rule.stand_in(where, log)
    return cls(**fields)


def repair_item(data: Mapping[str, object], log: ProblemLog) -> object:
    """The item in `data`, an `UnknownItem` if need be. Never raises."""
    return _item_reader({cls.type: cls for cls in get_args(Item)})(data, "$", log)


def repair_session(data: Mapping[str, object], log: ProblemLog) -> object:
    """The session in `data`, whatever it lacks. Never raises."""
    return _session(data, "$", log)


def json_kind(value: object) -> str:
    """What `value` is called in JSON, for messages that must not quote it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, tuple)):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return "something that JSON cannot express"


# --- rules of a class -------------------------------------------------------------------------------------------------

_compiled: dict[type[Struct], tuple[_FieldRule, ...]] = {}


def _is_mark(annotation: introspection.Type) -> bool:
    """Whether a field only keeps the beta's notation from the typed decoder: nothing is ever in it."""
    return isinstance(annotation, introspection.CustomType) and annotation.cls is UnsetType


def _rules(cls: type[Struct]) -> tuple[_FieldRule, ...]:
    rules = _compiled.get(cls)
    if rules is None:
        description = cast(introspection.StructType, introspection.type_info(cls))
        rules = tuple(
            _FieldRule(field.name, field.required, _converter(field.type), _stand_in(field.name, field.type))
            for field in description.fields
            if not _is_mark(field.type)
        )
        _compiled[cls] = rules
    return rules


def _stand_in(name: str, annotation: introspection.Type) -> StandIn | None:
    if name in _IDENTITY:
        return None
    match annotation:
        case introspection.StrType():
            return lambda path, log: ""
        case introspection.IntType() if name in _INDEXES:
            return lambda path, log: 0
        case introspection.ListType():
            return lambda path, log: []
        case introspection.StructType() | introspection.UnionType():
            # Try again with an empty object: an error of which nothing is known is still an error.
            convert = _converter(annotation)
            return lambda path, log: convert({}, path, log)
        case _:
            return None


def _is_word(annotation: introspection.Type) -> bool:
    """Whether strings are meant as they are. Such members of a union come last: a word is no misspelled number."""
    return isinstance(annotation, introspection.StrType | introspection.LiteralType)


def _converter(annotation: introspection.Type) -> Converter:
    """The tolerant reader of one annotation."""
    members = annotation.types if isinstance(annotation, introspection.UnionType) else (annotation,)
    if any(isinstance(member, introspection.AnyType) for member in members):
        return lambda value, path, log: value
    names: list[str] = []
    accepts: dict[type, Converter] = {}
    structs: list[introspection.StructType] = []
    for member in sorted(members, key=_is_word):
        match member:
            case introspection.NoneType():
                accepts[type(None)] = _unchanged
                continue
            case introspection.StrType(max_length=None):
                accepts[str] = _unchanged
                names.append("a string")
            case introspection.StrType(max_length=int() as most):
                accepts[str] = _at_most(most)
                names.append(f"a string of at most {most} characters")
            case introspection.LiteralType(values=values):
                accepts[str] = _one_of(values, accepts.get(str))
                names.append(" or ".join(f'"{value}"' for value in values))
            case introspection.BoolType():
                accepts[bool] = _unchanged
                names.append("a boolean")
            case introspection.IntType():
                accepts[int] = _unchanged
                accepts[float] = _whole
                accepts[str] = _spelled_number(_INTEGER, int)
                names.append("an integer")
            case introspection.FloatType():
                accepts[int] = accepts[float] = _finite
                accepts[str] = _spelled_number(_NUMBER, float)
                names.append("a number")
            case introspection.ListType(item_type=element):
                accepts[list] = accepts[tuple] = _list_of(_converter(element), _placeholder(element))
                names.append("an array")
            case introspection.DictType(value_type=element):
                accepts[dict] = _map_of(_converter(element))
                names.append("an object")
            case introspection.StructType():
                structs.append(member)
            case _:  # a new kind of annotation in messages/ has to be taught here
                raise NotImplementedError(f"no tolerant reading of {type(member).__name__}")
    if structs:
        names.append("an object")
        accepts[dict] = _object_of(structs)
    # Applications may put finished objects into the dicts that they hand over.
    ready: tuple[type, ...] = tuple(struct.cls for struct in structs)
    unknown = _unknown_class(structs)
    if unknown is not None:
        ready += (unknown,)
    expected = " or ".join(names)

    def convert(value: object, path: str, log: ProblemLog) -> object:
        reader = accepts.get(type(value))
        if reader is None:
            if isinstance(value, ready):
                return value
            raise Unusable(expected)
        try:
            return reader(value, path, log)
        except Unusable as misfit:
            raise Unusable(misfit.expected or expected) from None

    return convert


# --- readers of single values: an empty `expected` lets the caller name all that would have fitted --------------------


def _unchanged(value: object, path: str, log: ProblemLog) -> object:
    return value


def _at_most(most: int) -> Converter:
    def convert(value: object, path: str, log: ProblemLog) -> object:
        if len(cast(str, value)) > most:
            raise Unusable("")
        return value

    return convert


def _whole(value: object, path: str, log: ProblemLog) -> object:
    number = cast(float, value)
    if not number.is_integer():
        raise Unusable("")
    return int(number)


def _finite(value: object, path: str, log: ProblemLog) -> object:
    try:
        number = float(cast(float, value))
    except OverflowError:
        raise Unusable("a number of ordinary size") from None
    if not math.isfinite(number):
        raise Unusable("a finite number")
    return number


def _spelled_number(pattern: re.Pattern[str], make: Callable[[str], float]) -> Converter:
    def convert(value: object, path: str, log: ProblemLog) -> object:
        text = cast(str, value)
        if pattern.fullmatch(text) is None:
            raise Unusable("")
        log.add(path, "expected a number, found one spelled as a string")
        return make(text)

    return convert


def _one_of(values: tuple[object, ...], otherwise: Converter | None) -> Converter:
    def convert(value: object, path: str, log: ProblemLog) -> object:
        if value in values:
            return value
        if otherwise is not None:
            return otherwise(value, path, log)
        raise Unusable("")

    return convert


def _list_of(element: Converter, placeholder: Callable[[], object] | None) -> Converter:
    def convert(value: object, path: str, log: ProblemLog) -> object:
        kept: list[object] = []
        for index, member in enumerate(cast(list[object], value)):
            where = f"{path}[{index}]"
            try:
                kept.append(element(member, where, log))
            except Unusable as misfit:
                log.misfit(where, misfit.expected, member)
                if placeholder is not None:
                    kept.append(placeholder())
        return kept

    return convert


def _map_of(element: Converter) -> Converter:
    def convert(value: object, path: str, log: ProblemLog) -> object:
        kept: dict[str, object] = {}
        for key, member in cast(dict[object, object], value).items():
            where = f"{path}[...]"  # keys are the application's own words and may be confidential
            if not isinstance(key, str):
                log.add(where, "expected a string as key")
                continue
            try:
                kept[key] = element(member, where, log)
            except Unusable as misfit:
                log.misfit(where, misfit.expected, member)
        return kept

    return convert


# --- objects: which class, and what if there is none ------------------------------------------------------------------


def _unknown_class(structs: list[introspection.StructType]) -> type[UnknownAny] | None:
    """What holds the members of a tagged union that it does not know."""
    classes = {struct.cls for struct in structs}
    for member, unknown in ((MessageItem, UnknownItem), (InputText, UnknownContent), (FunctionTool, UnknownTool)):
        if member in classes:
            return unknown
    return None


def _object_of(structs: list[introspection.StructType]) -> Converter:
    cls = structs[0].cls
    if structs[0].tag is None:
        return lambda value, path, log: repair(cls, cast(JsonObject, value), path, log)
    classes: dict[object, type[Struct]] = {struct.tag: struct.cls for struct in structs}
    unknown = _unknown_class(structs)
    if unknown is UnknownItem:
        return _item_reader(classes)
    if unknown is not None:
        return _fallback_reader(classes, unknown.of)
    return _session if issubclass(cls, SessionBase) else _usage


def _placeholder(element: introspection.Type) -> Callable[[], object] | None:
    """What keeps the place of an unusable member, in lists to whose positions other events refer."""
    members = element.types if isinstance(element, introspection.UnionType) else (element,)
    unknown = _unknown_class([member for member in members if isinstance(member, introspection.StructType)])
    if unknown is None or unknown is UnknownTool:
        return None
    return lambda: unknown.of({})


def _fallback_reader(classes: Mapping[object, type[Struct]], unknown: Callable[[JsonObject], object]) -> Converter:
    def convert(value: object, path: str, log: ProblemLog) -> object:
        data = cast(JsonObject, value)
        tag = data.get("type")
        cls = classes.get(tag) if isinstance(tag, str) else None
        if cls is None:
            if not isinstance(tag, str):
                _no_type(data, path, log)
            return unknown(data)
        try:
            return repair(cls, data, path, log)
        except Unusable as misfit:
            log.misfit(path, misfit.expected, value)
            return unknown(data)

    return convert


def _item_reader(classes: Mapping[object, type[Struct]]) -> Converter:
    typed = _fallback_reader(classes, UnknownItem.of)

    def convert(value: object, path: str, log: ProblemLog) -> object:
        data = cast(JsonObject, value)
        if not isinstance(data.get("type"), str):
            guess = _guess_item(data)
            if guess is not None:
                _no_type(data, path, log)
                return typed({**data, "type": guess}, path, log)
        return typed(data, path, log)

    return convert


def _guess_item(data: JsonObject) -> str | None:
    """Items without a type still tell what they are by the fields that only one kind has."""
    if "call_id" in data:
        return FunctionCallOutputItem.type if "output" in data else FunctionCallItem.type
    return MessageItem.type if "role" in data else None


def _no_type(data: JsonObject, path: str, log: ProblemLog) -> None:
    if "type" in data:
        log.misfit(f"{path}.type", "a string", data["type"])
    else:
        log.add(f"{path}.type", "required, but missing", "missing")


def _session(value: object, path: str, log: ProblemLog) -> object:
    """A session by its `type`, which beta servers do not send; then `object` tells."""
    data = cast(JsonObject, value)
    tag = data.get("type")
    if tag == TranscriptionSession.type:
        return repair(TranscriptionSession, data, path, log)
    if tag == TranslationSession.type:
        return repair(TranslationSession, data, path, log)
    if isinstance(tag, str):
        if tag != RealtimeSession.type:
            log.add(f"{path}.type", "not a known type of session", "value")
        return repair(RealtimeSession, data, path, log)
    _no_type(data, path, log)
    if data.get("object") == "realtime.transcription_session":
        return repair(TranscriptionSession, data, path, log)
    return repair(RealtimeSession, data, path, log)


def _usage(value: object, path: str, log: ProblemLog) -> object:
    """The usage of a transcription: without a known `type` its fields tell which it is."""
    data = cast(JsonObject, value)
    tag = data.get("type")
    if tag == TokensUsage.type:
        return repair(TokensUsage, data, path, log)
    if tag == DurationUsage.type:
        return repair(DurationUsage, data, path, log)
    if isinstance(tag, str):
        log.add(f"{path}.type", "not a known type of usage", "value")
    else:
        _no_type(data, path, log)
    if "seconds" in data:
        return repair(DurationUsage, data, path, log)
    if "total_tokens" in data or "input_tokens" in data or "output_tokens" in data:
        return repair(TokensUsage, data, path, log)
    raise Unusable("a known kind of usage")


# --- whole events that some servers shape differently -----------------------------------------------------------------


def _prepare_error(data: Mapping[str, object], path: str, log: ProblemLog) -> Mapping[str, object]:
    """Gateways send the error as a plain string, or spread over the event itself."""
    error = data.get("error")
    if isinstance(error, (dict, Struct)):
        return data
    if isinstance(error, str):
        log.misfit(f"{path}.error", "an object", error)
        return {**data, "error": {"message": error}}
    spread = {name: data[name] for name in ("code", "message", "param") if name in data}
    if not spread:
        return data
    log.add(f"{path}.error", "required, but its fields stand in the event itself", "missing")
    return {**data, "error": spread}


_PREPARATIONS: Final[Mapping[type[Struct], Callable[[Mapping[str, object], str, ProblemLog], Mapping[str, object]]]] = {
    Error: _prepare_error,
}
