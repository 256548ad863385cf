"""A recorded engine can be lived through again: the same actions, the same state, whatever it was told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from antiphon import LocalProtocolError, Transmit
from antiphon.toolkit.journal import read_lines
from antiphon.toolkit.recorder import Journal, Recorder
from antiphon.toolkit.replay import Digest, NotReplayable, Replay, Step, Steps

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups
from .values import EPOCH, SECRET, SIDES, Line, Setup, Side, Stepper, script_of
from .world import World


def record(setup: Setup, side: Side, lines: Sequence[Line]) -> bytes:
    """The journal of an engine that is told what a trace says."""
    journal = bytearray()
    faults: list[Exception] = []
    recorder = Recorder(Journal(journal.extend, failed=faults.append))
    source = setup.entropy(side)
    engine = setup.engine(side, recorder.drawing(source))  # type: ignore[arg-type]  # any source of bytes will do
    recorder.begin(engine, EPOCH)
    for line in lines:
        try:
            recorder.handle(line.input, line.now)
        except LocalProtocolError:
            continue
    recorder.end()
    assert not faults
    return bytes(journal)


def play(journal: bytes) -> tuple[Replay, list[Step]]:
    """The replay of a journal, and its steps. Raises `NotReplayable`."""
    steps = Steps(read_lines(journal.splitlines(keepends=True)))
    replay = Replay(steps.birth)
    played = []
    for step in steps:
        replay.play(step)
        if isinstance(step, Digest):
            assert replay.divergence is None or replay.divergence.line <= step.number
        else:
            played.append(step)
    return replay, played


def check(setup: Setup, script: Sequence[object]) -> None:
    world = World(setup).play(script)  # type: ignore[arg-type]  # a list of acts
    for side in SIDES:
        journal = record(setup, side, world.trace[side])
        assert SECRET.encode() not in journal
        try:
            replay, _ = play(journal)
        except NotReplayable as error:
            assume("could not be written down whole" not in str(error))
            raise
        assert replay.divergence is None, replay.divergence
        assert replay.checked >= 1
        assert replay.actions == sum(len(line.actions) for line in world.trace[side])


@examples(60)
@given(st.data())
def test_what_was_recorded_replays_to_the_same_actions_and_state(stepper: Stepper, data: st.DataObject) -> None:
    check(data.draw(setups(stepper)), data.draw(scripts(BROKEN)))


@examples(30)
@given(st.data())
def test_so_it_does_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    check(data.draw(setups(stepper)), data.draw(hostile_scripts(30)))


@pytest.mark.parametrize("level", ["message", "bytes"])
def test_ten_replays_of_ten_are_the_same(level: str) -> None:
    for seed in range(6):
        setup = Setup(level=level, seed=seed, servers=2)  # type: ignore[arg-type]  # one of the two
        world = World(setup).play(script_of(seed, 60, BROKEN))
        journal = record(setup, "client", world.trace["client"])
        replays = [play(journal)[0] for _ in range(10)]
        assert {replay.divergence for replay in replays} == {None}


def test_a_replayed_engine_writes_the_very_bytes_of_the_recorded_one() -> None:
    setup = Setup(level="bytes", seed=5)
    world = World(setup).play(script_of(5, 60, BROKEN))
    lines = world.trace["server"]
    steps = Steps(read_lines(record(setup, "server", lines).splitlines(keepends=True)))
    replay = Replay(steps.birth)
    written = [action.data for step in steps for action in replay.play(step) if isinstance(action, Transmit)]
    assert written == [action.data for line in lines for action in line.actions if isinstance(action, Transmit)]


def test_an_engine_that_does_something_else_is_told_with_the_line() -> None:
    setup = Setup(level="message", seed=7)
    world = World(setup).play(script_of(7, 60, BROKEN))
    journal = record(setup, "server", world.trace["server"])
    rows = journal.splitlines(keepends=True)
    changed = next(index for index, row in enumerate(rows) if b'"session.created"' in row)
    rows[changed] = rows[changed].replace(b'"session.created"', b'"session.updated"')
    replay, _ = play(b"".join(rows))
    assert replay.divergence is not None
    assert replay.divergence.line <= changed + 1
    assert "session.updated" in replay.divergence.recorded
    assert "session.created" in replay.divergence.replayed
