"""Law L8, the mechanical half: the compiled stepper and the `transitions` library make the same moves.

Every cell of every published table is tried with every answer its guards can give, then random walks are compared.
Guards and effects are stubs here: what a row means is the engine's, which row is taken is the table's.
"""

import itertools
import random
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from antiphon.machines import (
    MACHINES,
    MachineSpec,
    Row,
    Stateful,
    Stepper,
    Table,
    build_table,
    compiled_step,
    transitions_step,
)

VIEWS = [(name, role) for name, spec in MACHINES.items() for role in spec.roles]
NOT_IN_ANY_TABLE = "internal.nobody_has_a_row_for_this"


class Thing:
    """The smallest object that can be stepped."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class World:
    """Stands for the engine: says what each guard answers, and hears what was called, in which state."""

    def __init__(self, answers: dict[str, bool]) -> None:
        self.answers = answers
        self.heard: list[tuple[str, str, object]] = []


def stub_guard(name: str) -> object:
    def guard(obj: Stateful, engine: World, event: object) -> bool:
        engine.heard.append((f"guard {name}", obj.state, event))
        return engine.answers[name]

    return guard


def stub_effect(name: str) -> object:
    def effect(obj: Stateful, engine: World, event: object) -> None:
        engine.heard.append((f"effect {name}", obj.state, event))

    return effect


def stubbed(name: str, role: str) -> Table:
    spec: MachineSpec = MACHINES[name].view(role)
    functions = {row.guard: stub_guard(row.guard) for row in spec.rows if row.guard is not None}
    functions |= {row.effect: stub_effect(row.effect) for row in spec.rows if row.effect is not None}
    return build_table(spec, SimpleNamespace(**functions))


def events_of(table: Table) -> list[str]:
    return sorted({on for cell in table.cells.values() for on in cell})


def valuations(rows: tuple[Row, ...]) -> Iterator[dict[str, bool]]:
    names = sorted({row.guard_name for row in rows if row.guard_name is not None})
    for answers in itertools.product((True, False), repeat=len(names)):
        yield dict(zip(names, answers, strict=True))


def outcome(
    step: Stepper, table: Table, state: str, on: str, answers: dict[str, bool]
) -> tuple[Row | None, str, list[tuple[str, str, object]]]:
    """The row taken, the state after it, and every call in between."""
    thing, world = Thing(state), World(answers)
    row = step(table, thing, on, world, "the event")
    return row, thing.state, world.heard


@pytest.mark.parametrize(("name", "role"), VIEWS)
def test_both_steppers_agree_on_every_cell_for_every_guard_valuation(name: str, role: str) -> None:
    table = stubbed(name, role)
    for state, on in itertools.product(table.states, events_of(table)):
        for answers in valuations(table.cells[state].get(on, ())):
            compiled = outcome(compiled_step, table, state, on, answers)
            library = outcome(transitions_step, table, state, on, answers)
            assert compiled == library, (state, on, answers)
            assert compiled[0] is library[0], "the same row object, not an equal one"


@pytest.mark.parametrize(("name", "role"), VIEWS)
def test_both_steppers_refuse_an_event_that_no_row_names(name: str, role: str) -> None:
    table = stubbed(name, role)
    for step, state in itertools.product((compiled_step, transitions_step), table.states):
        assert outcome(step, table, state, NOT_IN_ANY_TABLE, {}) == (None, state, [])


@pytest.mark.parametrize(("name", "role"), VIEWS)
def test_both_steppers_agree_with_the_rows_of_the_specification(name: str, role: str) -> None:
    table, spec = stubbed(name, role), MACHINES[name].view(role)
    for state, on in itertools.product(table.states, events_of(table)):
        for answers in valuations(table.cells[state].get(on, ())):
            expected = next(
                (
                    row
                    for row in spec.rows
                    if row.on == on and state in row.source and answers.get(row.guard or "", True)
                ),
                None,
            )
            taken, after, _ = outcome(compiled_step, table, state, on, answers)
            if expected is None:
                assert (taken, after) == (None, state)
            else:
                assert taken is not None
                assert after == (expected.dest or state)
                assert (taken.machine, taken.on, taken.source, taken.dest) == (name, on, state, expected.dest)
                assert (taken.guard_name, taken.effect_name) == (expected.guard, expected.effect)
                assert (taken.rule, taken.report) == (expected.rule, expected.report)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "role"), VIEWS)
def test_random_walks_leave_the_same_trace_under_both_steppers(name: str, role: str, seed: int) -> None:
    table, choose = stubbed(name, role), random.Random(f"{name} {role} {seed}")
    events = events_of(table)
    rows = {row for cell in table.cells.values() for rows in cell.values() for row in rows}
    guards = sorted({row.guard_name for row in rows if row.guard_name is not None})
    walk = [(choose.choice(events), {guard: choose.random() < 0.5 for guard in guards}) for _ in range(150)]
    traces = []
    for step in (compiled_step, transitions_step):
        thing, world, trace = Thing(table.initial), World({}), []
        for number, (on, answers) in enumerate(walk):
            world.answers = answers
            if not table.cells[thing.state]:  # a final state without rows: begin again
                thing.state = table.initial
            trace.append((step(table, thing, on, world, number), thing.state))
        traces.append((trace, world.heard))
    assert traces[0] == traces[1]
