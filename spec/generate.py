"""Turn the specification into what the package and the reader use, and fail when the two have drifted apart.

    python spec/generate.py            write src/antiphon/machines/_tables.py and docs/machines/*.md
    python spec/generate.py --check    write nothing; exit 1 and say where, if what is there is not what would be
    written

A specification with a mistake in it is never written: every mistake is listed, with file and row, and the exit code
is 2. Needs nothing but the standard library (3.11), and gives the same bytes for the same input on any machine.

The file reads from top to bottom: the nouns, reading, checking, the Python module, the pages, the command.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import string
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120
NAME = re.compile(r"[a-z][a-z0-9_]*")
RULE = re.compile(r"### +(R-[A-Z]*[0-9]+) +(\S.*?) *")
MERMAID_WORDS = frozenset({"as", "class", "default", "direction", "end", "note", "scale", "state", "style"})
ROLES = ("client", "server")
SPEAKERS = ("engine", "application", "brain")


class SpecError(Exception):
    """The specification contradicts itself. `problems` has one line for each mistake, each naming its file and row."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


# ------------------------------------------------------------------------------------------------------------ the nouns


@dataclass(frozen=True)
class Row:
    """One `[[row]]`. `number` is its place in the file, from 1; `to` is None where it says `stay`; `role` is "" for
    all."""

    number: int
    on: str
    sources: tuple[str, ...]
    to: str | None
    guard: str
    effect: str
    rule: str
    report: bool
    role: str

    def __str__(self) -> str:
        return f"row {self.number} ({self.on} from {', '.join(self.sources)})"


@dataclass(frozen=True)
class Machine:
    """One file of `spec/machines/`. `states` and `internal` map a name to its meaning."""

    name: str
    title: str
    initial: str
    final: tuple[str, ...]
    roles: tuple[str, ...]
    states: Mapping[str, str]
    internal: Mapping[str, str]
    rows: tuple[Row, ...]

    def view(self, role: str) -> tuple[Row, ...]:
        """The rows that an engine of this role steps."""
        return tuple(row for row in self.rows if row.role in ("", role))


@dataclass(frozen=True)
class Event:
    """One table of `events.toml`. `beta` is "" if the beta dialect lacks it; `note` is owed where no machine is
    named."""

    type: str
    direction: str
    beta: str
    machine: str
    lifecycle: bool
    note: str


@dataclass(frozen=True)
class Error:
    """One `[[error]]` of `errors.toml`. An empty `code` or `param` is null on the wire; `name` is unique, `code` is
    not.

    `message` and `param` are templates. `close` is 0 where the socket is not closed."""

    name: str
    code: str
    type: str
    message: str
    param: str
    when: str
    fatal: bool
    race: bool
    close: int
    rule: str
    by: str


@dataclass(frozen=True)
class Limit:
    """One table of `limits.toml`."""

    value: int
    unit: str
    why: str
    precedent: str


@dataclass(frozen=True)
class Timer:
    """One table of `timers.toml`."""

    default_ms: int
    arms: str
    stops: str
    fires: str


@dataclass(frozen=True)
class Spec:
    """The whole of `spec/`, as read. `rules` maps an id to its title, in the order of the file."""

    machines: Mapping[str, Machine]
    events: Mapping[str, Event]
    errors: tuple[Error, ...]
    limits: Mapping[str, Limit]
    timers: Mapping[str, Timer]
    rules: Mapping[str, str]


# -------------------------------------------------------------------------------------------------------------- reading


@dataclass
class Fields:
    """A TOML table being read: each key once and with its type; what is left over, or does not fit, becomes a
    problem."""

    where: str
    data: dict[str, object]
    problems: list[str]
    seen: set[str] = field(default_factory=set)

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.where}: {text}")

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a `default` it must be there and say something."""
        value = self._take(key, default)
        if not isinstance(value, str):
            self._misfit(key, value, "a string")
            return ""
        if not value.strip() and default is None:
            self.problem(f"`{key}` is empty")
        return value.strip() if "\n\n" in value else " ".join(value.split())

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            self._misfit(key, value, "true or false")
            return False
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._misfit(key, value, "a whole number, not negative")
            return 0
        return value

    def names(self, key: str) -> tuple[str, ...]:
        value = self._take(key, None)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._misfit(key, value, "a list of strings")
            return ()
        if len(set(value)) != len(value):
            self.problem(f"`{key}` names something twice")
        return tuple(value)

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self.text(key)
        if value not in allowed:
            self.problem(f"`{key}` must be one of {', '.join(allowed)}")
        return value

    def has(self, key: str) -> bool:
        return key in self.data

    def finish(self) -> None:
        """Every key that nobody asked for is a mistake: most of them are misspellings."""
        for key in sorted(self.data.keys() - self.seen):
            self.problem(f"unknown key `{key}`")

    def _take(self, key: str, default: object) -> object:
        self.seen.add(key)
        return self.data.get(key, default)

    def _misfit(self, key: str, value: object, kind: str) -> None:
        """TOML has no null, so None stands for a key that is absent."""
        self.problem(f"`{key}` is missing" if value is None else f"`{key}` must be {kind}")


def read(folder: Path) -> Spec:
    """Read `spec/` and check it. Raises `SpecError` with every mistake: those of form, or if there are none, those of
    sense (what is not well-formed cannot be compared)."""
    problems: list[str] = []
    spec = Spec(
        machines=dict(_read_machines(folder / "machines", problems)),
        events={name: _read_event(each, name) for name, each in _tables(folder / "events.toml", problems)},
        errors=tuple(_read_errors(folder / "errors.toml", problems)),
        limits={name: _read_limit(each) for name, each in _tables(folder / "limits.toml", problems)},
        timers={name: _read_timer(each) for name, each in _tables(folder / "timers.toml", problems)},
        rules=_read_rules(folder / "rules.md", problems),
    )
    problems = problems or check(spec)
    if problems:
        raise SpecError(problems)
    return spec


def _load(path: Path, problems: list[str]) -> dict[str, object] | None:
    """The file's content, or None and a problem if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(f"{path.name}: cannot be read: {reason}")
        return None


def _tables(path: Path, problems: list[str]) -> Iterator[tuple[str, Fields]]:
    """The top-level tables of a file, each finished after its reader is done with it."""
    for name, data in (_load(path, problems) or {}).items():
        if isinstance(data, dict):
            fields = Fields(f"{path.name} [{name}]", data, problems)
            yield name, fields
            fields.finish()
        else:
            problems.append(f"{path.name}: `{name}` must be a table")


def _read_event(fields: Fields, name: str) -> Event:
    event = Event(
        type=name,
        direction=fields.choice("direction", ROLES),
        beta=fields.text("beta", name),
        machine=fields.text("machine", ""),
        lifecycle=fields.flag("lifecycle"),
        note=fields.text("note", ""),
    )
    if not event.machine and not event.note:
        fields.problem("names no machine, so its `note` has to say why")
    return event


def _read_limit(fields: Fields) -> Limit:
    return Limit(fields.number("value"), fields.text("unit"), fields.text("why"), fields.text("precedent", ""))


def _read_timer(fields: Fields) -> Timer:
    return Timer(fields.number("default_ms"), fields.text("arms"), fields.text("stops"), fields.text("fires"))


def _read_errors(path: Path, problems: list[str]) -> Iterator[Error]:
    data = _load(path, problems) or {}
    entries = data.pop("error", [])
    problems += [f"{path.name}: unknown key `{key}`" for key in data]
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        problems.append(f"{path.name}: `error` must be a list of tables")
        return
    for number, entry in enumerate(entries, start=1):
        fields = Fields(f"{path.name} error {number} ({entry.get('name') or entry.get('code')})", entry, problems)
        code = fields.text("code", "")
        yield Error(
            name=fields.text("name", code),
            code=code,
            type=fields.text("type"),
            message=fields.text("message"),
            param=fields.text("param", ""),
            when=fields.text("when"),
            fatal=fields.flag("fatal", False),
            race=fields.flag("race", False),
            close=fields.number("close", 0),
            rule=fields.text("rule"),
            by=fields.choice("by", SPEAKERS),
        )
        fields.finish()


def _read_rules(path: Path, problems: list[str]) -> dict[str, str]:
    """Clauses are level-three headings; each owes a line that names its source."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return {}
    rules: dict[str, str] = {}
    sourced: set[str] = set()
    current = ""
    for line in lines:
        if line.startswith("#"):
            current = ""
        if line.startswith("### "):
            match = RULE.fullmatch(line)
            if match is None:
                problems.append(f"{path.name}: heading {line!r} is not `### R-<letter><number> Title`")
                continue
            current, title = match.groups()
            if current in rules:
                problems.append(f"{path.name} {current}: defined twice")
            rules[current] = title
        elif line.startswith("Source:") and line.removeprefix("Source:").strip():
            sourced.add(current)
    problems += [f"{path.name} {rule}: has no `Source:` line" for rule in rules if rule not in sourced]
    return rules


def _read_machines(folder: Path, problems: list[str]) -> Iterator[tuple[str, Machine]]:
    for path in sorted(folder.glob("*.toml")):
        data = _load(path, problems)
        if data is not None:
            yield path.stem, _read_machine(path.name, data, problems)


def _read_machine(file: str, data: dict[str, object], problems: list[str]) -> Machine:
    where = f"machines/{file}"
    known: dict[str, object] = {"machine": {}, "states": {}, "internal": {}, "row": []}
    problems += [f"{where}: unknown key `{key}`" for key in sorted(data.keys() - known.keys())]
    parts = {key: data.get(key, empty) for key, empty in known.items()}
    for key, empty in known.items():
        if not isinstance(parts[key], type(empty)):
            problems.append(f"{where}: `{key}` must be a {'list of tables' if key == 'row' else 'table'}")
            parts[key] = empty
    head = Fields(f"{where} [machine]", _table(parts["machine"]), problems)
    states = Fields(f"{where} [states]", _table(parts["states"]), problems)
    internal = Fields(f"{where} [internal]", _table(parts["internal"]), problems)
    rows = parts["row"] if isinstance(parts["row"], list) else []
    machine = Machine(
        name=head.text("name"),
        title=head.text("title"),
        initial=head.text("initial"),
        final=head.names("final"),
        roles=head.names("roles"),
        states={name: states.text(name) for name in states.data},
        internal={name: internal.text(name) for name in internal.data},
        rows=tuple(_read_row(where, number, _table(row), problems) for number, row in enumerate(rows, start=1)),
    )
    head.finish()
    if f"{machine.name}.toml" != file:
        head.problem(f"`name` is {machine.name!r}, the file is {file!r}")
    return machine


def _read_row(where: str, number: int, data: dict[str, object], problems: list[str]) -> Row:
    fields = Fields(f"{where} row {number} ({data.get('on')})", data, problems)
    row = Row(
        number=number,
        on=fields.text("on"),
        sources=fields.names("from"),
        to=fields.text("to") if fields.has("to") else None,
        guard=fields.text("guard", ""),
        effect=fields.text("effect", ""),
        rule=fields.text("rule"),
        report=fields.flag("report", False),
        role=fields.choice("role", ROLES) if fields.has("role") else "",
    )
    if fields.flag("stay", False) == fields.has("to"):
        fields.problem("needs exactly one of `to` and `stay = true`")
    if not row.sources:
        fields.problem("`from` is empty")
    for key, name in (("guard", row.guard), ("effect", row.effect)):
        if fields.has(key) and not NAME.fullmatch(name):
            fields.problem(f"`{key}` must be a lower-case name")
    fields.finish()
    return row


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


# ------------------------------------------------------------------------------------------------------------- checking


def check(spec: Spec) -> list[str]:
    """What contradicts itself between the files, and inside each machine. Empty if nothing does."""
    problems: list[str] = []
    for machine in spec.machines.values():
        where = f"machines/{machine.name}.toml"
        problems += [f"{where}: {text}" for text in _check_head(machine)]
        problems += [f"{where} {text}" for text in _check_rows(machine, spec)]
        problems += [f"{where}: {text}" for text in _check_cells(machine)]
        problems += [f"{where}: {text}" for text in _check_graph(machine)]
    problems += _check_events(spec)
    problems += _check_errors(spec)
    return problems


def _check_head(machine: Machine) -> Iterator[str]:
    if not machine.states:
        yield "has no states"
    for state in machine.states:
        if not NAME.fullmatch(state) or state in MERMAID_WORDS:
            yield f"state {state!r} must be a lower-case name that no diagram reserves"
    for state in sorted({machine.initial, *machine.final} - machine.states.keys()):
        yield f"`initial` or `final` names the unknown state {state!r}"
    if not machine.roles or not set(machine.roles) <= set(ROLES):
        yield f"`roles` must name {' or '.join(ROLES)}, or both"
    used = {row.on for row in machine.rows}
    for name in machine.internal:
        if not name.startswith("internal."):
            yield f"[internal] {name!r} must begin with 'internal.'"
        if name not in used:
            yield f"{name!r} has a meaning, but no row"


def _check_rows(machine: Machine, spec: Spec) -> Iterator[str]:
    for row in machine.rows:
        for state in (*row.sources, *(() if row.to is None else (row.to,))):
            if state not in machine.states:
                yield f"{row}: unknown state {state!r}"
        if row.rule not in spec.rules:
            yield f"{row}: rule {row.rule!r} is not in rules.md"
        kind, _, name = row.on.partition(".")
        if kind == "timer":
            if name not in spec.timers:
                yield f"{row}: timer {name!r} is not in timers.toml"
        elif kind == "internal":
            if row.on not in machine.internal:
                yield f"{row}: {row.on!r} has no meaning in [internal]"
        elif row.on not in spec.events:
            yield f"{row}: event {row.on!r} is not in events.toml"
        if row.role and row.role not in machine.roles:
            yield f"{row}: its role {row.role!r} is none of the machine's"


def cells(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows of each (state, event), in the order in which they are tried."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for state in row.sources:
            grouped.setdefault((state, row.on), []).append(row)
    return grouped


def _check_cells(machine: Machine) -> Iterator[str]:
    """A row behind one without a guard, or behind one with the same guard, can never be taken. Each role has its own
    view."""
    for role in machine.roles:
        for (state, on), rows in cells(machine.view(role)).items():
            for position, row in enumerate(rows):
                earlier = next((each for each in rows[:position] if each.guard in ("", row.guard)), None)
                if earlier is not None:
                    place = f"cell ({state}, {on}) of the {role}"
                    yield f"{place}: row {row.number} can never be taken, row {earlier.number} comes first"


def _check_graph(machine: Machine) -> Iterator[str]:
    """Every state can be reached by some role; and whoever can reach it can leave it, to an end if the machine has one.

    A final state is one that an object may rest in for good. It may have ways out: a deleted id can be used again.
    """
    everywhere: set[str] = set()
    for role in machine.roles:
        after: dict[str, set[str]] = {state: set() for state in machine.states}
        before: dict[str, set[str]] = {state: set() for state in machine.states}
        for row in machine.view(role):
            for state in row.sources:
                if row.to is not None and row.to != state and {row.to, state} <= machine.states.keys():
                    after[state].add(row.to)
                    before[row.to].add(state)
        reached = _closure({machine.initial} & machine.states.keys(), after)
        ending = _closure(set(machine.final) & machine.states.keys(), before)
        everywhere |= reached
        for state in machine.states:
            if state in reached and state not in machine.final:
                if not after[state]:
                    yield f"state {state!r} is not final, and the {role} has no way out of it"
                elif machine.final and state not in ending:
                    yield f"state {state!r} leads the {role} to no final state"
    for state in machine.states:
        if state not in everywhere:
            yield f"state {state!r} cannot be reached from {machine.initial!r}"


def _closure(start: set[str], edges: Mapping[str, set[str]]) -> set[str]:
    seen, waiting = set(start), list(start)
    while waiting:
        fresh = edges[waiting.pop()] - seen
        seen |= fresh
        waiting += fresh
    return seen


def _check_events(spec: Spec) -> Iterator[str]:
    beta: dict[str, str] = {}
    for event in spec.events.values():
        where = f"events.toml [{event.type}]"
        if event.machine and event.machine not in spec.machines:
            yield f"{where}: there is no machine {event.machine!r}"
        if event.beta and beta.setdefault(event.beta, event.type) != event.type:
            yield f"{where}: the beta name {event.beta!r} already means {beta[event.beta]!r}"


def _check_errors(spec: Spec) -> Iterator[str]:
    names: set[str] = set()
    for error in spec.errors:
        where = f"errors.toml ({error.name or error.message})"
        if not NAME.fullmatch(error.name):
            yield f"{where}: owes a lower-case `name`, because its code is null or not one"
        elif error.name in names:
            yield f"{where}: a second entry of that name; give it a `name` of its own"
        names.add(error.name)
        if error.rule not in spec.rules:
            yield f"{where}: rule {error.rule!r} is not in rules.md"
        if error.fatal != bool(error.close):
            yield f"{where}: a fatal error owes the code that the socket is `close`d with, and no other has one"
        for key, template in (("message", error.message), ("param", error.param)):
            try:
                holes = [hole for _, hole, _, _ in string.Formatter().parse(template) if hole is not None]
            except ValueError as mistake:
                yield f"{where}: `{key}` is no template: {mistake}"
            else:
                yield from (f"{where}: `{key}` has a hole {hole!r}" for hole in holes if not NAME.fullmatch(hole))


def unstepped_events(spec: Spec) -> list[str]:
    """Event types whose machine has no row for them, although `events.toml` says that they step it."""
    stepped = {(machine.name, row.on) for machine in spec.machines.values() for row in machine.rows}
    return [e.type for e in spec.events.values() if e.machine and (e.machine, e.type) not in stepped]


# ---------------------------------------------------------------------------------------------------- the Python module


@dataclass(frozen=True)
class Call:
    """A constructor call with keyword arguments, to be printed."""

    name: str
    arguments: Mapping[str, object]


def tables_module(spec: Spec) -> str:
    """The text of `_tables.py`: literals only, laid out as the project's formatter would."""
    machines = {name: _machine_call(machine) for name, machine in spec.machines.items()}
    events = {name: _event_call(event) for name, event in spec.events.items()}
    errors = {error.name: _error_call(error) for error in spec.errors}
    limits = {name: Call("LimitSpec", {"value": e.value, "unit": e.unit}) for name, e in spec.limits.items()}
    timers = {
        name: Call("TimerSpec", {"default_ms": e.default_ms, "arms": e.arms, "stops": e.stops, "fires": e.fires})
        for name, e in spec.timers.items()
    }
    return "\n".join(
        (
            '"""The published tables as literals. Generated from spec/ by spec/generate.py: change that, not this."""',
            "",
            "from collections.abc import Mapping",
            "from typing import Final",
            "",
            "from .rows import ErrorSpec, EventSpec, LimitSpec, MachineSpec, RowSpec, TimerSpec",
            "",
            f'DIGEST: Final = "{digest(spec)}"',
            "",
            _assignment("MACHINES", "MachineSpec", machines),
            "",
            _assignment("EVENTS", "EventSpec", events),
            "",
            _assignment("ERRORS", "ErrorSpec", errors),
            "",
            _assignment("LIMITS", "LimitSpec", limits),
            "",
            _assignment("TIMERS", "TimerSpec", timers),
            "",
            _assignment("RULES", "str", spec.rules),
            "",
        )
    )


def digest(spec: Spec) -> str:
    """SHA-256 (hex) of everything in the specification that an engine obeys.

    Prose is left out: a better sentence must not make a stored snapshot look as if it came from other tables.
    """
    content = {
        "machines": {
            machine.name: {
                "initial": machine.initial,
                "final": sorted(machine.final),
                "roles": sorted(machine.roles),
                "states": sorted(machine.states),
                "rows": [
                    [r.on, sorted(r.sources), r.to, r.guard, r.effect, r.rule, r.report, r.role] for r in machine.rows
                ],
            }
            for machine in spec.machines.values()
        },
        "events": {e.type: [e.direction, e.beta, e.machine, e.lifecycle] for e in spec.events.values()},
        "errors": {e.name: [e.code, e.type, e.message, e.param, e.fatal, e.race, e.close, e.rule] for e in spec.errors},
        "limits": {name: [limit.value, limit.unit] for name, limit in spec.limits.items()},
        "timers": {name: timer.default_ms for name, timer in spec.timers.items()},
        "rules": sorted(spec.rules),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _machine_call(machine: Machine) -> Call:
    rows = tuple(
        Call(
            "RowSpec",
            {
                "on": row.on,
                "source": row.sources,
                "dest": row.to,
                "guard": row.guard or None,
                "effect": row.effect or None,
                "rule": row.rule,
                "report": row.report,
                "role": row.role or None,
            },
        )
        for row in machine.rows
    )
    return Call(
        "MachineSpec",
        {
            "name": machine.name,
            "initial": machine.initial,
            "final": machine.final,
            "roles": machine.roles,
            "states": tuple(machine.states),
            "rows": rows,
        },
    )


def _event_call(event: Event) -> Call:
    return Call(
        "EventSpec",
        {
            "direction": event.direction,
            "beta": event.beta or None,
            "machine": event.machine or None,
            "lifecycle": event.lifecycle,
        },
    )


def _error_call(error: Error) -> Call:
    return Call(
        "ErrorSpec",
        {
            "code": error.code or None,
            "type": error.type,
            "message": error.message,
            "param": error.param or None,
            "fatal": error.fatal,
            "race": error.race,
            "close": error.close or None,
            "rule": error.rule,
            "by": error.by,
        },
    )


def _assignment(name: str, kind: str, value: Mapping[str, object]) -> str:
    head = f"{name}: Final[Mapping[str, {kind}]] = "
    return head + (_spread(value, 0) if value else "{}")


def _literal(value: object, indent: int, used: int) -> str:
    """The value as source text: on one line if that fits behind `used` columns and a comma, else one element a line."""
    flat = _flat(value)
    if indent + used + len(flat) + 1 <= WIDTH:
        return flat
    return _spread(value, indent)


def _flat(value: object) -> str:
    match value:
        case str():
            return _quoted(value)
        case Call():
            return f"{value.name}({', '.join(f'{key}={_flat(each)}' for key, each in value.arguments.items())})"
        case tuple():
            return f"({', '.join(map(_flat, value))}{',' if len(value) == 1 else ''})"
        case _:
            return repr(value)  # None, True, False and whole numbers


def _spread(value: object, indent: int) -> str:
    inner = indent + 4
    match value:
        case Call():
            opening, closing = f"{value.name}(", ")"
            parts = [(f"{key}=", each) for key, each in value.arguments.items()]
        case Mapping():
            opening, closing = "{", "}"
            parts = [(f"{_quoted(key)}: ", each) for key, each in value.items()]
        case tuple():
            opening, closing = "(", ")"
            parts = [("", each) for each in value]
        case str():
            lines = [" " * inner + _quoted(piece) for piece in _pieces(value, WIDTH - inner - 2)]
            return "\n".join(("(", *lines, " " * indent + ")"))
        case _:
            return _flat(value)
    lines = [f"{' ' * inner}{prefix}{_literal(each, inner, len(prefix))}," for prefix, each in parts]
    return "\n".join((opening, *lines, " " * indent + closing))


def _pieces(text: str, room: int) -> list[str]:
    """Cut a long text behind spaces, so that the pieces put together are the text again."""
    pieces = [""]
    for word in re.findall(r"\S*\s*", text)[:-1]:
        if pieces[-1] and len(_quoted(pieces[-1] + word)) > room:
            pieces.append("")
        pieces[-1] += word
    return pieces


def _quoted(text: str) -> str:
    """A string literal in double quotes, unless single ones save escapes."""
    if '"' in text:
        return repr(text)
    return '"' + repr(text + '"')[1:-2].replace("\\'", "'") + '"'


# ------------------------------------------------------------------------------------------------------------ the pages


def pages(spec: Spec, rules_link: str) -> dict[str, str]:
    """File name to text, for every machine and the index. `rules_link` is the way from a page to rules.md."""
    texts = {f"{machine.name}.md": _page(machine, spec, rules_link) for machine in spec.machines.values()}
    texts["index.md"] = _index(spec)
    return texts


def _page(machine: Machine, spec: Spec, rules_link: str) -> str:
    ends = ", ".join(f"`{state}`" for state in machine.final)
    lines = [
        f"<!-- Generated from spec/machines/{machine.name}.toml by spec/generate.py; change the table instead. -->",
        f"# `{machine.name}`",
        "",
        machine.title,
        "",
        f"Role: {' and '.join(machine.roles)}. "
        + f"Starts in `{machine.initial}`"
        + (f", ends in {ends}." if ends else "; never ends by itself."),
    ]
    lines += ["", *_diagram(machine), "", "## States", "", "| state | meaning |", "|---|---|"]
    lines += [f"| `{state}` | {_cell(meaning)} |" for state, meaning in machine.states.items()]
    timers = dict.fromkeys(row.on.partition(".")[2] for row in machine.rows if row.on.startswith("timer."))
    meanings = dict(machine.internal) | {f"timer.{name}": spec.timers[name].fires for name in timers}
    if meanings:
        lines += ["", "## Names that are not on the wire", "", "| name | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in meanings.items()]
    lines += [
        "",
        "## Rows",
        "",
        "Rows of one state and event are tried from top to bottom. The first whose guard holds is taken: the state",
        "changes, then the effect runs. A state and event without a row is a deviation.",
        "",
        "| # | on | from | to | guard | effect | role | rule |",
        "|---:|---|---|---|---|---|---|---|",
    ]
    lines += [_row_line(row, spec, rules_link) for row in machine.rows]
    if any(row.report for row in machine.rows):
        lines += ["", "⚑ the move is made, and the engine also reports the rule: a deviation that is tolerated."]
    return "\n".join(lines) + "\n"


def _row_line(row: Row, spec: Spec, rules_link: str) -> str:
    title = spec.rules[row.rule]
    rule = f"[{row.rule}]({rules_link}#{_anchor(f'{row.rule} {title}')}) {_cell(title)}{' ⚑' if row.report else ''}"
    to = "*stays*" if row.to is None else f"`{row.to}`"
    guard, effect = (f"`{name}`" if name else "" for name in (row.guard, row.effect))
    sources = ", ".join(f"`{state}`" for state in row.sources)
    return f"| {row.number} | `{row.on}` | {sources} | {to} | {guard} | {effect} | {row.role} | {rule} |"


def _diagram(machine: Machine) -> Iterator[str]:
    """A Mermaid diagram of the moves. Rows that stay are in the table only: as loops they would hide the picture."""
    edges: dict[tuple[str, str], list[str]] = {}
    for row in machine.rows:
        for state in row.sources:
            if row.to is not None and row.to != state:
                label = row.on + (f" [{row.guard}]" if row.guard else "")
                edges.setdefault((state, row.to), []).append(label)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {machine.initial}"
    for (source, to), labels in edges.items():
        yield f"    {source} --> {to} : {'<br/>'.join(dict.fromkeys(labels))}"
    for state in machine.final:
        yield f"    {state} --> [*]"
    yield "```"


def _index(spec: Spec) -> str:
    lines = [
        "<!-- Generated from spec/machines/ by spec/generate.py; change the tables instead. -->",
        "# The machines",
        "",
        "Every move that an engine makes is a row of one of these tables.",
        "",
        "| machine | role | states | rows | events of the wire |",
        "|---|---|---:|---:|---|",
    ]
    for machine in spec.machines.values():
        heard = dict.fromkeys(f"`{row.on}`" for row in machine.rows if row.on in spec.events)
        lines.append(
            f"| [`{machine.name}`]({machine.name}.md) | {', '.join(machine.roles)} | {len(machine.states)} "
            f"| {len(machine.rows)} | {', '.join(heard) or 'none'} |"
        )
    still = [event for event in spec.events.values() if not event.machine]
    if still:
        lines += ["", "## Events that step no machine", "", "| event | why |", "|---|---|"]
        lines += [f"| `{event.type}` | {_cell(event.note)} |" for event in still]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _anchor(heading: str) -> str:
    """The fragment that GitHub and most Markdown renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# ---------------------------------------------------------------------------------------------------------- the command


def outputs(spec_folder: Path, out: Path, docs: Path) -> dict[Path, str]:
    """Every file that belongs to the specification, with its text. Raises `SpecError`."""
    spec = read(spec_folder)
    rules_link = os.path.relpath(spec_folder / "rules.md", docs).replace(os.sep, "/")
    return {out: tables_module(spec)} | {docs / name: text for name, text in pages(spec, rules_link).items()}


def stale_pages(wanted: Mapping[Path, str], docs: Path) -> list[Path]:
    """Generated pages whose machine is gone. A page that somebody wrote by hand is left alone."""
    found = sorted(docs.glob("*.md"))
    return [
        path for path in found if path not in wanted and path.read_text("utf-8").startswith("<!-- Generated from spec/")
    ]


def drift(wanted: Mapping[Path, str], docs: Path) -> list[str]:
    """One paragraph for each file that is not as it would be written: how much differs, and the first lines of it."""
    report: list[str] = []
    for path, text in wanted.items():
        try:
            present = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            report.append(f"{path.name}: is missing")
            continue
        if present != text:
            changes = [
                line
                for line in difflib.unified_diff(present.splitlines(), text.splitlines(), lineterm="", n=0)
                if not line.startswith(("---", "+++", "@@"))
            ]
            shown = "".join(f"\n    {line}" for line in changes[:6])
            report.append(f"{path.name}: {len(changes)} lines differ (- present, + specified){shown}")
    report += [f"{path.name}: its machine is gone" for path in stale_pages(wanted, docs)]
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: written, or nothing has drifted; 1: drift under `--check`; 2: the specification is
    wrong."""
    parser = argparse.ArgumentParser(description="Generate the tables and their pages from the specification.")
    parser.add_argument("--spec", type=Path, default=ROOT / "spec", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "src/antiphon/machines/_tables.py", metavar="FILE")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs/machines", metavar="DIR")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything would change")
    options = parser.parse_args(arguments)
    try:
        wanted = outputs(options.spec.resolve(), options.out, options.docs.resolve())
    except SpecError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    docs = options.docs.resolve()
    if options.check:
        report = drift(wanted, docs)
        print("\n".join(report) if report else f"{len(wanted)} files are as specified")
        return 1 if report else 0
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    for path in stale_pages(wanted, docs):
        path.unlink()
    print(f"{len(wanted)} files written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
