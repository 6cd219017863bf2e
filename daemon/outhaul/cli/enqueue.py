"""`outhaul enqueue`: insert a job from a shell, and wait for it if asked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.reply import Reply, replies
from outhaul.errors import printable

_LOOK_SECONDS = 0.2

_FINAL = {"done", "failed", "cancelled"}


def _metadata(
    _context: click.Context, _parameter: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("key")
@click.option("--inline", is_flag=True, help="Put the bytes into the row: no shared disk needed.")
@click.option("--queue", help="The lane; 'default' by default.")
@click.option("--priority", type=click.IntRange(0, 9), help="0 runs first; 5 by default.")
@click.option("--content-type", help="As in text/plain.")
@click.option(
    "--meta",
    "metadata",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_metadata,
    help="Metadata; may be repeated.",
)
@click.option("--dedupe-key", help="A second job with this key is refused.")
@click.option("--wait", is_flag=True, help="Wait for the outcome, and exit 1 if it failed.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds to wait.")
@replies
def enqueue(
    file: Path,
    key: str,
    *,
    inline: bool,
    metadata: dict[str, str],
    wait: bool,
    timeout: float,
    **columns: Any,
) -> Reply:
    """Ask for FILE to be stored under KEY; print the job's id."""
    from outhaul.app import outbox_database  # noqa: PLC0415 - the database costs half a second
    from outhaul.config import load  # noqa: PLC0415
    from outhaul.outbox.enqueue import enqueue as insert  # noqa: PLC0415

    settings = load().settings
    if not inline:
        _warn(file.absolute(), settings.source_roots)
    source = {"payload": _content(file)} if inline else {"source_path": str(file.absolute())}
    with outbox_database(settings) as engine:
        job_id = insert(engine, key, metadata=metadata, **source, **columns)
        if not wait:
            return Reply({"id": job_id}, [str(job_id)])
        return _outcome(engine, job_id, timeout)


def _warn(file: Path, roots: Sequence[Path]) -> None:
    """Only warn: the daemon may run elsewhere, and with other settings."""
    note = None
    if not os.access(file, os.F_OK):
        note = f"{file} cannot be found"
    elif not any(file.is_relative_to(root) for root in roots):
        note = f"{file} lies outside OUTHAUL_SOURCE_ROOTS, {':'.join(map(str, roots))}"
    if note:
        hint = "a daemon that finds it so will refuse it; --inline puts the bytes into the row"
        click.echo(printable(f"note: {note}: {hint}"), err=True)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error


def _outcome(engine: Any, job_id: int, timeout: float) -> Reply:
    from outhaul.outbox.jobs import show_job, status_of  # noqa: PLC0415

    end, pause = time.monotonic() + timeout, threading.Event()
    while (status := status_of(engine, job_id)) not in _FINAL and time.monotonic() < end:
        pause.wait(_LOOK_SECONDS)
    job = show_job(engine, job_id) or {}
    if status not in _FINAL:
        told = f"{job_id} is still {status}; does a daemon run? `outhaul status` shows it"
        return Reply(job, [told], ExitCode.FAILED)
    where = job.get("storage_type")
    told = f"{job_id} {status}" + (f" {where} {job.get('storage_key')}" if where else "")
    if job.get("last_error_code"):
        told += f" {job['last_error_code']}: {job.get('last_error')}"
    return Reply(job, [told], ExitCode.OK if status == "done" else ExitCode.FAILED)
