"""Traps of the session and the socket. Each test names a wrong implementation that it sees."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET, json

from antiphon import ClientSession, Closed, CloseTransport, Disconnected, Dropped, OpenTransport, Session
from antiphon import messages as m
from antiphon.engine import client, codec, legality, server, settings
from antiphon.engine.incoming import handlers
from antiphon.engine.incoming.session import INPUT_AUDIO_BUFFER
from antiphon.engine.link import End
from antiphon.machines import ERRORS
from traps.wrong import nothing, replaced, trap
from unit.engine_helpers import Talk, at, call, delivered, message, of, outcomes, rules, said, sent, sent_types, spoken
from unit.server_helpers import Host


def dialled() -> Talk:
    """A client that has dialled by itself, and so may again."""
    talk = Talk(begun=False)
    talk.client.start(talk.now)
    talk.client.opened(talk.now)
    talk.hear("session.created", session={"type": "realtime"})
    return talk


def test_trap_22_null_absent_and_falsy_are_three_things() -> None:
    def check() -> None:
        talk = Talk()
        detection = m.TurnDetection(type="server_vad", threshold=0, create_response=False)
        wanted = m.RealtimeSession(
            instructions="",
            tools=[],
            audio=m.AudioConfig(input=m.AudioInput(turn_detection=detection, transcription=None)),
        )
        (update,) = sent(talk.say(m.SessionUpdate(session=wanted)))
        detected = {"type": "server_vad", "threshold": 0, "create_response": False}
        assert update["session"] == {
            "type": "realtime",
            "instructions": "",
            "tools": [],
            "audio": {"input": {"turn_detection": detected, "transcription": None}},
        }

        host = Host()
        host.update(instructions="Be kind.", tools=[{"type": "function", "name": "f"}])
        host.update(audio={"input": {"turn_detection": {"create_response": False, "threshold": 0}}})
        assert host.server.settings["instructions"] == "Be kind."  # absent: kept
        found = host.server.turn_detection
        assert found is not None and (found.create_response, found.threshold, found.type) == (False, 0, "server_vad")
        host.update(audio={"input": {"turn_detection": None}}, tools=[])
        assert host.server.turn_detection is None  # null: cleared
        assert host.server.settings["tools"] == []

    encode = codec.encode

    def without_falsy(event: m.ClientEvent) -> bytes:
        def kept(value: Any) -> Any:
            return {key: kept(each) for key, each in value.items() if each} if isinstance(value, dict) else value

        return json.encode(kept(json.decode(encode(event))))

    merged = settings.merged

    def null_is_absent(before: Any, update: Any) -> Any:
        return merged(before, {key: value for key, value in update.items() if value is not None})

    def null_is_absent_at_every_level(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(server, "merged", null_is_absent)
        patch.setattr(settings, "merged", null_is_absent)

    trap(check, replaced(client, "encode", without_falsy), null_is_absent_at_every_level)


def test_trap_26_an_error_is_not_the_end() -> None:
    def check() -> None:
        harmless = [error.code for error in ERRORS.values() if not error.fatal]
        assert len(harmless) > 10
        for code in (*harmless, None, "a_code_of_tomorrow"):
            talk = Talk()
            talk.created("r1")
            actions = talk.error(code)
            assert delivered(actions) == ["error"]
            assert of(actions, Closed) == [] and of(actions, CloseTransport) == []
            assert talk.client.state == "open"
            assert talk.client.responses["r1"].is_open

    class Everything(frozenset[str]):
        def __contains__(self, code: object) -> bool:
            return True

    trap(check, replaced(handlers, "_FATAL", Everything()))


def test_trap_27_going_away_is_not_an_orderly_end() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        actions = talk.client.receive_eof(talk.now, 1001, "Your session hit the maximum duration of 60 minutes.")
        (lost,) = of(actions, Disconnected)
        assert lost.code == 1001
        assert lost.fault is not None and "60 minutes" in lost.fault.message

        talk = dialled()
        actions = talk.client.receive_eof(talk.now, 1001)
        assert of(actions, Closed) == []
        assert [dial.generation for dial in of(talk.tick(), OpenTransport)] == [2]  # the talk goes on

        talk = Talk()
        (ended,) = of(talk.client.receive_eof(talk.now, 1000), Closed)
        assert ended.fault is None

    def any_code_is_fine(_session: Session, code: int | None, reason: str) -> End:
        return End(code, reason, None)

    trap(check, replaced(ClientSession, "end_of_socket", any_code_is_fine))


def test_trap_28_nothing_of_a_dead_session_is_said_to_the_next() -> None:
    def check() -> None:
        talk = dialled()
        talk.say(message("u1"))
        talk.adds(said("u1"))
        talk.calls("r1", "c1")
        talk.ask("a")
        talk.created("r2", request="a")
        talk.generates("r2", {**call("c2"), "arguments": ""}, previous="item_c1")
        talk.generates("r2", spoken("i2"), previous="item_c2")
        talk.part("r2", "i2")
        talk.audio("r2", "i2", 300)
        talk.hear("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=0)
        actions = talk.client.receive_eof(talk.now, 1006)
        assert outcomes(actions) == {"a": Dropped("disconnected")}
        assert [response.id for response in talk.client.responses.values() if response.is_open] == []

        actions = talk.tick()
        actions += talk.client.opened(talk.now)
        actions += talk.hear("session.created", session={"type": "realtime"})
        told = sent(actions)
        assert [event["item"]["id"] for event in told if event["type"] == "conversation.item.create"] == [
            "u1",
            "item_c1",
        ]
        assert {event["type"] for event in told} <= {"session.update", "conversation.item.create"}
        assert delivered(talk.adds(said("u1")) + talk.adds(call("c1"), previous="u1")) == []  # no news

        assert talk.client.default_response is None and talk.client.input_audio_buffer_state == "idle"
        assert talk.refused(m.ResponseCancel(response_id="r2")).code == "response_cancel_not_active"
        output = m.FunctionCallOutputItem(call_id="c2", output="12")
        assert talk.refused(m.ConversationItemCreate(item=output)).code == "invalid_tool_call_id"
        assert sent_types(talk.outputs("c1")) == ["conversation.item.create"]
        assert sent_types(talk.ask("b")) == ["response.create"]

    def keeps_everything(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(ClientSession, "let_go", nothing)

    def keeps_the_detector(patch: pytest.MonkeyPatch) -> None:
        cells = INPUT_AUDIO_BUFFER.cells["speech"]
        patch.delitem(cells, "internal.renewed")

    trap(check, keeps_everything, keeps_the_detector)


def test_trap_37_an_update_that_names_another_voice_is_not_sent_after_the_first_word() -> None:
    def check() -> None:
        talk = Talk(session={"audio": {"output": {"voice": "alloy"}}})
        talk.speaks("r1", "i1", 100)
        voice = m.AudioConfig(output=m.AudioOutput(voice="marin"))
        update = m.SessionUpdate(session=m.RealtimeSession(instructions="Be kind.", audio=voice))
        assert talk.refused(update).code == "cannot_update_voice"
        for harmless in (UNSET, m.AudioConfig(output=m.AudioOutput(voice="alloy"))):
            update = m.SessionUpdate(session=m.RealtimeSession(instructions="Be kind.", audio=harmless))
            assert sent_types(talk.say(update)) == ["session.update"]

        host = Host()
        host.speaks(300)
        host.update(instructions="Be kind.", audio={"output": {"voice": "marin"}})
        assert host.server.settings["instructions"] == ""  # all or nothing

    def no_voice(_session: object) -> None:
        return None

    trap(check, replaced(legality, "_voice", no_voice))


def test_trap_48_numbers_may_be_written_in_unusual_ways() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        talk.generates("r1", spoken("i1"))
        place = {**at("r1", "i1"), "output_index": 0.0, "content_index": 0.0}
        actions = talk.hear("response.content_part.added", part={"type": "audio"}, latency_ns=2**70, **place)
        actions += talk.hear("response.output_audio_transcript.delta", delta="Hi", latency_ns=2**70, **place)
        actions += talk.hear("response.output_audio_transcript.delta", delta="!", **at("r1", "i1"))
        assert rules(actions) == []
        node = talk.client.conversation.get("i1")
        assert node is not None and node.text == "Hi!"

    trap(check, replaced(client, "receive_unusual", nothing))
