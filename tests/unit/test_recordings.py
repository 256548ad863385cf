"""`antiphon.engine.recordings`: the audio of items that a server keeps, and who is shown it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from antiphon import PCM16_24K, PCMU, AudioDelta, Limits, Report, TranscriptCompleted
from antiphon.engine.recordings import Recordings
from unit.server_helpers import Host, of, requested, sent

MS = bytes(range(48))  # of PCM16 at 24 kHz


def _retrieved(host: Host, item_id: str) -> list[dict[str, Any]]:
    (answer,) = sent(host.hear("conversation.item.retrieve", item_id=item_id))
    assert answer["type"] == "conversation.item.retrieved"
    content = answer["item"]["content"]
    assert isinstance(content, list)
    return content


def _says(host: Host, audio: bytes) -> None:
    host.hear("input_audio_buffer.append", audio=base64.b64encode(audio).decode())


def _commits(host: Host, audio: bytes) -> str:
    _says(host, audio)
    return str(sent(host.hear("input_audio_buffer.commit"))[0]["item_id"])


def _answers(host: Host, generated: bytes, **params: Any) -> str:
    response_id = requested(host.hear("response.create", response=params)).response_id
    item_id = sent(host.begins(response_id, "audio"))[0]["item"]["id"]
    host.says(response_id, "one two")
    host.think(AudioDelta(response_id=response_id, output_index=0, audio=generated))
    host.finishes(response_id)
    return str(item_id)


# -- retrieving --------------------------------------------------------------------------------------------------------


def test_what_the_user_said_is_given_back() -> None:
    """R-C14"""
    host = Host(retain_input_audio=True)
    item_id = _commits(host, MS * 100)
    assert _retrieved(host, item_id) == [
        {
            "type": "input_audio",
            "transcript": None,
            "audio": base64.b64encode(MS * 100).decode(),
            "format": {"type": "audio/pcm", "rate": 24000},
        }
    ]


def test_its_transcript_is_given_back_when_it_is_known() -> None:
    host = Host()
    item_id = _commits(host, MS * 100)
    host.server.transcribed(item_id, 0, TranscriptCompleted("hello"), host.now)
    assert _retrieved(host, item_id) == [{"type": "input_audio", "transcript": "hello"}]


def test_a_turn_that_detection_found_has_the_audio_until_its_end() -> None:
    host = Host(retain_input_audio=True)
    _says(host, MS * 150)
    host.speech_started(0)
    item_id = host.server.speech_item_id or ""
    host.speech_stopped(100)
    (part,) = _retrieved(host, item_id)
    assert base64.b64decode(part["audio"]) == MS * 100


def test_audio_that_a_client_put_into_an_item_is_given_back() -> None:
    host = Host(retain_input_audio=True)
    content = [{"type": "input_text", "text": "x"}, {"type": "input_audio", "audio": "AAAA"}]
    item_id = host.adds("mine", content=content)
    assert _retrieved(host, item_id)[1]["audio"] == "AAAA"


def test_what_was_generated_is_given_back_in_the_format_of_its_response() -> None:
    """R-C14"""
    host = Host(retain_output_audio=True)
    item_id = _answers(host, b"\xff" * 800, audio={"output": {"format": {"type": "audio/pcmu"}}})
    (part,) = _retrieved(host, item_id)
    assert part["format"] == {"type": "audio/pcmu"}
    assert base64.b64decode(part["audio"]) == b"\xff" * 800
    assert part["transcript"] == "one two"


def test_a_client_of_the_beta_is_told_the_format_by_its_name_there() -> None:
    host = Host(dialect="beta", retain_output_audio=True)
    response_id = host.asks()
    item_id = sent(host.begins(response_id, "audio"))[0]["item"]["id"]
    host.sounds(response_id, 1)
    host.finishes(response_id)
    (part,) = _retrieved(host, item_id)
    assert (part["type"], part["format"]) == ("audio", "pcm16")


def test_a_cut_item_has_less_audio_and_no_transcript() -> None:
    """R-C14"""
    host = Host(retain_output_audio=True)
    item_id = _answers(host, MS * 100)
    for ms in (60, 20):
        host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=ms)
        (part,) = _retrieved(host, item_id)
        assert base64.b64decode(part["audio"]) == MS * ms
        assert "transcript" not in part


def test_what_is_generated_after_a_cut_is_not_kept() -> None:
    host = Host(retain_output_audio=True)
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    host.hear("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
    host.sounds(response_id, 100)
    host.finishes(response_id)
    (part,) = _retrieved(host, item_id)
    assert len(base64.b64decode(part["audio"])) == 50 * 48


def test_nothing_is_kept_unasked() -> None:
    host = Host()
    spoken = _commits(host, MS * 100)
    assert _retrieved(host, spoken) == [{"type": "input_audio", "transcript": None}]
    assert _retrieved(host, _answers(host, MS)) == [{"type": "output_audio", "transcript": "one two"}]
    assert host.server.recordings.bytes == 0


def test_output_of_a_response_out_of_band_is_nobodys_to_retrieve() -> None:
    host = Host(retain_output_audio=True)
    response_id = host.asks(conversation="none")
    host.begins(response_id, "audio")
    host.sounds(response_id, 100)
    assert host.server.recordings.bytes == 0


def test_a_deleted_items_audio_goes_with_it() -> None:
    host = Host(retain_input_audio=True, retain_output_audio=True)
    for item_id in (_commits(host, MS * 100), _answers(host, MS)):
        host.hear("conversation.item.delete", item_id=item_id)
    assert host.server.recordings.bytes == 0


def test_the_oldest_audio_goes_with_a_report() -> None:
    host = Host(retain_input_audio=True, limits=Limits(item_audio_bytes=10_000))
    first = _commits(host, MS * 100)
    _says(host, MS * 150)
    actions = host.hear("input_audio_buffer.commit")
    second = str(sent(actions)[0]["item_id"])
    assert [report.rule for report in of(actions, Report)] == ["R-N2"]
    assert "audio" not in _retrieved(host, first)[0]
    assert "audio" in _retrieved(host, second)[0]


def test_audio_that_was_forgotten_is_not_taken_up_in_the_middle() -> None:
    host = Host(retain_output_audio=True, limits=Limits(item_audio_bytes=100 * 48))
    response_id = host.asks()
    item_id = host.sounds_in(response_id, 100)
    host.sounds(response_id, 1)
    host.sounds(response_id, 50)
    host.finishes(response_id)
    assert "audio" not in _retrieved(host, item_id)[0]
    assert host.server.recordings.bytes == 0


def test_an_evicted_items_audio_goes_with_it() -> None:
    host = Host(retain_input_audio=True, limits=Limits(conversation_items=1))
    _commits(host, MS * 100)
    _commits(host, MS * 200)
    assert host.server.recordings.bytes == 200 * 48


def test_kept_audio_survives_a_restore_and_stays_out_of_sight() -> None:
    host = Host(retain_input_audio=True, retain_output_audio=True)
    item_id = _answers(host, MS)
    again = host.restored()
    assert _retrieved(again, item_id) == _retrieved(host, item_id)
    assert "\\x01" not in repr(host.snapshot())
    assert "\\x01" not in repr(host.server.recordings.of(item_id)[0])


# -- the store ---------------------------------------------------------------------------------------------------------


def test_recordings_count_their_bytes() -> None:
    kept = Recordings(100)
    kept.add("a", 0, PCM16_24K, b"1234")
    kept.add("a", 0, PCM16_24K, b"56")
    kept.add("b", 1, PCMU, b"789")
    assert kept.bytes == 9
    kept.cut("a", 0, 2)
    assert (kept.bytes, bytes(kept.of("a")[0].audio)) == (7, b"1234")
    kept.forget("b")
    assert (kept.bytes, kept.of("b")) == (4, {})
    kept.cut("nobody", 0, 0)
    kept.forget("nobody")
    assert kept.bytes == 4


@pytest.mark.parametrize(("most", "left"), [(9, ["a", "b", "c"]), (8, ["b", "c"]), (3, ["c"]), (2, [])])
def test_the_oldest_recordings_go_first(most: int, left: list[str]) -> None:
    kept = Recordings(most)
    for item_id in "abc":
        kept.add(item_id, 0, PCMU, b"123")
    assert kept.trim() is (most < 9)
    assert [each.item_id for each in kept.dump()] == left
    assert kept.bytes == 3 * len(left)
