"""Tells tools what they cannot guess: a comment on every table and column, and the task that a prediction belongs to.

Nothing here changes what the programs do, so it is no migration: it is brought up to date after each.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Connection, MetaData, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import SetColumnComment, SetTableComment

from store import outage
from store.limits import limit_time

log = structlog.get_logger(__name__)

SECONDS = 8.0
"""How long a statement here may take. It waits for a lock for a quarter of that, and so does everybody behind it."""

NOT_ENFORCED = 180_000
"""The version of PostgreSQL from which on a foreign key can be stated without being checked for each row."""

_COMMENTS = text("""
SELECT attname, description
FROM pg_description LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND attnum > 0
WHERE objoid = to_regclass(:name) AND classoid = CAST('pg_class' AS regclass)
""")

_RELATION = text("SELECT FROM pg_constraint WHERE conrelid = to_regclass(:name) AND conname = :constraint")


def relation(table: Table) -> str | None:
    """Return the name of the foreign key by which tools find a prediction's task; None where there is none."""
    return f"{table.name}_task_id_fkey" if table.info.get("predictions") else None


def annotate(connection: Connection, schema: MetaData) -> None:
    """Bring comments and relations up to date; what somebody's lock prevents is left to the next migration."""
    tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"))
    existing = set(tables.scalars())
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    for table in schema.tables.values():
        if table.name not in existing:
            continue
        _attempt(connection, table, _comment)
        if version >= NOT_ENFORCED and relation(table):
            _attempt(connection, table, _relate)


def _attempt(connection: Connection, table: Table, change: Callable[[Connection, Table], None]) -> None:
    try:
        with connection.begin_nested():
            limit_time(connection, SECONDS)
            change(connection, table)
    except DBAPIError as error:
        if not outage.is_transient(error):
            raise
        log.warning("not_annotated", table=table.name, error=str(error))


def _comment(connection: Connection, table: Table) -> None:
    rows = connection.execute(_COMMENTS, {"name": f'"{table.name}"'}).all()
    said = {row.attname: row.description for row in rows}
    if table.comment and said.get(None) != table.comment:
        connection.execute(SetTableComment(table))
    for column in table.columns:
        if column.comment and said.get(column.name) != column.comment:
            connection.execute(SetColumnComment(column))


def _relate(connection: Connection, table: Table) -> None:
    """State the foreign key: checking it for each row would double the cost of storing a prediction."""
    named = {"name": f'"{table.name}"', "constraint": relation(table)}
    if connection.execute(_RELATION, named).first() is None:
        connection.exec_driver_sql(
            f'ALTER TABLE "{table.name}" ADD CONSTRAINT "{relation(table)}" '
            "FOREIGN KEY (task_id) REFERENCES tasks (id) NOT ENFORCED"
        )
