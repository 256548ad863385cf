"""The link: dialling, opening and ending sockets, as a driver of the message level sees it. Every row of the table."""

from __future__ import annotations

import pytest

from antiphon import (
    Action,
    Actions,
    ClientSession,
    Closed,
    CloseTransport,
    Connected,
    Disconnected,
    Durations,
    Fault,
    LocalProtocolError,
    OpenTransport,
    RenewalPolicy,
    Role,
    Session,
    SessionConfig,
    Timer,
)

TIMES = Durations(connect=100, backoff=10, close=50)
REFUSED = Fault("dial", "connection refused", "R-L3")


ONE_SOCKET = RenewalPolicy(reconnect=False)


def fresh(dials: int = 1, renewal: RenewalPolicy = ONE_SOCKET) -> ClientSession:
    return Session(Role.CLIENT, SessionConfig(dials=dials, timers=TIMES, renewal=renewal), now=0)


def dialling(dials: int = 1) -> ClientSession:
    client = fresh(dials)
    client.start(0)
    return client


def connected() -> ClientSession:
    client = dialling()
    client.opened(1)
    return client


def closing() -> ClientSession:
    client = connected()
    client.close(2)
    return client


def refused(client: ClientSession, call: str) -> LocalProtocolError:
    """The refusal of ``call``, which changed nothing."""
    before = client.snapshot(client.now)
    with pytest.raises(LocalProtocolError) as caught:
        getattr(client, call)(client.now)
    assert client.snapshot(client.now) == before
    return caught.value


def disconnected(actions: Actions) -> Disconnected:
    (one,) = [action for action in actions if isinstance(action, Disconnected)]
    return one


class TestDialling:
    def test_start_asks_for_the_first_socket_of_the_first_generation(self) -> None:
        client = fresh()
        assert client.start(0) == (OpenTransport(generation=1, attempt=1),)
        assert client.generation == 1

    def test_a_dial_has_a_deadline(self) -> None:
        assert dialling().next_timer == (Timer.CONNECT, 100)

    def test_an_engine_is_started_once(self) -> None:
        assert refused(dialling(), "start").rule == "R-L1"

    def test_an_open_engine_cannot_be_started(self) -> None:
        assert refused(connected(), "start").rule == "R-L1"

    def test_a_failed_dial_without_attempts_left_ends_the_engine_with_its_fault(self) -> None:
        client = dialling()
        assert client.transport_failed(REFUSED, 5) == (
            Disconnected(1, None, "", REFUSED, None),
            Closed(1006, "", REFUSED),
        )
        assert client.deadline is None

    def test_a_failed_dial_with_attempts_left_is_told_with_the_time_of_the_next(self) -> None:
        client = dialling(dials=2)
        assert client.transport_failed(REFUSED, 5) == (Disconnected(1, None, "", REFUSED, retry_at=15),)
        assert client.next_timer == (Timer.BACKOFF, 15)

    def test_the_next_dial_is_of_the_same_generation(self) -> None:
        client = dialling(dials=2)
        client.transport_failed(REFUSED, 5)
        assert client.tick(15) == (OpenTransport(generation=1, attempt=2),)
        assert client.next_timer == (Timer.CONNECT, 115)

    def test_the_last_dial_is_the_last(self) -> None:
        client = dialling(dials=2)
        client.transport_failed(REFUSED, 5)
        client.tick(15)
        assert client.transport_failed(REFUSED, 20)[-1] == Closed(1006, "", REFUSED)

    def test_the_pause_doubles_with_each_attempt_up_to_the_cap(self) -> None:
        client = fresh(11, RenewalPolicy(reconnect=False, jitter=0, backoff_cap=1000))
        client.start(0)
        pauses = []
        for _ in range(9):
            retry_at = disconnected(client.transport_failed(REFUSED, client.now)).retry_at
            assert retry_at is not None
            pauses.append(retry_at - client.now)
            client.tick(retry_at)
        assert pauses == [10, 20, 40, 80, 160, 320, 640, 1000, 1000]

    def test_a_dial_that_hangs_is_given_up_when_its_time_is_over(self) -> None:
        client = dialling()
        actions = client.tick(100)
        assert actions[0] == CloseTransport(1006, "", abort=True)
        fault = disconnected(actions).fault
        assert fault is not None
        assert (fault.kind, fault.rule) == ("timeout", "timer.connect")
        assert actions[-1] == Closed(1006, "", fault)

    def test_a_dial_that_hangs_is_dropped_before_the_next_is_due(self) -> None:
        client = dialling(dials=2)
        assert client.tick(100) == (
            CloseTransport(1006, "", abort=True),
            Disconnected(
                1, None, "", Fault("timeout", "no connection within timers.connect", "timer.connect"), retry_at=110
            ),
        )
        assert client.tick(110) == (OpenTransport(1, 2),)

    def test_a_socket_that_comes_during_the_pause_is_refused(self) -> None:
        client = dialling(dials=2)
        client.transport_failed(REFUSED, 5)
        assert refused(client, "opened").rule == "R-L2"

    def test_what_a_driver_says_of_a_dead_dial_during_the_pause_changes_nothing(self) -> None:
        client = dialling(dials=2)
        client.transport_failed(REFUSED, 5)
        before = client.snapshot(5)
        assert client.transport_failed(REFUSED, 5) == ()
        assert client.receive_eof(5) == ()
        assert client.snapshot(5) == before


class TestOpening:
    def test_a_socket_begins_the_generation_that_was_asked_for(self) -> None:
        client = dialling()
        assert client.opened(1) == (Connected(1),)
        assert client.deadline is None

    def test_a_socket_that_somebody_else_dialled_begins_the_first_generation(self) -> None:
        client = fresh()
        assert client.opened(1) == (Connected(1),)
        assert client.generation == 1

    def test_there_is_one_socket_at_a_time(self) -> None:
        assert refused(connected(), "opened").rule == "R-L2"

    def test_no_socket_opens_while_another_is_closing(self) -> None:
        assert refused(closing(), "opened").rule == "R-L2"

    def test_the_message_level_sends_no_pings(self) -> None:
        assert connected().next_timer is None

    def test_a_socket_after_failed_dials_is_still_that_of_its_generation(self) -> None:
        client = dialling(dials=2)
        client.transport_failed(REFUSED, 5)
        client.tick(15)
        assert client.opened(16) == (Connected(1),)


class TestEnding:
    def test_closing_says_so_to_the_peer_and_has_a_deadline(self) -> None:
        client = connected()
        assert client.close(2, 4000, "enough") == (CloseTransport(4000, "enough"),)
        assert client.next_timer == (Timer.CLOSE, 52)

    def test_the_sockets_end_completes_our_closing(self) -> None:
        assert closing().receive_eof(3, 1000) == (Disconnected(1, 1000, "", None, None), Closed(1000, "", None))

    def test_our_close_keeps_its_own_code_whatever_the_sockets_end_says(self) -> None:
        client = connected()
        client.close(2, 4000, "enough")
        assert client.receive_eof(3, 1006)[-1] == Closed(4000, "enough", None)

    def test_a_failed_write_during_our_close_is_no_fault_any_more(self) -> None:
        assert closing().transport_failed(Fault("write", "broken pipe"), 3)[-1] == Closed(1000, "", None)

    def test_closing_is_bounded(self) -> None:
        client = closing()
        assert client.tick(52) == (
            CloseTransport(1006, "", abort=True),
            Disconnected(1, 1000, "", None, None),
            Closed(1000, "", None),
        )

    def test_closing_twice_does_nothing_more(self) -> None:
        client = closing()
        before = client.snapshot(2)
        assert client.close(2, 1001) == ()
        assert client.snapshot(2) == before

    def test_an_engine_that_had_no_socket_ends_without_losing_one(self) -> None:
        assert fresh().close(0) == (Closed(1000, "", None),)

    @pytest.mark.parametrize("dials", [1, 2])
    def test_a_dial_is_given_up_by_closing(self, dials: int) -> None:
        client = dialling(dials)
        assert client.close(1)[-1] == Closed(1000, "", None)
        assert client.deadline is None

    def test_the_pause_between_dials_is_ended_by_closing(self) -> None:
        client = dialling(dials=2)
        client.transport_failed(REFUSED, 5)
        assert client.close(6)[-1] == Closed(1000, "", None)
        assert client.tick(15) == ()

    @pytest.mark.parametrize("code", [1000, 1005])
    def test_a_peer_that_closes_in_order_is_no_fault(self, code: int) -> None:
        assert connected().receive_eof(2, code, "bye") == (
            Disconnected(1, code, "bye", None, None),
            Closed(code, "bye", None),
        )

    @pytest.mark.parametrize(("code", "told"), [(None, 1006), (1006, 1006)])
    def test_a_socket_that_ends_without_a_closing_handshake_is_a_fault(self, code: int | None, told: int) -> None:
        fault = Fault("eof", "the socket ended without a closing handshake", "R-L4")
        assert connected().receive_eof(2, code) == (
            Disconnected(1, code, "", fault, None),
            Closed(told, "", fault),
        )

    @pytest.mark.parametrize(
        ("reason", "message"),
        [("", "the peer closed with 1011"), ("keepalive", "the peer closed with 1011: keepalive")],
    )
    def test_another_close_code_is_a_fault_that_repeats_the_peers_reason(self, reason: str, message: str) -> None:
        actions = connected().receive_eof(2, 1011, reason)
        assert actions[-1] == Closed(1011, reason, Fault("eof", message, "R-L4"))

    def test_a_write_that_failed_ends_the_engine(self) -> None:
        fault = Fault("write", "broken pipe")
        assert connected().transport_failed(fault, 2) == (
            Disconnected(1, None, "", fault, None),
            Closed(1006, "", fault),
        )

    @pytest.mark.parametrize("call", ["receive_eof", "close"])
    def test_disconnected_comes_before_closed(self, call: str) -> None:
        client = connected()
        actions: list[Action] = [*getattr(client, call)(2), *client.receive_eof(3)]
        assert [type(action) for action in actions if not isinstance(action, CloseTransport)] == [Disconnected, Closed]

    def test_an_idle_engine_that_hears_of_an_end_ends(self) -> None:
        assert fresh().receive_eof(0)[-1] == Closed(
            1006, "", Fault("eof", "the socket ended without a closing handshake", "R-L4")
        )
        assert fresh().transport_failed(REFUSED, 0) == (Closed(1006, "", REFUSED),)


class TestBrokenPeer:
    def test_text_that_is_no_utf8_is_answered_with_1007(self) -> None:
        client = connected()
        assert client.receive_message(b'{"type":"\xff"}', 2) == (CloseTransport(1007, "not UTF-8"),)
        assert client.next_timer == (Timer.CLOSE, 52)

    def test_the_engines_end_tells_the_fault(self) -> None:
        client = connected()
        client.receive_message(b'{"type":"\xff"}', 2)
        closed = client.receive_eof(3, 1007)[-1]
        assert isinstance(closed, Closed)
        assert closed.code == 1007
        assert closed.fault == Fault("protocol", "a text message that is not UTF-8", "R-E2")

    def test_a_broken_peer_is_not_waited_for_any_longer_than_another(self) -> None:
        client = connected()
        client.receive_message(b"\xff", 2)
        aborted, gone, closed = client.tick(52)
        assert aborted == CloseTransport(1006, "", abort=True)
        assert isinstance(gone, Disconnected)
        assert isinstance(closed, Closed)
        assert gone.fault is not None
        assert gone.fault.rule == "R-E2"
        assert closed.fault == gone.fault

    def test_what_it_says_afterwards_is_not_heard(self) -> None:
        client = connected()
        client.receive_message(b"\xff", 2)
        assert client.receive_message(b"\xff", 3) == ()
