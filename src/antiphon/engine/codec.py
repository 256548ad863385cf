"""JSON text to events and back. Nothing that is received makes a decoder raise.

A decoder answers with one of three:

* an event: the text fitted its class. This costs a check of the encoding, a bound on the nesting, one typed decode;
* `Repaired`: the type is unknown, or the event did not fit its class as it came: it was put into GA's shape
  (`antiphon.engine.dialects`), and what did not fit then either was read field by field (`_repair`);
* `Unreadable`: no JSON object with a type.

Everything here is a function of its arguments. Decoders are built when first asked for, not at import.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final, Literal, NoReturn, TypeAlias, Union, cast

import msgspec
from msgspec import Struct, structs

from antiphon.messages import (
    CLIENT_EVENTS,
    AnySession,
    ClientEvent,
    InputAudioBufferAppend,
    Item,
    JsonObject,
    Malformed,
    Message,
    Opaque,
    Problem,
    ResponseOutputAudioDelta,
    ServerEvent,
    UnknownEvent,
    UnknownItem,
)
from antiphon.messages.beta import CLIENT_VIEWS, SERVER_VIEWS, View

from ._repair import MAX_PROBLEMS, ProblemLog, Unusable, repair, repair_item, repair_session
from .dialects import Dialect, item_to_ga, read_client, read_server, session_to_ga

__all__ = [
    "AnyEvent",
    "Document",
    "Problem",
    "Repaired",
    "Unreadable",
    "as_unknown",
    "client_decoder",
    "convert_client_event",
    "convert_server_event",
    "encode",
    "encode_json",
    "encode_text",
    "item_from_builtins",
    "plain_object",
    "server_decoder",
    "session_from_builtins",
    "to_builtins",
]

Document: TypeAlias = bytes | bytearray | memoryview | str
"""A JSON text: in UTF-8, or as str."""

AnyEvent: TypeAlias = ServerEvent | ClientEvent | UnknownEvent | Malformed


Reading: TypeAlias = Callable[[JsonObject], tuple[str, JsonObject]]
"""An event that has a type, as its name in the catalogue of classes and in GA's shape; the very same object if that is
how it came."""


class Unreadable(Struct, frozen=True):
    """A text that holds no usable event, and why.

    ``kind`` is "utf8" (bytes that are no UTF-8, a str that cannot be encoded), "json", "object" (JSON, but no object),
    "depth" (nested too deeply) or "type" (no string under "type"). ``detail`` is safe to log, it quotes nothing.
    ``position`` counts bytes, or characters for "utf8" in a str; None where it is not known. ``event_id`` is that of an
    object without a type, for the answer.
    """

    kind: Literal["utf8", "json", "object", "depth", "type"]
    detail: str
    position: int | None = None
    event_id: str | None = None


class Repaired(Struct, frozen=True):
    """An event that did not pass the typed decoder. Without ``problems`` there is nothing to report: its type is
    unknown, or the text was right in an unusual way (0.0 for 0, an item type of the future), or in another dialect.

    ``data`` is the whole JSON object as it came.
    """

    event: AnyEvent
    problems: tuple[Problem, ...]
    data: JsonObject

    def __repr__(self) -> str:
        return f"Repaired(event={self.event!r}, problems={self.problems!r})"


# --- decoding ---------------------------------------------------------------------------------------------------------


@cache
def server_decoder(depth: int, view: View = "ga") -> Callable[[Document], ServerEvent | Repaired | Unreadable]:
    """The decoder of what servers send; objects and arrays may be nested ``depth`` deep (the event itself is 1).

    It reads every dialect; ``view`` says whose names the events show. Raises ValueError for a depth below 1.
    """
    bulky: set[type[Struct]] = {cls for cls in SERVER_VIEWS[view].values() if issubclass(cls, ResponseOutputAudioDelta)}
    decode = _decoder(SERVER_VIEWS[view], depth, bulky, "delta", read_server, mends=True)
    return cast(Callable[[Document], ServerEvent | Repaired | Unreadable], decode)


@cache
def client_decoder(
    depth: int, dialect: Dialect | None = "ga", view: View = "ga"
) -> Callable[[Document], ClientEvent | Repaired | Unreadable]:
    """The decoder of what clients send; objects and arrays may be nested ``depth`` deep (the event itself is 1).

    In the dialect "ga" it takes the beta's notation for what it is there: a mistake. None reads either, as "beta" does.
    Raises ValueError for a depth below 1.
    """
    known, read = (CLIENT_EVENTS, _as_it_is) if dialect == "ga" else (CLIENT_VIEWS[view], read_client)
    decode = _decoder(known, depth, {InputAudioBufferAppend}, "audio", read)
    return cast(Callable[[Document], ClientEvent | Repaired | Unreadable], decode)


def _as_it_is(data: JsonObject) -> tuple[str, JsonObject]:
    """The reading of a peer that is held to GA."""
    return data["type"], data


def _decoder(
    known: Mapping[str, type[Struct]],
    depth: int,
    bulky: set[type[Struct]],
    bulk: str,
    read: Reading,
    *,
    mends: bool = False,
) -> Callable[[Document], object]:
    """``bulky``: the events that carry base64 audio, in their field ``bulk``; ``mends``: whether a text that
    is almost JSON is read all the same, as a client wants it."""
    if depth < 1:
        raise ValueError("an event is an object, so it is nested at least 1 deep")
    by_name = tuple(cls for name, cls in known.items() if cls.__struct_config__.tag == name)
    typed = msgspec.json.Decoder(cast(Any, Union[by_name])).decode  # noqa: UP007 - built from a table

    bulk_of: Callable[[object], str] = attrgetter(bulk)
    harmless = 4 * depth  # bytes: without arrays every further level takes at least `{"":`

    def decode(text: Document) -> object:
        if type(text) is not bytes:
            if isinstance(text, str):
                try:
                    text = text.encode()
                except UnicodeEncodeError as error:
                    return Unreadable("utf8", "a surrogate without its partner", error.start)
            else:
                text = bytes(text)
        try:
            if len(text) <= harmless and text.isascii() and _LEFT_BRACKET not in text:
                return typed(text)  # short and flat, as most events are
            event = typed(text)
        except (ValueError, RecursionError):
            event = None
        # The typed decoder checks what it keeps, and does not look into what it skips.
        if type(event) in bulky:
            # Most of the text is one string, and that was kept. Wherever it stands, all but `rest` bytes at either end
            # of the text are inside it.
            rest = len(text) - len(bulk_of(event))
            unseen = text[:rest] + text[-rest:]
        else:
            rest = len(text)
            unseen = text
        if not unseen.isascii():
            try:
                str(text, "utf-8")
            except UnicodeDecodeError as error:
                return Unreadable("utf8", "not UTF-8", error.start)
        # What is checked first costs least: a byte sought, the length, a byte sought from behind, counting, scanning.
        if (
            (_LEFT_BRACKET in unseen or (rest > harmless and unseen.rfind(_LEFT_BRACE) > 0))
            and text.count(b"{") + text.count(b"[") > depth
            and _deeper(text, depth)
        ):
            return Unreadable("depth", f"nested deeper than {depth}")
        if event is not None:
            return event
        decoded = _decode_untyped(text, known, read)
        return _mended(text, decoded, known, read) if mends and isinstance(decoded, Unreadable) else decoded

    return decode


def _decode_untyped(text: bytes, known: Mapping[str, type[Struct]], read: Reading) -> Repaired | Unreadable:
    try:
        data, exact = _parse(text)
        if not isinstance(data, dict):
            return Unreadable("object", "not a JSON object")
        return _repaired(data, known, read, exact=exact)
    except RecursionError:
        # Within the allowed depth, so the caller has used up the stack. There is nothing better to say than no.
        return Unreadable("depth", "no stack left to read it")
    except ValueError as error:
        return _not_parsed(text, error)


def _mended(
    text: bytes, unreadable: Unreadable, known: Mapping[str, type[Struct]], read: Reading
) -> Repaired | Unreadable:
    """The event in a text that was refused for what some programs write although it is no JSON, if it was for that.

    Where strings are UTF-16 they are cut in the middle of a character, and either half is sent as an escape; Python's
    own `json` writes NaN and Infinity, and reads all of it. The rest of the event may be the only end of its response.
    """
    problems: list[Problem] = []

    def read_constant(name: str) -> float:
        if not problems:
            problems.append(Problem("$", f"{name} is no JSON, and stands for no value", "value"))
        return float(name)

    log = ProblemLog()
    try:
        data = _without_halves(json.loads(text, parse_int=_integer, parse_constant=read_constant), "$", log)
    except (ValueError, RecursionError):
        return unreadable
    problems += log.close()
    decoded = _repaired(data, known, read, exact=False) if problems and isinstance(data, dict) else unreadable
    if isinstance(decoded, Unreadable):
        return unreadable
    return structs.replace(decoded, problems=(*problems, *decoded.problems)[:MAX_PROBLEMS])


def _without_halves(value: object, path: str, log: ProblemLog) -> object:
    """The value with U+FFFD in the place of each surrogate without its partner."""
    if isinstance(value, str):
        whole = _SURROGATE.sub("\ufffd", value)
        if whole != value:
            log.add(path, "half of a pair of surrogates was replaced by U+FFFD", "value")
        return whole
    if isinstance(value, dict):
        # A key that is no field's name is the peer's own word: it may be long, broken itself, or confidential.
        return {
            _without_halves(key, path, log): _without_halves(
                each, f"{path}.{key}" if _FIELD.fullmatch(key) else f"{path}[...]", log
            )
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_without_halves(each, f"{path}[{index}]", log) for index, each in enumerate(value)]
    return value


def _not_parsed(text: bytes, error: ValueError) -> Unreadable:
    if isinstance(error, UnicodeEncodeError) or (_TRUNCATED in str(error) and _ESCAPED_SURROGATE.search(text)):
        return Unreadable("json", "ends too early, or escapes a surrogate without its partner")
    if not isinstance(error, msgspec.DecodeError):
        return Unreadable("json", "not JSON")
    # The error has no attribute for the place; it is only in the text, which quotes nothing of the document.
    position = _POSITION.search(str(error))
    return Unreadable("json", _POSITION.sub("", str(error)), int(position[1]) if position else None)


def _repaired(
    data: JsonObject, known: Mapping[str, type[Struct]], read: Reading, *, exact: bool = True
) -> Repaired | Unreadable:
    """``exact`` is False where a number was too large to be read, which a converter would not notice."""
    tag = data.get("type")
    if not isinstance(tag, str):
        event_id = data.get("event_id")
        return Unreadable("type", 'no string under "type"', event_id=event_id if isinstance(event_id, str) else None)
    name, shaped = read(data)
    cls = known.get(name)
    if cls is None:
        return Repaired(UnknownEvent.of(data), (), data)
    if shaped is not data and exact:
        try:
            return Repaired(cast(AnyEvent, msgspec.convert(shaped, cls)), (), data)
        except (TypeError, ValueError):
            pass  # another dialect, and something else beside
    log = ProblemLog()
    try:
        event: AnyEvent = cast(AnyEvent, repair(cls, shaped, "$", log))
    except Unusable:
        event = Malformed.of(data, log.close())
    return Repaired(event, log.close(), data)


def _parse(text: bytes) -> tuple[object, bool]:
    """The text as plain objects, the last of equal keys, and whether that is exact: a number of 5,000 digits, or 1e400,
    is an infinity. Raises ValueError if it is no JSON."""
    try:
        return msgspec.json.decode(text), True
    except msgspec.ValidationError:
        pass  # JSON all right, but with a number too large for it
    data: object = json.loads(text, parse_int=_integer, parse_constant=_not_json)
    msgspec.json.encode(data)  # `json` lets surrogates without partner pass; encoding them raises a ValueError
    return data, False


def _integer(digits: str) -> int | float:
    if len(digits) <= _MOST_DIGITS:
        return int(digits)
    return -math.inf if digits[0] == "-" else math.inf


def _not_json(constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_MOST_DIGITS: Final = 4000  # below what `int` refuses to parse, far above any number of the protocol
_LEFT_BRACE: Final = ord("{")
_LEFT_BRACKET: Final = ord("[")
_POSITION: Final = re.compile(r" \(byte (\d+)\)")
_TRUNCATED: Final = "truncated"
_FIELD: Final = re.compile(r"[a-z_]{1,40}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # a whole pair is one character of a str
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")


# --- the bound on nesting ---------------------------------------------------------------------------------------------

_NOT_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_STEPS: Final = bytes(1 if byte in b"{[" else 255 if byte in b"}]" else 0 for byte in range(256))  # +1, -1 as int8
_CHUNK: Final = 1 << 16


def _deeper(text: bytes, depth: int) -> bool:
    """Whether objects and arrays of ``text`` are nested deeper than ``depth``; brackets in strings do not count.

    Linear, and right for every text up to the place where it stops being JSON, which is as far as a decoder goes.
    """
    # Without escapes every quote opens or closes a string. A run of backslashes is paired from its start.
    bare = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE)
    # Two quotes in a row change nothing for what follows, so most strings vanish here, before the costlier split.
    outside = b"".join(bare.replace(b'""', b"").split(b'"')[::2])
    steps = memoryview(outside.translate(_STEPS)).cast("b")
    level = 0
    for start in range(0, len(steps), _CHUNK):
        levels = list(accumulate(steps[start : start + _CHUNK], initial=level))
        if max(levels) > depth:
            return True
        level = levels[-1]
    return False


def plain_object(text: bytes | str) -> JsonObject:
    """The object in ``text``, of which a decoder has made an event already."""
    return cast(JsonObject, _parse(text.encode() if isinstance(text, str) else text)[0])


def as_unknown(text: bytes | str) -> UnknownEvent:
    """The event in ``text``, of which a decoder has made one already, for a session to which its type means nothing."""
    return UnknownEvent.of(plain_object(text))


# --- plain objects to events ------------------------------------------------------------------------------------------


def convert_client_event(data: JsonObject) -> ClientEvent | Repaired | Unreadable:
    """A client event given as a dict, with the tolerance of the decoder; finished items and sessions may stand in it.

    Values that no class describes are not copied: the dict should not be changed afterwards.
    """
    return cast(ClientEvent | Repaired | Unreadable, _convert(data, CLIENT_VIEWS["ga"], read_client))


def convert_server_event(data: JsonObject, view: View = "ga") -> ServerEvent | Repaired | Unreadable:
    """A server event given as a dict, as `convert_client_event`."""
    return cast(ServerEvent | Repaired | Unreadable, _convert(data, SERVER_VIEWS[view], read_server))


def _convert(data: JsonObject, known: Mapping[str, type[Struct]], read: Reading) -> object:
    if not isinstance(data, dict):
        return Unreadable("object", "not a JSON object")
    tag = data.get("type")
    cls = known.get(tag) if isinstance(tag, str) else None
    try:
        if cls is not None:
            try:
                return msgspec.convert(data, cls)
            except (TypeError, ValueError):
                pass
        return _repaired(data, known, read)
    except RecursionError:
        return Unreadable("depth", "nested too deeply")


_ANY_DEPTH = 1024  # our own text, which was bounded when it was sent


def command_from_text(text: str) -> ClientEvent:
    """A command of ours, as it was encoded. Raises ValueError for what is no client event."""
    event: object = client_decoder(_ANY_DEPTH)(text)
    if isinstance(event, Repaired):
        event = event.event  # an item of an unknown type is right all the same
    if not isinstance(event, ClientEvent):
        raise ValueError("this is no client event")
    return event


def item_from_builtins(data: JsonObject) -> Item:
    """The item in a dict, as the decoder would read it: repaired if need be, an `UnknownItem` at worst."""
    if not isinstance(data, dict):
        return UnknownItem.of({})
    try:
        return cast(Item, msgspec.convert(data, cast(Any, Item)))
    except (TypeError, ValueError, RecursionError):
        return cast(Item, repair_item(cast(JsonObject, item_to_ga(data)), ProblemLog()))


def session_from_builtins(data: JsonObject) -> AnySession:
    """The session in a dict, as the decoder would read it: what does not fit is left unset."""
    try:
        return cast(AnySession, msgspec.convert(data, cast(Any, AnySession)))
    except (TypeError, ValueError, RecursionError):
        return cast(AnySession, repair_session(cast(JsonObject, session_to_ga(data)), ProblemLog()))


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode(event: Message | Opaque) -> bytes:
    """The event (or any object of one) as JSON in UTF-8, without the fields that are unset.

    Raises ValueError if it holds what JSON cannot express: a lone surrogate, a foreign object, endless nesting.
    """
    try:
        return _encode(event)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _inexpressible(event, error) from None


def encode_json(data: JsonObject) -> bytes:
    """Plain JSON values, such as `to_builtins` answers, as JSON in UTF-8."""
    return _encode(data)


def encode_text(event: Message | Opaque) -> str:
    """`encode`, as str."""
    return str(encode(event), "utf-8")


def to_builtins(message: Message | Opaque) -> JsonObject:
    """The message as a dict of plain JSON values, without the fields that are unset.

    Raises ValueError if it holds what JSON cannot express.
    """
    try:
        return cast(JsonObject, msgspec.to_builtins(message, enc_hook=_data_of))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _inexpressible(message, error) from None


def _data_of(value: object) -> JsonObject:
    if isinstance(value, Opaque):
        return value.data
    raise TypeError(type(value).__name__)


def _inexpressible(message: Message | Opaque, error: Exception) -> ValueError:
    # The original error may quote the text, so only its class is named.
    return ValueError(f"{type(message).__name__} cannot be written as JSON ({type(error).__name__})")


_encode: Final = msgspec.json.Encoder(enc_hook=_data_of).encode
