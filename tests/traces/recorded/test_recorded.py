"""A whole conversation over loopback, with a barge-in and a lost socket, is lived through again from its journal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from antiphon import inputs
from antiphon.toolkit import Note, Replay, Row, Step, Steps, read_lines, sockets_of
from traces.recorded.record import JOURNAL, KEY, record

RECORD_ANEW = "if the engine is meant to do something else now: python tests/traces/recorded/record.py"

PLAY = """
import sys
from antiphon.toolkit import Replay, Steps, read_lines
steps = Steps(read_lines(open(sys.argv[1], "rb")))
replay = Replay(steps.birth)
for step in steps:
    replay.play(step)
print(replay.divergence, replay.checked, replay.actions)
"""


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def played(lines: list[bytes]) -> tuple[Replay, list[Step]]:
    """The replay of a journal and its inputs."""
    steps = Steps(read_lines(lines))
    replay = Replay(steps.birth)
    given = []
    for step in steps:
        replay.play(step)
        if isinstance(step, Step):
            given.append(step)
    return replay, given


@pytest.fixture(scope="module")
def journals() -> list[list[bytes]]:
    """What the client and both servers recorded of a conversation that was held just now."""
    client = bytearray()
    servers: defaultdict[int, bytearray] = defaultdict(bytearray)

    async def main() -> None:
        async with asyncio.timeout(60):
            await record(client.extend, lambda number: servers[number].extend)

    asyncio.run(main())
    return [bytes(each).splitlines(keepends=True) for each in (client, servers[0], servers[1])]


@pytest.mark.parametrize("number", range(3), ids=["client", "first server", "second server"])
def test_ten_replays_of_ten_come_to_the_same(journals: list[list[bytes]], number: int) -> None:
    replays = [played(journals[number])[0] for _ in range(10)]
    assert {replay.divergence for replay in replays} == {None}
    assert {replay.checked for replay in replays} == {1}
    assert len({replay.actions for replay in replays}) == 1


def test_no_journal_holds_the_key(journals: list[list[bytes]]) -> None:
    assert all(KEY.encode() not in line for journal in journals for line in journal)


class TestTheKeptOne:
    def test_it_is_of_a_conversation_that_was_cut_and_went_on_over_another_socket(self) -> None:
        entries = list(read_lines(lines_of(JOURNAL)))
        given = [entry.data["input"]["in"] for entry in entries if isinstance(entry, Note) and entry.dir == "input"]  # type: ignore[index]  # an object
        assert given.count("opened") == 2
        assert {"audio_played", "audio_stopped"} <= set(given)
        assert any(isinstance(row, Row) and b'"conversation.item.truncate"' in row.event for row in entries)
        assert len(sockets_of(entries)) == 2
        assert JOURNAL.stat().st_size < 300_000
        assert KEY.encode() not in JOURNAL.read_bytes()

    def test_it_plays_to_the_same_end(self) -> None:
        replay, given = played(lines_of(JOURNAL))
        assert replay.divergence is None, (replay.divergence, replay.birth.has_these_tables, RECORD_ANEW)
        assert replay.checked == 1
        assert isinstance(given[0].input, inputs.Start)
        assert replay.engine.closed is not None

    @pytest.mark.parametrize("seed", ["0", "4711"])
    def test_so_it_does_in_another_process(self, seed: str) -> None:
        ran = subprocess.run(
            [sys.executable, "-c", PLAY, str(JOURNAL)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ran.stdout == f"None 1 {played(lines_of(JOURNAL))[0].actions}\n", RECORD_ANEW
