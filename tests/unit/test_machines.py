"""`antiphon.machines`: binding a table to functions, compiling it, and stepping it either way."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace

import pytest

from antiphon.machines import (
    MACHINES,
    STEPPERS,
    MachineSpec,
    RowSpec,
    Stateful,
    Stepper,
    Table,
    TableError,
    build,
    build_machine,
    build_table,
    compile_machine,
    compiled_step,
    transitions_step,
)

both_steppers = pytest.mark.parametrize("step", STEPPERS.values(), ids=STEPPERS.keys())


def row(
    on: str,
    source: str | tuple[str, ...],
    dest: str | None,
    guard: str | None = None,
    effect: str | None = None,
    *,
    report: bool = False,
    role: str | None = None,
) -> RowSpec:
    return RowSpec(on, (source,) if isinstance(source, str) else source, dest, guard, effect, "R-X1", report, role)


def spec(*rows: RowSpec, roles: tuple[str, ...] = ("client",)) -> MachineSpec:
    return MachineSpec("door", "shut", ("gone",), roles, ("shut", "ajar", "gone"), rows)


class Door:
    """Slots, because the library's own models could not have them."""

    __slots__ = ("state",)

    def __init__(self, state: str = "shut") -> None:
        self.state = state


class Diary:
    """Stands for the engine: what the guard answers, and what was called in which state."""

    def __init__(self, *, answer: object = True) -> None:
        self.answer = answer
        self.lines: list[tuple[str, str]] = []


class Functions:
    """Guards and effects as an engine module would write them."""

    @staticmethod
    def is_allowed(door: Stateful, diary: Diary, event: object) -> object:
        diary.lines.append(("is_allowed", door.state))
        return diary.answer

    @staticmethod
    def creak(door: Stateful, diary: Diary, event: object) -> None:
        diary.lines.append(("creak", door.state))


PUSH = spec(
    row("push", "shut", "ajar", "is_allowed", "creak"),
    row("push", "ajar", None, effect="creak", report=True),
    row("remove", ("shut", "ajar"), "gone"),
)


# ------------------------------------------------------------------------------------------------------------- binding


def test_a_missing_function_is_an_error_that_names_it() -> None:
    with pytest.raises(TableError, match=r"table 'door' does not fit .*: creak is missing"):
        build_table(PUSH, SimpleNamespace(is_allowed=Functions.is_allowed))


def test_a_name_that_is_no_function_is_an_error() -> None:
    with pytest.raises(TableError, match="creak is not callable"):
        build_table(PUSH, SimpleNamespace(is_allowed=Functions.is_allowed, creak="creak"))


def test_a_function_that_no_row_uses_is_an_error_that_names_it() -> None:
    class Spare(Functions):
        @staticmethod
        def slam(door: Stateful, diary: Diary, event: object) -> None: ...

    with pytest.raises(TableError, match="Spare: slam is not used by any row"):
        build_table(PUSH, Spare)


def test_every_misfit_is_named_at_once() -> None:
    with pytest.raises(TableError, match="is_allowed is missing; creak is missing"):
        build_table(PUSH, SimpleNamespace())


def test_what_a_namespace_inherits_or_hides_may_go_unused() -> None:
    class Shared(Functions):
        @staticmethod
        def _helper() -> None: ...

    table = build_table(spec(row("push", "shut", "ajar", effect="creak"), row("push", "ajar", "gone")), Shared)
    assert table.cells["shut"]["push"][0].effect is Functions.creak


def test_what_a_module_imports_may_go_unused_and_what_it_defines_may_not() -> None:
    module = ModuleType("effects_of_a_door")

    def imported() -> None:
        """Its home is this module, not that one."""

    vars(module).update(is_allowed=Functions.is_allowed, creak=Functions.creak, imported=imported)
    assert build_table(PUSH, module).name == "door"

    own = FunctionType(imported.__code__, {"__name__": module.__name__}, "slam")
    vars(module).update(slam=own)
    with pytest.raises(TableError, match="effects_of_a_door: slam is not used by any row"):
        build_table(PUSH, module)


def test_a_table_that_does_not_exist_cannot_be_built() -> None:
    with pytest.raises(TableError, match="there is no table 'door'"):
        build("door", Functions)


def test_a_published_table_is_built_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MACHINES, "door", PUSH)
    assert build("door", Functions).states == ("shut", "ajar", "gone")


# --------------------------------------------------------------------------------------------------------------- roles

BY_ROLE = spec(
    row("push", "shut", "ajar", role="client"),
    row("push", "shut", "gone", role="server"),
    row("remove", ("shut", "ajar"), "gone"),
    roles=("client", "server"),
)


@pytest.mark.parametrize(("role", "after"), [("client", "ajar"), ("server", "gone")])
def test_a_role_steps_its_own_rows_and_the_common_ones(role: str, after: str) -> None:
    table, door = build_table(BY_ROLE, SimpleNamespace(), role), Door()
    compiled_step(table, door, "push", None, None)
    assert door.state == after
    assert [each.dest for each in table.cells["shut"]["remove"]] == ["gone"]


def test_a_table_that_differs_by_role_wants_the_role() -> None:
    with pytest.raises(TableError, match="say which of client, server"):
        build_table(BY_ROLE, SimpleNamespace())


def test_a_role_that_the_table_does_not_have_is_an_error() -> None:
    with pytest.raises(TableError, match="no role 'server'"):
        build_table(PUSH, Functions, "server")


def test_the_role_may_be_left_out_where_the_rows_are_the_same_for_all() -> None:
    same = spec(row("push", "shut", "ajar"), row("push", "ajar", "gone"), roles=("client", "server"))
    assert build_table(same, SimpleNamespace()).cells.keys() == {"shut", "ajar", "gone"}


# ----------------------------------------------------------------------------------------------------------- compiling


def test_the_machine_is_the_library_s_own_and_knows_nothing_but_the_table() -> None:
    machine = build_machine(PUSH, Functions)
    assert set(machine.events) == {"push", "remove"}, "no automatic transitions"
    assert list(machine.states) == ["shut", "ajar", "gone"]
    assert (machine.initial, machine.models, machine.has_queue) == ("shut", [], False)


def test_the_machine_can_be_triggered_without_a_stepper() -> None:
    machine, door, diary = build_machine(PUSH, Functions), Door(), Diary()
    assert machine.events["push"].trigger(door, diary, None) is True
    assert door.state == "ajar"


def test_the_table_lists_every_state_and_only_the_cells_that_have_rows() -> None:
    table = build_table(PUSH, Functions)
    assert {state: sorted(cell) for state, cell in table.cells.items()} == {
        "shut": ["push", "remove"],
        "ajar": ["push", "remove"],
        "gone": [],
    }
    assert (table.initial, table.final) == ("shut", frozenset({"gone"}))


def test_a_row_holds_its_functions_and_says_where_it_comes_from() -> None:
    (taken,) = build_table(PUSH, Functions).cells["shut"]["push"]
    assert (taken.guard, taken.effect) == (Functions.is_allowed, Functions.creak)
    assert (taken.guard_name, taken.effect_name) == ("is_allowed", "creak")
    assert (taken.machine, taken.on, taken.source, taken.dest) == ("door", "push", "shut", "ajar")
    assert (taken.rule, taken.report) == ("R-X1", False)


def test_what_is_compiled_is_the_machine_and_not_the_literals() -> None:
    machine = build_machine(PUSH, Functions)
    machine.remove_transition("push", "shut", "ajar")
    assert "push" not in compile_machine(machine, "door").cells["shut"]


# ------------------------------------------------------------------------------------------------------------ stepping


@both_steppers
def test_a_step_asks_the_guard_then_moves_then_runs_the_effect(step: Stepper) -> None:
    table, door, diary = build_table(PUSH, Functions), Door(), Diary()
    taken = step(table, door, "push", diary, None)
    assert taken is table.cells["shut"]["push"][0]
    assert diary.lines == [("is_allowed", "shut"), ("creak", "ajar")]


@both_steppers
def test_a_step_without_a_row_answers_none_and_changes_nothing(step: Stepper) -> None:
    table, door, diary = build_table(PUSH, Functions), Door("gone"), Diary()
    assert step(table, door, "push", diary, None) is None
    assert step(table, door, "an event of no table", diary, None) is None
    assert (door.state, diary.lines) == ("gone", [])


@both_steppers
def test_a_step_whose_guards_all_fail_answers_none_and_changes_nothing(step: Stepper) -> None:
    table, door, diary = build_table(PUSH, Functions), Door(), Diary(answer=False)
    assert step(table, door, "push", diary, None) is None
    assert (door.state, diary.lines) == ("shut", [("is_allowed", "shut")])


@both_steppers
def test_a_row_that_stays_runs_its_effect_in_the_same_state(step: Stepper) -> None:
    table, door, diary = build_table(PUSH, Functions), Door("ajar"), Diary()
    taken = step(table, door, "push", diary, None)
    assert taken is table.cells["ajar"]["push"][0]
    assert (taken.dest, taken.report) == (None, True)
    assert (door.state, diary.lines) == ("ajar", [("creak", "ajar")])


@both_steppers
def test_the_first_row_whose_guard_holds_wins(step: Stepper) -> None:
    rows = (row("push", "shut", "ajar", "is_allowed"), row("push", "shut", "gone", effect="creak"))
    table = build_table(spec(*rows, row("remove", "ajar", "gone")), Functions)
    for answer, after in ((True, "ajar"), (False, "gone")):
        door = Door()
        step(table, door, "push", Diary(answer=answer), None)
        assert door.state == after


@both_steppers
@pytest.mark.parametrize(("answer", "after"), [("yes", "ajar"), (2, "ajar"), ([], "shut"), (None, "shut")])
def test_a_guard_is_asked_for_truth_not_for_the_value_true(step: Stepper, answer: object, after: str) -> None:
    table, door = build_table(PUSH, Functions), Door()
    step(table, door, "push", Diary(answer=answer), None)
    assert door.state == after


@both_steppers
def test_functions_receive_the_object_the_engine_and_the_event(step: Stepper) -> None:
    received: list[tuple[object, ...]] = []

    def is_allowed(*arguments: object) -> bool:
        received.append(arguments)
        return True

    def creak(*arguments: object) -> None:
        received.append(arguments)

    door, engine, event = Door(), object(), object()
    step(build_table(PUSH, SimpleNamespace(is_allowed=is_allowed, creak=creak)), door, "push", engine, event)
    assert received == [(door, engine, event), (door, engine, event)]


def nesting(step: Stepper, others: list[Door]) -> Table:
    """A table whose effect steps, with the same stepper, the next of `others`, and removes the object it runs for."""

    def creak(door: Stateful, diary: Diary, event: object) -> None:
        diary.lines.append(("creak", door.state))
        if others:
            assert step(table, others.pop(), "push", diary, event) is table.cells["shut"]["push"][0]
        assert step(table, door, "remove", diary, event) is table.cells["ajar"]["remove"][0]
        diary.lines.append(("creaked", door.state))

    table = build_table(PUSH, SimpleNamespace(is_allowed=Functions.is_allowed, creak=creak))
    return table  # a name, because the effect refers to it


@both_steppers
def test_an_effect_may_step_other_objects_and_its_own_in_the_same_table(step: Stepper) -> None:
    doors, diary = [Door(), Door(), Door()], Diary()
    table = nesting(step, doors[1:])
    taken = step(table, doors[0], "push", diary, None)
    assert taken is table.cells["shut"]["push"][0], "the outer step answers with its own row, not with a nested one"
    assert [door.state for door in doors] == ["gone", "gone", "gone"]
    assert [line for line in diary.lines if line[0] != "is_allowed"] == [("creak", "ajar")] * 3 + [
        ("creaked", "gone")
    ] * 3


@both_steppers
def test_what_an_effect_raises_comes_through_after_the_move(step: Stepper) -> None:
    def creak(door: Stateful, diary: Diary, event: object) -> None:
        raise RuntimeError("a bug in the effect")

    table, door = build_table(PUSH, SimpleNamespace(is_allowed=Functions.is_allowed, creak=creak)), Door()
    with pytest.raises(RuntimeError, match="a bug in the effect"):
        step(table, door, "push", Diary(), None)
    assert door.state == "ajar"
    assert step(table, door, "remove", Diary(), None) is not None, "the table still works"


def test_steppers_have_the_names_that_a_configuration_gives_them() -> None:
    assert dict(STEPPERS) == {"compiled": compiled_step, "transitions": transitions_step}


# -------------------------------------------------------------------------------------------------------------- import


def test_importing_the_machines_loads_no_extension_of_the_library_and_no_io() -> None:
    source = Path(inspect.getfile(build)).parents[2]
    program = (
        f"import sys; sys.path.insert(0, {str(source)!r}); import antiphon.machines\n"
        "bad = ('transitions.extensions', 'asyncio', 'socket', 'ssl', 'websockets', 'random', 'secrets')\n"
        "print([name for name in bad if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
