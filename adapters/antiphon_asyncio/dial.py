"""Dialling: TCP and TLS for an endpoint. How long it may take is the engine's affair (``timers.connect``)."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections.abc import Callable
from typing import Final

from antiphon import Endpoint

__all__ = ["dial"]

_HAPPY_EYEBALLS_DELAY: Final = 0.25  # s until the next address is tried beside the first (RFC 8305)


async def dial(
    endpoint: Endpoint,
    protocol: Callable[[], asyncio.Protocol],
    *,
    ssl: tls.SSLContext | None = None,
    shutdown_timeout: float,
) -> None:
    """Connect ``protocol()`` to ``endpoint``: to every address of the host until one answers, with TLS for ``wss``.

    ``ssl`` replaces the default context (the system's authorities, host names checked). ``shutdown_timeout`` in seconds
    bounds the closing of TLS. Raises OSError when it cannot be reached or does not prove who it is, in one line that
    names host and port and nothing secret.
    """
    where = endpoint.authority
    context = (ssl or tls.create_default_context()) if endpoint.secure else None
    # A literal has one address, so nothing is to be raced; and a race that is cancelled leaves tasks for the loop to
    # end.
    is_literal = ":" in endpoint.host or endpoint.host.replace(".", "").isdigit()
    try:
        await asyncio.get_running_loop().create_connection(
            protocol,
            endpoint.host,
            endpoint.port,
            ssl=context,
            server_hostname=endpoint.host if context is not None else None,
            ssl_shutdown_timeout=shutdown_timeout if context is not None else None,
            happy_eyeballs_delay=None if is_literal else _HAPPY_EYEBALLS_DELAY,
        )
    except tls.SSLCertVerificationError as error:
        raise OSError(f"{where} has a certificate that is not trusted: {error.verify_message}") from error
    except tls.SSLError as error:
        raise OSError(f"TLS with {where} failed: {error.reason or error.strerror or error}") from error
    except UnicodeError as error:
        raise OSError(f"{where} is no name that can be looked up") from error
    except OSError as error:
        raise OSError(f"{where} cannot be reached: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """The system's word without the address, which is said already; asyncio's own where several addresses failed."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or str(error) or "the connection was closed during the TLS handshake"
