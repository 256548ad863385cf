"""Segments: where a journal is cut, which segments stay, and what is told when that cannot be."""

import io

import pytest

from antiphon.toolkit import Note, Segments, format_note, format_row, read_lines

ROW = format_row("server", b'{"type":"x"}', 1)


class Store:
    """Segments in memory."""

    def __init__(self) -> None:
        self.segments: dict[int, io.BytesIO] = {}
        self.texts: dict[int, bytes] = {}

    def open(self, number: int) -> io.BytesIO:
        self.segments[number] = Page(self, number)
        return self.segments[number]

    def remove(self, number: int) -> None:
        del self.texts[number]

    def events(self, number: int) -> int:
        return self.texts[number].count(b'"event"')


class Page(io.BytesIO):
    """One of them: what was written stays when it is closed."""

    def __init__(self, store: Store, number: int) -> None:
        super().__init__()
        self._store = store
        self._number = number

    def close(self) -> None:
        self._store.texts[self._number] = self.getvalue()
        super().close()


def written(store: Store, rows: int, **bounds: int) -> Segments:
    segments = Segments(store.open, remove=store.remove, **bounds)  # type: ignore[arg-type]  # bounds are numbers
    for _ in range(rows):
        segments.write(ROW)
    segments.close()
    return segments


def test_a_segment_is_full_before_the_next_begins() -> None:
    store = Store()
    written(store, 5, most_bytes=2 * len(ROW))
    assert [store.events(number) for number in sorted(store.texts)] == [2, 2, 1]


def test_every_segment_but_the_first_says_what_it_continues() -> None:
    store = Store()
    written(store, 3, most_bytes=len(ROW))
    first = [next(iter(read_lines(store.texts[number].splitlines(keepends=True)))) for number in range(3)]
    assert not isinstance(first[0], Note)
    assert [entry.data["continues"] for entry in first[1:] if isinstance(entry, Note)] == [0, 1]


def test_only_the_newest_segments_are_kept() -> None:
    store = Store()
    written(store, 10, most_bytes=len(ROW), keep=3)
    assert sorted(store.texts) == [7, 8, 9]


def test_what_is_longer_than_a_segment_is_not_cut() -> None:
    store = Store()
    written(store, 2, most_bytes=1)
    assert [store.events(number) for number in sorted(store.texts)] == [1, 1]


def test_nothing_is_opened_before_something_is_written() -> None:
    store = Store()
    Segments(store.open, most_bytes=100).close()
    assert store.segments == {}


def test_what_comes_after_the_end_begins_another() -> None:
    store = Store()
    written(store, 1, most_bytes=1000).write(ROW)
    assert sorted(store.segments) == [0, 1]


def test_a_segment_that_cannot_be_opened_is_asked_for_again() -> None:
    store = Store()
    failing = [True]

    def open(number: int) -> io.BytesIO:
        if failing.pop():
            raise OSError("disk full")
        return store.open(number)

    segments = Segments(open, most_bytes=100)
    with pytest.raises(OSError, match="disk full"):
        segments.write(ROW)
    failing.append(False)
    segments.write(ROW)
    assert list(store.segments) == [0]


class Narrow(Page):
    """A segment that takes seven bytes at a time."""

    def write(self, lines: bytes, /) -> int:  # type: ignore[override]  # bytes are all that comes
        return super().write(lines[:7])


def test_a_segment_that_takes_less_than_it_is_given_gets_the_rest() -> None:
    store = Store()
    segments = Segments(lambda number: Narrow(store, number), most_bytes=2 * len(ROW))
    for _ in range(3):
        segments.write(ROW)
    segments.close()
    assert store.texts == {0: ROW * 2, 1: format_note("note", {"continues": 0}) + ROW}


def test_a_segment_that_takes_nothing_ends_the_recording() -> None:
    store = Store()
    page = Page(store, 0)
    page.write = lambda lines: 0  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="takes no more"):
        Segments(lambda number: page, most_bytes=100).write(ROW)


class Silent:
    """A segment that does not say how much it takes: all."""

    def __init__(self) -> None:
        self.lines = b""

    def write(self, lines: bytes, /) -> None:
        self.lines += lines

    def close(self) -> None:
        pass


def test_a_segment_need_not_say_how_much_it_takes() -> None:
    segment = Silent()
    Segments(lambda number: segment, most_bytes=100).write(ROW)
    assert segment.lines == ROW


@pytest.mark.parametrize("bounds", [{"most_bytes": 0}, {"most_bytes": 1, "keep": 0}])
def test_a_bound_is_at_least_one(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Segments(Store().open, remove=Store().remove, **bounds)  # type: ignore[arg-type]  # bounds are numbers


def test_what_is_not_kept_has_to_be_removed_by_somebody() -> None:
    with pytest.raises(ValueError, match="somebody to remove"):
        Segments(Store().open, most_bytes=1, keep=1)
