"""Which command an `error` is about when it names none: what its code and its parameter say (R-Q4, R-A2).

Only that. Which of several commands of a kind it is, their order says; an error that fits no kind is nobody's, and
whoever waits is helped by a deadline.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from antiphon.engine.dialects.shapes import ga_key
from antiphon.machines import ERRORS
from antiphon.messages import ErrorDetail

_CODES: Final = frozenset(error.code for error in ERRORS.values() if error.code)

_COMMAND_OF_CODE: Final[Mapping[str, str]] = {
    "cannot_update_voice": "session.update",
    "conversation_already_has_active_response": "response.create",
    "input_audio_buffer_commit_empty": "input_audio_buffer.commit",
    "invalid_tool_call_id": "conversation.item.create",
    "item_already_truncated": "conversation.item.truncate",
    "item_create_invalid_previous_item_id": "conversation.item.create",
    "item_delete_invalid_item_id": "conversation.item.delete",
    "item_retrieve_invalid_item_id": "conversation.item.retrieve",
    "item_truncate_invalid_item_id": "conversation.item.truncate",
    "response_cancel_not_active": "response.cancel",
    "unsupported_content_type": "conversation.item.truncate",
}
_COMMAND_OF_PARAM: Final[Mapping[str, str]] = {
    "audio_end_ms": "conversation.item.truncate",
    "content_index": "conversation.item.truncate",
    "item": "conversation.item.create",
    "previous_item_id": "conversation.item.create",
    "response": "response.create",
    "session": "session.update",
}
_COMMAND_OF_BARE_CODE: Final[Mapping[str, str]] = {"integer_below_min_value": "conversation.item.truncate"}
"""Of codes that several commands can meet: which is meant where no parameter is named."""

_KEYS: Final = re.compile(r"\w+")


class Blame(NamedTuple):
    """What an error says about its cause. ``command`` is the type of the command that its code or parameter belongs to,
    ``key`` what the parameter names inside of that command's object, by its GA name; each None where it says
    nothing."""

    event_id: str | None
    code: str | None
    command: str | None
    key: str | None


def blame(error: ErrorDetail) -> Blame:
    """Read an error. Some vendors leave the code null and put it into the type."""
    code = error.code if isinstance(error.code, str) and error.code else None
    if code is None and error.type in _CODES:
        code = str(error.type)
    keys = _KEYS.findall(error.param) if isinstance(error.param, str) else []
    command = _COMMAND_OF_CODE.get(code or "")
    if command is None:
        command = _COMMAND_OF_PARAM.get(keys[0]) if keys else _COMMAND_OF_BARE_CODE.get(code or "")
    event_id = error.event_id if isinstance(error.event_id, str) and error.event_id else None
    return Blame(event_id, code, command, ga_key(keys[1]) if len(keys) > 1 else None)
