"""Questions that a person asks in SQL: one .sql file each, whose first line is the question."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg2 import errors  # type: ignore[import-untyped]
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError

from store.tables import ANALYST

_FOLDER = Path(__file__).parent
_MARK = "-- "

TIME_LIMIT = 60
"""Seconds that PostgreSQL may work at one answer."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    columns: list[str]
    rows: Sequence[Row[Any]]


def questions() -> dict[str, str]:
    """Return the questions by name, in the order of the names."""
    return {
        file.stem: file.read_text(encoding="utf-8").partition("\n")[0].removeprefix(_MARK)
        for file in sorted(_FOLDER.glob("*.sql"))
    }


def statement(name: str) -> str:
    """Return the SQL that answers a question, ready for psql."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def ask(engine: Engine, name: str) -> QueryResult:
    """QueryResult a question in a read-only transaction, as `analyst` where the user may act as that role."""
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = '{TIME_LIMIT}s'"))
        _become_analyst(connection)
        # The text holds no parameters: a % or a colon in it means itself.
        result = connection.execution_options(no_parameters=True).exec_driver_sql(statement(name))
        return QueryResult(list(result.keys()), result.all())


def _become_analyst(connection: Connection) -> None:
    """Try it: no function of PostgreSQL 15 tells whether SET ROLE is allowed in 16 and later as well."""
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL ROLE {ANALYST}"))
    except DBAPIError as error:
        missing, not_allowed = errors.InvalidParameterValue, errors.InsufficientPrivilege
        if not isinstance(error.orig, missing | not_allowed):
            raise
