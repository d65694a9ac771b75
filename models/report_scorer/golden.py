"""The reports whose scores travel with an artifact, so that every worker can check the model it has loaded.

They are written by hand, so no real report ends up in an artifact. The first ones are ordinary; the rest are the
edges of what the spec allows.
"""

from typing import Any

from models.report_scorer.features import FEATURES
from serving.contract import MAX_INTEGER

_REPORTS: tuple[tuple[str, int, float, int, int], ...] = (
    ("MSG", 120, 4.2, 3, 57),
    ("MSG", 160, 4.9, 0, 210),
    ("MSG", 35, 3.1, 2, 12),
    ("MSG", 410, 1.4, 2, 30),
    ("MSG", 90, 2.6, 5, 640),
    ("MSG", 12, 3.7, 1, 4),
    ("PRF", 150, 4.6, 4, 88),
    ("PRF", 70, 1.3, 1, 3),
    ("PRF", 0, 3.9, 3, 25),
    ("PRF", 240, 2.2, 2, 150),
    ("PRF", 18, 3.3, 5, 900),
    ("PRF", 95, 0.0, 0, 1),
    ("MSG", 0, 0.0, 0, 0),
    ("PRF", 0, 0.0, 0, 0),
    ("MSG", MAX_INTEGER, 5.0, 5, MAX_INTEGER),
    ("PRF", MAX_INTEGER, 0.0, 0, MAX_INTEGER),
    ("MSG", 160, 1.7e308, 5, 100),
    ("PRF", 160, 5e-324, 5, 100),
    ("MSG", 50_000, 4.0, 3, 40),
    ("PRF", 120, 4.5, 4, 5_000_000),
)

INPUTS: list[dict[str, Any]] = [dict(zip(FEATURES, report, strict=True)) for report in _REPORTS]
