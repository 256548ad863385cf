"""Bad input: one clear line on stderr, the right exit code, no traceback, and what was recorded is kept."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from antiphon_audio import WavWriter
from antiphon_cli.check import check_file
from antiphon_cli.journal import read_journal
from antiphon_server import parse_script

from .conftest import Ran

Antiphon = Callable[..., Ran]
HTTP_PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def one_line(ran: Ran, code: int) -> str:
    """The only line on stderr of a run that ended with ``code``."""
    assert "Traceback" not in ran.err
    lines = ran.err.splitlines()
    assert (ran.code, len(lines)) == (code, 1), ran
    return lines[0]


# Usage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "antiphon: the following arguments are required: COMMAND (see 'antiphon -h')"),
        (("sing",), "antiphon: argument COMMAND: invalid choice: 'sing'"),
        (("check",), "antiphon check: the following arguments are required: FILE (see 'antiphon check -h')"),
        (("check", "--loud", "x"), "antiphon check: unrecognized arguments: --loud (see 'antiphon check -h')"),
        (("serve", "--port", "99999"), "antiphon serve: argument --port: '99999' is no port: 0 to 65535"),
        (("serve", "--port", "-1"), "antiphon serve: argument --port: '-1' is no port: 0 to 65535"),
        (("serve", "--brain", "voice"), "antiphon serve: --brain voice: the voice brain comes with the [voice] extra"),
        (
            ("serve", "--brain", "chat:http://x"),
            "antiphon serve: --brain chat: the chat brain comes with a later edition",
        ),
        (("serve", "--brain", "owl"), "antiphon serve: --brain 'owl': there are parrot and script:FILE"),
        (("serve", "--brain", "script:"), "antiphon serve: --brain script needs a file: script:FILE"),
        (("serve", "--api-key", ""), "antiphon serve: --api-key is empty"),
        (("talk", "--input", "mic"), "antiphon talk: --input mic needs the [audio] extra"),
        (("talk", "--output", "speaker"), "antiphon talk: --output speaker needs the [audio] extra"),
        (("talk", "--text", "a", "--input", "b"), "antiphon talk: --text and --input are two ways to ask"),
        (("talk", "--text", " "), "antiphon talk: --text is empty"),
        (("talk", "--api-key", "k"), "antiphon talk: --api-key goes with a URL"),
        (("talk", "gopher://x"), "antiphon talk: gopher://x cannot be dialled: the URL must begin with wss://"),
    ],
)
def test_wrong_usage_is_one_line_with_a_hint(antiphon: Antiphon, arguments: tuple[str, ...], said: str) -> None:
    assert one_line(antiphon(*arguments), 2).startswith(said)


@pytest.mark.parametrize("command", ["serve", "talk", "check", "analyze"])
def test_help_shows_examples_and_exit_codes(antiphon: Antiphon, command: str) -> None:
    ran = antiphon(command, "-h")
    assert ran.code == 0
    assert f"examples:\n  antiphon {command} " in ran.out
    assert "exit codes: 0 " in ran.out


def test_the_version_is_that_of_the_package(antiphon: Antiphon) -> None:
    assert antiphon("--version").out == "antiphon 0.1.0\n"


# Servers -------------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_an_unreachable_server(antiphon: Antiphon) -> None:
    url = f"ws://127.0.0.1:{free_port()}/v1/realtime"
    assert one_line(antiphon("talk", url, "--text", "hi"), 3) == (
        f"antiphon talk: {url}: {url[5:-12]} cannot be reached: connection refused"
    )


def test_a_refused_key(antiphon: Antiphon, serving: Callable[..., str]) -> None:
    url = serving("parrot", api_key="right")
    line = one_line(antiphon("talk", url, "--api-key", "wrong-secret", "--text", "hi"), 3)
    assert "refused the handshake with HTTP status 401" in line
    assert "wrong-secret" not in line


def test_a_url_that_is_a_web_page(antiphon: Antiphon, answering: Callable[[bytes], str]) -> None:
    url = answering(HTTP_PAGE)
    assert one_line(antiphon("talk", url, "--text", "hi"), 3).startswith(f"antiphon talk: {url}: ")


def test_a_url_that_speaks_no_http(antiphon: Antiphon, answering: Callable[[bytes], str]) -> None:
    url = answering(b"220 mail.example ESMTP\r\n")
    assert one_line(antiphon("talk", url, "--text", "hi"), 3).startswith(f"antiphon talk: {url}: ")


def test_a_websocket_that_is_no_realtime_server(antiphon: Antiphon) -> None:
    def greet(connection: ServerConnection) -> None:
        connection.send('{"hello":"chat"}')
        for _ in connection:
            pass

    with serve_websocket(greet, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/chat"
        line = one_line(antiphon("talk", url, "--text", "hi"), 3)
        server.shutdown()
        thread.join()
    assert line == f"antiphon talk: {url} is no Realtime server: it did not begin with session.created"


def test_an_old_recording_is_not_replaced_when_nobody_is_reached(antiphon: Antiphon, tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(b"old")
    assert antiphon("talk", f"ws://127.0.0.1:{free_port()}/").code == 3
    assert (tmp_path / "talk.wav").read_bytes() == b"old"


def test_a_server_that_ends_in_the_middle_of_an_answer_fails_the_turn_and_the_journal_is_kept(
    antiphon: Antiphon, serving: Callable[..., str], tmp_path: Path
) -> None:
    url = serving(parse_script('[[reply]]\nsay = "I must go"\nclose = 1011'))
    ran = antiphon("talk", url, "--text", "hi", "--record", "kept.jsonl")
    assert ran.code == 1
    assert "broke off: the peer closed with 1011" in ran.err
    assert "Traceback" not in ran.err
    kept = check_file(str(tmp_path / "kept.jsonl"))
    assert (kept.violations, kept.unreadable) == ((), None)
    assert [each.what for each in kept.open_at_end if "response.done" in each.what]


def test_a_failed_answer_fails_the_turn(antiphon: Antiphon, serving: Callable[..., str]) -> None:
    script = '[[reply]]\nstatus = "failed"\nerror = { type = "server_error", message = "out of words" }'
    ran = antiphon("talk", serving(parse_script(script)), "--text", "hi")
    assert ran.code == 1
    assert "the answer failed: out of words" in ran.err


def test_a_busy_port(antiphon: Antiphon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = one_line(antiphon("serve", "--port", str(port)), 3)
    assert line == f"antiphon serve: 127.0.0.1:{port}: the port is in use by another program"


def test_a_host_that_is_not_ours(antiphon: Antiphon) -> None:
    assert "cannot listen there" in one_line(antiphon("serve", "--host", "192.0.2.1"), 3)


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_wav(antiphon: Antiphon, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"ID3\x04 not a wav at all")
    line = one_line(antiphon("talk", "--input", "song.wav"), 2)
    assert line == "antiphon talk: song.wav: is no WAV file but an MP3 file"


def test_an_absent_wav(antiphon: Antiphon) -> None:
    assert one_line(antiphon("talk", "--input", "no.wav"), 2).startswith("antiphon talk: no.wav: cannot be read")


def test_a_wav_with_another_rate_is_converted_with_a_word_or_refused_with_one(
    antiphon: Antiphon, tmp_path: Path
) -> None:
    with WavWriter(tmp_path / "slow.wav", 16_000, 2) as writer:
        writer.write(bytes(16_000))
    ran = antiphon("talk", f"ws://127.0.0.1:{free_port()}/", "--input", "slow.wav")
    assert "Traceback" not in ran.err
    assert "slow.wav" in ran.err.splitlines()[0]
    assert "16000 Hz" in ran.err.splitlines()[0]


@pytest.mark.parametrize("option", ["--output", "--record"])
def test_a_file_that_cannot_be_written(antiphon: Antiphon, option: str) -> None:
    line = one_line(antiphon("talk", "--text", "hi", option, "no/such/folder/file"), 2)
    assert line == "antiphon talk: no/such/folder/file: cannot be written: No such file or directory"


def test_a_broken_script_is_told_with_its_line(antiphon: Antiphon, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text('[[reply]]\nsay = "a"\n[[reply]]\nsign = "b"\n')
    assert one_line(antiphon("serve", "--brain", "script:broken.toml"), 2).startswith("antiphon serve: broken.toml:4: ")


def test_a_certificate_that_is_none(antiphon: Antiphon, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    assert one_line(antiphon("serve", "--tls", "cert.pem", "cert.pem"), 2).startswith("antiphon serve: --tls cert.pem")
    assert one_line(antiphon("serve", "--tls", "no.pem", "cert.pem"), 2).startswith("antiphon serve: no.pem: cannot")


def test_a_record_directory_that_is_a_file(antiphon: Antiphon, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert one_line(antiphon("serve", "--record", "taken"), 2).startswith("antiphon serve: taken: cannot be written to")


def test_a_journal_with_a_broken_line(antiphon: Antiphon, tmp_path: Path) -> None:
    good = json.dumps({"dir": "server", "event": {"type": "session.created", "session": {"type": "realtime"}}})
    (tmp_path / "broken.jsonl").write_text(f"{good}\n{{broken\n{good}\n")
    assert one_line(antiphon("check", "broken.jsonl"), 2).startswith("antiphon check: broken.jsonl:2: is no JSON")


def test_what_was_recorded_before_a_broken_line_can_still_be_read(tmp_path: Path) -> None:
    good = json.dumps({"dir": "server", "event": {"type": "session.created", "session": {"type": "realtime"}}})
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{good}\n{good[:20]}")
    assert len(list(read_journal(path))) == 2  # the row, and the word that the last line was cut
