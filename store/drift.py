"""Counts a column's values on some days, part by part; keeps how far columns have moved, and finds what was kept last.

PostgreSQL counts: what comes here is a number for each part, however many predictions there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, func, text
from sqlalchemy.dialects.postgresql import insert

from store.drift_tables import drift
from store.old_days import midnight

VALUES = {
    "integer": 'CAST("{}" AS float8)',
    "bigint": 'CAST("{}" AS float8)',
    "double": "NULLIF(\"{}\", 'NaN')",
    "boolean": 'CAST(CAST("{}" AS integer) AS float8)',
    "text": '"{}"',
}
"""The kinds of columns that can be counted: numbers in bins, texts as categories."""

TASTE = 2_000
"""Values that are looked at before a text is grouped."""


@dataclass(frozen=True)
class ColumnRows:
    """A column of the predictions that were scored on the days (UTC) from `since` up to before `until`."""

    table: str
    column: str
    kind: str
    """A key of VALUES."""
    since: date
    until: date
    version: str | None = None
    """None: of every version."""

    @property
    def sql(self) -> str:
        value = VALUES[self.kind].format(self.column)
        by = "true" if self.version is None else "model_version = :version"
        return f'SELECT {value} AS value FROM "{self.table}" WHERE scored_at >= :since AND scored_at < :until AND {by}'

    @property
    def parameters(self) -> dict[str, Any]:
        return {"since": midnight(self.since), "until": midnight(self.until), "version": self.version}


def count_numbers(connection: Connection, rows: ColumnRows, edges: Sequence[float]) -> dict[int | None, int]:
    """Return rows by bin: 0 lies below the first edge; None: without a value."""
    part = "width_bucket(value, CAST(:edges AS float8[]))"
    counted = f"SELECT {part} AS part, count(*) AS found FROM ({rows.sql}) AS read GROUP BY part"
    found = connection.execute(text(counted), rows.parameters | {"edges": list(edges)})
    return {row.part: row.found for row in found}


def count_categories(connection: Connection, rows: ColumnRows, names: Sequence[str]) -> dict[int | None, int]:
    """Return rows by place in `names`, from 1; 0: another category; None: without a value."""
    counted = f"""
        SELECT CASE WHEN value IS NOT NULL THEN coalesce(known.place, 0) END AS part, count(*) AS found
        FROM ({rows.sql}) AS read
        LEFT JOIN unnest(CAST(:names AS text[])) WITH ORDINALITY AS known (name, place) ON known.name = read.value
        GROUP BY part
    """
    found = connection.execute(text(counted), rows.parameters | {"names": list(names)})
    return {row.part: row.found for row in found}


def quantiles(connection: Connection, rows: ColumnRows, parts: int) -> list[float]:
    """Return what cuts the numbers into so many equal parts; nothing where there are none."""
    shares = [place / parts for place in range(1, parts)]
    cut = f"SELECT percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY value) FROM ({rows.sql}) AS read"
    return connection.scalar(text(cut), rows.parameters | {"shares": shares}) or []


def distinct(connection: Connection, rows: ColumnRows) -> tuple[int, int]:
    """Return how many different values the first TASTE rows have, and how many values."""
    counted = f"SELECT count(DISTINCT value), count(value) FROM ({rows.sql} LIMIT {TASTE}) AS read"
    different, present = connection.execute(text(counted), rows.parameters).one()
    return different, present


def most_frequent(connection: Connection, rows: ColumnRows, most: int) -> list[tuple[str, int]]:
    """Return the most frequent texts with their rows."""
    ranked = f"""
        SELECT value, count(*) AS found FROM ({rows.sql}) AS read WHERE value IS NOT NULL
        GROUP BY value ORDER BY found DESC, value LIMIT :most
    """
    found = connection.execute(text(ranked), rows.parameters | {"most": most})
    return [(row.value, row.found) for row in found]


def keep(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store how far columns have moved, in place of what was computed of the same days before."""
    given = insert(drift)
    renewed = {c.name: given.excluded[c.name] for c in drift.columns if not c.primary_key}
    replace = given.on_conflict_do_update(constraint="drift_pkey", set_=renewed | {"computed_at": func.now()})
    connection.execute(replace, list(rows))


_LAST = text("""
SELECT found.*
FROM unnest(CAST(:models AS text[]), CAST(:versions AS text[])) AS live (model, version)
CROSS JOIN LATERAL (SELECT max(day) AS day FROM drift WHERE model = live.model AND version = live.version) AS last
CROSS JOIN LATERAL (
    SELECT * FROM drift WHERE model = live.model AND version = live.version AND day = last.day
    ORDER BY found DESC NULLS LAST, psi - band DESC, column_name, against
    LIMIT :most
) AS found
""")


def last(connection: Connection, versions: Sequence[tuple[str, str]], most: int) -> list[Row[Any]]:
    """Return what was kept of the last day of each (model, version), up to `most` rows, what has drifted first."""
    names = {"models": [model for model, _ in versions], "versions": [version for _, version in versions]}
    return list(connection.execute(_LAST, names | {"most": most}))
