"""Scores the tasks of one chunk: claim → predict → finish."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from time import perf_counter
from uuid import UUID

import numpy as np
import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.exc import InterfaceError, OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from models.contract import Spec, Values
from store import claims
from store.claims import Claim, ClaimedTask
from store.copying import copy
from store.predictions import predictions_table
from telemetry.tracing import span
from worker.cache import Cache
from worker.meters import Meters
from worker.predicting import Outcome, Scored, predict
from worker.residency import Resident
from worker.watched import Transactions

log = structlog.get_logger(__name__)

NOW = timedelta(0)

EARLY = 1.0
"""Seconds before its limit from which on a chunk is taken for too slow: the limit's clock starts before ours. Whoever
interrupts one sooner stops the worker."""

persistently = retry(
    retry=retry_if_exception_type((OperationalError, InterfaceError)),  # PostgreSQL is away; a deadlock's victim
    wait=wait_random_exponential(multiplier=0.1, max=5),
    stop=stop_after_delay(60),  # then the message is given up, and rescue brings its tasks back
    reraise=True,
)


def score(
    engine: Transactions,
    resident: Resident,
    task_ids: Sequence[UUID],
    lease: timedelta,
    holding: Callable[[Sequence[Claim]], AbstractContextManager[None]],
    cache: Cache | None = None,
    meters: Meters | None = None,
) -> list[ClaimedTask]:
    """Score the tasks that still wait, store what came out, and return those that ended.

    `holding` renews the leases meanwhile. Raises SQLAlchemy's OperationalError when PostgreSQL stays away.
    """
    start = perf_counter()
    with span("claim"):
        claimed = _claim(engine, task_ids, lease)
    if not claimed:
        return []
    if meters:
        meters.claimed(resident.spec.name, claimed)
    owned = [task.claim for task in claimed]
    with holding(owned):
        try:
            with span("predict"):
                outcome = predict(resident, claimed, cache)
            with span("finish"):
                ids = _finish(engine, resident, outcome)
        except SoftTimeLimitExceeded:  # what had been finished by then is no longer ours, and stays as it is
            limit = resident.spec.time_limit
            stopping = perf_counter() - start < limit - min(EARLY, limit / 2)
            ids = _give_back(engine, owned) if stopping else _out_of_time(engine, resident, owned)
            if meters:
                meters.out_of_time(resident.spec, len(ids))
            return [task for task in claimed if task.claim.task_id in ids]
    ended = [task for task in claimed if task.claim.task_id in ids]
    seconds = perf_counter() - start
    if meters:
        meters.finished(resident, outcome, ids, seconds)
    log.info(
        "chunk_scored",
        model=resident.spec.name,
        tasks=sum(len(scored.tasks) for scored in outcome.scored),
        failed=len(outcome.failed),
        inputs=sum(task.n_inputs for task in claimed),
        discarded=len(claimed) - len(ended),
        seconds=round(seconds, 4),
        task_ids=[str(task.claim.task_id) for task in ended],
    )
    return ended


@persistently
def _claim(engine: Transactions, task_ids: Sequence[UUID], lease: timedelta) -> list[ClaimedTask]:
    with engine.begin(single=True) as connection:
        return claims.claim(connection, task_ids, lease)


@persistently
def _finish(engine: Transactions, resident: Resident, outcome: Outcome) -> set[UUID]:
    """Store everything in one transaction, for the tasks that are still ours, and return their ids."""
    ours = [task.claim for scored in outcome.scored for task in scored.tasks]
    with engine.begin() as connection:
        finished = claims.finish(connection, ours, resident.version)
        for scored in outcome.scored:
            _store(connection, resident, scored.only(finished))
        failed = {
            task_id
            for task, error in outcome.failed
            for task_id in claims.fail(connection, [task.claim], resident.version, error)
        }
    return finished | failed


def _store(connection: Connection, resident: Resident, scored: Scored) -> None:
    if not scored.tasks:
        return
    counts = np.array([task.n_inputs for task in scored.tasks])
    ids = np.frombuffer(b"".join(task.claim.task_id.bytes for task in scored.tasks), "V16")
    before = np.cumsum(counts) - counts
    columns: dict[str, Values] = {
        "task_id": np.repeat(ids, counts),
        "position": np.arange(counts.sum()) - np.repeat(before, counts),
        **{column.name: scored.columns[column.name] for column in resident.spec.stored_columns},
        "model_version": [resident.version] * int(counts.sum()),
    }
    copy(connection, _table(resident.spec), columns)


@functools.cache
def _table(spec: Spec) -> Table:
    return predictions_table(spec.table, spec.stored_columns, MetaData())


@persistently
def _give_back(engine: Transactions, owned: Sequence[Claim]) -> set[UUID]:
    with engine.begin() as connection:
        claims.give_back(connection, owned)
    log.info("chunk_given_back", task_ids=[str(claim.task_id) for claim in owned])
    return set()


@persistently
def _out_of_time(engine: Transactions, resident: Resident, owned: Sequence[Claim]) -> set[UUID]:
    """Fail a task that took too long alone; let rescue take several back at once, to be tried one by one."""
    with engine.begin() as connection:
        if len(owned) > 1:
            claims.renew(connection, owned, NOW)
            return set()
        reason = f"scoring took longer than {resident.spec.time_limit} s"
        return claims.fail(connection, owned, resident.version, reason)
