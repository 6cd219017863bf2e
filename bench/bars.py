"""What the figures must show, as ratios within one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Figure
from bench.scale import Scale


@dataclass(frozen=True, slots=True)
class Term:
    """The best of the figures of a part whose names begin so: everybody at their best.

    Args:
        part: of the benchmark.
        names: beginnings of names.
        beside: what was seen beside the value, instead of the value.
    """

    part: str
    names: tuple[str, ...]
    beside: str | None = None

    def best(self, figures: Iterable[Figure]) -> tuple[float, str] | None:
        """Value and name; None if nothing of it was measured."""
        values = [
            (value, figure.name)
            for figure in figures
            if figure.part == self.part and figure.samples and figure.name.startswith(self.names)
            if (value := self._value(figure)) is not None
        ]
        return max(values, default=None)

    def _value(self, figure: Figure) -> float | None:
        return figure.value if self.beside is None else figure.beside.get(self.beside)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: `ours`, divided by `theirs` if that is given, against a number.

    `at_most` says that less is better. Without a `bar` the ratio is for information.
    """

    what: str
    ours: Term
    theirs: Term | None
    bar: float | None
    goal: float | None = None
    at_most: bool = False

    def judge(self, figures: Sequence[Figure]) -> dict[str, Any]:
        """The verdict, as JSON has it."""
        ours = self.ours.best(figures)
        theirs = self.theirs.best(figures) if self.theirs else None
        head = {"what": self.what, "bar": self.bar, "goal": self.goal, "at_most": self.at_most}
        if ours is None or (self.theirs and theirs is None):
            return head | {"verdict": "not measured"}
        ratio = ours[0] / theirs[0] if theirs else ours[0]
        return head | {
            "ours": ours[0],
            "our_best": ours[1],
            "theirs": theirs[0] if theirs else None,
            "their_best": theirs[1] if theirs else None,
            "ratio": ratio,
            "verdict": self._verdict(ratio),
        }

    def _verdict(self, ratio: float) -> str:
        if self.bar is None:
            return "-"
        if not self._reaches(ratio, self.bar):
            return "missed"
        return "met" if self.goal is None or not self._reaches(ratio, self.goal) else "goal"

    def _reaches(self, ratio: float, bar: float) -> bool:
        return ratio <= bar if self.at_most else ratio >= bar


#: The rows that the bar of the claim speaks of.
_MANY_ROWS = 1_000_000


def bars(scale: Scale) -> list[Bar]:
    """All of them. A quick run compares with the most rows that it has."""
    return [*_noop(), *_rows(scale), *_small(), *_large(), *_waiting()]


def _noop() -> list[Bar]:
    part = "noop postgresql"
    ours = Term(part, ("outhaul",))

    def against(name: str, bar: float, goal: float | None = None) -> Bar:
        return Bar(f"no-op jobs against {name}", ours, Term(part, (name,)), bar, goal)

    return [
        against("graphile-worker", 0.6, 1.0),
        against("pgqueuer", 2.0),
        against("procrastinate", 50.0),
        against("limit", 0.7),
        *(
            Bar(
                f"no-op jobs on {name} against the trial",
                Term(f"noop {name}", ("outhaul",)),
                Term(f"noop {name}", ("trial",)),
                0.8,
            )
            for name in ("mariadb", "sqlite")
        ),
    ]


def _rows(scale: Scale) -> list[Bar]:
    most = _MANY_ROWS if _MANY_ROWS in scale.finished else scale.finished[-1]
    empty = Term("claim, postgresql", ("0 finished",))

    def grown(name: str) -> Bar:
        return Bar(f"claim with {name}", Term(empty.part, (name,)), empty, 1.2, at_most=True)

    return [
        grown(f"{most:,} finished rows"),
        grown(f"{scale.waiting:,} waiting rows"),
        Bar(
            "rate under an old snapshot",
            Term("snapshot", ("held",)),
            Term("snapshot", ("before",)),
            0.9,
        ),
    ]


def _small() -> list[Bar]:
    part, oss = "small files, S3", "small files, OSS"
    ours = Term(part, ("outhaul",))
    return [
        Bar("16 KiB files, S3, against boto3", ours, Term(part, ("boto3",)), 4.0),
        Bar(
            "16 KiB files, S3, against rclone and s5cmd",
            ours,
            Term(part, ("rclone", "s5cmd")),
            0.75,
            1.0,
        ),
        Bar("16 KiB files, S3, against obstore", ours, Term(part, ("obstore",)), None),
        Bar("16 KiB files, OSS, against oss2", Term(oss, ("outhaul",)), Term(oss, ("oss2",)), 4.0),
    ]


def _large() -> list[Bar]:
    part = "large file, S3"
    ours = Term(part, ("outhaul",))

    def against(name: str, bar: float, goal: float | None = None) -> Bar:
        return Bar(f"large file against {name}", ours, Term(part, (name,)), bar, goal)

    return [
        against("boto3", 1.0),
        against("obstore", 1.0),
        against("s5cmd", 2.0),
        against("rclone", 2.0),
        against("minio-py", 0.7, 0.9),
        Bar(
            "memory for a large file, MiB",
            Term(part, ("outhaul",), "peak_mib"),
            None,
            160.0,
            at_most=True,
        ),
    ]


def _waiting() -> list[Bar]:
    def latency(how: str, bar: float) -> Bar:
        ours = Term("wake-up", (how,), "p99")
        return Bar(f"wake-up by {how}, p99 in ms", ours, None, bar, at_most=True)

    crowd = "8 producers"
    return [
        Bar(
            "share of 64 / 50 ms that 64 slots reach",
            Term("latency, 64 slots", ("50 ms",), "share_of_possible"),
            None,
            0.9,
        ),
        latency("NOTIFY", 20.0),
        latency("polling", 130.0),
        Bar("idle, % of a core", Term("idle", ("postgresql",)), None, 0.7, at_most=True),
        Bar(
            "what NOTIFY leaves of 8 producers' rate",
            Term("producers", (f"{crowd}, NOTIFY",)),
            Term("producers", (f"{crowd}, no NOTIFY",)),
            None,
        ),
    ]
