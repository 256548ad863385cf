"""How the laws are run.

``pytest tests/laws`` tries each property on a fixed number of examples, the same in every run, in a few minutes.
``ANTIPHON_EXAMPLES=10000 pytest tests/laws`` tries each on that many, at random, and takes hours; what it finds is
kept in ``.hypothesis`` and tried first from then on. Every law is tried under both steppers
(`SessionConfig.stepper`).
"""

from __future__ import annotations

from typing import cast

import pytest

from .strategies import LONG_RUN
from .values import Stepper


@pytest.fixture(scope="session", params=["compiled", "transitions"])
def stepper(request: pytest.FixtureRequest) -> Stepper:
    """Each way to step, in turn."""
    return cast(Stepper, request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long run has no limit of time."""
    if LONG_RUN:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
