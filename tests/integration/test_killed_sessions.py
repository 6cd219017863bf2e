"""A server that ends the daemon's sessions, whatever they are in the middle of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.deployment import Deployment
from tests.support.served import Served, serve
from tests.support.session import Session
from tests.support.waiting import wait_for

LOST = "Database not reachable, waiting for it"
BACK = "Database answers again"


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A daemon whose leases outlast every fault here."""
    with serve(request, OUTHAUL_LEASE_SECONDS="60") as running:
        yield running


@contextmanager
def one_outage(served: Served) -> Iterator[Session]:
    """Another session; after the block the log has one more error and one more all-clear."""
    before = len(served.daemon.events(LOST))
    with Session(served.deployment.database_url) as other:
        yield other
    wait_for(lambda: len(served.daemon.events(BACK)) > before, 30, "the daemon to recover")
    assert len(served.daemon.events(LOST)) == len(served.daemon.events(BACK)) == before + 1


def kill_all(deployment: Deployment, other: Session) -> None:
    """End every session but `other`, at least one of the daemon's among them."""
    deployment.engine.dispose()
    assert other.kill_others() > 0


def assert_done_at_first_try(deployment: Deployment, job_id: int) -> None:
    """The fault cost the job nothing."""
    (job,) = deployment.wait_final(job_id)
    assert (job["status"], job["storage_type"]) == ("done", "s3")
    assert (job["s3_attempts"], job["fence"], job["crash_count"]) == (1, 1, 0)
    assert [row["outcome"] for row in deployment.attempts(job_id)] == ["succeeded"]


def test_idle_sessions_are_replaced(served: Served) -> None:
    """Sessions killed between two polls cost one error line, and no job."""

    with one_outage(served) as other:
        kill_all(served.deployment, other)

    assert_done_at_first_try(served.deployment, served.deployment.insert_file("idle.bin"))


def test_a_claim_that_was_killed_is_made_again(served: Served) -> None:
    """A session killed inside the claim cost one error line, and no job."""

    with one_outage(served) as other:
        other.lock_table()
        wait_for(other.someone_waits, 30, "a claim to wait for the lock")
        kill_all(served.deployment, other)

    assert_done_at_first_try(served.deployment, served.deployment.insert_file("claimed.bin"))


def test_a_settle_that_was_killed_is_made_again(served: Served) -> None:
    """A session killed inside the settle: the result is kept, written once, and sent once."""

    deployment = served.deployment
    held = deployment.s3.hold(key="settled", method="PUT")
    job_id = deployment.insert_file("settled.bin")
    assert held.arrived.wait(30)
    with one_outage(served) as other:
        other.lock_row(job_id)
        held.release()
        wait_for(other.someone_waits, 30, "the settle to wait for the lock")
        kill_all(deployment, other)

    assert_done_at_first_try(deployment, job_id)
    assert len(deployment.puts("settled.bin")) == 1
