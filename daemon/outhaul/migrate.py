"""The schema's version: find the migrations, bring a database up or down, refuse a wrong one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from outhaul.errors import SchemaError
from outhaul.outbox.schema import VERSION_TABLE
from outhaul.outbox.transaction import reading

#: One migrates, the others wait: any number that no application is likely to lock on.
_LOCK_NUMBER = 0x6F757468
_LOCK_NAME = "outhaul_migrate"
_LOCK_SECONDS = 300


def head() -> str:
    """The revision that this version of outhaul works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise SchemaError("this installation holds no migrations: reinstall outhaul")
    return revision


def current(engine: Engine) -> str | None:
    """The revision of a database; None if outhaul was never set up in it."""
    with reading(engine) as connection:
        return _current(connection)


def upgrade(engine: Engine, schema: str | None = None, revision: str = "head") -> None:
    """Bring a database up to a revision; of two that try at once, one does and one waits.

    Raises:
        SchemaError: the database is at a revision that this version does not know.
    """
    with _locked(engine, schema) as connection, _plain_words():
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, schema: str | None = None, revision: str = "base") -> None:
    """Take a database down to a revision. What the tables held is lost."""
    with _locked(engine, schema) as connection, _plain_words():
        command.downgrade(_config(connection), revision)
        if _current(connection) is None:
            connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))


def sql(dialect: str, revision: str = "head") -> str:
    """The statements of an upgrade from nothing, for those who run them by hand."""
    out = io.StringIO()
    config = _config()
    config.output_buffer = out
    config.attributes["dialect_name"] = dialect
    command.upgrade(config, revision, sql=True)
    return out.getvalue()


def require_current(engine: Engine, schema: str | None = None) -> None:
    """Refuse to work on a schema that is not this version's.

    Raises:
        SchemaError: with what to do.
        DBAPIError: the database is away.
    """
    found, wanted = current(engine), head()
    if found == wanted:
        return
    where = f" in schema {schema}" if schema else ""
    if found is None:
        raise SchemaError(f"the database holds no outbox{where}: run `outhaul db upgrade`")
    raise SchemaError(
        f"the outbox is at revision {found}, this outhaul works with {wanted}:"
        " run `outhaul db upgrade`, or install the version that made it"
    )


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _scripts() -> Path:
    """In the wheel beside the package; in a checkout at the top of the repository."""
    here = Path(__file__).resolve().parent
    packaged = here / "_migrations"
    return packaged if packaged.is_dir() else here.parents[1] / "migrations"


@contextmanager
def _plain_words() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise SchemaError(f"{error}: install the version of outhaul that knows it") from error


@contextmanager
def _locked(engine: Engine, schema: str | None) -> Iterator[Connection]:
    """One transaction (SQLite, PostgreSQL) or one named lock (MariaDB) around a migration."""
    with engine.connect() as connection, _named_lock(connection), connection.begin():
        # SQLite's BEGIN IMMEDIATE is the lock.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK_NUMBER})
            # Under the lock: of two that create a schema at once, IF NOT EXISTS fails one.
            if schema:
                connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
        yield connection


@contextmanager
def _named_lock(connection: Connection) -> Iterator[None]:
    """MariaDB's lock outlives transactions: it is given up after the last commit, come what may."""
    if connection.dialect.name in {"sqlite", "postgresql"}:
        yield
        return
    _take_named_lock(connection)
    connection.commit()
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": _LOCK_NAME})


def _take_named_lock(connection: Connection) -> None:
    taken = connection.execute(
        text("SELECT GET_LOCK(:name, :seconds)"), {"name": _LOCK_NAME, "seconds": _LOCK_SECONDS}
    )
    if taken.scalar() != 1:
        raise SchemaError("another migration has been running for five minutes; look at it first")
