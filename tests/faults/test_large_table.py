"""A million tasks of another client lie beside the stream, and every request needs a key."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from store import keys
from store.tables import tasks
from tests.faults.checker import BESIDE
from tests.faults.conftest import running_site
from tests.faults.report import Report
from tests.faults.running import run, strike
from tests.faults.site import Site

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

TASKS = 1_000_000
LISTS = 20
LISTING, FEW = f"{BESIDE}-few", 3
"""Tasks of the client who lists his own again and again."""

_LAY = text("""
    INSERT INTO tasks (id, model, n_inputs, status, attempt, submitted_at, started_at, finished_at, client)
    SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM now()) * 1000 AS bigint) - n), 12, '0') || '7'
           || substr(md5(CAST(n AS text)), 1, 3) || '8' || substr(md5(CAST(n AS text)), 4, 15) AS uuid),
        'report_scorer', 1, 'SUCCESS', 1, now() - n * interval '1 ms', now(), now(), :beside
    FROM generate_series(1, :tasks) AS n
""")
_READ = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'tasks'")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Site]:
    yield from running_site(AUTH="required")


def test_a_large_table_of_another_client_slows_nobody(guarded: Site) -> None:
    with guarded.engine.begin() as connection:
        key = keys.create(connection, LISTING)
    read: list[int] = []

    def breaking(report: Report, chance: random.Random) -> None:
        with guarded.engine.begin() as connection:
            connection.execute(_LAY, {"beside": BESIDE, "tasks": TASKS})
            few = {"model": "report_scorer", "n_inputs": 1, "status": "SUCCESS", "client": LISTING}
            connection.execute(tasks.insert(), [{**few, "id": uuid7()} for _ in range(FEW)])
        with _listing(guarded, key):
            strike(guarded, report, chance, ["worker killed", "connections to Postgres cut"])
            strike(guarded, report, chance, ["tables altered", "handler killed"])
        before = _rows_read(guarded)
        for _ in range(LISTS):
            assert len(_ask(guarded, key, "GET", "/tasks").json()["tasks"]) == FEW
        read.append(_rows_read(guarded) - before)

    verdict = run(guarded, Report("large table", 1), breaking)
    assert verdict.errors == {}
    assert verdict.accepted > 0
    assert read[0] < TASKS, "somebody reads the whole table"


@contextmanager
def _listing(site: Site, key: str) -> Iterator[None]:
    """List one client's few tasks all the time, by some connections at once."""
    over = threading.Event()

    def lists() -> None:
        while not over.is_set():
            _ask(site, key, "GET", "/tasks", until=over)

    threads = [threading.Thread(target=lists) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _ask(
    site: Site, key: str, method: str, path: str, until: threading.Event | None = None, **request: object
) -> httpx.Response:
    """Ask one handler after another until one answers well."""
    for url in itertools.cycle(site.urls):
        try:
            headers = {"Authorization": f"Bearer {key}"}
            answer = httpx.request(method, url + path, headers=headers, timeout=30, **request)  # type: ignore[arg-type]
            if answer.is_success or (until is not None and until.is_set()):
                return answer
            assert answer.status_code == 503, answer.text
        except httpx.TransportError:
            if until is not None and until.is_set():
                return httpx.Response(503)
        time.sleep(0.1)
    raise AssertionError


def _rows_read(site: Site) -> int:
    time.sleep(2)  # until the server's processes have told their counts
    with site.engine.connect() as connection:
        return int(connection.scalar(_READ))
