"""Makes journals of sessions that never were, as varied as real ones: the same seed makes the same journal.

``python -m cli.made_journals FOLDER NUMBER``, from the folder of the tests, fills a folder with them.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pybase64

MS = 1_000_000
RATE = 24_000
WORDS = (
    "the",
    "choir",
    "sings",
    "in",
    "turn",
    "one",
    "half",
    "asks",
    "and",
    "the",
    "other",
    "answers",
    "until",
    "dawn",
)
TOOLS = ("get_weather", "find_train", "set_timer")


class MadeSession:
    """One session. Each method adds a turn, and the clock goes on; `lines` is the journal."""

    def __init__(self, seed: int, *, chunk_ms: int = 100, audio: bool = True) -> None:
        self.random = random.Random(seed)
        self.lines: list[bytes] = []
        self.now = 5_000 * MS
        self.made = 0
        self.heard_ms = 0
        self.previous: str | None = None
        self._sound = pybase64.b64encode(bytes(RATE * 2 * chunk_ms // 1000)).decode() if audio else "AAAA"
        self._chunk_ms = chunk_ms
        if not audio:
            self.row("note", audio="cut")
        session = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{seed}",
            "model": "gpt-realtime",
            "audio": {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": {"type": "server_vad"}}},
        }
        self.server("session.created", session=session)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def wait(self, ms: float) -> None:
        self.now += int(ms * MS)

    def id(self, kind: str) -> str:
        self.made += 1
        return f"{kind}_{self.made}"

    def row(self, dir: str, **fields: Any) -> None:
        self.lines.append(json.dumps({"dir": dir, **fields, "at": self.now}, ensure_ascii=False).encode() + b"\n")

    def server(self, type: str, **fields: Any) -> None:
        self.wait(self.random.uniform(0.2, 3))
        self.row("server", event={"type": type, "event_id": self.id("event"), **fields})

    def client(self, type: str, **fields: Any) -> None:
        self.wait(self.random.uniform(0.1, 1))
        self.row("client", event={"type": type, "event_id": self.id("cmd"), **fields})

    def input(self, kind: str, **fields: Any) -> None:
        self.row("input", input={"in": kind, **fields})

    def words(self, number: int) -> str:
        return " ".join(self.random.choice(WORDS) for _ in range(number))

    # -- turns ---------------------------------------------------------------------------------------------------------

    def typed(self) -> None:
        """The user types, and asks for an answer."""
        item = self._user_item([{"type": "input_text", "text": self.words(self.random.randint(2, 9))}])
        self.client("conversation.item.create", item=item)
        self.client("response.create")
        self.wait(self.random.uniform(20, 60))
        self._added(item)

    def speaks(self, ms: int = 1200) -> str:
        """The user speaks, and voice detection hears the end."""
        item_id = self._starts_to_speak(ms)
        self._stops_speaking(item_id)
        return item_id

    def _starts_to_speak(self, ms: int) -> str:
        item_id = self.id("item")
        chunks = max(3, ms // self._chunk_ms)
        for number in range(chunks):
            self.wait(self._chunk_ms)
            self.client("input_audio_buffer.append", audio=self._sound)
            self.heard_ms += self._chunk_ms
            if number == 1:
                self.server("input_audio_buffer.speech_started", audio_start_ms=self.heard_ms - 150, item_id=item_id)
        return item_id

    def _stops_speaking(self, item_id: str) -> None:
        self.server("input_audio_buffer.speech_stopped", audio_end_ms=self.heard_ms, item_id=item_id)
        self.server("input_audio_buffer.committed", item_id=item_id, previous_item_id=self.previous)
        item = {**self._user_item([{"type": "input_audio", "transcript": None}]), "id": item_id}
        self._added(item)

    def transcribed(self, item_id: str) -> None:
        """What the user said comes as text."""
        words = self.words(self.random.randint(3, 12))
        where = {"item_id": item_id, "content_index": 0}
        self.server("conversation.item.input_audio_transcription.delta", **where, delta=words)
        usage = {"type": "duration", "seconds": 2}
        self.server("conversation.item.input_audio_transcription.completed", **where, transcript=words, usage=usage)

    def answers(self, *, deltas: int = 8, cut: bool = False, player: bool = False) -> None:
        """An answer that sounds; ``cut`` by the user, who speaks into it; ``player``: it tells what it played."""
        response_id, item_id = self._begins(), self.id("item")
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        self._item_added(response_id, item)
        self.server("response.content_part.added", **where, part={"type": "audio", "transcript": ""})
        self.wait(self.random.gammavariate(3, 60))
        said = []
        for number in range(deltas):
            said.append(self.random.choice(WORDS) + " ")
            self.server("response.output_audio_transcript.delta", **where, delta=said[-1])
            self.server("response.output_audio.delta", **where, delta=self._sound)
            self.wait(self.random.uniform(8, 30))
            if player and number % 3 == 2:
                self._played("audio_played", item_id, number * self._chunk_ms // 2)
        text, heard_ms = "".join(said), deltas * self._chunk_ms * 3 // 5
        speech = self._starts_to_speak(3 * self._chunk_ms) if cut else ""
        if cut:
            if player:
                self._played("audio_stopped", item_id, heard_ms)
            self.client("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=heard_ms)
        self.server("response.output_audio.done", **where)
        self.server("response.output_audio_transcript.done", **where, transcript=text)
        self.server("response.content_part.done", **where, part={"type": "audio", "transcript": text})
        content = [{"type": "output_audio", "transcript": text}]
        item = {**item, "status": "incomplete" if cut else "completed", "content": content}
        self._item_done(response_id, item)
        if cut:
            self._done(response_id, [item], "cancelled", {"type": "cancelled", "reason": "turn_detected"})
            self.server("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=heard_ms)
            self._stops_speaking(speech)
        else:
            self._done(response_id, [item])
            self.wait(deltas * self._chunk_ms)
            if player:
                self._played("audio_played", item_id, deltas * self._chunk_ms)

    def writes(self, *, deltas: int = 8) -> None:
        """An answer in text."""
        response_id, item_id = self._begins(), self.id("item")
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        self._item_added(response_id, item)
        self.server("response.content_part.added", **where, part={"type": "text", "text": ""})
        self.wait(self.random.gammavariate(3, 60))
        said = [self.random.choice(WORDS) + " " for _ in range(deltas)]
        for piece in said:
            self.server("response.output_text.delta", **where, delta=piece)
        text = "".join(said)
        self.server("response.output_text.done", **where, text=text)
        self.server("response.content_part.done", **where, part={"type": "text", "text": text})
        item = {**item, "status": "completed", "content": [{"type": "output_text", "text": text}]}
        self._item_done(response_id, item)
        self._done(response_id, [item])

    def calls(self, *, tool_ms: float = 250) -> None:
        """A call of a function, its output, and the request for what follows from it."""
        response_id, item_id, call_id = self._begins(), self.id("item"), self.id("call")
        name, arguments = self.random.choice(TOOLS), json.dumps({"city": self.words(1)})
        item = {"id": item_id, "type": "function_call", "call_id": call_id, "name": name, "arguments": ""}
        item["status"] = "in_progress"
        self._item_added(response_id, item)
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "call_id": call_id}
        self.wait(self.random.gammavariate(3, 60))
        self.server("response.function_call_arguments.delta", **where, delta=arguments)
        self.server("response.function_call_arguments.done", **where, name=name, arguments=arguments)
        item = {**item, "status": "completed", "arguments": arguments}
        self._item_done(response_id, item)
        self._done(response_id, [item])
        self.wait(tool_ms * self.random.uniform(0.5, 2))
        output = {"id": self.id("item"), "type": "function_call_output", "call_id": call_id, "output": '{"ok": true}'}
        self.client("conversation.item.create", item=output)
        self.client("response.create")
        self._added({**output, "status": "completed"})

    def fails(self) -> None:
        """A response that failed, and a command that was refused."""
        response_id = self._begins()
        error = {"type": "server_error", "code": "rate_limit_exceeded", "message": "too much at once"}
        self._done(response_id, [], "failed", {"type": "failed", "error": error})
        detail = {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "no such voice",
            "param": "voice",
        }
        self.client("session.update", session={"type": "realtime", "instructions": self.words(4)})
        self.server("error", error={**detail, "event_id": f"cmd_{self.made}"})

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _user_item(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id("item"), "type": "message", "role": "user", "status": "completed", "content": content}

    def _played(self, kind: str, item_id: str, ms: int) -> None:
        self.input(kind, item_id=item_id, content_index=0, samples=ms * RATE // 1000)

    def _added(self, item: dict[str, Any]) -> None:
        self.server("conversation.item.added", item=item, previous_item_id=self.previous)
        self.server("conversation.item.done", item=item, previous_item_id=self.previous)
        self.previous = item["id"]

    def _begins(self) -> str:
        self.wait(self.random.gammavariate(2, 40))
        response_id = self.id("resp")
        response = {"id": response_id, "object": "realtime.response", "status": "in_progress", "output": []}
        self.server("response.created", response=response)
        return response_id

    def _item_added(self, response_id: str, item: dict[str, Any]) -> None:
        self.server("response.output_item.added", response_id=response_id, output_index=0, item=item)
        self.server("conversation.item.added", item=item, previous_item_id=self.previous)

    def _item_done(self, response_id: str, item: dict[str, Any]) -> None:
        self.server("conversation.item.done", item=item, previous_item_id=self.previous)
        self.server("response.output_item.done", response_id=response_id, output_index=0, item=item)
        self.previous = item["id"]

    def _done(
        self,
        response_id: str,
        output: list[dict[str, Any]],
        status: str = "completed",
        details: dict[str, Any] | None = None,
    ) -> None:
        used = self.random.randint(50, 400)
        usage = {
            "total_tokens": used + 90,
            "input_tokens": used,
            "output_tokens": 90,
            "input_token_details": {
                "text_tokens": used - 20,
                "audio_tokens": 20,
                "cached_tokens": used // 2,
                "cached_tokens_details": {"text_tokens": used // 2, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 60},
        }
        response = {"id": response_id, "object": "realtime.response", "status": status, "status_details": details}
        self.server("response.done", response={**response, "output": output, "usage": usage})


def made(seed: int, *, turns: int | None = None, audio: bool = False) -> list[bytes]:
    """The journal of a session that this seed makes; ``audio``: with sound of its real size."""
    session = MadeSession(seed, audio=audio)
    for _ in range(turns if turns is not None else session.random.randint(2, 6)):
        kind = session.random.choices(("spoken", "cut", "typed", "tool", "failed"), (5, 2, 3, 2, 1))[0]
        session.wait(session.random.uniform(200, 2500))
        if kind == "typed":
            session.typed()
            session.writes(deltas=session.random.randint(3, 20))
            continue
        item_id = session.speaks(session.random.randint(5, 15) * 100)
        if kind == "tool":
            session.calls()
            session.answers(deltas=session.random.randint(4, 12))
        elif kind == "failed":
            session.fails()
        else:
            session.answers(
                deltas=session.random.randint(6, 20), cut=kind == "cut", player=session.random.random() < 0.5
            )
        session.transcribed(item_id)
        if kind == "cut":
            session.answers(deltas=4)
    return session.lines


def fill(folder: Path, number: int) -> Iterator[Path]:
    """Write this many journals into a folder."""
    for seed in range(number):
        path = folder / f"session-{seed:05}.jsonl"
        path.write_bytes(b"".join(made(seed)))
        yield path


if __name__ == "__main__":
    print(sum(path.stat().st_size for path in fill(Path(sys.argv[1]), int(sys.argv[2]))), "bytes")
