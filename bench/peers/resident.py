"""A peer that stays: it answers each order on its input with a line of what that took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Clock:
    """Wall and CPU seconds of this process between two moments."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time what happens meanwhile: the work alone, not its preparation."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu


def serve(orders: Mapping[str, Callable[..., None]]) -> None:
    """Say `ready`, then carry out orders such as `{"what": "small", "threads": 8}` to the end.

    An order is a function of a clock and of what else the line holds.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        clock = Clock()
        try:
            orders[order.pop("what")](clock, **order)
        except Exception as error:  # noqa: BLE001 - whatever it is, the benchmark must hear it
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        else:
            answer = {"seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds}
            print(json.dumps(answer), flush=True)


def files(directory: str, count: int) -> list[Path]:
    """The first files of a directory."""
    return sorted(Path(directory).iterdir())[:count]


def in_threads(put: Callable[[Path], Any], paths: Sequence[Path], threads: int) -> None:
    """Put each file, so many at a time; the first failure is raised."""
    if threads == 1:
        for path in paths:
            put(path)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(put, paths):
            pass
