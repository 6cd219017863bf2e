"""What a network can do to one attempt at each cloud: the right code, and a good next attempt."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from outhaul.models import Failure, IfExists, Operation, Skipped, Stored, StoreName
from outhaul.policy import Rules, is_retryable
from tests.contract.stores import IN_PARTS, Front, content
from tests.faults.attempt import attempt, held
from tests.support.waiting import wait_for

pytest_plugins = ["tests.contract.subjects"]

RULES: Final = Rules(
    chain=(StoreName.S3, StoreName.OSS), delays={Operation.UPLOAD: (5.0, 15.0, 30.0)}
)

#: Seconds of an attempt that is bound to end by its deadline.
SHORT: Final = 0.5

ONE_AND_MANY: Final = pytest.mark.parametrize("size", [1000, IN_PARTS], ids=["one", "parts"])


class Trouble(NamedTuple):
    """A fault for the request that carries the bytes, and the code that it ends in."""

    fault: Callable[[Front], None]
    code: str
    seconds: float = 30.0


#: Where the bytes are: the PUT of a small object, and of each part of a large one.
BYTES: Final = {"method": "PUT", "times": math.inf}

TROUBLES: Final = {
    "connection refused": Trouble(lambda front: front.proxy.refuse("closed"), "NetworkError"),
    "reset on accept": Trouble(lambda front: front.proxy.refuse("reset"), "NetworkError"),
    "SYN dropped": Trouble(lambda front: front.proxy.refuse("deaf"), "TIMEOUT", SHORT),
    "accepted, never served": Trouble(lambda front: front.proxy.refuse("silent"), "TIMEOUT", SHORT),
    "reset before the body": Trouble(
        lambda front: front.proxy.reset(0, method="PUT"), "NetworkError"
    ),
    "reset within the body": Trouble(
        lambda front: front.proxy.reset(500, method="PUT"), "NetworkError"
    ),
    "reset after the body": Trouble(
        lambda front: front.proxy.reset(1 << 30, method="PUT"), "NetworkError"
    ),
    "closed within the body": Trouble(
        lambda front: front.proxy.hang_up(500, method="PUT"), "NetworkError"
    ),
    "never answered": Trouble(lambda front: front.proxy.stall(method="PUT"), "TIMEOUT", SHORT),
    "dripped": Trouble(lambda front: front.proxy.drip(0.2, method="PUT"), "TIMEOUT", SHORT),
    "garbage": Trouble(
        lambda front: front.proxy.answer(b"\x15\x03\x01 no HTTP\r\n", method="PUT"), "NetworkError"
    ),
    "gateway's page": Trouble(
        lambda front: front.proxy.fail(502, html=True, method="PUT"), "BadGateway"
    ),
    "not now": Trouble(lambda front: front.proxy.fail(503, "SlowDown", method="PUT"), "SlowDown"),
}


@ONE_AND_MANY
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
def test_trouble_is_named_and_passes(front: Front, trouble: Trouble, size: int) -> None:
    """Each trouble has its code, is worth a retry, stores no half, and ends with the next try."""

    trouble.fault(front)

    failure = attempt(front, content(size), seconds=trouble.seconds)

    assert isinstance(failure, Failure)
    assert failure.code == trouble.code
    assert is_retryable(failure, RULES)
    front.proxy.clear()
    assert held(front) in {None, content(size)}
    assert isinstance(attempt(front, content(size)), Stored)
    assert held(front) == content(size)


def test_a_body_that_is_read_slowly_meets_the_deadline(front: Front) -> None:
    """1 KiB in a second is no pace: the attempt ends in time, and its parts are given up."""

    front.proxy.throttle(1 << 10, method="PUT", times=math.inf)

    failure = attempt(front, content(IN_PARTS), seconds=2)

    assert isinstance(failure, Failure)
    assert failure.code == "TIMEOUT"
    front.proxy.clear()
    assert front.subject.unfinished() == []


def test_a_slow_answer_within_the_time_is_good(front: Front) -> None:
    """One byte after another is no fault in itself."""

    front.proxy.drip(0.001, method="PUT")

    assert isinstance(attempt(front, content(1000)), Stored)


def test_idle_connections_may_be_closed_between_two_jobs(front: Front) -> None:
    """What a store does to a connection that nobody uses costs no attempt."""

    for _ in range(5):
        assert isinstance(attempt(front, content(1000)), Stored)
        wait_for(lambda: front.proxy.idle, 10, "the connection to be idle")
        front.proxy.close_idle()
        wait_for(lambda: not front.proxy.idle, 10, "the connection to be closed")


@ONE_AND_MANY
def test_a_lost_answer_ends_as_one_object(front: Front, size: int) -> None:
    """The cloud stored it and the answer was lost: the next try stores the same object again."""

    last = {"method": "POST", "query": "uploadId="} if size >= IN_PARTS else {"method": "PUT"}
    front.proxy.lose_reply(**last)  # type: ignore[arg-type]

    first = attempt(front, content(size))
    second = attempt(front, content(size))

    assert isinstance(first, Failure)
    assert first.code == "NetworkError"
    assert isinstance(second, Stored)
    assert held(front) == content(size)
    assert front.subject.unfinished() == []


@ONE_AND_MANY
@pytest.mark.parametrize("if_exists", [IfExists.FAIL, IfExists.SKIP])
def test_our_own_object_is_recognised(front: Front, size: int, if_exists: IfExists) -> None:
    """After a lost answer a conditional try finds the key taken, by nobody else: a success."""

    last = {"method": "POST", "query": "uploadId="} if size >= IN_PARTS else {"method": "PUT"}
    front.proxy.lose_reply(**last)  # type: ignore[arg-type]
    attempt(front, content(size), if_exists=if_exists)

    second = attempt(front, content(size), if_exists=if_exists)

    assert isinstance(second, Stored)
    by_oss, by_s3 = "head-crc64", "head-sha256" if size < IN_PARTS else "download"
    assert second.verified_by == (by_oss if front.oss else by_s3)
    assert held(front) == content(size)
    assert front.subject.unfinished() == []


@ONE_AND_MANY
def test_somebody_elses_object_is_not_ours(front: Front, size: int) -> None:
    """A key that holds other bytes of the same length is left alone, and said to be taken."""

    other = content(size)[:-1] + b"!"
    assert isinstance(attempt(front, other), Stored)

    failed = attempt(front, content(size), if_exists=IfExists.FAIL)
    skipped = attempt(front, content(size), if_exists=IfExists.SKIP)

    assert isinstance(failed, Failure)
    assert failed.code == "KEY_EXISTS"
    assert not is_retryable(failed, RULES)
    assert isinstance(skipped, Skipped)
    assert held(front) == other


def descriptors(front: Front) -> int:
    """How many are open once the store's idle connections are closed at both ends."""
    front.subject.store.close()
    wait_for(lambda: not front.proxy.idle, 10, "the proxy to be at rest")
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_storm_of_resets_leaves_nothing_open(front: Front) -> None:
    """After 300 attempts that were reset as many descriptors are open as before them."""

    attempt(front, content(1000))
    before = descriptors(front)
    front.proxy.reset(0, times=300)

    codes = {getattr(attempt(front, content(1000)), "code", None) for _ in range(300)}

    assert codes == {"NetworkError"}
    wait_for(lambda: descriptors(front) <= before, 20, "the storm's descriptors to be closed")
