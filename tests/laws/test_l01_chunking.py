"""L1 chunking: any cut of the bytes into non-empty pieces at one `now` gives the same bytes out and the same other
actions, each in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

import antiphon
from antiphon import Connection, HandshakeReceived, Snapshot, Transmit, inputs

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups, streams
from .values import EPOCH, SIDES, Entropy, Setup, Side, Stepper, attempt, session_of
from .world import World

Block = tuple[int, inputs.Input]
Seen = tuple[bytes, list[antiphon.Action]]

SIZES = st.one_of(
    st.just([1]),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.lists(st.integers(1, 700), min_size=1, max_size=5),
)


def _pieces(data: bytes, sizes: Sequence[int] | None) -> Iterator[bytes]:
    start = 0
    for size in cycle(sizes or [len(data)]):
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size


def _run(setup: Setup, side: Side, blocks: Sequence[Block], sizes: Sequence[int] | None) -> tuple[list[Seen], Snapshot]:
    """What each block leads to, its bytes cut to ``sizes`` in turn; a handshake is accepted as soon as it is known."""
    engine = setup.engine(side, setup.entropy(side))
    now = EPOCH
    seen: list[Seen] = []
    for now, input in blocks:
        actions: list[antiphon.Action] = []
        data = input.data if isinstance(input, inputs.DataReceived) else None
        given = [input] if data is None else [inputs.DataReceived(piece) for piece in _pieces(data, sizes)]
        for each in given:
            outcome = attempt(engine, each, now)
            actions += () if isinstance(outcome, tuple) and hasattr(outcome, "rule") else outcome
            if any(isinstance(action, HandshakeReceived) for action in actions[-1:]):
                answer = attempt(engine, inputs.Accept(), now)
                actions += () if hasattr(answer, "rule") else answer
        written = b"".join(action.data for action in actions if isinstance(action, Transmit))
        seen.append((written, [action for action in actions if not isinstance(action, Transmit)]))
    return seen, session_of(engine).snapshot(now)


def check_l01(setup: Setup, side: Side, blocks: Sequence[Block], sizes: Sequence[int]) -> None:
    """The bytes of each block, in one piece and in many, lead to the same."""
    whole, whole_end = _run(setup, side, blocks, None)
    cut, cut_end = _run(setup, side, blocks, sizes)
    for (_, input), in_one, in_many in zip(blocks, whole, cut, strict=True):
        assert in_many == in_one, input
    assert cut_end == whole_end


def joined(world: World, side: Side) -> list[Block]:
    """The inputs of one side of a world, neighbouring bytes put together at the instant of the last."""
    blocks: list[Block] = []
    answered = False  # what follows the answer to a handshake was written because of it: another read
    for line in world.trace[side]:
        if isinstance(line.input, inputs.Accept):
            answered = True  # the input itself is given again where the handshake is told
            continue
        before = blocks[-1][1] if blocks and not answered else None
        answered = False
        if isinstance(line.input, inputs.DataReceived) and isinstance(before, inputs.DataReceived):
            blocks[-1] = line.now, inputs.DataReceived(before.data + line.input.data)
        else:
            blocks.append((line.now, line.input))
    return blocks


def shaken(setup: Setup, side: Side, stream: bytes) -> list[Block]:
    """An engine that is opened, and a peer that says ``stream`` right behind its half of the handshake."""
    if side == "server":
        client = setup.engine("client", Entropy("peer"))
        assert isinstance(client, Connection)
        client.start(EPOCH)
        request = b"".join(action.data for action in client.opened(EPOCH) if isinstance(action, Transmit))
        return [(EPOCH, inputs.Opened()), (EPOCH, inputs.DataReceived(request + stream))]
    mine = setup.engine("client", setup.entropy("client"))
    server = setup.engine("server", Entropy("peer"))
    assert isinstance(server, Connection)
    assert isinstance(mine, Connection)
    mine.start(EPOCH)
    server.opened(EPOCH)
    for action in mine.opened(EPOCH):
        if isinstance(action, Transmit):
            server.receive_data(action.data, EPOCH)
    response = b"".join(action.data for action in server.accept(EPOCH) if isinstance(action, Transmit))
    return [(EPOCH, inputs.Start()), (EPOCH, inputs.Opened()), (EPOCH, inputs.DataReceived(response + stream))]


@examples(60)
@given(st.data())
def test_a_conversation_does_not_depend_on_how_its_bytes_are_cut(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["bytes"]))
    world = World(setup).play(data.draw(scripts(BROKEN)))
    sizes = data.draw(SIZES)
    for side in SIDES:
        check_l01(setup, side, joined(world, side), sizes)


@examples(40)
@given(st.data())
def test_neither_does_one_that_somebody_disturbs(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["bytes"]))
    world = World(setup).play(data.draw(hostile_scripts(30)))
    sizes = data.draw(SIZES)
    for side in SIDES:
        check_l01(setup, side, joined(world, side), sizes)


@examples(80)
@given(st.data())
def test_frames_of_every_kind_may_be_cut_anywhere(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["bytes"]))
    sizes = data.draw(SIZES)
    for side in SIDES:
        check_l01(setup, side, shaken(setup, side, data.draw(streams(side == "server"))), sizes)


@examples(30)
@given(st.data())
def test_a_stream_that_ends_anywhere_ends_the_same_however_it_was_cut(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["bytes"]))
    sizes = data.draw(SIZES)
    for side in SIDES:
        *before, (now, last) = shaken(setup, side, data.draw(streams(side == "server")))
        assert isinstance(last, inputs.DataReceived)
        end = data.draw(st.integers(0, len(last.data)))
        blocks = [*before, (now, inputs.DataReceived(last.data[:end])), (now, inputs.EofReceived())]
        check_l01(setup, side, blocks, sizes)
