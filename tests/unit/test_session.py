"""A session from outside: roles, time, refusals, reports, methods as data. What events mean is tested elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest

from antiphon import (
    Actions,
    ArbiterPolicy,
    ClientSession,
    Closed,
    CloseTransport,
    Connected,
    Deliver,
    Disconnected,
    Durations,
    Fault,
    ItemFinished,
    Limits,
    LocalProtocolError,
    OpenTransport,
    Report,
    RequestSettled,
    Role,
    ServerSession,
    Session,
    SessionConfig,
    SnapshotError,
    TimedOut,
    Timer,
    TranscriptDelta,
    TransmitMessage,
    inputs,
)
from antiphon import messages as m
from antiphon.engine.session import session_of, timed_out

CREATED = json.dumps({"type": "session.created", "event_id": "e", "session": {"type": "realtime"}})
NOT_JSON = "{"


def a_client(config: SessionConfig | None = None, *, now: int = 0) -> ClientSession:
    client = Session(Role.CLIENT, config or SessionConfig(), now=now)
    client.opened(now)
    return client


def a_server(config: SessionConfig | None = None) -> ServerSession:
    server = Session(Role.SERVER, config or SessionConfig(), now=0, entropy=Random(1).randbytes)
    server.opened(0)
    return server


def a_closed_client() -> ClientSession:
    client = a_client()
    client.receive_eof(0, 1000)
    return client


def refusal(session: Session, call: Callable[[], object]) -> LocalProtocolError:
    """The error of ``call``, which changed nothing."""
    before = session.snapshot(session.now)
    with pytest.raises(LocalProtocolError) as caught:
        call()
    assert session.snapshot(session.now) == before
    return caught.value


class TestRole:
    def test_the_role_decides_which_class_one_gets(self) -> None:
        assert type(Session(Role.CLIENT, SessionConfig(), now=0)) is ClientSession
        assert type(Session(Role.SERVER, SessionConfig(), now=0, entropy=bytes)) is ServerSession

    def test_a_role_that_is_known_at_run_time_only_gives_the_same(self) -> None:
        for role, kind in ((Role.CLIENT, ClientSession), (Role.SERVER, ServerSession)):
            assert type(session_of(role, SessionConfig(), now=0, entropy=bytes)) is kind

    def test_each_session_knows_its_role(self) -> None:
        assert (a_client().role, a_server().role) == (Role.CLIENT, Role.SERVER)

    def test_a_class_of_one_role_is_not_made_for_the_other(self) -> None:
        with pytest.raises(TypeError, match="ClientSession is not for a server"):
            ClientSession(Role.SERVER, SessionConfig(), now=0, entropy=bytes)

    def test_a_subclass_is_made_and_restored_as_itself(self) -> None:
        class Loud(ClientSession):
            pass

        loud = Loud(Role.CLIENT, SessionConfig(), now=0)
        assert type(loud) is Loud
        assert loud.start(0) == (OpenTransport(1, 1),)
        assert type(Loud.restore(loud.snapshot(0), SessionConfig(), now=0)) is Loud
        assert type(Session(Role.CLIENT, SessionConfig(), now=0)) is ClientSession

    def test_a_server_needs_entropy(self) -> None:
        with pytest.raises(TypeError, match="entropy"):
            Session(Role.SERVER, SessionConfig(), now=0)

    def test_both_steppers_are_offered(self) -> None:
        compiled, library = (a_client(SessionConfig(stepper=stepper)) for stepper in ("compiled", "transitions"))
        assert compiled.stepper is not library.stepper
        assert compiled.receive_message(CREATED, 0) == library.receive_message(CREATED, 0)
        assert compiled.snapshot(0) == library.snapshot(0)

    @pytest.mark.parametrize(
        "call",
        [
            lambda client: client.generate(ItemFinished(response_id="r", output_index=0), 0),
            lambda client: client.speech_started(0, 0),
            lambda client: client.speech_stopped(0, 0),
            lambda client: client.transcribed("item", 0, TranscriptDelta("a"), 0),
        ],
        ids=["generate", "speech_started", "speech_stopped", "transcribed"],
    )
    def test_what_a_brain_says_is_not_for_a_client(self, call: Callable[[Session], Actions]) -> None:
        client = a_client()
        error = refusal(client, lambda: call(client))
        assert error.rule == "R-E6"
        assert "is not for a client" in error.message

    @pytest.mark.parametrize(
        "call",
        [
            lambda server: server.append_audio(b"\0\0", 0),
            lambda server: server.audio_played("item", 0, 1, 0),
            lambda server: server.audio_stopped("item", 0, 1, 0),
            lambda server: server.interrupt(0),
            lambda server: server.identify(m.ResponseCreate()),
        ],
        ids=["append_audio", "audio_played", "audio_stopped", "interrupt", "identify"],
    )
    def test_what_a_listener_does_is_not_for_a_server(self, call: Callable[[Session], Actions]) -> None:
        server = a_server()
        error = refusal(server, lambda: call(server))
        assert error.rule == "R-E6"
        assert "is not for a server" in error.message


class TestTime:
    @pytest.mark.parametrize(
        "call",
        [
            lambda client: client.start(6),
            lambda client: client.opened(6),
            lambda client: client.receive_eof(6),
            lambda client: client.transport_failed(Fault("write", "x"), 6),
            lambda client: client.close(6),
            lambda client: client.tick(6),
            lambda client: client.receive_message(CREATED, 6),
            lambda client: client.receive_event(m.InputAudioBufferCleared(), 6),
            lambda client: client.send(m.InputAudioBufferClear(), 6),
            lambda client: client.append_audio(b"\0\0", 6),
            lambda client: client.audio_played("item", 0, 1, 6),
            lambda client: client.audio_stopped("item", 0, 1, 6),
            lambda client: client.interrupt(6),
        ],
        ids=range(13),
    )
    def test_it_does_not_go_back(self, call: Callable[[ClientSession], Actions]) -> None:
        client = a_client(now=7)
        error = refusal(client, lambda: call(client))
        assert error.rule == "R-N3"
        assert "by 1 ns" in error.message

    def test_it_may_stand_still(self) -> None:
        client = a_client(now=7)
        assert client.tick(7) == ()
        assert client.receive_message(CREATED, 7)

    def test_it_may_begin_anywhere(self) -> None:
        client = Session(Role.CLIENT, SessionConfig(), now=-5)
        assert client.start(-5) == (OpenTransport(1, 1),)
        assert client.deadline == -5 + Durations().connect

    def test_what_was_received_moves_it(self) -> None:
        client = a_client()
        client.receive_message(CREATED, 9)
        assert client.now == 9


class TestTick:
    def test_a_tick_before_the_deadline_does_nothing(self) -> None:
        client = a_client()
        client.send(m.ResponseCreate(event_id="ask"), 0)
        assert client.deadline is not None
        assert client.tick(client.deadline - 1) == ()

    def test_a_tick_at_the_deadline_fires_the_timer_that_is_due(self) -> None:
        client = a_client()
        client.send(m.ResponseCreate(event_id="ask"), 0)
        assert client.next_timer == (Timer.REQUEST, ArbiterPolicy().request_timeout_ns)
        assert client.tick(ArbiterPolicy().request_timeout_ns) == (RequestSettled("ask", TimedOut()),)
        assert client.next_timer is None

    def test_a_late_tick_fires_what_comes_due_on_its_way(self) -> None:
        times = Durations(connect=10, backoff=5)
        client = Session(Role.CLIENT, SessionConfig(dials=2, timers=times), now=0)
        client.start(0)
        client.tick(10)
        assert client.tick(1_000) == (OpenTransport(1, 2),)
        assert client.deadline == 1_010

    def test_nothing_is_due_in_an_engine_that_waits_for_nothing(self) -> None:
        client = a_client()
        assert (client.deadline, client.next_timer) == (None, None)
        assert client.tick(10**18) == ()


class TestEnd:
    def test_closed_is_kept(self) -> None:
        client = a_client()
        assert client.closed is None
        actions = client.receive_eof(0, 1000)
        assert actions[-1] is client.closed
        assert client.closed == Closed(1000, "", None)

    @pytest.mark.parametrize(
        "input",
        [
            inputs.Opened(),
            inputs.EofReceived(),
            inputs.TransportFailed(Fault("write", "x")),
            inputs.Close(),
            inputs.Tick(),
            inputs.MessageReceived(CREATED),
            inputs.EventReceived(m.InputAudioBufferCleared()),
        ],
        ids=lambda input: type(input).__name__,
    )
    def test_afterwards_the_transport_and_the_clock_say_nothing(self, input: inputs.Input) -> None:
        client = a_closed_client()
        before = client.snapshot(0)
        assert client.handle(input, 10**9) == ()
        assert client.snapshot(0) == before
        assert client.deadline is None

    @pytest.mark.parametrize(
        "input",
        [
            inputs.Start(),
            inputs.Send(m.InputAudioBufferClear()),
            inputs.AppendAudio(b"\0\0"),
            inputs.AudioPlayed("item", 0, 1),
            inputs.AudioStopped("item", 0, 1),
            inputs.Interrupt(),
        ],
        ids=lambda input: type(input).__name__,
    )
    def test_afterwards_commands_are_local_mistakes(self, input: inputs.Input) -> None:
        client = a_closed_client()
        assert refusal(client, lambda: client.handle(input, 0)).rule == "R-N4"

    def test_what_the_peer_says_after_our_close_is_not_heard(self) -> None:
        client = a_client()
        client.close(0)
        assert client.receive_message(CREATED, 0) == ()
        assert client.receive_event(m.InputAudioBufferCleared(), 0) == ()

    def test_the_word_of_a_timer_nobody_described_is_its_name(self) -> None:
        end = timed_out(Timer.BACKOFF)
        assert end.fault == Fault("timeout", "timer backoff fired", "timer.backoff")


class TestReports:
    def test_a_deviation_of_the_peer_is_told_and_counted(self) -> None:
        client = a_client()
        (report,) = client.receive_message(NOT_JSON, 0)
        assert isinstance(report, Report)
        assert (report.rule, report.event_type, report.event_id) == ("R-E1", "", None)
        assert client.reports == {("R-E1", ""): 1}

    def test_the_second_of_a_kind_is_only_counted(self) -> None:
        client = a_client()
        client.receive_message(NOT_JSON, 0)
        assert client.receive_message(NOT_JSON, 0) == ()
        assert client.reports == {("R-E1", ""): 2}

    def test_a_row_that_is_reported_says_which_one_it_was(self) -> None:
        client = a_client()
        client.receive_message(CREATED, 0)
        delivered, report = client.receive_message(CREATED, 0)
        assert isinstance(delivered, Deliver)
        assert report == Report("R-S1", "session.created", "e", "", "session.created in state 'open' of session")

    def test_kinds_are_bounded_and_the_rest_are_one_kind(self) -> None:
        client = a_client(SessionConfig(limits=Limits(report_kinds=2)))
        for number in range(5):
            client.report(f"R-X{number}", None, "odd")
        told = [action for action in client.leave() if isinstance(action, Report)]
        assert [report.rule for report in told] == ["R-X0", "R-X1", "R-N2"]
        assert client.reports == {("R-X0", ""): 1, ("R-X1", ""): 1, ("R-N2", ""): 3}

    def test_an_event_id_that_is_no_text_is_not_repeated(self) -> None:
        class Odd:
            type = "odd"
            event_id = 5

        client = a_client()
        client.report("R-X", Odd(), "odd")
        assert client.leave() == (Report("R-X", "odd", None, "", "odd"),)

    def test_a_strict_client_ends_the_socket_of_a_peer_that_deviates(self) -> None:
        client = a_client(SessionConfig(strict=True))
        report, close = client.receive_message(NOT_JSON, 0)
        assert isinstance(report, Report)
        assert close == CloseTransport(1002, "R-E1")
        closed = client.receive_eof(0, 1002)[-1]
        assert isinstance(closed, Closed)
        assert closed.fault is not None
        assert (closed.fault.kind, closed.fault.rule) == ("protocol", "R-E1")

    def test_a_bound_of_ours_is_no_fault_of_a_strict_sessions_peer(self) -> None:
        server = a_server(SessionConfig(strict=True, limits=Limits(conversation_items=1)))
        create = json.dumps(
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            }
        )
        server.receive_message(create, 0)
        actions = server.receive_message(create, 0)
        assert [action.rule for action in actions if isinstance(action, Report)] == ["R-N2"]
        assert not [action for action in actions if isinstance(action, CloseTransport)]


class TestIds:
    def test_a_client_without_entropy_numbers_its_ids(self) -> None:
        client = a_client()
        assert [client.next_id("event"), client.next_id("item")] == ["event_1", "item_2"]

    def test_with_entropy_ids_are_made_of_it(self) -> None:
        client = Session(Role.CLIENT, SessionConfig(), now=0, entropy=lambda count: b"\xab" * count)
        assert client.next_id("event") == "event_" + "ab" * 10

    def test_an_id_is_short_enough_for_the_service(self) -> None:
        server = a_server()
        assert all(len(server.next_id(prefix)) <= 32 for prefix in ("event", "item", "resp", "sess", "conv", "call"))

    def test_a_refused_command_uses_no_id_up(self) -> None:
        client = a_client()
        refusal(client, lambda: client.send(m.ConversationItemDelete(item_id="nobody"), 0))
        assert client.next_id("event") == "event_1"

    def test_identify_names_a_command_and_leaves_a_name_alone(self) -> None:
        client = a_client()
        assert client.identify(m.ResponseCreate()).event_id == "event_1"
        assert client.identify(m.ResponseCreate(event_id="mine")).event_id == "mine"


class TestAsData:
    def test_each_input_is_its_method(self) -> None:
        by_method, by_data = (Session(Role.CLIENT, SessionConfig(), now=0) for _ in range(2))
        assert by_method.start(0) == by_data.handle(inputs.Start(), 0)
        assert by_method.opened(0, unix_ns=1) == by_data.handle(inputs.Opened(unix_ns=1), 0) == (Connected(1),)
        assert by_method.receive_message(CREATED, 1) == by_data.handle(inputs.MessageReceived(CREATED), 1)
        cleared = m.InputAudioBufferCleared(event_id="e")
        assert by_method.receive_event(cleared, 1) == by_data.handle(inputs.EventReceived(cleared), 1)
        clear = m.InputAudioBufferClear()
        assert by_method.send(clear, 1) == by_data.handle(inputs.Send(clear), 1)
        assert by_method.append_audio(b"\0\0", 1) == by_data.handle(inputs.AppendAudio(b"\0\0"), 1)
        assert by_method.audio_played("i", 0, 1, 1) == by_data.handle(inputs.AudioPlayed("i", 0, 1), 1)
        assert by_method.audio_stopped("i", 0, 1, 1) == by_data.handle(inputs.AudioStopped("i", 0, 1), 1)
        assert by_method.interrupt(1) == by_data.handle(inputs.Interrupt(), 1)
        assert by_method.tick(2) == by_data.handle(inputs.Tick(), 2)
        assert by_method.close(2, 4000, "x") == by_data.handle(inputs.Close(4000, "x"), 2)
        assert by_method.receive_eof(3, 4000) == by_data.handle(inputs.EofReceived(4000), 3)
        assert by_method.snapshot(3) == by_data.snapshot(3)

    def test_so_are_those_of_a_server(self) -> None:
        by_method, by_data = a_server(), a_server()
        assert by_method.speech_started(10, 1) == by_data.handle(inputs.SpeechStarted(10), 1)
        actions = by_method.speech_stopped(20, 1)
        assert actions == by_data.handle(inputs.SpeechStopped(20), 1)
        (item,) = by_method.conversation
        said = TranscriptDelta("hel")
        assert by_method.transcribed(item.id, 0, said, 1) == by_data.handle(inputs.Transcribed(item.id, 0, said), 1)
        response = next(iter(by_method.responses))
        done = ItemFinished(response_id=response, output_index=0)
        with pytest.raises(LocalProtocolError) as by_name:
            by_method.generate(done, 1)
        with pytest.raises(LocalProtocolError) as by_value:
            by_data.handle(inputs.Generate(done), 1)
        assert str(by_name.value) == str(by_value.value)
        fault = Fault("write", "broken pipe")
        assert by_method.transport_failed(fault, 2) == by_data.handle(inputs.TransportFailed(fault), 2)

    def test_send_as_data_may_override_too(self) -> None:
        client = a_client()
        delete = m.ConversationItemDelete(item_id="nobody", event_id="e")
        with pytest.raises(LocalProtocolError) as refused:
            client.handle(inputs.Send(delete), 0)
        (sent,) = client.handle(inputs.Send(delete, (refused.value.rule,)), 0)
        assert isinstance(sent, TransmitMessage)


class TestRestoring:
    def test_a_session_goes_on_where_its_snapshot_was_taken(self) -> None:
        client = a_client()
        client.receive_message(CREATED, 0)
        client.send(m.ResponseCreate(event_id="ask"), 0)
        again = Session.restore(client.snapshot(100), SessionConfig(), now=1_000_000)
        assert isinstance(again, ClientSession)
        assert again.state == "open"
        assert again.deadline == 1_000_000 + ArbiterPolicy().request_timeout_ns - 100
        assert again.snapshot(1_000_000) == client.snapshot(100)

    def test_a_restored_session_counts_its_reports_on(self) -> None:
        client = a_client()
        client.receive_message(NOT_JSON, 0)
        again = Session.restore(client.snapshot(0), SessionConfig(), now=0)
        assert again.receive_message(NOT_JSON, 0) == ()
        assert again.reports == {("R-E1", ""): 2}

    def test_a_restored_session_numbers_its_ids_on(self) -> None:
        client = a_client()
        client.next_id("event")
        assert Session.restore(client.snapshot(0), SessionConfig(), now=0).next_id("event") == "event_2"

    def test_a_snapshot_of_the_other_role_is_refused_by_the_class_of_one(self) -> None:
        with pytest.raises(SnapshotError, match="of a client"):
            ServerSession.restore(a_client().snapshot(0), SessionConfig(), now=0, entropy=bytes)

    def test_a_closed_session_is_restored_closed(self) -> None:
        again = Session.restore(a_closed_client().snapshot(0), SessionConfig(), now=0)
        assert again.closed == Closed(1000, "", None)
        assert again.tick(1) == ()


class TestSocket:
    def test_the_generation_counts_sockets(self) -> None:
        client = Session(Role.CLIENT, SessionConfig(), now=0)
        assert client.generation == 0
        client.start(0)
        assert client.generation == 1

    def test_wall_time_is_given_once_a_socket_for_what_a_server_announces(self) -> None:
        server = Session(Role.SERVER, SessionConfig(unix_expiry_s=60), now=0, entropy=Random(1).randbytes)
        actions = server.opened(0, unix_ns=1_700_000_000_999_999_999)
        assert isinstance(actions[1], TransmitMessage)
        assert json.loads(actions[1].text)["session"]["expires_at"] == 1_700_000_060

    def test_a_server_that_is_not_told_the_time_announces_no_end(self) -> None:
        server = Session(Role.SERVER, SessionConfig(), now=0, entropy=Random(1).randbytes)
        actions = server.opened(0)
        assert isinstance(actions[1], TransmitMessage)
        assert "expires_at" not in json.loads(actions[1].text)["session"]

    @pytest.mark.parametrize("role", list(Role))
    def test_the_end_of_a_socket_is_told_to_both_roles_alike(self, role: Role) -> None:
        session = session_of(role, SessionConfig(), now=0, entropy=bytes)
        session.opened(0)
        assert session.receive_eof(1, 1000) == (Disconnected(1, 1000, "", None, None), Closed(1000, "", None))
