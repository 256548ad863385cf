"""``docs/migrating.md``: every block runs, and what stands side by side prints the same."""

import ast
import asyncio
import contextlib
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from inspect import signature
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import antiphon_server
from antiphon_server import parse_script

PAGE = Path(__file__).resolve().parents[1] / "docs" / "migrating.md"
TEXT = PAGE.read_text(encoding="utf-8")
LIMIT = 20.0

SCRIPT = """
[[reply]]
when = "weather"
call = [{ name = "get_weather", arguments = { city = "Paris" } }]
[[reply]]
after = "get_weather"
say = "It is {output}."
[[reply]]
say = "Good day to you."
delay_ms = 20
"""


def sections() -> dict[str, list[tuple[int, str]]]:
    """The blocks of each section, each with its line."""
    found: dict[str, list[tuple[int, str]]] = {}
    for title in re.finditer(r"^## (.+)$", TEXT, re.MULTILINE):
        end = TEXT.find("\n## ", title.end())
        body = TEXT[title.end() : end if end > 0 else len(TEXT)]
        blocks = re.finditer(r"```python\n(.*?)```", body, re.DOTALL)
        found[title[1]] = [(TEXT.count("\n", 0, title.end() + block.start()) + 1, block[1]) for block in blocks]
    return found


SECTIONS = sections()
IMPORTS = TEXT.split("```python\n", 1)[1].split("```", 1)[0]


@asynccontextmanager
async def names(block: str) -> AsyncIterator[dict[str, Any]]:
    """What the page says is there, with a server behind it."""
    server = await antiphon_server.serve(parse_script(SCRIPT), api_key="sk-test")
    async with server:
        there: dict[str, Any] = {"url": server.url, "key": "sk-test"}
        exec(IMPORTS, there)
        if block.startswith("# antiphon"):
            yield there
            return
        openai = pytest.importorskip("openai", reason="the openai package is not installed")
        base_url = server.url.removesuffix("/realtime")
        async with openai.AsyncOpenAI(api_key="sk-test", websocket_base_url=base_url) as client:
            if not hasattr(client, "realtime"):
                pytest.skip("this openai package has no realtime client")
            if "dispatch_events" in block and "on_reconnecting" not in signature(client.realtime.connect).parameters:
                pytest.skip("this openai package has no handlers yet")
            yield {**there, "client": client}


def printed(line: int, block: str) -> str:
    """What a block prints, run where it stands on the page."""
    code = compile("\n" * line + block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def run(code: CodeType) -> None:
        async with asyncio.timeout(LIMIT), names(block) as there:
            work = eval(code, there)
            if work is not None:
                await work

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        asyncio.run(run(code))
    return text.getvalue().strip()


@pytest.mark.parametrize("title", SECTIONS)
def test_what_stands_side_by_side_prints_the_same(title: str) -> None:
    ours = [printed(*block) for block in SECTIONS[title] if block[1].startswith("# antiphon\n")]
    assert len(ours) == 1
    assert ours[0]
    for block in SECTIONS[title]:
        if block[1].startswith("# openai-python\n"):
            assert printed(*block) == ours[0]


def test_every_block_says_whose_it_is() -> None:
    blocks = [block for found in SECTIONS.values() for _, block in found]
    assert len(blocks) > 10
    assert all(block.startswith(("# openai-python\n", "# antiphon\n")) for block in blocks)
