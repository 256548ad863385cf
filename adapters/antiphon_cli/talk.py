"""``antiphon talk``: one conversation with a Realtime server, shown as it grows and kept in files."""

from __future__ import annotations

import argparse
import asyncio
import importlib.resources
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

import antiphon
import antiphon_asyncio
import antiphon_server
from antiphon import messages as m
from antiphon.machines import RULES
from antiphon.toolkit import Journal
from antiphon_audio import WavAudio, WavError, read_wav
from antiphon_cli.console import Console, ExitCode, UserError, clean
from antiphon_cli.devices import CHUNK_MS, RATE, Microphone, PartKey, Recording, Speaker, level
from antiphon_cli.dialogue import Call, Dialogue
from antiphon_cli.journal import JournalError, JournalFile
from antiphon_cli.screen import PlainScreen, Screen, View, screen_for
from antiphon_cli.tools import TOOLS, call_tool
from antiphon_server.script import welcome_script

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES: Final = """\
examples:
  antiphon talk                                 an embedded server and a bundled question: no key, no sound card
  antiphon talk --text "How is the weather?"    a written question; the answer goes to stdout
  antiphon talk --input question.wav --output both.wav
  antiphon talk wss://api.openai.com/v1/realtime?model=gpt-realtime --api-key KEY

A spoken conversation is kept in talk.wav (left: you, right: the assistant, as it was heard) and talk.jsonl (a journal
for 'antiphon check') in the current directory, unless --output and --record name other files; a written one only where
they do. Existing files are replaced. Without --api-key, OPENAI_API_KEY is used for api.openai.com, and nowhere else.

exit codes: 0 well, 1 a turn failed or the server broke a rule, 2 wrong usage or unreadable input,
            3 unreachable, refused, or no Realtime server, 130 interrupted
"""

_INSTRUCTIONS: Final = (
    "You are the voice in a demonstration. Answer in three or four short sentences. Ask get_weather for the weather."
)
_DEFAULT_WAV: Final = "talk.wav"
_DEFAULT_JOURNAL: Final = "talk.jsonl"
_OPENAI_HOST: Final = "api.openai.com"
_OPENAI_MODEL: Final = "gpt-realtime"
_TRANSCRIBER: Final = "gpt-4o-mini-transcribe"

_NS: Final = 1_000_000_000
_TICK: Final = CHUNK_MS * 1_000_000
_HELLO_SECONDS: Final = 10.0
_TAKEN_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 20.0
_QUIET_SECONDS: Final = 0.4
_HEARD_BEFORE_BARGE_IN: Final = 2.2
_METER: Final = 10
_MOST_ROUNDS: Final = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("url", metavar="URL", nargs="?", help="ws:// or wss://; without it a server is started here")
    parser.add_argument("--text", metavar="TEXT", help="ask this in writing, and print the answer")
    parser.add_argument("--input", metavar="mic|FILE.wav", help="what to say (default: a bundled question)")
    parser.add_argument("--output", metavar="speaker|FILE.wav", help=f"where the sound goes (default: {_DEFAULT_WAV})")
    parser.add_argument("--record", metavar="FILE.jsonl", help=f"where the journal goes (default: {_DEFAULT_JOURNAL})")
    parser.add_argument("--api-key", metavar="KEY", help="sent as a bearer token")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Hold the conversation and return the exit code. Raises `UserError`."""
    plan = _plan(arguments)
    for note in plan.notes:
        console.err(f"antiphon talk: {clean(note)}")
    return asyncio.run(_talk(plan, console))


# The plan -----------------------------------------------------------------------------------------------------------


_ONE_SOCKET: Final = antiphon.SessionConfig(renewal=antiphon.RenewalPolicy(reconnect=False))
"""Who runs a short conversation wants to hear that it broke off, and its record is of one session."""


class Clip(NamedTuple):
    """Something to say: PCM16 at 24 kHz, and its words where they are known."""

    pcm: bytes
    words: str = ""


class Plan(NamedTuple):
    """What was asked for. Without ``endpoint`` a server is started; ``text`` is a written turn, else ``clips`` are
    said, each after the first into the answer to the one before."""

    endpoint: antiphon.Endpoint | None
    text: str | None
    clips: tuple[Clip, ...]
    output: str | None
    record: str | None
    notes: tuple[str, ...] = ()

    @property
    def speaks(self) -> bool:
        """Whether the answer is wanted as sound."""
        return self.text is None or self.output is not None


def _plan(arguments: argparse.Namespace) -> Plan:
    for name, value in (("--input mic", arguments.input == "mic"), ("--output speaker", arguments.output == "speaker")):
        if value:
            raise UserError(
                f"{name} needs the [audio] extra, which comes with a later edition; name a WAV file instead"
            )
    text: str | None = arguments.text
    if text is not None:
        if arguments.input is not None:
            raise UserError("--text and --input are two ways to ask: give one of them")
        if not text.strip():
            raise UserError("--text is empty")
        if any("\ud800" <= each <= "\udfff" for each in text):
            raise UserError("--text is no valid text in this terminal's encoding")
    notes: tuple[str, ...] = ()
    clips: tuple[Clip, ...] = ()
    if arguments.input is not None:
        audio = _read(arguments.input)
        clips = (Clip(audio.pcm),)
        notes = tuple(f"{arguments.input}: {note}" for note in audio.notes)
    elif text is None:
        clips = _bundled()
    output = arguments.output if arguments.output is not None or text is not None else _DEFAULT_WAV
    record = arguments.record if arguments.record is not None or text is not None else _DEFAULT_JOURNAL
    return Plan(_endpoint(arguments.url, arguments.api_key), text, clips, output, record, notes)


def _read(path: str) -> WavAudio:
    try:
        return read_wav(path, rate=RATE)
    except WavError as error:
        raise UserError(str(error)) from None


def _bundled() -> tuple[Clip, ...]:
    assets = importlib.resources.files("antiphon_cli").joinpath("assets")
    clips = []
    for name, words in (
        ("question.wav", "What is the weather in Paris?"),
        ("barge_in.wav", "Stop, and what about London?"),
    ):
        with importlib.resources.as_file(assets.joinpath(name)) as path:
            clips.append(Clip(_read(str(path)).pcm, words))
    return tuple(clips)


def _endpoint(url: str | None, key: str | None) -> antiphon.Endpoint | None:
    if url is None:
        if key is not None:
            raise UserError("--api-key goes with a URL: the embedded server asks for none")
        return None
    try:
        endpoint = antiphon.Endpoint.custom(url, api_key=key)
        if endpoint.host == _OPENAI_HOST:
            key = key or os.environ.get("OPENAI_API_KEY") or None
            if key is None:
                raise UserError(f"{_OPENAI_HOST} needs a key: --api-key KEY, or OPENAI_API_KEY")
            model = None if "model=" in endpoint.query else _OPENAI_MODEL
            endpoint = antiphon.Endpoint.openai(model, api_key=key, base_url=url)
    except ValueError as error:
        raise UserError(f"{clean(url)} cannot be dialled: {error}") from None
    return endpoint


# The conversation ---------------------------------------------------------------------------------------------------


async def _talk(plan: Plan, console: Console) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: console.err(f"antiphon talk: {_unforeseen(context)}"))
    async with AsyncExitStack() as stack:
        endpoint = plan.endpoint
        if endpoint is None:
            server = await antiphon_server.serve(welcome_script(), "127.0.0.1", 0)
            stack.push_async_callback(_stop, server)
            endpoint = antiphon.Endpoint.custom(server.url)
        return await Talk(plan, endpoint, console).hold()


async def _stop(server: antiphon_asyncio.Server) -> None:
    server.close()
    await server.wait_closed()


def _unforeseen(context: Mapping[str, object]) -> str:
    error = context.get("exception")
    return clean(f"{context.get('message')}: {error!r}" if error is not None else str(context.get("message")))


async def _first_event(connection: antiphon_asyncio.AsyncConnection, stranger: asyncio.Future[object]) -> object:
    """What the server says first, None when that is nothing of the protocol (``stranger`` tells so). Raises
    TimeoutError when it says nothing."""

    async def receive() -> object:
        return await connection.recv()

    first = asyncio.create_task(receive())
    try:
        await asyncio.wait({first, stranger}, timeout=_HELLO_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if stranger.done():  # an event that had to be repaired is reported too, and delivered
            await asyncio.wait({first}, timeout=_TAKEN_SECONDS)
        if first.done():
            return await first
    finally:
        first.cancel()
    if stranger.done():
        return None
    raise TimeoutError


class Talk:
    """One conversation over one connection."""

    def __init__(self, plan: Plan, endpoint: antiphon.Endpoint, console: Console) -> None:
        self._plan = plan
        self._endpoint = endpoint
        self._console = console
        # A written answer alone goes to stdout, so that it can be used; everything about it goes to stderr.
        self._is_written = plan.text is not None and not plan.speaks
        self._screen: Screen = PlainScreen(Console(console.stderr)) if self._is_written else PlainScreen(console)
        self._microphone = Microphone()
        self._start = time.monotonic_ns()
        self._speaker = Speaker(self._start)
        self._recording: Recording | None = None
        self._journal: JournalFile | None = None
        self._unwritten: bytearray | None = bytearray()
        self._dialogue = Dialogue(
            self._screen,
            self._heard_words,
            stream=self._write if self._is_written else None,
            transcribes=self._transcribes,
        )
        self._requests: list[antiphon_asyncio.Request] = []
        self._connection: antiphon_asyncio.AsyncConnection | None = None
        self._moved = self._start
        """When something happened last, ns."""
        self._said_samples = 0
        self._has_begun = False
        self._levels = {side: deque([0.0] * _METER, _METER) for side in ("user", "assistant")}

    async def hold(self) -> int:
        """Talk, and return the exit code."""
        endpoint = self._endpoint
        where = f"{endpoint.scheme}://{endpoint.authority}{endpoint.path}"  # the query may hold a key
        interrupted = False
        try:
            async with self._connected(where) as connection:
                self._open_files()
                self._has_begun = True
                if not self._is_written:
                    self._screen = self._dialogue.screen = screen_for(self._console)
                    self._screen.line("server", where, "(embedded)" if self._plan.endpoint is None else "")
                await self._converse(connection)
        except asyncio.CancelledError:
            interrupted = True
            raise
        finally:
            self._screen.close()
            self._close_files()
            if self._has_begun:
                self._dialogue.break_off()
                if not self._is_written:
                    self._summarise(interrupted=interrupted)
        broken = self._rules_broken()
        return ExitCode.BROKEN if self._dialogue.failures or broken else ExitCode.WELL

    @asynccontextmanager
    async def _connected(self, where: str) -> AsyncIterator[antiphon_asyncio.AsyncConnection]:
        """The connection, once its server has shown itself. Raises `UserError` when there is none to talk to."""
        stranger: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def observe(action: antiphon.Action) -> None:
            if isinstance(action, antiphon.Report) and not stranger.done():
                stranger.set_result(None)

        connector = antiphon_asyncio.connect(
            self._endpoint,
            config=_ONE_SOCKET,
            observer=observe,
            player=self,
            record=Journal(self._record, failed=self._cannot_record) if self._plan.record is not None else None,
        )
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(connector)
                first = await _first_event(connection, stranger)
            except antiphon.RemoteProtocolError as error:
                raise UserError(f"{where}: {error.fault.message}", ExitCode.UNREACHABLE) from None
            except antiphon_asyncio.ConnectionClosed as error:
                raise UserError(f"{where}: {error}", ExitCode.UNREACHABLE) from None
            except TimeoutError:
                message = f"{where} is no Realtime server: it said nothing for {_HELLO_SECONDS:.0f} s"
                raise UserError(message, ExitCode.UNREACHABLE) from None
            if isinstance(first, m.Error):
                message = first.error.message
                raise UserError(f"{where} refused: {message}", ExitCode.UNREACHABLE)
            if not isinstance(first, m.SessionCreated):
                message = f"{where} is no Realtime server: it did not begin with session.created"
                raise UserError(message, ExitCode.UNREACHABLE)
            self._connection = connection
            yield connection

    @property
    def _transcribes(self) -> bool:
        # The embedded server has no recogniser, and the words of the bundled clips are known.
        return self._plan.endpoint is not None and self._plan.text is None

    async def _converse(self, connection: antiphon_asyncio.AsyncConnection) -> None:
        """Run the devices and the events until the conversation is over, or one of them fails."""
        tasks = {
            asyncio.create_task(self._listen(connection)),
            asyncio.create_task(self._run_devices(connection)),
        }
        director = asyncio.create_task(self._direct(connection))
        try:
            await asyncio.wait({*tasks, director}, return_when=asyncio.FIRST_COMPLETED)
            for task in (director, *tasks):
                if task.done():
                    await task
                    break
        except antiphon.RemoteProtocolError as error:
            self._fail(f"the conversation broke off: {error.fault.message}")
        except (WavError, JournalError) as error:
            raise UserError(str(error)) from None
        finally:
            for task in (director, *tasks):
                task.cancel()
            await asyncio.gather(director, *tasks, return_exceptions=True)

    # -- what is said --------------------------------------------------------------------------------------------------

    async def _direct(self, connection: antiphon_asyncio.AsyncConnection) -> None:
        """Say what there is to say, and wait until all of it is answered."""
        plan = self._plan
        await connection.session.update(session=self._session())
        if plan.text is not None:
            content = [{"type": "input_text", "text": plan.text}]
            await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            self._dialogue.user_wrote(plan.text, time.monotonic_ns())
            if not self._is_written:
                self._screen.line("you", plan.text)
            self._requests.append(await connection.response.create())
        elif not await self._until(
            lambda: self._dialogue.is_configured, "the server did not take the session's settings"
        ):
            return
        for number, clip in enumerate(plan.clips):
            if number and not await self._until(self._is_worth_interrupting, "no answer came"):
                return
            self._say(clip)
            if not await self._until(lambda: not self._microphone.is_speaking, "the microphone stopped"):
                return
        wanted = len(plan.clips)
        if not await self._until(lambda: self._dialogue.turns >= wanted, "the server heard no speech"):
            return
        await self._until(self._is_over, "no answer came", held=_QUIET_SECONDS)
        if any(isinstance(request.settled, antiphon.TimedOut) for request in self._requests):
            self._fail("the server did not begin an answer in time")

    def _say(self, clip: Clip) -> None:
        self._microphone.say(clip.pcm)
        samples, begin = len(clip.pcm) // 2, self._said_samples

        def caption() -> str:
            said = min(1.0, (self._said_samples - begin) / samples)
            return clip.words if said >= 0.9 else clip.words[: round(len(clip.words) * said)]

        self._dialogue.caption = caption if clip.words else str

    def _is_worth_interrupting(self) -> bool:
        """Whether enough of an answer was heard, or all of it."""
        heard = self._dialogue.heard_of_answer(self._speaker.heard)
        return heard >= _HEARD_BEFORE_BARGE_IN or self._is_over()

    def _is_over(self) -> bool:
        return (
            self._dialogue.is_settled
            and not self._microphone.is_speaking
            and all(request.settled is not None for request in self._requests)
        )

    async def _until(self, condition: Callable[[], bool], otherwise: str, *, held: float = 0.0) -> bool:
        """Wait until the condition has held for ``held`` seconds; False, and a failed turn, when nothing happens for
        too long."""
        held_since: int | None = None
        while True:
            now = time.monotonic_ns()
            if not condition():
                held_since = None
            elif held_since is None:
                held_since = now
            if held_since is not None and now - held_since >= held * _NS:
                return True
            if now - self._moved > _PATIENCE_SECONDS * _NS:
                self._fail(f"{otherwise} ({_PATIENCE_SECONDS:.0f} s without a sign)")
                return False
            await asyncio.sleep(CHUNK_MS / 1000)

    def _session(self) -> Mapping[str, object]:
        session: dict[str, object] = {
            "type": "realtime",
            "output_modalities": ["audio" if self._plan.speaks else "text"],
            "instructions": _INSTRUCTIONS,
            "tools": list(TOOLS),
        }
        if self._plan.speaks:
            pcm = {"type": "audio/pcm", "rate": RATE}
            heard: dict[str, object] = {
                "format": pcm,
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 500,
                    "create_response": True,
                    "interrupt_response": True,
                },
            }
            if self._transcribes:
                heard["transcription"] = {"model": _TRANSCRIBER}
            session["audio"] = {"input": heard, "output": {"format": pcm}}
        return session

    # -- what comes ----------------------------------------------------------------------------------------------------

    async def _listen(self, connection: antiphon_asyncio.AsyncConnection) -> None:
        rounds: set[str] = set()  # responses with calls
        async for event in connection:
            self._moved = time.monotonic_ns()
            for call in self._dialogue.take(event, self._moved):
                await self._answer(connection, call)
                rounds.add(call.response_id)
            if isinstance(event, m.ResponseDone):
                self._dialogue.show_heard(self._speaker.heard)
                if event.response.id in rounds and event.response.status == "completed":
                    if len(rounds) > _MOST_ROUNDS:
                        self._fail(f"the model called functions in {len(rounds)} answers")
                        return
                    self._requests.append(await connection.response.create())
        self._fail("the server ended the conversation")

    async def _answer(self, connection: antiphon_asyncio.AsyncConnection, call: Call) -> None:
        output = call_tool(call.name, call.arguments)
        self._dialogue.tool_called(call, output)
        item = {"type": "function_call_output", "call_id": call.call_id, "output": output}
        await connection.conversation.item.create(item=item)

    def _heard_words(self, item_id: str, content_index: int) -> str:
        node = None if self._connection is None else self._connection.history.get(item_id)
        cut = None if node is None else node.cuts.get(content_index)
        return "" if cut is None else cut.heard

    # -- the devices ---------------------------------------------------------------------------------------------------

    async def _run_devices(self, connection: antiphon_asyncio.AsyncConnection) -> None:
        """Every `CHUNK_MS` ms of real time: a chunk of the microphone out, a chunk of the answer to the ear."""
        due = time.monotonic_ns()
        while True:
            due += _TICK
            await asyncio.sleep(max(0, due - time.monotonic_ns()) / _NS)
            if self._plan.text is None and self._dialogue.is_configured:
                await self._send_chunk(connection, due)
            self._play_out()
            self._dialogue.show_heard(self._speaker.heard)
            self._screen.show(self._view())

    async def _send_chunk(self, connection: antiphon_asyncio.AsyncConnection, due: int) -> None:
        if self._microphone.is_speaking:
            self._moved = due
        chunk = self._microphone.read()
        await connection.input_audio_buffer.append(audio=chunk)
        self._said_samples += len(chunk) // 2
        self._levels["user"].append(level(chunk))
        if self._recording is not None:
            self._recording.add("user", chunk, due)

    def _play_out(self) -> None:
        """Let the loudspeaker play until now, and tell the engine what was heard."""
        now = time.monotonic_ns()
        sounds = self._speaker.advance(now)
        for sound in sounds:
            self._moved = now
            self._dialogue.heard(sound)
            if self._connection is not None:
                self._connection.audio_played(sound.key.item_id, sound.key.content_index, sound.played)
        audio = b"".join(sound.audio for sound in sounds)
        self._levels["assistant"].append(level(audio))
        if self._recording is not None and audio:
            self._recording.add("assistant", audio, now)

    def play(self, audio: antiphon.PlayAudio, /) -> None:
        """For the connection: audio of an answer came."""
        unplayable = self._speaker.unplayable
        self._speaker.play(audio)
        if self._speaker.unplayable == unplayable:
            key = PartKey(audio.item_id, audio.content_index)
            self._dialogue.audio_came(key, len(audio.audio) // 2, time.monotonic_ns())
        elif unplayable == 0:
            self._screen.line("error", f"the server speaks in a format that is not played here: {audio.format.type}")

    def stop(self, item_id: str, content_index: int, /) -> int:
        """For the connection: silence, now. Answers what was heard."""
        self._play_out()
        return self._speaker.stop(item_id, content_index)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _open_files(self) -> None:
        """Not before there is somebody to talk to: an old recording is not replaced by nothing."""
        try:
            if self._plan.output is not None:
                self._recording = Recording(self._plan.output, time.monotonic_ns())
            if self._plan.record is not None:
                self._journal = JournalFile(self._plan.record)
        except (WavError, JournalError) as error:
            raise UserError(str(error)) from None
        if self._journal is not None and self._unwritten:
            try:
                self._journal.write(bytes(self._unwritten))
            except JournalError as error:
                self._cannot_record(error)
        self._unwritten = None

    def _record(self, lines: bytes) -> None:
        if self._unwritten is not None:
            self._unwritten += lines
        elif self._journal is not None:
            self._journal.write(lines)

    def _cannot_record(self, error: Exception) -> None:
        self._screen.line("error", str(error))

    def _close_files(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._recording is not None:
            try:
                self._recording.close()
            except WavError as error:
                self._fail(str(error))

    # -- what is shown -------------------------------------------------------------------------------------------------

    def _fail(self, message: str) -> None:
        self._dialogue.failures.append(message)
        self._screen.line("error", message)

    def _write(self, piece: str) -> None:
        self._console.piece(clean(piece, lines=True))

    def _view(self) -> View:
        dialogue = self._dialogue
        growing = dialogue.growing
        text, heard = "", 1.0
        if growing is not None:
            key, text, received = growing
            heard = min(1.0, self._speaker.heard(key) / received) if received else 0.0
        return View(
            (time.monotonic_ns() - self._start) / _NS,
            dialogue.state,
            dialogue.caption() if self._microphone.is_speaking or dialogue.user_speaks else "",
            text,
            heard,
            tuple(self._levels["user"]),
            tuple(self._levels["assistant"]),
        )

    def _rules_broken(self) -> int:
        return 0 if self._connection is None else sum(self._connection.engine.session.reports.values())

    def _summarise(self, *, interrupted: bool) -> None:
        dialogue, fact = self._dialogue, self._screen.fact
        self._console.out()
        if interrupted:
            fact("interrupted", "what was recorded until now is kept")
        fact("turns", str(dialogue.turns))
        fact("first audio", ", ".join(f"{seconds:.2f} s" for seconds in dialogue.first_audio) or "none came")
        fact("audio sent", f"{self._said_samples / RATE:.1f} s")
        fact("audio heard", f"{dialogue.heard_samples / RATE:.1f} s of {dialogue.received_samples / RATE:.1f} s")
        for cut in dialogue.cuts:
            fact("cut", f"at {cut.heard_ms} ms of {cut.received_ms} ms: {cut.words or 'before a word was heard'}")
        fact("rules broken", str(self._rules_broken()))
        if self._connection is not None:
            for (rule, event_type), count in self._connection.engine.session.reports.items():
                fact("", f"{rule} by {event_type or 'the peer'}, {count} times: {RULES.get(rule, '')}")
        written = [file for file in (self._plan.output, self._plan.record) if file is not None]
        if written:
            fact("written", ", ".join(written))
