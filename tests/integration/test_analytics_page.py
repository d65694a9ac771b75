"""docs/analytics.md: it lists every question, and its cells print what it shows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet
from sqlalchemy import Engine, make_url, text

from store import analytics
from store.tables import ANALYST
from tests.documented import blocks, commands
from tests.notebook import cells, run
from tests.running import ROOT
from tests.seeding import DAY, Seed

PAGE = "docs/analytics.md"
SQL = (ROOT / "docs" / "how-to" / "sql.md").read_text(encoding="utf-8")

OCTOBER = text("""
    WITH numbered AS (
        SELECT
            n,
            rpad(lpad(to_hex(n), 12, '0'), 32, '0')::uuid AS id,
            timestamptz '2025-10-01 00:00Z' + n * interval '37 minutes' AS at,
            (ARRAY['appeals', 'chat', 'forum'])[1 + n % 3] AS client,
            CASE WHEN n < 600 THEN '1.0.0' ELSE '1.1.0' END AS version
        FROM generate_series(1, 1200) AS n
    ),
    submitted AS (
        INSERT INTO tasks (id, model, status, n_inputs, submitted_at, started_at, finished_at, client)
        SELECT id, 'report_scorer', 'SUCCESS', 1, at - (1 + n % 3) * interval '30 ms' - n % 100 * interval '1 ms',
            at, at, client
        FROM numbered
    )
    INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
                               lifetime_matches_created, score, model_version, scored_at)
    SELECT id, 0, CASE WHEN n % 4 = 0 THEN 'PRF' ELSE 'MSG' END, 120, 4.2, 3, 57,
           least(1, n * 7919 % 1000 / 1000.0 + CASE WHEN n < 600 THEN 0 ELSE 0.1 END), version, at
    FROM numbered
""")


@pytest.fixture
def example(engine: Engine, database_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an analyst's account for the page's example database, whose export is in tmp_path."""
    (account,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", SQL, re.DOTALL)
    with engine.begin() as connection:
        connection.execute(OCTOBER)
        seed = Seed(connection)
        for client, days_ago, inputs in [("chat", 8, 400), ("chat", 1, 300), ("forum", 8, 120), ("forum", 2, 180)]:
            seed.task(seed.now - days_ago * DAY, client=client, n_inputs=inputs)
        seed.task(seed.now - DAY, client="appeals", n_inputs=50)
        for day in range(10, 13):
            seed.text_label(datetime(2025, 10, day, 12, tzinfo=UTC), cached=False)
        connection.execute(text("DROP ROLE IF EXISTS ada"))
        connection.exec_driver_sql(account.replace("…", "a secret"))
    export(engine, tmp_path / "exported")
    url = make_url(database_url).set(username="ada", password="a secret")
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY ada"))
        connection.execute(text("DROP ROLE ada"))


def export(engine: Engine, folder: Path) -> None:
    """Write a file a model and day, as `millrace export` does."""
    for model, table in {"report_scorer": "report_scores", "text_classifier": "text_labels"}.items():
        days: dict[str, list[dict[str, object]]] = {}
        with engine.connect() as connection:
            for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY scored_at")).mappings():
                at = row["scored_at"].astimezone(UTC)
                days.setdefault(f"{at:%Y-%m-%d}", []).append({**row, "task_id": str(row["task_id"]), "scored_at": at})
        for day, rows in days.items():
            (folder / f"model={model}" / f"day={day}").mkdir(parents=True)
            parquet.write_table(
                pa.Table.from_pylist(rows), folder / f"model={model}" / f"day={day}" / "predictions.parquet"
            )
            (folder / f"model={model}" / f"day={day}" / "manifest.json").write_text("{}")


def test_the_cells_print_what_the_page_shows(example: str, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(ROOT / "store")
    printed = run(PAGE, tmp_path, {**os.environ, "DATABASE_URL": example})
    for cell, output in zip(cells(PAGE), printed, strict=True):
        assert lines(output) == lines(cell.shown), cell.code


def lines(output: str) -> list[str]:
    return [line.rstrip() for line in output.strip("\n").splitlines()]


def test_the_page_lists_every_question_in_its_own_words() -> None:
    rows = re.findall(
        r"^\| (.*\?) \| \[([\w-]+)\]\(\.\./store/analytics/([\w-]+)\.sql\) \|$", (ROOT / PAGE).read_text(), re.M
    )
    assert all(name == file for _, name, file in rows)
    assert {name: question for question, name, _ in rows} == analytics.questions()
    assert len(rows) >= 20


def test_the_command_of_the_page_prints_the_comment_of_each_column(engine: Engine, database_url: str) -> None:
    (command,) = (one for one in commands(PAGE) if "col_description" in one.text)
    millrace = '"$0" -m millrace_client.cli.main'
    done = subprocess.run(
        ["/bin/sh", "-c", command.text.replace(".venv/bin/millrace psql", f"{millrace} psql -At"), sys.executable],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = [line.split("|", 2) for line in done.stdout.splitlines()]
    with engine.connect() as connection:
        readable = connection.execute(
            text("""
                SELECT table_name, column_name FROM information_schema.column_privileges
                JOIN information_schema.tables USING (table_schema, table_name)
                WHERE grantee = :role AND table_type = 'BASE TABLE'
            """),
            {"role": ANALYST},
        )
        assert {(table, column) for table, column, _ in printed} == set(map(tuple, readable))
    assert [row for row in printed if not row[2]] == []
    assert ["report_scores", "popularity", "Popularity of the reporter, 0 to 5."] in printed
    assert {table for table, *_ in printed} >= {"tasks", "api_keys", "model_events", "text_labels"}


def test_every_block_of_text_follows_a_cell() -> None:
    languages = [language for language, _ in blocks(PAGE)]
    assert all(before == "python" for before, kind in pairwise(languages) if kind == "text")
