"""(a) Jobs per second when a job is nothing: what the record keeping alone costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from tests.support.mariadb import MariaDbServer
from tests.support.postgresql import PostgresServer
from tests.support.waiting import wait_for

from bench import fleet, limit, trial
from bench.databases import Ledger, empty_database, ledger, sqlite_ledger
from bench.figures import Contenders, Figure, PeerError, Sample, interleaved
from bench.fleet import Program
from bench.processes import Stopwatch
from bench.scale import Scale

_PATIENCE = 120.0


def measure(postgres: PostgresServer, mariadb: MariaDbServer, scale: Scale) -> list[Figure]:
    """All three databases. On each, both sides get the same server."""
    return [
        *_on_postgresql(postgres, scale),
        *_on_mariadb(mariadb, scale),
        *_on_sqlite(scale),
    ]


def _on_postgresql(server: PostgresServer, scale: Scale) -> list[Figure]:
    with ExitStack() as stack:
        book = stack.enter_context(ledger(server))
        processes = (2,) if scale.quick else (1, 2)
        contenders: Contenders = {
            **_outhaul(stack, book, scale.noop_jobs, processes),
            **_limits(book, scale),
            **_procrastinate(stack, server, scale),
            **_pgqueuer(stack, server, scale),
            **_graphile(stack, server, scale),
        }
        return interleaved("noop postgresql", "jobs/s", scale.rounds, contenders)


def _on_mariadb(server: MariaDbServer, scale: Scale) -> list[Figure]:
    with ExitStack() as stack:
        book = stack.enter_context(ledger(server))
        processes = (1,) if scale.quick else (1, 2)
        contenders: Contenders = {
            **_outhaul(stack, book, scale.mariadb_jobs, processes),
            "trial": partial(trial.mariadb, server, scale.mariadb_jobs),
        }
        return interleaved("noop mariadb", "jobs/s", scale.rounds, contenders)


def _on_sqlite(scale: Scale) -> list[Figure]:
    with ExitStack() as stack:
        book = stack.enter_context(sqlite_ledger())
        contenders: Contenders = {
            **_outhaul(stack, book, scale.sqlite_jobs, (1,)),
            "trial": partial(trial.sqlite, scale.sqlite_jobs),
        }
        return interleaved("noop sqlite", "jobs/s", scale.rounds, contenders)


def _outhaul(stack: ExitStack, book: Ledger, jobs: int, processes: tuple[int, ...]) -> Contenders:
    """The same processes in every round, as a daemon's stay; those not at work claim nothing."""
    programs = stack.enter_context(started(book.url, max(processes)))
    return {
        f"outhaul, {count} process{'es' * (count > 1)}": partial(
            _pipeline, programs[:count], book, jobs
        )
        for count in processes
    }


def _pipeline(programs: Sequence[Program], book: Ledger, jobs: int) -> Sample:
    """From the start of the claims until no job is left."""
    book.refill(jobs)
    watches = [Stopwatch(program.pid) for program in programs]
    for program in programs:
        program.write_line("go")
    wait_for(lambda: not book.unfinished(), _PATIENCE, "the jobs to be done")
    seconds, cpu = watches[0].seconds, sum(watch.cpu for watch in watches)
    for program in programs:
        program.write_line("stop")
        program.await_ready()
    if (done := book.count()) != jobs:
        raise AssertionError(f"{done} of {jobs} jobs are done")
    return Sample(jobs / seconds, {"cpu_us_per_job": cpu / jobs * 1e6})


@contextmanager
def started(url: str, processes: int) -> Iterator[list[Program]]:
    """Daemons that will do nothing, ready to begin."""
    with ExitStack() as stack:
        programs = [
            stack.enter_context(fleet.own_python("bench.subject", url)) for _ in range(processes)
        ]
        for program in programs:
            program.await_ready()
        yield programs


def _limits(book: Ledger, scale: Scale) -> Contenders:
    shapes = ((2, 500),) if scale.quick else ((1, 100), (1, 500), (2, 500), (4, 500))
    return {
        f"limit, {clients} connections, batches of {batch}": partial(
            limit.sample, book, scale.noop_jobs, batch, clients
        )
        for clients, batch in shapes
    }


def _procrastinate(stack: ExitStack, server: PostgresServer, scale: Scale) -> Contenders:
    peer = _Resident(stack, "procrastinate_queue", server)
    return {
        f"procrastinate, concurrency {count}": partial(
            peer.run, scale.procrastinate_jobs, concurrency=count
        )
        for count in ((10,) if scale.quick else (1, 10, 50))
    }


def _pgqueuer(stack: ExitStack, server: PostgresServer, scale: Scale) -> Contenders:
    peer = _Resident(stack, "pgqueuer_queue", server)
    few = scale.pgqueuer_jobs // 10
    shapes = {50: scale.pgqueuer_jobs}
    if not scale.quick:
        shapes = {1: few, 10: scale.pgqueuer_jobs, **shapes, 500: scale.pgqueuer_jobs}
    return {
        f"pgqueuer, batch {batch}": partial(peer.run, jobs, batch=batch)
        for batch, jobs in shapes.items()
    }


def _graphile(stack: ExitStack, server: PostgresServer, scale: Scale) -> Contenders:
    peer = _Resident(stack, "graphile", server)
    shapes = {"batching, concurrency 50": (50, True, scale.graphile_jobs)}
    if not scale.quick:
        few = scale.graphile_jobs // 10
        shapes |= {
            "batching, concurrency 10": (10, True, scale.graphile_jobs),
            "default, concurrency 10": (10, False, few),
            "default, concurrency 50": (50, False, few),
        }
    return {
        f"graphile-worker, {name}": partial(
            peer.run, jobs, concurrency=concurrency, batching=batching
        )
        for name, (concurrency, batching, jobs) in shapes.items()
    }


class _Resident:
    """A peer that is started when first needed, on a database of its own."""

    def __init__(self, stack: ExitStack, module: str, server: PostgresServer) -> None:
        self._stack, self._module, self._server = stack, module, server
        self._program: Program | None = None

    def run(self, jobs: int, **order: object) -> Sample:
        """Jobs per second, as the peer says."""
        if self._program is None:
            self._program = self._start()
        sample = self._program.measure(jobs, what="noop", jobs=jobs, **order)
        return Sample(sample.value, {"cpu_us_per_job": sample.beside["cpu_seconds"] / jobs * 1e6})

    def _start(self) -> Program:
        dsn = self._stack.enter_context(empty_database(self._server))
        try:
            program = self._stack.enter_context(self._command(dsn))
        except OSError as error:
            raise PeerError(str(error)) from error
        program.await_ready()
        return program

    def _command(self, dsn: str) -> Program:
        if self._module == "graphile":
            script = str(fleet.SOURCES / "peers" / "graphile_queue.mjs")
            return Program([fleet.node(), script, dsn, str(fleet.HOME / "npm")])
        return fleet.peer_python(f"bench.peers.{self._module}", dsn)
