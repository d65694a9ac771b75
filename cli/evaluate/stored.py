"""A group's figures as a row of the table `evaluations`."""

from typing import Any

from cli.evaluate.figures import GroupEvaluation
from evaluation.artefact import as_json


def row(model: str, found: GroupEvaluation) -> dict[str, Any]:
    weighted = None if found.weighted is None else as_json(found.weighted)
    confusion = {"labels": found.labels, "counts": found.confusion} if found.labels else None
    return {
        "model": model,
        "grouping": found.by,
        "group_name": found.group,
        "predictions": found.maturity.predictions,
        "outcomes": found.maturity.outcomes,
        "expected": found.maturity.expected.value,
        "mature": found.maturity.mature,
        "reviewed": found.reviewed,
        "kinds": found.outcomes,
        "naive": as_json(found.naive),
        "weighted": weighted,
        "confusion": confusion,
    }
