"""The rows of a job: which tasks have scored them, in the order of the file, and which cannot be scored."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store.result_rows import RowSource
from store.states import SUCCESS, status_in

_SOURCES = text(f"""
SELECT part, first_row, n_rows, rejected, task_id, n_inputs
FROM job_parts JOIN tasks ON tasks.id = job_parts.task_id AND tasks.{status_in(SUCCESS)}
WHERE job_id = :id AND part > :after ORDER BY part LIMIT :limit
""")


async def sources(
    connection: AsyncConnection, job_id: UUID, after: int, limit: int
) -> tuple[list[RowSource], int | None]:
    """Return the scored tasks of the parts behind this one, and the last of them: None where there are no more."""
    rows = (await connection.execute(_SOURCES, {"id": job_id, "after": after, "limit": limit})).all()
    found = [
        RowSource(row.task_id, row.n_inputs, row.first_row, _kept_rows(row) if row.rejected else None) for row in rows
    ]
    return found, rows[-1].part if len(rows) == limit else None


def _kept_rows(part: Row[Any]) -> list[int]:
    """Return the numbers in the file of a part's rows that are not rejected."""
    rejected = set(part.rejected)
    return [part.first_row + place for place in range(part.n_rows) if place not in rejected]


_REJECTS = text("""
SELECT row_number, errors FROM job_rejects WHERE job_id = :id AND row_number > :after ORDER BY row_number LIMIT :limit
""")


async def rejects(connection: AsyncConnection, job_id: UUID, after: int, limit: int) -> list[Row[Any]]:
    """Return (row_number, errors) of rejected rows behind this one."""
    return list(await connection.execute(_REJECTS, {"id": job_id, "after": after, "limit": limit}))
