"""What is committed is what the specification says."""

from types import ModuleType

import pytest


def test_the_generated_files_are_what_the_specification_gives(
    generate: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    code = generate.main(["--check"])
    output = capsys.readouterr()
    assert code == 0, f"run `python spec/generate.py`\n{output.out}{output.err}"
