"""What a client may put into a server's conversation, how it is announced there, and what is shown of it later."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine.audio import decode_base64
from antiphon.engine.checks import CONTENT_OF_ROLE, problem_with_content, problem_with_id
from antiphon.engine.codec import item_from_builtins, to_builtins
from antiphon.engine.conversation import Node
from antiphon.engine.records import STREAM_OF_ARGUMENTS
from antiphon.engine.refusals import Refusal, listed

if TYPE_CHECKING:
    from antiphon.engine.server import ServerSession


def audio_of(item: m.Item) -> dict[int, bytes]:
    """The audio that a client gave an item, by content index."""
    parts = item.content if isinstance(item, m.MessageItem) else ()
    return {
        index: audio
        for index, part in enumerate(parts)
        if isinstance(part, m.InputAudio) and part.audio and (audio := decode_base64(part.audio))
    }


def problem_with_item(
    session: ServerSession, item: m.Item, path: str = "item", calls: Container[str] = ()
) -> Refusal | None:
    """Why ``item``, at ``path`` of its event, is refused; ``calls`` are more that it may answer than the session's."""
    for name in ("id", "call_id"):
        value = getattr(item, name, UNSET)
        if not isinstance(value, str) or not value:
            continue
        refused = problem_with_id(value, f"{path}.{name}")
        if refused is not None:
            return refused
    if isinstance(item, m.UnknownItem | m.ItemReference):
        supported = "'message', 'function_call', 'function_call_output'"
        return Refusal("invalid_value", {"value": item.type, "supported": supported, "param": f"{path}.type"})
    if isinstance(item, m.FunctionCallOutputItem) and item.call_id not in session.calls and item.call_id not in calls:
        return Refusal("invalid_tool_call_id", {"call_id": item.call_id, "param": f"{path}.call_id"})
    if isinstance(item, m.McpApprovalResponseItem) and not _asks_for_approval(session, item.approval_request_id):
        unknown: dict[str, object] = {"item_id": item.approval_request_id[:64], "param": f"{path}.approval_request_id"}
        return Refusal("approval_request_unknown", unknown)
    if isinstance(item, m.MessageItem):
        if item.role not in CONTENT_OF_ROLE:
            supported = listed(tuple(CONTENT_OF_ROLE))
            return Refusal("invalid_value", {"value": item.role, "supported": supported, "param": f"{path}.role"})
        for index, part in enumerate(item.content):
            refused = problem_with_content(part, item.role, f"{path}.content[{index}]", session.dialect)
            if refused is not None:
                return refused
    return None


def _asks_for_approval(session: ServerSession, item_id: str) -> bool:
    node = session.conversation.get(item_id)
    return node is not None and isinstance(node.item, m.McpApprovalRequestItem)


def problem_with_input(session: ServerSession, items: list[m.Item]) -> Refusal | None:
    """Why the ``input`` of a response is refused: it may refer to members, and answer calls of its own."""
    calls: set[str] = set()
    for index, item in enumerate(items):
        path = f"response.input[{index}]"
        if isinstance(item, m.ItemReference):
            if not isinstance(item.id, str):
                return Refusal("missing_required_parameter", {"param": f"{path}.id"})
            if session.conversation.get(item.id) is None:
                return Refusal("item_reference_unknown", {"item_id": item.id, "param": f"{path}.id"})
            continue
        refused = problem_with_item(session, item, path, calls)
        if refused is not None:
            return refused
        if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
            calls.add(item.call_id)
    return None


def completed(session: ServerSession, item: m.Item) -> m.Item:
    """A client's item as it is announced: with an id, without audio, completed where it has a status."""
    data = to_builtins(item)
    data["id"] = item.id if isinstance(getattr(item, "id", None), str) and item.id else session.next_id("item")
    data.pop("object", None)
    if data["type"] in ("message", "function_call"):
        data["status"] = "completed"
    if data["type"] == "function_call" and not data.get("call_id"):
        data["call_id"] = session.next_id("call")
    for part in data.get("content") or ():
        part.pop("audio", None)
        if part.get("type") == "input_audio":
            part.setdefault("transcript", None)
    return item_from_builtins(data)


def shown(session: ServerSession, node: Node) -> m.Item:
    """An item with what is known of its parts by now: kept audio, a transcript that came later or was cut off, the
    arguments of a call that is not complete."""
    item = node.item
    if isinstance(item, m.FunctionCallItem | m.McpCallItem) and not item.arguments:
        return structs.replace(item, arguments=node.text_at(STREAM_OF_ARGUMENTS))
    if not isinstance(item, m.MessageItem):
        return item
    content = list(item.content)
    recordings = session.recordings.of(node.id)
    for index, part in enumerate(content):
        if not isinstance(part, m.InputAudio | m.OutputAudio):
            continue
        transcription = node.transcriptions.get(index)
        if transcription is not None and transcription.state == "completed":
            part = structs.replace(part, transcript=transcription.text)
        if index in node.cuts:
            part = structs.replace(part, transcript=UNSET)
        recording = recordings.get(index)
        if recording is not None:
            part = structs.replace(part, audio=recording.base64, format=recording.wire_format)
        content[index] = part
    return structs.replace(item, content=content)
