"""How far a column has moved from a reference, beside what chance alone does at that number of rows.

The measures compare the shares of parts: bins of numbers, or categories. Nothing here needs numpy: PostgreSQL does the
counting (store/drift.py), or `columns.py` for arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log2, sqrt
from statistics import NormalDist

BINS = 10
ENOUGH = 500
"""Rows. Below, no verdict is given: even a large shift lies within the band."""

FALSE_ALARMS = 0.001
"""Of the days of a column that has not moved, the share that may be called drifted."""

NOTABLE = 0.02
"""An index below it is no drift, however many rows show it: in normal numbers, a shift of 0.14 standard deviations.
The usual 0.1 and 0.25 of credit scoring (0.3 and 0.5 standard deviations) would miss what a model already feels."""
NOTABLE_SHARE = 0.005
"""Missing or unseen values that are more by less than this share of the rows are no drift."""

LEAST_EXPECTED = 10
"""Rows that a part needs to have on either side; smaller ones are counted as one. Below, the index is no longer χ²."""


@dataclass(frozen=True)
class Band:
    """A measure, and the value that chance alone exceeds in a share FALSE_ALARMS of days at most."""

    value: float
    limit: float

    @property
    def exceeded(self) -> bool:
        return self.value > self.limit


@dataclass(frozen=True)
class ColumnDrift:
    """How a column's rows compare with its reference."""

    rows: int
    reference_rows: int
    psi: Band
    """The population stability index: the sum of both Kullback-Leibler divergences, in nats."""
    jensen_shannon: Band
    """The Jensen-Shannon divergence in bits: 0 for equal shares, 1 for shares without overlap."""
    missing: Band
    """How much larger the share of missing values is than in the reference; below 0: smaller."""
    unseen: Band
    """The share of values whose category the reference does not know."""
    enough: bool

    @property
    def drifted(self) -> list[str]:
        """Return what exceeds chance and is large enough to be noted; nothing while there are too few rows."""
        found = {
            "distribution": self.psi.exceeded and self.psi.value > NOTABLE,
            "missing": abs(self.missing.value) > max(self.missing.limit, NOTABLE_SHARE),
            "unseen": self.unseen.exceeded and self.unseen.value > NOTABLE_SHARE,
        }
        return [name for name, moved in found.items() if moved and self.enough]


@dataclass(frozen=True)
class Counted:
    """The rows of a column: those of each part, those without a value, and those of categories not in the reference."""

    parts: Sequence[int]
    missing: int = 0
    unseen: int = 0

    @property
    def present(self) -> int:
        return sum(self.parts) + self.unseen

    @property
    def rows(self) -> int:
        return self.present + self.missing


def compare(was: Counted, now: Counted) -> ColumnDrift:
    """Compare the rows of a column with those of its reference, part by part.

    The limits hold together: each of the three findings has a third of FALSE_ALARMS. Raises ValueError where the parts
    differ in number.
    """
    alarms = FALSE_ALARMS / 3
    before, after = merged(was.parts, now.parts)
    enough = now.rows >= ENOUGH and was.rows >= ENOUGH
    noise = 1 / max(1, sum(before)) + 1 / max(1, sum(after))
    chi = chi_squared(len(before) - 1, alarms)
    return ColumnDrift(
        now.rows,
        was.rows,
        Band(psi(before, after), noise * chi),
        Band(jensen_shannon(before, after), noise * chi / 8 / log(2)),
        _missing(was, now, alarms),
        _unseen(was, now, alarms),
        enough,
    )


def psi(before: Sequence[float], after: Sequence[float]) -> float:
    """Return Σ (q - p)·ln(q / p) of two lists of counts, or of shares and counts.

    If nothing has moved, it is (1/n + 1/m)·χ² with one degree of freedom less than there are parts (Yurdakul and
    Naranjo, "Statistical properties of the population stability index", Journal of Risk Model Validation 2020).
    """
    return sum((now - was) * log(now / was) for was, now in _shares(before, after))


def jensen_shannon(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the divergence of Lin (IEEE Transactions on Information Theory, 1991), in bits; near 0, psi / 8 ln 2."""
    pairs = _shares(before, after)
    middle = [(was + now) / 2 for was, now in pairs]
    halves = [was * log2(was / half) + now * log2(now / half) for (was, now), half in zip(pairs, middle, strict=True)]
    return max(0.0, sum(halves) / 2)


def merged(before: Sequence[int], after: Sequence[int]) -> tuple[list[int], list[int]]:
    """Count parts as one where fewer than LEAST_EXPECTED rows are to be expected on either side.

    What is expected follows from both sides together: chosen by one side, the other would lie above it by selection.
    """
    if len(before) != len(after):
        raise ValueError(f"the reference has {len(before)} parts, the rows have {len(after)}")
    sums = sum(before), sum(after)
    least = LEAST_EXPECTED * (sum(sums) / max(1, min(sums)))
    pairs = sorted(zip(before, after, strict=True), key=sum)
    kept: list[tuple[int, int]] = []
    rest = (0, 0)
    for pair in pairs:
        if sum(pair) < least or 0 < sum(rest) < least:
            rest = (rest[0] + pair[0], rest[1] + pair[1])
        else:
            kept.append(pair)
    kept += [rest] if sum(rest) else []
    return [was for was, _ in kept], [now for _, now in kept]


def chi_squared(freedom: int, above: float) -> float:
    """Return the value that χ² exceeds with the chance `above`, to 1 % (Wilson and Hilferty, PNAS 1931)."""
    if freedom < 1:
        return 0.0
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(1 - above) * sqrt(part)) ** 3)


def _shares(before: Sequence[float], after: Sequence[float]) -> list[tuple[float, float]]:
    """Return both shares of each part; an empty part would be infinitely far, so it counts as half a row."""
    totals = sum(before) or 1, sum(after) or 1
    least = 0.5 / max(totals)
    return [(max(was / totals[0], least), max(now / totals[1], least)) for was, now in zip(before, after, strict=True)]


def _missing(was: Counted, now: Counted, alarms: float) -> Band:
    """Compare two shares by their pooled variance, with one more case on each side (Agresti and Caffo, 2000)."""
    rows, missing = (was.rows + 2, now.rows + 2), (was.missing + 1, now.missing + 1)
    pooled = sum(missing) / sum(rows)
    error = sqrt(pooled * (1 - pooled) * (1 / rows[0] + 1 / rows[1]))
    change = now.missing / max(1, now.rows) - was.missing / max(1, was.rows)
    # Few cases have a longer tail than the normal one: the square of the quantile, spread over the smaller side.
    z = NormalDist().inv_cdf(1 - alarms / 2)
    return Band(change, z * error + z * z / 3 / min(rows))


def _unseen(was: Counted, now: Counted, alarms: float) -> Band:
    """Bound the share of new categories by how many the reference has seen just once (Good, Biometrika 1953).

    Good-Turing: the categories that a sample lacks have together about the share of those that it saw once.
    """
    z = NormalDist().inv_cdf(1 - alarms)
    once = sum(count == 1 for count in was.parts)
    twice = sum(count == 2 for count in was.parts)
    chance = (once + 1 + z * sqrt(once + 2 * twice + 1)) / max(1, was.present)
    expected = chance * now.present
    limit = (expected + z * sqrt(expected) + z * z / 3) / max(1, now.present)
    return Band(now.unseen / max(1, now.present), limit)
