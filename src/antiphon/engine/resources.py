"""Commands by name, in the shape that users of openai-python know: ``connection.conversation.item.create(item=...)``.

One class for all adapters. It makes messages and hands them to the function it was bound to; whether that returns a
value, a coroutine or nothing is the adapter's affair, and its type passes through. Payloads are our Structs or plain
dicts as the API reference shows them. An argument that is left out stays absent on the wire, and None is null: the
protocol tells the two apart. A dict may be in the beta's notation: it is put into GA's shape, as what is received is.

A dict is checked on its way in. What no class describes would be lost when the message is written, one of two values
for the same thing (``voice`` and ``audio.output.voice``) too, and a value that does not fit would be repaired; so all
three are refused, by name. To say such a thing all the same, send an `antiphon.messages.UnknownEvent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeAlias, TypeVar, cast

from msgspec import UNSET, UnsetType

from antiphon import messages as m
from antiphon.engine.audio import encode_base64
from antiphon.engine.codec import Repaired, Unreadable, convert_client_event, to_builtins
from antiphon.engine.dialects import read_client, said_twice
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.refusals import refusal_of

__all__ = ["Resources", "command_of"]

R = TypeVar("R")
Q = TypeVar("Q")
C = TypeVar("C", bound=m.ClientEvent)

Pcm: TypeAlias = bytes | bytearray | memoryview
Send: TypeAlias = Callable[[m.ClientEvent], R]
Given: TypeAlias = str | UnsetType


class TranslatedAudioResource(Generic[R]):
    """``.session.input_audio_buffer`` of a translation"""

    __slots__ = ("_append_audio", "_send")

    def __init__(self, send: Send[R], append_audio: Callable[[Pcm], R] | None) -> None:
        self._send = send
        self._append_audio = append_audio

    def append(self, *, audio: Pcm | str, event_id: Given = UNSET) -> R:
        """Add audio to be translated: PCM16 at 24 kHz, or a string that is base64 already; silence too."""
        if isinstance(audio, str):
            return self._send(m.SessionInputAudioBufferAppend(audio=audio, event_id=event_id))
        if self._append_audio is not None and event_id is UNSET:
            return self._append_audio(audio)
        return self._send(m.SessionInputAudioBufferAppend(audio=encode_base64(audio), event_id=event_id))


class SessionResource(Generic[R]):
    """``.session``"""

    __slots__ = ("_send", "input_audio_buffer")

    def __init__(self, send: Send[R], append_audio: Callable[[Pcm], R] | None = None) -> None:
        self._send = send
        self.input_audio_buffer = TranslatedAudioResource(send, append_audio)

    def close(self, *, event_id: Given = UNSET) -> R:
        """End a translation: what was sent is still translated, then the server ends the session."""
        return self._send(m.SessionClose(event_id=event_id))

    def update(self, *, session: m.AnySession | Mapping[str, object], event_id: Given = UNSET) -> R:
        """Change the keys that ``session`` carries (null clears); one invalid key refuses them all (R-S3).

        A dict without ``type`` is a "realtime" session; one of a translation says so. Raises `LocalProtocolError` for a
        dict that does not fit.
        """
        if not isinstance(session, Mapping):
            return self._send(m.SessionUpdate(session=session, event_id=event_id))
        return self._send(_convert(m.SessionUpdate, event_id, session=dict(session)))


class ItemResource(Generic[R]):
    """``.conversation.item``"""

    __slots__ = ("_send",)

    def __init__(self, send: Send[R]) -> None:
        self._send = send

    def create(
        self,
        *,
        item: m.Item | Mapping[str, object],
        previous_item_id: str | UnsetType | None = UNSET,
        event_id: Given = UNSET,
    ) -> R:
        """Add ``item``: at the end, or behind ``previous_item_id`` ("root" is the front). No response is created.

        Raises `LocalProtocolError` for a dict that does not fit.
        """
        if isinstance(item, Mapping):
            event = _convert(m.ConversationItemCreate, event_id, item=item, previous_item_id=previous_item_id)
        else:
            event = m.ConversationItemCreate(item=item, previous_item_id=previous_item_id, event_id=event_id)
        return self._send(event)

    def retrieve(self, *, item_id: str, event_id: Given = UNSET) -> R:
        """Ask for an item as the server holds it, with its audio."""
        return self._send(m.ConversationItemRetrieve(item_id=item_id, event_id=event_id))

    def truncate(self, *, item_id: str, content_index: int, audio_end_ms: int, event_id: Given = UNSET) -> R:
        """Cut an assistant's audio after its first ``audio_end_ms`` milliseconds, because no more was heard."""
        event = m.ConversationItemTruncate(
            item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms, event_id=event_id
        )
        return self._send(event)

    def delete(self, *, item_id: str, event_id: Given = UNSET) -> R:
        """Remove an item from the conversation."""
        return self._send(m.ConversationItemDelete(item_id=item_id, event_id=event_id))


class ConversationResource(Generic[R]):
    """``.conversation``"""

    __slots__ = ("item",)

    def __init__(self, send: Send[R]) -> None:
        self.item = ItemResource(send)


class InputAudioBufferResource(Generic[R]):
    """``.input_audio_buffer``"""

    __slots__ = ("_append_audio", "_send")

    def __init__(self, send: Send[R], append_audio: Callable[[Pcm], R] | None) -> None:
        self._send = send
        self._append_audio = append_audio

    def append(self, *, audio: Pcm | str, event_id: Given = UNSET) -> R:
        """Add microphone audio: bytes in the session's input format, or a string that is base64 already.

        Bytes without ``event_id`` take the engine's short way (``append_audio``) where the adapter offers it.
        """
        if isinstance(audio, str):
            return self._send(m.InputAudioBufferAppend(audio=audio, event_id=event_id))
        if self._append_audio is not None and event_id is UNSET:
            return self._append_audio(audio)
        return self._send(m.InputAudioBufferAppend(audio=encode_base64(audio), event_id=event_id))

    def commit(self, *, event_id: Given = UNSET) -> R:
        """Make a user item of the buffered audio, at least 100 ms of it. Not needed while the server detects turns."""
        return self._send(m.InputAudioBufferCommit(event_id=event_id))

    def clear(self, *, event_id: Given = UNSET) -> R:
        """Drop the audio that is not committed."""
        return self._send(m.InputAudioBufferClear(event_id=event_id))


class OutputAudioBufferResource(Generic[R]):
    """``.output_audio_buffer`` (WebRTC and SIP, where the server plays)"""

    __slots__ = ("_send",)

    def __init__(self, send: Send[R]) -> None:
        self._send = send

    def clear(self, *, event_id: Given = UNSET) -> R:
        """Cut what the server is playing; generation goes on unless it was cancelled before."""
        return self._send(m.OutputAudioBufferClear(event_id=event_id))


class ResponseResource(Generic[R, Q]):
    """``.response``"""

    __slots__ = ("_create", "_send")

    def __init__(self, send: Send[R], create: Callable[[m.ResponseCreate], Q]) -> None:
        self._send = send
        self._create = create

    def create(
        self,
        *,
        response: m.ResponseCreateParams | Mapping[str, object] | UnsetType | None = UNSET,
        event_id: Given = UNSET,
    ) -> Q:
        """Ask for a response; ``response`` overrides the session for it alone.

        Raises `LocalProtocolError` for a dict that does not fit.
        """
        if isinstance(response, Mapping):
            return self._create(_convert(m.ResponseCreate, event_id, response=response))
        return self._create(m.ResponseCreate(response=response, event_id=event_id))

    def cancel(self, *, response_id: str | UnsetType | None = UNSET, event_id: Given = UNSET) -> R:
        """Stop a response: this one, or the one in progress in the default conversation."""
        return self._send(m.ResponseCancel(response_id=response_id, event_id=event_id))


class Resources(Generic[R, Q]):
    """The commands of a client, bound to ``send``.

    ``send(event)`` takes a finished message · ``create(event)`` takes a `ResponseCreate`, apart because adapters
    return a handle for it, on which its outcome is awaited (where they do not, it is ``send`` again) ·
    ``append_audio(pcm)`` is the engine's short way for audio bytes.
    """

    __slots__ = ("conversation", "input_audio_buffer", "output_audio_buffer", "response", "session")

    def __init__(
        self,
        send: Send[R],
        create: Callable[[m.ResponseCreate], Q],
        *,
        append_audio: Callable[[Pcm], R] | None = None,
    ) -> None:
        self.session = SessionResource(send, append_audio)
        self.conversation = ConversationResource(send)
        self.input_audio_buffer = InputAudioBufferResource(send, append_audio)
        self.output_audio_buffer = OutputAudioBufferResource(send)
        self.response = ResponseResource(send, create)


def command_of(given: Mapping[str, object]) -> m.ClientEvent | m.UnknownEvent:
    """The command in a dict, as the API reference shows it, in either notation; an `UnknownEvent` for a type that no
    class describes. Raises `LocalProtocolError` for what would be repaired or lost, and for what a server says."""
    name = given.get("type")
    if not isinstance(name, str):
        raise LocalProtocolError("a command is known by its type", rule="R-E1", code="invalid_event", param="type")
    if name in m.SERVER_EVENTS:
        raise LocalProtocolError(f"a client does not send {name}", rule="R-E6")
    _, shaped = read_client(dict(given))
    for field in ("session", "response"):
        if isinstance(part := given.get(field), Mapping):
            _check_said_once(name, field, part)
    decoded = convert_client_event(shaped)
    if isinstance(decoded, Unreadable):
        raise LocalProtocolError(f"{name}: {decoded.detail}", rule="R-E5")
    if isinstance(decoded, Repaired) and decoded.problems:
        problem = decoded.problems[0]
        code = refusal_of(problem, shaped).detail(None).code
        raise LocalProtocolError(
            f"{name}: {problem.path}: {problem.message}",
            rule="R-E5",
            code=code if isinstance(code, str) else None,
            param=problem.path[2:],
        )
    # Without problems it is of a type that no class describes, or holds an item or a tool of one.
    event = cast("m.ClientEvent | m.UnknownEvent", decoded.event if isinstance(decoded, Repaired) else decoded)
    if isinstance(event, m.UnknownEvent):
        return event
    try:
        lost = next(_lost(shaped, to_builtins(event), "$"), None)
    except (ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{name} cannot be written as JSON", rule="R-E5") from error
    if lost is not None:
        raise LocalProtocolError(
            f"{name}: {lost} is no known field; to send it all the same, send an UnknownEvent",
            rule="R-E5",
            code="unknown_parameter",
            param=lost[2:],
        )
    return event


def _convert(cls: type[C], event_id: Given, **fields: object) -> C:
    """`command_of` for an event of ``cls``."""
    given = {name: value for name, value in (*fields.items(), ("event_id", event_id)) if value is not UNSET}
    return cast(C, command_of({"type": cls.type, **given}))


def _check_said_once(name: str, field: str, given: Mapping[str, object]) -> None:
    """Raises `LocalProtocolError` if the session or the response ``given`` says one thing in both notations."""
    twice = said_twice(given)
    if twice is not None:
        flat, nested = (f"{field}.{key}" for key in twice)
        raise LocalProtocolError(
            f"{name}: {flat} would be lost beside what is given in GA's notation; write it as {nested}, once",
            rule="R-E5",
            code="unknown_parameter",
            param=flat,
        )


def _lost(given: object, kept: object, path: str) -> Iterator[str]:
    """The paths of keys in ``given`` that ``kept`` does not have."""
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        for key, value in given.items():
            if key in kept:
                yield from _lost(value, kept[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(given, list | tuple) and isinstance(kept, list):
        for index, (value, other) in enumerate(zip(given, kept, strict=False)):
            yield from _lost(value, other, f"{path}[{index}]")
