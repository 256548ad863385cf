"""What came before its item: bounded, and kept until the item comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .nodes import Record, Taken


class EarlyRecords:
    """The texts of ids that are no members, oldest first; at most ``max_records`` of them with ``max_bytes`` in all.

    ``text_bytes`` is what is held, counted as in `Record`.
    """

    __slots__ = ("_records", "max_bytes", "max_records", "text_bytes")

    def __init__(self, max_records: int, max_bytes: int, records: Iterable[Record] = ()) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self._records = {record.id: record for record in records}
        self.text_bytes = sum(record.text_bytes for record in self._records.values())

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def get(self, item_id: str) -> Record | None:
        """The texts of ``item_id``, if any."""
        return self._records.get(item_id)

    def write(self, item_id: str, write: Callable[[Record], Taken]) -> Taken:
        """Let ``write`` change the record of ``item_id``, made if there is none; then give up the oldest, if too
        much."""
        record = self._records.get(item_id)
        if record is None:
            record = self._records[item_id] = Record(item_id)
        before = record.text_bytes
        taken = write(record)
        self.text_bytes += record.text_bytes - before
        if taken is Taken.APPLIED:
            taken = Taken.EARLY
        while len(self._records) > self.max_records or self.text_bytes > self.max_bytes:
            self.pop(next(iter(self._records)))
            taken = Taken.OVERFLOW
        return taken

    def pop(self, item_id: str) -> Record | None:
        """The texts of ``item_id``, which are kept here no longer."""
        record = self._records.pop(item_id, None)
        if record is not None:
            self.text_bytes -= record.text_bytes
        return record
