"""Rows of the engine itself: messages, bytes, growth, memory."""

from __future__ import annotations

import tracemalloc

from bench import peers, samples
from bench.timing import Row, measure, python_calls

ROUNDS = 31
US = 1000


def text_delta(rounds: int = ROUNDS) -> list[Row]:
    """A text delta at message level: decode, step, act."""
    session = samples.speaking_session(samples.TEXT_PART)
    text = samples.TEXT_DELTA
    parse = peers.openai_parse()
    taken = measure(
        {
            "ours": lambda: session.receive_message(text, 1),
            "msgspec": lambda: peers.decode(text),
            "openai": lambda: parse(text),
        },
        rounds,
    )
    ours = taken.cost("ours") / US
    return [
        Row(
            "text delta, message level",
            "bare typed msgspec",
            ours,
            taken.cost("msgspec") / US,
            "us",
            taken.ratio("ours", "msgspec"),
            6,
        ),
        Row(
            "the same, how many times faster",
            "openai-python's parse alone",
            ours,
            taken.cost("openai") / US,
            "us",
            taken.ratio("openai", "ours"),
            20,
            ">=",
        ),
    ]


def audio_delta(rounds: int = ROUNDS) -> list[Row]:
    """100 ms of audio at message level, to PCM."""
    session = samples.speaking_session(samples.AUDIO_PART)
    text = samples.AUDIO_DELTA
    taken = measure(
        {"ours": lambda: session.receive_message(text, 1), "floor": lambda: peers.pcm_of(text)},
        rounds,
    )
    return [
        Row(
            "100 ms audio delta to PCM, message level",
            "UTF-8 + msgspec + pybase64",
            taken.cost("ours") / US,
            taken.cost("floor") / US,
            "us",
            taken.ratio("ours", "floor"),
            1.5,
        )
    ]


def audio_delta_bytes(rounds: int = ROUNDS) -> list[Row]:
    """100 ms of audio from one TCP segment to PCM."""
    connection = samples.speaking_connection()
    data = samples.frame(samples.AUDIO_DELTA)
    receive = peers.framed_pcm(peers.open_websocket())
    taken = measure(
        {"ours": lambda: connection.receive_data(data, 1), "floor": lambda: receive(data)},
        rounds,
    )
    return [
        Row(
            "100 ms audio delta, TCP bytes to PCM",
            "websockets framing + that floor",
            taken.cost("ours") / US,
            taken.cost("floor") / US,
            "us",
            taken.ratio("ours", "floor"),
            1.4,
        )
    ]


def append_audio(rounds: int = ROUNDS) -> list[Row]:
    """100 ms from the microphone to masked bytes. Both sides draw their masks from the system."""
    connection = samples.speaking_connection()
    pcm = samples.PCM
    send = peers.framed_append(peers.open_websocket())
    taken = measure(
        {"ours": lambda: connection.append_audio(pcm, 1), "floor": lambda: send(pcm)},
        rounds,
    )
    return [
        Row(
            "append_audio to masked bytes",
            "template + pybase64 + websockets",
            taken.cost("ours") / US,
            taken.cost("floor") / US,
            "us",
            taken.ratio("ours", "floor"),
            1.5,
        )
    ]


def growth(rounds: int = ROUNDS) -> list[Row]:
    """A delta of the newest item behind 10 and behind 10,000 others."""
    few = samples.speaking_session(samples.TEXT_PART, 10)
    many = samples.speaking_session(samples.TEXT_PART, 10_000)
    text = samples.TEXT_DELTA
    taken = measure(
        {"few": lambda: few.receive_message(text, 1), "many": lambda: many.receive_message(text, 1)},
        rounds,
    )
    calls_few = python_calls(lambda: few.receive_message(text, 1))
    calls_many = python_calls(lambda: many.receive_message(text, 1))
    return [
        Row(
            "event on the newest of 10,000 items",
            "the same of 10 items",
            taken.cost("many") / US,
            taken.cost("few") / US,
            "us",
            taken.ratio("many", "few"),
            1.2,
        ),
        Row(
            "the same, Python calls",
            "the same of 10 items",
            calls_many,
            calls_few,
            "calls",
            calls_many / calls_few,
            1,
        ),
    ]


def idle_memory(sessions: int = 1000) -> list[Row]:
    """An open session that was greeted and says nothing; the mean of many."""
    samples.open_session()  # what is made once and shared is not theirs
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [samples.open_session() for _ in range(sessions)]
        used = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()
    return [
        Row(
            "memory of an open idle session",
            "16 KiB",
            used / 1024,
            16,
            "KiB",
            used / (16 * 1024),
            1,
        )
    ]


MESSAGE_LEVEL = (text_delta, audio_delta, growth)
BYTES_LEVEL = (audio_delta_bytes, append_audio)
