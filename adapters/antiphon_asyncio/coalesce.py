"""Merging of queued deltas, for a consumer that is slower than its server.

Only what says the same in fewer events is merged: the texts, arguments or audio of one part, between two events of
another kind. Everything else keeps its place and its order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec import structs
from pybase64 import b64decode, b64encode_as_string

from antiphon import Deliver
from antiphon import messages as m

__all__ = ["coalesce"]

_Delta: TypeAlias = (
    m.ResponseOutputTextDelta
    | m.ResponseOutputAudioTranscriptDelta
    | m.ResponseOutputAudioDelta
    | m.ResponseFunctionCallArgumentsDelta
)
_DELTAS = (
    m.ResponseOutputTextDelta,
    m.ResponseOutputAudioTranscriptDelta,
    m.ResponseOutputAudioDelta,
    m.ResponseFunctionCallArgumentsDelta,
)
_encode = msgspec.json.Encoder().encode


def coalesce(delivered: Iterable[Deliver]) -> list[Deliver]:
    """The same conversation in as few events as possible.

    Deltas of one part become one, at the place and under the event id of the first, unless an event of another kind
    stands between. The audio and the transcript of an item come interleaved and become one delta each. The JSON text
    of a merged event is written anew: fields that no class describes are not in it. Audio is joined as base64 where
    that is exact, else decoded and encoded; what is not base64 is left alone.
    """
    merged: list[Deliver] = []
    runs: dict[tuple[object, ...], list[Deliver]] = {}
    for deliver in delivered:
        event = deliver.event
        if not isinstance(event, _DELTAS):
            _close(runs, merged)
            merged.append(deliver)
            continue
        index = None if isinstance(event, m.ResponseFunctionCallArgumentsDelta) else event.content_index
        key = (type(event), event.response_id, event.item_id, index)
        runs.setdefault(key, []).append(deliver)
    _close(runs, merged)
    return merged


def _close(runs: dict[tuple[object, ...], list[Deliver]], merged: list[Deliver]) -> None:
    """Append one event for each run; a dict keeps the order in which they began."""
    for run in runs.values():
        joined = _joined(run) if len(run) > 1 else None
        merged.extend(run if joined is None else [joined])
    runs.clear()


def _joined(run: list[Deliver]) -> Deliver | None:
    deltas: list[str] = []
    for deliver in run:
        event = deliver.event
        assert isinstance(event, _DELTAS)  # what a run is made of
        if not isinstance(event.delta, str):
            return None
        deltas.append(event.delta)
    first = run[0].event
    assert isinstance(first, _DELTAS)
    delta = _joined_audio(deltas) if isinstance(first, m.ResponseOutputAudioDelta) else "".join(deltas)
    if delta is None:
        return None
    event = structs.replace(first, delta=delta)
    return Deliver(event, _encode(event))


def _joined_audio(chunks: list[str]) -> str | None:
    """One base64 text for the bytes of all; None when one of them is none."""
    if all(not len(chunk) % 4 and not chunk.endswith("=") for chunk in chunks[:-1]):
        return "".join(chunks)
    try:
        return b64encode_as_string(b"".join([b64decode(chunk, validate=True) for chunk in chunks]))
    except ValueError:
        return None
