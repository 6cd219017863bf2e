from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, event, text

from outhaul import migrate
from outhaul.errors import SchemaError
from outhaul.outbox import wakeup
from outhaul.outbox.schema import VERSION_TABLE, metadata
from tests.contract.catalogs import catalog
from tests.contract.outboxes import MigratedOutbox, opened
from tests.support.postgresql import PostgresServer

on_mariadb = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database of each kind."""
    with opened(database_url) as empty:
        yield empty


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def revisions(engine: Engine, table: str = VERSION_TABLE) -> list[str]:
    with engine.begin() as connection:
        return list(connection.execute(text(f"SELECT version_num FROM {table}")).scalars())


def at_once(count: int, work: Callable[[], None]) -> None:
    """Run `work` in threads that begin together; what any of them raises is raised here."""
    start = threading.Barrier(count)

    def begin(_number: int) -> None:
        start.wait(timeout=30)
        work()

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(begin, range(count)))


def test_migrations_make_what_the_tables_declare(engine: Engine) -> None:
    """A migrated database and one made from the declared tables agree in every definition."""

    migrate.upgrade(engine)
    migrated = catalog(engine)
    migrate.downgrade(engine)
    metadata.create_all(engine)

    assert migrated == catalog(engine)
    assert {"upload_outbox", "upload_attempts", "upload_daemons"} == set(metadata.tables)


def test_a_downgrade_leaves_what_was_there(engine: Engine) -> None:
    """Up and down again, the application's tables and its own migrations are as they were."""

    execute(
        engine,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('app-17')",
        "CREATE TABLE app_files (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL)",
    )
    before, tables = catalog(engine), _tables(engine)

    migrate.upgrade(engine)
    if engine.dialect.name == "postgresql":
        wakeup.switch(engine, on=True)
    assert revisions(engine, "alembic_version") == ["app-17"]
    migrate.downgrade(engine)

    assert catalog(engine) == before
    assert _tables(engine) == tables
    assert revisions(engine, "alembic_version") == ["app-17"]
    assert migrate.current(engine) is None


def _tables(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return sorted(engine.dialect.get_table_names(connection))


def test_a_second_upgrade_changes_nothing(outbox: MigratedOutbox) -> None:
    """An upgrade of what is up to date is harmless: schema, rows and revision stay."""

    job_id = outbox.insert()
    before, row = catalog(outbox.engine), outbox.job(job_id)

    migrate.upgrade(outbox.engine)

    assert catalog(outbox.engine) == before
    assert outbox.job(job_id) == row
    assert revisions(outbox.engine) == [migrate.head()]


def test_a_round_trip_ends_where_it_began(outbox: MigratedOutbox) -> None:
    """Up, down and up again makes the same schema as up alone."""

    before = catalog(outbox.engine)

    migrate.downgrade(outbox.engine)
    migrate.upgrade(outbox.engine)

    assert catalog(outbox.engine) == before


def test_of_four_that_migrate_at_once_one_does(database_url: str) -> None:
    """Daemons that start together on an empty database all find it migrated, once."""

    def start() -> None:
        with opened(database_url) as engine:
            migrate.upgrade(engine)
            migrate.require_current(engine)

    at_once(4, start)

    with opened(database_url) as engine:
        assert revisions(engine) == [migrate.head()]


def test_of_four_that_make_a_schema_at_once_one_does(postgres_url: str) -> None:
    """Daemons that start together and share a PostgreSQL schema do not stumble over it."""

    def start() -> None:
        with opened(postgres_url, "shared") as engine:
            migrate.upgrade(engine, "shared")

    at_once(4, start)

    with opened(postgres_url, "shared") as engine:
        assert revisions(engine) == [migrate.head()]


@on_mariadb
def test_who_waited_finds_the_revision_on_record(database_url: str) -> None:
    """On MariaDB the lock is given up only once the revision is committed: no one repeats it."""

    seen: list[str | None] = []

    def look(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if "RELEASE_LOCK" in statement:
            seen.append(migrate.current(beside))

    with opened(database_url) as engine, opened(database_url) as beside:
        event.listen(engine, "before_cursor_execute", look)
        migrate.upgrade(engine)

    assert seen == [migrate.head()]


def test_a_failed_upgrade_locks_nobody_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a migration that raised, the next one goes ahead, in this process or another."""

    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 1)
    with opened(database_url) as engine, opened(database_url) as other:
        with pytest.raises(SchemaError, match="no-such-revision"):
            migrate.upgrade(engine, revision="no-such-revision")

        migrate.upgrade(other)

        migrate.require_current(engine)


def test_a_database_without_outbox_is_refused(engine: Engine) -> None:
    """Where there is no outbox, the message says so, and which command makes one."""

    with pytest.raises(SchemaError, match="holds no outbox: run `outhaul db upgrade`"):
        migrate.require_current(engine)


@pytest.mark.parametrize("found", ["0000", "9999"])
def test_another_revision_is_refused(outbox: MigratedOutbox, found: str) -> None:
    """An older or newer schema is refused with both revisions and what to do."""

    migrate.require_current(outbox.engine)
    outbox.execute(f"UPDATE {VERSION_TABLE} SET version_num = :found", found=found)

    wanted = f"at revision {found}, this outhaul works with {migrate.head()}"
    with pytest.raises(SchemaError, match=wanted) as refusal:
        migrate.require_current(outbox.engine)
    assert "outhaul db upgrade" in refusal.value.message
    assert "install the version" in refusal.value.message


def test_a_newer_schema_is_not_migrated(outbox: MigratedOutbox) -> None:
    """An upgrade by an older outhaul leaves a newer schema alone and says what to install."""

    outbox.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = catalog(outbox.engine)

    with pytest.raises(SchemaError, match="'9999': install the version of outhaul that knows it"):
        migrate.upgrade(outbox.engine)

    assert catalog(outbox.engine) == before
    assert revisions(outbox.engine) == ["9999"]


@pytest.mark.parametrize("schema", ["uploads", "Mixed_Case", "user"])
def test_a_postgresql_schema_holds_everything(postgres_url: str, schema: str) -> None:
    """With a schema of its own, nothing of the outbox meets the application's names in public."""

    with opened(postgres_url) as public, opened(postgres_url, schema) as apart:
        execute(
            public, "CREATE TABLE upload_outbox (mine text)", "CREATE TABLE outhaul_version (v int)"
        )
        before = catalog(public)
        with pytest.raises(SchemaError, match=f"no outbox in schema {schema}"):
            migrate.require_current(apart, schema)

        migrate.upgrade(apart, schema)
        migrate.require_current(apart, schema)
        execute(apart, "INSERT INTO upload_outbox (storage_key, payload) VALUES ('k', '')")
        assert revisions(public, f'"{schema}".outhaul_version') == [migrate.head()]
        assert catalog(public) == before

        migrate.downgrade(apart, schema)
        assert catalog(public) == before
        assert not catalog(apart)


def test_a_downgrade_of_nothing_is_harmless(engine: Engine) -> None:
    """Where there is no outbox, taking it down leaves the database as it was."""

    before, tables = catalog(engine), _tables(engine)

    migrate.downgrade(engine)

    assert (catalog(engine), _tables(engine)) == (before, tables)
