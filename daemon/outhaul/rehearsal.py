"""The retry schedule, live: a real store client against a server that refuses everything."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from outhaul import transitions
from outhaul.models import Job, Operation, Pin, Status, StoreName
from outhaul.policy import Rules
from outhaul.source import Sources
from outhaul.stores.base import Store
from outhaul.transfer import Budget, Transfer
from outhaul.transitions import Settlement
from outhaul.uploader import Uploader

_REFUSAL = b"<Error><Code>SlowDown</Code><Message>rehearsal</Message></Error>"


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt of the rehearsal, and what follows from it."""

    attempt: int
    code: str
    wait_seconds: float | None
    then: str


@contextmanager
def failing_server() -> Iterator[str]:
    """A loopback server that answers 503 SlowDown to everything; yields its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refuses)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Refuses(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(503)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(_REFUSAL)))
        self.end_headers()
        self.wfile.write(_REFUSAL)

    def log_message(self, *_arguments: object) -> None:
        """The rehearsal prints its own lines."""


def rehearse(store: Store, rules: Rules, draw: float) -> Iterator[Step]:
    """Attempt after attempt, as the daemon would make them; the caller does the waiting.

    Args:
        store: a real client of the failing server.
        rules: the policy in force.
        draw: the jitter's random number, in [0, 1).
    """
    content = b"outhaul rehearses its retries"
    uploader = Uploader({store.name: store}, Sources((), 1, lambda _id: content), _no_pin)
    job = _job(store.name)
    while True:
        job = replace(job, attempts={store.name: job.attempt + 1})
        settlement = transitions.settle(uploader.attempt(job, Transfer(Budget())), rules, draw)
        yield _step(settlement)
        if settlement.status is not Status.PENDING or settlement.store is not store.name:
            return


def _no_pin(_job: Job, _pin: Pin) -> None:
    """A rehearsal records nothing."""


def _job(store: StoreName) -> Job:
    return Job(
        id=0,
        fence=0,
        operation=Operation.UPLOAD,
        queue="default",
        storage_key="outhaul-rehearsal",
        store=store,
        attempts={},
    )


def _step(settlement: Settlement) -> Step:
    job, code = settlement.job, settlement.error_code or ""
    if settlement.status is Status.FAILED:
        return Step(job.attempt, code, None, "no store is left: failed")
    if settlement.store is not job.store:
        return Step(job.attempt, code, None, f"falls back to {settlement.store}")
    return Step(job.attempt, code, settlement.due_in, "tries again")
