"""The folder is whole: every trap has its test, and one only."""

import re
from pathlib import Path


def test_every_trap_has_one_test() -> None:
    numbers = [
        int(number)
        for page in sorted(Path(__file__).parent.glob("test_*.py"))
        for number in re.findall(r"^def test_trap_(\d{2})_\w+\(", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(numbers) == list(range(1, 49))
