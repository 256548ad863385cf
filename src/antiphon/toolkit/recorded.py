"""A `Connection` whose every input is recorded: what an adapter makes in place of a bare one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from antiphon.engine import inputs
from antiphon.engine.actions import Actions, Headers
from antiphon.engine.config import ConnectionConfig, Role
from antiphon.engine.connection import Connection
from antiphon.engine.errors import Fault
from antiphon.engine.session import Buffer, Entropy
from antiphon.engine.timers import Instant
from antiphon.toolkit.recorder import Recorder

if TYPE_CHECKING:
    from antiphon.engine.content import Content, TranscriptionResult
    from antiphon.messages import ClientEvent, ServerEvent, UnknownEvent

__all__ = ["RecordedConnection"]


class RecordedConnection(Connection):
    """As `Connection`; ``recorder`` sees each input before anybody can forget it. `Recorder.end` is the caller's."""

    __slots__ = ("recorder",)

    def __init__(
        self, role: Role, config: ConnectionConfig, *, now: Instant, entropy: Entropy, recorder: Recorder
    ) -> None:
        self.recorder = recorder
        super().__init__(role, config, now=now, entropy=recorder.drawing(entropy))
        recorder.begin(self, now)

    def start(self, now: Instant) -> Actions:
        return self.recorder.take(inputs.Start(), now, lambda: super(RecordedConnection, self).start(now))

    def opened(self, now: Instant, *, unix_ns: int | None = None, headers: Headers = ()) -> Actions:
        return self.recorder.take(
            inputs.Opened(unix_ns, headers),
            now,
            lambda: super(RecordedConnection, self).opened(now, unix_ns=unix_ns, headers=headers),
        )

    def accept(self, now: Instant, *, subprotocol: str | None = None, headers: Headers = ()) -> Actions:
        return self.recorder.take(
            inputs.Accept(subprotocol, headers),
            now,
            lambda: super(RecordedConnection, self).accept(now, subprotocol=subprotocol, headers=headers),
        )

    def reject(self, now: Instant, status: int, headers: Headers = (), body: bytes = b"") -> Actions:
        return self.recorder.take(
            inputs.Reject(status, headers, body),
            now,
            lambda: super(RecordedConnection, self).reject(now, status, headers, body),
        )

    def receive_data(self, data: Buffer, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.DataReceived(bytes(data)), now, lambda: super(RecordedConnection, self).receive_data(data, now)
        )

    def receive_eof(self, now: Instant, code: int | None = None, reason: str = "") -> Actions:
        return self.recorder.take(
            inputs.EofReceived(code, reason),
            now,
            lambda: super(RecordedConnection, self).receive_eof(now, code, reason),
        )

    def transport_failed(self, fault: Fault, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.TransportFailed(fault), now, lambda: super(RecordedConnection, self).transport_failed(fault, now)
        )

    def close(self, now: Instant, code: int = 1000, reason: str = "") -> Actions:
        return self.recorder.take(
            inputs.Close(code, reason), now, lambda: super(RecordedConnection, self).close(now, code, reason)
        )

    def tick(self, now: Instant) -> Actions:
        return self.recorder.take(inputs.Tick(), now, lambda: super(RecordedConnection, self).tick(now))

    def receive_event(self, event: ServerEvent | ClientEvent, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.EventReceived(event), now, lambda: super(RecordedConnection, self).receive_event(event, now)
        )

    def send(
        self, event: ClientEvent | ServerEvent | UnknownEvent, now: Instant, *, override: Collection[str] = ()
    ) -> Actions:
        return self.recorder.take(
            inputs.Send(event, tuple(override)),
            now,
            lambda: super(RecordedConnection, self).send(event, now, override=override),
        )

    def append_audio(self, pcm: Buffer, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.AppendAudio(bytes(pcm)), now, lambda: super(RecordedConnection, self).append_audio(pcm, now)
        )

    def audio_played(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.AudioPlayed(item_id, content_index, samples),
            now,
            lambda: super(RecordedConnection, self).audio_played(item_id, content_index, samples, now),
        )

    def audio_stopped(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.AudioStopped(item_id, content_index, samples),
            now,
            lambda: super(RecordedConnection, self).audio_stopped(item_id, content_index, samples, now),
        )

    def interrupt(self, now: Instant) -> Actions:
        return self.recorder.take(inputs.Interrupt(), now, lambda: super(RecordedConnection, self).interrupt(now))

    def generate(self, content: Content, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.Generate(content), now, lambda: super(RecordedConnection, self).generate(content, now)
        )

    def speech_started(self, audio_start_ms: int, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.SpeechStarted(audio_start_ms),
            now,
            lambda: super(RecordedConnection, self).speech_started(audio_start_ms, now),
        )

    def speech_stopped(self, audio_end_ms: int, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.SpeechStopped(audio_end_ms),
            now,
            lambda: super(RecordedConnection, self).speech_stopped(audio_end_ms, now),
        )

    def transcribed(self, item_id: str, content_index: int, result: TranscriptionResult, now: Instant) -> Actions:
        return self.recorder.take(
            inputs.Transcribed(item_id, content_index, result),
            now,
            lambda: super(RecordedConnection, self).transcribed(item_id, content_index, result, now),
        )

    def identify(self, event: ClientEvent) -> ClientEvent:
        # The id that it draws stands in the event that is sent; nothing is drawn for it when the journal is played.
        return self.recorder.aside(lambda: super(RecordedConnection, self).identify(event))
