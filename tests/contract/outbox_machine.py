"""Any order of events: clients, daemons, crashes and operators, and what must hold after each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from outhaul.models import Failure, Interrupted, Job, Origin, Outcome, Result, Status, StoreName
from outhaul.outbox.jobs import cancel, requeue
from tests.contract.outboxes import DENIED, SLOW_DOWN, STORED, MigratedOutbox, settle
from tests.contract.scripted_worker import SLOW_RULES, TRIES, ScriptedWorker

_WORKERS = ("a", "b", "c")
_ENDED = {Status.DONE, Status.FAILED, Status.CANCELLED}
workers = st.sampled_from(_WORKERS)
#: Mostly the first: few stories go far if every event takes another job.
picks = st.just(0) | st.integers(0, 100)

#: What attempts come to in one story: a mixture, or an outage from end to end.
WEATHERS: list[list[Result]] = [
    [
        STORED,
        SLOW_DOWN,
        DENIED,
        Failure("SOURCE_MISSING", "no such file", Origin.SOURCE),
        Interrupted(Outcome.INTERRUPTED, "given back at shutdown"),
    ],
    [SLOW_DOWN],
    [SLOW_DOWN, STORED],
    [SLOW_DOWN, DENIED],
]


@dataclass
class Known:
    """What a job must be like, by all that was done to it."""

    fence: int = 0
    owner: str | None = None
    expired: bool = False
    lives: int = 1


class OutboxMachine(RuleBasedStateMachine):
    """Clients insert; three daemons claim, work, crash, hang and rescue; an operator steers."""

    def __init__(self, outbox: MigratedOutbox) -> None:
        super().__init__()
        self.outbox = outbox
        for table in ("upload_attempts", "upload_daemons", "upload_outbox"):
            outbox.execute(f"DELETE FROM {table}")
        self.known: dict[int, Known] = {}
        self.lives: dict[tuple[int, int], int] = {}
        self.held: list[tuple[str, Job]] = []
        self.forgiven: set[tuple[int, int]] = set()
        self.history: dict[tuple[int, int], dict[str, Any]] = {}
        self.script = ScriptedWorker()
        self.weather = WEATHERS[0]

    @initialize(weather=st.sampled_from(WEATHERS))
    def begin(self, weather: list[Result]) -> None:
        """One job, and how attempts end in this story."""
        self.weather = weather
        self.insert(5, inline=True)

    # --- clients ---

    @precondition(lambda self: len(self.known) < 5)
    @rule(priority=st.sampled_from([0, 5]), inline=st.booleans())
    def insert(self, priority: int, *, inline: bool) -> None:
        """A client inserts."""
        content = {"payload": b"x"} if inline else {}
        self.known[self.outbox.insert(priority=priority, **content)] = Known()

    # --- daemons ---

    @rule(worker=workers, limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        """A daemon claims what is due, and never a suspect."""
        for job in self.outbox.claim(worker, limit):
            assert job.crash_count == 0
            self._claimed(worker, job)

    @rule(worker=workers)
    def claim_suspect(self, worker: str) -> None:
        """A daemon claims one job that a crash has touched."""
        job = self.outbox.daemon(worker).claim_suspect()
        if isinstance(job, Job):
            assert job.crash_count > 0
            self._claimed(worker, job)

    def _claimed(self, worker: str, job: Job) -> None:
        known = self.known[job.id]
        assert known.owner is None
        assert job.fence == known.fence + 1
        known.fence, known.owner, known.expired = job.fence, worker, False
        self.lives[job.id, job.fence] = known.lives
        self.held.append((worker, job))

    @precondition(lambda self: self.held)
    @rule(pick=picks, luck=picks)
    def work(self, pick: int, luck: int) -> None:
        """Upload and settle: a job that is still ours, or one that was lost long ago."""
        worker, job = self.held[pick % len(self.held)]
        known, before = self.known[job.id], self.outbox.job(job.id)
        settlement = self.script.process(job, self.weather[luck % len(self.weather)])
        owned = settle(self.outbox.daemon(worker), settlement)
        if self._owns(worker, job):
            assert owned == {job.id}
            known.owner = None
        else:
            assert owned == set()
            assert self.outbox.job(job.id) == before

    @precondition(lambda self: self.held)
    @rule(pick=picks, uploading=st.booleans())
    def crash(self, pick: int, *, uploading: bool) -> None:
        """The process dies or hangs with a job in hand, begun or not, until its lease is over."""
        worker, job = self.held[pick % len(self.held)]
        if not self._owns(worker, job):
            return
        if uploading:
            self.script.process(job, STORED)
        self.outbox.expire(job.id)
        self.known[job.id].expired = True

    @rule(worker=workers)
    def beat(self, worker: str) -> None:
        """A daemon says that it lives."""
        self.outbox.daemon(worker).beat(1)

    @rule(worker=workers)
    def fall_silent(self, worker: str) -> None:
        """A daemon is not heard of any more."""
        self.outbox.daemon(worker).leave()

    @rule(worker=workers)
    def renew(self, worker: str) -> None:
        """A daemon renews what it holds, and what it takes for its own."""
        held = {job.id: job.fence for owner, job in self.held if owner == worker}
        kept = self.outbox.daemon(worker).renew(held)
        assert kept == self._owned_by(worker)
        for job_id in kept:
            self.known[job_id].expired = False

    @rule(worker=workers)
    def rescue(self, worker: str) -> None:
        """A daemon takes back what others lost: all of it, and nothing else."""
        mine = self._owned_by(worker)
        lost = {i for i, known in self.known.items() if known.owner and known.expired} - mine
        before = {job_id: self.outbox.job(job_id) for job_id in lost}
        found = self.outbox.daemon(worker).rescue(mine)
        assert {back.job_id for back in found} == lost
        for back in found:
            self._rescued(back.job_id, before[back.job_id]["crash_count"], back.crash_count)

    def _rescued(self, job_id: int, crashes_before: int, crashes: int) -> None:
        known = self.known[job_id]
        if crashes == crashes_before:  # its owner lives: the attempt does not count
            self.script.forget(job_id, known.fence)
        elif crashes == 1:
            self.forgiven.add((job_id, known.fence))
        known.fence, known.owner, known.expired = known.fence + 1, None, False

    def _owns(self, worker: str, job: Job) -> bool:
        known = self.known[job.id]
        return (known.owner, known.fence) == (worker, job.fence)

    def _owned_by(self, worker: str) -> set[int]:
        return {job_id for job_id, known in self.known.items() if known.owner == worker}

    # --- usual rounds, each in one step: else few stories get far ---

    @precondition(lambda self: self.known)
    @rule(pick=picks, worker=workers, luck=picks)
    def try_once_more(self, pick: int, worker: str, luck: int) -> None:
        """A wait is over, the job is claimed and its attempt settled."""
        if (held := self._claimed_when_due(pick, worker)) is not None:
            self.work(held, luck)

    @precondition(lambda self: self.known)
    @rule(pick=picks, worker=workers)
    def crash_once_more(self, pick: int, worker: str) -> None:
        """A wait is over, the job is claimed, its daemon dies, another one rescues."""
        if (held := self._claimed_when_due(pick, worker)) is not None:
            self.crash(held, uploading=True)
            self.fall_silent(worker)
            self.rescue(_WORKERS[_WORKERS.index(worker) - 1])

    def _claimed_when_due(self, pick: int, worker: str) -> int | None:
        self.let_time_pass(pick)
        self.claim(worker, len(self.known))
        self.claim_suspect(worker)
        job_id = self._any(pick)
        mine = [at for at, (_, job) in enumerate(self.held) if job.id == job_id]
        return mine[-1] if mine else None

    # --- time and operators ---

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def let_time_pass(self, pick: int) -> None:
        """A wait is over."""
        self.outbox.set_due(self._any(pick))

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        """An operator cancels."""
        job_id = self._any(pick)
        allowed = self.outbox.job(job_id)["status"] in {Status.PENDING, Status.FAILED}
        assert cancel(self.outbox.engine, [job_id]) == ([job_id] if allowed else [])
        self.known[job_id].fence += allowed

    @precondition(lambda self: self.known)
    @rule(pick=picks)
    def requeue(self, pick: int) -> None:
        """An operator has it done again: a new life."""
        job_id = self._any(pick)
        allowed = self.outbox.job(job_id)["status"] in {Status.FAILED, Status.CANCELLED}
        assert requeue(self.outbox.engine, [job_id]) == ([job_id] if allowed else [])
        self.known[job_id].fence += allowed
        self.known[job_id].lives += allowed

    def _any(self, pick: int) -> int:
        return list(self.known)[pick % len(self.known)]

    # --- promises ---

    @invariant()
    def promises_are_kept(self) -> None:
        """What must hold after every event."""
        rows = self.outbox.jobs()
        assert {row["id"] for row in rows} == self.known.keys()
        for row in rows:
            self._is_owned_as_known(row)
            self._is_done_only_with_proof(row)
            assert min(row[f"{store}_attempts"] for store in StoreName) >= 0
        self._history_only_grows()
        self._no_store_is_asked_too_often()

    def _is_owned_as_known(self, row: dict[str, Any]) -> None:
        known = self.known[row["id"]]
        assert (row["fence"], row["claimed_by"]) == (known.fence, known.owner)
        running = row["status"] == Status.RUNNING
        assert running is (row["claimed_by"] is not None)
        assert running is (row["lease_expires_at"] is not None)

    def _is_done_only_with_proof(self, row: dict[str, Any]) -> None:
        if row["status"] == Status.DONE:
            assert row["storage_type"] in {*StoreName}
            assert (row["sha256"], row["payload"]) == (STORED.pin.sha256, None)
        else:
            assert row["storage_type"] is None
        assert (row["status"] in _ENDED) is (row["completed_at"] is not None)

    def _history_only_grows(self) -> None:
        history = {(row["job_id"], row["fence"]): row for row in self.outbox.attempts()}
        assert {claim: history.get(claim) for claim in self.history} == self.history
        assert history.keys() <= self.lives.keys()
        self.history = history

    def _no_store_is_asked_too_often(self) -> None:
        charged = Counter(
            (job_id, self.lives[job_id, fence], store)
            for job_id, fence, store in self.script.opened
            if (job_id, fence) not in self.forgiven
        )
        forgiven = Counter((job_id, self.lives[job_id, fence]) for job_id, fence in self.forgiven)
        assert max(charged.values(), default=0) <= TRIES
        assert max(forgiven.values(), default=0) <= 1

    def teardown(self) -> None:
        """However it stands, once everybody is well again every job comes to an end."""
        for _ in range(2 * TRIES * len(SLOW_RULES.chain)):
            if {row["status"] for row in self.outbox.jobs()} <= _ENDED:
                return
            self.outbox.expire(*(i for i, known in self.known.items() if known.owner))
            for known in self.known.values():
                known.expired = known.owner is not None
            self.fall_silent("a")
            for worker in _WORKERS:
                self.rescue(worker)
            self.outbox.set_due(*self.known)
            self.claim("a", len(self.known) + 1)
            self.claim_suspect("a")
            for worker, job in self.held:
                if self._owns(worker, job):
                    self._finish(worker, job)
        raise AssertionError(self.outbox.jobs())

    def _finish(self, worker: str, job: Job) -> None:
        settlement = self.script.process(job, STORED)
        assert settle(self.outbox.daemon(worker), settlement) == {job.id}
        self.known[job.id].owner = None
