"""A group's figures as a row of the table `evaluations`."""

from typing import Any

from cli.evaluate.drawn import pictures_of
from cli.evaluate.figures import Evaluated
from cli.evaluate.groups import ALL
from evaluation.artefact import as_json


def row(model: str, evaluated: Evaluated) -> dict[str, Any]:
    found = evaluated.summary
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
        "pictures": pictures_of(evaluated) if found.by == ALL else None,
    }
