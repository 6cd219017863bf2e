"""`outhaul run` and `outhaul once`: the daemon itself."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.reply import Reply, replies

if TYPE_CHECKING:
    from outhaul.settings import Settings


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Daemons that share the workers; one by default, at best one per core.",
)
def run(processes: int | None) -> None:
    """Upload until told to stop.

    SIGTERM and SIGINT let uploads under way end; a second one stops at once. The log goes to
    standard error, as JSON with OUTHAUL_LOG_FORMAT=json.
    """
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - the daemon's imports cost a second

    from outhaul import app, logs  # noqa: PLC0415
    from outhaul.errors import ConfigError, SchemaError  # noqa: PLC0415

    try:
        settings = _prepare()
        count = min(processes or settings.processes, settings.workers)
        if count > 1:
            sys.exit(_supervise(settings, count))
        with app.service(settings) as service:
            service.run()
    except (ConfigError, SchemaError) as error:
        logs.refused_to_start(error)
        sys.exit(ExitCode.CONFIG)
    except DBAPIError as error:
        logs.refused_to_start(error)
        sys.exit(ExitCode.UNAVAILABLE)


def _supervise(settings: Settings, count: int) -> int:
    """Run several daemons; each gets its share of the workers."""
    from outhaul.notifier import Notifier  # noqa: PLC0415 - the daemon's imports cost a second
    from outhaul.supervisor import Supervisor  # noqa: PLC0415

    share = -(-settings.workers // count)
    environment = os.environ | {"OUTHAUL_WORKERS": str(share)}
    command = [sys.executable, "-m", "outhaul", "run", "--processes", "1"]
    return Supervisor(command, count, environment, Notifier()).run()


@click.command()
@replies
def once() -> Reply:
    """Upload what is due now, then exit. Jobs that wait for a later time go on waiting."""
    from outhaul import app  # noqa: PLC0415 - the daemon's imports cost a second
    from outhaul.outbox.status import overview  # noqa: PLC0415

    settings = _prepare()
    # Whoever calls this will call again: better to say that the database is away than to hang.
    with app.service(settings, patient=False) as service:
        service.run_once()
    with app.outbox_database(settings) as engine:
        found = overview(engine)
    told = f"{found['due']} jobs are due, {found['waiting_for_retry']} wait for a later time"
    return Reply({name: found[name] for name in ("jobs", "due", "waiting_for_retry")}, [told])


def _prepare() -> Settings:
    """The settings, with the log as they want it."""
    import faulthandler  # noqa: PLC0415 - only daemons dump their stacks

    from outhaul import logs  # noqa: PLC0415 - the daemon's imports cost a second
    from outhaul.config import load  # noqa: PLC0415

    # The watchdog ends us by SIGABRT: every stack then goes to the journal.
    faulthandler.enable()
    # What is wrong with the settings must be told before they can say how.
    logs.configure("console", "INFO")
    settings = load().settings
    logs.configure(settings.log_format, settings.log_level)
    return settings
