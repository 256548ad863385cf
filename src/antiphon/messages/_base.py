"""What all message classes share: the printing rule, the notation for optional fields, the two event bases."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, TypeAlias, TypeVar, Union

from msgspec import UNSET, Meta, Struct, UnsetType

T = TypeVar("T")

Maybe = Union[T, None, UnsetType]  # noqa: UP007 - the `|` spelling cannot be subscribed with a type variable
"""An optional field. `UNSET` means that the key is absent, `None` that it is present and null: the protocol gives the
two different meanings (an omitted key keeps its value, null clears it), so neither may turn into the other."""

Mark = UnsetType
"""A field of the beta's notation, which no object in GA's shape has. A document that has one does not fit its class, so
it goes to the dialect edge and comes back with the value in its GA place; the typed decoder pays nothing for it."""

MOST_ID: Final = 4096
"""Characters of an id that a peer names. Ids are remembered beyond what they name, so a longer one does not fit. The
service's have 24; a gateway may pack what it has to remember of a call into its id, which takes a few thousand."""

Id: TypeAlias = Annotated[str, Meta(max_length=MOST_ID)]
"""The name of an item, a response, a call or a request (R-C11)."""

# The content of a document whose shape the protocol leaves open: schemas, unknown events, prompt variables.
JsonObject: TypeAlias = dict[str, Any]


class Concealed:
    """Stands in a repr where audio or a credential would be, and prints only its size, such as `<6400 chars>`."""

    __slots__ = ("_text",)

    def __init__(self, value: object) -> None:
        if isinstance(value, str):
            self._text = f"<{len(value)} chars>"
        elif isinstance(value, (dict, list)):
            self._text = f"<{len(value)} entries>"
        else:
            self._text = "<concealed>"

    def __repr__(self) -> str:
        return self._text


class Message(Struct, frozen=True):
    """The base of every message class and of every object inside one.

    A repr is a Python expression of the fields that are set. Fields named in `_concealed` (base64 audio, credentials)
    print as their size. Nothing of this runs while decoding.
    """

    _concealed: ClassVar[frozenset[str]] = frozenset()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        concealed = self._concealed
        return [
            (name, Concealed(value) if name in concealed and value is not None else value)
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        ]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{self.__class__.__name__}({fields})"


class Event(Message, frozen=True, tag_field="type"):
    """The base of both directions.

    `type` is the name that `match event.type` sees, on class and instance: that of the chosen view. `wire_type` is the
    value of `type` in the JSON text that an event of this class comes from or is written as, and `step_type` the name
    under which the tables of the machines know it. All three are one, but for the classes of `antiphon.messages.beta`.
    """

    type: ClassVar[str]
    wire_type: ClassVar[str]
    step_type: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        name = cls.__dict__.get("type")
        if name is not None:
            if "wire_type" not in cls.__dict__:
                cls.wire_type = name
            if not hasattr(cls, "step_type"):
                cls.step_type = name


class ClientEventBase(Event, frozen=True, kw_only=True):
    """What a client sends. `event_id` is the client's own choice (at most 512 characters); an error names it."""

    event_id: Maybe[str] = UNSET


class ServerEventBase(Event, frozen=True, kw_only=True):
    """What a server sends. `event_id` is unset where the server gave none (`dtmf_event_received`, some vendors)."""

    event_id: str | UnsetType = UNSET
