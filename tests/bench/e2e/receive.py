"""One client that reads until `response.done`: ``receive.py CLIENT PORT``; prints what an event cost it.

Counted is the CPU time of this process, from the open connection to the last event. Ends with 3 where the client is
not installed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

NOT_HERE = 3
PATIENCE_S = 100


async def count(events: AsyncIterator[object], is_last: Callable[[object], bool]) -> tuple[int, float]:
    """How many events, and the CPU seconds they took."""
    number = 0
    begin = time.process_time()
    async for event in events:
        number += 1
        if is_last(event):
            break
    return number, time.process_time() - begin


def says_done(event: object) -> bool:
    """Whether a typed event is the last one."""
    return getattr(event, "type", "") == "response.done"


async def bare_websockets(port: int) -> tuple[int, float]:
    """The `websockets` package, which hands out text; nothing is parsed."""
    from websockets.asyncio.client import connect

    async with connect(f"ws://127.0.0.1:{port}/v1/realtime", compression=None, max_size=None) as websocket:
        return await count(aiter(websocket), lambda text: '"response.done"' in str(text)[:30])


async def openai_python(port: int) -> tuple[int, float]:
    """openai-python's realtime connection, as its README uses it."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key="nobody's", websocket_base_url=f"ws://127.0.0.1:{port}/v1")
    async with client.realtime.connect(model="m") as connection:
        return await count(aiter(connection), says_done)


async def on_asyncio(port: int) -> tuple[int, float]:
    """antiphon_asyncio, with a queue that no sender can fill here."""
    import antiphon_asyncio

    url = f"ws://127.0.0.1:{port}/v1/realtime"
    queue = antiphon_asyncio.QueuePolicy(events=1 << 20, bytes=1 << 30)
    async with antiphon_asyncio.connect(url, model="m", queue=queue) as connection:
        return await count(aiter(connection), says_done)


CLIENTS: dict[str, Callable[[int], Awaitable[tuple[int, float]]]] = {
    "websockets": bare_websockets,
    "openai": openai_python,
    "antiphon_asyncio": on_asyncio,
}


async def main(client: str, port: int) -> int:
    """Run one client; the exit code."""
    receive = CLIENTS.get(client)
    if receive is None:
        return NOT_HERE
    try:
        async with asyncio.timeout(PATIENCE_S):
            number, seconds = await receive(port)
    except ImportError:
        return NOT_HERE
    print(json.dumps({"events": number, "us_per_event": seconds / number * 1e6}))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]))))
