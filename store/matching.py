"""Finds the predictions that outcomes are about: by task and position, or by the caller's own key.

A key may fit several predictions; the outcome is about all of them. One that is not everyone's is about predictions of
its own client's tasks only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import lists

SHOWN = 100
"""Outcomes of a request that are listed because they fit several predictions."""


class KeyOf(NamedTuple):
    """The column with the callers' own keys."""

    column: str
    is_text: bool


def key_of(spec: Any) -> KeyOf | None:
    """Return a spec's key column; None: its callers have no keys."""
    if spec.key is None:
        return None
    kind = next(column.kind for column in spec.input_columns if column.name == spec.key)
    return KeyOf(spec.key, kind == "text")


def is_key(key: KeyOf, predictions: str, given: str) -> str:
    """Return the condition that a prediction has the key that is given as a text."""
    if key.is_text:
        return f'{predictions}."{key.column}" = {given}'
    number = f"CASE WHEN {given} ~ '^-?[0-9]{{1,18}}$' THEN CAST({given} AS bigint) END"
    return f'{predictions}."{key.column}" = {number}'


def is_own(predictions: str, outcomes: str) -> str:
    """Return the condition that an outcome may be about a prediction of this task's client."""
    return f"""({outcomes}.everyones OR EXISTS (
        SELECT FROM tasks AS t
        WHERE t.id = {predictions}.task_id AND t.client IS NOT DISTINCT FROM {outcomes}.client
    ))"""


def matched(model: str, table: str, key: KeyOf | None, place: str | None = None, among: str | None = None) -> str:
    """Return the query of each outcome beside each prediction that it is about.

    With `place`, a further column of this name has where the prediction lies in its table (ctid). `among` is a
    condition on the prediction p.
    """
    columns = "id, outcome, value, decided_at, received_at, reviewer, source, withdrawn"
    also = f" AND {among}" if among else ""
    of_outcome = ", ".join([f"o.{name}" for name in columns.split(", ")] + ([f"p.ctid AS {place}"] if place else []))
    by_place = f"""
        SELECT p.task_id, p.position, {of_outcome}
        FROM outcomes AS o JOIN "{table}" AS p ON p.task_id = o.task_id AND p.position = o.position
        WHERE o.model = '{model}' AND o.task_id IS NOT NULL AND {is_own("p", "o")}{also}
    """
    if key is None:
        return by_place
    return f"""{by_place}
        UNION ALL
        SELECT p.task_id, p.position, {of_outcome}
        FROM outcomes AS o JOIN "{table}" AS p ON {is_key(key, "p", "o.key")}
        WHERE o.model = '{model}' AND o.task_id IS NULL AND {is_own("p", "o")}{also}
    """


@dataclass(frozen=True)
class Given:
    """Places of outcomes of one model, as columns, and whose predictions they may be about."""

    keys: Sequence[str | None]
    task_ids: Sequence[str | None]
    positions: Sequence[int | None]
    client: str | None
    everyones: bool

    @property
    def only_keys(self) -> bool:
        """Whether none is by task and position, as in most large requests."""
        return all(one is None for one in self.task_ids)

    @property
    def values(self) -> Mapping[str, Any]:
        return {
            "key": lists.as_json(self.keys),
            **(
                {}
                if self.only_keys
                else {"task_id": lists.as_json(self.task_ids), "position": lists.as_json(self.positions)}
            ),
            "client": self.client,
            "everyones": self.everyones,
        }


# There are few places and large tables, whatever the planner thinks of an array.
BY_INDEX = text("""
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
""")
"""To be said before `fits`, in the same transaction."""


_OWNER = "CAST(:client AS text) AS client, CAST(:everyones AS boolean) AS everyones"


def fits(table: str, key: KeyOf | None, given: Given) -> str:
    """Return the query of (n, task_id, position): the predictions that the nth of the given places fits."""
    if key is not None and given.only_keys:
        return f"""
            SELECT n, p.task_id, p.position
            FROM (SELECT *, {_OWNER} FROM {lists.rows_from(["key"], "n")}) AS g
                JOIN "{table}" AS p ON {is_key(key, "p", "g.key")}
            WHERE {is_own("p", "g")}
        """
    places = f"""
        SELECT key, CAST(task_id AS uuid) AS task_id, CAST(position AS integer) AS position, n, {_OWNER}
        FROM {lists.rows_from(["key", "task_id", "position"], "n")}
    """
    by_place = f"""
        SELECT n, p.task_id, p.position
        FROM ({places}) AS g JOIN "{table}" AS p ON p.task_id = g.task_id AND p.position = g.position
        WHERE {is_own("p", "g")}
    """
    if key is None:
        return by_place
    return f"""{by_place}
        UNION ALL
        SELECT n, p.task_id, p.position
        FROM ({places}) AS g JOIN "{table}" AS p ON {is_key(key, "p", "g.key")}
        WHERE g.task_id IS NULL AND {is_own("p", "g")}
    """


class Fitting(NamedTuple):
    """How many places fit any prediction, and those that fit several: (place, predictions)."""

    matched: int
    several: Sequence[tuple[int, int]]


async def count(connection: AsyncConnection, table: str, key: KeyOf | None, given: Given) -> Fitting:
    """Count what the places fit."""
    await connection.execute(BY_INDEX)
    query = text(f"""
        SELECT n, count(*) AS predictions, count(*) OVER () AS matched FROM ({fits(table, key, given)}) AS fits
        GROUP BY n ORDER BY predictions DESC, n LIMIT {SHOWN}
    """)
    rows = (await connection.execute(query, given.values)).all()
    several = [(row.n - 1, row.predictions) for row in rows if row.predictions > 1]
    return Fitting(rows[0].matched if rows else 0, several)


async def predictions_of(
    connection: AsyncConnection, model: str, table: str, key: KeyOf | None, ids: Sequence[int]
) -> dict[int, int]:
    """Return how many predictions each of these outcomes, given by its id, is about; 0 is left out."""
    await connection.execute(BY_INDEX)
    query = text(f"""
        SELECT id, count(*) AS predictions FROM ({matched(model, table, key)}) AS matched
        WHERE id = ANY(CAST(:ids AS bigint[])) GROUP BY id
    """)
    return {row.id: row.predictions for row in await connection.execute(query, {"ids": list(ids)})}
