"""`outhaul systemd install` and `uninstall`, on the root of an image."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from outhaul.cli.systemd import systemd
from outhaul.errors import ProvisioningError
from outhaul.provisioning.plan import carry_out, survey
from outhaul.provisioning.steps import Command
from outhaul.provisioning.target import Target
from outhaul.systemd import Installation, install_steps, uninstall_steps
from tests.packaging.image import EXECUTABLE, drop_in, install, run

if TYPE_CHECKING:
    from click.testing import Result

UNITS = "etc/systemd/system"


def data(result: Result) -> dict[str, Any]:
    """Return what the answer says to programs."""
    answer: dict[str, Any] = json.loads(result.stdout)
    assert (answer["ok"], result.exit_code) == (True, 0)
    found: dict[str, Any] = answer["data"]
    return found


def states(result: Result) -> set[str]:
    """Return what the answer says about the steps."""
    return {step["state"] for step in data(result)["steps"]}


def files(image: Path) -> set[str]:
    """Return the files below the image's /etc, without the accounts."""
    found = {str(path.relative_to(image)) for path in image.glob("etc/*/**/*") if path.is_file()}
    return {name for name in found if not name.endswith((".lock", "-"))}


def test_a_dry_run_changes_nothing(image: Path) -> None:
    """The plan is shown, line by line, and nothing of it done."""

    result = install(image, "--dry-run")

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "state action target"
    assert f"change write {image}/{UNITS}/outhaul.service 0644" in lines
    assert not (image / "etc").exists()


def test_install_puts_everything_in_its_place(image: Path) -> None:
    """Units run our executable, settings are ready to edit, and the accounts exist."""

    result = install(image)

    assert files(image) == {
        "etc/outhaul/outhaul.env",
        f"{UNITS}/outhaul.service",
        f"{UNITS}/outhaul@.service",
        f"{UNITS}/outhaul-failure@.service",
        "etc/sysusers.d/outhaul.conf",
        "etc/tmpfiles.d/outhaul.conf",
    }
    assert f"\nExecStart={EXECUTABLE} run\n" in (image / UNITS / "outhaul.service").read_text()
    assert "outhaul:" in (image / "etc/passwd").read_text()
    assert "outbox:" in (image / "etc/group").read_text()
    assert "next: edit /etc/outhaul/outhaul.env" in result.stdout


def test_settings_are_closed_to_others_whatever_the_umask(image: Path) -> None:
    """The file that will hold keys is its owner's alone, and units are readable to everybody."""

    umask = os.umask(0o000)
    try:
        install(image)
    finally:
        os.umask(umask)

    modes = {name: stat.S_IMODE((image / name).stat().st_mode) for name in files(image)}
    assert modes.pop("etc/outhaul/outhaul.env") == 0o600
    assert set(modes.values()) == {0o644}


def test_a_second_install_changes_nothing(image: Path) -> None:
    """An install that finds its work done says so of every step."""

    (image / "srv/new").mkdir(parents=True)
    assert "change" in states(install(image, "--spool=/srv/new", "--json"))

    assert states(install(image, "--spool=/srv/new", "--json")) == {"unchanged"}


def test_an_upgrade_keeps_settings_and_spools(image: Path) -> None:
    """The administrator's settings and the directories opened before stay; units are renewed."""

    (image / "srv/new").mkdir(parents=True)
    install(image, "--spool=/srv/new")
    environment = image / "etc/outhaul/outhaul.env"
    environment.write_text("S3_BUCKET_NAME=mine\n")
    unit = image / UNITS / "outhaul.service"
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


def test_a_step_that_fails_is_named(image: Path) -> None:
    """What cannot be written ends the command with one line, and no half-written file."""

    (image / UNITS / "outhaul.service").mkdir(parents=True)

    result = install(image)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"outhaul: {image}/{UNITS}/outhaul.service 0644: ")
    assert [path.name for path in (image / UNITS).iterdir()] == ["outhaul.service"]


@pytest.mark.parametrize(
    ("program", "told"),
    [("false", "exit status 1"), ("no-such-program", "No such file or directory")],
)
def test_a_program_that_fails_is_named(program: str, told: str) -> None:
    """A step that only a program can do fails with its command line."""

    plan = survey([Command((program, "-x"), settled=lambda: False)])

    with pytest.raises(ProvisioningError, match=f"^{program} -x: {told}$"):
        carry_out(plan)


def test_now_is_refused_for_an_image(image: Path) -> None:
    """Nothing can be started in a system that does not run."""

    answer = json.loads(install(image, "--now", "--json").stdout)

    assert answer == {
        "ok": False,
        "error": {
            "code": "PROVISIONING",
            "message": "no systemd runs there: nothing can be started with --now",
        },
    }


def test_a_plain_user_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the system takes root; the plan takes nothing."""

    # Without steps: if the promise breaks, it must not be this machine that pays.
    monkeypatch.setattr("outhaul.cli.systemd.uninstall_steps", lambda _target: [])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    refused = CliRunner().invoke(systemd, ["uninstall"])
    assert (refused.exit_code, refused.stderr) == (
        1,
        "outhaul: this changes the system: run it as root, or with --dry-run\n",
    )
    assert CliRunner().invoke(systemd, ["uninstall", "--dry-run"]).exit_code == 0


def test_the_plan_is_available_as_json(image: Path) -> None:
    """Configuration management reads action, target and state of each step."""

    planned = data(install(image, "--dry-run", "--json"))

    assert planned["applied"] is False
    assert planned["steps"][0] == {
        "action": "write",
        "target": f"{image}/etc/sysusers.d/outhaul.conf 0644",
        "state": "change",
    }


def test_the_running_system_is_told(image: Path) -> None:
    """On a booted system the plan ends with reload, enable and restart, or begins with a stop."""

    booted = Target(image, booted=True)
    wanted = Installation(Path(EXECUTABLE), now=True)

    assert [step.target for step in install_steps(wanted, booted)[-3:]] == [
        "systemctl daemon-reload",
        "systemctl enable outhaul.service",
        "systemctl restart outhaul.service",
    ]
    removal = [step.target for step in uninstall_steps(booted)]
    assert (removal[0], removal[-1]) == (
        "systemctl stop outhaul[.@]*service",
        "systemctl daemon-reload",
    )


def test_uninstall_takes_the_units_and_leaves_the_data(image: Path) -> None:
    """Settings, jobs and accounts stay, and the answer says which."""

    (image / "srv/new").mkdir(parents=True)
    install(image, "--spool=/srv/new")
    outbox = image / "var/spool/outhaul/outbox.db"
    outbox.parent.mkdir(parents=True)
    outbox.touch()

    removed = data(run("uninstall", image, "--json"))

    assert files(image) == {"etc/outhaul/outhaul.env"}
    assert outbox.exists()
    assert {"/etc/outhaul", "/var/spool/outhaul"} < set(removed["kept"])
    assert not (image / UNITS / "outhaul.service.d").exists()


def test_uninstall_disables_every_lane(image: Path) -> None:
    """No enabled lane is left pointing at a unit that is gone."""

    install(image)
    links = image / UNITS / "multi-user.target.wants"
    links.mkdir()
    for name in ("outhaul.service", "outhaul@reports.service"):
        (links / name).symlink_to(f"/{UNITS}/{name.replace('reports', '')}")

    run("uninstall", image)

    assert list(links.glob("*")) == []


def test_uninstall_leaves_other_peoples_drop_ins(image: Path) -> None:
    """An administrator's own drop-in survives, for the next install."""

    (image / "srv/new").mkdir(parents=True)
    install(image, "--spool=/srv/new")
    own = image / UNITS / "outhaul.service.d/mine.conf"
    own.write_text("[Service]\n")

    run("uninstall", image)

    assert [path.name for path in own.parent.iterdir()] == ["mine.conf"]


def test_a_second_uninstall_changes_nothing(image: Path) -> None:
    """Taking away what is not there is no error."""

    install(image)
    run("uninstall", image)

    assert states(run("uninstall", image, "--json")) == {"unchanged"}
