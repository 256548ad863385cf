"""`antiphon.engine.content`: what a brain says, as values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antiphon.engine.content import (
    ArgumentsDelta,
    AudioDelta,
    Content,
    ItemFinished,
    ItemStarted,
    ResponseFinished,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TranscriptionResult,
    TranslatedAudio,
)

CONTENTS: list[tuple[Content, dict[str, Any]]] = [
    (
        ItemStarted(response_id="r", output_index=0, kind="function_call", name="f", call_id="c"),
        {
            "content": "item_started",
            "kind": "function_call",
            "name": "f",
            "call_id": "c",
            "server_label": "",
            "approval_request_id": None,
        },
    ),
    (TextDelta(response_id="r", output_index=0, delta="la"), {"content": "text_delta", "delta": "la"}),
    (AudioDelta(response_id="r", output_index=0, audio=b"\x01\x02"), {"content": "audio_delta", "audio": "AQI="}),
    (ArgumentsDelta(response_id="r", output_index=0, delta="{"), {"content": "arguments_delta", "delta": "{"}),
    (ItemFinished(response_id="r", output_index=0), {"content": "item_finished"}),
]
RESULTS: list[tuple[TranscriptionResult, dict[str, Any]]] = [
    (TranscriptDelta("la"), {"result": "delta", "delta": "la"}),
    (TranscriptCompleted("la", 1.5), {"result": "completed", "transcript": "la", "seconds": 1.5}),
    (TranscriptFailed("no", "noise"), {"result": "failed", "message": "no", "code": "noise"}),
]


@pytest.mark.parametrize(("content", "data"), CONTENTS, ids=lambda each: type(each).__name__)
def test_content_is_written_and_read_with_its_kind(content: Content, data: dict[str, Any]) -> None:
    text = msgspec.json.encode(content)
    assert msgspec.json.decode(text) == {"response_id": "r", "output_index": 0, **data}
    assert msgspec.json.decode(text, type=Content) == content


@pytest.mark.parametrize(("result", "data"), RESULTS, ids=lambda each: type(each).__name__)
def test_a_result_is_written_and_read_with_its_kind(result: TranscriptionResult, data: dict[str, Any]) -> None:
    text = msgspec.json.encode(result)
    assert msgspec.json.decode(text) == data
    assert msgspec.json.decode(text, type=TranscriptionResult) == result


def test_a_response_ends_well_unless_told_otherwise() -> None:
    end = ResponseFinished(response_id="r")
    assert (end.status, end.reason, end.error_code) == ("completed", None, None)
    assert (end.input_tokens, end.output_tokens) == (0, 0)
    assert msgspec.json.decode(msgspec.json.encode(end), type=Content) == end


def test_audio_shows_only_its_size() -> None:
    shown = repr(AudioDelta(response_id="r", output_index=2, audio=b"secret"))
    assert shown == "AudioDelta(response_id='r', output_index=2, audio=<6 bytes>)"
    shown = repr(TranslatedAudio(audio=b"secret", elapsed_ms=20))
    assert shown == "TranslatedAudio(audio=<6 bytes>, elapsed_ms=20)"


@pytest.mark.parametrize(("content", "_data"), CONTENTS, ids=lambda each: type(each).__name__)
def test_content_cannot_be_changed(content: Content, _data: object) -> None:
    with pytest.raises(AttributeError):
        content.response_id = "other"  # type: ignore[misc]  # the point of the test
