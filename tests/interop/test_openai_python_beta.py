"""The beta client of the released `openai` package, unchanged, against `antiphon serve` as a user starts it.

It asks for the beta dialect in its handshake, and reads what comes into the beta's classes.
"""

import asyncio
import base64
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon_audio import read_wav

openai = pytest.importorskip("openai", reason="the openai package is not installed")
pytest.importorskip("openai.resources.beta.realtime", reason="this openai package has no beta client any more")

LIMIT = 20.0
SPEECH = Path(__file__).parents[2] / "adapters/antiphon_cli/assets"

SCRIPT = """
[[reply]]
when = "weather"
call = [{ name = "get_weather", arguments = { city = "Paris" } }]
[[reply]]
after = "get_weather"
say = "It is {output}."
[[reply]]
when = "^$"
say = "I heard you."
[[reply]]
say = "You said: {user}"
"""


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `antiphon serve` listens; no dialect is named, so each client gets the one that it asks for."""
    script = tmp_path_factory.mktemp("serve") / "replies.toml"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "antiphon_cli", "serve", "--port", "0", "--brain", f"script:{script}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        yield first.removeprefix("listening on ").strip().removesuffix("/realtime")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0


@asynccontextmanager
async def conversation(base_url: str) -> AsyncIterator[Any]:
    """openai's beta connection to our server."""
    async with (
        openai.AsyncOpenAI(api_key="sk-test", websocket_base_url=base_url) as client,
        client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection,
    ):
        yield connection


def run(body: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run within the time limit."""

    async def main() -> None:
        async with asyncio.timeout(LIMIT):
            await body()

    asyncio.run(main())


async def ask(connection: Any, text: str) -> None:
    """A user's message, and the wish for an answer."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await connection.conversation.item.create(item=item)
    await connection.response.create()


async def until_done(connection: Any) -> tuple[Any, dict[str, list[Any]]]:
    """The next finished response, and the events before it by type; an error fails the test."""
    events: dict[str, list[Any]] = {}
    async for event in connection:
        assert event.type != "error", event
        events.setdefault(event.type, []).append(event)
        if event.type == "response.done":
            return event.response, events
    raise AssertionError(f"the connection ended; seen: {list(events)}")


def test_text_turn(base_url: str) -> None:
    async def body() -> None:
        async with conversation(base_url) as connection:
            await connection.session.update(session={"modalities": ["text"], "max_response_output_tokens": 100})
            await ask(connection, "good morning")
            response, events = await until_done(connection)
            assert (response.status, response.modalities) == ("completed", ["text"])
            assert response.output[0].content[0].text == "You said: good morning"
            assert response.output[0].content[0].type == "text"
            deltas = "".join(event.delta for event in events["response.text.delta"])
            assert deltas == "You said: good morning"
            (updated,) = events["session.updated"]
            assert (updated.session.modalities, updated.session.max_response_output_tokens) == (["text"], 100)
            assert [event.item.role for event in events["conversation.item.created"]] == ["user", "assistant"]
            assert "conversation.item.done" not in events

    run(body)


def test_audio_turn_with_server_vad(base_url: str) -> None:
    async def body() -> None:
        async with conversation(base_url) as connection:
            pcm = read_wav(SPEECH / "question.wav").pcm + bytes(48_000)
            for start in range(0, len(pcm), 1920):
                audio = base64.b64encode(pcm[start : start + 1920]).decode()
                await connection.input_audio_buffer.append(audio=audio)
            response, events = await until_done(connection)
            assert response.status == "completed"
            assert response.output[0].content[0].transcript == "I heard you."
            (created,) = events["session.created"]
            assert created.session.input_audio_format == "pcm16"
            assert created.session.turn_detection.type == "server_vad"
            heard = b"".join(base64.b64decode(event.delta) for event in events["response.audio.delta"])
            assert len(heard) > 24_000
            said = "".join(event.delta for event in events["response.audio_transcript.delta"])
            assert said == "I heard you."

    run(body)


def test_function_call_turn(base_url: str) -> None:
    async def body() -> None:
        async with conversation(base_url) as connection:
            tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
            await connection.session.update(session={"modalities": ["text"], "tools": [tool]})
            await ask(connection, "How is the weather?")
            response, events = await until_done(connection)
            (call,) = response.output
            assert (call.type, call.name, call.arguments) == ("function_call", "get_weather", '{"city": "Paris"}')
            assert events["response.function_call_arguments.done"][0].call_id == call.call_id
            output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
            await connection.conversation.item.create(item=output)
            await connection.response.create()
            response, _ = await until_done(connection)
            assert response.output[0].content[0].text == "It is sunny."

    run(body)


def test_a_key_of_ga_is_unknown_to_the_beta(base_url: str) -> None:
    async def body() -> None:
        async with conversation(base_url) as connection:
            await connection.session.update(session={"output_modalities": ["text"]})
            async for event in connection:
                if event.type == "error":
                    assert (event.error.code, event.error.param) == ("unknown_parameter", "session.output_modalities")
                    break

    run(body)
