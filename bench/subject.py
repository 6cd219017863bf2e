"""Outhaul as it is measured: the one module that knows how it is put together.

Run as a program, `python -m bench.subject URL`, it is the daemon itself, composed and run by
outhaul's own `app`, around an uploader that does nothing. It says `ready`, starts at the next
line of its input, tells each second how many jobs it has done, stops at the line after that, and
is ready again.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bench.account import ACCESS_KEY, BUCKET, ENVIRONMENT, REGION, SECRET_KEY
from outhaul import app, config, logs, transitions
from outhaul.models import Attempt, Job, Operation, Pin, Stored, StoreName
from outhaul.outbox import Claimant, Daemon, Outbox
from outhaul.outbox.engine import open_engine
from outhaul.policy import Rules
from outhaul.settings import setting_names
from outhaul.transfer import Transfer
from outhaul.transitions import Settlement

_LEASE_SECONDS = 90.0
_RULES = Rules((StoreName.LOCAL,), {Operation.UPLOAD: (5.0, 15.0, 30.0)})

#: What a daemon gets of this process's environment.
_INHERITED = ("PATH", "LANG", "TMPDIR", "PYTHONPATH")


def stored(job: Job) -> Attempt:
    """An attempt that went well; its values are as long as a real store's."""
    pin = Pin("a" * 64, 16384)
    answer = Stored("bucket", "b" * 32, None, pin, "sha256", 200, "0123456789ABCDEF")
    return Attempt(job, answer, time.monotonic(), 12, 16384)


def settlement(job: Job) -> Settlement:
    """What a job that went well is settled with."""
    return transitions.settle(stored(job), _RULES, 0.5)


@contextmanager
def opened(url: str) -> Iterator[tuple[Outbox, Engine]]:
    """An outbox as a daemon opens it, and its engine; closed in the end."""
    worker = f"bench-{os.getpid()}-{secrets.token_hex(4)}"
    claimant = Claimant(worker, _LEASE_SECONDS, StoreName.LOCAL, ("default",))
    daemon = Daemon(worker, "bench", os.getpid(), "0", "default", 1, _LEASE_SECONDS)
    engine = open_engine(url)
    try:
        yield Outbox(engine, claimant, daemon), engine
    finally:
        engine.dispose()


def daemon_environment(
    database_url: str, source_root: Path, settings: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a real daemon: defaults, but for what is named here."""
    known = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    own = {
        "HOME": str(source_root),
        "OUTHAUL_DATABASE_URL": database_url,
        "OUTHAUL_SOURCE_ROOTS": str(source_root),
        "OUTHAUL_LOG_FORMAT": "json",
    }
    return known | own | dict(settings)


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
    return {**ENVIRONMENT, "S3_BUCKET_NAME": BUCKET, "S3_ENDPOINT_URL": url}


def oss_settings(url: str) -> dict[str, str]:
    """A store that speaks OSS at this address."""
    return {
        "ALICLOUD_OSS_ACCESS_KEY_ID": ACCESS_KEY,
        "ALICLOUD_OSS_ACCESS_KEY_SECRET": SECRET_KEY,
        "ALICLOUD_OSS_BUCKET_NAME": BUCKET,
        "ALICLOUD_OSS_ENDPOINT": url,
        "ALICLOUD_OSS_REGION": REGION,
    }


class Nothing:
    """Stands where `app` expects its uploader, takes no time, and counts."""

    done = 0

    def __init__(self, stores: Mapping[StoreName, Any], *_: Any, **__: Any) -> None:
        self.stores = stores

    def attempt(self, job: Job, transfer: Transfer) -> Attempt:
        """Say that it is stored."""
        del transfer
        # One thread may overlook another's count: a handful in ten thousand, of no account here.
        Nothing.done += 1
        return stored(job)


def _tell() -> None:
    """Say each second how far it is, until a line comes; then stop the daemon, as systemd does."""
    while not select.select([sys.stdin], [], [], 1.0)[0]:
        print(json.dumps({"settled": Nothing.done, "at": time.monotonic()}), flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Be one daemon, again and again."""
    logs.configure("json", "WARNING")
    vars(app)["Uploader"] = Nothing
    with tempfile.TemporaryDirectory() as home:
        more = {"OUTHAUL_LOCAL_DIR": home} | ({"OUTHAUL_PROCESSES": "1"} if can_fork() else {})
        settings = config.load(daemon_environment(sys.argv[1], Path(home), more)).settings
        while True:
            with app.service(settings) as daemon:
                print("ready", flush=True)
                if not sys.stdin.readline():
                    return
                threading.Thread(target=_tell, daemon=True).start()
                daemon.run()


if __name__ == "__main__":
    main()
