"""Timers: named deadlines, the earliest of them, and their remainders. The clock is a number here."""

from __future__ import annotations

import pytest

from antiphon.engine.timers import MS, Timer, Timers
from antiphon.machines._tables import TIMERS


@pytest.fixture
def timers() -> Timers:
    return Timers()


def test_a_millisecond_is_a_million_nanoseconds() -> None:
    assert MS == 1_000_000


def test_every_timer_has_its_length_in_the_specification() -> None:
    assert {timer.value for timer in Timer} <= set(TIMERS)


def test_nothing_is_due_before_anything_is_armed(timers: Timers) -> None:
    assert (timers.deadline, timers.earliest, timers.due(10**18)) == (None, None, None)


def test_the_deadline_is_that_of_the_earliest_timer(timers: Timers) -> None:
    timers.arm(Timer.PING, 30)
    timers.arm(Timer.REQUEST, 20)
    timers.arm(Timer.CLOSE, 40)
    assert timers.deadline == 20
    assert timers.earliest == (Timer.REQUEST, 20)


def test_arming_again_moves_a_deadline_in_either_direction(timers: Timers) -> None:
    timers.arm(Timer.PING, 30)
    timers.arm(Timer.PING, 50)
    assert timers.deadline == 50
    timers.arm(Timer.PING, 10)
    assert timers.deadline == 10


def test_stopping_the_earliest_leaves_the_next(timers: Timers) -> None:
    timers.arm(Timer.PING, 30)
    timers.arm(Timer.REQUEST, 20)
    timers.stop(Timer.REQUEST)
    assert timers.earliest == (Timer.PING, 30)


def test_stopping_an_idle_timer_does_nothing(timers: Timers) -> None:
    timers.arm(Timer.PING, 30)
    timers.stop(Timer.FLUSH)
    assert timers.earliest == (Timer.PING, 30)


def test_a_timer_is_due_at_its_instant_and_not_before(timers: Timers) -> None:
    timers.arm(Timer.FLUSH, 30)
    assert timers.due(29) is None
    assert timers.due(30) is Timer.FLUSH


def test_a_timer_that_was_due_is_stopped_by_that(timers: Timers) -> None:
    timers.arm(Timer.FLUSH, 30)
    timers.due(30)
    assert timers.due(30) is None
    assert timers.at(Timer.FLUSH) is None


def test_timers_come_due_in_the_order_of_their_instants(timers: Timers) -> None:
    timers.arm(Timer.CONNECT, 30)
    timers.arm(Timer.FLUSH, 10)
    timers.arm(Timer.REQUEST, 20)
    assert [timers.due(99), timers.due(99), timers.due(99)] == [Timer.FLUSH, Timer.REQUEST, Timer.CONNECT]


def test_at_equal_instants_the_order_of_the_enumeration_decides(timers: Timers) -> None:
    for timer in reversed(Timer):
        timers.arm(timer, 7)
    assert [timers.due(7) for _ in Timer] == list(Timer)


def test_each_timer_tells_its_own_deadline(timers: Timers) -> None:
    timers.arm(Timer.PING, 30)
    assert timers.at(Timer.PING) == 30
    assert timers.at(Timer.PONG) is None


def test_clearing_forgets_every_deadline(timers: Timers) -> None:
    timers.arm(Timer.PING, 30)
    timers.arm(Timer.CLOSE, 40)
    timers.clear()
    assert (timers.deadline, timers.at(Timer.PING), timers.at(Timer.CLOSE)) == (None, None, None)


def test_what_is_dumped_are_remainders_in_order(timers: Timers) -> None:
    timers.arm(Timer.CLOSE, 140)
    timers.arm(Timer.PING, 130)
    timers.arm(Timer.REQUEST, 90)
    assert list(timers.dump(100).items()) == [("request", -10), ("ping", 30), ("close", 40)]


def test_remainders_are_armed_on_the_clock_of_whoever_loads_them(timers: Timers) -> None:
    timers.arm(Timer.CONNECT, 1)
    timers.load({"request": -10, "ping": 30}, 1_000)
    assert timers.earliest == (Timer.REQUEST, 990)
    assert timers.at(Timer.PING) == 1_030
    assert timers.at(Timer.CONNECT) is None


def test_a_timer_that_nobody_knows_is_not_loaded(timers: Timers) -> None:
    with pytest.raises(ValueError, match="tea"):
        timers.load({"tea": 1}, 0)
