"""Recordings as tables: the row of an event, of a turn, of a measure, and the lines of CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pybase64
import pytest

from antiphon import messages as m
from antiphon.engine.usage import TokenCounts, Usage
from antiphon.toolkit import Analytics, Row, Turn
from antiphon.toolkit.tables import EVENTS, MEASURES, TURNS, Cell, csv_lines, event_row, measure_rows, turn_row


def event(text: bytes | dict[str, Any], at: int | None = 7) -> dict[str, Cell]:
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    cells = event_row("a.jsonl", Row(3, "server", raw, at))
    return dict(zip((column.name for column in EVENTS), cells, strict=True))


def turn(told: Turn) -> dict[str, Cell]:
    return dict(zip((column.name for column in TURNS), turn_row("a.jsonl", 2, told), strict=True))


def test_an_event_is_told_by_its_ids_and_sizes() -> None:
    row = event({"type": "response.text.delta", "event_id": "e", "response_id": "r", "item_id": "i", "call_id": "c"})
    assert (row["file"], row["line"], row["at"], row["dir"]) == ("a.jsonl", 3, 7, "server")
    assert (row["type"], row["event_id"], row["response_id"], row["item_id"], row["call_id"]) == (
        "response.output_text.delta",
        "e",
        "r",
        "i",
        "c",
    )
    assert (row["bytes"], row["audio_bytes"]) == (100, None)


def test_ids_are_taken_from_within_where_they_stand_there() -> None:
    row = event({"type": "response.done", "response": {"id": "r", "output": []}, "item": {"id": "i"}})
    assert (row["response_id"], row["item_id"]) == ("r", "i")


@pytest.mark.parametrize("size", range(1, 8))
def test_audio_is_counted_without_being_decoded(size: int) -> None:
    sound = pybase64.b64encode(bytes(size)).decode()
    assert event({"type": "input_audio_buffer.append", "audio": sound})["audio_bytes"] == size
    assert event({"type": "response.audio.delta", "delta": sound})["audio_bytes"] == size


@pytest.mark.parametrize(
    "text",
    [
        {"type": 7, "event_id": {"a": 1}, "response": [], "item": "x", "delta": 3},
        {"type": "response.output_audio.delta", "delta": None, "response": {"id": 5}},
        {"type": "response.output_audio.delta", "delta": ""},
        {},
    ],
)
def test_an_event_that_is_not_as_it_should_be_has_a_row_all_the_same(text: dict[str, Any]) -> None:
    row = event(text)
    assert (row["line"], row["event_id"], row["response_id"], row["item_id"]) == (3, None, None, None)
    assert row["audio_bytes"] in (None, 0)


def test_an_event_that_is_no_json_has_its_size() -> None:
    assert event(b"{nonsense")["bytes"] == 9
    assert event(b'{"a":' + b"[" * 100_000)["type"] is None


def test_a_time_beyond_what_a_table_holds_is_left_out() -> None:
    assert event({}, 2**63)["at"] is None
    assert event({}, -(2**63) + 1)["at"] == -(2**63) + 1
    assert event({}, None)["at"] is None


def test_a_turn_is_told_with_its_latencies_and_tokens() -> None:
    usage = Usage(responses=1, total_tokens=9, input_tokens=6, input=TokenCounts(text=2, audio=4), output_tokens=3)
    row = turn(Turn(response_id="r", status="completed", latency_ms=12.5, cut=True, heard_ms=5.0, calls=1, usage=usage))
    assert (row["number"], row["response_id"], row["latency_ms"], row["cut"], row["heard_ms"]) == (
        2,
        "r",
        12.5,
        True,
        5,
    )
    assert (row["calls"], row["total_tokens"], row["input_audio"], row["output_tokens"]) == (1, 9, 4, 3)


def test_tokens_that_were_not_told_are_not_zero() -> None:
    assert turn(Turn(response_id="r"))["total_tokens"] is None
    assert turn(Turn(response_id="r", usage=Usage(responses=1, unknown=1)))["input_text"] is None


def test_measures_are_those_of_the_analysis() -> None:
    analytics = Analytics()
    analytics.observe("server", m.UnknownEvent.of({"type": "vendor.news"}))
    rows = list(measure_rows("a.jsonl", analytics))
    assert ("a.jsonl", "by_type", "vendor.news", 1.0) in rows
    assert {len(row) for row in rows} == {len(MEASURES)}


@pytest.mark.parametrize("before", ["\n", "\r", " ", "\u00a0", "\t \n"])
def test_csv_has_no_formula_behind_spaces(before: str) -> None:
    (line,) = csv_lines([[f"{before}=1+1", ""]])
    assert next(csv.reader(io.StringIO(line, newline=""))) == [f"'{before}=1+1", ""]


def test_csv_is_read_as_it_was_written_and_no_text_is_a_formula() -> None:
    cells: list[Cell] = ["a,b", 'q"q', "two\nlines", None, True, False, 1.5, -3, "=1+1", "@x", "-2", "+3", "\tx", "a=b"]
    (line,) = csv_lines([cells])
    (read,) = csv.reader([*line.splitlines(keepends=True)])
    assert read == [
        "a,b",
        'q"q',
        "two\nlines",
        "",
        "true",
        "false",
        "1.5",
        "-3",
        "'=1+1",
        "'@x",
        "'-2",
        "'+3",
        "'\tx",
        "a=b",
    ]
