"""The renewal of a client's session: when, and what the next session is told (R-N1, R-N5, R-N6).

The moments are rows of ``spec/machines/renewal.toml``; what becomes of the sockets is the link's. Here is what lies
between two sessions: the configuration that the application had asked for, the history (see ``replay.py``), and the
commands that nobody has answered.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, structs

from antiphon import messages as m
from antiphon.engine import known
from antiphon.engine.acknowledgements import Pending
from antiphon.engine.actions import Deliver
from antiphon.engine.blame import Blame
from antiphon.engine.codec import command_from_text, encode_text, session_from_builtins, to_builtins
from antiphon.engine.conversation import ROOT, Node
from antiphon.engine.errors import Fault
from antiphon.engine.link import LINK, End
from antiphon.engine.replay import (
    EVENT_ID,
    Replay,
    ReplayState,
    call_of,
    is_missed,
    item_of,
    make_portable,
    missed_parts,
    portable,
)
from antiphon.engine.settings import merged
from antiphon.engine.timers import Instant, Timer
from antiphon.machines import build

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

_NS = 1_000_000_000
_LAST_PART = 6  # of the margin, one such part is left to the server's clock

ItemEvent = m.ConversationItemAdded | m.ConversationItemDone | m.ConversationItemCreated | m.ConversationItemRetrieved


class RenewalRules:
    """Guards and effects of the renewal table."""

    @staticmethod
    def expiry_is_known(renewal: Renewal, _session: ClientSession, _event: object) -> bool:
        return renewal.is_plannable

    @staticmethod
    def is_quiet(renewal: Renewal, _session: ClientSession, _event: object) -> bool:
        return renewal.is_quiet

    @staticmethod
    def plan(renewal: Renewal, session: ClientSession, _event: object) -> None:
        assert renewal.expires_at is not None  # whoever steps this row has seen to it
        session.timers.stop(Timer.QUIET)
        session.timers.arm(Timer.RENEWAL, renewal.expires_at - session.config.timers.renewal)

    @staticmethod
    def watch(renewal: Renewal, session: ClientSession, _event: object) -> None:
        assert renewal.expires_at is not None  # it was planned
        session.timers.arm(Timer.RENEWAL, renewal.expires_at - session.config.timers.renewal // _LAST_PART)
        session.timers.arm(Timer.QUIET, session.now + session.config.timers.quiet)

    @staticmethod
    def look_again(_renewal: Renewal, session: ClientSession, _event: object) -> None:
        session.timers.arm(Timer.QUIET, session.now + session.config.timers.quiet)

    @staticmethod
    def break_off(_renewal: Renewal, session: ClientSession, _event: object) -> None:
        session.step(LINK, session.link, "internal.renew", End(1000, "renewal", None))

    @staticmethod
    def break_off_expired(_renewal: Renewal, session: ClientSession, _event: object) -> None:
        fault = Fault("session", "the session expired", "R-S4", code="session_expired")
        session.step(LINK, session.link, "internal.renew", End(1000, "session_expired", fault))

    @staticmethod
    def forget(renewal: Renewal, _session: ClientSession, _event: object) -> None:
        renewal.replay.forget()
        renewal.expires_at = renewal.unix_offset = renewal.update_id = None

    @staticmethod
    def rest(_renewal: Renewal, session: ClientSession, _event: object) -> None:
        session.timers.stop(Timer.RENEWAL)

    @staticmethod
    def give_up(renewal: Renewal, session: ClientSession, _event: object) -> None:
        missing = renewal.replay.give_up()
        session.report(
            "R-N5", None, f"{missing} items of the history were not echoed within arbiter.request_timeout_ns"
        )
        if renewal.is_plannable:
            RenewalRules.plan(renewal, session, None)


RENEWAL = build("renewal", RenewalRules, role="client")


class Renewal:
    """What one client session keeps for the next.

    ``wishes`` is the configuration that the application asked for and the server accepted, as JSON; ``repeated`` are
    the commands that the old session did not answer; ``expires_at`` is the session's end on our clock.
    """

    __slots__ = ("_session", "expires_at", "repeated", "replay", "state", "unix_offset", "update_id", "wishes")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.state = RENEWAL.initial
        self.expires_at: Instant | None = None
        self.unix_offset: int | None = None
        self.wishes: dict[str, object] | None = None
        self.update_id: str | None = None
        self.repeated: list[m.ClientEvent] = []
        self.replay = Replay()

    # -- when ----------------------------------------------------------------------------------------------------------

    def opened(self, unix_ns: int | None) -> None:
        """A socket opens at this wall time."""
        self.unix_offset = None if unix_ns is None else unix_ns - self._session.now

    def announced(self, event: m.SessionCreated | m.SessionUpdated) -> None:
        """A session says what it is."""
        session = self._session
        if isinstance(event, m.SessionCreated):
            session.link.shown_at = session.now if session.link.shown_at is None else session.link.shown_at
        else:
            self.update_id = None
        expires_at = event.session.expires_at
        if not isinstance(expires_at, int) or self.unix_offset is None:
            return
        instant = expires_at * _NS - self.unix_offset
        # A session that is shorter than two margins would be renewed all the time; it is when it has expired.
        if instant != self.expires_at and instant - session.now >= 2 * session.config.timers.renewal:
            self.expires_at = instant
            if self.is_plannable:
                session.step(RENEWAL, self, "internal.expiry_known", None)

    @property
    def is_plannable(self) -> bool:
        """Whether a renewal can be set for a moment to come."""
        session = self._session
        return (
            self.expires_at is not None
            and self.expires_at - session.config.timers.renewal > session.now
            and session.config.renewal.renew
            and session.may_reconnect
        )

    @property
    def is_quiet(self) -> bool:
        """Whether a break would interrupt nobody."""
        session = self._session
        arbiter = session.arbiter
        is_holding = (
            session.detection is None and session.input_audio.uncommitted_ms > 0
        )  # the key that is held to talk
        return not (
            arbiter.active
            or arbiter.sent
            or any(record.is_open for record in session.responses.values())
            or session.detector.state != "idle"
            or is_holding
            or session.playback.unheard()
            or session.acknowledgements.unanswered()
        )

    def fire(self, timer: Timer) -> None:
        """One of the two timers of the table is due."""
        self._session.step(RENEWAL, self, f"timer.{timer.value}", None)

    def expired(self) -> bool:
        """The server said `session_expired`: whether another session follows."""
        session = self._session
        if not session.may_reconnect or session.link.attempts(session) >= session.config.renewal.dials:
            return False
        session.step(RENEWAL, self, "internal.expired", None)
        return True

    # -- between two sessions ------------------------------------------------------------------------------------------

    def keep_unanswered(self) -> None:
        """The socket is gone: keep what another session can be asked for (R-N6). The oldest go beyond the bound."""
        session = self._session
        for pending in session.acknowledgements.unanswered():
            if not pending.text or pending.event_id == self.update_id:
                continue
            event = command_from_text(pending.text)
            if isinstance(event, m.ConversationItemTruncate):
                self._cut_history(event.item_id, event.content_index, event.audio_end_ms)
            else:
                self.repeated.append(event)
        while len(self.repeated) > session.config.limits.queued_commands:
            lost = self.repeated.pop(0)
            session.report("R-N6", lost, "too many commands are unanswered; the oldest is forgotten")

    def end_session(self) -> None:
        """Make the history what another session can be told; everything else about the old one is forgotten."""
        session = self._session
        if self._keeps_history:
            session.conversation.renew(make_portable)
            known = session.conversation if self._gives_history else ()
            session.calls = {call_id: node.id for node in known if (call_id := call_of(node)) is not None}
            for node in session.conversation:
                given = self._gives_history and item_of(node, session.calls) is not None
                node.held_as = "text" if given else "nothing"
        else:
            session.conversation.clear()
            session.calls = {}
            self.repeated.clear()
        session.step(RENEWAL, self, "internal.lost", None)

    @property
    def _keeps_history(self) -> bool:
        """Whether there is a history after a session; else the next one, and the conversation, begin empty."""
        config = self._session.config
        return config.renewal.replay and config.transport == "websocket"

    @property
    def _began_empty(self) -> bool:
        """Whether what an earlier session had is gone."""
        return self._session.link.generation > 1 and not self._keeps_history

    @property
    def _gives_history(self) -> bool:
        """Whether the session answers to a conversation; one that transcribes or translates has no use for it."""
        return isinstance(self._session.configuration, m.RealtimeSession | None)

    def begin_session(self) -> None:
        """A socket is open: tell the new session what it has to know, then ask again what was not answered."""
        session = self._session
        if self.state != "renewing":
            return
        prefix = f"{EVENT_ID}_{session.link.generation}"
        if self.wishes is not None:
            self.update_id = f"{prefix}_update"
            session.repeat(m.SessionUpdate(event_id=self.update_id, session=session_from_builtins(self.wishes)))
        for node in session.conversation:
            if self._gives_history and node.held_as == "nothing" and is_missed(node):
                session.report("R-N5", node.item, f"item {node.id!r} cannot be given to a new session")
            elif self._gives_history and node.held_as == "text":
                for index in missed_parts(node):
                    what = f"part {index} of item {node.id!r} cannot be given to a new session"
                    session.report("R-N5", node.item, what, f"$.content[{index}]")
        for command in self.replay.commands(session.conversation, session.calls, prefix):
            session.transmit(session.written(command))
        if self.replay.expected:
            session.timers.arm(Timer.RENEWAL, session.now + session.config.arbiter.request_timeout_ns)
        else:
            session.step(RENEWAL, self, "internal.replayed", None)
        repeated, self.repeated = self.repeated, []
        for event in repeated:
            fitted = self.fitted(event)
            if fitted is not None:
                session.repeat(fitted)

    def fitted(self, event: m.ClientEvent) -> m.ClientEvent | None:
        """A command that was meant for an earlier session, as this one can take it; None when it cannot, or when it is
        carried out here."""
        session = self._session
        if isinstance(event, m.ConversationItemDelete | m.ConversationItemRetrieve | m.ConversationItemTruncate):
            if self._may_name(event.item_id):
                return event
            if isinstance(event, m.ConversationItemDelete) and session.conversation.get(event.item_id) is not None:
                session.conversation.delete(event.item_id)
                return None
        elif isinstance(event, m.ConversationItemCreate):
            item, previous = event.item, event.previous_item_id
            if self._is_wanted(item):
                if not isinstance(previous, str) or previous in ("", ROOT) or known.knows_item(session, previous):
                    return event
                before = session.conversation.get(previous)
                if before is not None:
                    return structs.replace(event, previous_item_id=self._place_of(before))
                return structs.replace(event, previous_item_id=UNSET) if self._began_empty else event
        else:
            return event
        session.report("R-N6", event, f"what {event.type} names is not in the new session")
        return None

    def _may_name(self, item_id: str) -> bool:
        """Whether this session has an item, or may have one that we know nothing of."""
        session = self._session
        return known.knows_item(session, item_id) or (
            not self._began_empty and session.conversation.get(item_id) is None
        )

    def _is_wanted(self, item: m.Item) -> bool:
        """Whether what an item answers, if it does, is here: the call of an output, the request of an approval."""
        if isinstance(item, m.FunctionCallOutputItem):
            return known.knows_call(self._session, item.call_id)
        return not isinstance(item, m.McpApprovalResponseItem) or self._may_name(item.approval_request_id)

    # -- what a later session has of an earlier one's items ------------------------------------------------------------

    def named(self, event: m.ClientEvent) -> m.ClientEvent:
        """``event`` with the names that items and calls of earlier sessions go by now."""
        if isinstance(event, m.ConversationItemDelete | m.ConversationItemRetrieve | m.ConversationItemTruncate):
            name = self.name_of(event.item_id)
            return event if name == event.item_id else structs.replace(event, item_id=name)
        if isinstance(event, m.ConversationItemCreate):
            previous = event.previous_item_id
            if isinstance(previous, str) and (name := self.name_of(previous)) != previous:
                event = structs.replace(event, previous_item_id=name)
            item = event.item
            if isinstance(item, m.FunctionCallOutputItem) and item.call_id not in self._session.calls:
                name = portable(item.call_id, "call")
                if name != item.call_id and name in self._session.calls:
                    event = structs.replace(event, item=structs.replace(item, call_id=name))
        elif isinstance(event, m.ResponseCreate) and event.response and event.response.input:
            read = [self._named_reference(item) for item in event.response.input]
            event = structs.replace(event, response=structs.replace(event.response, input=read))
        return event

    def _named_reference(self, item: m.Item) -> m.Item:
        if not isinstance(item, m.ItemReference) or not isinstance(item.id, str):
            return item
        return structs.replace(item, id=self.name_of(item.id))

    def name_of(self, item_id: str) -> str:
        """The id that an item has now, which may have been too long for another session (R-C11)."""
        conversation = self._session.conversation
        if not item_id or conversation.get(item_id) is not None:
            return item_id
        name = portable(item_id, "item")
        return item_id if conversation.get(name) is None else name

    def _place_of(self, node: Node) -> str:
        """The ``previous_item_id`` that puts something in the place of ``node``: the nearest item before it that a
        command may name, so none of which a delete is under way."""
        before = [each.id for each in takewhile(lambda each: each is not node, self._session.conversation)]
        return next((name for name in reversed(before) if known.knows_item(self._session, name)), ROOT)

    def cut(self, node: Node, content_index: int, audio_end_ms: int, audio_ms: int | None) -> None:
        """Audio of an earlier session was cut: in the history, and in the text that this session was given of it."""
        session = self._session
        before = node.text
        session.conversation.truncate(node.id, content_index, audio_end_ms, audio_ms)
        if session.link.state != "open" or node.held_as != "text" or node.text == before:
            return
        if not known.knows_item(session, node.id):
            return  # it is about to be deleted
        item = item_of(node, session.calls)
        previous = self._place_of(node)
        session.command(m.ConversationItemDelete(item_id=node.id))
        if item is not None:
            session.command(m.ConversationItemCreate(item=item, previous_item_id=previous))

    def cut_by_application(self, event: m.ConversationItemTruncate) -> bool:
        """The application truncates an item whose audio no session has any more: whether it is one."""
        node = self._session.conversation.get(event.item_id)
        if node is None or node.held_as != "text":
            return False
        self.cut(node, event.content_index, event.audio_end_ms, self._audio_ms(event.item_id, event.content_index))
        return True

    def _cut_history(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        self._session.conversation.truncate(
            item_id, content_index, audio_end_ms, self._audio_ms(item_id, content_index)
        )

    def _audio_ms(self, item_id: str, content_index: int) -> int | None:
        entry = self._session.playback.get(item_id, content_index)
        return entry.format.ms(entry.sent) if entry is not None and entry.sent else None

    # -- answers -------------------------------------------------------------------------------------------------------

    @property
    def is_configuring(self) -> bool:
        """Whether the wishes of the application are on their way to a new session."""
        return self.update_id is not None

    def accepted(self, pending: Pending, event: m.SessionUpdated) -> None:
        """An update was accepted: what it asked for is wished of the next session too."""
        if pending.event_id == self.update_id:
            self._withhold(event)
        elif pending.text:
            update = command_from_text(pending.text)
            assert isinstance(update, m.SessionUpdate)  # the event answers those alone
            wish = to_builtins(update.session)
            self.wishes = wish if self.wishes is None else merged(self.wishes, wish)

    def is_echo(self, event: ItemEvent) -> bool:
        """Whether an item event is an echo of the replay; then it is no news, and settled here."""
        replay = self.replay
        if not replay.expected and not replay.ending:
            return False
        item_id = event.item.id
        assert isinstance(item_id, str)  # events without are reported before
        if isinstance(event, m.ConversationItemDone):
            if item_id not in replay.ending:
                return False
            del replay.ending[item_id]
        elif isinstance(event, m.ConversationItemRetrieved):
            return False
        else:
            lost = replay.take(item_id)
            if lost is None and item_id not in replay.ending:
                return False
            replay.ending[item_id] = None
            if lost is not None:
                for echo in lost:
                    self._missed(echo.item_id, "was not echoed")
                self._look_whether_replayed()
        self._withhold(event)
        return True

    def rejected(self, cause: Blame, event: m.Error) -> bool:
        """Whether an error is the answer to something of the replay; then it is a report, and no news."""
        session = self._session
        if self.update_id is not None and (
            cause.event_id == self.update_id or (cause.event_id is None and cause.command == "session.update")
        ):
            session.acknowledgements.rejected(self.update_id, None)
            self.update_id = None
            session.take_formats()
            session.report("R-N5", event, f"the new session refuses its configuration ({cause.code})")
        else:
            echo = self.replay.refused(cause.event_id, by_order=cause.command == "conversation.item.create")
            if echo is None:
                return False
            self._missed(echo.item_id, f"was refused ({cause.code})")
            self._look_whether_replayed()
        self._withhold(event)
        return True

    def _missed(self, item_id: str, why: str) -> None:
        session = self._session
        node = session.conversation.get(item_id)
        if node is not None:
            node.held_as = "nothing"
            call_id = call_of(node)
            if call_id is not None:
                session.calls.pop(call_id, None)
        session.report("R-N5", None if node is None else node.item, f"item {item_id!r} {why}")

    def _look_whether_replayed(self) -> None:
        if not self.replay.expected:
            self._session.step(RENEWAL, self, "internal.replayed", None)

    def _withhold(self, event: m.Event) -> None:
        """``event``, which has just been delivered, is no news."""
        out = self._session.out
        del out[next(i for i, action in enumerate(out) if isinstance(action, Deliver) and action.event is event)]

    # -- snapshot ------------------------------------------------------------------------------------------------------

    def dump(self, now: Instant) -> RenewalState:
        return RenewalState(
            self.state,
            None if self.expires_at is None else self.expires_at - now,
            None if self.unix_offset is None else self.unix_offset + now,
            self.wishes,
            self.update_id,
            [encode_text(event) for event in self.repeated],
            self.replay.dump(),
        )

    def load(self, state: RenewalState, now: Instant) -> None:
        self.state = state.state
        self.expires_at = None if state.expires_in is None else now + state.expires_in
        self.unix_offset = None if state.unix_ns is None else state.unix_ns - now
        self.wishes = state.wishes
        self.update_id = state.update_id
        self.repeated = [command_from_text(text) for text in state.repeated]
        self.replay.load(state.replay)


class RenewalState(Struct, frozen=True):
    """A `Renewal` in a snapshot; ``repeated`` is JSON text, times are ns from the moment of the snapshot, ``unix_ns``
    is that moment."""

    state: str
    expires_in: int | None
    unix_ns: int | None
    wishes: dict[str, object] | None
    update_id: str | None
    repeated: list[str]
    replay: ReplayState
