"""Which damage to a real session goes unnoticed, and which rule of order allows it.

Every lifecycle event of a recording is left out once, and every two neighbours among them change places once. What the
checker says nothing about (no broken rule, nothing open at the end) has to be allowed by the protocol: `EXCUSES` names
the reasons, after the ordering guarantees of the protocol's facts (2.0), each as a small predicate. A mutation that is
neither told nor excused is a hole in the tables.

    python tests/traffic/mutations.py [FILE…]      without files: the GA recordings beside the repository
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from antiphon.engine.acknowledgements import ANSWERS
from antiphon.machines import EVENTS
from antiphon.toolkit.journal import Entry, Row
from antiphon_cli.check import Verdict, check_entries
from antiphon_cli.journal import read_journal
from shared_data import SHARED

TRAFFIC = SHARED / "traffic"

GA_FILES = (
    "pydantic-ai--openai_ws--*.jsonl",
    "pydantic-ai--azure_ws--*.jsonl",
    "pydantic-ai--openai_ws_sideband--*.jsonl",
    "pydantic-ai--parity_ws--*.jsonl",
    "client--openai-python-ga.jsonl",
)
"""The recordings that keep every rule. Their audio was cut, which `check` is told."""


def ga_files() -> list[Path]:
    """The GA recordings; empty where the folder is absent."""
    return sorted(path for pattern in GA_FILES for path in TRAFFIC.glob(pattern))


class Event(NamedTuple):
    """A lifecycle event of a recording: its line, and what it says."""

    line: int
    dir: Literal["client", "server"]
    type: str
    data: dict[str, object]

    def __str__(self) -> str:
        return f"{self.type} (line {self.line}, {self.dir})"


class Mutation(NamedTuple):
    """One damage: ``first`` is left out, or changes places with ``second``. ``before`` and ``after`` are the other
    events of the lifecycle, ``entries`` is the damaged recording."""

    first: Event
    second: Event | None
    before: tuple[Event, ...]
    after: tuple[Event, ...]
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return f"without {self.first}" if self.second is None else f"{self.first} behind {self.second}"

    @property
    def pair(self) -> set[str]:
        """The types that it is about."""
        return {self.first.type} | (set() if self.second is None else {self.second.type})


def lifecycle(entries: Sequence[Entry]) -> dict[int, Event]:
    """The events that nothing may drop or overtake, by their index in ``entries``."""
    events: dict[int, Event] = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, Row):
            data = json.loads(entry.event)
            spec = EVENTS.get(data["type"])
            if spec is not None and spec.lifecycle:
                events[index] = Event(entry.number, entry.dir, data["type"], data)
    return events


def mutations(entries: Sequence[Entry]) -> Iterator[Mutation]:
    """Every deletion of a lifecycle event, then every swap of two neighbours; what lies between them stays."""
    events = lifecycle(entries)
    places, ordered = list(events), tuple(events.values())
    for position, place in enumerate(places):
        left = (*entries[:place], *entries[place + 1 :])
        yield Mutation(ordered[position], None, ordered[:position], ordered[position + 1 :], left)
    for position, (place, next_place) in enumerate(itertools.pairwise(places)):
        swapped = list(entries)
        swapped[place], swapped[next_place] = swapped[next_place], swapped[place]
        yield Mutation(
            ordered[position], ordered[position + 1], ordered[:position], ordered[position + 2 :], tuple(swapped)
        )


def is_told(verdict: Verdict) -> bool:
    """Whether the checker says anything."""
    return bool(verdict.violations or verdict.open_at_end or verdict.unreadable)


# What the protocol allows -------------------------------------------------------------------------------------------


def client_and_server_rows_may_cross(mutation: Mutation) -> bool:
    """A recording shows when one end saw an event; a command and a server's event may be on their way at once. An
    answer does not cross what it answers."""
    first, second = mutation.first, mutation.second
    if second is None or first.dir == second.dir:
        return False
    return {**ANSWERS, "response.create": "response.created"}.get(first.type) != second.type


def transcription_floats(mutation: Mutation) -> bool:
    """No edge between a transcription and anything of a response; it may also come after the recording's end."""
    return any(".input_audio_transcription." in each for each in mutation.pair)


def two_output_items_interleave(mutation: Mutation) -> bool:
    """No edge between two output items of one response."""
    first, second = mutation.first, mutation.second
    if second is None or first.dir != "server" or second.dir != "server":
        return False
    items = _item_of(first), _item_of(second)
    return None not in items and items[0] != items[1]


def updated_waits_for_its_update_alone(mutation: Mutation) -> bool:
    """The one edge of `session.updated` is its `session.update`: nothing orders it against what detection hears."""
    return mutation.second is not None and any(
        {"session.updated", heard} == mutation.pair
        for heard in ("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped")
    )


def item_and_response_are_asked_for_apart(mutation: Mutation) -> bool:
    """Answers of one kind of command come in order; a response may begin after the answer to a later item."""
    return (
        mutation.second is not None
        and mutation.first.dir == mutation.second.dir == "client"
        and mutation.pair == {"conversation.item.create", "response.create"}
    )


def sideband_announces_nothing(mutation: Mutation) -> bool:
    """Without `session.created`, and with `session.updated` first, a recording is that of a sideband."""
    if mutation.second is not None or mutation.first.type != "session.created":
        return False
    updates = [event.type for event in mutation.after[:2]]
    return updates == ["session.update", "session.updated"]


def sideband_shares_its_session(mutation: Mutation) -> bool:
    """On a sideband the call itself is a client too: an item, or a response, may be its wish."""
    is_sideband = all(event.type != "session.created" for event in (*mutation.before, mutation.first, *mutation.after))
    return (
        is_sideband
        and mutation.second is None
        and mutation.first.type in ("conversation.item.create", "response.create")
    )


def server_begins_responses_itself(mutation: Mutation) -> bool:
    """Voice detection with `create_response`, and the idle timeout, begin responses that no client asked for."""
    if mutation.second is not None or mutation.first.type != "response.create":
        return False
    for event in reversed(mutation.before):
        if event.dir == "server" and event.type in ("session.created", "session.updated"):
            return bool(_at(event.data, "session", "audio", "input", "turn_detection", "create_response"))
    return False


Excuse = Callable[[Mutation], bool]

EXCUSES: tuple[Excuse, ...] = (
    transcription_floats,
    two_output_items_interleave,
    updated_waits_for_its_update_alone,
    item_and_response_are_asked_for_apart,
    sideband_announces_nothing,
    sideband_shares_its_session,
    server_begins_responses_itself,
    client_and_server_rows_may_cross,
)


def excuse_of(mutation: Mutation) -> str | None:
    """The name of the first rule of order that allows it, None when there is none."""
    return next((excuse.__name__.replace("_", " ") for excuse in EXCUSES if excuse(mutation)), None)


def _item_of(event: Event) -> object:
    return event.data.get("item_id") or _at(event.data, "item", "id")


def _at(data: object, *path: str) -> object:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


# The report ---------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What became of the mutations of one file."""

    tried: int
    silent: tuple[tuple[Mutation, str | None], ...]

    @property
    def holes(self) -> tuple[Mutation, ...]:
        """What was neither told nor excused."""
        return tuple(mutation for mutation, excuse in self.silent if excuse is None)


def try_all(path: Path) -> Outcome:
    """Every mutation of one recording."""
    entries = tuple(read_journal(path))
    tried = 0
    silent = []
    for mutation in mutations(entries):
        tried += 1
        if not is_told(check_entries(mutation.entries, path.name, audio_cut=True)):
            silent.append((mutation, excuse_of(mutation)))
    return Outcome(tried, tuple(silent))


def main(arguments: Sequence[str]) -> int:
    """Print the outcome for each file, and return 1 if there is a hole, 2 if there is nothing to try."""
    files = [Path(argument) for argument in arguments] or ga_files()
    if not files:
        print(f"no recordings in {TRAFFIC}", file=sys.stderr)
        return 2
    tried = told = holes = 0
    for path in files:
        outcome = try_all(path)
        tried += outcome.tried
        told += outcome.tried - len(outcome.silent)
        holes += len(outcome.holes)
        print(f"{path.name}: {outcome.tried} tried, {outcome.tried - len(outcome.silent)} told")
        for mutation, excuse in outcome.silent:
            print(f"  {mutation}: {excuse or 'NOT ALLOWED BY ANY RULE'}")
    print(f"{tried} mutations: {told} told, {tried - told - holes} allowed by a rule of order, {holes} neither")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
