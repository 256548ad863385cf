"""The server of a recording, for a client that speaks now: what is said again, when, and under whose names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.toolkit import RecordedServer, Row, sockets_of
from antiphon.toolkit.journal import Note

MS = 1_000_000
SECOND = 1000 * MS

CREATED = {"type": "session.created"}
UPDATED = {"type": "session.updated"}
UPDATE = {"type": "session.update", "event_id": "u1"}
ASK = {"type": "response.create"}


def server_says(event: dict[str, Any], ms: int | None = None) -> Row:
    return Row(1, "server", json.dumps(event).encode(), None if ms is None else ms * MS)


def client_says(event: dict[str, Any], ms: int | None = None) -> Row:
    return Row(1, "client", json.dumps(event).encode(), None if ms is None else ms * MS)


def said(server: RecordedServer, now: int) -> list[dict[str, Any]]:
    return [json.loads(text) for text in server.tick(now)]


def hear(server: RecordedServer, event: dict[str, Any], now: int = 0) -> None:
    server.receive(json.dumps(event), now)


def playing(*rows: Row, **how: Any) -> RecordedServer:
    return RecordedServer(rows, 0, **how)


# -- when --------------------------------------------------------------------------------------------------------------


def test_what_was_said_is_said_again_at_the_recorded_pace() -> None:
    server = playing(server_says(CREATED, 1000), server_says(UPDATED, 1250))
    assert server.deadline == 0  # the recording begins where it begins
    assert said(server, 0) == [CREATED]
    assert (server.deadline, server.ended) == (250 * MS, False)
    assert said(server, 249 * MS) == []
    assert said(server, 250 * MS) == [UPDATED]
    assert (server.deadline, server.ended) == (None, True)


@pytest.mark.parametrize(("speed", "pause"), [(2.0, 125 * MS), (0.5, 500 * MS), (None, 0)])
def test_the_pace_may_be_another(speed: float | None, pause: int) -> None:
    server = playing(server_says(CREATED, 1000), server_says(UPDATED, 1250), speed=speed)
    assert said(server, 0) == [CREATED, *([] if pause else [UPDATED])]
    assert server.deadline == (pause or None)


def test_a_recording_without_times_has_no_pauses() -> None:
    assert said(playing(server_says(CREATED), server_says(UPDATED)), 0) == [CREATED, UPDATED]


def test_time_that_goes_back_in_a_recording_is_no_pause() -> None:
    server = playing(server_says(CREATED, 1000), server_says(UPDATED, 500), server_says(CREATED, 1100))
    assert said(server, 0) == [CREATED, UPDATED]
    assert server.deadline == 100 * MS


@pytest.mark.parametrize("speed", [0, -1.0])
def test_a_speed_that_leads_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="a speed is above 0"):
        playing(speed=speed)


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_nothing_is_answered_before_it_was_asked() -> None:
    server = playing(client_says(UPDATE, 0), server_says(UPDATED, 100))
    assert (server.deadline, server.waits_for) == (None, "session.update")
    assert said(server, SECOND) == []
    hear(server, UPDATE, SECOND)
    assert (server.deadline, server.waits_for) == (SECOND + 100 * MS, None)
    assert said(server, SECOND + 100 * MS) == [UPDATED]


def test_a_command_that_comes_early_is_answered_at_the_recorded_time() -> None:
    server = playing(server_says(CREATED, 0), client_says(UPDATE, 500), server_says(UPDATED, 600))
    hear(server, UPDATE)
    assert said(server, 0) == [CREATED]
    assert server.deadline == 500 * MS
    assert said(server, 500 * MS) == []
    assert said(server, 600 * MS) == [UPDATED]


def test_one_command_is_not_two() -> None:
    server = playing(client_says(UPDATE), server_says(UPDATED), client_says(UPDATE), server_says(UPDATED))
    hear(server, UPDATE, 1)
    assert said(server, 1) == [UPDATED]
    assert server.waits_for == "session.update"


def test_a_command_that_a_living_client_may_not_send_is_waited_for_so_long_and_then_missed() -> None:
    truncate = {"type": "conversation.item.truncate", "item_id": "i"}
    server = playing(server_says(CREATED, 0), client_says(truncate, 100), server_says(UPDATED, 200), patience=SECOND)
    server.tick(0)
    assert (server.deadline, server.waits_for) == (SECOND + 100 * MS, None)
    assert said(server, SECOND + 100 * MS) == []
    assert said(server, SECOND + 200 * MS) == [UPDATED]
    assert server.missed == {"conversation.item.truncate": 1}


def test_audio_is_one_cue_however_it_is_cut() -> None:
    append = {"type": "input_audio_buffer.append", "audio": "AAAA"}
    server = playing(client_says(append), client_says(append), server_says(CREATED), client_says(append))
    assert server.waits_for == "input_audio_buffer.append"
    hear(server, append, 1)
    assert said(server, 1) == [CREATED]
    assert server.ended
    assert (server.missed, server.unasked) == ({}, {})


def test_what_was_not_in_the_recording_is_counted() -> None:
    server = playing(server_says(CREATED))
    for _ in range(2):
        hear(server, {"type": "response.cancel"})
    assert server.unasked == {"response.cancel": 2}


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"type": 5}', b"\xff", b"[" * 100_000, "nul"])
def test_what_is_no_event_is_passed_over(text: bytes | str) -> None:
    server = playing(client_says(UPDATE), server_says(UPDATED))
    server.receive(text, 0)
    assert (server.waits_for, server.unasked) == ("session.update", {})


def test_a_recorded_command_of_no_type_is_no_cue() -> None:
    server = playing(client_says({"no": "type"}), Row(2, "client", b'{"type": 5}'), server_says(CREATED))
    assert said(server, 0) == [CREATED]


# -- names -------------------------------------------------------------------------------------------------------------


def test_the_names_of_the_living_client_stand_in_the_answers() -> None:
    item = {"type": "message", "role": "user", "id": "then"}
    server = playing(
        client_says({"type": "conversation.item.create", "event_id": "e1", "item": item}),
        server_says({"type": "conversation.item.added", "item": item, "previous_item_id": None}),
        server_says({"type": "error", "error": {"event_id": "e1", "also": ["then", 7]}}),
    )
    hear(server, {"type": "conversation.item.create", "event_id": "e9", "item": {**item, "id": "now"}}, 1)
    added, error = said(server, 1)
    assert added["item"] == {**item, "id": "now"}
    assert error["error"] == {"event_id": "e9", "also": ["now", 7]}


def test_what_is_called_the_same_is_said_as_it_was_recorded() -> None:
    text = b'{"type":  "session.updated", "n": 1.0}'
    server = playing(client_says(UPDATE), Row(2, "server", text))
    hear(server, UPDATE, 1)
    assert server.tick(1) == [text]
    server = playing(client_says(UPDATE), Row(2, "server", text))
    hear(server, {**UPDATE, "event_id": "other"}, 1)
    assert server.tick(1) == [text]


def test_an_item_that_only_the_living_client_named_has_that_name_from_its_announcement_on() -> None:
    item = {"type": "message", "role": "user"}
    server = playing(
        client_says({"type": "conversation.item.create", "item": item}),
        server_says({"type": "conversation.item.added", "item": {"type": "message", "role": "system", "id": "s"}}),
        server_says({"type": "conversation.item.added", "item": {**item, "id": "chosen"}}),
        server_says({"type": "conversation.item.deleted", "item_id": "chosen"}),
    )
    hear(server, {"type": "conversation.item.create", "item": {**item, "id": "mine"}}, 1)
    system, added, deleted = said(server, 1)
    assert (system["item"]["id"], added["item"]["id"], deleted["item_id"]) == ("s", "mine", "mine")


def test_an_announcement_that_names_nothing_names_nothing() -> None:
    item = {"type": "message", "role": "user"}
    server = playing(
        client_says({"type": "conversation.item.create", "item": item}),
        server_says({"type": "conversation.item.added", "item": None}),
        server_says({"type": "conversation.item.added", "item": item}),
        server_says({"type": "conversation.item.deleted", "item_id": "i"}),
    )
    hear(server, {"type": "conversation.item.create", "item": {**item, "id": "mine"}}, 1)
    assert [each.get("item_id") for each in said(server, 1)] == [None, None, "i"]


def test_an_item_that_the_recorded_client_put_otherwise_is_not_named() -> None:
    server = playing(
        client_says({"type": "conversation.item.create", "item": None}),
        server_says({"type": "conversation.item.added", "item": {"type": "message", "role": "user", "id": "i"}}),
    )
    hear(server, {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "id": "mine"}}, 1)
    assert said(server, 1)[0]["item"]["id"] == "i"


def test_a_response_echoes_the_metadata_of_the_living_request() -> None:
    def response(kind: str, **fields: Any) -> Row:
        return server_says({"type": f"response.{kind}", "response": {"id": "r", "metadata": {"a": "then"}, **fields}})

    ask = {**ASK, "response": {"metadata": {"a": "then"}}}
    server = playing(
        client_says(ask),
        server_says({"type": "response.created", "response": {"metadata": {"of": "nobody"}}}),
        response("created"),
        response("done"),
        client_says(ask),
        response("created", id="r2"),
        response("done", id="r3"),
    )
    hear(server, {**ASK, "response": {"metadata": {"a": "now"}}}, 1)
    nobody, created, done = (each["response"]["metadata"] for each in said(server, 1))
    assert (nobody, created, done) == ({"of": "nobody"}, {"a": "now"}, {"a": "now"})
    hear(server, ASK, 2)
    created, done = (each["response"]["metadata"] for each in said(server, 2))
    assert (created, done) == (None, {"a": "then"})


def test_a_response_that_the_server_began_by_itself_takes_no_requests_metadata() -> None:
    ask = {**ASK, "response": {"metadata": {"tag": "was"}}}
    begun = {"type": "response.created", "response": {"id": "r0", "metadata": None}}
    asked = {"type": "response.created", "response": {"id": "r1", "metadata": {"tag": "was"}}}
    server = playing(client_says(ask), server_says(begun), server_says(asked))
    hear(server, {**ASK, "response": {"metadata": {"tag": "now"}}})
    assert [event["response"]["metadata"] for event in said(server, 0)] == [None, {"tag": "now"}]


def test_rows_that_cannot_be_read_are_said_as_they_are() -> None:
    strange = [Row(1, "client", b'{"type":"response.create","n":1e999}'), Row(2, "server", b'{"type":"x","n":1e999}')]
    server = playing(*strange)
    hear(server, {**ASK, "event_id": "now", "item": {"id": "mine"}})
    assert server.tick(0) == [b'{"type":"x","n":1e999}']


# -- sockets -----------------------------------------------------------------------------------------------------------


def test_a_recording_of_several_sockets_is_cut_where_each_was_opened() -> None:
    opened = Note(1, "input", {"dir": "input", "input": {"in": "opened"}})
    first, second, third = server_says(CREATED), server_says(UPDATED), client_says(UPDATE)
    others = (
        Note(2, "input", {"input": {"in": "tick"}}),
        Note(3, "input", {}),
        Note(4, "note", {"input": {"in": "opened"}}),
    )
    entries = [opened, first, *others, second, opened, opened, third, opened]
    assert sockets_of(entries) == [[first, second], [third]]


def test_a_recording_of_nothing_has_no_sockets() -> None:
    assert sockets_of([]) == []
