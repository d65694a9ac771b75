"""The simulated product: its reports, before and after a drift, and the truth about each.

The reports come from the generator of the report scorer's own training data (models/report_scorer/README.md), so a
score tells much about a report, but not all.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.linear import Flags
from models.report_scorer.dataset import Array, probability, synthesize
from models.report_scorer.features import FEATURES

MODEL = "report_scorer"
KEY = "report_id"
PREFIX = "demo-"
"""How the key of every simulated report begins."""

GENERATED = 10
"""Reports that are generated for each that is taken."""

LEANING = 1.5
"""Reports are taken in proportion to this power of their chance of abuse: more of the likely ones than there are."""

LONGER, LOWER = 2, 0.4
"""The drift: texts get so many times as long, and ratings so much lower."""


def reports(seed: int, first: int, count: int, *, drifted: bool) -> list[dict[str, Any]]:
    """Return the reports numbered from `first` on: the same ones for the same arguments.

    Almost a third are abuse, of the training data a tenth. With fewer, the random draws of some thousand reviews
    would find too few to say how good the model is.
    """
    columns = synthesize(GENERATED * count, seed + first).columns
    weight = probability(columns) ** LEANING
    random = np.random.default_rng([seed, first])
    taken = random.choice(len(weight), count, replace=False, p=weight / weight.sum())
    columns = {name: columns[name][taken] for name in FEATURES}
    if drifted:
        columns = _drift(columns)
    values = zip(*(columns[name].tolist() for name in FEATURES), strict=True)
    return [
        {KEY: f"{PREFIX}{seed}-{number}", **dict(zip(FEATURES, row, strict=True))}
        for number, row in enumerate(values, first)
    ]


def truth(of: Sequence[Mapping[str, Any]]) -> Flags:
    """Say which reports are about abuse.

    Each is with the chance that follows from its fields. The draw follows from its key, so the truth of a report never
    changes, and nothing has to remember it.
    """
    columns = {name: np.array([report[name] for report in of]) for name in FEATURES}
    true: Flags = np.array([_uniform(report[KEY]) for report in of]) < probability(columns)
    return true


def _drift(columns: Mapping[str, Array]) -> dict[str, Array]:
    length, rating = columns["report_text_len"], columns["profile_rating"]
    lower = np.round(np.maximum(rating - LOWER, 1), 1)
    return {
        **columns,
        "report_text_len": np.minimum(length * LONGER, 1_000_000),
        "profile_rating": np.where(rating > 0, lower, 0.0),  # 0: nobody has rated them, before as after
    }


def _uniform(key: str) -> float:
    """Return a number from 0 to below 1 that follows from the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48
