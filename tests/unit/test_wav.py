"""WAV files: what is read, what is refused in words, what survives, and the time line of two speakers."""

import os
import struct
import sys
import wave
from array import array
from pathlib import Path

import pytest

from antiphon_audio import StereoTimeline, WavError, WavWriter, read_wav

ASSETS = Path(__file__).resolve().parents[2] / "adapters/antiphon_cli/assets"
RAMP = [0, 1_000, -1_000, 20_000, -20_000, 32_767, -32_768, 5]


def pcm16(samples: list[int]) -> bytes:
    return array("h", samples).tobytes()


def samples_of(pcm: bytes) -> list[int]:
    return list(array("h", pcm))


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def wav_bytes(body: bytes, *, tag: int = 1, channels: int = 1, rate: int = 24_000, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    layout = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits)
    content = b"WAVE" + chunk(b"fmt ", layout) + chunk(b"data", body)
    return b"RIFF" + struct.pack("<I", len(content)) + content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "speech.wav"


class TestReading:
    def test_a_file_in_the_protocols_form_is_read_as_it_is_and_without_a_note(self, path: Path) -> None:
        path.write_bytes(wav_bytes(pcm16(RAMP)))
        audio = read_wav(path)
        assert (samples_of(audio.pcm), audio.notes, audio.seconds) == (RAMP, (), len(RAMP) / 24_000)

    @pytest.mark.parametrize(
        ("tag", "bits", "body", "expected", "word"),
        [
            pytest.param(1, 8, bytes([128, 255, 0]), [0, 127 << 8, -128 << 8], "8-bit", id="8-bit-unsigned"),
            pytest.param(1, 24, bytes([0xFF, 0x34, 0x12, 0, 0, 0x80]), [0x1234, -32_768], "24-bit", id="24-bit"),
            pytest.param(1, 32, struct.pack("<2i", 0x12345678, -(1 << 31)), [0x1234, -32_768], "32-bit", id="32-bit"),
            pytest.param(
                3, 32, struct.pack("<6f", 0.5, -1, 1, 9, float("-inf"), float("nan")),
                [16_384, -32_768, 32_767, 32_767, -32_768, 0], "32-bit float", id="float",
            ),
            pytest.param(3, 64, struct.pack("<2d", 0.25, -0.25), [8_192, -8_192], "64-bit float", id="double"),
            pytest.param(7, 8, bytes([0xFF, 0x7F, 0x80, 0x00]), [0, 0, 32_124, -32_124], "µ-law", id="mu-law"),
            pytest.param(6, 8, bytes([0xD5, 0x55, 0xAA, 0x2A]), [8, -8, 32_256, -32_256], "A-law", id="A-law"),
        ],
    )  # fmt: skip
    def test_other_samples_become_pcm16_with_a_note(
        self, path: Path, tag: int, bits: int, body: bytes, expected: list[int], word: str
    ) -> None:
        path.write_bytes(wav_bytes(body, tag=tag, bits=bits))
        audio = read_wav(path)
        assert samples_of(audio.pcm) == expected
        assert audio.notes == (f"converted {word} to 16-bit PCM",)

    def test_stereo_is_averaged(self, path: Path) -> None:
        path.write_bytes(wav_bytes(pcm16([100, 300, -50, -150]), channels=2))
        audio = read_wav(path)
        assert samples_of(audio.pcm) == [200, -100]
        assert audio.notes == ("converted 24000 Hz stereo to 24000 Hz mono",)

    def test_another_rate_is_converted_with_a_note(self, path: Path) -> None:
        pytest.importorskip("soxr", reason="the extra [cli] is not installed")
        path.write_bytes(wav_bytes(bytes(4 * 44_100), channels=2, rate=44_100))
        audio = read_wav(path)
        assert audio.seconds == pytest.approx(1.0, abs=0.001)
        assert audio.notes == ("converted 44100 Hz stereo to 24000 Hz mono",)

    def test_another_rate_without_the_converter_is_refused_with_the_extra_to_install(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "soxr", None)
        path.write_bytes(wav_bytes(pcm16(RAMP), rate=44_100))
        with pytest.raises(WavError, match=r"speech.wav: has 44100 Hz where 24000 Hz is needed.*antiphon\[cli\]"):
            read_wav(path)

    def test_the_extensible_header_is_looked_through(self, path: Path) -> None:
        layout = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 24_000, 48_000, 2, 16, 22, 16, 4)
        layout += struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
        path.write_bytes(b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", layout) + chunk(b"data", pcm16(RAMP)))
        assert samples_of(read_wav(path).pcm) == RAMP

    def test_other_chunks_are_passed_over_odd_ones_too(self, path: Path) -> None:
        plain = wav_bytes(pcm16(RAMP))
        path.write_bytes(plain[:12] + chunk(b"LIST", b"odd") + plain[12:])
        assert samples_of(read_wav(path).pcm) == RAMP

    @pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 1_000])
    def test_a_length_that_does_not_fit_is_noted_and_all_there_is_is_read(self, path: Path, length: int) -> None:
        data = bytearray(wav_bytes(pcm16(RAMP)))
        data[40:44] = struct.pack("<I", length)
        path.write_bytes(data)
        audio = read_wav(path)
        assert samples_of(audio.pcm) == RAMP
        assert audio.notes == ("the header's length does not fit: read to the end of the file",)

    def test_half_a_frame_at_the_end_is_left_out(self, path: Path) -> None:
        path.write_bytes(wav_bytes(pcm16([1, 2]))[:-1])
        assert samples_of(read_wav(path).pcm) == [1]

    def test_the_audio_is_not_in_the_repr(self, path: Path) -> None:
        path.write_bytes(wav_bytes(b"AB" * 8))
        assert "AB" not in repr(read_wav(path))

    @pytest.mark.parametrize("name", ["question.wav", "barge_in.wav"])
    def test_the_bundled_speech_is_read_without_the_converter(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "soxr", None)
        audio = read_wav(ASSETS / name)
        assert 1.5 < audio.seconds < 2.5
        assert max(map(abs, samples_of(audio.pcm))) > 3_000


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            pytest.param(b"", "is empty", id="empty-file"),
            pytest.param(b"RIF", "is cut off in its header", id="cut-in-riff"),
            pytest.param(wav_bytes(b"")[:9], "is cut off in its header", id="cut-in-wave"),
            pytest.param(wav_bytes(b"")[:30], "is cut off in its header", id="cut-in-format"),
            pytest.param(wav_bytes(b"")[:36], "is cut off: it has a header but no samples", id="cut-before-data"),
            pytest.param(wav_bytes(b""), "holds no audio", id="no-samples"),
            pytest.param(b"hello, world", "is no WAV file", id="text"),
            pytest.param(b"ID3\x04rest", "is no WAV file but an MP3 file", id="mp3"),
            pytest.param(b"OggSrest", "is no WAV file but an Ogg file", id="ogg"),
            pytest.param(b"\0\0\0\x20ftypM4A ", "is no WAV file but an MP4 file", id="mp4"),
            pytest.param(b"RIFF\4\0\0\0AVI ", "is no WAV file", id="avi"),
            pytest.param(wav_bytes(b"abcd", tag=0x11, bits=8), r"is compressed \(IMA ADPCM\)", id="adpcm"),
            pytest.param(wav_bytes(b"abcd", tag=0x55, bits=8), r"is compressed \(MP3\)", id="mp3-in-wav"),
            pytest.param(wav_bytes(b"abcd", tag=0x1234), r"is compressed \(format tag 0x1234\)", id="unknown-codec"),
            pytest.param(wav_bytes(b"abcd", rate=0), "is damaged.* 0 Hz", id="rate-zero"),
            pytest.param(wav_bytes(b"abcd", channels=0), "is damaged.* 0 channels", id="no-channel"),
            pytest.param(wav_bytes(b"abcdefgh", bits=64), "is damaged: 64-bit samples", id="width"),
            pytest.param(b"RIFF\0\0\0\0WAVE" + chunk(b"data", b"ab"), "is damaged: its samples", id="order"),
        ],
    )
    def test_what_cannot_be_read_is_refused_with_file_and_reason(self, path: Path, data: bytes, reason: str) -> None:
        path.write_bytes(data)
        with pytest.raises(WavError, match=f"speech.wav: {reason}"):
            read_wav(path)

    def test_a_missing_file_and_a_folder_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(WavError, match=r"nothing\.wav: cannot be read: No such file"):
            read_wav(tmp_path / "nothing.wav")
        with pytest.raises(WavError, match="cannot be read: Is a directory"):
            read_wav(tmp_path)

    def test_the_error_is_one_line_even_if_the_name_is_not(self, tmp_path: Path) -> None:
        with pytest.raises(WavError) as caught:
            read_wav(tmp_path / "two\nlines.wav")
        assert "\n" not in str(caught.value)

    def test_every_cut_of_a_file_is_read_or_refused(self, path: Path) -> None:
        whole = wav_bytes(pcm16(RAMP))
        outcomes = set()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            try:
                outcomes.add(samples_of(read_wav(path).pcm) == RAMP[: (length - 44) // 2])
            except WavError:
                outcomes.add(length < 46)
        assert outcomes == {True}


class TestWriting:
    def test_other_readers_understand_what_was_written(self, path: Path) -> None:
        with WavWriter(path, 16_000, 2) as writer:
            writer.write(pcm16([1, 2, 3, 4]))
        with wave.open(os.fspath(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 2, 2)
            assert samples_of(file.readframes(10)) == [1, 2, 3, 4]

    def test_the_file_is_valid_after_every_write_without_a_close(self, path: Path) -> None:
        writer = WavWriter(path)
        for count in range(1, 4):
            writer.write(pcm16([count]))
            with wave.open(os.fspath(path)) as file:
                assert file.getnframes() == count
                assert samples_of(file.readframes(count)) == list(range(1, count + 1))
        writer.close()

    def test_nothing_written_is_still_a_wav_file(self, path: Path) -> None:
        WavWriter(path).close()
        with wave.open(os.fspath(path)) as file:
            assert file.getnframes() == 0

    def test_half_a_frame_waits_for_the_other_half(self, path: Path) -> None:
        with WavWriter(path) as writer:
            writer.write(b"\x01")
            assert writer.samples == 0
            writer.write(b"\x00\x02")
        assert samples_of(read_wav(path).pcm) == [1]

    def test_it_tells_how_long_the_recording_is(self, path: Path) -> None:
        with WavWriter(path, 8_000) as writer:
            writer.write(bytes(8_000))
            assert (writer.samples, writer.seconds) == (4_000, 0.5)

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(WavError, match=r"out\.wav: cannot be written: No such file"):
            WavWriter(tmp_path / "missing" / "out.wav")

    def test_a_full_disk_is_an_error_in_words(self) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with pytest.raises(WavError, match="/dev/full: cannot be written: No space left"):
            WavWriter("/dev/full")

    def test_writing_after_close_is_a_mistake_and_closing_twice_is_none(self, path: Path) -> None:
        writer = WavWriter(path)
        writer.close()
        writer.close()
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"ab")


class TestTimeline:
    @pytest.fixture
    def out(self) -> bytearray:
        return bytearray()

    @pytest.fixture
    def line(self, out: bytearray) -> StereoTimeline:
        return StereoTimeline(out.extend)

    @staticmethod
    def frames(out: bytearray) -> list[tuple[int, int]]:
        samples = array("h", bytes(out))
        return list(zip(samples[0::2], samples[1::2], strict=True))

    def test_the_user_is_left_the_assistant_right_and_the_rest_silence(
        self, line: StereoTimeline, out: bytearray
    ) -> None:
        line.place("user", 0, pcm16([1, 2]))
        line.place("assistant", 3, pcm16([7]))
        line.finish()
        assert self.frames(out) == [(1, 0), (2, 0), (0, 0), (0, 7)]

    def test_place_returns_where_the_next_piece_goes(self, line: StereoTimeline) -> None:
        assert line.place("user", line.place("user", 10, pcm16([1, 2])), pcm16([3])) == 13
        assert (line.end("user"), line.end("assistant")) == (13, 0)

    def test_a_cut_removes_what_was_not_heard(self, line: StereoTimeline, out: bytearray) -> None:
        line.place("assistant", 0, pcm16([1, 2, 3, 4]))
        line.cut("assistant", 2)
        line.finish()
        assert self.frames(out) == [(0, 1), (0, 2)]

    def test_what_is_out_stays_and_each_sample_comes_once(self, line: StereoTimeline, out: bytearray) -> None:
        line.place("user", 0, pcm16([1, 2, 3]))
        line.advance(2)
        line.cut("user", 0)
        line.place("user", 1, pcm16([8, 9]))
        line.advance(1)
        line.finish()
        assert self.frames(out) == [(1, 0), (2, 0), (9, 0)]

    def test_advancing_past_the_end_gives_silence(self, line: StereoTimeline, out: bytearray) -> None:
        line.advance(3)
        assert self.frames(out) == [(0, 0)] * 3
        assert line.written == line.end("user") == 3

    def test_later_audio_replaces_what_lay_there(self, line: StereoTimeline, out: bytearray) -> None:
        line.place("user", 0, pcm16([1, 2, 3]))
        line.place("user", 1, pcm16([9]))
        line.finish()
        assert self.frames(out) == [(1, 0), (9, 0), (3, 0)]

    def test_a_negative_position_and_half_a_sample_are_mistakes(self, line: StereoTimeline) -> None:
        with pytest.raises(ValueError, match="negative"):
            line.place("user", -1, b"ab")
        with pytest.raises(ValueError, match="two bytes"):
            line.place("user", 0, b"a")

    def test_it_writes_through_to_a_wav_file_as_the_conversation_goes_on(self, path: Path) -> None:
        with WavWriter(path, channels=2) as writer:
            line = StereoTimeline(writer.write)
            line.place("user", 0, pcm16([5, 6]))
            line.advance(2)
            with wave.open(os.fspath(path)) as file:
                assert samples_of(file.readframes(2)) == [5, 0, 6, 0]
