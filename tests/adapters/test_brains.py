"""antiphon_server: what its brains answer, and how they hear."""

import asyncio
import base64
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import antiphon
import antiphon_asyncio
import antiphon_server
from adapters.test_asyncio import run
from antiphon import PCMA, PCMU, AudioFormat, Finished, ItemStarted, ResponseRequested, SessionConfig
from antiphon import messages as m
from antiphon_audio import read_wav
from antiphon_server import Pause, Scene, ScriptError, Step, parse_script
from antiphon_server.formats import convert, from_pcm16, pieces, to_pcm16

ASSETS = Path(__file__).parents[2] / "adapters/antiphon_cli/assets"
TEXT_ONLY = SessionConfig(session={"output_modalities": ["text"]})
SILENCE = bytes(48_000)


class Talk:
    """A client with what it heard."""

    def __init__(self, connection: antiphon_asyncio.AsyncConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def until(self, type: str) -> Any:
        """Read to the next event of this type."""
        async for event in self.connection:
            self.events.append(event)
            if event.type == type:
                return event
            assert event.type != "error", event
        raise AssertionError(f"no {type}")

    async def write(self, text: str) -> None:
        """A user's message, and the wish for an answer."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.connection.conversation.item.create(item=item)
        await self.connection.response.create()

    async def speak(self, pcm: bytes) -> None:
        """Audio as a microphone cuts it."""
        for start in range(0, len(pcm), 1920):
            await self.connection.append_audio(pcm[start : start + 1920])

    async def answer(self) -> str:
        """The text or transcript of the next response."""
        done = await self.until("response.done")
        parts = [part for item in done.response.output for part in item.content]
        return "|".join(part.text if isinstance(part, m.OutputText) else part.transcript for part in parts)

    def heard(self) -> bytes:
        """All output audio so far."""
        deltas = [event.delta for event in self.events if isinstance(event, m.ResponseOutputAudioDelta)]
        return b"".join(base64.b64decode(delta) for delta in deltas)


@asynccontextmanager
async def talk(
    brain: antiphon_server.BrainChoice = "parrot", config: SessionConfig | None = None
) -> AsyncIterator[Talk]:
    """A client in conversation with a brain."""
    async with (
        await antiphon_server.serve(brain, config=config) as server,
        antiphon_asyncio.connect(server.url) as connection,
    ):
        yield Talk(connection)


class TestParrot:
    def test_repeats_a_text(self) -> None:
        async def body() -> None:
            async with talk(config=TEXT_ONLY) as client:
                await client.write("polly wants a cracker")
                assert await client.answer() == "polly wants a cracker"

        run(body)

    def test_plays_back_what_was_said_and_tells_how_long_it_was(self) -> None:
        async def body() -> None:
            question = read_wav(ASSETS / "question.wav").pcm
            async with talk() as client:
                await client.speak(question + SILENCE)
                stopped = await client.until("input_audio_buffer.speech_stopped")
                started = next(each for each in client.events if each.type == "input_audio_buffer.speech_started")
                seconds = (stopped.audio_end_ms - started.audio_start_ms) / 1000
                assert await client.answer() == f"({seconds:.1f} s of audio)"
                first = round(started.audio_start_ms * 24) * 2
                assert client.heard()[:9600] == (question + SILENCE)[first : first + 9600]

        run(body)

    def test_plays_back_a_turn_that_was_committed_by_hand(self) -> None:
        async def body() -> None:
            config = SessionConfig(session={"audio": {"input": {"turn_detection": None}}})
            pcm = bytes(range(256)) * 40
            async with talk(config=config) as client:
                await client.speak(pcm)
                await client.connection.input_audio_buffer.commit()
                await client.connection.response.create()
                assert await client.answer() == "(0.2 s of audio)"
                assert client.heard() == pcm

        run(body)

    def test_hums_a_text_when_the_session_speaks(self) -> None:
        async def body() -> None:
            async with talk() as client:
                await client.write("hello")
                assert await client.answer() == "hello"
                assert len(client.heard()) > 9600
                assert any(client.heard())

        run(body)

    def test_speaks_the_format_of_the_session(self) -> None:
        async def body() -> None:
            config = SessionConfig(session={"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
            async with talk(config=config) as client:
                await client.write("hello")
                await client.answer()
                loudest = max(abs(sample) for sample in samples(to_pcm16(client.heard(), PCMU)))
                assert loudest > 1000

        run(body)

    def test_reports_a_transcription_when_the_session_asks(self) -> None:
        async def body() -> None:
            config = SessionConfig(
                session={"audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}}
            )
            async with talk(config=config) as client:
                await client.speak(bytes(9600))
                await client.connection.input_audio_buffer.commit()
                done = await client.until("conversation.item.input_audio_transcription.completed")
                assert done.transcript == "(0.2 s of audio)"

        run(body)

    def test_answers_in_the_format_that_one_response_asks_for(self) -> None:
        async def body() -> None:
            async with talk() as client:
                await client.write("polly")
                await client.answer()
                usual, client.events = len(client.heard()), []
                item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "polly"}]}
                await client.connection.conversation.item.create(item=item)
                await client.connection.response.create(
                    response={"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
                )
                await client.answer()
                assert 5 < usual / len(client.heard()) < 7  # two bytes at 24 kHz against one at 8 kHz

        run(body)

    def test_only_transcribes_for_who_asked_for_that(self) -> None:
        async def body() -> None:
            question = read_wav(ASSETS / "question.wav").pcm
            config = SessionConfig(session={"audio": {"input": {"transcription": {"model": "whisper-1"}}}})
            async with (
                await antiphon_server.serve(config=config) as server,
                antiphon_asyncio.connect(server.url + "?intent=transcription") as connection,
            ):
                client = Talk(connection)
                created = await client.until("session.created")
                assert isinstance(created.session, m.TranscriptionSession)
                await client.speak(question + SILENCE)
                await client.until("conversation.item.input_audio_transcription.completed")
                await client.connection.input_audio_buffer.clear()
                await client.until("input_audio_buffer.cleared")
                assert not any(event.type.startswith("response.") for event in client.events)

        run(body)

    def test_serves_the_models_of_its_config(self) -> None:
        async def body() -> None:
            config = SessionConfig(models=("polly-1",))
            async with await antiphon_server.serve(config=config) as server:
                async with antiphon_asyncio.connect(server.url + "?model=polly-1") as connection:
                    created = await Talk(connection).until("session.created")
                    assert created.session.model == "polly-1"
                with pytest.raises(antiphon.RemoteProtocolError, match=r"404 \(model_not_found\)"):
                    async with antiphon_asyncio.connect(server.url + "?model=polly-2"):
                        pass

        run(body)


def samples(pcm: bytes) -> Iterator[int]:
    """PCM16 as numbers."""
    return (int.from_bytes(pcm[at : at + 2], "little", signed=True) for at in range(0, len(pcm), 2))


class TestScripted:
    def test_says_what_stands_there_word_by_word(self) -> None:
        async def body() -> None:
            async with talk(parse_script('[[reply]]\nsay = ["one two", "three"]'), TEXT_ONLY) as client:
                await client.write("x")
                assert await client.answer() == "one two|three"
                deltas = [each.delta for each in client.events if isinstance(each, m.ResponseOutputTextDelta)]
                assert deltas == ["one ", "two", "three"]

        run(body)

    def test_a_call_and_what_follows_its_output(self) -> None:
        script = """
        [[reply]]
        when = "time"
        call = [{ name = "clock", arguments = { zone = "{user}" } }]
        [[reply]]
        after = "clock"
        say = "{output}, you asked: {user}"
        """

        async def body() -> None:
            async with talk(parse_script(script), TEXT_ONLY) as client:
                await client.write("time?")
                done = await client.until("response.done")
                (call,) = done.response.output
                assert (call.name, call.arguments) == ("clock", '{"zone": "time?"}')
                output = {"type": "function_call_output", "call_id": call.call_id, "output": "noon"}
                await client.connection.conversation.item.create(item=output)
                await client.connection.response.create()
                assert await client.answer() == "noon, you asked: time?"

        run(body)

    def test_tone_goes_with_the_words(self) -> None:
        async def body() -> None:
            async with talk(parse_script('[[reply]]\nsay = "one two"')) as client:
                await client.write("x")
                await client.answer()
                kinds = [each.type.split(".")[1] for each in client.events if each.type.endswith(".delta")]
                assert kinds[0] == "output_audio_transcript"
                assert kinds.index("output_audio") < len(kinds) - 1 - kinds[::-1].index("output_audio_transcript")

        run(body)

    def test_a_wav_file_is_played_whole(self, tmp_path: Path) -> None:
        pcm = bytes(range(256)) * 100
        with wave.open(str(tmp_path / "voice.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes(pcm)

        async def body() -> None:
            script = parse_script('[[reply]]\nsay = "one two three"\naudio = "voice.wav"', folder=tmp_path)
            async with talk(script) as client:
                await client.write("x")
                assert await client.answer() == "one two three"
                assert client.heard() == pcm

        run(body)

    def test_synthesised_speech_is_refused_before_anybody_connects(self) -> None:
        async def body() -> None:
            with pytest.raises(ScriptError, match="later edition"):
                await antiphon_server.serve(parse_script('[[reply]]\nsay = "x"\naudio = "speech"'))

        run(body)

    @pytest.mark.parametrize(
        ("ending", "status"), [('status = "incomplete"', "incomplete"), ('error = { code = "oops" }', "failed")]
    )
    def test_ends_badly_where_it_says_so(self, ending: str, status: str) -> None:
        async def body() -> None:
            async with talk(parse_script(f'[[reply]]\nsay = "half"\n{ending}'), TEXT_ONLY) as client:
                await client.write("x")
                response = (await client.until("response.done")).response
                assert response.status == status
                assert response.output[0].status == "incomplete"

        run(body)

    def test_drops_the_socket_where_it_says_so(self) -> None:
        async def body() -> None:
            async with talk(parse_script('[[reply]]\nsay = "half"\nclose = 4001'), TEXT_ONLY) as client:
                await client.write("x")
                with pytest.raises(antiphon.RemoteProtocolError, match="4001"):
                    await client.answer()

        run(body)

    def test_what_no_reply_matches_is_an_empty_response(self) -> None:
        async def body() -> None:
            async with talk(parse_script('[[reply]]\nwhen = "nothing else"\nsay = "x"'), TEXT_ONLY) as client:
                await client.write("y")
                done = await client.until("response.done")
                assert (done.response.status, done.response.output) == ("completed", [])

        run(body)

    def test_each_client_begins_at_the_beginning(self) -> None:
        script = parse_script('[[reply]]\ntimes = 1\nsay = "first"\n[[reply]]\nsay = "then"')

        async def body() -> None:
            async with await antiphon_server.serve(script, config=TEXT_ONLY) as server:
                for _client in range(2):
                    async with antiphon_asyncio.connect(server.url) as connection:
                        client = Talk(connection)
                        await client.write("x")
                        assert await client.answer() == "first"

        run(body)


class Custom:
    """A brain of a test: what it does is set from outside."""

    def __init__(self, *steps: Step | Exception) -> None:
        self.steps = steps
        self.scenes: list[Scene] = []
        self.told: list[str] = []

    def transcribe(self, audio: bytes, format: AudioFormat, /) -> str:
        return "spoken"

    def respond(self, request: ResponseRequested, scene: Scene, /) -> Iterator[Step]:
        self.scenes.append(scene)
        id = request.response_id
        try:
            yield ItemStarted(response_id=id, output_index=0, kind="text")
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                yield step
        except GeneratorExit:
            self.told.append("stopped")
            raise


class TestRunner:
    def test_a_pause_ends_with_the_response(self) -> None:
        async def body() -> None:
            brain = Custom(Pause(3_600_000))
            async with talk(lambda: brain, TEXT_ONLY) as client:
                await client.write("x")
                await client.until("response.content_part.added")
                await client.connection.response.cancel()
                assert (await client.until("response.done")).response.status == "cancelled"
            assert brain.told == ["stopped"]

        run(body)

    def test_a_client_that_leaves_stops_the_brain(self) -> None:
        async def body() -> None:
            brain = Custom(Pause(3_600_000))
            async with talk(lambda: brain, TEXT_ONLY) as client:
                await client.write("x")
                await client.until("response.content_part.added")
            assert brain.told == ["stopped"]

        run(body)

    def test_a_brain_that_raises_fails_its_response_only(self) -> None:
        async def body() -> None:
            brains = iter([Custom(RuntimeError("thoughtless")), Custom()])
            async with talk(lambda: next(brains), TEXT_ONLY) as client:
                await client.write("x")
                assert (await client.until("response.done")).response.status == "failed"
                await client.write("y")
                assert (await client.until("response.done")).response.status == "failed"

        run(body, complaints=2)

    def test_a_response_without_an_end_is_completed(self) -> None:
        async def body() -> None:
            async with talk(lambda: Custom(), TEXT_ONLY) as client:
                await client.connection.response.create()
                assert (await client.until("response.done")).response.status == "completed"

        run(body)

    def test_the_scene_tells_what_was_spoken(self) -> None:
        async def body() -> None:
            brain = Custom()
            by_hand = SessionConfig(session={"audio": {"input": {"turn_detection": None}}})
            async with talk(lambda: brain, by_hand) as client:
                await client.speak(bytes(9600))
                await client.connection.input_audio_buffer.commit()
                await client.connection.response.create()
                await client.until("response.done")
            (scene,) = brain.scenes
            assert scene.newest == antiphon_server.UserTurn("spoken")
            assert scene.audio == bytes(9600)
            assert scene.speaks

        run(body)

    def test_an_out_of_band_response_has_a_scene_of_its_own(self) -> None:
        async def body() -> None:
            brain = Custom()
            async with talk(lambda: brain, TEXT_ONLY) as client:
                await client.write("in the conversation")
                await client.until("response.done")
                asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "beside it"}]}
                await client.connection.response.create(response={"conversation": "none", "input": [asked]})
                await client.until("response.done")
            assert [scene.user for scene in brain.scenes] == ["in the conversation", "beside it"]

        run(body)

    def test_speech_cuts_the_answer_and_is_answered(self) -> None:
        async def body() -> None:
            script = parse_script('[[reply]]\ntimes = 1\nsay = "a b c d e f"\ndelay_ms = 250\n[[reply]]\nsay = "yes?"')
            async with talk(script) as client:
                await client.write("talk to me")
                await client.until("response.output_audio.delta")
                await client.speak(read_wav(ASSETS / "barge_in.wav").pcm + SILENCE)
                cut = (await client.until("response.done")).response
                assert (cut.status, cut.status_details.reason) == ("cancelled", "turn_detected")
                assert await client.answer() == "yes?"

        run(body)

    def test_turn_detection_follows_the_session(self) -> None:
        async def body() -> None:
            question = read_wav(ASSETS / "question.wav").pcm + SILENCE
            async with talk() as client:
                await client.connection.session.update(session={"audio": {"input": {"turn_detection": None}}})
                await client.until("session.updated")
                await client.speak(question)
                detection = {"type": "server_vad", "silence_duration_ms": 300, "create_response": False}
                await client.connection.session.update(session={"audio": {"input": {"turn_detection": detection}}})
                await client.until("session.updated")
                assert not any("speech" in event.type for event in client.events)
                await client.speak(question)
                started = await client.until("input_audio_buffer.speech_started")
                assert started.audio_start_ms >= len(question) // 48 - 300  # counted from the session's first sample
                await client.until("input_audio_buffer.committed")

        run(body)

    def test_detection_that_is_switched_off_under_a_voice_hears_the_next_one(self) -> None:
        async def body() -> None:
            question = read_wav(ASSETS / "question.wav").pcm
            async with talk() as client:
                await client.speak(question[:48_000])
                first = await client.until("input_audio_buffer.speech_started")
                await client.connection.session.update(session={"audio": {"input": {"turn_detection": None}}})
                stopped = await client.until("input_audio_buffer.speech_stopped")
                committed = await client.until("input_audio_buffer.committed")
                assert first.item_id == stopped.item_id == committed.item_id
                detection = {"type": "server_vad", "create_response": False}
                await client.connection.session.update(session={"audio": {"input": {"turn_detection": detection}}})
                await client.speak(question + SILENCE)
                second = await client.until("input_audio_buffer.speech_started")
                assert second.item_id != first.item_id

        run(body)

    def test_a_cleared_buffer_ends_an_open_turn(self) -> None:
        async def body() -> None:
            question = read_wav(ASSETS / "question.wav").pcm
            async with talk() as client:
                await client.speak(question[:48_000])
                await client.until("input_audio_buffer.speech_started")
                await client.connection.input_audio_buffer.clear()
                await client.until("input_audio_buffer.cleared")
                await client.speak(SILENCE)
                await client.connection.input_audio_buffer.clear()
                await client.until("input_audio_buffer.cleared")
                assert not any(event.type == "input_audio_buffer.speech_stopped" for event in client.events)

        run(body)


class TestKey:
    @pytest.mark.parametrize(
        "shown",
        [
            {"headers": [("Authorization", "Bearer right")]},
            {"headers": [("api-key", "right")]},
            {"subprotocols": ["realtime", "openai-insecure-api-key.right"]},
        ],
        ids=["bearer", "header", "subprotocol"],
    )
    def test_may_be_shown_in_three_places(self, shown: dict[str, Any]) -> None:
        async def body() -> None:
            async with (
                await antiphon_server.serve(api_key="right", config=TEXT_ONLY) as server,
                antiphon_asyncio.connect(antiphon.Endpoint.custom(server.url, **shown)) as connection,
            ):
                assert isinstance(await (await connection.response.create()).outcome(), Finished)

        run(body)

    @pytest.mark.parametrize("key", [None, "wrong"])
    def test_another_one_is_refused_with_401(self, key: str | None) -> None:
        async def body() -> None:
            async with await antiphon_server.serve(api_key="right") as server:
                with pytest.raises(antiphon.RemoteProtocolError) as raised:
                    await antiphon_asyncio.connect(server.url, api_key=key).__aenter__()
            assert raised.value.fault.status == 401

        run(body)

    def test_an_empty_one_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="empty"):
            asyncio.run(antiphon_server.serve(api_key=""))


class TestFormats:
    @pytest.mark.parametrize("format", [PCMU, PCMA], ids=["pcmu", "pcma"])
    def test_every_code_survives_the_way_through_pcm(self, format: AudioFormat) -> None:
        codes = bytes(range(256))
        again = from_pcm16(to_pcm16(codes, format), format)
        assert to_pcm16(again, format) == to_pcm16(codes, format)

    @pytest.mark.parametrize("format", [PCMU, PCMA], ids=["pcmu", "pcma"])
    def test_a_sample_is_as_near_as_the_law_allows(self, format: AudioFormat) -> None:
        values = [-32768, -20000, -1000, -64, -8, 0, 8, 64, 1000, 20000, 32767]
        pcm = b"".join(value.to_bytes(2, "little", signed=True) for value in values)
        for value, again in zip(values, samples(to_pcm16(from_pcm16(pcm, format), format)), strict=True):
            assert abs(value - again) <= max(8, abs(value) // 16)

    def test_a_rate_is_converted(self) -> None:
        pytest.importorskip("soxr")
        assert len(convert(bytes(48_000), antiphon.PCM16_24K, PCMU)) == pytest.approx(8_000, abs=2)

    def test_audio_is_cut_into_pieces_of_100_ms(self) -> None:
        assert [len(piece) for piece in pieces(bytes(10_000), antiphon.PCM16_24K)] == [4800, 4800, 400]
