from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outhaul.errors import InterruptedAttemptError, SourceError, StoreError
from outhaul.stores import multipart
from outhaul.stores.base import Upload, part_bytes
from outhaul.stores.multipart import (
    ABORT_TRIES,
    PARTS_IN_FLIGHT,
    Part,
    digests_of_parts,
    put_in_parts,
)
from outhaul.transfer import Budget, Transfer
from tests.support.waiting import wait_for
from tests.unit.parts import Lazy, PartStore, PatternBody, an_upload
from tests.unit.samples import STOPPED

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
STEP = 4


@pytest.fixture
def pool() -> Iterator[Executor]:
    """Threads for the parts."""
    with ThreadPoolExecutor(PARTS_IN_FLIGHT) as executor:
        yield executor


@pytest.fixture
def upload(monkeypatch: pytest.MonkeyPatch) -> Upload:
    """Five parts, the last one shorter."""
    monkeypatch.setattr(multipart, "part_bytes", lambda _size: STEP)
    body = PatternBody(4 * STEP + 1)
    return an_upload(body, body.digests(STEP))


def fail(code: str = "SlowDown") -> Callable[[], NoReturn]:
    """A call that fails as a store does."""

    def failing() -> NoReturn:
        raise StoreError(code, "as the script says")

    return failing


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (0, 8 * MIB),
        (9 * MIB, 8 * MIB),
        (6 * GIB, 8 * MIB),
        (80_000 * MIB, 8 * MIB),
        (80_000 * MIB + 1, 8 * MIB + 1),
        (5 * TIB, -(-5 * TIB // 10_000)),
    ],
)
def test_parts_are_small_until_there_would_be_too_many(size: int, part: int) -> None:
    """Parts have 8 MiB, and just as much more as the limit of 10,000 parts asks for."""

    assert part_bytes(size) == part


@given(st.integers(1, 5 * TIB))
def test_any_object_fits_the_limits_of_both_clouds(size: int) -> None:
    """Up to 5 TiB there are at most 10,000 parts of at most 5 GiB."""

    part = part_bytes(size)

    assert -(-size // part) <= 10_000
    assert 8 * MIB <= part <= 5 * GIB


def test_parts_become_one_object(upload: Upload, pool: Executor) -> None:
    """Every byte is sent once, and the store is told the parts in their order."""

    store = PartStore()
    receipt = put_in_parts(store, upload, pool)

    assert receipt.etag == "whole"
    assert [len(store.parts[number]) for number in range(1, 6)] == [4, 4, 4, 4, 1]
    assert [part.number for part in store.completed or ()] == [1, 2, 3, 4, 5]
    assert (store.events[0], store.events[-1]) == ("create", "complete")
    assert "abort" not in store.events


def test_parts_that_overtake_each_other_keep_their_order(upload: Upload, pool: Executor) -> None:
    """A part that ends before its predecessor is still named after it."""

    store = PartStore(faults={"part 1": lambda: wait_for(second_is_there, 30, "the second part")})

    def second_is_there() -> bool:
        return "part 2" in store.events

    put_in_parts(store, upload, pool)

    assert store.events[1:3] == ["part 2", "part 1"]
    assert [part.number for part in store.completed or ()] == [1, 2, 3, 4, 5]


def test_memory_is_bounded(upload: Upload) -> None:
    """However slow the store, no more contents are alive than parts may be in flight."""

    body = PatternBody(upload.body.size_bytes)
    put_in_parts(PartStore(), replace(upload, body=body), Lazy())

    assert body.alive.most == PARTS_IN_FLIGHT
    assert body.alive.now == 0


@pytest.mark.parametrize("event", ["part 1", "part 2", "part 4", "part 5", "complete"])
def test_an_upload_that_fails_is_aborted_once(upload: Upload, pool: Executor, event: str) -> None:
    """Wherever it fails, the store's error comes through and nothing stays behind to be billed."""

    store = PartStore(faults={event: fail()})

    with pytest.raises(StoreError) as caught:
        put_in_parts(store, upload, pool)

    assert caught.value.code == "SlowDown"
    assert store.events.count("abort") == 1
    assert store.events[-1] == "abort"
    assert "complete" not in store.events


def test_an_upload_that_never_began_is_not_aborted(upload: Upload, pool: Executor) -> None:
    """Without an upload id there is nothing to abort."""

    store = PartStore(faults={"create": fail("AccessDenied")})

    with pytest.raises(StoreError, match="as the script says"):
        put_in_parts(store, upload, pool)

    assert store.events == []


def test_an_abort_does_not_overtake_a_part(upload: Upload, pool: Executor) -> None:
    """A part under way when another fails has ended before the abort is sent."""

    second_runs, aborted = threading.Event(), threading.Event()
    early: list[bool] = []

    def fail_beside_the_second() -> None:
        assert second_runs.wait(30)
        fail()()

    def linger() -> None:
        second_runs.set()
        early.append(aborted.wait(0.2))

    store = PartStore(
        faults={"part 1": fail_beside_the_second, "part 2": linger, "abort": aborted.set}
    )
    with pytest.raises(StoreError):
        put_in_parts(store, upload, pool)

    assert early == [False]
    assert store.events == ["create", "part 2", "abort"]


@pytest.mark.parametrize(("failing", "aborts"), [(1, 1), (ABORT_TRIES, 0)])
def test_the_cause_outweighs_an_abort_that_fails(
    upload: Upload, pool: Executor, failing: int, aborts: int
) -> None:
    """An abort is tried again, and if that fails too, the row still says what went wrong first."""

    tries: list[str] = []

    def fail_at_first() -> None:
        tries.append("abort")
        if len(tries) <= failing:
            fail("NetworkError")()

    store = PartStore(faults={"part 3": fail(), "abort": fail_at_first})
    with pytest.raises(StoreError) as caught:
        put_in_parts(store, upload, pool)

    assert caught.value.code == "SlowDown"
    assert len(tries) == ABORT_TRIES
    assert store.events.count("abort") == aborts


def test_bytes_that_differ_from_the_pin_never_become_an_object(
    upload: Upload, pool: Executor
) -> None:
    """What is sent is hashed again: a file edited between hashing and sending is SOURCE_CHANGED."""

    store = PartStore()
    edited = replace(upload, digests=replace(upload.digests, sha256="0" * 64))

    with pytest.raises(SourceError) as caught:
        put_in_parts(store, edited, pool)

    assert caught.value.code == "SOURCE_CHANGED"
    assert "complete" not in store.events
    assert store.events.count("abort") == 1


def test_a_source_that_cannot_be_read_on_aborts(pool: Executor, upload: Upload) -> None:
    """A source that shrank in the middle gives its parts up."""

    class Shrunk(PatternBody):
        def read_at(self, offset: int, size: int) -> bytes:
            if offset >= 2 * STEP:
                raise SourceError("SOURCE_CHANGED", "the source shrank")
            return super().read_at(offset, size)

    store = PartStore()
    with pytest.raises(SourceError, match="shrank"):
        put_in_parts(store, replace(upload, body=Shrunk(4 * STEP + 1)), pool)

    assert store.events.count("abort") == 1


def test_an_attempt_without_time_left_does_not_complete(upload: Upload, pool: Executor) -> None:
    """When the budget ends with the last part, the upload is aborted in time of its own."""

    transfer = Transfer(Budget())
    store = PartStore(faults={"part 5": lambda: setattr(transfer, "seconds", 0.0)})

    with pytest.raises(StoreError) as caught:
        put_in_parts(store, replace(upload, transfer=transfer), pool)

    assert caught.value.code == "TIMEOUT"
    assert store.events[-1] == "abort"


def test_an_attempt_that_was_cancelled_does_not_complete(upload: Upload, pool: Executor) -> None:
    """After a shutdown or a lost lease no object may appear any more."""

    transfer = Transfer(Budget())
    store = PartStore(faults={"part 5": lambda: transfer.cancel(STOPPED)})

    with pytest.raises(InterruptedAttemptError):
        put_in_parts(store, replace(upload, transfer=transfer), pool)

    assert store.events[-1] == "abort"


def test_even_a_bug_aborts(upload: Upload, pool: Executor) -> None:
    """An exception that nobody foresaw leaves no parts behind either."""

    def crash() -> NoReturn:
        raise KeyboardInterrupt

    store = PartStore(faults={"complete": crash})
    with pytest.raises(KeyboardInterrupt):
        put_in_parts(store, upload, pool)

    assert store.events[-1] == "abort"


def test_s3_names_an_object_by_the_digests_of_its_parts() -> None:
    """Both names are digests of digests, with the number of parts behind them."""

    contents = [b"one", b"two"]
    md5s = [hashlib.md5(content) for content in contents]
    sha256s = [hashlib.sha256(content).digest() for content in contents]
    parts = [
        Part(number, md5.hexdigest(), sha256)
        for number, (md5, sha256) in enumerate(zip(md5s, sha256s, strict=True), 1)
    ]

    whole = base64.b64encode(hashlib.sha256(b"".join(sha256s)).digest()).decode()
    etag = hashlib.md5(b"".join(md5.digest() for md5 in md5s)).hexdigest()
    assert digests_of_parts(parts) == {"parts_sha256": f"{whole}-2", "etag": f"{etag}-2"}


def test_what_is_not_known_of_every_part_is_not_expected() -> None:
    """A part whose ETag is no digest, or that was proven otherwise, leaves that name open."""

    md5, sha256 = hashlib.md5(b"one").hexdigest(), hashlib.sha256(b"one").digest()

    assert set(digests_of_parts([Part(1, "opaque", sha256)])) == {"parts_sha256"}
    assert set(digests_of_parts([Part(1, md5, sha256), Part(2, md5)])) == {"etag"}
    assert digests_of_parts([Part(1, "opaque")]) == {}
