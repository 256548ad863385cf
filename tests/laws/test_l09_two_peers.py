"""L9 two peers: over a link that delays, cuts and drops the connection (never reorders): clients report nothing,
servers send only errors marked `race`, each settling its request; both end within a bounded number of steps."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from antiphon import Action, Deliver, LostToVad, Rejected, Report, RequestSettled
from antiphon import messages as m
from antiphon.machines import ERRORS

from .machine import TwoPeers
from .mirrors import check_mirrors
from .strategies import BROKEN, ORDERLY, examples, scripts, setups
from .values import SIDES, Act, Setup, Stepper, script_of
from .world import World

_HOLE = re.compile(r"\\\{[^{}]*\\\}")
RACES = [
    (error.type, error.code, re.compile(_HOLE.sub(".*", re.escape(error.message)), re.DOTALL))
    for error in ERRORS.values()
    if error.race
]
"""The errors that two peers may provoke by crossing; the text tells entries of one code apart."""


def is_race(error: m.ErrorDetail) -> bool:
    """Whether ``spec/errors.toml`` marks this error as one that legal peers can provoke."""
    return any(
        (error.type, error.code) == (type, code) and message.fullmatch(error.message) for type, code, message in RACES
    )


def deviations(world: World, newest: int = 0) -> list[Report]:
    """What the client reports of its server in its last ``newest`` inputs, or in all.

    Two things are reported that are no deviation of anybody's: what cannot be given to a next session, and that a
    server took longer over the end of a translation than its client waits.
    """
    goes_on = world.setup.servers > 1
    return [
        action
        for line in world.trace["client"][-newest:]
        for action in line.actions
        if isinstance(action, Report)
        and not (goes_on and action.rule in ("R-N5", "R-N6"))
        and (action.rule, action.event_type) != ("R-X3", "")
    ]


def check_l09(world: World) -> Counter[str]:
    """A world that was played and finished kept the law. Answers how often each error came.

    Where one conversation goes on over several sessions, one that ends because of its age says so.
    """
    goes_on = world.setup.servers > 1
    assert deviations(world) == []
    errors: Counter[str] = Counter()
    taken_back: list[str] = []
    open_requests = set(world.asked if world.setup.tag else ())  # untagged, a response is matched by order alone
    for line in world.trace["client"]:
        for action in line.actions:
            if isinstance(action, Deliver) and isinstance(action.event, m.Error):
                error = action.event.error
                errors[str(error.code)] += 1
                assert is_race(error) or (goes_on and error.code == "session_expired"), f"provoked {error!r}"
                if error.event_id in open_requests:
                    outcomes = [each for each in line.actions if is_outcome_of(each, error)]
                    again = [request for request in taken_back if request == error.event_id]
                    assert outcomes or len(again) < world.setup.retries, f"{error!r} did not settle its request"
                    taken_back += [] if outcomes else [str(error.event_id)]
        open_requests -= {action.event_id for action in line.actions if isinstance(action, RequestSettled)}
    settled_ids = [action.event_id for action in world.settled]
    assert sorted(settled_ids) == sorted(world.asked), "every request has exactly one outcome"
    assert world.over
    return errors


def is_outcome_of(action: Action, error: m.ErrorDetail) -> bool:
    """Whether ``action`` settles the request that ``error`` names, for that error."""
    return (
        isinstance(action, RequestSettled)
        and action.event_id == error.event_id
        and (action.outcome == Rejected(error) or isinstance(action.outcome, LostToVad))
    )


@examples(250)
@given(st.data())
def test_two_peers_that_keep_the_rules_understand_each_other(stepper: Stepper, data: st.DataObject) -> None:
    world = World(data.draw(setups(stepper, orderly=True))).play(data.draw(scripts(BROKEN, 70)))
    world.finish()
    check_l09(world)


@examples(120)
@given(st.data())
def test_when_everything_has_arrived_both_hold_the_same_conversation(stepper: Stepper, data: st.DataObject) -> None:
    """What the law is for: over a link that holds, no crossing of messages leaves the two mirrors apart, nor does the
    end of a session that another follows."""
    world = World(data.draw(setups(stepper, orderly=True))).play(data.draw(scripts(ORDERLY, 70)))
    world.do_settle()
    check_mirrors(world)


def test_the_scripts_provoke_races(stepper: Stepper) -> None:
    """A law about races needs races: scripts of the same kind provoke most that the server role can answer."""
    errors: Counter[str] = Counter()
    for seed in range(250):
        world = World(Setup(stepper=stepper, seed=seed)).play(script_of(seed, 60, ORDERLY))
        world.finish()
        errors += check_l09(world)
    assert {
        "conversation_already_has_active_response",
        "response_cancel_not_active",
        "input_audio_buffer_commit_empty",
        "cannot_update_voice",
    } <= set(errors)


def test_a_world_is_a_value(stepper: Stepper) -> None:
    """One script, played twice, gives the same conversation: whatever fails here can be played again."""
    script: list[Act] = script_of(5, 80, BROKEN)
    worlds = [World(Setup(stepper=stepper, seed=5, level="bytes")).play(script) for _ in range(2)]
    for side in SIDES:
        assert worlds[0].trace[side] == worlds[1].trace[side]


TestTwoPeers = TwoPeers.TestCase
TestTwoPeers.settings = examples(40)
