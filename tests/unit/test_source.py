from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul.digests import digest
from outhaul.errors import InterruptedAttemptError, SourceError, StoreError
from outhaul.source import Bytes, Sources
from outhaul.stores.base import PART_BYTES
from outhaul.transfer import Budget, Transfer
from tests.unit.samples import STOPPED, a_job
from tests.unit.spool import Spool, descriptors_below

pytestmark = pytest.mark.timeout(60)

LARGE = PART_BYTES + 1


@pytest.mark.usefixtures("opener")
@pytest.mark.parametrize("size", [7, PART_BYTES])
def test_a_small_file_is_read_once(spool: Spool, size: int) -> None:
    """What was hashed is held in memory, so that what is sent cannot be anything else."""

    path = spool.write("sub dir/file", b"x" * size)

    with spool.opened(path) as source:
        path.write_bytes(b"y" * size)
        assert source.digests == digest([b"x" * size])
        assert source.body.read_at(0, size) == b"x" * size


@pytest.mark.usefixtures("opener")
def test_a_large_file_is_hashed_in_blocks(spool: Spool) -> None:
    """Size and digests are those of the whole file, and any part can be read again."""

    content = os.urandom(1 << 16) * 129
    path = spool.write("file", content)

    with spool.opened(path) as source:
        assert source.digests == digest([content])
        assert source.body.size_bytes == len(content) > PART_BYTES
        assert source.body.read_at(LARGE - 10, 20) == content[LARGE - 10 : LARGE + 10]
        source.confirm()


@pytest.mark.parametrize("content", [b"", b"x", b"x" * PART_BYTES, b"x" * LARGE])
def test_any_size_is_a_source(spool: Spool, content: bytes) -> None:
    """Empty files and those at the border between the two ways of reading are no special case."""

    with spool.opened(spool.write("file", content)) as source:
        assert source.digests == digest([content])
        assert source.body.size_bytes == len(content)


@pytest.mark.parametrize(
    "name",
    [
        b"caf\xe9.bin",
        b"\xff\xfe",
        b"a.txt\n2026-01-01 00:00:00 INFO upload 999 done s3",
        b"\x1b[2J",
        "line\u2028".encode(),
        b"%s%n",
        b" leading and trailing ",
        b"-rf",
        "é😀".encode(),
    ],
)
@pytest.mark.usefixtures("opener")
def test_any_name_is_a_name(spool: Spool, name: bytes) -> None:
    """A file may be called anything that the file system takes, valid text or not."""

    path = spool.root / os.fsdecode(name)
    path.write_bytes(b"content")

    with spool.opened(path) as source:
        assert source.digests == digest([b"content"])


@pytest.mark.parametrize("spelling", ["{root}//file", "{root}/./file", "{root}/sub/../file"])
def test_a_path_may_be_spelt_in_other_ways(spool: Spool, spelling: str) -> None:
    """What stays below its root is read, however clumsily it is written."""

    spool.write("file", b"content")
    spool.write("sub/other", b"other")

    with spool.opened(spelling.format(root=spool.root)) as source:
        assert source.digests == digest([b"content"])


def test_a_link_below_the_root_may_be_followed(spool: Spool) -> None:
    """A relative directory link that stays within the root is an ordinary directory."""

    spool.write("real/file", b"content")
    (spool.root / "link").symlink_to("real")

    with spool.opened(spool.root / "link" / "file") as source:
        assert source.digests == digest([b"content"])


def test_the_nearest_root_counts(tmp_path: Path) -> None:
    """With several roots, one of them below another, each file is opened below the closest."""

    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (outer / "a").write_bytes(b"a")
    (inner / "b").write_bytes(b"b")
    sources = Sources((outer, inner), 1 << 40, payload=lambda _job_id: None)

    for path in (outer / "a", inner / "b"):
        with sources.opened(a_job(source_path=str(path)), Transfer(Budget())) as source:
            assert source.digests == digest([path.read_bytes()])


def test_a_source_is_closed_at_the_end(spool: Spool) -> None:
    """One descriptor as long as the attempt, none after it, also when the attempt fails."""

    path = spool.write("file", b"content")

    def fail() -> NoReturn:
        with spool.opened(path):
            assert descriptors_below(spool.root) == [str(path)]
            raise RuntimeError("the attempt failed")

    with pytest.raises(RuntimeError, match="the attempt failed"):
        fail()

    assert descriptors_below(spool.root) == []


@pytest.mark.parametrize(("size", "taken"), [(1000, True), (1001, False), (1 << 40, False)])
def test_a_source_has_a_largest_size(spool: Spool, size: int, taken: bool) -> None:
    """A sparse file costs nothing to make, so its size is judged before a byte is read."""

    path = spool.write("file", b"")
    with path.open("r+b") as file:
        file.truncate(size)
    opening = spool.sources(max_bytes=1000).opened(a_job(source_path=str(path)), Transfer(Budget()))

    if taken:
        with opening as source:
            assert source.body.size_bytes == size
    else:
        with pytest.raises(SourceError, match="1000 are allowed") as caught, opening:
            pytest.fail("the source was opened")
        assert caught.value.code == "SOURCE_TOO_LARGE"


def test_the_size_decides_how_long_an_attempt_may_take(spool: Spool) -> None:
    """The budget is known as soon as the file is open, before it is hashed."""

    transfer = Transfer(Budget(floor_seconds=1.0, bytes_per_second=1.0))

    with spool.opened(spool.write("file", b"x" * 100), transfer):
        assert transfer.seconds == 100.0


def test_hashing_ends_with_the_attempt(spool: Spool) -> None:
    """Reading a large file takes minutes: neither a deadline nor a cancel waits for its end."""

    path = spool.write("file", b"x" * LARGE)
    late = Transfer(Budget(floor_seconds=-1.0, bytes_per_second=1e12))
    cancelled = Transfer(Budget())
    cancelled.cancel(STOPPED)

    with pytest.raises(StoreError, match="took longer"), spool.opened(path, late):
        pytest.fail("the source was opened")
    with pytest.raises(InterruptedAttemptError), spool.opened(path, cancelled):
        pytest.fail("the source was opened")


@pytest.mark.parametrize("content", [b"", b"\0inline\xff"])
def test_the_bytes_may_be_in_the_row(content: bytes) -> None:
    """A job without a path has its payload, which is fetched by its id."""

    sources = Sources((), 1, payload={7: content}.get)

    with sources.opened(a_job(id=7, source_path=None), Transfer(Budget())) as source:
        source.confirm()
        assert source.digests == digest([content])
        assert source.body.read_at(0, 100) == content


def test_a_row_may_have_lost_its_bytes() -> None:
    """A row with neither path nor payload has no source."""

    sources = Sources((), 1, payload=lambda _job_id: None)
    opening = sources.opened(a_job(source_path=None), Transfer(Budget()))

    with pytest.raises(SourceError) as caught, opening:
        pytest.fail("the source was opened")
    assert caught.value.code == "SOURCE_MISSING"


@given(st.binary(max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_bytes_read_as_a_file_does(content: bytes, offset: int, size: int) -> None:
    """A body in memory gives what there is from an offset, and nothing beyond its end."""

    body = Bytes(content)

    assert body.read_at(offset, size) == content[offset : offset + size]
    assert body.size_bytes == len(content)
