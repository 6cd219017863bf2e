"""The local store: keys as files, and what directories can hold against them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from outhaul.errors import StoreError
from outhaul.stores.base import Receipt
from outhaul.stores.local import LocalStore
from tests.contract.stores import content, transfer, upload


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The store's directory, which the store makes itself."""
    return tmp_path / "local"


@pytest.fixture
def store(root: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(root)


def code_of(store: LocalStore, key: str, size: int = 3, *, absent: bool = False) -> str:
    """The code with which a put fails."""
    with pytest.raises(StoreError) as caught:
        store.put(upload(key, content(size), absent=absent))
    return caught.value.code


def objects(root: Path) -> dict[str, bytes]:
    """All that lies in the directory, except what is the store's own."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".outhaul" not in path.parts
    }


def test_an_object_is_a_plain_file(store: LocalStore, root: Path) -> None:
    """Whoever needs the bytes finds them under the key, with any tool."""

    store.put(upload("a b/é😀.bin", b"bytes"))

    assert objects(root) == {"a b/é😀.bin": b"bytes"}


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize(
    ("first", "second"), [("x", "x/y"), ("x", "x/y/z"), ("x/y", "x"), ("x/y/z", "x/y")]
)
def test_keys_that_no_directory_can_hold_together(
    store: LocalStore, root: Path, first: str, second: str, absent: bool
) -> None:
    """A key that needs another's file to be a directory is refused for good; the other stays."""

    store.put(upload(first, b"first", metadata={"a": "1"}))

    assert code_of(store, second, absent=absent) == "InvalidObjectName"
    assert store.head(second, transfer()) is None
    store.delete(second, transfer())
    held = store.head(first, transfer())
    assert held is not None
    assert held.metadata == {"a": "1"}
    assert objects(root) == {first: b"first"}
    assert store.open_multiparts(transfer()) == []


@pytest.mark.parametrize("key", ["n" * 256, "d" * 256 + "/k", "é" * 128])
def test_a_segment_longer_than_a_file_name(store: LocalStore, root: Path, key: str) -> None:
    """A segment over 255 bytes, good for both clouds, is refused for good here."""

    assert code_of(store, key) == "InvalidObjectName"
    with pytest.raises(StoreError):
        list(store.get(key, transfer()))
    assert objects(root) == {}


@pytest.mark.parametrize("key", [".outhaul", ".outhaul/meta/x", ".outhaul/partial/x"])
def test_the_stores_own_files_are_no_objects(store: LocalStore, key: str) -> None:
    """No key reads, writes or deletes what the store keeps for itself."""

    store.put(upload("k", b"x"))

    for operation in (
        lambda: store.put(upload(key, b"forged")),
        lambda: store.head(key, transfer()),
        lambda: list(store.get(key, transfer())),
        lambda: store.delete(key, transfer()),
    ):
        with pytest.raises(StoreError) as caught:
            operation()
        assert caught.value.code == "InvalidObjectName"


@pytest.mark.parametrize("name", ["out", "out/deeper"])
def test_a_planted_directory_leads_nowhere(
    store: LocalStore, root: Path, tmp_path: Path, name: str
) -> None:
    """A link inside the directory that leads out of it is never followed, by no operation."""

    outside = tmp_path / "outside"
    (outside / "deeper").mkdir(parents=True)
    (outside / "deeper" / "k").write_bytes(b"secret")
    (outside / "k").write_bytes(b"secret")
    root.mkdir()
    (root / "out").symlink_to(outside)

    for operation in (
        lambda: store.put(upload(f"{name}/k", b"overwritten")),
        lambda: store.head(f"{name}/k", transfer()),
        lambda: list(store.get(f"{name}/k", transfer())),
        lambda: store.delete(f"{name}/k", transfer()),
    ):
        with pytest.raises(StoreError) as caught:
            operation()
        assert caught.value.code == "InvalidObjectName"
    assert {path.read_bytes() for path in outside.rglob("k")} == {b"secret"}


def test_a_planted_link_is_no_object(store: LocalStore, root: Path, tmp_path: Path) -> None:
    """A link under a key gives away nothing of what it points to, and a put replaces the link."""

    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    root.mkdir()
    (root / "k").symlink_to(secret)

    assert store.head("k", transfer()) is None
    with pytest.raises(StoreError):
        list(store.get("k", transfer()))
    store.put(upload("k", b"mine"))

    assert secret.read_bytes() == b"secret"
    assert (root / "k").read_bytes() == b"mine"
    assert not (root / "k").is_symlink()


def test_a_link_to_itself_is_an_error(store: LocalStore, root: Path) -> None:
    """A loop of links ends in a StoreError."""

    root.mkdir()
    (root / "loop").symlink_to(root / "loop")

    assert code_of(store, "loop/k") in {"InvalidObjectName", "ServiceError"}


def test_a_planted_pipe_blocks_nobody(store: LocalStore, root: Path) -> None:
    """A named pipe under a key is no object: nothing waits for a writer."""

    root.mkdir()
    os.mkfifo(root / "pipe")

    assert store.head("pipe", transfer()) is None
    with pytest.raises(StoreError):
        list(store.get("pipe", transfer()))


def test_the_directory_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    """An operator may put the directory on another disk and link to it."""

    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")

    LocalStore(root).put(upload("a/k", b"x"))

    assert (tmp_path / "disk" / "a" / "k").read_bytes() == b"x"


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that take turns as often as Python lets them, so that a race is one."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("key", [f"k{number}" for number in range(30)])
def test_a_free_key_is_taken_by_one(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Of many that want an absent key at once one gets it, and the others hear KEY_EXISTS."""

    written, met = threading.Barrier(8), set[int]()

    def meet(_descriptor: int) -> None:
        if threading.get_ident() not in met:  # the last step before the name is taken
            met.add(threading.get_ident())
            written.wait(20)

    def put(number: int) -> Receipt | str:
        try:
            return store.put(upload(key, b"%d" % number, absent=True))
        except StoreError as error:
            return error.code

    monkeypatch.setattr(os, "fsync", meet)
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(put, range(8)))

    (winner,) = (number for number, end in enumerate(ends) if end != "KEY_EXISTS")
    assert objects(root) == {key: b"%d" % winner}


def test_a_deletion_leaves_the_neighbours(store: LocalStore, root: Path) -> None:
    """A deleted object goes with its note; what lies beside it stays."""

    put = partial(upload, metadata={"a": "1"})
    for key in ("d/k", "d/l"):
        store.put(put(key, b"x"))

    store.delete("d/k", transfer())

    assert objects(root) == {"d/l": b"x"}
    assert len(list((root / ".outhaul" / "meta").iterdir())) == 1
