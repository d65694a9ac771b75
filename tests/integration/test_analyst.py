"""The role `analyst` reads the tables that are marked for it and does nothing else; answers come in its name."""

from collections.abc import Callable
from typing import Any

import pytest
from psycopg2.errors import InsufficientPrivilege  # type: ignore[import-untyped]
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from store import analytics
from store.engine import connect


@pytest.fixture
def as_analyst(engine: Engine) -> Callable[[str], Any]:
    def run(statement: str) -> Any:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL ROLE analyst"))
            return connection.execute(text(statement))

    return run


@pytest.mark.parametrize(
    "table",
    [
        "tasks",
        "task_inputs",
        "workers",
        "report_scores",
        "erasures",
        "deleted_days",
        "outcomes",
        "draws",
        "evaluations",
        "drift",
    ],
)
def test_the_analyst_reads_the_tables_that_are_marked(as_analyst: Callable[[str], Any], table: str) -> None:
    as_analyst(f"SELECT * FROM {table}")


def test_the_analyst_sees_when_a_client_got_a_key(as_analyst: Callable[[str], Any]) -> None:
    as_analyst("SELECT client, role, created_at FROM api_keys")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO workers (id, model, model_version, host, pid) VALUES (gen_random_uuid(), 'm', '1', 'h', 1)",
        "UPDATE tasks SET status = 'PENDING'",
        "DELETE FROM report_scores",
        "DELETE FROM erasures",
        "TRUNCATE report_scores",
        "DROP TABLE report_scores",
        "CREATE TABLE mine (n int)",
        "CREATE VIEW mine AS SELECT 1 AS n",
        "COPY tasks TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT * FROM keys",
        "SELECT * FROM api_keys",
        "SELECT hash FROM api_keys",
        "SELECT id FROM api_keys",
        "SELECT last_used_at FROM api_keys",
        "SELECT url FROM webhooks",
        "SELECT * FROM alembic_version",
    ],
)
def test_the_analyst_does_nothing_else(engine: Engine, as_analyst: Callable[[str], Any], statement: str) -> None:
    with engine.begin() as connection:  # a new table, which nobody has marked
        connection.execute(text("CREATE TABLE IF NOT EXISTS keys (hash bytea)"))
    with pytest.raises(DBAPIError) as refused:
        as_analyst(statement)
    assert isinstance(refused.value.orig, InsufficientPrivilege)


def test_an_answer_comes_from_a_read_only_transaction_of_the_analyst(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "SELECT current_user AS who, current_setting('transaction_read_only') AS read_only"
    monkeypatch.setattr(
        analytics, "statement", lambda _: f"{settings}, current_setting('statement_timeout') AS until, 5 % 2 AS rest"
    )
    assert list(map(tuple, analytics.ask(engine, "any").rows)) == [("analyst", "on", "1min", 1)]


def test_a_user_who_may_not_act_as_the_analyst_is_answered_by_its_own_rights(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS stranger"))
        connection.execute(text("CREATE ROLE stranger LOGIN PASSWORD 'secret'"))
        connection.execute(text("GRANT SELECT ON report_scores TO stranger"))
    url = make_url(database_url).set(username="stranger", password="secret").render_as_string(hide_password=False)
    stranger = connect(url)
    assert analytics.ask(stranger, "top-priority").rows == []
    with pytest.raises(ProgrammingError, match="permission denied for table tasks"):
        analytics.ask(stranger, "failures-by-cause")
    stranger.dispose()
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY stranger"))
        connection.execute(text("DROP ROLE stranger"))
