"""`antiphon.engine.legality`: what a client can know to be refused before it is sent.

Every refusal names the rule, the code and the parameter that the server would name, changes nothing, and can be
overridden for one call.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import UNSET

from antiphon import Limits, LocalProtocolError
from antiphon import messages as m
from unit.engine_helpers import Talk, at, message, said, sent, sent_types, spoken


def refusal(talk: Talk, event: m.ClientEvent) -> tuple[str, str | None, str | None]:
    """Rule, code and parameter of a refusal that can be overridden: with its rule named, the event goes out."""
    error = talk.refused(event)
    assert error.overridable
    assert error.rule in str(error)
    assert talk.refused(event, override={"R-Z9"}).rule == error.rule
    assert sent_types(talk.restored().say(event, override={error.rule})) == [event.type]
    return error.rule, error.code, error.param


def accepted(talk: Talk, event: m.ClientEvent) -> bool:
    """Whether the event goes out as it is."""
    return sent_types(talk.say(event)) == [event.type]


def voiced(name: str) -> dict[str, Any]:
    return {"audio": {"output": {"voice": name}}}


def update(voice: str | m.VoiceReference | None = None) -> m.SessionUpdate:
    if voice is None:
        return m.SessionUpdate(session=m.RealtimeSession(instructions="Be brief."))
    return m.SessionUpdate(session=m.RealtimeSession(audio=m.AudioConfig(output=m.AudioOutput(voice=voice))))


# -- every command -----------------------------------------------------------------------------------------------------


def test_an_event_id_may_have_512_characters() -> None:
    talk = Talk()
    assert sent(talk.say(m.InputAudioBufferClear(event_id="e" * 512)))[0]["event_id"] == "e" * 512
    event = m.InputAudioBufferClear(event_id="e" * 513)
    assert refusal(talk, event) == ("R-E7", "string_above_max_length", "event_id")


def test_a_null_event_id_is_replaced() -> None:
    (event,) = sent(Talk().say(m.InputAudioBufferClear(event_id=None)))
    assert event["event_id"] == "event_1"


def test_of_several_broken_rules_the_first_that_is_not_overridden_is_named() -> None:
    talk = Talk()
    event = m.ConversationItemCreate(item=message("bad id").item, previous_item_id="nowhere")
    assert talk.refused(event).rule == "R-C11"
    assert talk.refused(event, override={"R-C11"}).rule == "R-C4"
    assert sent_types(talk.say(event, override={"R-C11", "R-C4"})) == ["conversation.item.create"]


# -- session.update ----------------------------------------------------------------------------------------------------


def test_the_kind_of_session_does_not_change() -> None:
    event = m.SessionUpdate(session=m.TranscriptionSession())
    assert refusal(Talk(), event) == ("R-S6", "invalid_parameter", "session.type")


def test_an_update_before_the_session_is_known_is_not_judged() -> None:
    talk = Talk(begun=False)
    talk.client.opened(0)
    assert accepted(talk, m.SessionUpdate(session=m.TranscriptionSession()))


def test_the_voice_is_locked_once_it_was_heard() -> None:
    talk = Talk(session=voiced("marin"))
    talk.speaks("r1", "i1", 100)
    assert refusal(talk, update("cedar")) == ("R-S5", "cannot_update_voice", "session.audio.output.voice")


@pytest.mark.parametrize(
    ("voice", "locked"),
    [
        ({"id": "voice_1"}, False),
        ({"id": "voice_2"}, True),
        ({"name": "voice_1", "type": "custom"}, False),
        ({}, False),
    ],
)
def test_a_voice_of_one_s_own_is_locked_too(voice: dict[str, str], locked: bool) -> None:
    talk = Talk(session={"audio": {"output": {"voice": {"id": "voice_1"}}}})
    talk.speaks("r1", "i1", 100)
    wanted = m.RealtimeSession(audio=m.AudioConfig(output=m.AudioOutput(voice=m.VoiceReference(**voice))))
    if locked:
        assert refusal(talk, m.SessionUpdate(session=wanted))[1] == "cannot_update_voice"
    else:
        assert accepted(talk, m.SessionUpdate(session=wanted))


def test_the_voice_may_change_while_it_was_not_heard() -> None:
    assert accepted(Talk(session=voiced("marin")), update("cedar"))


@pytest.mark.parametrize("voice", ["marin", None, m.VoiceReference()])
def test_an_update_with_the_same_voice_or_none_is_accepted_after_it_was_heard(voice: Any) -> None:
    talk = Talk(session=voiced("marin"))
    talk.speaks("r1", "i1", 100)
    assert accepted(talk, update(voice))


def test_text_locks_no_voice() -> None:
    talk = Talk(session=voiced("marin"))
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1", type="text")
    assert accepted(talk, update("cedar"))


def test_a_voice_out_of_band_locks_none() -> None:
    talk = Talk(session=voiced("marin"))
    talk.created("r1", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.part("r1", "i1")
    assert accepted(talk, update("cedar"))


def test_a_voice_that_the_server_never_named_is_not_compared() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    assert accepted(talk, update("cedar"))


# -- values of a session and of a response -----------------------------------------------------------------------------


def heard(**detection: Any) -> m.RealtimeSession:
    found = m.TurnDetection(**detection)
    return m.RealtimeSession(audio=m.AudioConfig(input=m.AudioInput(turn_detection=found)))


def spoken_at(speed: float) -> m.AudioConfig:
    return m.AudioConfig(output=m.AudioOutput(speed=speed))


DETECTION = "audio.input.turn_detection"


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        (m.RealtimeSession(max_output_tokens=0), "integer_below_min_value", "max_output_tokens"),
        (m.RealtimeSession(max_output_tokens=4097), "integer_above_max_value", "max_output_tokens"),
        (m.RealtimeSession(audio=spoken_at(0.2)), "decimal_below_min_value", "audio.output.speed"),
        (m.RealtimeSession(audio=spoken_at(1.6)), "decimal_above_max_value", "audio.output.speed"),
        (heard(idle_timeout_ms=4999), "integer_below_min_value", f"{DETECTION}.idle_timeout_ms"),
        (heard(idle_timeout_ms=30_001), "integer_above_max_value", f"{DETECTION}.idle_timeout_ms"),
        (heard(threshold=1.1), "decimal_above_max_value", f"{DETECTION}.threshold"),
        (heard(prefix_padding_ms=-1), "integer_below_min_value", f"{DETECTION}.prefix_padding_ms"),
    ],
)
def test_a_number_of_an_update_lies_in_its_range(session: m.RealtimeSession, code: str, param: str) -> None:
    assert refusal(Talk(), m.SessionUpdate(session=session)) == ("R-E7", code, f"session.{param}")


@pytest.mark.parametrize(
    "session",
    [
        m.RealtimeSession(max_output_tokens=1),
        m.RealtimeSession(max_output_tokens=4096),
        m.RealtimeSession(max_output_tokens="inf"),
        m.RealtimeSession(audio=spoken_at(0.25)),
        m.RealtimeSession(audio=spoken_at(1.5)),
        heard(type="server_vad", idle_timeout_ms=5000),
        heard(type="server_vad", idle_timeout_ms=30_000),
        heard(type="server_vad", idle_timeout_ms=None),
        heard(type="vendor_vad", idle_timeout_ms=6000, eagerness="low"),
        heard(threshold=0),
    ],
)
def test_the_ends_of_a_range_are_inside_and_what_is_not_known_is_not_judged(session: m.RealtimeSession) -> None:
    assert accepted(Talk(), m.SessionUpdate(session=session))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_refused_whatever_is_overridden(number: float) -> None:
    update = m.SessionUpdate(session=m.RealtimeSession(audio=spoken_at(number), instructions=None))
    error = Talk().refused(update, override={"R-E5", "R-E7"})
    assert (error.rule, error.code, error.param) == ("R-E5", "invalid_type", "session.audio.output.speed")
    assert not error.overridable


@pytest.mark.parametrize(
    ("detection", "key"),
    [({"type": "semantic_vad", "idle_timeout_ms": 6000}, "idle_timeout_ms"), ({"eagerness": "low"}, "eagerness")],
)
def test_a_key_of_another_turn_detection_is_unknown(detection: Any, key: str) -> None:
    talk = Talk(session={"audio": {"input": {"turn_detection": {"type": "server_vad"}}}})
    expected = ("R-E5", "unknown_parameter", f"session.{DETECTION}.{key}")
    assert refusal(talk, m.SessionUpdate(session=heard(**detection))) == expected


def test_without_a_word_about_turn_detection_none_of_its_keys_is_judged() -> None:
    assert accepted(Talk(), m.SessionUpdate(session=heard(eagerness="low")))


def test_audio_and_text_together_are_no_modalities() -> None:
    both = m.SessionUpdate(session=m.RealtimeSession(output_modalities=["audio", "text"]))
    assert refusal(Talk(), both) == ("R-E5", "invalid_value", "session.output_modalities")
    asked = m.ResponseCreate(response=m.ResponseCreateParams(output_modalities=["text", "audio"]))
    assert refusal(Talk(), asked) == ("R-E5", "invalid_value", "response.output_modalities")


@pytest.mark.parametrize("modalities", [["audio"], ["text"], None])
def test_one_modality_is_enough(modalities: Any) -> None:
    assert accepted(Talk(), m.SessionUpdate(session=m.RealtimeSession(output_modalities=modalities)))


def test_the_model_does_not_change() -> None:
    talk = Talk(session={"model": "gpt-realtime"})
    other = m.SessionUpdate(session=m.RealtimeSession(model="gpt-4o-realtime"))
    assert refusal(talk, other) == ("R-S10", "cannot_update_model", "session.model")


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2025-08-28"])
def test_the_same_model_may_be_named_in_full_and_in_short(model: str) -> None:
    for known in ("gpt-realtime", "gpt-realtime-2025-08-28"):
        talk = Talk(session={"model": known})
        assert accepted(talk, m.SessionUpdate(session=m.RealtimeSession(model=model)))


def test_tracing_does_not_change_once_it_is_set() -> None:
    talk = Talk(session={"tracing": "auto"})
    off = m.SessionUpdate(session=m.RealtimeSession(tracing=None))
    assert refusal(talk, off) == ("R-S10", "cannot_update_tracing", "session.tracing")
    assert accepted(talk, m.SessionUpdate(session=m.RealtimeSession(tracing="auto")))
    assert accepted(Talk(session={"tracing": None}), m.SessionUpdate(session=m.RealtimeSession(tracing="auto")))


@pytest.mark.parametrize("key", ["id", "object"])
def test_what_a_session_shows_of_itself_is_not_updated(key: str) -> None:
    session = m.RealtimeSession(**{key: "x"})
    expected = ("R-E5", "unknown_parameter", f"session.{key}")
    assert refusal(Talk(), m.SessionUpdate(session=session)) == expected


def test_temperature_is_unknown_in_this_dialect() -> None:
    update = m.SessionUpdate(session=m.RealtimeSession(temperature=0.8))
    assert refusal(Talk(), update) == ("R-E5", "unknown_parameter", "session.temperature")
    asked = m.ResponseCreate(response=m.ResponseCreateParams(temperature=0.8))
    assert refusal(Talk(), asked) == ("R-E5", "unknown_parameter", "response.temperature")


def test_temperature_has_its_range_where_it_is_known() -> None:
    for temperature, code in ((0.5, "decimal_below_min_value"), (1.3, "decimal_above_max_value")):
        talk = Talk(dialect="beta")
        event = m.SessionUpdate(session=m.RealtimeSession(temperature=temperature))
        assert refusal(talk, event) == ("R-E7", code, "session.temperature")
        assert refusal(talk, ask(temperature=temperature)) == ("R-E7", code, "response.temperature")
    assert accepted(Talk(dialect="beta"), m.SessionUpdate(session=m.RealtimeSession(temperature=0.6)))


def test_where_one_rule_is_overridden_the_others_still_hold() -> None:
    session = m.RealtimeSession(output_modalities=["audio", "text"], max_output_tokens=0)
    assert Talk().refused(m.SessionUpdate(session=session), override={"R-E5"}).rule == "R-E7"


# -- response.create ---------------------------------------------------------------------------------------------------


def ask(**params: Any) -> m.ResponseCreate:
    return m.ResponseCreate(response=m.ResponseCreateParams(**params))


@pytest.mark.parametrize("event", [m.ResponseCreate(), m.ResponseCancel(), m.OutputAudioBufferClear()])
@pytest.mark.parametrize("transport", ["websocket", "webrtc", "sideband"])
def test_a_transcription_session_has_no_responses(event: m.ClientEvent, transport: str) -> None:
    error = Talk(session={"type": "transcription"}, transport=transport).refused(event)
    assert (error.rule, error.code, error.param) == ("R-S9", "invalid_value", "type")


def test_nor_has_one_that_has_not_shown_itself() -> None:
    talk = Talk(begun=False, session_type="transcription")
    assert talk.refused(m.ResponseCreate()).rule == "R-S9"
    talk.client.opened(0)
    assert talk.refused(m.ResponseCreate()).rule == "R-S9"


def test_what_the_session_says_of_its_kind_counts_more_than_what_was_expected() -> None:
    assert accepted(Talk(session_type="transcription"), m.ResponseCreate())


def test_a_response_speaks_in_the_voice_that_was_heard() -> None:
    talk = Talk(session=voiced("marin"))
    talk.speaks("r1", "i1", 100)
    talk.done("r1")
    other, same = (m.AudioConfig(output=m.AudioOutput(voice=voice)) for voice in ("cedar", "marin"))
    expected = ("R-S5", "cannot_update_voice", "response.audio.output.voice")
    assert refusal(talk, ask(audio=other)) == expected
    assert accepted(talk, ask(audio=other, conversation="none"))
    assert accepted(talk, ask(audio=same))


def test_a_response_does_not_say_how_to_listen() -> None:
    event = ask(audio=m.AudioConfig(input=m.AudioInput()))
    assert refusal(Talk(), event) == ("R-E5", "unknown_parameter", "response.audio.input")


def test_a_response_belongs_to_the_conversation_or_to_none() -> None:
    assert refusal(Talk(), ask(conversation="other")) == ("R-E5", "invalid_value", "response.conversation")
    assert accepted(Talk(), ask(conversation="auto"))


@pytest.mark.parametrize("tokens", [0, 4097])
def test_a_number_of_a_response_lies_in_its_range(tokens: int) -> None:
    rule, _, param = refusal(Talk(), ask(max_output_tokens=tokens))
    assert (rule, param) == ("R-E7", "response.max_output_tokens")


@pytest.mark.parametrize(
    ("metadata", "code", "param"),
    [
        ({f"k{number}": "v" for number in range(17)}, "object_above_max_properties", "response.metadata"),
        ({"k" * 65: "v"}, "string_above_max_length", "response.metadata"),
        ({"k": "v" * 513}, "string_above_max_length", "response.metadata.k"),
        ({"k": 1}, "invalid_type", "response.metadata.k"),
    ],
)
def test_metadata_is_bounded(metadata: dict[str, str], code: str, param: str) -> None:
    assert refusal(Talk(), ask(metadata=metadata)) == ("R-E7", code, param)


def test_metadata_may_be_as_large_as_its_bounds() -> None:
    assert accepted(Talk(), ask(metadata={"k" * 63 + str(number): "v" * 512 for number in range(10)}))


def test_the_input_of_a_response_refers_to_items_of_the_conversation() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    assert accepted(talk, ask(conversation="none", input=[m.ItemReference(id="m1")]))
    unknown = ask(conversation="none", input=[m.ItemReference(id="m1"), m.ItemReference(id="m2")])
    assert refusal(talk, unknown) == ("R-C10", "invalid_value", "response.input[1].id")
    nameless = ask(conversation="none", input=[m.ItemReference()])
    assert refusal(talk, nameless) == ("R-E5", "missing_required_parameter", "response.input[0].id")


def test_the_input_of_a_response_is_held_to_the_rules_of_items() -> None:
    items = [m.MessageItem(role="assistant", content=[m.OutputAudio(audio="AAAA")])]
    expected = ("R-C13", "invalid_value", "response.input[0].content[0].type")
    assert refusal(Talk(), ask(conversation="none", input=items)) == expected
    output = m.FunctionCallOutputItem(call_id="c1", output="12")
    expected = ("R-C12", "invalid_tool_call_id", "response.input[0].call_id")
    assert refusal(Talk(), ask(conversation="none", input=[output])) == expected
    called = m.FunctionCallItem(name="f", call_id="c1", arguments="{}")
    assert accepted(Talk(), ask(conversation="none", input=[called, output]))


# -- input_audio_buffer ------------------------------------------------------------------------------------------------


def test_one_append_is_bounded() -> None:
    talk = Talk(limits=Limits(append_audio_bytes=6))
    assert accepted(talk, m.InputAudioBufferAppend(audio="AAAAAAAA"))
    too_long = m.InputAudioBufferAppend(audio="AAAAAAAAAAAAAAAA")
    assert refusal(talk, too_long) == ("R-I6", "string_above_max_length", "audio")


@pytest.mark.parametrize("audio", ["AAA", "no base64", "AAAA\n", "é", "AAAA"])
def test_appended_audio_is_base64_of_whole_samples(audio: str) -> None:
    assert refusal(Talk(), m.InputAudioBufferAppend(audio=audio)) == ("R-I6", "invalid_value", "audio")


def test_while_an_update_is_on_its_way_the_width_of_a_sample_is_not_known() -> None:
    talk = Talk()
    format = m.AudioInput(format=m.AudioFormat(type="audio/pcmu"))
    talk.say(m.SessionUpdate(session=m.RealtimeSession(audio=m.AudioConfig(input=format))))
    assert accepted(talk, m.InputAudioBufferAppend(audio="AAAA"))


def test_a_commit_under_voice_detection_is_the_application_s_own_affair() -> None:
    talk = Talk(session={"audio": {"input": {"turn_detection": {"type": "server_vad"}}}})
    talk.client.append_audio(bytes(4800), 0)
    talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    assert accepted(talk, m.InputAudioBufferCommit())


def test_a_commit_needs_100_ms() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4798), 0)
    assert refusal(talk, m.InputAudioBufferCommit()) == ("R-I3", "input_audio_buffer_commit_empty", None)
    talk.client.append_audio(bytes(2), 0)
    assert accepted(talk, m.InputAudioBufferCommit())


def test_a_second_commit_needs_audio_of_its_own() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    talk.say(m.InputAudioBufferCommit())
    assert refusal(talk, m.InputAudioBufferCommit())[0] == "R-I3"


def test_a_clear_takes_the_audio_that_a_commit_would_need() -> None:
    talk = Talk()
    talk.client.append_audio(bytes(4800), 0)
    talk.say(m.InputAudioBufferClear())
    assert refusal(talk, m.InputAudioBufferCommit())[0] == "R-I3"


# -- output_audio_buffer -----------------------------------------------------------------------------------------------


def test_over_a_websocket_there_is_no_output_buffer_to_clear() -> None:
    assert refusal(Talk(), m.OutputAudioBufferClear()) == ("R-O2", None, None)


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_where_the_server_plays_its_buffer_can_be_cleared(transport: str) -> None:
    assert accepted(Talk(transport=transport), m.OutputAudioBufferClear())


# -- conversation.item.create ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item_id", "code"),
    [
        ("i" * 33, "string_above_max_length"),
        ("bad id", "invalid_value"),
        ("é", "invalid_value"),
        ("", "invalid_value"),
        ("tail\n", "invalid_value"),
    ],
)
def test_an_id_is_of_32_plain_characters(item_id: str, code: str) -> None:
    item = m.MessageItem(id=item_id, role="user", content=[m.InputText(text="hello")])
    assert refusal(Talk(), m.ConversationItemCreate(item=item)) == ("R-C11", code, "item.id")


def test_an_id_of_32_plain_characters_is_accepted() -> None:
    assert accepted(Talk(), message("Az09_-" + "i" * 26))


def test_a_call_id_is_held_to_the_same() -> None:
    item = m.FunctionCallItem(name="f", call_id="c" * 33, arguments="{}")
    expected = ("R-C11", "string_above_max_length", "item.call_id")
    assert refusal(Talk(), m.ConversationItemCreate(item=item)) == expected


def test_a_predecessor_is_an_item_of_the_conversation() -> None:
    event = m.ConversationItemCreate(item=message("m2").item, previous_item_id="m1")
    assert refusal(Talk(), event) == ("R-C4", "item_create_invalid_previous_item_id", "previous_item_id")


@pytest.mark.parametrize("previous", ["root", "", None])
def test_the_front_and_no_place_at_all_need_no_predecessor(previous: str | None) -> None:
    assert accepted(Talk(), m.ConversationItemCreate(item=message("m2").item, previous_item_id=previous))


def test_a_predecessor_may_be_an_item_that_was_asked_for_but_not_answered() -> None:
    talk = Talk()
    talk.say(message("m1"))
    assert accepted(talk, m.ConversationItemCreate(item=message("m2").item, previous_item_id="m1"))


def test_an_output_names_a_call_of_the_conversation() -> None:
    item = m.FunctionCallOutputItem(call_id="c1", output="12")
    expected = ("R-C12", "invalid_tool_call_id", "item.call_id")
    assert refusal(Talk(), m.ConversationItemCreate(item=item)) == expected
    talk = Talk()
    talk.calls("r1", "c1")
    assert accepted(talk, m.ConversationItemCreate(item=item))


def test_an_output_names_no_call_that_was_deleted() -> None:
    talk = Talk()
    talk.calls("r1", "c1")
    talk.say(m.ConversationItemDelete(item_id="item_c1"))
    talk.hear("conversation.item.deleted", item_id="item_c1")
    output = m.FunctionCallOutputItem(call_id="c1", output="12")
    assert refusal(talk, m.ConversationItemCreate(item=output))[0] == "R-C12"


def test_an_output_may_directly_follow_a_call_that_we_put_there() -> None:
    talk = Talk()
    talk.say(m.ConversationItemCreate(item=m.FunctionCallItem(name="f", call_id="c1", arguments="{}")))
    assert accepted(talk, m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c1", output="12")))


@pytest.mark.parametrize(
    ("role", "content"),
    [
        ("user", m.OutputText(text="x")),
        ("user", m.OutputAudio(audio="AAAA")),
        ("system", m.InputAudio(audio="AAAA")),
        ("system", m.OutputText(text="x")),
        ("assistant", m.InputText(text="x")),
        ("assistant", m.OutputAudio(audio="AAAA")),
    ],
)
def test_content_fits_its_role(role: str, content: Any) -> None:
    item = m.MessageItem(role=role, content=[content])
    assert refusal(Talk(), m.ConversationItemCreate(item=item)) == ("R-C13", "invalid_value", "item.content[0].type")


def test_the_part_that_does_not_fit_is_named() -> None:
    item = m.MessageItem(role="user", content=[m.InputText(text="x"), m.OutputText(text="y")])
    assert Talk().refused(m.ConversationItemCreate(item=item)).param == "item.content[1].type"


def test_who_wants_to_seed_spoken_words_is_told_how() -> None:
    item = m.MessageItem(role="assistant", content=[m.OutputAudio(audio="AAAA")])
    assert "output_text" in str(Talk().refused(m.ConversationItemCreate(item=item)))


@pytest.mark.parametrize(
    ("role", "content"),
    [
        ("user", m.InputText(text="x")),
        ("user", m.InputAudio(audio="AAAA")),
        ("user", m.InputImage(image_url="data:,")),
        ("user", m.UnknownContent(type="x_video", data={"type": "x_video"})),
        ("system", m.InputText(text="x")),
        ("assistant", m.OutputText(text="x")),
        ("narrator", m.OutputText(text="x")),
    ],
)
def test_what_fits_or_is_not_known_goes_out(role: str, content: Any) -> None:
    assert accepted(Talk(), m.ConversationItemCreate(item=m.MessageItem(role=role, content=[content])))


def test_a_reference_is_no_item_of_a_conversation() -> None:
    event = m.ConversationItemCreate(item=m.ItemReference(id="m1"))
    assert refusal(Talk(), event) == ("R-C13", "invalid_value", "item.type")


def test_audio_of_an_item_is_base64() -> None:
    item = m.MessageItem(role="user", content=[m.InputAudio(audio="no base64")])
    expected = ("R-I6", "invalid_value", "item.content[0].audio")
    assert refusal(Talk(), m.ConversationItemCreate(item=item)) == expected


def test_an_item_of_a_type_that_is_not_known_is_not_judged() -> None:
    item = m.UnknownItem(type="x_note", id="n1", data={"type": "x_note", "id": "n1"})
    assert accepted(Talk(), m.ConversationItemCreate(item=item))


# -- conversation.item.delete, .retrieve -------------------------------------------------------------------------------


def test_what_is_deleted_exists() -> None:
    expected = ("R-C10", "item_delete_invalid_item_id", "item_id")
    assert refusal(Talk(), m.ConversationItemDelete(item_id="m1")) == expected


def test_what_is_retrieved_exists() -> None:
    expected = ("R-C10", "item_retrieve_invalid_item_id", "item_id")
    assert refusal(Talk(), m.ConversationItemRetrieve(item_id="m1")) == expected


@pytest.mark.parametrize("event", [m.ConversationItemDelete(item_id="m1"), m.ConversationItemRetrieve(item_id="m1")])
def test_members_are_deleted_and_retrieved(event: m.ClientEvent) -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    assert accepted(talk, event)


def test_an_item_is_not_deleted_twice() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    talk.say(m.ConversationItemDelete(item_id="m1"))
    assert refusal(talk, m.ConversationItemDelete(item_id="m1"))[0] == "R-C10"


def test_an_item_that_was_deleted_and_made_anew_exists() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    talk.say(m.ConversationItemDelete(item_id="m1"))
    talk.say(message("m1"))
    assert accepted(talk, m.ConversationItemDelete(item_id="m1"))


def test_output_that_is_no_member_yet_exists_but_output_out_of_band_does_not() -> None:
    talk = Talk()
    talk.created("r1")
    talk.hear("response.output_item.added", response_id="r1", output_index=0, item=spoken("i1"))
    talk.created("r2", conversation_id=None)
    talk.hear("response.output_item.added", response_id="r2", output_index=0, item=spoken("i2"))
    assert accepted(talk, m.ConversationItemRetrieve(item_id="i1"))
    assert refusal(talk, m.ConversationItemRetrieve(item_id="i2"))[0] == "R-C10"


def test_before_a_socket_what_waits_counts_as_done() -> None:
    talk = Talk(begun=False)
    talk.say(message("m1"))
    talk.say(m.ConversationItemRetrieve(item_id="m1"))
    talk.say(m.ConversationItemDelete(item_id="m1"))
    assert talk.refused(m.ConversationItemRetrieve(item_id="m1")).rule == "R-C10"
    talk.say(m.ConversationItemCreate(item=m.FunctionCallItem(name="f", call_id="c1", arguments="{}")))
    talk.outputs("c1")
    output = m.FunctionCallOutputItem(call_id="c2", output="")
    assert talk.refused(m.ConversationItemCreate(item=output)).rule == "R-C12"


def _call(id: Any = "i_c1") -> m.ConversationItemCreate:
    return m.ConversationItemCreate(item=m.FunctionCallItem(id=id, name="f", call_id="c1", arguments="{}"))


_OUTPUT = m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c1", output="12"))


@pytest.mark.parametrize("begun", [False, True], ids=["that waits", "that is unanswered"])
def test_an_output_does_not_answer_a_call_that_is_about_to_be_deleted(begun: bool) -> None:
    """R-C12"""
    talk = Talk(begun=begun)
    talk.say(_call())
    talk.say(_OUTPUT)
    talk.say(m.ConversationItemDelete(item_id="i_c1"))
    assert talk.refused(_OUTPUT).code == "invalid_tool_call_id"
    talk.say(_call())
    talk.say(_OUTPUT)


def test_an_output_answers_a_call_whose_item_the_server_names() -> None:
    talk = Talk()
    talk.say(_call(id=UNSET))
    talk.say(_OUTPUT)


# -- conversation.item.truncate ----------------------------------------------------------------------------------------


def truncate(item_id: str = "i1", ms: Any = 50, content_index: int = 0) -> m.ConversationItemTruncate:
    return m.ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=ms)


def test_what_is_truncated_exists() -> None:
    assert refusal(Talk(), truncate()) == ("R-C5", "item_truncate_invalid_item_id", "item_id")


def test_a_truncation_is_an_integer_of_milliseconds() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    for ms in (49.5, True):
        assert refusal(talk, truncate(ms=ms)) == ("R-C5", "invalid_type", "audio_end_ms")


def test_a_truncation_that_is_none_may_be_sent_and_stored_all_the_same() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    assert sent(talk.say(truncate(ms=49.5), override={"R-C5"}))[0]["audio_end_ms"] == 49.5
    talk.restored()


def test_a_truncation_is_not_negative() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    assert refusal(talk, truncate(ms=-1)) == ("R-C5", "integer_below_min_value", "audio_end_ms")


def test_the_index_of_a_part_is_not_negative() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    assert refusal(talk, truncate(content_index=-1)) == ("R-C5", "integer_below_min_value", "content_index")


def test_a_truncation_is_not_beyond_what_was_received() -> None:
    talk = Talk()
    talk.speaks("r1", "i1", 100)
    assert refusal(talk, truncate(ms=101)) == ("R-C5", "invalid_value", "audio_end_ms")
    assert accepted(talk, truncate(ms=100))


def test_only_what_the_model_spoke_is_truncated() -> None:
    talk = Talk()
    talk.adds(said("m1", role="system"))
    talk.calls("r1", "c1")
    assert refusal(talk, truncate("m1")) == ("R-C5", "unsupported_content_type", "item_id")
    assert refusal(talk, truncate("item_c1")) == ("R-C5", "unsupported_content_type", "item_id")


def test_a_part_without_audio_is_not_truncated() -> None:
    talk = Talk()
    talk.created("r1")
    talk.generates("r1", spoken("i1"))
    talk.part("r1", "i1")
    assert refusal(talk, truncate()) == ("R-C5", "unsupported_content_type", "content_index")
    talk.hear("response.output_audio.delta", delta="AA==", **at("r1", "i1"))
    assert refusal(talk, truncate(ms=0)) == ("R-C5", "unsupported_content_type", "content_index")


@pytest.mark.parametrize("config", [{"transport": "webrtc"}, {"decode_audio": False}])
def test_where_no_audio_passes_its_length_is_not_judged(config: dict[str, Any]) -> None:
    talk = Talk(**config)
    talk.speaks("r1", "i1", 100)
    assert accepted(talk, truncate(ms=5000))


def test_an_item_that_is_no_member_yet_is_not_judged() -> None:
    talk = Talk()
    talk.say(message("m1"))
    assert accepted(talk, truncate("m1"))


# -- response.cancel ---------------------------------------------------------------------------------------------------


def test_a_cancel_needs_something_to_cancel() -> None:
    assert refusal(Talk(), m.ResponseCancel()) == ("R-Q7", "response_cancel_not_active", None)


def test_the_response_in_progress_is_cancelled_with_and_without_its_id() -> None:
    talk = Talk()
    talk.created("r1")
    assert accepted(talk.restored(), m.ResponseCancel())
    assert accepted(talk.restored(), m.ResponseCancel(response_id="r1"))


def test_a_request_on_its_way_can_be_cancelled() -> None:
    talk = Talk()
    talk.ask("a")
    assert accepted(talk, m.ResponseCancel())


def test_a_response_that_is_over_or_unknown_cannot_be_cancelled() -> None:
    talk = Talk()
    talk.created("r1")
    talk.done("r1")
    for response_id in ("r1", "r2"):
        assert refusal(talk, m.ResponseCancel(response_id=response_id))[0] == "R-Q7"


def test_a_response_out_of_band_is_cancelled_by_its_id_only() -> None:
    talk = Talk()
    talk.created("r1", conversation_id=None)
    assert refusal(talk, m.ResponseCancel())[0] == "R-Q7"
    assert accepted(talk, m.ResponseCancel(response_id="r1"))


def test_a_response_that_the_server_spoke_of_can_be_cancelled_before_it_is_announced() -> None:
    talk = Talk()
    talk.ask("a")
    talk.error("conversation_already_has_active_response", "a")
    assert accepted(talk, m.ResponseCancel())


def test_a_request_out_of_band_that_has_no_id_yet_cannot_be_cancelled() -> None:
    talk = Talk()
    talk.ask("a", conversation="none")
    assert refusal(talk, m.ResponseCancel())[0] == "R-Q7"


# -- a client that was not there from the beginning --------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        m.ConversationItemDelete(item_id="m1"),
        m.ConversationItemRetrieve(item_id="m1"),
        m.ConversationItemTruncate(item_id="m1", content_index=0, audio_end_ms=10),
        m.ConversationItemCreate(item=message("m2").item, previous_item_id="m1"),
        m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c1", output="12")),
        m.ResponseCancel(),
        m.ResponseCancel(response_id="r1"),
        ask(conversation="none", input=[m.ItemReference(id="m1")]),
    ],
)
def test_on_a_sideband_nothing_is_judged_that_others_may_have_made(event: m.ClientEvent) -> None:
    assert accepted(Talk(transport="sideband"), event)


def test_on_a_sideband_what_is_deleted_is_not_named_again() -> None:
    talk = Talk(transport="sideband")
    talk.adds(said("a"))
    delete = m.ConversationItemDelete(item_id="a")
    assert accepted(talk, delete)
    assert talk.refused(delete).code == "item_delete_invalid_item_id"
    talk.hear("conversation.item.deleted", item_id="a")
    assert talk.client.unanswered == ()
    assert talk.refused(delete).code == "item_delete_invalid_item_id"


def test_on_a_sideband_a_delete_that_waits_for_its_socket_is_enough() -> None:
    talk = Talk(begun=False, transport="sideband")
    delete = m.ConversationItemDelete(item_id="theirs")
    talk.say(delete)
    assert talk.refused(delete).code == "item_delete_invalid_item_id"


def test_on_a_sideband_a_call_may_have_the_long_id_that_the_server_gave_it() -> None:
    output = m.FunctionCallOutputItem(call_id="call-" + "9" * 36, output="12")
    assert accepted(Talk(transport="sideband"), m.ConversationItemCreate(item=output))


def test_on_a_sideband_the_id_of_a_call_of_ours_is_judged() -> None:
    made = m.FunctionCallItem(call_id="c" * 33, name="f", arguments="{}")
    talk = Talk(transport="sideband")
    assert refusal(talk, m.ConversationItemCreate(item=made)) == (
        "R-C11",
        "string_above_max_length",
        "item.call_id",
    )


def test_a_sideband_that_was_not_told_the_format_counts_no_samples() -> None:
    talk = Talk(transport="sideband", begun=False)
    talk.client.opened(0)
    assert accepted(talk, m.InputAudioBufferAppend(audio="AAAA"))
    talk.hear("session.created", session={"type": "realtime"})
    assert refusal(talk, m.InputAudioBufferAppend(audio="AAAA"))[2] == "audio"


# -- the error itself --------------------------------------------------------------------------------------------------


def test_a_refusal_says_how_to_override_it() -> None:
    with pytest.raises(LocalProtocolError, match=r"override=\{'R-Q7'\}"):
        Talk().say(m.ResponseCancel())


@pytest.mark.parametrize("transport", ["webrtc", "sideband"])
def test_where_the_microphone_goes_another_way_nobody_counts_what_a_commit_takes(transport: str) -> None:
    talk = Talk(transport=transport)
    assert sent_types(talk.say(m.InputAudioBufferCommit())) == ["input_audio_buffer.commit"]
