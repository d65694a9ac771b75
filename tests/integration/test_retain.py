"""Old predictions go with their tasks, whole days at a time, and never half a task; what has not ended stays."""

import json
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from cli.exported_days import Exports
from cli.retain import DayReport, retain, retention
from cli.retention_settings import parse
from store import deleted_days, old_days, row_retention
from store.limits import holding
from tests.conftest import as_app
from tests.exported import ExportFolder
from tests.running import REPORT, ROOT, eventually, handler

TASKS = """
    INSERT INTO tasks (id, model, status, n_inputs, submitted_at, started_at, finished_at, client, lease_until)
    VALUES (:id, :model, :status, :n_inputs, :at, :at, :ended, :client, :lease)
"""
PREDICTIONS = {
    "report_scorer": """
        INSERT INTO report_scores
        SELECT :id, n, 'MSG', 120, 4.2, 3, 57, 'r-1', 0.5, '1', :at FROM generate_series(0, :n_inputs - 1) AS n
    """,
    "text_classifier": """
        INSERT INTO text_labels
        SELECT :id, n, 'text', 'd-1', 'hockey', 0.9, '{hockey}', '{0.9}', false, '1', :at
        FROM generate_series(0, :n_inputs - 1) AS n
    """,
}
MIDNIGHT = "SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - CAST(:age AS interval)"


def add(
    engine: Engine, age: str, status: str = "SUCCESS", model: str = "report_scorer", n_inputs: int = 1, **more: Any
) -> UUID:
    """Store a task that ended so long before the last midnight (UTC), as `5 days 1 second`, and its predictions."""
    with engine.begin() as connection:
        at = connection.execute(text(MIDNIGHT), {"age": age}).scalar_one()
        ended = None if status in ("PENDING", "STARTED") else at
        task_id = UUID(int=(int(at.timestamp() * 1000) << 80) | 7 << 76 | secrets.randbits(76))
        values = {"id": task_id, "model": model, "status": status, "n_inputs": n_inputs, "at": at, "ended": ended}
        lease = at if status == "STARTED" else None
        connection.execute(text(TASKS), values | {"client": None, "lease": lease} | more)
        if status == "SUCCESS":
            connection.execute(text(PREDICTIONS[model]), values)
        else:
            connection.execute(text("INSERT INTO task_inputs VALUES (:id, '[]')"), values)
    return task_id


def left(engine: Engine) -> set[UUID]:
    """Return the tasks that are there; no task may be without its predictions, and no prediction without its task."""
    with engine.connect() as connection:
        for table in ("report_scores", "text_labels"):
            model = "report_scorer" if table == "report_scores" else "text_classifier"
            torn = f"""
                SELECT count(*) FROM (SELECT id FROM tasks WHERE model = '{model}' AND status = 'SUCCESS') AS ended
                FULL JOIN (SELECT task_id FROM {table}) AS stored ON task_id = id WHERE id IS NULL OR task_id IS NULL
            """
            assert connection.execute(text(torn)).scalar_one() == 0
        return set(connection.scalars(text("SELECT id FROM tasks")))


def run(engine: Engine, ages: str, exported: Exports | None = None, *, dry_run: bool = False) -> list[DayReport]:
    return list(retention(engine, parse(ages), exported, dry_run=dry_run))


Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Run `millrace retain`, which sets up the log of its process."""
    handlers = logging.root.handlers[:]

    def run(database_url: str, ages: str, *options: str, **more: str) -> Result:
        for name, value in {"DATABASE_URL": database_url, "PREDICTION_RETENTION_DAYS": ages, **more}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(retain, options)

    yield run
    logging.root.handlers[:] = handlers
    structlog.reset_defaults()


def test_a_day_goes_once_it_has_been_over_for_so_many_days(engine: Engine) -> None:
    old = {add(engine, age) for age in ("30 days 1 microsecond", "31 days", "400 days")}
    young = {add(engine, age) for age in ("30 days", "29 days", "-1 second")}
    assert [(one.predictions, one.tasks) for one in run(engine, "30")] == [(1, 1), (2, 2)]
    assert left(engine) == young
    assert old.isdisjoint(left(engine))
    assert run(engine, "30") == []


def test_explanations_go_with_their_predictions(engine: Engine) -> None:
    old, young = add(engine, "30 days 1 second"), add(engine, "29 days")
    with engine.begin() as connection:
        explain = text("INSERT INTO explanations (task_id, position, base, contributions) VALUES (:id, 0, 0, '{}')")
        connection.execute(explain, [{"id": old}, {"id": young}])
    run(engine, "30")
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT task_id FROM explanations")).all() == [young]


def test_a_model_may_have_an_age_of_its_own(engine: Engine, database_url: str, command: Command) -> None:
    tasks = {(model, age): add(engine, f"{age} days", model=model) for model in PREDICTIONS for age in (50, 100, 400)}
    said = command(database_url, "365,report_scorer=90", "--dry-run", "--json")
    assert len(left(engine)) == 6
    would = json.loads(said.stdout)
    assert (would["dry_run"], would["predictions"], would["tasks"]) == (True, 3, 3)
    assert [day["model"] for day in would["days"]] == ["report_scorer", "report_scorer", "text_classifier"]
    done = command(database_url, "365,report_scorer=90")
    assert done.stdout.endswith("3 predictions and 3 tasks deleted\n"), done.stderr
    assert "predictions_deleted" in done.stderr
    young = {("report_scorer", 50), ("text_classifier", 50), ("text_classifier", 100)}
    assert left(engine) == {tasks[which] for which in young}
    run(engine, "1,report_scorer=forever")
    assert left(engine) == {tasks["report_scorer", 50]}


def test_what_is_not_set_or_not_meant_deletes_nothing(engine: Engine, database_url: str, command: Command) -> None:
    add(engine, "4000 days")
    assert command(database_url, "").output == "0 predictions and 0 tasks deleted\n"
    unknown = command(database_url, "30,report_scoer=90")
    assert unknown.exit_code == 1
    assert "PREDICTION_RETENTION_DAYS: there is no model 'report_scoer'" in unknown.output
    assert "PREDICTION_RETENTION_DAYS is not valid" in command(database_url, "soon").output
    assert "it is not exported" in command(database_url, "30", EXPORT_URL="file:///nowhere").output
    assert len(left(engine)) == 1


def test_tasks_that_have_not_ended_stay_and_the_others_go_with_inputs_and_webhooks(engine: Engine) -> None:
    waiting = {add(engine, "90 days", status) for status in ("PENDING", "STARTED")}
    ended = [add(engine, "90 days", status) for status in ("FAILURE", "REVOKED", "EXPIRED", "SUCCESS")]
    theirs = add(engine, "5 days", n_inputs=3, client="another")
    with engine.begin() as connection:
        for task_id in (*ended, *waiting, theirs):
            connection.execute(text("INSERT INTO webhooks VALUES (:id, 'https://a.example/')"), {"id": task_id})
    (day,) = run(engine, "30")
    assert (day.predictions, day.tasks) == (1, 4)
    assert left(engine) == {*waiting, theirs}
    with engine.connect() as connection:
        for table, whose in (("task_inputs", waiting), ("webhooks", {*waiting, theirs})):
            assert set(connection.scalars(text(f"SELECT task_id FROM {table}"))) == whose


def test_a_replayed_task_that_ended_lately_stays(engine: Engine) -> None:
    task_id = add(engine, "90 days")
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET finished_at = now()"))
        connection.execute(text("UPDATE report_scores SET scored_at = now()"))
    assert run(engine, "30") == []
    assert left(engine) == {task_id}


def test_a_program_that_was_killed_leaves_whole_tasks_and_the_next_one_goes_on(
    engine: Engine, database_url: str, command: Command
) -> None:
    with engine.begin() as connection:
        at = connection.execute(text(MIDNIGHT), {"age": "60 days"}).scalar_one()
        for number in range(12):
            base = int(at.timestamp() * 1000 + number) << 80
            ids = [UUID(int=base | secrets.randbits(76)) for _ in range(1_000)]
            of = "FROM unnest(CAST(:ids AS uuid[])) AS id"
            connection.execute(
                text(
                    "INSERT INTO tasks (id, model, status, n_inputs, submitted_at, finished_at) "
                    f"SELECT id, 'report_scorer', 'SUCCESS', 2, :at, :at {of}"
                ),
                {"ids": ids, "at": at},
            )
            stored = "SELECT id, n, 'MSG', 1, 1, 1, 1, NULL, 0.5, '1', :at"
            rows = f"INSERT INTO report_scores {stored} {of}, generate_series(0, 1) AS n"
            connection.execute(text(rows), {"ids": ids, "at": at})
    settings = {"DATABASE_URL": database_url, "PREDICTION_RETENTION_DAYS": "30"}
    killed = subprocess.Popen(
        [sys.executable, "-m", "cli.retain"], cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.DEVNULL
    )
    eventually(lambda: len(left(engine)) < 12_000, every=0.005)
    killed.kill()
    killed.wait()
    assert 0 < len(left(engine)) < 12_000
    done = command(database_url, "30")
    assert done.exit_code == 0, done.stderr
    assert left(engine) == set()
    with engine.connect() as connection:
        days = connection.execute(text("SELECT predictions, ended_at IS NOT NULL FROM deleted_days")).all()
    assert days == [(24_000, True)]


def test_the_programs_role_cannot_do_it(engine: Engine, database_url: str, command: Command) -> None:
    add(engine, "90 days")
    refused = command(as_app(database_url), "30")
    assert refused.exit_code == 1
    assert "owner of the database" in refused.output
    assert len(left(engine)) == 1


class TestWhereDaysAreExported:
    @pytest.fixture
    def folder(self, engine: Engine, tmp_path: Path) -> ExportFolder:
        """Two old days of two rows each, and failed tasks of a third, for which there is nothing to export."""
        for age in ("60 days", "50 days"):
            add(engine, age, n_inputs=2)
        add(engine, "70 days", "FAILURE")
        return ExportFolder(engine, tmp_path)

    def export(self, folder: ExportFolder) -> Sequence[date]:
        with folder.engine.connect() as connection:
            days = connection.scalars(text("SELECT DISTINCT (scored_at AT TIME ZONE 'UTC')::date FROM report_scores"))
            return [folder.export_day("report_scorer", "report_scores", day).day for day in days]

    def test_a_day_without_a_manifest_stays_and_one_with_a_verified_one_goes(
        self, engine: Engine, folder: ExportFolder
    ) -> None:
        kept = run(engine, "30", folder.functions)
        assert [(one.predictions, one.tasks) for one in kept] == [(0, 1), (0, 0), (0, 0)]
        assert ["not exported" in (one.kept or "") for one in kept] == [False, True, True]
        assert len(left(engine)) == 2
        days = self.export(folder)
        gone = run(engine, "30", folder.functions)
        assert [(one.day, one.predictions) for one in gone] == [(day, 2) for day in sorted(days)]
        assert left(engine) == set()
        with engine.connect() as connection:
            assert deleted_days.of_model(connection, "report_scorer") == set(days)

    def test_a_day_whose_files_are_not_what_the_manifest_says_stays(self, engine: Engine, folder: ExportFolder) -> None:
        self.export(folder)
        folder.tamper("report_scorer", lambda content: content[:-10])
        assert all(one.kept for one in run(engine, "30", folder.functions) if one.predictions or one.kept)
        assert len(left(engine)) == 2

    def test_a_day_that_has_other_rows_than_its_manifest_stays_and_it_says_so(
        self, engine: Engine, folder: ExportFolder
    ) -> None:
        self.export(folder)
        add(engine, "60 days")
        reasons = [one.kept for one in run(engine, "30", folder.functions)]
        assert reasons[1:] == ["its export has 2 rows and the table 3: export the day again", None]
        assert len(left(engine)) == 2

    def test_a_day_that_was_interrupted_is_finished_although_its_rows_are_fewer(
        self, engine: Engine, folder: ExportFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(engine, "60 days")
        days = self.export(folder)
        monkeypatch.setattr(row_retention, "ROWS", 2)
        with engine.begin() as connection:
            deleted_days.begin(connection, "report_scorer", {min(days): 3})
        next(
            row_retention.delete(engine.begin, "report_scorer", "report_scores", [min(days)])
        )  # and no more: it was killed
        assert len(left(engine)) == 3
        run(engine, "30", folder.functions)
        assert left(engine) == set()
        with engine.connect() as connection:
            assert deleted_days.unfinished(connection, "report_scorer") == set()

    def test_two_programs_do_not_delete_at_once(self, engine: Engine, database_url: str, command: Command) -> None:
        with holding(engine, deleted_days.LOCK) as alone:
            assert alone
            idle = "SELECT backend_xmin, backend_xid FROM pg_stat_activity WHERE state = 'idle in transaction'"
            with engine.connect() as connection:
                here = f"{idle} AND datname = current_database()"
                assert connection.execute(text(here)).all() == [(None, None)]  # it keeps nothing from vacuum
            refused = command(database_url, "1")
        assert refused.exit_code == 1
        assert "another program deletes predictions" in refused.output


def test_a_deleted_task_is_unknown_lists_go_on_and_its_key_makes_a_new_task(
    engine: Engine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    keyed = {"Idempotency-Key": "order-1"}
    with handler(as_app(database_url), redis_url, tmp_path) as platform:

        def submit(**headers: str) -> str:
            answer = platform.client.post("/submit", json=[REPORT], headers=headers)
            task_id: str = answer.json()["task_id"]
            return task_id

        older, first, newer = submit(), submit(**keyed), submit()
        assert submit(**keyed) == first
        with engine.begin() as connection:
            at = connection.execute(text("SELECT now() - interval '40 days'")).scalar_one()
            aged = "UPDATE tasks SET status = 'SUCCESS', submitted_at = :at, finished_at = :at WHERE id = :id"
            connection.execute(text(aged), {"id": first, "at": at})
            values = {"id": first, "n_inputs": 1}
            connection.execute(text(PREDICTIONS["report_scorer"]), values | {"at": at})
        assert platform.client.get(f"/task/{first}").json()["score"] == [0.5]
        run(engine, "30")
        gone: httpx.Response = platform.client.get(f"/task/{first}")
        assert (gone.status_code, gone.json()["type"]) == (404, "urn:millrace:problem:unknown-task")
        listed = platform.client.get("/tasks").json()["tasks"]
        assert [task["task_id"] for task in listed] == [newer, older]
        page = platform.client.get("/tasks", params={"before": first}).json()["tasks"]
        assert [task["task_id"] for task in page] == [older]
        again = submit(**keyed)
        assert again not in (older, first, newer)
        assert submit(**keyed) == again


def test_a_query_by_time_reads_no_more_after_new_rows_took_the_room_of_old_ones(engine: Engine) -> None:
    """The block-range index would otherwise take a range for one of all the time between."""
    fill = """
        WITH made AS (
            INSERT INTO tasks (id, model, status, n_inputs, submitted_at, finished_at)
            SELECT gen_random_uuid(), 'report_scorer', 'SUCCESS', 1000, at, at
            FROM generate_series(1, 30) AS n, LATERAL (SELECT now() - :age * interval '1 day' AS at) AS aged
            RETURNING id, finished_at
        )
        INSERT INTO report_scores
        SELECT id, n, 'MSG', 1, 1, 1, 1, NULL, 0.5, '1', finished_at FROM made, generate_series(0, 999) AS n
    """
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    def blocks(age: int) -> int:
        query = """
            EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT count(*) FROM report_scores
            WHERE scored_at >= now() - (:age + 0.5) * interval '1 day'
                AND scored_at < now() - (:age - 0.5) * interval '1 day'
        """
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            plan = connection.execute(text(query), {"age": age}).scalar_one()[0]["Plan"]
        read: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return read

    with alone.connect() as connection:
        for age in (50, 40, 20, 10):
            connection.execute(text(fill), {"age": age})
        connection.execute(text("VACUUM ANALYZE report_scores"))
        before = blocks(10)
        run(engine, "30")
        connection.execute(text("VACUUM report_scores"))
        for age in (5, 2):
            connection.execute(text(fill), {"age": age})
        assert blocks(10) < before * 1.7
        assert blocks(45) < before


def test_a_prediction_of_a_day_that_stays_keeps_its_task(engine: Engine) -> None:
    task_id = add(engine, "60 days", n_inputs=2)
    with engine.begin() as connection:
        connection.execute(text("UPDATE report_scores SET scored_at = now()"))
    with engine.connect() as connection:
        before = old_days.first_kept(connection, 30)
    days = [old.day for old in old_days.find(engine.begin, "report_scorer", "report_scores", before)]
    assert len(days) == 1
    list(row_retention.delete(engine.begin, "report_scorer", "report_scores", days))
    assert left(engine) == {task_id}


def test_a_lock_of_somebody_else_is_waited_for_and_then_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    add(engine, "60 days")
    monkeypatch.setattr(row_retention, "SECONDS", 0.4)
    with engine.begin() as other:
        other.execute(text("SELECT FROM tasks FOR UPDATE"))
        start = time.monotonic()
        with pytest.raises(DBAPIError):
            run(engine, "30")
        assert time.monotonic() - start < 60
    run(engine, "30")
    assert left(engine) == set()
