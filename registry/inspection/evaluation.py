"""How well a model's outputs fit a sample's labels, in a few figures that every data scientist knows."""

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

from evaluation import drift
from evaluation.reference import of_categories, of_numbers
from registry.inspection.proposal import ModelRefused
from runtimes.description import Output
from serving.contract import Columns
from serving.schema import ModelSchema

LEAST = 1e-15
"""A probability of 0 or 1 would make the log loss infinite."""


def evaluate(output: Output, predicted: Sequence[Any], truth: Sequence[Any]) -> dict[str, Any]:
    """Compare scores, labels or values with the truth, and say on how many rows that rests. Raises ModelRefused."""
    pairs = [(given, true) for given, true in zip(predicted, truth, strict=True) if true is not None]
    if not pairs:
        raise ModelRefused("the label's column is empty")
    made: dict[str, Any] = {"rows": len(pairs)}
    if output == "binary":
        made |= _binary([given for given, _ in pairs], [_one(true) for _, true in pairs])
    elif output == "classes":
        right = sum(given == _as_class(true) for given, true in pairs)
        made["accuracy"] = round(right / len(pairs), 6)
    else:
        errors = [given - float(true) for given, true in pairs]
        made["rmse"] = round(sqrt(sum(error**2 for error in errors) / len(errors)), 6)
        made["mae"] = round(sum(map(abs, errors)) / len(errors), 6)
    return made


def _one(true: Any) -> int:
    if str(true).lower() in ("1", "1.0", "true"):
        return 1
    if str(true).lower() in ("0", "0.0", "false"):
        return 0
    raise ModelRefused(f"the label's column holds {str(true)[:40]!r}; of a binary model it is 0 or 1")


def _as_class(true: Any) -> str:
    return str(int(true)) if isinstance(true, float) and true.is_integer() else str(true)


def _binary(scores: Sequence[float], truth: Sequence[int]) -> dict[str, Any]:
    cut = [min(max(score, LEAST), 1 - LEAST) for score in scores]
    losses = [-log(score if true else 1 - score) for score, true in zip(cut, truth, strict=True)]
    made: dict[str, Any] = {"positives": sum(truth), "log_loss": round(sum(losses) / len(losses), 6)}
    if 0 < sum(truth) < len(truth):
        made["roc_auc"] = round(_auc(scores, truth), 6)
    return made


def _auc(scores: Sequence[float], truth: Sequence[int]) -> float:
    """Return the area under the ROC curve, by ranks: the Mann-Whitney statistic, equal scores counting half."""
    ordered = sorted(zip(scores, truth, strict=True))
    ranks, place = 0.0, 0
    while place < len(ordered):
        end = place
        while end < len(ordered) and ordered[end][0] == ordered[place][0]:
            end += 1
        ranks += sum(true for _, true in ordered[place:end]) * (place + 1 + end) / 2
        place = end
    positives = sum(truth)
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(truth) - positives))


def reference(schema: ModelSchema, columns: Columns) -> dict[str, Any]:
    """Return what each column of numbers or categories was like, for later drift.

    Keys, free texts and what people wrote are left out: every client may read an evaluation.
    """
    left_out = (schema.key, *schema.personal)
    found = {name: _reference(list(values)) for name, values in columns.items() if name not in left_out}
    return {name: held for name, held in found.items() if held is not None}


def _reference(values: Sequence[Any]) -> dict[str, Any] | None:
    present = [value for value in values if value is not None]
    if len(present) < drift.BINS:
        return None
    if all(isinstance(value, int | float) for value in present):
        return of_numbers(values)
    return of_categories(values) if all(isinstance(value, str) for value in present) else None
