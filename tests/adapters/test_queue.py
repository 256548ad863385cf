"""The queue before a slow application, and the merging of deltas."""

import base64
import copy
import pickle
from collections.abc import Iterable

import msgspec
import pytest

from antiphon import Deliver
from antiphon import messages as m
from antiphon_asyncio import ConnectionClosed, QueuePolicy
from antiphon_asyncio.coalesce import coalesce

IDS = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0}
PART = {**IDS, "content_index": 0}


def delivered(*events: m.ServerEvent) -> list[Deliver]:
    return [Deliver(event, msgspec.json.encode(event)) for event in events]


def text(delta: str, **other: object) -> m.ResponseOutputTextDelta:
    fields = {**PART, "type": "response.output_text.delta", "delta": delta, **other}
    return msgspec.convert(fields, m.ResponseOutputTextDelta)


def audio(pcm: bytes) -> m.ResponseOutputAudioDelta:
    return m.ResponseOutputAudioDelta(
        response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta=base64.b64encode(pcm).decode()
    )


def heard(delivers: Iterable[Deliver]) -> bytes:
    """All audio in order."""
    deltas = [each.event.delta for each in delivers if isinstance(each.event, m.ResponseOutputAudioDelta)]
    return b"".join(base64.b64decode(delta) for delta in deltas)


def test_adjacent_deltas_of_a_part_become_one() -> None:
    (merged,) = coalesce(delivered(text("a"), text("b"), text("c")))
    assert isinstance(merged.event, m.ResponseOutputTextDelta)
    assert merged.event.delta == "abc"


def test_the_json_text_says_what_the_event_says() -> None:
    (merged,) = coalesce(delivered(text("é"), text("\n")))
    assert msgspec.json.decode(merged.raw) == {**PART, "type": "response.output_text.delta", "delta": "é\n"}


def test_other_events_stay_and_separate() -> None:
    done = m.ResponseOutputTextDone(response_id="resp_1", item_id="item_1", output_index=0, content_index=0, text="ab")
    merged = coalesce(delivered(text("a"), done, text("b")))
    assert [each.event.type for each in merged] == [
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.delta",
    ]


def test_deltas_of_other_parts_stay_apart() -> None:
    merged = coalesce(delivered(text("a"), text("x", content_index=1), text("b"), text("y", item_id="item_2")))
    deltas = [each.event.delta for each in merged if isinstance(each.event, m.ResponseOutputTextDelta)]
    assert deltas == ["ab", "x", "y"]


def test_interleaved_audio_and_transcript_become_one_each() -> None:
    words = [
        m.ResponseOutputAudioTranscriptDelta(
            response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta=word
        )
        for word in "ab"
    ]
    merged = coalesce(delivered(words[0], audio(b"123"), words[1], audio(b"456")))
    types = [each.event.type for each in merged]
    assert types == ["response.output_audio_transcript.delta", "response.output_audio.delta"]


@pytest.mark.parametrize(
    "chunks", [[b"123", b"456789"], [b"1", b"23", b"4567"], [b"", b"12"]], ids=["whole", "padded", "empty"]
)
def test_audio_is_joined_byte_for_byte(chunks: list[bytes]) -> None:
    merged = coalesce(delivered(*(audio(chunk) for chunk in chunks)))
    assert len(merged) == 1
    assert heard(merged) == b"".join(chunks)


def test_what_is_no_base64_is_left_alone() -> None:
    broken = msgspec.structs.replace(audio(b"1"), delta="$$")
    events = delivered(broken, audio(b"2"))
    assert coalesce(events) == events


def test_arguments_are_merged_too() -> None:
    deltas = [
        m.ResponseFunctionCallArgumentsDelta(
            response_id="resp_1", item_id="item_1", output_index=0, call_id="call_1", delta=piece
        )
        for piece in ('{"a":', "1}")
    ]
    (merged,) = coalesce(delivered(*deltas))
    assert isinstance(merged.event, m.ResponseFunctionCallArgumentsDelta)
    assert merged.event.delta == '{"a":1}'


@pytest.mark.parametrize("bound", ["events", "bytes"])
def test_a_queue_of_nothing_is_refused(bound: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        QueuePolicy(**{bound: 0})  # type: ignore[arg-type]  # by name


def test_the_end_of_a_connection_may_be_told_to_another_process() -> None:
    error = ConnectionClosed(1000, "bye")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(again), again.code, again.reason) == (str(error), 1000, "bye")
