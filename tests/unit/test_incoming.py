"""`antiphon.engine.incoming`: what each event of a server does to a client, in order and out of it.

Every deviation that the tables name is tolerated: the report says the rule, and the state that follows is the best that
can be made of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import Finished, KnownRateLimit, Limits, Report, SessionConfig
from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K, PCMU
from antiphon.engine.conversation import STREAM_CHARGE, Node
from antiphon.engine.incoming.handlers import HANDLERS, NEVER_OVERDUE
from antiphon.engine.known import knows_call
from antiphon.engine.records import STREAM_OF_ARGUMENTS
from antiphon.messages.beta import SERVER_VIEWS
from unit.engine_helpers import Talk, at, call, heard, message, of, outcomes, rules, said, sent_types, spoken

ITEM = "conversation.item"
BUFFER = "input_audio_buffer"
TRANSCRIPTION = "conversation.item.input_audio_transcription"


def node(talk: Talk, item_id: str) -> Node:
    found = talk.client.conversation.get(item_id)
    assert found is not None
    return found


def order(talk: Talk) -> list[str]:
    return [node.id for node in talk.client.conversation]


def listing(item_id: str, *tools: str) -> dict[str, Any]:
    described = [{"name": name, "input_schema": {}} for name in tools]
    return {"id": item_id, "type": "mcp_list_tools", "server_label": "docs", "tools": described}


def user_audio(item_id: str, transcript: str | None = None) -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": transcript}]
    return {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}


def generating(**config: Any) -> Talk:
    """Response r1 has begun item i1, which has no content yet."""
    talk = Talk(**config)
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    return talk


# -- the catalogue -----------------------------------------------------------------------------------------------------


def test_every_event_of_a_conversation_has_a_handler() -> None:
    translating = m.TRANSLATION_EVENTS & set(m.SERVER_EVENTS)
    for classes in SERVER_VIEWS.values():
        assert {cls.type for cls in classes.values() if cls not in HANDLERS} == translating
    assert {cls for classes in SERVER_VIEWS.values() for cls in classes.values()} >= set(HANDLERS)


def test_what_floats_freely_is_what_belongs_to_no_order_of_items() -> None:
    assert m.ConversationItemInputAudioTranscriptionCompleted in NEVER_OVERDUE
    assert m.McpListToolsCompleted in NEVER_OVERDUE
    assert m.OutputAudioBufferStarted in NEVER_OVERDUE
    assert m.ResponseCreated not in NEVER_OVERDUE


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        ("conversation.created", {"conversation": {"id": "conv"}}),
        ("input_audio_buffer.dtmf_event_received", {"event": "5", "received_at": 1}),
    ],
)
def test_some_events_move_nothing(type: str, fields: dict[str, Any]) -> None:
    talk = Talk()
    before = talk.client.snapshot(0)
    assert rules(talk.hear(type, **fields)) == []
    assert talk.client.snapshot(0) == before


# -- session -----------------------------------------------------------------------------------------------------------


def test_the_configuration_is_what_the_server_last_said() -> None:
    talk = Talk(session={"instructions": "one"})
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="two")))
    assert talk.client.configuration is not None
    assert getattr(talk.client.configuration, "instructions") == "one"  # noqa: B009 - a union of two kinds of session
    assert rules(talk.hear("session.updated", session={"type": "realtime", "instructions": "two"})) == []
    assert getattr(talk.client.configuration, "instructions") == "two"  # noqa: B009 - the same


def test_an_update_that_nobody_asked_for_is_reported_and_stands() -> None:
    talk = Talk()
    assert rules(talk.hear("session.updated", session={"type": "realtime", "instructions": "two"})) == ["R-S2"]
    assert getattr(talk.client.configuration, "instructions") == "two"  # noqa: B009 - a union of two kinds of session


def test_a_second_session_created_is_reported_and_stands() -> None:
    talk = Talk()
    actions = talk.hear("session.created", session={"type": "transcription"})
    assert rules(actions) == ["R-S1"]
    assert isinstance(talk.client.configuration, m.TranscriptionSession)


def test_the_formats_of_both_directions_come_from_the_session() -> None:
    audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
    talk = Talk(session={"audio": audio})
    assert (talk.client.input_audio.format, talk.client.listener.format) == (PCMU, PCMU)


def test_audio_that_was_sent_before_the_format_changed_still_counts() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    talk.hear("session.updated", session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    assert talk.client.input_audio.uncommitted_ms == 100


@pytest.mark.parametrize(
    "audio",
    [
        None,
        {},
        {"input": None, "output": None},
        {"input": {}, "output": {}},
        {"input": {"format": None}},
        {"input": {"format": {"type": "audio/opus"}}, "output": {"format": {"type": "audio/opus"}}},
        {"input": {"format": {"type": "audio/pcm", "rate": 24000}}},
    ],
)
def test_a_session_that_names_no_other_format_leaves_the_usual(audio: Any) -> None:
    talk = Talk(session={"audio": audio})
    assert (talk.client.input_audio.format, talk.client.listener.format) == (PCM16_24K, PCM16_24K)


def test_turn_detection_is_on_off_or_unsaid() -> None:
    def detection(audio: Any) -> m.TurnDetection | None:
        return Talk(session={"audio": audio}).client.detection

    on = detection({"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}})
    assert on is not None
    assert on.silence_duration_ms == 500
    assert detection({"input": {"turn_detection": None}}) is None
    assert detection({}) is None


# -- errors and limits -------------------------------------------------------------------------------------------------


def test_an_error_changes_nothing_but_the_command_that_it_answers() -> None:
    """R-A2"""
    talk = Talk()
    talk.created("r1")
    before = talk.client.snapshot(0)
    assert rules(talk.error("invalid_value", "event_9")) == []
    assert talk.client.snapshot(0) == before


def test_an_error_without_a_code_is_taken() -> None:
    talk = Talk()
    talk.hear("error", error={"message": "no"})
    assert talk.client.state == "open"


def test_a_second_fatal_error_names_the_fault() -> None:
    talk = Talk()
    talk.error("session_expired")
    talk.error("insufficient_quota")
    assert (talk.client.state, talk.client.fatal_code) == ("expired", "insufficient_quota")


def test_the_newest_rate_limit_of_each_name_stands() -> None:
    talk = Talk()
    talk.hear("rate_limits.updated", rate_limits=[{"name": "requests"}, {"name": "tokens", "remaining": 7}])
    talk.hear("rate_limits.updated", rate_limits=[{"name": "tokens", "remaining": 5}])
    assert talk.client.rate_limits == (KnownRateLimit("requests"), KnownRateLimit("tokens", remaining=5))


# -- input audio buffer ------------------------------------------------------------------------------------------------


def started(talk: Talk, item_id: str = "u1") -> Any:
    return talk.hear(f"{BUFFER}.speech_started", item_id=item_id, audio_start_ms=100)


def stopped(talk: Talk, item_id: str = "u1", ms: object = 900) -> Any:
    return talk.hear(f"{BUFFER}.speech_stopped", item_id=item_id, audio_end_ms=ms)


def committed(talk: Talk, item_id: str = "u1") -> Any:
    return talk.hear(f"{BUFFER}.committed", item_id=item_id, previous_item_id=None)


def test_a_turn_of_speech_starts_stops_is_committed_and_becomes_an_item_without_a_report() -> None:
    talk = Talk()
    started(talk)
    assert talk.client.input_audio_buffer_state == "speech"
    stopped(talk)
    assert talk.client.input_audio_buffer_state == "stopped"
    committed(talk)
    assert talk.client.input_audio_buffer_state == "idle"
    talk.adds(user_audio("u1"))
    assert order(talk) == ["u1"]
    assert talk.client.reports == {}


def test_speech_that_is_committed_takes_its_audio_up_to_its_end() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(48 * 1000), 0)
    started(talk)
    stopped(talk, ms=900)
    committed(talk)
    assert talk.client.input_audio.uncommitted_ms == 100


def test_speech_whose_end_has_no_place_takes_all_the_audio() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(48 * 1000), 0)
    started(talk)
    stopped(talk, ms=None)
    committed(talk)
    assert talk.client.input_audio.uncommitted_ms == 0


@pytest.mark.parametrize("before", ["speech", "stopped"])
def test_speech_that_starts_again_is_reported_and_announces_anew(before: str) -> None:
    talk = Talk()
    started(talk)
    if before == "stopped":
        stopped(talk)
    assert rules(started(talk, "u2")) == ["R-I1"]
    assert (talk.client.input_audio_buffer_state, talk.client.announced_item_id) == ("speech", "u2")


def test_speech_that_stops_under_another_id_is_reported() -> None:
    talk = Talk()
    started(talk)
    assert rules(stopped(talk, "u2")) == ["R-I2"]
    assert rules(committed(talk, "u2")) == []


def test_speech_that_stops_without_a_start_is_reported_and_moves_nothing() -> None:
    talk = Talk()
    assert rules(stopped(talk)) == ["R-I1"]
    assert talk.client.input_audio_buffer_state == "idle"


def test_speech_that_is_committed_under_another_id_is_reported() -> None:
    talk = Talk()
    started(talk)
    stopped(talk)
    assert rules(committed(talk, "u2")) == ["R-I2"]


def test_a_commit_without_a_cause_is_reported_and_stands() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    assert rules(committed(talk)) == ["R-I3"]
    assert talk.client.input_audio.uncommitted == 0


def test_a_commit_during_speech_that_nobody_asked_for_ends_the_speech() -> None:
    talk = Talk()
    started(talk)
    assert rules(committed(talk)) == ["R-I1"]
    assert talk.client.input_audio_buffer_state == "idle"


def test_a_manual_commit_during_speech_uses_the_announced_id_up_and_the_speech_goes_on() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    started(talk)
    talk.say(m.InputAudioBufferCommit())
    assert rules(committed(talk)) == []
    assert (talk.client.input_audio_buffer_state, talk.client.announced_item_id) == ("speech", None)
    talk.adds(user_audio("u1"))
    assert rules(stopped(talk, "u2")) == []
    assert rules(committed(talk, "u2")) == []


def test_a_clear_forgets_the_speech() -> None:
    talk = Talk()
    started(talk)
    talk.say(m.InputAudioBufferClear())
    assert rules(talk.hear(f"{BUFFER}.cleared")) == []
    assert (talk.client.input_audio_buffer_state, talk.client.announced_item_id) == ("idle", None)


def test_a_clear_that_nobody_asked_for_is_reported_and_stands() -> None:
    talk = Talk()
    started(talk)
    assert rules(talk.hear(f"{BUFFER}.cleared")) == ["R-I4"]
    assert talk.client.input_audio_buffer_state == "idle"


def timeout(talk: Talk, item_id: str = "u1") -> Any:
    return talk.hear(f"{BUFFER}.timeout_triggered", item_id=item_id, audio_start_ms=0, audio_end_ms=6000)


def test_an_idle_timeout_is_the_cause_of_a_commit() -> None:
    talk = Talk()
    assert rules(timeout(talk)) == []
    assert rules(committed(talk)) == []
    assert rules(talk.adds(user_audio("u1"))) == []


def test_an_idle_timeout_is_the_cause_of_one_commit_under_its_own_id() -> None:
    talk = Talk()
    timeout(talk)
    assert rules(committed(talk, "u2")) == ["R-I3"]


def test_the_silence_that_an_idle_timeout_committed_is_marked() -> None:
    talk = Talk()
    timeout(talk)
    talk.adds(said("nudge", "Say something.", "system"))
    talk.hear(f"{BUFFER}.committed", item_id="u1", previous_item_id="nudge")
    talk = talk.restored()
    talk.adds(user_audio("u1"), previous="nudge")
    talk = talk.restored()
    assert [(node.id, node.idle_timeout) for node in talk.client.conversation] == [("nudge", False), ("u1", True)]


def test_speech_is_not_marked_as_silence() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(9600), 0)
    talk.say(m.InputAudioBufferCommit())
    talk.hear(f"{BUFFER}.committed", item_id="u1", previous_item_id=None)
    talk.adds(user_audio("u1"))
    assert [node.idle_timeout for node in talk.client.conversation] == [False]


def test_an_idle_timeout_takes_the_audio_up_to_its_end() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(7000 * 48), 0)
    timeout(talk)
    talk.hear(f"{BUFFER}.committed", item_id="u1", previous_item_id=None)
    assert talk.client.input_audio_buffer.uncommitted_ms == 1000


def test_what_was_appended_after_our_commit_is_not_part_of_it() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(9600), 0)
    talk.say(m.InputAudioBufferCommit())
    talk.client.append_audio(bytes(9600), 0)
    assert rules(talk.hear(f"{BUFFER}.committed", item_id="u1", previous_item_id=None)) == []
    assert talk.client.input_audio_buffer.uncommitted_ms == 200
    assert sent_types(talk.say(m.InputAudioBufferCommit())) == ["input_audio_buffer.commit"]


EMPTY = "input_audio_buffer_commit_empty"


def refusable() -> Talk:
    """200 ms that a commit was asked for, and 60 ms that were appended after it."""
    talk = Talk()
    talk.client.append_audio(bytes(9600), 0)
    talk.say(m.InputAudioBufferCommit(event_id="first"))
    talk.client.append_audio(bytes(2880), 0)
    return talk


@pytest.mark.parametrize("event_id", ["first", None])
def test_audio_of_a_commit_that_was_refused_is_for_the_next(event_id: str | None) -> None:
    talk = refusable().restored()
    talk.error(EMPTY, event_id)
    assert talk.client.input_audio_buffer.uncommitted_ms == 260
    assert sent_types(talk.say(m.InputAudioBufferCommit())) == ["input_audio_buffer.commit"]


def test_a_refused_commit_gives_nothing_back_that_another_took() -> None:
    talk = refusable()
    talk.client.append_audio(bytes(9600), 0)
    talk.say(m.InputAudioBufferCommit(event_id="second"))
    talk.error(EMPTY, "first")
    assert talk.client.input_audio_buffer.uncommitted_ms == 0
    talk.error(EMPTY, "second")
    assert talk.client.input_audio_buffer.uncommitted_ms == 260


def test_a_refused_commit_gives_nothing_back_that_voice_detection_took() -> None:
    talk = refusable()
    started(talk)
    stopped(talk, ms=200)
    committed(talk)
    talk.error(EMPTY, "first")
    assert talk.client.input_audio_buffer.uncommitted_ms == 60


def test_a_refused_commit_gives_nothing_back_that_was_cleared() -> None:
    talk = refusable()
    talk.say(m.InputAudioBufferClear())
    talk.error(EMPTY, "first")
    assert talk.client.input_audio_buffer.uncommitted_ms == 0


def test_the_error_of_another_command_gives_nothing_back() -> None:
    talk = refusable()
    talk.say(m.SessionUpdate(event_id="update", session=m.RealtimeSession(instructions="text")))
    talk.error("invalid_value", "update")
    assert talk.client.input_audio_buffer.uncommitted_ms == 60


def test_a_buffer_that_somebody_else_cleared_is_empty() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(9600), 0)
    assert rules(talk.hear(f"{BUFFER}.cleared")) == ["R-I4"]
    assert talk.client.input_audio_buffer.uncommitted == 0


def test_what_was_appended_after_our_clear_is_still_there() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(9600), 0)
    talk.say(m.InputAudioBufferClear())
    talk.client.append_audio(bytes(4800), 0)
    talk.hear(f"{BUFFER}.cleared")
    assert talk.client.input_audio_buffer.uncommitted_ms == 100


def test_a_turn_may_begin_before_the_turn_before_it_ended() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(3000 * 48), 0)
    for item_id, start, end in (("u1", 0, 1000), ("u2", 800, 2000)):
        talk.hear(f"{BUFFER}.speech_started", item_id=item_id, audio_start_ms=start)
        talk.hear(f"{BUFFER}.speech_stopped", item_id=item_id, audio_end_ms=end)
        talk.hear(f"{BUFFER}.committed", item_id=item_id, previous_item_id=None)
    assert talk.client.input_audio_buffer.uncommitted_ms == 1000


def test_a_format_that_changes_in_the_middle_keeps_the_time() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(1000 * 48), 0)
    law = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="x")))
    talk.hear("session.updated", session=law)
    talk.client.append_audio(bytes(500 * 8), 0)
    talk.hear(f"{BUFFER}.speech_started", item_id="u1", audio_start_ms=0)
    talk.hear(f"{BUFFER}.speech_stopped", item_id="u1", audio_end_ms=1200)
    talk.hear(f"{BUFFER}.committed", item_id="u1", previous_item_id=None)
    assert talk.client.input_audio_buffer.uncommitted_ms == 300


def test_an_idle_timeout_during_speech_is_reported() -> None:
    talk = Talk()
    started(talk)
    assert rules(timeout(talk, "u2")) == ["R-I5"]


def test_committed_ids_whose_items_never_come_are_bounded() -> None:
    talk = Talk(limits=Limits(early_transcripts=2))
    for name in ("u1", "u2", "u3"):
        started(talk, name)
        stopped(talk, name)
        committed(talk, name)
    assert list(talk.client.committed_item_ids) == ["u2", "u3"]


def test_an_audio_item_that_was_not_committed_is_reported() -> None:
    assert rules(Talk().adds(user_audio("u1"))) == ["R-I1"]


# -- output audio buffer, MCP ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stopped", "cleared"])
def test_delivery_by_the_server_starts_and_ends(end: str) -> None:
    talk = Talk(transport="webrtc")
    talk.hear("output_audio_buffer.started", response_id="r1")
    talk.hear(f"output_audio_buffer.{end}", response_id="r1")
    assert talk.client.deliveries["r1"].state == end
    assert talk.client.reports == {}


def test_over_a_websocket_delivery_by_the_server_is_reported() -> None:
    assert rules(Talk().hear("output_audio_buffer.started", response_id="r1")) == ["R-O2"]


@pytest.mark.parametrize("end", ["stopped", "cleared"])
def test_delivery_that_ends_without_a_start_or_twice_is_reported(end: str) -> None:
    talk = Talk(transport="webrtc")
    assert rules(talk.hear(f"output_audio_buffer.{end}", response_id="r1")) == ["R-O1"]
    talk.hear(f"output_audio_buffer.{end}", response_id="r1")
    talk.hear("output_audio_buffer.started", response_id="r1")
    assert list(talk.client.reports.values()) == [2, 1]


@pytest.mark.parametrize("work", ["mcp_list_tools", "response.mcp_call"])
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_mcp_work_starts_and_ends_once(work: str, end: str) -> None:
    talk = Talk()
    talk.hear(f"{work}.in_progress", item_id="w1", output_index=0)
    talk.hear(f"{work}.{end}", item_id="w1", output_index=0)
    assert talk.client.mcp_work["w1"].state == end
    assert talk.client.reports == {}
    assert rules(talk.hear(f"{work}.{end}", item_id="w1", output_index=0)) == ["R-M1"]


def test_a_list_of_tools_is_done_when_it_was_fetched_and_everything_may_come_between() -> None:
    talk = Talk()
    talk.hear(f"{ITEM}.added", previous_item_id=None, item=listing("l1"))
    assert node(talk, "l1").state == "listing"
    talk.speaks("r1", "i1", 100, previous="l1")
    talk.hear(f"{ITEM}.done", previous_item_id=None, item=listing("l1", "search"))
    assert node(talk, "l1").state == "completed"
    assert talk.client.reports == {}


# -- responses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "cancelled", "incomplete", "failed"])
def test_a_response_ends_in_the_state_that_its_done_says(status: str) -> None:
    talk = Talk()
    talk.created("r1")
    assert rules(talk.done("r1", status)) == []
    record = talk.client.responses["r1"]
    assert (record.state, record.status) == (status, status)


@pytest.mark.parametrize("status", ["in_progress", "x_odd", None])
def test_a_response_whose_done_says_something_else_is_over_too(status: Any) -> None:
    talk = Talk()
    talk.created("r1")
    assert rules(talk.done("r1", status)) == ["R-R4"]
    assert talk.client.responses["r1"].state == "completed"
    assert talk.client.default_response is None


@pytest.mark.parametrize("body", [{"id": "r1"}, {"id": "r1", "status": None}, {"id": "r1", "status": "completed"}])
def test_a_response_that_is_called_cancelled_is_cancelled_whatever_its_body_says(body: dict[str, Any]) -> None:
    talk = Talk()
    talk.ask("a")
    talk.created("r1", request="a")
    actions = talk.hear("response.cancelled", response=body)
    assert outcomes(actions) == {"a": Finished("r1", "cancelled")}
    assert rules(actions) == []
    assert talk.client.responses["r1"].state == "cancelled"


def test_a_second_response_in_the_conversation_is_reported_and_runs() -> None:
    talk = Talk()
    talk.created("r1")
    assert rules(talk.created("r2")) == ["R-R2"]
    assert talk.client.default_response is talk.client.responses["r1"]
    talk.done("r1")
    assert talk.client.default_response is talk.client.responses["r2"]


def test_any_number_of_responses_runs_out_of_band() -> None:
    talk = Talk()
    talk.created("r1")
    for number in range(2, 5):
        assert rules(talk.created(f"r{number}", conversation_id=None)) == []
    assert not talk.client.responses["r2"].in_conversation


def test_a_response_that_does_not_say_where_it_belongs_belongs_to_the_conversation() -> None:
    talk = Talk()
    talk.hear("response.created", response={"id": "r1", "status": "in_progress"})
    assert talk.client.responses["r1"].in_conversation


def test_a_second_created_is_reported_and_changes_nothing() -> None:
    talk = Talk()
    talk.created("r1")
    assert rules(talk.created("r1")) == ["R-R1"]
    assert list(talk.client.responses) == ["r1"]


def test_a_second_done_is_reported_and_changes_nothing() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1")
    assert rules(talk.done("r1", "failed")) == ["R-R3"]
    assert talk.client.responses["r1"].state == "completed"


def test_a_done_without_a_created_is_reported_and_counted() -> None:
    talk = Talk()
    assert rules(talk.done("r1", "failed", usage={"total_tokens": 3})) == ["R-R1"]
    assert talk.client.usage.total_tokens == 3
    assert talk.client.default_response is None


def test_a_done_without_a_created_out_of_band_keeps_its_calls_to_itself() -> None:
    talk = Talk()
    talk.done("r1", output=[{**call("c1"), "status": "completed"}], conversation_id=None)
    assert not knows_call(talk.client, "c1")


def test_an_event_of_a_response_that_was_not_announced_begins_it() -> None:
    talk = Talk()
    assert "R-R1" in rules(talk.part("r1", "i1"))
    assert talk.client.default_response is talk.client.responses["r1"]


def test_an_event_of_a_response_that_is_over_is_reported() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1")
    assert rules(talk.hear("response.output_text.delta", delta="x", **at("r1", "i1"))) == ["R-R3", "R-P2"]


def test_what_a_response_left_open_ends_with_it() -> None:
    talk = generating()
    talk.part("r1", "i1")
    actions = talk.done("r1", "cancelled")
    assert rules(actions) == ["R-P4", "R-C2"]
    assert node(talk, "i1").state == "completed"
    assert talk.client.registry.streams["i1", 0].state == "closed"


def test_output_that_never_became_a_member_ends_with_its_response() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    assert rules(talk.done("r1")) == ["R-C2"]
    assert talk.client.outputs == {}


def test_an_item_that_was_deleted_is_no_concern_of_its_response_s_end() -> None:
    talk = generating()
    talk.say(m.ConversationItemDelete(item_id="i1"))
    talk.hear(f"{ITEM}.deleted", item_id="i1")
    assert rules(talk.done("r1", "cancelled")) == []


def test_an_item_whose_tombstone_is_forgotten_is_no_concern_of_it_either() -> None:
    talk = generating(limits=Limits(tombstones=1))
    for item_id in ("i1", "m1"):
        if item_id == "m1":
            talk.adds(said("m1", role="system"))
        talk.say(m.ConversationItemDelete(item_id=item_id))
        talk.hear(f"{ITEM}.deleted", item_id=item_id)
    assert rules(talk.done("r1", "cancelled")) == []


def test_such_an_item_is_not_missed_when_the_socket_ends() -> None:
    talk = generating(limits=Limits(tombstones=1))
    for item_id in ("i1", "m1"):
        if item_id == "m1":
            talk.adds(said("m1", role="system"))
        talk.say(m.ConversationItemDelete(item_id=item_id))
        talk.hear(f"{ITEM}.deleted", item_id=item_id)
    assert rules(talk.lose_socket()) == []


@pytest.mark.parametrize(("status", "owed"), [("completed", True), ("incomplete", False), (None, False)])
def test_only_completed_calls_of_a_done_are_owed_an_output(status: str | None, owed: bool) -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1", output=[{**call("c1"), "status": status}])
    assert ("c1" in talk.client.arbiter.owed) is owed


def test_a_call_without_a_status_is_taken_for_completed_and_one_without_an_id_for_none() -> None:
    talk = Talk()
    talk.created("r1")
    nameless = {"id": "item_c2", "type": "function_call", "name": "f", "arguments": "{}"}
    talk.done("r1", output=[call("c1"), nameless])
    assert list(talk.client.calls) == ["c1"]


# -- items that a response generates -----------------------------------------------------------------------------------


def test_a_generated_item_is_announced_added_done_and_ended_without_a_report() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    assert node(talk, "i1").state == "generating"
    talk.stops_speaking("r1", "i1", "hello")
    talk.done("r1")
    assert (node(talk, "i1").state, node(talk, "i1").text) == ("completed", "hello")
    assert talk.client.reports == {}


def test_an_item_in_progress_that_no_response_announced_is_reported() -> None:
    talk = Talk()
    item = {**spoken("i1"), "status": "in_progress"}
    assert rules(talk.hear(f"{ITEM}.added", previous_item_id=None, item=item)) == ["R-C1"]
    assert node(talk, "i1").state == "unannounced"
    assert rules(talk.hear(f"{ITEM}.done", previous_item_id=None, item=spoken("i1", "x"))) == []
    assert node(talk, "i1").state == "completed"


def test_an_item_of_unknown_type_says_as_well_that_it_is_in_progress() -> None:
    talk = Talk()
    talk.hear(
        "conversation.item.added", previous_item_id=None, item={"id": "i1", "type": "web", "status": "in_progress"}
    )
    assert node(talk, "i1").state == "unannounced"


def test_an_announcement_that_comes_after_its_item_was_added_is_taken() -> None:
    talk = Talk()
    talk.created("r1")
    item = {**spoken("i1"), "status": "in_progress"}
    talk.hear(f"{ITEM}.added", previous_item_id=None, item=item)
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=item)
    assert node(talk, "i1").state == "generating"


def test_a_second_announcement_is_reported() -> None:
    talk = generating()
    actions = talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    assert rules(actions) == ["R-C1"]


def test_the_announcement_of_a_deleted_item_is_ignored() -> None:
    talk = generating()
    talk.say(m.ConversationItemDelete(item_id="i1"))
    talk.hear(f"{ITEM}.deleted", item_id="i1")
    actions = talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    assert rules(actions) == []
    assert order(talk) == []


def test_an_item_that_is_done_before_it_was_added_is_added_complete() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    actions = talk.hear(f"{ITEM}.done", previous_item_id=None, item={**spoken("i1", "all"), "status": "completed"})
    assert rules(actions) == ["R-C1"]
    assert (node(talk, "i1").state, node(talk, "i1").text) == ("done", "all")
    assert talk.client.outputs == {}


def test_an_item_that_is_done_and_was_never_announced_is_added_at_the_end() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    actions = talk.hear(f"{ITEM}.done", previous_item_id=None, item=said("m2"))
    assert rules(actions) == ["R-C1"]
    assert order(talk) == ["m1", "m2"]


def test_an_item_that_is_done_twice_is_reported_and_the_newest_content_stands() -> None:
    talk = Talk()
    talk.adds(said("m1", "one", role="system"))
    assert rules(talk.hear(f"{ITEM}.done", previous_item_id=None, item=said("m1", "two", role="system"))) == ["R-C2"]
    assert node(talk, "m1").text == "two"


def test_an_item_s_end_as_output_before_its_end_as_member_is_reported() -> None:
    talk = generating()
    talk.part("r1", "i1")
    actions = talk.hear("response.output_item.done", response_id="r1", output_index=0, item=spoken("i1", "x"))
    assert rules(actions) == ["R-P4", "R-C2"]  # the part's end comes to light while the item ends
    assert node(talk, "i1").state == "completed"


def test_an_item_s_end_as_output_without_any_beginning_is_reported_and_makes_it_a_member() -> None:
    talk = Talk()
    talk.created("r1")
    actions = talk.hear("response.output_item.done", response_id="r1", output_index=0, item=spoken("i1", "x"))
    assert rules(actions) == ["R-C1"]
    assert order(talk) == ["i1"]


def test_an_item_that_its_end_made_a_member_goes_where_its_announcement_says() -> None:
    talk = Talk()
    talk.adds(said("m1"))
    talk.adds(said("m2"), previous="m1")
    talk.created("r1")
    talk.hear("response.output_item.done", response_id="r1", output_index=0, item=spoken("i1", "x"))
    talk.adds(said("m3"), previous="i1")
    assert order(talk) == ["m1", "m2", "i1", "m3"]
    added = talk.hear(f"{ITEM}.added", previous_item_id="m1", item=spoken("i1"))
    assert rules(added) == ["R-C1"]
    assert order(talk) == ["m1", "i1", "m3", "m2"]


@pytest.mark.parametrize(
    ("previous", "expected"),
    [(None, ["m1", "i1"]), ("root", ["i1", "m1"]), ("i1", ["m1", "i1"]), ("later", ["m1", "later", "i1"])],
)
def test_an_announcement_that_comes_late_may_name_no_place_or_one_that_comes_later_still(
    previous: str | None, expected: list[str]
) -> None:
    talk = Talk()
    talk.adds(said("m1"))
    talk.hear(f"{ITEM}.done", item=spoken("i1", "x"))
    talk.hear(f"{ITEM}.added", previous_item_id=previous, item=spoken("i1"))
    if previous == "later":
        talk.restored().adds(said("later"), previous="m1")
        talk.adds(said("later"), previous="m1")
    assert order(talk) == expected


def test_an_announcement_that_comes_late_may_not_name_what_was_put_behind_its_item() -> None:
    talk = Talk()
    talk.adds(said("m1"))
    talk.hear(f"{ITEM}.done", item=spoken("i1", "x"))
    talk.adds(said("m2"), previous="i1")
    actions = talk.hear(f"{ITEM}.added", previous_item_id="m2", item=spoken("i1"))
    assert [report.detail for report in of(actions, Report) if report.rule == "R-C4"] == [
        "previous_item_id 'm2': cycle"
    ]
    assert order(talk) == ["m1", "i1", "m2"]


def test_an_announcement_is_late_once() -> None:
    talk = Talk()
    talk.hear(f"{ITEM}.done", item=spoken("i1", "x"))
    for expected in (["i1"], ["i1", "i1"]):
        talk.hear(f"{ITEM}.added", previous_item_id=None, item=spoken("i1"))
        assert order(talk) == expected


def test_an_item_that_only_the_end_of_its_response_tells_of_is_a_member() -> None:
    talk = Talk()
    talk.created("r1")
    assert rules(talk.done("r1", output=[{**spoken("i1", "x"), "status": "completed"}])) == ["R-C2"]
    node = talk.client.conversation.get("i1")
    assert node is not None
    assert (node.text, node.status, node.generated) == ("x", "completed", True)


@pytest.mark.parametrize("announced", [False, True])
def test_the_output_of_a_response_out_of_band_is_no_member_whatever_its_end_says(announced: bool) -> None:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    if announced:
        talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.done("r1", conversation_id=None, output=[spoken("i1", "x")])
    assert order(talk) == []


def test_an_item_that_its_response_leaves_open_takes_its_end_from_the_response_s() -> None:
    talk = generating()
    talk.done("r1", output=[{**spoken("i1", "x"), "status": "completed"}])
    node = talk.client.conversation.get("i1")
    assert node is not None
    assert (node.text, node.status) == ("x", "completed")


def test_an_item_that_nothing_ends_is_incomplete_when_its_response_is_over() -> None:
    talk = generating()
    talk.done("r1")
    node = talk.client.conversation.get("i1")
    assert node is not None
    assert node.status == "incomplete"


def test_a_cut_may_be_told_before_its_item() -> None:
    talk = Talk()
    talk.hear(f"{ITEM}.truncated", item_id="i1", content_index=0, audio_end_ms=0)
    talk.adds(spoken("i1", "never heard"))
    node = talk.client.conversation.get("i1")
    assert node is not None
    assert node.text == ""


@pytest.mark.parametrize("item_id", [None, ""])
def test_an_output_item_without_an_id_is_reported_and_dropped(item_id: str | None) -> None:
    talk = Talk()
    talk.created("r1")
    item = {**spoken("x"), "id": item_id}
    actions = talk.hear("response.output_item.added", response_id="r1", output_index=0, item=item)
    assert rules(actions) == ["R-C6"]
    assert talk.client.outputs == {}


def test_output_of_a_response_that_is_over_is_not_kept() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    assert talk.client.outputs == {}


def test_items_of_one_response_are_bounded() -> None:
    talk = Talk(limits=Limits(response_parts=1))
    talk.created("r1")
    for name in ("i1", "i2"):
        talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken(name))
    assert list(talk.client.responses["r1"].item_ids) == ["i1"]
    assert list(talk.client.outputs) == ["i1"]


# -- items out of band -------------------------------------------------------------------------------------------------


def out_of_band() -> Talk:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    return talk


def test_output_out_of_band_is_no_member_of_the_conversation() -> None:
    talk = out_of_band()
    assert talk.client.outputs["i1"].state == "detached"
    place = at("r1", "i1")
    talk.part("r1", "i1", type="text")
    talk.hear("response.output_text.delta", delta="one", **place)
    talk.hear("response.output_text.done", text="one", **place)
    talk.hear("response.content_part.done", part={"type": "text", "text": "one"}, **place)
    talk.hear("response.output_item.done", response_id="r1", output_index=0, item=spoken("i1"))
    talk.done("r1", conversation_id=None)
    assert order(talk) == []
    assert talk.client.outputs == {}
    assert talk.client.reports == {}


def test_arguments_out_of_band_leave_no_trace() -> None:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=call("c1"))
    place = {"response_id": "r1", "item_id": "item_c1", "output_index": 0, "call_id": "c1"}
    talk.hear("response.function_call_arguments.delta", delta="{}", **place)
    talk.hear("response.function_call_arguments.done", arguments="{}", name="f", **place)
    assert talk.client.conversation.early("item_c1") is None


def test_output_out_of_band_that_is_added_all_the_same_is_reported_and_a_member() -> None:
    talk = out_of_band()
    assert rules(talk.hear(f"{ITEM}.added", previous_item_id=None, item=spoken("i1"))) == ["R-C1"]
    assert order(talk) == ["i1"]


# -- items of the user -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["added", "done", "created", "retrieved"])
def test_an_item_without_an_id_cannot_be_a_member(kind: str) -> None:
    talk = Talk()
    item = {**said("x"), "id": ""}
    assert rules(talk.hear(f"{ITEM}.{kind}", previous_item_id=None, item=item)) == ["R-C6"]
    assert order(talk) == []


def test_a_second_item_with_an_id_is_kept_beside_the_first_and_reported() -> None:
    talk = Talk()
    talk.adds(said("m1", "one", role="system"))
    item = said("m1", "two", role="system")
    assert rules(talk.hear(f"{ITEM}.added", previous_item_id="m1", item=item)) == ["R-C6"]
    assert [node.text for node in talk.client.conversation] == ["one", "two"]


def test_an_unknown_predecessor_is_no_deviation_until_it_never_comes() -> None:
    talk = Talk()
    talk.adds(said("m2", role="system"), previous="m1")
    talk.adds(said("m1", role="system"), previous=None)
    assert order(talk) == ["m1", "m2"]


def test_an_item_that_is_its_own_predecessor_is_reported_and_goes_to_the_end() -> None:
    talk = Talk()
    assert rules(talk.adds(said("m1", role="system"), previous="m1")) == ["R-C4"]
    assert order(talk) == ["m1"]


def test_an_item_of_the_system_may_come_unasked() -> None:
    assert rules(Talk().adds(said("m1", role="system"))) == []


@pytest.mark.parametrize(
    "item", [said("m1"), call("c1"), {"id": "o1", "type": "function_call_output", "call_id": "c1", "output": ""}]
)
def test_an_item_of_a_client_that_nobody_here_asked_for_is_reported(item: dict[str, Any]) -> None:
    assert rules(Talk().adds(item)) == ["R-A1"]


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_where_a_session_has_several_clients_another_may_have_asked(transport: str) -> None:
    assert rules(Talk(transport=transport).adds(said("m1"))) == []


@pytest.mark.parametrize(("status", "state"), [("in_progress", "created"), ("completed", "entered"), (None, "entered")])
def test_the_beta_s_created_adds_an_item_in_one_event(status: str | None, state: str) -> None:
    talk = Talk()
    talk.say(message("m1"))
    actions = talk.hear(f"{ITEM}.created", previous_item_id=None, item={**said("m1"), "status": status})
    assert rules(actions) == []
    assert node(talk, "m1").state == state


def test_the_beta_s_created_adds_what_a_response_announced() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    actions = talk.hear(f"{ITEM}.created", previous_item_id=None, item={**spoken("i1"), "status": "in_progress"})
    assert rules(actions) == []
    assert node(talk, "i1").state == "created"


def test_the_beta_s_created_of_an_item_that_is_there_is_a_second_item() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    assert rules(talk.hear(f"{ITEM}.created", previous_item_id="m1", item=said("m1"))) == ["R-C6"]


# -- truncated, deleted, retrieved -------------------------------------------------------------------------------------


def test_a_truncation_keeps_the_part_of_the_transcript_that_was_heard() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 1000)
    talk.stops_speaking("r1", "i1", "one two three four")
    talk.done("r1")
    talk.say(m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=500))
    assert rules(talk.hear(f"{ITEM}.truncated", item_id="i1", content_index=0, audio_end_ms=500)) == []
    assert node(talk, "i1").text == "one two"


@pytest.mark.parametrize("place", [{"content_index": 0}, {"content_index": 0, "audio_end_ms": None}, {}])
def test_a_truncation_that_does_not_say_where_is_where_it_was_asked_for(place: dict[str, Any]) -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 1000)
    talk.stops_speaking("r1", "i1", "one two three four")
    talk.done("r1")
    talk.say(m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=500))
    talk = talk.restored()
    assert set(rules(talk.hear(f"{ITEM}.truncated", item_id="i1", **place))) == {"R-E5"}
    assert node(talk, "i1").text == "one two"
    assert talk.client.unanswered == ()


@pytest.mark.parametrize("item_id", ["i1", None])
def test_a_truncation_that_does_not_say_where_and_was_not_asked_for_is_only_reported(item_id: str | None) -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 1000)
    talk.stops_speaking("r1", "i1", "one two three four")
    assert set(rules(talk.hear(f"{ITEM}.truncated", item_id=item_id, content_index=0))) == {"R-E5"}
    assert node(talk, "i1").text == "one two three four"


def test_a_truncation_of_what_was_not_yet_added_is_reported() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    actions = talk.hear(f"{ITEM}.truncated", item_id="i1", content_index=0, audio_end_ms=5)
    assert sorted(rules(actions)) == ["R-A1", "R-C5"]


@pytest.mark.parametrize(
    ("type", "fields", "rule"),
    [
        ("truncated", {"item_id": "x", "content_index": 0, "audio_end_ms": 5}, "R-C5"),
        ("deleted", {"item_id": "x"}, "R-C7"),
        ("retrieved", {"item": said("x")}, "R-C10"),
    ],
)
def test_news_of_an_item_that_never_was_are_reported(type: str, fields: dict[str, Any], rule: str) -> None:
    talk = Talk()
    assert rules(talk.hear(f"{ITEM}.{type}", **fields)) == [rule]
    assert order(talk) == []


def deleted(item_id: str = "i1") -> Talk:
    """Item i1 was said and deleted; its response is over."""
    talk = Talk()
    talk.speaks("r1", item_id, 100)
    talk.stops_speaking("r1", item_id, "hello")
    talk.done("r1")
    talk.say(m.ConversationItemDelete(item_id=item_id))
    assert rules(talk.hear(f"{ITEM}.deleted", item_id=item_id)) == []
    return talk


@pytest.mark.parametrize(
    ("type", "fields"),
    [
        (f"{ITEM}.truncated", {"item_id": "i1", "content_index": 0, "audio_end_ms": 5}),
        (f"{ITEM}.deleted", {"item_id": "i1"}),
        (f"{ITEM}.retrieved", {"item": spoken("i1")}),
        (f"{ITEM}.done", {"previous_item_id": None, "item": spoken("i1")}),
        (f"{TRANSCRIPTION}.delta", {"item_id": "i1", "content_index": 0, "delta": "x"}),
        (f"{TRANSCRIPTION}.completed", {"item_id": "i1", "content_index": 0, "transcript": "x", "usage": None}),
    ],
)
def test_late_news_of_a_deleted_item_are_ignored(type: str, fields: dict[str, Any]) -> None:
    talk = deleted()
    before = talk.client.conversation.dump()
    assert rules(talk.hear(type, **fields)) == []
    assert talk.client.conversation.dump() == before


def test_deltas_of_a_deleted_item_are_ignored() -> None:
    talk = generating()
    talk.say(m.ConversationItemDelete(item_id="i1"))
    talk.hear(f"{ITEM}.deleted", item_id="i1")
    talk.hear("response.output_audio_transcript.delta", delta="x", **at("r1", "i1"))
    place = {"response_id": "r1", "item_id": "i1", "output_index": 0, "call_id": "c1"}
    talk.hear("response.function_call_arguments.delta", delta="{}", **place)
    assert heard(talk.audio("r1", "i1", 20)) == 0
    assert order(talk) == []
    assert talk.client.reports == {}


def test_a_deleted_item_may_come_again() -> None:
    talk = deleted()
    talk.say(message("i1"))
    assert rules(talk.adds(said("i1"))) == []
    assert order(talk) == ["i1"]


def test_a_deleted_item_may_come_again_in_the_beta_s_way() -> None:
    talk = deleted()
    talk.say(message("i1"))
    assert rules(talk.hear(f"{ITEM}.created", previous_item_id=None, item=said("i1"))) == []
    assert order(talk) == ["i1"]


def test_an_item_that_is_deleted_between_added_and_done_owes_no_done() -> None:
    talk = Talk()
    talk.hear(f"{ITEM}.added", previous_item_id=None, item=said("m1", role="system"))
    talk.say(m.ConversationItemDelete(item_id="m1"))
    talk.hear(f"{ITEM}.deleted", item_id="m1")
    assert talk.client.overdue_item_id is None
    assert order(talk) == []


def test_an_item_that_is_deleted_unasked_is_reported_and_gone() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    assert rules(talk.hear(f"{ITEM}.deleted", item_id="m1")) == ["R-A1"]
    assert order(talk) == []


def test_what_is_retrieved_completes_the_mirror() -> None:
    talk = Talk()
    talk.adds(user_audio("u1"))
    talk.say(m.ConversationItemRetrieve(item_id="u1"))
    assert rules(talk.hear(f"{ITEM}.retrieved", item=user_audio("u1", "hello"))) == []
    assert node(talk, "u1").text == "hello"


def test_what_is_retrieved_unasked_is_reported() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    assert rules(talk.hear(f"{ITEM}.retrieved", item=said("m1", role="system"))) == ["R-A1"]


# -- content parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["text", "output_text"])
def test_a_text_part_opens_takes_deltas_and_closes(type: str) -> None:
    talk = generating()
    talk.part("r1", "i1", type=type)
    place = at("r1", "i1")
    talk.hear("response.output_text.delta", delta="one ", **place)
    talk.hear("response.output_text.delta", delta="two", **place)
    assert node(talk, "i1").text == "one two"
    talk.hear("response.output_text.done", text="one two", **place)
    talk.hear("response.content_part.done", part={"type": type, "text": "one two"}, **place)
    assert talk.client.registry.streams["i1", 0].state == "closed"
    assert talk.client.reports == {}
    assert not talk.client.has_spoken


def test_an_audio_part_takes_audio_and_transcript_and_closes() -> None:
    talk = generating()
    talk.part("r1", "i1")
    talk.hear("response.output_audio_transcript.delta", delta="hello", **at("r1", "i1"))
    talk.audio("r1", "i1", 20)
    assert node(talk, "i1").text == "hello"
    talk.stops_speaking("r1", "i1", "hello")
    assert talk.client.reports == {}
    assert talk.client.has_spoken


@pytest.mark.parametrize("type", ["text", "audio"])
def test_a_part_that_opens_before_its_item_is_a_member_is_reported(type: str) -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    assert rules(talk.part("r1", "i1", type=type)) == ["R-P1"]
    assert talk.client.registry.streams["i1", 0].state == f"{type}_open"


def test_a_part_that_does_not_say_its_type_is_taken_for_audio() -> None:
    talk = generating()
    talk.hear("response.content_part.added", **at("r1", "i1"))
    assert talk.client.registry.streams["i1", 0].state == "audio_open"


def test_a_delta_without_an_opening_is_reported_and_kept() -> None:
    talk = generating()
    assert rules(talk.hear("response.output_text.delta", delta="one", **at("r1", "i1"))) == ["R-P1"]
    assert node(talk, "i1").text == "one"


def test_deltas_of_interleaved_parts_go_to_their_own() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.generates("r1", spoken("i2"), previous="i1")
    for item_id in ("i1", "i2"):
        talk.part("r1", item_id, type="text")
    for delta, item_id in (("a", "i1"), ("b", "i2"), ("c", "i1"), ("d", "i2")):
        talk.hear("response.output_text.delta", delta=delta, **at("r1", item_id))
    assert [node.text for node in talk.client.conversation] == ["ac", "bd"]
    assert talk.client.reports == {}


def test_a_whole_text_replaces_deltas_that_said_something_else_and_is_reported() -> None:
    talk = generating()
    talk.part("r1", "i1", type="text")
    talk.hear("response.output_text.delta", delta="one", **at("r1", "i1"))
    assert rules(talk.hear("response.output_text.done", text="two", **at("r1", "i1"))) == ["R-P6"]
    assert node(talk, "i1").text == "two"


def test_a_whole_text_without_deltas_is_no_contradiction() -> None:
    talk = generating()
    talk.part("r1", "i1", type="text")
    assert rules(talk.hear("response.output_text.done", text="two", **at("r1", "i1"))) == []


def test_a_whole_text_that_comes_before_its_item_is_held_against_its_deltas_too() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.part("r1", "i1", type="text")
    talk.hear("response.output_text.delta", delta="one", **at("r1", "i1"))
    assert rules(talk.hear("response.output_text.done", text="two", **at("r1", "i1"))) == ["R-P6"]
    talk.hear(f"{ITEM}.added", previous_item_id=None, item={**spoken("i1"), "status": "in_progress"})
    assert node(talk, "i1").text == "two"


def test_a_part_that_is_left_open_ends_with_its_item() -> None:
    talk = generating()
    talk.part("r1", "i1")
    actions = talk.hear(f"{ITEM}.done", previous_item_id=None, item=spoken("i1", "x"))
    assert rules(actions) == ["R-P4"]
    assert talk.client.registry.streams["i1", 0].state == "closed"


def test_a_place_that_two_responses_write_to_has_one_stream_that_of_the_last_writer() -> None:
    talk = generating()
    talk.part("r1", "i1", type="text")
    talk.created("r2", conversation_id=None)
    talk.part("r2", "i1", type="text")
    assert talk.client.registry.streams["i1", 0].response.id == "r2"
    talk.hear("response.output_text.delta", delta="x", **at("r1", "i1"))
    responses = talk.client.responses
    assert (list(responses["r1"].streams), list(responses["r2"].streams)) == ([("i1", 0)], [])
    after = talk.restored()
    assert talk.hear("response.output_text.delta", delta="y", **at("r1", "i1")) == after.hear(
        "response.output_text.delta", delta="y", **at("r1", "i1")
    )
    assert talk.client.snapshot(0) == after.client.snapshot(0)


def test_text_beyond_the_limit_of_the_mirror_takes_the_oldest_item() -> None:
    talk = Talk(limits=Limits(conversation_text_bytes=STREAM_CHARGE + 44))
    talk.adds(said("m1", "12345", role="system"))
    talk.created("r1")
    talk.generates("r1", spoken("i1"), previous="m1")
    talk.part("r1", "i1", type="text")
    actions = talk.hear("response.output_text.delta", delta="123456", **at("r1", "i1"))
    assert rules(actions) == ["R-N2"]
    assert order(talk) == ["i1"]


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function_call", "mcp_call"])
def test_arguments_take_deltas_and_end_before_their_item(kind: str) -> None:
    talk = Talk()
    talk.created("r1")
    item = {**call("c1"), "arguments": ""}
    if kind == "mcp_call":
        item = {"id": "item_c1", "type": "mcp_call", "server_label": "docs", "name": "f", "arguments": ""}
    talk.generates("r1", item)
    place = {"response_id": "r1", "item_id": "item_c1", "output_index": 0, "call_id": "c1"}
    talk.hear(f"response.{kind}_arguments.delta", delta='{"a"', **place)
    talk.hear(f"response.{kind}_arguments.delta", delta=":1}", **place)
    talk.hear(f"response.{kind}_arguments.done", arguments='{"a":1}', name="f", **place)
    assert talk.client.registry.streams["item_c1", STREAM_OF_ARGUMENTS].state == "arguments_done"
    talk.finishes("r1", {**item, "arguments": '{"a":1}'})
    talk.done("r1")
    assert talk.client.reports == {}
    assert getattr(node(talk, "item_c1").item, "arguments") == '{"a":1}'  # noqa: B009 - a union of two kinds of call


def test_a_delta_of_arguments_after_their_end_is_reported() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", {**call("c1"), "arguments": ""})
    place = {"response_id": "r1", "item_id": "item_c1", "output_index": 0, "call_id": "c1"}
    talk.hear("response.function_call_arguments.done", arguments="{}", name="f", **place)
    assert rules(talk.hear("response.function_call_arguments.delta", delta="x", **place)) == ["R-P5"]


# -- transcription -----------------------------------------------------------------------------------------------------


def transcribes(talk: Talk, kind: str, **fields: Any) -> Any:
    return talk.hear(f"{TRANSCRIPTION}.{kind}", item_id="u1", **fields)


def test_a_transcription_streams_and_its_end_replaces_the_deltas() -> None:
    talk = Talk()
    talk.adds(user_audio("u1"))
    transcribes(talk, "delta", content_index=0, delta="hal")
    transcribes(talk, "delta", content_index=0, delta="lo")
    assert node(talk, "u1").text == "hallo"
    transcribes(talk, "completed", content_index=0, transcript="hello", usage=None)
    assert node(talk, "u1").text == "hello"


def test_a_transcription_may_come_before_its_item() -> None:
    talk = Talk()
    assert rules(transcribes(talk, "completed", content_index=0, transcript="hello", usage=None)) == []
    talk.adds(user_audio("u1"))
    assert node(talk, "u1").text == "hello"


def test_a_delta_without_a_place_or_text_is_taken_for_the_first_part_and_nothing() -> None:
    talk = Talk()
    talk.adds(user_audio("u1"))
    transcribes(talk, "delta")
    transcribes(talk, "delta", delta="x")
    assert node(talk, "u1").text == "x"


@pytest.mark.parametrize("error", [{"type": "x", "code": "audio_unintelligible", "message": "no"}, {"type": "x"}])
def test_a_transcription_that_failed_says_why_if_the_server_does(error: dict[str, Any]) -> None:
    talk = Talk()
    talk.adds(user_audio("u1"))
    transcribes(talk, "failed", content_index=0, error=error)
    assert talk.client.conversation.transcription("u1", 0).state == "failed"


def test_segments_run_beside_the_deltas() -> None:
    talk = Talk()
    talk.adds(user_audio("u1"))
    segment = {"content_index": 0, "id": "s1", "text": "x", "speaker": "A", "start": 0.0, "end": 1.0}
    assert rules(transcribes(talk, "segment", **segment)) == []
    transcribes(talk, "completed", content_index=0, transcript="x", usage=None)
    assert rules(transcribes(talk, "segment", **segment)) == []


@pytest.mark.parametrize(
    ("kind", "fields", "rule"),
    [
        ("delta", {"content_index": 0, "delta": "x"}, "R-T1"),
        ("completed", {"content_index": 0, "transcript": "hello", "usage": None}, "R-T2"),
        ("failed", {"content_index": 0, "error": {"message": "no"}}, "R-T2"),
    ],
)
def test_a_transcription_ends_once(kind: str, fields: dict[str, Any], rule: str) -> None:
    talk = Talk()
    talk.adds(user_audio("u1"))
    transcribes(talk, "completed", content_index=0, transcript="hello", usage=None)
    assert rules(transcribes(talk, kind, **fields)) == [rule]
    assert node(talk, "u1").text == "hello"


# -- a renewed session -------------------------------------------------------------------------------------------------


def test_a_connection_s_client_that_lost_its_socket_awaits_the_session_anew() -> None:
    talk = Talk()
    started(talk)
    stopped(talk)
    talk.hear(f"{ITEM}.added", previous_item_id=None, item=said("m1", role="system"))
    talk.client.end_generation()
    client = talk.client
    assert (client.state, client.input_audio_buffer_state) == ("awaiting", "idle")
    assert (client.announced_item_id, client.overdue_item_id, client.speech_end_ms) == (None, None, None)
    assert SessionConfig() == client.config


# -- the release of what waits -----------------------------------------------------------------------------------------


def test_a_response_that_is_lost_to_nothing_releases_the_next_request() -> None:
    talk = Talk()
    talk.created("r1")
    talk.ask("a")
    assert sent_types(talk.hear("response.done", response=7)) == ["response.create"]


def _nameless(**fields: Any) -> dict[str, Any]:
    return {**at("r1", "i1", 0), "response_id": "", **fields}


def test_an_empty_id_names_the_response_in_progress() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    actions = talk.hear("response.output_audio_transcript.delta", **_nameless(delta="a"))
    assert [(report.rule, report.path) for report in of(actions, Report)] == [("R-E5", "$.response_id")]
    talk.hear("response.output_audio_transcript.done", **_nameless(transcript="a"))
    assert list(talk.client.responses) == ["r1"]
    assert node(talk, "i1").text == "a"
    actions = talk.hear("response.done", response={"id": "", "status": "completed"})
    assert rules(actions)[0] == "R-E5"
    assert talk.client.responses["r1"].state == "completed"


def test_an_empty_id_names_nothing_where_nothing_is_in_progress() -> None:
    talk = Talk()
    assert "R-R1" in rules(talk.hear("response.output_audio_transcript.delta", **_nameless(delta="a")))
