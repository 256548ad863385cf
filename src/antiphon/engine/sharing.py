"""What a client cannot hold against its peer, because it shares the session (R-A3), or came to it late (R-A4).

Over WebRTC and on a sideband a session has more clients than this one, and answers them all. A sideband is also opened
to calls that are under way: then it hears the end of things whose beginning it was not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

_ANSWERS: Final = frozenset({"R-A1", "R-S2", "R-I3", "R-I4"})
"""Rules that an answer to somebody else would break."""

_BEGINNINGS: Final = frozenset({"R-R1", "R-C1", "R-O1", "R-I1", "R-M1"})
"""Rules that something breaks whose beginning was missed, when it is met."""

_REST: Final = _BEGINNINGS | {"R-C2", "R-P1", "R-P2", "R-P3", "R-P4", "R-P5", "R-P6"}
"""Rules that the rest of it may break."""

_MEMBERSHIPS: Final = frozenset({"R-C5", "R-C7", "R-C10"})
"""Rules that news of an older item would break."""


class Sharing:
    """``missed`` are the ids of responses and items that were under way when this sideband came, oldest first."""

    __slots__ = ("_session", "missed")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.missed: dict[str, None] = {}

    def excuses(self, rule: str, event: object) -> bool:
        """Whether ``event`` would not break ``rule`` if this client had been there alone, from the beginning."""
        transport = self._session.config.transport
        if transport == "websocket":
            return False
        if rule in _ANSWERS:
            return True
        if transport != "sideband":
            return False
        if rule in _MEMBERSHIPS:
            return self._is_older(_id_in(event, "item"))
        response_id, item_id = _id_in(event, "response"), _id_in(event, "item")
        if (response_id or item_id) in self.missed:
            if rule in _REST and item_id:
                self._miss(item_id)
            return rule in _REST
        if rule == "R-O1" and response_id in self._session.responses:
            return False  # its delivery may have begun before, but not before itself
        return rule in _BEGINNINGS and self.meet(response_id, item_id)

    # -- the place of items --------------------------------------------------------------------------------------------

    def hides_place(self, item_id: str | None, previous_item_id: object, *, unplaced: bool) -> bool:
        """Whether an item follows one that this client was never told of; ``unplaced``: nobody says what it follows."""
        if unplaced:
            return self.meet(None, item_id)
        return self._session.config.transport == "sideband" and self._is_older(previous_item_id)

    def last_missed(self) -> str | None:
        """What such an item follows of those that are known: it is older than all that were seen from the beginning,
        and those come after what was missed. None: it is the first."""
        last = None
        for node in self._session.conversation:
            if node.id not in self.missed:
                break
            last = node.id
        return last

    def _is_older(self, item_id: object) -> bool:
        """Whether an item may have been a member before this client came."""
        conversation = self._session.conversation
        return (
            isinstance(item_id, str)
            and bool(item_id)
            and conversation.get(item_id) is None
            and not conversation.is_deleted(item_id)
        )

    # -- what was missed -----------------------------------------------------------------------------------------------

    def meet(self, response_id: str | None, item_id: str | None) -> bool:
        """Something is met whose beginning was not told: whether it was missed. The first of its kind that is met may
        have been; after one that was seen from its beginning, nothing was."""
        session, missed = self._session, self.missed
        if session.config.transport != "sideband":
            return False
        about = response_id or item_id
        known = session.responses if response_id else (node.id for node in session.conversation)
        if about is None or not (about in missed or all(each in missed or each == about for each in known)):
            return False
        for each in (response_id, item_id):
            if each:
                self._miss(each)
        return True

    def _miss(self, id: str) -> None:
        self.missed[id] = None
        if len(self.missed) > self._session.config.limits.response_history:
            del self.missed[next(iter(self.missed))]


def _id_in(event: object, name: str) -> str | None:
    """The id of the response or the item that an event is about."""
    told = getattr(event, f"{name}_id", None) or getattr(getattr(event, name, None), "id", None)
    return told if isinstance(told, str) else None
