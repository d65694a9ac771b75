"""The figures that the platform computed beside those that only the simulation can know."""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from evaluation.binary import evaluate_binary
from evaluation.linear import Flags, Floats

TOP = "5%"
SHOWN = ("auc", "average_precision", f"precision@{TOP}", f"recall@{TOP}")


def lines(stored: Mapping[str, Any], truth: Flags, score: Floats) -> Iterator[str]:
    """Yield a table: of each figure the naive and the weighted value that is stored, and the true one."""
    true = evaluate_binary(truth, score, tops={TOP: ceil(len(score) * float(TOP[:-1]) / 100)}).figures
    yield _line("", "naive", "weighted", "truth")
    for name in SHOWN:
        yield _line(name, _said(stored["naive"], name), _said(stored["weighted"], name), f"{true[name].value:.3f}")


def _line(name: str, naive: str, weighted: str, truth: str) -> str:
    return f"  {name:18} {naive:23} {weighted:23} {truth}"


def _said(figures: Mapping[str, Any] | None, name: str) -> str:
    found = (figures or {}).get(name)
    if found is None or found["value"] is None:
        return "too few"
    if found["low"] is None:
        return f"{found['value']:.3f} (too few)"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
