"""The local store on real disks: they fill up, rot, and lose what was not synced."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from outhaul.errors import InterruptedAttemptError, SourceError, StoreError
from outhaul.models import Interrupted, Outcome
from outhaul.proof import prove
from outhaul.stores.local import LocalStore
from tests.contract.stores import IN_PARTS, content, transfer, upload


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The store's directory, which the store makes itself."""
    return tmp_path / "local"


@pytest.fixture
def store(root: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(root)


def objects(root: Path) -> dict[str, bytes]:
    """All that lies in the directory, except what is the store's own."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".outhaul" not in path.parts
    }


def test_leftovers_of_a_crash_are_no_objects(store: LocalStore, root: Path) -> None:
    """Half a file that a crash left behind is listed for audits, and disturbs nothing."""

    store.put(upload("k", b"whole"))
    (root / ".outhaul" / "partial" / "0123").write_bytes(b"ha")

    store.put(upload("k", b"whole again"))

    assert store.open_multiparts(transfer()) == ["0123"]
    assert objects(root) == {"k": b"whole again"}


@pytest.mark.parametrize("note", [b"", b'{"content_type": "te', b"\xff"])
def test_a_torn_note_costs_no_object(store: LocalStore, root: Path, note: bytes) -> None:
    """What a crash did to the note of an object takes its type, never its bytes."""

    job = upload("k", b"x")
    store.put(job)
    (path,) = (root / ".outhaul" / "meta").iterdir()
    path.write_bytes(note)

    held = store.head("k", transfer())

    assert held is not None
    assert prove(job.digests, held) == "sha256"
    assert held.content_type is None


def test_a_rotten_file_disproves_itself(store: LocalStore, root: Path) -> None:
    """`head` reads the bytes: one flipped bit on the disk is a contradiction, not a success."""

    job = upload("k", b"as it was")
    store.put(job)
    (root / "k").write_bytes(b"as it waz")

    held = store.head("k", transfer())

    assert held is not None
    with pytest.raises(StoreError) as caught:
        prove(job.digests, held)
    assert caught.value.code == "BAD_STORE_REPLY"


@dataclass(frozen=True, slots=True)
class Zeroes:
    """A body that is not the bytes that were hashed."""

    size_bytes: int

    def read_at(self, _offset: int, size: int) -> bytes:
        """Zeroes."""
        return bytes(size)


def test_a_source_that_changes_replaces_nothing(store: LocalStore, root: Path) -> None:
    """Bytes that differ from those hashed before are SOURCE_CHANGED; the old object stays."""

    store.put(upload("k", b"old"))

    with pytest.raises(SourceError) as caught:
        store.put(replace(upload("k", content(IN_PARTS)), body=Zeroes(IN_PARTS)))

    assert caught.value.code == "SOURCE_CHANGED"
    assert objects(root) == {"k": b"old"}
    assert store.open_multiparts(transfer()) == []


@contextmanager
def little_room(root: Path) -> Iterator[None]:
    """Room for 1 MiB: a small disk where this user may mount one, else a limit on files."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", str(root)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_all_as_it_was(store: LocalStore, root: Path) -> None:
    """No room is a failure that may heal: the old object stays, no half is left, and less fits."""

    with little_room(root):
        store.put(upload("k", b"old", metadata={"a": "1"}))

        with pytest.raises(StoreError) as caught:
            store.put(upload("k", content(2 << 20)))

        assert caught.value.code == "ServiceError"
        held = store.head("k", transfer())
        assert held is not None
        assert held.metadata == {"a": "1"}
        assert objects(root) == {"k": b"old"}
        assert store.open_multiparts(transfer()) == []
        store.put(upload("k", content(500_000)))


def test_a_name_is_durable_before_success(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes reach the disk before their name does, and every directory above follows."""

    steps: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append(f"rename to {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    store.put(upload("a/b/k", b"x"))

    named = steps.index("rename to k")
    assert named == 1
    assert Path(steps[0]).parent == root / ".outhaul" / "partial"
    assert steps[named + 1 : named + 4] == [str(root / "a/b"), str(root / "a"), str(root)]
    assert str(root / ".outhaul" / "meta") in steps


def test_reading_ends_with_the_attempt(store: LocalStore) -> None:
    """A long read is cut when the attempt is, between two blocks."""

    store.put(upload("k", content(IN_PARTS)))
    clock = transfer()
    blocks = store.get("k", clock)
    next(blocks)

    clock.cancel(Interrupted(Outcome.INTERRUPTED, "shutting down"))

    with pytest.raises(InterruptedAttemptError):
        next(blocks)
