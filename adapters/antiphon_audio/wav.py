"""WAV files: reading almost any of them as PCM16 mono, writing them while a conversation runs, and the time line
between.

Reading needs the standard library alone; only a file with another sample rate needs the converter of the `cli` extra.
The standard `wave` module is not used: it reads neither float nor G.711, nor a file whose writer died.
"""

from __future__ import annotations

import io
import math
import os
import struct
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Self

from .resample import ResamplerMissingError, resample

__all__ = ["Side", "StereoTimeline", "WavAudio", "WavError", "WavWriter", "read_wav"]

Side = Literal["user", "assistant"]

_MAX_FILE_BYTES: Final = 1 << 30  # a file is held in memory whole; an hour of 48 kHz stereo PCM16 is 0.7 GB
_MAX_RATE: Final = 768_000
_MAX_CHANNELS: Final = 64

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE
_CODECS: Final = {
    0x0002: "Microsoft ADPCM",
    0x0010: "OKI ADPCM",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0040: "G.721 ADPCM",
    0x0042: "G.723.1",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x0064: "G.726 ADPCM",
    0x0083: "G.729",
    0x00FF: "AAC",
    0x0160: "Windows Media Audio",
    0x0161: "Windows Media Audio",
    0x0162: "Windows Media Audio",
    0x1610: "AAC",
    0x674F: "Vorbis",
    0x704F: "Opus",
    0xF1AC: "FLAC",
}
_OTHER_FILES: Final = (
    (b"ID3", "an MP3 file"),
    (b"\xff\xfb", "an MP3 file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"FORM", "an AIFF file"),
    (b"RIFX", "a big-endian RIFX file"),
    (b"RF64", "an RF64 file"),
    (b"caff", "a CAF file"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska file"),
)


class WavError(Exception):
    """A WAV file cannot be read or written. `str()` is one line that names the file and the reason.

    `path` and `reason` hold the two parts.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(f"{''.join(c if c.isprintable() else '?' for c in self.path)}: {reason}")


@dataclass(frozen=True, slots=True)
class WavAudio:
    """What `read_wav` found: `pcm` is PCM16, little-endian, mono at `rate` samples a second, `seconds` its length.

    `notes` tells in words what was converted or amiss; empty for a sound file that was already in this form.
    """

    pcm: bytes = field(repr=False)
    rate: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Format:
    codec: int
    channels: int
    rate: int
    width: int  # bytes of one sample of one channel

    @property
    def sample(self) -> str:
        match self.codec:
            case 0x0003:
                return f"{self.width * 8}-bit float"
            case 0x0006:
                return "A-law"
            case 0x0007:
                return "µ-law"
            case _:
                return f"{self.width * 8}-bit"


def read_wav(path: str | os.PathLike[str], *, rate: int = 24_000) -> WavAudio:
    """Reads a WAV file as PCM16 mono at `rate` samples a second.

    Integer samples of 8, 16, 24 and 32 bits, float of 32 and 64, A-law and µ-law are understood; channels are
    averaged, another rate is converted. A file without a valid length (its writer died) is read as far as it goes.
    Each deviation is a note.

    Raises:
        WavError: the file cannot be opened, is no WAV file, is damaged in its header, is compressed, holds no audio,
            is larger than 1 GiB, or has another rate while the converter (`antiphon[cli]`) is not installed.
    """
    data = _read_file(path)
    layout, body, notes = _parse(path, data)
    pcm = _to_pcm16(layout, body)
    if layout.channels > 1:
        pcm = _to_mono(pcm, layout.channels)
    if layout.rate != rate:
        try:
            pcm = resample(pcm, layout.rate, rate)
        except ResamplerMissingError as error:
            raise WavError(path, f"has {layout.rate} Hz where {rate} Hz is needed, and {error}") from error
    converted = _conversion(layout, rate)
    if converted:
        notes.insert(0, converted)
    return WavAudio(pcm, rate, len(pcm) / 2 / rate, tuple(notes))


def _read_file(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WavError(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise WavError(path, f"cannot be read: {error}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise WavError(path, f"is larger than {_MAX_FILE_BYTES >> 20} MiB")
    return data


def _parse(path: str | os.PathLike[str], data: bytes) -> tuple[_Format, bytes, list[str]]:
    """Walks the RIFF chunks to the format and the samples; whole frames only."""
    if not data:
        raise WavError(path, "is empty")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError(path, _not_wav(data))
    layout: _Format | None = None
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        position += 8
        if name == b"fmt ":
            layout = _parse_format(path, data[position : position + size])
        elif name == b"data":
            if layout is None:
                raise WavError(path, "is damaged: its samples come before their format")
            return layout, *_samples(path, layout, data, position, size)
        position += size + size % 2
    raise WavError(path, "is cut off in its header" if layout is None else "is cut off: it has a header but no samples")


def _not_wav(data: bytes) -> str:
    if len(data) < 12 and b"RIFF".startswith(data[:4]) and b"WAVE".startswith(data[8:]):
        return "is cut off in its header"
    if data[4:8] == b"ftyp":
        return "is no WAV file but an MP4 file"
    for magic, kind in _OTHER_FILES:
        if data.startswith(magic):
            return f"is no WAV file but {kind}"
    return "is no WAV file"


def _parse_format(path: str | os.PathLike[str], chunk: bytes) -> _Format:
    if len(chunk) < 16:
        raise WavError(path, "is cut off in its header")
    codec, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if codec == _EXTENSIBLE and len(chunk) >= 26:
        (codec,) = struct.unpack_from("<H", chunk, 24)  # the first two bytes of the sub-format's GUID are the old tag
    if codec not in (_PCM, _FLOAT, _ALAW, _MULAW):
        name = _CODECS.get(codec, f"format tag 0x{codec:04X}")
        raise WavError(path, f"is compressed ({name}): convert it to PCM first")
    if not 0 < channels <= _MAX_CHANNELS or not 0 < rate <= _MAX_RATE:
        raise WavError(path, f"is damaged: its header tells of {channels} channels at {rate} Hz")
    width = block // channels
    widths = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8)}.get(codec, (1,))
    if block % channels or width not in widths or bits > width * 8:
        raise WavError(path, f"is damaged: {bits}-bit samples of {channels} channels in frames of {block} bytes")
    return _Format(codec, channels, rate, width)


def _samples(
    path: str | os.PathLike[str], layout: _Format, data: bytes, start: int, size: int
) -> tuple[bytes, list[str]]:
    notes: list[str] = []
    there = len(data) - start
    frame = layout.channels * layout.width
    if size > there or (size == 0 and there >= frame):
        # Writers to a pipe put 0 or 0xFFFFFFFF here, dead ones the size of what they planned.
        notes.append("the header's length does not fit: read to the end of the file")
        size = there
    size -= size % frame
    if size == 0:
        raise WavError(path, "holds no audio")
    return data[start : start + size], notes


def _conversion(layout: _Format, rate: int) -> str:
    """The note for what was changed, empty if nothing was."""
    channels = {1: "mono", 2: "stereo"}.get(layout.channels, f"{layout.channels} channels")
    recoded = (layout.codec, layout.width) != (_PCM, 2)
    if layout.rate == rate and layout.channels == 1:
        return f"converted {layout.sample} to 16-bit PCM" if recoded else ""
    before = f"{layout.rate} Hz {channels}" + (f" {layout.sample}" if recoded else "")
    return f"converted {before} to {rate} Hz mono" + (" 16-bit PCM" if recoded else "")


# Samples ------------------------------------------------------------------------------------------------------------


def _to_pcm16(layout: _Format, body: bytes) -> bytes:
    """Brings interleaved samples of any known form to little-endian PCM16."""
    if layout.codec == _FLOAT:
        return _from_float(body, "f" if layout.width == 4 else "d")
    if layout.codec in (_ALAW, _MULAW):
        table = [_decode_alaw(code) if layout.codec == _ALAW else _decode_mulaw(code) for code in range(256)]
        low = bytes(value & 0xFF for value in table)
        high = bytes(value >> 8 & 0xFF for value in table)
        return _interleave(body.translate(low), body.translate(high))
    if layout.width == 1:  # 8-bit WAV is unsigned, all wider ones are signed
        return _interleave(bytes(len(body)), body.translate(bytes(code ^ 0x80 for code in range(256))))
    if layout.width == 2:
        return body
    return _interleave(body[layout.width - 2 :: layout.width], body[layout.width - 1 :: layout.width])


def _interleave(low: bytes, high: bytes) -> bytes:
    out = bytearray(2 * len(low))
    out[0::2] = low
    out[1::2] = high
    return bytes(out)


def _from_float(body: bytes, code: Literal["f", "d"]) -> bytes:
    values = array(code, body)
    if sys.byteorder == "big":
        values.byteswap()
    return _pack(array("h", [_clip(value) for value in values]))


def _clip(value: float) -> int:
    if -1.0 <= value <= 1.0:
        return min(32767, round(value * 32768))
    if math.isnan(value):
        return 0
    return 32767 if value > 0 else -32768


def _decode_mulaw(code: int) -> int:
    """One µ-law byte (ITU-T G.711) as a 16-bit sample."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def _decode_alaw(code: int) -> int:
    """One A-law byte (ITU-T G.711) as a 16-bit sample."""
    code ^= 0x55
    segment = code >> 4 & 7
    magnitude = ((code & 0x0F) << 4) + 8
    if segment:
        magnitude = magnitude + 0x100 << segment - 1
    return magnitude if code & 0x80 else -magnitude


def _to_mono(pcm: bytes, channels: int) -> bytes:
    samples = _unpack(pcm)
    voices = [samples[channel::channels] for channel in range(channels)]
    return _pack(array("h", [sum(frame) // channels for frame in zip(*voices, strict=True)]))


def _unpack(pcm: bytes) -> array[int]:
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _pack(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


# Writing ------------------------------------------------------------------------------------------------------------


class WavWriter:
    """Writes interleaved PCM16 (little-endian) to a WAV file that is valid after every single write.

    Each `write` goes to the operating system at once, samples first and then the two lengths of the header, so
    whatever happens to the process, the file holds what was recorded until then and its header never claims more.
    `rate` is in samples a second. An existing file is replaced. Use it as a context manager, or `close` it.

    Raises:
        WavError: the file cannot be created or written (the reason in words), or would grow past the 4 GiB a WAV
            file can hold.
        ValueError: `rate` or `channels` are not positive, or the writer is closed.
    """

    __slots__ = ("_file", "_frame_bytes", "_length", "_tail", "channels", "path", "rate")

    _HEADER: Final = 44
    _MAX_LENGTH: Final = 0xFFFF_FFFF - _HEADER

    def __init__(self, path: str | os.PathLike[str], rate: int = 24_000, channels: int = 1) -> None:
        if rate <= 0 or channels <= 0:
            raise ValueError("rate and channels are positive")
        self.path = os.fspath(path)
        self.rate = rate
        self.channels = channels
        self._frame_bytes = 2 * channels
        self._length = 0
        self._tail = b""
        self._file: io.FileIO | None = None
        try:
            file = io.FileIO(self.path, "wb")
        except (OSError, ValueError) as error:
            raise self._failed(error) from error
        if not file.seekable():
            file.close()
            raise WavError(self.path, "cannot be written: a WAV file needs a place that can be rewound")
        self._file = file
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF", self._HEADER - 8, b"WAVE",
            b"fmt ", 16, _PCM, channels, rate, rate * self._frame_bytes, self._frame_bytes, 16,
            b"data", 0,
        )  # fmt: skip
        try:
            self._put(0, header)
        except WavError:
            self.close()
            raise

    def write(self, pcm: bytes) -> None:
        """Appends samples. An incomplete last frame waits for the next write."""
        if self._file is None:
            raise ValueError("the WAV writer is closed")
        data = self._tail + pcm if self._tail else pcm
        whole = len(data) - len(data) % self._frame_bytes
        if self._length + whole > self._MAX_LENGTH:
            raise WavError(self.path, "is full: a WAV file holds 4 GiB at most")
        self._tail = data[whole:]
        if whole:
            self._put(self._HEADER + self._length, data[:whole])
            self._length += whole
            self._put(4, struct.pack("<I", self._HEADER - 8 + self._length))
            self._put(40, struct.pack("<I", self._length))

    def close(self) -> None:
        """Closes the file; a second call does nothing. An incomplete last frame is dropped."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def samples(self) -> int:
        """How many frames (samples of each channel) the file holds."""
        return self._length // self._frame_bytes

    @property
    def seconds(self) -> float:
        """How long the recording is until now."""
        return self.samples / self.rate

    def _put(self, offset: int, data: bytes) -> None:
        file = self._file
        if file is None:
            return
        try:
            file.seek(offset)
            rest = memoryview(data)
            while rest:  # an unbuffered file may take less than it was given
                rest = rest[file.write(rest) or 0 :]
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError | ValueError) -> WavError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return WavError(self.path, f"cannot be written: {reason}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StereoTimeline:
    """Puts both sides of a conversation on one time line: the user on the left channel, the assistant on the right.

    Positions are samples (of one channel) from the beginning of the conversation. Where nothing was placed there is
    silence. Each side has one voice: what is placed later replaces what lay there. `sink` takes interleaved stereo
    PCM16 (little-endian), for instance the `write` of a two-channel `WavWriter`; it gets everything once, in order,
    by `advance`.
    """

    __slots__ = ("_lanes", "_sink", "_written")

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._written = 0
        self._lanes: dict[Side, bytearray] = {"user": bytearray(), "assistant": bytearray()}

    @property
    def written(self) -> int:
        """How many samples of each side are out already; they cannot change any more."""
        return self._written

    def end(self, side: Side) -> int:
        """The position behind the last sample placed on a side, at least `written`."""
        return self._written + len(self._lanes[side]) // 2

    def place(self, side: Side, position: int, pcm: bytes) -> int:
        """Puts PCM16 mono at a position and returns the position behind it.

        What would lie before `written` came too late and is left out. Raises ValueError for a negative position or
        half a sample.
        """
        if position < 0:
            raise ValueError("a position on the time line is not negative")
        if len(pcm) % 2:
            raise ValueError("PCM16 has two bytes a sample")
        late = max(0, self._written - position)
        audio = pcm[2 * late :]
        if audio:
            lane = self._lanes[side]
            start = 2 * (position + late - self._written)
            if start > len(lane):
                lane.extend(bytes(start - len(lane)))
            lane[start : start + len(audio)] = audio
        return position + len(pcm) // 2

    def cut(self, side: Side, position: int) -> None:
        """Removes what lies on a side from a position on: the audio that a barge-in kept from being heard."""
        del self._lanes[side][max(0, 2 * (position - self._written)) :]

    def advance(self, position: int) -> None:
        """Gives out everything before a position; where a side has nothing yet, silence. Never goes back."""
        count = position - self._written
        if count <= 0:
            return
        frames = array("h", bytes(4 * count))
        for channel, lane in enumerate(self._lanes.values()):
            part = array("h", bytes(lane[: 2 * count]))  # byte order is kept: samples are only moved
            frames[channel : 2 * len(part) : 2] = part
            del lane[: 2 * count]
        self._written = position
        self._sink(frames.tobytes())

    def finish(self) -> None:
        """Gives out all that was placed, to the end of the longer side."""
        self.advance(max(self.end("user"), self.end("assistant")))
