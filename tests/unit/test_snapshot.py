"""`antiphon.engine.snapshot`: a session as a value, of either role, and what restores it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from msgspec import Struct, structs

from antiphon import (
    ClientSession,
    Fault,
    InputCommitted,
    KnownRateLimit,
    Limits,
    McpListingStarted,
    ServerSession,
    Session,
    SessionConfig,
    Snapshot,
    SnapshotError,
    Timer,
    TranscriptDelta,
)
from antiphon import messages as m
from antiphon.engine.credentials import command_without_credentials, without_credentials
from antiphon.engine.snapshot import VERSION, GapEntry
from antiphon.machines import DIGEST
from unit.engine_helpers import MS, Talk, at, call, message, said, spoken, stops
from unit.engine_helpers import sent_types as sent_by_client
from unit.server_helpers import Host, of, refusal, requested, sent, sent_types

_entropy = random.Random(1).randbytes


def _restore(snapshot: Snapshot, cls: type[Session] = Session) -> Session:
    return cls.restore(snapshot, SessionConfig(), now=0, entropy=_entropy)


def _client() -> Snapshot:
    return Talk().client.snapshot(0)


def _server() -> Snapshot:
    return Host().snapshot()


# -- the value ---------------------------------------------------------------------------------------------------------


def _speaking_client() -> Snapshot:
    talk = Talk()
    talk.speaks("r", "i", 100)
    return talk.client.snapshot(0)


def _speaking_server() -> Snapshot:
    host = Host()
    host.sounds_in(host.asks(), 100)
    return host.snapshot()


@pytest.mark.parametrize("make", [_client, _server, _speaking_client, _speaking_server])
def test_a_snapshot_survives_its_text(make: Callable[[], Snapshot]) -> None:
    snapshot = make()
    assert (snapshot.version, snapshot.tables) == (VERSION, DIGEST)
    assert Snapshot.decode(snapshot.encode()) == snapshot


def test_each_role_has_its_own_half() -> None:
    client, server = Talk().client.snapshot(0), Host().snapshot()
    assert (client.role, client.client is None, client.server is None) == ("client", False, True)
    assert (server.role, server.client is None, server.server is None) == ("server", True, False)


def test_taking_a_snapshot_changes_nothing() -> None:
    host, talk = Host(), Talk()
    host.sounds_in(host.asks(), 100)
    talk.speaks("r", "i", 100)
    assert host.snapshot() == host.snapshot()
    assert talk.client.snapshot(0) == talk.client.snapshot(0)


def test_a_snapshot_does_not_change_with_its_session() -> None:
    host = Host()
    host.speaks(100)
    before = host.snapshot()
    text = before.encode()
    host.update(audio={"output": {"speed": 1.5}}, tools=[{"type": "function", "name": "f"}])
    host.speaks(100)
    assert before.encode() == text


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"version": 1}', b"[" * 100_000])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="not a snapshot"):
        Snapshot.decode(data)


def test_a_snapshot_that_contradicts_itself_is_refused() -> None:
    host = Host()
    host.hear("conversation.item.create", item={"type": "message", "role": "user", "content": []})
    data = json.loads(host.snapshot().encode())
    for place in data["server"]["conversation"]["places"]:
        del place["item"]
    stored = Snapshot.decode(json.dumps(data).encode())
    with pytest.raises(SnapshotError, match="contradicts itself"):
        Session.restore(stored, host.config, now=0, entropy=host.entropy)


def test_a_snapshot_with_more_keys_is_of_another_build() -> None:
    data = json.loads(Host().snapshot().encode())
    with pytest.raises(SnapshotError, match="unknown field"):
        Snapshot.decode(json.dumps({**data, "more": 1}).encode())


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [_client, _server])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": VERSION + 1}, "version"),
        ({"tables": "0" * 16}, "other tables"),
        ({"role": "proxy"}, "neither role"),
        ({"client": None, "server": None}, "without its .* half"),
    ],
)
def test_what_this_build_cannot_restore_is_refused(
    make: Callable[[], Snapshot], change: dict[str, Any], why: str
) -> None:
    with pytest.raises(SnapshotError, match=why):
        _restore(structs.replace(make(), **change))


def test_a_session_of_one_role_does_not_restore_the_other() -> None:
    with pytest.raises(SnapshotError, match="of a server, not of a client"):
        _restore(_server(), ClientSession)
    with pytest.raises(SnapshotError, match="of a client, not of a server"):
        _restore(_client(), ServerSession)


def test_either_role_is_restored_by_what_it_is() -> None:
    assert isinstance(_restore(_client()), ClientSession)
    assert isinstance(_restore(_server()), ServerSession)
    assert isinstance(_restore(_client(), ClientSession), ClientSession)
    assert isinstance(_restore(_server(), ServerSession), ServerSession)


def test_a_waiting_command_that_is_none_is_refused() -> None:
    snapshot = _client()
    assert snapshot.client is not None
    for text in ('{"type": "session.created"}', '{"type": "x"}', "[]", '{"type": "conversation.item.delete"}'):
        client = structs.replace(snapshot.client, gap=[GapEntry(text, False, None)])
        with pytest.raises(SnapshotError, match="no client event"):
            _restore(structs.replace(snapshot, client=client))


def test_a_place_of_the_gap_in_which_nothing_waits_is_refused() -> None:
    snapshot = _client()
    assert snapshot.client is not None
    client = structs.replace(snapshot.client, gap=[GapEntry(None, False, None)])
    with pytest.raises(SnapshotError, match="neither a command nor audio"):
        _restore(structs.replace(snapshot, client=client))


def test_an_unanswered_command_that_is_none_is_refused() -> None:
    snapshot = _client()
    assert snapshot.client is not None
    renewal = structs.replace(snapshot.client.renewal, repeated=['{"type": "session.created"}'])
    with pytest.raises(SnapshotError, match="an unanswered command of the snapshot is no client event"):
        _restore(structs.replace(snapshot, client=structs.replace(snapshot.client, renewal=renewal)))


# -- what it holds, and shows ------------------------------------------------------------------------------------------


def test_no_audio_of_the_server_is_in_a_snapshot_unless_it_is_retained() -> None:
    for retain in (False, True):
        host = Host(retain_input_audio=retain)
        host.hear("input_audio_buffer.append", audio="c2VjcmV0" * 100)
        assert (b"c2VjcmV0" in host.snapshot().encode()) is retain


def test_a_repr_shows_no_audio() -> None:
    talk = Talk(begun=False)
    talk.client.append_audio(b"SECRET", 0)
    talk.say(m.InputAudioBufferAppend(audio="U0VDUkVU"))
    shown = repr(talk.client.snapshot(0))
    assert "SECRET" not in shown
    assert "U0VDUkVU" not in shown
    assert "GapEntry(event=None, forced=False, audio=<6 bytes>)" in shown
    assert "audio=None)" in shown


_TOOL = m.McpTool(server_label="s", server_url="https://s.example", authorization="CANARY", headers={"X-Key": "CANARY"})
_SPOKEN = m.MessageItem(role="user", content=[m.InputAudio(audio="U0VDUkVU")])


def _asks(**params: Any) -> m.ResponseCreate:
    return m.ResponseCreate(event_id="ask", response=m.ResponseCreateParams(**params))


@pytest.mark.parametrize("begun", [False, True], ids=["that waits", "that is unanswered"])
@pytest.mark.parametrize(
    "command",
    [
        _asks(tools=[_TOOL], conversation="none", input=[_SPOKEN]),
        m.SessionUpdate(session=m.RealtimeSession(tools=[_TOOL])),
        m.ConversationItemCreate(item=_SPOKEN),
    ],
    ids=lambda command: command.type,
)
def test_a_command_keeps_no_key_and_shows_no_audio(command: m.ClientEvent, begun: bool) -> None:
    talk = Talk(begun=begun)
    talk.say(command)
    snapshot = talk.client.snapshot(0)
    assert b"CANARY" not in snapshot.encode()
    assert "U0VDUkVU" not in repr(snapshot)
    assert _restore(snapshot).snapshot(0) == snapshot


def test_a_server_keeps_no_key_and_no_audio_of_a_request() -> None:
    host = Host()
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://s.example", "authorization": "CANARY"}
    spoken = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "U0VDUkVU"}]}
    host.update(tools=[{**tool, "server_label": "of_the_session"}])
    host.asks()
    host.asks(conversation="none", tools=[tool], input=[spoken])
    assert len(host.server.responses) == 2
    stored = host.snapshot().encode()
    assert b"CANARY" not in stored
    assert b"U0VDUkVU" not in stored


def test_a_request_with_an_item_of_an_unknown_type_comes_back() -> None:
    talk = Talk()
    talk.say(_asks(conversation="none", input=[m.UnknownItem.of({"type": "hologram", "id": "x"})]))
    snapshot = talk.client.snapshot(0)
    assert _restore(snapshot).snapshot(0) == snapshot


def test_times_are_what_is_left_of_them() -> None:
    talk = Talk()
    talk.ask("a")
    assert talk.client.deadline is not None
    later = Session.restore(talk.client.snapshot(1_000), talk.config, now=50_000)
    assert later.next_timer == (Timer.REQUEST, talk.client.deadline + 49_000)


# -- all of it ---------------------------------------------------------------------------------------------------------


def _turn() -> Talk:
    """A client in a session of 8 kHz, in the middle of a spoken turn."""
    law = {"format": {"type": "audio/pcmu"}}
    talk = Talk(session={"audio": {"input": {**law, "turn_detection": {"type": "server_vad"}}, "output": law}})
    talk.client.append_audio(bytes(800), 0)
    talk.hear("input_audio_buffer.speech_started", item_id="v", audio_start_ms=0)
    talk.hear("input_audio_buffer.speech_stopped", item_id="v", audio_end_ms=90)
    return talk


def _answer() -> Talk:
    """A client whose server has spoken, called a function, works at another, and goes on."""
    talk = Talk()
    talk.calls("r", "call_mine")
    talk.speaks("s", "i", 500)
    item = {**call("other"), "status": "in_progress"}
    talk.hear("response.output_item.added", response_id="s", output_index=1, item=item)
    talk.hear("response.mcp_call.in_progress", item_id="w", output_index=2)
    request = {"type": "mcp_approval_request", "server_label": "s", "name": "f", "arguments": "{}"}
    for name in ("q1", "q2"):
        talk.adds({"id": name, **request})
    talk.adds({"id": "a1", "type": "mcp_approval_response", "approval_request_id": "q1", "approve": True})
    talk.hear("output_audio_buffer.started", response_id="s")
    talk.hear("rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 9}])
    talk.ask("later")
    talk.say(m.InputAudioBufferClear())
    return talk


def _clocked() -> Talk:
    """A client whose player reports nothing, in the middle of an answer in a format of its own."""
    talk = Talk(playback="clock")
    talk.created("r", audio={"output": {"format": {"type": "audio/pcmu"}}})
    talk.speaks("r", "i", 500)
    talk.now = 100 * MS
    return talk


def _silence() -> Talk:
    """A client whose user said nothing until a timeout, the commit of which is under way; a field was lost before."""
    talk = Talk()
    talk.hear("rate_limits.updated", rate_limits=5)
    talk.hear("input_audio_buffer.timeout_triggered", item_id="t", audio_start_ms=0, audio_end_ms=100)
    return talk


def _commit() -> Talk:
    """A client whose committed audio is about to be an item."""
    talk = _silence()
    talk.hear("input_audio_buffer.committed", item_id="t", previous_item_id=None)
    return talk


def _overdue() -> Talk:
    """A client that has seen an item added, and not yet done."""
    talk = _commit()
    item = {"id": "t", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
    talk.hear("conversation.item.added", previous_item_id=None, item={**item, "status": "completed"})
    return talk


def _waiting() -> Talk:
    """A client without a socket, that has something to say."""
    talk = Talk(begun=False)
    talk.client.start(0)
    talk.ask("a")
    return talk


def _expired() -> Talk:
    """A client whose session is over."""
    talk = Talk()
    talk.error("session_expired")
    talk.lose_socket()
    return talk


def _translating() -> Talk:
    """A client of a translation whose audio has changed its rate."""
    talk = Talk(session={"type": "translation"})
    talk.hear("session.output_audio.delta", delta="AAAA")
    talk.hear("session.output_audio.delta", delta="AAAA", sample_rate=16000)
    talk.lose_socket()
    return talk


def _host() -> Host:
    """A server with a bit of everything, in the middle of speech."""
    host = Host(retain_input_audio=True, retain_output_audio=True)
    host.server.send(m.RateLimitsUpdated(rate_limits=[m.RateLimit(name="tokens", limit=7)]), host.now)
    host.update(instructions="be brief", audio={"input": {"turn_detection": {"interrupt_response": False}}})
    host.called("call_mine")
    host.speaks(300)
    response_id = host.asks()
    host.sounds_in(response_id, 100)
    host.append(500)
    host.speech_started(100)
    return host


def _cleared() -> Host:
    """A server whose client cleared the buffer under speech."""
    host = Host()
    host.speech_started(0)
    host.hear("input_audio_buffer.clear")
    return host


def _beta() -> Talk:
    """A client of a server that speaks the beta dialect."""
    return Talk(dialect="beta")


def _beta_host() -> Host:
    """A server that speaks it."""
    return Host(dialect="beta")


def _delivering() -> Host:
    """A server that delivers its audio itself."""
    host = Host(transport="webrtc")
    host.server.audio_played(host.speaks(100), 0, 24, 0)
    return host


def _remote() -> Host:
    """A server of which one MCP server is asked for its tools."""
    host = Host()
    host.think(McpListingStarted("docs"))
    return host


def _renewing() -> Talk:
    """A client between two sessions, with wishes, a history, a plan, and a command that nobody answered."""
    talk = Talk(begun=False)
    talk.client.start(0)
    talk.client.opened(0, unix_ns=0)
    talk.hear("session.created", session={"type": "realtime", "expires_at": 3600})
    talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be kind")))
    talk.hear("session.updated", session={"type": "realtime", "instructions": "be kind"})
    talk.adds(said("u"))
    talk.say(message("v"))
    talk.lose_socket()
    return talk


def _replaying() -> Talk:
    """The same client, whose history is on its way to the next session."""
    talk = _renewing()
    talk.tick()
    talk.client.opened(talk.now, unix_ns=talk.now)
    return talk


def _joined() -> Talk:
    """A client on a sideband, which came in the middle of a response."""
    talk = Talk(begun=False, transport="sideband")
    talk.client.opened(0)
    talk.hear("response.output_text.delta", delta="a", **at("r", "i"))
    return talk


def _closing() -> Talk:
    """A client whose application has closed."""
    talk = Talk()
    talk.client.close(0)
    return talk


CLIENTS = [
    _renewing, _replaying, _closing, _turn, _answer, _clocked, _silence, _commit, _overdue, _waiting, _expired, _beta,
    _translating, _joined,
]  # fmt: skip
HOSTS = [_host, _cleared, _beta_host, _delivering, _remote]


@pytest.mark.parametrize("make", [*CLIENTS, *HOSTS])
def test_what_was_restored_is_what_was_stored(make: Callable[[], Talk | Host]) -> None:
    make().restored()  # compares


def _places(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Wherever a snapshot's JSON says where something stands."""
    if isinstance(value, list):
        for each in value:
            yield from _places(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in ("state", "place", "detector"):
                yield value, key
            elif key == "deliveries" and isinstance(each, dict):
                yield from ((each, name) for name in each)
            elif key != "data":  # of an item: the peer's own words
                yield from _places(each)


@pytest.mark.parametrize("make", [*CLIENTS, *HOSTS])
def test_a_snapshot_in_which_something_stands_nowhere_is_refused(make: Callable[[], Talk | Host]) -> None:
    made = make()
    snapshot = made.client.snapshot(made.now) if isinstance(made, Talk) else made.snapshot()
    data = json.loads(snapshot.encode())
    for place, key in _places(data):
        place[key], before = "nowhere", place[key]
        with pytest.raises(SnapshotError, match="never is"):
            _restore(Snapshot.decode(json.dumps(data).encode()))
        place[key] = before
    _restore(Snapshot.decode(json.dumps(data).encode()))


def test_nothing_that_a_snapshot_holds_is_left_out_above() -> None:
    """Every field is another one than that of a fresh session somewhere, so that none can be forgotten unnoticed."""
    fresh_client = Talk(begun=False).client.snapshot(0)
    fresh_server = Host(begun=False).snapshot()
    clients = [make().client.snapshot(0) for make in CLIENTS]
    servers = [make().snapshot() for make in HOSTS]
    assert _same_everywhere(fresh_client.common, [each.common for each in clients]) == []
    assert _same_everywhere(fresh_client.client, [each.client for each in clients]) == []
    assert _same_everywhere(fresh_server.server, [each.server for each in servers]) == []


def _same_everywhere(fresh: Struct | None, others: Sequence[Struct | None]) -> list[str]:
    assert fresh is not None
    return [
        name for name in fresh.__struct_fields__ if all(getattr(each, name) == getattr(fresh, name) for each in others)
    ]


# -- a restored client -------------------------------------------------------------------------------------------------


def test_a_client_goes_on_in_the_middle_of_everything() -> None:
    talk = Talk(session={"audio": {"output": {"voice": "alloy"}}})
    talk.say(message("u"))
    talk.adds(said("u"))
    talk.ask("first")
    talk.created("r", request="first")
    talk.speaks("r", "i", 500, previous="u")
    talk.ask("second", instructions="later")
    talk.say(m.InputAudioBufferClear())
    talk.hear("input_audio_buffer.speech_started", item_id="v", audio_start_ms=0)
    talk.hear("rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 9}])
    talk.hear("response.mcp_call.in_progress", item_id="w", output_index=0)
    talk.hear("vendor.event")
    again = talk.restored()
    assert again.client.rate_limits == (KnownRateLimit("tokens", limit=9),)
    ends_of: list[Callable[[Talk], object]] = [
        lambda each: each.stopped("i", 200),
        lambda each: each.hear("input_audio_buffer.cleared"),
        lambda each: each.stops_speaking("r", "i"),
        lambda each: each.done("r", "cancelled"),
        lambda each: each.hear("conversation.item.truncated", item_id="i", content_index=0, audio_end_ms=200),
        lambda each: each.tick(),
        lambda each: each.lose_socket(),
    ]
    for ends in ends_of:
        assert ends(talk) == ends(again)
        assert talk.client.snapshot(talk.now) == again.client.snapshot(again.now)
    assert again.client.closed is not None


def test_parts_of_an_item_that_name_two_responses_end_in_the_same_order() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.hear("response.output_text.done", text="a", **at("r0", "i1", 1))
    talk.hear("response.output_text.delta", delta="b", **at("r1", "i1", 0))
    again = talk.restored()
    item = {"response_id": "r1", "output_index": 0, "item": spoken("i1"), "event_id": "e"}
    assert talk.hear("response.output_item.done", **item) == again.hear("response.output_item.done", **item)


def test_a_restored_client_reports_a_kind_of_deviation_once() -> None:
    talk = Talk()
    assert len(talk.hear("session.updated", session={"type": "realtime"})) == 2
    again = talk.restored()
    assert len(again.hear("session.updated", session={"type": "realtime"})) == 1
    assert again.client.reports == {("R-S2", "session.updated"): 2}


def test_a_restored_client_goes_on_numbering_its_ids() -> None:
    talk = Talk()
    talk.say(m.InputAudioBufferClear())
    again = talk.restored()
    assert talk.say(m.InputAudioBufferClear()) == again.say(m.InputAudioBufferClear())


def test_what_waits_for_a_socket_waits_on() -> None:
    talk = Talk(begun=False)
    talk.client.append_audio(bytes(4800), 0)
    talk.ask("a", override={"R-Q1"})
    talk.say(m.ConversationItemCreate(item=m.UnknownItem.of({"type": "web_search", "id": "w"})))
    again = talk.restored()
    assert again.client.opened(0) == talk.client.opened(0)
    assert sent_by_client(talk.say(m.InputAudioBufferCommit())) == ["input_audio_buffer.commit"]
    assert sent_by_client(again.say(m.InputAudioBufferCommit())) == ["input_audio_buffer.commit"]


def test_output_that_is_no_member_yet_is_remembered_with_its_response() -> None:
    talk = Talk()
    talk.created("r")
    item = {**call("c"), "status": "in_progress"}
    talk.hear("response.output_item.added", response_id="r", output_index=0, item=item)
    again = talk.restored()
    added = {"previous_item_id": None, "item": item}
    assert talk.hear("conversation.item.added", **added) == again.hear("conversation.item.added", **added)
    assert again.client.snapshot(0) == talk.client.snapshot(0)


def test_how_the_socket_is_ending_is_remembered() -> None:
    talk = Talk()
    talk.client.receive_message(b"\xff", 0)
    again = talk.restored()
    assert again.lose_socket() == talk.lose_socket()
    closed = again.client.closed
    assert closed is not None
    assert closed.fault == Fault("protocol", "a text message that is not UTF-8", "R-E2")


def test_a_closed_session_stays_closed() -> None:
    talk = Talk()
    talk.lose_socket()
    again = talk.restored()
    assert again.client.closed == talk.client.closed
    assert again.client.close(0) == ()


def test_a_fatal_error_is_still_the_reason_of_the_end() -> None:
    talk = Talk()
    talk.error("session_expired")
    again = talk.restored()
    assert again.lose_socket() == talk.lose_socket()
    closed = again.client.closed
    assert closed is not None
    assert closed.fault is not None
    assert closed.fault.code == "session_expired"


def test_calls_tokens_and_the_manner_of_turns_are_remembered() -> None:
    talk = Talk(session={"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}})
    talk.calls("r", "call_mine")
    talk.created("s")
    talk.done("s", usage={"total_tokens": 7, "input_tokens": 3, "output_tokens": 4})
    again = talk.restored()
    assert again.client.usage == talk.client.usage
    assert again.client.usage.total_tokens == 7
    assert again.outputs("call_mine") == talk.outputs("call_mine")
    for each in (talk, again):
        each.speaks("t", "i", 500)
        assert not stops(each.hear("input_audio_buffer.speech_started", item_id="v", audio_start_ms=0))


# -- a restored server -------------------------------------------------------------------------------------------------


def test_a_server_goes_on_in_the_middle_of_everything() -> None:
    host = Host(retain_input_audio=True)
    host.update(instructions="be brief", audio={"input": {"turn_detection": {"interrupt_response": False}}})
    host.called("call_mine")
    spoken = host.speaks(300)
    first = host.asks(metadata={"topic": "birds"})
    host.sounds_in(first, 100, "one two")
    host.begins(first, "function_call", 1)
    host.calls(first, '{"a"', 1)
    host.begins(first, "text", 2)
    host.ends(first, 2)
    aside = host.asks(conversation="none", input=[], output_modalities=["text"])
    host.begins(aside, "text")
    host.append(500)
    host.speech_started(100)
    again = host.restored()
    output = {"type": "function_call_output", "call_id": "call_mine", "output": "12"}
    steps: list[Callable[[Host], object]] = [
        lambda each: each.calls(first, ": 1}", 1),
        lambda each: each.says(first, " three", 0),
        lambda each: each.sounds(first, 50, 0),
        lambda each: each.says(aside, "aside"),
        lambda each: each.hear("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=100),
        lambda each: each.speech_stopped(400),
        lambda each: each.hear("conversation.item.create", item=output),
        lambda each: each.update(audio={"output": {"voice": "marin"}}),
        lambda each: each.finishes(first),
        lambda each: each.hear("response.cancel", response_id=aside),
        lambda each: each.hear("response.create"),
        lambda each: each.server.receive_eof(0, 1000),
    ]
    for goes_on in steps:
        assert goes_on(host) == goes_on(again)
        assert host.snapshot() == again.snapshot()


def test_a_restored_server_has_its_retained_audio() -> None:
    host = Host(retain_input_audio=True)
    host.append(200)
    (committed,) = of(host.restored().hear("input_audio_buffer.commit"), InputCommitted)
    assert committed.audio == bytes(200 * 48)


def test_a_restored_server_has_the_formats_of_its_session() -> None:
    host = Host()
    host.update(audio={"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}})
    again = host.restored().server
    assert (again.input_audio_buffer.format, again.output_format) == (
        host.server.input_audio_buffer.format,
        host.server.output_format,
    )
    assert again.configuration == host.server.configuration


def test_a_restored_server_forgives_the_end_of_speech_that_was_cleared() -> None:
    host = Host()
    host.speech_started(0)
    host.hear("input_audio_buffer.clear")
    assert host.restored().speech_stopped(100) == ()


def test_a_restored_server_goes_on_with_a_transcription() -> None:
    host = Host()
    host.append(100)
    (committed,) = of(host.hear("input_audio_buffer.commit"), InputCommitted)
    host.server.transcribed(committed.item_id, 0, TranscriptDelta("hel"), 0)
    again = host.restored().server
    again.transcribed(committed.item_id, 0, TranscriptDelta("lo"), 0)
    node = again.conversation.get(committed.item_id)
    assert node is not None
    assert node.text == "hello"


def test_tools_of_unknown_types_do_not_prevent_a_restoring() -> None:
    host = Host()
    host.update(tools=[{"type": "web_search"}])
    asked = host.hear("response.create", response={"tools": [{"type": "web_reader", "id": "w", "hits": [1]}]})
    again = host.restored()
    response_id = requested(asked).response_id
    assert again.finishes(response_id) == host.finishes(response_id)


def test_finished_responses_are_still_known() -> None:
    host = Host(limits=Limits(response_history=1))
    first = host.asks()
    host.finishes(first)
    again = host.restored()
    assert again.says(first, "late") == ()
    second = again.asks()
    again.finishes(second)
    assert list(again.server.responses) == [second]


def test_a_cancel_of_what_was_restored_finds_it() -> None:
    host = Host()
    host.asks()
    again = host.restored()
    assert sent_types(again.hear("response.cancel")) == ["response.done"]
    assert refusal(again.hear("response.cancel"))["code"] == "response_cancel_not_active"


def test_a_server_that_has_no_socket_yet_is_restored_to_wait_for_it() -> None:
    host = Host(begun=False)
    again = host.restored()
    assert sent(again.server.opened(0)) == sent(host.server.opened(0))


def test_what_authorises_an_mcp_tool_is_not_stored() -> None:
    tool = {"type": "mcp", "server_label": "s", "authorization": "Bearer secret", "headers": {"X-Key": "secret"}}
    session = {"type": "realtime", "tools": [tool, "odd"], "client_secret": {"value": "ek_secret"}}
    assert without_credentials(session) == {"type": "realtime", "tools": [{"type": "mcp", "server_label": "s"}, "odd"]}
    assert without_credentials({"type": "realtime"}) == {"type": "realtime"}


def test_a_command_without_credentials_is_the_very_same_text() -> None:
    schema = (
        '{"type":"session.update","session":{"tools":[{"type":"function","parameters":{"properties":{"headers":{}}}}]}}'
    )
    for text in ('{"type":"response.create"}', schema):
        assert command_without_credentials(text) is text
