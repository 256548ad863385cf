"""The names of `antiphon.toolkit`: what speaks bytes is loaded when it is asked for."""

from __future__ import annotations

import pytest

from antiphon import toolkit
from antiphon.toolkit.recorded import RecordedConnection


def test_a_recorded_connection_is_one_of_its_names() -> None:
    assert toolkit.RecordedConnection is RecordedConnection
    assert "RecordedConnection" in toolkit.__all__


def test_a_name_that_it_has_not_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match=r"'antiphon\.toolkit' has no attribute 'Telegraph'"):
        toolkit.Telegraph  # noqa: B018 - the point of the test
