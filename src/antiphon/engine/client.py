"""The client role: commands out, events in, the player beside.

What events do is in the package ``incoming``; requests are the arbiter's, responses the registry's, playback is in
``listener.py``, what may be sent is in ``legality.py``, what waits for a socket in ``gap.py``. Here is the rest:
sending, what the session is for all of them, and what a socket's end takes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine import known, mcp
from antiphon.engine.acknowledgements import Acknowledgements, Pending
from antiphon.engine.actions import Action, Actions, Deliver, Dropped, RequestSettled, TransmitMessage
from antiphon.engine.arbiter import Arbiter
from antiphon.engine.audio import AudioFormat, InputAudioLedger, append_message, byte_length
from antiphon.engine.codec import (
    encode,
    encode_json,
    server_decoder,
    to_builtins,
)
from antiphon.engine.config import Role, SessionConfig
from antiphon.engine.conversation import Conversation
from antiphon.engine.dialects import Dialect, write_client
from antiphon.engine.dialects.context import is_habit
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.gap import Gap
from antiphon.engine.incoming.arrival import check_order, receive_unusual, take
from antiphon.engine.incoming.handlers import HANDLERS
from antiphon.engine.incoming.item import CONVERSATION_ITEM
from antiphon.engine.incoming.response import RESPONSE
from antiphon.engine.incoming.session import ENDING, INPUT_AUDIO_BUFFER, SESSION, UNSEEN
from antiphon.engine.legality import check
from antiphon.engine.link import End
from antiphon.engine.listener import Listener, output_format
from antiphon.engine.mcp import McpProgress, McpWork
from antiphon.engine.playback import PlaybackLedger
from antiphon.engine.prices import Cost, PriceTable
from antiphon.engine.rate_limits import KnownRateLimit, RateLimits
from antiphon.engine.records import OutputRecord, Place, ResponseRecord
from antiphon.engine.registry import Registry
from antiphon.engine.renewal import Renewal
from antiphon.engine.session import Buffer, Entropy, Session
from antiphon.engine.sharing import Sharing
from antiphon.engine.timers import Instant, Timer
from antiphon.engine.translation import update_message
from antiphon.engine.usage import Usage
from antiphon.machines import Row
from antiphon.messages.beta import CLIENT_VIEWS

if TYPE_CHECKING:
    from antiphon.engine.snapshot import Snapshot


class ClientSession(Session, role=Role.CLIENT):
    """A `Session` that talks to a server.

    Read-only for the application: ``conversation``, ``responses``, ``playback``, ``usage``, ``rate_limits``,
    ``configuration`` (the session as the server last told it), ``state``.
    """

    __slots__ = (
        "_decode",
        "account",
        "acknowledgements",
        "announced_item_id",
        "approval_requests",
        "approvals_given",
        "arbiter",
        "calls",
        "committed_item_ids",
        "configuration",
        "conversation",
        "deliveries",
        "detection",
        "detector",
        "dialect",
        "fatal_code",
        "gap",
        "has_spoken",
        "input_audio",
        "listener",
        "mcp_work",
        "outputs",
        "overdue_item_id",
        "place",
        "playback",
        "registry",
        "renewal",
        "responses",
        "sharing",
        "speech_end_ms",
        "timeout_item_id",
        "translated_parts",
        "usage",
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
        super().__init__(role, config, now=now, entropy=entropy, speaks_bytes=speaks_bytes)
        limits = config.limits
        # What this answers is of the classes of HANDLERS, or odd.
        self._decode: Callable[[Buffer | str], Any] = server_decoder(limits.json_depth, config.view)
        self.dialect: Dialect = "beta" if config.dialect == "beta" else "ga"
        self.gap = Gap()
        self.place = Place(SESSION.initial)
        self.detector = Place(INPUT_AUDIO_BUFFER.initial)
        self.configuration: m.AnySession | None = None
        self.detection: m.TurnDetection | None = None
        self.conversation = Conversation(
            max_items=limits.conversation_items,
            max_text_bytes=limits.conversation_text_bytes,
            max_waiting=limits.waiting_items,
            max_tombstones=limits.tombstones,
            max_early=limits.early_transcripts,
        )
        self.arbiter = Arbiter(self)
        self.acknowledgements = Acknowledgements(self)
        self.listener = Listener(self)
        self.renewal = Renewal(self)
        self.sharing = Sharing(self)
        self.playback = PlaybackLedger(live_limit=limits.playback_entries, history_limit=limits.playback_entries)
        self.input_audio = InputAudioLedger()
        self.registry = Registry(self)
        self.responses = self.registry.responses
        self.outputs: dict[str, OutputRecord] = {}
        self.deliveries: dict[str, Place] = {}
        self.mcp_work: dict[str, McpWork] = {}
        self.approval_requests: dict[str, m.McpApprovalRequestItem] = {}
        self.approvals_given: dict[str, None] = {}
        self.calls: dict[str, str] = {}
        """The calls that an output may name, and their items; "" for one whose name the server will choose."""
        self.committed_item_ids: dict[str, bool] = {}  # those whose item is to come: whether silence was committed
        self.announced_item_id: str | None = None
        self.timeout_item_id: str | None = None
        self.overdue_item_id: str | None = None
        self.speech_end_ms: int | None = None
        self.fatal_code: str | None = None
        self.has_spoken = False
        self.translated_parts = 0
        self.usage = Usage()
        self.account = RateLimits(limits.rate_limit_names)

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The session's state in ``spec/machines/session.toml``."""
        return self.place.state

    @property
    def input_audio_buffer(self) -> InputAudioLedger:
        """What went into the server's input buffer, in samples; ``input_audio_buffer_state`` says what is detected."""
        return self.input_audio

    @property
    def input_audio_buffer_state(self) -> str:
        """The buffer's state in ``spec/machines/input_audio_buffer.toml``."""
        return self.detector.state

    @property
    def unanswered(self) -> tuple[Pending, ...]:
        """The commands whose answer is still out, oldest first; `response.create` is not among them."""
        return self.acknowledgements.unanswered()

    @property
    def mcp(self) -> Mapping[str, McpProgress]:
        """Work at remote MCP servers by item id: listings of tools, and calls (R-M1)."""
        return {item_id: work.view(item_id) for item_id, work in self.mcp_work.items()}

    @property
    def mcp_servers(self) -> Mapping[str, str]:
        """How far the newest listing of each MCP server is, by its label: a state of ``spec/machines/mcp.toml``."""
        return mcp.servers(self)

    @property
    def tools_ready(self) -> bool:
        """Whether no tool is still to come: every MCP server of the session has listed its own, or failed to (R-M2).

        A response that is asked for before runs without the tools that are missing.
        """
        return all(state in ("completed", "failed") for state in self.mcp_servers.values())

    @property
    def approvals(self) -> tuple[m.McpApprovalRequestItem, ...]:
        """The calls of the conversation that wait for somebody's approval: answer each with an
        `McpApprovalResponseItem` (R-M3)."""
        return tuple(self.approval_requests.values())

    @property
    def rate_limits(self) -> tuple[KnownRateLimit, ...]:
        """The newest limit of each name that the server told."""
        return self.account.view()

    def cost(self, prices: PriceTable) -> Cost:
        """What ``usage`` comes to with the application's ``prices``, by the models that the session names now."""
        configuration = self.configuration
        model = getattr(configuration, "model", None)
        audio = configuration.audio if configuration is not None else UNSET
        heard = audio.input if audio else UNSET
        transcription = heard.transcription if heard else UNSET
        return prices.cost(
            self.usage,
            model=model if isinstance(model, str) else None,
            transcription_model=(transcription.model or None) if transcription else None,
        )

    @property
    def may_reconnect(self) -> bool:
        """Whether policy lets another socket follow this one: only for a session that is ours alone. Over WebRTC it
        ends with the call, and on a sideband it belongs to somebody else's call and goes on without us. A translation
        that was asked to end is over with its socket."""
        return (
            self.config.renewal.reconnect
            and self.config.transport == "websocket"
            and self.link.dials
            and self.fatal_code is None
            and self.place.state not in ENDING
        )

    @property
    def default_response(self) -> ResponseRecord | None:
        """The response in progress in the default conversation, the oldest if a server runs several."""
        return self.registry.default

    @property
    def open_in_conversation(self) -> tuple[ResponseRecord, ...]:
        """The responses in progress in the default conversation, the oldest first."""
        return tuple(self.registry.in_conversation.values())

    # -- events in -----------------------------------------------------------------------------------------------------

    def enter(self, now: Instant) -> None:
        super().enter(now)
        if self.listener.clock is not None:
            self.listener.advance()

    def receive_message(self, text: Buffer | str, now: Instant) -> Actions:
        if now < self.now and self.closed is None:
            self._check_time(now)
        if self.link.state != "open":
            return ()  # before a socket there is nothing to hear, after our close nobody listens
        self.now = now
        decode = self._decode  # in a local, see `step`
        event = decode(text)
        raw = text if type(text) is bytes or isinstance(text, str) else bytes(text)
        out = self.out
        try:
            handler = HANDLERS[type(event)]
        except KeyError:
            receive_unusual(self, event, raw)
        else:
            out.append(Deliver(event, raw))
            if self.overdue_item_id is not None or self.place.state in UNSEEN:
                check_order(self, event)
            handler(self, event)
        actions = tuple(out)
        out.clear()
        return actions

    def receive_event(self, event: m.ServerEvent | m.ClientEvent, now: Instant) -> Actions:
        if now < self.now and self.closed is None:
            self._check_time(now)
        if self.link.state != "open":
            return ()
        raw = encode(event)
        self.enter(now)
        take(self, event, raw)
        return self.leave()

    @property
    def translates(self) -> bool:
        """Whether this is a translation session: as the server told, before that as the configuration says."""
        if self.configuration is None:
            return self.config.session_type == "translation"
        return type(self.configuration) is m.TranslationSession

    @property
    def transcribes(self) -> bool:
        """Whether this is a session that only transcribes, known in the same way."""
        if self.configuration is None:
            return self.config.session_type == "transcription"
        return type(self.configuration) is m.TranscriptionSession

    # -- commands out --------------------------------------------------------------------------------------------------

    def identify(self, event: m.ClientEvent) -> m.ClientEvent:
        """``event`` with an event id; `send` does the same. For those who wait for a `RequestSettled` of theirs."""
        if isinstance(event.event_id, str) and event.event_id:
            return event
        return structs.replace(event, event_id=self.next_id("event"))

    # `Session.send` takes the events of both sides, for a role that is known at run time only, and refuses the other's.
    # Here the role is known, so a type checker refuses them (tests/typing); no override can say so without the mark.
    def send(  # type: ignore[override]  # narrower on purpose: the role is known
        self, event: m.ClientEvent | m.UnknownEvent, now: Instant, *, override: Collection[str] = ()
    ) -> Actions:
        if isinstance(event, m.UnknownEvent):
            return self._send_unknown(event, now)
        command = self._checked(event, now, override)
        self.enter(now)
        self._submit(self.identify(command), forced="R-Q1" in override)
        return self.leave()

    def _send_unknown(self, event: m.UnknownEvent, now: Instant) -> Actions:
        """What no class describes goes out as it is: the engine judges nothing in it, and keeps it for no socket."""
        self.command_at(now)
        if self.link.state != "open":
            raise LocalProtocolError("an event that no class describes cannot wait for a socket", rule="R-E4")
        try:
            text = encode(event)
        except ValueError as error:
            raise LocalProtocolError(str(error), rule="R-E1", code="invalid_event") from None
        self.enter(now)
        self.acknowledgements.sent(event, event.event_id if isinstance(event.event_id, str) else "")
        self.transmit(text)
        return self.leave()

    def _checked(self, event: m.ClientEvent | m.ServerEvent, now: Instant, override: Collection[str]) -> m.ClientEvent:
        """Everything that may refuse a command, before anything changes (L3)."""
        self.command_at(now)
        if type(event) not in _COMMANDS:
            raise LocalProtocolError(f"a client does not send {type(event).__name__}", rule="R-E6")
        command = self.renewal.named(cast(m.ClientEvent, event))
        if isinstance(command, m.SessionUpdate) and type(command) is not m.SessionUpdate:
            # What it is called goes with the dialect that is spoken.
            command = m.SessionUpdate(session=command.session, event_id=command.event_id)
        if self.link.state == "closing":
            raise LocalProtocolError("the engine is closing; nothing can be asked of it any more", rule="R-N4")
        check(self, command, override)
        if isinstance(command, m.ResponseCreate):
            self.arbiter.check(command, override="R-Q1" in override)
        if self.link.state != "open":
            waiting = sum(1 for _ in self.gap.commands())
            if waiting >= self.config.limits.queued_commands:
                raise LocalProtocolError(f"{waiting} commands wait for a socket already", rule="R-N2")
        return command

    def _submit(self, event: m.ClientEvent, *, forced: bool) -> None:
        if isinstance(event, m.ConversationItemTruncate) and self.renewal.cut_by_application(event):
            return
        if self.link.state != "open":
            self.gap.keep(event, forced=forced)
        elif isinstance(event, m.ResponseCreate):
            self.arbiter.submit(event, forced=forced)
        else:
            self.command(event)

    def command(self, event: m.ClientEvent) -> None:
        """Transmit a command that is no request, and expect its answer."""
        event = self.identify(event)
        self.acknowledgements.sent(event, cast(str, event.event_id))
        self.transmit(self.written(event))
        if isinstance(event, m.InputAudioBufferAppend | m.SessionInputAudioBufferAppend):
            padding = event.audio[-2:].count("=")
            self.input_audio.append(max(0, len(event.audio) * 3 // 4 - padding))
            return
        if isinstance(event, m.InputAudioBufferCommit):
            self.input_audio.ask_commit()
        elif isinstance(event, m.InputAudioBufferClear):
            self.input_audio.clear()
        elif isinstance(event, m.ResponseCancel):
            self._cancelling(event)
        elif isinstance(event, m.SessionClose):
            self.step(SESSION, self.place, event.type, event)
        if isinstance(event, m.ConversationItemCreate):
            item = event.item
            if isinstance(item, m.FunctionCallItem):
                known.learn_call(self, item)  # an output may follow at once
            self.arbiter.content_sent(output_of=item.call_id if isinstance(item, m.FunctionCallOutputItem) else None)
        elif isinstance(event, m.InputAudioBufferCommit):
            self.arbiter.content_sent(output_of=None)

    def repeat(self, event: m.ClientEvent) -> None:
        """Transmit a command again, to another session. The arbiter has seen it."""
        self.acknowledgements.sent(event, cast(str, event.event_id))
        if isinstance(event, m.ConversationItemCreate) and isinstance(event.item, m.FunctionCallItem):
            known.learn_call(self, event.item)
        self.transmit(self.written(event))

    def _cancelling(self, event: m.ResponseCancel) -> None:
        named = isinstance(event.response_id, str)
        record = self.responses.get(event.response_id) if isinstance(event.response_id, str) else self.default_response
        if record is not None and record.is_open:
            self.step(RESPONSE, record, "response.cancel", event)
        elif not named:
            self.arbiter.cancelled(event)

    def written(self, event: m.ClientEvent) -> bytes:
        """A command as it goes out, in the dialect of the server."""
        if isinstance(event, m.SessionUpdate) and self.translates:
            return update_message(event)
        if self.dialect == "beta":
            return encode_json(write_client(to_builtins(event)))
        return encode(event)

    def report(self, rule: str, event: object, detail: str, path: str = "") -> None:
        if not self.sharing.excuses(rule, event):
            super().report(rule, event, detail, path)

    def meant(self, dialect: Dialect) -> None:
        if self.config.dialect == "auto":
            self.dialect = dialect

    def deviated(self, row: Row, event: object) -> None:
        delivered = next((action for action in reversed(self.out) if type(action) is Deliver), None)
        if delivered is None or not is_habit(row.rule, delivered.event, delivered.raw):
            super().deviated(row, event)

    def transmit(self, text: bytes) -> None:
        """Put one message on the wire, unless the socket is being closed already (R-L8)."""
        if self.link.state == "open":
            self.act(TransmitMessage(text))

    def append_audio(self, pcm: Buffer, now: Instant) -> Actions:
        self.command_at(now)
        if type(pcm) is memoryview and not pcm.c_contiguous:
            pcm = pcm.tobytes()  # a view with gaps: one channel of several
        size = byte_length(pcm)
        width = self.input_audio.format.bytes_per_sample
        if size == 0 or size % width:
            raise LocalProtocolError(
                f"{size} bytes are no whole samples of {width} bytes", rule="R-I6", code="invalid_value", param="audio"
            )
        if size > (most := self.config.limits.append_audio_bytes):
            raise LocalProtocolError(
                f"{size} bytes of audio in one event, at most {most}",
                rule="R-I6",
                code="string_above_max_length",
                param="audio",
            )
        if self.link.state == "closing":
            raise LocalProtocolError("the engine is closing; nothing can be asked of it any more", rule="R-N4")
        translates = self.translates
        if translates and self.takes_no_more_audio:
            raise LocalProtocolError("the translation is closing and takes no more audio", rule="R-X3")
        self.now = now
        if self.link.state != "open":
            most = self.input_audio.format.samples_for_ms(self.config.limits.gap_audio_ms) * width
            self.gap.keep_audio(bytes(pcm), most)
            return ()
        self.input_audio.append(size)
        return (TransmitMessage(append_message(pcm, translates=translates)),)

    # -- the player ----------------------------------------------------------------------------------------------------

    def audio_played(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        self._device_at(samples, now)
        self.enter(now)
        self.listener.played(item_id, content_index, samples)
        return self.leave()

    def audio_stopped(self, item_id: str, content_index: int, samples: int, now: Instant) -> Actions:
        self._device_at(samples, now)
        self.enter(now)
        self.listener.stopped(item_id, content_index, samples)
        return self.leave()

    def _device_at(self, samples: int, now: Instant) -> None:
        self.command_at(now)
        if not isinstance(samples, int) or samples < 0:
            raise LocalProtocolError(f"samples must be an integer of at least 0, not {samples!r}", rule="R-B1")

    def interrupt(self, now: Instant) -> Actions:
        self.command_at(now)
        if self.translates:
            raise LocalProtocolError("a translation has no turn to interrupt; stop the player", rule="R-X2")
        self.enter(now)
        self.arbiter.withdraw()
        if self.link.state == "open":
            record = self.default_response
            if record is None:
                if self.arbiter.awaits_place:  # it has no id yet, and is unwanted all the same (R-Q9)
                    self.command(m.ResponseCancel())
            elif record.state == "in_progress":
                self.command(m.ResponseCancel(response_id=record.id))
            # A cancel ends the generation; what was delivered sounds on, where anything is (R-O3, R-S9).
            if self.config.transport != "websocket" and not self.transcribes:
                self.command(m.OutputAudioBufferClear())
        self.listener.interrupt()
        return self.leave()

    # -- for the rules -------------------------------------------------------------------------------------------------

    def act_before_delivery(self, action: Action) -> None:
        """Put an action before the `Deliver` of the event that causes it: the sound stops first."""
        out = self.out
        index = next((index for index, other in enumerate(out) if type(other) is Deliver), len(out))
        out.insert(index, action)

    def bounded(self, places: dict[str, Place], key: str, initial: str) -> Place:
        """The place of ``key`` in a bounded table of them; a fresh one at first."""
        place = places.get(key)
        if place is None:
            place = places[key] = Place(initial)
            if len(places) > self.config.limits.response_history:
                del places[next(iter(places))]
        return place

    @property
    def takes_no_more_audio(self) -> bool:
        """Translation: whether its end was asked for, or waits to be, or has come (R-X3)."""
        asked = any(isinstance(event, m.SessionClose) for event in known.waiting(self))
        return asked or self.place.state in ENDING

    def name_of(self, item_id: str) -> str:
        """The id that an item has now."""
        return self.renewal.name_of(item_id)

    @property
    def closing_was_ours(self) -> bool:
        """Whether the application ended the engine."""
        return self.link.asked

    # -- life ----------------------------------------------------------------------------------------------------------

    def begin_generation(self) -> None:
        self.step(SESSION, self.place, "internal.opened", None)
        self.renewal.begin_session()
        self.arbiter.release()  # what was held back is older than what waits for a socket
        for entry in self.gap.take():
            if isinstance(entry, bytes):
                self.input_audio.append(len(entry))
                self.transmit(append_message(entry, translates=self.translates))
            elif (event := self.renewal.fitted(entry.event)) is not None:
                self._submit(event, forced=entry.forced)

    def let_go(self) -> None:
        goes_on = self.link.state != "closed"
        if goes_on:
            self.renewal.keep_unanswered()
        for record in [record for record in self.responses.values() if record.is_open]:
            self.step(RESPONSE, record, "internal.lost", None)
        self.listener.lost()
        self.acknowledgements.clear()
        self.arbiter.drop(held=not goes_on)
        if goes_on:
            return  # what waits for a socket waits for the next
        reason: Literal["closed", "disconnected"] = "closed" if self.closing_was_ours else "disconnected"
        for request in self.gap.requests():
            self.act(RequestSettled(cast(str, request.event_id), Dropped(reason)))
        self.gap.take()

    def end_generation(self) -> None:
        """Ids of the old session mean nothing to the next, or something else (R-N5)."""
        self.step(SESSION, self.place, "internal.renewed", None)
        self.step(INPUT_AUDIO_BUFFER, self.detector, "internal.renewed", None)
        self.overdue_item_id = self.fatal_code = None
        self.has_spoken = False  # the next session has no audio of the assistant yet
        self.meant("ga")  # until the next says otherwise: another server may answer
        self.registry.clear()
        self.outputs.clear()
        self.deliveries.clear()
        for told in (self.mcp_work, self.approval_requests, self.approvals_given):
            told.clear()  # servers are asked anew, and for other items
        self.committed_item_ids.clear()
        if self.link.opened_generation:
            for node in self.conversation:
                self.step(CONVERSATION_ITEM, node, "internal.lost", None)
            self.renewal.end_session()

    def take_formats(self) -> None:
        """The formats and the voice detection that the session was last told to have."""
        configuration = self.configuration
        assert configuration is not None  # whoever calls has just been told it, or had an update accepted
        spoken = output_format(configuration)
        if spoken is not None:
            self.listener.format = spoken
        audio = configuration.audio
        heard = audio.input if audio else UNSET
        if heard:
            self.detection = heard.turn_detection or None
            named = heard.format
            if named:
                taken = AudioFormat.from_session({"type": named.type or None, "rate": named.rate or None})
                if taken is not None and taken != self.input_audio.format:
                    self.input_audio.set_format(taken)

    def end_of_socket(self, code: int | None, reason: str) -> End:
        end = super().end_of_socket(code, reason)
        if self.fatal_code is None:
            return end
        fault = Fault("session", f"the server ended the session: {self.fatal_code}", "R-S4", code=self.fatal_code)
        return End(code, reason, fault)

    def fire(self, timer: Timer) -> None:
        if timer is Timer.REQUEST:
            self.arbiter.time_out()
        elif timer is Timer.FLUSH:
            self.listener.time_out()
        elif timer is Timer.DRAIN:
            self.step(SESSION, self.place, "timer.drain", None)
        elif timer is Timer.RENEWAL or timer is Timer.QUIET:
            self.renewal.fire(timer)
        else:
            super().fire(timer)

    def _wall(self, unix_ns: int | None) -> None:
        self.renewal.opened(unix_ns)

    # -- snapshot ------------------------------------------------------------------------------------------------------

    def snapshot(self, now: Instant) -> Snapshot:
        from antiphon.engine.snapshot import take_client

        return take_client(self, now)

    def _load(self, snapshot: Snapshot, now: Instant) -> None:
        from antiphon.engine.snapshot import load_client

        load_client(self, snapshot, now)


_COMMANDS = frozenset({*m.CLIENT_EVENTS.values(), *CLIENT_VIEWS["ga"].values(), *CLIENT_VIEWS["beta"].values()})
