"""Compares a model's table, as it is in the database, with what a version's schema keeps in it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, text
from sqlalchemy.dialects import postgresql

from serving.schema import ModelSchema
from store import models
from store.predictions import KINDS

TYPES = {
    kind: column.compile(postgresql.dialect()).lower()  # type: ignore[no-untyped-call]
    for kind, column in KINDS.items()
}
"""The name that PostgreSQL gives the type of each kind."""

_COLUMNS = text("""
SELECT attname, attnotnull, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident(:table)) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
""")


class TypeChange(NamedTuple):
    """A column whose type in the table is not what a schema needs."""

    column: str
    before: str
    after: str


def columns_of(connection: Connection, table: str) -> dict[str, Row[Any]]:
    """Return (attname, attnotnull, type) of each of the table's columns, in their order; nothing if it is not there."""
    return {row.attname: row for row in connection.execute(_COLUMNS, {"table": table})}


def types_of(connection: Connection, table: str) -> dict[str, str]:
    return {name: row.type for name, row in columns_of(connection, table).items()}


def differing(schema: ModelSchema, types: Mapping[str, str]) -> list[TypeChange]:
    """Return the columns that have another type in the table than the schema needs."""
    needed = {field.column: TYPES[field.kind] for field in (*schema.input, *schema.output)}
    return [
        TypeChange(column, types[column], after)
        for column, after in needed.items()
        if types.get(column, after) != after
    ]


def misfit(connection: Connection, model: str, version: str) -> str | None:
    """Return why the model's table cannot keep what the version stores; None: it can.

    A version whose spec is code has a table that migrations keep.
    """
    for row in models.contents(connection, [(model, version)]):
        if row.schema is None:
            return None
        schema = msgspec.convert(row.schema, ModelSchema)
        for change in differing(schema, types_of(connection, row.table_name)):
            return (
                f"{model} {version} no longer fits its table: the column {change.column} of {row.table_name} holds "
                f"{change.before}, and the version stores {change.after}"
            )
    return None
