"""Alembic's entry: one migration at a time, over the platform's tables and every model's own."""

from alembic import context
from sqlalchemy import MetaData, make_url, text

from migrations.settings import addresses
from models.catalogue import specs
from store import tables
from store.engine import connect
from store.predictions import predictions_table
from store.roles import grant

LOCK = 0x6D696772  # any number that nobody else uses: "migr"


def schema() -> MetaData:
    """Return every table that should exist."""
    metadata = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.sorted_tables:
        table.to_metadata(metadata)
    for spec in specs().values():
        predictions_table(spec.table, spec.stored_columns, metadata, spec.personal)
    return metadata


def migrate() -> None:
    given = context.config.attributes
    owner, programs = (given["database_url"], given["programs_url"]) if given.get("database_url") else addresses()
    engine = connect(owner)
    target = schema()
    with engine.connect() as connection:
        # Containers that start together wait here for the first one, then find nothing to do.
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        context.configure(connection=connection, target_metadata=target, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
            grant(connection, target, make_url(programs) if programs else None)
        connection.commit()
    engine.dispose()  # closes the session, which gives the lock back


migrate()
