"""What the laws are tried on: setups, scripts of conversations, events of every class, and hostile bytes and texts.

Strategies for events are made from the message classes themselves, so a new event or field is drawn as soon as it
exists. Ids come from a small pool, so that events meet; ``@item``, ``@response`` and ``@call`` become ids that exist
when they are injected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any, Final, TypeVar, cast

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from antiphon import (
    ArgumentsDelta,
    AudioDelta,
    Content,
    Durations,
    Fault,
    ItemFinished,
    ItemStarted,
    Limits,
    McpCallFinished,
    McpListingFinished,
    McpListingStarted,
    ResponseFinished,
    SourceText,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TranslatedAudio,
    TranslatedText,
    TranslationFinished,
    inputs,
)
from antiphon import messages as m

from .values import MS, SECOND, Act, Setup, Stepper

T = TypeVar("T")

LONG_RUN: Final = int(os.environ.get("ANTIPHON_EXAMPLES", "0"))
"""Examples of each property in a long run; 0 in the default run."""


def examples(count: int) -> settings:
    """``count`` examples by default, repeatable; a long run (see ``conftest.py``) has its own number, at random."""
    return settings(
        max_examples=max(count, LONG_RUN),
        deadline=None,
        derandomize=not LONG_RUN,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


# -- setups ------------------------------------------------------------------------------------------------------------

TINY: Final = Limits(
    message_bytes=4096,
    fragments=4,
    http_head_bytes=2048,
    json_depth=16,
    append_audio_bytes=16384,
    queued_commands=4,
    gap_audio_ms=100,
    pending_commands=4,
    open_responses=3,
    response_history=3,
    response_parts=3,
    conversation_items=6,
    conversation_text_bytes=2048,
    waiting_items=3,
    early_transcripts=3,
    tombstones=3,
    retained_audio_bytes=4096,
    item_audio_bytes=4096,
    playback_entries=3,
    mcp_items=3,
    rate_limit_names=3,
    report_kinds=4,
)
"""Limits that a short script meets."""

_FAST: Final = Durations(connect=1, backoff=1, handshake=1_000_000, ping=1, pong=20_000_000, close=1, flush=1)
_QUICK: Final = Durations(
    connect=50_000_000,
    backoff=7_000_000,
    handshake=300_000_000,
    ping=900_000_000,
    pong=400_000_000,
    close=100_000_000,
    flush=30_000_000,
)


MANY: Final = 1000
"""Servers: more than any script needs."""

CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "kind": ("realtime", "realtime", "realtime", "realtime", "transcription", "translation"),
    "transport": ("websocket", "websocket", "websocket", "webrtc", "sideband"),
    "level": ("message", "bytes"),
    "named": (True, False),
    "dialled": (True, True, False),
    "servers": (1, 1, 2, MANY),
    "expiry": (3600, 130, 30),
    "wall": (True, True, True, False),
    "renew": (True, True, False),
    "replay": (True, True, True, False),
    "jitter": (50, 0, 100),
    "failed_dials": (0, 0, 0, 0, 0, 0, 1, 2),
    "dials": (1, 2, 3),
    "early": (0, 0, 2, 5),
    "on_active": ("queue", "queue", "refuse", "send"),
    "merge": (True, False),
    "tag": (True, True, False),
    "retries": (0, 1, 3),
    "late": ("adopt", "cancel"),
    "on_speech": ("session", "cut", "ignore"),
    "playback": ("device", "device", "clock"),
    "unheard": ("truncate", "delete"),
    "decode_audio": (True, True, True, False),
    "dialect": ("auto", "auto", "beta"),
    "view": ("ga", "ga", "beta"),
    "retain": (False, True),
    "nudge": (None, None, ""),
    "strict": (False, False, True),
    "request_timeout": (30 * SECOND, 30 * SECOND, 500 * MS),
}
"""What a `Setup` is made of, each value as often as it is worth."""

_HOSTILE_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    **CHOICES,
    "queue_limit": (32, 2),
    "request_timeout": (30 * SECOND, 500 * MS, 1),
    "limits": (Limits(), Limits(), TINY),
    "timers": (Durations(), _QUICK, _FAST),
    "servers": (1,),
}
"""The same, with what makes a good application look bad: limits that are met, timers shorter than the link is slow.
With one server, unless a law is about more: most laws replay the trace of one engine from its beginning."""

_HEARD: Final = {"audio": {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}}
_SESSIONS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "realtime": (
        {},
        {},
        _HEARD,
        {"output_modalities": ["text"]},
        {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}},
        {"audio": {"output": {"format": {"type": "audio/pcmu"}}, "input": {"format": {"type": "audio/pcma"}}}},
    ),
    "transcription": ({}, _HEARD, {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}),
    "translation": ({}, {"audio": {"output": {"language": "de"}}}),
}


def _fitting(drawn: dict[str, Any]) -> dict[str, Any]:
    """``drawn`` without what does not exist together."""
    kind = drawn["kind"]
    if kind == "translation":  # a WebSocket's, and GA's
        drawn |= {"transport": "websocket", "dialect": "auto", "view": "ga"}
    if drawn["transport"] != "websocket":  # their sockets are somebody else's: messages alone, and nothing is renewed
        drawn |= {"level": "message", "servers": 1}
    if drawn["servers"] > 1:  # only a client that dials by itself dials again
        drawn["dialled"] = True
    else:  # the end of the session is its client's: that it expires is no news of a race
        drawn["expiry"] = 3600
    return drawn


def _drawn(draw: Callable[[Sequence[Any]], Any], choices: dict[str, tuple[Any, ...]], fixed: dict[str, Any]) -> Setup:
    values = {name: fixed[name] if name in fixed else draw(each) for name, each in choices.items()}
    values = _fitting(values)
    return Setup(session=draw(_SESSIONS[values["kind"]]), **values, **{k: fixed[k] for k in fixed if k not in choices})


@st.composite
def setups(
    draw: st.DrawFn,
    stepper: Stepper = "compiled",
    *,
    levels: Sequence[str] | None = None,
    orderly: bool = False,
    servers: int | None = None,
) -> Setup:
    """How a world is set up. ``orderly``: where both ends keep the rules, and are to understand each other."""
    fixed: dict[str, Any] = {"stepper": stepper, "seed": draw(st.integers(0, 999))}
    if servers is not None:
        fixed["servers"] = servers
        fixed["transport"] = "websocket"
    if levels is not None:
        fixed["level"] = draw(st.sampled_from(list(levels)))
        if fixed["level"] == "bytes":
            fixed["transport"] = "websocket"
    choices = CHOICES if orderly else _HOSTILE_CHOICES
    return _drawn(lambda values: draw(st.sampled_from(list(values))), choices, fixed)


def setup_of(seed: int, stepper: Stepper = "compiled") -> Setup:
    """An orderly one without Hypothesis: for tests that need many, or the same one again."""
    return _drawn(Random(f"setup {seed}").choice, CHOICES, {"stepper": stepper, "seed": seed})


# -- scripts -----------------------------------------------------------------------------------------------------------

APPLICATION: Final = (
    "say", "say", "ask", "ask", "ask", "call", "output", "work", "cancel", "speak", "speak", "append", "commit",
    "clear", "configure", "configure", "delete", "retrieve", "truncate", "listen", "listen", "stopped", "interrupt",
    "hush", "end", "approve", "approve",
)  # fmt: skip
BRAIN: Final = (
    "think", "think", "think", "think", "think", "answer", "hear", "hear", "transcribe", "deliver", "deliver",
    "inform", "turn", "turn", "talk", "silence", "remote", "remote",
)  # fmt: skip
TIME: Final = ("wait", "wait", "wait", "lag", "tick", "age")
ORDERLY: Final = APPLICATION + BRAIN + TIME
"""What peers do that both keep the rules, over a link that holds."""

FRAGILE: Final = (*ORDERLY, *ORDERLY, "drop", "drop", "oversleep")
"""The same, over a link that breaks, and nobody wants an end."""

BROKEN: Final = (*ORDERLY, *ORDERLY, "oversleep", "oversleep", "drop", "close")
"""The same, over a link that breaks, with an end that somebody wants, and a driver that sleeps."""


_NUMBERS_OF_ACTS: Final = st.sampled_from(range(12))


def acts(verbs: Sequence[str]) -> SearchStrategy[Act]:
    """One act. `st.sampled_from` draws evenly, where `st.integers` would prefer the first."""
    return st.builds(Act, st.sampled_from(list(verbs)), _NUMBERS_OF_ACTS, _NUMBERS_OF_ACTS, st.none())


def _lists(elements: SearchStrategy[T], most: int) -> SearchStrategy[list[T]]:
    """Lists of every length up to ``most``; `st.lists` alone prefers five elements."""
    return st.sampled_from(range(most + 1)).flatmap(lambda size: st.lists(elements, min_size=size, max_size=size))


def scripts(verbs: Sequence[str] = BROKEN, most: int = 50) -> SearchStrategy[list[Act]]:
    """A script of peers that keep the rules."""
    return _lists(acts(verbs), most)


def hostile_scripts(most: int = 40) -> SearchStrategy[list[Act]]:
    """A script with anything in between: what no engine sends, and what no application should ask for."""
    return _lists(st.one_of(acts(BROKEN), acts(ORDERLY), injections(), pushes()), most)


def injections() -> SearchStrategy[Act]:
    """Something arrives that no engine sent."""
    numbers = st.integers(0, 11)
    payloads = st.one_of(hostile_texts(), event_texts(), event_texts(), typed_events(), frames())
    return st.builds(Act, st.just("inject"), numbers, numbers, payloads)


def pushes() -> SearchStrategy[Act]:
    """A command that somebody thought of, right or wrong."""
    return st.builds(Act, st.just("push"), st.integers(0, 1), st.just(0), commands())


# -- events, made from their classes -----------------------------------------------------------------------------------

_IDS: Final = st.sampled_from(["@item", "@item", "@response", "@call", "item_0", "resp_0", "call_0", "x", "", "y" * 40])
_TEXTS: Final = st.sampled_from(["", "la", "é 🎈", "AAAA", "AA=", "audio/pcmu", "none", "inf", "\\", "completed"])
_NUMBERS: Final = st.sampled_from([0, 0, 1, 2, -1, 7, 100, 3000, 2**53, 10**30])
_JSON: Final[SearchStrategy[Any]] = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_TEXTS, inner, max_size=2)),
    max_leaves=4,
)
_SPECIAL: Final[dict[str, SearchStrategy[Any]]] = {
    "status": st.sampled_from(["completed", "in_progress", "incomplete", "cancelled", "failed", "odd"]),
    "role": st.sampled_from(["user", "assistant", "system", "odd"]),
    "delta": st.sampled_from(["la ", "é", "AAAA", "AAA=", "////", ""]),
    "audio": st.sampled_from(["AAAA", "AAA=", "////AAAA", "no base64", ""]),
    "conversation_id": st.sampled_from(["conv", "conv", None]),
    "previous_item_id": st.sampled_from(["@item", "@item", None, "", "root", "item_0", "unknown"]),
    "code": st.sampled_from([
        None, "conversation_already_has_active_response", "response_cancel_not_active", "session_expired",
        "input_audio_buffer_commit_empty", "item_delete_invalid_item_id", "invalid_value", "odd",
    ]),
}  # fmt: skip


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _json_of(kind: msgspec.inspect.Type, name: str) -> SearchStrategy[Any]:
    """JSON values that fit ``kind``; ``name`` is the key that they stand under."""
    inspect = msgspec.inspect
    if isinstance(kind, inspect.StructType):
        return _object(kind.cls)
    if isinstance(kind, inspect.UnionType):
        members = [each for each in kind.types if not isinstance(each, inspect.CustomType)]
        values = [each for each in members if not isinstance(each, inspect.NoneType)]
        drawn = [_json_of(each, name) for each in values]
        return st.one_of(*drawn, st.none()) if len(values) < len(members) else st.one_of(*drawn)
    if isinstance(kind, inspect.ListType):
        return st.lists(_json_of(kind.item_type, name), max_size=2)
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(list(kind.values))
    if isinstance(kind, inspect.BoolType):
        return st.booleans()
    if isinstance(kind, inspect.IntType):
        return st.integers(0, 2) if name.endswith("_index") else _NUMBERS
    if isinstance(kind, inspect.FloatType):
        return st.sampled_from([0.0, 0.5, 1.0, 7.25, -3.0])
    if isinstance(kind, inspect.StrType):
        if name in _SPECIAL:
            return _SPECIAL[name]
        return _IDS if _is_id(name) else _TEXTS
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(_TEXTS, _json_of(kind.value_type, name), max_size=2)
    if isinstance(kind, inspect.NoneType):
        return st.none()
    return _JSON


@cache
def _object(cls: type[msgspec.Struct]) -> SearchStrategy[dict[str, Any]]:
    return st.deferred(lambda: _fields(cls))


def _fields(cls: type[msgspec.Struct]) -> SearchStrategy[dict[str, Any]]:
    kind = msgspec.inspect.type_info(cls)
    assert isinstance(kind, msgspec.inspect.StructType)
    tag: dict[str, SearchStrategy[Any]] = {} if kind.tag_field is None else {kind.tag_field: st.just(kind.tag)}
    required = {field.encode_name: _field(field) for field in kind.fields if field.required}
    optional = {field.encode_name: _field(field) for field in kind.fields if not field.required}
    return st.fixed_dictionaries({**tag, **required}, optional=optional)


def _field(field: msgspec.inspect.Field) -> SearchStrategy[Any]:
    return _json_of(field.type, field.encode_name)


@cache
def event_objects(server: bool) -> SearchStrategy[dict[str, Any]]:
    """One event of a server (or of a client) as a JSON object: every class, every field, at random."""
    catalogue: dict[str, Any] = dict(m.SERVER_EVENTS if server else m.CLIENT_EVENTS)
    return st.one_of(*[_object(cls) for cls in catalogue.values()])


def event_texts() -> SearchStrategy[str]:
    """The text of one event, of either direction; now and then with one value that does not fit."""
    whole = st.one_of(event_objects(True), event_objects(True), event_objects(False))
    return st.one_of(whole, whole, st.builds(_bent, whole, st.integers(0, 99), _JSON)).map(json.dumps)


def _bent(event: dict[str, Any], number: int, value: object) -> dict[str, Any]:
    """``event`` with one key, at any depth, replaced or dropped."""
    event = cast(dict[str, Any], json.loads(json.dumps(event)))
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        if isinstance(node, dict | list):
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                places.append((node, key))
                collect(node[key])

    collect(event)
    node, key = places[number % len(places)]
    if number % 3 or isinstance(node, list):
        node[key] = value
    else:
        del node[key]
    return event


def _typed(decode: Callable[[bytes], Any]) -> Callable[[dict[str, Any]], Any]:
    def convert(data: dict[str, Any]) -> Any:
        try:
            return decode(json.dumps(data).encode())
        except msgspec.DecodeError:
            return m.ResponseCancel()  # what was drawn does not fit its class after all (an integer beyond 64 bits)

    return convert


_client_decoder: Final = msgspec.json.Decoder(cast(Any, m.ClientEvent))
_server_decoder: Final = msgspec.json.Decoder(cast(Any, m.ServerEvent))


def client_events() -> SearchStrategy[m.ClientEvent]:
    """A typed event of a client, whatever is in it."""
    return event_objects(False).map(_typed(_client_decoder.decode))


def typed_events() -> SearchStrategy[m.ClientEvent | m.ServerEvent]:
    """A typed event of either direction."""
    return st.one_of(event_objects(True).map(_typed(_server_decoder.decode)), client_events())


# -- hostile texts and bytes -------------------------------------------------------------------------------------------


def _nested(depth: int) -> SearchStrategy[str]:
    return st.sampled_from([
        "[" * depth, "[" * depth + "]" * depth, '{"type":"error","error":' + "[" * depth + "]" * depth + "}",
        '{"a":' * depth + "0" + "}" * depth, '{"type":"response.done","x":"' + "[" * depth + '"}',
    ])  # fmt: skip


_ODD: Final = (
    "", " ", "null", "[]", "0", '"type"', "{}", "{", '{"type"', '{"type":', '{"type":1}', '{"type":null}',
    '{"type":""}', '{"type":"no.such.event","x":[1]}', '{"type":"error"}', '{"type":"error","error":null}', "NaN",
    '{"type":"error","error":{"message":NaN}}', '{"type":"response.done"}', '{"type":"response.done","response":{}}',
    '{"type":"response.done","response":{"id":"@response"}}', '\ufeff{"type":"session.created"}',
    '{"type":"session.created","session":1e999}', '{"type":"x","y":1e999}', '{"type":"x","y":' + "9" * 5000 + "}",
    '{"type":"input_audio_buffer.speech_started","audio_start_ms":' + "9" * 400 + ',"item_id":"a"}',
    '{"type":"error","type":"session.created"}', '{"type":"error","error":{"message":"\\ud800"}}',
    '{"type":"error","error":{"message":"\\u0000"}}', '{"type":"response.create"} ', '{"type":"response.create"}x',
    '{"type":"conversation.item.truncate","item_id":"@item","content_index":0,"audio_end_ms":1.5}',
    '{"type":"conversation.item.delete","item_id":7}', '{"type":"input_audio_buffer.append","audio":"AAA"}',
    '{"type":"session.update","session":{"voice":"alloy"}}', '{"type":"session.update"}',
)  # fmt: skip


def hostile_texts() -> SearchStrategy[bytes | str]:
    """What is no event, or hardly: cuts, bad UTF-8, lone surrogates, deep nesting, giant numbers, other JSON."""
    cut = st.builds(lambda text, share: text[: len(text) * share // 100], event_texts(), st.integers(0, 99))
    spoiled = st.builds(
        lambda text, place, byte: text.encode()[: place % (len(text) + 1)] + bytes([byte]) + text.encode()[place:],
        event_texts(),
        st.integers(0, 60),
        st.sampled_from([0, 0x80, 0xC0, 0xED, 0xFF, ord('"'), ord("\\"), ord("{")]),
    )
    return st.one_of(
        st.sampled_from(_ODD),
        cut,
        spoiled,
        st.binary(max_size=40),
        st.text(max_size=20),
        st.sampled_from(['{"type":"error","error":{"message":"\ud800"}}', "\udfff"]),
        st.sampled_from([15, 17, 63, 64, 65, 900, 5000, 100_000]).flatmap(_nested),
    )


def frame(head: int, payload: bytes, mask: bytes | None) -> bytes:
    """One WebSocket frame as it stands on the wire."""
    size = len(payload)
    bit = 0x80 if mask is not None else 0
    if size < 126:
        start = bytes([head, bit | size])
    elif size < 65536:
        start = bytes([head, bit | 126]) + size.to_bytes(2, "big")
    else:
        start = bytes([head, bit | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return start + payload
    return start + mask + bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))


_HEADS: Final = st.sampled_from([0x81, 0x81, 0x81, 0x89, 0x89, 0x8A, 0x01, 0x00, 0x80, 0x82, 0x88, 0xC1, 0x83, 0x09])
_MASKS: Final = st.sampled_from([None, b"\x01\x02\x03\x04", b"\x00\x00\x00\x00"])
_PAYLOADS: Final[SearchStrategy[bytes]] = st.one_of(
    st.just(b""),
    st.binary(max_size=8),
    st.deferred(lambda: event_texts().map(str.encode)),
    st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xef", b"\x03", b"\x03\xe8\xff", b"a" * 126, b"x" * 5000]),
)


def frames() -> SearchStrategy[bytes]:
    """One frame, right or wrong: any opcode, masked or not, whole or the head of one that is too long."""
    return st.one_of(
        st.builds(frame, _HEADS, _PAYLOADS, _MASKS),
        st.sampled_from([b"\x81\x7f\x7f" + b"\xff" * 7, b"\x81\xff" + bytes(7) + b"\x09", b"\x89\x7e\x00\x80"]),
    )


def streams(server: bool) -> SearchStrategy[bytes]:
    """What a peer may write behind the handshake: mostly right frames, now and then a wrong one."""
    mask = b"\x0a\x0b\x0c\x0d" if server else None
    texts = st.one_of(event_objects(not server).map(lambda event: json.dumps(event).encode()), st.just(b"{}"))
    right = st.one_of(
        st.builds(frame, st.just(0x81), texts, st.just(mask)),
        st.builds(frame, st.just(0x89), st.binary(max_size=6), st.just(mask)),
        st.builds(frame, st.sampled_from([0x01, 0x00, 0x80, 0x8A, 0x82]), st.binary(max_size=6), st.just(mask)),
        texts.map(lambda text: frame(0x01, text[:5], mask) + frame(0x89, b"p", mask) + frame(0x80, text[5:], mask)),
    )
    ends = st.sampled_from([b"", b"", frame(0x88, b"\x03\xe8", mask), frame(0x88, b"", mask), b"\xff\xff", b"\x81"])
    parts = _lists(st.one_of(right, right, right, frames()), 12)
    return st.builds(lambda parts, end: b"".join(parts) + end, parts, ends)


# -- commands ----------------------------------------------------------------------------------------------------------

_RULES: Final = st.sampled_from([(), (), (), ("R-C5",), ("R-Q1", "R-I3"), ("R-C10", "R-C4", "R-C12", "R-Q7")])
_PARTS: Final = st.integers(-1, 3)


def contents() -> SearchStrategy[Content]:
    """Content of a response, for one that runs or for none; now and then of a translation."""
    common = {"response_id": _IDS, "output_index": _PARTS}
    return st.one_of(
        st.builds(
            ItemStarted,
            **common,
            kind=st.sampled_from(["text", "audio", "function_call", "mcp_call", "mcp_approval_request"]),
            name=st.sampled_from(["", "look_up"]),
            server_label=st.sampled_from(["maps", "maps", ""]),
        ),
        st.builds(McpCallFinished, **common, output=st.sampled_from([None, "42", "\ud800"])),
        st.sampled_from(
            [
                McpListingStarted("maps"),
                McpListingStarted(""),
                McpListingFinished("maps"),
                McpListingFinished("maps", ()),
            ]
        ),
        st.builds(TextDelta, **common, delta=st.sampled_from(["la", "", "\ud800"])),
        st.builds(AudioDelta, **common, audio=st.sampled_from([b"", b"\x00", b"\x00" * 480])),
        st.builds(ArgumentsDelta, **common, delta=st.sampled_from(["{", "\udc00"])),
        st.builds(ItemFinished, **common),
        st.builds(ResponseFinished, response_id=_IDS, status=st.sampled_from(["completed", "incomplete", "failed"])),
        st.sampled_from(
            [
                SourceText("la", 200),
                TranslatedText("\ud800"),
                TranslatedAudio(b"\x00" * 480),
                TranslatedAudio(b"\x00"),
                TranslationFinished(),
            ]
        ),
    )


def commands() -> SearchStrategy[inputs.Input]:
    """Whatever a program may ask of an engine, of either role, in its right mind or not."""
    results = st.sampled_from([TranscriptDelta("la"), TranscriptCompleted("la", 1.0), TranscriptFailed("no", None)])
    return st.one_of(
        st.builds(inputs.Send, client_events(), _RULES),
        st.builds(inputs.Send, client_events(), _RULES),
        st.builds(inputs.Send, typed_events()),
        st.builds(inputs.AppendAudio, st.sampled_from([b"", b"\x00", b"\x00\x00", b"\x00" * 4800, b"\x00" * 20_000])),
        st.builds(inputs.AudioPlayed, _IDS, _PARTS, st.sampled_from([-1, 0, 7, 10**9])),
        st.builds(inputs.AudioStopped, _IDS, _PARTS, st.sampled_from([-1, 0, 7, 10**9])),
        st.just(inputs.Interrupt()),
        st.builds(inputs.Generate, contents()),
        st.builds(inputs.SpeechStarted, st.integers(0, 900)),
        st.builds(inputs.SpeechStopped, st.integers(0, 900)),
        st.builds(inputs.Transcribed, _IDS, _PARTS, results),
        st.just(inputs.Start()),
        st.just(inputs.Opened(unix_ns=7)),
    )


def bytes_commands() -> SearchStrategy[inputs.Input]:
    """What only a `Connection` can be asked for."""
    headers = st.sampled_from([(), (("x-a", "1"),), (("x-a", "1\r\nx-b: 2"),), (("host", "x"),)])
    return st.one_of(
        st.builds(inputs.Accept, st.sampled_from([None, "realtime", "odd"]), headers),
        st.builds(inputs.Reject, st.sampled_from([200, 302, 404, 999]), headers, st.just(b"no")),
        st.builds(inputs.Opened, st.just(None), headers),
    )


def transport_inputs() -> SearchStrategy[inputs.Input]:
    """What the transport may tell an engine at any time."""
    return st.one_of(
        st.builds(inputs.EofReceived, st.sampled_from([None, 1000, 1006, 4000]), st.just("")),
        st.builds(inputs.TransportFailed, st.just(Fault("write", "broken pipe"))),
        st.just(inputs.Tick()),
        st.builds(inputs.Close, st.sampled_from([1000, 4001]), st.just("")),
    )
