"""The code of the how-to pages runs, block after block, as a reader would type it."""

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted((DOCS / "howto").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_block_of_a_how_to_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    blocks = [(match.start(), match[1]) for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL)]
    assert blocks
    names: dict[str, object] = {}
    for start, block in blocks:
        line = text.count("\n", 0, start) + 1
        exec(compile("\n" * line + block, str(page), "exec"), names)


def test_the_adapter_rules_are_numbered_without_a_gap() -> None:
    text = (DOCS / "howto" / "write-an-adapter.md").read_text(encoding="utf-8")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {int(number) for number in re.findall(r"# rule (\d+)", text)} <= set(numbers)


PAINS = (DOCS / "pains.md").read_text(encoding="utf-8")


def test_every_pain_has_its_row() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", PAINS, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 115))
    for number, _, _, cell in rows:
        assert "::test_" in cell or cell.startswith(("Not the engine's: ", "Not yet: ")), number


def test_every_test_that_is_named_for_a_pain_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)::(?:(\w+)::)?(\w+)`", PAINS))
    assert len(named) > 50
    for page, group, name in sorted(named):
        body = ast.parse((DOCS.parent / page).read_text(encoding="utf-8")).body
        if group:
            (body,) = [node.body for node in body if isinstance(node, ast.ClassDef) and node.name == group]
        assert name in [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
