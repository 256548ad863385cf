"""The client's side of the ear: what goes to the player, what was heard, and what is cut.

Generation, delivery and playback are three clocks. The device tells what was heard (`audio_played`), or by policy a
`PlayClock` estimates it, and a barge-in is about what was *not*: every part with audio left unheard is stopped, once,
whether or not its response is over, and the server is told in integer milliseconds of what it sent (R-B1 … R-B7). Over
WebRTC and on a sideband the server does all this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from pybase64 import b64decode

from antiphon.engine import known
from antiphon.engine.actions import PlayAudio, StopAudio
from antiphon.engine.audio import PCM16_24K, AudioFormat
from antiphon.engine.playback import Entry
from antiphon.engine.playclock import PlayClock
from antiphon.engine.timers import Timer
from antiphon.machines import build
from antiphon.messages import (
    AnySession,
    ConversationItemDelete,
    ConversationItemTruncate,
    Response,
    ResponseOutputAudioDelta,
    TurnDetection,
)

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession
    from antiphon.engine.records import StreamRecord


class PlaybackRules:
    """Guards and effects of the playback table."""

    @staticmethod
    def is_clocked(_entry: Entry, session: ClientSession, _event: object) -> bool:
        return session.listener.clock is not None

    @staticmethod
    def stop(entry: Entry, session: ClientSession, _event: object) -> None:
        session.playback.begin_cut(entry)
        session.act_before_delivery(StopAudio(entry.item_id, entry.content_index))

    @staticmethod
    def stop_and_cut(entry: Entry, session: ClientSession, _event: object) -> None:
        PlaybackRules.stop(entry, session, None)
        session.listener.cut(entry, None)

    @staticmethod
    def cut(entry: Entry, session: ClientSession, samples: int | None) -> None:
        session.listener.cut(entry, samples)

    @staticmethod
    def cut_unplayed(entry: Entry, session: ClientSession, _event: object) -> None:
        session.playback.begin_cut(entry)
        session.listener.cut(entry, None)

    @staticmethod
    def cut_by_server(entry: Entry, session: ClientSession, audio_end_ms: int) -> None:
        if not entry.cutting and entry.received > entry.format.samples_for_ms(audio_end_ms):
            session.act(StopAudio(entry.item_id, entry.content_index))  # the model knows nothing of what would follow
        session.playback.begin_cut(entry)
        session.playback.finish_cut(entry, None)
        entry.told = True


PLAYBACK = build("playback", PlaybackRules, role="client")


class Listener:
    """Moves the parts of a client's playback ledger through the playback table."""

    __slots__ = ("_session", "clock", "format", "plays")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.clock = PlayClock() if session.config.playback == "clock" else None
        """What estimates the play head, where no device reports it."""
        self.format: AudioFormat = PCM16_24K
        """What the session speaks in, from the newest session event."""
        self.plays = session.config.decode_audio and session.config.transport == "websocket"
        """Whether this engine hands audio to a player at all."""

    # -- audio comes in ------------------------------------------------------------------------------------------------

    def admit(self, stream: StreamRecord, nbytes: int) -> Entry | None:
        """The entry for ``nbytes`` of audio of a stream; None when nobody is to hear it.

        What begins after its response was interrupted is cut before it sounds (R-B6).
        """
        session, response = self._session, stream.response
        playback = session.playback
        stream.entry = playback.admit(
            stream.item_id, stream.content_index, response.id, nbytes, response.format or self.format
        )
        if stream.entry is None:
            unplayed = playback.get(stream.item_id, stream.content_index)
            if unplayed is not None and unplayed.cut is None and unplayed.sent and not unplayed.received:
                session.step(PLAYBACK, unplayed, "internal.unplayed", None)
        return stream.entry

    def finish(self, item_id: str, content_index: int) -> None:
        """No more audio of this part will come."""
        entry = self._session.playback.done(item_id, content_index)
        if entry is not None:
            self._finished(entry)

    def finish_response(self, response_id: str) -> None:
        """No more audio of this response will come."""
        for entry in self._session.playback.response_done(response_id):
            self._finished(entry)

    def _finished(self, entry: Entry) -> None:
        self._session.conversation.measure(entry.item_id, entry.content_index, entry.format.ms(entry.sent))
        self._settle(entry)

    # -- the player reports --------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Bring what the clock estimates up to the session's ``now`` (R-B7); no report of a device is taken back."""
        clock = self.clock
        if clock is None:
            return
        session = self._session
        for entry in session.playback.live:
            if entry.cut is None:
                position = clock.position(entry, session.now)
                if position > entry.played:
                    self.played(entry.item_id, entry.content_index, position)
                else:
                    self._settle(entry)

    def played(self, item_id: str, content_index: int, samples: int) -> None:
        """The device's position in one part, in samples from its beginning."""
        session = self._session
        entry = session.playback.get(item_id, content_index)
        if entry is None or "internal.played" not in PLAYBACK.cells[entry.state]:
            return  # a part that is over, or was never announced: late news of the device
        session.playback.played(item_id, content_index, samples)
        session.step(PLAYBACK, entry, "internal.played", samples)
        self._settle(entry)

    def stopped(self, item_id: str, content_index: int, samples: int) -> None:
        """The answer to `StopAudio`."""
        session = self._session
        entry = session.playback.get(item_id, content_index)
        if entry is None or session.step(PLAYBACK, entry, "internal.stopped", samples) is None:
            return
        if not any(each.state == "stopping" for each in session.playback):
            session.timers.stop(Timer.FLUSH)

    def time_out(self) -> None:
        """No answer to `StopAudio` came: the last position stands."""
        session = self._session
        for entry in [entry for entry in session.playback if entry.state == "stopping"]:
            session.step(PLAYBACK, entry, "timer.flush", None)

    # -- cutting -------------------------------------------------------------------------------------------------------

    def speech(self, detection: TurnDetection | None) -> None:
        """The user began to speak: cut what policy says (R-B2); nothing of a translation (R-X2)."""
        if self._session.translates:
            return
        policy = self._session.config.on_speech
        if policy == "ignore" or (
            policy == "session" and detection is not None and detection.interrupt_response is False
        ):
            return
        self.interrupt()

    def interrupt(self) -> None:
        """Stop every part that was not heard to its end; nothing more of the responses in progress is heard (R-B6), and
        of those out of band nothing more once they were stopped in the middle.

        Of a part that is no more than half a sample yet, the player has nothing to stop.
        """
        session = self._session
        if not self.plays:
            return
        self.advance()
        for response in session.open_in_conversation:
            self.silence(response.id)
        stopped = [
            entry
            for entry in session.playback.unheard()
            if entry.received and session.step(PLAYBACK, entry, "internal.stop", None) is not None
        ]
        for entry in stopped:
            speaker = session.responses.get(entry.response_id or "")
            if speaker is not None and speaker.is_open:
                self.silence(speaker.id)
        if self.clock is not None:
            self.clock.flush()
        elif stopped:
            session.timers.arm(Timer.FLUSH, session.now + session.config.timers.flush)

    def silence(self, response_id: str) -> None:
        """Play nothing more of this response, be it in parts that exist or in new ones."""
        self._session.playback.supersede(response_id)

    def cut(self, entry: Entry, samples: int | None) -> None:
        """The player has stopped: tell the server how much was heard (R-B3).

        An item of which nothing was heard may have to go whole, so the last of its parts that is cut decides.
        """
        session = self._session
        cut = session.playback.finish_cut(entry, samples)
        assert cut is not None  # whatever leads here has begun it
        if session.config.unheard == "truncate":
            self._tell(entry)
            return
        parts = session.playback.parts(entry.item_id)
        if any(part.cutting for part in parts):
            return
        if any(part.format.ms(part.played) for part in parts):
            for part in parts:
                self._tell(part)
        elif not any(part.told for part in parts):
            self._tell(entry, delete=True)

    def _tell(self, entry: Entry, *, delete: bool = False) -> None:
        """Send the server the cut of one part, once; or that the part's item is to be deleted. What the server of now
        never spoke is cut in the history (R-N5)."""
        session, cut = self._session, entry.cut
        if cut is None or entry.told or entry.gone or not cut.owed:
            return
        node = session.conversation.get(session.name_of(entry.item_id))
        if node is not None and (session.link.state != "open" or node.held_as != "itself"):
            entry.told = True
            session.renewal.cut(node, cut.content_index, cut.audio_end_ms, entry.format.ms(entry.sent))
            return
        if session.link.state != "open":
            return
        response = session.responses.get(entry.response_id or "")
        announced = response is not None and response.in_conversation
        if not known.knows_item(session, entry.item_id, announced=announced):
            return  # never a member, or deleted, or about to be: there is nothing to truncate
        entry.told = True
        session.command(
            ConversationItemDelete(item_id=cut.item_id)
            if delete
            else ConversationItemTruncate(
                item_id=cut.item_id, content_index=cut.content_index, audio_end_ms=cut.audio_end_ms
            )
        )

    def cut_by_server(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """The server truncated without being asked (R-B4)."""
        self.advance()
        entry = self._session.playback.get(item_id, content_index)
        if entry is not None:
            self._session.step(PLAYBACK, entry, "internal.cut_by_server", audio_end_ms)

    def lost(self) -> None:
        """The socket is gone: nothing more comes, and nothing can be truncated (R-B5)."""
        session = self._session
        self.advance()
        for entry in [entry for entry in session.playback if entry.state == "stopping"]:
            session.step(PLAYBACK, entry, "internal.lost", None)
            self.cut(entry, None)
        for entry in session.playback.transport_lost():
            self._finished(entry)

    def _settle(self, entry: Entry) -> None:
        if entry.heard_all:
            self._session.step(PLAYBACK, entry, "internal.heard", None)


def receive_audio(stream: StreamRecord, session: ClientSession, event: ResponseOutputAudioDelta) -> None:
    """Effect of a delta of audio: decode it and hand it to the player, unless its part was cut.

    HOT: every second of speech comes by here ten to fifty times. So the stream remembers its entry in the ledger, and
    small functions are written out.
    """
    listener = session.listener
    if not listener.plays:
        return
    try:
        audio = b64decode(event.delta, None, True)  # `decode_base64`, without the call
    except ValueError:
        session.report("R-P7", event, "delta is not base64", "$.delta")
        return
    entry = stream.entry
    if entry is None or not entry.accepting or not entry.live:
        entry = listener.admit(stream, len(audio))
        if entry is None:
            return
    start = entry.received
    remainder = entry.remainder
    clock = listener.clock
    if clock is not None:
        clock.queue(entry, (len(remainder.kept) + len(audio)) // remainder.bytes_per_sample, session.now)
    if remainder.kept or len(audio) % remainder.bytes_per_sample:
        audio = entry.take(audio)
        if not audio:
            return
    else:  # what `take` comes to for whole samples
        entry.received = start + len(audio) // remainder.bytes_per_sample
    session.out.append(PlayAudio(entry.item_id, entry.content_index, start, audio, entry.format))


def output_format(speaker: AnySession | Response) -> AudioFormat | None:
    """The output format that a session or a response names; None when it names none, or one without samples."""
    audio = speaker.audio
    output = audio.output if audio else UNSET
    named = output.format if output else UNSET
    if not named:
        return None
    return AudioFormat.from_session({"type": named.type or None, "rate": named.rate or None})
