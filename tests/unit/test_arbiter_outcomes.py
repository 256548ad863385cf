"""Every `response.create` comes to exactly one outcome (R-Q6), whatever the server does; and to the one that was wished
for, if the server keeps the rules.

Two servers. The first says anything in any order, which the tables have to survive. The second keeps one response at a
time in the default conversation, begins responses of its own as voice detection does, and answers in order, while
messages of both directions are under way; names and metadata it may leave out, as services do.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon import (
    Actions,
    ArbiterPolicy,
    Dropped,
    Finished,
    LocalProtocolError,
    LostToVad,
    Merged,
    Outcome,
    Rejected,
    RequestSettled,
    TimedOut,
)
from antiphon import messages as m
from unit.engine_helpers import Talk, call, of, sent

OCCUPIED = "conversation_already_has_active_response"
TAG = "antiphon_request"

examples = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def policies(**fixed: Any) -> st.SearchStrategy[ArbiterPolicy]:
    wishes: dict[str, Any] = {
        "on_active": st.sampled_from(["queue", "queue", "refuse", "send"]),
        "merge_tool_outputs": st.booleans(),
        "retry_lost_to_vad": st.booleans(),
        "retries": st.integers(0, 2),
        "late": st.sampled_from(["adopt", "cancel"]),
        "queue_limit": st.sampled_from([1, 3, 32]),
        "tag_requests": st.booleans(),
    }
    return st.builds(ArbiterPolicy, **{**wishes, **{name: st.just(value) for name, value in fixed.items()}})


def scripts(acts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Scripts of every length; `st.lists` alone prefers short ones."""
    return st.sampled_from(range(60)).flatmap(lambda size: st.lists(acts, min_size=size, max_size=size))


class Asker:
    """An application: what it asked for, and what it was told."""

    def __init__(self, policy: ArbiterPolicy) -> None:
        self.talk = Talk(arbiter=policy)
        self.asked: list[str] = []
        self.told: list[tuple[str, Outcome]] = []

    def take(self, actions: Actions) -> Actions:
        self.told += [(each.event_id, each.outcome) for each in of(actions, RequestSettled)]
        return actions

    def ask(self, kind: int) -> Actions:
        params: tuple[dict[str, Any], ...] = ({}, {}, {"conversation": "none"}, {"instructions": "briefly"})
        name = f"ask{len(self.asked)}"
        override = {"R-Q1"} if kind == 4 else set()
        try:
            actions = self.talk.ask(name, override=override, **params[kind % 4])
        except LocalProtocolError:
            return ()
        self.asked.append(name)
        return self.take(actions)

    def attempt(self, act: Callable[[], Actions]) -> Actions:
        try:
            return self.take(act())
        except LocalProtocolError:
            return ()

    def restore(self) -> None:
        self.talk = self.talk.restored()

    def end(self) -> None:
        self.take(self.talk.client.close(self.talk.now))
        self.take(self.talk.lose_socket())
        assert Counter(name for name, _ in self.told) == Counter(self.asked)
        arbiter = self.talk.client.arbiter
        assert not (arbiter.queue or arbiter.sent or arbiter.active or arbiter.late)


# -- a server that says anything ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["ask0", "ask1", "ask2", "ask3", "stranger", None])
RESPONSES = st.sampled_from(["r0", "r1", "r2", "r3"])
CODES = st.sampled_from([OCCUPIED, OCCUPIED, "response_cancel_not_active", "invalid_value", "server_error", None])
PARAMS = st.sampled_from([None, "response.instructions", "response.modalities", "item.id"])
ACTS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 4)),
    st.tuples(st.just("created"), RESPONSES, NAMES, st.booleans()),
    st.tuples(st.just("done"), RESPONSES, NAMES, st.booleans()),
    st.tuples(st.just("broken done"), RESPONSES),
    st.tuples(st.just("activity"), RESPONSES),
    st.tuples(st.just("error"), CODES, NAMES, PARAMS),
    st.tuples(st.just("calls"), RESPONSES),
    st.tuples(st.just("output"), st.integers(0, 1)),
    st.tuples(st.just("cancel"), st.one_of(RESPONSES, st.none())),
    st.sampled_from([("interrupt",), ("tick",), ("restore",), ("unheard answer",)]),
)


def play(asker: Asker, act: tuple[Any, ...]) -> None:
    talk = asker.talk
    match act:
        case ("ask", kind):
            asker.ask(kind)
        case ("created", response_id, name, aside):
            fields: dict[str, Any] = {"metadata": None} if name is None else {"request": name}
            asker.take(talk.created(response_id, conversation_id=None if aside else "conv", **fields))
        case ("done", response_id, name, aside):
            metadata = None if name is None else {TAG: name}
            asker.take(talk.done(response_id, conversation_id=None if aside else "conv", metadata=metadata))
        case ("broken done", response_id):
            asker.take(talk.hear("response.done", response={"id": response_id, "status": 7, "output": 8}))
        case ("activity", response_id):
            item = {"id": "i", "type": "message", "role": "assistant", "content": []}
            asker.take(talk.hear("response.output_item.added", response_id=response_id, output_index=0, item=item))
        case ("error", code, name, param):
            error = {"type": "invalid_request_error", "code": code, "message": "no", "param": param, "event_id": name}
            asker.take(talk.hear("error", error=error))
        case ("calls", response_id):
            output = [{**call(name), "status": "completed"} for name in ("c0", "c1")]
            asker.take(talk.done(response_id, output=output))
        case ("output", number):
            asker.attempt(lambda: talk.outputs(f"c{number}"))
        case ("cancel", response_id):
            named = m.ResponseCancel() if response_id is None else m.ResponseCancel(response_id=response_id)
            asker.attempt(lambda: talk.say(named))
        case ("interrupt",):
            asker.take(talk.client.interrupt(talk.now))
        case ("tick",) if talk.client.deadline is not None:
            asker.take(talk.tick())
            assert talk.client.deadline is None or talk.client.deadline > talk.now
        case ("restore",):
            asker.restore()
        case ("unheard answer",):
            asker.take(talk.hear("response.created", response={"id": "r9"}))


@examples
@given(policies(), scripts(ACTS))
def test_every_request_has_exactly_one_outcome_whatever_the_server_says(policy: Any, acts: list[Any]) -> None:
    asker = Asker(policy)
    for act in acts:
        play(asker, act)
    asker.end()


@examples
@given(policies(), scripts(ACTS))
def test_a_request_has_an_outcome_by_its_deadline_unless_a_response_is_in_progress(
    policy: Any, acts: list[Any]
) -> None:
    asker = Asker(policy)
    for act in acts:
        play(asker, act)
    for _ in range(200):
        for record in [each for each in asker.talk.client.responses.values() if each.is_open]:
            asker.take(asker.talk.done(record.id, metadata=None))
        if asker.talk.client.deadline is None:
            break
        asker.take(asker.talk.tick())
    assert Counter(name for name, _ in asker.told) == Counter(asker.asked)


# -- a server that keeps the rules -------------------------------------------------------------------------------------


class Service:
    """The far end of a slow link: one response at a time in the default conversation, any number beside it."""

    def __init__(self, asker: Asker, *, names_errors: bool, echoes: bool) -> None:
        self.asker = asker
        self.names_errors = names_errors
        self.echoes = echoes
        self.to_server: deque[dict[str, Any]] = deque()
        self.to_client: deque[dict[str, Any]] = deque()
        self.active: dict[str, Any] | None = None
        self.aside: list[dict[str, Any]] = []
        self.began = 0

    def transmit(self, actions: Actions) -> None:
        self.to_server.extend(sent(actions))

    def begin(self, conversation_id: str | None, metadata: dict[str, str] | None) -> dict[str, Any]:
        self.began += 1
        response: dict[str, Any] = {"id": f"r{self.began}", "status": "in_progress", "conversation_id": conversation_id}
        if self.echoes:
            response["metadata"] = metadata
        self.to_client.append({"type": "response.created", "response": response})
        return response

    def hears_voice(self) -> None:
        if self.active is None:
            self.to_client.append({"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 0})
            self.active = self.begin("conv", None)

    def ends(self, which: Literal["active", "aside"], status: str = "completed") -> None:
        response = self.active if which == "active" else self.aside.pop(0) if self.aside else None
        if response is not None:
            if which == "active":
                self.active = None
            self.to_client.append({"type": "response.done", "response": {**response, "status": status}})

    def error(self, code: str, event_id: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "no"}
        self.to_client.append(
            {"type": "error", "error": {**error, "event_id": event_id if self.names_errors else None}}
        )

    def reads(self) -> None:
        """Take one command."""
        command = self.to_server.popleft() if self.to_server else {"type": ""}
        if command["type"] == "response.create":
            params = command.get("response") or {}
            if params.get("conversation") == "none":
                self.aside.append(self.begin(None, params.get("metadata")))
            elif self.active is not None:
                self.error(OCCUPIED, command["event_id"])
            else:
                self.active = self.begin("conv", params.get("metadata"))
        elif command["type"] == "response.cancel":
            if self.active is not None and command.get("response_id", self.active["id"]) == self.active["id"]:
                self.ends("active", "cancelled")
            else:
                self.error("response_cancel_not_active", command["event_id"])

    def writes(self) -> None:
        """Have the client hear one event."""
        if self.to_client:
            event = dict(self.to_client.popleft())
            self.transmit(self.asker.take(self.asker.talk.hear(event.pop("type"), **event)))

    def settle(self) -> None:
        """Let everything arrive and end."""
        while self.to_server or self.to_client or self.active or self.aside:
            while self.to_server:
                self.reads()
            self.ends("active")
            self.ends("aside")
            while self.to_client:
                self.writes()


LEGAL = st.sampled_from(
    ["ask", "ask", "ask more", "aside", "voice", "reads", "reads", "writes", "writes", "ends", "quit"]
)


def run(asker: Asker, service: Service, acts: list[str], *, interrupts: bool = False) -> None:
    for act in acts:
        if act in ("ask", "ask more", "aside"):
            service.transmit(asker.ask({"ask": 0, "ask more": 3, "aside": 2}[act]))
        elif act == "voice":
            service.hears_voice()
        elif act == "reads":
            service.reads()
        elif act == "writes":
            service.writes()
        elif act == "ends":
            service.ends("active")
            service.ends("aside")
        elif interrupts:
            service.transmit(asker.take(asker.talk.client.interrupt(asker.talk.now)))
    service.settle()


@examples
@given(policies(on_active="queue", retry_lost_to_vad=True, retries=99, queue_limit=99), scripts(LEGAL))
def test_with_a_server_that_keeps_the_rules_every_request_is_answered(policy: Any, acts: list[str]) -> None:
    """With its name in the error, or with a tag, which leave no doubt."""
    for names_errors in (True, False):
        asker = Asker(policy)
        run(asker, Service(asker, names_errors=names_errors or not policy.tag_requests, echoes=True), acts)
        assert Counter(name for name, _ in asker.told) == Counter(asker.asked)
        assert all(isinstance(outcome, (Finished, Merged)) for _, outcome in asker.told)
        if policy.tag_requests:
            answered = [outcome.response_id for _, outcome in asker.told if isinstance(outcome, Finished)]
            assert len(set(answered)) == len(answered)
        assert asker.talk.client.deadline is None


@examples
@given(policies(on_active="queue", retry_lost_to_vad=True, retries=1), scripts(LEGAL))
def test_with_few_retries_a_request_is_answered_or_lost_to_voice_detection(policy: Any, acts: list[str]) -> None:
    asker = Asker(policy)
    run(asker, Service(asker, names_errors=True, echoes=True), acts)
    assert Counter(name for name, _ in asker.told) == Counter(asker.asked)
    assert all(isinstance(outcome, (Finished, Merged, LostToVad)) for _, outcome in asker.told)


@examples
@given(policies(), st.booleans(), st.booleans(), scripts(LEGAL))
def test_under_every_policy_and_with_a_user_who_interrupts_a_request_has_one_outcome_before_any_deadline(
    policy: Any, names_errors: bool, echoes: bool, acts: list[str]
) -> None:
    asker = Asker(policy)
    run(asker, Service(asker, names_errors=names_errors, echoes=echoes), acts, interrupts=True)
    told = Counter(name for name, _ in asker.told)
    assert not told - Counter(asker.asked)
    if names_errors and (echoes or policy.tag_requests):
        assert told == Counter(asker.asked)
    assert not any(isinstance(outcome, TimedOut) for _, outcome in asker.told)
    asker.end()


def test_the_servers_provoke_every_outcome() -> None:
    """A property about outcomes needs them: each is met by a script of the kinds above."""
    seen: set[type[Outcome]] = set()

    @settings(max_examples=300, derandomize=True, database=None)
    @given(policies(), scripts(ACTS))
    def anything(policy: Any, acts: list[Any]) -> None:
        asker = Asker(policy)
        for act in acts:
            play(asker, act)
        asker.end()
        seen.update(type(outcome) for _, outcome in asker.told)

    anything()
    assert seen == {Finished, Rejected, Merged, TimedOut, LostToVad, Dropped}
