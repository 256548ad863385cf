"""What arrives: every event is delivered and does its work; here also what is unreadable, mended, unknown or has lost
its body, and what comes out of order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon import messages as m
from antiphon.engine.actions import Deliver
from antiphon.engine.codec import Repaired, Unreadable, as_unknown, convert_server_event
from antiphon.engine.dialects import is_flat
from antiphon.engine.dialects.context import filled
from antiphon.engine.errors import Fault
from antiphon.engine.incoming import members
from antiphon.engine.incoming.handlers import HANDLERS, NEVER_OVERDUE, TRANSLATION_HANDLERS
from antiphon.engine.incoming.item import CONVERSATION_ITEM
from antiphon.engine.incoming.response import RESPONSE
from antiphon.engine.incoming.session import SESSION, UNSEEN
from antiphon.engine.link import LINK, End

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

_CREATED = m.ConversationItemCreated.step_type


def take(
    session: ClientSession, event: m.ServerEvent | m.ClientEvent | m.UnknownEvent | m.Malformed, raw: bytes | str
) -> None:
    """Deliver one decoded event and let it work."""
    if event.type in m.TRANSLATION_EVENTS and not session.translates and not isinstance(event, m.UnknownEvent):
        event = as_unknown(raw)
    session.act(Deliver(event, raw))
    handler = HANDLERS.get(type(event)) or TRANSLATION_HANDLERS.get(type(event))
    if handler is not None:
        check_order(session, event)
        handler(session, event)
    elif isinstance(event, m.Malformed):
        _malformed(session, event)
    elif event.type in m.CLIENT_EVENTS:
        session.report("R-E6", event, f"{event.type} is what a client sends")


def receive_unusual(session: ClientSession, decoded: m.ServerEvent | Unreadable | Repaired, raw: bytes | str) -> None:
    """What did not come through the typed decoder (R-E1 … R-E5), and what only a translation session has."""
    if isinstance(decoded, Unreadable):
        if decoded.kind == "utf8":
            fault = Fault("protocol", "a text message that is not UTF-8", "R-E2")
            session.step(LINK, session.link, "internal.fault", End(1007, "not UTF-8", fault))
        else:
            session.report("R-E3" if decoded.kind == "depth" else "R-E1", None, decoded.detail)
    elif not isinstance(decoded, Repaired):
        take(session, decoded, raw)
    elif decoded.event.type in m.TRANSLATION_EVENTS and not session.translates:
        take(session, m.UnknownEvent.of(decoded.data), raw)
    else:
        if decoded.problems and (whole := filled(decoded.data, session)) is not None:
            again = convert_server_event(whole, session.config.view)
            assert not isinstance(again, Unreadable)  # it was read before, and from deeper in the stack
            decoded = again if isinstance(again, Repaired) else Repaired(again, (), whole)
        event = decoded.event
        if isinstance(event, m.SessionCreated) and session.config.dialect == "auto":
            session.dialect = "beta" if is_flat(decoded.data.get("session")) else "ga"
        take(session, event, raw)
        for problem in decoded.problems:
            session.report("R-E5", event, problem.message, problem.path)


def _malformed(session: ClientSession, event: m.Malformed) -> None:
    """The body is lost, the envelope may still end a response (R-R4), or answer us."""
    if event.type == m.ConversationItemTruncated.type:
        _cut_somewhere(session, event.data.get("item_id"), event.data.get("content_index"))
        return
    if event.type not in ("response.done", "response.cancelled"):
        return
    body = event.data.get("response")
    response_id = body.get("id") if isinstance(body, dict) else None
    record = session.responses.get(response_id) if isinstance(response_id, str) else session.default_response
    if record is not None and record.is_open:
        session.step(RESPONSE, record, "internal.malformed_done", event)


def _cut_somewhere(session: ClientSession, item_id: object, content_index: object) -> None:
    """An item was cut, and it is not said where: there where we asked for it."""
    cut_ms = session.acknowledgements.asked_cut(item_id) if isinstance(item_id, str) else None
    if isinstance(item_id, str) and cut_ms is not None:
        index = content_index if isinstance(content_index, int) else 0
        cut = m.ConversationItemTruncated(item_id=item_id, content_index=index, audio_end_ms=cut_ms)
        HANDLERS[m.ConversationItemTruncated](session, cut)


def check_order(session: ClientSession, event: m.Event | m.UnknownEvent | m.Malformed) -> None:
    """The two rules that any other event may break: the session comes first, an item's end directly follows it."""
    if session.place.state in UNSEEN and not isinstance(event, (m.SessionCreated, m.Error)):
        session.step(SESSION, session.place, "internal.early_event", event)
    overdue = session.overdue_item_id
    if overdue is None or type(event) in NEVER_OVERDUE:
        return
    if isinstance(event, m.ConversationItemDone) and event.item.id == overdue:
        return
    if isinstance(event, m.ConversationItemAdded) and event.item.id == overdue and event.step_type == _CREATED:
        return  # the same by its beta name (R-C9)
    session.overdue_item_id = None
    session.step(CONVERSATION_ITEM, members.find_item(session, overdue), "internal.other_event", event)
