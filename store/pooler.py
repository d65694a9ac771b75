"""Says in one sentence what a connection pooler before PostgreSQL needs, instead of the driver's own words."""

import re
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from store.address import STATEMENT_CACHE, UnusableUrl

PAGE = "docs/how-to/pooler.md"

_REFUSED_PARAMETER = re.compile(r"unsupported startup parameter( in options)?: (\w+)")


def unnamed() -> UnusableUrl:
    return UnusableUrl(f"a connection pooler answers there: add ?{STATEMENT_CACHE}=0 ({PAGE})")


def without_transactions() -> UnusableUrl:
    return UnusableUrl(
        "the connection pooler there has pool_mode = statement, in which no transaction is possible: "
        f"set pool_mode = transaction ({PAGE})"
    )


def check_transactions(connection: Any) -> None:
    """Try to begin a transaction on psycopg2's connection through a pooler. Raises UnusableUrl.

    PgBouncer in statement mode says why and closes the connection, upon which libpq forgets what was said.
    """
    with connection.cursor() as cursor:
        try:
            cursor.execute("BEGIN")
        except connection.OperationalError as error:
            if error.pgcode is None and connection.closed:
                raise without_transactions() from None
            raise
        cursor.execute("ROLLBACK")


async def check_transactions_async(connection: Any) -> None:
    """Do the same on asyncpg's connection."""
    try:
        await connection.execute("BEGIN")
    except Exception as error:
        if "statement pooling mode" in str(error):
            raise without_transactions() from None
        raise
    await connection.execute("ROLLBACK")


def name_refused_parameters(engine: Engine) -> None:
    """Let UnusableUrl leave the engine where a pooler refuses a parameter of the URL."""
    event.listen(engine, "handle_error", _name)


def _name(context: ExceptionContext) -> UnusableUrl | None:
    found = _REFUSED_PARAMETER.search(str(context.original_exception))
    if found is None:
        return None
    name = "options" if found[1] else found[2]
    return UnusableUrl(
        f"the connection pooler there refuses the parameter {name}: remove {name} from the URL, and give the role its "
        f"settings by ALTER ROLE … SET … ({PAGE})"
    )
