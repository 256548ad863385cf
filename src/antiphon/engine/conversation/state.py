"""A conversation as data: what a snapshot holds of it. JSON-serialisable, without audio."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from antiphon.engine.codec import item_from_builtins, to_builtins

from .nodes import Held, Node, Record, Status
from .text import CutPlace


class StreamState(Struct, frozen=True, omit_defaults=True):
    """One stream: generated text, or a transcription of the user's audio, then with ``state`` and ``error``."""

    index: int
    text: str = ""
    final: bool = False
    state: str = "none"
    error: str | None = None


class CutState(Struct, frozen=True):
    """One truncation."""

    index: int
    audio_end_ms: int
    audio_ms: int | None


class ItemState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What no text streams tell about an item."""

    data: dict[str, object]
    state: str
    status: Status
    previous_item_id: str | None = None
    generated: bool = False
    idle_timeout: bool = False
    response_id: str | None = None
    held_as: Held = "itself"


class RecordState(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="item"):
    """An item with its texts; or texts whose item has not come, then without ``item``.

    ``block`` is the number of the waiting block that it belongs to.
    """

    id: str
    item: ItemState | None = None
    finished: bool = False
    parts: list[StreamState] = []
    transcriptions: list[StreamState] = []
    cuts: list[CutState] = []
    block: int | None = None


class TombstoneState(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is", tag="tombstone"):
    """The place of an item that is gone. ``age`` orders the tombstones, 0 is forgotten first."""

    id: str
    age: int
    block: int | None = None


PlaceState: TypeAlias = RecordState | TombstoneState


class ConversationState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole conversation.

    ``places`` are its items and tombstones in order; ``waits_for`` the predecessor that each block waits for, longest
    first; ``duplicates`` the positions in ``places`` of items that share an id, oldest first; ``early`` what came
    before its item, oldest first.
    """

    places: list[PlaceState] = []
    waits_for: list[str] = []
    duplicates: list[list[int]] = []
    early: list[RecordState] = []


def record_state(record: Record, block: int | None = None) -> RecordState:
    """``record`` as data."""
    return RecordState(
        id=record.id,
        item=_item_state(record) if isinstance(record, Node) else None,
        finished=record.finished,
        parts=[StreamState(index, part.text, part.final) for index, part in record.parts.items()],
        transcriptions=[
            StreamState(index, heard.text, heard.final, heard.state, heard.error)
            for index, heard in record.transcriptions.items()
        ],
        cuts=[CutState(index, place.audio_end_ms, place.audio_ms) for index, place in record.cut_places.items()],
        block=block,
    )


def record_from(state: RecordState) -> Record:
    """The texts that `record_state` was made from, without an item."""
    record = Record(state.id)
    _restore_texts(record, state)
    return record


def node_from(state: RecordState) -> Node:
    """The item that `record_state` was made from. Raises `ValueError` if there is none."""
    if state.item is None:
        raise ValueError(f"the place of {state.id!r} has no item")
    node = Node(item_from_builtins(state.item.data))
    node.state = state.item.state
    node.status = state.item.status
    node.previous_item_id = state.item.previous_item_id
    node.generated = state.item.generated
    node.idle_timeout = state.item.idle_timeout
    node.response_id = state.item.response_id
    node.held_as = state.item.held_as
    _restore_texts(node, state)
    return node


def _restore_texts(record: Record, state: RecordState) -> None:
    record.finished = state.finished
    for stream in state.parts:
        part = record.part(stream.index)
        part.final = stream.final
        record.replace_text(part, stream.text)
    for stream in state.transcriptions:
        transcription = record.transcription(stream.index)
        transcription.state, transcription.final = stream.state, stream.final
        record.replace_text(transcription, stream.text)
        if stream.error is not None:
            record.set_error(transcription, stream.error)
    for cut in state.cuts:
        record.set_cut(cut.index, CutPlace(cut.audio_end_ms, cut.audio_ms))


def _item_state(node: Node) -> ItemState:
    return ItemState(
        data=to_builtins(node.item),
        state=node.state,
        status=node.status,
        previous_item_id=node.previous_item_id,
        generated=node.generated,
        idle_timeout=node.idle_timeout,
        response_id=node.response_id,
        held_as=node.held_as,
    )
