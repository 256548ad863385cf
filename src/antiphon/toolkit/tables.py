"""Recordings as tables: which columns, and the row of an event, of a turn, of a measure. Writing them is an adapter's.

The three tables answer three kinds of question: what was sent when (`EVENTS`), how did each answer go (`TURNS`), and
what does it come to (`MEASURES`). Columns are a contract: new ones come at the end.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from antiphon.engine.timers import Instant
from antiphon.toolkit.analytics import Analytics
from antiphon.toolkit.event_types import canonical
from antiphon.toolkit.journal import Row
from antiphon.toolkit.turns import Turn

__all__ = ["EVENTS", "MEASURES", "TURNS", "Cell", "Column", "csv_lines", "event_row", "measure_rows", "turn_row"]

Cell: TypeAlias = str | int | float | bool | None
"""One value; None where it is not known."""

Kind: TypeAlias = Literal["text", "integer", "number", "truth"]


class Column(NamedTuple):
    """A column, and what stands in it."""

    name: str
    kind: Kind


def _columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in kinds.items())


EVENTS: Final = _columns(
    file="text",
    line="integer",
    at="integer",
    dir="text",
    type="text",
    event_id="text",
    response_id="text",
    item_id="text",
    call_id="text",
    bytes="integer",
    audio_bytes="integer",
)
"""A row an event: ``at`` in ns, ``type`` by its GA name, ``bytes`` of its JSON text; ``audio_bytes`` if it is audio."""

TURNS: Final = _columns(
    file="text",
    number="integer",
    response_id="text",
    model="text",
    status="text",
    reason="text",
    error="text",
    turn_ended="integer",
    created="integer",
    ended="integer",
    latency_ms="number",
    voice_latency_ms="number",
    first_token_ms="number",
    first_audio_ms="number",
    duration_ms="number",
    interrupted="truth",
    cut="truth",
    received_ms="number",
    heard_ms="number",
    calls="integer",
    total_tokens="integer",
    input_tokens="integer",
    input_text="integer",
    input_audio="integer",
    input_image="integer",
    cached_tokens="integer",
    cached_text="integer",
    cached_audio="integer",
    output_tokens="integer",
    output_text="integer",
    output_audio="integer",
    reasoning_tokens="integer",
)
"""A row an answer, see `Turn`; tokens are None where the server did not tell them; ``number`` from 1 in each file."""

MEASURES: Final = _columns(file="text", measure="text", of="text", value="number")
"""A row a number of `Analysis`: which, of what (a type, a status, a tool), and how much."""


class _Named(Struct):
    id: object = None


class _Event(Struct):
    """What the columns need, of any JSON object: nothing in it has to be as it should."""

    type: object = None
    event_id: object = None
    response_id: object = None
    item_id: object = None
    call_id: object = None
    response: msgspec.Raw = msgspec.Raw(b"null")
    item: msgspec.Raw = msgspec.Raw(b"null")
    delta: msgspec.Raw = msgspec.Raw(b"null")
    audio: msgspec.Raw = msgspec.Raw(b"null")


_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_named: Final = msgspec.json.Decoder(_Named).decode
_LARGEST: Final = 2**63 - 1
_AUDIO: Final = {
    "input_audio_buffer.append": "audio",
    "response.output_audio.delta": "delta",
    "session.input_audio_buffer.append": "audio",
    "session.output_audio.delta": "delta",
}
"""Where the base64 text stands in the events that are audio."""


def event_row(file: str, row: Row) -> tuple[Cell, ...]:
    """The row of `EVENTS` for one row of a journal; an event that is no JSON has only its size."""
    at = _instant(row.at)
    try:
        event = _decode(row.event)
    except (msgspec.DecodeError, RecursionError):
        return (file, row.number, at, row.dir, None, None, None, None, None, len(row.event), None)
    name = canonical(event.type) if isinstance(event.type, str) else None
    audio = _AUDIO.get(name) if name is not None else None
    return (
        file,
        row.number,
        at,
        row.dir,
        name,
        _text(event.event_id),
        _text(event.response_id) or _id(event.response),
        _text(event.item_id) or _id(event.item),
        _text(event.call_id),
        len(row.event),
        None if audio is None else _decoded_length(bytes(getattr(event, audio))),
    )


def turn_row(file: str, number: int, turn: Turn) -> tuple[Cell, ...]:
    """The row of `TURNS` for an answer, the ``number``th of its file."""
    usage = turn.usage
    told = bool(usage.responses) and not usage.unknown
    tokens = (
        usage.total_tokens,
        usage.input_tokens,
        usage.input.text,
        usage.input.audio,
        usage.input.image,
        usage.cached_tokens,
        usage.cached.text,
        usage.cached.audio,
        usage.output_tokens,
        usage.output.text,
        usage.output.audio,
        usage.reasoning_tokens,
    )
    return (
        file,
        number,
        turn.response_id,
        turn.model,
        turn.status,
        turn.reason,
        turn.error,
        _instant(turn.turn_ended),
        _instant(turn.created),
        _instant(turn.ended),
        turn.latency_ms,
        turn.voice_latency_ms,
        turn.first_token_ms,
        turn.first_audio_ms,
        turn.duration_ms,
        turn.interrupted,
        turn.cut,
        turn.received_ms,
        turn.heard_ms,
        turn.calls,
        *(tokens if told else (None,) * len(tokens)),
    )


def measure_rows(file: str, analytics: Analytics) -> Iterator[tuple[Cell, ...]]:
    """The rows of `MEASURES` for a session, or for many."""
    for measure, of, value in analytics.rows():
        yield file, measure, of, float(value)


def csv_lines(rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Rows as lines of CSV, with their line ends. What is not known is empty, a truth is ``true`` or ``false``.

    Peers choose ids, types and names. A spreadsheet takes a text that begins with ``=``, ``+``, ``-``, ``@``, a tab or
    a line break for a formula, and some pass over spaces before it, so such a text is written with an apostrophe.
    """
    written: list[str] = []
    # Some versions of Python quote what is in the line end alone, so a return has to be in it.
    writer = csv.writer(SimpleNamespace(write=written.append), lineterminator="\r\n")
    for row in rows:
        writer.writerow([_csv(cell) for cell in row])
        yield written.pop().removesuffix("\r\n") + "\n"


def _csv(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str) and (cell.lstrip().startswith(("=", "+", "-", "@")) or cell[:1] in _BREAKS):
        return f"'{cell}"
    return cell


_BREAKS: Final = frozenset("\t\r\n")


def _instant(at: Instant | None) -> Instant | None:
    """As a table can hold it."""
    return at if at is not None and abs(at) <= _LARGEST else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _id(raw: msgspec.Raw) -> str | None:
    try:
        return _text(_decode_named(raw).id)
    except (msgspec.DecodeError, RecursionError):
        return None


def _decoded_length(text: bytes) -> int | None:
    """The bytes behind base64, which stands in quotes; None for anything else."""
    if not text.startswith(b'"'):
        return None
    return max(0, (len(text) - 2) * 3 // 4 - text[-3:-1].count(b"="))
