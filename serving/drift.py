"""How far the scores of a model have moved from those of its held-out rows.

The measure is the population stability index of credit scoring: below 0.1 the scores are stable, above 0.25 they moved.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from statistics import quantiles
from typing import Any

BINS = 10
DIGITS = 6
ENOUGH = 500
"""Scores. With fewer, chance alone makes an index of some hundredths."""


def reference(scores: Iterable[float]) -> dict[str, Any]:
    """Return, for an evaluation, the edges that cut the scores into parts as equal as possible, and their shares."""
    found = [float(score) for score in scores]
    edges = sorted({round(edge, DIGITS) for edge in quantiles(found, n=BINS)})
    counts = Counter(bisect_right(edges, score) for score in found)
    return {"edges": edges, "shares": [round(counts[part] / len(found), DIGITS) for part in range(len(edges) + 1)]}


def index(shares: Sequence[float], counts: Sequence[int]) -> float | None:
    """Return the index of scores with these counts between the edges; None: there are too few."""
    total = sum(counts)
    if total < ENOUGH:
        return None
    least = 0.5 / total  # an empty part would be infinitely far
    parts = [(max(share, least), max(count / total, least)) for share, count in zip(shares, counts, strict=True)]
    return sum((actual - expected) * log(actual / expected) for expected, actual in parts)
