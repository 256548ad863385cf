"""A test of the tests: each law is shown red once, by a fault that is planted in the engine.

A property that cannot fail proves nothing, and nobody would notice. Here the law's own check meets an engine that
breaks the law in one place; it has to fail, and it has to pass on the same example once the fault is gone.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import antiphon
from antiphon import (
    ClientSession,
    Connection,
    Deliver,
    LocalProtocolError,
    Session,
    TimedOut,
    Timer,
    Transmit,
    inputs,
)
from antiphon import messages as m
from antiphon.engine import serving, session
from antiphon.engine.acknowledgements import Acknowledgements, AcknowledgementsState
from antiphon.engine.arbiter import Arbiter
from antiphon.engine.incoming import handlers
from antiphon.engine.records import Place
from antiphon.engine.request import Request
from antiphon.engine.settings import Refusal
from antiphon.engine.timers import Timers
from antiphon.machines import STEPPERS, Row, Stateful, Table

from .strategies import BROKEN, ORDERLY, TINY, frame
from .test_l01_chunking import check_l01, shaken
from .test_l02_totality import check_l02
from .test_l03_strong_refusal import check_l03
from .test_l04_progress import check_l04
from .test_l05_determinism import check_l05
from .test_l06_snapshot import check_l06
from .test_l07_finality import check_after, check_l07
from .test_l08_tables import check_l08
from .test_l09_two_peers import check_l09
from .test_l10_bounded_memory import MANY, check_l10, tool_servers
from .test_l11_methods import check_l11
from .test_l12_purity import Impure, backward_imports, check_l12, forbidden_imports
from .values import EPOCH, MS, SIDES, Act, Setup, script_of
from .world import World

Plant = Callable[[pytest.MonkeyPatch], None]
Check = Callable[[Setup, list[Act]], object]


def _examples() -> list[tuple[Setup, list[Act]]]:
    """The same few conversations for every law, at both levels."""
    return [
        (
            Setup(level="bytes" if seed % 2 else "message", seed=seed),
            script_of(seed, 60, BROKEN if seed % 3 else ORDERLY),
        )
        for seed in range(30)
    ]


def shows_red(check: Check, plant: Plant, wrong: type[Exception] = AssertionError) -> None:
    """``check`` fails with ``wrong`` on one of the examples while ``plant`` holds, and passes there without it."""
    for setup, script in _examples():
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            try:
                check(setup, script)
            except wrong:
                break
    else:
        pytest.fail("the law does not see this fault")
    check(setup, script)


def _handler(handlers: Any, event: type[m.Event], handler: Callable[..., None]) -> Plant:
    """The fault of an engine that handles one kind of event like ``handler``."""
    return lambda patch: patch.setitem(handlers, event, handler)


# -- L1 ----------------------------------------------------------------------------------------------------------------


def test_l01_sees_a_pong_that_is_written_behind_the_answers_of_its_read() -> None:
    receive = Connection.receive_data

    def late_pongs(self: Connection, data: bytes, now: int) -> antiphon.Actions:
        actions = receive(self, data, now)
        return tuple(sorted(actions, key=lambda action: isinstance(action, Transmit) and action.data[:1] == b"\x8a"))

    setup = Setup(level="bytes")
    stream = frame(0x89, b"ping", bytes(4)) + frame(0x81, b"{}", bytes(4))
    blocks = [*shaken(setup, "server", b""), (EPOCH, inputs.DataReceived(stream))]
    check_l01(setup, "server", blocks, [1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "receive_data", late_pongs)
        with pytest.raises(AssertionError):
            check_l01(setup, "server", blocks, [1])


# -- L2 ----------------------------------------------------------------------------------------------------------------


def test_l02_sees_a_handler_that_raises() -> None:
    def boom(_session: ClientSession, _event: m.RateLimitsUpdated) -> None:
        raise KeyError("tokens")

    shows_red(check_l02, _handler(handlers.HANDLERS, m.RateLimitsUpdated, boom), KeyError)


def test_l02_sees_a_refusal_of_what_the_peer_said() -> None:
    def refuse(_session: ClientSession, _event: m.RateLimitsUpdated) -> None:
        raise LocalProtocolError("not now", rule="R-N2")

    shows_red(check_l02, _handler(handlers.HANDLERS, m.RateLimitsUpdated, refuse))


# -- L3 ----------------------------------------------------------------------------------------------------------------


def test_l03_sees_an_id_that_is_drawn_before_the_check() -> None:
    checked = ClientSession._checked

    def hasty(self: ClientSession, *arguments: Any) -> m.ClientEvent:
        self.next_id("event")
        return checked(self, *arguments)

    shows_red(check_l03, lambda patch: patch.setattr(ClientSession, "_checked", hasty))


# -- L4 ----------------------------------------------------------------------------------------------------------------


def test_l04_sees_a_timer_that_is_armed_for_now() -> None:
    arm = Timers.arm

    def hasty(self: Timers, timer: Timer, at: int) -> None:
        arm(self, timer, at - 500 * MS if timer is Timer.FLUSH else at)

    shows_red(check_l04, lambda patch: patch.setattr(Timers, "arm", hasty))


def test_l04_sees_a_tick_that_does_something_before_its_deadline() -> None:
    tick = Session.tick

    def busy(self: Session, now: int) -> antiphon.Actions:
        idle = self.deadline is not None and self.deadline > now
        return (antiphon.Connected(self.generation),) if idle else tick(self, now)

    shows_red(check_l04, lambda patch: patch.setattr(Session, "tick", busy))


# -- L5 ----------------------------------------------------------------------------------------------------------------


def test_l05_sees_a_hidden_clock() -> None:
    def timely(_self: Session, prefix: str) -> str:
        return f"{prefix}_{time.monotonic_ns()}"

    shows_red(check_l05, lambda patch: patch.setattr(Session, "next_id", timely))


def test_l05_sees_state_that_sessions_share() -> None:
    shared = itertools.count()

    def counted(_self: Session, prefix: str) -> str:
        return f"{prefix}_{next(shared)}"

    shows_red(check_l05, lambda patch: patch.setattr(Session, "next_id", counted))


# -- L6 ----------------------------------------------------------------------------------------------------------------


def _check_l06(setup: Setup, script: list[Act]) -> None:
    if setup.level == "message":
        world = World(setup).play(script)
        for side in SIDES:
            check_l06(setup, side, world.trace[side])


def test_l06_sees_a_field_that_is_not_loaded() -> None:
    load = ClientSession._load

    def forgetful(self: ClientSession, *arguments: Any) -> None:
        load(self, *arguments)
        self.has_spoken = False

    shows_red(_check_l06, lambda patch: patch.setattr(ClientSession, "_load", forgetful))


def test_l06_sees_a_field_that_is_not_dumped() -> None:
    def empty(self: Acknowledgements) -> AcknowledgementsState:
        return AcknowledgementsState(0, [], 0)

    shows_red(_check_l06, lambda patch: patch.setattr(Acknowledgements, "dump", empty))


# -- L7 ----------------------------------------------------------------------------------------------------------------


def _check_l07(setup: Setup, script: list[Act]) -> None:
    world = World(setup).play(script)
    world.finish()
    for side in SIDES:
        later: list[inputs.Input] = [inputs.EofReceived(), inputs.Tick(), inputs.Close(), inputs.Interrupt()]
        check_after(world.engines[side], world.trace[side], later, world.now)


def test_l07_sees_a_second_end() -> None:
    close = Session.close

    def insistent(self: Session, now: int, code: int = 1000, reason: str = "") -> antiphon.Actions:
        return close(self, now, code, reason) if self.closed is None else (self.closed,)

    shows_red(_check_l07, lambda patch: patch.setattr(Session, "close", insistent))


def test_l07_sees_something_behind_the_end() -> None:
    world = World(Setup()).play([Act("wait", 3)])
    world.finish()
    trace, engine = world.trace["client"], world.engines["client"]
    check_l07(trace, engine)
    number = next(number for number, line in enumerate(trace) if engine.closed in line.actions)
    trace[number] = trace[number]._replace(outcome=(*trace[number].actions, Deliver(m.ResponseCancel(), b"{}")))
    with pytest.raises(AssertionError):
        check_l07(trace, engine)


# -- L8 ----------------------------------------------------------------------------------------------------------------


def test_l08_sees_a_state_that_is_written_outside_of_the_stepper() -> None:
    def meddle(session: ClientSession, _event: m.RateLimitsUpdated) -> None:
        session.place.state = "expired"

    shows_red(check_l08, _handler(handlers.HANDLERS, m.RateLimitsUpdated, meddle))


def test_l08_sees_a_stepper_that_does_not_ask_the_guards() -> None:
    def blind(table: Table, obj: Stateful, on: str, engine: object, event: object) -> Row | None:
        for row in table.cells[obj.state].get(on, ()):
            obj.state = row.dest or obj.state
            if row.effect is not None:
                row.effect(obj, engine, event)
            return row
        return None

    steppers = cast(dict[str, object], STEPPERS)
    # Without its guard an effect may meet what it never expects: any error is the difference.
    shows_red(check_l08, lambda patch: patch.setitem(steppers, "transitions", blind), Exception)


# -- L9 ----------------------------------------------------------------------------------------------------------------


def _check_l09(setup: Setup, script: list[Act]) -> None:
    world = World(setup).play(script)
    world.finish()
    check_l09(world)


def test_l09_sees_a_server_that_refuses_what_is_right() -> None:
    def refuse(session: antiphon.ServerSession, event: m.InputAudioBufferClear) -> None:
        session.refuse(event, Refusal("invalid_event", {"detail": "no"}))

    shows_red(_check_l09, _handler(serving.HANDLERS, m.InputAudioBufferClear, refuse))


def test_l09_sees_a_server_that_forgets_an_answer() -> None:
    def silent(_session: antiphon.ServerSession, _event: m.SessionUpdate) -> None:
        """The client is owed a `session.updated`."""

    shows_red(_check_l09, _handler(serving.HANDLERS, m.SessionUpdate, silent))


def test_l09_sees_a_request_without_an_outcome() -> None:
    settle = Arbiter.settle

    def absent_minded(self: Arbiter, request: Request, outcome: antiphon.Outcome) -> None:
        if not isinstance(outcome, antiphon.Dropped | TimedOut):
            settle(self, request, outcome)

    shows_red(_check_l09, lambda patch: patch.setattr(Arbiter, "settle", absent_minded))


def test_l09_sees_an_end_that_does_not_come() -> None:
    def deaf(self: Session, now: int, code: int | None = None, reason: str = "") -> antiphon.Actions:
        return ()

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Session, "receive_eof", deaf)
        patch.setattr(Session, "tick", lambda self, now: ())

    shows_red(_check_l09, plant)


# -- L10 ---------------------------------------------------------------------------------------------------------------


def test_l10_sees_a_table_without_a_bound() -> None:
    def unbounded(_self: ClientSession, places: dict[str, Place], key: str, initial: str) -> Place:
        return places.setdefault(key, Place(initial))

    def flooded() -> antiphon.Session | Connection:
        client = Setup(limits=TINY).engine("client", Setup().entropy("client"))
        client.opened(EPOCH)
        for number in range(MANY):
            tool_servers(client, number)
        return client

    check_l10(flooded())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientSession, "bounded", unbounded)
        engine = flooded()
        with pytest.raises(AssertionError):
            check_l10(engine)


# -- L11 ---------------------------------------------------------------------------------------------------------------


def test_l11_sees_a_handle_that_forgets_an_argument() -> None:
    def check(setup: Setup, script: list[Act]) -> None:
        world = World(setup).play([*script, Act("close", 0, 0)])
        check_l11(setup, "client", world.trace["client"])

    methods = cast(dict[type, object], session._METHODS)
    shows_red(check, lambda patch: patch.setitem(methods, inputs.Close, lambda engine, _, now: engine.close(now)))


# -- L12 ---------------------------------------------------------------------------------------------------------------


def test_l12_sees_a_look_at_the_clock() -> None:
    enter = Session.enter

    def punctual(self: Session, now: int) -> None:
        time.monotonic()
        enter(self, now)

    shows_red(check_l12, lambda patch: patch.setattr(Session, "enter", punctual), Impure)


def test_l12_sees_an_import_of_the_clock_and_one_that_turns_back(tmp_path: Path) -> None:
    engine = tmp_path / "antiphon" / "engine"
    engine.mkdir(parents=True)
    (engine / "hasty.py").write_text("def f():\n    from time import monotonic\n    return monotonic()\n")
    proud = "from ..testing import link\nimport antiphon_asyncio\nfrom antiphon import messages\n"
    (engine / "proud.py").write_text(proud)
    assert forbidden_imports(tmp_path, tmp_path) == ["antiphon/engine/hasty.py:2 imports time"]
    assert backward_imports(tmp_path, tmp_path) == [
        "antiphon/engine/proud.py:1 imports antiphon.testing",
        "antiphon/engine/proud.py:2 imports antiphon_asyncio",
    ]
