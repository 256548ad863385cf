"""Who sits at the server's end: a brain that answers, a voice detector, and the way of audio that a server has itself.

Each ``do_VERB`` is one thing that they do. In a session that translates the brain says a translation, whatever act it
is asked for; in one that only transcribes it has nothing to answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import antiphon
from antiphon import (
    ArgumentsDelta,
    AudioDelta,
    Content,
    Deliver,
    InputCommitted,
    ItemFinished,
    ItemStarted,
    McpCallFinished,
    McpListingFinished,
    McpListingStarted,
    ResponseCancelled,
    ResponseFinished,
    ResponseRequested,
    SourceText,
    TextDelta,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TranscriptSegment,
    TranslatedAudio,
    TranslatedText,
    TranslationFinished,
    inputs,
)
from antiphon import messages as m

from .application import chosen
from .link import Link, Watch, unwatched
from .values import Act, Outcome, Setup

Kind: TypeAlias = Literal["text", "audio", "function_call", "mcp_call", "mcp_approval_request"]


class _Job:
    """A response that the brain owes content for."""

    def __init__(self, response_id: str, speaks: bool) -> None:
        self.response_id = response_id
        self.speaks = speaks
        self.kinds: list[Kind] = []
        self.open: list[int] = []
        self.cancelled = False


class Brain(Link):
    """A `Link` with people at the server's end."""

    def __init__(self, setup: Setup, watch: Watch = unwatched) -> None:
        super().__init__(setup, watch)
        self._jobs: list[_Job] = []
        self._heard: list[str] = []
        self._asked: list[tuple[str, int]] = []
        """The calls that MCP servers owe an answer, and below the labels of those that owe a list of their tools."""
        self._listed: set[str] = set()
        self._allowed: str | None = None

    def _server_told(self, action: antiphon.Action) -> None:
        if isinstance(action, ResponseRequested):
            modalities = action.params.output_modalities or ["audio"]
            self._jobs.append(_Job(action.response_id, "audio" in modalities))
        elif isinstance(action, ResponseCancelled):
            for job in self._jobs:
                job.cancelled = job.cancelled or job.response_id == action.response_id
        elif isinstance(action, InputCommitted):
            self._heard.append(action.item_id)
        elif isinstance(action, Deliver) and isinstance(action.event, m.ConversationItemCreate):
            item = action.event.item
            if isinstance(item, m.McpApprovalResponseItem) and item.approve:
                self._allowed = item.approval_request_id

    def left(self) -> None:
        self._jobs.clear()
        self._heard.clear()
        self._asked.clear()
        self._listed.clear()
        self._allowed = None

    def _say(self, content: Content) -> Outcome:
        outcome = self.feed("server", inputs.Generate(content))
        if isinstance(content, ResponseFinished):
            for job in self._jobs:
                if job.response_id == content.response_id and content.status == "completed":
                    self._asked += [(job.response_id, each) for each in job.open if job.kinds[each] == "mcp_call"]
            self._jobs = [job for job in self._jobs if job.response_id != content.response_id]
        return outcome

    def do_think(self, act: Act) -> None:
        """The brain goes on with one of its responses: another item, more of an open one, its end, the end of all."""
        if self.setup.kind == "translation":
            self.do_translate(act)
            return
        if not self._jobs:
            return
        job = self._jobs[act.a % len(self._jobs)]
        ended = job.cancelled or self.server.closed is not None
        choice = 9 if ended and act.b % 3 == 0 else act.b % 10
        if choice == 9:
            self._say(_ending(job.response_id, act.a))
        elif choice < 2 or not job.open:
            kinds: Sequence[Kind] = (
                ("audio", "audio", "function_call", "text") if job.speaks else ("text", "text", "function_call")
            )
            if self.setup.dialect != "beta":  # which has no such items
                kinds = (*kinds, "mcp_call", "mcp_approval_request")
            kind = kinds[(act.a + act.b) % len(kinds)]
            index = len(job.kinds)
            job.kinds.append(kind)
            job.open.append(index)
            name = "look_up" if kind not in ("text", "audio") else ""
            label = "maps" if kind.startswith("mcp") else ""
            allowed = self._allowed if kind == "mcp_call" else None
            self._say(
                ItemStarted(
                    response_id=job.response_id,
                    output_index=index,
                    kind=kind,
                    name=name,
                    server_label=label,
                    approval_request_id=allowed,
                )
            )
        elif choice == 8:
            index = job.open.pop(act.a % len(job.open))
            self._say(ItemFinished(response_id=job.response_id, output_index=index))
            if job.kinds[index] == "mcp_call":
                self._asked.append((job.response_id, index))
        else:
            self._say(self._delta(job, job.open[act.a % len(job.open)], act.b))

    def _delta(self, job: _Job, index: int, b: int) -> Content:
        kind = job.kinds[index]
        text = ("la ", "é", "wörld ", "")[b % 4]
        if kind not in ("text", "audio"):
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

    def do_translate(self, act: Act) -> None:
        """More of a translation, or its end where the client asked for that (and once in a while where it did not)."""
        if self.setup.kind != "translation":
            return
        ends = act.a in (10, 11) if self.server.state == "closing" else act.a == act.b == 11
        said: tuple[Content, ...] = (
            SourceText("bonjour ", 200),
            TranslatedText("hello ", 200 + act.b),
            TranslatedAudio(b"\x02\x00" * (480 + act.b), 400),
            TranslatedText("é"),
        )
        self._say(TranslationFinished() if ends else said[act.a % 4])

    def do_remote(self, act: Act) -> None:
        """An MCP server answers a call, or is asked for its tools, or lists them, or does not."""
        if self.setup.dialect == "beta":
            return
        if act.a % 2 and self._asked:
            response_id, index = self._asked.pop(act.b % len(self._asked))
            failed = m.McpError(type="tool_execution_error", message="no such place") if act.b % 3 == 0 else None
            output = None if failed is not None else "42"
            self._say(McpCallFinished(response_id=response_id, output_index=index, output=output, error=failed))
            return
        label = ("maps", "mail")[act.b % 2]
        if label not in self._listed:
            self._listed.add(label)
            self._say(McpListingStarted(label))
        else:
            self._listed.remove(label)
            tools = (m.McpToolDescription(name="look_up", input_schema={"type": "object"}),)
            self._say(McpListingFinished(label, None if act.b % 3 == 0 else tools))

    # -- the ear -------------------------------------------------------------------------------------------------------

    def do_hear(self, act: Act) -> None:
        """The voice detector hears speech begin, or end, where turns are detected; a little before, as detectors do. In
        a session without a sample there is nothing to hear: a turn would come before the history that it follows."""
        ms = self.server.input_audio_buffer.total_ms
        if not ms:
            return
        if act.a % 2:
            self.feed("server", inputs.SpeechStarted(max(0, ms - (30, 300)[act.b % 2])))
        else:
            self.feed("server", inputs.SpeechStopped(max(0, ms - (0, 0, 20)[act.b % 3])))

    def do_transcribe(self, act: Act) -> None:
        """News of the transcription of something that was heard, is being heard, or was given as an item."""
        results = (
            TranscriptDelta("la "),
            TranscriptDelta("é"),
            TranscriptCompleted("la é", 1.5),
            TranscriptFailed("mumbling", "audio_unintelligible"),
            TranscriptSegment("seg_1", "la", "A", 0.0, 0.7),
        )
        heard = [(item_id, 0) for item_id in self._heard]
        if self.server.speech_item_id is not None:
            heard.append((self.server.speech_item_id, 0))
        for node in self.server.conversation:
            parts = node.item.content if isinstance(node.item, m.MessageItem) and node.id not in self._heard else []
            heard += [(node.id, index) for index, part in enumerate(parts) if isinstance(part, m.InputAudio)]
        if heard:
            item_id, index = heard[act.a % len(heard)]
            self.feed("server", inputs.Transcribed(item_id, index, results[act.b % 5]))

    # -- audio that the server delivers --------------------------------------------------------------------------------

    def do_deliver(self, act: Act) -> None:
        """Over a transport that has a way for audio, more of an item has left the server, or all that there is."""
        if self.setup.transport == "websocket":
            return
        everything = act.b % 3 == 2
        for item_id in list(self.server.spoken) if everything else chosen(list(self.server.spoken), act.a):
            self.feed("server", inputs.AudioPlayed(item_id, 0, 10**9 if everything else (240, 700)[act.b % 2]))

    # -- the rest ------------------------------------------------------------------------------------------------------

    def do_inform(self, act: Act) -> None:
        """The server's application says something of its own."""
        said = (
            m.RateLimitsUpdated(rate_limits=[m.RateLimit(name="tokens", limit=act.b)]),
            m.RateLimitsUpdated(rate_limits=[]),
            m.InputAudioBufferDtmfEventReceived(event="5", received_at=1_790_000_000),
            m.UnknownEvent.of({"type": "vendor.news", "event_id": "event_v", "x": [act.b]}),
        )
        self.feed("server", inputs.Send(said[act.a % len(said)]))


def _ending(response_id: str, number: int) -> ResponseFinished:
    endings: Final = (
        ResponseFinished(response_id=response_id, input_tokens=3, output_tokens=5),
        ResponseFinished(response_id=response_id, status="incomplete", reason="content_filter"),
        ResponseFinished(response_id=response_id, status="failed", error_code="rate_limit_exceeded"),
        ResponseFinished(response_id=response_id, rate_limits=(m.RateLimit(name="requests", limit=number),)),
        ResponseFinished(response_id=response_id, status="incomplete"),
    )
    return endings[number % len(endings)]
