"""Sample rate conversion of PCM16, in one piece or as a stream.

The filter is soxr's (the SoX resampler), which comes with the `cli` extra. Where both rates are equal nothing is
converted and nothing is loaded, so audio that already has the protocol's rate needs no extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt

    class _Stream(Protocol):
        def resample_chunk(self, x: npt.NDArray[np.float32], last: bool = False) -> npt.NDArray[np.float32]: ...


__all__ = ["Resampler", "ResamplerMissingError", "resample"]

_QUALITY: Final = "HQ"
_SAMPLE_BYTES: Final = 2


class ResamplerMissingError(ImportError):
    """Two rates differ and the converter (packages `soxr` and `numpy`, extra `cli`) is not installed."""


def _load(name: str) -> ModuleType:
    # Looked up by name at run time: both packages are optional, and soxr ships no type information.
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ResamplerMissingError("converting a sample rate needs the package soxr: install antiphon[cli]") from error


class Resampler:
    """Converts one stream of interleaved PCM16 (little-endian) from `rate_in` to `rate_out`, both in samples a
    second.

    A streaming filter holds back some milliseconds; `finish` gives them out. What is fed may be cut anywhere, inside
    a sample too: the cut never changes the total output.

    Raises:
        ValueError: a rate or the number of channels is not positive.
        ResamplerMissingError: the rates differ and soxr is not installed.
    """

    __slots__ = ("_frame_bytes", "_stream", "_tail", "channels", "rate_in", "rate_out")

    def __init__(self, rate_in: int, rate_out: int, *, channels: int = 1) -> None:
        if rate_in <= 0 or rate_out <= 0 or channels <= 0:
            raise ValueError("rates and the number of channels are positive")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self.channels = channels
        self._frame_bytes = _SAMPLE_BYTES * channels
        self._tail = b""
        self._stream: _Stream | None = None
        if rate_in != rate_out:
            # In float, not in PCM16: soxr would dither the latter, and equal input would no longer give equal output.
            stream = _load("soxr").ResampleStream(rate_in, rate_out, channels, dtype="float32", quality=_QUALITY)
            self._stream = cast("_Stream", stream)

    def feed(self, pcm: bytes) -> bytes:
        """Takes the next bytes and returns the converted audio that is ready (perhaps none)."""
        return self._convert(pcm, last=False)

    def finish(self) -> bytes:
        """Returns what the filter still held. An incomplete last frame is dropped. Nothing may be fed afterwards."""
        return self._convert(b"", last=True)

    def _convert(self, pcm: bytes, *, last: bool) -> bytes:
        data = self._tail + pcm if self._tail else pcm
        whole = len(data) - len(data) % self._frame_bytes
        self._tail = data[whole:]
        if self._stream is None:
            return data[:whole]
        if not whole and not last:
            return b""
        numpy = _load("numpy")
        samples = numpy.frombuffer(data[:whole], "<i2").astype("f4")
        if self.channels > 1:
            samples = samples.reshape(-1, self.channels)
        converted = self._stream.resample_chunk(samples, last=last)
        return cast("bytes", numpy.rint(converted).clip(-32768, 32767).astype("<i2").tobytes())


def resample(pcm: bytes, rate_in: int, rate_out: int, *, channels: int = 1) -> bytes:
    """Converts a whole piece of interleaved PCM16 (little-endian). Raises as `Resampler` does."""
    converter = Resampler(rate_in, rate_out, channels=channels)
    return converter.feed(pcm) + converter.finish()
