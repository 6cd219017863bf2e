"""`outhaul` and `python -m outhaul`."""

from __future__ import annotations

from outhaul.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="outhaul")


if __name__ == "__main__":
    main()
