"""Plots as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

from .rounds import Rounds  # noqa: E402
from .rows import RATIOS, Row  # noqa: E402
from .systems import System  # noqa: E402

#: nerd, others, what is good, what is not.
INK, GREY, GREEN, RED = "#1b6ca8", "#9aa5b1", "#2f855a", "#c53030"
pyplot.rcParams.update({"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})


def _bars(path: Path, title: str, names: Sequence[str], values: Sequence[list[float]], ours: Sequence[bool], form: str) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 0.42 * len(names) + 1), layout="constrained")
    middles = [median(group) for group in values]
    spread = [[m - min(g) for m, g in zip(middles, values)], [max(g) - m for m, g in zip(middles, values)]]
    axes.barh(names, middles, xerr=spread, color=[INK if own else GREY for own in ours], error_kw={"lw": 1})
    for row, (middle, group) in enumerate(zip(middles, values)):
        axes.annotate(form.format(middle), (max(group), row), xytext=(4, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_title(title, loc="left")
    figure.savefig(path)
    pyplot.close(figure)


def systems(out: Path, known: dict[str, System], rounds: Rounds) -> None:
    """`throughput.svg` and `memory.svg`: medians, with lines from the lowest to the highest."""
    names = sorted(rounds.outcomes, key=rounds.speed, reverse=True)
    titles, ours = [known[name].title for name in names], [known[name].title.startswith("nerd") for name in names]
    speeds = [[outcome.words_per_second for outcome in rounds.outcomes[name]] for name in names]
    memory = [[outcome.peak_rss_bytes / 1e6 for outcome in rounds.outcomes[name]] for name in names]
    _bars(out / "throughput.svg", "words per second, both cores", titles, speeds, ours, "{:,.0f}")
    _bars(out / "memory.svg", "peak resident memory, MB", titles, memory, ours, "{:,.0f}")


def ratios(out: Path, rows: list[Row], rounds: Rounds) -> None:
    """`ratios.svg`: each round's ratio over its target; right of the line is met."""
    shown = [(row, rounds.ratios(*RATIOS[row.name])) for row in rows if row.name in RATIOS]
    shown = [(row, values) for row, values in shown if values]
    if not shown:
        return
    figure, axes = pyplot.subplots(figsize=(7, 0.42 * len(shown) + 1.1), layout="constrained")
    for place, (row, values) in enumerate(shown):
        over = [value / row.target for value in values]
        axes.scatter(over, [place] * len(over), s=18, color=GREEN if median(over) >= 1 else RED)
    axes.axvline(1, color="black", lw=1)
    axes.set_yticks(range(len(shown)), [f"{row.title} (≥ {row.target:g}×)" for row, _ in shown])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title("ratio of each round over its target", loc="left")
    figure.savefig(out / "ratios.svg")
    pyplot.close(figure)
