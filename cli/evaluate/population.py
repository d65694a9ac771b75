"""All predictions of a model with their outcomes, and the propensity with which each came to a reviewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from cli.evaluate import log
from cli.evaluate.copied import copied
from cli.evaluate.fits import FilterFits
from cli.evaluate.log import DrawLog
from evaluation.draws import Draws, Propensity, propensity
from evaluation.linear import Flags, Floats
from serving.contract import Spec
from serving.outcomes import OutcomeRules

SqlColumns = Mapping[str, tuple[str, str]]
"""Name → (expression on the aliases p of the prediction, o of its outcome and t of its task, type)."""

_BESIDE = "beside "
"""Keeps the names of a model's columns apart from those that are read of every model."""


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
    outcome: NDArray[np.object_]
    """The kind, or the number as a text; None: none yet."""
    is_target: Flags
    received_at: Floats
    """NaN where there is no outcome."""
    columns: dict[str, NDArray[Any]]
    """What predictions are grouped by, and guessed labels."""
    propensities: Propensity | None
    """None: there are no draws, so nothing tells why a prediction has an outcome."""
    drawn: Flags
    within: Flags
    """Scored in the period that was asked for; others are there for their draws alone."""

    @property
    def decided(self) -> Flags:
        return np.asarray(self.outcome != None)  # noqa: E711 - an array, element by element

    @property
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

    These are null where there is no outcome, which spares most of their bytes. `parameters` are those of the columns.
    """
    draws = log.read(connection, asked.spec.name)
    score = f'p."{asked.spec.score}"' if asked.spec.score else "NULL"
    outcome = "CAST(o.value AS text)" if asked.rules.number else "o.outcome"
    fixed = {
        "key": (f"CASE WHEN d.task_id IS NOT NULL THEN {log.KEY.format(alias='p')} END", "bytea"),
        "score": (score, "double precision"),
        "scored_at": ("extract(epoch FROM p.scored_at)", "double precision"),
        "outcome": (f"CASE WHEN {outcome} <> ALL(%(without)s) THEN {outcome} END", "text"),
        "is_target": ("coalesce(o.is_target, false)", "boolean"),
        "received_at": ("extract(epoch FROM o.received_at)", "double precision"),
        "within": ("p.scored_at >= %(since)s" if asked.since else "true", "boolean"),
        "now": ("extract(epoch FROM now())", "double precision"),
    }
    values: dict[str, Any] = {"without": list(asked.without), "since": asked.since, "model": asked.spec.name}
    fits = FilterFits(asked.spec, draws.filters)
    values |= {**parameters, **fits.parameters}
    of_decided = {
        f"{_BESIDE}{name}": (f"CASE WHEN o.task_id IS NOT NULL THEN {expression} END", kind)
        for name, (expression, kind) in beside.items()
    }
    found = copied(connection, {**fixed, **columns, **fits.columns, **of_decided}, _from(asked, columns), values)
    arrays = {name: found[name].to_numpy() for name in (*fixed, *columns, *fits.columns)}
    fits.take(arrays)
    decided = arrays["outcome"] != None  # noqa: E711 - an array, element by element
    scores = arrays["score"].astype(np.float64)
    chance, drawn = _propensities(arrays["key"], arrays["scored_at"], scores, draws, fits)
    read = Population(
        float(arrays["now"][0]) if len(scores) else 0.0,
        arrays["scored_at"],
        scores,
        arrays["outcome"],
        arrays["is_target"].astype(bool),
        np.where(decided, arrays["received_at"].astype(np.float64), np.nan),
        {name: arrays[name] for name in columns},
        chance,
        drawn,
        arrays["within"].astype(bool),
    )
    return read, found.select(list(of_decided)).rename_columns(list(beside))


def _from(asked: EvaluationAsked, columns: SqlColumns) -> str:
    table, name = asked.spec.table, asked.spec.name
    tasks = "LEFT JOIN tasks AS t ON t.id = p.task_id" if _uses_tasks(columns) else ""
    score = "true" if asked.labels or asked.spec.score is None else f'p."{asked.spec.score}" IS NOT NULL'
    period = "(p.scored_at >= %(since)s OR d.task_id IS NOT NULL)" if asked.since else "true"
    return f"""
        FROM "{table}" AS p
        LEFT JOIN "{name}_outcomes" AS o ON o.task_id = p.task_id AND o.position = p.position
        LEFT JOIN (
            SELECT DISTINCT task_id, position FROM draws WHERE model = %(model)s AND policy <> 'second'
        ) AS d ON d.task_id = p.task_id AND d.position = p.position
        {tasks}
        WHERE {score} AND {period}
    """


def _uses_tasks(columns: SqlColumns) -> bool:
    return any(expression.startswith("t.") for expression, _ in columns.values())


def _propensities(
    keys: NDArray[np.object_], arrived: Floats, score: Floats, draws: DrawLog, fits: FilterFits
) -> tuple[Propensity | None, Flags]:
    """Return the propensities, None without draws; and which items were drawn.

    A random draw of a prediction that was erased still had its pool, so it counts; which item it names does not matter.
    """
    drawn = np.asarray(keys != None)  # noqa: E711 - an array, element by element
    place = {keys[row]: row for row in np.flatnonzero(drawn).tolist()}
    item = np.array([place.get(key, -1) for key in draws.key.tolist()], dtype=np.intp)
    held = (item >= 0) | draws.random
    if not held.any() or not len(score):
        return None, drawn
    noted = Draws(np.maximum(item[held], 0), draws.at[held], draws.random[held], draws.pool[held], draws.filter[held])
    return propensity(arrived, score, noted, fits), drawn
