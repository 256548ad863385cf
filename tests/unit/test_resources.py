"""Commands by name: what each puts on the wire, and what is refused before it gets there."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from antiphon import messages as m
from antiphon.engine.codec import encode
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.resources import Resources, command_of


def wire(event: m.ClientEvent) -> dict[str, object]:
    """Bound in place of an adapter: what the event is in JSON."""
    document: dict[str, object] = json.loads(encode(event))
    return document


COMMANDS = Resources(wire, wire)

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


@pytest.mark.parametrize(
    ("command", "document"),
    [
        (
            lambda c: c.session.update(session={"type": "realtime", "instructions": None}),
            {"type": "session.update", "session": {"type": "realtime", "instructions": None}},
        ),
        (
            lambda c: c.session.update(session={"type": "transcription"}, event_id="e"),
            {"type": "session.update", "session": {"type": "transcription"}, "event_id": "e"},
        ),
        (
            lambda c: c.session.update(session=m.RealtimeSession(instructions="x")),
            {"type": "session.update", "session": {"type": "realtime", "instructions": "x"}},
        ),
        (lambda c: c.conversation.item.create(item=ITEM), {"type": "conversation.item.create", "item": ITEM}),
        (
            lambda c: c.conversation.item.create(item=ITEM, previous_item_id=None, event_id="e"),
            {"type": "conversation.item.create", "item": ITEM, "previous_item_id": None, "event_id": "e"},
        ),
        (
            lambda c: c.conversation.item.create(
                item=m.FunctionCallOutputItem(call_id="call_1", output="{}"), previous_item_id="root"
            ),
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "call_1", "output": "{}"},
                "previous_item_id": "root",
            },
        ),
        (
            lambda c: c.conversation.item.retrieve(item_id="i", event_id="e"),
            {"type": "conversation.item.retrieve", "item_id": "i", "event_id": "e"},
        ),
        (
            lambda c: c.conversation.item.truncate(item_id="i", content_index=0, audio_end_ms=120),
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 120},
        ),
        (
            lambda c: c.conversation.item.delete(item_id="i"),
            {"type": "conversation.item.delete", "item_id": "i"},
        ),
        (
            lambda c: c.input_audio_buffer.append(audio=b"\x00\x01\x02"),
            {"type": "input_audio_buffer.append", "audio": "AAEC"},
        ),
        (
            lambda c: c.input_audio_buffer.append(audio=memoryview(b"\x00\x01\x02"), event_id="e"),
            {"type": "input_audio_buffer.append", "audio": "AAEC", "event_id": "e"},
        ),
        (
            lambda c: c.input_audio_buffer.append(audio="AAEC"),
            {"type": "input_audio_buffer.append", "audio": "AAEC"},
        ),
        (lambda c: c.input_audio_buffer.commit(), {"type": "input_audio_buffer.commit"}),
        (lambda c: c.input_audio_buffer.clear(event_id="e"), {"type": "input_audio_buffer.clear", "event_id": "e"}),
        (lambda c: c.output_audio_buffer.clear(), {"type": "output_audio_buffer.clear"}),
        (lambda c: c.response.create(), {"type": "response.create"}),
        (lambda c: c.response.create(response=None), {"type": "response.create", "response": None}),
        (
            lambda c: c.response.create(
                response={"conversation": "none", "metadata": {"a": "b"}, "input": [m.ItemReference(id="i")]},
                event_id="e",
            ),
            {
                "type": "response.create",
                "event_id": "e",
                "response": {
                    "conversation": "none",
                    "metadata": {"a": "b"},
                    "input": [{"type": "item_reference", "id": "i"}],
                },
            },
        ),
        (
            lambda c: c.response.create(response=m.ResponseCreateParams(max_output_tokens="inf")),
            {"type": "response.create", "response": {"max_output_tokens": "inf"}},
        ),
        (lambda c: c.response.cancel(), {"type": "response.cancel"}),
        (
            lambda c: c.response.cancel(response_id="r", event_id="e"),
            {"type": "response.cancel", "response_id": "r", "event_id": "e"},
        ),
    ],
)
def test_a_command_is_its_event(
    command: Callable[[Resources[dict[str, object], dict[str, object]]], dict[str, object]], document: dict[str, object]
) -> None:
    assert command(COMMANDS) == document


def test_a_session_without_a_type_is_a_realtime_session() -> None:
    update = COMMANDS.session.update(session={"instructions": "be brief"})
    assert update["session"] == {"type": "realtime", "instructions": "be brief"}


def test_a_session_in_the_beta_s_notation_is_put_into_ga_s() -> None:
    update = COMMANDS.session.update(session={"voice": "alloy", "modalities": ["text", "audio"]})
    audio = {"output": {"voice": "alloy"}}
    assert update["session"] == {"type": "realtime", "output_modalities": ["audio"], "audio": audio}


def test_the_dict_of_the_caller_is_left_alone() -> None:
    session = {"voice": "alloy"}
    COMMANDS.session.update(session=session)
    assert session == {"voice": "alloy"}


def test_a_schema_inside_a_dict_is_kept_whole() -> None:
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}}
    ]
    update = COMMANDS.session.update(session={"type": "realtime", "tools": tools})
    assert update["session"] == {"type": "realtime", "tools": tools}


def test_an_item_or_a_tool_that_only_its_vendor_knows_is_kept_as_it_is() -> None:
    item = {"type": "vendor_note", "id": "n", "colour": 3}
    assert COMMANDS.conversation.item.create(item=item)["item"] == item
    tools = [{"type": "web_search", "depth": 2}]
    assert COMMANDS.session.update(session={"tools": tools})["session"] == {"type": "realtime", "tools": tools}


@pytest.mark.parametrize(
    ("command", "code", "param"),
    [
        (
            lambda: COMMANDS.response.create(response={"output_modalities": "text"}),
            "invalid_type",
            "response.output_modalities",
        ),
        (
            lambda: COMMANDS.conversation.item.create(item={"role": "user"}),
            "missing_required_parameter",
            "item.type",
        ),
        (lambda: COMMANDS.session.update(session={"type": "sung"}), "invalid_value", "session.type"),
        (
            lambda: COMMANDS.session.update(session={"type": "realtime", "instrutcions": "x"}),
            "unknown_parameter",
            "session.instrutcions",
        ),
        (
            lambda: COMMANDS.conversation.item.create(
                item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x", "lang": "de"}]}
            ),
            "unknown_parameter",
            "item.content[0].lang",
        ),
    ],
)
def test_a_dict_that_does_not_fit_is_refused_with_the_server_s_code(
    command: Callable[[], object], code: str, param: str
) -> None:
    with pytest.raises(LocalProtocolError, match=r"R-E5") as caught:
        command()
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("session", "flat", "nested"),
    [
        ({"voice": "y", "audio": {"output": {"voice": "x"}}}, "voice", "audio.output.voice"),
        ({"turn_detection": None, "audio": {"input": {"turn_detection": None}}}, "turn_detection", "audio.input"),
        ({"voice": "y", "audio": None}, "voice", "audio.output.voice"),
        ({"voice": "y", "audio": {"output": None}}, "voice", "audio.output.voice"),
        ({"voice": "y", "audio": m.AudioConfig(input=m.AudioInput())}, "voice", "audio.output.voice"),
        ({"modalities": ["text"], "output_modalities": ["audio"]}, "modalities", "output_modalities"),
        ({"max_response_output_tokens": 3, "max_output_tokens": 5}, "max_response_output_tokens", "max_output_tokens"),
    ],
)
def test_a_thing_that_is_said_in_both_notations_is_refused(session: dict[str, object], flat: str, nested: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"write it as session.{nested}") as caught:
        COMMANDS.session.update(session=session)
    assert (caught.value.rule, caught.value.code, caught.value.param) == (
        "R-E5",
        "unknown_parameter",
        f"session.{flat}",
    )


def test_notations_may_be_mixed_where_each_thing_is_said_once() -> None:
    update = COMMANDS.session.update(
        session={"voice": "y", "audio": {"output": {"speed": 1.2}}, "modalities": ["text"]}
    )
    audio = {"output": {"voice": "y", "speed": 1.2}}
    assert update["session"] == {"type": "realtime", "output_modalities": ["text"], "audio": audio}


ENDLESS: dict[str, object] = {}
ENDLESS["properties"] = ENDLESS


@pytest.mark.parametrize("parameters", [ENDLESS, {"default": object()}], ids=["endless", "object"])
def test_what_json_cannot_say_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError, match="R-E5"):
        COMMANDS.session.update(session={"tools": [{"type": "function", "name": "f", "parameters": parameters}]})


def frames_left() -> int:
    try:
        return 1 + frames_left()
    except RecursionError:
        return 1


def test_a_caller_who_has_used_up_the_stack_is_refused() -> None:
    def descend(levels: int) -> object:
        return descend(levels - 1) if levels else COMMANDS.conversation.item.create(item={"type": "hologram"})

    def complaint(frames: int) -> str:
        try:
            descend(frames_left() - frames)
        except LocalProtocolError as error:
            return f"{error.rule}: {error.message}"
        except RecursionError:
            return "no room for the call itself"
        return ""

    complaints = {complaint(frames) for frames in range(60)}
    assert complaints == {"R-E5: conversation.item.create: nested too deeply [R-E5]", "no room for the call itself", ""}


def test_a_refusal_repeats_no_value() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        COMMANDS.session.update(session={"type": "realtime", "api_key": "sk-secret"})
    assert "sk-secret" not in str(caught.value)


def test_a_response_is_asked_for_through_its_own_function() -> None:
    resources = Resources(lambda event: "sent", lambda event: ("handle", event.event_id))
    assert resources.response.create(event_id="e") == ("handle", "e")
    assert resources.response.cancel() == "sent"


class TestShortWayForAudio:
    def bound(self) -> Resources[str, str]:
        return Resources(
            lambda event: f"event {event.type}", lambda event: "", append_audio=lambda pcm: f"audio {len(pcm)}"
        )

    def test_bytes_take_it(self) -> None:
        assert self.bound().input_audio_buffer.append(audio=b"1234") == "audio 4"

    @pytest.mark.parametrize("arguments", [{"audio": "AAEC"}, {"audio": b"1234", "event_id": "e"}])
    def test_what_it_cannot_say_does_not(self, arguments: dict[str, str]) -> None:
        append = self.bound().input_audio_buffer.append
        assert append(**arguments) == "event input_audio_buffer.append"


def test_whatever_the_adapter_returns_passes_through() -> None:
    sent: list[m.ClientEvent] = []
    resources: Resources[None, None] = Resources(sent.append, sent.append)
    resources.input_audio_buffer.commit()
    resources.response.create()
    assert sent == [m.InputAudioBufferCommit(), m.ResponseCreate()]


# -- a command as a dict -----------------------------------------------------------------------------------------------


def test_a_command_may_be_a_dict_as_the_reference_shows_it() -> None:
    for given in (
        {"type": "input_audio_buffer.commit", "event_id": "e"},
        {"type": "conversation.item.create", "previous_item_id": "root", "item": ITEM},
        {"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"voice": "marin"}}}},
    ):
        assert wire(command_of(given)) == given


def test_it_may_be_in_the_beta_s_notation() -> None:
    command = command_of({"type": "response.create", "response": {"modalities": ["text"]}})
    assert wire(command) == {"type": "response.create", "response": {"output_modalities": ["text"]}}


def test_a_dict_that_no_class_describes_goes_out_as_it_is() -> None:
    given = {"type": "session.avatar.connect", "client_sdp": "v=0"}
    command = command_of(given)
    assert isinstance(command, m.UnknownEvent)
    assert command.data == given


@pytest.mark.parametrize(
    ("given", "rule", "code"),
    [
        ({}, "R-E1", "invalid_event"),
        ({"type": 5}, "R-E1", "invalid_event"),
        ({"type": "session.created", "session": {}}, "R-E6", None),
        ({"type": "conversation.item.delete"}, "R-E5", "missing_required_parameter"),
        ({"type": "response.cancel", "responseId": "r"}, "R-E5", "unknown_parameter"),
        ({"type": "response.create", "response": {"voice": "a", "audio": None}}, "R-E5", "unknown_parameter"),
    ],
)
def test_a_dict_that_is_no_command_is_refused(given: dict[str, object], rule: str, code: str | None) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        command_of(given)
    assert (caught.value.rule, caught.value.code) == (rule, code)
