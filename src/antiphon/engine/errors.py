"""Two kinds of mistake, told apart by whose they are.

A *local* mistake (ours: the program that drives the engine) is raised as `LocalProtocolError` and changes nothing.
A *remote* mistake (the peer's) is a value: a `Report`, or a `Fault` inside `Disconnected` and `Closed`. No engine ever
raises `RemoteProtocolError`; adapters raise it for programs that prefer an exception to a value.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

FaultKind = Literal["dial", "handshake", "protocol", "timeout", "write", "eof", "session"]
"""Where a socket's life went wrong.

``dial``: it could not be opened · ``handshake``: the answer was no WebSocket, or a refusal · ``protocol``: the peer
broke a rule that ends the socket · ``timeout``: a timer of ``spec/timers.toml`` fired · ``write``: bytes could not be
written · ``eof``: it ended without a closing handshake · ``session``: a fatal code of ``spec/errors.toml``."""


class Fault(Struct, frozen=True):
    """Why a socket ended badly, as a value.

    ``rule`` names the clause of ``spec/rules.md`` (or the timer) behind it, ``status`` the HTTP status of a refused
    handshake, ``code`` an error code of the protocol when the peer gave one.
    """

    kind: FaultKind
    message: str
    rule: str = ""
    status: int | None = None
    code: str | None = None


class ProtocolError(Exception):
    """Base of both errors; never raised itself."""

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule

    def __reduce__(self) -> tuple[object, ...]:  # BaseException's calls the class with `args`, which is the text alone
        return _rebuilt, (type(self), self.args, vars(self))


class LocalProtocolError(ProtocolError):
    """You asked for something that the protocol forbids here; the engine is exactly as before the call.

    ``rule`` is the clause of ``spec/rules.md``; ``code`` and ``param`` are what the server would have answered (None
    where no server was asked). Where ``overridable`` is true, ``send(..., override={rule})`` sends it all the same: the
    engine's view is a race against the server's own.
    """

    def __init__(
        self,
        message: str,
        *,
        rule: str,
        code: str | None = None,
        param: str | None = None,
        overridable: bool = False,
    ) -> None:
        hint = f"; to send it all the same: override={{{rule!r}}}" if overridable else ""
        super().__init__(f"{message} [{rule}{f', {code}' if code else ''}]{hint}", rule=rule)
        self.code = code
        self.param = param
        self.overridable = overridable


class RemoteProtocolError(ProtocolError):
    """The peer (or the path to it) failed; made by adapters from the `Fault` of `Closed`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, rule=fault.rule)
        self.fault = fault


def _rebuilt(cls: type[ProtocolError], args: tuple[object, ...], attributes: dict[str, object]) -> ProtocolError:
    """An error as it was copied or pickled."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class SnapshotError(ValueError):
    """A snapshot that this build cannot restore: another version, other tables, another role, or malformed."""
