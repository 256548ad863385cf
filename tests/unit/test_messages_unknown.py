"""Messages without a class keep what they came with, and behave as values."""

from __future__ import annotations

import copy
import pickle

import pytest
from msgspec import UNSET

from antiphon.messages import (
    ConversationItemAdded,
    Malformed,
    MessageItem,
    Opaque,
    Problem,
    UnknownContent,
    UnknownEvent,
    UnknownItem,
    UnknownTool,
)

SAMPLES = [
    UnknownEvent.of({"type": "ping", "event_id": "e", "timestamp": 1}),
    UnknownItem.of({"type": "force_message", "id": "item_1"}),
    UnknownContent.of({"type": "hologram", "data": {"x": [1, 2]}}),
    UnknownTool.of({"type": "retrieval"}),
    Malformed.of({"type": "response.done"}, (Problem("$.response", "required, but missing", "missing"),)),
]
by_class = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)


def test_an_unknown_event_knows_its_type_and_id() -> None:
    event = UnknownEvent.of({"type": "ping", "event_id": "e"})
    assert (event.type, event.wire_type, event.event_id) == ("ping", "ping", "e")


def test_an_id_that_is_no_string_is_unset() -> None:
    assert UnknownEvent.of({"type": "ping", "event_id": 5}).event_id is UNSET
    assert UnknownItem.of({"type": "x", "id": None}).id is UNSET


def test_a_type_that_is_no_string_is_empty() -> None:
    assert UnknownContent.of({"type": 5}).type == ""


@by_class
def test_equal_by_value(sample: Opaque) -> None:
    twin = copy.deepcopy(sample)
    assert twin == sample
    assert twin is not sample
    assert twin.data is not sample.data


@by_class
def test_a_shallow_copy_shares_the_data(sample: Opaque) -> None:
    assert copy.copy(sample) == sample
    assert copy.copy(sample).data is sample.data


@by_class
def test_survives_pickling(sample: Opaque) -> None:
    assert pickle.loads(pickle.dumps(sample)) == sample


@by_class
def test_frozen(sample: Opaque) -> None:
    with pytest.raises(AttributeError):
        sample.type = "other"
    with pytest.raises(AttributeError):
        del sample.data


@by_class
def test_unhashable_as_the_dict_inside(sample: Opaque) -> None:
    with pytest.raises(TypeError):
        hash(sample)


def test_different_data_is_not_equal() -> None:
    assert UnknownItem.of({"type": "x", "a": 1}) != UnknownItem.of({"type": "x", "a": 2})


def test_different_classes_are_not_equal() -> None:
    assert UnknownContent.of({"type": "x"}) != UnknownTool.of({"type": "x"})


def test_an_event_with_an_unknown_item_can_be_compared_and_copied() -> None:
    event = ConversationItemAdded(item=MessageItem(role="user", content=[UnknownContent.of({"type": "hologram"})]))
    assert copy.deepcopy(event) == event
    assert copy.copy(event) == event
