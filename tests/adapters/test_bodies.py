"""One test body, three drivers: antiphon_asyncio, bare trio streams, and a blocking socket in a thread."""

from pathlib import Path

import pytest

import antiphon
import antiphon_server
from adapters.harness import CLIENTS, Client, brain_server, dead_server, user_says, writes_only
from antiphon import Durations, Endpoint, RenewalPolicy, SessionConfig, inputs
from antiphon import messages as m
from antiphon_audio import read_wav

HERE = Path(__file__).parent
SPEECH = HERE.parents[1] / "adapters/antiphon_cli/assets"
MS = 1_000_000
FRAME = 24_000 * 2 // 25  # 40 ms

SCRIPT = antiphon_server.parse_script(
    """
    [[reply]]
    when = "weather"
    call = [{ name = "get_weather", arguments = { city = "Paris" } }]
    [[reply]]
    after = "get_weather"
    say = "It is {output}."
    [[reply]]
    when = "^$"
    times = 1
    say = "A long answer that goes on and on, so that somebody has the time to interrupt it before its end."
    delay_ms = 40
    [[reply]]
    say = "You said: {user}"
    """
)


@pytest.fixture(params=CLIENTS)
def client_class(request: pytest.FixtureRequest) -> type[Client]:
    """Each driver in turn."""
    return CLIENTS[request.param]


def converse(client_class: type[Client], url: str, **options: object) -> Client:
    """A client that is connected to ``url``."""
    config = SessionConfig(renewal=RenewalPolicy(reconnect=False), **options)  # type: ignore[arg-type]  # forwarded
    client = client_class(Endpoint.custom(url), config)
    client.log.action(antiphon.Connected)
    return client


def leave(client: Client) -> antiphon.Closed:
    """Close in order; nothing of the client is left."""
    client.do(inputs.Close())
    closed = client.log.action(antiphon.Closed)
    client.join()
    assert isinstance(closed, antiphon.Closed)
    return closed


def test_text_turn(client_class: type[Client]) -> None:
    with brain_server(SCRIPT) as server:
        client = converse(client_class, server.url)
        client.do(writes_only())
        client.do(user_says("good morning"))
        client.do(inputs.Send(m.ResponseCreate()))
        assert client.log.event("response.output_text.done").text == "You said: good morning"
        outcome = client.log.action(antiphon.RequestSettled).outcome
        assert isinstance(outcome, antiphon.Finished)
        assert outcome.status == "completed"
        assert leave(client).fault is None


def test_audio_turn_with_barge_in(client_class: type[Client]) -> None:
    question, barge_in = (read_wav(SPEECH / f"{name}.wav").pcm for name in ("question", "barge_in"))
    silence = bytes(48_000)
    with brain_server(SCRIPT) as server:
        client = converse(client_class, server.url)
        append(client, question + silence)
        assert client.log.event("input_audio_buffer.speech_started").audio_start_ms >= 0
        playing = client.log.action(antiphon.PlayAudio)
        client.do(inputs.AudioPlayed(playing.item_id, playing.content_index, 1200))
        append(client, barge_in)
        stop = client.log.action(antiphon.StopAudio)
        assert (stop.item_id, stop.content_index) == (playing.item_id, playing.content_index)
        client.do(inputs.AudioStopped(stop.item_id, stop.content_index, 2400))
        truncated = client.log.event("conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (playing.item_id, 100)
        done = client.log.event("response.done").response
        assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")
        append(client, silence)
        assert client.log.event("response.done").response.status == "completed"
        leave(client)


def append(client: Client, pcm: bytes) -> None:
    """Send audio as a microphone cuts it."""
    for start in range(0, len(pcm), FRAME):
        client.do(inputs.AppendAudio(pcm[start : start + FRAME]))


def test_function_call_turn(client_class: type[Client]) -> None:
    with brain_server(SCRIPT) as server:
        client = converse(client_class, server.url)
        client.do(writes_only())
        client.do(user_says("How is the weather?"))
        client.do(inputs.Send(m.ResponseCreate()))
        call = client.log.event("response.function_call_arguments.done")
        assert (call.name, call.arguments) == ("get_weather", '{"city": "Paris"}')
        client.log.action(antiphon.RequestSettled)
        result = m.FunctionCallOutputItem(call_id=call.call_id, output="sunny")
        client.do(inputs.Send(m.ConversationItemCreate(item=result)))
        client.do(inputs.Send(m.ResponseCreate()))
        assert client.log.event("response.output_text.done").text == "It is sunny."
        leave(client)


def test_refused_key_is_told_with_its_status_and_code(client_class: type[Client]) -> None:
    with brain_server("parrot", api_key="right") as server:
        client = client_class(Endpoint.custom(server.url, api_key="wrong"), SessionConfig())
        closed = client.log.action(antiphon.Closed)
        client.join()
        assert (closed.fault.kind, closed.fault.status, closed.fault.code) == ("handshake", 401, "invalid_api_key")


def test_dead_peer_is_noticed_by_a_ping_without_an_answer(client_class: type[Client]) -> None:
    with dead_server() as url:
        client = converse(client_class, url, timers=Durations(ping=30 * MS, pong=30 * MS))
        closed = client.log.action(antiphon.Closed)
        client.join()
        assert (closed.fault.kind, closed.fault.rule) == ("timeout", "timer.pong")


def test_close_ends_in_order_and_leaves_nothing(client_class: type[Client]) -> None:
    with brain_server("parrot") as server:
        client = converse(client_class, server.url)
        assert leave(client) == antiphon.Closed(1000, "", None)


def test_nobody_listening_is_a_fault_of_the_dial(client_class: type[Client]) -> None:
    with brain_server("parrot") as server:
        url = server.url
    client = client_class(Endpoint.custom(url), SessionConfig())
    closed = client.log.action(antiphon.Closed)
    client.join()
    assert closed.fault.kind == "dial"


@pytest.mark.parametrize("name", ["bare_trio.py", "bare_thread.py"])
def test_a_whole_driver_takes_at_most_80_lines(name: str) -> None:
    assert len((HERE / name).read_text().splitlines()) <= 80


def test_the_asyncio_driver_takes_at_most_250_lines() -> None:
    driver = HERE.parents[1] / "adapters/antiphon_asyncio/driver.py"
    assert len(driver.read_text().splitlines()) <= 250
