"""L3 strong refusal: after `LocalProtocolError`, `snapshot(now)` equals the one before, at the same `now`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from antiphon import inputs

from .strategies import ORDERLY, acts, bytes_commands, commands, examples, setups
from .values import (
    MS,
    SIDES,
    Act,
    Engine,
    Entropy,
    Outcome,
    Refused,
    Setup,
    Side,
    Stepper,
    attempt,
    replay,
    script_of,
    session_of,
)
from .world import World

_NEVER_REFUSED = (inputs.MessageReceived, inputs.DataReceived, inputs.Tick, inputs.EofReceived)


def check_l03(setup: Setup, script: Sequence[Act]) -> Counter[str]:
    """No refusal changes anything that can be seen: not the snapshot, not the deadline, no entropy, and nothing that
    comes later. Answers how often each rule refused."""
    entropy: dict[Side, Entropy] = {}
    refused: Counter[str] = Counter()

    def watch(side: Side, engine: Engine, input: inputs.Input, now: int) -> Outcome:
        if isinstance(input, _NEVER_REFUSED):
            return attempt(engine, input, now)
        session = session_of(engine)
        before = session.snapshot(now), engine.deadline, engine.closed, engine.generation, entropy[side].drawn
        outcome = attempt(engine, input, now)
        if isinstance(outcome, Refused):
            refused[outcome.rule] += 1
            after = session.snapshot(now), engine.deadline, engine.closed, engine.generation, entropy[side].drawn
            assert after == before, (input, outcome)
        return outcome

    world = World(setup, watch)
    entropy.update(world.entropy)
    world.play(script)
    for side in SIDES:
        accepted = [line for line in world.trace[side] if not isinstance(line.outcome, Refused)]
        again = replay(setup.engine(side, setup.entropy(side)), accepted)
        assert again == accepted, "a refusal had changed what came later"
        check_time(side, world.engines[side], world.now)
    return refused


def check_time(side: Side, engine: Engine, now: int) -> None:
    """Time that goes back is refused by every method, and changes nothing."""
    if engine.closed is not None:
        return
    earlier = session_of(engine).now - 1
    for input in (inputs.Tick(), inputs.Close(), inputs.Interrupt(), inputs.SpeechStarted(0), inputs.EofReceived()):
        before = session_of(engine).snapshot(now)
        outcome = attempt(engine, input, earlier)
        if outcome != ():  # nobody is there who would notice
            assert isinstance(outcome, Refused), (side, input, outcome)
        assert session_of(engine).snapshot(now) == before


@examples(120)
@given(st.data())
def test_a_refused_command_changes_nothing(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper))
    pushed = st.builds(Act, st.just("push"), st.integers(0, 1), st.integers(0, 11), commands())
    check_l03(setup, data.draw(st.lists(st.one_of(acts(ORDERLY), pushed), min_size=0, max_size=40)))


@examples(60)
@given(st.data())
def test_a_refused_command_of_the_bytes_level_changes_nothing(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["bytes"]))
    anything = st.one_of(bytes_commands(), commands())
    pushed = st.builds(Act, st.just("push"), st.integers(0, 1), st.just(0), anything)
    check_l03(setup, data.draw(st.lists(st.one_of(acts(ORDERLY), pushed, pushed), min_size=0, max_size=25)))


def test_the_examples_are_refused_for_many_reasons(stepper: Stepper) -> None:
    """A law about refusals needs refusals: scripts of the same kind meet most of the rules that can refuse."""
    refused: Counter[str] = Counter()
    for seed in range(40):
        script = script_of(seed, 60, [*ORDERLY, "close"])
        refused += check_l03(Setup(stepper=stepper, seed=seed, on_active="refuse", early=3), script)
    assert {"R-Q1", "R-Q7", "R-I1", "R-I3", "R-C5", "R-N4"} <= set(refused)


def test_a_millisecond_back_is_a_refusal(stepper: Stepper) -> None:
    world = World(Setup(stepper=stepper)).play([Act("wait", 3)])
    for side in SIDES:
        outcome = attempt(world.engines[side], inputs.Tick(), world.now - 5000 * MS)
        assert isinstance(outcome, Refused)
        assert outcome.rule == "R-N3"
