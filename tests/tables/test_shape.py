"""The published tables hold together: every state and row is alive, and every event has its place.

The generator refuses a broken table by reading its rows. Here the same is asked of the compiled tables, by walking.
"""

import itertools
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from antiphon.machines import (
    ERRORS,
    EVENTS,
    LIMITS,
    MACHINES,
    RULES,
    TIMERS,
    Row,
    RowSpec,
    Table,
    build_table,
    compiled_step,
)
from shared_data import ABSENT, SHARED

CATALOGUE = SHARED / "events.json"


class Thing:
    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


def stubbed(name: str, role: str) -> Table:
    """The table with guards that look their answer up in the engine (a dict here), and effects that do nothing."""
    spec = MACHINES[name].view(role)
    functions: dict[str, object] = {row.effect: lambda obj, engine, event: None for row in spec.rows if row.effect}
    for guard in {row.guard for row in spec.rows if row.guard}:
        functions[guard] = lambda obj, engine, event, guard=guard: engine[guard]
    return build_table(spec, SimpleNamespace(**functions))


def explored(table: Table) -> tuple[set[str], set[Row]]:
    """The states that steps lead to from the initial one, and the rows taken on the way, for all guard valuations."""
    states, rows, waiting = {table.initial}, set(), [table.initial]
    while waiting:
        state = waiting.pop()
        for on, cell in table.cells[state].items():
            guards = sorted({row.guard_name for row in cell if row.guard_name is not None})
            for answers in itertools.product((True, False), repeat=len(guards)):
                thing = Thing(state)
                row = compiled_step(table, thing, on, dict(zip(guards, answers, strict=True)), None)
                if row is not None:
                    rows.add(row)
                if thing.state not in states:
                    states.add(thing.state)
                    waiting.append(thing.state)
    return states, rows


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_can_be_reached_by_stepping(name: str) -> None:
    reached = {state for role in MACHINES[name].roles for state in explored(stubbed(name, role))[0]}
    assert reached == set(MACHINES[name].states)


@pytest.mark.parametrize("name", MACHINES)
def test_every_row_is_taken_by_some_role_from_some_reachable_state(name: str) -> None:
    def key(row: Row | RowSpec, source: str) -> tuple[object, ...]:
        guard, effect = (row.guard, row.effect) if isinstance(row, RowSpec) else (row.guard_name, row.effect_name)
        return row.on, source, row.dest, guard, effect, row.rule, row.report

    spec = MACHINES[name]
    taken = {key(row, row.source) for role in spec.roles for row in explored(stubbed(name, role))[1]}
    dead = [row for row in spec.rows if not any(key(row, source) in taken for source in row.source)]
    assert dead == []


@pytest.mark.parametrize("name", MACHINES)
def test_every_reachable_state_is_final_or_can_be_left(name: str) -> None:
    spec = MACHINES[name]
    for role in spec.roles:
        table = stubbed(name, role)
        for state in explored(table)[0] - table.final:
            moves = {row.dest for rows in table.cells[state].values() for row in rows} - {None, state}
            assert moves, f"the {role} cannot leave {state}"


def test_every_event_is_stepped_by_its_machine_or_says_why_not(generate: ModuleType, specification: Any) -> None:
    assert generate.unstepped_events(specification) == []
    assert [event.type for event in specification.events.values() if not event.machine and not event.note] == []


def test_every_timer_steps_a_machine() -> None:
    stepped = {row.on for spec in MACHINES.values() for row in spec.rows}
    assert [name for name in TIMERS if f"timer.{name}" not in stepped] == []


def test_events_are_the_57_of_a_conversation_and_the_6_of_a_translation() -> None:
    assert sum(event.direction == "client" for event in EVENTS.values()) == 11 + 2
    assert sum(event.direction == "server" for event in EVENTS.values()) == 46 + 4


def test_event_names_and_directions_are_those_of_the_official_types() -> None:
    if not CATALOGUE.exists():
        pytest.skip(ABSENT)
    catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    official = {
        entry["type"]: entry["direction"] for entry in catalogue if entry["dialect"] in ("ga", "ga-translation")
    }
    assert {name: event.direction for name, event in EVENTS.items()} == official


def test_beta_names_are_those_of_the_official_beta_types() -> None:
    if not CATALOGUE.exists():
        pytest.skip(ABSENT)
    catalogue = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    official = {entry["type"] for entry in catalogue if entry["dialect"] == "beta"}
    only_beta = {"transcription_session.update", "transcription_session.updated"}
    assert {event.beta for event in EVENTS.values()} - {None} == official - only_beta


def test_the_fatal_codes_are_those_that_end_a_session() -> None:
    assert {error.code for error in ERRORS.values() if error.fatal} == {
        "account_deactivated",
        "beta_api_shape_disabled",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "model_not_found",
        "session_expired",
    }


def test_errors_that_legal_peers_can_provoke_by_crossing_are_marked() -> None:
    assert {name for name, error in ERRORS.items() if error.race} == {
        "cannot_update_voice",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
        "item_already_truncated",
        "response_cancel_not_active",
        "truncate_too_long",
        "item_reference_unknown",
        "response_in_another_voice",
    }


def test_every_limit_and_every_timer_has_room() -> None:
    assert all(limit.value > 0 and limit.unit for limit in LIMITS.values())
    assert all(timer.default_ms > 0 for timer in TIMERS.values())


def test_every_rule_that_is_named_has_a_title() -> None:
    named = {row.rule for spec in MACHINES.values() for row in spec.rows} | {error.rule for error in ERRORS.values()}
    assert named <= {rule for rule, title in RULES.items() if title}
