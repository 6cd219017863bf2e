from __future__ import annotations
import time
from tests.support.deployment import Deployment
from tests.support.session import Session
from tests.support.waiting import wait_for
def test_x(sqlite_deployment: Deployment) -> None:
    """x"""
    d = sqlite_deployment
    held = d.s3.hold(method="PUT", times=4)
    with d.daemon(OUTHAUL_LEASE_SECONDS="30", OUTHAUL_WORKERS="4") as daemon:
        ids=[d.insert_file(f"{i}.bin") for i in range(6)]
        assert held.arrived.wait(30)
        with Session(d.database_url) as o:
            o.lock_row(ids[0])
            held.release()
            t=time.monotonic()
            wait_for(lambda: daemon.events("Database not reachable, waiting for it"), 60, "x")
            print("lost after", time.monotonic()-t)
            time.sleep(8)
        jobs=d.wait_final(*ids)
        time.sleep(3)
        print(daemon.text())
        print([(j["status"],j["s3_attempts"],j["fence"]) for j in jobs])
