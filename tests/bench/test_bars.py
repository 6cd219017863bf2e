"""The verdicts of the benchmark, on figures made by hand."""

from __future__ import annotations

import pytest

from bench.bars import Bar, Term, bars
from bench.figures import Figure, PeerError, Sample, interleaved
from bench.scale import FULL, QUICK


def _figure(name: str, *values: float, **beside: float) -> Figure:
    return Figure("part", name, "1/s", [Sample(value, beside) for value in values])


@pytest.mark.parametrize(
    ("ours", "verdict"), [(50.0, "missed"), (60.0, "met"), (99.0, "met"), (100.0, "goal")]
)
def test_a_ratio_is_judged_by_bar_and_goal(ours: float, verdict: str) -> None:
    """Medians are compared with the best of the others."""

    figures = [
        _figure("ours", ours - 1, ours, ours + 9),
        _figure("theirs, badly set", 10, 10, 10),
        _figure("theirs, well set", 90, 100, 110),
    ]
    bar = Bar("what", Term("part", ("ours",)), Term("part", ("theirs",)), 0.6, 1.0)
    told = bar.judge(figures)
    assert (told["verdict"], told["their_best"]) == (verdict, "theirs, well set")


def test_what_must_be_small_is_judged_the_other_way() -> None:
    """A limit is met from below, also on what was seen beside the value."""

    term = Term("part", ("ours",), "p99")
    bar = Bar("what", term, None, 20.0, at_most=True)
    assert bar.judge([_figure("ours", 1, p99=19)])["verdict"] == "met"
    assert bar.judge([_figure("ours", 1, p99=21)])["verdict"] == "missed"


def test_what_is_missing_is_said() -> None:
    """A bar without figures is neither met nor missed."""

    for scale in (QUICK, FULL):
        assert {bar.judge([])["verdict"] for bar in bars(scale)} == {"not measured"}


def test_contenders_take_turns() -> None:
    """Rounds go over all contenders; one that cannot be run is left out, and said so."""

    order: list[str] = []

    def run(name: str) -> Sample:
        order.append(name)
        if name == "broken":
            raise PeerError("no such program")
        return Sample(float(len(order)))

    contenders = {name: lambda name=name: run(name) for name in ("a", "broken", "b")}
    figures = interleaved("part", "1/s", 3, contenders)
    assert order == ["a", "broken", "b", "a", "b", "a", "b"]
    assert [figure.error for figure in figures] == [None, "no such program", None]
    assert [len(figure.samples) for figure in figures] == [3, 0, 3]
