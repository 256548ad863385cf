"""L12 purity: with clock, entropy, sockets, files and threads replaced by functions that fail, all of the above still
hold."""

from __future__ import annotations

import ast
import builtins
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups
from .test_l05_determinism import fingerprint
from .values import SIDES, Act, Setup, Stepper, replay
from .world import World

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "antiphon"
ADAPTERS = ROOT / "adapters"

# -- while it runs -----------------------------------------------------------------------------------------------------


class Impure(AssertionError):
    """The engine reached for the world."""


def _failing(name: str) -> Callable[..., NoReturn]:
    def fail(*_args: object, **_options: object) -> NoReturn:
        raise Impure(f"{name} was called")

    return fail


_CALLABLES = (types.FunctionType, types.MethodType, types.BuiltinMethodType, type)


def _doors() -> Iterator[tuple[Any, str]]:
    """Everything of the standard library that leads out: (the module or class, the name)."""
    clock = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "sleep", "localtime", "gmtime")
    yield from ((time, name) for base in clock for name in (base, f"{base}_ns") if hasattr(time, name))
    files = ("urandom", "getrandom", "open", "getenv", "stat", "listdir")
    yield from ((os, name) for name in files if hasattr(os, name))
    for module in (secrets, random):
        for name, value in vars(module).items():
            if not name.startswith("_") and isinstance(value, _CALLABLES):
                yield module, name
    yield from ((socket, name) for name in ("socket", "create_connection", "getaddrinfo", "socketpair"))
    yield builtins, "open"
    yield threading.Thread, "start"
    yield threading, "Timer"


@contextmanager
def sealed() -> Iterator[None]:
    """Inside of this, every door fails; `datetime.now` cannot be replaced, and the imports below exclude it."""
    doors = [(place, name, getattr(place, name)) for place, name in _doors()]
    for place, name, _ in doors:
        setattr(place, name, _failing(f"{getattr(place, '__name__', place)}.{name}"))
    try:
        yield
    finally:
        for place, name, value in doors:
            setattr(place, name, value)


def check_l12(setup: Setup, script: Sequence[Act]) -> None:
    """A script played with all doors shut, snapshots, restores and replays included, is the one played with them open.
    (What is made once, decoders and lazy imports, the first run has made.)"""
    before = World(setup).play(script)
    for side in SIDES:
        before.engines[side].snapshot(before.now)
    with sealed():
        world = World(setup).play(script)
        world.finish()
        for side in SIDES:
            world.engines[side].snapshot(world.now).encode()
            replay(setup.engine(side, setup.entropy(side)), world.trace[side])
    for side in SIDES:
        trace = before.trace[side]
        assert fingerprint(world.trace[side][: len(trace)]) == fingerprint(trace)


@examples(60)
@given(st.data())
def test_an_engine_runs_behind_closed_doors(stepper: Stepper, data: st.DataObject) -> None:
    check_l12(data.draw(setups(stepper)), data.draw(scripts(BROKEN)))


@examples(40)
@given(st.data())
def test_so_it_does_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    setup, script = data.draw(setups(stepper)), data.draw(hostile_scripts(30))
    world = World(setup).play(script)
    with sealed():
        for side in SIDES:
            again = replay(setup.engine(side, setup.entropy(side)), world.trace[side])
            assert again == world.trace[side]


def test_the_doors_are_shut() -> None:
    """What would prove nothing if it failed to fail."""
    with sealed():
        calls: list[Callable[[], object]] = [
            time.monotonic,
            time.time_ns,
            random.random,
            secrets.token_bytes,
            socket.socket,
            threading.Thread().start,
            lambda: os.urandom(4),
            lambda: open(__file__),  # noqa: SIM115 - nothing is opened
        ]
        for call in calls:
            with pytest.raises(Impure):
                call()
    assert time.monotonic() > 0


_AUDITED = """
import sys
from laws.values import Setup, script_of
from laws.world import World
from laws.strategies import BROKEN
from laws.test_l05_determinism import fingerprint

def play():
    for seed in range(8):
        setup = Setup(level="bytes" if seed % 2 else "message", seed=seed)
        world = World(setup).play(script_of(seed, 60, BROKEN))
        for side in ("client", "server"):
            world.engines[side].snapshot(world.now)
            yield fingerprint(world.trace[side])

first = list(play())
armed = True
def hook(event, arguments):
    if armed and event.partition(".")[0] in ("open", "import", "socket", "subprocess", "os", "compile", "exec"):
        raise RuntimeError(event)
sys.addaudithook(hook)
second = list(play())
armed = False
assert first == second
print("quiet")
"""


def test_the_interpreter_sees_no_file_socket_process_or_import() -> None:
    """Audit events tell of what no replaced function would: they come from below Python."""
    path = os.pathsep.join([str(ROOT / "tests"), *(entry for entry in sys.path if entry)])
    run = subprocess.run(
        [sys.executable, "-c", _AUDITED],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert run.stdout.strip() == "quiet", run.stderr[-2000:]


# -- what it imports ---------------------------------------------------------------------------------------------------

FORBIDDEN = frozenset(
    ("asyncio", "trio", "anyio", "socket", "ssl", "select", "selectors", "threading", "multiprocessing", "concurrent",
     "subprocess", "time", "datetime", "random", "secrets", "uuid", "tempfile", "os", "pathlib", "io", "logging")
)  # fmt: skip

_ORDER = {"messages": 0, "machines": 1, "engine": 2, "toolkit": 3, "agent": 3, "testing": 3}

DOCUMENTED = frozenset(
    (
        "antiphon",
        "antiphon.messages",
        "antiphon.messages.values",
        "antiphon.machines",
        "antiphon.toolkit",
        "antiphon.toolkit.tables",  # columns have short names, which belong behind their module's
        "antiphon.engine.codec",  # one event from its text, for files of events
        "antiphon.engine.conversation",  # the class behind `Session.conversation`, for annotations
    )
)
"""Modules whose names an adapter may use."""


def imported(path: Path, root: Path) -> list[tuple[int, str]]:
    """Every module that a file imports, with its line; relative names are made absolute from ``root``."""
    package = path.relative_to(root).parts[:-1]
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join((*base, node.module)) if node.module else ".".join(base)
            found.append((node.lineno, name))
            if name == "antiphon":  # a name of the package may be one of its rooms
                found += [(node.lineno, f"{name}.{alias.name}") for alias in node.names if alias.name in _ORDER]
    return found


def _sources(folder: Path) -> list[Path]:
    if not folder.exists():
        pytest.skip(f"{folder.name}/ is absent: this is not a source tree")
    return sorted(folder.rglob("*.py"))


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "antiphon" and len(parts) > 1 else None


def forbidden_imports(folder: Path, root: Path) -> list[str]:
    """Each import of a forbidden module by a file of ``folder``; modules are named from ``root``."""
    return [
        f"{path.relative_to(root)}:{line} imports {name}"
        for path in _sources(folder)
        for line, name in imported(path, root)
        if name.partition(".")[0] in FORBIDDEN
    ]


def backward_imports(folder: Path, root: Path) -> list[str]:
    """Each import against messages → machines → engine → {toolkit, agent, testing} → adapters, inside of ``folder``."""
    wrong: list[str] = []
    for path in _sources(folder):
        here = _room(".".join(path.relative_to(root).parts[:-1]))
        if here is None:
            continue  # the package's own module may name them all
        for line, name in imported(path, root):
            there = _room(name)
            turned = there is not None and there != here and _ORDER[there] >= _ORDER[here]
            if turned or name.partition(".")[0].startswith("antiphon_"):
                wrong.append(f"{path.relative_to(root)}:{line} imports {name}")
    return wrong


def test_no_file_of_the_library_imports_a_clock_a_socket_or_chance() -> None:
    assert forbidden_imports(SRC, SRC.parent) == []


def test_arrows_between_the_rooms_never_turn_back() -> None:
    assert backward_imports(SRC, SRC.parent) == []


def test_adapters_use_public_modules_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in _sources(ADAPTERS)
        for line, name in imported(path, ADAPTERS)
        if name.partition(".")[0] == "antiphon" and name not in DOCUMENTED
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["antiphon", "antiphon.messages", "antiphon.machines", "antiphon.toolkit"])
def test_an_import_loads_nothing_that_could_touch_the_world(module: str) -> None:
    """`websockets` comes with `Connection`, on first use. (`threading`, `time` and `uuid` come with msgspec.)"""
    heavy = ("asyncio", "ssl", "socket", "select", "selectors", "random", "secrets", "websockets", "trio")
    program = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    loaded, bare = (
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60).stdout
        for text in (program, program.replace(f", {module}", ""))
    )
    assert loaded == bare
