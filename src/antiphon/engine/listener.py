"""The client's side of the ear: what goes to the player, what was heard, and what is cut.

Generation, delivery and playback are three clocks. Only the device tells what was heard (`audio_played`), and a
barge-in is about what was *not*: every part with audio left unheard is stopped, once, whether or not its response is
over, and the server is told in integer milliseconds of what it sent (R-B1 … R-B4). Over WebRTC and on a sideband the
server does all this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from pybase64 import b64decode

from antiphon.engine.actions import PlayAudio, StopAudio
from antiphon.engine.audio import PCM16_24K, AudioFormat
from antiphon.engine.playback import Entry
from antiphon.engine.timers import Timer
from antiphon.machines import build
from antiphon.messages import (
    ConversationItemDelete,
    ConversationItemTruncate,
    ResponseOutputAudioDelta,
    TurnDetection,
)

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession
    from antiphon.engine.records import StreamRecord


class PlaybackRules:
    """Guards and effects of the playback table."""

    @staticmethod
    def stop(entry: Entry, session: ClientSession, _event: object) -> None:
        session.playback.begin_cut(entry)
        session.act_before_delivery(StopAudio(entry.item_id, entry.content_index))

    @staticmethod
    def cut(entry: Entry, session: ClientSession, samples: int | None) -> None:
        session.listener.cut(entry, samples)

    @staticmethod
    def cut_by_server(entry: Entry, session: ClientSession, _event: object) -> None:
        session.playback.begin_cut(entry)
        session.playback.finish_cut(entry, None)


PLAYBACK = build("playback", PlaybackRules, role="client")


class Listener:
    """Moves the parts of a client's playback ledger through the playback table."""

    __slots__ = ("_session", "format", "plays")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.format: AudioFormat = PCM16_24K
        """What the session speaks in, from the newest session event."""
        self.plays = session.config.decode_audio and session.config.transport == "websocket"
        """Whether this engine hands audio to a player at all."""

    # -- audio comes in ------------------------------------------------------------------------------------------------

    def admit(self, stream: StreamRecord, nbytes: int) -> Entry | None:
        """The entry for ``nbytes`` of audio of a stream; None when nobody is to hear it."""
        stream.entry = self._session.playback.admit(
            stream.item_id, stream.content_index, stream.response.id, nbytes, self.format
        )
        return stream.entry

    def finish(self, item_id: str, content_index: int) -> None:
        """No more audio of this part will come."""
        entry = self._session.playback.done(item_id, content_index)
        if entry is not None:
            self._settle(entry)

    def finish_response(self, response_id: str) -> None:
        """No more audio of this response will come."""
        for entry in self._session.playback.response_done(response_id):
            self._settle(entry)

    # -- the player reports --------------------------------------------------------------------------------------------

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
        """The user began to speak: cut what policy says (R-B2)."""
        policy = self._session.config.on_speech
        if policy == "ignore" or (
            policy == "session" and detection is not None and detection.interrupt_response is False
        ):
            return
        self.stop()

    def stop(self) -> None:
        """Stop every part that was not heard to its end."""
        session = self._session
        if session.config.transport != "websocket":
            return
        stopped = [
            entry
            for entry in session.playback.unheard()
            if session.step(PLAYBACK, entry, "internal.stop", None) is not None
        ]
        if stopped:
            session.timers.arm(Timer.FLUSH, session.now + session.config.timers.flush)

    def silence(self, response_id: str) -> None:
        """Play nothing more of this response, be it in parts that exist or in new ones."""
        if self.plays:
            self._session.playback.supersede(response_id)

    def cut(self, entry: Entry, samples: int | None) -> None:
        """The player has stopped: tell the server how much was heard (R-B3), in our history too."""
        session = self._session
        cut = session.playback.finish_cut(entry, samples)
        if cut is None or not cut.owed or session.link.state != "open":
            return
        if session.conversation.get(entry.item_id) is None or not session.knows_item(entry.item_id):
            return  # never a member, or deleted, or about to be: there is nothing to truncate
        if session.config.unheard == "delete" and cut.audio_end_ms == 0:
            session.command(ConversationItemDelete(item_id=cut.item_id))
            return
        session.command(
            ConversationItemTruncate(
                item_id=cut.item_id, content_index=cut.content_index, audio_end_ms=cut.audio_end_ms
            )
        )

    def cut_by_server(self, item_id: str, content_index: int) -> None:
        """The server truncated without being asked (R-B4)."""
        entry = self._session.playback.get(item_id, content_index)
        if entry is not None:
            self._session.step(PLAYBACK, entry, "internal.cut_by_server", None)

    def lost(self) -> None:
        """The socket is gone: nothing more comes, and nothing can be truncated (R-B5)."""
        session = self._session
        for entry in [entry for entry in session.playback if entry.state == "stopping"]:
            session.step(PLAYBACK, entry, "internal.lost", None)
            session.playback.finish_cut(entry, None)
        for entry in session.playback.transport_lost():
            self._settle(entry)

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
    if remainder.kept or len(audio) % remainder.bytes_per_sample:
        audio = entry.take(audio)
        if not audio:
            return
    else:  # what `take` comes to for whole samples
        entry.received = start + len(audio) // remainder.bytes_per_sample
    session.out.append(PlayAudio(entry.item_id, entry.content_index, start, audio, listener.format))


def output_format(session: object) -> AudioFormat | None:
    """The output format that a session object names; None when it names none, or one without samples."""
    audio = getattr(session, "audio", UNSET)
    output = audio.output if audio else UNSET
    named = output.format if output else UNSET
    if not named:
        return None
    return AudioFormat.from_session({"type": named.type or None, "rate": named.rate or None})
