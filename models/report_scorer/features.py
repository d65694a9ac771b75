"""From input columns to the matrix that the trees read: the same code for training and for serving."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.contract import MAX_INTEGER

FEATURES = ("abuse_type", "report_text_len", "profile_rating", "popularity", "lifetime_matches_created")
"""The matrix's columns in order. A plain array carries no names, so the model file keeps them and `load` compares."""

ABUSE_TYPES = {"MSG": 0.0, "PRF": 1.0}

LARGEST = float(MAX_INTEGER)
"""Values above are cut to this. A double may be 1.7e308, which is infinite as float32, and XGBoost refuses infinity.

No count is larger by the spec; a rating is far from it.
"""


def features(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> NDArray[np.float32]:
    """Return one float32 row a report, in the order of FEATURES; `report_id` and other columns are not read.

    Raises KeyError for a missing column and for an abuse type that is not in the table.
    """
    kinds = columns["abuse_type"]
    matrix = np.empty((len(kinds), len(FEATURES)), dtype=np.float32)
    names = kinds.tolist() if isinstance(kinds, np.ndarray) else kinds
    matrix[:, 0] = [ABUSE_TYPES[name] for name in names]
    for position, feature in enumerate(FEATURES[1:], start=1):
        matrix[:, position] = np.minimum(np.asarray(columns[feature], dtype=np.float64), LARGEST)
    return matrix
