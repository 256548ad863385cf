"""From a machine to the table that is stepped.

What is compiled is the `transitions.Machine` itself, by walking its events, not the literals it was built from: so
whatever the machine would do is what the table does, and the two cannot drift apart.
"""

from __future__ import annotations

from sys import intern
from typing import cast

from ._tables import MACHINES
from .machine import RowTransition, SpecMachine, build_machine
from .rows import Guard, MachineSpec, Row, Table, TableError


def build(name: str, namespace: object, role: str | None = None) -> Table:
    """Bind the published table `name`, as `role` steps it, to the functions of `namespace`, and compile it.

    `namespace` is a class of static functions, or a module: `guard(obj, engine, event) -> bool`,
    `effect(obj, engine, event) -> None`. `role` ("client" or "server") may be left out where all roles step the same
    rows. Meant to run once, at import of the module that owns the functions.

    Raises `TableError` if there is no such table, if the role is not one of its own or has to be named, or if a guard
    or effect is missing or unused.
    """
    spec = MACHINES.get(name)
    if spec is None:
        raise TableError(f"there is no table {name!r}")
    return build_table(spec, namespace, role)


def build_table(spec: MachineSpec, namespace: object, role: str | None = None) -> Table:
    """The same for a specification that is given, not published. Raises `TableError` on a misfit."""
    if role is not None:
        spec = spec.view(role)
    elif len(spec.roles) > 1 and any(row.role is not None for row in spec.rows):
        raise TableError(f"table {spec.name!r} differs by role: say which of {', '.join(spec.roles)}")
    return compile_machine(build_machine(spec, namespace), spec.name)


def compile_machine(machine: SpecMachine, name: str) -> Table:
    """Walk `machine.events[...].transitions[...]` into `state -> event -> rows`, and give each transition its row."""
    cells: dict[str, dict[str, tuple[Row, ...]]] = {intern(state): {} for state in machine.states}
    for on, event in machine.events.items():
        for source, transitions in event.transitions.items():
            cells[source][intern(on)] = tuple(_row(name, on, cast(RowTransition, each)) for each in transitions)
    initial = cast(str, machine.initial)  # given as a name when the machine was built
    # `final` is an attribute of the library's states that its stub leaves out
    final = frozenset(state for state, each in machine.states.items() if getattr(each, "final", False))
    return Table(name=name, initial=initial, final=final, states=tuple(cells), cells=cells, machine=machine)


def _row(machine: str, on: str, transition: RowTransition) -> Row:
    """One transition as a row. A row has at most one guard, because `build_machine` gives at most one."""
    guard = cast(Guard, transition.conditions[0].func) if transition.conditions else None
    row = Row(
        machine=machine,
        on=intern(on),
        source=intern(transition.source),
        dest=None if transition.dest is None else intern(transition.dest),
        guard=guard,
        effect=transition.effect,
        guard_name=transition.guard_name,
        effect_name=transition.effect_name,
        rule=transition.rule,
        report=transition.report,
    )
    transition.row = row
    return row
