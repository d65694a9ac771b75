"""Explains stored predictions by the version that made them, batch after batch."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from sqlalchemy import Engine, Row

from cli.rescoring.scoring import LARGEST_BATCH, NotComparable, as_columns
from serving.explanation import Explainer, explained_columns
from store import explanations
from store.explanations import Explained, Wanted
from store.version_scores import FIRST
from worker.scoring.loaded_models import ModelInstance


def explain(engine: Engine, loaded: ModelInstance, wanted: Wanted) -> Iterator[int]:
    """Explain the predictions asked for that have no explanation; yield each batch's size. Raises NotComparable.

    A batch is stored in one transaction, so that a run which was ended goes on where it was.
    """
    if not hasattr(loaded.predictor, "explain"):
        raise NotComparable(
            f"{loaded.spec.name} {loaded.version} cannot say what its scores are made of; XGBoost and LightGBM can"
        )
    columns = [column.name for column in loaded.spec.input_columns]
    after = FIRST
    while True:
        with engine.connect() as connection:
            rows = explanations.unexplained(connection, wanted, columns, after, LARGEST_BATCH)
        if not rows:
            return
        found = _explained(loaded, rows)
        with engine.begin() as connection:
            explanations.store(connection, wanted.table, found)
        after = (rows[-1].task_id, rows[-1].position)
        yield len(rows)


def _explained(loaded: ModelInstance, rows: Sequence[Row[Any]]) -> list[Explained]:
    made = cast(Explainer, loaded.predictor).explain(as_columns(loaded.spec, rows))
    nothing = np.zeros(len(rows))
    values = np.column_stack([made.columns.get(name, nothing) for name in explained_columns(loaded.spec)])
    bases = np.broadcast_to(made.base, len(rows)).tolist()
    return [
        Explained(row.task_id, row.position, base, contributions)
        for row, base, contributions in zip(rows, bases, values.tolist(), strict=True)
    ]
