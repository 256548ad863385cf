"""Every input of an engine can be written as JSON and read again."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from antiphon import ArgumentsDelta, AudioDelta, Fault, Role, TextDelta, TranscriptDelta, TranslatedAudio, inputs
from antiphon import messages as m
from antiphon.toolkit.input_rows import FROM_ROW, InputRowError, dump, event_of, load

CREATE = m.ResponseCreate(event_id="e1")
CREATED = m.SessionCreated(event_id="e2", session=m.RealtimeSession())

EXAMPLES: list[tuple[Role, inputs.Input]] = [
    (Role.CLIENT, inputs.Start()),
    (Role.CLIENT, inputs.Opened(17, (("Host", "x"),))),
    (Role.CLIENT, inputs.Opened()),
    (Role.CLIENT, inputs.EofReceived(1006, "gone")),
    (Role.CLIENT, inputs.TransportFailed(Fault("dial", "no route", "R-L3", status=5, code="c"))),
    (Role.CLIENT, inputs.Close(1001, "bye")),
    (Role.CLIENT, inputs.Tick()),
    (Role.CLIENT, inputs.MessageReceived("[1]")),
    (Role.CLIENT, inputs.MessageReceived("half a pair: \ud800")),
    (Role.CLIENT, inputs.MessageReceived(b"\xff\xfe")),
    (Role.CLIENT, inputs.EventReceived(CREATED)),
    (Role.SERVER, inputs.EventReceived(CREATE)),
    (Role.CLIENT, inputs.DataReceived(b"")),
    (Role.SERVER, inputs.Accept("realtime", (("Server", "x"),))),
    (Role.SERVER, inputs.Accept()),
    (Role.SERVER, inputs.Reject(503, (("Date", "x"),), b'{"error":{"code":"busy"}}')),
    (Role.CLIENT, inputs.Send(CREATE, ("R-A1", "R-B2"))),
    (Role.CLIENT, inputs.Send(m.UnknownEvent.of({"type": "x.y", "n": [1, {"z": None}]}))),
    (Role.SERVER, inputs.Send(CREATED)),
    (Role.CLIENT, inputs.AppendAudio(bytes(range(7)))),
    (Role.CLIENT, inputs.AudioPlayed("item", 0, 480)),
    (Role.CLIENT, inputs.AudioStopped("item", 1, 0)),
    (Role.CLIENT, inputs.Interrupt()),
    (Role.SERVER, inputs.Generate(AudioDelta(response_id="r", output_index=0, audio=b"\x00\x01"))),
    (Role.SERVER, inputs.Generate(TextDelta(response_id="r", output_index=0, delta="é"))),
    (Role.SERVER, inputs.Generate(ArgumentsDelta(response_id="r", output_index=0, delta="{}"))),
    (Role.SERVER, inputs.SpeechStarted(7)),
    (Role.SERVER, inputs.SpeechStopped(9)),
    (Role.SERVER, inputs.Transcribed("item", 0, TranscriptDelta("a"))),
]


def through_json(data: dict[str, object]) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(data))
    return read


@pytest.mark.parametrize(("role", "input"), EXAMPLES, ids=[type(input).__name__ for _, input in EXAMPLES])
def test_an_input_is_read_as_it_was_written(role: Role, input: inputs.Input) -> None:
    data, exact = dump(input, role, ())
    assert exact
    assert load(through_json(data), role, ()) == input


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(input) for _, input in EXAMPLES} == set(get_args(inputs.Input))


class TestWhatStandsBesideIt:
    def test_an_event_is_not_written_twice(self) -> None:
        text = msgspec.json.encode(CREATE)
        data, _ = dump(inputs.Send(CREATE), Role.CLIENT, [text])
        assert data == {"in": "send", "event": FROM_ROW}
        assert load(data, Role.CLIENT, [text]) == inputs.Send(CREATE)

    def test_an_event_that_went_out_otherwise_is_written(self) -> None:
        data, _ = dump(inputs.Send(CREATE), Role.CLIENT, [b'{"type":"response.create"}'])
        assert data["event"] != FROM_ROW
        assert load(through_json(data), Role.CLIENT, [b'{"type":"response.create"}']) == inputs.Send(CREATE)

    def test_audio_that_was_sent_is_not_written_twice(self) -> None:
        own = [b'{"type":"input_audio_buffer.append","audio":"AAECAwQFBg=="}']
        data, _ = dump(inputs.AppendAudio(bytes(range(7))), Role.CLIENT, own)
        assert data == {"in": "append_audio", "pcm": FROM_ROW}
        assert load(data, Role.CLIENT, own) == inputs.AppendAudio(bytes(range(7)))

    @pytest.mark.parametrize(
        "content",
        [
            AudioDelta(response_id="r", output_index=0, audio=b"\x00\x01"),
            TranslatedAudio(audio=b"\x00\x01", elapsed_ms=5),
        ],
    )
    def test_audio_that_was_generated_is_not_written_twice(self, content: AudioDelta | TranslatedAudio) -> None:
        own = [b'{"type":"response.output_audio.delta","delta":"AAE="}']
        data, _ = dump(inputs.Generate(content), Role.SERVER, own)
        assert b"AAE" not in msgspec.json.encode(data)
        assert load(through_json(data), Role.SERVER, own) == inputs.Generate(content)

    def test_audio_that_was_sent_otherwise_is_written(self) -> None:
        own = [b'{"type":"input_audio_buffer.append","audio":"BBBB"}']
        data, _ = dump(inputs.AppendAudio(bytes(3)), Role.CLIENT, own)
        assert load(through_json(data), Role.CLIENT, own) == inputs.AppendAudio(bytes(3))

    def test_text_that_was_generated_is_written(self) -> None:
        data, _ = dump(
            inputs.Generate(TextDelta(response_id="r", output_index=0, delta="x")), Role.SERVER, [b'{"delta":"x"}']
        )
        assert load(through_json(data), Role.SERVER, ()) == inputs.Generate(
            TextDelta(response_id="r", output_index=0, delta="x")
        )


class TestSecrets:
    @pytest.mark.parametrize(
        ("role", "input"),
        [
            (Role.CLIENT, inputs.Opened(headers=(("Authorization", "sk-1"),))),
            (Role.SERVER, inputs.Accept("openai-insecure-api-key.sk-1", (("Set-Cookie", "sk-1"),))),
            (Role.SERVER, inputs.Reject(401, (("X", "sk-1"),), b'{"error":{"message":"sk-1","code":"c"}}')),
            (Role.CLIENT, inputs.MessageReceived('{"authorization":"sk-1"')),
            (Role.CLIENT, inputs.MessageReceived(b'{"authorization":"sk-1\xff')),
            (Role.CLIENT, inputs.Send(m.UnknownEvent.of({"type": "x", "api_key": "sk-1"}))),
        ],
    )
    def test_none_is_written(self, role: Role, input: inputs.Input) -> None:
        data, _ = dump(input, role, ())
        again = load(through_json(data), role, ())
        assert b"sk-1" not in msgspec.json.encode(data)
        assert "sk-1" not in str(msgspec.to_builtins(again, enc_hook=str))
        assert dump(again, role, ())[0] == data


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        "data",
        [
            {},
            {"in": 5},
            {"in": "fly"},
            {"in": "close", "code": "x"},
            {"in": "append_audio"},
            {"in": "append_audio", "pcm": FROM_ROW},
            {"in": "append_audio", "pcm": "%%%"},
            {"in": "send"},
            {"in": "send", "event": FROM_ROW},
            {"in": "send", "event": 5},
            {"in": "send", "event": {"no": "type"}},
            {"in": "send", "event": {"type": "response.create"}, "override": 5},
            {"in": "message_received"},
            {"in": "message_received", "bytes": 5},
            {"in": "generate", "content": {"audio": FROM_ROW}},
            {"in": "generate", "content": 5},
            {"in": "transport_failed", "fault": {"kind": "nothing"}},
        ],
    )
    def test_it_is_told(self, data: dict[str, object]) -> None:
        with pytest.raises(InputRowError):
            load(data, Role.CLIENT, ())

    def test_audio_of_a_row_that_is_no_base64_is_told(self) -> None:
        with pytest.raises(InputRowError, match="base64"):
            load({"in": "append_audio", "pcm": FROM_ROW}, Role.CLIENT, [b'{"audio":"%"}'])

    def test_a_row_that_is_no_json_is_told(self) -> None:
        with pytest.raises(InputRowError):
            load({"in": "append_audio", "pcm": FROM_ROW}, Role.CLIENT, [b"{"])

    def test_an_event_that_was_repaired_is_read(self) -> None:
        assert isinstance(event_of(b'{"type":"response.create","response":{"metadata":5}}', Role.CLIENT), object)

    def test_nothing_of_it_is_quoted(self) -> None:
        with pytest.raises(InputRowError) as raised:
            load({"in": "close", "code": "sk-secret"}, Role.CLIENT, ())
        assert "sk-secret" not in str(raised.value)


def test_an_event_that_does_not_read_back_is_not_exact() -> None:
    strange = m.UnknownEvent.of({"type": "response.create", "response": {}})
    _, exact = dump(inputs.Send(strange), Role.CLIENT, ())
    assert not exact
