"""Renewal: how a client's conversation outlives its sockets and sessions, as a driver of the message level sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from antiphon import (
    Actions,
    Closed,
    CloseTransport,
    Connected,
    Disconnected,
    Dropped,
    Fault,
    Finished,
    Limits,
    OpenTransport,
    RenewalPolicy,
    Report,
    RequestSettled,
    Timer,
)
from antiphon import messages as m
from unit.engine_helpers import MS, Talk, call, delivered, message, of, outcomes, rules, said, sent, sent_types, spoken

HOUR = 3600
SECOND = 1000 * MS
UNIX = 1_790_000_000


class Dialled(Talk):
    """A client that has dialled by itself, and may again. ``expires_in``: s from the opening of a socket."""

    def __init__(self, *, expires_in: int | None = None, jitter: int = 0, replay: bool = True, **config: Any) -> None:
        policy = config.pop("renewal", RenewalPolicy(jitter=jitter, replay=replay))
        super().__init__(begun=False, renewal=policy, **config)
        self.expires_in = expires_in
        self.client.start(0)
        self.opens()
        self.announces()

    def opens(self) -> Actions:
        """The dial succeeds."""
        return self.client.opened(self.now, unix_ns=UNIX * SECOND + self.now)

    def announces(self, **session: Any) -> Actions:
        """The session shows itself."""
        if self.expires_in is not None:
            session["expires_at"] = UNIX + self.now // SECOND + self.expires_in
        return self.hear("session.created", session={"type": "realtime", **session})

    def loses(self, code: int | None = None) -> Actions:
        """The socket ends."""
        return self.client.receive_eof(self.now, code)

    def again(self) -> Actions:
        """The pause is over, and the next socket opens; what the client says to it."""
        return (*self.tick(), *self.opens())

    def next_session(self, code: int | None = None) -> list[dict[str, Any]]:
        """The socket ends, the next opens, its session shows itself; what it is told."""
        self.loses(code)
        told = sent(self.again())
        self.announces()
        return told

    def echo(self, item: dict[str, Any], *, previous: str | None = None) -> Actions:
        """The new session adds an item that it was given."""
        return self.adds(item, previous=previous)

    @property
    def ids(self) -> list[str]:
        """The history."""
        return [node.id for node in self.client.conversation]

    @property
    def renewing(self) -> str:
        """The state of the renewal."""
        return self.client.renewal.state


def created(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that a session is given."""
    return [event["item"] for event in told if event["type"] == "conversation.item.create"]


class TestLosingASocket:
    @pytest.mark.parametrize("code", [None, 1001, 1005, 1006, 1011, 1012, 1013, 1015])
    def test_a_socket_that_ends_by_accident_is_followed_by_another(self, code: int | None) -> None:
        talk = Dialled()
        (gone,) = talk.loses(code)
        assert isinstance(gone, Disconnected)
        assert (gone.generation, gone.code, gone.retry_at) == (1, code, 500 * MS)
        assert talk.tick() == (OpenTransport(generation=2, attempt=2),)
        assert talk.opens()[0] == Connected(2)

    @pytest.mark.parametrize("code", [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 4000])
    def test_another_close_code_ends_the_engine(self, code: int) -> None:
        assert isinstance(Dialled().loses(code)[-1], Closed)

    def test_going_away_is_no_orderly_end_even_where_nothing_follows(self) -> None:
        closed = Dialled(renewal=RenewalPolicy(reconnect=False)).loses(1001)[-1]
        assert isinstance(closed, Closed)
        assert closed.fault is not None

    def test_a_failed_write_is_a_lost_socket(self) -> None:
        talk = Dialled()
        (gone,) = talk.client.transport_failed(Fault("write", "broken pipe"), 0)
        assert isinstance(gone, Disconnected)
        assert gone.retry_at == 500 * MS

    def test_an_engine_that_was_given_its_socket_does_not_begin_to_dial(self) -> None:
        assert isinstance(Talk().lose_socket()[-1], Closed)

    @pytest.mark.parametrize("transport", ["webrtc", "sideband"])
    def test_a_session_that_others_share_is_not_dialled_again(self, transport: str) -> None:
        assert isinstance(Dialled(transport=transport).loses()[-1], Closed)

    @pytest.mark.parametrize("code", ["insufficient_quota", "invalid_api_key", "account_deactivated"])
    def test_a_fatal_code_stops_the_loop(self, code: str) -> None:
        talk = Dialled()
        talk.error(code)
        closed = talk.loses(1001)[-1]
        assert isinstance(closed, Closed)
        assert closed.fault is not None
        assert closed.fault.code == code

    def test_our_own_close_is_the_end_whatever_the_peer_answers(self) -> None:
        talk = Dialled()
        talk.client.close(0)
        assert talk.loses(1001)[-1] == Closed(1000, "", None)

    def test_closing_during_the_pause_is_the_end(self) -> None:
        talk = Dialled()
        talk.loses()
        assert talk.client.close(0)[-1] == Closed(1000, "", None)

    def test_dials_are_bounded_until_a_session_shows_itself(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(dials=3, jitter=0))
        for _ in range(2):
            assert not of(talk.loses(1011), Closed)
            talk.again()  # it opens, and says nothing
        assert of(talk.loses(1011), Closed)

    def test_after_a_session_that_showed_itself_and_lasted_all_the_dials_are_left_again(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(dials=1, jitter=0))
        for _ in range(5):
            talk.now += 8 * SECOND
            talk.next_session()
        assert talk.client.generation == 6

    def test_a_server_that_greets_and_fails_is_not_dialled_for_ever(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(dials=3, jitter=0))
        for _ in range(2):
            talk.next_session(1011)
        assert of(talk.loses(1011), Closed)

    def test_nor_is_one_whose_sessions_expire_at_once(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(dials=2, jitter=0))
        talk.error("session_expired")
        talk.next_session(1001)
        talk.error("session_expired")
        assert of(talk.loses(1001), Closed)

    def test_the_pause_grows_up_to_its_cap(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(dials=9, jitter=0))
        pauses = []
        for _ in range(7):
            (gone,) = of(talk.loses(), Disconnected)
            assert gone.retry_at is not None
            pauses.append((gone.retry_at - talk.now) // MS)
            talk.again()
        assert pauses == [500, 1000, 2000, 4000, 8000, 8000, 8000]

    def test_without_entropy_a_pause_is_not_left_to_chance(self) -> None:
        (gone,) = Dialled(jitter=100).loses()
        assert isinstance(gone, Disconnected)
        assert gone.retry_at == 500 * MS

    def test_chance_shortens_a_pause_by_no_more_than_it_may(self) -> None:
        pauses = []
        for byte in (b"\x00", b"\xff"):
            talk = Dialled(jitter=50)
            talk.client.entropy = lambda count, byte=byte: byte * count  # type: ignore[misc]
            (gone,) = talk.loses()
            assert isinstance(gone, Disconnected)
            assert gone.retry_at is not None
            pauses.append(gone.retry_at)
        assert pauses[0] == 500 * MS
        assert 250 * MS <= pauses[1] < 251 * MS

    @pytest.mark.parametrize(("status", "ends"), [(401, True), (403, True), (404, True), (429, False), (503, False)])
    def test_a_refusal_that_would_be_repeated_is_final(self, status: int, ends: bool) -> None:
        talk = Dialled()
        talk.loses()
        talk.tick()
        actions = talk.client.transport_failed(Fault("handshake", "refused", "R-L5", status=status), talk.now)
        assert bool(of(actions, Closed)) is ends

    def test_a_policy_is_checked_when_it_is_made(self) -> None:
        for wrong in ({"dials": 0}, {"backoff_cap": 0}, {"jitter": 101}, {"jitter": -1}):
            with pytest.raises(ValueError, match="renewal"):
                RenewalPolicy(**wrong)


class TestThePlan:
    def planned(self) -> Dialled:
        return Dialled(expires_in=HOUR)

    def test_a_renewal_is_planned_a_margin_before_the_session_expires(self) -> None:
        talk = self.planned()
        assert talk.renewing == "planned"
        assert talk.client.next_timer == (Timer.RENEWAL, (HOUR - 60) * SECOND)

    def test_without_wall_time_nothing_is_planned(self) -> None:
        talk = Talk(begun=False)
        talk.client.start(0)
        talk.client.opened(0)
        talk.hear("session.created", session={"type": "realtime", "expires_at": UNIX})
        assert talk.client.deadline is None

    @pytest.mark.parametrize("policy", [RenewalPolicy(renew=False), RenewalPolicy(reconnect=False)])
    def test_policy_may_do_without(self, policy: RenewalPolicy) -> None:
        assert Dialled(expires_in=HOUR, renewal=policy).client.deadline is None

    def test_a_session_that_is_shorter_than_two_margins_is_not_renewed_all_the_time(self) -> None:
        assert Dialled(expires_in=119).client.deadline is None

    def test_an_update_may_move_the_plan(self) -> None:
        talk = self.planned()
        talk.say(m.SessionUpdate(session=m.RealtimeSession()))
        talk.hear("session.updated", session={"type": "realtime", "expires_at": UNIX + 2 * HOUR})
        assert talk.client.next_timer == (Timer.RENEWAL, (2 * HOUR - 60) * SECOND)

    def test_in_a_quiet_moment_the_old_socket_is_broken_before_the_new_one_is_made(self) -> None:
        talk = self.planned()
        assert talk.tick() == (CloseTransport(1000, "renewal"),)
        assert talk.loses(1000) == (
            Disconnected(1, 1000, "renewal", None, talk.now),
            OpenTransport(2, 1),
        )

    def test_a_peer_that_does_not_answer_the_close_holds_nothing_up(self) -> None:
        talk = self.planned()
        talk.tick()
        assert talk.tick()[:2] == (
            CloseTransport(1006, "", abort=True),
            Disconnected(1, 1000, "renewal", None, talk.now),
        )

    def test_what_a_driver_says_late_of_the_old_socket_does_not_harm_the_new_one(self) -> None:
        talk = self.planned()
        talk.tick()
        talk.tick()  # given up
        assert talk.loses() == ()
        assert talk.opens()[0] == Connected(2)

    def test_the_next_session_is_renewed_in_its_turn(self) -> None:
        talk = self.planned()
        talk.tick()
        talk.loses(1000)
        talk.opens()
        talk.announces()
        assert talk.renewing == "planned"
        assert talk.client.next_timer == (Timer.RENEWAL, talk.now + (HOUR - 60) * SECOND)

    def busy(self, how: str) -> Dialled:
        """Somebody who would be interrupted."""
        detection = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
        talk = Dialled(expires_in=HOUR)
        if how == "speech":
            talk.hear("session.updated", session={"type": "realtime", **detection})
            talk.hear("input_audio_buffer.speech_started", item_id="v", audio_start_ms=0)
        elif how == "response":
            talk.created("r")
        elif how == "request":
            talk.now = (HOUR - 61) * SECOND
            talk.ask("a")
        elif how == "unplayed audio":
            talk.speaks("r", "i", 500)
            talk.stops_speaking("r", "i")
            talk.done("r")
        elif how == "a key held to talk":
            talk.client.append_audio(bytes(4800), 0)
        else:
            talk.say(m.InputAudioBufferClear())
        return talk

    BUSY = ("speech", "response", "request", "unplayed audio", "a key held to talk", "an unanswered command")

    @pytest.mark.parametrize("how", BUSY)
    def test_a_renewal_waits_for_quiet(self, how: str) -> None:
        talk = self.busy(how)
        assert talk.tick() == ()
        assert talk.renewing == "due"
        assert talk.client.next_timer == (Timer.QUIET, talk.now + 100 * MS)

    @pytest.mark.parametrize("how", [how for how in BUSY if how != "request"])  # that has a deadline of its own
    def test_it_waits_until_a_sixth_of_the_margin_is_left(self, how: str) -> None:
        talk = self.busy(how)
        while not of(talk.tick(), CloseTransport):
            pass
        assert talk.now == (HOUR - 10) * SECOND

    def test_it_begins_when_it_is_quiet(self) -> None:
        talk = self.busy("response")
        talk.tick()
        talk.tick()
        assert talk.renewing == "due"
        talk.done("r")
        assert talk.tick() == (CloseTransport(1000, "renewal"),)
        assert talk.now == (HOUR - 60) * SECOND + 200 * MS  # at the next look, not at the end of the margin

    def test_a_driver_that_cannot_write_the_close_does_not_hinder_the_renewal(self) -> None:
        talk = self.planned()
        talk.tick()
        fault = Fault("write", "the pipe is broken")
        assert talk.client.transport_failed(fault, talk.now) == (
            Disconnected(1, 1000, "renewal", None, talk.now),
            OpenTransport(2, 1),
        )

    def test_a_session_that_expired_is_followed_by_another_though_its_close_cannot_be_written(self) -> None:
        talk = Dialled()
        talk.error("session_expired")
        (gone,) = talk.client.transport_failed(Fault("write", "the pipe is broken"), talk.now)
        assert isinstance(gone, Disconnected)
        assert gone.retry_at == talk.client.deadline
        assert of(talk.tick(), OpenTransport) == [OpenTransport(2, 2)]

    def test_a_session_that_expired_is_followed_by_another_though_its_peer_does_not_answer(self) -> None:
        talk = Dialled()
        talk.error("session_expired")
        actions = talk.tick()
        assert [each.abort for each in of(actions, CloseTransport)] == [True]
        assert [each.retry_at for each in of(actions, Disconnected)] == [talk.client.deadline]
        assert of(talk.tick(), OpenTransport) == [OpenTransport(2, 2)]

    def test_a_session_that_expired_is_followed_by_another(self) -> None:
        talk = Dialled()
        actions = talk.error("session_expired")
        assert CloseTransport(1000, "session_expired") in actions
        assert delivered(actions) == ["error"]
        (gone,) = talk.loses(1001)
        assert isinstance(gone, Disconnected)
        assert gone.fault is not None
        assert gone.fault.code == "session_expired"
        assert talk.tick() == (OpenTransport(2, 2),)

    def test_where_nothing_may_follow_it_is_the_end(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(reconnect=False))
        assert not of(talk.error("session_expired"), CloseTransport)
        closed = talk.loses(1001)[-1]
        assert isinstance(closed, Closed)
        assert closed.fault is not None
        assert closed.fault.code == "session_expired"

    def test_commands_wait_while_the_old_socket_ends(self) -> None:
        talk = self.planned()
        talk.tick()
        assert talk.say(message("u")) == ()
        talk.loses(1000)
        assert [item["id"] for item in created(sent(talk.opens()))] == ["u"]

    def test_closing_while_the_old_socket_ends_is_the_end(self) -> None:
        talk = self.planned()
        talk.tick()
        assert talk.client.close(talk.now, 4000, "enough") == ()
        assert talk.loses(1000)[-1] == Closed(4000, "enough", None)


class TestTheHistory:
    def test_it_is_given_to_the_new_session_in_order_under_its_ids(self) -> None:
        talk = Dialled()
        for number, role in enumerate(("system", "user", "assistant")):
            talk.adds(said(f"i{number}", f"text {number}", role), previous=f"i{number - 1}" if number else None)
        given = created(talk.next_session())
        assert [(item["id"], item["role"], item["content"][0]["text"]) for item in given] == [
            ("i0", "system", "text 0"),
            ("i1", "user", "text 1"),
            ("i2", "assistant", "text 2"),
        ]
        assert given[2]["content"][0]["type"] == "output_text"

    def test_what_a_session_echoes_is_no_news(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        talk.next_session()
        assert talk.echo(said("a")) == ()
        assert talk.renewing == "renewing"
        assert talk.echo(said("b"), previous="a") == ()
        assert talk.renewing == "none"
        assert talk.ids == ["a", "b"]

    def test_what_comes_after_the_echoes_is(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.next_session()
        talk.echo(said("a"))
        talk.say(message("b"))
        assert delivered(talk.adds(said("b"), previous="a")) == ["conversation.item.added", "conversation.item.done"]
        assert talk.ids == ["a", "b"]

    def test_an_item_of_the_beta_is_an_echo_too(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.next_session()
        assert talk.hear("conversation.item.created", previous_item_id=None, item=said("a")) == ()
        assert talk.renewing == "none"

    def test_so_is_one_that_comes_by_both_of_its_names(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.next_session()
        assert talk.hear("conversation.item.created", previous_item_id=None, item=said("a")) == ()
        assert talk.echo(said("a")) == ()
        assert talk.ids == ["a"]

    def test_a_server_of_the_beta_is_told_in_its_dialect(self) -> None:
        talk = Dialled(dialect="beta")
        talk.hear("conversation.item.created", previous_item_id=None, item=said("a", "hello", "assistant"))
        talk.say(m.SessionUpdate(session=m.RealtimeSession(output_modalities=["text"])))
        talk.hear("session.updated", session={"modalities": ["text"]})
        update, item = talk.next_session()
        assert update["session"] == {"modalities": ["text"]}
        assert item["item"]["content"] == [{"type": "text", "text": "hello"}]

    def test_a_spoken_answer_is_given_as_the_words_that_were_heard(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.listen("i", 400)
        talk.client.interrupt(0)
        talk.stopped("i", 400)
        talk.hear("conversation.item.truncated", item_id="i", content_index=0, audio_end_ms=400)
        (item,) = created(talk.next_session())
        assert item["content"] == [{"type": "output_text", "text": "one two"}]

    def test_a_truncation_that_was_not_answered_is_carried_out_in_the_history(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.client.interrupt(0)
        talk.stopped("i", 400)
        told = talk.next_session()
        assert [event["type"] for event in told] == ["conversation.item.create"]
        assert created(told)[0]["content"] == [{"type": "output_text", "text": "one two"}]

    def test_audio_that_is_cut_between_the_sockets_is_given_as_far_as_it_was_heard(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.loses()
        talk.client.interrupt(0)
        talk.stopped("i", 400)
        assert created(sent(talk.again()))[0]["content"] == [{"type": "output_text", "text": "one two"}]

    def test_audio_of_which_nothing_was_heard_between_the_sockets_is_not_given(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.loses()
        talk.client.interrupt(0)
        talk.stopped("i", 0)
        actions = talk.again()
        assert sent(actions) == []
        assert rules(actions) == []
        assert talk.renewing == "none"
        assert talk.ids == ["i"]

    def test_audio_that_is_cut_in_the_next_session_is_cut_there_as_text(self) -> None:
        talk = Dialled()
        talk.adds(said("u"))
        talk.speaks("r", "i", 1000, previous="u")
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.next_session()
        talk.echo(said("u"))
        talk.echo(said("i", "one two three four five", "assistant"), previous="u")
        talk.client.interrupt(talk.now)
        told = sent(talk.stopped("i", 400))
        assert [event["type"] for event in told] == ["conversation.item.delete", "conversation.item.create"]
        assert told[1]["previous_item_id"] == "u"
        assert told[1]["item"]["content"] == [{"type": "output_text", "text": "one two"}]
        talk.hear("conversation.item.deleted", item_id="i")
        talk.adds(said("i", "one two", "assistant"), previous="u")
        assert [node.text for node in talk.client.conversation] == ["hello", "one two"]

    def test_what_is_cut_there_is_not_put_behind_an_item_that_is_being_deleted(self) -> None:
        talk = Dialled()
        talk.adds(said("u"))
        talk.speaks("r", "i", 1000, previous="u")
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.next_session()
        talk.say(m.ConversationItemDelete(item_id="u"))
        told = sent(talk.say(m.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=400)))
        assert [event.get("previous_item_id") for event in told] == [None, "root"]

    def test_a_repeated_command_is_not_put_behind_an_item_that_is_being_deleted(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        silent = {
            "id": "b",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        talk.adds(silent, previous="a")
        talk.say(m.ConversationItemDelete(item_id="a"))
        talk.say(m.ConversationItemCreate(item=message("c").item, previous_item_id="b"))
        told = talk.next_session()
        assert [(event["type"].rpartition(".")[2], event.get("previous_item_id")) for event in told] == [
            ("create", None),
            ("delete", None),
            ("create", "root"),
        ]

    def test_audio_of_which_nothing_was_heard_goes_whole_in_the_next_session(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.next_session()
        talk.echo(said("i", "one two three four five", "assistant"))
        talk.client.interrupt(talk.now)
        assert sent_types(talk.stopped("i", 0)) == ["conversation.item.delete"]

    def test_an_application_may_cut_it_too(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.next_session()
        told = talk.say(m.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=400))
        assert sent_types(told) == ["conversation.item.delete", "conversation.item.create"]

    def test_what_was_cut_there_has_no_audio_any_more(self) -> None:
        """The item that stands in its place is a text of ours, and the server refuses to truncate it."""
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.next_session()
        talk.echo(said("i", "one two three four five", "assistant"))
        cut = m.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=400)
        talk.say(cut)
        talk.hear("conversation.item.deleted", item_id="i")
        assert talk.refused(cut).code == "unsupported_content_type"
        talk.adds(said("i", "one two", "assistant"))
        assert talk.refused(cut).code == "unsupported_content_type"
        talk.client.interrupt(talk.now)
        assert sent(talk.stopped("i", 300)) == []
        assert [node.text for node in talk.client.conversation] == ["one two"]

    def test_what_is_about_to_be_deleted_is_cut_in_the_history_alone(self) -> None:
        talk = Dialled()
        talk.speaks("r", "i", 1000)
        talk.stops_speaking("r", "i", "one two three four five")
        talk.done("r")
        talk.next_session()
        talk.echo(said("i", "one two three four five", "assistant"))
        talk.client.interrupt(talk.now)
        talk.say(m.ConversationItemDelete(item_id="i"))
        assert sent(talk.stopped("i", 400)) == []
        assert [node.text for node in talk.client.conversation] == ["one two"]

    def test_the_users_words_are_given_as_text(self) -> None:
        talk = Dialled()
        audio = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.adds(audio)
        talk.hear(
            "conversation.item.input_audio_transcription.completed", item_id="u", content_index=0, transcript="hello"
        )
        (item,) = created(talk.next_session())
        assert item["content"] == [{"type": "input_text", "text": "hello"}]

    def test_audio_that_nobody_wrote_down_stays_in_the_history_here(self) -> None:
        talk = Dialled()
        audio = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.adds(audio)
        talk.loses()
        actions = talk.again()
        assert rules(actions) == ["R-N5"]
        assert sent(actions) == []
        assert talk.ids == ["u"]
        assert talk.refused(m.ConversationItemDelete(item_id="u")).rule == "R-C10"

    def test_a_session_that_transcribes_is_given_its_configuration_alone(self) -> None:
        talk = Dialled()
        talk.hear("session.updated", session={"type": "transcription"})
        talk.adds(said("u"))
        talk.say(m.SessionUpdate(session=m.TranscriptionSession(include=[])))
        talk.hear("session.updated", session={"type": "transcription"})
        assert [event["type"] for event in talk.next_session()] == ["session.update"]
        assert talk.ids == ["u"]

    def test_images_are_given(self) -> None:
        talk = Dialled()
        image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
        talk.adds({"id": "u", "type": "message", "role": "user", "content": [image]})
        assert created(talk.next_session())[0]["content"] == [image]

    def test_calls_and_outputs_are_given(self) -> None:
        talk = Dialled()
        talk.calls("r", "c")
        talk.outputs("c")
        talk.adds({"id": "o", "type": "function_call_output", "call_id": "c", "output": "12"}, previous="item_c")
        first, second = created(talk.next_session())
        assert first == {"id": "item_c", "type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}
        assert second == {"id": "o", "type": "function_call_output", "call_id": "c", "output": "12"}

    def test_a_call_is_given_before_its_output_wherever_that_stands(self) -> None:
        talk = Dialled()
        talk.calls("r", "c")
        talk.say(
            m.ConversationItemCreate(
                item=m.FunctionCallOutputItem(id="o", call_id="c", output="12"), previous_item_id="root"
            )
        )
        talk.adds({"id": "o", "type": "function_call_output", "call_id": "c", "output": "12"})
        assert talk.ids == ["o", "item_c"]
        told = talk.next_session()
        assert [item["id"] for item in created(told)] == ["item_c", "o"]
        assert told[1]["previous_item_id"] == "root"

    def test_a_call_that_was_cut_off_is_not_given_nor_is_its_output_taken(self) -> None:
        talk = Dialled()
        talk.created("r")
        talk.generates("r", {**call("c"), "arguments": ""})
        talk.loses()
        assert talk.refused(m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c", output="1"))).rule == (
            "R-C12"
        )
        actions = talk.again()
        assert created(sent(actions)) == []
        assert rules(actions) == ["R-N5"]

    def test_items_of_remote_servers_are_the_new_sessions_own(self) -> None:
        talk = Dialled()
        listing = {"id": "l", "type": "mcp_list_tools", "server_label": "s", "tools": []}
        talk.hear("conversation.item.added", item=listing, previous_item_id=None)
        talk.hear("conversation.item.done", item=listing, previous_item_id=None)
        talk.loses()
        actions = talk.again()
        assert sent(actions) == []
        assert rules(actions) == []

    def told(self, *answers: str) -> Dialled:
        """A history of two items is given to another session, and nothing has come back but ``answers``."""
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        talk.next_session()
        for answer in answers:
            talk.echo(said(answer))
        talk.client = talk.restored().client
        return talk

    def listed(self, talk: Dialled, item_id: str) -> None:
        listing = {"id": item_id, "type": "mcp_list_tools", "server_label": "s", "tools": []}
        talk.hear("conversation.item.added", item=listing, previous_item_id=None)

    def test_an_item_that_the_new_session_had_before_the_history_comes_first(self) -> None:
        talk = self.told()
        self.listed(talk, "l")
        self.listed(talk, "m")  # some servers name no predecessor at all
        assert talk.ids == ["l", "a", "b", "m"]

    def test_so_does_one_before_a_history_that_comes_later_than_it_was_waited_for(self) -> None:
        talk = self.told()
        talk.client.fire(Timer.RENEWAL)
        assert talk.renewing == "none"
        self.listed(talk, "l")
        assert talk.ids == ["l", "a", "b"]

    def test_an_item_without_a_predecessor_after_the_history_comes_last(self) -> None:
        talk = self.told("a")
        self.listed(talk, "l")
        assert talk.ids == ["a", "b", "l"]

    def test_so_does_one_after_a_history_that_was_not_taken(self) -> None:
        talk = self.told()
        for _ in range(2):
            talk.error("item_create_invalid_previous_item_id")
        assert talk.renewing == "none"
        self.listed(talk, "l")
        assert talk.ids == ["a", "b", "l"]

    def test_half_an_answer_stays_as_far_as_it_came(self) -> None:
        talk = Dialled()
        talk.created("r")
        talk.generates("r", spoken("i"))
        talk.part("r", "i", type="text")
        talk.hear("response.output_text.delta", delta="half an", response_id="r", item_id="i", output_index=0,
                  content_index=0)  # fmt: skip
        (item,) = created(talk.next_session())
        assert item["content"] == [{"type": "output_text", "text": "half an"}]
        node = talk.client.conversation.get("i")
        assert node is not None
        assert node.status == "incomplete"

    def test_an_answer_that_never_began_is_no_loss(self) -> None:
        talk = Dialled()
        talk.created("r")
        talk.generates("r", spoken("i"))
        talk.loses()
        actions = talk.again()
        assert created(sent(actions)) == []
        assert rules(actions) == []

    def test_ids_that_a_client_may_not_choose_become_their_digest(self) -> None:
        long = "item." + "x" * 40
        talk = Dialled()
        talk.adds(said(long))
        (item,) = created(talk.next_session())
        assert len(item["id"]) <= 32
        assert talk.ids == [item["id"]]
        talk.echo({**said(long), "id": item["id"]})
        assert sent(talk.say(m.ConversationItemDelete(item_id=long)))[0]["item_id"] == item["id"]
        (again,) = created(talk.next_session())
        assert again["id"] == item["id"]

    def test_a_response_that_is_to_read_it_names_it_so_too(self) -> None:
        long = "item." + "x" * 40
        talk = Dialled()
        talk.adds(said(long))
        (item,) = created(talk.next_session())
        talk.echo({**said(long), "id": item["id"]})
        (asked,) = sent(talk.ask("r", conversation="none", input=[m.ItemReference(id=long)]))
        assert asked["response"]["input"] == [{"type": "item_reference", "id": item["id"]}]

    def test_so_do_calls_and_their_outputs(self) -> None:
        long = "call." + "x" * 40
        talk = Dialled()
        talk.calls("r", long)
        (item,) = created(talk.next_session())
        assert len(item["call_id"]) <= 32
        assert sent(talk.outputs(long))[0]["item"]["call_id"] == item["call_id"]

    def test_a_place_behind_such_an_item_is_named_as_it_is_now(self) -> None:
        long = "item." + "x" * 40
        talk = Dialled()
        talk.adds(said(long))
        (item,) = created(talk.next_session())
        (told,) = sent(talk.say(m.ConversationItemCreate(item=message("b").item, previous_item_id=long)))
        assert told["previous_item_id"] == item["id"]

    def test_two_items_of_one_id_are_both_given(self) -> None:
        talk = Dialled()
        talk.adds(said("a", "one"))
        talk.adds(said("a", "two"), previous="a")
        given = created(talk.next_session())
        assert [item["content"][0]["text"] for item in given] == ["one", "two"]
        assert talk.echo(said("a", "one")) == ()
        assert talk.renewing == "renewing"
        assert talk.echo(said("a", "two"), previous="a") == ()
        assert talk.ids == ["a", "a"]
        assert talk.renewing == "none"

    def test_an_item_that_is_refused_stays_in_the_history_here(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        (told,) = talk.next_session()
        actions = talk.error("invalid_value", told["event_id"])
        assert delivered(actions) == []
        assert rules(actions) == ["R-N5"]
        assert talk.ids == ["a"]
        assert talk.renewing == "none"

    def test_an_error_tells_which_of_several_is_refused(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        _first, second = talk.next_session()
        actions = talk.error("invalid_value", second["event_id"])
        assert [report.detail for report in of(actions, Report)] == ["item 'b' was refused (invalid_value)"]
        assert talk.renewing == "renewing"
        assert talk.echo(said("a")) == ()
        assert talk.renewing == "none"

    def test_an_item_that_is_passed_over_is_reported(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        talk.next_session()
        assert rules(talk.echo(said("b"))) == ["R-N5"]
        assert talk.renewing == "none"

    def test_an_item_that_was_deleted_meanwhile_may_be_passed_over_too(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        talk.next_session()
        talk.say(m.ConversationItemDelete(item_id="a"))
        talk.hear("conversation.item.deleted", item_id="a")
        actions = talk.echo(said("b"))
        assert [report.detail for report in of(actions, Report)] == ["item 'a' was not echoed"]
        assert talk.ids == ["b"]
        assert talk.renewing == "none"

    def test_a_call_that_is_refused_cannot_be_answered_any_more(self) -> None:
        talk = Dialled()
        talk.calls("r", "c")
        (told,) = talk.next_session()
        talk.error("invalid_value", told["event_id"])
        output = m.ConversationItemCreate(item=m.FunctionCallOutputItem(call_id="c", output="1"))
        assert talk.refused(output).rule == "R-C12"

    def test_what_a_session_says_by_itself_between_the_echoes_is_news(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.next_session()
        actions = talk.adds(said("s", role="system"), previous="a")
        assert delivered(actions) == ["conversation.item.added", "conversation.item.done"]
        assert rules(actions) == []
        assert talk.renewing == "renewing"
        assert talk.echo(said("a")) == ()
        assert talk.ids == ["a", "s"]

    def test_an_item_that_was_asked_for_is_no_echo(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.next_session()
        talk.say(m.ConversationItemRetrieve(item_id="a"))
        assert delivered(talk.hear("conversation.item.retrieved", item=said("a"))) == ["conversation.item.retrieved"]
        assert talk.renewing == "renewing"

    def test_an_echo_that_is_not_waited_for_any_more_is_no_second_item(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        talk.next_session()
        assert talk.client.deadline is not None
        talk.now = talk.client.deadline
        assert rules(talk.tick()) == ["R-N5"]
        assert talk.echo(said("a")) == talk.echo(said("b"), previous="a") == ()
        assert talk.ids == ["a", "b"]

    def test_echoes_are_not_waited_for_forever(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.next_session()
        assert talk.client.next_timer is not None
        assert talk.client.next_timer[0] is Timer.RENEWAL
        assert rules(talk.tick()) == ["R-N5"]
        assert talk.renewing == "none"

    def test_a_session_that_echoes_nothing_is_renewed_in_its_turn(self) -> None:
        talk = Dialled(expires_in=HOUR)
        talk.adds(said("a"))
        talk.next_session()
        begun = talk.now
        assert rules(talk.tick()) == ["R-N5"]
        assert talk.renewing == "planned"
        assert talk.client.next_timer == (Timer.RENEWAL, (begun // SECOND + HOUR - 60) * SECOND)

    def test_a_part_that_cannot_be_given_is_reported_though_the_others_are(self) -> None:
        talk = Dialled()
        content = [{"type": "input_text", "text": "look:"}, {"type": "input_audio"}, {"type": "hologram"}]
        talk.adds({"id": "a", "type": "message", "role": "user", "status": "completed", "content": content})
        talk.loses()
        actions = talk.again()
        lost = [report for report in of(actions, Report) if report.rule == "R-N5"]
        assert [report.path for report in lost] == ["$.content[1]", "$.content[2]"]
        (told,) = sent(actions)
        assert told["item"]["content"] == [{"type": "input_text", "text": "look:"}]

    def test_a_strict_client_forgives_what_cannot_be_given(self) -> None:
        talk = Dialled(strict=True)
        talk.say(message("a"))
        talk.adds(said("a"))
        (told,) = talk.next_session()
        assert not of(talk.error("invalid_value", told["event_id"]), CloseTransport)

    def test_without_replay_the_next_session_begins_empty(self) -> None:
        talk = Dialled(replay=False)
        talk.adds(said("a"))
        assert talk.next_session() == []
        assert talk.ids == []

    def test_a_socket_that_is_lost_during_the_replay_is_followed_by_another_replay(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        talk.adds(said("b"), previous="a")
        talk.next_session()
        talk.echo(said("a"))
        assert [item["id"] for item in created(talk.next_session())] == ["a", "b"]

    def test_ids_of_the_dead_session_mean_nothing_to_the_next(self) -> None:
        talk = Dialled()
        talk.created("r")
        talk.next_session()
        assert talk.client.default_response is None
        assert rules(talk.created("r")) == []
        assert rules(talk.done("r")) == []


class TestTheConfiguration:
    def test_what_was_accepted_is_wished_of_the_next_session(self) -> None:
        talk = Dialled()
        talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be kind", tools=[])))
        talk.hear("session.updated", session={"type": "realtime"})
        talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be brief")))
        talk.hear("session.updated", session={"type": "realtime"})
        (told,) = talk.next_session()
        assert told["type"] == "session.update"
        assert told["session"] == {"type": "realtime", "instructions": "be brief", "tools": []}

    def test_what_the_server_chose_is_not(self) -> None:
        talk = Dialled()
        talk.announces(id="sess", instructions="the default", voice="alloy")
        assert talk.next_session() == []

    def test_without_replay_nothing_is_wished(self) -> None:
        talk = Dialled(replay=False)
        talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be kind")))
        talk.hear("session.updated", session={"type": "realtime"})
        assert talk.next_session() == []

    def test_what_was_refused_is_not(self) -> None:
        talk = Dialled()
        talk.say(m.SessionUpdate(event_id="u", session=m.RealtimeSession(instructions="be kind")))
        talk.error("invalid_value", "u")
        assert talk.next_session() == []

    def test_the_answer_is_no_news(self) -> None:
        talk = Dialled()
        talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be kind")))
        talk.hear("session.updated", session={"type": "realtime"})
        talk.next_session()
        assert talk.hear("session.updated", session={"type": "realtime", "instructions": "be kind"}) == ()
        assert talk.client.configuration is not None
        assert talk.client.configuration.instructions == "be kind"

    def test_it_comes_before_the_history(self) -> None:
        talk = Dialled()
        talk.say(m.SessionUpdate(session=m.RealtimeSession(instructions="be kind")))
        talk.hear("session.updated", session={"type": "realtime"})
        talk.adds(said("a"))
        assert [event["type"] for event in talk.next_session()] == ["session.update", "conversation.item.create"]

    def test_the_formats_hold_while_it_is_on_its_way(self) -> None:
        law = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
        talk = Dialled()
        wish = m.RealtimeSession(audio=m.AudioConfig(input=m.AudioInput(format=m.AudioFormat(type="audio/pcmu"))))
        talk.say(m.SessionUpdate(session=wish))
        talk.hear("session.updated", session={"type": "realtime", "audio": law})
        talk.loses()
        talk.again()
        talk.announces(audio={"input": {"format": {"type": "audio/pcm", "rate": 24000}}})
        assert talk.client.input_audio_buffer.format.rate == 8000

    def test_a_session_that_refuses_it_is_reported_and_taken_as_it_is(self) -> None:
        talk = Dialled()
        wish = m.RealtimeSession(audio=m.AudioConfig(input=m.AudioInput(format=m.AudioFormat(type="audio/pcmu"))))
        talk.say(m.SessionUpdate(session=wish))
        talk.hear(
            "session.updated", session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        )
        (told,) = talk.next_session()
        talk.announces(audio={"input": {"format": {"type": "audio/pcm", "rate": 24000}}})
        actions = talk.error("invalid_value", told["event_id"])
        assert rules(actions) == ["R-N5"]
        assert delivered(actions) == []
        assert talk.client.input_audio_buffer.format.rate == 24000

    def test_a_snapshot_holds_no_credentials_of_what_was_wished(self) -> None:
        talk = Dialled()
        tool = m.McpTool(server_label="s", server_url="https://s", authorization="SECRET")
        for answered in (True, False):
            talk.say(m.SessionUpdate(session=m.RealtimeSession(tools=[tool])))
            if answered:
                talk.hear("session.updated", session={"type": "realtime"})
        assert b"SECRET" not in talk.client.snapshot(0).encode()
        talk.loses()
        talk.say(m.SessionUpdate(session=m.RealtimeSession(tools=[tool])))
        assert b"SECRET" not in talk.client.snapshot(0).encode()


class TestWhatWasUnderWay:
    def test_a_request_that_was_sent_is_settled_and_not_repeated(self) -> None:
        talk = Dialled()
        talk.ask("a")
        assert outcomes(talk.loses()) == {"a": Dropped("disconnected")}
        assert sent(talk.again()) == []

    def test_so_is_one_that_was_being_answered(self) -> None:
        talk = Dialled()
        talk.ask("a")
        talk.created("r", request="a")
        assert outcomes(talk.loses()) == {"a": Dropped("disconnected")}

    def test_a_request_that_was_held_back_is_asked_of_the_next_session(self) -> None:
        talk = Dialled()
        talk.created("r")
        talk.ask("a")
        assert outcomes(talk.loses()) == {}
        talk.tick()
        assert sent_types(talk.opens()) == ["response.create"]
        talk.announces()
        talk.created("r", request="a")
        assert outcomes(talk.done("r")) == {"a": Finished("r", "completed", None)}

    def test_one_that_waits_for_outputs_waits_for_them_in_the_next_session(self) -> None:
        talk = Dialled()
        talk.calls("r", "c", "d")
        talk.outputs("c")
        talk.ask("a")
        talk.adds({"id": "o", "type": "function_call_output", "call_id": "c", "output": "12"}, previous="item_d")
        assert "response.create" not in [event["type"] for event in talk.next_session()]
        assert sent_types(talk.outputs("d")) == ["conversation.item.create", "response.create"]

    def test_commands_that_nobody_answered_are_sent_again_behind_the_history(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        commands = [
            m.SessionUpdate(event_id="1", session=m.RealtimeSession(instructions="be kind")),
            m.ConversationItemCreate(
                event_id="2", item=m.MessageItem(id="b", role="user", content=[m.InputText(text="hi")])
            ),
            m.ConversationItemDelete(event_id="3", item_id="a"),
        ]
        for command in commands:
            talk.say(command)
        told = talk.next_session()
        assert [event["event_id"] for event in told][1:] == ["1", "2", "3"]
        talk.echo(said("a"))
        assert delivered(talk.hear("session.updated", session={"type": "realtime"})) == ["session.updated"]
        assert delivered(talk.adds(said("b"), previous="a")) == ["conversation.item.added", "conversation.item.done"]

    def test_a_call_that_is_sent_again_may_be_answered_at_once(self) -> None:
        talk = Dialled()
        item = m.FunctionCallItem(id="i", call_id="c", name="f", arguments="{}")
        talk.say(m.ConversationItemCreate(item=item))
        assert [item["call_id"] for item in created(talk.next_session())] == ["c"]
        assert created(sent(talk.outputs("c")))[0]["call_id"] == "c"

    def test_the_oldest_of_too_many_is_forgotten_with_a_report(self) -> None:
        talk = Dialled(limits=Limits(queued_commands=2))
        for item_id in ("a", "b", "c"):
            talk.say(message(item_id))
        assert rules(talk.loses()) == ["R-N6"]
        assert [item["id"] for item in created(sent(talk.again()))] == ["b", "c"]

    def test_what_the_new_session_has_not_cannot_be_retrieved_from_it(self) -> None:
        talk = Dialled()
        audio = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.adds(audio)
        talk.say(m.ConversationItemRetrieve(item_id="u"))
        talk.loses()
        actions = talk.again()
        assert sent(actions) == []
        assert rules(actions) == ["R-N5", "R-N6"]
        assert talk.ids == ["u"]

    def test_the_delete_of_what_is_no_more_is_carried_out_here_though_it_came_between_the_sockets(self) -> None:
        talk = Dialled()
        audio = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.adds(audio)
        talk.loses()
        talk.say(m.ConversationItemDelete(item_id="u"), override={"R-C10"})
        talk.say(message("b"))
        assert [item["id"] for item in created(sent(talk.again()))] == ["b"]
        assert talk.ids == []

    def test_audio_commands_are_not(self) -> None:
        talk = Dialled()
        talk.client.append_audio(bytes(9600), 0)
        talk.say(m.InputAudioBufferCommit())
        talk.say(m.InputAudioBufferClear())
        assert talk.next_session() == []

    def test_they_are_sent_again_once_a_session_each(self) -> None:
        talk = Dialled()
        talk.say(message("a"))
        for _ in range(3):
            assert [item["id"] for item in created(talk.next_session())] == ["a"]
        talk.adds(said("a"))
        assert talk.ids == ["a"]

    def test_what_waits_for_a_socket_comes_after_them(self) -> None:
        talk = Dialled()
        talk.say(message("a"))
        talk.loses()
        talk.say(message("b"))
        talk.ask("r")
        assert [event["type"] for event in sent(talk.again())] == [
            "conversation.item.create",
            "conversation.item.create",
            "response.create",
        ]

    def test_a_place_behind_what_is_no_more_is_the_place_before_it(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        audio = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.adds(audio, previous="a")
        item = m.MessageItem(id="b", role="user", content=[m.InputText(text="hi")])
        talk.say(m.ConversationItemCreate(item=item, previous_item_id="u"))
        assert talk.next_session()[1]["previous_item_id"] == "a"

    def test_nor_is_what_is_no_more_such_a_place(self) -> None:
        talk = Dialled()
        talk.adds(said("a"))
        previous = "a"
        for item_id in ("u", "v"):
            part = {"type": "input_audio", "transcript": None}
            talk.adds({"id": item_id, "type": "message", "role": "user", "content": [part]}, previous=previous)
            previous = item_id
        talk.say(m.ConversationItemCreate(item=message("b").item, previous_item_id="v"))
        assert talk.next_session()[1]["previous_item_id"] == "a"

    def test_the_delete_of_what_is_no_more_is_carried_out_here(self) -> None:
        talk = Dialled()
        audio = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        talk.adds(audio)
        talk.say(m.ConversationItemDelete(item_id="u"))
        assert talk.next_session() == []
        assert talk.ids == []

    def test_an_output_whose_call_is_no_more_is_reported(self) -> None:
        talk = Dialled()
        talk.created("r")
        talk.generates("r", {**call("c"), "arguments": ""})
        output = m.FunctionCallOutputItem(call_id="c", output="1")
        talk.say(m.ConversationItemCreate(item=output), override={"R-C12"})
        talk.loses()
        actions = talk.again()
        assert sent(actions) == []
        assert "R-N6" in rules(actions)

    def test_what_waits_at_the_end_of_all_dials_was_disconnected(self) -> None:
        talk = Dialled(renewal=RenewalPolicy(dials=2, jitter=0))
        talk.loses()
        talk.ask("a")
        talk.tick()
        actions = talk.client.transport_failed(Fault("dial", "no"), talk.now)
        assert outcomes(actions) == {"a": Dropped("disconnected")}

    def test_what_waits_at_our_own_end_was_closed(self) -> None:
        talk = Dialled()
        talk.loses()
        talk.ask("a")
        assert RequestSettled("a", Dropped("closed")) in talk.client.close(0)

    def test_audio_between_the_sockets_is_the_newest(self) -> None:
        talk = Dialled()
        talk.loses()
        for number in range(60):
            talk.client.append_audio(bytes([number]) * 4800, 0)
        assert len(sent(talk.again())) == 50


class TestSnapshots:
    @pytest.mark.parametrize("moments", range(8))
    def test_a_renewal_goes_on_from_a_snapshot(self, moments: int) -> None:
        def restored(talk: Dialled) -> None:
            other = talk.restored()
            talk.client = other.client

        talk = Dialled(expires_in=HOUR)
        steps = [
            lambda: talk.adds(said("a")),
            lambda: talk.say(message("b")),
            lambda: talk.loses(),
            lambda: talk.tick(),
            lambda: talk.opens(),
            lambda: talk.announces(),
            lambda: talk.echo(said("a")),
            lambda: talk.adds(said("b"), previous="a"),
        ]
        told = []
        for number, step in enumerate(steps):
            if number == moments:
                restored(talk)
            told += sent(step())
        assert [item["id"] for item in created(told)] == ["b", "a", "b"]
        assert talk.ids == ["a", "b"]
        assert talk.renewing == "planned"
        assert talk.client.deadline == (HOUR - 60) * SECOND


def test_a_session_of_the_beta_is_renewed_in_its_own_words() -> None:
    talk = Dialled(dialect="beta")
    talk.say(m.SessionUpdate(session=m.RealtimeSession(output_modalities=["text"])))
    talk.hear("session.updated", session={"modalities": ["text"]})
    talk.adds({**said("u1"), "object": "realtime.item"})
    talk.hear(
        "conversation.item.created", item={**said("a1", role="assistant"), "content": [{"type": "text", "text": "yes"}]}
    )
    told = talk.next_session()
    (update,) = [event["session"] for event in told if event["type"] == "session.update"]
    items = [event["item"] for event in told if event["type"] == "conversation.item.create"]
    assert update == {"modalities": ["text"]}
    assert [part["type"] for part in items[-1]["content"]] == ["text"]


def test_a_call_that_a_transcription_session_was_told_of_is_unknown_to_the_next() -> None:
    talk = Dialled(session_type="transcription")
    talk.hear("session.updated", session={"type": "transcription"})
    talk.adds({"id": "c", "type": "function_call", "name": "f", "call_id": "call_1", "arguments": "{}"})
    talk.next_session()
    output = m.FunctionCallOutputItem(call_id="call_1", output="42")
    assert talk.refused(lambda: talk.say(m.ConversationItemCreate(item=output))).code == "invalid_tool_call_id"


def test_a_translation_whose_end_waits_for_a_socket_takes_no_more_audio() -> None:
    talk = Dialled(expires_in=130, session_type="translation")
    talk.announces(type="translation")
    while not any(isinstance(action, CloseTransport) for action in talk.tick()):
        pass  # until the renewal closes the socket
    talk.say(m.SessionClose())
    for refused in (
        talk.refused(m.SessionInputAudioBufferAppend(audio="AAAA")),
        talk.refused(m.SessionClose()),
        talk.refused(lambda: talk.client.append_audio(bytes(480), talk.now)),
    ):
        assert refused.rule == "R-X3"
    talk.loses(1000)
    assert sent_types(talk.opens()) == ["session.close"]


def test_an_approval_whose_request_is_no_more_is_reported() -> None:
    """A server asks for approvals itself, so no other session can be given one."""
    talk = Dialled()
    talk.adds({"id": "q", "type": "mcp_approval_request", "server_label": "s", "name": "f", "arguments": "{}"})
    talk.say(m.ConversationItemCreate(item=m.McpApprovalResponseItem(approval_request_id="q", approve=True)))
    talk.loses()
    actions = talk.again()
    assert sent(actions) == []
    assert "R-N6" in rules(actions)


class TestASessionThatBeginsEmpty:
    """What is said while a socket closes waits for the next, and may name what only the last session had (R-N6)."""

    def test_it_is_not_asked_to_delete_what_it_never_had(self) -> None:
        talk = Dialled(replay=False)
        talk.adds(said("a"))
        talk.error("session_expired")
        for event in (m.ConversationItemRetrieve(item_id="a"), m.ConversationItemDelete(item_id="a")):
            talk.say(event)
        talk.loses()
        actions = talk.again()
        assert (sent(actions), rules(actions)) == ([], ["R-N6", "R-N6"])

    def test_an_item_that_was_to_stand_behind_one_that_is_gone_comes_last(self) -> None:
        talk = Dialled(replay=False)
        talk.adds(said("a"))
        talk.error("session_expired")
        talk.say(m.ConversationItemCreate(item=message("b").item, previous_item_id="a"))
        talk.say(m.ConversationItemCreate(item=message("c").item, previous_item_id="b"))
        talk.loses()
        assert [event.get("previous_item_id") for event in sent(talk.again())] == [None, "b"]

    def test_what_was_made_while_no_socket_was_there_may_be_deleted(self) -> None:
        talk = Dialled(replay=False)
        talk.loses()
        talk.say(message("b"))
        talk.say(m.ConversationItemDelete(item_id="b"))
        assert sent_types(talk.again()) == ["conversation.item.create", "conversation.item.delete"]


def test_a_cut_of_what_cannot_be_given_is_not_sent() -> None:
    talk = Dialled()
    talk.speaks("r", "i", 100)
    talk.error("session_expired")
    talk.say(m.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=0))
    talk.loses()
    actions = talk.again()
    assert (sent(actions), rules(actions)) == ([], ["R-N6"])
