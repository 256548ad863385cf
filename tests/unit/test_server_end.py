"""How a server ends a session: when its time is over, and when its application says a fatal error; and rate limits."""

from __future__ import annotations

import pytest

from antiphon import (
    CloseTransport,
    Connection,
    ConnectionConfig,
    ResponseCancelled,
    ResponseFinished,
    Role,
    SessionConfig,
    Timer,
    TransmitMessage,
    error_event,
)
from antiphon import messages as m
from antiphon.machines import ERRORS
from unit.server_helpers import MS, Host, Numbers, of, sent, sent_types

SECOND = 1000 * MS


# -- expiry (R-S7) -----------------------------------------------------------------------------------------------------


def _timed(now: int = 0, unix_ns: int = 1_700_000_000 * SECOND, **config: object) -> Host:
    host = Host(begun=False, **config)
    host.now = now
    host.server.opened(now, unix_ns=unix_ns)
    return host


def test_a_session_ends_at_the_instant_that_it_announced() -> None:
    """R-S7"""
    host = _timed(now=5 * SECOND, unix_ns=1_700_000_000 * SECOND + 250 * MS)
    assert host.server.configuration.expires_at == 1_700_003_600
    assert host.server.next_timer == (Timer.EXPIRY, 5 * SECOND + 3600 * SECOND - 250 * MS)


def test_the_end_of_its_time_is_told_then_the_socket_is_closed_with_the_same_words() -> None:
    host = _timed(unix_expiry_s=1800)
    host.now = 1800 * SECOND
    assert host.server.tick(host.now - 1) == ()
    actions = host.server.tick(host.now)
    assert [type(action) for action in actions] == [TransmitMessage, CloseTransport]
    (error,) = sent(actions)
    assert error["error"] == {
        "type": "invalid_request_error",
        "code": "session_expired",
        "message": "Your session hit the maximum duration of 30 minutes.",
        "param": None,
        "event_id": None,
    }
    assert of(actions, CloseTransport) == [CloseTransport(1001, error["error"]["message"])]
    assert (host.server.state, host.server.link.state) == ("expired", "closing")


@pytest.mark.parametrize(("seconds", "minutes"), [(1, 1), (60, 1), (61, 2)])
def test_a_minute_that_has_begun_counts(seconds: int, minutes: int) -> None:
    host = _timed(unix_expiry_s=seconds)
    (error,) = sent(host.server.tick(seconds * SECOND))
    assert error["error"]["message"].endswith(f" {minutes} minutes.")


def test_a_session_that_announced_no_end_has_none() -> None:
    assert Host().server.deadline is None


def test_an_expired_session_hears_nothing_more_and_its_brain_stops() -> None:
    host = _timed()
    response_id = host.asks()
    host.now = 3600 * SECOND
    host.server.tick(host.now)
    assert host.append(100) == ()
    ended = host.server.receive_eof(host.now, 1001)
    assert of(ended, ResponseCancelled) == [ResponseCancelled(response_id, "disconnected")]
    assert host.server.closed is not None
    assert host.server.closed.code == 1001
    assert host.server.deadline is None


def test_what_a_brain_still_says_while_the_socket_is_being_closed_is_not_told() -> None:
    """R-L8"""
    host = Host()
    response_id = host.asks()
    host.begins(response_id)
    assert of(host.server.close(0), CloseTransport) == [CloseTransport(1000, "")]
    drawn = host.entropy.drawn
    assert host.says(response_id, "too late") == ()
    assert host.finishes(response_id) == ()
    assert host.entropy.drawn == drawn


def test_the_time_that_is_left_survives_a_restore() -> None:
    host = _timed()
    host.now = 1000 * SECOND
    again = host.restored()
    assert again.server.next_timer == host.server.next_timer == (Timer.EXPIRY, 3600 * SECOND)


def test_over_bytes_the_error_and_the_close_are_two_frames() -> None:
    server = Connection(
        Role.SERVER, ConnectionConfig(session=SessionConfig(unix_expiry_s=60)), now=0, entropy=Numbers()
    )
    server.opened(0, unix_ns=0)
    server.receive_data(
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        0,
    )
    server.accept(0)
    for second in range(20, 60, 20):
        server.tick(second * SECOND)
        server.receive_data(b"\x8a\x80\x00\x00\x00\x00", second * SECOND)  # a PONG
    said = b"".join(action.data for action in server.tick(60 * SECOND) if hasattr(action, "data"))
    text = b"Your session hit the maximum duration of 1 minutes."
    assert said.count(text) == 2
    assert said.endswith(b"\x88" + bytes([len(text) + 2]) + (1001).to_bytes(2, "big") + text)


# -- fatal errors of the application (R-S4) ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, spec in ERRORS.items() if spec.fatal and spec.by == "application"])
def test_a_fatal_error_closes_the_socket(name: str) -> None:
    """R-S4"""
    host = Host()
    error = error_event(name, model="m1")
    actions = host.server.send(error, host.now)
    assert sent(actions)[0]["error"]["code"] == name
    assert of(actions, CloseTransport) == [CloseTransport(4000, f"invalid_request_error.{name}")]
    assert host.server.state == "expired"


def test_an_application_may_end_a_session_early() -> None:
    host = Host()
    error = error_event("session_expired", minutes=60)
    actions = host.server.send(error, host.now)
    assert of(actions, CloseTransport) == [CloseTransport(1001, error.error.message)]


@pytest.mark.parametrize("code", [None, "internal_error", "rate_limit_exceeded"])
def test_after_another_error_the_session_goes_on(code: str | None) -> None:
    host = Host()
    actions = host.server.send(m.Error(error=m.ErrorDetail(type="server_error", code=code, message="oh")), host.now)
    assert sent_types(actions) == ["error"]
    assert host.server.state == "open"
    assert host.asks()


# -- rate limits (R-S8) ------------------------------------------------------------------------------------------------

TOKENS = m.RateLimit(name="tokens", limit=100, remaining=90, reset_seconds=6.0)


def test_rate_limits_are_told_after_each_response() -> None:
    """R-S8"""
    """R-S8"""
    host = Host(rate_limits=(TOKENS,))
    assert host.server.rate_limits == (TOKENS,)
    response_id = host.asks()
    host.begins(response_id)
    done, limits = sent(host.finishes(response_id))[-2:]
    assert (done["type"], limits["type"]) == ("response.done", "rate_limits.updated")
    assert limits["rate_limits"] == [{"name": "tokens", "limit": 100, "remaining": 90, "reset_seconds": 6.0}]


def test_without_a_limit_none_is_told() -> None:
    host = Host()
    response_id = host.asks()
    host.begins(response_id)
    assert sent_types(host.finishes(response_id))[-1] == "response.done"


def test_a_response_without_an_item_used_nothing() -> None:
    host = Host(rate_limits=(TOKENS,))
    assert sent_types(host.finishes(host.asks())) == ["response.done"]


def test_a_brain_tells_what_is_left_with_the_end_of_its_response() -> None:
    host = Host(rate_limits=(TOKENS,))
    left = m.RateLimit(name="tokens", limit=100, remaining=50)
    for end in (ResponseFinished(response_id=host.asks(), rate_limits=(left,)), None):
        response_id = host.asks() if end is None else end.response_id
        host.begins(response_id)
        said = sent(host.finishes(response_id) if end is None else host.think(end))
        assert said[-1]["rate_limits"] == [{"name": "tokens", "limit": 100, "remaining": 50}]


def test_limits_that_the_application_tells_are_those_of_the_next_responses() -> None:
    host = Host()
    host.server.send(m.RateLimitsUpdated(rate_limits=[TOKENS]), host.now)
    assert host.server.rate_limits == (TOKENS,)
    again = host.restored()
    response_id = again.asks()
    again.begins(response_id)
    assert sent_types(again.finishes(response_id))[-1] == "rate_limits.updated"
