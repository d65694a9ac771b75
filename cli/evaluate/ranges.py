"""Reads many predictions range after range of their table, so that memory holds a part of them as the driver has it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from cli.evaluate.copied import copied

BLOCKS = 8_192
"""Blocks of a range: 64 MB of the table."""

_FIRST = """
SELECT min(ctid) FROM "{table}" WHERE scored_at >= :since
"""

_BLOCKS = text("""
SELECT pg_relation_size(quote_ident(:table)::regclass) / current_setting('block_size')::bigint
""")


def read(
    connection: Connection,
    table: str,
    since: datetime | None,
    columns: Mapping[str, tuple[str, str]],
    rest: str,
    values: Mapping[str, Any],
) -> Any:
    """Return an Arrow table with these columns of the predictions p, in the order in which they lie in their table.

    With `since`, of those scored from then on. `rest` is what follows the table's name; it ends with a condition.
    """
    period = "p.scored_at >= %(since)s" if since else "true"
    parts = [
        copied(
            connection, columns, f'FROM "{table}" AS p {rest} AND {period} AND {condition}', {**values, "since": since}
        )
        for condition in _ranges(connection, table, since)
    ]
    return pa.concat_tables(parts)


def _ranges(connection: Connection, table: str, since: datetime | None) -> Iterator[str]:
    """Yield a condition for each range; one at least."""
    first = 0
    if since is not None:
        found = connection.scalar(text(_FIRST.format(table=table)), {"since": since})
        if found is None:
            yield "false"
            return
        first = int(found.strip("()").partition(",")[0])
    for block in range(first, max(first, connection.scalar(_BLOCKS, {"table": table}) or 0) + 1, BLOCKS):
        yield f"p.ctid >= '({block},0)' AND p.ctid < '({block + BLOCKS},0)'"
