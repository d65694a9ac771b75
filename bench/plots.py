"""A run's plots as SVG, drawn by matplotlib: no script in the page, about 30 kB a plot, sharp at any size.

(plotly.js weighs 4.8 MB in each page, Bokeh 1.3 MB.)
"""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from hdrh.histogram import HdrHistogram
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2933", "#616e7c", "#e4e7eb"
COLOURS = {
    "accept": "#2563eb",
    "answer": "#0891b2",
    "client": "#7c3aed",
    "queue_wait": "#d97706",
    "scoring": "#059669",
    "submit_to_score": "#be123c",
}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
}
NINES = (0, 50, 90, 99, 99.9, 99.99)


def draw(run: Mapping[str, Any]) -> dict[str, str]:
    """Return heading → SVG, in the order of the page."""
    plots: list[tuple[str, Callable[[Mapping[str, Any], Figure], None], bool]] = [
        ("Latency by percentile", _percentiles, bool(run["latency_ms"])),
        ("The schedule beside what was achieved", _requests, True),
        ("Latency against time", _latency, run["counts"]["accepted"] > 0),
        ("Throughput and backlog", _backlog, "backlog_inputs" in run["timeline"]),
    ]
    return {heading: _svg(heading, plot, run) for heading, plot, has_data in plots if has_data}


def _percentiles(run: Mapping[str, Any], figure: Figure) -> None:
    axes = figure.subplots()
    for name, figures in run["latency_ms"].items():
        histogram = HdrHistogram.decode(figures["histogram"])
        points = 100 * (1 - np.logspace(0, -max(1, np.log10(figures["count"])), 200))
        values = [histogram.get_value_at_percentile(point) / 1000 for point in points]
        axes.plot(1 / (1 - points / 100), values, label=_label(name), color=COLOURS[name], linewidth=1.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1 / (1 - nine / 100) for nine in NINES], [f"{nine:g} %" for nine in NINES])
    axes.minorticks_off()
    _plain(axes, "y")
    axes.set_ylabel("ms")
    _legend(axes)


def _requests(run: Mapping[str, Any], figure: Figure) -> None:
    axes, time = figure.subplots(), run["timeline"]
    seconds = time["seconds"]
    axes.stairs(time["due_per_s"], [0, *seconds], fill=True, color=GRID, label="due by the schedule")
    for name, colour in (("accepted", "#2563eb"), ("refused", "#d97706"), ("failed", "#be123c")):
        rates = time[f"{name}_per_s"]
        if name == "accepted" or any(rates):
            axes.stairs(rates, [0, *seconds], label=name, color=colour, linewidth=1.5)
    axes.set_ylabel("requests/s")
    _time(axes, seconds)


def _latency(run: Mapping[str, Any], figure: Figure) -> None:
    axes, time = figure.subplots(), run["timeline"]
    for name, colour in (("p50", "#2563eb"), ("p99", "#be123c")):
        values = [np.nan if value is None else value for value in time[f"{name}_ms"]]
        axes.stairs(
            values, [0, *time["seconds"]], label=f"{name} of the answer", color=colour, linewidth=1.5, baseline=None
        )
    axes.set_yscale("log")
    _plain(axes, "y")
    axes.set_ylabel("ms, by the time at which it was due")
    _time(axes, time["seconds"])


def _backlog(run: Mapping[str, Any], figure: Figure) -> None:
    time = run["timeline"]
    above, below = figure.subplots(2, sharex=True)
    above.stairs(time["inputs_scored_per_s"], [0, *time["seconds"]], color="#059669", linewidth=1.5)
    above.set_ylabel("inputs scored/s")
    below.fill_between(time["seconds"], time["backlog_inputs"], color="#d97706", alpha=0.35, linewidth=0)
    below.set_ylabel("inputs accepted,\nnot yet scored")
    for axes in (above, below):
        _plain(axes, "y")
        axes.set_ylim(bottom=0)
    above.set_xlim(0, time["seconds"][-1])
    below.set_xlabel("seconds")


def _time(axes: Axes, seconds: list[float]) -> None:
    axes.set_xlabel("seconds")
    axes.set_xlim(0, seconds[-1])
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=6, borderaxespad=0)


def _plain(axes: Axes, which: str) -> None:
    """Write 1,000 instead of 10³."""
    getattr(axes, f"{which}axis").set_major_formatter(lambda value, _: f"{value:,.10g}")


def _label(name: str) -> str:
    return name.replace("_", " ")


def _svg(heading: str, plot: Callable[[Mapping[str, Any], Figure], None], run: Mapping[str, Any]) -> str:
    with mpl.rc_context({**STYLE, "svg.hashsalt": heading}):  # the ids of two plots in one page must differ
        figure = Figure(figsize=(9.2, 3.6), layout="constrained")
        plot(run, figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = file.getvalue()
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{heading}">', svg)
    return svg[svg.index("<svg ") :]
