"""The catalogue of events: every event of the protocol has its class, its names and its fields."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET

from antiphon import messages
from antiphon.messages import CLIENT_EVENTS, SERVER_EVENTS, TRANSLATION_EVENTS, values
from shared_data import ABSENT, SHARED

ALL_EVENTS = {**CLIENT_EVENTS, **SERVER_EVENTS}


def declared_events() -> list[dict[str, Any]]:
    path = SHARED / "events.json"
    if not path.exists():
        pytest.skip(ABSENT)
    return [row for row in json.loads(path.read_text()) if row["dialect"] in ("ga", "ga-translation")]


def test_there_are_eleven_client_events_and_forty_six_server_events_and_six_of_a_translation() -> None:
    assert (len(CLIENT_EVENTS), len(SERVER_EVENTS)) == (13, 50)
    assert len(TRANSLATION_EVENTS) == 6


def test_the_catalogue_is_the_official_one() -> None:
    rows = declared_events()
    assert {row["type"] for row in rows if row["direction"] == "client"} == set(CLIENT_EVENTS)
    assert {row["type"] for row in rows if row["direction"] == "server"} == set(SERVER_EVENTS)


def test_every_official_field_is_an_attribute() -> None:
    absent = [
        (row["type"], field["name"])
        for row in declared_events()
        for field in row["fields"]
        if not hasattr(ALL_EVENTS[row["type"]], field["name"])
    ]
    assert absent == []


@pytest.mark.parametrize("wire_type", sorted(ALL_EVENTS))
def test_a_class_is_named_after_its_wire_type(wire_type: str) -> None:
    expected = "".join(word.capitalize() for word in re.split(r"[._]", wire_type))
    assert ALL_EVENTS[wire_type].__name__ == expected
    assert getattr(messages, expected) is ALL_EVENTS[wire_type]


@pytest.mark.parametrize("wire_type", sorted(ALL_EVENTS))
def test_the_type_attribute_is_the_tag_that_is_written(wire_type: str) -> None:
    config = ALL_EVENTS[wire_type].__struct_config__
    assert (config.tag_field, config.tag) == ("type", wire_type)
    assert ALL_EVENTS[wire_type].type == wire_type


def test_type_and_wire_type_are_readable_on_an_instance() -> None:
    event = messages.ResponseCancel()
    assert (event.type, event.wire_type) == ("response.cancel", "response.cancel")


def test_match_on_type_selects_an_event() -> None:
    event: messages.ServerEvent = messages.ConversationItemDeleted(item_id="item_1")
    match event.type:
        case "conversation.item.deleted":
            selected = True
        case _:
            selected = False
    assert selected


@pytest.mark.parametrize("wire_type", sorted(ALL_EVENTS))
def test_events_are_immutable(wire_type: str) -> None:
    assert ALL_EVENTS[wire_type].__struct_config__.frozen


@pytest.mark.parametrize(
    "wire_type", [name for name in sorted(ALL_EVENTS) if "delta" in name and "transcription" not in name]
)
def test_deltas_are_invisible_to_the_garbage_collector(wire_type: str) -> None:
    assert not ALL_EVENTS[wire_type].__struct_config__.gc


def test_an_absent_optional_field_is_unset_and_not_null() -> None:
    absent = messages.ConversationItemDone(item=messages.ItemReference(id="item_1"))
    null = messages.ConversationItemDone(item=messages.ItemReference(id="item_1"), previous_item_id=None)
    assert absent.previous_item_id is UNSET
    assert "previous_item_id" not in msgspec.to_builtins(absent)
    assert msgspec.to_builtins(null)["previous_item_id"] is None


def test_every_exported_name_exists_and_is_listed_once() -> None:
    assert len(set(messages.__all__)) == len(messages.__all__)
    assert all(hasattr(messages, name) for name in messages.__all__)


@pytest.mark.parametrize(
    ("alias", "known"),
    [
        (values.Voice, values.VOICES),
        (values.ResponseStatus, values.RESPONSE_STATUSES),
        (values.ItemStatus, values.ITEM_STATUSES),
        (values.AudioFormatType, values.AUDIO_FORMAT_TYPES),
    ],
)
def test_known_values_are_the_same_for_the_type_checker_and_at_run_time(alias: object, known: tuple[str, ...]) -> None:
    assert get_args(alias) == known


def test_a_value_outside_the_known_ones_is_accepted() -> None:
    session = msgspec.convert(
        {"type": "realtime", "audio": {"output": {"voice": "tomorrow"}}}, messages.RealtimeSession
    )
    assert isinstance(session.audio, messages.AudioConfig)
    assert isinstance(session.audio.output, messages.AudioOutput)
    assert session.audio.output.voice == "tomorrow"
