"""How well the reviewed items speak for all of them, in simulated worlds whose truth is known.

    python -m bench.weighting_study [--worlds 100] [--days 1] [--explore 0.05] [--plot FILE.svg]

prints, for each metric, in how many worlds the weighted interval holds the truth and how far the naive figure is off.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.worlds import World, world
from evaluation.draws import propensity
from evaluation.linear import Estimate, Flags, Floats
from evaluation.pictures.weighting import WorldFigure, weighting
from evaluation.ranking import auc, average_precision, rank
from evaluation.threshold import at_threshold, threshold_of_top
from evaluation.weighting import weigh

METRICS = ("precision@top", "recall@top", "auc", "average_precision")
BEYOND = 2
"""The top holds so many times the items that were reviewed: reviewing more is what the figures are to decide about."""


def figures(simulated: World) -> dict[str, WorldFigure]:
    """Return each metric's truth, naive figure and weighted figure."""
    seen, truth, score = simulated.reviewed, simulated.truth, simulated.score
    given = weigh(propensity(simulated.arrived, score, simulated.draws), seen)
    top = threshold_of_top(score, BEYOND * int(seen.sum()))
    whole, naive = _estimates(truth, score, top), _estimates(truth[seen], score[seen], top)
    weighted = _estimates(truth[given.rows], score[given.rows], top, given.weight)
    return {
        name: WorldFigure(whole[name].value, naive[name].value, given.interval(weighted[name], truth[given.rows]))
        for name in METRICS
    }


def _estimates(truth: Flags, score: Floats, top: float, weight: Floats | None = None) -> dict[str, Estimate]:
    ranking, at = rank(truth, score, weight), at_threshold(truth, score, top, weight)
    return dict(zip(METRICS, (at.precision, at.recall, auc(ranking), average_precision(ranking)), strict=True))


def study(worlds: int, days: int = 1, explore: float = 0.05) -> list[dict[str, WorldFigure]]:
    return [figures(world(seed, days=days, explore=explore)) for seed in range(worlds)]


def table(found: Sequence[dict[str, WorldFigure]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| metric | weighted holds the truth | mean width | naive off by > .03 | naive off, mean |",
        "|---" * 5 + "|",
    ]
    for name in METRICS:
        of_metric = [figures[name] for figures in found]
        off = [figure.naive - figure.truth for figure in of_metric]
        width = np.mean([figure.weighted.high - figure.weighted.low for figure in of_metric])
        lines.append(
            f"| {name} | {sum(figure.covered for figure in of_metric)} of {len(found)} | {width:.3f} "
            f"| {sum(abs(gap) > 0.03 for gap in off)} of {len(found)} | {np.mean(off):+.3f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.weighting_study", description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--days", type=int, default=1, help="days over which the items arrive and are reviewed")
    parser.add_argument("--explore", type=float, default=0.05, help="the share of draws that are made at random")
    parser.add_argument("--plot", type=Path, help="draw the AUC of each world here, as SVG")
    asked = parser.parse_args(arguments)
    found = study(asked.worlds, asked.days, asked.explore)
    print(table(found))
    if asked.plot:
        asked.plot.write_text(weighting("AUC", [figures["auc"] for figures in found]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
