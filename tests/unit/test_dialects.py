"""Sessions with peers of the beta dialect and of vendors, through the public API."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest

from antiphon import (
    Actions,
    ArgumentsDelta,
    AudioDelta,
    AudioFormat,
    ClientSession,
    Connection,
    ConnectionConfig,
    Deliver,
    Endpoint,
    ItemStarted,
    Report,
    ResponseFinished,
    ResponseRequested,
    Role,
    ServerSession,
    SessionConfig,
    TextDelta,
    TransmitMessage,
)
from antiphon import messages as m
from antiphon.engine.dialects.context import is_habit
from antiphon.engine.dialects.vendors import HABITS
from antiphon.engine.playback import Entry
from unit.engine_helpers import Talk, at, call, delivered, message, of, outcomes, rules, said, sent, spoken
from unit.server_helpers import Host, Numbers, refusal, sent_types

ITEM = "conversation.item"
TRANSCRIPTION = f"{ITEM}.input_audio_transcription"
FLAT = {"id": "s", "object": "realtime.session", "modalities": ["audio", "text"], "voice": "alloy"}


def flat(**config: Any) -> Talk:
    """A client that a server of the beta dialect has greeted."""
    talk = Talk(begun=False, **config)
    talk.client.opened(0)
    assert rules(talk.hear("session.created", session={**FLAT, "input_audio_format": "g711_ulaw"})) == []
    return talk


def turn(talk: Talk, item_id: str = "i1") -> Actions:
    """A whole spoken response as the beta tells it."""
    item = spoken(item_id)
    place = at("r1", item_id)
    actions = talk.created("r1")
    actions += talk.hear("response.output_item.added", response_id="r1", output_index=0, item=item)
    created = {**item, "status": "in_progress", "object": "realtime.item"}
    actions += talk.hear(f"{ITEM}.created", previous_item_id=None, item=created)
    actions += talk.hear("response.content_part.added", part={"type": "audio"}, **place)
    actions += talk.hear("response.audio_transcript.delta", delta="one ", **place)
    actions += talk.hear("response.audio.delta", delta="AAAA", **place)
    actions += talk.hear("response.audio_transcript.delta", delta="two", **place)
    actions += talk.hear("response.audio.done", **place)
    actions += talk.hear("response.audio_transcript.done", transcript="one two", **place)
    actions += talk.hear("response.content_part.done", part={"type": "audio", "transcript": "one two"}, **place)
    done = {**item, "status": "completed", "content": [{"type": "audio", "transcript": "one two"}]}
    actions += talk.hear("response.output_item.done", response_id="r1", output_index=0, item=done)
    return actions + talk.done("r1", output=[done])


# -- a client hears the beta -------------------------------------------------------------------------------------------


def test_a_turn_of_the_beta_breaks_no_rule_and_is_whole() -> None:
    talk = flat()
    actions = turn(talk)
    assert rules(actions) == []
    (node,) = talk.client.conversation
    assert (node.text, node.status, node.state) == ("one two", "completed", "completed")
    assert isinstance(node.item, m.MessageItem)
    (part,) = node.item.content
    assert isinstance(part, m.OutputAudio)
    assert (part.type, part.transcript) == ("output_audio", "one two")


def test_the_session_of_the_beta_is_known_in_ga_s_shape() -> None:
    configuration = flat().client.configuration
    assert isinstance(configuration, m.RealtimeSession)
    assert configuration.output_modalities == ["audio"]
    assert configuration.audio == m.AudioConfig(
        input=m.AudioInput(format=m.AudioFormat(type="audio/pcmu")), output=m.AudioOutput(voice="alloy")
    )
    assert flat().client.input_audio.format == AudioFormat("audio/pcmu", 8000)


@pytest.mark.parametrize("view", ["ga", "beta"])
def test_a_program_sees_the_names_of_its_view(view: str) -> None:
    seen = [name for name in delivered(turn(flat(view=view))) if name.endswith(("audio.delta", "created", "added"))]
    names = {
        "ga": (f"{ITEM}.added", "response.output_audio.delta"),
        "beta": (f"{ITEM}.created", "response.audio.delta"),
    }
    assert {"response.created", *names[view]} <= set(seen)
    assert not set(names["beta" if view == "ga" else "ga"]) & set(seen)


def test_a_peer_may_mix_both_dialects_on_one_connection() -> None:
    talk = flat()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    actions = talk.hear("response.audio_transcript.delta", delta="one ", **at("r1", "i1"))
    actions += talk.hear("response.output_audio_transcript.delta", delta="two", **at("r1", "i1"))
    assert rules(actions) == []
    assert talk.client.conversation.items[0].text == "one two"


def test_both_announcements_of_one_item_make_one_item() -> None:
    item = {**said("m1"), "status": "completed"}
    for first, second in (("added", "created"), ("created", "added")):
        talk = flat()
        talk.say(message("m1"))
        actions = talk.hear(f"{ITEM}.{first}", previous_item_id=None, item=item)
        actions += talk.hear(f"{ITEM}.{second}", previous_item_id=None, item=item)
        actions += talk.hear(f"{ITEM}.done", previous_item_id=None, item=item)
        assert rules(actions) == []
        assert [node.id for node in talk.client.conversation] == ["m1"]


def begins(talk: Talk, item: dict[str, Any]) -> None:
    """Response r1 begins, and an item of it as the beta announces it."""
    item = {**item, "status": "in_progress"}
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=item)
    assert rules(talk.hear(f"{ITEM}.created", previous_item_id=None, item=item)) == []


def comes(talk: Talk, item: dict[str, Any]) -> None:
    """A complete item of ours as the beta announces it."""
    talk.say(message(item["id"]))
    item = {**item, "status": "completed"}
    assert rules(talk.hear(f"{ITEM}.created", previous_item_id=None, item=item)) == []


def ends_as_output(talk: Talk, item: dict[str, Any]) -> list[str]:
    item = {**item, "status": "completed"}
    return rules(talk.hear("response.output_item.done", response_id="r1", output_index=0, item=item))


def test_an_output_that_is_announced_in_both_dialects_has_to_end_as_ga_ends_it() -> None:
    talk = flat()
    item = said("i1", role="assistant")
    begins(talk, item)
    again = {**item, "status": "in_progress"}
    assert rules(talk.hear(f"{ITEM}.added", previous_item_id=None, item=again)) == []
    assert talk.client.conversation.items[0].state == "generating"
    assert ends_as_output(talk, item) == ["R-C2"]


def test_a_complete_item_is_announced_by_its_other_name_once() -> None:
    talk = flat()
    comes(talk, said("m1"))
    added = {"previous_item_id": None, "item": {**said("m1"), "status": "completed"}}
    assert rules(talk.hear(f"{ITEM}.added", **added)) == []
    assert talk.client.conversation.items[0].state == "added"
    assert rules(talk.hear(f"{ITEM}.added", **added)) == ["R-C6"]


def test_an_output_of_the_beta_may_end_as_a_member_first() -> None:
    talk = flat()
    begins(talk, said("i1", "", role="assistant"))
    final = {**said("i1", "one two", role="assistant"), "status": "completed"}
    assert rules(talk.hear(f"{ITEM}.done", previous_item_id=None, item=final)) == []
    (node,) = talk.client.conversation
    assert (node.state, node.status, node.text) == ("done", "completed", "one two")
    assert ends_as_output(talk, final) == []
    assert node.state == "completed"


def test_a_complete_item_of_the_beta_may_have_an_end() -> None:
    talk = flat()
    comes(talk, said("m1", "before"))
    final = {**said("m1", "after"), "status": "completed"}
    assert rules(talk.hear(f"{ITEM}.done", previous_item_id=None, item=final)) == []
    (node,) = talk.client.conversation
    assert (node.state, node.text) == ("completed", "after")


def test_the_speech_of_a_user_may_end_before_its_commit() -> None:
    talk = flat()
    item = {"id": "u1", "type": "message", "role": "user", "status": "in_progress", "content": []}
    talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    talk.hear(f"{ITEM}.added", item=item)
    (node,) = talk.client.conversation
    assert node.state == "hearing"
    assert rules(talk.hear(f"{ITEM}.done", previous_item_id=None, item={**item, "status": "completed"})) == []
    assert (node.state, node.status) == ("completed", "completed")


def test_an_announcement_of_the_beta_places_an_item_that_ended_before_it() -> None:
    talk = flat()
    comes(talk, said("m1"))
    talk.say(message("m2"))
    talk.hear(f"{ITEM}.created", previous_item_id="m1", item={**said("m2"), "status": "completed"})
    talk.created("r1")
    item = said("i1", role="assistant")
    assert ends_as_output(talk, item) == ["R-C1"]
    assert [node.id for node in talk.client.conversation] == ["m1", "m2", "i1"]
    actions = talk.hear(f"{ITEM}.created", previous_item_id="m1", item={**item, "status": "completed"})
    assert rules(actions) == ["R-C1"]
    assert [node.id for node in talk.client.conversation] == ["m1", "i1", "m2"]


@pytest.mark.parametrize("state", ["created", "entered"])
def test_an_item_of_the_beta_is_truncated(state: str) -> None:
    talk = flat()
    item = spoken("i1", "one two")
    if state == "created":
        begins(talk, item)
    else:
        talk.hear(f"{ITEM}.created", previous_item_id=None, item={**item, "status": "completed"})
    (node,) = talk.client.conversation
    assert node.state == state
    talk.say(m.ConversationItemTruncate(item_id="i1", content_index=0, audio_end_ms=100), override=["R-C5"])
    assert rules(talk.hear(f"{ITEM}.truncated", item_id="i1", content_index=0, audio_end_ms=100)) == []
    assert talk.client.unanswered == ()
    assert node.cuts[0].audio_end_ms == 100


@pytest.mark.parametrize("state", ["created", "entered"])
def test_an_item_of_the_beta_is_retrieved(state: str) -> None:
    talk = flat()
    item = said("m1", role="assistant" if state == "created" else "user")
    (begins if state == "created" else comes)(talk, item)
    (node,) = talk.client.conversation
    assert node.state == state
    talk.say(m.ConversationItemRetrieve(item_id="m1"))
    whole = {**said("m1", "all of it", item["role"]), "status": node.status}
    assert rules(talk.hear(f"{ITEM}.retrieved", item=whole)) == []
    assert talk.client.unanswered == ()
    assert (node.state, node.text) == (state, "all of it")


def test_an_output_of_the_beta_that_does_not_end_is_over_with_its_response() -> None:
    talk = flat()
    item = said("i1", role="assistant")
    begins(talk, item)
    assert rules(talk.done("r1", "cancelled", output=[{**item, "status": "incomplete"}])) == ["R-C2"]
    (node,) = talk.client.conversation
    assert (node.state, node.status) == ("completed", "incomplete")


def test_an_output_of_the_beta_is_incomplete_when_the_socket_is_lost() -> None:
    talk = flat()
    begins(talk, said("i1", role="assistant"))
    (node,) = talk.client.conversation
    talk.lose_socket()
    assert (node.state, node.status) == ("completed", "incomplete")


def test_a_complete_item_of_the_beta_needs_no_end() -> None:
    talk = flat()
    talk.say(message("m1"))
    actions = talk.hear(f"{ITEM}.created", previous_item_id=None, item={**said("m1"), "status": "completed"})
    assert rules(actions + talk.created("r1")) == []
    assert talk.client.conversation.items[0].status == "completed"
    assert talk.client.unanswered == ()


def test_the_name_that_the_beta_leaves_out_is_that_of_the_call() -> None:
    talk = flat()
    talk.created("r1")
    item = {**call("c1"), "status": "in_progress", "arguments": ""}
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=item)
    talk.hear(f"{ITEM}.created", previous_item_id=None, item=item)
    place = {"response_id": "r1", "item_id": "item_c1", "output_index": 0, "call_id": "c1"}
    actions = talk.hear("response.function_call_arguments.done", arguments="{}", **place)
    assert rules(actions) == []
    (event,) = [action.event for action in of(actions, Deliver)]
    assert isinstance(event, m.ResponseFunctionCallArgumentsDone)
    assert (event.name, event.arguments) == ("f", "{}")


def test_what_breaks_the_beta_too_is_reported() -> None:
    talk = flat()
    actions = talk.hear("session.updated", session={**FLAT, "turn_detection": "loud"})
    assert [(each.rule, each.path) for each in of(actions, Report)] == [
        ("R-S2", ""),
        ("R-E5", "$.session.audio.input.turn_detection"),
    ]


# -- a client speaks the beta ------------------------------------------------------------------------------------------

UPDATE = m.SessionUpdate(
    session=m.RealtimeSession(
        output_modalities=["audio"],
        max_output_tokens=9,
        audio=m.AudioConfig(input=m.AudioInput(turn_detection=None), output=m.AudioOutput(voice="alloy")),
    )
)


def test_a_client_answers_in_the_dialect_that_the_session_showed() -> None:
    talk = flat()
    (update,) = sent(talk.say(UPDATE))
    assert update["session"] == {
        "modalities": ["audio", "text"],
        "max_response_output_tokens": 9,
        "turn_detection": None,
        "voice": "alloy",
    }
    (create,) = sent(talk.say(message(role="assistant")))
    assert create["item"]["content"] == [{"type": "text", "text": "hello"}]
    (ask,) = sent(talk.ask("a", output_modalities=["audio"], max_output_tokens=5))
    assert ask["response"] == {
        "modalities": ["audio", "text"],
        "max_response_output_tokens": 5,
        "metadata": {"antiphon_request": "a"},
    }


def test_a_client_of_a_ga_session_speaks_ga() -> None:
    (update,) = sent(Talk().say(UPDATE))
    assert update["session"]["type"] == "realtime"
    assert update["session"]["output_modalities"] == ["audio"]


@pytest.mark.parametrize(("dialect", "key"), [("beta", "modalities"), ("ga", "output_modalities")])
def test_a_client_may_be_told_what_to_speak(dialect: str, key: str) -> None:
    talk = Talk(begun=False, dialect=dialect)
    talk.client.opened(0)
    for session in (FLAT, {"type": "realtime"}):
        (update,) = sent(talk.say(UPDATE))  # also before the session shows itself
        assert key in update["session"]
        talk.hear("session.created", session=session)


@pytest.mark.parametrize(
    ("endpoint", "dialect"),
    [
        (Endpoint.openai("m", api_key="k"), "ga"),
        (Endpoint.openai("m", api_key="k", beta=True), "beta"),
        (Endpoint.openai("m", api_key="k", beta=True, browser=True), "beta"),
        (Endpoint.azure("contoso", "d", api_key="k"), "ga"),
        (Endpoint.azure("contoso", "d", api_key="k", api_version="2025-04-01-preview"), "beta"),
        (Endpoint.custom("wss://contoso.services.ai.azure.com/voice-live/realtime?api-version=1"), "beta"),
        (Endpoint.custom("ws://localhost/v1/realtime", headers=[("openai-beta", "realtime=v1")]), "beta"),
    ],
)
def test_an_endpoint_tells_what_is_spoken_there(endpoint: Endpoint, dialect: str) -> None:
    assert endpoint.dialect == dialect
    connection = Connection(Role.CLIENT, ConnectionConfig(endpoint=endpoint), now=0, entropy=bytes)
    connection.opened(0)
    assert isinstance(connection.session, ClientSession)
    assert connection.session.dialect == dialect


def test_a_client_that_was_told_its_dialect_does_not_go_by_the_address() -> None:
    config = ConnectionConfig(
        endpoint=Endpoint.openai("m", api_key="k", beta=True), session=SessionConfig(dialect="ga")
    )
    connection = Connection(Role.CLIENT, config, now=0, entropy=bytes)
    connection.opened(0)
    assert isinstance(connection.session, ClientSession)
    assert connection.session.dialect == "ga"


def test_an_unknown_dialect_or_view_is_refused() -> None:
    with pytest.raises(ValueError, match="dialect must be one of auto, ga, beta"):
        SessionConfig(dialect="live")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="view must be one of ga, beta"):
        SessionConfig(view="live")  # type: ignore[arg-type]


# -- a server speaks the beta ------------------------------------------------------------------------------------------


def test_a_server_shows_the_beta_its_session() -> None:
    host = Host(begun=False, dialect="beta")
    (created,) = sent(host.server.opened(0))
    session = created["session"]
    assert session["modalities"] == ["audio", "text"]
    assert (session["input_audio_format"], session["voice"]) == ("pcm16", "alloy")
    assert not {"type", "audio", "output_modalities", "truncation", "prompt", "include"} & set(session)


def test_a_server_of_the_beta_takes_its_keys_and_refuses_those_of_ga() -> None:
    host = Host(dialect="beta")
    (updated,) = sent(host.hear("session.update", session={"modalities": ["text"], "turn_detection": None}))
    assert updated["type"] == "session.updated"
    assert updated["session"]["modalities"] == ["text"]
    assert updated["session"]["turn_detection"] is None
    for key in ("output_modalities", "audio", "type"):
        value = "realtime" if key == "type" else None
        error = refusal(host.hear("session.update", session={key: value}))
        assert (error["code"], error["param"]) == ("unknown_parameter", f"session.{key}")
    error = refusal(host.hear("response.create", response={"output_modalities": ["text"]}))
    assert error["param"] == "response.output_modalities"


def test_a_server_of_the_beta_refuses_in_its_words() -> None:
    host = Host(dialect="beta")
    error = refusal(host.hear("session.update", session={"turn_detection": {"type": "server_vad", "threshold": 2}}))
    assert error["param"] == "session.turn_detection.threshold"
    error = refusal(host.hear("session.update", session={"modalities": ["audio"]}))
    assert (error["code"], error["param"]) == ("invalid_value", "session.modalities")


def test_a_server_of_the_beta_has_a_temperature_and_shows_it() -> None:
    host = Host(begun=False, dialect="beta")
    (created,) = sent(host.server.opened(0))
    assert created["session"]["temperature"] == 0.8
    (asked,) = sent(host.hear("response.create"))
    assert asked["response"]["temperature"] == 0.8
    (asked,) = sent(host.hear("response.create", response={"conversation": "none", "temperature": 1.1}))
    assert asked["response"]["temperature"] == 1.1


def test_a_server_of_ga_has_no_temperature() -> None:
    host = Host(begun=False)
    (created,) = sent(host.server.opened(0))
    (asked,) = sent(host.hear("response.create"))
    assert "temperature" not in created["session"]
    assert "temperature" not in asked["response"]


@pytest.mark.parametrize("key", ["input_audio_format", "output_audio_format"])
def test_a_format_that_the_beta_has_no_name_for_is_a_wrong_value_in_it(key: str) -> None:
    error = refusal(Host(dialect="beta").hear("session.update", session={key: "pcm99"}))
    assert (error["code"], error["param"]) == ("invalid_value", f"session.{key}")
    assert "'g711_ulaw'" in error["message"]


def test_a_format_that_is_no_name_is_of_a_wrong_type_in_the_beta() -> None:
    error = refusal(Host(dialect="beta").hear("session.update", session={"input_audio_format": 5}))
    assert (error["code"], error["param"]) == ("invalid_type", "session.input_audio_format")


def test_content_that_a_role_may_not_have_is_refused_in_the_words_of_the_beta() -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "input_audio", "audio": ""}]}
    assert "'text'" in refusal(Host(dialect="beta").hear("conversation.item.create", item=item))["message"]
    assert "'output_text'" in refusal(Host().hear("conversation.item.create", item=item))["message"]


def test_a_client_goes_by_what_each_session_shows() -> None:
    talk = Talk(begun=False)
    talk.client.start(0)
    talk.client.opened(0)
    talk.hear("session.created", session=FLAT)
    talk.lose_socket()
    talk.tick()
    talk.client.opened(talk.now)
    talk.hear("session.created", session={"type": "realtime", "output_modalities": ["audio"]})
    (update,) = sent(talk.say(UPDATE))
    assert "output_modalities" in update["session"]


def test_a_server_of_ga_refuses_the_keys_of_the_beta() -> None:
    host = Host()
    for key in ("modalities", "voice", "turn_detection"):
        error = refusal(host.hear("session.update", session={"type": "realtime", key: None}))
        assert (error["code"], error["param"]) == ("unknown_parameter", f"session.{key}")
    error = refusal(host.hear("session.update", session={"voice": "alloy"}))
    assert (error["code"], error["param"]) == ("missing_required_parameter", "session.type")


def test_a_server_of_the_beta_tells_one_event_for_an_item() -> None:
    host = Host(dialect="beta")
    actions = host.hear(
        f"{ITEM}.create", item={"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}]}
    )
    assert sent_types(actions) == [f"{ITEM}.created"]
    assert sent(actions)[0]["item"]["content"] == [{"type": "text", "text": "a"}]
    item = host.server.conversation.items[0].item
    assert isinstance(item, m.MessageItem)
    assert [part.type for part in item.content] == ["output_text"]


def test_a_transcription_session_of_the_beta_has_its_own_events() -> None:
    host = Host(begun=False, dialect="beta", session={"type": "transcription"})
    assert sent_types(host.server.opened(0)) == ["transcription_session.created"]
    update = {"input_audio_format": "g711_ulaw", "input_audio_transcription": {"model": "whisper-1"}}
    (updated,) = sent(host.hear("transcription_session.update", session=update))
    assert updated["type"] == "transcription_session.updated"
    assert updated["session"]["input_audio_format"] == "g711_ulaw"
    assert isinstance(host.server.configuration, m.TranscriptionSession)


def test_a_transcription_update_is_not_for_a_session_that_converses() -> None:
    error = refusal(Host(dialect="beta").hear("transcription_session.update", session={}))
    assert error["code"] == "invalid_parameter"


@pytest.mark.parametrize(
    ("choice", "asked", "dialect"),
    [("auto", True, "beta"), ("auto", False, "ga"), ("ga", True, "ga"), ("beta", False, "beta")],
)
def test_a_server_speaks_what_the_handshake_asks_for(choice: str, asked: bool, dialect: str) -> None:
    endpoint = Endpoint.openai("m", api_key="k", base_url="ws://localhost/v1", beta=asked)
    client = Connection(Role.CLIENT, ConnectionConfig(endpoint=endpoint), now=0, entropy=bytes)
    config = ConnectionConfig(session=SessionConfig(dialect=choice))  # type: ignore[arg-type]
    server = Connection(Role.SERVER, config, now=0, entropy=Numbers())
    server.opened(0)
    for action in client.opened(0):
        server.receive_data(action.data, 0)  # type: ignore[union-attr]
    assert isinstance(server.session, ServerSession)
    assert server.session.dialect == dialect


# -- both ends of the beta ---------------------------------------------------------------------------------------------


class Line:
    """A client and a server of the beta dialect, and every message between them."""

    def __init__(self) -> None:
        self.server = ServerSession(Role.SERVER, SessionConfig(dialect="beta"), now=0, entropy=Numbers())
        self.client = ClientSession(Role.CLIENT, SessionConfig(), now=0)
        self.told: list[str] = []
        self.requested: list[str] = []
        self.reports: list[Report] = []
        self.client.opened(0)
        self.from_server(self.server.opened(0))

    def from_server(self, actions: Actions) -> None:
        self._carry(deque((action, self.client) for action in actions))

    def from_client(self, actions: Actions) -> None:
        self._carry(deque((action, self.server) for action in actions))

    def _carry(self, waiting: deque[Any]) -> None:
        while waiting:
            action, to = waiting.popleft()
            if isinstance(action, TransmitMessage):
                self.told.append(json.loads(action.text)["type"])
                back = self.server if to is self.client else self.client
                waiting.extend((each, back) for each in to.receive_message(action.text, 0))
            elif isinstance(action, ResponseRequested):
                self.requested.append(action.response_id)
            elif isinstance(action, Report):
                self.reports.append(action)


def test_both_ends_of_the_beta_understand_each_other() -> None:
    line = Line()
    line.from_client(line.client.send(UPDATE, 0))
    line.from_client(line.client.send(message("m1"), 0))
    line.from_client(line.client.send(m.ResponseCreate(), 0))
    (response_id,) = line.requested
    for content in (
        ItemStarted(response_id=response_id, output_index=0, kind="audio"),
        TextDelta(response_id=response_id, output_index=0, delta="one two"),
        AudioDelta(response_id=response_id, output_index=0, audio=bytes(960)),
        ItemStarted(response_id=response_id, output_index=1, kind="function_call", name="f", call_id="c1"),
        ArgumentsDelta(response_id=response_id, output_index=1, delta="{}"),
        ResponseFinished(response_id=response_id),
    ):
        line.from_server(line.server.generate(content, 0))
    line.from_client(
        line.client.send(m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c1", output="3")), 0)
    )
    assert line.reports == []
    assert "error" not in line.told
    assert not {
        name
        for name in line.told
        if "output_text" in name
        or "output_audio" in name
        or (name.endswith("added") and name.startswith("conversation"))
    }
    ours, theirs = (
        [(node.id, node.text, node.status) for node in end.conversation] for end in (line.client, line.server)
    )
    assert ours == theirs
    assert [text for _, text, _ in ours] == ["hello", "one two", "{}", "3"]
    assert line.client.unanswered == ()
    assert line.client.configuration.max_output_tokens == 9  # type: ignore[union-attr]
    entry = line.client.playback.get(ours[1][0], 0)
    assert isinstance(entry, Entry)
    assert entry.received == 480


# -- vendors -----------------------------------------------------------------------------------------------------------


def test_a_transcript_so_far_replaces_the_one_before_until_it_is_complete() -> None:
    talk = flat()
    place = {"item_id": "u1", "content_index": 0}
    actions = talk.hear(f"{TRANSCRIPTION}.updated", transcript="Hello", **place)
    actions += talk.hear(f"{TRANSCRIPTION}.completed", transcript="Hello, my", status="in_progress", **place)
    actions += talk.hear(f"{TRANSCRIPTION}.completed", transcript="Hello, my name", status="completed", **place)
    assert rules(actions) == []
    assert delivered(actions) == [f"{TRANSCRIPTION}.updated"] * 2 + [f"{TRANSCRIPTION}.completed"]
    assert talk.client.conversation.transcription("u1", 0).text == "Hello, my name"


def test_an_item_of_speech_that_goes_on_is_completed_by_its_commit() -> None:
    talk = flat()
    item = {
        "id": "u1",
        "type": "message",
        "role": "user",
        "status": "in_progress",
        "content": [{"type": "input_audio", "transcript": ""}],
    }
    actions = talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    actions += talk.hear(f"{ITEM}.added", item=item)
    assert talk.client.conversation.items[0].status == "in_progress"
    actions += talk.hear("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=9)
    actions += talk.hear("input_audio_buffer.committed", item_id="u1")
    assert rules(actions) == []
    assert talk.client.conversation.items[0].status == "completed"


def test_a_barge_in_without_an_id_is_heard_all_the_same() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 1000)
    talk.listen("i1", 100)
    actions = talk.hear("input_audio_buffer.speech_started", client_timestamp=5)
    assert rules(actions) == []
    assert [action.item_id for action in actions if type(action).__name__ == "StopAudio"] == ["i1"]
    actions = talk.hear("input_audio_buffer.speech_stopped")
    actions += talk.hear("input_audio_buffer.committed", item_id="u1")
    assert rules(actions) == []


def test_a_delta_that_does_not_say_whose_it_is_continues_what_is_being_said() -> None:
    talk = flat()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    actions = talk.hear("response.audio_transcript.delta", delta="one ", item_id="i1")  # StepFun
    actions += talk.hear("response.audio_transcript.delta", delta="two", response_id="r1")  # GLM
    assert rules(actions) == []
    assert talk.client.conversation.items[0].text == "one two"


def test_a_delta_of_nothing_at_all_stays_malformed() -> None:
    actions = flat().hear("response.audio_transcript.delta", delta="one")
    assert rules(actions) == ["R-E5"]
    (event,) = [action.event for action in of(actions, Deliver)]
    assert isinstance(event, m.Malformed)


def test_a_response_that_is_called_cancelled_is_over() -> None:
    talk = flat()
    talk.ask("a")
    talk.created("r1", request="a")
    actions = talk.hear("response.cancelled", response_id="r1")
    assert rules(actions) == []
    assert outcomes(actions)["a"].status == "cancelled"  # type: ignore[union-attr]
    assert delivered(actions) == ["response.done"]


def test_an_end_without_its_member_s_end_is_a_habit_of_the_vendor_that_marks_it() -> None:
    for mark, told in (({"previous_item_id": None}, []), ({}, ["R-C2"])):
        talk = flat()
        talk.created("r1")
        talk.generates("r1", said("i1", role="assistant"))
        done = {**said("i1", role="assistant"), "status": "completed"}
        actions = talk.hear("response.output_item.done", response_id="r1", output_index=0, item=done, **mark)
        assert rules(actions) == told
        assert talk.client.conversation.items[0].status == "completed"


def test_a_mark_is_none_where_the_event_has_it_by_right() -> None:
    talk = flat()
    talk.say(message("m1"))
    talk.say(message("m2"))
    talk.hear(f"{ITEM}.added", previous_item_id=None, item={**said("m1"), "status": "completed"})
    actions = talk.hear(f"{ITEM}.added", previous_item_id="m1", item={**said("m2"), "status": "completed"})
    assert rules(actions) == ["R-C3"]


def test_a_vendor_s_word_for_no_predecessor_is_none() -> None:
    talk = flat()
    talk.say(message("m1"))
    actions = talk.hear(f"{ITEM}.created", previous_item_id="0", item={**said("m1"), "status": "completed"})
    assert rules(actions) == []


def test_the_output_of_a_call_may_name_it_however_long_its_id_is() -> None:
    talk = flat()
    call_id = "call-" + "a" * 40
    talk.calls("r1", call_id)
    (create,) = sent(talk.outputs(call_id))
    assert create["item"]["call_id"] == call_id


def test_a_deletion_that_names_no_item_is_that_of_the_oldest_command() -> None:
    talk = flat()
    for item_id in ("m1", "m2"):
        talk.say(message(item_id))
        talk.hear(f"{ITEM}.created", previous_item_id=None, item={**said(item_id), "status": "completed"})
    talk.say(m.ConversationItemDelete(item_id="m2"))
    talk.say(m.ConversationItemDelete(item_id="m1"))
    assert rules(talk.hear(f"{ITEM}.deleted", item_id="")) == []
    assert [node.id for node in talk.client.conversation] == ["m1"]
    assert rules(talk.hear(f"{ITEM}.deleted", item_id="")) == []
    assert rules(talk.hear(f"{ITEM}.deleted", item_id="")) == ["R-C7"]


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_an_update_of_a_transcription_is_called_what_the_dialect_calls_it(dialect: str) -> None:
    talk = Talk(dialect=dialect, session={"type": "transcription"})
    session = m.TranscriptionSession(audio=m.AudioConfig(input=m.AudioInput(turn_detection=None)))
    for command in (m.SessionUpdate(session=session), m.TranscriptionSessionUpdate(session=session)):
        (update,) = sent(talk.say(command))
        assert update["type"] == {"ga": "session.update", "beta": "transcription_session.update"}[dialect]
        assert ("type" in update["session"]) == (dialect == "ga")
        assert "object" not in update["session"]  # a key of the server's, and refused from anybody else
        told = {"ga": "session.updated", "beta": "transcription_session.updated"}[dialect]
        assert rules(talk.hear(told, session=update["session"])) == []
    assert talk.client.unanswered == ()


def test_a_text_that_cannot_be_read_shows_no_habit() -> None:
    (habit, *_) = [habit for habit in HABITS if not habit.types]
    event = m.ConversationCreated(conversation=m.Conversation(id="c"))
    shown = json.dumps({"type": event.type, habit.mark: 1})
    assert is_habit(habit.rule, event, shown)
    assert not is_habit(habit.rule, event, shown[:-1])
    assert not is_habit(habit.rule, event, shown[:-1] + ', "deep": ' + "[" * 100_000)
