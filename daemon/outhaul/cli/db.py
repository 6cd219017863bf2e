"""`outhaul db`: the schema of the outbox."""

from __future__ import annotations

import click

from outhaul.cli.reply import Reply, Table, replies


@click.group()
def db() -> None:
    """Set up the outbox's tables, and say where they stand."""


@db.command()
@replies
def upgrade() -> Reply:
    """Create or upgrade the tables. Safe to repeat, and to run on two hosts at once.

    On PostgreSQL, OUTHAUL_NOTIFY decides whether inserts notify the daemons.
    """
    from outhaul import migrate  # noqa: PLC0415 - loads alembic
    from outhaul.app import database  # noqa: PLC0415
    from outhaul.config import load  # noqa: PLC0415
    from outhaul.outbox import wakeup  # noqa: PLC0415

    settings = load().settings
    with database(settings) as engine:
        before = migrate.current(engine)
        migrate.upgrade(engine, settings.database_schema)
        after = migrate.current(engine)
        if engine.dialect.name == "postgresql":
            wakeup.switch(engine, on=settings.notify)
    line = (
        f"at revision {after}"
        if before == after
        else f"upgraded from {before or 'nothing'} to {after}"
    )
    return Reply({"before": before, "after": after}, [line])


@db.command()
@replies
def current() -> Reply:
    """Compare the database's revision with ours."""
    from outhaul import migrate  # noqa: PLC0415 - loads alembic
    from outhaul.app import database  # noqa: PLC0415
    from outhaul.config import load  # noqa: PLC0415

    with database(load().settings) as engine:
        found, wanted = migrate.current(engine), migrate.head()
    table = Table(("database", "outhaul"), [(found or "nothing", wanted)])
    advice = (
        []
        if found == wanted
        else ["they differ: run `outhaul db upgrade`, or install the other version"]
    )
    return Reply({"database": found, "outhaul": wanted, "ok": found == wanted}, [table, *advice])


@db.command()
@click.option(
    "--dialect",
    type=click.Choice(["postgresql", "mysql", "sqlite"]),
    help="For which server; that of OUTHAUL_DATABASE_URL by default.",
)
@replies
def sql(dialect: str | None) -> Reply:
    """Print the SQL of it all, to be run by hand."""
    from outhaul import migrate  # noqa: PLC0415 - loads alembic
    from outhaul.config import load  # noqa: PLC0415
    from outhaul.outbox.engine import parse_url  # noqa: PLC0415

    if dialect is None:
        url = load().settings.database_url.get_secret_value()
        dialect = parse_url(url).get_backend_name()
    statements = migrate.sql(dialect)
    return Reply({"dialect": dialect, "sql": statements}, [statements.rstrip()])
