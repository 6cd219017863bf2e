from __future__ import annotations

import threading
import time

import pytest

from outhaul.pace import MAX_PREFETCH, PREFETCH_SECONDS, Pace, window


@pytest.mark.parametrize(
    ("workers", "per_second", "held"),
    [
        (8, 0.0, 8),
        (8, 0.4, 8),
        (8, 50.0, 8 + int(50 * PREFETCH_SECONDS)),
        (1, 10.0, 1 + int(10 * PREFETCH_SECONDS)),
        (8, 1e9, 8 + MAX_PREFETCH),
    ],
)
def test_the_window_is_what_gets_done_soon(workers: int, per_second: float, held: int) -> None:
    """One job per worker, and what is finished in about two seconds, within a limit."""

    assert window(workers, per_second) == held


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """A pace whose measuring began at 1,000 s."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    return Pace()


def test_the_pace_is_counted_over_a_span(started: Pace) -> None:
    """Jobs per second since the last measurement; none are counted twice."""

    for _ in range(30):
        started.count()

    assert started.per_second(1002.0) == 15.0
    assert started.per_second(1004.0) == 0.0


def test_between_spans_the_last_measurement_holds(started: Pace) -> None:
    """A pace is not guessed from a moment: until a span is over, the last one is told."""

    started.count()
    assert started.per_second(1000.05) == 0.0

    assert started.per_second(1001.0) == 1.0
    started.count()
    assert started.per_second(1001.05) == 1.0
    assert started.per_second(1003.0) == 0.5


def test_no_job_is_missed_when_many_finish_at_once(started: Pace) -> None:
    """Threads count side by side without losing any."""

    def finish_many() -> None:
        for _ in range(1000):
            started.count()

    threads = [threading.Thread(target=finish_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert started.per_second(1001.0) == 4000.0
