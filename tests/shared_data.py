"""Where the data lies that is not part of the repository: recordings of servers, published examples, the seeds.

It belongs to others. Tests that need it are skipped without it; everything that they look at is also tested with
the repository's own vectors, in ``tests/traces`` and beside each test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SHARED: Final = (Path(__file__).resolve().parents[1] / "../shared").resolve()

ABSENT: Final = (
    "needs data that is not part of the repository, and would be in ../shared beside it; "
    "the repository's own vectors (tests/traces) cover the rest"
)
"""The reason of a skip."""
