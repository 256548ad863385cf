"""`antiphon serve`: its first line, its clients, its journals, and its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from antiphon_cli.check import check_file

from .conftest import COMMAND, SECONDS, Ran


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `antiphon serve` in an empty directory; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "serve", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate(timeout=SECONDS)


def url_of(process: subprocess.Popen[str]) -> str:
    """The URL in the first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"listening on (wss?://127\.0\.0\.1:[1-9]\d*/v1/realtime)\n", line)
    assert found is not None, line
    return found[1]


def end(process: subprocess.Popen[str], number: int) -> Ran:
    """Send a signal, and wait for the end."""
    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    return Ran(process.returncode, out, err)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start: Callable[..., subprocess.Popen[str]], number: int) -> None:
    process = start()
    url_of(process)
    assert end(process, number) == Ran(0, "", "")


def test_a_written_turn_is_answered_by_the_parrot(
    start: Callable[..., subprocess.Popen[str]], antiphon: Callable[..., Ran]
) -> None:
    process = start("--brain", "parrot", "--api-key", "secret")
    ran = antiphon("talk", url_of(process), "--api-key", "secret", "--text", "Say it again")
    assert (ran.code, ran.out) == (0, "Say it again\n")
    assert end(process, signal.SIGTERM).code == 0


def test_a_script_answers(
    start: Callable[..., subprocess.Popen[str]], antiphon: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "answers.toml").write_text('[[reply]]\nsay = "You said: {user}"\n')
    process = start("--brain", "script:answers.toml")
    assert antiphon("talk", url_of(process), "--text", "yes").out == "You said: yes\n"


def test_each_session_is_a_journal_that_keeps_the_rules(
    start: Callable[..., subprocess.Popen[str]], antiphon: Callable[..., Ran], tmp_path: Path
) -> None:
    process = start("--record", "journals/today")
    url = url_of(process)
    for text in ("one", "two"):
        assert antiphon("talk", url, "--text", text).code == 0
    assert end(process, signal.SIGTERM) == Ran(0, "", "")
    journals = sorted((tmp_path / "journals/today").iterdir())
    assert [journal.name for journal in journals] == ["session-0001.jsonl", "session-0002.jsonl"]
    for journal in journals:
        verdict = check_file(str(journal))
        assert (verdict.violations, verdict.open_at_end, verdict.unreadable) == ((), (), None)
        assert verdict.client_events >= 3


def test_a_reader_that_goes_away_does_not_end_it(
    start: Callable[..., subprocess.Popen[str]], antiphon: Callable[..., Ran]
) -> None:
    process = start()
    url = url_of(process)
    assert process.stdout is not None
    process.stdout.close()
    assert antiphon("talk", url, "--text", "still there?").out == "still there?\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize(("dialect", "name"), [("beta", b'"response.text.'), ("auto", b'"response.output_text.')])
def test_a_dialect_is_spoken_and_the_client_understands_it(
    start: Callable[..., subprocess.Popen[str]], antiphon: Callable[..., Ran], tmp_path: Path, dialect: str, name: bytes
) -> None:
    (tmp_path / "answers.toml").write_text('[[reply]]\nsay = "You said: {user}"\n')
    process = start("--dialect", dialect, "--brain", "script:answers.toml", "--record", "journals")
    assert antiphon("talk", url_of(process), "--text", "yes").out == "You said: yes\n"
    assert end(process, signal.SIGTERM) == Ran(0, "", "")
    (journal,) = (tmp_path / "journals").iterdir()
    assert name in journal.read_bytes()
    verdict = check_file(str(journal))
    assert (verdict.violations, verdict.open_at_end, verdict.unreadable) == ((), (), None)
