"""That the worlds of L9 exercise what they claim to: every feature of `features.EVERY_FEATURE`, drawn at random."""

from __future__ import annotations

from collections import Counter

import pytest

from .features import EVERY_FEATURE, features_of
from .strategies import BROKEN, FRAGILE, ORDERLY, setup_of
from .test_l09_two_peers import check_l09
from .values import script_of
from .world import World


@pytest.fixture(scope="module")
def mix() -> Counter[str]:
    """In how many of the first worlds each feature was exercised; all of them keep the law."""
    seen: Counter[str] = Counter()
    for seed in range(600):
        world = World(setup_of(seed)).play(script_of(seed, 70, (BROKEN, FRAGILE, ORDERLY)[seed % 3]))
        world.finish()
        check_l09(world)
        seen.update(features_of(world))
    return seen


def test_every_feature_is_exercised(mix: Counter[str]) -> None:
    assert not EVERY_FEATURE - set(mix)


def test_features_meet_in_one_world(mix: Counter[str]) -> None:
    """A mix is no row of separate trials: the worlds are few, and each of them exercises a good part of the list."""
    assert sum(mix[feature] for feature in EVERY_FEATURE) / 600 > len(EVERY_FEATURE) / 3
