"""What a server says when it refuses: the entries of ``spec/errors.toml``, filled in."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from antiphon.machines import ERRORS
from antiphon.messages import Error, ErrorDetail, Problem
from antiphon.messages.values import SESSION_TYPES


class Refusal(Struct, frozen=True):
    """Why a client's event is refused: an entry of ``spec/errors.toml`` with its blanks filled in. A ``param`` of its
    own goes before that of the entry: the place may have another name in the client's dialect."""

    name: str
    fields: dict[str, object] = {}

    def detail(self, event_id: str | None) -> ErrorDetail:
        """As the ``error`` of an `error` event."""
        spec = ERRORS[self.name]
        return ErrorDetail(
            type=spec.type,
            code=spec.code,
            message=spec.message.format(**self.fields),
            param=None if spec.param is None else str(self.fields.get("param") or spec.param.format(**self.fields)),
            event_id=event_id,
        )


def refusal_of(problem: Problem, event: dict[str, Any]) -> Refusal:
    """Why ``event``, which did not fit its class, is refused: the first ``problem`` of the repair (R-E5)."""
    param = problem.path.removeprefix("$.")
    if problem.kind == "missing":
        return Refusal("missing_required_parameter", {"param": param})
    if problem.kind == "value":  # the only closed set that a client writes into
        value = str(event["session"]["type"])[:64]
        return Refusal("invalid_value", {"value": value, "supported": listed(SESSION_TYPES), "param": param})
    expected, _, actual = problem.message.removeprefix("expected ").partition(", found ")
    return Refusal("invalid_type", {"param": param, "expected": expected, "actual": actual})


def error_event(name: str, *, event_id: str | None = None, **fields: object) -> Error:
    """The `error` event of the entry ``name`` of ``spec/errors.toml``, its blanks filled in with ``fields``.

    For what only a server's application knows: ``session.send(error_event("insufficient_quota"), now)``. After a fatal
    one the engine closes the socket (R-S4). ``event_id`` is that of the client's event which it answers. Raises
    KeyError for an entry that there is not, and where a blank is left.
    """
    return Error(error=Refusal(name, fields).detail(event_id))


def listed(values: tuple[str, ...]) -> str:
    """Names as a message shows them."""
    return ", ".join(f"'{value}'" for value in values)


CLOSE_OF: dict[str, int] = {spec.code: spec.close for spec in ERRORS.values() if spec.code and spec.close}
"""What a fatal code closes the socket with (R-S4)."""
