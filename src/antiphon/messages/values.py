"""The values that the protocol's open enumerations are known to take.

Fields are annotated `str`, because servers add values before clients learn of them; these aliases serve
completion, documentation and tests. Each `Literal` has a tuple of the same values beside it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

SessionType: TypeAlias = Literal["realtime", "transcription", "translation"]
SessionObject: TypeAlias = Literal["realtime.session", "realtime.transcription_session"]
Modality: TypeAlias = Literal["text", "audio"]
AudioFormatType: TypeAlias = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
BetaAudioFormat: TypeAlias = Literal["pcm16", "g711_ulaw", "g711_alaw"]
TurnDetectionType: TypeAlias = Literal["server_vad", "semantic_vad"]
Eagerness: TypeAlias = Literal["low", "medium", "high", "auto"]
TranscriptionDelay: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"]
TranslatedAudioFormat: TypeAlias = Literal["pcm16"]
NoiseReductionType: TypeAlias = Literal["near_field", "far_field"]
Voice: TypeAlias = Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"]
ToolChoiceMode: TypeAlias = Literal["none", "auto", "required"]
ToolChoiceType: TypeAlias = Literal["function", "mcp"]
TracingMode: TypeAlias = Literal["auto"]
TruncationMode: TypeAlias = Literal["auto", "disabled"]
ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"]
Include: TypeAlias = Literal["item.input_audio_transcription.logprobs"]
ApprovalMode: TypeAlias = Literal["always", "never"]
AllowedCaller: TypeAlias = Literal["direct", "programmatic"]
Connector: TypeAlias = Literal[
    "connector_dropbox",
    "connector_gmail",
    "connector_googlecalendar",
    "connector_googledrive",
    "connector_microsoftteams",
    "connector_outlookcalendar",
    "connector_outlookemail",
    "connector_sharepoint",
]

MessageRole: TypeAlias = Literal["system", "user", "assistant"]
ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
ImageDetail: TypeAlias = Literal["auto", "low", "high"]
Phase: TypeAlias = Literal["commentary", "final_answer"]
McpErrorType: TypeAlias = Literal["protocol_error", "tool_execution_error", "http_error"]

ResponseStatus: TypeAlias = Literal["in_progress", "completed", "cancelled", "failed", "incomplete"]
StatusReason: TypeAlias = Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]
ConversationMode: TypeAlias = Literal["auto", "none"]
RateLimitName: TypeAlias = Literal["requests", "tokens"]

SESSION_TYPES: Final[tuple[str, ...]] = get_args(SessionType)
SESSION_OBJECTS: Final[tuple[str, ...]] = get_args(SessionObject)
MODALITIES: Final[tuple[str, ...]] = get_args(Modality)
AUDIO_FORMAT_TYPES: Final[tuple[str, ...]] = get_args(AudioFormatType)
BETA_AUDIO_FORMATS: Final[tuple[str, ...]] = get_args(BetaAudioFormat)
TURN_DETECTION_TYPES: Final[tuple[str, ...]] = get_args(TurnDetectionType)
EAGERNESS: Final[tuple[str, ...]] = get_args(Eagerness)
TRANSCRIPTION_DELAYS: Final[tuple[str, ...]] = get_args(TranscriptionDelay)
TRANSLATED_AUDIO_FORMATS: Final[tuple[str, ...]] = get_args(TranslatedAudioFormat)
NOISE_REDUCTION_TYPES: Final[tuple[str, ...]] = get_args(NoiseReductionType)
VOICES: Final[tuple[str, ...]] = get_args(Voice)
TOOL_CHOICE_MODES: Final[tuple[str, ...]] = get_args(ToolChoiceMode)
TOOL_CHOICE_TYPES: Final[tuple[str, ...]] = get_args(ToolChoiceType)
TRACING_MODES: Final[tuple[str, ...]] = get_args(TracingMode)
TRUNCATION_MODES: Final[tuple[str, ...]] = get_args(TruncationMode)
REASONING_EFFORTS: Final[tuple[str, ...]] = get_args(ReasoningEffort)
INCLUDES: Final[tuple[str, ...]] = get_args(Include)
APPROVAL_MODES: Final[tuple[str, ...]] = get_args(ApprovalMode)
ALLOWED_CALLERS: Final[tuple[str, ...]] = get_args(AllowedCaller)
CONNECTORS: Final[tuple[str, ...]] = get_args(Connector)
MESSAGE_ROLES: Final[tuple[str, ...]] = get_args(MessageRole)
ITEM_STATUSES: Final[tuple[str, ...]] = get_args(ItemStatus)
IMAGE_DETAILS: Final[tuple[str, ...]] = get_args(ImageDetail)
PHASES: Final[tuple[str, ...]] = get_args(Phase)
MCP_ERROR_TYPES: Final[tuple[str, ...]] = get_args(McpErrorType)
RESPONSE_STATUSES: Final[tuple[str, ...]] = get_args(ResponseStatus)
STATUS_REASONS: Final[tuple[str, ...]] = get_args(StatusReason)
CONVERSATION_MODES: Final[tuple[str, ...]] = get_args(ConversationMode)
RATE_LIMIT_NAMES: Final[tuple[str, ...]] = get_args(RateLimitName)
