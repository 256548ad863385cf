"""The rules of the response's table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine import known
from antiphon.engine.incoming import members
from antiphon.engine.incoming.item import CONVERSATION_ITEM
from antiphon.engine.incoming.part import CONTENT_PART
from antiphon.engine.listener import output_format
from antiphon.engine.records import OutputRecord, ResponseRecord
from antiphon.engine.request import is_tagged
from antiphon.engine.usage import Usage
from antiphon.machines import build

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession


def _status(event: m.ResponseDone) -> str | None:
    status = event.response.status
    return status if isinstance(status, str) else None


_CUT_SHORT = frozenset({"cancelled", "incomplete", "failed"})
"""How a response ends whose calls nobody has to answer: the talk goes on without them (R-Q11)."""


class ResponseRules:
    """Guards and effects of the response table, client side."""

    @staticmethod
    def place_is_free(record: ResponseRecord, session: ClientSession, _event: object) -> bool:
        return not record.in_conversation or session.default_response is None

    @staticmethod
    def is_completed(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "completed"

    @staticmethod
    def is_cancelled(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "cancelled"

    @staticmethod
    def is_incomplete(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "incomplete"

    @staticmethod
    def is_failed(_record: ResponseRecord, _session: ClientSession, event: m.ResponseDone) -> bool:
        return _status(event) == "failed"

    @staticmethod
    def begin(record: ResponseRecord, session: ClientSession, event: m.ResponseCreated | m.ResponseDone) -> None:
        session.registry.open(record)
        record.format = output_format(event.response) or session.listener.format
        request = session.arbiter.created(event.response, in_conversation=record.in_conversation)
        if request is not None:
            record.event_id = request.event_id
            if is_tagged(event.response):  # matched by order alone, it may be what voice detection began
                session.acknowledgements.overtake(request.sequence, event, command="response.create")

    @staticmethod
    def begin_unannounced(record: ResponseRecord, session: ClientSession, _event: object) -> None:
        record.claim = "inferred"
        session.registry.open(record)
        record.format = session.listener.format

    @staticmethod
    def cancel(_record: ResponseRecord, _session: ClientSession, _event: object) -> None:
        """Nothing is dropped: what was under way may still come, and the ledger decides what is heard."""

    @staticmethod
    def finish(record: ResponseRecord, session: ClientSession, event: m.ResponseDone) -> None:
        record.status = _status(event)
        _close_children(record, session, event)
        if record.in_conversation:
            for call in _calls_of(record, session, event.response.output or ()):
                known.called(session, call, owed=record.status not in _CUT_SHORT)
        told = Usage.of(event.response.usage)
        record.usage = Usage.of(event.usage) if told.unknown else told  # one vendor tells it beside the response
        session.usage += record.usage
        session.registry.close(record, event)

    @staticmethod
    def finish_unannounced(record: ResponseRecord, session: ClientSession, event: m.ResponseDone) -> None:
        ResponseRules.begin(record, session, event)
        session.sharing.meet(record.id, None)  # before its items are looked at
        ResponseRules.finish(record, session, event)

    @staticmethod
    def finish_malformed(record: ResponseRecord, session: ClientSession, event: object) -> None:
        _close_children(record, session, event)
        record.usage = Usage.of(None)
        session.usage += record.usage
        session.registry.close(record, record.id)

    @staticmethod
    def lost(record: ResponseRecord, session: ClientSession, _event: object) -> None:
        for stream in record.streams.values():
            session.step(CONTENT_PART, stream, "internal.lost", None)
        for item_id in record.item_ids:
            item = members.find_item(session, item_id)
            if item.state != "absent":
                session.step(CONVERSATION_ITEM, item, "internal.lost", None)
        session.registry.close(record, None)


RESPONSE = build("response", ResponseRules, role="client")


def _calls_of(record: ResponseRecord, session: ClientSession, output: Sequence[m.Item]) -> Iterator[m.FunctionCallItem]:
    """The completed calls of a response: those that its end lists, but for deleted ones (R-C7), and those that it
    leaves out although they were completed before (R-Q11; some servers list nothing)."""
    for item in output:
        if (
            isinstance(item, m.FunctionCallItem)
            and item.status in ("completed", UNSET)
            and not session.conversation.is_deleted(item.id or "")
        ):
            yield item
    listed = {item.id for item in output}
    for item_id in record.item_ids:
        node = None if item_id in listed else session.conversation.get(item_id)
        if node is not None and isinstance(node.item, m.FunctionCallItem) and node.status == "completed":
            yield node.item


def _close_children(record: ResponseRecord, session: ClientSession, event: object) -> None:
    for stream in record.streams.values():
        session.step(CONTENT_PART, stream, "internal.response_done", event)
    for item_id in record.item_ids:
        item = members.find_item(session, item_id)
        if item.state != "absent":
            session.step(CONVERSATION_ITEM, item, "internal.response_done", event)
    if not record.in_conversation or not isinstance(event, m.ResponseDone):
        return
    if record.item_ids and record.id in session.sharing.missed:
        return  # the others are older than what is known, as all that was said before (R-A4)
    for output in event.response.output or ():
        if isinstance(output.id, str) and output.id and output.id not in record.item_ids:
            item = members.find_item(session, output.id)  # which was never announced as output
            if isinstance(item, OutputRecord) and item.response is None:
                item.response = record
            session.step(CONVERSATION_ITEM, item, "internal.response_done", event)
