"""All run-time SQL. Each function is one short transaction and says what it does in its name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from outhaul.errors import InterruptedAttemptError
from outhaul.models import Job, Pin
from outhaul.outbox import claim, content, lease, rescue, settle
from outhaul.outbox.claim import Claimant
from outhaul.outbox.lease import Daemon
from outhaul.outbox.rescue import Rescued
from outhaul.outbox.rows import BadRow
from outhaul.transitions import Settlement

__all__ = ["BadRow", "Claimant", "Daemon", "Outbox", "Rescued"]


class Outbox:
    """The outbox as one daemon uses it: who we are is said once.

    Every method raises SQLAlchemy's `DBAPIError` when the database is away.
    """

    def __init__(self, engine: Engine, claimant: Claimant, daemon: Daemon) -> None:
        self._engine, self._claimant, self._daemon = engine, claimant, daemon

    def claim(self, limit: int) -> list[Job | BadRow]:
        """See `claim.claim`."""
        return claim.claim(self._engine, self._claimant, limit)

    def claim_suspect(self) -> Job | BadRow | None:
        """See `claim.claim_suspect`."""
        return claim.claim_suspect(self._engine, self._claimant)

    def suspects_due(self) -> bool:
        """See `claim.suspects_due`."""
        return claim.suspects_due(self._engine, self._claimant)

    def settle(self, settlements: Sequence[Settlement], now: float) -> set[int]:
        """See `settle.settle`."""
        return settle.settle(self._engine, self._claimant.worker, settlements, now)

    def settled(self, settlements: Sequence[Settlement]) -> set[int]:
        """See `settle.settled`."""
        return settle.settled(self._engine, self._claimant.worker, settlements)

    def renew(self, held: Mapping[int, int]) -> set[int]:
        """See `lease.renew`."""
        claimant = self._claimant
        return lease.renew(self._engine, claimant.worker, claimant.lease_seconds, held)

    def beat(self, in_flight: int) -> None:
        """See `lease.beat`."""
        lease.beat(self._engine, self._daemon, in_flight)

    def leave(self) -> None:
        """See `lease.leave`."""
        lease.leave(self._engine, self._claimant.worker)

    def rescue(self, held: Collection[int] = ()) -> list[Rescued]:
        """See `rescue.rescue`."""
        return rescue.rescue(self._engine, self._claimant.worker, held)

    def unheard(self, held: Collection[int]) -> list[Rescued]:
        """See `rescue.unheard`."""
        return rescue.unheard(self._engine, self._claimant.worker, held)

    def payload(self, job_id: int) -> bytes | None:
        """See `content.payload`; without the database the attempt is given back."""
        with _interrupting():
            return content.payload(self._engine, job_id)

    def pin(self, job: Job, pin: Pin) -> None:
        """See `content.pin`; without the database the attempt is given back.

        A job that is no longer ours must not reach a store: its new owner may be sending it.
        """
        with _interrupting():
            if not content.pin(self._engine, self._claimant.worker, job, pin):
                raise InterruptedAttemptError("the job was taken by another daemon")


@contextmanager
def _interrupting() -> Iterator[None]:
    """An attempt that the database cuts short is nobody's failure: it is not charged."""
    try:
        yield
    except DBAPIError as error:
        raise InterruptedAttemptError("the database went away during the attempt") from error
