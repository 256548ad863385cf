"""No input of any door leads to anything but what `fuzz.doors` permits. A short search, the same each time; the long
one is ``make fuzz``."""

from __future__ import annotations

import random

import pytest

from fuzz import guided
from fuzz.corpus import seeds
from fuzz.doors import DOORS

TRIES = 120


@pytest.mark.parametrize("name", DOORS)
def test_whatever_comes_through_a_door_is_permitted(name: str) -> None:
    found = guided.search(DOORS[name], seeds(name), tries=TRIES)
    assert found.tried == TRIES


@pytest.mark.parametrize("name", DOORS)
def test_a_door_takes_its_seeds(name: str) -> None:
    for data in (*seeds(name), b""):
        DOORS[name](data)


def test_the_search_is_led_by_branches() -> None:
    """What only a chain of lucky changes would find is found link by link."""
    from antiphon.engine.codec import client_decoder

    decode = client_decoder(64)

    def door(data: bytes) -> None:
        decode(data)

    found = guided.search(door, [b'{"type": "response.create"}'], tries=400)
    assert len(found.corpus) > 3
    unled = guided.Branches()
    with unled.watched():
        door(b'{"type": "response.create"}')
    assert found.branches > len(unled.known)


def test_what_a_door_does_not_permit_is_found_and_shown() -> None:
    def door(data: bytes) -> None:
        if b"null" in data:
            raise KeyError("a fault of ours")

    with pytest.raises(guided.Finding) as caught:
        guided.search(door, [b'{"a": 1}'], tries=10_000)
    assert b"null" in caught.value.data


def test_an_input_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided, "TOO_LONG_S", 0.05)

    def door(_data: bytes) -> None:
        while True:
            pass

    with pytest.raises(guided.Finding) as caught:
        guided.search(door, [b"x"], tries=1)
    assert isinstance(caught.value.__cause__, guided.Hang)


def test_changes_keep_an_input_within_its_bound() -> None:
    choose, corpus = random.Random(1), [b"a" * guided.LONGEST, b""]
    data = corpus[0]
    for _ in range(300):
        data = guided.changed(data, corpus, choose)
        assert len(data) <= guided.LONGEST
