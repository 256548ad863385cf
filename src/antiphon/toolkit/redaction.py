"""What a journal must not hold: credentials, in events, in handshakes, in addresses. And, when wished, the audio.

A secret is known by where it stands, not by how it looks: the fields of an event that carry credentials, every header
that is not known to carry none, every query parameter and subprotocol likewise. Redacting twice is redacting once, so a
redacted journal plays to the same redacted actions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import structs

from antiphon.engine.actions import Headers
from antiphon.engine.dialects.handshake import BETA_SUBPROTOCOL
from antiphon.engine.endpoint import Endpoint
from antiphon.engine.handshake import HEAD_END, Rejection, parse_headers, parse_status

__all__ = [
    "REDACTED",
    "cut_audio",
    "redact_endpoint",
    "redact_event",
    "redact_head",
    "redact_headers",
    "redact_query",
    "redact_refusal",
    "redact_subprotocol",
]

REDACTED: Final = "redacted"
"""What stands where a credential stood; it may stand in a header, a query and a subprotocol."""

_SECRET_FIELDS: Final = frozenset({"authorization", "api_key", "client_secret", "headers"})
_MARKS: Final = tuple(f'"{name}"'.encode() for name in sorted(_SECRET_FIELDS))
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
_AUDIO_DELTAS: Final = (b"audio.delta", b'"audio"')
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\Z")
_TARGET: Final = re.compile(rb"([A-Z]+ [^ ?]*\?)([^ ]*)( HTTP/.*)\Z")
_ABOUT_THE_BODY: Final = (b"content-length:", b"content-encoding:", b"transfer-encoding:")
_ERROR_CODE: Final = re.compile(r"[a-z_.]{1,64}\Z")


def redact_event(text: bytes) -> bytes:
    """The JSON of an event without its credentials; ``text`` itself where there are none."""
    if not any(mark in text for mark in _MARKS):
        return text
    return _rewritten(text, _without_secrets)


def cut_audio(text: bytes) -> bytes:
    """The JSON of an event without its audio, for journals that may hold words but no voices."""
    if not any(mark in text for mark in _AUDIO_DELTAS):
        return text
    return _rewritten(text, _without_audio)


def _rewritten(text: bytes, rewrite: Callable[[object], object]) -> bytes:
    try:
        data = msgspec.json.decode(text)
        rewritten = rewrite(data)
        return text if rewritten == data else msgspec.json.encode(rewritten)
    except (ValueError, RecursionError):
        return text  # no JSON that anybody could find a field in


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: _hidden(each) if name in _SECRET_FIELDS else _without_secrets(each) for name, each in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value


def _hidden(value: object) -> object:
    """The same shape without what it says: null stays null."""
    if isinstance(value, dict):
        return {name: _hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return REDACTED if isinstance(value, str) else value


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
    return tuple((name, value if name.lower() in _PLAIN_HEADERS else REDACTED) for name, value in headers)


def redact_query(query: str) -> str:
    """A query with the values of unknown parameters hidden; the order and the names stay."""
    parts = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        parts.append(part if not equals or name in _PLAIN_PARAMETERS else f"{name}={REDACTED}")
    return "&".join(parts)


def redact_subprotocol(name: str) -> str:
    """A subprotocol, or what stands for one that may hold a key: the same for the same one."""
    if name in _PLAIN_SUBPROTOCOLS or name.startswith(f"{REDACTED}."):
        return name
    return f"{REDACTED}.{blake2b(name.encode(), digest_size=4).hexdigest()}"


def redact_endpoint(endpoint: Endpoint) -> Endpoint:
    """An address whose headers, query and subprotocols tell nothing that opens a door."""
    return structs.replace(
        endpoint,
        query=redact_query(endpoint.query),
        headers=redact_headers(endpoint.headers),
        subprotocols=tuple(redact_subprotocol(name) for name in endpoint.subprotocols),
    )


def redact_head(head: bytes) -> bytes:
    """The head of an HTTP request or response, up to and with its empty line."""
    first, *rest = head.split(b"\r\n")
    lines = [_TARGET.sub(lambda found: found[1] + redact_query(found[2].decode("latin-1")).encode() + found[3], first)]
    return b"\r\n".join((*lines, *(_redacted_line(line) for line in rest)))


def _redacted_line(line: bytes) -> bytes:
    found = _HEADER.match(line)
    if found is None:
        return line
    name = found[1].decode("ascii")
    if name.lower() in _PLAIN_HEADERS:
        return line
    value = REDACTED
    if name.lower() == "sec-websocket-protocol":
        offered = (each.strip() for each in found[2].decode("latin-1").split(","))
        value = ", ".join(redact_subprotocol(each) for each in offered)
    return found[1] + b": " + value.encode()


def redact_refusal(response: bytes) -> bytes:
    """A response that refuses a handshake: of its body nothing but the error code, because the rest may repeat a key.
    The body's length is said anew, so that the response ends by itself."""
    head, _, rest = response.partition(HEAD_END)
    refusal = Rejection(parse_status(head + HEAD_END) or 0, parse_headers(head + HEAD_END) or ())
    refusal.feed(rest)
    body = _error_code_of(bytes(refusal.body))
    lines = [line for line in redact_head(head).split(b"\r\n") if not line.lower().startswith(_ABOUT_THE_BODY)]
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))


def _error_code_of(body: bytes) -> bytes:
    try:
        code = msgspec.json.decode(body)["error"]["code"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return b""
    return msgspec.json.encode({"error": {"code": code}}) if isinstance(code, str) and _ERROR_CODE.match(code) else b""
