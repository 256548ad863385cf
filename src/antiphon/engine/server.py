"""The server role: the protocol's replies, errors and order; a brain gives the content only.

What each event of a client does is in ``serving.py``, the order in which an answer unfolds in ``responding.py``; here
are the door in both directions, the session's configuration, the input audio buffer, and items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine import translation
from antiphon.engine.actions import (
    Actions,
    Deliver,
    TransmitMessage,
)
from antiphon.engine.audio import PCM16_24K, AudioFormat, InputAudioLedger, byte_length
from antiphon.engine.codec import (
    Repaired,
    Unreadable,
    client_decoder,
    convert_client_event,
    encode,
    encode_json,
    encode_text,
    session_from_builtins,
    to_builtins,
)
from antiphon.engine.config import Role, SessionConfig
from antiphon.engine.content import (
    Content,
    McpCallFinished,
    McpContent,
    TranscriptionResult,
    TranslationContent,
)
from antiphon.engine.conversation import Conversation, Node
from antiphon.engine.delivery import Deliveries
from antiphon.engine.dialects import Dialect, session_to_ga, write_server
from antiphon.engine.endpoint import PATH, TRANSLATIONS_PATH
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.hearing import Hearing
from antiphon.engine.keys import in_beta, refusal_in_beta, unknown_in_beta
from antiphon.engine.link import LINK, End
from antiphon.engine.recordings import Recordings
from antiphon.engine.records import Place, ResponseRecord
from antiphon.engine.refusals import CLOSE_OF, Refusal, error_event, listed, refusal_of
from antiphon.engine.remote import Remote
from antiphon.engine.responding import Responder, Spoken
from antiphon.engine.serving import (
    CONVERSATION_ITEM,
    HANDLERS,
    INPUT_AUDIO_BUFFER,
    RESPONSE,
    SESSION,
)
from antiphon.engine.session import Buffer, Entropy, Session
from antiphon.engine.settings import (
    BETA_TEMPERATURE,
    Json,
    asked_in,
    initial,
    merged,
    serves,
    settled,
    unknown_parameter,
)
from antiphon.engine.timers import Instant, Timer
from antiphon.messages.beta import CLIENT_VIEWS

if TYPE_CHECKING:
    from antiphon.engine.snapshot import Snapshot

FreeEvent: TypeAlias = (
    m.Error | m.RateLimitsUpdated | m.ConversationCreated | m.InputAudioBufferDtmfEventReceived | m.UnknownEvent
)
"""What a server application may send by itself: nothing but the end of the session hangs on these."""

_MOST_EVENT_ID = 512
SECOND = 1_000_000_000
"""Nanoseconds."""


class ServerSession(Session, role=Role.SERVER):
    """A `Session` that answers a client. It needs ``entropy`` for its ids.

    Read-only for the application: ``conversation``, ``responses``, ``configuration`` (the session's effective
    configuration), ``state``, ``rate_limits`` (what is told after each response).
    """

    __slots__ = (
        "_configuration",
        "_decode",
        "_is_retired",
        "_unix_ns",
        "calls",
        "conversation",
        "conversation_id",
        "deliveries",
        "detector",
        "dialect",
        "finished_responses",
        "has_spoken",
        "hearing",
        "input_audio",
        "output_format",
        "place",
        "rate_limits",
        "recordings",
        "remote",
        "responder",
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
        self.speak("beta" if config.dialect == "beta" else "ga")
        self._configuration: m.AnySession | None = None
        self._unix_ns: int | None = None
        self._is_retired = False  # the client of this socket asked for a dialect that is not spoken any more
        self.place = Place(SESSION.initial)
        self.detector = Place(INPUT_AUDIO_BUFFER.initial)
        self.session_id = ""
        self.conversation_id = ""
        self.settings: Json = initial(_given(config.session))
        self.output_format: AudioFormat = PCM16_24K
        self.conversation = Conversation(
            max_items=limits.conversation_items,
            max_text_bytes=limits.conversation_text_bytes,
            max_waiting=limits.waiting_items,
            max_tombstones=limits.tombstones,
            max_early=limits.early_transcripts,
        )
        self.hearing = Hearing(self)
        self.input_audio: InputAudioLedger = self.hearing.ledger()
        self.responder = Responder(self)
        self.remote = Remote(self)
        self.responses: dict[str, ResponseRecord] = {}
        self.finished_responses: deque[str] = deque()
        self.deliveries = Deliveries(self)
        self.recordings = Recordings(limits.item_audio_bytes)
        self.spoken: dict[str, Spoken] = {}
        self.calls: dict[str, None] = {}
        self.speech_item_id: str | None = None
        self.speech_cleared = False
        self.has_spoken = False
        self.rate_limits: tuple[m.RateLimit, ...] = config.rate_limits
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
    def converses(self) -> bool:
        """Whether the session has responses at all: one that only transcribes, or translates, has none (R-S9)."""
        return bool(self.settings["type"] == "realtime")

    @property
    def paths(self) -> tuple[str, ...]:
        """What the path of a handshake ends with that asks for a session of this kind."""
        return (PATH, TRANSLATIONS_PATH) if self.translates else (PATH,)

    @property
    def translates(self) -> bool:
        """Whether this is a translation session."""
        return bool(self.settings["type"] == "translation")

    @property
    def supported(self) -> tuple[str, ...]:
        """The types of the events that this kind of session takes (R-X1)."""
        if self.translates:
            return translation.COMMANDS
        return translation.CONVERSATION_COMMANDS if self.converses else translation.TRANSCRIPTION_COMMANDS

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
        if isinstance(event, Unreadable):
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
        raw = encode_text(event)
        self.enter(now)
        self.act(Deliver(event, raw))
        if event.type in m.CLIENT_EVENTS:
            self._take(event, raw)
        else:
            self.refuse(event, Refusal("invalid_event_direction", {"value": event.type}))
        return self.leave()

    def _take(self, event: m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed, raw: bytes | str) -> None:
        """Let an event of a client work, once its envelope is right."""
        refusal = self._problem_with(event, raw)
        if refusal is not None:
            self.refuse(event, refusal)
        else:
            HANDLERS[type(event)](self, event)

    def _problem_with(
        self, event: m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed, raw: bytes | str
    ) -> Refusal | None:
        """Why an event is refused whatever it is about."""
        event_id = event.event_id
        if isinstance(event_id, str) and len(event_id) > _MOST_EVENT_ID:
            fields = {"param": "event_id", "maximum": _MOST_EVENT_ID, "length": len(event_id)}
            return Refusal("string_above_max_length", fields)
        if type(event) not in HANDLERS or _step_type(event) not in self.supported:
            return self._unsupported(event.type)
        if isinstance(event, m.SessionUpdate | m.ResponseCreate):
            return (unknown_in_beta if self.dialect == "beta" else unknown_parameter)(raw, event)
        return None

    def _unsupported(self, event_type: str) -> Refusal:
        return Refusal("unknown_event_type", {"value": event_type[:64], "supported": listed(self.supported)})

    def _rejected(self, text: Unreadable) -> None:
        """What is no event is answered (R-E1, R-E3), what is no text ends the socket (R-E2)."""
        if text.kind == "utf8":
            fault = Fault("protocol", "a text message that is not UTF-8", "R-E2")
            self.step(LINK, self.link, "internal.fault", End(1007, "not UTF-8", fault))
            return
        if text.kind == "depth":
            self.refuse(text, Refusal("invalid_event_depth", {"maximum": self.config.limits.json_depth}))
        else:
            detail = "The 'type' field is missing." if text.kind == "type" else "The event is no JSON object."
            self.refuse(text, Refusal("invalid_event", {"detail": detail}))

    def _repaired(self, repaired: Repaired, raw: bytes | str) -> None:
        """What a client would repair, a server refuses: nothing is guessed at (R-E5, R-E6)."""
        if self.translates and repaired.event.type == m.SessionUpdate.type:
            meant = translation.with_its_type(repaired.data)
            again = repaired if meant is None else convert_client_event(meant)
            if isinstance(again, m.SessionUpdate):
                self.act(Deliver(again, raw))
                self._take(again, raw)
                return
            repaired = again if isinstance(again, Repaired) else repaired
        event = repaired.event
        self.act(Deliver(event, raw))
        problems = event.problems if isinstance(event, m.Malformed) else repaired.problems
        if event.type in m.SERVER_EVENTS:
            self.refuse(event, Refusal("invalid_event_direction", {"value": event.type}))
        elif _step_type(event) not in self.supported:
            self.refuse(event, self._unsupported(event.type))
        elif problems:
            why = refusal_in_beta if self.dialect == "beta" else refusal_of
            self.refuse(event, why(problems[0], repaired.data))
        else:
            self._take(event, raw)

    # -- events out ----------------------------------------------------------------------------------------------------

    def send(  # type: ignore[override]  # a client's session sends a client's events, a server's these
        self, event: FreeEvent, now: Instant, *, override: Collection[str] = ()
    ) -> Actions:
        """Say what only the application knows. A fatal `Error` ends the session (R-S4), `RateLimitsUpdated` is what is
        told after the next responses too (R-S8). `LocalProtocolError` for what is the engine's to say."""
        self._ready(now)
        if not isinstance(event, FreeEvent):
            raise LocalProtocolError(
                f"{event.type} is the engine's to send: give content through generate, speech_started, transcribed",
                rule="R-E6",
            )
        try:
            encode(event)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-E1") from None
        self.enter(now)
        if isinstance(event, m.Error) and event.error.code in CLOSE_OF:
            self.step(SESSION, self.place, "internal.fatal_error", event)
        else:
            if isinstance(event, m.RateLimitsUpdated):
                self.rate_limits = tuple(event.rate_limits)
            if isinstance(event, m.InputAudioBufferDtmfEventReceived):  # the only event without an id
                self.act(TransmitMessage(encode(event)))
            else:
                self.say(event)
        return self.leave()

    def say(self, event: m.ServerEvent | m.UnknownEvent) -> None:
        """Put an event on the wire, with an id of its own, unless the socket is being closed already (R-L8)."""
        if self.link.state != "open":
            return
        if isinstance(event, m.ServerEventBase) and event.event_id is UNSET:
            event = structs.replace(event, event_id=self.next_id("event"))
        if self.dialect == "ga":
            self.act(TransmitMessage(encode(event)))
        elif (told := write_server(to_builtins(event))) is not None:
            self.act(TransmitMessage(encode_json(told)))

    def refuse(self, event: object, refusal: Refusal) -> None:
        """Answer ``event`` with an error."""
        event_id = getattr(event, "event_id", None)
        refused = in_beta(refusal) if self.dialect == "beta" else refusal
        self.say(m.Error(error=refused.detail(event_id if isinstance(event_id, str) else None)))

    def speak(self, dialect: Dialect) -> None:
        """Speak and understand ``dialect`` from here on."""
        self.dialect: Dialect = dialect
        self._decode = client_decoder(self.config.limits.json_depth, dialect, self.config.view)

    def meant(self, dialect: Dialect) -> None:
        if self.config.dialect == "auto":
            self.speak(dialect)
        self._is_retired = self.config.dialect == "ga" and dialect == "beta"

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
        self.hearing.settings_changed()

    def problem_with_query(self, query: str) -> Refusal | None:
        model = asked_in(query).model
        if model is None or serves(self.config.models, model):
            return None
        return Refusal("model_not_found", {"model": model[:64]})

    def accept_query(self, query: str) -> None:
        self.settings = settled(_given(self.config.session), asked_in(query))
        self._settings_changed()

    def begin_generation(self) -> None:
        self.session_id = self.next_id("sess")
        self.conversation_id = self.next_id("conv")
        changes: Json = {"id": self.session_id}
        if self._unix_ns is not None:
            expires_at = self._unix_ns // SECOND + self.config.unix_expiry_s
            changes["expires_at"] = expires_at
            self.timers.arm(Timer.EXPIRY, self.now + expires_at * SECOND - self._unix_ns)
        if self.dialect == "beta" and self.converses:
            changes["temperature"] = self.settings.get("temperature", BETA_TEMPERATURE)
        self.apply(changes)
        if self._is_retired:
            self.step(SESSION, self.place, "internal.fatal_error", error_event("beta_api_shape_disabled"))
        else:
            self.step(SESSION, self.place, "internal.opened", None)

    def end(self, error: m.Error) -> None:
        """The session is over: close the socket as a fatal ``error`` says (R-S4)."""
        detail = error.error
        code = CLOSE_OF[str(detail.code)]
        reason = detail.message if code == 1001 else f"{detail.type or 'invalid_request_error'}.{detail.code}"
        self.step(LINK, self.link, "internal.close", End(code, reason, None))

    def fire(self, timer: Timer) -> None:
        if timer is Timer.EXPIRY:
            self.step(SESSION, self.place, "timer.expiry", None)
        elif timer is Timer.IDLE:
            self.step(INPUT_AUDIO_BUFFER, self.detector, "timer.idle", None)
        else:
            super().fire(timer)

    def _wall(self, unix_ns: int | None) -> None:
        self._unix_ns = unix_ns

    def let_go(self) -> None:
        self.deliveries.lose()
        for record in [record for record in self.responses.values() if record.is_open]:
            self.step(RESPONSE, record, "internal.lost", None)
        self.remote.lose()

    def end_generation(self) -> None:
        self.step(SESSION, self.place, "internal.renewed", None)
        self.step(INPUT_AUDIO_BUFFER, self.detector, "internal.renewed", None)

    # -- the input audio buffer ----------------------------------------------------------------------------------------

    def speech_started(self, audio_start_ms: int, now: Instant) -> Actions:
        self._ready(now)
        self.hearing.check_speech_started(audio_start_ms)
        self.enter(now)
        self.hearing.speech_started(audio_start_ms)
        return self.leave()

    def speech_stopped(self, audio_end_ms: int, now: Instant) -> Actions:
        self._ready(now)
        if not self.hearing.expects_speech_stopped(audio_end_ms):
            return ()
        self.enter(now)
        self.hearing.speech_stopped(audio_end_ms)
        return self.leave()

    def append_audio(self, pcm: Buffer, now: Instant) -> Actions:
        if not self.deliveries.are_ours:
            return super().append_audio(pcm, now)
        self._ready(now)
        size, width = byte_length(pcm), self.input_audio.format.bytes_per_sample
        if not size or size % width:
            raise LocalProtocolError(f"{size} bytes are no whole samples of {width} bytes", rule="R-I6")
        self.enter(now)
        self.hearing.take_audio(bytes(pcm))
        return self.leave()

    def audio_played(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        if not self.deliveries.are_ours:
            return super().audio_played(item_id, content_index, samples, now)
        self._ready(now)
        if not self.deliveries.check(item_id, content_index, samples):
            return ()
        self.enter(now)
        self.deliveries.advance(item_id, samples)
        return self.leave()

    def transcribed(self, item_id: str, content_index: int, result: TranscriptionResult, now: Instant) -> Actions:
        self._ready(now)
        news = self.hearing.news_of(item_id, content_index, result)
        if news is None:
            return ()
        self.enter(now)
        self.hearing.transcribed(news)
        return self.leave()

    # -- items ---------------------------------------------------------------------------------------------------------

    def append(self, item: m.Item) -> None:
        """An item that the server makes by itself, at the end."""
        placement = self.conversation.insert(item)
        assert placement is not None  # without a predecessor an item always has a place
        self.add(placement.node, item)

    def add(self, node: Node, item: m.Item) -> None:
        """Announce a complete item of which ``node`` is the place: added and done, next to each other (R-C3)."""
        if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
            self.know_call(item.call_id)
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

    def know_call(self, call_id: str) -> None:
        """A call that an output may name (R-C12), for as long as its item is a member."""
        self.calls[call_id] = None

    def forget(self, node: Node) -> None:
        """An item is gone, with its sound, and as a call that an output may name (R-C12)."""
        if isinstance(node.item, m.FunctionCallItem):
            self.calls.pop(str(node.item.call_id), None)
        self.deliveries.forget(node.id)
        self.spoken.pop(node.id, None)
        self.recordings.forget(node.id)

    def trim(self) -> None:
        """Keep the conversation within its limits, after whatever made it grow (R-N2)."""
        for node in self.conversation.trim():
            self.forget(node)
            self.report("R-N2", None, "the conversation is beyond its limits; the oldest item is forgotten")
        if self.recordings.trim():
            self.report("R-N2", None, "the conversation's audio is beyond its limit; the oldest is forgotten")

    # -- responses -----------------------------------------------------------------------------------------------------

    def generate(self, content: Content, now: Instant) -> Actions:
        self.command_at(now)
        if isinstance(content, TranslationContent):
            return self._translate(content, now)
        if isinstance(content, McpContent):
            return self._hear_of_remote(content, now)
        record = self.responses.get(content.response_id)
        if record is None:
            raise LocalProtocolError(f"response {content.response_id!r} was never requested", rule="R-R1")
        if not record.is_open:
            return ()  # it was cancelled while the brain was at work: `ResponseCancelled` said so
        problem = self.responder.problem_with(content, record)
        if problem is not None:
            raise problem
        self.enter(now)
        self.responder.take(content, record)
        return self.leave()

    def _hear_of_remote(self, content: McpContent, now: Instant) -> Actions:
        if not self.converses:
            raise LocalProtocolError(f"{type(content).__name__}: this session has no tools", rule="R-S9")
        if self.link.state != "open":
            return ()  # the client left while the brain was at work
        if isinstance(content, McpCallFinished):
            problem = self.remote.problem_with_answer(content)
        else:
            problem = self.remote.problem_with_listing(content)
        if problem is not None:
            raise problem
        self.enter(now)
        if isinstance(content, McpCallFinished):
            self.responder.answer(content)
        else:
            self.remote.take_listing(content)
        return self.leave()

    def _translate(self, content: TranslationContent, now: Instant) -> Actions:
        if not self.translates:
            raise LocalProtocolError(f"{type(content).__name__}: this session does not translate", rule="R-X1")
        event = translation.event_of(content)
        if self.link.state != "open" or event.type not in SESSION.cells[self.place.state]:
            return ()  # the client left while the brain was at work
        problem = translation.problem_with(content)
        if problem is not None:
            raise problem
        self.enter(now)
        self.step(SESSION, self.place, event.type, event)
        return self.leave()

    # -- snapshot ------------------------------------------------------------------------------------------------------

    def snapshot(self, now: Instant) -> Snapshot:
        from antiphon.engine.snapshot import take_server

        return take_server(self, now)

    def _load(self, snapshot: Snapshot, now: Instant) -> None:
        from antiphon.engine.snapshot import load_server

        load_server(self, snapshot, now)


def _step_type(event: m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed) -> str:
    """The name under which the tables know an event of a client, whichever dialect's it came by."""
    known = CLIENT_VIEWS["ga"].get(event.type)
    return event.type if known is None else known.step_type


def _given(session: Mapping[str, object] | None) -> Json | None:
    """A configured session in GA's shape, whichever it was written in."""
    return None if session is None else cast(Json, session_to_ga(dict(session)))
