"""How soon work is begun when polls are rare: by a NOTIFY, by a worker that falls free."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from outhaul.outbox import wakeup
from tests.support.bulk import insert_files
from tests.support.clock import database_now, spans
from tests.support.deployment import Deployment
from tests.support.session import Session
from tests.support.waiting import wait_for

#: A poll that comes too late for any of these tests.
RARE = {"OUTHAUL_POLL_SECONDS": "60", "OUTHAUL_LEASE_SECONDS": "300"}

#: Far less than a minute, far more than a busy machine needs for a claim.
SOON = timedelta(seconds=20)


def assert_claimed_soon(deployment: Deployment, name: str) -> None:
    """A row inserted now is done long before the next poll."""
    inserted = database_now(deployment)
    job_id = deployment.insert_file(name)
    (job,) = deployment.wait_final(job_id, seconds=50)
    ((begun, _),) = spans(deployment, [job_id])
    assert job["status"] == "done"
    assert begun - inserted < SOON


def wait_until_it_listens(deployment: Deployment) -> None:
    """PostgreSQL shows each session's last statement, and LISTEN is the listener's only one."""
    listening = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
    wait_for(lambda: deployment.query(listening), 30, "the daemon to listen")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_commit_wakes_the_daemon(deployment: Deployment) -> None:
    """With NOTIFY switched on a row need not wait for the poll; nor after the session was lost."""

    wakeup.switch(deployment.engine, on=True)
    with deployment.daemon(OUTHAUL_NOTIFY="true", **RARE):
        wait_until_it_listens(deployment)
        assert_claimed_soon(deployment, "notified.bin")
        deployment.engine.dispose()
        with Session(deployment.database_url) as other:
            assert other.kill_others() > 0
        wait_until_it_listens(deployment)
        assert_claimed_soon(deployment, "notified again.bin")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_notify_is_off_until_it_is_asked_for(deployment: Deployment) -> None:
    """Without the switch no trigger slows inserts down, and it can be switched off again."""

    def triggers() -> int:
        query = text("SELECT count(*) FROM pg_trigger WHERE tgname = 'upload_outbox_notify'")
        with deployment.engine.begin() as connection:
            return int(connection.execute(query).scalar_one())

    counts = [triggers()]
    for on in (True, True, False, False):
        wakeup.switch(deployment.engine, on=on)
        counts.append(triggers())

    assert counts == [0, 1, 1, 0, 0]


def test_a_free_worker_takes_the_next_job_at_once(deployment: Deployment) -> None:
    """One worker and a poll a minute: ten jobs that were there at the start follow one another."""

    ids = insert_files(deployment, {f"{number}.bin": 5 for number in range(10)})
    with deployment.daemon(OUTHAUL_WORKERS="1", **RARE):
        deployment.wait_final(*ids, seconds=50)

    flights = spans(deployment, ids)
    assert len(flights) == 10
    assert all(begin - end < SOON for (_, end), (begin, _) in pairwise(flights))
