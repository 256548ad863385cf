"""Scripts for the brain of the same name: a TOML file says what a server answers, when, and how fast.

`load_script` reads and checks a file completely, so that a mistake is found with its line before the first client
comes. `Script.match` picks the reply to the newest item, `Reply.steps` spells it out as the events a response is
made of. All of it is data: the brain performs the steps, and only it waits or speaks.
"""

from __future__ import annotations

import difflib
import importlib.resources
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

from antiphon_audio import WavError, read_wav

__all__ = [
    "CallStart",
    "Chunk",
    "Drop",
    "FunctionCall",
    "ItemEnd",
    "MessageStart",
    "Newest",
    "Reply",
    "ResponseEnd",
    "Script",
    "ScriptError",
    "ScriptedFailure",
    "Step",
    "ToolOutput",
    "UserTurn",
    "load_script",
    "parse_script",
    "welcome_script",
]


Audio = Literal["tone", "speech"] | Path
Chunking = Literal["word", "char"] | int
_Json = dict[str, "_Json"] | list["_Json"] | str | int | float | bool | None

_REPLY_KEYS: Final = (
    "when", "after", "say", "call", "chunk", "delay_ms", "audio", "status", "error", "close", "times",
)  # fmt: skip
_CALL_KEYS: Final = ("name", "arguments")
_ERROR_KEYS: Final = ("type", "code", "message")
_MAX_DELAY_MS: Final = 3_600_000
_FUNCTION_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PLACEHOLDER: Final = re.compile(r"\{(user|output)\}")
_WORDS: Final = re.compile(r"\s*\S+\s*|\s+")
_TOML_LINE: Final = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


class ScriptError(Exception):
    """A script cannot be used. `str()` is one line: file, line number (where there is one) and reason.

    `path`, `line` (counted from 1, or None) and `reason` hold the parts.
    """

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = " ".join(reason.split())
        super().__init__(f"{path}: {self.reason}" if line is None else f"{path}:{line}: {self.reason}")


# What came ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserTurn:
    """The newest item is the user's. `text` is what was written or transcribed; empty for speech nobody
    transcribed."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The newest item is the output of the function `name`."""

    name: str
    output: str


Newest = UserTurn | ToolOutput | None
"""The newest item of the conversation as a script sees it; None for no item, or one of the assistant's own."""


# What is answered ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageStart:
    """A message of the assistant begins. `audio` tells how it sounds if the session speaks."""

    audio: Audio


@dataclass(frozen=True, slots=True)
class CallStart:
    """A function call begins; the chunks that follow are its arguments."""

    name: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of the open item's text or arguments, to be sent after a pause of `delay_ms`."""

    text: str
    delay_ms: float


@dataclass(frozen=True, slots=True)
class ItemEnd:
    """The open item is complete."""


@dataclass(frozen=True, slots=True)
class ScriptedFailure:
    """The error inside a failed response."""

    type: str
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class ResponseEnd:
    """The response ends. After anything but "completed" the last item may still be open: it was cut."""

    status: Literal["completed", "failed", "incomplete"]
    error: ScriptedFailure | None


@dataclass(frozen=True, slots=True)
class Drop:
    """The server ends the socket with this close code, in the middle of the response."""

    code: int


Step = MessageStart | CallStart | Chunk | ItemEnd | ResponseEnd | Drop


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call that a reply makes. `arguments` is a JSON object, or a text that is sent as it stands."""

    name: str
    arguments: dict[str, _Json] | str


@dataclass(frozen=True, slots=True)
class Reply:
    """One `[[reply]]` of a script. `index` is its place in the file, from 0."""

    index: int
    when: re.Pattern[str] | None = None
    after: str | None = None
    say: tuple[str, ...] = ()
    calls: tuple[FunctionCall, ...] = ()
    chunk: Chunking = "word"
    delay_ms: float = 0
    audio: Audio = "tone"
    status: Literal["completed", "failed", "incomplete"] = "completed"
    error: ScriptedFailure | None = None
    close: int | None = None
    times: int | None = None

    def answers(self, newest: Newest) -> bool:
        """Whether the conditions `when` and `after` hold for the newest item."""
        if self.when is not None:
            return isinstance(newest, UserTurn) and self.when.search(newest.text) is not None
        if self.after is not None:
            return isinstance(newest, ToolOutput) and newest.name == self.after
        return True

    def steps(self, *, user: str = "", output: str = "") -> tuple[Step, ...]:
        """Spells the reply out: messages first, then calls, then the end.

        `user` is the newest text of the user and `output` the newest output of a tool; they take the places of
        `{user}` and `{output}` in what is said and in the strings of arguments. Braces inside them mean nothing.
        """
        values = {"user": user, "output": output}
        steps: list[Step] = []
        for text in self.say:
            steps.append(MessageStart(self.audio))
            steps.extend(self._chunks(_fill(text, values)))
            steps.append(ItemEnd())
        for call in self.calls:
            arguments = call.arguments
            if not isinstance(arguments, str):
                arguments = json.dumps(_fill_json(arguments, values), ensure_ascii=False)
            steps.append(CallStart(call.name))
            steps.extend(self._chunks(arguments))
            steps.append(ItemEnd())
        if steps and (self.close is not None or self.status != "completed"):
            steps.pop()  # what breaks off leaves its last item open
        steps.append(ResponseEnd(self.status, self.error) if self.close is None else Drop(self.close))
        return tuple(steps)

    def _chunks(self, text: str) -> Iterator[Chunk]:
        if self.chunk == "word":
            pieces = _WORDS.findall(text)
        else:
            size = 1 if self.chunk == "char" else self.chunk
            pieces = [text[start : start + size] for start in range(0, len(text), size)]
        return (Chunk(piece, self.delay_ms) for piece in pieces)


def _fill(text: str, values: dict[str, str]) -> str:
    # One pass, and no str.format: what a user said may contain braces, even "{output}".
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _fill_json(value: _Json, values: dict[str, str]) -> _Json:
    if isinstance(value, str):
        return _fill(value, values)
    if isinstance(value, list):
        return [_fill_json(each, values) for each in value]
    if isinstance(value, dict):
        return {key: _fill_json(each, values) for key, each in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Script:
    """The replies of a script file, in the order in which they are tried."""

    path: str
    replies: tuple[Reply, ...]

    def match(self, newest: Newest, counters: MutableMapping[int, int]) -> Reply | None:
        """Returns the first reply whose conditions hold and that is not used up, or None.

        `counters` (begin with `{}`, one for each conversation) counts how often each reply was used; the returned
        one is counted here.
        """
        for reply in self.replies:
            used = counters.get(reply.index, 0)
            if (reply.times is None or used < reply.times) and reply.answers(newest):
                counters[reply.index] = used + 1
                return reply
        return None


# Reading ------------------------------------------------------------------------------------------------------------


def load_script(path: str | os.PathLike[str]) -> Script:
    """Reads a script file. Audio files it names are sought beside it.

    Raises:
        ScriptError: the file cannot be read, is no UTF-8 or no TOML, or says something a script cannot say.
    """
    name = os.fspath(path)
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ScriptError(name, None, f"cannot be read: {reason}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScriptError(name, data.count(b"\n", 0, error.start) + 1, "is no UTF-8 text") from error
    return parse_script(text, name=name, folder=Path(name).parent)


def welcome_script() -> Script:
    """The script that comes with the package, for a first conversation about the weather in Paris."""
    text = importlib.resources.files(__package__).joinpath("assets/welcome.toml").read_text("utf-8")
    return parse_script(text, name="welcome.toml")


def parse_script(text: str, *, name: str = "script", folder: Path | None = None) -> Script:
    """Reads a script from its text. `name` stands in errors; `folder` is where audio files are sought (the current
    one).

    Raises:
        ScriptError: as `load_script`.
    """
    # TOML knows no bare carriage return, and tomllib counts lines after this same change.
    text = text.replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        place = _TOML_LINE.search(reason)
        line = int(place[1]) if place and place[1] else max(1, len(text.splitlines()))
        raise ScriptError(name, line, _TOML_LINE.sub("", reason)) from error
    except RecursionError as error:
        raise ScriptError(name, None, "is nested too deeply") from error
    return _Reader(text, name, folder or Path()).script(document)


class _Reader:
    """Checks a parsed document, and finds the line of what is wrong."""

    def __init__(self, text: str, name: str, folder: Path) -> None:
        self._lines = text.split("\n")
        self._name = name
        self._folder = folder
        self._index = -1  # of the reply being read

    def script(self, document: dict[str, Any]) -> Script:
        for key in document:
            if key != "reply":
                raise ScriptError(
                    self._name, self._line_of(key), f"unknown key {key!r}: a script holds [[reply]] tables"
                )
        replies = document.get("reply")
        if not replies:
            raise ScriptError(self._name, 1, "holds no [[reply]]")
        if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
            raise ScriptError(self._name, self._line_of("reply"), "reply is an array of tables: write [[reply]]")
        return Script(self._name, tuple(self._reply(index, table) for index, table in enumerate(replies)))

    def _reply(self, index: int, table: dict[str, Any]) -> Reply:
        self._index = index
        self._known(table, _REPLY_KEYS, "")
        if "when" in table and "after" in table:
            self._fail("after", "when and after exclude each other: the newest item is the user's or a tool's")
        if not table.keys() & {"say", "call", "status", "error", "close"}:
            self._fail("", "does nothing: it needs say, call, status, error or close")
        error = self._error(table)
        status = self._status(table, error)
        return Reply(
            index=index,
            when=self._when(table),
            after=self._function_name("after", table["after"]) if "after" in table else None,
            say=self._say(table),
            calls=self._calls(table),
            chunk=self._chunk(table),
            delay_ms=self._number(table, "delay_ms", _MAX_DELAY_MS),
            audio=self._audio(table),
            status=status,
            error=error,
            close=self._close(table),
            times=self._times(table),
        )

    def _known(self, table: dict[str, Any], keys: tuple[str, ...], within: str) -> None:
        for key in table:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(keys)}"
                self._fail(within or key, f"unknown key {key!r}{' in ' + within if within else ''}: {hint}")

    def _when(self, table: dict[str, Any]) -> re.Pattern[str] | None:
        if "when" not in table:
            return None
        try:
            return re.compile(self._text("when", table["when"]))
        except (re.error, OverflowError, RecursionError) as error:
            self._fail("when", f"when is no regular expression: {error}")

    def _say(self, table: dict[str, Any]) -> tuple[str, ...]:
        say = table.get("say", [])
        if isinstance(say, str):
            return (say,)
        if not isinstance(say, list) or not all(isinstance(text, str) for text in say):
            self._fail("say", "say is a text or a list of texts")
        if "say" in table and not say:
            self._fail("say", "say is an empty list")
        return tuple(say)

    def _calls(self, table: dict[str, Any]) -> tuple[FunctionCall, ...]:
        calls = table.get("call", [])
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            self._fail("call", 'call is a list of tables: [{ name = "...", arguments = { ... } }]')
        if "call" in table and not calls:
            self._fail("call", "call is an empty list")
        return tuple(self._call(call) for call in calls)

    def _call(self, call: dict[str, Any]) -> FunctionCall:
        self._known(call, _CALL_KEYS, "call")
        if "name" not in call:
            self._fail("call", "a call needs the name of a function")
        arguments = call.get("arguments", {})
        if not isinstance(arguments, dict | str):
            self._fail("call", "arguments are a table, or a text that is sent as it stands")
        try:
            json.dumps(arguments, allow_nan=False)
        except (TypeError, ValueError) as error:  # dates, times, inf and nan are TOML and no JSON
            self._fail("call", f"arguments are no JSON: {error}")
        return FunctionCall(self._function_name("call", call["name"]), cast("dict[str, _Json] | str", arguments))

    def _chunk(self, table: dict[str, Any]) -> Chunking:
        match table.get("chunk", "word"):
            case "word":
                return "word"
            case "char":
                return "char"
            case int(size) if not isinstance(size, bool) and size >= 1:
                return size
            case other:
                self._fail("chunk", f'chunk is "word", "char" or a number of characters, not {other!r}')

    def _audio(self, table: dict[str, Any]) -> Audio:
        match table.get("audio", "tone"):
            case "tone":
                return "tone"
            case "speech":
                return "speech"
            case str(file):
                path = self._folder / file
                try:
                    read_wav(path)
                except WavError as error:
                    self._fail("audio", f'audio is "tone", "speech" or a WAV file, and {file} {error.reason}')
                return path
            case other:
                self._fail("audio", f'audio is "tone", "speech" or the name of a WAV file, not {other!r}')

    def _status(
        self, table: dict[str, Any], error: ScriptedFailure | None
    ) -> Literal["completed", "failed", "incomplete"]:
        match table.get("status"):
            case None:
                return "completed" if error is None else "failed"
            case "failed":
                return "failed"
            case "incomplete":
                if error is not None:
                    self._fail("error", 'error goes with status = "failed"')
                return "incomplete"
            case other:
                self._fail("status", f'status is "failed" or "incomplete", not {other!r}')

    def _error(self, table: dict[str, Any]) -> ScriptedFailure | None:
        if "error" not in table:
            return None
        error = table["error"]
        if not isinstance(error, dict):
            self._fail("error", 'error is a table: { type = "...", code = "...", message = "..." }')
        self._known(error, _ERROR_KEYS, "error")
        texts = {key: self._text("error", value) for key, value in error.items()}
        return ScriptedFailure(texts.get("type", "server_error"), texts.get("code"), texts.get("message"))

    def _close(self, table: dict[str, Any]) -> int | None:
        if "close" not in table:
            return None
        code = self._integer("close", table["close"])
        # RFC 6455: 1004-1006 and 1015 never travel; 1016-2999 are nobody's yet.
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            self._fail("close", f"close is a WebSocket close code that may be sent, not {code}")
        if "status" in table or "error" in table:
            self._fail("close", "close ends the socket before the response ends: it excludes status and error")
        return code

    def _times(self, table: dict[str, Any]) -> int | None:
        if "times" not in table:
            return None
        times = self._integer("times", table["times"])
        if times < 1:
            self._fail("times", f"times is 1 or more, not {times}")
        return times

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            self._fail(key, f"{key} {'holds texts' if key == 'error' else 'is a text'}, not {value!r}")
        return value

    def _function_name(self, key: str, value: object) -> str:
        if not isinstance(value, str) or not _FUNCTION_NAME.fullmatch(value):
            self._fail(key, f"the name of a function is 1 to 64 letters, digits, '_', '-' and '.', not {value!r}")
        return value

    def _integer(self, key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self._fail(key, f"{key} is a whole number, not {value!r}")
        return value

    def _number(self, table: dict[str, Any], key: str, most: int) -> float:
        value = table.get(key, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            self._fail(key, f"{key} is a number, not {value!r}")
        if not 0 <= value <= most:
            self._fail(key, f"{key} is between 0 and {most}, not {value}")
        return value

    # Lines are looked for only when something is wrong, so looking may be slow.

    def _fail(self, key: str, reason: str) -> NoReturn:
        headers = list(self._candidates(r"\[\[\s*[\"']?reply[\"']?\s*\]\]"))
        line = None
        if self._index < len(headers):
            line = first = headers[self._index]
            last = headers[self._index + 1] if self._index + 1 < len(headers) else len(self._lines) + 1
            if key:
                name = f"[\"']?{re.escape(key)}[\"']?"
                within = self._candidates(rf"(?:{name}\s*[.=]|\[+\s*reply\s*\.\s*{name})", first, last)
                line = next(within, first)
        if line is None:  # written as one inline array
            line = self._line_of("reply")
        raise ScriptError(self._name, line, f"reply {self._index + 1}: {reason}")

    def _line_of(self, key: str) -> int:
        name = f"[\"']?{re.escape(key)}[\"']?"
        return next(self._candidates(rf"(?:{name}\s*[.=]|\[+\s*{name})"), 1)

    def _candidates(self, pattern: str, first: int = 1, last: int | None = None) -> Iterator[int]:
        """Numbers of the lines that begin with a pattern and are TOML, not the inside of a multi-line string."""
        begins = re.compile(r"\s*" + pattern)
        for number, line in enumerate(self._lines, start=1):
            if first <= number < (last or len(self._lines) + 1) and begins.match(line):
                try:
                    tomllib.loads("\n".join(self._lines[: number - 1]))
                except tomllib.TOMLDecodeError:
                    continue
                yield number
