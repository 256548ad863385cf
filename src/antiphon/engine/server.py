"""The server role: the protocol's replies, errors and order; a brain gives the content only.

What each event of a client does is in ``serving.py``; here is the door in both directions, the brain's side
(`generate`, `speech_started`, …), and the order in which an answer unfolds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET, convert, structs

from antiphon import messages as m
from antiphon.engine.actions import (
    Actions,
    Deliver,
    InputAudio,
    InputCommitted,
    ResponseCancelled,
    ResponseRequested,
    TransmitMessage,
)
from antiphon.engine.audio import PCM16_24K, AudioFormat, InputAudioLedger, byte_length, encode_base64
from antiphon.engine.codec import (
    Rejected,
    Repaired,
    client_decoder,
    encode,
    encode_text,
    item_from_builtins,
    session_from_builtins,
    to_builtins,
)
from antiphon.engine.config import Role, SessionConfig
from antiphon.engine.content import (
    ArgumentsDelta,
    AudioDelta,
    Content,
    ItemFinished,
    ItemStarted,
    ResponseFinished,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptionResult,
)
from antiphon.engine.conversation import Conversation, Node
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.link import LINK, End
from antiphon.engine.records import STREAM_OF_ARGUMENTS, OutputRecord, Place, ResponseRecord, StreamRecord
from antiphon.engine.serving import (
    CONTENT_PART,
    CONVERSATION_ITEM,
    HANDLERS,
    INPUT_AUDIO_BUFFER,
    RESPONSE,
    SESSION,
    TRANSCRIPTION,
    Output,
    audio_event,
    problem_with_id,
)
from antiphon.engine.session import Buffer, Entropy, Session
from antiphon.engine.settings import DEFAULTS, Json, Refusal, merged, modalities_of, refusal_of, unknown_parameter
from antiphon.engine.timers import Instant

if TYPE_CHECKING:
    from antiphon.engine.snapshot import Snapshot

_FREE_EVENTS = (
    m.Error,
    m.RateLimitsUpdated,
    m.ConversationCreated,
    m.InputAudioBufferDtmfEventReceived,
    m.ConversationItemInputAudioTranscriptionSegment,
    m.McpListToolsInProgress,
    m.McpListToolsCompleted,
    m.McpListToolsFailed,
    m.UnknownEvent,
)
"""What a server application may send by itself: nothing in the engine hangs on these."""

_MOST_EVENT_ID = 512
_SUPPORTED = tuple(name for name in m.CLIENT_EVENTS if name not in m.TRANSLATION_EVENTS)


class ServerSession(Session, role=Role.SERVER):
    """A `Session` that answers a client. It needs ``entropy`` for its ids.

    Read-only for the application: ``conversation``, ``responses``, ``configuration`` (the session's effective
    configuration), ``state``.
    """

    __slots__ = (
        "_configuration",
        "_decode",
        "_outputs",
        "_params",
        "_unix_ns",
        "calls",
        "conversation",
        "conversation_id",
        "detector",
        "finished_responses",
        "has_spoken",
        "heard",
        "input_audio",
        "output_format",
        "place",
        "refused",
        "responses",
        "session_id",
        "settings",
        "speech_cleared",
        "speech_item_id",
        "spoken",
    )

    def __init__(
        self,
        role: Role,
        config: SessionConfig,
        *,
        now: Instant,
        entropy: Entropy | None = None,
        speaks_bytes: bool = False,
    ) -> None:
        if entropy is None:
            raise TypeError("a server makes ids that others must not guess: it needs entropy")
        super().__init__(role, config, now=now, entropy=entropy, speaks_bytes=speaks_bytes)
        limits = config.limits
        self._decode = client_decoder(limits.json_depth)
        self._configuration: m.AnySession | None = None
        self._outputs: dict[str, dict[int, Output]] = {}
        self._params: dict[str, m.ResponseCreateParams] = {}
        self._unix_ns: int | None = None
        self.place = Place(SESSION.initial)
        self.detector = Place(INPUT_AUDIO_BUFFER.initial)
        self.session_id = ""
        self.conversation_id = ""
        self.settings: Json = DEFAULTS if config.session is None else merged(DEFAULTS, config.session)
        self.output_format: AudioFormat = PCM16_24K
        self.conversation = Conversation(
            max_items=limits.conversation_items,
            max_text_bytes=limits.conversation_text_bytes,
            max_waiting=limits.waiting_items,
            max_tombstones=limits.tombstones,
            max_early=limits.early_transcripts,
        )
        self.input_audio = InputAudioLedger(retain_bytes=self._retain_bytes)
        self.responses: dict[str, ResponseRecord] = {}
        self.finished_responses: deque[str] = deque()
        self.spoken: dict[str, int] = {}
        self.calls: dict[str, None] = {}
        self.speech_item_id: str | None = None
        self.speech_cleared = False
        self.has_spoken = False
        self.refused: Refusal | None = None
        self.heard: bytes | None = None
        self._settings_changed()

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The session's state in ``spec/machines/session.toml``."""
        return self.place.state

    @property
    def configuration(self) -> m.AnySession:
        """The effective configuration, as the client is shown it."""
        if self._configuration is None:
            self._configuration = session_from_builtins(self.settings)
        return self._configuration

    @property
    def input_audio_buffer(self) -> InputAudioLedger:
        """What the client appended, in samples."""
        return self.input_audio

    @property
    def input_audio_buffer_state(self) -> str:
        """The buffer's state in ``spec/machines/input_audio_buffer.toml``."""
        return self.detector.state

    @property
    def default_response(self) -> ResponseRecord | None:
        """The response in progress in the default conversation."""
        return next((each for each in self.responses.values() if each.in_conversation and each.is_open), None)

    @property
    def turn_detection(self) -> m.TurnDetection | None:
        """How the session detects turns, None when the client commits by itself."""
        audio = self.configuration.audio
        heard = audio.input if audio else UNSET
        return (heard.turn_detection or None) if heard else None

    # -- events in -----------------------------------------------------------------------------------------------------

    def receive_message(self, text: Buffer | str, now: Instant) -> Actions:
        if now < self.now and self.closed is None:
            self._check_time(now)
        if self.link.state != "open":
            return ()
        self.enter(now)
        event = self._decode(text)
        raw = text if isinstance(text, (bytes, str)) else bytes(text)
        if isinstance(event, Rejected):
            self._rejected(event)
        elif isinstance(event, Repaired):
            self._repaired(event, raw)
        else:
            self.act(Deliver(event, raw))
            self._take(event, raw)
        return self.leave()

    def receive_event(self, event: m.ServerEvent | m.ClientEvent, now: Instant) -> Actions:
        if now < self.now and self.closed is None:
            self._check_time(now)
        if self.link.state != "open":
            return ()
        self.enter(now)
        raw = encode_text(event)
        self.act(Deliver(event, raw))
        if event.type in m.CLIENT_EVENTS:
            self._take(event, raw)
        else:
            self.refused = Refusal("invalid_event_direction", {"value": event.type})
            self.refuse(event)
        return self.leave()

    def _take(self, event: m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed, raw: bytes | str) -> None:
        """Let an event of a client work, once its envelope is right."""
        event_id = event.event_id
        if isinstance(event_id, str) and len(event_id) > _MOST_EVENT_ID:
            fields = {"param": "event_id", "maximum": _MOST_EVENT_ID, "length": len(event_id)}
            self.refused = Refusal("string_above_max_length", fields)
        elif event.type not in _SUPPORTED:
            self.refused = _unsupported(event.type)
        elif isinstance(event, m.SessionUpdate):
            self.refused = unknown_parameter(raw, event.session)
        if self.refused is not None:
            self.refuse(event)
        else:
            HANDLERS[type(event)](self, event)

    def _rejected(self, text: Rejected) -> None:
        """What is no event is answered (R-E1, R-E3), what is no text ends the socket (R-E2)."""
        if text.kind == "utf8":
            fault = Fault("protocol", "a text message that is not UTF-8", "R-E2")
            self.step(LINK, self.link, "internal.fault", End(1007, "not UTF-8", fault))
            return
        if text.kind == "depth":
            self.refused = Refusal("invalid_event_depth", {"maximum": self.config.limits.json_depth})
        else:
            detail = "The 'type' field is missing." if text.kind == "type" else "The event is no JSON object."
            self.refused = Refusal("invalid_event", {"detail": detail})
        self.refuse(text)

    def _repaired(self, repaired: Repaired, raw: bytes | str) -> None:
        """What a client would repair, a server refuses: nothing is guessed at (R-E5, R-E6)."""
        event = repaired.event
        self.act(Deliver(event, raw))
        problems = event.problems if isinstance(event, m.Malformed) else repaired.problems
        if event.type in m.SERVER_EVENTS:
            self.refused = Refusal("invalid_event_direction", {"value": event.type})
        elif event.type not in _SUPPORTED:
            self.refused = _unsupported(event.type)
        elif problems:
            self.refused = refusal_of(problems[0], repaired.data)
        else:
            self._take(event, raw)
            return
        self.refuse(event)

    # -- events out ----------------------------------------------------------------------------------------------------

    def send(self, event: m.ClientEvent | m.ServerEvent, now: Instant, *, override: Collection[str] = ()) -> Actions:
        self._ready(now)
        if not isinstance(event, _FREE_EVENTS):
            raise LocalProtocolError(
                f"{event.type} is the engine's to send: give content through generate, speech_started, transcribed",
                rule="R-E6",
            )
        try:
            encode(event)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-E1") from None
        self.enter(now)
        self.say(event)
        return self.leave()

    def say(self, event: m.ServerEvent | m.UnknownEvent) -> None:
        """Put an event on the wire, with an id of its own."""
        if isinstance(event, m.ServerEventBase) and event.event_id is UNSET:
            event = structs.replace(event, event_id=self.next_id("event"))
        self.act(TransmitMessage(encode(event)))

    def refuse(self, event: object) -> None:
        """Answer ``event`` with the error that `refused` says."""
        assert self.refused is not None  # set by whoever refuses
        event_id = getattr(event, "event_id", None)
        self.say(m.Error(error=self.refused.detail(event_id if isinstance(event_id, str) else None)))
        self.refused = None

    def _ready(self, now: Instant) -> None:
        self.command_at(now)
        if self.link.state != "open":
            raise LocalProtocolError(f"nothing can be said while the link is {self.link.state}", rule="R-N4")

    # -- the session ---------------------------------------------------------------------------------------------------

    def apply(self, update: Json) -> None:
        """Take an accepted update over."""
        self.settings = merged(self.settings, update)
        self._settings_changed()

    def _settings_changed(self) -> None:
        self._configuration = None
        audio = self.settings.get("audio") or {}
        named = AudioFormat.from_session((audio.get("input") or {}).get("format"))
        if named is not None and named != self.input_audio.format:
            self.input_audio.set_format(named)
        named = AudioFormat.from_session((audio.get("output") or {}).get("format"))
        if named is not None:
            self.output_format = named

    def begin_generation(self) -> None:
        self.session_id = self.next_id("sess")
        self.conversation_id = self.next_id("conv")
        changes: Json = {"id": self.session_id}
        if self._unix_ns is not None:
            changes["expires_at"] = self._unix_ns // 1_000_000_000 + self.config.unix_expiry_s
        self.apply(changes)
        self.step(SESSION, self.place, "internal.opened", None)

    def _wall(self, unix_ns: int | None) -> None:
        self._unix_ns = unix_ns

    def let_go(self) -> None:
        for record in [record for record in self.responses.values() if record.is_open]:
            self.step(RESPONSE, record, "internal.lost", None)

    def end_generation(self) -> None:
        self.step(SESSION, self.place, "internal.renewed", None)
        self.step(INPUT_AUDIO_BUFFER, self.detector, "internal.renewed", None)

    # -- the input audio buffer ----------------------------------------------------------------------------------------

    @property
    def _retain_bytes(self) -> int:
        return self.config.limits.retained_audio_bytes if self.config.retain_input_audio else 0

    def begin_listening(self) -> None:
        """A new socket begins with an empty buffer, and with its first sample."""
        self.input_audio = InputAudioLedger(self.input_audio.format, retain_bytes=self._retain_bytes)
        self.speech_item_id = None
        self.speech_cleared = False

    def take_audio(self) -> None:
        """Audio of the client that passed its checks."""
        audio = self.heard
        assert audio is not None  # the guard of this row
        self.heard = None
        start, whole = self.input_audio.append_audio(audio)
        self.act(InputAudio(whole, start))

    def commit(self, end_ms: int | None) -> None:
        """The uncommitted audio becomes a user item."""
        item_id = self.speech_item_id or self.next_id("item")
        self.speech_item_id = None
        retained = self.input_audio.audio(None, end_ms) if self.config.retain_input_audio else None
        self.input_audio.commit(end_ms)
        last = self.conversation.last
        self._emit_input(
            m.InputAudioBufferCommitted(item_id=item_id, previous_item_id=None if last is None else last.id)
        )
        item = m.MessageItem(id=item_id, status="completed", role="user", content=[m.InputAudio(transcript=None)])
        placement = self.conversation.insert(item)
        assert placement is not None  # without a predecessor an item always has a place
        self.add(placement.node, item)
        self.act(InputCommitted(item_id, retained))

    def clear(self, *, was_speaking: bool) -> None:
        """Drop what is not committed."""
        self.input_audio.clear()
        self.speech_cleared = was_speaking
        self.speech_item_id = None
        self._emit_input(m.InputAudioBufferCleared())

    def _emit_input(self, event: m.ServerEvent) -> None:
        self.step(INPUT_AUDIO_BUFFER, self.detector, event.type, event)

    def speech_started(self, audio_start_ms: int, now: Instant) -> Actions:
        self._ready(now)
        detection = self.turn_detection
        if detection is None:
            raise LocalProtocolError("turn detection is off: the client commits by itself", rule="R-I1")
        if self.detector.state != "idle":
            raise LocalProtocolError("speech was started before", rule="R-I1")
        self.enter(now)
        self.speech_cleared = False
        self.speech_item_id = self.next_id("item")
        self._emit_input(m.InputAudioBufferSpeechStarted(audio_start_ms=audio_start_ms, item_id=self.speech_item_id))
        record = self.default_response
        if record is not None and detection.interrupt_response is not False:
            self.step(RESPONSE, record, "response.cancel", "turn_detected")
        return self.leave()

    def speech_stopped(self, audio_end_ms: int, now: Instant) -> Actions:
        self._ready(now)
        if self.detector.state != "speech":
            if self.speech_cleared:  # the client cleared the buffer under the speech: its end is nobody's any more
                self.speech_cleared = False
                return ()
            raise LocalProtocolError("no speech was started", rule="R-I1")
        self.enter(now)
        if self.speech_item_id is None:  # a manual commit used the announced id up (R-I2)
            self.speech_item_id = self.next_id("item")
        self._emit_input(m.InputAudioBufferSpeechStopped(audio_end_ms=audio_end_ms, item_id=self.speech_item_id))
        self.commit(audio_end_ms)
        detection = self.turn_detection
        if detection is not None and detection.create_response is not False and self.default_response is None:
            self.request_response("vad", None, None)
        return self.leave()

    def transcribed(self, item_id: str, content_index: int, result: TranscriptionResult, now: Instant) -> Actions:
        self._ready(now)
        if self.conversation.get(item_id) is None:
            if self.conversation.is_deleted(item_id):
                return ()  # the client deleted it meanwhile
            raise LocalProtocolError(f"item {item_id!r} is not in the conversation", rule="R-C10")
        event = _transcription_event(item_id, content_index, result)
        try:
            encode(event)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-E2") from None
        transcription = self.conversation.transcription(item_id, content_index)
        if event.type not in TRANSCRIPTION.cells[transcription.state]:
            raise LocalProtocolError(f"the transcription is {transcription.state}", rule="R-T2")
        self.enter(now)
        self.step(TRANSCRIPTION, transcription, event.type, event)
        self.trim()
        return self.leave()

    # -- items ---------------------------------------------------------------------------------------------------------

    def completed(self, item: m.Item) -> m.Item:
        """A client's item as it is announced: with an id, without audio, completed where it has a status."""
        data = to_builtins(item)
        data["id"] = item.id if isinstance(getattr(item, "id", None), str) and item.id else self.next_id("item")
        data.pop("object", None)
        if data["type"] in ("message", "function_call"):
            data["status"] = "completed"
        if data["type"] == "function_call" and not data.get("call_id"):
            data["call_id"] = self.next_id("call")
        for part in data.get("content") or ():
            part.pop("audio", None)
            if part.get("type") == "input_audio":
                part.setdefault("transcript", None)
        return item_from_builtins(data)

    def add(self, node: Node, item: m.Item) -> None:
        """Announce a complete item of which ``node`` is the place: added and done, next to each other (R-C3)."""
        if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
            self._know_call(item.call_id)
        previous = node.previous_item_id
        self.step(
            CONVERSATION_ITEM,
            node,
            "conversation.item.added",
            m.ConversationItemAdded(item=item, previous_item_id=previous),
        )
        self.step(
            CONVERSATION_ITEM,
            node,
            "conversation.item.done",
            m.ConversationItemDone(item=item, previous_item_id=previous),
        )
        self.trim()

    def _know_call(self, call_id: str) -> None:
        self.calls[call_id] = None
        if len(self.calls) > self.config.limits.conversation_items:
            del self.calls[next(iter(self.calls))]

    def trim(self) -> None:
        """Keep the conversation within its limits, after whatever made it grow (R-N2)."""
        for node in self.conversation.trim():
            self.spoken.pop(node.id, None)
            self.report("R-N2", None, "the conversation is beyond its limits; the oldest item is forgotten")

    # -- responses -----------------------------------------------------------------------------------------------------

    def request_response(
        self, cause: Literal["client", "vad", "idle"], params: m.ResponseCreateParams | None, event: object
    ) -> None:
        """Begin a response, or refuse it (R-R1, R-R2)."""
        out_of_band = params is not None and params.conversation == "none"
        record = ResponseRecord(self.next_id("resp"), in_conversation=not out_of_band)
        effective = self._effective(params)
        self._params[record.id] = effective
        self.step(RESPONSE, record, "response.create", event)
        if record.state == "in_progress":
            self.act(ResponseRequested(record.id, cause, effective))
        else:
            del self._params[record.id]

    def _effective(self, params: m.ResponseCreateParams | None) -> m.ResponseCreateParams:
        """The session's values, with what the request overrides."""
        session = self.configuration
        own: dict[str, Any] = (
            {}
            if params is None
            else {name: value for name in params.__struct_fields__ if (value := getattr(params, name)) is not UNSET}
        )
        inherited = {
            name: getattr(session, name, UNSET)
            for name in ("instructions", "output_modalities", "tools", "tool_choice", "max_output_tokens")
        }
        audio = session.audio
        spoken = audio.output if audio else UNSET
        if spoken:
            voiced = m.AudioConfig(output=spoken)
            wanted = own.get("audio")
            if wanted is None:
                own["audio"] = voiced
            else:  # a voice of its own leaves the session's format
                own["audio"] = convert(merged(to_builtins(voiced), to_builtins(wanted)), m.AudioConfig)
        return m.ResponseCreateParams(**{**inherited, **own})

    def begin_response(self, record: ResponseRecord) -> None:
        """Announce a response."""
        self.responses[record.id] = record
        self._outputs[record.id] = {}
        self.say(m.ResponseCreated(response=self._response(record, "in_progress")))
        if len(self.responses) - len(self.finished_responses) > self.config.limits.open_responses:
            oldest = next(each for each in self.responses.values() if each.is_open)
            self.report("R-N2", None, "too many responses in progress; the oldest is cancelled")
            self.step(RESPONSE, oldest, "response.cancel", None)

    def _response(
        self,
        record: ResponseRecord,
        status: str,
        *,
        details: m.StatusDetails | None = None,
        usage: m.ResponseUsage | None = None,
    ) -> m.Response:
        params = self._params[record.id]
        done = status != "in_progress"
        outputs = self._outputs[record.id].values() if done else ()
        return m.Response(
            object="realtime.response",
            id=record.id,
            status=status,
            status_details=details,
            output=[output.item(output.state) for output in outputs],
            conversation_id=self.conversation_id if record.in_conversation else None,
            output_modalities=[modalities_of(self.settings, params)],
            max_output_tokens=params.max_output_tokens,
            audio=params.audio,
            usage=usage,
            metadata=params.metadata or None,
        )

    def generate(self, content: Content, now: Instant) -> Actions:
        self.command_at(now)
        record = self.responses.get(content.response_id)
        if record is None:
            raise LocalProtocolError(f"response {content.response_id!r} was never requested", rule="R-R1")
        if not record.is_open:
            return ()  # it was cancelled while the brain was at work: `ResponseCancelled` said so
        problem = self._problem_with(content, record)
        if problem is not None:
            raise problem
        self.enter(now)
        if isinstance(content, ItemStarted):
            self._begin_item(content, record)
        elif isinstance(content, ResponseFinished):
            self._finish_response(content, record)
        else:
            output = self._outputs[record.id][content.output_index]
            if isinstance(content, ItemFinished):
                self._finish_item(output, "completed")
            elif isinstance(content, AudioDelta):
                self._speak(output, content)
            else:
                self._write(output, content)
        return self.leave()

    def _problem_with(self, content: Content, record: ResponseRecord) -> LocalProtocolError | None:
        """Why a piece of content does not fit where it came, before anything changes (L3)."""
        if isinstance(content, ResponseFinished):
            if not _are_texts(content.reason, content.error_type, content.error_code, content.error_message):
                return LocalProtocolError("a reason or an error holds a surrogate without its partner", rule="R-E2")
            return None
        outputs = self._outputs[record.id]
        if isinstance(content, ItemStarted):
            if content.output_index != len(outputs):
                return LocalProtocolError(
                    f"output_index {content.output_index}: the next item is number {len(outputs)}", rule="R-C1"
                )
            if len(outputs) >= self.config.limits.response_parts:
                return LocalProtocolError("the response has too many items", rule="R-N2")
            if content.kind == "function_call" and not content.name:
                return LocalProtocolError("a function call needs the function's name", rule="R-C1")
            if not _are_texts(content.name):
                return LocalProtocolError("the name holds a surrogate without its partner", rule="R-E2")
            if content.call_id and problem_with_id(content.call_id, "call_id") is not None:
                return LocalProtocolError("call_id: 1 to 32 characters of A-Z a-z 0-9 _ -", rule="R-C11")
            return None
        output = outputs.get(content.output_index)
        if output is None or output.state != "in_progress":
            return LocalProtocolError(f"item {content.output_index} is not open", rule="R-P2")
        if isinstance(content, ItemFinished):
            return None
        fits = {
            "text": isinstance(content, TextDelta),
            "audio": isinstance(content, (TextDelta, AudioDelta)),
            "function_call": isinstance(content, ArgumentsDelta),
        }
        if not fits[output.kind]:
            return LocalProtocolError(f"{type(content).__name__} does not fit a {output.kind} item", rule="R-P2")
        if isinstance(content, AudioDelta):
            width = self.output_format.bytes_per_sample
            if not content.audio or len(content.audio) % width:
                return LocalProtocolError(
                    f"{len(content.audio)} bytes are no whole samples of {width} bytes", rule="R-P7"
                )
            return None
        try:
            size = len(content.delta.encode())
        except UnicodeEncodeError:
            return LocalProtocolError("the delta holds a surrogate without its partner", rule="R-E2")
        if output.text_bytes + size > self.config.limits.message_bytes:
            return LocalProtocolError(
                "an item's end tells its whole text, and no message could hold this one", rule="R-N2"
            )
        return None

    def _begin_item(self, content: ItemStarted, record: ResponseRecord) -> None:
        output = Output(self.next_id("item"), content.output_index, content.kind, record)
        output.state = "in_progress"
        self._outputs[record.id][output.index] = output
        record.item_ids[output.id] = None
        if content.kind == "function_call":
            output.name = content.name
            output.call_id = content.call_id or self.next_id("call")
        item = output.item("in_progress", empty=True)
        member = OutputRecord(output.id, response=record)
        self.step(
            CONVERSATION_ITEM,
            member,
            "response.output_item.added",
            m.ResponseOutputItemAdded(response_id=record.id, output_index=output.index, item=item),
        )
        if record.in_conversation:
            placement = self.conversation.insert(item, generated=True, response_id=record.id)
            assert placement is not None  # without a predecessor an item always has a place
            node = placement.node
            node.state = member.state
            self.step(
                CONVERSATION_ITEM,
                node,
                "conversation.item.added",
                m.ConversationItemAdded(item=item, previous_item_id=node.previous_item_id),
            )
            self.trim()
        content_index = STREAM_OF_ARGUMENTS if content.kind == "function_call" else 0
        output.stream = StreamRecord(record, output.id, content_index, output.index)
        record.streams[output.id, content_index] = output.stream
        if content.kind != "function_call":
            self._emit_part(
                output,
                m.ResponseContentPartAdded(
                    response_id=record.id,
                    item_id=output.id,
                    output_index=output.index,
                    content_index=0,
                    part=output.part(empty=True),
                ),
            )

    def _emit_part(self, output: Output, event: m.ServerEvent) -> None:
        assert output.stream is not None  # made with its item
        self.step(CONTENT_PART, output.stream, event.type, event)

    def _write(self, output: Output, content: TextDelta | ArgumentsDelta) -> None:
        output.write(content.delta)
        if output.kind == "function_call":
            self._emit_part(
                output,
                m.ResponseFunctionCallArgumentsDelta(
                    response_id=output.record.id,
                    item_id=output.id,
                    output_index=output.index,
                    call_id=output.call_id,
                    delta=content.delta,
                ),
            )
            return
        delta_class = m.ResponseOutputTextDelta if output.kind == "text" else m.ResponseOutputAudioTranscriptDelta
        if output.record.in_conversation:
            self.conversation.text_delta(output.id, 0, content.delta)
            self.trim()
        self._emit_part(
            output,
            delta_class(
                response_id=output.record.id,
                item_id=output.id,
                output_index=output.index,
                content_index=0,
                delta=content.delta,
            ),
        )

    def _speak(self, output: Output, content: AudioDelta) -> None:
        output.samples += self.output_format.samples(byte_length(content.audio))
        if output.record.in_conversation:
            self.has_spoken = True
            if self.conversation.get(output.id) is not None:  # the client may have deleted it meanwhile
                self.spoken[output.id] = output.samples
        self._emit_part(output, audio_event(output, content, encode_base64(content.audio)))

    def _finish_item(self, output: Output, status: Literal["completed", "incomplete"]) -> None:
        """Close an item's stream, its membership, then its output (R-P3, R-P4, R-C2)."""
        record = output.record
        ids: dict[str, Any] = {"response_id": record.id, "item_id": output.id, "output_index": output.index}
        text = output.text
        if output.kind == "function_call":
            self._emit_part(
                output,
                m.ResponseFunctionCallArgumentsDone(**ids, call_id=output.call_id, name=output.name, arguments=text),
            )
            self._know_call(output.call_id)
        else:
            if output.kind == "text":
                self._emit_part(output, m.ResponseOutputTextDone(**ids, content_index=0, text=text))
            else:
                self._emit_part(output, m.ResponseOutputAudioDone(**ids, content_index=0))
                self._emit_part(output, m.ResponseOutputAudioTranscriptDone(**ids, content_index=0, transcript=text))
            self._emit_part(output, m.ResponseContentPartDone(**ids, content_index=0, part=output.part()))
        assert output.stream is not None  # made with its item
        self.step(CONTENT_PART, output.stream, "internal.item_done", None)
        output.state = status
        item = output.item(status)
        node = self.conversation.get(output.id) if record.in_conversation else None
        member: Node | OutputRecord
        if node is not None:
            self.step(
                CONVERSATION_ITEM,
                node,
                "conversation.item.done",
                m.ConversationItemDone(item=item, previous_item_id=node.previous_item_id),
            )
            member = node
        else:  # out of band, or deleted by the client meanwhile: only output
            member = OutputRecord(output.id, "detached", record)
        self.step(
            CONVERSATION_ITEM,
            member,
            "response.output_item.done",
            m.ResponseOutputItemDone(response_id=record.id, output_index=output.index, item=item),
        )

    def _finish_response(self, content: ResponseFinished, record: ResponseRecord) -> None:
        self._close_items(record, "completed" if content.status == "completed" else "incomplete")
        details = None
        if content.status == "incomplete":
            details = m.StatusDetails(type="incomplete", reason=content.reason or "max_output_tokens")
        elif content.status == "failed":
            details = m.StatusDetails(
                type="failed",
                error=m.FailureDetail(
                    type=content.error_type or "server_error",
                    code=content.error_code,
                    message=content.error_message or "The server had an error while generating the response.",
                ),
            )
        usage = m.ResponseUsage(
            total_tokens=content.input_tokens + content.output_tokens,
            input_tokens=content.input_tokens,
            output_tokens=content.output_tokens,
        )
        self._emit_done(record, content.status, details, usage)

    def _close_items(self, record: ResponseRecord, status: Literal["completed", "incomplete"]) -> None:
        for output in self._outputs[record.id].values():
            if output.state == "in_progress":
                self._finish_item(output, status)

    def _emit_done(
        self, record: ResponseRecord, status: str, details: m.StatusDetails | None, usage: m.ResponseUsage
    ) -> None:
        event = m.ResponseDone(response=self._response(record, status, details=details, usage=usage))
        self.step(RESPONSE, record, "response.done", event)

    def cancel_response(self, record: ResponseRecord, reason: Literal["client_cancelled", "turn_detected"]) -> None:
        """End a response before its time: everything open is closed as it stands (R-R5)."""
        self._close_items(record, "incomplete")
        details = m.StatusDetails(type="cancelled", reason=reason)
        usage = m.ResponseUsage(total_tokens=0, input_tokens=0, output_tokens=0)
        self._emit_done(record, "cancelled", details, usage)
        self.act(ResponseCancelled(record.id, reason))

    def close_response(self, record: ResponseRecord) -> None:
        """A response is over; it is remembered for a while."""
        del self._outputs[record.id]
        del self._params[record.id]
        record.streams.clear()
        self.finished_responses.append(record.id)
        if len(self.finished_responses) > self.config.limits.response_history:
            del self.responses[self.finished_responses.popleft()]

    def lose_response(self, record: ResponseRecord) -> None:
        """The client is gone: nobody is to be told, but the brain."""
        for stream in record.streams.values():
            self.step(CONTENT_PART, stream, "internal.lost", None)
        for item_id in record.item_ids:
            node = self.conversation.get(item_id)
            if node is not None:
                self.step(CONVERSATION_ITEM, node, "internal.lost", None)
        self.close_response(record)
        self.act(ResponseCancelled(record.id, "disconnected"))

    # -- snapshot ------------------------------------------------------------------------------------------------------

    def snapshot(self, now: Instant) -> Snapshot:
        from antiphon.engine.snapshot import take_server

        return take_server(self, now)

    def _load(self, snapshot: Snapshot, now: Instant) -> None:
        from antiphon.engine.snapshot import load_server

        load_server(self, snapshot, now)

    @property
    def work(self) -> tuple[dict[str, dict[int, Output]], dict[str, m.ResponseCreateParams]]:
        """The items and the parameters of the responses in progress, by response id; for snapshots."""
        return self._outputs, self._params


def _unsupported(event_type: str) -> Refusal:
    supported = ", ".join(f"'{name}'" for name in _SUPPORTED)
    return Refusal("unknown_event_type", {"value": event_type[:64], "supported": supported})


def _are_texts(*values: str | None) -> bool:
    """Whether UTF-8 can express them all."""
    try:
        "".join(value for value in values if value is not None).encode()
    except UnicodeEncodeError:
        return False
    return True


def _transcription_event(
    item_id: str, content_index: int, result: TranscriptionResult
) -> (
    m.ConversationItemInputAudioTranscriptionDelta
    | m.ConversationItemInputAudioTranscriptionCompleted
    | m.ConversationItemInputAudioTranscriptionFailed
):
    if isinstance(result, TranscriptDelta):
        return m.ConversationItemInputAudioTranscriptionDelta(
            item_id=item_id, content_index=content_index, delta=result.delta
        )
    if isinstance(result, TranscriptCompleted):
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
