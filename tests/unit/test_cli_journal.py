"""Journals: what is read, what is passed over, and how a broken line is told."""

from pathlib import Path

import pytest

from antiphon_cli.journal import (
    CutLine,
    JournalError,
    JournalWriter,
    Note,
    Row,
    format_note,
    format_row,
    read_journal,
    read_lines,
)

CREATED = b'{"dir":"server","event":{"type":"session.created"}}\n'


def refused(*lines: bytes) -> JournalError:
    with pytest.raises(JournalError) as caught:
        list(read_lines(lines, "a.jsonl"))
    return caught.value


def test_a_row_keeps_the_json_text_of_its_event() -> None:
    (row,) = read_lines([b'{"dir": "server", "event": {"type":  "x", "n": 1e400}, "at": 7}\n'], "a.jsonl")
    assert row == Row(1, "server", b'{"type":  "x", "n": 1e400}', 7)


def test_rows_are_numbered_by_their_lines_also_behind_empty_ones() -> None:
    entries = list(read_lines([b"\n", CREATED, b"  \r\n", CREATED], "a.jsonl"))
    assert [entry.number for entry in entries] == [2, 4]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert len(list(read_lines([b"\xef\xbb\xbf" + CREATED], "a.jsonl"))) == 1


def test_a_line_with_another_dir_is_a_note() -> None:
    (note,) = read_lines([b'{"dir":"transport","event":{"kind":"close"}}\n'], "a.jsonl")
    assert isinstance(note, Note)
    assert note.dir == "transport"
    assert not note.says_audio_was_cut


def test_a_note_can_say_that_the_audio_was_cut() -> None:
    (note,) = read_lines([b'{"dir":"note","audio":"cut"}\n'], "a.jsonl")
    assert isinstance(note, Note)
    assert note.says_audio_was_cut


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{\n", "is no JSON"),
        (b"[]\n", "is no journal line"),
        (b'{"event":{}}\n', "is no journal line"),
        (b'{"dir":1,"event":{}}\n', "is no journal line"),
        (b'{"dir":"client"}\n', 'a client line has an object under "event"'),
        (b'{"dir":"server","event":[1]}\n', 'a server line has an object under "event"'),
        (b'{"dir":"server","event":null}\n', 'a server line has an object under "event"'),
        (b'{"dir":"client","event":{},"at":"noon"}\n', "is no journal line"),
        (b'{"dir":"client","event":{"type":"\xff"}}\n', "is no UTF-8 text"),
    ],
)
def test_a_broken_line_is_told_with_its_number_and_reason(line: bytes, reason: str) -> None:
    error = refused(CREATED, line)
    assert (error.path, error.line) == ("a.jsonl", 2)
    assert reason in error.reason
    assert str(error).startswith("a.jsonl:2: ")


def test_nothing_of_a_broken_line_is_quoted() -> None:
    assert "sk-secret" not in str(refused(b'{"dir":"client","event":"sk-secret"}\n'))


def test_what_is_nested_too_deeply_is_told_and_not_raised_otherwise() -> None:
    error = refused(b'{"dir":"server","event":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
    assert error.line == 1


def test_a_last_line_that_was_cut_short_is_tolerated() -> None:
    entries = list(read_lines([CREATED, b'{"dir":"server","ev'], "a.jsonl"))
    assert entries[1] == CutLine(2)


def test_a_last_line_without_its_line_end_is_read() -> None:
    entries = list(read_lines([CREATED, CREATED.rstrip()], "a.jsonl"))
    assert isinstance(entries[1], Row)


def test_a_file_of_one_line_that_is_no_json_is_no_journal() -> None:
    assert refused(b"RIFF....WAVE").line == 1


def test_entries_are_read_as_they_are_asked_for() -> None:
    entries = read_lines([CREATED, b"broken\n"], "a.jsonl")
    assert isinstance(next(entries), Row)  # the broken line is not looked at yet


def test_a_file_that_cannot_be_read_is_told_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read: No such file"):
        list(read_journal(tmp_path / "absent.jsonl"))
    with pytest.raises(JournalError, match="cannot be read: Is a directory"):
        list(read_journal(tmp_path))


def test_what_is_written_is_read_again() -> None:
    lines = [
        format_row("client", b'{"type":"a"}', 5),
        format_note("note", {"audio": "cut"}, 6),
        format_row("server", "{}"),
    ]
    first, note, last = read_lines(lines, "a.jsonl")
    assert first == Row(1, "client", b'{"type":"a"}', 5)
    assert isinstance(note, Note)
    assert last == Row(3, "server", b"{}", None)


def test_an_event_that_came_in_several_lines_is_one_row() -> None:
    line = format_row("server", b'{\r\n  "type": "x"\n}', 1)
    assert line.count(b"\n") == 1
    (row,) = read_lines([line], "a.jsonl")
    assert isinstance(row, Row)


def test_a_note_cannot_pass_for_an_event() -> None:
    with pytest.raises(ValueError, match="no note"):
        format_note("client", {})


def test_each_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    writer = JournalWriter(path)
    writer.event("client", b'{"type":"a"}', 1)
    writer.note("note", {"text": "x"})
    assert len(list(read_journal(path))) == 2  # while it is still open
    writer.close()
    assert writer.rows == 1


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("old\nold\n")
    with JournalWriter(path) as writer:
        writer.event("server", b"{}")
    assert len(path.read_bytes().splitlines()) == 1


def test_a_journal_that_cannot_be_created_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written: No such file"):
        JournalWriter(tmp_path / "absent" / "a.jsonl")


def test_events_do_not_stand_in_the_repr_of_a_row() -> None:
    assert "secret" not in repr(Row(1, "client", b'{"audio":"secret"}'))
