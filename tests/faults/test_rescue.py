"""Rescue outlives what it did not expect."""

from pathlib import Path

import redis
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from broker.message import queue_of
from models.report_scorer.spec import SPEC
from store.tables import tasks
from tests.running import Platform, eventually


def test_rescue_goes_on_after_a_redis_that_answers_with_errors(
    engine: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    quick = {"RESCUE_INTERVAL_SECONDS": "0.2", "REPUBLISH_AFTER_SECONDS": "1"}
    platform = Platform(database_url, redis_url, tmp_path, **quick)
    with engine.begin() as connection:
        connection.execute(tasks.insert().values(id=uuid7(), model=SPEC.name, n_inputs=1))
        connection.execute(text("UPDATE tasks SET published_at = now() - interval '1 hour'"))
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("min-replicas-to-write", 1)  # every write is refused with NOREPLICAS
        rescue = platform.start_rescue()
        try:
            eventually(lambda: rescue.log.read_text().count("NOREPLICAS") > 2)
            client.config_set("min-replicas-to-write", 0)
            eventually(lambda: sum(client.llen(key) for key in client.keys(f"{queue_of(SPEC.name)}*")))
        finally:
            client.config_set("min-replicas-to-write", 0)
            rescue.stop()
            platform.client.close()
