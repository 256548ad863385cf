"""The link table's functions: what dialling, opening and ending a socket leads to, for both roles.

The rows are in ``spec/machines/link.toml``; a `Session` steps them, a `Connection` (bytes level) asks its session to.
What a row does is said once, here; the engine's own bookkeeping at a socket's end is the role's (`Session._let_go`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from antiphon.engine.actions import Closed, CloseTransport, Connected, Disconnected, OpenTransport
from antiphon.engine.errors import Fault
from antiphon.engine.timers import Timer
from antiphon.machines import build

if TYPE_CHECKING:
    from antiphon.engine.session import Session

MAX_BACKOFF_DOUBLINGS = 5


class End(NamedTuple):
    """How a socket ends, or ended: the close code (None without one), its reason, and the fault if it was one."""

    code: int | None
    reason: str
    fault: Fault | None


class Link:
    """The engine's socket, the one it has now."""

    __slots__ = ("attempt", "end", "generation", "speaks_bytes", "state")

    def __init__(self, *, speaks_bytes: bool) -> None:
        self.state = LINK.initial
        self.generation = 0
        self.attempt = 0
        self.speaks_bytes = speaks_bytes
        self.end: End | None = None


class LinkRules:
    """Guards and effects of the link table."""

    @staticmethod
    def speaks_bytes(link: Link, _engine: Session, _event: object) -> bool:
        return link.speaks_bytes

    @staticmethod
    def may_dial_again(link: Link, engine: Session, _event: object) -> bool:
        return link.attempt < engine.config.dials

    @staticmethod
    def dial(link: Link, engine: Session, _event: object) -> None:
        if link.attempt == 0:
            link.generation += 1
        link.attempt += 1
        engine.timers.arm(Timer.CONNECT, engine.now + engine.config.timers.connect)
        engine.act(OpenTransport(link.generation, link.attempt))

    @staticmethod
    def back_off(link: Link, engine: Session, end: End) -> None:
        engine.timers.stop(Timer.CONNECT)
        pause = engine.config.timers.backoff << min(link.attempt - 1, MAX_BACKOFF_DOUBLINGS)
        retry_at = engine.now + pause
        engine.timers.arm(Timer.BACKOFF, retry_at)
        engine.act(Disconnected(link.generation, end.code, end.reason, end.fault, retry_at))

    @staticmethod
    def abandon_dial(link: Link, engine: Session, end: End) -> None:
        engine.act(CloseTransport(1006, "", abort=True))
        LinkRules.back_off(link, engine, end)

    @staticmethod
    def begin_handshake(link: Link, engine: Session, _event: object) -> None:
        engine.timers.stop(Timer.CONNECT)
        if link.attempt == 0:  # somebody else dialled
            link.generation += 1
        engine.timers.arm(Timer.HANDSHAKE, engine.now + engine.config.timers.handshake)

    @staticmethod
    def announce(link: Link, engine: Session, _event: object) -> None:
        engine.timers.stop(Timer.CONNECT)
        engine.timers.stop(Timer.HANDSHAKE)
        if link.generation == 0:
            link.generation = 1
        link.attempt = 0
        if link.speaks_bytes:
            engine.timers.arm(Timer.PING, engine.now + engine.config.timers.ping)
        engine.act(Connected(link.generation))
        engine.begin_generation()

    @staticmethod
    def ping(_link: Link, engine: Session, _event: object) -> None:
        engine.timers.arm(Timer.PONG, engine.now + engine.config.timers.pong)

    @staticmethod
    def begin_close(link: Link, engine: Session, end: End) -> None:
        link.end = end
        LinkRules._close(engine, end.code or 1000, end.reason)

    @staticmethod
    def answer_close(link: Link, engine: Session, end: End) -> None:
        link.end = end
        LinkRules._close(engine, end.code if end.code is not None else 1005, "")

    @staticmethod
    def fail(link: Link, engine: Session, end: End) -> None:
        link.end = end
        LinkRules._close(engine, end.code or 1002, end.reason)

    @staticmethod
    def _close(engine: Session, code: int, reason: str) -> None:
        engine.timers.clear()
        engine.timers.arm(Timer.CLOSE, engine.now + engine.config.timers.close)
        engine.act(CloseTransport(code, reason))

    @staticmethod
    def forget_socket(link: Link, engine: Session, _event: object) -> None:
        link.end = None
        link.attempt = 0
        engine.timers.clear()
        engine.let_go()
        engine.end_generation()

    @staticmethod
    def finish(link: Link, engine: Session, end: End) -> None:
        LinkRules._finish(link, engine, link.end or end)

    @staticmethod
    def finish_timeout(link: Link, engine: Session, end: End) -> None:
        engine.act(CloseTransport(1006, "", abort=True))
        LinkRules._finish(link, engine, link.end or end)

    @staticmethod
    def _finish(link: Link, engine: Session, end: End) -> None:
        engine.timers.clear()
        engine.let_go()
        if link.generation:
            engine.act(Disconnected(link.generation, end.code, end.reason, end.fault, None))
        closed = Closed(end.code if end.code is not None else 1006, end.reason, end.fault)
        engine.closed = closed
        engine.act(closed)


LINK = build("link", LinkRules)
