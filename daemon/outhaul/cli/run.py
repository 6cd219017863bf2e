"""`outhaul run` and `outhaul once`: the daemon itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from outhaul.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from outhaul.service import Service
    from outhaul.settings import Settings


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Daemons that share the workers; one per core by default, one on SQLite.",
)
def run(processes: int | None) -> None:
    """Upload until told to stop (SIGTERM or SIGINT; a second one stops at once)."""
    if processes is not None:
        os.environ["OUTHAUL_PROCESSES"] = str(processes)
    _serve(lambda service: service.run(), supervised=True)


@click.command()
def once() -> None:
    """Upload what is due now, then exit. Jobs that wait for a later time go on waiting."""
    _serve(lambda service: service.run_once())


def _serve(how: Callable[[Service], None], *, supervised: bool = False) -> None:
    import faulthandler  # noqa: PLC0415 - only daemons dump their stacks

    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - the daemon's imports cost a second

    from outhaul import logs  # noqa: PLC0415
    from outhaul.app import service  # noqa: PLC0415
    from outhaul.config import load  # noqa: PLC0415
    from outhaul.errors import ConfigError, SchemaError  # noqa: PLC0415

    # The watchdog ends us by SIGABRT: every stack then goes to the journal.
    faulthandler.enable()
    try:
        settings = load().settings
        logs.configure(settings.log_format, settings.log_level)
        if supervised and settings.process_count > 1:
            sys.exit(_supervise(settings))
        with service(settings) as ready:
            how(ready)
    except (ConfigError, SchemaError) as error:
        logs.refused_to_start(error)
        sys.exit(ExitCode.CONFIG)
    except DBAPIError as error:
        logs.database_lost(error)
        sys.exit(ExitCode.UNAVAILABLE)


def _supervise(settings: Settings) -> int:
    """Run several daemons; each gets its share of the workers."""
    from outhaul.notifier import Notifier  # noqa: PLC0415 - as above
    from outhaul.supervisor import Supervisor  # noqa: PLC0415

    count = settings.process_count
    share = -(-settings.workers // count)
    environment = os.environ | {"OUTHAUL_WORKERS": str(share)}
    command = [sys.executable, "-m", "outhaul", "run", "--processes", "1"]
    return Supervisor(command, count, environment, Notifier()).run()
