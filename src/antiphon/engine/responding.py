"""How a server answers: the responses in progress, and the order in which the content of a brain unfolds.

A brain gives content only; ids, positions and every surrounding event are made here, each by stepping the row that it
is named for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct, convert

from antiphon import messages as m
from antiphon.engine.actions import ResponseCancelled, ResponseRequested
from antiphon.engine.audio import PCM16_24K, AudioFormat, byte_length, encode_base64
from antiphon.engine.checks import problem_with_id
from antiphon.engine.codec import to_builtins
from antiphon.engine.content import (
    ArgumentsDelta,
    AudioDelta,
    ItemFinished,
    ItemKind,
    ItemStarted,
    McpCallFinished,
    ResponseContent,
    ResponseFinished,
    TextDelta,
)
from antiphon.engine.conversation import Node
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.records import STREAM_OF_ARGUMENTS, OutputRecord, ResponseRecord, StreamRecord
from antiphon.engine.remote import RunningCall
from antiphon.engine.serving import CONTENT_PART, CONVERSATION_ITEM, RESPONSE
from antiphon.engine.settings import merged, modalities_of
from antiphon.engine.timers import Timer

if TYPE_CHECKING:
    from antiphon.engine.server import ServerSession


MCP_KINDS: Final = ("mcp_call", "mcp_approval_request")

OutputStatus: TypeAlias = Literal["in_progress", "calling", "completed", "incomplete"]
"""What the wire says of an item; and ``calling``, while an MCP server answers."""


class Output:
    """One output item of a response that a brain fills: what has been said of it, and where it stands."""

    __slots__ = (
        "_chunks",
        "answered",
        "approval_request_id",
        "call_id",
        "format",
        "id",
        "index",
        "kind",
        "name",
        "record",
        "samples",
        "server_label",
        "status",
        "stream",
        "text_bytes",
    )

    def __init__(
        self,
        id: str,
        index: int,
        kind: ItemKind,
        record: ResponseRecord,
        stream: StreamRecord,
        format: AudioFormat = PCM16_24K,
    ) -> None:
        self.id = id
        self.format = format
        """What its audio is in: the response's own format, or the session's when the response began."""
        self.index = index
        self.kind: ItemKind = kind
        self.record = record
        self.status: OutputStatus = "in_progress"
        self.name = ""
        self.call_id = ""
        self.server_label = ""
        self.approval_request_id: str | None = None
        self.answered: m.McpCallItem | None = None
        """A call that an MCP server has answered, as it is now."""
        self._chunks: list[str] = []
        self.text_bytes = 0
        self.samples = 0
        self.stream = stream

    def write(self, delta: str) -> None:
        """More text, transcript or arguments."""
        if delta:
            self._chunks.append(delta)
            self.text_bytes += len(delta.encode())

    @property
    def text(self) -> str:
        """The text, transcript or arguments so far."""
        if len(self._chunks) > 1:
            self._chunks[:] = ["".join(self._chunks)]
        return self._chunks[0] if self._chunks else ""

    @property
    def played_ms(self) -> int:
        """How long its audio lasts."""
        return self.format.ms(self.samples)

    def item(self, status: str, *, empty: bool = False) -> m.Item:
        """The item as it is announced; ``empty`` as it is when it begins."""
        if self.kind == "function_call":
            return m.FunctionCallItem(
                id=self.id, status=status, name=self.name, call_id=self.call_id, arguments="" if empty else self.text
            )
        if self.kind == "mcp_call":
            return self.answered or self.remote_call(empty=empty)
        if self.kind == "mcp_approval_request":
            return m.McpApprovalRequestItem(
                id=self.id, server_label=self.server_label, name=self.name, arguments="" if empty else self.text
            )
        content: list[m.Content] = []
        if not empty:
            content.append(m.OutputText(text=self.text) if self.kind == "text" else m.OutputAudio(transcript=self.text))
        return m.MessageItem(id=self.id, status=status, role="assistant", content=content)

    def remote_call(self, *, empty: bool = False) -> m.McpCallItem:
        """A call of an MCP server that has not answered; such an item has no status."""
        return m.McpCallItem(
            id=self.id,
            server_label=self.server_label,
            name=self.name,
            arguments="" if empty else self.text,
            approval_request_id=UNSET if self.approval_request_id is None else self.approval_request_id,
        )

    @property
    def has_part(self) -> bool:
        """Whether it is a message, which has a content part around what it says."""
        return self.kind in ("text", "audio")

    def part(self, *, empty: bool = False) -> m.Part:
        """Its content part."""
        text = "" if empty else self.text
        return m.TextPart(text=text) if self.kind == "text" else m.AudioPart(transcript=text)


class OutputItemState(Struct, frozen=True):
    """An `Output` in a snapshot."""

    id: str
    index: int
    kind: ItemKind
    status: OutputStatus
    name: str
    call_id: str
    server_label: str
    approval_request_id: str | None
    answered: m.McpCallItem | None
    text: str
    samples: int
    format: AudioFormat
    response_id: str
    content_index: int


class Spoken(Struct, frozen=True):
    """How much audio an item of the conversation has, in its own format; a cut shortens it."""

    format: AudioFormat
    samples: int

    @property
    def ms(self) -> int:
        """Its length, rounded down."""
        return self.format.ms(self.samples)


class Responder:
    """The responses of one server session. ``outputs`` and ``params`` are of those in progress, by response id.

    Of a request's parameters only those are kept that its response's object repeats: its input and its tools, with
    whatever audio and keys are in them, went to the brain.
    """

    __slots__ = ("_session", "outputs", "params")

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self.outputs: dict[str, dict[int, Output]] = {}
        self.params: dict[str, m.ResponseCreateParams] = {}

    def request(
        self, cause: Literal["client", "vad", "idle"], params: m.ResponseCreateParams | None, event: object
    ) -> None:
        """Begin a response, or refuse it (R-R1, R-R2)."""
        session = self._session
        out_of_band = params is not None and params.conversation == "none"
        record = ResponseRecord(session.next_id("resp"), in_conversation=not out_of_band)
        effective = self._effective(params)
        self.params[record.id] = m.ResponseCreateParams(
            output_modalities=effective.output_modalities,
            max_output_tokens=effective.max_output_tokens,
            audio=effective.audio,
            temperature=effective.temperature,
            metadata=effective.metadata,
        )
        session.step(RESPONSE, record, "response.create", event)
        if record.state == "in_progress":
            session.act(ResponseRequested(record.id, cause, effective))
        else:
            del self.params[record.id]

    def _effective(self, params: m.ResponseCreateParams | None) -> m.ResponseCreateParams:
        """The session's values, with what the request overrides."""
        session = self._session.configuration
        own: dict[str, Any] = (
            {}
            if params is None
            else {name: value for name in params.__struct_fields__ if (value := getattr(params, name)) is not UNSET}
        )
        inherited = {
            name: getattr(session, name, UNSET)
            for name in (
                "instructions",
                "output_modalities",
                "tools",
                "tool_choice",
                "max_output_tokens",
                "temperature",
            )
        }
        audio = session.audio
        spoken = audio.output if audio else UNSET
        if spoken:
            voiced = m.AudioConfig(output=spoken)
            wanted = own.get("audio")
            if wanted is None:
                own["audio"] = voiced
            else:  # a voice of its own leaves the session's format
                own["audio"] = convert(merged(to_builtins(voiced), to_builtins(wanted)), m.AudioConfig)
        return m.ResponseCreateParams(**{**inherited, **own})

    def begin(self, record: ResponseRecord) -> None:
        """Announce a response."""
        session = self._session
        session.responses[record.id] = record
        if record.in_conversation:
            session.timers.stop(Timer.IDLE)
        self.outputs[record.id] = {}
        session.say(m.ResponseCreated(response=self._response(record, "in_progress")))
        if len(session.responses) - len(session.finished_responses) > session.config.limits.open_responses:
            oldest = next(each for each in session.responses.values() if each.is_open)
            session.report("R-N2", None, "too many responses in progress; the oldest is cancelled")
            session.step(RESPONSE, oldest, "response.cancel", None)

    def _response(
        self,
        record: ResponseRecord,
        status: str,
        *,
        details: m.StatusDetails | None = None,
        usage: m.ResponseUsage | None = None,
    ) -> m.Response:
        session = self._session
        params = self.params[record.id]
        done = status != "in_progress"
        outputs = self.outputs[record.id].values() if done else ()
        return m.Response(
            object="realtime.response",
            id=record.id,
            status=status,
            status_details=details,
            output=[output.item(output.status) for output in outputs],
            conversation_id=session.conversation_id if record.in_conversation else None,
            output_modalities=[modalities_of(session.settings, params)],
            max_output_tokens=params.max_output_tokens,
            audio=params.audio,
            temperature=params.temperature,
            usage=usage,
            metadata=params.metadata or None,
        )

    def take(self, content: ResponseContent, record: ResponseRecord) -> None:
        """Say one piece of content that fits."""
        if isinstance(content, ItemStarted):
            self._begin_item(content, record)
        elif isinstance(content, ResponseFinished):
            self._finish_response(content, record)
        else:
            output = self.outputs[record.id][content.output_index]
            if isinstance(content, ItemFinished):
                self._finish_item(output, "completed")
            elif isinstance(content, AudioDelta):
                self._speak(output, content)
            else:
                self._write(output, content)

    def problem_with(self, content: ResponseContent, record: ResponseRecord) -> LocalProtocolError | None:
        """Why a piece of content does not fit where it came, before anything changes (L3)."""
        session = self._session
        if isinstance(content, ResponseFinished):
            if not are_texts(content.reason, content.error_type, content.error_code, content.error_message):
                return LocalProtocolError("a reason or an error holds a surrogate without its partner", rule="R-E2")
            return None
        outputs = self.outputs[record.id]
        if isinstance(content, ItemStarted):
            if content.output_index != len(outputs):
                return LocalProtocolError(
                    f"output_index {content.output_index}: the next item is number {len(outputs)}", rule="R-C1"
                )
            if len(outputs) >= session.config.limits.response_parts:
                return LocalProtocolError("the response has too many items", rule="R-N2")
            if content.kind == "function_call" and not content.name:
                return LocalProtocolError("a function call needs the function's name", rule="R-C1")
            if content.kind in MCP_KINDS and not (content.name and content.server_label):
                return LocalProtocolError("a call at an MCP server needs its label and the tool's name", rule="R-C1")
            if not are_texts(content.name, content.server_label, content.approval_request_id):
                return LocalProtocolError("a name holds a surrogate without its partner", rule="R-E2")
            problem = session.remote.problem_with_call(self._unasked()) if content.kind == "mcp_call" else None
            if problem is not None:
                return problem
            if content.call_id and problem_with_id(content.call_id, "call_id") is not None:
                return LocalProtocolError("call_id: 1 to 32 characters of A-Z a-z 0-9 _ -", rule="R-C11")
            return None
        output = outputs.get(content.output_index)
        if output is None or output.status != "in_progress":
            return LocalProtocolError(f"item {content.output_index} is not open", rule="R-P2")
        if isinstance(content, ItemFinished):
            return None
        fits = {
            "text": isinstance(content, TextDelta),
            "audio": isinstance(content, (TextDelta, AudioDelta)),
        }
        if not fits.get(output.kind, isinstance(content, ArgumentsDelta)):
            return LocalProtocolError(f"{type(content).__name__} does not fit a {output.kind} item", rule="R-P2")
        if isinstance(content, AudioDelta):
            width = output.format.bytes_per_sample
            if not content.audio or len(content.audio) % width:
                return LocalProtocolError(
                    f"{len(content.audio)} bytes are no whole samples of {width} bytes", rule="R-P7"
                )
            return None
        try:
            size = len(content.delta.encode())
        except UnicodeEncodeError:
            return LocalProtocolError("the delta holds a surrogate without its partner", rule="R-E2")
        if output.text_bytes + size > session.config.limits.message_bytes:
            return LocalProtocolError(
                "an item's end tells its whole text, and no message could hold this one", rule="R-N2"
            )
        return None

    def _begin_item(self, content: ItemStarted, record: ResponseRecord) -> None:
        session = self._session
        item_id, index = session.next_id("item"), content.output_index
        content_index = 0 if content.kind in ("text", "audio") else STREAM_OF_ARGUMENTS
        stream = StreamRecord(record, item_id, content_index, index)
        output = Output(item_id, index, content.kind, record, stream, self._format_of(record))
        self.outputs[record.id][output.index] = output
        record.item_ids[output.id] = None
        if content.kind == "function_call":
            output.name = content.name
            output.call_id = content.call_id or session.next_id("call")
        elif content.kind in MCP_KINDS:
            output.name, output.server_label = content.name, content.server_label
            output.approval_request_id = content.approval_request_id
        item = output.item("in_progress", empty=True)
        member = OutputRecord(output.id, response=record)
        session.step(
            CONVERSATION_ITEM,
            member,
            "response.output_item.added",
            m.ResponseOutputItemAdded(response_id=record.id, output_index=output.index, item=item),
        )
        if record.in_conversation:
            placement = session.conversation.insert(item, generated=True, response_id=record.id)
            assert placement is not None  # without a predecessor an item always has a place
            node = placement.node
            node.state = member.state
            session.step(
                CONVERSATION_ITEM,
                node,
                "conversation.item.added",
                m.ConversationItemAdded(item=item, previous_item_id=node.previous_item_id),
            )
            session.trim()
        record.streams[output.id, content_index] = stream
        if output.has_part:
            self._emit_part(
                output,
                m.ResponseContentPartAdded(
                    response_id=record.id,
                    item_id=output.id,
                    output_index=output.index,
                    content_index=0,
                    part=output.part(empty=True),
                ),
            )

    def _format_of(self, record: ResponseRecord) -> AudioFormat:
        """What a response speaks in: its own format, else the session's (R-R7)."""
        audio = self.params[record.id].audio
        named = audio.output.format if audio and audio.output else None
        return (AudioFormat.from_session(named) if named else None) or self._session.output_format

    def _emit_part(self, output: Output, event: m.ServerEvent) -> None:
        self._session.step(CONTENT_PART, output.stream, event.type, event)

    def _write(self, output: Output, content: TextDelta | ArgumentsDelta) -> None:
        session = self._session
        output.write(content.delta)
        if not output.has_part and output.record.in_conversation:
            session.conversation.text_delta(output.id, STREAM_OF_ARGUMENTS, content.delta)
            session.trim()
        if output.kind == "function_call":
            self._emit_part(
                output,
                m.ResponseFunctionCallArgumentsDelta(
                    response_id=output.record.id,
                    item_id=output.id,
                    output_index=output.index,
                    call_id=output.call_id,
                    delta=content.delta,
                ),
            )
            return
        if output.kind == "mcp_call":
            self._emit_part(
                output,
                m.ResponseMcpCallArgumentsDelta(
                    response_id=output.record.id, item_id=output.id, output_index=output.index, delta=content.delta
                ),
            )
            return
        if output.kind == "mcp_approval_request":
            return
        delta_class = m.ResponseOutputTextDelta if output.kind == "text" else m.ResponseOutputAudioTranscriptDelta
        if output.record.in_conversation:
            session.conversation.text_delta(output.id, 0, content.delta)
            session.trim()
        self._emit_part(
            output,
            delta_class(
                response_id=output.record.id,
                item_id=output.id,
                output_index=output.index,
                content_index=0,
                delta=content.delta,
            ),
        )

    def _speak(self, output: Output, content: AudioDelta) -> None:
        session = self._session
        delivers = session.deliveries.are_ours
        begins = not output.samples
        output.samples += output.format.samples(byte_length(content.audio))
        if output.record.in_conversation:
            session.has_spoken = True
            node = session.conversation.get(output.id)
            if node is not None and (not delivers or session.deliveries.admits(output.record.id, output.id)):
                # The client may have deleted it meanwhile, or cut its delivery.
                self._lengthen(output, node, content, begins=begins)
        if delivers:
            return  # it goes another way than the events
        self._emit_part(output, audio_event(output, content, encode_base64(content.audio)))

    def _lengthen(self, output: Output, node: Node, content: AudioDelta, *, begins: bool) -> None:
        """A member has more audio. One that was cut has none beyond the cut, but its words are measured by all that was
        made (R-C15)."""
        session = self._session
        if 0 in node.cuts:
            session.conversation.measure(output.id, 0, output.format.ms(output.samples))
            return
        session.spoken[output.id] = Spoken(output.format, output.samples)
        # What was forgotten, because there was too much of it, is not taken up again in the middle.
        if session.config.retain_output_audio and (begins or session.recordings.of(output.id)):
            session.recordings.add(output.id, 0, output.format, content.audio)
            session.trim()

    def _finish_item(self, output: Output, status: Literal["completed", "incomplete"]) -> None:
        """Close an item's stream, its membership, then its output (R-P3, R-P4, R-C2)."""
        session = self._session
        record = output.record
        ids: dict[str, Any] = {"response_id": record.id, "item_id": output.id, "output_index": output.index}
        text = output.text
        if output.kind == "function_call":
            self._emit_part(
                output,
                m.ResponseFunctionCallArgumentsDone(**ids, call_id=output.call_id, name=output.name, arguments=text),
            )
            if session.conversation.get(output.id) is not None:  # it is no member out of band, and may be deleted
                session.know_call(output.call_id)
        elif output.kind == "mcp_call":
            self._emit_part(output, m.ResponseMcpCallArgumentsDone(**ids, arguments=text))
        elif output.has_part:
            if output.kind == "text":
                self._emit_part(output, m.ResponseOutputTextDone(**ids, content_index=0, text=text))
            else:
                self._emit_part(output, m.ResponseOutputAudioDone(**ids, content_index=0))
                self._emit_part(output, m.ResponseOutputAudioTranscriptDone(**ids, content_index=0, transcript=text))
            self._emit_part(output, m.ResponseContentPartDone(**ids, content_index=0, part=output.part()))
        session.step(CONTENT_PART, output.stream, "internal.item_done", None)
        if output.kind == "mcp_call" and status == "completed":
            output.status = "calling"
            session.remote.call(RunningCall(record.id, output.index, record.in_conversation, output.remote_call()))
            return
        output.status = status
        self.end_item(output.item(status), record.id, output.index, in_conversation=record.in_conversation)

    def end_item(self, item: m.Item, response_id: str, output_index: int, *, in_conversation: bool) -> None:
        """An item is complete: as a member of the conversation, then as output of its response (R-C2)."""
        session = self._session
        item_id = str(item.id)
        node = session.conversation.get(item_id) if in_conversation else None
        member: Node | OutputRecord
        if node is not None:
            session.step(
                CONVERSATION_ITEM,
                node,
                "conversation.item.done",
                m.ConversationItemDone(item=item, previous_item_id=node.previous_item_id),
            )
            member = node
        else:  # out of band, or deleted by the client meanwhile: only output
            member = OutputRecord(item_id, "detached")
        session.step(
            CONVERSATION_ITEM,
            member,
            "response.output_item.done",
            m.ResponseOutputItemDone(response_id=response_id, output_index=output_index, item=item),
        )

    def answer(self, content: McpCallFinished) -> None:
        """An MCP server has answered a call, whose response may be over (R-M4)."""
        session = self._session
        call, item = session.remote.answer(content)
        output = self.outputs.get(call.response_id, {}).get(call.output_index)
        if output is not None:
            output.status, output.answered = "completed", item
        self.end_item(item, call.response_id, call.output_index, in_conversation=call.in_conversation)

    def _unasked(self) -> int:
        """How many calls of MCP servers are still being written."""
        return sum(
            output.kind == "mcp_call" and output.status == "in_progress"
            for outputs in self.outputs.values()
            for output in outputs.values()
        )

    def _finish_response(self, content: ResponseFinished, record: ResponseRecord) -> None:
        if content.rate_limits is not None:
            self._session.rate_limits = content.rate_limits
        self._close_items(record, "completed" if content.status == "completed" else "incomplete")
        details = None
        if content.status == "incomplete":
            details = m.StatusDetails(type="incomplete", reason=content.reason or "max_output_tokens")
        elif content.status == "failed":
            details = m.StatusDetails(
                type="failed",
                error=m.FailureDetail(
                    type=content.error_type or "server_error",
                    code=content.error_code,
                    message=content.error_message or "The server had an error while generating the response.",
                ),
            )
        usage = m.ResponseUsage(
            total_tokens=content.input_tokens + content.output_tokens,
            input_tokens=content.input_tokens,
            output_tokens=content.output_tokens,
        )
        self._emit_done(record, content.status, details, usage)

    def _close_items(self, record: ResponseRecord, status: Literal["completed", "incomplete"]) -> None:
        for output in self.outputs[record.id].values():
            if output.status == "in_progress":
                self._finish_item(output, status)

    def _emit_done(
        self, record: ResponseRecord, status: str, details: m.StatusDetails | None, usage: m.ResponseUsage
    ) -> None:
        event = m.ResponseDone(response=self._response(record, status, details=details, usage=usage))
        self._session.step(RESPONSE, record, "response.done", event)

    def cancel(self, record: ResponseRecord, reason: Literal["client_cancelled", "turn_detected"]) -> None:
        """End a response before its time: everything open is closed as it stands (R-R5)."""
        self._close_items(record, "incomplete")
        details = m.StatusDetails(type="cancelled", reason=reason)
        usage = m.ResponseUsage(total_tokens=0, input_tokens=0, output_tokens=0)
        self._emit_done(record, "cancelled", details, usage)
        self._session.act(ResponseCancelled(record.id, reason))

    def finish(self, record: ResponseRecord, event: m.ResponseDone) -> None:
        """`response.done`, and what follows it."""
        session = self._session
        session.say(event)
        outputs = self.outputs[record.id].values()
        if session.rate_limits and outputs:
            session.say(m.RateLimitsUpdated(rate_limits=list(session.rate_limits)))
        if record.in_conversation:
            cancelled = event.response.status == "cancelled"  # what it said is not played any more
            if session.deliveries.are_ours:
                playback_ms = session.deliveries.undelivered_ms(record.id)
                session.deliveries.response_done(record.id)
            else:
                playback_ms = 0 if cancelled else sum(output.played_ms for output in outputs)
            session.hearing.await_voice(playback_ms)
        self.close(record)

    def close(self, record: ResponseRecord) -> None:
        """A response is over; it is remembered for a while."""
        session = self._session
        del self.outputs[record.id]
        del self.params[record.id]
        record.streams.clear()
        session.finished_responses.append(record.id)
        if len(session.finished_responses) > session.config.limits.response_history:
            del session.responses[session.finished_responses.popleft()]

    def lose(self, record: ResponseRecord) -> None:
        """The client is gone: nobody is to be told, but the brain."""
        session = self._session
        for stream in record.streams.values():
            session.step(CONTENT_PART, stream, "internal.lost", None)
        for item_id in record.item_ids:
            node = session.conversation.get(item_id)
            if node is not None:
                session.step(CONVERSATION_ITEM, node, "internal.lost", None)
        self.close(record)
        session.act(ResponseCancelled(record.id, "disconnected"))


def are_texts(*values: str | None) -> bool:
    """Whether UTF-8 can express them all."""
    try:
        "".join(value for value in values if value is not None).encode()
    except UnicodeEncodeError:
        return False
    return True


def audio_event(output: Output, delta: AudioDelta, text: str) -> m.ResponseOutputAudioDelta:
    """A delta of audio as it goes out; ``text`` is its base64."""
    return m.ResponseOutputAudioDelta(
        response_id=delta.response_id, item_id=output.id, output_index=output.index, content_index=0, delta=text
    )
