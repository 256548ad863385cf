"""Recorded sessions of our own, with what the engine does at each line.

Each ``*.jsonl`` beside this file is a journal, as ``antiphon check`` reads it, whose lines also carry ``actions``:

* a ``server`` line was received;
* a ``client`` line was sent by the application, or, with ``"by": "engine"``, by the engine in consequence of a line
  before it;
* an ``input`` line is anything else that the engine was told: what the device played, a request that is held back,
  audio in samples (``pcm``, base64);
* ``actions`` are plain data. ``deliver`` and ``transmit_message`` stand without their text, which the journal itself
  holds: it is compared to the line's event, and to the ``client`` lines in their order.

The sessions are invented, and the actions were held against ``spec/rules.md``: where one of these tests fails, the
engine has changed what it does, and that is to be argued from the rules before a line is changed.
"""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from antiphon import (
    ClientSession,
    Connected,
    Deliver,
    Finished,
    Input,
    RequestSettled,
    Role,
    SessionConfig,
    TransmitMessage,
    codec,
    inputs,
)
from antiphon.engine.actions import actions_to_builtins
from antiphon_cli.__main__ import main

HERE = Path(__file__).resolve().parent
JOURNALS = sorted(HERE.glob("*.jsonl"))

Line: TypeAlias = dict[str, Any]
Plain: TypeAlias = dict[str, Any]

read_command = codec.client_decoder(64)


def lines_of(journal: Path) -> list[Line]:
    """The lines of a journal that are no notes."""
    lines = [json.loads(text) for text in journal.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["dir"] != "note"]


class Trace:
    """Plays the lines of one journal to a client's engine, one by one."""

    def __init__(self, **config: Any) -> None:
        self.client = ClientSession(Role.CLIENT, SessionConfig(**config), now=0)
        assert self.client.opened(0) == (Connected(1),)
        self.settled: dict[str, RequestSettled] = {}
        self._transmitted: deque[Any] = deque()

    def play(self, line: Line) -> list[Plain]:
        """What the engine does at ``line``, as it is written in journals. The clock is moved first and must not matter:
        no deadline of these sessions passes."""
        assert self.client.tick(line["at"]) == ()
        actions: list[Plain] = []
        if line["dir"] == "server":
            actions = self._do(inputs.MessageReceived(json.dumps(line["event"])), line)
        elif line["dir"] == "input":
            actions = self._do(self._input(line["input"]), line)
        elif line.get("by") != "engine":
            actions = self._do(self._command(line["event"]), line)
        if line["dir"] == "client":
            sent = self._transmitted.popleft()
            assert sent == line["event"]
        return actions

    def finish(self) -> None:
        """The journal is over: everything that the engine sent stands in it."""
        assert not self._transmitted

    @staticmethod
    def _command(event: dict[str, Any]) -> inputs.Send:
        read = read_command(json.dumps(event))
        assert msgspec.to_builtins(read) == event
        return inputs.Send(read)  # type: ignore[arg-type]  # the line above says that it is a client's event

    def _input(self, data: dict[str, Any]) -> Input:
        if data["in"] == "send":
            return self._command(data["event"])
        kinds = inputs.AppendAudio | inputs.AudioPlayed | inputs.AudioStopped | inputs.Interrupt
        read: Input = msgspec.convert(data, kinds)
        return read

    def _do(self, input: Input, line: Line) -> list[Plain]:
        told: list[Plain] = []
        actions = self.client.handle(input, line["at"])
        for action, plain in zip(actions, actions_to_builtins(actions), strict=True):
            if isinstance(action, TransmitMessage):
                self._transmitted.append(json.loads(action.text))
                plain = {"do": "transmit_message"}
            elif isinstance(action, Deliver):
                assert json.loads(action.raw) == line["event"]
                assert action.event.type == line["event"]["type"]
                plain = {"do": "deliver"}
            elif isinstance(action, RequestSettled):
                assert action.event_id not in self.settled  # one outcome each
                self.settled[action.event_id] = action
            told.append(dict(plain))
        return told


def played(name: str, **config: Any) -> Trace:
    """A whole journal, played to its end."""
    trace = Trace(**config)
    for line in lines_of(HERE / f"{name}.jsonl"):
        trace.play(line)
    trace.finish()
    return trace


@pytest.mark.parametrize("stepper", ["compiled", "transitions"])
@pytest.mark.parametrize("journal", JOURNALS, ids=lambda journal: journal.stem)
def test_the_engine_does_at_each_line_what_is_written_beside_it(journal: Path, stepper: str) -> None:
    trace = Trace(stepper=stepper)
    for number, line in enumerate(lines_of(journal), 1):
        assert trace.play(line) == line.get("actions", []), f"line {number} of the events"
    trace.finish()


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda journal: journal.stem)
def test_a_strict_engine_has_nothing_against_it(journal: Path) -> None:
    trace = played(journal.stem, strict=True)
    assert trace.client.reports == {}
    assert trace.client.link.state == "open"


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda journal: journal.stem)
def test_a_session_restored_between_any_two_lines_goes_on_alike(journal: Path) -> None:
    trace = Trace()
    for line in lines_of(journal):
        assert trace.play(line) == line.get("actions", [])
        stored = trace.client.snapshot(line["at"])
        trace.client = ClientSession.restore(stored, SessionConfig(), now=line["at"])
    trace.finish()


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda journal: journal.stem)
def test_nothing_is_open_at_its_end(journal: Path) -> None:
    client = played(journal.stem).client
    assert client.deadline is None
    assert client.default_response is None
    assert not list(client.acknowledgements.unanswered())


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda journal: journal.stem)
def test_the_checker_finds_it_clean(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--strict", str(journal)]) == 0
    assert ": clean" in capsys.readouterr().out


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda journal: journal.stem)
def test_the_checker_misses_the_last_server_line(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So the test before this one can fail."""
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    last = max(number for number, text in enumerate(lines) if '"type": "response.done"' in text)
    cut = tmp_path / "cut.jsonl"
    cut.write_text("".join(lines[:last] + lines[last + 1 :]), encoding="utf-8")
    assert main(["check", "--strict", str(cut)]) == 1
    assert "has no response.done" in capsys.readouterr().out


# What is left when a journal is over ----------------------------------------------------------------------------------


def texts(trace: Trace) -> list[tuple[str, str]]:
    """The conversation in its order: ids and texts."""
    return [(node.id, node.text) for node in trace.client.conversation]


def outcomes(trace: Trace) -> dict[str, str]:
    """How each request ended."""
    return {name: type(action.outcome).__name__ for name, action in trace.settled.items()}


def test_a_text_turn_leaves_question_and_answer() -> None:
    trace = played("text_turn")
    assert texts(trace) == [("item_q1", "What is a choir?"), ("item_a1", "Voices that agree.")]
    assert trace.settled["ask_1"].outcome == Finished("resp_1", "completed")
    assert trace.client.usage.total_tokens == 16
    assert [limit.remaining for limit in trace.client.rate_limits] == [999, 39984]


def test_a_barge_in_leaves_what_was_heard() -> None:
    trace = played("audio_turn_with_barge_in")
    (first, answer, second) = trace.client.conversation
    assert [node.id for node in (first, answer, second)] == ["item_u1", "item_a1", "item_u2"]
    assert first.text == "Sing for me."
    assert answer.cuts[0].audio_end_ms == 30
    assert "La la la la".startswith(answer.text)
    assert len(answer.text) < len("La la la la")


def test_two_calls_get_one_reply() -> None:
    trace = played("function_call")
    assert outcomes(trace) == {"ask_1": "Finished", "ask_2": "Finished", "ask_3": "Merged"}
    assert [name for name, _ in texts(trace)] == ["item_q1", "item_c1", "item_c2", "item_o1", "item_o2", "item_a1"]


def test_an_out_of_band_response_leaves_the_conversation_alone() -> None:
    trace = played("out_of_band")
    assert texts(trace) == [("item_q1", "Tell me a story."), ("item_a1", "Once upon")]
    assert outcomes(trace) == {"ask_1": "Finished", "ask_2": "Finished"}


def test_a_refused_request_does_not_stand_in_the_way_of_the_next_and_a_lost_one_is_sent_again() -> None:
    trace = played("refused_create")
    assert outcomes(trace) == {"ask_1": "Rejected", "ask_2": "Finished", "ask_3": "Merged"}
    assert [name for name, _ in texts(trace)] == ["item_q1", "item_u1", "item_a1", "item_a2"]


def test_what_was_deleted_stays_deleted() -> None:
    assert texts(played("deletion")) == [("item_q2", "Say something long.")]
