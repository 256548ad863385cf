"""A recorded connection is a connection: each input goes to the recorder, once."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from antiphon import Actions, Connection, Fault, ItemFinished, LocalProtocolError, TranscriptDelta, inputs
from antiphon import messages as m
from antiphon.engine.connection import _METHODS
from antiphon.toolkit.recorded import RecordedConnection
from toolkit.journal_helpers import Tape, pair, same, written

READ_ONLY = {"snapshot"}
OF_ALL = {"handle", "restore"}
BY_ANOTHER = {"refuse"}
"""Methods that come down to another one, which is recorded."""


def methods() -> list[str]:
    """The public methods of a connection, from its class."""
    return [name for name, each in inspect.getmembers(Connection, inspect.isroutine) if not name.startswith("_")]


@pytest.mark.parametrize("name", sorted(set(methods()) - READ_ONLY - OF_ALL - BY_ANOTHER))
def test_every_method_that_changes_the_engine_is_recorded(name: str) -> None:
    assert name in vars(RecordedConnection)


@pytest.mark.parametrize("name", sorted(set(methods()) - READ_ONLY - OF_ALL - BY_ANOTHER))
def test_its_signature_is_that_of_the_connection(name: str) -> None:
    own, original = (inspect.signature(getattr(each, name)) for each in (RecordedConnection, Connection))
    assert [(each.name, each.kind, each.default) for each in own.parameters.values()] == [
        (each.name, each.kind, each.default) for each in original.parameters.values()
    ]


def test_what_is_given_as_data_is_recorded_once() -> None:
    client = Tape("client")
    client.do(inputs.Start())
    assert [given["in"] for given in client.given()] == ["start"]


def test_what_the_engine_does_within_an_input_is_recorded_once() -> None:
    client, server = Tape("client"), Tape("server", models=("other",))
    server.do(inputs.Opened())
    server.hear(written(client.do(inputs.Opened())))
    assert b" 404 " in written(server.do(inputs.Accept()))  # it rejects by itself
    assert [given["in"] for given in server.given()] == ["opened", "data_received", "accept"]
    same(client, server)


OF_EITHER: tuple[inputs.Input, ...] = (
    inputs.AppendAudio(bytes(2)),
    inputs.AudioPlayed("i", 0, 1),
    inputs.AudioStopped("i", 0, 1),
    inputs.Interrupt(),
    inputs.Generate(ItemFinished(response_id="r", output_index=0)),
    inputs.SpeechStarted(0),
    inputs.SpeechStopped(0),
    inputs.Transcribed("i", 0, TranscriptDelta("a")),
    inputs.TransportFailed(Fault("write", "the pipe is broken")),
    inputs.Tick(),
    inputs.Close(),
)
"""Each is taken by one role at least; the other refuses it."""

SAID_BY_CLIENTS, SAID_BY_SERVERS = m.InputAudioBufferClear(), m.RateLimitsUpdated(rate_limits=[])


@pytest.mark.parametrize(
    ("role", "given"),
    [
        *(
            ("client", each)
            for each in (*OF_EITHER, inputs.Send(SAID_BY_CLIENTS), inputs.EventReceived(SAID_BY_SERVERS))
        ),
        *(
            ("server", each)
            for each in (*OF_EITHER, inputs.Send(SAID_BY_SERVERS), inputs.EventReceived(SAID_BY_CLIENTS))
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_input_by_its_name_is_recorded_as_that_input(role: str, given: inputs.Input) -> None:
    named, as_data = (dict(zip(("client", "server"), pair(), strict=True))[role] for _ in range(2))
    assert attempt(lambda: _METHODS[type(given)](named.engine, given, named.now)) == attempt(
        lambda: as_data.engine.handle(given, as_data.now)
    )
    assert named.lines == as_data.lines
    same(named)


def attempt(call: Callable[[], Actions]) -> Actions | str:
    """What comes of a call: actions, or the rule by which it is refused."""
    try:
        return call()
    except LocalProtocolError as error:
        return error.rule


def test_an_event_that_was_given_its_id_beforehand_replays() -> None:
    client, server = pair()
    event = client.engine.identify(m.ResponseCreate())
    assert event.event_id
    client.do(inputs.Send(event))
    same(client, server)
