"""`millrace sql` against a real database."""

import csv
import io
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, text

from cli.sql import guarded, sql
from devstack import local
from store import analytics
from tests.conftest import Servers
from tests.running import ROOT, free_port

KEY = "r-1\N{ESC}[2J,\n" + "x" * 200
COLUMNS = ["score", "abuse_type", "report_id", "scored_at", "model_version", "task_id", "position"]


def millrace_sql(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from cli.sql import sql; sql(prog_name='millrace sql')", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture
def answered(engine: Engine, database_url: str) -> str:
    """A database with two reports of this minute; the key of one is long and would clear the screen."""
    insert = text("""
        INSERT INTO report_scores (task_id, position, abuse_type, report_text_len, profile_rating, popularity,
                                   lifetime_matches_created, report_id, score, model_version)
        VALUES (:task_id, 0, :abuse_type, 120, 4.2, 3, 57, :report_id, :score, '1.0.0')
    """)
    with engine.begin() as connection:
        connection.execute(insert, {"task_id": UUID(int=1), "abuse_type": "MSG", "report_id": KEY, "score": 0.75})
        connection.execute(insert, {"task_id": UUID(int=2), "abuse_type": "PRF", "report_id": None, "score": 0.5})
    return database_url


def test_without_a_name_the_questions_are_listed() -> None:
    done = millrace_sql("")
    assert done.returncode == 0, done.stderr
    for name, question in analytics.questions().items():
        assert any(line.startswith(name) and line.rstrip().endswith(question) for line in done.stdout.splitlines())


def test_an_answer_is_printed_as_a_table(answered: str) -> None:
    done = millrace_sql(answered, "top-priority")
    assert done.returncode == 0, done.stderr
    question, header, _, first, second, count = done.stdout.splitlines()
    assert question == analytics.questions()["top-priority"]
    assert header.split() == COLUMNS
    assert first.startswith("0.7500  MSG         r-1�[2J,�" + "x" * 200 + "  20")
    assert first.rstrip().endswith("  1.0.0          00000000-0000-0000-0000-000000000001         0")
    assert second.split()[:3] == ["0.5000", "PRF", "–"]  # noqa: RUF001
    assert datetime.strptime(" ".join(second.split()[3:5]), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert count == "2 rows; times are in UTC"


def test_an_answer_is_printed_as_csv(answered: str) -> None:
    done = millrace_sql(answered, "top-priority", "--csv")
    assert done.returncode == 0, done.stderr
    first, second = csv.DictReader(io.StringIO(done.stdout))
    assert first["score"] == "0.7500"
    assert first["report_id"] == KEY
    assert datetime.fromisoformat(first["scored_at"]).utcoffset() == timedelta(0)
    assert second["report_id"] == ""


GUARDED = {
    **{key: f"'{key}" for key in ("=1+1", "+1", "-1", "@SUM(A1)", " \u200b=1", "＝1", "\tx")},  # noqa: RUF001
    "r;=1+1": "r;'=1+1",
    "\t=1": "'\t'=1",
}
MORE_GUARDED = {
    "r; \u200b@x;-2": "r; \u200b'@x;'-2",
    'r";=1': "r\";'=1",
    "; ;=1": "; ;'=1",
    "=1;=1": "'=1;'=1",
    "r\t+1": "r\t'+1",
    "r\r\n=1": "r\r\n'=1",
    **{key: key for key in ("r-1", "a = b; c", "a=1;b=2", "x,=1", "MSG;;PRF; ", "")},
}


@pytest.mark.parametrize("key", GUARDED)
def test_a_text_of_a_client_is_no_formula_in_a_spreadsheet(answered: str, engine: Engine, key: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE report_scores SET report_id = :key"), {"key": key})
    rows = list(csv.DictReader(io.StringIO(millrace_sql(answered, "top-priority", "--csv").stdout, newline="")))
    assert [row["report_id"] for row in rows] == [GUARDED[key]] * 2
    assert rows[0]["score"] == "0.7500"


@pytest.mark.parametrize(("key", "expected"), {**GUARDED, **MORE_GUARDED}.items())
def test_it_is_none_wherever_a_spreadsheet_begins_a_cell(key: str, expected: str) -> None:
    assert guarded(key) == expected
    for cell in re.split("[;\t\r\n]", guarded(key)):
        assert not cell.strip(" \u200b").startswith(("=", "+", "-", "@", "＝"))  # noqa: RUF001


@pytest.mark.parametrize("piece", [";", "; ", "\t", ";=", "\u200b", "\n\t"])
def test_a_long_text_is_guarded_in_linear_time(piece: str) -> None:
    start = time.thread_time()
    guarded(piece * 200_000 + "x")
    assert time.thread_time() - start < 20  # 0.1 s; a quadratic search takes minutes


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_every_command_prints_in_any_encoding(answered: str, engine: Engine, encoding: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE report_scores SET report_id = '人€é' WHERE report_id IS NOT NULL"))
    environment = {**os.environ, "DATABASE_URL": answered, "PYTHONIOENCODING": encoding}
    said = {}
    others = ("sql", "status --once", "keys list") if encoding == "ascii" else ()
    for command in ("sql top-priority", "sql top-priority --csv", "tasks", "sql 人", *others):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from millrace_client.cli.main import main; main(prog_name='millrace')",
                *command.split(),
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
        )
        assert b"Traceback" not in done.stderr, done.stderr
        said[command] = done.stdout.decode(encoding)
    assert r"\u4eba" in said["sql top-priority --csv"]
    assert "PRF        |-" in said["sql top-priority"] or encoding == "cp1252"  # which has the dash


def test_an_unknown_name_is_refused_with_the_known_ones(database_url: str) -> None:
    done = millrace_sql(database_url, "top-secret")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "'top-secret'" in done.stderr
    assert all(name in done.stderr for name in analytics.questions())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:hush@127.0.0.1:{port}/d", "Connection refused"),
        ("postgresql://u:hush@nowhere.invalid/d", "could not translate host name"),
        ("hush", "DATABASE_URL: it must be like postgresql://"),
    ],
)
def test_an_unreachable_database_is_one_clear_line(url: str, reason: str) -> None:
    done = millrace_sql(url.format(port=free_port()), "top-priority")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("millrace sql: ")
    assert reason in line
    assert "hush" not in line


def test_a_database_without_our_tables_is_one_clear_line(servers: Servers) -> None:
    done = millrace_sql(servers.postgres_url, "top-priority")
    assert done.returncode == 1
    assert done.stderr == (
        "millrace sql: the database has no such tables yet; `make up` or `alembic upgrade head` makes them\n"
    )


def test_without_a_database_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "database_url", lambda: None)
    done = CliRunner().invoke(sql, ["top-priority"])
    assert done.exit_code == 1
    assert done.output == "millrace sql: no database; run `make up` in another terminal, or set DATABASE_URL\n"


def test_an_answer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(analytics, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(analytics, "statement", lambda _: "SELECT pg_sleep(30)")
    done = CliRunner().invoke(sql, ["top-priority"])
    assert done.exit_code == 1
    assert done.output.startswith("millrace sql: stopped after 0.1 s;")
