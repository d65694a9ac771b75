"""Two versions on the same stored inputs: what one had said of them, or says now, beside the other."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from cli.evaluate.copied import copied
from cli.evaluate.figures import top
from cli.rescoring.scoring import NotComparable, kept_label
from evaluation.migration import MigrationMatrix, migration
from evaluation.shadow import ShadowComparison, compare_versions
from registry.versions import ModelVersion
from serving.contract import Spec
from store import version_scores

LIVE, NEW = "live version", "new version"
"""Names of columns that no model's own column has."""


@dataclass(frozen=True)
class VersionComparison:
    """Inputs that both versions have scored, in the order of their places."""

    live: str
    new: str
    failed: int
    """Inputs that the new version could not score."""
    ranks: ShadowComparison
    bands: MigrationMatrix
    places: NDArray[np.object_]
    """Of each row that `ranks` names, task and position in 20 bytes."""

    def place(self, row: int) -> tuple[UUID, int]:
        """Return the row's task and position."""
        found = bytes(self.places[row])
        return UUID(bytes=found[:16]), int.from_bytes(found[16:], "big")


def score_of(spec: Spec, version: str) -> tuple[str, str]:
    """Return what the version says of the prediction p, in SQL, with its type: its own prediction, or its later word.

    `spec` is of that version, and `version` a parameter of the query, whose parameter `model` is the model. Raises
    NotComparable.
    """
    if spec.score is None:
        raise NotComparable(f"{spec.name} has no output between 0 and 1, and only such scores are compared")
    return _said(spec.score, "score", version), "double precision"


def label_of(spec: Spec, version: str) -> tuple[str, str]:
    """Return the label that the version guesses, as `score_of` does. Raises NotComparable."""
    label = kept_label(spec)
    if label is None:
        raise NotComparable(f"{spec.name} gives no label that is kept, and only such labels are compared")
    return _said(label, "label", version), "text"


def _said(column: str, later: str, version: str) -> str:
    return f"""CASE WHEN p.model_version = {version} AND p."{column}" IS NOT NULL THEN p."{column}" ELSE (
        SELECT s.{later} FROM version_scores AS s
        WHERE s.model = %(model)s AND s.version = {version} AND s.task_id = p.task_id AND s.position = p.position
    ) END"""


def compare(connection: Connection, live: ModelVersion, new: ModelVersion, share: str) -> VersionComparison:
    """Compare the scores of all inputs that both have scored; `share` is a number of inputs or a share such as 5%.

    Raises NotComparable, and ValueError for a wrong share.
    """
    columns = {
        "place": ("uuid_send(p.task_id) || int4send(p.position)", "bytea"),
        LIVE: score_of(live.spec, "%(live)s"),
        NEW: score_of(new.spec, "%(new)s"),
    }
    of_new = """p.model_version = %(new)s OR EXISTS (
        SELECT FROM version_scores AS s
        WHERE s.model = %(model)s AND s.version = %(new)s AND s.task_id = p.task_id AND s.position = p.position
    )"""
    rest = f'FROM "{new.table}" AS p WHERE {of_new} ORDER BY p.task_id, p.position'
    found = copied(connection, columns, rest, {"model": new.model, "live": live.version, "new": new.version})
    first, second = (found[name].to_numpy().astype(np.float64) for name in (LIVE, NEW))
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any():
        raise NotComparable(
            f"no stored input has been scored by both {live.version} and {new.version}: "
            f"run `millrace rescore {new.model}@{new.version}` first"
        )
    return VersionComparison(
        live.version,
        new.version,
        version_scores.failures(connection, (new.model, new.version)),
        compare_versions(first[both], second[both], top(share, int(both.sum()))),
        migration(first[both], second[both]),
        found["place"].to_numpy()[both],
    )
