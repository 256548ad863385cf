"""Sample rate conversion, in one piece and as a stream."""

import math
import sys
from array import array

import pytest

from antiphon_audio import Resampler, ResamplerMissingError, resample


def sine(rate: int, hertz: float, seconds: float = 0.5) -> bytes:
    return array(
        "h", [round(9_000 * math.sin(math.tau * hertz * n / rate)) for n in range(int(rate * seconds))]
    ).tobytes()


def middle(pcm: bytes) -> list[int]:
    """The samples without the filter's edges."""
    samples = array("h", pcm)
    return list(samples[len(samples) // 4 : -len(samples) // 4])


class TestWithoutTheExtra:
    @pytest.fixture(autouse=True)
    def _not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soxr", None)

    def test_equal_rates_need_no_package_and_change_nothing(self) -> None:
        pcm = sine(24_000, 440)
        assert resample(pcm, 24_000, 24_000) == pcm

    def test_another_rate_names_the_extra_to_install(self) -> None:
        with pytest.raises(ResamplerMissingError, match=r"install antiphon\[cli\]"):
            resample(sine(8_000, 440), 8_000, 24_000)


class TestWithTheExtra:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("soxr", reason="the extra [cli] is not installed")

    @pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
    def test_a_tone_keeps_its_pitch_loudness_and_length(self, rate: int) -> None:
        converted = resample(sine(rate, 440), rate, 24_000)
        expected = sine(24_000, 440)
        assert abs(len(converted) - len(expected)) <= 4
        worst = max(abs(is_ - should) for is_, should in zip(middle(converted), middle(expected), strict=False))
        assert worst < 90  # a hundredth of the loudness, phase included

    def test_what_the_lower_rate_cannot_carry_is_filtered_out(self) -> None:
        assert max(map(abs, middle(resample(sine(48_000, 15_000), 48_000, 24_000)))) < 20

    @pytest.mark.parametrize("piece", [1, 7, 960, 4_001])
    def test_the_cut_of_a_stream_does_not_change_its_sound(self, piece: int) -> None:
        pcm = sine(16_000, 440, 0.2)
        stream = Resampler(16_000, 24_000)
        parts = [stream.feed(pcm[start : start + piece]) for start in range(0, len(pcm), piece)]
        assert b"".join(parts) + stream.finish() == resample(pcm, 16_000, 24_000)

    def test_channels_stay_apart(self) -> None:
        silent = bytes(len(sine(16_000, 440)))
        stereo = array("h", bytes(2 * len(silent)))
        stereo[0::2] = array("h", sine(16_000, 440))
        converted = array("h", resample(stereo.tobytes(), 16_000, 24_000, channels=2))
        assert max(map(abs, converted[0::2])) > 8_000
        assert max(map(abs, converted[1::2])) == 0


@pytest.mark.parametrize(("rate_in", "rate_out", "channels"), [(0, 24_000, 1), (24_000, -1, 1), (8_000, 8_000, 0)])
def test_rates_and_channels_are_positive(rate_in: int, rate_out: int, channels: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        Resampler(rate_in, rate_out, channels=channels)
