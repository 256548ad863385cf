"""The rules of the session's table, and of what has but one place in a session: the buffers, and MCP work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiphon import messages as m
from antiphon.engine import mcp, translation
from antiphon.engine.audio import InputAudioLedger
from antiphon.engine.incoming.item import CONVERSATION_ITEM
from antiphon.engine.link import LINK, End
from antiphon.engine.records import Place
from antiphon.engine.timers import Timer
from antiphon.machines import build

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

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

UNSEEN: Final = ("awaiting", "closing_unseen")
"""Where the session has not shown itself."""

ENDING: Final = ("closing_unseen", "closing", "ended")
"""Where a translation was asked to end, or has ended."""

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
