"""What a brain says, to the server role: content only. Ids, order and every surrounding event are the engine's.

Items of one response are numbered by ``output_index`` from 0, in the order of their `ItemStarted`; several may be open
at once. What is legal when is said by the tables: a delta before its item, or after its end, is a `LocalProtocolError`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from antiphon.messages import McpError, McpToolDescription, RateLimit

ItemKind: TypeAlias = Literal["text", "audio", "function_call", "mcp_call", "mcp_approval_request"]
"""What an output item of a response is."""


class ItemStarted(Struct, frozen=True, kw_only=True, tag_field="content", tag="item_started"):
    """An output item begins. ``kind`` ``text`` and ``audio`` are messages of the assistant, ``function_call`` a call of
    the function ``name`` (``call_id`` is made when it is not given). ``text`` in a session that speaks is sent as
    text. ``mcp_call`` is a call of the tool ``name`` of the MCP server ``server_label``, which the brain makes itself
    (``approval_request_id``: what allowed it); ``mcp_approval_request`` asks the client for leave to make one."""

    response_id: str
    output_index: int
    kind: ItemKind
    name: str = ""
    call_id: str | None = None
    server_label: str = ""
    approval_request_id: str | None = None


class TextDelta(Struct, frozen=True, kw_only=True, tag_field="content", tag="text_delta"):
    """More text of a ``text`` item, or more transcript of an ``audio`` item."""

    response_id: str
    output_index: int
    delta: str


class AudioDelta(Struct, frozen=True, kw_only=True, tag_field="content", tag="audio_delta"):
    """More audio of an ``audio`` item, bytes in the response's output format."""

    response_id: str
    output_index: int
    audio: bytes

    def __repr__(self) -> str:
        place = f"response_id={self.response_id!r}, output_index={self.output_index}"
        return f"AudioDelta({place}, audio=<{len(self.audio)} bytes>)"


class ArgumentsDelta(Struct, frozen=True, kw_only=True, tag_field="content", tag="arguments_delta"):
    """More of the JSON text of a call's arguments, or of those that leave is asked for."""

    response_id: str
    output_index: int
    delta: str


class ItemFinished(Struct, frozen=True, kw_only=True, tag_field="content", tag="item_finished"):
    """An output item is complete. Of an ``mcp_call`` that are its arguments: the MCP server is asked now, and the item
    ends with `McpCallFinished`."""

    response_id: str
    output_index: int


class ResponseFinished(Struct, frozen=True, kw_only=True, tag_field="content", tag="response_finished"):
    """The response ends. Items still open are closed as ``incomplete`` unless ``status`` is ``completed``. A call that
    an MCP server was asked for goes on.

    ``reason`` goes with ``incomplete`` (``max_output_tokens``, ``content_filter``); ``error_type``, ``error_code`` and
    ``error_message`` with ``failed``; tokens are what ``usage`` reports. ``rate_limits`` is what is told after
    this response and each one to come (R-S8); None leaves it as it is.
    """

    response_id: str
    status: Literal["completed", "incomplete", "failed"] = "completed"
    reason: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    rate_limits: tuple[RateLimit, ...] | None = None


class McpCallFinished(Struct, frozen=True, kw_only=True, tag_field="content", tag="mcp_call_finished"):
    """An MCP server has answered a call, while its response goes on or after it: with an ``output`` or an ``error``."""

    response_id: str
    output_index: int
    output: str | None = None
    error: McpError | None = None


class McpListingStarted(Struct, frozen=True, tag_field="content", tag="mcp_listing_started"):
    """The MCP server ``server_label`` is asked for its tools."""

    server_label: str


class McpListingFinished(Struct, frozen=True, tag_field="content", tag="mcp_listing_finished"):
    """It has answered: these are its ``tools``; None when it did not say."""

    server_label: str
    tools: tuple[McpToolDescription, ...] | None = None


McpContent: TypeAlias = McpCallFinished | McpListingStarted | McpListingFinished
"""What MCP servers did that may be beyond any response (R-M1, R-M4)."""

ResponseContent: TypeAlias = ItemStarted | TextDelta | AudioDelta | ArgumentsDelta | ItemFinished | ResponseFinished
"""What a response is made of."""


class SourceText(Struct, frozen=True, tag_field="content", tag="source_text"):
    """More of what was heard, in its own language. ``elapsed_ms`` (of all three) is the place in the input, in ms."""

    delta: str
    elapsed_ms: int | None = None


class TranslatedText(Struct, frozen=True, tag_field="content", tag="translated_text"):
    """More of the translation, as text."""

    delta: str
    elapsed_ms: int | None = None


class TranslatedAudio(Struct, frozen=True, tag_field="content", tag="translated_audio"):
    """More of the translation, as PCM16 at 24 kHz, mono."""

    audio: bytes
    elapsed_ms: int | None = None

    def __repr__(self) -> str:
        return f"TranslatedAudio(audio=<{len(self.audio)} bytes>, elapsed_ms={self.elapsed_ms})"


class TranslationFinished(Struct, frozen=True, tag_field="content", tag="translation_finished"):
    """All that was heard is translated: the answer to `session.close`, or the server's own end of the session."""


TranslationContent: TypeAlias = SourceText | TranslatedText | TranslatedAudio | TranslationFinished
"""What a translation is made of (R-X2)."""

Content: TypeAlias = ResponseContent | McpContent | TranslationContent
"""Everything that `Session.generate` takes."""


class TranscriptDelta(Struct, frozen=True, tag_field="result", tag="delta"):
    """More of a user's transcript."""

    delta: str


class TranscriptSegment(Struct, frozen=True, tag_field="result", tag="segment"):
    """What one speaker said in a stretch of a user's audio, from ``start`` to ``end`` (seconds of that audio)."""

    id: str
    text: str
    speaker: str
    start: float
    end: float


class TranscriptCompleted(Struct, frozen=True, tag_field="result", tag="completed"):
    """The whole transcript of a user's audio; ``seconds`` is what usage reports."""

    transcript: str
    seconds: float = 0.0


class TranscriptFailed(Struct, frozen=True, tag_field="result", tag="failed"):
    """The audio could not be transcribed."""

    message: str
    code: str | None = None


TranscriptionResult: TypeAlias = TranscriptDelta | TranscriptSegment | TranscriptCompleted | TranscriptFailed
"""Everything that `Session.transcribed` takes."""
