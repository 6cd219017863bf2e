"""How every command answers: text for people, one JSON envelope for programs, one exit code."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

import click

from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.failure import Failure, explain
from outhaul.errors import printable

#: What asks for JSON, on every command that answers.
JSON_FLAG = "--json"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; nothing at all without rows."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command found: `data` for programs, `shown` for people."""

    data: Any
    shown: Sequence[str | Table] = field(default_factory=tuple)
    exit_code: ExitCode = ExitCode.OK


def replies(function: Callable[..., Reply]) -> Callable[..., None]:
    """Give a command `--json`, and turn its `Reply`, or its failure, into output and exit code."""

    @click.option(JSON_FLAG, "as_json", is_flag=True, help="Answer with one JSON object.")
    @functools.wraps(function)
    def command(*args: Any, as_json: bool, **kwargs: Any) -> None:
        try:
            reply = function(*args, **kwargs)
        except click.ClickException:
            raise
        except UnicodeEncodeError as error:
            raise click.UsageError("the arguments must be valid UTF-8") from error
        except Exception as error:  # noqa: BLE001 - whatever it is, one line and one exit code
            _fail(explain(error), as_json=as_json)
        _print(reply, as_json=as_json)
        sys.exit(reply.exit_code)

    return command


def failed(code: str, message: str, **more: Any) -> str:
    """The envelope of what went wrong."""
    return _envelope(ok=False, error={"code": code, "message": message}, **more)


def _fail(failure: Failure, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(failed(failure.code, failure.message))
    else:
        click.echo(f"outhaul: {failure.message}", err=True)
    sys.exit(failure.exit_code)


def _print(reply: Reply, *, as_json: bool) -> None:
    if as_json:
        click.echo(_json(reply))
        return
    for part in reply.shown:
        if isinstance(part, Table):
            _print_table(part)
        else:
            click.echo("\n".join(map(printable, part.split("\n"))))


def _json(reply: Reply) -> str:
    if reply.exit_code is ExitCode.OK:
        return _envelope(ok=True, data=reply.data)
    told = "; ".join(part for part in reply.shown if isinstance(part, str) and part)
    return failed(reply.exit_code.name, told, data=reply.data)


def _print_table(table: Table) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not table.rows:
        return
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for heading in table.headings:
        drawn.add_column(heading, overflow="fold")
    for row in table.rows:
        # Text, not markup: a key may hold brackets, and an escape must not reach the terminal.
        drawn.add_row(*(Text(printable(shown(cell))) for cell in row))
    width = None if sys.stdout.isatty() else 240
    Console(width=width, highlight=False, soft_wrap=False).print(drawn)


def _envelope(*, ok: bool, **rest: Any) -> str:
    return json.dumps({"ok": ok, **rest}, default=shown, ensure_ascii=True)


def shown(value: Any) -> str:
    """A value as people and JSON read it; times in ISO 8601, UTC."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)
