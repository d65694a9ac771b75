"""The event of each erasure, without the key and without content, and the exported days that it has yet to reach."""

from collections.abc import Collection
from datetime import date

from sqlalchemy import Connection, func, insert, select, text, update

from store.deletion_tables import erasures


def begin(connection: Connection, model: str, by: str, reason: str | None) -> int:
    """Note that an erasure has begun, and return its id."""
    new = insert(erasures).values(model=model, by=by, reason=reason).returning(erasures.c.id)
    return int(connection.execute(new).scalar_one())


_NOTE = text("""
UPDATE erasures SET predictions = predictions + :predictions, tasks = tasks + :tasks,
    stale_days = ARRAY(SELECT DISTINCT unnest(stale_days || CAST(:days AS date[])) ORDER BY 1)
WHERE id = :id
""")


def note(
    connection: Connection, erasure: int, *, predictions: int = 0, tasks: int, days: Collection[date] = ()
) -> None:
    """Count what this transaction erases, and note the days whose export still has it."""
    connection.execute(_NOTE, {"id": erasure, "predictions": predictions, "tasks": tasks, "days": sorted(days)})


def stale_days(connection: Connection, model: str) -> list[date]:
    """Return the exported days of the model that still have what this erasure or an interrupted one has erased."""
    days = select(func.unnest(erasures.c.stale_days)).where(erasures.c.model == model)
    return sorted(set(connection.scalars(days)))


def rewritten(connection: Connection, model: str, day: date) -> None:
    """Note that the export of this day has been written anew."""
    fresh = func.array_remove(erasures.c.stale_days, day)
    connection.execute(update(erasures).where(erasures.c.model == model).values(stale_days=fresh))


def end(connection: Connection, erasure: int) -> None:
    connection.execute(update(erasures).where(erasures.c.id == erasure).values(ended_at=func.clock_timestamp()))
