"""L11 methods ≡ handle: each named method equals `handle` of its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import antiphon
from antiphon import Connection, LocalProtocolError, inputs

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups
from .values import EPOCH, SIDES, Engine, Line, Outcome, Refused, Setup, Side, Stepper, script_of, session_of
from .world import World

Method = Callable[[Any, Any, int], antiphon.Actions]

METHODS: Mapping[type, Method] = {
    inputs.Start: lambda engine, _, now: engine.start(now),
    inputs.Close: lambda engine, given, now: engine.close(now, given.code, given.reason),
    inputs.Tick: lambda engine, _, now: engine.tick(now),
    inputs.EofReceived: lambda engine, given, now: engine.receive_eof(now, given.code, given.reason),
    inputs.TransportFailed: lambda engine, given, now: engine.transport_failed(given.fault, now),
    inputs.MessageReceived: lambda engine, given, now: engine.receive_message(given.text, now),
    inputs.EventReceived: lambda engine, given, now: engine.receive_event(given.event, now),
    inputs.DataReceived: lambda engine, given, now: engine.receive_data(given.data, now),
    inputs.Accept: lambda engine, given, now: engine.accept(now, subprotocol=given.subprotocol, headers=given.headers),
    inputs.Reject: lambda engine, given, now: engine.reject(now, given.status, given.headers, given.body),
    inputs.Send: lambda engine, given, now: engine.send(given.event, now, override=given.override),
    inputs.AppendAudio: lambda engine, given, now: engine.append_audio(given.pcm, now),
    inputs.AudioPlayed: lambda engine, given, now: engine.audio_played(
        given.item_id, given.content_index, given.samples, now
    ),
    inputs.AudioStopped: lambda engine, given, now: engine.audio_stopped(
        given.item_id, given.content_index, given.samples, now
    ),
    inputs.Interrupt: lambda engine, _, now: engine.interrupt(now),
    inputs.Generate: lambda engine, given, now: engine.generate(given.content, now),
    inputs.SpeechStarted: lambda engine, given, now: engine.speech_started(given.audio_start_ms, now),
    inputs.SpeechStopped: lambda engine, given, now: engine.speech_stopped(given.audio_end_ms, now),
    inputs.Transcribed: lambda engine, given, now: engine.transcribed(
        given.item_id, given.content_index, given.result, now
    ),
}
"""Each input as somebody would write it who reads the method's signature and not `handle`."""


def by_name(engine: Engine, input: inputs.Input, now: int) -> Outcome:
    """The named method of an input, and what came of it."""
    try:
        if isinstance(input, inputs.Opened):
            if isinstance(engine, Connection):
                return engine.opened(now, unix_ns=input.unix_ns, headers=input.headers)
            return engine.opened(now, unix_ns=input.unix_ns)
        return METHODS[type(input)](engine, input, now)
    except LocalProtocolError as error:
        return Refused(error.rule, error.code, str(error))


def check_l11(setup: Setup, side: Side, lines: Sequence[Line]) -> None:
    """A trace that `handle` made comes out of the named methods too."""
    engine = setup.engine(side, setup.entropy(side))
    for line in lines:
        assert by_name(engine, line.input, line.now) == line.outcome, line.input
        last = line.now
    if lines:
        again = setup.engine(side, setup.entropy(side))
        for line in lines:
            try:
                again.handle(line.input, line.now)
            except LocalProtocolError:
                continue
        assert session_of(again).snapshot(last) == session_of(engine).snapshot(last)


@examples(100)
@given(st.data())
def test_every_named_method_is_what_handle_does(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper))
    world = World(setup).play(data.draw(scripts(BROKEN)))
    for side in SIDES:
        check_l11(setup, side, world.trace[side])


@examples(50)
@given(st.data())
def test_so_it_is_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper))
    world = World(setup).play(data.draw(hostile_scripts(40)))
    for side in SIDES:
        check_l11(setup, side, world.trace[side])


def test_the_scripts_use_every_input(stepper: Stepper) -> None:
    """Of both levels, and refusals too; `Reject` has an example of its own below."""
    used: set[type] = set()
    for seed in range(40):
        setup = Setup(stepper=stepper, seed=seed, level="bytes" if seed % 2 else "message", failed_dials=seed % 3 // 2)
        world = World(setup).play(script_of(seed, 60, BROKEN))
        for side in SIDES:
            check_l11(setup, side, world.trace[side])
            used |= {type(line.input) for line in world.trace[side]}
    assert used >= set(get_args(inputs.Input)) - {inputs.Reject, inputs.EventReceived}


@pytest.mark.parametrize("status", [200, 404])
def test_a_refused_handshake_is_the_same_both_ways(status: int, stepper: Stepper) -> None:
    setup = Setup(level="bytes", stepper=stepper)
    client = setup.engine("client", setup.entropy("client"))
    client.start(EPOCH)
    (*_, request) = client.opened(EPOCH)
    assert isinstance(request, antiphon.Transmit)
    reject = inputs.Reject(status, (("x-why", "busy"),), b"no room")
    lines: list[Line] = []
    server = setup.engine("server", setup.entropy("server"))
    for input in (inputs.Opened(), inputs.DataReceived(request.data), reject):
        try:
            lines.append(Line(EPOCH, input, server.handle(input, EPOCH)))
        except LocalProtocolError as error:
            lines.append(Line(EPOCH, input, Refused(error.rule, error.code, str(error))))
    assert isinstance(lines[-1].outcome, Refused) == (status == 200)
    check_l11(setup, "server", lines)


@pytest.mark.parametrize("level", ["message", "bytes"])
def test_an_input_of_the_other_level_is_a_type_error(level: Any) -> None:
    engine = Setup(level=level).engine("server", Setup().entropy("server"))
    wrong = inputs.MessageReceived("{}") if level == "bytes" else inputs.DataReceived(b"x")
    with pytest.raises(TypeError, match=type(wrong).__name__):
        engine.handle(wrong, EPOCH)
