"""What can befall Postgres: it ends, refuses, is locked or frozen, or gives way to a standby."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from sqlalchemy import text

from serving.catalogue import specs
from store.tables import APP
from tests.conftest import APP_PASSWORD
from tests.faults.site import DATABASE_TIMEOUT, Site
from tests.faults.standby import fail_over
from tests.faults.watching import execute

AWAY = 1.5
"""Seconds that it stays away, or refuses."""

LOCKED = (1.5, 4, DATABASE_TIMEOUT + 2)
"""Seconds for which somebody holds a lock or a process is frozen; the last are longer than a transaction may take."""

RELOAD = "SELECT pg_reload_conf()"
OTHERS = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
END_SESSIONS = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OTHERS}"


def restart_at_once(site: Site, chance: random.Random) -> None:
    with site.one_at_postgres:
        site.postgres.process.send_signal(signal.SIGQUIT)  # "immediate": as after a crash, the log is replayed
        time.sleep(AWAY)
        site.restart_postgres()


def kill(site: Site, chance: random.Random) -> None:
    with site.one_at_postgres:
        site.postgres.process.kill()
        time.sleep(AWAY)
        site.restart_postgres()


def end_sessions(site: Site, chance: random.Random) -> None:
    """End every session, as an administrator does."""
    with site.one_at_postgres:
        _execute(site, END_SESSIONS)


def fail_over_to_a_synchronous_standby(site: Site, chance: random.Random) -> None:
    """What was accepted is on the standby, too: that is what synchronous means."""
    with site.one_at_postgres:
        folder = site.folder / f"postgres-{time.monotonic_ns()}"
        site.postgres = fail_over(site.postgres, folder, seconds=chance.uniform(0.5, 2))


def refuse_log_ins(site: Site, chance: random.Random) -> None:
    with _meanwhile(site, [f"ALTER ROLE {APP} NOLOGIN", END_SESSIONS], [f"ALTER ROLE {APP} LOGIN"]):
        time.sleep(AWAY)


def change_the_password(site: Site, chance: random.Random) -> None:
    password = f"ALTER ROLE {APP} PASSWORD '{{}}'"
    with _meanwhile(site, [password.format("another"), END_SESSIONS], [password.format(APP_PASSWORD)]):
        time.sleep(AWAY)


def have_too_many_connections(site: Site, chance: random.Random) -> None:
    limit = f"ALTER ROLE {APP} CONNECTION LIMIT {{}}"
    with _meanwhile(site, [limit.format(chance.choice((0, 1, 3))), END_SESSIONS], [limit.format(-1)]):
        time.sleep(2 * AWAY)


def be_read_only(site: Site, chance: random.Random) -> None:
    """As a standby is, to which a proxy has led too early."""
    with _set(site, "default_transaction_read_only", "on"):
        time.sleep(2 * AWAY)


def time_statements_out(site: Site, chance: random.Random) -> None:
    """Some statements take longer, some do not."""
    with _set(site, "statement_timeout", f"{chance.choice((2, 5, 20))}ms"):
        time.sleep(2 * AWAY)


def lock_a_table(site: Site, chance: random.Random) -> None:
    """As an analyst does who has begun a transaction with LOCK TABLE, and thinks."""
    table = chance.choice(_tables())
    with site.one_at_postgres, site.engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        time.sleep(chance.choice(LOCKED))


def alter_tables(site: Site, chance: random.Random) -> None:
    """Add a column to each table beside the programs, as the next release's migration does, and take it away again."""
    for table in _tables():
        with _meanwhile(site, [f"ALTER TABLE {table} ADD note text"], [f"ALTER TABLE {table} DROP note"]):
            time.sleep(0.2)


def rewrite_tables(site: Site, chance: random.Random) -> None:
    with site.one_at_postgres:
        for table in _tables():
            _execute(
                site,
                chance.choice(
                    (f"VACUUM FULL {table}", f"REINDEX TABLE {table}", f"CLUSTER {table} USING {table}_pkey")
                ),
            )


def freeze_a_backend(site: Site, chance: random.Random) -> None:
    """Freeze the process of Postgres that serves one of the programs; whoever it holds a lock against waits."""
    with site.one_at_postgres:
        with site.engine.connect() as connection:
            serving = (
                f"SELECT pid FROM pg_stat_activity WHERE usename = '{APP}' ORDER BY (state = 'idle'), random() LIMIT 1"
            )
            pid = connection.scalar(text(serving))
        if pid is not None:
            with suppress(ProcessLookupError):  # it has just ended, as its program has
                os.kill(pid, signal.SIGSTOP)
                time.sleep(chance.choice(LOCKED))
                os.kill(pid, signal.SIGCONT)


def _tables() -> list[str]:
    return ["tasks", "task_inputs", "workers", "webhooks", *(spec.table for spec in specs().values())]


@contextmanager
def _meanwhile(site: Site, before: Sequence[str], after: Sequence[str]) -> Iterator[None]:
    """Change something at the server for a while in which nobody restarts it."""
    with site.one_at_postgres:
        try:
            _execute(site, *before)
            yield
        finally:
            _execute(site, *after)


@contextmanager
def _set(site: Site, setting: str, value: str) -> Iterator[None]:
    set_, reset = f"ALTER SYSTEM SET {setting} = '{value}'", f"ALTER SYSTEM RESET {setting}"
    with _meanwhile(site, [set_, RELOAD], [reset, RELOAD]):
        yield


def _execute(site: Site, *statements: str) -> None:
    for statement in statements:
        execute(site.engine, statement)
