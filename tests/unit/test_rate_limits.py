"""`antiphon.engine.rate_limits`: the newest limit of each name, and when it is full again."""

from __future__ import annotations

import pytest

from antiphon import KnownRateLimit, Limits, Snapshot
from antiphon import messages as m
from antiphon.engine.rate_limits import RateLimits
from unit.engine_helpers import MS, Talk, rules

SECOND = 1000 * MS


def kept(*limits: m.RateLimit, now: int = 0, most: int = 32) -> RateLimits:
    known = RateLimits(most)
    known.update(limits, now)
    return known


def test_the_reset_counts_from_the_arrival_of_its_event() -> None:
    known = kept(m.RateLimit(name="tokens", limit=100, remaining=40, reset_seconds=1.5), now=7 * SECOND)
    assert known.view() == (KnownRateLimit("tokens", 100, 40, 7 * SECOND + 1500 * MS),)


def test_a_limit_is_full_again_when_its_reset_has_come() -> None:
    (limit,) = kept(m.RateLimit(name="tokens", limit=100, remaining=40, reset_seconds=2)).view()
    assert [limit.remaining_at(at) for at in (0, 2 * SECOND - 1, 2 * SECOND)] == [40, 40, 100]


def test_a_limit_without_a_reset_stays_as_it_was() -> None:
    (limit,) = kept(m.RateLimit(name="tokens", limit=100, remaining=40)).view()
    assert (limit.resets_at, limit.remaining_at(10**15)) == (None, 40)


def test_an_event_about_one_limit_leaves_the_others() -> None:
    """R-U3"""
    known = kept(m.RateLimit(name="requests", limit=9), m.RateLimit(name="tokens", limit=8))
    known.update([m.RateLimit(name="tokens", limit=7)], 0)
    assert known.view() == (KnownRateLimit("requests", 9), KnownRateLimit("tokens", 7))


@pytest.mark.parametrize("seconds", [None, -1.0, 1e300, float("inf"), float("nan")])
def test_a_reset_that_says_nothing_is_none(seconds: float | None) -> None:
    (limit,) = kept(m.RateLimit(name="tokens", reset_seconds=seconds)).view()
    assert limit.resets_at is None


def test_a_limit_without_a_name_is_no_limit() -> None:
    assert kept(m.RateLimit(limit=3), m.RateLimit(name=None)).view() == ()


def test_of_too_many_names_the_oldest_is_forgotten_with_a_report() -> None:
    talk = Talk(limits=Limits(rate_limit_names=2))
    actions = talk.hear("rate_limits.updated", rate_limits=[{"name": name} for name in "abc"])
    assert [limit.name for limit in talk.client.rate_limits] == ["b", "c"]
    assert rules(actions) == ["R-N2"]


def test_a_name_is_kept_within_bounds() -> None:
    assert len(kept(m.RateLimit(name="x" * 10_000)).view()[0].name) == 64


def test_an_instant_survives_a_restore_under_another_clock() -> None:
    talk = Talk()
    talk.now = 5 * SECOND
    talk.hear("rate_limits.updated", rate_limits=[{"name": "tokens", "limit": 4, "remaining": 1, "reset_seconds": 3}])
    snapshot = Snapshot.decode(talk.client.snapshot(6 * SECOND).encode())
    again = type(talk.client).restore(snapshot, talk.config, now=100 * SECOND)
    assert again.rate_limits == (KnownRateLimit("tokens", 4, 1, 102 * SECOND),)
