"""Rows of the toolkit: what its parts add to an event that the engine has read.

The budgets were set in time, 1 us for the router and 2 us for the streams where the engine takes 1.7 us for a delta of
text; as parts of that delta they hold on any machine.
"""

from __future__ import annotations

from typing import Any

from antiphon import Deliver
from antiphon.toolkit import History, Router, Streams
from bench import samples
from bench.timing import Row, measure

ROUNDS = 31
US = 1000


def parts(rounds: int = ROUNDS) -> list[Row]:
    """A text delta to a handler, to its stream, to the history."""
    session = samples.speaking_session(samples.TEXT_PART)
    text = samples.TEXT_DELTA
    (deliver,) = (each for each in session.receive_message(text, 1) if isinstance(each, Deliver))
    event = deliver.event
    router: Router[Any] = Router()
    router.on(event.type, lambda event: None)
    router.on_category("response", lambda event: None)
    streams, history = Streams(), History(session.conversation)
    taken = measure(
        {
            "engine": lambda: session.receive_message(text, 1),
            "router": lambda: router.route(event),
            "streams": lambda: streams.feed(event),
            "history": lambda: history.feed(deliver, 1),
        },
        rounds,
    )
    return [
        Row(
            name,
            "the engine's text delta",
            taken.cost(key) / US,
            taken.cost("engine") / US,
            "us",
            taken.ratio(key, "engine"),
            budget,
        )
        for name, key, budget in (
            ("router, an event to two handlers", "router", 0.6),
            ("streams, a delta of text", "streams", 1.2),
            ("history, a delta of text", "history", 2),
        )
    ]
