"""`outhaul` and `python -m outhaul`."""

from __future__ import annotations

import sys

from outhaul.cli import cli


def main() -> None:
    """Run the command line."""
    # A key may hold what this terminal's encoding cannot show.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    cli(prog_name="outhaul")


if __name__ == "__main__":
    main()
