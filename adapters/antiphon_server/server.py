"""A Realtime server that listens on a socket and lets a brain answer."""

from __future__ import annotations

import hmac
import ssl as tls
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import structs

import antiphon_asyncio
from antiphon import HandshakeReceived, SessionConfig
from antiphon.toolkit import Journal
from antiphon_asyncio import Server, ServerConnection

from .brain import BrainFactory
from .parrot import Parrot
from .runner import Runner
from .script import Script
from .scripted import Scripted, check_playable

__all__ = ["BrainChoice", "serve"]

BrainChoice: TypeAlias = Literal["parrot"] | Script | BrainFactory

_SUBPROTOCOL_KEY: Final = "openai-insecure-api-key."  # where a browser puts it


async def serve(
    brain: BrainChoice = "parrot",
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    api_key: str | None = None,
    config: SessionConfig | None = None,
    dialect: Literal["auto", "ga", "beta"] | None = None,
    ssl: tls.SSLContext | None = None,
    record: Callable[[ServerConnection], Journal | None] | None = None,
) -> Server:
    """Serve ``brain`` on ``host`` and ``port`` (0 takes a free one; `Server.port` and `Server.url` tell it).

    ``brain`` is "parrot", a `Script`, or a function that makes one `Brain` a client. With ``api_key``, a client must
    show it, else it gets HTTP 401: as a bearer token, in an ``api-key`` header, or in the subprotocol that browsers
    use. ``config`` is that of each session; its ``retain_input_audio`` is always on, because brains want what was said,
    and its ``dialect`` is the one that is given here, if one is.
    ``record`` is asked once for each client for a journal of its session.

    Raises OSError when the address cannot be had, `ScriptError` for a script that cannot be performed, `ValueError`
    for an empty key.
    """
    if api_key is not None and not api_key:
        raise ValueError("the API key is empty")
    make = _factory(brain)
    config = structs.replace(config or SessionConfig(session={"model": _name(brain)}), retain_input_audio=True)

    if dialect is not None:
        config = structs.replace(config, dialect=dialect)

    async def handle(connection: ServerConnection) -> None:
        await Runner(connection, make()).run()

    def authorize(handshake: HandshakeReceived) -> tuple[int, str] | None:
        return None if api_key is None else _check_key(handshake, api_key)

    return await antiphon_asyncio.serve(handle, host, port, config=config, ssl=ssl, authorize=authorize, record=record)


def _factory(brain: BrainChoice) -> BrainFactory:
    if isinstance(brain, Script):
        script = brain
        check_playable(script)
        return lambda: Scripted(script)
    if brain == "parrot":
        return Parrot
    if callable(brain):
        return brain
    raise ValueError(f"a brain is 'parrot', a Script or a function, not {brain!r}")


def _name(brain: BrainChoice) -> str:
    if isinstance(brain, Script):
        return "antiphon-script"
    return "antiphon-parrot" if brain == "parrot" else "antiphon"


def _check_key(handshake: HandshakeReceived, api_key: str) -> tuple[int, str] | None:
    """401 for a client that does not show the key; the comparison takes as long whatever is wrong with it."""
    shown = [value.removeprefix("Bearer ") for name, value in handshake.headers if name.lower() == "authorization"]
    shown += [value for name, value in handshake.headers if name.lower() == "api-key"]
    offered = handshake.subprotocols
    shown += [name.removeprefix(_SUBPROTOCOL_KEY) for name in offered if name.startswith(_SUBPROTOCOL_KEY)]
    if not shown:
        return 401, "No API key was shown: send it as a bearer token in the Authorization header."
    if any(hmac.compare_digest(value.encode(), api_key.encode()) for value in shown):
        return None
    return 401, "The API key is not the one of this server."
