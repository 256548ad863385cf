"""The pump: actions stay in order when performing one leads to another input."""

from __future__ import annotations

import pytest

from antiphon import (
    Action,
    Closed,
    CloseTransport,
    Connected,
    LocalProtocolError,
    OpenTransport,
    Pump,
    Role,
    Session,
    SessionConfig,
    TransmitMessage,
    inputs,
)
from antiphon import messages as m

CREATED = '{"type":"session.created","event_id":"e","session":{"type":"realtime"}}'


def fresh() -> Pump:
    return Pump(Session(Role.CLIENT, SessionConfig(), now=0))


def drained(pump: Pump) -> list[Action]:
    actions = []
    while (action := pump.next()) is not None:
        actions.append(action)
    return actions


def test_a_fresh_pump_has_nothing_to_do() -> None:
    pump = fresh()
    assert pump.next() is None
    assert len(pump) == 0


def test_actions_come_out_one_by_one_in_their_order() -> None:
    pump = fresh()
    pump.feed(inputs.Start(), 0)
    pump.feed(inputs.Opened(), 0)
    assert len(pump) == 2
    assert pump.next() == OpenTransport(1, 1)
    assert pump.next() == Connected(1)
    assert pump.next() is None


def test_what_a_handler_sends_comes_after_what_is_still_to_be_performed() -> None:
    pump = fresh()
    pump.feed(inputs.Opened(), 0)
    pump.feed(inputs.MessageReceived(CREATED), 0)
    assert isinstance(pump.next(), Connected)
    pump.feed(inputs.Send(m.InputAudioBufferClear(event_id="mine")), 0)  # an application, inside a handler
    assert [type(action).__name__ for action in drained(pump)] == ["Deliver", "TransmitMessage"]


def test_what_a_named_method_returned_is_queued_behind() -> None:
    engine = Session(Role.CLIENT, SessionConfig(), now=0)
    pump = Pump(engine)
    pump.feed(inputs.Opened(), 0)
    pump.put(engine.send(m.InputAudioBufferClear(), 0))
    pump.put(())
    connected, command = drained(pump)
    assert isinstance(connected, Connected)
    assert isinstance(command, TransmitMessage)


def test_a_refusal_is_raised_and_queues_nothing() -> None:
    pump = fresh()
    pump.feed(inputs.Opened(), 0)
    with pytest.raises(LocalProtocolError):
        pump.feed(inputs.Opened(), 0)
    assert drained(pump) == [Connected(1)]


def test_closed_is_the_last_action() -> None:
    pump = fresh()
    for input in (inputs.Opened(), inputs.Close(), inputs.EofReceived(1000), inputs.Tick(), inputs.Close()):
        pump.feed(input, 0)
    actions = drained(pump)
    assert CloseTransport(1000, "") in actions
    assert actions[-1] == Closed(1000, "", None)
    assert sum(isinstance(action, Closed) for action in actions) == 1
