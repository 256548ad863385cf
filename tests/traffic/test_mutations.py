"""Real sessions keep every rule, and damaged ones do not go unnoticed unless the protocol allows the damage."""

import json
from pathlib import Path

import pytest

from antiphon.toolkit.journal import Entry, read_lines
from antiphon_cli.check import check_entries, check_file
from antiphon_cli.journal import read_journal
from shared_data import ABSENT
from traffic.mutations import ga_files, is_told, mutations, try_all

FILES = ga_files()
needs_recordings = pytest.mark.skipif(not FILES, reason=ABSENT)


@needs_recordings
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_ga_session_keeps_every_rule_and_leaves_nothing_open(path: Path) -> None:
    verdict = check_file(str(path), audio_cut=True)
    assert verdict.violations == ()
    assert verdict.open_at_end == ()
    assert verdict.unreadable is None


@needs_recordings
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_damaged_session_is_told_unless_a_rule_of_order_allows_it(path: Path) -> None:
    outcome = try_all(path)
    assert outcome.tried > 20
    assert [str(hole) for hole in outcome.holes] == []


@needs_recordings
def test_the_sideband_recording_is_taken_for_one() -> None:
    sideband = next(path for path in FILES if "sideband" in path.name)
    assert check_file(str(sideband), audio_cut=True).transport == "sideband"


@needs_recordings
def test_most_damage_is_told() -> None:
    entries = tuple(read_journal(FILES[0]))
    told = [is_told(check_entries(each.entries, "x", audio_cut=True)) for each in mutations(entries)]
    assert told.count(True) > 3 * told.count(False)


def _entries(*events: tuple[str, dict[str, object]]) -> tuple[Entry, ...]:
    lines = [json.dumps({"dir": dir, "event": event}).encode() + b"\n" for dir, event in events]
    return tuple(read_lines(lines))


def test_mutations_are_every_deletion_then_every_swap_of_neighbours() -> None:
    entries = _entries(
        ("client", {"type": "input_audio_buffer.clear"}),
        ("client", {"type": "input_audio_buffer.append", "audio": ""}),
        ("server", {"type": "input_audio_buffer.cleared"}),
    )
    made = list(mutations(entries))
    assert [len(each.entries) for each in made] == [2, 2, 3]
    assert [entry.number for entry in made[-1].entries] == [3, 2, 1]
