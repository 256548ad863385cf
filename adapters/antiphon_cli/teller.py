"""A session as it is lived through, a line an event, for people who watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

import antiphon
from antiphon.machines import RULES
from antiphon.toolkit import Step
from antiphon_cli.console import Console, clean

__all__ = ["Teller"]

_QUIET: Final = frozenset(
    ("input_audio_buffer.append", "response.output_audio.delta", "response.audio.delta", "session.output_audio.delta")
)
_MOST_WORDS: Final = 60


class Teller:
    """Prints what happens, a line an event; runs of audio are one line."""

    def __init__(self, console: Console, *, shown: bool) -> None:
        self._console = console
        self._shown = shown
        self.muted = False
        self._runs: dict[str, tuple[int, str]] = {}

    def lived(self, at: float | None, step: Step, actions: antiphon.Actions) -> None:
        """A step of an engine."""
        if step.refused is not None:
            self._line(at, "x", f"{type(step.input).__name__} was refused: {step.refused}")
        for action in actions:
            if isinstance(action, antiphon.Deliver):
                raw = action.raw
                self.row(at, "peer", raw.encode("utf-8", "replace") if isinstance(raw, str) else raw)
            elif isinstance(action, _TOLD):
                self._line(at, "*", _of(action))
        for text in step.said:
            self.row(at, "own", text)

    def row(self, at: float | None, dir: str, text: bytes) -> None:
        """An event."""
        kind, words = _read(text)
        arrow = "->" if dir in ("client", "own") else "<-"
        if kind in _QUIET:
            count, line = self._runs.get(arrow + kind, (0, _line(at, arrow, kind)))
            self._runs[arrow + kind] = count + 1, line
            return
        self._line(at, arrow, f"{kind}  {words}" if words else kind)

    def _line(self, at: float | None, mark: str, text: str) -> None:
        self.flush()
        self._out(_line(at, mark, text))

    def flush(self) -> None:
        """The runs of audio, of either side, are over."""
        for count, line in self._runs.values():
            self._out(f"{line}  ×{count}" if count > 1 else line)
        self._runs.clear()

    def _out(self, line: str) -> None:
        if self._shown and not self.muted:
            self._console.out(clean(line))


def _line(at: float | None, mark: str, text: str) -> str:
    return f"{'' if at is None else f'{at:.3f}':>9}  {mark:<2} {text}"


_TOLD: Final = (
    antiphon.OpenTransport,
    antiphon.Connected,
    antiphon.Disconnected,
    antiphon.StopAudio,
    antiphon.RequestSettled,
    antiphon.ResponseRequested,
    antiphon.ResponseCancelled,
    antiphon.Report,
    antiphon.Closed,
)


def _of(action: antiphon.Action) -> str:
    telling: dict[type[object], Callable[..., str]] = {
        antiphon.OpenTransport: lambda a: f"dial: socket {a.generation}, attempt {a.attempt}",
        antiphon.Connected: lambda a: f"connected: socket {a.generation}",
        antiphon.Disconnected: lambda a: f"disconnected: socket {a.generation}, code {a.code}",
        antiphon.StopAudio: lambda a: f"stop the audio of {a.item_id}",
        antiphon.RequestSettled: lambda a: f"request {a.event_id}: {type(a.outcome).__name__}",
        antiphon.ResponseRequested: lambda a: f"asked for response {a.response_id} ({a.cause})",
        antiphon.ResponseCancelled: lambda a: f"response {a.response_id} cancelled ({a.reason})",
        antiphon.Report: lambda a: f"report {a.rule} {RULES.get(a.rule, '')}: {a.detail}",
        antiphon.Closed: lambda a: f"closed: {a.code} {a.reason}".rstrip(),
    }
    return telling[type(action)](action)


class _Told(Struct):
    type: str = "(no type)"
    delta: object = ""
    text: object = ""
    transcript: object = ""
    error: object = None


def _read(text: bytes) -> tuple[str, str]:
    """The type of an event, and its words."""
    try:
        told = msgspec.json.decode(text, type=_Told)
    except (ValueError, RecursionError):
        return "(no event)", ""
    words: object = told.transcript or told.text or ("" if told.type in _QUIET else told.delta)
    if isinstance(told.error, dict):
        words = f"{told.error.get('code')}: {told.error.get('message')}"
    said = words if isinstance(words, str) else ""
    return told.type, said if len(said) <= _MOST_WORDS else said[: _MOST_WORDS - 1] + "…"
