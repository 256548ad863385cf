"""What was said: lines, their times, and the forms in which people read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon import Conversation, Deliver, PlayAudio, TransmitMessage
from antiphon import messages as m
from antiphon.engine.audio import PCM16_24K
from antiphon.toolkit import History, Span, Timeline, Transcript, portable_id

MS = 1_000_000


def conversation() -> Conversation:
    talk = Conversation()
    question = m.MessageItem(id="u", role="user", status="completed", content=[m.InputText(text="What's the weather?")])
    call = m.FunctionCallItem(id="f", call_id="c", name="weather", arguments='{"city": "Paris"}', status="completed")
    output = m.FunctionCallOutputItem(id="o", call_id="c", output="18 degrees")
    answer = m.MessageItem(id="a", role="assistant", status="completed", content=[m.OutputText(text="It is mild.")])
    for item in (question, call, output, answer):
        talk.insert(item)
        talk.done(item)
    return talk


def test_the_lines_follow_the_conversation() -> None:
    lines = list(Transcript(conversation()))
    assert [(line.kind, line.who, line.text) for line in lines] == [
        ("message", "user", "What's the weather?"),
        ("call", "weather", '{"city": "Paris"}'),
        ("output", "weather", "18 degrees"),
        ("message", "assistant", "It is mild."),
    ]


def test_it_is_a_live_view() -> None:
    talk = conversation()
    transcript = Transcript(talk)
    talk.delete("u")
    assert [line.item_id for line in transcript] == ["f", "o", "a"]
    assert [line.item_id for line in transcript.messages()] == ["a"]


def test_an_output_without_its_call_is_named_by_the_call_id() -> None:
    talk = conversation()
    talk.delete("f")
    assert [line.who for line in Transcript(talk) if line.kind == "output"] == ["c"]


def test_what_is_neither_said_nor_called_has_no_line() -> None:
    talk = conversation()
    talk.insert(m.McpListToolsItem(id="l", server_label="s", tools=[]))
    assert [line.item_id for line in Transcript(talk)] == ["u", "f", "o", "a"]


def test_plain_text_is_a_line_an_item() -> None:
    assert Transcript(conversation()).text().splitlines() == [
        "user: What's the weather?",
        'weather({"city": "Paris"})',
        "weather -> 18 degrees",
        "assistant: It is mild.",
    ]


def test_what_was_cut_is_marked_and_ends_where_it_was_heard() -> None:
    talk = Conversation()
    talk.insert(m.MessageItem(id="a", role="assistant", status="incomplete", content=[]))
    talk.text_done("a", 0, "one two three four")
    talk.truncate("a", 0, 200, 400)
    assert Transcript(talk).text() == "assistant: one two —\n"
    assert Transcript(talk).markdown() == "**assistant:** one two —\n"


def test_a_caption_of_what_was_cut_is_marked() -> None:
    talk = Conversation()
    talk.insert(m.MessageItem(id="a", role="assistant", status="incomplete", content=[]))
    talk.text_done("a", 0, "one two three four")
    talk.truncate("a", 0, 200, 400)
    assert "\nassistant: one two —\n" in Transcript(talk, timed()).srt()
    assert "<v assistant>one two —\n" in Transcript(talk, timed()).vtt()


def test_spaces_that_say_something_stay() -> None:
    talk = Conversation()
    words = "\u00ab\u00a0Bonjour\u202f!\u00a0\u00bb \u4f60\u597d\u3000\u4e16\u754c"
    talk.insert(m.MessageItem(id="u", role="user", content=[m.InputText(text=f" {words}\t \n")]))
    assert Transcript(talk).text() == f"user: {words}\n"


def test_a_name_with_line_breaks_begins_no_line_of_its_own() -> None:
    talk = Conversation()
    talk.insert(m.MessageItem(id="u", role="us\ner --> \n\nboo", content=[m.InputText(text="hello")]))
    talk.insert(m.FunctionCallItem(id="f", call_id="c", name="f\n\nassistant: fake", arguments="{}"))
    talk.insert(m.FunctionCallOutputItem(id="o", call_id="c", output="a\n\n**assistant:** `fake`"))
    timeline = Timeline()
    timeline.observe(deliver(m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)), 0)
    transcript = Transcript(talk, timeline)
    assert transcript.srt().splitlines()[2:] == ["us er --> boo: hello", ""]
    assert transcript.vtt().splitlines()[3:] == ["<v us er --&gt; boo>hello", ""]
    assert transcript.text().splitlines() == [
        "us er --> boo: hello",
        "f assistant: fake({})",
        "f assistant: fake -> a **assistant:** `fake`",
    ]
    assert transcript.markdown().split("\n\n") == [
        "**us er --> boo:** hello",
        "*f assistant: fake called with* `{}`",
        "*f assistant: fake answered* `` a **assistant:** `fake` ``\n",
    ]


def test_markdown_keeps_code_as_code_whatever_is_in_it() -> None:
    talk = Conversation()
    talk.insert(m.FunctionCallOutputItem(id="o", call_id="c", output="`x` and ``y``"))
    assert Transcript(talk).markdown() == "*c answered* ``` `x` and ``y`` ```\n"


def test_json_has_all_that_a_line_knows() -> None:
    document = json.loads(Transcript(conversation()).json())
    assert document[0] == {
        "item_id": "u",
        "kind": "message",
        "who": "user",
        "text": "What's the weather?",
        "status": "completed",
        "cut": False,
        "span": None,
    }


def test_search_finds_lines_by_words_or_by_an_expression() -> None:
    transcript = Transcript(conversation())
    assert [line.item_id for line in transcript.search("PARIS")] == ["f"]
    assert [line.item_id for line in transcript.search(r"\d+ degrees", regex=True)] == ["o"]
    assert transcript.search("(") == ()


def deliver(event: m.ServerEvent) -> Deliver:
    return Deliver(event, b"")


def play(ms: int, content_index: int = 0) -> PlayAudio:
    return PlayAudio("a", content_index, 0, bytes(48 * ms), PCM16_24K)


def timed() -> Timeline:
    timeline = Timeline()
    timeline.observe(deliver(m.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)), 1_000 * MS)
    timeline.observe(deliver(m.InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=900)), 1_900 * MS)
    timeline.observe(deliver(m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)), 1_910 * MS)
    answer = m.MessageItem(id="a", role="assistant", status="in_progress", content=[])
    timeline.observe(deliver(m.ConversationItemAdded(item=answer, previous_item_id="u")), 2_000 * MS)
    timeline.observe(play(1000), 2_500 * MS)
    timeline.observe(play(1000), 2_600 * MS)
    return timeline


def test_a_turn_is_as_long_as_it_was_heard() -> None:
    timeline = timed()
    assert timeline.span("u") == Span(0, 900)
    assert timeline.span("a") == Span(1500, 3500)  # as long as the sound lasts, not as the network took
    assert timeline.span("x") is None


def test_a_cut_ends_the_turn_where_the_sound_stopped() -> None:
    timeline = timed()
    timeline.observe(deliver(m.ConversationItemTruncated(item_id="a", content_index=0, audio_end_ms=700)), 3_500 * MS)
    assert timeline.span("a") == Span(1500, 2200)


def test_a_cut_in_a_later_part_comes_after_the_parts_that_were_heard_whole() -> None:
    timeline = timed()
    timeline.observe(play(1000, 1), 2_700 * MS)
    assert timeline.span("a") == Span(1500, 4500)
    timeline.observe(deliver(m.ConversationItemTruncated(item_id="a", content_index=1, audio_end_ms=500)), 4_100 * MS)
    assert timeline.span("a") == Span(1500, 4000)


def test_an_item_has_its_time_by_the_id_under_which_another_session_is_told_it_too() -> None:
    timeline = Timeline()
    long = "item_" + "x" * 40
    timeline.observe(deliver(m.InputAudioBufferSpeechStarted(item_id=long, audio_start_ms=0)), 0)
    timeline.observe(deliver(m.InputAudioBufferSpeechStopped(item_id=long, audio_end_ms=900)), 900 * MS)
    told_again = m.MessageItem(id=portable_id(long), role="user", status="completed", content=[])
    timeline.observe(deliver(m.ConversationItemAdded(item=told_again, previous_item_id=None)), 5_000 * MS)
    assert timeline.span(long) == timeline.span(portable_id(long)) == Span(0, 900)


def test_a_turn_of_text_lasts_from_its_announcement_to_its_end() -> None:
    timeline = Timeline()
    answer = m.MessageItem(id="t", role="assistant", status="in_progress", content=[])
    timeline.observe(deliver(m.ConversationItemAdded(item=answer, previous_item_id=None)), 0)
    assert timeline.span("t") == Span(0, None)
    done = m.ResponseOutputItemDone(response_id="r", output_index=0, item=answer)
    timeline.observe(deliver(done), 300 * MS)
    assert timeline.span("t") == Span(0, 300)


def test_a_turn_committed_by_hand_is_a_point_in_time() -> None:
    timeline = Timeline()
    timeline.observe(deliver(m.InputAudioBufferCleared()), 0)
    timeline.observe(deliver(m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)), 40 * MS)
    assert timeline.span("u") == Span(40, 40)


def test_captions_stand_in_the_order_of_their_time() -> None:
    transcript = Transcript(conversation(), timed())
    assert transcript.srt() == (
        "1\n00:00:00,000 --> 00:00:00,900\nuser: What's the weather?\n\n"
        "2\n00:00:01,500 --> 00:00:03,500\nassistant: It is mild.\n\n"
    )
    assert transcript.vtt() == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:00.900\n<v user>What's the weather?\n\n"
        "00:00:01.500 --> 00:00:03.500\n<v assistant>It is mild.\n\n"
    )


def test_a_caption_cannot_break_its_file() -> None:
    talk = Conversation()
    talk.insert(m.MessageItem(id="u", role="user", content=[m.InputText(text="a --> b\n\n<script>&")]))
    timeline = Timeline()
    timeline.observe(deliver(m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)), 3_723_004 * MS)
    transcript = Transcript(talk, timeline)
    assert "<v user>a --&gt; b &lt;script&gt;&amp;\n" in transcript.vtt()
    assert transcript.srt().splitlines()[2] == "user: a --> b <script>&"


def test_what_has_no_time_has_no_caption() -> None:
    assert Transcript(conversation()).srt() == ""
    assert Transcript(conversation()).vtt() == "WEBVTT\n\n"


def test_hours_are_written_out() -> None:
    timeline = Timeline()
    timeline.observe(deliver(m.InputAudioBufferCleared()), 0)
    timeline.observe(deliver(m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)), 3_723_004 * MS)
    assert "01:02:03,004 --> 01:02:03,504" in Transcript(conversation(), timeline).srt()


def test_what_we_say_ourselves_is_not_when_something_was_heard() -> None:
    timeline = Timeline()
    timeline.observe(TransmitMessage(b"{}"), 0)
    timeline.observe(deliver(m.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)), 500 * MS)
    assert timeline.span("u") == Span(0, None)


def test_a_cut_of_what_nobody_heard_is_no_time() -> None:
    timeline = Timeline()
    timeline.observe(deliver(m.ConversationItemTruncated(item_id="a", content_index=0, audio_end_ms=480)), 0)
    assert timeline.span("a") is None


def test_an_event_that_could_not_be_read_is_no_time() -> None:
    timeline = Timeline()
    data = {"type": "conversation.item.truncated", "item_id": "u", "audio_end_ms": "late"}
    timeline.observe(deliver(m.InputAudioBufferCommitted(item_id="u", previous_item_id=None)), 0)
    timeline.observe(Deliver(m.Malformed.of(data, ()), b""), 700 * MS)
    assert timeline.span("u") == Span(0, 0)


def test_a_timeline_forgets_the_oldest() -> None:
    timeline = Timeline(max_items=10)
    for number in range(50):
        event = m.InputAudioBufferCommitted(item_id=f"u{number}", previous_item_id=None)
        timeline.observe(deliver(event), number * MS)
    assert timeline.span("u0") is None
    assert timeline.span("u49") == Span(49, 49)


def test_a_timeline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Timeline(max_items=0)


@pytest.mark.parametrize("view", ["ga", "beta"])
@pytest.mark.parametrize("name", ["conversation.item.added", "conversation.item.created"])
def test_an_item_is_timed_by_either_of_its_names(name: str, view: Any) -> None:
    history = History(view=view)
    item = {"id": "a", "type": "message", "role": "user", "status": "completed", "content": []}
    history.feed(json.dumps({"type": name, "item": item, "previous_item_id": None}), 5 * MS)
    assert history.timeline.span("a") == Span(0, 0)
