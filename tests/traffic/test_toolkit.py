"""The toolkit on recorded sessions, given what the server said and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon.toolkit import ChangeKind, EventManager, Row, import_history, read_lines
from shared_data import ABSENT, SHARED
from traffic.test_histories import CUT, HISTORIES, told

ROOT = Path(__file__).resolve().parents[2]
OURS = sorted((ROOT / "tests/traces").glob("*.jsonl"))
TRAFFIC_ROOT = SHARED / "traffic"
TRAFFIC = sorted(TRAFFIC_ROOT.glob("*.jsonl"))

recorded = pytest.mark.parametrize(
    "path",
    [
        *(pytest.param(path, id=path.stem) for path in (*OURS, *TRAFFIC)),
        *([] if TRAFFIC else [pytest.param(None, id="traffic", marks=pytest.mark.skip(ABSENT))]),
    ],
)


def rows(path: Path) -> Iterator[Row]:
    """What the server said."""
    with path.open("rb") as file:
        yield from (row for row in read_lines(file) if isinstance(row, Row) and row.dir == "server")


def managed(path: Path) -> tuple[EventManager[None], list[tuple[str, str]]]:
    """A manager that heard it, and what its history told."""
    manager: EventManager[None] = EventManager()
    changes: list[tuple[str, str]] = []
    for kind in ChangeKind:
        manager.history.on(kind, lambda change: changes.append((change.type, change.item_id)))
    for row in rows(path):
        manager.feed(row.event, row.at)
    return manager, changes


@recorded
def test_what_was_told_adds_up_to_the_conversation(path: Path) -> None:
    manager, changes = managed(path)
    there = [item_id for kind, item_id in changes if kind == "added"]
    for kind, item_id in changes:
        if kind == "deleted":
            there.remove(item_id)
    assert sorted(there) == sorted(node.id for node in manager.history.items)


@pytest.mark.parametrize("name", HISTORIES)
def test_what_was_said_is_what_a_manager_remembers(name: str) -> None:
    path = TRAFFIC_ROOT / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(ABSENT)
    manager, _ = managed(path)
    for index, (node, (who, whole, status)) in enumerate(zip(manager.history.items, HISTORIES[name], strict=True)):
        expected = whole[: len(node.text)] if (name, index) in CUT else whole  # the words that were heard
        assert told(node) == (who, expected, status)


@recorded
def test_everything_that_the_server_said_is_counted(path: Path) -> None:
    manager, _ = managed(path)
    assert manager.statistics().events == sum(1 for _ in rows(path))
    assert json.loads(manager.export_json())["statistics"]["events"] == manager.statistics().events


@recorded
def test_what_is_exported_can_be_imported(path: Path) -> None:
    manager, _ = managed(path)
    commands = import_history(manager.history.export())
    assert len(commands) <= len(manager.history)
