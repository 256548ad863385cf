"""The types of events as enumerations, and what groups them.

A member is a `str`, so it is equal to the ``type`` of an event and may stand wherever a type is asked for. The
enumerations hold the names of both dialects; `canonical` answers with the one name that both have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from antiphon.machines import EVENTS

__all__ = ["CATEGORIES", "Category", "ClientEventType", "ServerEventType", "aliases_of", "canonical", "categories_of"]


class ClientEventType(StrEnum):
    """What a client sends: a member for each ``type``, named after it."""

    SESSION_UPDATE = "session.update"
    INPUT_AUDIO_BUFFER_APPEND = "input_audio_buffer.append"
    INPUT_AUDIO_BUFFER_COMMIT = "input_audio_buffer.commit"
    INPUT_AUDIO_BUFFER_CLEAR = "input_audio_buffer.clear"
    OUTPUT_AUDIO_BUFFER_CLEAR = "output_audio_buffer.clear"
    CONVERSATION_ITEM_CREATE = "conversation.item.create"
    CONVERSATION_ITEM_RETRIEVE = "conversation.item.retrieve"
    CONVERSATION_ITEM_TRUNCATE = "conversation.item.truncate"
    CONVERSATION_ITEM_DELETE = "conversation.item.delete"
    RESPONSE_CREATE = "response.create"
    RESPONSE_CANCEL = "response.cancel"
    SESSION_INPUT_AUDIO_BUFFER_APPEND = "session.input_audio_buffer.append"
    SESSION_CLOSE = "session.close"
    TRANSCRIPTION_SESSION_UPDATE = "transcription_session.update"


class ServerEventType(StrEnum):
    """What a server sends, under its GA and its beta name: a member for each ``type``, named after it."""

    ERROR = "error"
    SESSION_CREATED = "session.created"
    SESSION_UPDATED = "session.updated"
    RATE_LIMITS_UPDATED = "rate_limits.updated"
    CONVERSATION_CREATED = "conversation.created"
    CONVERSATION_ITEM_CREATED = "conversation.item.created"
    CONVERSATION_ITEM_ADDED = "conversation.item.added"
    CONVERSATION_ITEM_DONE = "conversation.item.done"
    CONVERSATION_ITEM_RETRIEVED = "conversation.item.retrieved"
    CONVERSATION_ITEM_TRUNCATED = "conversation.item.truncated"
    CONVERSATION_ITEM_DELETED = "conversation.item.deleted"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_DELTA = "conversation.item.input_audio_transcription.delta"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_SEGMENT = "conversation.item.input_audio_transcription.segment"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED = "conversation.item.input_audio_transcription.completed"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_FAILED = "conversation.item.input_audio_transcription.failed"
    INPUT_AUDIO_BUFFER_COMMITTED = "input_audio_buffer.committed"
    INPUT_AUDIO_BUFFER_CLEARED = "input_audio_buffer.cleared"
    INPUT_AUDIO_BUFFER_SPEECH_STARTED = "input_audio_buffer.speech_started"
    INPUT_AUDIO_BUFFER_SPEECH_STOPPED = "input_audio_buffer.speech_stopped"
    INPUT_AUDIO_BUFFER_TIMEOUT_TRIGGERED = "input_audio_buffer.timeout_triggered"
    INPUT_AUDIO_BUFFER_DTMF_EVENT_RECEIVED = "input_audio_buffer.dtmf_event_received"
    OUTPUT_AUDIO_BUFFER_STARTED = "output_audio_buffer.started"
    OUTPUT_AUDIO_BUFFER_STOPPED = "output_audio_buffer.stopped"
    OUTPUT_AUDIO_BUFFER_CLEARED = "output_audio_buffer.cleared"
    RESPONSE_CREATED = "response.created"
    RESPONSE_DONE = "response.done"
    RESPONSE_OUTPUT_ITEM_ADDED = "response.output_item.added"
    RESPONSE_OUTPUT_ITEM_DONE = "response.output_item.done"
    RESPONSE_CONTENT_PART_ADDED = "response.content_part.added"
    RESPONSE_CONTENT_PART_DONE = "response.content_part.done"
    RESPONSE_OUTPUT_TEXT_DELTA = "response.output_text.delta"
    RESPONSE_TEXT_DELTA = "response.text.delta"
    RESPONSE_OUTPUT_TEXT_DONE = "response.output_text.done"
    RESPONSE_TEXT_DONE = "response.text.done"
    RESPONSE_OUTPUT_AUDIO_DELTA = "response.output_audio.delta"
    RESPONSE_AUDIO_DELTA = "response.audio.delta"
    RESPONSE_OUTPUT_AUDIO_DONE = "response.output_audio.done"
    RESPONSE_AUDIO_DONE = "response.audio.done"
    RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA = "response.output_audio_transcript.delta"
    RESPONSE_AUDIO_TRANSCRIPT_DELTA = "response.audio_transcript.delta"
    RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE = "response.output_audio_transcript.done"
    RESPONSE_AUDIO_TRANSCRIPT_DONE = "response.audio_transcript.done"
    RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA = "response.function_call_arguments.delta"
    RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE = "response.function_call_arguments.done"
    RESPONSE_MCP_CALL_ARGUMENTS_DELTA = "response.mcp_call_arguments.delta"
    RESPONSE_MCP_CALL_ARGUMENTS_DONE = "response.mcp_call_arguments.done"
    RESPONSE_MCP_CALL_IN_PROGRESS = "response.mcp_call.in_progress"
    RESPONSE_MCP_CALL_COMPLETED = "response.mcp_call.completed"
    RESPONSE_MCP_CALL_FAILED = "response.mcp_call.failed"
    MCP_LIST_TOOLS_IN_PROGRESS = "mcp_list_tools.in_progress"
    MCP_LIST_TOOLS_COMPLETED = "mcp_list_tools.completed"
    MCP_LIST_TOOLS_FAILED = "mcp_list_tools.failed"
    SESSION_INPUT_TRANSCRIPT_DELTA = "session.input_transcript.delta"
    SESSION_OUTPUT_TRANSCRIPT_DELTA = "session.output_transcript.delta"
    SESSION_OUTPUT_AUDIO_DELTA = "session.output_audio.delta"
    SESSION_CLOSED = "session.closed"
    TRANSCRIPTION_SESSION_CREATED = "transcription_session.created"
    TRANSCRIPTION_SESSION_UPDATED = "transcription_session.updated"


class Category(StrEnum):
    """A group of events. An event may belong to several: a delta of text is of the response, and streams."""

    SESSION = "session"
    CONVERSATION = "conversation"
    TRANSCRIPTION = "transcription"
    AUDIO_BUFFER = "audio_buffer"
    OUTPUT_AUDIO_BUFFER = "output_audio_buffer"
    RESPONSE = "response"
    STREAMING = "streaming"
    MCP = "mcp"
    RATE_LIMITS = "rate_limits"
    ERROR = "error"


CATEGORIES: Final[Mapping[Category, tuple[str, ...]]] = {
    Category.SESSION: ("session.", "transcription_session."),
    Category.CONVERSATION: ("conversation.",),
    Category.TRANSCRIPTION: ("conversation.item.input_audio_transcription.",),
    Category.AUDIO_BUFFER: ("input_audio_buffer.",),
    Category.OUTPUT_AUDIO_BUFFER: ("output_audio_buffer.",),
    Category.RESPONSE: ("response.",),
    Category.STREAMING: (
        "response.output_text.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "conversation.item.input_audio_transcription.delta",
        "session.input_transcript.delta",
        "session.output_transcript.delta",
        "session.output_audio.delta",
    ),
    Category.MCP: ("mcp_list_tools.", "response.mcp_call.", "response.mcp_call_arguments."),
    Category.RATE_LIMITS: ("rate_limits.",),
    Category.ERROR: ("error",),
}
"""What belongs to each: what ends with a dot is the beginning of a type, everything else a whole GA type."""

_GA_NAMES: Final[Mapping[str, str]] = {
    **{event.beta: name for name, event in EVENTS.items() if event.beta and event.beta != name},
    "transcription_session.update": "session.update",
    "transcription_session.created": "session.created",
    "transcription_session.updated": "session.updated",
}


def canonical(event_type: str) -> str:
    """The GA name of ``event_type``; a name without one is returned as it is."""
    return _GA_NAMES.get(event_type, str(event_type))


def aliases_of(event_type: str) -> tuple[str, ...]:
    """Every name of the event ``event_type``, the GA name first."""
    name = canonical(event_type)
    return (name, *(alias for alias, ga_name in _GA_NAMES.items() if ga_name == name))


def categories_of(event_type: str) -> frozenset[Category]:
    """The categories of a type, which may be of either dialect or unknown; an unknown one is told by its beginning."""
    name = canonical(event_type)
    return frozenset(
        category
        for category, members in CATEGORIES.items()
        if any(name.startswith(each) if each.endswith(".") else name == each for each in members)
    )
