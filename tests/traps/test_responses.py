"""Traps of responses and of asking for them. Each test names a wrong implementation that it sees."""

from __future__ import annotations

from msgspec import structs

from antiphon import Actions, ClientSession, Finished, RequestSettled
from antiphon import messages as m
from antiphon.engine.arbiter import Arbiter
from antiphon.engine.blame import Blame
from antiphon.engine.incoming import arrival, handlers
from antiphon.engine.incoming.response import RESPONSE
from antiphon.engine.link import FATAL_CODES
from antiphon.engine.playback import Entry, PlaybackLedger
from antiphon.engine.request import REQUEST, Request
from traps.wrong import both, client_handles, effect, never, nothing, replaced, server_handles, trap, without
from unit import server_helpers
from unit.engine_helpers import Talk, call, delivered, heard, outcomes, rules, sent_types, stops
from unit.server_helpers import Host, requested

ACTIVE = "conversation_already_has_active_response"


def requests(actions: Actions) -> int:
    """How many `response.create` went on the wire."""
    return sent_types(actions).count("response.create")


def test_trap_04_two_outputs_and_a_response_of_voice_detection_lead_to_one_request() -> None:
    def check() -> None:
        talk = Talk()
        talk.calls("r1", "c1", "c2")
        actions = (*talk.outputs("c1"), *talk.ask("first"))
        assert requests(actions) == 0  # the other output is owed
        actions = (*talk.outputs("c2"), *talk.ask("second"))
        assert requests(actions) == 1

        talk = Talk()
        talk.created("r1")  # the user began to speak, and the server to answer
        assert requests(talk.ask("typed")) == 0
        assert requests(talk.done("r1")) == 1

    trap(
        check,
        both(replaced(Arbiter, "must_wait", never), replaced(Arbiter, "mergeable", nothing)),
        replaced(Arbiter, "_is_held", never),
        replaced(Arbiter, "release", nothing),
    )


def test_trap_05_a_rejected_request_is_not_pending_for_ever_although_its_error_names_none() -> None:
    def check() -> None:
        for named in (True, False):
            talk = Talk()
            talk.ask("lost")
            talk.hear("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
            actions = talk.error(ACTIVE, "lost" if named else None)
            actions += talk.created("r0", metadata=None) + talk.done("r0")  # the response that stood in the way
            if requests(actions):  # it was asked for again
                actions += talk.created("r1", request="lost") + talk.done("r1")
            assert list(outcomes(actions)) == ["lost"]
            assert requests(talk.ask("next")) == 1

    rejected = Arbiter.rejected

    def by_name_alone(arbiter: Arbiter, event: m.Error, cause: Blame) -> bool:
        return cause.event_id is not None and rejected(arbiter, event, cause)

    trap(check, replaced(Arbiter, "rejected", by_name_alone), replaced(Arbiter, "rejected", never))


def test_trap_06_a_cancel_that_came_too_late_harms_nothing() -> None:
    def check() -> None:
        talk = Talk()
        talk.ask("a")
        talk.created("r1", request="a")
        assert sent_types(talk.say(m.ResponseCancel(event_id="c"))) == ["response.cancel"]
        assert outcomes(talk.done("r1")) == {"a": Finished("r1", "completed")}
        actions = talk.error("response_cancel_not_active", "c")
        assert delivered(actions) == ["error"] and len(actions) == 1
        assert talk.client.state == "open"
        assert requests(talk.ask("b")) == 1

    fatal = FATAL_CODES | {"response_cancel_not_active"}
    trap(check, replaced(handlers, "_FATAL", fatal))


def test_trap_07_a_response_that_was_cancelled_before_it_had_an_id_is_not_heard() -> None:
    def check() -> None:
        for in_time in (True, False):
            talk = Talk()
            talk.ask("a")
            actions = talk.client.interrupt(talk.now)
            if not in_time:
                actions += talk.error("response_cancel_not_active")
            actions += talk.created("r1", request="a")
            assert sent_types(actions) == ["response.cancel"] * (1 if in_time else 2)
            assert heard(talk.speaks("r1", "i1", 300)) == 0
            assert outcomes(talk.done("r1", "cancelled")) == {"a": Finished("r1", "cancelled")}

    trap(
        check,
        without(REQUEST, "sent", "response.cancel"),
        without(REQUEST, "cancelling", "internal.cancel_refused"),
        replaced(PlaybackLedger, "supersede", nothing),
    )


def test_trap_08_audio_of_a_response_that_was_cut_is_not_played_whatever_else_plays() -> None:
    def check() -> None:
        talk = Talk()
        talk.speaks("r1", "i1", 1000)
        assert stops(talk.client.interrupt(talk.now)) == ["i1"]
        assert heard(talk.audio("r1", "i1", 100)) == 0
        talk.stopped("i1", 200)
        assert heard(talk.audio("r1", "i1", 100)) == 0
        assert heard(talk.speaks("r2", "i2", 300, previous="i1")) == 300  # the next one overlaps
        assert heard(talk.audio("r1", "i1", 100)) == 0
        assert heard(talk.audio("r2", "i2", 200)) == 200
        assert heard(talk.speaks("r1", "i3", 300, previous="i2")) == 0  # of another item of it neither
        talk.done("r1", "cancelled")
        assert heard(talk.audio("r2", "i2", 200)) == 200

    def still_accepting(_ledger: PlaybackLedger, entry: Entry) -> bool:
        entry.cutting = True
        return True

    on_part = handlers.HANDLERS[m.ResponseOutputAudioDelta]

    def of_the_current_response(session: ClientSession, event: m.ResponseOutputAudioDelta) -> None:
        newest = next(reversed(session.registry.streams.values()))
        on_part(session, structs.replace(event, response_id=newest.response.id, item_id=newest.item_id))

    trap(
        check,
        both(replaced(PlaybackLedger, "begin_cut", still_accepting), replaced(PlaybackLedger, "supersede", nothing)),
        client_handles(m.ResponseOutputAudioDelta, of_the_current_response),
    )


def test_trap_09_a_late_done_of_an_old_response_does_not_end_the_new_one() -> None:
    def check() -> None:
        talk = Talk()
        talk.created("r1")
        talk.done("r1")
        talk.ask("a")
        talk.created("r2", request="a")
        talk.ask("b")
        late = talk.done("r1")
        assert outcomes(late) == {} and requests(late) == 0
        assert talk.client.responses["r2"].state == "in_progress"
        assert outcomes(talk.done("r2")) == {"a": Finished("r2", "completed")}

    on_done = handlers.HANDLERS[m.ResponseDone]

    def ends_the_current(session: ClientSession, event: m.ResponseDone) -> None:
        current = session.default_response
        if current is not None:
            event = structs.replace(event, response=structs.replace(event.response, id=current.id))
        on_done(session, event)

    trap(check, client_handles(m.ResponseDone, ends_the_current))


def test_trap_10_a_done_that_cannot_be_read_ends_its_response_all_the_same() -> None:
    def check() -> None:
        for body in (
            {"id": "r1", "status": {"type": "?"}, "output": "none", "usage": []},
            {"id": "r1", "status": "exhausted", "output": [{"type": 7}, None], "status_details": "why"},
            {"id": ["r1"]},
            None,
            "r1",
        ):
            talk = Talk()
            talk.ask("a")
            talk.created("r1", request="a")
            talk.ask("b")
            actions = talk.hear("response.done", response=body)
            assert list(outcomes(actions)) == ["a"] and requests(actions) == 1
            assert not talk.client.responses["r1"].is_open
            assert rules(actions) != []

    def strictly(session: ClientSession, event: m.ResponseDone) -> None:
        if event.response.status in ("completed", "cancelled", "incomplete", "failed"):
            handlers.on_response_done(session, event)

    trap(
        check,
        replaced(arrival, "_malformed", nothing),
        client_handles(m.ResponseDone, strictly),
        without(RESPONSE, "in_progress", "internal.malformed_done"),
    )


def test_trap_11_a_done_without_a_created_and_one_without_output_are_taken() -> None:
    def check() -> None:
        talk = Talk()
        actions = talk.done("r1", output=[{**call("c1"), "status": "completed"}])
        assert delivered(actions) == ["response.done"]
        assert "r1" in talk.client.responses and not talk.client.responses["r1"].is_open
        assert sent_types(talk.outputs("c1")) == ["conversation.item.create"]  # its call may be answered

        talk = Talk()
        talk.ask("a")
        actions = talk.done("r1", metadata={"antiphon_request": "a"})
        assert outcomes(actions) == {"a": Finished("r1", "completed")}

        talk = Talk()
        talk.ask("a")
        talk.created("r2", request="a")
        talk.generates("r2", call("c2"))
        actions = talk.hear("response.done", response={"id": "r2", "status": "cancelled"})
        assert outcomes(actions) == {"a": Finished("r2", "cancelled")}
        node = talk.client.conversation.get("item_c2")
        assert node is not None and node.state == "completed"

    def only_what_is_known(session: ClientSession, event: m.ResponseDone) -> None:
        if event.response.id in session.responses:
            handlers.on_response_done(session, event)

    def only_with_output(session: ClientSession, event: m.ResponseDone) -> None:
        if event.response.output:
            handlers.on_response_done(session, event)

    trap(
        check,
        client_handles(m.ResponseDone, only_what_is_known),
        client_handles(m.ResponseDone, only_with_output),
        without(RESPONSE, "absent", "response.done"),
    )


def test_trap_36_neither_a_commit_nor_an_output_asks_for_a_response() -> None:
    def check() -> None:
        host = Host()
        host.update(audio={"input": {"turn_detection": None}})
        host.append(200)
        actions = host.hear("input_audio_buffer.commit")
        assert server_helpers.sent_types(actions) == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        output = {"type": "function_call_output", "call_id": host.called(), "output": "12"}
        actions = host.hear("conversation.item.create", item=output)
        assert server_helpers.sent_types(actions) == ["conversation.item.added", "conversation.item.done"]
        assert requested(host.hear("response.create"))

        talk = Talk()
        talk.client.append_audio(bytes(4800), talk.now)
        assert sent_types(talk.say(m.InputAudioBufferCommit())) == ["input_audio_buffer.commit"]
        talk.hear("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        assert requests(talk.ask("a")) == 1  # nothing is waited for

    def expects_a_reply(arbiter: Arbiter) -> bool:
        return any(not response.is_open for response in arbiter._session.responses.values()) or bool(
            arbiter._session.acknowledgements.sequence
        )

    def replies(session: object, event: m.InputAudioBufferCommit) -> None:
        from antiphon.engine import serving

        serving.on_input_audio_buffer(session, event)  # type: ignore[arg-type]
        serving.HANDLERS[m.ResponseCreate](session, m.ResponseCreate())

    trap(
        check,
        replaced(Arbiter, "is_busy", property(expects_a_reply)),
        server_handles(m.InputAudioBufferCommit, replies),
    )


def test_trap_39_a_response_is_over_although_no_rate_limits_follow() -> None:
    def check() -> None:
        talk = Talk()
        talk.ask("a")
        talk.created("r1", request="a")
        talk.ask("b")
        actions = talk.done("r1")
        assert outcomes(actions) == {"a": Finished("r1", "completed")}
        assert requests(actions) == 1
        limits = [{"name": "tokens", "limit": 100, "remaining": 90, "reset_seconds": 1.5}]
        for _ in range(2):  # and wherever they come, they disturb nothing
            actions = talk.hear("rate_limits.updated", rate_limits=limits)
            assert delivered(actions) == ["rate_limits.updated"] and len(actions) == 1

    trap(check, client_handles(m.ResponseDone, nothing))


def test_trap_43_a_reply_that_the_microphone_cut_says_so() -> None:
    def check() -> None:
        talk = Talk()
        talk.ask("a")
        talk.created("r1", request="a")
        why = {"type": "cancelled", "reason": "turn_detected"}
        assert outcomes(talk.done("r1", "cancelled", status_details=why)) == {
            "a": Finished("r1", "cancelled", "turn_detected")
        }

        host = Host()
        response_id = host.asks()
        host.sounds_in(response_id, 300)
        (done,) = [event for event in server_helpers.sent(host.speech_started(0)) if event["type"] == "response.done"]
        assert done["response"]["status_details"]["reason"] == "turn_detected"

    def without_a_reason(request: Request, session: ClientSession, event: m.ResponseDone) -> None:
        session.act(RequestSettled(request.event_id, Finished(event.response.id, "cancelled")))

    trap(check, effect(REQUEST, "settle_finished", without_a_reason))
