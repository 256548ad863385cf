"""What a client can know to be refused before it is sent.

One function a command, each rule with the code that the server would answer: an entry of ``spec/errors.toml``, filled
in. Ranges, keys and ids are judged by the same data as a server of ours judges by (``checks.py``, ``settings.py``);
sets of values are not, because servers and their relatives add to them before a client learns of it.

All of it races against the server's own view: a pass here does not exclude an error there, and every refusal here can
be overridden for one call by naming its rule. On a sideband nothing is judged that depends on having been there from
the beginning: items, calls and responses of other clients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import UNSET, structs

from antiphon import messages as m
from antiphon.engine import known, translation
from antiphon.engine.audio import decode_base64
from antiphon.engine.checks import CONTENT_OF_ROLE, problem_with_content, problem_with_id, problems_with_numbers
from antiphon.engine.codec import encode, to_builtins
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.refusals import Refusal, listed
from antiphon.engine.settings import (
    foreign_detection_key,
    foreign_keys,
    problem_with_metadata,
    problem_with_modalities,
)
from antiphon.machines import ERRORS
from antiphon.messages.values import CONVERSATION_MODES, TURN_DETECTION_TYPES

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

MINIMUM_COMMIT_MS: Final = 100
"""The least audio that a manual commit takes (R-I3)."""

MOST_EVENT_ID: Final = 512
"""The most characters of an event id of ours."""


def check(session: ClientSession, event: m.ClientEvent, override: Collection[str]) -> None:
    """Raise `LocalProtocolError` for the first rule that ``event`` breaks and ``override`` does not name; and for what
    cannot be written, whatever it names."""
    try:
        text = encode(event)
    except ValueError as error:
        raise LocalProtocolError(str(error), rule="R-E1", code="invalid_event") from None
    # The encoder writes NaN and the infinities as null, which would clear the value.
    if b"null" in text and (refusal := _not_finite(to_builtins(event))) is not None:
        detail = refusal.detail(None)
        raise LocalProtocolError(detail.message, rule="R-E5", code=refusal.name, param=str(refusal.fields["param"]))
    for problem in _problems(session, event):
        if problem.rule not in override:
            raise problem


def _not_finite(event: object) -> Refusal | None:
    """Why ``event``, as plain values, is refused for a number that JSON does not have; None if there is none."""
    waiting = [("", event)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            fields = {"param": path.removeprefix("."), "expected": "a finite number", "actual": value}
            return Refusal("invalid_type", fields)
        if isinstance(value, dict):
            waiting.extend((f"{path}.{key}", each) for key, each in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((f"{path}[{index}]", each) for index, each in enumerate(value))
    return None


def _problems(session: ClientSession, event: m.ClientEvent) -> Iterator[LocalProtocolError]:
    event_id = event.event_id
    if isinstance(event_id, str) and len(event_id) > MOST_EVENT_ID:
        fields = {"param": "event_id", "maximum": MOST_EVENT_ID, "length": len(event_id)}
        yield _as_error(Refusal("string_above_max_length", fields), rule="R-E7")
    yield from _kind_of_session(session, event)
    rules = _CHECKS.get(type(event))
    if rules is not None:
        yield from rules(session, event)


def _as_error(refusal: Refusal, *, rule: str = "", param: str = "", hint: str = "") -> LocalProtocolError:
    """What the server would say, as an exception: under the rule of its entry unless another is meant. ``param`` is for
    errors in which the service names none."""
    detail = refusal.detail(None)
    return _error(
        f"{detail.message}{hint and f' ({hint})'}",
        rule or ERRORS[refusal.name].rule,
        detail.code if isinstance(detail.code, str) else None,
        detail.param if isinstance(detail.param, str) else param or None,
    )


def _error(message: str, rule: str, code: str | None = None, param: str | None = None) -> LocalProtocolError:
    return LocalProtocolError(message, rule=rule, code=code, param=param, overridable=True)


Problems: TypeAlias = Iterator[LocalProtocolError]


def _kind_of_session(session: ClientSession, event: m.ClientEvent) -> Problems:
    """Why this kind of session does not know ``event``, or does not take it any more (R-S9, R-X1, R-X3)."""
    if not session.translates:
        if event.type in m.TRANSLATION_EVENTS:
            yield _error(f"only a translation session knows {event.type}", "R-X1", "invalid_value", "type")
        elif session.transcribes and event.type.startswith(translation.OF_RESPONSES):
            message = f"a transcription session has no responses, and does not know {event.type}"
            yield _error(message, "R-S9", "invalid_value", "type")
    elif event.type not in translation.COMMANDS:
        yield _error(f"a translation session does not know {event.type}", "R-X1", "invalid_value", "type")
    elif isinstance(event, m.SessionClose) and session.takes_no_more_audio:
        yield _error("the translation has ended, or was asked to end", "R-X3")
    elif isinstance(event, m.SessionClose) and session.place.state == "expired" and session.link.state == "open":
        yield _error("the session is expired: there is nothing to close", "R-X3")
    elif isinstance(event, m.SessionInputAudioBufferAppend) and session.takes_no_more_audio:
        yield _error("the translation is closing and takes no more audio", "R-X3", "invalid_event", "audio")


# -- the session -------------------------------------------------------------------------------------------------------


def _session_update(session: ClientSession, event: m.SessionUpdate) -> Problems:
    known, wanted = session.configuration, event.session
    if known is not None and known.type != wanted.type:
        yield _as_error(Refusal("invalid_parameter", {"given": wanted.type, "actual": known.type}))
    for key in foreign_keys(wanted, session.dialect):
        yield _as_error(Refusal("unknown_parameter", {"param": f"session.{key}"}))
    heard = _other_voice(session, wanted.audio)
    if heard is not None:
        yield _as_error(Refusal("cannot_update_voice"), hint=f"it is {heard!r}, and was heard")
    if isinstance(known, m.RealtimeSession) and isinstance(wanted, m.RealtimeSession):
        if known.model and wanted.model and not _is_same_model(known.model, wanted.model):
            yield _as_error(Refusal("cannot_update_model"), hint=f"it is {known.model!r}")
        if known.tracing and wanted.tracing is not UNSET and known.tracing != wanted.tracing:
            yield _as_error(Refusal("cannot_update_tracing"))
    if isinstance(wanted, m.RealtimeSession):
        yield from _modalities(wanted.output_modalities, "session.output_modalities")
    data = to_builtins(wanted)
    for refusal in problems_with_numbers(data, "session"):
        yield _as_error(refusal)
    yield from _detection(session, data)


def _is_same_model(known: str, wanted: str) -> bool:
    """An alias and the dated name that it stands for begin alike."""
    return known.startswith(wanted) or wanted.startswith(known)


def _voice(audio: m.Maybe[m.AudioConfig]) -> frozenset[str]:
    """What a voice is called: one of one's own has an id, one of Azure a name; nothing where none is named."""
    output = audio.output if audio else UNSET
    voice = output.voice if output else UNSET
    names = (voice.id, voice.name) if isinstance(voice, m.VoiceReference) else (voice,)
    return frozenset(name for name in names if isinstance(name, str))


def _other_voice(session: ClientSession, wanted: m.Maybe[m.AudioConfig]) -> str | None:
    """The voice that was heard, where another is ``wanted``."""
    known = session.configuration
    voice, current = _voice(wanted), _voice(known.audio) if known is not None else frozenset()
    locked = session.has_spoken and voice and current and voice.isdisjoint(current)
    return ", ".join(sorted(current)) if locked else None


def _modalities(wanted: object, param: str) -> Problems:
    refusal = problem_with_modalities(wanted, param)
    if refusal is not None:
        yield _as_error(refusal, hint="audio comes with its transcript" if isinstance(wanted, list) else "")


def _detection(session: ClientSession, update: dict[str, Any]) -> Problems:
    """A key of another way of detecting turns than the one that will be, where we know both."""
    wanted = ((update.get("audio") or {}).get("input") or {}).get("turn_detection") or {}
    type_ = wanted.get("type", session.detection.type if session.detection else UNSET)
    if type_ not in TURN_DETECTION_TYPES:
        return
    key = foreign_detection_key(wanted, type_)
    if key is not None:
        param = f"session.audio.input.turn_detection.{key}"
        yield _as_error(Refusal("unknown_parameter", {"param": param}), hint=f"not with {type_}")


# -- audio -------------------------------------------------------------------------------------------------------------


def _append(session: ClientSession, event: m.InputAudioBufferAppend | m.SessionInputAudioBufferAppend) -> Problems:
    audio = decode_base64(event.audio)
    if audio is None:
        yield _as_error(Refusal("invalid_audio", {"param": "audio", "detail": "expected base64"}))
        return
    most = session.config.limits.append_audio_bytes
    if len(audio) > most:
        yield _as_error(Refusal("audio_too_long", {"maximum": most, "length": len(audio)}))
    if session.config.transport == "sideband" and session.configuration is None:
        return  # nobody has said yet which format it is
    reformats = any(pending.type == "session.update" for pending in session.acknowledgements.unanswered())
    if len(audio) % session.input_audio.format.bytes_per_sample and not reformats:
        yield _as_error(Refusal("invalid_audio", {"param": "audio", "detail": "expected a whole number of samples"}))


def _commit(session: ClientSession, _event: m.InputAudioBufferCommit) -> Problems:
    if session.config.transport != "websocket":
        return  # the microphone goes another way, and is not counted here
    if not session.input_audio.can_commit(MINIMUM_COMMIT_MS):
        fields: dict[str, object] = {
            "minimum_ms": MINIMUM_COMMIT_MS,
            "buffered_ms": float(session.input_audio.uncommitted_ms),
        }
        yield _as_error(Refusal("input_audio_buffer_commit_empty", fields))


def _output_clear(session: ClientSession, _event: m.OutputAudioBufferClear) -> Problems:
    if session.config.transport == "websocket":
        yield _error("over a WebSocket the client plays; there is no output buffer to clear", "R-O2")


# -- items -------------------------------------------------------------------------------------------------------------


def _item_create(session: ClientSession, event: m.ConversationItemCreate) -> Problems:
    yield from _item(session, event.item, "item")
    if isinstance(event.item, m.ItemReference):
        fields: dict[str, object] = {
            "value": event.item.type,
            "supported": "in the input of a response only",
            "param": "item.type",
        }
        yield _as_error(Refusal("invalid_value", fields), rule="R-C13")
    previous = event.previous_item_id
    if isinstance(previous, str) and previous not in ("", "root") and not _knows_item(session, previous):
        yield _as_error(Refusal("item_create_invalid_previous_item_id", {"item_id": previous[:64]}))


def _item(session: ClientSession, item: m.Item, path: str, calls: Collection[str] = ()) -> Problems:
    """``calls`` are more calls that may be answered than the conversation's."""
    for name in ("id", "call_id"):
        value = getattr(item, name, UNSET)
        if isinstance(value, str) and not (name == "call_id" and _is_servers(session, item, value)):
            refusal = problem_with_id(value, f"{path}.{name}")
            if refusal is not None:
                yield _as_error(refusal, rule="R-C11")
    if isinstance(item, m.FunctionCallOutputItem) and item.call_id not in calls and not _knows_call(session, item):
        yield _as_error(Refusal("invalid_tool_call_id", {"call_id": item.call_id[:64], "param": f"{path}.call_id"}))
    if isinstance(item, m.McpApprovalResponseItem) and not _knows_item(session, item.approval_request_id):
        unknown: dict[str, object] = {"item_id": item.approval_request_id[:64], "param": f"{path}.approval_request_id"}
        yield _as_error(Refusal("approval_request_unknown", unknown))
    if isinstance(item, m.MessageItem):
        yield from _content(session, item, path)


def _content(session: ClientSession, item: m.MessageItem, path: str) -> Problems:
    if item.role not in CONTENT_OF_ROLE:
        return  # a vendor's
    for index, part in enumerate(item.content):
        where = f"{path}.content[{index}]"
        refusal = problem_with_content(part, item.role, where, session.dialect)
        if refusal is None or isinstance(part, m.UnknownContent):
            continue
        if refusal.name != "invalid_value":
            yield _as_error(refusal)
            continue
        seeds = item.role == "assistant" and isinstance(part, m.OutputAudio | m.AudioPart)
        hint = "assistant audio cannot be seeded: send its text as output_text" if seeds else ""
        yield _as_error(refusal, rule="R-C13", hint=hint)


def _knows_item(session: ClientSession, item_id: str) -> bool:
    """Whether a command may name it. On a sideband there may be more than it was told of, but nothing that is gone."""
    if known.knows_item(session, item_id):
        return True
    return session.config.transport == "sideband" and not known.is_going(session, item_id)


def _is_servers(session: ClientSession, item: m.Item, call_id: str) -> bool:
    """Whether the server chose this id, or may have: then it need not be one that a client may choose (R-C11)."""
    if known.knows_call(session, call_id):
        return True
    return session.config.transport == "sideband" and isinstance(item, m.FunctionCallOutputItem)


def _knows_call(session: ClientSession, item: m.FunctionCallOutputItem) -> bool:
    return session.config.transport == "sideband" or known.knows_call(session, item.call_id)


def _delete(session: ClientSession, event: m.ConversationItemDelete) -> Problems:
    if not _knows_item(session, event.item_id):
        yield _as_error(Refusal("item_delete_invalid_item_id", {"item_id": event.item_id[:64]}), param="item_id")


def _retrieve(session: ClientSession, event: m.ConversationItemRetrieve) -> Problems:
    if not _knows_item(session, event.item_id):
        yield _as_error(Refusal("item_retrieve_invalid_item_id", {"item_id": event.item_id[:64]}), param="item_id")


def _truncate(session: ClientSession, event: m.ConversationItemTruncate) -> Problems:
    for param in ("audio_end_ms", "content_index"):
        value: object = getattr(event, param)
        if type(value) is not int:
            fields: dict[str, object] = {"param": param, "expected": "an integer", "actual": type(value).__name__}
            yield _as_error(Refusal("invalid_type", fields), rule="R-C5")
            return
        if value < 0:
            fields = {"param": param, "minimum": 0, "value": value}
            yield _as_error(Refusal("integer_below_min_value", fields), rule="R-C5")
            return
    if not _knows_item(session, event.item_id):
        yield _as_error(Refusal("item_truncate_invalid_item_id", {"item_id": event.item_id[:64]}), param="item_id")
        return
    entry = session.playback.get(event.item_id, event.content_index)
    node = session.conversation.get(event.item_id)
    if entry is not None and entry.gone:  # an item of the same name may have come instead, in text
        yield _as_error(Refusal("unsupported_content_type"), param="item_id", hint="the one that spoke was deleted")
    elif node is None:
        return
    elif not (isinstance(node.item, m.MessageItem) and node.item.role == "assistant"):
        yield _as_error(Refusal("unsupported_content_type"), param="item_id")
    elif session.listener.plays:  # elsewhere no audio passes here, so nothing is known of its length
        if entry is None or not entry.sent:
            yield _as_error(
                Refusal("unsupported_content_type"), param="content_index", hint="none of its audio has come"
            )
        elif event.audio_end_ms > entry.format.ms(entry.sent):
            fields = {"actual_ms": entry.format.ms(entry.sent), "audio_end_ms": event.audio_end_ms}
            yield _as_error(Refusal("truncate_too_long", fields))


# -- responses ---------------------------------------------------------------------------------------------------------


def _response_create(session: ClientSession, event: m.ResponseCreate) -> Problems:
    params = event.response
    if not isinstance(params, m.ResponseCreateParams):
        return
    for key in foreign_keys(params, session.dialect):
        yield _as_error(Refusal("unknown_parameter", {"param": f"response.{key}"}))
    if params.audio and params.audio.input is not UNSET:
        yield _as_error(Refusal("unknown_parameter", {"param": "response.audio.input"}))
    if params.conversation and params.conversation not in CONVERSATION_MODES:
        fields: dict[str, object] = {"value": params.conversation[:64], "supported": listed(CONVERSATION_MODES)}
        fields["param"] = "response.conversation"
        yield _as_error(Refusal("invalid_value", fields))
    yield from _modalities(params.output_modalities, "response.output_modalities")
    heard = _other_voice(session, params.audio)
    if params.conversation != "none" and heard is not None:
        yield _as_error(Refusal("response_in_another_voice"), hint=f"it is {heard!r}, and was heard")
    for refusal in problems_with_numbers(to_builtins(structs.replace(params, input=UNSET)), "response"):
        yield _as_error(refusal)
    metadata = problem_with_metadata(params.metadata)
    if metadata is not None:
        yield _as_error(metadata, rule="R-E7")
    yield from _input(session, params.input or [])


def _input(session: ClientSession, items: list[m.Item]) -> Problems:
    """What a response is to read in place of the conversation: it may refer to members, and answer calls of its own."""
    calls: set[str] = set()
    for index, item in enumerate(items):
        path = f"response.input[{index}]"
        if isinstance(item, m.ItemReference):
            if not isinstance(item.id, str):
                yield _as_error(Refusal("missing_required_parameter", {"param": f"{path}.id"}))
            elif not _knows_item(session, item.id):
                yield _as_error(Refusal("item_reference_unknown", {"item_id": item.id[:64], "param": f"{path}.id"}))
            continue
        yield from _item(session, item, path, calls)
        if isinstance(item, m.FunctionCallItem) and isinstance(item.call_id, str):
            calls.add(item.call_id)


def _response_cancel(session: ClientSession, event: m.ResponseCancel) -> Problems:
    if session.config.transport == "sideband":
        return
    if isinstance(event.response_id, str):
        record = session.responses.get(event.response_id)
        active = record is not None and record.is_open
    else:
        active = session.arbiter.is_busy
    if not active:
        yield _as_error(Refusal("response_cancel_not_active"))


_CHECKS: Final[dict[type[object], Callable[[ClientSession, Any], Problems]]] = {
    m.SessionUpdate: _session_update,
    m.InputAudioBufferAppend: _append,
    m.SessionInputAudioBufferAppend: _append,
    m.InputAudioBufferCommit: _commit,
    m.OutputAudioBufferClear: _output_clear,
    m.ConversationItemCreate: _item_create,
    m.ConversationItemDelete: _delete,
    m.ConversationItemRetrieve: _retrieve,
    m.ConversationItemTruncate: _truncate,
    m.ResponseCreate: _response_create,
    m.ResponseCancel: _response_cancel,
}
