"""``docs/seeds.md``: everything in the documents has a row, and every row is true of what it names."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from pathlib import Path

import pytest

from bench import seeds
from shared_data import ABSENT

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "seeds.md").read_text(encoding="utf-8")
ROWS = [
    (there, here, test)
    for there, here, test in re.findall(r"^\| (.+?) \| (.+?) \| `(tests/.+?)` \|$", PAGE, re.MULTILINE)
]
CHAPTER, PAGES = PAGE.split("\n## The pages\n")


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def defined(body: str) -> set[str]:
    """The classes, methods and constants in capitals that code defines."""
    found: set[str] = set()
    for node in ast.parse(body).body:
        if isinstance(node, ast.ClassDef):
            functions = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {node.name, *(f"{node.name}.{each.name}" for each in functions)}
        elif isinstance(node, ast.Assign):
            found |= {each.id for each in node.targets if isinstance(each, ast.Name) and each.id.isupper()}
    return found


def test_every_row_is_read() -> None:
    cells = [line for line in PAGE.splitlines() if line.startswith("| ") and "`tests/" in line]
    assert len(ROWS) == len(cells) > 60


def test_every_test_that_is_named_exists() -> None:
    for _, _, test in ROWS:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


@pytest.mark.parametrize("here", [here for _, here, _ in ROWS])
def test_every_name_of_ours_exists(here: str) -> None:
    for name in names(here):
        if re.fullmatch(r"[A-Z][A-Za-z_.]+|antiphon[A-Za-z_.]+", name):
            assert resolved(name) is not None


def resolved(name: str) -> object:
    """What a dotted name means: without a package, it is of the toolkit, or an exception of Python. Raises."""
    parts = name.split(".")
    if not name.startswith("antiphon"):
        parts = ["builtins", *parts] if hasattr(builtins, name) else ["antiphon", "toolkit", *parts]
    modules = [".".join(parts[: cut + 1]) for cut in range(len(parts)) if parts[cut].islower()]
    for module in reversed(modules):
        if is_module(module):
            value: object = importlib.import_module(module)
            for part in parts[module.count(".") + 1 :]:
                value = getattr(value, part)
            return value
    raise AssertionError(name)


def is_module(name: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it would be in is none
        return False


def test_everything_that_the_chapter_defines_has_one_row() -> None:
    path = seeds.SEEDS / seeds.DOCUMENT
    if not path.exists():
        pytest.skip(ABSENT)
    code = set[str]().union(*map(defined, seeds.code_blocks(path.read_text(encoding="utf-8"))))
    rows = [
        name
        for there, _, _ in re.findall(r"^\| (`.+?) \| (.+?) \| (.+?) \|$", CHAPTER, re.MULTILINE)
        for name in names(there)
    ]
    assert sorted(rows) == sorted(code)


def test_the_page_shows_what_both_say() -> None:
    document = seeds.load()
    if document is None:
        pytest.skip(ABSENT)
    for each in seeds.results(document):
        assert f"| {each.what} | `{each.theirs!r}` | `{each.ours!r}` |" in PAGE


def test_the_pages_have_their_rows() -> None:
    for name in ("connect", "__aiter__", "recv_bytes", "RealtimeServerEvent", "session.update", "function call"):
        assert name in PAGES
