"""A client with virtual time, and the lines of a server to it.

`Talk` keeps the clock and turns keyword arguments into server events, so that a test reads as the protocol does. The
functions below it pick one kind out of the actions that a call returned.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import pytest
from msgspec import UNSET

from antiphon import (
    Actions,
    Deliver,
    LocalProtocolError,
    Outcome,
    PlayAudio,
    Report,
    RequestSettled,
    Role,
    Session,
    SessionConfig,
    Snapshot,
    StopAudio,
    TransmitMessage,
)
from antiphon import messages as m
from antiphon.engine.client import ClientSession

MS = 1_000_000
"""Nanoseconds."""

ActionT = TypeVar("ActionT")


class Talk:
    """One client session and its clock. ``config`` goes to `SessionConfig`; ``session`` is what the server announces;
    with ``begun=False`` no socket is there yet. A client without entropy numbers its ids, which tests can name."""

    def __init__(self, *, session: dict[str, Any] | None = None, begun: bool = True, **config: Any) -> None:
        self.config = SessionConfig(**config)
        self.now = 0
        self.client = ClientSession(Role.CLIENT, self.config, now=0)
        if begun:
            self.client.opened(0)
            self.hear("session.created", session={"type": "realtime", **(session or {})})

    # -- the server's lines --------------------------------------------------------------------------------------------

    def hear(self, type: str, **fields: Any) -> Actions:
        """The server says one event."""
        return self.client.receive_message(json.dumps({"type": type, **fields}), self.now)

    def created(self, response_id: str, *, request: str | None = None, **fields: Any) -> Actions:
        """`response.created`; ``request`` is the event id that the server echoes in the metadata."""
        if request is not None:
            fields["metadata"] = {**fields.get("metadata", {}), "antiphon_request": request}
        response = {"id": response_id, "status": "in_progress", "conversation_id": "conv", **fields}
        return self.hear("response.created", response=response)

    def done(
        self, response_id: str, status: str = "completed", *, output: Sequence[dict[str, Any]] = (), **fields: Any
    ) -> Actions:
        """`response.done`."""
        response = {"id": response_id, "status": status, "output": list(output), "conversation_id": "conv", **fields}
        return self.hear("response.done", response=response)

    def error(self, code: str | None, event_id: str | None = None) -> Actions:
        """`error`."""
        error = {"type": "invalid_request_error", "code": code, "message": "no", "event_id": event_id}
        return self.hear("error", error=error)

    def generates(self, response_id: str, item: dict[str, Any], *, previous: str | None = None) -> Actions:
        """An item of a response: announced as output, then as a member of the conversation."""
        item = {"status": "in_progress", **item}
        return (
            *self.hear("response.output_item.added", response_id=response_id, output_index=0, item=item),
            *self.hear("conversation.item.added", previous_item_id=previous, item=item),
        )

    def finishes(self, response_id: str, item: dict[str, Any], *, previous: str | None = None) -> Actions:
        """The end of such an item, in both of its places."""
        item = {"status": "completed", **item}
        return (
            *self.hear("conversation.item.done", previous_item_id=previous, item=item),
            *self.hear("response.output_item.done", response_id=response_id, output_index=0, item=item),
        )

    def adds(self, item: dict[str, Any], *, previous: str | None = None) -> Actions:
        """An item that comes complete: `conversation.item.added` and `.done`, neighbours."""
        item = {"status": "completed", **item}
        return (
            *self.hear("conversation.item.added", previous_item_id=previous, item=item),
            *self.hear("conversation.item.done", previous_item_id=previous, item=item),
        )

    def part(self, response_id: str, item_id: str, content_index: int = 0, *, type: str = "audio") -> Actions:
        """`response.content_part.added`."""
        part = {"type": type, "text": ""} if "text" in type else {"type": type}
        return self.hear("response.content_part.added", part=part, **at(response_id, item_id, content_index))

    def audio(self, response_id: str, item_id: str, ms: int, content_index: int = 0) -> Actions:
        """``ms`` of audio of a part, in one delta (PCM16 at 24 kHz)."""
        delta = b64encode(bytes(ms * 48)).decode()
        return self.hear("response.output_audio.delta", delta=delta, **at(response_id, item_id, content_index))

    def speaks(self, response_id: str, item_id: str, ms: int, *, previous: str | None = None) -> Actions:
        """A response begins (once) and says ``ms`` of audio in a new item."""
        begun = () if response_id in self.client.responses else self.created(response_id)
        return (
            *begun,
            *self.generates(response_id, spoken(item_id), previous=previous),
            *self.part(response_id, item_id),
            *self.audio(response_id, item_id, ms),
        )

    def stops_speaking(self, response_id: str, item_id: str, transcript: str = "") -> Actions:
        """The orderly end of `speaks`: its audio, its transcript, its part and its item."""
        place = at(response_id, item_id, 0)
        return (
            *self.hear("response.output_audio.done", **place),
            *self.hear("response.output_audio_transcript.done", transcript=transcript, **place),
            *self.hear("response.content_part.done", part={"type": "audio", "transcript": transcript}, **place),
            *self.finishes(response_id, spoken(item_id, transcript)),
        )

    def calls(self, response_id: str, *call_ids: str) -> Actions:
        """The rest of a response that calls functions, with its beginning if that is still to come; see `call`."""
        actions: Actions = () if response_id in self.client.responses else self.created(response_id)
        output = []
        for call_id in call_ids:
            item = call(call_id)
            actions += self.generates(response_id, {**item, "arguments": ""})
            actions += self.finishes(response_id, item)
            output.append({**item, "status": "completed"})
        return actions + self.done(response_id, output=output)

    # -- the application's lines ---------------------------------------------------------------------------------------

    def say(self, event: m.ClientEvent, *, override: Collection[str] = ()) -> Actions:
        """Send a command."""
        return self.client.send(event, self.now, override=override)

    def ask(self, event_id: str, *, override: Collection[str] = (), **params: Any) -> Actions:
        """Send a `response.create` under this event id; a plain one without ``params``."""
        event = m.ResponseCreate(event_id=event_id)
        if params:
            event = m.ResponseCreate(event_id=event_id, response=m.ResponseCreateParams(**params))
        return self.say(event, override=override)

    def outputs(self, call_id: str) -> Actions:
        """Send a function's output."""
        return self.say(m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id=call_id, output="12")))

    def listen(self, item_id: str, ms: int, content_index: int = 0) -> Actions:
        """The device has played ``ms`` of a part."""
        return self.client.audio_played(item_id, content_index, ms * 24, self.now)

    def stopped(self, item_id: str, ms: int, content_index: int = 0) -> Actions:
        """The device stopped after ``ms`` of a part."""
        return self.client.audio_stopped(item_id, content_index, ms * 24, self.now)

    def tick(self) -> Actions:
        """Go to the deadline, and let it fire."""
        assert self.client.deadline is not None
        self.now = self.client.deadline
        return self.client.tick(self.now)

    def lose_socket(self) -> Actions:
        """The socket ends without a word."""
        return self.client.receive_eof(self.now)

    def restored(self) -> Talk:
        """The same talk, by way of the JSON of a snapshot."""
        other = Talk(begun=False)
        other.config, other.now = self.config, self.now
        snapshot = Snapshot.decode(self.client.snapshot(self.now).encode())
        session = Session.restore(snapshot, self.config, now=self.now)
        assert isinstance(session, ClientSession)
        other.client = session
        assert session.snapshot(self.now) == snapshot
        return other

    # -- refusals ------------------------------------------------------------------------------------------------------

    def refused(
        self, command: m.ClientEvent | Callable[[], object], *, override: Collection[str] = ()
    ) -> LocalProtocolError:
        """The error of a command that is refused; nothing changed by it (law L3)."""
        before = self.client.snapshot(self.now)
        attempt = command if callable(command) else lambda: self.say(command, override=override)
        with pytest.raises(LocalProtocolError) as caught:
            attempt()
        assert self.client.snapshot(self.now) == before
        return caught.value


# -- items and places --------------------------------------------------------------------------------------------------


def at(response_id: str, item_id: str, content_index: int = 0) -> dict[str, Any]:
    """The fields that name a content part."""
    return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": content_index}


def spoken(item_id: str, transcript: str = "") -> dict[str, Any]:
    """A message of the assistant with one audio part."""
    content = [{"type": "output_audio", "transcript": transcript}] if transcript else []
    return {"id": item_id, "type": "message", "role": "assistant", "content": content}


def said(item_id: str, text: str = "hello", role: str = "user") -> dict[str, Any]:
    """A message in text."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"id": item_id, "type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def call(call_id: str) -> dict[str, Any]:
    """A function call; its item's id is ``item_`` and the call's id."""
    return {"id": f"item_{call_id}", "type": "function_call", "name": "f", "call_id": call_id, "arguments": "{}"}


def message(item_id: str | None = None, text: str = "hello", role: str = "user") -> m.ConversationItemCreate:
    """The command that adds a message in text."""
    content: Any = m.OutputText(text=text) if role == "assistant" else m.InputText(text=text)
    return m.ConversationItemCreate(item=m.MessageItem(id=item_id or UNSET, role=role, content=[content]))


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


def outcomes(actions: Actions) -> dict[str, Outcome]:
    """Which requests were settled, and how."""
    return {action.event_id: action.outcome for action in of(actions, RequestSettled)}


def rules(actions: Actions) -> list[str]:
    """The rules that the peer was reported to have broken."""
    return [action.rule for action in of(actions, Report)]


def stops(actions: Actions) -> list[str]:
    """The items whose audio the player is told to stop."""
    return [action.item_id for action in of(actions, StopAudio)]


def heard(actions: Actions) -> int:
    """ms of audio that went to the player (PCM16 at 24 kHz)."""
    return sum(len(action.audio) for action in of(actions, PlayAudio)) // 48


def delivered(actions: Actions) -> list[str]:
    """The types of what the application was handed."""
    return [action.event.type for action in of(actions, Deliver)]
