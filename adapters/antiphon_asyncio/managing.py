"""A manager on a connection: it is fed with what happens there, its handlers are awaited, its retries sent in time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from antiphon import Action, Closed, Disconnected, LocalProtocolError, RequestSettled

from .queue import ConnectionClosed

if TYPE_CHECKING:
    from antiphon.toolkit import EventManager

    from .client import AsyncConnection

__all__ = ["manage"]

R = TypeVar("R", bound=Awaitable[object])

_NS = 1_000_000_000


async def manage(connection: AsyncConnection, manager: EventManager[R]) -> None:
    """Run ``manager``, made with ``EventManager(connection.engine, send=connection.send)``, until the connection ends.

    It takes the events of the connection, so nobody else should iterate. Commands are counted whoever sends them,
    the manager, the connection's own methods or its engine, from here on. Handlers may be functions or coroutine
    functions; each is awaited before the next event is taken. Returns after an orderly end; raises what iteration
    raises, and the `ExceptionGroup` of handlers that fail (`EventManager.on_error` has them reported instead).
    """
    pending: deque[tuple[Action, int]] = deque()
    woken = asyncio.Event()

    def observe(action: Action) -> None:
        if isinstance(action, RequestSettled | Disconnected | Closed):
            pending.append((action, time.monotonic_ns()))  # handlers hear of these, and may have to be awaited
            woken.set()
        else:
            manager.feed(action, time.monotonic_ns())

    forget = connection.observe(observe, transmit=True)
    receiving = asyncio.ensure_future(connection.recv())
    waking = asyncio.ensure_future(woken.wait())
    try:
        while True:
            await asyncio.wait((receiving, waking), timeout=_until(manager.deadline), return_when="FIRST_COMPLETED")
            for event, answer in manager.tick(time.monotonic_ns()):
                try:
                    await answer
                except LocalProtocolError as refusal:
                    manager.refused(event, refusal, time.monotonic_ns())
            if receiving.done() and receiving.exception() is None:
                await manager.feed_async(receiving.result(), time.monotonic_ns())
                receiving = asyncio.ensure_future(connection.recv())
            while pending:
                await manager.feed_async(*pending.popleft())
            if waking.done():
                woken.clear()
                waking = asyncio.ensure_future(woken.wait())
            if receiving.done() and receiving.exception() is not None:
                receiving.result()  # raises
    except ConnectionClosed:
        return
    finally:
        forget()
        for task in (receiving, waking):
            task.cancel()
        await asyncio.gather(receiving, waking, return_exceptions=True)


def _until(deadline: int | None) -> float | None:
    return None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / _NS)
