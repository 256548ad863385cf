"""Which keys a client of the beta dialect may name, and an error in the words of that dialect."""

from __future__ import annotations

import pytest

from antiphon import messages as m
from antiphon.engine.keys import in_beta, unknown_in_beta
from antiphon.engine.refusals import Refusal

UPDATE = m.SessionUpdate(session=m.RealtimeSession())
REQUEST = m.ResponseCreate(response=m.ResponseCreateParams())


@pytest.mark.parametrize("key", ["type", "audio", "output_modalities", "max_output_tokens", "truncation"])
def test_in_the_beta_the_keys_of_ga_are_unknown(key: str) -> None:
    text = f'{{"session": {{"instructions": "", "{key}": null}}}}'
    refused = Refusal("unknown_parameter", {"param": f"session.{key}"})
    assert unknown_in_beta(text, UPDATE) == refused


def test_in_the_beta_its_own_keys_are_known() -> None:
    """R-E8"""
    text = """{"session": {"modalities": ["text"], "voice": "alloy", "input_audio_format": "pcm16", "temperature": 0.8,
        "turn_detection": null, "max_response_output_tokens": "inf", "input_audio_transcription": null}}"""
    assert unknown_in_beta(text, UPDATE) is None
    params = '{"response": {"modalities": ["audio", "text"], "conversation": "none", "input": [], "metadata": {}}}'
    assert unknown_in_beta(params, REQUEST) is None


def test_the_beta_has_no_audio_without_text() -> None:
    refused = unknown_in_beta('{"session": {"modalities": ["audio"]}}', UPDATE)
    assert refused is not None
    assert in_beta(refused).detail(None).message == (
        "Invalid modalities: ['audio']. Supported combinations are: ['text'] and ['audio', 'text']."
    )


@pytest.mark.parametrize(
    ("param", "flat"),
    [
        ("session.audio.input.turn_detection.threshold", "session.turn_detection.threshold"),
        ("session.audio.output.voice", "session.voice"),
        ("session.audio.input.format.rate", "session.input_audio_format"),
        ("response.output_modalities", "response.modalities"),
        ("item.content[0].text", "item.content[0].text"),
    ],
)
def test_an_error_names_the_place_that_the_client_wrote(param: str, flat: str) -> None:
    """R-E8"""
    assert in_beta(Refusal("invalid_value", {"param": param})).fields["param"] == flat


@pytest.mark.parametrize(
    ("name", "flat"),
    [
        ("cannot_update_voice", "session.voice"),
        ("response_in_another_voice", "response.voice"),
        ("cannot_update_model", "session.model"),
        ("insufficient_quota", None),
    ],
)
def test_so_does_one_that_is_always_about_the_same_place(name: str, flat: str | None) -> None:
    """R-E8"""
    assert in_beta(Refusal(name)).detail(None).param == flat


def test_a_key_within_a_beta_key_is_looked_into() -> None:
    text = '{"session": {"turn_detection": {"type": "server_vad", "treshold": 0.5}}}'
    refused = unknown_in_beta(text, UPDATE)
    assert refused is not None
    assert in_beta(refused).fields["param"] == "session.turn_detection.treshold"


def test_without_an_object_no_key_is_unknown() -> None:
    assert unknown_in_beta("{}", m.ResponseCreate()) is None
