"""The brain that repeats what it heard: good for a first look, for echo tests, and for whoever tests a client."""

from __future__ import annotations

from collections.abc import Iterator

from antiphon import AudioDelta, AudioFormat, ItemFinished, ItemStarted, ResponseFinished, ResponseRequested, TextDelta
from antiphon_audio import ResamplerMissingError

from .brain import Scene, Step
from .formats import convert, pieces
from .script import ToolOutput
from .voice import hum, words

__all__ = ["Parrot"]


class Parrot:
    """Says the user's text again, and plays the user's speech back; of a tool's output it says the text.

    It recognises no words: of speech its transcript is how long it was.
    """

    def transcribe(self, audio: bytes, format: AudioFormat, /) -> str:
        """How long it was, such as "(1.2 s of audio)"."""
        return f"({format.samples(len(audio)) / format.rate:.1f} s of audio)"

    def respond(self, request: ResponseRequested, scene: Scene, /) -> Iterator[Step]:
        """One message: the newest text or speech once more."""
        response_id = request.response_id
        text = scene.output if isinstance(scene.newest, ToolOutput) else scene.user
        text = text or "I have heard nothing yet."
        yield ItemStarted(response_id=response_id, output_index=0, kind="audio" if scene.speaks else "text")
        speech = _played_back(scene) if scene.speaks else None
        if speech is not None:
            yield TextDelta(response_id=response_id, output_index=0, delta=text)
            for piece in pieces(speech, scene.output_format):
                yield AudioDelta(response_id=response_id, output_index=0, audio=piece)
        elif scene.speaks:
            for word, audio in hum(text, scene.output_format):
                yield TextDelta(response_id=response_id, output_index=0, delta=word)
                for piece in pieces(audio, scene.output_format):
                    yield AudioDelta(response_id=response_id, output_index=0, audio=piece)
        else:
            for word in words(text):
                yield TextDelta(response_id=response_id, output_index=0, delta=word)
        yield ItemFinished(response_id=response_id, output_index=0)
        yield ResponseFinished(response_id=response_id, output_tokens=len(words(text)))


def _played_back(scene: Scene) -> bytes | None:
    """The user's own speech in the format of the answer; None when there is none, or it cannot be converted."""
    if not scene.audio:
        return None
    try:
        return convert(scene.audio, scene.input_format, scene.output_format)
    except ResamplerMissingError:
        return None  # then it hums the length of it
