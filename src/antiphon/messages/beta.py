"""The names of the beta dialect, and of vendors' own events that mean what an event of the protocol means.

A class here is a subclass of the GA class that it stands for, with the same fields, so `isinstance` with the GA class
holds whichever name an event came by. Which names `event.type` shows is a *view*: "ga" (the default) or "beta".
`SERVER_VIEWS` and `CLIENT_VIEWS` say, for each view, which class reads an event of which name on the wire. Where
view and wire differ, that is a class made here for this pair alone: its `type` is the name of the view, its `wire_type`
that of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar, cast

import msgspec

from ._base import Event, Id, ServerEventBase
from .client import CLIENT_EVENTS, SessionUpdate
from .server import (
    SERVER_EVENTS,
    ConversationItemAdded,
    ConversationItemCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    SessionCreated,
    SessionUpdated,
)

View: TypeAlias = Literal["ga", "beta"]
"""Whose names `event.type` shows."""

E = TypeVar("E", bound=Event)

# --- the beta names ---------------------------------------------------------------------------------------------------


class ResponseTextDelta(ResponseOutputTextDelta, frozen=True, kw_only=True, gc=False, tag="response.text.delta"):
    """`response.output_text.delta` by its beta name."""

    type: ClassVar[Literal["response.text.delta"]] = "response.text.delta"  # type: ignore[assignment]


class ResponseTextDone(ResponseOutputTextDone, frozen=True, kw_only=True, gc=False, tag="response.text.done"):
    """`response.output_text.done` by its beta name."""

    type: ClassVar[Literal["response.text.done"]] = "response.text.done"  # type: ignore[assignment]


class ResponseAudioDelta(ResponseOutputAudioDelta, frozen=True, kw_only=True, gc=False, tag="response.audio.delta"):
    """`response.output_audio.delta` by its beta name."""

    type: ClassVar[Literal["response.audio.delta"]] = "response.audio.delta"  # type: ignore[assignment]


class ResponseAudioDone(ResponseOutputAudioDone, frozen=True, kw_only=True, gc=False, tag="response.audio.done"):
    """`response.output_audio.done` by its beta name."""

    type: ClassVar[Literal["response.audio.done"]] = "response.audio.done"  # type: ignore[assignment]


class ResponseAudioTranscriptDelta(
    ResponseOutputAudioTranscriptDelta, frozen=True, kw_only=True, gc=False, tag="response.audio_transcript.delta"
):
    """`response.output_audio_transcript.delta` by its beta name."""

    type: ClassVar[Literal["response.audio_transcript.delta"]] = "response.audio_transcript.delta"  # type: ignore[assignment]


class ResponseAudioTranscriptDone(
    ResponseOutputAudioTranscriptDone, frozen=True, kw_only=True, gc=False, tag="response.audio_transcript.done"
):
    """`response.output_audio_transcript.done` by its beta name."""

    type: ClassVar[Literal["response.audio_transcript.done"]] = "response.audio_transcript.done"  # type: ignore[assignment]


class TranscriptionSessionCreated(SessionCreated, frozen=True, kw_only=True, tag="transcription_session.created"):
    """`session.created` of a session that only transcribes, by its beta name."""

    type: ClassVar[Literal["transcription_session.created"]] = "transcription_session.created"  # type: ignore[assignment]


class TranscriptionSessionUpdated(SessionUpdated, frozen=True, kw_only=True, tag="transcription_session.updated"):
    """`session.updated` of a session that only transcribes, by its beta name."""

    type: ClassVar[Literal["transcription_session.updated"]] = "transcription_session.updated"  # type: ignore[assignment]


class TranscriptionSessionUpdate(SessionUpdate, frozen=True, kw_only=True, tag="transcription_session.update"):
    """`session.update` of a session that only transcribes, by its beta name."""

    type: ClassVar[Literal["transcription_session.update"]] = "transcription_session.update"  # type: ignore[assignment]


# --- names of vendors -------------------------------------------------------------------------------------------------


class ConversationItemInputAudioTranscriptionUpdated(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.input_audio_transcription.updated"
):
    """All of a transcript so far, in place of what was told before (xAI). `completed` follows."""

    type: ClassVar[Literal["conversation.item.input_audio_transcription.updated"]] = (
        "conversation.item.input_audio_transcription.updated"
    )
    step_type: ClassVar[str] = "internal.updated"
    item_id: Id
    content_index: int
    transcript: str


# --- views ------------------------------------------------------------------------------------------------------------


def _seen_as(base: type[E], shown: str, wire: str, step: str | None = None) -> type[E]:
    """A class like ``base`` for events that are called ``wire`` on the wire and ``shown`` in the view."""
    stem = "".join(word.capitalize() for word in wire.replace(".", "_").split("_"))
    namespace: dict[str, object] = {
        "__doc__": f"`{shown}`, which came as `{wire}`.",
        "type": shown,
        "wire_type": wire,
        "step_type": base.step_type if step is None else step,
    }
    config = base.__struct_config__
    made = msgspec.defstruct(
        f"{base.__name__}From{stem}",
        [],
        bases=(base,),
        module=__name__,
        namespace=namespace,
        tag=wire,
        frozen=True,
        kw_only=True,
        gc=config.gc,
    )
    globals()[made.__name__] = made  # so that it can be pickled
    return cast("type[E]", made)


BETA_NAMES: Final[Mapping[type[Event], type[Event]]] = MappingProxyType(
    {
        ResponseOutputTextDelta: ResponseTextDelta,
        ResponseOutputTextDone: ResponseTextDone,
        ResponseOutputAudioDelta: ResponseAudioDelta,
        ResponseOutputAudioDone: ResponseAudioDone,
        ResponseOutputAudioTranscriptDelta: ResponseAudioTranscriptDelta,
        ResponseOutputAudioTranscriptDone: ResponseAudioTranscriptDone,
        ConversationItemAdded: ConversationItemCreated,
    }
)
"""The classes of GA events that have another name in the beta dialect, and the class of that name."""

_TRANSCRIPTION_NAMES: Final[Mapping[type[Event], type[Event]]] = {
    SessionCreated: TranscriptionSessionCreated,
    SessionUpdated: TranscriptionSessionUpdated,
}

UPDATED_BY_COMPLETED: Final = "conversation.item.input_audio_transcription.completed (in progress)"
"""The key in `SERVER_VIEWS` of a `completed` that says it is not the last. No event has this name on the wire."""


def _views() -> dict[View, dict[str, type[Event]]]:
    ga: dict[str, type[Event]] = dict(SERVER_EVENTS)
    beta: dict[str, type[Event]] = dict(SERVER_EVENTS)
    for plain, renamed in (*BETA_NAMES.items(), *_TRANSCRIPTION_NAMES.items()):
        step = renamed.step_type
        ga[renamed.type] = _seen_as(
            renamed if plain is ConversationItemAdded else plain, plain.type, renamed.type, step
        )
        beta[renamed.type] = renamed
        if plain in BETA_NAMES:
            beta[plain.type] = _seen_as(renamed, renamed.type, plain.type, plain.step_type)
    updated = ConversationItemInputAudioTranscriptionUpdated
    both: dict[str, type[Event]] = {
        updated.type: updated,
        UPDATED_BY_COMPLETED: _seen_as(updated, updated.type, "conversation.item.input_audio_transcription.completed"),
        "response.cancelled": _seen_as(ResponseDone, ResponseDone.type, "response.cancelled"),
    }
    return {"ga": {**ga, **both}, "beta": {**beta, **both}}


SERVER_VIEWS: Final[Mapping[View, Mapping[str, type[Event]]]] = _views()
"""For each view: the name on the wire of everything that a server may say, and the class that reads it."""

CLIENT_VIEWS: Final[Mapping[View, Mapping[str, type[Event]]]] = {
    "ga": {
        **CLIENT_EVENTS,
        TranscriptionSessionUpdate.type: _seen_as(SessionUpdate, SessionUpdate.type, TranscriptionSessionUpdate.type),
    },
    "beta": {**CLIENT_EVENTS, TranscriptionSessionUpdate.type: TranscriptionSessionUpdate},
}
"""The same of a client."""
