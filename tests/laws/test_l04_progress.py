"""L4 progress: after `tick(now)` the deadline is None or > now; a tick before the deadline returns `()`; every duration
is > 0."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from antiphon import Durations, Timer, inputs

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups
from .values import MS, SIDES, Act, Engine, Outcome, Setup, Side, Stepper, attempt
from .world import World


def check_l04(setup: Setup, script: Sequence[Act]) -> None:
    """Ticks are idle before the deadline and make progress at it; nothing is ever armed for an instant that came."""

    def watch(_side: Side, engine: Engine, input: inputs.Input, now: int) -> Outcome:
        due = engine.deadline
        outcome = attempt(engine, input, now)
        if isinstance(input, inputs.Tick):
            if due is None or due > now:
                assert outcome == (), "a tick before the deadline did something"
            assert engine.deadline is None or engine.deadline > now, "a tick left its deadline where it was"
        elif due is None or due > now:
            assert engine.deadline is None or engine.deadline > now, "a timer was armed for an instant that is over"
        _check_reason(engine)
        return outcome

    world = World(setup, watch).play(script)
    for _ in range(12):  # from here on by ticks alone, each at its deadline and one before it
        for side in SIDES:
            engine = world.engines[side]
            deadline = engine.deadline
            if deadline is None:
                continue
            if deadline - 1 > world.now:
                world.now = deadline - 1
                world.feed(side, inputs.Tick())
            world.now = max(world.now, deadline)
            world.feed(side, inputs.Tick())


def _check_reason(engine: Engine) -> None:
    reason = engine.next_timer
    assert (None if reason is None else reason[1]) == engine.deadline
    assert reason is None or isinstance(reason[0], Timer)


@examples(150)
@given(st.data())
def test_every_tick_is_idle_or_makes_progress(stepper: Stepper, data: st.DataObject) -> None:
    check_l04(data.draw(setups(stepper)), data.draw(scripts(BROKEN)))


@examples(50)
@given(st.data())
def test_so_it_is_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    check_l04(data.draw(setups(stepper)), data.draw(hostile_scripts(30)))


@pytest.mark.parametrize("duration", structs.fields(Durations), ids=lambda field: field.name)
def test_a_duration_of_nothing_is_refused(duration: structs.FieldInfo) -> None:
    for value in (0, -1, -5 * MS):
        with pytest.raises(ValueError, match=duration.name):
            Durations(**{duration.name: value})


def test_every_default_duration_is_positive() -> None:
    assert all(getattr(Durations(), field.name) > 0 for field in structs.fields(Durations))
