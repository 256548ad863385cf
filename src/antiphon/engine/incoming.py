"""How a client reads what a server says: one handler an event, and the functions of the tables they step.

A handler finds the object that its event is about, steps it, and leaves. What the step leads to is in the classes named
after the tables (`ResponseRules` for ``spec/machines/response.toml``, …): guards read, effects act, neither raises. An
event about something that does not exist steps a fresh object in its ``absent`` state: the table says what that means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine import mcp, translation
from antiphon.engine.acknowledgements import ANSWERS, shape_of
from antiphon.engine.audio import InputAudioLedger
from antiphon.engine.blame import blame
from antiphon.engine.conversation import Node, item_status
from antiphon.engine.link import FATAL_CODES as _FATAL
from antiphon.engine.link import LINK, End
from antiphon.engine.listener import output_format, receive_audio
from antiphon.engine.records import STREAM_OF_ARGUMENTS, OutputRecord, Place, ResponseRecord, StreamRecord
from antiphon.engine.request import is_tagged
from antiphon.engine.timers import Timer
from antiphon.engine.usage import Usage
from antiphon.machines import build
from antiphon.messages.beta import SERVER_VIEWS

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

ItemEvent: TypeAlias = m.ConversationItemAdded | m.ConversationItemDone | m.ConversationItemCreated
OutputItemEvent: TypeAlias = m.ResponseOutputItemAdded | m.ResponseOutputItemDone

# -- session -----------------------------------------------------------------------------------------------------------


class SessionRules:
    """Guards and effects of the session table, client side."""

    @staticmethod
    def announces_itself(_place: Place, session: ClientSession, _event: object) -> bool:
        return session.config.transport == "sideband"

    @staticmethod
    def announce(_place: Place, _session: ClientSession, _event: object) -> None:
        """A sideband announces nothing; its client is ready at once."""

    @staticmethod
    def update_is_pending(_place: Place, session: ClientSession, _event: m.SessionUpdated) -> bool:
        return session.acknowledgements.awaits("session.update")

    @staticmethod
    def adopt_answer(place: Place, session: ClientSession, event: m.SessionUpdated) -> None:
        pending = session.acknowledgements.answered("session.update", event)
        assert pending is not None  # the guard of this row
        session.renewal.accepted(pending, event)
        SessionRules.adopt(place, session, event)

    @staticmethod
    def adopt(_place: Place, session: ClientSession, event: m.SessionCreated | m.SessionUpdated) -> None:
        session.configuration = event.session
        session.renewal.announced(event)
        if not session.renewal.is_configuring:  # else these are defaults; what was wished for is on its way, and holds
            session.take_formats()

    @staticmethod
    def await_end(_place: Place, session: ClientSession, _event: m.Error) -> None:
        session.timers.arm(Timer.CLOSE, session.now + session.config.timers.close)

    @staticmethod
    def translate_text(_place: Place, session: ClientSession, _event: object) -> None:
        translation.drained(session)  # the application has the text from its `Deliver`

    @staticmethod
    def translate_audio(_place: Place, session: ClientSession, event: m.SessionOutputAudioDelta) -> None:
        translation.drained(session)
        translation.play(session, event)

    @staticmethod
    def close_translation(_place: Place, session: ClientSession, _event: m.SessionClose) -> None:
        for timer in (Timer.RENEWAL, Timer.QUIET):
            session.timers.stop(timer)  # no other session is to follow
        translation.drain(session)

    @staticmethod
    def end_translation(_place: Place, session: ClientSession, _event: m.SessionClosed | None) -> None:
        session.listener.finish(translation.TRANSLATION, session.translated_parts)
        session.step(LINK, session.link, "internal.close", End(1000, "", None))


SESSION = build("session", SessionRules, role="client")

# -- input audio buffer ------------------------------------------------------------------------------------------------


class InputAudioBufferRules:
    """Guards and effects of the input audio buffer's table, client side."""

    @staticmethod
    def is_announced(
        _place: Place, session: ClientSession, event: m.InputAudioBufferSpeechStopped | m.InputAudioBufferCommitted
    ) -> bool:
        return session.announced_item_id in (None, event.item_id) or not event.item_id

    @staticmethod
    def commit_is_due(_place: Place, session: ClientSession, event: m.InputAudioBufferCommitted) -> bool:
        return session.timeout_item_id == event.item_id

    @staticmethod
    def is_our_commit(_place: Place, session: ClientSession, event: m.InputAudioBufferCommitted) -> bool:
        return session.timeout_item_id != event.item_id and session.acknowledgements.awaits("input_audio_buffer.commit")

    @staticmethod
    def clear_is_pending(_place: Place, session: ClientSession, _event: m.InputAudioBufferCleared) -> bool:
        return session.acknowledgements.awaits("input_audio_buffer.clear")

    @staticmethod
    def speech_started(_place: Place, session: ClientSession, event: m.InputAudioBufferSpeechStarted) -> None:
        session.announced_item_id = event.item_id or None  # a vendor's that told none
        session.listener.speech(session.detection)

    @staticmethod
    def speech_stopped(_place: Place, session: ClientSession, event: m.InputAudioBufferSpeechStopped) -> None:
        session.announced_item_id = event.item_id or None
        session.speech_end_ms = event.audio_end_ms if isinstance(event.audio_end_ms, int) else None

    @staticmethod
    def committed(_place: Place, session: ClientSession, event: m.InputAudioBufferCommitted) -> None:
        session.input_audio.commit(session.speech_end_ms)
        _committed(session, event)

    @staticmethod
    def commit_answered(_place: Place, session: ClientSession, event: m.InputAudioBufferCommitted) -> None:
        """What our commit took was counted when it was sent; what was appended since is the next turn's."""
        session.acknowledgements.answered("input_audio_buffer.commit", event)
        _committed(session, event)

    @staticmethod
    def cleared(_place: Place, session: ClientSession, event: m.InputAudioBufferCleared) -> None:
        session.acknowledgements.answered("input_audio_buffer.clear", event)
        session.announced_item_id = session.speech_end_ms = None

    @staticmethod
    def cleared_unasked(_place: Place, session: ClientSession, _event: m.InputAudioBufferCleared) -> None:
        """Somebody else asked for it: what we appended is gone all the same."""
        session.input_audio.clear()
        session.announced_item_id = session.speech_end_ms = None

    @staticmethod
    def timeout_triggered(_place: Place, session: ClientSession, event: m.InputAudioBufferTimeoutTriggered) -> None:
        session.timeout_item_id = event.item_id
        session.speech_end_ms = event.audio_end_ms if isinstance(event.audio_end_ms, int) else None

    @staticmethod
    def renewed(_place: Place, session: ClientSession, _event: object) -> None:
        session.input_audio = InputAudioLedger(session.input_audio.format)
        session.announced_item_id = session.speech_end_ms = session.timeout_item_id = None


INPUT_AUDIO_BUFFER = build("input_audio_buffer", InputAudioBufferRules, role="client")


def _committed(session: ClientSession, event: m.InputAudioBufferCommitted) -> None:
    """A turn of the user has its item's id."""
    timed_out = session.timeout_item_id == event.item_id
    session.committed_item_ids[event.item_id] = timed_out
    while len(session.committed_item_ids) > session.config.limits.early_transcripts:
        del session.committed_item_ids[next(iter(session.committed_item_ids))]
    # A manual commit during speech uses the announced id up; the speech goes on under another (R-I2).
    session.announced_item_id = session.speech_end_ms = session.timeout_item_id = None
    spoken = session.conversation.get(event.item_id)
    if spoken is not None:
        spoken.idle_timeout = timed_out
    if spoken is not None and spoken.state == "hearing":
        session.step(CONVERSATION_ITEM, spoken, "internal.committed", event)
        del session.committed_item_ids[event.item_id]


# -- output audio buffer, MCP ------------------------------------------------------------------------------------------


class OutputAudioBufferRules:
    """Guards of the output audio buffer's table."""

    @staticmethod
    def server_delivers(_place: Place, session: ClientSession, _event: object) -> bool:
        return session.config.transport != "websocket"


class McpRules:
    """Effects of the MCP table, client side."""

    @staticmethod
    def tell(_work: mcp.McpWork, _session: ClientSession, _event: object) -> None:
        """The application has it from its `Deliver`."""


OUTPUT_AUDIO_BUFFER = build("output_audio_buffer", OutputAudioBufferRules, role="client")
MCP = build("mcp", McpRules, role="client")

# -- response ----------------------------------------------------------------------------------------------------------


def _status(event: m.ResponseDone) -> str | None:
    status = event.response.status
    return status if isinstance(status, str) else None


_CUT_SHORT = frozenset({"cancelled", "incomplete", "failed"})
"""How a response ends whose calls nobody has to answer: the talk goes on without them (R-Q11)."""


class ResponseRules:
    """Guards and effects of the response table, client side."""

    @staticmethod
    def place_is_free(record: ResponseRecord, session: ClientSession, _event: object) -> bool:
        return not record.in_conversation or session.default_response is None

    @staticmethod
    def is_completed(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "completed"

    @staticmethod
    def is_cancelled(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "cancelled"

    @staticmethod
    def is_incomplete(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "incomplete"

    @staticmethod
    def is_failed(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "failed"

    @staticmethod
    def begin(record: ResponseRecord, session: ClientSession, event: m.ResponseCreated | m.ResponseDone) -> None:
        session.open_response(record)
        record.format = output_format(event.response) or session.listener.format
        request = session.arbiter.created(event.response, in_conversation=record.in_conversation)
        if request is not None:
            record.event_id = request.event_id
            if is_tagged(event.response):  # matched by order alone, it may be what voice detection began
                session.acknowledgements.overtake(request.sequence, event, command="response.create")

    @staticmethod
    def begin_unannounced(record: ResponseRecord, session: ClientSession, _event: object) -> None:
        record.claim = "inferred"
        session.open_response(record)
        record.format = session.listener.format

    @staticmethod
    def cancel(_record: ResponseRecord, _session: ClientSession, _event: object) -> None:
        """Nothing is dropped: what was under way may still come, and the ledger decides what is heard."""

    @staticmethod
    def finish(record: ResponseRecord, session: ClientSession, event: m.ResponseDone) -> None:
        record.status = _status(event)
        _close_children(record, session, event)
        if record.in_conversation:
            for call in _calls_of(record, session, event.response.output or ()):
                session.called(call, owed=record.status not in _CUT_SHORT)
        told = Usage.of(event.response.usage)
        record.usage = Usage.of(event.usage) if told.unknown else told  # one vendor tells it beside the response
        session.usage += record.usage
        session.close_response(record, event)

    @staticmethod
    def finish_unannounced(record: ResponseRecord, session: ClientSession, event: m.ResponseDone) -> None:
        ResponseRules.begin(record, session, event)
        session.sharing.meet(record.id, None)  # before its items are looked at
        ResponseRules.finish(record, session, event)

    @staticmethod
    def finish_malformed(record: ResponseRecord, session: ClientSession, event: object) -> None:
        _close_children(record, session, event)
        record.usage = Usage.of(None)
        session.usage += record.usage
        session.close_response(record, record.id)

    @staticmethod
    def lost(record: ResponseRecord, session: ClientSession, _event: object) -> None:
        for stream in record.streams.values():
            session.step(CONTENT_PART, stream, "internal.lost", None)
        for item_id in record.item_ids:
            item = find_item(session, item_id)
            if item.state != "absent":
                session.step(CONVERSATION_ITEM, item, "internal.lost", None)
        session.close_response(record, None)


RESPONSE = build("response", ResponseRules, role="client")


def _calls_of(record: ResponseRecord, session: ClientSession, output: Sequence[m.Item]) -> Iterator[m.FunctionCallItem]:
    """The completed calls of a response: those that its end lists, but for deleted ones (R-C7), and those that it
    leaves out although they were completed before (R-Q11; some servers list nothing)."""
    for item in output:
        if (
            isinstance(item, m.FunctionCallItem)
            and item.status in ("completed", UNSET)
            and not session.conversation.is_deleted(item.id or "")
        ):
            yield item
    listed = {item.id for item in output}
    for item_id in record.item_ids:
        node = None if item_id in listed else session.conversation.get(item_id)
        if node is not None and isinstance(node.item, m.FunctionCallItem) and node.status == "completed":
            yield node.item


def _close_children(record: ResponseRecord, session: ClientSession, event: object) -> None:
    for stream in record.streams.values():
        session.step(CONTENT_PART, stream, "internal.response_done", event)
    for item_id in record.item_ids:
        item = find_item(session, item_id)
        if item.state != "absent":
            session.step(CONVERSATION_ITEM, item, "internal.response_done", event)
    if not record.in_conversation or not isinstance(event, m.ResponseDone):
        return
    if record.item_ids and record.id in session.sharing.missed:
        return  # the others are older than what is known, as all that was said before (R-A4)
    for output in event.response.output or ():
        if isinstance(output.id, str) and output.id and output.id not in record.item_ids:
            item = find_item(session, output.id)  # which was never announced as output
            if isinstance(item, OutputRecord) and item.response is None:
                item.response = record
            session.step(CONVERSATION_ITEM, item, "internal.response_done", event)


# -- conversation item -------------------------------------------------------------------------------------------------


def find_item(session: ClientSession, item_id: str) -> Node | OutputRecord:
    """The object of an item: its node, or its record as mere output; a fresh one when there is neither."""
    node = session.conversation.get(item_id)
    if node is not None:
        return node
    record = session.outputs.get(item_id)
    if record is not None:
        return record
    return OutputRecord(item_id, "deleted" if session.conversation.is_deleted(item_id) else "absent")


class ConversationItemRules:
    """Guards and effects of the conversation item's table, client side."""

    @staticmethod
    def is_out_of_band(item: OutputRecord, _session: ClientSession, _event: OutputItemEvent) -> bool:
        return item.response is not None and not item.response.in_conversation

    @staticmethod
    def is_tool_list(_item: OutputRecord, _session: ClientSession, event: ItemEvent) -> bool:
        return isinstance(event.item, m.McpListToolsItem)

    @staticmethod
    def is_remote_call(item: Node | OutputRecord, session: ClientSession, _event: object) -> bool:
        return mcp.is_call(session, item.id)

    @staticmethod
    def is_in_progress(_item: OutputRecord, _session: ClientSession, event: ItemEvent) -> bool:
        return item_status(event.item) == "in_progress"

    @staticmethod
    def is_being_spoken(item: OutputRecord, session: ClientSession, event: ItemEvent) -> bool:
        return item.id == session.announced_item_id and ConversationItemRules.is_in_progress(item, session, event)

    @staticmethod
    def attach(item: OutputRecord | Node, session: ClientSession, _event: OutputItemEvent) -> None:
        # One of a response that is over, or has too many, is not kept: nothing would ever end it.
        if isinstance(item, OutputRecord) and item.response is not None and item.id in item.response.item_ids:
            session.keep_output(item)

    @staticmethod
    def insert(item: OutputRecord, session: ClientSession, event: ItemEvent) -> None:
        session.outputs.pop(item.id, None)
        front = False
        if item.state in ("added", "entered"):  # complete as it comes: a client's own, or committed audio
            session.overdue_item_id = item.id if item.state == "added" else None
            pending = None
            if not session.is_committed(event.item):  # committed audio must not be taken for a message of ours
                pending = session.acknowledgements.answered(
                    "conversation.item.create", event, key=item.id, shape=shape_of(event.item)
                )
                if pending is None:
                    session.check_origin(event.item, event)
            front = pending is not None and pending.front
        session.insert(
            event.item, event.previous_item_id, state=item.state, response=item.response, event=event, front=front
        )
        if item.state == "entered":
            session.conversation.done(event.item)  # nothing more need come

    @staticmethod
    def insert_again(item: OutputRecord | Node, session: ClientSession, event: ItemEvent) -> None:
        session.acknowledgements.answered("conversation.item.create", event, key=item.id, shape=shape_of(event.item))
        session.insert(event.item, event.previous_item_id, state="completed", response=None, event=event)

    @staticmethod
    def insert_final(
        item: OutputRecord, session: ClientSession, event: m.ConversationItemDone | m.ResponseOutputItemDone
    ) -> None:
        _insert_final(item, event.item, session, event)

    @staticmethod
    def awaits_place(item: Node | OutputRecord, session: ClientSession, _event: ItemEvent) -> bool:
        return session.conversation.awaits_place(item.id)

    @staticmethod
    def place(item: Node, session: ClientSession, event: ItemEvent) -> None:
        session.place_item(item.id, event.previous_item_id, event)

    @staticmethod
    def finalize(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemDone) -> None:
        if session.overdue_item_id == item.id:
            session.overdue_item_id = None
        _finish_streams(item.id, session, event)
        session.conversation.done(event.item)

    @staticmethod
    def close_output(item: Node | OutputRecord, session: ClientSession, event: m.ResponseOutputItemDone) -> None:
        _finish_streams(item.id, session, event)
        if isinstance(item, OutputRecord):
            session.outputs.pop(item.id, None)
        elif not item.finished:  # it did not end as a member before, and will not
            session.conversation.done(event.item)

    @staticmethod
    def heard(item: Node, _session: ClientSession, _event: m.InputAudioBufferCommitted) -> None:
        item.status = "completed"

    @staticmethod
    def close_member(item: Node, session: ClientSession, event: m.ResponseOutputItemDone) -> None:
        """The end as output stands for the end as a member, which did not come."""
        _finish_streams(item.id, session, event)
        session.conversation.done(event.item)

    @staticmethod
    def abandon(item: Node | OutputRecord, session: ClientSession, event: m.Event) -> None:
        """Its response is over. What that says of the item, if anything, is the last that will come."""
        output = (event.response.output or ()) if isinstance(event, m.ResponseDone) else ()
        final = next((each for each in output if each.id == item.id), None)
        if isinstance(item, Node):
            item.status = "incomplete"
            if final is not None:
                session.conversation.done(final)
        elif final is not None and item.response is not None and item.response.in_conversation:
            _insert_final(item, final, session, event)
        session.outputs.pop(item.id, None)

    @staticmethod
    def lose(item: Node | OutputRecord, session: ClientSession, _event: object) -> None:
        session.outputs.pop(item.id, None)
        if isinstance(item, Node):
            item.status = "incomplete"

    @staticmethod
    def truncated(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemTruncated) -> None:
        session.truncated(event)

    @staticmethod
    def truncated_early(_item: OutputRecord, session: ClientSession, event: m.ConversationItemTruncated) -> None:
        """Of an item that is no member, but may become one."""
        session.acknowledgements.answered("conversation.item.truncate", event, key=event.item_id)
        session.conversation.truncate(event.item_id, event.content_index, event.audio_end_ms)

    @staticmethod
    def remove(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemDeleted) -> None:
        session.outputs.pop(item.id, None)
        if not session.acknowledgements.answered("conversation.item.delete", event, key=item.id):
            session.report("R-A1", event, "no conversation.item.delete of ours is unanswered")
        session.conversation.delete(item.id)
        session.approval_requests.pop(item.id, None)
        if isinstance(item, Node) and isinstance(item.item, m.FunctionCallItem):
            session.uncalled(item.item)

    @staticmethod
    def retrieved(item: Node | OutputRecord, session: ClientSession, event: m.ConversationItemRetrieved) -> None:
        if not session.acknowledgements.answered("conversation.item.retrieve", event, key=item.id):
            session.report("R-A1", event, "no conversation.item.retrieve of ours is unanswered")
        session.conversation.retrieved(event.item)


CONVERSATION_ITEM = build("conversation_item", ConversationItemRules, role="client")


def _insert_final(
    item: OutputRecord,
    final: m.Item,
    session: ClientSession,
    event: m.Event,
) -> None:
    """An item becomes a member by its end; where it belongs may still come."""
    session.outputs.pop(item.id, None)
    session.insert(final, UNSET, state=item.state, response=item.response, event=event, unplaced=True)
    _finish_streams(item.id, session, event)
    session.conversation.done(final)


def _finish_streams(item_id: str, session: ClientSession, event: object) -> None:
    for content_index in session.stream_indexes(item_id):
        session.step(CONTENT_PART, session.streams[item_id, content_index], "internal.item_done", event)


# -- content part ------------------------------------------------------------------------------------------------------

_GENERATED = ("generating", "created", "detached", "unannounced")
"""States of an item in which content of it may come."""


class ContentPartRules:
    """Guards and effects of the content part's table, client side."""

    @staticmethod
    def _is_early(stream: StreamRecord, session: ClientSession) -> bool:
        return find_item(session, stream.item_id).state not in _GENERATED

    @staticmethod
    def is_text(_stream: StreamRecord, _session: ClientSession, event: m.ResponseContentPartAdded) -> bool:
        return event.part is not UNSET and event.part.type in ("text", "output_text")

    @staticmethod
    def is_early_text(stream: StreamRecord, session: ClientSession, event: m.ResponseContentPartAdded) -> bool:
        return ContentPartRules.is_text(stream, session, event) and ContentPartRules._is_early(stream, session)

    @staticmethod
    def is_early_audio(stream: StreamRecord, session: ClientSession, event: m.ResponseContentPartAdded) -> bool:
        return not ContentPartRules.is_text(stream, session, event) and ContentPartRules._is_early(stream, session)

    @staticmethod
    def of_remote_call(stream: StreamRecord, session: ClientSession, _event: object) -> bool:
        return mcp.is_call(session, stream.item_id)

    @staticmethod
    def open_part(stream: StreamRecord, session: ClientSession, event: m.ResponseContentPartAdded) -> None:
        if stream.response.in_conversation and not ContentPartRules.is_text(stream, session, event):
            session.has_spoken = True  # from here on the voice is locked (R-S5)

    @staticmethod
    def append_text(
        stream: StreamRecord,
        session: ClientSession,
        event: m.ResponseOutputTextDelta | m.ResponseOutputAudioTranscriptDelta,
    ) -> None:
        if stream.response.in_conversation:
            # The stream's own strings know their hashes, those of the event are new.
            conversation = session.conversation
            conversation.text_delta(stream.item_id, stream.content_index, event.delta)
            if conversation.text_bytes > conversation.max_text_bytes:
                session.trim(event)

    append_transcript = append_text

    @staticmethod
    def append_arguments(
        stream: StreamRecord,
        session: ClientSession,
        event: m.ResponseFunctionCallArgumentsDelta | m.ResponseMcpCallArgumentsDelta,
    ) -> None:
        if stream.response.in_conversation:
            session.conversation.text_delta(event.item_id, STREAM_OF_ARGUMENTS, event.delta)
            session.trim(event)

    @staticmethod
    def finish_text(stream: StreamRecord, session: ClientSession, event: m.ResponseOutputTextDone) -> None:
        session.finish_text(stream, event.text, event)

    @staticmethod
    def finish_transcript(
        stream: StreamRecord, session: ClientSession, event: m.ResponseOutputAudioTranscriptDone
    ) -> None:
        session.finish_text(stream, event.transcript, event)

    @staticmethod
    def finish_arguments(
        stream: StreamRecord,
        session: ClientSession,
        event: m.ResponseFunctionCallArgumentsDone | m.ResponseMcpCallArgumentsDone,
    ) -> None:
        session.finish_text(stream, event.arguments, event)

    receive_audio = staticmethod(receive_audio)

    @staticmethod
    def finish_audio(stream: StreamRecord, session: ClientSession, _event: m.ResponseOutputAudioDone) -> None:
        session.listener.finish(stream.item_id, stream.content_index)

    @staticmethod
    def close_part(_stream: StreamRecord, _session: ClientSession, _event: m.ResponseContentPartDone) -> None:
        """Its modalities have said everything already."""

    @staticmethod
    def abandon(stream: StreamRecord, session: ClientSession, _event: object) -> None:
        session.listener.finish(stream.item_id, stream.content_index)


CONTENT_PART = build("content_part", ContentPartRules, role="client")

# -- transcription -----------------------------------------------------------------------------------------------------


class TranscriptionRules:
    """Effects of the transcription table, client side."""

    @staticmethod
    def append(
        _transcription: object, session: ClientSession, event: m.ConversationItemInputAudioTranscriptionDelta
    ) -> None:
        session.conversation.transcription_delta(event.item_id, event.content_index or 0, event.delta or "")

    @staticmethod
    def replace(
        _transcription: object, session: ClientSession, event: m.ConversationItemInputAudioTranscriptionUpdated
    ) -> None:
        session.conversation.transcription_updated(event.item_id, event.content_index, event.transcript)

    @staticmethod
    def complete(
        _transcription: object, session: ClientSession, event: m.ConversationItemInputAudioTranscriptionCompleted
    ) -> None:
        session.conversation.transcription_completed(event.item_id, event.content_index, event.transcript)

    @staticmethod
    def fail(
        _transcription: object, session: ClientSession, event: m.ConversationItemInputAudioTranscriptionFailed
    ) -> None:
        message = event.error.message
        session.conversation.transcription_failed(
            event.item_id, event.content_index, message if isinstance(message, str) else ""
        )


TRANSCRIPTION = build("transcription", TranscriptionRules, role="client")

# -- handlers ----------------------------------------------------------------------------------------------------------


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
    session.step(CONVERSATION_ITEM, find_item(session, item_id), event.step_type, event)
    if isinstance(event.item, mcp.ITEMS) and not session.conversation.is_deleted(item_id):
        mcp.learn(session, item_id, event.item)
    session.trim(event)


def on_item_id(session: ClientSession, event: m.ConversationItemTruncated | m.ConversationItemDeleted) -> None:
    """`conversation.item.truncated`, `.deleted`; without an id (xAI) it answers the oldest that waits."""
    item_id = event.item_id
    if not item_id:
        waiting = [each.key for each in session.unanswered if ANSWERS[each.type] == event.type]
        item_id = next((key for key in waiting if key), "")
    session.renewal.replay.ending.pop(item_id, None)
    session.step(CONVERSATION_ITEM, find_item(session, item_id), event.type, event)
    session.trim(event)


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
    session.trim(event)


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
    outliving = find_item(session, item_id)
    # What ends here may be the call alone: its response has ended, and somebody may have deleted it (R-M1, R-M4, R-C7).
    if outliving.state in mcp.OUTLIVING or (outliving.state == "deleted" and mcp.is_call(session, item_id)):
        session.step(CONVERSATION_ITEM, outliving, event.step_type, event)
        return
    record = _responding(session, event)
    item = find_item(session, item_id)
    if isinstance(item, OutputRecord) and item.response is None:
        item.response = record
    if record.is_open and len(record.item_ids) < session.config.limits.response_parts:
        record.item_ids[item_id] = None
    session.step(CONVERSATION_ITEM, item, event.type, event)
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
    stream = session.speaking  # most deltas continue the one before, and three comparisons cost less than a look-up
    if (
        stream is None
        or stream.item_id != event.item_id
        or stream.content_index != event.content_index
        or stream.response.id != event.response_id
    ):
        stream = session.streams.get((event.item_id, event.content_index))
        if stream is not None and stream.response.id == event.response_id:
            session.speaking = stream
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
    stream = session.streams.get((event.item_id, STREAM_OF_ARGUMENTS))
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
        session.keep_stream(stream)
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
