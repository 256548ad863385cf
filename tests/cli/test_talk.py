"""`antiphon talk`: a written turn, the whole spoken conversation, and what they leave behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon_cli.check import check_file
from antiphon_server import parse_script

from .conftest import COMMAND, SECONDS, Ran

Antiphon = Callable[..., Ran]


def loudest(path: Path) -> tuple[int, int]:
    """The loudest sample of the left channel and of the right."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 24_000)
        samples = array("h", file.readframes(file.getnframes()))
    return max(map(abs, samples[0::2])), max(map(abs, samples[1::2]))


def test_a_written_turn_prints_the_answer_alone_and_writes_no_file(antiphon: Antiphon, tmp_path: Path) -> None:
    ran = antiphon("talk", "--text", "Tell me about London")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "In London it rains a little, at fourteen degrees. Take an umbrella with you.\n"
    assert list(tmp_path.iterdir()) == []


def test_tool_calls_of_a_written_turn_are_told_on_stderr(antiphon: Antiphon, serving: Callable[..., str]) -> None:
    url = serving(
        parse_script(
            '[[reply]]\nafter = "get_weather"\nsay = "It is {output}."\n'
            '[[reply]]\ncall = [{ name = "get_weather", arguments = { city = "Oslo" } },'
            ' { name = "get_weather", arguments = { city = "Paris" } }]\n'
        )
    )
    ran = antiphon("talk", url, "--text", "How is it?", "--record", "two.jsonl")
    assert (ran.code, ran.out) == (0, "It is eighteen degrees and sunny.\n")
    assert [line.split("(")[0] for line in ran.err.splitlines()] == ["tool      get_weather"] * 2


def test_a_model_that_calls_functions_without_end_fails_the_turn(
    antiphon: Antiphon, serving: Callable[..., str]
) -> None:
    url = serving(parse_script('[[reply]]\ncall = [{ name = "get_weather", arguments = { city = "Oslo" } }]\n'))
    ran = antiphon("talk", url, "--text", "How is it?")
    assert ran.code == 1
    assert "the model called functions in 17 answers" in ran.err


def test_what_the_server_says_cannot_steer_the_terminal(antiphon: Antiphon, serving: Callable[..., str]) -> None:
    url = serving(parse_script('[[reply]]\nsay = "red \\u001b[31m"\n'))
    assert antiphon("talk", url, "--text", "colour?").out == "red \N{REPLACEMENT CHARACTER}[31m\n"


def test_a_written_turn_can_be_answered_aloud(antiphon: Antiphon, serving: Callable[..., str], tmp_path: Path) -> None:
    url = serving(parse_script('[[reply]]\nsay = "Yes."\n'))
    ran = antiphon("talk", url, "--text", "Do you speak?", "--output", "aloud.wav")
    assert ran.code == 0
    left, right = loudest(tmp_path / "aloud.wav")
    assert left == 0
    assert right > 1000


def test_a_file_is_said_and_answered(antiphon: Antiphon, serving: Callable[..., str], tmp_path: Path) -> None:
    question = Path(__file__).resolve().parents[2] / "adapters/antiphon_cli/assets/question.wav"
    url = serving(parse_script('[[reply]]\nsay = "Fine."\n'))
    ran = antiphon("talk", url, "--input", str(question), "--output", "both.wav", "--record", "both.jsonl")
    assert ran.code == 0, ran
    assert "assistant Fine." in ran.out.splitlines()
    assert min(loudest(tmp_path / "both.wav")) > 1000
    assert check_file(str(tmp_path / "both.jsonl")).violations == ()


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """The whole of `antiphon talk`, once: what it printed, and where it wrote. It takes about as long as it sounds."""
    folder = tmp_path_factory.mktemp("talk")
    ran = subprocess.run(
        [*COMMAND, "talk"],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr), folder


def test_the_conversation_ends_well(conversation: tuple[Ran, Path]) -> None:
    ran, _ = conversation
    assert (ran.code, ran.err) == (0, "")


def test_both_sides_the_tool_and_the_cut_are_shown_in_order(conversation: tuple[Ran, Path]) -> None:
    labels = [line.split(" ")[0] for line in conversation[0].out.split("\n\n")[0].splitlines()]
    assert labels == ["server", "you", "tool", "assistant", "cut", "you", "assistant"]


def test_the_cut_shows_the_words_that_were_heard(conversation: tuple[Ran, Path]) -> None:
    out = conversation[0].out
    assert "assistant It is eighteen degrees" in out
    assert "(cut here)" in out
    assert "leave the coat" not in out


def test_without_a_terminal_there_are_no_control_characters(conversation: tuple[Ran, Path]) -> None:
    assert all(each.isprintable() or each == "\n" for each in conversation[0].out)


def test_the_summary_tells_turns_latency_audio_cut_and_rules(conversation: tuple[Ran, Path]) -> None:
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in conversation[0].out.split("\n\n")[1].splitlines())
    assert (facts["turns"], facts["rules broken"], facts["written"]) == ("2", "0", "talk.wav, talk.jsonl")
    assert len(facts["first audio"].split(", ")) == 2
    heard, received = (float(each.removesuffix(" s")) for each in facts["audio heard"].split(" of "))
    assert 2 < heard < received
    assert re.match(r"at \d+ ms of \d+ ms: It is", facts["cut"])


def test_the_recording_holds_sound_on_both_sides(conversation: tuple[Ran, Path]) -> None:
    assert min(loudest(conversation[1] / "talk.wav")) > 1000


def test_the_journal_keeps_every_rule_and_holds_the_cut(conversation: tuple[Ran, Path]) -> None:
    journal = conversation[1] / "talk.jsonl"
    verdict = check_file(str(journal))
    assert (verdict.violations, verdict.open_at_end, verdict.unreadable) == ((), (), None)
    assert b'"conversation.item.truncate"' in journal.read_bytes()


def test_ctrl_c_keeps_what_was_recorded_and_exits_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "talk"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has its children ignore Ctrl-C, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    with process:
        while not process.stdout.readline().startswith("you "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (130, "")
    assert "interrupted" in out
    assert loudest(tmp_path / "talk.wav")[0] > 1000
    assert check_file(str(tmp_path / "talk.jsonl")).violations == ()
