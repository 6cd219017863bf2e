"""Cases in which the database is shared with somebody, and time spent in it is theirs too."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from sqlalchemy import make_url

from tests.faults.neighbour import WELL, Neighbour
from tests.faults.record import verdict
from tests.support.deployment import Deployment
from tests.support.waiting import wait_for

#: Transactions of others than the one who asks.
OPEN_TRANSACTIONS = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        " AND backend_type = 'client backend'"
    ),
    "mysql": (
        "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx JOIN"
        " information_schema.processlist ON trx_mysql_thread_id = id"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}


def test_transaction_is_never_held_open_across_an_upload(deployment: Deployment) -> None:
    """While S3 holds a PUT and a part, no transaction is open and others write to the outbox."""

    small = deployment.s3.hold(key=deployment.key("small"), method="PUT")
    large = deployment.s3.hold(key=deployment.key("large"), method="PUT")
    with deployment.daemon():
        held = [
            deployment.insert_file("small"),
            deployment.insert_file("large", bytes(9 * 1024 * 1024)),
        ]
        assert small.arrived.wait(20)
        assert large.arrived.wait(20)
        if query := OPEN_TRANSACTIONS.get(deployment.engine.dialect.name):
            # Claims come and go; a transaction around an upload would stay.
            wait_for(lambda: not deployment.query(query), 5, "a moment without a transaction")
        neighbour = Neighbour(deployment)
        assert neighbour.fate() == WELL
        meanwhile = [deployment.job(row)["status"] for row in held]
        small.release()
        large.release()
        jobs = deployment.wait_final(*held)

    assert meanwhile == ["running", "running"]
    assert {verdict(job) for job in jobs} == {("done", "s3", None)}


def forget_database(deployment: Deployment) -> None:
    """Leave no file of the SQLite outbox: as on the first start of all."""
    deployment.engine.dispose()
    path = Path(make_url(deployment.database_url).database or "")
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def test_two_daemons_migrate_at_once_at_their_first_start(sqlite_deployment: Deployment) -> None:
    """On no database at all both become ready, one schema is there, and a row is stored once."""

    deployment = sqlite_deployment
    forget_database(deployment)
    with contextlib.ExitStack() as cleanup:
        daemons = [deployment.daemon(f"daemon-{number}") for number in range(2)]
        for daemon in daemons:
            cleanup.push(daemon)
            daemon.start(wait=False)
        for daemon in daemons:
            wait_for(lambda: daemon.events("outhaul is ready"), 30, daemon.text())  # noqa: B023
        neighbour = Neighbour(deployment)
        assert neighbour.fate() == WELL
        assert [daemon.stop() for daemon in daemons] == [0, 0]

    assert deployment.query("SELECT version_num FROM outhaul_version") == [{"version_num": "0001"}]
    assert len(deployment.attempts(neighbour.job_id)) == 1
    assert not [event for daemon in daemons for event in daemon.events() if is_trouble(event)]


def is_trouble(event: dict[str, object]) -> bool:
    """Whether an event is more than news."""
    return event["level"] not in {"debug", "info"}


def test_sqlite_is_never_found_locked_by_its_daemons(sqlite_deployment: Deployment) -> None:
    """Two daemons and two clients write at once: no lock error, and each row is stored once."""

    deployment = sqlite_deployment

    def insert(lane: int) -> None:
        for number in range(60):
            deployment.insert_file(f"busy/{lane}-{number}")

    with deployment.daemon("one") as one, deployment.daemon("two") as two:
        clients = [threading.Thread(target=insert, args=[lane]) for lane in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        neighbour = Neighbour(deployment)
        rows = [row["id"] for row in deployment.query("SELECT id FROM upload_outbox")]
        jobs = deployment.wait_final(*rows)
        assert neighbour.fate() == WELL

    assert len(jobs) == 121
    assert {verdict(job) for job in jobs} == {("done", "s3", None)}
    assert len(deployment.puts()) == 121
    assert not [event for daemon in (one, two) for event in daemon.events() if is_trouble(event)]
