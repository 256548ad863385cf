"""The HTTP/1.1 of the opening handshake, as far as it is ours: heads in and out, and the body of a refusal.

Whether a request or response makes a WebSocket is checked by the ``websockets`` package (see `antiphon.engine.wire`);
this module looks before it, so that every release of the package gives the same answers, and reads what the package
would not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from antiphon.engine.actions import Headers
from antiphon.engine.endpoint import Endpoint

__all__ = [
    "HEAD_END",
    "REJECTION_BODY",
    "Rejection",
    "parse_headers",
    "parse_status",
    "request_problem",
    "write_request",
]

HEAD_END: Final = b"\r\n\r\n"

REJECTION_BODY: Final = 64 * 1024
"""Bytes of a refused handshake's body that are kept; servers explain themselves in far less."""

_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) (HTTP/[0-9]\.[0-9])")

# Bounds of the library's own reading of a head. They are checked before it reads: its newest release answers a breach
# by itself, with a Date.
_LINE: Final = 8192
_LINES: Final = 128


def _parse_lines(lines: Sequence[bytes]) -> Headers | None:
    """The header lines of a head; None when one is malformed (folded lines count as that, as RFC 9112 allows)."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not (colon and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            return None
        headers.append((name.decode("ascii"), value.decode("latin-1")))
    return tuple(headers)


def parse_headers(head: bytes) -> Headers | None:
    """The headers of a head, values decoded as ISO-8859-1; None when one is malformed."""
    return _parse_lines(head[: -len(HEAD_END)].split(b"\r\n")[1:])


def parse_status(head: bytes) -> int | None:
    """The status of a response's head; None when it is no HTTP/1 response."""
    found = _STATUS_LINE.fullmatch(head[: head.index(b"\r\n")])
    return int(found[1]) if found is not None else None


def write_request(endpoint: Endpoint, key: str) -> bytes:
    """The request of a client's handshake; ``key`` is the nonce in base64."""
    lines = [
        f"GET {endpoint.target} HTTP/1.1",
        f"Host: {endpoint.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    if endpoint.subprotocols:
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(endpoint.subprotocols)}")
    lines += [f"{name}: {value}" for name, value in endpoint.headers]
    return "\r\n".join((*lines, "", "")).encode("ascii")


def request_problem(head: bytes) -> tuple[int, str] | None:
    """HTTP status and reason why ``head`` is no request that could become a WebSocket; None when it may be one."""
    request_line, *lines = head[: -len(HEAD_END)].split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(request_line)
    if found is None:
        return 400, "no HTTP request"
    if found[3] != b"HTTP/1.1":
        return 505, "the request is not HTTP/1.1"
    if found[1] != b"GET":
        return 405, "the request is not a GET"
    if len(request_line) > _LINE - 2:
        return 414, f"the request line is longer than {_LINE} bytes"
    if len(lines) > _LINES or any(len(line) > _LINE - 2 for line in lines):
        return 431, f"more than {_LINES} headers, or one longer than {_LINE} bytes"
    if _parse_lines(lines) is None:
        return 400, "a malformed header"
    return None


class Rejection:
    """A refused handshake while its body comes in: by length, in chunks, or until the end of the stream.

    ``whole`` says that no more is needed: the body is complete, broken, or `REJECTION_BODY` bytes long.
    """

    __slots__ = ("_chunked", "_left", "_raw", "body", "headers", "status", "whole")

    def __init__(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.body = bytearray()
        self.whole = False
        self._raw = bytearray()
        self._chunked = False
        self._left: int | None = None  # bytes of the body, or of this chunk; None: not said
        fields = {name.lower(): value for name, value in headers}
        length = fields.get("content-length", "")
        if status < 200 or status in (204, 304):
            self.whole = True
        elif fields.get("transfer-encoding", "").lower() == "chunked":
            self._chunked = True
        elif length.isascii() and length.isdigit() and len(length) < 19:
            self._left = int(length)
            self.whole = self._left == 0

    def feed(self, data: bytes) -> None:
        """Take more of the stream; what does not belong to the body is dropped."""
        if self._chunked:
            self._raw += data
            self._read_chunks()
        else:
            self._take(data)
            if self._left == 0:
                self.whole = True
        if len(self.body) >= REJECTION_BODY:
            self.whole = True

    def _take(self, data: bytes | bytearray) -> None:
        room = REJECTION_BODY - len(self.body)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self.body += data[:room]

    def _read_chunks(self) -> None:
        # The line break behind a chunk reads as an empty size line, and trailers are not waited for.
        raw = self._raw
        while raw and not self.whole and len(self.body) < REJECTION_BODY:
            if self._left:
                piece = raw[: self._left]
                del raw[: len(piece)]
                self._take(piece)
                continue
            end = raw.find(b"\r\n", 0, 256)
            if end < 0:
                self.whole = len(raw) >= 256  # no size line: malformed, what was read so far must do
                return
            size = bytes(raw[:end]).partition(b";")[0].strip()
            del raw[: end + 2]
            if not size:
                continue
            self._left = int(size, 16) if re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size) else 0
            self.whole = self._left == 0
