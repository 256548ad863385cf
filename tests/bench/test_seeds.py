"""The toolkit beside the classes of the document that it replaces: right where they are wrong, and not slower."""

from __future__ import annotations

from typing import Any

import pytest

from bench import seeds
from shared_data import ABSENT

TRIES = 3
SLACK = 1.5
"""A busy machine may spare one side in none of a few rounds; the page has the ratios of more."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What the document's code defines."""
    names = seeds.load()
    if names is None:
        pytest.skip(ABSENT)
    return names


def test_of_the_same_events_ours_says_what_happened_and_theirs_does_not(document: dict[str, Any]) -> None:
    compared = seeds.results(document)
    assert [each.what for each in compared if each.ours != each.right] == []
    assert [each.what for each in compared if each.theirs == each.right] == []
    assert len(compared) > 15


def test_what_both_do_takes_no_multiple_of_their_time(document: dict[str, Any]) -> None:
    for _ in range(TRIES):
        late = [row for row in seeds.speed(document, 5) if not row.within(SLACK)]
        if not late:
            return
    pytest.fail(f"{late[0].name}: {late[0].ratio:.2f} times as fast, {TRIES} times")


def test_code_is_taken_out_of_a_document_block_by_block() -> None:
    text = "Words\n```python\nx = 1\n```\nmore\n```toml\ny = 2\n```\n```python\nz = 3\n```\n"
    assert seeds.code_blocks(text) == ["x = 1\n", "z = 3\n"]


def test_what_waits_cannot_be_finished_without_a_loop() -> None:
    class Forever:
        def __await__(self) -> Any:
            yield

    async def wait() -> None:
        await Forever()

    with pytest.raises(AssertionError, match="waits"):
        seeds.finish(wait())
