"""Run migrations on the connection that `outhaul.migrate` hands over, or print their SQL."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from outhaul.config import load
from outhaul.outbox.engine import open_engine
from outhaul.outbox.schema import VERSION_TABLE, metadata


def _run_online() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
        return
    settings = load().settings
    engine = open_engine(settings.database_url.get_secret_value(), settings.database_schema)
    with engine.begin() as own:
        _migrate(own)


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_offline() -> None:
    context.configure(
        dialect_name=context.config.attributes["dialect_name"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
