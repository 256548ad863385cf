"""Takes each row out of each table in turn and asks whether a test notices.

    PYTHONPATH=tests python -m mutation.rows [--workers N] [--views] [TABLE…]

First every test is run once to learn which rows it takes; a test that does not take a row cannot miss it. Then, for
each row, the tests that take it are run without it, the quickest first, until one fails. The tests that know the
tables themselves (``tests/tables``, and those of the steppers and of the generator) are left out: what has to fail is
a test of what the engine does. ``tests/unit/test_rows.py``, which explores whole tables, is asked only about inert
rows: those that neither move, nor do, nor report anything, and say no more than that a case was thought of. There an
engine would fall through the table. Exit code 1 if a row is missed by no test; the rows are named.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from antiphon.machines import MACHINES
from mutation import watch
from mutation.workshop import Job, Result, Verdict, Workshop, run

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/unit", "tests/traces", "tests/traps")
OF_THE_TABLES = ("test_machines.py", "test_generate.py")
"""They make tables of their own: no witnesses for what a row does."""

EXPLORATIONS = "test_rows.py"


class Recording:
    """What each test met, and how long it took."""

    def __init__(self) -> None:
        self.met: dict[str, watch.Met] = {}
        self.verdicts: dict[str, Verdict] = {}

    def take(self, result: Result) -> None:
        for verdict, met in result.verdicts:
            self.verdicts[verdict.test], self.met[verdict.test] = verdict, met

    @property
    def failed(self) -> list[str]:
        return [test for test, verdict in self.verdicts.items() if not verdict.passed]

    def quickest(self, tests: set[str]) -> list[str]:
        return sorted(tests, key=lambda test: self.verdicts[test].seconds)


def record(workshop: Workshop, shares: int) -> Recording:
    """Run every test once, watched."""
    recording, now = Recording(), [watch.Met(set(), set())]

    def told() -> watch.Met:
        met, now[0] = now[0], watch.Met(set(), set())
        return met

    prepare = partial(watch.watch, lambda: now[0])
    jobs = (Job(share, prepare, workshop.tests[share::shares], None, told) for share in range(shares))
    workshop.run(jobs, recording.take)
    return recording


def mutants(names: list[str], views: bool) -> Iterator[tuple[watch.RowId, str | None]]:
    """Every row that some engine steps; with ``views`` once for each role that steps it."""
    for name, spec in MACHINES.items():
        if not names or name in names:
            for index, row in enumerate(spec.rows):
                roles = dict.fromkeys(role for role, table in watch.tables() if table.name == name)
                for role in roles if views else [None]:
                    if role in (None, "both") or row.role in (None, role):
                        yield watch.RowId(name, index), role


def work(workshop: Workshop, options: argparse.Namespace) -> int:
    begun = time.monotonic()
    recording = record(workshop, options.workers)
    if recording.failed:
        print("\nthese fail with every row in its place:", *recording.failed, sep="\n  ")
        return 2
    print(f"\n{len(workshop.tests)} tests were watched; {time.monotonic() - begun:.0f} s", flush=True)
    survivors: list[str] = []
    count = 0

    def judge(result: Result) -> None:
        nonlocal count
        count += 1
        away, role = result.name
        if not result.failed:
            taken = f"{len(result.verdicts)} tests take it" if result.verdicts else "no test takes it"
            survivors.append(f"{away}{f' (as {role})' if role else ''}: {taken}")
            print(f"  {survivors[-1]}", flush=True)

    workshop.run((_job(recording, away, role) for away, role in mutants(options.tables, options.views)), judge)
    print(f"{count - len(survivors)} of {count} rows are missed when they are gone; {time.monotonic() - begun:.0f} s")
    return 1 if survivors else 0


def is_inert(row: watch.RowId) -> bool:
    spec = row.spec
    return spec.effect is None and not spec.report and (spec.dest is None or spec.source == (spec.dest,))


def _job(recording: Recording, away: watch.RowId, role: str | None) -> Job:
    takers = {
        test
        for test, met in recording.met.items()
        if any(row == away and role in (None, view) for row, view in met.rows)
        and (is_inert(away) or EXPLORATIONS not in test)
    }
    return Job((away, role), partial(watch.without_row, away, role), recording.quickest(takers))


def arguments(parser: argparse.ArgumentParser) -> None:
    """What every script of this package may be told."""
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at a time")


def selection() -> list[str]:
    """The tests whose word counts."""
    ignored = (f"--ignore={ROOT / 'tests/unit' / name}" for name in OF_THE_TABLES)
    return [*(str(ROOT / folder) for folder in TESTS), *ignored]


def main() -> int:
    parser = argparse.ArgumentParser(description="Take each row out of each table in turn.")
    arguments(parser)
    parser.add_argument("--views", action="store_true", help="take a row from one role at a time")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="the tables to try (all of them)")
    options = parser.parse_args()
    return run(partial(work, options=options), selection(), options.workers)


if __name__ == "__main__":
    sys.exit(main())
