"""All predictions of a model with their outcomes, and the propensity with which each came to a reviewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from cli.evaluate import log, ranges, standing
from cli.evaluate.coded import CodedColumn, coded, spread
from cli.evaluate.copied import copied
from cli.evaluate.fits import FilterFits
from cli.evaluate.log import DrawLog
from evaluation.draws import Draws, Propensity, propensity
from evaluation.linear import Flags, Floats
from serving.contract import Spec
from serving.outcomes import OutcomeRules

SqlColumns = Mapping[str, tuple[str, str]]
"""Name → (expression on the aliases p of the prediction and t of its task, type)."""


class NotEvaluable(Exception):
    """The model declares nothing that figures could be made of; the message says what it lacks."""


@dataclass(frozen=True)
class EvaluationAsked:
    """What to read: predictions from `since` on; outcomes of the kinds in `without` count as not there."""

    spec: Spec
    rules: OutcomeRules
    since: datetime | None = None
    without: tuple[str, ...] = ()

    @property
    def labels(self) -> bool:
        """Return whether the model guesses one of many labels; else its score is the chance of the target."""
        return self.rules.target is None

    def require_figures(self) -> None:
        """Raise NotEvaluable."""
        name = self.spec.name
        if self.rules.number:
            raise NotEvaluable(f"the outcomes of {name} are numbers; figures are made of kinds")
        if self.labels and self.spec.label is None:
            raise NotEvaluable(f"{name} has no text among its outputs, and so no label to compare with the outcomes")
        if not self.labels and self.spec.score is None:
            raise NotEvaluable(f"{name} has no output between 0 and 1 that is the chance of {self.rules.target!r}")


@dataclass(frozen=True)
class Population:
    """Predictions, a row each. Times are seconds since 1970; `now` is the database's."""

    now: float
    scored_at: Floats
    score: Floats
    """NaN where the model has no score."""
    outcome: CodedColumn
    """The kind, or the number as a text; none where nothing is known yet."""
    is_target: Flags
    received_at: Floats
    """NaN where there is no outcome."""
    columns: dict[str, NDArray[Any] | CodedColumn]
    """What predictions are grouped by, and guessed labels."""
    propensities: Propensity | None
    """None: there are no draws, so nothing tells why a prediction has an outcome."""
    drawn: Flags
    within: Flags
    """Scored in the period that was asked for; others are there for their draws alone."""

    @cached_property
    def decided(self) -> Flags:
        return self.outcome.present

    @cached_property
    def represents(self) -> Flags:
        """Return which decided rows may stand for others: those whose propensity is why they were decided.

        An outcome of a prediction that nobody drew came on a way of its own, as by an appeal, and stands for itself.
        """
        if self.propensities is None:
            return np.zeros(len(self.score), bool)
        return self.decided & (self.drawn | self.propensities.certain)


def read(connection: Connection, asked: EvaluationAsked, columns: SqlColumns) -> Population:
    """Read predictions with `columns` more.

    Everything is read in the transaction of the connection, which should be REPEATABLE READ.
    """
    return read_beside(connection, asked, columns, {})[0]


def read_beside(
    connection: Connection,
    asked: EvaluationAsked,
    columns: SqlColumns,
    beside: SqlColumns,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Population, Any]:
    """Read predictions, and the columns `beside` of them as an Arrow table with the same rows.

    These are null where there is no outcome; their expressions may use o, the outcome, as well. `parameters` are those
    of the columns. Outcomes and predictions are read apart, and find each other by where the predictions lie in their
    table, which one transaction sees alike: a join of all of them in PostgreSQL would take three times as long.
    """
    standing.prepare(connection)
    now = float(connection.execute(_NOW).scalar_one())
    draws = log.read(connection, asked.spec)
    fits = FilterFits(asked.spec, draws.filters)
    values = {"since": asked.since, "model": asked.spec.name, **parameters}
    outcomes = standing.read(connection, asked.spec, asked.rules, asked.without, asked.since, beside, values)
    fixed = {
        "place": ("p.ctid", "tid"),
        "score": (f'p."{asked.spec.score}"' if asked.spec.score else "NULL", "double precision"),
        "scored_at": ("p.scored_at", "timestamp with time zone"),
    }
    values |= fits.parameters
    found = _read(connection, asked, draws, {**fixed, **columns, **fits.columns}, values)
    fits.take({name: _array(found[name], kind) for name, (_, kind) in fits.columns.items()})
    places, size = standing.Places(found["place"].to_numpy()), len(found)
    rows = places.rows(outcomes["place"].to_numpy())
    outcomes, rows = outcomes.filter(pa.array(rows >= 0)), rows[rows >= 0]  # the others have no score
    drawn, scored_at = np.zeros(size, bool), seconds(found["scored_at"])
    item = places.rows(draws.place)
    drawn[item[item >= 0]] = True
    scores = found["score"].to_numpy().astype(np.float64)
    received_at, is_target = np.full(size, np.nan), np.zeros(size, bool)
    received_at[rows], is_target[rows] = seconds(outcomes["received_at"]), outcomes["is_target"].to_numpy()
    read = Population(
        now,
        scored_at,
        scores,
        spread(coded(outcomes["outcome"]), rows, size),
        is_target,
        received_at,
        {name: _array(found[name], kind) for name, (_, kind) in columns.items()},
        _propensities(item, scored_at, scores, draws, fits),
        drawn,
        np.ones(size, bool) if asked.since is None else scored_at >= asked.since.timestamp(),
    )
    return read, standing.beside(outcomes, beside, rows, size)


_NOW = text("SELECT extract(epoch FROM now())")


def seconds(times: Any) -> Floats:
    """Return a column of times as seconds since 1970."""
    found: Floats = times.cast(pa.int64()).to_numpy() / 1e6
    return found


def _array(column: Any, kind: str) -> NDArray[Any] | CodedColumn:
    if kind == "text":
        return coded(column)
    found: NDArray[Any] = column.to_numpy()
    return found


def _read(
    connection: Connection, asked: EvaluationAsked, draws: DrawLog, columns: SqlColumns, values: Mapping[str, Any]
) -> Any:
    """Return an Arrow table of the period's predictions, and of earlier ones that were drawn."""
    table = asked.spec.table
    tasks = "LEFT JOIN tasks AS t ON t.id = p.task_id" if _uses_tasks(columns) else ""
    score = "true" if asked.labels or asked.spec.score is None else f'p."{asked.spec.score}" IS NOT NULL'
    found = ranges.read(connection, table, asked.since, columns, f"{tasks} WHERE {score}", values)
    if asked.since is None:
        return found
    places = [f"({place >> 16},{place & 0xFFFF})" for place in np.unique(draws.place[draws.place >= 0]).tolist()]
    earlier = f"p.ctid = ANY(CAST(%(drawn)s AS tid[])) AND p.scored_at < %(since)s AND {score}"
    rest = f'FROM "{table}" AS p {tasks} WHERE {earlier}'
    return pa.concat_tables([found, copied(connection, columns, rest, {**values, "drawn": places})])


def _uses_tasks(columns: SqlColumns) -> bool:
    return any(expression.startswith("t.") for expression, _ in columns.values())


def _propensities(
    item: NDArray[np.intp], arrived: Floats, score: Floats, draws: DrawLog, fits: FilterFits
) -> Propensity | None:
    """Return the propensities; None without draws.

    A random draw of a prediction that was erased still had its pool, so it counts; which item it names does not matter.
    """
    held = (item >= 0) | draws.random
    if not held.any() or not len(score):
        return None
    noted = Draws(np.maximum(item[held], 0), draws.at[held], draws.random[held], draws.pool[held], draws.filter[held])
    return propensity(arrived, score, noted, fits)
