"""A server with virtual time and numbered ids, the lines of a client to it, and the thoughts of a brain.

`Host` keeps the clock, turns keyword arguments into client events, and says whether a refusal changed anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import pytest

from antiphon import (
    Actions,
    ArgumentsDelta,
    AudioDelta,
    Content,
    Deliver,
    ItemFinished,
    ItemStarted,
    LocalProtocolError,
    ResponseFinished,
    ResponseRequested,
    Role,
    ServerSession,
    Session,
    SessionConfig,
    Snapshot,
    TextDelta,
    TransmitMessage,
)
from antiphon import messages as m

MS = 1_000_000
"""Nanoseconds."""

ActionT = TypeVar("ActionT")


class Numbers:
    """Entropy that counts, so that ids tell in which order they were made. ``drawn``: how often it was asked."""

    def __init__(self, drawn: int = 0) -> None:
        self.drawn = drawn

    def __call__(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")


class Host:
    """One server session and its clock. ``config`` goes to `SessionConfig`; with ``begun=False`` no socket is there."""

    def __init__(self, *, begun: bool = True, **config: Any) -> None:
        self.config = SessionConfig(**config)
        self.now = 0
        self.entropy = Numbers()
        self.server = ServerSession(Role.SERVER, self.config, now=0, entropy=self.entropy)
        if begun:
            self.server.opened(0)

    # -- the client's lines --------------------------------------------------------------------------------------------

    def hear(self, type: str, **fields: Any) -> Actions:
        """The client says one event."""
        return self.server.receive_message(json.dumps({"type": type, **fields}), self.now)

    def update(self, **session: Any) -> Actions:
        """`session.update` of a realtime session."""
        return self.hear("session.update", session={"type": "realtime", **session})

    def append(self, ms: int) -> Actions:
        """``ms`` of silence (PCM16 at 24 kHz)."""
        return self.hear("input_audio_buffer.append", audio="AAAA" * (16 * ms))

    def adds(self, item_id: str | None = None, *, previous: str | None = None, **item: Any) -> str:
        """`conversation.item.create`, of a user's text unless ``item`` says otherwise; the id that the item has."""
        fields = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}], **item}
        if item_id is not None:
            fields["id"] = item_id
        actions = self.hear("conversation.item.create", previous_item_id=previous, item=fields)
        assert sent_types(actions) == ["conversation.item.added", "conversation.item.done"]
        return str(sent(actions)[0]["item"]["id"])

    def asks(self, **params: Any) -> str:
        """`response.create`; the id of the response that it begins."""
        fields = {"response": params} if params else {}
        return requested(self.hear("response.create", **fields)).response_id

    # -- the brain -----------------------------------------------------------------------------------------------------

    def think(self, content: Content) -> Actions:
        """One piece of content."""
        return self.server.generate(content, self.now)

    def begins(
        self, response_id: str, kind: Literal["text", "audio", "function_call"] = "text", index: int = 0, **more: Any
    ) -> Actions:
        """An item; a function call is one of ``f`` unless told otherwise."""
        if kind == "function_call":
            more.setdefault("name", "f")
        return self.think(ItemStarted(response_id=response_id, output_index=index, kind=kind, **more))

    def says(self, response_id: str, delta: str, index: int = 0) -> Actions:
        """Text, or a transcript."""
        return self.think(TextDelta(response_id=response_id, output_index=index, delta=delta))

    def sounds(self, response_id: str, ms: int, index: int = 0) -> Actions:
        """``ms`` of silence (PCM16 at 24 kHz)."""
        return self.think(AudioDelta(response_id=response_id, output_index=index, audio=bytes(48 * ms)))

    def calls(self, response_id: str, delta: str, index: int = 0) -> Actions:
        """Arguments."""
        return self.think(ArgumentsDelta(response_id=response_id, output_index=index, delta=delta))

    def ends(self, response_id: str, index: int) -> Actions:
        """The end of an item."""
        return self.think(ItemFinished(response_id=response_id, output_index=index))

    def finishes(self, response_id: str, **how: Any) -> Actions:
        """The end of a response."""
        return self.think(ResponseFinished(response_id=response_id, **how))

    def speaks(self, ms: int, transcript: str = "one two three") -> str:
        """A whole spoken response; the id of its item."""
        response_id = self.asks()
        item_id = self.sounds_in(response_id, ms, transcript)
        self.finishes(response_id)
        return item_id

    def sounds_in(self, response_id: str, ms: int, transcript: str = "one two three") -> str:
        """A spoken item that goes on; its id."""
        added = sent(self.begins(response_id, "audio"))[0]
        self.says(response_id, transcript)
        self.sounds(response_id, ms)
        return str(added["item"]["id"])

    def called(self, call_id: str | None = None) -> str:
        """A whole response that calls ``f``; the call's id."""
        response_id = self.asks()
        added = sent(self.begins(response_id, "function_call", call_id=call_id))[0]
        self.calls(response_id, "{}")
        self.finishes(response_id)
        return str(added["item"]["call_id"])

    # -- the detector --------------------------------------------------------------------------------------------------

    def speech_started(self, ms: int) -> Actions:
        """Voice detection hears a voice."""
        return self.server.speech_started(ms, self.now)

    def speech_stopped(self, ms: int) -> Actions:
        """And no longer."""
        return self.server.speech_stopped(ms, self.now)

    # -- looking at it -------------------------------------------------------------------------------------------------

    @property
    def ids(self) -> list[str]:
        """The conversation's items, in order."""
        return [node.id for node in self.server.conversation]

    def snapshot(self) -> Snapshot:
        """What the server knows."""
        return self.server.snapshot(self.now)

    def refused(self, attempt: Callable[[], object]) -> LocalProtocolError:
        """The error of a call that is refused; nothing changed by it, and no id was used (law L3)."""
        before = self.snapshot(), self.entropy.drawn
        with pytest.raises(LocalProtocolError) as caught:
            attempt()
        assert (self.snapshot(), self.entropy.drawn) == before
        return caught.value

    def restored(self) -> Host:
        """The same host, by way of the JSON of a snapshot."""
        other = Host(begun=False)
        other.config, other.now, other.entropy = self.config, self.now, Numbers(self.entropy.drawn)
        snapshot = Snapshot.decode(self.snapshot().encode())
        session = Session.restore(snapshot, self.config, now=self.now, entropy=other.entropy)
        assert isinstance(session, ServerSession)
        other.server = session
        assert other.snapshot() == snapshot
        return other


# -- looking at actions ------------------------------------------------------------------------------------------------


def of(actions: Actions, kind: type[ActionT]) -> list[ActionT]:
    """The actions of one kind, in order."""
    return [action for action in actions if isinstance(action, kind)]


def sent(actions: Actions) -> list[dict[str, Any]]:
    """What went on the wire."""
    return [json.loads(action.text) for action in of(actions, TransmitMessage)]


def sent_types(actions: Actions) -> list[str]:
    """The types of what went on the wire."""
    return [event["type"] for event in sent(actions)]


def requested(actions: Actions) -> ResponseRequested:
    """The one response that the brain is asked for."""
    (request,) = of(actions, ResponseRequested)
    return request


def refusal(actions: Actions) -> dict[str, Any]:
    """The ``error`` of the one event that was answered."""
    (answer,) = sent(actions)
    assert answer["type"] == "error"
    error = answer["error"]
    assert isinstance(error, dict)
    return error


def delivered(actions: Actions) -> m.ClientEvent | m.ServerEvent | m.UnknownEvent | m.Malformed:
    """The one event that the application was handed."""
    (action,) = of(actions, Deliver)
    return action.event
