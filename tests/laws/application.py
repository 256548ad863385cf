"""Who sits at the client's end: an application that keeps the rules, a player, and a microphone.

Each ``do_VERB`` is one thing that they do; the two numbers of an `Act` choose which, out of everything that a user of
the engine can ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

import antiphon
from antiphon import Deliver, PlayAudio, RequestSettled, StopAudio, inputs
from antiphon import messages as m

from .link import Link, Watch, unwatched
from .values import Act, Outcome, Refused, Setup


class _Part:
    """One audio part as the device sees it; samples."""

    def __init__(self) -> None:
        self.received = 0
        self.played = 0


class Application(Link):
    """A `Link` with people at the client's end."""

    def __init__(self, setup: Setup, watch: Watch = unwatched) -> None:
        super().__init__(setup, watch)
        self.asked: list[str] = []
        self.settled: list[RequestSettled] = []
        self.created: dict[str, None] = {}
        """The items that the application made under names of its own, and does not want deleted."""
        self._called: dict[str, str] = {}  # the item of each call
        self._parts: dict[tuple[str, int], _Part] = {}
        self._stops: list[StopAudio] = []
        self._made = 0
        self._deleted: set[str] = set()
        self._named: set[str] = set()

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
            if (
                isinstance(item, m.FunctionCallItem)
                and isinstance(item.call_id, str)
                and self.engines["client"].conversation.get(str(item.id)) is not None  # and not out of band
            ):
                self._called[item.call_id] = str(item.id)

    def command(self, event: m.ClientEvent) -> Outcome:
        """The application sends ``event``."""
        outcome = self.feed("client", inputs.Send(event))
        if not isinstance(outcome, Refused):
            if isinstance(event, m.ConversationItemCreate) and isinstance(event.item.id, str):
                self.created[event.item.id] = None
            elif isinstance(event, m.ConversationItemDelete):
                self.created.pop(event.item_id, None)
                self._deleted.add(event.item_id)
        return outcome

    def _items(self) -> list[str]:
        """The items that the application sees. On a sideband, where others may make and delete items, the engine judges
        no name; so the application has to remember what it deleted itself."""
        gone = self._deleted if self.setup.transport == "sideband" else ()
        return [node.id for node in self.client.conversation if node.id not in gone]

    @property
    def _calls(self) -> list[str]:
        """The calls that may get an output, as far as the application has to know it, see `_items`."""
        gone = self._deleted if self.setup.transport == "sideband" else ()
        return [call_id for call_id, item_id in self._called.items() if item_id not in gone]

    def _name(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made}"

    # -- the conversation ----------------------------------------------------------------------------------------------

    def do_say(self, act: Act) -> None:
        """An item: of any role and content, with or without an id, at the end, the front, or behind another."""
        role, content = _MESSAGES[act.a % len(_MESSAGES)]
        items = self._items()
        previous = (UNSET, UNSET, None, "", "root", items[act.b % len(items)] if items else "root")[act.b % 6]
        name = (UNSET, self._name("mine"), self._name("a-name_of-exactly-thirty-2-").ljust(32, "x"))[act.b % 3]
        item = m.MessageItem(id=name, role=role, content=content)
        self.command(m.ConversationItemCreate(item=item, previous_item_id=previous))

    def do_call(self, act: Act) -> None:
        """A call of a function that was made elsewhere becomes part of the history."""
        call_id = self._name("call")
        item = m.FunctionCallItem(id=self._name("mine"), name="look_up", call_id=call_id, arguments="{}")
        if not isinstance(self.command(m.ConversationItemCreate(item=item)), Refused):
            self._called[call_id] = str(item.id)

    def do_output(self, act: Act) -> None:
        """The output of a call."""
        if self._calls:
            item = m.FunctionCallOutputItem(call_id=self._calls[act.a % len(self._calls)], output="42")
            self.command(m.ConversationItemCreate(item=item))

    def do_work(self, act: Act) -> None:
        """Every call so far gets an output, and each output is followed by a request, as agents do it."""
        for call_id in self._calls[-3:]:
            self.command(m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id=call_id, output="é 42")))
            self.do_ask(Act("ask", 0, act.b))

    def do_approve(self, act: Act) -> None:
        """Somebody allows a call of an MCP server, or does not."""
        for request in self.client.approvals[:1]:
            item = m.McpApprovalResponseItem(approval_request_id=str(request.id), approve=act.a % 3 > 0)
            self.command(m.ConversationItemCreate(item=item))

    def do_delete(self, act: Act) -> None:
        """`conversation.item.delete`, but of nothing that a request names, which may be waiting still."""
        for item_id in chosen([each for each in self._items() if each not in self._named], act.a):
            self.command(m.ConversationItemDelete(item_id=item_id))

    def do_retrieve(self, act: Act) -> None:
        """`conversation.item.retrieve`"""
        for item_id in chosen(self._items(), act.a):
            self.command(m.ConversationItemRetrieve(item_id=item_id))

    def do_truncate(self, act: Act) -> None:
        """`conversation.item.truncate`, by an application that cuts by itself: where it is the one that plays."""
        if not self.setup.decode_audio or self.setup.transport != "websocket":
            return
        for item_id in chosen(self._items(), act.a):
            self.command(m.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=act.b * 7))

    # -- responses -----------------------------------------------------------------------------------------------------

    def do_ask(self, act: Act) -> None:
        """`response.create`: plain, with parameters of every kind, out of band."""
        event_id = self._name("ask")
        params = self._params(act)
        if not isinstance(self.command(m.ResponseCreate(event_id=event_id, response=params)), Refused):
            self.asked.append(event_id)

    def _params(self, act: Act) -> m.Maybe[m.ResponseCreateParams]:
        kind = act.a % 12
        if kind == 10:  # what it is to read: a member, and what is none
            read: list[m.Item] = [m.MessageItem(role="user", content=[m.InputText(text="in short")])]
            named = chosen(self._items(), act.b)
            self._named.update(named)
            read[:0] = [m.ItemReference(id=item_id) for item_id in named]
            return m.ResponseCreateParams(conversation="none", input=read)
        if kind == 11:  # a call and its output that no conversation knows
            call = m.FunctionCallItem(name="look_up", call_id="call_apart", arguments="{}")
            output = m.FunctionCallOutputItem(call_id="call_apart", output="42")
            return m.ResponseCreateParams(conversation="none", input=[call, output], metadata={"mine": "y"})
        return (
            UNSET,
            UNSET,
            UNSET,
            m.ResponseCreateParams(),
            m.ResponseCreateParams(conversation="none", output_modalities=["text"]),
            m.ResponseCreateParams(instructions="shortly", metadata={"mine": str(act.b)}, conversation="auto"),
            m.ResponseCreateParams(conversation="none", metadata={"mine": "x"}, input=[]),
            m.ResponseCreateParams(audio=m.AudioConfig(output=m.AudioOutput(format=m.AudioFormat(type="audio/pcma")))),
            m.ResponseCreateParams(tools=[m.FunctionTool(name="look_up")], tool_choice="required", max_output_tokens=9),
            m.ResponseCreateParams(conversation="none", audio=m.AudioConfig(output=m.AudioOutput(voice="ash"))),
        )[kind]

    def do_cancel(self, act: Act) -> None:
        """`response.cancel`: of whatever runs, or of one by name."""
        running = [record.id for record in self.client.responses.values() if record.is_open]
        name = running[act.b % len(running)] if running and act.a % 2 else UNSET
        self.command(m.ResponseCancel(response_id=name))

    def do_interrupt(self, _act: Act) -> None:
        """The button."""
        self.feed("client", inputs.Interrupt())

    def do_hush(self, _act: Act) -> None:
        """`output_audio_buffer.clear`: the server is to play no further, where it plays."""
        self.command(m.OutputAudioBufferClear())

    # -- the microphone ------------------------------------------------------------------------------------------------

    def do_speak(self, act: Act) -> None:
        """Microphone audio: over the socket, or, where the transport has a way for it, around it."""
        ms = (20, 40, 110, 250)[act.a % 4]
        if self.setup.transport == "websocket":
            format = self.client.input_audio_buffer.format
            self.feed("client", inputs.AppendAudio(b"\x01" * (format.rate * ms // 1000 * format.bytes_per_sample)))
        elif self.server.link.state == "open":
            format = self.server.input_audio_buffer.format
            self.feed("server", inputs.AppendAudio(b"\x01" * (format.rate * ms // 1000 * format.bytes_per_sample)))

    def do_append(self, act: Act) -> None:
        """The same as an event, as programs write it that know no engine."""
        audio = "AQEBAQEB" * (100 + act.b)
        if self.setup.kind == "translation":
            self.command(m.SessionInputAudioBufferAppend(audio=audio))
        elif self.setup.transport == "websocket":
            self.command(m.InputAudioBufferAppend(audio=audio))

    def do_commit(self, _act: Act) -> None:
        """`input_audio_buffer.commit`"""
        self.command(m.InputAudioBufferCommit())

    def do_clear(self, _act: Act) -> None:
        """`input_audio_buffer.clear`"""
        self.command(m.InputAudioBufferClear())

    # -- the session ---------------------------------------------------------------------------------------------------

    def do_configure(self, act: Act) -> None:
        """`session.update` of one thing that this kind of session has."""
        updates = (_BETA_UPDATES if self.setup.dialect == "beta" else _UPDATES)[self.setup.kind]
        self.command(m.SessionUpdate(session=updates[(act.a * 12 + act.b) % len(updates)]))

    def do_end(self, _act: Act) -> None:
        """`session.close`: a translation is to end."""
        if self.setup.kind == "translation":
            self.command(m.SessionClose())

    # -- the player ----------------------------------------------------------------------------------------------------

    def do_listen(self, act: Act) -> None:
        """The device reports how far it has played a part: a little further each time, or to its end; now and then the
        same again, less than before, or more than there is."""
        if self._parts:
            key = list(self._parts)[act.a % len(self._parts)]
            part = self._parts[key]
            part.played = min(part.received, part.played + (240, 1000, 10**9)[act.b % 3])
            odd = {7: -240, 8: 10**6, 10: -(10**9)}.get(act.b, 0)
            self.feed("client", inputs.AudioPlayed(*key, max(0, part.played + odd)))

    def do_stopped(self, act: Act) -> None:
        """The device answers a `StopAudio`, late perhaps."""
        if self._stops:
            stop = self._stops.pop(act.a % len(self._stops))
            part = self._parts.get((stop.item_id, stop.content_index), _Part())
            self.feed("client", inputs.AudioStopped(stop.item_id, stop.content_index, part.played + act.b % 300))


def chosen(names: Sequence[str], number: int) -> list[str]:
    """The one that ``number`` chooses, none where there is none."""
    return [names[number % len(names)]] if names else []


_MESSAGES: Final[tuple[tuple[str, list[m.Content]], ...]] = (
    ("user", [m.InputText(text="hello é")]),
    ("user", [m.InputText(text="and this: "), m.InputText(text="🎈")]),
    ("system", [m.InputText(text="be kind")]),
    ("assistant", [m.OutputText(text="I was")]),
    ("user", [m.InputAudio(audio="AAAA", transcript="la")]),
    ("user", [m.InputImage(image_url="data:image/png;base64,iVBORw0KGgo=", detail="low")]),
    (
        "user",
        [m.InputText(text="what is it?"), m.InputImage(image_url="data:,"), m.InputAudio(audio="AQEBAQEB")],
    ),
)


def _hearing(detection: m.TurnDetection | None) -> m.RealtimeSession:
    return m.RealtimeSession(audio=_heard(m.AudioInput(turn_detection=detection)))


def _heard(input: m.AudioInput) -> m.AudioConfig:
    return m.AudioConfig(input=input)


def _speaking(output: m.AudioOutput) -> m.RealtimeSession:
    return m.RealtimeSession(audio=m.AudioConfig(output=output))


_INPUTS: Final[tuple[m.AudioInput, ...]] = (
    m.AudioInput(turn_detection=None),
    m.AudioInput(turn_detection=m.TurnDetection(type="server_vad", threshold=0.7, silence_duration_ms=300)),
    m.AudioInput(transcription=m.AudioTranscription(model="gpt-4o-transcribe", language="en")),
    m.AudioInput(transcription=None),
    m.AudioInput(noise_reduction=m.NoiseReduction(type="near_field")),
    m.AudioInput(noise_reduction=None),
    m.AudioInput(format=m.AudioFormat(type="audio/pcmu")),
    m.AudioInput(format=m.AudioFormat(type="audio/pcm", rate=24000)),
)

_UPDATES: Final[dict[str, tuple[m.AnySession, ...]]] = {
    "realtime": (
        *(m.RealtimeSession(audio=_heard(input)) for input in _INPUTS),
        _hearing(m.TurnDetection(type="server_vad", create_response=True, interrupt_response=True)),
        _hearing(m.TurnDetection(type="server_vad", create_response=False, interrupt_response=False)),
        _hearing(m.TurnDetection(type="semantic_vad")),
        _hearing(m.TurnDetection(type="server_vad", idle_timeout_ms=5000)),
        _hearing(m.TurnDetection(type="server_vad", idle_timeout_ms=5000, create_response=True)),
        m.RealtimeSession(output_modalities=["text"]),
        m.RealtimeSession(output_modalities=["audio"]),
        _speaking(m.AudioOutput(voice="verse")),
        _speaking(m.AudioOutput(voice="alloy")),
        _speaking(m.AudioOutput(format=m.AudioFormat(type="audio/pcma"), speed=1.2)),
        m.RealtimeSession(instructions="Answer in rhymes."),
        m.RealtimeSession(tools=[m.FunctionTool(name="look_up", parameters={"type": "object"})]),
        m.RealtimeSession(tools=[m.McpTool(server_label="maps", server_url="https://example.org/mcp")]),
        m.RealtimeSession(max_output_tokens=7, tool_choice="none"),
        m.RealtimeSession(max_output_tokens="inf", tool_choice=m.ToolChoice(type="function", name="look_up")),
        m.RealtimeSession(truncation=m.RetentionRatioTruncation(type="retention_ratio", retention_ratio=0.5)),
        m.RealtimeSession(prompt=m.Prompt(id="pmpt_1", variables={"city": "Paris"})),
        m.RealtimeSession(tracing="auto"),
        m.RealtimeSession(include=["item.input_audio_transcription.logprobs"]),
        m.RealtimeSession(),
    ),
    "transcription": (
        *(m.TranscriptionSession(audio=_heard(input)) for input in _INPUTS),
        m.TranscriptionSession(include=["item.input_audio_transcription.logprobs"]),
        m.TranscriptionSession(),
    ),
    "translation": (
        m.TranslationSession(audio=m.AudioConfig(output=m.AudioOutput(language="fr"))),
        m.TranslationSession(audio=_heard(m.AudioInput(transcription=m.AudioTranscription(model="gpt-4o-transcribe")))),
        m.TranslationSession(audio=_heard(m.AudioInput(noise_reduction=m.NoiseReduction(type="far_field")))),
        m.TranslationSession(),
    ),
}

_LATER: Final = ("prompt", "truncation")
_BETA_UPDATES: Final = {
    kind: tuple(each for each in updates if all(getattr(each, name, UNSET) is UNSET for name in _LATER))
    for kind, updates in _UPDATES.items()
}
"""The same for who speaks the beta: an engine lets every key pass there, because relatives of the service have keys of
their own; what the service's own server did not know, an application has to know."""
