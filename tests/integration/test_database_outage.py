"""The database goes away under a running daemon, which waits for it and burns nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.clock import database_now, lease_end
from tests.support.daemon import START_SECONDS, DaemonProcess
from tests.support.deployment import Deployment
from tests.support.mariadb import MariaDbServer
from tests.support.postgresql import PostgresServer
from tests.support.tcp_front import TcpFront
from tests.support.waiting import wait_for

LOST = "Database not reachable, waiting for it"
BACK = "Database answers again"

#: Server databases only: an embedded one is never away.
pytestmark = pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
def server(
    deployment: Deployment, request: pytest.FixtureRequest
) -> PostgresServer | MariaDbServer:
    """The server of the deployment's database."""
    postgresql = deployment.engine.dialect.name == "postgresql"
    found: PostgresServer | MariaDbServer = request.getfixturevalue(
        "postgres_server" if postgresql else "mariadb_server"
    )
    return found


@contextmanager
def stopped(deployment: Deployment, server: PostgresServer | MariaDbServer) -> Iterator[None]:
    """The server is down, and is up again afterwards whatever happens."""
    deployment.engine.dispose()
    server.stop()
    try:
        yield
    finally:
        server.start()


def assert_one_outage(daemon: DaemonProcess) -> None:
    """The log has one error and one all-clear."""
    wait_for(lambda: daemon.events(BACK), 30, "the end of the outage to be logged")
    assert (len(daemon.events(LOST)), len(daemon.events(BACK))) == (1, 1)


def test_a_server_restart_is_ridden_out(
    deployment: Deployment, server: PostgresServer | MariaDbServer
) -> None:
    """Five rows, one upload under way: after a crash of the server all are done, uncharged."""

    held = deployment.s3.hold(method="PUT", skip=2)
    with deployment.daemon(OUTHAUL_WORKERS="1", OUTHAUL_LEASE_SECONDS="60") as daemon:
        ids = [deployment.insert_file(f"{number}.bin") for number in range(5)]
        assert held.arrived.wait(30)
        deployment.engine.dispose()
        server.restart("immediate")
        held.release()
        jobs = deployment.wait_final(*ids)
        assert_one_outage(daemon)

    assert {(job["status"], job["storage_type"]) for job in jobs} == {("done", "s3")}
    assert {(job["s3_attempts"], job["fence"], job["crash_count"]) for job in jobs} == {(1, 1, 0)}
    assert len(deployment.puts()) == 5


def test_a_start_waits_for_its_database(
    deployment: Deployment, server: PostgresServer | MariaDbServer
) -> None:
    """A daemon that starts first logs one error, and is ready by itself once the server is."""

    job_id = deployment.insert_file("early.bin")
    with ExitStack() as stack:
        daemon = deployment.daemon()
        stack.push(daemon)
        with stopped(deployment, server):
            daemon.start(wait=False)
            wait_for(lambda: daemon.events(LOST), START_SECONDS, "the outage to be logged")
            assert not daemon.events("outhaul is ready")
        (job,) = deployment.wait_final(job_id)
        assert_one_outage(daemon)

    assert job["status"] == "done"
    assert len(daemon.events("outhaul is ready")) == 1


def test_an_outage_longer_than_the_lease_burns_no_attempt(deployment: Deployment) -> None:
    """Uploads are given up in time and made again afterwards; nobody takes the others for dead."""

    held = deployment.s3.hold(method="PUT", times=4)
    with TcpFront(deployment.database_url) as front:
        settings = {
            "OUTHAUL_DATABASE_URL": front.database_url,
            "OUTHAUL_LEASE_SECONDS": "2",
            "OUTHAUL_RESCUE_SECONDS": "0.2",
            "OUTHAUL_WORKERS": "2",
        }
        with (
            deployment.daemon("one", **settings) as one,
            deployment.daemon("two", **settings) as two,
        ):
            ids = [deployment.insert_file(f"{number}.bin") for number in range(4)]
            wait_for(lambda: len(deployment.puts()) == 4, 30, "four uploads to be under way")
            began = time.monotonic()
            front.refuse()
            ends = [lease_end(deployment, job_id) for job_id in ids]
            wait_for(lambda: database_now(deployment) > max(filter(None, ends)), 30, "the leases")
            seconds = time.monotonic() - began
            tries = sum(moment >= began for moment in front.accepted)
            front.restore()
            jobs = deployment.wait_final(*ids)
            held.release()
            for daemon in (one, two):
                assert_one_outage(daemon)

    assert {(job["status"], job["storage_type"]) for job in jobs} == {("done", "s3")}
    assert {(job["s3_attempts"], job["crash_count"]) for job in jobs} == {(1, 0)}
    for job_id in ids:
        history = [(row["attempt"], row["outcome"]) for row in deployment.attempts(job_id)]
        assert history == [(1, "lost"), (1, "succeeded")]
    # Four threads in each of two, once a second at most, and one try when it all begins.
    assert 0 < tries <= 8 * (seconds + 1)


def test_a_claim_whose_answer_is_lost_is_not_forgotten(deployment: Deployment) -> None:
    """A job that the database gave us, and we never heard of, does not wait for its lease."""

    with TcpFront(deployment.database_url) as front:
        settings = {"OUTHAUL_DATABASE_URL": front.database_url, "OUTHAUL_LEASE_SECONDS": "600"}
        with deployment.daemon(**settings):
            front.lose_answers(*_claim(deployment, "unheard.bin"))
            job_id = deployment.insert_file("unheard.bin")
            assert front.lost.wait(30)
            wait_for(lambda: deployment.job(job_id)["fence"] == 1, 30, "the claim")
            front.restore()
            front.cut()
            (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["s3_attempts"], job["crash_count"]) == ("done", 1, 0)
    history = [(row["attempt"], row["outcome"]) for row in deployment.attempts(job_id)]
    assert history == [(1, "lost"), (1, "succeeded")]
    assert len(deployment.puts("unheard.bin")) == 1


def test_a_settle_whose_answer_is_lost_is_not_repeated(deployment: Deployment) -> None:
    """A result that was written, and we never heard of it, is found on record."""

    held = deployment.s3.hold(method="PUT")
    with TcpFront(deployment.database_url) as front:
        settings = {"OUTHAUL_DATABASE_URL": front.database_url, "OUTHAUL_LEASE_SECONDS": "60"}
        with deployment.daemon(**settings) as daemon:
            job_id = deployment.insert_file("unheard.bin", on_success="delete")
            assert held.arrived.wait(30)
            front.lose_answers(*_settle(deployment))
            held.release()
            (settled,) = deployment.wait_final(job_id)
            front.restore()
            front.cut()
            wait_for(lambda: not (deployment.spool / "unheard.bin").exists(), 30, "the delete")

    sentence = f"File uploaded to S3: {deployment.key('unheard.bin')}"
    assert len(daemon.events(sentence)) == 1
    assert not daemon.events("Job lost to another daemon")
    assert deployment.job(job_id) == settled
    assert [row["outcome"] for row in deployment.attempts(job_id)] == ["succeeded"]


#: MySQL's protocol: the command COM_QUERY, and its text.
_COMMIT = b"\x03COMMIT"


def _claim(deployment: Deployment, name: str) -> tuple[bytes, ...]:
    """What passes when a job is claimed: in PostgreSQL one statement, which returns the row."""
    if deployment.engine.dialect.name == "postgresql":
        return (deployment.key(name).encode(),)
    return b"UPDATE upload_outbox", _COMMIT


def _settle(deployment: Deployment) -> tuple[bytes, ...]:
    """What passes when a result is written: in PostgreSQL any statement commits itself."""
    if deployment.engine.dialect.name == "postgresql":
        return (b"",)
    return b"INSERT INTO upload_attempts", _COMMIT
