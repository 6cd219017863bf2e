"""What the audience sees: plain lines, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


class BrokenPromiseError(Exception):
    """Something is not as the demo said it would be."""


def act(title: str) -> None:
    """Begin a part."""
    click.echo(f"\n== {title} ==")


def say(sentence: str) -> None:
    """Tell what happens, or what was found."""
    click.echo(sentence)


def quote(text: str, speaker: str) -> None:
    """Repeat what was run, or what a program printed, line by line."""
    for line in text.splitlines():
        click.echo(f"  {speaker} {line}".rstrip())


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Show rows in columns; what is null is a dash."""
    cells = [list(headings), *(["-" if cell is None else str(cell) for cell in r] for r in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo(f"  {'  '.join(padded)}".rstrip())


def promise(kept: object, what: str) -> None:
    """Go on only if it is so.

    Raises:
        BrokenPromiseError: it is not.
    """
    if not kept:
        raise BrokenPromiseError(what)
