"""Errors as an application wants them: one class for what a server says, what a response failed of, and what the socket
did; with the answer to "is the session over?" and to "may this be tried again?".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import UNSET, Struct

from antiphon.engine.actions import Dropped, Finished, LostToVad, Merged, Outcome, Rejected, TimedOut
from antiphon.engine.errors import Fault
from antiphon.engine.link import FATAL_CODES, is_final
from antiphon.messages import ClientEvent, Error, ErrorDetail, Response

__all__ = ["ErrorType", "RealtimeError"]


class ErrorType(StrEnum):
    """The class of an error. The first four are what servers call it; time-outs and broken connections are ours to see,
    a server cannot report them."""

    INVALID_REQUEST = "invalid_request_error"
    AUTHENTICATION = "authentication_error"
    RATE_LIMIT = "rate_limit_error"
    SERVER = "server_error"
    TIMEOUT = "timeout_error"
    CONNECTION = "connection_error"
    UNKNOWN = "unknown_error"


_RETRYABLE: Final = frozenset({ErrorType.RATE_LIMIT, ErrorType.SERVER, ErrorType.TIMEOUT, ErrorType.CONNECTION})
_TYPE_OF_CODE: Final = {
    "rate_limit_exceeded": ErrorType.RATE_LIMIT,
    "inference_rate_limit_exceeded": ErrorType.RATE_LIMIT,
    "server_error": ErrorType.SERVER,
    "invalid_api_key": ErrorType.AUTHENTICATION,
    "account_deactivated": ErrorType.AUTHENTICATION,
}
"""Where the code says more than the type: servers put rate limits under ``invalid_request_error`` and ``tokens``."""

_TYPE_OF_FAULT: Final = {
    "dial": ErrorType.CONNECTION,
    "handshake": ErrorType.CONNECTION,
    "protocol": ErrorType.CONNECTION,
    "write": ErrorType.CONNECTION,
    "eof": ErrorType.CONNECTION,
    "timeout": ErrorType.TIMEOUT,
    "session": ErrorType.SERVER,
}

_TYPE_OF_STATUS: Final = {
    401: ErrorType.AUTHENTICATION,
    403: ErrorType.AUTHENTICATION,
    429: ErrorType.RATE_LIMIT,
}
"""What a refused handshake means; any other final status is a request that nobody will grant."""


class RealtimeError(Struct, frozen=True, kw_only=True):
    """What went wrong.

    ``code`` and ``param`` are the server's, None without one. ``event_id`` is that of the command behind it, None where
    the server named none; ``command`` the command itself, where it is known. ``status`` is that of a refused handshake.
    """

    type: ErrorType
    message: str
    code: str | None = None
    param: str | None = None
    event_id: str | None = None
    command: ClientEvent | None = None
    status: int | None = None

    @property
    def fatal(self) -> bool:
        """Whether the session is over or useless: a code marked so in ``spec/errors.toml``, or a handshake that was
        refused for good (4xx, but for 408, 425 and 429)."""
        return self.code in FATAL_CODES or is_final(self.status)

    @property
    def retryable(self) -> bool:
        """Whether the same may succeed later. Says nothing of whether it is safe: see `antiphon.toolkit.retry`."""
        return self.type in _RETRYABLE and not self.fatal

    @classmethod
    def from_detail(cls, detail: ErrorDetail, command: ClientEvent | None = None) -> RealtimeError:
        """From the body of an `error` event, or of a rejected request."""
        named = detail.event_id if isinstance(detail.event_id, str) else None
        mine = command.event_id if command is not None and isinstance(command.event_id, str) else None
        return cls(
            type=_type_of(detail.type, detail.code),
            message=detail.message or "",
            code=detail.code or None,
            param=detail.param or None,
            event_id=named or mine,
            command=command,
        )

    @classmethod
    def from_event(cls, event: Error, command: ClientEvent | None = None) -> RealtimeError:
        """From an `error` event."""
        return cls.from_detail(event.error, command)

    @classmethod
    def from_response(cls, response: Response, command: ClientEvent | None = None) -> RealtimeError | None:
        """From a response that failed; None for one that did not, or that does not say why it was cut short."""
        if response.status != "failed":
            return None
        details = response.status_details
        error = details.error if details is not UNSET and details is not None else None
        mine = command.event_id if command is not None and isinstance(command.event_id, str) else None
        if not error:
            return cls(type=ErrorType.SERVER, message="the response failed", event_id=mine, command=command)
        return cls(
            type=_type_of(error.type, error.code),
            message=error.message or "the response failed",
            code=error.code or None,
            event_id=mine,
            command=command,
        )

    @classmethod
    def from_fault(cls, fault: Fault, command: ClientEvent | None = None) -> RealtimeError:
        """From what ended a socket."""
        type = _TYPE_OF_FAULT[fault.kind]
        if fault.status is not None:
            type = _TYPE_OF_STATUS.get(fault.status, ErrorType.INVALID_REQUEST if is_final(fault.status) else type)
        mine = command.event_id if command is not None and isinstance(command.event_id, str) else None
        return cls(
            type=type, message=fault.message, code=fault.code, event_id=mine, command=command, status=fault.status
        )

    @classmethod
    def from_outcome(cls, outcome: Outcome, command: ClientEvent | None = None) -> RealtimeError | None:
        """From the outcome of a request; None for one that went well or was withdrawn.

        A failed response is told by its `response.done`: see `from_response`.
        """
        mine = command.event_id if command is not None and isinstance(command.event_id, str) else None
        match outcome:
            case Rejected(error):
                return cls.from_detail(error, command)
            case TimedOut():
                return cls(type=ErrorType.TIMEOUT, message="no answer came", event_id=mine, command=command)
            case Dropped("disconnected"):
                return cls(type=ErrorType.CONNECTION, message="the socket ended", event_id=mine, command=command)
            case _:
                assert isinstance(outcome, Finished | Merged | LostToVad | Dropped)  # there are no others
                return None


def _type_of(named: object, code: object) -> ErrorType:
    if isinstance(code, str) and code in _TYPE_OF_CODE:
        return _TYPE_OF_CODE[code]
    try:
        return ErrorType(str(named))
    except ValueError:
        return ErrorType.UNKNOWN
