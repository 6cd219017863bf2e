"""Rows that say `running` while nobody works on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from outhaul.outbox.tables import outbox
from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment


def orphan(deployment: Deployment, name: str, owner: str | None, ahead: timedelta) -> int:
    """A job that was claimed once, under a lease that ends `ahead` of now."""
    row = {
        "storage_key": deployment.key(name),
        "source_path": str(deployment.file(name)),
        "status": "running",
        "current_store": "s3",
        "s3_attempts": 1,
        "fence": 1,
        "claimed_by": owner,
        "lease_expires_at": datetime.now(UTC) + ahead,
    }
    with deployment.engine.begin() as connection:
        key = connection.execute(insert(outbox).values(row)).inserted_primary_key
        return int((key or (0,))[0])


def name_of(daemon: DaemonProcess) -> str:
    """What a daemon signs its claims with."""
    return str(daemon.events("outhaul is ready")[0]["worker"])


def test_orphans_are_taken_back(deployment: Deployment) -> None:
    """Over leases are taken back, a dead owner's as a crash, our own as a slip; others are not."""

    hour = timedelta(hours=1)
    settings = {"OUTHAUL_RESCUE_SECONDS": "0.2", "OUTHAUL_LEASE_SECONDS": "600"}
    with deployment.daemon(**settings) as daemon:
        dead = orphan(deployment, "dead.bin", "dead-host:1:0", -hour)
        nobody = orphan(deployment, "nobody.bin", None, -hour)
        ours = orphan(deployment, "ours.bin", name_of(daemon), -hour)
        alive = orphan(deployment, "alive.bin", "other-host:1:0", hour)
        jobs = deployment.wait_final(dead, nobody, ours)

    assert {(job["status"], job["s3_attempts"], job["fence"]) for job in jobs} == {("done", 1, 3)}
    assert [job["crash_count"] for job in jobs] == [1, 1, 0]
    for job in jobs:
        outcomes = [row["outcome"] for row in deployment.attempts(job["id"])]
        assert outcomes == ["lost", "succeeded"]
    left = deployment.job(alive)
    assert (left["status"], left["claimed_by"]) == ("running", "other-host:1:0")
