"""The server's side of the ear: the input audio buffer, turns that voice detection finds, silence, and transcripts.

What moves is in the tables ``input_audio_buffer`` and ``transcription``; here is what is checked before (a mistake of
the application changes nothing) and what a commit makes.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal, TypeAlias

from antiphon import messages as m
from antiphon.engine.actions import InputAudio, InputCommitted
from antiphon.engine.audio import InputAudioLedger
from antiphon.engine.codec import encode
from antiphon.engine.content import TranscriptCompleted, TranscriptDelta, TranscriptionResult, TranscriptSegment
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.legality import MINIMUM_COMMIT_MS
from antiphon.engine.serving import INPUT_AUDIO_BUFFER, RESPONSE, TRANSCRIPTION
from antiphon.engine.timers import MS, Timer

if TYPE_CHECKING:
    from antiphon.engine.server import ServerSession

TranscriptionNews: TypeAlias = (
    m.ConversationItemInputAudioTranscriptionDelta
    | m.ConversationItemInputAudioTranscriptionSegment
    | m.ConversationItemInputAudioTranscriptionCompleted
    | m.ConversationItemInputAudioTranscriptionFailed
)


class Hearing:
    """What one server session hears. The buffer and the announced turn are the session's, for everybody to read."""

    __slots__ = ("_session",)

    def __init__(self, session: ServerSession) -> None:
        self._session = session

    # -- the buffer ----------------------------------------------------------------------------------------------------

    @property
    def _retain_bytes(self) -> int:
        config = self._session.config
        return config.limits.retained_audio_bytes if config.retain_input_audio else 0

    def ledger(self) -> InputAudioLedger:
        """An empty buffer."""
        return InputAudioLedger(retain_bytes=self._retain_bytes)

    def begin(self) -> None:
        """A new socket begins with an empty buffer, and with its first sample."""
        session = self._session
        session.input_audio = InputAudioLedger(session.input_audio.format, retain_bytes=self._retain_bytes)
        session.speech_item_id = None
        session.speech_cleared = False

    def take_audio(self, audio: bytes) -> None:
        """Audio of the client that passed its checks."""
        session = self._session
        start, whole = session.input_audio.append_audio(audio)
        session.act(InputAudio(whole, start))

    def commit(self, end_ms: int | None) -> None:
        """The uncommitted audio becomes a user item."""
        session = self._session
        session.timers.stop(Timer.IDLE)
        item_id = session.speech_item_id or session.next_id("item")
        session.speech_item_id = None
        retained = session.input_audio.audio(None, end_ms) if session.config.retain_input_audio else None
        session.input_audio.commit(end_ms)
        last = session.conversation.last
        self._emit(m.InputAudioBufferCommitted(item_id=item_id, previous_item_id=None if last is None else last.id))
        if retained:
            session.recordings.add(item_id, 0, session.input_audio.format, retained)
        session.append(
            m.MessageItem(id=item_id, status="completed", role="user", content=[m.InputAudio(transcript=None)])
        )
        session.act(InputCommitted(item_id, retained))

    def clear(self, *, was_speaking: bool) -> None:
        """Drop what is not committed."""
        session = self._session
        session.input_audio.clear()
        session.speech_cleared = was_speaking
        if session.speech_item_id is not None:  # what is still transcribed of it comes too late
            session.conversation.delete(session.speech_item_id)
            session.speech_item_id = None
        self._emit(m.InputAudioBufferCleared())

    def _emit(self, event: m.ServerEvent) -> None:
        session = self._session
        session.step(INPUT_AUDIO_BUFFER, session.detector, event.type, event)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def check_speech_started(self, audio_start_ms: int) -> None:
        """Raises `LocalProtocolError` when no speech can begin."""
        session = self._session
        _check_ms("audio_start_ms", audio_start_ms)
        if session.turn_detection is None:
            raise LocalProtocolError("turn detection is off: the client commits by itself", rule="R-I1")
        if session.detector.state != "idle":
            raise LocalProtocolError("speech was started before", rule="R-I1")

    def speech_started(self, audio_start_ms: int) -> None:
        """A voice was heard: it announces an item, and interrupts."""
        session = self._session
        detection = session.turn_detection
        session.timers.stop(Timer.IDLE)
        session.speech_cleared = False
        session.speech_item_id = session.next_id("item")
        interrupts = detection is not None and detection.interrupt_response is not False
        cuts = session.deliveries.cut(interrupted=True) if interrupts else []
        session.deliveries.stop(cuts)
        self._emit(m.InputAudioBufferSpeechStarted(audio_start_ms=audio_start_ms, item_id=session.speech_item_id))
        if not interrupts:
            return
        session.deliveries.clear(cuts)
        record = session.default_response
        if record is not None:
            session.step(RESPONSE, record, "response.cancel", "turn_detected")
        session.deliveries.truncate(cuts)

    def expects_speech_stopped(self, audio_end_ms: int) -> bool:
        """Whether there is speech to end; False when the client cleared it. Raises `LocalProtocolError` when none was
        started."""
        session = self._session
        _check_ms("audio_end_ms", audio_end_ms)
        if session.detector.state == "speech":
            return True
        if session.speech_cleared:  # the client cleared the buffer under the speech: its end is nobody's any more
            session.speech_cleared = False
            return False
        raise LocalProtocolError("no speech was started", rule="R-I1")

    def speech_stopped(self, audio_end_ms: int) -> None:
        """The voice fell silent: its turn is committed, and answered if the session wants that."""
        session = self._session
        if session.speech_item_id is None:  # a manual commit used the announced id up (R-I2)
            session.speech_item_id = session.next_id("item")
        self._emit(m.InputAudioBufferSpeechStopped(audio_end_ms=audio_end_ms, item_id=session.speech_item_id))
        self.commit(audio_end_ms)
        self._answer("vad")

    def _answer(self, cause: Literal["vad", "idle"]) -> None:
        session = self._session
        detection = session.turn_detection
        if not session.converses or detection is None or detection.create_response is False:
            return
        if session.default_response is None:
            session.responder.request(cause, None, None)

    # -- silence (R-I5) ------------------------------------------------------------------------------------------------

    @property
    def _idle_timeout_ms(self) -> int | None:
        detection = self._session.turn_detection
        if detection is None or detection.type == "semantic_vad":
            return None
        return detection.idle_timeout_ms or None

    def await_voice(self, playback_ms: int) -> None:
        """Silence counts from the end of what is to be heard, ``playback_ms`` from now."""
        session = self._session
        timeout = self._idle_timeout_ms
        if timeout is not None and session.detector.state == "idle":
            session.timers.arm(Timer.IDLE, session.now + (playback_ms + timeout) * MS)

    def settings_changed(self) -> None:
        """The session was updated: what it does not want any more is not waited for."""
        session = self._session
        if session.timers.at(Timer.IDLE) is not None and self._idle_timeout_ms is None:
            session.timers.stop(Timer.IDLE)

    @property
    def silence_is_due(self) -> bool:
        """Whether there is silence to commit: a client that sends none is not idle, but absent."""
        return self._session.input_audio.can_commit(MINIMUM_COMMIT_MS)

    def commit_silence(self) -> None:
        """The silence becomes the user's turn; a message of the system before it says what is wanted."""
        session = self._session
        ledger = session.input_audio
        end_ms = ledger.total_ms
        start_ms = max(ledger.format.ms(ledger.start), end_ms - (self._idle_timeout_ms or 0))
        session.speech_item_id = item_id = session.next_id("item")
        self._emit(m.InputAudioBufferTimeoutTriggered(audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=item_id))
        if session.config.idle_nudge:
            session.append(
                m.MessageItem(
                    id=session.next_id("item"),
                    status="completed",
                    role="system",
                    content=[m.InputText(text=session.config.idle_nudge)],
                )
            )
        self.commit(None)
        self._answer("idle")

    # -- transcripts ---------------------------------------------------------------------------------------------------

    def news_of(self, item_id: str, content_index: int, result: TranscriptionResult) -> TranscriptionNews | None:
        """The event that tells ``result``; None when the client deleted or cleared the item meanwhile.

        Raises `LocalProtocolError` when there is no such audio, or its transcription cannot go on like that.
        """
        session = self._session
        node = session.conversation.get(item_id)
        if node is None:
            if session.conversation.is_deleted(item_id):
                return None
            if item_id != session.speech_item_id:
                raise LocalProtocolError(f"item {item_id!r} is not in the conversation", rule="R-C10")
        parts = node.item.content if node is not None and isinstance(node.item, m.MessageItem) else []
        is_audio = (
            isinstance(parts[content_index], m.InputAudio)
            if 0 <= content_index < len(parts)
            else node is None and content_index == 0
        )
        if not is_audio:
            raise LocalProtocolError(f"content {content_index} of item {item_id!r} is no audio of a user", rule="R-T1")
        event = _transcription_event(item_id, content_index, result)
        try:
            encode(event)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-E2") from None
        record = node if node is not None else session.conversation.early(item_id)
        known = record.transcriptions.get(content_index) if record is not None else None
        state = known.state if known is not None else TRANSCRIPTION.initial
        if event.type not in TRANSCRIPTION.cells[state]:
            raise LocalProtocolError(f"the transcription is {state}", rule="R-T2")
        return event

    def transcribed(self, event: TranscriptionNews) -> None:
        """Tell it."""
        session = self._session
        transcription = session.conversation.transcription(event.item_id, event.content_index or 0)
        session.step(TRANSCRIPTION, transcription, event.type, event)
        session.trim()


def _check_ms(name: str, value: int) -> None:
    if type(value) is not int or value < 0:
        raise LocalProtocolError(f"{name} is {value}: positions are whole ms from the first sample", rule="R-I1")


def _transcription_event(item_id: str, content_index: int, result: TranscriptionResult) -> TranscriptionNews:
    if isinstance(result, TranscriptDelta):
        return m.ConversationItemInputAudioTranscriptionDelta(
            item_id=item_id, content_index=content_index, delta=result.delta
        )
    if isinstance(result, TranscriptSegment):
        if not 0 <= result.start <= result.end < inf:
            raise LocalProtocolError(f"a segment from {result.start} s to {result.end} s", rule="R-T1")
        return m.ConversationItemInputAudioTranscriptionSegment(
            item_id=item_id,
            content_index=content_index,
            id=result.id,
            text=result.text,
            speaker=result.speaker,
            start=result.start,
            end=result.end,
        )
    if isinstance(result, TranscriptCompleted):
        if not 0 <= result.seconds < inf:
            raise LocalProtocolError(f"{result.seconds} seconds of audio", rule="R-T2")
        return m.ConversationItemInputAudioTranscriptionCompleted(
            item_id=item_id,
            content_index=content_index,
            transcript=result.transcript,
            usage=m.DurationUsage(seconds=result.seconds),
        )
    return m.ConversationItemInputAudioTranscriptionFailed(
        item_id=item_id,
        content_index=content_index,
        error=m.FailureDetail(type="transcription_error", code=result.code, message=result.message),
    )
