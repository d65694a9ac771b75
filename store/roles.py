"""The roles beside the owner of the database: `millrace_app` for the programs, `analyst` for questions in SQL.

What each may do stands with the tables (`info`, in tables.py and predictions.py); whatever does not stand there, it may
not. Neither owns anything, so neither can create, alter, empty or drop a table.
"""

import structlog
from psycopg2.extensions import encrypt_password  # type: ignore[import-untyped]
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import ProgrammingError

from store.address import Address
from store.engine import SESSION
from store.tables import ANALYST, APP

log = structlog.get_logger(__name__)

# A role belongs to the whole server: another database of it may have made it at this very moment.
_CREATE = """
DO $$ BEGIN
    CREATE ROLE {role} NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'cannot create role {role}: have an administrator run CREATE ROLE {role} NOLOGIN';
END $$
"""


class RoleMissing(Exception):
    """The role millrace_app is missing, and the owner may not make it: have an administrator run CREATE ROLE."""


def grant(connection: Connection, schema: MetaData, login: Address | None = None) -> None:
    """Make the roles where they are missing, and let each do with the tables what stands with them, and no more.

    With `login`, what the programs log in with, `millrace_app` can do so with the password in it; and behind a pooler
    the role has the settings that a session cannot be given there. Raises RoleMissing.
    """
    for role in (APP, ANALYST):
        connection.execute(text(_CREATE.format(role=role)))
        if _exists(connection, role):
            _grant(connection, schema, role)
        else:
            log.warning("role_missing", role=role)
    if login is not None and login.user == APP:
        if not _exists(connection, APP):
            raise RoleMissing(RoleMissing.__doc__)
        _let_log_in(connection, login.password or "")
    if login is not None and login.behind_pooler:
        _set_up_sessions(connection, login.user or "")


def _exists(connection: Connection, role: str) -> bool:
    return connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}) is not None


def _grant(connection: Connection, schema: MetaData, role: str) -> None:
    tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"))
    existing = set(tables.scalars())
    for table in schema.tables.values():
        if table.name in existing:
            connection.execute(text(f'REVOKE ALL ON "{table.name}" FROM {role}'))
            if privileges := table.info.get(role):
                connection.execute(text(f'GRANT {", ".join(privileges)} ON "{table.name}" TO {role}'))
    if role == APP:
        connection.execute(text(f"GRANT SELECT ON alembic_version TO {role}"))  # readiness compares it


def _let_log_in(connection: Connection, password: str) -> None:
    """Give the role this password, hashed here, so that no log of the server shows it."""
    hashed = encrypt_password(password, APP, scope=connection.connection.driver_connection, algorithm="scram-sha-256")
    connection.exec_driver_sql(f"ALTER ROLE {APP} LOGIN PASSWORD '{hashed}'")


def _set_up_sessions(connection: Connection, role: str) -> None:
    """Give the role what `connect` gives a session, in this database."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    database = connection.scalar(text("SELECT current_database()"))
    try:
        with connection.begin_nested():
            for name, value in SESSION.items():
                statement = f"ALTER ROLE {quote(role)} IN DATABASE {quote(str(database))} SET {name} = '{value}'"
                connection.exec_driver_sql(statement)
    except ProgrammingError as error:
        log.warning("role_not_set_up", role=role, error=str(error.orig), settings=SESSION)
