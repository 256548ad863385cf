"""`antiphon analyze`: what it tells of recordings, in which form, and of bad ones."""

from __future__ import annotations

import gc
import json
import re
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from antiphon.toolkit import portable_id
from antiphon_cli.__main__ import main

from .conftest import Ran
from .made_journals import MadeSession, fill, made

Analyze = Callable[..., Ran]


@pytest.fixture
def analyze(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Analyze:
    """Runs the command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        code = main(["analyze", *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def write(name: str, lines: Iterable[bytes]) -> str:
    Path(name).write_bytes(b"".join(lines))
    return name


def session(*, audio: bool = True) -> MadeSession:
    """A spoken turn whose answer is cut, one with a tool, and a typed one."""
    made = MadeSession(7, audio=audio)
    spoken = made.speaks()
    made.answers(deltas=10, cut=True, player=True)
    made.transcribed(spoken)
    made.answers(deltas=4)
    made.wait(900)
    made.speaks()
    made.calls()
    made.answers(deltas=4)
    made.wait(900)
    made.typed()
    made.writes()
    return made


def document(ran: Ran) -> dict[str, Any]:
    loaded = json.loads(ran.out)
    assert isinstance(loaded, dict)
    return loaded


# The report ----------------------------------------------------------------------------------------------------------


def test_the_report_of_one_file_tells_turns_waiting_usage_flows_events_and_words(analyze: Analyze) -> None:
    ran = analyze(write("a.jsonl", session().lines))
    assert (ran.code, ran.err) == (0, "")
    heads = [line for line in ran.out.splitlines() if line and not line.startswith(" ")]
    assert heads == [
        "a.jsonl",
        "Turns",
        "Waiting, in ms",
        "Usage",
        "Sequence of events",
        "Events, and the ms since the one before of the same side",
        "Transcript",
    ]
    assert "  interruptions     1; of 1 answer cut, 600 of 1,000 ms were heard (60 %)" in ran.out
    assert "  responses         4 completed, 1 cancelled" in ran.out
    assert re.search(r"^  voice latency +\d+ +\d", ran.out, re.MULTILINE)
    assert "  function call     1 of 1 as expected" in ran.out
    assert ran.out.count("— (cut)") == 1


def test_of_several_files_each_has_a_line_and_all_have_a_report(analyze: Analyze) -> None:
    files = [write(f"{seed}.jsonl", made(seed)) for seed in range(3)]
    ran = analyze(*files)
    lines = ran.out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == files
    assert "All 3 files" in lines
    assert "Transcript" not in lines


def test_a_folder_stands_for_its_journals(analyze: Analyze) -> None:
    Path("folder").mkdir()
    write("folder/b.jsonl", made(1))
    write("folder/a.jsonl", made(2))
    write("folder/notes.txt", [b"not a journal"])
    told = document(analyze("--json", "folder"))
    assert [each["file"] for each in told["files"]] == ["folder/a.jsonl", "folder/b.jsonl"]


def test_each_prints_every_report(analyze: Analyze) -> None:
    ran = analyze("--each", write("a.jsonl", made(1)), write("b.jsonl", made(2)))
    assert ran.out.count("\nTranscript\n") == 2
    assert ran.out.splitlines().count("Turns") == 3


def test_a_narrow_terminal_gets_narrow_lines(analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("antiphon_cli.console.Console.is_terminal", True)
    ran = analyze(write("a.jsonl", session().lines))
    assert max(len(re.sub("\x1b\\[[01]m", "", line)) for line in ran.out.splitlines()) <= 40
    assert "\x1b[1mTurns\x1b[0m" in ran.out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in analyze("a.jsonl").out


def test_what_a_peer_said_does_not_steer_the_terminal(analyze: Analyze) -> None:
    made = MadeSession(1)
    made.typed()
    made.server("error", error={"type": "invalid_request_error", "code": "\x1b]0;evil\x07", "message": "no"})
    ran = analyze(write("a.jsonl", made.lines))
    assert "evil" in ran.out
    assert "\x1b" not in ran.out


def test_broken_rules_are_told_and_are_no_failure_of_the_command(analyze: Analyze) -> None:
    lines = session().lines
    ran = analyze(write("a.jsonl", [*lines, lines[0], lines[0]]))
    assert ran.code == 0
    assert "Rules broken\n  R-S1 " in ran.out
    assert "2 ×" in ran.out
    assert f"first in line {len(lines) + 1}" in " ".join(ran.out.split())


def test_what_is_still_open_at_the_end_is_told(analyze: Analyze) -> None:
    made = MadeSession(3)
    made.typed()
    ran = analyze(write("a.jsonl", made.lines))
    assert "Open at the end" in ran.out
    assert "response.create was not answered" in ran.out


# The document --------------------------------------------------------------------------------------------------------


def test_the_document_has_its_keys(analyze: Analyze) -> None:
    told = document(analyze("--json", write("a.jsonl", session().lines), write("b.jsonl", made(3))))
    assert (told["format"], told["exit_code"], list(told)) == (1, 0, ["format", "files", "all", "exit_code"])
    one = told["files"][0]
    assert list(one) == [
        "file",
        "rows",
        "events",
        "transport",
        "audio_cut",
        "error",
        "notes",
        "analysis",
        "flows",
        "rules",
        "violations",
        "open_at_end",
        "cost",
        "turns",
        "turns_omitted",
        "transcript",
    ]
    assert list(told["all"]) == ["files", "unreadable", "events", "analysis", "flows", "rules", "cost"]
    assert told["all"]["analysis"]["sessions"] == 2
    assert [turn["status"] for turn in one["turns"]] == [
        "cancelled",
        "completed",
        "completed",
        "completed",
        "completed",
    ]
    cut = one["turns"][0]
    assert (cut["interrupted"], cut["heard_ms"], cut["received_ms"]) == (True, 600, 1000)
    assert cut["latency_ms"] > 0
    assert [line["kind"] for line in one["transcript"]].count("call") == 1


def test_turns_beyond_a_bound_are_counted(analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon_cli.analysis_json.MOST_TURNS", 2)
    (one,) = document(analyze("--json", write("a.jsonl", session().lines)))["files"]
    assert (len(one["turns"]), one["turns_omitted"]) == (2, 3)


def test_prices_make_costs(analyze: Analyze) -> None:
    Path("prices.json").write_text('{"currency": "EUR", "models": {"gpt-realtime": {"text_output": 1000000}}}')
    name = write("a.jsonl", session().lines)
    (one,) = document(analyze("--json", "--prices", "prices.json", name))["files"]
    assert (one["cost"]["amount"], one["cost"]["currency"]) == ("150", "EUR")
    assert one["cost"]["unpriced"]["audio_output"] == 300
    assert "  cost              150 EUR; without a price: " in analyze("--prices", "prices.json", name).out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"{", "is no table of prices: "),
        (b'{"models": {"m": {"text_input": -1}}}', "is no table of prices: "),
        (b"\xff", "is no table of prices: "),
    ],
)
def test_prices_that_cannot_be_read_are_wrong_usage(analyze: Analyze, content: bytes | None, said: str) -> None:
    if content is not None:
        write("prices.json", [content])
    ran = analyze("--prices", "prices.json", write("a.jsonl", made(1)))
    assert ran.code == 2
    assert ran.err.startswith(f"antiphon analyze: prices.json: {said}")
    assert len(ran.err.splitlines()) == 1


# Transcripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("text", r"^user: .+\nassistant: .+ —\n"),
        ("md", r"^\*\*user:\*\* .+\n\n\*\*assistant:\*\* .+ —\n"),
        ("srt", r"^1\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\nuser: "),
        ("vtt", r"^WEBVTT\n\n00:00:00\.\d{3} --> .+\n<v user>"),
    ],
)
def test_a_transcript_is_all_that_is_printed(analyze: Analyze, form: str, shown: str) -> None:
    ran = analyze("--transcript", form, write("a.jsonl", session().lines))
    assert (ran.code, ran.err) == (0, "")
    assert re.match(shown, ran.out), ran.out


def test_a_transcript_as_json_knows_when(analyze: Analyze) -> None:
    lines = json.loads(analyze("--transcript", "json", write("a.jsonl", session().lines)).out)
    assert lines[0]["who"] == "user"
    assert lines[0]["span"]["start_ms"] < lines[0]["span"]["end_ms"]


def test_transcripts_of_several_files_stand_below_their_names(analyze: Analyze) -> None:
    files = [write("a.jsonl", made(1)), write("empty.jsonl", [])]
    ran = analyze("--transcript", "text", *files)
    assert (ran.code, ran.out.startswith("a.jsonl:\nuser: "), ran.out.endswith("\n\nempty.jsonl:\n")) == (2, True, True)
    assert analyze("--transcript", "md", *files).out.startswith("# a.jsonl\n\n")


def test_captions_need_one_file_and_times(analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    untimed = (re.sub(rb', "at": \d+', b"", line) for line in made(1))
    files = [write("a.jsonl", untimed), write("b.jsonl", made(2))]
    with pytest.raises(SystemExit):
        analyze("--transcript", "srt", "--json", *files)
    capsys.readouterr()
    ran = analyze("--transcript", "srt", *files)
    assert (ran.code, ran.err) == (2, "antiphon analyze: --transcript srt takes one FILE, not 2\n")
    ran = analyze("--transcript", "vtt", files[0])
    assert (ran.code, ran.out) == (0, "WEBVTT\n\n")
    assert ran.err == "antiphon analyze: no row has a time, so there are no captions\n"


# Bad input -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_does_not_hide_the_others(analyze: Analyze) -> None:
    ran = analyze("--json", "nothere.jsonl", write("a.jsonl", made(1)))
    assert ran.code == 2
    assert ran.err == "antiphon analyze: nothere.jsonl: cannot be read: No such file or directory\n"
    told = document(ran)
    assert [each["error"] is None for each in told["files"]] == [False, True]
    assert (told["all"]["unreadable"], told["exit_code"]) == (1, 2)
    assert told["files"][1]["analysis"]["turns"] > 0


def test_of_files_without_an_event_no_figures_are_shown(analyze: Analyze) -> None:
    assert analyze("nothere.jsonl").out == "nothere.jsonl\n  0 server events, 0 client events\n"
    assert analyze("nothere.jsonl", "nowhere.jsonl").out.endswith(
        "\nAll 2 files\n  0 server events, 0 client events, 2 files not (all) readable\n"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x.jsonl: holds no event: is it a journal?"),
        (b"\n\n \n", "x.jsonl: holds no event: is it a journal?"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "x.jsonl:1: is no UTF-8 text"),
        (b'{"some": "json"}\n', "x.jsonl:1: is no journal line"),
        (b'{"dir": "server", "event": 7}\n', 'x.jsonl:1: a server line has an object under "event"'),
        (b"[" * 100_000, "x.jsonl:1: is no"),
    ],
)
def test_what_is_no_journal_is_said_in_one_line(analyze: Analyze, content: bytes, said: str) -> None:
    ran = analyze(write("x.jsonl", [content]))
    assert ran.code == 2
    assert ran.err.startswith(f"antiphon analyze: {said}")
    assert len(ran.err.splitlines()) == 1


def test_a_line_that_was_cut_short_is_a_note(analyze: Analyze) -> None:
    lines = session().lines
    ran = analyze("--json", write("a.jsonl", [*lines, lines[-1][:40]]))
    assert ran.code == 0
    (one,) = document(ran)["files"]
    assert one["notes"] == [f"line {len(lines) + 1} is cut short and was passed over"]
    assert one["analysis"]["turns"] == 4


def test_foreign_lines_lose_nothing_of_what_stands_around_them(analyze: Analyze) -> None:
    lines = session().lines
    whole = document(analyze("--json", write("a.jsonl", lines)))["files"][0]
    foreign = [b"--- log rotated ---\n", b"\xff\xfe\n", b'{"level": "info"}\n', *[b"noise\n"] * 20]
    ran = analyze("--json", write("b.jsonl", [*lines[:30], *foreign, *lines[30:]]))
    (one,) = document(ran)["files"]
    assert ran.code == 2
    assert ran.err.startswith("antiphon analyze: b.jsonl:31: ")
    assert (one["analysis"], one["transcript"]) == (whole["analysis"], whole["transcript"])
    assert one["notes"][-1] == "18 rows more could not be read"
    assert len(one["notes"]) == 6


def test_a_clock_that_goes_back_makes_no_negative_durations(analyze: Analyze) -> None:
    lines = session().lines
    lines[20], lines[21] = lines[21], lines[20]
    lines.append(re.sub(rb'"at": \d+', b'"at": 3', lines[-1]))
    (one,) = document(analyze("--json", write("a.jsonl", lines)))["files"]
    assert one["notes"] == ["in 2 rows the time goes back, first in line 22: the latest time before it was taken"]
    assert all(gap["min"] is None or gap["min"] >= 0 for gap in one["analysis"]["between"].values())


def test_a_clock_may_begin_before_zero(analyze: Analyze) -> None:
    lines = [b'{"dir": "server", "event": {"type": "a.b"}, "at": %d}\n' % at for at in (-5 * 10**9, -(10**9), 10**9)]
    (one,) = document(analyze("--json", write("a.jsonl", lines)))["files"]
    assert one["analysis"]["duration_ms"] == 6000
    assert one["analysis"]["between"]["a.b"]["max"] == 4000
    assert one["notes"] == []


def test_two_responses_of_one_id_are_two_turns(analyze: Analyze) -> None:
    made = session()
    again = [line for line in made.lines if b'"response.created"' in line or b'"response.done"' in line][:2]
    (one,) = document(analyze("--json", write("a.jsonl", [*made.lines, *again])))["files"]
    ids = [turn["response_id"] for turn in one["turns"]]
    assert len(ids) == 6
    assert ids[0] == ids[-1]


def test_rows_of_a_newer_version_are_notes(analyze: Analyze) -> None:
    strange = [
        b'{"dir": "config", "config": {"role": "client"}}\n',
        b'{"dir": "input", "input": {"in": ["audio_played"]}}\n',
        b'{"dir": "input", "input": {"in": "audio_played", "item_id": 7, "samples": "many"}}\n',
        b'{"dir": "input", "input": 5}\n',
        b'{"dir": "hologram", "event": {"type": "session.created"}}\n',
        b'{"dir": "server", "event": {"type": "response.smell.delta", "odour": "tar"}, "at": 6e9, "v": 9}\n',
    ]
    ran = analyze("--json", write("a.jsonl", [*session().lines, *strange]))
    (one,) = document(ran)["files"]
    assert ran.code == 0
    assert one["analysis"]["by_type"]["response.smell.delta"] == 1


def test_a_session_over_webrtc_is_told_by_what_only_it_has(analyze: Analyze) -> None:
    made = MadeSession(1, audio=False)
    made.typed()
    made.writes()
    made.server("output_audio_buffer.started", response_id="resp_9")
    (one,) = document(analyze("--json", write("a.jsonl", made.lines)))["files"]
    assert one["transport"] == "webrtc"


def test_a_pipe_can_be_analyzed(antiphon: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"".join(made(1)))
    ran = antiphon("analyze", "/dev/stdin")
    assert (ran.code, ran.err) == (2, "antiphon analyze: /dev/stdin: holds no event: is it a journal?\n")
    assert antiphon("analyze", "a.jsonl").code == 0


def test_a_folder_without_journals_is_wrong_usage(analyze: Analyze) -> None:
    Path("empty").mkdir()
    ran = analyze("empty")
    assert (ran.code, ran.err) == (2, "antiphon analyze: empty: holds no .jsonl file\n")


def test_what_was_said_over_an_earlier_socket_is_not_lost_and_told_once(analyze: Analyze) -> None:
    first, second = session(), MadeSession(8)
    before = json.loads(analyze("--transcript", "json", write("a.jsonl", first.lines)).out)
    first.input("eof_received")
    first.input("opened")
    told_again = {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "id": before[0]["item_id"]},
    }
    told_again["item"]["content"] = [{"type": "input_text", "text": before[0]["text"]}]  # type: ignore[index]
    second.now = first.now
    second.made = first.made
    second.row("client", event=told_again)
    second.typed()
    second.writes()
    lines = json.loads(analyze("--transcript", "json", write("b.jsonl", [*first.lines, *second.lines])).out)
    assert lines[: len(before)] == before
    assert [line["who"] for line in lines[len(before) :]] == ["user", "assistant"]
    (one,) = document(analyze("--json", "b.jsonl"))["files"]
    assert (one["analysis"]["turns"], one["analysis"]["responses"]) == (5, {"completed": 5, "cancelled": 1})


def test_what_was_said_is_told_once_though_another_socket_has_other_ids_for_it(analyze: Analyze) -> None:
    long = "x" * 36  # more than a client may choose
    made = MadeSession(8)
    made.typed()
    made.writes()
    (first, *_) = json.loads(analyze("--transcript", "json", write("a.jsonl", made.lines)).out)
    made.lines = [line.replace(first["item_id"].encode(), long.encode()) for line in made.lines]
    before = analyze("--transcript", "srt", write("b.jsonl", made.lines)).out
    made.input("eof_received")
    made.input("opened")
    again = {"type": "message", "role": "user", "id": portable_id(long), "status": "completed"}
    again["content"] = [{"type": "input_text", "text": first["text"]}]  # type: ignore[assignment]
    made.client("conversation.item.create", item=again)
    made.server("session.created", session={"type": "realtime"})
    made.server("conversation.item.added", item=again, previous_item_id=None)
    made.server("conversation.item.done", item=again, previous_item_id=None)
    assert analyze("--transcript", "srt", write("c.jsonl", made.lines)).out == before
    (one,) = document(analyze("--json", "c.jsonl"))["files"]
    assert one["analysis"]["turns"] == 1


# Many files ----------------------------------------------------------------------------------------------------------


def most_memory(files: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The largest number of bytes that the analysis of these files held at a time."""
    # What is done with goes after each file, not when the collector finds it: the same in every run.
    monkeypatch.setattr("antiphon_cli.console.Console.out", lambda self, line="": ".jsonl: " in line and gc.collect())
    gc.collect()
    tracemalloc.start()
    try:
        assert main(["analyze", *files]) == 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyze: Analyze
) -> None:
    made_files = [str(path) for path in fill(tmp_path, 4)]
    analyze(*made_files)  # what is loaded once is not counted
    monkeypatch.setattr("antiphon.toolkit.distribution.KEPT", 64)  # samples that are full soon
    few, many = most_memory(made_files, monkeypatch), most_memory(made_files * 8, monkeypatch)
    assert many < few + 150_000  # of three times as many files, one alone needs as much


def test_memory_does_not_grow_with_the_length_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analyze: Analyze
) -> None:
    monkeypatch.setattr("antiphon.toolkit.distribution.KEPT", 64)
    session = MadeSession(1)
    session.typed()
    session.writes(deltas=200)
    short = write("short.jsonl", session.lines)
    for _ in range(20_000):
        session.client("input_audio_buffer.append", audio="AAAAAAAA")
    long = write("long.jsonl", session.lines)
    analyze(short)
    few, many = most_memory([short], monkeypatch), most_memory([long], monkeypatch)
    assert Path(long).stat().st_size > 50 * Path(short).stat().st_size
    assert many < few + 300_000  # a piece of the file, and the samples of distributions
