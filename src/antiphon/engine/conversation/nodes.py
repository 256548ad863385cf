"""What is known about one item: what was announced, what it says so far, and what of that was heard."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

from antiphon.messages import Item

from .items import item_id, item_status, item_texts, size_of, without_audio
from .links import Link
from .text import STREAM_CHARGE, Cut, CutPlace, PartText, Transcription, heard_prefix, utf8_size

Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]

Held: TypeAlias = Literal["itself", "text", "nothing"]
"""What the session of now has of an item: the item that it announced; the text of one that an earlier session
announced, which was given to it (R-N5); or nothing of it."""

_STATUSES: Mapping[str, Status] = MappingProxyType(
    {"in_progress": "in_progress", "completed": "completed", "incomplete": "incomplete"}
)

_NO_PARTS: Mapping[int, PartText] = MappingProxyType({})
_NO_TRANSCRIPTIONS: Mapping[int, Transcription] = MappingProxyType({})
_NO_CUTS: Mapping[int, CutPlace] = MappingProxyType({})


class Taken(StrEnum):
    """How an event about one item was taken."""

    APPLIED = "applied"
    """It changed the item."""
    EARLY = "early"
    """Its item has not come; kept for it."""
    OVERFLOW = "overflow"
    """As ``EARLY``, but a limit was met: what had been kept longest was given up."""
    CLOSED = "closed"
    """The text, or the whole item, is final already. Nothing changed."""
    DELETED = "deleted"
    """The item is gone, deleted or evicted. Nothing changed."""
    UNKNOWN = "unknown"
    """There is no such item. Nothing changed."""


_APPLIED = Taken.APPLIED  # an enum's members are slow to look up, and every delta answers this


class Record(Link):
    """The texts that belong to one item id, whether its item has come or not.

    ``text_bytes`` counts what is held: UTF-8 bytes of all texts, and `STREAM_CHARGE` for each stream and cut.
    """

    __slots__ = ("_cuts", "_parts", "_transcriptions", "finished", "id", "text_bytes")

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id = id
        self.finished = False
        self.text_bytes = 0
        self._parts: dict[int, PartText] | None = None
        self._transcriptions: dict[int, Transcription] | None = None
        self._cuts: dict[int, CutPlace] | None = None

    @property
    def parts(self) -> Mapping[int, PartText]:
        """Generated text and transcripts by content index, as far as they streamed; read-only."""
        return _NO_PARTS if self._parts is None else self._parts

    @property
    def transcriptions(self) -> Mapping[int, Transcription]:
        """Transcriptions of the user's audio by content index; read-only."""
        return _NO_TRANSCRIPTIONS if self._transcriptions is None else self._transcriptions

    @property
    def cut_places(self) -> Mapping[int, CutPlace]:
        """Where parts were truncated, by content index; read-only."""
        return _NO_CUTS if self._cuts is None else self._cuts

    def part(self, content_index: int) -> PartText:
        """The stream of generated text at ``content_index``, made if there is none."""
        if self._parts is None:
            self._parts = {}
        part = self._parts.get(content_index)
        if part is None:
            part = self._parts[content_index] = PartText()
            self.text_bytes += STREAM_CHARGE
        return part

    def transcription(self, content_index: int) -> Transcription:
        """The transcription of the user's audio at ``content_index``, made if there is none."""
        if self._transcriptions is None:
            self._transcriptions = {}
        transcription = self._transcriptions.get(content_index)
        if transcription is None:
            transcription = self._transcriptions[content_index] = Transcription()
            self.text_bytes += STREAM_CHARGE
        return transcription

    def text_delta(self, content_index: int, delta: str) -> Taken:
        """More generated text, transcript or arguments."""
        if self.finished:
            return Taken.CLOSED
        part = self._parts.get(content_index) if self._parts is not None else None
        if part is None:
            part = self.part(content_index)
        elif part.final:
            return Taken.CLOSED
        self.text_bytes += part.append(delta)
        return _APPLIED

    def text_done(self, content_index: int, text: str) -> Taken:
        """The whole generated text, in place of its deltas. Repeated, the latest counts."""
        if self.finished:
            return Taken.CLOSED
        part = self.part(content_index)
        self.replace_text(part, text)
        part.final = True
        return Taken.APPLIED

    def transcription_delta(self, content_index: int, delta: str) -> Taken:
        """More of a transcript of the user's audio."""
        transcription = self.transcription(content_index)
        if transcription.final or transcription.error is not None:
            return Taken.CLOSED
        self.text_bytes += transcription.append(delta)
        return Taken.APPLIED

    def transcription_updated(self, content_index: int, transcript: str) -> Taken:
        """All of the transcript so far, in place of what there was."""
        transcription = self.transcription(content_index)
        if transcription.final or transcription.error is not None:
            return Taken.CLOSED
        self.replace_text(transcription, transcript)
        return Taken.APPLIED

    def transcription_completed(self, content_index: int, transcript: str, *, final: bool = True) -> Taken:
        """The whole transcript. Repeated, the latest counts; ``final`` False announces that another one follows."""
        transcription = self.transcription(content_index)
        self.replace_text(transcription, transcript)
        transcription.final = final
        self.set_error(transcription, None)
        return Taken.APPLIED

    def transcription_failed(self, content_index: int, error: str) -> Taken:
        """There will be no transcript. What had come of it stays; a completed one is not lost."""
        transcription = self.transcription(content_index)
        if transcription.final:
            return Taken.CLOSED
        self.set_error(transcription, error)
        return Taken.APPLIED

    def replace_text(self, stream: PartText | Transcription, text: str) -> None:
        """Give one of this record's streams another text."""
        before = stream.text_bytes
        stream.replace(text)
        self.text_bytes += stream.text_bytes - before

    def set_error(self, transcription: Transcription, error: str | None) -> None:
        """Give one of this record's transcriptions another error."""
        self.text_bytes += utf8_size(error or "") - utf8_size(transcription.error or "")
        transcription.error = error

    def truncate(self, content_index: int, audio_end_ms: int, audio_ms: int | None) -> Taken:
        """A part was cut: see `Conversation.truncate`. The earliest cut counts, and the longest audio."""
        before = self.cut_places.get(content_index)
        if before is not None:
            audio_end_ms = min(audio_end_ms, before.audio_end_ms)
            audio_ms = max((ms for ms in (audio_ms, before.audio_ms) if ms is not None), default=None)
        self.set_cut(content_index, CutPlace(max(0, audio_end_ms), audio_ms))
        return Taken.APPLIED

    def set_cut(self, content_index: int, place: CutPlace) -> None:
        """Put ``place`` in the place of an earlier one of the same part."""
        if self._cuts is None:
            self._cuts = {}
        if content_index not in self._cuts:
            self.text_bytes += STREAM_CHARGE
        self._cuts[content_index] = place


class Node(Record):
    """One item of the conversation. Read it freely; ``state`` and ``status`` may be written from outside.

    ``state`` is a slot for the stepper of the table ``conversation_item``. ``item`` is the latest full announcement,
    kept without base64 audio. ``previous_item_id`` is the predecessor as announced. ``generated`` tells an item that
    a response makes from one that was created or committed; ``response_id`` is that response, as far as known.
    ``status`` is the item's own where it has a known one, else ``in_progress`` until it is done (R-C1). ``finished``:
    its ``conversation.item.done`` came. ``idle_timeout``: it is the silence that an idle timeout committed, no word of
    the user's (R-I5). ``linked``: it is a member of a conversation. ``held_as``: see `Held`.
    """

    __slots__ = ("generated", "held_as", "idle_timeout", "item", "previous_item_id", "response_id", "state", "status")

    def __init__(self, item: Item) -> None:
        super().__init__(item_id(item))
        self.state = "absent"
        self.item: Item = without_audio(item)
        self.previous_item_id: str | None = None
        self.generated = False
        self.idle_timeout = False
        self.held_as: Held = "itself"
        self.response_id: str | None = None
        self.status: Status = _status(item) or "in_progress"
        self.text_bytes = size_of(self.item)

    @property
    def text(self) -> str:
        """What a reader should see: the parts' texts in order, a line for each part that has one.

        Text or transcript; of a part that was cut, the words that were heard; of the user's audio, its transcription.
        A call says its arguments as far as they came, an output its output.
        """
        own = item_texts(self.item)
        indexes = set(own)
        indexes.update(self.parts, self.transcriptions, self.cut_places)
        return "\n".join(text for index in sorted(indexes) if (text := self._text(index, own)))

    def text_at(self, content_index: int) -> str:
        """As ``text``, of one part alone; "" where nothing is known."""
        return self._text(content_index, item_texts(self.item))

    @property
    def cuts(self) -> dict[int, Cut]:
        """Truncations by content index, each with the words that were heard, as far as words and audio are known."""
        own = item_texts(self.item)
        return {index: Cut(place.audio_end_ms, self._text(index, own)) for index, place in self.cut_places.items()}

    def _text(self, content_index: int, own: dict[int, str]) -> str:
        whole = self._whole_text(content_index, own)
        place = self.cut_places.get(content_index)
        return whole if place is None else heard_prefix(whole, place.audio_end_ms, place.audio_ms)

    def _whole_text(self, content_index: int, own: dict[int, str]) -> str:
        stream: PartText | Transcription | None
        for stream in (self.transcriptions.get(content_index), self.parts.get(content_index)):
            if stream is not None and stream.text_bytes:
                return stream.text
        return own.get(content_index, "")

    def rename(self, id: str, item: Item) -> None:
        """The same item, with other ids in it."""
        self.id = id
        self.text_bytes += size_of(item) - size_of(self.item)
        self.item = item

    def adopt(self, early: Record) -> None:
        """Take over the texts that came before the item. ``early`` is used up."""
        self._parts = early._parts
        self._transcriptions = early._transcriptions
        self._cuts = early._cuts
        self.text_bytes += early.text_bytes

    def update(self, item: Item, *, done: bool = False) -> None:
        """Replace the announcement. With ``done`` it is the last word, and its texts replace what streamed.

        What ``item`` does not say is not forgotten: a text that was known stays, in its part. So does that of a part
        which was cut, where ``item`` says only the beginning of it: what was heard is measured by the whole.
        """
        item = without_audio(item)
        texts, own = item_texts(item), item_texts(self.item)
        for index in self.cut_places:
            whole, shown = self._whole_text(index, own), texts.get(index, "")
            if whole != shown and whole.startswith(shown):
                texts[index] = ""
        for index, text in own.items():
            if not text or texts.get(index):
                continue
            part = self.part(index)
            if not part.text_bytes:
                self.replace_text(part, text)
        for index, part in self.parts.items():
            if done or part.final:
                part.final = True
                if texts.get(index):
                    self.replace_text(part, "")
        self.text_bytes += size_of(item) - size_of(self.item)
        self.item = item
        if done:
            self.finished = True
            status = _status(item)
            self.status = "incomplete" if status == "incomplete" else "completed"
        else:
            self.status = _status(item) or self.status

    def __repr__(self) -> str:
        return f"Node(id={self.id!r}, type={self.item.type!r}, state={self.state!r}, status={self.status!r})"


def _status(item: Item) -> Status | None:
    return _STATUSES.get(item_status(item) or "")
