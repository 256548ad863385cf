"""Journal lines: what is read, what is passed over, and how a broken one is told."""

import pytest

from antiphon.toolkit.journal import MOST_LINE_BYTES, CutLine, Foreign, Note, Row, format_note, format_row, read_lines

CREATED = b'{"dir":"server","event":{"type":"session.created"}}\n'


def foreign(*lines: bytes) -> Foreign:
    (entry,) = [entry for entry in read_lines(lines) if isinstance(entry, Foreign)]
    return entry


def test_a_row_keeps_the_json_text_of_its_event() -> None:
    (row,) = read_lines([b'{"dir": "server", "event": {"type":  "x", "n": 1e400}, "at": 7}\n'])
    assert row == Row(1, "server", b'{"type":  "x", "n": 1e400}', 7)


def test_rows_are_numbered_by_their_lines_also_behind_empty_ones() -> None:
    entries = list(read_lines([b"\n", CREATED, b"  \r\n", CREATED]))
    assert [entry.number for entry in entries] == [2, 4]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert len(list(read_lines([b"\xef\xbb\xbf" + CREATED]))) == 1


def test_a_line_with_another_dir_is_a_note() -> None:
    (note,) = read_lines([b'{"dir":"transport","event":{"kind":"close"}}\n'])
    assert isinstance(note, Note)
    assert note.dir == "transport"
    assert not note.says_audio_was_cut


@pytest.mark.parametrize("value", [b"1e400", b"9" * 5000])
def test_a_note_with_a_value_that_is_none_of_ours_is_only_a_note(value: bytes) -> None:
    (note,) = read_lines([b'{"dir": "note", "value": %s}\n' % value])
    assert note == Note(1, "note", {})


def test_a_note_can_say_that_the_audio_was_cut() -> None:
    (note,) = read_lines([b'{"dir":"note","audio":"cut"}\n'])
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
        (b'{"dir":"client","event":{},"at":1e999}\n', "is no journal line"),
        (b'{"dir":"client","event":{},"at":1e300}\n', '"at" is no time'),
        (b'{"dir":"client","event":{},"at":-99999999999999999999}\n', '"at" is no time'),
    ],
)
def test_a_broken_line_is_told_with_its_number_and_reason(line: bytes, reason: str) -> None:
    told = foreign(CREATED, line)
    assert told.number == 2
    assert reason in told.reason


def test_nothing_of_a_broken_line_is_quoted() -> None:
    assert "sk-secret" not in str(foreign(b'{"dir":"client","event":"sk-secret"}\n'))


def test_what_is_nested_too_deeply_is_told_and_not_raised_otherwise() -> None:
    told = foreign(b'{"dir":"server","event":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
    assert told.number == 1


def test_a_last_line_that_was_cut_short_is_tolerated() -> None:
    entries = list(read_lines([CREATED, b'{"dir":"server","ev']))
    assert entries[1] == CutLine(2)


def test_a_last_line_without_its_line_end_is_read() -> None:
    entries = list(read_lines([CREATED, CREATED.rstrip()]))
    assert isinstance(entries[1], Row)


def test_a_file_of_one_line_that_is_no_json_is_no_journal() -> None:
    assert foreign(b"RIFF....WAVE").number == 1


def test_what_stands_around_a_foreign_line_is_read() -> None:
    kinds = [type(entry) for entry in read_lines([CREATED, b'{"dir":"server","ev' + CREATED, CREATED])]
    assert kinds == [Row, Foreign, Row]


def test_a_line_that_never_ends_is_foreign() -> None:
    assert "longer than 64 MiB" in foreign(b"x" * (MOST_LINE_BYTES + 1)).reason


def test_entries_are_read_as_they_are_asked_for() -> None:
    entries = read_lines([CREATED, b"broken\n"])
    assert isinstance(next(entries), Row)  # the broken line is not looked at yet


def test_what_is_written_is_read_again() -> None:
    lines = [
        format_row("client", b'{"type":"a"}', 5),
        format_note("note", {"audio": "cut"}, 6),
        format_row("server", "{}"),
    ]
    first, note, last = read_lines(lines)
    assert first == Row(1, "client", b'{"type":"a"}', 5)
    assert isinstance(note, Note)
    assert last == Row(3, "server", b"{}", None)


def test_an_event_that_came_in_several_lines_is_one_row() -> None:
    line = format_row("server", b'{\r\n  "type": "x"\n}', 1)
    assert line.count(b"\n") == 1
    (row,) = read_lines([line])
    assert isinstance(row, Row)


def test_a_note_cannot_pass_for_an_event() -> None:
    with pytest.raises(ValueError, match="no note"):
        format_note("client", {})


@pytest.mark.parametrize(
    ("line", "opens"),
    [
        (b'{"dir":"input","input":{"in":"opened","headers":[]}}\n', True),
        (b'{"dir":"input","input":{"in":"tick"}}\n', False),
        (b'{"dir":"input","input":5}\n', False),
        (b'{"dir":"note","input":{"in":"opened"}}\n', False),
    ],
)
def test_a_note_can_say_that_a_socket_was_opened(line: bytes, opens: bool) -> None:
    (note,) = read_lines([line])
    assert isinstance(note, Note)
    assert note.opens_socket is opens


def test_events_do_not_stand_in_the_repr_of_a_row() -> None:
    assert "secret" not in repr(Row(1, "client", b'{"audio":"secret"}'))
