"""The ``antiphon`` command. What it needs is imported in `main`, where an interrupt is one of its ends already."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code; argparse ends ``--help`` and wrong usage with SystemExit."""
    try:
        from antiphon_cli.command import run

        return run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        from antiphon_cli.console import ExitCode

        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
