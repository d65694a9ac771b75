"""How many inputs move between bands of the score when another version scores them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BANDS = (0.2, 0.4, 0.6, 0.8)
"""Where one band of probabilities ends and the next begins."""


@dataclass(frozen=True)
class MigrationMatrix:
    bands: list[str]
    counts: list[list[int]]
    """A row for each band of the live version, a column for each of the new one."""


def migration(live: ArrayLike, new: ArrayLike, edges: tuple[float, ...] = BANDS) -> MigrationMatrix:
    """Count the same inputs by the bands of two versions' scores; a score at an edge is in the band above it."""
    first, second = (np.searchsorted(edges, np.asarray(scores, np.float64), side="right") for scores in (live, new))
    size = len(edges) + 1
    counts = np.bincount(first * size + second, minlength=size * size).reshape(size, size)
    names = [f"below {edges[0]:g}", *(f"from {edge:g}" for edge in edges)]
    return MigrationMatrix(names, counts.tolist())
