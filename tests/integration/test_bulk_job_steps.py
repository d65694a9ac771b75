"""The steps in which a job changes what it chose, whatever their size."""

from uuid import UUID

from sqlalchemy import Engine, text

from store import bulk_jobs
from tests.integration.test_bulk_jobs import add, alone, counts, make  # noqa: F401
from tests.running import Platform


def test_steps_of_any_size_look_at_each_task_once_the_oldest_first(alone: Platform, engine: Engine) -> None:  # noqa: F811
    ids = add(engine, "PENDING", 250)
    job = make(alone.client, "cancel", "PENDING")
    with engine.connect() as connection:
        rows = connection.scalar(text("SELECT count(*) FROM bulk_tasks"))
    assert rows == 3, "a row for each task takes a request of 100,000 too long"
    looked_at: list[UUID] = []
    with engine.begin() as analyst:
        analyst.execute(text("SELECT FROM tasks WHERE id = :id FOR UPDATE"), {"id": ids[40]})
        for size in (7, 30, 90, 101, 60):
            with engine.begin() as connection:
                looked_at += bulk_jobs.advance(connection, UUID(job["job_id"]), limit=size)
        assert counts(alone.client, job) == ("RUNNING", {"matched": 250, "done": 249, "waiting": 1})
    with engine.begin() as connection:
        looked_at += bulk_jobs.advance(connection, UUID(job["job_id"]), limit=1_000)
    assert looked_at == [*ids[:40], *ids[41:], ids[40]], "one that was locked comes last"
    assert counts(alone.client, job) == ("DONE", {"matched": 250, "done": 250})
