"""Messages that no class describes, kept whole: types of the future, of other vendors, and events beyond repair.

These are plain classes and no Structs: a tagged union cannot hold a member for "anything else", and an encoder
asks its hook only for classes that it does not know. Each writes exactly the JSON object in `data`.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn, TypeVar

from msgspec import UNSET, Struct, UnsetType

from ._base import MOST_ID, JsonObject

_SHOWN_TYPE_CHARS = 64


class Problem(Struct, frozen=True):
    """One place where a message did not fit its class.

    `path` leads there from the root of the message, as `$.item.content[0].text`. `message` says what was expected and
    what stood there; it never quotes the value. `kind` is `missing` (no such key), `type` (a value of another
    type) or `value` (the right type, an impossible value).
    """

    path: str
    message: str
    kind: Literal["missing", "type", "value"] = "type"


class Opaque:
    """The base of the classes below: frozen, compared by value, unhashable (it holds a dict).

    The repr shows how many keys `data` has and nothing of them: they may be audio or credentials.
    """

    __slots__ = ("data", "type")
    __match_args__: tuple[str, ...] = ("type", "data")

    type: str
    data: JsonObject

    def __init__(self, *, type: str, data: JsonObject) -> None:
        _set(self, "type", type)
        _set(self, "data", data)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self.__class__.__name__} is immutable: {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.__class__.__name__} is immutable: {name!r}")

    def __eq__(self, other: object) -> bool:
        if self.__class__ is not other.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    __hash__ = None  # type: ignore[assignment]  # the documented way to say "unhashable"; object types it otherwise

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.__class__, {name: getattr(self, name) for name in self.__match_args__})

    def __rich_repr__(self) -> list[tuple[str, object]]:
        shown: list[tuple[str, object]] = []
        for name in self.__match_args__:
            value = getattr(self, name)
            if value is UNSET:
                continue
            if name == "data":
                value = _Count(len(value))
            elif isinstance(value, str) and len(value) > _SHOWN_TYPE_CHARS:
                value = value[:_SHOWN_TYPE_CHARS] + "…"
            shown.append((name, value))
        return shown

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class UnknownEvent(Opaque):
    """An event of a type that is not in the catalogue. `event_id` is unset unless the object has a string there."""

    __slots__ = ("event_id",)
    __match_args__ = ("type", "event_id", "data")

    event_id: str | UnsetType

    def __init__(self, *, type: str, event_id: str | UnsetType = UNSET, data: JsonObject) -> None:
        super().__init__(type=type, data=data)
        _set(self, "event_id", event_id)

    @classmethod
    def of(cls, data: JsonObject) -> UnknownEvent:
        """The event in `data`; a `type` that is no string becomes the empty one."""
        return cls(type=_text(data, "type") or "", event_id=_text(data, "event_id"), data=data)

    @property
    def wire_type(self) -> str:
        """The value of `type` in the JSON text."""
        return self.type


class Malformed(Opaque):
    """An event of a known type that could not be read as its class; `problems` says why. `data` is the whole object."""

    __slots__ = ("event_id", "problems")
    __match_args__ = ("type", "event_id", "data", "problems")

    event_id: str | UnsetType
    problems: tuple[Problem, ...]

    def __init__(
        self, *, type: str, event_id: str | UnsetType = UNSET, data: JsonObject, problems: tuple[Problem, ...] = ()
    ) -> None:
        super().__init__(type=type, data=data)
        _set(self, "event_id", event_id)
        _set(self, "problems", problems)

    @classmethod
    def of(cls, data: JsonObject, problems: tuple[Problem, ...]) -> Malformed:
        """The event in `data`, with the reasons."""
        return cls(type=_text(data, "type") or "", event_id=_text(data, "event_id"), data=data, problems=problems)

    @property
    def wire_type(self) -> str:
        """The value of `type` in the JSON text."""
        return self.type


class UnknownItem(Opaque):
    """A conversation item of a type that is not in the catalogue. `id` is unset unless it is a string, and no longer
    than an id may be."""

    __slots__ = ("id",)
    __match_args__ = ("type", "id", "data")

    id: str | UnsetType

    def __init__(self, *, type: str, id: str | UnsetType = UNSET, data: JsonObject) -> None:
        super().__init__(type=type, data=data)
        _set(self, "id", id)

    @classmethod
    def of(cls, data: JsonObject) -> UnknownItem:
        """The item in `data`; a `type` that is no string becomes the empty one."""
        named = _text(data, "id")
        return cls(type=_text(data, "type") or "", id=named if len(named or "") <= MOST_ID else UNSET, data=data)


class UnknownContent(Opaque):
    """A content part of a type that is not in the catalogue."""

    __slots__ = ()

    @classmethod
    def of(cls, data: JsonObject) -> UnknownContent:
        """The part in `data`; a `type` that is no string becomes the empty one."""
        return cls(type=_text(data, "type") or "", data=data)


class UnknownTool(Opaque):
    """A tool definition of a type that is not in the catalogue (some vendors add retrieval or web search)."""

    __slots__ = ()

    @classmethod
    def of(cls, data: JsonObject) -> UnknownTool:
        """The tool in `data`; a `type` that is no string becomes the empty one."""
        return cls(type=_text(data, "type") or "", data=data)


class _Count:
    __slots__ = ("_keys",)

    def __init__(self, keys: int) -> None:
        self._keys = keys

    def __repr__(self) -> str:
        return f"<{self._keys} keys>"


_set = object.__setattr__
_O = TypeVar("_O", bound=Opaque)


def _rebuild(cls: type[_O], fields: JsonObject) -> _O:
    return cls(**fields)


def _text(data: JsonObject, key: str) -> str | UnsetType:
    value = data.get(key)
    return value if isinstance(value, str) else UNSET
