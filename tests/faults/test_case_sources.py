"""Cases in which the source is no file, is gone, or cannot be read."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.neighbour import WELL, Neighbour
from tests.faults.procfs import threads
from tests.faults.record import history, verdict
from tests.support.daemon import DaemonProcess
from tests.support.deployment import Deployment
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

#: A kernel file with the size and mode of any other, whose reading fails with EINVAL for root
#: as well: a loopback device has no speed. It stands for a stale mount and for a file that the
#: daemon may not read, which needs no mount and no second user.
UNREADABLE = Path("/sys/devices/virtual/net/lo/speed")


@pytest.fixture(scope="module")
def daemon_settings() -> dict[str, str]:
    """One worker: a neighbour that arrives proves that nothing holds it."""
    return {"OUTHAUL_WORKERS": "1"}


def pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """A socket file."""
    with socket.socket(socket.AF_UNIX) as listening:
        descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            # The path itself may be longer than a socket's address can be.
            listening.bind(f"/proc/self/fd/{descriptor}/{path.name}")
        finally:
            os.close(descriptor)


def link_to_pipe(path: Path) -> None:
    """A symbolic link to a pipe beside it."""
    pipe(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


def directory(path: Path) -> None:
    """A directory, with a file in it."""
    path.mkdir()
    (path / "file").write_bytes(b"not asked for")


def link_to_device(path: Path) -> None:
    """A symbolic link that leads out to a device that never ends."""
    path.symlink_to("/dev/zero")


def no_store_was_asked(deployment: Deployment, name: str) -> bool:
    """Whether neither S3 nor OSS saw a request for a key."""
    asked = [*deployment.s3.requests, *deployment.oss_front.requests]
    return all(request.key != deployment.key(name) for request in asked)


@pytest.mark.parametrize("make", [pipe, unix_socket, link_to_pipe, directory, link_to_device])
def test_source_that_is_no_regular_file_fails_at_once(
    served: Deployment, daemon: DaemonProcess, make: Callable[[Path], None]
) -> None:
    """SOURCE_NOT_REGULAR after one attempt, no store asked, no retry, no thread left blocked."""

    name = make.__name__
    make(served.spool / name)
    before = threads(daemon.pid)
    bad = served.insert(storage_key=served.key(name), source_path=str(served.spool / name))
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("failed", None, "SOURCE_NOT_REGULAR")
    assert history(served, bad) == [("s3", 1, "SOURCE_NOT_REGULAR")]
    assert no_store_was_asked(served, name)
    assert neighbour.fate() == WELL
    assert threads(daemon.pid) <= before + 1  # the scheduler's own may start only now


@pytest.mark.usefixtures("daemon")
def test_source_that_never_existed_fails_at_once(served: Deployment) -> None:
    """SOURCE_MISSING after one attempt, and no store was asked."""

    bad = served.insert(
        storage_key=served.key("never"), source_path=str(served.spool / "never" / "was")
    )
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("failed", None, "SOURCE_MISSING")
    assert history(served, bad) == [("s3", 1, "SOURCE_MISSING")]
    assert no_store_was_asked(served, "never")
    assert neighbour.fate() == WELL


@pytest.mark.usefixtures("daemon")
def test_source_unlinked_after_the_claim_fails_at_once(served: Deployment) -> None:
    """A row claimed ahead, behind an upload that takes its time, is SOURCE_MISSING all the same."""

    held = served.s3.hold(key=served.key("ahead/held"), method="PUT")
    # A daemon claims ahead only at a pace, which it measures over a second.
    for number in range(40):
        served.insert_file(f"ahead/{number}")
    slow = served.insert_file("ahead/held")
    bad = served.insert_file("ahead/victim")
    wait_for(lambda: served.job(bad)["status"] == "running", 20, "the victim to be claimed")
    assert held.arrived.wait(20)
    (served.spool / "ahead" / "victim").unlink()
    neighbour = Neighbour(served)
    held.release()
    first, second = served.wait_final(slow, bad)

    assert verdict(first) == ("done", "s3", None)
    assert verdict(second) == ("failed", None, "SOURCE_MISSING")
    assert history(served, bad) == [("s3", 1, "SOURCE_MISSING")]
    assert no_store_was_asked(served, "ahead/victim")
    assert neighbour.fate() == WELL


@pytest.mark.usefixtures("daemon")
def test_source_unlinked_during_the_upload_is_stored_whole(served: Deployment) -> None:
    """A descriptor outlives its name: 20 MiB unlinked while the upload opens end in S3, whole."""

    content = os.urandom(1024 * 1024) * 20
    opening = served.s3.hold(key=served.key("orphan"), method="POST", query="uploads")
    job_id = served.insert_file("orphan", content)
    assert opening.arrived.wait(20)
    (served.spool / "orphan").unlink()
    neighbour = Neighbour(served)
    opening.release()
    (job,) = served.wait_final(job_id)

    assert verdict(job) == ("done", "s3", None)
    assert history(served, job_id) == [("s3", 1, None)]
    assert served.s3_content("orphan") == content
    assert neighbour.fate() == WELL


def test_source_that_cannot_be_read_is_not_retried_for_ever(
    sqlite_deployment: Deployment,
) -> None:
    """SOURCE_IO is tried four times, fails for good, and no store is asked at any time."""

    with pytest.raises(OSError, match="Invalid argument"):
        UNREADABLE.read_bytes()
    deployment = sqlite_deployment
    roots = f"{deployment.spool}:{UNREADABLE.parents[1]}"
    with deployment.daemon(OUTHAUL_SOURCE_ROOTS=roots):
        bad = deployment.insert(storage_key=deployment.key("dark"), source_path=str(UNREADABLE))
        neighbour = Neighbour(deployment)
        (job,) = deployment.wait_final(bad)
        assert neighbour.fate() == WELL

    assert verdict(job) == ("failed", None, "SOURCE_IO")
    assert history(deployment, bad) == [("s3", number, "SOURCE_IO") for number in range(1, 5)]
    assert no_store_was_asked(deployment, "dark")
