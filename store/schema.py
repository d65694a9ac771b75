"""Looks whether the schema is there that its revision claims: one may be stamped, half restored or changed by hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Connection, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

_MISSING = text("""
    SELECT 'table ' || name FROM unnest(CAST(:tables AS text[])) AS name WHERE to_regclass(quote_ident(name)) IS NULL
    UNION ALL
    SELECT 'column ' || of_table || '.' || name
    FROM unnest(CAST(:of_tables AS text[]), CAST(:columns AS text[])) AS needed (of_table, name)
    WHERE to_regclass(quote_ident(of_table)) IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(quote_ident(of_table)) AND attname = name AND NOT attisdropped
    )
    UNION ALL
    SELECT 'primary key of ' || name FROM unnest(CAST(:tables AS text[])) AS name
    WHERE to_regclass(quote_ident(name)) IS NOT NULL
        AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(quote_ident(name)) AND indisprimary)
    UNION ALL
    SELECT 'index ' || name FROM unnest(CAST(:indexes AS text[])) AS name
    WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(quote_ident(name)) AND indisvalid)
""")

SHOWN = 10

REMEMBERED = 10.0
"""Seconds; the look takes a millisecond of PostgreSQL."""


_LACKING = text("""
    SELECT name FROM unnest(CAST(:columns AS text[])) AS name
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(quote_ident(:table)) AND attname = name AND NOT attisdropped
    )
""")


def lacking(connection: Connection, table: Table) -> list[str]:
    """Return the columns that the table in the database does not have; where it is not there, all of them."""
    values = {"table": table.name, "columns": [column.name for column in table.columns]}
    return list(connection.execute(_LACKING, values).scalars())


@dataclass(frozen=True)
class SchemaNames:
    """The names without which this release does not work."""

    tables: list[str]
    columns: list[tuple[str, str]]
    indexes: list[str]


def names_of(tables: Iterable[Table]) -> SchemaNames:
    """Return what these tables consist of."""
    found = list(tables)
    return SchemaNames(
        [table.name for table in found],
        [(table.name, column.name) for table in found for column in table.columns],
        sorted(str(index.name) for table in found for index in table.indexes),
    )


class SchemaCheck:
    """Asks what is missing, and remembers for a while that nothing was: who asks for readiness needs no key."""

    def __init__(self, what: SchemaNames) -> None:
        self._what = what
        self._whole_until = 0.0

    async def missing(self, connection: AsyncConnection, *, indexes: bool) -> str | None:
        """Name what is not there of tables, columns, primary keys and, if asked for, indexes; None: all is there.

        A newer release may have other indexes.
        """
        if monotonic() < self._whole_until:
            return None
        values = {
            "tables": self._what.tables,
            "of_tables": [table for table, _ in self._what.columns],
            "columns": [column for _, column in self._what.columns],
            "indexes": self._what.indexes if indexes else [],
        }
        names = list((await connection.execute(_MISSING, values)).scalars())
        if not names:
            self._whole_until = monotonic() + REMEMBERED
            return None
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return ", ".join(names[:SHOWN]) + more
