"""The command line. Commands load when they are called: `--help` must not wait for boto3."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from outhaul import __version__
from outhaul.cli.exit_codes import ExitCode
from outhaul.cli.reply import JSON_FLAG, failed

#: Command to the module that holds it.
_COMMANDS = {
    "cancel": "jobs",
    "config": "config",
    "db": "db",
    "doctor": "doctor",
    "enqueue": "enqueue",
    "jobs": "jobs",
    "once": "run",
    "retry": "jobs",
    "run": "run",
    "status": "status",
    "systemd": "systemd",
}


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, when needed."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command line; where JSON is asked for, a wrong one is answered in JSON too."""
        words = list(sys.argv[1:] if args is None else args)
        if JSON_FLAG not in words:
            return super().main(words, *more, **extra)
        try:
            return super().main(words, *more, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            code = ExitCode(error.exit_code)
            click.echo(failed(code.name, error.format_message()))
            sys.exit(code)
        except click.Abort:
            sys.exit(ExitCode.FAILED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in alphabetical order."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"outhaul.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


_HELP = """Commit a row, and the file gets stored, verified, and accounted for.

\b
Exit codes: 0 ok, 1 failed, 2 usage, 3 partly done, 4 not found,
69 database or store not reachable, 78 configuration not usable.
"""


@click.command(cls=LazyGroup, help=_HELP, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="outhaul")
def cli() -> None:
    """Run a command."""
