"""The enumerations of types and the categories."""

from __future__ import annotations

import pytest

from antiphon.machines import EVENTS
from antiphon.toolkit import CATEGORIES, Category, ClientEventType, ServerEventType, canonical, categories_of

BETA_TRANSCRIPTION = {
    "client": {"transcription_session.update"},
    "server": {"transcription_session.created", "transcription_session.updated"},
}


@pytest.mark.parametrize(("direction", "enumeration"), [("client", ClientEventType), ("server", ServerEventType)])
def test_every_type_of_both_dialects_is_a_member(direction: str, enumeration: type) -> None:
    mine = {name: event for name, event in EVENTS.items() if event.direction == direction}
    wanted = set(mine) | {event.beta for event in mine.values() if event.beta} | BETA_TRANSCRIPTION[direction]
    assert {str(member) for member in enumeration} == wanted


@pytest.mark.parametrize("enumeration", [ClientEventType, ServerEventType])
def test_a_member_is_named_after_its_type(enumeration: type) -> None:
    assert all(member.name == member.value.replace(".", "_").upper() for member in enumeration)


def test_a_member_is_the_type_of_an_event() -> None:
    assert ServerEventType.RESPONSE_DONE == "response.done"


def test_the_ga_name_of_a_beta_name_is_known() -> None:
    assert canonical("response.audio_transcript.delta") == "response.output_audio_transcript.delta"
    assert canonical("transcription_session.updated") == "session.updated"
    assert canonical("response.done") == "response.done"
    assert canonical("vendor.news") == "vendor.news"


@pytest.mark.parametrize("direction", ["client", "server"])
def test_every_type_has_a_category(direction: str) -> None:
    assert not [name for name, event in EVENTS.items() if event.direction == direction and not categories_of(name)]


def test_a_delta_is_of_its_response_and_streams() -> None:
    assert categories_of("response.text.delta") == {Category.RESPONSE, Category.STREAMING}


def test_a_type_of_the_future_is_told_by_its_beginning() -> None:
    assert categories_of("response.thinking.delta") == {Category.RESPONSE}
    assert categories_of("ping") == frozenset()


def test_categories_name_only_types_that_exist() -> None:
    whole = [each for members in CATEGORIES.values() for each in members if not each.endswith(".")]
    assert set(whole) <= set(EVENTS)
