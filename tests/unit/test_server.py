"""`antiphon.engine.server`: the door in both directions, the brain's side, and the order in which an answer unfolds."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest

from antiphon import (
    PCM16_24K,
    PCMA,
    AudioDelta,
    Closed,
    CloseTransport,
    Connected,
    Content,
    Deliver,
    Disconnected,
    Fault,
    InputAudio,
    InputCommitted,
    ItemFinished,
    ItemStarted,
    Limits,
    LocalProtocolError,
    Report,
    ResponseCancelled,
    ResponseFinished,
    ResponseRequested,
    Role,
    ServerSession,
    Session,
    SessionConfig,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TransmitMessage,
)
from antiphon import messages as m
from antiphon.engine.content import TranscriptionResult
from unit.server_helpers import Host, Numbers, delivered, of, refusal, requested, sent, sent_types

LONE = "\ud800"
"""A surrogate without its partner: JSON in UTF-8 cannot express it."""

# -- life --------------------------------------------------------------------------------------------------------------


def test_a_server_needs_entropy() -> None:
    with pytest.raises(TypeError, match="entropy"):
        ServerSession(Role.SERVER, SessionConfig(), now=0)


def test_a_session_shows_itself_as_soon_as_its_socket_is_open() -> None:
    host = Host(begun=False)
    assert host.server.state == "awaiting"
    connected, announced = host.server.opened(0)
    assert connected == Connected(1)
    assert isinstance(announced, TransmitMessage)
    (created,) = sent((announced,))
    assert created["type"] == "session.created"
    assert created["session"]["id"] == host.server.session_id
    assert created["session"]["id"].startswith("sess_")
    assert "expires_at" not in created["session"]
    assert host.server.state == "open"


def test_a_session_says_when_it_expires_if_it_knows_the_time() -> None:
    host = Host(begun=False, unix_expiry_s=900)
    created = sent(host.server.opened(0, unix_ns=1_700_000_000_999_999_999))[0]
    assert created["session"]["expires_at"] == 1_700_000_900


def test_the_configuration_that_sessions_begin_with_is_merged_over_the_defaults() -> None:
    own = {"instructions": "be brief", "audio": {"input": {"format": {"type": "audio/pcma"}}}}
    host = Host(begun=False, session=own)
    session = sent(host.server.opened(0))[0]["session"]
    assert (session["instructions"], session["output_modalities"]) == ("be brief", ["audio"])
    assert session["audio"]["input"]["format"] == {"type": "audio/pcma"}
    assert host.server.input_audio_buffer.format == PCMA


def test_a_configured_format_that_has_no_samples_is_shown_and_not_counted_in() -> None:
    odd = {"format": {"type": "audio/opus"}}
    host = Host(begun=False, session={"audio": {"input": odd, "output": odd}})
    assert sent(host.server.opened(0))[0]["session"]["audio"]["output"]["format"] == {"type": "audio/opus"}
    assert host.server.input_audio_buffer.format == host.server.output_format == PCM16_24K


def test_all_ids_come_from_the_given_entropy() -> None:
    host = Host()
    assert host.server.session_id == "sess_" + f"{1:020x}"
    assert host.server.conversation_id == "conv_" + f"{2:020x}"
    assert host.entropy.drawn == 3  # the event's is the third


def test_nothing_is_heard_before_the_socket_is_open() -> None:
    host = Host(begun=False)
    assert host.hear("response.create") == ()
    assert host.server.receive_event(m.ResponseCreate(), 0) == ()


@pytest.mark.parametrize(
    "command",
    [
        lambda server: server.send(m.RateLimitsUpdated(rate_limits=[]), 0),
        lambda server: server.speech_started(0, 0),
        lambda server: server.speech_stopped(0, 0),
        lambda server: server.transcribed("i", 0, TranscriptDelta("la"), 0),
    ],
)
def test_nothing_can_be_said_before_the_socket_is_open(command: Callable[[ServerSession], object]) -> None:
    host = Host(begun=False)
    assert host.refused(lambda: command(host.server)).rule == "R-N4"


def test_time_does_not_go_back() -> None:
    host = Host()
    host.server.receive_message('{"type": "response.cancel"}', 10)
    host.now = 10
    for attempt in (
        lambda: host.server.receive_message('{"type": "response.cancel"}', 9),
        lambda: host.server.receive_event(m.ResponseCancel(), 9),
        lambda: host.server.speech_started(0, 9),
        lambda: host.server.generate(ItemFinished(response_id="r", output_index=0), 9),
    ):
        assert host.refused(attempt).rule == "R-N3"


def test_the_end_of_the_socket_stops_the_brain_and_ends_the_engine() -> None:
    host = Host()
    first = host.asks()
    host.sounds_in(first, 100)
    aside = host.asks(conversation="none")
    host.begins(aside, "function_call")
    actions = host.server.receive_eof(0, 1000)
    assert actions == (
        ResponseCancelled(first, "disconnected"),
        ResponseCancelled(aside, "disconnected"),
        Disconnected(1, 1000, "", None, None),
        Closed(1000, "", None),
    )
    assert [node.status for node in host.server.conversation] == ["incomplete"]
    assert not any(record.is_open for record in host.server.responses.values())


def test_a_brain_that_is_still_at_work_after_the_end_is_told() -> None:
    host = Host()
    response_id = host.asks()
    host.server.receive_eof(0, 1000)
    assert host.refused(lambda: host.says(response_id, "hello")).rule == "R-N4"


def test_a_closing_server_hears_nothing_more_but_the_end() -> None:
    host = Host()
    assert host.server.close(0, 4001, "bye") == (CloseTransport(4001, "bye"),)
    assert host.hear("response.create") == ()
    assert isinstance(host.server.receive_eof(0, 4001)[-1], Closed)
    assert host.hear("response.create") == ()


def test_the_clients_methods_are_not_a_servers() -> None:
    host = Host()
    for attempt in (
        lambda: host.server.append_audio(b"", 0),
        lambda: host.server.audio_played("i", 0, 0, 0),
        lambda: host.server.audio_stopped("i", 0, 0, 0),
        lambda: host.server.interrupt(0),
    ):
        assert host.refused(attempt).rule == "R-E6"


# -- events in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda text: text.decode()])
def test_an_event_may_come_in_any_kind_of_text(kind: Callable[[bytes], bytes | str]) -> None:
    text = b'{"type": "input_audio_buffer.clear", "mine": 1}'
    delivery, answer = Host().server.receive_message(kind(text), 0)
    assert isinstance(delivery, Deliver)
    assert delivery.raw == (text.decode() if kind(text) == text.decode() else text)
    assert sent_types((answer,)) == ["input_audio_buffer.cleared"]


def test_text_that_is_not_utf_8_ends_the_socket() -> None:
    host = Host()
    assert host.server.receive_message(b'{"type": "\xff"}', 0) == (CloseTransport(1007, "not UTF-8"),)
    end = host.server.receive_eof(0)[-1]
    assert end == Closed(1007, "not UTF-8", Fault("protocol", "a text message that is not UTF-8", "R-E2"))


def test_a_typed_event_does_what_its_text_does() -> None:
    typed, spoken = Host(), Host()
    event = m.SessionUpdate(event_id="mine", session=m.RealtimeSession(instructions="be brief"))
    actions = typed.server.receive_event(event, 0)
    assert delivered(actions) == event
    assert actions == spoken.server.receive_message(of(actions, Deliver)[0].raw, 0)
    assert typed.snapshot() == spoken.snapshot()


def test_a_typed_event_of_a_server_is_refused() -> None:
    error = refusal(Host().server.receive_event(m.InputAudioBufferCleared(event_id="mine"), 0))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_event", "type", "mine")


def test_a_typed_event_is_held_to_the_same_bounds() -> None:
    assert refusal(Host().server.receive_event(m.ResponseCancel(event_id="e" * 513), 0))["param"] == "event_id"


def test_what_an_unusual_spelling_leaves_clear_is_taken() -> None:
    host = Host()
    tools = [{"type": "web_search", "depth": 3}]
    assert sent(host.update(tools=tools))[0]["session"]["tools"] == tools


def test_a_malformed_event_is_delivered_as_such_and_refused() -> None:
    actions = Host().hear("conversation.item.delete", event_id="mine", item_id=None)
    assert isinstance(delivered(actions), m.Malformed)
    assert refusal(actions)["event_id"] == "mine"


def test_an_id_that_is_no_string_is_not_echoed() -> None:
    error = refusal(Host().hear("input_audio_buffer.clear", event_id=7))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_type", "event_id", None)


def test_the_last_of_equal_keys_counts() -> None:
    text = '{"type": "session.update", "session": [], "session": {"type": "realtime", "instructions": "be brief"}}'
    (updated,) = sent(Host().server.receive_message(text, 0))
    assert (updated["type"], updated["session"]["instructions"]) == ("session.updated", "be brief")


# -- events out --------------------------------------------------------------------------------------------------------


def test_a_server_may_tell_its_rate_limits_and_errors_of_its_own() -> None:
    host = Host()
    (limits,) = sent(host.server.send(m.RateLimitsUpdated(rate_limits=[m.RateLimit(name="tokens", limit=9)]), 0))
    assert limits["rate_limits"] == [{"name": "tokens", "limit": 9}]
    assert limits["event_id"].startswith("event_")
    (error,) = sent(host.server.send(m.Error(event_id="mine", error=m.ErrorDetail(message="no")), 0))
    assert error["event_id"] == "mine"


def test_an_event_of_another_protocol_goes_out_as_it_is() -> None:
    event = m.UnknownEvent.of({"type": "vendor.event", "x": [1]})
    assert sent(Host().server.send(event, 0)) == [{"type": "vendor.event", "x": [1]}]  # type: ignore[arg-type]  # `send` names the typed ones


@pytest.mark.parametrize(
    "event", [m.InputAudioBufferCleared(), m.ResponseCreate(), m.ConversationItemDeleted(item_id="i")]
)
def test_what_the_engine_says_by_itself_cannot_be_sent(event: m.ServerEvent | m.ClientEvent) -> None:
    host = Host()
    assert host.refused(lambda: host.server.send(event, 0, override={"R-E6"})).rule == "R-E6"


def test_what_json_cannot_express_cannot_be_sent() -> None:
    host = Host()
    assert host.refused(lambda: host.server.send(m.Error(error=m.ErrorDetail(message=LONE)), 0)).rule == "R-E1"


# -- voice detection ---------------------------------------------------------------------------------------------------


def test_a_spoken_turn_keeps_the_id_it_was_announced_with_and_begins_a_response() -> None:
    host = Host()
    before = host.adds()
    host.append(1000)
    (started,) = sent(host.speech_started(100))
    assert (started["type"], started["audio_start_ms"]) == ("input_audio_buffer.speech_started", 100)
    assert host.server.input_audio_buffer_state == "speech"
    actions = host.speech_stopped(900)
    stopped, committed, added, done, created = sent(actions)
    assert (stopped["type"], stopped["audio_end_ms"]) == ("input_audio_buffer.speech_stopped", 900)
    assert committed["type"] == "input_audio_buffer.committed"
    assert committed["previous_item_id"] == added["previous_item_id"] == before
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    ids = {started["item_id"], stopped["item_id"], committed["item_id"], added["item"]["id"], done["item"]["id"]}
    assert ids == {host.server.conversation.items[-1].id}
    assert created["type"] == "response.created"
    assert requested(actions).cause == "vad"
    assert host.server.input_audio_buffer_state == "idle"


def test_audio_behind_the_end_of_a_turn_belongs_to_the_next() -> None:
    host = Host(retain_input_audio=True)
    host.append(1000)
    host.speech_started(100)
    (committed,) = of(host.speech_stopped(900), InputCommitted)
    assert committed.audio == bytes(900 * 48)
    assert host.server.input_audio_buffer.uncommitted_ms == 100


def test_a_session_may_want_no_response_to_speech() -> None:
    host = Host()
    host.update(audio={"input": {"turn_detection": {"create_response": False}}})
    host.speech_started(0)
    assert of(host.speech_stopped(500), ResponseRequested) == []


def test_speech_cuts_the_response_in_progress() -> None:
    host = Host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 500, "one two")
    actions = host.speech_started(100)
    assert sent_types(actions) == [
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    transcript, done = sent(actions)[2], sent(actions)[-1]["response"]
    assert transcript["transcript"] == "one two"
    assert (done["status"], done["status_details"]) == ("cancelled", {"type": "cancelled", "reason": "turn_detected"})
    assert [(item["id"], item["status"]) for item in done["output"]] == [(item_id, "incomplete")]
    assert actions[-1] == ResponseCancelled(response_id, "turn_detected")


def test_speech_before_the_first_item_ends_an_empty_response() -> None:
    host = Host()
    host.asks()
    done = sent(host.speech_started(0))[-1]["response"]
    assert (done["status"], done["output"], done["usage"]["total_tokens"]) == ("cancelled", [], 0)


def test_speech_leaves_responses_out_of_band_alone() -> None:
    host = Host()
    aside = host.asks(conversation="none")
    assert sent_types(host.speech_started(0)) == ["input_audio_buffer.speech_started"]
    assert host.server.responses[aside].is_open


def test_a_session_that_is_not_to_be_interrupted_goes_on_and_starts_no_second_response() -> None:
    host = Host()
    host.update(audio={"input": {"turn_detection": {"interrupt_response": False}}})
    response_id = host.asks()
    assert sent_types(host.speech_started(0)) == ["input_audio_buffer.speech_started"]
    actions = host.speech_stopped(500)
    assert of(actions, ResponseRequested) == []
    assert sent_types(actions)[-1] == "conversation.item.done"
    assert host.server.default_response is host.server.responses[response_id]


def test_a_manual_commit_during_speech_uses_the_announced_id_up() -> None:
    host = Host()
    host.append(500)
    announced = sent(host.speech_started(0))[0]["item_id"]
    assert sent(host.hear("input_audio_buffer.commit"))[0]["item_id"] == announced
    assert host.server.input_audio_buffer_state == "speech"
    host.append(500)
    stopped, committed = sent(host.speech_stopped(1000))[:2]
    assert stopped["item_id"] == committed["item_id"] != announced
    assert host.ids == [announced, committed["item_id"]]


def test_the_end_of_speech_that_was_cleared_is_nobodys() -> None:
    host = Host()
    host.append(500)
    host.speech_started(0)
    host.hear("input_audio_buffer.clear")
    assert host.server.input_audio_buffer_state == "idle"
    assert host.speech_stopped(500) == ()
    assert host.refused(lambda: host.speech_stopped(600)).rule == "R-I1"


def test_speech_can_begin_again_after_a_clear() -> None:
    host = Host()
    host.speech_started(0)
    host.hear("input_audio_buffer.clear")
    host.speech_started(700)
    assert sent_types(host.speech_stopped(900))[0] == "input_audio_buffer.speech_stopped"


def test_a_clear_in_silence_forgives_no_end_of_speech() -> None:
    host = Host()
    host.hear("input_audio_buffer.clear")
    assert host.refused(lambda: host.speech_stopped(500)).rule == "R-I1"


def test_speech_starts_once() -> None:
    host = Host()
    host.speech_started(0)
    assert host.refused(lambda: host.speech_started(100)).rule == "R-I1"


def test_without_turn_detection_no_speech_starts() -> None:
    host = Host()
    host.update(audio={"input": {"turn_detection": None}})
    assert host.refused(lambda: host.speech_started(0)).rule == "R-I1"


@pytest.mark.parametrize("audio", [{"input": {"turn_detection": None}}, {"input": None}, None])
def test_detection_that_is_switched_off_during_speech_still_ends_the_turn(audio: object) -> None:
    host = Host()
    host.speech_started(0)
    host.update(audio=audio)
    actions = host.speech_stopped(500)
    assert sent_types(actions)[-1] == "conversation.item.done"
    assert of(actions, ResponseRequested) == []


# -- transcription -----------------------------------------------------------------------------------------------------


def _heard(host: Host) -> str:
    host.append(500)
    host.speech_started(0)
    return of(host.speech_stopped(500), InputCommitted)[0].item_id


def test_a_transcript_comes_in_pieces_and_whole() -> None:
    host = Host()
    item_id = _heard(host)
    (delta,) = sent(host.server.transcribed(item_id, 0, TranscriptDelta("hel"), 0))
    assert (delta["type"], delta["item_id"], delta["content_index"], delta["delta"]) == (
        "conversation.item.input_audio_transcription.delta",
        item_id,
        0,
        "hel",
    )
    (whole,) = sent(host.server.transcribed(item_id, 0, TranscriptCompleted("hello", 0.5), 0))
    assert whole["type"] == "conversation.item.input_audio_transcription.completed"
    assert (whole["transcript"], whole["usage"]) == ("hello", {"type": "duration", "seconds": 0.5})
    node = host.server.conversation.get(item_id)
    assert node is not None
    assert node.text == "hello"


def test_a_transcription_that_failed_says_why() -> None:
    host = Host()
    (failed,) = sent(host.server.transcribed(_heard(host), 0, TranscriptFailed("noise", "audio_unintelligible"), 0))
    assert failed["type"] == "conversation.item.input_audio_transcription.failed"
    assert failed["error"] == {"type": "transcription_error", "code": "audio_unintelligible", "message": "noise"}


@pytest.mark.parametrize("end", [TranscriptCompleted("hello"), TranscriptFailed("noise")])
def test_a_transcription_ends_once(end: TranscriptionResult) -> None:
    host = Host()
    item_id = _heard(host)
    host.server.transcribed(item_id, 0, end, 0)
    for more in (TranscriptDelta("?"), end):
        assert host.refused(partial(host.server.transcribed, item_id, 0, more, 0)).rule == "R-T2"


def test_only_items_of_the_conversation_are_transcribed() -> None:
    host = Host()
    assert host.refused(lambda: host.server.transcribed("nobody", 0, TranscriptDelta("hi"), 0)).rule == "R-C10"


def test_the_transcript_of_an_item_that_was_deleted_meanwhile_is_dropped() -> None:
    host = Host()
    item_id = _heard(host)
    host.hear("conversation.item.delete", item_id=item_id)
    assert host.server.transcribed(item_id, 0, TranscriptCompleted("hello"), 0) == ()


@pytest.mark.parametrize("result", [TranscriptDelta(LONE), TranscriptCompleted(LONE), TranscriptFailed(LONE)])
def test_a_transcript_that_json_cannot_express_is_refused(result: TranscriptionResult) -> None:
    host = Host()
    item_id = _heard(host)
    assert host.refused(lambda: host.server.transcribed(item_id, 0, result, 0)).rule == "R-E2"


# -- responses ---------------------------------------------------------------------------------------------------------


def test_a_text_turn_unfolds_in_its_order() -> None:
    host = Host()
    user = host.adds()
    response_id = host.asks()
    begun = host.begins(response_id)
    assert sent_types(begun) == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
    ]
    output, member, part = sent(begun)
    item_id = output["item"]["id"]
    empty = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    assert output["item"] == member["item"] == empty
    assert (output["response_id"], output["output_index"], member["previous_item_id"]) == (response_id, 0, user)
    assert part["part"] == {"type": "text", "text": ""}
    (delta,) = sent(host.says(response_id, "Hel"))
    assert (delta["type"], delta["item_id"], delta["delta"]) == ("response.output_text.delta", item_id, "Hel")
    host.says(response_id, "lo")
    actions = host.finishes(response_id, input_tokens=3, output_tokens=4)
    assert sent_types(actions) == [
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    text, closed, member, output, done = sent(actions)
    whole = {**empty, "status": "completed", "content": [{"type": "output_text", "text": "Hello"}]}
    assert (text["text"], closed["part"]) == ("Hello", {"type": "text", "text": "Hello"})
    assert member["item"] == output["item"] == whole
    assert (member["previous_item_id"], output["output_index"]) == (user, 0)
    assert (done["response"]["status"], done["response"]["output"]) == ("completed", [whole])
    assert done["response"]["usage"] == {"total_tokens": 7, "input_tokens": 3, "output_tokens": 4}
    assert host.server.conversation.items[-1].text == "Hello"
    assert host.server.default_response is None


def test_a_spoken_turn_ends_its_audio_before_its_transcript() -> None:
    host = Host()
    response_id = host.asks()
    assert sent(host.begins(response_id, "audio"))[-1]["part"] == {"type": "audio", "transcript": ""}
    assert sent_types(host.says(response_id, "hello")) == ["response.output_audio_transcript.delta"]
    (delta,) = sent(host.think(AudioDelta(response_id=response_id, output_index=0, audio=b"\x01\x02")))
    assert (delta["type"], delta["delta"], delta["content_index"]) == ("response.output_audio.delta", "AQI=", 0)
    actions = host.ends(response_id, 0)
    assert sent_types(actions) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert sent(actions)[2]["part"] == {"type": "audio", "transcript": "hello"}
    assert sent(actions)[3]["item"]["content"] == [{"type": "output_audio", "transcript": "hello"}]
    assert sent_types(host.finishes(response_id)) == ["response.done"]


def test_a_call_has_arguments_and_no_content_part() -> None:
    host = Host()
    response_id = host.asks()
    begun = host.begins(response_id, "function_call", name="weather", call_id="call_mine")
    assert sent_types(begun) == ["response.output_item.added", "conversation.item.added"]
    call = {"type": "function_call", "name": "weather", "call_id": "call_mine"}
    item = sent(begun)[0]["item"]
    assert item == {**call, "id": item["id"], "status": "in_progress", "arguments": ""}
    (delta,) = sent(host.calls(response_id, '{"a":'))
    assert (delta["type"], delta["call_id"], delta["delta"]) == (
        "response.function_call_arguments.delta",
        "call_mine",
        '{"a":',
    )
    host.calls(response_id, "1}")
    actions = host.ends(response_id, 0)
    assert sent_types(actions) == [
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    arguments, member, _ = sent(actions)
    assert (arguments["name"], arguments["call_id"], arguments["arguments"]) == ("weather", "call_mine", '{"a":1}')
    assert member["item"] == {**call, "id": item["id"], "status": "completed", "arguments": '{"a":1}'}


def test_a_call_without_arguments_and_without_an_id_gets_an_id() -> None:
    host = Host()
    response_id = host.asks()
    item = sent(host.begins(response_id, "function_call"))[0]["item"]
    assert item["call_id"].startswith("call_")
    assert sent(host.ends(response_id, 0))[0]["arguments"] == ""


def test_items_of_one_response_may_interleave() -> None:
    host = Host()
    response_id = host.asks()
    host.begins(response_id, "audio", 0)
    host.begins(response_id, "function_call", 1)
    host.calls(response_id, "{}", 1)
    host.says(response_id, "wait", 0)
    host.ends(response_id, 1)
    host.says(response_id, " a second", 0)
    done = sent(host.finishes(response_id))[-1]["response"]
    assert [item["type"] for item in done["output"]] == ["message", "function_call"]
    assert done["output"][0]["content"][0]["transcript"] == "wait a second"
    assert host.ids == [item["id"] for item in done["output"]]


def test_output_of_a_response_out_of_band_is_no_member() -> None:
    host = Host()
    response_id = host.asks(conversation="none")
    actions = (
        *host.begins(response_id, "audio"),
        *host.says(response_id, "la"),
        *host.sounds(response_id, 10),
        *host.finishes(response_id),
    )
    assert not [name for name in sent_types(actions) if name.startswith("conversation.")]
    assert sent_types(actions)[-2:] == ["response.output_item.done", "response.done"]
    assert sent(actions)[-1]["response"]["conversation_id"] is None
    assert host.ids == []
    assert (host.server.spoken, host.server.has_spoken) == ({}, False)


def test_responses_side_by_side_are_told_apart() -> None:
    host = Host()
    first, aside = host.asks(), host.asks(conversation="none")
    host.begins(first)
    host.begins(aside)
    assert sent(host.says(aside, "b"))[0]["response_id"] == aside
    assert sent(host.says(first, "a"))[0]["response_id"] == first
    assert sent(host.finishes(first))[-1]["response"]["output"][0]["content"][0]["text"] == "a"


@pytest.mark.parametrize(("reason", "told"), [(None, "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_incomplete_response_closes_what_is_open_as_incomplete(reason: str | None, told: str) -> None:
    host = Host()
    response_id = host.asks()
    host.begins(response_id, index=0)
    host.ends(response_id, 0)
    host.begins(response_id, index=1)
    done = sent(host.finishes(response_id, status="incomplete", reason=reason))[-1]["response"]
    assert (done["status"], done["status_details"]) == ("incomplete", {"type": "incomplete", "reason": told})
    assert [item["status"] for item in done["output"]] == ["completed", "incomplete"]


def test_a_failed_response_says_what_failed() -> None:
    host = Host()
    how = {"error_type": "tokens", "error_code": "rate_limit_exceeded", "error_message": "later"}
    done = sent(host.finishes(host.asks(), status="failed", **how))[-1]["response"]
    assert done["status_details"] == {
        "type": "failed",
        "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "later"},
    }


def test_a_failure_without_a_reason_is_the_servers() -> None:
    host = Host()
    error = sent(host.finishes(host.asks(), status="failed"))[-1]["response"]["status_details"]["error"]
    assert (error["type"], error["code"]) == ("server_error", None)
    assert error["message"]


def test_content_for_a_response_that_was_cancelled_meanwhile_is_dropped() -> None:
    host = Host()
    response_id = host.asks()
    host.begins(response_id)
    host.hear("response.cancel")
    assert host.says(response_id, "too late") == ()
    assert host.finishes(response_id) == ()


def test_content_for_a_response_that_was_never_requested_is_refused() -> None:
    host = Host()
    assert host.refused(lambda: host.says("resp_nobody", "hello")).rule == "R-R1"


_TEXT, _AUDIO, _CALL, _ENDED = 0, 1, 2, 3


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("R-C1", lambda r: ItemStarted(response_id=r, output_index=7, kind="text")),
        ("R-C1", lambda r: ItemStarted(response_id=r, output_index=4, kind="video")),
        ("R-C1", lambda r: ItemStarted(response_id=r, output_index=_ENDED, kind="text")),
        ("R-C1", lambda r: ItemStarted(response_id=r, output_index=4, kind="function_call")),
        ("R-E2", lambda r: ItemStarted(response_id=r, output_index=4, kind="function_call", name=LONE)),
        (
            "R-C11",
            lambda r: ItemStarted(response_id=r, output_index=4, kind="function_call", name="f", call_id="c" * 33),
        ),
        ("R-C11", lambda r: ItemStarted(response_id=r, output_index=4, kind="function_call", name="f", call_id=LONE)),
        ("R-P2", lambda r: TextDelta(response_id=r, output_index=9, delta="hello")),
        ("R-P2", lambda r: TextDelta(response_id=r, output_index=_ENDED, delta="hello")),
        ("R-P2", lambda r: ItemFinished(response_id=r, output_index=_ENDED)),
        ("R-P2", lambda r: TextDelta(response_id=r, output_index=_CALL, delta="hello")),
        ("R-P2", lambda r: AudioDelta(response_id=r, output_index=_TEXT, audio=b"\0\0")),
        ("R-P7", lambda r: AudioDelta(response_id=r, output_index=_AUDIO, audio=b"\0\0\0")),
        ("R-P7", lambda r: AudioDelta(response_id=r, output_index=_AUDIO, audio=b"")),
        ("R-P7", lambda r: AudioDelta(response_id=r, output_index=_AUDIO, audio=memoryview(b"LRLR")[::2])),
        ("R-R3", lambda r: ResponseFinished(response_id=r, status="in_progress")),
        ("R-E2", lambda r: ResponseFinished(response_id=r, rate_limits=(m.RateLimit(name=LONE),))),
        ("R-E2", lambda r: TextDelta(response_id=r, output_index=_TEXT, delta=LONE)),
        ("R-N2", lambda r: TextDelta(response_id=r, output_index=_TEXT, delta="é" * 51)),
    ],
)
def test_content_that_does_not_fit_where_it_came_is_refused(rule: str, content: Callable[[str], Content]) -> None:
    host = Host(limits=Limits(message_bytes=100))
    response_id = host.asks()
    host.begins(response_id, "text", _TEXT)
    host.begins(response_id, "audio", _AUDIO)
    host.begins(response_id, "function_call", _CALL)
    host.begins(response_id, "text", _ENDED)
    host.ends(response_id, _ENDED)
    assert host.refused(lambda: host.think(content(response_id))).rule == rule


def test_arguments_do_not_fit_a_message() -> None:
    host = Host()
    response_id = host.asks()
    host.begins(response_id)
    assert host.refused(lambda: host.calls(response_id, "{}")).rule == "R-P2"


@pytest.mark.parametrize("how", [{"error_message": LONE}, {"error_code": LONE}, {"error_type": LONE}, {"reason": LONE}])
def test_an_end_that_json_cannot_express_is_refused(how: dict[str, str]) -> None:
    host = Host()
    response_id = host.asks()
    assert host.refused(lambda: host.finishes(response_id, status="failed", **how)).rule == "R-E2"


def test_an_item_may_say_as_much_as_a_message_can_hold() -> None:
    host = Host(limits=Limits(message_bytes=6))
    response_id = host.asks()
    host.begins(response_id)
    host.says(response_id, "abcde")
    assert host.refused(lambda: host.says(response_id, "é")).rule == "R-N2"
    host.says(response_id, "f")


def test_audio_is_held_to_the_sessions_output_format() -> None:
    host = Host()
    host.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
    response_id = host.asks()
    item_id = sent(host.begins(response_id, "audio"))[0]["item"]["id"]
    host.think(AudioDelta(response_id=response_id, output_index=0, audio=b"\xff" * 801))
    error = refusal(host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=101))
    assert error["message"].startswith("Audio content of 100ms")


def test_an_item_that_the_client_deleted_goes_on_as_output_alone() -> None:
    host = Host()
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    assert sent_types(host.hear("conversation.item.delete", item_id=item_id)) == ["conversation.item.deleted"]
    assert sent_types(host.says(response_id, " four")) == ["response.output_audio_transcript.delta"]
    assert sent_types(host.sounds(response_id, 10)) == ["response.output_audio.delta"]
    assert host.server.spoken == {}
    actions = host.finishes(response_id)
    assert "conversation.item.done" not in sent_types(actions)
    assert sent_types(actions)[-2:] == ["response.output_item.done", "response.done"]
    assert host.ids == []


def test_the_socket_may_end_after_such_a_deletion() -> None:
    host = Host()
    response_id = host.asks()
    host.hear("conversation.item.delete", item_id=host.sounds_in(response_id, 100))
    assert host.server.receive_eof(0)[0] == ResponseCancelled(response_id, "disconnected")


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_response_has_a_bounded_number_of_items() -> None:
    host = Host(limits=Limits(response_parts=2))
    response_id = host.asks()
    host.begins(response_id, index=0)
    host.begins(response_id, index=1)
    assert host.refused(lambda: host.begins(response_id, index=2)).rule == "R-N2"


def test_the_oldest_of_too_many_responses_is_cancelled() -> None:
    host = Host(limits=Limits(open_responses=2))
    first = host.asks(conversation="none")
    second = host.asks(conversation="none")
    actions = host.hear("response.create", response={"conversation": "none"})
    assert [action.rule for action in of(actions, Report)] == ["R-N2"]
    assert of(actions, ResponseCancelled) == [ResponseCancelled(first, "client_cancelled")]
    assert [record.id for record in host.server.responses.values() if record.is_open] == [
        second,
        requested(actions).response_id,
    ]


def test_finished_responses_are_forgotten_in_their_order() -> None:
    host = Host(limits=Limits(response_history=2))
    ids = [host.asks()]
    for _ in range(2):
        host.hear("response.cancel")
        ids.append(host.asks())
    assert list(host.server.responses) == ids
    host.finishes(ids[2])
    assert list(host.server.responses) == ids[1:]
    assert host.refused(lambda: host.says(ids[0], "hello")).rule == "R-R1"


def test_the_oldest_item_goes_when_the_conversation_is_full() -> None:
    host = Host(limits=Limits(conversation_items=2))
    spoken = host.speaks(100)
    host.adds("a")
    item = {"type": "message", "id": "b", "role": "user", "content": []}
    actions = host.hear("conversation.item.create", item=item)
    (report,) = of(actions, Report)
    assert (report.rule, report.event_type) == ("R-N2", "")
    assert host.ids == ["a", "b"]
    assert spoken not in host.server.spoken


def test_the_oldest_call_is_forgotten_when_there_are_too_many() -> None:
    host = Host(limits=Limits(conversation_items=2))
    calls = [host.called(f"call_{number}") for number in range(3)]
    output = {"type": "function_call_output", "output": "12"}
    assert refusal(host.hear("conversation.item.create", item={**output, "call_id": calls[0]}))["code"] == (
        "invalid_tool_call_id"
    )
    assert len(sent(host.hear("conversation.item.create", item={**output, "call_id": calls[1]}))) == 2


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_server_is_what_a_session_of_its_role_is() -> None:
    server = Session(Role.SERVER, SessionConfig(), now=0, entropy=Numbers())
    assert isinstance(server, ServerSession)
    assert server.role is Role.SERVER


def test_the_configuration_is_read_as_the_client_is_shown_it() -> None:
    host = Host()
    shown = sent(host.update(instructions="be brief"))[0]["session"]
    assert json.loads(json.dumps(shown)) == host.server.settings
    assert isinstance(host.server.configuration, m.RealtimeSession)
    assert host.server.configuration.instructions == "be brief"
    assert host.server.configuration is host.server.configuration  # made once for each update


def test_the_default_response_is_the_one_in_progress_in_the_conversation() -> None:
    host = Host()
    host.asks(conversation="none")
    assert host.server.default_response is None
    response_id = host.asks()
    assert host.server.default_response is host.server.responses[response_id]


def test_audio_that_was_heard_is_counted() -> None:
    host = Host()
    assert of(host.append(20), InputAudio)
    assert host.server.input_audio_buffer.uncommitted_ms == 20


def test_a_refusal_says_which_rule_it_keeps() -> None:
    with pytest.raises(LocalProtocolError, match=r"\[R-R1\]"):
        Host().says("resp_nobody", "hello")
