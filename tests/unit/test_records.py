"""`antiphon.engine.records`: the objects that tables step."""

from __future__ import annotations

import pytest

from antiphon.engine.audio import PCM16_24K
from antiphon.engine.playback import Entry
from antiphon.engine.records import OutputRecord, Place, ResponseRecord, StreamRecord
from antiphon.machines import MACHINES


def test_a_place_is_where_it_was_put() -> None:
    assert Place("idle").state == "idle"


@pytest.mark.parametrize("state", ["in_progress", "cancelling"])
def test_a_response_is_open_while_its_done_is_still_to_come(state: str) -> None:
    record = ResponseRecord("r")
    record.state = state
    assert record.is_open


@pytest.mark.parametrize("state", ["absent", "completed", "cancelled", "incomplete", "failed"])
def test_a_response_is_not_open_before_and_after(state: str) -> None:
    record = ResponseRecord("r")
    record.state = state
    assert not record.is_open


def test_a_response_is_in_the_conversation_unless_it_is_said_not_to_be() -> None:
    assert ResponseRecord("r").in_conversation
    assert not ResponseRecord("r", in_conversation=False).in_conversation


def test_a_response_comes_back_from_its_state_with_items_and_streams_in_order() -> None:
    record = ResponseRecord("r", in_conversation=False)
    record.state, record.event_id, record.status = "cancelled", "event_1", "cancelled"
    record.item_ids = {"b": None, "a": None}
    for item_id, index in (("b", 0), ("a", 1)):
        stream = StreamRecord(record, item_id, index, 0)
        stream.state = "text_open"
        record.streams[item_id, index] = stream
    loaded = ResponseRecord.load(record.dump())
    assert loaded.dump() == record.dump()
    assert list(loaded.item_ids) == ["b", "a"]
    assert list(loaded.streams) == [("b", 0), ("a", 1)]
    assert all(stream.response is loaded for stream in loaded.streams.values())


def test_a_stream_forgets_its_ledger_entry_on_the_way_which_is_only_a_memory_of_a_look_up() -> None:
    record = ResponseRecord("r")
    stream = StreamRecord(record, "a", 0, 2)
    stream.entry = Entry("a", 0, "r", PCM16_24K)
    loaded = StreamRecord.load(stream.dump(), record)
    assert (loaded.entry, loaded.output_index) == (None, 2)


def test_every_kind_of_record_begins_in_a_state_of_its_table() -> None:
    assert ResponseRecord("r").state == MACHINES["response"].initial
    assert StreamRecord(ResponseRecord("r"), "a", 0, 0).state == MACHINES["content_part"].initial
    assert OutputRecord("a").state == MACHINES["conversation_item"].initial
