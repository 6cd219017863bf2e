from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from outhaul import source as module
from outhaul.digests import Digests, digest
from tests.unit.spool import SECRET, Spool
from tests.unit.test_source_changes import edit, grow, replace, unlink

STORED = digest([b"x" * 1000]).sha256


def removed(spool: Spool, path: Path) -> bool:
    """Whether a source that was stored is gone."""
    return spool.sources().remove(str(path), STORED)


def slowly(change: Callable[[Path], None], path: Path) -> Callable[[Iterable[bytes]], Digests]:
    """A digest that takes long enough for somebody to change the file."""

    def hashed(blocks: Iterable[bytes]) -> Digests:
        found = digest(blocks)
        change(path)
        return found

    return hashed


def test_a_stored_source_is_removed(spool: Spool) -> None:
    """`on_success = 'delete'`: once a store holds the bytes, the file goes."""

    path = spool.write("sub/file", b"x" * 1000)

    assert removed(spool, path)
    assert not path.exists()
    assert path.parent.exists()


def test_a_source_that_is_gone_already_is_no_trouble(spool: Spool) -> None:
    """Whoever removed it, it is removed."""

    assert removed(spool, spool.root / "file")


def test_new_work_under_the_old_name_is_kept(spool: Spool) -> None:
    """Other bytes were never stored by this job, so they are not its to delete."""

    path = spool.write("file", b"y" * 1000)

    assert not removed(spool, path)
    assert path.read_bytes() == b"y" * 1000


@pytest.mark.parametrize("change", [replace, edit, grow])
def test_new_work_that_comes_meanwhile_is_kept(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Hashing takes a while: what is put under the name in that time is not deleted unsent."""

    path = spool.write("file", b"x" * 1000)
    monkeypatch.setattr(module, "digest", slowly(change, path))

    assert not removed(spool, path)
    assert path.exists()


def test_a_source_that_goes_meanwhile_is_gone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that deletes its own file while we hash it is no trouble either."""

    path = spool.write("file", b"x" * 1000)
    monkeypatch.setattr(module, "digest", slowly(unlink, path))

    assert removed(spool, path)


def test_nothing_outside_the_roots_is_removed(spool: Spool) -> None:
    """Neither a path that leads out nor a link is a source that could be removed."""

    secret = spool.outside / "secret"
    (spool.root / "link").symlink_to(secret)
    sha256 = digest([SECRET]).sha256

    for path in (secret, spool.root / ".." / "outside" / "secret", spool.root / "link"):
        assert not spool.sources().remove(str(path), sha256)
    assert secret.read_bytes() == SECRET


def test_a_refusal_to_delete_is_told(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that we may not write keeps its file, and the caller learns it."""

    path = spool.write("file", b"x" * 1000)

    def refused(_: Path) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "unlink", refused)

    assert not removed(spool, path)
