"""antiphon on asyncio: a client in the shape of openai-python, and a server that takes any handler.

    async with antiphon_asyncio.connect(url, api_key=key) as connection:
        await connection.conversation.item.create(item=...)
        request = await connection.response.create()
        async for event in connection:
            ...

The rules are the engine's; here are sockets, deadlines and the queue before the application.
"""

from .client import AsyncConnection, Connector, Observer, Player, Request, connect
from .driver import Driver
from .managing import manage
from .queue import ConnectionClosed, QueuePolicy, SlowConsumer
from .server import Authorize, Handler, Server, ServerConnection, serve

__all__ = [
    "AsyncConnection",
    "Authorize",
    "ConnectionClosed",
    "Connector",
    "Driver",
    "Handler",
    "Observer",
    "Player",
    "QueuePolicy",
    "Request",
    "Server",
    "ServerConnection",
    "SlowConsumer",
    "connect",
    "manage",
    "serve",
]
