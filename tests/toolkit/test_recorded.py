"""A recorded connection is a connection: each input goes to the recorder, once."""

from __future__ import annotations

import inspect

import pytest

from antiphon import Connection, inputs
from antiphon.engine.connection import _METHODS
from antiphon.toolkit.recorded import RecordedConnection
from toolkit.journal_helpers import Tape, pair, same, written

READ_ONLY = {"snapshot"}
OF_ALL = {"handle", "restore"}


def methods() -> list[str]:
    """The public methods of a connection, from its class."""
    return [name for name, each in inspect.getmembers(Connection, inspect.isroutine) if not name.startswith("_")]


@pytest.mark.parametrize("name", sorted(set(methods()) - READ_ONLY - OF_ALL))
def test_every_method_that_changes_the_engine_is_recorded(name: str) -> None:
    assert name in vars(RecordedConnection)


@pytest.mark.parametrize("name", sorted(set(methods()) - READ_ONLY - OF_ALL))
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


def test_every_input_by_its_name_is_recorded_as_that_input() -> None:
    assert set(_METHODS) <= set(inspect.signature(Tape.do).parameters) | set(_METHODS)
    client, _ = pair()
    client.engine.interrupt(client.now)
    assert client.given()[-1] == {"in": "interrupt"}


def test_an_event_that_was_given_its_id_beforehand_replays() -> None:
    from antiphon import messages as m

    client, server = pair()
    event = client.engine.identify(m.ResponseCreate())
    assert event.event_id
    client.do(inputs.Send(event))
    same(client, server)
