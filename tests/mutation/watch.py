"""Rows and rules from outside: which of them a test meets, and an engine without one of them.

Nothing in ``src`` knows of this. What stands between two parts of the engine is exchanged: the steppers, the report,
the refusal, the faults of the wire and of a socket, and the errors of a server.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple, cast

from antiphon.engine import errors, wire_events
from antiphon.engine.session import Session
from antiphon.machines import ERRORS, MACHINES, STEPPERS, ErrorSpec, Row, RowSpec, Stateful, Stepper, Table

OFF = "R-off"
"""What a refusal, a fault or an error names once the rule behind it was taken away."""


class RowId(NamedTuple):
    """One ``[[row]]`` of ``spec/machines/``, counted from 0."""

    machine: str
    index: int

    @property
    def spec(self) -> RowSpec:
        return MACHINES[self.machine].rows[self.index]

    def __str__(self) -> str:
        spec = self.spec
        guard = f" if {spec.guard}" if spec.guard else ""
        return f"{self.machine}[{self.index}] {', '.join(spec.source)} -- {spec.on}{guard} -> {spec.dest or 'stays'}"


class Met(NamedTuple):
    """What one test met: rows as (row, role of the table's view), and rules by any way that shows one."""

    rows: set[tuple[RowId, str]]
    rules: set[str]


@cache
def tables() -> list[tuple[str, Table]]:
    """Every compiled table of the engine with the role that it was compiled for ("both" where that is no matter)."""
    compiled: dict[int, tuple[str, Table]] = {}
    for name, module in sys.modules.items():
        if name.startswith("antiphon.engine."):
            role = "server" if name.endswith((".serving", ".server")) else "client"
            for value in vars(module).values():
                if isinstance(value, Table):
                    compiled.setdefault(id(value), (role, value))
    names = Counter(table.name for _, table in compiled.values())
    found = [
        ("both" if len(MACHINES[table.name].roles) > names[table.name] else role, table)
        for role, table in compiled.values()
    ]
    home = {table.name for _, table in found}
    missing = MACHINES.keys() - home
    assert not missing, f"no compiled table of {missing} was found"
    return found


def _is(row: Row, spec: RowSpec) -> bool:
    return (
        row.source in spec.source
        and (row.on, row.dest, row.guard_name, row.effect_name, row.rule, row.report)
        == (spec.on, spec.dest, spec.guard, spec.effect, spec.rule, spec.report)
    )  # fmt: skip


@cache
def places() -> dict[int, tuple[RowId, str]]:
    """Each compiled row, by its ``id``: where it is published, and for whom it was compiled."""
    found: dict[int, tuple[RowId, str]] = {}
    for role, table in tables():
        specs = MACHINES[table.name].rows
        for row in rows_of(table):
            (index,) = (number for number, spec in enumerate(specs) if _is(row, spec))
            found[id(row)] = RowId(table.name, index), role
    return found


def rows_of(table: Table) -> Iterator[Row]:
    for by_event in table.cells.values():
        for rows in by_event.values():
            yield from rows


# -- taking away -------------------------------------------------------------------------------------------------------


def without_row(away: RowId, role: str | None = None) -> None:
    """Take a row out of the compiled tables and out of the machines behind them; with ``role``, of that view only.
    For this process and for good."""
    known = places()
    for view, table in tables():
        if table.name == away.machine and role in (None, view):
            for state, by_event in table.cells.items():
                cells = cast(dict[str, tuple[Row, ...]], by_event)
                for on in list(cells):
                    cells[on] = tuple(row for row in cells[on] if known[id(row)][0] != away)
                    transitions = table.machine.events[on].transitions
                    transitions[state] = [each for each in transitions[state] if known[id(each.row)][0] != away]
                    if not cells[on]:  # a cell without rows is no cell
                        del cells[on], transitions[state]


def without_rule(rule: str) -> None:
    """Take away every row of a rule, and its reports; refusals, faults and errors name another in its place."""
    for machine, spec in MACHINES.items():
        for index, row in enumerate(spec.rows):
            if row.rule == rule:
                without_row(RowId(machine, index))
    _between(lambda each: OFF if each == rule else each, lambda each: each != rule)


# -- watching ----------------------------------------------------------------------------------------------------------


def watch(met: Callable[[], Met]) -> None:
    """Write down what is met from now on, in this process, where ``met`` says."""
    known = places()

    def watched(real: Stepper) -> Stepper:
        def step(table: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
            row = real(table, obj, on, engine, event)
            if row is not None and id(row) in known:  # others belong to tables that a test made
                met().rows.add(known[id(row)])
                met().rules.add(row.rule)
            return row

        return step

    steppers = cast(dict[str, Stepper], STEPPERS)
    for name, real in steppers.items():
        steppers[name] = watched(real)

    def note(rule: str) -> str:
        met().rules.add(rule)
        return rule

    _between(note, lambda rule: bool(note(rule)))


def _between(named: Callable[[str], str], reported: Callable[[str], bool]) -> None:
    """Stand wherever the engine names a rule: ``named`` gives the name that is used, ``reported`` says whether a report
    is made."""
    real_report = Session.report

    def report(self: Session, rule: str, event: object, detail: str, path: str = "") -> None:
        if reported(rule):
            real_report(self, rule, event, detail, path)

    Session.report = report  # type: ignore[method-assign]

    real_init = errors.ProtocolError.__init__

    def init(self: errors.ProtocolError, message: str, *, rule: str) -> None:
        real_init(self, message, rule=named(rule))

    errors.ProtocolError.__init__ = init  # type: ignore[method-assign]

    class Errors(dict[str, ErrorSpec]):
        def __getitem__(self, name: str) -> ErrorSpec:
            spec = super().__getitem__(name)
            return spec if named(spec.rule) != OFF else spec._replace(type=OFF, code=OFF)

    _exchange("ERRORS", ERRORS, Errors(ERRORS), "ERRORS[")

    def fault(kind: str, message: str, rule: str = "", **others: Any) -> errors.Fault:
        return _FAULT(kind, message, named(rule), **others)

    _exchange("Fault", _FAULT, fault, " Fault(")

    def wire_fault(code: int, rule: str, detail: str, *others: Any) -> wire_events.WireFault:
        return _WIRE_FAULT(code, named(rule), detail, *others)

    _exchange("WireFault", _WIRE_FAULT, wire_fault, "WireFault(")


_FAULT: Any = errors.Fault
_WIRE_FAULT: Any = wire_events.WireFault


def _exchange(name: str, real: object, value: object, use: str) -> None:
    """Put ``value`` in the place of ``real`` in the modules of the engine that know it by ``name`` and whose text has
    ``use``; elsewhere the name stands for a type, and has to stay one."""
    modules = [module for path, module in sys.modules.items() if path.startswith("antiphon.engine.")]
    users = [each for each in modules if vars(each).get(name) is real and use in inspect.getsource(each)]
    assert users, f"no module of the engine has {use}"
    for module in users:
        if module is not sys.modules.get(getattr(real, "__module__", "")):
            setattr(module, name, value)
