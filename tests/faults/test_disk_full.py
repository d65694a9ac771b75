"""Postgres's disk is full for a while: submissions are refused with 503, and what was accepted gets its score."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from store.engine import connect
from tests.conftest import Servers
from tests.faults.checker import check
from tests.faults.driver import Driver
from tests.faults.stream import Ledger
from tests.running import Platform, eventually, temporary_open_folder

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

QUICK = {
    "WORKER_MODELS": "",  # all: the stream goes to each of them
    "LEASE_SECONDS": "2",
    "RESCUE_INTERVAL_SECONDS": "0.5",
    "REPUBLISH_AFTER_SECONDS": "2",
}


@contextmanager
def small_disk(owner: int) -> Iterator[Path]:
    """Mount a file system of 256 MB."""
    with temporary_open_folder() as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size=256m,uid={owner},mode=0700", "tmpfs", str(folder)],  # noqa: S607
            check=False,
            capture_output=True,
        )
        if mounted.returncode != 0:
            pytest.skip("only root may mount a small disk")
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


@pytest.fixture
def database_on_a_small_disk(servers: Servers, template: str) -> Iterator[tuple[str, Path]]:
    """A database whose tables lie on a file system of their own; the log of Postgres lies elsewhere."""
    admin = connect(servers.postgres_url)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        data = Path(connection.scalar(text("SHOW data_directory")))
        with small_disk(data.stat().st_uid) as disk:
            space = disk / "tables"
            space.mkdir(mode=0o700)
            os.chown(space, data.stat().st_uid, data.stat().st_gid)
            connection.execute(text(f"CREATE TABLESPACE small LOCATION '{space}'"))
            connection.execute(text(f"CREATE DATABASE small TEMPLATE {template} TABLESPACE small"))
            yield make_url(servers.postgres_url).set(database="small").render_as_string(hide_password=False), disk
            connection.execute(text("DROP DATABASE small WITH (FORCE)"))
            connection.execute(text("DROP TABLESPACE small"))
    admin.dispose()


def test_a_full_disk_refuses_and_loses_nothing(
    database_on_a_small_disk: tuple[str, Path], redis_url: str, tmp_path: Path
) -> None:
    database_url, disk = database_on_a_small_disk
    ballast = disk / "ballast"
    ledger = Ledger()
    engine = connect(database_url)
    with Platform(database_url, redis_url, tmp_path, **QUICK) as platform:
        with Driver([platform.url], ledger, name="d", seed=1):
            time.sleep(1)
            _fill(ballast)
            eventually(lambda: ledger.answers["503"] > 20)
            ballast.unlink()
            refused, accepted = ledger.answers["503"], len(ledger.accepted)
            eventually(lambda: len(ledger.accepted) > accepted + 10)
        eventually(lambda: not _unfinished(engine), within=60)
    verdict = check(engine, ledger)
    engine.dispose()
    print(f"\nrefused {refused}\n{verdict}\n{dict(ledger.answers)}")
    assert verdict.errors == {}


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _unfinished(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM tasks WHERE status IN ('PENDING', 'STARTED')"))
