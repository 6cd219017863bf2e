"""`outhaul systemd`: install the units of this installation, or take them away."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import click

from outhaul.provisioning.access import ProvisioningError
from outhaul.provisioning.plan import PlannedStep, carry_out, survey
from outhaul.sandbox import look_at_spool
from outhaul.systemd import KEPT, Installation, install_steps, target_at, uninstall_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outhaul.provisioning.steps import Step

    Command = Callable[..., None]


class _AbsolutePath(click.ParamType[Path]):
    """A path as the service will be told it: absolute, symbolic links left in place."""

    name = "path"

    def convert(self, value: str | Path, param: object, ctx: object) -> Path:
        del param, ctx
        return Path(os.path.abspath(value))  # noqa: PTH100 - Path has no lexical normalisation


_PATH = _AbsolutePath()


def _shared_options(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON."),
        click.option(
            "--dry-run", "--plan", "dry_run", is_flag=True, help="Print the plan, change nothing."
        ),
        click.option(
            "--root", type=_PATH, default=Path("/"), metavar="DIR", help="Root of an image."
        ),
    ):
        command = option(command)
    return command


@click.group()
def systemd() -> None:
    """Install or remove the systemd service."""


@systemd.command()
@click.option(
    "--spool",
    "spools",
    type=_PATH,
    multiple=True,
    metavar="DIR",
    help="Another directory that files may be uploaded from; created if it is missing. "
    "Replaces the directories of an earlier --spool.",
)
@click.option("--now", is_flag=True, help="Enable the service, and start or restart it.")
@click.option(
    "--executable",
    type=_PATH,
    metavar="FILE",
    help="What the service runs.  [default: the outhaul of this installation]",
)
@_shared_options
def install(
    *,
    spools: tuple[Path, ...],
    now: bool,
    executable: Path | None,
    root: Path,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Install units, accounts and directories; what is there already stays unchanged."""

    def steps() -> Sequence[Step]:
        program = executable or Path(sysconfig.get_path("scripts")) / "outhaul"
        found = tuple(look_at_spool(spool, root) for spool in spools)
        return install_steps(Installation(program, found, now), target_at(root))

    _run(steps, root, dry_run=dry_run, as_json=as_json)
    if not (dry_run or as_json or now):
        click.echo("next: edit /etc/outhaul/outhaul.env, then systemctl enable --now outhaul")


@systemd.command()
@_shared_options
def uninstall(*, root: Path, dry_run: bool, as_json: bool) -> None:
    """Stop and remove the units; settings, jobs, files and accounts stay."""
    _run(lambda: uninstall_steps(target_at(root)), root, dry_run=dry_run, as_json=as_json)
    if not as_json:
        click.echo(f"kept: {', '.join(KEPT)}")


def _run(steps: Callable[[], Sequence[Step]], root: Path, *, dry_run: bool, as_json: bool) -> None:
    """Print the plan, then do it."""
    if not dry_run and root == Path("/") and os.geteuid() != 0:
        raise click.UsageError("this changes the system: run it as root, or with --dry-run")
    try:
        plan = survey(steps())
        _print(plan, as_json=as_json)
        if not dry_run:
            carry_out(plan)
    except ProvisioningError as error:
        raise click.ClickException(error.message) from error


def _print(plan: Sequence[PlannedStep], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"steps": [planned.as_dict() for planned in plan]}, indent=2))
    else:
        for planned in plan:
            click.echo(str(planned))
