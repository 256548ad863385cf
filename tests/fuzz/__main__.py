"""The long search: ``PYTHONPATH=tests python -m fuzz [--seconds S] [--seed N] [--atheris] [DOOR…]``.

Each door is searched for so long. An input that a door does not permit is written to ``fuzz-DOOR.bin``, and the search
of that door ends; the exit code is 1 then. With ``--atheris`` one door is searched by libFuzzer, for ever.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from fuzz import guided
from fuzz.corpus import seeds
from fuzz.doors import DOORS


def by_atheris(name: str) -> None:
    """Give the door to libFuzzer, with its seeds in a folder beside."""
    import atheris

    folder = Path(f"fuzz-{name}")
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(data)
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], str(folder), "-timeout=20"], DOORS[name])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description="Feed every door with what nobody would write.")
    parser.add_argument("--seconds", type=float, default=60, help="for each door (60)")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins (0)")
    parser.add_argument("--atheris", action="store_true", help="let libFuzzer search the first of the doors")
    parser.add_argument("doors", nargs="*", metavar="DOOR", help=f"of {', '.join(DOORS)} (all of them)")
    options = parser.parse_args()
    if unknown := set(options.doors) - set(DOORS):
        parser.error(f"no door: {', '.join(sorted(unknown))}")
    doors = options.doors or list(DOORS)
    if options.atheris:
        by_atheris(doors[0])
    findings = 0
    for name in doors:
        try:
            found = guided.search(DOORS[name], seeds(name), seconds=options.seconds, seed=options.seed)
        except guided.Finding as finding:
            findings += 1
            traceback.print_exception(finding.__cause__)
            path = Path(f"fuzz-{name}.bin")
            path.write_bytes(finding.data)
            print(f"{name}: the input is in {path}", flush=True)
        else:
            print(f"{name}: {found.tried} inputs, {found.branches} branches, {len(found.corpus)} kept", flush=True)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
