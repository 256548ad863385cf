"""Brings a brain and one client together: hears, asks, performs, and stops when it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from antiphon import (
    Action,
    AudioDelta,
    AudioFormat,
    Deliver,
    InputAudio,
    InputCommitted,
    ResponseCancelled,
    ResponseFinished,
    ResponseRequested,
    TranscriptCompleted,
)
from antiphon import messages as m
from antiphon_asyncio import ServerConnection

from .brain import Brain, Pause, Scene
from .hearing import Hearing
from .script import Drop, Newest, ToolOutput, UserTurn
from .vad import SpeechStarted

__all__ = ["Runner"]

_MOST_TEXTS = 256  # spoken turns whose words are remembered for a brain


class Runner:
    """One client's conversation with ``brain``.

    Audio is heard while the session's turn detection is on. Each response is one task, which ends with it: cancelled
    when the client (or its speech) cancels, and none outlives the connection.
    """

    def __init__(self, connection: ServerConnection, brain: Brain) -> None:
        self._connection = connection
        self._session = connection.session
        self._brain = brain
        self._hearing = Hearing(connection.session)
        self._turns: dict[str, tuple[int, int]] = {}  # spoken and not committed yet: start and end in ms, by item id
        self._texts: dict[str, str] = {}  # of spoken turns, by item id
        self._speech: tuple[str, bytes] | None = None  # the newest spoken turn: item id and audio
        self._answers: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Converse until the connection has ended."""
        try:
            await self._connection.listen(self._take)
        finally:
            answers = list(self._answers.values())
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)

    def _take(self, action: Action) -> None:
        if isinstance(action, InputAudio):
            self._hear(action)
        elif isinstance(action, InputCommitted):
            self._committed(action)
        elif isinstance(action, ResponseRequested):
            answer = asyncio.get_running_loop().create_task(self._answer(action, self._scene(action)))
            self._answers[action.response_id] = answer
            answer.add_done_callback(lambda _done: self._answers.pop(action.response_id, None))
        elif isinstance(action, ResponseCancelled):
            cancelled = self._answers.get(action.response_id)
            if cancelled is not None:
                cancelled.cancel()
        elif isinstance(action, Deliver):
            if isinstance(action.event, m.SessionUpdate):
                self._hearing.refresh()
                self._end_turn()
            elif isinstance(action.event, m.InputAudioBufferClear):
                self._hearing.forget_turn()

    # -- hearing -------------------------------------------------------------------------------------------------------

    def _hear(self, heard: InputAudio) -> None:
        connection, session = self._connection, self._session
        for event in self._hearing.feed(heard):
            # The client may have cleared the buffer, or switched detection off, in what the engine has read since.
            state = session.input_audio_buffer_state
            if isinstance(event, SpeechStarted):
                if state == "idle" and session.turn_detection is not None:
                    connection.speech_started(event.audio_start_ms)
                    self._turns[session.speech_item_id or ""] = (event.audio_start_ms, 0)
            elif state == "speech":
                item_id = session.speech_item_id or ""
                start_ms, _ = self._turns.pop(item_id, (0, 0))
                self._turns = {item_id: (start_ms, event.audio_end_ms)}
                connection.speech_stopped(event.audio_end_ms)

    def _end_turn(self) -> None:
        """Detection was switched off under a voice: nobody would hear it end."""
        session = self._session
        if session.turn_detection is None and session.input_audio_buffer_state == "speech":
            self._connection.speech_stopped(session.input_audio_buffer.total_ms)

    def _committed(self, committed: InputCommitted) -> None:
        """A spoken turn is complete. Detection commits what came since the last commit; the turn is the end of that."""
        audio = committed.audio or b""
        format = self._session.input_audio_buffer.format
        start_ms, end_ms = self._turns.pop(committed.item_id, (0, 0))
        if end_ms:
            audio = audio[-format.samples_for_ms(end_ms - start_ms) * format.bytes_per_sample :]
        text = self._brain.transcribe(audio, format)
        self._speech = (committed.item_id, audio)
        self._texts[committed.item_id] = text
        if len(self._texts) > _MOST_TEXTS:
            del self._texts[next(iter(self._texts))]
        if self._transcribes():
            seconds = format.ms(format.samples(len(audio))) / 1000
            self._connection.transcribed(committed.item_id, 0, TranscriptCompleted(text, seconds))

    def _transcribes(self) -> bool:
        audio = self._session.configuration.audio
        heard = audio.input if audio else None
        return bool(heard and heard.transcription)

    # -- answering -----------------------------------------------------------------------------------------------------

    async def _answer(self, request: ResponseRequested, scene: Scene) -> None:
        connection = self._connection
        finished = ResponseFinished(response_id=request.response_id)
        try:
            for step in self._brain.respond(request, scene):
                if isinstance(step, Pause):
                    await asyncio.sleep(step.ms / 1000)
                elif isinstance(step, Drop):
                    connection.close(step.code)
                    return
                else:
                    connection.generate(step)
                    await connection.drain()
                    if isinstance(step, AudioDelta):
                        await asyncio.sleep(0)  # making audio takes long: others are served between two pieces
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler({"message": "a brain raised", "exception": error})
            finished = ResponseFinished(response_id=request.response_id, status="failed")
        connection.generate(finished)

    def _scene(self, request: ResponseRequested) -> Scene:
        newest, user, output, item_id = self._read(request)
        speech = self._speech if self._speech is not None and self._speech[0] == item_id else None
        modalities = request.params.output_modalities
        return Scene(
            newest=newest,
            user=user,
            output=output,
            audio=None if speech is None else speech[1],
            speaks="audio" in (modalities or ()),
            input_format=self._session.input_audio_buffer.format,
            output_format=self._format_of(request),
        )

    def _format_of(self, request: ResponseRequested) -> AudioFormat:
        """What this answer is spoken in: its own format, else the session's."""
        audio = request.params.audio
        named = audio.output.format if audio and audio.output else None
        return (AudioFormat.from_session(named) if named else None) or self._session.output_format

    def _read(self, request: ResponseRequested) -> tuple[Newest, str, str, str]:
        """The newest item as a brain sees it, the newest words of the user and of a tool, and the newest item's id."""
        newest: Newest = None
        user: str | None = None
        output: str | None = None
        newest_id = ""
        for position, item in enumerate(self._items(request)):
            if isinstance(item, m.MessageItem) and item.role == "user":
                text = self._text(item)
                user = text if user is None else user
                if position == 0:
                    newest = UserTurn(text)
            elif isinstance(item, m.FunctionCallOutputItem):
                output = item.output if output is None else output
                if position == 0:
                    newest = ToolOutput(self._function_of(item.call_id), item.output)
            if position == 0:
                newest_id = item.id if isinstance(item.id, str) else ""
            if user is not None and output is not None:
                break
        return newest, user or "", output or "", newest_id

    def _items(self, request: ResponseRequested) -> Iterator[m.Item]:
        """What the response is to follow, the newest first: its own input, or the conversation."""
        conversation = self._session.conversation
        own = request.params.input
        if not isinstance(own, list):
            for node in reversed(conversation.items):
                yield node.item
            return
        for item in reversed(own):
            if isinstance(item, m.ItemReference):
                referred = conversation.get(item.id) if isinstance(item.id, str) else None
                if referred is not None:
                    yield referred.item
            else:
                yield item

    def _text(self, item: m.MessageItem) -> str:
        item_id = item.id if isinstance(item.id, str) else ""
        spoken = self._texts.get(item_id)
        if spoken is not None:
            return spoken
        node = self._session.conversation.get(item_id)
        if node is not None:
            return node.text
        return "\n".join(part.text for part in item.content if isinstance(part, m.InputText))

    def _function_of(self, call_id: str) -> str:
        for node in reversed(self._session.conversation.items):
            if isinstance(node.item, m.FunctionCallItem) and node.item.call_id == call_id:
                return node.item.name
        return ""
