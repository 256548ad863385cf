"""The invariant of every cut, over random sessions: what `conversation.item.truncate` may say when it leaves a client.

It names an audio part of the assistant; its time is an integer of milliseconds from 0 to what the server sent of that
part; some of the part was not heard, or more of it may come; and no part is cut twice. The audio is counted here a
second time, from the events alone.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon import Actions, Limits, PlayAudio, StopAudio
from antiphon.engine.audio import AudioFormat
from unit.engine_helpers import MS, Talk, at, of, sent, spoken

FORMATS = [
    None,
    {"type": "audio/pcm", "rate": 24_000},
    {"type": "audio/pcm", "rate": 11_025},
    {"type": "audio/pcmu"},
    {"type": "audio/pcma", "rate": 24_000},
]
Part = tuple[str, int]


class Conversation:
    """A `Talk` whose server speaks in items ``i0`` … ``i3`` of responses, and a device that may or may not report."""

    def __init__(self, policy: str, playback: str, unheard: str, limits: Limits) -> None:
        self.talk = Talk(on_speech=policy, playback=playback, unheard=unheard, limits=limits)
        self.sent_bytes: Counter[Part] = Counter()
        self.width: dict[Part, AudioFormat] = {}
        self.handed_on: Counter[Part] = Counter()
        self.ended: set[Part] = set()
        self.cuts: defaultdict[Part, list[int]] = defaultdict(list)
        self.deleted: list[str] = []
        self.stops: list[Part] = []
        self.response = 0
        self.items = 0
        self.open: str | None = None

    # -- the acts ------------------------------------------------------------------------------------------------------

    def respond(self, number: int) -> Actions:
        if self.open is not None:
            return ()
        self.response += 1
        self.open = f"r{self.response}"
        format = FORMATS[number % len(FORMATS)]
        return self.talk.created(self.open, **({} if format is None else {"audio": {"output": {"format": format}}}))

    def begin(self, number: int) -> Actions:
        if self.open is None:
            return ()
        self.items += 1
        name = f"i{self.items}"
        return self.talk.generates(self.open, spoken(name)) + self.talk.part(self.open, name)

    def speak(self, number: int) -> Actions:
        if self.open is None or not self.items:
            return ()
        part = (f"i{max(1, self.items - number % 3)}", number % 2)
        if part in self.ended or not self._is_mine(part[0]):
            return ()
        size = (1, 3, 480, 481, 2399, 24_000)[number % 6]
        self.sent_bytes[part] += size
        delta = b64encode(bytes(size)).decode()
        return self.talk.hear("response.output_audio.delta", delta=delta, **at(self.open, *part))

    def end_part(self, number: int) -> Actions:
        part = (f"i{max(1, self.items - number % 3)}", number % 2)
        if self.open is None or not self._is_mine(part[0]):
            return ()
        self.ended.add(part)
        return self.talk.hear("response.output_audio.done", **at(self.open, *part))

    def end_response(self, number: int) -> Actions:
        if self.open is None:
            return ()
        response, self.open = self.open, None
        self.ended.update(part for part in self.sent_bytes)
        return self.talk.done(response, ("completed", "cancelled")[number % 2])

    def report(self, number: int) -> Actions:
        part = (f"i{1 + number % max(1, self.items)}", number % 2)
        return self.talk.client.audio_played(*part, self._some(part, number), self.talk.now)

    def answer(self, number: int) -> Actions:
        if not self.stops:
            return self.talk.client.audio_stopped("nothing", 0, number, self.talk.now)
        part = self.stops[number % len(self.stops)] if number % 5 else self.stops.pop()
        return self.talk.client.audio_stopped(*part, self._some(part, number), self.talk.now)

    def _some(self, part: Part, number: int) -> int:
        """A play head: usually within what was received, sometimes beyond it."""
        return self.handed_on[part] * number // 60

    def barge_in(self, number: int) -> Actions:
        return self.talk.hear("input_audio_buffer.speech_started", item_id=f"u{number}", audio_start_ms=0)

    def interrupt(self, number: int) -> Actions:
        return self.talk.client.interrupt(self.talk.now)

    def wait(self, number: int) -> Actions:
        self.talk.now += (0, 1, 17, 250, 600, 3000)[number % 6] * MS + number
        return self.talk.client.tick(self.talk.now)

    def restore(self, number: int) -> Actions:
        self.talk = self.talk.restored()
        return ()

    def server_cuts(self, number: int) -> Actions:
        item_id = f"i{1 + number % max(1, self.items)}"
        self.ended.add((item_id, 0))
        return self.talk.hear("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=number)

    def delete(self, number: int) -> Actions:
        return self.talk.hear("conversation.item.deleted", item_id=f"i{1 + number % max(1, self.items)}")

    def _is_mine(self, item_id: str) -> bool:
        record = self.talk.client.responses.get(self.open or "")
        return record is not None and item_id in record.item_ids

    # -- the invariant -------------------------------------------------------------------------------------------------

    def perform(self, verb: str, number: int) -> None:
        actions = getattr(self, verb)(number)
        for play in of(actions, PlayAudio):
            part = (play.item_id, play.content_index)
            assert play.start == self.handed_on[part], "a gap, or audio twice"
            assert self.width.setdefault(part, play.format) == play.format
            assert not self.cuts[part], "audio after the cut"
            self.handed_on[part] += len(play.audio) // play.format.bytes_per_sample
        for stop in of(actions, StopAudio):
            assert self.handed_on[stop.item_id, stop.content_index], "nothing of it was ever played"
            self.stops.append((stop.item_id, stop.content_index))
        for event in sent(actions):
            if event["type"] == "conversation.item.truncate":
                self.check(event)
            elif event["type"] == "conversation.item.delete":
                self.check_deletion(event["item_id"])

    def check(self, event: dict[str, Any]) -> None:
        part = (event["item_id"], event["content_index"])
        ms = event["audio_end_ms"]
        entry = self.talk.client.playback.get(*part)
        assert entry is not None
        assert type(ms) is int
        sent_ms = Fraction(self.sent_bytes[part] * 1000, entry.format.bytes_per_sample * entry.format.rate)
        assert 0 <= ms <= Fraction(self.handed_on[part] * 1000, entry.format.rate) <= sent_ms
        assert self.sent_bytes[part], "nothing to truncate"
        assert part not in self.ended or not entry.heard_all, "all of it was heard"
        assert not self.cuts[part], "cut twice"
        assert part[0] not in self.deleted
        self.cuts[part].append(ms)

    def check_deletion(self, item_id: str) -> None:
        assert not any(heard.played_ms for heard in self.talk.client.playback.heard(item_id))
        assert item_id not in self.deleted
        self.deleted.append(item_id)


VERBS = [
    "respond", "respond", "begin", "begin", "speak", "speak", "speak", "speak", "speak", "end_part", "end_response",
    "report", "report", "answer", "answer", "barge_in", "barge_in", "interrupt", "wait", "wait", "restore",
    "server_cuts", "delete",
]  # fmt: skip
SESSIONS = st.tuples(
    st.sampled_from(["session", "cut", "ignore"]),
    st.sampled_from(["device", "clock"]),
    st.sampled_from(["truncate", "delete"]),
    st.sampled_from([Limits(), Limits(response_history=1, tombstones=1)]),
)
SCRIPTS = st.integers(0, 60).flatmap(
    lambda size: st.lists(
        st.tuples(st.sampled_from(VERBS), st.integers(0, 90)),
        min_size=size,
        max_size=size,
    )
)


@settings(max_examples=300)
@given(SESSIONS, SCRIPTS)
def test_every_cut_that_leaves_is_an_integer_within_what_was_received_of_a_part_that_was_not_heard_out(
    session: tuple[str, str, str, Limits], script: list[tuple[str, int]]
) -> None:
    conversation = Conversation(*session)
    for verb, number in script:
        conversation.perform(verb, number)
