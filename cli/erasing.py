"""Erases one person's data, step by step; each may be interrupted and done again."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from cli.cached_outputs import CachedOutputs
from cli.exported_days import Exports
from cli.held_inputs import Person, erase_held, held
from registry.prediction_tables import changing
from store import deleted_days, erasing, erasures, old_jobs, old_outcomes, task_events, transitions
from store.erasing import ErasedRows
from store.task_events import Actor, TaskEvent

log = structlog.get_logger("forget")

ROWS = 100
"""Predictions of one transaction: of images, 600 MB at most."""


@dataclass
class Erased:
    """What was erased."""

    predictions: int = 0
    tasks: int = 0
    """Those of the predictions."""
    failed: int = 0
    """Ended tasks that had kept inputs."""
    outcomes: int = 0
    """Outcomes that had the key."""
    remains: list[str] = field(default_factory=list)
    """What could not be erased, and what to do about it, in words."""


class Author(NamedTuple):
    """Who erases, and why."""

    by: str
    reason: str | None


def erase(
    engine: Engine,
    person: Person,
    exports: Exports | None,
    cached: CachedOutputs,
    author: Author,
    waiting: Collection[UUID] = (),
) -> Erased:
    """Erase all of it, and cancel the tasks that are `waiting`. Raises UnknownFormat."""
    with engine.begin() as connection:
        erasure = erasures.begin(connection, person.model, *author)
    for task_id in waiting:
        with engine.begin() as connection:
            if transitions.cancel(connection, task_id, None, any_clients=True):
                task_events.note(connection, TaskEvent.CANCELLED, Actor(None, author.by), [task_id])
    erased = Erased(failed=erase_held(engine, person, erasure))
    erased.predictions, erased.tasks = _erase_predictions(engine, person, erasure, cached, exported=exports is not None)
    with engine.begin() as connection:
        old_jobs.erase_quotes(connection, person.model, str(person.columns[0].value))
        erased.outcomes = old_outcomes.erase_key(connection, person.model, person.key)
        erasing.forget_statistics(connection, person.table)
    erased.remains += _rewrite_exports(engine, person, exports)
    with engine.begin() as connection:
        again, _ = erasing.count(connection, person.table, person.columns)
    if again or any(held(engine, person)):
        erased.remains.append("inputs that were submitted or replayed meanwhile: run this again")
    if not erased.remains:
        with engine.begin() as connection:
            erasures.end(connection, erasure)
    if cached.fault is not None:
        erased.remains.append(f"cached outputs, which end by themselves within CACHE_SECONDS ({cached.fault})")
    log.info(
        "person_erased",
        model=person.model,
        predictions=erased.predictions,
        tasks=erased.tasks + erased.failed,
        by=author.by,
        erasure=erasure,
    )
    return erased


def _erase_predictions(
    engine: Engine, person: Person, erasure: int, cached: CachedOutputs, *, exported: bool
) -> tuple[int, int]:
    """Delete the predictions that have the key; return how many there were, and of how many tasks."""
    rows, tasks = 0, set[UUID]()

    def erase_some(connection: Connection) -> ErasedRows | None:
        erased = erasing.erase_predictions(connection, person.table, person.columns, cached.columns, ROWS)
        if erased is not None:
            cached.drop(erased.inputs)  # before the commit, after which nobody knows the inputs any more
            days = erased.days if exported else ()
            new = len(erased.tasks - tasks)
            erasures.note(connection, erasure, predictions=len(erased.inputs), tasks=new, days=days)
        return erased

    while (erased := changing(engine, erase_some)) is not None:
        rows += len(erased.inputs)
        tasks |= erased.tasks
    return rows, len(tasks)


def _rewrite_exports(engine: Engine, person: Person, exports: Exports | None) -> Iterator[str]:
    """Write exported days anew that still have what was erased. Yield in words what could not be done."""
    with engine.begin() as connection:
        stale = erasures.stale_days(connection, person.model)
        gone = deleted_days.of_model(connection, person.model)
    if exports is None:
        if stale:
            yield f"{len(stale)} exported days hold what was erased: set EXPORT_URL, and run this again"
        return
    archived = sorted(gone & set(exports.days(person.model)))
    if archived and exports.erase is None:
        yield (
            f"{len(archived)} exported days, from {archived[0]} to {archived[-1]}, are in the export alone, since "
            "retention has deleted them here. They may have the key: look there, and write them anew without it"
        )
        stale = [day for day in stale if day not in archived]
        archived = []
    for day in sorted({*archived, *stale}):
        try:
            if day not in gone:
                exports.export_day(person.model, person.table, day)
            elif day in archived:
                _erase_exported(person, exports, day)
        except Exception as error:  # of any storage: what is erased here stays so, and the day stays noted
            yield f"the exported day {day} was not written anew ({type(error).__name__}: {error}): run this again"
            continue
        with engine.begin() as connection:
            erasures.rewritten(connection, person.model, day)


def _erase_exported(person: Person, exports: Exports, day: date) -> None:
    assert exports.erase is not None  # noqa: S101 - where it is None, no day is left to be erased here
    for column in person.columns:
        with suppress(KeyError):  # the file of an earlier version, which had no such column
            exports.erase(person.model, day, column.name, column.value)
