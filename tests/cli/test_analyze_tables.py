"""The tables of `antiphon analyze`: what stands in their files, and what is said when they cannot be written."""

from __future__ import annotations

import csv
import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon_cli import analysis_tables
from antiphon_cli.__main__ import main

from .made_journals import made

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on two journals, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        Path(f"{seed}.jsonl").write_bytes(b"".join(made(seed)))

    def analyze(*arguments: str) -> int:
        return main(["analyze", *arguments, "1.jsonl", "2.jsonl"])

    return analyze


def rows(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_text(cell: object) -> str:
    return "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)


def test_csv_has_a_row_for_each_event_turn_and_measure(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--csv", "out/tables", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    events, turns, measures = (rows(f"out/tables/{name}.csv") for name in ("events", "turns", "measures"))
    assert len(events) == sum(told["all"]["events"].values())
    assert [(row["file"], int(row["line"])) for row in events[:2]] == [("1.jsonl", 2), ("1.jsonl", 3)]
    assert [row["response_id"] for row in turns] == [
        turn["response_id"] for each in told["files"] for turn in each["turns"]
    ]
    assert [row["number"] for row in turns if row["file"] == "2.jsonl"][:2] == ["1", "2"]
    assert float(turns[0]["latency_ms"]) == told["files"][0]["turns"][0]["latency_ms"]
    (number,) = [row["value"] for row in measures if (row["file"], row["measure"]) == ("2.jsonl", "turns")]
    assert float(number) == told["files"][1]["analysis"]["turns"]


def test_rows_are_written_as_they_come(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--csv", "whole")
    monkeypatch.setattr(analysis_tables, "AT_ONCE", 3)
    run("--csv", "pieces")
    for name in ("events", "turns", "measures"):
        assert Path(f"whole/{name}.csv").read_bytes() == Path(f"pieces/{name}.csv").read_bytes()


def test_parquet_has_what_csv_has_with_its_types(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not here, which the [parquet] extra brings")
    monkeypatch.setattr(analysis_tables, "AT_ONCE", 100)
    assert run("--csv", "out", "--parquet", "out") == 0
    for name in ("events", "turns", "measures"):
        table = parquet.read_table(f"out/{name}.parquet")
        assert table.schema.names == list(rows(f"out/{name}.csv")[0])
        texts = [{name: as_text(cell) for name, cell in row.items()} for row in table.to_pylist()]
        assert texts == rows(f"out/{name}.csv")
    turns = parquet.read_table("out/turns.parquet").to_pylist()
    assert isinstance(turns[0]["interrupted"], bool)
    assert isinstance(turns[0]["latency_ms"], float)


def test_parquet_without_its_extra_is_wrong_usage(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run("--parquet", "out") == 2
    assert capsys.readouterr().err == (
        "antiphon analyze: --parquet needs the [parquet] extra: pip install 'antiphon[parquet]'\n"
    )
    assert not Path("out").exists()


@pytest.mark.parametrize("folder", ["1.jsonl", "1.jsonl/below", "\0"])
def test_a_folder_that_cannot_be_written_is_wrong_usage(
    run: Run, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    before = Path("1.jsonl").read_bytes()
    assert run("--csv", folder) == 2
    error = capsys.readouterr().err
    assert "cannot be written: " in error
    assert len(error.splitlines()) == 1
    assert Path("1.jsonl").read_bytes() == before


def test_tables_stay_where_there_is_nothing_to_read(run: Run) -> None:
    run("--csv", "out")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    assert main(["analyze", "--csv", "out", "nothere.jsonl"]) == 2
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_tables_stay_until_all_of_the_new_ones_are_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("--csv", "out")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(analysis_tables, "measure_rows", interrupted)
    assert run("--csv", "out") == 130
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_of_tables_that_cannot_all_be_begun_nothing_is_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out").mkdir()
    Path("out/turns.csv").mkdir()
    assert run("--csv", "out") == 2

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(analysis_tables, "_CsvWriter", full)
    assert run("--csv", "out") == 2
    assert [path.name for path in Path("out").iterdir()] == ["turns.csv"]


@pytest.mark.parametrize("at_once", [1, 8192])
def test_a_disk_that_is_full_is_said(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(analysis_tables, "AT_ONCE", at_once)
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is full")
    Path("out").mkdir()
    Path("out/events.csv").symlink_to("/dev/full")
    assert run("--csv", "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("antiphon analyze: --csv out: cannot be written: No space left")
    assert len(error.splitlines()) == 1
