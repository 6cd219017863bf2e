from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from outhaul import beneath
from outhaul.beneath import has_openat2, open_beneath

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """The descriptor of a directory with a file, a subdirectory, links and a pipe."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"inner")
    (tmp_path / "file").write_bytes(b"plain")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    yield descriptor
    os.close(descriptor)


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough


@pytest.mark.usefixtures("opener")
@pytest.mark.parametrize(
    ("relative", "content"), [("file", b"plain"), ("sub/file", b"inner"), ("./sub//file", b"inner")]
)
def test_a_file_is_opened_below_its_root(root: int, relative: str, content: bytes) -> None:
    """Each way of opening reaches the files below a root."""

    descriptor = open_beneath(root, relative)

    assert os.read(descriptor, 100) == content
    os.close(descriptor)


@pytest.mark.usefixtures("opener")
def test_a_descriptor_is_harmless(root: int) -> None:
    """It never blocks, is not writable, and no child process inherits it."""

    descriptor = open_beneath(root, "file")
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)

    assert flags & os.O_NONBLOCK
    assert flags & os.O_ACCMODE == os.O_RDONLY
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.usefixtures("opener")
@pytest.mark.parametrize(
    ("relative", "codes"),
    [
        ("../x", {errno.EXDEV}),
        ("sub/../../x", {errno.EXDEV}),
        ("link", {errno.ELOOP}),
        ("out/passwd", {errno.EXDEV, errno.ENOTDIR}),
        ("absent", {errno.ENOENT}),
        ("sub/absent", {errno.ENOENT}),
        ("file/below", {errno.ENOTDIR}),
        ("x" * 300, {errno.ENAMETOOLONG}),
    ],
)
def test_the_kernels_refusal_comes_through(root: int, relative: str, codes: set[int]) -> None:
    """What leads out, ends in a link or is not there has its errno, and leaks no descriptor."""

    before = open_descriptors()
    with pytest.raises(OSError, match="|".join(os.strerror(code) for code in codes)):
        open_beneath(root, relative)

    assert open_descriptors() == before


@pytest.mark.usefixtures("opener")
def test_a_pipe_without_a_writer_is_opened_at_once(root: int) -> None:
    """It is the caller who looks at what was opened: the opening itself must not wait."""

    descriptor = open_beneath(root, "pipe")

    assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    os.close(descriptor)


@pytest.mark.usefixtures("opener")
def test_the_root_itself_is_a_directory(root: int) -> None:
    """An empty rest of a path opens the root, and its kind tells the caller enough."""

    descriptor = open_beneath(root, ".")

    assert stat.S_ISDIR(os.fstat(descriptor).st_mode)
    os.close(descriptor)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_or_sandbox_without_openat2_is_noticed(
    root: int, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Where the call does not exist or is forbidden, the walk takes over."""

    def refused(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(beneath, "_openat2", refused)
    has_openat2.cache_clear()
    try:
        assert not has_openat2()
        os.close(open_beneath(root, "file"))
    finally:
        has_openat2.cache_clear()
