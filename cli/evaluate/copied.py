"""Reads the answer to a query by COPY into Arrow columns, without a Python object for each value."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from export.binary import HEADER, SIGNATURE, TRAILER, CopyBroken, decode
from export.columns import TYPES
from export.row_groups import ROWS


def copied(connection: Connection, columns: Mapping[str, tuple[str, str]], rest: str, values: Mapping[str, Any]) -> Any:
    """Return an Arrow table with these columns: name → (expression, type as a key of `export.columns.TYPES`).

    `rest` is what follows SELECT's list; `values` are psycopg2's named parameters of the whole query.
    """
    selected = ", ".join(f"CAST({expression} AS {kind})" for expression, kind in columns.values())
    rows = _Rows([kind for _, kind in columns.values()])
    cursor: Any = connection.connection.cursor()
    with cursor:
        query = cursor.mogrify(f"COPY (SELECT {selected} {rest}) TO STDOUT (FORMAT binary)", values)
        cursor.copy_expert(query.decode(), rows)
    return rows.table(list(columns))


class _Rows:
    """What psycopg2 gives the stream to, a row a message. It keeps them: a step of Python for each would take longer
    than PostgreSQL needs to send it."""

    def __init__(self, types: list[str]) -> None:
        self._types = types
        self._messages: list[bytes] = []
        self.write = self._messages.append

    def table(self, names: list[str]) -> Any:
        """Return what was read. Raises CopyBroken where the stream has not come to its end."""
        rows = self._messages
        if not rows or not rows[0].startswith(SIGNATURE):
            raise CopyBroken("it has no signature")
        rows[0] = rows[0][HEADER:]
        if rows.pop() != TRAILER:
            raise CopyBroken("it has no end")
        if rows and not rows[0]:
            del rows[0]
        decoded = [decode(rows[first : first + ROWS], self._types) for first in range(0, len(rows), ROWS)]
        kinds = [TYPES[kind] for kind in self._types]
        columns = zip(*decoded, strict=True) if decoded else [()] * len(kinds)
        chunked = [pa.chunked_array(list(parts), kind) for parts, kind in zip(columns, kinds, strict=True)]
        return pa.table(chunked, names=names)
