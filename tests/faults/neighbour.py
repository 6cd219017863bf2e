"""A healthy row beside a bad one: whatever befalls that one, this one must reach S3."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

_CONTENT = b"all is well"


class Fate(NamedTuple):
    """What became of a neighbour. `content` is what S3 holds under its key."""

    status: str
    storage_type: str | None
    s3_attempts: int
    content: bytes | None


#: The only fate that is right.
WELL = Fate("done", "s3", 1, _CONTENT)


class Neighbour:
    """A row inserted now, under a key that no fault of a test names."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._name = f"neighbour-{secrets.token_hex(4)}.txt"
        self.job_id = deployment.insert_file(self._name, _CONTENT)

    def fate(self) -> Fate:
        """Wait for its end, and say what it was."""
        (job,) = self._deployment.wait_final(self.job_id)
        content = None
        if job["storage_type"] == "s3":
            content = self._deployment.s3_content(self._name)
        return Fate(job["status"], job["storage_type"], job["s3_attempts"], content)
