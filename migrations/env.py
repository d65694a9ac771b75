"""Alembic's entry: one migration at a time, over the platform's tables and every model's own."""

from alembic import context
from sqlalchemy import MetaData, text

from models.catalogue import specs
from store import tables
from store.engine import connect
from store.predictions import predictions_table
from store.roles import let_analyst_read
from store.settings import StoreSettings

LOCK = 0x6D696772  # any number that nobody else uses: "migr"


def schema() -> MetaData:
    """Return every table that should exist."""
    metadata = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.sorted_tables:
        table.to_metadata(metadata)
    for spec in specs().values():
        predictions_table(spec.table, spec.stored_columns, metadata)
    return metadata


def migrate() -> None:
    url = context.config.attributes.get("database_url") or str(StoreSettings().database_url)
    engine = connect(url)
    target = schema()
    with engine.connect() as connection:
        # Containers that start together wait here for the first one, then find nothing to do.
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        context.configure(connection=connection, target_metadata=target, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
            let_analyst_read(connection, target)
        connection.commit()
    engine.dispose()  # closes the session, which gives the lock back


migrate()
