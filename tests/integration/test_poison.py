"""A job that kills its daemon: found out, parked, and nobody else's undoing."""

from __future__ import annotations

import math
from itertools import pairwise

from tests.support.clock import an_hour_passes, spans
from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment
from tests.support.waiting import wait_for


def crash(deployment: Deployment, daemon: DaemonProcess) -> None:
    """Kill -9, and a start when all leases have run out."""
    daemon.kill()
    an_hour_passes(deployment)
    daemon.start()


def test_a_job_that_kills_its_daemon_is_parked(deployment: Deployment) -> None:
    """Four crashes park it as POISON; all others are done, and none of them beside a suspect."""

    deployment.s3.hold(key="poison", method="PUT", times=math.inf)
    deployment.s3.hold(key="near", method="PUT", times=3)
    # Slow enough to show it if two of them ran at once.
    deployment.s3.throttle(100_000, method="PUT", times=math.inf)
    with deployment.daemon(OUTHAUL_WORKERS="4", OUTHAUL_LEASE_SECONDS="60") as daemon:
        poison = deployment.insert_file("poison.bin")
        near = [deployment.insert_file(f"near{n}.bin", bytes(20_000)) for n in range(3)]
        wait_for(lambda: len(deployment.puts()) == 4, 30, "four uploads to be under way")
        crash(deployment, daemon)
        _wait_for_poison(deployment, 2)
        fresh = deployment.insert_file("fresh.bin", bytes(20_000))
        for times in (3, 4):
            crash(deployment, daemon)
            _wait_for_poison(deployment, times)
        crash(deployment, daemon)
        parked, late, *others = deployment.wait_final(poison, fresh, *near)

    assert (parked["status"], parked["last_error_code"]) == ("failed", "POISON")
    assert (parked["s3_attempts"], parked["crash_count"], parked["storage_type"]) == (3, 4, None)
    assert [row["outcome"] for row in deployment.attempts(poison)] == ["lost"] * 4
    assert (late["status"], late["fence"], late["crash_count"]) == ("done", 1, 0)
    outcomes = {(job["status"], job["s3_attempts"], job["crash_count"]) for job in others}
    assert outcomes == {("done", 1, 1)}
    flights = spans(deployment, [fresh, *near])
    assert all(end <= begin for (_, end), (begin, _) in pairwise(flights))


def _wait_for_poison(deployment: Deployment, times: int) -> None:
    wait_for(lambda: len(deployment.puts("poison.bin")) == times, 30, f"upload {times}")
