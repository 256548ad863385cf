"""Streams: text, transcripts, audio and arguments as they grow, each by itself.

A response may speak in several parts and call several functions at once, and two responses may run side by side; their
deltas interleave. A `Stream` is one of them, known by its `StreamKey`. `Streams` takes events one after another
(`Streams.feed`), tells callbacks, and can be read as an iterator: `Streams.read` over any iterable of events,
`Streams.read_async` over any asynchronous one, under any event loop.

* The whole value of a ``done`` event replaces what the deltas said.
* ``response.done`` ends what is still open: then `Stream.interrupted` is true, and `Stream.text` is what had come.
* ``conversation.item.truncated`` leaves the audio that was heard, and its words, by the rule of the conversation; given
  the conversation of a session, its own words are taken, so that both always say the same.

Callbacks are called as a `Router` calls handlers: one that raises stops no other, and asynchronous ones are awaited by
`Streams.feed_async` and `Streams.read_async`.

Memory is bounded: the oldest finished streams go first. Then the oldest open ones are `Stream.lost`, for a text that
begins in its middle would say what nobody said: they hold nothing any more, while their deltas and their end are told
as before, and a whole value at the end is held again.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pybase64
from msgspec import Struct

from antiphon.engine.audio import PCM16_24K, AudioFormat, decode_base64
from antiphon.engine.conversation import Conversation
from antiphon.engine.conversation.text import TextStream, heard_prefix
from antiphon.messages import Malformed
from antiphon.toolkit.event_types import aliases_of
from antiphon.toolkit.router import Router, Typed, route_all, route_all_async

__all__ = ["Stream", "StreamKey", "StreamKind", "StreamUpdate", "Streams"]


class StreamKind(StrEnum):
    """What grows: ``text`` and ``transcript`` of what the model says, its ``audio``, the ``arguments`` of its calls."""

    TEXT = "text"
    TRANSCRIPT = "transcript"
    AUDIO = "audio"
    ARGUMENTS = "arguments"


class StreamKey(NamedTuple):
    """Where it grows. Arguments have no content part; their ``content_index`` is 0."""

    response_id: str
    item_id: str
    content_index: int
    kind: StreamKind


class Stream:
    """One stream. ``done``: nothing more will come. ``interrupted``: its response ended first. ``cut``: only what was
    heard is left of it. ``lost``: there was no room for it, so `text` and `audio` are empty. ``deltas``: how many came.
    ``audio_bytes``: how much audio came, or was heard of it."""

    __slots__ = ("_audio", "_text", "audio_bytes", "cut", "deltas", "done", "interrupted", "key", "lost")

    def __init__(self, key: StreamKey) -> None:
        self.key = key
        self.deltas = 0
        self.done = self.interrupted = self.cut = self.lost = False
        self.audio_bytes = 0
        self._text = TextStream()
        self._audio = bytearray()

    @property
    def kind(self) -> StreamKind:
        """What grows here."""
        return self.key.kind

    @property
    def text(self) -> str:
        """What was said so far; of a finished one all of it, of a cut one what was heard. Empty for audio."""
        return self._text.text

    @property
    def audio(self) -> bytes:
        """The sound so far, in the format of the session, without deltas that were no base64. Empty unless `Streams`
        was told to ``keep_audio``."""
        return bytes(self._audio)

    @property
    def held_bytes(self) -> int:
        """How much is held of it: of text in UTF-8, and of audio."""
        return self._text.text_bytes + len(self._audio)

    def __repr__(self) -> str:
        what = f"{self.audio_bytes} bytes" if self.kind is StreamKind.AUDIO else f"{len(self.text)} characters"
        state = "cut" if self.cut else "interrupted" if self.interrupted else "done" if self.done else "open"
        return f"<Stream {self.kind} of {self.key.item_id!r}: {what}, {state}{', lost' if self.lost else ''}>"


class StreamUpdate(Struct, frozen=True, gc=False):
    """What one event did to one stream: ``delta`` is what was added (base64 for audio), empty at the end. ``type`` is
    its kind and which of both it was: ``text.delta``, ``text.done`` and so on."""

    stream: Stream
    delta: str
    type: str

    @property
    def pcm(self) -> bytes:
        """The bytes of an audio ``delta``. Raises ValueError when it is no base64."""
        return pybase64.b64decode(self.delta, validate=True)

    def __repr__(self) -> str:
        return f"StreamUpdate(stream={self.stream!r}, delta=<{len(self.delta)} characters>, type={self.type!r})"


Callback = Callable[[StreamUpdate], object]


class Streams:
    """The streams of a conversation. ``updates`` is the router that calls the callbacks: `Router.on_error` of it has
    what they raise reported.

    ``conversation``: that of the session the events come from; its words are then used for what was cut.
    ``format``: of the model's audio, to know how long it is, until an event of the session names it.
    ``keep_audio``: hold the sound too. ``max_streams``, ``max_bytes`` (of text in UTF-8 and of audio): what is held at
    most; both at least 1. Of as many open streams as ``max_streams`` it is remembered that they were lost.
    """

    def __init__(
        self,
        *,
        conversation: Conversation | None = None,
        format: AudioFormat = PCM16_24K,
        keep_audio: bool = False,
        max_streams: int = 256,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        if max_streams < 1 or max_bytes < 1:
            raise ValueError("max_streams and max_bytes must be at least 1")
        self._conversation = conversation
        self._format = format
        self._keep_audio = keep_audio
        self._max_streams = max_streams
        self._max_bytes = max_bytes
        self._streams: dict[StreamKey, Stream] = {}
        self._forgotten: dict[StreamKey, Stream] = {}  # open ones for which there is no room; they hold nothing
        self._bytes = 0
        self.updates: Router[StreamUpdate] = Router()

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def streams(self) -> Mapping[StreamKey, Stream]:
        """What is held, oldest first; a live view."""
        return MappingProxyType(self._streams)

    def of_item(self, item_id: str, kind: StreamKind | str | None = None) -> tuple[Stream, ...]:
        """The streams of an item, of one kind or of all, in the order in which they began."""
        return tuple(each for key, each in self._streams.items() if key.item_id == item_id and kind in (None, key.kind))

    # -- callbacks -----------------------------------------------------------------------------------------------------

    def on_delta(self, kind: StreamKind | str, callback: Callback) -> Callback:
        """Call ``callback`` with each `StreamUpdate` that adds something to a stream of this kind.

        Callbacks are called in the order in which they were given, when the stream has grown already. Raises ValueError
        for a kind that does not exist.
        """
        self.updates.on(f"{StreamKind(kind)}.delta", callback)
        return callback

    def on_done(self, kind: StreamKind | str, callback: Callback) -> Callback:
        """Call ``callback`` once for each stream of this kind that ends, and once more if it is cut later. Raises as
        `on_delta`."""
        self.updates.on(f"{StreamKind(kind)}.done", callback)
        return callback

    # -- events in -----------------------------------------------------------------------------------------------------

    def feed(self, event: Typed) -> tuple[StreamUpdate, ...]:
        """Take an event; answers what it did. Events that concern no stream do nothing.

        Calls the callbacks. What they raise is raised together, as an `ExceptionGroup`, when all of them were called,
        unless ``updates.on_error`` has a hook. An asynchronous one has failed (`TypeError`): it wants `feed_async`.
        """
        updates = self.note(event)
        if len(updates) == 1:  # nearly every event that is about a stream, and they come by the hundred
            self.updates.route(updates[0])
        elif updates:
            route_all((self.updates, update) for update in updates)
        return updates

    async def feed_async(self, event: Typed) -> tuple[StreamUpdate, ...]:
        """As `feed`, and awaits what callbacks return, each before the next is called."""
        updates = self.note(event)
        await route_all_async((self.updates, update) for update in updates)
        return updates

    def note(self, event: Typed) -> tuple[StreamUpdate, ...]:
        """As `feed`, but no callback is called."""
        feeder = _FEEDERS.get(event.type)
        if feeder is None or type(event) is Malformed:  # what could not be read says nothing of where it belongs
            return ()
        return feeder(self, event)

    def read(self, events: Iterable[Typed]) -> Iterator[StreamUpdate]:
        """The updates of these events, as they come. Raises as `feed`."""
        for event in events:
            yield from self.feed(event)

    async def read_async(self, events: AsyncIterable[Typed]) -> AsyncIterator[StreamUpdate]:
        """The updates of these events (a connection is such an iterable), as they come; callbacks are awaited. Raises
        as `feed`."""
        async for event in events:
            for update in await self.feed_async(event):
                yield update

    def _grow(self, kind: StreamKind, name: str, event: Any) -> tuple[StreamUpdate, ...]:
        stream = self._at(kind, event)
        delta = event.delta
        if stream.done:
            return ()  # a straggler: the whole is known, or the listener has been cut off
        stream.deltas += 1
        if kind is StreamKind.AUDIO:
            if self._keep_audio:
                audio = decode_base64(delta) or b""
                stream.audio_bytes += len(audio)
                if not stream.lost:
                    stream._audio += audio
                    self._bytes += len(audio)
            else:
                stream.audio_bytes += len(delta) * 3 // 4 - delta[-2:].count("=")
        elif not stream.lost:
            self._bytes += stream._text.append(delta)
        if self._bytes > self._max_bytes:
            self._fit(stream)
        return (StreamUpdate(stream, delta, name),)

    def _finish(self, kind: StreamKind, event: Any, whole: str | None) -> tuple[StreamUpdate, ...]:
        stream = self._at(kind, event)
        if stream.done:
            return ()
        if whole is not None:
            self._replace(stream, whole)
            self._fit(stream)
        return (self._end(stream),)

    def _end(self, stream: Stream) -> StreamUpdate:
        stream.done = True
        return StreamUpdate(stream, "", f"{stream.kind}.done")

    def _finish_response(self, event: Any) -> tuple[StreamUpdate, ...]:
        ended = []
        known = (*self._streams.values(), *self._forgotten.values())
        for stream in [each for each in known if each.key.response_id == event.response.id]:
            self._forgotten.pop(stream.key, None)
            if not stream.done:
                stream.interrupted = True
                ended.append(self._end(stream))
        return tuple(ended)

    def _truncate(self, event: Any) -> tuple[StreamUpdate, ...]:
        cut = []
        mine = [each for each in self.of_item(event.item_id) if each.key.content_index == event.content_index]
        sound = next((each.audio_bytes for each in mine if each.kind is StreamKind.AUDIO), 0)
        for stream in mine:
            if stream.kind is StreamKind.ARGUMENTS:
                continue
            if stream.kind is StreamKind.AUDIO:
                self._silence(stream, event.audio_end_ms)
            else:
                heard = self._heard(stream, event.audio_end_ms, sound)
                if heard is not None:
                    self._replace(stream, heard)
            stream.cut = True
            cut.append(self._end(stream))
        if cut:
            self._fit(cut[-1].stream)
        return tuple(cut)

    def _silence(self, stream: Stream, audio_end_ms: int) -> None:
        """Of audio the beginning is left that was heard."""
        heard = self._format.samples_for_ms(max(0, audio_end_ms)) * self._format.bytes_per_sample
        stream.audio_bytes = min(stream.audio_bytes, heard)
        self._bytes -= max(0, len(stream._audio) - heard)
        del stream._audio[heard:]

    def _heard(self, stream: Stream, audio_end_ms: int, audio_bytes: int) -> str | None:
        """The words that were heard; None where nobody knows them any more."""
        node = None if self._conversation is None else self._conversation.get(stream.key.item_id)
        known = None if node is None else node.cuts.get(stream.key.content_index)
        if known is not None:
            return known.heard
        if stream.lost:
            return None
        received_ms = self._format.ms(audio_bytes // self._format.bytes_per_sample) if audio_bytes else None
        return heard_prefix(stream.text, audio_end_ms, received_ms)

    def _session(self, event: Any) -> tuple[StreamUpdate, ...]:
        audio = event.session.audio
        output = getattr(audio, "output", None) if audio else None
        named = output.format if output else None
        self._format = (AudioFormat.from_session(named) if named else None) or self._format
        return ()

    # -- what is held --------------------------------------------------------------------------------------------------

    def _at(self, kind: StreamKind, event: Any) -> Stream:
        index = 0 if kind is StreamKind.ARGUMENTS else event.content_index
        place: Any = (event.response_id, event.item_id, index, kind)  # equal to its key, and much quicker to make
        stream = self._streams.get(place)
        if stream is None:
            key = StreamKey(*place)
            forgotten = self._forgotten.pop(key, None)
            stream = self._streams[key] = Stream(key) if forgotten is None else forgotten
            self._fit(stream)
        return stream

    def _replace(self, stream: Stream, text: str) -> None:
        self._bytes -= stream._text.text_bytes
        stream._text.replace(text)
        stream.lost = False
        self._bytes += stream._text.text_bytes

    def _fits(self) -> bool:
        return len(self._streams) <= self._max_streams and self._bytes <= self._max_bytes

    def _fit(self, newest: Stream) -> None:
        """Make room for ``newest``, the one that an event is about. It stays, and loses what it holds only when there
        would be no room for it alone."""
        if self._fits():
            return
        if newest.held_bytes > self._max_bytes:
            self._lose(newest)
        others = [each for each in self._streams.values() if each is not newest]
        for other in sorted(others, key=lambda each: not each.done):
            if self._fits():
                return
            if other.done:  # who has it may still read it
                self._bytes -= other.held_bytes
                del self._streams[other.key]
                continue
            self._lose(other)
            if len(self._streams) > self._max_streams:
                self._forgotten[other.key] = self._streams.pop(other.key)
                if len(self._forgotten) > self._max_streams:
                    del self._forgotten[next(iter(self._forgotten))]

    def _lose(self, stream: Stream) -> None:
        if stream.held_bytes:
            self._bytes -= stream.held_bytes
            stream._text.replace("")
            stream._audio.clear()
            stream.lost = True


Feeder = Callable[[Streams, Any], tuple[StreamUpdate, ...]]


def _grows(kind: StreamKind) -> Feeder:
    name = f"{kind}.delta"
    return lambda streams, event: streams._grow(kind, name, event)


def _ends(kind: StreamKind, field: str | None) -> Feeder:
    def end(streams: Streams, event: Any) -> tuple[StreamUpdate, ...]:
        whole = None if field is None else getattr(event, field)
        return streams._finish(kind, event, whole if isinstance(whole, str) else None)

    return end


_BY_GA_NAME: Final[Mapping[str, Feeder]] = {
    "response.output_text.delta": _grows(StreamKind.TEXT),
    "response.output_text.done": _ends(StreamKind.TEXT, "text"),
    "response.output_audio_transcript.delta": _grows(StreamKind.TRANSCRIPT),
    "response.output_audio_transcript.done": _ends(StreamKind.TRANSCRIPT, "transcript"),
    "response.output_audio.delta": _grows(StreamKind.AUDIO),
    "response.output_audio.done": _ends(StreamKind.AUDIO, None),
    "response.function_call_arguments.delta": _grows(StreamKind.ARGUMENTS),
    "response.function_call_arguments.done": _ends(StreamKind.ARGUMENTS, "arguments"),
    "response.mcp_call_arguments.delta": _grows(StreamKind.ARGUMENTS),
    "response.mcp_call_arguments.done": _ends(StreamKind.ARGUMENTS, "arguments"),
    "response.done": Streams._finish_response,
    "conversation.item.truncated": Streams._truncate,
    "session.created": Streams._session,
    "session.updated": Streams._session,
}

_FEEDERS: Final[Mapping[str, Feeder]] = {
    alias: feeder for name, feeder in _BY_GA_NAME.items() for alias in aliases_of(name)
}
"""What an event does, by each of its names."""
