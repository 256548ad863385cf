"""Journals that were cut, changed, or are none: what can be played is played, the rest is told in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from antiphon import inputs
from antiphon import messages as m
from antiphon.toolkit.journal import Note, Row
from antiphon.toolkit.replay import Digest, NotReplayable, Pace, Replay, Step, Steps
from toolkit.journal_helpers import MS, Tape, entries, pair, pass_on, replayed, steps, text_frame, written


@pytest.fixture(scope="module")
def journal() -> bytes:
    """A small session of a client."""
    client, server = pair()
    pass_on(written(client.do(inputs.Send(m.ResponseCreate()))), server, client)
    client.hear(text_frame(b"ping", masked=False, head=0x89))
    client.do(inputs.Send(m.ResponseCancel(response_id="none")))
    client.do(inputs.EofReceived())
    client.recorder.end()
    return bytes(client.lines)


def changed(journal: bytes, dir: str, change: Callable[[dict[str, Any]], object], number: int = -1) -> bytes:
    """The journal with one note of this kind changed."""
    lines = journal.splitlines(keepends=True)
    index = [entry.number for entry in entries(journal) if isinstance(entry, Note) and entry.dir == dir][number] - 1
    data = msgspec.json.decode(lines[index])
    change(data)
    lines[index] = msgspec.json.encode(data) + b"\n"
    return b"".join(lines)


def test_it_plays_as_it_was_recorded(journal: bytes) -> None:
    replay = replayed(journal)
    assert replay.divergence is None
    assert replay.checked == 1
    assert replay.birth.has_these_tables
    assert replay.actions > 5


class TestCutJournals:
    def test_at_every_byte_the_whole_groups_before_it_play_exactly(self, journal: bytes) -> None:
        whole = [step for step in steps(journal) if isinstance(step, Step)]
        first = journal.index(b"\n")
        for cut in range(first):
            with pytest.raises(NotReplayable, match="does not begin with the configuration"):
                steps(journal[:cut])
        for cut in range(first, len(journal)):
            played = steps(journal[:cut])
            assert [step for step in played if isinstance(step, Step)] == whole[: len(played)]
            assert replayed(journal[:cut]).divergence is None

    def test_a_group_without_its_last_row_is_left_out(self, journal: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        last = next(index for index, row in reversed(list(enumerate(rows))) if row.startswith(b'{"dir":"client"'))
        assert len(steps(b"".join(rows[: last + 1]))) == len(steps(b"".join(rows[:last]))) + 1

    def test_a_row_that_is_missing_in_the_middle_is_told(self, journal: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        missing = next(index for index, row in enumerate(rows) if row.startswith(b'{"dir":"client"'))
        assert rows[missing + 1].startswith(b'{"dir":"server"')
        divergence = replayed(b"".join(rows[:missing] + rows[missing + 1 :])).divergence
        assert divergence is not None
        assert (divergence.line, divergence.recorded) == (missing, "nothing said")

    def test_a_note_where_a_row_should_stand_is_told(self, journal: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        missing = next(index for index, row in enumerate(rows) if row.startswith(b'{"dir":"client"'))
        rows[missing] = b'{"dir":"note"}\n'
        with pytest.raises(NotReplayable, match=f"line {missing + 1} stands where an event of line {missing}"):
            replayed(b"".join(rows))

    def test_an_empty_journal_is_told(self) -> None:
        with pytest.raises(NotReplayable, match="does not begin with the configuration"):
            replayed(b"")

    def test_a_journal_of_the_configuration_alone_has_nothing_to_compare(self, journal: bytes) -> None:
        replay = replayed(journal[: journal.index(b"\n") + 1])
        assert (replay.divergence, replay.checked, replay.actions) == (None, 0, 0)


class TestForeignLines:
    @pytest.mark.parametrize("line", [b"\n", b"noise\n", b"[]\n", b'{"dir":"note","x":1}\n', b'{"dir":"log"}\n'])
    def test_between_the_groups_they_change_nothing(self, journal: bytes, line: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        mixed = rows[0] + line + b"".join(row + line for row in rows[1:2]) + b"".join(rows[2:])
        assert replayed(mixed).divergence is None

    def test_within_a_group_they_are_told(self, journal: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        own = next(index for index, row in enumerate(rows) if row.startswith(b'{"dir":"client"'))
        with pytest.raises(NotReplayable, match="stands where an event of line"):
            replayed(b"".join([*rows[:own], b"noise\n", *rows[own:]]))

    def test_notes_may_stand_before_the_configuration(self, journal: bytes) -> None:
        assert replayed(b'{"dir":"note","by":"me"}\n' + journal).divergence is None

    def test_an_own_event_that_belongs_to_no_input_is_passed_over(self, journal: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        rows.insert(1, b'{"dir":"client","event":{"type":"x"}}\n')
        assert replayed(b"".join(rows)).divergence is None

    def test_a_second_recording_in_it_is_told(self, journal: bytes) -> None:
        with pytest.raises(NotReplayable, match="another recording begins in line"):
            replayed(journal + journal)


class TestConfigurations:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda data: data.update(journal=2), "of form 2"),
            (lambda data: data.update(journal="1"), "of form '1'"),
            (lambda data: data.pop("journal"), "of form None"),
            (lambda data: data.update(exact=False), "audio was cut"),
            (lambda data: data.pop("exact"), "audio was cut"),
            (lambda data: data.update(role="judge"), "does not fit"),
            (lambda data: data.pop("role"), "does not fit"),
            (lambda data: data.update(at="noon"), "does not begin with the configuration"),
            (lambda data: data.update(at=None), "does not fit"),
            (lambda data: data.pop("config"), "does not fit"),
            (lambda data: data["config"]["session"].update(strict=7), "does not fit"),
            (lambda data: data.update(entropy="xyz"), "does not fit"),
            (lambda data: data.update(level="message"), None),
            (lambda data: data.update(entropy=None), "needs it"),
            (lambda data: data["config"].update(endpoint=None), "no engine can be made"),
        ],
    )
    def test_one_that_does_not_fit_is_told(
        self, journal: bytes, change: Callable[[Any], object], told: str | None
    ) -> None:
        tampered = changed(journal, "config", change, 0)
        if told is None:
            assert replayed(tampered).divergence is not None
        else:
            with pytest.raises(NotReplayable, match=told):
                replayed(tampered)

    def test_other_tables_are_only_told(self, journal: bytes) -> None:
        replay = replayed(changed(journal, "config", lambda data: data.update(tables="0123"), 0))
        assert not replay.birth.has_these_tables
        assert replay.divergence is None

    def test_what_was_recorded_under_other_tables_that_do_the_same_plays_the_same(
        self, journal: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("antiphon.engine.snapshot.DIGEST", "other tables")
        assert replayed(journal).divergence is None

    def test_a_name_that_this_version_does_not_know_changes_nothing(self, journal: bytes) -> None:
        assert replayed(changed(journal, "config", lambda data: data.update(more=1), 0)).divergence is None


class TestInputs:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda data: data.update(input={"in": "fly"}), "an input 'fly', which this version does not know"),
            (lambda data: data.update(input=5), "could not be written down whole"),
            (lambda data: data.update(exact=False), "could not be written down whole"),
            (lambda data: data.update(entropy="x"), "holds"),
            (lambda data: data.update(input={"in": "data_received", "frames": ["row"]}), "holds"),
            (lambda data: data.update(input={"in": "data_received", "frames": [5]}), "holds"),
            (lambda data: data.update(input={"in": "data_received", "frames": ["AA=="]}), "holds"),
            (lambda data: data.update(input={"in": "data_received", "other": 5}), "holds"),
            (lambda data: data.update(input={"in": "data_received", "head": "\u20ac"}), "holds"),
        ],
    )
    def test_one_that_does_not_fit_is_told(self, journal: bytes, change: Callable[[Any], object], told: str) -> None:
        with pytest.raises(NotReplayable, match=told):
            replayed(changed(journal, "input", change))

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data.update(input={"in": "message_received", "text": "{}"}),
            lambda data: data.update(input={"in": "close", "code": 1000, "reason": ""}),
            lambda data: data.update(input={"in": "send", "event": {"type": "x.y"}}),
            lambda data: data.update(entropy="00"),
            lambda data: data.update(refused="R-X"),
            lambda data: data.update(rows=-1),
        ],
    )
    def test_one_that_was_changed_is_a_divergence_at_its_line_or_later(
        self, journal: bytes, change: Callable[[Any], object]
    ) -> None:
        number = entries(journal)[-2].number
        divergence = replayed(changed(journal, "input", change)).divergence
        if change.__code__.co_consts[-1] == ("rows",):
            assert divergence is None  # no rows, however they are counted
            return
        assert divergence is not None
        assert divergence.line >= number

    def test_less_entropy_than_was_drawn_is_a_divergence(self, journal: bytes) -> None:
        drawn = [index for index, note in enumerate(notes(journal, "input")) if "entropy" in note][-1]
        for entropy in ("", "00" * 64):
            tampered = changed(journal, "input", lambda data, given=entropy: data.update(entropy=given), drawn)  # type: ignore[misc]  # a default
            assert replayed(tampered).divergence is not None

    def test_what_was_said_otherwise_is_told_by_type_and_size(self, journal: bytes) -> None:
        tampered = journal.replace(
            b'{"dir":"client","event":{"type":"response.create"', b'{"dir":"client","event":{"type":"x.y"', 1
        )
        divergence = replayed(tampered).divergence
        assert divergence is not None
        assert divergence.recorded.startswith("x.y (")
        assert divergence.replayed.startswith("response.create (")

    @pytest.mark.parametrize("event", [b"{}", b'{"type":5}', b'{"n":1e999}', b"{" * 1])
    def test_an_own_row_without_a_type_is_told_all_the_same(self, journal: bytes, event: bytes) -> None:
        rows = journal.splitlines(keepends=True)
        own = next(index for index, row in enumerate(rows) if row.startswith(b'{"dir":"client"'))
        rows[own] = b'{"dir":"client","event":' + event + b"}\n"
        try:
            divergence = replayed(b"".join(rows)).divergence
        except NotReplayable:
            return
        assert divergence is not None
        assert divergence.recorded.startswith("? (")

    def test_a_time_that_goes_back_is_no_time(self, journal: bytes) -> None:
        tampered = changed(journal, "input", lambda data: data.update(at=1))
        ats = [step.at for step in steps(tampered)]
        assert ats == sorted(ats)

    @pytest.mark.parametrize("at", [None, 1.5])
    def test_a_time_that_is_none_is_that_before_it(self, journal: bytes, at: object) -> None:
        before, step, _ = steps(changed(journal, "input", lambda data: data.update(at=at)))[-3:]
        assert step.at == before.at

    def test_a_message_without_a_time_is_played(self, journal: bytes) -> None:
        first = journal[: journal.index(b"\n") + 1]
        (step,) = steps(first + b'{"dir":"server","event":{"type":"x"}}\n')
        assert step.at == 5 * MS

    def test_rows_without_a_time_are_played(self) -> None:
        client, _ = pair()
        client.recorder.end()
        lines = client.lines.replace(b',"at":', b',"was":')
        rows = bytes(lines).splitlines(keepends=True)
        rows[0] = bytes(client.lines).splitlines(keepends=True)[0]
        assert {step.at for step in steps(b"".join(rows))} == {5 * MS}

    def test_a_message_without_a_time_comes_with_what_came_before_it(self, journal: bytes) -> None:
        first, last = journal.index(b"\n") + 1, journal.rindex(b"\n", 0, -1) + 1
        row = b'{"dir": "server", "event": {"type": "x.y"}}\n'
        before = steps(journal[:last])
        step = steps(journal[:last] + row)[-1]
        assert (step.at, step.number) == (before[-1].at, len(entries(journal)))
        assert steps(journal[:first] + row)[0].at == 5 * MS


def notes(journal: bytes, dir: str) -> list[dict[str, Any]]:
    return [dict(entry.data) for entry in entries(journal) if isinstance(entry, Note) and entry.dir == dir]


class TestDigests:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda data: data.update(actions=1), "1 actions"),
            (lambda data: data.update(blake2b="00"), "actions of digest 00"),
            (lambda data: data.update(state="00"), "a state of digest 00"),
        ],
    )
    def test_one_that_is_not_met_is_a_divergence(
        self, journal: bytes, change: Callable[[Any], object], told: str
    ) -> None:
        divergence = replayed(changed(journal, "digest", change)).divergence
        assert divergence is not None
        assert divergence.recorded == told
        assert divergence.line == len(entries(journal))

    @pytest.mark.parametrize("change", [lambda data: data.pop("blake2b"), lambda data: data.update(actions="x")])
    def test_one_that_cannot_be_read_is_told(self, journal: bytes, change: Callable[[Any], object]) -> None:
        with pytest.raises(NotReplayable, match="a digest that cannot be read"):
            replayed(changed(journal, "digest", change))

    def test_nothing_is_compared_after_a_divergence(self, journal: bytes) -> None:
        tampered = changed(journal, "input", lambda data: data.update(refused="R-X"), 3)
        read = Steps(entries(tampered))
        replay = Replay(read.birth)
        told = []
        for step in read:
            replay.play(step)
            told.append(replay.divergence)
            assert isinstance(step, Step | Digest)
        assert len({divergence for divergence in told if divergence is not None}) == 1
        assert replay.checked == 0


class TestPace:
    def test_recorded_pauses_are_kept(self) -> None:
        pace = Pace(1000, speed=1.0)
        assert [pace.due(at) for at in (50, 60, 90)] == [1000, 1010, 1040]

    def test_they_are_divided_by_the_speed(self) -> None:
        pace = Pace(0, speed=2.0)
        assert [pace.due(at) for at in (0, 100)] == [0, 50]

    def test_without_a_speed_everything_is_due(self) -> None:
        pace = Pace(7, speed=None)
        assert [pace.due(at) for at in (0, 100)] == [7, 7]

    def test_the_beginning_can_be_told(self) -> None:
        assert Pace(0, begin=10).due(30) == 20

    def test_what_has_no_time_comes_with_its_forerunner(self) -> None:
        pace = Pace(0)
        assert [pace.due(at) for at in (0, 5, None, 9)] == [0, 5, 5, 9]

    def test_a_time_that_goes_back_is_due_at_once(self) -> None:
        pace = Pace(0)
        assert [pace.due(at) for at in (10, 50, 20)] == [0, 40, 40]

    def test_it_can_be_resumed_with_another_speed(self) -> None:
        pace = Pace(0)
        pace.due(0)
        pace.resume(1000, 500, speed=10.0)
        assert pace.due(600) == 1010

    @pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
    def test_a_speed_is_above_zero(self, speed: float) -> None:
        with pytest.raises(ValueError, match="above 0"):
            Pace(0, speed=speed)
        with pytest.raises(ValueError, match="above 0"):
            Pace(0).resume(0, 0, speed=speed)


def test_a_server_replays_too() -> None:
    server = Tape("server")
    server.do(inputs.Opened())
    server.hear(written(Tape("client").do(inputs.Opened())))
    server.do(inputs.Accept())
    server.do(inputs.SpeechStarted(5))
    server.recorder.end()
    assert any(isinstance(entry, Row) for entry in entries(server.lines))
    assert replayed(server.lines).divergence is None
