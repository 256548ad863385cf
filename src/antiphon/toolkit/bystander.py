"""A session that only listens, for tools that are given the events of a server and no engine.

It reads them as a client's engine does, so that nobody has to know twice what they mean; what it would do about them
is not done.
"""

from __future__ import annotations

from typing import TypeAlias, cast

from antiphon import messages as m
from antiphon.engine.actions import Action, Actions, Deliver
from antiphon.engine.client import ClientSession
from antiphon.engine.config import RenewalPolicy, Role, SessionConfig
from antiphon.engine.timers import Instant
from antiphon.messages.beta import View

__all__ = ["AnyEvent", "Said", "as_action", "bystander", "hear"]

AnyEvent: TypeAlias = m.ServerEvent | m.ClientEvent | m.UnknownEvent | m.Malformed

Said: TypeAlias = Action | AnyEvent | str | bytes
"""What a tool is fed with: what a session did, an event, or the JSON text of one."""

_TEXT = (str, bytes)  # made once: a union is made anew wherever it is written


def bystander(view: View = "ga") -> ClientSession:
    """A client's session that is open, and that asks for nothing."""
    renewal = RenewalPolicy(reconnect=False, renew=False)
    session = ClientSession(Role.CLIENT, SessionConfig(view=view, on_speech="ignore", renewal=renewal), now=0)
    session.opened(0)
    return session


def hear(session: ClientSession, thing: Said, now: Instant | None = None) -> Actions:
    """What ``session`` makes of ``thing``: of an event, or of its text; of the action of another, what it delivers.

    ``now``: ns, not before that of an earlier call; None is the instant of that call.
    """
    at = session.now if now is None else now
    if isinstance(thing, _TEXT):
        return session.receive_message(thing, at)
    action = as_action(thing)
    return session.receive_event(cast(m.ServerEvent, action.event), at) if isinstance(action, Deliver) else ()


def as_action(thing: Said) -> Action:
    """An event as the action that delivers it; an action as it is."""
    if type(thing) is Deliver:
        return thing
    if isinstance(thing, str | bytes):
        raise TypeError("JSON text is for a tool that listens by itself; one that follows a session takes its actions")
    return thing if isinstance(thing, Action) else Deliver(thing, b"")
