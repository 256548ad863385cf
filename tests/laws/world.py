"""Two engines, the link between them, and somebody at each end.

At the client's end are an application and a player, at the server's end a brain and a voice detector. What each of them
does is a script of `Act`s, so that a failing example shrinks to the acts that matter; a whole conversation is a value
and plays the same way every time. No rule of the protocol is known here beyond what a user of the engine has to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
from msgspec import Struct, structs

import antiphon
from antiphon import ResponseFinished, inputs
from antiphon import messages as m

from .application import Application, chosen
from .brain import Brain
from .values import MS, SECOND, SIDES, Act, Side


class World(Application, Brain):
    """A `Link` with people."""

    # -- playing -------------------------------------------------------------------------------------------------------

    def play(self, script: Sequence[Act]) -> Self:
        """Perform a whole script; the dial comes after the first `Setup.early` acts."""
        for number, act in enumerate(script):
            if number == self.setup.early:
                self.begin()
            self.perform(act)
        if len(script) <= self.setup.early:
            self.begin()
        return self

    def perform(self, act: Act) -> None:
        """One act, and what it leads to at once."""
        getattr(self, f"do_{act.verb}")(act)
        self.advance(0)

    def finish(self) -> None:
        """Let everything arrive, end the conversation as a good application does, and drive both ends to theirs."""
        self.do_settle()
        for side in SIDES:
            self.feed(side, inputs.Close())
            self.advance(2000)  # so the server's close finds its engine over, unless no socket ever joined the two
        self.drive_bounded()

    def do_settle(self, _act: Act | None = None) -> None:
        """The brain says the rest of what it owes, and everything on its way arrives."""
        for job in list(self._jobs):
            self._say(ResponseFinished(response_id=job.response_id))
        while any(pipe.waiting for pipe in self._pipes.values()) or self._dialled_at is not None:
            self._next(self.now + 3600 * SECOND)
            for job in list(self._jobs):
                self._say(ResponseFinished(response_id=job.response_id))

    def told(self, side: Side, action: antiphon.Action) -> None:
        """What the two ends remember of what their engine did."""
        if side == "client":
            self._client_told(action)
        else:
            self._server_told(action)

    # -- the link's acts -----------------------------------------------------------------------------------------------

    def do_wait(self, act: Act) -> None:
        """Time passes: nothing, a moment, or longer than any timer."""
        self.advance((0, 1, 20, 100, 600, 3000, 12_000, 31_000)[act.a % 8])

    def do_age(self, _act: Act) -> None:
        """Time passes, long enough for a session to be renewed; not where so much of it is a matter of many probes."""
        if self.setup.timers.ping >= SECOND:
            self.advance(71_000)

    def do_lag(self, act: Act) -> None:
        """From now on the link is this slow."""
        self._latency = (0, 5 * MS, 80 * MS, 700 * MS)[act.a % 4]

    def do_drop(self, act: Act) -> None:
        """The connection breaks. What was on its way is lost, or only the end of it."""
        for side in SIDES:
            pipe = self._pipes[side]
            while len(pipe.waiting) > act.b % 4:
                pipe.waiting.pop()
            if self._alive[side]:
                pipe.put(self.now, "end")

    def do_tick(self, act: Act) -> None:
        """A tick that nobody needs."""
        self.feed(SIDES[act.a % 2], inputs.Tick())

    def do_close(self, act: Act) -> None:
        """One end closes."""
        self.feed(SIDES[act.a % 2], inputs.Close(*((1000, "") if act.b % 2 else (4001, "enough"))))

    # -- acts of both ends ---------------------------------------------------------------------------------------------

    def do_turn(self, act: Act) -> None:
        """A request that is answered, as far as it gets: several acts that make sense in this order."""
        for verb, a, b in (
            ("ask", act.a, act.b), ("wait", 2, 0), ("think", 0, act.b), ("think", 0, 3), ("think", 0, 5),
            ("wait", 3, 0), ("listen", act.a, act.b), ("think", 0, 7), ("think", 0, act.a),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    def do_talk(self, act: Act) -> None:
        """Somebody speaks and is heard: audio, its beginning and end, and the answer's first words."""
        for verb, a, b in (
            ("speak", 3, 0), ("wait", 2, 0), ("hear", 1, 0), ("speak", act.a, 0), ("stopped", 0, act.b), ("wait", 2, 0),
            ("hear", act.b, 0), ("transcribe", 0, act.a), ("think", 0, act.b), ("think", 0, 3), ("wait", act.a % 4, 0),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    def do_silence(self, act: Act) -> None:
        """Nobody says anything for a while, with the microphone open and a server that waits for somebody."""
        waits = m.RealtimeSession(
            audio=m.AudioConfig(
                input=m.AudioInput(turn_detection=m.TurnDetection(type="server_vad", idle_timeout_ms=5000))
            )
        )
        if self.setup.kind == "realtime":
            self.command(m.SessionUpdate(session=waits))
        for verb, a, b in (
            ("speak", 3, 0), ("ask", 0, 0), ("wait", 3, 0), ("answer", 0, act.b), ("wait", 6, 0), ("think", 0, act.a),
        ):  # fmt: skip
            self.perform(Act(verb, a, b))

    # -- acts of nobody who keeps the rules ----------------------------------------------------------------------------

    def do_inject(self, act: Act) -> None:
        """Something arrives that no engine sent: at the client or the server, as text, typed event, or bytes.

        ``@item``, ``@response`` and ``@call`` in a text stand for ids that exist.
        """
        side = SIDES[act.a % 2]
        payload = act.payload
        if isinstance(payload, (bytes, str)):
            payload = self._with_names(payload, act.b)
            if self.setup.level == "bytes":
                data = payload if isinstance(payload, bytes) else payload.encode("utf-8", "surrogatepass")
                if data:
                    self.feed(side, inputs.DataReceived(data))
            else:
                self.feed(side, inputs.MessageReceived(payload))
        else:
            self.feed(side, inputs.EventReceived(payload))

    def _with_names(self, text: bytes | str, b: int) -> bytes | str:
        names = {
            "@item": chosen([node.id for node in self.client.conversation] or ["item_0"], b)[0],
            "@response": chosen(list(self.client.responses) or ["resp_0"], b)[0],
            "@call": chosen(self._calls or ["call_0"], b)[0],
        }
        for mark, name in names.items():
            if isinstance(text, str):  # noqa: SIM108 - one line would be too long
                text = text.replace(mark, name)
            else:
                text = text.replace(mark.encode(), name.encode())
        return text

    def do_push(self, act: Act) -> None:
        """A command that nobody has thought about, for one of the two engines; marks stand for ids here too."""
        if isinstance(act.payload, inputs.Send):
            event = act.payload.event
            text = self._with_names(msgspec.json.encode(event, enc_hook=lambda value: value.data), act.b)
            named = msgspec.json.decode(text, type=type(event)) if isinstance(event, Struct) else event
            self.feed(SIDES[act.a % 2], structs.replace(act.payload, event=named))
        else:
            if isinstance(act.payload, inputs.Opened):
                self._alive[SIDES[act.a % 2]] = True  # as far as this engine's driver says
            self.feed(SIDES[act.a % 2], act.payload)

    def do_oversleep(self, act: Act) -> None:
        """The drivers come back late: several timers are due at once, and what arrived meanwhile waits."""
        self.now += (1, 600, 40_000)[act.a % 3] * MS
        for side in SIDES:
            self.feed(side, inputs.Tick())
