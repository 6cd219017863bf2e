"""The place of a container on this machine goes away, whatever became of its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need
from tests.packaging.home import Home, remove_abandoned
from tests.packaging.nspawn import Machine

pytestmark = pytest.mark.nspawn

REPOSITORY = Path(__file__).parents[2]
# Enters a home, starts something that lives in it, and says what is there.
TENANT = """\
import json, subprocess, sys
from tests.packaging.home import Home
home = Home().__enter__()
sleeper = subprocess.Popen(["sleep", "600"])
for group in home.cgroups:
    (group / "payload").mkdir()
    (group / "payload/cgroup.procs").write_text(str(sleeper.pid))
left = [home.path, *home.cgroups, f"/proc/{sleeper.pid}/exe"]
print(json.dumps([str(path) for path in left]), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _means() -> None:
    need(Machine)


def test_what_a_killed_run_left_is_removed_by_the_next() -> None:
    """Directory, mount, cgroups and processes of a test run that ended by SIGKILL all go."""

    with subprocess.Popen(
        [sys.executable, "-c", TENANT],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tenant:
        assert tenant.stdout is not None
        left = [Path(path) for path in json.loads(tenant.stdout.readline())]
        tenant.kill()
        tenant.wait()
    assert [path for path in left if not path.exists()] == []
    assert (left[0] / "root").is_mount()

    remove_abandoned()

    assert [path for path in left if path.exists()] == []
    assert left[0].name not in Path("/proc/mounts").read_text()


def test_a_home_that_is_lived_in_is_left_alone() -> None:
    """Another test run that is still at work loses nothing."""

    with Home() as home:
        remove_abandoned()

        assert (home.root / "etc/passwd").exists()
        assert all(group.is_dir() for group in home.cgroups)
    assert not home.path.exists()
