"""What a handshake asks a server for, its model and its kind of session; and the session that only transcribes."""

from __future__ import annotations

import json

import pytest

from antiphon import (
    Closed,
    Connection,
    ConnectionConfig,
    HandshakeReceived,
    InputCommitted,
    LocalProtocolError,
    ResponseRequested,
    Role,
    ServerSession,
    SessionConfig,
    TranscriptCompleted,
    TranscriptDelta,
    Transmit,
)
from antiphon import messages as m
from antiphon.engine.settings import Wanted, asked_in, initial, settled
from unit.server_helpers import Host, Numbers, of, refusal, sent, sent_types

TRANSCRIBES = {"type": "transcription"}


# -- the handshake (R-S11) ---------------------------------------------------------------------------------------------


class Door:
    """A server whose client has sent its handshake."""

    def __init__(self, query: str, **config: object) -> None:
        self.connection = Connection(
            Role.SERVER, ConnectionConfig(session=SessionConfig(**config)), now=0, entropy=Numbers()
        )
        self.connection.opened(0)
        head = (
            f"GET /v1/realtime?{query} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        (asked,) = of(self.connection.receive_data(head.encode(), 0), HandshakeReceived)
        assert asked.query == query

    @property
    def session(self) -> ServerSession:
        assert isinstance(self.connection.session, ServerSession)
        return self.connection.session


@pytest.mark.parametrize(
    "query", ["model=gpt-realtime", "deployment=gpt-realtime&api-version=1", "model=gpt%2Drealtime"]
)
def test_the_model_of_the_handshake_is_that_of_the_session(query: str) -> None:
    """R-S11"""
    door = Door(query, session={"model": "another"})
    door.connection.accept(0)
    configuration = door.session.configuration
    assert isinstance(configuration, m.RealtimeSession)
    assert configuration.model == "gpt-realtime"


def test_without_a_model_the_session_has_that_of_the_server() -> None:
    door = Door("", session={"model": "mine"}, models=("others",))
    door.connection.accept(0)
    assert door.session.settings["model"] == "mine"


def test_the_intent_of_the_handshake_is_the_kind_of_the_session() -> None:
    """R-S11"""
    door = Door(
        "intent=transcription", session={"instructions": "be brief", "audio": {"input": {"turn_detection": None}}}
    )
    actions = door.connection.accept(0)
    created = b"".join(action.data for action in of(actions, Transmit))
    assert b'"object":"realtime.transcription_session"' in created
    assert b"instructions" not in created
    assert door.session.turn_detection is None
    assert not door.session.converses


def test_a_model_that_is_not_served_is_refused_with_its_reason() -> None:
    """R-S11"""
    door = Door("model=gpt-5", models=("gpt-realtime",))
    before = dict(door.session.settings)
    actions = door.connection.accept(0)
    head, _, body = b"".join(action.data for action in of(actions, Transmit)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["error"] == {
        "type": "invalid_request_error",
        "code": "model_not_found",
        "message": "The model 'gpt-5' does not exist or you do not have access to it.",
        "param": "model",
        "event_id": None,
    }
    (closed,) = of(actions, Closed)
    assert closed.fault is not None
    assert (closed.fault.kind, closed.fault.status) == ("handshake", 404)
    assert door.session.settings == before


def test_a_model_of_the_list_is_served() -> None:
    door = Door("model=gpt-realtime", models=("gpt-realtime", "gpt-realtime-mini"))
    door.connection.accept(0)
    assert door.session.state == "open"


def test_no_model_is_named_without_end() -> None:
    assert b" 404 " in b"".join(each.data for each in of(Door("model=" + "m" * 257).connection.accept(0), Transmit))


def test_an_answer_that_cannot_be_said_leaves_the_session_as_it_was() -> None:
    door = Door("model=gpt-realtime&intent=transcription")
    before = door.connection.snapshot(0)
    with pytest.raises(LocalProtocolError):
        door.connection.accept(0, headers=(("Bad Header", "x"),))
    assert door.connection.snapshot(0) == before


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Wanted()),
        ("model=a&model=b", Wanted("a")),
        ("model=&intent=", Wanted()),
        ("&".join(f"k{number}=v" for number in range(100)), Wanted()),
        ("%ff=%ff&model=a", Wanted("a")),
    ],
)
def test_a_query_is_read_with_patience(query: str, wanted: Wanted) -> None:
    assert asked_in(query) == wanted


def test_a_server_that_only_transcribes_stays_one() -> None:
    settings = initial({"type": "transcription", "audio": {"input": {"turn_detection": None}}})
    config = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    assert settled(config, Wanted("m1", "transcription")) == settled(config, Wanted("m1")) == settings


def _beta_door(**config: object) -> list[bytes]:
    """What a server says to a client that asks for the beta dialect."""
    connection = Connection(Role.SERVER, ConnectionConfig(session=SessionConfig(**config)), now=0, entropy=Numbers())
    connection.opened(0)
    connection.receive_data(
        b"GET /v1/realtime HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"OpenAI-Beta: realtime=v1\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        0,
    )
    return [action.data for action in of(connection.accept(0), Transmit)][1:]


def test_where_the_beta_is_retired_who_asks_for_it_is_told_so_and_closed_with_4000() -> None:
    error, close = _beta_door(dialect="ga")
    assert b'"code":"beta_api_shape_disabled"' in error
    assert close.endswith((4000).to_bytes(2, "big") + b"invalid_request_error.beta_api_shape_disabled")


@pytest.mark.parametrize("dialect", ["auto", "beta"])
def test_elsewhere_it_is_spoken(dialect: str) -> None:
    (created,) = _beta_door(dialect=dialect)
    assert b'"session.created"' in created


# -- the session that only transcribes (R-S9) --------------------------------------------------------------------------


def test_a_session_that_transcribes_shows_itself_as_one() -> None:
    host = Host(begun=False, session=TRANSCRIBES)
    (created,) = sent(host.server.opened(0))
    session = created["session"]
    assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
    assert list(session["audio"]) == ["input"]
    assert "output_modalities" not in session


def test_speech_is_committed_and_transcribed_and_not_answered() -> None:
    """R-S9"""
    host = Host(session=TRANSCRIBES)
    host.append(300)
    host.speech_started(0)
    actions = host.speech_stopped(300)
    assert sent_types(actions) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert of(actions, ResponseRequested) == []
    (committed,) = of(actions, InputCommitted)
    told = [
        *host.server.transcribed(committed.item_id, 0, TranscriptDelta("hel"), 0),
        *host.server.transcribed(committed.item_id, 0, TranscriptCompleted("hello", 0.3), 0),
    ]
    assert sent_types(tuple(told)) == [
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]


def test_a_commit_by_hand_is_transcribed_too() -> None:
    host = Host(session={**TRANSCRIBES, "audio": {"input": {"turn_detection": None}}})
    host.append(300)
    assert sent_types(host.hear("input_audio_buffer.commit"))[-1] == "conversation.item.done"


@pytest.mark.parametrize("type", ["response.create", "response.cancel", "output_audio_buffer.clear"])
def test_no_response_is_asked_for_where_there_is_none(type: str) -> None:
    """R-S9"""
    host = Host(session=TRANSCRIBES)
    before = host.snapshot()
    error = refusal(host.hear(type, event_id="mine"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "type", "mine")
    assert "'input_audio_buffer.commit'" in error["message"]
    assert "'response.create'" not in error["message"].partition("Supported")[2]
    assert host.snapshot() == before


def test_its_update_is_one_of_its_kind() -> None:
    host = Host(session=TRANSCRIBES)
    error = refusal(host.update(instructions="be brief"))
    assert (error["code"], error["param"]) == ("invalid_parameter", "session.type")
    assert error["message"] == "Passing a realtime session update event to a transcription session is not allowed."
    (updated,) = sent(
        host.hear(
            "session.update",
            session={**TRANSCRIBES, "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}}}},
        )
    )
    assert updated["session"]["audio"]["input"]["transcription"] == {
        "model": "whisper-1",
        "language": "en",
        "prompt": None,
    }


def test_it_comes_back_from_a_snapshot_as_what_it_was() -> None:
    host = Host(session=TRANSCRIBES)
    assert not host.restored().server.converses


# -- what an application may send --------------------------------------------------------------------------------------


def test_a_digit_of_a_telephone_has_no_event_id() -> None:
    host = Host()
    digit = m.InputAudioBufferDtmfEventReceived(event="5", received_at=1_700_000_000)
    assert sent(host.server.send(digit, 0)) == [
        {"type": "input_audio_buffer.dtmf_event_received", "event": "5", "received_at": 1_700_000_000}
    ]
