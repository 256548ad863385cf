"""Actions: what leaves the engine, as values, as text for logs, and as plain data for traces."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest

import antiphon
from antiphon import (
    PCM16_24K,
    Action,
    Closed,
    CloseTransport,
    Deliver,
    Disconnected,
    Dropped,
    Fault,
    Finished,
    HandshakeReceived,
    InputAudio,
    InputCommitted,
    LostToVad,
    Merged,
    OpenTransport,
    Outcome,
    PlayAudio,
    Rejected,
    Report,
    RequestSettled,
    ResponseRequested,
    StopAudio,
    TimedOut,
    Transmit,
    TransmitMessage,
)
from antiphon import messages as m
from antiphon.engine.actions import actions_to_builtins

SOUND = b"\x01\x02" * 40
SECRET = "sk-0123456789"


def received(text: str) -> Deliver:
    """The `Deliver` that a client makes of this message."""
    client = antiphon.Session(antiphon.Role.CLIENT, antiphon.SessionConfig(), now=0)
    client.opened(0)
    delivered = client.receive_message(text, 0)[0]
    assert isinstance(delivered, Deliver)
    return delivered


@pytest.mark.parametrize("kind", get_args(Action), ids=lambda kind: kind.__name__)
def test_every_action_is_public_under_its_name(kind: type) -> None:
    assert getattr(antiphon, kind.__name__) is kind


def test_every_action_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(Action)]
    assert len(set(tags)) == len(tags)
    assert {kind.__struct_config__.tag_field for kind in get_args(Action)} == {"do"}


def test_every_outcome_has_a_tag_of_its_own() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(Outcome)}
    assert tags == {"finished", "rejected", "merged", "timed_out", "lost_to_vad", "dropped"}


@pytest.mark.parametrize("kind", get_args(Action), ids=lambda kind: kind.__name__)
def test_no_action_can_be_changed(kind: type) -> None:
    assert kind.__struct_config__.frozen  # type: ignore[attr-defined]  # every member of the union is a Struct


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Transmit(SOUND), "Transmit(data=<80 bytes>)"),
        (TransmitMessage(SOUND), "TransmitMessage(text=<80 bytes>)"),
        (
            PlayAudio("item", 0, 24, SOUND, PCM16_24K),
            f"PlayAudio(item_id='item', content_index=0, start=24, audio=<80 bytes>, format={PCM16_24K!r})",
        ),
        (InputAudio(SOUND, 24), "InputAudio(audio=<80 bytes>, start=24)"),
        (InputCommitted("item", SOUND), "InputCommitted(item_id='item', audio=<80 bytes>)"),
        (InputCommitted("item", None), "InputCommitted(item_id='item', audio=None)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_repr_tells_how_much_and_not_what(action: Action, text: str) -> None:
    assert repr(action) == text


def test_the_repr_of_a_handshake_hides_its_query_and_its_headers() -> None:
    action = HandshakeReceived("/v1/realtime", f"api-key={SECRET}", (("Authorization", f"Bearer {SECRET}"),), ())
    assert repr(action) == "HandshakeReceived(path='/v1/realtime', query=<21 characters>, headers=<1>)"


@pytest.mark.parametrize("raw", [b'{"type":"x"}', '{"type":"x"}'], ids=["bytes", "text"])
def test_the_repr_of_a_delivery_shows_the_event_and_the_length_of_its_text(raw: bytes | str) -> None:
    event = m.InputAudioBufferCleared(event_id="event_1")
    unit = "bytes" if isinstance(raw, bytes) else "characters"
    assert repr(Deliver(event, raw)) == f"Deliver(event={event!r}, raw=<12 {unit}>)"


def test_the_repr_of_a_delivered_audio_delta_holds_no_audio() -> None:
    delivered = received(
        '{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,'
        '"content_index":0,"delta":"AAECAwQF"}'
    )
    assert "AAECAwQF" in str(delivered.raw)
    assert "AAECAwQF" not in repr(delivered)


def test_plain_data_names_each_action_by_its_tag() -> None:
    assert actions_to_builtins((OpenTransport(1, 2), StopAudio("item", 0))) == [
        {"do": "open_transport", "generation": 1, "attempt": 2},
        {"do": "stop_audio", "item_id": "item", "content_index": 0},
    ]


def test_plain_data_holds_bytes_as_base64() -> None:
    assert actions_to_builtins((Transmit(b"\x00\x01\x02"),)) == [{"do": "transmit", "data": "AAEC"}]


@pytest.mark.parametrize(
    ("outcome", "data"),
    [
        (Finished("resp", "incomplete", "max_output_tokens"), {"response_id": "resp", "status": "incomplete"}),
        (Rejected(m.ErrorDetail(type="invalid_request_error", message="no", code="x")), {"error": {"message": "no"}}),
        (Merged("other"), {"into": "other"}),
        (TimedOut(), {}),
        (LostToVad("resp"), {"response_id": "resp"}),
        (Dropped("closed"), {"reason": "closed"}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "",
)
def test_plain_data_names_each_outcome_by_its_tag(outcome: Outcome, data: dict[str, object]) -> None:
    (plain,) = actions_to_builtins((RequestSettled("event_1", outcome),))
    assert (plain["do"], plain["event_id"]) == ("request_settled", "event_1")
    told = plain["outcome"]
    assert isinstance(told, dict)
    assert told["outcome"] == type(outcome).__struct_config__.tag
    for key, value in data.items():
        assert told[key] == value or (isinstance(value, dict) and value.items() <= told[key].items())


def test_a_fault_is_plain_data_too() -> None:
    fault = Fault("timeout", "no answer", "timer.close")
    gone, closed = actions_to_builtins((Disconnected(1, None, "", fault, None), Closed(1006, "", fault)))
    assert gone["fault"] == closed["fault"]
    assert gone["fault"] == {
        "kind": "timeout",
        "message": "no answer",
        "rule": "timer.close",
        "status": None,
        "code": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"input_audio_buffer.cleared","event_id":"e"}',
        '{"type":"brand.new","event_id":"e","deep":{"k":[1,null]}}',
        '{"type":"response.done","event_id":"e","response":5}',
        '{"type":"conversation.item.added","event_id":"e","previous_item_id":null,"item":{"type":"novel","z":2}}',
        '{"type":"conversation.item.added","event_id":"e","previous_item_id":null,'
        '"item":{"type":"message","role":"user","content":[{"type":"hologram","z":2}]}}',
    ],
    ids=["known", "unknown event", "malformed", "unknown item", "unknown content"],
)
def test_a_delivered_event_is_what_the_wire_showed(text: str) -> None:
    (plain,) = actions_to_builtins((received(text),))
    assert plain == {"do": "deliver", "event": json.loads(text), "raw": text}


def test_plain_data_can_be_written_as_json() -> None:
    actions = (
        CloseTransport(1000, "bye"),
        Report("R-E1", "", None, "", "not JSON"),
        ResponseRequested("resp", "vad", m.ResponseCreateParams(instructions="Be brief.")),
        InputCommitted("item", b"\xff"),
    )
    written = json.loads(msgspec.json.encode(actions_to_builtins(actions)))
    assert written[0] == {"do": "close_transport", "code": 1000, "reason": "bye", "abort": False}
    assert written[2]["params"] == {"instructions": "Be brief."}
    assert written[3]["audio"] == "/w=="
