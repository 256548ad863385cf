"""The microphone and the loudspeaker that are not there: real time, to the sample."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path

import pytest

from antiphon import PCM16_24K, PCMU, PlayAudio
from antiphon_cli.devices import CHUNK_BYTES, RATE, Microphone, PartKey, Recording, Speaker, level

MS = 1_000_000
SECOND = 1_000_000_000
ONE = PartKey("item_1", 0)
TWO = PartKey("item_2", 0)


def audio(key: PartKey, ms: int, *, start: int = 0) -> PlayAudio:
    return PlayAudio(key.item_id, key.content_index, start, bytes([1]) * (48 * ms), PCM16_24K)


def test_a_microphone_is_silent_until_it_is_given_something_to_say() -> None:
    microphone = Microphone()
    assert microphone.read() == bytes(CHUNK_BYTES)
    microphone.say(b"\x01" * (CHUNK_BYTES + 2))
    assert microphone.read() == b"\x01" * CHUNK_BYTES
    assert microphone.is_speaking
    assert microphone.read() == b"\x01\x01" + bytes(CHUNK_BYTES - 2)
    assert not microphone.is_speaking


def test_a_speaker_plays_at_real_speed() -> None:
    speaker = Speaker(0)
    speaker.play(audio(ONE, 100))
    assert [(sound.key, sound.played) for sound in speaker.advance(40 * MS)] == [(ONE, 960)]
    assert [(sound.key, sound.played) for sound in speaker.advance(100 * MS)] == [(ONE, 2400)]
    assert speaker.is_idle
    assert speaker.advance(SECOND) == []


def test_no_sample_is_lost_or_gained_between_odd_steps_of_time() -> None:
    speaker = Speaker(0)
    speaker.play(audio(ONE, 2000))
    steps = range(0, SECOND + 1, 33_333_333)
    heard = sum(len(sound.audio) // 2 for now in steps for sound in speaker.advance(now))
    assert heard == steps[-1] * RATE // SECOND


def test_the_time_before_there_is_sound_is_not_made_up_for() -> None:
    speaker = Speaker(0)
    speaker.advance(SECOND)
    speaker.play(audio(ONE, 100))
    (sound,) = speaker.advance(SECOND + 10 * MS)
    assert sound.played == 240


def test_a_part_follows_the_one_before_it_without_a_gap() -> None:
    speaker = Speaker(0)
    speaker.play(audio(ONE, 50))
    speaker.play(audio(TWO, 50))
    assert [(sound.key, sound.played) for sound in speaker.advance(80 * MS)] == [(ONE, 1200), (TWO, 720)]
    assert (speaker.heard(ONE), speaker.heard(TWO)) == (1200, 720)


def test_a_part_that_ran_dry_goes_on_where_it_stopped() -> None:
    speaker = Speaker(0)
    speaker.play(audio(ONE, 40))
    speaker.advance(SECOND)
    speaker.play(audio(ONE, 40, start=960))
    (sound,) = speaker.advance(SECOND + 40 * MS)
    assert sound.played == 1920


def test_stopping_flushes_a_part_and_answers_what_was_heard_of_it() -> None:
    speaker = Speaker(0)
    speaker.play(audio(ONE, 100))
    speaker.advance(25 * MS)
    assert speaker.stop(*ONE) == 600
    assert speaker.is_idle
    assert speaker.stop(*ONE) == 600
    assert speaker.stop(*TWO) == 0


def test_another_format_is_counted_and_not_played() -> None:
    speaker = Speaker(0)
    speaker.play(PlayAudio("item_1", 0, 0, b"\xff" * 800, PCMU))
    assert (speaker.unplayable, speaker.is_idle) == (1, True)


@pytest.mark.parametrize(("amplitude", "expected"), [(0, 0.0), (10, 0.0), (32767, 1.0)])
def test_the_level_goes_from_silence_to_full_scale(amplitude: int, expected: float) -> None:
    assert level(array("h", [amplitude, -amplitude] * 480).tobytes()) == pytest.approx(expected, abs=0.001)


def test_the_level_of_nothing_is_silence() -> None:
    assert level(b"") == 0.0


def test_a_recording_has_each_side_on_its_channel_where_it_was_heard(tmp_path: Path) -> None:
    recording = Recording(str(tmp_path / "both.wav"), start=5 * SECOND)
    recording.add("user", array("h", [7] * 2400).tobytes(), 5 * SECOND + 100 * MS)
    recording.add("assistant", array("h", [9] * 2400).tobytes(), 5 * SECOND + 900 * MS)
    recording.close()
    with wave.open(str(tmp_path / "both.wav")) as file:
        samples = array("h", file.readframes(file.getnframes()))
    left, right = samples[0::2], samples[1::2]
    assert left == array("h", [7] * 2400 + [0] * (len(left) - 2400))
    assert right == array("h", [0] * (800 * 24) + [9] * 2400)


def test_chunks_that_come_a_little_late_are_put_behind_each_other(tmp_path: Path) -> None:
    recording = Recording(str(tmp_path / "both.wav"), start=0)
    for number in range(1, 6):
        recording.add("user", array("h", [number] * 960).tobytes(), number * 40 * MS + number % 2 * 7 * MS)
    recording.close()
    with wave.open(str(tmp_path / "both.wav")) as file:
        left = array("h", file.readframes(file.getnframes()))[0::2]
    spoken = [each for each in left if each]
    assert spoken == [number for number in range(1, 6) for _ in range(960)]
