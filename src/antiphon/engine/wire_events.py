"""What a `Wire` tells. A text message is plain `bytes`; everything rarer has a small class here."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from antiphon.engine.actions import Headers

__all__ = [
    "BinaryReceived",
    "CloseReceived",
    "HandshakeAccepted",
    "HandshakeRejected",
    "HandshakeRequest",
    "PingReceived",
    "PongReceived",
    "WireEvent",
    "WireFault",
]


class BinaryReceived(Struct, frozen=True):
    """A whole binary message of ``size`` bytes. Its content is not kept: the protocol has no use for it (R-W4)."""

    size: int


class PingReceived(Struct, frozen=True):
    """Write ``pong(data)`` here."""

    data: bytes


class PongReceived(Struct, frozen=True):
    data: bytes


class CloseReceived(Struct, frozen=True):
    """The peer's CLOSE, the last event of a wire: write ``close(code)`` here. 1005: it gave no code."""

    code: int
    reason: str


class HandshakeRequest(Struct, frozen=True):
    """Server: a client asks to open. Answer with `Wire.accept` or `Wire.reject`; what it sends meanwhile waits.

    ``path`` and ``query`` are as on the wire (percent-encoded); header values are decoded as ISO-8859-1.
    """

    path: str
    query: str
    headers: Headers
    subprotocols: tuple[str, ...]

    def __repr__(self) -> str:  # clients put keys into headers, subprotocols and the query
        return (
            f"HandshakeRequest(path={self.path!r}, query=<{len(self.query)} characters>, "
            f"headers=<{len(self.headers)}>, subprotocols=<{len(self.subprotocols)}>)"
        )


class HandshakeAccepted(Struct, frozen=True):
    """Client: the WebSocket is open."""

    subprotocol: str | None
    headers: Headers

    def __repr__(self) -> str:  # a browser's server may echo a subprotocol with a key; cookies are credentials too
        chosen = self.subprotocol.partition(".")[0] if self.subprotocol is not None else None
        return f"HandshakeAccepted(subprotocol={chosen!r}, headers=<{len(self.headers)}>)"


class HandshakeRejected(Struct, frozen=True):
    """Client: the server answered, but with another status than 101. ``body`` is cut at `REJECTION_BODY` bytes."""

    status: int
    headers: Headers
    body: bytes

    def __repr__(self) -> str:
        return f"HandshakeRejected(status={self.status}, headers=<{len(self.headers)}>, body=<{len(self.body)} bytes>)"


class WireFault(Struct, frozen=True):
    """The peer broke the WebSocket standard or a bound; nothing is read after it.

    ``code`` is the close code to send: 1002 broken frame, 1007 bad UTF-8 in a close reason, 1009 too big, 1011 the
    fault is ours; 0 while the handshake was not complete. Then ``status`` is, for a server, the HTTP status to
    `Wire.reject` with; for a client, the status that the server answered with (0 if what it sent is no HTTP).
    ``rule`` is the clause of ``spec/rules.md``; ``detail`` repeats nothing that the peer sent.
    """

    code: int
    rule: str
    detail: str
    status: int = 0


WireEvent: TypeAlias = (
    bytes
    | BinaryReceived
    | PingReceived
    | PongReceived
    | CloseReceived
    | HandshakeRequest
    | HandshakeAccepted
    | HandshakeRejected
    | WireFault
)
"""A text message is plain `bytes`, not yet checked for UTF-8: the hot case makes no object of its own."""
