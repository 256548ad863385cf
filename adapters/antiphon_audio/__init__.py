"""Audio files and sounds around a conversation: WAV, sample rates, the tone voice.

Importing it needs the standard library alone.
"""

from .resample import Resampler, ResamplerMissingError, resample
from .tone import ToneVoice, speak
from .wav import Side, StereoTimeline, WavAudio, WavError, WavWriter, read_wav

__all__ = [
    "Resampler",
    "ResamplerMissingError",
    "Side",
    "StereoTimeline",
    "ToneVoice",
    "WavAudio",
    "WavError",
    "WavWriter",
    "read_wav",
    "resample",
    "speak",
]
