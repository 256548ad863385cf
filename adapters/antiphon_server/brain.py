"""What answers in a server. A brain says what is said; who says it when, and in which events, is the engine's.

A brain is pure: it knows no socket, no clock and no event loop. It is given what was heard, and returns the steps of
its answer, pauses among them; the runner performs them and stops when the client interrupts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from antiphon import AudioFormat, Content, ResponseRequested

from .script import Drop, Newest

__all__ = ["Brain", "BrainFactory", "Drop", "Pause", "Scene", "Step"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait ``ms`` milliseconds before the next step."""

    ms: float


Step: TypeAlias = Content | Pause | Drop
"""One step of an answer: something to say, a pause, or the end of the socket (`Drop`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a brain answers to."""

    newest: Newest
    """The newest item: the user's turn, a tool's output, or None for neither."""
    user: str
    """The newest text of the user, written or transcribed; empty where there is none."""
    output: str
    """The newest output of a tool; empty where there is none."""
    audio: bytes | None = field(repr=False)
    """What the user said in the newest item, in ``input_format``; None for a written turn."""
    speaks: bool
    """Whether the answer is to be heard: then its messages are of kind ``audio``, else of kind ``text``."""
    input_format: AudioFormat
    output_format: AudioFormat


class Brain(Protocol):
    """Answers one client."""

    def transcribe(self, audio: bytes, format: AudioFormat, /) -> str:
        """The words of a turn that was spoken; "" where nobody can tell. Shown to the client if its session asks."""
        ...

    def respond(self, request: ResponseRequested, scene: Scene, /) -> Iterator[Step]:
        """The steps of one response, in order; ``request.params`` are what was asked for, session and overrides.

        The runner takes a step only when the one before is done, and none after the response was cancelled. It ends the
        response (``completed``) when the steps end without a `ResponseFinished`. What is raised here ends it as
        ``failed`` and goes to the loop's exception handler.
        """
        ...


BrainFactory: TypeAlias = Callable[[], Brain]
"""Called once for each client."""
