"""The client role: commands out, events in, the player beside.

What events do is in ``incoming.py``; requests are the arbiter's, playback is in ``listener.py``, what may be sent is in
``legality.py``, what waits for a socket in ``gap.py``. Here is the rest: receiving and sending, what the session knows
for all of them, and what a socket's end takes with it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec import UNSET, UnsetType, structs

from antiphon import messages as m
from antiphon.engine import mcp
from antiphon.engine.acknowledgements import Acknowledgements, Pending
from antiphon.engine.actions import Action, Actions, Deliver, Dropped, RequestSettled, TransmitMessage
from antiphon.engine.arbiter import Arbiter
from antiphon.engine.audio import AudioFormat, InputAudioLedger, append_message, byte_length
from antiphon.engine.codec import (
    Repaired,
    Unreadable,
    as_unknown,
    convert_server_event,
    encode,
    encode_json,
    server_decoder,
    to_builtins,
)
from antiphon.engine.config import Role, SessionConfig
from antiphon.engine.conversation import Conversation, Misplaced
from antiphon.engine.dialects import Dialect, is_flat, write_client
from antiphon.engine.dialects.context import filled, is_habit
from antiphon.engine.dialects.vendors import NO_PREDECESSOR
from antiphon.engine.errors import Fault, LocalProtocolError
from antiphon.engine.gap import Gap
from antiphon.engine.incoming import (
    CONVERSATION_ITEM,
    HANDLERS,
    INPUT_AUDIO_BUFFER,
    NEVER_OVERDUE,
    RESPONSE,
    SESSION,
    TRANSLATION_HANDLERS,
    find_item,
)
from antiphon.engine.legality import check
from antiphon.engine.link import LINK, End
from antiphon.engine.listener import Listener, output_format
from antiphon.engine.mcp import McpProgress, McpWork
from antiphon.engine.playback import PlaybackLedger
from antiphon.engine.prices import Cost, PriceTable
from antiphon.engine.rate_limits import KnownRateLimit, RateLimits
from antiphon.engine.records import OutputRecord, Place, ResponseRecord, StreamRecord
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
        "_open_in_conversation",
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
        "finished_responses",
        "gap",
        "has_spoken",
        "input_audio",
        "listener",
        "mcp_work",
        "outputs",
        "overdue_item_id",
        "place",
        "playback",
        "renewal",
        "responses",
        "sharing",
        "speaking",
        "speech_end_ms",
        "stream_keys",
        "streams",
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
        self.responses: dict[str, ResponseRecord] = {}
        self.finished_responses: deque[str] = deque()
        self._open_in_conversation: dict[str, ResponseRecord] = {}
        self.streams: dict[tuple[str, int], StreamRecord] = {}
        self.stream_keys: dict[str, list[int]] = {}
        self.speaking: StreamRecord | None = None  # of `streams`, the one that the newest delta belongs to
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
        """The calls that wait for somebody's approval: answer each with an `McpApprovalResponseItem` (R-M3)."""
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
            and self.place.state not in _ENDING
        )

    @property
    def default_response(self) -> ResponseRecord | None:
        """The response in progress in the default conversation, the oldest if a server runs several."""
        return next(iter(self._open_in_conversation.values()), None)

    @property
    def open_in_conversation(self) -> tuple[ResponseRecord, ...]:
        """The responses in progress in the default conversation, the oldest first."""
        return tuple(self._open_in_conversation.values())

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
            self._receive_unusual(event, raw)
        else:
            out.append(Deliver(event, raw))
            if self.overdue_item_id is not None or self.place.state in _UNSEEN:
                self._check_order(event)
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
        self._take(event, raw)
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

    def _take(self, event: m.ServerEvent | m.ClientEvent | m.UnknownEvent | m.Malformed, raw: bytes | str) -> None:
        """Deliver one decoded event and let it work."""
        if event.type in m.TRANSLATION_EVENTS and not self.translates and not isinstance(event, m.UnknownEvent):
            event = as_unknown(raw)
        self.act(Deliver(event, raw))
        handler = HANDLERS.get(type(event)) or TRANSLATION_HANDLERS.get(type(event))
        if handler is not None:
            self._check_order(event)
            handler(self, event)
        elif isinstance(event, m.Malformed):
            self._malformed(event)
        elif event.type in m.CLIENT_EVENTS:
            self.report("R-E6", event, f"{event.type} is what a client sends")

    def _receive_unusual(self, decoded: m.ServerEvent | Unreadable | Repaired, raw: bytes | str) -> None:
        """What did not come through the typed decoder (R-E1 … R-E5), and what only a translation session has."""
        if isinstance(decoded, Unreadable):
            if decoded.kind == "utf8":
                fault = Fault("protocol", "a text message that is not UTF-8", "R-E2")
                self.step(LINK, self.link, "internal.fault", End(1007, "not UTF-8", fault))
            else:
                self.report("R-E3" if decoded.kind == "depth" else "R-E1", None, decoded.detail)
        elif not isinstance(decoded, Repaired):
            self._take(decoded, raw)
        elif decoded.event.type in m.TRANSLATION_EVENTS and not self.translates:
            self._take(m.UnknownEvent.of(decoded.data), raw)
        else:
            if decoded.problems and (whole := filled(decoded.data, self)) is not None:
                again = convert_server_event(whole, self.config.view)
                assert not isinstance(again, Unreadable)  # it was read before, and from deeper in the stack
                decoded = again if isinstance(again, Repaired) else Repaired(again, (), whole)
            event = decoded.event
            if isinstance(event, m.SessionCreated) and self.config.dialect == "auto":
                self.dialect = "beta" if is_flat(decoded.data.get("session")) else "ga"
            self._take(event, raw)
            for problem in decoded.problems:
                self.report("R-E5", event, problem.message, problem.path)

    def _malformed(self, event: m.Malformed) -> None:
        """The body is lost, the envelope may still end a response (R-R4), or answer us."""
        if event.type == m.ConversationItemTruncated.type:
            self._cut_somewhere(event.data.get("item_id"), event.data.get("content_index"))
            return
        if event.type not in ("response.done", "response.cancelled"):
            return
        body = event.data.get("response")
        response_id = body.get("id") if isinstance(body, dict) else None
        record = self.responses.get(response_id) if isinstance(response_id, str) else self.default_response
        if record is not None and record.is_open:
            self.step(RESPONSE, record, "internal.malformed_done", event)

    def _cut_somewhere(self, item_id: object, content_index: object) -> None:
        """An item was cut, and it is not said where: there where we asked for it."""
        cut_ms = self.acknowledgements.asked_cut(item_id) if isinstance(item_id, str) else None
        if isinstance(item_id, str) and cut_ms is not None:
            index = content_index if isinstance(content_index, int) else 0
            cut = m.ConversationItemTruncated(item_id=item_id, content_index=index, audio_end_ms=cut_ms)
            HANDLERS[m.ConversationItemTruncated](self, cut)

    def _check_order(self, event: m.Event | m.UnknownEvent | m.Malformed) -> None:
        """The two rules that any other event may break: the session comes first, an item's end directly follows it."""
        if self.place.state in _UNSEEN and not isinstance(event, (m.SessionCreated, m.Error)):
            self.step(SESSION, self.place, "internal.early_event", event)
        overdue = self.overdue_item_id
        if overdue is None or type(event) in NEVER_OVERDUE:
            return
        if isinstance(event, m.ConversationItemDone) and event.item.id == overdue:
            return
        if isinstance(event, m.ConversationItemAdded) and event.item.id == overdue and event.step_type == _CREATED:
            return  # the same by its beta name (R-C9)
        self.overdue_item_id = None
        self.step(CONVERSATION_ITEM, find_item(self, overdue), "internal.other_event", event)

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
                self._know_call(item)  # an output may follow at once
            self.arbiter.content_sent(output_of=item.call_id if isinstance(item, m.FunctionCallOutputItem) else None)
        elif isinstance(event, m.InputAudioBufferCommit):
            self.arbiter.content_sent(output_of=None)

    def repeat(self, event: m.ClientEvent) -> None:
        """Transmit a command again, to another session. The arbiter has seen it."""
        self.acknowledgements.sent(event, cast(str, event.event_id))
        if isinstance(event, m.ConversationItemCreate) and isinstance(event.item, m.FunctionCallItem):
            self._know_call(event.item)
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

    def open_response(self, record: ResponseRecord) -> None:
        """A response is in progress from here on."""
        self.responses[record.id] = record
        if record.in_conversation:
            self._open_in_conversation[record.id] = record
        if len(self.responses) - len(self.finished_responses) > self.config.limits.open_responses:
            oldest = next(each for each in self.responses.values() if each.is_open)
            self.report("R-N2", None, "too many responses in progress; the oldest is forgotten")
            self.step(RESPONSE, oldest, "internal.lost", None)
            self.arbiter.forget(oldest.id)

    def let_lapse(self) -> None:
        """Those that were never announced, and whose end was waited for, hold the one place no more (R-Q5)."""
        for record in [each for each in self.open_in_conversation if each.claim == "inferred"]:
            record.claim = "lapsed"
            del self._open_in_conversation[record.id]

    def close_response(self, record: ResponseRecord, event: m.ResponseDone | str | None) -> None:
        """A response is over. ``event`` says how; its id alone when that could not be read, None when it was lost."""
        self._open_in_conversation.pop(record.id, None)
        self.finished_responses.append(record.id)
        if len(self.finished_responses) > self.config.limits.response_history:
            forgotten = self.responses.pop(self.finished_responses.popleft())
            for key in forgotten.streams:
                del self.streams[key]
                self._forget_stream_key(key)
            self.speaking = None
        self.listener.finish_response(record.id)
        if event is not None:
            self.arbiter.done(record.id, event, in_conversation=record.in_conversation)
            self.arbiter.release()

    def cancelled_already(self, response_id: str) -> None:
        """A response was announced whose cancel is under way: nothing of it is played (R-Q9)."""
        record = self.responses[response_id]
        self.listener.silence(response_id)
        if record.is_open:
            self.step(RESPONSE, record, "response.cancel", None)

    def cancel_unwanted(self, response_id: str) -> None:
        """A response was announced that nobody wants any more: cancel it, and play nothing of it (R-Q9, R-Q10)."""
        self.listener.silence(response_id)
        if self.responses[response_id].is_open:
            self.command(m.ResponseCancel(response_id=response_id))

    def keep_stream(self, stream: StreamRecord) -> None:
        """A stream of a response in progress was found for the first time."""
        key = (stream.item_id, stream.content_index)
        other = self.streams.get(key)
        if other is None:
            insort(self.stream_keys.setdefault(stream.item_id, []), stream.content_index)
        else:  # another response spoke there: a place has one stream, so that a snapshot need not say whose it is
            del other.response.streams[key]
        stream.response.streams[key] = self.streams[key] = stream
        self.speaking = None

    def adopt_response(self, record: ResponseRecord) -> None:
        """A response of a snapshot."""
        self.responses[record.id] = record
        if record.in_conversation and record.is_open and record.claim != "lapsed":
            self._open_in_conversation[record.id] = record
        for stream in record.streams.values():
            self.keep_stream(stream)

    def _forget_stream_key(self, key: tuple[str, int]) -> None:
        indexes = self.stream_keys[key[0]]
        indexes.remove(key[1])
        if not indexes:
            del self.stream_keys[key[0]]

    def stream_indexes(self, item_id: str) -> Iterable[int]:
        """The content indexes of an item that have a stream."""
        return self.stream_keys.get(item_id, ())

    def keep_output(self, record: OutputRecord) -> None:
        """An item was announced as output and is no member (yet)."""
        self.outputs[record.id] = record
        if len(self.outputs) > self.config.limits.response_parts:
            del self.outputs[next(iter(self.outputs))]
            self.report("R-N2", None, "too many output items are open; the oldest is forgotten")

    def insert(
        self,
        item: m.Item,
        previous_item_id: str | UnsetType | None,
        *,
        state: str,
        response: ResponseRecord | None,
        event: m.Event,
        front: bool = False,
        unplaced: bool = False,
    ) -> None:
        """An item becomes a member of the conversation (R-C4).

        Without a predecessor it goes to the end unless we asked for the ``front``: the service itself names a
        predecessor for everything but the first item, and some servers never do. Where a history is given to another
        session, that session's first item may be none of it.
        """
        front = self.renewal.replay.comes_first() or front
        previous = UNSET if previous_item_id in NO_PREDECESSOR else previous_item_id
        if self.sharing.hides_place(item.id or None, previous, unplaced=unplaced):
            previous = self.sharing.last_missed()
            front, unplaced = previous is None, False
        placement = self.conversation.add(
            item,
            previous,
            clone=not front,
            unplaced=unplaced,
            generated=response is not None,
            response_id=None if response is None else response.id,
        )
        node = placement.node
        node.state = state
        node.idle_timeout = self.committed_item_ids.pop(node.id, False)  # a commit announces one item
        if placement.problem is Misplaced.DUPLICATE_ID:
            self.report("R-C6", event, f"a second item has the id {placement.node.id!r}")
        elif placement.problem is not None:
            self.report("R-C4", event, f"previous_item_id {previous_item_id!r}: {placement.problem.value}")
        if isinstance(item, m.FunctionCallItem):
            self._know_call(item)
        self.trim(event)

    def place_item(self, item_id: str, previous_item_id: str | UnsetType | None, event: m.Event) -> None:
        """The announcement of an item that became a member before it: where it belongs."""
        previous = UNSET if previous_item_id in NO_PREDECESSOR else previous_item_id
        problem = self.conversation.place(item_id, previous)
        if problem is not None:
            self.report("R-C4", event, f"previous_item_id {previous_item_id!r}: {problem.value}")

    def trim(self, event: m.Event) -> None:
        """Keep the conversation within its limits, after whatever made it grow (R-N2)."""
        for evicted in self.conversation.trim():
            self.approval_requests.pop(evicted.id, None)
            self.report("R-N2", event, "the conversation is beyond its limits; the oldest item is forgotten")

    def _know_call(self, item: m.FunctionCallItem) -> None:
        if isinstance(item.call_id, str):
            self.calls[item.call_id] = item.id or ""
            if len(self.calls) > self.config.limits.conversation_items:
                del self.calls[next(iter(self.calls))]

    def is_committed(self, item: m.Item) -> bool:
        """Whether a commit announced this item."""
        return isinstance(item.id, str) and item.id in self.committed_item_ids

    def check_origin(self, item: m.Item, event: m.Event) -> None:
        """Nobody here asked for this item, and no commit announced it (R-I1, R-A1). The server has messages of its own
        to say, as the system."""
        if isinstance(item, m.MessageItem) and any(isinstance(part, m.InputAudio) for part in item.content):
            self.report("R-I1", event, f"audio item {item.id!r} was not committed")
        elif isinstance(item, (m.FunctionCallItem, m.FunctionCallOutputItem)) or (
            isinstance(item, m.MessageItem) and item.role != "system"
        ):
            self.report("R-A1", event, "no conversation.item.create of ours is unanswered")

    def called(self, item: m.FunctionCallItem, *, owed: bool) -> None:
        """A function call is complete; ``owed`` says whether the next reply waits for its output (R-Q11)."""
        if isinstance(item.call_id, str):
            self._know_call(item)
            if owed:
                self.arbiter.called(item.call_id)

    def uncalled(self, item: m.FunctionCallItem) -> None:
        """A function call was deleted: no output can be given to it any more (R-C12)."""
        if isinstance(item.call_id, str):
            self.calls.pop(item.call_id, None)
            self.arbiter.uncalled(item.call_id)

    def finish_text(self, stream: StreamRecord, text: str, event: m.Event) -> None:
        """The whole text of a stream: it replaces the deltas, which said the same (R-P6)."""
        if not stream.response.in_conversation:
            return
        node = self.conversation.get(stream.item_id)
        record = node if node is not None else self.conversation.early(stream.item_id)
        part = None if record is None else record.parts.get(stream.content_index)
        if part is not None and part.text_bytes and part.text != text:
            self.report("R-P6", event, "the whole text is not what its deltas said")
        self.conversation.text_done(stream.item_id, stream.content_index, text)
        self.trim(event)

    def truncated(self, event: m.ConversationItemTruncated) -> None:
        """The server cut an item: what was heard of it stays in our history."""
        key = event.item_id
        if not self.acknowledgements.answered("conversation.item.truncate", event, key=key):
            self.report("R-A1", event, "no conversation.item.truncate of ours is unanswered")
            self.listener.cut_by_server(key, event.content_index, event.audio_end_ms)
        entry = self.playback.get(key, event.content_index)
        audio_ms = entry.format.ms(entry.sent) if entry is not None and entry.sent else None
        self.conversation.truncate(key, event.content_index, event.audio_end_ms, audio_ms)

    def bounded(self, places: dict[str, Place], key: str, initial: str) -> Place:
        """The place of ``key`` in a bounded table of them; a fresh one at first."""
        place = places.get(key)
        if place is None:
            place = places[key] = Place(initial)
            if len(places) > self.config.limits.response_history:
                del places[next(iter(places))]
        return place

    def knows_item(self, item_id: str, *, announced: bool = False) -> bool:
        """Whether a command may name this item: a member, or about to be one, and no delete of ours is under way.

        ``announced``: a response in the conversation has it among its output, whether or not it was said to be a
        member, which some servers leave out.
        """
        output = self.outputs.get(item_id)
        node = self.conversation.get(item_id)
        known = (node is not None and node.held_as != "nothing") or (output is not None and output.state != "detached")
        known = known or (node is None and announced and not self.conversation.is_deleted(item_id))
        for pending in self.acknowledgements.unanswered():
            if pending.key == item_id and pending.type in ("conversation.item.create", "conversation.item.delete"):
                known = pending.type == "conversation.item.create"
        for event in self._waiting():
            if isinstance(event, m.ConversationItemCreate) and event.item.id == item_id:
                known = True
            elif isinstance(event, m.ConversationItemDelete) and event.item_id == item_id:
                known = False
        return known

    def knows_call(self, call_id: str) -> bool:
        """Whether an output may name this call: its item is a member, or about to be one, and not about to be
        deleted by us."""
        item_id = self.calls.get(call_id)
        known = item_id is not None
        for pending in self.acknowledgements.unanswered():
            if pending.key == item_id and pending.type in ("conversation.item.create", "conversation.item.delete"):
                known = item_id is not None and pending.type == "conversation.item.create"
        for event in self._waiting():
            if isinstance(event, m.ConversationItemDelete) and event.item_id == item_id:
                known = False
            elif (
                isinstance(event, m.ConversationItemCreate)
                and isinstance(event.item, m.FunctionCallItem)
                and event.item.call_id == call_id
            ):
                known, item_id = True, event.item.id or ""
        return known

    def _waiting(self) -> Iterator[m.ClientEvent]:
        """The commands that wait for a socket, oldest first."""
        yield from self.renewal.repeated
        yield from self.gap.commands()

    @property
    def takes_no_more_audio(self) -> bool:
        """Translation: whether its end was asked for, or waits to be, or has come (R-X3)."""
        asked = any(isinstance(event, m.SessionClose) for event in self._waiting())
        return asked or self.place.state in _ENDING

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
        self.responses.clear()
        self.finished_responses.clear()
        self._open_in_conversation.clear()
        self.streams.clear()
        self.stream_keys.clear()
        self.speaking = None
        self.outputs.clear()
        self.deliveries.clear()
        for known in (self.mcp_work, self.approval_requests, self.approvals_given):
            known.clear()  # servers are asked anew, and for other items
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


_CREATED = m.ConversationItemCreated.step_type
_UNSEEN = ("awaiting", "closing_unseen")
"""Where the session has not shown itself."""
_ENDING = ("closing_unseen", "closing", "ended")
"""Where a translation was asked to end, or has ended."""
_COMMANDS = frozenset({*m.CLIENT_EVENTS.values(), *CLIENT_VIEWS["ga"].values(), *CLIENT_VIEWS["beta"].values()})
