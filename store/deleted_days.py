"""The days that retention has deleted or is deleting: nothing may export them again, as the tables lack some rows."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import Connection, func, select, text, update

from store.deletion_tables import deleted_days

LOCK = 0x6D696C6C64
"""Held by the program that deletes predictions, "milld": one at a time, as none may take the other's half of a day for
a whole one."""

_BEGIN = text("""
INSERT INTO deleted_days (model, day, predictions)
SELECT :model, day, predictions FROM unnest(CAST(:days AS date[]), CAST(:counts AS bigint[])) AS new (day, predictions)
ON CONFLICT (model, day) DO UPDATE
SET predictions = EXCLUDED.predictions, begun_at = clock_timestamp(), ended_at = NULL
WHERE deleted_days.ended_at IS NOT NULL
""")


def begin(connection: Connection, model: str, days: Mapping[date, int]) -> None:
    """Note that these days, given with their rows, are going to be deleted; an interrupted one stays as it was."""
    connection.execute(_BEGIN, {"model": model, "days": list(days), "counts": list(days.values())})


def end(connection: Connection, model: str, days: Sequence[date]) -> None:
    """Note that these days are gone."""
    which = (deleted_days.c.model == model) & deleted_days.c.day.in_(days)
    connection.execute(update(deleted_days).where(which).values(ended_at=func.now()))


def unfinished(connection: Connection, model: str) -> set[date]:
    """Return the days that a run which was interrupted has begun to delete."""
    which = (deleted_days.c.model == model) & deleted_days.c.ended_at.is_(None)
    return set(connection.scalars(select(deleted_days.c.day).where(which)))


def of_model(connection: Connection, model: str) -> set[date]:
    """Return the days whose rows the model's table no longer has, or not all of them."""
    return set(connection.scalars(select(deleted_days.c.day).where(deleted_days.c.model == model)))
