"""How much is measured: one table of sizes for a quick look, one for figures to stand by."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Scale:
    """Every size and repetition of a run. No part begins after `latest_start` seconds.

    Job counts are such that a run of each lasts a second or more at full scale: the start of
    a process, and the slow beginning of a pipeline, must not decide.
    """

    quick: bool
    latest_start: float
    rounds: int
    noop_jobs: int
    procrastinate_jobs: int
    pgqueuer_jobs: int
    graphile_jobs: int
    mariadb_jobs: int
    sqlite_jobs: int
    files: int
    sdk_files: int
    real_files: int
    large_bytes: int
    real_large_bytes: int
    wakeups: int
    producer_seconds: float
    finished: tuple[int, ...]
    other_finished: tuple[int, ...]
    waiting: int
    snapshot_before_seconds: float
    snapshot_seconds: float
    sizes: tuple[int, ...]
    slots: tuple[int, ...]
    latencies_ms: tuple[int, ...]
    growth_rounds: int
    idle_seconds: float
    starts: int


FULL = Scale(
    quick=False,
    latest_start=3600.0,
    rounds=3,
    noop_jobs=60_000,
    procrastinate_jobs=1_000,
    pgqueuer_jobs=10_000,
    graphile_jobs=50_000,
    mariadb_jobs=15_000,
    sqlite_jobs=40_000,
    files=6_000,
    sdk_files=1_500,
    real_files=1_000,
    large_bytes=GIB,
    real_large_bytes=256 * MIB,
    wakeups=200,
    producer_seconds=3.0,
    finished=(0, 100_000, 1_000_000, 3_000_000),
    other_finished=(0, 100_000, 500_000),
    waiting=100_000,
    snapshot_before_seconds=20.0,
    snapshot_seconds=180.0,
    sizes=(0, 16 * KIB, MIB, 16 * MIB, 256 * MIB, GIB, 4 * GIB),
    slots=(1, 2, 4, 8, 16, 32, 64),
    latencies_ms=(0, 10, 50, 200),
    growth_rounds=3,
    idle_seconds=10.0,
    starts=5,
)

QUICK = Scale(
    quick=True,
    latest_start=38.0,
    rounds=3,
    noop_jobs=8_000,
    procrastinate_jobs=60,
    pgqueuer_jobs=1_500,
    graphile_jobs=6_000,
    mariadb_jobs=1_500,
    sqlite_jobs=4_000,
    files=800,
    sdk_files=120,
    real_files=0,
    large_bytes=128 * MIB,
    real_large_bytes=0,
    wakeups=20,
    producer_seconds=0.5,
    finished=(0, 20_000),
    other_finished=(),
    waiting=2_000,
    snapshot_before_seconds=0.0,
    snapshot_seconds=0.0,
    sizes=(),
    slots=(),
    latencies_ms=(50,),
    growth_rounds=1,
    idle_seconds=2.0,
    starts=1,
)
