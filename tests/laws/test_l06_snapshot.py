"""L6 snapshot transparency: restore anywhere, continue with the same entropy: same actions. A snapshot holds text and
at most one sample of remainder a part; retained input audio only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import Connection, OpenTransport, Session, Snapshot, SnapshotError

from .strategies import BROKEN, examples, hostile_scripts, scripts, setups
from .values import EPOCH, SECRET, SIDES, Act, Line, Refused, Setup, Side, Stepper, attempt, script_of
from .world import World


def check_l06(setup: Setup, side: Side, lines: Sequence[Line], every: int = 1) -> None:
    """A session that is restored from its snapshot before every ``every``-th input does what was recorded."""
    entropy = setup.entropy(side)
    engine = setup.engine(side, entropy)
    source = entropy if setup.named or side == "server" else None
    for number, line in enumerate(lines):
        if number % every == 0:
            assert isinstance(engine, Session)
            snapshot = engine.snapshot(line.now)
            check_content(setup, snapshot)
            assert Snapshot.decode(snapshot.encode()) == snapshot
            engine = Session.restore(snapshot, setup.config(side), now=line.now, entropy=source)
            assert engine.snapshot(line.now) == snapshot, f"what is restored before input {number} is not the same"
        assert attempt(engine, line.input, line.now) == line.outcome, f"input {number}, {line.input!r}, differs"


def check_content(setup: Setup, snapshot: Snapshot) -> None:
    """No audio but what the law allows, and what waits for a socket."""
    for path, value in _walk(snapshot, "$"):
        if not isinstance(value, bytes):
            continue
        if ".gap[" in path:
            assert len(value) <= 2 * 24 * setup.limits.gap_audio_ms, path
        elif path.endswith(".retained"):
            assert setup.retain, path
            assert len(value) <= setup.limits.retained_audio_bytes, path
        elif ".recordings[" in path:
            assert setup.retain, path
            assert len(value) <= setup.limits.item_audio_bytes, path
        else:
            assert len(value) <= 1, path


def _walk(value: object, path: str) -> Iterator[tuple[str, object]]:
    yield path, value
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _walk(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _walk(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _walk(each, f"{path}[{number}]")


@examples(60)
@given(st.data())
def test_a_session_may_be_moved_between_any_two_inputs(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["message"]))
    every = data.draw(st.integers(1, 9))
    world = World(setup).play(data.draw(scripts(BROKEN)))
    for side in SIDES:
        check_l06(setup, side, world.trace[side], every)


@examples(60)
@given(st.data())
def test_so_it_may_with_a_hostile_peer(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["message"]))
    every = data.draw(st.integers(1, 9))
    world = World(setup).play(data.draw(hostile_scripts(30)))
    for side in SIDES:
        check_l06(setup, side, world.trace[side], every)


def test_a_connection_comes_back_without_its_socket_and_dials(stepper: Stepper) -> None:
    setup = Setup(level="bytes", stepper=stepper)
    world = World(setup).play([Act("wait", 3), Act("say", 1), Act("ask"), Act("wait", 3)])
    connection = world.engines["client"]
    assert isinstance(connection, Connection)
    snapshot = connection.snapshot(world.now)
    again = Connection.restore(snapshot, connection.config, now=world.now, entropy=setup.entropy("client"))
    assert again.deadline is None
    assert [node.id for node in again.conversation] == [node.id for node in connection.conversation]
    assert OpenTransport(generation=2, attempt=1) in again.start(world.now)


def test_a_snapshot_holds_no_key(stepper: Stepper) -> None:
    world = World(Setup(level="bytes", stepper=stepper)).play(script_of(3, 60, BROKEN))
    for side in SIDES:
        assert SECRET.encode() not in world.engines[side].snapshot(world.now).encode()


def test_a_snapshot_of_the_other_role_is_refused() -> None:
    setup = Setup()
    server = setup.engine("server", setup.entropy("server")).snapshot(EPOCH)
    changed = msgspec.structs.replace(server, role="client")
    with pytest.raises(SnapshotError):
        Session.restore(changed, setup.config("client"), now=EPOCH)


def test_a_trace_without_a_refusal_would_show_less() -> None:
    """Refusals are part of the traces: a forgotten field shows in them first."""
    world = World(Setup()).play(script_of(1, 80, BROKEN))
    assert any(isinstance(line.outcome, Refused) for side in SIDES for line in world.trace[side])
