"""Two engines, the link between them, and somebody at each end.

At the client's end are an application and a player, at the server's end a brain and a voice detector. What each of them
does is a script of `Act`s, so that a failing example shrinks to the acts that matter; a whole conversation is a value
and plays the same way every time. No rule of the protocol is known here beyond what a user of the engine has to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Self

import msgspec
from msgspec import UNSET, Struct, structs

import antiphon
from antiphon import (
    ArgumentsDelta,
    AudioDelta,
    Content,
    Deliver,
    InputCommitted,
    ItemFinished,
    ItemStarted,
    PlayAudio,
    RequestSettled,
    ResponseCancelled,
    ResponseFinished,
    ResponseRequested,
    StopAudio,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    inputs,
)
from antiphon import messages as m

from .link import Link, Watch, unwatched
from .values import MS, SECOND, SIDES, Act, Outcome, Refused, Setup, Side


class _Part:
    """One audio part as the device sees it; samples."""

    def __init__(self) -> None:
        self.received = 0
        self.played = 0


class _Job:
    """A response that the brain owes content for."""

    def __init__(self, response_id: str, speaks: bool) -> None:
        self.response_id = response_id
        self.speaks = speaks
        self.kinds: list[Literal["text", "audio", "function_call"]] = []
        self.open: list[int] = []
        self.cancelled = False


class World(Link):
    """A `Link` with people."""

    def __init__(self, setup: Setup, watch: Watch = unwatched) -> None:
        super().__init__(setup, watch)
        # the application and the player
        self.asked: list[str] = []
        self.settled: list[RequestSettled] = []
        self._calls: list[str] = []
        self._parts: dict[tuple[str, int], _Part] = {}
        self._stops: list[StopAudio] = []
        self._made = 0
        # the brain and the voice detector
        self._jobs: list[_Job] = []
        self._heard: list[str] = []

    # -- playing -------------------------------------------------------------------------------------------------------

    def play(self, script: Sequence[Act]) -> Self:
        """Perform a whole script; the dial comes after the first `Setup.early` acts."""
        for number, act in enumerate(script):
            if number == self.setup.early:
                self.begin()
            self.perform(act)
        if len(script) <= self.setup.early:
            self.begin()
        return self

    def perform(self, act: Act) -> None:
        """One act, and what it leads to at once."""
        getattr(self, f"do_{act.verb}")(act)
        self.advance(0)

    def finish(self) -> None:
        """Let everything arrive, end the conversation as a good application does, and drive both ends to theirs."""
        self.do_settle()
        for side in SIDES:
            self.feed(side, inputs.Close())
            self.advance(2000)  # so the server's close finds its engine over, unless no socket ever joined the two
        self.drive_bounded()

    def do_settle(self, _act: Act | None = None) -> None:
        """The brain says the rest of what it owes, and everything on its way arrives."""
        for job in list(self._jobs):
            self._say(ResponseFinished(response_id=job.response_id))
        while any(pipe.waiting for pipe in self._pipes.values()) or self._dialled_at is not None:
            self._next(self.now + 3600 * SECOND)
            for job in list(self._jobs):
                self._say(ResponseFinished(response_id=job.response_id))

    def told(self, side: Side, action: antiphon.Action) -> None:
        """What the two ends remember of what their engine did."""
        if side == "client":
            self._client_told(action)
        else:
            self._server_told(action)

    def _client_told(self, action: antiphon.Action) -> None:
        if isinstance(action, PlayAudio):
            part = self._parts.setdefault((action.item_id, action.content_index), _Part())
            part.received = action.start + len(action.audio) // action.format.bytes_per_sample
        elif isinstance(action, StopAudio):
            self._stops.append(action)
        elif isinstance(action, RequestSettled):
            self.settled.append(action)
        elif isinstance(action, Deliver) and isinstance(action.event, m.ResponseOutputItemDone):
            item = action.event.item
            if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
                self._calls.append(item.call_id)

    def _server_told(self, action: antiphon.Action) -> None:
        if isinstance(action, ResponseRequested):
            modalities = action.params.output_modalities or ["audio"]
            self._jobs.append(_Job(action.response_id, "audio" in modalities))
        elif isinstance(action, ResponseCancelled):
            for job in self._jobs:
                job.cancelled = job.cancelled or job.response_id == action.response_id
        elif isinstance(action, InputCommitted):
            self._heard.append(action.item_id)

    def left(self) -> None:
        self._jobs.clear()
        self._heard.clear()

    # -- the link's acts -----------------------------------------------------------------------------------------------

    def do_wait(self, act: Act) -> None:
        """Time passes: nothing, a moment, or longer than any timer."""
        self.advance((0, 1, 20, 100, 600, 3000, 12_000, 31_000)[act.a % 8])

    def do_lag(self, act: Act) -> None:
        """From now on the link is this slow."""
        self._latency = (0, 5 * MS, 80 * MS, 700 * MS)[act.a % 4]

    def do_drop(self, act: Act) -> None:
        """The connection breaks. What was on its way is lost, or only the end of it."""
        for side in SIDES:
            pipe = self._pipes[side]
            while len(pipe.waiting) > act.b % 4:
                pipe.waiting.pop()
            if self._alive[side]:
                pipe.put(self.now, "end")

    def do_tick(self, act: Act) -> None:
        """A tick that nobody needs."""
        self.feed(SIDES[act.a % 2], inputs.Tick())

    # -- the application's acts ----------------------------------------------------------------------------------------

    def command(self, event: m.ClientEvent) -> Outcome:
        """The application sends ``event``."""
        return self.feed("client", inputs.Send(event))

    def _items(self) -> list[str]:
        return [node.id for node in self.client.conversation]

    def _name(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made}"

    def do_say(self, act: Act) -> None:
        """An item of text: of any role, with or without an id, at the end, the front, or behind another."""
        roles: tuple[tuple[str, m.Content], ...] = (
            ("user", m.InputText(text="hello é")),
            ("system", m.InputText(text="be kind")),
            ("assistant", m.OutputText(text="I was")),
            ("user", m.InputAudio(audio="AAAA", transcript="la")),
        )
        role, content = roles[act.a % 4]
        items = self._items()
        previous = (UNSET, UNSET, None, "", "root", items[act.b % len(items)] if items else "root")[act.b % 6]
        name = self._name("mine") if act.a % 3 else UNSET
        self.command(
            m.ConversationItemCreate(
                item=m.MessageItem(id=name, role=role, content=[content]), previous_item_id=previous
            )
        )

    def do_call(self, act: Act) -> None:
        """A call of a function that was made elsewhere becomes part of the history."""
        call_id = self._name("call")
        item = m.FunctionCallItem(id=self._name("mine"), name="look_up", call_id=call_id, arguments="{}")
        if not isinstance(self.command(m.ConversationItemCreate(item=item)), Refused):
            self._calls.append(call_id)

    def do_output(self, act: Act) -> None:
        """The output of a call."""
        if self._calls:
            item = m.FunctionCallOutputItem(call_id=self._calls[act.a % len(self._calls)], output="42")
            self.command(m.ConversationItemCreate(item=item))

    def do_ask(self, act: Act) -> None:
        """`response.create`: plain, with parameters, out of band."""
        params = (
            UNSET,
            UNSET,
            m.ResponseCreateParams(),
            m.ResponseCreateParams(conversation="none", output_modalities=["text"]),
            m.ResponseCreateParams(instructions="shortly", metadata={"mine": str(act.b)}),
            m.ResponseCreateParams(conversation="none", metadata={"mine": "x"}, input=[]),
            m.ResponseCreateParams(audio=m.AudioConfig(output=m.AudioOutput(format=m.AudioFormat(type="audio/pcma")))),
        )[act.a % 7]
        event_id = self._name("ask")
        if not isinstance(self.command(m.ResponseCreate(event_id=event_id, response=params)), Refused):
            self.asked.append(event_id)

    def do_cancel(self, act: Act) -> None:
        """`response.cancel`: of whatever runs, or of one by name."""
        running = [record.id for record in self.client.responses.values() if record.is_open]
        name = running[act.b % len(running)] if running and act.a % 2 else UNSET
        self.command(m.ResponseCancel(response_id=name))

    def do_speak(self, act: Act) -> None:
        """Microphone audio."""
        format = self.client.input_audio_buffer.format
        ms = (20, 40, 110, 250)[act.a % 4]
        self.feed("client", inputs.AppendAudio(b"\x01" * (format.rate * ms // 1000 * format.bytes_per_sample)))

    def do_commit(self, _act: Act) -> None:
        """`input_audio_buffer.commit`"""
        self.command(m.InputAudioBufferCommit())

    def do_clear(self, _act: Act) -> None:
        """`input_audio_buffer.clear`"""
        self.command(m.InputAudioBufferClear())

    def do_configure(self, act: Act) -> None:
        """`session.update` of one thing."""
        self.command(m.SessionUpdate(session=_UPDATES[act.a % len(_UPDATES)]))

    def do_delete(self, act: Act) -> None:
        """`conversation.item.delete`"""
        for item_id in _chosen(self._items(), act.a):
            self.command(m.ConversationItemDelete(item_id=item_id))

    def do_retrieve(self, act: Act) -> None:
        """`conversation.item.retrieve`"""
        for item_id in _chosen(self._items(), act.a):
            self.command(m.ConversationItemRetrieve(item_id=item_id))

    def do_truncate(self, act: Act) -> None:
        """`conversation.item.truncate`, by an application that cuts by itself (where it takes audio at all)."""
        if not self.setup.decode_audio:
            return
        for item_id in _chosen(self._items(), act.a):
            self.command(m.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=act.b * 7))

    def do_listen(self, act: Act) -> None:
        """The device reports how far it has played a part: a little further each time, or to its end."""
        if self._parts:
            key = list(self._parts)[act.a % len(self._parts)]
            part = self._parts[key]
            part.played = min(part.received, part.played + (240, 1000, 10**9)[act.b % 3])
            self.feed("client", inputs.AudioPlayed(*key, part.played))

    def do_stopped(self, act: Act) -> None:
        """The device answers a `StopAudio`, late perhaps."""
        if self._stops:
            stop = self._stops.pop(act.a % len(self._stops))
            part = self._parts.get((stop.item_id, stop.content_index), _Part())
            self.feed("client", inputs.AudioStopped(stop.item_id, stop.content_index, part.played + act.b % 300))

    def do_interrupt(self, _act: Act) -> None:
        """The button."""
        self.feed("client", inputs.Interrupt())

    def do_close(self, act: Act) -> None:
        """One end closes."""
        self.feed(SIDES[act.a % 2], inputs.Close(*((1000, "") if act.b % 2 else (4001, "enough"))))

    # -- the brain's acts ----------------------------------------------------------------------------------------------

    def _say(self, content: Content) -> Outcome:
        outcome = self.feed("server", inputs.Generate(content))
        if isinstance(content, ResponseFinished):
            self._jobs = [job for job in self._jobs if job.response_id != content.response_id]
        return outcome

    def do_think(self, act: Act) -> None:
        """The brain goes on with one of its responses: another item, more of an open one, its end, the end of all."""
        if not self._jobs:
            return
        job = self._jobs[act.a % len(self._jobs)]
        ended = job.cancelled or self.server.closed is not None
        choice = 9 if ended and act.b % 3 == 0 else act.b % 10
        if choice == 9:
            self._say(_endings(job.response_id)[act.a % 3])
        elif choice < 2 or not job.open:
            kinds: Sequence[Literal["text", "audio", "function_call"]] = (
                ("audio", "audio", "function_call", "text") if job.speaks else ("text", "text", "function_call")
            )
            kind = kinds[act.b % len(kinds)]
            index = len(job.kinds)
            job.kinds.append(kind)
            job.open.append(index)
            name = "look_up" if kind == "function_call" else ""
            self._say(ItemStarted(response_id=job.response_id, output_index=index, kind=kind, name=name))
        elif choice == 8:
            index = job.open.pop(act.a % len(job.open))
            self._say(ItemFinished(response_id=job.response_id, output_index=index))
        else:
            self._say(self._delta(job, job.open[act.a % len(job.open)], act.b))

    def _delta(self, job: _Job, index: int, b: int) -> Content:
        kind = job.kinds[index]
        text = ("la ", "é", "wörld ", "")[b % 4]
        if kind == "function_call":
            return ArgumentsDelta(response_id=job.response_id, output_index=index, delta='{"x": 1}')
        if kind == "audio" and b % 2:
            width = self.server.output_format.bytes_per_sample
            return AudioDelta(response_id=job.response_id, output_index=index, audio=b"\x02" * (width * (480 + b * 37)))
        return TextDelta(response_id=job.response_id, output_index=index, delta=text)

    def do_answer(self, act: Act) -> None:
        """The brain gives a whole answer at once, or ends with nothing said."""
        for _ in range(1 + act.b % 3):
            self.do_think(Act("think", act.a, 0))
            self.do_think(Act("think", act.a, 3))
            self.do_think(Act("think", act.a, 5))
            self.do_think(Act("think", act.a, 8))
        self.do_think(Act("think", act.a, 9))

    def do_turn(self, act: Act) -> None:
        """A request that is answered, as far as it gets: several acts that make sense in this order."""
        for verb, a, b in (
            ("ask", act.a, act.b), ("wait", 2, 0), ("think", 0, act.b), ("think", 0, 3), ("think", 0, 5),
            ("wait", 3, 0), ("listen", act.a, act.b), ("think", 0, 7), ("think", 0, act.a),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    def do_talk(self, act: Act) -> None:
        """Somebody speaks and is heard: audio, its beginning and end, and the answer's first words."""
        for verb, a, b in (
            ("speak", 3, 0), ("wait", 2, 0), ("hear", 1, 0), ("speak", act.a, 0), ("stopped", 0, act.b), ("wait", 2, 0),
            ("hear", act.b, 0), ("transcribe", 0, act.a), ("think", 0, act.b), ("think", 0, 3), ("wait", act.a % 4, 0),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    def do_hear(self, act: Act) -> None:
        """The voice detector hears speech begin, or end."""
        ms = self.server.input_audio_buffer.total_ms
        if act.a % 2:
            self.feed("server", inputs.SpeechStarted(max(0, ms - 30)))
        else:
            self.feed("server", inputs.SpeechStopped(ms))

    def do_transcribe(self, act: Act) -> None:
        """News of the transcription of something that was heard."""
        results: tuple[TranscriptDelta | TranscriptCompleted | TranscriptFailed, ...] = (
            TranscriptDelta("la "),
            TranscriptDelta("é"),
            TranscriptCompleted("la é", 1.5),
            TranscriptFailed("mumbling", "audio_unintelligible"),
        )
        for item_id in _chosen(self._heard, act.a):
            self.feed("server", inputs.Transcribed(item_id, 0, results[act.b % 4]))

    def do_inform(self, act: Act) -> None:
        """The server's application says something of its own."""
        self.feed("server", inputs.Send(m.RateLimitsUpdated(rate_limits=[m.RateLimit(name="tokens", limit=act.b)])))

    # -- acts of nobody who keeps the rules ----------------------------------------------------------------------------

    def do_inject(self, act: Act) -> None:
        """Something arrives that no engine sent: at the client or the server, as text, typed event, or bytes.

        ``@item``, ``@response`` and ``@call`` in a text stand for ids that exist.
        """
        side = SIDES[act.a % 2]
        payload = act.payload
        if isinstance(payload, (bytes, str)):
            payload = self._with_names(payload, act.b)
            if self.setup.level == "bytes":
                data = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
                if data:
                    self.feed(side, inputs.DataReceived(data))
            else:
                self.feed(side, inputs.MessageReceived(payload))
        else:
            self.feed(side, inputs.EventReceived(payload))

    def _with_names(self, text: bytes | str, b: int) -> bytes | str:
        names = {
            "@item": _chosen([node.id for node in self.client.conversation] or ["item_0"], b)[0],
            "@response": _chosen(list(self.client.responses) or ["resp_0"], b)[0],
            "@call": _chosen(self._calls or ["call_0"], b)[0],
        }
        for mark, name in names.items():
            if isinstance(text, str):  # noqa: SIM108 - one line would be too long
                text = text.replace(mark, name)
            else:
                text = text.replace(mark.encode(), name.encode())
        return text

    def do_push(self, act: Act) -> None:
        """A command that nobody has thought about, for one of the two engines; marks stand for ids here too."""
        if isinstance(act.payload, inputs.Send):
            event = act.payload.event
            text = self._with_names(msgspec.json.encode(event, enc_hook=lambda value: value.data), act.b)
            named = msgspec.json.decode(text, type=type(event)) if isinstance(event, Struct) else event
            self.feed(SIDES[act.a % 2], structs.replace(act.payload, event=named))
        else:
            if isinstance(act.payload, inputs.Opened):
                self._alive[SIDES[act.a % 2]] = True  # as far as this engine's driver says
            self.feed(SIDES[act.a % 2], act.payload)

    def do_oversleep(self, act: Act) -> None:
        """The drivers come back late: several timers are due at once, and what arrived meanwhile waits."""
        self.now += (1, 600, 40_000)[act.a % 3] * MS
        for side in SIDES:
            self.feed(side, inputs.Tick())


def _chosen(names: Sequence[str], number: int) -> list[str]:
    return [names[number % len(names)]] if names else []


def _endings(response_id: str) -> tuple[Content, Content, Content]:
    return (
        ResponseFinished(response_id=response_id, input_tokens=3, output_tokens=5),
        ResponseFinished(response_id=response_id, status="incomplete", reason="content_filter"),
        ResponseFinished(response_id=response_id, status="failed", error_code="rate_limit_exceeded"),
    )


def _hearing(detection: m.TurnDetection | None) -> m.RealtimeSession:
    return m.RealtimeSession(audio=m.AudioConfig(input=m.AudioInput(turn_detection=detection)))


def _speaking(output: m.AudioOutput) -> m.RealtimeSession:
    return m.RealtimeSession(audio=m.AudioConfig(output=output))


_UPDATES: Final[tuple[m.RealtimeSession, ...]] = (
    _hearing(None),
    _hearing(m.TurnDetection(type="server_vad", create_response=True, interrupt_response=True)),
    _hearing(m.TurnDetection(type="server_vad", create_response=False, interrupt_response=False)),
    _hearing(m.TurnDetection(type="semantic_vad")),
    _hearing(m.TurnDetection(type="server_vad", idle_timeout_ms=5000)),
    m.RealtimeSession(output_modalities=["text"]),
    m.RealtimeSession(output_modalities=["audio"]),
    _speaking(m.AudioOutput(voice="verse")),
    _speaking(m.AudioOutput(voice="alloy")),
    m.RealtimeSession(instructions="Answer in rhymes."),
    m.RealtimeSession(tools=[m.FunctionTool(name="look_up", parameters={"type": "object"})]),
    m.RealtimeSession(max_output_tokens=7, tool_choice="none"),
    m.RealtimeSession(),
)
