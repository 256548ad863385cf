"""Scripts: how a reply is chosen, what it is made of, and how a mistake in the file is told."""

from pathlib import Path

import pytest

from antiphon_audio import WavWriter, speak
from antiphon_server.script import (
    CallStart,
    Chunk,
    Drop,
    ItemEnd,
    MessageStart,
    Newest,
    Reply,
    ResponseEnd,
    ScriptedFailure,
    ScriptError,
    ToolOutput,
    UserTurn,
    load_script,
    parse_script,
    welcome_script,
)

DONE = ResponseEnd("completed", None)


def one(text: str) -> Reply:
    """The single reply of a script."""
    (reply,) = parse_script("[[reply]]\n" + text).replies
    return reply


def texts(reply: Reply, **values: str) -> list[str]:
    return [step.text for step in reply.steps(**values) if isinstance(step, Chunk)]


def chosen(text: str, *newest: Newest) -> list[int | None]:
    """The indexes of the replies to some newest items, one after the other, in one conversation."""
    script, counters = parse_script(text), dict[int, int]()
    replies = [script.match(item, counters) for item in newest]
    return [None if reply is None else reply.index for reply in replies]


class TestMatching:
    def test_replies_are_tried_in_order_and_the_first_that_matches_answers(self) -> None:
        script = '[[reply]]\nwhen = "b"\nsay = "1"\n[[reply]]\nwhen = "a"\nsay = "2"\n[[reply]]\nsay = "3"'
        assert chosen(script, UserTurn("ab"), UserTurn("a"), UserTurn("c")) == [0, 1, 2]

    def test_when_is_searched_anywhere_in_the_users_text(self) -> None:
        assert chosen('[[reply]]\nwhen = "(?i)WEATHER"\nsay = "x"', UserTurn("the weather?"), UserTurn("no")) == [
            0,
            None,
        ]

    def test_when_is_tried_only_while_the_newest_item_is_the_users(self) -> None:
        assert chosen('[[reply]]\nwhen = ""\nsay = "x"', UserTurn(""), ToolOutput("f", ""), None) == [0, None, None]

    def test_after_is_tried_only_while_the_newest_item_is_an_output_of_that_function(self) -> None:
        script = '[[reply]]\nafter = "f"\nsay = "x"'
        assert chosen(script, ToolOutput("f", ""), ToolOutput("g", ""), UserTurn("f"), None) == [0, None, None, None]

    def test_a_reply_without_condition_answers_anything(self) -> None:
        assert chosen('[[reply]]\nsay = "x"', UserTurn("a"), ToolOutput("f", ""), None) == [0, 0, 0]

    def test_a_reply_is_used_up_after_its_times(self) -> None:
        script = '[[reply]]\ntimes = 2\nsay = "1"\n[[reply]]\nsay = "2"'
        assert chosen(script, None, None, None) == [0, 0, 1]

    def test_each_conversation_counts_for_itself(self) -> None:
        script = parse_script('[[reply]]\ntimes = 1\nsay = "1"')
        assert [script.match(None, {}) is not None, script.match(None, {}) is not None] == [True, True]


class TestSteps:
    def test_a_message_is_said_word_by_word(self) -> None:
        assert one('say = "It is warm."\ndelay_ms = 20').steps() == (
            MessageStart("tone"),
            Chunk("It ", 20),
            Chunk("is ", 20),
            Chunk("warm.", 20),
            ItemEnd(),
            DONE,
        )

    @pytest.mark.parametrize(
        ("chunk", "pieces"), [('"char"', list("a bc")), ("3", ["a b", "c"]), ("99", ["a bc"]), ('"word"', ["a ", "bc"])]
    )
    def test_chunks_are_words_characters_or_so_many_characters(self, chunk: str, pieces: list[str]) -> None:
        assert texts(one(f'say = "a bc"\nchunk = {chunk}')) == pieces

    def test_a_list_makes_several_messages(self) -> None:
        steps = one('say = ["a", "b"]').steps()
        assert [type(step) for step in steps] == [MessageStart, Chunk, ItemEnd] * 2 + [ResponseEnd]

    def test_an_empty_text_is_a_message_without_chunks(self) -> None:
        assert one('say = ""').steps() == (MessageStart("tone"), ItemEnd(), DONE)

    def test_calls_come_after_what_is_said_with_their_arguments_as_json(self) -> None:
        reply = one('call = [{ name = "f", arguments = { city = "Köln", n = [1, true] } }]\nsay = "ok"\nchunk = 99')
        assert reply.steps() == (
            MessageStart("tone"),
            Chunk("ok", 0),
            ItemEnd(),
            CallStart("f"),
            Chunk('{"city": "Köln", "n": [1, true]}', 0),
            ItemEnd(),
            DONE,
        )

    def test_arguments_may_be_absent_or_a_text_sent_as_it_stands(self) -> None:
        reply = one("""call = [{ name = "f" }, { name = "g", arguments = '{"cut' }]""")
        assert texts(reply) == ["{}", '{"cut']

    def test_the_users_text_and_the_tools_output_are_put_in(self) -> None:
        assert "".join(texts(one('say = "{user}: {output}"'), user="Paris", output="18")) == "Paris: 18"

    def test_braces_in_what_was_said_mean_nothing(self) -> None:
        hostile = "{output} {user} {0} {user.__class__} %s {"
        assert "".join(texts(one('say = "You: {user}"'), user=hostile, output="secret")) == "You: " + hostile

    def test_other_braces_of_the_script_stay(self) -> None:
        assert "".join(texts(one("""say = '{"a": {}}'"""))) == '{"a": {}}'

    def test_what_is_put_into_arguments_stays_one_json_string(self) -> None:
        reply = one('call = [{ name = "f", arguments = { q = ["{user}"] } }]\nchunk = 99')
        assert texts(reply, user='"}]') == ['{"q": ["\\"}]"]}']

    def test_a_failed_response_leaves_its_last_item_open(self) -> None:
        reply = one('say = "a"\nstatus = "failed"\nerror = { type = "t", code = "c", message = "m" }')
        end = ResponseEnd("failed", ScriptedFailure("t", "c", "m"))
        assert reply.steps() == (MessageStart("tone"), Chunk("a", 0), end)

    def test_an_error_alone_is_a_failure_of_the_server(self) -> None:
        assert one("error = {}").steps() == (ResponseEnd("failed", ScriptedFailure("server_error", None, None)),)

    def test_an_incomplete_response_leaves_its_last_item_open(self) -> None:
        assert one('say = "a"\nstatus = "incomplete"').steps()[-2:] == (Chunk("a", 0), ResponseEnd("incomplete", None))

    def test_close_drops_the_socket_instead_of_ending_the_response(self) -> None:
        assert one('say = "a"\nclose = 1011').steps() == (MessageStart("tone"), Chunk("a", 0), Drop(1011))

    def test_a_wav_file_is_sought_beside_the_script(self, tmp_path: Path) -> None:
        with WavWriter(tmp_path / "hello.wav") as writer:
            writer.write(bytes(480))
        (tmp_path / "s.toml").write_text('[[reply]]\nsay = "hello"\naudio = "hello.wav"')
        assert load_script(tmp_path / "s.toml").replies[0].steps()[0] == MessageStart(tmp_path / "hello.wav")


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "line", "reason"),
        [
            ("", 1, r"holds no \[\[reply\]\]"),
            ("reply = 3", 1, "reply is an array of tables"),
            ('\n[replies]\nsay = "x"', 2, r"unknown key 'replies': a script holds \[\[reply\]\] tables"),
            ('[[reply]]\nsay = "x"\nwen = "x"', 3, "reply 1: unknown key 'wen': did you mean 'when'"),
            ('[[reply]]\nsay = "x"\nqqq = 1', 3, "unknown key 'qqq': known are when, after"),
            ('[[reply]]\nsay = "x"\n\n[[reply]]\nwhen = "("\nsay = "y"', 5, "reply 2: when is no regular expression"),
            ('[[reply]]\nwhen = 3\nsay = "x"', 2, "when is a text, not 3"),
            ('[[reply]]\nwhen = "a"\nafter = "b"\nsay = "x"', 3, "when and after exclude each other"),
            ('[[reply]]\nafter = "two words"\nsay = "x"', 2, "the name of a function"),
            ('[[reply]]\nwhen = "x"', 1, "does nothing: it needs say, call"),
            ("[[reply]]\nsay = 3", 2, "say is a text or a list of texts"),
            ("[[reply]]\nsay = []", 2, "say is an empty list"),
            ('[[reply]]\ncall = "f"', 2, "call is a list of tables"),
            ("[[reply]]\ncall = []", 2, "call is an empty list"),
            ("[[reply]]\ncall = [{}]", 2, "a call needs the name of a function"),
            ('[[reply]]\ncall = [{ name = "f", argument = {} }]', 2, "in call: did you mean 'arguments'"),
            ('[[reply]]\ncall = [{ name = "f", arguments = [1] }]', 2, "arguments are a table"),
            ('[[reply]]\ncall = [{ name = "f", arguments = { d = 2026-01-01 } }]', 2, "arguments are no JSON"),
            ('[[reply]]\ncall = [{ name = "f", arguments = { d = nan } }]', 2, "arguments are no JSON"),
            ('[[reply]]\nsay = "x"\n[[reply.call]]\nname = 3', 3, "the name of a function"),
            ('[[reply]]\nsay = "x"\nchunk = "line"', 3, 'chunk is "word", "char" or a number'),
            ('[[reply]]\nsay = "x"\nchunk = 0', 3, "not 0"),
            ('[[reply]]\nsay = "x"\nchunk = true', 3, "not True"),
            ('[[reply]]\nsay = "x"\ndelay_ms = -1', 3, "delay_ms is between 0 and 3600000, not -1"),
            ('[[reply]]\nsay = "x"\ndelay_ms = inf', 3, "delay_ms is a number"),
            ('[[reply]]\nsay = "x"\naudio = 1', 3, 'audio is "tone", "speech" or the name of a WAV file'),
            ('[[reply]]\nsay = "x"\naudio = "no.wav"', 3, "no.wav cannot be read: No such file"),
            ('[[reply]]\nstatus = "done"', 2, "status is \"failed\" or \"incomplete\", not 'done'"),
            ('[[reply]]\nstatus = "incomplete"\nerror = {}', 3, 'error goes with status = "failed"'),
            ('[[reply]]\nerror = "x"', 2, "error is a table"),
            ("[[reply]]\nerror = { kode = 1 }", 2, "unknown key 'kode' in error: did you mean 'code'"),
            ("[[reply]]\nerror = { code = 1 }", 2, "error holds texts, not 1"),
            ("[[reply]]\nclose = 1006", 2, "close is a WebSocket close code that may be sent, not 1006"),
            ('[[reply]]\nclose = "1011"', 2, "close is a whole number"),
            ('[[reply]]\nclose = 1011\nstatus = "failed"', 2, "it excludes status and error"),
            ('[[reply]]\nsay = "x"\ntimes = 0', 3, "times is 1 or more"),
            ('[[reply]]\nsay = "x"\ntimes = 1.5', 3, "times is a whole number"),
            ('[[reply]]\nsay = "x\n', 2, "Illegal character"),
            ('[[reply]]\nsay = "x"\nsay = "y"', 3, "Cannot overwrite a value"),
            ('[[reply]]\nsay = """x', 2, "Unterminated string|Expected"),
            ('reply = [{ say = "x", times = 0 }]', 1, "reply 1: times is 1 or more"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told_with_its_line(self, text: str, line: int, reason: str) -> None:
        with pytest.raises(ScriptError, match=reason) as caught:
            parse_script(text, name="s.toml")
        expected = {line, 1} if '"""x' in text else {line}  # the end of the document is the line of the last character
        assert caught.value.line in expected
        assert str(caught.value) == f"s.toml:{caught.value.line}: {caught.value.reason}"

    def test_a_line_inside_a_text_is_not_taken_for_a_table(self) -> None:
        text = '[[reply]]\nsay = """\n[[reply]]\ntimes = 0\n"""\n[[reply]]\nsay = "x"\ntimes = 0\n'
        with pytest.raises(ScriptError) as caught:
            parse_script(text)
        assert caught.value.line == 8

    def test_a_file_that_cannot_be_read_is_named_without_a_line(self, tmp_path: Path) -> None:
        with pytest.raises(ScriptError, match=r"none\.toml: cannot be read: No such file"):
            load_script(tmp_path / "none.toml")

    def test_a_file_that_is_no_text_is_refused_with_its_line(self, tmp_path: Path) -> None:
        (tmp_path / "s.toml").write_bytes(b'[[reply]]\nsay = "\xff"')
        with pytest.raises(ScriptError, match=r"s\.toml:2: is no UTF-8 text"):
            load_script(tmp_path / "s.toml")

    def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(self, tmp_path: Path) -> None:
        (tmp_path / "s.toml").write_bytes(b'\xef\xbb\xbf[[reply]]\r\nsay = "x"\r\n')
        assert load_script(tmp_path / "s.toml").replies[0].say == ("x",)

    def test_the_error_is_one_line(self) -> None:
        with pytest.raises(ScriptError) as caught:
            parse_script('[[reply]]\nsay = "x"\n"a\\nb" = 1')
        assert "\n" not in str(caught.value)


class TestWelcome:
    def test_the_weather_question_calls_the_tool_for_paris(self) -> None:
        reply = welcome_script().match(UserTurn("What is the weather in Paris?"), {})
        assert reply is not None
        assert CallStart("get_weather") in reply.steps()
        assert "".join(texts(reply)) == '{"city": "Paris"}'

    def test_the_tools_output_is_told_long_enough_to_be_interrupted(self) -> None:
        reply = welcome_script().match(ToolOutput("get_weather", "18 degrees and sunny"), {})
        assert reply is not None
        said = "".join(texts(reply, output="18 degrees and sunny"))
        assert "18 degrees and sunny" in said
        assert 6 < sum(len(pcm) for _, pcm in speak(said)) / 48_000 < 9

    def test_the_question_that_interrupts_is_answered(self) -> None:
        reply = welcome_script().match(UserTurn("Stop, and what about London?"), {})
        assert reply is not None
        assert "London" in "".join(texts(reply))

    def test_speech_without_a_transcript_is_taken_for_the_bundled_questions_in_turn(self) -> None:
        script, counters = welcome_script(), dict[int, int]()
        first, second, third = (script.match(UserTurn(""), counters) for _ in range(3))
        assert first is not None
        assert CallStart("get_weather") in first.steps()
        assert second is not None
        assert "London" in "".join(texts(second))
        assert third is not None
        assert "recogniser" in "".join(texts(third))

    @pytest.mark.parametrize("newest", [UserTurn("hello"), ToolOutput("other", "1"), None])
    def test_there_is_an_answer_to_everything(self, newest: Newest) -> None:
        assert welcome_script().match(newest, {}) is not None
