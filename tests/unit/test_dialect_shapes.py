"""Sessions, responses, items and events between the beta dialect and GA: there, back, and from vendors."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from antiphon.engine.dialects import asked_for, is_flat, read_client, read_server, write_client, write_server
from antiphon.engine.dialects.shapes import (
    format_to_beta,
    format_to_ga,
    item_to_beta,
    item_to_ga,
    params_to_beta,
    params_to_ga,
    response_to_beta,
    response_to_ga,
    session_to_beta,
    session_to_ga,
)
from antiphon.engine.dialects.vendors import HABITS, LACKS, PATCHES
from antiphon.messages.beta import SERVER_VIEWS, UPDATED_BY_COMPLETED

PCM = {"type": "audio/pcm", "rate": 24000}
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
DETECTION = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200}

SESSIONS: list[dict[str, Any]] = [
    {"type": "realtime"},
    {"type": "realtime", "output_modalities": ["audio"], "max_output_tokens": "inf", "instructions": ""},
    {"type": "realtime", "output_modalities": ["text"], "max_output_tokens": 99, "tools": [FUNCTION]},
    {"type": "realtime", "audio": {"input": {"format": PCM, "turn_detection": None}}},
    {"type": "realtime", "audio": {"input": {"turn_detection": DETECTION, "transcription": {"model": "whisper-1"}}}},
    {"type": "realtime", "audio": {"input": {"noise_reduction": {"type": "near_field"}, "transcription": None}}},
    {"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.5}}},
    {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
    {"type": "realtime", "audio": {"output": {"voice": {"name": "n", "type": "azure-standard"}}}},
    {"type": "realtime", "tool_choice": {"type": "function", "name": "f"}, "tracing": "auto", "temperature": 0.8},
    {"type": "transcription", "object": "realtime.transcription_session", "audio": {"input": {"format": PCM}}},
]
PARAMS: list[dict[str, Any]] = [
    {},
    {"conversation": "none", "metadata": {"a": "b"}, "input": []},
    {"output_modalities": ["audio"], "max_output_tokens": 5, "audio": {"output": {"voice": "alloy", "format": PCM}}},
    {"input": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]},
    {"tools": [FUNCTION], "tool_choice": "required", "instructions": "be brief"},
]
RESPONSES: list[dict[str, Any]] = [
    {"id": "r", "status": "in_progress", "output": [], "status_details": None, "max_output_tokens": "inf"},
    {"id": "r", "output_modalities": ["audio"], "audio": {"output": {"voice": "alloy", "format": PCM}}},
    {
        "id": "r",
        "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "a"}]},
            {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
        ],
    },
]


# -- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_comes_back_from_the_beta_as_it_was(session: dict[str, Any]) -> None:
    before = copy.deepcopy(session)
    beta = session_to_beta(session)
    assert not {"type", "audio", "output_modalities", "max_output_tokens"} & set(beta)
    assert session_to_ga(beta) == session == before


@pytest.mark.parametrize("params", PARAMS)
def test_the_parameters_of_a_response_come_back_from_the_beta_as_they_were(params: dict[str, Any]) -> None:
    beta = params_to_beta(params)
    assert not {"audio", "output_modalities", "max_output_tokens"} & set(beta)
    assert params_to_ga(beta) == params


@pytest.mark.parametrize("response", RESPONSES)
def test_a_response_comes_back_from_the_beta_as_it_was(response: dict[str, Any]) -> None:
    beta = response_to_beta(response)
    assert not {"audio", "output_modalities"} & set(beta)
    assert response_to_ga(beta) == response


@pytest.mark.parametrize(
    "event",
    [
        *({"type": "session.update", "session": session} for session in SESSIONS[:-1]),
        *({"type": "response.create", "response": params} for params in PARAMS),
        {"type": "response.create"},
        {"type": "response.cancel"},
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        },
    ],
)
def test_a_command_comes_back_from_the_beta_as_it_was(event: dict[str, Any]) -> None:
    assert read_client(write_client(event)) == (event["type"], event)


def test_what_is_translated_is_left_as_it_was_given() -> None:
    flat = {"voice": "ara", "tools": [{"type": "function", "function": {"name": "f"}}], "modalities": ["text", "audio"]}
    before = copy.deepcopy(flat)
    assert session_to_ga(flat) != flat == before


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_flat_session_is_nested() -> None:
    flat = {
        "modalities": ["text", "audio"],
        "voice": "alloy",
        "input_audio_format": "pcm16",
        "output_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": None,
        "turn_detection": DETECTION,
        "speed": 1.0,
        "max_response_output_tokens": "4096",
        "temperature": 0.8,
    }
    assert session_to_ga(flat) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "max_output_tokens": 4096,
        "temperature": 0.8,
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"model": "whisper-1"},
                "noise_reduction": None,
                "turn_detection": DETECTION,
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.0},
        },
    }


def test_where_both_notations_say_something_ga_s_counts() -> None:
    mixed = {"voice": "ara", "turn_detection": DETECTION, "audio": {"output": {"voice": "marin"}}}
    audio = {"input": {"turn_detection": DETECTION}, "output": {"voice": "marin"}}
    assert session_to_ga(mixed) == {"type": "realtime", "audio": audio}


@pytest.mark.parametrize("detection", [{"type": None}, {"type": "none"}, None])
def test_turn_detection_of_no_type_is_none(detection: object) -> None:
    for session in ({"turn_detection": detection}, {"audio": {"input": {"turn_detection": detection}}}):
        shaped: Any = session_to_ga(session)
        assert shaped["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(
    ("session", "kind"),
    [
        ({}, "realtime"),
        ({"object": "realtime.session"}, "realtime"),
        ({"object": "realtime.transcription_session"}, "transcription"),
        ({"type": "translation"}, "translation"),
    ],
)
def test_a_session_without_type_is_what_its_object_says(session: dict[str, Any], kind: str) -> None:
    shaped: Any = session_to_ga(session)
    assert shaped["type"] == kind


def test_flat_keys_do_not_replace_what_stands_in_their_place() -> None:
    assert session_to_ga({"type": "realtime", "voice": "v", "input_audio_format": "pcm16", "audio": {"input": 5}}) == {
        "type": "realtime",
        "audio": {"input": 5, "output": {"voice": "v"}},
    }


def test_a_session_that_is_shown_has_no_key_that_the_beta_does_not_know() -> None:
    session = {"type": "realtime", "truncation": "auto", "prompt": None, "include": None, "parallel_tool_calls": True}
    assert session_to_beta(session, shown=True) == {}
    assert session_to_beta(session) == {key: value for key, value in session.items() if key != "type"}


@pytest.mark.parametrize(
    ("session", "flat"),
    [({"voice": "alloy"}, True), ({"type": "realtime", "voice": "alloy"}, True), ({"type": "realtime"}, False)],
)
def test_the_beta_s_sessions_are_known_by_their_keys(session: dict[str, Any], flat: bool) -> None:
    assert is_flat(session) == flat


# -- formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format", "sides"),
    [
        ("pcm16", PCM, ["input", "output"]),
        ("g711_ulaw", {"type": "audio/pcmu"}, ["input", "output"]),
        ("g711_alaw", {"type": "audio/pcma"}, ["input", "output"]),
        ("pcm16_16000hz", {"type": "audio/pcm", "rate": 16000}, ["output"]),
        ("pcm16_8000hz", {"type": "audio/pcm", "rate": 8000}, ["output"]),
    ],
)
def test_a_format_has_a_name_in_the_beta(name: str, format: dict[str, Any], sides: list[str]) -> None:
    assert format_to_ga(name) == format
    assert [side for side in ("input", "output") if format_to_beta(format, side) == name] == sides


def test_one_vendor_s_pcm_is_another_rate_in_each_direction() -> None:
    assert format_to_ga("pcm", "input") == {"type": "audio/pcm", "rate": 16000}
    assert format_to_ga("pcm", "output") == PCM


def test_a_rate_that_stands_beside_the_format_is_the_format_s() -> None:
    shaped: Any = session_to_ga({"input_audio_format": "pcm16", "input_audio_sampling_rate": 16000})
    assert shaped["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 16000}


def test_an_input_of_16_khz_is_pcm16_with_its_rate_beside_it() -> None:
    session = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}
    flat = session_to_beta(session)
    assert flat == {"input_audio_format": "pcm16", "input_audio_sampling_rate": 16000}
    assert session_to_ga(flat) == session


def test_a_format_without_a_flat_name_is_written_where_ga_has_it() -> None:
    wide = {"format": {"type": "audio/pcm", "rate": 48000}}
    session = {"type": "realtime", "audio": {"input": wide, "output": {**wide, "voice": "ara"}}}
    assert session_to_beta(session) == {"audio": {"input": wide, "output": wide}, "voice": "ara"}


def test_a_format_that_nobody_set_is_none() -> None:
    assert "audio" not in session_to_ga({"input_audio_format": "not specified"})  # type: ignore[operator]


@pytest.mark.parametrize("format", ["opus", {"type": "audio/pcm", "rate": 48000}, {"type": 5}, None, 7])
def test_a_format_without_a_name_stays_as_it_is(format: object) -> None:
    assert format_to_beta(format, "output") == format
    assert format_to_ga(format) == format


# -- items -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "beta", "ga"),
    [
        ("assistant", "text", "output_text"),
        ("assistant", "audio", "output_audio"),
        ("user", "text", "input_text"),
        ("user", "audio", "input_audio"),
        ("user", "input_text", "input_text"),
        ("assistant", "hologram", "hologram"),
    ],
)
def test_content_is_named_after_who_speaks(role: str, beta: str, ga: str) -> None:
    item = {"type": "message", "role": role, "content": [{"type": beta, "transcript": "a"}]}
    shaped: Any = item_to_ga(item)
    assert shaped["content"] == [{"type": ga, "transcript": "a"}]


def test_the_beta_has_text_and_audio_for_both_sides_of_the_assistant() -> None:
    item = {"content": [{"type": "output_text"}, {"type": "output_audio"}, {"type": "input_text"}, {"type": []}, 5]}
    shaped: Any = item_to_beta(item)
    assert [part["type"] for part in shaped["content"][:4]] == ["text", "audio", "input_text", []]


def test_tools_may_stand_inside_of_function() -> None:
    inner = {key: value for key, value in FUNCTION.items() if key != "type"}
    shaped: Any = session_to_ga(
        {"tools": [{"type": "function", "function": inner}, FUNCTION, {"type": "retrieval"}, 5]}
    )
    assert shaped["tools"] == [FUNCTION, FUNCTION, {"type": "retrieval"}, 5]
    chosen: Any = session_to_ga({"tool_choice": {"type": "function", "function": {"name": "f"}}})
    assert chosen["tool_choice"] == {"type": "function", "name": "f"}


# -- events ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*SERVER_VIEWS["ga"], "session.update", "response.create", "unheard.of"}))
@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [[]], {"type": []}, {"content": {"a": 1}}])
def test_nothing_that_is_read_raises(name: str, value: object) -> None:
    fields = ("session", "item", "response", "part", "usage", "response_id", "status", "error")
    for field in fields:
        read_server({"type": name, field: value})
        read_client({"type": name, field: value})
    read_server({"type": name, "response": {"output": [value], "tools": [value], "status_details": value}})
    read_server(
        {"type": name, "session": {"tools": value, "audio": value, "turn_detection": value, "modalities": value}}
    )
    read_server({"type": name, "item": {"type": "message", "role": value, "content": [value]}})


def test_a_server_of_the_beta_does_not_end_members() -> None:
    assert write_server({"type": "conversation.item.done", "item": {}}) is None


def test_a_server_of_the_beta_announces_members_in_one_event() -> None:
    item = {"type": "message", "role": "assistant", "content": []}
    told = write_server({"type": "conversation.item.added", "item": item, "previous_item_id": "a"})
    assert told is not None
    assert (told["type"], told["previous_item_id"]) == ("conversation.item.created", "a")
    assert told["item"]["object"] == "realtime.item"


def test_a_transcription_session_has_events_of_its_own_in_the_beta() -> None:
    session = {"type": "transcription", "audio": {"input": {"format": PCM, "transcription": {"model": "whisper-1"}}}}
    update = write_client({"type": "session.update", "session": session})
    assert update["type"] == "transcription_session.update"
    assert update["session"]["input_audio_transcription"] == {"model": "whisper-1"}
    _, heard = read_client(update)
    assert heard["session"]["type"] == "transcription"
    for name in ("created", "updated"):
        told = write_server({"type": f"session.{name}", "session": session})
        assert told is not None
        assert told["type"] == f"transcription_session.{name}"
        _, read = read_server(told)
        assert read["session"] == {**session, "object": "realtime.transcription_session"}


# -- vendors -----------------------------------------------------------------------------------------------------------


def test_what_xai_puts_beside_the_response_belongs_into_it() -> None:
    event = {"type": "response.done", "response_id": "r", "usage": {"total_tokens": 3}, "response": {"usage": {}}}
    _, read = read_server(event)
    assert read["response"] == {"id": "r", "usage": {"total_tokens": 3}}


def test_usage_inside_of_the_response_is_kept() -> None:
    event = {
        "type": "response.done",
        "usage": {"total_tokens": 3},
        "response": {"id": "r", "usage": {"total_tokens": 4}},
    }
    _, read = read_server(event)
    assert read["response"]["usage"] == {"total_tokens": 4}


def test_a_transcript_that_is_not_the_last_is_no_completed() -> None:
    event = {"type": "conversation.item.input_audio_transcription.completed", "status": "in_progress"}
    assert read_server(event)[0] == UPDATED_BY_COMPLETED
    assert read_server({**event, "status": "completed"})[0] == event["type"]


@pytest.mark.parametrize("event", [{"response_id": "r"}, {"response": {"id": "r"}}, {"response": {"id": "r", "x": 1}}])
def test_a_response_that_is_called_cancelled_is_done(event: dict[str, Any]) -> None:
    name, read = read_server({"type": "response.cancelled", **event})
    assert name == "response.cancelled"
    assert (read["response"]["id"], read["response"]["status"]) == ("r", "cancelled")


def test_a_response_that_begins_incomplete_is_in_progress() -> None:
    _, read = read_server({"type": "response.created", "response": {"id": "r", "status": "incomplete"}})
    assert read["response"]["status"] == "in_progress"
    _, done = read_server({"type": "response.done", "response": {"id": "r", "status": "incomplete"}})
    assert done["response"]["status"] == "incomplete"


def test_every_entry_of_a_vendor_names_it_and_its_source() -> None:
    for entry in (*PATCHES, *LACKS, *HABITS):
        assert entry.vendor
        assert entry.source in ("doc", "rec", "rep")


# -- the handshake -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "subprotocols", "dialect"),
    [
        ((), (), "ga"),
        ((("openai-beta", "realtime=v1"),), (), "beta"),
        ((("OpenAI-Beta", "assistants=v2, realtime=v1"),), (), "beta"),
        ((("OpenAI-Beta", "assistants=v2"),), (), "ga"),
        ((), ("realtime", "openai-beta.realtime-v1"), "beta"),
        ((), ("realtime",), "ga"),
    ],
)
def test_a_handshake_asks_for_a_dialect(
    headers: tuple[tuple[str, str], ...], subprotocols: tuple[str, ...], dialect: str
) -> None:
    assert asked_for(headers, subprotocols) == dialect
