"""What a client can know to be refused before it is sent.

One function a command, each rule with the code that the server would answer. All of it races against the server's own
view: a pass here does not exclude an error there, and every refusal here can be overridden for one call by naming its
rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from antiphon import messages as m
from antiphon.engine import translation
from antiphon.engine.errors import LocalProtocolError

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession

MINIMUM_COMMIT_MS = 100
"""The least audio that a manual commit takes (R-I3)."""

MOST_EVENT_ID = 512
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


def check(session: ClientSession, event: m.ClientEvent, override: Collection[str]) -> None:
    """Raise `LocalProtocolError` for the first rule that ``event`` breaks and ``override`` does not name."""
    event_id = event.event_id
    if isinstance(event_id, str) and len(event_id) > MOST_EVENT_ID:
        raise LocalProtocolError(f"event_id has {len(event_id)} characters, at most {MOST_EVENT_ID}", rule="R-E1")
    problem = _kind_of_session(session, event)
    if problem is not None and problem.rule not in override:
        raise problem
    rule = _CHECKS.get(type(event))
    if rule is None:
        return
    for problem in rule(session, event):
        if problem.rule not in override:
            raise problem


def _refusal(message: str, rule: str, code: str | None = None, param: str | None = None) -> LocalProtocolError:
    return LocalProtocolError(message, rule=rule, code=code, param=param, overridable=True)


Refusals = list[LocalProtocolError]


def _kind_of_session(session: ClientSession, event: m.ClientEvent) -> LocalProtocolError | None:
    """Why this kind of session does not know ``event``, or does not take it any more (R-X1, R-X3)."""
    if not session.translates:
        if event.type not in m.TRANSLATION_EVENTS:
            return None
        return _refusal(f"only a translation session knows {event.type}", "R-X1", "invalid_value", "type")
    if event.type not in translation.COMMANDS:
        return _refusal(f"a translation session does not know {event.type}", "R-X1", "invalid_value", "type")
    if isinstance(event, m.SessionClose) and session.place.state != "open":
        return _refusal(f"the session is {session.place.state}: there is nothing to close", "R-X3")
    if isinstance(event, m.SessionInputAudioBufferAppend) and session.place.state in ("closing", "ended"):
        return _refusal("the translation is closing and takes no more audio", "R-X3", "invalid_event", "audio")
    return None


def _session_update(session: ClientSession, event: m.SessionUpdate) -> Refusals:
    known, wanted = session.configuration, event.session
    refusals: Refusals = []
    if known is not None and known.type != wanted.type:
        refusals.append(
            _refusal(
                f"this is a {known.type} session; it cannot become a {wanted.type} session", "R-S6", "invalid_parameter"
            )
        )
    voice, current = _voice(wanted), _voice(known)
    if session.has_spoken and voice is not None and current is not None and voice != current:
        refusals.append(
            _refusal(
                f"the voice is {current!r} and was heard already; an update that names another is refused whole",
                "R-S5",
                "cannot_update_voice",
                "session.audio.output.voice",
            )
        )
    return refusals


def _voice(session: m.AnySession | None) -> str | None:
    audio = session.audio if session is not None else UNSET
    output = audio.output if audio else UNSET
    voice = output.voice if output else UNSET
    return voice if isinstance(voice, str) else None


def _append(session: ClientSession, event: m.InputAudioBufferAppend | m.SessionInputAudioBufferAppend) -> Refusals:
    size = len(event.audio) * 3 // 4
    if size > session.config.limits.append_audio_bytes:
        return [_refusal(f"{size} bytes of audio in one event, at most 15 MiB", "R-I6", "invalid_value", "audio")]
    return []


def _commit(session: ClientSession, _event: m.InputAudioBufferCommit) -> Refusals:
    if session.input_audio.can_commit(MINIMUM_COMMIT_MS):
        return []
    return [
        _refusal(
            f"the buffer holds {session.input_audio.uncommitted_ms} ms of audio, a commit needs {MINIMUM_COMMIT_MS}",
            "R-I3",
            "input_audio_buffer_commit_empty",
        )
    ]


def _output_clear(session: ClientSession, _event: m.OutputAudioBufferClear) -> Refusals:
    if session.config.transport != "websocket":
        return []
    return [_refusal("over a WebSocket the client plays; there is no output buffer to clear", "R-O2")]


def _item_create(session: ClientSession, event: m.ConversationItemCreate) -> Refusals:
    item, refusals = event.item, Refusals()
    for name in ("id", "call_id"):
        value = getattr(item, name, UNSET)
        if isinstance(value, str) and not _ID.match(value) and not (name == "call_id" and session.knows_call(value)):
            refusals.append(
                _refusal(
                    f"item.{name} must be 1 to 32 characters of A-Z a-z 0-9 _ -, not {len(value)} of {value[:40]!r}",
                    "R-C11",
                    "string_above_max_length" if len(value) > 32 else "invalid_value",
                    f"item.{name}",
                )
            )
    previous = event.previous_item_id
    if isinstance(previous, str) and previous not in ("", "root") and not session.knows_item(previous):
        refusals.append(
            _refusal(
                f"previous_item_id {previous!r} is no item of the conversation",
                "R-C4",
                "invalid_value",
                "previous_item_id",
            )
        )
    if isinstance(item, m.FunctionCallOutputItem) and not session.knows_call(item.call_id):
        refusals.append(
            _refusal(
                f"call {item.call_id!r} is not in the conversation", "R-C12", "invalid_tool_call_id", "item.call_id"
            )
        )
    if isinstance(item, m.MessageItem):
        refusals += _content(item)
    return refusals


_CONTENT_OF_ROLE: dict[str, tuple[type[object], ...]] = {
    "system": (m.InputText,),
    "user": (m.InputText, m.InputAudio, m.InputImage),
    "assistant": (m.OutputText,),
}


def _content(item: m.MessageItem) -> Refusals:
    allowed = _CONTENT_OF_ROLE.get(item.role)
    if allowed is None:
        return []
    return [
        _refusal(
            f"content of type {content.type!r} does not go into a message of the {item.role}"
            + (" (assistant audio cannot be seeded: send its text as output_text)" if item.role == "assistant" else ""),
            "R-C13",
            "invalid_value",
            f"item.content[{index}].type",
        )
        for index, content in enumerate(item.content)
        if not isinstance(content, (*allowed, m.UnknownContent))
    ]


def _known(code: str) -> Callable[[ClientSession, Any], Refusals]:
    def known(session: ClientSession, event: m.ConversationItemDelete | m.ConversationItemRetrieve) -> Refusals:
        if session.knows_item(event.item_id):
            return []
        return [_refusal(f"item {event.item_id!r} does not exist", "R-C10", code, "item_id")]

    return known


def _truncate(session: ClientSession, event: m.ConversationItemTruncate) -> Refusals:
    if not session.knows_item(event.item_id):
        return [_refusal(f"item {event.item_id!r} does not exist", "R-C5", "item_truncate_invalid_item_id", "item_id")]
    if not isinstance(event.audio_end_ms, int):
        return [_refusal("audio_end_ms must be an integer of milliseconds", "R-C5", "invalid_type", "audio_end_ms")]
    if event.audio_end_ms < 0:
        return [
            _refusal(
                f"audio_end_ms is {event.audio_end_ms}, at least 0", "R-C5", "integer_below_min_value", "audio_end_ms"
            )
        ]
    node = session.conversation.get(event.item_id)
    if node is not None and not (isinstance(node.item, m.MessageItem) and node.item.role == "assistant"):
        return [
            _refusal("only audio that the model spoke can be truncated", "R-C5", "unsupported_content_type", "item_id")
        ]
    if node is None or not session.listener.plays:
        return []  # over WebRTC no audio passes here, so nothing is known of its length (trap 31)
    entry = session.playback.get(event.item_id, event.content_index)
    if entry is None or not entry.sent:
        return [
            _refusal("no audio of this part has been received", "R-C5", "unsupported_content_type", "content_index")
        ]
    sent_ms = entry.format.ms(entry.sent)
    if event.audio_end_ms > sent_ms:
        return [
            _refusal(
                f"audio content of {sent_ms} ms is already shorter than {event.audio_end_ms} ms",
                "R-C5",
                "invalid_value",
                "audio_end_ms",
            )
        ]
    return []


def _response_cancel(session: ClientSession, event: m.ResponseCancel) -> Refusals:
    if isinstance(event.response_id, str):
        record = session.responses.get(event.response_id)
        active = record is not None and record.is_open
    else:
        active = session.default_response is not None or bool(session.arbiter.sent)
    if active:
        return []
    return [_refusal("no response is in progress", "R-Q7", "response_cancel_not_active")]


_CHECKS: dict[type[object], Callable[[ClientSession, Any], Refusals]] = {
    m.SessionUpdate: _session_update,
    m.InputAudioBufferAppend: _append,
    m.SessionInputAudioBufferAppend: _append,
    m.InputAudioBufferCommit: _commit,
    m.OutputAudioBufferClear: _output_clear,
    m.ConversationItemCreate: _item_create,
    m.ConversationItemDelete: _known("item_delete_invalid_item_id"),
    m.ConversationItemRetrieve: _known("item_retrieve_invalid_item_id"),
    m.ConversationItemTruncate: _truncate,
    m.ResponseCancel: _response_cancel,
}
