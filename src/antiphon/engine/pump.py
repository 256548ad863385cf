"""Keeps the order when performing an action leads to another input.

An application that sends from inside an event handler would otherwise overtake the actions that are still to be
performed. Every driver feeds inputs here and takes actions from here, one by one.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from antiphon.engine.actions import Action, Actions
from antiphon.engine.inputs import Input
from antiphon.engine.timers import Instant


class Engine(Protocol):
    """What a pump drives: a `Session` or a `Connection`."""

    def handle(self, input: Input, now: Instant) -> Actions:
        """One input at ``now`` (ns), and what it leads to."""
        ...


class Pump:
    """A queue of actions between one engine and one driver. Empty between two events: then a snapshot is possible."""

    __slots__ = ("_actions", "_engine")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._actions: deque[Action] = deque()

    def feed(self, input: Input, now: Instant) -> None:
        """Give ``input`` to the engine. Raises what the engine raises; then nothing is queued."""
        self._actions.extend(self._engine.handle(input, now))

    def put(self, actions: Actions) -> None:
        """Queue what a named method of the engine returned."""
        self._actions.extend(actions)

    def next(self) -> Action | None:
        """The next action to perform, None when there is none."""
        return self._actions.popleft() if self._actions else None

    def __len__(self) -> int:
        return len(self._actions)
