"""The case of an object that is too large for one request."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from outhaul.stores.base import MAX_PARTS, PART_BYTES, part_bytes
from tests.faults.discarding_store import DiscardingStore
from tests.faults.procfs import peak_bytes
from tests.faults.record import history, verdict

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

MIB, GIB, TIB = 1024**2, 1024**3, 1024**4

#: S3 and OSS take no more in one PUT, be it an object or a part, and no less in most parts.
MAX_PUT_BYTES, MIN_PART_BYTES = 5 * GIB, 5 * MIB


@pytest.mark.parametrize("size", [PART_BYTES + 1, 5 * GIB + 1, 6 * GIB, 80 * GIB, 5 * TIB])
def test_more_than_5_gib_is_cut_into_lawful_parts(size: int) -> None:
    """Up to the largest object there is, neither the parts nor their number pass the limits."""

    part = part_bytes(size)

    assert MIN_PART_BYTES <= part <= MAX_PUT_BYTES
    assert -(-size // part) <= MAX_PARTS


def test_more_than_one_put_may_carry_is_never_put_at_once(sqlite_deployment: Deployment) -> None:
    """A model of 6 GiB against 5 GiB: a store that takes one part at most gets parts, in order."""

    # Sparse, and larger than the memory that its upload may cost.
    deployment = sqlite_deployment
    size = 512 * MIB + 1
    source = deployment.file("huge.img", b"")
    os.truncate(source, size)
    store = DiscardingStore(PART_BYTES)
    with store, deployment.daemon(S3_ENDPOINT_URL=store.url) as daemon:
        job_id = deployment.insert(storage_key=deployment.key("huge.img"), source_path=str(source))
        beside = deployment.insert_file("beside", b"small")
        job, neighbour = deployment.wait_final(job_id, beside, seconds=90)
        peak = peak_bytes(daemon.pid)

    assert verdict(job) == ("done", "s3", None)
    assert (job["size_bytes"], job["verified_by"]) == (size, "parts-sha256")
    assert history(deployment, job_id) == [("s3", 1, None)]
    assert sorted(store.bodies.values()) == [1, len(b"small"), *[PART_BYTES] * 64]
    assert verdict(neighbour) == ("done", "s3", None)
    assert peak < 256 * MIB
