"""Questions about items of any type, known or not: id, status, texts, size, and the same without its audio."""

from __future__ import annotations

from msgspec import UNSET, Struct
from msgspec.structs import replace

from antiphon.engine.records import STREAM_OF_ARGUMENTS
from antiphon.messages import (
    AudioPart,
    Content,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputText,
    Item,
    McpApprovalRequestItem,
    McpCallItem,
    MessageItem,
    OutputAudio,
    OutputText,
    TextPart,
    UnknownContent,
    UnknownItem,
)

from .text import utf8_size

OBJECT_CHARGE = 64
"""Bytes that an object costs although it says nothing."""

_WITH_TEXT = (InputText, OutputText, TextPart)
_WITH_AUDIO = (InputAudio, OutputAudio, AudioPart)


def item_id(item: Item) -> str:
    """The id of ``item``, or "" if it has none."""
    return item.id if isinstance(item.id, str) else ""


def item_status(item: Item) -> str | None:
    """The status that ``item`` itself names, of an item of unknown type too."""
    value: object = item.data.get("status") if isinstance(item, UnknownItem) else item.status
    return value if isinstance(value, str) else None


def item_texts(item: Item) -> dict[int, str]:
    """What ``item`` itself says, by content index; "" for a part without text.

    The arguments of a call are under `STREAM_OF_ARGUMENTS`, an output is as if it were the first part.
    """
    if isinstance(item, MessageItem):
        return {index: _content_text(content) for index, content in enumerate(item.content)}
    if isinstance(item, FunctionCallOutputItem):
        return {0: item.output}
    if isinstance(item, (FunctionCallItem, McpCallItem, McpApprovalRequestItem)):
        texts = {STREAM_OF_ARGUMENTS: item.arguments}
        if isinstance(item, McpCallItem) and isinstance(item.output, str):
            texts[0] = item.output
        return texts
    if isinstance(item, UnknownItem):
        parts = item.data.get("content")
        return {index: _object_text(part) for index, part in enumerate(parts)} if isinstance(parts, list) else {}
    return {}


def without_audio(item: Item) -> Item:
    """``item`` itself, or an equal one without the base64 audio in its content."""
    if isinstance(item, MessageItem):
        if any(_has_audio(content) for content in item.content):
            return replace(item, content=[_silent(content) for content in item.content])
    elif isinstance(item, UnknownItem):
        parts = item.data.get("content")
        if isinstance(parts, list) and any(isinstance(part, dict) and "audio" in part for part in parts):
            content = [_without_key(part) if isinstance(part, dict) else part for part in parts]
            return UnknownItem.of({**item.data, "content": content})
    return item


def size_of(message: object) -> int:
    """What ``message`` (an item, or an object inside one) takes: the UTF-8 bytes of all strings, keys of open objects
    included, and `OBJECT_CHARGE` for each object in it, for it may be full of empty ones."""
    size = -OBJECT_CHARGE
    pending: list[object] = [message]  # a list in place of recursion: open objects nest as deep as the codec admits
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            size += utf8_size(value)
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            size += OBJECT_CHARGE
            pending.extend(value)
            pending.extend(value.values())
        elif isinstance(value, Struct):
            size += OBJECT_CHARGE
            pending.extend([getattr(value, name) for name in value.__struct_fields__])
        elif isinstance(value, (UnknownItem, UnknownContent)):
            pending.append(value.data)
    return size


def _content_text(content: Content) -> str:
    if isinstance(content, _WITH_TEXT):
        return content.text
    if isinstance(content, _WITH_AUDIO):
        return content.transcript if isinstance(content.transcript, str) else ""
    if isinstance(content, UnknownContent):
        return _object_text(content.data)
    return ""


def _object_text(part: object) -> str:
    if isinstance(part, dict):
        for key in ("text", "transcript"):
            if isinstance(value := part.get(key), str):
                return value
    return ""


def _has_audio(content: Content) -> bool:
    if isinstance(content, UnknownContent):
        return "audio" in content.data
    return isinstance(content, _WITH_AUDIO) and isinstance(content.audio, str)


def _silent(content: Content) -> Content:
    if not _has_audio(content):
        return content
    if isinstance(content, UnknownContent):
        return UnknownContent.of(_without_key(content.data))
    return replace(content, audio=UNSET)


def _without_key(part: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in part.items() if key != "audio"}
