"""Traps of the conversation: order, ids, texts. Each test names a wrong implementation that it sees."""

from __future__ import annotations

import re

from msgspec import UNSET, structs

from antiphon import Actions, ClientSession, Conversation, Session
from antiphon import messages as m
from antiphon.engine import checks, legality, membership
from antiphon.engine.conversation import Node, Placement, Taken
from antiphon.engine.incoming import handlers
from antiphon.engine.incoming.item import CONVERSATION_ITEM
from antiphon.engine.incoming.part import CONTENT_PART
from antiphon.messages.beta import SERVER_VIEWS
from traps.wrong import both, client_handles, effect, guard, never, nothing, replaced, trap
from unit import server_helpers
from unit.engine_helpers import Talk, at, delivered, message, rules, said, sent, spoken
from unit.server_helpers import Host

TRANSCRIPTION = "conversation.item.input_audio_transcription"


def ids(talk: Talk) -> list[str]:
    """The conversation's items, in order."""
    return [node.id for node in talk.client.conversation]


def text(talk: Talk, item_id: str) -> str | None:
    """What an item says; None when there is none."""
    node = talk.client.conversation.get(item_id)
    return None if node is None else node.text


def user_turn(talk: Talk, item_id: str, start_ms: int, previous: str | None = None) -> None:
    """A spoken turn of 500 ms, without its transcript."""
    talk.hear("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start_ms)
    talk.hear("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=start_ms + 500)
    talk.hear("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
    content = [{"type": "input_audio", "transcript": None}]
    talk.adds({"id": item_id, "type": "message", "role": "user", "content": content}, previous=previous)


def test_trap_15_what_comes_before_its_item_waits_for_it() -> None:
    def check() -> None:
        talk = Talk()
        actions = talk.hear(f"{TRANSCRIPTION}.delta", item_id="u1", content_index=0, delta="Hel")
        actions += talk.hear(f"{TRANSCRIPTION}.delta", item_id="u1", content_index=0, delta="lo")
        assert rules(actions) == [] and ids(talk) == []
        user_turn(talk, "u1", 0)
        assert text(talk, "u1") == "Hello"
        actions = talk.adds({**said("s1", "nudge", role="system")}, previous="u1")  # the server's own
        assert rules(actions) == [] and ids(talk) == ["u1", "s1"]

        talk = Talk()
        talk.created("r1")
        talk.part("r1", "i1", type="text")
        talk.hear("response.output_text.delta", delta="Hi", **at("r1", "i1"))
        talk.generates("r1", {**said("i1", role="assistant"), "content": []})
        assert text(talk, "i1") == "Hi"

    def for_members_alone(conversation: Conversation, item_id: str, content_index: int, delta: str) -> Taken:
        node = conversation.get(item_id)
        return Taken.UNKNOWN if node is None else node.transcription_delta(content_index, delta)

    def text_for_members_alone(_conversation: Conversation, item_id: str, content_index: int, delta: str) -> Taken:
        return Taken.UNKNOWN

    trap(
        check,
        replaced(Conversation, "transcription_delta", for_members_alone),
        replaced(Conversation, "_early_text_delta", text_for_members_alone),
    )


def test_trap_16_a_deleted_item_does_not_come_back() -> None:
    def check() -> None:
        talk = Talk()
        user_turn(talk, "u1", 0)
        talk.speaks("r1", "i1", 500, previous="u1")
        for item_id in ("u1", "i1"):
            talk.say(m.ConversationItemDelete(item_id=item_id))
            talk.hear("conversation.item.deleted", item_id=item_id)
        late = talk.hear(f"{TRANSCRIPTION}.completed", item_id="u1", content_index=0, transcript="Hello", usage={})
        late += talk.hear("response.output_audio_transcript.delta", delta="Hi", **at("r1", "i1"))
        late += talk.finishes("r1", spoken("i1", "Hi"))
        late += talk.hear("conversation.item.truncated", item_id="i1", content_index=0, audio_end_ms=100)
        assert [rule for rule in rules(late) if rule.startswith(("R-C", "R-T"))] == []
        talk.done("r1")
        assert ids(talk) == []
        assert talk.client.conversation.early("u1") is None

    trap(check, replaced(Conversation, "is_deleted", never), replaced(Conversation, "_remember", nothing))


def test_trap_17_the_predecessor_that_a_done_names_moves_nothing() -> None:
    def check() -> None:
        talk = Talk()
        user_turn(talk, "u1", 0)
        talk.created("r1")
        talk.generates("r1", spoken("i1"), previous="u1")
        talk.finishes("r1", spoken("i1", "Hi"), previous=None)
        talk.done("r1")
        user_turn(talk, "u2", 900, previous="i1")
        assert ids(talk) == ["u1", "i1", "u2"]

    def moves(node: Node, session: ClientSession, event: m.ConversationItemDone) -> None:
        session.conversation.delete(node.id)
        session.conversation.add(event.item, event.previous_item_id).node.state = node.state

    trap(check, effect(CONVERSATION_ITEM, "finalize", moves))


def test_trap_18_null_is_the_front_for_who_asked_and_the_end_for_clones() -> None:
    def check() -> None:
        talk = Talk()
        user_turn(talk, "u1", 0)
        talk.say(m.ConversationItemCreate(item=message("front").item, previous_item_id="root"))
        talk.adds(said("front"), previous=None)
        assert ids(talk) == ["front", "u1"]

        clone = Talk()  # one that never names a predecessor, and one that leaves the key out
        clone.hear("conversation.item.added", item={**said("s1", role="system"), "status": "completed"})
        clone.hear("conversation.item.done", item={**said("s1", role="system"), "status": "completed"})
        user_turn(clone, "u1", 0)
        clone.speaks("r1", "i1", 100)
        assert ids(clone) == ["s1", "u1", "i1"]

    add = Conversation.add

    def always_at_the_front(conversation: Conversation, *arguments: object, **options: object) -> Placement:
        return add(conversation, *arguments, **{**options, "clone": False})  # type: ignore[arg-type]

    def always_at_the_end(conversation: Conversation, *arguments: object, **options: object) -> Placement:
        return add(conversation, *arguments, **{**options, "clone": True})  # type: ignore[arg-type]

    trap(
        check,
        replaced(Conversation, "add", always_at_the_front),
        replaced(Conversation, "add", always_at_the_end),
    )


def test_trap_19_items_are_added_without_any_item_created() -> None:
    def check() -> None:
        talk = Talk()
        talk.say(message("m1"))
        actions = talk.adds(said("m1"))
        assert delivered(actions) == ["conversation.item.added", "conversation.item.done"] and rules(actions) == []
        assert ids(talk) == ["m1"] and talk.client.unanswered == ()

        talk = Talk()
        talk.say(message("m1"))
        talk.hear("conversation.item.created", previous_item_id=None, item={**said("m1"), "status": "completed"})
        assert ids(talk) == ["m1"] and talk.client.unanswered == ()

    trap(
        check,
        both(client_handles(m.ConversationItemAdded, nothing), client_handles(m.ConversationItemDone, nothing)),
        client_handles(m.ConversationItemCreated, nothing),
    )


def test_trap_20_an_id_that_the_service_would_reject_is_not_sent() -> None:
    def check() -> None:
        talk = Talk()
        for item_id in ("1f0b9f7e-3d5c-4a55-9f6e-d6a0c7f0c0de", "item/1", "item:1", "é"):
            assert talk.refused(message(item_id)).rule == "R-C11"
        assert talk.refused(message("x" * 33)).code == "string_above_max_length"
        assert sent(talk.say(message("x" * 32)))[0]["item"]["id"] == "x" * 32
        host = Host()
        foreign = "1f0b9f7e-3d5c-4a55-9f6e-d6a0c7f0c0de"
        answers = server_helpers.sent(host.hear("conversation.item.create", item=said(foreign)))
        assert [answer.get("error", {}).get("param") for answer in answers] == ["item.id"]
        for made in (talk.client.next_id("item"), host.adds()):
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", made)

    def as_a_uuid(_session: Session, prefix: str) -> str:
        return "1f0b9f7e-3d5c-4a55-9f6e-d6a0c7f0c0de"

    trap(
        check,
        replaced(checks, "_ID", re.compile(r"(?s).*\Z")),
        replaced(checks, "_MOST_ID", 64),
        replaced(membership, "problem_with_id", nothing),
        replaced(Session, "next_id", as_a_uuid),
    )


def test_trap_21_two_items_with_one_id_are_both_kept() -> None:
    def check() -> None:
        talk = Talk()
        talk.say(message("m1", "one"))
        talk.say(message("m1", "two"))
        actions = talk.adds(said("m1", "one"))
        actions += talk.adds(said("m1", "two"), previous="m1")
        assert "R-C6" in rules(actions)
        assert [node.text for node in talk.client.conversation] == ["one", "two"]

        host = Host()
        for words in ("one", "two"):
            host.adds("m1", content=[{"type": "input_text", "text": words}])
        assert [node.text for node in host.server.conversation] == ["one", "two"]

    register = Conversation._register

    def as_a_map(conversation: Conversation, node: Node) -> None:
        if conversation.get(node.id) is not None:
            conversation.delete(node.id)
        register(conversation, node)

    trap(check, replaced(Conversation, "_register", as_a_map))


def test_trap_23_an_item_without_a_status_has_one_all_the_same() -> None:
    def check() -> None:
        talk = Talk()
        talk.calls("r1", "c1")
        talk.outputs("c1")
        item = {"id": "o1", "type": "function_call_output", "call_id": "c1", "output": "12"}
        actions = talk.hear("conversation.item.added", previous_item_id="item_c1", item=item)
        node = talk.client.conversation.get("o1")
        assert node is not None
        seen: list[str] = [node.status]
        actions += talk.hear("conversation.item.done", previous_item_id="item_c1", item=item)
        assert [*seen, node.status] == ["in_progress", "completed"] and rules(actions) == []

    def strictly(session: ClientSession, event: m.ConversationItemAdded) -> None:
        if getattr(event.item, "status", UNSET) is not UNSET:
            handlers.on_item(session, event)

    trap(check, client_handles(m.ConversationItemAdded, strictly))


def test_trap_24_audio_of_the_assistant_is_not_seeded() -> None:
    def check() -> None:
        talk = Talk()
        audio = m.MessageItem(role="assistant", content=[m.OutputAudio(audio="AAAA", transcript="Hi")])
        refused = talk.refused(m.ConversationItemCreate(item=audio))
        assert refused.rule == "R-C13" and "output_text" in str(refused)
        (seed,) = sent(talk.say(message("m1", "Hi", role="assistant")))
        assert seed["item"]["content"] == [{"type": "output_text", "text": "Hi"}]

        item = {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": "AAAA"}]}
        assert server_helpers.refusal(Host().hear("conversation.item.create", item=item))["code"] == "invalid_value"

    def anything(_session: object, _item: m.MessageItem, _path: str) -> list[object]:
        return []

    trap(check, replaced(legality, "_content", anything))


def test_trap_25_items_and_parts_name_their_contents_differently() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        talk.generates("r1", spoken("i1"))
        actions = talk.part("r1", "i1", type="audio")
        actions += talk.hear("response.output_audio_transcript.delta", delta="Hi", **at("r1", "i1"))
        actions += talk.stops_speaking("r1", "i1", "Hi")
        talk.generates("r1", {**said("i2", role="assistant"), "content": []}, previous="i1")
        actions += talk.part("r1", "i2", type="text")
        actions += talk.hear("response.output_text.delta", delta="Yo", **at("r1", "i2"))
        assert rules(actions) == []
        assert [node.text for node in talk.client.conversation] == ["Hi", "Yo"]

        beta = Talk()  # the beta's names, and in its items the names of parts
        beta.created("r1")
        beta.generates("r1", {**said("i1", role="assistant"), "content": []})
        actions = beta.part("r1", "i1", type="text")
        actions += beta.hear("response.text.delta", delta="Yo", **at("r1", "i1"))
        actions += beta.hear("response.output_text.delta", delta="!", **at("r1", "i1"))  # and both on one connection
        assert beta.client.conversation.items[0].text == "Yo!"
        actions += beta.hear("response.text.done", text="Yo!", **at("r1", "i1"))
        actions += beta.hear("response.content_part.done", part={"type": "text", "text": "Yo!"}, **at("r1", "i1"))
        final = {**said("i1"), "role": "assistant", "content": [{"type": "text", "text": "Yo!"}]}
        actions += beta.finishes("r1", final)
        assert rules(actions) == []
        assert beta.client.conversation.items[0].text == "Yo!"

        part = m.MessageItem(role="assistant", content=[m.TextPart(text="Hi")])  # type: ignore[list-item]  # the trap
        assert talk.refused(m.ConversationItemCreate(item=part)).rule == "R-C13"

    def named_as_in_items(_stream: object, _session: object, event: m.ResponseContentPartAdded) -> bool:
        return event.part is not UNSET and event.part.type == "output_text"

    def text_for_everybody(patch: object) -> None:
        role = {**checks.CONTENT_OF_ROLE, "assistant": ("text", "output_text")}
        patch.setattr(checks, "CONTENT_OF_ROLE", role)  # type: ignore[attr-defined]

    trap(
        check,
        guard(CONTENT_PART, "is_text", named_as_in_items),
        text_for_everybody,
        client_handles(SERVER_VIEWS["ga"]["response.text.delta"], nothing),
    )


def test_trap_32_a_transcript_belongs_to_the_item_that_it_names() -> None:
    def check() -> None:
        talk = Talk()
        user_turn(talk, "u1", 0)
        user_turn(talk, "u2", 800, previous="u1")
        for item_id, words in (("u2", "second"), ("u1", "first")):
            talk.hear(f"{TRANSCRIPTION}.completed", item_id=item_id, content_index=0, transcript=words, usage={})
        assert [node.text for node in talk.client.conversation] == ["first", "second"]

    completed = Conversation.transcription_completed

    def by_arrival(conversation: Conversation, item_id: str, content_index: int, transcript: str) -> Taken:
        waiting = next(node.id for node in conversation if not node.text)
        return completed(conversation, waiting, content_index, transcript)

    trap(check, replaced(Conversation, "transcription_completed", by_arrival))


def test_trap_33_the_whole_text_replaces_its_deltas() -> None:
    def check() -> None:
        talk = Talk()
        user_turn(talk, "u1", 0)
        for delta in ("Hel", "lo"):
            talk.hear(f"{TRANSCRIPTION}.delta", item_id="u1", content_index=0, delta=delta)
        talk.hear(f"{TRANSCRIPTION}.completed", item_id="u1", content_index=0, transcript="Hello!", usage={})
        assert text(talk, "u1") == "Hello!"

        clone = Talk()  # which says all of it so far each time, and calls it complete more than once
        user_turn(clone, "u1", 0)
        for words in ("Hel", "Hello"):
            clone.hear(f"{TRANSCRIPTION}.updated", item_id="u1", content_index=0, transcript=words)
            assert text(clone, "u1") == words
        for words, status in (("Hello you", "in_progress"), ("Hello you!", "completed")):
            clone.hear(f"{TRANSCRIPTION}.completed", item_id="u1", content_index=0, transcript=words, status=status)
            assert text(clone, "u1") == words

        talk.created("r1")
        talk.generates("r1", {**said("i1", role="assistant"), "content": []}, previous="u1")
        talk.part("r1", "i1", type="text")
        for delta in ("Good ", "day"):
            talk.hear("response.output_text.delta", delta=delta, **at("r1", "i1"))
        talk.hear("response.output_text.done", text="Good day", **at("r1", "i1"))
        assert text(talk, "i1") == "Good day"
        talk.finishes("r1", said("i1", "Good day", role="assistant"), previous="u1")
        assert text(talk, "i1") == "Good day"

    def transcripts_add_up(conversation: Conversation, item_id: str, content_index: int, transcript: str) -> Taken:
        return conversation.transcription_delta(item_id, content_index, transcript)

    def texts_add_up(conversation: Conversation, item_id: str, content_index: int, words: str) -> Taken:
        return conversation.text_delta(item_id, content_index, words)

    trap(
        check,
        replaced(Conversation, "transcription_completed", transcripts_add_up),
        replaced(Conversation, "transcription_updated", transcripts_add_up),
        replaced(Conversation, "text_done", texts_add_up),
    )


def test_trap_42_items_of_a_response_may_interleave() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        for item_id in ("i1", "i2"):
            previous = None if item_id == "i1" else "i1"
            talk.generates("r1", {**said(item_id, role="assistant"), "content": []}, previous=previous)
            talk.part("r1", item_id, type="text")
        actions: Actions = ()
        for item_id, delta in (("i1", "one "), ("i2", "three "), ("i1", "two"), ("i2", "four")):
            actions += talk.hear("response.output_text.delta", delta=delta, **at("r1", item_id))
        assert [node.text for node in talk.client.conversation] == ["one two", "three four"]
        for item_id, words in (("i1", "one two"), ("i2", "three four")):
            actions += talk.hear("response.output_text.done", text=words, **at("r1", item_id))
        assert rules(actions) == []

    on_part = handlers.HANDLERS[m.ResponseOutputTextDelta]

    def as_a_stack(session: ClientSession, event: m.ResponseOutputTextDelta) -> None:
        top = next(reversed(session.registry.streams.values()))
        on_part(session, structs.replace(event, item_id=top.item_id))

    trap(check, client_handles(m.ResponseOutputTextDelta, as_a_stack))
