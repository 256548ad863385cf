"""No rule is without a test, and the tests that ``docs/rules-coverage.md`` names would miss their rule."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from antiphon.machines import RULES
from mutation.rules import PAGE, claims

ROOT = Path(__file__).resolve().parents[2]


def test_every_rule_is_on_the_page() -> None:
    if not PAGE.exists():
        pytest.skip("docs/ is absent: this is not a source tree")
    assert [each.rule for each in claims()] == list(RULES), "make rules"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="rules are taken away in forked processes")
def test_the_tests_of_the_page_fail_without_their_rule_and_pass_with_it() -> None:
    if not PAGE.exists():
        pytest.skip("docs/ is absent: this is not a source tree")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "mutation.rules", "--check", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
