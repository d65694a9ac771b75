"""Keeps block-range indexes narrow where rows were deleted.

A range of the index knows the least and the greatest time of the rows that its pages ever held. Where new rows fill the
room of old ones it spans both, and a query reads it for every time between. Summarized anew, it spans what is left.
"""

from collections.abc import Set

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from store import outage
from store.limits import limit_time
from store.retention import Begin

PAGES = 128
"""Pages of a range: PostgreSQL's default, which our indexes have."""

BLOCK_RANGE = f"CAST(floor((CAST(CAST(ctid AS text) AS point))[0] / {PAGES}) AS bigint)"
"""The number of the range that a row lies in, in SQL."""

AT_ONCE = 100
"""Ranges in one transaction: 100 MiB of the table."""

SECONDS, LAST = 2.0, 20.0
"""How long a statement may take, and the last attempt. It waits for a lock for a quarter of that. After a second
PostgreSQL ends an autovacuum that has the lock and lets it begin again later: only the last attempt may do that."""

_SUMMARIZE = text("""
SELECT brin_desummarize_range(index, block), brin_summarize_range(index, block)
FROM (SELECT to_regclass(quote_ident(:index)) AS index) AS found, unnest(CAST(:blocks AS bigint[])) AS block
WHERE index IS NOT NULL
""")


def summarize(begin: Begin, table: str, ranges: Set[int], *, last: bool = False) -> set[int]:
    """Summarize these ranges of the index on scored_at anew, and return those that somebody's lock kept from it."""
    left = sorted(ranges)
    while left:
        blocks = [number * PAGES for number in left[:AT_ONCE]]
        try:
            with begin() as connection:
                limit_time(connection, LAST if last else SECONDS)
                connection.execute(_SUMMARIZE, {"index": f"{table}_scored_at", "blocks": blocks})
        except DBAPIError as error:
            if not outage.is_transient(error):
                raise
            break
        del left[:AT_ONCE]
    return set(left)
