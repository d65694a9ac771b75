"""Rescue's round: short steps that do not hold each other up, and help for what starves."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from broker.message import LANES, PRIORITIES, QueuedTask, list_of
from broker.redis_broker import RedisBroker
from models.report_scorer.spec import SPEC
from registry import versions
from rescue.metrics import RescueMetrics
from rescue.rounds import Rescue
from rescue.settings import RescueSettings
from serving.catalogue import bounds
from store import transitions
from store.engine import WatchedEngine, connect
from store.tables import task_inputs, tasks
from tests.running import eventually

STARVING = 0.5
HIGH, NORMAL, LOW = (list_of(SPEC.name, priority) for priority in PRIORITIES)


@pytest.fixture
def rescue(database_url: str, redis_url: str, request: pytest.FixtureRequest) -> Iterator[Rescue]:
    """A rescue that a test may give settings of its own."""
    engine, watched = connect(database_url), WatchedEngine(database_url, 4)
    settings = RescueSettings(starving_after_seconds=STARVING).model_copy(update=getattr(request, "param", {}))
    with engine.connect() as connection:
        models = versions.read(connection)
    broker, metrics = RedisBroker(redis_url, models.bounds), RescueMetrics(CollectorRegistry())
    yield Rescue(watched, broker, settings, metrics, models)
    engine.dispose()
    watched.dispose()


@pytest.fixture
def queues(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def publisher(redis_url: str) -> RedisBroker:
    return RedisBroker(redis_url, bounds)


def add(engine: Engine, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(tasks.insert().values(**{"id": uuid7(), "model": SPEC.name, "n_inputs": 1} | values))


def count(engine: Engine, condition: str) -> int:
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM tasks WHERE {condition}")).scalar_one()


LONG_AGO = text("now() - interval '1 hour'")


class TestSteps:
    def test_one_that_is_held_up_undoes_and_delays_no_other(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis
    ) -> None:
        """An analyst's lock on the inputs holds up what expires; the rest goes on, and the next round does that too."""
        add(engine, deadline=LONG_AGO)
        add(engine, status="STARTED", attempt=1, lease_until=LONG_AGO)
        add(engine, published_at=LONG_AGO)
        add(engine, status="SUCCESS", idempotency_key="k", request_fingerprint=b"", submitted_at=LONG_AGO)
        rescue._keys_live *= 0
        with engine.begin() as analyst:
            analyst.execute(text("LOCK TABLE task_inputs IN ACCESS EXCLUSIVE MODE"))
            rescue.round()
            assert count(engine, "status = 'EXPIRED'") == 0
            assert count(engine, "status = 'STARTED'") == 0
            assert count(engine, "idempotency_key IS NOT NULL") == 0
            assert queues.llen(list_of(SPEC.name, 1)) == 2
        rescue.round()
        assert count(engine, "status = 'EXPIRED'") == 1

    def test_a_row_that_somebody_holds_is_left_out(self, rescue: Rescue, engine: Engine) -> None:
        for key in "abc":
            add(engine, status="SUCCESS", idempotency_key=key, request_fingerprint=b"", submitted_at=LONG_AGO)
        rescue._keys_live *= 0
        with engine.begin() as analyst:
            analyst.execute(text("SELECT FROM tasks WHERE idempotency_key = 'a' FOR UPDATE"))
            rescue.round()
        assert count(engine, "idempotency_key IS NOT NULL") == 1

    def test_a_backlog_that_is_larger_than_a_step_is_done_in_one_round(
        self, rescue: Rescue, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rescue.steps.ROWS", 3)
        for _ in range(10):
            add(engine, deadline=LONG_AGO)
        rescue.round()
        assert count(engine, "status = 'EXPIRED'") == 10

    def test_a_statement_that_takes_too_long_is_ended_and_tried_with_fewer_rows(
        self, rescue: Rescue, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A row that takes .1 s makes a thousand of them take longer than the second that they have here."""
        with engine.begin() as connection:
            connection.execute(
                text("""
                CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$
                """)
            )
            connection.execute(text("CREATE TRIGGER slow BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION slow()"))
            connection.execute(
                text(f"""
                INSERT INTO tasks (id, model, n_inputs, deadline)
                SELECT gen_random_uuid(), '{SPEC.name}', 1, now() - interval '1 hour' FROM generate_series(1, 30)
                """)
            )
        until = time.monotonic() + 60
        while count(engine, "status = 'EXPIRED'") < 30:
            assert time.monotonic() < until, "a statement that is too long fails for ever"
            rescue.round()


@pytest.mark.parametrize("rescue", [{"republish_after_seconds": 1.0, "starving_after_seconds": 3600.0}], indirect=True)
class TestLostMessages:
    """Nobody takes from the queue in these tests: what lies in it once lies there until the end."""

    def test_what_was_lost_is_not_hidden_by_what_was_published_since(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis, publisher: RedisBroker
    ) -> None:
        """Rescue republishes what has waited long enough beside the empty queue, and so fills it."""
        ids = [uuid7(), uuid7()]
        add(engine, id=ids[0], published_at=LONG_AGO)
        add(engine, id=ids[1])
        rescue.round()
        assert queues.llen(NORMAL) == 1
        publisher.publish([QueuedTask(uuid7(), SPEC.name, 1, 1)])

        def all_named() -> bool:
            rescue.round()
            return set(map(str, ids)) <= set(named(queues))

        eventually(all_named, every=0.2)

    def test_a_backlog_that_came_after_the_queue_was_empty_is_left_alone(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis, publisher: RedisBroker
    ) -> None:
        rescue.round()
        ids = [uuid7() for _ in range(5)]
        for task_id in ids:
            add(engine, id=task_id)
        publisher.publish([QueuedTask(task_id, SPEC.name, 1, 1) for task_id in ids])
        for _ in range(4):
            time.sleep(0.5)
            rescue.round()
        assert sorted(named(queues)) == sorted(map(str, ids))

    def test_a_task_that_another_client_overtakes_has_not_lost_its_message(
        self, rescue: Rescue, engine: Engine, publisher: RedisBroker
    ) -> None:
        """Those in front are scored while those behind, which are older, wait for their turn."""
        behind = [uuid7() for _ in range(2)]
        for task_id in behind:
            add(engine, id=task_id, published_at=LONG_AGO)
        publisher.publish([QueuedTask(task_id, SPEC.name, 1, 1, lane=1) for task_id in behind])
        add(engine, status="STARTED", attempt=1, lease_until=text("now() + interval '1 hour'"))
        rescue.round()
        assert count(engine, "published_at > now() - interval '1 minute' AND status = 'PENDING'") == 0

    def test_what_was_overtaken_in_every_lane_is_published_again(
        self, rescue: Rescue, engine: Engine, publisher: RedisBroker, queues: redis.Redis
    ) -> None:
        lost, behind, front = uuid7(), uuid7(), uuid7()
        add(engine, id=lost, published_at=LONG_AGO)
        for task_id, lane in ((behind, 1), (front, 0)):
            add(engine, id=task_id)
            publisher.publish([QueuedTask(task_id, SPEC.name, 1, 1, lane)])
        rescue.round()
        assert str(lost) not in named(queues)
        add(engine, status="STARTED", attempt=1, lease_until=text("now() + interval '1 hour'"))
        rescue.round()
        assert str(lost) in named(queues)

    def test_what_is_replayed_beside_a_backlog_is_published_in_the_next_round(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis, publisher: RedisBroker
    ) -> None:
        publisher.publish([QueuedTask(uuid7(), SPEC.name, 1, 1)])
        failed = uuid7()
        add(engine, id=failed, status="FAILURE", error="no")
        with engine.begin() as connection:
            connection.execute(task_inputs.insert().values(task_id=failed, payload=b"[{}]"))
            assert transitions.replay_these(connection, [failed]) == {failed}
        rescue.round()
        assert str(failed) in named(queues)


def named(queues: redis.Redis, key: str = NORMAL) -> list[str]:
    """Return the tasks that the messages of a list carry, if not another of normal priority."""
    messages = map(json.loads, queues.lrange(key, 0, -1))
    return [task_id for message in messages for task_id in json.loads(b64decode(message["body"]))[1]["task_ids"]]


class TestStarving:
    def test_a_queue_that_nobody_takes_from_is_helped_a_chunk_at_a_time(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis
    ) -> None:
        for _ in range(3):
            add(engine, priority=2, n_inputs=10_000, published_at=LONG_AGO)
        rescue.round()  # publishes them, for their queue is empty
        assert sum(queues.llen(list_of(SPEC.name, 2, lane)) for lane in range(LANES)) == 3
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET published_at = now() - interval '1 hour'"))
        for _ in range(3):
            time.sleep(STARVING + 0.1)
            rescue.round()
        assert 1 <= queues.llen(HIGH) <= 3, "it is the same chunk each time, since nobody took it"
        assert count(engine, "priority = 2") == 3, "what the client asked for stays"

    def test_a_backlog_that_is_worked_on_does_not_starve_however_old_it_is(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis
    ) -> None:
        for _ in range(8):
            add(engine, priority=2, n_inputs=10_000, published_at=LONG_AGO)
        rescue.round()
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET published_at = now() - interval '1 hour'"))
        for _ in range(4):
            for lane in range(LANES):
                queues.rpop(list_of(SPEC.name, 2, lane))  # as workers take them
            rescue.round()
            time.sleep(STARVING + 0.1)
        assert queues.llen(HIGH) == 0

    def test_a_lane_that_the_workers_do_not_know_is_helped(
        self, rescue: Rescue, engine: Engine, queues: redis.Redis, publisher: RedisBroker
    ) -> None:
        """Workers of the release before take from the front only, in which something always waits."""
        behind = uuid7()
        add(engine, id=behind, priority=2)
        publisher.publish([QueuedTask(behind, SPEC.name, 1, 2, lane=1)])
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET published_at = now() - interval '1 hour'"))

        def helped() -> bool:
            front = uuid7()
            add(engine, id=front, priority=2)
            publisher.publish([QueuedTask(front, SPEC.name, 1, 2)])
            queues.ltrim(LOW, 0, 0)  # as workers take all but the latest
            rescue.round()
            return str(behind) in named(queues, HIGH)

        eventually(helped, every=0.1)
