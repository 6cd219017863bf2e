"""`outhaul systemd`: install the units of this installation, or take them away."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from outhaul.cli.reply import Reply, Table, replies
from outhaul.errors import ProvisioningError
from outhaul.provisioning.plan import PlannedStep, carry_out, survey
from outhaul.provisioning.steps import Step
from outhaul.provisioning.target import target_at
from outhaul.sandbox import spool_at
from outhaul.systemd import KEPT, Installation, install_steps, uninstall_steps


class _AbsolutePath(click.ParamType[Path]):
    """A path as the service will be told it: absolute, symbolic links left in place."""

    name = "path"

    def convert(self, value: str | Path, param: object, ctx: object) -> Path:
        del param, ctx
        return Path(os.path.abspath(value))  # noqa: PTH100 - Path has no lexical normalisation


_PATH = _AbsolutePath()


def _shared_options(command: Callable[..., None]) -> Callable[..., None]:
    root = click.option(
        "--root", type=_PATH, default=Path("/"), metavar="DIR", help="Root of an image."
    )
    dry_run = click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
    return dry_run(root(command))


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
    help="Another directory that files may be uploaded from. Replaces those of an earlier --spool.",
)
@click.option("--now", is_flag=True, help="Enable the service, and start or restart it.")
@click.option(
    "--executable",
    type=_PATH,
    metavar="FILE",
    help="What the service runs.  [default: the outhaul of this installation]",
)
@_shared_options
@replies
def install(
    *, spools: tuple[Path, ...], now: bool, executable: Path | None, root: Path, dry_run: bool
) -> Reply:
    """Install units, accounts and directories; what is there already stays unchanged."""
    program = executable or Path(sysconfig.get_path("scripts")) / "outhaul"
    wanted = Installation(program, tuple(spool_at(spool, root) for spool in spools), now)
    plan = _carried_out(install_steps(wanted, target_at(root)), root, dry_run=dry_run)
    hint = "next: edit /etc/outhaul/outhaul.env, then systemctl enable --now outhaul"
    return _reply(plan, [] if now or dry_run else [hint], applied=not dry_run)


@systemd.command()
@_shared_options
@replies
def uninstall(*, root: Path, dry_run: bool) -> Reply:
    """Stop and remove the units; settings, jobs, files and accounts stay."""
    plan = _carried_out(uninstall_steps(target_at(root)), root, dry_run=dry_run)
    return _reply(plan, [f"kept: {', '.join(KEPT)}"], applied=not dry_run, kept=KEPT)


def _carried_out(steps: Sequence[Step], root: Path, *, dry_run: bool) -> list[PlannedStep]:
    if not dry_run and root == Path("/") and os.geteuid() != 0:
        raise ProvisioningError("this changes the system: run it as root, or with --dry-run")
    plan = survey(steps)
    if not dry_run:
        carry_out(plan)
    return plan


def _reply(plan: Sequence[PlannedStep], hints: Sequence[str], **data: Any) -> Reply:
    rows = [(planned.state, planned.step.action, planned.step.target) for planned in plan]
    steps = [{"state": state, "action": action, "target": of} for state, action, of in rows]
    return Reply({**data, "steps": steps}, [Table(("state", "action", "target"), rows), *hints])
