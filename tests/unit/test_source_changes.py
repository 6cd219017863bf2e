from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from outhaul.digests import digest
from outhaul.errors import SourceError
from outhaul.source import Source
from outhaul.stores.base import PART_BYTES
from outhaul.transfer import Budget, Transfer
from tests.unit.spool import Spool

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("opener")]

#: Read whole, and read in blocks.
SIZES = [1000, PART_BYTES + 1000]


def grow(path: Path) -> None:
    """Append to the file."""
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    """Cut the file in half."""
    os.truncate(path, path.stat().st_size // 2)


def edit(path: Path) -> None:
    """Change one byte in place."""
    with path.open("r+b") as file:
        file.seek(500)
        file.write(b"!")


def regrow(path: Path) -> None:
    """Empty the file and fill it to the same size with other bytes."""
    size = path.stat().st_size
    path.write_bytes(b"y" * size)


def replace(path: Path) -> None:
    """Put another file under the name."""
    other = path.with_name("other")
    other.write_bytes(b"another file")
    other.replace(path)


def unlink(path: Path) -> None:
    """Take the name away."""
    path.unlink()


def touch_inode(path: Path) -> None:
    """Change its mode, and so its ctime and nothing else."""
    path.chmod(0o600)


class Meddling(Transfer):
    """A transfer during which somebody meddles with the source, once its size is known."""

    def __init__(self, meddle: Callable[[Path], None], path: Path) -> None:
        super().__init__(Budget())
        self._meddle, self._path = meddle, path

    def sized(self, size_bytes: int) -> None:
        """Between the opening and the first byte read."""
        super().sized(size_bytes)
        self._meddle(self._path)


def read_through(source: Source) -> None:
    """Read the body as a large upload does."""
    for offset in range(0, source.body.size_bytes, PART_BYTES):
        source.body.read_at(offset, min(PART_BYTES, source.body.size_bytes - offset))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", [grow, shrink, edit, regrow])
def test_a_file_that_changes_while_it_is_hashed_is_refused(
    spool: Spool, size: int, change: Callable[[Path], None]
) -> None:
    """Bytes that are half old and half new are no content: SOURCE_CHANGED, and try again."""

    path = spool.write("file", b"x" * size)

    with (
        pytest.raises(SourceError) as caught,
        spool.opened(path, Meddling(change, path)),
    ):
        pytest.fail("the source was opened")
    assert caught.value.code == "SOURCE_CHANGED"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", [grow, shrink, edit, regrow])
def test_a_file_that_changes_while_it_is_sent_is_noticed(
    spool: Spool, size: int, change: Callable[[Path], None]
) -> None:
    """An upload counts only if the file is afterwards what it was."""

    path = spool.write("file", b"x" * size)

    with spool.opened(path) as source:
        source.confirm()
        change(path)
        with pytest.raises(SourceError) as caught:
            source.confirm()
    assert caught.value.code == "SOURCE_CHANGED"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", [replace, unlink, touch_inode])
def test_an_open_file_outlives_its_name(
    spool: Spool, size: int, change: Callable[[Path], None]
) -> None:
    """A file deleted or replaced after its opening is still whole, and a ctime is no change."""

    content = b"x" * size
    path = spool.write("file", content)

    with spool.opened(path, Meddling(change, path)) as source:
        assert source.digests == digest([content])
        read_through(source)
        source.confirm()


def test_a_growing_file_never_spills_over(spool: Spool) -> None:
    """What was appended after the opening is not part of the body."""

    path = spool.write("file", b"x" * SIZES[1])

    with spool.opened(path) as source:
        grow(path)
        assert source.body.size_bytes == SIZES[1]
        assert source.body.read_at(SIZES[1] - 4, 4) == b"xxxx"


def test_a_shrunk_file_is_not_read_for_ever(spool: Spool) -> None:
    """A part that is not there any more is an error, never a short part."""

    path = spool.write("file", b"x" * SIZES[1])

    with spool.opened(path) as source:
        shrink(path)
        with pytest.raises(SourceError) as caught:
            read_through(source)
    assert caught.value.code == "SOURCE_CHANGED"


def test_a_small_file_that_shrinks_is_sent_whole(spool: Spool) -> None:
    """Small bodies are in memory: they are sent as hashed, and the change is noticed after."""

    path = spool.write("file", b"x" * SIZES[0])

    with spool.opened(path) as source:
        shrink(path)
        assert source.body.read_at(0, SIZES[0]) == b"x" * SIZES[0]
