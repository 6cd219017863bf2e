"""`outhaul status`: the outbox at a glance."""

from __future__ import annotations

from tests.support.command import outhaul
from tests.support.deployment import Deployment

#: Times of the past and of the future that every database reads.
_PAST, _FUTURE = "2020-01-01 00:00:00", "2099-01-01 00:00:00"


def _fill(deployment: Deployment) -> None:
    common = {"storage_key": "key", "source_path": "/spool/file"}
    for columns in (
        {},
        {"next_retry_at": _PAST},
        {"next_retry_at": _FUTURE},
        {"status": "running", "claimed_by": "gone:1:ab", "lease_expires_at": _PAST},
        {"status": "running", "claimed_by": "here:1:ab", "lease_expires_at": _FUTURE},
        {"status": "failed"},
        {"status": "cancelled"},
        *[{"status": "done", "storage_type": "s3"}] * 3,
        {"status": "done", "storage_type": "oss"},
    ):
        deployment.insert(**common, **columns)


def test_everything_is_counted(deployment: Deployment) -> None:
    """Jobs by state, backlog and its age, waiting jobs, expired leases, and where things went."""

    _fill(deployment)
    data = outhaul(deployment.environment(), "status", "--json").data

    states = {"pending": 3, "running": 2, "done": 4, "failed": 1, "cancelled": 1}
    assert data["jobs"] == states
    assert data["stored"] == {"oss": 1, "s3": 3}
    assert (data["due"], data["waiting_for_retry"], data["expired_leases"]) == (2, 1, 1)
    assert data["oldest_due_seconds"] > 86400 * 365
    assert data["daemons"] == []


def test_people_get_the_same_in_words(deployment: Deployment) -> None:
    """The numbers stand under their names, and shares are in percent."""

    _fill(deployment)
    shown = outhaul(deployment.environment(), "status")

    lines = [line.split() for line in shown.out.splitlines()]
    assert lines[0] == ["pending", "running", "done", "failed", "cancelled"]
    assert lines[1] == ["3", "2", "4", "1", "1"]
    assert "backlog: 2 due, the oldest for " in shown.out
    assert "1 wait for a later time\nexpired leases: 1\n" in shown.out
    assert ["oss", "1", "25.0%"] in lines
    assert ["s3", "3", "75.0%"] in lines
    assert shown.out.endswith("no daemon runs; start one: outhaul run\n")


def test_a_running_daemon_is_shown(deployment: Deployment) -> None:
    """Who is at work, with its lanes and slots, and no more once it has stopped."""

    with deployment.daemon(OUTHAUL_QUEUES="slow,default", OUTHAUL_WORKERS="3") as daemon:
        (worker,) = outhaul(deployment.environment(), "status", "--json").data["daemons"]
        shown = outhaul(deployment.environment(), "status").out
        daemon.stop()
    after = outhaul(deployment.environment(), "status", "--json").data["daemons"]

    assert (worker["pid"], worker["queues"], worker["slots"]) == (daemon.pid, "slow,default", 3)
    assert worker["last_seen_at"].endswith("Z")
    assert worker["worker"] in shown
    assert after == []


def test_an_empty_outbox_is_no_error(database_url: str) -> None:
    """Nothing has been stored yet: zeros, and no division by them."""

    environment = {"OUTHAUL_DATABASE_URL": database_url}
    outhaul(environment, "db", "upgrade")
    shown = outhaul(environment, "status")

    assert shown.exit_code == 0
    assert "backlog: 0 due" in shown.out
