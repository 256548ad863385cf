"""The events that a server sends: 46 of a conversation, four of a translation. Names are those of the wire."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, TypeAlias, get_args

from msgspec import UNSET, UnsetType

from ._base import Id, Maybe, ServerEventBase
from .items import Item, Part
from .objects import (
    AnySession,
    Conversation,
    ErrorDetail,
    FailureDetail,
    LogProb,
    RateLimit,
    TranscriptionLanguage,
    TranscriptionUsage,
)
from .responses import Response, ResponseUsage
from .translation import (
    SessionClosed,
    SessionInputTranscriptDelta,
    SessionOutputAudioDelta,
    SessionOutputTranscriptDelta,
)

# --- session ----------------------------------------------------------------------------------------------------------


class Error(ServerEventBase, frozen=True, kw_only=True, tag="error"):
    """Something went wrong: by the client (`error.event_id` may name the event) or in the server. Changes no state."""

    type: ClassVar[Literal["error"]] = "error"
    error: ErrorDetail


class SessionCreated(ServerEventBase, frozen=True, kw_only=True, tag="session.created"):
    """The first event of a connection, with the default configuration. A sideband does not get it."""

    type: ClassVar[Literal["session.created"]] = "session.created"
    session: AnySession


class SessionUpdated(ServerEventBase, frozen=True, kw_only=True, tag="session.updated"):
    """The answer to `session.update`, with the whole effective configuration."""

    type: ClassVar[Literal["session.updated"]] = "session.updated"
    session: AnySession


class ConversationCreated(ServerEventBase, frozen=True, kw_only=True, tag="conversation.created"):
    """The default conversation exists. Current OpenAI and Azure servers do not send it."""

    type: ClassVar[Literal["conversation.created"]] = "conversation.created"
    conversation: Conversation


class RateLimitsUpdated(ServerEventBase, frozen=True, kw_only=True, tag="rate_limits.updated"):
    """How much is left of each limit. Informational, at no fixed place, often absent."""

    type: ClassVar[Literal["rate_limits.updated"]] = "rate_limits.updated"
    rate_limits: list[RateLimit]


# --- conversation items -----------------------------------------------------------------------------------------------


class ConversationItemAdded(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.added"):
    """An item enters the conversation after `previous_item_id`; null is the front on OpenAI."""

    type: ClassVar[Literal["conversation.item.added"]] = "conversation.item.added"
    previous_item_id: Maybe[Id] = UNSET
    item: Item


class ConversationItemCreated(ConversationItemAdded, frozen=True, kw_only=True, tag="conversation.item.created"):
    """A new item, in beta dialects, where no `conversation.item.done` follows; GA servers send `added` and `done`."""

    type: ClassVar[Literal["conversation.item.created"]] = "conversation.item.created"  # type: ignore[assignment]
    step_type: ClassVar[str] = "conversation.item.created"


class ConversationItemDone(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.done"):
    """An item is final. Its `previous_item_id` is not reliable: only that of `added` counts."""

    type: ClassVar[Literal["conversation.item.done"]] = "conversation.item.done"
    previous_item_id: Maybe[Id] = UNSET
    item: Item


class ConversationItemRetrieved(ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.retrieved"):
    """The answer to `conversation.item.retrieve`, with base64 audio."""

    type: ClassVar[Literal["conversation.item.retrieved"]] = "conversation.item.retrieved"
    item: Item


class ConversationItemTruncated(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.truncated"
):
    """Audio after `audio_end_ms` milliseconds and the whole transcript of the part are gone from the item."""

    type: ClassVar[Literal["conversation.item.truncated"]] = "conversation.item.truncated"
    item_id: Id
    content_index: int
    audio_end_ms: int


class ConversationItemDeleted(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.deleted"):
    """The item is gone."""

    type: ClassVar[Literal["conversation.item.deleted"]] = "conversation.item.deleted"
    item_id: Id


class ConversationItemInputAudioTranscriptionDelta(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.delta"
):
    """More of a transcript of the user's audio; it may come before the item itself."""

    type: ClassVar[Literal["conversation.item.input_audio_transcription.delta"]] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: Id
    content_index: Maybe[int] = UNSET
    delta: Maybe[str] = UNSET
    logprobs: Maybe[list[LogProb]] = UNSET
    obfuscation: Maybe[str] = UNSET


class ConversationItemInputAudioTranscriptionSegment(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="conversation.item.input_audio_transcription.segment"
):
    """One speaker's stretch of the user's audio, `start` and `end` in seconds; only from diarizing models."""

    type: ClassVar[Literal["conversation.item.input_audio_transcription.segment"]] = (
        "conversation.item.input_audio_transcription.segment"
    )
    id: Id
    item_id: Id
    content_index: int
    text: str
    speaker: str
    start: float
    end: float


class ConversationItemInputAudioTranscriptionCompleted(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.completed"
):
    """The whole transcript, replacing the deltas. One that says it is not the last is read as an `Updated` (xAI).

    Some vendors leave `usage` out although it is documented as required.
    """

    type: ClassVar[Literal["conversation.item.input_audio_transcription.completed"]] = (
        "conversation.item.input_audio_transcription.completed"
    )
    item_id: Id
    content_index: int
    transcript: str
    usage: Maybe[TranscriptionUsage] = UNSET
    languages: Maybe[list[TranscriptionLanguage]] = UNSET
    logprobs: Maybe[list[LogProb]] = UNSET
    status: Maybe[Literal["completed"]] = UNSET


class ConversationItemInputAudioTranscriptionFailed(
    ServerEventBase, frozen=True, kw_only=True, tag="conversation.item.input_audio_transcription.failed"
):
    """The user's audio could not be transcribed; the response is not affected."""

    type: ClassVar[Literal["conversation.item.input_audio_transcription.failed"]] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: Id
    content_index: int
    error: FailureDetail


# --- input and output audio buffers -----------------------------------------------------------------------------------


class InputAudioBufferCommitted(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.committed"
):
    """The buffered audio becomes the user item `item_id`."""

    type: ClassVar[Literal["input_audio_buffer.committed"]] = "input_audio_buffer.committed"
    previous_item_id: Maybe[Id] = UNSET
    item_id: Id


class InputAudioBufferCleared(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.cleared"):
    """The answer to `input_audio_buffer.clear`."""

    type: ClassVar[Literal["input_audio_buffer.cleared"]] = "input_audio_buffer.cleared"


class InputAudioBufferSpeechStarted(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.speech_started"
):
    """The user speaks from `audio_start_ms` (ms of all input audio, padding included); `item_id` is announced.

    Required on OpenAI, but some vendors send no offset, and a barge-in must not be lost for that.
    """

    type: ClassVar[Literal["input_audio_buffer.speech_started"]] = "input_audio_buffer.speech_started"
    audio_start_ms: int | UnsetType = UNSET
    item_id: Id


class InputAudioBufferSpeechStopped(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.speech_stopped"
):
    """The user has stopped at `audio_end_ms` (milliseconds of all input audio); some vendors send no offset."""

    type: ClassVar[Literal["input_audio_buffer.speech_stopped"]] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int | UnsetType = UNSET
    item_id: Id


class InputAudioBufferTimeoutTriggered(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.timeout_triggered"
):
    """Nobody spoke for `idle_timeout_ms`: the silence between the two offsets (ms) is committed, a response follows."""

    type: ClassVar[Literal["input_audio_buffer.timeout_triggered"]] = "input_audio_buffer.timeout_triggered"
    audio_start_ms: int
    audio_end_ms: int
    item_id: Id


class InputAudioBufferDtmfEventReceived(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="input_audio_buffer.dtmf_event_received"
):
    """A telephone key (SIP only): `event` is the key, `received_at` in unix seconds. It has no `event_id`."""

    type: ClassVar[Literal["input_audio_buffer.dtmf_event_received"]] = "input_audio_buffer.dtmf_event_received"
    event: str
    received_at: int


class OutputAudioBufferStarted(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="output_audio_buffer.started"):
    """The server begins to send audio (WebRTC and SIP only)."""

    type: ClassVar[Literal["output_audio_buffer.started"]] = "output_audio_buffer.started"
    response_id: Id


class OutputAudioBufferStopped(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="output_audio_buffer.stopped"):
    """All audio of the response has been sent, after `response.done` (WebRTC and SIP only)."""

    type: ClassVar[Literal["output_audio_buffer.stopped"]] = "output_audio_buffer.stopped"
    response_id: Id


class OutputAudioBufferCleared(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="output_audio_buffer.cleared"):
    """Audio was cut, by the user's speech or by the client; comes instead of `stopped` (WebRTC and SIP only)."""

    type: ClassVar[Literal["output_audio_buffer.cleared"]] = "output_audio_buffer.cleared"
    response_id: Id


# --- responses --------------------------------------------------------------------------------------------------------


class ResponseCreated(ServerEventBase, frozen=True, kw_only=True, tag="response.created"):
    """A response begins; it has no output yet."""

    type: ClassVar[Literal["response.created"]] = "response.created"
    response: Response


class ResponseDone(ServerEventBase, frozen=True, kw_only=True, tag="response.done"):
    """A response ends, however: exactly one for each that was created. Output without audio, and the usage.

    `response_id` and `usage` beside `response` are where xAI puts them.
    """

    type: ClassVar[Literal["response.done"]] = "response.done"
    response: Response
    response_id: Maybe[Id] = UNSET
    usage: Maybe[ResponseUsage] = UNSET


class ResponseOutputItemAdded(ServerEventBase, frozen=True, kw_only=True, tag="response.output_item.added"):
    """An item of the response begins."""

    type: ClassVar[Literal["response.output_item.added"]] = "response.output_item.added"
    response_id: Id
    output_index: int
    item: Item


class ResponseOutputItemDone(ServerEventBase, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item of the response is whole, or was cut short (`status` "incomplete")."""

    type: ClassVar[Literal["response.output_item.done"]] = "response.output_item.done"
    response_id: Id
    output_index: int
    item: Item


class ResponseContentPartAdded(ServerEventBase, frozen=True, kw_only=True, tag="response.content_part.added"):
    """A part of an item begins."""

    type: ClassVar[Literal["response.content_part.added"]] = "response.content_part.added"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    part: Part | UnsetType = UNSET


class ResponseContentPartDone(ServerEventBase, frozen=True, kw_only=True, tag="response.content_part.done"):
    """A part of an item is whole. xAI leaves `part` out; what the deltas brought holds then."""

    type: ClassVar[Literal["response.content_part.done"]] = "response.content_part.done"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    part: Part | UnsetType = UNSET


class ResponseOutputTextDelta(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.output_text.delta"):
    """More text."""

    type: ClassVar[Literal["response.output_text.delta"]] = "response.output_text.delta"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    delta: str
    obfuscation: Maybe[str] = UNSET


class ResponseOutputTextDone(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.output_text.done"):
    """The whole text of the part; it replaces the deltas. Comes on interruption too."""

    type: ClassVar[Literal["response.output_text.done"]] = "response.output_text.done"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    text: str


class ResponseOutputAudioTranscriptDelta(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.output_audio_transcript.delta"
):
    """More of what the model says."""

    type: ClassVar[Literal["response.output_audio_transcript.delta"]] = "response.output_audio_transcript.delta"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    delta: str
    obfuscation: Maybe[str] = UNSET


class ResponseOutputAudioTranscriptDone(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.output_audio_transcript.done"
):
    """The whole transcript of the part; it replaces the deltas. Comes on interruption too."""

    type: ClassVar[Literal["response.output_audio_transcript.done"]] = "response.output_audio_transcript.done"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    transcript: str


class ResponseOutputAudioDelta(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.output_audio.delta"):
    """More audio: base64 in the session's output format. Not sent over WebRTC or a sideband."""

    type: ClassVar[Literal["response.output_audio.delta"]] = "response.output_audio.delta"
    _concealed: ClassVar[frozenset[str]] = frozenset({"delta"})
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int
    delta: str


class ResponseOutputAudioDone(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.output_audio.done"):
    """The audio of the part is complete, or was cut."""

    type: ClassVar[Literal["response.output_audio.done"]] = "response.output_audio.done"
    response_id: Id
    item_id: Id
    output_index: int
    content_index: int


class ResponseFunctionCallArgumentsDelta(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.function_call_arguments.delta"
):
    """More of the arguments, as JSON text."""

    type: ClassVar[Literal["response.function_call_arguments.delta"]] = "response.function_call_arguments.delta"
    response_id: Id
    item_id: Id
    output_index: int
    call_id: Id
    delta: str
    obfuscation: Maybe[str] = UNSET


class ResponseFunctionCallArgumentsDone(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.function_call_arguments.done"
):
    """The whole arguments. Beta servers send no `name`; it reads as "" with a problem, and the edge fills it in."""

    type: ClassVar[Literal["response.function_call_arguments.done"]] = "response.function_call_arguments.done"
    response_id: Id
    item_id: Id
    output_index: int
    call_id: Id
    name: str
    arguments: str


# --- MCP --------------------------------------------------------------------------------------------------------------


class ResponseMcpCallArgumentsDelta(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.mcp_call_arguments.delta"
):
    """More of the arguments of a call to an MCP server, as JSON text."""

    type: ClassVar[Literal["response.mcp_call_arguments.delta"]] = "response.mcp_call_arguments.delta"
    response_id: Id
    item_id: Id
    output_index: int
    delta: str
    obfuscation: Maybe[str] = UNSET


class ResponseMcpCallArgumentsDone(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.mcp_call_arguments.done"
):
    """The whole arguments of a call to an MCP server."""

    type: ClassVar[Literal["response.mcp_call_arguments.done"]] = "response.mcp_call_arguments.done"
    response_id: Id
    item_id: Id
    output_index: int
    arguments: str


class ResponseMcpCallInProgress(
    ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.mcp_call.in_progress"
):
    """The MCP server is called. It does not say in which response."""

    type: ClassVar[Literal["response.mcp_call.in_progress"]] = "response.mcp_call.in_progress"
    item_id: Id
    output_index: int


class ResponseMcpCallCompleted(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.mcp_call.completed"):
    """The call succeeded; this may come after `response.done`."""

    type: ClassVar[Literal["response.mcp_call.completed"]] = "response.mcp_call.completed"
    item_id: Id
    output_index: int


class ResponseMcpCallFailed(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="response.mcp_call.failed"):
    """The call failed; the item has the reason. This may come after `response.done`."""

    type: ClassVar[Literal["response.mcp_call.failed"]] = "response.mcp_call.failed"
    item_id: Id
    output_index: int


class McpListToolsInProgress(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="mcp_list_tools.in_progress"):
    """The server asks an MCP server for its tools."""

    type: ClassVar[Literal["mcp_list_tools.in_progress"]] = "mcp_list_tools.in_progress"
    item_id: Id


class McpListToolsCompleted(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="mcp_list_tools.completed"):
    """From now on the tools can be used."""

    type: ClassVar[Literal["mcp_list_tools.completed"]] = "mcp_list_tools.completed"
    item_id: Id


class McpListToolsFailed(ServerEventBase, frozen=True, kw_only=True, gc=False, tag="mcp_list_tools.failed"):
    """The tools of this MCP server are not available; the session goes on."""

    type: ClassVar[Literal["mcp_list_tools.failed"]] = "mcp_list_tools.failed"
    item_id: Id


ServerEvent: TypeAlias = (
    Error
    | SessionCreated
    | SessionUpdated
    | ConversationCreated
    | RateLimitsUpdated
    | ConversationItemCreated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemRetrieved
    | ConversationItemTruncated
    | ConversationItemDeleted
    | ConversationItemInputAudioTranscriptionDelta
    | ConversationItemInputAudioTranscriptionSegment
    | ConversationItemInputAudioTranscriptionCompleted
    | ConversationItemInputAudioTranscriptionFailed
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
    | SessionInputTranscriptDelta
    | SessionOutputTranscriptDelta
    | SessionOutputAudioDelta
    | SessionClosed
)

SERVER_EVENTS: Final[dict[str, type[ServerEvent]]] = {cls.type: cls for cls in get_args(ServerEvent)}
