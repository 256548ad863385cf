"""Which of the named flows the turns of a session went, and how often: `antiphon.toolkit.sequence` turn by turn.

A `FlowTally` sorts the events of a session by the response that they belong to, chooses the flow that such a response
should have gone by what it said, and counts. Only responses that were completed are compared: one that was cut short
differs by its nature. A response of several items, or of something that no flow describes, is counted apart.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from msgspec import Struct, field

from antiphon import messages as m
from antiphon.toolkit.bystander import AnyEvent
from antiphon.toolkit.event_types import canonical
from antiphon.toolkit.sequence import FLOWS, Flow, FlowMatch

__all__ = ["FlowCount", "FlowTally"]

_OPEN: Final = 64
"""Responses that are followed at the same time; beyond, the oldest is counted as not compared."""

_MOST_EVENTS: Final = 512
"""Events of one response that are compared, its streams of deltas not counted; one with more is not compared."""

_KINDS: Final = 256
"""Different differences that are counted by name; beyond, under ``(other)``."""


class FlowCount(Struct):
    """How the turns of one flow went. ``differences`` counts what was missing, as ``- type``, or unexpected, as
    ``+ type``."""

    matched: int = 0
    differed: int = 0
    differences: dict[str, int] = field(default_factory=dict)


class _Followed:
    """The events of a response, each stream of deltas once, and what it says."""

    __slots__ = ("before", "items", "kinds", "types")

    def __init__(self, before: list[str]) -> None:
        self.before = before
        self.types: list[str] = ["response.created"]
        self.kinds: set[str] = set()
        self.items = 0


class FlowTally:
    """The flows of one session, or of many once merged. ``not_compared`` counts the responses by why not."""

    def __init__(self) -> None:
        self.flows: dict[str, FlowCount] = {}
        self.not_compared: Counter[str] = Counter()
        self._open: dict[str, _Followed] = {}
        self._spoken: list[str] = []

    def observe(self, event: AnyEvent) -> FlowMatch | None:
        """The next event of the server; how a response differed from its flow, when this event ends such a one."""
        name = canonical(event.type)
        if type(event) is m.Malformed:
            return None
        if name == "input_audio_buffer.speech_started":
            self._spoken = [name]
        elif name in _OF_THE_USER:
            if self._spoken:
                _note(self._spoken, name)
        elif isinstance(event, m.ConversationItemAdded | m.ConversationItemDone):
            self._item(name, event.item)
        elif isinstance(event, m.ResponseCreated):
            self._open[event.response.id] = _Followed(self._spoken)
            self._spoken = []
            if len(self._open) > _OPEN:
                self._open.pop(next(iter(self._open)))
                self.not_compared["followed too long"] += 1
        elif isinstance(event, m.ResponseDone):
            return self._done(event)
        else:
            self._of_response(name, event)
        return None

    def merge(self, other: FlowTally) -> None:
        """Add what another session counted."""
        for name, theirs in other.flows.items():
            mine = self.flows.setdefault(name, FlowCount())
            mine.matched += theirs.matched
            mine.differed += theirs.differed
            for what, number in theirs.differences.items():
                _count(mine.differences, what, number)
        self.not_compared.update(other.not_compared)

    # -- sorting -------------------------------------------------------------------------------------------------------

    def _item(self, name: str, item: m.Item) -> None:
        if getattr(item, "role", None) in ("user", "system") or isinstance(item, m.FunctionCallOutputItem):
            if self._spoken:  # what was typed, or committed by hand, is no part of a flow
                _note(self._spoken, name)
        elif self._open:
            _note(self._open[next(reversed(self._open))].types, name)

    def _of_response(self, name: str, event: Any) -> None:
        followed = self._open.get(getattr(event, "response_id", ""))
        if followed is None:
            return
        if isinstance(event, m.ResponseOutputItemAdded):
            followed.items += 1
        followed.kinds.add(name)
        _note(followed.types, name)

    def _done(self, event: m.ResponseDone) -> FlowMatch | None:
        followed = self._open.pop(event.response.id, None)
        if event.response.status != "completed":
            self.not_compared[str(event.response.status or "(no status)")] += 1
            return None
        flow = None if followed is None else _flow_of(followed)
        if followed is None or flow is None:
            self.not_compared["no flow describes it"] += 1
            return None
        before = followed.before if flow.name == "spoken turn" else []  # the other flows begin with the response
        types = [*before, *followed.types, "response.done"]
        count = self.flows.setdefault(flow.name, FlowCount())
        if flow.fits(types):
            count.matched += 1
            return None
        count.differed += 1
        match = flow.match(types)
        for line in match.lines:
            if line.kind != "same":
                _count(count.differences, f"{'-' if line.kind == 'missing' else '+'} {line.what}")
        return match


_OF_THE_USER: Final = frozenset({"input_audio_buffer.speech_stopped", "input_audio_buffer.committed"})


def _flow_of(followed: _Followed) -> Flow | None:
    """The flow of such a response, None where no flow is of its kind."""
    if followed.items != 1 or len(followed.types) > _MOST_EVENTS:
        return None
    if "response.function_call_arguments.done" in followed.kinds:
        return FLOWS["function call"]
    if "response.output_audio.done" in followed.kinds or "response.output_audio.delta" in followed.kinds:
        return FLOWS["spoken turn" if followed.before else "audio response"]
    return FLOWS["text response"] if "response.output_text.done" in followed.kinds else None


def _note(types: list[str], name: str) -> None:
    """Deltas that go on, of one stream or of two at a time, are noted once: how many there are says nothing."""
    if len(types) > _MOST_EVENTS or (name.endswith(".delta") and name in types[-2:]):
        return
    types.append(name)


def _count(counter: dict[str, int], name: str, number: int = 1) -> None:
    if name not in counter and len(counter) >= _KINDS:
        name = "(other)"
    counter[name] = counter.get(name, 0) + number
