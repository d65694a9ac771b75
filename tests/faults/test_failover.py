"""The primary is lost under load and its synchronous standby promoted: what had been acknowledged is there, once."""

import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from migrations.revisions import upgrade
from store.engine import connect
from tests.clusters import pair
from tests.conftest import Servers, empty_redis
from tests.running import REPORT, Platform, eventually, temporary_open_folder

QUICK = {"RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2", "LEASE_SECONDS": "4"}
INPUTS = 3


@pytest.mark.timeout(300)
def test_a_promoted_synchronous_standby_has_every_acknowledged_task(servers: Servers, tmp_path: Path) -> None:
    with temporary_open_folder() as folder, pair(folder) as (primary, standby, line):
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = primary.url().replace(f"127.0.0.1:{primary.port}", hosts) + "?target_session_attrs=read-write"
        upgrade(url)
        accepted: list[str] = []
        refused: list[int] = []
        stop = threading.Event()

        def submit(client: int) -> None:
            with httpx.Client(base_url=platform.url, timeout=60) as http:
                for number in count():
                    if stop.is_set():
                        return
                    # The same key until it is accepted: a client cannot know whether a lost answer meant a commit.
                    while not stop.is_set():
                        key = {"Idempotency-Key": f"{client}-{number}"}
                        answer = http.post("/submit", json=[REPORT] * INPUTS, headers=key)
                        if answer.status_code == 202:
                            accepted.append(answer.json()["task_id"])
                            break
                        refused.append(answer.status_code)

        with Platform(url, empty_redis(servers, 5), tmp_path, **QUICK) as platform:
            clients = [threading.Thread(target=submit, args=[client]) for client in range(4)]
            for client in clients:
                client.start()
            eventually(lambda: len(accepted) > 100, within=60)
            line.silence()  # from now on only the primary has what it writes: it must acknowledge nothing
            time.sleep(1)
            primary.kill()
            before = len(accepted)
            standby.promote()
            eventually(lambda: len(accepted) > before + 100, within=90)
            stop.set()
            for client in clients:
                client.join()

            engine = connect(url)

            def rows(query: str) -> Any:
                with engine.connect() as connection:
                    return connection.execute(text(query)).all()

            eventually(lambda: not rows("SELECT FROM tasks WHERE status <> 'SUCCESS' LIMIT 1"), within=90, every=0.5)
            stored = {str(row.id) for row in rows("SELECT id FROM tasks")}
            scored = {
                str(row.task_id): row.n for row in rows("SELECT task_id, count(*) AS n FROM report_scores GROUP BY 1")
            }
            engine.dispose()
    assert set(refused) <= {503}, set(refused)
    assert set(accepted) <= stored
    assert scored == dict.fromkeys(stored, INPUTS)
    assert len(accepted) == len(set(accepted))
