"""Draws the results: `python -m bench.plot results.json`, where matplotlib is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

OURS, THEIRS, LIMIT, MISSED = "#0b6e4f", "#9aa5b1", "#c9b458", "#b3392f"

#: The comparisons, each in a panel of its own.
_PANELS = (
    "noop postgresql",
    "noop mariadb",
    "noop sqlite",
    "small files, S3",
    "small files, OSS",
    "large file, S3",
)


def _colour(name: str) -> str:
    if name.startswith("outhaul"):
        return OURS
    return LIMIT if name.startswith(("limit", "trial")) else THEIRS


def _compare(axes: Axes, part: str, figures: list[dict[str, Any]]) -> None:
    """Medians as bars, runs as dots."""
    shown = sorted(figures, key=lambda figure: float(figure["median"]))
    names = [figure["name"] for figure in shown]
    axes.barh(
        names, [figure["median"] for figure in shown], color=[_colour(name) for name in names]
    )
    for figure in shown:
        axes.plot(figure["runs"], [figure["name"]] * len(figure["runs"]), "k.", markersize=3)
    axes.set_title(f"{part}, {shown[0]['unit']}", fontsize=9, loc="left")
    axes.tick_params(labelsize=7)


def _judge(axes: Axes, verdicts: list[dict[str, Any]]) -> None:
    """How much of each bar is reached; 1 is the bar, on either side of which less is worse."""
    judged = [verdict for verdict in verdicts if "ratio" in verdict and verdict["bar"]]
    judged.reverse()
    names = [verdict["what"] for verdict in judged]
    reached = [
        verdict["bar"] / verdict["ratio"]
        if verdict["at_most"]
        else verdict["ratio"] / verdict["bar"]
        for verdict in judged
    ]
    axes.barh(names, reached, color=[OURS if share >= 1 else MISSED for share in reached])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_title("reached / bar (1 = the bar)", fontsize=9, loc="left")
    axes.tick_params(labelsize=7)


def draw(results: Path) -> None:
    """An SVG and a PNG beside the JSON."""
    document = json.loads(results.read_text())
    figures = [figure for figure in document["figures"] if "median" in figure]
    parts = {
        part: [figure for figure in figures if figure["part"] == part]
        for part in _PANELS
        if any(figure["part"] == part for figure in figures)
    }
    rows = -(-len(parts) // 2) + 1
    sheet = plt.figure(figsize=(13, 3 * rows + 1), layout="constrained")
    grid = sheet.add_gridspec(rows, 2)
    for place, (part, shown) in enumerate(parts.items()):
        _compare(sheet.add_subplot(grid[place // 2, place % 2]), part, shown)
    _judge(sheet.add_subplot(grid[rows - 1, :]), document["bars"])
    machine = document["machine"]
    sheet.suptitle(f"outhaul, {document['scale']} run: {machine['cores']} cores, {machine['cpu']}")
    for kind in ("svg", "png"):
        sheet.savefig(results.with_suffix(f".{kind}"), dpi=120)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
