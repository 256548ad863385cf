"""One handler for each event of a server: it finds the object that its event is about, steps it, and leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import structs

from antiphon import messages as m
from antiphon.engine import mcp
from antiphon.engine.acknowledgements import ANSWERS
from antiphon.engine.blame import blame
from antiphon.engine.incoming import members
from antiphon.engine.incoming.item import CONVERSATION_ITEM, ItemEvent, OutputItemEvent
from antiphon.engine.incoming.part import CONTENT_PART, TRANSCRIPTION
from antiphon.engine.incoming.response import RESPONSE
from antiphon.engine.incoming.session import INPUT_AUDIO_BUFFER, MCP, OUTPUT_AUDIO_BUFFER, SESSION
from antiphon.engine.link import FATAL_CODES as _FATAL
from antiphon.engine.records import STREAM_OF_ARGUMENTS, OutputRecord, ResponseRecord, StreamRecord
from antiphon.messages.beta import SERVER_VIEWS

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession


def on_session(session: ClientSession, event: m.SessionCreated | m.SessionUpdated) -> None:
    """`session.created`, `session.updated`."""
    session.step(SESSION, session.place, event.step_type, event)


def on_translation(
    session: ClientSession,
    event: m.SessionInputTranscriptDelta | m.SessionOutputTranscriptDelta | m.SessionOutputAudioDelta | m.SessionClosed,
) -> None:
    """The events of a translation session."""
    session.step(SESSION, session.place, event.type, event)


def on_error(session: ClientSession, event: m.Error) -> None:
    """`error`: it names one command, or none, and changes nothing else (R-A2)."""
    cause = blame(event.error)
    if cause.code not in _FATAL and session.renewal.rejected(cause, event):
        return
    if not session.arbiter.rejected(event, cause):
        refused = session.acknowledgements.rejected(cause.event_id, cause.command)
        if refused is not None and refused.type == m.InputAudioBufferCommit.type and not _commits(session):
            session.input_audio.commit_refused()  # else the next commit takes that audio
    if cause.code in _FATAL:
        session.step(SESSION, session.place, "internal.fatal_error", event)
        if cause.code == "session_expired" and session.renewal.expired():
            return
        session.fatal_code = cause.code
    session.arbiter.release()


def on_rate_limits(session: ClientSession, event: m.RateLimitsUpdated) -> None:
    """`rate_limits.updated`: the newest of each name stands (R-U3)."""
    if not session.account.update(event.rate_limits, session.now):
        session.report("R-N2", event, "more names of rate limits than are kept; the oldest is forgotten")


def on_nothing(_session: ClientSession, _event: m.Event) -> None:
    """Events that move nothing."""


def on_input_audio_buffer(
    session: ClientSession,
    event: m.InputAudioBufferSpeechStarted
    | m.InputAudioBufferSpeechStopped
    | m.InputAudioBufferCommitted
    | m.InputAudioBufferCleared
    | m.InputAudioBufferTimeoutTriggered,
) -> None:
    """`input_audio_buffer.*`"""
    if not isinstance(event, m.InputAudioBufferCleared):
        ours = isinstance(event, m.InputAudioBufferCommitted) and _commits(session)
        session.arbiter.hears = session.arbiter.hears or not ours
    session.step(INPUT_AUDIO_BUFFER, session.detector, event.type, event)


def _commits(session: ClientSession) -> bool:
    """Whether a commit of ours is unanswered."""
    return any(pending.type == m.InputAudioBufferCommit.type for pending in session.acknowledgements.unanswered())


def on_output_audio_buffer(
    session: ClientSession,
    event: m.OutputAudioBufferStarted | m.OutputAudioBufferStopped | m.OutputAudioBufferCleared,
) -> None:
    """`output_audio_buffer.*`"""
    place = session.bounded(session.deliveries, event.response_id, "silent")
    session.step(OUTPUT_AUDIO_BUFFER, place, event.type, event)


def on_mcp(
    session: ClientSession,
    event: m.McpListToolsInProgress
    | m.McpListToolsCompleted
    | m.McpListToolsFailed
    | m.ResponseMcpCallInProgress
    | m.ResponseMcpCallCompleted
    | m.ResponseMcpCallFailed,
) -> None:
    """`mcp_list_tools.*`, `response.mcp_call.*`: keyed by the item alone."""
    kind: mcp.McpKind = "call" if event.type.startswith("response.") else "list_tools"
    session.step(MCP, mcp.work_of(session, event.item_id, kind), event.type, event)


def on_item(session: ClientSession, event: ItemEvent | m.ConversationItemRetrieved) -> None:
    """`conversation.item.added`, `.done`, `.created`, `.retrieved`"""
    item_id = event.item.id
    if not isinstance(item_id, str) or not item_id:
        session.report("R-C6", event, "an item without an id cannot be a member", "$.item.id")
        return
    if session.renewal.is_echo(event):
        return
    session.step(CONVERSATION_ITEM, members.find_item(session, item_id), event.step_type, event)
    if isinstance(event.item, mcp.ITEMS) and not session.conversation.is_deleted(item_id):
        mcp.learn(session, item_id, event.item)
    members.trim(session, event)


def on_item_id(session: ClientSession, event: m.ConversationItemTruncated | m.ConversationItemDeleted) -> None:
    """`conversation.item.truncated`, `.deleted`; without an id (xAI) it answers the oldest that waits."""
    item_id = event.item_id
    if not item_id:
        waiting = [each.key for each in session.unanswered if ANSWERS[each.type] == event.type]
        item_id = next((key for key in waiting if key), "")
    session.renewal.replay.ending.pop(item_id, None)
    session.step(CONVERSATION_ITEM, members.find_item(session, item_id), event.type, event)
    members.trim(session, event)


def on_transcription(
    session: ClientSession,
    event: m.ConversationItemInputAudioTranscriptionDelta
    | m.ConversationItemInputAudioTranscriptionUpdated
    | m.ConversationItemInputAudioTranscriptionSegment
    | m.ConversationItemInputAudioTranscriptionCompleted
    | m.ConversationItemInputAudioTranscriptionFailed,
) -> None:
    """`conversation.item.input_audio_transcription.*`: beside all else, and nothing for a deleted item (R-C7)."""
    deleted = session.conversation.is_deleted(event.item_id)
    transcription = None if deleted else session.conversation.transcription(event.item_id, event.content_index or 0)
    before = None if transcription is None else transcription.state
    if transcription is not None:
        session.step(TRANSCRIPTION, transcription, event.step_type, event)
    if isinstance(event, m.ConversationItemInputAudioTranscriptionCompleted) and (
        transcription is None  # deleted, but it was made and has its price (R-U2)
        or transcription.state == "completed" != before
    ):
        session.usage = session.usage.transcribed(event.usage)
    members.trim(session, event)


def on_response_created(session: ClientSession, event: m.ResponseCreated) -> None:
    """`response.created`"""
    record = session.responses.get(event.response.id)
    if record is None:
        in_conversation = event.response.conversation_id is not None
        record = ResponseRecord(event.response.id, in_conversation=in_conversation)
    session.step(RESPONSE, record, event.type, event)


def on_response_done(session: ClientSession, event: m.ResponseDone) -> None:
    """`response.done`, and `response.cancelled`, whose name says how it ended, whatever its body says (R-E8)"""
    if event.wire_type == "response.cancelled" and event.response.status != "cancelled":
        event = structs.replace(event, response=structs.replace(event.response, status="cancelled"))
    record = session.responses.get(event.response.id)
    if record is None and not event.response.id and (record := session.default_response) is not None:
        session.report("R-E5", event, _NAMELESS, "$.response.id")
        event = structs.replace(event, response=structs.replace(event.response, id=record.id))
    if record is None:
        record = ResponseRecord(event.response.id, in_conversation=event.response.conversation_id is not None)
    session.step(RESPONSE, record, event.step_type, event)


_NAMELESS: Final = "an empty id names no response: it is taken for that in progress"


def _responding(session: ClientSession, event: OutputItemEvent | PartEvent | ArgumentsEvent) -> ResponseRecord:
    """The response that an event names, after the table was told that it is active."""
    record = session.responses.get(event.response_id)
    if record is None and not event.response_id and (record := session.default_response) is not None:
        session.report("R-E5", event, _NAMELESS, "$.response_id")
    if record is None:
        record = ResponseRecord(event.response_id)
    session.step(RESPONSE, record, "internal.activity", event)
    return record


def on_output_item(session: ClientSession, event: OutputItemEvent) -> None:
    """`response.output_item.added`, `.done`"""
    item_id = event.item.id
    if not isinstance(item_id, str) or not item_id:
        _responding(session, event)
        session.report("R-C6", event, "an output item without an id", "$.item.id")
        return
    outliving = members.find_item(session, item_id)
    # What ends here may be the call alone: its response has ended, and somebody may have deleted it (R-M1, R-M4, R-C7).
    if outliving.state in mcp.OUTLIVING or (outliving.state == "deleted" and mcp.is_call(session, item_id)):
        session.step(CONVERSATION_ITEM, outliving, event.step_type, event)
        return
    record = _responding(session, event)
    item = members.find_item(session, item_id)
    if isinstance(item, OutputRecord) and item.response is None:
        item.response = record
    if record.is_open and len(record.item_ids) < session.config.limits.response_parts:
        record.item_ids[item_id] = None
    session.step(CONVERSATION_ITEM, item, event.type, event)
    if isinstance(event.item, m.McpApprovalRequestItem) and not record.in_conversation:
        return  # nobody can answer what the conversation does not hold (R-M3)
    if isinstance(event.item, mcp.ITEMS) and not session.conversation.is_deleted(item_id):
        mcp.learn(session, item_id, event.item)


PartEvent: TypeAlias = (
    m.ResponseContentPartAdded
    | m.ResponseContentPartDone
    | m.ResponseOutputTextDelta
    | m.ResponseOutputTextDone
    | m.ResponseOutputAudioDelta
    | m.ResponseOutputAudioDone
    | m.ResponseOutputAudioTranscriptDelta
    | m.ResponseOutputAudioTranscriptDone
)


def on_part(session: ClientSession, event: PartEvent) -> None:
    """`response.content_part.*`, `response.output_text.*`, `response.output_audio*.*`: the hot path."""
    registry = session.registry
    stream = registry.speaking  # most deltas continue the one before, and three comparisons cost less than a look-up
    if (
        stream is None
        or stream.item_id != event.item_id
        or stream.content_index != event.content_index
        or stream.response.id != event.response_id
    ):
        stream = registry.streams.get((event.item_id, event.content_index))
        if stream is not None and stream.response.id == event.response_id:
            registry.speaking = stream
        else:
            stream = _find_stream(session, event, event.content_index)
            if stream is None:
                return
    step = session.stepper  # as `Session.step`, without the call
    row = step(CONTENT_PART, stream, event.step_type, session, event)
    if row is not None and row.report:
        session.deviated(row, event)


ArgumentsEvent: TypeAlias = (
    m.ResponseFunctionCallArgumentsDelta
    | m.ResponseFunctionCallArgumentsDone
    | m.ResponseMcpCallArgumentsDelta
    | m.ResponseMcpCallArgumentsDone
)


def on_arguments(session: ClientSession, event: ArgumentsEvent) -> None:
    """`response.function_call_arguments.*`, `response.mcp_call_arguments.*`"""
    stream = session.registry.streams.get((event.item_id, STREAM_OF_ARGUMENTS))
    if stream is None or stream.response.id != event.response_id:
        stream = _find_stream(session, event, STREAM_OF_ARGUMENTS)
    if stream is not None:
        session.step(CONTENT_PART, stream, event.type, event)


def _find_stream(session: ClientSession, event: PartEvent | ArgumentsEvent, content_index: int) -> StreamRecord | None:
    """A stream that was not looked up before. One of a response that is over is born closed; None for a deleted item's,
    which is ignored (R-C7)."""
    record = _responding(session, event)
    if session.conversation.is_deleted(event.item_id):
        return None
    if not event.response_id and (known := record.streams.get((event.item_id, content_index))) is not None:
        return known
    stream = StreamRecord(record, event.item_id, content_index, event.output_index)
    if not record.is_open:
        stream.state = "closed"
    elif len(record.streams) < session.config.limits.response_parts:
        session.registry.keep_stream(stream)
    return stream


HANDLERS: dict[type[object], Callable[..., None]] = {
    m.Error: on_error,
    m.SessionCreated: on_session,
    m.SessionUpdated: on_session,
    m.ConversationCreated: on_nothing,
    m.RateLimitsUpdated: on_rate_limits,
    m.ConversationItemCreated: on_item,
    m.ConversationItemAdded: on_item,
    m.ConversationItemDone: on_item,
    m.ConversationItemRetrieved: on_item,
    m.ConversationItemTruncated: on_item_id,
    m.ConversationItemDeleted: on_item_id,
    m.ConversationItemInputAudioTranscriptionDelta: on_transcription,
    m.ConversationItemInputAudioTranscriptionUpdated: on_transcription,
    m.ConversationItemInputAudioTranscriptionSegment: on_transcription,
    m.ConversationItemInputAudioTranscriptionCompleted: on_transcription,
    m.ConversationItemInputAudioTranscriptionFailed: on_transcription,
    m.InputAudioBufferSpeechStarted: on_input_audio_buffer,
    m.InputAudioBufferSpeechStopped: on_input_audio_buffer,
    m.InputAudioBufferCommitted: on_input_audio_buffer,
    m.InputAudioBufferCleared: on_input_audio_buffer,
    m.InputAudioBufferTimeoutTriggered: on_input_audio_buffer,
    m.InputAudioBufferDtmfEventReceived: on_nothing,
    m.OutputAudioBufferStarted: on_output_audio_buffer,
    m.OutputAudioBufferStopped: on_output_audio_buffer,
    m.OutputAudioBufferCleared: on_output_audio_buffer,
    m.ResponseCreated: on_response_created,
    m.ResponseDone: on_response_done,
    m.ResponseOutputItemAdded: on_output_item,
    m.ResponseOutputItemDone: on_output_item,
    m.ResponseContentPartAdded: on_part,
    m.ResponseContentPartDone: on_part,
    m.ResponseOutputTextDelta: on_part,
    m.ResponseOutputTextDone: on_part,
    m.ResponseOutputAudioDelta: on_part,
    m.ResponseOutputAudioDone: on_part,
    m.ResponseOutputAudioTranscriptDelta: on_part,
    m.ResponseOutputAudioTranscriptDone: on_part,
    m.ResponseFunctionCallArgumentsDelta: on_arguments,
    m.ResponseFunctionCallArgumentsDone: on_arguments,
    m.ResponseMcpCallArgumentsDelta: on_arguments,
    m.ResponseMcpCallArgumentsDone: on_arguments,
    m.ResponseMcpCallInProgress: on_mcp,
    m.ResponseMcpCallCompleted: on_mcp,
    m.ResponseMcpCallFailed: on_mcp,
    m.McpListToolsInProgress: on_mcp,
    m.McpListToolsCompleted: on_mcp,
    m.McpListToolsFailed: on_mcp,
}
"""What each event of a server does to a client."""

for _seen in {*SERVER_VIEWS["ga"].values(), *SERVER_VIEWS["beta"].values()}:  # the same events by other names
    if (_known := next((base for base in _seen.__mro__ if base in HANDLERS), None)) is not None:
        HANDLERS[_seen] = HANDLERS[_known]

TRANSLATION_HANDLERS: dict[type[object], Callable[..., None]] = {
    m.SessionInputTranscriptDelta: on_translation,
    m.SessionOutputTranscriptDelta: on_translation,
    m.SessionOutputAudioDelta: on_translation,
    m.SessionClosed: on_translation,
}
"""What each event of a translation's server does to its client; to any other it is unknown (R-X1)."""

NEVER_OVERDUE = frozenset(
    {m.Error, m.RateLimitsUpdated, m.ConversationCreated, m.InputAudioBufferDtmfEventReceived}
    | {cls for cls, handler in HANDLERS.items() if handler in (on_transcription, on_mcp, on_output_audio_buffer)}
)
"""Events that may come between an item's `added` and its `done`: they float freely (R-C3)."""
