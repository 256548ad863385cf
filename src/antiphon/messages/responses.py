"""Responses: what a client asks for, what a server reports, and what it cost."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, field

from ._base import Id, Mark, Maybe, Message
from .items import Item
from .objects import AudioConfig, FailureDetail, Prompt, Reasoning, Tool, ToolChoice


class StatusDetails(Message, frozen=True, kw_only=True):
    """Why a response is not simply completed: `reason` as in `values.STATUS_REASONS`, or an `error`."""

    type: Maybe[str] = UNSET
    reason: Maybe[str] = UNSET
    error: Maybe[FailureDetail] = UNSET


class CachedTokenDetails(Message, frozen=True, kw_only=True, gc=False):
    """Input tokens that were found in the cache, by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    image_tokens: Maybe[int] = UNSET


class InputTokenDetails(Message, frozen=True, kw_only=True):
    """Input tokens by kind; the cached ones are counted in the others too."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    image_tokens: Maybe[int] = UNSET
    cached_tokens: Maybe[int] = UNSET
    cached_tokens_details: Maybe[CachedTokenDetails] = UNSET


class OutputTokenDetails(Message, frozen=True, kw_only=True, gc=False):
    """Output tokens by kind."""

    text_tokens: Maybe[int] = UNSET
    audio_tokens: Maybe[int] = UNSET
    reasoning_tokens: Maybe[int] = UNSET


class ResponseUsage(Message, frozen=True, kw_only=True):
    """The tokens of one response. Some vendors send it empty."""

    total_tokens: Maybe[int] = UNSET
    input_tokens: Maybe[int] = UNSET
    output_tokens: Maybe[int] = UNSET
    input_token_details: Maybe[InputTokenDetails] = UNSET
    output_token_details: Maybe[OutputTokenDetails] = UNSET


class Response(Message, frozen=True, kw_only=True):
    """One response of the model: `status` as in `values.RESPONSE_STATUSES`.

    `conversation_id` is null for a response outside the default conversation. `max_output_tokens` counts tokens, "inf"
    is no limit. `temperature` is of the beta dialect alone.
    """

    object: Maybe[str] = UNSET
    id: Id
    status: Maybe[str] = UNSET
    status_details: Maybe[StatusDetails] = UNSET
    output: Maybe[list[Item]] = UNSET
    conversation_id: Maybe[str] = UNSET
    output_modalities: Maybe[list[str]] = UNSET
    max_output_tokens: Maybe[int | Literal["inf"]] = UNSET
    audio: Maybe[AudioConfig] = UNSET
    usage: Maybe[ResponseUsage] = UNSET
    metadata: Maybe[dict[str, str]] = UNSET

    temperature: Maybe[float] = UNSET

    _modalities: Mark = field(default=UNSET, name="modalities")
    _voice: Mark = field(default=UNSET, name="voice")
    _output_audio_format: Mark = field(default=UNSET, name="output_audio_format")


class ResponseCreateParams(Message, frozen=True, kw_only=True):
    """What one response does differently from its session; a key that is absent leaves the session's value.

    `conversation` is "auto" or "none" (outside the conversation). `input` replaces the conversation as context, and may
    be empty. `metadata` holds at most 16 pairs, keys of 64 and values of 512 characters. `temperature` is of the beta
    dialect alone.
    """

    conversation: Maybe[str] = UNSET
    input: Maybe[list[Item]] = UNSET
    instructions: Maybe[str] = UNSET
    output_modalities: Maybe[list[str]] = UNSET
    audio: Maybe[AudioConfig] = UNSET
    tools: Maybe[list[Tool]] = UNSET
    tool_choice: Maybe[str | ToolChoice] = UNSET
    parallel_tool_calls: Maybe[bool] = UNSET
    reasoning: Maybe[Reasoning] = UNSET
    max_output_tokens: Maybe[int | Literal["inf"]] = UNSET
    metadata: Maybe[dict[str, str]] = UNSET
    prompt: Maybe[Prompt] = UNSET

    temperature: Maybe[float] = UNSET

    _modalities: Mark = field(default=UNSET, name="modalities")
    _voice: Mark = field(default=UNSET, name="voice")
    _output_audio_format: Mark = field(default=UNSET, name="output_audio_format")
    _max_response_output_tokens: Mark = field(default=UNSET, name="max_response_output_tokens")
