"""Audio formats of a session from and to PCM16: G.711 by table, other rates by the resampler where it is installed.

PCM16 here is little-endian, mono, at the rate of the format beside it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal, TypeAlias

from antiphon import AudioFormat
from antiphon_audio import resample

__all__ = ["convert", "from_pcm16", "pieces", "to_pcm16"]

_Law: TypeAlias = Literal["audio/pcmu", "audio/pcma"]

PIECE_MS: Final = 100
"""Length of the deltas in which audio is sent; the service's own are of this order."""


def to_pcm16(audio: bytes, format: AudioFormat) -> bytes:
    """``audio`` in ``format`` as PCM16 at the same rate; an incomplete last sample is dropped."""
    if format.type == "audio/pcm":
        return audio[: len(audio) & ~1]
    table = _decoding(format.type)
    return _little_endian(array("h", [table[code] for code in audio]))


def from_pcm16(pcm: bytes, format: AudioFormat) -> bytes:
    """PCM16 at the rate of ``format`` in that format; an incomplete last sample is dropped."""
    pcm = pcm[: len(pcm) & ~1]
    if format.type == "audio/pcm":
        return pcm
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    table = _encoding(format.type)
    return bytes([table[(sample >> 2) & 0x3FFF] for sample in samples])


def convert(audio: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """``audio`` in another format.

    Raises ``antiphon_audio.ResamplerMissingError`` when the rates differ and the converter is not installed.
    """
    if source == target:
        return audio
    return from_pcm16(resample(to_pcm16(audio, source), source.rate, target.rate), target)


def pieces(audio: bytes, format: AudioFormat) -> Iterator[bytes]:
    """``audio`` in deltas of 100 ms, the last one shorter."""
    size = max(1, format.rate * PIECE_MS // 1000) * format.bytes_per_sample
    return (audio[start : start + size] for start in range(0, len(audio), size))


@cache
def _decoding(law: _Law) -> tuple[int, ...]:
    """The PCM16 value of each of the 256 codes (ITU-T G.711)."""
    return tuple(_expand_mu(code) if law == "audio/pcmu" else _expand_a(code) for code in range(256))


@cache
def _encoding(law: _Law) -> bytes:
    """The code of each sample's upper 14 bits, in two's complement: no code of either law tells more apart.

    The nearest code, found by walking both in order of their values.
    """
    codes = sorted((value, code) for code, value in enumerate(_decoding(law)))
    table = bytearray(1 << 14)
    nearest = 0
    for upper in range(-(1 << 13), 1 << 13):
        sample = upper * 4 + 2  # the middle of the four that share it
        while nearest < 255 and abs(codes[nearest + 1][0] - sample) <= abs(codes[nearest][0] - sample):
            nearest += 1
        table[upper & 0x3FFF] = codes[nearest][1]
    return bytes(table)


def _expand_mu(code: int) -> int:
    code = ~code & 0xFF
    value = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -value if code & 0x80 else value


def _expand_a(code: int) -> int:
    code ^= 0x55
    segment = code >> 4 & 7
    value = (code & 0x0F) << 4 | 8
    if segment:
        value = value + 0x100 << segment - 1
    return value if code & 0x80 else -value


def _little_endian(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
