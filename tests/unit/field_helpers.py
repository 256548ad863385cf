"""Events with every field of their classes, and every way to spoil one field.

The classes of `antiphon.messages` are walked, so that a new field is spoiled from the day it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import zip_longest
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import inspect

Json: TypeAlias = Any
Key: TypeAlias = str | int

LONG = 70_000
MANY = 500


class Spoiled(NamedTuple):
    """An event of which one field was spoiled: how, where (as reports write it), and the event, until the next."""

    how: str
    path: str
    event: dict[str, Json]


# -- events with every field -------------------------------------------------------------------------------------------


def examples(cls: type[Any], *, leave_out: frozenset[str] = frozenset(), **known: Json) -> list[dict[str, Json]]:
    """Events of ``cls`` with all of its fields, as many as it takes to show every kind of object that each may hold.

    ``known`` are values for fields of the event itself, ``leave_out`` names fields that are left out at every depth.
    """
    made: list[dict[str, Json]] = _shapes(inspect.type_info(cls), leave_out)
    return [{**event, **deepcopy(known)} for event in made]


def _shapes(kind: inspect.Type, leave_out: frozenset[str]) -> list[Json]:
    match kind:
        case inspect.StructType():
            return _objects(kind, leave_out)
        case inspect.UnionType(types=members):
            shapes = [shape for member in members for shape in _shapes(member, leave_out)]
            return [shape for shape in shapes if shape is not None] or [None]
        case inspect.ListType(item_type=element):
            return [_shapes(element, leave_out)]  # one list with everything that it may hold
        case inspect.DictType(value_type=value):
            return [{"key": _shapes(value, leave_out)[0]}]
        case inspect.LiteralType(values=values):
            return [values[0]]
        case inspect.StrType():
            return ["text"]
        case inspect.BoolType():
            return [True]
        case inspect.IntType():
            return [3]
        case inspect.FloatType():
            return [0.5]
        case inspect.NoneType():
            return [None]
        case inspect.AnyType():
            return ["anything"]
    raise NotImplementedError(f"no example of {type(kind).__name__}")


def _is_mark(kind: inspect.Type) -> bool:
    """Whether a field is there only to tell the beta's notation."""
    return isinstance(kind, inspect.CustomType) and kind.cls is msgspec.UnsetType


def _objects(kind: inspect.StructType, leave_out: frozenset[str]) -> list[dict[str, Json]]:
    tag = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
    columns = {
        field.encode_name: _shapes(field.type, leave_out)
        for field in kind.fields
        if field.encode_name not in leave_out and not _is_mark(field.type)
    }
    rows = max((len(column) for column in columns.values()), default=1)
    return [
        {**tag, **{name: deepcopy(column[min(row, len(column) - 1)]) for name, column in columns.items()}}
        for row in range(rows)
    ]


# -- every way to spoil one field --------------------------------------------------------------------------------------


def spoiled(event: dict[str, Json]) -> Iterator[Spoiled]:
    """``event`` with one field after the other, at every depth, null, missing, of a wrong type, empty, and huge."""
    for keys in list(_places(event, ())):
        path = "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
        changed: Json = msgspec.json.decode(msgspec.json.encode(event))  # nothing in it stands in two places
        around: Json = changed
        for key in keys[:-1]:
            around = around[key]
        before = around.pop(keys[-1])
        yield Spoiled("missing", path, changed)
        for how, value in _spoilings(before):
            if isinstance(keys[-1], int):
                around.insert(keys[-1], value)
            else:
                around[keys[-1]] = value
            yield Spoiled(how, path, changed)
            around.pop(keys[-1])


def _places(value: Json, keys: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*keys, key)
        yield from _places(each, (*keys, key))


def _spoilings(value: Json) -> Iterator[tuple[str, Json]]:
    yield "null", None
    match value:
        case bool():
            yield from (("wrong", {"wrong": []}), ("empty", 0))
        case str():
            yield from (("wrong", {"wrong": []}), ("wrong", 7), ("empty", ""), ("huge", "x" * LONG))
        case int():
            yield from (("wrong", {"wrong": []}), ("wrong", 0.5), ("empty", 0), ("negative", -1), ("huge", 2**200))
        case float():
            yield from (("wrong", {"wrong": []}), ("empty", 0), ("negative", -1.0), ("huge", 1e308))
        case list():
            many = [deepcopy(value[index % len(value)]) if value else None for index in range(MANY)]
            yield from (("wrong", {"wrong": []}), ("wrong", "text"), ("empty", []), ("huge", many))
        case dict():
            many_keys = {**value, **{f"key_{number}": number for number in range(MANY)}}
            yield from (("wrong", [7]), ("wrong", "text"), ("empty", {}), ("huge", many_keys))


# -- questions ---------------------------------------------------------------------------------------------------------


def fits(cls: type[Any], event: Mapping[str, Json]) -> bool:
    """Whether ``event`` is one of its class as it stands."""
    try:
        msgspec.json.decode(msgspec.json.encode(event), type=cls)
    except msgspec.ValidationError:
        return False
    return True


def concerns(path: str, other: str) -> bool:
    """Whether one of two paths lies within the other. Reports do not name keys of the application's own (``[...]``)."""
    pairs = zip_longest(*(re.findall(r"[^.\[\]]+|\[\.\.\.\]", each) for each in (path, other)))
    return all(one == two or None in (one, two) or "[...]" in (one, two) for one, two in pairs)
