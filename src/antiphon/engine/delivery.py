"""Audio that a server delivers itself, over WebRTC: what has left, and what a barge-in keeps from leaving (R-O1, R-O4).

The application has the audio (it gave it) and the way for it; it tells how much has left with `audio_played`. The
engine says `output_audio_buffer.*`, tells the application to stop with `StopAudio`, which needs no answer here, and
truncates by itself what was not heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from antiphon import messages as m
from antiphon.engine.actions import StopAudio
from antiphon.engine.errors import LocalProtocolError
from antiphon.engine.serving import CONVERSATION_ITEM, OUTPUT_AUDIO_BUFFER

if TYPE_CHECKING:
    from antiphon.engine.server import ServerSession


class DeliveryState(Struct, frozen=True):
    """A `Delivery` in a snapshot."""

    response_id: str
    state: str
    delivered: dict[str, int]


class Delivery:
    """The audio of one response: ``delivered`` samples of each of its items."""

    __slots__ = ("delivered", "response_id", "state")

    def __init__(self, response_id: str, state: str = OUTPUT_AUDIO_BUFFER.initial) -> None:
        self.response_id = response_id
        self.state = state
        self.delivered: dict[str, int] = {}


Cuts: TypeAlias = list[tuple[Delivery, dict[str, int]]]
"""What is cut, and how many ms were heard of each item of it."""


class Deliveries:
    """What one server session delivers, oldest first. Without a transport that delivers it stays empty."""

    __slots__ = ("_open", "_session")

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._open: dict[str, Delivery] = {}

    @property
    def are_ours(self) -> bool:
        """Whether the server delivers at all."""
        return self._session.config.transport == "webrtc"

    def admits(self, response_id: str, item_id: str) -> bool:
        """Audio of an item was generated; whether it is to be delivered: not after its delivery was cut."""
        delivery = self._open.get(response_id)
        if delivery is None:
            delivery = self._open[response_id] = Delivery(response_id)
            if len(self._open) > self._session.config.limits.open_responses:
                self._session.report("R-N2", None, "too much audio waits for its delivery; the oldest is forgotten")
                del self._open[next(iter(self._open))]
        if delivery.state == "cleared":
            return False
        delivery.delivered.setdefault(item_id, 0)
        return True

    def check(self, item_id: str, content_index: int, samples: int) -> bool:
        """Whether news of a part means anything; not after it was cut or deleted. Raises `LocalProtocolError`."""
        session = self._session
        if samples < 0 or content_index != 0:
            raise LocalProtocolError(f"{samples} samples of part {content_index}: there is no such audio", rule="R-B1")
        if self._of(item_id) is not None:
            return True
        if item_id in session.spoken or session.conversation.is_deleted(item_id):
            return False
        raise LocalProtocolError(f"item {item_id!r} has no audio", rule="R-B1")

    def _of(self, item_id: str) -> Delivery | None:
        return next((each for each in self._open.values() if item_id in each.delivered), None)

    def advance(self, item_id: str, samples: int) -> None:
        """So much of an item has left, counted from its beginning."""
        session = self._session
        delivery = self._of(item_id)
        assert delivery is not None  # it was checked
        before = delivery.delivered[item_id]
        now = delivery.delivered[item_id] = max(before, min(samples, session.spoken[item_id].samples))
        if now and delivery.state == "silent":
            self._say(delivery, m.OutputAudioBufferStarted(response_id=delivery.response_id))
        self._settle(delivery)

    def undelivered_ms(self, response_id: str) -> int:
        """How long what is left of a response will be heard."""
        spoken = self._session.spoken
        delivery = self._open.get(response_id)
        if delivery is None:
            return 0
        return sum(
            spoken[item_id].format.ms(max(0, spoken[item_id].samples - samples))
            for item_id, samples in delivery.delivered.items()
        )

    def response_done(self, response_id: str) -> None:
        """Nothing more of this response will come."""
        delivery = self._open.get(response_id)
        if delivery is not None:
            self._settle(delivery)

    def _settle(self, delivery: Delivery) -> None:
        """All of a response that is over has left, or will not."""
        session = self._session
        record = session.responses.get(delivery.response_id)
        if record is not None and record.is_open:
            return
        if delivery.state == "cleared" or not self.undelivered_ms(delivery.response_id):
            del self._open[delivery.response_id]
            if delivery.state == "started":
                self._say(delivery, m.OutputAudioBufferStopped(response_id=delivery.response_id))

    def _say(self, delivery: Delivery, event: m.ServerEvent) -> None:
        self._session.step(OUTPUT_AUDIO_BUFFER, delivery, event.type, event)

    # -- cutting -------------------------------------------------------------------------------------------------------

    def cut(self, *, interrupted: bool) -> Cuts:
        """What is to be cut: all of it if speech ``interrupted``; a client's clear leaves what is still to begin."""
        session = self._session
        chosen: Cuts = []
        for delivery in self._open.values():
            record = session.responses.get(delivery.response_id)
            if interrupted or delivery.state == "started" or record is None or not record.is_open:
                heard = {
                    item_id: session.spoken[item_id].format.ms(samples)
                    for item_id, samples in delivery.delivered.items()
                    if samples < session.spoken[item_id].samples
                }
                chosen.append((delivery, heard))
        return chosen

    def stop(self, cuts: Cuts) -> None:
        """Tell the application, at once."""
        for _, heard in cuts:
            for item_id in heard:
                self._session.act(StopAudio(item_id, 0))

    def clear(self, cuts: Cuts) -> None:
        """Say that delivery was cut. What a response in progress still generates will not be delivered."""
        for delivery, _ in cuts:
            delivery.delivered.clear()
            if delivery.state == "started":
                self._say(delivery, m.OutputAudioBufferCleared(response_id=delivery.response_id))
                self._settle(delivery)
            elif delivery.state == "silent":  # nothing of it had left, so nothing is to be said of it
                del self._open[delivery.response_id]

    def truncate(self, cuts: Cuts) -> None:
        """The conversation holds what was heard, and no more."""
        session = self._session
        for _, heard in cuts:
            for item_id, ms in heard.items():
                node = session.conversation.get(item_id)
                if node is not None:
                    event = m.ConversationItemTruncated(item_id=item_id, content_index=0, audio_end_ms=ms)
                    session.step(CONVERSATION_ITEM, node, event.type, event)

    def forget(self, item_id: str) -> None:
        """The item was deleted: what is left of it is nobody's."""
        delivery = self._of(item_id)
        if delivery is not None:
            if delivery.delivered.pop(item_id) < self._session.spoken[item_id].samples:
                self._session.act(StopAudio(item_id, 0))
            self._settle(delivery)

    def lose(self) -> None:
        """The socket is gone, and what it carried."""
        self._open.clear()

    # -- as data -------------------------------------------------------------------------------------------------------

    def dump(self) -> list[DeliveryState]:
        """All of it as data."""
        return [DeliveryState(each.response_id, each.state, dict(each.delivered)) for each in self._open.values()]

    def load(self, states: list[DeliveryState]) -> None:
        """Become what was dumped."""
        for state in states:
            delivery = self._open[state.response_id] = Delivery(state.response_id, state.state)
            delivery.delivered.update(state.delivered)
