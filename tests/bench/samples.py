"""What is said in the measurements: events as OpenAI's servers send them, and sessions in the state that they find."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

from antiphon import (
    Actions,
    ClientSession,
    Connection,
    ConnectionConfig,
    Endpoint,
    HandshakeReceived,
    Role,
    SessionConfig,
    Transmit,
)
from antiphon import messages as m

RESPONSE_ID = "resp_CCXGQ4e1ht4cOraEYcuR2"
ITEM_ID = "item_CCXGQXQc8NRQNfXJYUjYf"
PLACE = {"response_id": RESPONSE_ID, "item_id": ITEM_ID, "output_index": 0, "content_index": 0}
PCM = random.Random(1).randbytes(4800)
"""100 ms at 24 kHz."""

SESSION: dict[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_CCXGPNcr5mFqF8v7QpjXt",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "tool_choice": "auto",
    "expires_at": 1_756_900_000,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "alloy", "speed": 1.0},
    },
}


def text_of(event: dict[str, Any]) -> bytes:
    """The event as a server writes it."""
    return json.dumps({"type": event["type"], "event_id": "event_CCXGRvtUVrax5SJAnNOWZ", **event}).encode()


CREATED = text_of({"type": "session.created", "session": SESSION})
TEXT_DELTA = text_of({"type": "response.output_text.delta", **PLACE, "delta": "Hello"})
AUDIO_DELTA = text_of({"type": "response.output_audio.delta", **PLACE, "delta": base64.b64encode(PCM).decode("ascii")})


def add_history(session: ClientSession, items: int) -> None:
    """Let the client create that many user messages, and the server announce them."""
    previous = None
    for number in range(items):
        item_id = f"item_{number:021}"
        message = m.MessageItem(id=item_id, role="user", content=[m.InputText(text="hi")])
        session.send(m.ConversationItemCreate(item=message), 0)
        item = {
            "id": item_id,
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": "hi"}],
        }
        for kind in ("conversation.item.added", "conversation.item.done"):
            session.receive_message(text_of({"type": kind, "previous_item_id": previous, "item": item}), 0)
        previous = item_id


def beginning(part: dict[str, Any], previous: str | None = None) -> Iterator[bytes]:
    """A response that has come to its first ``part``."""
    item = {"id": ITEM_ID, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    response = {
        "object": "realtime.response",
        "id": RESPONSE_ID,
        "status": "in_progress",
        "output": [],
        "conversation_id": "conv_1",
    }
    yield text_of({"type": "response.created", "response": response})
    yield text_of({"type": "response.output_item.added", "response_id": RESPONSE_ID, "output_index": 0, "item": item})
    yield text_of({"type": "conversation.item.added", "previous_item_id": previous, "item": item})
    yield text_of({"type": "response.content_part.added", **PLACE, "part": part})


TEXT_PART = {"type": "text", "text": ""}
AUDIO_PART = {"type": "audio", "transcript": ""}


def open_session() -> ClientSession:
    """A client at message level that was greeted."""
    session = ClientSession(Role.CLIENT, SessionConfig(), now=0)
    session.start(0)
    session.opened(0)
    session.receive_message(CREATED, 0)
    return session


def speaking_session(part: dict[str, Any], items: int = 0) -> ClientSession:
    """A client in the middle of a response, behind ``items`` older items."""
    session = open_session()
    add_history(session, items)
    last = session.conversation.last
    for text in beginning(part, None if last is None else last.id):
        session.receive_message(text, 0)
    assert not session.reports, session.reports
    return session


def speaking_connection(entropy: Callable[[int], bytes] = os.urandom) -> Connection:
    """The same at the bytes level, for audio; its server has shaken hands and is gone."""
    endpoint = Endpoint.custom("ws://localhost/v1/realtime")
    client = Connection(Role.CLIENT, ConnectionConfig(endpoint=endpoint), now=0, entropy=entropy)
    server = Connection(Role.SERVER, ConnectionConfig(), now=0, entropy=entropy)
    client.start(0)
    server.opened(0)
    actions = server.receive_data(_bytes(client.opened(0)), 0)
    assert any(isinstance(action, HandshakeReceived) for action in actions)
    answer = [action for action in server.accept(0) if isinstance(action, Transmit)]
    client.receive_data(answer[0].data, 0)  # its greeting stays behind: ours is the one of the samples
    for text in (CREATED, *beginning(AUDIO_PART)):
        client.receive_data(frame(text), 0)
    assert not client.session.reports, client.session.reports
    return client


def frame(text: bytes) -> bytes:
    """One unmasked text frame."""
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 1 << 16:
        return bytes((0x81, 126)) + size.to_bytes(2, "big") + text
    return bytes((0x81, 127)) + size.to_bytes(8, "big") + text


def _bytes(actions: Actions) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, Transmit))
