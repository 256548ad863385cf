"""Many small runs of one collection of tests, each in a process of its own that is forked from here.

The tests are imported once; a run costs a fork and its own tests. So a change that is made in one run, such as a row
that is missing, is never seen by another.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest


class Verdict(NamedTuple):
    """How one test ended in one run."""

    test: str
    passed: bool
    seconds: float


class Job(NamedTuple):
    """One run: ``prepare`` is called in the new process, then the tests run in this order, until ``most_failures`` of
    them failed. What ``told`` returns after each test comes back with its verdict."""

    name: Any
    prepare: Callable[[], object]
    tests: Sequence[str]
    most_failures: int | None = 1
    told: Callable[[], Any] = lambda: None


class Result(NamedTuple):
    """What came of a job."""

    name: Any
    verdicts: list[tuple[Verdict, Any]]

    @property
    def failed(self) -> list[str]:
        return [verdict.test for verdict, _ in self.verdicts if not verdict.passed]


class Workshop:
    """A pytest plugin that does ``work(workshop)`` in place of the usual loop."""

    def __init__(self, work: Callable[[Workshop], int], workers: int) -> None:
        self._work = work
        self._workers = workers
        self.items: dict[str, pytest.Item] = {}
        self.status = 1

    @property
    def tests(self) -> list[str]:
        """The collected tests, in their order."""
        return list(self.items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors while the tests were collected")
        self.items = {item.nodeid: item for item in session.items}
        self.status = self._work(self)
        return True

    def run(self, jobs: Iterable[Job], each: Callable[[Result], object]) -> None:
        """Do all ``jobs``, a few at a time; ``each`` is called with every result as it comes."""
        waiting = iter(jobs)
        running: dict[int, tuple[Job, int, bytearray]] = {}
        while True:
            while len(running) < self._workers and (job := next(waiting, None)) is not None:
                reading, pid = self._begin(job)
                running[reading] = job, pid, bytearray()
            if not running:
                return
            for reading in select.select(list(running), [], [])[0]:
                job, pid, data = running[reading]
                chunk = os.read(reading, 1 << 20)
                data += chunk
                if not chunk:
                    del running[reading]
                    os.close(reading)
                    os.waitpid(pid, 0)
                    each(_result(job, bytes(data)))

    def _begin(self, job: Job) -> tuple[int, int]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return reading, pid
        try:
            os.close(reading)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            with os.fdopen(writing, "wb") as pipe:
                try:
                    self._do(job, lambda value: pickle.dump(value, pipe))
                except BaseException:
                    pickle.dump(traceback.format_exc(), pipe)
        finally:
            os._exit(0)

    def _do(self, job: Job, tell: Callable[[object], object]) -> None:
        """Inside of the new process."""
        job.prepare()
        failures = 0
        for test in job.tests:
            item = self.items[test]
            reports: list[pytest.TestReport] = []
            item.config.pluginmanager.register(_Listener(reports), "listener")
            begun = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            seconds = time.perf_counter() - begun
            item.config.pluginmanager.unregister(name="listener")
            passed = not any(report.failed for report in reports)
            tell((Verdict(test, passed, seconds), job.told()))
            failures += not passed
            if failures == job.most_failures:
                break
        tell(None)


class _Listener:
    def __init__(self, reports: list[pytest.TestReport]) -> None:
        self._reports = reports

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)


def _result(job: Job, data: bytes) -> Result:
    """Raises RuntimeError where the process did not come to its end."""
    verdicts: list[tuple[Verdict, Any]] = []
    stream = io.BytesIO(data)
    while True:
        try:
            value = pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):
            value = "its process ended too early"
        if value is None:
            return Result(job.name, verdicts)
        if isinstance(value, str):
            raise RuntimeError(f"{job.name}: {value}")
        verdicts.append(value)


def run(work: Callable[[Workshop], int], tests: Sequence[str], workers: int) -> int:
    """Collect ``tests`` and do ``work`` with them; what it returns is the exit code."""
    workshop = Workshop(work, workers)
    options = ["-q", "-p", "no:cacheprovider", "--capture=sys", "--timeout=300"]
    options += ["--tb=no", "--no-header", "--no-summary"]
    code = pytest.main([*options, *tests], plugins=[workshop])
    return workshop.status if code == pytest.ExitCode.OK else int(code)
