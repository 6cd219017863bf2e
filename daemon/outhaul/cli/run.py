"""`outhaul run` and `outhaul once`: the daemon itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from outhaul.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from outhaul.service import Service


@click.command()
def run() -> None:
    """Upload until told to stop (SIGTERM or SIGINT; a second one stops at once)."""
    _serve(lambda service: service.run())


@click.command()
def once() -> None:
    """Upload what is due now, then exit. Jobs that wait for a later time go on waiting."""
    _serve(lambda service: service.run_once())


def _serve(how: Callable[[Service], None]) -> None:
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
        with service(settings) as ready:
            how(ready)
    except (ConfigError, SchemaError) as error:
        logs.refused_to_start(error)
        sys.exit(ExitCode.CONFIG)
    except DBAPIError as error:
        logs.database_lost(error)
        sys.exit(ExitCode.UNAVAILABLE)
