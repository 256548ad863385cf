"""Wrong implementations: how a test of a trap shows that it would see somebody fall in.

A trap is a place where typical clients go wrong. Each test here states what is right as a `check`, and names one or
more wrong ways of doing it: a function of the engine, or a row of its tables, replaced by what such a client does. The
check has to hold for the engine, and its assertions have to fail for each of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import pytest
from msgspec import structs

from antiphon.engine import serving
from antiphon.engine.incoming import handlers
from antiphon.machines import Row, Table

Wrong: TypeAlias = Callable[[pytest.MonkeyPatch], None]
"""Plants a wrong implementation."""


def trap(check: Callable[[], None], *wrongs: Wrong) -> None:
    """``check`` holds, and sees each of ``wrongs``; afterwards it holds again."""
    assert wrongs, "a check that nothing can fail proves nothing"
    check()
    for number, plant in enumerate(wrongs, 1):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            try:
                check()
            except (AssertionError, pytest.fail.Exception):  # the latter from a `pytest.raises` that did not
                continue
        pytest.fail(f"wrong implementation {number} of {len(wrongs)} passes unseen")
    check()


def replaced(owner: object, name: str, wrong: object) -> Wrong:
    """``owner.name`` is something else."""
    return lambda patch: patch.setattr(owner, name, wrong)


def both(*wrongs: Wrong) -> Wrong:
    """One wrong implementation that differs in several places."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for each in wrongs:
            each(patch)

    return plant


def client_handles(event: type[object], handler: Callable[..., None]) -> Wrong:
    """A client that does something else when ``event`` comes, by whichever of its names."""
    names = [each for each in handlers.HANDLERS if issubclass(each, event)]

    def plant(patch: pytest.MonkeyPatch) -> None:
        for name in names:
            patch.setitem(cast(dict[type[object], object], handlers.HANDLERS), name, handler)

    return plant


def server_handles(event: type[object], handler: Callable[..., None]) -> Wrong:
    """A server that does something else when ``event`` comes."""
    return lambda patch: patch.setitem(cast(dict[type[object], object], serving.HANDLERS), event, handler)


def effect(table: Table, name: str, wrong: Callable[..., None]) -> Wrong:
    """Every row of ``table`` with the effect ``name`` does something else."""
    return _rows(table, lambda row: structs.replace(row, effect=wrong) if row.effect_name == name else row)


def guard(table: Table, name: str, wrong: Callable[..., bool]) -> Wrong:
    """Every row of ``table`` with the guard ``name`` asks something else."""
    return _rows(table, lambda row: structs.replace(row, guard=wrong) if row.guard_name == name else row)


def without(table: Table, state: str, on: str) -> Wrong:
    """``table`` does not know what to do on this event in this state."""
    assert on in table.cells[state], f"{table.name} has no row for {on} in {state}"
    cells = cast(dict[str, Any], table.cells[state])
    return lambda patch: patch.delitem(cells, on)


def _rows(table: Table, change: Callable[[Row], Row]) -> Wrong:
    cells = cast(Mapping[str, dict[str, tuple[Row, ...]]], table.cells)
    changed = [
        (cell, on, tuple(change(row) for row in rows))
        for cell in cells.values()
        for on, rows in cell.items()
        if any(change(row) is not row for row in rows)
    ]
    assert changed, f"no row of {table.name} is concerned"

    def plant(patch: pytest.MonkeyPatch) -> None:
        for cell, on, rows in changed:
            patch.setitem(cell, on, rows)

    return plant


def nothing(*_arguments: object, **_options: object) -> None:
    """What a client does that forgot about it."""


def always(*_arguments: object, **_options: object) -> bool:
    """A guard that is not there."""
    return True


def never(*_arguments: object, **_options: object) -> bool:
    """A guard that lets nothing pass."""
    return False
