"""The nouns of the tables: what the generated literals are made of, and what they become once compiled.

Two families live here, and nothing that moves.

* The `...Spec` tuples are `spec/` as Python literals. `spec/generate.py` writes them into `_tables.py`; they hold
  names only.
* `Row` and `Table` are the compiled form. A row holds the functions themselves, because looking one up by name on every
  step would cost more than the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, TypeAlias

from msgspec import Struct
from transitions import Machine


class Stateful(Protocol):
    """Anything that a table can step: an object with a writable `state`. `__slots__` classes qualify."""

    state: str


Guard: TypeAlias = Callable[[Stateful, object, object], bool]
"""`guard(obj, engine, event)`: may this row be taken? Reads, never writes, never raises."""

Effect: TypeAlias = Callable[[Stateful, object, object], None]
"""`effect(obj, engine, event)`: what follows from the move. Runs after the state has changed, and never raises: a step
is not rolled back, so whatever may fail has to be decided by a guard."""


class TableError(ValueError):
    """A table and the functions bound to it do not fit. A mistake in the program, found when the module is imported."""


class RowSpec(NamedTuple):
    """One `[[row]]` of `spec/machines/`; `dest` is None where the row says `stay`, `role` where it is for every
    role."""

    on: str
    source: tuple[str, ...]
    dest: str | None
    guard: str | None
    effect: str | None
    rule: str
    report: bool
    role: str | None


class MachineSpec(NamedTuple):
    """One file of `spec/machines/`. Rows keep their order: the first whose guard holds wins."""

    name: str
    initial: str
    final: tuple[str, ...]
    roles: tuple[str, ...]
    states: tuple[str, ...]
    rows: tuple[RowSpec, ...]

    def view(self, role: str) -> MachineSpec:
        """The machine as an engine of this role steps it: without the rows of the other. Raises `TableError` for a
        role that the machine does not name."""
        if role not in self.roles:
            raise TableError(f"table {self.name!r} has no role {role!r}")
        return self._replace(roles=(role,), rows=tuple(row for row in self.rows if row.role in (None, role)))


class EventSpec(NamedTuple):
    """One event type. `beta` is its name in the beta dialect, None where that dialect has no such event; `machine` is
    the table it steps, None if it moves nothing; `lifecycle` is False for what may be merged or dropped without
    losing a move."""

    direction: Literal["client", "server"]
    beta: str | None
    machine: str | None
    lifecycle: bool


class ErrorSpec(NamedTuple):
    """One error a server may send. `message` and `param` are `str.format` templates. `code` and `param` may be null.

    `fatal`: the session is of no use afterwards. `race`: two peers that both keep the rules can provoke it by crossing.
    `close`: the code with which the server closes the socket after a fatal one. `by`: who finds it out; the engine
    answers by itself, an application sends it, a brain puts it into the end of a response or of a transcription."""

    code: str | None
    type: str
    message: str
    param: str | None
    fatal: bool
    race: bool
    close: int | None
    rule: str
    by: Literal["engine", "application", "brain"]


class LimitSpec(NamedTuple):
    """One bound; `unit` says what `value` counts."""

    value: int
    unit: str


class TimerSpec(NamedTuple):
    """One timer: its default in milliseconds (0: off unless configured), and what arms it, stops it and follows from
    it."""

    default_ms: int
    arms: str
    stops: str
    fires: str


class Row(Struct, frozen=True):
    """One way out of one cell, ready to be taken.

    `dest` is None where the state stays. `guard` and `effect` are the functions that `guard_name` and `effect_name`
    name in the table; each pair is None together. `rule` is the clause of `spec/rules.md` that the row implements.
    With `report` the move is made, and the engine also reports the rule: the peer deviated, and we tolerate it.
    """

    machine: str
    on: str
    source: str
    dest: str | None
    guard: Guard | None
    effect: Effect | None
    guard_name: str | None
    effect_name: str | None
    rule: str
    report: bool


class Table(Struct, frozen=True, eq=False):
    """A machine compiled for stepping.

    `cells[state][event]` is the ordered tuple of rows; every state has an entry, an event without a row has none.
    `machine` is the `transitions.Machine` that the cells were compiled from: the authority, kept for the second
    stepper, for drawing and for debugging. It holds no models, so a table can serve any number of objects from any
    number of threads.
    """

    name: str
    initial: str
    final: frozenset[str]
    states: tuple[str, ...]
    cells: Mapping[str, Mapping[str, tuple[Row, ...]]]
    machine: Machine
