"""What a type checker knows of the engine: which role may do what, and that no case of a union is forgotten.

Nothing here runs. `make lint` checks it: a comment that ignores an error is one itself where there is none.
"""

from typing import assert_never, assert_type

from antiphon import (
    Actions,
    ClientSession,
    Closed,
    Connection,
    ConnectionConfig,
    Deliver,
    Dropped,
    Finished,
    LostToVad,
    Merged,
    Outcome,
    Rejected,
    Resources,
    Role,
    ServerSession,
    Session,
    SessionConfig,
    TimedOut,
    Usage,
    command_of,
)
from antiphon import messages as m

CONFIG = SessionConfig()


def a_session_is_that_of_its_role(role: Role) -> None:
    assert_type(Session(Role.CLIENT, CONFIG, now=0), ClientSession)
    assert_type(Session(Role.SERVER, CONFIG, now=0, entropy=bytes), ServerSession)
    assert_type(Session(role, CONFIG, now=0), Session)


def each_role_sends_its_own_events(client: ClientSession, server: ServerSession) -> None:
    assert_type(client.send(m.ResponseCreate(), 0), Actions)
    client.send(m.RateLimitsUpdated(rate_limits=[]), 0)  # type: ignore[arg-type]  # a server's
    server.send(m.RateLimitsUpdated(rate_limits=[]), 0)
    server.send(m.ResponseCreate(), 0)  # type: ignore[arg-type]  # a client's
    server.send(m.SessionUpdated(session=m.RealtimeSession()), 0)  # type: ignore[arg-type]  # the engine's to say


def a_connection_shows_the_session_of_its_role(config: ConnectionConfig) -> None:
    connection = Connection(Role.CLIENT, config, now=0, entropy=bytes)
    assert_type(connection.client, ClientSession)
    assert_type(connection.client.usage, Usage)
    assert_type(connection.server, ServerSession)


def an_event_is_known_by_its_class(action: Deliver) -> None:
    event = action.event
    if isinstance(event, m.ResponseOutputTextDelta):
        assert_type(event.delta, str)
    elif isinstance(event, m.ResponseDone):
        assert_type(event.response, m.Response)


def every_outcome_is_one_of_six(outcome: Outcome) -> str:
    match outcome:
        case Finished():
            return outcome.status
        case Rejected():
            return str(outcome.error.code)
        case Merged():
            return outcome.into
        case LostToVad() | TimedOut() | Dropped():
            return "no response"
        case _:
            assert_never(outcome)


def the_end_is_a_value_that_may_not_be_there(session: Session) -> None:
    assert_type(session.closed, Closed | None)


def commands_answer_what_they_are_bound_to(resources: Resources[int, str]) -> None:
    assert_type(resources.session.update(session={"type": "realtime"}), int)
    assert_type(resources.response.create(), str)


def a_dict_is_read_as_a_command() -> None:
    assert_type(command_of({"type": "response.create"}), m.ClientEvent | m.UnknownEvent)
