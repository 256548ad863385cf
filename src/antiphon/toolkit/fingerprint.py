"""What an engine did, as a digest: two runs with the same one did the same, byte for byte.

Credentials take no part (a journal does not hold them), and neither do the masks' effect on them: a frame counts as its
mask and its unmasked text.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import structs

from antiphon.engine.actions import Action, Actions, Deliver, HandshakeReceived, Transmit, TransmitMessage
from antiphon.engine.snapshot import Snapshot
from antiphon.toolkit.frames import frames_in
from antiphon.toolkit.redaction import (
    redact_address,
    redact_event,
    redact_head,
    redact_headers,
    redact_query,
    redact_refusal,
    redact_subprotocol,
    refuses,
)

__all__ = ["Fingerprint", "fingerprint_of", "said_by"]

_HTTP: Final = (b"GET ", b"HTTP/")


class Fingerprint:
    """A running digest. ``actions`` counts what went into it."""

    __slots__ = ("_hash", "actions")

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.actions = 0

    def add(self, actions: Actions) -> None:
        """These actions happened next."""
        for action in actions:
            told = _told(action)
            self._hash.update(b"%d:" % len(told))
            self._hash.update(told)
        self.actions += len(actions)

    def digest(self) -> str:
        """The digest of everything until now, 32 hexadecimal digits; more may follow."""
        return self._hash.hexdigest()


def fingerprint_of(snapshot: Snapshot) -> str:
    """The digest of a state, conversation included. Tables that say the same in other words do not change it."""
    return blake2b(redact_event(structs.replace(snapshot, tables="").encode()), digest_size=16).hexdigest()


def said_by(actions: Actions) -> list[bytes]:
    """The texts of the messages that ``actions`` send, at either level; none for handshakes and control frames."""
    said: list[bytes] = []
    for action in actions:
        if isinstance(action, TransmitMessage):
            said.append(action.text)
        elif isinstance(action, Transmit) and not action.data.startswith(_HTTP):
            said += [frame.payload for frame, _ in frames_in(action.data) if frame.is_whole_text]
    return said


def _told(action: Action) -> bytes:
    if isinstance(action, Transmit):
        if action.data.startswith(_HTTP):
            return redact_refusal(action.data) if refuses(action.data) else redact_head(action.data)
        frames = (bytes((frame.head,)) + mask + redact_event(frame.payload) for frame, mask in frames_in(action.data))
        return b"".join(frames)
    if isinstance(action, Deliver):
        raw = action.raw.encode("utf-8", "surrogatepass") if isinstance(action.raw, str) else action.raw
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")  # as in a row
        return redact_event(raw) + b"\n" + redact_event(_json(action.event))
    if isinstance(action, HandshakeReceived):
        action = structs.replace(
            action,
            path=redact_address(action.path),
            query=redact_query(action.query),
            headers=redact_headers(action.headers),
            subprotocols=tuple(redact_subprotocol(name) for name in action.subprotocols),
        )
    return redact_event(_json(action))


def _json(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=_data_of, order="deterministic")


def _data_of(value: object) -> object:
    # Items and events of unknown type are no Structs: they are written as the JSON object they came as.
    return getattr(value, "data")  # noqa: B009 - typed as object on purpose
