"""The short cuts of the hot paths change nothing but the price."""

from __future__ import annotations

from typing import Literal

import pytest

from antiphon import Actions, ClientSession, Deliver, PlayAudio, Role, SessionConfig, StopAudio
from antiphon.engine import codec
from bench import samples

DEPTH = 64
decode = codec.server_decoder(DEPTH)


def with_extra(extra: bytes, *, first: bool) -> bytes:
    """The audio delta with one more field, whose JSON is ``extra``, at the front or at the end."""
    body = samples.AUDIO_DELTA[1:-1]
    return b'{"x":' + extra + b"," + body + b"}" if first else b"{" + body + b',"x":' + extra + b"}"


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_broken_utf8_beside_the_audio_is_found(first: bool) -> None:
    answer = decode(with_extra(b'"\xff"', first=first))
    assert isinstance(answer, codec.Unreadable)
    assert answer.kind == "utf8"


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"":', b"}")], ids=["arrays", "objects"])
def test_nesting_beside_the_audio_is_bounded(first: bool, opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return opening * levels + b"0" + closing * levels

    answer = decode(with_extra(nested(DEPTH), first=first))
    assert isinstance(answer, codec.Unreadable)
    assert answer.kind == "depth"
    assert not isinstance(decode(with_extra(nested(DEPTH - 1), first=first)), codec.Unreadable)


def test_deltas_that_alternate_between_parts_go_to_their_parts() -> None:
    session = samples.speaking_session(samples.TEXT_PART)
    second = {**samples.PLACE, "content_index": 1}
    session.receive_message(
        samples.text_of({"type": "response.content_part.added", **second, "part": samples.TEXT_PART}), 1
    )
    for letter in "abc":
        for place, delta in ((samples.PLACE, letter), (second, letter.upper())):
            session.receive_message(samples.text_of({"type": "response.output_text.delta", **place, "delta": delta}), 1)
    node = session.conversation.get(samples.ITEM_ID)
    assert node is not None
    assert (node.text_at(0), node.text_at(1)) == ("abc", "ABC")


def test_a_part_that_was_cut_takes_no_more_audio_though_its_entry_is_remembered() -> None:
    session = samples.speaking_session(samples.AUDIO_PART)
    actions = session.receive_message(samples.AUDIO_DELTA, 1)
    assert any(isinstance(action, PlayAudio) for action in actions)
    assert any(isinstance(action, StopAudio) for action in session.interrupt(1))
    actions = session.receive_message(samples.AUDIO_DELTA, 1)
    assert not any(isinstance(action, PlayAudio) for action in actions)


def test_an_odd_byte_is_carried_to_the_next_delta() -> None:
    session = samples.speaking_session(samples.AUDIO_PART)
    played = b""
    for delta in ("YWJj", "ZGVm"):  # abc, def
        text = samples.text_of({"type": "response.output_audio.delta", **samples.PLACE, "delta": delta})
        for action in session.receive_message(text, 1):
            if isinstance(action, PlayAudio):
                assert action.start == len(played) // 2
                played += action.audio
    assert played == b"abcdef"


def test_the_hot_path_goes_through_the_stepper_that_was_asked_for() -> None:
    both: list[list[Actions]] = []
    steppers: tuple[Literal["compiled", "transitions"], ...] = ("compiled", "transitions")
    for stepper in steppers:
        session = ClientSession(Role.CLIENT, SessionConfig(stepper=stepper), now=0)
        session.start(0)
        session.opened(0)
        for text in (samples.CREATED, *samples.beginning(samples.AUDIO_PART)):
            session.receive_message(text, 0)
        both.append([session.receive_message(samples.AUDIO_DELTA, 1) for _ in range(3)])
        assert session.stepper.__name__ == f"{stepper}_step"
    assert both[0] == both[1]
    assert [type(action) for action in both[0][0]] == [Deliver, PlayAudio]
