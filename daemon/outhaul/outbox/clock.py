"""The database's clock, in each dialect: the only clock that due times and leases know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, String
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: `timestamptz`, `DATETIME(6)`, or fixed-width text in SQLite.

    SQLite's text sorts only because every value has the same form; a trigger of the migration
    gives client values that form, whatever usual spelling they came in.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column type of a dialect."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(32))
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To UTC, in the form that the dialect compares."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
        return moment.replace(tzinfo=None) if dialect.name in {"mysql", "mariadb"} else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """To an aware datetime; None for text that is no moment, so that reports go on."""
        del dialect
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class db_now(ColumnElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's now, with microseconds where it has them."""

    inherit_cache = True
    type = UtcDateTime()


class db_in(ColumnElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's now plus a number of seconds (an SQL expression; may be negative)."""

    inherit_cache = False
    type = UtcDateTime()

    def __init__(self, seconds: ColumnElement[float]) -> None:
        self.seconds = seconds


@compiles(db_now, "postgresql")
def _pg_now(_element: db_now, _compiler: SQLCompiler, **_: Any) -> str:
    # now() is frozen at BEGIN; clock_timestamp() is volatile, so no index condition.
    return "statement_timestamp()"


@compiles(db_now, "mysql")
@compiles(db_now, "mariadb")
def _mysql_now(_element: db_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "(UTC_TIMESTAMP(6))"


@compiles(db_now, "sqlite")
def _sqlite_now(_element: db_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@compiles(db_in, "postgresql")
def _pg_in(element: db_in, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.seconds, **kw)
    return f"(statement_timestamp() + make_interval(secs => {seconds}))"


@compiles(db_in, "mysql")
@compiles(db_in, "mariadb")
def _mysql_in(element: db_in, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.seconds, **kw)
    return f"(UTC_TIMESTAMP(6) + INTERVAL ROUND({seconds} * 1000000) MICROSECOND)"


@compiles(db_in, "sqlite")
def _sqlite_in(element: db_in, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.seconds, **kw)
    shift = f"printf('%+.6f seconds', {seconds})"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {shift}) || '000')"


class is_moment(ColumnElement[bool]):  # noqa: N801 - reads as the SQL function it is
    """Whether a column holds a time at all: only SQLite would take anything else."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: str) -> None:
        self.column = column


@compiles(is_moment)
def _any_moment(element: is_moment, _compiler: SQLCompiler, **_: Any) -> str:
    return f"{element.column} IS NOT NULL"


@compiles(is_moment, "sqlite")
def _sqlite_moment(element: is_moment, _compiler: SQLCompiler, **_: Any) -> str:
    return f"julianday({element.column}) IS NOT NULL"
