"""Commands as values: a method for each event that a client sends, with its parameters by name.

`Resources` builds the events and sends them at once; a `ClientEventBuilder` is the same `Resources`, bound to nothing:
it answers with the finished event, which is encoded, queued, recorded or sent when it suits you. Its methods are
called as the events are, and take what they carry as keywords, in the notation of either dialect, flat or nested. A
key that is left out is absent on the wire, and None is null, which clears.

What is built is legal as far as that can be told without the session: ids, ranges, base64, which content a role may
have, which keys there are. It is judged as a sideband judges that has heard nothing yet, so by the rules and with the
codes of `Session.send`. Give a ``session``, and it is judged by what that knows now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Literal, TypeAlias, TypedDict, TypeVar, Unpack, overload

from msgspec import UNSET, UnsetType, structs

from antiphon import messages as m
from antiphon.engine.client import ClientSession
from antiphon.engine.config import Role, SessionConfig, SessionType
from antiphon.engine.dialects import Dialect
from antiphon.engine.legality import MOST_EVENT_ID, check
from antiphon.engine.resources import Given, Pcm, Resources

__all__ = ["ClientEventBuilder", "ItemKeys", "ResponseKeys", "SessionKeys"]

Object: TypeAlias = Mapping[str, object]
E = TypeVar("E", bound=m.ClientEvent)
T = TypeVar("T")
Tools: TypeAlias = Sequence[Object | m.Tool]


class _SharedKeys(TypedDict, total=False):
    instructions: str | None
    voice: str | Object | None
    modalities: list[str] | None
    output_modalities: list[str] | None
    output_audio_format: str | Object | None
    audio: Object | m.AudioConfig | None
    tools: Tools | None
    tool_choice: str | Object | m.ToolChoice | None
    parallel_tool_calls: bool | None
    reasoning: Object | m.Reasoning | None
    temperature: float | None
    prompt: Object | m.Prompt | None


class SessionKeys(_SharedKeys, total=False):
    """The keys of a session, those of the beta's notation among them."""

    type: SessionType
    model: str | None
    input_audio_format: str | Object | None
    input_audio_transcription: Object | None
    input_audio_noise_reduction: Object | None
    turn_detection: Object | None
    speed: float | None
    max_output_tokens: int | Literal["inf"] | None
    max_response_output_tokens: int | Literal["inf"] | None
    tracing: str | Object | m.TracingConfiguration | None
    truncation: str | Object | m.RetentionRatioTruncation | None
    include: list[str] | None


class ResponseKeys(_SharedKeys, total=False):
    """The keys of a `response.create`'s parameters, those of the beta's notation among them."""

    conversation: str | None
    input: Sequence[Object | m.Item] | None
    max_output_tokens: int | Literal["inf"] | None
    max_response_output_tokens: int | Literal["inf"] | None
    metadata: Mapping[str, str] | None


class ItemKeys(TypedDict, total=False):
    """The keys of the items that a client makes, beside the parameters of `conversation_item_create`."""

    id: str
    approval_request_id: str
    approve: bool
    reason: str | None


class ClientEventBuilder:
    """Builds the events of a client.

    ``ids`` gives the id of each event that is not given one, 1 to 512 characters; without it they are numbered,
    "evt_1", "evt_2". ``session`` judges what is built. Without one, ``dialect`` says what the server will be spoken to
    in: a "ga" server refuses ``temperature`` and beta content, a "beta" server takes what either has.

    Every method raises `LocalProtocolError`, with the server's code and parameter, for what would be refused; then no
    id was used. `TypeError` for an object that is given whole and by its keys at once, or audio under both its names.
    """

    def __init__(
        self,
        ids: Callable[[], str] | None = None,
        *,
        session: ClientSession | None = None,
        dialect: Dialect = "beta",
    ) -> None:
        numbers = count(1)
        self._ids = ids if ids is not None else lambda: f"evt_{next(numbers)}"
        self._session = session
        self._dialect: Dialect = dialect
        self._judges: dict[SessionType, ClientSession] = {}
        self.resources: Resources[m.ClientEvent, m.ClientEvent] = Resources(self._finish, self._finish)
        """The same in the shape of a connection: ``resources.conversation.item.create(item=...)``."""

    # -- the session ---------------------------------------------------------------------------------------------------

    def session_update(
        self,
        *,
        session: m.AnySession | Object | None = None,
        event_id: Given = UNSET,
        **keys: Unpack[SessionKeys],
    ) -> m.SessionUpdate:
        """`session.update`: a whole ``session``, or its keys. Without ``type`` it is a "realtime" session."""
        return _only(
            m.SessionUpdate, self.resources.session.update(session=_whole("session", session, keys), event_id=event_id)
        )

    def transcription_session_update(
        self, *, session: Object | None = None, event_id: Given = UNSET, **keys: Unpack[SessionKeys]
    ) -> m.SessionUpdate:
        """`transcription_session.update`: what the beta calls a `session.update` of type "transcription". It is one,
        and goes by the beta's name where the beta is spoken."""
        given: Object = _whole("session", session, keys)
        return _only(
            m.SessionUpdate,
            self.resources.session.update(session={**given, "type": "transcription"}, event_id=event_id),
        )

    def session_input_audio_buffer_append(
        self, audio: Pcm | str, *, event_id: Given = UNSET
    ) -> m.SessionInputAudioBufferAppend:
        """`session.input_audio_buffer.append` of a translation: PCM16 at 24 kHz, or a string that is base64."""
        return _only(
            m.SessionInputAudioBufferAppend,
            self.resources.session.input_audio_buffer.append(audio=audio, event_id=event_id),
        )

    def session_close(self, *, event_id: Given = UNSET) -> m.SessionClose:
        """`session.close` of a translation."""
        return _only(m.SessionClose, self.resources.session.close(event_id=event_id))

    # -- audio ---------------------------------------------------------------------------------------------------------

    @overload
    def input_audio_buffer_append(self, audio: Pcm | str, *, event_id: Given = UNSET) -> m.InputAudioBufferAppend: ...

    @overload
    def input_audio_buffer_append(self, *, audio_base64: str, event_id: Given = UNSET) -> m.InputAudioBufferAppend: ...

    def input_audio_buffer_append(
        self, audio: Pcm | str | None = None, *, audio_base64: str | None = None, event_id: Given = UNSET
    ) -> m.InputAudioBufferAppend:
        """`input_audio_buffer.append`: bytes in the session's input format, or a string that is base64 already, which
        may also be given as ``audio_base64``."""
        if audio is None:
            audio, audio_base64 = audio_base64, None
        if audio is None or audio_base64 is not None:
            raise TypeError("give audio= or audio_base64=, one of the two")
        return _only(m.InputAudioBufferAppend, self.resources.input_audio_buffer.append(audio=audio, event_id=event_id))

    def input_audio_buffer_commit(self, *, event_id: Given = UNSET) -> m.InputAudioBufferCommit:
        """`input_audio_buffer.commit`"""
        return _only(m.InputAudioBufferCommit, self.resources.input_audio_buffer.commit(event_id=event_id))

    def input_audio_buffer_clear(self, *, event_id: Given = UNSET) -> m.InputAudioBufferClear:
        """`input_audio_buffer.clear`"""
        return _only(m.InputAudioBufferClear, self.resources.input_audio_buffer.clear(event_id=event_id))

    def output_audio_buffer_clear(self, *, event_id: Given = UNSET) -> m.OutputAudioBufferClear:
        """`output_audio_buffer.clear` (WebRTC and SIP)"""
        return _only(m.OutputAudioBufferClear, self.resources.output_audio_buffer.clear(event_id=event_id))

    # -- items ---------------------------------------------------------------------------------------------------------

    def conversation_item_create(
        self,
        item_type: str | None = None,
        role: str | None = None,
        content: Sequence[Object | m.Content] | None = None,
        call_id: str | None = None,
        name: str | None = None,
        arguments: str | None = None,
        output: str | None = None,
        *,
        item: m.Item | Object | None = None,
        previous_item_id: str | UnsetType | None = UNSET,
        event_id: Given = UNSET,
        **keys: Unpack[ItemKeys],
    ) -> m.ConversationItemCreate:
        """`conversation.item.create`: a whole ``item``, or its type ("message", "function_call",
        "function_call_output", "mcp_approval_response") and keys. A parameter that is None is left out.
        """
        parameters = {
            "type": item_type,
            "role": role,
            "content": content,
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
            "output": output,
        }
        given: Object = {**keys, **{key: value for key, value in parameters.items() if value is not None}}
        whole: m.Item | Object = _whole("item", item, given)
        return _only(
            m.ConversationItemCreate,
            self.resources.conversation.item.create(item=whole, previous_item_id=previous_item_id, event_id=event_id),
        )

    def conversation_item_retrieve(self, item_id: str, *, event_id: Given = UNSET) -> m.ConversationItemRetrieve:
        """`conversation.item.retrieve`"""
        return _only(
            m.ConversationItemRetrieve, self.resources.conversation.item.retrieve(item_id=item_id, event_id=event_id)
        )

    def conversation_item_truncate(
        self, item_id: str, content_index: int, audio_end_ms: int, *, event_id: Given = UNSET
    ) -> m.ConversationItemTruncate:
        """`conversation.item.truncate`: keep the first ``audio_end_ms`` milliseconds."""
        return _only(
            m.ConversationItemTruncate,
            self.resources.conversation.item.truncate(
                item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms, event_id=event_id
            ),
        )

    def conversation_item_delete(self, item_id: str, *, event_id: Given = UNSET) -> m.ConversationItemDelete:
        """`conversation.item.delete`"""
        return _only(
            m.ConversationItemDelete, self.resources.conversation.item.delete(item_id=item_id, event_id=event_id)
        )

    # -- responses -----------------------------------------------------------------------------------------------------

    def response_create(
        self,
        *,
        response: m.ResponseCreateParams | Object | None = None,
        event_id: Given = UNSET,
        **keys: Unpack[ResponseKeys],
    ) -> m.ResponseCreate:
        """`response.create`: whole parameters, or their keys, or neither."""
        whole: m.ResponseCreateParams | Object | UnsetType = _whole("response", response, keys)
        if response is None and not keys:
            whole = UNSET
        return _only(m.ResponseCreate, self.resources.response.create(response=whole, event_id=event_id))

    def response_cancel(
        self, *, response_id: str | UnsetType | None = UNSET, event_id: Given = UNSET
    ) -> m.ResponseCancel:
        """`response.cancel`: this response, or the one in progress."""
        return _only(m.ResponseCancel, self.resources.response.cancel(response_id=response_id, event_id=event_id))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _finish(self, event: m.ClientEvent) -> m.ClientEvent:
        """Judge ``event``, and give it an id."""
        check(self._judge_of(event) if self._session is None else self._session, event, ())
        if isinstance(event.event_id, str) and event.event_id:
            return event
        event_id = self._ids()
        if not 1 <= len(event_id) <= MOST_EVENT_ID:
            raise ValueError(f"an event id has 1 to {MOST_EVENT_ID} characters; the source of ids gave {len(event_id)}")
        return structs.replace(event, event_id=event_id)

    def _judge_of(self, event: m.ClientEvent) -> ClientSession:
        """A session that knows nothing but its kind, and says so: on a sideband others may have done what it missed."""
        kind: SessionType = "translation" if event.type in m.TRANSLATION_EVENTS else "realtime"
        judge = self._judges.get(kind)
        if judge is None:
            config = SessionConfig(transport="sideband", session_type=kind, dialect=self._dialect)
            judge = self._judges[kind] = ClientSession(Role.CLIENT, config, now=0)
            judge.opened(0)
        return judge


def _whole(name: str, whole: T | None, keys: Mapping[str, object]) -> T | Mapping[str, object]:
    """The object that was given, or the one that the keys make."""
    if whole is None:
        return keys
    if keys:
        raise TypeError(f"give {name}= or its keys, not both: {', '.join(keys)}")
    return whole


def _only(cls: type[E], event: m.ClientEvent) -> E:
    """What `Resources` makes for this command: its types know only that it is some command."""
    assert isinstance(event, cls)
    return event
