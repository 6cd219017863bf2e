"""`outhaul systemd install` and `uninstall`, on the root of an image."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from outhaul.systemd import Installation, Target, install_steps
from tests.packaging.image import EXECUTABLE, drop_in, install, need_root, run

if TYPE_CHECKING:
    from click.testing import Result


def states(result: Result) -> set[str]:
    """Return what the printed plan says about its steps."""
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if "  " in line]
    return {line.split()[0] for line in lines}


def files(image: Path) -> set[str]:
    """Return the files below the image's /etc, without the accounts."""
    found = {str(path.relative_to(image)) for path in image.glob("etc/*/**/*") if path.is_file()}
    return {name for name in found if not name.endswith((".lock", "-"))}


def test_a_dry_run_changes_nothing(image: Path) -> None:
    """The plan is printed and nothing of it done."""
    result = install(image, "--dry-run")

    assert states(result) == {"change"}
    assert "/etc/systemd/system/outhaul.service 0644 root:root" in result.stdout
    assert not (image / "etc").exists()


def test_install_puts_everything_in_its_place(image: Path) -> None:
    """Units run our executable, settings are ready to edit, accounts and the spool exist."""
    states(install(image))

    assert files(image) == {
        "etc/outhaul/outhaul.env",
        "etc/systemd/system/outhaul.service",
        "etc/systemd/system/outhaul@.service",
        "etc/systemd/system/outhaul-failure@.service",
        "etc/sysusers.d/outhaul.conf",
        "etc/tmpfiles.d/outhaul.conf",
    }
    unit = (image / "etc/systemd/system/outhaul.service").read_text()
    assert f"\nExecStart={EXECUTABLE} run\n" in unit
    assert "outhaul:" in (image / "etc/passwd").read_text()
    assert "outbox:" in (image / "etc/group").read_text()


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("etc/outhaul", 0o750),
        ("etc/outhaul/outhaul.env", 0o640),
        ("var/spool/outhaul", 0o2770),
        ("var/spool/outhaul/outbox.db", 0o660),
    ],
)
def test_secrets_and_spool_are_closed_to_others(image: Path, path: str, mode: int) -> None:
    """Modes hold whatever the umask of the installing shell is."""
    umask = os.umask(0o000)
    try:
        install(image)
    finally:
        os.umask(umask)

    assert stat.S_IMODE((image / path).stat().st_mode) == mode


def test_the_spool_belongs_to_daemon_and_clients(image: Path) -> None:
    """The numbers are those of the image's accounts, not of the machine that builds it."""
    need_root()
    install(image)

    passwd = (image / "etc/passwd").read_text().split(":")
    spool = (image / "var/spool/outhaul").stat()
    assert spool.st_uid == int(passwd[2])
    assert f"outbox:x:{spool.st_gid}:" in (image / "etc/group").read_text()


def test_a_second_install_changes_nothing(image: Path) -> None:
    """An install that finds its work done says so of every step."""
    install(image, "--spool=/srv/new")

    assert states(install(image, "--spool=/srv/new")) == {"unchanged"}


def test_an_upgrade_keeps_settings_and_spools(image: Path) -> None:
    """The administrator's settings and the directories opened before stay; units are renewed."""
    install(image, "--spool=/srv/new")
    environment = image / "etc/outhaul/outhaul.env"
    environment.write_text("S3_BUCKET_NAME=mine\n")
    unit = image / "etc/systemd/system/outhaul.service"
    current = unit.read_text()
    unit.write_text("[Service]\n")

    install(image)

    assert environment.read_text() == "S3_BUCKET_NAME=mine\n"
    assert unit.read_text() == current
    assert "/srv/new" in drop_in(image)


def test_an_interrupted_install_is_completed(image: Path) -> None:
    """A rerun does what is missing, even where the files before it were written."""
    install(image)
    for database in ("passwd", "group", "shadow", "gshadow"):
        (image / "etc" / database).unlink()

    install(image)

    assert "outhaul:" in (image / "etc/passwd").read_text()


def test_now_is_refused_for_an_image(image: Path) -> None:
    """Nothing can be started in a system that does not run."""
    result = install(image, "--now")

    assert result.exit_code == 1
    assert "no systemd runs there" in result.stderr


def test_the_plan_is_available_as_json(image: Path) -> None:
    """Configuration management reads action, target and state of each step."""
    steps = json.loads(install(image, "--dry-run", "--json").stdout)["steps"]

    assert steps[0] == {
        "action": "write",
        "target": f"{image}/etc/sysusers.d/outhaul.conf 0644 root:root",
        "state": "change",
    }


def test_the_running_system_is_told(image: Path) -> None:
    """On a booted system the plan ends with reload, enable and restart."""
    place = image / EXECUTABLE.lstrip("/")
    place.write_text("no script")
    steps = install_steps(Installation(Path(EXECUTABLE), now=True), Target(image, booted=True))

    assert [step.target for step in steps[-3:]] == [
        "systemctl daemon-reload",
        "systemctl enable outhaul.service",
        "systemctl restart outhaul.service",
    ]


def test_uninstall_takes_the_units_and_leaves_the_data(image: Path) -> None:
    """Settings, jobs and accounts stay, and the output says which."""
    install(image, "--spool=/srv/new")

    result = run("uninstall", image)

    assert result.exit_code == 0
    assert files(image) == {"etc/outhaul/outhaul.env"}
    assert (image / "var/spool/outhaul/outbox.db").exists()
    assert "kept: /etc/outhaul, /var/spool/outhaul," in result.stdout
    assert not (image / "etc/systemd/system/outhaul.service.d").exists()


def test_uninstall_disables_every_lane(image: Path) -> None:
    """No enabled lane is left pointing at a unit that is gone."""
    install(image)
    links = image / "etc/systemd/system/multi-user.target.wants"
    links.mkdir()
    for name in ("outhaul.service", "outhaul@reports.service"):
        (links / name).symlink_to(f"/etc/systemd/system/{name.replace('reports', '')}")

    states(run("uninstall", image))

    assert list(links.glob("*")) == []


def test_uninstall_leaves_other_peoples_drop_ins(image: Path) -> None:
    """An administrator's own drop-in survives, for the next install."""
    install(image, "--spool=/srv/new")
    own = image / "etc/systemd/system/outhaul.service.d/mine.conf"
    own.write_text("[Service]\n")

    run("uninstall", image)

    assert own.exists()


def test_a_second_uninstall_changes_nothing(image: Path) -> None:
    """Taking away what is not there is no error."""
    install(image)
    run("uninstall", image)

    assert states(run("uninstall", image)) == {"unchanged"}
