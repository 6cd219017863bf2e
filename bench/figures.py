"""What was measured: samples of interleaved runs, and their medians."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class PeerError(Exception):
    """A peer could not be run; the message says why. The others go on without it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: its value in its figure's unit, and what else was seen, by name."""

    value: float
    beside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the results. `error` instead of samples if it could not be measured."""

    part: str
    name: str
    unit: str
    samples: Sequence[Sample]
    error: str | None = None

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(sample.value for sample in self.samples)

    @property
    def beside(self) -> dict[str, float]:
        """The median of each thing that was seen beside the value."""
        names = {name: None for sample in self.samples for name in sample.beside}
        return {
            name: statistics.median(
                sample.beside[name] for sample in self.samples if name in sample.beside
            )
            for name in names
        }

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        head = {"part": self.part, "name": self.name, "unit": self.unit}
        if self.error is not None:
            return head | {"error": self.error}
        runs = [sample.value for sample in self.samples]
        return head | {"median": self.value, "runs": runs, **self.beside}


Run = Callable[[], Sample]
Contenders = dict[str, Run]


def interleaved(part: str, unit: str, rounds: int, contenders: Mapping[str, Run]) -> list[Figure]:
    """Run each contender once per round, so that a noisy minute hits all of them alike."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    errors: dict[str, str] = {}
    for number in range(rounds):
        for name, run in contenders.items():
            if name in errors:
                continue
            say(f"{part}: {name} ({number + 1}/{rounds})")
            try:
                samples[name].append(run())
            except PeerError as error:
                errors[name] = str(error)
                say(f"{part}: {name} could not be run: {error}", keep=True)
    return [Figure(part, name, unit, samples[name], errors.get(name)) for name in contenders]


_began = time.monotonic()


def elapsed() -> float:
    """Seconds since the benchmark began."""
    return time.monotonic() - _began


def say(words: str, *, keep: bool = False) -> None:
    """Tell the one who waits what is going on."""
    line = f"{elapsed():6.1f} s  {words}"
    if sys.stderr.isatty() and not keep:
        sys.stderr.write(f"\r\033[K{line[:100]}")
    else:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
