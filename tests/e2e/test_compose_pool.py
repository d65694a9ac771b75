"""`docker-compose -f docker-compose.pool.yml up`: a handler that scores by itself, and PostgreSQL."""

import time

import pytest

from tests.running import REPORT
from tests.stack import Stack

pytestmark = pytest.mark.compose

STOP_SECONDS = 10
"""What Cloud Run and others give between SIGTERM and SIGKILL."""


def test_two_containers_are_enough_and_confined(pool_stack: Stack) -> None:
    lasting = [c for c in pool_stack.containers() if c["State"]["Running"]]
    assert {c["Config"]["Labels"]["com.docker.compose.service"] for c in lasting} == {"postgres", "handler"}
    assert all(c["HostConfig"]["ReadonlyRootfs"] for c in lasting)
    (handler,) = pool_stack.containers("handler")
    assert handler["Config"]["User"] not in ("", "root", "0")


def test_every_model_is_loaded_and_a_batch_lies_in_typed_columns(pool_stack: Stack) -> None:
    assert all(processes >= 1 for processes in pool_stack.ready().values())
    assert pool_stack.client.post("/prediction", json={"text": "The goalie made 40 saves."}).json()["label"] == "hockey"
    task_id = pool_stack.submit([REPORT] * 3)
    assert pool_stack.finished(task_id)["status"] == "SUCCESS"
    assert pool_stack.psql(f"SELECT count(*), min(score) > 0 FROM report_scores WHERE task_id = '{task_id}'") == "3|t"


def test_it_stops_in_time_and_what_it_accepted_is_scored_when_it_is_back(pool_stack: Stack) -> None:
    with pool_stack.scores_locked():
        task_id = pool_stack.submit([REPORT])
        begin = time.monotonic()
        pool_stack.compose("stop", f"--timeout={STOP_SECONDS + 10}", "handler")
        assert time.monotonic() - begin < STOP_SECONDS + 2  # two for docker itself
    pool_stack.up()
    assert pool_stack.finished(task_id)["status"] == "SUCCESS"
    assert pool_stack.psql(f"SELECT count(*) FROM report_scores WHERE task_id = '{task_id}'") == "1"
