"""The outcomes that stand, beside where their predictions lie in the table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from cli.evaluate.copied import copied
from registry.outcome_views import resolved
from serving.contract import Spec
from serving.outcomes import OutcomeRules

_BESIDE = "beside "
"""Keeps the names of a model's columns apart from those that are read of every model."""

_MEMORY = text("SELECT set_config('work_mem', '256MB', true), set_config('jit', 'off', true)")
"""A million outcomes are sorted and hashed in memory: 13 s, and 25 s by PostgreSQL's default of 4 MB."""


def prepare(connection: Connection) -> None:
    """Give this transaction's queries the memory for many outcomes."""
    connection.execute(_MEMORY)


def read(
    connection: Connection,
    spec: Spec,
    rules: OutcomeRules,
    without: Sequence[str],
    since: datetime | None,
    beside: Mapping[str, tuple[str, str]],
    values: Mapping[str, Any],
) -> Any:
    """Return an Arrow table, a row for each outcome that stands: place, outcome, is_target, received_at, and `beside`.

    With `since`, of predictions scored from then on.
    """
    outcome = "CAST(o.value AS text)" if rules.number else "o.outcome"
    columns = {
        "place": ("o.place", "tid"),
        "outcome": (outcome, "text"),
        "is_target": ("o.is_target", "boolean"),
        "received_at": ("o.received_at", "timestamp with time zone"),
        **{f"{_BESIDE}{name}": found for name, found in beside.items()},
    }
    query = resolved(spec, rules, "place", "p.scored_at >= :since" if since else None)
    given = str(text(query).compile(dialect=connection.dialect))  # with its parameters as the driver has them
    predictions = f'JOIN "{spec.table}" AS p ON p.ctid = o.place' if beside else ""
    rest = f"FROM ({given}) AS o {predictions} WHERE {outcome} <> ALL(%(without)s)"
    return copied(connection, columns, rest, {**values, "without": list(without), "since": since})


def beside(outcomes: Any, names: Mapping[str, Any], rows: NDArray[np.intp], size: int) -> Any:
    """Return the columns of these names as a table of so many rows, null in those that are not `rows`."""
    chosen = outcomes.select([f"{_BESIDE}{name}" for name in names]).rename_columns(list(names))
    place = np.full(size, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return chosen.take(pa.array(place, mask=place < 0))


class Places:
    """Finds predictions by where they lie in their table."""

    def __init__(self, places: NDArray[np.int64]) -> None:
        in_order = len(places) < 2 or bool((places[1:] > places[:-1]).all())
        self._order = None if in_order else np.argsort(places)
        self._sorted = places if self._order is None else places[self._order]

    def rows(self, wanted: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the row of each wanted place; -1 where there is none."""
        if not len(self._sorted):
            return np.full(len(wanted), -1, np.intp)
        found = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        row = found if self._order is None else self._order[found]
        return np.where(self._sorted[found] == wanted, row, -1)
