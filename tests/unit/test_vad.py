"""Voice activity: one turn where somebody speaks once, none where nobody does, in the protocol's milliseconds."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon_audio import read_wav
from antiphon_server.vad import EnergyDetector, SpeechStarted, SpeechStopped, VoiceActivity
from shared_data import ABSENT, SHARED

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "adapters/antiphon_cli/assets"
RECORDED = SHARED / "audio"
SECOND = bytes(48_000)


class Scripted:
    """A detector of 10 ms frames that hears speech wherever a frame's first byte is not zero."""

    frame_samples = 240

    def score(self, frame: bytes) -> float:
        return 0.9 if frame[0] else 0.1


def frames(*runs: tuple[int, bool]) -> bytes:
    """Audio for `Scripted`: how many milliseconds (by tens), and whether they are speech."""
    return b"".join((b"\x01" if speech else b"\x00") * (ms // 10 * 480) for ms, speech in runs)


def scripted(**settings: float) -> VoiceActivity:
    return VoiceActivity(24_000, detector=Scripted(), **settings)  # type: ignore[arg-type]  # numbers, as the test says


def noise(seconds: float, decibels: float) -> array[int]:
    chance = random.Random(7)
    loudness = 32_768 * 10 ** (decibels / 20)
    return array("h", [round(chance.gauss(0, loudness)) for _ in range(int(24_000 * seconds))])


def with_noise(pcm: bytes, decibels: float) -> bytes:
    speech = array("h", pcm)
    hiss = noise(len(speech) / 24_000 + 0.1, decibels)
    return array("h", [max(-32_768, min(32_767, a + b)) for a, b in zip(speech, hiss, strict=False)]).tobytes()


class TestTurns:
    def test_the_start_includes_the_padding_and_the_end_the_silence(self) -> None:
        events = scripted(prefix_padding_ms=300, silence_duration_ms=500).feed(
            frames((1_000, False), (700, True), (900, False))
        )
        assert events == [SpeechStarted(700), SpeechStopped(2_200)]

    def test_the_padding_never_reaches_before_the_first_sample(self) -> None:
        assert scripted().feed(frames((100, False), (100, True))) == [SpeechStarted(0)]

    def test_the_next_start_may_lie_before_the_last_end(self) -> None:
        events = scripted(prefix_padding_ms=300, silence_duration_ms=200).feed(
            frames((500, False), (300, True), (250, False), (300, True), (300, False))
        )
        assert events == [SpeechStarted(200), SpeechStopped(1_000), SpeechStarted(750), SpeechStopped(1_550)]

    def test_a_pause_shorter_than_the_silence_does_not_end_the_turn(self) -> None:
        events = scripted(silence_duration_ms=500).feed(
            frames((500, False), (300, True), (490, False), (300, True), (600, False))
        )
        assert events == [SpeechStarted(200), SpeechStopped(2_090)]

    def test_a_click_is_no_speech_and_does_not_prolong_a_turn(self) -> None:
        voice = scripted(silence_duration_ms=500)
        assert voice.feed(frames((500, False), (20, True), (500, False))) == []
        events = voice.feed(frames((100, True), (300, False), (20, True), (300, False)))
        assert events == [SpeechStarted(720), SpeechStopped(1_620)]

    def test_the_start_is_told_while_somebody_still_speaks(self) -> None:
        voice = scripted()
        assert voice.feed(frames((500, False), (30, True))) == [SpeechStarted(200)]
        assert voice.speaking

    def test_a_forgotten_turn_has_no_end_and_the_time_goes_on(self) -> None:
        voice = scripted()
        voice.feed(frames((500, False), (100, True)))
        voice.forget_turn()
        assert voice.feed(frames((1_400, False))) == []
        assert voice.feed(frames((100, True))) == [SpeechStarted(1_700)]

    def test_new_settings_hold_from_now_on(self) -> None:
        voice = scripted(silence_duration_ms=500)
        voice.feed(frames((500, False), (100, True)))
        voice.configure(threshold=0.5, prefix_padding_ms=0, silence_duration_ms=200)
        assert voice.feed(frames((200, False))) == [SpeechStopped(800)]

    def test_a_higher_threshold_wants_more(self) -> None:
        assert scripted(threshold=0.95).feed(frames((500, False), (500, True))) == []

    @pytest.mark.parametrize(
        "settings", [{"threshold": 1.1}, {"threshold": -0.1}, {"prefix_padding_ms": -1}, {"silence_duration_ms": -1}]
    )
    def test_settings_out_of_bounds_are_refused(self, settings: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="voice activity"):
            scripted(**settings)

    def test_a_rate_below_telephone_quality_is_refused(self) -> None:
        with pytest.raises(ValueError, match="8000"):
            VoiceActivity(4_000)


@given(st.lists(st.integers(1, 3_000), max_size=60))
def test_the_cut_of_the_audio_does_not_change_the_turns(cuts: list[int]) -> None:
    audio = frames((200, False), (200, True), (600, False), (200, True), (600, False))
    voice, events, start = scripted(), [], 0
    for size in cuts:
        events += voice.feed(audio[start : start + size])
        start += size
    events += voice.feed(audio[start:])
    assert events == scripted().feed(audio)


class TestEnergy:
    @pytest.mark.parametrize(("name", "starts", "ends"), [("question.wav", 200, 1_735), ("barge_in.wav", 200, 1_835)])
    @pytest.mark.parametrize("floor", [None, -60, -45, -38])
    @pytest.mark.parametrize("silence", [200, 500])
    def test_each_bundled_file_is_one_turn_in_quiet_and_in_noise(
        self, name: str, starts: int, ends: int, floor: int | None, silence: int
    ) -> None:
        pcm = read_wav(ASSETS / name).pcm + SECOND
        voice = VoiceActivity(24_000, prefix_padding_ms=0, silence_duration_ms=silence)
        started, stopped = voice.feed(pcm if floor is None else with_noise(pcm, floor))
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert started.audio_start_ms == pytest.approx(starts, abs=130)
        assert stopped.audio_end_ms - silence == pytest.approx(ends, abs=130)

    @pytest.mark.parametrize(
        ("name", "starts", "ends"),
        [("livekit_hello_world.wav", 290, 1_020), ("livekit_weather_question.wav", 450, 1_860)],
    )
    def test_each_recorded_file_is_one_turn_where_a_model_hears_it(self, name: str, starts: int, ends: int) -> None:
        if not RECORDED.is_dir():
            pytest.skip(ABSENT)
        voice = VoiceActivity(24_000, prefix_padding_ms=0, silence_duration_ms=500)
        started, stopped = voice.feed(read_wav(RECORDED / name).pcm + SECOND)
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert started.audio_start_ms == pytest.approx(starts, abs=100)
        assert stopped.audio_end_ms - 500 == pytest.approx(ends, abs=100)

    def test_a_second_question_after_a_pause_is_a_second_turn(self) -> None:
        question = read_wav(ASSETS / "question.wav").pcm
        kinds = [type(event) for event in VoiceActivity(24_000).feed(question + SECOND + question + SECOND)]
        assert kinds == [SpeechStarted, SpeechStopped, SpeechStarted, SpeechStopped]

    def test_a_stream_that_begins_with_speech_is_heard_from_the_first_sample(self) -> None:
        spoken = read_wav(ASSETS / "question.wav").pcm[2 * 4_800 :]
        assert VoiceActivity(24_000).feed(spoken)[0] == SpeechStarted(0)

    @pytest.mark.parametrize("decibels", [-70, -50, -38, -30])
    def test_steady_noise_is_no_speech(self, decibels: int) -> None:
        assert VoiceActivity(24_000).feed(noise(5, decibels).tobytes()) == []

    def test_silence_and_a_constant_offset_are_no_speech(self) -> None:
        assert VoiceActivity(24_000).feed(SECOND + array("h", [9_000] * 48_000).tobytes()) == []

    def test_noise_that_sets_in_becomes_the_floor_after_three_seconds(self) -> None:
        events = VoiceActivity(24_000).feed(SECOND + noise(6, -20).tobytes())
        assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]

    def test_the_score_is_the_height_above_the_floor(self) -> None:
        detector = EnergyDetector(24_000)
        quiet, loud = noise(0.02, -60).tobytes(), noise(0.02, -48).tobytes()
        for _ in range(20):
            assert detector.score(quiet) < 0.1
        assert detector.score(loud) == pytest.approx(0.5, abs=0.1)

    @pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
    def test_times_are_milliseconds_at_every_rate(self, rate: int) -> None:
        loud = array("h", [8_000, -8_000] * (rate // 4)).tobytes()
        quiet = bytes(2 * rate)
        events = VoiceActivity(rate, prefix_padding_ms=100).feed(quiet + loud + quiet)
        assert events == [SpeechStarted(900), SpeechStopped(2_000)]
