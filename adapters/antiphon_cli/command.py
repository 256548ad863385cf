"""What the ``antiphon`` command is asked for, and the module of this package that does it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn, Protocol, TextIO, cast

import antiphon
from antiphon_cli.console import Console, ExitCode, UserError, clean

__all__ = ["run"]


class _Command(Protocol):
    """A module of this package that is a command."""

    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace, console: Console) -> int: ...


_COMMANDS: Final = {
    "serve": "run a Realtime server",
    "talk": "hold one conversation with a Realtime server",
    "check": "check recordings against the protocol rules",
    "replay": "live through a recorded session again",
    "analyze": "tell what happened in recorded sessions: figures, a timeline, tables",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"{self.prog}: {clean(message)} (see '{self.prog} -h')\n")

    def _print_message(self, message: str, file: object = None) -> None:
        if message:
            console = Console(stdout=sys.stdout if file is None else cast(TextIO, file))
            console.out(message.rstrip("\n"))
            if console.output_lost:
                self.exit(ExitCode.USAGE)


def run(arguments: Sequence[str]) -> int:
    """Do what is asked for and return the exit code; argparse ends ``--help`` and wrong usage with SystemExit."""
    console = Console()
    parser = _Parser(
        prog="antiphon",
        description="A Realtime voice session on either end: serve one, hold one, check or analyze recorded ones.",
        epilog="'antiphon COMMAND -h' shows the arguments of a command, with examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"antiphon {antiphon.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True, parser_class=_Parser)
    # Only the command that was asked for is imported: `check` needs no socket, and `-h` nothing.
    asked = next((each for each in arguments if not each.startswith("-")), None)
    modules: dict[str, _Command] = {}
    for name, summary in _COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name == asked:
            module = cast(_Command, importlib.import_module(f"antiphon_cli.{name}"))
            modules[name] = module
            module.add_arguments(subparser)
            subparser.epilog = module.EXAMPLES
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        subparsers.choices[parsed.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code = modules[parsed.command].run(parsed, console)
    except UserError as error:
        console.err(f"antiphon {parsed.command}: {clean(str(error))}")
        code = error.code
    return max(code, ExitCode.USAGE) if console.output_lost else code
