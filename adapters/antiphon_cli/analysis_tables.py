"""The tables of `antiphon analyze`: events, turns and measures as CSV or Parquet files in a folder.

Rows are written as they come, some thousands at a time, so a table may be larger than the memory.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol, TextIO

from antiphon.toolkit import Row, Turn
from antiphon.toolkit.tables import (
    EVENTS,
    MEASURES,
    TURNS,
    Cell,
    Column,
    csv_lines,
    event_row,
    measure_rows,
    turn_row,
)
from antiphon_cli.console import UserError
from antiphon_cli.recording import Recording, Sink, Totals, Watcher
from antiphon_cli.replacement import Replacement

__all__ = ["Tables"]

AT_ONCE: Final = 8192
"""Rows that wait to be written together: few enough to hold, and enough that a Parquet row group is worth its head."""

_TABLES: Final = {"events": EVENTS, "turns": TURNS, "measures": MEASURES}


class _Writer(Protocol):
    """A table on its way to a file."""

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None: ...

    def close(self) -> None: ...


class _CsvWriter:
    """A table as CSV, with a head."""

    def __init__(self, columns: Sequence[Column], path: str) -> None:
        self._file: TextIO = open(path, "w", encoding="utf-8", errors="replace", newline="")  # noqa: SIM115 - `close`
        self._file.writelines(csv_lines([[column.name for column in columns]]))

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        self._file.writelines(csv_lines(rows))

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    """A table as Parquet, a row group for each `write`."""

    def __init__(self, columns: Sequence[Column], path: str) -> None:
        self._arrow, parquet = _pyarrow()
        types = {
            "text": self._arrow.string(),
            "integer": self._arrow.int64(),
            "number": self._arrow.float64(),
            "truth": self._arrow.bool_(),
        }
        self._schema: Any = self._arrow.schema([(column.name, types[column.kind]) for column in columns])
        self._writer: Any = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        columns = zip(*rows, strict=True)
        arrays = [
            self._arrow.array(values, type=field.type) for values, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError("--parquet needs the [parquet] extra: pip install 'antiphon[parquet]'") from None


class _Table:
    """Rows on their way to a writer. ``where`` stands in the errors, which are `UserError`."""

    def __init__(self, where: str, path: str, make: Callable[[str], _Writer]) -> None:
        self._where = where
        self._waiting: list[tuple[Cell, ...]] = []
        with _failing(where):
            self._file = Replacement(path)
            try:
                self._writer = make(self._file.path)
            except BaseException:
                self._file.discard()
                raise

    def add(self, row: tuple[Cell, ...]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            with _failing(self._where):
                self._writer.write(self._waiting)
            self._waiting.clear()

    def end(self) -> None:
        self.flush()
        with _failing(self._where):
            self._writer.close()

    def commit(self) -> None:
        with _failing(self._where):
            self._file.commit()

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self._writer.close()
        self._file.discard()


@contextmanager
def _failing(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


class _Rows(Watcher):
    """Sees a recording and adds its rows."""

    def __init__(self, name: str, events: _Table, turns: _Table) -> None:
        self._name = name
        self._events = events
        self._turns = turns
        self._number = 0

    def row(self, row: Row) -> None:
        self._events.add(event_row(self._name, row))

    def turn(self, turn: Turn) -> None:
        self._number += 1
        self._turns.add(turn_row(self._name, self._number, turn))


class Tables(Sink):
    """Writes ``events``, ``turns`` and ``measures`` into a folder, which is made if there is none. Tables that stand
    there stay until all of the new ones are whole, and where there was nothing to read.

    Raises:
        UserError: a file cannot be written, or Parquet is asked for without its extra.
    """

    def __init__(self, folder: str, form: str) -> None:
        where = f"--{form} {folder}"
        self._tables: dict[str, _Table] = {}
        if form == "parquet":
            _pyarrow()
        write = _CsvWriter if form == "csv" else _ParquetWriter
        with _failing(where):
            os.makedirs(folder, exist_ok=True)
        try:
            for name, columns in _TABLES.items():
                path = os.path.join(folder, f"{name}.{form}")
                self._tables[name] = _Table(where, path, partial(write, columns))
        except UserError:
            self.close()
            raise

    def begin(self, name: str) -> Watcher:
        """The events and turns of the next file."""
        return _Rows(name.encode("utf-8", "backslashreplace").decode(), self._tables["events"], self._tables["turns"])

    def add(self, recording: Recording) -> None:
        """The measures of a file."""
        for row in measure_rows(recording.name, recording.analytics):
            self._tables["measures"].add(row)

    def finish(self, totals: Totals, exit_code: int) -> None:
        """Write what waits, and let the new tables take their places."""
        if not totals.events.total():
            return
        for table in self._tables.values():
            table.end()
        for table in self._tables.values():
            table.commit()

    def close(self) -> None:
        """Close the files, and let go of those that are not whole."""
        for table in self._tables.values():
            table.close()
