"""One person's data is erased wherever it lies, other people's stays, and an event without content says so."""

import json
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
import structlog
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from cli.cached_outputs import CachedOutputs
from cli.erasing import Author, Erased, erase
from cli.exported_days import Exports
from cli.forget import forget
from cli.held_inputs import Person, person
from registry import versions
from store import deleted_days
from store.erasing import KeyColumn
from tests.conftest import Servers, as_app, empty_redis
from tests.exported import ExportFolder
from tests.running import ROOT, Platform, eventually

KEY = 'd-"Zoë\\7'
"""A key that JSON spells in several ways."""

THEIRS = "what Zoë wrote"
OTHERS = "what another one wrote"
WORDS = (KEY, THEIRS)


def new_id(days: float = 0) -> UUID:
    return UUID(int=(int((time.time() - days * 86_400) * 1000) << 80) | 7 << 76 | secrets.randbits(76))


def task(engine: Engine, status: str = "SUCCESS", n_inputs: int = 1, days: float = 0, **more: Any) -> UUID:
    values = {
        "id": new_id(days),
        "status": status,
        "n_inputs": n_inputs,
        "days": days,
        "error": None,
        "key": None,
    } | more
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO tasks (id, model, status, n_inputs, submitted_at, finished_at, error, idempotency_key,
                    request_fingerprint, faults)
                VALUES (:id, 'text_classifier', :status, :n_inputs, now() - :days * interval '1 day',
                    CASE WHEN :status IN ('PENDING', 'STARTED') THEN NULL ELSE now() - :days * interval '1 day' END,
                    :error, :key, 'sha256', CASE WHEN :error IS NULL THEN NULL ELSE to_jsonb(CAST(:error AS text)) END)
            """),
            values,
        )
    return values["id"]


def label(engine: Engine, task_id: UUID, position: int, key: str | None, words: str, days: float = 0) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO text_labels
                VALUES (:id, :position, :words, :key, 'hockey', 0.9, '{hockey}', '{0.9}', false, '1',
                    now() - :days * interval '1 day')
            """),
            {"id": task_id, "position": position, "key": key, "words": words, "days": days},
        )


def hold(engine: Engine, task_id: UUID, payload: str) -> None:
    with engine.begin() as connection:
        inputs = "INSERT INTO task_inputs VALUES (:id, convert_to(:payload, 'utf8'))"
        connection.execute(text(inputs), {"id": task_id, "payload": payload})


def found(engine: Engine, *words: str) -> list[str]:
    """Search each column of each table, and what PostgreSQL's statistics quote, as text, JSON and bytes."""
    hits = []
    spellings = {one for word in words for one in (word, json.dumps(word)[1:-1], word.encode().hex())}
    with engine.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in (*tables, "pg_stats"):
            for row in connection.execute(text(f"SELECT CAST(t AS text) FROM {table} AS t")).scalars():
                plain = row.replace('""', '"').replace("\\\\", "\\")
                if any(word in row or word in plain for word in spellings):
                    hits.append(f"{table}: {row}")
    return hits


def others(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        rows = f"SELECT CAST(t AS text) FROM text_labels AS t WHERE text = '{OTHERS}' ORDER BY 1"
        return list(connection.execute(text(rows)).scalars())


def events(engine: Engine) -> list[Any]:
    query = 'SELECT model, "by", reason, predictions, tasks, stale_days, ended_at IS NOT NULL FROM erasures ORDER BY id'
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def run(engine: Engine, exports: Exports | None = None, key: str = KEY) -> Erased:
    with engine.connect() as connection:
        known = versions.read(connection).versions_of("text_classifier")
    cached = CachedOutputs(None, known[-1].spec, known)
    return erase(engine, person(known, key), exports, cached, Author("ada", "she asked for it"))


Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Run `millrace forget`, which sets up the log of its process."""
    handlers = logging.root.handlers[:]

    def run(database_url: str, redis_url: str, *options: str, key: str = KEY, **more: str) -> Result:
        for name, value in {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **more}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(forget, ["--model", "text_classifier", "--key", key, "--by", "ada", *options])

    yield run
    logging.root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def stored(engine: Engine) -> Engine:
    """Predictions and failed tasks with inputs of the person, of others, and of both."""
    alone, shared, of_others = task(engine, key=f"order-{KEY}"), task(engine, n_inputs=3, key=f"{KEY}-1"), task(engine)
    label(engine, alone, 0, KEY, THEIRS)
    for position, (key, words) in enumerate([(None, OTHERS), (KEY, THEIRS), ("d-2", OTHERS)]):
        label(engine, shared, position, key, words)
    label(engine, of_others, 0, "d-3", OTHERS)
    mine, other = ({"text": words, "document_id": key} for words, key in ((THEIRS, KEY), (OTHERS, "d-2")))
    quoted = f"ValueError: '{THEIRS}' of {KEY} is odd"
    hold(engine, task(engine, "FAILURE", error=quoted), json.dumps([mine]))
    hold(engine, task(engine, "FAILURE", 3, error=quoted), json.dumps([other, mine, other], ensure_ascii=False))
    columns = {"text": [THEIRS, *[OTHERS] * 8], "document_id": [KEY, *["d-2"] * 8]}
    hold(engine, task(engine, "FAILURE", 9, error=quoted), f"1:{json.dumps(columns)}")
    hold(engine, task(engine, "FAILURE", error=f"ValueError: '{OTHERS}'"), json.dumps([other]))
    hold(engine, task(engine, "PENDING"), json.dumps([other]))
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    return engine


def test_nothing_of_the_person_is_found_in_any_table_afterwards_and_others_are_as_they_were(stored: Engine) -> None:
    assert len(found(stored, *WORDS)) >= 8
    before = others(stored)
    erased = run(stored)
    assert (erased.predictions, erased.tasks, erased.failed, erased.remains) == (2, 2, 3, [])
    assert found(stored, *WORDS, "zo\\u00eb") == []
    assert others(stored) == before
    with stored.connect() as connection:
        counted = "SELECT status, n_inputs, error, idempotency_key FROM tasks ORDER BY 1, 2"
        assert [tuple(row) for row in connection.execute(text(counted))] == [
            ("FAILURE", 1, f"ValueError: '{OTHERS}'", None),
            ("FAILURE", 2, "ValueError", None),
            ("FAILURE", 8, "ValueError", None),
            ("PENDING", 1, None, None),
            ("SUCCESS", 1, None, None),
            ("SUCCESS", 2, None, None),
        ]
        payloads = list(connection.scalars(text("SELECT convert_from(payload, 'utf8') FROM task_inputs")))
    kept = [one for payload in payloads for one in json.loads(payload)]
    assert kept == [{"text": OTHERS, "document_id": "d-2"}] * 12
    assert events(stored) == [("text_classifier", "ada", "she asked for it", 2, 5, [], True)]


def test_once_more_it_finds_nothing_and_changes_nothing(stored: Engine) -> None:
    run(stored)
    before = others(stored)
    again = run(stored)
    assert (again.predictions, again.tasks, again.failed, again.remains) == (0, 0, 0, [])
    assert others(stored) == before
    assert [event[3:] for event in events(stored)] == [(2, 5, [], True), (0, 0, [], True)]


def test_a_task_that_has_not_ended_is_named_and_nothing_erased_unless_it_may_be_cancelled(
    stored: Engine, database_url: str, redis_url: str, command: Command
) -> None:
    waiting = task(stored, "PENDING", 2)
    hold(stored, waiting, json.dumps([{"text": THEIRS, "document_id": KEY}, {"text": OTHERS}]))
    refused = command(database_url, redis_url, "--yes")
    assert refused.exit_code == 1
    assert str(waiting) in refused.output
    assert "Nothing was erased" in refused.output
    assert events(stored) == []
    assert command(database_url, redis_url, "--cancel").exit_code == 2  # nobody is there to confirm it
    done = command(database_url, redis_url, "--cancel", "--yes", "--reason", "she asked for it")
    assert (done.exit_code, done.stdout) == (0, "2 predictions in 2 tasks erased, and the inputs of 3 failed tasks\n")
    assert found(stored, *WORDS) == []
    assert KEY not in done.output
    with stored.connect() as connection:
        ended = connection.execute(text("SELECT status FROM tasks WHERE id = :id"), {"id": waiting}).scalar_one()
    assert ended == "REVOKED"


def test_a_model_or_a_key_that_cannot_be_is_said(database_url: str, redis_url: str, command: Command) -> None:
    unknown = command(database_url, redis_url, "--yes", "--model", "nobodys")
    assert (unknown.exit_code, "there is no model nobodys" in unknown.output) == (1, True)


def test_only_the_owner_may(stored: Engine, database_url: str, redis_url: str, command: Command) -> None:
    refused = command(as_app(database_url), redis_url, "--yes")
    assert refused.exit_code == 1
    assert "owner of the database" in refused.output
    assert len(found(stored, *WORDS)) >= 8


def test_a_program_that_was_killed_is_run_again_and_completes(
    engine: Engine, database_url: str, redis_url: str, command: Command
) -> None:
    task_ids = [task(engine, n_inputs=200) for _ in range(40)]
    with engine.begin() as connection:
        rows = """
            INSERT INTO text_labels
            SELECT id, n, CASE WHEN n % 2 = 0 THEN :theirs ELSE :others END, CASE WHEN n % 2 = 0 THEN :key END,
                'hockey', 0.9, '{hockey}', '{0.9}', false, '1', now()
            FROM unnest(CAST(:ids AS uuid[])) AS id, generate_series(0, 199) AS n
        """
        connection.execute(text(rows), {"ids": task_ids, "theirs": THEIRS, "others": OTHERS, "key": KEY})
    count = text("SELECT count(*) FROM text_labels WHERE text = :words")

    def left(words: str) -> int:
        with engine.connect() as connection:
            return connection.execute(count, {"words": words}).scalar_one()

    options = ["--model", "text_classifier", "--key", KEY, "--yes"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "cli.forget", *options],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: left(THEIRS) < 4_000, every=0.001)
    killed.kill()
    killed.wait()
    assert 0 < left(THEIRS) < 4_000
    assert command(database_url, redis_url, "--yes").exit_code == 0
    assert (left(THEIRS), left(OTHERS)) == (0, 4_000)
    assert found(engine, *WORDS) == []
    with engine.connect() as connection:
        assert set(connection.scalars(text("SELECT n_inputs FROM tasks"))) == {100}
    (first, second) = events(engine)
    assert (first[3] + second[3], first[6], second[6]) == (4_000, False, True)


class TestExportedDays:
    @pytest.fixture
    def folder(self, engine: Engine, tmp_path: Path) -> ExportFolder:
        """Three days with others' rows, two of which have the person's too; all are exported."""
        for days in (1, 2, 3):
            task_id = task(engine, n_inputs=2, days=days)
            label(engine, task_id, 0, "d-2", OTHERS, days)
            label(engine, task_id, 1, KEY if days > 1 else "d-4", THEIRS if days > 1 else OTHERS, days)
        folder = ExportFolder(engine, tmp_path)
        with engine.connect() as connection:
            days = connection.scalars(text("SELECT DISTINCT (scored_at AT TIME ZONE 'UTC')::date FROM text_labels"))
            for day in days:
                folder.export_day("text_classifier", "text_labels", day)
        return folder

    def rows(self, folder: ExportFolder) -> list[int]:
        days = sorted(folder.days("text_classifier"))
        manifests = [folder.verified("text_classifier", day) for day in days]
        return [manifest.rows for manifest in manifests if manifest]

    def test_those_with_the_key_are_written_anew(self, engine: Engine, folder: ExportFolder) -> None:
        written: list[date] = []

        def export_day(model: str, table: str, day: date) -> object:
            written.append(day)
            return folder.export_day(model, table, day)

        assert folder.contains(THEIRS)
        erased = run(engine, Exports(folder.verified, folder.days, export_day))
        assert erased.remains == []
        assert sorted(written) == sorted(folder.days("text_classifier"))[:2]
        assert self.rows(folder) == [1, 1, 2]
        assert not folder.contains(KEY, THEIRS, json.dumps(KEY, ensure_ascii=False)[1:-1])

    def test_what_could_not_be_written_is_said_and_written_by_the_next_run(
        self, engine: Engine, folder: ExportFolder
    ) -> None:
        def away(model: str, table: str, day: date) -> object:
            raise OSError("the bucket is away")

        erased = run(engine, Exports(folder.verified, folder.days, away))
        assert len(erased.remains) == 2
        assert "the bucket is away" in erased.remains[0]
        assert folder.contains(THEIRS)
        assert [event[6] for event in events(engine)] == [False]
        assert run(engine, folder.functions).remains == []
        assert not folder.contains(THEIRS)
        assert [(event[5], event[6]) for event in events(engine)] == [([], False), ([], True)]

    def test_a_day_that_retention_has_deleted_is_never_written_from_the_table(
        self, engine: Engine, folder: ExportFolder
    ) -> None:
        oldest = min(folder.days("text_classifier"))
        with engine.begin() as connection:
            deleted_days.begin(connection, "text_classifier", {oldest: 2})
            connection.execute(text("DELETE FROM text_labels WHERE scored_at < now() - interval '2.5 days'"))
        erased = run(engine, folder.functions)
        assert len(erased.remains) == 1
        assert "in the export alone" in erased.remains[0]
        assert self.rows(folder) == [2, 1, 2]
        assert run(engine, folder.functions_with_erase).remains == []
        assert self.rows(folder) == [1, 1, 2]
        assert not folder.contains(THEIRS)


def test_outputs_of_the_persons_inputs_are_dropped_from_the_cache_and_those_of_others_stay(
    servers: Servers, engine: Engine, database_url: str, tmp_path: Path, command: Command
) -> None:
    redis_url = empty_redis(servers, 9)
    with (
        Platform(
            database_url, redis_url, tmp_path, WORKER_MODELS="text_classifier", DATABASE_URL=as_app(database_url)
        ) as platform,
        redis.Redis.from_url(redis_url) as client,
    ):

        def submit(*inputs: dict[str, Any]) -> str:
            task_id: str = platform.client.post("/models/text_classifier/submit", json=inputs).json()["task_id"]
            assert platform.finished(task_id)["status"] == "SUCCESS"
            return task_id

        shared = submit({"text": THEIRS, "document_id": KEY}, {"text": OTHERS, "document_id": "d-2"})
        alone = submit({"text": f"{THEIRS} too", "document_id": KEY})
        many = submit(*({"text": f"{THEIRS} {n}", "document_id": KEY} for n in range(9)))
        assert len(client.keys("cache:*")) == 12
        failed = task(engine, "FAILURE", 2)
        hold(engine, failed, json.dumps([{"text": THEIRS, "document_id": KEY}, {"text": OTHERS, "document_id": "d-2"}]))
        done = command(database_url, redis_url, "--yes")
        assert done.exit_code == 0, done.output
        assert len(client.keys("cache:*")) == 1
        for task_id in (alone, many):
            assert platform.client.get(f"/task/{task_id}").status_code == 404
        answer = platform.client.get(f"/task/{shared}").json()
        assert (answer["n_inputs"], answer["document_id"], len(answer["label"])) == (1, ["d-2"], 1)
        listed = platform.client.get("/tasks").json()["tasks"]
        assert {one["task_id"] for one in listed} == {shared, str(failed)}
        platform.client.post(f"/task/{failed}/replay")  # of what is left of it
        assert platform.finished(str(failed))["document_id"] == ["d-2"]
    said = command(database_url, "redis://127.0.0.1:1/0", "--yes")
    assert said.exit_code == 0  # nothing was there to be dropped
    label(engine, UUID(shared), 5, KEY, THEIRS)
    said = command(database_url, "redis://127.0.0.1:1/0", "--yes")
    assert said.exit_code == 3
    assert "not erased: cached outputs, which end by themselves within CACHE_SECONDS" in said.stderr


def test_a_key_that_is_a_number_is_found_in_every_spelling() -> None:
    """A registered model's key may be a bigint."""
    whose = Person("m", "m", "57", [KeyColumn("user_id", 57)], frozenset({"user id"}))
    assert [whose.is_in({"user id": value}) for value in (57, 57.0, 5, None, "57")] == [True, True, False, False, False]
    assert whose.spelled is None
