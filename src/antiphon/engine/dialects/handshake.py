"""How a handshake says which dialect is meant: the same for the client that asks and the server that is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

Dialect: TypeAlias = Literal["ga", "beta"]
"""What a peer is spoken to in."""

BETA_HEADER: Final = ("OpenAI-Beta", "realtime=v1")
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
"""The same from a browser, which cannot set headers."""


def asked_for(headers: Iterable[tuple[str, str]], subprotocols: Iterable[str]) -> Dialect:
    """The dialect that the headers and subprotocols of a handshake ask for: GA, unless they name the beta."""
    name, value = BETA_HEADER
    for key, given in headers:
        if key.lower() == name.lower() and value in (part.strip().lower() for part in given.split(",")):
            return "beta"
    return "beta" if BETA_SUBPROTOCOL in subprotocols else "ga"
