"""`outhaul enqueue`: insert a job from a shell, and wait for it if asked."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import click

from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.reply import Reply, replies

_LOOK_SECONDS = 0.2

_FINAL = {"done", "failed", "cancelled"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("key")
@click.option("--inline", is_flag=True, help="Put the bytes into the row: no shared disk needed.")
@click.option("--queue", help="The lane; 'default' by default.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 runs first; 5 by default.")
@click.option("--content-type", help="As in text/plain.")
@click.option("--meta", multiple=True, metavar="NAME=VALUE", help="Metadata; may be repeated.")
@click.option("--dedupe-key", help="A second job with this key is refused.")
@click.option("--wait", is_flag=True, help="Wait for the outcome, and exit 1 if it failed.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
@replies
def enqueue(
    file: Path,
    key: str,
    *,
    inline: bool,
    meta: tuple[str, ...],
    wait: bool,
    timeout: float,
    **columns: Any,
) -> Reply:
    """Ask for FILE to be stored under KEY; print the job's id."""
    from outhaul.app import database  # noqa: PLC0415 - the database costs half a second
    from outhaul.config import load  # noqa: PLC0415
    from outhaul.outbox.enqueue import enqueue as insert  # noqa: PLC0415

    source = {"payload": _content(file)} if inline else {"source_path": str(file.absolute())}
    with database(load().settings) as engine:
        job_id = insert(engine, key, metadata=_metadata(meta), **source, **columns)
        if not wait:
            return Reply({"id": job_id}, [str(job_id)])
        return _outcome(engine, job_id, timeout)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error


def _metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise click.UsageError(f"--meta wants NAME=VALUE, not {pair!r}")
    return dict(pair.split("=", 1) for pair in pairs)


def _outcome(engine: Any, job_id: int, timeout: float) -> Reply:
    from outhaul.outbox.jobs import show_job, status_of  # noqa: PLC0415

    end, pause = time.monotonic() + timeout, threading.Event()
    while (status := status_of(engine, job_id)) not in _FINAL and time.monotonic() < end:
        pause.wait(_LOOK_SECONDS)
    job = show_job(engine, job_id) or {}
    where = job.get("storage_type")
    told = f"{job_id} {status}" + (f" {where} {job.get('storage_key')}" if where else "")
    if job.get("last_error_code"):
        told += f" {job['last_error_code']}: {job.get('last_error')}"
    return Reply(job, [told], ExitCode.OK if status == "done" else ExitCode.FAILED)
