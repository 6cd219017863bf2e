"""`outhaul jobs`, `retry` and `cancel`: one job or many, with every attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.reply import Reply, Table, replies
from outhaul.errors import JobNotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: What a 64-bit id can be.
_ID = click.IntRange(1, (1 << 63) - 1)

_LISTED = ("id", "status", "storage_type", "storage_key", "last_error_code", "updated_at")
_HIDDEN = {"attempts"}
_ATTEMPT = (
    "store",
    "attempt",
    "outcome",
    "error_code",
    "http_status",
    "duration_ms",
    "bytes_sent",
    "started_at",
    "request_id",
    "message",
)


@contextmanager
def _engine() -> Iterator[Engine]:
    from outhaul.app import outbox_database  # noqa: PLC0415 - the database costs half a second
    from outhaul.config import load  # noqa: PLC0415

    with outbox_database(load().settings) as engine:
        yield engine


@click.group()
def jobs() -> None:
    """Look at jobs."""


@jobs.command("list")
@click.option(
    "--status",
    type=click.Choice(["pending", "running", "done", "failed", "cancelled"]),
    help="Jobs in this state.",
)
@click.option(
    "--store",
    "storage_type",
    type=click.Choice(["s3", "oss", "local"]),
    help="Jobs whose bytes this store holds.",
)
@click.option("--error", "error_code", help="Jobs whose last error has this code.")
@click.option("--key-prefix", help="Jobs whose key begins so.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many."
)
@click.option("--before", "before_id", type=_ID, help="Go on below this id.")
@replies
def list_(**wanted: Any) -> Reply:
    """List jobs, newest first; filters combine."""
    from outhaul.outbox.jobs import Filter, list_jobs  # noqa: PLC0415

    with _engine() as engine:
        found = list_jobs(engine, Filter(**wanted))
    table = Table(_LISTED, [[job[name] for name in _LISTED] for job in found])
    return Reply(found, [table if found else "no such jobs"])


@jobs.command()
@click.argument("job_id", type=_ID, metavar="ID")
@replies
def show(job_id: int) -> Reply:
    """Show one job and every attempt it took."""
    from outhaul.outbox.jobs import show_job  # noqa: PLC0415

    with _engine() as engine:
        job = show_job(engine, job_id)
    if job is None:
        raise JobNotFoundError(f"there is no job {job_id}")
    about = [
        (name, value) for name, value in job.items() if name not in _HIDDEN and value is not None
    ]
    attempts = [[row[name] for name in _ATTEMPT] for row in job["attempts"]]
    return Reply(job, [Table(("column", "value"), about), "", Table(_ATTEMPT, attempts)])


@click.command()
@click.argument("job_ids", type=_ID, nargs=-1, required=True, metavar="ID...")
@replies
def retry(job_ids: tuple[int, ...]) -> Reply:
    """Start failed or cancelled jobs anew. Their history stays."""
    from outhaul.outbox.jobs import requeue  # noqa: PLC0415

    return _steered(job_ids, requeue, "requeued", "failed or cancelled")


@click.command()
@click.argument("job_ids", type=_ID, nargs=-1, required=True, metavar="ID...")
@replies
def cancel(job_ids: tuple[int, ...]) -> Reply:
    """Cancel pending or failed jobs. One that is under way is left alone."""
    from outhaul.outbox.jobs import cancel as cancel_jobs  # noqa: PLC0415

    return _steered(job_ids, cancel_jobs, "cancelled", "pending or failed")


def _steered(
    job_ids: Sequence[int],
    change: Callable[[Engine, Sequence[int]], list[int]],
    verb: str,
    wanted: str,
) -> Reply:
    from outhaul.outbox.jobs import status_of  # noqa: PLC0415

    with _engine() as engine:
        changed = change(engine, list(job_ids))
        left = {i: status_of(engine, i) for i in job_ids if i not in changed}
    lines = [f"{job_id} {verb}" for job_id in changed]
    lines += [
        f"{job_id} is {status}, not {wanted}" if status else f"there is no job {job_id}"
        for job_id, status in left.items()
    ]
    code = ExitCode.OK
    if left:
        missing = all(status is None for status in left.values())
        code = ExitCode.NOT_FOUND if missing and not changed else ExitCode.PARTIAL
    return Reply({verb: changed, "left_alone": left}, lines, code)
