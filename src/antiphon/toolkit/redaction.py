"""What a journal must not hold: credentials, in events, in handshakes, in addresses. And, when wished, the audio.

A secret is known by where it stands, not by how it looks: the fields of an event that carry credentials, the message of
an error about a key, which may repeat it, every header that is not known to carry none, every query parameter and
subprotocol likewise. Redacting twice is redacting once, so a redacted journal plays to the same redacted actions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import structs

from antiphon.engine.actions import Headers
from antiphon.engine.dialects.handshake import BETA_SUBPROTOCOL
from antiphon.engine.endpoint import Endpoint
from antiphon.engine.handshake import HEAD_END, Rejection, parse_headers, parse_status

__all__ = [
    "REDACTED",
    "blank_event",
    "cut_audio",
    "redact_address",
    "redact_body",
    "redact_endpoint",
    "redact_event",
    "redact_head",
    "redact_headers",
    "redact_query",
    "redact_refusal",
    "redact_subprotocol",
    "refuses",
]

REDACTED: Final = "redacted"
"""What stands where a credential stood; it may stand in a header, a query and a subprotocol."""

# However they are written, with capitals too. A bare "token" is none: so are words called, and they are counted.
_SECRET_FIELDS: Final = frozenset(
    {"access_token", "api-key", "api_key", "apikey", "authorization", "client_secret", "headers", "password"}
)
_SECRET_ADDRESSES: Final = frozenset({"server_url"})  # a key may stand in its query, or before its host
_NAMES: Final = "|".join(sorted(_SECRET_FIELDS | _SECRET_ADDRESSES)).encode()
_ABOUT_A_KEY: Final = rb'(?:code|type)"\s*:\s*"[^"]{0,64}(?:api_key|auth)'
_MARK: Final = re.compile(rb'"(?:(?:%b)"|%b)' % (_NAMES, _ABOUT_A_KEY), re.IGNORECASE)
_PLAIN_HEADERS: Final = frozenset(
    (
        "accept",
        "connection",
        "content-length",
        "content-type",
        "date",
        "host",
        "openai-beta",
        "origin",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "server",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    )
)
_PLAIN_PARAMETERS: Final = frozenset(("api-version", "call_id", "deployment", "intent", "model"))
_PLAIN_SUBPROTOCOLS: Final = frozenset(("realtime", BETA_SUBPROTOCOL))
_ESCAPE: Final = b"\\u"  # a name may be written with escapes, and then be found by no search
_AUDIO_DELTAS: Final = (b"audio.delta", b'"audio"', _ESCAPE)
_ABOUT_THE_BODY: Final = (b"content-length:", b"content-encoding:", b"transfer-encoding:")
_ERROR_CODE: Final = re.compile(r"[a-z_.]{1,64}\Z")

_LONG: Final = 1024
"""Characters from which the length of a secret is kept: a head may be refused for being long."""

# Where no JSON can be read, strings are found without it; their lengths stay, so that what is wrong with the rest stays
# at its place. A string or an object may lack its end.
_STRING: Final = rb'"(?:[^"\\]|\\.)*"?'
_SECRET_TEXT: Final = re.compile(
    rb'("(?:%b)"\s*:\s*)(%b|\{(?:[^{}"]|%b)*)' % (_NAMES, _STRING, _STRING),
    re.DOTALL | re.IGNORECASE,
)
_ERROR_ABOUT_A_KEY: Final = re.compile(rb'"' + _ABOUT_A_KEY, re.IGNORECASE)
_MESSAGE_TEXT: Final = re.compile(rb'("message"\s*:\s*)(%b)' % _STRING, re.DOTALL)
_AUDIO_TEXT: Final = re.compile(rb'("(?:audio|delta)"\s*:\s*)%b' % _STRING, re.DOTALL)
_VALUE_TEXT: Final = re.compile(rb"(%b)(\s*:)?" % _STRING, re.DOTALL)
_LETTER: Final = re.compile(rb"\\u[0-9A-Fa-f]{4}|\\.|[0-9A-Za-z]", re.DOTALL)


def redact_event(text: bytes) -> bytes:
    """The JSON of an event without its credentials; ``text`` itself where there are none. It may be cut, or no JSON."""
    if _ESCAPE not in text and _MARK.search(text) is None:
        return text
    rewritten = _rewritten(text, _without_secrets)
    return blank_event(text) if rewritten is None else rewritten


def blank_event(text: bytes) -> bytes:
    """The same for what is no JSON, or not all of it: the lengths stay."""
    if _ERROR_ABOUT_A_KEY.search(text) is not None:
        text = _MESSAGE_TEXT.sub(_blanked, text)
    return _SECRET_TEXT.sub(_blanked, text)


def _blanked(found: re.Match[bytes]) -> bytes:
    return found[1] + _VALUE_TEXT.sub(_blanked_value, found[2])


def _blanked_value(found: re.Match[bytes]) -> bytes:
    return found[0] if found[2] else _LETTER.sub(_letter, found[0])


def _letter(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b"\\") else b"x"


def cut_audio(text: bytes) -> bytes:
    """The JSON of an event without its audio, for journals that may hold words but no voices."""
    if not any(mark in text for mark in _AUDIO_DELTAS):
        return text
    rewritten = _rewritten(text, _without_audio)
    return _AUDIO_TEXT.sub(rb'\1""', text) if rewritten is None else rewritten


def _rewritten(text: bytes, rewrite: Callable[[object], object]) -> bytes | None:
    """None for what is no JSON, or more deeply nested than anybody reads."""
    try:
        data = msgspec.json.decode(text)
        rewritten = rewrite(data)
        return text if rewritten == data else msgspec.json.encode(rewritten)
    except (ValueError, RecursionError):
        return None


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        shown = {name: _without_secret(name.lower(), each) for name, each in value.items()}
        if "error" in shown and value.get("type", "error") == "error":
            shown["error"] = _without_key(shown["error"])
        return shown
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value


def _without_key(error: object) -> object:
    """An error; one about a key without its message."""
    if not isinstance(error, dict) or not (_is_about_a_key(error.get("code")) or _is_about_a_key(error.get("type"))):
        return error
    return {name: _hidden(each) if name == "message" else each for name, each in error.items()}


def _is_about_a_key(word: object) -> bool:
    return isinstance(word, str) and ("api_key" in word.lower() or "auth" in word.lower())


def _without_secret(name: str, value: object) -> object:
    if name in _SECRET_FIELDS:
        return _hidden(value)
    if name in _SECRET_ADDRESSES and isinstance(value, str):
        return redact_address(value)
    return _without_secrets(value)


def _hidden(value: object) -> object:
    """The same shape without what it says: null and the empty string say nothing."""
    if isinstance(value, dict):
        return {name: _hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return REDACTED if isinstance(value, str) and value else value


def _without_audio(value: object) -> object:
    if isinstance(value, dict):
        kind = value.get("type")
        is_delta = isinstance(kind, str) and kind.endswith("audio.delta")
        return {
            name: "" if isinstance(each, str) and (name == "audio" or (is_delta and name == "delta")) else each
            for name, each in ((name, _without_audio(each)) for name, each in value.items())
        }
    if isinstance(value, list):
        return [_without_audio(each) for each in value]
    return value


# Handshakes ---------------------------------------------------------------------------------------------------------


def redact_headers(headers: Headers) -> Headers:
    """Headers with the values of those that may carry a credential hidden."""
    return tuple((name, value if name.lower() in _PLAIN_HEADERS else _in_place_of(value)) for name, value in headers)


def _in_place_of(value: str) -> str:
    return REDACTED if len(value) < _LONG else REDACTED.ljust(len(value), "x")


def redact_query(query: str) -> str:
    """A query with the values of unknown parameters hidden; the order and the names stay, but for a lone value's."""
    return "&".join(map(_redact_parameter, query.split("&")))


def _redact_parameter(part: str) -> str:
    name, equals, value = part.partition("=")
    if not part or unquote(name) in _PLAIN_PARAMETERS:
        return part
    return f"{name}={_in_place_of(value)}" if equals else _in_place_of(part)


def redact_address(url: str) -> str:
    """A URL, or the target of a request, without its user, the values of its query, and its fragment."""
    place, mark, query = url.partition("?")
    place, sharp, fragment = place.partition("#")
    scheme, slashes, rest = place.partition("//")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        authority = f"{REDACTED}@{authority.rpartition('@')[2]}"
    if fragment:
        fragment = REDACTED
    return f"{scheme}{slashes}{authority}{slash}{path}{sharp}{fragment}{mark}{redact_query(query)}"


def redact_subprotocol(name: str) -> str:
    """A subprotocol, or what stands for one that may hold a key: the same for the same one."""
    if name in _PLAIN_SUBPROTOCOLS or _HIDDEN_SUBPROTOCOL.match(name):
        return name
    return f"{REDACTED}.{blake2b(name.encode(), digest_size=4).hexdigest()}"


_HIDDEN_SUBPROTOCOL: Final = re.compile(rf"{REDACTED}\.[0-9a-f]{{8}}\Z")


def redact_endpoint(endpoint: Endpoint) -> Endpoint:
    """An address whose headers, query and subprotocols tell nothing that opens a door."""
    return structs.replace(
        endpoint,
        query=redact_query(endpoint.query),
        headers=redact_headers(endpoint.headers),
        subprotocols=tuple(redact_subprotocol(name) for name in endpoint.subprotocols),
    )


_REQUEST: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) (HTTP/[0-9]\.[0-9])\Z")
_RESPONSE: Final = re.compile(rb"(HTTP/1\.[01] [1-5][0-9][0-9])( [\t -~\x80-\xff]*)?\Z")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)\Z")


def redact_head(head: bytes) -> bytes:
    """The head of an HTTP request or response, up to and with its empty line, or what has come of it.

    Nothing is kept of a line that is none of HTTP: it is as malformed afterwards as it was.
    """
    first, *rest = head.split(b"\r\n")
    return b"\r\n".join((_redact_first_line(first), *map(_redact_line, rest)))


def _redact_first_line(line: bytes) -> bytes:
    if (request := _REQUEST.match(line)) is not None:
        return b"%b %b %b" % (request[1], redact_address(request[2].decode("ascii")).encode(), request[3])
    if (response := _RESPONSE.match(line)) is not None:
        return response[1] + _redact_phrase(response[1][-3:], response[2] or b"")
    return _no_line(line)


def _redact_phrase(status: bytes, phrase: bytes) -> bytes:
    known = {each.phrase for each in HTTPStatus if each == int(status)}
    return phrase if phrase.strip().decode("latin-1") in known | {""} else b" " + REDACTED.encode()


def _no_line(line: bytes) -> bytes:
    return _in_place_of(line.decode("latin-1")).encode() if line else b""


def _redact_line(line: bytes) -> bytes:
    found = _HEADER.match(line)
    if found is None:
        return _no_line(line)
    name = found[1].decode("ascii").lower()
    if name in _PLAIN_HEADERS:
        return line
    value = found[2].strip(b" \t").decode("latin-1")
    if name == "sec-websocket-protocol":
        shown = ", ".join(redact_subprotocol(each.strip()) for each in value.split(","))
    else:
        shown = _in_place_of(value)
    return found[1] + b": " + shown.encode()


def redact_refusal(response: bytes) -> bytes:
    """A response that refuses a handshake: of its body nothing but the error code, because the rest may repeat a key.
    The body's length is said anew, so that the response ends by itself."""
    head, _, rest = response.partition(HEAD_END)
    refusal = Rejection(parse_status(head + HEAD_END) or 0, parse_headers(head + HEAD_END) or ())
    refusal.feed(rest)
    body = redact_body(bytes(refusal.body))
    lines = [line for line in redact_head(head).split(b"\r\n") if not line.lower().startswith(_ABOUT_THE_BODY)]
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))


def redact_body(body: bytes) -> bytes:
    """The body of a refused handshake: the error code alone, empty if there is none."""
    try:
        code = msgspec.json.decode(body)["error"]["code"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return b""
    return msgspec.json.encode({"error": {"code": code}}) if isinstance(code, str) and _ERROR_CODE.match(code) else b""


def refuses(head: bytes) -> bool:
    """Whether it is the whole head of a response, perhaps with more behind it, that opens no WebSocket."""
    return HEAD_END in head and parse_status(head) not in (None, 101)
