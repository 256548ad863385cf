"""`antiphon.engine.playback`: what was heard, and where a barge-in cuts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.audio import PCM16_24K, PCMU, AudioFormat, decode_base64
from antiphon.engine.playback import Cut, Entry, Heard, PlaybackLedger, PlaybackState, Played, Problem, Totals
from shared_data import ABSENT, SHARED

TRAFFIC = SHARED / "traffic"
SECOND = bytes(48_000)


def make(live_limit: int = 8, history_limit: int = 8) -> PlaybackLedger:
    return PlaybackLedger(live_limit=live_limit, history_limit=history_limit)


def speak(ledger: PlaybackLedger, item_id: str, audio: bytes = SECOND, *, response_id: str = "resp") -> Entry:
    """``audio`` arrives for the first part of ``item_id``; its entry."""
    assert ledger.received(item_id, 0, response_id, audio, PCM16_24K) is not None
    return entry_of(ledger, item_id)


def entry_of(ledger: PlaybackLedger, item_id: str) -> Entry:
    entry = ledger.get(item_id, 0)
    assert entry is not None
    return entry


def cut(ledger: PlaybackLedger, item_id: str, samples: int | None = None) -> Cut:
    entry = entry_of(ledger, item_id)
    assert ledger.begin_cut(entry)
    result = ledger.finish_cut(entry, samples)
    assert result is not None
    return result


def ids(entries: list[Entry] | tuple[Entry, ...]) -> list[str]:
    return [entry.item_id for entry in entries]


# -- audio comes in ----------------------------------------------------------------------------------------------------


def test_each_chunk_is_placed_behind_the_one_before_in_its_own_part() -> None:
    ledger = make()
    assert ledger.received("a", 0, "r", b"abcd", PCM16_24K) == (0, b"abcd")
    assert ledger.received("b", 0, "r", b"ef", PCM16_24K) == (0, b"ef")
    assert ledger.received("a", 1, "r", b"gh", PCM16_24K) == (0, b"gh")
    assert ledger.received("a", 0, "r", b"ij", PCM16_24K) == (2, b"ij")


def test_a_chunk_of_whole_samples_is_handed_on_uncopied() -> None:
    ledger = make()
    for chunk in (b"first chunk!", b"second chunk"):
        answer = ledger.received("a", 0, "r", chunk, PCM16_24K)
        assert answer is not None
        assert answer[1] is chunk


def test_an_odd_byte_waits_for_its_other_half_in_its_own_part() -> None:
    ledger = make()
    assert ledger.received("a", 0, "r", b"abc", PCM16_24K) == (0, b"ab")
    assert ledger.received("b", 0, "r", b"x", PCM16_24K) == (0, b"")
    assert ledger.received("a", 0, "r", b"d", PCM16_24K) == (1, b"cd")
    assert ledger.received("b", 0, "r", b"yz", PCM16_24K) == (0, b"xy")


def test_parts_of_different_formats_are_counted_each_in_its_own() -> None:
    ledger = make()
    ledger.received("pcm", 0, "r", bytes(480), PCM16_24K)
    ledger.received("phone", 0, "r", bytes(480), PCMU)
    assert entry_of(ledger, "pcm").received == 240
    assert entry_of(ledger, "phone").received == 480
    assert cut(ledger, "pcm", 240).audio_end_ms == 10
    assert cut(ledger, "phone", 480).audio_end_ms == 60


def test_the_format_of_the_first_chunk_holds_for_the_part() -> None:
    ledger = make()
    ledger.received("a", 0, "r", b"ab", PCM16_24K)
    assert ledger.received("a", 0, "r", b"cd", PCMU) == (1, b"cd")
    assert entry_of(ledger, "a").format == PCM16_24K


def test_a_part_whose_response_is_not_named_is_played_like_any_other() -> None:
    assert make().received("a", 0, None, b"ab", PCM16_24K) == (0, b"ab")


def test_audio_after_the_end_of_a_part_is_still_to_be_heard() -> None:
    ledger = make()
    speak(ledger, "a", bytes(96))
    ledger.played("a", 0, 48)
    ledger.done("a", 0)
    assert ledger.unheard() == []
    assert ledger.received("a", 0, "resp", bytes(48), PCM16_24K) == (48, bytes(48))
    assert ids(ledger.unheard()) == ["a"]


@given(st.binary(max_size=60), st.lists(st.integers(1, 7)), st.sampled_from([PCM16_24K, PCMU]))
def test_any_cut_of_the_byte_stream_gives_the_same_samples_at_the_same_positions(
    data: bytes, sizes: list[int], format: AudioFormat
) -> None:
    ledger = make()
    heard = b""
    for size in [*sizes, len(data)]:
        piece, data_left = data[:size], data[size:]
        answer = ledger.received("a", 0, "r", piece, format)
        assert answer is not None
        start, whole = answer
        assert start * format.bytes_per_sample == len(heard)
        heard += whole
        data = data_left
    # What is left over at the end of an odd stream is half a sample.
    entry = entry_of(ledger, "a")
    assert entry.received * format.bytes_per_sample == len(heard)
    assert data == b""
    assert len(entry.remainder.kept) < format.bytes_per_sample


@given(st.binary(max_size=60), st.lists(st.integers(1, 7)))
def test_the_pieces_of_a_stream_join_to_what_one_piece_would_have_been(data: bytes, sizes: list[int]) -> None:
    in_one, in_pieces = make(), make()
    whole = in_one.received("a", 0, "r", data, PCM16_24K)
    pieces = []
    for size in [*sizes, len(data)]:
        pieces.append(in_pieces.received("a", 0, "r", data[:size], PCM16_24K))
        data = data[size:]
    assert whole is not None
    assert b"".join(piece[1] for piece in pieces if piece is not None) == whole[1]
    assert in_pieces.dump() == in_one.dump()


# -- superseded responses ----------------------------------------------------------------------------------------------


def test_stragglers_of_a_superseded_response_are_not_handed_on() -> None:
    ledger = make()
    speak(ledger, "a", bytes(96), response_id="old")
    ledger.supersede("old")
    assert ledger.received("a", 0, "old", bytes(96), PCM16_24K) is None
    assert entry_of(ledger, "a").received == 48


def test_superseding_one_response_leaves_the_audio_of_another_alone() -> None:
    ledger = make()
    speak(ledger, "a", response_id="old")
    ledger.supersede("old")
    assert ledger.received("b", 0, "new", b"ab", PCM16_24K) == (0, b"ab")


def test_a_part_that_begins_after_its_response_was_superseded_stays_silent_but_is_owed_a_cut() -> None:
    ledger = make()
    ledger.supersede("old")
    assert ledger.received("a", 0, "old", bytes(96), PCM16_24K) is None
    ledger.response_done("old")
    assert ids(ledger.unheard()) == ["a"]
    result = cut(ledger, "a")
    assert (result.audio_end_ms, result.received, result.owed) == (0, 0, True)


def test_a_response_is_superseded_until_it_is_done() -> None:
    ledger = make()
    ledger.supersede("old")
    ledger.response_done("old")
    assert ledger.received("a", 0, "old", b"ab", PCM16_24K) == (0, b"ab")


def test_what_was_received_before_a_response_was_superseded_can_still_be_heard() -> None:
    ledger = make()
    speak(ledger, "a", bytes(96), response_id="old")
    ledger.supersede("old")
    assert ledger.played("a", 0, 48) == Played(48, None)


def test_only_the_newest_superseded_responses_are_remembered() -> None:
    ledger = make(live_limit=2)
    for number in range(3):
        ledger.supersede(f"r{number}")
    assert ledger.received("a", 0, "r0", b"ab", PCM16_24K) == (0, b"ab")
    assert ledger.received("b", 0, "r1", b"ab", PCM16_24K) is None
    assert ledger.received("c", 0, "r2", b"ab", PCM16_24K) is None


# -- the player reports ------------------------------------------------------------------------------------------------


def test_the_play_head_follows_cumulative_reports() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    assert ledger.played("a", 0, 100) == Played(100, None)
    assert ledger.played("a", 0, 250) == Played(150, None)
    assert ledger.played("a", 0, 250) == Played(0, None)
    assert entry.remaining == 24_000 - 250


def test_the_play_head_is_clamped_to_what_was_received() -> None:
    ledger = make()
    speak(ledger, "a", bytes(96))
    assert ledger.played("a", 0, 1000) == Played(48, Problem.BEYOND)
    assert entry_of(ledger, "a").played == 48


@pytest.mark.parametrize("samples", [99, 0, -1])
def test_the_play_head_never_goes_back(samples: int) -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.played("a", 0, 100)
    assert ledger.played("a", 0, samples) == Played(0, Problem.BEHIND)
    assert entry_of(ledger, "a").played == 100


def test_a_report_about_an_unknown_part_is_a_value_not_an_error() -> None:
    ledger = make()
    speak(ledger, "a")
    assert ledger.played("b", 0, 10) == Played(0, Problem.UNKNOWN)
    assert ledger.played("a", 1, 10) == Played(0, Problem.UNKNOWN)


def test_a_report_that_crossed_with_the_cut_changes_nothing() -> None:
    ledger = make()
    speak(ledger, "a")
    cut(ledger, "a", 100)
    assert ledger.played("a", 0, 200) == Played(0, Problem.CUT)
    assert entry_of(ledger, "a").played == 100


def test_fractions_of_samples_are_refused() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    with pytest.raises(TypeError):
        ledger.played("a", 0, 10.5)  # type: ignore[arg-type]  # the point of the test
    ledger.begin_cut(entry)
    with pytest.raises(TypeError):
        ledger.finish_cut(entry, 10.5)  # type: ignore[arg-type]  # the point of the test
    assert (entry.played, entry.cutting) == (0, True)


# -- what is unheard ---------------------------------------------------------------------------------------------------


def test_everything_that_was_not_heard_to_its_end_is_unheard_in_order_of_arrival() -> None:
    ledger = make()
    for item_id in ("b", "a", "c"):
        speak(ledger, item_id)
    ledger.response_done("resp")
    ledger.played("b", 0, 24_000)
    ledger.played("a", 0, 5)
    assert ids(ledger.unheard()) == ["a", "c"]


def test_unheard_audio_outlives_its_response() -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.done("a", 0)
    ledger.response_done("resp")
    assert ids(ledger.unheard()) == ["a"]


def test_a_part_that_is_heard_so_far_is_unheard_while_more_may_come() -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.played("a", 0, 24_000)
    assert ids(ledger.unheard()) == ["a"]
    ledger.done("a", 0)
    assert ledger.unheard() == []


def test_a_part_that_is_being_cut_or_was_cut_is_no_longer_unheard() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    ledger.begin_cut(entry)
    assert ledger.unheard() == []
    ledger.finish_cut(entry, 10)
    assert ledger.unheard() == []


def test_the_end_of_a_response_is_the_end_of_its_parts_and_of_no_others() -> None:
    ledger = make()
    for item_id, response_id in (("a", "r1"), ("b", "r2"), ("c", "r1")):
        speak(ledger, item_id, response_id=response_id)
    ledger.done("a", 0)
    assert ids(ledger.response_done("r1")) == ["c"]
    assert not entry_of(ledger, "b").done


def test_a_lost_transport_ends_every_part_and_keeps_what_is_to_be_heard() -> None:
    ledger = make()
    speak(ledger, "a", response_id="r1")
    speak(ledger, "b", response_id="r2")
    ledger.supersede("r3")
    assert ids(ledger.transport_lost()) == ["a", "b"]
    assert ids(ledger.unheard()) == ["a", "b"]
    assert ledger.received("c", 0, "r3", b"ab", PCM16_24K) == (0, b"ab")


def test_the_end_of_a_part_that_never_spoke_is_nothing() -> None:
    assert make().done("a", 0) is None


def test_it_is_quiet_when_no_received_sample_waits() -> None:
    ledger = make()
    assert ledger.quiet
    speak(ledger, "a", bytes(4))
    assert not ledger.quiet
    ledger.played("a", 0, 2)
    assert ledger.quiet
    speak(ledger, "b")
    cut(ledger, "b", 0)
    assert ledger.quiet


# -- cutting -----------------------------------------------------------------------------------------------------------


def test_a_cut_is_where_the_player_stopped_rounded_down_to_a_millisecond() -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.played("a", 0, 24)
    assert cut(ledger, "a", 71) == Cut(
        item_id="a",
        content_index=0,
        audio_end_ms=2,
        played=71,
        received=24_000,
        received_ms=1000,
        heard_all=False,
        truncatable=True,
    )


def test_without_an_answer_of_the_player_the_last_report_decides() -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.played("a", 0, 240)
    assert cut(ledger, "a").audio_end_ms == 10


def test_an_answer_beyond_what_was_received_is_clamped() -> None:
    ledger = make()
    speak(ledger, "a")
    assert cut(ledger, "a", 10**9).audio_end_ms == 1000


@pytest.mark.parametrize("samples", [-5, 0, 239])
def test_an_answer_behind_the_last_report_does_not_take_it_back(samples: int) -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.played("a", 0, 240)
    assert cut(ledger, "a", samples).played == 240


def test_reports_still_count_while_the_players_answer_is_awaited() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    ledger.begin_cut(entry)
    ledger.played("a", 0, 480)
    result = ledger.finish_cut(entry, None)
    assert result is not None
    assert result.audio_end_ms == 20


def test_a_part_is_cut_at_most_once() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    cut(ledger, "a", 10)
    assert not ledger.begin_cut(entry)
    assert ledger.finish_cut(entry, 20) is None
    assert entry.played == 10


def test_a_cut_that_never_began_is_not_finished() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    assert ledger.finish_cut(entry, 10) is None
    assert (entry.cut, entry.played) == (None, 0)


def test_late_audio_of_a_cut_part_is_suppressed_from_the_first_moment() -> None:
    ledger = make()
    entry = speak(ledger, "a", bytes(96))
    ledger.begin_cut(entry)
    assert ledger.received("a", 0, "resp", bytes(10), PCM16_24K) is None
    ledger.finish_cut(entry, 5)
    assert ledger.received("a", 0, "resp", bytes(10), PCM16_24K) is None
    ledger.done("a", 0)
    assert ledger.received("a", 0, "resp", bytes(10), PCM16_24K) is None
    assert (entry.received, entry.suppressed_bytes) == (48, 30)


def test_a_player_that_had_just_finished_leaves_nothing_to_truncate() -> None:
    ledger = make()
    speak(ledger, "a")
    ledger.done("a", 0)
    result = cut(ledger, "a", 24_000)
    assert result.heard_all
    assert not result.owed


def test_a_cut_while_generation_runs_is_owed_even_if_all_that_arrived_was_heard() -> None:
    ledger = make()
    speak(ledger, "a")
    result = cut(ledger, "a", 24_000)
    assert (result.audio_end_ms, result.owed) == (1000, True)


def test_audio_suppressed_during_the_cut_makes_it_owed() -> None:
    ledger = make()
    entry = speak(ledger, "a")
    ledger.begin_cut(entry)
    ledger.received("a", 0, "resp", bytes(2), PCM16_24K)
    ledger.done("a", 0)
    result = ledger.finish_cut(entry, 24_000)
    assert result is not None
    assert result.owed


def test_a_part_without_audio_is_never_truncated() -> None:
    ledger = make()
    speak(ledger, "a", b"")
    assert ids(ledger.unheard()) == ["a"]
    assert not cut(ledger, "a").owed


# -- looking back ------------------------------------------------------------------------------------------------------


def test_heard_tells_each_part_of_an_item_by_content_index() -> None:
    ledger = make()
    ledger.received("a", 1, "r", bytes(480), PCM16_24K)
    ledger.received("a", 0, "r", bytes(960), PCM16_24K)
    ledger.received("b", 0, "r", bytes(960), PCM16_24K)
    ledger.played("a", 1, 240)
    ledger.done("a", 1)
    cut(ledger, "a", 120)
    assert ledger.heard("a") == (Heard(0, 5, 20, True), Heard(1, 10, 10, False))
    assert ledger.heard("nobody") == ()


def test_totals_add_up_over_all_parts_and_formats_forgotten_ones_too() -> None:
    ledger = make(history_limit=1)
    for item_id, format in (("a", PCM16_24K), ("b", PCMU), ("c", PCM16_24K)):
        ledger.received(item_id, 0, "r", bytes(4800), format)
        ledger.played(item_id, 0, 2400)
    assert ledger.totals() == Totals(received_ms=100 + 600 + 100, played_ms=100 + 300 + 100, unheard_ms=300)
    ledger.played("b", 0, 4800)
    ledger.response_done("r")
    assert len(ledger) == 1
    assert ledger.totals() == Totals(received_ms=800, played_ms=800, unheard_ms=0)


def test_what_was_cut_is_not_waited_for() -> None:
    ledger = make()
    speak(ledger, "a")
    cut(ledger, "a", 2400)
    assert ledger.totals() == Totals(received_ms=1000, played_ms=100, unheard_ms=0)


# -- bounded memory ----------------------------------------------------------------------------------------------------


def test_parts_that_were_heard_leave_a_bounded_history() -> None:
    ledger = make(live_limit=4, history_limit=3)
    for number in range(100):
        speak(ledger, f"item{number}", bytes(96))
        ledger.done(f"item{number}", 0)
        ledger.played(f"item{number}", 0, 48)
    assert len(ledger) == 3
    assert ledger.abandoned == 0
    assert ledger.heard("item99") == (Heard(0, 2, 2, False),)
    assert ledger.played("item0", 0, 48) == Played(0, Problem.UNKNOWN)


def test_a_cut_part_is_remembered_while_its_response_may_still_send_audio() -> None:
    ledger = make(history_limit=1)
    speak(ledger, "cut", response_id="long")
    cut(ledger, "cut")
    for item_id in ("a", "b", "c"):
        speak(ledger, item_id, bytes(2))
        ledger.played(item_id, 0, 1)
        ledger.done(item_id, 0)
    assert ledger.received("cut", 0, "long", b"ab", PCM16_24K) is None


def test_a_straggler_of_a_cut_part_takes_no_place_among_the_live() -> None:
    ledger = make(live_limit=1)
    speak(ledger, "cut")
    cut(ledger, "cut")
    ledger.done("cut", 0)
    speak(ledger, "new")
    ledger.received("cut", 0, "resp", b"ab", PCM16_24K)
    assert ids(ledger.unheard()) == ["new"]
    assert ledger.abandoned == 0


def test_a_player_that_never_reports_costs_a_bounded_number_of_entries() -> None:
    ledger = make(live_limit=4, history_limit=3)
    for number in range(100):
        speak(ledger, f"item{number}")
    assert len(ledger) == 7
    assert ids(ledger.unheard()) == ["item96", "item97", "item98", "item99"]
    assert ledger.abandoned == 96


def test_an_hour_of_unheard_audio_in_one_part_is_no_reason_to_refuse_more() -> None:
    ledger = make()
    for _ in range(3600):
        assert ledger.received("a", 0, "r", SECOND, PCM16_24K) is not None
    assert ledger.totals().unheard_ms == 3_600_000


@pytest.mark.parametrize(("live", "history"), [(0, 1), (1, 0)])
def test_a_limit_below_one_is_refused(live: int, history: int) -> None:
    with pytest.raises(ValueError, match="limits"):
        make(live, history)


# -- as data -----------------------------------------------------------------------------------------------------------


def test_neither_entries_nor_dumps_show_audio() -> None:
    ledger = make()
    speak(ledger, "a", b"QQQ")
    assert "Q" not in repr(ledger) + repr(entry_of(ledger, "a")) + repr(ledger.dump())


def test_the_state_of_the_machine_survives_a_dump() -> None:
    ledger = make()
    speak(ledger, "a").state = "playing"
    restored = PlaybackLedger.load(ledger.dump(), live_limit=8, history_limit=8)
    assert entry_of(restored, "a").state == "playing"


def test_audio_of_a_deleted_item_is_gone_for_the_server_and_goes_on_for_the_device() -> None:
    ledger = PlaybackLedger(live_limit=1, history_limit=1)
    ledger.received("i", 0, None, bytes(480), PCM16_24K)
    ledger.deleted("i")
    again = PlaybackLedger.load(ledger.dump(), live_limit=1, history_limit=1)
    for each in (ledger, again):
        entry = each.get("i", 0)
        assert entry is not None
        assert (entry.gone, entry.state) == (True, "queued")


def test_a_ledger_restored_under_smaller_limits_keeps_the_newest() -> None:
    ledger = make()
    for item_id in "abc":
        speak(ledger, item_id)
        ledger.supersede(item_id)
    restored = PlaybackLedger.load(ledger.dump(), live_limit=1, history_limit=1)
    assert ids(list(restored)) == ["b", "c"]
    assert ids(restored.unheard()) == ["c"]
    assert restored.dump().superseded == ("c",)
    assert restored.totals().received_ms == 3000


items = st.sampled_from(["a", "b", "c", "d"])
responses = st.sampled_from(["r1", "r2"])
chunks = st.integers(0, 200).map(bytes)
some_formats = st.sampled_from([PCM16_24K, PCMU, AudioFormat("audio/pcm", 22_050)])
moves = st.lists(
    st.one_of(
        st.tuples(st.just("received"), items, st.just(0), responses, chunks, some_formats),
        st.tuples(st.just("played"), items, st.just(0), st.integers(-10, 300)),
        st.tuples(st.just("done"), items, st.just(0)),
        st.tuples(st.just("response_done"), responses),
        st.tuples(st.just("supersede"), responses),
        st.tuples(st.just("transport_lost")),
        st.tuples(st.just("begin_cut"), items),
        st.tuples(st.just("finish_cut"), items, st.none() | st.integers(-10, 300)),
    ),
    max_size=40,
)


def perform(ledger: PlaybackLedger, moves: list[tuple[object, ...]]) -> Iterator[object]:
    """Make each move on the ledger and yield its answer, entries by their ids."""
    for name, *arguments in moves:
        assert isinstance(name, str)
        if name.endswith("_cut"):
            item_id, *rest = arguments
            assert isinstance(item_id, str)
            entry = ledger.get(item_id, 0)
            answer = None if entry is None else getattr(ledger, name)(entry, *rest)
        else:
            answer = getattr(ledger, name)(*arguments)
        match answer:
            case Entry():
                yield answer.key
            case tuple() if answer and isinstance(answer[0], Entry):
                yield ids(answer)
            case _:
                yield answer


@given(moves)
def test_a_cut_is_never_negative_nor_beyond_what_was_heard_and_happens_once(moves: list[tuple[object, ...]]) -> None:
    ledger = make()
    cuts: list[Cut] = []
    heads: dict[str, int] = {}
    for answer in perform(ledger, moves):
        for entry in ledger:
            assert heads.get(entry.item_id, 0) <= entry.played <= entry.received
            heads[entry.item_id] = entry.played
        if isinstance(answer, Cut):
            cuts.append(answer)
            entry = entry_of(ledger, answer.item_id)
            assert type(answer.audio_end_ms) is int
            assert 0 <= answer.audio_end_ms <= answer.received_ms
            assert answer.audio_end_ms * entry.format.rate <= answer.played * 1000
            assert (answer.audio_end_ms + 1) * entry.format.rate > answer.played * 1000
            assert not (answer.owed and answer.heard_all)
    assert len({one.item_id for one in cuts}) == len(cuts)
    for one in cuts:
        assert (entry_of(ledger, one.item_id).played, entry_of(ledger, one.item_id).received) == (
            one.played,
            one.received,
        )


@given(moves, st.integers(1, 3), st.integers(1, 3))
def test_the_ledger_never_holds_more_entries_than_its_limits(
    moves: list[tuple[object, ...]], live: int, history: int
) -> None:
    ledger = make(live, history)
    for _ in perform(ledger, moves):
        assert len(ledger) <= live + history
        assert len(ledger.unheard()) <= live
        assert len(ledger.dump().superseded) <= live


@given(moves, moves, st.integers(1, 3), st.integers(1, 3))
def test_a_ledger_restored_from_its_dump_goes_on_as_if_nothing_had_happened(
    before: list[tuple[object, ...]], after: list[tuple[object, ...]], live: int, history: int
) -> None:
    ledger = make(live, history)
    list(perform(ledger, before))
    state = msgspec.json.decode(msgspec.json.encode(ledger.dump()), type=PlaybackState)
    restored = PlaybackLedger.load(state, live_limit=live, history_limit=history)
    assert restored.dump() == ledger.dump()
    assert list(perform(restored, after)) == list(perform(ledger, after))
    assert restored.dump() == ledger.dump()
    assert restored.totals() == ledger.totals()


@given(moves)
def test_after_a_barge_in_has_cut_everything_unheard_nothing_is_left_to_hear(moves: list[tuple[object, ...]]) -> None:
    ledger = make()
    list(perform(ledger, moves))
    for entry in ledger.unheard():
        assert ledger.begin_cut(entry)
    for entry in list(ledger):
        ledger.finish_cut(entry, None)
    assert ledger.unheard() == []
    assert ledger.quiet
    assert ledger.totals().unheard_ms == 0


# -- recorded sessions -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TRAFFIC.is_dir(), reason=ABSENT)
def test_recorded_audio_is_placed_without_gaps_and_suppressed_after_its_recorded_truncation() -> None:
    deltas = stragglers = truncations = 0
    for path in sorted(TRAFFIC.glob("*.jsonl")):
        ledger = make(64, 64)
        for line in path.read_text("utf-8").splitlines():
            event = json.loads(line).get("event") or {}
            match event.get("type"):
                case "response.output_audio.delta" | "response.audio.delta":
                    audio = decode_base64(event["delta"])
                    assert audio is not None
                    part = ledger.get(event["item_id"], event["content_index"])
                    before = part.received if part else 0
                    answer = ledger.received(
                        event["item_id"], event["content_index"], event["response_id"], audio, PCM16_24K
                    )
                    if part is not None and part.cut is not None:
                        assert answer is None
                        stragglers += 1
                    else:
                        assert answer is not None
                        assert answer[0] == before
                        deltas += 1
                case "conversation.item.truncate":
                    entry = ledger.get(event["item_id"], event["content_index"])
                    assert entry is not None
                    assert ledger.begin_cut(entry)
                    result = ledger.finish_cut(entry, PCM16_24K.samples_for_ms(event["audio_end_ms"]))
                    assert result is not None
                    assert result.audio_end_ms == event["audio_end_ms"]
                    truncations += 1
    assert deltas > 0
    assert stragglers > 0
    assert truncations > 0
