"""`antiphon.engine.playclock`: where a player that says nothing must be by now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.audio import PCM16_24K, PCMU, AudioFormat
from antiphon.engine.playback import Entry
from antiphon.engine.playclock import PlayClock

MS = 1_000_000


def hand_on(clock: PlayClock, entry: Entry, samples: int, now: int) -> None:
    """What the engine does with a chunk: the clock first, then the count."""
    clock.queue(entry, samples, now)
    entry.received += samples


def part(name: str = "i", format: AudioFormat = PCM16_24K) -> Entry:
    return Entry(name, 0, None, format)


def test_audio_sounds_in_real_time_from_the_moment_it_is_handed_on() -> None:
    clock, entry = PlayClock(), part()
    hand_on(clock, entry, 24_000, 5 * MS)
    assert [clock.position(entry, at * MS) for at in (0, 5, 6, 505, 1004, 1005, 9999)] == [
        0,
        0,
        24,
        12_000,
        23_976,
        24_000,
        24_000,
    ]


def test_nothing_was_heard_of_what_was_never_handed_on() -> None:
    assert PlayClock().position(part(), 10**12) == 0


def test_what_comes_while_it_plays_follows_without_a_gap() -> None:
    clock, entry = PlayClock(), part()
    for at in (0, 3, 7):
        hand_on(clock, entry, 2400, at * MS)
    assert clock.position(entry, 250 * MS) == 6000


def test_what_comes_after_it_ran_dry_begins_then() -> None:
    clock, entry = PlayClock(), part()
    hand_on(clock, entry, 2400, 0)
    hand_on(clock, entry, 2400, 900 * MS)
    assert clock.position(entry, 900 * MS) == 2400
    assert clock.position(entry, 950 * MS) == 3600


def test_a_second_part_waits_for_the_first() -> None:
    clock, one, two = PlayClock(), part("one"), part("two", PCMU)
    hand_on(clock, one, 24_000, 0)
    hand_on(clock, two, 8000, 10 * MS)
    assert clock.position(two, 1000 * MS) == 0
    assert clock.position(two, 1500 * MS) == 4000


def test_a_player_that_was_flushed_is_free_at_once() -> None:
    clock, one, two = PlayClock(), part("one"), part("two")
    hand_on(clock, one, 24_000, 0)
    clock.flush()
    hand_on(clock, two, 24_000, 100 * MS)
    assert clock.position(two, 200 * MS) == 2400


@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 24_000, 44_100]),
    chunks=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5000)), max_size=8),
    looks=st.lists(st.integers(0, 3000), max_size=12),
)
def test_the_position_only_grows_and_stays_within_what_was_received(
    rate: int, chunks: list[tuple[int, int]], looks: list[int]
) -> None:
    clock, entry = PlayClock(), part(format=AudioFormat("audio/pcm", rate))
    now = before = 0
    arrivals = []
    for wait, samples in chunks:
        now += wait * MS
        arrivals.append((now, samples))
    moments = sorted([(at, 0, samples) for at, samples in arrivals] + [(at * MS, 1, 0) for at in looks])
    for at, looking, samples in moments:
        if not looking:
            hand_on(clock, entry, samples, at)
        position = clock.position(entry, at)
        assert before <= position <= entry.received
        before = position
