"""`outhaul db`: the schema, set up and looked at."""

from __future__ import annotations

import pytest

from outhaul import migrate
from outhaul.outbox.engine import open_engine
from tests.support.command import outhaul


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """An empty database of each kind."""
    return {"OUTHAUL_DATABASE_URL": database_url}


def test_an_upgrade_says_what_it_did(environment: dict[str, str]) -> None:
    """From nothing to the newest revision, and no further when it is repeated."""

    first = outhaul(environment, "db", "upgrade")
    second = outhaul(environment, "db", "upgrade")

    assert (first.exit_code, first.out) == (0, f"upgraded from nothing to {migrate.head()}\n")
    assert (second.exit_code, second.out) == (0, f"at revision {migrate.head()}\n")


def test_an_upgrade_says_so_to_programs(environment: dict[str, str]) -> None:
    """`--json` gives the revision before and after."""

    head = migrate.head()

    assert outhaul(environment, "db", "upgrade", "--json").data == {"before": None, "after": head}
    assert outhaul(environment, "db", "upgrade", "--json").data == {"before": head, "after": head}


def test_current_compares_the_database_with_this_version(environment: dict[str, str]) -> None:
    """Before the upgrade they differ, and the reply says what to do; after it they are equal."""

    head = migrate.head()
    before = outhaul(environment, "db", "current")
    json_before = outhaul(environment, "db", "current", "--json").data
    outhaul(environment, "db", "upgrade")

    assert before.exit_code == 0
    assert before.out.splitlines()[1].split() == ["nothing", head]
    assert "outhaul db upgrade" in before.out
    assert json_before == {"database": None, "outhaul": head, "ok": False}
    assert outhaul(environment, "db", "current").out.splitlines()[1:] == [f"{head:8}  {head:7}"]
    assert outhaul(environment, "db", "current", "--json").data == {
        "database": head,
        "outhaul": head,
        "ok": True,
    }


def test_sql_is_for_the_configured_server(environment: dict[str, str]) -> None:
    """Without `--dialect` the statements are those for the server of OUTHAUL_DATABASE_URL."""

    dialect = open_engine(environment["OUTHAUL_DATABASE_URL"]).dialect.name

    answer = outhaul(environment, "db", "sql", "--json").data

    assert answer == {"dialect": dialect, "sql": migrate.sql(dialect)}


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "sqlite"])
def test_sql_needs_no_database(dialect: str) -> None:
    """The statements are printed as they are, also where no database can be reached."""

    shown = outhaul({}, "db", "sql", "--dialect", dialect)

    assert (shown.exit_code, shown.err) == (0, "")
    assert shown.out.rstrip("\n") == migrate.sql(dialect).rstrip()
    assert "CREATE TABLE upload_outbox" in shown.out


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("postgresql://user@host/name", "postgresql"),
        ("postgres://user@host/name", "postgresql"),
        ("mysql://user@host/name", "mysql"),
        ("mariadb://user@host/name", "mariadb"),
        ("sqlite:////directory/file", "sqlite"),
    ],
)
def test_plain_urls_are_understood(url: str, dialect: str) -> None:
    """A URL need not name a driver: those of outhaul's own extras are taken."""

    answer = outhaul({"OUTHAUL_DATABASE_URL": url}, "db", "sql", "--json").data

    assert answer["dialect"] == dialect
    assert "CREATE TABLE upload_outbox" in answer["sql"]


def test_a_plain_url_reaches_its_server(database_url: str) -> None:
    """`postgresql://` and `mysql://` work as they are, with the driver that the extra installed."""

    scheme, _, rest = database_url.partition("://")
    environment = {"OUTHAUL_DATABASE_URL": f"{scheme.partition('+')[0]}://{rest}"}

    assert outhaul(environment, "db", "upgrade").exit_code == 0
    assert outhaul(environment, "status").exit_code == 0
