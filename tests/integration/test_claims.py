"""The changes of a task's state, against a real PostgreSQL: who may write what, and who may not any more."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select, text
from uuid_utils.compat import uuid7

from store import claims
from store.claims import Claim
from store.tables import task_inputs, tasks

LEASE = timedelta(seconds=20)
NO_PATIENCE = timedelta(0)


def add_tasks(engine: Engine, count: int = 1, **columns: object) -> list[UUID]:
    ids = [uuid7() for _ in range(count)]
    with engine.begin() as connection:
        for task_id in ids:
            connection.execute(tasks.insert().values({"id": task_id, "model": "m", "n_inputs": 1} | columns))
            connection.execute(task_inputs.insert().values(task_id=task_id, payload=b"[{}]"))
    return ids


def status_of(engine: Engine, task_id: UUID) -> str:
    with engine.connect() as connection:
        status: str = connection.execute(select(tasks.c.status).where(tasks.c.id == task_id)).scalar_one()
        return status


def inputs_left(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM task_inputs")).scalar_one()


def claim(engine: Engine, ids: Sequence[UUID], lease: timedelta = LEASE) -> list[Claim]:
    with engine.begin() as connection:
        return [task.claim for task in claims.claim(connection, ids, lease)]


def test_a_claim_returns_the_inputs_and_counts_as_an_attempt(engine: Engine) -> None:
    ids = add_tasks(engine, 3)
    with engine.begin() as connection:
        claimed = claims.claim(connection, ids, LEASE)
    assert [(task.claim, task.payload) for task in claimed] == [(Claim(task_id, 1), b"[{}]") for task_id in ids]


def test_a_message_delivered_twice_claims_nothing_the_second_time(engine: Engine) -> None:
    ids = add_tasks(engine, 3)
    assert len(claim(engine, ids)) == 3
    assert claim(engine, ids) == []


def test_two_deliveries_at_the_same_moment_share_no_task(engine: Engine) -> None:
    ids = add_tasks(engine, 200)
    both: list[list[Claim]] = []
    deliveries = [
        threading.Thread(target=lambda order=order: both.append(claim(engine, order))) for order in (ids, ids[::-1])
    ]
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join()
    claimed = [one.task_id for claimed in both for one in claimed]
    assert len(claimed) == len(set(claimed))


def test_a_task_past_its_deadline_is_not_claimed_but_expired(engine: Engine) -> None:
    (task_id,) = add_tasks(engine, deadline=text("now() - interval '1 second'"))
    assert claim(engine, [task_id]) == []
    with engine.begin() as connection:
        assert claims.expire(connection, limit=10) == [task_id]
    assert status_of(engine, task_id) == "EXPIRED"
    assert inputs_left(engine) == 0


def test_finish_writes_only_for_the_attempt_that_claimed(engine: Engine) -> None:
    ids = add_tasks(engine, 2)
    zombie = claim(engine, ids, lease=timedelta(seconds=-1))
    with engine.begin() as connection:
        waiting, failed = claims.take_back(connection, attempts=3, limit=10)
    assert {task.task_id for task in waiting} == set(ids)
    assert failed == []
    second = claim(engine, ids[:1])
    with engine.begin() as connection:
        assert claims.finish(connection, zombie, "1") == set()
        assert claims.finish(connection, second, "1") == {ids[0]}
    assert status_of(engine, ids[0]) == "SUCCESS"
    assert status_of(engine, ids[1]) == "PENDING"
    assert inputs_left(engine) == 1


def test_a_zombie_can_neither_fail_nor_renew_what_was_taken_from_it(engine: Engine) -> None:
    ids = add_tasks(engine)
    zombie = claim(engine, ids, lease=timedelta(seconds=-1))
    with engine.begin() as connection:
        claims.take_back(connection, attempts=3, limit=10)
        assert claims.fail(connection, zombie, "1", "late") == set()
        claims.renew(connection, zombie, LEASE)
    assert status_of(engine, ids[0]) == "PENDING"


def test_a_renewed_lease_keeps_the_task(engine: Engine) -> None:
    ids = add_tasks(engine)
    ours = claim(engine, ids, lease=timedelta(seconds=-1))
    with engine.begin() as connection:
        claims.renew(connection, ours, LEASE)
        assert claims.take_back(connection, attempts=3, limit=10) == ([], [])


def test_a_failed_task_keeps_its_inputs_and_says_why(engine: Engine) -> None:
    (task_id,) = add_tasks(engine)
    ours = claim(engine, [task_id])
    with engine.begin() as connection:
        assert claims.fail(connection, ours, "1", "ValueError: no") == {task_id}
        assert connection.execute(select(tasks.c.error)).scalar_one() == "ValueError: no"
    assert status_of(engine, task_id) == "FAILURE"
    assert inputs_left(engine) == 1


def test_a_task_fails_when_its_worker_was_lost_for_the_last_time(engine: Engine) -> None:
    (task_id,) = add_tasks(engine)
    for _ in range(2):
        claim(engine, [task_id], lease=timedelta(seconds=-1))
        with engine.begin() as connection:
            waiting, failed = claims.take_back(connection, attempts=2, limit=10)
    assert (waiting, failed) == ([], [task_id])
    with engine.connect() as connection:
        error = connection.execute(select(tasks.c.error)).scalar_one()
    assert error == "worker lost 2 times while scoring this task"


class TestRepublishing:
    """A task is published again when its message is lost, and only then."""

    def republish(self, connection: Connection, *, queue_empty: bool, patience: timedelta = NO_PATIENCE) -> list[UUID]:
        found = claims.republish(connection, "m", 1, queue_empty=queue_empty, patience=patience, limit=100)
        return [task.task_id for task in found]

    def test_beside_an_empty_queue_what_waits_has_lost_its_message(self, engine: Engine) -> None:
        ids = add_tasks(engine, 2)
        with engine.begin() as connection:
            assert set(self.republish(connection, queue_empty=True)) == set(ids)

    def test_a_task_that_has_just_been_published_is_left_alone(self, engine: Engine) -> None:
        add_tasks(engine)
        with engine.begin() as connection:
            assert self.republish(connection, queue_empty=True, patience=timedelta(seconds=15)) == []

    @pytest.mark.parametrize(("overtaken", "expected"), [(True, 1), (False, 0)])
    def test_in_a_backlog_only_an_overtaken_task_has_lost_its_message(
        self, engine: Engine, overtaken: bool, expected: int
    ) -> None:
        add_tasks(engine, published_at=text("now() - interval '60 seconds'"))
        other = "10 seconds" if overtaken else "70 seconds"
        claim(engine, add_tasks(engine, published_at=text(f"now() - interval '{other}'")))
        with engine.begin() as connection:
            found = self.republish(connection, queue_empty=False, patience=timedelta(seconds=15))
        assert len(found) == expected
