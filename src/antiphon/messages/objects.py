"""The objects inside events, except items, content and responses: sessions and all that configures them, errors, usage.

Every object tolerates unknown keys. Names of fields are the names on the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from msgspec import UNSET, field

from ._base import JsonObject, Mark, Maybe, Message
from .unknown import UnknownTool

# --- audio ------------------------------------------------------------------------------------------------------------


class AudioFormat(Message, frozen=True, kw_only=True, gc=False):
    """How samples are coded: `type` as in `values.AUDIO_FORMAT_TYPES`; `rate` in Hz, given for `audio/pcm` only."""

    type: Maybe[str] = UNSET
    rate: Maybe[int] = UNSET


class NoiseReduction(Message, frozen=True, kw_only=True, gc=False):
    """Filtering of input audio before turn detection, by the kind of microphone (`values.NOISE_REDUCTION_TYPES`)."""

    type: Maybe[str] = UNSET
    strength: Maybe[float] = UNSET


class AudioTranscription(Message, frozen=True, kw_only=True):
    """Asynchronous transcription of input audio. `language` is an ISO 639-1 code."""

    model: Maybe[str] = UNSET
    language: Maybe[str] = UNSET
    prompt: Maybe[str] = UNSET
    languages: Maybe[list[str]] = UNSET
    keywords: Maybe[list[str]] = UNSET
    delay: Maybe[str] = UNSET


class TurnDetection(Message, frozen=True, kw_only=True, gc=False):
    """Voice activity detection. `type` is open (`values.TURN_DETECTION_TYPES`), and a null one means that it is off.

    `threshold` is a probability in 0..1; `prefix_padding_ms`, `silence_duration_ms` and `idle_timeout_ms` are
    milliseconds of audio; `eagerness` belongs to `semantic_vad`.
    """

    type: Maybe[str] = UNSET
    threshold: Maybe[float] = UNSET
    prefix_padding_ms: Maybe[int] = UNSET
    silence_duration_ms: Maybe[int] = UNSET
    idle_timeout_ms: Maybe[int] = UNSET
    eagerness: Maybe[str] = UNSET
    create_response: Maybe[bool] = UNSET
    interrupt_response: Maybe[bool] = UNSET


class VoiceReference(Message, frozen=True, kw_only=True, gc=False):
    """A custom voice by `id`; Azure Voice Live names one by `name` and `type`."""

    id: Maybe[str] = UNSET
    name: Maybe[str] = UNSET
    type: Maybe[str] = UNSET


class AudioInput(Message, frozen=True, kw_only=True):
    """How the server hears. Null switches `transcription`, `noise_reduction` or `turn_detection` off."""

    format: Maybe[AudioFormat] = UNSET
    transcription: Maybe[AudioTranscription] = UNSET
    noise_reduction: Maybe[NoiseReduction] = UNSET
    turn_detection: Maybe[TurnDetection] = UNSET


class AudioOutput(Message, frozen=True, kw_only=True):
    """How the server speaks. `speed` is a factor, 1.0 is normal; `language` is what a translation speaks."""

    format: Maybe[AudioFormat] = UNSET
    voice: Maybe[str | VoiceReference] = UNSET
    speed: Maybe[float] = UNSET
    language: Maybe[str] = UNSET


class AudioConfig(Message, frozen=True, kw_only=True):
    """Both directions of audio; a transcription session has only `input`, a response only `output`."""

    input: Maybe[AudioInput] = UNSET
    output: Maybe[AudioOutput] = UNSET


# --- tools ------------------------------------------------------------------------------------------------------------


class FunctionTool(Message, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A function that the model may call; `parameters` is its JSON Schema."""

    type: ClassVar[Literal["function"]] = "function"
    name: Maybe[str] = UNSET
    description: Maybe[str] = UNSET
    parameters: Maybe[JsonObject] = UNSET

    _function: Mark = field(default=UNSET, name="function")


class ToolFilter(Message, frozen=True, kw_only=True):
    """Some of the tools of an MCP server: by name, or all that only read."""

    tool_names: Maybe[list[str]] = UNSET
    read_only: Maybe[bool] = UNSET


class ApprovalFilter(Message, frozen=True, kw_only=True):
    """Which tools of an MCP server `always` or `never` need an approval."""

    always: Maybe[ToolFilter] = UNSET
    never: Maybe[ToolFilter] = UNSET


class McpTool(Message, frozen=True, kw_only=True, tag_field="type", tag="mcp"):
    """A remote MCP server whose tools the model may call. `authorization` and `headers` never appear in a repr."""

    type: ClassVar[Literal["mcp"]] = "mcp"
    _concealed: ClassVar[frozenset[str]] = frozenset({"authorization", "headers"})
    server_label: str
    server_url: Maybe[str] = UNSET
    connector_id: Maybe[str] = UNSET
    tunnel_id: Maybe[str] = UNSET
    server_description: Maybe[str] = UNSET
    authorization: Maybe[str] = UNSET
    headers: Maybe[dict[str, str]] = UNSET
    allowed_tools: Maybe[list[str] | ToolFilter] = UNSET
    allowed_callers: Maybe[list[str]] = UNSET
    require_approval: Maybe[str | ApprovalFilter] = UNSET
    defer_loading: Maybe[bool] = UNSET


# The decoder may not see the fallback class: a tagged union cannot hold one. The codec puts its instances in.
if TYPE_CHECKING:
    Tool: TypeAlias = FunctionTool | McpTool | UnknownTool
else:
    Tool = FunctionTool | McpTool


class ToolChoice(Message, frozen=True, kw_only=True, gc=False):
    """Forces one tool: `type` "function" with `name`, or "mcp" with `server_label` and perhaps `name`."""

    type: Maybe[str] = UNSET
    name: Maybe[str] = UNSET
    server_label: Maybe[str] = UNSET


# --- the rest of a session --------------------------------------------------------------------------------------------


class TracingConfiguration(Message, frozen=True, kw_only=True):
    """Where traces of the session are filed. It cannot be changed once it is set."""

    workflow_name: Maybe[str] = UNSET
    group_id: Maybe[str] = UNSET
    metadata: Maybe[JsonObject] = UNSET


class TokenLimits(Message, frozen=True, kw_only=True, gc=False):
    """`post_instructions`: the most tokens of conversation that are kept beside the instructions."""

    post_instructions: Maybe[int] = UNSET


class RetentionRatioTruncation(Message, frozen=True, kw_only=True):
    """Keep this share (0..1) of the conversation when the context window is full; `type` is "retention_ratio"."""

    type: Maybe[str] = UNSET
    retention_ratio: Maybe[float] = UNSET
    token_limits: Maybe[TokenLimits] = UNSET


class Prompt(Message, frozen=True, kw_only=True):
    """A stored prompt, filled in with `variables` (strings or input content)."""

    id: str
    version: Maybe[str] = UNSET
    variables: Maybe[JsonObject] = UNSET


class Reasoning(Message, frozen=True, kw_only=True, gc=False):
    """`effort` as in `values.REASONING_EFFORTS`."""

    effort: Maybe[str] = UNSET


class ClientSecret(Message, frozen=True, kw_only=True, gc=False):
    """An ephemeral key; `expires_at` in unix seconds. `value` never appears in a repr."""

    _concealed: ClassVar[frozenset[str]] = frozenset({"value"})
    value: Maybe[str] = UNSET
    expires_at: Maybe[int] = UNSET


class SessionBase(Message, frozen=True, kw_only=True, tag_field="type"):
    """What all kinds of session have. `expires_at` is in unix seconds.

    The flat notation of the beta, which Azure Voice Live, xAI and others still send, sometimes beside the nested one,
    is moved into `audio` where a session is read.
    """

    type: ClassVar[str]
    object: Maybe[str] = UNSET
    id: Maybe[str] = UNSET
    expires_at: Maybe[int] = UNSET
    audio: Maybe[AudioConfig] = UNSET
    include: Maybe[list[str]] = UNSET
    client_secret: Maybe[ClientSecret] = UNSET

    _modalities: Mark = field(default=UNSET, name="modalities")
    _input_audio_format: Mark = field(default=UNSET, name="input_audio_format")
    _input_audio_transcription: Mark = field(default=UNSET, name="input_audio_transcription")
    _input_audio_noise_reduction: Mark = field(default=UNSET, name="input_audio_noise_reduction")
    _turn_detection: Mark = field(default=UNSET, name="turn_detection")


class RealtimeSession(SessionBase, frozen=True, kw_only=True, tag="realtime"):
    """A session that converses. `max_output_tokens` counts the tokens of one response; "inf" is no limit.

    `temperature` is of the beta dialect alone.
    """

    type: ClassVar[Literal["realtime"]] = "realtime"
    model: Maybe[str] = UNSET
    output_modalities: Maybe[list[str]] = UNSET
    instructions: Maybe[str] = UNSET
    tools: Maybe[list[Tool]] = UNSET
    tool_choice: Maybe[str | ToolChoice] = UNSET
    parallel_tool_calls: Maybe[bool] = UNSET
    reasoning: Maybe[Reasoning] = UNSET
    max_output_tokens: Maybe[int | Literal["inf"]] = UNSET
    tracing: Maybe[str | TracingConfiguration] = UNSET
    truncation: Maybe[str | RetentionRatioTruncation] = UNSET
    prompt: Maybe[Prompt] = UNSET

    temperature: Maybe[float] = UNSET

    _output_audio_format: Mark = field(default=UNSET, name="output_audio_format")
    _voice: Mark = field(default=UNSET, name="voice")
    _speed: Mark = field(default=UNSET, name="speed")
    _max_response_output_tokens: Mark = field(default=UNSET, name="max_response_output_tokens")


class TranscriptionSession(SessionBase, frozen=True, kw_only=True, tag="transcription"):
    """A session that only transcribes what it hears."""

    type: ClassVar[Literal["transcription"]] = "transcription"


class TranslationSession(SessionBase, frozen=True, kw_only=True, tag="translation"):
    """A session that translates what it hears, all the time. An update of one carries no `type` on the wire."""

    type: ClassVar[Literal["translation"]] = "translation"
    model: Maybe[str] = UNSET


AnySession: TypeAlias = RealtimeSession | TranscriptionSession | TranslationSession


class Conversation(Message, frozen=True, kw_only=True, gc=False):
    """The default conversation of a session; `object` is "realtime.conversation"."""

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET


# --- errors, limits, transcription results ----------------------------------------------------------------------------


class ErrorDetail(Message, frozen=True, kw_only=True, gc=False):
    """What an `error` event says. `event_id` is the client event that caused it, null when the server cannot tell.

    `type` is the class of error, `code` the precise one (some vendors leave it null and put it into `type`).
    """

    type: Maybe[str] = UNSET
    code: Maybe[str] = UNSET
    message: str
    param: Maybe[str] = UNSET
    event_id: Maybe[str] = UNSET


class FailureDetail(Message, frozen=True, kw_only=True, gc=False):
    """Why a response or a transcription failed; no field is certain."""

    type: Maybe[str] = UNSET
    code: Maybe[str] = UNSET
    message: Maybe[str] = UNSET
    param: Maybe[str] = UNSET


class RateLimit(Message, frozen=True, kw_only=True, gc=False):
    """One limit of the account: `limit` and `remaining` count `name`s; it is full again in `reset_seconds`."""

    name: Maybe[str] = UNSET
    limit: Maybe[int] = UNSET
    remaining: Maybe[int] = UNSET
    reset_seconds: Maybe[float] = UNSET


class LogProb(Message, frozen=True, kw_only=True):
    """The logarithm of the probability of one transcribed token; `bytes` is the token in UTF-8."""

    token: Maybe[str] = UNSET
    logprob: Maybe[float] = UNSET
    bytes: Maybe[list[int]] = UNSET


class TranscriptionLanguage(Message, frozen=True, kw_only=True, gc=False):
    """A language heard in the audio, as an ISO code."""

    code: Maybe[str] = UNSET


class TranscriptionTokenDetails(Message, frozen=True, kw_only=True, gc=False):
    """Input tokens of a transcription by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET


class TokensUsage(Message, frozen=True, kw_only=True, tag_field="type", tag="tokens"):
    """The price of a transcription billed by tokens."""

    type: ClassVar[Literal["tokens"]] = "tokens"
    total_tokens: Maybe[int] = UNSET
    input_tokens: Maybe[int] = UNSET
    input_token_details: Maybe[TranscriptionTokenDetails] = UNSET
    output_tokens: Maybe[int] = UNSET


class DurationUsage(Message, frozen=True, kw_only=True, gc=False, tag_field="type", tag="duration"):
    """The price of a transcription billed by `seconds` of audio."""

    type: ClassVar[Literal["duration"]] = "duration"
    seconds: Maybe[float] = UNSET


TranscriptionUsage: TypeAlias = TokensUsage | DurationUsage
