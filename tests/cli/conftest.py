"""What the tests of the command share: running it, and servers of several kinds to run it against."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import antiphon_server

COMMAND = [sys.executable, "-m", "antiphon_cli"]
SECONDS = 60


class Ran(NamedTuple):
    """How a run ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def antiphon(tmp_path: Path) -> Callable[..., Ran]:
    """Runs the command in an empty directory, as a user would: `antiphon("check", "x.jsonl")`."""

    def run(*arguments: str) -> Ran:
        ran = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONUTF8": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    return run


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    """Starts a server of ours on a thread and answers its URL: `serving("parrot", api_key=...)`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[antiphon_server.Server] = []

    async def stop() -> None:
        for server in servers:
            server.close()
            await server.wait_closed()

    def start(brain: antiphon_server.BrainChoice, *, api_key: str | None = None) -> str:
        started = asyncio.run_coroutine_threadsafe(antiphon_server.serve(brain, api_key=api_key), loop)
        servers.append(started.result(SECONDS))
        return servers[-1].url

    try:
        yield start
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Starts a TCP server that answers whatever it is asked with these bytes, and answers its URL."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=_answer_all, args=(listener, answer)))
        threads[-1].start()
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(SECONDS)


def _answer_all(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer:
            peer.recv(65536)
            peer.sendall(answer)
