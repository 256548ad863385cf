"""`antiphon replay`: what it tells, what it ends with, and the server that it can be."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from antiphon_cli.__main__ import main
from shared_data import ABSENT, SHARED

from .conftest import COMMAND, SECONDS, Ran

TRACES = Path(__file__).resolve().parents[1] / "traces"
JOURNAL = TRACES / "recorded" / "barge_in_and_reconnect.jsonl"
TRAFFIC = SHARED / "traffic"

Run = Callable[..., Ran]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, without pauses."""

    def replay(*arguments: str, speed: str = "max") -> Ran:
        try:
            code = main(["replay", "--speed", speed, *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return replay


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `antiphon replay`; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "replay", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONUTF8": "1"},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate(timeout=SECONDS)


def tampered(tmp_path: Path, change: Callable[[list[bytes]], object]) -> str:
    """A copy of the journal with changed lines."""
    lines = JOURNAL.read_bytes().splitlines(keepends=True)
    change(lines)
    path = tmp_path / "tampered.jsonl"
    path.write_bytes(b"".join(lines))
    return str(path)


def own(lines: list[bytes]) -> int:
    """The first line that the recorded client said."""
    return next(index for index, line in enumerate(lines) if line.startswith(b'{"dir":"client"'))


class TestExact:
    def test_the_same_is_told_to_be_the_same(self, run: Run) -> None:
        ran = run(str(JOURNAL))
        assert (ran.code, ran.err) == (0, "")
        assert re.search(r"^replayed 2\d inputs, \d+ actions: the same as recorded$", ran.out, re.MULTILINE)
        assert "<- session.created" in ran.out
        assert "-> conversation.item.truncate" in ran.out
        assert "disconnected: socket 1" in ran.out

    def test_something_else_is_told_with_its_line(self, run: Run, tmp_path: Path) -> None:
        def change(lines: list[bytes]) -> None:
            lines[own(lines)] = lines[own(lines)].replace(b"input_audio_buffer.append", b"input_audio_buffer.commit")

        ran = run(tampered(tmp_path, change))
        assert ran.code == 1
        line = own(JOURNAL.read_bytes().splitlines())
        assert f": differs at line {line}\n  recorded  input_audio_buffer.commit" in ran.out

    def test_other_tables_are_told_beside_a_difference(self, run: Run, tmp_path: Path) -> None:
        def change(lines: list[bytes]) -> None:
            lines[0] = re.sub(rb'"tables":"\w+"', b'"tables":"0"', lines[0])
            lines[-1] = lines[-1].replace(b'"actions":', b'"actions":1')

        ran = run(tampered(tmp_path, change))
        assert ran.code == 1
        assert "recorded with other tables" in ran.out

    def test_a_journal_that_was_cut_short_is_the_same_as_far_as_it_goes(self, run: Run, tmp_path: Path) -> None:
        def change(lines: list[bytes]) -> None:
            del lines[-3:]
            lines[-1] = lines[-1][:-9]

        ran = run(tampered(tmp_path, change))
        assert ran.code == 0
        assert "the same messages as recorded; it has no digest" in ran.out
        assert "is cut short and was passed over" in ran.out

    def test_a_journal_that_breaks_in_the_middle_is_told_and_unreadable(self, run: Run, tmp_path: Path) -> None:
        ran = run(tampered(tmp_path, lambda lines: lines.insert(own(lines), b"noise\n")))
        assert ran.code == 2
        assert "until line" in ran.out
        assert "Traceback" not in ran.err

    def test_noise_between_its_groups_is_noted(self, run: Run, tmp_path: Path) -> None:
        ran = run(tampered(tmp_path, lambda lines: lines.insert(1, b"noise\n")))
        assert ran.code == 0
        assert "note: line 2 is no JSON" in ran.out

    def test_a_configuration_that_makes_no_engine_is_played_through_the_rules(self, run: Run, tmp_path: Path) -> None:
        def change(lines: list[bytes]) -> None:
            lines[0] = re.sub(rb'"endpoint":\{.*?\},"session"', b'"endpoint":null,"session"', lines[0])

        ran = run(tampered(tmp_path, change))
        assert (ran.code, ran.err) == (0, "")
        assert "not compared with the recorded engine: no engine can be made" in ran.out

    def test_as_json_it_is_one_document(self, run: Run) -> None:
        told = json.loads(run(str(JOURNAL), "--json").out)
        assert (told["compared"], told["same"], told["divergence"], told["exit_code"]) == (True, True, None, 0)
        assert told["recorded_with_these_tables"] in (True, False)

    def test_a_difference_in_json_has_its_line(self, run: Run, tmp_path: Path) -> None:
        def change(lines: list[bytes]) -> None:
            lines[-1] = lines[-1].replace(b'"actions":', b'"actions":1')

        told = json.loads(run(tampered(tmp_path, change), "--json").out)
        assert told["same"] is False
        assert told["divergence"]["line"] == len(JOURNAL.read_bytes().splitlines())
        assert told["exit_code"] == 1


class TestForeign:
    @pytest.mark.parametrize("trace", sorted(TRACES.glob("*.jsonl")), ids=lambda path: path.stem)
    def test_a_recording_without_its_engine_is_played_through_the_rules(self, run: Run, trace: Path) -> None:
        ran = run(str(trace))
        assert ran.code == 0
        assert "not compared with the recorded engine" in ran.out
        assert ran.out.endswith("rules broken: 0\n")

    def test_the_rules_that_it_breaks_are_told(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "twice.jsonl"
        path.write_text('{"dir":"server","event":{"type":"session.created","session":{"type":"realtime"}}}\n' * 2)
        ran = run(str(path))
        assert ran.code == 1
        assert "line 2  server session.created  R-S1" in ran.out
        assert json.loads(run(str(path), "--json").out)["violations"][0]["line"] == 2

    def test_recordings_of_real_servers_are_played(self, run: Run) -> None:
        recordings = sorted(TRAFFIC.rglob("*.jsonl"))[:3]
        if not recordings:
            pytest.skip(ABSENT)
        for recording in recordings:
            assert run(str(recording)).code in (0, 1)

    def test_of_many_lines_that_cannot_be_read_the_first_are_told_and_the_others_counted(
        self, run: Run, tmp_path: Path
    ) -> None:
        path = tmp_path / "noisy.jsonl"
        path.write_text('{"dir":"server","event":{"type":"a"}}\n' + "noise\n" * 1000)
        notes = [line for line in run(str(path)).out.splitlines() if line.startswith("note: ")]
        assert len(notes) == 6
        assert notes[0].startswith("note: line 2 is no JSON")
        assert notes[-1] == "note: 995 rows more could not be read"

    def test_only_so_much_is_held_of_a_long_one(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "long.jsonl"
        event = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "A" * 60_000}
        with path.open("w") as file:
            file.write('{"dir":"server","event":{"type":"session.created","session":{"type":"realtime"}}}\n')
            for number in range(400):
                file.write(json.dumps({"dir": "server", "event": {**event, "event_id": f"e{number}"}}) + "\n")
        assert path.stat().st_size > 20_000_000
        tracemalloc.start()
        run(str(path))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 8_000_000


class TestPlaces:
    def test_the_part_before_is_lived_through_and_not_told(self, run: Run) -> None:
        ran = run(str(JOURNAL), "--from", "0.1")
        assert ran.code == 0
        assert "socket 2" in ran.out
        assert "socket 1," not in ran.out
        assert "the same as recorded" in ran.out

    def test_it_ends_at_the_place_that_was_named(self, run: Run) -> None:
        ran = run(str(JOURNAL), "--until", "0.1")
        assert ran.code == 0
        assert "socket 2" not in ran.out
        assert "no digest of the rest before this place" in ran.out

    def test_a_place_behind_the_end_tells_so_and_the_verdict(self, run: Run) -> None:
        ran = run(str(JOURNAL), "--from", "1e9")
        assert re.match(r"note: nothing was shown from 1e\+09 s on: the recording ends at \d\.\d{3} s\n", ran.out)
        assert ran.out.count("\n") == 2
        assert run(str(TRACES / "text_turn.jsonl"), "--from", "1e9").code == 0

    def test_a_place_in_a_recording_without_times_is_told_to_be_nowhere(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "untimed.jsonl"
        path.write_text('{"dir":"server","event":{"type":"session.created","session":{"type":"realtime"}}}\n')
        assert run(str(path), "--from", "1").out.startswith("note: nothing was shown from 1 s on: no row has a time\n")

    def test_a_clock_may_begin_before_zero(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "early.jsonl"
        path.write_text("".join(f'{{"dir":"server","event":{{"type":"a"}},"at":{at}}}\n' for at in (-5e9, 1e9)))
        assert "\n    6.000  <- a\n" in run(str(path)).out

    def test_at_its_own_pace_it_takes_its_time(self, run: Run) -> None:
        before = time.monotonic()
        assert run(str(JOURNAL), speed="1").code == 0
        assert time.monotonic() - before > 0.3

    def test_a_time_that_nobody_lives_to_see_is_no_line(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "far.jsonl"
        event = '"event":{"type":"session.created","session":{"type":"realtime"}}'
        path.write_text(f'{{"dir":"server",{event},"at":0}}\n{{"dir":"server",{event},"at":1e300}}\n')
        ran = run(str(path), speed="1")
        assert ran.code == 0
        assert '"at" is no time' in ran.out


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("--speed", "0"),
            ("--speed", "nan"),
            ("--speed", "inf"),
            ("--speed", "-1"),
            ("--speed", "1e-300"),
            ("--speed", "fast"),
            ("--from", "-1"),
            ("--until", "x"),
            ("--until", "inf"),
            ("--port", "70000"),
            ("--port", "-1"),
            ("--port", "x"),
            ("--fly",),
        ],
    )
    def test_a_wrong_flag_is_one_line_and_2(self, run: Run, arguments: tuple[str, ...]) -> None:
        ran = run(str(JOURNAL), *arguments)
        assert ran.code == 2
        assert ran.out == ""
        assert ran.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--serve", "--from", "1"), "--from does not go with --serve"),
            (("--serve", "--until", "1"), "--until does not go with --serve"),
            (("--serve", "--step"), "--step does not go with --serve"),
            (("--serve", "--json"), "--json does not go with --serve"),
            (("--host", "127.0.0.1"), "--host goes with --serve"),
            (("--port", "8765"), "--port goes with --serve"),
            (("--from", "5", "--until", "3"), "--until 3 is before --from 5"),
        ],
    )
    def test_what_would_be_ignored_is_refused(self, run: Run, arguments: tuple[str, ...], said: str) -> None:
        ran = run(str(JOURNAL), *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"antiphon replay: {said}")
        assert ran.err.count("\n") == 1

    def test_a_host_that_nobody_knows_is_named(self, run: Run) -> None:
        ran = run(str(JOURNAL), "--serve", "--host", "no.such.host.invalid")
        assert ran.code == 3
        assert ran.err.startswith("antiphon replay: no.such.host.invalid:8765: cannot listen there: ")
        assert "Errno" not in ran.err

    @pytest.mark.parametrize("arguments", [(), ("--json",), ("--serve",)])
    def test_what_cannot_be_read_is_one_line_and_2(self, run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        empty = tmp_path / "empty.jsonl"
        empty.write_text("no journal\n")
        for path in (tmp_path / "absent.jsonl", tmp_path, empty):
            ran = run(str(path), *arguments)
            assert ran.code == 2
            assert ran.out == ""
            assert ran.err.count("\n") == 1
            assert ran.err.startswith("antiphon replay: ")


class TestWatching:
    def test_each_event_waits_for_a_key(self, start: Start) -> None:
        process = start(str(JOURNAL), "--step", stdin=subprocess.PIPE)
        out, err = process.communicate("\n\n\n", timeout=SECONDS)
        assert (process.returncode, err) == (0, "")
        assert len(re.findall("<-|->", out)) == 3
        assert "no digest of the rest before this place" in out

    @pytest.mark.parametrize("recording", [JOURNAL, TRACES / "text_turn.jsonl"])
    def test_without_a_keyboard_nothing_is_shown_and_why_is_told(self, start: Start, recording: Path) -> None:
        process = start(str(recording), "--step")
        out, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err) == (0, "")
        assert "note: stdin ended, from which --step reads a line for each event\n" in out
        assert "<-" not in out

    def test_a_keyboard_that_was_closed_is_none(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", None)
        ran = run(str(JOURNAL), "--step")
        assert (ran.code, ran.err) == (0, "")
        assert "note: stdin ended" in ran.out

    @pytest.mark.parametrize("recording", [JOURNAL, TRACES / "text_turn.jsonl"])
    def test_a_pipe_is_played_like_its_file(self, start: Start, recording: Path) -> None:
        shown = []
        for path, stdin in ((str(recording), None), ("/dev/stdin", recording.read_text())):
            process = start(path, "--speed", "max", stdin=subprocess.PIPE)
            shown.append(process.communicate(stdin, timeout=SECONDS))
            assert process.returncode == 0
        assert shown[0] == shown[1]

    def test_a_key_that_is_interrupted_ends_it(self, start: Start) -> None:
        process = start(str(JOURNAL), "--step", stdin=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err) == (130, "")

    def test_a_pause_that_is_interrupted_ends_it(self, start: Start) -> None:
        process = start(str(JOURNAL), "--speed", "0.001")
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
        assert (process.returncode, err) == (130, "")

    def test_a_reader_that_goes_is_no_error(self, start: Start) -> None:
        process = start(str(JOURNAL), "--speed", "max")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def url_of(process: subprocess.Popen[str]) -> str:
    """The URL in the first line."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"listening on (ws://127\.0\.0\.1:[1-9]\d*/v1/realtime)\n", line)
    assert found is not None, line
    return found[1]


def ended(process: subprocess.Popen[str]) -> Ran:
    """Interrupt it, and wait for its end."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    return Ran(process.returncode, out, err)


@pytest.fixture
def text_turn(tmp_path: Path) -> str:
    """A recording of one answered request."""
    response = {"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []}
    user = {"id": "item_u", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    item = {"id": "item_a", "type": "message", "role": "assistant", "status": "completed"}
    said = {**item, "content": [{"type": "output_text", "text": "hello"}]}
    place = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
    done = {**response, "status": "completed", "output": [said]}
    session = {"type": "realtime", "id": "sess_1", "object": "realtime.session", "output_modalities": ["text"]}
    lines: list[tuple[str, dict[str, Any]]] = [
        ("server", {"type": "session.created", "session": session}),
        ("client", {"type": "conversation.item.create", "event_id": "c1", "item": user}),
        ("server", {"type": "conversation.item.added", "previous_item_id": None, "item": user}),
        ("server", {"type": "conversation.item.done", "previous_item_id": None, "item": user}),
        ("client", {"type": "response.create", "event_id": "c2"}),
        ("server", {"type": "response.created", "response": response}),
        (
            "server",
            {
                "type": "response.output_item.added",
                "response_id": "resp_1",
                "output_index": 0,
                "item": {**item, "status": "in_progress", "content": []},
            },
        ),
        (
            "server",
            {
                "type": "conversation.item.added",
                "previous_item_id": "item_u",
                "item": {**item, "status": "in_progress", "content": []},
            },
        ),
        ("server", {"type": "response.content_part.added", **place, "part": {"type": "text", "text": ""}}),
        ("server", {"type": "response.output_text.delta", **place, "delta": "hello"}),
        ("server", {"type": "response.output_text.done", **place, "text": "hello"}),
        ("server", {"type": "response.content_part.done", **place, "part": {"type": "text", "text": "hello"}}),
        ("server", {"type": "conversation.item.done", "previous_item_id": "item_u", "item": said}),
        ("server", {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0, "item": said}),
        ("server", {"type": "response.done", "response": done}),
    ]
    path = tmp_path / "turn.jsonl"
    with path.open("w") as file:
        for number, (dir, event) in enumerate(lines):
            row = {"dir": dir, "event": {"event_id": f"s{number}", **event}, "at": number * 1_000_000}
            file.write(json.dumps(row) + "\n")
    return str(path)


class TestServing:
    def test_its_first_line_is_its_address_and_an_interrupt_ends_it(self, start: Start, text_turn: str) -> None:
        process = start(text_turn, "--serve", "--port", "0")
        url_of(process)
        ran = ended(process)
        assert (ran.code, ran.err) == (0, "")

    def test_what_talk_recorded_is_a_server_to_talk(
        self, start: Start, antiphon: Run, serving: Callable[..., str]
    ) -> None:
        recorded = antiphon("talk", serving("parrot"), "--text", "hello there", "--record", "first.jsonl")
        assert recorded.code == 0, recorded
        process = start("first.jsonl", "--serve", "--port", "0")
        again = antiphon("talk", url_of(process), "--text", "hello there", "--record", "second.jsonl")
        assert again == recorded
        assert ended(process).err == ""
        assert antiphon("check", "first.jsonl", "second.jsonl").code == 0
        assert antiphon("replay", "second.jsonl", "--speed", "max").code == 0

    def test_names_are_those_of_the_client(self, start: Start, text_turn: str) -> None:
        process = start(text_turn, "--serve", "--port", "0", "--speed", "max")
        url = url_of(process)

        async def talk() -> list[Any]:
            async with connect(url) as client:
                item = {"id": "mine", "type": "message", "role": "user", "content": []}
                create = {"type": "conversation.item.create", "event_id": "x", "item": item}
                await client.send(json.dumps(create))
                await client.send(json.dumps({"type": "response.create", "response": {"metadata": {"a": "b"}}}))
                events = []
                while not events or events[-1]["type"] != "response.done":
                    events.append(json.loads(await client.recv()))
                return events

        events = asyncio.run(talk())
        assert [event["type"] for event in events][:3] == [
            "session.created",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert events[1]["item"]["id"] == "mine"
        assert events[-1]["response"]["metadata"] == {"a": "b"}
        assert ended(process).err == ""

    def test_openai_python_is_answered(self, start: Start, text_turn: str) -> None:
        openai = pytest.importorskip("openai")
        process = start(text_turn, "--serve", "--port", "0", "--speed", "max")
        url = url_of(process).removesuffix("/realtime")

        async def talk() -> list[Any]:
            client = openai.AsyncOpenAI(api_key="k", websocket_base_url=url)
            async with client, client.realtime.connect(model="m") as connection:
                item = {"id": "mine", "type": "message", "role": "user", "content": []}
                await connection.conversation.item.create(item=item)
                await connection.response.create()
                events = []
                async for event in connection:
                    events.append(event)
                    if event.type == "response.done":
                        return events
            return events

        events = asyncio.run(talk())
        assert events[1].item.id == "mine"
        assert events[-1].response.output[0].content[0].text == "hello"

    def test_a_client_that_leaves_early_or_asks_for_more_is_told(self, start: Start, text_turn: str) -> None:
        process = start(text_turn, "--serve", "--port", "0", "--speed", "max")
        url = url_of(process)

        async def leave(*commands: str) -> None:
            async with connect(url) as client:
                await client.recv()
                for command in commands:
                    await client.send(json.dumps({"type": command}))

        async def both() -> None:
            await leave("input_audio_buffer.clear", "input_audio_buffer.clear")
            await leave()

        asyncio.run(both())
        assert process.stderr is not None
        told = [process.stderr.readline() for _ in range(3)]
        waits = "antiphon replay: the client left while the recording waits for its conversation.item.create\n"
        assert told == [waits, "antiphon replay: 2× input_audio_buffer.clear is not in the recording\n", waits]
        assert ended(process).code == 0

    def test_each_connection_gets_the_next_socket_and_a_lost_one_is_lost_again(self, start: Start) -> None:
        process = start(str(JOURNAL), "--serve", "--port", "0", "--speed", "max")
        url = url_of(process)

        async def listen(last: str | None) -> list[str]:
            async with connect(url) as client:
                await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": ""}))
                await client.send(json.dumps({"type": "conversation.item.create", "item": {"type": "message"}}))
                await client.send(json.dumps({"type": "conversation.item.create", "item": {"type": "message"}}))
                await client.send(json.dumps({"type": "response.create"}))
                await client.send(json.dumps({"type": "conversation.item.truncate"}))
                types = []
                async for message in client:
                    types.append(json.loads(message)["type"])
                    if types[-1] == last:
                        break
                return types

        first, second = asyncio.run(listen(None)), asyncio.run(listen("response.done"))
        assert "conversation.item.truncated" in first
        assert "conversation.item.truncated" not in second
        assert second[-1] == "response.done"

    def test_a_port_that_is_taken_is_3(self, start: Start, text_turn: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            process = start(text_turn, "--serve", "--port", str(taken.getsockname()[1]))
            _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 3
        assert "cannot listen there" in err
        assert err.count("\n") == 1
