"""The public face of the package: which names, each documented, nothing loaded before its time."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import pytest

import antiphon

ROOT = Path(__file__).resolve().parents[1]

NAMES = [
    "PCM16_24K",
    "PCMA",
    "PCMU",
    "Action",
    "Actions",
    "ArbiterPolicy",
    "ArgumentsDelta",
    "AudioDelta",
    "AudioFormat",
    "ClientSession",
    "CloseTransport",
    "Closed",
    "Connected",
    "Connection",
    "ConnectionConfig",
    "Content",
    "Conversation",
    "Cost",
    "Deliver",
    "Disconnected",
    "Dropped",
    "Durations",
    "Endpoint",
    "Fault",
    "Finished",
    "HandshakeReceived",
    "Input",
    "InputAudio",
    "InputCommitted",
    "Instant",
    "ItemFinished",
    "ItemStarted",
    "KnownRateLimit",
    "Limits",
    "LocalProtocolError",
    "LostToVad",
    "McpCallFinished",
    "McpListingFinished",
    "McpListingStarted",
    "Merged",
    "Node",
    "OpenTransport",
    "Outcome",
    "PlayAudio",
    "PriceTable",
    "Prices",
    "ProtocolError",
    "Pump",
    "Rejected",
    "RemoteProtocolError",
    "RenewalPolicy",
    "Report",
    "RequestSettled",
    "Resources",
    "ResponseCancelled",
    "ResponseFinished",
    "ResponseRequested",
    "Role",
    "ServerSession",
    "Session",
    "SessionConfig",
    "Snapshot",
    "SnapshotError",
    "SourceText",
    "StopAudio",
    "TextDelta",
    "TimedOut",
    "Timer",
    "TokenCounts",
    "TranscribedUsage",
    "TranscriptCompleted",
    "TranscriptDelta",
    "TranscriptFailed",
    "TranscriptSegment",
    "TranscriptionResult",
    "TranslatedAudio",
    "TranslatedText",
    "TranslationFinished",
    "Transmit",
    "TransmitMessage",
    "Usage",
    "codec",
    "command_of",
    "error_event",
    "inputs",
    "messages",
]
"""A contract that others build on: taking a name away, or giving one, is a decision and shows here."""

ALIASES = {"Action", "Actions", "Content", "Input", "Instant", "Outcome", "TranscriptionResult"}
"""Names of types that are made of others; Python keeps no documentation with those."""

CONSTANTS = {"PCM16_24K", "PCMA", "PCMU"}

FUNCTIONS = {"command_of", "error_event"}

CLASSES = [name for name in NAMES if isinstance(getattr(antiphon, name), type) and name not in ALIASES]


def run(code: str) -> Any:
    """What ``code`` prints as JSON, in an interpreter of its own."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
    return json.loads(ran.stdout)


def test_the_public_names_are_these() -> None:
    assert antiphon.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(antiphon, name) is not None


def test_every_name_is_a_class_a_module_a_type_a_function_or_a_constant() -> None:
    modules = {name for name in NAMES if isinstance(getattr(antiphon, name), ModuleType)}
    assert modules == {"codec", "inputs", "messages"}
    assert {*CLASSES, *modules, *ALIASES, *FUNCTIONS, *CONSTANTS} == set(NAMES)


@pytest.mark.parametrize("name", [*CLASSES, *sorted(FUNCTIONS), "codec", "inputs", "messages"])
def test_every_class_and_module_has_documentation_of_its_own(name: str) -> None:
    value = getattr(antiphon, name)
    documented = value.__doc__ if name in FUNCTIONS else vars(value)["__doc__"]
    assert documented
    assert documented.strip()


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_constant_is_of_a_documented_class(name: str) -> None:
    assert isinstance(getattr(antiphon, name), antiphon.AudioFormat)


@pytest.mark.parametrize("name", ALIASES - {"Instant", "Actions"})
def test_every_member_of_a_union_is_public(name: str) -> None:
    for member in get_args(getattr(antiphon, name)):
        home = antiphon.inputs if name == "Input" else antiphon
        assert getattr(home, member.__name__) is member


def test_the_other_types_are_what_they_say() -> None:
    assert antiphon.Instant is int
    assert get_origin(antiphon.Actions) is tuple
    assert get_args(antiphon.Actions) == (antiphon.Action, ...)


def methods() -> list[tuple[str, str]]:
    """The public methods and properties that each public class defines itself."""
    return [
        (name, member)
        for name in CLASSES
        for member, value in vars(getattr(antiphon, name)).items()
        if not member.startswith("_")
        and (isinstance(value, (property, classmethod, staticmethod)) or inspect.isfunction(value))
    ]


@pytest.mark.parametrize(("name", "member"), methods(), ids=".".join)
def test_every_public_method_is_documented(name: str, member: str) -> None:
    assert inspect.getdoc(getattr(getattr(antiphon, name), member))  # its own, or that of the class it overrides


@pytest.mark.parametrize("name", antiphon.messages.__all__)
def test_every_name_of_the_messages_is_there(name: str) -> None:
    assert getattr(antiphon.messages, name) is not None


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert antiphon.__version__ == project["version"]
    assert antiphon.__version__ == version("antiphon")


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'antiphon' has no attribute 'Telegraph'"):
        getattr(antiphon, "Telegraph")  # noqa: B009 - a type checker would refuse the short form


def test_importing_the_package_loads_no_runtime_and_no_websockets() -> None:
    heavy = ("websockets", "asyncio", "ssl", "socket", "random", "trio", "antiphon.engine.connection")
    loaded = run(f"import antiphon, json, sys; print(json.dumps([n for n in {heavy!r} if n in sys.modules]))")
    assert loaded == []


def test_the_connection_is_loaded_when_it_is_first_used() -> None:
    code = """
import json, sys
import antiphon
before = "websockets" in sys.modules
kind = antiphon.Connection
from antiphon.engine.connection import Connection
print(json.dumps([before, "websockets" in sys.modules, kind is Connection, kind.__name__]))
"""
    assert run(code) == [False, True, True, "Connection"]


def test_a_star_import_gives_every_public_name() -> None:
    code = "from antiphon import *; import json; print(json.dumps(sorted(n for n in dir() if not n.startswith('_'))))"
    assert set(run(code)) == {*NAMES, "json"}
