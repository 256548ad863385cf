"""Audio as numbers: formats, base64, the append template, whole samples, and the count of the input audio buffer.

Positions are samples of one mono channel, sizes are bytes, times are whole milliseconds. All arithmetic is on integers:
the service refuses a fractional or a negative ``audio_end_ms``, and a float would sooner or later make one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import UNSET, Struct
from pybase64 import b64decode, b64encode, b64encode_as_string

AudioType = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
AudioBytes: TypeAlias = bytes | bytearray | memoryview
"""Audio as a program may hold it; a memoryview has to be C-contiguous."""


class AudioFormat(Struct, frozen=True):
    """One mono stream: ``audio/pcm`` is signed 16-bit little-endian, ``audio/pcmu`` and ``audio/pcma`` are G.711.

    ``rate`` is in Hz. The service itself speaks PCM at 24,000 and G.711 at 8,000; its relatives use others, so any
    positive rate is taken. Raises ValueError for a type that is none of the three, or a rate below 1.
    """

    type: AudioType = "audio/pcm"
    rate: int = 24_000

    def __post_init__(self) -> None:
        if self.type not in _DEFAULT_RATES:
            raise ValueError("audio type must be audio/pcm, audio/pcmu or audio/pcma")
        if self.rate < 1:
            raise ValueError("sample rate must be at least 1 Hz")

    @property
    def bytes_per_sample(self) -> int:
        """2 for PCM, 1 for G.711."""
        return 2 if self.type == "audio/pcm" else 1

    def samples(self, nbytes: int) -> int:
        """Whole samples in ``nbytes`` bytes."""
        return nbytes // self.bytes_per_sample

    def ms(self, samples: int) -> int:
        """How long ``samples`` last, in ms, rounded down: never more than there is."""
        return samples * 1000 // self.rate

    def samples_for_ms(self, ms: int) -> int:
        """The fewest samples that last ``ms`` ms, so that ``format.ms(format.samples_for_ms(x)) >= x``.

        Never more than were there when ``ms`` was computed from a count by `ms`.
        """
        return -(-ms * self.rate // 1000)

    @classmethod
    def from_session(cls, value: object) -> AudioFormat | None:
        """The format that a session names, or None when it names one that we cannot count in.

        ``value`` is what stands in ``session.audio.input.format`` or ``.output.format``: a mapping or an object with
        ``type`` and, perhaps, ``rate``; one of the beta names (``"pcm16"``, ``"g711_ulaw"``, ``"g711_alaw"``, and with
        a rate ``"pcm16_8000hz"``); or nothing (None, UNSET), which is the service's default, PCM at 24 kHz. A missing
        or null rate is the usual one of the type. G.711 is defined at 8 kHz: a rate that is stated beside it, which is
        mostly that of the PCM it replaced, is not believed. Never raises: the value came from a peer.
        """
        if value is None or value is UNSET:
            return PCM16_24K
        if isinstance(value, AudioFormat):
            return value
        if isinstance(value, str):
            return _BETA_NAMES.get(value)
        if isinstance(value, Mapping):
            kind, rate = value.get("type"), value.get("rate")
        else:
            kind, rate = getattr(value, "type", None), getattr(value, "rate", None)
        if kind is None or kind is UNSET:
            kind = "audio/pcm"
        if not isinstance(kind, str) or kind not in _DEFAULT_RATES:
            return None
        if rate is None or rate is UNSET or kind != "audio/pcm":
            rate = _DEFAULT_RATES[kind]
        elif isinstance(rate, float) and rate.is_integer():
            rate = int(rate)  # some peers write every number with a point
        if type(rate) is not int or rate < 1:
            return None
        return cls(_TYPES[kind], rate)


_DEFAULT_RATES: Final[dict[str, int]] = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}
_TYPES: Final[dict[str, AudioType]] = {
    "audio/pcm": "audio/pcm",
    "audio/pcmu": "audio/pcmu",
    "audio/pcma": "audio/pcma",
}

PCM16_24K: Final = AudioFormat("audio/pcm", 24_000)
PCMU: Final = AudioFormat("audio/pcmu", 8_000)
PCMA: Final = AudioFormat("audio/pcma", 8_000)

_BETA_NAMES: Final[dict[str, AudioFormat]] = {
    "pcm16": PCM16_24K,
    "pcm16_8000hz": AudioFormat("audio/pcm", 8_000),
    "pcm16_16000hz": AudioFormat("audio/pcm", 16_000),
    "g711_ulaw": PCMU,
    "g711_alaw": PCMA,
}


def byte_length(audio: AudioBytes) -> int:
    """Size in bytes. ``len`` of a memoryview counts its elements, which for 16-bit samples is half of that."""
    return audio.nbytes if isinstance(audio, memoryview) else len(audio)


def decode_base64(text: str) -> bytes | None:
    """The bytes behind standard base64, or None when ``text`` is not that. Never raises.

    Strict: padding is required, line breaks and the URL alphabet are refused. The strict decoder is also the fast one.
    """
    try:
        return b64decode(text, None, True)  # by position: a keyword would cost a third of it
    except ValueError:  # binascii.Error is one, and so is what non-ASCII text leads to
        return None


def encode_base64(audio: AudioBytes) -> str:
    """Standard base64 with padding. Raises BufferError for a memoryview that is not C-contiguous."""
    return b64encode_as_string(audio)


def append_message(audio: AudioBytes, *, translates: bool = False) -> bytes:
    """The JSON text of an ``input_audio_buffer.append`` with ``audio``, without an event id; of a translation session's
    if it ``translates``.

    Base64 needs no escaping in JSON, so a template is exact, and a fraction of the price of an encoder. Raises
    BufferError for a memoryview that is not C-contiguous.
    """
    return b"".join((_TRANSLATE_HEAD if translates else _APPEND_HEAD, b64encode(audio), _APPEND_TAIL))


_APPEND_HEAD: Final = b'{"type":"input_audio_buffer.append","audio":"'
_TRANSLATE_HEAD: Final = b'{"type":"session.input_audio_buffer.append","audio":"'
_APPEND_TAIL: Final = b'"}'


class Remainder:
    """Turns chunks of any size into whole samples; keeps what is over, at most ``bytes_per_sample - 1`` bytes.

    Nothing in the protocol promises that a delta ends between two samples. One odd byte that is not carried over turns
    the rest of a PCM16 part into noise.
    """

    __slots__ = ("bytes_per_sample", "kept")

    def __init__(self, bytes_per_sample: int, kept: bytes = b"") -> None:
        self.bytes_per_sample = bytes_per_sample
        self.kept = kept

    def feed(self, chunk: bytes) -> bytes:
        """The whole samples that are complete with ``chunk``; ``chunk`` itself, uncopied, when nothing is over."""
        width = self.bytes_per_sample
        if not self.kept and not len(chunk) % width:
            return chunk
        joined = self.kept + chunk
        whole = len(joined) - len(joined) % width
        self.kept = joined[whole:]
        return joined[:whole]

    def __repr__(self) -> str:
        return f"Remainder(bytes_per_sample={self.bytes_per_sample}, kept=<{len(self.kept)} bytes>)"


class InputAudioState(Struct, frozen=True):
    """`InputAudioLedger` as data. ``retained`` is None unless it was asked for."""

    format: AudioFormat
    total: int
    start: int
    asked: int | None
    odd: int
    kept: bytes
    dropped_bytes: int
    retained: bytes | None = None

    def __repr__(self) -> str:
        retained = None if self.retained is None else f"<{len(self.retained)} bytes>"
        return (
            f"InputAudioState(format={self.format!r}, total={self.total}, start={self.start}, asked={self.asked}, "
            f"odd={self.odd}, kept=<{len(self.kept)} bytes>, dropped_bytes={self.dropped_bytes}, retained={retained})"
        )


class InputAudioLedger:
    """How much audio went into the input audio buffer, and how much of it is not committed yet.

    Positions count from the first sample of the session and keep growing, as ``audio_start_ms`` and ``audio_end_ms`` do
    on the wire: neither a commit nor a clear resets them. A new session begins with a new ledger.

    A client counts with `append`. A server that needs whole samples feeds `append_audio`, and with ``retain_bytes``
    above 0 the ledger also holds the newest uncommitted audio, never more than that; what it had to let go, oldest
    first, is counted in ``dropped_bytes``. One ledger uses one of the two. Raises ValueError for a negative
    ``retain_bytes``.
    """

    __slots__ = (
        "_asked",
        "_format",
        "_odd",
        "_remainder",
        "_retain_bytes",
        "_retained",
        "dropped_bytes",
        "start",
        "total",
    )

    def __init__(self, format: AudioFormat = PCM16_24K, *, retain_bytes: int = 0) -> None:
        if retain_bytes < 0:
            raise ValueError("retain_bytes must not be negative")
        self._format = format
        self._retain_bytes = retain_bytes
        self._retained = bytearray()
        self._odd = 0
        self._asked: int | None = None
        self._remainder = Remainder(format.bytes_per_sample)
        self.total = 0
        """Samples appended since the session began."""
        self.start = 0
        """Position of the first uncommitted sample."""
        self.dropped_bytes = 0
        """Bytes of uncommitted audio that were not retained although that was asked for."""

    @property
    def format(self) -> AudioFormat:
        """What is appended now; see `set_format`."""
        return self._format

    @property
    def total_ms(self) -> int:
        """ms appended since the session began: where the next appended sample stands."""
        return self._format.ms(self.total)

    @property
    def uncommitted(self) -> int:
        """Samples appended and neither committed nor cleared."""
        return self.total - self.start

    @property
    def uncommitted_ms(self) -> int:
        """The same in ms, rounded down."""
        return self._format.ms(self.total - self.start)

    def can_commit(self, minimum_ms: int) -> bool:
        """Whether a manual commit would find at least ``minimum_ms`` ms; the service refuses less than 100.

        A client's view only: voice detection may have committed already, and the news be on its way.
        """
        return self.uncommitted_ms >= minimum_ms

    def append(self, nbytes: int) -> int:
        """Count ``nbytes`` bytes, odd counts carried over; the position of the first sample that they complete."""
        start = self.total
        width = self._format.bytes_per_sample
        nbytes += self._odd
        self.total = start + nbytes // width
        self._odd = nbytes % width
        return start

    def append_audio(self, audio: bytes) -> tuple[int, bytes]:
        """Count ``audio``, and retain it if asked to: (position of its first sample, its whole samples)."""
        whole = self._remainder.feed(audio)
        start = self.append(len(whole))
        if self._retain_bytes:
            retained = self._retained
            retained += whole
            over = len(retained) - self._retain_bytes
            if over > 0:
                over += -over % self._format.bytes_per_sample
                del retained[:over]
                self.dropped_bytes += over
        return start, whole

    def audio(self, start_ms: int | None = None, end_ms: int | None = None) -> bytes:
        """The retained uncommitted audio, or its part between two times of the session, in ms; both are clamped.

        Ask before `commit`. A turn found by voice detection runs from ``audio_start_ms`` to ``audio_end_ms``; its start
        includes the padding, so it may lie before the end of the turn before, and then the part begins at that end.
        """
        width = self._format.bytes_per_sample
        first = self.total - len(self._retained) // width
        low = first if start_ms is None else max(first, self._position(start_ms))
        high = self.total if end_ms is None else self._position(end_ms)
        with memoryview(self._retained) as view:
            return bytes(view[(low - first) * width : max(0, high - first) * width])

    def commit(self, end_ms: int | None = None) -> tuple[int, int]:
        """Commit: (position of the first sample, samples). Without ``end_ms``, everything.

        ``end_ms`` is the ``audio_end_ms`` of the turn when voice detection committed: what a client appended after that
        point, while the news was on its way, is still uncommitted. It is clamped to what there is. An odd byte stays:
        voice detection commits in the middle of a stream, and the next append may well carry the sample's other half.
        """
        start = self.start
        end = self.total if end_ms is None else self._position(end_ms)
        self._discard_until(end)
        return start, end - start

    def ask_commit(self) -> None:
        """A client asks for a commit of everything. It counts as done, as the next one needs audio of its own."""
        start, _ = self.commit()
        self._asked = start

    def commit_refused(self) -> None:
        """What was asked for last is refused: its audio is where it was, unless something else has taken it since."""
        if self._asked is not None:
            self.start, self._asked = self._asked, None

    def clear(self) -> int:
        """Discard what is uncommitted; how many samples that was. What is appended next begins with a whole sample."""
        cleared = self.uncommitted
        self._discard_until(self.total)
        self._odd = 0
        self._remainder.kept = b""
        return cleared

    def set_format(self, format: AudioFormat) -> None:
        """Count what is appended from now on as ``format``; what was appended before keeps its length in time.

        Positions become samples of the new rate, rounded down. Retained audio of the old format is let go and counted
        in ``dropped_bytes``: a turn is of one format.
        """
        old = self._format
        if format == old:
            return
        self.total = self.total * format.rate // old.rate
        self.start = self.start * format.rate // old.rate
        self._asked = None
        self.dropped_bytes += len(self._retained)
        self._retained.clear()
        self._odd = 0
        self._remainder = Remainder(format.bytes_per_sample)
        self._format = format

    def dump(self, *, retained: bool = False) -> InputAudioState:
        """The ledger as data; with the retained audio only when ``retained``."""
        return InputAudioState(
            format=self._format,
            total=self.total,
            start=self.start,
            asked=self._asked,
            odd=self._odd,
            kept=self._remainder.kept,
            dropped_bytes=self.dropped_bytes,
            retained=bytes(self._retained) if retained else None,
        )

    @classmethod
    def load(cls, state: InputAudioState, *, retain_bytes: int = 0) -> InputAudioLedger:
        """The ledger that `dump` described. Retained audio beyond ``retain_bytes`` is dropped, oldest first."""
        ledger = cls(state.format, retain_bytes=retain_bytes)
        if retain_bytes and state.retained:
            ledger.append_audio(state.retained)
        ledger._remainder.kept = state.kept
        ledger._odd = state.odd
        ledger.total = state.total
        ledger.start = state.start
        ledger._asked = state.asked
        ledger.dropped_bytes += state.dropped_bytes
        return ledger

    def _position(self, ms: int) -> int:
        return min(max(self._format.samples_for_ms(ms), self.start), self.total)

    def _discard_until(self, position: int) -> None:
        self.start = position
        self._asked = None
        surplus = len(self._retained) - (self.total - position) * self._format.bytes_per_sample
        if surplus > 0:
            del self._retained[:surplus]

    def __repr__(self) -> str:
        return (
            f"InputAudioLedger(format={self._format!r}, total={self.total}, start={self.start}, "
            f"retained=<{len(self._retained)} bytes>)"
        )
