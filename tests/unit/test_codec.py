"""The codec: what fits is typed, what almost fits is repaired, what is no event is refused, and nothing raises."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from antiphon.engine import codec
from antiphon.engine._repair import MAX_PROBLEMS, ProblemLog, repair
from antiphon.engine.codec import Problem, Repaired, Unreadable
from antiphon.messages import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    AudioConfig,
    AudioFormat,
    AudioInput,
    AudioOutput,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDeleted,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationUsage,
    Error,
    FunctionCallOutputItem,
    InputAudioBufferAppend,
    InputAudioBufferSpeechStarted,
    InputText,
    Malformed,
    MessageItem,
    RealtimeSession,
    ResponseCancel,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseCreateParams,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputTextDelta,
    SessionClosed,
    SessionCreated,
    SessionUpdate,
    TextPart,
    TranscriptionSession,
    UnknownContent,
    UnknownEvent,
    UnknownItem,
    UnknownTool,
)
from antiphon.messages._base import MOST_ID
from shared_data import ABSENT, SHARED

DEPTH = 64
decode = codec.server_decoder(DEPTH)
decode_client = codec.client_decoder(DEPTH)

DELTA = {
    "type": "response.output_text.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "Hello",
}
TYPED_DELTA = ResponseOutputTextDelta(
    event_id="event_1", response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta="Hello"
)


def text_of(event: object) -> bytes:
    return json.dumps(event).encode()


def repaired(event: object) -> Repaired:
    outcome = decode(text_of(event))
    assert isinstance(outcome, Repaired), outcome
    return outcome


def rejected(text: codec.Document) -> Unreadable:
    outcome = decode(text)
    assert isinstance(outcome, Unreadable), outcome
    return outcome


def official() -> list[dict[str, Any]]:
    path = SHARED / "vectors/official.jsonl"
    if not path.exists():
        pytest.skip(ABSENT)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["dialect"] == "ga" and row["event"].get("type") in CLIENT_EVENTS | SERVER_EVENTS]


def recorded(pattern: str) -> Iterator[tuple[str, dict[str, Any]]]:
    files = sorted((SHARED / "traffic").glob(pattern))
    if not files:
        pytest.skip(ABSENT)
    for file in files:
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if row["dir"] in ("client", "server"):
                yield row["dir"], row["event"]


def decoder_of(direction: str) -> Any:
    return decode if direction == "server" else decode_client


# --- what fits --------------------------------------------------------------------------------------------------------


def test_an_event_becomes_its_class() -> None:
    assert decode(text_of(DELTA)) == TYPED_DELTA


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda text: text.decode()])
def test_every_form_of_text_is_read(make: Any) -> None:
    assert decode(make(text_of(DELTA))) == TYPED_DELTA


def test_characters_beyond_ascii_are_read() -> None:
    text = json.dumps({**DELTA, "delta": "né 🎈"}, ensure_ascii=False)
    for form in (text, text.encode()):
        event = decode(form)
        assert isinstance(event, ResponseOutputTextDelta)
        assert event.delta == "né 🎈"


def test_unknown_fields_are_ignored() -> None:
    assert decode(text_of({**DELTA, "latency": [1, {"a": 2}]})) == TYPED_DELTA


def test_directions_have_their_own_types() -> None:
    assert decode_client(b'{"type":"response.cancel"}') == ResponseCancel()
    outcome = decode(b'{"type":"response.cancel"}')
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, UnknownEvent)


def test_absent_and_null_are_different() -> None:
    item = {"type": "item_reference", "id": "item_1"}
    absent = decode(text_of({"type": "conversation.item.added", "item": item}))
    null = decode(text_of({"type": "conversation.item.added", "item": item, "previous_item_id": None}))
    assert isinstance(absent, ConversationItemAdded)
    assert isinstance(null, ConversationItemAdded)
    assert (absent.previous_item_id, null.previous_item_id) == (UNSET, None)


def test_the_same_depth_gives_the_same_decoder() -> None:
    assert codec.server_decoder(DEPTH) is codec.server_decoder(DEPTH)


def test_a_depth_that_admits_no_event_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        codec.server_decoder(0)


def test_every_official_example_fits_its_class() -> None:
    for row in official():
        event = decoder_of(row["dir"])(text_of(row["event"]))
        read = event.event if isinstance(event, Repaired) else event  # items of the beta's shape stand among them
        assert isinstance(read, {**CLIENT_EVENTS, **SERVER_EVENTS}[row["event"]["type"]]), row["schema_type"]


def test_every_official_example_survives_a_rebuild_from_its_fields() -> None:
    for row in official():
        event = decoder_of(row["dir"])(text_of(row["event"]))
        rebuilt = type(event)(**{name: getattr(event, name) for name in event.__struct_fields__})
        assert rebuilt == event
        assert json.loads(codec.encode(rebuilt)) == row["event"]


@pytest.mark.parametrize(
    "pattern", ["*--openai_ws--*", "*--openai_ws_sideband--*", "*--azure_ws--*", "*--parity_ws--*"]
)
def test_recordings_of_openai_and_azure_need_no_repair(pattern: str) -> None:
    outcomes = [(event["type"], decoder_of(direction)(text_of(event))) for direction, event in recorded(pattern)]
    assert [name for name, outcome in outcomes if isinstance(outcome, (Repaired, Unreadable))] == []


@pytest.mark.parametrize("pattern", ["*--openai_ws--*", "*--openai_ws_sideband--*", "*--parity_ws--*"])
def test_recordings_of_openai_lose_nothing(pattern: str) -> None:
    for direction, event in recorded(pattern):
        assert json.loads(codec.encode(decoder_of(direction)(text_of(event)))) == event


def test_recordings_of_every_dialect_are_read() -> None:
    for direction, event in recorded("*.jsonl"):
        outcome = decoder_of(direction)(text_of(event))
        assert not isinstance(outcome, Unreadable)
        read = outcome.event if isinstance(outcome, Repaired) else outcome
        assert not isinstance(read, Malformed), event["type"]
        assert read.wire_type == event["type"]


# --- what is unknown --------------------------------------------------------------------------------------------------


def test_an_unknown_type_is_kept_whole_and_is_no_problem() -> None:
    data = {"type": "ping", "event_id": "e", "timestamp": 1785214081855, "big": 10**40}
    outcome = repaired(data)
    assert outcome == Repaired(UnknownEvent.of(data), (), data)
    assert json.loads(codec.encode(UnknownEvent.of(data))) == data


def test_an_unknown_item_is_kept_whole_and_is_no_problem() -> None:
    item = {"type": "force_message", "id": "item_1", "content": [1]}
    event = {"type": "conversation.item.added", "item": item}
    outcome = repaired(event)
    assert outcome.problems == ()
    assert outcome.event == ConversationItemAdded(item=UnknownItem.of(item))
    assert json.loads(codec.encode(ConversationItemAdded(item=UnknownItem.of(item)))) == event


def test_unknown_content_is_kept_whole_and_is_no_problem() -> None:
    content: list[dict[str, Any]] = [{"type": "input_text", "text": "a"}, {"type": "hologram", "x": [1]}]
    event = {"type": "conversation.item.added", "item": {"type": "message", "role": "user", "content": content}}
    outcome = repaired(event)
    assert outcome.problems == ()
    item = MessageItem(role="user", content=[InputText(text="a"), UnknownContent.of(content[1])])
    assert outcome.event == ConversationItemAdded(item=item)
    assert json.loads(codec.encode(ConversationItemAdded(item=item))) == event


def test_an_unknown_tool_is_kept_whole_and_is_no_problem() -> None:
    event = {"type": "session.created", "session": {"type": "realtime", "tools": [{"type": "retrieval", "x": 1}]}}
    outcome = repaired(event)
    tool = UnknownTool.of({"type": "retrieval", "x": 1})
    assert outcome == Repaired(SessionCreated(session=RealtimeSession(tools=[tool])), (), event)


# --- what is repaired -------------------------------------------------------------------------------------------------


def test_an_optional_field_that_does_not_fit_is_unset() -> None:
    outcome = repaired(
        {
            "type": "response.created",
            "response": {"id": "resp_1", "conversation_id": 5, "status": "failed"},
        }
    )
    assert isinstance(outcome.event, ResponseCreated)
    assert (outcome.event.response.conversation_id, outcome.event.response.status) == (UNSET, "failed")
    assert outcome.problems == (Problem("$.response.conversation_id", "expected a string, found a number"),)


def test_a_missing_index_is_zero() -> None:
    outcome = repaired({name: value for name, value in DELTA.items() if name != "content_index"})
    assert outcome.event == TYPED_DELTA
    assert outcome.problems == (Problem("$.content_index", "required, but missing", "missing"),)


def test_a_missing_text_is_empty() -> None:
    outcome = repaired({**DELTA, "delta": None})
    assert isinstance(outcome.event, ResponseOutputTextDelta)
    assert outcome.event.delta == ""
    assert outcome.problems == (Problem("$.delta", "expected a string, found null"),)


def test_a_number_in_a_string_is_read() -> None:
    outcome = repaired({**DELTA, "output_index": "0"})
    assert outcome.event == TYPED_DELTA
    assert [problem.path for problem in outcome.problems] == ["$.output_index"]


def test_a_token_limit_in_a_string_is_a_vendor_s_notation_and_inf_is_right() -> None:
    session = {"type": "realtime", "max_output_tokens": "4096"}
    outcome = repaired({"type": "session.created", "session": session})
    assert outcome.event == SessionCreated(session=RealtimeSession(max_output_tokens=4096))
    assert outcome.problems == ()
    session["max_output_tokens"] = "inf"
    assert decode(text_of({"type": "session.created", "session": session})) == SessionCreated(
        session=RealtimeSession(max_output_tokens="inf")
    )


def test_a_token_limit_is_a_number_even_if_spelled_or_inf_and_no_other_word() -> None:
    def limit(value: object) -> tuple[object, list[str]]:
        outcome = decode_client(text_of({"type": "response.create", "response": {"max_output_tokens": value}}))
        assert isinstance(outcome, Repaired)
        assert isinstance(outcome.event, ResponseCreate)
        assert outcome.event.response
        return outcome.event.response.max_output_tokens, [problem.message for problem in outcome.problems]

    assert limit("77") == (77, ["expected a number, found one spelled as a string"])
    assert limit(77.0) == (77, [])
    assert limit("many") == (UNSET, ['expected an integer or "inf", found a string'])


def test_a_whole_number_written_as_a_fraction_is_an_integer_and_no_problem() -> None:
    outcome = repaired({**DELTA, "output_index": 0.0})
    assert (outcome.event, outcome.problems) == (TYPED_DELTA, ())


def test_a_boolean_is_no_index() -> None:
    assert [problem.path for problem in repaired({**DELTA, "output_index": True}).problems] == ["$.output_index"]


@pytest.mark.parametrize("field", ["item_id", "response_id"])
@pytest.mark.parametrize("value", [None, 5, UNSET])
def test_without_identity_a_delta_is_malformed(field: str, value: object) -> None:
    data = {name: held for name, held in {**DELTA, field: value}.items() if held is not UNSET}
    outcome = repaired(data)
    assert isinstance(outcome.event, Malformed)
    assert (outcome.event.type, outcome.event.event_id, outcome.event.data) == (DELTA["type"], "event_1", data)
    assert [problem.path for problem in outcome.event.problems] == [f"$.{field}"]
    assert json.loads(codec.encode(outcome.event)) == data


@pytest.mark.parametrize("response", [UNSET, None, 5, "done", [], {}, {"id": None}])
def test_without_a_response_its_end_is_malformed(response: object) -> None:
    data = {"type": "response.done"} | ({} if response is UNSET else {"response": response})
    assert isinstance(repaired(data).event, Malformed)


def test_a_response_without_id_takes_the_one_beside_it() -> None:
    outcome = repaired({"type": "response.done", "response_id": "resp_1", "response": {"status": "completed"}})
    assert isinstance(outcome.event, ResponseDone)
    assert outcome.event.response.id == "resp_1"
    assert outcome.problems == ()


def test_a_session_without_type_is_a_realtime_session_of_the_beta() -> None:
    outcome = repaired({"type": "session.created", "session": {"id": "sess_1", "modalities": ["text"], "voice": "ara"}})
    audio = AudioConfig(output=AudioOutput(voice="ara"))
    session = RealtimeSession(id="sess_1", output_modalities=["text"], audio=audio)
    assert outcome.event == SessionCreated(session=session)
    assert outcome.problems == ()


def test_a_session_without_type_may_say_that_it_transcribes() -> None:
    outcome = repaired({"type": "session.created", "session": {"object": "realtime.transcription_session"}})
    assert isinstance(outcome.event, SessionCreated)
    assert isinstance(outcome.event.session, TranscriptionSession)


def test_a_session_of_a_client_without_type_may_say_that_it_transcribes_and_lacks_its_type() -> None:
    outcome = decode_client(
        text_of({"type": "session.update", "session": {"object": "realtime.transcription_session"}})
    )
    assert isinstance(outcome, Repaired)
    assert outcome.event == SessionUpdate(session=TranscriptionSession(object="realtime.transcription_session"))
    assert [(problem.path, problem.kind) for problem in outcome.problems] == [("$.session.type", "missing")]


def test_a_beta_audio_format_in_a_ga_session_is_understood() -> None:
    session = {"type": "transcription", "audio": {"input": {"format": "pcm16"}}}
    outcome = repaired({"type": "session.created", "session": session})
    assert isinstance(outcome.event, SessionCreated)
    audio = outcome.event.session.audio
    assert audio
    assert audio.input == AudioInput(format=AudioFormat(type="audio/pcm", rate=24000))


def test_an_item_without_type_is_recognised_by_its_fields() -> None:
    outcome = repaired({"type": "conversation.item.added", "item": {"call_id": "call_1", "output": "5"}})
    assert outcome.event == ConversationItemAdded(item=FunctionCallOutputItem(call_id="call_1", output="5"))
    assert [problem.path for problem in outcome.problems] == ["$.item.type"]


def test_a_known_item_beyond_repair_is_kept_as_an_unknown_one() -> None:
    item = {"type": "mcp_approval_response", "approval_request_id": "a", "approve": "perhaps"}
    outcome = repaired({"type": "conversation.item.added", "item": item})
    assert outcome.event == ConversationItemAdded(item=UnknownItem.of(item))
    assert outcome.problems


def test_an_unusable_part_keeps_its_place() -> None:
    content = ["__ELIDED__", {"type": "input_text", "text": "a"}]
    outcome = repaired(
        {"type": "conversation.item.added", "item": {"type": "message", "role": "user", "content": content}}
    )
    assert isinstance(outcome.event, ConversationItemAdded)
    assert isinstance(outcome.event.item, MessageItem)
    assert outcome.event.item.content == [UnknownContent.of({}), InputText(text="a")]
    assert [problem.path for problem in outcome.problems] == ["$.item.content[0]"]


@pytest.mark.parametrize(
    ("data", "message"),
    [({"error": "boom"}, "boom"), ({"message": "boom", "code": "c"}, "boom"), ({"error": {"code": "c"}}, ""), ({}, "")],
)
def test_an_error_in_any_shape_is_an_error(data: dict[str, object], message: str) -> None:
    outcome = repaired({"type": "error", **data})
    assert isinstance(outcome.event, Error)
    assert outcome.event.error.message == message
    assert outcome.problems


def test_usage_without_type_is_recognised_by_its_fields() -> None:
    data = {"item_id": "item_1", "content_index": 0, "transcript": "", "usage": {"seconds": 3}}
    outcome = repaired({"type": "conversation.item.input_audio_transcription.completed", **data})
    assert isinstance(outcome.event, ConversationItemInputAudioTranscriptionCompleted)
    assert outcome.event.usage == DurationUsage(seconds=3.0)


def test_a_part_may_be_missing_where_a_vendor_leaves_it_out() -> None:
    data = {name: value for name, value in DELTA.items() if name != "delta"}
    event = decode(text_of({**data, "type": "response.content_part.done"}))
    assert isinstance(event, ResponseContentPartDone)
    assert event.part is UNSET


def test_a_barge_in_without_offset_is_a_barge_in() -> None:
    event = decode(b'{"type":"input_audio_buffer.speech_started","item_id":"item_1"}')
    assert event == InputAudioBufferSpeechStarted(item_id="item_1")


def test_arguments_without_index_or_name_are_kept() -> None:
    ids = {"response_id": "resp_1", "item_id": "item_1", "call_id": "call_1"}
    delta = repaired({"type": "response.function_call_arguments.delta", **ids, "delta": "{"}).event
    assert delta == ResponseFunctionCallArgumentsDelta(**ids, output_index=0, delta="{")
    done = repaired(
        {"type": "response.function_call_arguments.done", **ids, "output_index": 0, "arguments": "{}"}
    ).event
    assert done == ResponseFunctionCallArgumentsDone(**ids, output_index=0, name="", arguments="{}")


def test_metadata_keeps_its_good_pairs_and_does_not_name_the_bad() -> None:
    outcome = repaired({"type": "response.created", "response": {"id": "resp_1", "metadata": {"a": "b", "secret": 5}}})
    assert isinstance(outcome.event, ResponseCreated)
    assert outcome.event.response.metadata == {"a": "b"}
    assert [problem.path for problem in outcome.problems] == ["$.response.metadata[...]"]


def test_of_equal_keys_the_last_counts() -> None:
    text = text_of(DELTA).replace(b'"type"', b'"type": "ping", "type"', 1)
    outcome = decode(text)
    assert isinstance(outcome, Repaired)
    assert outcome.event == TYPED_DELTA


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e400", b"0." + b"1" * 5000])
def test_a_number_beyond_all_bounds_costs_only_its_field(number: bytes) -> None:
    text = b'{"type":"response.created","response":{"id":"resp_1","status":"failed","max_output_tokens":%s}}' % number
    outcome = decode(text)
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, ResponseCreated)
    assert outcome.event.response.status == "failed"


def test_a_whole_number_that_no_fraction_holds_costs_only_its_field() -> None:
    text = b'{"type":"session.created","session":{"type":"realtime","audio":{"output":{"speed":%s,"voice":"v"}}}}'
    outcome = decode(text % (b"9" * 400))
    assert isinstance(outcome, Repaired)
    assert outcome.event == SessionCreated(session=RealtimeSession(audio=AudioConfig(output=AudioOutput(voice="v"))))
    (problem,) = outcome.problems
    assert (problem.path, problem.message) == (
        "$.session.audio.output.speed",
        "expected a number of ordinary size, found a number",
    )


def test_problems_are_bounded() -> None:
    content = [5] * 1000
    outcome = repaired(
        {"type": "conversation.item.added", "item": {"type": "message", "role": "user", "content": content}}
    )
    assert len(outcome.problems) == MAX_PROBLEMS


def test_an_id_has_its_bound() -> None:
    deleted = {"type": "conversation.item.deleted", "item_id": "i" * MOST_ID}
    assert isinstance(decode(text_of(deleted)), ConversationItemDeleted)
    outcome = repaired({**deleted, "item_id": "i" * (MOST_ID + 1)})
    assert isinstance(outcome.event, Malformed)
    assert [(problem.path, problem.message) for problem in outcome.problems] == [
        ("$.item_id", "expected a string of at most 4096 characters, found a string")
    ]


@pytest.mark.parametrize("type", ["message", "hologram"])
def test_an_item_whose_id_is_too_long_has_none(type: str) -> None:
    item = {"type": type, "role": "user", "content": [], "id": "i" * (MOST_ID + 1)}
    outcome = repaired({"type": "conversation.item.added", "item": item})
    assert isinstance(outcome.event, ConversationItemAdded)
    assert outcome.event.item.id is UNSET


def test_a_problem_never_quotes_the_value() -> None:
    outcome = repaired({"type": "session.created", "session": {"type": "realtime", "client_secret": "ek_secret"}})
    assert "ek_secret" not in repr(outcome)
    assert [problem.path for problem in outcome.problems] == ["$.session.client_secret"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "position"),
    [
        (b"", "json", None),
        (b"nul", "json", None),
        (b'{"type":"ping"}x', "json", 16),
        (b'{"type":"ping",}', "json", 15),
        (b'{"type":NaN}', "json", 8),
        (b'{"type":"ping","x":+1,"y":1e400}', "json", 19),
        (b'{"type":"ping","y":1e400,"x":+1}', "json", None),
        (rb'"\ud800"', "json", None),
        (rb'{"type":"\ud800', "json", None),
        (b"\xef\xbb\xbf{}", "json", 0),
        (b'{"type":"\xff"}', "utf8", 9),
        (b'{"type":"ping","skipped":"\xed\xa0\x80"}', "utf8", 26),
        ('{"type":"\ud800"}', "utf8", 9),
        (b"5", "object", None),
        (b"[]", "object", None),
        (b"null", "object", None),
        (b"{}", "type", None),
        (b'{"type":null}', "type", None),
        (b'{"type":["error"]}', "type", None),
    ],
)
def test_no_event(text: bytes | str, kind: str, position: int | None) -> None:
    outcome = rejected(text)
    assert (outcome.kind, outcome.position) == (kind, position)


def test_invalid_utf8_is_refused_in_a_field_that_nobody_reads() -> None:
    assert rejected(text_of(DELTA)[:-1] + b',"skipped":"\xff"}').kind == "utf8"


HALVES = pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\ud800", r"\\\ud800"])


@HALVES
@pytest.mark.parametrize("number", ["1", "1e400"])
def test_a_server_refuses_an_escaped_surrogate_without_its_partner(escape: str, number: str) -> None:
    outcome = codec.client_decoder(DEPTH)(f'{{"type":"ping","a":{number},"b":"{escape}"}}')
    assert isinstance(outcome, Unreadable)
    assert outcome.kind == "json"


@HALVES
def test_half_a_pair_of_surrogates_costs_a_client_only_that_character(escape: str) -> None:
    outcome = decode(text_of(DELTA).replace(b'"Hello', b'"' + escape.encode() + b"Hello"))
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, ResponseOutputTextDelta)
    assert "\ufffd" in outcome.event.delta
    assert outcome.event.delta.endswith(DELTA["delta"])
    (problem,) = outcome.problems
    assert problem.path == "$.delta"


def test_an_escaped_backslash_before_a_surrogate_is_no_surrogate() -> None:
    event = decode(text_of({**DELTA, "delta": "\\ud800"}))
    assert isinstance(event, ResponseOutputTextDelta)


@pytest.mark.parametrize(
    ("skipped", "path"),
    [
        ('[1, {"a": "\\udc00"}]', "$.skipped[1].a"),
        ('{"\\udc00": 1}', "$.skipped"),
        ('{"A key": "\\udc00"}', "$.skipped[...]"),
    ],
    ids=["in a value", "in a key", "below a key of the peer's"],
)
def test_where_half_a_pair_was_is_said(skipped: str, path: str) -> None:
    outcome = decode(text_of(DELTA)[:-1] + b',"skipped":' + skipped.encode() + b"}")
    assert isinstance(outcome, Repaired)
    assert [problem.path for problem in outcome.problems] == [path]


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_in_json_costs_a_client_only_its_field(constant: str) -> None:
    text = f'{{"type":"response.done","response":{{"id":"r","status":"failed","max_output_tokens":{constant}}}}}'
    outcome = decode(text)
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, ResponseDone)
    assert [problem.path for problem in outcome.problems] == ["$", "$.response.max_output_tokens"]
    for refused in (text, text.replace('"r"', '"r","a":1e400')):
        assert isinstance(codec.client_decoder(DEPTH)(refused), Unreadable)


def test_what_is_no_number_is_told_once_a_text() -> None:
    outcome = decode('{"type":"vendor.event","a":NaN,"b":[Infinity,NaN]}')
    assert isinstance(outcome, Repaired)
    assert [problem.message for problem in outcome.problems] == ["NaN is no JSON, and stands for no value"]


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    event = decode(text_of({**DELTA, "delta": "🎈"}))
    assert isinstance(event, ResponseOutputTextDelta)
    assert event.delta == "🎈"


# --- nesting ----------------------------------------------------------------------------------------------------------


def nested(levels: int, left: str = "[", right: str = "]") -> str:
    """An event that is nested `levels` deep, in a field that nobody reads."""
    return json.dumps(DELTA)[:-1] + ', "skipped": ' + left * (levels - 1) + "1" + right * (levels - 1) + "}"


@pytest.mark.parametrize("depth", [2, 3, 64, 200])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"":', "}")])
def test_the_depth_is_exact(depth: int, brackets: tuple[str, str]) -> None:
    decoder = codec.server_decoder(depth)
    assert decoder(nested(depth, *brackets)) == TYPED_DELTA
    outcome = decoder(nested(depth + 1, *brackets))
    assert isinstance(outcome, Unreadable)
    assert outcome.kind == "depth"


def test_brackets_in_strings_are_text() -> None:
    event = decode(text_of({**DELTA, "delta": "[{" * 500 + '\\"\\\\'}))
    assert isinstance(event, ResponseOutputTextDelta)


def test_many_objects_side_by_side_are_not_deep() -> None:
    assert decode(text_of({**DELTA, "skipped": [{"a": ["]"]}] * 1000})) == TYPED_DELTA


@pytest.mark.parametrize("text", [b"[" * 3_000_000, b'{"":' * 1_000_000, b'{"type":"ping","a":' + b"[" * 100_000])
def test_endless_nesting_is_refused(text: bytes) -> None:
    assert rejected(text).kind == "depth"


def frames_left() -> int:
    try:
        return 1 + frames_left()
    except RecursionError:
        return 1


@pytest.mark.parametrize("frames", [20, 40, 60, 100])
def test_a_caller_who_has_used_up_the_stack_gets_an_answer(frames: int) -> None:
    def descend(levels: int) -> object:
        return descend(levels - 1) if levels else decode(nested_text)

    nested_text = nested(DEPTH)
    assert isinstance(descend(frames_left() - frames), (ResponseOutputTextDelta, Unreadable))


def test_one_who_hands_over_a_dict_gets_an_answer_as_soon_as_there_is_room_for_the_call() -> None:
    data = {**DELTA, "output_index": "0"}
    whole, refusal = codec.convert_server_event(data), Unreadable("depth", "nested too deeply")

    def descend(levels: int) -> object:
        return descend(levels - 1) if levels else codec.convert_server_event(data)

    def answer(frames: int) -> object:
        try:
            return descend(frames_left() - frames)
        except RecursionError:
            return None  # there was no room

    answers = [answer(frames) for frames in range(60)]
    calls, refused = answers.count(None), answers.count(refusal)
    assert refused
    assert answers == [None] * calls + [refusal] * refused + [whole] * (60 - calls - refused)
    assert answers[-1] == whole


def test_a_depth_beyond_the_library_is_refused_and_does_not_raise() -> None:
    outcome = codec.server_decoder(10**6)(nested(500_000))
    assert isinstance(outcome, Unreadable)
    assert outcome.kind == "depth"


def naive_depth(text: str) -> int:
    level = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            level += 1
            deepest = max(deepest, level)
        elif character in "}]":
            level -= 1
    return deepest


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('ab"\\[]{}\n\u00e9', max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"\\[]{}', max_size=3), inner, max_size=4),
    max_leaves=30,
)


@settings(max_examples=300)
@given(json_values, st.integers(2, 6), st.booleans())
def test_the_depth_is_what_a_plain_scan_finds(value: object, depth: int, ascii_only: bool) -> None:
    text = json.dumps({"type": "ping", "value": value}, ensure_ascii=ascii_only)
    outcome = codec.server_decoder(depth)(text)
    refused = isinstance(outcome, Unreadable) and outcome.kind == "depth"
    assert refused == (naive_depth(text) > depth)


# --- nothing raises ---------------------------------------------------------------------------------------------------


def check_total(text: codec.Document) -> None:
    either = codec.client_decoder(DEPTH, None)
    for decoder in (decode, decode_client, either, codec.server_decoder(DEPTH, "beta")):
        outcome = decoder(text)
        repr(outcome)
        if isinstance(outcome, Unreadable):
            continue
        event = outcome.event if isinstance(outcome, Repaired) else outcome
        assert json.loads(codec.encode(event))["type"] == event.wire_type


@settings(max_examples=300)
@given(st.binary())
def test_no_bytes_raise(text: bytes) -> None:
    check_total(text)


@settings(max_examples=200)
@given(st.text(st.characters(codec=None)))
def test_no_text_raises(text: str) -> None:
    check_total(text)


@settings(max_examples=300)
@given(st.sampled_from(sorted(CLIENT_EVENTS | SERVER_EVENTS)), st.data())
def test_no_fields_raise(wire_type: str, data: st.DataObject) -> None:
    cls = (CLIENT_EVENTS | SERVER_EVENTS)[wire_type]
    fields = {name: data.draw(json_values, label=name) for name in cls.__struct_fields__}
    check_total(text_of({"type": wire_type, **fields}))


@settings(max_examples=200)
@given(st.integers(0), st.binary(max_size=4))
def test_no_damage_to_an_event_raises(place: int, damage: bytes) -> None:
    text = text_of(
        {"type": "response.created", "response": {"id": "é", "output": [{"type": "message", "content": []}]}}
    )
    place %= len(text)
    check_total(text[:place] + damage + text[place + len(damage) :])
    check_total(text[:place])


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every member of a JSON value."""
    members: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key)
        yield from places(member, (*path, key))


ODD_VALUES: list[object] = [
    None,
    True,
    -1,
    10**40,
    0.0,
    0.5,
    1e308,
    "",
    "4096",
    "x" * 5000,
    [],
    [None],
    [[]],
    {},
    {"type": "odd"},
    UNSET,
]


def test_no_damaged_official_example_raises_or_loses_its_type() -> None:
    for row in official():
        for path in places(row["event"]):
            for odd in ODD_VALUES:
                event = copy.deepcopy(row["event"])
                holder: Any = event
                for key in path[:-1]:
                    holder = holder[key]
                if odd is UNSET:
                    del holder[path[-1]]
                else:
                    holder[path[-1]] = odd
                outcome = decoder_of(row["dir"])(text_of(event))
                if path == ("type",):
                    assert isinstance(outcome, (Repaired, Unreadable))
                    continue
                assert not isinstance(outcome, Unreadable)
                read = outcome.event if isinstance(outcome, Repaired) else outcome
                assert read.wire_type == row["event"]["type"]
                json.loads(codec.encode(read))


# --- plain objects ----------------------------------------------------------------------------------------------------


def test_a_client_event_may_be_a_dict() -> None:
    assert codec.convert_client_event({"type": "input_audio_buffer.append", "audio": "AAAA"}) == InputAudioBufferAppend(
        audio="AAAA"
    )


def test_a_dict_may_hold_finished_objects() -> None:
    item = MessageItem(role="user", content=[InputText(text="hi")])
    assert codec.convert_client_event({"type": "conversation.item.create", "item": item}) == ConversationItemCreate(
        item=item
    )


def test_a_dict_may_hold_finished_unknown_objects() -> None:
    item = UnknownItem.of({"type": "hologram"})
    outcome = codec.convert_client_event({"type": "conversation.item.create", "item": item})
    assert isinstance(outcome, Repaired)
    assert (outcome.event, outcome.problems) == (ConversationItemCreate(item=item), ())


def test_a_dict_is_repaired_as_a_text_is() -> None:
    outcome = codec.convert_client_event({"type": "session.update", "session": {"instructions": "Be brief."}})
    assert isinstance(outcome, Repaired)
    assert outcome.event == SessionUpdate(session=RealtimeSession(instructions="Be brief."))
    assert outcome.problems == ()


def test_an_unset_value_in_a_dict_is_an_absent_one() -> None:
    outcome = codec.convert_client_event({"type": "response.create", "event_id": UNSET, "response": {"input": UNSET}})
    assert isinstance(outcome, Repaired)
    assert outcome.problems == ()


def test_a_server_event_may_be_a_dict() -> None:
    assert codec.convert_server_event(DELTA) == TYPED_DELTA


@pytest.mark.parametrize("data", [{}, {"type": 5}, {5: "type"}, [], None, "text"])
def test_a_dict_without_type_is_refused(data: Any) -> None:
    assert isinstance(codec.convert_client_event(data), Unreadable)


def test_a_dict_of_foreign_objects_does_not_raise() -> None:
    foreign: Any = {"type": "input_audio_buffer.append", "audio": b"\x00", "event_id": object(), 7: 7}
    outcome = codec.convert_client_event(foreign)
    assert isinstance(outcome, Repaired)
    assert isinstance(outcome.event, InputAudioBufferAppend)
    assert [problem.path for problem in outcome.problems] == ["$.event_id", "$.audio"]


def test_a_key_that_is_no_string_costs_only_its_pair() -> None:
    metadata = {1: "x", "a": "b"}
    outcome = codec.convert_client_event({"type": "response.create", "response": {"metadata": metadata}})
    assert isinstance(outcome, Repaired)
    assert outcome.event == ResponseCreate(response=ResponseCreateParams(metadata={"a": "b"}))
    (problem,) = outcome.problems
    assert (problem.path, problem.message) == ("$.response.metadata[...]", "expected a string as key")


def test_a_number_that_json_cannot_express_costs_only_its_field() -> None:
    output = {"speed": float("inf"), "voice": "v", "format": 5}
    session = {"type": "realtime", "audio": {"output": output}}
    outcome = codec.convert_client_event({"type": "session.update", "session": session})
    assert isinstance(outcome, Repaired)
    assert outcome.event == SessionUpdate(session=RealtimeSession(audio=AudioConfig(output=AudioOutput(voice="v"))))
    assert {problem.path: problem.message for problem in outcome.problems} == {
        "$.session.audio.output.speed": "expected a finite number, found a number",
        "$.session.audio.output.format": "expected an object, found a number",
    }


def test_a_kind_of_field_that_nobody_taught_is_an_error_of_ours() -> None:
    class Foreign(msgspec.Struct):
        members: set[int]

    with pytest.raises(NotImplementedError, match="no tolerant reading of SetType"):
        repair(Foreign, {"members": [1]}, "$", ProblemLog())


ITEMS = [
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}], "status": None},
    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1"},
    {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t", "input_schema": {"type": "object"}}]},
    {"type": "hologram", "x": [1, {"y": None}]},
    {"type": "message", "role": "user", "content": [{"type": "hologram"}]},
]


@pytest.mark.parametrize("data", ITEMS, ids=lambda data: str(data["type"]))
def test_an_item_goes_to_plain_objects_and_back(data: dict[str, Any]) -> None:
    item = codec.item_from_builtins(data)
    assert codec.to_builtins(item) == data
    assert codec.item_from_builtins(codec.to_builtins(item)) == item


@pytest.mark.parametrize("data", [{}, {"type": 5}, [], None, {"type": "message"}, {"role": 5}])
def test_an_item_is_made_of_anything(data: Any) -> None:
    assert isinstance(codec.item_from_builtins(data), (MessageItem, UnknownItem))


def test_a_session_goes_to_plain_objects_and_back() -> None:
    data = {"type": "realtime", "audio": {"input": {"turn_detection": None}}, "tools": [{"type": "odd"}]}
    assert codec.to_builtins(codec.session_from_builtins(data)) == data


# --- encoding ---------------------------------------------------------------------------------------------------------


def test_an_event_is_written_without_what_is_unset() -> None:
    part = TextPart(text="")
    event = ResponseContentPartDone(response_id="r", item_id="i", output_index=0, content_index=0, part=part)
    assert codec.encode_text(event) == (
        '{"type":"response.content_part.done","response_id":"r","item_id":"i","output_index":0,"content_index":0,'
        '"part":{"type":"text","text":""}}'
    )


def test_what_is_encoded_decodes_to_the_same() -> None:
    assert decode(codec.encode(TYPED_DELTA)) == TYPED_DELTA


@pytest.mark.parametrize("secret", ["se\ud800cret", {"secret": object()}])
def test_what_json_cannot_express_is_an_error_that_quotes_nothing(secret: Any) -> None:
    with pytest.raises(ValueError, match="UnknownEvent cannot be written") as caught:
        codec.encode(UnknownEvent.of({"type": "ping", "value": secret}))
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_endless_nesting_cannot_be_written() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="cannot be written"):
        codec.encode(UnknownEvent.of({"type": "ping", "value": value}))


SKIPPED = [
    *(b"1e400", b"-1e400", b"1e-400", b"9" * 5000, b"1." + b"0" * 5000, b"[1e400]", b"-0", b"NaN", b"-Infinity"),
    *(
        b"-",
        b"01",
        b".5",
        b"+1",
        b"1.",
        b"1e",
        b"0x1",
        b"1_0",
        b"nul",
        b"\x0c1",
        b"[1,]",
        b'{"a":1,}',
        b'{"a" 1}',
        b"{1:2}",
    ),
    *(rb'"\ud800"', rb'"\udc00"', rb'"\ud800\u0041"', rb'"\udc00\ud800"', rb'["\ud800",1e400]', rb'{"\udc00":1e400}'),
    *(rb'"\q"', rb'"\u12"', rb'"\u12zz"', rb'"\ud83c\udf88"', b'"a\nb"', b'"\x00"', b'"\x7f"'),
]


@pytest.mark.parametrize("value", SKIPPED, ids=lambda value: repr(value[:20]))
def test_what_msgspec_skips_is_json_all_the_same(value: bytes) -> None:
    """A text that the typed decoder took can be read as an unknown event, whatever stands in what it skipped."""
    text = b'{"type":"session.closed","skipped":%s}' % value
    outcome = decode(text)
    if isinstance(outcome, SessionClosed):
        assert {"type", "skipped"} == codec.as_unknown(text).data.keys()
    elif isinstance(outcome, Repaired):
        assert {"type", "skipped"} == outcome.data.keys()
        assert len(outcome.problems) == 1
    else:
        assert isinstance(outcome, Unreadable)


def test_msgspec_still_says_where_a_text_breaks() -> None:
    """The place of an error is read out of the library's message: this fails when the wording changes."""
    with pytest.raises(msgspec.DecodeError, match=r"JSON is malformed: .* \(byte 1\)$"):
        msgspec.json.decode(b"{x}")
