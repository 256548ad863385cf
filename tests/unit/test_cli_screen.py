"""What is printed: plain lines without a terminal, a view that fits into one, and nothing that could steer it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from antiphon_cli.console import Console, clean
from antiphon_cli.screen import LiveScreen, PlainScreen, View, screen_for

VIEW = View(
    65.2,
    "the assistant speaks",
    user="What is the weather in Paris?",
    assistant="It is eighteen degrees and sunny there now, and a light wind comes from the west.",
    heard=0.5,
    user_levels=(0.0, 0.5, 1.0) * 4,
    assistant_levels=(0.2,) * 12,
)


class Terminal(io.StringIO):
    """A terminal that remembers what was written."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def lines_of(terminal: Terminal) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").split("\n")


def test_plain_lines_have_their_speaker_in_front() -> None:
    out = io.StringIO()
    screen = PlainScreen(Console(out))
    screen.line("you", "Hello", "(1.0 s)")
    screen.line("cut", "")
    screen.fact("turns", "1")
    assert out.getvalue() == "you       Hello (1.0 s)\ncut\nturns          1\n"


def test_plain_lines_do_not_grow() -> None:
    out = io.StringIO()
    PlainScreen(Console(out)).show(VIEW)
    assert out.getvalue() == ""


def test_without_a_terminal_the_screen_is_plain() -> None:
    assert isinstance(screen_for(Console(io.StringIO())), PlainScreen)


def test_in_a_terminal_that_cannot_move_its_cursor_the_screen_is_plain(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(screen_for(Console(terminal)), PlainScreen)


def test_in_a_terminal_without_rich_the_screen_is_plain(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(screen_for(Console(terminal)), PlainScreen)


@pytest.mark.parametrize("columns", [40, 80])
def test_no_row_of_the_live_view_is_wider_than_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = screen_for(Console(terminal))
    assert isinstance(screen, LiveScreen)
    screen.show(VIEW)
    screen.line("server", "wss://a-host-with-a-very-long-name.example.com:8443/v1/realtime", "(embedded)")
    screen.fact("cut", "at 2481 ms of 5260 ms: It is eighteen degrees and sunny there")
    screen.close()
    shown = lines_of(terminal)
    assert max(len(line.rstrip()) for line in shown) <= columns
    assert any(line.startswith("1:05  you ") for line in shown)


def test_the_live_view_shows_both_sides_their_levels_and_who_speaks(terminal: Terminal) -> None:
    screen = LiveScreen(Console(terminal))
    screen.show(VIEW)
    screen.close()
    text = "\n".join(lines_of(terminal))
    assert "you       What is the weather in Paris?" in text
    assert "assistant It is eighteen degrees" in text
    assert "you  ▄█ ▄█" in text
    assert "the assistant speaks" in text


def test_lines_stay_after_the_view_was_closed(terminal: Terminal) -> None:
    screen = LiveScreen(Console(terminal))
    screen.close()
    screen.line("assistant", "Good bye")
    screen.show(VIEW)
    assert "Good bye" in lines_of(terminal)[-2]


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\x00"])
def test_what_a_peer_said_cannot_steer_the_terminal(terminal: Terminal, hostile: str) -> None:
    screen = LiveScreen(Console(terminal))
    screen.line("assistant", f"a{hostile}b", hostile)
    screen.show(VIEW._replace(assistant=hostile, user=hostile))
    screen.close()
    assert f"a{hostile}b" not in terminal.getvalue()
    assert hostile not in clean(hostile)


def test_clean_text_is_one_line() -> None:
    assert clean("a\r\nb\u2028c\td") == "a  b c d"
    assert clean("a\nb", lines=True) == "a\nb"


def test_what_the_encoding_cannot_say_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Console(stream).out("18 °C →")
    assert raw.getvalue() == b"18 ?C ?\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = (
        "from antiphon_cli.console import Console\n"
        "console = Console()\n"
        "for _ in range(3): console.out('x' * 100_000)\n"
        "console.err('still here')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "still here\n")
