"""What processes cost: CPU seconds and memory, read from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

#: Often enough to see a peak of a second's upload; each look costs a process about 0.1 ms.
_SAMPLE_SECONDS = 0.02


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a family, of its children that have ended too."""
    ticks = 0
    for member in family(pid):
        with suppress(OSError):
            # The name in parentheses may hold spaces.
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def running_seconds(pid: int) -> float:
    """As `cpu_seconds`, to the nanosecond, but only of threads that are still there."""
    spent = 0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").glob("*/schedstat"):
            with suppress(OSError):
                spent += int(task.read_text().split()[0])
    return spent / 1e9


def pss_bytes(pid: int) -> int:
    """Proportional set size: shared pages count by how many share them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Peak:
    """The highest memory of any one process of a family, as far as samples show."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.bytes = 0

    def watch(self) -> None:
        """Sample until told to stop."""
        while not self._over.is_set():
            self.bytes = max([self.bytes, *map(pss_bytes, family(self._pid))])
            self._over.wait(_SAMPLE_SECONDS)

    def stop(self) -> None:
        """Sample no more."""
        self._over.set()


@contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """Watch a family meanwhile."""
    peak = Peak(pid)
    thread = threading.Thread(target=peak.watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.stop()
        thread.join()


class Stopwatch:
    """Wall time and the CPU time of a family, between two moments.

    Args:
        pid: the head of the family, if its CPU time is asked for.
    """

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._cpu = cpu_seconds(pid) if pid else 0.0
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    @property
    def cpu(self) -> float:
        """CPU seconds since the beginning."""
        return cpu_seconds(self._pid) - self._cpu if self._pid else 0.0
