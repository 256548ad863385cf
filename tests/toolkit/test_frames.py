"""Frames are found wherever the stream was cut, and made again as they were."""

from __future__ import annotations

import pytest

from antiphon.toolkit.frames import PONG, Frame, FrameReader, frame_of, frames_in, text_of
from toolkit.journal_helpers import text_frame

SIZES = pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])


@SIZES
@pytest.mark.parametrize("masked", [False, True])
def test_a_frame_is_read_as_it_was_written(size: int, masked: bool) -> None:
    frame = text_of(b"y" * size)
    (read,) = FrameReader().feed(frame_of(frame, masked=masked))
    assert (read.head, read.payload, read.masked) == (frame.head, frame.payload, masked)
    assert read.is_whole_text


@SIZES
def test_a_mask_is_taken_off(size: int) -> None:
    ((frame, mask),) = frames_in(text_frame(b"y" * size, masked=True))
    assert frame.payload == b"y" * size
    assert len(mask) == 4


def test_a_frame_without_a_mask_has_none() -> None:
    assert [mask for _, mask in frames_in(text_frame(b"y", masked=False))] == [b""]


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_frames_are_found_however_the_bytes_are_cut(step: int) -> None:
    frames = [Frame(0x01, b"a" * 130, True), Frame(0x89, b"", True), Frame(0x80, b"b", True)]
    data = b"".join(frame_of(frame, masked=True) for frame in frames)
    reader = FrameReader()
    found = [frame for start in range(0, len(data), step) for frame in reader.feed(data[start : start + step])]
    assert found == frames
    assert reader.rest == b""


def test_what_is_not_whole_can_be_told_without_its_mask() -> None:
    data = text_frame(b"hello there", masked=True)
    for cut in range(len(data)):
        reader = FrameReader()
        assert reader.feed(data[:cut]) == []
        told = reader.partial(lambda text: text)
        assert len(told) == cut
        assert told[6:] == b"hello there"[: max(0, cut - 6)]


def test_only_what_may_be_shown_of_it_is_told() -> None:
    reader = FrameReader()
    reader.feed(text_frame(b"hello there", masked=False)[:8])
    assert reader.partial(lambda text: b"x" * len(text)) == b"\x81\x0bxxxxxx"


def test_a_large_frame_in_small_chunks_is_not_searched_again_with_each() -> None:
    data = text_frame(b"y" * 4_000_000, masked=False)
    reader = FrameReader()
    found = [frame for start in range(0, len(data), 1000) for frame in reader.feed(data[start : start + 1000])]
    assert [len(frame.payload) for frame in found] == [4_000_000]


def test_the_sign_of_life_is_a_bare_pong() -> None:
    assert frame_of(PONG, masked=False) == b"\x8a\x00"


def test_a_payload_does_not_stand_in_a_repr() -> None:
    assert "secret" not in repr(text_of(b"secret"))


def test_the_last_frame_of_a_message_is_known() -> None:
    assert text_of(b"").is_last
    assert not Frame(0x01, b"").is_last
