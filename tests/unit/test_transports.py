"""What only WebRTC, SIP and sidebands have: delivery by the server, keys of a telephone, a session that never shows
itself."""

from __future__ import annotations

import json

import pytest

from antiphon import Deliver, PlayAudio
from antiphon import messages as m
from unit.engine_helpers import Talk, delivered, of, rules, sent, sent_types


def delivering(transport: str = "webrtc") -> Talk:
    """A client whose server plays the audio of a response by itself."""
    talk = Talk(begun=transport == "webrtc", transport=transport)
    if transport == "sideband":
        talk.client.opened(0)
    talk.created("r1")
    return talk


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
@pytest.mark.parametrize("end", ["stopped", "cleared"])
def test_delivery_starts_and_ends_after_its_response(transport: str, end: str) -> None:
    talk = delivering(transport)
    actions = (
        *talk.hear("output_audio_buffer.started", response_id="r1"),
        *talk.done("r1"),
        *talk.hear(f"output_audio_buffer.{end}", response_id="r1"),
    )
    assert (rules(actions), talk.client.deliveries["r1"].state) == ([], end)


def test_delivery_may_begin_before_anything_else_is_known_of_its_response() -> None:
    talk = Talk(transport="webrtc")
    assert rules(talk.hear("output_audio_buffer.started", response_id="r9")) == []
    assert talk.client.default_response is None


def test_the_end_of_a_delivery_may_carry_more_than_it_needs() -> None:
    talk = delivering()
    talk.hear("output_audio_buffer.started", response_id="r1")
    actions = talk.hear("output_audio_buffer.stopped", response_id="r1", error=None)
    assert (rules(actions), delivered(actions)) == ([], ["output_audio_buffer.stopped"])


def test_a_delivery_that_ends_without_a_beginning_is_reported() -> None:
    assert rules(delivering().hear("output_audio_buffer.stopped", response_id="r1")) == ["R-O1"]


def test_over_a_websocket_the_server_delivers_nothing() -> None:
    assert rules(Talk().hear("output_audio_buffer.started", response_id="r1")) == ["R-O2"]
    assert Talk().refused(m.OutputAudioBufferClear()).rule == "R-O2"


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_a_client_may_ask_its_server_to_stop_playing(transport: str) -> None:
    talk = delivering(transport)
    talk.hear("output_audio_buffer.started", response_id="r1")
    assert sent_types(talk.say(m.OutputAudioBufferClear())) == ["output_audio_buffer.clear"]
    assert talk.client.deliveries["r1"].state == "started"
    assert rules(talk.hear("output_audio_buffer.cleared", response_id="r1")) == []
    assert talk.client.default_response is not None


def test_audio_that_the_server_delivers_is_not_played_twice() -> None:
    talk = delivering()
    talk.part("r1", "i1")
    assert of(talk.audio("r1", "i1", 100), PlayAudio) == []


def test_a_delivery_survives_a_restore() -> None:
    talk = delivering()
    talk.hear("output_audio_buffer.started", response_id="r1")
    again = talk.restored()
    assert rules(again.hear("output_audio_buffer.stopped", response_id="r1")) == []


# -- a telephone -------------------------------------------------------------------------------------------------------


def test_a_key_of_a_telephone_is_delivered_although_it_has_no_event_id() -> None:
    talk = delivering("sideband")
    before = talk.client.snapshot(0)
    text = json.dumps({"type": "input_audio_buffer.dtmf_event_received", "event": "9", "received_at": 1763605109})
    (action,) = talk.client.receive_message(text, 0)
    assert isinstance(action, Deliver)
    assert action.event == m.InputAudioBufferDtmfEventReceived(event="9", received_at=1763605109)
    assert talk.client.snapshot(0) == before


def test_a_key_may_be_pressed_between_an_item_and_its_end() -> None:
    talk = delivering("sideband")
    item = {"id": "i1", "type": "message", "role": "system", "status": "completed", "content": []}
    actions = (
        *talk.hear("conversation.item.added", previous_item_id=None, item=item),
        *talk.hear("input_audio_buffer.dtmf_event_received", event="#", received_at=1),
        *talk.hear("conversation.item.done", previous_item_id=None, item=item),
    )
    assert rules(actions) == []


# -- a sideband --------------------------------------------------------------------------------------------------------


def test_a_sideband_begins_without_being_told_of_its_session() -> None:
    talk = Talk(begun=False, transport="sideband")
    talk.client.opened(0)
    assert talk.client.state == "open"
    assert rules(talk.created("r1")) == []
    assert (talk.client.configuration, talk.client.default_response is None) == (None, False)


def test_a_sideband_learns_its_session_from_the_answer_to_an_update() -> None:
    talk = Talk(begun=False, transport="sideband")
    talk.client.opened(0)
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be brief")))
    shown = {"type": "realtime", "model": "talker", "instructions": "be brief"}
    assert rules(talk.hear("session.updated", session=shown)) == []
    assert isinstance(talk.client.configuration, m.RealtimeSession)
    assert talk.client.configuration.model == "talker"


def test_a_sideband_sees_what_other_clients_of_its_session_do() -> None:
    talk = Talk(begun=False, transport="sideband")
    talk.client.opened(0)
    item = {"id": "i1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    assert rules(talk.adds(item)) == []
    assert [node.id for node in talk.client.conversation] == ["i1"]


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_the_button_clears_nothing_where_a_session_only_transcribes(transport: str) -> None:
    talk = Talk(transport=transport, session_type="transcription", begun=False)
    talk.client.opened(0)
    assert sent(talk.client.interrupt(0)) == []
