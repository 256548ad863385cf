"""Follows one conversation from its events and its sound: who speaks, what was said, heard and cut, and what is due.

It waits for nothing and sends nothing: `talk` feeds it, and reads from it when the conversation is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from msgspec import UNSET

from antiphon import messages as m
from antiphon_cli.devices import RATE, PartKey, Sound
from antiphon_cli.screen import Screen

__all__ = ["Call", "Cut", "Dialogue"]

_NS: Final = 1_000_000_000


class Call(NamedTuple):
    """A function that the model wants called."""

    response_id: str
    call_id: str
    name: str
    arguments: str


class Cut(NamedTuple):
    """An answer that was cut: after how many of its ms, how many had come, and the words that were heard."""

    heard_ms: int
    received_ms: int
    words: str


class _Answer:
    """One part of what the assistant says."""

    __slots__ = ("cut", "received", "response_id", "shown", "spoken", "text")

    def __init__(self, response_id: str) -> None:
        self.response_id = response_id
        self.text = ""
        self.spoken = False
        self.received = 0  # samples
        self.cut = False
        self.shown = False


class Dialogue:
    """One conversation. ``heard_words(item_id, content_index)`` answers the words of a part that was cut, once it was.

    ``stream``: pieces of a written answer go there as they come, in place of its line. ``transcribes``: the server was
    asked for the words of the user.
    """

    def __init__(
        self,
        screen: Screen,
        heard_words: Callable[[str, int], str],
        *,
        stream: Callable[[str], None] | None = None,
        transcribes: bool = False,
    ) -> None:
        self.screen = screen
        self._heard_words = heard_words
        self._stream = stream
        self._transcribes = transcribes
        self.is_configured = False
        self.user_speaks = False
        self.awaits_response = False
        self.turns = 0
        self.first_audio: list[float] = []
        """Seconds from the end of each turn to the first audio of its answer."""
        self.cuts: list[Cut] = []
        self.failures: list[str] = []
        self.sent_samples = 0
        self.heard_samples = 0
        self.received_samples = 0
        self.caption: Callable[[], str] = str
        """What the user is known to be saying, as far as it was said."""
        self._active: dict[str, None] = {}
        self._answers: dict[PartKey, _Answer] = {}
        self._turn_ended: int | None = None
        self._speech_began_ms = 0
        self._speech: dict[str, float] = {}  # seconds of speech by item id, for turns without a transcript

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way: nobody speaks, no response is in progress or due, every answer was heard."""
        return not (self.user_speaks or self.awaits_response or self._active or any(True for _ in self._unshown()))

    @property
    def state(self) -> str:
        """What is going on, in a word or two."""
        if self.user_speaks:
            return "you speak"
        if any(answer.spoken and answer.received for _, answer in self._unshown()):
            return "the assistant speaks"
        return "the assistant thinks" if self._active or self.awaits_response else "silence"

    @property
    def growing(self) -> tuple[PartKey, str, int] | None:
        """The answer that is being given: its part, its text so far, and its samples so far."""
        return next(((key, answer.text, answer.received) for key, answer in self._unshown()), None)

    def heard_of_answer(self, heard: Callable[[PartKey], int]) -> float:
        """Seconds that were heard of the answer that is being given; 0.0 while there is none."""
        growing = self.growing
        return 0.0 if growing is None else heard(growing[0]) / RATE

    # -- what happens --------------------------------------------------------------------------------------------------

    def user_wrote(self, text: str, now: int) -> None:
        """A written turn was sent, and an answer asked for."""
        self.turns += 1
        self._turn_ended = now

    def tool_called(self, call: Call, output: str) -> None:
        """A call was answered."""
        self.screen.line("tool", f"{call.name}({call.arguments}) → {output}")

    def audio_came(self, key: PartKey, samples: int, now: int) -> None:
        """Audio of an answer came."""
        if self._turn_ended is not None:
            self.first_audio.append((now - self._turn_ended) / _NS)
            self._turn_ended = None
        self.received_samples += samples
        answer = self._answers.get(key)
        if answer is not None:
            answer.received += samples

    def heard(self, sound: Sound) -> None:
        """Audio of an answer came out of the loudspeaker."""
        self.heard_samples += len(sound.audio) // 2

    def show_heard(self, heard: Callable[[PartKey], int]) -> None:
        """Answers that were heard to their end, or written to it, become lines."""
        for key, answer in list(self._unshown()):
            if answer.response_id in self._active or answer.cut or heard(key) < answer.received:
                return
            answer.shown = True
            if self._stream is not None:
                self._stream("\n")
            elif answer.text:
                self.screen.line("assistant", answer.text)

    def break_off(self) -> None:
        """The conversation ends here: what was being said becomes a line as far as it is known."""
        for _, answer in list(self._unshown()):
            answer.shown = True
            if self._stream is not None:
                self._stream("\n")
            elif answer.text:
                self.screen.line("assistant", answer.text, "(unfinished)")

    def take(self, event: object, now: int) -> list[Call]:
        """The next event, at ``now``; the calls that are due with it."""
        match event:
            case m.SessionUpdated():
                self.is_configured = True
            case m.InputAudioBufferSpeechStarted():
                self.user_speaks = True
                self._speech_began_ms = event.audio_start_ms or 0
            case m.InputAudioBufferSpeechStopped():
                self.user_speaks = False
                self._turn_ended = now
                self._speech[event.item_id] = max(0, (event.audio_end_ms or 0) - self._speech_began_ms) / 1000
            case m.InputAudioBufferCommitted():
                self.user_speaks = False
                self.turns += 1
                self.awaits_response = True
                self._show_user(event.item_id)
            case m.ConversationItemInputAudioTranscriptionCompleted():
                if self._speech.pop(event.item_id, None) is not None:
                    self.screen.line("you", event.transcript.strip() or "(nothing)")
            case m.ConversationItemInputAudioTranscriptionFailed():
                seconds = self._speech.pop(event.item_id, None)
                message = event.error.message
                if seconds is not None:
                    why = f"({seconds:.1f} s of speech; not transcribed: {message if isinstance(message, str) else ''})"
                    self.screen.line("you", "", why)
            case m.Error():
                message = event.error.message
                self._fail(message if isinstance(message, str) else "the server sent an error without a message")
                self.awaits_response = False
            case m.ConversationItemTruncated():
                self._cut(event)
            case m.ResponseOutputItemDone():
                return self._calls_of(event)
            case _:
                self._take_response(event)
        return []

    def _take_response(self, event: object) -> None:
        match event:
            case m.ResponseCreated():
                self._active[event.response.id] = None
                self.awaits_response = False
            case m.ResponseContentPartAdded():
                answer = self._answer(event.item_id, event.content_index, event.response_id)
                answer.spoken = not event.part or event.part.type not in ("text", "output_text")
            case m.ResponseOutputAudioTranscriptDelta() | m.ResponseOutputTextDelta():
                answer = self._answer(event.item_id, event.content_index, event.response_id)
                answer.text += event.delta
                if self._stream is not None:
                    self._stream(event.delta)
            case m.ResponseOutputAudioTranscriptDone():
                self._answer(event.item_id, event.content_index, event.response_id).text = event.transcript
            case m.ResponseOutputTextDone():
                self._answer(event.item_id, event.content_index, event.response_id).text = event.text
            case m.ResponseDone():
                self._active.pop(event.response.id, None)
                self._finish(event.response)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _unshown(self) -> Iterator[tuple[PartKey, _Answer]]:
        return ((key, answer) for key, answer in self._answers.items() if not answer.shown)

    def _answer(self, item_id: str, content_index: int, response_id: str) -> _Answer:
        key = PartKey(item_id, content_index)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = _Answer(response_id)
        return answer

    def _show_user(self, item_id: str) -> None:
        caption = self.caption()
        seconds = self._speech.get(item_id, 0.0)
        if caption:
            self._speech.pop(item_id, None)
            self.screen.line("you", caption, f"({seconds:.1f} s)")
        elif not self._transcribes:
            self._speech.pop(item_id, None)
            self.screen.line("you", "", f"({seconds:.1f} s of speech)")

    def _cut(self, event: m.ConversationItemTruncated) -> None:
        key = PartKey(event.item_id, event.content_index)
        answer = self._answers.get(key)
        received_ms = 0 if answer is None else answer.received * 1000 // RATE
        words = self._heard_words(*key)
        self.cuts.append(Cut(event.audio_end_ms, received_ms, words))
        if answer is not None:
            answer.cut = answer.shown = True
        self.screen.line("assistant", words or "…", "(cut here)")
        self.screen.line("cut", f"heard {event.audio_end_ms / 1000:.2f} s of {received_ms / 1000:.2f} s")

    def _calls_of(self, event: m.ResponseOutputItemDone) -> list[Call]:
        item = event.item
        if not isinstance(item, m.FunctionCallItem) or item.status not in ("completed", UNSET):
            return []
        arguments = item.arguments if isinstance(item.arguments, str) else ""
        if not isinstance(item.call_id, str):
            return []
        return [Call(event.response_id, item.call_id, item.name, arguments)]

    def _finish(self, response: m.Response) -> None:
        if response.status not in ("failed", "incomplete"):
            return
        details = response.status_details
        error = details.error if details else None
        message = getattr(error, "message", None) or getattr(error, "code", None)
        reason = details.reason if details else None
        why = next((each for each in (message, reason) if isinstance(each, str)), "no reason was given")
        self._fail(f"the answer {'failed' if response.status == 'failed' else 'is incomplete'}: {why}")

    def _fail(self, message: str) -> None:
        self.failures.append(message)
        self.screen.line("error", message)
