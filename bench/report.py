"""The results: JSON for machines, a table for people, a plot for both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import fleet
from bench.bars import bars
from bench.figures import Figure, say
from bench.scale import Scale

Verdicts = Sequence[Mapping[str, Any]]


def write(
    path: Path,
    scale: Scale,
    machine: Mapping[str, Any],
    figures: Sequence[Figure],
    errors: Mapping[str, str],
) -> Verdicts:
    """Write the JSON and the plots beside it; returns what the bars say."""
    verdicts = [bar.judge(figures) for bar in bars(scale)]
    document = {
        "scale": "quick" if scale.quick else "full",
        "machine": machine,
        "bars": verdicts,
        "figures": [figure.record() for figure in figures],
        "errors": errors,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    _plot(path)
    return verdicts


def _plot(path: Path) -> None:
    """By matplotlib, which only the peers' environment has."""
    done = subprocess.run(
        [str(fleet.PEER_PYTHON), "-m", "bench.plot", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        say(f"no plot: {done.stderr.strip().splitlines()[-1]}", keep=True)


def table(figures: Sequence[Figure], verdicts: Verdicts) -> str:
    """Every figure, then every bar."""
    return "\n".join([*_figure_lines(figures), "", *_bar_lines(verdicts)])


def _figure_lines(figures: Sequence[Figure]) -> list[str]:
    lines: list[str] = []
    part = None
    for figure in figures:
        if figure.part != part:
            part = figure.part
            lines += ["", f"{part} ({figure.unit}, median of {len(figure.samples)})"]
        lines.append(f"  {figure.name:44} {_outcome(figure)}")
    return lines


def _outcome(figure: Figure) -> str:
    if figure.error is not None:
        return f"not run: {figure.error}"
    runs = [sample.value for sample in figure.samples]
    beside = "  ".join(f"{name} {number(value)}" for name, value in figure.beside.items())
    return f"{number(figure.value):>10}  ({number(min(runs))} .. {number(max(runs))})  {beside}"


def _bar_lines(verdicts: Verdicts) -> list[str]:
    head = f"{'bars':46} {'ours':>10} {'theirs':>10} {'ratio':>8} {'bar':>8} {'goal':>6}  verdict"
    return [head, *(_bar_line(verdict) for verdict in verdicts)]


def _bar_line(verdict: Mapping[str, Any]) -> str:
    what, bar, goal = verdict["what"], verdict["bar"], verdict["goal"]
    sign = "<=" if verdict["at_most"] else ">="
    wanted = "-" if bar is None else f"{sign} {bar:g}"
    hoped = "-" if goal is None else f"{goal:g}"
    if "ratio" not in verdict:
        return f"{what:46} {'':10} {'':10} {'':8} {wanted:>8} {hoped:>6}  {verdict['verdict']}"
    theirs = "" if verdict["theirs"] is None else number(verdict["theirs"])
    who = f"  ({verdict['their_best']})" if verdict["their_best"] else ""
    return (
        f"{what:46} {number(verdict['ours']):>10} {theirs:>10} {verdict['ratio']:8.2f}"
        f" {wanted:>8} {hoped:>6}  {verdict['verdict']}{who}"
    )


def number(value: float) -> str:
    """Three or four digits: more would be noise."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004
