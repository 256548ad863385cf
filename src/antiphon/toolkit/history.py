"""The history of a conversation: what came, changed and went, to hear of and to look at, to search and to take along.

A `History` is a view of the `Conversation` of a session: it keeps no items and no texts of its own, so it shows what
the engine knows, in the order and with the cuts of the engine. Give it ``session.conversation`` (``connection.history``
of an adapter), and feed it with the actions of that session. Given nothing, it listens by itself: feed it with the
events of a server, typed or as they came, and a session that only listens reads them.

Callbacks hear of `Change`s. They are registered as with a `Router`, which ``changes`` is.

`History.export` writes the conversation as the commands that would make it again; `import_history` reads them, for a
new session: what was cut as far as it was heard, audio as its words, an output after its call, foreign ids that are
too long as their digests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from antiphon import messages as m
from antiphon.engine.actions import Deliver
from antiphon.engine.conversation import Conversation, ItemsView, Node
from antiphon.engine.timers import Instant
from antiphon.messages.beta import View
from antiphon.toolkit.bystander import AnyEvent, Said, as_action, bystander, hear
from antiphon.toolkit.event_types import aliases_of
from antiphon.toolkit.export import export_history
from antiphon.toolkit.router import Registration, Router, route_all, route_all_async
from antiphon.toolkit.transcript import Line, Match, Timeline, Transcript

__all__ = ["Change", "ChangeKind", "History"]


class ChangeKind(StrEnum):
    """What happened to an item."""

    ADDED = "added"
    """It is there."""
    UPDATED = "updated"
    """It says more, or something else; or it ended."""
    TRUNCATED = "truncated"
    """What was not heard was cut from it."""
    DELETED = "deleted"
    """It is gone: deleted, or forgotten because the conversation met a limit."""


class Change(Struct, frozen=True):
    """One item changed: ``node`` as it is now, or as it last was; ``event`` is what did it."""

    type: ChangeKind
    node: Node
    event: AnyEvent

    @property
    def item_id(self) -> str:
        """The item's id."""
        return self.node.id


class History:
    """A live view of ``conversation``, or, without one, of what it is fed.

    ``max_timed``: of how many items it is remembered when they were said. ``view``: whose names its own session shows.
    """

    def __init__(self, conversation: Conversation | None = None, *, max_timed: int = 20_000, view: View = "ga") -> None:
        self._session = None
        if conversation is None:
            self._session = bystander(view)
            conversation = self._session.conversation
        self.conversation: Conversation = conversation
        self.timeline = Timeline(max_items=max_timed)
        self.transcript = Transcript(self.conversation, self.timeline)
        self.changes: Router[Change] = Router()
        # The items that were told of, or stood there before, oldest first, with the size of their texts; and by the id
        # under which they were told of, for a session that follows another may give them other ids.
        self._sizes: dict[Node, int] = {node: node.text_bytes for node in conversation}
        self._ids: dict[Node, str] = {node: node.id for node in conversation}
        self._nodes: dict[str, Node] = {node.id: node for node in conversation}

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def items(self) -> ItemsView:
        """The items in order; a live view."""
        return self.conversation.items

    def __len__(self) -> int:
        return len(self.conversation)

    def get(self, item_id: str) -> Node | None:
        """The item of this id; None if there is none."""
        return self.conversation.get(item_id)

    def messages(self) -> tuple[Line, ...]:
        """The messages in order, as a reader should see them."""
        return self.transcript.messages()

    def search(self, words: str, *, regex: bool = False) -> tuple[Match, ...]:
        """Where ``words`` stand: see `Transcript.search`."""
        return self.transcript.search(words, regex=regex)

    # -- hearing of changes --------------------------------------------------------------------------------------------

    def on(self, kind: ChangeKind | str, callback: Callable[[Change], object]) -> Registration:
        """Hear of changes of this kind. Raises ValueError for one that does not exist."""
        return self.changes.on(ChangeKind(kind), callback)

    def feed(self, thing: Said, now: Instant | None = None) -> tuple[Change, ...]:
        """Take what the session did (an action or an event), or, listening by itself, what a server said (an event, or
        its JSON text). ``now``: ns of a clock that does not go back; without it no time passes.

        Calls the callbacks, and answers what they were called with. What they raise is raised when all of them were
        called, unless ``changes.on_error`` has a hook.
        """
        changes = self.note(thing, now)
        route_all((self.changes, change) for change in changes)
        return changes

    async def feed_async(self, thing: Said, now: Instant | None = None) -> tuple[Change, ...]:
        """As `feed`, and awaits what callbacks return."""
        changes = self.note(thing, now)
        await route_all_async((self.changes, change) for change in changes)
        return changes

    def note(self, thing: Said, now: Instant | None = None) -> tuple[Change, ...]:
        """As `feed`, but no callback is called."""
        if self._session is None:
            return self._look(thing, now)
        actions = hear(self._session, thing, now)
        return tuple(change for action in actions for change in self._look(action, now))

    # -- taking along --------------------------------------------------------------------------------------------------

    def export(self) -> bytes:
        """The conversation as a JSON document, for `import_history`: see `export_history`."""
        return export_history(self.conversation)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _look(self, thing: Said, now: Instant | None) -> tuple[Change, ...]:
        action = as_action(thing)
        if now is not None:
            self.timeline.observe(action, now)
        if type(action) is not Deliver:
            return ()
        event: Any = action.event
        name = event.type
        look = _LOOKS.get(name)
        if look is None or type(event) is m.Malformed:
            return ()
        changes: list[Change] = []
        for item_id in look(event):
            self._compare(item_id, event, changes)
        if len(self._sizes) > len(self.conversation):
            self._sweep(event, changes)
        return tuple(changes)

    def _compare(self, item_id: str, event: Any, changes: list[Change]) -> None:
        known = self._nodes.get(item_id)
        node = self.conversation.get(item_id)
        if known is not None and known is not node and self._is_gone(known):
            self._forget(known, event, changes)
        if node is None:
            return
        before = self._sizes.get(node)
        if event.type == m.ConversationItemDeleted.type:
            if before is not None:
                self._name(node, item_id)  # another item of this id, which stays
            return
        self._sizes[node] = node.text_bytes
        if known is not node:
            self._name(node, item_id)
        if before is None:
            changes.append(Change(ChangeKind.ADDED, node, event))
        elif event.type == m.ConversationItemTruncated.type:
            changes.append(Change(ChangeKind.TRUNCATED, node, event))
        elif node.text_bytes != before or not event.type.endswith(".delta"):
            changes.append(Change(ChangeKind.UPDATED, node, event))

    def _name(self, node: Node, item_id: str) -> None:
        told = self._ids.get(node)
        if told is not None and self._nodes.get(told) is node:
            del self._nodes[told]
        self._ids[node] = item_id
        self._nodes[item_id] = node

    def _sweep(self, event: Any, changes: list[Change]) -> None:
        """Items went that no event named. Those that a limit pushes out are the oldest, so it is looked there first."""
        while len(self._sizes) > len(self.conversation) and self._is_gone(oldest := next(iter(self._sizes))):
            self._forget(oldest, event, changes)
        if len(self._sizes) > len(self.conversation):
            for node in [node for node in self._sizes if self._is_gone(node)]:
                self._forget(node, event, changes)

    def _is_gone(self, node: Node) -> bool:
        return not node.linked or self.conversation.get(node.id) is None

    def _forget(self, node: Node, event: Any, changes: list[Change]) -> None:
        del self._sizes[node]
        told = self._ids.pop(node)
        if self._nodes.get(told) is node:
            del self._nodes[told]
        changes.append(Change(ChangeKind.DELETED, node, event))


def _of_item(event: Any) -> Iterable[str]:
    return (event.item.id,) if isinstance(event.item.id, str) else ()


def _of_item_id(event: Any) -> Iterable[str]:
    return (event.item_id,)


def _of_output(event: Any) -> Iterable[str]:
    return [item.id for item in event.response.output or () if isinstance(item.id, str)]


_BY_GA_NAME: Final[Mapping[str, Callable[[Any], Iterable[str]]]] = {
    "conversation.item.added": _of_item,
    "conversation.item.created": _of_item,
    "conversation.item.done": _of_item,
    "conversation.item.retrieved": _of_item,
    "conversation.item.truncated": _of_item_id,
    "conversation.item.deleted": _of_item_id,
    "conversation.item.input_audio_transcription.delta": _of_item_id,
    "conversation.item.input_audio_transcription.updated": _of_item_id,
    "conversation.item.input_audio_transcription.completed": _of_item_id,
    "conversation.item.input_audio_transcription.failed": _of_item_id,
    "response.output_item.done": _of_item,
    "response.output_text.delta": _of_item_id,
    "response.output_text.done": _of_item_id,
    "response.output_audio_transcript.delta": _of_item_id,
    "response.output_audio_transcript.done": _of_item_id,
    "response.function_call_arguments.delta": _of_item_id,
    "response.function_call_arguments.done": _of_item_id,
    "response.mcp_call_arguments.delta": _of_item_id,
    "response.mcp_call_arguments.done": _of_item_id,
    "response.done": _of_output,
}

_LOOKS: Final[Mapping[str, Callable[[Any], Iterable[str]]]] = {
    alias: look for name, look in _BY_GA_NAME.items() for alias in aliases_of(name)
}
"""Which items an event is about, by each of its names."""
