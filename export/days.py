"""Exports one day of a model: its rows to a file, and the manifest of that file."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from export import manifest
from export.columns import columns_of
from export.manifest import DayManifest
from export.row_groups import Progress, RowGroups
from export.storage import Storage
from store.limits import try_lock

DAY = timedelta(days=1)

SETTLED = timedelta(minutes=5)
"""How long after a day's end it may be complete at the earliest: far longer than a program lets a transaction take."""

_SESSION = text("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
"""The last part of an upload may take longer than the 30 s that a program may be silent in a transaction."""

_WAIT = text("SELECT set_config('lock_timeout', '10s', true)")

# `scored_at` is the start of the transaction that adds the row. Of a standby nobody sees the primary's transactions, so
# there what it has replayed counts. Sessions of others show their times to superusers and monitoring roles only.
_SETTLED = text("""
    SELECT now() AS now, least(
        now() - :margin,
        pg_last_xact_replay_timestamp() - :margin,
        (SELECT min(xact_start) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND has_table_privilege(usesysid, to_regclass(quote_ident(:table)), 'INSERT')),
        (SELECT min(prepared) - :margin FROM pg_prepared_xacts WHERE database = current_database())
    ) AS settled
""")


class DayBusy(Exception):
    """Another program is writing this day in the same place."""


class RowsGone(Exception):
    """The table has fewer rows of this day than it had; the file stays as it is."""


def export_day(
    connection_or_engine: Connection | Engine,
    url: str,
    model: str,
    table: str,
    day: date,
    *,
    at_least: int = 0,
    progress: Progress = lambda rows: None,
) -> DayManifest:
    """Replace the model's file of this day with the rows that the table has of it now.

    A connection is used in its transaction, and sees what that has changed. A lock keeps others from this day until the
    transaction ends. Raises DayBusy, RowsGone where there are fewer rows than `at_least`, TableMissing, CopyBroken,
    DBAPIError, and OSError or another error of the place; in each case the file stays as it was.
    """
    storage = Storage.at(url)
    with alone(connection_or_engine, url, model, day) as connection:
        now, settled = settled_until(connection, table)
        columns = columns_of(connection, table)
        with manifest.replacing(storage, model, day) as file:
            groups = RowGroups(file, columns, {"millrace.model": model, "millrace.day": day.isoformat()}, progress)
            selected = ", ".join(column.selected for column in columns)
            _copy(connection, f"SELECT {selected} FROM {_of_day(table, day)}", groups)
            if groups.rows < at_least:
                raise RowsGone(f"{table} has {groups.rows} rows of {day}, and had {at_least}")
        made = DayManifest(
            model=model,
            day=day,
            rows=groups.rows,
            sha256=groups.hashed.sha256,
            bytes=groups.hashed.bytes,
            columns={column.name: column.type for column in columns},
            complete=midnight(day) + DAY <= settled,
            exported_at=now,
        )
        manifest.write(storage, made)
    return made


@contextmanager
def alone(connection_or_engine: Connection | Engine, url: str, model: str, day: date) -> Iterator[Connection]:
    """Yield a connection whose transaction alone may write this day. Raises DayBusy."""
    given = connection_or_engine
    with nullcontext(given) if isinstance(given, Connection) else given.begin() as connection:
        connection.execute(_SESSION)
        limit_wait(connection)
        named = hashlib.sha256(f"export {url.rstrip('/')} {model} {day}".encode()).digest()
        if not try_lock(connection, int.from_bytes(named[:8], "big", signed=True)):
            raise DayBusy(f"another program is writing {day} of {model}")
        yield connection


def limit_wait(connection: Connection) -> None:
    """Give up on a lock that somebody has on the table, before others have waited long behind us."""
    connection.execute(_WAIT)


def settled_until(connection: Connection, table: str, margin: timedelta = SETTLED) -> tuple[datetime, datetime]:
    """Return the database's time, and the time before which no transaction can add a row to the table any more."""
    found = connection.execute(_SETTLED, {"table": table, "margin": margin}).one()
    return found.now.astimezone(UTC), found.settled.astimezone(UTC)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def quoted(name: str) -> str:
    """Return a table's name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _of_day(table: str, day: date) -> str:
    return f"{quoted(table)} WHERE scored_at >= '{midnight(day)}' AND scored_at < '{midnight(day + DAY)}'"


def _copy(connection: Connection, query: str, groups: RowGroups) -> None:
    """Give the rows to `groups`; a connection whose stream was not read to its end is closed."""
    cursor: Any = connection.connection.cursor()
    try:
        with cursor:
            cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", groups)
        groups.end()
    except BaseException:
        groups.give_up()
        connection.invalidate()
        raise
