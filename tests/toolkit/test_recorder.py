"""What a recorder writes, when, and what happens when it cannot."""

from __future__ import annotations

import base64
from random import Random
from typing import Any

import msgspec
import pytest

from antiphon import Connection, LocalProtocolError, Role, Session, SessionConfig, inputs
from antiphon import messages as m
from antiphon.toolkit import recorder as recorder_module
from antiphon.toolkit.fingerprint import Fingerprint
from antiphon.toolkit.journal import Note, Row
from antiphon.toolkit.recorder import Audio, Journal, Recorder
from antiphon.toolkit.replay import NotReplayable
from toolkit.journal_helpers import MS, Tape, entries, pair, pass_on, replayed, same, written

CREATED = '{"type":"session.created","event_id":"e","session":{"type":"realtime","id":"sess_1"}}'


class Notebook:
    """A recorded engine at the level of messages, and what was written."""

    def __init__(self, role: Role = Role.CLIENT, *, named: bool = True, audio: Audio = "keep", **config: Any) -> None:
        self.lines = bytearray()
        self.written: list[bytes] = []
        self.faults: list[Exception] = []
        self.closed = 0
        self.recorder = Recorder(Journal(self.write, close=self.close, failed=self.faults.append, audio=audio))
        entropy = self.recorder.drawing(Random(1).randbytes) if named else None
        self.engine = Session(role, SessionConfig(**config), now=0, entropy=entropy)
        self.recorder.begin(self.engine, 0)

    def write(self, lines: bytes) -> None:
        self.written.append(lines)
        self.lines += lines

    def close(self) -> None:
        self.closed += 1

    def do(self, *given: inputs.Input) -> None:
        for input in given:
            self.recorder.handle(input, 0)

    def same(self) -> None:
        self.recorder.end()
        replay = replayed(self.lines)
        assert replay.divergence is None, replay.divergence
        assert replay.checked >= 1


class TestRows:
    def test_the_first_row_is_the_configuration(self) -> None:
        notes = Notebook(strict=True)
        (note,) = entries(notes.lines)
        assert note.dir == "config"
        assert note.data["journal"] == 1
        assert note.data["role"] == "client"
        assert note.data["level"] == "message"
        assert note.data["config"]["strict"] is True

    def test_a_message_without_a_consequence_is_its_row_alone(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened())
        notes.do(inputs.MessageReceived('{"type":"x.y"}'))
        assert notes.written[-1] == b'{"dir":"server","event":{"type":"x.y"},"at":0}\n'
        notes.same()

    def test_an_input_and_what_it_led_to_are_written_at_once(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened(), inputs.MessageReceived(CREATED), inputs.Send(m.ResponseCreate()))
        note, row = entries(notes.written[-1])
        assert isinstance(note, Note)
        assert note.data["rows"] == 1
        assert note.data["input"] == {"in": "send", "event": {"type": "response.create"}}
        assert isinstance(row, Row)
        assert row.dir == "client"
        assert bytes.fromhex(note.data["entropy"])  # type: ignore[arg-type]  # it is text
        notes.same()

    def test_a_refused_command_is_recorded_with_the_rule(self) -> None:
        notes = Notebook()
        with pytest.raises(LocalProtocolError) as raised:
            notes.do(inputs.Send(m.ResponseCancel(response_id="none")))
        (note,) = entries(notes.written[-1])
        assert note.data["refused"] == raised.value.rule
        notes.same()

    def test_an_engine_without_entropy_is_recorded_as_one(self) -> None:
        notes = Notebook(named=False)
        notes.do(inputs.Opened(), inputs.MessageReceived(CREATED), inputs.Send(m.ResponseCreate()))
        assert entries(notes.lines)[0].data["entropy"] is None
        notes.same()

    def test_a_message_with_a_consequence_is_written_with_it(self) -> None:
        notes = Notebook(Role.SERVER)
        notes.do(inputs.Opened(), inputs.MessageReceived('{"type":"input_audio_buffer.clear"}'))
        note, brought, own = entries(notes.written[-1])
        assert note.data["input"] == {"in": "message_received", "text": "row"}
        assert (brought.dir, own.dir) == ("client", "server")
        notes.same()

    def test_an_event_that_does_not_read_back_as_it_was_is_told_to_be_lost(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened(), inputs.MessageReceived(CREATED))
        notes.do(inputs.Send(m.UnknownEvent.of({"type": "response.create", "response": {}})))
        notes.recorder.end()
        with pytest.raises(NotReplayable, match="could not be written down whole"):
            replayed(notes.lines)

    def test_what_was_drawn_at_birth_stands_in_the_configuration(self) -> None:
        lines = bytearray()
        recorder = Recorder(Journal(lines.extend))
        draw = recorder.drawing(lambda count: b"\x07" * count)
        draw(3)
        recorder.begin(Session(Role.CLIENT, SessionConfig(), now=0, entropy=draw), 0)
        assert entries(lines)[0].data["entropy"] == "070707"
        assert replayed(lines).divergence is not None  # this engine draws none

    def test_a_digest_is_written_now_and_then(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened())
        notes.do(*(inputs.MessageReceived('{"type":"x.y"}') for _ in range(600)))
        digests = [entry for entry in entries(notes.lines) if isinstance(entry, Note) and entry.dir == "digest"]
        assert [entry.data["inputs"] for entry in digests] == [256, 512]
        notes.same()

    def test_a_message_that_is_no_event_is_written_as_text(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened(), inputs.MessageReceived("[1]"), inputs.MessageReceived(b"\xff"))
        notes.do(inputs.MessageReceived("\ud800"), inputs.MessageReceived(memoryview(b"{}")))
        notes.same()

    def test_a_message_in_several_lines_is_one_row(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened(), inputs.MessageReceived('{\n"type":"x.y"\n}'))
        assert b'{ "type":"x.y" }' in notes.written[-1]
        notes.same()

    def test_what_cannot_be_written_whole_is_told_to_be_so(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened())
        notes.do(inputs.EofReceived(1006, "\ud800"))
        assert notes.closed == 1
        with pytest.raises(NotReplayable, match="could not be written down whole"):
            replayed(notes.lines)

    def test_an_event_that_is_another_when_it_is_read_back_is_told_to_be_so(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened(), inputs.Send(m.UnknownEvent.of({"type": "x.y", "n": float("nan")})))
        (note,) = [entry for entry in entries(notes.written[-1]) if isinstance(entry, Note)]
        assert note.data["exact"] is False
        notes.recorder.end()
        with pytest.raises(NotReplayable, match="could not be written down whole"):
            replayed(notes.lines)

    def test_what_was_drawn_while_the_engine_was_made_stands_in_the_first_row(self) -> None:
        lines = bytearray()
        recorder = Recorder(Journal(lines.extend))
        draw = recorder.drawing(Random(1).randbytes)
        drawn = draw(3)
        recorder.begin(Session(Role.CLIENT, SessionConfig(), now=0, entropy=draw), 0)
        assert entries(lines)[0].data["entropy"] == drawn.hex()

    def test_a_message_that_led_to_something_replays_from_its_row(self) -> None:
        notes = Notebook(Role.SERVER)
        notes.do(inputs.Opened(), inputs.MessageReceived('{"type":"session.update","session":{"type":"realtime"}}'))
        note, heard, said = entries(notes.written[-1])
        assert note.data["input"] == {"in": "message_received", "text": "row"}
        assert (heard.dir, said.dir) == ("client", "server")
        notes.same()

    def test_what_cannot_be_written_and_was_refused_is_left_out(self) -> None:
        notes = Notebook()
        before = bytes(notes.lines)
        with pytest.raises(LocalProtocolError):
            notes.do(inputs.Send(m.ResponseCancel(response_id="\ud800")))
        assert notes.lines == before
        notes.same()

    def test_a_refused_event_that_is_another_when_it_is_read_back_is_left_out(self) -> None:
        notes = Notebook()
        before = bytes(notes.lines)
        with pytest.raises(LocalProtocolError):
            notes.do(inputs.Send(m.SessionUpdate(session=m.RealtimeSession(temperature=float("nan")))))
        assert notes.lines == before
        notes.same()

    def test_an_error_that_is_no_refusal_is_told_to_be_lost(self) -> None:
        notes = Notebook()
        with pytest.raises(TypeError):
            notes.do(inputs.DataReceived(b"x"))
        notes.recorder.end()
        with pytest.raises(NotReplayable, match="could not be written down whole"):
            replayed(notes.lines)

    def test_the_end_of_the_engine_is_the_end_of_the_journal(self) -> None:
        notes = Notebook()
        notes.do(inputs.Opened(), inputs.EofReceived())
        assert notes.recorder.ended
        assert notes.closed == 1
        before = bytes(notes.lines)
        notes.do(inputs.Tick())
        notes.recorder.end()
        assert (notes.lines, notes.closed) == (before, 1)
        notes.same()

    def test_a_key_that_an_error_repeats_is_not_written_and_the_same_happens_again(self) -> None:
        notes = Notebook()
        error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "Incorrect API key: sk-KEY"}
        notes.do(inputs.Opened(), inputs.MessageReceived(CREATED), inputs.Send(m.ResponseCreate(event_id="c1")))
        for event_id in ("c1", None):
            told = {"type": "error", "event_id": "e", "error": {**error, "event_id": event_id}}
            notes.do(inputs.MessageReceived(msgspec.json.encode(told)))
        assert b"sk-KEY" not in notes.lines
        notes.same()


class TestAudio:
    def talked(self, audio: Audio) -> tuple[Tape, Tape]:
        client, server = Tape("client", audio=audio), Tape("server", audio=audio)
        request = written(client.do(inputs.Opened()))
        server.do(inputs.Opened())
        server.hear(request)
        pass_on(written(server.do(inputs.Accept())), client, server)
        pass_on(written(client.do(inputs.AppendAudio(b"\x01\x02" * 600))), server, client)
        content: list[m.Content] = [m.InputAudio(audio=base64.b64encode(b"\x01\x02" * 600).decode())]
        create = m.ConversationItemCreate(item=m.MessageItem(role="user", content=content))
        pass_on(written(client.do(inputs.Send(create))), server, client)
        client.hear(b"\x82\x06\x01\x02\x01\x02\x01\x02")  # a binary message
        client.hear(b'\x81\x23{"delta":"AQIBAgECAQIBAgECAQIBAgEC"')  # none of JSON
        for tape in (client, server):
            tape.recorder.end()
        return client, server

    def test_it_is_kept_unless_the_journal_says_otherwise(self) -> None:
        client, server = self.talked("keep")
        assert b"AQIBAgEC" in client.lines
        same(client, server)

    def test_a_journal_without_it_holds_none_and_says_so(self) -> None:
        for tape in self.talked("cut"):
            assert b"AQIB" not in tape.lines
            assert b"\x01\x02\x01\x02" not in b"".join(decoded(tape.lines))
            assert any(isinstance(entry, Note) and entry.says_audio_was_cut for entry in entries(tape.lines))
            assert all(isinstance(entry, Row | Note) for entry in entries(tape.lines))

    def test_a_journal_without_it_cannot_be_played_exactly(self) -> None:
        for tape in self.talked("cut"):
            with pytest.raises(NotReplayable, match="audio was cut"):
                replayed(tape.lines)

    def test_it_is_cut_from_what_had_waited_for_the_journal(self) -> None:
        server = Tape("server", attached=False)
        server.do(inputs.Opened())
        server.hear(written(Tape("client").do(inputs.Opened())))
        server.do(inputs.Accept())
        server.do(inputs.EventReceived(m.InputAudioBufferAppend(audio="AQIBAgEC")))
        server.recorder.attach(server.journal("cut"))
        assert b"input_audio_buffer.append" in server.lines
        assert b"AQIB" not in server.lines


def decoded(lines: bytes | bytearray) -> list[bytes]:
    """Everything in the lines that reads as base64."""
    found = []
    for line in bytes(lines).splitlines():
        for text in texts(msgspec.json.decode(line)):
            try:
                found.append(base64.b64decode(text, validate=True))
            except ValueError:
                continue
    return found


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


class TestLateJournals:
    def test_what_had_happened_before_it_is_in_it(self) -> None:
        early, late = Tape("server"), Tape("server", attached=False)
        request = written(Tape("client").do(inputs.Opened()))
        for tape in (early, late):
            tape.do(inputs.Opened())
            tape.hear(request)
        assert late.lines == b""
        late.recorder.attach(late.journal())
        for tape in (early, late):
            tape.do(inputs.Accept())
        assert early.lines == late.lines
        same(late)

    def test_nobody_who_declines_is_recorded(self) -> None:
        server = Tape("server", attached=False)
        server.do(inputs.Opened())
        server.recorder.end()
        server.hear(written(Tape("client").do(inputs.Opened())))
        assert b" 101 " in written(server.do(inputs.Accept()))
        assert server.lines == b""
        assert server.recorder.ended

    def test_nothing_is_kept_for_a_recording_that_was_declined(self) -> None:
        recorder = Recorder()
        draw = recorder.drawing(bytes)
        Session(Role.CLIENT, SessionConfig(), now=0, entropy=draw)
        recorder.end()
        for _ in range(100):
            assert draw(1000) == bytes(1000)
        assert len(recorder._drawn) < 1000

    def test_a_journal_that_comes_after_the_end_holds_it_all_and_is_closed(self) -> None:
        server = Tape("server", attached=False)
        server.do(inputs.Opened())
        server.do(inputs.EofReceived())
        assert server.recorder.ended
        server.recorder.attach(server.journal())
        assert server.closed == 1
        same(server)

    def test_one_that_fails_at_once_is_closed_once(self) -> None:
        closed: list[int] = []
        server = Tape("server", attached=False)
        server.do(inputs.Opened())
        server.recorder.attach(Journal(full, close=lambda: closed.append(1), failed=server.faults.append))
        assert len(server.faults) == len(closed) == 1


def full(lines: bytes) -> None:
    raise OSError("disk full")


class Disk:
    """A disk with room for so many writes."""

    def __init__(self, room: int) -> None:
        self.lines = bytearray()
        self.room = room
        self.writes = 0
        self.told: list[str] = []

    def journal(self) -> Journal:
        return Journal(self.write, close=lambda: self.told.append("closed"), failed=self.failed)

    def write(self, lines: bytes) -> None:
        self.writes += 1
        if self.writes > self.room:
            raise OSError("disk full")
        self.lines += lines

    def failed(self, error: Exception) -> None:
        self.told.append(str(error))


class TestFailures:
    def talk(self, recorder: Recorder, engine: Session) -> list[object]:
        actions: list[object] = []
        for input in (
            inputs.Opened(),
            inputs.MessageReceived(CREATED),
            inputs.Send(m.ResponseCreate()),
            inputs.AppendAudio(bytes(480)),
            inputs.EofReceived(),
        ):
            actions += recorder.handle(input, 0)
        return actions

    @pytest.mark.parametrize("room", range(7))
    def test_a_full_disk_ends_the_recording_and_not_the_session(self, room: int) -> None:
        disk = Disk(room)
        recorder = Recorder(disk.journal())
        engine = Session(Role.CLIENT, SessionConfig(), now=0, entropy=None)
        recorder.begin(engine, 0)
        actions = self.talk(recorder, engine)
        other = Session(Role.CLIENT, SessionConfig(), now=0, entropy=None)
        unrecorded = Recorder()
        unrecorded.begin(other, 0)
        assert actions == self.talk(unrecorded, other)
        assert recorder.ended
        assert disk.told == ["disk full", "closed"]
        assert disk.writes == room + 1
        if room:
            assert replayed(disk.lines).divergence is None

    def test_a_journal_without_a_listener_fails_in_silence(self) -> None:
        recorder = Recorder(Journal(full))
        recorder.begin(Session(Role.CLIENT, SessionConfig(), now=0, entropy=None), 0)
        assert recorder.ended

    def test_a_journal_that_cannot_be_closed_is_told(self) -> None:
        told: list[Exception] = []

        def close() -> None:
            raise OSError("gone")

        recorder = Recorder(Journal(bytearray().extend, close=close, failed=told.append))
        recorder.begin(Session(Role.CLIENT, SessionConfig(), now=0, entropy=None), 0)
        recorder.end()
        recorder.end()
        assert [str(error) for error in told] == ["gone"]

    def test_an_input_that_it_cannot_tell_ends_the_recording_and_not_the_session(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise TypeError("a kind of input that nobody expected")

        client, _ = pair()
        monkeypatch.setattr(recorder_module, "dump", broken)
        client.do(inputs.Interrupt())
        assert client.recorder.ended
        assert [type(fault) for fault in client.faults] == [TypeError]
        assert client.closed == 1


class TestFingerprints:
    def test_they_tell_different_actions_apart(self) -> None:
        one, other = Fingerprint(), Fingerprint()
        assert one.digest() == other.digest()
        client = Connection(Role.CLIENT, Tape("client").engine.config, now=0, entropy=Random(1).randbytes)
        one.add(client.opened(0))
        assert one.actions == 1
        assert one.digest() != other.digest()

    def test_credentials_take_no_part(self) -> None:
        from toolkit.journal_helpers import endpoint

        digests = set()
        for key in ("sk-one", "sk-two-which-is-longer"):
            client = Tape("client", address=endpoint(headers=[("Cookie", key)]))
            client.do(inputs.Opened(headers=(("Authorization", key),)))
            client.recorder.end()
            digests.add(client.notes("digest")[-1]["blake2b"])
        assert len(digests) == 1


def test_the_time_of_the_clock_is_that_of_the_input() -> None:
    client = Tape("client")
    client.do(inputs.Start())
    assert client.notes("input")[0]["at"] == 6 * MS
