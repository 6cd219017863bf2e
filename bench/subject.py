"""Outhaul as it is measured: the one module that knows how its parts are put together.

Run as a program it is the pipeline alone: claimer, workers and writer as the daemon wires them,
around an uploader that does nothing. `python -m bench.subject URL WORKERS` says `ready`, starts
at the next line of its input, tells each second how many jobs it has settled, stops at the line
after that, and is ready again.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bench.account import ACCESS_KEY, BUCKET, ENVIRONMENT, REGION, SECRET_KEY
from outhaul import logs, transitions
from outhaul.claimer import Claimer
from outhaul.flights import Flights
from outhaul.models import Attempt, Job, Operation, Pin, Stored, StoreName
from outhaul.outage import Outage
from outhaul.outbox import Claimant, Daemon, Outbox
from outhaul.outbox.engine import open_engine
from outhaul.policy import Rules
from outhaul.settings import setting_names
from outhaul.transfer import Budget, Transfer
from outhaul.transitions import Settlement
from outhaul.worker import Workers
from outhaul.writer import Writer

LEASE_SECONDS = 90.0
RULES = Rules((StoreName.S3,), {Operation.UPLOAD: (5.0, 15.0, 30.0)})

#: The daemon's own default.
POLL_SECONDS = 0.1

#: What a daemon gets of this process's environment.
_INHERITED = ("PATH", "LANG", "TMPDIR")


class Nothing:
    """An uploader whose store takes no time."""

    def __init__(self) -> None:
        self.stores = {StoreName.S3: self}

    def attempt(self, job: Job, transfer: Transfer) -> Attempt:
        """Say that it is stored."""
        del transfer
        return stored(job)


def stored(job: Job) -> Attempt:
    """An attempt that went well; its values are as long as a real store's."""
    pin = Pin("a" * 64, 16384)
    answer = Stored("bucket", "b" * 32, None, pin, "sha256", 200, "0123456789ABCDEF")
    return Attempt(job, answer, time.monotonic(), 12, 16384)


def settlement(job: Job) -> Settlement:
    """What a job that went well is settled with."""
    return transitions.settle(stored(job), RULES, 0.5)


@contextmanager
def opened(url: str) -> Iterator[tuple[Outbox, Engine]]:
    """An outbox as a daemon opens it, and its engine; closed in the end."""
    engine = open_engine(url)
    try:
        yield _outbox(engine), engine
    finally:
        engine.dispose()


def _outbox(engine: Engine) -> Outbox:
    worker = f"bench-{os.getpid()}-{secrets.token_hex(4)}"
    claimant = Claimant(worker, LEASE_SECONDS, StoreName.S3, ("default",))
    daemon = Daemon(worker, "bench", os.getpid(), "0", "default", 1, LEASE_SECONDS)
    return Outbox(engine, claimant, daemon)


class Pipeline:
    """A daemon without its uploads, its scheduler and its signals."""

    def __init__(self, engine: Engine, workers: int) -> None:
        book, outage, flights = _outbox(engine), Outage(), Flights(Budget())
        self.settled = 0
        self._writer = Writer(book, flights, outage)
        uploader: Any = Nothing()
        self._workers = Workers(workers, uploader, flights, RULES, self._writer)
        self._claimer = Claimer(
            book,
            flights,
            self._workers.submit,
            workers=workers,
            lease_seconds=LEASE_SECONDS,
            outage=outage,
        )
        self._writer.afterwards = [self._landed]
        self._stopping = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        """Begin, in the order in which the service does."""
        self._writer.start()
        self._workers.start()
        self._claimer.start()
        self._ticker.start()

    def stop(self) -> None:
        """Stop claiming, settle what is in flight."""
        self._stopping.set()
        self._claimer.stop()
        self._workers.stop()
        self._writer.stop(10.0)

    def _landed(self, _: Settlement) -> None:
        self.settled += 1
        self._claimer.landed()

    def _tick(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._claimer.tick()


def daemon_environment(
    database_url: str, source_root: Path, settings: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a real daemon: defaults, but for what is named here."""
    known = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return (
        known
        | {
            "HOME": str(source_root),
            "OUTHAUL_DATABASE_URL": database_url,
            "OUTHAUL_SOURCE_ROOTS": str(source_root),
            "OUTHAUL_LOG_FORMAT": "json",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        | dict(settings)
    )


def can_fork() -> bool:
    """Whether one daemon can be several processes."""
    return "OUTHAUL_PROCESSES" in setting_names()


def slots(count: int) -> dict[str, str]:
    """So many uploads at once, over all processes of a daemon."""
    if not can_fork():
        return {"OUTHAUL_WORKERS": str(count)}
    processes = max(1, min(os.cpu_count() or 1, count))
    return {"OUTHAUL_PROCESSES": str(processes), "OUTHAUL_WORKERS": str(-(-count // processes))}


def s3_settings(url: str) -> dict[str, str]:
    """A store that speaks S3 at this address."""
    return {
        **ENVIRONMENT,
        "S3_BUCKET_NAME": BUCKET,
        "S3_ENDPOINT_URL": url,
    }


def oss_settings(url: str) -> dict[str, str]:
    """A store that speaks OSS at this address."""
    return {
        "ALICLOUD_OSS_ACCESS_KEY_ID": ACCESS_KEY,
        "ALICLOUD_OSS_ACCESS_KEY_SECRET": SECRET_KEY,
        "ALICLOUD_OSS_BUCKET_NAME": BUCKET,
        "ALICLOUD_OSS_ENDPOINT": url,
        "ALICLOUD_OSS_REGION": REGION,
    }


def main() -> None:
    """Be one process of the pipeline."""
    logs.configure("json", "WARNING")
    engine = open_engine(sys.argv[1])
    while True:
        pipeline = Pipeline(engine, int(sys.argv[2]))
        print("ready", flush=True)
        if not sys.stdin.readline():
            return
        pipeline.start()
        while not select.select([sys.stdin], [], [], 1.0)[0]:
            print(json.dumps({"settled": pipeline.settled, "at": time.monotonic()}), flush=True)
        sys.stdin.readline()
        pipeline.stop()


if __name__ == "__main__":
    main()
