"""The tone voice: text in, a melody of about the same length as speech out."""

from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_audio import ToneVoice, speak

SENTENCE = "The weather in Paris is mild today, with a light wind from the west. It will stay dry until the evening."


def seconds(pcm: bytes, rate: int = 24_000) -> float:
    return len(pcm) / 2 / rate


def hum(text: str) -> bytes:
    return b"".join(pcm for _, pcm in speak(text))


def peak(pcm: bytes) -> int:
    return max(map(abs, array("h", pcm)), default=0)


def test_it_speaks_at_the_pace_of_people() -> None:
    assert 11 < len(SENTENCE) / seconds(hum(SENTENCE)) < 18  # characters a second


def test_text_comes_word_by_word_and_joins_to_what_was_given() -> None:
    text = " Hello,  dear\nworld. "
    assert [chunk for chunk, _ in speak(text)] == [" Hello,  ", "dear\n", "world. "]


def test_every_word_has_its_share_of_the_audio() -> None:
    assert all(pcm for _, pcm in speak(SENTENCE))


def test_an_empty_text_has_no_audio() -> None:
    assert list(speak("")) == []


def test_equal_texts_sound_equal() -> None:
    assert hum(SENTENCE) == hum(SENTENCE)


@given(st.text(max_size=30), st.integers(0, 30))
def test_the_cut_of_the_text_does_not_change_the_sound(text: str, cut: int) -> None:
    whole, parts = ToneVoice(8_000), ToneVoice(8_000)
    assert parts.say(text[:cut]) + parts.say(text[cut:]) + parts.finish() == whole.say(text) + whole.finish()


def test_it_is_audible_and_never_clips() -> None:
    assert 5_000 < peak(hum(SENTENCE)) < 20_000


def test_it_begins_and_ends_softly() -> None:
    pcm = hum(SENTENCE)
    assert peak(pcm[:96]) < 1_000  # the first two milliseconds
    assert peak(pcm[-96:]) < 300


def test_it_has_no_clicks_between_words() -> None:
    samples = array("h", hum(SENTENCE))
    steepest = max(abs(after - before) for before, after in pairwise(samples))
    assert steepest < 2_000  # a jump from silence to full loudness would be 10,000


def test_a_full_stop_is_silence() -> None:
    voice = ToneVoice()
    voice.say("Yes")
    assert peak(voice.say(".")[-4_800:]) < 20


def test_a_gap_is_one_pause_however_it_is_written() -> None:
    assert len(hum("yes. no")) == len(hum("yes...   no"))


def test_words_differ_in_pitch() -> None:
    def crossings(pcm: bytes) -> int:
        samples = array("h", pcm)
        return sum(before < 0 <= after for before, after in pairwise(samples))

    assert len({crossings(ToneVoice().say("oooooo")), crossings(hum("a oooooo")) - crossings(hum("a "))}) == 2


def test_a_digit_and_a_full_width_character_last_as_long_as_a_syllable() -> None:
    assert len(ToneVoice().say("8")) == len(ToneVoice().say("天")) > 2 * len(ToneVoice().say("b"))


def test_the_length_in_time_is_the_same_at_every_rate() -> None:
    assert seconds(ToneVoice(8_000).say("hello"), 8_000) == pytest.approx(seconds(ToneVoice().say("hello")), abs=0.002)


@pytest.mark.parametrize("rate", [0, 7_999, 192_001])
def test_a_rate_out_of_bounds_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        ToneVoice(rate)
