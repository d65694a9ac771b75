"""Alembic's entry: one migration at a time, over the platform's tables and every model's own."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from alembic import context
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, text

from migrations.revisions import head
from migrations.schema import schema
from migrations.settings import addresses
from registry import builtin, prediction_tables
from registry.versions import Registry
from store import address
from store.address import UnusableUrl
from store.annotations import annotate, relation
from store.engine import connect
from store.limits import try_lock
from store.model_tables import model_versions
from store.roles import grant
from store.schema import lacking

log = structlog.get_logger(__name__)

LOCK = 0x6D696772  # any number that nobody else uses: "migr"


LOOK = 0.2
"""Seconds between two looks at whether another program has migrated."""


def _is_migrated(item: object, name: str | None, kind: str, reflected: bool, compared: object) -> bool:
    """Leave out the relations of predictions to tasks: they are stated after each migration, where they can be.

    And tables that nobody describes: one may hold every prediction of a model that is no longer served.
    """
    if kind == "table" and reflected and compared is None:
        return False
    return kind != "foreign_key_constraint" or name not in {relation(table) for table in schema().tables.values()}


def migrate() -> None:
    given = context.config.attributes
    owner, programs = (given["database_url"], given["programs_url"]) if given.get("database_url") else addresses()
    engine = connect(owner)
    target = schema()
    with _alone(engine), engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=target, transactional_ddl=True, include_object=_is_migrated
        )
        revisions = _not_ours()
        connection.rollback()  # which ends what reading them began
        if revisions:
            log.warning("schema_newer", revision=revisions, meaning="a newer release made it; it stays as it is")
        else:
            with context.begin_transaction():
                if context.get_context().get_current_heads() != (head(),) and not lacking(connection, model_versions):
                    prediction_tables.drop_views(connection)
                context.run_migrations()
                _leave_out_unmade(connection, target)
                annotate(connection, target)
                grant(connection, target, address.parse(programs or owner))
                _register_models(connection)
            connection.commit()
    engine.dispose()


def _register_models(connection: Connection) -> None:
    """Register this release's artifacts, and renew the views and rights of all models."""
    if not lacking(connection, model_versions):
        for model, version in builtin.register(connection):
            log.warning(
                "model_candidate", model=model, model_version=version, promote=f"millrace models promote {model}"
            )
        seen = Registry()
        seen.refresh(connection)
        prediction_tables.renew(connection, [one for model in seen.models if (one := seen.latest(model))])


def _not_ours() -> list[str]:
    """Return the database's revisions that this release does not know, if it is asked for the newest that it knows.

    So the release before starts on the schema of the one after it, which only adds to what both need.
    """
    found = context.get_context()
    if found.opts.get("destination_rev") != "head":
        return []
    known = {script.revision for script in ScriptDirectory.from_config(context.config).walk_revisions()}
    return [revision for revision in found.get_current_heads() if revision not in known]


def _leave_out_unmade(connection: Connection, target: MetaData) -> None:
    """Leave tables alone that are not as a model's spec describes them, until a migration makes them so.

    `make up` and readiness name what they lack.
    """
    for table in target.sorted_tables:
        if lacking(connection, table):
            target.remove(table)


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Let programs that start together wait for the first one, and then find nothing to do.

    The lock belongs to a transaction, which ends with this program whatever is between it and PostgreSQL, and not to
    the one of the migration, which may commit on its way.
    """
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if not try_lock(connection, LOCK):
            log.warning(
                "migration_waits", meaning="another program holds the lock of migrations (pg_locks has its pid)"
            )
            # CREATE INDEX CONCURRENTLY waits for every statement that runs, so also for one that waited for this lock.
            while not try_lock(connection, LOCK):
                time.sleep(LOOK)
        yield


try:
    migrate()
except UnusableUrl as error:
    if context.config.attributes.get("database_url"):
        raise  # whoever gave it explains the error
    sys.exit(f"alembic: the address of the database cannot be used: {error}")
