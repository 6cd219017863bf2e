"""One attempt at one cloud, without a daemon around it."""

from __future__ import annotations

from outhaul.models import IfExists, Job, Operation, Pin, Result
from outhaul.source import Sources
from outhaul.transfer import Budget, Transfer
from outhaul.uploader import Uploader, Verify
from tests.contract.stores import Front

#: The name under which a test's object is stored, below its prefix.
NAME = "object.bin"


def attempt(
    front: Front,
    body: bytes,
    *,
    seconds: float = 30.0,
    verify: Verify = Verify.ANSWER,
    if_exists: IfExists = IfExists.OVERWRITE,
) -> Result:
    """What an attempt to store these bytes comes to."""
    store = front.subject.store
    uploader = Uploader({store.name: store}, Sources((), 1, lambda _id: body), _no_pin, verify)
    job = Job(
        id=1,
        fence=1,
        operation=Operation.UPLOAD,
        queue="default",
        storage_key=front.subject.key(NAME),
        store=store.name,
        attempts={store.name: 1},
        if_exists=if_exists,
    )
    return uploader.attempt(job, Transfer(Budget(seconds))).result


def held(front: Front) -> bytes | None:
    """What the cloud holds under the test's key, asked by another way than the store's own."""
    return front.subject.found(front.subject.key(NAME))


def _no_pin(_job: Job, _pin: Pin) -> None:
    """Nothing is recorded where there is no outbox."""
