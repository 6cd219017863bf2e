"""Large objects: parts in parallel, proven one by one, and none left behind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from outhaul.digests import digest
from outhaul.errors import InterruptedAttemptError, OuthaulError, SourceError, StoreError
from outhaul.models import Interrupted, Outcome
from outhaul.stores.base import PART_BYTES, part_bytes
from outhaul.stores.multipart import PARTS_IN_FLIGHT
from tests.contract.stores import IN_PARTS, Front, content, transfer, upload
from tests.support.proxy import replies
from tests.support.waiting import wait_for

pytest_plugins = ["tests.contract.subjects"]

LARGE: Final = 20 << 20

#: S3 sends the head of a 200 and spaces while it works, and only then finds that it failed.
ERROR_INSIDE_200: Final = replies.reply(
    200,
    b'<?xml version="1.0" encoding="UTF-8"?>'
    + b" " * 50
    + b"<Error><Code>InternalError</Code><Message>We failed.</Message></Error>",
    {"Content-Type": "application/xml", "Connection": "close"},
)


def upload_ids(front: Front, method: str, query: str = "uploadId=") -> list[str]:
    """The upload id of each request of one method, in order."""
    return [
        seen.query.partition("uploadId=")[2].partition("&")[0]
        for seen in front.requests
        if seen.method == method and query in seen.query
    ]


def fault_of(front: Front, size: int = IN_PARTS) -> OuthaulError:
    """What the put of a large object raises."""
    with pytest.raises(OuthaulError) as caught:
        front.subject.store.put(upload(front.subject.key("large.bin"), content(size)))
    return caught.value


def break_part(front: Front) -> None:
    """Refuse the second part."""
    front.proxy.fail(503, "SlowDown", method="PUT", query="partNumber=2")


def cut_part(front: Front) -> None:
    """Reset the connection of the first part."""
    front.proxy.reset(method="PUT", query="partNumber=1")


def lie_about_part(front: Front) -> None:
    """Answer a part with the digests of another."""
    lies = {"ETag": '"0"', "x-amz-checksum-sha256": "AAAA", "x-oss-hash-crc64ecma": "1"}
    front.proxy.rewrite(lies, method="PUT", query="partNumber=2")


def silence_part(front: Front) -> None:
    """Answer a part with no digest at all."""
    names = ("ETag", "x-amz-checksum-sha256", "x-oss-hash-crc64ecma")
    front.proxy.rewrite(dict.fromkeys(names), method="PUT", query="partNumber=1")


def break_complete(front: Front) -> None:
    """Refuse the completion."""
    front.proxy.fail(500, "InternalError", method="POST", query="uploadId=")


FAULTS: Final = {
    "part refused": (break_part, "SlowDown"),
    "part cut": (cut_part, "NetworkError"),
    "part misquoted": (lie_about_part, "BAD_STORE_REPLY"),
    "part unproven": (silence_part, "BAD_STORE_REPLY"),
    "completion refused": (break_complete, "InternalError"),
}


@pytest.mark.parametrize(("fault", "code"), FAULTS.values(), ids=FAULTS.keys())
def test_a_failed_upload_is_aborted(
    front: Front, fault: Callable[[Front], None], code: str
) -> None:
    """Whatever fails, the error is its cause, and neither parts nor an object are left."""

    fault(front)

    error = fault_of(front)

    assert isinstance(error, StoreError)
    assert error.code == code
    assert front.subject.unfinished() == []
    assert front.subject.found(front.subject.key("large.bin")) is None
    assert len(upload_ids(front, "DELETE")) == 1


def test_an_error_inside_a_200_is_an_error(fronted_s3: Front) -> None:
    """A completion that S3 answers with 200 and an error is none; each upload is aborted once."""

    fronted_s3.proxy.answer(ERROR_INSIDE_200, method="POST", query="uploadId=", times=math.inf)

    codes = [getattr(fault_of(fronted_s3), "code", None) for _ in range(2)]

    assert codes == ["InternalError", "InternalError"]
    assert fronted_s3.subject.unfinished() == []
    assert fronted_s3.subject.found(fronted_s3.subject.key("large.bin")) is None
    completed = upload_ids(fronted_s3, "POST")
    assert len(set(completed)) == 2
    assert upload_ids(fronted_s3, "DELETE") == completed


def test_a_second_completion_may_succeed(fronted_s3: Front) -> None:
    """After an error inside a 200 another try stores one whole object, and leaves no parts."""

    fronted_s3.proxy.answer(ERROR_INSIDE_200, method="POST", query="uploadId=")
    fault_of(fronted_s3)

    key = fronted_s3.subject.key("large.bin")
    fronted_s3.subject.store.put(upload(key, content(IN_PARTS)))

    assert fronted_s3.subject.found(key) == content(IN_PARTS)
    assert fronted_s3.subject.unfinished() == []
    assert upload_ids(fronted_s3, "DELETE") == upload_ids(fronted_s3, "POST")[:1]


def test_an_error_inside_a_200_proves_nothing(fronted_oss: Front) -> None:
    """oss2 takes the same answer for a success; it carries no digest that anybody could believe."""

    fronted_oss.proxy.answer(ERROR_INSIDE_200, method="POST", query="uploadId=")

    receipt = fronted_oss.subject.store.put(
        upload(fronted_oss.subject.key("large.bin"), content(IN_PARTS))
    )

    assert (receipt.crc64, receipt.etag) == (None, None)


def test_a_failed_abort_hides_no_cause(front: Front) -> None:
    """An abort that fails as well leaves the first error to be reported."""

    break_complete(front)
    front.proxy.fail(403, "AccessDenied", method="DELETE", times=math.inf)

    error = fault_of(front)

    assert isinstance(error, StoreError)
    assert error.code == "InternalError"


@dataclass(frozen=True, slots=True)
class Shifting:
    """A body that is another when it is read for sending than when it was hashed."""

    size_bytes: int
    read: list[int] = field(default_factory=list)

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes that nobody has hashed."""
        self.read.append(offset)
        return bytes(size)


def test_a_source_that_changes_is_not_completed(front: Front) -> None:
    """Bytes that differ from those hashed before are SOURCE_CHANGED: no object is made of them."""

    job = upload(front.subject.key("large.bin"), content(IN_PARTS))

    with pytest.raises(SourceError) as caught:
        front.subject.store.put(replace(job, body=Shifting(IN_PARTS)))

    assert caught.value.code == "SOURCE_CHANGED"
    assert upload_ids(front, "POST") == []
    assert len(upload_ids(front, "DELETE")) == 1
    assert front.subject.unfinished() == []


def test_a_cancelled_upload_is_aborted(front: Front) -> None:
    """A shutdown ends the parts under way at once, and the upload is aborted all the same."""

    hold = front.proxy.hold(method="PUT", query="partNumber=", times=math.inf)
    job = upload(front.subject.key("large.bin"), content(LARGE))
    ended: list[BaseException] = []

    def put() -> None:
        with pytest.raises(InterruptedAttemptError) as caught:
            front.subject.store.put(job)
        ended.append(caught.value)

    thread = threading.Thread(target=put)
    thread.start()
    assert hold.arrived.wait(20)
    job.transfer.cancel(Interrupted(Outcome.INTERRUPTED, "shutting down"))
    thread.join(20)

    assert [str(error) for error in ended] == ["shutting down"]
    assert len(upload_ids(front, "DELETE")) == 1
    assert front.subject.unfinished() == []
    hold.release()


@dataclass(slots=True)
class Watched:
    """A body that knows how far ahead of the store it was read."""

    size_bytes: int
    read: int = 0

    def read_at(self, offset: int, size: int) -> bytes:
        """Zeroes."""
        self.read = max(self.read, offset + size)
        return bytes(size)


def test_memory_is_bounded_by_the_parts_in_flight(front: Front) -> None:
    """No more of a large source is read than the parts under way hold, whatever its size."""

    size = 8 * PART_BYTES
    hold = front.proxy.hold(method="PUT", query="partNumber=", times=math.inf)
    body = Watched(size)
    key = front.subject.key("large.bin")
    job = replace(upload(key, b""), body=body, digests=digest([bytes(size)]))
    thread = threading.Thread(target=front.subject.store.put, args=[job])
    thread.start()
    assert hold.arrived.wait(20)
    puts = wait_for(
        lambda: upload_ids(front, "PUT")[PARTS_IN_FLIGHT - 1 :], 20, "two parts to be under way"
    )

    ahead = body.read

    hold.release()
    thread.join(60)
    assert len(puts) == 1
    assert ahead <= PARTS_IN_FLIGHT * PART_BYTES
    assert front.subject.found(key) == bytes(size)


def test_parts_keep_their_order(front: Front) -> None:
    """A part that overtakes another still lands in its place."""

    hold = front.proxy.hold(method="PUT", query="partNumber=1")
    key = front.subject.key("large.bin")
    job = upload(key, content(LARGE))
    thread = threading.Thread(target=front.subject.store.put, args=[job])
    thread.start()
    assert hold.arrived.wait(20)
    wait_for(
        lambda: [seen for seen in front.requests if seen.status == 200 and seen.method == "PUT"],
        20,
        "the second part to be stored before the first",
    )

    hold.release()
    thread.join(60)

    assert front.subject.found(key) == content(LARGE)


def test_unfinished_uploads_are_listed(front: Front) -> None:
    """An upload that somebody left open is in the list that audits read."""

    job = upload(front.subject.key("a b+ü.bin"), content(IN_PARTS))
    store = front.subject.store
    upload_id = store.create(job)  # type: ignore[attr-defined]

    listed = front.subject.unfinished()

    with transfer().active():
        store.abort(job.key, upload_id)  # type: ignore[attr-defined]
    assert listed == [job.key]
    assert front.subject.unfinished() == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, PART_BYTES),
        (PART_BYTES * 10_000, PART_BYTES),
        (PART_BYTES * 10_000 + 1, PART_BYTES + 1),
        (5 << 40, -(-(5 << 40) // 10_000)),
    ],
)
def test_parts_grow_where_there_would_be_too_many(size: int, expected: int) -> None:
    """Both clouds take 10,000 parts: a larger object has larger parts, never more."""

    assert part_bytes(size) == expected
    assert -(-size // part_bytes(size)) <= 10_000
