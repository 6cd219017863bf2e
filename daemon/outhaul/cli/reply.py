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
from outhaul.errors import ConfigError, JobNotFoundError, OuthaulError, SchemaError, one_line


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings."""

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

    @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
    @functools.wraps(function)
    def command(*args: Any, as_json: bool, **kwargs: Any) -> None:
        try:
            reply = function(*args, **kwargs)
        except OuthaulError as error:
            _fail(error, as_json=as_json)
        except Exception as error:
            if not _is_database_error(error):
                raise
            _fail(error, as_json=as_json)
        _print(reply, as_json=as_json)
        sys.exit(reply.exit_code)

    return command


def _print(reply: Reply, *, as_json: bool) -> None:
    if as_json:
        click.echo(_envelope(ok=reply.exit_code is ExitCode.OK, data=reply.data))
        return
    for part in reply.shown:
        if isinstance(part, Table):
            _print_table(part)
        else:
            click.echo(part)


def _print_table(table: Table) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for heading in table.headings:
        drawn.add_column(heading, overflow="fold")
    for row in table.rows:
        # Text, not markup: a key may hold brackets, and an escape must not reach the terminal.
        drawn.add_row(*(Text(one_line(shown(cell))) for cell in row))
    width = None if sys.stdout.isatty() else 240
    Console(width=width, highlight=False, soft_wrap=False).print(drawn)


def _fail(error: Exception, *, as_json: bool) -> NoReturn:
    code, exit_code = _code_of(error)
    message = error.message if isinstance(error, OuthaulError) else _database_words(error)
    if as_json:
        click.echo(_envelope(ok=False, error={"code": code, "message": message}))
    else:
        click.echo(f"outhaul: {message}", err=True)
    sys.exit(exit_code)


def _code_of(error: Exception) -> tuple[str, ExitCode]:
    match error:
        case ConfigError():
            return "CONFIG", ExitCode.CONFIG
        case SchemaError():
            return "SCHEMA", ExitCode.CONFIG
        case JobNotFoundError():
            return "NOT_FOUND", ExitCode.NOT_FOUND
        case OuthaulError():
            return getattr(error, "code", "FAILED"), ExitCode.FAILED
    if _is_refusal(error):
        return "REFUSED", ExitCode.FAILED
    return "DATABASE", ExitCode.UNAVAILABLE


def _is_database_error(error: Exception) -> bool:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - only on the way out

    return isinstance(error, SQLAlchemyError)


def _is_refusal(error: Exception) -> bool:
    from sqlalchemy.exc import DataError, IntegrityError  # noqa: PLC0415 - only on the way out

    return isinstance(error, DataError | IntegrityError)


def _database_words(error: Exception) -> str:
    """The driver's words, without our statement and its parameters."""
    original = getattr(error, "orig", None) or error
    kind = "the database refused" if _is_refusal(error) else "the database cannot be used"
    return one_line(f"{kind}: {original}", 300)


def _envelope(*, ok: bool, **rest: Any) -> str:
    return json.dumps({"ok": ok, **rest}, default=shown, ensure_ascii=True)


def shown(value: Any) -> str:
    """A value as people and JSON read it; times in ISO 8601, UTC."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)
