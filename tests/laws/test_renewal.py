"""A conversation over many sockets: a client that dials again, and a fresh server at each of them.

What L9 says of one socket holds here too: the client reports nothing but what cannot be given to a new session, servers
refuse nothing but races, and every request has one outcome. And the point of it all: when everything has arrived, the
newest server knows the history, however often the link broke, and nothing was delivered twice.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from antiphon import Deliver, Report
from antiphon import messages as m

from .mirrors import check_mirrors
from .strategies import FRAGILE, MANY, examples, hostile_scripts, scripts, setups
from .test_l06_snapshot import check_l06
from .test_l09_two_peers import is_race
from .values import Setup, Stepper, script_of
from .world import World


def check_renewals(world: World) -> None:
    """A world that was played kept what the module says, so far."""
    delivered: Counter[str] = Counter()
    for action in world.actions("client"):
        if isinstance(action, Report):
            assert action.rule in ("R-N5", "R-N6"), action
        elif isinstance(action, Deliver):
            event = action.event
            if isinstance(event, m.Error):
                assert is_race(event.error) or event.error.code == "session_expired", event
            elif isinstance(event, m.ConversationItemAdded) and isinstance(event.item.id, str):
                delivered[event.item.id] += 1
    cut_again = {  # the text of a spoken item is cut in a later session by a delete and a create
        action.event.item_id
        for action in world.actions("client")
        if isinstance(action, Deliver) and isinstance(action.event, m.ConversationItemDeleted)
    }
    twice = {item_id for item_id, count in delivered.items() if count > 1} - cut_again
    assert not twice, "items came as news twice"


@examples(120)
@given(st.data())
def test_the_next_server_knows_the_history_wherever_the_link_broke(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, orderly=True, servers=MANY))
    world = World(setup).play(data.draw(scripts(FRAGILE, 60)))
    world.do_settle()
    check_renewals(world)
    check_mirrors(world)
    world.finish()
    settled = [action.event_id for action in world.settled]
    assert sorted(settled) == sorted(world.asked), "every request has exactly one outcome"
    assert world.over


@examples(40)
@given(st.data())
def test_a_client_may_be_moved_between_any_two_inputs_of_a_renewal(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["message"], servers=MANY))
    world = World(setup).play(data.draw(scripts(FRAGILE, 40)))
    check_l06(setup, "client", world.trace["client"], data.draw(st.integers(1, 5)))


@examples(40)
@given(st.data())
def test_so_it_may_with_hostile_servers(stepper: Stepper, data: st.DataObject) -> None:
    setup = data.draw(setups(stepper, levels=["message"], servers=MANY))
    world = World(setup).play(data.draw(hostile_scripts(30)))
    check_l06(setup, "client", world.trace["client"], data.draw(st.integers(1, 5)))


def test_the_scripts_lose_sockets_and_replay(stepper: Stepper) -> None:
    """A law about renewals needs renewals: planned ones, sudden ones, and histories that were given."""
    generations, mirrored, histories, ends = 0, 0, 0, Counter[object]()
    for seed in range(120):
        setup = Setup(stepper=stepper, seed=seed, servers=MANY, expiry=(3600, 130, 30)[seed % 3])
        world = World(setup).play(script_of(seed, 60, FRAGILE))
        world.do_settle()
        check_renewals(world)
        mirrored += check_mirrors(world)
        generations += world.client.generation
        histories += sum(node.held_as == "text" for node in world.client.conversation)
        ends.update(action.reason for action in world.actions("client") if hasattr(action, "retry_at"))
        world.finish()
    assert generations > 180
    assert mirrored > 40
    assert histories > 100
    assert {"renewal", "session_expired"} <= set(ends)
