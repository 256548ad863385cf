"""L5 determinism: same inputs, times and entropy → same actions, byte for byte, whatever the call depth, machine or
process."""

from __future__ import annotations

import hashlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from antiphon import Deliver, PlayAudio, Transmit, TransmitMessage

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups
from .values import SIDES, Act, Line, Setup, Stepper, replay, script_of
from .world import World

T = TypeVar("T")
ROOM = 250
"""Frames that are left for the engine at the deepest call."""


def fingerprint(lines: Sequence[Line]) -> str:
    """All actions of a trace, in a form that two processes can compare: reprs, and the bytes that they hide."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(repr((line.now, line.outcome)).encode("utf-8", "backslashreplace"))
        for action in line.actions:
            hidden: bytes | str = b""
            if isinstance(action, Transmit):
                hidden = action.data
            elif isinstance(action, TransmitMessage):
                hidden = action.text
            elif isinstance(action, PlayAudio):
                hidden = action.audio
            elif isinstance(action, Deliver):
                hidden = action.raw
            digest.update(hidden if isinstance(hidden, bytes) else hidden.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def deep(call: Callable[[], T], room: int = ROOM) -> T:
    """``call``, with only ``room`` frames of stack left to it."""
    return _descend(call, sys.getrecursionlimit() - len(inspect.stack(0)) - room)


def _descend(call: Callable[[], T], frames: int) -> T:
    return call() if frames <= 0 else _descend(call, frames - 1)


def check_l05(setup: Setup, script: Sequence[Act]) -> None:
    """A script played twice, and its traces replayed deep in the stack, lead to the same."""
    first, second = World(setup).play(script), World(setup).play(script)
    for side in SIDES:
        trace = first.trace[side]
        assert second.trace[side] == trace, "a second run differs"
        assert fingerprint(second.trace[side]) == fingerprint(trace)
        again = deep(lambda side=side, trace=trace: replay(setup.engine(side, setup.entropy(side)), trace))  # type: ignore[misc]  # the default arguments bind the loop's variables
        assert again == trace, "the depth of the call shows"


def fingerprints(stepper: Stepper) -> list[str]:
    """Fixed conversations, as the other process of the test below computes them too."""
    found: list[str] = []
    for seed in range(12):
        setup = Setup(level="bytes" if seed % 2 else "message", seed=seed, stepper=stepper, retain=seed % 3 == 0)
        world = World(setup).play(script_of(seed, 50, BROKEN))
        found += [fingerprint(world.trace[side]) for side in SIDES]
    return found


@examples(80)
@given(st.data())
def test_two_runs_are_equal_at_any_depth_of_the_stack(stepper: Stepper, data: st.DataObject) -> None:
    check_l05(data.draw(setups(stepper)), data.draw(scripts(BROKEN)))


@examples(50)
@given(st.data())
def test_so_they_are_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    check_l05(data.draw(setups(stepper)), data.draw(hostile_scripts(30)))


def test_another_process_with_another_hash_seed_does_the_same(stepper: Stepper) -> None:
    program = f"from laws.test_l05_determinism import fingerprints; print(*fingerprints({stepper!r}))"
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests), *(entry for entry in sys.path if entry)])
    here = fingerprints(stepper)
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=100
        )
        assert run.stdout.split() == here
