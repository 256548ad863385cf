"""Print every row of the budgets: ``python tests/bench/run.py [--quick]``. Ends with 1 when one is not met.

``--quick`` leaves out what needs processes and sockets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import engine_rows, process_rows, toolkit_rows
from bench.timing import Row

HEAD = ("row", "ours", "floor or peer", "", "ratio", "budget", "met")


def main(arguments: list[str]) -> int:
    """Measure, print, answer the exit code."""
    if arguments not in ([], ["--quick"]):
        print(__doc__, file=sys.stderr)
        return 2
    print(_line(HEAD))
    rows: list[Row] = []
    parts: list[Callable[[], list[Row]]] = [
        *engine_rows.MESSAGE_LEVEL,
        *engine_rows.BYTES_LEVEL,
        engine_rows.idle_memory,
        toolkit_rows.parts,
    ]
    if not arguments:
        parts.append(process_rows.imports)
    for part in parts:
        rows += _print(part())
    if not arguments:
        for compare in (process_rows.saturated, process_rows.paced):
            measured, absent = compare()
            rows += _print(measured)
            for client in absent:
                print(_line((f"{client}: not yet", "", "", "", "", "", "-")))
    missed = [row.name for row in rows if not row.within()]
    print(f"{len(rows) - len(missed)} of {len(rows)} met" + "".join(f"\nmissed: {name}" for name in missed))
    return 1 if missed else 0


def _print(rows: list[Row]) -> list[Row]:
    for row in rows:
        cells = (
            row.name,
            f"{row.ours:.2f} {row.unit}",
            row.peer_name,
            f"{row.peer:.2f} {row.unit}",
            f"{row.ratio:.2f}",
            f"{'≤' if row.sense == '<=' else '≥'} {row.budget:g}",
            "yes" if row.within() else "NO",
        )
        print(_line(cells), flush=True)
    return rows


def _line(cells: Iterable[str]) -> str:
    widths = (56, 14, 34, 12, 7, 8, 3)
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
