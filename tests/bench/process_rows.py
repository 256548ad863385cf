"""Rows that need processes of their own: imports, and whole clients over loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.timing import Row

IMPORT_ROUNDS = 15
E2E = Path(__file__).parent / "e2e"
NOT_HERE = 3
"""Exit code of `e2e/receive.py` for a client that does not exist here."""

_IMPORT = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def imports(rounds: int = IMPORT_ROUNDS) -> list[Row]:
    """What an import adds to a bare interpreter, in fresh processes, from byte code as an installed package has it."""
    variants = {"ours": "antiphon", "peers": "msgspec, transitions, pybase64"}
    taken: dict[str, list[float]] = {name: [] for name in variants}
    with TemporaryDirectory() as byte_code:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": byte_code}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for round_number in range(rounds + 1):
            for name, modules in variants.items():
                cost = float(_run([sys.executable, "-c", _IMPORT.format(modules)], environment))
                if round_number:  # the first one wrote the byte code, and filled the system's caches
                    taken[name].append(cost * 1000)
    ratio = median(one / other for one, other in zip(taken["ours"], taken["peers"], strict=True))
    return [
        Row(
            "import antiphon",
            "msgspec + transitions + pybase64",
            median(taken["ours"]),
            median(taken["peers"]),
            "ms",
            ratio,
            3,
        )
    ]


# -- whole clients -----------------------------------------------------------------------------------------------------

ADAPTERS = ("antiphon_asyncio", "antiphon_trio", "antiphon_threads")


def saturated(rounds: int = 7, events: int = 30_000) -> tuple[list[Row], list[str]]:
    """CPU per text delta while the sender writes as fast as it can; the rows, and the adapters that do not exist."""
    rows: list[Row] = []
    taken, absent = _receive(("websockets", "openai", *ADAPTERS), rounds, events, {"openai": events // 10}, pause_ms=0)
    for adapter in ADAPTERS:
        if adapter in absent:
            continue
        for peer, peer_name, budget in (
            ("openai", "openai-python", 0.1),
            ("websockets", "websockets, not parsing", 1.5),
        ):
            if peer in absent:
                continue
            rows.append(_row(f"{adapter}, CPU per text delta, saturating", adapter, peer, peer_name, budget, taken))
    return rows, absent


def paced(rounds: int = 5, events: int = 300, pause_ms: int = 10) -> tuple[list[Row], list[str]]:
    """The same while one delta comes every ``pause_ms``, as a model speaks."""
    taken, absent = _receive(("websockets", *ADAPTERS), rounds, events, {}, pause_ms)
    what = f"CPU per text delta, every {pause_ms} ms"
    rows = [
        _row(f"{adapter}, {what}", adapter, "websockets", "websockets, not parsing", 1.1, taken)
        for adapter in ADAPTERS
        if adapter not in absent
    ]
    return rows, absent


def _row(name: str, ours: str, peer: str, peer_name: str, budget: float, taken: dict[str, list[float]]) -> Row:
    ratio = median(one / other for one, other in zip(taken[ours], taken[peer], strict=True))
    return Row(name, peer_name, median(taken[ours]), median(taken[peer]), "us", ratio, budget)


def _receive(
    clients: Sequence[str], rounds: int, events: int, fewer: dict[str, int], pause_ms: int
) -> tuple[dict[str, list[float]], list[str]]:
    """CPU per event, us, of each client in each round, and the clients that are not there. ``fewer``: events of those
    who would take too long."""
    taken: dict[str, list[float]] = {client: [] for client in clients}
    absent: list[str] = []
    for _ in range(rounds):
        for client in clients:
            if client in absent:
                continue
            with _sender(fewer.get(client, events), pause_ms) as port:
                cost = _cost(client, port)
            if cost is None:
                absent.append(client)
            else:
                taken[client].append(cost)
    return taken, absent


@contextmanager
def _sender(events: int, pause_ms: int) -> Iterator[int]:
    """A sender for one client, in a process of its own."""
    command = [sys.executable, str(E2E / "send.py"), str(events), str(pause_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        try:
            assert sender.stdout is not None
            yield int(sender.stdout.readline())
        finally:
            sender.terminate()


def _cost(client: str, port: int) -> float | None:
    try:
        answer = json.loads(_run([sys.executable, str(E2E / "receive.py"), client, str(port)]))
    except subprocess.CalledProcessError as error:
        if error.returncode == NOT_HERE:
            return None
        raise
    cost: float = answer["us_per_event"]
    return cost


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
