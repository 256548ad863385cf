"""`antiphon.engine.translation`: a session that translates, at both ends, and those that do not know its events."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from antiphon import (
    AudioFormat,
    ClientSession,
    Closed,
    CloseTransport,
    Connection,
    ConnectionConfig,
    Deliver,
    Durations,
    Endpoint,
    InputAudio,
    LocalProtocolError,
    PlayAudio,
    Resources,
    ResponseFinished,
    Snapshot,
    SourceText,
    StopAudio,
    TranslatedAudio,
    TranslatedText,
    TranslationFinished,
)
from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K
from antiphon.engine.incoming.handlers import TRANSLATION_HANDLERS
from antiphon.engine.timers import MS, Timer
from antiphon.engine.translation import COMMANDS, CONVERSATION_COMMANDS, TRANSLATION
from unit import server_helpers
from unit.engine_helpers import Talk, delivered, of, rules, sent, sent_types
from unit.server_helpers import Host, Numbers, refusal

PCM = bytes(9600)
"""200 ms."""

FRAME = b64encode(PCM).decode()
UPDATE = {"audio": {"output": {"language": "es"}}}


def listener(**config: Any) -> Talk:
    """A client of a translation that was announced."""
    return Talk(session={"type": "translation", "model": "translator"}, **config)


def interpreter(**session: Any) -> Host:
    """A server of one."""
    return Host(session={"type": "translation", **session})


def played(actions: Any) -> list[tuple[int, int, int]]:
    return [(each.content_index, each.start, len(each.audio)) for each in of(actions, PlayAudio)]


# -- which session it is -----------------------------------------------------------------------------------------------


def test_the_server_says_that_a_session_translates() -> None:
    assert listener().client.translates
    assert not Talk().client.translates


def test_the_configuration_says_it_until_the_server_does() -> None:
    talk = Talk(begun=False, session_type="translation")
    assert talk.client.translates
    talk.client.opened(0)
    talk.hear("session.created", session={"type": "realtime"})
    assert not talk.client.translates


def test_every_event_of_a_translation_has_a_handler() -> None:
    assert {cls.type for cls in TRANSLATION_HANDLERS} == m.TRANSLATION_EVENTS & set(m.SERVER_EVENTS)


def test_the_commands_of_both_kinds_of_session_are_all_that_there_are() -> None:
    assert set(COMMANDS) | set(CONVERSATION_COMMANDS) == set(m.CLIENT_EVENTS)
    assert set(COMMANDS) & set(CONVERSATION_COMMANDS) == {"session.update"}


def test_the_address_of_a_translation_is_its_own() -> None:
    endpoint = Endpoint.openai("translator", api_key="k", translates=True)
    assert (endpoint.path, endpoint.query) == ("/v1/realtime/translations", "model=translator")


# -- the client speaks -------------------------------------------------------------------------------------------------


def test_audio_goes_out_as_audio_to_translate() -> None:
    talk = listener()
    (event,) = sent(talk.client.append_audio(PCM, 0))
    assert event == {"type": "session.input_audio_buffer.append", "audio": FRAME}
    assert talk.client.input_audio_buffer.total_ms == 200


def test_audio_of_the_gap_goes_out_as_audio_to_translate() -> None:
    talk = Talk(begun=False, session_type="translation")
    talk.client.append_audio(PCM, 0)
    assert sent_types(talk.client.opened(0)) == ["session.input_audio_buffer.append"]


def test_an_update_does_not_name_the_kind_of_its_session() -> None:
    talk = listener()
    output = m.AudioConfig(output=m.AudioOutput(language="es"))
    (event,) = sent(talk.client.send(m.SessionUpdate(session=m.TranslationSession(audio=output), event_id="e1"), 0))
    assert event == {"type": "session.update", "event_id": "e1", "session": UPDATE}
    assert rules(talk.hear("session.updated", session={"type": "translation", **UPDATE})) == []
    assert talk.client.unanswered == ()


def test_the_resources_of_a_translation_speak_to_it() -> None:
    talk = listener()
    commands: list[m.ClientEvent] = []
    pcm: list[bytes | bytearray | memoryview] = []
    resources = Resources(commands.append, commands.append, append_audio=pcm.append)
    resources.session.update(session={"type": "translation", **UPDATE})
    resources.session.input_audio_buffer.append(audio=PCM)
    resources.session.input_audio_buffer.append(audio=FRAME)
    resources.session.close()
    types = [sent_types(talk.client.send(command, 0)) for command in commands]
    assert types == [["session.update"], ["session.input_audio_buffer.append"], ["session.close"]]
    assert pcm == [PCM]


def test_audio_to_translate_that_has_an_event_id_is_a_command_like_any_other() -> None:
    commands: list[m.ClientEvent] = []
    pcm: list[bytes | bytearray | memoryview] = []
    resources = Resources(commands.append, commands.append, append_audio=pcm.append)
    resources.session.input_audio_buffer.append(audio=PCM, event_id="e1")
    assert commands == [m.SessionInputAudioBufferAppend(audio=FRAME, event_id="e1")]
    assert pcm == []


@pytest.mark.parametrize(
    "event",
    [
        m.ResponseCreate(),
        m.InputAudioBufferCommit(),
        m.InputAudioBufferAppend(audio=FRAME),
        m.ConversationItemDelete(item_id="i1"),
    ],
)
def test_a_translation_is_sent_nothing_of_a_conversation(event: m.ClientEvent) -> None:
    talk = listener()
    assert talk.refused(event).rule == "R-X1"
    assert sent_types(talk.client.send(event, 0, override={"R-X1", "R-I3", "R-C10"})) == [event.type]


@pytest.mark.parametrize("event", [m.SessionClose(), m.SessionInputAudioBufferAppend(audio=FRAME)])
def test_a_conversation_is_sent_nothing_of_a_translation(event: m.ClientEvent) -> None:
    assert Talk().refused(event).rule == "R-X1"


def test_a_translation_does_not_become_a_conversation() -> None:
    assert listener().refused(m.SessionUpdate(session=m.RealtimeSession())).rule == "R-S6"


def test_a_translation_has_no_turn_to_interrupt() -> None:
    with pytest.raises(LocalProtocolError) as refused:
        listener().client.interrupt(0)
    assert refused.value.rule == "R-X2"


# -- the client hears --------------------------------------------------------------------------------------------------


def test_translated_audio_is_one_endless_part() -> None:
    talk = listener()
    first = talk.hear("session.output_audio.delta", delta=FRAME, sample_rate=24000, channels=1, format="pcm16")
    second = talk.hear("session.output_audio.delta", delta=FRAME)
    assert [type(action) for action in first] == [Deliver, PlayAudio]
    assert played(first + second) == [(0, 0, 9600), (0, 4800, 9600)]
    assert {(play.item_id, play.format) for play in of(first + second, PlayAudio)} == {(TRANSLATION, PCM16_24K)}
    assert talk.client.playback.totals().received_ms == 400


def test_what_was_heard_of_a_translation_is_counted() -> None:
    talk = listener()
    talk.hear("session.output_audio.delta", delta=FRAME)
    talk.client.audio_played(TRANSLATION, 0, 2400, 0)
    assert talk.client.playback.totals().unheard_ms == 100


def test_an_odd_byte_waits_for_the_other_half_of_its_sample() -> None:
    talk = listener()
    first = talk.hear("session.output_audio.delta", delta=b64encode(b"\1").decode())
    second = talk.hear("session.output_audio.delta", delta=b64encode(b"\2\3\4").decode())
    assert played(first) == []
    assert [play.audio for play in of(second, PlayAudio)] == [b"\1\2\3\4"]


def test_audio_of_another_rate_is_another_part() -> None:
    talk = listener()
    talk.hear("session.output_audio.delta", delta=FRAME)
    actions = talk.hear("session.output_audio.delta", delta=FRAME, sample_rate=16000)
    assert played(actions) == [(1, 0, 9600)]
    assert of(actions, PlayAudio)[0].format == AudioFormat("audio/pcm", 16000)
    again = Talk.restored(talk)
    assert played(again.hear("session.output_audio.delta", delta=FRAME, sample_rate=16000)) == [(1, 4800, 9600)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [({"delta": "%"}, "$.delta"), ({"channels": 2}, "$.format"), ({"format": "opus"}, "$.format")],
)
def test_audio_that_no_player_can_be_told_of_is_reported_and_not_played(fields: dict[str, Any], path: str) -> None:
    actions = listener().hear("session.output_audio.delta", **{"delta": FRAME, **fields})
    assert (played(actions), rules(actions)) == ([], ["R-P7"])
    assert actions[-1].path == path  # type: ignore[union-attr]


def test_nobody_who_speaks_cuts_a_translation() -> None:
    """R-X2"""
    talk = listener()
    talk.hear("session.output_audio.delta", delta=FRAME)
    speech = talk.hear("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
    assert of(speech, StopAudio) == []
    assert played(talk.hear("session.output_audio.delta", delta=FRAME)) == [(0, 4800, 9600)]


def test_a_translation_that_became_a_conversation_and_was_interrupted_is_not_heard_again() -> None:
    talk = listener()
    talk.hear("session.output_audio.delta", delta=FRAME)
    assert rules(talk.hear("session.updated", session={"type": "realtime"})) == ["R-S2"]
    assert of(talk.client.interrupt(0), StopAudio) == [StopAudio(TRANSLATION, 0)]
    talk.client.audio_stopped(TRANSLATION, 0, 10, 0)
    talk.hear("session.updated", session={"type": "translation"})
    actions = talk.hear("session.output_audio.delta", delta=FRAME)
    assert delivered(actions) == ["session.output_audio.delta"]
    assert played(actions) == []


def test_nothing_is_played_where_nothing_is_decoded() -> None:
    assert played(listener(decode_audio=False).hear("session.output_audio.delta", delta=FRAME)) == []


def test_text_of_a_translation_is_delivered_and_nothing_else() -> None:
    talk = listener()
    for kind in ("input", "output"):
        (action,) = talk.hear(f"session.{kind}_transcript.delta", delta=" hola", elapsed_ms=200)
        assert isinstance(action, Deliver)
        assert isinstance(action.event, m.SessionInputTranscriptDelta | m.SessionOutputTranscriptDelta)
    assert len(talk.client.conversation) == 0


def test_an_event_before_the_session_is_early() -> None:
    talk = Talk(begun=False, session_type="translation")
    talk.client.opened(0)
    assert rules(talk.hear("session.output_transcript.delta", delta="a")) == ["R-S1"]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_closed_translation_still_says_what_is_pending_and_then_ends_its_socket() -> None:
    talk = listener()
    assert sent_types(talk.client.send(m.SessionClose(), 0)) == ["session.close"]
    assert talk.client.state == "closing"
    assert rules(talk.hear("session.output_transcript.delta", delta="adios")) == []
    assert played(talk.hear("session.output_audio.delta", delta=FRAME)) == [(0, 0, 9600)]
    actions = talk.hear("session.closed")
    assert (talk.client.state, delivered(actions)) == ("ended", ["session.closed"])
    assert of(actions, CloseTransport) == [CloseTransport(1000)]
    end = talk.client.receive_eof(0, 1000)
    assert [(each.code, each.fault) for each in of(end, Closed)] == [(1000, None)]


FATAL = {"type": "invalid_request_error", "code": "session_expired", "message": "over", "event_id": None}


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("session.input_transcript.delta", {"delta": "a"}),
        ("session.output_transcript.delta", {"delta": "a"}),
        ("session.output_audio.delta", {"delta": FRAME}),
    ],
)
def test_a_translation_that_is_over_has_nothing_more_to_say(type: str, fields: dict[str, Any]) -> None:
    talk = listener()
    talk.hear("error", error=FATAL)
    assert talk.client.state == "expired"
    actions = talk.hear(type, **fields)
    assert (delivered(actions), rules(actions), played(actions)) == ([type], ["R-X3"], [])


def test_a_translation_that_is_over_may_still_be_closed() -> None:
    talk = listener()
    talk.hear("error", error=FATAL)
    actions = talk.hear("session.closed")
    assert (talk.client.state, of(actions, CloseTransport)) == ("ended", [CloseTransport(1000)])


def test_a_closing_translation_takes_no_more_audio() -> None:
    talk = listener()
    talk.client.send(m.SessionClose(), 0)
    with pytest.raises(LocalProtocolError) as refused:
        talk.client.append_audio(PCM, 0)
    assert refused.value.rule == "R-X3"
    assert talk.refused(m.SessionInputAudioBufferAppend(audio=FRAME)).rule == "R-X3"
    assert talk.refused(m.SessionClose()).rule == "R-X3"


def test_a_server_may_end_a_translation_unasked() -> None:
    actions = listener().hear("session.closed")
    assert (rules(actions), of(actions, CloseTransport)) == ([], [CloseTransport(1000)])


def test_a_closing_translation_survives_a_restore() -> None:
    talk = listener()
    talk.client.send(m.SessionClose(), 0)
    again = talk.restored()
    assert (again.client.state, again.client.translates) == ("closing", True)
    again.hear("session.closed")
    assert again.client.state == "ended"


def drained(client: ClientSession) -> int | None:
    """When the client stops waiting for the end of its translation, in ms."""
    at = client.timers.at(Timer.DRAIN)
    return None if at is None else at // MS


def closing_unseen(**config: Any) -> Talk:
    """A client that says all it has to say, and that this is all, before its session has shown itself."""
    talk = Talk(begun=False, session_type="translation", **config)
    talk.client.append_audio(PCM, 0)
    talk.say(m.SessionClose())
    assert sent_types(talk.client.opened(0)) == ["session.input_audio_buffer.append", "session.close"]
    assert talk.client.state == "closing_unseen"
    return talk


def test_a_translation_may_be_asked_to_end_before_its_session_has_shown_itself() -> None:
    talk = Talk(begun=False, session_type="translation")
    talk.client.opened(0)
    assert sent_types(talk.say(m.SessionClose())) == ["session.close"]
    assert talk.client.state == "closing_unseen"


def test_a_session_that_shows_itself_after_its_end_was_asked_for_breaks_no_rule() -> None:
    talk = closing_unseen()
    assert rules(talk.hear("session.created", session={"type": "translation"})) == []
    assert talk.client.state == "closing"
    assert rules(talk.hear("session.created", session={"type": "translation"})) == ["R-S1"]
    assert of(talk.hear("session.closed"), CloseTransport) == [CloseTransport(1000)]


def test_after_its_end_was_asked_for_no_audio_is_taken_for_a_session_that_has_not_shown_itself() -> None:
    talk = closing_unseen()
    with pytest.raises(LocalProtocolError) as refused:
        talk.client.append_audio(PCM, 0)
    assert refused.value.rule == "R-X3"
    assert talk.refused(m.SessionInputAudioBufferAppend(audio=FRAME)).rule == "R-X3"
    assert talk.refused(m.SessionClose()).rule == "R-X3"


def test_an_event_before_the_session_is_early_for_a_translation_that_was_asked_to_end_too() -> None:
    talk = closing_unseen()
    assert rules(talk.hear("session.output_transcript.delta", delta="a")) == ["R-S1"]
    assert talk.client.state == "closing"


def test_a_session_that_never_shows_itself_is_not_waited_for_for_ever() -> None:
    client = closing_unseen(timers=Durations(drain=1000 * MS)).client
    actions = client.tick(1000 * MS)
    assert (client.state, rules(actions), of(actions, CloseTransport)) == ("ended", ["R-X3"], [CloseTransport(1000)])


def test_a_session_may_be_refused_after_its_end_was_asked_for() -> None:
    talk = closing_unseen()
    assert rules(talk.hear("error", error=FATAL)) == []
    assert talk.client.state == "expired"


def test_a_translation_that_is_over_is_not_asked_to_end() -> None:
    talk = listener()
    talk.hear("error", error=FATAL)
    assert talk.refused(m.SessionClose()).rule == "R-X3"


def test_a_restore_for_another_socket_begins_another_session_where_none_was_seen() -> None:
    talk = closing_unseen()
    config = ConnectionConfig(endpoint=Endpoint.custom("ws://example.org/"), session=talk.config)
    again = Connection.restore(talk.client.snapshot(0), config, now=0, entropy=Numbers())
    assert again.client.state == "awaiting"


def test_the_end_of_a_translation_is_not_waited_for_for_ever() -> None:
    client = listener(timers=Durations(drain=1000 * MS)).client
    client.send(m.SessionClose(), 0)
    assert not client.tick(999 * MS)
    actions = client.tick(1000 * MS)
    assert (client.state, rules(actions), of(actions, CloseTransport)) == ("ended", ["R-X3"], [CloseTransport(1000)])
    (closed,) = of(client.receive_eof(1000 * MS, 1000), Closed)
    assert (closed.code, closed.fault) == (1000, None)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.input_transcript.delta", "delta": "a"},
        {"type": "session.output_transcript.delta", "delta": "a"},
        {"type": "session.output_audio.delta", "delta": FRAME},
    ],
)
def test_the_end_is_waited_for_as_long_as_something_is_translated(event: dict[str, Any]) -> None:
    client = listener(timers=Durations(drain=1000 * MS)).client
    client.receive_message(json.dumps(event), 0)
    assert drained(client) is None
    client.send(m.SessionClose(), 0)
    client.receive_message(json.dumps(event), 600 * MS)
    assert drained(client) == 1600
    client.receive_message('{"type":"session.closed"}', 700 * MS)
    assert drained(client) is None


def test_the_wait_for_the_end_survives_a_restore() -> None:
    talk = listener(timers=Durations(drain=1000 * MS))
    talk.client.send(m.SessionClose(), 0)
    assert drained(talk.restored().client) == 1000


# -- another socket ----------------------------------------------------------------------------------------------------


def dialling() -> Talk:
    """A client of a translation that dials for itself, and was configured."""
    talk = Talk(begun=False, session_type="translation")
    talk.client.start(0)
    talk.client.opened(0)
    talk.hear("session.created", session={"type": "translation"})
    output = m.AudioConfig(output=m.AudioOutput(language="es"))
    talk.say(m.SessionUpdate(session=m.TranslationSession(audio=output)))
    talk.hear("session.updated", session={"type": "translation", **UPDATE})
    return talk


def test_a_translation_goes_on_over_another_socket() -> None:
    talk = dialling()
    talk.hear("session.output_audio.delta", delta=FRAME)
    lost = talk.client.receive_eof(talk.now, 1001)
    assert of(lost, Closed) == []
    talk.tick()
    talk.client.append_audio(PCM, talk.now)
    opened = talk.client.opened(talk.now)
    created = talk.hear("session.created", session={"type": "translation"})
    said = sent(opened + created)
    assert [event["session"] for event in said if event["type"] == "session.update"] == [UPDATE]
    assert [event["audio"] for event in said if event["type"] == "session.input_audio_buffer.append"] == [FRAME]
    assert played(talk.hear("session.output_audio.delta", delta=FRAME)) == [(0, 4800, 9600)]


def test_a_translation_that_was_asked_to_end_is_over_with_its_socket() -> None:
    talk = dialling()
    talk.say(m.SessionClose())
    assert len(of(talk.client.receive_eof(talk.now, 1001), Closed)) == 1


def renewals(talk: Talk) -> set[Timer]:
    """What is armed for another session to follow."""
    return {timer for timer in (Timer.RENEWAL, Timer.QUIET) if talk.client.timers.at(timer) is not None}


def test_a_translation_that_was_asked_to_end_is_not_renewed() -> None:
    talk = Talk(begun=False, session_type="translation")
    talk.client.start(0)
    talk.client.opened(0, unix_ns=0)
    talk.hear("session.created", session={"type": "translation", "expires_at": 3600})
    assert renewals(talk)
    talk.say(m.SessionClose())
    assert not renewals(talk)


def test_a_translation_that_was_asked_to_end_before_it_began_is_not_renewed() -> None:
    talk = Talk(begun=False, session_type="translation")
    talk.say(m.SessionClose())
    talk.client.start(0)
    talk.client.opened(0, unix_ns=0)
    talk.hear("session.created", session={"type": "translation", "expires_at": 3600})
    assert not renewals(talk)
    assert len(of(talk.client.receive_eof(talk.now, 1001), Closed)) == 1


def test_a_translation_whose_session_expired_may_be_asked_to_end_while_another_socket_is_opened() -> None:
    talk = dialling()
    talk.client.receive_eof(talk.now, 1001)
    assert sent_types(talk.say(m.SessionClose())) == []
    talk.tick()
    assert sent_types(talk.client.opened(talk.now))[-1] == "session.close"
    assert rules(talk.hear("session.created", session={"type": "translation"})) == []
    assert talk.client.state == "closing"


# -- sessions that do not translate ------------------------------------------------------------------------------------


LIVE: list[dict[str, Any]] = [
    {"type": "session.output_audio.delta", "delta": FRAME, "start_ms": 0, "end_ms": 200},
    {"type": "session.output_transcript.delta", "delta": "hello", "start_ms": 0, "end_ms": 9},
    {"type": "session.closed", "reason": "expired", "session": {}, "usage": {}},
    {"type": "session.started", "session": {}},
    {"type": "session.output_audio.delta"},
]
"""Events of another family of the service: three share their names with a translation's, one lacks what that has."""


@pytest.mark.parametrize("event", LIVE)
def test_to_a_conversation_the_events_of_a_translation_are_unknown(event: dict[str, Any]) -> None:
    talk = Talk()
    before = talk.client.snapshot(0)
    (action,) = talk.client.receive_message(json.dumps(event), 0)
    assert isinstance(action, Deliver)
    assert action.event == m.UnknownEvent.of(event)
    assert talk.client.snapshot(0) == before


def test_typed_events_of_a_translation_are_unknown_to_a_conversation_too() -> None:
    (action,) = Talk().client.receive_event(m.SessionClosed(event_id="e"), 0)
    assert isinstance(action, Deliver)
    assert action.event == m.UnknownEvent.of({"type": "session.closed", "event_id": "e"})


def test_a_conversation_refuses_what_is_said_to_a_translation() -> None:
    host = Host()
    for event in ({"type": "session.close"}, {"type": "session.input_audio_buffer.append", "audio": FRAME}):
        error = refusal(host.hear(**event))
        assert (error["code"], error["param"]) == ("invalid_value", "type")
        assert "session.close" not in error["message"].partition("Supported")[2]


# -- the server --------------------------------------------------------------------------------------------------------


def test_a_translation_announces_itself() -> None:
    host = Host(begun=False, session={"type": "translation", "model": "translator", **UPDATE})
    (event,) = server_helpers.sent(host.server.opened(0))
    session = event["session"]
    assert session.pop("id").startswith("sess_")
    assert event["type"] == "session.created"
    assert session == {
        "type": "translation",
        "model": "translator",
        "audio": {"input": {"transcription": None, "noise_reduction": None}, "output": {"language": "es"}},
    }


def test_an_update_of_a_translation_needs_no_kind_and_changes_what_it_names() -> None:
    host = interpreter(model="translator")
    (event,) = server_helpers.sent(host.hear("session.update", session=UPDATE))
    assert (event["type"], event["session"]["audio"]["output"]) == ("session.updated", {"language": "es"})
    (event,) = server_helpers.sent(host.hear("session.update", session={"type": "translation", "audio": {"input": {}}}))
    assert event["session"]["audio"]["output"] == {"language": "es"}


@pytest.mark.parametrize(("session", "param"), [("es", "session"), ({"type": 5}, "session.type")])
def test_an_update_of_a_translation_whose_session_is_none_is_refused(session: Any, param: str) -> None:
    error = refusal(interpreter().hear("session.update", session=session))
    assert (error["code"], error["param"]) == ("invalid_type", param)


def test_an_update_of_a_translation_reaches_the_application_as_what_it_is() -> None:
    actions = interpreter().hear("session.update", session=UPDATE)
    (action,) = of(actions, Deliver)
    assert isinstance(action.event, m.SessionUpdate)
    assert isinstance(action.event.session, m.TranslationSession)


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"type": "realtime"}, "invalid_parameter", "session.type"),
        ({"model": "other"}, "unknown_parameter", "session.model"),
        ({"audio": {"output": {"voice": "alloy"}}}, "unknown_parameter", "session.audio.output.voice"),
        ({"audio": {"input": {"turn_detection": None}}}, "unknown_parameter", "session.audio.input.turn_detection"),
        ({"audio": 7}, "invalid_type", "session.audio"),
    ],
)
def test_an_update_that_a_translation_cannot_take_is_refused_whole(
    session: dict[str, Any], code: str, param: str
) -> None:
    host = interpreter()
    before = host.server.settings
    error = refusal(host.hear("session.update", session=session))
    assert (error["code"], error["param"]) == (code, param)
    assert host.server.settings == before


def test_audio_to_translate_goes_to_the_brain() -> None:
    host = interpreter()
    actions = host.hear("session.input_audio_buffer.append", audio=FRAME) + host.hear(
        "session.input_audio_buffer.append", audio=FRAME
    )
    assert [(heard.start, len(heard.audio)) for heard in of(actions, InputAudio)] == [(0, 9600), (4800, 9600)]
    assert server_helpers.sent(actions) == []


def test_audio_that_is_none_is_refused() -> None:
    assert refusal(interpreter().hear("session.input_audio_buffer.append", audio="%"))["code"] == "invalid_value"


def test_a_translation_refuses_what_is_said_to_a_conversation() -> None:
    error = refusal(interpreter().hear("response.create"))
    assert error["code"] == "invalid_value"
    assert error["message"].endswith("'session.update', 'session.input_audio_buffer.append', 'session.close'.")


def test_a_brain_says_what_it_translates() -> None:
    host = interpreter()
    said = (
        *host.think(SourceText("hello", 200)),
        *host.think(TranslatedText(" hola")),
        *host.think(TranslatedAudio(PCM, 400)),
    )
    events = server_helpers.sent(said)
    for event in events:
        assert event.pop("event_id")
    assert events == [
        {"type": "session.input_transcript.delta", "delta": "hello", "elapsed_ms": 200},
        {"type": "session.output_transcript.delta", "delta": " hola"},
        {
            "type": "session.output_audio.delta",
            "delta": FRAME,
            "sample_rate": 24000,
            "channels": 1,
            "format": "pcm16",
            "elapsed_ms": 400,
        },
    ]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (TranslatedAudio(b""), "R-P7"),
        (TranslatedAudio(b"\0"), "R-P7"),
        (TranslatedText("\ud800"), "R-E2"),
        (SourceText("a", -1), "R-X2"),
    ],
)
def test_content_that_cannot_be_said_is_refused_and_changes_nothing(content: Any, rule: str) -> None:
    host = interpreter()
    before = host.server.snapshot(0)
    with pytest.raises(LocalProtocolError) as refused:
        host.think(content)
    assert refused.value.rule == rule
    assert host.server.snapshot(0) == before


def test_a_conversation_has_no_content_of_a_translation() -> None:
    with pytest.raises(LocalProtocolError) as refused:
        Host().think(TranslationFinished())
    assert refused.value.rule == "R-X1"


def test_a_translation_has_no_responses_to_finish() -> None:
    with pytest.raises(LocalProtocolError):
        interpreter().think(ResponseFinished(response_id="resp_1"))


def test_a_translation_ends_when_its_brain_has_said_everything() -> None:
    host = interpreter()
    assert server_helpers.sent(host.hear("session.close")) == []
    assert host.server.state == "closing"
    assert server_helpers.sent_types(host.think(TranslatedText("fin"))) == ["session.output_transcript.delta"]
    actions = host.think(TranslationFinished())
    assert server_helpers.sent_types(actions) == ["session.closed"]
    assert of(actions, CloseTransport) == [CloseTransport(1000)]
    assert host.server.state == "ended"
    assert host.think(TranslatedText("late")) == ()


def test_audio_after_the_close_is_refused() -> None:
    host = interpreter()
    host.hear("session.close")
    error = refusal(host.hear("session.input_audio_buffer.append", audio=FRAME))
    assert (error["code"], error["param"]) == ("invalid_event", "audio")


def test_a_second_close_changes_nothing() -> None:
    host = interpreter()
    host.hear("session.close")
    assert server_helpers.sent(host.hear("session.close")) == []
    assert host.server.state == "closing"


def test_a_translating_server_survives_a_restore() -> None:
    host = interpreter()
    host.hear("session.update", session=UPDATE)
    host.hear("session.close")
    snapshot = Snapshot.decode(host.server.snapshot(0).encode())
    again = type(host.server).restore(snapshot, host.config, now=0, entropy=host.entropy)
    assert (again.state, again.translates) == ("closing", True)
    assert server_helpers.sent_types(again.generate(TranslationFinished(), 0)) == ["session.closed"]


def test_both_ends_translate_together() -> None:
    talk = Talk(begun=False, session_type="translation")
    host = Host(begun=False, session={"type": "translation"})
    talk.client.opened(0)
    reports: list[str] = []

    def hear(actions: Any) -> Any:
        heard: list[Any] = []
        for event in server_helpers.sent(actions):
            heard += talk.client.receive_message(json.dumps(event), 0)
        reports.extend(rules(heard))
        return heard

    def say(actions: Any) -> Any:
        answers: list[Any] = []
        for event in sent(actions):
            answers += host.server.receive_message(json.dumps(event), 0)
        return hear(answers)

    hear(host.server.opened(0))
    output = m.AudioConfig(output=m.AudioOutput(language="es"))
    say(talk.client.send(m.SessionUpdate(session=m.TranslationSession(audio=output)), 0))
    say(talk.client.append_audio(PCM, 0))
    assert played(hear(host.think(TranslatedAudio(PCM)))) == [(0, 0, 9600)]
    say(talk.client.send(m.SessionClose(), 0))
    hear(host.think(TranslatedText("hola")))
    hear(host.think(TranslationFinished()))
    assert (talk.client.state, host.server.state, reports) == ("ended", "ended", [])
    assert talk.client.configuration == host.server.configuration
