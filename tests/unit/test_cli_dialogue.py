"""What `antiphon talk` makes of a conversation: its lines, its counts, and when it is over."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine.codec import convert_server_event
from antiphon_cli.devices import PartKey, Sound
from antiphon_cli.dialogue import Call, Cut, Dialogue
from antiphon_cli.screen import View
from antiphon_cli.tools import TOOLS, call_tool

PART = PartKey("item_a", 0)
SECOND = 1_000_000_000


class Lines:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def line(self, who: str, text: str, remark: str = "") -> None:
        self.lines.append((who, text, remark))

    def fact(self, label: str, text: str) -> None:
        self.lines.append((label, text, ""))

    def show(self, view: View) -> None:
        pass

    def close(self) -> None:
        pass


def event(type: str, **fields: Any) -> object:
    read = convert_server_event({"type": type, "event_id": "event_1", **fields})
    assert isinstance(read, m.Event), read
    return read


def response(id: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "object": "realtime.response", "status": status, "output": [], **fields}


class Talk:
    """A dialogue, its lines, and a loudspeaker that plays what it is told to."""

    def __init__(self, *, transcribes: bool = False, heard_words: str = "It is") -> None:
        self.screen = Lines()
        self.played: dict[PartKey, int] = {}
        self.dialogue = Dialogue(self.screen, lambda _item, _index: heard_words, transcribes=transcribes)
        self.now = 0

    def take(self, type: str, **fields: Any) -> list[Call]:
        return self.dialogue.take(event(type, **fields), self.now)

    def heard(self, key: PartKey) -> int:
        return self.played.get(key, 0)

    def speech(self, item_id: str = "item_u") -> None:
        self.take("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=500)
        self.take("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=2500)
        self.take("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)

    def answer(self, text: str, samples: int) -> None:
        ids = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
        self.take("response.created", response=response("resp_1", "in_progress"))
        self.take("response.content_part.added", **ids, part={"type": "audio", "transcript": ""})
        self.take("response.output_audio_transcript.delta", **ids, delta=text)
        self.dialogue.audio_came(PART, samples, self.now)

    def play(self, samples: int) -> None:
        self.played[PART] = self.heard(PART) + samples
        self.dialogue.heard(Sound(PART, bytes(2 * samples), self.played[PART]))
        self.dialogue.show_heard(self.heard)


def test_a_turn_without_a_transcript_is_shown_with_its_length() -> None:
    talk = Talk()
    talk.speech()
    assert talk.screen.lines == [("you", "", "(2.0 s of speech)")]
    assert (talk.dialogue.turns, talk.dialogue.state) == (1, "the assistant thinks")


def test_a_turn_whose_words_are_known_is_shown_with_them() -> None:
    talk = Talk()
    talk.dialogue.caption = lambda: "What is the weather?"
    talk.speech()
    assert talk.screen.lines == [("you", "What is the weather?", "(2.0 s)")]


def test_a_turn_that_is_transcribed_is_shown_when_its_transcript_is_there() -> None:
    talk = Talk(transcribes=True)
    talk.speech()
    assert talk.screen.lines == []
    talk.take(
        "conversation.item.input_audio_transcription.completed",
        item_id="item_u",
        content_index=0,
        transcript=" What? ",
        usage={"type": "duration", "seconds": 1},
    )
    assert talk.screen.lines == [("you", "What?", "")]


def test_an_answer_becomes_a_line_when_it_was_heard_to_its_end() -> None:
    talk = Talk()
    talk.answer("It is sunny.", 2400)
    talk.take("response.done", response=response("resp_1", "completed"))
    talk.play(2399)
    assert talk.screen.lines == []
    assert not talk.dialogue.is_settled
    talk.play(1)
    assert talk.screen.lines == [("assistant", "It is sunny.", "")]
    assert talk.dialogue.is_settled


def test_an_answer_that_ran_dry_is_not_over_while_its_response_goes_on() -> None:
    talk = Talk()
    talk.answer("It is", 2400)
    talk.play(2400)
    assert talk.screen.lines == []


def test_the_time_to_first_audio_counts_from_the_end_of_the_turn_and_once() -> None:
    talk = Talk()
    talk.speech()
    talk.now = SECOND // 4
    talk.answer("It", 2400)
    talk.dialogue.audio_came(PART, 2400, 2 * SECOND)
    assert talk.dialogue.first_audio == [0.25]
    assert talk.dialogue.received_samples == 4800


def test_a_cut_shows_the_words_that_were_heard_and_how_much_that_was() -> None:
    talk = Talk()
    talk.answer("It is sunny and warm.", 48_000)
    talk.play(24_000)
    talk.take("response.done", response=response("resp_1", "cancelled"))
    talk.take("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=1000)
    assert talk.screen.lines == [
        ("assistant", "It is", "(cut here)"),
        ("cut", "heard 1.00 s of 2.00 s", ""),
    ]
    assert talk.dialogue.cuts == [Cut(1000, 2000, "It is")]
    assert talk.dialogue.is_settled


def test_a_completed_function_call_is_due_and_an_interrupted_one_is_not() -> None:
    call = {"id": "item_f", "type": "function_call", "name": "get_weather", "call_id": "call_1", "arguments": "{}"}
    talk = Talk()
    place = {"response_id": "resp_1", "output_index": 0}
    assert talk.take("response.output_item.done", **place, item={**call, "status": "incomplete"}) == []
    done = talk.take("response.output_item.done", **place, item={**call, "status": "completed"})
    assert done == [Call("resp_1", "call_1", "get_weather", "{}")]


def test_a_failed_answer_is_a_failure_with_the_servers_reason() -> None:
    talk = Talk()
    talk.take("response.created", response=response("resp_1", "in_progress"))
    details = {"type": "failed", "error": {"type": "server_error", "code": "x", "message": "out of words"}}
    talk.take("response.done", response=response("resp_1", "failed", status_details=details))
    assert talk.dialogue.failures == ["the answer failed: out of words"]


def test_a_cancelled_answer_is_no_failure() -> None:
    talk = Talk()
    talk.take("response.created", response=response("resp_1", "in_progress"))
    talk.take("response.done", response=response("resp_1", "cancelled"))
    assert talk.dialogue.failures == []


def test_an_error_of_the_server_is_a_failure() -> None:
    talk = Talk()
    talk.take("error", error={"type": "invalid_request_error", "code": None, "message": "no", "param": None})
    assert talk.dialogue.failures == ["no"]
    assert talk.screen.lines == [("error", "no", "")]


def test_what_is_unfinished_when_the_conversation_breaks_off_is_shown_as_that() -> None:
    talk = Talk()
    talk.answer("It is", 2400)
    talk.dialogue.break_off()
    assert talk.screen.lines == [("assistant", "It is", "(unfinished)")]


def test_the_weather_tool_answers_what_it_is_asked_and_tells_mistakes_to_the_model() -> None:
    assert call_tool("get_weather", '{"city": " paris "}') == "eighteen degrees and sunny"
    assert call_tool("get_weather", '{"city": "Ys"}') == "twenty degrees and fair"
    for arguments in ("{", "[]", "{}", '{"city": 7}'):
        assert call_tool("get_weather", arguments).startswith("error: ")
    assert call_tool("launch", "{}").startswith("error: ")


def test_the_tools_fit_the_protocol() -> None:
    (tool,) = TOOLS
    read = convert_server_event(
        {"type": "session.updated", "event_id": "e", "session": {"type": "realtime", "tools": [tool]}}
    )
    assert isinstance(read, m.SessionUpdated)
    assert read.session.tools is not UNSET  # type: ignore[union-attr]  # it is a realtime session
