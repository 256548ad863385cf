"""A new file in the place of an old one, which stays until the new one is whole."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

__all__ = ["Replacement"]


class Replacement:
    """Write to ``path`` of this, then `commit`, or `discard` what was written; a device or a pipe is written itself.

    Raises:
        OSError: there can be no such file. `commit` raises it too.
        ValueError: it is no path.
    """

    __slots__ = ("_beside", "_target", "path")

    def __init__(self, path: str) -> None:
        self._beside = os.path.isfile(path) or not os.path.exists(path)
        self._target = os.path.realpath(path) if self._beside else path
        self.path = f"{self._target}.{os.getpid()}.part" if self._beside else path
        with open(self.path, "xb" if self._beside else "ab"):
            pass  # said before hours of reading

    def commit(self) -> None:
        """What was written takes its place."""
        if self._beside:
            with suppress(OSError):  # there may be none, and who may read it is no reason to lose it
                shutil.copymode(self._target, self.path)
            os.replace(self.path, self._target)
            self._beside = False

    def discard(self) -> None:
        """What was written goes, unless it has taken its place."""
        if self._beside:
            with suppress(OSError):
                os.unlink(self.path)
            self._beside = False
