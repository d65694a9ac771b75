"""Draws a column's drift: the share of each part, in the reference and now."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from evaluation.drift import ColumnDrift, Counted
from evaluation.pictures.canvas import COLOURS, Canvas
from evaluation.reference import above

MOST = 20
"""Parts that are drawn; of categories the rest share the last one."""
WAS, NOW = "#9aa5b1", COLOURS[0]
LABEL = 12
"""Characters."""


def column(name: str, labels: Sequence[str], was: Counted, now: Counted, found: ColumnDrift) -> str:
    """Return an SVG with two bars for each part; `labels` names the parts."""
    names, before, after = _shown(labels, was, now)
    highest = ceil(max([*before, *after, 0.01]) * 20) / 20
    verdict = f"drifted: {', '.join(found.drifted)}" if found.drifted else "not drifted"
    described = (
        f"{verdict}. Population stability index {found.psi.value:.4f}; chance stays below {found.psi.limit:.4f} at "
        f"{found.rows:,} rows against {found.reference_rows:,}."
    )
    canvas = Canvas(f"{name}, then and now", described, (-0.5, len(names) - 0.5), (0, highest), 40 * len(names) + 160)
    canvas.ticks([], [highest * step / 5 for step in range(6)], ".0%")
    for place, (share, current) in enumerate(zip(before, after, strict=True)):
        canvas.bar((place - 0.4, place), share, WAS)
        canvas.bar((place, place + 0.4), current, NOW)
    canvas.labels(range(len(names)), [name[:LABEL] for name in names])
    canvas.key("reference", WAS)
    canvas.key("now", NOW)
    canvas.name_axes(name, "share of rows")
    return canvas.svg()


def bins(edges: Sequence[float]) -> list[str]:
    """Return the labels of a column of numbers: each bin by where it ends, or by the one value that it holds."""
    if not edges:
        return ["all"]
    ends = [f"< {edges[0]:.3g}"]
    ends += [f"{low:.3g}" if high <= above(low) else f"< {high:.3g}" for low, high in pairwise(edges)]
    return [*ends, f"≥ {edges[-1]:.3g}"]


def _shown(labels: Sequence[str], was: Counted, now: Counted) -> tuple[list[str], list[float], list[float]]:
    if len(labels) != len(was.parts) or len(labels) != len(now.parts):
        raise ValueError(f"there are {len(labels)} labels, {len(was.parts)} and {len(now.parts)} parts")
    names, sides = list(labels[:MOST]), []
    for counted in (was, now):
        kept = [*counted.parts[:MOST], *([sum(counted.parts[MOST:])] if len(labels) > MOST else [])]
        sides.append([part / max(1, counted.rows) for part in [*kept, counted.missing, counted.unseen]])
    names += (["others"] if len(labels) > MOST else []) + ["missing", "unseen"]
    return names, sides[0], sides[1]
