"""L8 table agreement: every move is a row of `spec/`; the compiled stepper equals `transitions` cell by cell and trace
by trace. (Cell by cell: ``tests/tables/test_equal.py``.)"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import Session
from antiphon.machines import STEPPERS, Row, Stateful, Table
from antiphon.machines import Stepper as StepFunction

from .strategies import BROKEN, FRAGILE, ORDERLY, examples, hostile_scripts, scripts, setup_of, setups
from .values import SIDES, Act, Setup, Stepper, script_of, with_stepper
from .world import World

SPEC = Path(__file__).resolve().parents[2] / "spec" / "machines"


class PublishedRow(NamedTuple):
    """A row of ``spec/machines``, for one state that it leads out of."""

    on: str
    source: str
    dest: str | None
    guard: str | None
    effect: str | None
    rule: str
    report: bool


class Step(NamedTuple):
    """One step, and the row that was taken, as the specification writes it; None when none was."""

    role: str
    table: str
    on: str
    before: str
    after: str
    row: PublishedRow | None


class Recorder:
    """Stands before a stepper and writes down what it does, and to what."""

    def __init__(self, step: StepFunction) -> None:
        self._step = step
        self.steps: list[Step] = []
        self._known: dict[int, tuple[Stateful, str]] = {}  # the object is held, so that its id stays its own

    def __call__(self, table: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
        before = obj.state
        _, expected = self._known.pop(id(obj), (obj, before))
        assert before == expected, f"the state of a {table.name} was written outside of the stepper"
        number = len(self.steps)
        self.steps.append(Step("", table.name, on, before, before, None))  # the steps of its effect stand behind it
        row = self._step(table, obj, on, engine, event)
        after = before if row is None or row.dest is None else row.dest
        if id(obj) not in self._known:  # no inner step of the same object, so nobody else may have moved it
            assert obj.state == after, f"{table.name} is {obj.state!r} after a step to {after!r}"
        self._known[id(obj)] = obj, obj.state
        role = str(getattr(engine, "role", ""))
        self.steps[number] = Step(role, table.name, on, before, after, None if row is None else _published_form(row))
        return row

    def check_end(self) -> None:
        """Nothing has been written since the last step of each object either."""
        for obj, state in self._known.values():
            assert obj.state == state, f"a state was written outside of the stepper: {state!r} became {obj.state!r}"


@contextmanager
def recorded(stepper: Stepper) -> Iterator[Recorder]:
    """Every session that is made inside of this steps through the recorder."""
    steppers = cast(dict[str, StepFunction], STEPPERS)
    real = steppers[stepper]
    recorder = Recorder(real)
    steppers[stepper] = recorder
    try:
        yield recorder
    finally:
        steppers[stepper] = real


def _published_form(row: Row) -> PublishedRow:
    return PublishedRow(row.on, row.source, row.dest, row.guard_name, row.effect_name, row.rule, row.report)


@cache
def published() -> dict[tuple[str, str], list[PublishedRow]]:
    """The rows of ``spec/machines`` by table and role, read from the files themselves."""
    if not SPEC.exists():
        pytest.skip("spec/ is absent: this is not a source tree")
    found: dict[tuple[str, str], list[PublishedRow]] = {}
    for path in SPEC.glob("*.toml"):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for role in table["machine"]["roles"]:
            found[path.stem, role] = [
                PublishedRow(
                    row["on"],
                    source,
                    None if row.get("stay") else row["to"],
                    row.get("guard"),
                    row.get("effect"),
                    row["rule"],
                    row.get("report", False),
                )
                for row in table["row"]
                if row.get("role", role) == role
                for source in row["from"]
            ]
    return found


def check_l08(setup: Setup, script: Sequence[Act]) -> list[Step]:
    """Both steppers take the same published rows for the same script, and both engines do the same."""
    steps: dict[Stepper, list[Step]] = {}
    traces: dict[Stepper, list[object]] = {}
    for stepper in _BOTH:
        with recorded(stepper) as recorder:
            world = World(with_stepper(setup, stepper)).play(script)
            recorder.check_end()
        steps[stepper] = recorder.steps
        traces[stepper] = [world.trace[side] for side in SIDES]
    for step in steps["compiled"]:
        rows = [row for row in published()[step.table, step.role] if (row.on, row.source) == (step.on, step.before)]
        if step.row is None:
            assert all(row.guard is not None for row in rows), f"no row was taken where one always fits: {step}"
        else:
            assert step.row in rows, f"no such row in spec/machines/{step.table}.toml: {step}"
    assert steps["transitions"] == steps["compiled"]
    assert traces["transitions"] == traces["compiled"]
    return steps["compiled"]


_BOTH: tuple[Stepper, Stepper] = ("compiled", "transitions")


@examples(70)
@given(st.data())
def test_every_move_is_a_row_and_both_steppers_make_it(data: st.DataObject) -> None:
    check_l08(data.draw(setups()), data.draw(scripts(BROKEN)))


@examples(70)
@given(st.data())
def test_so_it_is_with_a_hostile_peer(data: st.DataObject) -> None:
    check_l08(data.draw(setups()), data.draw(hostile_scripts(30)))


# -- guards ------------------------------------------------------------------------------------------------------------


def _all_of(engine: Session) -> tuple[object, int]:
    return engine.snapshot(engine.now), len(engine.out)


def _watched(asked: set[tuple[str, str | None]]) -> StepFunction:
    """The compiled stepper, and each guard is seen to leave the whole engine as it is."""

    def step(table: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
        assert isinstance(engine, Session)
        for row in table.cells[obj.state].get(on, ()):
            before = _all_of(engine)
            holds = row.guard is None or row.guard(obj, engine, event)
            assert _all_of(engine) == before, f"{row.guard_name} of {table.name} writes"
            if holds:
                asked.add((table.name, row.guard_name))
                obj.state = row.dest or obj.state
                if row.effect is not None:
                    row.effect(obj, engine, event)
                return row
        return None

    return step


def test_a_guard_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str | None]] = set()
    monkeypatch.setitem(cast(dict[str, object], STEPPERS), "compiled", _watched(asked))
    for seed in range(120):
        World(setup_of(seed)).play(script_of(seed, 40, (BROKEN, FRAGILE, ORDERLY)[seed % 3])).finish()
    assert len(asked) > 30, "or too few of them were asked"
