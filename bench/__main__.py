"""`make bench`, or `python -m bench`: everything side by side, in one run."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support.mariadb import MariaDbServer
from tests.support.postgresql import PostgresServer

from bench import (
    files,
    growth,
    idle,
    machine,
    noop,
    report,
    sink,
    snapshot,
    startup,
    wakeup,
)
from bench.databases import mariadb, postgresql
from bench.figures import Figure, elapsed, say
from bench.scale import FULL, QUICK, Scale

RESULTS = Path(__file__).parent / "results" / "latest.json"

Part = Callable[[PostgresServer, MariaDbServer, Scale], list[Figure]]

#: In this order: the comparisons first, while nothing has warmed up or filled the disk.
PARTS: dict[str, Part] = {
    "noop": noop.measure,
    "files": lambda postgres, _, scale: files.measure(postgres, scale),
    "wakeup": lambda postgres, _, scale: wakeup.measure(postgres, scale),
    "idle": idle.measure,
    "startup": lambda postgres, _, scale: startup.measure(postgres, scale),
    "growth": growth.measure,
    "snapshot": lambda postgres, _, scale: snapshot.measure(postgres, scale),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: ends within 45 s")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by comma")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON to write")
    parser.add_argument("--strict", action="store_true", help="fail if a bar is missed")
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",")) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return arguments


def _require() -> None:
    missing = [
        command
        for command in (
            PostgresServer.missing(),
            MariaDbServer.missing(),
            None if os.access("/usr/bin/cc", os.X_OK) else "apt-get install --yes gcc libc6-dev",
        )
        if command
    ]
    if missing:
        sys.exit("the benchmark needs more than is here:\n  " + "\n  ".join(missing))


def _measure(only: list[str], scale: Scale) -> tuple[list[Figure], dict[str, str]]:
    """Every part; one that fails does not take the others with it."""
    figures: list[Figure] = []
    errors: dict[str, str] = {}
    with ExitStack() as stack:
        say("starting the servers")
        postgres = stack.enter_context(postgresql())
        maria = stack.enter_context(mariadb())
        for name in only:
            if elapsed() > scale.latest_start:
                say(f"{name} is left out: the time is up", keep=True)
                continue
            try:
                figures += PARTS[name](postgres, maria, scale)
            except Exception as error:  # noqa: BLE001 - said, recorded, and the exit code is 1
                errors[name] = f"{type(error).__name__}: {error}"
                say(f"{name} failed: {errors[name]}", keep=True)
    return figures, errors


def main() -> int:
    """Measure, write, print. 1 if a part failed, or if a bar is missed and that matters."""
    arguments = _arguments()
    _require()
    begun, ticks = time.monotonic(), machine.cpu_time()
    scale = QUICK if arguments.quick else FULL
    described = machine.describe()
    sink.build()
    figures, errors = _measure(arguments.only.split(","), scale)
    described |= {
        "seconds": round(time.monotonic() - begun, 1),
        "stolen_share": round(machine.steal_share(ticks), 4),
    }
    verdicts = report.write(arguments.results, scale, described, figures, errors)
    say(f"written to {arguments.results}", keep=True)
    print(report.table(figures, verdicts))
    missed = any(verdict["verdict"] == "missed" for verdict in verdicts)
    return 1 if errors or (arguments.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
