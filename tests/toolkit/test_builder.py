"""The builder: what each method makes, what it refuses before it makes it, and that sessions take what it made."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import LocalProtocolError
from antiphon import messages as m
from antiphon.engine.codec import client_decoder, encode
from antiphon.toolkit import ClientEventBuilder, ClientEventType, canonical
from unit.engine_helpers import Talk, call, said, sent, sent_types

PCM = bytes(9600)


def wire(event: m.ClientEvent) -> dict[str, Any]:
    """The event in JSON, without its id."""
    document: dict[str, Any] = json.loads(encode(event))
    assert document.pop("event_id")
    return document


def refusal(build: Callable[[], object]) -> tuple[str, str | None, str | None]:
    """Rule, code and parameter of what cannot be built."""
    with pytest.raises(LocalProtocolError) as caught:
        build()
    return caught.value.rule, caught.value.code, caught.value.param


def message(builder: ClientEventBuilder, text: str = "Hello!") -> m.ConversationItemCreate:
    return builder.conversation_item_create(
        item_type="message", role="user", content=[{"type": "input_text", "text": text}]
    )


# -- what is built -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ClientEventType))
def test_every_event_of_a_client_has_a_builder(name: ClientEventType) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "input_audio_buffer.append": {"audio": PCM},
        "session.input_audio_buffer.append": {"audio": PCM},
        "conversation.item.create": {"item": said("item_1")},
        "conversation.item.retrieve": {"item_id": "item_1"},
        "conversation.item.delete": {"item_id": "item_1"},
        "conversation.item.truncate": {"item_id": "item_1", "content_index": 0, "audio_end_ms": 10},
    }
    build = getattr(ClientEventBuilder(), name.replace(".", "_"))
    event = build(**arguments.get(name, {}))
    assert event.type == canonical(name)
    assert type(event) is m.CLIENT_EVENTS[event.type]


def test_every_event_class_of_a_client_is_an_event_type() -> None:
    assert set(m.CLIENT_EVENTS) == {canonical(name) for name in ClientEventType}


def test_the_flat_keys_of_the_beta_find_their_places() -> None:
    event = ClientEventBuilder().session_update(
        modalities=["text", "audio"],
        voice="coral",
        instructions="Be brief.",
        input_audio_format="g711_ulaw",
        output_audio_format="pcm16",
        turn_detection={"type": "server_vad", "threshold": 0.4},
        tools=[{"type": "function", "name": "f"}],
        temperature=0.8,
        max_response_output_tokens=200,
    )
    assert wire(event) == {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "Be brief.",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.4},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "coral"},
            },
            "tools": [{"type": "function", "name": "f"}],
            "temperature": 0.8,
            "max_output_tokens": 200,
        },
    }


def test_a_session_may_be_given_whole() -> None:
    builder = ClientEventBuilder()
    nested = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    assert wire(builder.session_update(session=nested))["session"] == nested
    assert builder.session_update(session=m.RealtimeSession(instructions="x")).session.type == "realtime"


def test_null_clears_and_an_empty_list_is_a_value() -> None:
    session = wire(ClientEventBuilder().session_update(turn_detection=None, tools=[]))["session"]
    assert session == {"type": "realtime", "tools": [], "audio": {"input": {"turn_detection": None}}}


def test_a_transcription_session_is_one_whatever_its_keys_say() -> None:
    event = ClientEventBuilder().transcription_session_update(
        input_audio_format="pcm16", input_audio_transcription={"model": "whisper-1"}
    )
    assert wire(event)["session"] == {
        "type": "transcription",
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": "whisper-1"}},
        },
    }


def test_a_transcription_session_goes_by_its_beta_name_where_the_beta_is_spoken() -> None:
    talk = Talk(dialect="beta", begun=False)
    talk.client.opened(0)
    assert sent_types(talk.say(ClientEventBuilder().transcription_session_update())) == ["transcription_session.update"]


@pytest.mark.parametrize(
    ("build", "item"),
    [
        (message, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}),
        (
            lambda b: b.conversation_item_create("function_call", call_id="c", name="f", arguments="{}"),
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        ),
        (
            lambda b: b.conversation_item_create("function_call_output", call_id="c", output="12"),
            {"type": "function_call_output", "call_id": "c", "output": "12"},
        ),
        (
            lambda b: b.conversation_item_create("mcp_approval_response", approval_request_id="a", approve=True),
            {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        ),
        (
            lambda b: b.conversation_item_create(item=m.FunctionCallOutputItem(call_id="c", output="12")),
            {"type": "function_call_output", "call_id": "c", "output": "12"},
        ),
        (lambda b: b.conversation_item_create("vendor_note", id="n"), {"type": "vendor_note", "id": "n"}),
    ],
)
def test_an_item_is_made_of_its_keys_or_given_whole(
    build: Callable[[ClientEventBuilder], m.ConversationItemCreate], item: dict[str, object]
) -> None:
    assert wire(build(ClientEventBuilder()))["item"] == item


HELLO = [{"type": "input_text", "text": "Hello!"}]


@pytest.mark.parametrize(
    ("build", "item"),
    [
        (
            lambda b: b.conversation_item_create("message", "user", HELLO),
            {"type": "message", "role": "user", "content": HELLO},
        ),
        (
            lambda b: b.conversation_item_create("function_call", None, None, "c", "f", "{}"),
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        ),
        (
            lambda b: b.conversation_item_create(
                item_type="function_call_output", role=None, content=None, call_id="c", output=""
            ),
            {"type": "function_call_output", "call_id": "c", "output": ""},
        ),
    ],
)
def test_the_fields_of_an_item_have_places_and_none_leaves_one_out(
    build: Callable[[ClientEventBuilder], m.ConversationItemCreate], item: dict[str, object]
) -> None:
    assert wire(build(ClientEventBuilder()))["item"] == item


def test_an_item_may_name_its_predecessor() -> None:
    event = ClientEventBuilder().conversation_item_create(item=said("b"), previous_item_id="root")
    assert event.previous_item_id == "root"


def test_a_plain_response_create_has_no_parameters() -> None:
    assert wire(ClientEventBuilder().response_create()) == {"type": "response.create"}


def test_the_parameters_of_a_response_are_keys_or_given_whole() -> None:
    builder = ClientEventBuilder()
    keys = builder.response_create(modalities=["text"], instructions="x", max_output_tokens=10)
    assert wire(keys)["response"] == {"output_modalities": ["text"], "instructions": "x", "max_output_tokens": 10}
    assert wire(builder.response_create(response={}))["response"] == {}
    assert wire(builder.response_create(response=m.ResponseCreateParams(conversation="none")))["response"] == {
        "conversation": "none"
    }


def test_audio_is_bytes_or_base64() -> None:
    builder = ClientEventBuilder()
    for audio in (b"\x00\x01\x02\x03", memoryview(b"\x00\x01\x02\x03"), "AAECAw=="):
        assert builder.input_audio_buffer_append(audio).audio == "AAECAw=="


def test_base64_may_be_named_so() -> None:
    assert ClientEventBuilder().input_audio_buffer_append(audio_base64="AAECAw==").audio == "AAECAw=="


@pytest.mark.parametrize("given", [{}, {"audio": b"ab", "audio_base64": "YWI="}])
def test_audio_is_given_once(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="one of the two"):
        ClientEventBuilder().input_audio_buffer_append(**given)


def test_the_resources_of_a_builder_build_the_same() -> None:
    builder = ClientEventBuilder(lambda: "e")
    assert builder.resources.conversation.item.create(item=said("i")) == builder.conversation_item_create(
        item=said("i")
    )
    assert builder.resources.response.create() == builder.response_create()


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_events_are_numbered() -> None:
    builder = ClientEventBuilder()
    assert [builder.response_create().event_id, builder.response_cancel().event_id] == ["evt_1", "evt_2"]


def test_ids_come_from_the_source_that_is_given() -> None:
    numbers = count(7)
    assert ClientEventBuilder(lambda: f"x{next(numbers)}").response_create().event_id == "x7"


def test_an_id_that_is_given_stays() -> None:
    assert ClientEventBuilder().response_create(event_id="mine").event_id == "mine"


def test_an_empty_id_is_none() -> None:
    assert ClientEventBuilder().response_create(event_id="").event_id == "evt_1"


def test_what_is_refused_uses_no_id() -> None:
    builder = ClientEventBuilder()
    refusal(lambda: builder.conversation_item_truncate("i", 0, -1))
    assert builder.response_create().event_id == "evt_1"


@pytest.mark.parametrize("event_id", ["", "e" * 513])
def test_a_source_that_gives_no_possible_id_is_told(event_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 512 characters"):
        ClientEventBuilder(lambda: event_id).response_create()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            lambda b: b.session_update(instrutcions="x"),
            ("R-E5", "unknown_parameter", "session.instrutcions"),
        ),
        (
            lambda b: b.session_update(max_response_output_tokens=0),
            ("R-E7", "integer_below_min_value", "session.max_output_tokens"),
        ),
        (
            lambda b: b.session_update(output_modalities=["audio", "text"]),
            ("R-E5", "invalid_value", "session.output_modalities"),
        ),
        (
            lambda b: b.conversation_item_create("message", content=[]),
            ("R-E5", "missing_required_parameter", "item.role"),
        ),
        (
            lambda b: b.conversation_item_create("message", role=3, content=[]),
            ("R-E5", "invalid_type", "item.role"),
        ),
        (lambda b: b.conversation_item_create(), ("R-E5", "missing_required_parameter", "item.type")),
        (
            lambda b: b.conversation_item_create("function_call_output", id="bad id", call_id="c", output=""),
            ("R-C11", "invalid_value", "item.id"),
        ),
        (
            lambda b: b.conversation_item_create(
                "message", role="user", content=[{"type": "output_text", "text": "x"}]
            ),
            ("R-C13", "invalid_value", "item.content[0].type"),
        ),
        (lambda b: b.conversation_item_truncate("i", 0, -1), ("R-C5", "integer_below_min_value", "audio_end_ms")),
        (lambda b: b.conversation_item_truncate("i", "0", 1), ("R-C5", "invalid_type", "content_index")),
        (lambda b: b.input_audio_buffer_append("no base64!"), ("R-I6", "invalid_value", "audio")),
        (
            lambda b: b.response_create(conversation="some"),
            ("R-E5", "invalid_value", "response.conversation"),
        ),
        (lambda b: b.response_create(event_id="e" * 513), ("R-E7", "string_above_max_length", "event_id")),
        (lambda b: b.conversation_item_delete("\ud800"), ("R-E1", "invalid_event", None)),
        (
            lambda b: b.session_update(speed=float("nan")),
            ("R-E5", "invalid_type", "session.audio.output.speed"),
        ),
        (
            lambda b: b.session_update(tools=[{"type": "function", "name": "f", "parameters": {"a": [float("nan")]}}]),
            ("R-E5", "invalid_type", "session.tools[0].parameters.a[0]"),
        ),
        (
            lambda b: b.session_update(voice="y", audio={"output": {"voice": "x"}}),
            ("R-E5", "unknown_parameter", "session.voice"),
        ),
        (
            lambda b: b.response_create(modalities=["text"], output_modalities=["audio"]),
            ("R-E5", "unknown_parameter", "response.modalities"),
        ),
    ],
)
def test_what_a_server_would_refuse_is_refused_with_its_code(
    build: Callable[[ClientEventBuilder], object], expected: tuple[str, str | None, str | None]
) -> None:
    assert refusal(lambda: build(ClientEventBuilder())) == expected


@pytest.mark.parametrize(
    "build",
    [
        lambda b: b.session_update(session={"voice": "coral"}, voice="coral"),
        lambda b: b.conversation_item_create("message", item=said("i")),
        lambda b: b.response_create(response={}, instructions="x"),
    ],
)
def test_an_object_is_given_whole_or_by_its_keys(build: Callable[[ClientEventBuilder], object]) -> None:
    with pytest.raises(TypeError, match="not both"):
        build(ClientEventBuilder())


def test_for_a_ga_server_the_beta_s_own_keys_are_refused() -> None:
    build = ClientEventBuilder(dialect="ga").session_update
    assert refusal(lambda: build(temperature=0.8)) == ("R-E5", "unknown_parameter", "session.temperature")
    assert ClientEventBuilder().session_update(temperature=0.8).session.temperature == 0.8


def test_nothing_is_judged_that_depends_on_the_session() -> None:
    builder = ClientEventBuilder()
    builder.conversation_item_delete("unknown")
    builder.conversation_item_create("function_call_output", call_id="c" * 60, output="")
    builder.conversation_item_create(item=said("b"), previous_item_id="unknown")
    builder.input_audio_buffer_commit()
    builder.input_audio_buffer_append(b"abc")  # three samples of G.711
    builder.output_audio_buffer_clear()
    builder.response_cancel()


def test_a_session_that_is_given_judges_by_what_it_knows() -> None:
    talk = Talk()
    builder = ClientEventBuilder(session=talk.client)
    assert refusal(lambda: builder.conversation_item_delete("i"))[0] == "R-C10"
    assert refusal(builder.input_audio_buffer_commit)[1] == "input_audio_buffer_commit_empty"
    talk.adds(said("i"))
    assert builder.conversation_item_delete("i").item_id == "i"


# -- what it builds is taken -------------------------------------------------------------------------------------------


def conversing(**config: Any) -> Talk:
    """A session of G.711 in which every command of a conversation is legal: it has heard an answer, owes a call its
    output, has audio in its buffer and a response in progress."""
    talk = Talk(dialect="beta", session={"audio": {"input": {"format": {"type": "audio/pcmu"}}}}, **config)
    talk.speaks("resp_1", "item_1", 1000)
    talk.stops_speaking("resp_1", "item_1", "Hello there.")
    talk.done("resp_1")
    talk.calls("resp_2", "call_1")
    talk.created("resp_3")
    if "transport" not in config:
        talk.client.append_audio(PCM, talk.now)
    return talk


WORDS = st.text(max_size=6)
ITEM_IDS = st.sampled_from(["item_1", "item_call_1"])
CONTENT = st.one_of(
    st.builds(lambda text: {"type": "input_text", "text": text}, WORDS),
    st.just({"type": "input_audio", "audio": "AAAA"}),
    st.builds(lambda text: m.InputText(text=text), WORDS),
)
SHARED: dict[str, Any] = {
    "instructions": WORDS | st.none(),
    "voice": st.sampled_from(["coral", {"id": "voice_1"}]),
    "modalities": st.sampled_from([["text"], ["audio", "text"], ["audio"]]),
    "output_audio_format": st.sampled_from(["pcm16", "g711_alaw", {"type": "audio/pcmu"}]),
    "tools": st.sampled_from([[], None, [{"type": "function", "name": "f", "parameters": {"a": [1, None]}}]]),
    "tool_choice": st.sampled_from(["auto", {"type": "function", "name": "f"}]),
    "temperature": st.floats(0.5, 1.3),
}
SESSION_KEYS = st.fixed_dictionaries(
    {},
    optional={
        **SHARED,
        "input_audio_format": st.sampled_from(["pcm16", "g711_ulaw"]),
        "turn_detection": st.sampled_from([None, {"type": "semantic_vad"}, {"type": "server_vad", "threshold": 2}]),
        "max_response_output_tokens": st.integers(-1, 5000) | st.just("inf"),
        "speed": st.floats(0.2, 1.6),
    },
)
RESPONSE_KEYS = st.fixed_dictionaries(
    {},
    optional={
        **SHARED,
        "conversation": st.sampled_from(["auto", "none", "other"]),
        "input": st.lists(st.sampled_from([said("x"), m.ItemReference(id="item_1"), call("call_7")]), max_size=2),
        "metadata": st.dictionaries(WORDS, WORDS, max_size=3),
        "max_output_tokens": st.integers(0, 5000),
    },
)
BUILDS = st.one_of(
    st.tuples(st.just("session_update"), SESSION_KEYS),
    st.tuples(st.just("response_create"), RESPONSE_KEYS),
    st.tuples(
        st.just("conversation_item_create"),
        st.fixed_dictionaries(
            {"item_type": st.just("message"), "role": st.sampled_from(["user", "system", "assistant"])},
            optional={"id": st.text("ab _", max_size=33), "content": st.lists(CONTENT, max_size=3)},
        ),
    ),
    st.tuples(
        st.just("conversation_item_create"),
        st.fixed_dictionaries(
            {"item_type": st.just("function_call_output"), "call_id": st.just("call_1"), "output": WORDS},
            optional={"previous_item_id": st.sampled_from(["root", "item_1", None])},
        ),
    ),
    st.tuples(
        st.just("conversation_item_truncate"),
        st.fixed_dictionaries(
            {"item_id": st.just("item_1"), "content_index": st.integers(-1, 0), "audio_end_ms": st.integers(-1, 1000)}
        ),
    ),
    st.tuples(
        st.sampled_from(["conversation_item_retrieve", "conversation_item_delete"]), st.builds(dict, item_id=ITEM_IDS)
    ),
    st.tuples(
        st.just("input_audio_buffer_append"),
        st.builds(dict, audio=st.binary(max_size=9).map(lambda pcm: pcm * 2) | st.sampled_from(["AAAA", "no!"])),
    ),
    st.tuples(
        st.sampled_from(["input_audio_buffer_commit", "input_audio_buffer_clear"]),
        st.fixed_dictionaries({}, optional={"event_id": st.text("e", min_size=1)}),
    ),
    st.tuples(st.just("response_cancel"), st.fixed_dictionaries({}, optional={"response_id": st.just("resp_3")})),
)


@given(BUILDS)
def test_what_is_built_is_written_read_back_and_taken_by_a_session(build: tuple[str, dict[str, Any]]) -> None:
    name, arguments = build
    try:
        event = getattr(ClientEventBuilder(), name)(**arguments)
    except LocalProtocolError:
        return
    assert client_decoder(64)(encode(event)) == event
    talk = conversing()
    actions = talk.say(event) + talk.done("resp_3")  # for which another response waits
    assert event.type in sent_types(actions)


def test_where_the_server_plays_a_session_takes_the_order_to_clear_its_buffer() -> None:
    event = ClientEventBuilder().output_audio_buffer_clear()
    assert client_decoder(64)(encode(event)) == event
    assert sent(conversing(transport="webrtc").say(event)) == [
        {"type": "output_audio_buffer.clear", "event_id": "evt_1"}
    ]


@pytest.mark.parametrize("name", ["session_input_audio_buffer_append", "session_close"])
def test_a_translation_takes_its_commands(name: str) -> None:
    builder = ClientEventBuilder()
    event = builder.session_close() if name == "session_close" else builder.session_input_audio_buffer_append(PCM)
    assert client_decoder(64)(encode(event)) == event
    talk = Talk(session={"type": "translation"}, session_type="translation")
    assert sent_types(talk.say(event)) == [event.type]
