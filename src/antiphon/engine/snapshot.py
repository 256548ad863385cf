"""Everything a session knows, as a value: to move it to another process, or to compare before with after.

A snapshot is a frozen Struct of plain values, so that it has equality, a repr, and a JSON form (`Snapshot.encode`,
`Snapshot.decode`). Times are remainders, because clocks of two processes differ. It holds text, tool arguments and
outputs; no key, and no audio but what law L6 allows: at most one sample of remainder a part, and retained input audio
when asked for. Its ``tables`` is the digest of ``spec/``: states of other tables would mean something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.engine.acknowledgements import AcknowledgementsState
from antiphon.engine.actions import Closed
from antiphon.engine.arbiter import ArbiterState
from antiphon.engine.audio import AudioFormat, InputAudioLedger, InputAudioState
from antiphon.engine.codec import (
    session_from_builtins,
    to_builtins,
)
from antiphon.engine.config import Role
from antiphon.engine.conversation import ConversationState
from antiphon.engine.conversation.state import ItemState
from antiphon.engine.conversation.state import StreamState as TextState
from antiphon.engine.credentials import command_without_credentials, without_credentials
from antiphon.engine.delivery import DeliveryState
from antiphon.engine.dialects import Dialect
from antiphon.engine.errors import Fault, SnapshotError
from antiphon.engine.gap import GapEntry
from antiphon.engine.link import End
from antiphon.engine.mcp import McpProgress, McpWork
from antiphon.engine.playback import EntryState, PlaybackLedger, PlaybackState
from antiphon.engine.rate_limits import RateLimitState
from antiphon.engine.recordings import RecordingState
from antiphon.engine.records import OutputRecord, OutputState, Place, ResponseRecord, ResponseState
from antiphon.engine.records import StreamState as ContentStreamState
from antiphon.engine.remote import RemoteState
from antiphon.engine.renewal import RenewalState
from antiphon.engine.request import RequestState
from antiphon.engine.responding import Output, OutputItemState, Spoken
from antiphon.engine.timers import Instant
from antiphon.engine.usage import Usage
from antiphon.machines import DIGEST, MACHINES
from antiphon.messages import (
    McpApprovalRequestItem,
    Message,
    RateLimit,
    ResponseCreateParams,
    TurnDetection,
)

if TYPE_CHECKING:
    from antiphon.engine.client import ClientSession
    from antiphon.engine.server import ServerSession
    from antiphon.engine.session import Session

VERSION = 1


class EndState(Struct, frozen=True):
    """How the socket is ending."""

    code: int | None
    reason: str
    fault: Fault | None


class LinkState(Struct, frozen=True):
    """The link."""

    state: str
    generation: int
    attempt: int
    end: EndState | None
    opened_generation: int
    dials: bool
    asked: bool
    shown_for: int | None


class CommonState(Struct, frozen=True):
    """What both roles have."""

    link: LinkState
    timers: dict[str, int]
    ids: int
    reports: list[tuple[str, str, int]]
    reported_paths: list[tuple[str, str, str]]
    closed: Closed | None


class ClientState(Struct, frozen=True):
    """What only a client has."""

    place: str
    dialect: Dialect
    detector: str
    configuration: dict[str, object] | None
    conversation: ConversationState
    arbiter: ArbiterState
    acknowledgements: AcknowledgementsState
    playback: PlaybackState
    player_busy: int | None
    output_format: AudioFormat
    input_audio: InputAudioState
    responses: list[ResponseState]
    finished_responses: list[str]
    outputs: list[OutputState]
    deliveries: dict[str, str]
    mcp_work: list[McpProgress]
    approval_requests: list[McpApprovalRequestItem]
    approvals_given: list[str]
    calls: dict[str, str]
    committed_item_ids: dict[str, bool]
    announced_item_id: str | None
    timeout_item_id: str | None
    overdue_item_id: str | None
    speech_end_ms: int | None
    fatal_code: str | None
    has_spoken: bool
    translated_parts: int
    detection: TurnDetection | None
    usage: Usage
    rate_limits: list[RateLimitState]
    gap: list[GapEntry]
    renewal: RenewalState
    missed: list[str]


class ServerState(Struct, frozen=True):
    """What only a server has, in a snapshot."""

    place: str
    dialect: Dialect
    detector: str
    session_id: str
    conversation_id: str
    settings: dict[str, Any]
    conversation: ConversationState
    input_audio: InputAudioState
    responses: list[ResponseState]
    finished_responses: list[str]
    params: dict[str, ResponseCreateParams]
    outputs: list[OutputItemState]
    spoken: dict[str, Spoken]
    recordings: list[RecordingState]
    deliveries: list[DeliveryState]
    rate_limits: list[RateLimit]
    has_spoken: bool
    speech_item_id: str | None
    speech_cleared: bool
    calls: list[str]
    remote: RemoteState


class Snapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """One session at one moment. ``version`` and ``tables`` say which builds can restore it."""

    version: int
    tables: str
    role: str
    common: CommonState
    client: ClientState | None = None
    server: ServerState | None = None

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From `encode`. Raises `SnapshotError` when ``data`` is no snapshot."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotError(f"not a snapshot: {error}") from None


def checked(snapshot: Snapshot, role: Role | None) -> Role:
    """The role of ``snapshot``, which must be ``role`` when that is given.

    Raises `SnapshotError` for a snapshot that this build cannot restore.
    """
    if snapshot.version != VERSION:
        raise SnapshotError(f"snapshot version {snapshot.version}, this build restores {VERSION}")
    if snapshot.tables != DIGEST:
        raise SnapshotError("the snapshot was taken with other tables (spec/ has changed since)")
    taken = next((each for each in Role if each.value == snapshot.role), None)
    if taken is None:
        raise SnapshotError("the snapshot is of neither role")
    if role is not None and taken is not role:
        raise SnapshotError(f"the snapshot is of a {taken.value}, not of a {role.value}")
    for machine, state in _states(snapshot):
        if state not in MACHINES[machine].states:
            raise SnapshotError(f"the snapshot has a place where {machine} never is")
    return taken


_STEPPED: Final[Mapping[type[Struct], str]] = {
    LinkState: "link",
    ResponseState: "response",
    ContentStreamState: "content_part",
    ItemState: "conversation_item",
    OutputState: "conversation_item",
    TextState: "transcription",
    DeliveryState: "output_audio_buffer",
    EntryState: "playback",
    McpProgress: "mcp",
    RequestState: "request",
    RenewalState: "renewal",
}
"""What has a ``state`` in a snapshot, and the machine that moves it."""


def _states(value: object) -> Iterator[tuple[str, str]]:
    """The machine and the state of everything in ``value`` that is stepped."""
    if isinstance(value, Message):
        return  # what the peer said: its words are its own
    if isinstance(value, Struct):
        machine = _STEPPED.get(type(value))
        if machine is not None:
            yield machine, cast(LinkState, value).state  # as all of them
        if isinstance(value, ClientState | ServerState):
            yield "session", value.place
            yield "input_audio_buffer", value.detector
        if isinstance(value, ClientState):
            for state in value.deliveries.values():
                yield "output_audio_buffer", state
        for name in value.__struct_fields__:
            yield from _states(getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _states(each)


def take_common(session: Session, now: Instant) -> CommonState:
    """The half that both roles share."""
    link, end = session.link, session.link.end
    return CommonState(
        LinkState(
            link.state,
            link.generation,
            link.attempt,
            None if end is None else EndState(end.code, end.reason, end.fault),
            link.opened_generation,
            link.dials,
            link.asked,
            None if link.shown_at is None else now - link.shown_at,
        ),
        session.timers.dump(now),
        session.ids_made,
        sorted((rule, type_, count) for (rule, type_), count in session.reports.items()),
        sorted(session.reported_paths),
        session.closed,
    )


def load_common(session: Session, state: CommonState, now: Instant) -> None:
    """Take it over."""
    link = session.link
    link.state = state.link.state
    link.generation = state.link.generation
    link.attempt = state.link.attempt
    end = state.link.end
    link.end = None if end is None else End(end.code, end.reason, end.fault)
    link.opened_generation = state.link.opened_generation
    link.dials = state.link.dials
    link.asked = state.link.asked
    link.shown_at = None if state.link.shown_for is None else now - state.link.shown_for
    session.timers.load(state.timers, now)
    reports = {(rule, type_): count for rule, type_, count in state.reports}
    session.adopt_counters(state.ids, reports, state.reported_paths)
    session.closed = state.closed


def take_client(session: ClientSession, now: Instant) -> Snapshot:
    """A snapshot of a client."""
    configuration, clock = session.configuration, session.listener.clock
    state = ClientState(
        place=session.place.state,
        dialect=session.dialect,
        detector=session.detector.state,
        configuration=None if configuration is None else without_credentials(to_builtins(configuration)),
        conversation=session.conversation.dump(),
        arbiter=session.arbiter.dump(now),
        acknowledgements=_acknowledgements(session.acknowledgements.dump()),
        playback=session.playback.dump(now),
        player_busy=None if clock is None or clock.busy_until is None else clock.busy_until - now,
        output_format=session.listener.format,
        input_audio=session.input_audio.dump(),
        responses=[record.dump() for record in session.responses.values()],
        finished_responses=list(session.registry.finished),
        outputs=[
            OutputState(output.id, output.state, None if output.response is None else output.response.id)
            for output in session.outputs.values()
        ],
        deliveries={key: place.state for key, place in session.deliveries.items()},
        mcp_work=list(session.mcp.values()),
        approval_requests=list(session.approvals),
        approvals_given=list(session.approvals_given),
        calls=dict(session.calls),
        committed_item_ids=dict(session.committed_item_ids),
        announced_item_id=session.announced_item_id,
        timeout_item_id=session.timeout_item_id,
        overdue_item_id=session.overdue_item_id,
        speech_end_ms=session.speech_end_ms,
        fatal_code=session.fatal_code,
        has_spoken=session.has_spoken,
        translated_parts=session.translated_parts,
        detection=session.detection,
        usage=session.usage,
        rate_limits=session.account.dump(now),
        gap=session.gap.dump(),
        renewal=_renewal(session.renewal.dump(now)),
        missed=list(session.sharing.missed),
    )
    return Snapshot(VERSION, DIGEST, session.role.value, take_common(session, now), client=state)


def _acknowledgements(state: AcknowledgementsState) -> AcknowledgementsState:
    pending = [replace(each, text=command_without_credentials(each.text)) for each in state.pending]
    return replace(state, pending=pending)


def _renewal(state: RenewalState) -> RenewalState:
    return replace(
        state,
        wishes=None if state.wishes is None else without_credentials(state.wishes),
        repeated=[command_without_credentials(text) for text in state.repeated],
    )


def load_client(session: ClientSession, snapshot: Snapshot, now: Instant) -> None:
    """Take over a client's half. Raises `SnapshotError` when there is none."""
    state = snapshot.client
    if state is None:
        raise SnapshotError("a snapshot of a client without its client half")
    load_common(session, snapshot.common, now)
    limits = session.config.limits
    session.place.state = state.place
    session.dialect = state.dialect
    session.detector.state = state.detector
    session.configuration = None if state.configuration is None else session_from_builtins(state.configuration)
    session.conversation.load(state.conversation)
    session.arbiter.load(state.arbiter, now)
    session.acknowledgements.load(state.acknowledgements)
    session.playback = PlaybackLedger.load(
        state.playback, live_limit=limits.playback_entries, history_limit=limits.playback_entries, now=now
    )
    clock = session.listener.clock
    if clock is not None and state.player_busy is not None:
        clock.busy_until = now + state.player_busy
    session.listener.format = state.output_format
    session.input_audio = InputAudioLedger.load(state.input_audio)
    for each in state.responses:
        session.registry.load(ResponseRecord.load(each))
    session.registry.finished.extend(state.finished_responses)
    for output in state.outputs:
        response = session.responses.get(output.response_id) if output.response_id is not None else None
        session.outputs[output.id] = OutputRecord(output.id, output.state, response)
    session.deliveries.update({key: Place(place) for key, place in state.deliveries.items()})
    session.mcp_work.update({each.item_id: McpWork.load(each) for each in state.mcp_work})
    session.approval_requests.update({str(each.id): each for each in state.approval_requests})
    session.approvals_given.update(dict.fromkeys(state.approvals_given))
    session.calls = dict(state.calls)
    session.committed_item_ids = dict(state.committed_item_ids)
    session.announced_item_id = state.announced_item_id
    session.timeout_item_id = state.timeout_item_id
    session.overdue_item_id = state.overdue_item_id
    session.speech_end_ms = state.speech_end_ms
    session.fatal_code = state.fatal_code
    session.has_spoken = state.has_spoken
    session.translated_parts = state.translated_parts
    session.detection = state.detection
    session.usage = state.usage
    session.account.load(state.rate_limits, now)
    session.sharing.missed = dict.fromkeys(state.missed)
    try:
        session.gap.load(state.gap)
    except ValueError as error:
        raise SnapshotError(f"what waits in the snapshot for a socket: {error}") from None
    try:
        session.renewal.load(state.renewal, now)
    except ValueError:
        raise SnapshotError("an unanswered command of the snapshot is no client event") from None


def take_server(session: ServerSession, now: Instant) -> Snapshot:
    """A snapshot of a server."""
    outputs, params = session.responder.outputs, session.responder.params
    state = ServerState(
        place=session.place.state,
        dialect=session.dialect,
        detector=session.detector.state,
        session_id=session.session_id,
        conversation_id=session.conversation_id,
        settings=without_credentials(session.settings),
        conversation=session.conversation.dump(),
        input_audio=session.input_audio.dump(retained=session.config.retain_input_audio),
        responses=[record.dump() for record in session.responses.values()],
        finished_responses=list(session.finished_responses),
        params=dict(params),
        outputs=[
            OutputItemState(
                output.id,
                output.index,
                output.kind,
                output.status,
                output.name,
                output.call_id,
                output.server_label,
                output.approval_request_id,
                output.answered,
                output.text,
                output.samples,
                output.format,
                output.record.id,
                output.stream.content_index,
            )
            for items in outputs.values()
            for output in items.values()
        ],
        spoken=dict(session.spoken),
        recordings=session.recordings.dump(),
        deliveries=session.deliveries.dump(),
        rate_limits=list(session.rate_limits),
        has_spoken=session.has_spoken,
        speech_item_id=session.speech_item_id,
        speech_cleared=session.speech_cleared,
        calls=list(session.calls),
        remote=session.remote.dump(),
    )
    return Snapshot(VERSION, DIGEST, session.role.value, take_common(session, now), server=state)


def load_server(session: ServerSession, snapshot: Snapshot, now: Instant) -> None:
    """Take over a server's half. Raises `SnapshotError` when there is none."""
    state = snapshot.server
    if state is None:
        raise SnapshotError("a snapshot of a server without its server half")
    load_common(session, snapshot.common, now)
    session.place.state = state.place
    session.speak(state.dialect)
    session.detector.state = state.detector
    session.session_id = state.session_id
    session.conversation_id = state.conversation_id
    session.conversation.load(state.conversation)
    retain = session.config.limits.retained_audio_bytes if session.config.retain_input_audio else 0
    session.input_audio = InputAudioLedger.load(state.input_audio, retain_bytes=retain)
    session.settings = {}
    session.apply(state.settings)
    outputs, params = session.responder.outputs, session.responder.params
    for each in state.responses:
        record = ResponseRecord.load(each)
        session.responses[record.id] = record
        if record.is_open:
            outputs[record.id] = {}
    session.finished_responses.extend(state.finished_responses)
    params.update(state.params)
    for item in state.outputs:
        record = session.responses[item.response_id]
        stream = record.streams[item.id, item.content_index]
        output = Output(item.id, item.index, item.kind, record, stream, item.format)
        output.status = item.status
        output.name = item.name
        output.call_id = item.call_id
        output.server_label = item.server_label
        output.approval_request_id = item.approval_request_id
        output.answered = item.answered
        output.write(item.text)
        output.samples = item.samples
        outputs[item.response_id][item.index] = output
    session.spoken = dict(state.spoken)
    session.recordings.load(state.recordings)
    session.deliveries.load(state.deliveries)
    session.rate_limits = tuple(state.rate_limits)
    session.has_spoken = state.has_spoken
    session.speech_item_id = state.speech_item_id
    session.speech_cleared = state.speech_cleared
    session.calls = dict.fromkeys(state.calls)
    session.remote.load(state.remote)
