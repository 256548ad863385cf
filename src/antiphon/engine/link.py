"""The link table's functions: what dialling, opening and ending a socket leads to, for both roles.

The rows are in ``spec/machines/link.toml``; a `Session` steps them, a `Connection` (bytes level) asks its session to.
What a row does is said once, here; the engine's own bookkeeping at a socket's end is the role's (`Session.let_go`,
`Session.end_generation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from antiphon.engine.actions import Closed, CloseTransport, Connected, Disconnected, OpenTransport
from antiphon.engine.errors import Fault
from antiphon.engine.timers import Instant, Timer
from antiphon.machines import ERRORS, build

if TYPE_CHECKING:
    from antiphon.engine.session import Session

FATAL_CODES = frozenset(error.code for error in ERRORS.values() if error.fatal and error.code)
"""The codes after which a session, or every session of these credentials, is over (R-S4)."""

_RETRIED_CLOSE_CODES = frozenset({None, 1001, 1005, 1006, 1011, 1012, 1013, 1015})
_RETRIED_STATUSES = frozenset({408, 425, 429})


class End(NamedTuple):
    """How a socket ends, or ended: the close code (None without one), its reason, and the fault if it was one."""

    code: int | None
    reason: str
    fault: Fault | None


class Link:
    """The engine's socket, the one it has now.

    ``attempt`` counts the dials since the last proven session: a session counts as proven ``backoff_cap`` after
    ``shown_at``, when it was announced (`Link.attempts`); ``opened_generation`` is the number of the last socket that
    opened (0: none did); ``dials`` tells an engine that dials by itself from one that is given its socket;
    ``end`` is how a socket is ending; ``asked`` that the application wants the end of it all.
    """

    __slots__ = (
        "asked",
        "attempt",
        "dials",
        "end",
        "generation",
        "opened_generation",
        "shown_at",
        "speaks_bytes",
        "state",
    )

    def __init__(self, *, speaks_bytes: bool) -> None:
        self.state = LINK.initial
        self.generation = 0
        self.opened_generation = 0
        self.attempt = 0
        self.dials = False
        self.speaks_bytes = speaks_bytes
        self.end: End | None = None
        self.asked = False
        self.shown_at: Instant | None = None

    def attempts(self, engine: Session) -> int:
        """The dials that count against those that policy allows. A server that greets and fails, again and again, is
        not begun with anew each time: the session has to last as long as the longest pause."""
        if self.shown_at is not None and engine.now - self.shown_at >= engine.config.renewal.backoff_cap:
            return 0
        return self.attempt


class LinkRules:
    """Guards and effects of the link table."""

    @staticmethod
    def speaks_bytes(link: Link, _engine: Session, _event: object) -> bool:
        return link.speaks_bytes

    @staticmethod
    def may_dial_again(link: Link, engine: Session, end: End) -> bool:
        fault = end.fault
        if not link.dials:
            return False  # somebody else opens its sockets
        if fault is not None and (fault.code in FATAL_CODES or is_final(fault.status)):
            return False
        if not link.opened_generation:
            return link.attempt < engine.config.dials
        return (
            end.code in _RETRIED_CLOSE_CODES
            and engine.may_reconnect
            and link.attempts(engine) < engine.config.renewal.dials
        )

    @staticmethod
    def had_another(link: Link, _engine: Session, _event: object) -> bool:
        return bool(link.opened_generation)  # it is that socket's end, told late

    @staticmethod
    def is_renewal(link: Link, _engine: Session, _event: object) -> bool:
        return link.end is not None and link.end.fault is None and link.end.code == 1000

    @staticmethod
    def dial(link: Link, engine: Session, _event: object) -> None:
        link.dials = True
        LinkRules._next_generation(link)
        link.attempt += 1
        engine.timers.arm(Timer.CONNECT, engine.now + engine.config.timers.connect)
        engine.act(OpenTransport(link.generation, link.attempt))

    @staticmethod
    def _next_generation(link: Link) -> None:
        """The number of the next socket; that of the last as long as it did not open."""
        if link.generation == link.opened_generation:
            link.generation += 1

    @staticmethod
    def back_off(link: Link, engine: Session, end: End) -> None:
        engine.timers.stop(Timer.CONNECT)
        engine.timers.stop(Timer.HANDSHAKE)
        retry_at = engine.now + LinkRules._pause(link, engine)
        engine.timers.arm(Timer.BACKOFF, retry_at)
        engine.act(Disconnected(link.generation, end.code, end.reason, end.fault, retry_at))

    @staticmethod
    def _pause(link: Link, engine: Session) -> int:
        policy = engine.config.renewal
        first = engine.config.timers.backoff
        cap = max(policy.backoff_cap, first)
        doublings = min(max(link.attempt - 1, 0), cap.bit_length())  # beyond which the cap holds whatever is doubled
        pause = min(first << doublings, cap)
        if engine.entropy is None or not policy.jitter:
            return pause
        share = int.from_bytes(engine.entropy(2), "big")
        return max(1, pause - (pause * policy.jitter * share // (100 << 16)))

    @staticmethod
    def abandon_dial(link: Link, engine: Session, end: End) -> None:
        engine.act(CloseTransport(1006, "", abort=True))
        LinkRules.back_off(link, engine, end)

    @staticmethod
    def begin_handshake(link: Link, engine: Session, _event: object) -> None:
        engine.timers.stop(Timer.CONNECT)
        LinkRules._next_generation(link)
        engine.timers.arm(Timer.HANDSHAKE, engine.now + engine.config.timers.handshake)

    @staticmethod
    def announce(link: Link, engine: Session, _event: object) -> None:
        engine.timers.stop(Timer.CONNECT)
        engine.timers.stop(Timer.HANDSHAKE)
        LinkRules._next_generation(link)
        link.opened_generation = link.generation
        if link.speaks_bytes:
            engine.timers.arm(Timer.PING, engine.now + engine.config.timers.ping)
        engine.act(Connected(link.generation))
        engine.begin_generation()

    @staticmethod
    def ping(_link: Link, engine: Session, _event: object) -> None:
        engine.timers.arm(Timer.PONG, engine.now + engine.config.timers.pong)

    # -- the end of a socket that another follows ----------------------------------------------------------------------

    @staticmethod
    def break_off(link: Link, engine: Session, end: End) -> None:
        link.end = end
        LinkRules._close(engine, end.code or 1000, end.reason)

    @staticmethod
    def part(link: Link, engine: Session, end: End) -> None:
        end = LinkRules._lose(link, engine, end)
        LinkRules.back_off(link, engine, end)

    @staticmethod
    def abort_and_part(link: Link, engine: Session, end: End) -> None:
        engine.act(CloseTransport(1006, "", abort=True))
        LinkRules.part(link, engine, end)

    @staticmethod
    def renew(link: Link, engine: Session, end: End) -> None:
        end = LinkRules._lose(link, engine, end)
        engine.act(Disconnected(link.generation, end.code, end.reason, end.fault, engine.now))
        LinkRules.dial(link, engine, None)

    @staticmethod
    def abort_and_renew(link: Link, engine: Session, end: End) -> None:
        engine.act(CloseTransport(1006, "", abort=True))
        LinkRules.renew(link, engine, end)

    @staticmethod
    def _lose(link: Link, engine: Session, end: End) -> End:
        """Settle what ends with the socket, and forget its session. What began the end is how it ended."""
        end = link.end or end
        link.end = None
        link.attempt = link.attempts(engine)
        link.shown_at = None
        engine.timers.clear()
        engine.let_go()
        engine.end_generation()
        return end

    # -- the end of the engine -----------------------------------------------------------------------------------------

    @staticmethod
    def begin_close(link: Link, engine: Session, end: End) -> None:
        link.end = end
        link.asked = True
        LinkRules._close(engine, end.code or 1000, end.reason)

    @staticmethod
    def close_after_all(link: Link, _engine: Session, end: End) -> None:
        link.end = end  # the closing handshake is under way, and so is its deadline
        link.asked = True

    @staticmethod
    def answer_close(link: Link, engine: Session, end: End) -> None:
        link.end = end
        LinkRules._close(engine, end.code if end.code is not None else 1005, "")

    @staticmethod
    def fail(link: Link, engine: Session, end: End) -> None:
        link.end = end
        LinkRules._close(engine, end.code or 1002, end.reason)

    @staticmethod
    def close_unended(link: Link, engine: Session, _event: object) -> None:
        LinkRules.fail(link, engine, engine.end_of_socket(1000, ""))

    @staticmethod
    def _close(engine: Session, code: int, reason: str) -> None:
        engine.timers.clear()
        engine.timers.arm(Timer.CLOSE, engine.now + engine.config.timers.close)
        engine.act(CloseTransport(code, reason))

    @staticmethod
    def forget_socket(link: Link, engine: Session, _event: object) -> None:
        link.attempt = 0
        link.asked = False
        LinkRules._lose(link, engine, End(None, "", None))

    @staticmethod
    def finish(link: Link, engine: Session, end: End) -> None:
        LinkRules._finish(link, engine, link.end or end)

    @staticmethod
    def finish_asked(link: Link, engine: Session, end: End) -> None:
        link.asked = True
        LinkRules._finish(link, engine, end)

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


def is_final(status: int | None) -> bool:
    """Whether an HTTP status refuses this client for good."""
    return status is not None and 400 <= status < 500 and status not in _RETRIED_STATUSES


LINK = build("link", LinkRules)
