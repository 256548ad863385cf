"""What items say: the rules for parts that are generated, and those for transcriptions of what was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine import mcp
from antiphon.engine.incoming import members
from antiphon.engine.listener import receive_audio
from antiphon.engine.records import STREAM_OF_ARGUMENTS, StreamRecord
from antiphon.machines import build

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

_GENERATED = ("generating", "created", "detached", "unannounced")
"""States of an item in which content of it may come."""


class ContentPartRules:
    """Guards and effects of the content part's table, client side."""

    @staticmethod
    def _is_early(stream: StreamRecord, session: ClientSession) -> bool:
        return members.find_item(session, stream.item_id).state not in _GENERATED

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
                members.trim(session, event)

    append_transcript = append_text

    @staticmethod
    def append_arguments(
        stream: StreamRecord,
        session: ClientSession,
        event: m.ResponseFunctionCallArgumentsDelta | m.ResponseMcpCallArgumentsDelta,
    ) -> None:
        if stream.response.in_conversation:
            session.conversation.text_delta(event.item_id, STREAM_OF_ARGUMENTS, event.delta)
            members.trim(session, event)

    @staticmethod
    def finish_text(stream: StreamRecord, session: ClientSession, event: m.ResponseOutputTextDone) -> None:
        members.finish_text(session, stream, event.text, event)

    @staticmethod
    def finish_transcript(
        stream: StreamRecord, session: ClientSession, event: m.ResponseOutputAudioTranscriptDone
    ) -> None:
        members.finish_text(session, stream, event.transcript, event)

    @staticmethod
    def finish_arguments(
        stream: StreamRecord,
        session: ClientSession,
        event: m.ResponseFunctionCallArgumentsDone | m.ResponseMcpCallArgumentsDone,
    ) -> None:
        members.finish_text(session, stream, event.arguments, event)

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
