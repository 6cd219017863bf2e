"""Cases in which the storage key is valid on one store only, or looks like something else."""

from __future__ import annotations

import math

import pytest

from tests.faults.neighbour import WELL, Neighbour
from tests.faults.record import exhausted, history, verdict
from tests.support.deployment import Deployment

pytestmark = pytest.mark.usefixtures("daemon")


@pytest.fixture(scope="module")
def daemon_settings() -> dict[str, str]:
    """Fallbacks without a wait."""
    return {"OUTHAUL_UPLOAD_RETRY_DELAYS": "0,0,0"}


def seen_keys(deployment: Deployment) -> set[str]:
    """Every key that either cloud was ever asked about."""
    asked = [*deployment.s3.requests, *deployment.oss_front.requests]
    return {request.key for request in asked}


@pytest.mark.parametrize(
    "key",
    [
        "/a/b.png",
        "\\a\\b.png",
        "a//b.png",
        "a/../b.png",
        "./a.png",
        "a.txt\n2026-01-01 00:00:00 INFO upload 999 done s3",
        "esc\x1b[2J",
        "c1\x85control",
    ],
)
def test_key_that_one_store_would_refuse_is_refused_before_any(
    served: Deployment, key: str
) -> None:
    """INVALID_KEY before any call, with the rule in last_error; the row keeps its key."""

    served.s3.fail(503, "SlowDown", key=key, times=math.inf)
    bad = served.insert(storage_key=key, source_path=str(served.file("picture")))
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("failed", None, "INVALID_KEY")
    assert job["storage_key"] == key
    assert job["last_error"].startswith("storage_key ")
    assert history(served, bad) == [("s3", 1, "INVALID_KEY")]
    assert neighbour.fate() == WELL
    asked = seen_keys(served)
    assert not {key, key.lstrip("/"), key.lstrip("\\")} & asked


@pytest.mark.parametrize(
    "name", ["a b.txt", "x+y%41.txt", "q?#&=;.txt", "é😀.txt", "u\u2028.txt", "%s%n{0}", "=1+1"]
)
def test_key_is_the_same_on_both_stores_and_in_the_row(served: Deployment, name: str) -> None:
    """A fallback never renames: the very key of the row holds the object, byte for byte."""

    served.s3.fail(503, "SlowDown", key=served.key(f"odd/{name}"), times=math.inf)
    bad = served.insert(
        storage_key=served.key(f"odd/{name}"),
        source_path=str(served.file("odd", name.encode())),
    )
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("done", "oss", None)
    assert history(served, bad) == [*exhausted("s3", "SlowDown"), ("oss", 1, None)]
    assert job["storage_key"] == served.key(f"odd/{name}")
    assert served.oss_content(f"odd/{name}") == name.encode()
    assert len(served.puts(f"odd/{name}")) == 4
    assert neighbour.fate() == WELL
