"""L7 finality: `Closed` once, last; afterwards inputs from the transport, `tick` and `close` return `()`, commands are
local errors, no deadline."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from antiphon import Closed, Disconnected, inputs

from .strategies import (
    BROKEN,
    bytes_commands,
    commands,
    event_texts,
    examples,
    frames,
    hostile_scripts,
    scripts,
    setups,
    transport_inputs,
)
from .values import SIDES, Act, Engine, Line, Refused, Setup, Side, Stepper, attempt
from .world import World

TRANSPORT = (
    inputs.MessageReceived,
    inputs.EventReceived,
    inputs.DataReceived,
    inputs.EofReceived,
    inputs.TransportFailed,
    inputs.Opened,
    inputs.Tick,
    inputs.Close,
)
"""What the transport and its driver may still say; everything else is a command of the application."""


def check_l07(lines: Sequence[Line], engine: Engine) -> None:
    """One trace has at most one end, and nothing behind it."""
    actions = [action for line in lines for action in line.actions]
    ends = [number for number, action in enumerate(actions) if isinstance(action, Closed)]
    assert len(ends) <= 1, "closed twice"
    assert bool(ends) == (engine.closed is not None)
    if not ends:
        return
    assert ends == [len(actions) - 1], f"behind the end: {actions[ends[0] + 1 :]!r}"
    assert actions[-1] == engine.closed
    assert engine.deadline is None
    assert engine.next_timer is None
    closing = next(number for number, line in enumerate(lines) if line.actions and isinstance(line.actions[-1], Closed))
    for line in lines[closing + 1 :]:
        if isinstance(line.input, TRANSPORT):
            assert line.outcome == (), line
        else:
            assert isinstance(line.outcome, Refused), line
    gone = [action.generation for action in actions if isinstance(action, Disconnected) and action.retry_at is None]
    assert len(gone) == len(set(gone)), "the end of one socket was told twice"


def check_after(engine: Engine, lines: list[Line], later: Sequence[inputs.Input], now: int) -> None:
    """Whatever is said to an engine that has ended: it keeps the law."""
    for input in later:
        lines.append(Line(now, input, attempt(engine, input, now)))
    check_l07(lines, engine)


def _later(setup: Setup, side: Side) -> st.SearchStrategy[list[inputs.Input]]:
    received: st.SearchStrategy[inputs.Input]
    if setup.level == "bytes":
        received = frames().map(inputs.DataReceived)
        asked = st.one_of(commands(), bytes_commands())
    else:
        received = event_texts().map(inputs.MessageReceived)
        asked = commands()
    return st.lists(st.one_of(transport_inputs(), received, asked), max_size=15)


@examples(120)
@given(st.data())
def test_an_end_is_the_end(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper))
    world = World(setup).play(data.draw(scripts(BROKEN, 30)))
    world.finish()
    for side in SIDES:
        check_after(world.engines[side], world.trace[side], data.draw(_later(setup, side)), world.now)


@examples(80)
@given(st.data())
def test_so_it_is_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper))
    world = World(setup).play(data.draw(hostile_scripts(30)))
    for side in SIDES:
        check_l07(world.trace[side], world.engines[side])


def test_an_engine_that_never_had_a_socket_ends_all_the_same(stepper: Stepper) -> None:
    world = World(Setup(stepper=stepper, early=9)).play([Act("say"), Act("ask"), Act("close", 0), Act("close", 0)])
    check_l07(world.trace["client"], world.engines["client"])
    assert world.engines["client"].closed is not None
