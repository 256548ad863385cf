"""The brain that follows a script: `antiphon_server.script` says what, here it becomes content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from antiphon import (
    ArgumentsDelta,
    AudioDelta,
    AudioFormat,
    ItemFinished,
    ItemStarted,
    ResponseFinished,
    ResponseRequested,
    TextDelta,
)
from antiphon_audio import read_wav

from .brain import Pause, Scene, Step
from .formats import from_pcm16, pieces
from .script import CallStart, Chunk, Drop, ItemEnd, MessageStart, ResponseEnd, Script, ScriptError
from .script import Step as ScriptStep
from .voice import Hummer

__all__ = ["Scripted", "check_playable"]


def check_playable(script: Script) -> None:
    """Refuse what this edition cannot perform. Raises `ScriptError`."""
    for reply in script.replies:
        if reply.audio == "speech":
            raise ScriptError(
                script.path,
                None,
                f'reply {reply.index + 1}: audio = "speech" needs a synthesiser, which comes with a later edition: '
                'use "tone" or a WAV file',
            )


class Scripted:
    """Follows ``script`` with one client. What no reply answers is answered with an empty response.

    Raises `ScriptError` for a script that this edition cannot perform.
    """

    def __init__(self, script: Script) -> None:
        check_playable(script)
        self._script = script
        self._used: dict[int, int] = {}

    def transcribe(self, audio: bytes, format: AudioFormat, /) -> str:
        """Nothing: a script has no recogniser, and a spoken turn is one without a text (``when = "^$"``)."""
        return ""

    def respond(self, request: ResponseRequested, scene: Scene, /) -> Iterator[Step]:
        """The first reply that matches, as content."""
        reply = self._script.match(scene.newest, self._used)
        steps = reply.steps(user=scene.user, output=scene.output) if reply is not None else ()
        yield from _Performance(request.response_id, scene, steps).steps()


class _Performance:
    """The steps of one reply, told to the engine."""

    def __init__(self, response_id: str, scene: Scene, steps: Sequence[ScriptStep]) -> None:
        self._response_id = response_id
        self._scene = scene
        self._steps = steps
        self._index = -1
        self._sound: Hummer | _Recording | None = None
        self._is_call = False
        self._chunks = 0

    def steps(self) -> Iterator[Step]:
        response_id = self._response_id
        for position, step in enumerate(self._steps):
            if isinstance(step, MessageStart | CallStart):
                yield self._begin(step, position)
            elif isinstance(step, Chunk):
                if step.delay_ms:
                    yield Pause(step.delay_ms)
                yield from self._chunk(step.text)
            elif isinstance(step, ItemEnd):
                yield from self._speak(self._sound.finish() if self._sound is not None else b"")
                yield ItemFinished(response_id=response_id, output_index=self._index)
            elif isinstance(step, ResponseEnd):
                yield self._end(step)
            else:
                assert isinstance(step, Drop)  # the last kind
                yield step

    def _begin(self, step: MessageStart | CallStart, position: int) -> ItemStarted:
        self._index += 1
        self._is_call = isinstance(step, CallStart)
        self._sound = None
        if isinstance(step, CallStart):
            return ItemStarted(
                response_id=self._response_id, output_index=self._index, kind="function_call", name=step.name
            )
        if not self._scene.speaks:
            return ItemStarted(response_id=self._response_id, output_index=self._index, kind="text")
        format = self._scene.output_format
        if isinstance(step.audio, Path):
            self._sound = _Recording(step.audio, format, self._chunks_after(position))
        else:
            self._sound = Hummer(format)
        return ItemStarted(response_id=self._response_id, output_index=self._index, kind="audio")

    def _chunks_after(self, position: int) -> int:
        """How many chunks the item that begins at ``position`` has."""
        count = 0
        for step in self._steps[position + 1 :]:
            if not isinstance(step, Chunk):
                break
            count += 1
        return count

    def _chunk(self, text: str) -> Iterator[Step]:
        self._chunks += 1
        if self._is_call:
            yield ArgumentsDelta(response_id=self._response_id, output_index=self._index, delta=text)
            return
        yield TextDelta(response_id=self._response_id, output_index=self._index, delta=text)
        if self._sound is not None:
            yield from self._speak(self._sound.say(text))

    def _speak(self, audio: bytes) -> Iterator[Step]:
        for piece in pieces(audio, self._scene.output_format):
            yield AudioDelta(response_id=self._response_id, output_index=self._index, audio=piece)

    def _end(self, step: ResponseEnd) -> ResponseFinished:
        error = step.error
        return ResponseFinished(
            response_id=self._response_id,
            status=step.status,
            error_type=error.type if error is not None else None,
            error_code=error.code if error is not None else None,
            error_message=error.message if error is not None else None,
            output_tokens=self._chunks,
        )


class _Recording:
    """A WAV file as the sound of one message, an equal share with each of its ``chunks``."""

    def __init__(self, path: Path, format: AudioFormat, chunks: int) -> None:
        self._audio = from_pcm16(read_wav(path, rate=format.rate).pcm, format)
        samples = format.samples(len(self._audio))
        self._share = -(-samples // max(1, chunks)) * format.bytes_per_sample

    def say(self, _text: str) -> bytes:
        """The share of the next chunk."""
        share, self._audio = self._audio[: self._share], self._audio[self._share :]
        return share

    def finish(self) -> bytes:
        """What is left."""
        rest, self._audio = self._audio, b""
        return rest
