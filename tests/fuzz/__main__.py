"""The long search: ``PYTHONPATH=tests python -m fuzz [--seconds S] [--seed N] [--atheris] [DOOR…]``.

Each door is searched for so long. An input that a door does not permit is written to ``fuzz-DOOR.bin``, and the search
of that door ends; the exit code is 1 then. With ``--atheris`` one door is searched by libFuzzer, until it is stopped.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path


def by_atheris(name: str, seconds: float) -> None:
    """Give the door to libFuzzer, with its seeds in a folder beside."""
    import atheris

    with atheris.instrument_imports(include=["antiphon", "antiphon_cli", "antiphon_server"]):
        from fuzz.corpus import seeds
        from fuzz.doors import DOORS
    folder = Path(f"fuzz-{name}")
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(data)
    atheris.Setup([sys.argv[0], str(folder), "-timeout=20", f"-max_total_time={seconds:.0f}"], DOORS[name])
    atheris.Fuzz()


def by_ourselves(names: list[str], seconds: float, seed: int) -> int:
    from fuzz import guided
    from fuzz.corpus import seeds
    from fuzz.doors import DOORS

    findings = 0
    for name in names or DOORS:
        try:
            found = guided.search(DOORS[name], seeds(name), seconds=seconds, seed=seed)
        except guided.Finding as finding:
            findings += 1
            traceback.print_exception(finding.__cause__)
            path = Path(f"fuzz-{name}.bin")
            path.write_bytes(finding.data)
            print(f"{name}: the input is in {path}", flush=True)
        else:
            print(f"{name}: {found.tried} inputs, {found.branches} branches, {len(found.corpus)} kept", flush=True)
    return 1 if findings else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Feed every door with what nobody would write.")
    parser.add_argument("--seconds", type=float, default=60, help="for each door (60)")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins (0)")
    parser.add_argument("--atheris", action="store_true", help="let libFuzzer search one door")
    parser.add_argument("doors", nargs="*", metavar="DOOR", help="as `fuzz/doors.py` names them (all of them)")
    options = parser.parse_args()
    if options.atheris:
        if len(options.doors) != 1:
            parser.error("--atheris searches one door")
        by_atheris(options.doors[0], options.seconds)
    return by_ourselves(options.doors, options.seconds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
