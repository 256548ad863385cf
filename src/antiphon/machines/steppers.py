"""Two ways to take one step, with one contract.

A step looks up the cell of the object's state and the event, tries its rows in order, and takes the first whose guard
holds: the state changes, then the effect runs. It answers with the row taken, or with None if the cell has none; then
nothing has changed, and what that means (a report, a local refusal, an error event) is for the caller to say.

An effect may step other objects, or the same one again: its state is already the new one, and nothing is kept between
calls.

`compiled_step` is the one to use. `transitions_step` gives the same answer through the `transitions` library at some
fifty times the price; it is how the tests know that the first one is right, and it can log every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from .machine import TAKEN
from .rows import Row, Stateful, Table

Stepper: TypeAlias = Callable[[Table, Stateful, str, object, object], "Row | None"]
"""`step(table, obj, on, engine, event) -> Row | None`; `on` is an event type, `timer.NAME` or `internal.NAME`."""


def compiled_step(table: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
    """Step `obj` through the compiled cells. Raises nothing of its own; `obj.state` must be a state of the table."""
    for row in table.cells[obj.state].get(on, ()):
        guard = row.guard
        if guard is None or guard(obj, engine, event):
            dest = row.dest
            if dest is not None:
                obj.state = dest
            effect = row.effect
            if effect is not None:
                effect(obj, engine, event)
            return row
    return None


def transitions_step(table: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
    """Step `obj` through the machine that the table was compiled from. Same order, same answer."""
    machine = table.machine
    # The library raises for an event without any row, from anywhere or from this state. Asked first, so that its
    # error is never confused with one from inside an effect. `in` does not create the cell, unlike indexing: it is a
    # defaultdict.
    if on not in machine.events or obj.state not in machine.events[on].transitions:
        return None
    taken: list[Row] = []
    machine.events[on].trigger(obj, engine, event, **{TAKEN: taken})
    return taken[0] if taken else None


STEPPERS: Mapping[Literal["compiled", "transitions"], Stepper] = {
    "compiled": compiled_step,
    "transitions": transitions_step,
}
"""The steppers by the name a configuration gives them."""
