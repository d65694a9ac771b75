"""Reads stored inputs that another version is to score, and stores what it says of them.

The owner's commands call it; a condition in SQL is theirs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from store.rescored_tables import gate_reports
from store.tasks import BY_INDEX

FIRST = (UUID(int=0), -1)
"""Before every prediction."""

EVERY = "true"

VALID_DAYS = 7
"""How long a verdict of the gate counts: outcomes go on coming."""


# Of a version that is new the planner knows nothing, and takes its predictions and its scores for few. So each score is
# looked up by its key, for which a subquery stands that is no join.
NOT_WHOLE = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


class VersionScore(NamedTuple):
    """What a version says of one stored input: a score, a label or both, or why it cannot."""

    task_id: UUID
    position: int
    score: float | None
    label: str | None
    error: str | None


def unscored(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    version: tuple[str, str],
    condition: str,
    after: tuple[UUID, int],
    limit: int,
    values: Mapping[str, Any],
    *,
    again: bool = False,
    most: bool = True,
) -> Sequence[Row[Any]]:
    """Return (task_id, position, *columns) of the next stored inputs that (model, version) has not scored.

    They fit the condition, which may name the table's columns and has these values, and come in the order of their
    place. With `again`, those that it failed on are among them. Unless `most` predictions fit the condition, an index
    may choose those that do before they are put in order.
    """
    connection.execute(BY_INDEX if most else NOT_WHOLE)
    wanted = "".join(f', p."{name}"' for name in columns)
    query = text(f"""
        SELECT p.task_id, p.position{wanted} FROM "{table}" AS p
        WHERE (p.task_id, p.position) > (:after_task, :after_position) AND ({condition}) AND (
            SELECT true FROM version_scores AS s
            WHERE s.model = :of_model AND s.version = :of_version AND s.task_id = p.task_id AND s.position = p.position
                AND NOT (:again AND s.error IS NOT NULL)
        ) IS NULL
        ORDER BY p.task_id, p.position LIMIT :limit
    """)
    place = {"after_task": after[0], "after_position": after[1], "limit": limit}
    return connection.execute(query, {**values, **place, "again": again, **_named(version)}).all()


def waiting(
    connection: Connection, table: str, version: tuple[str, str], condition: str, values: Mapping[str, Any]
) -> int:
    """Return how many stored inputs fit the condition, and are not scored by the version, or on which it failed."""
    query = text(f"""
        SELECT count(*) FROM "{table}" AS p WHERE ({condition}) AND NOT EXISTS (
            SELECT FROM version_scores AS s
            WHERE s.model = :of_model AND s.version = :of_version AND s.task_id = p.task_id AND s.position = p.position
                AND s.error IS NULL
        )
    """)
    return int(connection.scalar(query, {**values, **_named(version)}) or 0)


def store(connection: Connection, table: str, version: tuple[str, str], found: Sequence[VersionScore]) -> int:
    """Store what is not there yet, or has failed before, and return how much that was.

    Of a prediction that has been deleted meanwhile nothing is stored: nobody would look for it again.
    """
    query = text(f"""
        WITH there AS (
            SELECT g.* FROM unnest(
                CAST(:task_ids AS uuid[]), CAST(:positions AS integer[]), CAST(:scores AS float8[]),
                CAST(:labels AS text[]), CAST(:errors AS text[])
            ) AS g (task_id, position, score, label, error)
            JOIN "{table}" AS p ON p.task_id = g.task_id AND p.position = g.position
            FOR KEY SHARE OF p
        )
        INSERT INTO version_scores AS s (model, version, task_id, position, score, label, error)
        SELECT :of_model, :of_version, * FROM there
        ON CONFLICT (model, version, task_id, position) DO UPDATE
        SET score = excluded.score, label = excluded.label, error = excluded.error, scored_at = now()
        WHERE s.error IS NOT NULL
    """)
    task_ids, positions, scores, labels, errors = map(list, zip(*found, strict=True))
    values = {"task_ids": task_ids, "positions": positions, "scores": scores, "labels": labels, "errors": errors}
    return connection.execute(query, {**values, **_named(version)}).rowcount


def failures(connection: Connection, version: tuple[str, str], decided: bool = False) -> int:
    """Return how many inputs the version could not score; `decided`: of those that have an outcome."""
    among = f'AND (task_id, position) IN (SELECT task_id, position FROM "{version[0]}_outcomes")' if decided else ""
    query = text(f"""
        SELECT count(*) FROM version_scores
        WHERE model = :of_model AND version = :of_version AND error IS NOT NULL {among}
    """)
    return int(connection.scalar(query, _named(version)) or 0)


def add_gate_report(connection: Connection, version: tuple[str, str], against: str, verdict: str, report: Any) -> None:
    model, name = version
    row = {"model": model, "version": name, "against": against, "verdict": verdict, "report": report}
    connection.execute(gate_reports.insert().values(row))


def gate_reports_of(connection: Connection, model: str, latest: int) -> Sequence[Row[Any]]:
    """Return so many of the model's last reports of the gate, the last first."""
    of_model = gate_reports.select().where(gate_reports.c.model == model)
    return connection.execute(of_model.order_by(gate_reports.c.id.desc()).limit(latest)).all()


def last_verdict(
    connection: Connection, version: tuple[str, str], against: str, excepted: Sequence[str] = ()
) -> str | None:
    """Return what the gate said last of the version in the live one's place; None: it was not asked these days.

    A verdict counts where the same slices were excepted, in the same order.
    """
    query = text(f"""
        SELECT verdict FROM gate_reports
        WHERE model = :of_model AND version = :of_version AND against = :against
            AND made_at > now() - interval '{VALID_DAYS} days'
            AND coalesce(report -> 'excepted', '[]') = to_jsonb(CAST(:excepted AS text[]))
        ORDER BY id DESC LIMIT 1
    """)
    verdict: str | None = connection.scalar(query, {**_named(version), "against": against, "excepted": list(excepted)})
    return verdict


def _named(version: tuple[str, str]) -> dict[str, str]:
    return {"of_model": version[0], "of_version": version[1]}
