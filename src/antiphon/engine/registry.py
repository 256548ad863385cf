"""The responses that a client knows: those in progress, a bounded number of those that are over, and their streams."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from antiphon import messages as m
from antiphon.engine.incoming.response import RESPONSE
from antiphon.engine.records import ResponseRecord, StreamRecord

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession


class Registry:
    """``responses`` by their ids, in the order in which they began; ``finished`` are the ids of those that are over,
    the oldest first; ``in_conversation`` holds the one place of the default conversation, or is why it is free.
    ``streams`` by item and content index; ``speaking`` is the one that the newest delta belongs to."""

    __slots__ = ("_indexes", "_session", "finished", "in_conversation", "responses", "speaking", "streams")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.responses: dict[str, ResponseRecord] = {}
        self.finished: deque[str] = deque()
        self.in_conversation: dict[str, ResponseRecord] = {}
        self.streams: dict[tuple[str, int], StreamRecord] = {}
        self._indexes: dict[str, list[int]] = {}
        self.speaking: StreamRecord | None = None

    @property
    def default(self) -> ResponseRecord | None:
        """The response in progress in the default conversation, the oldest if a server runs several."""
        return next(iter(self.in_conversation.values()), None)

    def open(self, record: ResponseRecord) -> None:
        """A response is in progress from here on."""
        session = self._session
        self.responses[record.id] = record
        if record.in_conversation:
            self.in_conversation[record.id] = record
        if len(self.responses) - len(self.finished) > session.config.limits.open_responses:
            oldest = next(each for each in self.responses.values() if each.is_open)
            session.report("R-N2", None, "too many responses in progress; the oldest is forgotten")
            session.step(RESPONSE, oldest, "internal.lost", None)
            session.arbiter.forget(oldest.id)

    def let_lapse(self) -> None:
        """Those that were never announced, and whose end was waited for, hold the one place no more (R-Q5)."""
        for record in [each for each in self.in_conversation.values() if each.claim == "inferred"]:
            record.claim = "lapsed"
            del self.in_conversation[record.id]

    def close(self, record: ResponseRecord, event: m.ResponseDone | str | None) -> None:
        """A response is over. ``event`` says how; its id alone when that could not be read, None when it was lost."""
        session = self._session
        self.in_conversation.pop(record.id, None)
        self.finished.append(record.id)
        if len(self.finished) > session.config.limits.response_history:
            forgotten = self.responses.pop(self.finished.popleft())
            for key in forgotten.streams:
                del self.streams[key]
                self._forget_index(*key)
            self.speaking = None
        session.listener.finish_response(record.id)
        if event is not None:
            session.arbiter.done(record.id, event, in_conversation=record.in_conversation)
            session.arbiter.release()

    def silence(self, response_id: str) -> None:
        """A response was announced whose cancel is under way: nothing of it is played (R-Q9)."""
        record = self.responses[response_id]
        self._session.listener.silence(response_id)
        if record.is_open:
            self._session.step(RESPONSE, record, "response.cancel", None)

    def cancel(self, response_id: str) -> None:
        """A response was announced that nobody wants any more: cancel it, and play nothing of it (R-Q9, R-Q10)."""
        self._session.listener.silence(response_id)
        if self.responses[response_id].is_open:
            self._session.command(m.ResponseCancel(response_id=response_id))

    def keep_stream(self, stream: StreamRecord) -> None:
        """A stream of a response in progress was found for the first time."""
        key = (stream.item_id, stream.content_index)
        other = self.streams.get(key)
        if other is None:
            insort(self._indexes.setdefault(stream.item_id, []), stream.content_index)
        else:  # another response spoke there: a place has one stream, so that a snapshot need not say whose it is
            del other.response.streams[key]
        stream.response.streams[key] = self.streams[key] = stream
        self.speaking = None

    def _forget_index(self, item_id: str, content_index: int) -> None:
        indexes = self._indexes[item_id]
        indexes.remove(content_index)
        if not indexes:
            del self._indexes[item_id]

    def stream_indexes(self, item_id: str) -> Iterable[int]:
        """The content indexes of an item that have a stream."""
        return self._indexes.get(item_id, ())

    def load(self, record: ResponseRecord) -> None:
        """A response of a snapshot."""
        self.responses[record.id] = record
        if record.in_conversation and record.is_open and record.claim != "lapsed":
            self.in_conversation[record.id] = record
        for stream in record.streams.values():
            self.keep_stream(stream)

    def clear(self) -> None:
        """Another session knows none of them."""
        self.responses.clear()
        self.finished.clear()
        self.in_conversation.clear()
        self.streams.clear()
        self._indexes.clear()
        self.speaking = None
