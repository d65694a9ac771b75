"""Makes a model's table of predictions and its view, as the owner of the database: no program may, and HTTP never does.

A table only grows: a new column may be null, nothing is dropped, and a column whose type would change is refused.
`rewriting` changes one.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, MetaData, Row, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from registry import outcome_views
from registry.administration import RegistryRefused
from registry.table_types import columns_of
from registry.versions import ModelVersion, NoSpec
from serving.contract import Spec
from store import models, outage, roles
from store.annotations import annotate
from store.limits import limit_time
from store.predictions import predictions_table
from store.schema import lacking
from store.tables import ANALYST, metadata

log = structlog.get_logger(__name__)

T = TypeVar("T")

SECONDS = 8.0
"""How long a statement may take; it waits for a lock for a quarter of that, and so does everybody behind it."""

ATTEMPTS = 5

_OTHERS_VIEW = text("""
SELECT relkind FROM pg_class WHERE oid = to_regclass(quote_ident(:name)) AND relkind <> 'v'
""")


def changing(engine: Engine, change: Callable[[Connection], T]) -> T:
    """Make a change in one transaction, which is tried again where somebody's lock is in its way."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with engine.begin() as connection:
                limit_time(connection, SECONDS)
                return change(connection)
        except DBAPIError as error:
            if attempt == ATTEMPTS or not outage.is_transient(error):
                raise
            log.warning("change_waits", attempt=attempt, error=str(error.orig))
            time.sleep(attempt)
    raise AssertionError


def described(spec: Spec) -> Table:
    """Return the table that the spec's predictions need."""
    return predictions_table(
        *(spec.table, spec.stored_columns, MetaData(naming_convention=metadata.naming_convention), spec.personal),
        key=spec.key,
        comments=spec.comments,
        comment=f"{spec.title}: a row for each input, with its output; task_id is tasks.id",
    )


def make(connection: Connection, spec: Spec) -> None:
    """Make the table, or give it the columns that it lacks, and renew its view. Raises RegistryRefused."""
    table = described(spec)
    existing = columns_of(connection, table.name)
    if not existing:
        table.create(connection)
    else:
        _grow(connection, table, existing)
    roles.grant(connection, table.metadata)
    annotate(connection, table.metadata)
    make_view(connection, spec.name, table.name)
    outcome_views.renew(connection)


def renew(connection: Connection, versions: Iterable[ModelVersion]) -> None:
    """Give the roles their rights to the models' tables, and the tables their comments and views."""
    for version in versions:
        try:
            table = described(version.spec)
        except (NoSpec, TypeError) as error:
            log.warning("table_not_renewed", model=version.model, reason=str(error))
            continue
        if not lacking(connection, table):
            roles.grant(connection, table.metadata)
            annotate(connection, table.metadata)
            make_view(connection, version.model, table.name)
    outcome_views.renew(connection)


def index_key(engine: Engine, spec: Spec) -> None:
    """Make the index of the callers' own keys that is missing where a later version brought the field.

    Outcomes, leases and erasures look predictions up by it. It is built beside those who write, outside a transaction.
    """
    table = described(spec)
    found = [index for index in table.indexes if spec.key is not None and list(index.columns) == [table.c[spec.key]]]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for index in found:
            if not connection.scalar(_INDEXED, {"table": table.name, "column": spec.key}):
                index.dialect_options["postgresql"]["concurrently"] = True
                index.drop(connection, checkfirst=True)  # an interrupted attempt leaves one that is invalid
                index.create(connection)


_INDEXED = text("""
SELECT EXISTS (
    SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
    WHERE indrelid = to_regclass(quote_ident(:table)) AND attname = :column AND indisvalid
)
""")


def _grow(connection: Connection, table: Table, existing: dict[str, Row[Any]]) -> None:
    for column in table.columns:
        kind = column.type.compile(postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
        if (there := existing.get(column.name)) is None:
            connection.execute(text(f'ALTER TABLE "{table.name}" ADD COLUMN "{column.name}" {kind}'))
        elif there.type != kind:
            raise RegistryRefused(
                f"the column {column.name} of {table.name} holds {there.type}, and this version has {kind}: "
                "rename the field, add the model under another name, or have the table changed with --rewrite, which "
                "says first what that costs"
            )
    for name, there in existing.items():
        if there.attnotnull and (name not in table.columns or table.columns[name].nullable):
            connection.execute(text(f'ALTER TABLE "{table.name}" ALTER COLUMN "{name}" DROP NOT NULL'))


def drop_views(connection: Connection) -> None:
    """Drop all views: PostgreSQL changes no column that a view shows. `renew` makes them again."""
    outcome_views.drop(connection)
    for model in models.tables(connection):
        connection.execute(text(f'DROP VIEW IF EXISTS "{model}_rows"'))


def make_view(connection: Connection, model: str, table: str) -> None:
    """Make `<model>_rows`: what was predicted, with the task's client and times. Raises RegistryRefused."""
    view = f"{model}_rows"
    if connection.scalar(_OTHERS_VIEW, {"name": view}) is not None:
        raise RegistryRefused(f"there is a table {view}, which is what the view of {model} is to be called")
    # Columns that were added to the table come last, as a view can be given more columns only at its end.
    columns = ", ".join(f'p."{name}"' for name in columns_of(connection, table))
    connection.execute(
        text(f"""
            CREATE OR REPLACE VIEW "{view}" AS
            SELECT t.client, t.priority, t.submitted_at, t.finished_at, {columns}
            FROM "{table}" AS p LEFT JOIN tasks AS t ON t.id = p.task_id
        """)
    )
    if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": ANALYST}):
        connection.execute(text(f'GRANT SELECT ON "{view}" TO {ANALYST}'))
