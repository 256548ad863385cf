"""Records the journal beside this file anew: a spoken answer is cut by the user, the socket is lost, the client goes on
over another one, and asks again. Run it with the source tree on the path::

    python tests/traces/recorded/record.py

A journal is what was recorded: the real adapters make it over loopback, nobody writes it by hand. It need not be made
anew when ``spec/`` changes, since the digest of the tables only informs; but when the engine is *meant* to do something
else from now on, what it did then is no measure any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import antiphon_asyncio
from antiphon import (
    AudioDelta,
    ItemFinished,
    ItemStarted,
    PlayAudio,
    ResponseFinished,
    ResponseRequested,
    SessionConfig,
    TextDelta,
)
from antiphon import messages as m
from antiphon.toolkit import Journal
from antiphon_asyncio import ServerConnection

JOURNAL = Path(__file__).with_name("barge_in_and_reconnect.jsonl")
KEY = "sk-recorded-0123456789"

_SPOKEN_MS = 200
_HEARD_MS = 80
_BYTES_OF_A_MS = 48


class Device:
    """A loudspeaker that has played the first ``_HEARD_MS`` of whatever it is given."""

    def __init__(self) -> None:
        self.connection: antiphon_asyncio.AsyncConnection | None = None
        self.playing = asyncio.Event()
        self.stopped = asyncio.Event()
        self._heard = False

    def play(self, audio: PlayAudio) -> None:
        """Report once that a part was played."""
        if not self._heard and self.connection is not None:
            self._heard = True
            self.connection.audio_played(audio.item_id, audio.content_index, _HEARD_MS * 24)
            self.playing.set()

    def stop(self, item_id: str, content_index: int) -> int:
        """No more of it; the samples that were heard."""
        self.stopped.set()
        return (_HEARD_MS + 5) * 24


async def _serve(connection: ServerConnection, turn: int) -> None:
    async for action in connection.actions():
        if isinstance(action, ResponseRequested):
            _answer(connection, action.response_id, ends=turn > 0)


def _answer(connection: ServerConnection, response_id: str, *, ends: bool) -> None:
    connection.generate(ItemStarted(response_id=response_id, output_index=0, kind="audio"))
    for word in ("one", " two"):
        connection.generate(TextDelta(response_id=response_id, output_index=0, delta=word))
        audio = bytes(_SPOKEN_MS // 2 * _BYTES_OF_A_MS)
        connection.generate(AudioDelta(response_id=response_id, output_index=0, audio=audio))
    if ends:
        connection.generate(ItemFinished(response_id=response_id, output_index=0))
        connection.generate(ResponseFinished(response_id=response_id))


async def _until(connection: antiphon_asyncio.AsyncConnection, type: str) -> None:
    while (await connection.recv()).type != type:
        pass


async def record(client: Callable[[bytes], object], server: Callable[[int], Callable[[bytes], object]]) -> None:
    """Live through it once. ``client`` takes the client's lines, ``server(n)`` gives what takes the nth server's."""
    sockets: list[asyncio.Transport] = []
    turns = 0

    async def handle(connection: ServerConnection) -> None:
        nonlocal turns
        turns += 1
        await _serve(connection, turns - 1)

    def journal(connection: ServerConnection) -> Journal:
        transport = connection._driver.socket  # a socket that is lost has no method of its own
        assert transport is not None
        assert transport.transport is not None
        sockets.append(transport.transport)
        return Journal(server(len(sockets) - 1))

    device = Device()
    config = SessionConfig()
    serving = await antiphon_asyncio.serve(handle, config=config, record=journal)
    headers = [("X-Secret", KEY)]
    connector = antiphon_asyncio.connect(
        serving.url, api_key=KEY, headers=headers, player=device, record=Journal(client)
    )
    async with serving, connector as connection:
        device.connection = connection
        await _until(connection, "session.created")
        await connection.append_audio(bytes(100 * _BYTES_OF_A_MS))
        await connection.response.create()
        await device.playing.wait()
        (peer,) = serving.connections
        peer.speech_started(20)
        await device.stopped.wait()
        await _until(connection, "conversation.item.truncated")
        peer.speech_stopped(90)
        await _until(connection, "response.output_audio.delta")  # the answer to what was said, which is lost
        sockets[0].abort()
        await _until(connection, "session.created")
        question = m.MessageItem(role="user", content=[m.InputText(text="and again?")])
        await connection.conversation.item.create(item=question)
        await connection.response.create()
        await _until(connection, "response.done")


def main() -> None:
    """Write the client's journal."""
    lines = bytearray()
    asyncio.run(record(lines.extend, lambda number: bytearray().extend))
    JOURNAL.write_bytes(lines)


if __name__ == "__main__":
    main()
