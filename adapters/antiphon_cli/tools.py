"""The one tool that `antiphon talk` offers: a weather report that knows a few cities and no weather."""

from __future__ import annotations

import json
from typing import Final

__all__ = ["TOOLS", "call_tool"]

TOOLS: Final[tuple[dict[str, object], ...]] = (
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather in a city now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "the city's English name"}},
            "required": ["city"],
        },
    },
)
"""The tools as `session.tools` names them."""

_WEATHER: Final = {
    "berlin": "twelve degrees and cloudy",
    "london": "fourteen degrees and rainy",
    "new york": "twenty-one degrees and windy",
    "paris": "eighteen degrees and sunny",
    "tokyo": "twenty-four degrees and clear",
}


def call_tool(name: str, arguments: str) -> str:
    """What the function answers to ``arguments`` (JSON). A mistake of the model is told to the model, never raised."""
    if name != "get_weather":
        return f"error: there is no function {name!r}"
    try:
        given = json.loads(arguments)
    except ValueError:
        return "error: the arguments are no JSON"
    city = given.get("city") if isinstance(given, dict) else None
    if not isinstance(city, str) or not city.strip():
        return "error: city must be a name"
    return _WEATHER.get(city.strip().casefold(), "twenty degrees and fair")
