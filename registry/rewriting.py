"""Changes the types of a table's columns, with every value kept: `millrace models add --rewrite`.

The table is locked meanwhile. A version whose schema no longer fits it must score nothing any more: neither the live
one, nor for tasks that were accepted under it, nor in a process that still has it loaded. The binary COPY of a worker
goes by the version's types, and PostgreSQL would refuse the rows, or take bytes of a number for a text.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from registry import casts, dependent_views, prediction_tables, table_types, versions
from registry.administration import RegistryRefused
from registry.casts import Cast
from registry.table_types import TypeChange
from registry.versions import ModelVersion, Registry
from serving.contract import Spec
from serving.schema import ModelSchema
from store import outage, workers
from store.model_tables import State
from store.states import PENDING, STARTED, status_in

SAMPLE = 20_000
"""Rows on which the rate is measured."""

MARGIN = 20
"""How many times as long as estimated the change may take: a large table fits no cache, as the sample does."""

LEAST = 60.0
"""Seconds that it may take in any case."""

LOOKING = 3600.0
"""Seconds for a look at every row, before anything is locked."""

DRAINING = 90.0
"""Seconds for chunks that are being scored to end; a model has 60 for one unless it says otherwise."""

_OPEN = text(f"""
SELECT count(*) FROM tasks
WHERE model = :model AND accepted_version = ANY(:versions) AND {status_in(PENDING, STARTED)}
""")
_HELD = text(f"SELECT id, attempt FROM tasks WHERE model = :model AND {status_in(STARTED)}")


@dataclass(frozen=True)
class Rewrite:
    """What is to change in a model's table, and what that costs."""

    model: str
    table: str
    changes: Sequence[TypeChange]
    rows: int
    bytes: int
    seconds: float
    measured_on: int
    """Rows."""
    unfit: Sequence[str]
    """The versions whose schema the table then no longer fits."""
    live: str | None
    """The version that is live, and stays so."""


def plan(engine: Engine, model: str, table: str, schema: ModelSchema) -> Rewrite | None:
    """Return what a rewrite would change and cost; None: nothing has to change. Raises RegistryRefused.

    It is refused here, before anything is changed, where a value would be lost, or where a version that would no
    longer fit is in use.
    """
    with engine.connect() as connection:
        _limit(connection, LOOKING)
        types = table_types.types_of(connection, table)
        changes = table_types.differing(schema, types)
        if not changes:
            return None
        registry = versions.read(connection)
        dependent_views.check(connection, table)
        unfit = _unfit(registry, model, table, types, changes)
        _refuse_in_use(connection, registry, unfit)
        start = time.perf_counter()
        rows = _refuse_lost(connection, table, changes)
        looking = time.perf_counter() - start
        size = connection.scalar(
            text("SELECT pg_total_relation_size(to_regclass(quote_ident(:name)))"), {"name": table}
        )
        sample = min(rows, SAMPLE)
        seconds = looking + _measure(connection, table, changes) * (rows / sample if sample else 1)
        live = registry.live[model].version if model in registry.live else None
        named = [one.version for one in unfit]
        return Rewrite(model, table, changes, rows, int(size or 0), seconds, sample, named, live)


def drain(engine: Engine, rewrite: Rewrite) -> None:
    """Wait for the chunks that are being scored: a process may have begun one with a version that it has replaced.

    Raises RegistryRefused.
    """
    until = time.monotonic() + DRAINING
    with engine.connect() as connection:
        before = set(connection.execute(_HELD, {"model": rewrite.model}).all())
    while rewrite.unfit and before:
        if time.monotonic() > until:
            raise RegistryRefused(f"{len(before)} tasks of {rewrite.model} are still being scored; try again later")
        time.sleep(0.2)
        with engine.connect() as connection:
            before &= set(connection.execute(_HELD, {"model": rewrite.model}).all())


def perform(connection: Connection, rewrite: Rewrite, spec: Spec) -> None:
    """Change the columns, make the table as the spec needs it, and its views again. Raises RegistryRefused."""
    connection.execute(text(f'LOCK TABLE "{rewrite.table}" IN ACCESS EXCLUSIVE MODE'))
    seconds = max(LEAST, MARGIN * rewrite.seconds)
    _limit(connection, seconds)
    types = table_types.types_of(connection, rewrite.table)
    if any(types.get(change.column) != change.before for change in rewrite.changes):
        raise RegistryRefused(f"somebody has changed {rewrite.table} meanwhile: run the command again")
    registry = versions.read(connection)
    _refuse_in_use(connection, registry, _unfit(registry, rewrite.model, rewrite.table, types, rewrite.changes))
    try:
        _refuse_lost(connection, rewrite.table, rewrite.changes)
        with dependent_views.taken_off(connection, rewrite.table):
            connection.execute(text(_alter(rewrite.table, rewrite.changes)))
            prediction_tables.make(connection, spec)
    except DBAPIError as error:
        if outage.sqlstate(error) != "57014":
            raise
        raise RegistryRefused(
            f"the change of {rewrite.table} was cancelled, or took longer than {seconds:,.0f} s; nothing has changed"
        ) from error


def _limit(connection: Connection, seconds: float) -> None:
    connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))


def _unfit(
    registry: Registry, model: str, table: str, types: dict[str, str], changes: Sequence[TypeChange]
) -> list[ModelVersion]:
    """Return the versions that fit the table as it is, and would not afterwards."""
    then = types | {change.column: change.after for change in changes}
    found = []
    for version in registry.versions_of(model):
        if version.schema is None:
            raise RegistryRefused(f"{table} belongs to a model of this release: a migration changes its columns")
        if not table_types.differing(version.schema, types) and table_types.differing(version.schema, then):
            found.append(version)
    return found


def _refuse_in_use(connection: Connection, registry: Registry, unfit: Sequence[ModelVersion]) -> None:
    loaded = workers.processes_by_version(connection)
    for version in unfit:
        named = f"{version.model}@{version.version}"
        if (state := registry.state(version)) in (State.LIVE, State.SHADOW):
            remedy = (
                f"end it with `millrace models shadow {named} --stop`"
                if state is State.SHADOW
                else "promote a version without the column, or retire the model: `millrace models retire "
                f"{version.model}` ends its waiting tasks"
            )
            raise RegistryRefused(f"{named} is {state}, and could not store its results then; first {remedy}")
        if processes := loaded.get((version.model, version.version)):
            raise RegistryRefused(
                f"{processes} worker processes still have {named} loaded, which could not store its results then; try "
                "again in some seconds, and see `millrace models list`"
            )
    if unfit:
        values = {"model": unfit[0].model, "versions": [version.version for version in unfit]}
        if waiting := connection.scalar(_OPEN, values):
            raise RegistryRefused(
                f"{waiting} tasks were accepted under a version that could not store their results then; wait until "
                "they have ended, or cancel them"
            )


def _cast(table: str, change: TypeChange) -> Cast:
    if (found := casts.cast(f'"{change.column}"', change.before, change.after)) is None:
        raise RegistryRefused(
            f"the column {change.column} of {table} holds {change.before}, which does not become {change.after}: "
            "rename the field, or add the model under another name"
        )
    return found


def _refuse_lost(connection: Connection, table: str, changes: Sequence[TypeChange]) -> int:
    """Return how many rows the table has. Raises RegistryRefused where a column's values cannot all change."""
    counts = ", ".join(f"count(*) FILTER (WHERE {_cast(table, change).lost})" for change in changes)
    rows, *lost = connection.execute(text(f'SELECT count(*), {counts} FROM "{table}"')).one()
    for change, count in zip(changes, lost, strict=True):
        if count:
            raise RegistryRefused(
                f"the column {change.column} of {table}: {count:,} of {rows:,} rows hold a {change.before} that is no "
                f"{change.after}, or not the same one; rename the field, or add the model under another name"
            )
    return int(rows)


def _alter(table: str, changes: Sequence[TypeChange]) -> str:
    actions = (
        f'ALTER COLUMN "{change.column}" TYPE {change.after} USING {_cast(table, change).using}' for change in changes
    )
    return f'ALTER TABLE "{table}" {", ".join(actions)}'


def _measure(connection: Connection, table: str, changes: Sequence[TypeChange]) -> float:
    """Return the seconds that the change takes of a sample of the rows, in a table that is gone afterwards."""
    trial = "millrace_rewrite_trial"
    with connection.begin_nested() as undone:
        connection.execute(text(f'CREATE TABLE {trial} (LIKE "{table}" INCLUDING INDEXES)'))
        connection.execute(text(f'INSERT INTO {trial} SELECT * FROM "{table}" LIMIT {SAMPLE}'))
        start = time.perf_counter()
        connection.execute(text(_alter(trial, changes)))
        seconds = time.perf_counter() - start
        undone.rollback()
    return seconds
