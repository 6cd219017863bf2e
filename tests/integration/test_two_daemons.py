"""Two daemons on one outbox: the database is all the coordination there is."""

from __future__ import annotations

from collections import Counter

from tests.support.bulk import insert_files
from tests.support.deployment import Deployment
from tests.support.waiting import wait_for

#: Fewer where two writers wait for each other at every commit.
JOBS = {"postgresql": 2000, "mysql": 300, "sqlite": 300}


def test_two_daemons_do_every_job_once(deployment: Deployment) -> None:
    """Each job is claimed once, sent once and done once, and both daemons had their share."""

    count = JOBS[deployment.engine.dialect.name]
    names = [f"{number}.txt" for number in range(count)]
    # Long leases: on a busy machine a late renewal would honestly repeat an upload.
    lease = {"OUTHAUL_LEASE_SECONDS": "60"}
    with deployment.daemon("one", **lease), deployment.daemon("two", **lease):
        insert_files(deployment, dict.fromkeys(names, 5))
        wait_for(lambda: len(deployment.puts()) >= count, 90, "all uploads to be sent")
        wait_for(lambda: _unfinished(deployment) == 0, 30, "all jobs to be settled")

    assert deployment.query(
        "SELECT status, storage_type, fence, s3_attempts, crash_count, count(*) AS jobs"
        " FROM upload_outbox GROUP BY status, storage_type, fence, s3_attempts, crash_count"
    ) == [
        {
            "status": "done",
            "storage_type": "s3",
            "fence": 1,
            "s3_attempts": 1,
            "crash_count": 0,
            "jobs": count,
        }
    ]
    sent = Counter(request.key for request in deployment.puts())
    assert sent == dict.fromkeys((deployment.key(name) for name in names), 1)
    shares = deployment.query(
        "SELECT worker, count(*) AS jobs FROM upload_attempts"
        " WHERE outcome = 'succeeded' GROUP BY worker"
    )
    assert sum(share["jobs"] for share in shares) == count
    assert len(shares) == 2


def _unfinished(deployment: Deployment) -> int:
    found = deployment.query("SELECT count(*) AS jobs FROM upload_outbox WHERE status <> 'done'")
    return int(found[0]["jobs"])
