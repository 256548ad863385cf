"""Distributions: exact where they can be, bounded where they must be."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.toolkit.distribution import KEPT, Distribution, Summary

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(NUMBERS)
def test_count_mean_and_ends_are_exact(values: list[float]) -> None:
    distribution = Distribution(values)
    assert (distribution.count, distribution.min, distribution.max) == (len(values), min(values), max(values))
    assert distribution.mean == pytest.approx(statistics.fmean(values), abs=1e-6)


@given(NUMBERS)
def test_the_median_is_that_of_all_values(values: list[float]) -> None:
    assert Distribution(values).percentile(50) == pytest.approx(statistics.median(values), abs=1e-6)


@given(NUMBERS, st.floats(0, 100), st.floats(0, 100))
def test_percentiles_grow_and_stay_within_the_ends(values: list[float], one: float, two: float) -> None:
    distribution = Distribution(values)
    low, high = (distribution.percentile(each) for each in sorted((one, two)))
    assert low is not None
    assert high is not None
    assert min(values) <= low <= high + 1e-9
    assert high <= max(values) + 1e-9


def test_memory_is_bounded_and_percentiles_stay_right() -> None:
    distribution = Distribution(float(number % 1000) for number in range(100_003))
    assert len(distribution._sample) <= KEPT
    assert distribution.count == 100_003
    for percent in (1, 25, 50, 90, 99):
        assert distribution.percentile(percent) == pytest.approx(percent * 10, abs=12)
    assert distribution.percentile(100) == 999


def test_nothing_has_no_numbers() -> None:
    assert Distribution().summary() == Summary(0, None, None, None, None, None, None)


@given(NUMBERS, NUMBERS)
def test_merging_is_adding(one: list[float], two: list[float]) -> None:
    merged = Distribution(one)
    merged.merge(Distribution(two))
    together = Distribution(one + two)
    assert (merged.count, merged.min, merged.max) == (together.count, together.min, together.max)
    assert merged.mean == pytest.approx(together.mean, abs=1e-6)
    assert merged.percentile(50) == pytest.approx(together.percentile(50))


def test_large_samples_merge_by_their_weight() -> None:
    many = Distribution(float(number) for number in range(50_000))
    few = Distribution([1e6] * 100)
    many.merge(few)
    assert len(many._sample) <= KEPT
    assert many.percentile(50) == pytest.approx(25_000, rel=0.05)
    many.add(3.0)
    assert many.count == 50_101


def test_a_percentile_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        Distribution([1.0]).percentile(101)


def test_many_small_samples_weigh_what_they_hold() -> None:
    merged = Distribution()
    for _ in range(20_000):
        merged.merge(Distribution([1000.0, 1.0, 1.0, 1.0]))  # what comes first in each is not typical
    assert len(merged._sample) <= KEPT
    assert (merged.percentile(50), merged.percentile(70), merged.percentile(80)) == (1, 1, 1000)
    merged.add(5.0)
    assert merged.count == 80_001
    one_by_one = Distribution([1000.0, 1.0, 1.0, 1.0] * 20_000)
    assert sum(merged._sample) == pytest.approx(sum(one_by_one._sample), rel=0.1)


def test_a_finer_sample_is_thinned_to_the_coarser_one() -> None:
    few, many = Distribution([1e6] * 100), Distribution(float(number) for number in range(50_000))
    few.merge(many)
    assert few.percentile(50) == pytest.approx(25_000, rel=0.05)
    assert few.count == 50_100


def test_values_in_a_rhythm_do_not_mislead_the_sample() -> None:
    distribution = Distribution(float(number % 4 == 0) for number in range(100_000))
    assert sum(distribution._sample) / len(distribution._sample) == pytest.approx(0.25, abs=0.03)


def test_a_distribution_says_what_it_is_of() -> None:
    assert repr(Distribution([1.0, 3.0])) == "<Distribution of 2: 1.0 to 3.0, mean 2.0>"
