"""A published table as a `transitions.Machine`: the object that draws, checks and explains, and that the compiled
table is made from.

Nothing is registered on the machine, now or later. Each setting below answers a fact about `transitions` 0.9:

* `model=None`, and never `add_model`: a registered model gets dozens of attributes in a reference cycle, is refused
  if it has `__slots__`, and stays alive until it is removed. `machine.events[on].trigger(obj, ...)` needs none of
  that.
* `auto_transitions=False`: the default adds `to_<state>` from everywhere, that is: a way around the table.
* `queued=False`: the queue belongs to the machine, not to the model, so one object's step could be put off behind
  another's and be lost with it. Unqueued, a step inside an effect simply nests.
* `send_event=True`: one `EventData` a step, which is where a row leaves word that it was the one taken. A place on
  the machine would be shared by all objects and threads.
* no state callbacks, no `before`/`after`: the row's own effect is all that happens, and it happens after the state
  changed.
"""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import cast

from transitions import EventData, Machine, Transition
from transitions.core import Condition

from .rows import Effect, Guard, MachineSpec, Row, Stateful, TableError

TAKEN = "taken"
"""Keyword under which `trigger` may be given a list; the row that was taken is appended to it."""


class GuardCondition(Condition):
    """Calls a guard as `guard(obj, engine, event)`.

    The library compares a condition's result with True. Truth is asked for here instead, as the compiled stepper does.
    """

    def check(self, event_data: EventData) -> bool:
        guard = cast(Guard, self.func)
        engine, event = event_data.args
        return bool(guard(cast(Stateful, event_data.model), engine, event))


class RowTransition(Transition):
    """A transition that carries the rest of its row: the effect, the rule and whether taking it is reported.

    `row` is set when the machine is compiled, so that both steppers answer with the same object.
    """

    condition_cls = GuardCondition

    def __init__(
        self,
        source: str,
        dest: str,
        conditions: Condition | None = None,
        unless: None = None,
        before: None = None,
        after: None = None,
        prepare: None = None,
        *,
        guard_name: str | None,
        effect: Effect | None,
        effect_name: str | None,
        rule: str,
        report: bool,
    ) -> None:
        super().__init__(source, dest, conditions, unless, before, after, prepare)
        self.guard_name = guard_name
        self.effect = effect
        self.effect_name = effect_name
        self.rule = rule
        self.report = report
        self.row: Row | None = None

    def execute(self, event_data: EventData) -> bool:
        """Try the row: guard, then state, then effect. True if it was taken."""
        if not super().execute(event_data):
            return False
        if TAKEN in event_data.kwargs:
            event_data.kwargs[TAKEN].append(self.row)
        if self.effect is not None:
            engine, event = event_data.args
            self.effect(cast(Stateful, event_data.model), engine, event)
        return True


class SpecMachine(Machine):
    """`transitions.Machine` with rows for transitions."""

    transition_cls = RowTransition


def build_machine(spec: MachineSpec, namespace: object) -> SpecMachine:
    """Build the machine of `spec`, with its guards and effects taken from `namespace` by name.

    `namespace` is a class of static functions, a module, or any object with such attributes. What it inherits or
    imports may go unused; what it defines itself may not, unless its name begins with an underscore.

    Raises `TableError`, naming every misfit at once: a name that is missing or cannot be called, or is defined and
    not used.
    """
    functions, misfits = _resolve(spec, namespace)
    if misfits:
        where = getattr(namespace, "__qualname__", None) or getattr(namespace, "__name__", type(namespace).__qualname__)
        raise TableError(f"table {spec.name!r} does not fit {where}: {'; '.join(misfits)}")
    machine = SpecMachine(
        model=None,
        states=[{"name": state, "final": state in spec.final} for state in spec.states],
        initial=spec.initial,
        auto_transitions=False,
        queued=False,
        send_event=True,
        name=spec.name,
    )
    for row in spec.rows:
        machine.add_transition(
            row.on,
            list(row.source),
            row.dest,
            conditions=None if row.guard is None else functions[row.guard],
            guard_name=row.guard,
            effect=None if row.effect is None else functions[row.effect],
            effect_name=row.effect,
            rule=row.rule,
            report=row.report,
        )
    return machine


def _resolve(spec: MachineSpec, namespace: object) -> tuple[dict[str, FunctionType], list[str]]:
    """Each guard and effect of the table by name, and what is wrong with them, in a stable order."""
    functions: dict[str, FunctionType] = {}
    misfits: list[str] = []
    wanted = dict.fromkeys(name for row in spec.rows for name in (row.guard, row.effect) if name is not None)
    for name in wanted:
        function = getattr(namespace, name, None)
        if callable(function):
            functions[name] = cast(FunctionType, function)
        else:
            misfits.append(f"{name} is {'missing' if function is None else 'not callable'}")
    misfits += [f"{name} is not used by any row" for name in _defined(namespace) if name not in wanted]
    return functions, misfits


def _defined(namespace: object) -> list[str]:
    """The public functions that the namespace itself defines, as opposed to those it inherits or imports."""
    home = namespace.__name__ if isinstance(namespace, ModuleType) else None
    return [
        name
        for name, value in vars(namespace).items()
        if not name.startswith("_")
        and isinstance(value, (FunctionType, staticmethod))
        and (home is None or value.__module__ == home)
    ]
