"""Streams: what grows, what replaces it, what is left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pybase64
import pytest
import trio
from msgspec import UNSET

from antiphon import Conversation
from antiphon import messages as m
from antiphon.toolkit import HandlerFailure, StreamKind, Streams, StreamUpdate

AUDIO = pybase64.b64encode(bytes(4800)).decode()  # 100 ms of PCM16 at 24 kHz


def place(item: str = "item", part: int = 0, response: str = "resp") -> dict[str, Any]:
    return {"response_id": response, "item_id": item, "output_index": 0, "content_index": part}


def text(delta: str, **where: Any) -> m.ResponseOutputTextDelta:
    return m.ResponseOutputTextDelta(delta=delta, **place(**where))


def said(delta: str, **where: Any) -> m.ResponseOutputAudioTranscriptDelta:
    return m.ResponseOutputAudioTranscriptDelta(delta=delta, **place(**where))


def sound(**where: Any) -> m.ResponseOutputAudioDelta:
    return m.ResponseOutputAudioDelta(delta=AUDIO, **place(**where))


def done(status: str = "completed", response: str = "resp") -> m.ResponseDone:
    return m.ResponseDone(response=m.Response(id=response, status=status, output=[]))


def cut(ms: int, item: str = "item", part: int = 0) -> m.ConversationItemTruncated:
    return m.ConversationItemTruncated(item_id=item, content_index=part, audio_end_ms=ms)


def texts(streams: Streams) -> dict[str, str]:
    return {key.item_id: each.text for key, each in streams.streams.items() if key.kind is not StreamKind.AUDIO}


def test_deltas_of_several_items_grow_side_by_side() -> None:
    streams = Streams()
    for event in (text("a", item="one"), text("x", item="two"), text("b", item="one"), text("y", item="two")):
        streams.feed(event)
    assert texts(streams) == {"one": "ab", "two": "xy"}


def test_two_parts_of_an_item_and_two_responses_are_kept_apart() -> None:
    streams = Streams()
    streams.feed(text("a"))
    streams.feed(text("b", part=1))
    streams.feed(text("c", response="other"))
    assert [each.text for each in streams.of_item("item")] == ["a", "b", "c"]


def test_the_whole_value_replaces_the_deltas() -> None:
    streams = Streams()
    streams.feed(text("wrnog"))
    (update,) = streams.feed(m.ResponseOutputTextDone(text="right", **place()))
    assert (update.stream.text, update.stream.done, update.stream.interrupted) == ("right", True, False)


def test_a_stream_of_which_only_the_end_came_has_its_text() -> None:
    streams = Streams()
    (update,) = streams.feed(m.ResponseOutputAudioTranscriptDone(transcript="all at once", **place()))
    assert update.stream.text == "all at once"


def test_arguments_are_streamed_by_item() -> None:
    streams = Streams()
    where = {"response_id": "resp", "item_id": "call", "output_index": 1}
    streams.feed(m.ResponseFunctionCallArgumentsDelta(call_id="c", delta='{"a"', **where))
    (update,) = streams.feed(m.ResponseFunctionCallArgumentsDone(call_id="c", arguments='{"a":1}', name="f", **where))
    assert (update.stream.kind, update.stream.text) == (StreamKind.ARGUMENTS, '{"a":1}')


def test_audio_is_counted_and_held_only_when_asked_for() -> None:
    counting, keeping = Streams(), Streams(keep_audio=True)
    for streams in (counting, keeping):
        (update,) = streams.feed(sound())
        assert update.pcm == bytes(4800)
        assert update.stream.audio_bytes == 4800
    assert counting.of_item("item")[0].audio == b""
    assert keeping.of_item("item", "audio")[0].audio == bytes(4800)


def test_audio_ends_with_what_came_of_it() -> None:
    streams = Streams(keep_audio=True)
    streams.feed(sound())
    (update,) = streams.feed(m.ResponseOutputAudioDone(**place()))
    assert (update.stream.done, update.stream.interrupted) == (True, False)
    assert update.stream.audio_bytes == 4800
    assert streams.feed(m.ResponseOutputAudioDone(**place())) == ()


def test_the_end_of_the_response_ends_what_is_open_as_interrupted() -> None:
    streams = Streams()
    streams.feed(text("half a"))
    streams.feed(text("other", response="other"))
    (update,) = streams.feed(done("cancelled"))
    assert (update.stream.text, update.stream.done, update.stream.interrupted) == ("half a", True, True)
    assert [each.done for each in streams.streams.values()] == [True, False]


def test_the_end_of_a_response_does_not_touch_what_was_finished() -> None:
    streams = Streams()
    streams.feed(m.ResponseOutputTextDone(text="whole", **place()))
    assert streams.feed(done()) == ()
    assert not streams.of_item("item")[0].interrupted


def test_of_a_cut_stream_the_words_are_left_that_were_heard() -> None:
    streams = Streams()
    for _ in range(10):
        streams.feed(sound())
    streams.feed(said("one two three four five six"))
    (_, update) = streams.feed(cut(500))
    assert update.stream.text == "one two three"
    assert update.stream.cut


@pytest.mark.parametrize(("ms", "heard"), [(50, 2400), (100, 4800), (900, 4800), (-1, 0)])
@pytest.mark.parametrize("keep_audio", [True, False])
def test_of_a_cut_stream_the_audio_is_left_that_was_heard(ms: int, heard: int, keep_audio: bool) -> None:
    streams = Streams(keep_audio=keep_audio)
    streams.feed(sound())
    (update,) = streams.feed(cut(ms))
    assert (update.type, update.stream.cut, update.stream.done) == ("audio.done", True, True)
    assert update.stream.audio_bytes == heard
    assert update.stream.audio == bytes(heard if keep_audio else 0)


def test_a_second_cut_at_the_same_place_leaves_the_same_words() -> None:
    streams = Streams()
    streams.feed(sound())
    streams.feed(said("one two three four"))
    streams.feed(cut(50))
    streams.feed(cut(50))
    assert streams.of_item("item", "transcript")[0].text == "one two"


def test_audio_is_as_long_as_the_format_says_that_the_session_names() -> None:
    streams = Streams(keep_audio=True)
    for output in (m.AudioOutput(format=m.AudioFormat(type="audio/pcmu")), m.AudioOutput(), UNSET):
        session = m.RealtimeSession(audio=m.AudioConfig(output=output))
        streams.feed(m.SessionCreated(session=session))
    streams.feed(m.SessionUpdated(session=m.RealtimeSession()))
    streams.feed(sound())
    (update,) = streams.feed(cut(50))
    assert update.stream.audio_bytes == 400


def test_the_arguments_of_a_call_are_not_cut() -> None:
    streams = Streams()
    where = {"response_id": "resp", "item_id": "item", "output_index": 1}
    streams.feed(m.ResponseFunctionCallArgumentsDelta(call_id="c", delta="{}", **where))
    assert streams.feed(cut(0)) == ()


def test_a_delta_that_is_no_base64_takes_nothing_of_the_audio_around_it() -> None:
    streams = Streams(keep_audio=True)
    streams.feed(sound())
    streams.feed(m.ResponseOutputAudioDelta(delta="abc", **place()))
    streams.feed(sound())
    (stream,) = streams.of_item("item")
    assert (stream.audio, stream.audio_bytes, stream.deltas) == (bytes(9600), 9600, 3)


def test_stragglers_do_not_lengthen_what_was_cut() -> None:
    streams = Streams()
    streams.feed(sound())
    streams.feed(said("one two"))
    streams.feed(cut(0))
    assert streams.feed(said(" three")) == ()
    assert streams.feed(m.ResponseOutputAudioTranscriptDone(transcript="one two three", **place())) == ()
    assert streams.of_item("item", "transcript")[0].text == ""


def test_a_finished_stream_is_told_again_when_it_is_cut() -> None:
    streams = Streams()
    ended: list[str] = []
    streams.on_done("transcript", lambda update: ended.append(update.stream.text))
    streams.feed(sound())
    streams.feed(m.ResponseOutputAudioTranscriptDone(transcript="one two three four", **place()))
    streams.feed(cut(50))
    assert ended == ["one two three four", "one two"]


def test_the_words_of_a_cut_are_those_of_the_conversation() -> None:
    conversation = Conversation()
    conversation.add(m.MessageItem(id="item", role="assistant", content=[]), None)
    conversation.text_done("item", 0, "one two three four")
    conversation.truncate("item", 0, 300, 400)
    streams = Streams(conversation=conversation)
    streams.feed(said("one two three four"))
    (update,) = streams.feed(cut(300))
    assert update.stream.text == conversation.get("item").cuts[0].heard == "one two three"  # type: ignore[union-attr]


def test_a_cut_of_another_part_changes_nothing() -> None:
    streams = Streams()
    streams.feed(said("one two"))
    assert streams.feed(cut(0, part=1)) == ()
    assert streams.feed(cut(0, item="other")) == ()


def test_callbacks_hear_of_their_kind_in_order() -> None:
    streams = Streams()
    seen: list[tuple[str, str, str]] = []
    streams.on_delta(StreamKind.TEXT, lambda update: seen.append(("first", update.delta, update.stream.text)))
    streams.on_delta("text", lambda update: seen.append(("second", update.delta, update.stream.text)))
    streams.feed(text("a"))
    streams.feed(said("not this"))
    streams.feed(text("b"))
    assert seen == [("first", "a", "a"), ("second", "a", "a"), ("first", "b", "ab"), ("second", "b", "ab")]


def fails(_update: StreamUpdate) -> None:
    raise ZeroDivisionError


def test_a_callback_that_raises_stops_no_other_and_loses_nothing_of_the_stream() -> None:
    streams = Streams()
    heard: list[StreamUpdate] = []
    streams.on_delta("text", fails)
    streams.on_delta("text", heard.append)
    with pytest.raises(ExceptionGroup) as caught:
        streams.feed(text("a"))
    assert [type(each) for each in caught.value.exceptions] == [ZeroDivisionError]
    assert [update.delta for update in heard] == ["a"]
    assert texts(streams) == {"item": "a"}


@pytest.mark.parametrize("end", [done("cancelled"), cut(0)])
def test_a_callback_that_raises_leaves_no_other_stream_open(end: m.ServerEvent) -> None:
    streams = Streams()
    streams.feed(text("a", response="resp"))
    streams.feed(said("b", response="resp"))
    streams.on_done("text", fails)
    streams.on_done("transcript", fails)
    with pytest.raises(ExceptionGroup) as caught:
        streams.feed(end)
    assert len(caught.value.exceptions) == 2
    assert [each.done for each in streams.streams.values()] == [True, True]


def test_what_callbacks_raise_is_reported_to_a_hook() -> None:
    streams = Streams()
    failures: list[HandlerFailure] = []
    streams.updates.on_error(failures.append)
    streams.on_delta("text", fails)
    (update,) = streams.feed(text("a"))
    assert [(each.event, each.handler, each.pattern) for each in failures] == [(update, fails, "text.delta")]


def test_asynchronous_callbacks_are_awaited_before_the_next_is_called() -> None:
    streams = Streams()
    heard: list[str] = []

    async def slow(update: StreamUpdate) -> None:
        await trio.lowlevel.checkpoint()
        heard.append(f"slow {update.type}")

    streams.on_delta("text", slow)
    streams.on_delta("text", lambda update: heard.append(f"quick {update.type}"))
    streams.on_done("text", slow)
    trio.run(streams.feed_async, text("a"))
    trio.run(streams.feed_async, done())
    assert heard == ["slow text.delta", "quick text.delta", "slow text.done"]


def test_an_asynchronous_callback_is_refused_where_nobody_awaits_it() -> None:
    async def slow(_update: StreamUpdate) -> None: ...

    streams = Streams()
    streams.on_delta("text", slow)
    with pytest.raises(ExceptionGroup) as caught:
        streams.feed(text("a"))
    assert "feed_async" in str(caught.value.exceptions[0])


def test_a_callback_for_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="video"):
        Streams().on_delta("video", fails)


def test_streams_read_from_an_iterable() -> None:
    updates = list(Streams().read([text("a"), m.InputAudioBufferCleared(), text("b"), done()]))
    assert [(each.delta, each.stream.done) for each in updates] == [("a", True), ("b", True), ("", True)]


def test_streams_read_from_an_asynchronous_iterable() -> None:
    async def events() -> AsyncIterator[m.ServerEvent]:
        for event in (text("a"), text("b")):
            await trio.lowlevel.checkpoint()
            yield event

    heard: list[str] = []

    async def hear(update: StreamUpdate) -> None:
        heard.append(update.delta)

    async def main() -> str:
        streams = Streams()
        streams.on_delta("text", hear)
        return "".join([update.delta async for update in streams.read_async(events())])

    assert trio.run(main) == "ab"
    assert heard == ["a", "b"]


def test_the_names_of_the_beta_are_the_same_streams() -> None:
    class Beta:
        type = "response.text.delta"
        delta = "a"
        response_id, item_id, content_index = "resp", "item", 0

    streams = Streams()
    streams.feed(Beta())
    assert texts(streams) == {"item": "a"}


def test_an_event_that_could_not_be_read_is_passed_over() -> None:
    malformed = m.Malformed.of({"type": "response.output_text.delta"}, ())
    assert Streams().feed(malformed) == ()


def test_finished_streams_are_forgotten_first() -> None:
    streams = Streams(max_streams=2)
    streams.feed(text("open", item="old"))
    streams.feed(m.ResponseOutputTextDone(text="finished", **place(item="middle")))
    streams.feed(text("new", item="new"))
    assert list(texts(streams)) == ["old", "new"]
    streams.feed(text("newer", item="newer"))
    assert list(texts(streams)) == ["new", "newer"]


@pytest.mark.parametrize("keep_audio", [True, False])
def test_what_is_held_is_bounded_in_bytes(keep_audio: bool) -> None:
    streams = Streams(max_bytes=20_000, keep_audio=keep_audio)
    for number in range(50):
        streams.feed(sound(item=f"item{number}"))
        streams.feed(text("word" * 1000, item=f"item{number}"))
    assert 12_000 <= sum(each.held_bytes for each in streams.streams.values()) <= 20_000
    assert texts(streams)["item49"] == "word" * 1000


@pytest.mark.parametrize("keep_audio", [True, False])
def test_not_even_one_stream_holds_more_than_the_bound(keep_audio: bool) -> None:
    streams = Streams(max_bytes=5000, keep_audio=keep_audio)
    for _ in range(10):
        streams.feed(sound())
        streams.feed(text("word" * 1000))
        assert sum(each.held_bytes for each in streams.streams.values()) <= 5000


def test_a_stream_for_which_there_is_no_room_says_so_and_is_told_to_its_end() -> None:
    streams = Streams(max_bytes=4)
    told: list[str] = []
    streams.on_delta("text", lambda update: told.append(update.delta))
    streams.on_done("text", lambda update: told.append(repr(update.stream)))
    for delta in ("abc", "def", "g"):
        streams.feed(text(delta))
    (stream,) = streams.of_item("item")
    assert (stream.text, stream.lost, stream.deltas) == ("", True, 3)
    streams.feed(done("cancelled"))
    assert told == ["abc", "def", "g", "<Stream text of 'item': 0 characters, interrupted, lost>"]


def test_audio_for_which_there_is_no_room_is_lost_and_still_counted() -> None:
    streams = Streams(max_bytes=5000, keep_audio=True)
    for _ in range(3):
        streams.feed(sound())
    (stream,) = streams.of_item("item")
    assert (stream.lost, stream.audio, stream.audio_bytes) == (True, b"", 14_400)


def test_what_was_lost_is_held_again_once_its_whole_value_came_and_fits() -> None:
    streams = Streams(max_bytes=6)
    for delta in ("123", "4567"):
        streams.feed(text(delta))
    assert streams.of_item("item")[0].lost
    streams.feed(m.ResponseOutputTextDone(text="123456", **place()))
    (stream,) = streams.of_item("item")
    assert (stream.text, stream.lost) == ("123456", False)


def test_a_whole_value_that_does_not_fit_is_lost_too() -> None:
    streams = Streams(max_bytes=6)
    (update,) = streams.feed(m.ResponseOutputTextDone(text="1234567", **place()))
    assert (update.stream.text, update.stream.lost, update.stream.done) == ("", True, True)


def test_of_streams_side_by_side_the_older_is_lost_and_never_begins_in_its_middle() -> None:
    streams = Streams(max_bytes=3)
    for event in (text("a", item="one"), text("x", item="two"), text("y", item="two"), text("z", item="two")):
        streams.feed(event)
    streams.feed(text("b", item="one"))
    assert texts(streams) == {"one": "", "two": "xyz"}
    assert [each.lost for each in streams.streams.values()] == [True, False]


def test_an_open_stream_that_had_to_go_is_known_again_as_lost_and_its_end_is_told() -> None:
    streams = Streams(max_streams=1)
    ended: list[tuple[str, str, bool]] = []
    streams.on_done(
        "text", lambda update: ended.append((update.stream.key.item_id, update.stream.text, update.stream.lost))
    )
    for delta in "ab":
        for item in ("one", "two"):
            streams.feed(text(delta, item=item))
    streams.feed(m.ResponseOutputTextDone(text="ab", **place(item="one")))
    streams.feed(done("cancelled"))
    streams.feed(done("cancelled"))
    assert ended == [("one", "ab", False), ("two", "", True)]


def test_open_streams_that_had_to_go_are_remembered_up_to_a_bound() -> None:
    streams = Streams(max_streams=2)
    for number in range(10):
        streams.feed(text("a", item=f"item{number}"))
    assert list(texts(streams)) == ["item8", "item9"]
    assert len(streams.feed(done("cancelled"))) == 4


def test_what_is_lost_stays_so_when_it_is_cut_unless_the_conversation_knows_its_words() -> None:
    conversation = Conversation()
    conversation.add(m.MessageItem(id="known", role="assistant", content=[]), None)
    conversation.text_done("known", 0, "one two three four")
    conversation.truncate("known", 0, 200, 400)
    streams = Streams(max_bytes=10, conversation=conversation)
    for item in ("known", "unknown"):
        streams.feed(said("one two three four", item=item))
        streams.feed(cut(200, item=item))
    assert [(each.text, each.lost) for each in streams.streams.values()] == [("one two", False), ("", True)]


def test_a_finished_stream_that_is_forgotten_can_still_be_read_by_who_has_it() -> None:
    streams = Streams(max_streams=1)
    (update,) = streams.feed(m.ResponseOutputTextDone(text="whole", **place()))
    streams.feed(text("a", item="other"))
    assert list(texts(streams)) == ["other"]
    assert (update.stream.text, update.stream.lost) == ("whole", False)


def test_no_audio_is_printed() -> None:
    streams = Streams(keep_audio=True)
    (update,) = streams.feed(sound())
    assert AUDIO not in repr(update)
    assert AUDIO not in repr(update.stream)
    assert isinstance(update, StreamUpdate)


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Streams(max_streams=0)
