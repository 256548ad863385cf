"""`antiphon.engine.audio`: formats, base64, the append template, whole samples, the count of the input audio buffer."""

from __future__ import annotations

import base64
import json
from array import array
from itertools import pairwise
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.audio import (
    PCM16_24K,
    PCMA,
    PCMU,
    AudioFormat,
    InputAudioLedger,
    InputAudioState,
    Remainder,
    append_message,
    byte_length,
    decode_base64,
    encode_base64,
)

formats = st.builds(
    AudioFormat,
    st.sampled_from(["audio/pcm", "audio/pcmu", "audio/pcma"]),
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]) | st.integers(1, 200_000),
)


def cut_up(data: bytes, at: list[int]) -> list[bytes]:
    """``data`` in pieces, cut at these positions (taken modulo its length)."""
    edges = sorted({0, len(data), *(position % (len(data) + 1) for position in at)})
    return [data[low:high] for low, high in pairwise(edges)]


# -- AudioFormat -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "bytes_per_ms"), [(PCM16_24K, 48), (PCMU, 8), (PCMA, 8)])
def test_the_formats_of_the_service_have_their_documented_bytes_per_millisecond(
    format: AudioFormat, bytes_per_ms: int
) -> None:
    assert format.ms(format.samples(bytes_per_ms * 1000)) == 1000
    assert format.samples_for_ms(1) * format.bytes_per_sample == bytes_per_ms


def test_milliseconds_are_rounded_down_so_that_they_never_exceed_the_audio() -> None:
    assert PCM16_24K.ms(23) == 0
    assert PCM16_24K.ms(24) == 1
    assert AudioFormat("audio/pcm", 22_050).ms(22_049) == 999


def test_half_a_sample_is_no_sample() -> None:
    assert PCM16_24K.samples(3) == 1
    assert PCMU.samples(3) == 3


@given(formats, st.integers(0, 10**9))
def test_samples_for_ms_is_the_least_count_that_lasts_so_long(format: AudioFormat, ms: int) -> None:
    samples = format.samples_for_ms(ms)
    assert format.ms(samples) >= ms
    assert samples == 0 or format.ms(samples - 1) < ms


@given(formats, st.integers(0, 10**9))
def test_going_to_milliseconds_and_back_never_invents_samples(format: AudioFormat, samples: int) -> None:
    assert format.samples_for_ms(format.ms(samples)) <= samples


def test_a_rate_below_one_hertz_is_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        AudioFormat("audio/pcm", 0)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="audio type"):
        AudioFormat("audio/opus", 48_000)  # type: ignore[arg-type]  # the point of the test


def test_a_decoded_format_is_checked_like_a_built_one() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"audio/pcm","rate":-1}', type=AudioFormat)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, PCM16_24K),
        (msgspec.UNSET, PCM16_24K),
        (PCMA, PCMA),
        ({"type": "audio/pcm", "rate": 24000}, PCM16_24K),
        ({"type": "audio/pcm", "rate": 16000}, AudioFormat("audio/pcm", 16_000)),
        ({"type": "audio/pcm", "rate": 16000.0}, AudioFormat("audio/pcm", 16_000)),
        ({"type": "audio/pcm"}, PCM16_24K),
        ({"type": "audio/pcm", "rate": None}, PCM16_24K),
        ({"rate": 48000}, AudioFormat("audio/pcm", 48_000)),
        ({"type": "audio/pcmu"}, PCMU),
        ({"type": "audio/pcma"}, PCMA),
        ({"type": "audio/pcmu", "rate": 24000}, PCMU),
        (SimpleNamespace(type="audio/pcmu", rate=msgspec.UNSET), PCMU),
        ("pcm16", PCM16_24K),
        ("g711_ulaw", PCMU),
        ("g711_alaw", PCMA),
        ("pcm16_8000hz", AudioFormat("audio/pcm", 8_000)),
    ],
)
def test_a_session_format_is_read_in_every_shape_that_peers_use(value: object, expected: AudioFormat) -> None:
    assert AudioFormat.from_session(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "not specified",
        "mp3",
        {"type": "audio/opus"},
        {"type": ["audio/pcm"]},
        {"type": "audio/pcm", "rate": 0},
        {"type": "audio/pcm", "rate": -8000},
        {"type": "audio/pcm", "rate": 8000.5},
        {"type": "audio/pcm", "rate": float("inf")},
        {"type": "audio/pcm", "rate": float("nan")},
        {"type": "audio/pcm", "rate": True},
        {"type": "audio/pcm", "rate": "24000"},
    ],
)
def test_a_session_format_that_cannot_be_counted_in_is_none_and_not_an_error(value: object) -> None:
    assert AudioFormat.from_session(value) is None


# -- base64 ------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_base64_survives_the_round_trip_and_is_the_standard_alphabet(data: bytes) -> None:
    assert encode_base64(data) == base64.b64encode(data).decode()
    assert decode_base64(encode_base64(data)) == data


@pytest.mark.parametrize("text", ["A", "AB", "AB=", "====", "AAA\n", "AA AA", "A-_=", "é===", "\ud800", "\x00AAA"])
def test_what_is_no_base64_is_none(text: str) -> None:
    assert decode_base64(text) is None


@given(st.text(st.characters(codec=None), max_size=20))
def test_decoding_raises_for_no_text_at_all(text: str) -> None:
    decoded = decode_base64(text)
    assert decoded is None or base64.b64decode(text) == decoded


# -- the append message ------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_an_append_message_is_the_json_that_an_encoder_would_write(pcm: bytes) -> None:
    assert json.loads(append_message(pcm)) == {
        "type": "input_audio_buffer.append",
        "audio": base64.b64encode(pcm).decode(),
    }


def test_an_append_message_takes_what_programs_hold_audio_in() -> None:
    samples = array("h", [1, -2, 3])
    expected = append_message(samples.tobytes())
    assert append_message(memoryview(samples)) == expected
    assert append_message(bytearray(samples.tobytes())) == expected


def test_the_size_of_a_memoryview_is_in_bytes_not_elements() -> None:
    assert byte_length(memoryview(array("h", [1, 2, 3]))) == 6
    assert byte_length(bytearray(5)) == byte_length(bytes(5)) == 5


# -- Remainder ---------------------------------------------------------------------------------------------------------


def test_a_whole_chunk_passes_uncopied() -> None:
    chunk = bytes(range(8))
    assert Remainder(2).feed(chunk) is chunk


def test_an_odd_byte_waits_for_its_other_half() -> None:
    remainder = Remainder(2)
    assert remainder.feed(b"abc") == b"ab"
    assert remainder.feed(b"d") == b"cd"
    assert remainder.kept == b""


def test_one_byte_samples_never_leave_a_remainder() -> None:
    assert Remainder(1).feed(b"abc") == b"abc"


@given(st.integers(1, 4), st.binary(max_size=64), st.lists(st.integers(0, 64)))
def test_any_cut_of_the_bytes_gives_the_same_whole_samples(width: int, data: bytes, at: list[int]) -> None:
    remainder = Remainder(width)
    pieces = [remainder.feed(piece) for piece in cut_up(data, at)]
    whole = len(data) - len(data) % width
    assert b"".join(pieces) == data[:whole]
    assert all(len(piece) % width == 0 for piece in pieces)
    assert remainder.kept == data[whole:]


def test_a_remainder_does_not_show_its_audio() -> None:
    assert repr(Remainder(2, b"Z")) == "Remainder(bytes_per_sample=2, kept=<1 bytes>)"


# -- InputAudioLedger --------------------------------------------------------------------------------------------------


def test_positions_keep_growing_over_commit_and_clear() -> None:
    ledger = InputAudioLedger()
    assert ledger.append(4800) == 0
    assert ledger.commit() == (0, 2400)
    assert ledger.append(4800) == 2400
    assert ledger.clear() == 2400
    assert ledger.append(4800) == 4800
    assert ledger.commit() == (4800, 2400)
    assert ledger.total_ms == 300


def test_the_uncommitted_part_is_what_came_after_the_last_commit_or_clear() -> None:
    ledger = InputAudioLedger(PCMU)
    ledger.append(800)
    ledger.commit()
    ledger.append(40)
    assert (ledger.uncommitted, ledger.uncommitted_ms) == (40, 5)
    ledger.clear()
    assert (ledger.uncommitted, ledger.uncommitted_ms) == (0, 0)


def test_a_commit_needs_the_minimum_to_the_last_sample() -> None:
    ledger = InputAudioLedger()
    ledger.append(4798)
    assert not ledger.can_commit(100)
    ledger.append(2)
    assert ledger.can_commit(100)


def test_odd_byte_counts_add_up_to_whole_samples() -> None:
    ledger = InputAudioLedger()
    assert [ledger.append(n) for n in (3, 3, 1, 1)] == [0, 1, 3, 3]
    assert ledger.total == 4


def test_a_turn_that_voice_detection_committed_leaves_what_was_appended_after_it() -> None:
    ledger = InputAudioLedger()
    ledger.append(48 * 1000)
    assert ledger.commit(end_ms=900) == (0, 900 * 24)
    assert ledger.uncommitted_ms == 100


@pytest.mark.parametrize(("end_ms", "expected"), [(50, (2400, 0)), (10_000, (2400, 2400))])
def test_the_end_of_a_turn_is_clamped_to_what_is_uncommitted(end_ms: int, expected: tuple[int, int]) -> None:
    ledger = InputAudioLedger()
    ledger.append(4800)
    ledger.commit()
    ledger.append(4800)
    assert ledger.commit(end_ms) == expected


def test_a_commit_keeps_the_half_sample_of_a_running_stream() -> None:
    ledger = InputAudioLedger()
    ledger.append_audio(b"abc")
    ledger.commit()
    assert ledger.append_audio(b"d") == (1, b"cd")


def test_a_clear_drops_the_half_sample() -> None:
    ledger = InputAudioLedger()
    ledger.append_audio(b"abc")
    ledger.clear()
    assert ledger.append_audio(b"de") == (1, b"de")


def test_a_clear_drops_the_half_sample_of_a_mere_count() -> None:
    ledger = InputAudioLedger()
    ledger.append(3)
    ledger.clear()
    ledger.append(3)
    assert ledger.total == 2


def test_audio_of_another_format_is_not_given_back_by_a_refused_commit() -> None:
    ledger = InputAudioLedger()
    ledger.append(4800)
    ledger.ask_commit()
    ledger.set_format(AudioFormat("audio/pcmu", 8_000))
    ledger.commit_refused()
    assert ledger.uncommitted == 0


def test_audio_is_not_retained_unless_asked_for() -> None:
    ledger = InputAudioLedger()
    assert ledger.append_audio(b"abcd") == (0, b"abcd")
    assert ledger.audio() == b""
    assert ledger.dropped_bytes == 0


def test_retained_audio_is_the_uncommitted_part() -> None:
    ledger = InputAudioLedger(retain_bytes=100)
    ledger.append_audio(b"ab")
    ledger.commit()
    ledger.append_audio(b"cdef")
    assert ledger.audio() == b"cdef"
    ledger.clear()
    assert ledger.audio() == b""


def test_beyond_the_bound_the_oldest_audio_goes_in_whole_samples_and_is_counted() -> None:
    ledger = InputAudioLedger(retain_bytes=5)
    ledger.append_audio(b"abcd")
    ledger.append_audio(b"efgh")
    assert ledger.audio() == b"efgh"
    assert ledger.dropped_bytes == 4
    assert ledger.uncommitted == 4


def test_one_turn_is_taken_from_the_retained_audio_by_its_times() -> None:
    ledger = InputAudioLedger(AudioFormat("audio/pcmu", 1000), retain_bytes=100)
    ledger.append_audio(b"0123456789")
    assert ledger.audio(start_ms=3, end_ms=7) == b"3456"
    ledger.commit(end_ms=7)
    assert ledger.audio() == b"789"


def test_a_turn_whose_padding_reaches_into_the_turn_before_begins_where_that_one_ended() -> None:
    ledger = InputAudioLedger(AudioFormat("audio/pcmu", 1000), retain_bytes=100)
    ledger.append_audio(b"0123456789")
    ledger.commit(end_ms=5)
    assert ledger.audio(start_ms=3, end_ms=8) == b"567"


def test_times_before_the_retained_audio_give_nothing() -> None:
    ledger = InputAudioLedger(AudioFormat("audio/pcmu", 1000), retain_bytes=4)
    ledger.append_audio(b"0123456789")
    assert ledger.audio(start_ms=0, end_ms=3) == b""
    assert ledger.audio(start_ms=0, end_ms=8) == b"67"


def test_a_commit_before_the_retained_audio_leaves_that_whole() -> None:
    ledger = InputAudioLedger(AudioFormat("audio/pcmu", 1000), retain_bytes=4)
    ledger.append_audio(b"0123456789")
    ledger.commit(end_ms=5)
    assert ledger.audio() == b"6789"


def test_another_format_keeps_the_time_that_has_passed() -> None:
    ledger = InputAudioLedger(PCM16_24K, retain_bytes=10_000)
    ledger.append_audio(bytes(4800))
    ledger.commit()
    ledger.append_audio(bytes(2400))
    ledger.set_format(PCMU)
    assert (ledger.total_ms, ledger.uncommitted_ms) == (150, 50)
    ledger.append_audio(bytes(80))
    assert ledger.total_ms == 160
    assert ledger.audio() == bytes(80)
    assert ledger.dropped_bytes == 2400


def test_the_same_format_again_changes_nothing() -> None:
    ledger = InputAudioLedger(PCM16_24K, retain_bytes=10)
    ledger.append_audio(b"abc")
    ledger.set_format(AudioFormat("audio/pcm", 24_000))
    assert ledger.append_audio(b"d") == (1, b"cd")
    assert ledger.audio() == b"abcd"


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="retain_bytes"):
        InputAudioLedger(retain_bytes=-1)


@given(st.binary(max_size=64), st.lists(st.integers(0, 64)), st.sampled_from([PCM16_24K, PCMU]))
def test_any_cut_of_the_input_gives_the_same_audio_and_positions(
    data: bytes, at: list[int], format: AudioFormat
) -> None:
    ledger = InputAudioLedger(format, retain_bytes=100)
    counter = InputAudioLedger(format)
    heard = b""
    for piece in cut_up(data, at):
        start, whole = ledger.append_audio(piece)
        assert start == len(heard) // format.bytes_per_sample == counter.append(len(piece))
        heard += whole
    assert heard == ledger.audio() == data[: format.samples(len(data)) * format.bytes_per_sample]
    assert ledger.total == counter.total == format.samples(len(data))


steps = st.lists(
    st.binary(max_size=40)
    | st.tuples(st.just("commit"), st.none() | st.integers(0, 40))
    | st.just("clear")
    | st.just(PCMU)
    | st.just(AudioFormat("audio/pcm", 1000)),
    max_size=20,
)


@given(steps, st.integers(0, 50))
def test_the_ledger_always_adds_up_and_never_retains_more_than_its_bound(steps: list[object], bound: int) -> None:
    ledger = InputAudioLedger(AudioFormat("audio/pcm", 1000), retain_bytes=bound)
    for step in steps:
        match step:
            case bytes():
                ledger.append_audio(step)
            case ("commit", end_ms):
                assert end_ms is None or isinstance(end_ms, int)
                before = ledger.start
                start, samples = ledger.commit(end_ms)
                assert start == before
                assert start + samples == ledger.start
            case AudioFormat():
                ledger.set_format(step)
            case _:
                ledger.clear()
        assert 0 <= ledger.start <= ledger.total
        retained = len(ledger.audio())
        assert retained <= min(bound, ledger.uncommitted * ledger.format.bytes_per_sample)
        assert retained % ledger.format.bytes_per_sample == 0


@given(steps, steps)
def test_a_ledger_restored_from_its_dump_goes_on_as_if_nothing_had_happened(
    before: list[object], after: list[object]
) -> None:
    def perform(ledger: InputAudioLedger, steps: list[object]) -> list[object]:
        answers: list[object] = []
        for step in steps:
            match step:
                case bytes():
                    answers.append(ledger.append_audio(step))
                case ("commit", end_ms):
                    assert end_ms is None or isinstance(end_ms, int)
                    answers.append((ledger.audio(end_ms=end_ms), ledger.commit(end_ms)))
                case AudioFormat():
                    ledger.set_format(step)
                case _:
                    answers.append(ledger.clear())
        return answers

    ledger = InputAudioLedger(retain_bytes=60)
    perform(ledger, before)
    text = msgspec.json.encode(ledger.dump(retained=True))
    restored = InputAudioLedger.load(msgspec.json.decode(text, type=InputAudioState), retain_bytes=60)
    assert perform(restored, after) == perform(ledger, after)
    assert restored.dump(retained=True) == ledger.dump(retained=True)


def test_a_dump_holds_no_retained_audio_unless_asked_for() -> None:
    ledger = InputAudioLedger(retain_bytes=100)
    ledger.append_audio(b"abcde")
    assert ledger.dump().retained is None
    assert ledger.dump().kept == b"e"
    assert ledger.dump(retained=True).retained == b"abcd"


def test_neither_the_ledger_nor_its_dump_shows_audio() -> None:
    ledger = InputAudioLedger(retain_bytes=100)
    ledger.append_audio(b"ZQZQZ")
    assert "Z" not in repr(ledger)
    assert "Z" not in repr(ledger.dump(retained=True))
