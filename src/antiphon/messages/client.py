"""The events that a client sends: eleven of a conversation, two of a translation."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias, get_args

from msgspec import UNSET

from ._base import ClientEventBase, Id, Maybe
from .items import Item
from .objects import AnySession
from .responses import ResponseCreateParams
from .translation import SessionClose, SessionInputAudioBufferAppend


class SessionUpdate(ClientEventBase, frozen=True, kw_only=True, tag="session.update"):
    """Change the session: only keys that are present change, null clears, one invalid key refuses all of them."""

    type: ClassVar[Literal["session.update"]] = "session.update"
    session: AnySession


class InputAudioBufferAppend(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.append"):
    """Add base64 `audio` in the session's input format, at most 15 MiB an event. The server does not answer it."""

    type: ClassVar[Literal["input_audio_buffer.append"]] = "input_audio_buffer.append"
    _concealed: ClassVar[frozenset[str]] = frozenset({"audio"})
    audio: str


class InputAudioBufferCommit(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.commit"):
    """Make a user item of the buffered audio (at least 100 ms). No response is created."""

    type: ClassVar[Literal["input_audio_buffer.commit"]] = "input_audio_buffer.commit"


class InputAudioBufferClear(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.clear"):
    """Drop the audio that is not committed yet."""

    type: ClassVar[Literal["input_audio_buffer.clear"]] = "input_audio_buffer.clear"


class OutputAudioBufferClear(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="output_audio_buffer.clear"):
    """Cut playback (WebRTC and SIP only). Generation goes on unless `response.cancel` came before."""

    type: ClassVar[Literal["output_audio_buffer.clear"]] = "output_audio_buffer.clear"


class ConversationItemCreate(ClientEventBase, frozen=True, kw_only=True, tag="conversation.item.create"):
    """Add an item: at the end, or after `previous_item_id`; "root" is the front. No response is created."""

    type: ClassVar[Literal["conversation.item.create"]] = "conversation.item.create"
    previous_item_id: Maybe[Id] = UNSET
    item: Item


class ConversationItemRetrieve(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.retrieve"):
    """Ask for an item with its audio."""

    type: ClassVar[Literal["conversation.item.retrieve"]] = "conversation.item.retrieve"
    item_id: Id


class ConversationItemTruncate(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.truncate"):
    """Keep only the first `audio_end_ms` milliseconds of an assistant's audio, as that was all that was heard."""

    type: ClassVar[Literal["conversation.item.truncate"]] = "conversation.item.truncate"
    item_id: Id
    content_index: int
    audio_end_ms: int


class ConversationItemDelete(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.delete"):
    """Remove an item from the conversation."""

    type: ClassVar[Literal["conversation.item.delete"]] = "conversation.item.delete"
    item_id: Id


class ResponseCreate(ClientEventBase, frozen=True, kw_only=True, tag="response.create"):
    """Ask for a response. The default conversation can have one in progress, others any number."""

    type: ClassVar[Literal["response.create"]] = "response.create"
    response: Maybe[ResponseCreateParams] = UNSET


class ResponseCancel(ClientEventBase, frozen=True, kw_only=True, gc=False, tag="response.cancel"):
    """Stop a response: the given one, or the one in progress in the default conversation."""

    type: ClassVar[Literal["response.cancel"]] = "response.cancel"
    response_id: Maybe[Id] = UNSET


ClientEvent: TypeAlias = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | OutputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | SessionInputAudioBufferAppend
    | SessionClose
)

CLIENT_EVENTS: Final[dict[str, type[ClientEvent]]] = {cls.type: cls for cls in get_args(ClientEvent)}
