"""A search that is led by coverage: what reaches a branch that nothing before it reached is kept, and changed further.

A branch is a step from one line to another within the engine and its readers, told by a trace function, or, where
there is `sys.monitoring` (3.12), a jump.
"""

from __future__ import annotations

import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import antiphon
import antiphon_cli
import antiphon_server

HERE = tuple(str(Path(package.__file__).resolve().parent) for package in (antiphon, antiphon_cli, antiphon_server))
LONGEST = 1 << 14
"""Bytes of an input."""

TOO_LONG_S = 20
"""An input that takes so many seconds hangs."""

TOKENS = (
    b"null", b"true", b"-1", b"0", b"1.5", b"1e999", b"9007199254740993", b'""', b'"x"', b'"\\ud800"', b"[]", b"{}",
    b'"completed"', b'"in_progress"', b'"audio"', b'"AAA="', b"\n", b"\r\n\r\n", b"\x00", b"\xff", b"\xed\xa0\x80",
)  # fmt: skip
VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"(?!\s*:)|-?\d[\d.eE+-]*|null|true|false|\{\}|\[\]')


class Hang(AssertionError):
    """An input took too long."""


class Finding(AssertionError):
    """An input that a door does not permit."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"{data!r}")
        self.data = data


class Found(NamedTuple):
    """What a search came to."""

    tried: int
    branches: int
    corpus: list[bytes]


class Branches:
    """The branches that were ever reached."""

    def __init__(self) -> None:
        self.known: set[tuple[Any, ...]] = set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        if sys.version_info >= (3, 12):
            yield from self._monitored()
        else:
            previous = sys.gettrace()
            sys.settrace(self._call)
            try:
                yield
            finally:
                sys.settrace(previous)

    def _call(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        code = frame.f_code
        if not code.co_filename.startswith(HERE):
            return None
        known, last = self.known, 0

        def line(frame: FrameType, event: str, _arg: object) -> Any:
            nonlocal last
            if event == "line":
                known.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line

    def _monitored(self) -> Iterator[None]:
        monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        tool, known = monitoring.PROFILER_ID, self.known

        def jump(code: CodeType, source: int, destination: int) -> object:
            if not code.co_filename.startswith(HERE):
                return monitoring.DISABLE
            known.add((code, source, destination))
            return None

        monitoring.use_tool_id(tool, "antiphon fuzz")
        monitoring.register_callback(tool, monitoring.events.BRANCH, jump)
        monitoring.set_events(tool, monitoring.events.BRANCH)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)


def changed(data: bytes, corpus: Sequence[bytes], choose: random.Random) -> bytes:
    """``data``, a little different."""
    for _ in range(choose.choice((1, 1, 1, 2, 4))):
        data = choose.choice(_CHANGES)(data, corpus, choose)
    return data[:LONGEST]


def _bits(data: bytes, _corpus: Sequence[bytes], choose: random.Random) -> bytes:
    place = choose.randrange(len(data) + 1)
    return data[:place] + bytes([choose.randrange(256)]) + data[place + choose.randrange(2) :]


def _cut(data: bytes, _corpus: Sequence[bytes], choose: random.Random) -> bytes:
    a, b = sorted(choose.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + data[b:] if b - a < 200 or choose.random() < 0.1 else data[:a] + data[a + b % 50 :]


def _value(data: bytes, corpus: Sequence[bytes], choose: random.Random) -> bytes:
    """Another value in the place of one."""
    places = list(VALUE.finditer(data))
    if not places:
        return _token(data, corpus, choose)
    place = choose.choice(places)
    others = list(VALUE.finditer(choose.choice(corpus)))
    other = choose.choice(others)[0] if others and choose.random() < 0.6 else choose.choice(TOKENS)
    return data[: place.start()] + other + data[place.end() :]


def _token(data: bytes, _corpus: Sequence[bytes], choose: random.Random) -> bytes:
    place = choose.randrange(len(data) + 1)
    return data[:place] + choose.choice(TOKENS) + data[place:]


def _lines(data: bytes, corpus: Sequence[bytes], choose: random.Random) -> bytes:
    """Lines in another order, twice, not at all, or of another input."""
    lines = data.split(b"\n")
    place = choose.randrange(len(lines))
    match choose.randrange(4):
        case 0:
            lines.insert(choose.randrange(len(lines) + 1), lines.pop(place))
        case 1:
            lines.insert(place, lines[choose.randrange(len(lines))])
        case 2:
            del lines[place]
        case _:
            lines.insert(place, choose.choice(choose.choice(corpus).split(b"\n")))
    return b"\n".join(lines)


def _splice(data: bytes, corpus: Sequence[bytes], choose: random.Random) -> bytes:
    other = choose.choice(corpus)
    return data[: choose.randrange(len(data) + 1)] + other[choose.randrange(len(other) + 1) :]


_CHANGES = (_bits, _cut, _value, _value, _token, _lines, _lines, _splice)


@contextmanager
def bounded(data: bytes) -> Iterator[None]:
    """`Hang` if what happens inside takes too long, where there is an alarm to tell."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"{TOO_LONG_S} s for {data!r}")

    previous = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, TOO_LONG_S)
    begun = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - begun)) if left else 0)
        signal.signal(signal.SIGALRM, previous)


def search(
    door: Callable[[bytes], None],
    seeds: Sequence[bytes],
    *,
    tries: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> Found:
    """Feed ``door`` for ``tries`` inputs or ``seconds``. Raises `Finding`, from what the door raised."""
    choose, branches = random.Random(seed), Branches()
    corpus: list[bytes] = []
    tried = 0
    end = None if seconds is None else time.monotonic() + seconds
    while (tries is None or tried < tries) and (end is None or time.monotonic() < end):
        if tried < len(seeds):
            data = seeds[tried]
        else:  # the newest are changed most: nothing has been made of them yet
            newest = corpus[-1 - int(len(corpus) * choose.random() ** 3)]
            data = changed(newest, corpus, choose)
        before = len(branches.known)
        try:
            with branches.watched(), bounded(data):
                door(data)
        except Exception as error:
            raise Finding(data) from error
        tried += 1
        if len(branches.known) > before or tried <= len(seeds):
            corpus.append(data)
    return Found(tried, len(branches.known), corpus)
