"""The checker: what it finds in a recorded session, where, and how it ends."""

import errno
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from antiphon.toolkit.journal import read_lines
from antiphon_cli.__main__ import main
from antiphon_cli.check import Verdict, check_entries, check_file

Line = tuple[str, dict[str, Any]]


def server(type: str, **fields: object) -> Line:
    return "server", {"type": type, "event_id": "event_1", **fields}


def client(type: str, **fields: object) -> Line:
    return "client", {"type": type, **fields}


SESSION = {"type": "realtime", "id": "sess_1", "object": "realtime.session"}
CREATED = server("session.created", session=SESSION)
USER = {
    "id": "item_u",
    "type": "message",
    "role": "user",
    "status": "completed",
    "content": [{"type": "input_text", "text": "hi"}],
}
TURN = (
    client("conversation.item.create", item=USER),
    client("response.create"),
    server("conversation.item.added", item=USER, previous_item_id=None),
    server("conversation.item.done", item=USER, previous_item_id=None),
    server(
        "response.created",
        response={"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []},
    ),
    server(
        "response.done", response={"id": "resp_1", "object": "realtime.response", "status": "completed", "output": []}
    ),
)


def text(lines: Iterable[Line], *, at: bool = False) -> bytes:
    return b"".join(
        json.dumps(
            {"dir": dir, "input" if dir == "input" else "event": event, **({"at": number * 1000} if at else {})}
        ).encode()
        + b"\n"
        for number, (dir, event) in enumerate(lines)
    )


def check(*lines: Line, audio_cut: bool = False) -> Verdict:
    return check_entries(read_lines(text(lines).splitlines(keepends=True)), "made", audio_cut=audio_cut)


def kinds(verdict: Verdict) -> list[tuple[int, str, str]]:
    return [(each.line, each.dir, each.rule) for each in verdict.violations]


def test_a_session_that_keeps_the_rules_is_clean() -> None:
    verdict = check(CREATED, *TURN)
    assert (verdict.violations, verdict.open_at_end, verdict.code(strict=True)) == ((), (), 0)
    assert (verdict.lines, verdict.client_events, verdict.server_events) == (7, 2, 5)


def test_what_the_server_breaks_is_told_with_line_type_rule_title_and_detail() -> None:
    (violation,) = check(CREATED, *TURN, TURN[-1]).violations
    assert (violation.line, violation.dir, violation.event_type, violation.rule) == (
        8,
        "server",
        "response.done",
        "R-R3",
    )
    assert violation.title == "`response.done` is the last event of its response, once"
    assert violation.detail is not None
    assert "'completed'" in violation.detail


def test_the_same_deviation_again_is_told_again_with_its_own_line() -> None:
    verdict = check(CREATED, *TURN, TURN[-1], TURN[-1])
    assert kinds(verdict) == [(8, "server", "R-R3"), (9, "server", "R-R3")]
    assert verdict.violations[1].detail is None


def test_what_the_client_breaks_is_told_as_the_clients_and_stepped_all_the_same() -> None:
    verdict = check(
        CREATED,
        client("conversation.item.delete", event_id="e1", item_id="item_absent"),
        server("conversation.item.deleted", item_id="item_absent"),
    )
    assert kinds(verdict)[0] == (2, "client", "R-C10")
    assert all("was not answered" not in each.what for each in verdict.open_at_end if each.line != 2)


def test_every_rule_that_one_command_breaks_is_told() -> None:
    item = {"id": "x" * 40, "type": "function_call_output", "call_id": "call_none", "output": ""}
    verdict = check(CREATED, client("conversation.item.create", item=item))
    assert [each.rule for each in verdict.violations] == ["R-C11", "R-C12"]


def test_the_hint_how_to_override_a_rule_is_not_for_a_recording() -> None:
    (violation,) = check(CREATED, client("response.cancel")).violations
    assert violation.detail == "Cancellation failed: no active response found"


def test_a_server_event_from_the_client_is_told() -> None:
    assert kinds(check(CREATED, client("response.done"))) == [(2, "client", "R-E6")]


def test_event_types_that_nobody_knows_are_not_judged() -> None:
    verdict = check(CREATED, client("vendor.hello"), server("vendor.hello"))
    assert verdict.violations == ()


def test_a_client_event_that_does_not_fit_its_class_is_told() -> None:
    assert kinds(check(CREATED, client("conversation.item.truncate", item_id=7))) == [(2, "client", "R-E5")]


def test_a_command_may_come_before_the_session_shows_itself() -> None:
    update = client("session.update", session={"type": "realtime"})
    assert check(update, CREATED, server("session.updated", session=SESSION)).violations == ()


def test_a_recording_that_begins_with_the_answer_to_an_update_is_a_sideband() -> None:
    update = client("session.update", session={"type": "realtime"})
    verdict = check(update, server("session.updated", session=SESSION))
    assert (verdict.transport, verdict.violations) == ("sideband", ())


def test_an_update_that_nobody_asked_for_makes_no_sideband() -> None:
    verdict = check(server("session.updated", session=SESSION))
    assert verdict.transport == "websocket"
    assert [each.rule for each in verdict.violations] == ["R-S1", "R-S2"]


def test_an_item_that_nobody_asked_for_is_told() -> None:
    added, done = TURN[2], TURN[3]
    assert kinds(check(CREATED, added, done)) == [(2, "server", "R-A1")]


def test_committed_audio_is_not_taken_for_a_message_that_was_sent_meanwhile() -> None:
    audio = {
        "id": "item_a",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_audio"}],
    }
    written = {**USER, "id": "item_server_made"}
    verdict = check(
        CREATED,
        server("input_audio_buffer.speech_started", item_id="item_a", audio_start_ms=0),
        client("conversation.item.create", item={key: USER[key] for key in ("type", "role", "content")}),
        server("input_audio_buffer.speech_stopped", item_id="item_a", audio_end_ms=500),
        server("input_audio_buffer.committed", item_id="item_a", previous_item_id=None),
        server("conversation.item.added", item=audio, previous_item_id=None),
        server("conversation.item.done", item=audio, previous_item_id=None),
        server("conversation.item.added", item=written, previous_item_id="item_a"),
        server("conversation.item.done", item=written, previous_item_id="item_a"),
    )
    assert (verdict.violations, verdict.open_at_end) == ((), ())


def test_a_commit_without_audio_is_told_unless_the_audio_was_cut() -> None:
    commit = client("input_audio_buffer.commit")
    assert kinds(check(CREATED, commit)) == [(2, "client", "R-I3")]
    assert check(CREATED, commit, audio_cut=True).violations == ()


def test_a_note_says_that_the_audio_was_cut() -> None:
    note = b'{"dir":"note","audio":"cut"}\n'
    lines = [note, *text((CREATED, client("input_audio_buffer.commit"))).splitlines(keepends=True)]
    verdict = check_entries(read_lines(lines), "made")
    assert verdict.violations == ()
    assert verdict.notes == ("the audio was cut: samples were not counted",)


SOCKET: Line = "input", {"in": "opened"}


def test_another_socket_is_another_session() -> None:
    assert not check(SOCKET, CREATED, SOCKET, CREATED).violations
    assert kinds(check(CREATED, CREATED))[0][2] == "R-S1"


def test_what_the_lost_socket_left_open_is_not_open_at_the_end() -> None:
    begun = server("response.created", response={"id": "r1", "status": "in_progress"})
    assert check(CREATED, begun).open_at_end
    assert not check(CREATED, begun, SOCKET, CREATED).open_at_end


def test_a_deviation_on_each_socket_is_told_on_each() -> None:
    lines = [line for line, _, _ in kinds(check(CREATED, CREATED, SOCKET, CREATED, CREATED))]
    assert lines == [2, 5]


def test_what_a_client_sends_before_the_new_session_shows_itself_is_not_the_old_ones() -> None:
    item = {"id": "item_1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    create = client("conversation.item.create", item=item)
    told = [server(f"conversation.item.{what}", previous_item_id=None, item=item) for what in ("added", "done")]
    assert not check(CREATED, create, *told, SOCKET, create, CREATED, *told).violations


def test_the_kept_journal_of_two_sockets_is_clean() -> None:
    path = Path(__file__).resolve().parents[1] / "traces" / "recorded" / "barge_in_and_reconnect.jsonl"
    verdict = check_file(str(path))
    assert not verdict.violations
    assert not verdict.open_at_end


def test_what_is_open_at_the_end_is_told_with_where_it_began_and_breaks_a_rule_only_under_strict() -> None:
    verdict = check(CREATED, *TURN[:-1], client("input_audio_buffer.clear"))
    assert [(each.line, each.what) for each in verdict.open_at_end] == [
        (6, "response resp_1 has no response.done"),
        (7, "input_audio_buffer.clear was not answered"),
    ]
    assert verdict.code(strict=False) == 0
    assert verdict.code(strict=True) == 1


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ((client("response.create"),), "response.create was not answered"),
        ((CREATED, *TURN[:3]), "item item_u has no conversation.item.done"),
        (
            (CREATED, server("input_audio_buffer.speech_started", item_id="i", audio_start_ms=0)),
            "the user's speech has no input_audio_buffer.speech_stopped",
        ),
        (
            (CREATED, *TURN, server("conversation.item.input_audio_transcription.delta", item_id="item_u", delta="h")),
            "the transcription of item item_u has no end",
        ),
        ((client("session.update", session={"type": "realtime"}),), "session.created never came"),
        ((CREATED, server("mcp_list_tools.in_progress", item_id="i")), "the MCP work of item i has no end"),
    ],
)
def test_open_at_the_end(lines: tuple[Line, ...], what: str) -> None:
    assert what in [each.what for each in check(*lines).open_at_end]


def test_times_that_go_back_are_no_matter() -> None:
    lines = text((CREATED, *TURN), at=True).splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"at": 3000', b'"at": 1')
    assert check_entries(read_lines(lines), "made").violations == ()


# The command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "session.jsonl"
    path.write_bytes(text((CREATED, *TURN)))
    return path


def test_a_clean_file_is_one_row_and_exit_0(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(journal)]) == 0
    assert capsys.readouterr().out == f"{journal}: 7 rows, 7 events: clean\n"


def test_a_broken_rule_is_a_row_of_its_own_and_exit_1(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with journal.open("ab") as file:
        file.write(text(TURN[-1:]))
    assert main(["check", str(journal)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("8 rows, 8 events: broken rules: 1")
    assert second.startswith("  line 8  server response.done  R-R3 `response.done` is the last event of its response")


def test_a_broken_line_is_one_line_on_stderr_and_exit_2(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with journal.open("ab") as file:
        file.write(b"{broken\n")
    assert main(["check", str(journal)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"antiphon check: {journal}:8: is no JSON")
    assert captured.err.count("\n") == 1


def test_what_stands_around_foreign_lines_is_checked_all_the_same(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([b"noise\n" * 2, *lines[:3], b"noise\n" * 5, *lines[3:], lines[-1]]))
    assert main(["check", str(journal)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"antiphon check: {journal}:1: is no JSON")
    assert captured.err.count("\n") == 1
    first, broken, *notes = captured.out.splitlines()
    assert first.endswith("15 rows, 8 events: not all of it readable, broken rules: 1")
    assert broken.startswith("  line 15  server response.done  R-R3 ")
    assert [note.partition(" is no JSON")[0] for note in notes[:-1]] == [
        f"  note: line {number}" for number in (1, 2, 6, 7, 8)
    ]
    assert notes[-1] == "  note: 2 rows more could not be read"


def test_a_pipe_is_checked_like_its_file(journal: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with journal.open("ab") as file:
        file.write(text([server("output_audio_buffer.started", response_id="r")]))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", str(journal), str(pipe)]) as writer:
        code = main(["check", str(pipe)])
        writer.wait(10)
    told = capsys.readouterr().out
    assert (main(["check", str(journal)]), capsys.readouterr().out.replace(str(journal), str(pipe))) == (code, told)


def test_a_pipe_that_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert main(["check", os.devnull]) == 2
    assert capsys.readouterr().err == f"antiphon check: {os.devnull}: cannot be read: No space left on device\n"


def test_a_file_without_an_event_is_unreadable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"")
    assert main(["check", str(path)]) == 2
    assert "holds no event" in capsys.readouterr().err


def test_other_files_are_checked_although_one_is_unreadable(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "absent"), str(journal)]) == 2
    assert "7 events: clean" in capsys.readouterr().out


def test_json_is_one_document(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with journal.open("ab") as file:
        file.write(text((TURN[-1], client("response.create"))))
    assert main(["check", "--json", "--strict", str(journal), str(tmp_path / "absent")]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2
    broken, absent = document["files"]
    assert (broken["verdict"], broken["rows"], broken["events"]) == ("broken", 9, {"client": 3, "server": 6})
    assert broken["violations"][0]["rule"] == "R-R3"
    assert broken["open_at_end"] == [{"line": 9, "what": "response.create was not answered"}]
    assert absent["verdict"] == "unreadable"
    assert "No such file" in absent["error"]


def test_what_a_peer_said_cannot_steer_the_terminal(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with journal.open("ab") as file:
        file.write(text([server("response.done", response={"id": "r\x1b[2J", "status": "completed"})]))
    main(["check", str(journal)])
    assert "\x1b" not in capsys.readouterr().out
