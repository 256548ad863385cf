"""The beta's names for events: whose names `event.type` shows is a view, and a class reads each name on the wire."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from antiphon import codec
from antiphon import messages as m
from antiphon.engine.codec import Repaired, client_decoder, server_decoder
from antiphon.machines import EVENTS
from antiphon.messages.beta import BETA_NAMES, CLIENT_VIEWS, SERVER_VIEWS, View

RENAMED = sorted((name, spec.beta) for name, spec in EVENTS.items() if spec.beta not in (None, name))
ITEM = {"id": "i", "type": "message", "role": "user", "content": []}


def example(name: str) -> dict[str, Any]:
    """An event with whatever any of the renamed ones needs."""
    place = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    return {"type": name, **place, "delta": "AAAA", "text": "a", "transcript": "a", "item": ITEM}


def read(name: str, view: View) -> Any:
    event = server_decoder(64, view)(json.dumps(example(name)))
    assert not isinstance(event, Repaired), "a name must not cost the typed decoder"
    return event


def test_the_names_are_those_of_the_specification() -> None:
    renamed = [(ga.type, beta.type) for ga, beta in BETA_NAMES.items() if ga is not m.ConversationItemAdded]
    assert sorted(renamed) == RENAMED
    assert BETA_NAMES[m.ConversationItemAdded] is m.ConversationItemCreated


@pytest.mark.parametrize(("ga", "beta"), RENAMED)
def test_the_view_says_which_name_is_seen_whichever_came(ga: str, beta: str) -> None:
    for wire in (ga, beta):
        for view, seen in (("ga", ga), ("beta", beta)):
            event = read(wire, view)  # type: ignore[arg-type]
            assert (event.type, event.wire_type, event.step_type) == (seen, wire, ga)
            assert json.loads(codec.encode(event))["type"] == wire


@pytest.mark.parametrize(("ga", "beta"), RENAMED)
def test_an_event_is_of_the_class_of_its_view_whichever_name_came(ga: str, beta: str) -> None:
    beta_class = SERVER_VIEWS["beta"][beta]
    for wire in (ga, beta):
        assert isinstance(read(wire, "ga"), m.SERVER_EVENTS[ga])
        assert isinstance(read(wire, "beta"), beta_class)
        assert isinstance(read(wire, "beta"), m.SERVER_EVENTS[ga])


def test_the_beta_s_created_is_an_added_in_the_view_of_ga() -> None:
    created, added = read("conversation.item.created", "ga"), read("conversation.item.added", "beta")
    assert (created.type, created.wire_type) == ("conversation.item.added", "conversation.item.created")
    assert (added.type, added.wire_type) == ("conversation.item.created", "conversation.item.added")
    assert isinstance(created, m.ConversationItemAdded)
    assert isinstance(added, m.ConversationItemCreated)
    # What the tables make of it hangs on the wire alone: only one of them is followed by a `done`.
    assert (created.step_type, added.step_type) == (created.wire_type, added.wire_type)


@pytest.mark.parametrize("view", ["ga", "beta"])
def test_every_class_of_a_view_reads_its_own_name(view: View) -> None:
    for views in (SERVER_VIEWS, CLIENT_VIEWS):
        for name, cls in views[view].items():
            wire = name.partition(" ")[0]
            assert (cls.__struct_config__.tag, cls.wire_type) == (wire, wire)


def test_an_event_can_be_pickled_in_either_view() -> None:
    for view in ("ga", "beta"):
        for wire in ("response.text.delta", "response.output_text.delta"):
            event = read(wire, view)  # type: ignore[arg-type]
            assert pickle.loads(pickle.dumps(event)) == event


def test_audio_stays_out_of_the_repr_by_either_name() -> None:
    for view in ("ga", "beta"):
        assert "AAAA" not in repr(read("response.audio.delta", view))  # type: ignore[arg-type]


def test_a_client_s_transcription_session_is_a_session_update() -> None:
    text = '{"type": "transcription_session.update", "session": {"input_audio_format": "pcm16"}}'
    outcome = client_decoder(64, "beta")(text)
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, m.SessionUpdate)
    assert (outcome.event.type, outcome.event.wire_type) == ("session.update", "transcription_session.update")
    assert isinstance(outcome.event.session, m.TranscriptionSession)
    assert outcome.problems == ()


def test_a_server_of_ga_does_not_know_the_beta_s_names() -> None:
    outcome = client_decoder(64)('{"type": "transcription_session.update", "session": {}}')
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, m.UnknownEvent)
