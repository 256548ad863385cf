"""What the worlds of L9 are made of, by name: so that "every feature" is a list, and a list can be found wanting.

The names come from the catalogues of the library itself wherever there is one (events, inputs, actions, outcomes,
contents), and from the values that a setup is drawn from; what is a way of using several of these has a probe of its
own. `features_of` says which of them one world exercised: a feature counts where it worked, at the end that it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, get_args

from msgspec import UNSET

import antiphon
from antiphon import (
    Action,
    Content,
    Deliver,
    Disconnected,
    Merged,
    RequestSettled,
    ResponseRequested,
    StopAudio,
    TranscriptionResult,
    inputs,
)
from antiphon import messages as m

from .strategies import CHOICES
from .values import SIDES, Line, Refused, Side
from .world import World

_UNSPOKEN: Final = frozenset(
    {
        "conversation.created",  # an old server's greeting; ours does not give it
        "conversation.item.input_audio_transcription.updated",  # one vendor's
    }
)
"""Events of the catalogue that a server engine never says."""

EVENTS: Final = frozenset(
    {f"server says {name}" for name in m.SERVER_EVENTS if name not in _UNSPOKEN}
    | {f"client says {name}" for name in m.CLIENT_EVENTS}
)
INPUTS: Final = frozenset(
    {f"input {each.__name__}" for each in get_args(inputs.Input)}
    - {"input EventReceived", "input Reject"}  # typed events are L11's business; no world is for a refused handshake
)
ACTIONS: Final = frozenset(f"action {each.__name__}" for each in get_args(Action)) - {"action Report"}
OUTCOMES: Final = frozenset(f"outcome {each.__name__}" for each in get_args(antiphon.Outcome))
CONTENTS: Final = frozenset(f"content {each.__name__}" for each in (*get_args(Content), *get_args(TranscriptionResult)))
VALUES: Final = frozenset(f"{name}={value!r}" for name, values in CHOICES.items() for value in values)


def _lines(world: World, side: Side) -> Iterator[Line]:
    """The trace of the client, or of every server that it met."""
    for trace in (*world.past, world.trace["server"]) if side == "server" else (world.trace["client"],):
        yield from trace


def _actions(world: World, side: Side) -> Iterator[Action]:
    return (action for line in _lines(world, side) for action in line.actions)


def _items(world: World) -> Iterator[m.Item]:
    for action in _actions(world, "server"):
        if isinstance(action, Deliver) and isinstance(action.event, m.ConversationItemCreate):
            yield action.event.item


def _has_part(part: type[m.Content]) -> Callable[[World], bool]:
    return lambda world: any(
        isinstance(each, part) for item in _items(world) if isinstance(item, m.MessageItem) for each in item.content
    )


def _requests(world: World) -> Iterator[ResponseRequested]:
    return (action for action in _actions(world, "server") if isinstance(action, ResponseRequested))


def _said(world: World, side: Side) -> Iterator[object]:
    """What one end said, as far as the other heard it."""
    other: Side = "client" if side == "server" else "server"
    return (action.event for action in _actions(world, other) if isinstance(action, Deliver))


def _ended(reason: str) -> Callable[[World], bool]:
    return lambda world: any(
        isinstance(action, Disconnected) and action.reason == reason for action in _actions(world, "client")
    )


def _status(status: str) -> Callable[[World], bool]:
    return lambda world: any(
        isinstance(event, m.ResponseDone) and event.response.status == status for event in _said(world, "server")
    )


def _outlives(world: World) -> bool:
    over: set[str] = set()
    for event in _said(world, "server"):
        if isinstance(event, m.ResponseDone):
            over.add(str(event.response.id))
        elif isinstance(event, m.ResponseOutputItemDone) and event.response_id in over:
            return True
    return False


PROBES: Final[dict[str, Callable[[World], bool]]] = {
    "a function's output": lambda world: any(isinstance(item, m.FunctionCallOutputItem) for item in _items(world)),
    "an image": _has_part(m.InputImage),
    "audio in an item": _has_part(m.InputAudio),
    "an item under a name of the client's": lambda world: any(isinstance(item.id, str) for item in _items(world)),
    "an item behind another": lambda world: any(
        isinstance(event, m.ConversationItemCreate) and event.previous_item_id not in (UNSET, None, "", "root")
        for event in _said(world, "client")
    ),
    "a response out of band": lambda world: any(each.params.conversation == "none" for each in _requests(world)),
    "a response with an input of its own": lambda world: any(bool(each.params.input) for each in _requests(world)),
    "a response with metadata": lambda world: any("mine" in (each.params.metadata or {}) for each in _requests(world)),
    "a response that voice detection asked for": lambda world: any(each.cause == "vad" for each in _requests(world)),
    "a response after silence": lambda world: any(each.cause == "idle" for each in _requests(world)),
    "several items in a response": lambda world: any(
        isinstance(event, m.ResponseDone) and len(event.response.output or []) > 1 for event in _said(world, "server")
    ),
    "a response that failed": _status("failed"),
    "a response that was cancelled": _status("cancelled"),
    "a response that is incomplete": _status("incomplete"),
    "a barge-in that stops the sound": lambda world: any(
        isinstance(action, StopAudio) for action in _actions(world, "client")
    ),
    "a delivery that the server stops": lambda world: any(
        isinstance(action, StopAudio) for action in _actions(world, "server")
    ),
    "audio that was kept is retrieved": lambda world: any(
        isinstance(event, m.ConversationItemRetrieved)
        and isinstance(event.item, m.MessageItem)
        and any(isinstance(getattr(part, "audio", UNSET), str) for part in event.item.content)
        for event in _said(world, "server")
    ),
    "a session that is renewed in time": _ended("renewal"),
    "a session that expires": _ended("session_expired"),
    "a socket that breaks and is followed": lambda world: any(
        isinstance(action, Disconnected) and action.code is None and action.retry_at is not None
        for action in _actions(world, "client")
    ),
    "a history that is given": lambda world: any(node.held_as == "text" for node in world.client.conversation),
    "requests that merge": lambda world: any(
        isinstance(action, RequestSettled) and isinstance(action.outcome, Merged)
        for action in _actions(world, "client")
    ),
    "a call of an MCP server that outlives its response": _outlives,
    "a call of an MCP server that was allowed": lambda world: any(
        isinstance(item, m.McpApprovalResponseItem) for item in _items(world)
    ),
    "odd playback reports": lambda world: any(
        isinstance(line.input, inputs.AudioPlayed) and line.input.samples > 500_000 for line in _lines(world, "client")
    ),
}

EVERY_FEATURE: Final = EVENTS | INPUTS | ACTIONS | OUTCOMES | CONTENTS | VALUES | frozenset(PROBES)


def features_of(world: World) -> set[str]:
    """The features that a world exercised."""
    seen = {f"{name}={getattr(world.setup, name)!r}" for name in CHOICES}
    seen |= {name for name, probe in PROBES.items() if probe(world)}
    for side in SIDES:
        for line in _lines(world, side):
            if not isinstance(line.outcome, Refused):
                seen.add(f"input {type(line.input).__name__}")
                told = getattr(line.input, "content", None) or getattr(line.input, "result", None)
                if told is not None and line.actions:
                    seen.add(f"content {type(told).__name__}")
            for action in line.actions:
                seen.add(f"action {type(action).__name__}")
                if isinstance(action, RequestSettled):
                    seen.add(f"outcome {type(action.outcome).__name__}")
                elif isinstance(action, Deliver):
                    name = getattr(action.event, "step_type", action.event.type)
                    seen.add(f"{'client' if side == 'server' else 'server'} says {name}")
    return seen
