"""The page of `antiphon analyze --html`: whole in itself, true to the recording, and safe whatever a peer said."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from antiphon_cli import analysis_page
from antiphon_cli.__main__ import main

from .made_journals import MadeSession, made

EVIL = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> ]]> {{script}} \u2028"
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """What a browser would see: elements in their order, what they say, and whether each was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data

    @property
    def data(self) -> dict[str, Any]:
        loaded = json.loads(self.scripts[0])
        assert isinstance(loaded, dict)
        return loaded


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """Makes the page of these journals, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def make(*journals: list[bytes], arguments: tuple[str, ...] = ()) -> Page:
        names = [f"{number}.jsonl" for number in range(len(journals))]
        for name, lines in zip(names, journals, strict=True):
            Path(name).write_bytes(b"".join(lines))
        assert main(["analyze", "--html", "out.html", *arguments, *names]) == 0
        return Page(Path("out.html").read_text(encoding="utf-8"))

    return make


def test_the_page_asks_nobody_for_anything(page: Callable[..., Page]) -> None:
    made_page = page(made(1))
    text = Path("out.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", text)
    for _, attributes in made_page.elements:
        assert not {"src", "href", "action", "srcset"} & {*attributes} or attributes.get("href") == "#words"
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = [each for tag, each in made_page.elements if each.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy["content"]).startswith("default-src 'none'; ")


def test_the_page_carries_what_the_recording_says(page: Callable[..., Page]) -> None:
    session = MadeSession(7)
    spoken = session.speaks()
    session.answers(deltas=10, cut=True, player=True)
    session.transcribed(spoken)
    session.calls()
    session.fails()
    made_page = page(session.lines)
    assert made_page.data["format"] == 1
    (one,) = made_page.data["sessions"]
    assert (one["name"], one["timed"], one["transport"], one["notes"]) == ("0.jsonl", True, "websocket", [])
    kinds = [(span["lane"], span["kind"]) for span in one["spans"]]
    assert kinds[:5] == [
        ("user", "speech"),
        ("user", "speech"),
        ("response", "cancelled"),
        ("response", "completed"),
        ("response", "failed"),
    ]
    assert kinds[5:] == [
        ("playback", "heard"),
        ("playback", "cut"),
        ("tool", "call"),
        ("note", "session"),
        ("note", "error"),
        ("note", "error"),
    ]
    answer = one["spans"][2]
    assert answer["text"].startswith(answer["heard_text"])
    assert 0 < len(answer["heard_text"]) < len(answer["text"])
    assert answer["facts"]["voice_latency_ms"] > 0
    assert one["spans"][6]["facts"]["heard_ms"] == 600
    figures = {figure["label"]: figure["value"] for figure in one["figures"]}
    assert (figures["User turns"], figures["Interruptions"], figures["Errors"]) == ("2", "1", "2")


def test_nothing_that_a_peer_says_becomes_markup(page: Callable[..., Page]) -> None:
    session = MadeSession(1)
    session.words = lambda number: EVIL  # type: ignore[method-assign]
    session.typed()
    session.writes()
    session.server("error", error={"type": EVIL, "code": EVIL, "message": EVIL})
    session.server(EVIL, response_id=EVIL)
    session.server("response.created", response={"id": EVIL, "status": "in_progress", "output": []})
    plain, evil = page(made(1)), page(session.lines)
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in plain.elements]
    assert evil.scripts[1] == plain.scripts[1]
    texts = {span.get("text") for span in evil.data["sessions"][0]["spans"]}
    assert EVIL in texts


def test_a_file_of_an_evil_name_does_not_either(page: Callable[..., Page]) -> None:
    plain = page(made(1))
    name = "<svg onload=alert(1)>&{{data}}.jsonl"
    Path(name).write_bytes(b"".join(made(1)))
    assert main(["analyze", "--html", "out.html", name]) == 0
    evil = Page(Path("out.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in plain.elements]
    assert evil.data["sessions"][0]["name"] == name


def test_the_script_sets_text_and_never_markup() -> None:
    script = (files("antiphon_cli") / "page" / "page.js").read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\.style\.cssText", script
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript engine here to read the script with")
def test_the_script_can_be_parsed() -> None:
    script = files("antiphon_cli") / "page" / "page.js"
    subprocess.run(["node", "--check", str(script)], check=True, timeout=60)


def test_every_element_that_the_script_asks_for_is_there() -> None:
    folder = files("antiphon_cli") / "page"
    script, text = ((folder / name).read_text(encoding="utf-8") for name in ("page.js", "page.html"))
    ids = set(re.findall(r'id="([\w-]+)"', text))
    assert set(re.findall(r'\$\("([\w-]+)"\)|getElementById\("([\w-]+)"\)', script)) - {(each, "") for each in ids} <= {
        ("", each) for each in ids
    }
    for label in re.findall(r'aria-(?:labelledby|describedby)="([\w-]+)"', text):
        assert label in ids


def test_several_sessions_are_on_one_page_and_all_of_them_in_the_first(page: Callable[..., Page]) -> None:
    sessions = page(made(1), made(2), made(3)).data["sessions"]
    assert [each["name"] for each in sessions] == ["All 3 sessions", "0.jsonl", "1.jsonl", "2.jsonl"]
    assert sessions[0]["events"] == sum(each["events"] for each in sessions[1:])
    assert [(each["whole"], bool(each["spans"])) for each in sessions] == [(True, False), *[(False, True)] * 3]


def test_a_page_has_so_many_spans_and_tells_what_it_leaves_out(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis_page, "MOST_SPANS", 30)
    sessions = page(made(1, turns=9), made(2, turns=9), made(3, turns=9)).data["sessions"]
    assert [each["name"] for each in sessions] == ["All 3 sessions", "0.jsonl"]
    assert sessions[0]["notes"] == ["2 more sessions are in the figures alone"]


def test_a_session_of_a_hundred_thousand_events_still_makes_a_small_page(page: Callable[..., Page]) -> None:
    session = MadeSession(1)
    for _ in range(10):
        session.typed()
        session.writes(deltas=10_000)
    (one,) = page(session.lines).data["sessions"]
    assert one["events"] > 100_000
    assert len(one["spans"]) == 21
    assert Path("out.html").stat().st_size < 150_000


def test_a_recording_without_times_is_drawn_in_its_order(page: Callable[..., Page]) -> None:
    lines = [re.sub(rb', "at": \d+', b"", line) for line in made(1)]
    (one,) = page(lines).data["sessions"]
    assert (one["timed"], one["length"]) == (False, len(lines) - 2)
    assert one["notes"][-1] == "no row has a time: there are counts, and no durations"


def test_prices_are_a_figure(page: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"models": {"gpt-realtime": {"text_output": 1000000}}}')
    sessions = page(made(1), made(2), arguments=("--prices", "prices.json")).data["sessions"]
    for each in sessions:
        (cost,) = [figure for figure in each["figures"] if figure["label"] == "Cost"]
        assert cost["value"].endswith(" USD")
        assert cost["beside"] == "without what has no price"


def test_broken_rules_unreadable_lines_and_sockets_are_notes(page: Callable[..., Page]) -> None:
    session = MadeSession(1)
    again = [session.lines[0]] * 3
    session.input("opened")
    session.lines.insert(0, session.lines.pop())  # a socket opens before it says anything
    session.typed()
    session.writes()
    Path("0.jsonl").write_bytes(b"".join([*session.lines, *again, b"noise\n"]))
    assert main(["analyze", "--html", "out.html", "0.jsonl"]) == 2
    (one,) = Page(Path("out.html").read_text(encoding="utf-8")).data["sessions"]
    notes = {(span["kind"], span["label"].partition(" is no")[0]) for span in one["spans"] if span["lane"] == "note"}
    assert {("broken", "R-S1"), ("remark", "the socket opened")} < notes
    (rule,) = [span for span in one["spans"] if span["kind"] == "broken"]
    assert rule["facts"]["count"] == 3
    assert one["notes"][0].startswith(f"0.jsonl:{len(session.lines) + 4}: ")


@pytest.mark.parametrize("out", ["nowhere/out.html", "", "."])
def test_a_page_that_cannot_be_written_is_wrong_usage(
    page: Callable[..., Page], capsys: pytest.CaptureFixture[str], out: str
) -> None:
    Path("0.jsonl").write_bytes(b"".join(made(1)))
    assert main(["analyze", "--html", out, "0.jsonl"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"antiphon analyze: --html {out}: cannot be written: ")
    assert len(error.splitlines()) == 1


def test_a_page_does_not_overwrite_what_is_to_be_read(
    page: Callable[..., Page], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b"".join(made(1))
    Path("0.jsonl").write_bytes(lines)
    assert main(["analyze", "--html", "0.jsonl", "0.jsonl"]) == 2
    assert capsys.readouterr().err == "antiphon analyze: --html 0.jsonl: would overwrite what is to be read\n"
    assert Path("0.jsonl").read_bytes() == lines


def test_a_page_of_yesterday_stays_until_there_is_a_new_one(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page(made(1))
    yesterday = Path("out.html").read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("antiphon_cli.analyze.read_recording", interrupted)
    assert main(["analyze", "--html", "out.html", "0.jsonl"]) == 130
    assert Path("out.html").read_bytes() == yesterday
    assert sorted(os.listdir()) == ["0.jsonl", "out.html"]


def test_a_page_that_could_not_be_written_to_its_end_leaves_the_old_one(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page(made(1))
    yesterday = Path("out.html").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    capsys.readouterr()
    monkeypatch.setattr("antiphon_cli.analysis_page.page", full)
    assert main(["analyze", "--html", "out.html", "0.jsonl"]) == 2
    assert capsys.readouterr().err == (
        "antiphon analyze: --html out.html: cannot be written: No space left on device\n"
    )
    assert Path("out.html").read_bytes() == yesterday
    assert sorted(os.listdir()) == ["0.jsonl", "out.html"]


def test_where_there_is_nothing_to_show_the_old_page_stays(page: Callable[..., Page]) -> None:
    page(made(1))
    yesterday = Path("out.html").read_bytes()
    assert main(["analyze", "--html", "out.html", "nothere.jsonl"]) == 2
    assert Path("out.html").read_bytes() == yesterday


def test_a_new_page_can_be_read_by_whom_the_old_one_could(page: Callable[..., Page]) -> None:
    page(made(1))
    Path("out.html").chmod(0o640)
    page(made(2))
    assert Path("out.html").stat().st_mode & 0o777 == 0o640


def test_a_page_that_is_a_link_stays_one(page: Callable[..., Page]) -> None:
    Path("pages").mkdir()
    Path("out.html").symlink_to("pages/today.html")
    page(made(1))
    assert Path("out.html").is_symlink()
    assert Path("pages/today.html").stat().st_size
    assert os.listdir("pages") == ["today.html"]


def test_a_page_can_go_to_a_device(page: Callable[..., Page]) -> None:
    Path("0.jsonl").write_bytes(b"".join(made(1)))
    assert main(["analyze", "--html", os.devnull, "0.jsonl"]) == 0
    assert not Path(os.devnull).is_file()
