"""Configuration: documented defaults, checked at construction, frozen."""

from __future__ import annotations

import pytest
from msgspec import Struct, structs

from antiphon import (
    ArbiterPolicy,
    Connection,
    ConnectionConfig,
    Durations,
    Endpoint,
    Limits,
    Role,
    SessionConfig,
)
from antiphon.engine.timers import MS, Timer
from antiphon.machines._tables import LIMITS, TIMERS


def test_a_role_is_its_word() -> None:
    assert (Role("client"), Role("server")) == (Role.CLIENT, Role.SERVER)
    assert f"{Role.SERVER}" == "server"


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_each_limit_is_what_the_specification_says(name: str) -> None:
    assert getattr(Limits(), name) == LIMITS[name].value


@pytest.mark.parametrize("name", Durations.__struct_fields__)
def test_each_duration_is_what_the_specification_says(name: str) -> None:
    assert getattr(Durations(), name) == TIMERS[name].default_ms * MS


def test_every_timer_has_a_duration_or_is_a_matter_of_the_session_or_the_arbiter() -> None:
    others = {"expiry", "idle", "request"}  # `unix_expiry_s`, the client's `idle_timeout_ms`, `request_timeout_ns`
    assert {*Durations.__struct_fields__} | others == {timer.value for timer in Timer}
    assert SessionConfig().unix_expiry_s * 1000 == TIMERS["expiry"].default_ms
    assert ArbiterPolicy().request_timeout_ns == TIMERS["request"].default_ms * MS


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_is_at_least_one(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"limits\.{name} must be at least 1, not {value}"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", Durations.__struct_fields__)
def test_a_duration_is_positive_so_that_time_makes_progress(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"timers\.{name} must be at least 1 ns, not {value}"):
        Durations(**{name: value})


def test_the_least_values_are_allowed() -> None:
    assert Limits(fragments=1).fragments == 1
    assert Durations(ping=1).ping == 1
    assert SessionConfig(dials=1, unix_expiry_s=1).dials == 1


@pytest.mark.parametrize("name", ["dials", "unix_expiry_s"])
def test_counts_of_a_session_are_at_least_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        SessionConfig(**{name: 0})  # type: ignore[arg-type]  # the name is one of the two


@pytest.mark.parametrize("name", ["transport", "on_speech", "unheard", "stepper"])
def test_a_word_that_nobody_knows_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one of .*, not 'telegraph'"):
        SessionConfig(**{name: "telegraph"})  # type: ignore[arg-type]  # the point of the test


def test_so_is_one_in_the_policy_of_the_arbiter() -> None:
    with pytest.raises(ValueError, match=r"arbiter\.on_active must be one of queue, refuse, send, not 'drop'"):
        ArbiterPolicy(on_active="drop")  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("retries", -1, "at least 0, not -1"),
        ("request_timeout_ns", 0, "at least 1 ns, not 0"),
        ("queue_limit", 0, "at least 1, not 0"),
    ],
)
def test_a_policy_of_the_arbiter_that_nothing_could_keep_is_refused(name: str, value: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"arbiter\.{name} must be {complaint}"):
        ArbiterPolicy(**{name: value})  # type: ignore[arg-type]  # the name is one of the three
    ArbiterPolicy(**{name: value + 1})  # type: ignore[arg-type]


def test_the_defaults_are_those_that_are_documented() -> None:
    config = SessionConfig()
    assert (config.transport, config.strict, config.decode_audio) == ("websocket", False, True)
    assert (config.on_speech, config.unheard, config.dials) == ("session", "truncate", 1)
    assert (config.session, config.retain_input_audio, config.unix_expiry_s) == (None, False, 3600)
    assert config.stepper == "compiled"
    assert config.arbiter == ArbiterPolicy(on_active="queue", merge_tool_outputs=True, tag_requests=True)
    assert ConnectionConfig() == ConnectionConfig(endpoint=None, session=config)


@pytest.mark.parametrize(
    "config",
    [Limits(), Durations(), ArbiterPolicy(), SessionConfig(), ConnectionConfig()],
    ids=lambda config: type(config).__name__,
)
def test_no_configuration_can_be_changed(config: Struct) -> None:
    name = config.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(config, name, None)


def test_a_changed_copy_is_checked_like_a_new_one() -> None:
    with pytest.raises(ValueError, match="message_bytes"):
        structs.replace(Limits(), message_bytes=0)


def test_a_client_that_speaks_bytes_needs_to_know_where_to() -> None:
    with pytest.raises(ValueError, match=r"config\.endpoint"):
        Connection(Role.CLIENT, ConnectionConfig(), now=0, entropy=bytes)


def test_a_server_needs_no_endpoint() -> None:
    assert Connection(Role.SERVER, ConnectionConfig(), now=0, entropy=bytes).role is Role.SERVER


def test_no_configuration_shows_a_key() -> None:
    endpoint = Endpoint.custom("wss://example.org/v1/realtime", api_key="sk-secret")
    assert "sk-secret" not in repr(ConnectionConfig(endpoint=endpoint))
