"""What a snapshot leaves out of the JSON it keeps: whatever authorises somebody. Keys are never stored, but given anew.

A secret is known by where it stands: in the MCP tools of a session or of a response, and in a session's client secret.
Names like ``headers`` may stand anywhere else, in the parameters of a function for one, and are kept there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from antiphon.messages import JsonObject

_OF_A_TOOL: Final = frozenset({"authorization", "headers"})
_OF_A_SESSION: Final = frozenset({"client_secret"})
_MARKS: Final = tuple(f'"{name}"' for name in sorted(_OF_A_TOOL | _OF_A_SESSION))


def without_credentials(holder: JsonObject) -> JsonObject:
    """The JSON of a session, or of a request's ``response``, without its credentials."""
    kept = {key: value for key, value in holder.items() if key not in _OF_A_SESSION}
    tools = holder.get("tools")
    if isinstance(tools, list):
        kept["tools"] = [
            {key: value for key, value in tool.items() if key not in _OF_A_TOOL} if isinstance(tool, dict) else tool
            for tool in tools
        ]
    return kept


def command_without_credentials(text: str) -> str:
    """The JSON text of a command of ours without its credentials; the very same text when it has none."""
    if not any(mark in text for mark in _MARKS):
        return text
    event: JsonObject = msgspec.json.decode(text)
    cleaned = {
        key: without_credentials(value) if key in ("session", "response") and isinstance(value, dict) else value
        for key, value in event.items()
    }
    return text if cleaned == event else msgspec.json.encode(cleaned).decode()
