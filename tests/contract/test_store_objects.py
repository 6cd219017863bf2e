"""One contract for every store: what is put is there, whole, and nothing else is."""

from __future__ import annotations

from typing import Any, Final

import pytest

from outhaul.digests import digest
from outhaul.errors import InterruptedAttemptError, StoreError
from outhaul.models import Interrupted, Outcome, StoreName
from outhaul.proof import prove
from outhaul.stores.base import Store
from outhaul.transfer import Transfer
from tests.contract.stores import IN_PARTS, Front, Subject, content, transfer, upload

pytest_plugins = ["tests.contract.subjects"]

#: Nothing, one byte, small, the largest in one request, the least in parts, three parts.
SIZES: Final = (0, 1, 64 << 10, 8 << 20, IN_PARTS, 20 << 20)

#: Both ways in which a content is sent.
ONE_AND_MANY: Final = pytest.mark.parametrize("size", [1000, IN_PARTS], ids=["one", "parts"])

KEYS: Final = (
    "a b.txt",
    "x+y%41.txt",
    "q?#&=.txt",
    "é😀.txt",
    "deep/er/and/deeper.bin",
    "-r~*'(!)@:,;$[]{}|^`\"<>.txt",
    "\u2028.txt",
    "n" * 240,
)


def evidence(store: Store, size: int) -> str:
    """What the store has to offer as a proof of a content of this size."""
    by_store = {StoreName.OSS: "crc64", StoreName.LOCAL: "sha256"}
    s3 = "parts-sha256" if size >= IN_PARTS and store.bucket != "memory" else "sha256"
    return by_store.get(store.name, s3)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_there(subject: Subject, size: int) -> None:
    """The bytes are under their key, for `get`, for `head`, and for a stranger."""

    key, body = subject.key("round.bin"), content(size)

    subject.store.put(upload(key, body))

    held = subject.store.head(key, transfer())
    assert subject.found(key) == body
    assert b"".join(subject.store.get(key, transfer())) == body
    assert held is not None
    assert held.size_bytes == size


@pytest.mark.parametrize("size", SIZES)
def test_a_receipt_proves_the_content(subject: Subject, size: int) -> None:
    """The answer to a put names its evidence, and a later head names the same."""

    job = upload(subject.key("proof.bin"), content(size))

    receipt = subject.store.put(job)

    held = subject.store.head(job.key, transfer())
    assert held is not None
    assert prove(job.digests, receipt) == evidence(subject.store, size)
    assert prove(job.digests, held, receipt.expected) == evidence(subject.store, size)


@ONE_AND_MANY
def test_a_receipt_disproves_another_content(subject: Subject, size: int) -> None:
    """Evidence is compared: no receipt proves bytes of the same length that were not sent."""

    receipt = subject.store.put(upload(subject.key("proof.bin"), content(size)))

    other = digest([content(size)[:-1] + b"!"])
    other_parts = {name: f"0{value}" for name, value in receipt.expected.items()}
    with pytest.raises(StoreError, match="reports"):
        prove(other, receipt, other_parts)


@ONE_AND_MANY
def test_type_and_metadata_are_carried(subject: Subject, size: int) -> None:
    """Content type and metadata come back as they were given, from every store alike."""

    key = subject.key("described.bin")
    metadata = {"author": "A. Author", "x-of-2": '1, 2; "3"'}

    receipt = subject.store.put(
        upload(key, content(size), content_type="text/x-note; charset=utf-8", metadata=metadata)
    )

    held = subject.store.head(key, transfer())
    assert held is not None
    assert (held.content_type, dict(held.metadata)) == ("text/x-note; charset=utf-8", metadata)
    assert receipt.content_type in {None, held.content_type}


def test_no_type_is_guessed_from_the_key(front: Front) -> None:
    """A key that ends in .jpg is sent with the type that was given, not one that was guessed."""

    front.subject.store.put(upload(front.subject.key("photo.jpg"), b"no photo"))

    (request,) = front.requests
    assert request.headers["content-type"] == "application/octet-stream"


@ONE_AND_MANY
def test_a_put_replaces_what_is_there(subject: Subject, size: int) -> None:
    """Bytes, type and metadata are those of the last put; nothing of an earlier one is left."""

    key = subject.key("replaced.bin")
    subject.store.put(upload(key, b"old", content_type="text/old", metadata={"old": "1"}))

    subject.store.put(upload(key, content(size), content_type="text/new", metadata={"new": "2"}))

    held = subject.store.head(key, transfer())
    assert held is not None
    assert subject.found(key) == content(size)
    assert (held.content_type, dict(held.metadata)) == ("text/new", {"new": "2"})


@ONE_AND_MANY
def test_an_absent_key_is_taken_once(subject: Subject, size: int) -> None:
    """Under `absent` a free key is stored; a taken one is KEY_EXISTS, and stays as it was."""

    key = subject.key("once.bin")
    described: dict[str, Any] = {"content_type": "text/first", "metadata": {"first": "1"}}
    subject.store.put(upload(key, content(size), absent=True, **described))

    with pytest.raises(StoreError) as caught:
        subject.store.put(upload(key, b"!" * size, absent=True, metadata={"second": "2"}))

    held = subject.store.head(key, transfer())
    assert held is not None
    assert caught.value.code == "KEY_EXISTS"
    assert subject.found(key) == content(size)
    assert (held.content_type, dict(held.metadata)) == ("text/first", {"first": "1"})
    assert subject.unfinished() == []


def test_a_delete_is_done_however_often(subject: Subject) -> None:
    """A deleted object is gone, and deleting it again, or what never was, is a success."""

    key = subject.key("gone.bin")
    subject.store.put(upload(key, b"x", metadata={"a": "1"}))

    for _ in range(2):
        subject.store.delete(key, transfer())

    subject.store.delete(subject.key("never/was.bin"), transfer())
    assert subject.found(key) is None
    assert subject.store.head(key, transfer()) is None


def test_nothing_is_under_a_free_key(subject: Subject) -> None:
    """`head` of an absent key is None, and `get` raises instead of giving no bytes."""

    key = subject.key("absent.bin")

    with pytest.raises(StoreError) as caught:
        list(subject.store.get(key, transfer()))

    assert caught.value.code in {"NoSuchKey", "HTTP_404"}
    assert subject.store.head(key, transfer()) is None


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_taken_literally(subject: Subject, name: str) -> None:
    """Spaces, percent signs, question marks and emoji are part of a key, never syntax."""

    key, body = subject.key(name), name.encode()

    subject.store.put(upload(key, body))

    assert subject.found(key) == body
    assert b"".join(subject.store.get(key, transfer())) == body
    subject.store.delete(key, transfer())
    assert subject.found(key) is None


def cancelled() -> Transfer:
    """A transfer that a shutdown has cut."""
    clock = transfer()
    clock.cancel(Interrupted(Outcome.INTERRUPTED, "shutting down"))
    return clock


def test_a_cut_transfer_does_nothing(subject: Subject) -> None:
    """Once an attempt is cut no store begins anything on its behalf."""

    key = subject.key("cut.bin")
    subject.plant(key, b"as it was")

    with pytest.raises(InterruptedAttemptError):
        subject.store.put(upload(key, b"other", cancelled()))
    with pytest.raises(InterruptedAttemptError):
        subject.store.head(key, cancelled())
    with pytest.raises(InterruptedAttemptError):
        list(subject.store.get(key, cancelled()))
    with pytest.raises(InterruptedAttemptError):
        subject.store.delete(key, cancelled())
    assert subject.found(key) == b"as it was"


def test_an_expired_transfer_does_nothing(subject: Subject) -> None:
    """An attempt whose time is up ends with TIMEOUT, and stores nothing."""

    key = subject.key("late.bin")

    with pytest.raises(StoreError) as caught:
        subject.store.put(upload(key, b"late", transfer(0)))

    assert caught.value.code == "TIMEOUT"
    assert subject.found(key) is None


def test_bytes_sent_are_counted(subject: Subject) -> None:
    """The transfer counts the body, whole, whichever way it is sent."""

    for size in (1000, IN_PARTS):
        job = upload(subject.key("counted.bin"), content(size))
        subject.store.put(job)
        completion = job.transfer.bytes_sent - size
        assert 0 <= completion < 10_000  # the list of the parts is sent as well
