"""What the command prints: nothing that steers a terminal, every word as it was said, and no word of a traceback when
nobody can take it."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from antiphon_cli.__main__ import main
from antiphon_cli.console import Console, clean, clean_json

from .made_journals import made

LANGUAGES = (
    "\u00ab\u00a0\u00e7a va\u202f?\u00a0\u00bb",  # spaces that do not break
    "\u4f60\u597d\u3000\u4e16\u754c",  # a wide space
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # a joiner that joins not
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # three faces that are one
    "\U0001f3f4\U000e0067\U000e007f",  # a flag, which is spelled
    "co\u00adop \u200f\u05d0",
)
OBEYED = ("\x1b[31m", "\x07", "\x00", "\x7f", "\x9b2J", "\u202e", "\u2066", "\u2069", "\r")


class Full(io.StringIO):
    """A stream to a disk that is full."""

    def write(self, _text: str, /) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("text", LANGUAGES)
def test_what_is_said_in_any_language_is_printed_as_it_is(text: str) -> None:
    assert clean(text) == clean_json(text) == text


@pytest.mark.parametrize("text", OBEYED)
def test_what_a_terminal_would_obey_is_hidden(text: str) -> None:
    shown = clean(f"a{text}b", lines=True)
    assert text[0] not in shown
    assert shown.startswith("a")
    assert shown.endswith("b")


@pytest.mark.parametrize("text", [*OBEYED, "\n", "\u2028", "\ud800"])
def test_a_document_says_the_same_with_escapes(text: str) -> None:
    written = clean_json(json.dumps({"said": text}, ensure_ascii=False))
    assert text not in written
    assert json.loads(written) == {"said": text}


def test_a_transcript_as_json_holds_what_was_said_and_steers_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "".join((*LANGUAGES, *OBEYED))
    content = [{"type": "input_text", "text": said}]
    item = {"id": "u", "type": "message", "role": "user", "status": "completed", "content": content}
    event = {"type": "conversation.item.added", "event_id": "e", "previous_item_id": None, "item": item}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"dir": "server", "event": event}) + "\n")
    main(["analyze", "--transcript", "json", str(path)])
    out = capsys.readouterr().out
    assert json.loads(out)[0]["text"] == said
    assert not set("".join(OBEYED)) & set(out) - set("31mJ2[")
    main(["analyze", "--json", str(path)])
    out = capsys.readouterr().out
    assert json.loads(out)["files"][0]["transcript"][0]["text"] == said
    assert "\x9b" not in out


# Output that cannot be written ---------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> str:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(made(1)))
    return str(path)


COMMANDS = (["analyze"], ["analyze", "--json"], ["check"], ["check", "--json"], ["replay", "--speed", "max"])


@pytest.mark.parametrize("arguments", COMMANDS)
@pytest.mark.parametrize(("stdout", "why"), [(Full(), "No space left on device"), (None, "it is closed")])
def test_output_that_cannot_be_written_is_one_line_and_exit_2(
    journal: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    stdout: io.StringIO | None,
    why: str,
) -> None:
    monkeypatch.setattr("sys.stdout", stdout)
    assert main([*arguments, journal]) == 2
    assert capsys.readouterr().err == f"antiphon: the output cannot be written: {why}\n"


@pytest.mark.parametrize("arguments", [["-h"], ["--version"], ["check", "-h"]])
def test_help_that_cannot_be_written_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "antiphon: the output cannot be written: No space left on device\n"


def test_errors_that_cannot_be_written_are_no_errors() -> None:
    console = Console(io.StringIO(), Full())
    console.err("a")
    console.err("b")
    assert not console.output_lost


# Interrupts ----------------------------------------------------------------------------------------------------------


def test_an_interrupt_while_the_command_is_loaded_ends_it_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> NoReturn:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "antiphon_cli.command", Loading("antiphon_cli.command"))
    assert main(["-h"]) == 130


def test_nothing_that_takes_time_is_loaded_before_an_interrupt_is_caught() -> None:
    code = "import sys, antiphon_cli.__main__; print([m for m in ('antiphon', 'argparse') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"
