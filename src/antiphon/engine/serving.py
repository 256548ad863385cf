"""How a server answers: one handler for each event of a client, and the functions of the tables that it steps.

A server steps the same tables as its client, with the same events: what a client reads as a deviation, a server
cannot say. An effect here *says* the event that its row is named for; what must hold before it is said is a guard, or
is refused by the handler with an entry of ``spec/errors.toml``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine import translation
from antiphon.engine.audio import decode_base64
from antiphon.engine.codec import to_builtins
from antiphon.engine.conversation import Node
from antiphon.engine.legality import MINIMUM_COMMIT_MS
from antiphon.engine.link import LINK, End
from antiphon.engine.membership import audio_of, completed, problem_with_input, problem_with_item, shown
from antiphon.engine.records import OutputRecord, Place, ResponseRecord, StreamRecord
from antiphon.engine.refusals import Refusal, error_event
from antiphon.engine.settings import problem_with_params, problem_with_update
from antiphon.machines import build
from antiphon.messages.beta import CLIENT_VIEWS

if TYPE_CHECKING:
    from antiphon.engine.server import ServerSession


class Update(NamedTuple):
    """A `session.update`, its session as JSON, and why it is refused, None if it is not."""

    event: m.SessionUpdate
    session: dict[str, Any]
    refusal: Refusal | None


class Append(NamedTuple):
    """An append, its audio, and why it is refused, None if it is not."""

    event: m.InputAudioBufferAppend | m.SessionInputAudioBufferAppend
    audio: bytes
    refusal: Refusal | None


def say(_obj: object, session: ServerSession, event: m.ServerEvent) -> None:
    """The effect of most rows: put the event on the wire."""
    session.say(event)


# -- what a server steps -----------------------------------------------------------------------------------------------


class SessionRules:
    """Guards and effects of the session table, server side."""

    @staticmethod
    def announces_itself(_place: Place, _session: ServerSession, _event: object) -> bool:
        return True

    @staticmethod
    def announce(_place: Place, session: ServerSession, _event: object) -> None:
        session.say(m.SessionCreated(session=session.configuration))

    @staticmethod
    def update_is_acceptable(_place: Place, _session: ServerSession, update: Update) -> bool:
        return update.refusal is None

    @staticmethod
    def apply_update(_place: Place, session: ServerSession, update: Update) -> None:
        session.apply(update.session)
        session.say(m.SessionUpdated(session=session.configuration))

    @staticmethod
    def refuse_update(_place: Place, session: ServerSession, update: Update) -> None:
        assert update.refusal is not None  # the guard of the row before
        session.refuse(update.event, update.refusal)

    @staticmethod
    def end(_place: Place, session: ServerSession, event: m.Error) -> None:
        session.say(event)
        session.end(event)

    @staticmethod
    def expire(_place: Place, session: ServerSession, _event: object) -> None:
        minutes = -(-session.config.unix_expiry_s // 60)
        event = error_event("session_expired", minutes=minutes)
        session.say(event)
        session.end(event)

    @staticmethod
    def close_translation(_place: Place, _session: ServerSession, _event: m.SessionClose) -> None:
        """The brain has it from its `Deliver`."""

    translate_text = staticmethod(say)
    translate_audio = staticmethod(say)

    @staticmethod
    def audio_is_acceptable(_place: Place, _session: ServerSession, append: Append) -> bool:
        return append.refusal is None

    @staticmethod
    def append(_place: Place, session: ServerSession, append: Append) -> None:
        session.hearing.take_audio(append.audio)

    @staticmethod
    def refuse_append(_place: Place, session: ServerSession, append: Append) -> None:
        session.refuse(append.event, append.refusal or Refusal("translation_is_closing"))

    @staticmethod
    def end_translation(_place: Place, session: ServerSession, event: m.SessionClosed) -> None:
        session.say(event)
        session.step(LINK, session.link, "internal.close", End(1000, "", None))


class InputAudioBufferRules:
    """Guards and effects of the input audio buffer's table, server side."""

    speech_started = staticmethod(say)
    speech_stopped = staticmethod(say)
    timeout_triggered = staticmethod(say)

    @staticmethod
    def is_announced(_place: Place, _session: ServerSession, _event: object) -> bool:
        return True

    commit_is_due = is_announced
    clear_is_pending = is_announced

    @staticmethod
    def committed(_place: Place, session: ServerSession, event: m.InputAudioBufferCommitted) -> None:
        session.say(event)

    @staticmethod
    def cleared(_place: Place, session: ServerSession, event: m.InputAudioBufferCleared) -> None:
        session.say(event)

    audio_is_acceptable = staticmethod(SessionRules.audio_is_acceptable)
    append = staticmethod(SessionRules.append)

    @staticmethod
    def refuse_append(_place: Place, session: ServerSession, append: Append) -> None:
        assert append.refusal is not None  # the guard of the row before
        session.refuse(append.event, append.refusal)

    @staticmethod
    def holds_enough(_place: Place, session: ServerSession, _event: m.InputAudioBufferCommit) -> bool:
        return session.input_audio.can_commit(MINIMUM_COMMIT_MS)

    @staticmethod
    def commit(_place: Place, session: ServerSession, _event: m.InputAudioBufferCommit) -> None:
        session.hearing.commit(None)

    @staticmethod
    def refuse_commit(_place: Place, session: ServerSession, event: m.InputAudioBufferCommit) -> None:
        ledger = session.input_audio
        fields: dict[str, object] = {"minimum_ms": MINIMUM_COMMIT_MS, "buffered_ms": float(ledger.uncommitted_ms)}
        session.refuse(event, Refusal("input_audio_buffer_commit_empty", fields))

    @staticmethod
    def clear(place: Place, session: ServerSession, _event: m.InputAudioBufferClear) -> None:
        session.hearing.clear(was_speaking=place.state == "speech")

    @staticmethod
    def silence_is_due(_place: Place, session: ServerSession, _event: object) -> bool:
        return session.hearing.silence_is_due

    @staticmethod
    def commit_silence(_place: Place, session: ServerSession, _event: object) -> None:
        session.hearing.commit_silence()

    @staticmethod
    def wait_for_silence(_place: Place, session: ServerSession, _event: object) -> None:
        session.hearing.await_voice(0)

    @staticmethod
    def renewed(_place: Place, session: ServerSession, _event: object) -> None:
        session.hearing.begin()


class OutputAudioBufferRules:
    """Effects of the output audio buffer's table, server side."""

    say = staticmethod(say)


class ResponseRules:
    """Guards and effects of the response table, server side."""

    @staticmethod
    def may_start(record: ResponseRecord, session: ServerSession, _event: object) -> bool:
        return not record.in_conversation or session.default_response is None

    @staticmethod
    def begin(record: ResponseRecord, session: ServerSession, _event: object) -> None:
        session.responder.begin(record)

    @staticmethod
    def refuse_begin(_record: ResponseRecord, session: ServerSession, event: object) -> None:
        active = session.default_response
        assert active is not None  # the guard of the row before
        session.refuse(event, Refusal("conversation_already_has_active_response", {"response_id": active.id}))

    @staticmethod
    def cancel(record: ResponseRecord, session: ServerSession, reason: object) -> None:
        session.responder.cancel(record, "turn_detected" if reason == "turn_detected" else "client_cancelled")

    @staticmethod
    def is_completed(_record: ResponseRecord, _session: ServerSession, event: m.ResponseDone) -> bool:
        return event.response.status == "completed"

    @staticmethod
    def is_cancelled(_record: ResponseRecord, _session: ServerSession, event: m.ResponseDone) -> bool:
        return event.response.status == "cancelled"

    @staticmethod
    def is_incomplete(_record: ResponseRecord, _session: ServerSession, event: m.ResponseDone) -> bool:
        return event.response.status == "incomplete"

    @staticmethod
    def is_failed(_record: ResponseRecord, _session: ServerSession, event: m.ResponseDone) -> bool:
        return event.response.status == "failed"

    @staticmethod
    def finish(record: ResponseRecord, session: ServerSession, event: m.ResponseDone) -> None:
        session.responder.finish(record, event)

    @staticmethod
    def lost(record: ResponseRecord, session: ServerSession, _event: object) -> None:
        session.responder.lose(record)


class ConversationItemRules:
    """Guards and effects of the conversation item's table, server side."""

    attach = staticmethod(say)
    insert = staticmethod(say)
    retrieved = staticmethod(say)
    close_output = staticmethod(say)

    @staticmethod
    def is_out_of_band(item: OutputRecord, _session: ServerSession, _event: object) -> bool:
        return item.response is not None and not item.response.in_conversation

    @staticmethod
    def is_tool_list(_item: Node, _session: ServerSession, event: m.ConversationItemAdded) -> bool:
        return isinstance(event.item, m.McpListToolsItem)

    @staticmethod
    def finalize(_item: Node, session: ServerSession, event: m.ConversationItemDone) -> None:
        session.conversation.done(event.item)
        session.say(event)
        session.trim()

    @staticmethod
    def truncated(item: Node, session: ServerSession, event: m.ConversationItemTruncated) -> None:
        spoken = session.spoken[item.id]
        session.conversation.truncate(item.id, event.content_index, event.audio_end_ms, spoken.ms)
        left = min(spoken.samples, spoken.format.samples_for_ms(event.audio_end_ms))
        session.spoken[item.id] = structs.replace(spoken, samples=left)
        session.recordings.cut(item.id, event.content_index, left)
        session.say(event)
        session.trim()

    @staticmethod
    def remove(item: Node, session: ServerSession, event: m.ConversationItemDeleted) -> None:
        session.conversation.delete(item.id)
        session.say(event)
        session.forget(item)

    @staticmethod
    def lose(item: Node, _session: ServerSession, _event: object) -> None:
        item.status = "incomplete"


class ContentPartRules:
    """Effects of the content part's table, server side."""

    open_part = staticmethod(say)
    finish_text = staticmethod(say)
    finish_audio = staticmethod(say)
    finish_transcript = staticmethod(say)
    finish_arguments = staticmethod(say)
    append_text = staticmethod(say)
    append_transcript = staticmethod(say)
    append_arguments = staticmethod(say)
    close_part = staticmethod(say)
    receive_audio = staticmethod(say)

    @staticmethod
    def is_text(_stream: StreamRecord, _session: ServerSession, event: m.ResponseContentPartAdded) -> bool:
        return event.part is not UNSET and event.part.type == "text"


class TranscriptionRules:
    """Effects of the transcription table, server side."""

    segment = staticmethod(say)

    @staticmethod
    def append(_it: object, session: ServerSession, event: m.ConversationItemInputAudioTranscriptionDelta) -> None:
        session.conversation.transcription_delta(event.item_id, event.content_index or 0, event.delta or "")
        session.say(event)

    @staticmethod
    def complete(
        _it: object, session: ServerSession, event: m.ConversationItemInputAudioTranscriptionCompleted
    ) -> None:
        session.conversation.transcription_completed(event.item_id, event.content_index, event.transcript)
        session.say(event)

    @staticmethod
    def fail(_it: object, session: ServerSession, event: m.ConversationItemInputAudioTranscriptionFailed) -> None:
        session.conversation.transcription_failed(event.item_id, event.content_index, event.error.message or "")
        session.say(event)


class McpRules:
    """Effects of the MCP table, server side."""

    tell = staticmethod(say)


SESSION = build("session", SessionRules, role="server")
MCP = build("mcp", McpRules, role="server")
INPUT_AUDIO_BUFFER = build("input_audio_buffer", InputAudioBufferRules, role="server")
OUTPUT_AUDIO_BUFFER = build("output_audio_buffer", OutputAudioBufferRules, role="server")
RESPONSE = build("response", ResponseRules, role="server")
CONVERSATION_ITEM = build("conversation_item", ConversationItemRules, role="server")
CONTENT_PART = build("content_part", ContentPartRules, role="server")
TRANSCRIPTION = build("transcription", TranscriptionRules, role="server")

# -- handlers ----------------------------------------------------------------------------------------------------------


def on_session_update(session: ServerSession, event: m.SessionUpdate) -> None:
    """`session.update`"""
    update = to_builtins(event.session)
    if session.translates:
        refusal = translation.problem_with_update(event.session)
    else:
        refusal = problem_with_update(session.settings, update, has_spoken=session.has_spoken)
    session.step(SESSION, session.place, event.step_type, Update(event, update, refusal))


def on_translated_audio(session: ServerSession, event: m.SessionInputAudioBufferAppend) -> None:
    """`session.input_audio_buffer.append`"""
    session.step(SESSION, session.place, event.type, _appended(session, event))


def on_session_close(session: ServerSession, event: m.SessionClose) -> None:
    """`session.close`"""
    session.step(SESSION, session.place, event.type, event)


def on_append(session: ServerSession, event: m.InputAudioBufferAppend) -> None:
    """`input_audio_buffer.append`"""
    session.step(INPUT_AUDIO_BUFFER, session.detector, event.type, _appended(session, event))


def _appended(session: ServerSession, event: m.InputAudioBufferAppend | m.SessionInputAudioBufferAppend) -> Append:
    audio, most = decode_base64(event.audio), session.config.limits.append_audio_bytes
    if audio is None:
        return Append(event, b"", Refusal("invalid_audio", {"param": "audio", "detail": "expected base64"}))
    refusal = None
    if len(audio) % session.input_audio.format.bytes_per_sample:
        refusal = Refusal("invalid_audio", {"param": "audio", "detail": "expected a whole number of samples"})
    elif len(audio) > most:
        refusal = Refusal("audio_too_long", {"maximum": most, "length": len(audio)})
    return Append(event, audio, refusal)


def on_input_audio_buffer(session: ServerSession, event: m.InputAudioBufferCommit | m.InputAudioBufferClear) -> None:
    """`input_audio_buffer.commit`, `.clear`"""
    session.step(INPUT_AUDIO_BUFFER, session.detector, event.type, event)


def on_output_clear(session: ServerSession, event: m.OutputAudioBufferClear) -> None:
    """`output_audio_buffer.clear`: over a WebSocket there is no such buffer (R-O2)."""
    if session.deliveries.are_ours:
        cuts = session.deliveries.cut(interrupted=False)
        session.deliveries.stop(cuts)
        session.deliveries.clear(cuts)
        session.deliveries.truncate(cuts)
        return
    session.refuse(
        event,
        Refusal("invalid_value", {"value": event.type, "supported": "only over WebRTC and SIP", "param": "type"}),
    )


def on_item_create(session: ServerSession, event: m.ConversationItemCreate) -> None:
    """`conversation.item.create`"""
    item = event.item
    refusal = problem_with_item(session, item)
    if refusal is not None:
        session.refuse(event, refusal)
        return
    audio = audio_of(item) if session.config.retain_input_audio else {}
    item = completed(session, item)
    placement = session.conversation.insert(item, event.previous_item_id)
    if placement is None:
        session.refuse(event, Refusal("item_create_invalid_previous_item_id", {"item_id": event.previous_item_id}))
        return
    for index, part in audio.items():
        session.recordings.add(placement.node.id, index, session.input_audio.format, part)
    session.add(placement.node, item)


def on_item_delete(session: ServerSession, event: m.ConversationItemDelete) -> None:
    """`conversation.item.delete`"""
    node = session.conversation.get(event.item_id)
    if node is None:
        session.refuse(event, Refusal("item_delete_invalid_item_id", {"item_id": event.item_id}))
    else:
        session.step(
            CONVERSATION_ITEM, node, "conversation.item.deleted", m.ConversationItemDeleted(item_id=event.item_id)
        )


def on_item_retrieve(session: ServerSession, event: m.ConversationItemRetrieve) -> None:
    """`conversation.item.retrieve`"""
    node = session.conversation.get(event.item_id)
    if node is None:
        session.refuse(event, Refusal("item_retrieve_invalid_item_id", {"item_id": event.item_id}))
    else:
        answer = m.ConversationItemRetrieved(item=shown(session, node))
        session.step(CONVERSATION_ITEM, node, "conversation.item.retrieved", answer)


def on_item_truncate(session: ServerSession, event: m.ConversationItemTruncate) -> None:
    """`conversation.item.truncate` (R-C5)"""
    node = session.conversation.get(event.item_id)
    spoken = session.spoken.get(event.item_id)
    if node is None:
        session.refuse(event, Refusal("item_truncate_invalid_item_id", {"item_id": event.item_id}))
    elif event.content_index < 0 or event.audio_end_ms < 0:
        param = "content_index" if event.content_index < 0 else "audio_end_ms"
        fields = {"param": param, "minimum": 0, "value": getattr(event, param)}
        session.refuse(event, Refusal("integer_below_min_value", fields))
    elif spoken is None or event.content_index != 0:
        session.refuse(event, Refusal("unsupported_content_type"))
    elif event.audio_end_ms > spoken.ms:
        fields = {"actual_ms": spoken.ms, "audio_end_ms": event.audio_end_ms}
        session.refuse(event, Refusal("truncate_too_long", fields))
    else:
        session.step(
            CONVERSATION_ITEM,
            node,
            "conversation.item.truncated",
            m.ConversationItemTruncated(
                item_id=event.item_id, content_index=event.content_index, audio_end_ms=event.audio_end_ms
            ),
        )


def on_response_create(session: ServerSession, event: m.ResponseCreate) -> None:
    """`response.create`"""
    params = event.response or None
    refusal = None
    if params is not None:
        refusal = problem_with_params(session.settings, params, has_spoken=session.has_spoken)
    if refusal is None and params is not None and params.input:
        refusal = problem_with_input(session, params.input)
    if refusal is not None:
        session.refuse(event, refusal)
    else:
        session.responder.request("client", params, event)


def on_response_cancel(session: ServerSession, event: m.ResponseCancel) -> None:
    """`response.cancel`"""
    if isinstance(event.response_id, str) and event.response_id:
        record = session.responses.get(event.response_id)
    else:
        record = session.default_response
    if record is None or not record.is_open:
        session.refuse(event, Refusal("response_cancel_not_active"))
    else:
        session.step(RESPONSE, record, "response.cancel", event)


HANDLERS: dict[type[object], Callable[..., None]] = {
    m.SessionUpdate: on_session_update,
    m.InputAudioBufferAppend: on_append,
    m.InputAudioBufferCommit: on_input_audio_buffer,
    m.InputAudioBufferClear: on_input_audio_buffer,
    m.OutputAudioBufferClear: on_output_clear,
    m.ConversationItemCreate: on_item_create,
    m.ConversationItemDelete: on_item_delete,
    m.ConversationItemRetrieve: on_item_retrieve,
    m.ConversationItemTruncate: on_item_truncate,
    m.ResponseCreate: on_response_create,
    m.ResponseCancel: on_response_cancel,
    m.SessionInputAudioBufferAppend: on_translated_audio,
    m.SessionClose: on_session_close,
}
"""What each event of a client does to a server."""

for _view in CLIENT_VIEWS.values():  # the same events by other names
    for _seen in _view.values():
        HANDLERS[_seen] = next(HANDLERS[_base] for _base in _seen.__mro__ if _base in HANDLERS)
