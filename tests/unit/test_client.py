"""`antiphon.engine.client`: the door in both directions, the gap before a socket, and what a socket takes with it."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import (
    Actions,
    ArbiterPolicy,
    Closed,
    CloseTransport,
    Connected,
    Deliver,
    Disconnected,
    Dropped,
    Durations,
    Fault,
    Limits,
    LocalProtocolError,
    Report,
    Role,
    Session,
    SessionConfig,
    Snapshot,
    SnapshotError,
    StopAudio,
    TimedOut,
)
from antiphon import messages as m
from antiphon.engine.client import ClientSession
from antiphon.engine.known import knows_call
from unit.engine_helpers import (
    MS,
    Talk,
    at,
    call,
    delivered,
    heard,
    message,
    of,
    outcomes,
    rules,
    said,
    sent,
    sent_types,
    spoken,
    stops,
)

CREATED = '{"type": "session.created", "session": {"type": "realtime"}}'
CONVERSATION = m.ConversationCreated(conversation=m.Conversation(id="conv"))


def open_session(**config: Any) -> ClientSession:
    """A socket, and not a word on it."""
    session = ClientSession(Role.CLIENT, SessionConfig(**config), now=0)
    session.opened(0)
    return session


# -- what it is --------------------------------------------------------------------------------------------------------


def test_a_session_of_the_client_s_role_is_a_client_session() -> None:
    assert isinstance(Session(Role.CLIENT, SessionConfig(), now=0), ClientSession)


def test_a_new_client_knows_nothing() -> None:
    client = open_session()
    assert (client.state, client.input_audio_buffer_state, client.generation) == ("awaiting", "idle", 1)
    assert (client.configuration, client.default_response, client.rate_limits) == (None, None, ())
    assert len(client.conversation) == 0
    assert client.input_audio_buffer.uncommitted == 0


@pytest.mark.parametrize(
    "attempt",
    [
        lambda client: client.generate(None, 0),
        lambda client: client.speech_started(0, 0),
        lambda client: client.speech_stopped(0, 0),
        lambda client: client.transcribed("a", 0, None, 0),
    ],
)
def test_what_a_brain_does_is_not_for_a_client(attempt: Any) -> None:
    talk = Talk()
    assert talk.refused(lambda: attempt(talk.client)).rule == "R-E6"


# -- events in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        (CREATED, CREATED),
        (CREATED.encode(), CREATED.encode()),
        (bytearray(CREATED.encode()), CREATED.encode()),
        (memoryview(CREATED.encode()), CREATED.encode()),
    ],
    ids=["str", "bytes", "bytearray", "memoryview"],
)
def test_a_message_is_text_or_any_kind_of_bytes_and_is_delivered_as_one_that_stays(message: Any, raw: object) -> None:
    (action,) = open_session().receive_message(message, 0)
    assert isinstance(action, Deliver)
    assert (action.event.type, action.raw) == ("session.created", raw)
    assert type(action.raw) is type(raw)


def test_a_typed_event_does_what_its_text_does() -> None:
    typed, texted = open_session(), open_session()
    event = m.SessionCreated(session=m.RealtimeSession(instructions="Be brief."))
    (action,) = typed.receive_event(event, 0)
    assert isinstance(action, Deliver)
    texted.receive_message(action.raw, 0)
    assert typed.snapshot(0) == texted.snapshot(0)


def test_before_a_socket_and_after_the_close_nothing_is_heard() -> None:
    client = ClientSession(Role.CLIENT, SessionConfig(), now=0)
    event = m.SessionCreated(session=m.RealtimeSession())
    assert client.receive_message(CREATED, 0) == ()
    assert client.receive_event(event, 0) == ()
    client.opened(0)
    client.close(0)
    assert client.receive_message(CREATED, 0) == ()
    client.receive_eof(0)
    assert client.receive_message(CREATED, 0) == ()
    assert client.receive_event(event, 0) == ()


def test_time_does_not_go_back_for_what_is_received() -> None:
    talk = Talk()
    talk.now = 10
    talk.client.tick(10)
    for error in (
        talk.refused(lambda: talk.client.receive_message(CREATED, 9)),
        talk.refused(lambda: talk.client.receive_event(CONVERSATION, 9)),
    ):
        assert error.rule == "R-N3"
        assert "went back by 1 ns" in str(error)


def test_after_the_end_time_is_nobody_s_concern() -> None:
    client = open_session()
    client.receive_eof(10)
    assert client.receive_message(CREATED, 9) == ()
    assert client.receive_event(CONVERSATION, 9) == ()


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"type": 1}', "{}", '["\\ud800"]'])
def test_what_is_no_event_is_reported_and_not_delivered(text: str) -> None:
    (action,) = Talk().client.receive_message(text, 0)
    assert isinstance(action, Report)
    assert action.rule == "R-E1"


def test_an_event_that_no_peer_can_have_sent_changes_nothing() -> None:
    talk = Talk()
    before = talk.client.snapshot(0)
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        talk.client.receive_event(m.ConversationItemDeleted(item_id="\ud800"), 5)
    assert talk.client.snapshot(0) == before


def test_nesting_beyond_the_limit_is_reported_and_not_delivered() -> None:
    talk = Talk(limits=Limits(json_depth=8))
    (action,) = talk.client.receive_message('{"type": "x", "a": ' + "[" * 9 + "]" * 9 + "}", 0)
    assert isinstance(action, Report)
    assert action.rule == "R-E3"


def test_text_that_is_not_utf8_ends_the_socket() -> None:
    talk = Talk()
    (action,) = talk.client.receive_message(b'{"type": "\xff"}', 0)
    assert action == CloseTransport(1007, "not UTF-8")
    closed = of(talk.lose_socket(), Closed)[0]
    assert closed.fault == Fault("protocol", "a text message that is not UTF-8", "R-E2")


def test_a_type_that_nobody_knows_is_delivered_and_not_judged() -> None:
    talk = Talk()
    before = talk.client.snapshot(0)
    (action,) = talk.hear("x.vendor.thing", a=1)
    assert isinstance(action, Deliver)
    assert isinstance(action.event, m.UnknownEvent)
    assert talk.client.snapshot(0) == before


def test_a_repaired_event_is_delivered_then_works_then_is_reported() -> None:
    talk = Talk()
    actions = talk.hear("response.created", response={"id": "r1", "status": 7, "conversation_id": "conv"})
    assert delivered(actions) == ["response.created"]
    assert rules(actions) == ["R-E5"]
    assert talk.client.default_response is not None


def test_an_event_beyond_repair_is_delivered_as_malformed() -> None:
    talk = Talk()
    before = talk.client.responses.copy()
    (action,) = of(talk.hear("response.created", response=7), Deliver)
    assert isinstance(action.event, m.Malformed)
    assert talk.client.responses == before


def test_what_only_a_client_sends_is_delivered_and_reported() -> None:
    actions = Talk().hear("response.cancel")
    assert delivered(actions) == ["response.cancel"]
    assert rules(actions) == ["R-E6"]


# -- the end of a response that cannot be read -------------------------------------------------------------------------


def test_a_done_whose_body_is_lost_ends_the_response_that_it_names() -> None:
    talk = Talk()
    talk.created("r1")
    talk.created("r2", conversation_id=None)
    event = m.Malformed(type="response.done", data={"response": {"id": "r2"}}, problems=())
    actions = talk.client.receive_event(event, 0)  # type: ignore[arg-type]  # what the decoder makes of a lost body
    assert rules(actions) == ["R-R4"]
    assert [talk.client.responses[id].state for id in ("r1", "r2")] == ["in_progress", "failed"]


def test_a_done_without_a_readable_id_ends_the_response_in_progress() -> None:
    talk = Talk()
    talk.created("r1")
    assert "R-R4" in rules(talk.hear("response.done", response={"id": 7, "output": "?"}))
    assert talk.client.responses["r1"].state == "failed"


def test_a_done_that_cannot_be_read_and_ends_nothing_is_only_delivered() -> None:
    talk = Talk()
    assert delivered(talk.hear("response.done", response=7)) == ["response.done"]
    assert talk.client.responses == {}


def test_another_event_that_cannot_be_read_ends_nothing() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.done", response_id=7, item=8)
    assert talk.client.default_response is not None


# -- order -------------------------------------------------------------------------------------------------------------


def test_an_event_before_the_session_is_reported_once_and_works() -> None:
    client = open_session()
    actions = client.receive_message('{"type": "rate_limits.updated", "rate_limits": [{"name": "tokens"}]}', 0)
    assert rules(actions) == ["R-S1"]
    assert client.state == "open"
    assert client.rate_limits[0].name == "tokens"


def test_a_typed_event_before_the_session_is_early_too() -> None:
    client = open_session()
    client.receive_event(CONVERSATION, 0)
    assert client.reports == {("R-S1", "conversation.created"): 1}


def test_an_error_may_come_before_the_session() -> None:
    client = open_session()
    assert rules(client.receive_message('{"type": "error", "error": {"message": "no"}}', 0)) == []
    assert client.state == "awaiting"


def test_a_sideband_is_open_with_its_socket() -> None:
    talk = Talk(begun=False, transport="sideband")
    talk.client.opened(0)
    assert talk.client.state == "open"
    assert rules(talk.created("r1")) == []


def test_an_item_s_done_that_does_not_follow_directly_is_reported() -> None:
    talk = Talk()
    talk.say(message("m1"))
    talk.hear("conversation.item.added", previous_item_id=None, item=said("m1"))
    assert rules(talk.created("r1")) == ["R-C3"]
    assert rules(talk.hear("conversation.item.done", previous_item_id=None, item=said("m1"))) == []


def test_another_item_s_done_does_not_excuse_it() -> None:
    talk = Talk()
    talk.say(message("m1"))
    talk.hear("conversation.item.added", previous_item_id=None, item=said("m1"))
    assert "R-C3" in rules(talk.hear("conversation.item.done", previous_item_id=None, item=said("m2")))


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("error", {"error": {"message": "no"}}),
        ("rate_limits.updated", {"rate_limits": []}),
        ("conversation.item.input_audio_transcription.delta", {"item_id": "a", "content_index": 0, "delta": "x"}),
        ("mcp_list_tools.in_progress", {"item_id": "l1"}),
    ],
)
def test_events_that_float_freely_may_come_between(type: str, fields: dict[str, Any]) -> None:
    talk = Talk()
    talk.say(message("m1"))
    talk.hear("conversation.item.added", previous_item_id=None, item=said("m1"))
    talk.hear(type, **fields)
    assert rules(talk.hear("conversation.item.done", previous_item_id=None, item=said("m1"))) == []
    assert talk.client.reports == {}


# -- commands out ------------------------------------------------------------------------------------------------------


def test_a_command_goes_out_under_an_id_of_its_own() -> None:
    talk = Talk()
    ids = [event["event_id"] for event in (*sent(talk.say(m.InputAudioBufferClear())), *sent(talk.ask("mine")))]
    assert ids == ["event_1", "mine"]


def test_an_empty_event_id_is_replaced() -> None:
    assert sent(Talk().say(m.InputAudioBufferClear(event_id="")))[0]["event_id"] == "event_1"


def test_a_command_may_be_named_before_it_is_sent() -> None:
    client = Talk().client
    event = client.identify(m.ResponseCreate())
    assert client.identify(event) is event
    assert sent(client.send(event, 0))[0]["event_id"] == event.event_id


def test_with_entropy_ids_are_drawn_from_it() -> None:
    client = ClientSession(Role.CLIENT, SessionConfig(), now=0, entropy=lambda size: bytes(size))
    client.opened(0)
    assert sent(client.send(m.InputAudioBufferClear(), 0))[0]["event_id"] == "event_" + "00" * 10


def test_a_refused_command_draws_no_id() -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    client = ClientSession(Role.CLIENT, SessionConfig(), now=0, entropy=entropy)
    client.opened(0)
    with pytest.raises(LocalProtocolError):
        client.send(m.ResponseCancel(), 0)
    assert drawn == []


def test_what_only_a_server_sends_is_refused() -> None:
    talk = Talk()
    event: Any = CONVERSATION
    error = talk.refused(event)
    assert (error.rule, error.overridable) == ("R-E6", False)


def test_an_event_that_no_class_describes_goes_out_as_it_is() -> None:
    talk = Talk()
    event = m.UnknownEvent.of({"type": "vendor.look", "image": [1]})
    assert sent(talk.client.send(event, talk.now)) == [{"type": "vendor.look", "image": [1]}]
    update = m.UnknownEvent.of({"type": "session.update", "event_id": "e", "session": {"vendor": 1}})
    assert sent(talk.client.send(update, talk.now)) == [update.data]
    assert rules(talk.hear("session.updated", session={"type": "realtime"})) == []  # its answer is expected


@pytest.mark.parametrize(
    ("begun", "data", "rule"),
    [(False, {"type": "vendor.look"}, "R-E4"), (True, {"type": "vendor.look", "text": "\ud800"}, "R-E1")],
)
def test_an_event_that_no_class_describes_waits_for_no_socket_and_is_json(
    begun: bool, data: dict[str, Any], rule: str
) -> None:
    talk = Talk(begun=begun)
    assert talk.refused(lambda: talk.client.send(m.UnknownEvent.of(data), talk.now)).rule == rule


def test_what_is_no_json_is_refused() -> None:
    talk = Talk()
    error = talk.refused(message("m1", text="\ud800"))
    assert (error.rule, error.code) == ("R-E1", "invalid_event")


def test_a_command_may_go_out_before_the_session_shows_itself() -> None:
    client = open_session()
    assert sent_types(client.send(m.InputAudioBufferClear(), 0)) == ["input_audio_buffer.clear"]


def test_while_closing_every_command_is_refused() -> None:
    talk = Talk()
    talk.client.close(0)
    assert talk.refused(m.InputAudioBufferClear()).rule == "R-N4"
    assert talk.refused(lambda: talk.client.append_audio(bytes(2), 0)).rule == "R-N4"


def test_after_the_end_every_command_is_refused() -> None:
    talk = Talk()
    talk.lose_socket()
    client = talk.client
    for attempt in (
        lambda: client.send(m.InputAudioBufferClear(), 0),
        lambda: client.append_audio(bytes(2), 0),
        lambda: client.audio_played("i", 0, 0, 0),
        lambda: client.audio_stopped("i", 0, 0, 0),
        lambda: client.interrupt(0),
    ):
        assert talk.refused(attempt).rule == "R-N4"


def test_time_does_not_go_back_for_commands() -> None:
    talk = Talk()
    talk.client.tick(10)
    talk.now = 10
    client = talk.client
    for attempt in (
        lambda: client.send(m.InputAudioBufferClear(), 9),
        lambda: client.append_audio(bytes(2), 9),
        lambda: client.audio_played("i", 0, 0, 9),
        lambda: client.interrupt(9),
    ):
        assert talk.refused(attempt).rule == "R-N3"


def test_a_cancel_marks_the_response_and_a_second_one_is_sent_all_the_same() -> None:
    talk = Talk()
    talk.created("r1")
    assert sent_types(talk.say(m.ResponseCancel())) == ["response.cancel"]
    assert talk.client.responses["r1"].state == "cancelling"
    assert sent_types(talk.say(m.ResponseCancel(response_id="r1"))) == ["response.cancel"]


def test_a_cancel_of_a_request_on_its_way_marks_no_response() -> None:
    talk = Talk()
    talk.ask("a")
    assert sent_types(talk.say(m.ResponseCancel())) == ["response.cancel"]
    assert talk.client.responses == {}


# -- audio out ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_audio_goes_out_as_base64_and_is_counted(form: Any) -> None:
    talk = Talk()
    (event,) = sent(talk.client.append_audio(form(b"abcd"), 0))
    assert event == {"type": "input_audio_buffer.append", "audio": "YWJjZA=="}
    assert talk.client.input_audio_buffer.uncommitted == 2


def test_an_append_that_was_written_by_hand_is_counted_the_same() -> None:
    talk = Talk()
    talk.say(m.InputAudioBufferAppend(audio="YWJjZA=="))
    talk.say(m.InputAudioBufferAppend(audio=""))
    assert talk.client.input_audio_buffer.uncommitted == 2


@pytest.mark.parametrize("pcm", [b"", b"a", b"abc"])
def test_audio_is_whole_samples(pcm: bytes) -> None:
    talk = Talk()
    error = talk.refused(lambda: talk.client.append_audio(pcm, 0))
    assert (error.rule, error.code, error.param) == ("R-I6", "invalid_value", "audio")


def test_one_byte_is_a_whole_sample_of_g711() -> None:
    talk = Talk(session={"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    talk.client.append_audio(b"a", 0)
    assert talk.client.input_audio_buffer.uncommitted == 1


def test_audio_may_be_a_view_of_one_channel() -> None:
    talk = Talk(session={"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    (append,) = sent(talk.client.append_audio(memoryview(b"LRLR")[::2], 0))
    assert append["audio"] == "TEw="  # LL


def test_audio_of_one_event_is_bounded() -> None:
    talk = Talk(limits=Limits(append_audio_bytes=4))
    error = talk.refused(lambda: talk.client.append_audio(bytes(6), 0))
    assert (error.rule, error.code, error.param) == ("R-I6", "string_above_max_length", "audio")
    assert "at most 4" in str(error)


# -- the gap -----------------------------------------------------------------------------------------------------------


def test_commands_and_audio_wait_for_a_socket_in_the_order_in_which_they_came() -> None:
    talk = Talk(begun=False)
    talk.client.start(0)
    assert talk.say(message("m1")) == ()
    assert talk.client.append_audio(b"abcd", 0) == ()
    assert talk.ask("a") == ()
    actions = talk.client.opened(0)
    assert actions[0] == Connected(1)
    assert sent_types(actions) == ["conversation.item.create", "input_audio_buffer.append", "response.create"]
    assert talk.client.input_audio_buffer.uncommitted == 2


def test_waiting_commands_are_bounded() -> None:
    talk = Talk(begun=False, limits=Limits(queued_commands=1))
    talk.client.append_audio(b"ab", 0)
    talk.say(message("m1"))
    error = talk.refused(message("m2"))
    assert (error.rule, error.overridable) == ("R-N2", False)


def test_of_waiting_audio_the_newest_stays() -> None:
    talk = Talk(begun=False, limits=Limits(gap_audio_ms=100))
    talk.say(message("m1"))
    for sample in (b"a", b"b", b"c"):
        talk.client.append_audio(sample * 2400, 0)
    actions = talk.client.opened(0)
    appended = [event["audio"] for event in sent(actions)[1:]]
    assert [text[:2] for text in appended] == ["Ym", "Y2"]
    assert talk.client.input_audio_buffer.uncommitted_ms == 100


def test_one_chunk_of_audio_beyond_the_gap_is_not_kept() -> None:
    talk = Talk(begun=False, limits=Limits(gap_audio_ms=100))
    talk.client.append_audio(bytes(9600), 0)
    assert sent(talk.client.opened(0)) == []


def test_requests_that_wait_are_arbitrated_when_the_socket_opens() -> None:
    talk = Talk(begun=False)
    talk.ask("a")
    talk.ask("b", override={"R-Q1"})
    talk.ask("c")
    actions = talk.client.opened(0)
    assert [event["event_id"] for event in sent(actions)] == ["a", "b"]
    assert [request.event_id for request in talk.client.arbiter.queue] == ["c"]


def test_requests_that_wait_are_dropped_when_the_engine_ends_without_a_socket() -> None:
    talk = Talk(begun=False)
    talk.say(message("m1"))
    talk.ask("a")
    talk.client.append_audio(bytes(2), 0)
    actions = talk.client.close(0)
    assert outcomes(actions) == {"a": Dropped("closed")}
    assert of(actions, Closed) == [Closed(1000, "", None)]


def test_the_gap_comes_back_from_a_snapshot() -> None:
    talk = Talk(begun=False, limits=Limits(gap_audio_ms=100))
    talk.ask("a", override={"R-Q1"})
    talk.client.append_audio(b"b" * 2400, 0)
    talk = talk.restored()
    talk.client.append_audio(b"c" * 4800, 0)
    assert sent_types(talk.client.opened(0)) == ["response.create", "input_audio_buffer.append"]


def test_a_waiting_command_is_kept_as_it_is_though_it_looks_like_an_update() -> None:
    talk = Talk(begun=False)
    command = m.ConversationItemCreate(event_id="session.update", item=message("m1").item)
    talk.say(command)
    assert list(talk.restored().client.gap.commands()) == [command]


def test_a_waiting_delete_makes_its_item_unknown_though_audio_waits_too() -> None:
    talk = Talk(begun=False)
    talk.client.append_audio(bytes(2), 0)
    talk.say(message("m1"))
    delete = m.ConversationItemDelete(item_id="m1")
    talk.say(delete)
    assert talk.refused(delete).rule == "R-C10"


# -- the device --------------------------------------------------------------------------------------------------------


def test_interrupt_cancels_the_response_once() -> None:
    talk = Talk()
    talk.created("r1")
    assert sent_types(talk.client.interrupt(0)) == ["response.cancel"]
    assert talk.client.interrupt(0) == ()


def test_interrupt_in_silence_does_nothing() -> None:
    assert Talk().client.interrupt(0) == ()


def test_interrupt_while_closing_stops_the_sound_and_sends_nothing() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    talk.client.close(0)
    assert talk.client.interrupt(0) == (StopAudio("i1", 0),)


# -- the socket's end --------------------------------------------------------------------------------------------------


def test_what_was_in_progress_ends_with_the_socket() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    talk.hear("response.output_audio_transcript.delta", delta="one", **at("r1", "i1"))
    actions = talk.lose_socket()
    assert [type(action) for action in actions] == [Disconnected, Closed]
    client = talk.client
    assert client.responses["r1"].state == "cancelled"
    assert client.default_response is None
    node = client.conversation.get("i1")
    assert node is not None
    assert (node.text, node.status) == ("one", "incomplete")


def test_output_that_never_became_a_member_is_forgotten_with_the_socket() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.lose_socket()
    assert talk.client.outputs == {}


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1000, None), (1005, None), (None, "eof"), (1006, "eof"), (1011, "eof"), (4000, "eof")],
)
def test_a_close_code_says_whether_the_end_was_orderly(code: int | None, kind: str | None) -> None:
    closed = of(Talk().client.receive_eof(0, code, "why"), Closed)[0]
    assert (closed.fault and closed.fault.kind) == kind


def test_the_timers_of_the_link_are_the_client_s_too() -> None:
    talk = Talk(begun=False)
    talk.client.start(0)
    actions = talk.tick()
    assert of(actions, CloseTransport) == [CloseTransport(1006, "", abort=True)]
    closed = of(actions, Closed)[0]
    assert closed.fault is not None
    assert closed.fault.kind == "timeout"


def test_a_fatal_error_is_the_fault_of_the_end_that_follows() -> None:
    talk = Talk()
    talk.error("session_expired")
    assert talk.client.state == "expired"
    closed = of(talk.client.receive_eof(0, 1001, ""), Closed)[0]
    assert closed.fault is not None
    assert (closed.fault.kind, closed.fault.code) == ("session", "session_expired")


def test_a_fatal_error_before_the_session_counts_as_well() -> None:
    client = open_session()
    client.receive_message('{"type": "error", "error": {"message": "no", "code": "invalid_api_key"}}', 0)
    assert client.state == "expired"


def test_a_server_that_leaves_the_socket_open_after_a_fatal_error_is_waited_for_as_long_as_for_a_close() -> None:
    client = Talk(timers=Durations(close=1000 * MS)).client
    client.receive_message('{"type": "error", "error": {"message": "no", "code": "insufficient_quota"}}', 0)
    assert not client.tick(999 * MS)
    assert client.tick(1000 * MS) == (CloseTransport(1000, ""),)
    (closed,) = of(client.receive_eof(1000 * MS, 1000), Closed)
    assert closed.fault is not None
    assert (closed.code, closed.fault.kind, closed.fault.code) == (1000, "session", "insufficient_quota")


def test_a_dead_server_after_a_fatal_error_is_aborted() -> None:
    client = Talk(timers=Durations(close=1000 * MS)).client
    client.receive_message('{"type": "error", "error": {"message": "no", "code": "insufficient_quota"}}', 0)
    client.tick(1000 * MS)
    actions = client.tick(2000 * MS)
    assert of(actions, CloseTransport) == [CloseTransport(1006, "", abort=True)]
    (closed,) = of(actions, Closed)
    assert closed.fault is not None
    assert (closed.fault.kind, closed.fault.code) == ("session", "insufficient_quota")


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_responses_in_progress_are_bounded() -> None:
    talk = Talk(limits=Limits(open_responses=2))
    for number in range(3):
        actions = talk.created(f"r{number}", conversation_id=None)
    assert rules(actions) == ["R-N2"]
    assert talk.client.responses["r0"].state == "cancelled"


def test_finished_responses_are_remembered_so_far_and_their_streams_with_them() -> None:
    talk = Talk(limits=Limits(response_history=1))
    for number in range(2):
        talk.speaks(f"r{number}", f"i{number}", 100, previous=f"i{number - 1}" if number else None)
        talk.stops_speaking(f"r{number}", f"i{number}")
        talk.done(f"r{number}")
    assert list(talk.client.responses) == ["r1"]
    assert list(talk.client.registry.streams) == [("i1", 0)]
    assert list(talk.client.registry.stream_indexes("i0")) == []


def test_of_two_parts_of_an_item_that_ended_in_different_responses_one_may_be_forgotten() -> None:
    talk = Talk(limits=Limits(response_history=1))
    talk.speaks("r1", "i1", 100)
    talk.created("r2", conversation_id=None)
    talk.part("r2", "i1", 1)
    talk.done("r1")
    talk.done("r2", conversation_id=None)
    assert list(talk.client.registry.stream_indexes("i1")) == [1]


def test_a_stream_that_moved_to_another_response_is_not_forgotten_with_the_first() -> None:
    talk = Talk(limits=Limits(response_history=1))
    talk.speaks("r1", "i1", 100)
    talk.created("r2", conversation_id=None)
    talk.part("r2", "i1")
    talk.done("r1")
    talk.done("r2", conversation_id=None)
    assert talk.client.registry.streams["i1", 0].response.id == "r2"
    assert list(talk.client.registry.stream_indexes("i1")) == [0]


def test_streams_of_one_response_are_bounded_and_those_beyond_it_still_play() -> None:
    talk = Talk(limits=Limits(response_parts=1))
    talk.speaks("r1", "i1", 100)
    talk.part("r1", "i1", 1)
    assert heard(talk.audio("r1", "i1", 20, content_index=1)) == 20
    assert list(talk.client.registry.streams) == [("i1", 0)]


def test_output_items_that_are_no_members_are_bounded() -> None:
    talk = Talk(limits=Limits(response_parts=1))
    for number in range(2):
        talk.created(f"r{number}", conversation_id=None)
        item = spoken(f"i{number}")
        actions = talk.hear("response.output_item.added", response_id=f"r{number}", output_index=0, item=item)
    assert rules(actions) == ["R-N2"]
    assert list(talk.client.outputs) == ["i1"]


def test_the_mirror_of_the_conversation_is_bounded() -> None:
    talk = Talk(limits=Limits(conversation_items=2))
    for number in range(3):
        talk.adds(said(f"m{number}", role="system"), previous=f"m{number - 1}" if number else None)
    assert [node.id for node in talk.client.conversation] == ["m1", "m2"]
    assert ("R-N2", "conversation.item.added") in talk.client.reports


def test_known_calls_are_bounded() -> None:
    talk = Talk(limits=Limits(conversation_items=2))
    for name in ("c1", "c2", "c3"):
        item = m.FunctionCallItem(name="f", call_id=name, arguments="{}")
        talk.say(m.ConversationItemCreate(item=item))
    assert [knows_call(talk.client, name) for name in ("c1", "c2", "c3")] == [False, True, True]


def test_a_call_that_has_no_call_id_can_be_answered_by_nobody() -> None:
    talk = Talk()
    talk.adds({"id": "f1", "type": "function_call", "name": "f", "arguments": "{}"})
    assert talk.client.calls == {}
    talk.say(m.ConversationItemDelete(item_id="f1"))
    assert rules(talk.hear("conversation.item.deleted", item_id="f1")) == []


def test_mcp_work_is_bounded() -> None:
    talk = Talk(limits=Limits(mcp_items=2))
    for name in ("l1", "l2", "l3"):
        talk.hear("mcp_list_tools.in_progress", item_id=name)
    assert list(talk.client.mcp_work) == ["l2", "l3"]


def test_kinds_of_reports_are_bounded_and_the_rest_is_counted_together() -> None:
    talk = Talk(limits=Limits(report_kinds=1))
    talk.hear("session.created", session={"type": "realtime"})
    talk.hear("session.updated", session={"type": "realtime"})
    talk.hear("response.cancel")
    assert talk.client.reports == {("R-S1", "session.created"): 1, ("R-N2", ""): 2}


# -- reports -----------------------------------------------------------------------------------------------------------


def test_a_kind_of_deviation_is_reported_once_and_counted_always() -> None:
    talk = Talk()
    first = talk.hear("session.updated", session={"type": "realtime"})
    second = talk.hear("session.updated", session={"type": "realtime"})
    assert (rules(first), rules(second)) == (["R-S2"], [])
    assert talk.client.reports == {("R-S2", "session.updated"): 2}


def _lost(actions: Actions) -> list[str]:
    return [report.path for report in of(actions, Report)]


def test_each_field_that_is_lost_is_reported_once() -> None:
    talk = Talk()
    spoiled = {"type": "realtime", "instructions": 5, "tools": 5}
    assert _lost(talk.hear("session.updated", session=spoiled))[1:] == ["$.session.instructions", "$.session.tools"]
    again = talk.restored()
    for each in (talk, again):
        assert _lost(each.hear("session.updated", session={**spoiled, "model": 5})) == ["$.session.model"]
        assert each.client.reports["R-E5", "session.updated"] == 5


def test_a_report_of_a_broken_key_can_be_stored() -> None:
    talk = Talk()
    talk.client.receive_message('{"type":"vendor.event","\\ud800":{"\\udc00":"\\ud800"}}', 0)
    assert Snapshot.decode(talk.client.snapshot(0).encode()) == talk.client.snapshot(0)


def test_so_many_fields_are_told_apart_and_no_more() -> None:
    talk = Talk(limits=Limits(report_kinds=2))
    talk.hear("session.updated", session={"type": "realtime", "instructions": 5, "tools": 5})
    assert _lost(talk.hear("session.updated", session={"type": "realtime", "model": 5, "tools": 5})) == []
    assert talk.client.reports["R-E5", "session.updated"] == 4


def test_under_strict_a_deviation_ends_the_socket() -> None:
    talk = Talk(strict=True)
    actions = talk.hear("session.updated", session={"type": "realtime"})
    assert rules(actions) == ["R-S2"]
    assert of(actions, CloseTransport) == [CloseTransport(1002, "R-S2")]
    closed = of(talk.lose_socket(), Closed)[0]
    assert closed.fault is not None
    assert closed.fault.rule == "R-S2"


def test_nothing_is_said_once_the_socket_is_being_closed() -> None:
    talk = Talk(begun=False, strict=True, arbiter=ArbiterPolicy(late="cancel"))
    talk.client.opened(0)
    talk.ask("a")
    assert outcomes(talk.tick()) == {"a": TimedOut()}
    actions = talk.created("r1", request="a")  # which is to be cancelled, and came before the session
    assert rules(actions) == ["R-S1"]
    assert of(actions, CloseTransport) == [CloseTransport(1002, "R-S1")]
    assert sent(actions) == []


# -- by way of a snapshot ----------------------------------------------------------------------------------------------


def test_a_busy_client_comes_back_from_a_snapshot_as_it_was() -> None:
    talk = Talk()
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="Be brief.")))
    talk.hear("session.updated", session={"type": "realtime", "instructions": "Be brief."})
    talk.hear("rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 5}])
    talk.hear("mcp_list_tools.in_progress", item_id="l1")
    talk.calls("r1", "c1")
    talk.speaks("r2", "i1", 100, previous="item_c1")
    talk.created("r3", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r3", output_index=0, item=spoken("i2"))
    talk = talk.restored()
    client = talk.client
    assert client.default_response is client.responses["r2"]
    assert client.outputs["i2"].response is client.responses["r3"]
    assert rules(talk.stops_speaking("r2", "i1")) == []
    assert rules(talk.done("r2")) == []
    assert client.default_response is None


def test_a_snapshot_of_the_other_role_is_no_client() -> None:
    client = Talk().client
    snapshot = client.snapshot(0)
    hollow = Snapshot(version=snapshot.version, tables=snapshot.tables, role="client", common=snapshot.common)
    with pytest.raises(SnapshotError):
        Session.restore(hollow, client.config, now=0)


# -- the two of them together ------------------------------------------------------------------------------------------


def test_both_ways_to_step_lead_to_the_same() -> None:
    logs = []
    for stepper in ("compiled", "transitions"):
        talk = Talk(stepper=stepper)
        actions = (*talk.ask("a"), *talk.created("r1", request="a"), *talk.speaks("r1", "i1", 100))
        actions += (*talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0),)
        actions += (*talk.stopped("i1", 40), *talk.done("r1", "cancelled"), *talk.calls("r2", "c1"))
        logs.append((actions, talk.client.snapshot(0)))
    assert logs[0] == logs[1]
    assert stops(logs[0][0]) == ["i1"]


def test_a_call_may_be_answered_while_its_response_goes_on() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", {**call("c1"), "arguments": ""})
    assert sent_types(talk.outputs("c1")) == ["conversation.item.create"]


def test_the_whole_text_of_a_part_that_was_cut_is_not_held_against_its_deltas() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    talk.hear("response.output_audio_transcript.delta", delta="one ", **at("r1", "i1"))
    talk.audio("r1", "i1", 1000)
    talk.say(m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=500))
    talk.hear("conversation.item.truncated", item_id="i1", content_index=0, audio_end_ms=500)
    talk.hear("response.output_audio_transcript.delta", delta="two", **at("r1", "i1"))
    talk.hear("response.output_audio.done", **at("r1", "i1"))
    assert rules(talk.hear("response.output_audio_transcript.done", transcript="one two", **at("r1", "i1"))) == []


def test_of_too_many_deliveries_the_oldest_is_forgotten() -> None:
    talk = Talk(transport="webrtc", limits=Limits(response_history=1))
    for response_id in ("r1", "r2"):
        talk.created(response_id)
        assert rules(talk.hear("output_audio_buffer.started", response_id=response_id)) == []
        talk.done(response_id)
    assert [*talk.client.deliveries] == ["r2"]
    assert rules(talk.hear("output_audio_buffer.stopped", response_id="r2")) == []
    assert rules(talk.hear("output_audio_buffer.stopped", response_id="r1")) == ["R-O1"]  # of which nothing is known
