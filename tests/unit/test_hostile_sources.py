from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from outhaul.errors import SourceError
from outhaul.models import Failure, Origin
from outhaul.policy import Bury, decide
from outhaul.source import Sources
from outhaul.transfer import Budget, Transfer
from tests.unit.samples import RULES, a_job
from tests.unit.spool import SECRET, Spool, descriptors_below

# A source that blocks is a bug, not a slow test.
pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("opener")]

OUTSIDE, MISSING, IRREGULAR = "SOURCE_OUTSIDE_ROOTS", "SOURCE_MISSING", "SOURCE_NOT_REGULAR"


def refusal(sources: Sources, path: str) -> str:
    """The code with which a source is refused."""
    opening = sources.opened(a_job(source_path=path), Transfer(Budget()))
    with pytest.raises(SourceError) as caught, opening:
        pytest.fail("the source was opened")
    return caught.value.code


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that were read from."""
    seen: list[int] = []
    pread = os.pread

    def spied(descriptor: int, size: int, offset: int) -> bytes:
        seen.append(descriptor)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", spied)
    return seen


def test_a_refused_source_ends_the_job_at_once() -> None:
    """None of the codes below is tried again, and none leads to another store."""

    for code in (OUTSIDE, MISSING, IRREGULAR, "SOURCE_TOO_LARGE"):
        failure = Failure(code, "", Origin.SOURCE)
        assert decide(a_job(), failure, RULES, draw=0.0) == Bury()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", OUTSIDE),
        ("secret", OUTSIDE),
        ("./secret", OUTSIDE),
        ("../outside/secret", OUTSIDE),
        ("/etc/passwd", OUTSIDE),
        ("{root}", OUTSIDE),
        ("{root}-evil/secret", OUTSIDE),
        ("/{root}/secret", OUTSIDE),
        ("{root}/../outside/secret", OUTSIDE),
        ("{root}/sub/../../outside/secret", OUTSIDE),
        ("{root}/..", OUTSIDE),
        ("{root}/", IRREGULAR),
        ("{root}/.", IRREGULAR),
        ("{root}/sub", IRREGULAR),
        ("{root}/sub/", IRREGULAR),
        ("{root}/absent", MISSING),
        ("{root}/absent/deeper", MISSING),
        ("{root}/file/deeper", MISSING),
        ("{root}/nul\0", MISSING),
        ("{root}/" + "x" * 300, MISSING),
        ("{root}/" + "x/" * 3000, MISSING),
    ],
)
def test_a_path_that_leads_nowhere_good(
    spool: Spool, reads: list[int], path: str, code: str
) -> None:
    """Traversal, prefix tricks, directories and names that cannot be are told apart and refused."""

    spool.write("sub/file", b"inner")
    spool.write("file", b"plain")

    assert refusal(spool.sources(), path.replace("{root}", str(spool.root))) == code
    assert reads == []
    assert descriptors_below(spool.root) == []


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _hard_link(path: Path) -> None:
    path.hardlink_to(path.parents[1] / "outside" / "secret")


def _link(target: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.symlink_to(target)

    return make


@pytest.mark.parametrize(
    "make",
    [
        _fifo,
        _socket,
        _hard_link,
        Path.mkdir,
        _link("file"),
        _link("../outside/secret"),
        _link("/etc/passwd"),
        _link("/dev/stdin"),
        _link("/proc/self/environ"),
        _link("itself"),
        _link("pipe"),
        _link("absent"),
    ],
    ids=[
        "fifo",
        "socket",
        "hard link",
        "directory",
        "link to a good file",
        "relative link out",
        "absolute link out",
        "link to stdin",
        "link to a process's secrets",
        "link to itself",
        "link to a fifo",
        "dangling link",
    ],
)
def test_what_is_no_plain_file_is_not_regular(
    spool: Spool, reads: list[int], make: Callable[[Path], None]
) -> None:
    """Pipes nobody writes to, sockets, second names and links end the job; no thread blocks."""

    os.mkfifo(spool.root / "pipe")
    spool.write("file", b"plain")
    make(spool.root / "itself")

    assert refusal(spool.sources(), f"{spool.root}/itself") == IRREGULAR
    assert reads == []
    assert descriptors_below(spool.root) == []


@pytest.mark.parametrize(
    "target", ["../outside", "/proc/self", "/etc", "/", "..", "sub/../../outside"]
)
def test_a_link_in_the_middle_leads_nowhere(
    spool: Spool, opener: str, reads: list[int], target: str
) -> None:
    """A directory link out of the root is refused, whatever lies behind it."""

    (spool.root / "sub").mkdir()
    (spool.root / "link").symlink_to(target)
    # Without openat2 no link is followed at all, so what is behind it is not there.
    code = OUTSIDE if opener == "openat2" else MISSING

    assert refusal(spool.sources(), f"{spool.root}/link/secret") == code
    assert reads == []


@pytest.mark.parametrize(
    "path",
    [
        "/dev/null",
        "/dev/stdin",
        "/dev/fd/0",
        "/proc/self/cwd/pyproject.toml",
        "/proc/self/root/etc/passwd",
        "/proc/self/fd/0",
        "/proc/self/exe",
    ],
)
def test_devices_and_magic_links_are_refused_below_any_root(reads: list[int], path: str) -> None:
    """Even where a root would allow it: a terminal never ends, and /proc leads anywhere."""

    roots = (Path("/dev"), Path("/proc/self"))
    sources = Sources(roots, 1 << 40, payload=lambda _job_id: None)

    assert refusal(sources, path) in {IRREGULAR, OUTSIDE, MISSING}
    assert reads == []


def test_a_swapped_link_is_never_followed(spool: Spool) -> None:
    """Whoever swaps a directory for a link while we open gets a refusal or the file, no secret."""

    honest = b"honest"
    spool.write("real/secret", honest)
    (spool.root / "link").symlink_to("../outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(spool.root / "real", spool.root / "turn")  # noqa: PTH104 - speed is the point
            os.rename(spool.root / "link", spool.root / "real")  # noqa: PTH104
            os.rename(spool.root / "real", spool.root / "link")  # noqa: PTH104
            os.rename(spool.root / "turn", spool.root / "real")  # noqa: PTH104

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes: set[bytes | str] = set()
    try:
        for _ in range(3000):
            try:
                with spool.opened(spool.root / "real" / "secret") as source:
                    outcomes.add(source.body.read_at(0, 100))
            except SourceError as error:
                outcomes.add(error.code)
    finally:
        stop.set()
        swapper.join()

    assert SECRET not in outcomes
    assert honest in outcomes
    assert outcomes - {honest} <= {OUTSIDE, MISSING, IRREGULAR, "SOURCE_IO"}
    assert len(outcomes) > 1, "the swap never met an open: nothing was proven"


@contextlib.contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may read everything, so be a plain user for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_unreadable_file_is_refused(reads: list[int]) -> None:
    """A file that our user may not read says so, in a code that may heal and never falls back."""

    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        spool = Spool(Path(directory))
        path = spool.write("file", b"plain")
        path.chmod(0)
        with as_somebody_else():
            assert refusal(spool.sources(), str(path)) == "SOURCE_IO"

    assert reads == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("call", ["open", "fstat", "pread"])
def test_a_failing_disk_is_told_apart(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """A stale mount, a broken disk or a shortage of descriptors is SOURCE_IO: it may heal."""

    path = spool.write("file", b"plain")

    def failing(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing)

        assert refusal(spool.sources(), str(path)) == "SOURCE_IO"
