"""`antiphon.engine.hearing`: silence, the words of what was heard, and what no detector can have heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from antiphon import (
    Actions,
    InputCommitted,
    ResponseRequested,
    Timer,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TranscriptionResult,
    TranscriptSegment,
)
from unit.server_helpers import MS, Host, of, requested, sent, sent_types

IDLE = 5000
CALL = {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}


def _idle_host(**detection: Any) -> Host:
    """Turn detection with an idle timeout of 5 s."""
    host = Host()
    host.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": IDLE, **detection}}})
    return host


def _waits(host: Host, ms: int) -> Actions:
    """Time passes in which the client sends silence."""
    host.append(ms)
    host.now += ms * MS
    return host.server.tick(host.now)


# -- silence -----------------------------------------------------------------------------------------------------------


def test_silence_after_an_answer_becomes_the_users_turn_and_is_answered() -> None:
    """R-I5"""
    host = _idle_host()
    answer = host.speaks(600)
    assert host.server.next_timer == (Timer.IDLE, (600 + IDLE) * MS)
    assert _waits(host, 600 + IDLE - 1) == ()
    actions = _waits(host, 1)
    said = sent(actions)
    assert [event["type"] for event in said] == [
        "input_audio_buffer.timeout_triggered",
        "conversation.item.added",
        "conversation.item.done",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    triggered, nudge, _, committed, silence = said[:5]
    assert (triggered["audio_start_ms"], triggered["audio_end_ms"]) == (600, 600 + IDLE)
    assert nudge["previous_item_id"] == answer
    assert (nudge["item"]["role"], nudge["item"]["status"]) == ("system", "completed")
    assert nudge["item"]["content"] == [{"type": "input_text", "text": host.config.idle_nudge}]
    assert (committed["item_id"], committed["previous_item_id"]) == (triggered["item_id"], nudge["item"]["id"])
    assert (silence["item"]["id"], silence["item"]["role"]) == (triggered["item_id"], "user")
    assert requested(actions).cause == "idle"
    assert host.server.input_audio_buffer.uncommitted == 0
    assert [each.item_id for each in of(actions, InputCommitted)] == [triggered["item_id"]]


def test_the_silence_is_counted_from_the_last_commit_at_the_earliest() -> None:
    host = _idle_host()
    host.append(3000)
    host.hear("input_audio_buffer.commit")
    host.finishes(host.asks())
    host.append(200)
    host.now += IDLE * MS
    triggered = sent(host.server.tick(host.now))[0]
    assert (triggered["audio_start_ms"], triggered["audio_end_ms"]) == (3000, 3200)


def test_a_silence_without_audio_is_waited_for_once_more() -> None:
    host = _idle_host()
    host.finishes(host.asks())
    host.now += IDLE * MS
    assert host.server.tick(host.now) == ()
    assert host.server.next_timer == (Timer.IDLE, 2 * IDLE * MS)
    assert sent_types(_waits(host, IDLE))[0] == "input_audio_buffer.timeout_triggered"


def test_an_answer_to_silence_may_be_unwanted() -> None:
    host = _idle_host(create_response=False)
    host.finishes(host.asks())
    actions = _waits(host, IDLE)
    assert sent_types(actions)[-1] == "conversation.item.done"
    assert of(actions, ResponseRequested) == []
    assert host.server.deadline is None


def test_the_words_of_the_nudge_are_the_configs_and_may_be_none() -> None:
    host = Host(idle_nudge="")
    host.update(audio={"input": {"turn_detection": {"idle_timeout_ms": IDLE}}})
    host.finishes(host.asks())
    said = sent_types(_waits(host, IDLE))
    assert said[:2] == ["input_audio_buffer.timeout_triggered", "input_audio_buffer.committed"]


def _speech(host: Host) -> None:
    host.append(100)
    host.speech_started(50)


def _manual_turn(host: Host) -> None:
    host.append(100)
    host.hear("input_audio_buffer.commit")


def _question(host: Host) -> None:
    host.asks()


def _off(host: Host) -> None:
    host.update(audio={"input": {"turn_detection": None}})


def _no_timeout(host: Host) -> None:
    host.update(audio={"input": {"turn_detection": {"idle_timeout_ms": None}}})


def _semantic(host: Host) -> None:
    host.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})


@pytest.mark.parametrize("what", [_speech, _manual_turn, _question, _off, _no_timeout, _semantic])
def test_who_does_something_is_not_idle(what: Any) -> None:
    host = _idle_host()
    host.finishes(host.asks())
    assert host.server.next_timer == (Timer.IDLE, IDLE * MS)
    what(host)
    assert host.server.deadline is None


def test_a_response_that_was_cancelled_is_not_played_to_its_end() -> None:
    host = _idle_host()
    host.sounds_in(host.asks(), 3000)
    host.hear("response.cancel")
    assert host.server.next_timer == (Timer.IDLE, IDLE * MS)


def test_a_response_out_of_band_is_not_waited_for() -> None:
    host = _idle_host()
    host.finishes(host.asks(conversation="none"))
    assert host.server.deadline is None


def test_nobody_is_idle_who_interrupts() -> None:
    host = _idle_host()
    host.asks()
    host.append(100)
    host.speech_started(0)
    assert host.server.deadline is None


def test_silence_goes_on_after_a_restore() -> None:
    host = _idle_host()
    host.speaks(300)
    again = host.restored()
    assert sent_types(_waits(again, 300 + IDLE)) == sent_types(_waits(host, 300 + IDLE)) != []


# -- what no detector can have heard -----------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [-1, 0.5, float("nan"), True])
def test_a_position_is_a_whole_number_of_ms(position: Any) -> None:
    host = Host()
    assert host.refused(lambda: host.speech_started(position)).rule == "R-I1"
    host.speech_started(0)
    assert host.refused(lambda: host.speech_stopped(position)).rule == "R-I1"


# -- transcripts -------------------------------------------------------------------------------------------------------


def _spoken(host: Host) -> str:
    host.append(200)
    host.speech_started(0)
    host.speech_stopped(200)
    last = host.server.conversation.last
    assert last is not None
    return last.id


def test_words_may_come_before_the_turn_is_over() -> None:
    host = Host()
    host.append(200)
    host.speech_started(0)
    item_id = host.server.speech_item_id
    assert item_id is not None
    early = host.server.transcribed(item_id, 0, TranscriptDelta("hel"), host.now)
    assert sent_types(early) == ["conversation.item.input_audio_transcription.delta"]
    host.speech_stopped(200)
    host.server.transcribed(item_id, 0, TranscriptCompleted("hello", 0.2), host.now)
    node = host.server.conversation.get(item_id)
    assert node is not None
    assert node.text == "hello"


def test_the_words_of_speech_that_was_cleared_are_nobodys() -> None:
    host = Host()
    host.append(200)
    host.speech_started(0)
    item_id = host.server.speech_item_id
    assert item_id is not None
    host.server.transcribed(item_id, 0, TranscriptDelta("hel"), host.now)
    host.hear("input_audio_buffer.clear")
    assert host.server.transcribed(item_id, 0, TranscriptDelta("lo"), host.now) == ()
    assert host.server.conversation.text_bytes == 0


def test_segments_name_their_speakers_also_after_the_whole_transcript() -> None:
    host = Host()
    item_id = _spoken(host)
    segment = TranscriptSegment("seg_1", "hello", "A", 0.0, 0.2)
    expected = {
        "type": "conversation.item.input_audio_transcription.segment",
        "item_id": item_id,
        "content_index": 0,
        "id": "seg_1",
        "text": "hello",
        "speaker": "A",
        "start": 0.0,
        "end": 0.2,
    }
    for _ in range(2):
        (said,) = sent(host.server.transcribed(item_id, 0, segment, host.now))
        said.pop("event_id")
        assert said == expected
        transcription = host.server.conversation.transcription(item_id, 0)
        if transcription.state == "streaming":
            host.server.transcribed(item_id, 0, TranscriptCompleted("hello"), host.now)


def test_what_failed_has_no_segments() -> None:
    host = Host()
    item_id = _spoken(host)
    host.server.transcribed(item_id, 0, TranscriptFailed("mumbling"), host.now)
    segment = TranscriptSegment("seg_1", "hello", "A", 0.0, 0.2)
    assert host.refused(lambda: host.server.transcribed(item_id, 0, segment, host.now)).rule == "R-T2"


@pytest.mark.parametrize(
    ("result", "rule"),
    [
        (TranscriptSegment("s", "x", "A", -0.1, 0.2), "R-T1"),
        (TranscriptSegment("s", "x", "A", 0.3, 0.2), "R-T1"),
        (TranscriptSegment("s", "x", "A", 0.3, float("inf")), "R-T1"),
        (TranscriptCompleted("x", -1.0), "R-T2"),
        (TranscriptCompleted("x", float("nan")), "R-T2"),
    ],
)
def test_time_runs_forwards_in_a_transcript(result: TranscriptionResult, rule: str) -> None:
    host = Host()
    item_id = _spoken(host)
    assert host.refused(lambda: host.server.transcribed(item_id, 0, result, host.now)).rule == rule


@pytest.mark.parametrize("content_index", [-1, 1])
def test_only_a_part_that_exists_is_transcribed(content_index: int) -> None:
    host = Host()
    item_id = _spoken(host)
    error = host.refused(lambda: host.server.transcribed(item_id, content_index, TranscriptDelta("x"), host.now))
    assert error.rule == "R-T1"


@pytest.mark.parametrize("make", [Host.adds, lambda host: host.speaks(100), lambda host: host.adds("c", **CALL)])
def test_only_audio_is_transcribed(make: Callable[[Host], str]) -> None:
    host = Host()
    item_id = make(host)
    error = host.refused(lambda: host.server.transcribed(item_id, 0, TranscriptDelta("x"), host.now))
    assert error.rule == "R-T1"


def test_speech_that_is_announced_has_one_part() -> None:
    host = Host()
    host.speech_started(0)
    item_id = host.server.speech_item_id or ""
    error = host.refused(lambda: host.server.transcribed(item_id, 1, TranscriptDelta("x"), host.now))
    assert error.rule == "R-T1"
