"""L2 totality: for any bytes or text and a legal `now`, no `receive_*` raises; a lone surrogate is a malformed
message."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import Closed, CloseTransport, Deliver, Report, TransmitMessage, inputs

from .strategies import event_texts, examples, frames, hostile_scripts, hostile_texts, setups, streams, typed_events
from .test_l01_chunking import shaken
from .values import EPOCH, SIDES, Act, Engine, Outcome, Refused, Setup, Side, Stepper, attempt, replay
from .world import World

RECEIVED = (
    inputs.MessageReceived,
    inputs.EventReceived,
    inputs.DataReceived,
    inputs.EofReceived,
    inputs.TransportFailed,
    inputs.Tick,
)


def check_l02(setup: Setup, script: Sequence[Act]) -> None:
    """Whatever a script makes arrive is taken: nothing raises, not even a refusal."""

    def watch(_side: Side, engine: Engine, input: inputs.Input, now: int) -> Outcome:
        outcome = attempt(engine, input, now)  # lets every error but a refusal pass, which fails the law
        assert not (isinstance(outcome, Refused) and isinstance(input, RECEIVED)), (input, outcome)
        return outcome

    World(setup, watch).play(script)


def _hears(engine: Engine, received: Sequence[inputs.Input], now: int) -> None:
    for input in received:
        assert not isinstance(attempt(engine, input, now), Refused), input


@examples(150)
@given(st.data())
def test_whatever_arrives_at_any_time_nothing_raises(stepper: Stepper, data: st.DataObject) -> None:
    check_l02(data.draw(setups(stepper)), data.draw(hostile_scripts()))


@examples(150)
@given(st.data())
def test_a_session_takes_any_text(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["message"]))
    texts = data.draw(st.lists(st.one_of(hostile_texts(), event_texts()), max_size=12))
    for side in SIDES:
        engine = setup.engine(side, setup.entropy(side))
        engine.opened(EPOCH)
        _hears(engine, [inputs.MessageReceived(text) for text in texts], EPOCH)


@examples(80)
@given(st.data())
def test_a_session_takes_any_typed_event(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["message"]))
    events = data.draw(st.lists(typed_events(), max_size=12))
    for side in SIDES:
        engine = setup.engine(side, setup.entropy(side))
        engine.opened(EPOCH)
        _hears(engine, [inputs.EventReceived(event) for event in events], EPOCH)


@examples(150)
@given(st.data())
def test_a_connection_takes_any_bytes(stepper: Stepper, data: st.DataObject) -> None:
    """In place of the handshake, in the middle of it, and behind it."""
    setup = data.draw(setups(stepper, levels=["bytes"]))
    for side in SIDES:
        blocks = shaken(setup, side, data.draw(streams(side == "server")))
        prefix = data.draw(st.one_of(st.just(b""), st.binary(max_size=30)))
        garbage = data.draw(st.lists(st.one_of(st.binary(min_size=1, max_size=60), frames()), max_size=6))
        engine = setup.engine(side, setup.entropy(side))
        for now, input in blocks:
            if isinstance(input, inputs.DataReceived):
                end = data.draw(st.integers(0, len(input.data)))
                _hears(engine, [inputs.DataReceived(prefix), inputs.DataReceived(input.data[:end])], now)
            else:
                attempt(engine, input, now)
        _hears(engine, [*map(inputs.DataReceived, garbage), inputs.EofReceived()], EPOCH)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("text", ['{"type":"error","error":{"message":"\ud800"}}', "\udfff"])
def test_a_lone_surrogate_in_a_text_is_a_message_that_is_not_utf_8(side: Side, text: str, stepper: Stepper) -> None:
    engine = Setup(stepper=stepper).engine(side, Setup().entropy(side))
    engine.opened(EPOCH)
    (close,) = engine.handle(inputs.MessageReceived(text), EPOCH)
    assert close == CloseTransport(1007, "not UTF-8")
    (*_, end) = engine.handle(inputs.EofReceived(), EPOCH)
    assert isinstance(end, Closed)
    assert end.fault is not None
    assert end.fault.rule == "R-E2"


@pytest.mark.parametrize("side", SIDES)
def test_an_escaped_lone_surrogate_is_reported_or_refused_and_ends_nothing(side: Side, stepper: Stepper) -> None:
    engine = Setup(stepper=stepper).engine(side, Setup().entropy(side))
    engine.opened(EPOCH)
    text = '{"type":"error","error":{"type":"server_error","message":"\\ud800"}}'
    (*_, action) = engine.handle(inputs.MessageReceived(text), EPOCH)
    if side == "client":
        assert isinstance(action, Report)
        assert (action.rule, action.path) == ("R-E5", "$.error.message")
    else:
        assert isinstance(action, TransmitMessage)
        assert b'"invalid_event"' in action.text
    assert engine.closed is None


def test_the_scripts_reach_the_states_in_which_events_are_delivered(stepper: Stepper) -> None:
    """The properties above would hold of an engine that hears nothing: it hears."""
    script = [Act("wait", 3), Act("say", 1), Act("ask"), Act("wait", 3), Act("answer")]
    world = World(Setup(stepper=stepper)).play(script)
    world.finish()
    assert sum(isinstance(action, Deliver) for action in world.actions("client")) > 10
    fresh = world.setup.engine("client", world.setup.entropy("client"))
    assert replay(fresh, world.trace["client"]) == world.trace["client"]
