"""Journals in files: when a line is on disk, and how a file that cannot be used is told."""

from pathlib import Path

import pytest

from antiphon_cli.journal import JournalError, JournalWriter, read_journal


def test_a_file_that_cannot_be_read_is_told_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read: No such file"):
        list(read_journal(tmp_path / "absent.jsonl"))
    with pytest.raises(JournalError, match="cannot be read: Is a directory"):
        list(read_journal(tmp_path))


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
