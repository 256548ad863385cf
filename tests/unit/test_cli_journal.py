"""Journals in files: when a line is on disk, and how a file that cannot be used is told."""

from pathlib import Path

import pytest

from antiphon.toolkit.journal import format_note, format_row
from antiphon_cli.journal import JournalError, JournalFile, read_journal


def test_a_file_that_cannot_be_read_is_told_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read: No such file"):
        list(read_journal(tmp_path / "absent.jsonl"))
    with pytest.raises(JournalError, match="cannot be read: Is a directory"):
        list(read_journal(tmp_path))


def test_each_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    writer = JournalFile(path)
    writer.write(format_row("client", b'{"type":"a"}', 1) + format_note("note", {"text": "x"}))
    assert len(list(read_journal(path))) == 2  # while it is still open
    writer.close()
    writer.write(b"nothing is added to a closed file")
    assert len(path.read_bytes().splitlines()) == 2


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("old\nold\n")
    with JournalFile(path) as writer:
        writer.write(format_row("server", b"{}"))
    assert len(path.read_bytes().splitlines()) == 1


def test_a_journal_that_cannot_be_created_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be written: No such file"):
        JournalFile(tmp_path / "absent" / "a.jsonl")
