"""The roles beside the owner of the database: `millrace_app` for the programs, `analyst` for questions in SQL.

What each may do stands with the tables (`info`, in tables.py and predictions.py); whatever does not stand there, it may
not. Neither owns anything, so neither can create, alter, empty or drop a table.
"""

import structlog
from psycopg2.extensions import encrypt_password  # type: ignore[import-untyped]
from sqlalchemy import URL, Connection, MetaData, text

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


def grant(connection: Connection, schema: MetaData, login: URL | None = None) -> None:
    """Make the roles where they are missing, and let each do with the tables what stands with them, and no more.

    With `login`, the URL that the programs are given, `millrace_app` can log in with the password in it. Raises
    RoleMissing.
    """
    for role in (APP, ANALYST):
        connection.execute(text(_CREATE.format(role=role)))
        if _exists(connection, role):
            _grant(connection, schema, role)
        else:
            log.warning("role_missing", role=role)
    if login is not None and login.username == APP:
        if not _exists(connection, APP):
            raise RoleMissing(RoleMissing.__doc__)
        _let_log_in(connection, login.password or "")


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
