"""`spec/generate.py`: what it refuses, what it writes, and how it tells that the two have drifted apart."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "spec" / "generate.py"

DOOR = """
[machine]
name = "door"
title = "A door, which is | open or not."
initial = "shut"
final = ["gone"]
roles = ["client", "server"]

[states]
shut = "It is shut."
ajar = "It is open | a little."
gone = "It was taken away."

[internal]
"internal.wind" = "the wind blows"

[[row]]
on = "door.push"
from = ["shut"]
to = "ajar"
guard = "is_allowed"
effect = "creak"
rule = "R-D1"

[[row]]
on = "door.push"
from = ["ajar"]
stay = true
rule = "R-D2"
report = true
role = "client"

[[row]]
on = "timer.spring"
from = ["ajar"]
to = "shut"
rule = "R-D1"

[[row]]
on = "internal.wind"
from = ["shut", "ajar"]
to = "gone"
rule = "R-D2"
"""

FILES = {
    "machines/door.toml": DOOR,
    "events.toml": """
["door.push"]
direction = "client"
beta = "door.shove"
machine = "door"
lifecycle = true

["door.squeak"]
direction = "server"
beta = ""
lifecycle = false
note = "only a noise"
""",
    "errors.toml": """
[[error]]
code = "door_stuck"
type = "invalid_request_error"
message = "The door '{door_id}' is stuck."
param = "door"
when = "it rained"
race = true
rule = "R-D1"
by = "engine"

[[error]]
name = "no_code"
type = "server_error"
message = "The hinges broke."
when = "they are old"
rule = "R-D2"
by = "brain"
""",
    "limits.toml": """
[doors]
value = 12
unit = "doors"
why = "a house has no more"
""",
    "timers.toml": """
[spring]
default_ms = 1500
arms = "the door opens"
stops = "the door shuts"
fires = "the spring pulls it shut"
""",
    "rules.md": """
# Rules

## Doors

### R-D1 A door opens `when.pushed`
Not before.
Source: own.

### R-D2 Wind is no push
Source: rep.
""",
}


def load(name: str, path: Path) -> ModuleType:
    """A module from its file, under a name that no import statement finds."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    if not PATH.exists():
        pytest.skip("spec/ is absent: this is not a source tree")
    return load("generate_under_test", PATH)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small specification without a mistake."""
    for name, text in FILES.items():
        path = tmp_path / "spec" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "spec"


def change(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems(generate: ModuleType, folder: Path) -> list[str]:
    with pytest.raises(generate.SpecError) as caught:
        generate.read(folder)
    return list(caught.value.problems)


def run(generate: ModuleType, folder: Path, *more: str) -> int:
    base = folder.parent
    paths = ["--spec", str(folder), "--out", str(base / "_tables.py"), "--docs", str(base / "docs/machines")]
    code: int = generate.main([*paths, *more])
    return code


def tables(generate: ModuleType, folder: Path) -> dict[str, Any]:
    """The generated module, imported as a sibling of the package's own."""
    path = folder / "_tables.py"
    path.write_text(generate.tables_module(generate.read(folder)), encoding="utf-8")
    return vars(load("antiphon.machines._sample", path))


# ------------------------------------------------------------------------------------------------------ what it refuses

MISTAKES = [
    # rows: names
    (
        "machines/door.toml",
        'rule = "R-D1"',
        'rule = "R-D9"',
        "door.toml row 1 (door.push from shut): rule 'R-D9' is not",
    ),
    (
        "machines/door.toml",
        'on = "door.push"',
        'on = "door.kick"',
        "row 1 (door.kick from shut): event 'door.kick' is not",
    ),
    ("machines/door.toml", "timer.spring", "timer.autumn", "row 3 (timer.autumn from ajar): timer 'autumn' is not"),
    ("machines/door.toml", 'on = "internal.wind"', 'on = "internal.rain"', "row 4 (internal.rain from shut, ajar)"),
    ("machines/door.toml", 'on = "internal.wind"', 'on = "timer.spring"', "'internal.wind' has a meaning, but no row"),
    ("machines/door.toml", '"internal.wind" =', "wind =", "[internal] 'wind' must begin with 'internal.'"),
    (
        "machines/door.toml",
        'from = ["shut"]',
        'from = ["barred"]',
        "row 1 (door.push from barred): unknown state 'barred'",
    ),
    ("machines/door.toml", 'to = "ajar"', 'to = "wide"', "row 1 (door.push from shut): unknown state 'wide'"),
    ("machines/door.toml", 'to = "ajar"', 'to = "="', "unknown state '='"),
    ("machines/door.toml", 'from = ["shut"]', 'from = ["*"]', "unknown state '*'"),
    ("machines/door.toml", 'to = "ajar"', 'to = ""', "row 1 (door.push): `to` is empty"),
    (
        "machines/door.toml",
        'guard = "is_allowed"',
        'guard = ""',
        "row 1 (door.push): `guard` must be a lower-case name",
    ),
    # rows: shape
    (
        "machines/door.toml",
        "stay = true",
        'stay = true\nto = "shut"',
        "row 2 (door.push): needs exactly one of `to` and",
    ),
    ("machines/door.toml", "stay = true\n", "", "row 2 (door.push): needs exactly one of `to` and"),
    ("machines/door.toml", "report = true", 'report = "yes"', "row 2 (door.push): `report` must be true or false"),
    ("machines/door.toml", "report = true", "raport = true", "row 2 (door.push): unknown key `raport`"),
    ("machines/door.toml", 'from = ["ajar"]', "from = []", "row 2 (door.push): `from` is empty"),
    (
        "machines/door.toml",
        'from = ["ajar"]',
        'from = ["ajar", "ajar"]',
        "row 2 (door.push): `from` names something twice",
    ),
    (
        "machines/door.toml",
        'role = "client"',
        'role = "guest"',
        "row 2 (door.push): `role` must be one of client, server",
    ),
    # cells
    (
        "machines/door.toml",
        'on = "internal.wind"\nfrom = ["shut", "ajar"]',
        'on = "timer.spring"\nfrom = ["ajar"]',
        "cell (ajar, timer.spring) of the client: row 4 can never be taken, row 3 comes first",
    ),
    (
        "machines/door.toml",
        'on = "timer.spring"\nfrom = ["ajar"]',
        'on = "door.push"\nfrom = ["shut"]\nguard = "is_allowed"',
        "cell (shut, door.push) of the server: row 3 can never be taken, row 1 comes first",
    ),
    # graph
    ("machines/door.toml", 'to = "ajar"', 'to = "shut"', "state 'ajar' cannot be reached from 'shut'"),
    (
        "machines/door.toml",
        'gone = "It',
        'lost = "Nobody knows."\ngone = "It',
        "state 'lost' cannot be reached from 'shut'",
    ),
    ("machines/door.toml", 'to = "gone"', 'to = "shut"', "state 'ajar' leads the client to no final state"),
    (
        "machines/door.toml",
        'final = ["gone"]',
        "final = []",
        "state 'gone' is not final, and the server has no way out of it",
    ),
    # head
    ("machines/door.toml", 'name = "door"', 'name = "gate"', "[machine]: `name` is 'gate', the file is 'door.toml'"),
    (
        "machines/door.toml",
        'initial = "shut"',
        'initial = "open"',
        "`initial` or `final` names the unknown state 'open'",
    ),
    ("machines/door.toml", 'roles = ["client", "server"]', 'roles = ["butler"]', "`roles` must name client or server"),
    (
        "machines/door.toml",
        'roles = ["client", "server"]',
        'roles = ["server"]',
        "its role 'client' is none of the machine's",
    ),
    (
        "machines/door.toml",
        'gone = "It',
        'end = "Over."\ngone = "It',
        "state 'end' must be a lower-case name that no diagram",
    ),
    ("machines/door.toml", "[states]", "[stats]", "door.toml: unknown key `stats`"),
    ("machines/door.toml", "[states]", "[states", "door.toml: cannot be read"),
    # the other files
    ("events.toml", 'direction = "client"', 'direction = "up"', "events.toml [door.push]: `direction` must be one of"),
    ("events.toml", 'machine = "door"', 'machine = "window"', "events.toml [door.push]: there is no machine 'window'"),
    (
        "events.toml",
        'note = "only a noise"',
        "",
        "events.toml [door.squeak]: names no machine, so its `note` has to say why",
    ),
    (
        "events.toml",
        'beta = ""',
        'beta = "door.shove"',
        "[door.squeak]: the beta name 'door.shove' already means 'door.push'",
    ),
    ("errors.toml", 'rule = "R-D1"', 'rule = "R-D7"', "errors.toml (door_stuck): rule 'R-D7' is not in rules.md"),
    ("errors.toml", "{door_id}", "{door_id", "errors.toml (door_stuck): `message` is no template"),
    ("errors.toml", "{door_id}", "{}", "errors.toml (door_stuck): `message` has a hole ''"),
    ("errors.toml", 'name = "no_code"', "", "owes a lower-case `name`, because its code is null or not one"),
    ("errors.toml", 'name = "no_code"', 'name = "door_stuck"', "errors.toml (door_stuck): a second entry of that name"),
    (
        "errors.toml",
        '"engine"',
        '"nobody"',
        "errors.toml error 1 (door_stuck): `by` must be one of engine, application, brain",
    ),
    (
        "errors.toml",
        "race = true",
        "fatal = true",
        "errors.toml (door_stuck): a fatal error owes the code that the socket is `close`d with",
    ),
    ("limits.toml", "value = 12", "value = -1", "limits.toml [doors]: `value` must be a whole number, not negative"),
    ("limits.toml", "value = 12", "value = true", "limits.toml [doors]: `value` must be a whole number, not negative"),
    ("limits.toml", "why =", "reason =", "limits.toml [doors]: `why` is missing"),
    (
        "timers.toml",
        "default_ms = 1500",
        'default_ms = "soon"',
        "timers.toml [spring]: `default_ms` must be a whole number",
    ),
    ("rules.md", "Source: own.", "", "rules.md R-D1: has no `Source:` line"),
    ("rules.md", "R-D2", "R-D1", "rules.md R-D1: defined twice"),
    ("rules.md", "### R-D2", "### Rule 2", "rules.md: heading '### Rule 2 Wind is no push' is not"),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), MISTAKES, ids=[each[3] for each in MISTAKES])
def test_a_mistake_is_refused_with_its_place(
    generate: ModuleType, folder: Path, name: str, old: str, new: str, expected: str
) -> None:
    change(folder, name, old, new)
    found = problems(generate, folder)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("machines/")])
def test_a_missing_file_is_a_mistake(generate: ModuleType, folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: cannot be read: No such file or directory" in problems(generate, folder)


def test_every_mistake_is_told_at_once(generate: ModuleType, folder: Path) -> None:
    change(folder, "machines/door.toml", 'rule = "R-D1"', 'rule = "R-D8"')
    change(folder, "machines/door.toml", "timer.spring", "timer.autumn")
    assert len(problems(generate, folder)) == 2


def test_a_specification_without_a_mistake_is_read(generate: ModuleType, folder: Path) -> None:
    spec = generate.read(folder)
    assert list(spec.machines) == ["door"]
    assert spec.rules == {"R-D1": "A door opens `when.pushed`", "R-D2": "Wind is no push"}


def test_rows_of_different_roles_do_not_hide_each_other(generate: ModuleType, folder: Path) -> None:
    again = '[[row]]\non = "door.push"\nfrom = ["ajar"]\nto = "gone"\nrule = "R-D2"\nrole = "server"\n'
    path = folder / "machines/door.toml"
    path.write_text(DOOR + again, encoding="utf-8")
    assert len(generate.read(folder).machines["door"].view("server")) == 4


def test_a_final_state_may_have_a_way_out(generate: ModuleType, folder: Path) -> None:
    again = '[[row]]\non = "door.push"\nfrom = ["gone"]\nto = "shut"\nrule = "R-D2"\n'
    (folder / "machines/door.toml").write_text(DOOR + again, encoding="utf-8")
    assert len(generate.read(folder).machines["door"].rows) == 5


def test_events_whose_machine_has_no_row_for_them_are_listed(generate: ModuleType, folder: Path) -> None:
    assert generate.unstepped_events(generate.read(folder)) == []
    change(folder, "events.toml", 'note = "only a noise"', 'machine = "door"')
    assert generate.unstepped_events(generate.read(folder)) == ["door.squeak"]


# ------------------------------------------------------------------------------------------------------- what it writes


def test_the_module_says_what_the_specification_says(generate: ModuleType, folder: Path) -> None:
    names = tables(generate, folder)
    door = names["MACHINES"]["door"]
    assert (door.initial, door.final, door.roles) == ("shut", ("gone",), ("client", "server"))
    assert door.states == ("shut", "ajar", "gone")
    assert door.rows[0] == ("door.push", ("shut",), "ajar", "is_allowed", "creak", "R-D1", False, None)
    assert door.rows[1] == ("door.push", ("ajar",), None, None, None, "R-D2", True, "client")
    assert names["EVENTS"] == {
        "door.push": ("client", "door.shove", "door", True),
        "door.squeak": ("server", None, None, False),
    }
    assert names["LIMITS"] == {"doors": (12, "doors")}
    assert names["TIMERS"]["spring"].default_ms == 1500
    assert names["RULES"]["R-D2"] == "Wind is no push"


def test_errors_are_keyed_by_name_and_null_is_none(generate: ModuleType, folder: Path) -> None:
    errors = tables(generate, folder)["ERRORS"]
    assert list(errors) == ["door_stuck", "no_code"]
    assert (errors["door_stuck"].code, errors["door_stuck"].param) == ("door_stuck", "door")
    assert (errors["no_code"].code, errors["no_code"].param) == (None, None)
    assert errors["door_stuck"].message.format(door_id="door_7") == "The door 'door_7' is stuck."


@pytest.mark.parametrize(
    "message",
    [
        "it's",
        'say "a"',
        """it's "both" of them""",
        "back\\slash \\",
        "a word " * 40,
        "it's a word " * 40,
        'a "word" ' * 40,
        "umlaut ü, snow ☃",
        "x" * 150,
    ],
)
def test_any_text_survives_the_way_into_the_module(generate: ModuleType, folder: Path, message: str) -> None:
    change(folder, "errors.toml", "\"The door '{door_id}' is stuck.\"", json.dumps(message, ensure_ascii=False))
    assert tables(generate, folder)["ERRORS"]["door_stuck"].message == message.strip()


def test_a_file_that_cannot_be_parsed_is_the_only_mistake_told_about_it(generate: ModuleType, folder: Path) -> None:
    change(folder, "machines/door.toml", "[states]", "[states")
    found = problems(generate, folder)
    assert len(found) == 1 and found[0].startswith("door.toml: cannot be read: ")


def test_no_line_is_longer_than_the_project_allows(generate: ModuleType, folder: Path) -> None:
    change(folder, "errors.toml", "The hinges broke.", "The hinges broke, and that's a long story. " * 9)
    assert max(map(len, generate.tables_module(generate.read(folder)).splitlines())) <= 120


def test_the_same_specification_gives_the_same_bytes(generate: ModuleType, folder: Path) -> None:
    first, second = (generate.outputs(folder, Path("out.py"), folder.parent / "docs") for _ in range(2))
    assert first == second


def test_the_digest_follows_what_an_engine_obeys_and_not_the_prose(generate: ModuleType, folder: Path) -> None:
    before = generate.digest(generate.read(folder))
    change(folder, "machines/door.toml", "It is shut.", "It is firmly shut.")
    change(folder, "limits.toml", "a house has no more", "no house has more")
    assert generate.digest(generate.read(folder)) == before
    change(folder, "machines/door.toml", 'effect = "creak"\n', "")
    assert generate.digest(generate.read(folder)) != before


def test_a_page_has_the_prose_the_states_and_the_rows_with_links_to_their_rules(
    generate: ModuleType, folder: Path
) -> None:
    page = generate.pages(generate.read(folder), "../../spec/rules.md")["door.md"]
    assert "A door, which is | open or not." in page
    assert "| `ajar` | It is open \\| a little. |" in page
    assert "| `timer.spring` | the spring pulls it shut |" in page
    assert (
        "| 1 | `door.push` | `shut` | `ajar` | `is_allowed` | `creak` |  "
        "| [R-D1](../../spec/rules.md#r-d1-a-door-opens-whenpushed) A door opens `when.pushed` |"
    ) in page
    assert (
        "| 2 | `door.push` | `ajar` | *stays* |  |  | client | [R-D2](../../spec/rules.md#r-d2-wind-is-no-push)" in page
    )


def test_a_page_draws_the_moves_and_leaves_out_what_stays(generate: ModuleType, folder: Path) -> None:
    page = generate.pages(generate.read(folder), "rules.md")["door.md"]
    diagram = page.partition("```mermaid\n")[2].partition("```")[0].splitlines()
    assert diagram == [
        "stateDiagram-v2",
        "    [*] --> shut",
        "    shut --> ajar : door.push [is_allowed]",
        "    ajar --> shut : timer.spring",
        "    shut --> gone : internal.wind",
        "    ajar --> gone : internal.wind",
        "    gone --> [*]",
    ]


def test_the_index_lists_machines_and_the_events_that_step_none(generate: ModuleType, folder: Path) -> None:
    index = generate.pages(generate.read(folder), "rules.md")["index.md"]
    assert "| [`door`](door.md) | client, server | 3 | 4 | `door.push` |" in index
    assert "| `door.squeak` | only a noise |" in index


# ---------------------------------------------------------------------------------------------------------- the command


def test_what_was_written_passes_the_check(
    generate: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generate, folder) == 0
    assert sorted(path.name for path in folder.parent.rglob("docs/machines/*")) == ["door.md", "index.md"]
    assert run(generate, folder, "--check") == 0
    assert "3 files are as specified" in capsys.readouterr().out


def test_the_check_writes_nothing_and_names_what_is_missing(
    generate: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generate, folder, "--check") == 1
    assert "door.md: is missing" in capsys.readouterr().out
    assert not (folder.parent / "_tables.py").exists()


def test_the_check_shows_the_first_lines_that_drifted(
    generate: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(generate, folder)
    change(folder, "timers.toml", "default_ms = 1500", "default_ms = 1600")
    assert run(generate, folder, "--check") == 1
    report = capsys.readouterr().out
    assert "_tables.py: 4 lines differ (- present, + specified)" in report
    assert "default_ms=1500" in report and "default_ms=1600" in report


def test_a_page_whose_machine_is_gone_fails_the_check_and_goes_with_the_next_run(
    generate: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(generate, folder)
    docs = folder.parent / "docs/machines"
    (docs / "window.md").write_text((docs / "door.md").read_text(encoding="utf-8"), encoding="utf-8")
    (docs / "notes.md").write_text("# Written by hand\n", encoding="utf-8")
    assert run(generate, folder, "--check") == 1
    assert "window.md: its machine is gone" in capsys.readouterr().out
    run(generate, folder)
    assert sorted(os.listdir(docs)) == ["door.md", "index.md", "notes.md"]


def test_a_specification_with_a_mistake_is_never_written(
    generate: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, "machines/door.toml", 'rule = "R-D1"', 'rule = "R-D9"')
    assert run(generate, folder) == 2
    assert "rule 'R-D9' is not in rules.md" in capsys.readouterr().err
    assert not (folder.parent / "_tables.py").exists()
