"""``antiphon analyze``: what happened in recorded sessions, as a report, a document, a page, or tables."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import msgspec

from antiphon import PriceTable
from antiphon_cli.analysis_json import Document
from antiphon_cli.analysis_page import Page
from antiphon_cli.analysis_tables import Tables
from antiphon_cli.analysis_text import Report
from antiphon_cli.console import Console, ExitCode, UserError, clean, clean_json
from antiphon_cli.recording import Recording, Sink, Totals, read_recording

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES: Final = """\
examples:
  antiphon analyze talk.jsonl
  antiphon analyze --html talk.html talk.jsonl    a timeline to look at in a browser
  antiphon analyze --json recordings/             every .jsonl file of a folder
  antiphon analyze --transcript srt talk.jsonl > talk.srt
  antiphon analyze --prices prices.json --csv tables recordings/

A file of prices is {"currency": "USD", "models": {"NAME": {"audio_input": 32, …}}}, each price of a million tokens.

exit codes: 0 well, 2 a file could not be read, or not all of it
"""

FORMS: Final = ("text", "md", "json", "srt", "vtt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a journal, or a folder of them: JSON lines of client and server events",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="one JSON document for all files")
    forms.add_argument("--transcript", choices=FORMS, help="only what was said, in this form")
    parser.add_argument("--html", metavar="OUT", help="write a page with a timeline, to look at in a browser")
    parser.add_argument("--csv", metavar="DIR", help="write tables of events, turns and measures into a folder")
    parser.add_argument("--parquet", metavar="DIR", help="the same as Parquet files (needs the [parquet] extra)")
    parser.add_argument("--each", action="store_true", help="of several files, the whole report of each")
    parser.add_argument("--prices", metavar="FILE", help="what tokens cost, as JSON: tells what the sessions cost")
    parser.add_argument("--audio-cut", action="store_true", help="the audio was shortened: do not check sample counts")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read the files one after another, write what was asked for, and return the exit code."""
    prices = None if arguments.prices is None else read_prices(arguments.prices)
    files = list(_files(arguments.files))
    if arguments.transcript in ("json", "srt", "vtt") and len(files) > 1:
        raise UserError(f"--transcript {arguments.transcript} takes one FILE, not {len(files)}")
    totals = Totals()
    with ExitStack() as stack:
        sinks = [stack.enter_context(sink) for sink in _sinks(arguments, files, console, prices)]
        for file in files:
            watchers = [watcher for sink in sinks if (watcher := sink.begin(file)) is not None]
            recording = read_recording(file, audio_cut=arguments.audio_cut, watchers=watchers)
            if recording.unreadable is not None:
                console.err(f"antiphon analyze: {clean(recording.unreadable)}")
            for sink in sinks:
                sink.add(recording)
            totals.add(recording)
        code = ExitCode.USAGE if totals.unreadable else ExitCode.WELL
        for sink in sinks:
            sink.finish(totals, code)
    return code


def _sinks(
    arguments: argparse.Namespace, files: Sequence[str], console: Console, prices: PriceTable | None
) -> Iterator[Sink]:
    """Where what is learned goes."""
    several = len(files) > 1
    if arguments.html is not None:
        yield Page(arguments.html, files, prices)
    if arguments.csv is not None:
        yield Tables(arguments.csv, "csv")
    if arguments.parquet is not None:
        yield Tables(arguments.parquet, "parquet")
    if arguments.json:
        yield Document(console, prices)
    elif arguments.transcript is not None:
        yield Transcripts(console, arguments.transcript, several=several)
    else:
        yield Report(console, prices, several=several, each=arguments.each)


class Transcripts(Sink):
    """Prints what was said, and nothing else; of several files each below its name."""

    def __init__(self, console: Console, form: str, *, several: bool) -> None:
        self._console = console
        self._form = form
        self._several = several

    def add(self, recording: Recording) -> None:
        """What was said in one recording."""
        transcript = recording.transcript()
        if self._several:
            name = clean(recording.name)
            self._console.out(f"# {name}\n" if self._form == "md" else f"{name}:")
        if transcript is None:
            return
        match self._form:
            case "text":
                text = clean(transcript.text(), lines=True)
            case "md":
                text = clean(transcript.markdown(), lines=True)
            case "json":
                text = clean_json(transcript.json().decode("utf-8")) + "\n"
            case "srt":
                text = clean(transcript.srt(), lines=True)
            case _:
                text = clean(transcript.vtt(), lines=True)
        self._console.piece(text)
        if self._form in ("srt", "vtt") and not recording.timed:
            self._console.err("antiphon analyze: no row has a time, so there are no captions")
        if self._several:
            self._console.out()


def read_prices(path: str) -> PriceTable:
    """The price table of a file. Raises `UserError` for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=PriceTable)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no table of prices: {error}") from None


def _files(paths: Sequence[str]) -> Iterator[str]:
    """The files that are meant: a folder stands for the journals in it."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        try:
            names = sorted(name for name in os.listdir(path) if name.endswith(".jsonl"))
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
        if not names:
            raise UserError(f"{path}: holds no .jsonl file")
        yield from (os.path.join(path, name) for name in names)
