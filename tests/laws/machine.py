"""Two peers as a state machine: the same acts as in a script, chosen one by one, with the laws looked at in between.

A script is quicker to draw and enough for most laws. Here Hypothesis sees where a conversation stands before it goes
on, and every step is followed by what must hold between any two inputs.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from .strategies import APPLICATION, setups
from .values import SIDES, Act, Setup
from .world import World

_NUMBERS = st.integers(0, 11)


class TwoPeers(RuleBasedStateMachine):
    """A client and a server that keep the rules, over a link that delays, cuts and breaks."""

    world: World

    @initialize(setup=st.one_of(setups("compiled", orderly=True), setups("transitions", orderly=True)))
    def meet(self, setup: Setup) -> None:
        """The two engines are made; somebody dials."""
        self.world = World(setup)
        self.world.begin()

    def _act(self, verb: str, a: int, b: int) -> None:
        self.world.perform(Act(verb, a, b))

    @rule(verb=st.sampled_from(APPLICATION), a=_NUMBERS, b=_NUMBERS)
    def application(self, verb: str, a: int, b: int) -> None:
        """The client's application, or its player, does something."""
        self._act(verb, a, b)

    @precondition(lambda self: self.world.server.default_response is not None)
    @rule(a=_NUMBERS, b=_NUMBERS)
    def brain_goes_on(self, a: int, b: int) -> None:
        """The brain says more of a response that is in progress."""
        self._act("think", a, b)

    @precondition(lambda self: self.world.server.turn_detection is not None)
    @rule(a=_NUMBERS)
    def voice_is_heard(self, a: int) -> None:
        """Speech begins or ends."""
        self._act("hear", a, 0)

    @rule(verb=st.sampled_from(["answer", "transcribe", "inform"]), a=_NUMBERS, b=_NUMBERS)
    def brain(self, verb: str, a: int, b: int) -> None:
        """Something else at the server's end."""
        self._act(verb, a, b)

    @rule(a=_NUMBERS)
    def time_passes(self, a: int) -> None:
        """And what is due within happens."""
        self._act("wait", a, 0)

    @rule(verb=st.sampled_from(["lag", "tick", "oversleep"]), a=_NUMBERS)
    def link_or_driver(self, verb: str, a: int) -> None:
        """The link changes its pace, or a driver is early or late."""
        self._act(verb, a, 0)

    @precondition(lambda self: self.world.steps > 30)
    @rule(verb=st.sampled_from(["drop", "close"]), a=_NUMBERS, b=_NUMBERS)
    def end(self, verb: str, a: int, b: int) -> None:
        """The connection breaks, or somebody closes it; not before something was said."""
        self._act(verb, a, b)

    @invariant()
    def clients_report_nothing(self) -> None:
        """L9, as early as it can be seen."""
        from .test_l09_two_peers import deviations

        assert not hasattr(self, "world") or deviations(self.world, newest=1) == []

    @invariant()
    def nothing_is_overdue(self) -> None:
        """L4: whatever was due has been done."""
        for side in SIDES if hasattr(self, "world") else ():
            deadline = self.world.engines[side].deadline
            assert deadline is None or deadline > self.world.now

    @invariant()
    def a_snapshot_is_always_possible(self) -> None:
        """L6: nothing is pending between two calls."""
        for side in SIDES if hasattr(self, "world") else ():
            engine = self.world.engines[side]
            assert engine.snapshot(self.world.now) == engine.snapshot(self.world.now)

    def teardown(self) -> None:
        """However it went, both ends reach theirs, and the whole conversation kept L9."""
        from .test_l09_two_peers import check_l09

        if hasattr(self, "world"):
            self.world.finish()
            check_l09(self.world)
