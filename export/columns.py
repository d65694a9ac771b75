"""The columns of a model's table as the database has them, and how Parquet has them.

They come from the database and not from a spec: a retired model has a table, and a table keeps columns that no version
fills any more.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

TYPES: dict[str, Any] = {
    "uuid": pa.string(),
    "tid": pa.int64(),
    "text": pa.string(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "bytea": pa.binary(),
    "timestamp with time zone": UTC_MICROSECONDS,
    "text[]": pa.list_(pa.string()),
    "double precision[]": pa.list_(pa.float64()),
}
"""By the type's name in PostgreSQL. A UUID is a text, as in the API: not every reader knows Parquet's type for it. The
place of a row (ctid) is a number, for readers within one transaction."""

_COLUMNS = text("""
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required,
        col_description(attrelid, attnum) AS comment
    FROM pg_attribute
    WHERE attrelid = to_regclass(quote_ident(:table)) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
""")


class TableMissing(Exception):
    """The model's table is not there."""


@dataclass(frozen=True)
class ExportedColumn:
    name: str
    type: str
    """A key of TYPES; "text" where the database has a type that is none of them."""
    required: bool
    comment: str | None

    @property
    def selected(self) -> str:
        """What SELECT asks for."""
        quoted = '"' + self.name.replace('"', '""') + '"'
        return f"CAST({quoted} AS {self.type})"

    @property
    def field(self) -> Any:
        metadata = {"comment": self.comment} if self.comment else None
        return pa.field(self.name, TYPES[self.type], nullable=not self.required, metadata=metadata)


def columns_of(connection: Connection, table: str) -> list[ExportedColumn]:
    """Return the table's columns in their order. Raises TableMissing."""
    rows = connection.execute(_COLUMNS, {"table": table}).all()
    if not rows:
        raise TableMissing(f"there is no table {table}")
    return [
        ExportedColumn(row.name, row.type if row.type in TYPES else "text", row.required, row.comment) for row in rows
    ]
