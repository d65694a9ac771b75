"""The read-only role for whoever asks questions in SQL."""

import structlog
from sqlalchemy import Connection, MetaData, inspect, text

log = structlog.get_logger(__name__)

ANALYST = "analyst"

# A role belongs to the whole server: another database of it may have made it at this very moment.
_CREATE = text(f"""
DO $$ BEGIN
    CREATE ROLE {ANALYST} NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'cannot create role {ANALYST}: have an administrator run CREATE ROLE {ANALYST} NOLOGIN';
END $$
""")


def let_analyst_read(connection: Connection, schema: MetaData) -> None:
    """Make the role `analyst` where it is missing, and let it read the tables that are marked for it."""
    connection.execute(_CREATE)
    if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": ANALYST}):
        log.warning("analyst_missing")
        return
    existing = set(inspect(connection).get_table_names())
    for table in schema.tables.values():
        if table.info.get(ANALYST) and table.name in existing:
            connection.execute(text(f'GRANT SELECT ON "{table.name}" TO {ANALYST}'))
