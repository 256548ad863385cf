"""What the table tests share: the generator as a module, and the specification as it reads it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """`spec/generate.py`. It is a script beside the package, so it is loaded from its path."""
    path = ROOT / "spec" / "generate.py"
    if not path.exists():
        pytest.skip("spec/ is absent: this is not a source tree")
    spec = importlib.util.spec_from_file_location("antiphon_spec_generate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while they are made
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def specification(generate: ModuleType) -> Any:
    """The published specification, read and checked."""
    return generate.read(ROOT / "spec")
