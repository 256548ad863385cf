"""A wire-tap for recordings: the JSON texts of both directions, as they pass.

What comes in arrives as text in each `Deliver`. What goes out is framed by then; the engine writes a message as one
frame, so the text is found by its header alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

__all__ = ["Record", "sent_text"]

Record: TypeAlias = Callable[[Literal["client", "server"], bytes | str, int], None]
"""Called with who said it, the JSON text, and the monotonic clock in ns. May write a file; what it raises goes to the
event loop's exception handler. The text holds what was said, audio included: it belongs in a journal, not in a log."""

_WHOLE_TEXT: Final = 0x81  # FIN and opcode 1 (RFC 6455 §5.2)


def sent_text(frame: bytes) -> bytes | None:
    """The text of one written frame; None for a handshake and for control frames."""
    if frame[0] != _WHOLE_TEXT:
        return None
    length = frame[1] & 0x7F
    start = 2 + {126: 2, 127: 8}.get(length, 0)
    if not frame[1] & 0x80:
        return frame[start:]
    payload = frame[start + 4 :]
    size = len(payload)
    mask = (frame[start : start + 4] * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
