"""Which predictions a reviewer may get: the free ones among the newest, and those that wait for a second review."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import matching
from store.matching import KeyOf
from store.outcome_tables import Ending


@dataclass(frozen=True)
class Asked:
    """Whose predictions are asked for: a model's, that meet a condition on the alias p, for this reviewer."""

    model: str
    table: str
    key: KeyOf | None
    score: str
    reviewer: str
    condition: str
    values: Mapping[str, Any]


class Reviewable(NamedTuple):
    """A prediction, by its task and its position in it."""

    task_id: UUID
    position: int


class Pool(NamedTuple):
    """How many predictions can be drawn; the first of them by rank, and in random order."""

    size: int
    top: Sequence[Reviewable]
    shuffled: Sequence[Reviewable]


def _taken(key: KeyOf | None) -> str:
    """Return what gives the prediction p a row for each reason why the reviewer cannot get it.

    Each part has a limit, so that PostgreSQL looks it up by its index for each prediction, and never reads a table.
    """
    found = [
        f"""SELECT 1 AS found FROM draws AS d
            WHERE d.task_id = p.task_id AND d.position = p.position
                AND (d.ended_at IS NULL OR d.ending = '{Ending.RELEASED}' AND d.reviewer = :reviewer)
            LIMIT 1""",
        _decided(("task_id = p.task_id", "position = p.position")),
    ]
    if key is not None:
        found.append(_decided((f'key = CAST(p."{key.column}" AS text)', "task_id IS NULL")))
    return " ".join(f"LEFT JOIN LATERAL ({one}) AS t{n} ON true" for n, one in enumerate(found))


def _decided(place: Sequence[str]) -> str:
    """Return the query of an outcome at this place which its reviewer has not withdrawn since."""
    here, later = (" AND ".join(f"{name}.{part}" for part in place) for name in ("o", "w"))
    return f"""SELECT 1 AS found FROM outcomes AS o
        WHERE o.model = :model AND {here} AND NOT o.withdrawn AND {matching.is_own("p", "o")} AND NOT EXISTS (
            SELECT FROM outcomes AS w
            WHERE w.model = :model AND {later} AND w.withdrawn AND w.decided_at >= o.decided_at
                AND w.reviewer IS NOT DISTINCT FROM o.reviewer AND w.source IS NOT DISTINCT FROM o.source
        )
        LIMIT 1"""


def _free(asked: Asked) -> str:
    """Return the query of what can be drawn, among the `newest` of the model's table."""
    free = " AND ".join(f"t{number}.found IS NULL" for number in range(3 if asked.key else 2))
    return f"""
        SELECT p.task_id, p.position, p."{asked.score}" AS score
        FROM (SELECT * FROM "{asked.table}" ORDER BY task_id DESC, position DESC LIMIT :newest) AS p
        {_taken(asked.key)}
        WHERE p."{asked.score}" IS NOT NULL AND {asked.condition} AND {free}
    """


async def pool(connection: AsyncConnection, asked: Asked, n: int, newest: int) -> Pool:
    """Look for predictions without an outcome that nobody holds, among the newest of the model's table.

    The primary key gives these, as ids of tasks are ordered by time: so the cost does not grow with the table.
    """
    query = text(f"""
        WITH pool AS MATERIALIZED ({_free(asked)})
        SELECT 'size' AS part, NULL AS task_id, NULL AS position, count(*) AS rank FROM pool
        UNION ALL
        SELECT 'top', task_id, position, row_number() OVER (ORDER BY score DESC, task_id, position) FROM (
            SELECT * FROM pool ORDER BY score DESC, task_id, position LIMIT :n
        ) AS ranked
        UNION ALL
        SELECT 'shuffled', task_id, position, row_number() OVER () FROM (
            SELECT * FROM pool ORDER BY random() LIMIT :n
        ) AS mixed
    """)
    values = {**asked.values, "newest": newest, "n": n, "model": asked.model, "reviewer": asked.reviewer}
    await connection.execute(matching.BY_INDEX)
    rows = sorted((await connection.execute(query, values)).all(), key=lambda row: int(row.rank))
    size = next(row.rank for row in rows if row.part == "size")
    top, shuffled = ([Reviewable(row.task_id, row.position) for row in rows if row.part == part] for part in _PARTS)
    return Pool(size, top, shuffled)


_PARTS = ("top", "shuffled")


async def ranked(
    connection: AsyncConnection, asked: Asked, after: Reviewable | None, n: int, newest: int
) -> Sequence[Reviewable]:
    """Return what `pool` would find by rank, so many after a prediction. Nothing is drawn or noted by looking."""
    behind = f"""
        JOIN "{asked.table}" AS last ON last.task_id = :after_task AND last.position = :after_position AND (
            pool.score < last."{asked.score}"
            OR pool.score = last."{asked.score}"
                AND (pool.task_id, pool.position) > (last.task_id, last.position)
        )"""
    query = text(f"""
        WITH pool AS MATERIALIZED ({_free(asked)})
        SELECT pool.task_id, pool.position FROM pool {behind if after else ""}
        ORDER BY pool.score DESC, pool.task_id, pool.position LIMIT :n
    """)
    values = {**asked.values, "newest": newest, "n": n, "model": asked.model, "reviewer": asked.reviewer}
    if after:
        values |= {"after_task": after.task_id, "after_position": after.position}
    await connection.execute(matching.BY_INDEX)
    return [Reviewable(*row) for row in await connection.execute(query, values)]


class Second(NamedTuple):
    """A prediction that another reviewer has decided, and the draw by which that one got it."""

    draw: int
    place: Reviewable


async def seconds(connection: AsyncConnection, asked: Asked, n: int) -> list[Second]:
    """Return predictions that wait for a second reviewer and which this one has not had, the oldest first."""
    query = text(f"""
        SELECT first.id, p.task_id, p.position
        FROM draws AS first JOIN "{asked.table}" AS p ON p.task_id = first.task_id AND p.position = first.position
        WHERE first.model = :model AND first.second_pending AND first.ending = '{Ending.DECIDED}'
            AND {asked.condition} AND NOT EXISTS (
                SELECT FROM draws AS d WHERE d.task_id = first.task_id AND d.position = first.position
                    AND (d.reviewer = :reviewer OR d.ended_at IS NULL)
            )
        ORDER BY first.id LIMIT :n
    """)
    values = {**asked.values, "n": n, "model": asked.model, "reviewer": asked.reviewer}
    return [Second(id_, Reviewable(*place)) for id_, *place in await connection.execute(query, values)]


async def inputs(
    connection: AsyncConnection, table: str, columns: Sequence[str], places: Sequence[Reviewable]
) -> dict[Reviewable, Sequence[Any]]:
    """Return these columns of predictions."""
    names = ", ".join(f'p."{name}"' for name in columns)
    query = text(f"""
        SELECT p.task_id, p.position, {names}
        FROM unnest(CAST(:task_ids AS uuid[]), CAST(:positions AS integer[])) AS g (task_id, position)
        JOIN "{table}" AS p ON p.task_id = g.task_id AND p.position = g.position
    """)
    given = {"task_ids": [place.task_id for place in places], "positions": [place.position for place in places]}
    await connection.execute(matching.BY_INDEX)
    return {Reviewable(*row[:2]): row[2:] for row in await connection.execute(query, given)}
