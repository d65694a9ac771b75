"""The changes of a task's state, against a real PostgreSQL: who may write what, and who may not any more."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select, text
from uuid_utils.compat import uuid7

from store import transitions, waiting
from store.claims import Claim, WaitingTask
from store.tables import task_inputs, tasks

LEASE = timedelta(seconds=20)
NO_PATIENCE = NOW = timedelta(0)


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
        return [task.claim for task in transitions.claim(connection, "m", ids, lease, max_inputs=10_000)]


def test_a_claim_returns_the_inputs_and_counts_as_an_attempt(engine: Engine) -> None:
    ids = add_tasks(engine, 3)
    with engine.begin() as connection:
        claimed = transitions.claim(connection, "m", ids, LEASE, max_inputs=10_000)
    assert [(task.claim, task.payload) for task in claimed] == [(Claim(task_id, 1), b"[{}]") for task_id in ids]


def test_a_claim_waits_for_no_flush_and_every_other_commit_does(engine: Engine) -> None:
    def setting(connection: Connection) -> str:
        return str(connection.execute(text("SHOW synchronous_commit")).scalar_one())

    ids = add_tasks(engine)
    with engine.begin() as connection:
        claimed = [task.claim for task in transitions.claim(connection, "m", ids, LEASE, max_inputs=10_000)]
        assert setting(connection) == "off"
    with engine.begin() as connection:
        assert transitions.finish(connection, claimed, "1") == set(ids)
        assert setting(connection) == "on"


def test_a_claim_that_a_crash_forgot_is_scored_again_and_stored_once(engine: Engine) -> None:
    ids = add_tasks(engine)
    with engine.connect() as connection:
        before = connection.execute(select(tasks).where(tasks.c.id == ids[0])).one()._asdict()
    forgotten = claim(engine, ids)
    with engine.begin() as connection:
        connection.execute(tasks.update().where(tasks.c.id == ids[0]).values(before))
    again = claim(engine, ids)
    assert again == forgotten, "it is the same attempt, so the fence lets the first to finish through"
    with engine.begin() as connection:
        assert transitions.finish(connection, forgotten, "1") == set(ids)
    with engine.begin() as connection:
        assert transitions.finish(connection, again, "1") == set()


def test_a_message_delivered_twice_claims_nothing_the_second_time(engine: Engine) -> None:
    ids = add_tasks(engine, 3)
    assert len(claim(engine, ids)) == 3
    assert claim(engine, ids) == []


def test_a_message_that_names_another_models_tasks_claims_none_of_them(engine: Engine) -> None:
    [ours], [others] = add_tasks(engine), add_tasks(engine, model="other")
    assert [claim.task_id for claim in claim(engine, [others, ours, ours])] == [ours]
    assert status_of(engine, others) == "PENDING"


def test_a_claim_takes_no_more_inputs_than_a_chunk_has_but_always_one_task(engine: Engine) -> None:
    large, *small = [*add_tasks(engine, n_inputs=5), *add_tasks(engine, 3, n_inputs=2)]

    def taken(ids: Sequence[UUID]) -> list[UUID]:
        with engine.begin() as connection:
            return [task.claim.task_id for task in transitions.claim(connection, "m", ids, LEASE, max_inputs=4)]

    assert taken([large, *small]) == [large]
    assert taken(small) == small[:2]
    assert taken(small) == small[2:]


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
        assert transitions.expire(connection, limit=10) == [task_id]
    assert status_of(engine, task_id) == "EXPIRED"
    assert inputs_left(engine) == 0


def test_finish_writes_only_for_the_attempt_that_claimed(engine: Engine) -> None:
    ids = add_tasks(engine, 2)
    zombie = claim(engine, ids, lease=timedelta(seconds=-1))
    with engine.begin() as connection:
        taken_back = transitions.take_back(connection, attempts=3, limit=10)
    assert {task.task_id: status for task, status in taken_back.items()} == dict.fromkeys(ids, "PENDING")
    second = claim(engine, ids[:1])
    with engine.begin() as connection:
        assert transitions.finish(connection, zombie, "1") == set()
        assert transitions.finish(connection, second, "1") == {ids[0]}
    assert status_of(engine, ids[0]) == "SUCCESS"
    assert status_of(engine, ids[1]) == "PENDING"
    assert inputs_left(engine) == 1


def test_a_zombie_can_neither_fail_nor_renew_what_was_taken_from_it(engine: Engine) -> None:
    ids = add_tasks(engine)
    zombie = claim(engine, ids, lease=timedelta(seconds=-1))
    with engine.begin() as connection:
        transitions.take_back(connection, attempts=3, limit=10)
        assert transitions.fail(connection, zombie, "1", "late") == set()
        transitions.renew(connection, zombie, LEASE)
    assert status_of(engine, ids[0]) == "PENDING"


def test_a_renewal_waits_for_no_task_that_its_process_is_just_ending(engine: Engine) -> None:
    ids = add_tasks(engine, 2)
    first, second = claim(engine, ids, lease=NOW)
    with engine.begin() as scoring:
        transitions.finish(scoring, [second], "1")
        with engine.begin() as heartbeat:
            heartbeat.execute(text("SET LOCAL lock_timeout = '5s'"))
            transitions.renew(heartbeat, [first, second], LEASE)
        transitions.fail(scoring, [first], "1", "ValueError: no")
    assert [status_of(engine, task_id) for task_id in ids] == ["FAILURE", "SUCCESS"]


def test_a_renewed_lease_keeps_the_task(engine: Engine) -> None:
    ids = add_tasks(engine)
    ours = claim(engine, ids, lease=timedelta(seconds=-1))
    with engine.begin() as connection:
        transitions.renew(connection, ours, LEASE)
        assert transitions.take_back(connection, attempts=3, limit=10) == {}


def test_a_failed_task_keeps_its_inputs_and_says_why(engine: Engine) -> None:
    (task_id,) = add_tasks(engine)
    ours = claim(engine, [task_id])
    with engine.begin() as connection:
        assert transitions.fail(connection, ours, "1", "ValueError: no") == {task_id}
        assert connection.execute(select(tasks.c.error)).scalar_one() == "ValueError: no"
    assert status_of(engine, task_id) == "FAILURE"
    assert inputs_left(engine) == 1


def test_a_task_fails_when_its_worker_was_lost_for_the_last_time(engine: Engine) -> None:
    (task_id,) = add_tasks(engine)
    for _ in range(2):
        claim(engine, [task_id], lease=timedelta(seconds=-1))
        with engine.begin() as connection:
            taken_back = transitions.take_back(connection, attempts=2, limit=10)
    assert {task.task_id: status for task, status in taken_back.items()} == {task_id: "FAILURE"}
    with engine.connect() as connection:
        error = connection.execute(select(tasks.c.error)).scalar_one()
    assert error == "worker lost 2 times while scoring this task"


class TestRepublishing:
    """A task is published again when its message is lost, and only then."""

    def republish(
        self, connection: Connection, *, emptied: timedelta | None, patience: timedelta = NO_PATIENCE
    ) -> list[UUID]:
        found = waiting.republish(connection, "m", 1, emptied=emptied, following=(), patience=patience, limit=100)
        return [task.task_id for task in found]

    def test_beside_an_empty_queue_what_waits_has_lost_its_message(self, engine: Engine) -> None:
        ids = add_tasks(engine, 2)
        with engine.begin() as connection:
            assert set(self.republish(connection, emptied=NOW)) == set(ids)

    def test_a_task_that_has_just_been_published_is_left_alone(self, engine: Engine) -> None:
        add_tasks(engine)
        with engine.begin() as connection:
            assert self.republish(connection, emptied=NOW, patience=timedelta(seconds=15)) == []

    @pytest.mark.parametrize(("emptied", "expected"), [(70, 0), (50, 1), (None, 0)])
    def test_what_was_published_before_the_queue_was_empty_has_lost_its_message(
        self, engine: Engine, emptied: int | None, expected: int
    ) -> None:
        add_tasks(engine, published_at=text("now() - interval '60 seconds'"))
        ago = None if emptied is None else timedelta(seconds=emptied)
        with engine.begin() as connection:
            assert len(self.republish(connection, emptied=ago, patience=timedelta(seconds=15))) == expected

    def test_what_was_given_back_gets_a_message_at_once_and_once(self, engine: Engine) -> None:
        ids = add_tasks(engine)
        with engine.begin() as connection:
            transitions.give_back(connection, claim(engine, ids))
            for expected in (ids, []):
                assert self.republish(connection, emptied=None, patience=timedelta(hours=1)) == expected

    def test_what_the_release_before_gave_back_was_published_long_ago(self, engine: Engine) -> None:
        """It writes so, which this release does not."""
        ids = add_tasks(engine, published_at=text("'-infinity'"), attempt=3, attempt_base=3)
        with engine.begin() as connection:
            assert self.republish(connection, emptied=timedelta(hours=1), patience=timedelta(hours=1)) == ids

    @pytest.mark.parametrize(("overtaken", "expected"), [(True, 1), (False, 0)])
    def test_in_a_backlog_only_an_overtaken_task_has_lost_its_message(
        self, engine: Engine, overtaken: bool, expected: int
    ) -> None:
        add_tasks(engine, published_at=text("now() - interval '60 seconds'"))
        other = "10 seconds" if overtaken else "70 seconds"
        claim(engine, add_tasks(engine, published_at=text(f"now() - interval '{other}'")))
        with engine.begin() as connection:
            found = self.republish(connection, emptied=None, patience=timedelta(seconds=15))
        assert len(found) == expected

    def test_a_task_that_was_given_back_has_no_message_whatever_waits_in_its_queue(self, engine: Engine) -> None:
        ids = add_tasks(engine)
        ours = claim(engine, ids)
        with engine.begin() as connection:
            transitions.give_back(connection, ours)
            assert self.republish(connection, emptied=None, patience=timedelta(seconds=15)) == ids


class TestPromoting:
    """What starves is published before others, a chunk at a time, and nothing of it is rewritten."""

    def add(self, engine: Engine, count: int, n_inputs: int, waited: str = "1 hour", priority: int = 2) -> list[UUID]:
        ids = [uuid7() for _ in range(count)]
        at = text(f"now() - interval '{waited}'")
        with engine.begin() as connection:
            for task_id in ids:
                values = {"id": task_id, "model": "m", "n_inputs": n_inputs, "priority": priority}
                connection.execute(tasks.insert().values(**values, published_at=at))
        return ids

    def promote(self, engine: Engine, before: Sequence[UUID] = ()) -> list[WaitingTask]:
        with engine.begin() as connection:
            return waiting.starving(
                connection, "m", 2, patience=timedelta(minutes=1), limit=256, inputs=10_000, before=before
            )

    @pytest.mark.parametrize(("n_inputs", "expected"), [(1, 256), (100, 100), (6_000, 1), (10_000, 1), (50_000, 1)])
    def test_it_is_bounded_in_tasks_and_in_inputs(self, engine: Engine, n_inputs: int, expected: int) -> None:
        ids = self.add(engine, 300, n_inputs)
        promoted = self.promote(engine)
        assert [task.task_id for task in promoted] == ids[:expected]
        assert {task.priority for task in promoted} == {0}
        with engine.connect() as connection:
            assert set(connection.execute(select(tasks.c.priority)).scalars()) == {2}

    def test_the_next_chunk_waits_until_the_last_was_taken(self, engine: Engine) -> None:
        first, second = self.add(engine, 2, 10_000)
        assert [task.task_id for task in self.promote(engine)] == [first]
        assert self.promote(engine, [first]) == []
        claim(engine, [first])
        assert [task.task_id for task in self.promote(engine, [first])] == [second]

    def test_what_has_not_waited_long_is_left_alone(self, engine: Engine) -> None:
        self.add(engine, 3, 1, waited="30 seconds")
        self.add(engine, 3, 1, priority=1)
        assert self.promote(engine) == []
