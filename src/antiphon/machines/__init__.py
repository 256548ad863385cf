"""What may be said: the published tables as machines, and the steppers that move objects through them.

`spec/` is the source. `spec/generate.py` writes it to `_tables.py`; `build` makes a `transitions.Machine` of one
table, binds its guards and effects, and compiles it; a stepper moves any object with a `state`. No transition lives
anywhere else.
"""

from ._tables import DIGEST, ERRORS, EVENTS, LIMITS, MACHINES, RULES, TIMERS
from .compile import build, build_table, compile_machine
from .machine import RowTransition, SpecMachine, build_machine
from .rows import (
    Effect,
    ErrorSpec,
    EventSpec,
    Guard,
    LimitSpec,
    MachineSpec,
    Row,
    RowSpec,
    Stateful,
    Table,
    TableError,
    TimerSpec,
)
from .steppers import STEPPERS, Stepper, compiled_step, transitions_step

__all__ = [
    "DIGEST",
    "ERRORS",
    "EVENTS",
    "LIMITS",
    "MACHINES",
    "RULES",
    "STEPPERS",
    "TIMERS",
    "Effect",
    "ErrorSpec",
    "EventSpec",
    "Guard",
    "LimitSpec",
    "MachineSpec",
    "Row",
    "RowSpec",
    "RowTransition",
    "SpecMachine",
    "Stateful",
    "Stepper",
    "Table",
    "TableError",
    "TimerSpec",
    "build",
    "build_machine",
    "build_table",
    "compile_machine",
    "compiled_step",
    "transitions_step",
]
